#include "harness/report.h"

#include <stdlib.h>

#include "harness/escape.h"

/*
 * TAP 14, with a YAML block of diagnostics behind each test that has something to say. What is known is `not ok`
 * with TODO: TAP's word for a failure that is expected. Strings in YAML are those of JSON, which it includes.
 */

static bool is_ok(enum verdict verdict)
{
	return verdict >= VERDICT_WARN;
}

static size_t points_of(const struct conducted *c)
{
	unsigned counts[N_VERDICTS];

	return verdict_counts(c, counts) + (c->unable[0] != 0) + (c->survives[0] != 0);
}

/* ---- diagnostics ---- */

static void key(FILE *out, const char *name, const char *text)
{
	if (!text)
		return;
	fprintf(out, "  %s: ", name);
	escape_json(out, text);
	fputc('\n', out);
}

static void item(FILE *out, const char *text, size_t len)
{
	fputs("    - ", out);
	escape_json_n(out, text, len);
	fputc('\n', out);
}

static void put_transcript(FILE *out, const char *name, const struct script *script, const struct result *result)
{
	char *text;

	if (!result || !result->events)
		return;
	text = transcript_lines(script, result);
	fprintf(out, "  %s:\n", name);
	for (char *at = text, *end; (end = strchr(at, '\n')); at = end + 1)
		item(out, at, (size_t)(end - at));
	free(text);
}

static void put_notes(FILE *out, const struct result *r)
{
	if (r->n_notes)
		fputs("  notes:\n", out);
	for (uint32_t i = 0; i < r->n_notes; i++)
		item(out, r->notes[i], strlen(r->notes[i]));
}

static void put_diagnostics(FILE *out, const struct run_target *target, const struct outcome *o)
{
	const struct result *r = &o->result;
	char rule[128];

	fputs("  ---\n", out);
	key(out, "verdict", verdict_names[r->verdict]);
	key(out, "title", o->script->scenario->title);
	key(out, "rule", outcome_rule(o, rule, sizeof(rule)));
	key(out, "summary", outcome_rule_summary(o));
	key(out, "known", o->known_reason);
	key(out, "reason", r->reason);
	key(out, "expected", r->expected);
	key(out, "received", r->received);
	key(out, "because", r->because);
	key(out, "connection", r->end_of_connection);
	put_notes(out, r);
	fprintf(out, "  duration_ms: %.3f\n", (double)r->duration_ns / 1e6);
	if (r->verdict != VERDICT_PASS && r->verdict != VERDICT_SKIP && target->again) {
		char *again = outcome_again(target, o);

		key(out, "again", again);
		free(again);
	}
	put_transcript(out, "transcript", o->script, r);
	put_transcript(out, "transcript_of_first_try", o->script, r->verdict == VERDICT_UNSTABLE ? r->before : NULL);
	fputs("  ...\n", out);
}

/* ---- test points ---- */

static void put_point(FILE *out, bool ok, size_t number, const char *label)
{
	fprintf(out, "%s %zu - ", ok ? "ok" : "not ok", number);
	escape_tap(out, label);
	fputs(": ", out);
}

static void directive(FILE *out, const char *name, const char *why)
{
	fprintf(out, " # %s ", name);
	escape_tap(out, why ? why : "");
}

static void put_test(FILE *out, const struct run *run, const struct run_target *target, const struct outcome *o, size_t number)
{
	enum verdict verdict = o->result.verdict;

	put_point(out, is_ok(verdict), number, target->label);
	escape_tap(out, o->script->id);
	fprintf(out, ", MQTT %s", version_text(o->script->version));
	if (o->repetition)
		fprintf(out, " (repetition %u)", o->repetition);
	if (verdict == VERDICT_SKIP)
		directive(out, "SKIP", o->result.reason);
	else if (verdict == VERDICT_KNOWN)
		directive(out, "TODO", o->known_reason);
	fputc('\n', out);
	if (verdict < VERDICT_PASS || o->result.n_notes || run->verbose)
		put_diagnostics(out, target, o);
}

/* What is no test's: the run could not go on, or the target died of nothing that could be found. */
static size_t put_trouble(FILE *out, const struct run_target *target, size_t number)
{
	const struct conducted *c = &target->conducted;
	const char *const texts[] = { c->unable, c->survives }, *const names[] = { "can be tested", "survives" };

	for (int i = 0; i < 2; i++) {
		if (!texts[i][0])
			continue;
		put_point(out, false, ++number, target->label);
		fprintf(out, "%s\n  ---\n", names[i]);
		key(out, "reason", texts[i]);
		fputs("  ...\n", out);
	}
	return number;
}

void report_tap(FILE *out, const struct run *run)
{
	size_t n = 0;

	for (size_t i = 0; i < run->n_targets; i++)
		n += points_of(&run->targets[i].conducted);
	fprintf(out, "TAP version 14\n1..%zu\n# mqassay " MQASSAY_VERSION ", seed %llu\n", n, (unsigned long long)run->seed);
	n = 0;
	for (size_t i = 0; i < run->n_targets; i++) {
		const struct run_target *target = &run->targets[i];

		for (size_t k = 0; k < target->conducted.n; k++)
			if (outcome_counts(&target->conducted, &target->conducted.outcomes[k]))
				put_test(out, run, target, &target->conducted.outcomes[k], ++n);
		n = put_trouble(out, target, n);
	}
}
