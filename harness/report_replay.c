#include "harness/report.h"

#include <stdlib.h>

#include "harness/console.h"
#include "harness/escape.h"

/* What became of a capture: what was played, how the target differs from the one that was captured, which rules it broke. */

static void plural(FILE *out, uint64_t n, const char *one)
{
	fprintf(out, "%llu %s%s", (unsigned long long)n, one, n == 1 ? "" : "s");
}

static void labelled(FILE *out, const char *label, const char *text)
{
	if (!text)
		return;
	fprintf(out, "    %-9s ", label);
	escape_text(out, text);
	fputc('\n', out);
}

static void print_difference(FILE *out, const struct script *script, const struct difference *d)
{
	fputs("  ", out);
	if (d->at.line) {
		escape_text(out, script->scenario->file);
		fprintf(out, ":%u:%u: ", d->at.line, d->at.column);
	}
	if (d->what) {
		escape_text(out, d->what);
		fputc('\n', out);
		return;
	}
	fputs("differs from the capture\n", out);
	labelled(out, "expected", d->expected);
	labelled(out, "received", d->received);
	labelled(out, "because", d->because);
}

static void print_differences(FILE *out, const struct outcome *o, const struct replayed *r)
{
	uint64_t n = 0;

	for (const struct difference *d = r->differences; d; d = d->next, n++)
		print_difference(out, o->script, d);
	if (n < r->n_differences)
		fprintf(out, "  and %llu more\n", (unsigned long long)(r->n_differences - n));
}

static void print_breaches(FILE *out, const struct replayed *r)
{
	uint32_t n = 0;

	for (const struct breach_seen *b = r->breaches; b; b = b->next, n++) {
		unsigned version = b->version == MQTT_3_1 && !strncmp(b->clause, "MQTT-", 5) ? MQTT_3_1_1 : b->version;

		fprintf(out, "  %s%s:%s%s ", console_style(out, STYLE_RED), version_text(version), b->clause, console_style(out, STYLE_PLAIN));
		escape_text(out, b->text);
		fputs(" (", out);
		escape_text(out, b->actor);
		if (b->at.line)
			fprintf(out, ", near line %u", b->at.line);
		if (b->n > 1)
			fprintf(out, "; %llu times", (unsigned long long)b->n);
		fputs(")\n", out);
	}
	if (n < r->n_breaches)
		fprintf(out, "  and %u more\n", r->n_breaches - n);
}

static void print_replayed(FILE *out, const struct run *run, bool simulated, const struct outcome *o, const struct replayed *r)
{
	fputs("  ", out);
	plural(out, r->n_connections, "connection");
	fputs(", ", out);
	plural(out, r->n_sent, "packet");
	fprintf(out, " sent, %llu came, in %.3g s%s", (unsigned long long)r->n_received, (double)r->duration_ns / 1e9, simulated ? " of simulated time" : "");
	if (r->n_passed_over) {
		fputs("; ", out);
		plural(out, r->n_passed_over, "step");
		fputs(" passed over", out);
	}
	fputc('\n', out);
	if (!run->quiet && run->verbose) {
		char *lines = transcript_lines(o->script, &o->result);

		fputs(lines, out);
		free(lines);
	}
	if (!run->quiet)
		print_differences(out, o, r);
	fputs("  ", out);
	if (r->n_differences)
		plural(out, r->n_differences, "difference");
	else
		fputs("no difference", out);
	fputs(" from the capture\n", out);
	if (!r->n_breaches && o->result.verdict == VERDICT_PASS)
		fputs("  the target broke no rule\n", out);
	if (r->n_breaches) {
		fputs("  the target broke ", out);
		plural(out, r->n_breaches, "rule");
		fputs(":\n", out);
		print_breaches(out, r);
	}
}

static void print_outcome(FILE *out, const struct run *run, const struct run_target *target, const struct outcome *o)
{
	const struct result *result = &o->result;
	char rule[100];

	fputs("capture ", out);
	escape_text(out, o->script->scenario->title);
	fputs(" on ", out);
	escape_text(out, target->label);
	fputc('\n', out);
	if (result->replayed)
		print_replayed(out, run, target->simulated, o, result->replayed);
	if (result->verdict == VERDICT_PASS || (result->verdict == VERDICT_FAIL && result->replayed && result->replayed->n_breaches))
		return;
	/* The target died, or could not be played against. */
	fprintf(out, "  %s: ", verdict_names[result->verdict]);
	if (outcome_rule(o, rule, sizeof(rule)))
		fprintf(out, "[%s] ", rule);
	escape_text(out, result->reason ? result->reason : "it was not played");
	fputc('\n', out);
}

void report_replay(FILE *out, const struct run *run)
{
	for (size_t i = 0; i < run->n_targets; i++) {
		const struct conducted *conducted = &run->targets[i].conducted;

		if (conducted->n && conducted->outcomes[0].script->finding) {
			report_finding(out, run, &run->targets[i]);
			continue;
		}
		for (size_t k = 0; k < conducted->n; k++)
			if (outcome_counts(conducted, &conducted->outcomes[k]))
				print_outcome(out, run, &run->targets[i], &conducted->outcomes[k]);
	}
}
