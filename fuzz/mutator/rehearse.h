#ifndef FUZZ_MUTATOR_REHEARSE_H
#define FUZZ_MUTATOR_REHEARSE_H

#include "fuzz/mutator/recorded.h"
#include "harness/script.h"

/*
 * Plays one test against the reference broker in this process, on simulated time, on a broker of its own that offers what the test needs, so that nothing of it depends on what was played before. Its names are
 * MOVES_NAME. What was seen is in *recorded. False: it was not played (a need cannot be met), or it took longer than limit_ns of the protocol's time.
 */
bool rehearse(const struct script *script, uint64_t limit_ns, struct recorded *recorded);

#endif
