#include "fuzz/must.h"
#include "fuzz/network/sanitizer.h"

#include <string.h>

/* What a broker under test writes. Every report is found in what was not read yet, is named in one short line, and by the same words whatever stands in front of it. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void one_line(const char *text, size_t cap)
{
	size_t len = strnlen(text, cap);

	MUST(len < cap);
	MUST(!memchr(text, '\n', len) && !memchr(text, '\r', len));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span log = span_of(data, size);
	struct sanitizer_report report, again;
	size_t at = 0, before = 0, at_again;

	while (sanitizer_next(log, &at, &report)) {
		MUST(at > before && at <= size);
		MUST(report.text.at >= data + before && report.text.len && report.text.at + report.text.len <= data + size);
		MUST(report.end <= REPORT_GOES_ON);
		one_line(report.kind, sizeof(report.kind));
		one_line(report.frames, sizeof(report.frames));
		at_again = (size_t)(report.text.at - data);
		MUST(sanitizer_next(log, &at_again, &again));
		MUST(at_again == at && strcmp(report.kind, again.kind) == 0 && strcmp(report.frames, again.frames) == 0 && report.end == again.end);
		before = at;
	}
	MUST(at == size);
	return 0;
}
