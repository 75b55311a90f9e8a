#include "harness/play_capture.h"

#include <stdlib.h>

/*
 * The limits of the target in place of those of the broker that was captured: what a client of 5 may not send here is sent as it may be,
 * or waits, or is kept back, and that is said once for each client. What the client did wrong on purpose stays as it is.
 */

enum noted { LIMIT_ALIAS = 1, LIMIT_QOS = 2, LIMIT_RETAIN = 4, LIMIT_SIZE = 8 };

enum { N_IDS = 65536 };

static struct player *player_of(const struct actor_state *a)
{
	return &a->timeline->capture->players[a->number];
}

static bool limited(const struct actor_state *a)
{
	return a->version == MQTT_5 && a->connected && !monitor_is_lenient(&a->conn.monitor);
}

static uint64_t in_force(const struct actor_state *a, enum property_id property)
{
	return monitor_in_force(&a->conn.monitor, property);
}

static bool first_of(struct player *pl, enum noted limit)
{
	bool first = !(pl->noted & limit);

	pl->noted |= (uint8_t)limit;
	return first;
}

static const char *name_of(const struct player *pl)
{
	return pl->play->timeline->script->actors[pl->actor->number].name;
}

/* ---- what a step says ---- */

static const struct assign *said(const struct step *step, const char *field)
{
	for (uint32_t i = 0; i < step->n_assigns; i++)
		if (step->assigns[i].field && step->assigns[i].kind == ASSIGN_FIELD && !strcmp(step->assigns[i].field->name, field))
			return &step->assigns[i];
	return NULL;
}

static uint64_t number_said(const struct step *step, const char *field)
{
	const struct assign *as = said(step, field);

	return as && as->value && as->value->kind == EXPR_NUMBER ? as->value->number : 0;
}

uint16_t capture_step_id(const struct step *step)
{
	if (step->kind == STEP_SEND)
		return (uint16_t)number_said(step, "packet_id");
	for (uint32_t i = 0; i < step->n_matches; i++) {
		const struct match *m = &step->matches[i];

		if (!strcmp(m->field->name, "packet_id") && m->pattern->kind == PATTERN_EQUAL && m->pattern->value->kind == EXPR_NUMBER)
			return (uint16_t)m->pattern->value->number;
	}
	return 0;
}

/* Upon a PUBLISH of the client's own. */
bool capture_follows(const struct step *step)
{
	if (step->kind == STEP_EXPECT)
		return step->type == PUBACK || step->type == PUBREC || step->type == PUBCOMP;
	return step->kind == STEP_SEND && step->type == PUBREL;
}

/* ---- what is under way ---- */

/* Told of each packet that goes out: what the target may be waiting for. */
void capture_sent(struct actor_state *a, const struct packet *packet)
{
	struct player *pl = player_of(a);

	switch (packet->type) {
	case CONNECT:
		pl->n_unreleased = pl->n_unacknowledged = 0;
		break;
	case PUBLISH:
		pl->n_unreleased += publish_qos(packet) == 2 && !(packet->flags & PUBLISH_DUP);
		break;
	case PUBREL:
		pl->n_unreleased -= pl->n_unreleased > 0;
		break;
	case PUBREC:
		if (packet->reason >= 0x80)
			pl->n_unacknowledged -= pl->n_unacknowledged > 0;
		break;
	case PUBACK: case PUBCOMP:
		pl->n_unacknowledged -= pl->n_unacknowledged > 0;
		break;
	default:
		break;
	}
}

bool capture_owes(const struct player *pl)
{
	return pl->n_unreleased || pl->n_unacknowledged;
}

/* ---- Receive Maximum ---- */

bool capture_has_room(const struct player *pl, const struct step *step)
{
	const struct actor_state *a = pl->actor;
	bool publishes = step->kind == STEP_PUBLISHES || (step->kind == STEP_SEND && step->type == PUBLISH);

	if (!publishes || step->illegal || !limited(a) || !number_said(step, "qos") || !in_force(a, PROP_maximum_qos))
		return true;
	return a->conn.monitor.opened < in_force(a, PROP_receive_maximum);
}

