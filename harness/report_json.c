#include "harness/report.h"

#include <stdlib.h>

#include "harness/escape.h"

/*
 * One document, described by harness/docs/report.schema.json. A member's place in its object and
 * a line for each test are for whoever looks at it with `less` or `diff`; programs go by the names.
 */

enum { SCHEMA_VERSION = 1 };

/* , "name": */
static void member(FILE *out, const char *name, bool first)
{
	fprintf(out, "%s\"%s\": ", first ? "" : ", ", name);
}

static void text_member(FILE *out, const char *name, const char *text)
{
	member(out, name, false);
	escape_json(out, text);
}

static void put_totals(FILE *out, const unsigned counts[N_VERDICTS])
{
	fputc('{', out);
	for (unsigned v = 0; v < N_VERDICTS; v++)
		fprintf(out, "%s\"%s\": %u", v ? ", " : "", verdict_names[v], counts[v]);
	fputc('}', out);
}

/* ---- targets ---- */

static void put_offers(FILE *out, const struct offers *offers)
{
	bool first = true;

	fputc('{', out);
	for (unsigned v = MQTT_3_1; v <= MQTT_5; v++) {
		const struct offer *offer = &offers->version[v];

		if (!offer->asked)
			continue;
		member(out, version_text(v), first);
		fprintf(out, "{\"served\": %s", offer->served ? "true" : "false");
		text_member(out, "evidence", offer->evidence[0] ? offer->evidence : NULL);
		fputc('}', out);
		first = false;
	}
	fputc('}', out);
}

static void put_clauses(FILE *out, const struct conducted *conducted)
{
	size_t n;
	struct clause_total *list = clause_totals(conducted, &n);

	fputc('[', out);
	for (size_t i = 0; i < n; i++) {
		char rule[160];

		snprintf(rule, sizeof(rule), "%s:%s", version_text(list[i].version), list[i].clause);
		fprintf(out, "%s\n      {\"rule\": ", i ? "," : "");
		escape_json(out, rule);
		text_member(out, "verdict", verdict_names[list[i].worst]);
		fprintf(out, ", \"tests\": %u, \"of_that_verdict\": %u}", list[i].n_tests, list[i].n_worst);
	}
	fputs("]", out);
	free(list);
}

static void put_target(FILE *out, const struct run_target *target)
{
	const struct conducted *c = &target->conducted;
	unsigned counts[N_VERDICTS];
	size_t n = verdict_counts(c, counts);

	fputs("\n    {\"label\": ", out);
	escape_json(out, target->label);
	text_member(out, "kind", !target->source ? "built-in" : target->started ? "command" : "url");
	text_member(out, "source", target->source);
	text_member(out, "configuration", target->configuration);
	text_member(out, "again", target->again);
	member(out, "versions", false);
	put_offers(out, &c->offers);
	text_member(out, "unable", c->unable[0] ? c->unable : NULL);
	text_member(out, "survives", c->survives[0] ? c->survives : NULL);
	fprintf(out, ", \"restarts\": %u, \"simulated\": %s, \"duration_ms\": %.3f, \"wall_ms\": %.3f, \"not_reached\": %zu", c->restarts,
	        target->simulated ? "true" : "false", (double)(target->simulated ? c->simulated_ns : c->wall_ns) / 1e6, (double)c->wall_ns / 1e6,
	        c->n - n);
	fputs(",\n     \"totals\": ", out);
	put_totals(out, counts);
	fputs(",\n     \"clauses\": ", out);
	put_clauses(out, c);
	fputc('}', out);
}

/* ---- tests ---- */

static void put_lines(FILE *out, const struct script *script, const struct result *result)
{
	char *text = transcript_lines(script, result);

	fputc('[', out);
	for (char *at = text, *end; (end = strchr(at, '\n')); at = end + 1) {
		fputs(at == text ? "" : ", ", out);
		escape_json_n(out, at, (size_t)(end - at));
	}
	fputc(']', out);
	free(text);
}

static void put_transcripts(FILE *out, const struct outcome *o)
{
	const struct result *r = &o->result;

	if (r->events) {
		member(out, "transcript", false);
		put_lines(out, o->script, r);
	}
	if (r->before && r->before->events && r->verdict == VERDICT_UNSTABLE) {
		member(out, "transcript_of_first_try", false);
		put_lines(out, o->script, r->before);
	}
}

