#include <stdlib.h>

#include "fuzz/must.h"
#include "harness/load/hdr_log.h"

/*
 * A log of histograms that somebody wrote. Every line is read or refused, whatever is in it; what was read is written, and read
 * again the same.
 */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static FILE *nowhere;

static void one_line(const struct hdr *h, const struct hdr_line *line)
{
	char *text = NULL;
	size_t len = 0;
	FILE *log = open_memstream(&text, &len);
	struct hdr again = { 0 };
	struct hdr_line read;
	struct fault fault;

	MUST(log && hdr_log_write(log, "", line->start_ns, line->length_ns, h) && fclose(log) == 0);
	struct span left = span_of(text, len);
	MUST(hdr_log_read(&left, &read, &again, &fault) == HDR_LINE_INTERVAL && !left.len);
	MUST(read.start_ns == line->start_ns && read.length_ns == line->length_ns && again.count == h->count && again.max == h->max && again.min == h->min);
	for (unsigned i = 0; i < HDR_BUCKETS; i++)
		MUST(hdr_bucket_count(&again, i) == hdr_bucket_count(h, i));
	hdr_release(&again);
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span left = span_of(data, size);
	enum hdr_line_kind kind;
	size_t before;

	if (!nowhere)
		MUST((nowhere = fopen("/dev/null", "w")));
	do {
		struct hdr h = { 0 };
		struct hdr_line line;
		struct fault fault = { 0 };

		before = left.len;
		kind = hdr_log_read(&left, &line, &h, &fault);
		MUST(kind == HDR_LINE_END || left.len < before);
		MUST(kind == HDR_LINE_INTERVAL || !h.count);
		MUST((kind == HDR_LINE_BAD) == (fault.text[0] != 0));
		if (kind == HDR_LINE_INTERVAL) {
			uint64_t median = hdr_quantile(&h, 500000);

			MUST(median >= h.min && median <= h.max);
			one_line(&h, &line);
			hdr_print_percentiles(nowhere, &h);
		}
		hdr_release(&h);
	} while (kind != HDR_LINE_END);
	return 0;
}
