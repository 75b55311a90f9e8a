#include "harness/report.h"

#include <stdlib.h>

#include "harness/cli.h"
#include "harness/console.h"
#include "harness/transcript.h"

const char *version_text(unsigned version)
{
	return version == MQTT_5 ? "5" : version == MQTT_3_1_1 ? "3.1.1" : "3.1";
}

static enum console_style style_of(enum verdict verdict)
{
	switch (verdict) {
	case VERDICT_PASS: return STYLE_GREEN;
	case VERDICT_SKIP: return STYLE_DIM;
	case VERDICT_WARN: return STYLE_YELLOW;
	default:           return STYLE_RED;
	}
}

static void styled(FILE *out, enum console_style style, const char *text)
{
	fprintf(out, "%s%s%s", console_style(out, style), text, console_style(out, STYLE_PLAIN));
}

/* The version of a rule may be another than the test's: 3.1 is judged by 3.1.1's. */
static const char *rule_version(unsigned version, const char *rule)
{
	return version == MQTT_3_1 && !strncmp(rule, "MQTT-", 5) ? "3.1.1" : version_text(version);
}

static void line(FILE *out, const char *label, const char *text)
{
	if (text)
		fprintf(out, "  %-10s %s\n", label, text);
}

void report_outcome(FILE *out, const struct outcome *outcome, const struct report_options *options)
{
	const struct script *script = outcome->script;
	const struct result *r = &outcome->result;
	bool bad = r->verdict < VERDICT_WARN;
	char verdict[16];

	snprintf(verdict, sizeof(verdict), "%s", verdict_names[r->verdict]);
	for (char *at = verdict; bad && *at; at++)
		*at = (char)(*at - 'a' + 'A');
	fprintf(out, "%s:", script->scenario->file);
	if (r->at.line)
		fprintf(out, "%u:%u:", r->at.line, r->at.column);
	fputc(' ', out);
	styled(out, style_of(r->verdict), verdict);
	if (r->rule)
		fprintf(out, " [%s:%s]", rule_version(r->rule_version ? r->rule_version : script->version, r->rule), r->rule);
	fprintf(out, " MQTT %s", version_text(script->version));
	if (strcmp(script->id, script->scenario->file))
		fprintf(out, ", case \"%s\"", script->id + strlen(script->scenario->file) + 1);
	fprintf(out, "\n  %s\n", script->scenario->title);
	if (r->rule && r->verdict != VERDICT_PASS) {
		const struct clause *clause = clause_find(script->version, span_text(r->rule));

		line(out, "rule", clause ? clause->summary : NULL);
	}
	if (r->received) {
		line(out, "expected", r->expected);
		line(out, "received", r->received);
		line(out, "because", r->because);
		if (r->reason && r->because && strcmp(r->reason, r->because) && !strstr(r->reason, r->because))
			line(out, "so", r->reason);
	} else {
		line(out, "because", r->reason);
	}
	line(out, "connection", r->end_of_connection);
	for (uint32_t i = 0; i < r->n_notes; i++)
		line(out, "note", r->notes[i]);
	if (bad || options->verbose) {
		if (r->events) {
			fputs("  transcript\n", out);
			transcript_print(out, script, r, "    ");
		}
		if (r->before && r->before->events && r->verdict == VERDICT_UNSTABLE) {
			fputs("  transcript of the first try, which failed\n", out);
			transcript_print(out, script, r->before, "    ");
		}
		if (options->repeat_with && script->scenario->file)
			fprintf(out, "  again      %s --mqtt %s --select '%s'\n", options->repeat_with, version_text(script->version), script->id);
	}
	fputc('\n', out);
}

/* ---- clauses ---- */

static int by_clause(const void *a, const void *b)
{
	const struct clause_total *x = a, *y = b;

	if (x->version != y->version)
		return x->version < y->version ? -1 : 1;
	return strverscmp(x->clause, y->clause);
}

/* One that could not judge the clause says less about it than one that could. */
static bool outweighs(enum verdict a, enum verdict b)
{
	if (a == VERDICT_INCONCLUSIVE || b == VERDICT_INCONCLUSIVE)
		return a == VERDICT_INCONCLUSIVE ? b == VERDICT_SKIP : a != VERDICT_SKIP;
	return a < b;
}

static void add(struct clause_total *list, size_t *n, unsigned version, const char *clause, enum verdict verdict)
{
	if (version == MQTT_3_1 && !strncmp(clause, "MQTT-", 5))
		version = MQTT_3_1_1;
	for (size_t i = 0; i < *n; i++)
		if (list[i].version == version && !strcmp(list[i].clause, clause)) {
			if (outweighs(verdict, list[i].worst)) {
				list[i].worst = verdict;
				list[i].n_worst = 0;
			}
			list[i].n_worst += verdict == list[i].worst;
			list[i].n_tests++;
			return;
		}
	list[(*n)++] = (struct clause_total){ version, clause, verdict, 1, 1 };
}

