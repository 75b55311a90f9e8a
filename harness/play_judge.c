#include "harness/play.h"

#include <stdarg.h>
#include <stdio.h>

/* Verdicts: what a step's outcome means for the clauses it judges, and the end of a timeline. */

void judge_passed(struct timeline *t, const struct step *step)
{
	t->judged |= step->marks;
}

static void end_with(struct timeline *t, enum verdict verdict, const struct step *step)
{
	t->result->verdict = verdict;
	if (step)
		t->result->at = step->at;
	t->over = true;
	timeline_wake(t);
}

void give_up(struct timeline *t, enum verdict verdict, const struct step *step, const char *format, ...)
{
	char text[1024];
	va_list args;

	if (t->over)
		return;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	t->result->reason = result_text(t->result, "%s", text);
	end_with(t, verdict, step);
}

static const char *first_clause(const struct timeline *t, uint32_t marks)
{
	for (uint32_t i = 0; i < t->script->n_cites; i++)
		if (marks & 1u << i)
			return t->script->cites[i];
	return NULL;
}

static void describe(struct timeline *t, const struct step *step, const struct mismatch *m)
{
	struct result *r = t->result;
	const struct actor_state *a = step ? &t->actors[step->actor] : NULL;

	r->expected = m->expected ? m->expected : step->text;
	r->received = m->received;
	r->because = m->because;
	if (a && a->conn.end) {
		char text[160];

		conn_end_text(&a->conn, text, sizeof(text));
		r->end_of_connection = result_text(r, "%s", text);
	}
}

void judge_failed(struct timeline *t, const struct strand *s, const struct step *step, const struct mismatch *m)
{
	if (t->over)
		return;
	(void)s;
	if (t->finding && m->judged) {
		finding_failed(t, step, m);
		give_up(t, VERDICT_FAIL, step, "%s", m->because ? m->because : m->received);	/* and plays on */
		return;
	}
	describe(t, step, m);
	if (!m->judged || !step->marks) {
		give_up(t, VERDICT_INCONCLUSIVE, step, "a step that sets up did not go as it should: %s", m->because ? m->because : m->received);
		return;
	}
	t->failed |= step->marks;
	t->result->rule = first_clause(t, step->marks);
	t->result->rule_version = t->script->version;
	give_up(t, VERDICT_FAIL, step, "%s", m->because ? m->because : m->received);
}

void judge_undetected(struct timeline *t, const struct step *step, const char *how)
{
	struct mismatch m = { .received = how, .because = "the broker did not act on what was wrong", .judged = true };
	bool fails = false;

	if (!step->marks) {
		judge_failed(t, NULL, step, &m);
		return;
	}
	for (uint32_t i = 0; i < t->script->n_cites; i++) {
		if (!(step->marks & 1u << i))
			continue;
		const struct clause *clause = clause_find(t->script->version, span_text(t->script->cites[i]));
		if (!clause || clause->undetected_fails)
			fails = true;
	}
	if (fails) {
		judge_failed(t, NULL, step, &m);
		return;
	}
	describe(t, step, &m);
	t->warned |= step->marks;
	t->judged |= step->marks;
	t->result->rule = first_clause(t, step->marks);
	t->result->rule_version = t->script->version;
	give_up(t, VERDICT_WARN, step, "undetected, which the standard does not forbid: %s", how);
}

static struct actor_state *actor_of(struct monitor *monitor)
{
	struct conn *c = (struct conn *)((char *)monitor - offsetof(struct conn, monitor));

	return (struct actor_state *)((char *)c - offsetof(struct actor_state, conn));
}

static struct timeline *timeline_of(struct monitor *monitor)
{
	struct actor_state *a = actor_of(monitor);

	return a->conn.events == &actor_events ? a->timeline : NULL;	/* a prober asks whether the target serves, and judges nothing */
}

void judge_violation(void *owner, struct monitor *monitor, const struct violation *v)
{
	struct timeline *t = timeline_of(monitor);

	(void)owner;
	if (!t || t->end_reported)
		return;
	if (t->finding) {
		finding_violated(actor_of(monitor), v);
		return;
	}
	if (t->capture)
		capture_violated(t, actor_of(monitor), v);
	if (t->breach)
		return;
	struct breach *breach = region_alloc(&t->region, sizeof(*breach));
	*breach = (struct breach){ result_text(t->result, "%s", v->clause), result_text(t->result, "%s", v->text), v->version };
	t->breach = breach;
	bool ours = v->version == t->script->version || (v->version == MQTT_3_1_1 && t->script->version == MQTT_3_1);
	for (uint32_t i = 0; ours && i < t->script->n_cites; i++)
		if (!strcmp(t->script->cites[i], v->clause))
			t->failed |= 1u << i;
}

