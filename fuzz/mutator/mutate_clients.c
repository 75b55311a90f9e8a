#include "fuzz/mutator/sequence.h"

#include "codec/build.h"
#include "codec/codec.h"
#include "codec/fields.h"

/* A sequence, by connection: who does it, who comes in between, who goes. */

/* A place where a client is connected: after its CONNECT. -1: there is none. */
static int connected_place(const struct sequence *s, uint8_t *client)
{
	const struct moves *m = s->moves;

	for (unsigned tries = 0; tries < 8; tries++) {
		uint32_t at = pick_place(s, client);

		if (connect_before(m, at, *client) >= 0)
			return (int)at;
	}
	return -1;
}

/* The same client id from another connection, in between. */
static bool take_over(struct sequence *s)
{
	struct moves *m = s->moves;
	struct move more[4];
	uint8_t client, other;
	int at = connected_place(s, &client);
	uint32_t n = 0;
	struct span connect;

	if (at < 0)
		return false;
	connect = m->at[connect_before(m, (uint32_t)at, client)].bytes;
	if (one_in(s->random, 2) && !change_connect(s, connect, one_in(s->random, 2) ? CONNECT_TURNS_CLEAN : CONNECT_KEEPS_SESSION, &connect))
		return false;
	other = pick_other_client(s, client);
	more[n++] = (struct move){ .kind = MOVE_OPEN, .client = other };
	more[n++] = (struct move){ .kind = connect.len > UINT8_MAX ? MOVE_SEND_LONG : MOVE_SEND, .client = other, .bytes = connect };
	if (one_in(s->random, 2))
		more[n++] = (struct move){ .kind = MOVE_AWAIT, .client = other };
	return insert_said(s, ANOMALY_TAKEOVER, (uint32_t)at, more, n);
}

static bool leave(struct sequence *s)
{
	bool drops = one_in(s->random, 2);
	struct move move = { .kind = drops ? MOVE_DROP : MOVE_CLOSE };
	uint32_t at = pick_place(s, &move.client);

	return s->moves->n && insert_said(s, drops ? ANOMALY_DROPPED : ANOMALY_CLOSED, at, &move, 1);
}

static bool stop_reading(struct sequence *s)
{
	struct moves *m = s->moves;
	struct move stop = { .kind = MOVE_STOP_READING }, again = { .kind = MOVE_READ };
	uint32_t at = pick_place(s, &stop.client);

	if (!m->n || m->n + 2 > MOVES_MAX)
		return false;
	again.client = stop.client;
	if (one_in(s->random, 2))
		moves_insert(m, at + pick(s, m->n - at + 1), again);
	return insert_said(s, ANOMALY_READER_STOPS, at, &stop, 1);
}

static bool give_away(struct sequence *s)
{
	struct moves *m = s->moves;
	uint32_t from = pick(s, m->n + 1), to;
	uint8_t client, other;

	if (from == m->n)
		return false;
	client = m->at[from].client;
	other = one_in(s->random, 2) ? pick_connected(s, from, client) : pick_other_client(s, client);
	if (other == client)
		return false;
	to = from + 1 + (one_in(s->random, 2) ? 0 : pick(s, m->n - from));
	for (uint32_t i = from; i < to; i++)
		if (m->at[i].client == client)
			m->at[i].client = other;
	say_moves(s, ANOMALY_GIVEN_AWAY, from, to - 1);
	return true;
}

/* Another does the same, move by move: as the same client or as one of its own. */
static bool double_client(struct sequence *s)
{
	struct moves *m = s->moves;
	struct move both[MOVES_MAX];
	uint32_t n = 0, from;
	uint8_t client, other;
	bool own_id = one_in(s->random, 2);

	if (!m->n)
		return false;
	from = pick(s, m->n);
	client = m->at[from].client;
	other = pick_other_client(s, client);
	for (uint32_t i = 0; i < m->n; i++) {
		uint32_t still_to_come = m->n - i;
		struct move move = m->at[i];

		both[n++] = move;
		if (move.client != client || n + still_to_come > MOVES_MAX)
			continue;
		move.client = other;
		if (own_id && type_sent(&move) == CONNECT && !change_connect(s, move.bytes, CONNECT_OTHER_ID, &move.bytes))
			continue;
		both[n++] = move;
	}
	say_moves(s, ANOMALY_CLIENT_DOUBLED, from, from);
	memcpy(m->at, both, n * sizeof(*both));
	m->n = n;
	return true;
}

