#ifndef HARNESS_ARTIFACTS_H
#define HARNESS_ARTIFACTS_H

#include <stdbool.h>

#include "harness/replay_file.h"
#include "harness/report.h"

/*
 * --artifacts DIR: what a test that came to fail, unstable, inconclusive, error or warn leaves behind, a folder each:
 *
 *   report.txt             what the report says of it
 *   test.json              the same for machines
 *   transcript.txt         what was sent and received, in the notation; of both tries when it was played twice
 *   conversation.pcapng    the bytes of it: pcap_writer.h
 *   first-try.pcapng       of the first try, when it was played twice
 *   scenario/...           the scenario as it was played
 *   replay.options         how it was played: replay_file.h
 *   command                repeats it
 *
 * What is there already is never written to: a second run makes NAME-2 beside NAME.
 */

/* Makes dir unless it is there, and sees that it can be written to. 0 or a negative errno. */
int artifacts_prepare(const char *dir);

/*
 * Writes the folders of one target. how: the options and the target that they were played with; how->scenario, case_name and
 * version are each test's own. password_file: as it was given, NULL for none. *n counts the folders. 0, or a negative errno with what could not be
 * written in failed[cap]; then no more are written.
 */
int artifacts_write(const char *dir, const struct run *run, const struct run_target *target, const struct replay_file *how,
                    const char *password_file, unsigned *n, char *failed, size_t cap);

bool artifacts_wanted(const struct outcome *outcome);	/* its verdict leaves a folder */

/* A test's folder: its id, version and target as escape_file_name() makes them; name has ESCAPE_FILE_NAME bytes. Returns name. */
char *artifacts_name(const struct outcome *outcome, const char *label, char *name);

/* Where its scenario lies, below the folder: "scenario/common/qos/qos2.scn"; each component as above. */
char *artifacts_scenario(const char *file, char *path, size_t cap);

#endif
