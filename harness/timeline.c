#include "harness/timeline.h"

#include <stdlib.h>

#include "harness/play.h"

/* A timeline's life, from its script to what it leaves behind. */

struct timeline *timeline_new(const struct stage *stage, const struct script *script, const char *name, uint64_t seed,
                              struct result *result, void (*ended)(struct timeline *t, void *owner), void *owner)
{
	struct timeline *t = calloc(1, sizeof(*t));

	if (!t)
		abort();
	t->stage = stage;
	t->script = script;
	t->result = result;
	t->ended = ended;
	t->owner = owner;
	size_t len = strlen(name) < 20 ? strlen(name) : 20;
	memcpy(t->name, name, len);
	t->topic = span_of(t->name, len);
	t->seed = seed;
	t->actors = script->n_actors ? calloc(script->n_actors, sizeof(*t->actors)) : NULL;
	t->slots = script->n_slots ? calloc(script->n_slots, sizeof(*t->slots)) : NULL;
	if ((script->n_actors && !t->actors) || (script->n_slots && !t->slots))
		abort();
	for (uint32_t i = 0; i < script->n_actors; i++) {
		struct actor_state *a = &t->actors[i];

		a->timeline = t;
		a->number = (uint16_t)i;
		a->version = script->actors[i].version;
		a->last_in = &a->in;
	}
	t->main.step = script->steps;
	t->strands = &t->main;
	t->timer.fire = timeline_on_timer;
	t->task.run = timeline_on_task;
	t->log = stage->log ? stage->log : calloc(1, sizeof(*t->log));
	if (!t->log)
		abort();
	t->log->violated = judge_violation;
	t->tap = stage->tap;
	t->exchange_wanted = REACHED_CONNACK;
	if (script->capture)
		t->capture = capture_play_new(t);
	if (script->finding)
		finding_new(t);
	return t;
}

void timeline_tap(struct timeline *t, struct tap *tap)
{
	t->tap = tap;
}

static bool asks_health(const struct step *step)
{
	for (; step; step = step->next)
		if (step->kind == STEP_TARGET_LIVES || asks_health(step->children))
			return true;
	return false;
}

void timeline_start(struct timeline *t)
{
	for (uint32_t i = 0; i < t->script->n_actors; i++)
		t->actors[i].last_step_ns = t->stage->loop->now_ns;
	t->result->started_ns = t->active_ns = t->stage->loop->now_ns;
	if (asks_health(t->script->steps))
		lives_prepare(t);
	if (t->finding)
		finding_start(t);
	timeline_wake(t);
}

void timeline_abort(struct timeline *t, enum verdict verdict, const char *why)
{
	if (t->finding)
		t->finding->aborted = true;
	give_up(t, verdict, NULL, "%s", why);
	finish(t);
}

static void reap(struct task *task, struct loop *loop)
{
	struct timeline *t = (struct timeline *)((char *)task - offsetof(struct timeline, reaper));

	(void)loop;
	region_release(&t->region);
	if (!t->stage->log)
		free(t->log);
	free(t->actors);
	free(t->slots);
	free(t->left);
	free(t);
}

void timeline_free(struct timeline *t)
{
	t->end_reported = true;
	loop_timer_stop(t->stage->loop, &t->timer);
	capture_play_free(t);
	for (uint32_t i = 0; i < t->script->n_actors; i++) {
		if (t->actors[i].ever_opened)
			conn_close(&t->actors[i].conn, false);
		inbox_clear(&t->actors[i]);
		free(t->actors[i].open);
		free(t->actors[i].seen);
		free(t->actors[i].claimant);
	}
	probe_end(t);
	exchange_end(t);
	finding_free(t);
	while (t->strands) {
		struct strand *s = t->strands;

		t->strands = s->next;
		free(s->frames);
		if (s != &t->main)
			free(s);
	}
	/* Its task may still be posted: the storage goes when nothing can name it any more. */
	t->reaper.run = reap;
	loop_reap(t->stage->loop, &t->reaper);
}

const char *timeline_name(const struct timeline *t)
{
	return t->name;
}

uint64_t timeline_active_ns(const struct timeline *t)
{
	return t->active_ns;
}

uint64_t timeline_judged_packets(const struct timeline *t)
{
	uint64_t n = 0;

	for (unsigned five = 0; five < 2; five++)
		for (unsigned type = 0; type < N_PACKET_TYPES; type++)
			n += t->log->packets[five][type];
	return n;
}

void timeline_left_behind(const struct timeline *t, void (*session)(void *context, struct span client_id, enum version version),
                          void (*retained)(void *context, struct span topic, enum version version), void *context)
{
	for (const struct left_behind *l = t->left_sessions; l; l = l->next)
		session(context, l->name, l->version);
	for (const struct left_behind *l = t->left_topics; l; l = l->next)
		retained(context, l->name, l->version);
}
