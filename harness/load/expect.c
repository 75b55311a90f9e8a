#include "harness/load/figures.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "harness/escape.h"
#include "harness/nearest.h"
#include "harness/units.h"

/* ---- what is wrong with one ---- */

static bool wrong(struct fault *fault, const char *text, const char *at, const char *format, ...) __attribute__((format(printf, 4, 5)));
static bool wrong(struct fault *fault, const char *text, const char *at, const char *format, ...)
{
	va_list args;

	*fault = (struct fault){ .line = 1, .column = (unsigned)(at - text) + 1 };
	va_start(args, format);
	vsnprintf(fault->text, sizeof(fault->text), format, args);
	va_end(args);
	return false;
}

/* "expected a counter ..., not `sned`: did you mean `sent`?" */
static bool unknown(struct fault *fault, const char *text, struct span word, const struct nearest *nearest, const char *expected)
{
	char shown[48];
	bool cut = escape_bytes(word.at, word.len, shown, sizeof(shown)) >= sizeof(shown);

	return wrong(fault, text, (const char *)word.at, "expected %s, not `%s%s`%s%s%s", expected, shown, cut ? "..." : "", nearest->best ? ": did you mean `" : "",
	             nearest->best ? nearest->best : "", nearest->best ? "`?" : "");
}

/* ---- the figure ---- */

static const struct { const char *name; int what; } other_figures[] = { { "rate", EXPECT_RATE }, { "delivery_rate", EXPECT_DELIVERY_RATE } };

/* The next of what dots part; *left moves behind it. */
static struct span next_word(struct span *left)
{
	const uint8_t *dot = left->len ? memchr(left->at, '.', left->len) : NULL;
	struct span word = span_of(left->at, dot ? (size_t)(dot - left->at) : left->len);

	*left = span_of(word.at + word.len + !!dot, left->len - word.len - !!dot);
	return word;
}

/* "50", "99.9", "99.9999": behind the p. */
static bool read_percentile(struct span s, uint32_t *per_million)
{
	uint32_t value = 0, unit = 10000;
	size_t i = 0;

	for (; i < s.len && i < 3 && isdigit(s.at[i]); i++)
		value = value * 10 + (uint32_t)(s.at[i] - '0');
	if (!i)
		return false;
	value *= unit;
	if (i < s.len) {
		if (s.at[i++] != '.' || i == s.len)
			return false;
		for (; i < s.len && unit > 1 && isdigit(s.at[i]); i++)
			value += (uint32_t)(s.at[i] - '0') * (unit /= 10);
	}
	*per_million = value;
	return i == s.len && value <= 1000000;
}

static bool read_statistic(struct expectation *e, struct span word, struct fault *fault)
{
	static const struct { const char *name; int stat; } rows[] = { { "min", STAT_MIN }, { "mean", STAT_MEAN }, { "max", STAT_MAX }, { "count", STAT_COUNT } };
	struct nearest nearest = { .word = word };

	if (word.len > 1 && word.at[0] == 'p' && read_percentile(span_of(word.at + 1, word.len - 1), &e->per_million)) {
		e->stat = STAT_QUANTILE;
		return true;
	}
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (span_is(word, rows[i].name)) {
			e->stat = rows[i].stat;
			return true;
		}
		nearest_try(&nearest, rows[i].name);
	}
	return unknown(fault, e->text, word, &nearest, "min, mean, max, count or a percentile such as p50, p99, p99.9");
}

static bool read_timing(struct expectation *e, struct span left, struct fault *fault)
{
	struct span rest = left;

	e->what = EXPECT_TIMING;
	if (span_is(next_word(&rest), "uncorrected")) {
		if (e->timing == TIME_LATENESS)
			return wrong(fault, e->text, (const char *)left.at, "lateness has no uncorrected column: it is what the other columns differ by");
		e->uncorrected = true;
		left = rest;
	}
	return read_statistic(e, left, fault);
}

