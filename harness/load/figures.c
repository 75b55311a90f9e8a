#include "harness/load/figures.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

const char *const limited_names[N_LIMITS + 1] = { "nothing", "target", "tool", "script", "machine", "unknown", NULL };

struct figures *figures_new(void)
{
	struct figures *figures = calloc(1, sizeof(*figures));

	if (!figures)
		abort();
	figures->limited_by = LIMITED_UNKNOWN;
	figures->limit = "";
	return figures;
}

void figures_free(struct figures *figures)
{
	if (!figures)
		return;
	for (uint32_t i = 0; i < figures->n_roles; i++) {
		struct figures_role *role = &figures->roles[i];

		tally_release(&role->total);
		for (uint32_t k = 0; k < role->n_seconds; k++)
			tally_release(&role->seconds[k].tally);
		free(role->seconds);
	}
	region_release(&figures->region);
	free(figures);
}

const char *figures_say(struct figures *figures, const char *format, ...)
{
	va_list args, again;

	va_start(args, format);
	va_copy(again, args);
	int len = vsnprintf(NULL, 0, format, args);
	va_end(args);
	char *text = region_alloc(&figures->region, (size_t)len + 1);
	vsnprintf(text, (size_t)len + 1, format, again);
	va_end(again);
	return text;
}

void *figures_append(struct figures *figures, const void *array, uint32_t *n, size_t size)
{
	/* room for 4, 8, 16 ...: a full array is one whose length is such a number */
	bool full = !*n || (*n >= 4 && !(*n & (*n - 1)));
	uint8_t *room = (uint8_t *)(uintptr_t)array;

	if (full) {
		room = region_alloc(&figures->region, (*n ? 2 * (size_t)*n : 4) * size);
		if (*n)
			memcpy(room, array, *n * size);
	}
	++*n;
	return room;
}

void figures_note(struct figures *figures, const char *text)
{
	for (uint32_t i = 0; i < figures->n_notes; i++)
		if (!strcmp(figures->notes[i], text))
			return;
	const char **notes = figures_append(figures, figures->notes, &figures->n_notes, sizeof(*notes));
	notes[figures->n_notes - 1] = figures_say(figures, "%s", text);
	figures->notes = notes;
}

/* ---- seconds ---- */

enum { MAX_SECONDS = 600, SECOND_NS = 1000000000 };

/* Neighbours become one, twice as long. */
static void coarsen(struct figures_role *role)
{
	uint32_t n = 0;

	role->interval_ns *= 2;
	for (uint32_t i = 0; i < role->n_seconds; i++) {
		struct figures_second *from = &role->seconds[i];
		uint64_t at = from->at - from->at % role->interval_ns;

		if (n && role->seconds[n - 1].at == at) {
			tally_add(&role->seconds[n - 1].tally, &from->tally);
			tally_release(&from->tally);
		} else {
			role->seconds[n] = *from;
			role->seconds[n++].at = at;
		}
	}
	role->n_seconds = n;
}

