#include "pcap/histogram.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { FINE = 4, STEPS = 1 << FINE };	/* buckets in a power of two */

static unsigned bucket_of(uint64_t ns)
{
	if (ns < STEPS)
		return (unsigned)ns;
	unsigned power = 63 - (unsigned)__builtin_clzll(ns);

	return (power - FINE + 1) * STEPS + (unsigned)(ns >> (power - FINE) & (STEPS - 1));
}

static uint64_t middle_of(unsigned bucket)
{
	if (bucket < STEPS)
		return bucket;
	unsigned shift = bucket / STEPS - 1;
	uint64_t least = (uint64_t)(STEPS + bucket % STEPS) << shift;

	return least + ((UINT64_C(1) << shift) - 1) / 2;
}

/* Makes room for that bucket, and a few beside it: neighbours follow. */
static bool reach(struct histogram *h, unsigned bucket)
{
	if (h->n && bucket >= h->first && bucket < h->first + (unsigned)h->n)
		return true;
	unsigned from = bucket > 8 ? bucket - 8 : 0, to = bucket + 8;

	if (h->n && h->first < from)
		from = h->first;
	if (h->n && h->first + (unsigned)h->n > to)
		to = h->first + (unsigned)h->n;
	uint32_t *wider = calloc(to - from, sizeof(*wider));
	if (!wider)
		return false;
	if (h->n)
		memcpy(wider + (h->first - from), h->buckets, h->n * sizeof(*wider));
	free(h->buckets);
	h->buckets = wider;
	h->first = (uint16_t)from;
	h->n = (uint16_t)(to - from);
	return true;
}

static void place(struct histogram *h, unsigned bucket, uint32_t times)
{
	if (!reach(h, bucket)) {
		h->unplaced += times;
		return;
	}
	uint32_t *at = &h->buckets[bucket - h->first];
	*at = UINT32_MAX - *at < times ? UINT32_MAX : *at + times;
}

void histogram_add(struct histogram *h, uint64_t ns)
{
	if (!h->count || ns < h->min)
		h->min = ns;
	if (ns > h->max)
		h->max = ns;
	h->count++;
	h->sum += ns;
	place(h, bucket_of(ns), 1);
}

void histogram_merge(struct histogram *to, const struct histogram *from)
{
	if (!from->count)
		return;
	if (!to->count || from->min < to->min)
		to->min = from->min;
	if (from->max > to->max)
		to->max = from->max;
	to->count += from->count;
	to->sum += from->sum;
	to->unplaced += from->unplaced;
	for (unsigned i = 0; i < from->n; i++)
		if (from->buckets[i])
			place(to, from->first + i, from->buckets[i]);
}

uint64_t histogram_quantile(const struct histogram *h, unsigned permille)
{
	uint64_t placed = h->count - h->unplaced, rank = (placed * permille + 999) / 1000, seen = 0;

	if (!placed)
		return h->max;
	if (rank >= placed)
		return h->max;
	for (unsigned i = 0; i < h->n; i++) {
		seen += h->buckets[i];
		if (seen >= rank && seen) {
			uint64_t ns = middle_of(h->first + i);

			return ns < h->min ? h->min : ns > h->max ? h->max : ns;
		}
	}
	return h->max;
}

void histogram_release(struct histogram *h)
{
	free(h->buckets);
	*h = (struct histogram){ 0 };
}