/* Behind the role. */
static bool read_measure(struct expectation *e, struct span left, struct fault *fault)
{
	struct span word = next_word(&left);
	struct nearest nearest = { .word = word };

	for (unsigned i = 0; i < N_TIMINGS; i++) {
		nearest_try(&nearest, timing_names[i]);
		if (span_is(word, timing_names[i])) {
			e->timing = (enum timing)i;
			return read_timing(e, left, fault);
		}
	}
	bool found = false;
	for (unsigned i = 0; i < N_COUNTERS; i++) {
		nearest_try(&nearest, counter_rows[i].name);
		if (span_is(word, counter_rows[i].name)) {
			e->what = EXPECT_COUNTER;
			e->counter = (enum counter)i;
			found = true;
		}
	}
	for (size_t i = 0; i < sizeof(other_figures) / sizeof(other_figures[0]); i++) {
		nearest_try(&nearest, other_figures[i].name);
		if (span_is(word, other_figures[i].name)) {
			e->what = other_figures[i].what;
			found = true;
		}
	}
	if (!found)
		return unknown(fault, e->text, word, &nearest, "connect, ack, delivery or lateness, a counter such as sent or lost, rate or delivery_rate");
	return left.len ? wrong(fault, e->text, (const char *)left.at, "expected an operator behind `%.*s`: it has no statistics", (int)word.len, (const char *)word.at) : true;
}

static bool read_figure(struct expectation *e, struct span name, struct fault *fault)
{
	struct span left = name, role = next_word(&left);

	if (span_is(name, "tool.busy") || span_is(name, "broker.cpu")) {
		e->what = span_is(name, "tool.busy") ? EXPECT_TOOL_BUSY : EXPECT_BROKER_CPU;
		return true;
	}
	if (!role.len || role.len == name.len)
		return wrong(fault, e->text, (const char *)role.at, "expected ROLE.TIMING.STAT, ROLE.COUNTER, ROLE.rate, tool.busy or broker.cpu, and what it shall be: 'sensor.ack.p99<5ms'");
	if (role.len >= sizeof(e->role))
		return wrong(fault, e->text, (const char *)role.at, "expected a role's name, of at most %zu characters", sizeof(e->role) - 1);
	memcpy(e->role, role.at, role.len);
	e->role[role.len] = 0;
	return read_measure(e, left, fault);
}

/* ---- the value ---- */

static bool is_duration(const struct expectation *e)
{
	return e->what == EXPECT_TIMING && e->stat != STAT_COUNT;
}

static bool is_of_core(const struct expectation *e)
{
	return e->what == EXPECT_TOOL_BUSY || e->what == EXPECT_BROKER_CPU;
}

static bool is_share(const struct expectation *e)
{
	return is_of_core(e) || e->percent;
}

/* What a counter's percents are of: late of the messages sent, lost of those owed. */
static enum counter whole_of(enum counter counter)
{
	return counter_rows[counter].whose == OF_PUBLISHER ? COUNT_sent : counter_rows[counter].whose == OF_SUBSCRIBER ? COUNT_owed : COUNT_started;
}

static bool is_rate(const struct expectation *e)
{
	return e->what == EXPECT_RATE || e->what == EXPECT_DELIVERY_RATE;
}

const char *expectation_unit(const struct expectation *e)
{
	return is_duration(e) ? " ms" : is_share(e) ? " %" : is_rate(e) ? "/s" : "";
}

static bool read_value(struct expectation *e, const char *text, struct fault *fault)
{
	size_t len = strlen(text);
	e->percent = e->what == EXPECT_COUNTER && counter_rows[e->counter].whose != OF_WIRE && len && text[len - 1] == '%';
	const char *expected = is_duration(e) ? units_duration_form : e->percent ? "a share such as 1% or 0.05%" : is_share(e) ? "a part of a core such as 90% or 0.9" : is_rate(e) ? "a rate such as 5000 or 10k/s" : units_count_form;
	const char *suffix = is_share(e) ? "%" : is_rate(e) ? "/s" : "";
	char number[64];
	size_t cut = strlen(suffix);
	bool has_suffix = cut && len > cut && !strcmp(text + len - cut, suffix), ok = len < sizeof(number);
	uint64_t whole = 0;

	if (ok) {
		memcpy(number, text, len - (has_suffix ? cut : 0));
		number[len - (has_suffix ? cut : 0)] = 0;
		if (is_duration(e)) {
			ok = units_duration(number, &whole);
			e->value = (double)whole / 1e6;
		} else if (units_count(number, &whole)) {
			e->value = (double)whole;
		} else {
			ok = (is_share(e) || is_rate(e)) && units_real(number, &e->value);
		}
	}
	if (!ok)
		return wrong(fault, e->text, text, "expected %s", expected);
	if (is_share(e) && !has_suffix)
		e->value *= 100;
	return true;
}

