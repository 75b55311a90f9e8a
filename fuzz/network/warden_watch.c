#include "fuzz/network/warden_internal.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/escape.h"

#define RSS_NS (250 * MS)
#define DYING_NS (10000 * MS)

/* ---- death ---- */

/* What was found when it had ended: the last report is what ended it, a leak only where there is nothing else. */
static void found_when_gone(struct warden *w, const struct sanitizer_report *report)
{
	if (report->last_words)
		snprintf(w->words, sizeof(w->words), " %s%s%s", report->kind, *report->frames ? " " : "", report->frames);
	else if (strcmp(report->kind, "leak") != 0 || w->death.oracle == ORACLE_NONE)
		reports_symptom(report, &w->death);
}

static void last_words(struct warden *w, struct symptom *symptom)
{
	size_t len = child_output(process_child(w->process), 0, symptom->detail, sizeof(symptom->detail));

	symptom->detail[len] = '\0';
}

/* SIGKILL is from somebody, or from the kernel, whose memory the target has used up. */
static bool is_from_outside(const struct warden *w, const struct child *child)
{
	return child->signal == SIGTERM || child->signal == SIGINT || (child->signal == SIGKILL && resources_oom_kills() == w->oom_kills);
}

/* A report is whole before the process has ended over it, and may have been told by then. */
static bool dies_of_report(const struct warden *w, const struct child *child)
{
	return w->reported_ns && clock_now(&w->loop->clock) - w->reported_ns < DYING_NS && (child->exit_status > 0 || child->signal == SIGABRT);
}

static void judge_end(struct warden *w)
{
	const struct child *child = process_child(w->process);
	char bucket[400], safe[800];

	w->words[0] = '\0';
	reports_look(w, true, found_when_gone);
	if (!w->death.oracle && dies_of_report(w, child))
		w->death = w->reported;
	if (w->death.oracle) {		/* a report says more than a signal does */
		size_t len = strlen(w->death.text);

		snprintf(w->death.text + len, sizeof(w->death.text) - len, "; the target %.200s", w->how);
		return;
	}
	if (is_from_outside(w, child)) {
		w->state = STATE_TAKEN;
		return;
	}
	if (child->signal)
		snprintf(bucket, sizeof(bucket), "death signal %d (%s)%s", child->signal, strsignal(child->signal), w->words);
	else
		snprintf(bucket, sizeof(bucket), "death exit %d%s", child->exit_status, w->words);
	escape_bytes(bucket, strlen(bucket), safe, sizeof(safe));
	warden_symptom(&w->death, ORACLE_DEATH, safe, "the target %s%s", w->how, child->signal == SIGKILL ? " (the kernel was out of memory)" : "");
	last_words(w, &w->death);
}

/* ---- alarms ---- */

static void alarm_for(struct warden *w, const struct symptom *symptom)
{
	void (*alarmed)(void *context, const struct symptom *symptom) = w->alarmed;

	if (!alarmed)
		return;
	warden_watch(w, 0, NULL, NULL);
	alarmed(w->context, symptom);
}

void warden_gone(struct warden *w)
{
	struct symptom taken;

	w->state = STATE_GONE;
	if (w->process)
		judge_end(w);
	else
		warden_symptom(&w->death, ORACLE_DEATH, "death", "%s; of a process that somebody else has started nobody tells how", w->how);
	if (w->state == STATE_TAKEN) {
		warden_symptom(&taken, ORACLE_NONE, "", "the target %s", w->how);
		alarm_for(w, &taken);
	} else {
		alarm_for(w, &w->death);
	}
}

static void found_one(struct warden *w, const struct sanitizer_report *report)
{
	if (w->n_pending < MOST_PENDING)
		reports_symptom(report, &w->pending[w->n_pending++]);
	reports_symptom(report, &w->reported);
	w->reported_ns = clock_now(&w->loop->clock);
}

bool warden_look(struct warden *w)
{
	return reports_look(w, false, found_one);
}

/* ---- does it answer? ---- */

void warden_inquire(struct warden *w, void (*done)(struct inquiry *inquiry, void *context))
{
	enum version version = warden_next_version(w);

	if (!w->usage(warden_subject(w), &w->asked))
		w->asked = (struct usage){ 0 };
	w->asked_ns = clock_now(&w->loop->clock);
	inquiry_start(&w->inquiry, &w->health, version, w->manner[version], w->timeout_ns, done, w);
}

