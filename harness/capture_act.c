#include "harness/play_capture.h"

#include <stdlib.h>

/* Steps that act: what each does when its turn comes. */

enum { BACKLOG = 1 << 20 };

bool capture_is_gone(const struct player *pl)
{
	return pl->actor->ever_opened && (pl->actor->ended || pl->actor->conn.end);
}

static bool opens(const struct step *step)
{
	return step->kind == STEP_OPENS || step->kind == STEP_CONNECTS || (step->kind == STEP_SEND && step->type == CONNECT) ||
	       (step->kind == STEP_TOGETHER && opens(step->children));
}

void capture_says_gone(struct player *pl)
{
	char how[160];

	if (!pl->gone) {
		conn_end_text(&pl->actor->conn, how, sizeof(how));
		capture_notes(pl, "the connection of %s is gone (%s): its steps from here on are passed over",
		              pl->play->timeline->script->actors[pl->actor->number].name, how);
		pl->play->n_refused += pl->actor->conn.end == END_REFUSED;
	}
	pl->gone = true;
}

/* A step that its connection is no more for. */
void capture_pass_over(struct player *pl)
{
	pl->play->replayed->n_passed_over++;
	capture_says_gone(pl);
	capture_advance(pl);
}

static void say_whether_sent(struct player *pl)
{
	const char *why = capture_survives(pl->play->timeline);

	if (why)
		capture_notes(pl, "`%s` could not be sent: %s", capture_said(pl), why);
}

static void after_send(struct player *pl)
{
	struct timeline *t = pl->play->timeline;
	const struct conn *c = &pl->actor->conn;

	say_whether_sent(pl);
	if (!c->end && !conn_idle(c) && (pl->step->every || c->unsent >= BACKLOG))
		capture_rests(pl, PLAYER_SENDS, now(t) + slackened(t, t->stage->timeout_ns));
	else
		capture_advance(pl);
}

/* Another one takes its place. */
static void forget_connection(struct player *pl)
{
	capture_unasked(pl);
	pl->gone = false;
	free(pl->aliases);
	pl->aliases = NULL;
	pl->cap_aliases = 0;
	capture_forget_limits(pl);
}

static void begin_send(struct player *pl)
{
	struct timeline *t = pl->play->timeline;
	const struct step *step = pl->step;

	switch (step->kind) {
	case STEP_SEND:     send_step(t, &pl->strand, step, NULL); break;
	case STEP_BYTES:    send_bytes(t, &pl->strand, step); break;
	case STEP_TOGETHER: send_together(t, &pl->strand, step); break;
	case STEP_OPENS:    actor_open(t, pl->actor); break;
	case STEP_READS:    conn_read_rate(&pl->actor->conn, step->rate); break;
	default:            break;
	}
	if (pl->actor->conn.end == END_REFUSED)
		pl->actor->ended = true;
	after_send(pl);
}

/* A name that it needs and nobody bound. */
static bool lacks_name(struct player *pl)
{
	int64_t slot = capture_unbound(pl, pl->step);
	const struct capture_name *name = &pl->play->capture->names[slot < 0 ? 0 : slot];

	if (slot < 0)
		return false;
	pl->play->replayed->n_passed_over++;
	capture_notes(pl, "`%s` is passed over: what $%.*s stands for (line %u) did not come", capture_said(pl), (int)name->len,
	              (const char *)pl->play->timeline->script->scenario->text.at + name->at, name->line);
	return true;
}

void capture_send_aside(struct player *pl)
{
	struct timeline *t = pl->play->timeline;

	if (lacks_name(pl) || capture_is_lower(pl))
		return;
	if (pl->step->kind == STEP_TOGETHER)
		send_together(t, &pl->strand, pl->step);
	else
		send_step(t, &pl->strand, pl->step, NULL);
	say_whether_sent(pl);
}

/* What was sent before is to arrive; of an orderly end the broker's own is waited for a moment, for others may follow upon it. */
void capture_leave(struct player *pl)
{
	struct timeline *t = pl->play->timeline;
	struct actor_state *a = pl->actor;
	bool late = pl->phase && now(t) >= pl->due_ns;

	if (pl->phase == 0) {
		pl->phase = 1;
		capture_rests(pl, PLAYER_SENDS, now(t) + slackened(t, t->stage->timeout_ns));
	}
	if (pl->phase == 1 && (a->conn.end || conn_idle(&a->conn) || late)) {
		if (a->conn.end || pl->step->kind == STEP_DROPS) {
			if (!a->conn.end)
				record(t, EVENT_ENDED, a, span_text("dropped by us (RST)"));
			conn_close(&a->conn, true);
			a->ended = true;
			capture_advance(pl);
			return;
		}
		record(t, EVENT_ENDED, a, span_text("closed by us (FIN)"));
		conn_finish(&a->conn);
		pl->phase = 2;
		late = false;
		capture_rests(pl, PLAYER_SENDS, now(t) + capture_held_time(t));
	}
	if (pl->phase == 2 && (a->ended || late)) {
		conn_close(&a->conn, false);
		a->ended = true;
		capture_advance(pl);
	}
}

/* What `wait` and `note` are. */
static void remark(struct player *pl)
{
	struct timeline *t = pl->play->timeline;
	uint64_t ns = 0;

	if (pl->step->kind == STEP_NOTE) {
		result_note(t->result, pl->step->text);
		capture_advance(pl);
		return;
	}
	eval_number(t, &pl->strand, pl->step->duration, &ns);
	capture_survives(t);
	capture_rests(pl, PLAYER_WAITS, now(t) + (ns < FOREVER_NS ? ns : FOREVER_NS));
}

/* Its turn has come. */
void capture_act(struct player *pl)
{
	const struct step *step = capture_step(pl);

	if (!pl->actor) {
		remark(pl);
		return;
	}
	if (step->kind == STEP_DROPS || step->kind == STEP_CLOSES) {
		capture_leave(pl);
		return;
	}
	if (capture_is_gone(pl) && !opens(step)) {
		capture_pass_over(pl);
		return;
	}
	if (lacks_name(pl) || capture_is_lower(pl)) {
		capture_advance(pl);
		return;
	}
	if (!capture_has_room(pl, step)) {
		if (capture_may_hold(pl)) {
			capture_hold(pl);
			capture_advance(pl);
		} else {
			capture_rests(pl, PLAYER_HELD, now(pl->play->timeline) + capture_patience(pl));
		}
		return;
	}
	if (capture_is_gone(pl) || step->kind == STEP_OPENS)
		forget_connection(pl);
	if (pl->play->capture->steps[pl->number].part != PART_EXCHANGE)
		begin_send(pl);
	else if (capture_begin_exchange(pl))
		capture_advance(pl);
}
