#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness/load/html_chart.h"
#include "harness/load/html_page.h"
#include "harness/load/wording.h"

/* One role, in all runs that have it: what was timed and counted, and how it went over time. */

static uint64_t interval_of(const struct figures_role *role)
{
	return role->interval_ns ? role->interval_ns : 1000000000;
}

/* The same of each run, in a column each. */
static void put_row(struct html_page *p, const char *name, const char *row, const char *meaning, const char *(*tell)(const struct figures *f, const struct figures_role *role, unsigned c), unsigned c)
{
	html_row(p, row);
	for (size_t i = 0; i < p->n; i++) {
		const struct figures_role *role = html_role_in(p->runs[i], name);

		html_cell(p, role ? tell(p->runs[i], role, c) : "");
	}
	html_words(p, meaning);
	html_row_ends(p);
}

static const char *tell_clients(const struct figures *f, const struct figures_role *role, unsigned c)
{
	(void)f;
	(void)c;
	return say_count(role->clients);
}

static const char *tell_counter(const struct figures *f, const struct figures_role *role, unsigned c)
{
	(void)f;
	return say_count(role->total.counts[c]);
}

static const char *tell_rate(const struct figures *f, const struct figures_role *role, unsigned c)
{
	return say_rate(figures_rate(f, role, (enum counter)c));
}

static bool has_count(const struct html_page *p, const char *name, unsigned c)
{
	for (size_t i = 0; i < p->n; i++) {
		const struct figures_role *role = html_role_in(p->runs[i], name);

		if (role && role->total.counts[c])
			return true;
	}
	return false;
}

static void put_counters(struct html_page *p, const char *name)
{
	html_table(p, "Counted");
	html_head(p, "", true);
	html_run_heads(p, false);
	html_head(p, "Meaning", true);
	html_body(p);
	put_row(p, name, "clients", "planned", tell_clients, 0);
	if (has_count(p, name, COUNT_sent))
		put_row(p, name, "sent/s", "messages sent a second, while it was steady", tell_rate, COUNT_sent);
	if (has_count(p, name, COUNT_delivered))
		put_row(p, name, "delivered/s", "deliveries a second, while it was steady", tell_rate, COUNT_delivered);
	for (unsigned c = 0; c < N_COUNTERS; c++)
		if (has_count(p, name, c))
			put_row(p, name, counter_rows[c].name, counter_rows[c].meaning, tell_counter, c);
	html_table_ends(p);
}

static void put_timing_row(struct html_page *p, size_t run, unsigned timing, const struct hdr *h, bool uncorrected)
{
	static const uint32_t quantiles[] = { 500000, 900000, 990000, 999000, 999900 };

	if (!h->count)
		return;
	html_row(p, timing_names[timing]);
	html_run_cell(p, run);
	html_words(p, uncorrected ? "begun" : "due");
	html_cell(p, say_count(h->count));
	html_cell(p, say_ns(h->min));
	html_cell(p, say_ns((uint64_t)hdr_mean(h)));
	for (size_t i = 0; i < sizeof(quantiles) / sizeof(*quantiles); i++)
		html_cell(p, say_ns(hdr_quantile(h, quantiles[i])));
	html_cell(p, say_ns(h->max));
	html_row_ends(p);
}

static void put_timings(struct html_page *p, const char *name)
{
	static const char *const heads[] = { "count", "min", "mean", "p50", "p90", "p99", "p99.9", "p99.99", "max" };
	bool any = false;

	for (size_t i = 0; i < p->n; i++) {
		const struct figures_role *role = html_role_in(p->runs[i], name);

		for (unsigned t = 0; role && t < N_TIMINGS; t++)
			any |= role->total.timings[t].count > 0;
	}
	if (!any)
		return;
	html_table(p, "Timed, from when it was due, and (uncorrected, as tools print it that forget their own stalls) from when it was begun");
	html_head(p, "", true);
	html_run_head(p);
	html_head(p, "From", true);
	for (size_t i = 0; i < sizeof(heads) / sizeof(*heads); i++)
		html_head(p, heads[i], false);
	html_body(p);
	for (unsigned t = 0; t < N_TIMINGS; t++)
		for (size_t i = 0; i < p->n; i++) {
			const struct figures_role *role = html_role_in(p->runs[i], name);

			if (!role)
				continue;
			put_timing_row(p, i, t, &role->total.timings[t], false);
			put_timing_row(p, i, t, &role->total.uncorrected[t], true);
		}
	html_table_ends(p);
}

