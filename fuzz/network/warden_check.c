#include "fuzz/network/warden_internal.h"

#include <stdio.h>
#include <stdlib.h>

#define MOST_LATENCY_NS (1000 * MS)

enum {
	LATENCY_FACTOR = 50,		/* of the 99th percentile; of the median where a busy machine has made that large */
	MEDIAN_FACTOR = 20,
	VISITS = 5,
	LOOKS = 2,			/* of each kind before something is a symptom */
	WINDOWS = 3,
	MEMORY_LOOKS = 10,
	GLANCE_PERMILLE = 50, BUSY_PERMILLE = 500, IDLE_PERMILLE = 100,
};

/* ---- is it there, and well? ---- */

static bool is_there(struct warden *w, struct symptom *symptom)
{
	if (w->state == STATE_SERVES)
		return true;
	if (w->state == STATE_GONE)
		*symptom = w->death;
	else
		warden_symptom(symptom, ORACLE_NONE, "", "the target %s", w->how);
	return false;
}

/* The reports, until none is under way. False: there is one, or the target has ended over it. */
static bool reports_are_none(struct warden *w, struct symptom *symptom)
{
	while (w->state == STATE_SERVES && !warden_look(w) && !w->n_pending)
		warden_pause(w, TICK_NS);
	if (!is_there(w, symptom))
		return false;
	if (!w->n_pending)
		return true;
	*symptom = w->pending[0];
	w->n_pending--;
	memmove(w->pending, w->pending + 1, w->n_pending * sizeof(w->pending[0]));
	return false;
}

static void on_inquiry(struct inquiry *inquiry, void *context)
{
	(void)inquiry;
	warden_wake(context);
}

static bool inquiry_is_over(struct warden *w)
{
	return !w->inquiry.under_way || w->state != STATE_SERVES;
}

static bool answers(struct warden *w, struct symptom *symptom)
{
	warden_inquire(w, on_inquiry);
	warden_wait(w, inquiry_is_over);
	inquiry_drop(&w->inquiry);
	if (!reports_are_none(w, symptom))
		return false;
	if (w->inquiry.well)
		return true;
	warden_hangs(w, symptom);
	return false;
}

/* ---- is it as quick as it was? ---- */

static uint64_t median(struct warden *w)
{
	warden_visits(w, VISITS, 1, UINT64_MAX);
	qsort(w->took, w->n_took, sizeof(*w->took), warden_by_size);
	return w->n_took ? w->took[w->n_took / 2] : 0;
}

