#ifndef FUZZ_NETWORK_SCORE_H
#define FUZZ_NETWORK_SCORE_H

#include <stdio.h>

#include "fuzz/network/campaign.h"

/*
 * What `fuzz score` tells, for tracking detection power from release to release: for each target its campaigns, and for each bucket that some of them found, in how many
 * and after how long. fuzz/docs/score.schema.json describes the JSON.
 */
struct score_campaign {
	uint64_t seed;
	struct campaign_result result;
};

struct score_target {
	const char *label;
	struct score_campaign *campaigns;
	size_t n;
};

/* The time within which half of the campaigns had found it: the median, those that did not counting as never. UINT64_MAX: never. */
uint64_t score_median_ns(const struct score_target *target, const char *bucket, unsigned *found);

/* 0 or negative errno. */
int score_write(FILE *out, uint64_t for_ns, const struct score_target *targets, size_t n);

#endif
