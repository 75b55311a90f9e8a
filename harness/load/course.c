#include "harness/load/course.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

/*
 * Meetings and phases. Everything is under one lock, but for what engines look at all the time; whoever changes something for the others
 * wakes them, by an eventfd each, or on simulated time, where all are on one loop, by a task.
 */

struct meeting {
	const char *name;
	uint64_t expected, arrived, gone;
	_Atomic bool held;
};

struct course {
	const struct plan *plan;
	pthread_mutex_t lock;
	struct seat *seats;
	bool simulated;
	bool again;			/* some role's clients come back by themselves */
	bool still;			/* engines stand, and wait on `moves` */
	uint32_t n_standing;
	pthread_cond_t stands, moves;
	uint64_t start_ns, ramp_ns;	/* ramp_ns: when the last client begins */
	uint64_t came_ns;		/* when a client came to a meeting last */
	uint64_t held_ns;		/* when the last meeting was held */
	uint64_t now_ns;		/* that it was told last */
	_Atomic int phase;
	_Atomic uint64_t steady_ns, drain_ns;
	_Atomic uint64_t going, linked;		/* clients that have not come to their end; connections */
	const char *_Atomic why;
	char text[200];			/* room for a reason of its own */
	uint32_t n_meetings;
	struct meeting *meetings;
	bool *names;			/* [role][meeting]: a step of the role names it */
};

static void look_through(struct course *course, uint32_t role, const struct step *step)
{
	for (; step; step = step->next) {
		if (step->kind == STEP_MEET)
			course->names[role * course->n_meetings + step->meeting] = true;
		course->again = course->again || step->kind == STEP_AGAIN;
		look_through(course, role, step->children);
	}
}

static void *must(void *p)
{
	if (!p)
		abort();	/* out of memory: nothing here can go on without */
	return p;
}

struct course *course_new(const struct plan *plan, uint64_t start_ns, bool simulated)
{
	const struct script *script = plan->script;
	struct course *course = must(calloc(1, sizeof(*course)));
	pthread_condattr_t clock;

	pthread_mutex_init(&course->lock, NULL);
	pthread_condattr_init(&clock);
	pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);	/* the time of day may be set meanwhile */
	pthread_cond_init(&course->stands, &clock);
	pthread_cond_init(&course->moves, &clock);
	pthread_condattr_destroy(&clock);
	course->plan = plan;
	course->start_ns = start_ns;
	course->simulated = simulated;
	course->n_meetings = script->n_meetings;
	course->meetings = must(calloc(script->n_meetings + 1, sizeof(*course->meetings)));
	course->names = must(calloc((size_t)plan->n_roles * script->n_meetings + 1, sizeof(*course->names)));
	for (uint32_t i = 0; i < script->n_meetings; i++)
		course->meetings[i].name = script->meetings[i];
	for (uint32_t r = 0; r < plan->n_roles; r++) {
		uint64_t n = plan->roles[r].end - plan->roles[r].first;

		if (n)
			look_through(course, r, plan->roles[r].role->steps);
		for (uint32_t i = 0; i < script->n_meetings; i++)
			if (course->names[r * script->n_meetings + i])
				course->meetings[i].expected += n;
		course->going += n;
		if (n && plan->roles[r].over_ns > course->ramp_ns)
			course->ramp_ns = plan->roles[r].over_ns;
	}
	for (uint32_t i = 0; i < script->n_meetings; i++)
		course->meetings[i].held = !course->meetings[i].expected;
	return course;
}

void course_free(struct course *course)
{
	if (!course)
		return;
	pthread_cond_destroy(&course->stands);
	pthread_cond_destroy(&course->moves);
	pthread_mutex_destroy(&course->lock);
	free(course->meetings);
	free(course->names);
	free(course);
}

/* ---- seats ---- */

static struct seat *seat_of_watch(struct watch *watch)
{
	return (struct seat *)((char *)watch - offsetof(struct seat, watch));
}

