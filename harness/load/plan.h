#ifndef LOAD_PLAN_H
#define LOAD_PLAN_H

#include "codec/fault.h"
#include "harness/arrival.h"
#include "harness/script.h"

/*
 * What is to be played: a workload, its clients shared out. Made once, then read by all threads.
 */

/* A table that clients take their words from: role ... with "file.csv". */
struct fleet;

/*
 * Reads `file`, which lies below `folder` (".." and absolute paths are refused), at most 256 MB and 10 million rows. The first row names the columns; RFC 4180 quotes;
 * a row of other length than the first is an error. Given; NULL: fault has line, column and text.
 */
struct fleet *fleet_read(const char *folder, const char *file, struct fault *fault);
struct fleet *fleet_parse(struct span text, struct fault *fault);	/* text outlives it */
void fleet_free(struct fleet *fleet);
int fleet_column(const struct fleet *fleet, struct span name);		/* -1: none */
uint32_t fleet_rows(const struct fleet *fleet);
struct span fleet_value(const struct fleet *fleet, uint32_t row, unsigned column);

struct plan_role {
	const struct role *role;
	struct fleet *fleet;		/* NULL: none */
	uint64_t n;			/* clients in all shards */
	uint64_t first, end;		/* numbers $n of those that this shard plays */
	uint64_t over_ns;		/* the ramp */
	bool keeps[N_ARRIVAL_KINDS];			/* by enum arrival_kind: some step outside `whenever` awaits that kind, so that early ones must be kept */
};

struct plan {
	const struct script *script;
	struct plan_role *roles;
	uint32_t n_roles;
	char name[16];			/* $topic, and the begin of default client ids: the run's own; at most 10 of 0-9a-zA-Z */
	uint64_t seed;
	unsigned shard, n_shards;
	uint64_t for_ns;		/* loops end then: counted from when the last meeting has been held, or all ramps are over. 0: they do not */
	uint64_t drain_ns;
	uint64_t timeout_ns;		/* of a step that names no time of its own */
	uint64_t meet_patience_ns;	/* a meeting to which nobody comes for that long is given up */
	struct span user_name, password;	/* as --user says; .at NULL: none */
};

/*
 * Evaluates how many, shares out, opens the fleets below `folder` (NULL: none may be opened). Client n of N goes to shard n * n_shards / N, so that clients of equal share
 * (a collector, the sensors of its cell) meet in one shard. A role with fewer clients than shards, a fleet with fewer rows than clients or without a column that the role names: an error.
 * plan's other members are set by the caller before. False: *fault says what is wrong and how to mend it.
 */
bool plan_make(struct plan *plan, const struct script *script, const char *folder, struct fault *fault);
void plan_release(struct plan *plan);

#endif
