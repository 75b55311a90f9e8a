#include "harness/play.h"

#include <stdlib.h>

/* Strands: lines of control, who waits for which arrival, and time. */

/* ---- moving through the steps ---- */

bool strand_enter(struct timeline *t, struct strand *s, const struct step *block, uint64_t turn, uint64_t end)
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
		if (s->single && !s->depth) {
			s->step = NULL;
			return;
		}
		if (done->next) {
			s->step = done->next;
			return;
		}
		if (!s->depth) {
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

	if (step->kind != STEP_REPEAT && step->kind != STEP_BLOCK && step->kind != STEP_UNORDERED && step->kind != STEP_EITHER) {
		t->actors[s->taken_by].last_step_ns = t->stage->loop->now_ns;
		if (step->bind_moment >= 0)
			bind_slot(t, step->bind_moment, &(struct value){ .kind = VALUE_NUMBER, .number = t->stage->loop->now_ns });
		/* A `maybe` stays open until the actor's next step is done. */
		if (!s->is_maybe && step->kind != STEP_MAYBE)
			for (struct strand *o = t->strands; o; o = o->next)
				if (o->is_maybe && o->state == STRAND_WAITS && !o->phase && o->want.actors & 1u << s->taken_by)
					o->state = STRAND_DONE;
	}
	s->state = STRAND_RUNS;
	advance(t, s);
}

/* ---- strands come and go ---- */

struct strand *strand_add(struct timeline *t, struct strand *parent, const struct step *step, bool first)
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

static void sweep(struct timeline *t)
{
	for (struct strand **at = &t->strands; *at;) {
		struct strand *s = *at;

		if (s->state != STRAND_DONE || s == &t->main) {
			at = &s->next;
			continue;
		}
		*at = s->next;
		free(s->frames);
		free(s);
	}
}

/* The first arrival has chosen: the other arms are not played. */
static void choose_arm(struct timeline *t, struct strand *s)
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

