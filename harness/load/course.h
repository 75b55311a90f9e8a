#ifndef LOAD_COURSE_H
#define LOAD_COURSE_H

#include "harness/load/engine.h"

/* The side of a course that engines see; whoever controls the run has engine.h. */

struct seat {				/* an engine at its course; zeroed before */
	struct seat *next;
	struct loop *loop;
	struct task task;		/* simulated: posted when something has changed */
	struct watch watch;		/* else: an eventfd is readable then */
	void (*changed)(struct seat *seat);
	bool quiet;			/* under the course's lock: nothing is under way there, as far as it can see */
};

/* 0 or negative errno. From now on changed() is called on the engine's loop when the phase has changed, or a meeting is held. */
int course_sit(struct course *course, struct seat *seat, struct loop *loop, void (*changed)(struct seat *seat));
void course_rise(struct course *course, struct seat *seat);

uint64_t course_start_ns(const struct course *course);	/* of the loops' time */

/*
 * The drain is over as soon as nothing is owed any more. Each engine says when nothing happens there; when all have
 * said so, whoever controls the run has them stand still, looks into their ledgers, and ends it or lets them go on.
 */
void course_quiet(struct course *course, struct seat *seat, bool quiet);
void course_stand(struct course *course);			/* to be called by each engine when something has changed: returns when it may go on */

/*
 * What the time since time 0 brings about by itself; to be called when course_next_ns() says (UINT64_MAX: never), and
 * harmless at other times.
 */
enum phase course_tick(struct course *course, uint64_t now_ns);
uint64_t course_next_ns(struct course *course);
/* Turns that are due before then are played, however late; UINT64_MAX: it is not known yet. */
uint64_t course_turns_end_ns(struct course *course);

/* A client has come to a meeting. True: it is open, go on; false: wait until course_is_held(). */
bool course_meet(struct course *course, uint32_t meeting, uint64_t now_ns);
bool course_is_held(const struct course *course, uint32_t meeting);
void course_unmeet(struct course *course, uint32_t meeting);	/* it does not wait any more, and may come again */
/* A client of that role has come to its end: it is waited for nowhere. Not before course_unmeet() for one that waits. */
void course_gone(struct course *course, uint32_t role, uint64_t now_ns);
/* A client has begun to connect, has no connection any more: a drain in which nobody has one is over. */
void course_linked(struct course *course);
void course_unlinked(struct course *course, uint64_t now_ns);

#endif
