#ifndef LOAD_FIGURES_H
#define LOAD_FIGURES_H

#include <stdio.h>

#include "codec/fault.h"
#include "harness/load/reckon.h"
#include "harness/region.h"

/*
 * What a run, or several that are merged, came to: the one model that every report is written from, that JSON holds
 * without loss, and that `load merge` and `load compare` read again. All text lies in the region.
 */

enum limited_by {			/* whose limit the figures show */
	LIMITED_BY_NOTHING,		/* the schedule was kept: nobody was at his limit */
	LIMITED_BY_TARGET,
	LIMITED_BY_TOOL,		/* a thread of ours was busy for 90 % of the time or more: the figures say little about the broker */
	LIMITED_BY_SCRIPT,		/* clients waited for answers by their own window: more clients or a wider window would give more */
	LIMITED_BY_MACHINE,		/* other programs had its processors */
	LIMITED_UNKNOWN,
	N_LIMITS
};

extern const char *const limited_names[N_LIMITS + 1];	/* "nothing", "target", "tool", "script", "machine", "unknown", NULL */

struct figures_second {
	uint64_t at;			/* since time 0, a multiple of interval_ns */
	struct tally tally;
};

struct figures_role {
	const char *name;
	uint64_t clients;		/* planned, in this shard or in all that are merged */
	struct tally total;
	struct figures_second *seconds;	/* in order; those in which nothing happened may be missing. Made by figures_second() */
	uint32_t n_seconds;
	uint64_t interval_ns;		/* how long each of them is: a second; in a long run two, four ... */
	double lateness_share;		/* part of the messages that were late: 0 to 1 */
};

struct figures_reason {
	const char *role, *text;
	enum counter counter;
	bool judged;
	uint64_t n;
};

struct figures_loss {
	const char *subscriber, *publisher;	/* roles */
	enum loss_cause cause;
	const char *evidence;
	uint64_t n;
};

struct figures_cpu {			/* ns of CPU between time 0 and the end of the drain */
	uint64_t tool_ns;
	unsigned threads;
	double busiest;			/* of the busiest thread, the part of the steady time in which it was busy: 0 to 1 */
	bool broker_known;		/* local: its process was found */
	uint64_t broker_ns;
	const char *broker;		/* "mosquitto (pid 4711)" */
};

struct figures_calibration {		/* what this tool reaches against the null sink, with this workload's packets */
	bool known;
	double rate;			/* messages a second, one thread */
	double cost_ns;			/* CPU of ours for each */
};

struct figures_meeting {
	const char *name;
	uint64_t expected, arrived, gone;
	bool held;
};

struct figures_expectation {		/* --expect */
	const char *text;
	double value;			/* ms of timings, percent of shares, else the number */
	bool known, met;		/* known: there is such a figure in this run; without it none is met */
};

struct figures {
	struct region region;
	const char *workload, *title, *target, *mqtt;	/* file, its title, label, "5" */
	const char *version;		/* of this program */
	const char *command;		/* as it was given, secrets masked */
	const char *began;		/* "2026-11-21T18:33:57Z" */
	uint64_t began_unix_ns;
	uint64_t seed;
	unsigned shard, n_shards;	/* of one run: shard of n_shards; 0 or 1: not sharded */
	unsigned n_merged;		/* results that are in it; 0 or 1: one */
	const unsigned *shards;		/* which they are, in order, n_merged of them; NULL: shard alone */
	uint64_t duration_ns;		/* time 0 to the end of the drain; while it runs, to now */
	uint64_t active;		/* clients that are connected, while it runs */
	uint64_t steady_ns, drain_ns;	/* since time 0: when it became steady (at once: 1), when the loops ended; 0: never */
	const char *why;		/* it ended before its time: "interrupted", "the target is gone: ...", NULL */
	const char *unable;		/* it could not be played: one line; NULL */
	struct figures_role *roles;
	uint32_t n_roles;
	struct figures_reason *reasons;
	uint32_t n_reasons;
	struct figures_loss *losses;
	uint32_t n_losses;
	struct publisher_account *publishers;	/* client: $n */
	uint32_t n_publishers;
	uint64_t n_publishers_afflicted, untracked;
	struct figures_meeting *meetings;
	uint32_t n_meetings;
	struct figures_expectation *expectations;
	uint32_t n_expectations;
	struct figures_cpu cpu;
	struct figures_calibration calibration;
	struct broker_drops drops;
	enum limited_by limited_by;
	const char *limit;		/* one line for it, with the figures; "" */
	const char *const *notes;	/* what the reader should know: one line each */
	uint32_t n_notes;
	uint64_t judged_packets;
	uint64_t target_connects_per_s;	/* the best second */
};

struct figures *figures_new(void);
void figures_free(struct figures *figures);
const char *figures_say(struct figures *figures, const char *format, ...) __attribute__((format(printf, 2, 3)));	/* a text in its region */
void figures_note(struct figures *figures, const char *text);		/* once each; copied */

/*
 * Room for one more at the end of an array that began as NULL with *n 0, zeroed: returns the array, which may have
 * moved, and counts *n up. An array grows by this function only.
 */
