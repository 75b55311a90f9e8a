#ifndef LOAD_ENGINE_H
#define LOAD_ENGINE_H

#include "harness/load/ledger.h"
#include "harness/load/link.h"
#include "harness/load/plan.h"
#include "harness/load/tally.h"

/*
 * One thread's part of a load: a loop with its clients, each a position in the role's steps. Engines share nothing
 * while they run but the plan, the audience, and the course of the run (meetings, when to end); whoever controls the
 * run reads their seconds.
 */

/* ---- the course of a run: shared by all engines ---- */

enum phase {
	PHASE_RAMP,		/* clients begin, meetings have not been held */
	PHASE_STEADY,		/* all meetings held and ramps over: the plan's for_ns counts from here */
	PHASE_DRAIN,		/* loops have ended; what is under way may still come */
	PHASE_OVER,
};

struct course;

/*
 * start_ns: on the monotonic clock, of the run's time 0; ramps count from there. simulated: all engines are on the
 * one loop that owns the clock.
 */
struct course *course_new(const struct plan *plan, uint64_t start_ns, bool simulated);
void course_free(struct course *course);
enum phase course_phase(const struct course *course);
/*
 * Ends the loops now (Ctrl-C, the broker died, an expectation that cannot be met any more); `why` is static, NULL
 * when it is for_ns. Harmless later. From any thread.
 */
void course_end(struct course *course, const char *why);
const char *course_why(const struct course *course);		/* NULL: it went its way */
uint64_t course_steady_ns(const struct course *course);	/* since time 0, when it became steady; 0: not yet */
uint64_t course_drain_ns(const struct course *course);		/* when the loops ended; 0: not yet */

/*
 * It drains, and no engine sees anything under way: then their ledgers tell whether something is owed yet.
 * course_halt() has all engines stand still, so that the thread that controls the run may look into them; false: they
 * do not, and there is nothing to let go. course_go_on(over): they go on, or the drain is over.
 */
bool course_is_quiet(struct course *course);
bool course_halt(struct course *course);
void course_go_on(struct course *course, bool over);

/* How it stands with a meeting, for progress and for whoever waits in vain. False: there is none of that number. */
struct meeting_state {
	const char *name;
	uint64_t expected, arrived, gone;	/* gone: clients that stopped before they came; they are not waited for */
	bool held;
};
bool course_meeting(const struct course *course, uint32_t number, struct meeting_state *state);

/* ---- results while it runs ---- */

struct second {				/* what one engine counted in one second of the run */
	struct second *next;
	uint64_t at;			/* number of the second since time 0 */
	struct tally *tallies;		/* by role */
	uint64_t active;		/* clients connected at its end */
	uint64_t cpu_ns;		/* of this thread, in that second */
};

/* ---- engines ---- */

struct reason {				/* why clients failed, were refused or stopped: one row for each role, kind and text */
	struct reason *next;
	uint16_t role;
	enum counter counter;		/* COUNT_refused, COUNT_ended, COUNT_stopped, COUNT_violations, COUNT_refused_messages */
	bool judged;			/* a judging step failed, or the monitor found a broken rule: the run is a failure */
	char *text;			/* "CONNACK: Not authorized", "line 14: ...", "5:MQTT-3.3.1-2: ..."; one line, escaped */
	uint64_t n;
};

struct engine;

struct engine_options {
	const struct plan *plan;
	struct course *course;
	struct audience *audience;
	const struct address *address;		/* of the target */
	const struct source *sources;
	size_t n_sources;
	unsigned thread, n_threads;		/* which part of each role's clients: n of first..end goes to (n - first) * n_threads / (end - first) */
	uint32_t run;				/* for stamps */
	unsigned max_pending;			/* of this engine; 0: the usual */
	void (*idle)(struct engine *engine, void *context);	/* nothing more will happen: all clients have ended, or the drain is over. On its loop */
	void *context;
};

/* On a loop of its own thread, or (simulated) on one that others use too. Given; nothing happens before the loop runs. */
struct engine *engine_new(struct loop *loop, const struct engine_options *options);

/* The seconds that are complete, oldest first, given: freed by second_free(). From any thread. */
struct second *engine_seconds(struct engine *engine);
void second_free(struct second *second, uint32_t n_roles);

/* Live, from any thread, approximate: sums over roles. */
uint64_t engine_active(const struct engine *engine);

/*
 * Its thread stands still (course_halt()): no exchange is open, nothing waits to be sent, no client plays steps but
 * those of a `forever` that only receives.
 */
bool engine_is_settled(struct engine *engine);
uint64_t engine_count(const struct engine *engine, enum counter counter);		/* of all roles, so far */
uint64_t engine_bytes_received(const struct engine *engine);

/*
 * Ends it now, wherever it is, so that what it has counted is complete: on its own thread, or when that has ended.
 * Harmless when it is over, and needed only where its loop was left before its time.
 */
void engine_halt(struct engine *engine);

/* ---- when its thread has ended ---- */

struct tally *engine_tallies(struct engine *engine);		/* by role, of the whole run; the engine's */
const struct reason *engine_reasons(const struct engine *engine);
struct ledger *engine_ledger(struct engine *engine);
uint64_t engine_occasions(const struct engine *engine);	/* packets that the monitor judged */
uint64_t engine_delivered_ns(const struct engine *engine);	/* when a message came last, since time 0; 0: none did */
unsigned engine_held_to(const struct engine *engine, uint32_t role);	/* the least Receive Maximum that kept `in flight N` of a client of that role below N; 0: none did */
/*
 * left.c: the CONNECT that makes the broker forget the session which the client may have left, the index-th of this
 * thread; it borrows from the engine until the next call. LEFT_NONE: its sessions end with their connections.
 * LEFT_UNKNOWN: its name depended on what happened.
 */
enum left { LEFT_NONE, LEFT_SESSION, LEFT_UNKNOWN };
uint32_t engine_clients(const struct engine *engine);
enum left engine_left(struct engine *engine, uint32_t index, struct packet *packet);
void engine_free(struct engine *engine);

#endif
