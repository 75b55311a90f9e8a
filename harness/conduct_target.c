#include "harness/conduct_internal.h"

#include <stdio.h>

/* The target's life: who serves, what becomes of the tests in flight when it dies, and which of them it died of. */

enum {
	MAX_RESTARTS = 10,
	DEATH_NS = 100000000,	/* a process's connections end before we hear that it died: so long a test's verdict waits */
	LATE_DEATH_NS = 500000000,	/* that of one that did not pass: a busy machine, or a sanitizer's report, delays the news */
	MAX_DEATHS = 20,	/* such waits, where nobody listens any more */
};

/* What the probe found stands: the tests begin, or the run ends. */
static void go_by_probe(struct conductor *c, const struct instance *in)
{
	struct job *stalled = c->stalled;
	char why[400];

	if (in->offers.why[0] && c->process && c->served && !c->stopped) {
		process_kill(c->process, in->offers.why);	/* on_gone() follows */
		return;
	}
	c->waiting = false;
	c->served = !in->offers.why[0];
	if (stalled && c->served) {
		c->stalled = NULL;
		job_conclude(c, stalled);
	}
	if (in->offers.why[0]) {
		if (c->done->restarts || c->n_verdicts || c->queue[TURN_SUSPECT].first)
			snprintf(why, sizeof(why), "%s: the target is gone (%s)", c->o->label, in->offers.why);
		else
			snprintf(why, sizeof(why), "%s: %s%s", c->o->label, in->offers.why, c->o->local && c->o->user_name
			         ? "; it has users of its own, and other ones only with --broker '--users FILE'" : "");
		conductor_unable(c, why);
	}
	loop_post(&c->loop, &c->pump);
}

static void on_probed(void *context)
{
	struct instance *in = context;
	struct conductor *c = in->conductor;

	in->ready = true;
	in->probing = false;
	c->n_probing--;
	if (c->process && in->offers.cut) {	/* perhaps it died of the probe, and that says more than a connection's end */
		c->waiting = true;
		loop_timer(&c->loop, &c->gone, c->loop.now_ns + DEATH_NS);
	} else {
		go_by_probe(c, in);
	}
}

void target_on_gone(struct timer *timer, struct loop *loop)
{
	struct conductor *c = (struct conductor *)((char *)timer - offsetof(struct conductor, gone));

	if (c->n_dying < MAX_DEATHS && !process_listens(c->process)) {
		c->n_dying++;
		loop_timer(loop, timer, loop->now_ns + DEATH_NS);
		return;
	}
	go_by_probe(c, c->instances);
}

void target_probe_drop(struct conductor *c, struct instance *in)
{
	probe_free(in->probe);
	in->probe = NULL;
	c->n_probing -= in->probing;
	in->probing = false;
}

void target_probe(struct conductor *c, struct instance *in)
{
	struct methods own = { 0 };
	char name[24];

	methods_add(&own, in->needs, in->n_needs);
	conductor_name(c, name);
	target_probe_drop(c, in);
	in->ready = false;
	in->probing = true;
	c->n_probing++;
	in->probe = probe_start(&in->stage, c->versions, in->n_needs ? &own : &c->methods, name, &in->offers, on_probed, in);
}

static void target_killed_by(struct conductor *c, struct job *job, const char *how)
{
	struct result *r = &job->outcome->result;

	r->verdict = VERDICT_FAIL;
	r->rule = "survives";
	r->rule_version = job->outcome->script->version;
	r->expected = "the target goes on serving whatever a client sends";
	r->received = r->reason = result_text(r, "the target %s", how);
	r->because = NULL;
	for (uint32_t i = 0; i < r->n_clauses; i++)	/* what a dying target does says nothing about them */
		if (r->clauses[i].verdict < VERDICT_PASS)
			r->clauses[i].verdict = VERDICT_INCONCLUSIVE;
	c->killer_found = true;
	job_tell(c, job);
}

/*
 * One death proves nothing: it may be the late end of what an earlier test began, or come of nothing that a client sent.
 * So who was played alone when the target died is played alone once more, against the next process.
 */
void target_accuse(struct conductor *c, struct job *job, const char *how)
{
	struct result *r = &job->outcome->result;

	if (job->accused) {
		target_killed_by(c, job, how);
		return;
	}
	job->accused = true;
	r->verdict = VERDICT_UNSTABLE;		/* stands if it cannot be played again */
	r->rule = NULL;
	r->because = r->reason = result_text(r, "the target %s while this was played alone, and it was not played again", how);
	for (uint32_t i = 0; i < r->n_clauses; i++)
		if (r->clauses[i].verdict < VERDICT_PASS)
			r->clauses[i].verdict = VERDICT_INCONCLUSIVE;
	job_push_front(c, TURN_SUSPECT, job);
}

void target_acquit(struct conductor *c, struct job *job)
{
	job->accused = false;
	result_note(&job->outcome->result, "the target died once while only this was played, and did not the next time");
	snprintf(c->done->survives, sizeof(c->done->survives), "the target died (%s), and did not when the only test in flight was played again",
	         c->death);
}

/* If only one test was in flight it was played alone already. */
static void count_suspects(struct conductor *c, bool of_suspect)
{
	struct job *first = c->queue[TURN_SUSPECT].first;

	c->n_suspects = 0;
	for (const struct job *job = first; job; job = job->next)
		c->n_suspects++;
	if (c->n_suspects == 1 && !of_suspect)
		first->accused = true;
}

