#ifndef FUZZ_NETWORK_TRIAL_H
#define FUZZ_NETWORK_TRIAL_H

#include "fuzz/mutator/moves.h"
#include "fuzz/network/symptom.h"
#include "harness/tap.h"

/*
 * A trial: a target as new (where it can be made so), these cases one after another and nobody beside them, then every oracle. What triage asks again and again: does it still show?
 * Runs the loop until it knows; nothing else is under way.
 */
struct trial {
	/* Plays; *symptom is what shows first, ORACLE_NONE for nothing. tap may be NULL; did takes down the last case as it was played; NULL. False: the target cannot be had any more; *symptom says how. */
	bool (*run)(struct trial *trial, const struct moves *const *cases, size_t n, struct tap *tap, struct moves *did, struct symptom *symptom);
	unsigned n_run;			/* so far */
	uint64_t give_up_ns;		/* of the loop's clock: triage that is not done by then keeps what it has */
	uint64_t (*now_ns)(struct trial *trial);
};

#endif