/* ---- plots ---- */

enum { MOST_LINES = 16 };

struct plot {
	struct chart chart;
	struct chart_line lines[MOST_LINES];
	size_t n, room;
	double *values[MOST_LINES + 1];	/* ours, of the lines: x, or each one's y */
	size_t n_values;
	struct chart_mark marks[2];
};

static double *values_of(struct plot *plot, size_t n)
{
	double *values = calloc(n ? n : 1, sizeof(*values));

	if (!values)
		abort();
	plot->values[plot->n_values++] = values;
	return values;
}

static void plot_release(struct plot *plot)
{
	while (plot->n_values)
		free(plot->values[--plot->n_values]);
}

static void mark_phases(struct plot *plot, const struct figures *f)
{
	if (f->steady_ns)
		plot->marks[plot->chart.n_marks++] = (struct chart_mark){ (double)f->steady_ns / 1e9, "steady" };
	if (f->drain_ns)
		plot->marks[plot->chart.n_marks++] = (struct chart_mark){ (double)f->drain_ns / 1e9, "drain" };
	plot->chart.marks = plot->marks;
}

/*
 * Points of a role's intervals, each in its middle. Those that are missing stand for nothing: one behind an interval
 * and one before the next are enough for a line to go down between. at[i]: which interval, -1 for nothing. Returns
 * how many.
 */
static size_t points(const struct figures_role *role, double *x, ptrdiff_t *at)
{
	double interval = (double)interval_of(role);
	size_t n = 0;

	for (uint32_t i = 0; i < role->n_seconds; i++) {
		double begins = (double)role->seconds[i].at, behind = i ? (double)role->seconds[i - 1].at + interval : 0;

		if (begins >= behind + interval) {
			x[n] = (behind + interval / 2) / 1e9;
			at[n++] = -1;
			if (begins >= behind + 2 * interval) {
				x[n] = (begins - interval / 2) / 1e9;
				at[n++] = -1;
			}
		}
		x[n] = (begins + interval / 2) / 1e9;
		at[n++] = i;
	}
	return n;
}

static const enum counter rates[] = { COUNT_sent, COUNT_acknowledged, COUNT_delivered };
static const char *const rate_names[] = { "sent", "acknowledged", "delivered" };

enum { N_RATES = sizeof(rates) / sizeof(*rates) };

/* The last interval may be a part of one only. */
static double rate_in(const struct figures *f, const struct figures_role *role, uint32_t i, enum counter counter)
{
	uint64_t interval = interval_of(role), at = role->seconds[i].at;
	uint64_t left = f->duration_ns > at && f->duration_ns - at < interval ? f->duration_ns - at : interval;

	return left < interval / 4 ? NAN : (double)role->seconds[i].tally.counts[counter] * 1e9 / (double)left;
}

static double most_rate(const struct html_page *p, const char *name)
{
	double most = 0;

	for (size_t i = 0; i < p->n; i++) {
		const struct figures_role *role = html_role_in(p->runs[i], name);

		for (uint32_t s = 0; role && s < role->n_seconds; s++)
			for (size_t k = 0; k < N_RATES; k++)
				most = fmax(most, rate_in(p->runs[i], role, s, rates[k]));	/* which is not the NaN */
	}
	return most;
}

static double longest(const struct html_page *p)
{
	uint64_t most = 0;

	for (size_t i = 0; i < p->n; i++)
		most = p->runs[i]->duration_ns > most ? p->runs[i]->duration_ns : most;
	return (double)most / 1e9;
}

static const char *chart_title(struct html_page *p, size_t run, char *title, size_t cap, const char *what)
{
	if (p->n > 1)
		snprintf(title, cap, "%s (%zu %s)", what, run + 1, p->runs[run]->target ? p->runs[run]->target : "");
	else
		snprintf(title, cap, "%s", what);
	return title;
}

