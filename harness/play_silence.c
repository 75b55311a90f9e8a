#include "harness/play.h"

enum { PROMPT_NS = 100000000 };	/* a target that answers within this is not slow */

/* What does not come: `closed`, `nothing`, and arrivals whose time is up. Silence is asked about before it is blamed. */

/* An id that is not known is none of those that wait for an answer anyway. */
static bool is_offences(const struct actor_state *a, const struct packet *p)
{
	return a->offence.has_id ? a->offence.packet_id == p->packet_id : !owed(a, p->packet_id);
}

static bool accepts(const struct actor_state *a, const struct arrival *in, const struct packet *p)
{
	const struct offence *o = &a->offence;
	bool id = is_offences(a, p);

	if (!in->type)
		return false;
	switch (o->type) {
	case CONNECT:     return p->type == CONNACK && a->n_connacks > o->connects && (o->connects || !p->reason);
	case PUBLISH:     return (p->type == PUBACK || p->type == PUBREC) && id && p->reason < 0x80;
	case PUBREC:      return p->type == PUBREL && id;
	case PUBREL:      return p->type == PUBCOMP && id && p->reason < 0x80;
	case PINGREQ:     return p->type == PINGRESP;
	case AUTH:        return p->type == AUTH;
	case SUBSCRIBE: case UNSUBSCRIBE:
		if (p->type != (o->type == SUBSCRIBE ? SUBACK : UNSUBACK) || !id)
			return false;
		for (size_t i = 0; i < p->list.len; i++)
			if (p->list.at[i] < 0x80)
				return true;
		return o->type == UNSUBSCRIBE && a->version != MQTT_5;
	default:
		return false;
	}
}

static bool nacks(const struct actor_state *a, const struct packet *p)
{
	if (!is_offences(a, p))
		return false;
	if (p->type == PUBACK || p->type == PUBREC || p->type == PUBCOMP)
		return p->reason >= 0x80;
	if (p->type != SUBACK && p->type != UNSUBACK)
		return false;
	for (size_t i = 0; i < p->list.len; i++)
		if (p->list.at[i] < 0x80)
			return false;
	return p->list.len > 0;
}

/* The broker may say why before it closes; another code than the one named is worth a note only. */
static void note_reason(struct timeline *t, const struct strand *s, const struct actor_state *a, const struct packet *p)
{
	const struct pattern *wanted = s->step->closed_reason;

	if (a->version != MQTT_5 && p->type == CONNACK && p->reason)
		result_note(t->result, result_text(t->result, "before the close came %s, where 3.1.1 lets nothing come", packet_text(t, p, FROM_SERVER)));
	else if (wanted && a->version == MQTT_5 && p->reason >= 0x80 && !reason_fits(t, s, wanted, p->reason))
		result_note(t->result, result_text(t->result, "the code before the close is %s", reason_name(p->type, p->version, p->reason)
		                                   ? reason_name(p->type, p->version, p->reason) : "none of the standard's"));
}

/*
 * How soon a connection must be closed no clause says. A broker that waits for a CONNECT closes when its
 * patience ends, for which 10 s is usual, and so does what it must with one that sent anything else.
 */
uint64_t closing_time(const struct timeline *t, bool connected)
{
	uint64_t usual = slackened(t, t->stage->timeout_ns), longer = 3 * t->stage->timeout_ns;

	return connected || usual > longer ? usual : longer;
}

void check_closed(struct timeline *t, struct strand *s)
{
	struct actor_state *a = &t->actors[s->step->actor];
	const struct arrival *said = NULL;
	struct packet packet, says = { 0 };
	const struct arrival *the_end = NULL;
	const char *early = NULL;
	bool ended = a->ended && !a->in;	/* its end was taken by an earlier step */

	for (struct arrival *in = a->in; in; in = in->next) {
		if (!in->type) {
			ended = true;
			the_end = in;
			continue;
		}
		if (!arrival_decode(a, in, &packet))
			continue;
		if (accepts(a, in, &packet)) {
			judge_undetected(t, s->step, result_text(t->result, "%s answers what was wrong", packet_text(t, &packet, FROM_SERVER)));
			return;
		}
		if (s->step->or_nacked && nacks(a, &packet)) {
			judge_passed(t, s->step);
			inbox_take(a, in);
			step_done(t, s);
			return;
		}
		if ((packet.type == DISCONNECT || packet.type == CONNACK) && packet.reason && !said) {
			said = in;
			says = packet;
		}
	}
	if (the_end && too_early(t, s, the_end, &early)) {
		struct mismatch m = { 0 };

		misfit(t, &m, NULL, the_end, a, true, NULL);
		m.because = early;
		judge_failed(t, s, s->step, &m);
		return;
	}
	if (ended && !t->over) {
		if (said)
			note_reason(t, s, a, &says);
		if (s->probing)
			result_note(t->result, "the connection was closed only after the time for it was up");
		while (a->in)
			inbox_take(a, a->in);
		judge_passed(t, s->step);
		step_done(t, s);
		return;
	}
	if (s->probing)
		check_probe(t, s);
}