static void on_eventfd(struct watch *watch, unsigned events, struct loop *loop)
{
	uint64_t n;

	(void)events, (void)loop;
	if (read(watch->fd, &n, sizeof(n)) == sizeof(n))
		seat_of_watch(watch)->changed(seat_of_watch(watch));
}

static void on_task(struct task *task, struct loop *loop)
{
	struct seat *seat = (struct seat *)((char *)task - offsetof(struct seat, task));

	(void)loop;
	if (seat->loop)
		seat->changed(seat);
}

int course_sit(struct course *course, struct seat *seat, struct loop *loop, void (*changed)(struct seat *seat))
{
	int error = 0;

	*seat = (struct seat){ .loop = loop, .task.run = on_task, .watch = { .fd = -1, .ready = on_eventfd }, .changed = changed };
	if (!course->simulated) {
		seat->watch.fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
		error = seat->watch.fd < 0 ? -errno : loop_watch(loop, &seat->watch, EPOLLIN);
		if (error && seat->watch.fd >= 0)
			close(seat->watch.fd);
		if (error)
			return error;
	}
	pthread_mutex_lock(&course->lock);
	seat->next = course->seats;
	course->seats = seat;
	pthread_mutex_unlock(&course->lock);
	return 0;
}

void course_rise(struct course *course, struct seat *seat)
{
	if (!seat->loop)
		return;
	pthread_mutex_lock(&course->lock);
	for (struct seat **at = &course->seats; *at; at = &(*at)->next)
		if (*at == seat) {
			*at = seat->next;
			break;
		}
	pthread_cond_signal(&course->stands);		/* one less to wait for */
	pthread_mutex_unlock(&course->lock);
	if (seat->watch.fd >= 0) {
		loop_unwatch(seat->loop, &seat->watch);
		close(seat->watch.fd);
	}
	seat->loop = NULL;
}

static void wake_all(struct course *course)
{
	for (struct seat *seat = course->seats; seat; seat = seat->next) {
		uint64_t one = 1;

		if (course->simulated)
			loop_post(seat->loop, &seat->task);
		else if (write(seat->watch.fd, &one, sizeof(one)) < 0)
			assert(errno == EAGAIN);	/* its counter is full: it will wake */
	}
}

/* ---- phases; all of it under the lock ---- */

static const struct meeting *not_held(const struct course *course)
{
	for (uint32_t i = 0; i < course->n_meetings; i++)
		if (!course->meetings[i].held)
			return &course->meetings[i];
	return NULL;
}

