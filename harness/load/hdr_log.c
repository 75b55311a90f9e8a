#include "harness/load/hdr_log.h"

#include <inttypes.h>
#include <math.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

/*
 * The V2 encoding: a head of 40 bytes, then the counts from the first bucket on as ZigZag LEB128 of up to nine bytes, a run of n empty
 * buckets as -n; all of it compressed by zlib behind a head of 8 bytes. Integers are big-endian.
 */
enum {
	COOKIE = 0x1c849313, COMPRESSED = 0x1c849314,
	HEAD = 40, PACKED_HEAD = 8, MAX_NUMBER = 9,
	MAX_ENCODED = HEAD + HDR_BUCKETS * MAX_NUMBER,
};
#define MAX_COUNT (1ull << 53)		/* of what is read: sums of many stay far from 2^64, and a double holds it exactly */

/* ---- numbers ---- */

static uint8_t *put_be(uint8_t *to, uint64_t value, int n)
{
	while (n--)
		*to++ = (uint8_t)(value >> 8 * n);
	return to;
}

static uint64_t get_be(const uint8_t *from, int n)
{
	uint64_t value = 0;

	while (n--)
		value = value << 8 | *from++;
	return value;
}

static uint8_t *put_number(uint8_t *to, int64_t number)
{
	uint64_t left = (uint64_t)number << 1 ^ (uint64_t)(number >> 63);

	for (int i = 1; i < MAX_NUMBER; i++, left >>= 7) {
		if (left < 0x80)
			break;
		*to++ = (uint8_t)left | 0x80;
	}
	*to++ = (uint8_t)left;		/* the ninth byte has eight bits */
	return to;
}

static bool get_number(const uint8_t **from, const uint8_t *end, int64_t *number)
{
	uint64_t value = 0;

	for (int i = 0; i < MAX_NUMBER; i++) {
		if (*from == end)
			return false;
		uint8_t byte = *(*from)++;
		bool last = i == MAX_NUMBER - 1 || !(byte & 0x80);

		value |= (uint64_t)(i == MAX_NUMBER - 1 ? byte : byte & 0x7f) << 7 * i;
		if (last)
			break;
	}
	*number = (int64_t)(value >> 1) ^ -(int64_t)(value & 1);
	return true;
}

/* ---- a histogram's bytes ---- */

static size_t encode_counts(const struct hdr *h, uint8_t *to)
{
	uint8_t *p = to;
	unsigned last = h->count ? hdr_bucket(h->max > HDR_HIGHEST ? HDR_HIGHEST : h->max) : 0;

	for (unsigned i = 0; i <= last;) {
		uint64_t count = hdr_bucket_count(h, i);
		unsigned from = i;

		if (count) {
			p = put_number(p, (int64_t)count);
			i++;
			continue;
		}
		while (i <= last && !hdr_bucket_count(h, i))
			i += h->rows[i / HDR_HALF] ? 1 : HDR_HALF - i % HDR_HALF;	/* a whole row of nothing */
		i = i <= last ? i : last + 1;
		p = put_number(p, i - from == 1 ? 0 : -(int64_t)(i - from));
	}
	return (size_t)(p - to);
}

/* Of the bytes that encode() writes. */
static size_t most_encoded(const struct hdr *h)
{
	size_t n = HEAD + HDR_ROWS * MAX_NUMBER;

	for (unsigned r = 0; r < HDR_ROWS; r++)
		n += h->rows[r] ? HDR_HALF * MAX_NUMBER : 0;
	return n;
}

static size_t encode(const struct hdr *h, uint8_t *to)
{
	static const double ratio = 1.0;
	uint64_t ratio_bits;
	size_t n = encode_counts(h, to + HEAD);
	uint8_t *p = to;

	memcpy(&ratio_bits, &ratio, sizeof(ratio_bits));
	p = put_be(p, COOKIE, 4);
	p = put_be(p, n, 4);
	p = put_be(p, 0, 4);			/* normalizing index offset */
	p = put_be(p, HDR_DIGITS, 4);
	p = put_be(p, HDR_LOWEST, 8);
	p = put_be(p, HDR_HIGHEST, 8);
	put_be(p, ratio_bits, 8);
	return HEAD + n;
}

