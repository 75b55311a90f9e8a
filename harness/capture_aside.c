#include "harness/play_capture.h"

#include <stdlib.h>

/*
 * What an actor has put aside, so that its later steps can go ahead: a delivery that is left open, or a PUBLISH that is held until
 * nothing before it is open and the target's Receive Maximum has room; and with each the steps that belong to it, in their order:
 * those that name what the delivery binds, those that have the PUBLISH's packet id.
 */

enum { MAX_ASIDES = 4096 };	/* of one actor */

struct aside {
	struct aside *next;
	struct player *player;
	struct timer timer;
	uint32_t *steps;		/* those at [at..n) are still to be played */
	uint32_t n, cap, at;
	const struct step *step;	/* the one at hand; NULL: not read yet */
	struct region region;		/* it lies here */
	uint64_t due_ns;		/* its time is up; 0: it has not begun to wait; UINT64_MAX: its time does not run yet */
	uint64_t held_ns;		/* of an open delivery: from then on what is nearly it will do */
	int32_t slot;			/* the name that the delivery binds; -1 */
	uint16_t packet_id;		/* of a held PUBLISH; 0 */
	bool held;
};

static struct timeline *timeline_of(const struct aside *as)
{
	return as->player->play->timeline;
}

static void on_timer(struct timer *timer, struct loop *loop)
{
	(void)loop;
	capture_wake(((struct aside *)((char *)timer - offsetof(struct aside, timer)))->player->actor);
}

static void rests(struct aside *as, uint64_t until_ns)
{
	loop_timer(timeline_of(as)->stage->loop, &as->timer, until_ns);
}

static void append(struct aside *as, uint32_t step)
{
	if (as->n == as->cap) {
		as->cap = as->cap ? 2 * as->cap : 4;
		as->steps = realloc(as->steps, as->cap * sizeof(*as->steps));
		if (!as->steps)
			abort();
	}
	as->steps[as->n++] = step;
}

/* Begun with the player's step, which the caller then leaves. */
static struct aside *begin(struct player *pl)
{
	struct aside *as = calloc(1, sizeof(*as)), **last = &pl->asides;

	if (!as)
		abort();
	as->player = pl;
	as->timer.fire = on_timer;
	as->slot = -1;
	append(as, pl->number);
	while (*last)
		last = &(*last)->next;
	*last = as;
	pl->n_asides++;
	pl->play->n_left++;
	return as;
}

static bool is_open(const struct aside *as)
{
	return !as->held && !as->at;
}

static bool is_unsent(const struct aside *as)
{
	return as->held && !as->at;
}

static void end(struct aside *as)
{
	loop_timer_stop(timeline_of(as)->stage->loop, &as->timer);
	region_release(&as->region);
	as->player->n_asides--;
	as->player->n_held -= is_unsent(as);
	as->player->play->n_left--;
	free(as->steps);
	free(as);
}

void capture_asides_free(struct player *pl)
{
	while (pl->asides) {
		struct aside *as = pl->asides;

		pl->asides = as->next;
		end(as);
	}
}

/* ---- which steps belong to it ---- */

static bool expr_names(const struct expr *e, uint32_t slot)
{
	if (!e)
		return false;
	if (e->kind == EXPR_VAR)
		return e->slot == slot;
	for (uint32_t i = 0; i < e->n_items; i++)
		if (expr_names(e->items[i], slot))
			return true;
	return expr_names(e->left, slot) || expr_names(e->right, slot);
}

static bool step_names(const struct step *step, uint32_t slot)
{
	if (expr_names(step->value, slot))
		return true;
	for (uint32_t i = 0; i < step->n_assigns; i++)
		if (expr_names(step->assigns[i].value, slot))
			return true;
	for (uint32_t i = 0; i < step->n_matches; i++)
		if (expr_names(step->matches[i].pattern->value, slot))
			return true;
	for (const struct step *child = step->children; child; child = child->next)
		if (step_names(child, slot))
			return true;
	return false;
}

static bool belongs(const struct aside *as, const struct step *step, uint16_t answers)
{
	if (as->held)
		return answers && as->packet_id == answers;
	return as->slot >= 0 && (step->kind == STEP_SEND || step->kind == STEP_EXPECT || step->kind == STEP_TOGETHER) &&
	       step_names(step, (uint32_t)as->slot);
}

static bool waits_for_some(const struct player *pl)
{
	for (const struct aside *as = pl->asides; as; as = as->next)
		if (is_open(as) || is_unsent(as))
			return true;
	return false;
}

