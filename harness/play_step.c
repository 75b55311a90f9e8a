#include "harness/play.h"

#include <stdio.h>

/* What each step does when its turn comes. */

enum { BACKLOG = 1 << 20 };

const struct step_trait step_traits[] = {
	[STEP_SEND]         = { .acts = true },
	[STEP_BYTES]        = { .acts = true },
	[STEP_TOGETHER]     = { .acts = true },
	[STEP_EXPECT]       = { .acts = true, .takes = true, .judges = true },
	[STEP_RECEIVES]     = { .acts = true, .takes = true, .judges = true },
	[STEP_CLOSED]       = { .acts = true, .judges = true },
	[STEP_NOTHING]      = { .acts = true, .judges = true },
	[STEP_CONNECTS]     = { .acts = true, .takes = true },
	[STEP_SUBSCRIBES]   = { .acts = true, .takes = true },
	[STEP_UNSUBSCRIBES] = { .acts = true, .takes = true },
	[STEP_PUBLISHES]    = { .acts = true, .takes = true },
	[STEP_PINGS]        = { .acts = true, .takes = true },
	[STEP_DISCONNECTS]  = { .acts = true, .takes = true },
	[STEP_OPENS]        = { .acts = true },
	[STEP_DROPS]        = { .acts = true },
	[STEP_CLOSES]       = { .acts = true },
	[STEP_READS]        = { .acts = true },
	[STEP_TARGET_LIVES] = { .judges = true },
	[STEP_SETTLES]      = { .acts = true },
	[STEP_ANSWERS]      = { .acts = true },
};

const char *duration_text(struct timeline *t, uint64_t ns)
{
	uint64_t ms = (ns + 500000) / 1000000;

	if (ns && ns < 999500000)
		return result_text(t->result, "%.3g ms", (double)ns / 1e6);
	return result_text(t->result, "%.*f s", ms % 1000 == 0 ? 0 : ms % 100 == 0 ? 1 : ms % 10 == 0 ? 2 : 3, (double)ms / 1e3);
}

/* ---- waiting ---- */

void strand_rests(struct timeline *t, struct strand *s, enum strand_state state, uint64_t due_ns)
{
	s->state = (uint8_t)state;
	s->due_ns = due_ns;
	t->look |= state == STRAND_SENDS || s->probing || !step_traits[s->step->kind].takes;
	timeline_due(t, due_ns);
}

static bool base_of(struct timeline *t, struct strand *s, uint64_t *base)
{
	const struct step *step = s->step;

	*base = t->actors[step->actor].last_step_ns;
	if (step->of < 0)
		return true;
	struct expr moment = { .kind = EXPR_VAR, .slot = (uint32_t)step->of, .at = step->at };
	return eval_number(t, s, &moment, base);
}

/* Else the arrival itself will wake the timeline. */
static bool may_have_come(const struct timeline *t, const struct strand *s)
{
	if (!step_traits[s->step->kind].takes)
		return true;
	for (uint32_t i = 0; i < t->script->n_actors; i++)
		if (s->want.actors & 1u << i && (t->actors[i].n_in || t->actors[i].ended))
			return true;
	return false;
}

void wait_arrival(struct timeline *t, struct strand *s, uint32_t actors, enum arrival_kind kind, int32_t packet_id)
{
	const struct step *step = s->step;
	uint64_t within, after = 0, due_ns;

	s->want = (struct want){ .actors = actors, .kind = (uint8_t)kind, .has_id = packet_id >= 0, .packet_id = (uint16_t)packet_id };
	s->connected = t->actors[step->actor].connected;
	if (!base_of(t, s, &s->base_ns))
		return;
	if (step->after && !eval_number(t, s, step->after, &after))
		return;
	if (step->within && s->phase == 0) {
		if (!eval_number(t, s, step->within, &within))
			return;
		within += t->stage->timer_tolerance_ns;
		due_ns = s->base_ns + slackened(t, within);
		s->patience_ns = stretched(t, within) - slackened(t, within);
	} else {
		uint64_t from = s->base_ns + after > now(t) ? s->base_ns + after : now(t), usual = slackened(t, t->stage->timeout_ns);

		if (t->finding && !step_traits[step->kind].judges)
			usual = finding_patience(t);

		due_ns = from + (step->kind == STEP_CLOSED ? closing_time(t, s->connected) : usual);
		s->patience_ns = stretched(t, t->stage->timeout_ns) - usual;
	}
	s->probing = 0;
	s->lingers = false;
	strand_rests(t, s, STRAND_WAITS, due_ns);
	if (may_have_come(t, s))
		timeline_wake(t);
}

