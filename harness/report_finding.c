#include "harness/report.h"

#include <stdlib.h>

#include "harness/console.h"
#include "harness/escape.h"

/* What became of a finding: whether it shows, by what, and how often. */

static void labelled(FILE *out, const char *label, const char *text)
{
	if (!text)
		return;
	fprintf(out, "    %-10s ", label);
	escape_text(out, text);
	fputc('\n', out);
}

static void print_notes(FILE *out, const struct result *r)
{
	for (uint32_t i = 0; i < r->n_notes; i++)
		labelled(out, "note", r->notes[i]);
}

static void print_transcript(FILE *out, const struct outcome *o)
{
	char *lines = transcript_lines(o->script, &o->result);

	fputs("  transcript\n", out);
	fputs(lines, out);
	free(lines);
}

/* SHOWS 5:MQTT-3.3.1-2 rule: ... */
static void print_shown(FILE *out, const struct outcome *o, bool whole)
{
	const struct result *r = &o->result;
	char rule[128];

	fprintf(out, "  %sSHOWS%s ", console_style(out, STYLE_RED), console_style(out, STYLE_PLAIN));
	escape_text(out, r->reason);
	if (r->rule)
		fprintf(out, " [%s]", outcome_rule(o, rule, sizeof(rule)));
	fputc('\n', out);
	if (r->at.line) {
		fputs("    at         ", out);
		escape_text(out, o->script->scenario->file);
		fprintf(out, ":%u:%u\n", r->at.line, r->at.column);
	}
	labelled(out, "rule", outcome_rule_summary(o));
	labelled(out, "expected", r->expected);
	if (r->received && !strstr(r->reason, r->received))
		labelled(out, "received", r->received);
	print_notes(out, r);
	if (whole)
		print_transcript(out, o);
}

static void print_one(FILE *out, const struct outcome *o, bool whole)
{
	const struct result *r = &o->result;

	switch (r->verdict) {
	case VERDICT_FAIL:
		print_shown(out, o, whole);
		return;
	case VERDICT_PASS:
		fprintf(out, "  %sdoes not show%s\n", console_style(out, STYLE_GREEN), console_style(out, STYLE_PLAIN));
		break;
	default:
		fprintf(out, "  %s%s%s: ", console_style(out, STYLE_YELLOW), verdict_names[r->verdict], console_style(out, STYLE_PLAIN));
		escape_text(out, r->reason ? r->reason : "it could not be judged");
		fputc('\n', out);
	}
	print_notes(out, r);
	if (whole)
		print_transcript(out, o);
}

/* Each way that it came out is told once, the first time. */
static bool told_before(const struct outcome *first, const struct outcome *o)
{
	for (const struct outcome *at = first; at < o; at++)
		if (at->result.verdict == o->result.verdict && (o->result.verdict != VERDICT_FAIL ||
		    (!strncmp(at->result.reason, o->result.reason, strcspn(o->result.reason, ":") + 1) && !at->result.rule == !o->result.rule &&
		     (!o->result.rule || !strcmp(at->result.rule, o->result.rule)))))
			return true;
	return false;
}

static void print_target(FILE *out, const struct run *run, const struct run_target *target, const struct outcome *first, size_t n)
{
	const struct conducted *conducted = &target->conducted;
	unsigned shows = 0, all = 0;

	fputs("finding \"", out);
	escape_text(out, first->script->scenario->title);
	fputs("\" on ", out);
	escape_text(out, target->label);
	fprintf(out, ", MQTT %s\n", version_text(first->script->version));
	for (size_t i = 0; i < n; i++) {
		if (!outcome_counts(conducted, &first[i]))
			continue;
		all++;
		shows += first[i].result.verdict == VERDICT_FAIL;
		if (!run->quiet && (run->verbose || !told_before(first, &first[i])))
			print_one(out, &first[i], run->verbose);
	}
	if (n > 1 || run->quiet)
		fprintf(out, "  shows %u of %u\n", shows, all);
	if (all < n && all)
		fprintf(out, "  %zu of %zu times it was not played\n", n - all, n);
}

void report_finding(FILE *out, const struct run *run, const struct run_target *target)
{
	const struct conducted *conducted = &target->conducted;

	for (size_t i = 0, end; i < conducted->n; i = end) {
		bool any = false;

		for (end = i; end < conducted->n && conducted->outcomes[end].script == conducted->outcomes[i].script; end++)
			any |= outcome_counts(conducted, &conducted->outcomes[end]);
		if (any)
			print_target(out, run, target, &conducted->outcomes[i], end - i);
	}
}