static void keep_back(struct player *pl, uint16_t packet_id)
{
	if (!packet_id)
		return;
	if (!pl->kept_back)
		pl->kept_back = calloc(N_IDS / 8, 1);
	if (!pl->kept_back)
		abort();
	pl->kept_back[packet_id / 8] |= (uint8_t)(1u << packet_id % 8);
}

static bool is_kept_back(const struct player *pl, uint16_t packet_id)
{
	return pl->kept_back && pl->kept_back[packet_id / 8] & 1u << packet_id % 8;
}

void capture_no_room(struct player *pl)
{
	pl->play->replayed->n_passed_over++;
	pl->n_missed[0] += pl->n_missed[0] < MAX_HALVINGS;
	capture_notes(pl, "`%s` is not sent: the target's Receive Maximum (%u) was used up all the time", capture_said(pl),
	              (unsigned)in_force(pl->actor, PROP_receive_maximum));
	keep_back(pl, capture_step_id(pl->step));
}

/* ---- what follows upon a message that was not sent as it was captured ---- */

bool capture_cannot_come(const struct player *pl)
{
	return pl->kept_back && capture_follows(pl->step) && is_kept_back(pl, capture_step_id(pl->step));
}

bool capture_is_passed_over(const struct player *pl, const struct packet *packet)
{
	return packet->type == PUBACK && is_kept_back(pl, packet->packet_id);
}

/* The slot whose name a step has for packet id; -1: it says a number, or nothing. */
static int64_t id_slot(const struct step *step)
{
	const struct assign *as = said(step, "packet_id");

	if (step->kind == STEP_SEND)
		return as && as->value && as->value->kind == EXPR_VAR ? (int64_t)as->value->slot : -1;
	for (uint32_t i = 0; i < step->n_matches; i++) {
		const struct match *m = &step->matches[i];

		if (!strcmp(m->field->name, "packet_id") && m->pattern->kind == PATTERN_EQUAL && m->pattern->value->kind == EXPR_VAR)
			return (int64_t)m->pattern->value->slot;
	}
	return -1;
}

/* The target grants less QoS than was captured: PUBACK takes the place of PUBREC, and what more there was is passed over. */
bool capture_is_lower(struct player *pl)
{
	struct timeline *t = pl->play->timeline;
	const struct step *step = pl->step;
	bool answers = step->kind == STEP_SEND && (step->type == PUBACK || step->type == PUBREC || step->type == PUBCOMP);
	int64_t slot = answers || (step->kind == STEP_EXPECT && step->type == PUBREL) ? id_slot(step) : -1;
	uint8_t came_with = slot < 0 || step->illegal ? 0 : t->slots[slot].came_with;

	if (!came_with || came_with > 2 || (came_with == 2 && step->type == PUBACK))
		return false;
	if (came_with == 2 && step->type == PUBREC)
		send_packet(t, pl->actor, PUBACK, (uint16_t)t->slots[slot].value.number);
	else
		pl->play->replayed->n_passed_over++;
	return true;
}

/* ---- what a PUBLISH may be here ---- */

static struct own_alias *own_alias(struct player *pl, uint64_t alias)
{
	if (alias >= pl->cap_own_aliases) {
		uint32_t cap = pl->cap_own_aliases ? pl->cap_own_aliases : 8;

		while (cap <= alias)
			cap *= 2;
		pl->own_aliases = realloc(pl->own_aliases, cap * sizeof(*pl->own_aliases));
		if (!pl->own_aliases)
			abort();
		memset(pl->own_aliases + pl->cap_own_aliases, 0, (cap - pl->cap_own_aliases) * sizeof(*pl->own_aliases));
		pl->cap_own_aliases = cap;
	}
	return &pl->own_aliases[alias];
}

void capture_forget_limits(struct player *pl)
{
	free(pl->own_aliases);
	pl->own_aliases = NULL;
	pl->cap_own_aliases = 0;
	free(pl->kept_back);
	pl->kept_back = NULL;
	pl->noted = 0;
}

