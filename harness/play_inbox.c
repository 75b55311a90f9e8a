#include "harness/play.h"

#include <stdlib.h>

/* The inbox: an arrival waits here until a step takes it or its connection is replaced. */

enum arrival_kind arrival_kind_of(enum packet_type type)
{
	switch (type) {
	case PUBLISH:  return DELIVERY;
	case PUBREL:   return RELEASE;
	case PUBACK: case PUBREC: case PUBCOMP: case SUBACK: case UNSUBACK: return ANSWER;
	case PINGRESP: return PONG;
	default:       return CONNECTION;
	}
}

struct arrival *inbox_put(struct actor_state *a, enum packet_type type, const uint8_t *bytes, size_t len, const struct packet *packet)
{
	struct arrival *in = malloc(sizeof(*in) + len);

	if (!in)
		abort();
	*in = (struct arrival){
		.at_ns = a->timeline->stage->loop->now_ns, .kind = (uint8_t)arrival_kind_of(type), .type = (uint8_t)type,
		.packet_id = packet ? packet->packet_id : 0, .len = (uint32_t)len,
	};
	if (len)
		memcpy(in->bytes, bytes, len);
	*a->last_in = in;
	a->last_in = &in->next;
	a->n_in++;
	a->n_of[in->kind]++;
	a->in_bytes += (uint32_t)len;
	a->timeline->in_bytes += sizeof(*in) + len;
	return in;
}

void inbox_take(struct actor_state *a, struct arrival *arrival)
{
	for (struct arrival **at = &a->in; *at; at = &(*at)->next)
		if (*at == arrival) {
			*at = arrival->next;
			if (a->last_in == &arrival->next)
				a->last_in = at;
			a->n_in--;
			a->n_of[arrival->kind]--;
			a->in_bytes -= arrival->len;
			a->timeline->in_bytes -= sizeof(*arrival) + arrival->len;
			free(arrival);
			return;
		}
}

void inbox_clear(struct actor_state *a)
{
	while (a->in)
		inbox_take(a, a->in);
	free(a->open);
	a->open = NULL;
	a->n_open = a->cap_open = 0;
	a->n_seen = 0;
	a->pings_owed = a->probes_owed = 0;
}

bool arrival_decode(const struct actor_state *a, const struct arrival *arrival, struct packet *packet)
{
	struct finding finding;

	return arrival->type && decode(arrival->bytes, arrival->len, a->version, packet, &finding) == CODEC_OK;
}

/* ---- answers we are owed: open addressing by packet id, a slot that owes nothing is free ---- */

/* Where the id stands, or would stand. */
static uint32_t open_slot(const struct actor_state *a, uint16_t packet_id)
{
	uint32_t at = packet_id & (a->cap_open - 1);

	while (a->open[at].owed && a->open[at].packet_id != packet_id)
		at = (at + 1) & (a->cap_open - 1);
	return at;
}

static void grow_open(struct actor_state *a)
{
	struct open_id *old = a->open;
	uint32_t old_cap = a->cap_open;

	a->cap_open = old_cap ? old_cap * 2 : 4;
	a->open = calloc(a->cap_open, sizeof(*a->open));
	if (!a->open)
		abort();
	for (uint32_t i = 0; i < old_cap; i++)
		if (old[i].owed)
			a->open[open_slot(a, old[i].packet_id)] = old[i];
	free(old);
}

void owe(struct actor_state *a, uint16_t packet_id)
{
	if (a->n_open * 4 >= a->cap_open * 3)
		grow_open(a);
	struct open_id *o = &a->open[open_slot(a, packet_id)];

	o->packet_id = packet_id;
	a->n_open += !o->owed;
	o->owed += o->owed < UINT16_MAX;
}

bool owed(const struct actor_state *a, uint16_t packet_id)
{
	return a->n_open && a->open[open_slot(a, packet_id)].owed;
}

void settle(struct actor_state *a, uint16_t packet_id)
{
	if (!owed(a, packet_id))
		return;
	uint32_t hole = open_slot(a, packet_id), mask = a->cap_open - 1;

	if (--a->open[hole].owed)
		return;
	a->n_open--;
	/* Those behind it that it had kept from their place move up. */
	for (uint32_t i = (hole + 1) & mask; a->open[i].owed; i = (i + 1) & mask) {
		uint32_t home = a->open[i].packet_id & mask;

		if (((i - home) & mask) >= ((i - hole) & mask)) {
			a->open[hole] = a->open[i];
			a->open[i].owed = 0;
			hole = i;
		}
	}
}

/* ---- deliveries that 3.1.1 may send again on a live connection ---- */

static uint64_t hash(const struct packet *packet)
{
	uint64_t h = 14695981039346656037u;

	for (size_t i = 0; i < packet->topic.len; i++)
		h = (h ^ packet->topic.at[i]) * 1099511628211u;
	for (size_t i = 0; i < packet->payload.len; i++)
		h = (h ^ packet->payload.at[i]) * 1099511628211u;
	return h ^ packet->packet_id;
}

bool seen_before(struct actor_state *a, const struct packet *packet)
{
	uint64_t h;

	if (a->version == MQTT_5 || !(packet->flags & PUBLISH_DUP) || !publish_qos(packet) || !a->n_seen)
		return false;
	h = hash(packet);
	for (uint32_t i = 0; i < a->n_seen; i++)
		if (a->seen[i].packet_id == packet->packet_id && a->seen[i].hash == h)
			return true;
	return false;
}

void remember_seen(struct actor_state *a, const struct packet *packet)
{
	if (a->version == MQTT_5 || !publish_qos(packet))
		return;
	if (a->n_seen == a->cap_seen) {
		a->cap_seen = a->cap_seen ? a->cap_seen * 2 : 4;
		a->seen = realloc(a->seen, a->cap_seen * sizeof(*a->seen));
		if (!a->seen)
			abort();
	}
	a->seen[a->n_seen++] = (struct seen){ packet->packet_id, hash(packet) };
}
