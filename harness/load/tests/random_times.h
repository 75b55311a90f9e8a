#ifndef LOAD_TESTS_RANDOM_TIMES_H
#define LOAD_TESTS_RANDOM_TIMES_H

#include "harness/load/hdr.h"

/* Durations from none to hours, of every order of magnitude alike; the same for the same seed (not 0). */

static inline uint64_t random_u64(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

static inline uint64_t random_time(uint64_t *seed)
{
	unsigned bits = (unsigned)(random_u64(seed) % 44);

	return random_u64(seed) & ((1ull << bits) - 1);
}

#endif
