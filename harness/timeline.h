#ifndef HARNESS_TIMELINE_H
#define HARNESS_TIMELINE_H

#include "harness/conn.h"
#include "harness/health.h"
#include "harness/verdict.h"

/*
 * A timeline plays one script against one target: its position, its names, its actors
 * and their connections. A loop steps any number of them; one that waits costs nothing.
 *
 * Of a finding it plays on to the end: a step whose connection is gone, or never was, is passed over, and so is one that
 * sets up and fails. VERDICT_FAIL: it shows, and the reason begins with the oracle; VERDICT_PASS: it does not.
 */
struct timeline;

/* What all timelines on one loop share. Outlives them. */
struct stage {
	struct loop *loop;
	const struct address *address;
	const struct address *ways[N_WAYS];	/* where each is spoken, for actors that ask for it; NULL: nowhere */
	struct span user_name, password;	/* given in every CONNECT that does not say otherwise; at NULL: none */
	bool denies_publish, denies_subscribe;	/* the target is known to deny some topic; scenarios have its name as a param */
	struct monitor_world *world;
	struct conn_limits limits;
	uint64_t timeout_ns;			/* the longest wait of a step that names none */
	double slack;				/* stretches deadlines, never waits and protocol intervals */
	uint64_t timer_tolerance_ns;		/* how late the target's timers may be: added to what a step's `within` says */
	/*
	 * Stretches them further, each by as much as a deadline of timeout_ns would be at most; where the target answers a ping at once
	 * when the time is up, that is not waited for.
	 */
	double patience;
	struct arena *scratch;			/* room for the values of one step; reset by each */
	uint8_t *packet;			/* room for its packet; packet_size bytes */
	size_t packet_size;
	struct monitor_log *log;		/* shared by all timelines, to count for all of them; NULL: each has its own */
	bool keep_transcripts;
	struct tap *tap;			/* sees every connection; NULL */
	/* The target's process, where we know it; what it uses takes ms and is asked for apart. May be NULL. */
	void (*target_health)(void *context, bool usage, struct health *health);
	void *context;
};

enum { SCRATCH_SIZE = 2 << 20 };	/* what a step can send at most, and its values */

/*
 * Given: to be freed when `ended` was called, from inside it too. `name` makes $topic and the default
 * client ids its own: at most 20 of 0-9a-zA-Z; seed its random bytes. `result` is the caller's, initialised.
 */
struct timeline *timeline_new(const struct stage *stage, const struct script *script, const char *name, uint64_t seed,
                              struct result *result, void (*ended)(struct timeline *t, void *owner), void *owner);
void timeline_start(struct timeline *t);			/* posts its first step */
void timeline_abort(struct timeline *t, enum verdict verdict, const char *why);	/* ends it now; `ended` is called */
void timeline_free(struct timeline *t);

const char *timeline_name(const struct timeline *t);

/* Before it starts: who sees its connections, in place of the stage's. */
void timeline_tap(struct timeline *t, struct tap *tap);

/* When it last sent or received something. */
uint64_t timeline_active_ns(const struct timeline *t);

uint64_t timeline_judged_packets(const struct timeline *t);	/* that the monitor found nothing wrong with, where the stage has no log for all */

/*
 * What the run may have left in the target, for whoever clears it up: calls back with each client id whose
 * session may live on, and each topic that may hold a retained message.
 */
void timeline_left_behind(const struct timeline *t, void (*session)(void *context, struct span client_id, enum version version),
                          void (*retained)(void *context, struct span topic, enum version version), void *context);

#endif