bool capture_put_aside(struct player *pl)
{
	uint16_t answers = capture_follows(pl->step) ? capture_step_id(pl->step) : 0;
	struct aside *of = NULL;

	for (struct aside *as = pl->asides; as; as = as->next)
		if (belongs(as, pl->step, answers))
			of = as;		/* a packet id may have been used before */
	if (of) {
		append(of, pl->number);
		return true;
	}
	/* Messages keep their order, and an answer does not overtake its request. */
	if (pl->step->kind != STEP_SEND || pl->step->type != PUBLISH || pl->n_asides == MAX_ASIDES || !waits_for_some(pl))
		return false;
	capture_hold(pl);
	return true;
}

bool capture_has_open(const struct player *pl)
{
	for (const struct aside *as = pl->asides; as; as = as->next)
		if (is_open(as))
			return true;
	return false;
}

bool capture_is_ack(const struct step *step)
{
	return step->kind == STEP_SEND && ((step->type >= PUBACK && step->type <= PUBCOMP) || step->type == PINGREQ);
}

static bool leaves(const struct step *step)
{
	return step->kind == STEP_DROPS || step->kind == STEP_CLOSES || step->kind == STEP_DISCONNECTS || step->kind == STEP_CONNECTS ||
	       step->kind == STEP_OPENS || (step->kind == STEP_SEND && (step->type == DISCONNECT || step->type == CONNECT));
}

static bool may_be_passed(const struct aside *as)
{
	const struct player *pl = as->player;

	return as->due_ns != UINT64_MAX && now(timeline_of(as)) >= as->held_ns && capture_owes(pl) &&
	       !(as->slot >= 0 && step_names(pl->step, (uint32_t)as->slot));
}

/* An acknowledgement always; other sends than PUBLISH only where the target may wait for what this actor has not acknowledged yet. */
bool capture_passes(const struct player *pl)
{
	if (capture_is_ack(pl->step))
		return true;
	if (leaves(pl->step))
		return false;
	for (const struct aside *as = pl->asides; as; as = as->next)
		if (is_unsent(as) || (is_open(as) && !may_be_passed(as)))
			return false;
	return true;
}

/* The first held step that is one of the parts. */
static uint32_t least_of(const struct player *pl, unsigned parts, bool behind_open)
{
	uint32_t least = NO_STEP;

	for (const struct aside *as = pl->asides; as && (behind_open || !is_open(as)); as = as->next)
		for (uint32_t i = as->at; as->held && i < as->n; i++)
			if (as->steps[i] < least && parts & 1u << pl->play->capture->steps[as->steps[i]].part)
				least = as->steps[i];
	return least;
}

uint32_t capture_aside_send(const struct player *pl)
{
	return least_of(pl, 1u << PART_SEND, true);
}

/* Nobody waits for what stands behind a delivery that is open: it may be his to bring it about. */
uint32_t capture_aside_answer(const struct player *pl)
{
	return least_of(pl, 1u << PART_ANSWER, false);
}

/* ---- beginning ---- */

bool capture_may_leave_open(const struct player *pl)
{
	return pl->step->kind == STEP_EXPECT && pl->step->type == PUBLISH && pl->n_asides < MAX_ASIDES && capture_owes(pl);
}

void capture_leave_open(struct player *pl)
{
	struct timeline *t = pl->play->timeline;
	struct aside *as = begin(pl);

	for (uint32_t i = 0; i < pl->step->n_matches; i++)
		if (pl->step->matches[i].bind >= 0)
			as->slot = pl->step->matches[i].bind;
	as->due_ns = pl->timeless ? UINT64_MAX : pl->due_ns;
	as->held_ns = now(t);
	rests(as, pl->timeless ? now(t) + capture_held_time(t) : as->due_ns);
	capture_advance(pl);
}

bool capture_may_hold(const struct player *pl)
{
	return pl->step->kind == STEP_SEND && pl->n_asides < MAX_ASIDES && (pl->n_asides || pl->n_unreleased);
}

void capture_hold(struct player *pl)
{
	struct aside *as = begin(pl);

	as->held = true;
	as->packet_id = capture_step_id(pl->step);
	pl->n_held++;
}

/* ---- playing ---- */

static void start_clock(struct aside *as, uint64_t ns)
{
	as->due_ns = now(timeline_of(as)) + ns;
	rests(as, as->due_ns);
}

