#ifndef FUZZ_NETWORK_CAMPAIGN_H
#define FUZZ_NETWORK_CAMPAIGN_H

#include <limits.h>
#include <stdio.h>

#include "fuzz/network/warden.h"

/*
 * A campaign: cases made, played, watched; what shows is bucketed, minimised, repeated and written down; and it goes on. The seed and the answers of the target decide its course.
 *
 * Case N is made from its number, the campaign's seed and its parent, nothing else: a seed of seeds.h, or a case that was kept because its answers were new. So its lineage, "88213/5120", tells all of it, and
 * --case 88213/5120 makes it again anywhere.
 */
struct campaign_options {
	struct warden_options target;
	const char *label;			/* of the target */
	const char *reach;			/* it, as words for a shell: --exec 'CMD' or a URL, and the options that it takes to be served there */
	unsigned versions;			/* bits; 0: all that it serves */
	uint64_t seed, for_ns, cases;		/* 0: no end */
	unsigned jobs;				/* cases at once */
	uint64_t rate;				/* cases per second at most; 0: no limit */
	const char *folder;			/* findings go there */
	const char *only;			/* lineage of --case; NULL */
	bool valid_only;			/* seeds as they are, none that offends: for finding false alarms */
	bool stop_at_first;
	unsigned triage_s;			/* per finding at most */
	const struct known *known;		/* deviations that are accepted; NULL */
	bool quiet;				/* no progress */
	FILE *tells_to;				/* where findings and the sum are told; NULL: stdout */
};

struct bucket_count {
	struct symptom symptom;
	uint64_t hits, first_case, first_ns;	/* first_ns: since the campaign began, without triage */
	char path[PATH_MAX];			/* of its finding.scn; "" */
	unsigned shows, of;
	unsigned n_packets, n_clients;		/* minimised */
};

struct campaign_result {
	uint64_t cases, packets, for_ns, triage_ns;
	unsigned states, kept, restarts;
	struct bucket_count *buckets;		/* given: free() */
	size_t n_buckets;
	char ended[200];			/* why before its time; "" */
};

/* Plays it. EXIT_PASS, EXIT_FOUND, EXIT_UNABLE after one line on stderr. */
int campaign_run(const struct campaign_options *options, struct campaign_result *result);

#endif