static void child_done(struct timeline *t, struct strand *s)
{
	struct strand *parent = s->parent;

	if (s->is_arm)
		choose_arm(t, s);
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
		if (loop && from > to)
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
	while (!t->over && s->state == STRAND_RUNS) {
		const struct step *step = s->step;
		uint64_t from, to;

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

/* ---- arrivals are offered ---- */

static bool waits_for(const struct strand *s, const struct actor_state *a, const struct arrival *in)
{
	if (s->state != STRAND_WAITS || !(s->want.actors & 1u << a->number))
		return false;
	if (s->step->kind == STEP_CLOSED || s->step->kind == STEP_NOTHING || s->want.kind != in->kind)
		return false;
	return in->kind != ANSWER || !s->want.has_id || s->want.packet_id == in->packet_id || !owed(a, in->packet_id);
}

static void refused(struct timeline *t, struct strand *only, unsigned n, const struct mismatch *m)
{
	struct mismatch several = *m;

	if (n > 1) {
		several.expected = result_text(t->result, "any of the %u arrivals that are waited for here", n);
		several.because = "it fits none of them";
	}
	judge_failed(t, only, only->step, &several);
}

static bool awaits_close(const struct timeline *t, const struct actor_state *a)
{
	for (const struct strand *s = t->strands; s; s = s->next)
		if (s->state == STRAND_WAITS && s->step->kind == STEP_CLOSED && s->want.actors & 1u << a->number)
			return true;
	return false;
}

/* Offers one arrival to who waits for its kind. True: somebody took it, or the timeline is over. */
static bool offer(struct timeline *t, struct actor_state *a, struct arrival *in)
{
	struct mismatch first = { 0 };
	struct strand *blamed = NULL;
	struct packet packet = { 0 };
	unsigned n = 0;

	if (in->type && !arrival_decode(a, in, &packet))
		return false;
	for (struct strand *s = t->strands; s; s = s->next) {
		struct mismatch m = { 0 };

		if (!waits_for(s, a, in))
			continue;
		if (in->kind == ANSWER && s->want.has_id && s->want.packet_id != in->packet_id) {
			/* An answer for an id that is not open: nobody can want it. */
			m = (struct mismatch){ .received = packet_text(t, &packet, FROM_SERVER), .judged = true,
			                       .because = result_text(t->result, "packet_id: %u is not one that waits for an answer", in->packet_id) };
		} else if (strand_offer(t, s, a, in, &packet, &m)) {
			choose_arm(t, s);
			strand_accept(t, s, a, in, &packet);
			return true;
		}
		if (t->over)
			return true;
		if (s->is_maybe)
			continue;
		n++;
		if (!blamed) {
			blamed = s;
			first = m;
		}
	}
	if (!blamed)
		return false;
	/* [3.1.1 4.4] a live connection may carry the same PUBLISH again: latitude that holds everywhere. */
	if (in->kind == DELIVERY && seen_before(a, &packet)) {
		result_note(t->result, "a PUBLISH was sent again on a live connection, as 3.1.1 permits");
		inbox_take(a, in);
		return true;
	}
	if (in->kind == CONNECTION && awaits_close(t, a))
		return false;		/* another arm's `closed` judges it */
	refused(t, blamed, n, &first);
	return true;
}

static bool offer_all(struct timeline *t)
{
	for (uint32_t i = 0; i < t->script->n_actors; i++) {
		struct actor_state *a = &t->actors[i];
		uint8_t tried = 0;

		for (struct arrival *in = a->in; in; in = in->next) {
			if (in->kind != ANSWER && tried & 1u << in->kind)
				continue;	/* only the oldest of its kind is up */
			tried |= 1u << in->kind;
			if (offer(t, a, in))
				return true;
		}
	}
	return false;
}

/* Those who wait on a connection that has ended wait in vain. */
static bool bury(struct timeline *t)
{
	for (struct strand *s = t->strands; s; s = s->next) {
		if (s->state != STRAND_WAITS || s->is_maybe || s->step->kind == STEP_CLOSED || s->step->kind == STEP_NOTHING ||
		    s->want.kind == CONNECTION)
			continue;
		bool alive = false;
		for (uint32_t i = 0; i < t->script->n_actors; i++)
			alive |= (s->want.actors & 1u << i) && !t->actors[i].ended;
		if (alive)
			continue;
		if (s->is_arm) {	/* another arm may still be chosen */
			unsigned left = 0;

			for (struct strand *o = t->strands; o; o = o->next)
				left += o != s && o->parent == s->parent && o->is_arm && o->state != STRAND_DONE;
			if (left) {
				strand_cancel(t, s);
				return true;
			}
		}
		const struct actor_state *a = &t->actors[s->step->actor];
		char text[160];
		struct packet packet;
		const struct arrival *last = NULL;

		for (const struct arrival *in = a->in; in; in = in->next)
			if (in->kind == CONNECTION && in->type == DISCONNECT)
				last = in;
		conn_end_text(&a->conn, text, sizeof(text));
		struct mismatch m = {
			.judged = s->step->kind == STEP_EXPECT || s->step->kind == STEP_RECEIVES,
			.received = last && arrival_decode(a, last, &packet)
			          ? result_text(t->result, "%s, then %s", packet_text(t, &packet, FROM_SERVER), text) : result_text(t->result, "%s", text),
			.because = "the connection ended first",
		};
		judge_failed(t, s, s->step, &m);
		return true;
	}
	return false;
}

void poll_strands(struct timeline *t)
{
	bool again = true;

	while (again && !t->over) {
		again = offer_all(t);		/* who waits for an arrival has it before `closed` and `nothing` look at what is left */
		for (struct strand *s = t->strands; s && !t->over && !again; s = s->next) {
			if (s->state == STRAND_SENDS && conn_idle(&t->actors[s->step->actor].conn)) {
				if (s->step->kind == STEP_DROPS || s->step->kind == STEP_CLOSES)
					s->state = STRAND_RUNS;		/* now it can leave */
				else
					step_done(t, s);
				strand_run(t, s);
				again = true;
				break;
			}
			if (s->state != STRAND_WAITS)
				continue;
			if (s->step->kind == STEP_CLOSED)
				check_closed(t, s);
			else if (s->step->kind == STEP_NOTHING)
				check_nothing(t, s);
			else if (s->probing)
				check_probe(t, s);
			if (s->state == STRAND_RUNS) {
				choose_arm(t, s);
				strand_run(t, s);
				again = true;
				break;
			}
		}
		if (!again && !t->over)
			again = bury(t);
	}
	sweep(t);
	if (t->main.state == STRAND_DONE || t->over)
		finish(t);
}

/* ---- time ---- */

void timeline_due(struct timeline *t, uint64_t due_ns)
{
	if (!t->timer.slot || due_ns < t->timer.due_ns)
		loop_timer(t->stage->loop, &t->timer, due_ns);
}

/* The first strand whose time is up goes on; false when there is none. */
static bool wake_due(struct timeline *t, uint64_t now_ns)
{
	for (struct strand *s = t->strands; s; s = s->next) {
		if ((s->state != STRAND_SLEEPS && s->state != STRAND_WAITS) || s->due_ns > now_ns)
			continue;
		if (s->state == STRAND_SLEEPS)
			step_done(t, s);
		else
			want_expired(t, s);
		if (s->state == STRAND_RUNS)
			strand_run(t, s);
		return true;
	}
	return false;
}

static void on_timer(struct timer *timer, struct loop *loop)
{
	struct timeline *t = (struct timeline *)((char *)timer - offsetof(struct timeline, timer));
	uint64_t next = UINT64_MAX;

	poll_strands(t);	/* what has arrived in the same wake-up counts as in time */
	while (!t->end_reported && !t->over && wake_due(t, loop->now_ns))
		poll_strands(t);
	if (t->over)
		finish(t);
	if (t->end_reported)
		return;
	for (struct strand *s = t->strands; s; s = s->next)
		if ((s->state == STRAND_SLEEPS || s->state == STRAND_WAITS) && s->due_ns < next)
			next = s->due_ns;
	if (next != UINT64_MAX)
		timeline_due(t, next);
}

static void on_task(struct task *task, struct loop *loop)
{
	struct timeline *t = (struct timeline *)((char *)task - offsetof(struct timeline, task));

	(void)loop;
	if (t->end_reported)
		return;
	if (t->main.state == STRAND_RUNS)
		strand_run(t, &t->main);
	poll_strands(t);
}

void timeline_wake(struct timeline *t)
{
	loop_post(t->stage->loop, &t->task);
}

/* ---- life ---- */

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
	t->seed = seed;
	t->actors = script->n_actors ? calloc(script->n_actors, sizeof(*t->actors)) : NULL;
	t->slots = script->n_slots ? calloc(script->n_slots, sizeof(*t->slots)) : NULL;
	if ((script->n_actors && !t->actors) || (script->n_slots && !t->slots))
		abort();
	for (uint32_t i = 0; i < script->n_actors; i++) {
		struct actor_state *a = &t->actors[i];

		a->timeline = t;
		a->number = (uint8_t)i;
		a->version = script->actors[i].version;
		a->last_in = &a->in;
	}
	t->main.step = script->steps;
	t->strands = &t->main;
	t->timer.fire = on_timer;
	t->task.run = on_task;
	t->log = stage->log ? stage->log : calloc(1, sizeof(*t->log));
	if (!t->log)
		abort();
	t->log->violated = judge_violation;
	return t;
}

void timeline_start(struct timeline *t)
{
	for (uint32_t i = 0; i < t->script->n_actors; i++)
		t->actors[i].last_step_ns = t->stage->loop->now_ns;
	t->result->started_ns = t->active_ns = t->stage->loop->now_ns;
	if (t->stage->target_lives)
		t->stage->target_lives(t->stage->context, &t->grown_from);
	timeline_wake(t);
}

void timeline_abort(struct timeline *t, enum verdict verdict, const char *why)
{
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
	free(t->prober);
	free(t->actors);
	free(t->slots);
	free(t);
}

void timeline_free(struct timeline *t)
{
	t->end_reported = true;
	loop_timer_stop(t->stage->loop, &t->timer);
	for (uint32_t i = 0; i < t->script->n_actors; i++) {
		if (t->actors[i].ever_opened)
			conn_close(&t->actors[i].conn, false);
		inbox_clear(&t->actors[i]);
		free(t->actors[i].open);
		free(t->actors[i].seen);
	}
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

uint64_t timeline_active_ns(const struct timeline *t)
{
	return t->active_ns;
}

void timeline_left_behind(const struct timeline *t, void (*session)(void *context, struct span client_id, enum version version),
                          void (*retained)(void *context, struct span topic, enum version version), void *context)
{
	for (uint32_t i = 0; i < t->script->n_actors; i++)
		if (t->actors[i].session_kept)
			session(context, t->actors[i].client_id, t->actors[i].version);
	for (const struct left_topic *l = t->left_topics; l; l = l->next)
		retained(context, l->topic, l->version);
}
