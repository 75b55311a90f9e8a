#include "fuzz/network/warden_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/*
 * What the target is like before anybody has harmed it. Some thousand visits come first: caches, threads and the allocator's arenas are made with the first of them, and are no growth later.
 */
#define PROBE_NS (2000 * MS)
#define ORDERLY_NS (5000 * MS)

enum { WARM_UP = 3000, TIMED = 200, TIMED_AT_LEAST = 20, ATTEMPTS = 3, IDLE_WINDOWS = 3, BUSY_PERMILLE = 100 };

static const char *version_name(enum version version)
{
	return version == MQTT_3_1 ? "3.1" : version == MQTT_3_1_1 ? "3.1.1" : "5";
}

/* ---- what does it serve? ---- */

static void on_probe(struct visit *visit, void *context)
{
	(void)visit;
	warden_wake(context);
}

static bool probe_is_over(struct warden *w)
{
	return !w->visits[0].done;
}

static const struct visit *probe(struct warden *w, enum version version, enum health_manner manner)
{
	struct visit *visit = &w->visits[0];
	unsigned attempts = 0;

	do {	/* what has just been started may still be busy with itself */
		visit_start(visit, &w->health, version, manner, PROBE_NS, on_probe, w);
		warden_wait(w, probe_is_over);
	} while (visit->end == HEALTH_REFUSED && w->state == STATE_SERVES && ++attempts < ATTEMPTS);
	return visit;
}

static bool probe_versions(struct warden *w, char *why, size_t cap)
{
	static const enum version versions[] = { MQTT_5, MQTT_3_1_1, MQTT_3_1 };
	struct warden_baseline *b = &w->baseline;
	char trouble[300] = "";

	for (size_t i = 0; i < 3 && w->state == STATE_SERVES; i++) {
		const struct visit *visit = probe(w, versions[i], HEALTH_DELIVERY);

		if (visit->end != HEALTH_WELL && visit->connected) {
			snprintf(b->denied_why, sizeof(b->denied_why), "%s: %s", version_name(versions[i]), visit->trouble);
			b->denied |= 1u << versions[i];
			visit = probe(w, versions[i], HEALTH_PING);
		}
		w->manner[versions[i]] = visit->manner;
		if (visit->end == HEALTH_WELL)
			b->versions |= 1u << versions[i];
		else if (!*trouble || visit->end != HEALTH_CLOSED)
			snprintf(trouble, sizeof(trouble), "%s: %s", version_name(versions[i]), visit->trouble);
	}
	b->denied &= b->versions;
	if (b->versions && w->state == STATE_SERVES)
		return true;
	snprintf(why, cap, "the target is not well before a single case was played: %s", w->state == STATE_SERVES ? trouble : w->how);
	return false;
}

/* ---- how quick is it? ---- */

int warden_by_size(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static bool measure_visits(struct warden *w, char *why, size_t cap)
{
	struct warden_baseline *b = &w->baseline;

	warden_visits(w, WARM_UP, WARM_UP_VISITS, clock_now(&w->loop->clock) + w->patience.warm_up_ns);
	warden_visits(w, TIMED, 1, clock_now(&w->loop->clock) + w->patience.timed_ns);
	if (w->n_took < TIMED_AT_LEAST && w->state == STATE_SERVES)
		warden_visits(w, TIMED_AT_LEAST, 1, UINT64_MAX);
	if (w->state != STATE_SERVES || !w->n_took || w->n_failed) {
		snprintf(why, cap, "the target is not well before a single case was played: of %zu valid exchanges, one after another, %zu failed: %s",
		         w->n_took + w->n_failed, w->n_failed, w->state == STATE_SERVES ? w->trouble : w->how);
		return false;
	}
	qsort(w->took, w->n_took, sizeof(*w->took), warden_by_size);
	b->p50_ns = w->took[w->n_took / 2];
	b->p99_ns = w->took[w->n_took * 99 / 100];
	b->worst_ns = w->took[w->n_took - 1];
	return true;
}

/* ---- how small and idle is it? ---- */

/* A broker may tidy up for a while after so many sessions: what counts is the quietest of some looks. */
static void measure_resources(struct warden *w)
{
	struct warden_baseline *b = &w->baseline;
	struct usage before, after;
	struct subject subject = warden_subject(w);

	if (!subject.pid)
		return;
	b->cpu_idle_permille = UINT64_MAX;
	for (unsigned i = 0; i < IDLE_WINDOWS && b->cpu_idle_permille >= BUSY_PERMILLE; i++) {
		uint64_t began_ns = clock_now(&w->loop->clock), permille;

		bool seen = w->usage(subject, &before);
		warden_pause(w, w->patience.idle_ns);
		if (!seen || !w->usage(subject, &after))
			break;
		permille = usage_wanted(&before, &after) * 1000 / (clock_now(&w->loop->clock) - began_ns);
		if (permille < b->cpu_idle_permille)
			b->cpu_idle_permille = permille;
		b->rss = after.rss;
	}
	if (b->cpu_idle_permille == UINT64_MAX)
		b->cpu_idle_permille = 0;
	resources_name(subject, b->server, sizeof(b->server));
	snprintf(b->cpu, sizeof(b->cpu), "%ld cores", sysconf(_SC_NPROCESSORS_ONLN));
}

/* ---- what does it report of itself? ---- */

static void take_report(struct warden *w, const struct sanitizer_report *report)
{
	if (strcmp(report->kind, "leak") == 0)
		w->baseline.n_leaks++;
	else if (!report->last_words)
		w->baseline.n_reports++;
	reports_know(w, report);
}

static bool has_ended(struct warden *w)
{
	return !process_child(w->process)->runs;
}

static bool end_in_order(struct warden *w, char *why, size_t cap)
{
	struct symptom symptom;

	process_end(w->process, ORDERLY_NS);
	warden_wait(w, has_ended);
	reports_look(w, true, take_report);
	if (warden_restart(w, false, &symptom)) {
		w->restarts = 0;
		return true;
	}
	snprintf(why, cap, "the target did not start a second time: %s", w->how);
	return false;
}

bool warden_measure(struct warden *w, char *why, size_t cap)
{
	if (!probe_versions(w, why, cap) || !measure_visits(w, why, cap))
		return false;
	measure_resources(w);
	if (warden_interrupted(w)) {
		snprintf(why, cap, "interrupted before a single case was played");
		return false;
	}
	return !w->process || end_in_order(w, why, cap);
}
