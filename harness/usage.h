#ifndef HARNESS_USAGE_H
#define HARNESS_USAGE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* What processes use, as /proc tells. */
struct usage {
	uint64_t rss;		/* bytes resident */
	uint64_t cpu_ns;	/* of those that live: user and system time since each began */
	uint64_t began;		/* of one process: when, in the kernel's ticks; tells it from another of the same number */
};

bool usage_of_process(pid_t pid, struct usage *usage);		/* false: there is none, or it is a zombie */
bool usage_of_group(pid_t group, struct usage *usage);		/* the sum of its members; false: it has none. Takes ms */

#endif