static void put_throughput(struct html_page *p, size_t run, const struct figures_role *role)
{
	const struct figures *f = p->runs[run];
	struct plot plot = { .chart = { .id = ++p->charts, .x_scale = CHART_TIME, .y_scale = CHART_RATE, .x_max = longest(p), .y_max = most_rate(p, role->name) } };
	double *x = values_of(&plot, 3 * (size_t)role->n_seconds);
	ptrdiff_t *at = calloc(3 * (size_t)role->n_seconds + 1, sizeof(*at));
	char what[160], title[500];

	if (!at)
		abort();
	size_t n = points(role, x, at);
	for (size_t k = 0; k < N_RATES; k++) {
		double *y;

		if (!role->total.counts[rates[k]])
			continue;
		y = values_of(&plot, n);
		for (size_t i = 0; i < n; i++)
			y[i] = at[i] < 0 ? 0 : rate_in(f, role, (uint32_t)at[i], rates[k]);
		plot.lines[plot.n++] = (struct chart_line){ rate_names[k], (unsigned)k, k == 1, n, x, y };
	}
	snprintf(what, sizeof(what), "%.100s: messages a second", role->name);
	plot.chart.title = chart_title(p, run, title, sizeof(title), what);
	mark_phases(&plot, f);
	if (plot.n)
		chart_write(p->out, &plot.chart, plot.lines, plot.n);
	free(at);
	plot_release(&plot);
}

/* What p50, p99 and max of all intervals lie between, in all runs. */
static void latency_range(const struct html_page *p, const char *name, enum timing timing, double *low, double *high)
{
	*low = INFINITY;
	*high = 0;
	for (size_t i = 0; i < p->n; i++) {
		const struct figures_role *role = html_role_in(p->runs[i], name);

		for (uint32_t s = 0; role && s < role->n_seconds; s++) {
			const struct tally *t = &role->seconds[s].tally;

			if (!t->timings[timing].count)
				continue;
			*low = fmin(*low, (double)hdr_quantile(&t->timings[timing], 500000));
			if (t->uncorrected[timing].count)
				*low = fmin(*low, (double)hdr_quantile(&t->uncorrected[timing], 990000));
			*high = fmax(*high, (double)t->timings[timing].max);
		}
	}
}

static void put_latency(struct html_page *p, size_t run, const struct figures_role *role, enum timing timing)
{
	static const char *const names[] = { "p50", "p99", "max", "p99 uncorrected" };
	struct plot plot = { .chart = { .id = ++p->charts, .x_scale = CHART_TIME, .y_scale = CHART_DURATION, .x_max = longest(p) } };
	double *x = values_of(&plot, 3 * (size_t)role->n_seconds);
	ptrdiff_t *at = calloc(3 * (size_t)role->n_seconds + 1, sizeof(*at));
	char what[160], title[500];

	if (!at)
		abort();
	size_t n = points(role, x, at);
	for (unsigned k = 0; k < 4; k++) {
		double *y = values_of(&plot, n);

		for (size_t i = 0; i < n; i++) {
			const struct tally *t = at[i] < 0 ? NULL : &role->seconds[at[i]].tally;
			const struct hdr *h = !t ? NULL : k < 3 ? &t->timings[timing] : &t->uncorrected[timing];

			y[i] = !h || !h->count ? NAN : (double)(k == 2 ? h->max : hdr_quantile(h, k ? 990000 : 500000));
		}
		if (k < 3 || role->total.uncorrected[timing].count)
			plot.lines[plot.n++] = (struct chart_line){ names[k], k == 3 ? 1 : k, k == 3, n, x, y };
	}
	latency_range(p, role->name, timing, &plot.chart.y_min, &plot.chart.y_max);
	snprintf(what, sizeof(what), "%.100s: %s over time", role->name, timing_names[timing]);
	plot.chart.title = chart_title(p, run, title, sizeof(title), what);
	mark_phases(&plot, p->runs[run]);
	chart_write(p->out, &plot.chart, plot.lines, plot.n);
	free(at);
	plot_release(&plot);
}

