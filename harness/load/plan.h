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
 * Reads `file`, which lies below `folder` (".." and absolute paths are refused, and links that lead out of it), at
 * most 256 MB and 10 million rows of 256 columns. UTF-8; the first row names the columns, blanks around a name are no
 * part of it; RFC 4180 quotes; a row of other length than the first is an error, an empty line is no row. Given;
 * NULL: fault has line, column and text; line 0: it is about the file as a whole.
 */
struct fleet *fleet_read(const char *folder, const char *file, struct fault *fault);
struct fleet *fleet_parse(struct span text, struct fault *fault);	/* text is copied */
void fleet_free(struct fleet *fleet);
const char *fleet_name(const struct fleet *fleet, unsigned column);	/* NULL: there is no column of that number */
int fleet_column(const struct fleet *fleet, struct span name);		/* -1: none */
uint32_t fleet_rows(const struct fleet *fleet);			/* without the first, at least one */
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

/* Whether the role finds in the fleet what its steps name, and enough rows. False: *fault has the place in the workload. */
bool plan_suits(const struct role *role, const struct fleet *fleet, struct fault *fault);

/*
 * Evaluates how many, shares out, opens the fleets below `folder` (NULL: none may be opened). Client n of N goes to
 * shard n * n_shards / N, so that clients of equal share (a collector, the sensors of its cell) meet in one shard. A
 * role with some clients, but fewer than shards, 2^24 clients or more in all for one shard, a fleet with fewer rows
 * than clients or without a column that the role names: an error. Roles with the same file have the same fleet.
 * plan's other members are set by the caller before; the script outlives it. False: *fault says what is wrong and how
 * to mend it, at its place in the workload; a fleet's own place stands in the text. Then there is nothing to release.
 */
bool plan_make(struct plan *plan, const struct script *script, const char *folder, struct fault *fault);
void plan_release(struct plan *plan);

#endif
