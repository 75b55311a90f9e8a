#include "harness/clock.h"

#include <time.h>

#define NS_PER_S UINT64_C(1000000000)

void clock_init(struct clock *clock, bool simulated)
{
	clock->simulated = simulated;
	clock->simulated_ns = NS_PER_S;		/* never 0, and room for "a second ago" */
}

uint64_t clock_now(const struct clock *clock)
{
	struct timespec t;

	if (clock->simulated)
		return clock->simulated_ns;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}
