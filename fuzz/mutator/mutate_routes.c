#include "fuzz/mutator/sequence.h"

#include "codec/codec.h"
#include "codec/fields.h"

/* A sequence, by where messages go: wills that somebody watches, shares of several members, and what is retained on topics that lie near each other. */

#define N(table) (sizeof(table) / sizeof(*(table)))

bool make_subscribe(struct sequence *s, enum version version, struct span filter, struct span *bytes)
{
	uint8_t *room = arena_take(s->arena, filter.len + 3);
	struct writer list = writer_to(room, room ? filter.len + 3 : 0);
	struct packet p = { .version = (uint8_t)version, .type = SUBSCRIBE, .flags = 2, .packet_id = (uint16_t)(1 + pick(s, 9)) };

	wr_binary(&list, filter);
	wr_u8(&list, one_in(s->random, 6) ? 0 : 1 + pick(s, 2));	/* what is owed is owed at 1 and 2 */
	p.list = wr_span(&list);
	return room && keep_packet(s, &p, bytes);
}

/* ---- wills ---- */

/* As another client, who leaves nothing behind. */
static bool connect_of_watcher(struct sequence *s, struct packet p, struct span *bytes)
{
	p.connect_flags = (uint8_t)((p.connect_flags & (CONNECT_USER_NAME | CONNECT_PASSWORD)) | CONNECT_CLEAN_START);
	p.properties = p.will_properties = p.will_topic = p.will_payload = (struct span){ 0 };
	return keep_packet(s, &p, bytes) && change_connect(s, *bytes, CONNECT_OTHER_ID, bytes);
}

/* The ways in which a connection may end, with its will or without. Returns how many moves that takes; 0: it cannot be. */
static uint32_t end_connection(struct sequence *s, uint8_t client, uint8_t other, enum version version, struct span connect, struct move more[static 3])
{
	struct packet disconnect = { .version = (uint8_t)version, .type = DISCONNECT };
	struct span bytes;

	switch (pick(s, 5)) {
	case 0:
	case 1:
		if (version == MQTT_5 && one_in(s->random, 4)) {
			disconnect.reason = 0x04;
			disconnect.written = WRITTEN_REASON;
		}
		if (!keep_packet(s, &disconnect, &bytes))
			return 0;
		more[0] = a_send(client, bytes);
		return 1;
	case 2:
		more[0] = (struct move){ .kind = one_in(s->random, 4) ? MOVE_CLOSE : MOVE_DROP, .client = client };
		return 1;
	default:
		if (one_in(s->random, 2) && !change_connect(s, connect, CONNECT_TURNS_CLEAN, &connect))
			return 0;
		more[0] = (struct move){ .kind = MOVE_OPEN, .client = other };
		more[1] = a_send(other, connect);
		more[2] = (struct move){ .kind = MOVE_AWAIT, .client = other };
		return 3;
	}
}

/* Somebody subscribes to the topic of a will before its client connects, which goes in one way or another. */
bool mutate_will(struct sequence *s)
{
	struct moves *m = s->moves;
	int at = pick_send(s, ON(CONNECT));
	struct span plain, willed, watches, subscribes;
	struct move more[5];
	uint8_t client, watcher, other;
	uint32_t behind, n;
	struct packet p;
	struct finding finding;

	if (!decode_send(s, at, &p) || m->n + 10 > MOVES_MAX)
		return false;
	client = m->at[at].client;
	plain = m->at[at].bytes;
	watcher = pick_other_client(s, client);
	other = (uint8_t)((watcher + 1) % MOVES_CLIENTS);
	other = other == client ? (uint8_t)((other + 1) % MOVES_CLIENTS) : other;
	if (!connect_of_watcher(s, p, &watches) || !change_connect(s, plain, CONNECT_HAS_WILL, &willed) ||
	    decode(willed.at, willed.len, MQTT_3_1_1, &p, &finding) != CODEC_OK || !make_subscribe(s, p.version, p.will_topic, &subscribes))
		return false;
	more[0] = (struct move){ .kind = MOVE_AWAIT, .client = client };
	n = 1 + end_connection(s, client, other, p.version, plain, more + 1);
	if (n == 1)
		return false;
	more[n++] = (struct move){ .kind = MOVE_AWAIT, .client = watcher };
	behind = (uint32_t)at + 1 + (one_in(s->random, 2) ? 0 : pick(s, m->n - (uint32_t)at));
	m->at[at] = a_send(client, willed);
	insert_many(m, behind, more, n);
	const struct move before[] = {
		{ .kind = MOVE_OPEN, .client = watcher }, a_send(watcher, watches), { .kind = MOVE_AWAIT, .client = watcher },
		a_send(watcher, subscribes), { .kind = MOVE_AWAIT, .client = watcher },
	};
	return insert_said(s, ANOMALY_WILL_WATCHED, (uint32_t)at, before, N(before));
}

/* ---- shares ---- */

static const char group[] = "$share/g/";

static bool is_shared(struct span filter)
{
	return filter.len > 7 && !memcmp(filter.at, "$share/", 7);
}

/* As it stands, or as a share's; no share has No Local. [MQTT-3.8.3-4] */
static bool shared_list(struct sequence *s, struct span filter, unsigned options, struct span *list)
{
	size_t more = is_shared(filter) ? 0 : sizeof(group) - 1, room_len = filter.len + more + 3;
	uint8_t *room = filter.len < 60000 ? arena_take(s->arena, room_len) : NULL;
	struct writer w = writer_to(room, room ? room_len : 0);

	wr_u16(&w, (unsigned)(filter.len + more));
	wr_text(&w, more ? group : "");
	wr_bytes(&w, filter);
	wr_u8(&w, options & ~SUBSCRIBE_NO_LOCAL);
	*list = wr_span(&w);
	return room;
}