static uint64_t later(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static uint64_t plus(uint64_t a, uint64_t b)
{
	return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

static void enter(struct course *course, enum phase phase, uint64_t now_ns)
{
	now_ns = later(now_ns, 1);	/* 0 says that it has not been */
	if (phase == PHASE_STEADY)
		course->steady_ns = now_ns;
	if (phase >= PHASE_DRAIN && !course->drain_ns)
		course->drain_ns = now_ns;
	course->phase = (int)phase;
	wake_all(course);
}

static void give_up_meeting(struct course *course, const struct meeting *m, uint64_t now_ns)
{
	snprintf(course->text, sizeof(course->text), "the meeting \"%.60s\" was given up: %llu of %llu clients did not come", m->name,
	         (unsigned long long)(m->expected - m->arrived), (unsigned long long)m->expected);
	if (!course->why)
		course->why = course->text;
	enter(course, PHASE_DRAIN, now_ns);
}

static void look(struct course *course, uint64_t now_ns)
{
	const struct meeting *m = not_held(course);

	course->now_ns = now_ns = later(now_ns, course->now_ns);
	if (course->phase == PHASE_RAMP && !m && now_ns >= course->ramp_ns)
		enter(course, PHASE_STEADY, later(course->ramp_ns, course->held_ns));
	if (course->phase == PHASE_RAMP && m && now_ns >= plus(later(course->came_ns, course->ramp_ns), course->plan->meet_patience_ns))
		give_up_meeting(course, m, now_ns);
	if (course->phase == PHASE_STEADY && course->plan->for_ns && now_ns >= plus(course->steady_ns, course->plan->for_ns))
		enter(course, PHASE_DRAIN, now_ns);
	/* Who has come to the end of his steps stays connected for as long as was asked for. */
	if (course->phase < PHASE_DRAIN && !course->going && !(course->plan->for_ns && (course->linked || course->again)))
		enter(course, PHASE_DRAIN, now_ns);
	if (course->phase == PHASE_DRAIN && (now_ns >= plus(course->drain_ns, course->plan->drain_ns) || (!course->going && !course->linked)))
		enter(course, PHASE_OVER, now_ns);
}

enum phase course_tick(struct course *course, uint64_t now_ns)
{
	pthread_mutex_lock(&course->lock);
	look(course, now_ns);
	pthread_mutex_unlock(&course->lock);
	return course_phase(course);
}

uint64_t course_next_ns(struct course *course)
{
	const struct plan *plan = course->plan;
	uint64_t next = UINT64_MAX;

	pthread_mutex_lock(&course->lock);
	switch ((enum phase)course->phase) {
	case PHASE_RAMP:
		next = not_held(course) ? plus(later(course->came_ns, course->ramp_ns), plan->meet_patience_ns) : course->ramp_ns;
		break;
	case PHASE_STEADY:
		next = plan->for_ns ? plus(course->steady_ns, plan->for_ns) : UINT64_MAX;
		break;
	case PHASE_DRAIN:
		next = plus(course->drain_ns, plan->drain_ns);
		break;
	case PHASE_OVER:
		break;
	}
	pthread_mutex_unlock(&course->lock);
	return next;
}

uint64_t course_turns_end_ns(struct course *course)
{
	uint64_t end_ns = UINT64_MAX, steady_ns;

	pthread_mutex_lock(&course->lock);
	if (course->phase >= PHASE_DRAIN)
		end_ns = course->drain_ns;
	/* The drain may begin late, on a busy machine; what is due does not depend on that. */
	steady_ns = course->steady_ns - (course->steady_ns == 1);		/* 1 stands for 0: see enter() */
	if (course->phase >= PHASE_STEADY && course->plan->for_ns && !course->why && end_ns > plus(steady_ns, course->plan->for_ns))
		end_ns = plus(steady_ns, course->plan->for_ns);
	pthread_mutex_unlock(&course->lock);
	return end_ns;
}

/* ---- the drain is over when nothing is owed ---- */

enum { STAND_S = 2 };			/* how long engines may take to stand still, on a machine that has much else to do */

void course_quiet(struct course *course, struct seat *seat, bool quiet)
{
	pthread_mutex_lock(&course->lock);
	seat->quiet = quiet;
	pthread_mutex_unlock(&course->lock);
}

bool course_is_quiet(struct course *course)
{
	bool quiet;

	pthread_mutex_lock(&course->lock);
	quiet = course->phase == PHASE_DRAIN && course->seats;
	for (const struct seat *seat = course->seats; seat && quiet; seat = seat->next)
		quiet = seat->quiet;
	pthread_mutex_unlock(&course->lock);
	return quiet;
}

void course_stand(struct course *course)
{
	pthread_mutex_lock(&course->lock);
	if (course->still) {
		course->n_standing++;
		pthread_cond_signal(&course->stands);
		while (course->still)
			pthread_cond_wait(&course->moves, &course->lock);
		course->n_standing--;
		pthread_cond_signal(&course->stands);
	}
	pthread_mutex_unlock(&course->lock);
}

static uint32_t n_seats(const struct course *course)
{
	uint32_t n = 0;

	for (const struct seat *seat = course->seats; seat; seat = seat->next)
		n++;
	return n;
}

static void let_go(struct course *course)
{
	course->still = false;
	pthread_cond_broadcast(&course->moves);
	while (course->n_standing)
		pthread_cond_wait(&course->stands, &course->lock);
}

bool course_halt(struct course *course)
{
	struct timespec until;
	bool stand = true;

	if (course->simulated)		/* one thread has them all */
		return true;
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += STAND_S;
	pthread_mutex_lock(&course->lock);
	course->still = true;
	wake_all(course);
	while (stand && course->n_standing < n_seats(course))
		stand = pthread_cond_timedwait(&course->stands, &course->lock, &until) != ETIMEDOUT;
	if (!stand)
		let_go(course);
	pthread_mutex_unlock(&course->lock);
	return stand;
}

void course_go_on(struct course *course, bool over)
{
	pthread_mutex_lock(&course->lock);
	if (over && course->phase == PHASE_DRAIN)
		enter(course, PHASE_OVER, course->now_ns);
	if (!course->simulated)
		let_go(course);
	pthread_mutex_unlock(&course->lock);
}

void course_end(struct course *course, const char *why)
{
	struct clock clock;
	uint64_t now_ns;

	clock_init(&clock, false);
	pthread_mutex_lock(&course->lock);
	now_ns = course->now_ns;
	if (!course->simulated && clock_now(&clock) > course->start_ns)
		now_ns = later(now_ns, clock_now(&clock) - course->start_ns);
	if (course->phase < PHASE_DRAIN) {
		if (why && !course->why)
			course->why = why;
		enter(course, PHASE_DRAIN, now_ns);
	}
	pthread_mutex_unlock(&course->lock);
}

enum phase course_phase(const struct course *course)
{
	return (enum phase)course->phase;
}

const char *course_why(const struct course *course)
{
	return course->why;
}

uint64_t course_start_ns(const struct course *course)
{
	return course->start_ns;
}

uint64_t course_steady_ns(const struct course *course)
{
	return course->steady_ns;
}

uint64_t course_drain_ns(const struct course *course)
{
	return course->drain_ns;
}

/* ---- meetings, and who is left ---- */

static void hold_if_all_came(struct course *course, struct meeting *m, uint64_t now_ns)
{
	if (m->held || m->arrived + m->gone < m->expected)
		return;
	m->held = true;
	course->held_ns = later(course->held_ns, now_ns);
	wake_all(course);
}

bool course_is_held(const struct course *course, uint32_t meeting)
{
	return course->meetings[meeting].held || course->phase >= PHASE_DRAIN;
}

bool course_meet(struct course *course, uint32_t meeting, uint64_t now_ns)
{
	struct meeting *m = &course->meetings[meeting];

	if (course_is_held(course, meeting))
		return true;
	pthread_mutex_lock(&course->lock);
	m->arrived++;
	course->came_ns = later(course->came_ns, now_ns);
	hold_if_all_came(course, m, now_ns);
	look(course, now_ns);
	pthread_mutex_unlock(&course->lock);
	return course_is_held(course, meeting);
}

void course_unmeet(struct course *course, uint32_t meeting)
{
	pthread_mutex_lock(&course->lock);
	if (!course->meetings[meeting].held)
		course->meetings[meeting].arrived--;
	pthread_mutex_unlock(&course->lock);
}

void course_gone(struct course *course, uint32_t role, uint64_t now_ns)
{
	pthread_mutex_lock(&course->lock);
	for (uint32_t i = 0; i < course->n_meetings; i++)
		if (course->names[role * course->n_meetings + i] && !course->meetings[i].held) {
			course->meetings[i].gone++;
			hold_if_all_came(course, &course->meetings[i], now_ns);
		}
	course->going--;
	look(course, now_ns);
	pthread_mutex_unlock(&course->lock);
}

void course_linked(struct course *course)
{
	course->linked++;
}

void course_unlinked(struct course *course, uint64_t now_ns)
{
	if (--course->linked || course->going)
		return;
	pthread_mutex_lock(&course->lock);
	look(course, now_ns);
	pthread_mutex_unlock(&course->lock);
}

bool course_meeting(const struct course *course, uint32_t number, struct meeting_state *state)
{
	struct course *c = (struct course *)course;	/* the lock is no part of what it says */

	if (number >= course->n_meetings)
		return false;
	pthread_mutex_lock(&c->lock);
	const struct meeting *m = &course->meetings[number];
	*state = (struct meeting_state){ m->name, m->expected, m->arrived, m->gone, m->held };
	pthread_mutex_unlock(&c->lock);
	return true;
}
