#include "harness/play_capture.h"

#include <stdlib.h>

/* What comes for an actor of a capture, until one of its steps takes it. */

enum { MAX_WAITING_BYTES = 256 << 20 };	/* in all inboxes */

static void learn_alias(struct player *pl, const struct packet *packet, struct arrival *in)
{
	struct timeline *t = pl->play->timeline;
	uint64_t alias = packet->version == MQTT_5 ? property_number(packet->properties, PROP_topic_alias, 0) : 0;

	if (!alias || alias > pl->actor->conn.monitor.own_topic_alias_maximum)
		return;
	if (alias >= pl->cap_aliases) {
		uint32_t cap = pl->cap_aliases ? pl->cap_aliases : 8;

		while (cap <= alias)
			cap *= 2;
		pl->aliases = realloc(pl->aliases, cap * sizeof(*pl->aliases));
		if (!pl->aliases)
			abort();
		memset(pl->aliases + pl->cap_aliases, 0, (cap - pl->cap_aliases) * sizeof(*pl->aliases));
		pl->cap_aliases = cap;
	}
	if (packet->topic.len && !span_equal(packet->topic, pl->aliases[alias]))
		pl->aliases[alias] = region_copy(&t->region, packet->topic);
	in->topic = pl->aliases[alias];
}

void capture_arrived(struct actor_state *a, const uint8_t *bytes, size_t len, const struct packet *packet)
{
	struct timeline *t = a->timeline;
	struct player *pl = &t->capture->players[a->number];
	struct arrival *in;

	if (!packet)
		return;			/* the monitor has said why */
	if (packet->type == CONNACK)
		actor_connack(a, packet);
	scram_received(a, packet);
	if (packet->type == PINGRESP && a->pings_owed)
		a->pings_owed--;
	pl->n_missed[0] = 0;
	capture_wake(a);
	if (capture_is_passed_over(pl, packet)) {
		settle(a, packet->packet_id);
		return;
	}
	pl->n_unacknowledged += packet->type == PUBLISH && publish_qos(packet);
	if ((pl->state == PLAYER_DONE && !pl->asides && a->n_in) || a->n_in >= MAX_INBOX || t->in_bytes > MAX_WAITING_BYTES) {
		pl->n_dropped += packet->type != DISCONNECT;
		return;
	}
	in = inbox_put(a, packet->type, bytes, len, packet);
	if (packet->type == PUBLISH) {
		learn_alias(pl, packet, in);
		in->key = capture_key(in->topic.len ? in->topic : packet->topic, packet->payload);
	}
}
