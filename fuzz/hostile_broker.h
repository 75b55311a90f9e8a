#ifndef FUZZ_HOSTILE_BROKER_H
#define FUZZ_HOSTILE_BROKER_H

#include <errno.h>
#include <string.h>

#include "codec/codec.h"
#include "codec/fields.h"
#include "codec/topic.h"
#include "fuzz/input.h"
#include "fuzz/must.h"
#include "harness/transport.h"

/*
 * A broker behind in-memory pipes that does what a fuzzer's bytes say. For each packet that comes, and for each delivery of a PUBLISH to each subscriber, one byte of the
 * input says how it is answered; behind the input's end all is answered as it should be. One that answers rightly: it accepts, keeps sessions and filters, acknowledges,
 * and sends on at once, with the lower QoS; it keeps nothing for those who are away.
 */

enum { PEERS = 64, SESSIONS = 32, MOST_FILTERS = 6, LATER = 32, HEARD = 8, MOST_PACKET = 1024, TOPIC = 64, PAYLOAD = 128 };

struct session {
	char client_id[TOPIC];		/* "": this place is free */
	struct { char text[TOPIC]; uint8_t qos; } filters[MOST_FILTERS];
	uint8_t n_filters;
};

struct message {
	char topic[TOPIC];
	uint8_t payload[PAYLOAD];
	size_t len;
	uint8_t flags;
};

struct peer {				/* our end of a connection */
	struct transport *t;		/* NULL: this place is free */
	struct session *session;
	unsigned serial;		/* of the connection, so that what comes late is not said to another */
	size_t len;
	uint16_t last_id;
	uint8_t version;
	bool deaf;			/* nothing is read any more */
	uint8_t in[MOST_PACKET];
};

struct later {				/* bytes that are said after a while */
	struct timer timer;		/* .fire NULL: this place is free */
	struct peer *peer;
	unsigned serial;
	size_t len;
	uint8_t bytes[MOST_PACKET];
};

struct hostile {
	struct service service;		/* first */
	struct loop *loop;
	struct input in;
	unsigned n_accepted, refuses, n_heard;
	bool routes_nothing;
	struct peer peers[PEERS];
	struct session sessions[SESSIONS];
	struct later later[LATER];
	struct message heard[HEARD];
};

static struct hostile hostile;

enum answer {				/* 4 bits of the byte; those above RIGHT more rarely, 0 to 5 are RIGHT */
	RIGHT = 5, NOTHING, WITH_REASON, WRONG_ID, TWICE, LATE, IN_PART, THEN_ENDS, OWN_PUBLISH, OWN_BYTES, OWN_MOOD,
};

static void hang_up(struct peer *p, bool reset)
{
	if (p->t)
		p->t->ops->close(p->t, reset);
	p->t = NULL;
}

static void say_bytes(struct peer *p, const uint8_t *bytes, size_t len)
{
	while (p->t && len) {
		ssize_t n = p->t->ops->send(p->t, bytes, len);

		if (n <= 0) {
			hang_up(p, true);
			return;
		}
		bytes += n;
		len -= (size_t)n;
	}
}

static void on_later(struct timer *timer, struct loop *loop)
{
	struct later *l = (struct later *)((char *)timer - offsetof(struct later, timer));

	(void)loop;
	l->timer.fire = NULL;
	if (l->peer->serial == l->serial)
		say_bytes(l->peer, l->bytes, l->len);
}

static void say_later(struct peer *p, const uint8_t *bytes, size_t len)
{
	uint64_t delay_ns = take(&hostile.in) * UINT64_C(10000000);

	for (struct later *l = hostile.later; l < hostile.later + LATER; l++)
		if (!l->timer.fire) {
			*l = (struct later){ .timer.fire = on_later, .peer = p, .serial = p->serial, .len = len };
			memcpy(l->bytes, bytes, len);
			loop_timer(hostile.loop, &l->timer, hostile.loop->now_ns + delay_ns);
			return;
		}
}

/* Somebody's bytes from the input, as a packet of its own or within one. */
static void say_input(struct peer *p)
{
	size_t len = take(&hostile.in) & 0x3f;

	len = len < left(&hostile.in) ? len : left(&hostile.in);
	say_bytes(p, hostile.in.at, len);
	hostile.in.at += len;
}

/* ---- what it says ---- */

