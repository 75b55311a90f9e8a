#include "harness/loop.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define FOR_EVER UINT64_MAX
#define NS_PER_S UINT64_C(1000000000)
#define NS_PER_MS UINT64_C(1000000)

int loop_init(struct loop *loop, bool simulated)
{
	*loop = (struct loop){ .epoll = -1 };
	loop->last_task = &loop->tasks;
	loop->last_dead = &loop->dead;
	clock_init(&loop->clock, simulated);
	loop->now_ns = clock_now(&loop->clock);
	return 0;
}

void loop_release(struct loop *loop)
{
	if (loop->epoll >= 0)
		close(loop->epoll);
	loop->epoll = -1;
	free(loop->heap);
	loop->heap = NULL;
	loop->n_timers = loop->cap_timers = 0;
}

/* ---- timers: a heap of four children each, half as deep as one of two and kinder to the cache ---- */

static void place(struct loop *loop, size_t slot, struct timer *timer)
{
	loop->heap[slot] = timer;
	timer->slot = slot;
}

static void sift_up(struct loop *loop, size_t slot, struct timer *timer)
{
	while (slot > 1) {
		size_t parent = (slot + 2) / 4;

		if (loop->heap[parent]->due_ns <= timer->due_ns)
			break;
		place(loop, slot, loop->heap[parent]);
		slot = parent;
	}
	place(loop, slot, timer);
}

static void sift_down(struct loop *loop, size_t slot, struct timer *timer)
{
	for (;;) {
		size_t first = 4 * slot - 2, end = first + 4, least = first;

		if (first > loop->n_timers)
			break;
		if (end > loop->n_timers + 1)
			end = loop->n_timers + 1;
		for (size_t child = first + 1; child < end; child++)
			if (loop->heap[child]->due_ns < loop->heap[least]->due_ns)
				least = child;
		if (loop->heap[least]->due_ns >= timer->due_ns)
			break;
		place(loop, slot, loop->heap[least]);
		slot = least;
	}
	place(loop, slot, timer);
}

static void make_room(struct loop *loop)
{
	size_t cap = loop->cap_timers ? 2 * loop->cap_timers : 64;
	struct timer **heap;

	if (loop->n_timers + 1 < loop->cap_timers)
		return;
	heap = realloc(loop->heap, cap * sizeof(*heap));
	if (!heap) {
		fputs("mqassay: out of memory\n", stderr);
		abort();
	}
	loop->heap = heap;
	loop->cap_timers = cap;
}

void loop_timer(struct loop *loop, struct timer *timer, uint64_t due_ns)
{
	if (!timer->slot) {
		make_room(loop);
		timer->due_ns = due_ns;
		sift_up(loop, ++loop->n_timers, timer);
	} else if (due_ns < timer->due_ns) {
		timer->due_ns = due_ns;
		sift_up(loop, timer->slot, timer);
	} else {
		timer->due_ns = due_ns;
		sift_down(loop, timer->slot, timer);
	}
}

void loop_timer_stop(struct loop *loop, struct timer *timer)
{
	size_t slot = timer->slot;
	struct timer *last;

	if (!slot)
		return;
	timer->slot = 0;
	last = loop->heap[loop->n_timers--];
	if (last == timer)
		return;
	if (last->due_ns < timer->due_ns)
		sift_up(loop, slot, last);
	else
		sift_down(loop, slot, last);
}

/* Those due now; one that arms itself again at once waits for the next batch, after tasks and descriptors. */
static void fire_timers(struct loop *loop)
{
	for (size_t n = loop->n_timers; n && loop->n_timers && loop->heap[1]->due_ns <= loop->now_ns; n--) {
		struct timer *timer = loop->heap[1];

		loop_timer_stop(loop, timer);
		timer->fire(timer, loop);
	}
}

/* ---- tasks ---- */

static struct task end;			/* stands behind the last of each list, so that `next` says whether a task is in one */

void loop_post(struct loop *loop, struct task *task)
{
	if (task->next)
		return;
	task->next = &end;
	*loop->last_task = task;
	loop->last_task = &task->next;
}

void loop_reap(struct loop *loop, struct task *task)
{
	if (task->next)
		return;
	task->next = &end;
	*loop->last_dead = task;
	loop->last_dead = &task->next;
}

static void run_list(struct loop *loop, struct task *list)
{
	while (list && list != &end) {
		struct task *task = list;

		list = task->next;
		task->next = NULL;
		task->run(task, loop);
	}
}

static void run_tasks(struct loop *loop)
{
	struct task *batch = loop->tasks;

	loop->tasks = NULL;
	loop->last_task = &loop->tasks;
	run_list(loop, batch);
}

