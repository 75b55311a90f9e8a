#ifndef HARNESS_LOOP_H
#define HARNESS_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "harness/clock.h"

/*
 * One event loop per thread, nothing shared while it runs. A callback never blocks and
 * never frees the object it was called on: it defers that to the reaper (loop_reap).
 *
 * Under a simulated clock time moves only when no task is ready, straight to the next timer.
 * File descriptors may be watched all the same (a real target is never simulated).
 */
struct loop;

struct timer {
	uint64_t due_ns;
	void (*fire)(struct timer *timer, struct loop *loop);
	size_t slot;			/* in the loop's heap; 0 while not set */
};

struct task {				/* to be run soon, once, in the order of posting */
	void (*run)(struct task *task, struct loop *loop);
	struct task *next;		/* NULL: it is not posted */
};

struct watch {				/* a file descriptor; set fd and ready, leave the rest 0 */
	int fd;
	uint16_t events;		/* EPOLLIN | EPOLLOUT asked for */
	bool added;			/* the kernel knows it */
	void (*ready)(struct watch *watch, unsigned events, struct loop *loop);
};

struct loop {
	struct clock clock;
	uint64_t now_ns;		/* read once per wake-up */
	int epoll;			/* -1 until the first watch */
	size_t n_watches;		/* those that ask for something */
	struct timer **heap;		/* [1..n_timers]: a 4-ary heap by due_ns, first in first out among equals is not promised */
	size_t n_timers, cap_timers;
	struct task *tasks, **last_task;
	struct task *dead, **last_dead;	/* to be reaped after the next batch */
	struct task *dying;		/* to be reaped after this one */
	bool stopped;
	bool coarse;			/* the kernel has no epoll_pwait2: wait in milliseconds, rounded up */
};

/* 0 or negative errno. */
int loop_init(struct loop *loop, bool simulated);
void loop_release(struct loop *loop);	/* does not touch timers, tasks or watches, which their owners keep */

/*
 * Runs until loop_stop(), or until nothing is left that could ever happen: no task, no timer, no watch that asks
 * for anything. Returns false in that second case. A batch is the descriptors that are ready, then the timers
 * that are due, then the tasks posted so far; what a batch posts belongs to the next. loop_stop() lets the
 * batch end; called while the loop does not run, it ends the next run before it begins.
 */
bool loop_run(struct loop *loop);
void loop_stop(struct loop *loop);

/*
 * Runs tasks and the reaper until none are left; neither waits nor fires timers. For the end of a program or test,
 * after whatever was still open has been closed: what they deferred is freed here.
 */
void loop_settle(struct loop *loop);

/* (Re)arm; never fails once the loop has room, and room is made as timers are set (aborts when out of memory). */
void loop_timer(struct loop *loop, struct timer *timer, uint64_t due_ns);
void loop_timer_stop(struct loop *loop, struct timer *timer);	/* harmless when not set */

void loop_post(struct loop *loop, struct task *task);		/* harmless when posted already */

/*
 * Run when this batch and the next are over, so when every task posted up to now has run and no event of
 * a batch can name the object any more: free things here. Harmless when it is to be reaped already; the
 * task must not be one that is posted.
 */
void loop_reap(struct loop *loop, struct task *task);

/*
 * Level-triggered. ready() gets the events asked for and EPOLLERR, EPOLLHUP; events 0 asks for nothing, not
 * even those, until called again. 0 or negative errno (EPERM: a regular file is always ready).
 */
int loop_watch(struct loop *loop, struct watch *watch, unsigned events);
void loop_unwatch(struct loop *loop, struct watch *watch);	/* before the descriptor is closed */

#endif
