#include "harness/load/run_internal.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

/* The threads that engines run on. */

enum { NAP_NS = 20000000 };

/* Of all shards together, which begin at the same moment: a SYN too many for the broker's listen backlog costs a second. */
enum { PENDING = 64, FEWEST_PENDING = 8 };

static void on_idle(struct engine *engine, void *context)
{
	struct worker *w = context;

	(void)engine;
	if (w->started) {
		loop_stop(w->loop);
	} else {
		atomic_store(&w->over, true);
		loop_stop(w->loop);		/* the loop is the control thread's, too, which looks what has come of it */
	}
}

static unsigned pending_of(const struct run *r)
{
	unsigned share = r->o->plan->n_shards > 1 ? PENDING / r->o->plan->n_shards : PENDING;

	/*
	 * Nothing drops SYNs on simulated time: there each connects when it comes to it, whoever else does, and
	 * shards are what the whole is.
	 */
	if (r->simulated && !r->o->max_pending)
		return UINT_MAX;
	return r->o->max_pending ? r->o->max_pending : share < FEWEST_PENDING ? FEWEST_PENDING : share;
}

static struct engine *new_engine(struct worker *w)
{
	const struct run *r = w->run;
	unsigned number = (unsigned)(w - r->workers), pending = pending_of(r);

	return engine_new(w->loop, &(struct engine_options){
		.plan = r->o->plan, .course = r->course, .audience = r->audience, .address = r->o->address, .sources = r->o->sources,
		.n_sources = r->o->n_sources, .thread = number, .n_threads = r->n_workers, .run = r->tag,
		.max_pending = pending / r->n_workers ? pending / r->n_workers : 1, .idle = on_idle, .context = w,
	});
}

static void on_wake(struct watch *watch, unsigned events, struct loop *loop)
{
	uint64_t n;

	(void)events;
	if (read(watch->fd, &n, sizeof(n)) < 0 && errno == EAGAIN)
		return;
	loop_stop(loop);
}

/* Until time 0; false: it is not to begin any more. */
static bool wait_for_start(struct worker *w)
{
	uint64_t now_ns, n;

	while ((now_ns = clock_now(&w->loop->clock)) < w->run->start_ns) {
		uint64_t left_ns = w->run->start_ns - now_ns, nap_ns = left_ns < NAP_NS ? left_ns : NAP_NS;
		struct timespec nap = { .tv_nsec = (long)nap_ns };

		if (read(w->wake.fd, &n, sizeof(n)) == sizeof(n))
			return false;
		nanosleep(&nap, NULL);
	}
	w->loop->now_ns = now_ns;
	return true;
}

static void *work(void *context)
{
	struct worker *w = context;
	uint64_t one = 1;
	int error;

	if ((error = loop_init(w->loop, false)) || (error = loop_watch(w->loop, &w->wake, EPOLLIN))) {
		snprintf(w->failed, sizeof(w->failed), "event loop: %s", strerror(-error));
	} else {
		w->engine = new_engine(w);
		if (wait_for_start(w))
			loop_run(w->loop);
		engine_halt(w->engine);		/* it is over, but when it was to be at once */
		w->cpu_ns = cost_of_thread_ns();
	}
	atomic_store(&w->over, true);
	if (write(w->run->over.fd, &one, sizeof(one)) < 0)
		abort();		/* the counter of an eventfd does not overflow by this */
	return NULL;
}

/* Signals are the control thread's. */
static int start_thread(struct worker *w)
{
	sigset_t all, before;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	int error = pthread_create(&w->thread, NULL, work, w);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return error;
}

static void on_over(struct watch *watch, unsigned events, struct loop *loop)
{
	uint64_t n;

	(void)events;
	if (read(watch->fd, &n, sizeof(n)) < 0)
		return;
	loop_stop(loop);
}

bool workers_start(struct run *r)
{
	int error;

	r->workers = calloc(r->n_workers, sizeof(*r->workers));
	if (!r->workers)
		abort();
	for (unsigned i = 0; i < r->n_workers; i++) {
		r->workers[i].run = r;
		r->workers[i].wake.fd = -1;
	}
	if (r->simulated) {
		for (unsigned i = 0; i < r->n_workers; i++) {
			r->workers[i].loop = r->o->loop;
			r->workers[i].engine = new_engine(&r->workers[i]);
		}
		return true;
	}
	r->over = (struct watch){ .fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), .ready = on_over };
	if (r->over.fd < 0 || (error = loop_watch(r->o->loop, &r->over, EPOLLIN)) < 0) {
		r->figures->unable = figures_say(r->figures, "event loop: %s", strerror(errno));
		return false;
	}
	for (unsigned i = 0; i < r->n_workers; i++) {
		struct worker *w = &r->workers[i];

		w->loop = &w->own;
		w->wake = (struct watch){ .fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), .ready = on_wake };
		w->started = true;
		if (w->wake.fd < 0 || (error = start_thread(w))) {
			w->started = false;
			r->figures->unable = figures_say(r->figures, "thread %u: %s", i, strerror(w->wake.fd < 0 ? errno : error));
			return false;
		}
	}
	return true;
}

bool workers_over(const struct run *r)
{
	for (unsigned i = 0; i < r->n_workers; i++)
		if (!atomic_load(&r->workers[i].over))
			return false;
	return true;
}

void workers_halt(struct run *r)
{
	uint64_t one = 1;

	for (unsigned i = 0; i < r->n_workers && r->workers; i++)
		if (r->workers[i].wake.fd >= 0 && write(r->workers[i].wake.fd, &one, sizeof(one)) < 0 && errno != EAGAIN)
			abort();
}

void workers_join(struct run *r)
{
	for (unsigned i = 0; i < r->n_workers && r->simulated; i++)
		engine_halt(r->workers[i].engine);
	for (unsigned i = 0; i < r->n_workers && r->workers; i++)
		if (r->workers[i].started) {
			pthread_join(r->workers[i].thread, NULL);
			r->workers[i].started = false;
			if (r->workers[i].failed[0] && !r->figures->unable)
				r->figures->unable = figures_say(r->figures, "%s", r->workers[i].failed);
		}
}

void workers_release(struct run *r)
{
	for (unsigned i = 0; i < r->n_workers && r->workers; i++) {
		struct worker *w = &r->workers[i];

		if (w->engine)
			engine_free(w->engine);
		if (w->loop == &w->own) {
			loop_unwatch(w->loop, &w->wake);
			loop_settle(w->loop);
			loop_release(w->loop);
		}
		if (w->wake.fd >= 0)
			close(w->wake.fd);
	}
	if (!r->simulated && r->workers && r->over.fd >= 0) {
		loop_unwatch(r->o->loop, &r->over);
		close(r->over.fd);
	}
	free(r->workers);
	r->workers = NULL;
}
