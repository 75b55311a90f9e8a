#ifndef FUZZ_NETWORK_RESOURCES_H
#define FUZZ_NETWORK_RESOURCES_H

#include "harness/usage.h"

/* What a process is, beside what it uses. */

/* Whether one of them has what a sanitizer that looks for leaks needs: its shadow or its allocator's arena of many gigabytes, or valgrind. */
bool resources_sanitized(struct subject subject);

/* What the largest of them is called, by its executable; "" unknown. */
void resources_name(struct subject subject, char *name, size_t cap);

/* How many processes the kernel has killed since it started, since memory was short. */
uint64_t resources_oom_kills(void);

#endif