/*
 * A violation does not end the timeline: the step that it concerns may prove its own clause broken, and says more.
 * Where none did, the monitor's is the verdict.
 */
static void judge_breach(struct timeline *t)
{
	const struct breach *b = t->breach;
	struct result *r = t->result;

	if (!b || r->verdict == VERDICT_ERROR)
		return;
	if (r->verdict == VERDICT_FAIL && r->rule) {	/* a step's own */
		if (strcmp(r->rule, b->clause))
			result_note(r, result_text(r, "the monitor: %s: %s", b->clause, b->text));
		return;
	}
	r->verdict = VERDICT_FAIL;
	r->rule = b->clause;
	r->rule_version = b->version;
	r->expected = NULL;		/* the rule says it */
	r->received = b->text;
	r->because = NULL;
	r->reason = b->text;
}

/* ---- the end ---- */

/* Marks of the steps that a strand would still have come to. */
static uint32_t marks_ahead(const struct step *step)
{
	uint32_t marks = 0;

	for (; step; step = step->next)
		marks |= step->marks | marks_ahead(step->children);
	return marks;
}

static uint32_t marks_left(const struct timeline *t)
{
	uint32_t marks = 0;

	for (const struct strand *s = t->strands; s; s = s->next) {
		if (s->state == STRAND_DONE || s->is_maybe)
			continue;
		if (s->step)
			marks |= s->single ? s->step->marks | marks_ahead(s->step->children) : marks_ahead(s->step);
		for (unsigned i = 0; i < s->depth; i++)
			marks |= marks_ahead(s->frames[i].owner->next);
	}
	return marks;
}

static void clause_verdicts(struct timeline *t)
{
	const struct script *script = t->script;
	struct result *r = t->result;
	uint32_t left = t->over ? marks_left(t) : 0;
	enum verdict worst = VERDICT_SKIP;

	r->clauses = region_alloc(&r->region, (script->n_cites + script->n_watches + 1) * sizeof(*r->clauses));
	for (uint32_t i = 0; i < script->n_cites; i++) {
		uint32_t bit = 1u << i;
		enum verdict v = t->failed & bit ? VERDICT_FAIL
		               : r->verdict == VERDICT_WARN && t->warned & bit ? VERDICT_WARN
		               : left & bit ? VERDICT_INCONCLUSIVE
		               : t->warned & bit ? VERDICT_WARN
		               : t->judged & bit ? VERDICT_PASS
		               : t->over ? VERDICT_INCONCLUSIVE
		               : VERDICT_SKIP;		/* played to its end: only an arm that was not taken would have judged it */

		if (r->verdict == VERDICT_SKIP && v == VERDICT_INCONCLUSIVE)
			v = VERDICT_SKIP;
		r->clauses[r->n_clauses++] = (struct clause_verdict){ script->cites[i], v };
		worst = verdict_worse(worst, v);
	}
	for (uint32_t i = 0; i < script->n_watches; i++) {
		int64_t held = monitor_held(t->log, script->version, span_text(script->watches[i]));
		bool broken = t->breach && monitor_implies(script->version, t->breach->clause, script->watches[i]);
		enum verdict v = broken ? VERDICT_FAIL : held > 0 ? VERDICT_PASS : VERDICT_SKIP;

		r->clauses[r->n_clauses++] = (struct clause_verdict){ script->watches[i], v };
		worst = verdict_worse(worst, v);
	}
	if (!t->over) {
		r->verdict = worst;
		if (worst == VERDICT_SKIP)
			r->reason = "the target made no use of what this test is about";
	} else if (r->verdict == VERDICT_WARN) {
		r->verdict = verdict_worse(VERDICT_WARN, worst);
	}
}

void finish(struct timeline *t)
{
	if (t->end_reported)
		return;
	t->end_reported = true;
	if (t->capture)
		capture_finish(t);
	else if (t->finding)
		finding_finish(t);
	else
		clause_verdicts(t);
	if (!t->over && t->warned && t->result->verdict > VERDICT_WARN)
		t->result->verdict = VERDICT_WARN;
	judge_breach(t);
	t->over = true;
	t->result->duration_ns = t->stage->loop->now_ns - t->result->started_ns;
	loop_timer_stop(t->stage->loop, &t->timer);
	for (uint32_t i = 0; i < t->script->n_actors; i++)
		if (t->actors[i].ever_opened)
			conn_close(&t->actors[i].conn, false);
	if (t->probe_state)
		probe_end(t);
	exchange_end(t);
	t->ended(t, t->owner);
}
