#include "harness/report.h"

#include <assert.h>
#include <stdlib.h>

#include "harness/console.h"
#include "harness/escape.h"

/* Non-passes with what was expected, what came and the transcript; totals by test and clause. */

static enum console_style style_of(enum verdict verdict)
{
	switch (verdict) {
	case VERDICT_PASS:  return STYLE_GREEN;
	case VERDICT_SKIP:  return STYLE_DIM;
	case VERDICT_WARN:
	case VERDICT_KNOWN: return STYLE_YELLOW;
	default:            return STYLE_RED;
	}
}

static void styled(FILE *out, enum console_style style, const char *text)
{
	fprintf(out, "%s%s%s", console_style(out, style), text, console_style(out, STYLE_PLAIN));
}

/* file:12:1: FAIL [5:MQTT-3.3.1-2] MQTT 5, case "name" */
static void print_head(FILE *out, const struct outcome *o)
{
	const struct script *script = o->script;
	const struct result *r = &o->result;
	char verdict[16], rule[128];

	snprintf(verdict, sizeof(verdict), "%s", verdict_names[r->verdict]);
	for (char *at = verdict; verdict_is_bad(r->verdict) && *at; at++)
		*at = (char)(*at - 'a' + 'A');
	escape_text(out, script->scenario->file);
	fputc(':', out);
	if (r->at.line)
		fprintf(out, "%u:%u:", r->at.line, r->at.column);
	fputc(' ', out);
	styled(out, style_of(r->verdict), verdict);
	if (r->rule)
		fprintf(out, " [%s]", outcome_rule(o, rule, sizeof(rule)));
	fprintf(out, " MQTT %s", version_text(script->version));
	if (strcmp(script->id, script->scenario->file)) {
		fputs(", case \"", out);
		escape_text(out, script->id + strlen(script->scenario->file) + 1);
		fputc('"', out);
	}
	fputc('\n', out);
}

static void print_outcome(FILE *out, const struct outcome *o, const struct run *run, const struct run_target *target)
{
	print_head(out, o);
	outcome_details(out, target, o, verdict_is_bad(o->result.verdict) || run->verbose);
	fputc('\n', out);
}

/* ---- totals ---- */

static void print_counts(FILE *out, const unsigned counts[N_VERDICTS])
{
	static const enum verdict order[] = {
		VERDICT_PASS, VERDICT_FAIL, VERDICT_FIXED, VERDICT_WARN, VERDICT_KNOWN, VERDICT_UNSTABLE, VERDICT_INCONCLUSIVE, VERDICT_ERROR, VERDICT_SKIP,
	};

	static_assert(sizeof(order) / sizeof(*order) == N_VERDICTS, "a verdict that is not counted");
	bool first = true;

	for (size_t i = 0; i < N_VERDICTS; i++) {
		enum verdict v = order[i];

		if (!counts[v] && v != VERDICT_PASS && v != VERDICT_FAIL)
			continue;
		fputs(first ? "" : ", ", out);
		first = false;
		if (counts[v])
			fprintf(out, "%s%u %s%s", console_style(out, style_of(v)), counts[v], verdict_names[v], console_style(out, STYLE_PLAIN));
		else
			fprintf(out, "%u %s", counts[v], verdict_names[v]);
	}
	fputc('\n', out);
}

static void print_clauses(FILE *out, const struct conducted *conducted, bool verbose)
{
	size_t n;
	struct clause_total *list = clause_totals(conducted, &n);

	for (size_t i = 0; verbose && i < n; i++) {
		const struct clause *clause = clause_find(list[i].version, span_text(list[i].clause));

		fprintf(out, "%s%-12s%s %s:%-20s %3u of %3u  %s\n", console_style(out, style_of(list[i].worst)), verdict_names[list[i].worst],
		        console_style(out, STYLE_PLAIN), version_text(list[i].version), list[i].clause, list[i].n_worst, list[i].n_tests,
		        clause ? clause->summary : "");
	}
	for (unsigned v = MQTT_3_1; v <= MQTT_5; v++) {
		unsigned counts[N_VERDICTS] = { 0 }, all = 0;

		for (size_t i = 0; i < n; i++)
			if (list[i].version == v) {
				counts[list[i].worst]++;
				all++;
			}
		if (!all)
			continue;
		fprintf(out, "%5u clauses of MQTT %-6s ", all, version_text(v));
		print_counts(out, counts);
	}
	free(list);
}

/* ---- many of a kind ---- */

struct group {
	const char *reason;
	size_t first;			/* the outcome in which it came first */
	unsigned version, n;
};

static int by_text(const void *a, const void *b)
{
	const struct group *x = a, *y = b;
	int order = x->version != y->version ? (x->version < y->version ? -1 : 1) : strcmp(x->reason, y->reason);

	return order ? order : x->first < y->first ? -1 : x->first > y->first;
}

static int by_first(const void *a, const void *b)
{
	const struct group *x = a, *y = b;

	return x->first < y->first ? -1 : x->first > y->first;
}

