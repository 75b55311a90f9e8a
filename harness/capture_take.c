#include "harness/play_capture.h"

#include <stdio.h>

/*
 * What a capture's steps wait for. An arrival is found by its kind, an answer by its packet id, and a delivery wherever it stands:
 * the order of deliveries was one broker's choice. An answer that differs is taken all the same, for there is no other; so is a delivery
 * with the same topic and payload when none has come that fits wholly.
 */

uint64_t capture_key(struct span topic, struct span payload)
{
	uint64_t h = 14695981039346656037u ^ topic.len;

	for (size_t i = 0; i < topic.len; i++)
		h = (h ^ topic.at[i]) * 1099511628211u;
	for (size_t i = 0; i < payload.len; i++)
		h = (h ^ payload.at[i]) * 1099511628211u;
	return h | 1;
}

static struct timeline *timeline_of(const struct player *pl)
{
	return pl->play->timeline;
}

/* ---- names that nobody bound ---- */

static int64_t unbound_in(const struct timeline *t, const struct expr *e)
{
	int64_t slot = -1;

	if (!e)
		return -1;
	if (e->kind == EXPR_VAR)
		return t->slots[e->slot].bound ? -1 : (int64_t)e->slot;
	for (uint32_t i = 0; i < e->n_items && slot < 0; i++)
		slot = unbound_in(t, e->items[i]);
	if (slot < 0)
		slot = unbound_in(t, e->left);
	return slot < 0 ? unbound_in(t, e->right) : slot;
}

int64_t capture_unbound(const struct player *pl, const struct step *step)
{
	const struct timeline *t = timeline_of(pl);
	int64_t slot = unbound_in(t, step->value);

	for (uint32_t i = 0; i < step->n_assigns && slot < 0; i++)
		slot = unbound_in(t, step->assigns[i].value);
	for (uint32_t i = 0; i < step->n_filters && slot < 0; i++)
		slot = unbound_in(t, step->filters[i].filter);
	for (const struct step *child = step->children; child && slot < 0; child = child->next)
		slot = capture_unbound(pl, child);
	return slot;
}

static bool pattern_unbound(const struct timeline *t, const struct pattern *p)
{
	if (unbound_in(t, p->value) >= 0 || unbound_in(t, p->high) >= 0)
		return true;
	for (uint32_t i = 0; i < p->n_items; i++)
		if (pattern_unbound(t, p->items[i]))
			return true;
	return false;
}

static bool expects_unbound(const struct timeline *t, const struct step *step)
{
	for (uint32_t i = 0; i < step->n_matches; i++)
		if (pattern_unbound(t, step->matches[i].pattern))
			return true;
	return false;
}

/* ---- taking ---- */

static bool decoded(const struct player *pl, const struct arrival *in, struct packet *packet)
{
	if (!arrival_decode(pl->actor, in, packet))
		return false;
	if (in->type == PUBLISH && !packet->topic.len)
		packet->topic = in->topic;
	return true;
}

static const struct match *matched(const struct step *step, const char *field)
{
	for (uint32_t i = 0; i < step->n_matches; i++)
		if (!strcmp(step->matches[i].field->name, field))
			return &step->matches[i];
	return NULL;
}

/* Bytes that the step names; NULL: none, or not by themselves. */
static const struct expr *named_bytes(const struct step *step, const char *field)
{
	const struct match *m = matched(step, field);

	return m && m->pattern->kind == PATTERN_EQUAL && m->pattern->value->kind == EXPR_BYTES ? m->pattern->value : NULL;
}

/* The id that an awaited packet must have; -1: any. */
static int32_t awaited_id(struct player *pl)
{
	const struct match *m = matched(pl->step, "packet_id");
	struct value v;

	if (!m || m->pattern->kind != PATTERN_EQUAL || !eval(timeline_of(pl), &pl->strand, m->pattern->value, &v))
		return -1;
	return v.kind == VALUE_NUMBER ? (int32_t)v.number : -1;
}

static const char *type_expected(struct timeline *t, unsigned type)
{
	return result_text(t->result, "expected %s", packet_name((enum packet_type)type));
}

/* Whether it is what was captured; if not, that is noted. Takes it in either case. */
static void take(struct player *pl, struct arrival *in, const struct packet *packet, unsigned type)
{
	struct timeline *t = timeline_of(pl);
	const struct step *step = pl->step;
	struct mismatch m = { 0 };
	bool fits = in->type == type && packet_fits(t, &pl->strand, step->matches, step->n_matches, packet, &m);

	if (in->type != type)
		m.because = type_expected(t, type);
	if (!fits)
		capture_differs(pl, NULL, packet_text(t, packet, FROM_SERVER), m.because);
	if (in->type == type)
		packet_bind(t, step->matches, step->n_matches, packet);
	for (uint32_t i = 0; in->type == PUBLISH && i < step->n_matches; i++)
		if (step->matches[i].bind >= 0)
			t->slots[step->matches[i].bind].came_with = (uint8_t)(1 + publish_qos(packet));
	if (in->kind == ANSWER)
		settle(pl->actor, packet->packet_id);
	if (in->kind == DELIVERY)
		pl->n_nearly = (uint8_t)(fits ? 0 : pl->n_nearly + (pl->n_nearly < NEARLY));
	if (pl->play->capture->steps[pl->number].part == PART_DELIVERY)
		pl->n_missed[1] = 0;
	inbox_take(pl->actor, in);
	capture_survives(t);
}