/* From 0 % to as near to 100 % as there are values for, and there the longest. */
static void add_percentiles(struct plot *plot, const struct hdr *h, const char *name, unsigned color, bool uncorrected)
{
	enum { STEPS = 20 };		/* each tenth of what is left to 100 % */
	double last = log10((double)h->count + 1);
	double *x, *y;
	size_t n = 0;

	if (!h->count || plot->n == MOST_LINES)
		return;
	last = last > 6 ? 6 : last;
	x = values_of(plot, 6 * STEPS + 2);
	y = values_of(plot, 6 * STEPS + 2);
	for (size_t i = 0; (double)i / STEPS < last; i++) {
		x[n] = (double)i / STEPS;
		y[n] = (double)hdr_quantile(h, 1000000 - (uint32_t)(1e6 * pow(10, -x[n]) + 0.5));
		n++;
	}
	x[n] = last;
	y[n++] = (double)h->max;
	plot->lines[plot->n++] = (struct chart_line){ name, color, uncorrected, n, x, y };
	plot->chart.x_max = fmax(plot->chart.x_max, last);
	plot->chart.y_max = fmax(plot->chart.y_max, (double)h->max);
	plot->chart.y_min = fmin(plot->chart.y_min, (double)h->min);
}

static void put_percentiles(struct html_page *p, const char *name, enum timing timing)
{
	struct plot plot = { .chart = { .id = ++p->charts, .x_scale = CHART_PERCENTILE, .y_scale = CHART_DURATION, .y_min = INFINITY } };
	char names[MOST_LINES][300], title[200];

	for (size_t i = 0; i < p->n && 2 * i + 1 < MOST_LINES; i++) {
		const struct figures_role *role = html_role_in(p->runs[i], name);
		const char *target = p->runs[i]->target ? p->runs[i]->target : "";

		if (!role)
			continue;
		if (p->n > 1) {
			snprintf(names[2 * i], sizeof(*names), "%zu %.200s", i + 1, target);
			snprintf(names[2 * i + 1], sizeof(*names), "%zu %.200s, uncorrected", i + 1, target);
		} else {
			strcpy(names[0], "from when it was due");
			strcpy(names[1], "uncorrected");
		}
		add_percentiles(&plot, &role->total.timings[timing], names[2 * i], (unsigned)i, false);
		add_percentiles(&plot, &role->total.uncorrected[timing], names[2 * i + 1], (unsigned)i, true);
	}
	snprintf(title, sizeof(title), "%.100s: %s by percentile", name, timing_names[timing]);
	plot.chart.title = title;
	chart_write(p->out, &plot.chart, plot.lines, plot.n);
	plot_release(&plot);
}

/* Enough to be worth a plot: the table has what there is. */
static bool has_timing(const struct html_page *p, const char *name, enum timing timing)
{
	enum { ENOUGH = 10 };

	for (size_t i = 0; i < p->n; i++) {
		const struct figures_role *role = html_role_in(p->runs[i], name);

		if (role && role->total.timings[timing].count >= ENOUGH)
			return true;
	}
	return false;
}

/* Of several runs, the same plot of each in a row; else all plots in rows as they come. */
static void plots_begin(struct html_page *p, bool kind)
{
	if (kind == (p->n > 1))
		fputs("<div class=\"plots\">\n", p->out);
}

static void plots_end(struct html_page *p, bool kind)
{
	if (kind == (p->n > 1))
		fputs("</div>\n", p->out);
}

static void put_throughputs(struct html_page *p, const char *name)
{
	plots_begin(p, true);
	for (size_t i = 0; i < p->n; i++) {
		const struct figures_role *role = html_role_in(p->runs[i], name);

		if (role)
			put_throughput(p, i, role);
	}
	plots_end(p, true);
}

static void put_latencies(struct html_page *p, const char *name, enum timing timing)
{
	plots_begin(p, true);
	for (size_t i = 0; i < p->n; i++) {
		const struct figures_role *role = html_role_in(p->runs[i], name);

		if (role && role->total.timings[timing].count)
			put_latency(p, i, role, timing);
	}
	plots_end(p, true);
	plots_begin(p, true);
	put_percentiles(p, name, timing);
	plots_end(p, true);
}

void html_role(struct html_page *p, const char *name)
{
	fputs("<section>\n<h2>Role ", p->out);
	html_text(p, name);
	fputs("</h2>\n", p->out);
	put_timings(p, name);
	plots_begin(p, false);
	put_throughputs(p, name);
	for (unsigned t = 0; t < TIME_LATENESS; t++)
		if (has_timing(p, name, (enum timing)t))
			put_latencies(p, name, (enum timing)t);
	plots_end(p, false);
	put_counters(p, name);
	fputs("</section>\n", p->out);
}
