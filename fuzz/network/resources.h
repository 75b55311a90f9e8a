#ifndef FUZZ_NETWORK_RESOURCES_H
#define FUZZ_NETWORK_RESOURCES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Whose: a process group (of a command that we started, which may be a shell and what it runs), or one process and all that descend from it. */
struct subject {
	pid_t pid;		/* 0: nobody */
	bool group;
};

struct resources {
	uint64_t rss, cpu_ns;	/* of those that live; 0 unknown */
	unsigned n;		/* how many; zombies do not count */
};

/* False: none of them lives, or nothing is to be seen. A look through /proc, so some 100 us. */
bool resources_of(struct subject subject, struct resources *resources);

/* How long their threads were ready to run and had no core, since each began: on a busy machine who computes all the time waits most of it. 0 unknown. */
uint64_t resources_waited_ns(struct subject subject);

/* Whether one of them has what a sanitizer that looks for leaks needs: its shadow or its allocator's arena of many gigabytes, or valgrind. */
bool resources_sanitized(struct subject subject);

/* What the largest of them is called, by its executable; "" unknown. */
void resources_name(struct subject subject, char *name, size_t cap);

/* How many processes the kernel has killed since it started, since memory was short. */
uint64_t resources_oom_kills(void);

#endif
