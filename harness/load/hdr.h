#ifndef LOAD_HDR_H
#define LOAD_HDR_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Durations in nanoseconds as HdrHistogram counts them: from 1 ns to an hour, three significant digits, each bucket at most 0.1 %
 * wide. Every histogram has the same buckets, so that adding two loses nothing, in whatever order, and what is written down
 * (hdr_log.h) is read by the HdrHistogram of any language. A row of 1024 buckets is made when something falls into it: recording
 * costs a few instructions, an empty histogram some hundred bytes, one of a millisecond's spread 2 to 6 kB, more where a bucket
 * counts more than 65535: a second of a run is kept for as long as the run is told of.
 */
enum { HDR_DIGITS = 3, HDR_HALF = 1024 /* buckets in a row */, HDR_ROWS = 33 };

#define HDR_LOWEST  1ull
#define HDR_HIGHEST 3600000000000ull		/* longer ones count as this long, and are told apart in `over` */

struct hdr_row {
	uint64_t *more;			/* of each bucket how often low was full; NULL: of none */
	uint16_t low[HDR_HALF];
};

struct hdr {			/* zeroed: empty */
	struct hdr_row *rows[HDR_ROWS];
	uint64_t count, over;
	uint64_t min, max;		/* exact, as far as it was recorded here (see hdr_count()); of none 0 */
};

/* False: no memory, nothing was counted. */
bool hdr_record(struct hdr *h, uint64_t ns);
bool hdr_record_n(struct hdr *h, uint64_t ns, uint64_t n);

/*
 * Adds another one. What HdrHistogram calls corrected for coordinated omission is not offered: latencies are counted
 * from when they were due.
 */
bool hdr_add(struct hdr *to, const struct hdr *from);

/*
 * The least duration that at least that part of all does not pass, as HdrHistogram says it: the highest one of its bucket, but never
 * more than max. per_million: 500000 for the median, 999000 for p99.9. 0 when empty.
 */
uint64_t hdr_quantile(const struct hdr *h, uint32_t per_million);

double hdr_mean(const struct hdr *h);		/* by the middles of buckets, as HdrHistogram's */
double hdr_deviation(const struct hdr *h);

void hdr_reset(struct hdr *h);			/* empty; keeps its memory */
void hdr_release(struct hdr *h);

/* ---- buckets, for writing them down ---- */

enum { HDR_BUCKETS = HDR_ROWS * HDR_HALF };

/* hdr_bucket(HDR_HIGHEST) is the last one that anything is counted in. */
unsigned hdr_bucket(uint64_t ns);
uint64_t hdr_bucket_low(unsigned bucket);	/* the shortest in it */
uint64_t hdr_bucket_high(unsigned bucket);	/* the longest */
/*
 * As if n that nothing else is known of had been recorded there: min becomes the shortest in that bucket, max the longest, where
 * they were not lower or higher. bucket <= hdr_bucket(HDR_HIGHEST). False: no memory, nothing was counted.
 */
bool hdr_count(struct hdr *h, unsigned bucket, uint64_t n);

static inline uint64_t hdr_row_count(const struct hdr_row *row, unsigned i)
{
	return row->low[i] + (row->more ? row->more[i] << 16 : 0);
}

static inline uint64_t hdr_bucket_count(const struct hdr *h, unsigned bucket)
{
	const struct hdr_row *row = h->rows[bucket / HDR_HALF];

	return row ? hdr_row_count(row, bucket % HDR_HALF) : 0;
}

#endif
