#include "harness/play_capture.h"

#include <stdlib.h>

/* Who may go, and when. */

enum { TURN = 200 };	/* steps before the loop has its turn */

static void *must(void *at)
{
	if (!at)
		abort();
	return at;
}

/* ---- the order ---- */

static uint32_t index_of(const struct player *pl)
{
	return (uint32_t)(pl - pl->play->players);
}

static void wake(struct player *pl)
{
	struct capture_play *c = pl->play;

	if (!pl->woken) {
		pl->woken = true;
		pl->next_woken = NULL;
		*c->last_woken = pl;
		c->last_woken = &pl->next_woken;
	}
	timeline_wake(c->timeline);
}

void capture_wake(struct actor_state *a)
{
	wake(&a->timeline->capture->players[a->number]);
}

static void set_state(struct player *pl, enum player_state state)
{
	struct capture_play *c = pl->play;

	if (pl->state == PLAYER_READY && state != PLAYER_READY)
		order_set(&c->ready, index_of(pl), NO_STEP);
	if (state == PLAYER_READY)
		order_set(&c->ready, index_of(pl), pl->number);
	pl->state = (uint8_t)state;
}

enum {
	ACTS = 1 << PART_SEND | 1 << PART_END | 1 << PART_EXCHANGE | 1 << PART_REMARK,
	HOLDS_UP = 1 << PART_END | 1 << PART_ANSWER | 1 << PART_EXCHANGE | 1 << PART_REMARK,
};

/* The first step from the player's on that is one of the parts; none stands before at. */
static uint32_t next_of(const struct player *pl, uint32_t at, unsigned parts)
{
	const struct capture_step *steps = pl->play->capture->steps;

	if (pl->number == NO_STEP)
		return NO_STEP;
	while (at != NO_STEP && (at < pl->number || !(parts & 1u << steps[at].part)))
		at = steps[at].next;
	return at;
}

