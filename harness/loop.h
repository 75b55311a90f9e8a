#ifndef HARNESS_LOOP_H
#define HARNESS_LOOP_H

#include <stddef.h>

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
	struct task *next;
	bool posted;
};

struct watch {				/* a file descriptor */
	int fd;
	unsigned events;		/* EPOLLIN | EPOLLOUT asked for */
	void (*ready)(struct watch *watch, unsigned events, struct loop *loop);
};

struct loop {
	struct clock clock;
	uint64_t now_ns;		/* read once per wake-up */
	int epoll;			/* -1 until the first watch */
	size_t n_watches;
	struct timer **heap;		/* [1..n_timers]: a 4-ary heap by due_ns, first in first out among equals is not promised */
	size_t n_timers, cap_timers;
	struct task *tasks, **last_task;
	struct task *dead, **last_dead;	/* run after a batch, when nothing can name them any more */
	bool stopped;
};

/* 0 or negative errno. */
int loop_init(struct loop *loop, bool simulated);
void loop_release(struct loop *loop);	/* does not touch timers, tasks or watches, which their owners keep */

/* Runs until loop_stop(), or until nothing is left that could ever happen. Returns false in that second case. */
bool loop_run(struct loop *loop);
void loop_stop(struct loop *loop);

/* (Re)arm; never fails once the loop has room, and room is made as timers are set (aborts when out of memory). */
void loop_timer(struct loop *loop, struct timer *timer, uint64_t due_ns);
void loop_timer_stop(struct loop *loop, struct timer *timer);	/* harmless when not set */

void loop_post(struct loop *loop, struct task *task);		/* harmless when posted already */
void loop_reap(struct loop *loop, struct task *task);		/* run when the batch is over: free things here */

/* events 0 stops watching but keeps the registration; 0 or negative errno. */
int loop_watch(struct loop *loop, struct watch *watch, unsigned events);
void loop_unwatch(struct loop *loop, struct watch *watch);	/* before the descriptor is closed */

#endif