static void resend(struct move *move, struct span bytes)
{
	move->bytes = bytes;
	if (move->kind == MOVE_SEND && bytes.len > UINT8_MAX)
		move->kind = MOVE_SEND_LONG;
}

static bool will_between(struct sequence *s)
{
	struct moves *m = s->moves;
	int connect = pick_send(s, ON(CONNECT));
	struct move go = { .kind = one_in(s->random, 4) ? MOVE_CLOSE : MOVE_DROP };
	struct span bytes;
	uint32_t at;

	if (connect < 0 || m->n == MOVES_MAX || !change_connect(s, m->at[connect].bytes, CONNECT_HAS_WILL, &bytes))
		return false;
	go.client = m->at[connect].client;
	at = (uint32_t)connect + 1 + pick(s, m->n - (uint32_t)connect);
	resend(&m->at[connect], bytes);
	moves_insert(m, at, go);
	say_moves(s, ANOMALY_WILL_BETWEEN, (uint32_t)connect, at);
	return true;
}

/* Something that the client sent between its CONNECT and `at`; -1. */
static int sent_since(const struct sequence *s, uint32_t connect, uint32_t at, uint8_t client)
{
	uint32_t n = at - connect - 1;

	for (uint32_t i = 0, k = n ? pick(s, n) : 0; i < n; i++, k = (k + 1) % n)
		if (s->moves->at[connect + 1 + k].client == client && type_sent(&s->moves->at[connect + 1 + k]))
			return (int)(connect + 1 + k);
	return -1;
}

enum { MOST_TO_COME_BACK = 4 };

/* Gone and back, its session kept: the moves of that, and the CONNECT. 0: its CONNECT cannot be changed. */
static uint32_t come_back(struct sequence *s, struct span connect, uint8_t client, struct move more[static MOST_TO_COME_BACK], struct span *bytes)
{
	uint32_t n = 0;

	if (!change_connect(s, connect, CONNECT_KEEPS_SESSION, bytes))
		return 0;
	if (one_in(s->random, 3))
		more[n++] = (struct move){ .kind = one_in(s->random, 2) ? MOVE_CLOSE : MOVE_DROP, .client = client };
	if (n && one_in(s->random, 4))
		more[n++] = (struct move){ .kind = MOVE_WAIT, .client = client, .value = (uint8_t)(1 + pick(s, 4)) };
	more[n++] = (struct move){ .kind = MOVE_OPEN, .client = client };
	more[n++] = (struct move){ .kind = bytes->len > UINT8_MAX ? MOVE_SEND_LONG : MOVE_SEND, .client = client, .bytes = *bytes };
	return n;
}

/* Whatever it was in the middle of; and half the time it goes on with what it did before, which may mean nothing on the new connection. */
static bool reconnect(struct sequence *s)
{
	struct moves *m = s->moves;
	struct move more[MOST_TO_COME_BACK + 1];
	uint8_t client;
	int at = connected_place(s, &client), connect, again;
	uint32_t n;
	struct span bytes;

	if (at < 0)
		return false;
	connect = connect_before(m, (uint32_t)at, client);
	again = one_in(s->random, 2) ? sent_since(s, (uint32_t)connect, (uint32_t)at, client) : -1;
	n = come_back(s, m->at[connect].bytes, client, more, &bytes);
	if (n && again >= 0)
		more[n++] = m->at[again];
	if (!n || !insert_many(m, (uint32_t)at, more, n))
		return false;
	if (!one_in(s->random, 3))	/* what it had before outlives its connection as well */
		resend(&m->at[connect], bytes);
	say_moves(s, ANOMALY_RECONNECT, (uint32_t)at, (uint32_t)at + n - 1);
	return true;
}

