#include "harness/play.h"

#include <stdlib.h>
#include <string.h>

/* Strands: lines of control move through steps, loops and groups. */

enum { TURN = 1000 };		/* steps that a strand takes before others have their turn */

/* ---- moving through the steps ---- */

static bool strand_enter(struct timeline *t, struct strand *s, const struct step *block, uint64_t turn, uint64_t end)
{
	if (s->depth == MAX_DEPTH || end > UINT32_MAX) {
		give_up(t, VERDICT_ERROR, block, s->depth == MAX_DEPTH ? "blocks are nested too deep" : "a loop of so many turns never ends");
		return false;
	}
	if (s->depth == s->cap_frames) {
		s->cap_frames = s->cap_frames ? s->cap_frames * 2 : 2;
		s->frames = realloc(s->frames, s->cap_frames * sizeof(*s->frames));
		if (!s->frames)
			abort();
	}
	s->frames[s->depth++] = (struct frame_of_step){ block, (uint32_t)turn, (uint32_t)end };
	s->step = block->children;
	return true;
}

/* Names bound inside a loop live for one turn. */
static void forget_names(struct timeline *t, const struct step *step)
{
	for (; step; step = step->next) {
		for (uint32_t i = 0; i < step->n_matches; i++)
			if (step->matches[i].bind >= 0)
				t->slots[step->matches[i].bind].bound = false;
		if (step->bind_moment >= 0)
			t->slots[step->bind_moment].bound = false;
		forget_names(t, step->children);
	}
}

/* The step is done: on to the next one, out of blocks that have ended and round loops. */
static void advance(struct timeline *t, struct strand *s)
{
	const struct step *done = s->step;

	s->phase = 0;
	s->probing = 0;
	for (;;) {
		if (s->single && s->depth == s->floor) {
			s->step = NULL;
			return;
		}
		if (done->next) {
			s->step = done->next;
			return;
		}
		if (s->depth == s->floor) {
			s->step = NULL;
			return;
		}
		struct frame_of_step *f = &s->frames[s->depth - 1];
		if (f->owner->kind == STEP_REPEAT && f->turn < f->end) {
			f->turn++;
			forget_names(t, f->owner->children);
			s->step = f->owner->children;
			return;
		}
		done = f->owner;
		s->depth--;
	}
}

/* Not of a block, and not of what no actor does: `wait` and `note` are steps of nobody. */
static bool is_actors(const struct step *step)
{
	switch (step->kind) {
	case STEP_REPEAT: case STEP_BLOCK: case STEP_UNORDERED: case STEP_EITHER:
	case STEP_WAIT: case STEP_NOTE: case STEP_WARN: case STEP_SKIP: case STEP_TARGET_LIVES:
		return false;
	default:
		return true;
	}
}

void step_done(struct timeline *t, struct strand *s)
{
	const struct step *step = s->step;

	if (is_actors(step)) {
		t->actors[s->taken_by].last_step_ns = t->stage->loop->now_ns;
		/* A `maybe` stays open until the actor's next step is done. */
		if (!s->is_maybe && step->kind != STEP_MAYBE)
			for (struct strand *o = t->strands; o; o = o->next)
				if (o->is_maybe && o->state == STRAND_WAITS && !o->phase && o->want.actors & 1u << s->taken_by)
					o->state = STRAND_DONE;
	}
	if (step->bind_moment >= 0)
		bind_slot(t, step->bind_moment, &(struct value){ .kind = VALUE_NUMBER, .number = t->stage->loop->now_ns });
	s->state = STRAND_RUNS;
	advance(t, s);
}

/* ---- strands come and go ---- */

static struct strand *strand_add(struct timeline *t, struct strand *parent, const struct step *step, bool first)
{
	struct strand *s = calloc(1, sizeof(*s));

	if (!s)
		abort();
	s->parent = parent;
	s->step = step;
	s->single = true;
	if (first) {
		s->next = t->strands;
		t->strands = s;
		return s;
	}
	/* In the order of the file, before the strand that waits for them. */
	struct strand **at = &t->strands;
	while (*at && *at != parent)
		at = &(*at)->next;
	s->next = *at;
	*at = s;
	return s;
}

void strand_cancel(struct timeline *t, struct strand *s)
{
	for (struct strand *o = t->strands; o; o = o->next)
		if (o->parent == s && o->state != STRAND_DONE)
			strand_cancel(t, o);
	s->state = STRAND_DONE;
}