struct clause_total *clause_totals(const struct conducted *conducted, size_t *n)
{
	size_t cap = 1;

	for (size_t i = 0; i < conducted->n; i++)
		cap += conducted->outcomes[i].result.n_clauses + 1;
	struct clause_total *list = calloc(cap, sizeof(*list));
	if (!list)
		abort();
	*n = 0;
	for (size_t i = 0; i < conducted->n; i++) {
		const struct outcome *o = &conducted->outcomes[i];
		bool named = false;

		for (uint32_t k = 0; k < o->result.n_clauses; k++) {
			add(list, n, o->script->version, o->result.clauses[k].clause, o->result.clauses[k].verdict);
			named |= o->result.rule && !strcmp(o->result.rule, o->result.clauses[k].clause);
		}
		if (o->result.verdict == VERDICT_FAIL && o->result.rule && !named)	/* the monitor's */
			add(list, n, o->script->version, o->result.rule, VERDICT_FAIL);
	}
	qsort(list, *n, sizeof(*list), by_clause);
	return list;
}

static void print_counts(FILE *out, const unsigned counts[N_VERDICTS])
{
	static const enum verdict order[] = { VERDICT_PASS, VERDICT_FAIL, VERDICT_WARN, VERDICT_UNSTABLE, VERDICT_INCONCLUSIVE, VERDICT_ERROR, VERDICT_SKIP };
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

static void print_clauses(FILE *out, const struct conducted *conducted, const struct report_options *options)
{
	size_t n;
	struct clause_total *list = clause_totals(conducted, &n);

	for (size_t i = 0; options->verbose && i < n; i++) {
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

/* Skips by their reason: the evidence once, with how many tests it took. */
static void print_skips(FILE *out, const struct conducted *conducted)
{
	for (size_t i = 0; i < conducted->n; i++) {
		const struct result *r = &conducted->outcomes[i].result;
		unsigned n = 0;
		bool before = false;

		if (r->verdict != VERDICT_SKIP || !r->reason)
			continue;
		for (size_t k = 0; k < conducted->n && !before; k++) {
			const struct result *other = &conducted->outcomes[k].result;
			bool same = other->verdict == VERDICT_SKIP && other->reason && !strcmp(other->reason, r->reason) &&
			            conducted->outcomes[k].script->version == conducted->outcomes[i].script->version;

			before = same && k < i;
			n += same;
		}
		if (!before)
			fprintf(out, "skip %3u of MQTT %s: %s\n", n, version_text(conducted->outcomes[i].script->version), r->reason);
	}
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
			fprintf(out, "changes its verdict: %s MQTT %s: ", conducted->outcomes[i].script->id, version_text(conducted->outcomes[i].script->version));
			print_counts(out, counts);
			flaky++;
		}
		i = end;
	}
	return flaky;
}

void report_text(FILE *out, const struct conducted *conducted, const struct report_options *options)
{
	unsigned counts[N_VERDICTS] = { 0 };
	bool repeated = false;

	for (size_t i = 0; i < conducted->n; i++) {
		const struct outcome *o = &conducted->outcomes[i];

		if (conducted->unable[0] && !o->played && o->result.verdict != VERDICT_SKIP)
			continue;
		counts[o->result.verdict]++;
		repeated |= o->repetition > 0;
		if (options->quiet || (o->result.verdict >= VERDICT_PASS && !options->verbose))
			continue;
		if (options->verbose && o->result.verdict == VERDICT_PASS && !o->result.n_notes) {
			styled(out, STYLE_GREEN, "pass");
			fprintf(out, " %s MQTT %s\n", o->script->id, version_text(o->script->version));
		} else if (!options->verbose || o->result.verdict != VERDICT_SKIP) {
			report_outcome(out, o, options);
		}
	}
	if (conducted->survives[0])
		fprintf(out, "%s [survives] %s\n\n", "UNSTABLE", conducted->survives);
	if (!options->quiet)
		print_skips(out, conducted);
	if (repeated && !print_flakes(out, conducted))
		fputs("no test changed its verdict from one repetition to another\n", out);
	print_clauses(out, conducted, options);
	fprintf(out, "%5zu tests on %s: ", conducted->n, options->label);
	print_counts(out, counts);
}

int report_exit_code(const struct conducted *conducted)
{
	unsigned counts[N_VERDICTS] = { 0 };

	for (size_t i = 0; i < conducted->n; i++)
		counts[conducted->outcomes[i].result.verdict]++;
	if (counts[VERDICT_FAIL])
		return EXIT_FOUND;
	if (conducted->unable[0] || conducted->survives[0] || counts[VERDICT_ERROR] || counts[VERDICT_UNSTABLE] || counts[VERDICT_INCONCLUSIVE] ||
	    counts[VERDICT_PASS] == 0)
		return EXIT_UNABLE;
	return EXIT_PASS;
}