/* The id that an awaited answer must have, where the step names one that is known by now. */
static int32_t awaited_id(struct timeline *t, struct strand *s, const struct step *step)
{
	struct value v;

	for (uint32_t i = 0; i < step->n_matches; i++)
		if (step->matches[i].pattern->kind == PATTERN_EQUAL && !strcmp(step->matches[i].field->name, "packet_id") &&
		    eval(t, s, step->matches[i].pattern->value, &v) && v.kind == VALUE_NUMBER)
			return (int32_t)v.number;
	return -1;
}

/* Paced pieces are waited for, and so is a broker that reads slower than we send: what waits stays bounded. */
static void until_written(struct timeline *t, struct strand *s)
{
	const struct conn *c = &t->actors[s->step->actor].conn;
	uint64_t every = 0;

	if (conn_idle(c) || (!s->step->every && c->unsent < BACKLOG)) {
		step_done(t, s);
		return;
	}
	if (s->step->every && !eval_number(t, s, s->step->every, &every))
		return;
	s->unsent = c->unsent;
	strand_rests(t, s, STRAND_SENDS, now(t) + every + (t->finding ? finding_patience(t) : stretched(t, t->stage->timeout_ns)));
}

void written_expired(struct timeline *t, struct strand *s)
{
	const struct step *step = s->step;
	const struct conn *c = &t->actors[step->actor].conn;

	if (step->kind == STEP_DROPS || step->kind == STEP_CLOSES)
		s->state = STRAND_RUNS;		/* it leaves although the broker does not read */
	else if (c->unsent < s->unsent)
		until_written(t, s);		/* slowly, but it goes on */
	else
		give_up(t, VERDICT_INCONCLUSIVE, step, "the target does not read: %zu bytes wait to be sent", c->unsent);
}

static void leave(struct timeline *t, struct strand *s, bool reset)
{
	struct actor_state *a = &t->actors[s->step->actor];

	if (a->ever_opened && !a->conn.end && !conn_idle(&a->conn) && s->phase == 0) {
		s->phase = 1;
		/* what was sent before is to arrive; poll_strands() comes back here, or the clock */
		strand_rests(t, s, STRAND_SENDS, now(t) + (t->finding ? finding_patience(t) : stretched(t, t->stage->timeout_ns)));
		return;
	}
	if (a->ever_opened) {
		record(t, EVENT_ENDED, a, span_text(reset ? "dropped by us (RST)" : "closed by us (FIN)"));
		if (reset) {
			conn_close(&a->conn, true);
			finding_dues_ended(a, DUES_LOST);
			a->ended = true;
		} else {
			conn_finish(&a->conn);
			finding_dues_ended(a, DUES_FINISHED);
		}
		a->connected = false;
	}
	step_done(t, s);
}

static void lower(struct timeline *t, const struct step *step)
{
	uint32_t marks = step->marks ? step->marks : t->script->n_cites == 32 ? UINT32_MAX : (1u << t->script->n_cites) - 1;

	t->warned |= marks;
	t->judged |= step->marks;
}

/* ---- each kind of step ---- */

static void begin_send(struct timeline *t, struct strand *s)
{
	const struct step *step = s->step;
	bool sent = step->kind == STEP_SEND ? send_step(t, s, step, NULL) : step->kind == STEP_BYTES ? send_bytes(t, s, step) : send_together(t, s, step);

	if (sent)
		until_written(t, s);
}

