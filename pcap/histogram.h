#ifndef PCAP_HISTOGRAM_H
#define PCAP_HISTOGRAM_H

#include <stdint.h>

/*
 * Durations in nanoseconds, counted in buckets that are a sixteenth of a power of two wide: a quantile is at most 3.2 % off, count, min,
 * max and sum are exact. There is room only for the buckets between the smallest and the largest, so that thousands of
 * histograms are cheap. Zeroed is empty.
 */
struct histogram {
	uint64_t count, min, max, sum;
	uint64_t unplaced;		/* of count: memory was short for their buckets */
	uint32_t *buckets;
	uint16_t first, n;
};

void histogram_add(struct histogram *h, uint64_t ns);
void histogram_merge(struct histogram *to, const struct histogram *from);

/* The duration that `permille` of those counted do not pass: 500, 990. 0 when nothing was counted. */
uint64_t histogram_quantile(const struct histogram *h, unsigned permille);

void histogram_release(struct histogram *h);

#endif