/* Tests of a verdict by their reason: the evidence once, with how many tests it took. */
static void print_grouped(FILE *out, const struct conducted *conducted, enum verdict verdict)
{
	struct group *rows = calloc(conducted->n + 1, sizeof(*rows));
	size_t n = 0, merged = 0;

	if (!rows)
		abort();
	for (size_t i = 0; i < conducted->n; i++) {
		const struct outcome *o = &conducted->outcomes[i];
		const char *reason = verdict == VERDICT_KNOWN ? o->known_reason : o->result.reason;

		if (o->result.verdict == verdict && reason)
			rows[n++] = (struct group){ .reason = reason, .first = i, .version = o->script->version, .n = 1 };
	}
	qsort(rows, n, sizeof(*rows), by_text);
	for (size_t i = 0; i < n; i++)
		if (merged && rows[merged - 1].version == rows[i].version && !strcmp(rows[merged - 1].reason, rows[i].reason))
			rows[merged - 1].n++;
		else
			rows[merged++] = rows[i];
	qsort(rows, merged, sizeof(*rows), by_first);
	for (size_t i = 0; i < merged; i++) {
		fprintf(out, "%s %3u of MQTT %s: ", verdict_names[verdict], rows[i].n, version_text(rows[i].version));
		escape_text(out, rows[i].reason);
		fputc('\n', out);
	}
	free(rows);
}

/* Tests whose repetitions did not all come to the same verdict. */
static unsigned print_flakes(FILE *out, const struct conducted *conducted)
{
	unsigned flaky = 0;

	for (size_t i = 0; i < conducted->n;) {
		size_t end = i + 1;
		unsigned counts[N_VERDICTS] = { 0 };
		bool differs = false;

		counts[conducted->outcomes[i].result.verdict]++;
		for (; end < conducted->n && conducted->outcomes[end].script == conducted->outcomes[i].script; end++) {
			counts[conducted->outcomes[end].result.verdict]++;
			differs |= conducted->outcomes[end].result.verdict != conducted->outcomes[i].result.verdict;
		}
		if (differs) {
			fputs("changes its verdict: ", out);
			escape_text(out, conducted->outcomes[i].script->id);
			fprintf(out, " MQTT %s: ", version_text(conducted->outcomes[i].script->version));
			print_counts(out, counts);
			flaky++;
		}
		i = end;
	}
	return flaky;
}

/* ---- the whole ---- */

static void print_outcomes(FILE *out, const struct run *run, const struct run_target *target)
{
	const struct conducted *conducted = &target->conducted;

	for (size_t i = 0; i < conducted->n; i++) {
		const struct outcome *o = &conducted->outcomes[i];
		enum verdict verdict = o->result.verdict;

		if (!outcome_counts(conducted, o) || (verdict >= VERDICT_PASS && !run->verbose) || (verdict == VERDICT_KNOWN && !run->verbose))
			continue;
		if (verdict == VERDICT_PASS && !o->result.n_notes) {
			styled(out, STYLE_GREEN, "pass");
			fputc(' ', out);
			escape_text(out, o->script->id);
			fprintf(out, " MQTT %s\n", version_text(o->script->version));
		} else if (verdict != VERDICT_SKIP) {
			print_outcome(out, o, run, target);
		}
	}
}

static void print_target(FILE *out, const struct run *run, const struct run_target *target)
{
	const struct conducted *conducted = &target->conducted;
	unsigned counts[N_VERDICTS];
	bool repeated = false, judged = false;

	for (size_t i = 0; i < conducted->n; i++) {
		repeated |= conducted->outcomes[i].repetition > 0;
		judged |= conducted->outcomes[i].played;
	}
	if (conducted->unable[0] && !judged)
		return;
	if (!run->quiet)
		print_outcomes(out, run, target);
	if (conducted->survives[0]) {
		styled(out, STYLE_RED, "UNSTABLE");
		fputs(" [survives] ", out);
		escape_text(out, conducted->survives);
		fputs("\n\n", out);
	}
	if (!run->quiet) {
		print_grouped(out, conducted, VERDICT_SKIP);
		print_grouped(out, conducted, VERDICT_KNOWN);
	}
	if (repeated && !print_flakes(out, conducted))
		fputs("no test changed its verdict from one repetition to another\n", out);
	print_clauses(out, conducted, run->verbose);
	verdict_counts(conducted, counts);
	fprintf(out, "%5zu tests on ", conducted->n);
	escape_text(out, target->label);
	fputs(": ", out);
	print_counts(out, counts);
	if (target->configuration) {
		fputs("      configured by ", out);
		escape_text(out, target->configuration);
		fputc('\n', out);
	}
	if (target->simulated)
		fprintf(out, "      %.1f s of simulated time in %.2f s\n", (double)conducted->simulated_ns / 1e9, (double)conducted->wall_ns / 1e9);
	else
		fprintf(out, "      in %.1f s\n", (double)conducted->wall_ns / 1e9);
}

void report_text(FILE *out, const struct run *run)
{
	if (run->replay) {
		report_replay(out, run);
		return;
	}
	for (size_t i = 0; i < run->n_targets; i++)
		print_target(out, run, &run->targets[i]);
}