static void say(struct peer *p, const struct packet *packet, enum answer how)
{
	uint8_t bytes[MOST_PACKET];
	struct writer w = writer_to(bytes, sizeof(bytes));

	if (encode(packet, NULL, &w) != CODEC_OK || !wr_fits(&w))
		return;
	switch (how) {
	case NOTHING:
		break;
	case TWICE:
		say_bytes(p, bytes, w.len);
		say_bytes(p, bytes, w.len);
		break;
	case LATE:
		say_later(p, bytes, w.len);
		break;
	case IN_PART:			/* the rest may follow, or something else in its place */
		say_bytes(p, bytes, take(&hostile.in) % w.len);
		break;
	default:
		say_bytes(p, bytes, w.len);
	}
}

static struct packet new_packet(const struct peer *p, enum packet_type type)
{
	return (struct packet){ .version = p->version, .type = (uint8_t)type, .flags = type == PUBREL ? 2 : 0 };
}

static void add_reason(struct packet *packet, unsigned reason)
{
	packet->reason = (uint8_t)reason;
	if (packet->version == MQTT_5)
		packet->written |= WRITTEN_REASON;
}

static void acknowledge(struct peer *p, enum packet_type type, unsigned id, enum answer how)
{
	struct packet packet = new_packet(p, type);

	packet.packet_id = (uint16_t)(how == WRONG_ID ? id + (unsigned)distance(&hostile.in) : id);
	if (how == WITH_REASON)
		add_reason(&packet, take(&hostile.in));
	say(p, &packet, how);
}

/* ---- messages ---- */

static void alter(struct message *m)
{
	unsigned what = take(&hostile.in);

	if (what & 1 && m->len)				/* of the stamp: run, stream, number, epoch or a time */
		m->payload[take(&hostile.in) % m->len] ^= (uint8_t)take(&hostile.in);
	if (what & 2)
		m->len = m->len * (take(&hostile.in) & 0xf) / 16;
	if (what & 4)
		m->topic[strlen(m->topic) - 1] ^= 1;
	if (what & 8)
		m->flags ^= PUBLISH_RETAIN;
	if (what & 16)
		m->flags ^= PUBLISH_DUP;
	if (what & 32)
		m->flags ^= 1 << PUBLISH_QOS_SHIFT;
	if (what & 64)
		m->flags ^= 2 << PUBLISH_QOS_SHIFT;
}

static void send_message(struct peer *p, struct message m, enum answer how)
{
	struct packet packet = new_packet(p, PUBLISH);
	uint8_t room[8];
	struct writer properties = writer_to(room, sizeof(room));

	if (how == WITH_REASON)
		alter(&m);
	packet.flags = m.flags;
	packet.topic = span_text(m.topic);
	packet.payload = span_of(m.payload, m.len);
	packet.packet_id = p->last_id = p->last_id == UINT16_MAX ? 1 : p->last_id + 1;
	if (how == WRONG_ID)
		packet.packet_id = p->last_id = (uint16_t)(p->last_id + distance(&hostile.in));
	if (how == OWN_MOOD && p->version == MQTT_5) {	/* an alias, known or not */
		unsigned alias = take(&hostile.in);

		property_write_number(&properties, PROP_topic_alias, alias & 7);
		packet.properties = wr_span(&properties);
		if (alias & 8)
			packet.topic = span_text("");
	}
	say(p, &packet, how);
}

static enum answer choose(void)
{
	unsigned byte = take(&hostile.in) & 0xf;

	return byte <= RIGHT ? RIGHT : (enum answer)byte;
}

static void deliver(const struct message *m)
{
	struct span topic = span_text(m->topic);
	bool shared = false;			/* somebody has had the group's share: all groups are one here */

	for (unsigned k = 0; k < PEERS; k++) {
		struct peer *p = &hostile.peers[(k + hostile.n_heard) % PEERS];
		int qos = -1;

		for (unsigned i = 0; p->t && p->session && i < p->session->n_filters; i++) {
			struct span filter = span_text(p->session->filters[i].text), group;
			bool share = share_split(filter, &group, &filter);

			if (!topic_matches(filter, topic) || (share && shared))
				continue;
			shared |= share;
			if (p->session->filters[i].qos > qos)
				qos = p->session->filters[i].qos;
		}
		if (qos < 0)
			continue;
		struct message own = *m;
		if (qos < (own.flags >> PUBLISH_QOS_SHIFT & 3))
			own.flags = (uint8_t)(qos << PUBLISH_QOS_SHIFT);
		send_message(p, own, choose());
	}
}