static uint64_t larger(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static uint64_t latency_limit(const struct warden *w)
{
	const struct warden_baseline *b = &w->baseline;
	uint64_t limit_ns = larger(LATENCY_FACTOR * b->p99_ns, w->patience.late_ns), most_ns = larger(MEDIAN_FACTOR * b->p50_ns, MOST_LATENCY_NS);

	return limit_ns < most_ns ? limit_ns : most_ns;
}

static bool is_quick(struct warden *w, struct symptom *symptom)
{
	uint64_t limit_ns = latency_limit(w), took_ns = w->inquiry.took_ns;

	for (unsigned i = 0; i < LOOKS && took_ns > limit_ns; i++) {
		warden_pause(w, w->patience.settle_ns);
		took_ns = median(w);
		if (!took_ns)
			return answers(w, symptom);
	}
	if (took_ns <= limit_ns)
		return reports_are_none(w, symptom);
	warden_symptom(symptom, ORACLE_LATENCY, "latency", "a valid exchange takes %.3g ms, where 99 of 100 took at most %.3g ms at first",
	               (double)took_ns / 1e6, (double)w->baseline.p99_ns / 1e6);
	return false;
}

void warden_look_stalled(struct warden *w, struct symptom *symptom)
{
	struct symptom seen;
	bool stalls = false;

	*symptom = (struct symptom){ 0 };
	warden_inquire(w, on_inquiry);
	while (!inquiry_is_over(w) && !(stalls = warden_stalls(w, w->patience.stall_ns / 2, &seen)))
		warden_pause(w, TICK_NS / 4);		/* on a busy machine it takes longer to use so much */
	inquiry_drop(&w->inquiry);
	if (w->state == STATE_SERVES && stalls)
		*symptom = seen;
}

/* ---- as idle, as small? ---- */

/* CPU time that it wants while nobody asks anything. */
static uint64_t busy_permille(struct warden *w, uint64_t for_ns, uint64_t *used_ns)
{
	struct usage before, after;
	uint64_t began_ns = clock_now(&w->loop->clock);
	bool seen = w->usage(warden_subject(w), &before);

	warden_pause(w, for_ns);
	if (!seen || !w->usage(warden_subject(w), &after) || after.cpu_ns < before.cpu_ns)
		return 0;
	*used_ns += after.cpu_ns - before.cpu_ns;
	return usage_wanted(&before, &after) * 1000 / (clock_now(&w->loop->clock) - began_ns);
}

/*
 * There may be much to tidy up after many clients: it has seconds for that, and it is CPU time that they are counted in, for on a busy machine little gets done in a second.
 */
static bool is_idle(struct warden *w, struct symptom *symptom)
{
	uint64_t permille = 0, used_ns = 0;

	if (w->baseline.cpu_idle_permille >= IDLE_PERMILLE || busy_permille(w, w->patience.glance_ns, &used_ns) < GLANCE_PERMILLE)
		return true;
	for (unsigned i = 0; i < (w->haste ? WINDOWS : LOOKS * WINDOWS) || (!w->haste && used_ns < w->patience.tidy_ns); i++) {
		if (i == WINDOWS)
			warden_pause(w, w->patience.settle_ns);
		permille = busy_permille(w, w->haste ? w->patience.idle_ns / 2 : w->patience.idle_ns, &used_ns);
		if (permille <= BUSY_PERMILLE)
			return true;
	}
	warden_symptom(symptom, ORACLE_CPU, "cpu", "nobody asks anything, and the target wants %llu %% of a core, where it was %.1f %% at first",
	               (unsigned long long)permille / 10, (double)w->baseline.cpu_idle_permille / 10);
	return false;
}

/*
 * The clients that are there have been silent for a moment: what they had to be told they were told, and what they have sent is small beside `grows`. Who is still at work upon that is not done with
 * taking memory either.
 */
void warden_look_held(struct warden *w, uint64_t rss_before, struct symptom *symptom)
{
	bool idle;
	uint64_t rss;

	*symptom = (struct symptom){ 0 };
	idle = is_idle(w, symptom);
	rss = warden_rss(w);
	if (rss_before && rss > rss_before + w->grows) {
		warden_pause(w, w->patience.memory_ns);
		rss = warden_rss(w);
	}
	if (rss_before && rss > rss_before + w->grows)
		warden_symptom(symptom, ORACLE_MEMORY, "memory held", "for clients that are connected resident memory has grown from %llu to %llu kB",
		               (unsigned long long)rss_before >> 10, (unsigned long long)rss >> 10);
	else if (!idle)
		warden_symptom(symptom, ORACLE_CPU, "cpu held", "its clients are connected and say nothing, and the target computes all the time");
	symptom->held = symptom->oracle != ORACLE_NONE;
	if (w->state != STATE_SERVES)		/* who has ended is to be judged for that */
		*symptom = (struct symptom){ 0 };
}

/* Who frees late, or gives back late, has some time for it. */
static bool is_small(struct warden *w, struct symptom *symptom)
{
	uint64_t rss = warden_rss(w);

	for (unsigned i = 0; i < MEMORY_LOOKS && w->state == STATE_SERVES && rss > w->baseline.rss + w->grows; i++) {
		warden_pause(w, w->patience.memory_ns);
		rss = warden_rss(w);
	}
	if (rss <= w->baseline.rss + w->grows)
		return true;
	warden_symptom(symptom, ORACLE_MEMORY, "memory", "all clients have gone, and resident memory has grown from %llu to %llu kB and stays",
	               (unsigned long long)w->baseline.rss >> 10, (unsigned long long)rss >> 10);
	return false;
}

static void look_at_all(struct warden *w, bool resources, struct symptom *symptom)
{
	if (!is_there(w, symptom) || !reports_are_none(w, symptom) || !answers(w, symptom) || !is_quick(w, symptom))
		return;
	if (!resources || !w->baseline.rss)
		return;
	if (is_idle(w, symptom) && is_small(w, symptom))
		reports_are_none(w, symptom);
	else if (w->state != STATE_SERVES)
		is_there(w, symptom);		/* it has ended meanwhile */
}

void warden_check(struct warden *w, bool resources, struct symptom *symptom)
{
	bool taken = w->state == STATE_TAKEN;

	*symptom = (struct symptom){ 0 };
	warden_watch(w, 0, NULL, NULL);
	warden_bring_back(w);
	look_at_all(w, resources, symptom);
	if (taken && symptom->oracle == ORACLE_NONE)
		warden_symptom(symptom, ORACLE_NONE, "", "the target was ended from outside, and started again");
}