static void begin_await(struct timeline *t, struct strand *s)
{
	const struct step *step = s->step;
	uint32_t me = 1u << step->actor;
	enum arrival_kind kind = arrival_kind_of(step->type);
	uint64_t ns = NOTHING_NS;

	switch (step->kind) {
	case STEP_EXPECT:
		wait_arrival(t, s, me, kind, kind == ANSWER ? awaited_id(t, s, step) : -1);
		break;
	case STEP_RECEIVES:
		wait_arrival(t, s, step->actors, DELIVERY, -1);
		break;
	case STEP_CLOSED:
		wait_arrival(t, s, me, CONNECTION, -1);
		break;
	default:		/* nothing */
		if (step->duration && !eval_number(t, s, step->duration, &ns))
			return;
		wait_arrival(t, s, me, CONNECTION, -1);
		strand_rests(t, s, STRAND_WAITS, now(t) + (ns < FOREVER_NS ? ns : FOREVER_NS));
	}
}

static void begin_exchange(struct timeline *t, struct strand *s)
{
	const struct step *step = s->step;
	uint32_t me = 1u << step->actor;

	if (!send_step(t, s, step, NULL))
		return;
	switch (step->kind) {
	case STEP_CONNECTS: case STEP_DISCONNECTS:
		wait_arrival(t, s, me, CONNECTION, -1);
		break;
	case STEP_SUBSCRIBES: case STEP_UNSUBSCRIBES:
		wait_arrival(t, s, me, ANSWER, s->packet_id);
		break;
	case STEP_PUBLISHES:
		if (s->qos)
			wait_arrival(t, s, me, ANSWER, s->packet_id);
		else if (send_packet(t, &t->actors[step->actor], PINGREQ, 0))	/* QoS 0 has no answer of its own */
			wait_arrival(t, s, me, PONG, -1);
		break;
	default:
		wait_arrival(t, s, me, PONG, -1);
	}
}

static void begin_wait(struct timeline *t, struct strand *s)
{
	uint64_t ns;

	if (!eval_number(t, s, s->step->duration, &ns))
		return;
	strand_rests(t, s, STRAND_SLEEPS, now(t) + (ns < FOREVER_NS ? ns : FOREVER_NS));
}

static void say(struct timeline *t, struct strand *s)
{
	const struct step *step = s->step;

	if (step->kind == STEP_SKIP) {
		give_up(t, VERDICT_SKIP, step, "%s", step->text);
		return;
	}
	result_note(t->result, step->text);
	if (step->kind == STEP_WARN) {
		lower(t, step);
		if (!t->result->reason)
			t->result->reason = result_text(t->result, "%s", step->text);
	}
	step_done(t, s);
}

void strand_begin_step(struct timeline *t, struct strand *s)
{
	const struct step *step = s->step;

	if (t->finding && finding_passes_over(t, step)) {
		step_done(t, s);
		return;
	}
	switch (step->kind) {
	case STEP_SEND: case STEP_BYTES: case STEP_TOGETHER:
		begin_send(t, s);
		break;
	case STEP_EXPECT: case STEP_RECEIVES: case STEP_CLOSED: case STEP_NOTHING:
		begin_await(t, s);
		break;
	case STEP_CONNECTS: case STEP_DISCONNECTS: case STEP_SUBSCRIBES: case STEP_UNSUBSCRIBES: case STEP_PUBLISHES: case STEP_PINGS:
		begin_exchange(t, s);
		break;
	case STEP_OPENS:
		actor_open(t, &t->actors[step->actor]);
		step_done(t, s);
		break;
	case STEP_DROPS: case STEP_CLOSES:
		leave(t, s, step->kind == STEP_DROPS);
		break;
	case STEP_READS:
		conn_read_rate(&t->actors[step->actor].conn, step->rate);
		step_done(t, s);
		break;
	case STEP_WAIT:
		begin_wait(t, s);
		break;
	case STEP_NOTE: case STEP_WARN: case STEP_SKIP:
		say(t, s);
		break;
	case STEP_TARGET_LIVES:
		begin_target_lives(t, s);
		break;
	case STEP_SETTLES:
		begin_settles(t, s);
		break;
	case STEP_ANSWERS:
		begin_answers(t, s);
		break;
	default:
		give_up(t, VERDICT_ERROR, step, "a step that cannot stand here");
	}
}
