#include "harness/verdict.h"

#include <stdarg.h>
#include <stdio.h>

#include "harness/recording.h"

enum { MAX_EVENT_BYTES = 256 * 1024, MAX_KEPT = 4096 };

const char *const verdict_names[N_VERDICTS] = {
	[VERDICT_ERROR] = "error", [VERDICT_FAIL] = "fail", [VERDICT_UNSTABLE] = "unstable",
	[VERDICT_INCONCLUSIVE] = "inconclusive", [VERDICT_WARN] = "warn",
	[VERDICT_KNOWN] = "known", [VERDICT_FIXED] = "fixed", [VERDICT_PASS] = "pass", [VERDICT_SKIP] = "skip",
};

const char *const verdict_meanings[N_VERDICTS] = {
	[VERDICT_ERROR] = "ours: the scenario or the tool could not go on",
	[VERDICT_FAIL] = "a MUST was broken; the clause is named, and it failed twice: each failure is played once more, alone and with more patience",
	[VERDICT_FIXED] = "--known lists the test as failing, and it no longer does: delete the line",
	[VERDICT_UNSTABLE] = "failed once, and not again; both transcripts are shown",
	[VERDICT_INCONCLUSIVE] = "could not be judged: set-up refused, target stalled, killed from outside",
	[VERDICT_KNOWN] = "a fail that --known lists as accepted",
	[VERDICT_WARN] = "a SHOULD, or an offence that went undetected where the standard does not force the check; still conformant",
	[VERDICT_PASS] = "the feature was seen, and it was right",
	[VERDICT_SKIP] = "the target says that it does not offer what the test needs; the evidence is given",
};

void result_init(struct result *result, uint64_t now_ns)
{
	*result = (struct result){ .verdict = VERDICT_INCONCLUSIVE, .started_ns = now_ns };
	result->last_event = &result->events;
}

void result_release(struct result *result)
{
	if (result->before) {
		result_release(result->before);
		result->before = NULL;
	}
	recording_free(result->recording);
	result->recording = NULL;
	region_release(&result->region);
}

const char *result_text(struct result *result, const char *format, ...)
{
	char text[2048];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	return region_string(&result->region, span_text(text));
}

void result_note(struct result *result, const char *text)
{
	for (uint32_t i = 0; i < result->n_notes; i++)
		if (!strcmp(result->notes[i], text))
			return;
	if (result->n_notes >= 32)
		return;
	const char **notes = region_alloc(&result->region, (result->n_notes + 1) * sizeof(*notes));
	if (result->n_notes)
		memcpy(notes, result->notes, result->n_notes * sizeof(*notes));
	notes[result->n_notes++] = region_string(&result->region, span_text(text));
	result->notes = notes;
}

void result_event(struct result *result, uint64_t now_ns, enum event_kind kind, unsigned actor, unsigned version, struct span bytes)
{
	size_t kept = bytes.len < MAX_KEPT ? bytes.len : MAX_KEPT;

	if (result->event_bytes + kept > MAX_EVENT_BYTES) {
		result->events_cut = true;
		return;
	}
	struct event *e = region_alloc(&result->region, sizeof(*e) + kept);
	*e = (struct event){
		.at_ns = now_ns - result->started_ns, .kind = (uint8_t)kind, .actor = (uint16_t)actor,
		.version = (uint8_t)version, .len = (uint32_t)kept, .whole = (uint32_t)bytes.len,
	};
	if (kept)
		memcpy(e->bytes, bytes.at, kept);
	*result->last_event = e;
	result->last_event = &e->next;
	result->event_bytes += sizeof(*e) + kept;
}