static bool add_counts(const uint8_t *p, const uint8_t *end, struct hdr *h, const char **why)
{
	const uint64_t beyond = hdr_bucket(HDR_HIGHEST) + 1;
	uint64_t bucket = 0;
	int64_t n;

	while (p < end) {
		if (!get_number(&p, end, &n)) {
			*why = "ends within a count";
			return false;
		}
		uint64_t empty = n < 0 ? -(uint64_t)n : n == 0;
		if (n > 0 && (bucket >= beyond || (uint64_t)n > MAX_COUNT - h->count)) {
			*why = bucket >= beyond ? "counts something longer than an hour" : "counts more than 2^53";
			return false;
		}
		if (n > 0 && !hdr_count(h, (unsigned)bucket, (uint64_t)n)) {
			*why = "does not fit into memory";
			return false;
		}
		bucket += n > 0;
		bucket += empty < HDR_BUCKETS ? empty : HDR_BUCKETS;
		bucket = bucket < HDR_BUCKETS ? bucket : HDR_BUCKETS;
	}
	return true;
}

static bool decode(const uint8_t *bytes, size_t len, struct hdr *h, const char **why)
{
	if (len < HEAD || get_be(bytes, 4) != COOKIE)
		*why = "is not HdrHistogram's V2 encoding";
	else if (get_be(bytes + 12, 4) != HDR_DIGITS || get_be(bytes + 16, 8) != HDR_LOWEST || get_be(bytes + 24, 8) != HDR_HIGHEST)
		*why = "has other buckets: not from 1 ns to an hour with three digits";
	else if (get_be(bytes + 4, 4) != len - HEAD || get_be(bytes + 8, 4))
		*why = "has a length that is not its own";
	else
		return add_counts(bytes + HEAD, bytes + len, h, why);
	return false;
}

char *hdr_payload(const struct hdr *h)
{
	uint8_t *plain = malloc(most_encoded(h));
	size_t len = plain ? encode(h, plain) : 0;
	uLongf packed_len = compressBound(len);
	uint8_t *packed = malloc(PACKED_HEAD + packed_len);
	char *text = NULL;

	if (plain && packed && compress(packed + PACKED_HEAD, &packed_len, plain, len) == Z_OK &&
	    (text = malloc((PACKED_HEAD + packed_len + 2) / 3 * 4 + 1))) {
		put_be(put_be(packed, COMPRESSED, 4), packed_len, 4);
		EVP_EncodeBlock((uint8_t *)text, packed, (int)(PACKED_HEAD + packed_len));
	}
	free(packed);
	free(plain);
	return text;
}

/* The bytes of base64, or -1. EVP_DecodeBlock() minds neither blanks around it nor '=' within. */
static int decode_base64(struct span text, uint8_t *out)
{
	size_t padding = 0;

	while (padding < 2 && padding < text.len && text.at[text.len - 1 - padding] == '=')
		padding++;
	for (size_t i = 0; i < text.len - padding; i++)
		if (text.at[i] <= ' ' || text.at[i] == '=')
			return -1;
	int n = text.len % 4 || !text.len ? -1 : EVP_DecodeBlock(out, text.at, (int)text.len);
	return n < 0 ? -1 : n - (int)padding;
}

static bool decode_payload(struct span base64, uint8_t *packed, uint8_t *plain, struct hdr *h, const char **why)
{
	uLongf plain_len = MAX_ENCODED;
	int n = decode_base64(base64, packed);

	if (n < PACKED_HEAD)
		*why = "is no base64";
	else if (get_be(packed, 4) != COMPRESSED || get_be(packed + 4, 4) != (uint64_t)(n - PACKED_HEAD))
		*why = "is not HdrHistogram's compressed V2 encoding";
	else if (uncompress(plain, &plain_len, packed + PACKED_HEAD, (uLong)(n - PACKED_HEAD)) != Z_OK)
		*why = "cannot be uncompressed";
	else
		return decode(plain, plain_len, h, why);
	return false;
}