static uint32_t least(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

static void set_place(struct player *pl)
{
	struct capture_play *c = pl->play;

	pl->answer = next_of(pl, pl->answer, HOLDS_UP);
	pl->send = next_of(pl, pl->send, ACTS);
	order_set(&c->answers, index_of(pl), pl->adrift || capture_has_open(pl) ? NO_STEP : least(pl->answer, capture_aside_answer(pl)));
	order_set(&c->sends, index_of(pl), least(pl->send, capture_aside_send(pl)));
}

static void set_adrift(struct player *pl, bool adrift)
{
	if (pl->adrift == adrift)
		return;
	pl->adrift = adrift;
	set_place(pl);
}

static void set_openable(struct player *pl)
{
	order_set(&pl->play->openable, index_of(pl), pl->timeless && capture_may_leave_open(pl) ? pl->number : NO_STEP);
}

static void set_timeless(struct player *pl, bool timeless)
{
	if (pl->timeless == timeless)
		return;
	pl->timeless = timeless;
	order_set(&pl->play->timeless, index_of(pl), timeless ? pl->number : NO_STEP);
	set_openable(pl);
}

/* The step is done. */
void capture_advance(struct player *pl)
{
	struct capture_play *c = pl->play;

	loop_timer_stop(c->timeline->stage->loop, &pl->timer);
	set_timeless(pl, false);
	region_release(&pl->region);
	pl->step = NULL;
	pl->phase = 0;
	pl->late = false;
	pl->number = c->capture->steps[pl->number].next;
	set_state(pl, pl->number == NO_STEP ? PLAYER_DONE : PLAYER_LOOKS);
	set_adrift(pl, false);
	set_place(pl);
	c->n_left -= pl->number == NO_STEP;
}

/* ---- waiting ---- */

static void on_timer(struct timer *timer, struct loop *loop)
{
	(void)loop;
	wake((struct player *)((char *)timer - offsetof(struct player, timer)));
}

void capture_rests(struct player *pl, enum player_state state, uint64_t due_ns)
{
	set_state(pl, state);
	pl->due_ns = due_ns;
	loop_timer(pl->play->timeline->stage->loop, &pl->timer, due_ns);
}

uint64_t capture_held_time(const struct timeline *t)
{
	return slackened(t, t->stage->timeout_ns) / HELD_SHARE;
}

static bool waits_for_delivery(const struct player *pl)
{
	return pl->play->capture->steps[pl->number].part == PART_DELIVERY;
}

uint64_t capture_patience(struct player *pl)
{
	struct timeline *t = pl->play->timeline;
	uint64_t ns = t->stage->timeout_ns;

	if (pl->step->within && !eval_number(t, &pl->strand, pl->step->within, &ns))
		capture_survives(t);
	return slackened(t, ns) >> pl->n_missed[waits_for_delivery(pl)];
}

static void start_clock(struct player *pl)
{
	struct timeline *t = pl->play->timeline;

	capture_rests(pl, PLAYER_WAITS, now(t) + capture_patience(pl));
	pl->held_ns = UINT64_MAX;
	if (waits_for_delivery(pl) && now(t) + capture_held_time(t) < pl->due_ns) {
		pl->held_ns = now(t) + capture_held_time(t);
		loop_timer(t->stage->loop, &pl->timer, pl->held_ns);
	}
}

void capture_waits(struct player *pl)
{
	if (!waits_for_delivery(pl)) {
		start_clock(pl);
		return;
	}
	set_state(pl, PLAYER_WAITS);
	pl->due_ns = pl->held_ns = UINT64_MAX;
	set_timeless(pl, true);
}

/* Of those before whose delivery nothing is to be sent any more, time runs. */
static void start_clocks(struct capture_play *c)
{
	uint32_t at;

	while ((at = order_least(&c->timeless)) < order_least(&c->sends)) {
		struct player *pl = &c->players[c->capture->steps[at].actor];

		set_timeless(pl, false);
		start_clock(pl);
	}
}

/* Only who waits, or whose turn has come, holds a step: the others may be many. */
const struct step *capture_step(struct player *pl)
{
	if (!pl->step)
		pl->step = capture_read(pl->play->reader, pl->number, &pl->region);
	return pl->step;
}

/* ---- a player's way ---- */

static bool waits_of_nobody(const struct player *pl)
{
	return !pl->actor;
}

static bool acts(const struct player *pl)
{
	return ACTS & 1u << pl->play->capture->steps[pl->number].part;
}

/* For the target's Receive Maximum. False: it still waits. */
static bool held(struct player *pl)
{
	if (capture_is_gone(pl) || capture_has_room(pl, pl->step)) {
		set_state(pl, PLAYER_READY);
	} else if (now(pl->play->timeline) >= pl->due_ns) {
		capture_no_room(pl);
		capture_advance(pl);
	} else {
		return false;
	}
	return true;
}

/* ---- at its step, by its state; false: it has to wait ---- */

/* What cannot come any more, or can wait beside the way. False: it is neither. */
static bool stands_aside(struct player *pl)
{
	capture_step(pl);
	if (capture_cannot_come(pl))
		pl->play->replayed->n_passed_over++;
	else if (!capture_put_aside(pl))
		return false;
	capture_advance(pl);
	return true;
}

static bool begins(struct player *pl)
{
	if (pl->asides && !capture_passes(pl))
		return false;
	if (pl->n_held)			/* it is an acknowledgement, and what waits for its turn may wait for it */
		capture_act(pl);
	else
		set_state(pl, PLAYER_READY);
	return true;
}

static bool takes(struct player *pl)
{
	if (capture_take(pl)) {
		capture_advance(pl);
	} else if (capture_is_gone(pl)) {
		capture_pass_over(pl);
	} else {
		capture_waits(pl);
		return false;
	}
	return true;
}

static bool sends(struct player *pl)
{
	if (pl->step->kind == STEP_DROPS || pl->step->kind == STEP_CLOSES) {
		capture_leave(pl);
		return pl->state != PLAYER_SENDS;
	}
	if (!pl->actor->conn.end && !conn_idle(&pl->actor->conn)) {
		if (now(pl->play->timeline) < pl->due_ns)
			return false;
		capture_notes(pl, "the target does not read: %zu bytes wait to be sent", pl->actor->conn.unsent);
	}
	capture_advance(pl);
	return true;
}

static bool waits(struct player *pl)
{
	struct timeline *t = pl->play->timeline;

	if (waits_of_nobody(pl) ? now(t) >= pl->due_ns : capture_take(pl)) {
		capture_advance(pl);
	} else if (waits_of_nobody(pl)) {
		return false;
	} else if (capture_is_gone(pl)) {
		capture_pass_over(pl);
	} else if (now(t) >= pl->due_ns) {
		pl->late = true;
		if (!capture_take(pl))
			capture_expired(pl);
		capture_advance(pl);
	} else if (now(t) >= pl->held_ns && !pl->adrift) {
		set_adrift(pl, true);
		pl->play->stuck = true;
		loop_timer(t->stage->loop, &pl->timer, pl->due_ns);
	} else if (pl->adrift && capture_may_leave_open(pl)) {
		capture_leave_open(pl);
	} else {
		set_openable(pl);
		return false;
	}
	return true;
}

static bool goes_on(struct player *pl)
{
	if (pl->state == PLAYER_LOOKS && (pl->asides || pl->kept_back) && stands_aside(pl))
		return true;
	if (pl->state == PLAYER_LOOKS && acts(pl))
		return begins(pl);
	capture_step(pl);
	switch (pl->state) {
	case PLAYER_HELD:  return held(pl);
	case PLAYER_LOOKS: return takes(pl);
	case PLAYER_SENDS: return sends(pl);
	default:           return waits(pl);
	}
}

/* Something has happened, or its time is up: as far as it goes without its turn. */
static void look(struct player *pl)
{
	if (pl->asides) {
		capture_asides(pl);
		set_place(pl);
	}
	while (pl->state != PLAYER_READY && pl->state != PLAYER_DONE && !pl->play->timeline->over && goes_on(pl))
		;
}

static void look_all(struct capture_play *c)
{
	while (c->woken && !c->timeline->over) {
		struct player *pl = c->woken;

		c->woken = pl->next_woken;
		if (!c->woken)
			c->last_woken = &c->woken;
		pl->woken = false;
		look(pl);
	}
}

/* Somebody has waited for long. What he waits for may be what another one owes, who waits for a delivery that comes only later. */
static void leave_open(struct capture_play *c)
{
	uint32_t at;

	c->stuck = false;
	while ((at = order_least(&c->openable)) != NO_STEP) {
		struct player *pl = &c->players[c->capture->steps[at].actor];

		capture_leave_open(pl);
		wake(pl);
	}
}

/* All is played. What still comes was not captured; and where connections were refused, whether anybody is there. */
static void settle_down(struct capture_play *c)
{
	struct timeline *t = c->timeline;
	struct player *nobody = &c->players[t->script->n_actors];

	if (!c->settling) {
		c->settling = true;
		c->replayed->duration_ns = now(t) - t->result->started_ns;
		nobody->due_ns = now(t) + capture_held_time(t);
		loop_timer(t->stage->loop, &nobody->timer, nobody->due_ns);
	}
	if (c->n_refused && !c->asked) {
		c->asked = true;
		t->probe_state = PROBE_NONE;
		probe_target(t);
		nobody->due_ns = now(t) + slackened(t, t->stage->timeout_ns);
		loop_timer(t->stage->loop, &nobody->timer, nobody->due_ns);
	}
	if (c->asked && t->probe_state == PROBE_ASKED && now(t) < nobody->due_ns)
		return;
	if (c->asked && t->probe_state != PROBE_SERVED) {
		t->result->target_gone = true;
		give_up(t, VERDICT_INCONCLUSIVE, NULL, "the target is gone: it refuses connections");
	}
	if (c->asked || now(t) >= nobody->due_ns)
		finish(t);
}

void capture_go(struct timeline *t)
{
	struct capture_play *c = t->capture;

	for (unsigned n = 0; !t->over; n++) {
		look_all(c);
		start_clocks(c);
		if (c->stuck) {
			leave_open(c);
			continue;
		}
		uint32_t next = least(order_least(&c->ready), order_least(&c->held));
		if (next == NO_STEP || next > order_least(&c->answers))
			break;
		if (n >= TURN) {
			timeline_wake(t);
			return;
		}
		unsigned actor = c->capture->steps[next].actor;
		struct player *pl = &c->players[actor == NOBODY ? t->script->n_actors : actor];

		if (next == order_least(&c->held)) {
			wake(pl);
			continue;
		}
		set_state(pl, PLAYER_LOOKS);
		capture_act(pl);
		wake(pl);
	}
	if (t->over)
		finish(t);
	else if (!c->n_left)
		settle_down(c);
}

/* ---- from first to last ---- */

struct capture_play *capture_play_new(struct timeline *t)
{
	const struct script *script = t->script;
	struct capture_play *c = must(calloc(1, sizeof(*c)));
	uint32_t n = script->n_actors + 1;

	c->timeline = t;
	c->capture = script->capture;
	c->reader = capture_reader_new(script);
	c->players = must(calloc(n, sizeof(*c->players)));
	c->last_woken = &c->woken;
	order_init(&c->ready, n);
	order_init(&c->answers, n);
	order_init(&c->sends, n);
	order_init(&c->timeless, n);
	order_init(&c->openable, n);
	order_init(&c->held, n);
	c->replayed = region_alloc(&t->result->region, sizeof(*c->replayed));
	c->replayed->last_difference = &c->replayed->differences;
	c->replayed->last_breach = &c->replayed->breaches;
	for (uint32_t i = 0; i < n; i++) {
		struct player *pl = &c->players[i];

		pl->play = c;
		pl->actor = i < script->n_actors ? &t->actors[i] : NULL;
		pl->timer.fire = on_timer;
		pl->number = pl->answer = pl->send = c->capture->first[i];
		pl->state = pl->number == NO_STEP ? PLAYER_DONE : PLAYER_LOOKS;
		c->n_left += pl->number != NO_STEP;
		set_place(pl);
		if (pl->number != NO_STEP) {
			pl->woken = true;
			*c->last_woken = pl;
			c->last_woken = &pl->next_woken;
		}
	}
	return c;
}

void capture_play_free(struct timeline *t)
{
	struct capture_play *c = t->capture;

	if (!c)
		return;
	for (uint32_t i = 0; i <= t->script->n_actors; i++) {
		loop_timer_stop(t->stage->loop, &c->players[i].timer);
		region_release(&c->players[i].region);
		free(c->players[i].aliases);
		capture_asides_free(&c->players[i]);
		capture_forget_limits(&c->players[i]);
	}
	capture_reader_free(c->reader);
	order_release(&c->ready);
	order_release(&c->answers);
	order_release(&c->sends);
	order_release(&c->timeless);
	order_release(&c->openable);
	order_release(&c->held);
	free(c->players);
	free(c);
	t->capture = NULL;
}

void capture_finish(struct timeline *t)
{
	struct capture_play *c = t->capture;
	struct replayed *r = c->replayed;

	for (uint32_t i = 0; i < t->script->n_actors; i++) {
		loop_timer_stop(t->stage->loop, &c->players[i].timer);
		capture_asides_free(&c->players[i]);
		capture_unasked(&c->players[i]);
	}
	loop_timer_stop(t->stage->loop, &c->players[t->script->n_actors].timer);
	r->n_connections = t->n_opened;
	r->n_sent = t->n_sent;
	r->n_received = t->n_received;
	if (!c->settling)
		r->duration_ns = now(t) - t->result->started_ns;
	t->result->replayed = r;
	if (!t->over)
		t->result->verdict = VERDICT_PASS;
}