/* One that was heard some time ago, or nothing of ours. */
static void own_publish(struct peer *p)
{
	struct message m = { .topic = "nobody/s" };
	unsigned which = take(&hostile.in);

	if (hostile.n_heard && which & 0xf)
		m = hostile.heard[(hostile.n_heard - 1 - (which & 0xf) % (hostile.n_heard < HEARD ? hostile.n_heard : HEARD)) % HEARD];
	if (which & 16)
		alter(&m);
	for (struct peer *other = hostile.peers; which & 32 && other < hostile.peers + PEERS; other++)
		if (other->t && other != p)
			send_message(other, m, RIGHT);
	send_message(p, m, which & 64 ? OWN_MOOD : RIGHT);
}

static struct message *hear(const struct packet *packet)
{
	struct message *m = &hostile.heard[hostile.n_heard++ % HEARD];

	m->len = packet->payload.len < PAYLOAD ? packet->payload.len : PAYLOAD;
	m->flags = packet->flags & (3 << PUBLISH_QOS_SHIFT);
	memcpy(m->payload, packet->payload.at, m->len);
	snprintf(m->topic, sizeof(m->topic), "%.*s", (int)packet->topic.len, (const char *)packet->topic.at);
	return m;
}

/* ---- what it does ---- */

static struct session *session_of(struct span client_id, bool clean, bool *present)
{
	char id[TOPIC];
	struct session *s = hostile.sessions;

	snprintf(id, sizeof(id), "%.*s", (int)client_id.len, (const char *)client_id.at);
	while (s < hostile.sessions + SESSIONS - 1 && *s->client_id && strcmp(s->client_id, id))
		s++;
	*present = !clean && !strcmp(s->client_id, id);
	if (!*present)
		s->n_filters = 0;
	strcpy(s->client_id, id);
	return s;
}

static void accept_client(struct peer *p, const struct packet *connect, enum answer how)
{
	bool present;
	struct packet packet;
	uint8_t room[64];
	struct writer properties = writer_to(room, sizeof(room));

	p->version = connect->version;
	p->session = session_of(connect->client_id, connect->connect_flags & CONNECT_CLEAN_START, &present);
	packet = new_packet(p, CONNACK);
	packet.ack_flags = present && p->version != MQTT_3_1;
	if (how == WRONG_ID)
		packet.ack_flags ^= 1;
	if (how == WITH_REASON)
		packet.reason = (uint8_t)take(&hostile.in);
	if (how == OWN_MOOD && p->version == MQTT_5) {	/* limits of its own */
		static const uint8_t ids[] = { PROP_receive_maximum, PROP_topic_alias_maximum, PROP_server_keep_alive, PROP_maximum_packet_size, PROP_maximum_qos,
		                               PROP_session_expiry_interval, PROP_retain_available, PROP_shared_subscription_available };
		unsigned which = take(&hostile.in);

		for (unsigned i = 0; i < sizeof(ids); i++)
			if (which >> i & 1)
				property_write_number(&properties, ids[i], take(&hostile.in));
		packet.properties = wr_span(&properties);
	}
	say(p, &packet, how);
}

static void subscribe(struct peer *p, const struct packet *packet, enum answer how)
{
	struct packet suback = new_packet(p, packet->type == SUBSCRIBE ? SUBACK : UNSUBACK);
	struct filter_walk walk = filters_of(packet);
	struct session *s = p->session;
	struct span filter;
	uint8_t codes[MOST_FILTERS], options;
	unsigned n = 0;

	while (n < MOST_FILTERS && filter_next(&walk, &filter, &options)) {
		codes[n] = packet->type == SUBSCRIBE ? options & SUBSCRIBE_QOS : 0;
		if (packet->type == UNSUBSCRIBE)
			s->n_filters = 0;
		else if (s->n_filters < MOST_FILTERS && filter.len < TOPIC) {
			snprintf(s->filters[s->n_filters].text, TOPIC, "%.*s", (int)filter.len, (const char *)filter.at);
			s->filters[s->n_filters++].qos = options & SUBSCRIBE_QOS;
		}
		if (how == WITH_REASON)
			codes[n] = (uint8_t)take(&hostile.in);
		n++;
	}
	if (how == THEN_ENDS)				/* codes too few */
		n -= n > 0;
	suback.packet_id = (uint16_t)(how == WRONG_ID ? packet->packet_id + (unsigned)distance(&hostile.in) : packet->packet_id);
	if (packet->type == SUBSCRIBE || p->version == MQTT_5)
		suback.list = span_of(codes, n);
	say(p, &suback, how);
}

