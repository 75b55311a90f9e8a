#ifndef FUZZ_NETWORK_MINIMISE_H
#define FUZZ_NETWORK_MINIMISE_H

#include "fuzz/network/trial.h"

/*
 * The smallest that still shows the same bucket: cases first (which of those in flight and before), then clients, moves (ddmin), then what each packet has: properties, user names, wills, filters; then bytes of payloads,
 * topics and ids; then offences that are not needed are put right, pauses shortened, cuts mended. A candidate counts when it shows at its first trial; where the original shows only at
 * times (`rate` below 10 of 10), when it shows in one of as many trials as make a miss unlikely (at most 5), and where those are more than two, in one of as many again.
 */
struct minimised {
	unsigned shows, of;		/* how often the result showed in the last ten trials */
	unsigned n_trials;		/* in all */
	bool complete;			/* false: give_up_ns came first */
};

/*
 * cases[0..n): in the order played, the suspect last. The result is one case, in *least (cases that must precede are joined before it, their clients renumbered; where eight are not enough the last is kept and `complete` is false).
 * False: it does not show again at all, in ten trials of the last case and three of all of them; *least is the last case.
 */
bool minimise(struct trial *trial, const struct moves *const *cases, size_t n, const struct symptom *symptom, struct moves *least, struct minimised *result);

#endif
