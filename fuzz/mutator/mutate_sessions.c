#include "fuzz/mutator/sequence.h"

#include "codec/codec.h"
#include "codec/fields.h"

/* A sequence, by what sessions are made of: how long things last, and exchanges that are under way. */

#define N(table) (sizeof(table) / sizeof(*(table)))

/* ---- intervals ---- */

/*
 * Seconds just past what fits into so many bits once they were reckoned into something else: one and a half times as long, minutes, milliseconds, microseconds. An interval that has
 * overflown is over at once.
 */
static uint32_t an_interval(struct random *random, uint64_t most)
{
	static const struct { uint32_t of, in; } units[] = { { 1, 1 }, { 2, 3 }, { 1, 2 }, { 1, 3 }, { 1, 10 }, { 1, 60 }, { 1, 1000 }, { 1, 1000000 } };
	static const uint8_t bits[] = { 15, 16, 31, 32 };
	uint64_t seconds;

	do {
		size_t unit = random_below(random, N(units)), width = random_below(random, N(bits));

		seconds = (UINT64_C(1) << bits[width]) * units[unit].of / units[unit].in;
		seconds += random_below(random, 3);
		seconds -= seconds > most ? random_below(random, 3) : 0;
	} while (seconds < 256 || seconds > most);
	return (uint32_t)seconds;
}

/* And silence, in which it may run out. */
static bool keep_alive_at_limit(struct sequence *s, uint32_t at, struct packet *p)
{
	const struct move more[] = {
		{ .kind = MOVE_AWAIT, .client = s->moves->at[at].client },
		{ .kind = MOVE_WAIT, .client = s->moves->at[at].client, .value = (uint8_t)(1 + pick(s, 4)) },
	};
	struct span bytes;

	p->keep_alive = (uint16_t)an_interval(s->random, UINT16_MAX);
	if (!keep_packet(s, p, &bytes) || s->moves->n + N(more) > MOVES_MAX)
		return false;
	s->moves->at[at] = a_send(s->moves->at[at].client, bytes);
	return insert_said(s, ANOMALY_KEEP_ALIVE_AT_LIMIT, at + 1, more, N(more));
}

/* Its owner goes, and comes back after a short while. */
static bool session_at_limit(struct sequence *s, uint32_t at, struct packet *p)
{
	uint8_t client = s->moves->at[at].client;
	uint32_t behind = at + 1 + pick(s, s->moves->n - at);
	bool drops = one_in(s->random, 2);
	uint8_t halves = (uint8_t)(1 + pick(s, 4));
	struct span connects, returns;

	while (behind > at + 1 && connect_before(s->moves, behind, client) != (int)at)
		behind--;
	p->properties = with_number(s->arena, p->properties, PROP_session_expiry_interval, an_interval(s->random, UINT32_MAX));
	if (!keep_packet(s, p, &connects))
		return false;
	p->connect_flags &= (uint8_t)~CONNECT_CLEAN_START;
	if (!keep_packet(s, p, &returns) || s->moves->n + 6 > MOVES_MAX)
		return false;
	const struct move more[] = {
		{ .kind = MOVE_AWAIT, .client = client },
		{ .kind = drops ? MOVE_DROP : MOVE_CLOSE, .client = client },
		{ .kind = MOVE_WAIT, .client = client, .value = halves },
		{ .kind = MOVE_OPEN, .client = client },
		a_send(client, returns),
		{ .kind = MOVE_AWAIT, .client = client },
	};
	s->moves->at[at] = a_send(client, connects);
	return insert_said(s, ANOMALY_EXPIRY_AT_LIMIT, behind, more, N(more));
}

bool mutate_interval(struct sequence *s)
{
	int at = pick_send(s, ON(CONNECT));
	struct packet p;

	if (!decode_send(s, at, &p) || p.type != CONNECT)
		return false;
	if (p.version == MQTT_5 && one_in(s->random, 2))
		return session_at_limit(s, (uint32_t)at, &p);
	return keep_alive_at_limit(s, (uint32_t)at, &p);
}

/* ---- exchanges ---- */

static bool an_acknowledgement(struct sequence *s, uint8_t client, uint32_t at, unsigned type, uint16_t id, struct span *bytes)
{
	struct packet p = { .version = (uint8_t)moves_version(s->moves, at, client), .type = (uint8_t)type, .flags = type == PUBREL ? 2 : 0, .packet_id = id };

	return keep_packet(s, &p, bytes);
}

/*
 * A PUBLISH that is to be exchanged in full, most often at QoS 2: *p, and its bytes as they are to be. -1: there is none, or no room. Its packet id is one that hardly anybody else has, so
 * that who meets it meets this exchange, whoever else plays.
 */
static int an_exchange(struct sequence *s, struct packet *p, struct span *bytes)
{
	int at = pick_send(s, ON(PUBLISH));

	if (!decode_send(s, at, p) || p->type != PUBLISH)
		return -1;
	if (publish_qos(p) != 2 && (!publish_qos(p) || !one_in(s->random, 4)))
		p->flags = (uint8_t)((p->flags & ~(3u << PUBLISH_QOS_SHIFT)) | 2u << PUBLISH_QOS_SHIFT);
	p->packet_id = (uint16_t)(1 + pick(s, UINT16_MAX));
	return keep_packet(s, p, bytes) ? at : -1;
}

enum { WATCH_MOVES = 2 };

