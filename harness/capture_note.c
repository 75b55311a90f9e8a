#include "harness/play_capture.h"

#include <stdarg.h>
#include <stdio.h>

/* What is said of a capture that is played: how the target differs from the one that was captured, and which rules it breaks. */

void capture_differs(struct player *pl, const char *expected, const char *received, const char *because)
{
	struct replayed *r = pl->play->replayed;
	struct result *result = pl->play->timeline->result;
	struct difference *d;

	if (r->n_differences++ >= MAX_DIFFERENCES)
		return;
	d = region_alloc(&result->region, sizeof(*d));
	*d = (struct difference){ .at = pl->step->at, .expected = expected ? expected : result_text(result, "%s", capture_said(pl)),
	                          .received = received, .because = because };
	*r->last_difference = d;
	r->last_difference = &d->next;
}

void capture_notes(struct player *pl, const char *format, ...)
{
	struct replayed *r = pl->play->replayed;
	struct result *result = pl->play->timeline->result;
	struct difference *d;
	char text[1024];
	va_list args;

	if (r->n_differences++ >= MAX_DIFFERENCES)
		return;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	d = region_alloc(&result->region, sizeof(*d));
	*d = (struct difference){ .what = result_text(result, "%s", text) };
	if (pl->step)
		d->at = pl->step->at;
	*r->last_difference = d;
	r->last_difference = &d->next;
}

const char *capture_said(const struct player *pl)
{
	struct timeline *t = pl->play->timeline;

	if (pl->step->type != CONNECT && pl->step->kind != STEP_TOGETHER && pl->step->kind != STEP_BYTES)
		return pl->step->text;
	return result_text(t->result, "%s %s", t->script->actors[pl->actor->number].name,
	                   pl->step->kind == STEP_CONNECTS ? "connects" : pl->step->kind == STEP_SEND ? "-> CONNECT" : "-> ...");
}

const char *capture_survives(struct timeline *t)
{
	const char *why = t->result->reason;

	if (!t->over || t->end_reported)
		return NULL;
	t->over = false;
	t->result->reason = NULL;
	t->result->verdict = VERDICT_INCONCLUSIVE;
	t->result->at = (struct place){ 0 };
	t->result->target_gone = false;
	return why ? why : "it could not be played";
}

void capture_violated(struct timeline *t, const struct actor_state *a, const struct violation *v)
{
	struct capture_play *c = t->capture;
	struct player *pl = &c->players[a->number];
	struct replayed *r = c->replayed;
	struct breach_seen *b;

	for (b = r->breaches; b; b = b->next)
		if (b->version == v->version && !strcmp(b->clause, v->clause)) {
			b->n++;
			return;
		}
	if (r->n_breaches++ >= MAX_BREACHES)
		return;
	b = region_alloc(&t->result->region, sizeof(*b));
	*b = (struct breach_seen){
		.clause = result_text(t->result, "%s", v->clause), .text = result_text(t->result, "%s", v->text), .version = v->version,
		.actor = t->script->actors[a->number].name, .n = 1,
	};
	if (pl->number != NO_STEP)
		b->at.line = c->capture->steps[pl->number].line;
	*r->last_breach = b;
	r->last_breach = &b->next;
}
