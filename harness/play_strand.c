#include "harness/play.h"

#include <stdlib.h>
#include <string.h>

/* Strands: lines of control move through steps, loops and groups. */

enum {
	TURN = 1000,		/* steps that a strand takes before others have their turn */
	MAX_ITEMS = 1000000,	/* of one loop in `unordered`: each turn is a strand */
};

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

void step_done(struct timeline *t, struct strand *s)
{
	const struct step *step = s->step;

	if (step_traits[step->kind].acts) {
		t->actors[s->taken_by].last_step_ns = t->stage->loop->now_ns;
		/* A `maybe` stays open until the actor's next step is done. */
		if (!s->is_maybe && t->n_maybes)
			for (struct strand *o = t->strands; o; o = o->next)
				if (o->is_maybe && o->state == STRAND_WAITS && !o->phase && o->want.actors & 1u << s->taken_by)
					strand_end(t, o);
	}
	if (step->bind_moment >= 0)
		bind_slot(t, step->bind_moment, &(struct value){ .kind = VALUE_NUMBER, .number = t->stage->loop->now_ns });
	s->state = STRAND_RUNS;
	advance(t, s);
}

/* ---- strands come and go ---- */

/* Before *at, which is moved on: the next is added behind it. */
static struct strand *strand_add(struct timeline *t, struct strand *parent, const struct step *step, struct strand ***at)
{
	struct strand *s = calloc(1, sizeof(*s));

	if (!s)
		abort();
	s->parent = parent;
	s->step = step;
	s->single = true;
	s->next = **at;
	**at = s;
	*at = &s->next;
	t->n_strands++;
	return s;
}

/* Where the strands of a group go: in the order of the file, before the one that waits for them. */
static struct strand **place_before(struct timeline *t, const struct strand *parent)
{
	struct strand **at = &t->strands;

	while (*at != parent)
		at = &(*at)->next;
	return at;
}

void strand_end(struct timeline *t, struct strand *s)
{
	t->n_done += s->state != STRAND_DONE && s != &t->main;
	s->state = STRAND_DONE;
}

void strand_cancel(struct timeline *t, struct strand *s)
{
	if (s->state == STRAND_JOINS || t->n_maybes)
		for (struct strand *o = t->strands; o; o = o->next)
			if (o->parent == s && o->state != STRAND_DONE)
				strand_cancel(t, o);
	strand_end(t, s);
}

static void sweep_one(struct timeline *t, struct strand **at)
{
	struct strand *s = *at;

	*at = s->next;
	if (t->n_maybes)		/* one that is still open may outlive who began it */
		for (struct strand *o = t->strands; o; o = o->next)
			if (o->parent == s)
				o->parent = s->parent;
	t->n_maybes -= s->is_maybe;
	t->n_strands--;
	t->n_done--;
	free(s->frames);
	free(s);
}

/* All of them only when they are many: of thousands, each poll ends one. */
void strands_sweep(struct timeline *t)
{
	struct strand **at = &t->strands;

	while (t->n_done && *at != &t->main && (*at)->state == STRAND_DONE)
		sweep_one(t, at);
	if (!t->n_done || (t->n_strands > 64 && t->n_done < t->n_strands / 4))
		return;
	while (*at)
		if ((*at)->state == STRAND_DONE && *at != &t->main)
			sweep_one(t, at);
		else
			at = &(*at)->next;
}

struct strand *strand_open_arm(struct timeline *t, struct strand *s)
{
	for (; s; s = s->parent) {
		if (!s->is_arm || s->chosen)
			continue;
		for (const struct strand *o = t->strands; o; o = o->next)
			if (o != s && o->parent == s->parent && o->is_arm && o->state != STRAND_DONE)
				return s;
	}
	return NULL;
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
	strand_end(t, s);
	if (s->is_maybe || !parent || parent->state != STRAND_JOINS)
		return;
	if (--parent->n_children == 0) {
		step_done(t, parent);
		if (!parent->moving)
			strand_run(t, parent);
	}
}

/* Items of `unordered`; a loop directly in it gives one item for each turn. */
static bool add_items(struct timeline *t, struct strand *s, const struct step *items)
{
	struct strand **at = place_before(t, s);

	for (const struct step *item = items; item; item = item->next) {
		uint64_t from = 0, to = 0;
		bool loop = item->kind == STEP_REPEAT;

		if (loop && (!eval_number(t, s, item->from, &from) || !eval_number(t, s, item->to, &to)))
			return false;
		if (loop && (from > to || to == UINT64_MAX))
			continue;
		if (to - from >= MAX_ITEMS) {
			give_up(t, VERDICT_ERROR, item, "more than %d turns of a loop in any order", MAX_ITEMS);
			return false;
		}
		for (uint64_t i = from; i <= to; i++) {
			struct strand *child = strand_add(t, s, item, &at);

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
		struct strand **at = place_before(t, s);

		for (const struct step *arm = step->children; arm; arm = arm->next)
			strand_add(t, s, arm, &at)->is_arm = true;
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

/* A `maybe` is first in line, and from now on open beside what follows. */
static void begin_maybe(struct timeline *t, struct strand *s)
{
	struct strand **front = &t->strands, *m = strand_add(t, s, s->step->children, &front);

	m->is_maybe = true;
	t->n_maybes++;
	inherit_frames(m);
	s->taken_by = s->step->children->actor;
	strand_run(t, m);
	advance(t, s);
}

static void begin_repeat(struct timeline *t, struct strand *s)
{
	const struct step *step = s->step;
	uint64_t from, to;

	if (!eval_number(t, s, step->from, &from) || !eval_number(t, s, step->to, &to))
		return;
	if (from > to || to == UINT64_MAX || !step->children) {
		advance(t, s);
		return;
	}
	forget_names(t, step->children);
	strand_enter(t, s, step, from, to);
}

static void take_step(struct timeline *t, struct strand *s)
{
	const struct step *step = s->step;

	switch (step->kind) {
	case STEP_BLOCK:
		if (!step->children)
			advance(t, s);
		else
			strand_enter(t, s, step, 0, 0);
		break;
	case STEP_REPEAT:
		begin_repeat(t, s);
		break;
	case STEP_UNORDERED: case STEP_EITHER:
		begin_group(t, s);
		break;
	case STEP_MAYBE:
		begin_maybe(t, s);
		break;
	default:
		s->taken_by = step->actor;
		strand_begin_step(t, s);
	}
}

void strand_run(struct timeline *t, struct strand *s)
{
	s->moving = true;
	for (unsigned n = 0; !t->over && s->state == STRAND_RUNS && s->step; n++) {
		if (n == TURN) {		/* a long loop of sends must not starve the rest */
			timeline_wake(t);
			break;
		}
		take_step(t, s);
	}
	s->moving = false;
	if (t->over || s->step || s->state != STRAND_RUNS)
		return;
	if (s == &t->main) {
		s->state = STRAND_DONE;
		timeline_wake(t);
	} else {
		child_done(t, s);
	}
}
