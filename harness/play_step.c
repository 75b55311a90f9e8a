#include "harness/play.h"

#include <stdio.h>

/* What each step does, and what it makes of an arrival that is offered to it. */

enum { NOTHING_NS = 1000000000 };

static uint64_t now(const struct timeline *t)
{
	return t->stage->loop->now_ns;
}

static uint64_t stretched(const struct timeline *t, uint64_t ns)
{
	double deadline = (double)ns * t->stage->slack, usual = (double)t->stage->timeout_ns * t->stage->slack;

	/* A rule's own long interval needs no more patience than an answer does: what is slow is the machine. */
	return (uint64_t)(deadline + (t->stage->patience - 1) * (deadline < usual ? deadline : usual));
}

static const char *duration_text(struct timeline *t, uint64_t ns)
{
	if (ns % 1000000000 == 0)
		return result_text(t->result, "%llu s", (unsigned long long)(ns / 1000000000));
	return result_text(t->result, "%.3g ms", (double)ns / 1e6);
}

/* ---- waiting ---- */

static bool base_of(struct timeline *t, struct strand *s, uint64_t *base)
{
	const struct step *step = s->step;

	*base = t->actors[step->actor].last_step_ns;
	if (step->of < 0)
		return true;
	struct expr moment = { .kind = EXPR_VAR, .slot = (uint32_t)step->of, .at = step->at };
	return eval_number(t, s, &moment, base);
}