static void put_again(FILE *out, const struct outcome *o, const struct run_target *target)
{
	char *text = outcome_again(target, o);

	text_member(out, "again", text);
	free(text);
}

static void put_judged(FILE *out, const struct outcome *o)
{
	const struct result *r = &o->result;
	char rule[128];

	member(out, "clauses", false);
	fputc('[', out);
	for (uint32_t i = 0; i < r->n_clauses; i++) {
		fputs(i ? ", {\"id\": " : "{\"id\": ", out);
		escape_json(out, r->clauses[i].clause);
		text_member(out, "verdict", verdict_names[r->clauses[i].verdict]);
		fputc('}', out);
	}
	fputc(']', out);
	text_member(out, "rule", outcome_rule(o, rule, sizeof(rule)));
	text_member(out, "rule_summary", outcome_rule_summary(o));
	text_member(out, "reason", r->reason);
	text_member(out, "expected", r->expected);
	text_member(out, "received", r->received);
	text_member(out, "because", r->because);
	text_member(out, "connection", r->end_of_connection);
	member(out, "notes", false);
	fputc('[', out);
	for (uint32_t i = 0; i < r->n_notes; i++) {
		fputs(i ? ", " : "", out);
		escape_json(out, r->notes[i]);
	}
	fputc(']', out);
}

static void put_test(FILE *out, const struct run *run, const struct run_target *target, const struct outcome *o)
{
	const struct script *script = o->script;
	const struct result *r = &o->result;

	fputs("\n    {\"id\": ", out);
	escape_json(out, script->id);
	text_member(out, "version", version_text(script->version));
	text_member(out, "target", target->label);
	text_member(out, "verdict", verdict_names[r->verdict]);
	text_member(out, "title", script->scenario->title);
	text_member(out, "file", script->scenario->file);
	if (r->at.line)
		fprintf(out, ", \"line\": %u, \"column\": %u", r->at.line, r->at.column);
	put_judged(out, o);
	if (o->known_reason) {
		fputs(", \"known\": {\"reason\": ", out);
		escape_json(out, o->known_reason);
		text_member(out, "at", o->known_at);
		fputc('}', out);
	}
	fprintf(out, ", \"duration_ms\": %.3f, \"repetition\": %u, \"played\": %s", (double)r->duration_ns / 1e6, o->repetition,
	        o->played ? "true" : "false");
	if (r->verdict != VERDICT_PASS && r->verdict != VERDICT_SKIP && target->again)
		put_again(out, o, target);
	if (r->verdict != VERDICT_PASS || run->verbose)
		put_transcripts(out, o);
	fputc('}', out);
}

/* ---- the document ---- */

static void put_all_totals(FILE *out, const struct run *run)
{
	unsigned all[N_VERDICTS] = { 0 }, counts[N_VERDICTS];

	for (size_t i = 0; i < run->n_targets; i++) {
		verdict_counts(&run->targets[i].conducted, counts);
		for (unsigned v = 0; v < N_VERDICTS; v++)
			all[v] += counts[v];
	}
	put_totals(out, all);
}

void report_json(FILE *out, const struct run *run)
{
	bool first = true;

	fprintf(out, "{\n  \"schema\": {\"name\": \"mqassay-report\", \"version\": %d},\n", SCHEMA_VERSION);
	fputs("  \"tool\": {\"name\": \"mqassay\", \"version\": \"" MQASSAY_VERSION "\"},\n  \"command\": ", out);
	escape_json(out, run->command);
	fprintf(out, ",\n  \"seed\": %llu,\n  \"exit_code\": %d,\n  \"targets\": [", (unsigned long long)run->seed, run_exit_code(run));
	for (size_t i = 0; i < run->n_targets; i++) {
		fputs(i ? "," : "", out);
		put_target(out, &run->targets[i]);
	}
	fputs("],\n  \"totals\": ", out);
	put_all_totals(out, run);
	fputs(",\n  \"tests\": [", out);
	for (size_t i = 0; i < run->n_targets; i++)
		for (size_t k = 0; k < run->targets[i].conducted.n; k++) {
			const struct outcome *o = &run->targets[i].conducted.outcomes[k];

			if (!outcome_counts(&run->targets[i].conducted, o))
				continue;
			fputs(first ? "" : ",", out);
			put_test(out, run, &run->targets[i], o);
			first = false;
		}
	fputs("]\n}\n", out);
}