/* Every other time who publishes subscribes to it before, so that somebody sees what comes of it. There is room for WATCH_MOVES. Returns where the PUBLISH stands then. */
static int watched(struct sequence *s, int at, const struct packet *p)
{
	uint8_t client = s->moves->at[at].client;
	struct span bytes;

	if (!p->topic.len || one_in(s->random, 2) || !make_subscribe(s, (enum version)p->version, p->topic, &bytes))
		return at;
	const struct move more[WATCH_MOVES] = { a_send(client, bytes), { .kind = MOVE_AWAIT, .client = client } };

	insert_many(s->moves, (uint32_t)at, more, N(more));
	return at + WATCH_MOVES;
}

/* Somebody answers what was not sent to him: before the packet id is used for something, or while it is, by its owner or by another. Then the exchange goes on. */
bool mutate_stray(struct sequence *s)
{
	static const uint8_t types[] = { PUBREL, PUBREL, PUBREL, PUBREC, PUBCOMP, PUBACK };
	struct packet p;
	struct span bytes, answer;
	int at = an_exchange(s, &p, &bytes);
	uint8_t owner, other;

	if (at < 0 || s->moves->n + 4 + WATCH_MOVES > MOVES_MAX)
		return false;
	owner = s->moves->at[at].client;
	other = one_in(s->random, 2) ? owner : pick_connected(s, (uint32_t)at, owner);
	if (!an_acknowledgement(s, other, (uint32_t)at, types[pick(s, N(types))], p.packet_id, &answer))
		return false;
	const struct move stray[] = { a_send(other, answer), { .kind = MOVE_AWAIT, .client = other } };
	const struct move goes_on[] = { { .kind = MOVE_AWAIT, .client = owner }, { .kind = MOVE_ANSWER, .client = owner, .value = ANSWER_RIGHT } };
	bool before = other == owner ? !one_in(s->random, 4) : one_in(s->random, 2);

	at = watched(s, at, &p);
	s->moves->at[at] = a_send(owner, bytes);
	insert_many(s->moves, (uint32_t)at + 1, goes_on, N(goes_on));
	return insert_said(s, ANOMALY_STRAY_ANSWER, before ? (uint32_t)at : (uint32_t)at + 2, stray, N(stray));
}

/* Sent again as if its acknowledgement had not come, on this connection or after the session was resumed; or something else under its packet id, at another QoS. */
bool mutate_resent(struct sequence *s)
{
	struct packet p;
	struct span bytes, again, returns;
	int at = an_exchange(s, &p, &bytes), connect;
	uint8_t client;
	uint32_t n = 0;
	struct move more[8];
	bool resumed, other = one_in(s->random, 4);

	if (at < 0 || s->moves->n + N(more) + WATCH_MOVES > MOVES_MAX)
		return false;
	client = s->moves->at[at].client;
	connect = connect_before(s->moves, (uint32_t)at, client);
	if (other)
		p.flags ^= 3u << PUBLISH_QOS_SHIFT;
	else
		p.flags |= PUBLISH_DUP;
	resumed = !other && (p.version == MQTT_5 || one_in(s->random, 2));	/* [5 MQTT-4.4.0-1] at no other time */
	if (connect < 0 || !keep_packet(s, &p, &again) || (resumed && !change_connect(s, s->moves->at[connect].bytes, CONNECT_KEEPS_SESSION, &returns)))
		return false;
	at = watched(s, at, &p);
	s->moves->at[at] = a_send(client, bytes);
	if (resumed) {			/* whoever read the acknowledgement would have no reason to send it again */
		s->moves->at[connect] = a_send(client, returns);
		insert_many(s->moves, (uint32_t)at++, &(struct move){ .kind = MOVE_STOP_READING, .client = client }, 1);
		more[n++] = (struct move){ .kind = MOVE_PAUSE, .client = client, .value = 20 };
		more[n++] = (struct move){ .kind = MOVE_DROP, .client = client };
		more[n++] = (struct move){ .kind = MOVE_OPEN, .client = client };
		more[n++] = a_send(client, returns);
		more[n++] = (struct move){ .kind = MOVE_AWAIT, .client = client };
	}
	more[n++] = a_send(client, again);
	more[n++] = (struct move){ .kind = MOVE_AWAIT, .client = client };
	return insert_said(s, other ? ANOMALY_ID_IN_USE : ANOMALY_SENT_AGAIN, (uint32_t)at + 1, more, n);
}

/* More messages than somebody takes at once, so that the rest waits for his acknowledgements. */
bool mutate_window(struct sequence *s)
{
	int connect = pick_send(s, ON(CONNECT)), at;
	struct packet p;
	struct span narrow, bytes;
	struct move more[4];
	uint32_t n = 1 + pick(s, 4);

	if (!decode_send(s, connect, &p) || p.type != CONNECT || p.version != MQTT_5 || s->moves->n + n > MOVES_MAX)
		return false;
	p.properties = with_number(s->arena, p.properties, PROP_receive_maximum, 1 + pick(s, 3));
	if (!keep_packet(s, &p, &narrow) || (at = an_exchange(s, &p, &bytes)) < 0)
		return false;
	for (uint32_t i = 0; i < n; i++) {
		struct span again;

		p.packet_id = (uint16_t)(p.packet_id % UINT16_MAX + 1);
		if (!keep_packet(s, &p, &again))
			return false;
		more[i] = a_send(s->moves->at[at].client, again);
	}
	s->moves->at[connect] = a_send(s->moves->at[connect].client, narrow);
	s->moves->at[at] = a_send(s->moves->at[at].client, bytes);
	return insert_said(s, ANOMALY_WINDOW_NARROWED, (uint32_t)at + 1, more, n);
}