static void name_topic(struct player *pl, const struct step *step, struct builder *b)
{
	const struct assign *as = said(step, "topic_alias");
	uint64_t alias = number_said(step, "topic_alias"), maximum = in_force(pl->actor, PROP_topic_alias_maximum);
	const struct value absent = { .kind = VALUE_ABSENT };
	struct own_alias *own;

	if (!alias || alias > UINT16_MAX)
		return;
	own = own_alias(pl, alias);
	if (b->packet.topic.len && !span_equal(b->packet.topic, own->topic)) {
		own->topic = region_copy(&pl->play->timeline->region, b->packet.topic);
		own->told = false;
	}
	if (!limited(pl->actor) || !own->topic.len)	/* it stands for nothing: the client's mistake, and it stays */
		return;
	if (!own->told)
		b->packet.topic = own->topic;
	if (alias <= maximum)
		return;
	builder_set(b, as->field, &absent);
	if (first_of(pl, LIMIT_ALIAS)) {
		if (maximum)
			capture_notes(pl, "%s: topic aliases above %u are sent as topics: the target takes no higher", name_of(pl), (unsigned)maximum);
		else
			capture_notes(pl, "%s: topic aliases are sent as topics: the target takes none", name_of(pl));
	}
}

static void lower_qos(struct player *pl, const struct step *step, struct packet *p)
{
	unsigned maximum = (unsigned)in_force(pl->actor, PROP_maximum_qos);

	if (publish_qos(p) <= maximum)
		return;
	if (step->kind == STEP_SEND)
		keep_back(pl, p->packet_id);
	p->flags = (uint8_t)((p->flags & ~6u) | maximum << 1);
	if (!maximum) {
		p->flags &= (uint8_t)~PUBLISH_DUP;
		p->packet_id = 0;
	}
	if (first_of(pl, LIMIT_QOS))
		capture_notes(pl, "%s: messages above QoS %u are sent with it: the target takes no higher", name_of(pl), maximum);
}

void capture_limit(struct actor_state *a, const struct step *step, struct builder *b)
{
	struct player *pl = player_of(a);
	struct packet *p = &b->packet;

	if (p->type != PUBLISH || step->illegal || a->version != MQTT_5)
		return;
	if (is_kept_back(pl, p->packet_id))
		pl->kept_back[p->packet_id / 8] &= (uint8_t)~(1u << p->packet_id % 8);	/* the id is used again */
	name_topic(pl, step, b);
	if (!limited(a))
		return;
	lower_qos(pl, step, p);
	if (p->flags & PUBLISH_RETAIN && !in_force(a, PROP_retain_available)) {
		p->flags &= (uint8_t)~PUBLISH_RETAIN;
		if (first_of(pl, LIMIT_RETAIN))
			capture_notes(pl, "%s: retained messages are sent without RETAIN: the target retains none", name_of(pl));
	}
}

bool capture_limit_size(struct actor_state *a, const struct step *step, const struct packet *p, size_t size)
{
	struct player *pl = player_of(a);
	uint64_t maximum = in_force(a, PROP_maximum_packet_size);
	uint64_t alias = p->type == PUBLISH && a->version == MQTT_5 ? number_said(step, "topic_alias") : 0;

	if (p->type != CONNECT && !step->illegal && limited(a) && maximum && size > maximum) {
		pl->play->replayed->n_passed_over++;
		if (p->type == PUBLISH)
			keep_back(pl, p->packet_id);
		if (first_of(pl, LIMIT_SIZE))
			capture_notes(pl, "%s: packets of more than %llu bytes are not sent: the target's Maximum Packet Size", name_of(pl),
			              (unsigned long long)maximum);
		return false;
	}
	if (alias && alias < pl->cap_own_aliases && limited(a))
		pl->own_aliases[alias].told = alias <= in_force(a, PROP_topic_alias_maximum);
	return true;
}
