#ifndef FUZZ_NETWORK_SANITIZER_H
#define FUZZ_NETWORK_SANITIZER_H

#include <stddef.h>

#include "codec/span.h"

/*
 * Reports of AddressSanitizer, LeakSanitizer, UndefinedBehaviorSanitizer, MemorySanitizer and ThreadSanitizer, of valgrind's memcheck, and glibc's own last words (free(): invalid pointer, stack smashing), as they stand in a log among
 * whatever else was written.
 */
struct sanitizer_report {
	char kind[48];		/* "heap-buffer-overflow", "leak", "signed integer overflow"; static words where known */
	char frames[160];	/* the top frames of the program's own code, innermost first: "read_topic<handle_publish<loop"; allocators, libc and the sanitizer's own left out; without symbols module+0xoffset */
	struct span text;	/* the report, in the log */
};

/* The next report in the log from *at on; false: no more. *at is moved behind it. */
bool sanitizer_next(struct span log, size_t *at, struct sanitizer_report *report);

#endif
