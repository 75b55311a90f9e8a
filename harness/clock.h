#ifndef HARNESS_CLOCK_H
#define HARNESS_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Time is an argument. A real clock reads CLOCK_MONOTONIC and waits in the kernel;
 * a simulated one stands still until the loop, having nothing left to do, moves it to
 * the next timer. Nanoseconds since an arbitrary start that is never 0.
 */
struct clock {
	bool simulated;
	uint64_t simulated_ns;
};

void clock_init(struct clock *clock, bool simulated);
uint64_t clock_now(const struct clock *clock);

#endif
