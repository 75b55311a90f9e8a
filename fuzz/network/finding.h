#ifndef FUZZ_NETWORK_FINDING_H
#define FUZZ_NETWORK_FINDING_H

#include <stdio.h>

#include "fuzz/mutator/mutate.h"
#include "fuzz/mutator/moves.h"
#include "fuzz/network/minimise.h"
#include "fuzz/network/symptom.h"

/* A finding, as it is told and kept. */
struct finding_file {
	const struct symptom *symptom;
	const struct moves *moves;		/* minimised, ANSWERs with their bytes (player.h: did) */
	char name[MOVES_NAME_LEN + 1];		/* of its topics and clients, in place of MOVES_NAME */
	const char *lineage;			/* of the case: "88213/5120/77" */
	uint64_t seed;
	const struct anomaly *anomaly;
	const char *seed_name;			/* what it was made from */
	struct minimised minimised;
	const char *target, *command;		/* label; the command line that repeats the campaign's case */
	uint64_t grows;				/* of ORACLE_MEMORY */
	unsigned repeats;			/* the stimulus stands in `repeat N { }`, since it shows by its sum only (MEMORY); 0 or 1: once */
	uint64_t within_ns;			/* of LIVENESS, LATENCY, BYSTANDER */
	unsigned bystander_version;
};

/*
 * Writes it in the notation (DESIGN: `finding "title"`): header comments that say what it is and how to repeat it, the stimulus, then the judging steps that its oracle needs: `target lives`, `by receives ... within`,
 * `watches V CLAUSE`, `target lives grows<SIZE`. Every send encodes to the very bytes: what the notation cannot say stands as `bytes hex"..."`. It parses without a warning, whatever the moves are: fuzz_finding.c holds it to that.
 */
void finding_write(FILE *out, const struct finding_file *finding);

/* "a -> PUBLISH ..." sentences are the title's matter: "Death after PUBREL with an unknown id, 2 connections": one line, from symptom and moves. */
void finding_title(const struct finding_file *finding, char *title, size_t cap);

/* Every client's bytes, for xxd -r -p and nc, which its head shows: `# c0` lines and hex. */
void finding_hex(FILE *out, const struct finding_file *finding);

/*
 * A folder of findings: FOLDER/BUCKET-SLUG/{finding.scn,wire.pcapng,wire.hex,report.txt}. A bucket that is there has its hit counted only (hits in report.txt): what another campaign wrote is never
 * overwritten. 0, and path is that of finding.scn; or a negative errno, and path is what could not be written.
 */
int finding_keep(const char *folder, const struct finding_file *finding, const char *pcap_from, char *path, size_t cap);

#endif
