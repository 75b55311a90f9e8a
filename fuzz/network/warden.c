#include "fuzz/network/warden_internal.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "harness/escape.h"

#define DEFAULT_TIMEOUT_NS (5000 * MS)
#define DEFAULT_GROWS (UINT64_C(64) << 20)
const struct patience warden_patience = {
	.warm_up_ns = 700 * MS, .timed_ns = 800 * MS, .idle_ns = 300 * MS, .glance_ns = 200 * MS, .tidy_ns = 1000 * MS, .settle_ns = 300 * MS, .memory_ns = 200 * MS, .late_ns = 250 * MS, .stall_ns = 1000 * MS,
};

#define ASK_NS (100 * MS)
#define HASTE_NS (500 * MS)		/* at least, and so many times what exchanges took at first: */
enum { HASTE_FACTOR = 50, STARTS = 3 };

#define ORDERLY_NS (5000 * MS)		/* for a target to end in: looking for leaks takes it a while */

/* ---- waiting ---- */

void warden_wake(struct warden *w)
{
	if (w->waiting)
		loop_stop(w->loop);
}

void warden_wait(struct warden *w, bool (*until)(struct warden *w))
{
	bool outer = w->waiting;

	w->waiting = true;
	while (!until(w) && loop_run(w->loop))
		;
	w->waiting = outer;
}

static void on_pause(struct timer *timer, struct loop *loop)
{
	struct warden *w = (struct warden *)((char *)timer - offsetof(struct warden, pause));

	(void)loop;
	w->paused = false;
	warden_wake(w);
}

static bool pause_is_over(struct warden *w)
{
	return !w->paused;
}

void warden_pause(struct warden *w, uint64_t for_ns)
{
	w->paused = true;
	loop_timer(w->loop, &w->pause, clock_now(&w->loop->clock) + for_ns);
	warden_wait(w, pause_is_over);
}

void warden_rest(struct warden *w, uint64_t for_ns)
{
	warden_pause(w, for_ns);
}

/* ---- visits ---- */

enum version warden_next_version(struct warden *w)
{
	unsigned version;

	do
		version = MQTT_3_1 + w->turn++ % 3;
	while (!(w->baseline.versions & 1u << version));
	return (enum version)version;
}

static void on_visit(struct visit *visit, void *context);
static void next_visit(struct warden *w, struct visit *visit)
{
	enum version version;

	if (!w->n_to_start || w->state != STATE_SERVES || w->loop->now_ns >= w->visits_until_ns)
		return;
	w->n_to_start--;
	w->n_under_way++;
	version = warden_next_version(w);
	visit_start(visit, &w->health, version, w->manner[version], w->timeout_ns, on_visit, w);
}

static void on_visit(struct visit *visit, void *context)
{
	struct warden *w = context;

	w->n_under_way--;
	if (visit->end != HEALTH_WELL) {
		w->n_failed++;
		snprintf(w->trouble, sizeof(w->trouble), "%s", visit->trouble);
	} else if (w->n_took < w->cap_took) {
		w->took[w->n_took++] = visit->took_ns;
	}
	next_visit(w, visit);
	if (!w->n_under_way)
		warden_wake(w);
}

static bool visits_are_over(struct warden *w)
{
	return !w->n_under_way;
}

void warden_visits(struct warden *w, size_t n, size_t at_once, uint64_t until_ns)
{
	assert(at_once <= WARM_UP_VISITS);
	if (n > w->cap_took) {
		w->took = realloc(w->took, n * sizeof(*w->took));
		w->cap_took = n;
		if (!w->took)
			abort();
	}
	w->n_took = w->n_failed = 0;
	w->n_to_start = n;
	w->visits_until_ns = until_ns;
	for (size_t i = 0; i < at_once; i++)
		next_visit(w, &w->visits[i]);
	warden_wait(w, visits_are_over);
}

/* ---- the process ---- */

struct subject warden_subject(const struct warden *w)
{
	if (w->process)
		return (struct subject){ process_child(w->process)->pid, true };
	return (struct subject){ w->pid, false };
}