void *figures_append(struct figures *figures, const void *array, uint32_t *n, size_t size);

/* Appends one to figures->ARRAY and points at it: *FIGURES_APPEND(f, meetings) = ... */
#define FIGURES_APPEND(figures, array) \
	(&((figures)->array = figures_append((figures), (figures)->array, &(figures)->n_##array, sizeof(*(figures)->array)))[(figures)->n_##array - 1])

/*
 * The tally of the interval that this moment lies in, to be added to; good until the next call. There are at most 600
 * of a role: a run of more than 10 minutes has intervals of two seconds, of more than 20 of four. The whole run's
 * tally is total, which this does not touch.
 */
struct tally *figures_second(struct figures_role *role, uint64_t at_ns);

/*
 * 0, 1 or 3, as documented: 3 it could not be played, or ended before its time, or clients were refused, stopped by
 * their set-up, lost for good, or still waited; 1 a missed expectation, a broken rule, a failed judgement. 1 wins
 * over 3.
 */
int figures_exit_code(const struct figures *figures);

/*
 * Joins the results of shards, or of runs side by side: counts add, histograms merge exactly, seconds are laid over
 * each other by the time of day, what every shard sees of one broker (its CPU, what it dropped) is not counted twice,
 * expectations are judged anew. *to copies what it needs. False: nothing was changed and *fault says why they do not
 * go together (different workloads; the same shard twice).
 */
bool figures_merge(struct figures *to, const struct figures *from, struct fault *fault);

/* ---- asked of them ---- */

const struct figures_role *figures_role(const struct figures *figures, const char *name);	/* NULL: none */

/* How often a second: of one role, or with NULL of all; while it was steady, of the whole run where it never was. */
double figures_rate(const struct figures *figures, const struct figures_role *role, enum counter counter);
/*
 * Of which time: the whole seconds in which it was steady. How long they are together, and *from_ns (may be NULL)
 * when they begin; 0: there were none.
 */
uint64_t figures_rated_ns(const struct figures *figures, uint64_t *from_ns);
uint64_t figures_count(const struct figures *figures, const struct figures_role *role, enum counter counter);
uint64_t figures_messages(const struct figures *figures, const struct figures_role *role);	/* sent, and of whatever kind received */

/* Part of a core that the broker had between time 0 and the end: 1 is one core. 0: unknown. */
double figures_broker_share(const struct figures *figures);

/*
 * --expect 'ROLE.TIMING.STAT<5ms': TIMING connect, ack, delivery, lateness, with `.uncorrected` behind it those of
 * the other column; STAT min mean max count p50 p99 p99.9 ...; or ROLE.COUNTER (counters.def; with % of what was
 * sent, owed, or of the clients), ROLE.rate (messages sent a second while steady), ROLE.delivery_rate; ROLE may be
 * `all`; `tool.busy`, `broker.cpu` (90% or 0.9, of a core). Operators < <= > >= == (or =) !=; durations need a unit,
 * numbers take k M G, rates /s. False: *fault says what was expected there.
 */
struct expectation {
	const char *text;
	char role[64];
	enum { EXPECT_TIMING, EXPECT_COUNTER, EXPECT_RATE, EXPECT_DELIVERY_RATE, EXPECT_TOOL_BUSY, EXPECT_BROKER_CPU } what;
	enum timing timing;
	enum counter counter;
	bool uncorrected, percent;	/* percent: of a counter, of the messages sent or owed, or of the clients */
	enum { STAT_MIN, STAT_MEAN, STAT_MAX, STAT_COUNT, STAT_QUANTILE } stat;
	uint32_t per_million;
	enum { OP_LESS, OP_AT_MOST, OP_MORE, OP_AT_LEAST, OP_EQUAL, OP_NOT_EQUAL } op;
	double value;			/* in the unit of figures_expectation.value */
};
bool expectation_parse(const char *text, struct expectation *expectation, struct fault *fault);
bool expectation_knows_role(const struct expectation *expectation, const struct figures *figures);	/* also true where it asks for none */
const char *expectation_unit(const struct expectation *expectation);	/* " ms", "/s", " %", "" */
void expectation_judge(const struct expectation *expectation, struct figures *figures);	/* appended to figures->expectations */

/* ---- written and read ---- */

void figures_print(FILE *out, const struct figures *figures);				/* figures_text.c */
bool figures_json(FILE *out, const struct figures *figures);				/* figures_json.c; docs/load.schema.json */
struct figures *figures_read(struct span json, struct fault *fault);			/* figures_read.c; given. NULL: fault */
void figures_html(FILE *out, const struct figures *const *results, size_t n);	/* figures_html.c: one run, or several side by side */
void figures_hdr_log(FILE *out, const struct figures *figures);			/* figures_logs.c: per second and role, tagged ROLE.TIMING and ROLE.TIMING.uncorrected */
void figures_percentiles(FILE *out, const struct figures *figures);
void figures_compare(FILE *out, const struct figures *a, const struct figures *b);	/* figures_compare.c */

#endif