/* The oldest of a kind, with that id unless it is -1. */
static struct arrival *oldest(struct player *pl, enum arrival_kind kind, int32_t id, struct packet *packet)
{
	for (struct arrival *in = pl->actor->n_of[kind] ? pl->actor->in : NULL; in; in = in->next)
		if (in->kind == kind && in->type && (id < 0 || in->packet_id == id) && decoded(pl, in, packet))
			return in;
	return NULL;
}

static struct arrival *find_delivery(struct player *pl, struct packet *packet)
{
	struct timeline *t = timeline_of(pl);
	const struct expr *topic = named_bytes(pl->step, "topic"), *payload = named_bytes(pl->step, "payload");
	bool own = topic && topic->bytes.len && topic->bytes.at[0] == '$';	/* the broker's: what it says there is its choice */
	uint64_t key = topic && payload && !own ? capture_key(topic->bytes, payload->bytes) : 0;
	struct arrival *near = NULL;

	for (struct arrival *in = pl->actor->n_of[DELIVERY] ? pl->actor->in : NULL; in; in = in->next) {
		if (in->kind != DELIVERY || (key && in->key != key) || !decoded(pl, in, packet))
			continue;
		arena_reset(t->stage->scratch);
		if (packet_fits(t, &pl->strand, pl->step->matches, pl->step->n_matches, packet, NULL))
			return in;
		capture_survives(t);
		if (!near && (key || (own && span_equal(packet->topic, topic->bytes))))
			near = in;
	}
	return near && (pl->adrift || pl->late || pl->n_nearly >= NEARLY) && decoded(pl, near, packet) ? near : NULL;
}

/* ---- kinds of steps ---- */

static bool take_closed(struct player *pl)
{
	struct timeline *t = timeline_of(pl);
	struct packet packet;
	struct arrival *in;

	if (!capture_is_gone(pl))
		return false;
	while ((in = oldest(pl, CONNECTION, -1, &packet))) {
		if (pl->step->closed_reason && packet.type == DISCONNECT && !reason_fits(t, &pl->strand, pl->step->closed_reason, packet.reason))
			capture_differs(pl, NULL, packet_text(t, &packet, FROM_SERVER), "the reason is another");
		inbox_take(pl->actor, in);
	}
	capture_survives(t);
	pl->gone = true;		/* as it was captured: nothing to be said of it */
	return true;
}

static bool take_expected(struct player *pl)
{
	enum arrival_kind kind = arrival_kind_of(pl->step->type);
	struct packet packet;
	struct arrival *in;

	if (kind == DELIVERY)
		in = find_delivery(pl, &packet);
	else
		in = oldest(pl, kind, kind == ANSWER || kind == RELEASE ? awaited_id(pl) : -1, &packet);
	if (!in)
		return false;
	take(pl, in, &packet, pl->step->type);
	return true;
}

static bool take_delivery(struct player *pl)
{
	struct timeline *t = timeline_of(pl);
	struct packet packet;
	struct arrival *in = pl->phase ? oldest(pl, RELEASE, pl->strand.packet_id, &packet) : find_delivery(pl, &packet);
	unsigned qos;

	if (!in)
		return false;
	if (pl->phase) {
		inbox_take(pl->actor, in);
		send_packet(t, pl->actor, PUBCOMP, pl->strand.packet_id);
		return true;
	}
	qos = publish_qos(&packet);
	pl->strand.packet_id = packet.packet_id;
	take(pl, in, &packet, PUBLISH);
	if (qos)
		send_packet(t, pl->actor, qos == 1 ? PUBACK : PUBREC, pl->strand.packet_id);
	if (qos != 2)
		return true;
	pl->phase = 1;
	return take_delivery(pl);
}

/* ---- exchanges ---- */

static unsigned answer_of(const struct player *pl)
{
	switch (pl->step->kind) {
	case STEP_CONNECTS:     return CONNACK;
	case STEP_SUBSCRIBES:   return SUBACK;
	case STEP_UNSUBSCRIBES: return UNSUBACK;
	case STEP_PUBLISHES:    return pl->strand.qos == 0 ? PINGRESP : pl->strand.qos == 1 ? PUBACK : pl->phase ? PUBCOMP : PUBREC;
	default:                return PINGRESP;
	}
}

