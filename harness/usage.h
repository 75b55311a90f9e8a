#ifndef HARNESS_USAGE_H
#define HARNESS_USAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Whose: a process group (of a command that we started, which may be a shell and what it runs), or one process and all that descend from it. */
struct subject {
	pid_t pid;		/* 0: nobody */
	bool group;
};

/* What processes use, as /proc tells: the sum of those that live. */
struct usage {
	uint64_t rss;		/* bytes resident; 0 unknown */
	uint64_t cpu_ns;	/* user and system time since each began */
	uint64_t waited_ns;	/* in which their threads could have run, and no core was free for them; 0 where the kernel does not tell */
	uint64_t began;		/* of subject.pid: when, in the kernel's ticks; tells it from another of the same number; 0 it is gone */
	unsigned n;		/* how many; zombies do not count */
};

/* False: none of them lives, or nothing is to be seen. A look through /proc, so some 100 us. */
bool usage_of(struct subject subject, struct usage *usage);

size_t usage_members(struct subject subject, pid_t *pids, size_t cap);		/* how many there are, at most cap; the largest first */

/*
 * CPU time that they would have used between two looks, had the machine been theirs: what they waited for counts as well, so that who computes all the time is seen on a busy machine too; but only up to nine times of what they
 * used: who does next to nothing waits for every little bit of it.
 */
uint64_t usage_wanted(const struct usage *before, const struct usage *after);

#endif