/* A message that a filter has, shared or not. */
static bool publish_to(struct sequence *s, enum version version, struct span filter, struct span *bytes)
{
	struct packet p = { .version = (uint8_t)version, .type = PUBLISH, .payload = span_text("shared") };
	const uint8_t *slash = is_shared(filter) ? memchr(filter.at + 7, '/', filter.len - 7) : NULL;
	size_t from = slash ? (size_t)(slash + 1 - filter.at) : 0, len = filter.len - from;
	uint8_t *room = len && len < 60000 ? arena_take(s->arena, len) : NULL;

	if (!room)
		return false;
	for (size_t i = 0; i < len; i++)
		room[i] = filter.at[from + i] == '+' || filter.at[from + i] == '#' ? 'w' : filter.at[from + i];
	p.topic = span_of(room, len);
	return keep_packet(s, &p, bytes);
}

/* The first filter becomes a share's; another client takes part in it, one that is there or a new one. Often there is something to share. */
bool mutate_share(struct sequence *s)
{
	struct moves *m = s->moves;
	int at = pick_send(s, ON(SUBSCRIBE)), connect;
	struct span filter, bytes, connects;
	struct filter_walk walk;
	struct packet p, first;
	struct move more[7];
	uint8_t options, client, other;
	uint32_t n = 0;

	if (!decode_send(s, at, &p) || m->n + N(more) > MOVES_MAX || (p.version != MQTT_5 && !one_in(s->random, 8)))
		return false;
	walk = filters_of(&p);
	if (!filter_next(&walk, &filter, &options) || !shared_list(s, filter, options, &p.list) || !keep_packet(s, &p, &bytes))
		return false;
	client = m->at[at].client;
	other = pick_connected(s, (uint32_t)at, client);
	if (other == client) {
		connect = connect_before(m, (uint32_t)at, client);
		other = pick_other_client(s, client);
		if (!decode_send(s, connect, &first) || !connect_of_watcher(s, first, &connects))
			return false;
		more[n++] = (struct move){ .kind = MOVE_OPEN, .client = other };
		more[n++] = a_send(other, connects);
		more[n++] = (struct move){ .kind = MOVE_AWAIT, .client = other };
	}
	more[n++] = a_send(other, bytes);
	more[n++] = (struct move){ .kind = MOVE_AWAIT, .client = client };
	more[n++] = (struct move){ .kind = MOVE_AWAIT, .client = other };
	m->at[at] = a_send(client, bytes);
	if (one_in(s->random, 2) && publish_to(s, p.version, filter, &bytes))
		more[n++] = a_send(one_in(s->random, 2) ? client : other, bytes);
	return insert_said(s, ANOMALY_SHARED, (uint32_t)at + 1, more, n);
}

/* ---- what is retained ---- */

/* One level down, one level up, or beside it. */
static struct span neighbour(struct sequence *s, struct span topic)
{
	uint8_t *room = arena_take(s->arena, topic.len + 2);
	struct writer w = writer_to(room, room ? topic.len + 2 : 0);
	size_t parent = topic.len;

	while (parent && topic.at[parent - 1] != '/')
		parent--;
	if (parent > 1 && one_in(s->random, 2)) {
		wr_bytes(&w, span_of(topic.at, one_in(s->random, 2) ? parent - 1 : parent));
		if (w.len == parent)
			wr_text(&w, "y");
	} else {
		wr_bytes(&w, topic);
		wr_text(&w, "/x");
	}
	return wr_span(&w);
}

static bool retain(struct sequence *s, struct packet p, struct span topic, struct span payload, unsigned nth, struct span *bytes)
{
	p.flags = (uint8_t)((p.flags & ~PUBLISH_DUP) | PUBLISH_RETAIN);
	p.topic = topic;
	p.payload = payload;
	p.packet_id = publish_qos(&p) ? (uint16_t)(p.packet_id + nth) : 0;
	p.packet_id += publish_qos(&p) && !p.packet_id;
	return keep_packet(s, &p, bytes);
}

/* Two are retained, one of them is removed, and somebody asks for what is left. */
bool mutate_retained(struct sequence *s)
{
	struct moves *m = s->moves;
	int at = pick_send(s, ON(PUBLISH));
	struct span first, second, removal, subscribes, near;
	struct packet p;
	uint8_t client, asks;

	if (!decode_send(s, at, &p) || !p.topic.len || p.topic.len > 1000 || m->n + 6 > MOVES_MAX)
		return false;
	near = neighbour(s, p.topic);
	client = m->at[at].client;
	asks = one_in(s->random, 3) ? pick_connected(s, (uint32_t)at, client) : client;
	bool other = one_in(s->random, 2);
	if (!near.len || !retain(s, p, p.topic, p.payload.len ? p.payload : span_text("kept"), 0, &first) || !retain(s, p, near, span_text("near"), 1, &second) ||
	    !retain(s, p, other ? near : p.topic, span_of(NULL, 0), 2, &removal) ||
	    !make_subscribe(s, moves_version(m, (uint32_t)at, asks), one_in(s->random, 3) ? span_text("#") : other ? near : p.topic, &subscribes))
		return false;
	const struct move more[] = {
		a_send(client, second), a_send(client, removal), { .kind = MOVE_AWAIT, .client = client }, a_send(asks, subscribes), { .kind = MOVE_AWAIT, .client = asks },
	};
	m->at[at] = a_send(client, first);
	return insert_said(s, ANOMALY_RETAINED_NEAR, (uint32_t)at + 1, more, N(more));
}