static bool is_refusal(const struct packet *packet)
{
	if (packet->type != SUBACK && packet->type != UNSUBACK)
		return packet->type == CONNACK ? packet->reason : packet->reason >= 0x80;
	for (size_t i = 0; i < packet->list.len; i++)
		if (packet->list.at[i] >= 0x80)
			return true;
	return false;
}

static bool take_answer(struct player *pl)
{
	struct timeline *t = timeline_of(pl);
	unsigned type = answer_of(pl);
	enum arrival_kind kind = arrival_kind_of((enum packet_type)type);
	struct packet packet;
	struct arrival *in = oldest(pl, kind, kind == ANSWER ? pl->strand.packet_id : -1, &packet);
	bool refused, goes_on;

	if (!in)
		return false;
	refused = in->type == type && is_refusal(&packet);
	goes_on = type == PUBREC && in->type == PUBREC && !refused;
	if (refused && !pl->step->n_matches) {
		capture_differs(pl, NULL, packet_text(t, &packet, FROM_SERVER), "it was refused");
		settle(pl->actor, packet.packet_id);
		inbox_take(pl->actor, in);
	} else {
		take(pl, in, &packet, type);
	}
	if (!goes_on)
		return true;
	pl->phase = 1;
	send_packet(t, pl->actor, PUBREL, pl->strand.packet_id);
	capture_survives(t);
	return take_answer(pl);
}

bool capture_begin_exchange(struct player *pl)
{
	struct timeline *t = timeline_of(pl);
	const char *why;

	if (!send_step(t, &pl->strand, pl->step, NULL) && !t->over)
		return true;				/* a limit keeps it back */
	if (pl->step->kind == STEP_PUBLISHES && !pl->strand.qos && !t->over)
		send_packet(t, pl->actor, PINGREQ, 0);	/* QoS 0 has no answer of its own */
	if (pl->actor->conn.end == END_REFUSED)
		pl->actor->ended = true;
	if ((why = capture_survives(t))) {
		capture_notes(pl, "`%s` could not be sent: %s", capture_said(pl), why);
		return true;
	}
	capture_waits(pl);
	return false;
}

/* ---- what the player asks ---- */

bool capture_take(struct player *pl)
{
	struct timeline *t = timeline_of(pl);

	arena_reset(t->stage->scratch);
	switch (pl->step->kind) {
	case STEP_EXPECT:
		if (expects_unbound(t, pl->step)) {
			pl->play->replayed->n_passed_over++;	/* what it follows upon did not come, and that is noted */
			return true;
		}
		return capture_is_lower(pl) || take_expected(pl);
	case STEP_RECEIVES:    return take_delivery(pl);
	case STEP_CLOSED:      return take_closed(pl);
	case STEP_DISCONNECTS: return capture_is_gone(pl);
	default:               return take_answer(pl);
	}
}

void capture_expired(struct player *pl)
{
	struct timeline *t = timeline_of(pl);
	const struct step *step = pl->step;
	const char *time = duration_text(t, capture_patience(pl));
	uint8_t *n_missed = &pl->n_missed[pl->play->capture->steps[pl->number].part == PART_DELIVERY];

	*n_missed += *n_missed < MAX_HALVINGS;
	if (step->kind == STEP_DISCONNECTS) {		/* that the broker closes is only SHOULD */
		conn_close(&pl->actor->conn, false);
		pl->actor->ended = true;
	} else if (step->kind == STEP_CLOSED) {
		capture_differs(pl, NULL, result_text(t->result, "nothing: the connection is still open after %s", time), NULL);
	} else if (pl->actor->n_of[DELIVERY] && arrival_kind_of(step->type) == DELIVERY && !pl->phase) {
		capture_differs(pl, NULL, result_text(t->result, "nothing that fits within %s; unread: %u other%s", time, pl->actor->n_of[DELIVERY],
		                                      pl->actor->n_of[DELIVERY] == 1 ? "" : "s"), NULL);
	} else {
		capture_differs(pl, NULL, result_text(t->result, "nothing within %s", time), NULL);
	}
}

void capture_unasked(struct player *pl)
{
	struct actor_state *a = pl->actor;
	struct packet packet;
	struct arrival *first = NULL;
	unsigned n = 0;

	for (struct arrival *in = a->in; in; in = in->next) {
		if (!in->type || in->type == DISCONNECT)
			continue;
		n++;
		if (!first)
			first = in;
	}
	n += pl->n_dropped;
	pl->n_dropped = 0;
	pl->play->replayed->n_unasked += n;
	if (first && decoded(pl, first, &packet))
		capture_notes(pl, "%s: %u packet%s came that the capture does not have, the first of them %s",
		              timeline_of(pl)->script->actors[a->number].name, n, n == 1 ? "" : "s", packet_text(timeline_of(pl), &packet, FROM_SERVER));
	inbox_clear(a);
}