static void on_event(void *context, enum process_event event, const char *how)
{
	struct warden *w = context;

	snprintf(w->how, sizeof(w->how), "%s", how);
	switch (event) {
	case PROCESS_READY:
		w->state = STATE_SERVES;
		break;
	case PROCESS_STARTED_NOT:
		w->state = STATE_GONE;
		break;
	case PROCESS_KILLED:
		if (process_child(w->process)->asked) {
			w->state = STATE_ENDED;
			break;
		}
		warden_gone(w);
		break;
	case PROCESS_DIED:
		warden_gone(w);
		break;
	}
	warden_wake(w);
}

static void on_pidfd(struct watch *watch, unsigned events, struct loop *loop)
{
	struct warden *w = (struct warden *)((char *)watch - offsetof(struct warden, pidfd));

	(void)events;
	loop_unwatch(loop, watch);
	snprintf(w->how, sizeof(w->how), "process %d has ended", w->pid);
	warden_gone(w);
	warden_wake(w);
}

bool warden_interrupted(const struct warden *w)
{
	return w->interrupted && w->interrupted();
}

static void on_ask(struct timer *timer, struct loop *loop)
{
	struct warden *w = (struct warden *)((char *)timer - offsetof(struct warden, ask));

	loop_timer(loop, timer, clock_now(&loop->clock) + ASK_NS);
	if (warden_interrupted(w))
		warden_wake(w);
}

static bool has_started(struct warden *w)
{
	return w->state != STATE_STARTING || warden_interrupted(w);
}

static bool start_command(struct warden *w)
{
	w->state = STATE_STARTING;
	w->death.oracle = ORACLE_NONE;
	w->reported_ns = 0;
	w->oom_kills = resources_oom_kills();
	process_start(w->process);
	loop_timer(w->loop, &w->ask, clock_now(&w->loop->clock) + ASK_NS);
	warden_wait(w, has_started);
	loop_timer_stop(w->loop, &w->ask);
	if (w->state == STATE_STARTING)
		snprintf(w->how, sizeof(w->how), "interrupted while it started");
	return w->state == STATE_SERVES;
}

static bool look_at_pid(struct warden *w, char *why, size_t cap)
{
	struct usage usage;
	int error;

	if (!usage_of(warden_subject(w), &usage)) {
		snprintf(why, cap, "--pid %d: there is no such process", w->pid);
		return false;
	}
	w->pidfd.fd = (int)syscall(SYS_pidfd_open, w->pid, 0u);
	w->pidfd.ready = on_pidfd;
	error = w->pidfd.fd < 0 ? -errno : loop_watch(w->loop, &w->pidfd, EPOLLIN);
	if (error)
		snprintf(why, cap, "--pid %d: cannot be watched: %s", w->pid, strerror(-error));
	else
		w->state = STATE_SERVES;
	return !error;
}

static bool begin(struct warden *w, const struct warden_options *o, char *why, size_t cap)
{
	if (!o->exec) {
		w->state = STATE_SERVES;
		return !w->pid || look_at_pid(w, why, cap);
	}
	w->process = process_new(w->loop, o->exec, o->start_timeout_ns, o->user_name, o->password, &w->address, on_event, w);
	child_keep(process_child(w->process), KEPT_OUTPUT);
	return true;
}

struct warden *warden_new(const struct warden_options *o, char *why, size_t cap)
{
	struct warden *w = calloc(1, sizeof(*w));
	bool fine;

	if (!w)
		abort();
	w->loop = o->loop;
	w->address = o->address;
	w->pid = o->exec ? 0 : o->pid;
	w->timeout_ns = w->patience_ns = o->timeout_ns ? o->timeout_ns : DEFAULT_TIMEOUT_NS;
	w->interrupted = o->interrupted;
	w->ask.fire = on_ask;
	w->grows = o->grows ? o->grows : DEFAULT_GROWS;
	w->pidfd.fd = -1;
	w->pause.fire = on_pause;
	w->patience = warden_patience;
	w->usage = usage_of;
	health_init(&w->health, w->loop, &w->address, o->user_name, o->password);
	fine = begin(w, o, why, cap);
	if (fine && w->process) {
		reports_init(w, o->folder ? o->folder : "");
		fine = start_command(w);
		if (!fine)
			snprintf(why, cap, "%s", w->how);
	}
	if (fine && warden_measure(w, why, cap))
		return w;
	warden_free(w);
	return NULL;
}

