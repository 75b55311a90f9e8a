#ifndef FUZZ_NETWORK_SANITIZER_H
#define FUZZ_NETWORK_SANITIZER_H

#include <stdbool.h>
#include <stddef.h>

#include "codec/span.h"

/*
 * Reports of AddressSanitizer, LeakSanitizer, UndefinedBehaviorSanitizer, MemorySanitizer and ThreadSanitizer (gcc's and clang's, with symbols and without, coloured or not), of valgrind's memcheck, and what a process says of itself before it dies: glibc
 * (free(): invalid pointer, stack smashing), assert(), an exception of C++ that nobody catches, panics of Go and Rust; as they stand in a log among whatever else was written. Erlang's crash reports are none: there a
 * process that fails is a way to close a connection.
 */
enum sanitizer_end {
	REPORT_ENDS,		/* its last line is there */
	REPORT_MAY_GO_ON,	/* no line says that it ends, and the log does */
	REPORT_GOES_ON,		/* its last line is still to come */
};

struct sanitizer_report {
	char kind[48];		/* "heap-buffer-overflow", "leak", "signed integer overflow": without numbers and addresses */
	/*
	 * The top three frames of the program's own code, innermost first: "read_topic<handle_publish<loop". Allocators, libc and the sanitizer's own are left out, C++ names cut at their arguments. Without symbols broker+0x1234; with a
	 * place only, packet.c:12. "" when nothing is told.
	 */
	char frames[160];
	struct span text;	/* the report, in the log */
	enum sanitizer_end end;
	bool last_words;	/* the process's own, not a sanitizer's: what it dies of, if it does */
};

/*
 * The next report in the log from *at on; false: no more. *at is moved behind it. A leak report is one report for each place that leaks; what is only reachable from there (indirect) is none, unless there is nothing else.
 */
bool sanitizer_next(struct span log, size_t *at, struct sanitizer_report *report);

#endif
