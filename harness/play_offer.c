#include "harness/play.h"

/* An arrival is offered to a step that waits: does it fit, and what follows when it does. */

bool misfit(struct timeline *t, struct mismatch *m, const struct packet *packet, const struct arrival *in,
            const struct actor_state *a, bool judged, const char *because)
{
	char text[160];

	if (!m)
		return false;
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

bool too_early(struct timeline *t, const struct strand *s, const struct arrival *in, const char **because)
{
	uint64_t after;

	if (!s->step->after || !eval_number(t, s, s->step->after, &after) || in->at_ns >= s->base_ns + after)
		return false;
	if (because)
		*because = result_text(t->result, "it came %s early", duration_text(t, s->base_ns + after - in->at_ns));
	return true;
}

static bool in_time(struct timeline *t, const struct strand *s, const struct arrival *in, const char **because)
{
	uint64_t within;

	if (too_early(t, s, in, because))
		return false;
	if (s->step->within && eval_number(t, s, s->step->within, &within) && in->at_ns > s->base_ns + stretched(t, within)) {
		if (because)
			*because = result_text(t->result, "it came %s late", duration_text(t, in->at_ns - s->base_ns - stretched(t, within)));
		return false;
	}
	return !t->over;
}

static const char *expected_type(struct timeline *t, const struct mismatch *m, enum packet_type type)
{
	return m ? result_text(t->result, "expected %s", packet_name(type)) : NULL;
}

/* Of a judged arrival: type, fields, time. */
static bool fits(struct timeline *t, struct strand *s, struct actor_state *a, const struct arrival *in,
                 const struct packet *packet, enum packet_type type, struct mismatch *m)
{
	const struct step *step = s->step;
	const char *because = NULL;

	if (in->type != type)
		return misfit(t, m, packet, in, a, true, expected_type(t, m, type));
	if (!packet_fits(t, s, step->matches, step->n_matches, packet, m))
		return misfit(t, m, packet, in, a, true, NULL);
	if (!in_time(t, s, in, m ? &because : NULL))
		return misfit(t, m, packet, in, a, true, because);
	return true;
}

/* Of an exchange that sets up: the answer must be that type and grant what was asked; `gets` is judged. */
static bool granted(struct timeline *t, struct strand *s, struct actor_state *a, const struct arrival *in,
                    const struct packet *packet, enum packet_type type, struct mismatch *m)
{
	const struct step *step = s->step;

	if (in->type != type)
		return misfit(t, m, packet, in, a, false, expected_type(t, m, type));
	if (type == SUBACK || type == UNSUBACK) {
		for (uint32_t i = 0; type == SUBACK && i < step->n_filters && i < packet->list.len; i++) {
			struct value v = { .number = 0 };

			for (uint32_t k = 0; k < step->filters[i].n_options; k++)
				if (!strcmp(step->filters[i].options[k].field->name, "qos"))
					eval(t, s, step->filters[i].options[k].value, &v);
			if (packet->list.at[i] != v.number)
				return misfit(t, m, packet, in, a, false, "the subscription was not granted as asked");
		}
		for (size_t i = 0; i < packet->list.len; i++)
			if (packet->list.at[i] >= 0x80)
				return misfit(t, m, packet, in, a, false, "it was refused");
	} else if (packet->reason && (packet->type == CONNACK || packet->reason >= 0x80)) {
		return misfit(t, m, packet, in, a, false, "it was refused");
	}
	if (s->phase == 0 && !packet_fits(t, s, step->matches, step->n_matches, packet, m))
		return misfit(t, m, packet, in, a, true, NULL);
	return true;
}

bool strand_offer(struct timeline *t, struct strand *s, struct actor_state *a, const struct arrival *in,
                  const struct packet *packet, struct mismatch *m)
{
	static const uint8_t qos2[] = { PUBREC, PUBCOMP };

	arena_reset(t->stage->scratch);
	t->offered = a;
	switch (s->step->kind) {
	case STEP_EXPECT:
		return fits(t, s, a, in, packet, s->step->type, m);
	case STEP_RECEIVES:
		if (s->phase == 0)
			return fits(t, s, a, in, packet, PUBLISH, m);
		if (packet->packet_id != s->packet_id)
			return misfit(t, m, packet, in, a, true, m ? result_text(t->result, "packet_id: expected %u, received %u", s->packet_id, packet->packet_id) : NULL);
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
			return misfit(t, m, packet, in, a, false, "expected the broker to close");
		return true;
	default:
		return misfit(t, m, packet, in, a, false, "nobody waits for it");
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
			wait_arrival(t, s, 1u << a->number, RELEASE, id);
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