static bool keep_session(struct sequence *s)
{
	int at = pick_send(s, ON(CONNECT));
	struct span bytes;

	if (at < 0 || !change_connect(s, s->moves->at[at].bytes, CONNECT_KEEPS_SESSION, &bytes) || span_equal(bytes, s->moves->at[at].bytes))
		return false;
	resend(&s->moves->at[at], bytes);
	say_moves(s, ANOMALY_SESSION_KEPT, (uint32_t)at, (uint32_t)at);
	return true;
}

/* ---- what clients share ---- */

/* One retains, another takes it away, or puts another in its place. */
static bool cross_retained(struct sequence *s)
{
	struct moves *m = s->moves;
	int at = pick_send(s, ON(PUBLISH));
	struct packet p;
	struct span bytes, crossing;
	struct move move;

	if (at < 0 || m->n == MOVES_MAX || !decode_send(s, at, &p) || !p.topic.len)
		return false;
	p.flags |= PUBLISH_RETAIN;
	if (!keep_packet(s, &p, &bytes))
		return false;
	p.flags &= (uint8_t)~PUBLISH_DUP;
	p.payload = one_in(s->random, 3) ? span_text("other") : span_of(NULL, 0);
	if (!keep_packet(s, &p, &crossing))
		return false;
	resend(&m->at[at], bytes);
	move = (struct move){ .kind = crossing.len > UINT8_MAX ? MOVE_SEND_LONG : MOVE_SEND, .bytes = crossing };
	move.client = pick_connected(s, (uint32_t)at, m->at[at].client);
	moves_insert(m, (uint32_t)at + pick(s, 2), move);
	say_moves(s, ANOMALY_RETAINED_CROSS, (uint32_t)at, (uint32_t)at + 1);
	return true;
}

/* A message as large as somebody takes, or a few bytes off: by its payload, or by what is taken. */
static bool near_packet_size(struct sequence *s)
{
	struct moves *m = s->moves;
	int publish = pick_send(s, ON(PUBLISH)), connect = pick_send(s, ON(CONNECT));
	struct packet p;
	struct span bytes;
	struct writer w;
	uint64_t most;
	int at = publish;

	if (publish < 0 || connect < 0 || !decode_send(s, connect, &p) || p.version != MQTT_5)
		return false;
	most = property_number(p.properties, PROP_maximum_packet_size, 0);
	if (most >= 10 && most < 60000) {
		w = room_for_send(s);
		if (!mutate_publish_size(m->at[publish].bytes, moves_version(m, (uint32_t)publish, m->at[publish].client), most + pick(s, 7) - 3, s->arena, &w) ||
		    !keep_room(s, &w, &bytes))
			return false;
	} else {
		at = connect;
		p.properties = with_number(s->arena, p.properties, PROP_maximum_packet_size, m->at[publish].bytes.len + pick(s, 7));
		if (!keep_packet(s, &p, &bytes))
			return false;
	}
	resend(&m->at[at], bytes);
	say_moves(s, ANOMALY_NEAR_PACKET_SIZE, (uint32_t)at, (uint32_t)at);
	return true;
}

/* What stands `n` times, or as often as fits. */
static struct span levels_of(struct sequence *s, const char *level, size_t n, size_t most)
{
	size_t len = strlen(level);
	uint8_t *room;

	if (n > most / len)
		n = most / len;
	room = arena_take(s->arena, n * len + 1);
	for (size_t i = 0; room && i < n; i++)
		memcpy(room + i * len, level, len);
	return span_of(room, room ? n * len : 0);
}

