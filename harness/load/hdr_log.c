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
			i++;
		p = put_number(p, i - from == 1 ? 0 : -(int64_t)(i - from));
	}
	return (size_t)(p - to);
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
	uint64_t bucket = 0;
	int64_t n;

	while (p < end) {
		if (!get_number(&p, end, &n)) {
			*why = "ends within a count";
			return false;
		}
		if (n < 0) {
			bucket += (uint64_t)-n;
			continue;
		}
		if (bucket >= HDR_BUCKETS) {
			*why = "counts more buckets than it says it has";
			return false;
		}
		if (n && !hdr_record_n(h, hdr_bucket_high((unsigned)bucket) > HDR_HIGHEST ? HDR_HIGHEST : hdr_bucket_high((unsigned)bucket), (uint64_t)n)) {
			*why = "no memory";
			return false;
		}
		bucket++;
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

/* ---- a line ---- */

void hdr_log_begin(FILE *out, uint64_t epoch_ns)
{
	fprintf(out, "#[Histogram log format version 1.3]\n");
	fprintf(out, "#[BaseTime: %" PRIu64 ".%03u (seconds since epoch)]\n", epoch_ns / 1000000000, (unsigned)(epoch_ns / 1000000 % 1000));
	fprintf(out, "#[StartTime: %" PRIu64 ".%03u (seconds since epoch)]\n", epoch_ns / 1000000000, (unsigned)(epoch_ns / 1000000 % 1000));
	fprintf(out, "\"StartTimestamp\",\"Interval_Length\",\"Interval_Max\",\"Interval_Compressed_Histogram\"\n");
}

/* With three digits behind the point. */
static void print_time(FILE *out, uint64_t ns, uint64_t unit)
{
	fprintf(out, "%" PRIu64 ".%03" PRIu64, ns / unit, ns % unit / (unit / 1000));
}

bool hdr_log_write(FILE *out, const char *tag, uint64_t start_ns, uint64_t length_ns, const struct hdr *h)
{
	uint8_t *plain = malloc(MAX_ENCODED);
	uLongf packed_len = compressBound(MAX_ENCODED);
	uint8_t *packed = malloc(PACKED_HEAD + packed_len);
	char *text = malloc((PACKED_HEAD + packed_len) * 4 / 3 + 8);
	bool ok = plain && packed && text && compress(packed + PACKED_HEAD, &packed_len, plain, encode(h, plain)) == Z_OK;

	if (ok) {
		put_be(put_be(packed, COMPRESSED, 4), packed_len, 4);
		EVP_EncodeBlock((uint8_t *)text, packed, (int)(PACKED_HEAD + packed_len));
		if (*tag)
			fprintf(out, "Tag=%s,", tag);
		print_time(out, start_ns, 1000000000);
		fputc(',', out);
		print_time(out, length_ns, 1000000000);
		fputc(',', out);
		print_time(out, h->max, 1000000);
		fprintf(out, ",%s\n", text);
	}
	free(text);
	free(packed);
	free(plain);
	return ok;
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

/* Seconds with a fraction, to the nanosecond. */
static bool read_seconds(struct span s, uint64_t *ns)
{
	uint64_t value = 0, unit = 1000000000;
	bool point = false;

	for (size_t i = 0; i < s.len; i++) {
		if (s.at[i] == '.' && !point) {
			point = true;
		} else if (s.at[i] >= '0' && s.at[i] <= '9' && value < 1000000000000000000u) {
			if (!point)
				value = value * 10 + (uint64_t)(s.at[i] - '0') * 1000000000;
			else
				value += (uint64_t)(s.at[i] - '0') * (unit /= 10);
		} else {
			return false;
		}
	}
	*ns = value;
	return s.len;
}

static bool read_payload(struct span base64, struct hdr *h, const char **why)
{
	uint8_t *packed = malloc(base64.len + 4), *plain = malloc(MAX_ENCODED);
	uLongf plain_len = MAX_ENCODED;
	bool ok = false;
	int n = base64.len % 4 || base64.len > 4 * MAX_ENCODED || !packed ? -1 : EVP_DecodeBlock(packed, base64.at, (int)base64.len);

	for (size_t i = base64.len; n > 0 && i && base64.at[i - 1] == '='; i--)
		n--;
	if (!packed || !plain)
		*why = "no memory";
	else if (n < PACKED_HEAD)
		*why = "is no base64";
	else if (get_be(packed, 4) != COMPRESSED || get_be(packed + 4, 4) != (uint64_t)(n - PACKED_HEAD))
		*why = "is not HdrHistogram's compressed V2 encoding";
	else if (uncompress(plain, &plain_len, packed + PACKED_HEAD, (uLong)(n - PACKED_HEAD)) != Z_OK)
		*why = "cannot be uncompressed";
	else
		ok = decode(plain, plain_len, h, why);
	free(packed);
	free(plain);
	return ok;
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
	struct hdr read = { 0 };
	const char *why = NULL;

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
	bool ok = read_payload(left, &read, &why) && hdr_add(h, &read);
	hdr_release(&read);
	if (ok)
		return HDR_LINE_INTERVAL;
	snprintf(fault->text, sizeof(fault->text), "the histogram %s", why ? why : "does not fit into memory");
	return HDR_LINE_BAD;
}

/* ---- percentiles ---- */

/* HdrHistogram's own steps: so many ticks in each half of what is left to 100 %. */
static double next_percentile(double at)
{
	enum { TICKS = 5 };
	double half = pow(2, floor(log2(100 / (100 - at))) + 1);

	return at + 100 / (half * TICKS);
}

void hdr_print_percentiles(FILE *out, const struct hdr *h)
{
	const double ms = 1e6;
	double wanted = 0;
	uint64_t seen = 0;

	fprintf(out, "%12s %14s %10s %14s\n\n", "Value", "Percentile", "TotalCount", "1/(1-Percentile)");
	for (unsigned i = 0; h->count && i < HDR_BUCKETS && seen < h->count; i++) {
		uint64_t n = hdr_bucket_count(h, i);

		if (!n)
			continue;
		seen += n;
		double reached = 100.0 * (double)seen / (double)h->count, value = (double)hdr_bucket_high(i) / ms;
		for (; wanted <= reached && wanted < 100; wanted = next_percentile(wanted)) {
			if (seen == h->count && wanted > 100.0 * (double)(h->count - 1) / (double)h->count)
				break;
			fprintf(out, "%12.3f %2.12f %10" PRIu64 " %14.2f\n", value, wanted / 100, seen, 1 / (1 - wanted / 100));
		}
		if (seen == h->count)
			fprintf(out, "%12.3f %2.12f %10" PRIu64 "\n", value, 1.0, seen);
	}
	fprintf(out, "#[Mean    = %12.3f, StdDeviation   = %12.3f]\n", hdr_mean(h) / ms, hdr_deviation(h) / ms);
	fprintf(out, "#[Max     = %12.3f, Total count    = %12" PRIu64 "]\n", (double)h->max / ms, h->count);
	fprintf(out, "#[Buckets = %12d, SubBuckets     = %12d]\n", HDR_ROWS - 1, 2 * HDR_HALF);
}