/* The tests that had ended when the target died, so shortly before that they may be the cause, or suffered from it. */
static void judge_ended(struct conductor *c, enum process_event event, const char *how)
{
	struct job *next, *job = c->ended.first;

	c->ended.first = NULL;
	c->ended.last = &c->ended.first;
	c->refused = false;
	loop_timer_stop(&c->loop, &c->settle);
	for (; job; job = next) {
		struct result *r = &job->outcome->result;

		next = job->next;
		if (event == PROCESS_DIED && job->suspect) {
			target_accuse(c, job, how);
			continue;
		}
		if (event == PROCESS_DIED || r->target_gone) {	/* or it came when the target was gone already */
			job->suspect = true;
			job_enqueue(c, TURN_SUSPECT, job);
			continue;
		}
		if (r->verdict < VERDICT_WARN) {
			r->verdict = VERDICT_INCONCLUSIVE;
			r->rule = NULL;
			r->because = r->reason = result_text(r, "the target %s", how);
			for (uint32_t i = 0; i < r->n_clauses; i++)
				if (r->clauses[i].verdict < VERDICT_WARN)
					r->clauses[i].verdict = VERDICT_INCONCLUSIVE;
		}
		job_tell(c, job);
	}
}

static void on_gone(struct conductor *c, enum process_event event, const char *how)
{
	/* Suspects are played alone. */
	bool of_suspect = c->stalled || (c->n_running && c->running[0]->suspect) || (c->ended.first && c->ended.first->suspect);
	struct job *stalled = c->stalled;

	c->waiting = true;
	target_probe_drop(c, c->instances);
	loop_timer_stop(&c->loop, &c->gone);
	c->n_suspects = 0;
	c->killer_found = c->served = false;
	c->n_dying = 0;
	c->stalled = NULL;
	snprintf(c->death, sizeof(c->death), "%s", how);
	if (stalled && event == PROCESS_DIED)
		target_accuse(c, stalled, how);
	else if (stalled)
		job_enqueue(c, TURN_SUSPECT, stalled);
	judge_ended(c, event, how);
	while (c->n_running) {
		struct job *job = c->running[c->n_running - 1];
		char why[400];

		job->deadly = event == PROCESS_DIED && job->suspect;
		job->suspect |= event == PROCESS_DIED;
		snprintf(why, sizeof(why), "the target %s", how);
		timeline_abort(job->timeline, VERDICT_INCONCLUSIVE, why);
	}
	if (event == PROCESS_DIED)
		count_suspects(c, of_suspect);
	if (c->stopped)
		return;
	if (++c->done->restarts > MAX_RESTARTS) {
		char why[400];

		snprintf(why, sizeof(why), "%s: ended %d times and is not started again; the last time it %s", c->o->label, MAX_RESTARTS + 1, how);
		conductor_unable(c, why);
		return;
	}
	process_restart(c->process);
}

void target_on_process(void *context, enum process_event event, const char *how)
{
	struct conductor *c = context;

	switch (event) {
	case PROCESS_READY:
		target_probe(c, c->instances);
		break;
	case PROCESS_STARTED_NOT:
		conductor_unable(c, how);
		break;
	case PROCESS_DIED: case PROCESS_KILLED:
		if (c->o->findings)
			finding_process(c, event, how);
		else
			on_gone(c, event, how);
		break;
	}
}

/* A connection was refused or nothing answers: is anybody there? With a process we would have heard. */
void target_check(struct conductor *c)
{
	if (c->waiting || c->stopped || c->o->local)
		return;
	c->waiting = true;
	target_probe(c, c->instances);
}

void target_settle_all(struct conductor *c)
{
	struct job *job;

	loop_timer_stop(&c->loop, &c->settle);
	if (c->stalled)
		job_conclude(c, c->stalled);
	c->stalled = NULL;
	while ((job = job_take_first(&c->ended)))
		job_settle(c, job);
}

void target_on_settle(struct timer *timer, struct loop *loop)
{
	struct conductor *c = (struct conductor *)((char *)timer - offsetof(struct conductor, settle));

	while (c->ended.first && c->ended.first->settles_ns <= loop->now_ns) {
		struct job *job = c->ended.first;

		/* Its listener is gone and its parent has not told us yet: a busy machine, or a core to be written. */
		if (job->outcome->result.verdict < VERDICT_WARN && c->n_dying < MAX_DEATHS && !process_listens(c->process)) {
			c->n_dying++;
			loop_timer(loop, timer, loop->now_ns + DEATH_NS);
			return;
		}
		job_settle(c, job_take_first(&c->ended));
	}
	if (c->ended.first)
		loop_timer(loop, timer, c->ended.first->settles_ns);
	else
		c->refused = false;
}

void target_hold(struct conductor *c, struct job *job)
{
	job->settles_ns = c->loop.now_ns + (job->outcome->result.verdict < VERDICT_WARN ? LATE_DEATH_NS : DEATH_NS);
	if (!c->ended.first)
		loop_timer(&c->loop, &c->settle, job->settles_ns);
	job_append(&c->ended, job);
	c->refused |= job->outcome->result.target_gone;
}