static void published(struct peer *p, const struct packet *packet, enum answer how)
{
	const struct message *m = hear(packet);
	unsigned qos = publish_qos(packet);

	if (qos)
		acknowledge(p, qos == 1 ? PUBACK : PUBREC, packet->packet_id, how);
	if (!hostile.routes_nothing)
		deliver(m);
}

static void change_mood(struct peer *p)
{
	unsigned mood = take(&hostile.in);
	struct packet packet = new_packet(p, mood & 8 ? AUTH : DISCONNECT);

	switch (mood & 7) {
	case 0:
		p->t->ops->pause(p->t, true);
		p->deaf = true;
		break;
	case 1:
		hostile.refuses = mood >> 3;
		break;
	case 2:
		hostile.routes_nothing = !hostile.routes_nothing;
		break;
	case 3:
		for (struct peer *other = hostile.peers; other < hostile.peers + PEERS; other++)
			hang_up(other, mood & 8);
		break;
	case 4:
		p->t->ops->finish(p->t);
		break;
	default:
		if (p->version == MQTT_5) {
			add_reason(&packet, take(&hostile.in));
			say(p, &packet, RIGHT);
		}
	}
}

static void answer(struct peer *p, const struct packet *packet)
{
	enum answer how = choose();

	if (how == OWN_PUBLISH)
		own_publish(p);
	if (how == OWN_BYTES)
		say_input(p);
	if (!p->t)
		return;
	switch ((enum packet_type)packet->type) {
	case CONNECT:
		accept_client(p, packet, how);
		break;
	case SUBSCRIBE:
	case UNSUBSCRIBE:
		if (p->session)
			subscribe(p, packet, how);
		break;
	case PUBLISH:
		published(p, packet, how);
		break;
	case PUBREC:
		acknowledge(p, PUBREL, packet->packet_id, how);
		break;
	case PUBREL:
		acknowledge(p, PUBCOMP, packet->packet_id, how);
		break;
	case PINGREQ: {
		struct packet pong = new_packet(p, PINGRESP);

		say(p, &pong, how);
		break;
	}
	case DISCONNECT:
		hang_up(p, false);
		break;
	default:
		break;
	}
	if (how == OWN_MOOD && p->t && packet->type != CONNECT)
		change_mood(p);
	if (how == THEN_ENDS)
		hang_up(p, take(&hostile.in) & 1);
}

/* ---- connections ---- */

static void read_packets(struct peer *p)
{
	size_t taken = 0;
	struct frame frame;
	struct finding finding;
	struct packet packet;

	/* What we say of a client's packets is what is judged of them: the engine's own are right. */
	while (p->t && !p->deaf && frame_next(p->in + taken, p->len - taken, &frame, &finding) == FRAME_OK) {
		MUST(decode(p->in + taken, frame.size, (enum version)p->version, &packet, &finding) == CODEC_OK);
		taken += frame.size;
		answer(p, &packet);
	}
	p->len -= taken;
	memmove(p->in, p->in + taken, p->len);
}

static void on_peer(struct transport *t, unsigned events)
{
	struct peer *p = t->owner;

	while (events & TRANSPORT_READABLE && p->t == t && !p->deaf) {
		ssize_t n = t->ops->recv(t, p->in + p->len, sizeof(p->in) - p->len);

		if (n == -EAGAIN)
			return;
		if (n <= 0) {
			hang_up(p, false);
			return;
		}
		p->len += (size_t)n;
		read_packets(p);
	}
}

static void on_accepted(struct service *service, struct transport *t)
{
	struct peer *p = hostile.peers;

	(void)service;
	while (p < hostile.peers + PEERS && p->t)
		p++;
	if (hostile.refuses || p == hostile.peers + PEERS) {
		hostile.refuses -= hostile.refuses > 0;
		t->ops->close(t, true);
		return;
	}
	*p = (struct peer){ .t = t, .serial = ++hostile.n_accepted, .version = MQTT_5 };
	t->event = on_peer;
	t->owner = p;
}

static void hostile_start(struct loop *loop, struct input in, uint64_t split_seed)
{
	memset(&hostile, 0, sizeof(hostile));
	hostile.service = (struct service){ .accepted = on_accepted, .options = { .delay_ns = 1000000, .split_seed = split_seed } };
	hostile.loop = loop;
	hostile.in = in;
}

static void hostile_stop(void)
{
	for (struct peer *p = hostile.peers; p < hostile.peers + PEERS; p++)
		hang_up(p, true);
	for (struct later *l = hostile.later; l < hostile.later + LATER; l++)
		loop_timer_stop(hostile.loop, &l->timer);
}

#endif
