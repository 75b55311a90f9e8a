#ifndef LOAD_HDR_LOG_H
#define LOAD_HDR_LOG_H

#include <stdio.h>

#include "codec/fault.h"
#include "codec/span.h"
#include "harness/load/hdr.h"

/*
 * Histograms written down as HdrHistogram's tools read them: the log format 1.3 (a line for each interval and tag, compressed V2
 * payload in base64) and the percentile text that its plotter takes. What is written here and read back is the same to the last count.
 */

/*
 * A histogram alone: the compressed V2 payload in base64, which json and logs carry. It has every bucket's count, but of min and max
 * only the bucket, and of `over` nothing. Given; NULL: no memory.
 */
char *hdr_payload(const struct hdr *h);

/*
 * Adds what such a payload holds to *h. False: nothing was added and *why, static, says what the histogram is or has,
 * "cannot be uncompressed".
 */
bool hdr_add_payload(struct hdr *h, struct span base64, const char **why);

/* The head of a log. epoch_ns: when the intervals' times begin, since 1970. */
void hdr_log_begin(FILE *out, uint64_t epoch_ns);

/* One interval. start_ns and length_ns: since the epoch. tag: letters, digits, . - _ only; "" for none. False: no memory. */
bool hdr_log_write(FILE *out, const char *tag, uint64_t start_ns, uint64_t length_ns, const struct hdr *h);

struct hdr_line {
	struct span tag;		/* borrowed from the text; at NULL: none */
	uint64_t start_ns, length_ns;
};

enum hdr_line_kind { HDR_LINE_END, HDR_LINE_INTERVAL, HDR_LINE_OTHER /* a comment, the header */, HDR_LINE_BAD };

/*
 * The next line of a log, of which *text is what is left. An interval is added to *h. Whatever the text, a line takes
 * at most a megabyte more than its length, and no line counts more than 2^53. HDR_LINE_BAD: *fault says what is wrong
 * in that line (fault->line is the caller's to fill in), and nothing was added.
 */
enum hdr_line_kind hdr_log_read(struct span *text, struct hdr_line *line, struct hdr *h, struct fault *fault);

/*
 * HdrHistogram's percentile distribution, in milliseconds, five ticks to each halving of the distance to 100 %; to the letter what its own
 * HistogramLogProcessor makes of the log. So it has the end of a bucket where figures have the exact longest.
 */
void hdr_print_percentiles(FILE *out, const struct hdr *h);

#endif