/* One topic of many levels, in two packets one behind the other: what the first has led to the second is about. */
static bool deepen(struct sequence *s)
{
	static const char *const levels[] = { "/", "a/", "/a" };
	static const uint8_t types[] = { PUBLISH, SUBSCRIBE, UNSUBSCRIBE };
	struct moves *m = s->moves;
	struct move more[4];
	struct builder b;
	uint8_t client;
	int at = connected_place(s, &client);
	size_t most = (MOVES_BYTES - m->used) / 2, n = one_in(s->random, 3) ? SIZE_MAX : 2 + pick(s, 300);
	uint32_t made = 0;

	if (at < 0 || m->n > MOVES_MAX - 4 || most < 1000)
		return false;
	struct span topic = levels_of(s, levels[pick(s, 3)], n, most - 100 < 65535 ? most - 100 : 65535);
	for (unsigned i = 0; i < 2; i++) {
		enum packet_type type = i ? (enum packet_type)types[pick(s, 3)] : SUBSCRIBE;
		struct span bytes;

		builder_start(&b, type, moves_version(m, (uint32_t)at, client), s->arena);
		if (type == PUBLISH) {
			b.packet.topic = topic;
		} else {
			uint8_t *room = arena_take(s->arena, topic.len + 3);
			struct writer w = writer_to(room, room ? topic.len + 3 : 0);

			wr_binary(&w, topic);
			if (type == SUBSCRIBE)
				wr_u8(&w, pick(s, 3));
			b.packet.packet_id = (uint16_t)(1 + pick(s, 100));
			b.packet.list = wr_span(&w);
		}
		if (!topic.len || !keep_packet(s, &b.packet, &bytes))
			return false;
		more[made++] = (struct move){ .kind = bytes.len > UINT8_MAX ? MOVE_SEND_LONG : MOVE_SEND, .client = client, .bytes = bytes };
		more[made++] = (struct move){ .kind = MOVE_AWAIT, .client = client };
	}
	return insert_said(s, ANOMALY_DEEPENED, (uint32_t)at, more, made);
}

/* A PUBLISH maps an alias; some time later another one of the same client has that in place of its topic, be it on this connection or on its next. */
static bool use_alias(struct sequence *s)
{
	struct moves *m = s->moves;
	struct move more[MOST_TO_COME_BACK + 1], use = { .kind = MOVE_SEND };
	int at = pick_send(s, ON(PUBLISH)), connect;
	uint32_t n = 0, to;
	struct packet p;
	struct span maps, bytes;

	if (at < 0 || m->n + MOST_TO_COME_BACK + 1 > MOVES_MAX || !decode_send(s, at, &p) || p.version != MQTT_5 || !p.topic.len)
		return false;
	p.properties = with_number(s->arena, p.properties, PROP_topic_alias, 1 + pick(s, 3));
	if (!keep_packet(s, &p, &maps))
		return false;
	p.topic = (struct span){ 0 };
	p.packet_id += publish_qos(&p) > 0;
	if (!keep_packet(s, &p, &bytes))
		return false;
	use.client = m->at[at].client;
	resend(&use, bytes);
	connect = connect_before(m, (uint32_t)at, use.client);
	if (connect >= 0 && one_in(s->random, 3))
		n = come_back(s, m->at[connect].bytes, use.client, more, &bytes);
	to = (uint32_t)at + 1 + (one_in(s->random, 2) ? 0 : pick(s, m->n - (uint32_t)at));
	if (n && !one_in(s->random, 3))
		resend(&m->at[connect], bytes);
	more[n++] = use;
	resend(&m->at[at], maps);
	insert_many(m, to, more, n);
	say_moves(s, ANOMALY_ALIAS_USED, (uint32_t)at, to + n - 1);
	return true;
}

const struct sequence_choice client_choices[] = {
	{ take_over, 4 }, { leave, 4 }, { stop_reading, 2 }, { give_away, 3 }, { double_client, 2 }, { will_between, 3 }, { reconnect, 4 }, { keep_session, 2 },
	{ mutate_share, 3 }, { cross_retained, 3 }, { near_packet_size, 2 }, { deepen, 1 }, { use_alias, 3 },
	{ mutate_stray, 5 }, { mutate_resent, 6 }, { mutate_window, 4 }, { mutate_will, 6 }, { mutate_retained, 3 }, { NULL, 0 },
};
