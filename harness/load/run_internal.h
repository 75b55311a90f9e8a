#ifndef LOAD_RUN_INTERNAL_H
#define LOAD_RUN_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "harness/load/control.h"
#include "harness/load/onlooker.h"

/* The inside of a run, shared by run*.c and by nobody else. */

struct run;

/* An engine and the thread that it has for itself; of a simulated run there is no thread. */
struct worker {
	struct run *run;
	struct engine *_Atomic engine;
	struct loop own, *loop;
	struct watch wake;		/* by which the control thread ends it at once */
	pthread_t thread;
	bool started;			/* the thread is to be joined */
	atomic_bool over;		/* nothing more will happen */
	char failed[120];		/* it could not begin: one line; read when it is over */
	uint64_t cpu_ns;		/* of the whole thread; when it is over */
	uint64_t steady_cpu_ns, steady_seconds;	/* in whole seconds of the steady time */
	uint64_t told_seconds;		/* gathered of its engine */
};

struct broker_costs {			/* of the broker's process, when it is here */
	int pid;
	char name[64];
	struct cost at_start, at_steady, at_drain, at_end;
	bool has_start, has_steady, has_drain, has_end;
};

struct run {
	const struct run_options *o;
	struct figures *figures;
	struct course *course;
	struct audience *audience;
	struct worker *workers;
	unsigned n_workers;
	bool simulated;
	struct watch over;		/* workers tell the control thread that they are */
	struct timer beat;
	struct onlooker *onlooker;
	uint64_t start_ns;		/* of time 0, on the loop's clock */
	uint64_t told_seconds;		/* tick() was called for so many */
	uint64_t cpu_before_ns;		/* of this process, at time 0 */
	uint64_t machine_before_ns, machine_after_ns;	/* machine_busy_ns() then, and when the workers were done */
	uint64_t machine_watched_ns;	/* between the two: more than the run when that began later, by --start-at */
	struct broker_costs broker;
	uint32_t tag;			/* of the run, for stamps */

	/* whether anything is owed in the drain */
	bool looked;			/* once at least */
	uint64_t heard;			/* bytes that had come then */
	uint64_t look_ns;		/* not before */

	/* what ended it before its time */
	bool ended;			/* course_end() was called */
	unsigned interrupts;		/* that were heeded */
	bool at_once;
	/* a target that is gone */
	uint64_t refused_since_ns;
	bool again;			/* some role tries again by itself */
};

static inline uint64_t run_time(const struct run *r)
{
	return r->o->loop->now_ns > r->start_ns ? r->o->loop->now_ns - r->start_ns : 0;
}

void run_end(struct run *r, const char *format, ...) __attribute__((format(printf, 2, 3)));	/* before its time: figures->why; the first counts */

bool run_interrupted_again(struct run *r);	/* a signal came that was not heeded yet */

/* run_workers.c: false: figures->unable */
bool workers_start(struct run *r);
bool workers_over(const struct run *r);
void workers_halt(struct run *r);	/* at once, whatever is under way */
void workers_join(struct run *r);	/* engines may be read from now on */
void workers_release(struct run *r);

/* run_figures.c */
void gather_roles(struct run *r);	/* figures->roles, empty */
void gather_seconds(struct run *r);	/* those that are complete */
void gather_meetings(struct run *r);
uint64_t gather_lost(struct run *r, uint64_t *untracked);	/* untracked: sent without account, may be NULL; how many messages are lost, whyever; when the workers are joined, as often as wanted */
void gather_all(struct run *r);	/* when the workers are joined: totals, losses, reasons, costs */
uint64_t run_active(const struct run *r);	/* clients connected now */
unsigned held_to(const struct run *r, uint32_t role);	/* as engine_held_to(), of all workers */
const char *frequent_reasons(struct run *r, unsigned most);	/* "3 x CONNACK: ..., 2 x ..."; "" for none */

/* run_limits.c */
uint64_t machine_busy_ns(void);		/* CPU of all processors together, by whomever; 0: the system does not say */
void judge_limits(struct run *r);	/* figures->limited_by, limit */

#endif
