#include "harness/load/figures.h"

#include <string.h>

#include "harness/escape.h"
#include "harness/load/wording.h"

/*
 * Two results side by side: a, b, and how many times a b is. Which differences mean something is not said: that takes several runs of
 * each.
 */

/* ---- a line ---- */

static void put_ratio(FILE *out, double a, double b)
{
	if (a > 0 && b > 0)
		fprintf(out, "  %9.*f", b / a < 99.95 ? 3 : 0, b / a);
	fputc('\n', out);
}

static void row(FILE *out, const char *name, const char *text_a, const char *text_b, double a, double b)
{
	fprintf(out, "  %-32s  %16s  %16s", name, text_a, text_b);
	put_ratio(out, a, b);
}

static void put_count(FILE *out, const char *name, uint64_t a, uint64_t b)
{
	if (a || b)
		row(out, name, say_count(a), say_count(b), (double)a, (double)b);
}

static void put_time(FILE *out, const char *name, uint64_t a, uint64_t b)
{
	row(out, name, say_ns(a), say_ns(b), (double)a, (double)b);
}

static void put_text(FILE *out, const char *name, const char *a, const char *b)
{
	fprintf(out, "%-*s", 9, name);
	escape_text(out, a ? a : "-");
	if ((a || b) && (!a || !b || strcmp(a, b))) {
		fprintf(out, "\n%-*s", 9, "");
		escape_text(out, b ? b : "-");
	}
	fputc('\n', out);
}

/* ---- a role ---- */

static void put_quantiles(FILE *out, const char *timing, const char *behind, const struct hdr *a, const struct hdr *b)
{
	static const struct { const char *name; uint32_t per_million; } columns[] = {
		{ "p50", 500000 }, { "p90", 900000 }, { "p99", 990000 }, { "p99.9", 999000 }, { "max", 1000000 },
	};
	char name[80];

	for (size_t i = 0; i < sizeof(columns) / sizeof(columns[0]) && (a->count || b->count); i++) {
		uint64_t x = hdr_quantile(a, columns[i].per_million), y = hdr_quantile(b, columns[i].per_million);

		snprintf(name, sizeof(name), "%s %s%s", timing, columns[i].name, behind);
		row(out, name, a->count ? say_ns(x) : "-", b->count ? say_ns(y) : "-", (double)x, (double)y);
	}
}

static void put_rate(FILE *out, const struct figures *a, const struct figures *b, const struct figures_role *x, const struct figures_role *y,
                     enum counter counter, const char *name)
{
	double rate_a = x ? figures_rate(a, x, counter) : 0, rate_b = y ? figures_rate(b, y, counter) : 0;

	if (rate_a > 0 || rate_b > 0)
		row(out, name, say_rate(rate_a), say_rate(rate_b), rate_a, rate_b);
}

/* Either may be NULL: there is no such role in that result. */
static void put_role(FILE *out, const struct figures *a, const struct figures *b, const struct figures_role *x, const struct figures_role *y)
{
	static const struct tally none;
	const struct tally *s = x ? &x->total : &none, *t = y ? &y->total : &none;

	fputc('\n', out);
	escape_text(out, x ? x->name : y->name);
	fputs(!x ? " (in the second only)\n" : !y ? " (in the first only)\n" : "\n", out);
	put_count(out, "clients", x ? x->clients : 0, y ? y->clients : 0);
	for (unsigned i = 0; i < N_COUNTERS; i++)
		put_count(out, counter_rows[i].name, s->counts[i], t->counts[i]);
	put_rate(out, a, b, x, y, COUNT_sent, "sent a second");
	put_rate(out, a, b, x, y, COUNT_delivered, "delivered a second");
	for (unsigned i = 0; i < N_TIMINGS; i++) {
		put_quantiles(out, timing_names[i], "", &s->timings[i], &t->timings[i]);
		put_quantiles(out, timing_names[i], " uncorrected", &s->uncorrected[i], &t->uncorrected[i]);
	}
}

/* ---- the whole ---- */

static double each_message_us(const struct figures *f, uint64_t cpu_ns)
{
	uint64_t n = figures_messages(f, NULL);

	return n ? (double)cpu_ns / (double)n / 1e3 : 0;
}

static void put_cost(FILE *out, const char *name, double a, double b, const char *unit)
{
	char x[40], y[40];

	if (!(a > 0) && !(b > 0))
		return;
	snprintf(x, sizeof(x), "%.2f %s", a, unit);
	snprintf(y, sizeof(y), "%.2f %s", b, unit);
	row(out, name, x, y, a, b);
}

void figures_compare(FILE *out, const struct figures *a, const struct figures *b)
{
	put_text(out, "workload", a->workload, b->workload);
	put_text(out, "target", a->target, b->target);
	put_text(out, "began", a->began, b->began);
	fprintf(out, "\n  %-32s  %16s  %16s  %9s\n", "", "first", "second", "times");
	put_time(out, "duration", a->duration_ns, b->duration_ns);
	put_cost(out, "tool, CPU for each message", each_message_us(a, a->cpu.tool_ns), each_message_us(b, b->cpu.tool_ns), "us");
	put_cost(out, "tool, its busiest thread", a->cpu.busiest * 100, b->cpu.busiest * 100, "%");
	put_cost(out, "broker, CPU for each message", each_message_us(a, a->cpu.broker_ns), each_message_us(b, b->cpu.broker_ns), "us");
	put_cost(out, "broker, of a core", figures_broker_share(a) * 100, figures_broker_share(b) * 100, "%");
	for (uint32_t i = 0; i < a->n_roles; i++)
		put_role(out, a, b, &a->roles[i], figures_role(b, a->roles[i].name));
	for (uint32_t i = 0; i < b->n_roles; i++)
		if (!figures_role(a, b->roles[i].name))
			put_role(out, a, b, NULL, &b->roles[i]);
}