static void reap(struct loop *loop)
{
	struct task *dying = loop->dying;

	loop->dying = loop->dead;
	loop->dead = NULL;
	loop->last_dead = &loop->dead;
	run_list(loop, dying);
}

static bool busy(const struct loop *loop)
{
	return loop->tasks || loop->dead || loop->dying;
}

void loop_settle(struct loop *loop)
{
	while (busy(loop)) {
		run_tasks(loop);
		reap(loop);
	}
}

/* ---- descriptors ---- */

int loop_watch(struct loop *loop, struct watch *watch, unsigned events)
{
	struct epoll_event ask = { .events = events, .data.ptr = watch };

	if (watch->added ? watch->events == events : !events)
		return 0;
	if (loop->epoll < 0) {
		loop->epoll = epoll_create1(EPOLL_CLOEXEC);
		if (loop->epoll < 0)
			return -errno;
	}
	if (epoll_ctl(loop->epoll, watch->added ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, watch->fd, &ask) < 0)
		return -errno;
	loop->n_watches += !!events;
	loop->n_watches -= !!watch->events;
	watch->events = (uint16_t)events;
	watch->added = true;
	return 0;
}

void loop_unwatch(struct loop *loop, struct watch *watch)
{
	if (watch->added)
		epoll_ctl(loop->epoll, EPOLL_CTL_DEL, watch->fd, NULL);
	loop->n_watches -= !!watch->events;
	watch->events = 0;
	watch->added = false;
}

static void dispatch(struct loop *loop, const struct epoll_event *event)
{
	struct watch *watch = event->data.ptr;
	unsigned wanted = event->events & (watch->events | EPOLLERR | EPOLLHUP);

	if (!watch->added)
		return;				/* unwatched earlier in this batch */
	if (!watch->events)
		loop_unwatch(loop, watch);	/* the kernel tells errors unasked, again and again */
	else if (wanted)
		watch->ready(watch, wanted, loop);
}

/* Nanoseconds where the kernel can; rounded up to milliseconds where it cannot, since too early would spin. */
static int wait_for(struct loop *loop, struct epoll_event *events, int cap, uint64_t wait_ns)
{
	int ms = -1;

#ifdef SYS_epoll_pwait2
	if (!loop->coarse && wait_ns && wait_ns != FOR_EVER) {
		struct { int64_t s, ns; } timeout = { (int64_t)(wait_ns / NS_PER_S), (int64_t)(wait_ns % NS_PER_S) };
		long n = syscall(SYS_epoll_pwait2, loop->epoll, events, cap, &timeout, NULL, (size_t)0);

		if (n >= 0 || errno == EINTR)
			return n < 0 ? 0 : (int)n;
		loop->coarse = true;
	}
#endif
	if (wait_ns != FOR_EVER)
		ms = wait_ns / NS_PER_MS >= 1000000 ? 1000000 : (int)((wait_ns + NS_PER_MS - 1) / NS_PER_MS);
	return epoll_wait(loop->epoll, events, cap, ms);
}

static void sleep_for(uint64_t wait_ns)
{
	struct timespec t = { (time_t)(wait_ns / NS_PER_S), (long)(wait_ns % NS_PER_S) };

	if (wait_ns)
		nanosleep(&t, NULL);		/* cut short by a signal: the loop comes back */
}

/* ---- running ---- */

static uint64_t time_to_wait(const struct loop *loop)
{
	uint64_t now;

	if (busy(loop))
		return 0;
	if (!loop->n_timers)
		return FOR_EVER;
	if (loop->clock.simulated)
		return 0;
	now = clock_now(&loop->clock);
	return loop->heap[1]->due_ns > now ? loop->heap[1]->due_ns - now : 0;
}

static void batch(struct loop *loop)
{
	struct epoll_event events[128];
	uint64_t wait_ns = time_to_wait(loop);
	bool idle = !busy(loop);
	int n = 0;

	if (loop->n_watches)
		n = wait_for(loop, events, sizeof(events) / sizeof(events[0]), wait_ns);
	else if (!loop->clock.simulated)
		sleep_for(wait_ns);
	if (loop->clock.simulated && idle && n <= 0 && loop->n_timers &&
	    loop->heap[1]->due_ns > loop->clock.simulated_ns)
		loop->clock.simulated_ns = loop->heap[1]->due_ns;
	loop->now_ns = clock_now(&loop->clock);

	for (int i = 0; i < n; i++)
		dispatch(loop, &events[i]);
	fire_timers(loop);
	run_tasks(loop);
	reap(loop);
}

bool loop_run(struct loop *loop)
{
	while (!loop->stopped) {
		if (!busy(loop) && !loop->n_timers && !loop->n_watches)
			return false;
		batch(loop);
	}
	loop->stopped = false;
	return true;
}

void loop_stop(struct loop *loop)
{
	loop->stopped = true;
}
