#include "harness/report.h"

#include <stdlib.h>

#include "harness/escape.h"
#include "harness/shell.h"
#include "harness/transcript.h"

/* What formats say about one outcome. */

bool verdict_is_bad(enum verdict verdict)
{
	return verdict < VERDICT_KNOWN;
}

const char *outcome_rule(const struct outcome *outcome, char *buf, size_t cap)
{
	const struct result *r = &outcome->result;
	unsigned version = r->rule_version ? r->rule_version : outcome->script->version;

	if (!r->rule)
		return NULL;
	if (version == MQTT_3_1 && !strncmp(r->rule, "MQTT-", 5))
		version = MQTT_3_1_1;
	snprintf(buf, cap, "%s:%s", version_text(version), r->rule);
	return buf;
}

const char *outcome_rule_summary(const struct outcome *outcome)
{
	const struct result *r = &outcome->result;
	const struct clause *clause = r->rule ? clause_find(r->rule_version ? r->rule_version : outcome->script->version, span_text(r->rule)) : NULL;

	return clause ? clause->summary : NULL;
}

/* ---- texts made for the occasion ---- */

static FILE *text_stream(char **text, size_t *len)
{
	FILE *out = open_memstream(text, len);

	if (!out)
		abort();
	return out;
}

static void finish(FILE *out)
{
	if (fclose(out))
		abort();
}

char *outcome_again(const struct run_target *target, const struct outcome *outcome)
{
	char *text = NULL;
	size_t len;
	FILE *out = text_stream(&text, &len);

	fprintf(out, "%s --mqtt %s --select ", target->again, version_text(outcome->script->version));
	shell_word(out, outcome->script->id);
	finish(out);
	return text;
}

char *transcript_lines(const struct script *script, const struct result *result)
{
	char *text = NULL;
	size_t len;
	FILE *out = text_stream(&text, &len);

	transcript_print(out, script, result, "");
	finish(out);
	return text;
}

/* ---- as text ---- */

static void line(FILE *out, const char *label, const char *text)
{
	if (!text)
		return;
	fprintf(out, "  %-10s ", label);
	escape_text(out, text);
	fputc('\n', out);
}

static void print_transcripts(FILE *out, const struct outcome *o)
{
	const struct result *r = &o->result;

	if (r->events) {
		fputs("  transcript\n", out);
		transcript_print(out, o->script, r, "    ");
	}
	if (r->before && r->before->events && r->verdict == VERDICT_UNSTABLE) {
		fputs("  transcript of the first try, which failed\n", out);
		transcript_print(out, o->script, r->before, "    ");
	}
}

static void print_again(FILE *out, const struct run_target *target, const struct outcome *o)
{
	char *again = outcome_again(target, o);

	line(out, "again", again);
	free(again);
}

void outcome_details(FILE *out, const struct run_target *target, const struct outcome *o, bool whole)
{
	const struct result *r = &o->result;

	fputs("  ", out);
	escape_text(out, o->script->scenario->title);
	fputc('\n', out);
	if (r->verdict != VERDICT_PASS)
		line(out, "rule", outcome_rule_summary(o));
	line(out, "known", o->known_reason);
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
	if (!whole)
		return;
	print_transcripts(out, o);
	if (target->again)
		print_again(out, target, o);
}