void strands_sweep(struct timeline *t)
{
	for (struct strand **at = &t->strands; *at;) {
		struct strand *s = *at;

		if (s->state != STRAND_DONE || s == &t->main) {
			at = &s->next;
			continue;
		}
		*at = s->next;
		for (struct strand *o = t->strands; o; o = o->next)
			if (o->parent == s)	/* a `maybe` that is still open */
				o->parent = s->parent;
		free(s->frames);
		free(s);
	}
}

void strand_choose_arm(struct timeline *t, struct strand *s)
{
	for (; s; s = s->parent) {
		if (!s->is_arm || s->chosen)
			continue;
		s->chosen = true;
		for (struct strand *o = t->strands; o; o = o->next)
			if (o->parent == s->parent && o != s && o->is_arm)
				strand_cancel(t, o);
	}
}

/* The loops around a step, for the names in it, as they stand when it begins. */
static void inherit_frames(struct strand *s)
{
	const struct strand *p = s->parent;

	if (!p->depth)
		return;
	s->frames = malloc(p->depth * sizeof(*s->frames));
	if (!s->frames)
		abort();
	memcpy(s->frames, p->frames, p->depth * sizeof(*s->frames));
	s->depth = s->floor = s->cap_frames = p->depth;
}

static void child_done(struct timeline *t, struct strand *s)
{
	struct strand *parent = s->parent;

	if (s->is_arm)
		strand_choose_arm(t, s);
	s->state = STRAND_DONE;
	if (s->is_maybe || !parent || parent->state != STRAND_JOINS)
		return;
	if (--parent->n_children == 0) {
		step_done(t, parent);
		strand_run(t, parent);
	}
}

/* Items of `unordered`; a loop directly in it gives one item for each turn. */
static bool add_items(struct timeline *t, struct strand *s, const struct step *items)
{
	for (const struct step *item = items; item; item = item->next) {
		uint64_t from = 0, to = 0;
		bool loop = item->kind == STEP_REPEAT;

		if (loop && (!eval_number(t, s, item->from, &from) || !eval_number(t, s, item->to, &to)))
			return false;
		if (loop && (from > to || to == UINT64_MAX))
			continue;
		for (uint64_t i = from; i <= to; i++) {
			struct strand *child = strand_add(t, s, item, false);

			if (loop && !strand_enter(t, child, item, i, i))
				return false;
			s->n_children++;
		}
	}
	return true;
}

static void begin_group(struct timeline *t, struct strand *s)
{
	const struct step *step = s->step;

	s->state = STRAND_JOINS;
	s->n_children = 0;
	if (step->kind == STEP_UNORDERED) {
		if (!add_items(t, s, step->children))
			return;
	} else {
		for (const struct step *arm = step->children; arm; arm = arm->next) {
			struct strand *child = strand_add(t, s, arm, false);

			child->is_arm = true;
		}
		s->n_children = 1;
	}
	if (!s->n_children) {
		step_done(t, s);
		return;
	}
	for (struct strand *o = t->strands; o && !t->over; o = o->next)
		if (o->parent == s && o->state == STRAND_RUNS)
			strand_run(t, o);
}

void strand_run(struct timeline *t, struct strand *s)
{
	for (unsigned n = 0; !t->over && s->state == STRAND_RUNS; n++) {
		const struct step *step = s->step;
		uint64_t from, to;

		if (n == TURN) {		/* a long loop of sends must not starve the rest */
			timeline_wake(t);
			return;
		}

		if (!step) {
			if (s == &t->main) {
				s->state = STRAND_DONE;
				timeline_wake(t);
			} else {
				child_done(t, s);
			}
			return;
		}
		switch (step->kind) {
		case STEP_BLOCK:
			if (!step->children)
				advance(t, s);
			else
				strand_enter(t, s, step, 0, 0);
			break;
		case STEP_REPEAT:
			if (!eval_number(t, s, step->from, &from) || !eval_number(t, s, step->to, &to))
				return;
			if (from > to || to == UINT64_MAX || !step->children) {
				advance(t, s);
				break;
			}
			forget_names(t, step->children);
			strand_enter(t, s, step, from, to);
			break;
		case STEP_UNORDERED: case STEP_EITHER:
			begin_group(t, s);
			break;
		case STEP_MAYBE: {
			struct strand *m = strand_add(t, s, step->children, true);

			m->is_maybe = true;
			inherit_frames(m);
			s->taken_by = step->children->actor;
			strand_run(t, m);
			s->state = STRAND_RUNS;
			advance(t, s);
			break;
		}
		default:
			s->taken_by = step->actor;
			strand_begin_step(t, s);
		}
	}
}