void warden_free(struct warden *w)
{
	if (!w)
		return;
	warden_watch(w, 0, NULL, NULL);
	loop_timer_stop(w->loop, &w->pause);
	loop_timer_stop(w->loop, &w->ask);
	inquiry_drop(&w->inquiry);
	for (size_t i = 0; i < WARM_UP_VISITS; i++)
		visit_drop(&w->visits[i]);
	if (w->pidfd.fd >= 0) {
		loop_unwatch(w->loop, &w->pidfd);
		close(w->pidfd.fd);
	}
	process_free(w->process);
	loop_settle(w->loop);
	health_release(&w->health);
	reports_release(w);
	free(w->took);
	free(w);
}

/* ---- as new ---- */

bool warden_can_restart(const struct warden *w)
{
	return w->process;
}

unsigned warden_restarts(const struct warden *w)
{
	return w->restarts;
}

static bool has_ended(struct warden *w)
{
	return !process_child(w->process)->runs;
}

/* A leak, or an error that only the end brings about. */
static void found_at_end(struct warden *w, const struct sanitizer_report *report)
{
	if (w->death.oracle == ORACLE_NONE && !report->last_words)
		reports_symptom(report, &w->death);
}

/* Nothing under way is left to call back. */
static void drop_all(struct warden *w)
{
	warden_watch(w, 0, NULL, NULL);
	inquiry_drop(&w->inquiry);
	w->inquiring = false;
	for (size_t i = 0; i < WARM_UP_VISITS; i++)
		visit_drop(&w->visits[i]);
	w->n_under_way = 0;
	w->n_pending = 0;
}

bool warden_restart(struct warden *w, bool leaks, struct symptom *symptom)
{
	bool lived;

	*symptom = (struct symptom){ 0 };
	if (!w->process)
		return false;
	drop_all(w);
	lived = process_child(w->process)->runs;
	if (lived) {
		process_end(w->process, leaks ? ORDERLY_NS : 0);
		warden_wait(w, has_ended);
		w->death.oracle = ORACLE_NONE;
	}
	if (lived && leaks) {
		reports_look(w, true, found_at_end);
		if (w->death.oracle)
			*symptom = w->death;
	}
	reports_forget(w);
	child_empty_dir(process_child(w->process));
	w->restarts++;
	/* Its port may not be free yet, or be somebody else's for a moment. */
	for (unsigned i = 0; i < STARTS && !warden_interrupted(w); i++) {
		if (i)
			warden_pause(w, w->patience.settle_ns);
		if (start_command(w))
			return true;
	}
	warden_symptom(symptom, ORACLE_DEATH, "death at start", "%s", w->how);
	w->death = *symptom;
	return false;
}

/* ---- what is known ---- */

const struct warden_baseline *warden_baseline(const struct warden *w)
{
	return &w->baseline;
}

const struct address *warden_address(const struct warden *w)
{
	return &w->address;
}

uint64_t warden_hasty_ns(const struct warden *w)
{
	uint64_t least_ns = HASTE_FACTOR * w->baseline.p99_ns;

	if (least_ns < HASTE_NS)
		least_ns = HASTE_NS;
	return least_ns < w->patience_ns ? least_ns : w->patience_ns;
}

void warden_haste(struct warden *w, bool haste)
{
	w->haste = haste;
	w->timeout_ns = haste ? warden_hasty_ns(w) : w->patience_ns;
}

bool warden_sees_leaks(const struct warden *w)
{
	return w->process && resources_sanitized(warden_subject(w));
}

uint64_t warden_rss(const struct warden *w)
{
	struct usage usage;

	return w->usage(warden_subject(w), &usage) ? usage.rss : 0;
}

void warden_symptom(struct symptom *symptom, enum oracle oracle, const char *bucket, const char *format, ...)
{
	va_list args;

	*symptom = (struct symptom){ .oracle = oracle };
	snprintf(symptom->bucket, sizeof(symptom->bucket), "%s", bucket);
	va_start(args, format);
	vsnprintf(symptom->text, sizeof(symptom->text), format, args);
	va_end(args);
}
