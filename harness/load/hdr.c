#include "harness/load/hdr.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/*
 * Values below 2048 have a bucket each: the rows 0 and 1. Each row after covers the next power of two in 1024 steps, of which each is twice as
 * wide as in the row before. Row r begins at bucket 1024 r.
 */
enum { HALF_BITS = 10 };

unsigned hdr_bucket(uint64_t ns)
{
	unsigned bits = 64 - (unsigned)__builtin_clzll(ns | (2 * HDR_HALF - 1));	/* 11 and more */
	unsigned shift = bits - HALF_BITS - 1;

	return (shift << HALF_BITS) + (unsigned)(ns >> shift);
}

static unsigned shift_of(unsigned bucket)
{
	unsigned row = bucket / HDR_HALF;

	return row ? row - 1 : 0;
}

uint64_t hdr_bucket_low(unsigned bucket)
{
	unsigned shift = shift_of(bucket);

	return (uint64_t)(bucket - (shift << HALF_BITS)) << shift;
}

uint64_t hdr_bucket_high(unsigned bucket)
{
	return hdr_bucket_low(bucket) + (1ull << shift_of(bucket)) - 1;
}

static uint64_t *row_of(struct hdr *h, unsigned bucket)
{
	uint64_t **row = &h->rows[bucket / HDR_HALF];

	if (!*row)
		*row = calloc(HDR_HALF, sizeof(**row));
	return *row;
}

bool hdr_record_n(struct hdr *h, uint64_t ns, uint64_t n)
{
	uint64_t counted = ns > HDR_HIGHEST ? HDR_HIGHEST : ns;
	unsigned bucket = hdr_bucket(counted);

	if (!n)
		return true;
	uint64_t *row = row_of(h, bucket);
	if (!row)
		return false;
	row[bucket % HDR_HALF] += n;
	if (!h->count || ns < h->min)
		h->min = ns;
	if (ns > h->max)
		h->max = ns;
	h->count += n;
	h->over += ns > HDR_HIGHEST ? n : 0;
	return true;
}

bool hdr_record(struct hdr *h, uint64_t ns)
{
	unsigned bucket = hdr_bucket(ns);
	uint64_t *row = ns <= HDR_HIGHEST ? h->rows[bucket / HDR_HALF] : NULL;

	if (__builtin_expect(!row || !h->count, 0))
		return hdr_record_n(h, ns, 1);
	row[bucket % HDR_HALF]++;
	h->count++;
	if (__builtin_expect(ns < h->min, 0))
		h->min = ns;
	if (__builtin_expect(ns > h->max, 0))
		h->max = ns;
	return true;
}

bool hdr_count(struct hdr *h, unsigned bucket, uint64_t n)
{
	uint64_t low = hdr_bucket_low(bucket), high = hdr_bucket_high(bucket);

	if (!n)
		return true;
	uint64_t *row = row_of(h, bucket);
	if (!row)
		return false;
	row[bucket % HDR_HALF] += n;
	if (!h->count || low < h->min)
		h->min = low;
	if (high > h->max)
		h->max = high;
	h->count += n;
	return true;
}

bool hdr_add(struct hdr *to, const struct hdr *from)
{
	for (unsigned r = 0; r < HDR_ROWS; r++)		/* all the room first: it is added whole or not at all */
		if (from->rows[r] && !row_of(to, r * HDR_HALF))
			return false;
	for (unsigned r = 0; r < HDR_ROWS; r++)
		for (unsigned i = 0; from->rows[r] && i < HDR_HALF; i++)
			to->rows[r][i] += from->rows[r][i];
	if (from->count && (!to->count || from->min < to->min))
		to->min = from->min;
	if (from->max > to->max)
		to->max = from->max;
	to->count += from->count;
	to->over += from->over;
	return true;
}

uint64_t hdr_quantile(const struct hdr *h, uint32_t per_million)
{
	/* rounded up, by whole numbers: no quantile may fall short for a digit that a double has not */
	uint64_t wanted = (uint64_t)(((unsigned __int128)h->count * per_million + 999999) / 1000000), seen = 0;

	if (!h->count)
		return 0;
	if (wanted >= h->count)
		return h->max;
	if (!wanted)
		wanted = 1;
	for (unsigned r = 0; r < HDR_ROWS; r++)
		for (unsigned i = 0; h->rows[r] && i < HDR_HALF; i++) {
			seen += h->rows[r][i];
			if (seen >= wanted) {
				uint64_t high = hdr_bucket_high(r * HDR_HALF + i);

				return high < h->max ? high : h->max;
			}
		}
	return h->max;
}

/* The value that stands for all in a bucket. */
static double middle(unsigned bucket)
{
	return (double)(hdr_bucket_low(bucket) + ((1ull << shift_of(bucket)) >> 1));
}

double hdr_mean(const struct hdr *h)
{
	double sum = 0;

	for (unsigned r = 0; r < HDR_ROWS; r++)
		for (unsigned i = 0; h->rows[r] && i < HDR_HALF; i++)
			if (h->rows[r][i])
				sum += (double)h->rows[r][i] * middle(r * HDR_HALF + i);
	return h->count ? sum / (double)h->count : 0;
}

double hdr_deviation(const struct hdr *h)
{
	double mean = hdr_mean(h), sum = 0;

	for (unsigned r = 0; r < HDR_ROWS; r++)
		for (unsigned i = 0; h->rows[r] && i < HDR_HALF; i++)
			if (h->rows[r][i]) {
				double apart = middle(r * HDR_HALF + i) - mean;

				sum += apart * apart * (double)h->rows[r][i];
			}
	return h->count ? sqrt(sum / (double)h->count) : 0;
}

void hdr_reset(struct hdr *h)
{
	for (unsigned r = 0; r < HDR_ROWS; r++)
		if (h->rows[r])
			memset(h->rows[r], 0, HDR_HALF * sizeof(*h->rows[r]));
	h->count = h->over = h->min = h->max = 0;
}

void hdr_release(struct hdr *h)
{
	for (unsigned r = 0; r < HDR_ROWS; r++)
		free(h->rows[r]);
	*h = (struct hdr){ 0 };
}
