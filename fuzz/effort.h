#ifndef FUZZ_EFFORT_H
#define FUZZ_EFFORT_H

#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "fuzz/must.h"

/*
 * What an input may cost where work grows with its length and no faster: a hundred times what the slowest of right ones takes under sanitizers, so that neither a loaded machine nor an
 * emulator makes it an accusation. CPU time of this thread, not the time of day. Short inputs are not measured: no clock is asked for them.
 */
enum { EFFORT_FROM = 16384 };

static inline uint64_t effort_ns(size_t len)
{
	struct timespec t = { 0 };

	if (len >= EFFORT_FROM)
		clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static inline void effort_judge(uint64_t begun_ns, size_t len)
{
	MUST(effort_ns(len) - begun_ns <= 200000000 + UINT64_C(4000) * len);
}

#endif