static const struct { const char *text; int op; } operators[] = {	/* the longer ones first */
	{ "<=", OP_AT_MOST }, { ">=", OP_AT_LEAST }, { "==", OP_EQUAL }, { "!=", OP_NOT_EQUAL }, { "<", OP_LESS }, { ">", OP_MORE }, { "=", OP_EQUAL },
};

bool expectation_parse(const char *text, struct expectation *e, struct fault *fault)
{
	size_t name_len = strcspn(text, "<>=! ");
	const char *at = text + name_len;

	*e = (struct expectation){ .text = text };
	if (!read_figure(e, span_of(text, name_len), fault))
		return false;
	at += strspn(at, " ");
	for (size_t i = 0; i < sizeof(operators) / sizeof(operators[0]); i++)
		if (!strncmp(at, operators[i].text, strlen(operators[i].text))) {
			e->op = operators[i].op;
			at += strlen(operators[i].text);
			return read_value(e, at + strspn(at, " "), fault);
		}
	return wrong(fault, text, at, "expected one of < <= > >= == != and a value");
}

/* ---- judging ---- */

static bool of_all(const struct expectation *e)
{
	return !strcmp(e->role, "all");
}

bool expectation_knows_role(const struct expectation *e, const struct figures *figures)
{
	return is_of_core(e) || of_all(e) || figures_role(figures, e->role);
}

static double statistic(const struct expectation *e, const struct hdr *h)
{
	switch (e->stat) {
	case STAT_MIN: return (double)h->min / 1e6;
	case STAT_MEAN: return hdr_mean(h) / 1e6;
	case STAT_MAX: return (double)h->max / 1e6;
	case STAT_COUNT: return (double)h->count;
	case STAT_QUANTILE: break;
	}
	return (double)hdr_quantile(h, e->per_million) / 1e6;
}

/* There is no such time when nothing was timed; that nothing was is known. */
static bool measure_timing(const struct expectation *e, const struct figures *figures, double *value)
{
	struct hdr all = { 0 };

	for (uint32_t i = 0; i < figures->n_roles; i++) {
		const struct tally *t = &figures->roles[i].total;

		if ((of_all(e) || !strcmp(figures->roles[i].name, e->role)) && !hdr_add(&all, e->uncorrected ? &t->uncorrected[e->timing] : &t->timings[e->timing]))
			abort();
	}
	bool known = all.count || e->stat == STAT_COUNT;
	*value = statistic(e, &all);
	hdr_release(&all);
	return known;
}

static bool measure(const struct expectation *e, const struct figures *figures, double *value)
{
	const struct figures_role *role = is_of_core(e) || of_all(e) ? NULL : figures_role(figures, e->role);

	*value = 0;
	if (!expectation_knows_role(e, figures))
		return false;
	switch (e->what) {
	case EXPECT_TIMING:
		return measure_timing(e, figures, value);
	case EXPECT_COUNTER:
		*value = (double)figures_count(figures, role, e->counter);
		if (e->percent) {
			uint64_t whole = figures_count(figures, role, whole_of(e->counter));

			*value = whole ? *value * 100 / (double)whole : 0;
		}
		return true;
	case EXPECT_RATE:
		*value = figures_rate(figures, role, COUNT_sent);
		return true;
	case EXPECT_DELIVERY_RATE:
		*value = figures_rate(figures, role, COUNT_delivered);
		return true;
	case EXPECT_TOOL_BUSY:
		*value = figures->cpu.busiest * 100;
		return figures->cpu.threads > 0;
	case EXPECT_BROKER_CPU:
		*value = figures_broker_share(figures) * 100;
		return figures->cpu.broker_known;
	}
	return false;
}

static bool holds(const struct expectation *e, double value)
{
	switch (e->op) {
	case OP_LESS: return value < e->value;
	case OP_AT_MOST: return value <= e->value;
	case OP_MORE: return value > e->value;
	case OP_AT_LEAST: return value >= e->value;
	case OP_EQUAL: return value == e->value;
	case OP_NOT_EQUAL: return value != e->value;
	}
	return false;
}

void expectation_judge(const struct expectation *e, struct figures *figures)
{
	struct figures_expectation judged = { .text = figures_say(figures, "%s", e->text) };

	judged.known = !figures->unable && measure(e, figures, &judged.value);
	judged.met = judged.known && holds(e, judged.value);
	*FIGURES_APPEND(figures, expectations) = judged;
}