/* It is CPU time of its own that counts: on a busy machine everybody waits, and who waits for a disk or another machine is no fuzzer's. */
bool warden_stalls(const struct warden *w, uint64_t for_ns, struct symptom *symptom)
{
	uint64_t waited_ns = clock_now(&w->loop->clock) - w->asked_ns;
	struct usage now;

	if (waited_ns < for_ns || !w->asked.n || !w->usage(warden_subject(w), &now) || now.cpu_ns < w->asked.cpu_ns + for_ns / 4 * 3)
		return false;
	warden_symptom(symptom, ORACLE_LATENCY, "latency stall", "a fresh connection was not served for %.2g s, in which the target used %.2g s of CPU time for others",
	               (double)waited_ns / 1e9, (double)(now.cpu_ns - w->asked.cpu_ns) / 1e9);
	symptom->held = true;
	return true;
}

void warden_hangs(const struct warden *w, struct symptom *symptom)
{
	struct usage now;
	char does[120] = "";
	bool computes = false;

	if (w->asked.n && w->usage(warden_subject(w), &now) && now.cpu_ns >= w->asked.cpu_ns) {
		computes = now.cpu_ns - w->asked.cpu_ns > w->timeout_ns / 8;
		snprintf(does, sizeof(does), "; the process is there, and used %.2g s of CPU time meanwhile", (double)(now.cpu_ns - w->asked.cpu_ns) / 1e9);
	}
	warden_symptom(symptom, ORACLE_LIVENESS, "liveness", "no valid exchange on a fresh connection within %.3g s: %s%s", (double)w->timeout_ns / 1e9, w->inquiry.trouble, does);
	symptom->computes = computes;
}

/* ---- in the background ---- */

static void on_inquiry(struct inquiry *inquiry, void *context)
{
	struct warden *w = context;
	struct symptom symptom;

	w->inquiring = false;
	if (inquiry->well || w->state != STATE_SERVES) {
		w->health_due_ns = w->loop->now_ns + w->every_ns;
		return;
	}
	w->health_due_ns = w->loop->now_ns;
	if (!warden_look(w))		/* it is dying, and writes why */
		return;
	warden_hangs(w, &symptom);
	alarm_for(w, &symptom);
}

static void look_at_health(struct warden *w)
{
	struct symptom symptom;

	if (w->inquiring && warden_stalls(w, w->patience.stall_ns, &symptom)) {
		alarm_for(w, &symptom);
		return;
	}
	if (w->inquiring || w->loop->now_ns < w->health_due_ns)
		return;
	w->inquiring = true;
	warden_inquire(w, on_inquiry);
}

/* Under load there is a lot to hold. What stays is warden_check()'s to see: this is for what would take all of the machine's memory before that. */
static void look_at_memory(struct warden *w)
{
	struct symptom symptom;
	uint64_t rss;

	if (!w->baseline.rss || w->loop->now_ns < w->rss_due_ns)
		return;
	w->rss_due_ns = w->loop->now_ns + RSS_NS;
	rss = warden_rss(w);
	if (rss <= w->rss_alarm)
		return;
	w->rss_alarm = 2 * rss;
	warden_symptom(&symptom, ORACLE_MEMORY, "memory", "resident memory has grown from %llu to %llu kB", (unsigned long long)w->baseline.rss >> 10, (unsigned long long)rss >> 10);
	alarm_for(w, &symptom);
}

/* Somebody has ended it, which says nothing about it. */
void warden_bring_back(struct warden *w)
{
	struct symptom symptom;

	if (w->state == STATE_TAKEN && w->process)
		warden_restart(w, false, &symptom);
}

static void on_tick(struct timer *timer, struct loop *loop)
{
	struct warden *w = (struct warden *)((char *)timer - offsetof(struct warden, tick));

	loop_timer(loop, timer, loop->now_ns + TICK_NS);
	if (w->state == STATE_GONE)
		alarm_for(w, &w->death);
	if (w->state != STATE_SERVES)
		return;
	warden_look(w);
	if (w->n_pending) {
		alarm_for(w, &w->pending[0]);
		return;
	}
	look_at_health(w);
	if (w->alarmed)
		look_at_memory(w);
}

void warden_watch(struct warden *w, uint64_t every_ns, void (*alarmed)(void *context, const struct symptom *symptom), void *context)
{
	if (w->inquiring)
		inquiry_drop(&w->inquiry);
	w->inquiring = false;
	loop_timer_stop(w->loop, &w->tick);
	w->alarmed = NULL;
	if (!every_ns)
		return;
	warden_bring_back(w);
	w->alarmed = alarmed;
	w->context = context;
	w->every_ns = every_ns;
	w->tick.fire = on_tick;
	w->health_due_ns = clock_now(&w->loop->clock) + every_ns;
	if (w->rss_alarm < w->baseline.rss + 2 * w->grows)
		w->rss_alarm = w->baseline.rss + 2 * w->grows;
	loop_timer(w->loop, &w->tick, clock_now(&w->loop->clock) + TICK_NS);
}
