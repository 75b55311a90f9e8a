#include "harness/conduct_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/recording.h"

/* Jobs: where they queue, and what their results come to. */

void job_append(struct queue *q, struct job *job)
{
	job->next = NULL;
	*q->last = job;
	q->last = &job->next;
}

void job_enqueue(struct conductor *c, enum turn turn, struct job *job)
{
	job_append(&c->queue[turn], job);
}

/* Replays begin with the failures that came last: those take long to come again, and others can be played meanwhile. */
void job_push_front(struct conductor *c, enum turn turn, struct job *job)
{
	struct queue *q = &c->queue[turn];

	job->next = q->first;
	q->first = job;
	if (!job->next)
		q->last = &job->next;
}

struct job *job_take_first(struct queue *q)
{
	struct job *job = q->first;

	if (job) {
		q->first = job->next;
		if (!q->first)
			q->last = &q->first;
	}
	return job;
}

struct job *job_dequeue(struct conductor *c, enum turn turn)
{
	return job_take_first(&c->queue[turn]);
}

/* ---- names ---- */

void conductor_name(struct conductor *c, char name[24])
{
	static const char digits[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
	uint64_t run = c->names;
	unsigned n = c->n_names++;

	name[0] = 'q';
	for (int i = 1; i <= 9; i++, run /= 62)
		name[i] = digits[run % 62];
	for (int i = 13; i >= 10; i--, n /= 36)
		name[i] = digits[n % 36];
	name[14] = 0;
}

/* ---- verdicts ---- */

void job_tell(struct conductor *c, struct job *job)
{
	struct result *r = &job->outcome->result;

	if (r->verdict >= VERDICT_PASS) {
		recording_free(r->recording);
		r->recording = NULL;
	}
	c->n_verdicts++;
	if (c->o->progress)
		c->o->progress(c->o->context, job->outcome, c->n_verdicts, c->n_jobs);
}

void job_forget(struct conductor *c, struct job *job)
{
	struct result *r = &job->outcome->result, *before = r->before;

	r->before = NULL;
	result_release(r);
	result_init(r, c->loop.now_ns);
	r->before = before;
}

void job_skip(struct conductor *c, struct job *job, const char *why)
{
	struct result *r = &job->outcome->result;

	job_forget(c, job);
	r->verdict = VERDICT_SKIP;
	r->reason = result_text(r, "%s", why);
	job_tell(c, job);
}

/* A failure that does not come again is no failure of the target; both transcripts are kept. `then`: what came instead. */
static void weigh_replay(struct job *job, const char *then)
{
	struct result *r = &job->outcome->result;

	if (r->verdict == VERDICT_FAIL || !r->before || r->before->verdict != VERDICT_FAIL)
		return;
	r->reason = result_text(r, "failed once (%s), then %s", r->before->reason, then);
	r->rule = r->before->rule ? result_text(r, "%s", r->before->rule) : NULL;
	r->rule_version = r->before->rule_version;
	for (uint32_t i = 0; i < r->n_clauses; i++)
		if (i < r->before->n_clauses && r->before->clauses[i].verdict == VERDICT_FAIL)
			r->clauses[i].verdict = VERDICT_UNSTABLE;
	r->verdict = VERDICT_UNSTABLE;
}

static bool wants_replay(const struct conductor *c, const struct job *job)
{
	return c->o->replay_failures && !c->stopped && !job->replay && job->outcome->result.verdict == VERDICT_FAIL;
}

static void keep_as_before(struct job *job)
{
	struct result *before = malloc(sizeof(*before));

	if (!before)
		abort();
	*before = job->outcome->result;
	if (!before->events)
		before->last_event = &before->events;
	result_init(&job->outcome->result, 0);
	job->outcome->result.before = before;
}

void job_settle(struct conductor *c, struct job *job)
{
	/* A process may hang and live: then somebody hung it, and the suspect is told of as if the target had died. */
	if (job->suspect && job->outcome->result.target_gone && c->process && !c->stalled && !c->stopped) {
		c->stalled = job;
		target_check(c);
		return;
	}
	job_conclude(c, job);
}

void job_conclude(struct conductor *c, struct job *job)
{
	struct result *r = &job->outcome->result;

	if (job->accused && !c->stopped)
		target_acquit(c, job);
	if (job->suspect)
		c->n_stalls = r->target_gone ? c->n_stalls + 1 : 0;
	if (r->target_gone && !job->suspect && !c->stopped && !c->o->local) {
		job->suspect = true;
		job_enqueue(c, TURN_SUSPECT, job);	/* it keeps its verdict, in case it is not played again */
		target_check(c);
	} else if (wants_replay(c, job)) {
		keep_as_before(job);
		job->replay = true;
		job->suspect = false;		/* of no death: it was played by itself since */
		job_push_front(c, TURN_REPLAY, job);
	} else {
		char then[40];

		snprintf(then, sizeof(then), "came to %s", verdict_names[r->verdict]);
		weigh_replay(job, then);
		job_tell(c, job);
	}
	loop_post(&c->loop, &c->pump);
}

/* What was to be played again cannot be: it failed once, and that is all that is known of it. */
static void give_up_replays(struct conductor *c)
{
	struct job *job;

	while ((job = job_dequeue(c, TURN_REPLAY))) {
		weigh_replay(job, "the run ended before it could be played again");
		job_tell(c, job);
	}
}

void conductor_unable(struct conductor *c, const char *why)
{
	if (!c->done->unable[0])
		snprintf(c->done->unable, sizeof(c->done->unable), "%s", why);
	c->stopped = true;
	while (c->n_running)
		timeline_abort(c->running[c->n_running - 1]->timeline, VERDICT_INCONCLUSIVE, "the target is gone");
	target_settle_all(c);
	give_up_replays(c);
	loop_post(&c->loop, &c->pump);
}