bool hdr_add_payload(struct hdr *h, struct span base64, const char **why)
{
	if (base64.len > 2 * MAX_ENCODED) {
		*why = "is longer than any can be";
		return false;
	}
	uint8_t *packed = malloc(base64.len + 4), *plain = malloc(MAX_ENCODED);
	struct hdr read = { 0 };

	*why = "does not fit into memory";
	bool ok = packed && plain && decode_payload(base64, packed, plain, &read, why) && hdr_add(h, &read);
	hdr_release(&read);
	free(packed);
	free(plain);
	return ok;
}

/* ---- a line ---- */

void hdr_log_begin(FILE *out, uint64_t epoch_ns)
{
	fprintf(out, "#[Histogram log format version 1.3]\n");
	fprintf(out, "#[BaseTime: %" PRIu64 ".%03u (seconds since epoch)]\n", epoch_ns / 1000000000, (unsigned)(epoch_ns / 1000000 % 1000));
	fprintf(out, "#[StartTime: %" PRIu64 ".%03u (seconds since epoch)]\n", epoch_ns / 1000000000, (unsigned)(epoch_ns / 1000000 % 1000));
	fprintf(out, "\"StartTimestamp\",\"Interval_Length\",\"Interval_Max\",\"Interval_Compressed_Histogram\"\n");
}

/* Three digits behind the point, as others write it; more only where there is more to say. */
static void print_seconds(FILE *out, uint64_t ns)
{
	uint64_t whole = ns / 1000000000, part = ns % 1000000000;

	if (part % 1000000)
		fprintf(out, "%" PRIu64 ".%09" PRIu64 ",", whole, part);
	else
		fprintf(out, "%" PRIu64 ".%03" PRIu64 ",", whole, part / 1000000);
}

bool hdr_log_write(FILE *out, const char *tag, uint64_t start_ns, uint64_t length_ns, const struct hdr *h)
{
	char *payload = hdr_payload(h);

	if (!payload)
		return false;
	if (*tag)
		fprintf(out, "Tag=%s,", tag);
	print_seconds(out, start_ns);
	print_seconds(out, length_ns);
	fprintf(out, "%" PRIu64 ".%03" PRIu64 ",%s\n", h->max / 1000000, h->max / 1000 % 1000, payload);
	free(payload);
	return true;
}

/* ---- reading ---- */

static bool take_field(struct span *line, struct span *field)
{
	const uint8_t *comma = line->len ? memchr(line->at, ',', line->len) : NULL;

	if (!comma)
		return false;
	*field = span_of(line->at, (size_t)(comma - line->at));
	*line = span_of(comma + 1, line->len - field->len - 1);
	return true;
}

/* DIGITS [. DIGITS], to the nanosecond; what is finer is dropped. */
static bool read_seconds(struct span s, uint64_t *ns)
{
	uint64_t value = 0, unit = 1000000000;
	size_t i = 0;

	for (; i < s.len && s.at[i] >= '0' && s.at[i] <= '9' && value < 1000000000; i++)
		value = value * 10 + (uint64_t)(s.at[i] - '0');
	*ns = value * 1000000000;
	if (!i || (i < s.len && s.at[i] != '.'))
		return false;
	for (i += i < s.len; i < s.len && s.at[i] >= '0' && s.at[i] <= '9'; i++)
		*ns += (uint64_t)(s.at[i] - '0') * (unit /= 10);
	return i == s.len;
}

static enum hdr_line_kind bad(struct fault *fault, const char *what)
{
	snprintf(fault->text, sizeof(fault->text), "%s", what);
	return HDR_LINE_BAD;
}

enum hdr_line_kind hdr_log_read(struct span *text, struct hdr_line *line, struct hdr *h, struct fault *fault)
{
	const uint8_t *end = text->len ? memchr(text->at, '\n', text->len) : NULL;
	struct span left = span_of(text->at, end ? (size_t)(end - text->at) : text->len), field;
	const char *why;

