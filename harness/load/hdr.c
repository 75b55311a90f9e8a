#include "harness/load/hdr.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/*
 * Values below 2048 have a bucket each: the rows 0 and 1. Each row after covers the next power of two in 1024 steps,
 * of which each is twice as wide as in the row before. Row r begins at bucket 1024 r.
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

static struct hdr_row *row_of(struct hdr *h, unsigned bucket)
{
	struct hdr_row **row = &h->rows[bucket / HDR_HALF];

	if (!*row)
		*row = calloc(1, sizeof(**row));
	return *row;
}

static bool room_for_more(struct hdr_row *row)
{
	return row->more || (row->more = calloc(HDR_HALF, sizeof(*row->more)));
}

/* With room for more where that is needed. */
static void add_to(struct hdr_row *row, unsigned i, uint64_t n)
{
	uint64_t low = row->low[i] + (n & UINT16_MAX), more = (n >> 16) + (low >> 16);

	row->low[i] = (uint16_t)low;
	if (more)
		row->more[i] += more;
}

/* False: no memory, nothing was added. */
static bool add_to_bucket(struct hdr *h, unsigned bucket, uint64_t n)
{
	struct hdr_row *row = row_of(h, bucket);

	if (!row || (n > (uint64_t)UINT16_MAX - row->low[bucket % HDR_HALF] && !room_for_more(row)))
		return false;
	add_to(row, bucket % HDR_HALF, n);
	h->count += n;
	return true;
}

static void stretch(struct hdr *h, bool empty, uint64_t min, uint64_t max)
{
	if (empty || min < h->min)
		h->min = min;
	if (max > h->max)
		h->max = max;
}

bool hdr_record_n(struct hdr *h, uint64_t ns, uint64_t n)
{
	bool empty = !h->count;

	if (!n)
		return true;
	if (!add_to_bucket(h, hdr_bucket(ns > HDR_HIGHEST ? HDR_HIGHEST : ns), n))
		return false;
	stretch(h, empty, ns, ns);
	h->over += ns > HDR_HIGHEST ? n : 0;
	return true;
}

bool hdr_record(struct hdr *h, uint64_t ns)
{
	unsigned bucket = hdr_bucket(ns);
	struct hdr_row *row = ns <= HDR_HIGHEST ? h->rows[bucket / HDR_HALF] : NULL;

	if (__builtin_expect(!row || !h->count || row->low[bucket % HDR_HALF] == UINT16_MAX, 0))
		return hdr_record_n(h, ns, 1);
	row->low[bucket % HDR_HALF]++;
	h->count++;
	if (__builtin_expect(ns < h->min, 0))
		h->min = ns;
	if (__builtin_expect(ns > h->max, 0))
		h->max = ns;
	return true;
}

bool hdr_count(struct hdr *h, unsigned bucket, uint64_t n)
{
	bool empty = !h->count;

	if (!n)
		return true;
	if (!add_to_bucket(h, bucket, n))
		return false;
	stretch(h, empty, hdr_bucket_low(bucket), hdr_bucket_high(bucket));
	return true;
}

/* Plain loops over arrays that do not overlap: they become a few wide instructions. */

static void carry(uint64_t *restrict more, const uint16_t *restrict a, const uint16_t *restrict b)
{
	for (unsigned i = 0; i < HDR_HALF; i++)
		more[i] += ((uint32_t)a[i] + b[i]) >> 16;
}

static void add_low(uint16_t *restrict to, const uint16_t *restrict from)
{
	for (unsigned i = 0; i < HDR_HALF; i++)
		to[i] = (uint16_t)(to[i] + from[i]);
}

static void add_more(uint64_t *restrict to, const uint64_t *restrict from)
{
	for (unsigned i = 0; i < HDR_HALF; i++)
		to[i] += from[i];
}

static bool any_full(const uint16_t *a, const uint16_t *b)
{
	unsigned full = 0;

	for (unsigned i = 0; i < HDR_HALF; i++)
		full |= ((uint32_t)a[i] + b[i]) >> 16;
	return full;
}

/* For the sum of both. */
static bool room_for_row(struct hdr *to, const struct hdr_row *from, unsigned r)
{
	struct hdr_row *row = row_of(to, r * HDR_HALF);

	return row && (row->more || !(from->more || (to->count && any_full(row->low, from->low))) || room_for_more(row));
}

static void add_row(struct hdr_row *to, const struct hdr_row *from, bool empty)
{
	if (empty && !to->more) {
		memcpy(to->low, from->low, sizeof(to->low));
		return;
	}
	if (to->more)		/* else there is room without */
		carry(to->more, to->low, from->low);
	if (from->more)
		add_more(to->more, from->more);
	add_low(to->low, from->low);
}

bool hdr_add(struct hdr *to, const struct hdr *from)
{
	for (unsigned r = 0; r < HDR_ROWS; r++)		/* all the room first: it is added whole or not at all */
		if (from->rows[r] && !room_for_row(to, from->rows[r], r))
			return false;
	for (unsigned r = 0; r < HDR_ROWS; r++)
		if (from->rows[r])
			add_row(to->rows[r], from->rows[r], !to->count);
	if (from->count)
		stretch(to, !to->count, from->min, from->max);
	to->count += from->count;
	to->over += from->over;
	return true;
}

static uint64_t sum_of(const struct hdr_row *row)
{
	uint32_t low = 0;
	uint64_t more = 0;

	for (unsigned i = 0; i < HDR_HALF; i++)
		low += row->low[i];
	for (unsigned i = 0; row->more && i < HDR_HALF; i++)
		more += row->more[i];
	return low + (more << 16);
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
	for (unsigned r = 0; r < HDR_ROWS; r++) {
		uint64_t here = h->rows[r] ? sum_of(h->rows[r]) : 0;

		if (seen + here < wanted) {
			seen += here;
			continue;
		}
		for (unsigned i = 0; i < HDR_HALF; i++) {
			seen += hdr_row_count(h->rows[r], i);
			if (seen >= wanted) {
				uint64_t high = hdr_bucket_high(r * HDR_HALF + i);

				return high < h->max ? high : h->max;
			}
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
			if (hdr_row_count(h->rows[r], i))
				sum += (double)hdr_row_count(h->rows[r], i) * middle(r * HDR_HALF + i);
	return h->count ? sum / (double)h->count : 0;
}

double hdr_deviation(const struct hdr *h)
{
	double mean = hdr_mean(h), sum = 0;

	for (unsigned r = 0; r < HDR_ROWS; r++)
		for (unsigned i = 0; h->rows[r] && i < HDR_HALF; i++)
			if (hdr_row_count(h->rows[r], i)) {
				double apart = middle(r * HDR_HALF + i) - mean;

				sum += apart * apart * (double)hdr_row_count(h->rows[r], i);
			}
	return h->count ? sqrt(sum / (double)h->count) : 0;
}

void hdr_reset(struct hdr *h)
{
	for (unsigned r = 0; r < HDR_ROWS; r++) {
		struct hdr_row *row = h->rows[r];

		if (!row)
			continue;
		memset(row->low, 0, sizeof(row->low));
		if (row->more)
			memset(row->more, 0, HDR_HALF * sizeof(*row->more));
	}
	h->count = h->over = h->min = h->max = 0;
}

void hdr_release(struct hdr *h)
{
	for (unsigned r = 0; r < HDR_ROWS; r++) {
		if (h->rows[r])
			free(h->rows[r]->more);
		free(h->rows[r]);
	}
	*h = (struct hdr){ 0 };
}