/* Where the interval that begins at `at` is, or has to be put in. */
static uint32_t place_of(const struct figures_role *role, uint64_t at)
{
	uint32_t low = 0, high = role->n_seconds;

	if (high && role->seconds[high - 1].at < at)
		return high;
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (role->seconds[middle].at < at)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* For one more: they are large, and most runs are short. */
static void make_room(struct figures_role *role)
{
	uint32_t n = role->n_seconds;

	if (n && (n < 8 || n & (n - 1)))
		return;
	role->seconds = realloc(role->seconds, (n ? 2 * (size_t)n : 8) * sizeof(*role->seconds));
	if (!role->seconds)
		abort();
}

struct tally *figures_second(struct figures_role *role, uint64_t at_ns)
{
	if (!role->interval_ns)
		role->interval_ns = SECOND_NS;
	for (;;) {
		uint64_t at = at_ns - at_ns % role->interval_ns;
		uint32_t i = place_of(role, at);

		if (i < role->n_seconds && role->seconds[i].at == at)
			return &role->seconds[i].tally;
		if (role->n_seconds == MAX_SECONDS) {
			coarsen(role);
			continue;
		}
		make_room(role);
		memmove(&role->seconds[i + 1], &role->seconds[i], (role->n_seconds++ - i) * sizeof(*role->seconds));
		role->seconds[i] = (struct figures_second){ .at = at };
		return &role->seconds[i].tally;
	}
}

/* ---- what it comes to ---- */

/* Somebody stayed away, or was sent away for good, other than by a judgement. */
static bool clients_are_missing(const struct figures *figures)
{
	for (uint32_t i = 0; i < figures->n_roles; i++) {
		const uint64_t *counts = figures->roles[i].total.counts;

		/* `again` makes good what was refused, as long as it got in at last */
		if (counts[COUNT_refused] && (counts[COUNT_refused] > counts[COUNT_retried] || counts[COUNT_connected] < counts[COUNT_started]))
			return true;
		/* Nor does who lost his connection and had no `again` come back. */
		if (counts[COUNT_ended] + counts[COUNT_refused] > counts[COUNT_retried])
			return true;
	}
	/* What a step stopped and `again` began anew is told by its reason, and not missing. */
	for (uint32_t i = 0; i < figures->n_reasons; i++) {
		const struct figures_reason *r = &figures->reasons[i];
		const struct figures_role *role = figures_role(figures, r->role);

		if (r->counter == COUNT_stopped && !r->judged && r->n && (!role || role->total.counts[COUNT_stopped]))
			return true;
	}
	return false;
}

static bool something_is_wrong(const struct figures *figures)
{
	for (uint32_t i = 0; i < figures->n_roles; i++)
		if (figures->roles[i].total.counts[COUNT_violations])
			return true;
	for (uint32_t i = 0; i < figures->n_reasons; i++)
		if (figures->reasons[i].judged && figures->reasons[i].n)
			return true;
	for (uint32_t i = 0; i < figures->n_expectations; i++)
		if (!figures->expectations[i].met)
			return true;
	return false;
}

int figures_exit_code(const struct figures *figures)
{
	if (something_is_wrong(figures))
		return 1;
	return figures->unable || figures->why || clients_are_missing(figures) ? 3 : 0;
}

/* ---- asked of them ---- */

const struct figures_role *figures_role(const struct figures *figures, const char *name)
{
	for (uint32_t i = 0; i < figures->n_roles; i++)
		if (!strcmp(figures->roles[i].name, name))
			return &figures->roles[i];
	return NULL;
}

uint64_t figures_count(const struct figures *figures, const struct figures_role *role, enum counter counter)
{
	uint64_t n = 0;

	if (role)
		return role->total.counts[counter];
	for (uint32_t i = 0; i < figures->n_roles; i++)
		n += figures->roles[i].total.counts[counter];
	return n;
}

uint64_t figures_messages(const struct figures *figures, const struct figures_role *role)
{
	static const enum counter messages[] = { COUNT_sent, COUNT_delivered, COUNT_duplicated, COUNT_copies, COUNT_returned, COUNT_foreign };
	uint64_t n = 0;

	for (size_t i = 0; i < sizeof(messages) / sizeof(messages[0]); i++)
		n += figures_count(figures, role, messages[i]);
	return n;
}

/* Counts in the intervals that lie wholly in the steady time, and how long these are together, those in which nothing happened included. */
static uint64_t while_steady(const struct figures *figures, const struct figures_role *role, enum counter counter, uint64_t *span_ns)
{
	uint64_t interval = role->interval_ns ? role->interval_ns : SECOND_NS, n = 0;
	uint64_t from = (figures->steady_ns + interval - 1) / interval * interval, to = figures->drain_ns / interval * interval;

	*span_ns = figures->steady_ns && to > from ? to - from : 0;
	for (uint32_t i = 0; *span_ns && i < role->n_seconds; i++)
		if (role->seconds[i].at >= from && role->seconds[i].at < to)
			n += role->seconds[i].tally.counts[counter];
	return n;
}

uint64_t figures_rated_ns(const struct figures *figures, uint64_t *from_ns)
{
	uint64_t span_ns, interval;

	if (!figures->n_roles)
		return 0;
	interval = figures->roles[0].interval_ns ? figures->roles[0].interval_ns : SECOND_NS;
	while_steady(figures, &figures->roles[0], COUNT_sent, &span_ns);
	if (from_ns)
		*from_ns = (figures->steady_ns + interval - 1) / interval * interval;
	return span_ns;
}

double figures_rate(const struct figures *figures, const struct figures_role *role, enum counter counter)
{
	double rate = 0;

	for (uint32_t i = 0; i < figures->n_roles; i++) {
		const struct figures_role *r = &figures->roles[i];
		uint64_t span_ns, n;

		if (role && r != role)
			continue;
		n = while_steady(figures, r, counter, &span_ns);
		if (!span_ns) {
			n = r->total.counts[counter];
			span_ns = figures->duration_ns;
		}
		rate += span_ns ? (double)n * 1e9 / (double)span_ns : 0;
	}
	return rate;
}

double figures_broker_share(const struct figures *figures)
{
	return figures->cpu.broker_known && figures->duration_ns ? (double)figures->cpu.broker_ns / (double)figures->duration_ns : 0;
}