	if (!text->len)
		return HDR_LINE_END;
	*text = span_of(text->at + left.len + !!end, text->len - left.len - !!end);
	if (left.len && left.at[left.len - 1] == '\r')
		left.len--;
	if (!left.len || left.at[0] == '#' || left.at[0] == '"')
		return HDR_LINE_OTHER;
	*line = (struct hdr_line){ 0 };
	if (left.len > 4 && !memcmp(left.at, "Tag=", 4)) {
		if (!take_field(&left, &line->tag))
			return bad(fault, "expected a comma behind the tag");
		line->tag = span_of(line->tag.at + 4, line->tag.len - 4);
	}
	if (!take_field(&left, &field) || !read_seconds(field, &line->start_ns))
		return bad(fault, "expected the interval's start in seconds");
	if (!take_field(&left, &field) || !read_seconds(field, &line->length_ns))
		return bad(fault, "expected the interval's length in seconds");
	if (!take_field(&left, &field))
		return bad(fault, "expected the interval's longest, then the histogram");
	if (hdr_add_payload(h, left, &why))
		return HDR_LINE_INTERVAL;
	snprintf(fault->text, sizeof(fault->text), "the histogram %s", why);
	return HDR_LINE_BAD;
}

/* ---- percentiles ---- */

/* HdrHistogram's own steps: so many ticks in each half of what is left to 100 %. */
static double next_percentile(double at)
{
	enum { TICKS = 5 };
	double half = pow(2, floor(log(100 / (100 - at)) / log(2)) + 1);

	return at + 100 / (half * TICKS);
}

/* By whole numbers, so that a half is rounded up wherever it is. */
static void print_ms(FILE *out, uint64_t ns)
{
	char text[32];
	uint64_t us = (ns + 500) / 1000;

	snprintf(text, sizeof(text), "%" PRIu64 ".%03" PRIu64, us / 1000, us % 1000);
	fprintf(out, "%12s", text);
}

/* To so many places, of which a half is rounded up as well. */
static void print_real(FILE *out, int width, int places, double value)
{
	fprintf(out, " %*.*f", width, places, nextafter(value, INFINITY));
}

static void print_ticks(FILE *out, const struct hdr *h)
{
	double wanted = 0;
	uint64_t seen = 0;

	for (unsigned i = 0; seen < h->count; i++) {
		uint64_t n = hdr_bucket_count(h, i);

		if (!n)
			continue;
		seen += n;
		/* In the last bucket one tick is printed, not all that it reaches. */
		for (bool more = true; more && 100.0 * (double)seen / (double)h->count >= wanted; wanted = next_percentile(wanted)) {
			print_ms(out, hdr_bucket_high(i));
			print_real(out, 14, 12, wanted / 100);
			fprintf(out, " %10" PRIu64, seen);
			print_real(out, 14, 2, 1 / (1 - wanted / 100));
			fputc('\n', out);
			more = seen < h->count;
		}
	}
}

void hdr_print_percentiles(FILE *out, const struct hdr *h)
{
	const double ms = 1e6;
	uint64_t longest = h->count ? hdr_bucket_high(hdr_bucket(h->max > HDR_HIGHEST ? HDR_HIGHEST : h->max)) : 0;

	fprintf(out, "%12s %14s %10s %14s\n\n", "Value", "Percentile", "TotalCount", "1/(1-Percentile)");
	if (h->count) {
		print_ticks(out, h);
		print_ms(out, longest);
		fprintf(out, " %2.12f %10" PRIu64 "\n", 1.0, h->count);
	}
	fprintf(out, "#[Mean    = %12.3f, StdDeviation   = %12.3f]\n", hdr_mean(h) / ms, hdr_deviation(h) / ms);
	fputs("#[Max     = ", out);
	print_ms(out, longest);
	fprintf(out, ", Total count    = %12" PRIu64 "]\n", h->count);
	fprintf(out, "#[Buckets = %12d, SubBuckets     = %12d]\n", HDR_ROWS - 1, 2 * HDR_HALF);
}
