#include "harness/health.h"

#include <string.h>

#include "harness/escape.h"

static bool holds(const char *line, size_t len, const char *text)
{
	return memmem(line, len, text, strlen(text));
}

/* "SUMMARY: AddressSanitizer: heap-use-after-free a.c:7:3 in f", "==7==ERROR: LeakSanitizer: ...", "a.c:7:3: runtime error: ..." */
static unsigned weight_of(const char *line, size_t len)
{
	if (holds(line, len, "SUMMARY: ") && holds(line, len, "Sanitizer: "))
		return 3;
	if (holds(line, len, ": runtime error: "))
		return 2;
	return holds(line, len, "Sanitizer: ") && (holds(line, len, "ERROR: ") || holds(line, len, "WARNING: "));
}

bool health_find_report(const char *said, size_t len, char *line, size_t cap)
{
	unsigned best = 0;

	for (const char *at = said, *end = said + len; at < end;) {
		const char *newline = memchr(at, '\n', (size_t)(end - at));
		size_t n = (size_t)((newline ? newline : end) - at);
		unsigned weight = weight_of(at, n);

		if (weight > best) {
			best = weight;
			escape_bytes(at, n, line, cap);
		}
		at += n + 1;
	}
	return best;
}
