#ifndef HARNESS_RECORDING_H
#define HARNESS_RECORDING_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "harness/tap.h"

/*
 * What one try of a test sent and received, as a capture of its own (pcap_writer.h), kept until it is known whether
 * anybody will want it. The first 64 kB stay in memory, more goes to a spool, a file without a name that all
 * recordings of a recorder share and whose room they give back: thousands of tests at once need neither the memory nor the descriptors.
 */
struct recorder;
struct recording;

enum { RECORDING_MAX = 64 << 20 };	/* bytes; the rest of a try that goes on is passed over */

/* Given. folder is where the spool is made, when the first one is needed; borrowed. */
struct recorder *recorder_new(const char *folder);
void recorder_target(struct recorder *recorder, const char *label, uint64_t epoch_ns);	/* as pcap_writer_target() */
void recorder_free(struct recorder *recorder);	/* after its recordings; harmless with NULL */

/* Given. Its tap sees what next does, too; next may be NULL. */
struct recording *recording_new(struct recorder *recorder, struct tap *next);
struct tap *recording_tap(struct recording *recording);

/* Its connections must have ended. Harmless with NULL. */
void recording_free(struct recording *recording);

/* Writes it. 0, or the positive errno of what failed: now, or when it was spooled. Errors of out stay in out. */
int recording_copy(struct recording *recording, FILE *out);
bool recording_cut(const struct recording *recording);	/* RECORDING_MAX was passed */

#endif