void check_nothing(struct timeline *t, struct strand *s)
{
	struct actor_state *a = &t->actors[s->step->actor];
	struct mismatch m = { 0 };
	struct packet packet;

	for (struct arrival *in = a->in; in; in = in->next) {
		if (in->type && !arrival_decode(a, in, &packet))
			continue;
		if (in->type == PUBLISH && seen_before(a, &packet))
			continue;
		misfit(t, &m, &packet, in, a, true, "nothing was to come");
		judge_failed(t, s, s->step, &m);
		return;
	}
	if (s->probing)
		check_probe(t, s);
}

/* ---- time is up ---- */

static bool start_ping(struct timeline *t, struct strand *s)
{
	struct actor_state *a = &t->actors[s->step->actor];
	static const uint8_t ping[] = { PINGREQ << 4, 0 };
	struct packet packet = { .version = a->version, .type = PINGREQ };

	if (!a->connected || a->ended || a->conn.end || !conn_reads(&a->conn))
		return false;
	if (s->want.kind == PONG)
		return false;		/* a ping is what goes unanswered */
	monitor_sent(&a->conn.monitor, ping, sizeof(ping), &packet);
	record(t, EVENT_NOTE, a, span_text("its time is up: does the broker still answer? (our PINGREQ)"));
	if (!conn_send(&a->conn, span_of(ping, sizeof(ping)), 0, 0))
		return false;
	a->probes_owed++;
	s->probing = 1;
	return true;
}

static void passed_in_silence(struct timeline *t, struct strand *s)
{
	judge_passed(t, s->step);
	step_done(t, s);
}

/* In another arm of the same `either`, however deep. */
static bool is_beside(const struct strand *s, const struct strand *arm)
{
	for (; s; s = s->parent)
		if (s->is_arm && s->parent == arm->parent)
			return s != arm;
	return false;
}

/* Of `either`: as long as another arm has time, it may still be chosen. `nothing` lets its time pass, and so is chosen by it. */
static bool await_other_arms(struct timeline *t, struct strand *s)
{
	const struct strand *arm = s->probing || s->step->kind == STEP_NOTHING ? NULL : strand_open_arm(t, s);
	uint64_t last = 0;

	if (!arm)
		return false;
	for (const struct strand *o = t->strands; o; o = o->next)
		if (o->state == STRAND_WAITS && o->due_ns > last && o->due_ns < FOREVER_NS && is_beside(o, arm))
			last = o->due_ns;
	if (last <= now(t))
		return false;
	strand_rests(t, s, STRAND_WAITS, last);
	return true;
}

void want_expired(struct timeline *t, struct strand *s)
{
	const struct step *step = s->step;
	struct actor_state *a = &t->actors[step->actor];

	if (s->is_maybe) {
		s->due_ns = UINT64_MAX;
		return;
	}
	if (step->kind == STEP_TARGET_LIVES) {
		lives_expired(t, s);
		return;
	}
	if (await_other_arms(t, s))
		return;
	if (step->kind == STEP_DISCONNECTS && !s->probing) {
		/* [3.14.4] that the broker closes, if the client has not, is only SHOULD */
		result_note(t->result, "after DISCONNECT the broker did not close the connection");
		conn_close(&a->conn, false);
		a->ended = true;
		step_done(t, s);
		return;
	}
	if (t->finding) {
		finding_expired(t, s);
		return;
	}
	if (s->probing == 1 && step->kind == STEP_CLOSED)
		s->probing = 0, a->connected = false;	/* the ping went unanswered: ask afresh */
	if (s->probing) {
		give_up(t, VERDICT_INCONCLUSIVE, step, "the target is stalled: no answer within %s to %s", duration_text(t, t->stage->timeout_ns),
		        s->probing == 1 ? "a PINGREQ on the same connection" : "a CONNECT on a fresh connection");
		t->result->target_gone = true;
		return;
	}
	if (!start_ping(t, s)) {
		if (t->probe_state != PROBE_ASKED)
			t->probe_state = PROBE_NONE;	/* an answer from before says nothing about now */
		probe_target(t);
		s->probing = 2;
	}
	s->asked_ns = now(t);
	strand_rests(t, s, STRAND_WAITS, now(t) + stretched(t, t->stage->timeout_ns));
	check_probe(t, s);
}

