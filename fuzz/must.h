#ifndef FUZZ_MUST_H
#define FUZZ_MUST_H

#include <stdio.h>

/* What has to hold whatever the input is. A trap rather than assert(): the fuzzer sees it in every build. */
#define MUST(condition) do { \
	if (!(condition)) { \
		fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
		__builtin_trap(); \
	} \
} while (0)

#endif