void wait_arrival(struct timeline *t, struct strand *s, uint32_t actors, enum arrival_kind kind, int32_t packet_id)
{
	const struct step *step = s->step;
	uint64_t within, after = 0;

	s->want = (struct want){ .actors = actors, .kind = (uint8_t)kind, .has_id = packet_id >= 0, .packet_id = (uint16_t)packet_id };
	if (!base_of(t, s, &s->base_ns))
		return;
	if (step->after && !eval_number(t, s, step->after, &after))
		return;
	if (step->within && s->phase == 0) {
		if (!eval_number(t, s, step->within, &within))
			return;
		s->due_ns = s->base_ns + stretched(t, within);
	} else {
		uint64_t from = s->base_ns + after > now(t) ? s->base_ns + after : now(t);

		s->due_ns = from + stretched(t, t->stage->timeout_ns);
	}
	s->state = STRAND_WAITS;
	s->probing = 0;
	timeline_due(t, s->due_ns);
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

static void until_written(struct timeline *t, struct strand *s)
{
	if (s->step->every && !conn_idle(&t->actors[s->step->actor].conn))
		s->state = STRAND_SENDS;
	else
		step_done(t, s);
}

static void leave(struct timeline *t, struct strand *s, bool reset)
{
	struct actor_state *a = &t->actors[s->step->actor];

	if (a->ever_opened && !a->conn.end && !conn_idle(&a->conn)) {
		s->state = STRAND_SENDS;	/* what was sent before is to arrive; poll_strands() comes back here */
		return;
	}
	if (a->ever_opened) {
		record(t, EVENT_ENDED, a, span_text(reset ? "dropped by us (RST)" : "closed by us (FIN)"));
		if (reset) {
			conn_close(&a->conn, true);
			a->ended = true;
		} else {
			conn_finish(&a->conn);
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

void strand_begin_step(struct timeline *t, struct strand *s)
{
	const struct step *step = s->step;
	struct actor_state *a = step->actor < t->script->n_actors ? &t->actors[step->actor] : NULL;
	uint64_t ns = NOTHING_NS;
	uint32_t me = 1u << step->actor;

	switch (step->kind) {
	case STEP_SEND:
		if (send_step(t, s, step, NULL))
			until_written(t, s);
		break;
	case STEP_BYTES:
		if (send_bytes(t, s, step))
			until_written(t, s);
		break;
	case STEP_TOGETHER:
		if (send_together(t, s, step))
			until_written(t, s);
		break;
	case STEP_OPENS:
		actor_open(t, a);
		step_done(t, s);
		break;
	case STEP_DROPS: case STEP_CLOSES:
		leave(t, s, step->kind == STEP_DROPS);
		break;
	case STEP_READS:
		conn_read_rate(&a->conn, step->rate);
		step_done(t, s);
		break;
	case STEP_EXPECT:
		wait_arrival(t, s, me, arrival_kind_of(step->type), arrival_kind_of(step->type) == ANSWER ? awaited_id(t, s, step) : -1);
		break;
	case STEP_RECEIVES:
		wait_arrival(t, s, step->actors, DELIVERY, -1);
		break;
	case STEP_CLOSED:
		wait_arrival(t, s, me, CONNECTION, -1);
		break;
	case STEP_NOTHING:
		if (step->duration && !eval_number(t, s, step->duration, &ns))
			return;
		wait_arrival(t, s, me, CONNECTION, -1);
		s->due_ns = now(t) + ns;
		timeline_due(t, s->due_ns);
		break;
	case STEP_CONNECTS: case STEP_DISCONNECTS:
		if (send_step(t, s, step, NULL))
			wait_arrival(t, s, me, CONNECTION, -1);
		break;
	case STEP_SUBSCRIBES: case STEP_UNSUBSCRIBES:
		if (send_step(t, s, step, NULL))
			wait_arrival(t, s, me, ANSWER, s->packet_id);
		break;
	case STEP_PUBLISHES:
		if (!send_step(t, s, step, NULL))
			break;
		if (s->qos)
			wait_arrival(t, s, me, ANSWER, s->packet_id);
		else if (send_packet(t, a, PINGREQ, 0))
			wait_arrival(t, s, me, PONG, -1);
		break;
	case STEP_PINGS:
		if (send_step(t, s, step, NULL))
			wait_arrival(t, s, me, PONG, -1);
		break;
	case STEP_WAIT:
		if (!eval_number(t, s, step->duration, &ns))
			return;
		s->state = STRAND_SLEEPS;
		s->due_ns = now(t) + ns;
		timeline_due(t, s->due_ns);
		break;
	case STEP_NOTE:
		result_note(t->result, step->text);
		step_done(t, s);
		break;
	case STEP_WARN:
		result_note(t->result, step->text);
		lower(t, step);
		if (!t->result->reason)
			t->result->reason = result_text(t->result, "%s", step->text);
		step_done(t, s);
		break;
	case STEP_SKIP:
		give_up(t, VERDICT_SKIP, step, "%s", step->text);
		break;
	case STEP_TARGET_LIVES:
		s->want = (struct want){ 0 };
		ns = t->stage->timeout_ns;
		if (step->within && !eval_number(t, s, step->within, &ns))
			return;
		t->probe_state = 0;
		probe_target(t);
		s->probing = 2;
		s->state = STRAND_WAITS;
		s->due_ns = now(t) + stretched(t, ns);
		timeline_due(t, s->due_ns);
		break;
	default:
		give_up(t, VERDICT_ERROR, step, "a step that cannot stand here");
	}
}

/* ---- an arrival is offered ---- */

static bool no(struct timeline *t, struct mismatch *m, const struct packet *packet, const struct arrival *in,
               const struct actor_state *a, bool judged, const char *because)
{
	char text[160];

	m->judged = judged;
	if (because)
		m->because = because;
	if (in->type) {
		m->received = packet_text(t, packet, FROM_SERVER);
	} else {
		conn_end_text(&a->conn, text, sizeof(text));
		m->received = result_text(t->result, "%s", text);
		m->because = "the connection ended first";
	}
	return false;
}

static bool in_time(struct timeline *t, const struct strand *s, const struct arrival *in, const char **because)
{
	uint64_t after, within;

	if (s->step->after && eval_number(t, s, s->step->after, &after) && in->at_ns < s->base_ns + after) {
		*because = result_text(t->result, "it came %s early", duration_text(t, s->base_ns + after - in->at_ns));
		return false;
	}
	if (s->step->within && eval_number(t, s, s->step->within, &within) && in->at_ns > s->base_ns + stretched(t, within)) {
		*because = result_text(t->result, "it came %s late", duration_text(t, in->at_ns - s->base_ns - stretched(t, within)));
		return false;
	}
	return !t->over;
}

/* Of a judged arrival: type, fields, time. */
static bool fits(struct timeline *t, struct strand *s, struct actor_state *a, const struct arrival *in,
                 const struct packet *packet, enum packet_type type, struct mismatch *m)
{
	const struct step *step = s->step;
	const char *because = NULL;

	if (in->type != type)
		return no(t, m, packet, in, a, true, result_text(t->result, "expected %s", packet_name(type)));
	if (!packet_fits(t, s, step->matches, step->n_matches, packet, m))
		return no(t, m, packet, in, a, true, NULL);
	if (!in_time(t, s, in, &because))
		return no(t, m, packet, in, a, true, because);
	return true;
}

/* Of an exchange that sets up: the answer must be that type and grant what was asked; `gets` is judged. */
static bool granted(struct timeline *t, struct strand *s, struct actor_state *a, const struct arrival *in,
                    const struct packet *packet, enum packet_type type, struct mismatch *m)
{
	const struct step *step = s->step;

	if (in->type != type)
		return no(t, m, packet, in, a, false, result_text(t->result, "expected %s", packet_name(type)));
	if (type == SUBACK || type == UNSUBACK) {
		for (uint32_t i = 0; type == SUBACK && i < step->n_filters && i < packet->list.len; i++) {
			struct value v = { .number = 0 };

			for (uint32_t k = 0; k < step->filters[i].n_options; k++)
				if (!strcmp(step->filters[i].options[k].field->name, "qos"))
					eval(t, s, step->filters[i].options[k].value, &v);
			if (packet->list.at[i] != v.number)
				return no(t, m, packet, in, a, false, "the subscription was not granted as asked");
		}
		for (size_t i = 0; i < packet->list.len; i++)
			if (packet->list.at[i] >= 0x80)
				return no(t, m, packet, in, a, false, "it was refused");
	} else if (packet->reason && (packet->type == CONNACK || packet->reason >= 0x80)) {
		return no(t, m, packet, in, a, false, "it was refused");
	}
	if (s->phase == 0 && !packet_fits(t, s, step->matches, step->n_matches, packet, m))
		return no(t, m, packet, in, a, true, NULL);
	return true;
}

bool strand_offer(struct timeline *t, struct strand *s, struct actor_state *a, const struct arrival *in,
                  const struct packet *packet, struct mismatch *m)
{
	static const uint8_t qos2[] = { PUBREC, PUBCOMP };

	arena_reset(t->stage->scratch);
	switch (s->step->kind) {
	case STEP_EXPECT:
		return fits(t, s, a, in, packet, s->step->type, m);
	case STEP_RECEIVES:
		if (s->phase == 0)
			return fits(t, s, a, in, packet, PUBLISH, m);
		if (packet->packet_id != s->packet_id)
			return no(t, m, packet, in, a, true, result_text(t->result, "packet_id: expected %u, received %u", s->packet_id, packet->packet_id));
		return true;
	case STEP_CONNECTS:     return granted(t, s, a, in, packet, CONNACK, m);
	case STEP_SUBSCRIBES:   return granted(t, s, a, in, packet, SUBACK, m);
	case STEP_UNSUBSCRIBES: return granted(t, s, a, in, packet, UNSUBACK, m);
	case STEP_PUBLISHES:
		if (!s->qos)
			return granted(t, s, a, in, packet, PINGRESP, m);
		return granted(t, s, a, in, packet, s->qos == 1 ? PUBACK : qos2[s->phase], m);
	case STEP_PINGS:        return granted(t, s, a, in, packet, PINGRESP, m);
	case STEP_DISCONNECTS:
		if (in->type)
			return no(t, m, packet, in, a, false, "expected the broker to close");
		return true;
	default:
		return no(t, m, packet, in, a, false, "nobody waits for it");
	}
}

/* ---- it fits ---- */

static bool answers(enum packet_type type)
{
	return arrival_kind_of(type) == ANSWER;
}

void strand_accept(struct timeline *t, struct strand *s, struct actor_state *a, struct arrival *in, const struct packet *packet)
{
	const struct step *step = s->step;
	uint16_t id = in->type ? packet->packet_id : 0;
	unsigned qos = in->type == PUBLISH ? publish_qos(packet) : 0;

	s->taken_by = a->number;
	if (s->phase == 0) {
		packet_bind(t, step->matches, step->n_matches, packet);
		if (step->kind == STEP_EXPECT || step->kind == STEP_RECEIVES || step->n_matches)
			judge_passed(t, step);
	}
	if (in->type == PUBLISH)
		remember_seen(a, packet);
	if (answers(in->type))
		settle(a, id);
	inbox_take(a, in);

	if (step->kind == STEP_RECEIVES && s->phase == 0 && qos) {
		if (!send_packet(t, a, qos == 1 ? PUBACK : PUBREC, id))
			return;
		if (qos == 2) {
			s->phase = 1;
			s->packet_id = id;
			wait_arrival(t, s, 1u << a->number, RELEASE, -1);
			return;
		}
	} else if (step->kind == STEP_RECEIVES && s->phase == 1) {
		if (!send_packet(t, a, PUBCOMP, id))
			return;
	} else if (step->kind == STEP_PUBLISHES && s->qos == 2 && s->phase == 0) {
		s->phase = 1;
		if (send_packet(t, a, PUBREL, id))
			wait_arrival(t, s, 1u << a->number, ANSWER, id);
		return;
	}
	step_done(t, s);
	strand_run(t, s);
}

/* ---- closed ---- */

static bool accepts(const struct actor_state *a, const struct arrival *in, const struct packet *p)
{
	const struct offence *o = &a->offence;
	bool id = !o->packet_id || o->packet_id == p->packet_id;

	if (!in->type)
		return false;
	switch (o->type) {
	case CONNECT:     return p->type == CONNACK && (o->connected || !p->reason);
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
	const struct offence *o = &a->offence;

	if (o->packet_id && o->packet_id != p->packet_id)
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

void check_closed(struct timeline *t, struct strand *s)
{
	struct actor_state *a = &t->actors[s->step->actor];
	const struct arrival *said = NULL;
	struct packet packet, says = { 0 };
	bool ended = a->ended && !a->in;	/* its end was taken by an earlier step */

	for (struct arrival *in = a->in; in; in = in->next) {
		if (!in->type) {
			ended = true;
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
	if (ended) {
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
		no(t, &m, &packet, in, a, true, "nothing was to come");
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

	if (!a->connected || a->ended || a->conn.end || !a->conn.read_rate)
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

void want_expired(struct timeline *t, struct strand *s)
{
	const struct step *step = s->step;
	struct actor_state *a = &t->actors[step->actor];

	if (s->is_maybe) {
		s->due_ns = UINT64_MAX;
		return;
	}
	if (step->kind == STEP_TARGET_LIVES) {
		struct mismatch m = { .received = "no answer", .because = "the target does not serve a fresh connection", .judged = true };

		judge_failed(t, s, step, &m);
		return;
	}
	if (step->kind == STEP_DISCONNECTS && !s->probing) {
		/* [3.14.4] that the broker closes, if the client has not, is only SHOULD */
		result_note(t->result, "after DISCONNECT the broker did not close the connection");
		conn_close(&a->conn, false);
		a->ended = true;
		step_done(t, s);
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
	if (step->kind == STEP_NOTHING && (!a->connected || a->ended || !a->conn.read_rate)) {
		passed_in_silence(t, s);
		return;
	}
	if (!start_ping(t, s)) {
		t->probe_state = t->probe_state == 2 ? 2 : 0;
		probe_target(t);
		s->probing = 2;
	}
	s->due_ns = now(t) + stretched(t, t->stage->timeout_ns);
	timeline_due(t, s->due_ns);
	check_probe(t, s);
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

static const char *what_was_awaited(const struct strand *s)
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

void check_probe(struct timeline *t, struct strand *s)
{
	const struct step *step = s->step;
	struct actor_state *a = &t->actors[step->actor];
	uint64_t size = 0;

	if (t->over || !s->probing || s->state != STRAND_WAITS)
		return;
	if (s->probing == 2 && t->probe_state == 3) {
		if (step->kind == STEP_TARGET_LIVES) {
			want_expired(t, s);
			return;
		}
		give_up(t, VERDICT_INCONCLUSIVE, step, "the target does not serve a fresh connection either");
		return;
	}
	if (s->probing == 1 ? a->probes_owed != 0 : t->probe_state != 2)
		return;
	if (step->kind == STEP_TARGET_LIVES) {
		if (t->stage->target_lives && !t->stage->target_lives(t->stage->context, &size)) {
			struct mismatch m = { .received = "the process has ended", .because = "the target died", .judged = true };

			judge_failed(t, s, step, &m);
			return;
		}
		if (step->grows && size > t->grown_from && size - t->grown_from >= step->grows) {
			struct mismatch m = { .received = result_text(t->result, "it grew by %llu bytes", (unsigned long long)(size - t->grown_from)),
			                      .because = "the target grew too much", .judged = true };

			judge_failed(t, s, step, &m);
			return;
		}
		passed_in_silence(t, s);
		return;
	}
	if (step->kind == STEP_NOTHING) {
		passed_in_silence(t, s);
		return;
	}
	if (step->kind == STEP_CLOSED) {
		const char *said = goodbye_said(t, a);

		if (said) {
			struct mismatch kept = { .judged = true, .received = said, .because = "it said so, but the connection is not closed" };

			judge_failed(t, s, step, &kept);
			return;
		}
		judge_undetected(t, step, result_text(t->result, "still open after %s, while the broker serves",
		                                      duration_text(t, stretched(t, t->stage->timeout_ns))));
		return;
	}
	bool judged = step->kind == STEP_EXPECT || step->kind == STEP_RECEIVES;
	struct mismatch m = {
		.judged = judged, .received = "nothing, and the target answers a ping",
		.because = result_text(t->result, "no %s came in time", what_was_awaited(s)),
	};
	judge_failed(t, s, step, &m);
}