/*
 * A target that answers a ping at once has done what it was going to do. One that takes its time may be behind with
 * other things too: then a repeated failure has all the patience that it is played with.
 */
static bool linger(struct timeline *t, struct strand *s)
{
	if (s->lingers || !s->patience_ns || now(t) - s->asked_ns <= PROMPT_NS)
		return false;
	s->lingers = true;
	s->probing = 0;
	strand_rests(t, s, STRAND_WAITS, now(t) + s->patience_ns);
	return true;
}

/* A DISCONNECT or refusal that announced a close which did not come; NULL for none. */
static const char *goodbye_said(struct timeline *t, struct actor_state *a)
{
	struct packet packet;

	for (const struct arrival *in = a->in; in; in = in->next)
		if ((in->type == DISCONNECT || in->type == CONNACK) && arrival_decode(a, in, &packet) && packet.reason >= (a->version == MQTT_5 ? 0x80 : 1))
			return packet_text(t, &packet, FROM_SERVER);
	return NULL;
}

const char *what_was_awaited(const struct strand *s)
{
	switch (s->step->kind) {
	case STEP_EXPECT:       return packet_name(s->step->type);
	case STEP_RECEIVES:     return s->phase ? "PUBREL" : "PUBLISH";
	case STEP_CONNECTS:     return "CONNACK";
	case STEP_SUBSCRIBES:   return "SUBACK";
	case STEP_UNSUBSCRIBES: return "UNSUBACK";
	case STEP_PUBLISHES:    return s->qos == 0 ? "PINGRESP" : s->qos == 1 ? "PUBACK" : s->phase ? "PUBCOMP" : "PUBREC";
	case STEP_PINGS:        return "PINGRESP";
	default:                return "what was awaited";
	}
}

/* What it waits for did come and did not fit, but another arm's `closed` might have been chosen still. */
static bool came_in_vain(struct timeline *t, struct strand *s, struct actor_state *a, struct mismatch *m)
{
	struct packet packet;

	for (const struct arrival *in = a->in; in; in = in->next)
		if (in->type && waits_for(s, a, in) && arrival_decode(a, in, &packet) && !strand_offer(t, s, a, in, &packet, m))
			return true;
	return false;
}

void check_probe(struct timeline *t, struct strand *s)
{
	const struct step *step = s->step;
	struct actor_state *a = &t->actors[step->actor];

	if (t->over || !s->probing || s->state != STRAND_WAITS)
		return;
	if (s->probing == 2 && t->probe_state == PROBE_FAILED) {
		give_up(t, VERDICT_INCONCLUSIVE, step, "the target does not serve a fresh connection either");
		return;
	}
	if (s->probing == 1 ? a->probes_owed != 0 : t->probe_state != PROBE_SERVED)
		return;
	if (step->kind == STEP_NOTHING) {
		passed_in_silence(t, s);
		return;
	}
	if (linger(t, s))
		return;
	if (step->kind == STEP_CLOSED) {
		const char *said = goodbye_said(t, a);

		if (said) {
			struct mismatch kept = { .judged = true, .received = said, .because = "it said so, but the connection is not closed" };

			judge_failed(t, s, step, &kept);
			return;
		}
		uint64_t waited = closing_time(t, s->connected);

		if (step->within && !eval_number(t, s, step->within, &waited))
			return;
		if (step->within)
			waited = slackened(t, waited + t->stage->timer_tolerance_ns);
		judge_undetected(t, step, result_text(t->result, "still open after %s, while the broker serves",
		                                      duration_text(t, waited + (s->lingers ? s->patience_ns : 0))));
		return;
	}
	struct mismatch m = { 0 };
	if (came_in_vain(t, s, a, &m)) {
		judge_failed(t, s, step, &m);
		return;
	}
	m = (struct mismatch){
		.judged = step_traits[step->kind].judges, .received = "nothing, and the target answers a ping",
		.because = result_text(t->result, "no %s came in time", what_was_awaited(s)),
	};
	judge_failed(t, s, step, &m);
}