/* All that is sent before the delivery is out, or not: then its time does not run. */
static bool time_runs(struct aside *as)
{
	struct timeline *t = timeline_of(as);

	if (as->due_ns != UINT64_MAX)
		return true;
	if (order_least(&as->player->play->sends) < as->steps[as->at]) {
		rests(as, now(t) + capture_held_time(t));
		return false;
	}
	as->held_ns = now(t) + capture_held_time(t);
	as->due_ns = now(t) + capture_patience(as->player);
	return true;
}

/* What follows are the player's own, with the step at hand in the place of its own. */

static bool awaited(struct aside *as)
{
	struct player *pl = as->player;
	struct timeline *t = timeline_of(as);

	pl->adrift = as->due_ns && as->due_ns != UINT64_MAX && now(t) >= as->held_ns;
	if (capture_take(pl))
		return true;
	if (!as->due_ns) {
		start_clock(as, capture_patience(pl));
	} else if (!time_runs(as)) {
		return false;
	} else if (now(t) < as->due_ns) {
		rests(as, now(t) < as->held_ns ? as->held_ns : as->due_ns);
	} else {
		pl->late = true;
		if (!capture_take(pl))
			capture_expired(pl);
		return true;
	}
	return false;
}

/* Nobody has anything to do before it. */
static bool has_turn(const struct aside *as)
{
	const struct capture_play *c = as->player->play;
	uint32_t number = as->steps[as->at];

	return number <= order_least(&c->answers) && number < order_least(&c->ready);
}

/* A PUBLISH that was held is sent when there is room, and it is its turn. */
static bool sent(struct aside *as)
{
	struct player *pl = as->player;

	if (is_unsent(as)) {
		if (!capture_has_room(pl, pl->step)) {
			if (!as->due_ns)
				start_clock(as, capture_patience(pl));
			if (now(timeline_of(as)) < as->due_ns)
				return false;
			capture_no_room(pl);
			return true;
		}
		if (!has_turn(as)) {
			order_set(&pl->play->held, pl->actor->number, as->steps[as->at]);
			return false;
		}
	}
	capture_send_aside(pl);
	return true;
}

struct at_hand {
	const struct step *step;
	uint32_t number;
	uint16_t packet_id;		/* of the exchange it is in */
	uint8_t phase, qos;
	bool late, adrift;
};

static struct at_hand change_places(struct player *pl, struct at_hand to)
{
	struct at_hand was = { pl->step, pl->number, pl->strand.packet_id, pl->phase, pl->strand.qos, pl->late, pl->adrift };

	pl->step = to.step;
	pl->number = to.number;
	pl->strand.packet_id = to.packet_id;
	pl->strand.qos = to.qos;
	pl->phase = to.phase;
	pl->late = to.late;
	pl->adrift = to.adrift;
	return was;
}

/* As far as it goes, if nothing before it keeps it. True: to its end. */
static bool play(struct aside *as)
{
	struct player *pl = as->player;
	struct capture_play *c = pl->play;

	while (as->at < as->n && !c->timeline->over) {
		bool done;

		if (!as->step)
			as->step = capture_read(c->reader, as->steps[as->at], &as->region);
		struct at_hand own = change_places(pl, (struct at_hand){ .step = as->step, .number = as->steps[as->at] });
		if (capture_cannot_come(pl)) {
			c->replayed->n_passed_over++;
			done = true;
		} else if (as->step->kind == STEP_EXPECT && capture_take(pl)) {
			done = true;
		} else if (capture_is_gone(pl)) {
			capture_says_gone(pl);
			c->replayed->n_passed_over++;
			done = true;
		} else {
			done = as->step->kind == STEP_EXPECT ? awaited(as) : sent(as);
		}
		change_places(pl, own);
		if (!done)
			return false;
		loop_timer_stop(c->timeline->stage->loop, &as->timer);
		region_release(&as->region);
		as->step = NULL;
		as->due_ns = as->held_ns = 0;
		pl->n_held -= is_unsent(as);
		as->at++;
	}
	return as->at == as->n;
}

void capture_asides(struct player *pl)
{
	bool first = true;

	order_set(&pl->play->held, pl->actor->number, NO_STEP);
	for (struct aside **at = &pl->asides; *at && !pl->play->timeline->over;) {
		struct aside *as = *at;

		if ((first || !is_unsent(as)) && play(as)) {
			*at = as->next;
			end(as);
			continue;
		}
		first &= !is_open(as) && !is_unsent(as);
		at = &as->next;
	}
}
