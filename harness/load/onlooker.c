#include "harness/load/onlooker.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/fields.h"
#include "codec/build.h"
#include "harness/conn.h"
#include "harness/hello.h"
#include "harness/units.h"

enum { MAX_COUNTERS = 64, MAX_PACKET = 1 << 20, PING_EVERY = 20 };
#define SECOND_NS 1000000000u

/*
 * What brokers call the number of messages that they had to throw away; a broker with several nodes tells it for each. Of a broker that has
 * several of these, the first counts. "heartbeat" comes in the same batch, before them, and always.
 */
static const struct dropped_topic {
	const char *filter, *broker;
} dropped_topics[] = {
	{ "$SYS/broker/publish/messages/dropped", "Mosquitto" },
	{ "$SYS/brokers/+/metrics/delivery/dropped/queue_full", "EMQX" },
	{ "$SYS/broker/messages/dropped", "Mochi" },
};
static const char *const heartbeats[] = { "$SYS/broker/uptime", "$SYS/brokers/+/uptime" };

enum { N_DROPPED = sizeof(dropped_topics) / sizeof(*dropped_topics), N_HEARTBEATS = sizeof(heartbeats) / sizeof(*heartbeats) };

struct counted {			/* by one node */
	char topic[200];
	unsigned row;			/* of dropped_topics */
	uint64_t first, last;
};

struct onlooker {
	struct conn conn;
	struct loop *loop;
	struct conn_limits limits;
	struct monitor_world *world;
	struct monitor_log log;
	struct timer timer;
	struct task reaper;
	void (*told)(void *context);
	void *context;
	uint8_t version;
	enum onlooker_state state;
	char why[300];
	uint64_t timeout_ns;
	struct counted counted[MAX_COUNTERS];
	unsigned n_counted;
	bool has_heartbeat, stale, beaten;	/* stale: waits for a heartbeat; beaten: and for the answer to the ping behind it */
	bool wrong_version, freed;
};

static void ignore(void *owner, struct monitor *monitor, const struct violation *violation)
{
	(void)owner, (void)monitor, (void)violation;
}

static void become(struct onlooker *o, enum onlooker_state state)
{
	o->state = state;
	if (state != ONLOOKER_SERVED)
		o->stale = o->beaten = false;
	if (!o->freed)
		o->told(o->context);
}

/* ---- what is sent ---- */

static void send_plain(struct onlooker *o, enum packet_type type)
{
	const uint8_t bytes[] = { (uint8_t)(type << 4), 0 };

	conn_send(&o->conn, span_of(bytes, sizeof(bytes)), 0, 0);
}

/* One filter each, as a broker may take small packets only; what is too long for this one is not asked for. */
static void subscribe_to(struct onlooker *o, const char *filter, uint16_t packet_id)
{
	uint8_t bytes[128];
	struct writer w = writer_to(bytes, sizeof(bytes));
	size_t len = strlen(filter), rest = 2 + (o->version == MQTT_5) + 2 + len + 1;

	wr_u8(&w, SUBSCRIBE << 4 | 2);
	wr_u8(&w, (uint8_t)rest);
	wr_u16(&w, packet_id);
	if (o->version == MQTT_5)
		wr_u8(&w, 0);
	wr_u16(&w, (uint16_t)len);
	wr_bytes(&w, span_text(filter));
	wr_u8(&w, 0);
	if (w.len <= monitor_in_force(&o->conn.monitor, PROP_maximum_packet_size))
		conn_send(&o->conn, span_of(bytes, w.len), 0, 0);
}

static void subscribe(struct onlooker *o)
{
	uint16_t packet_id = 0;

	for (size_t i = 0; i < N_DROPPED; i++)
		subscribe_to(o, dropped_topics[i].filter, ++packet_id);
	for (size_t i = 0; i < N_HEARTBEATS; i++)
		subscribe_to(o, heartbeats[i], ++packet_id);
}

/* ---- what comes ---- */

static bool fits(struct span topic, const char *filter)
{
	const char *plus = strchr(filter, '+');
	size_t head = plus ? (size_t)(plus - filter) : strlen(filter), tail = plus ? strlen(plus + 1) : 0;

	if (!plus)
		return span_is(topic, filter);
	return topic.len > head + tail && !memcmp(topic.at, filter, head) && !memcmp(topic.at + topic.len - tail, plus + 1, tail) &&
	       !memchr(topic.at + head, '/', topic.len - head - tail);
}

static void on_count(struct onlooker *o, const struct packet *p, unsigned row)
{
	struct counted *c = o->counted;
	uint64_t value = 0;

	for (size_t i = 0; i < p->payload.len && p->payload.at[i] >= '0' && p->payload.at[i] <= '9'; i++)
		value = value * 10 + (p->payload.at[i] - '0');
	while (c < o->counted + o->n_counted && !span_is(p->topic, c->topic))
		c++;
	if (c == o->counted + o->n_counted) {
		if (o->n_counted == MAX_COUNTERS || p->topic.len >= sizeof(c->topic))
			return;
		o->n_counted++;
		memcpy(c->topic, p->topic.at, p->topic.len);
		c->row = row;
		/* A figure told for the first time while we listen began with this broker. */
		c->first = p->flags & PUBLISH_RETAIN ? value : 0;
	}
	c->last = value;
}

static void on_publish(struct onlooker *o, const struct packet *p)
{
	for (unsigned i = 0; i < N_DROPPED; i++)
		if (fits(p->topic, dropped_topics[i].filter))
			on_count(o, p, i);
	for (unsigned i = 0; i < N_HEARTBEATS; i++)
		if (fits(p->topic, heartbeats[i])) {
			o->has_heartbeat = true;
			if (o->stale && !o->beaten && !(p->flags & PUBLISH_RETAIN)) {
				o->beaten = true;
				send_plain(o, PINGREQ);		/* what comes with the heartbeat comes before the answer */
			}
		}
}

static void on_connack(struct onlooker *o, const struct packet *p)
{
	if (p->reason) {
		const char *name = reason_name(CONNACK, p->reason < 0x80 ? MQTT_3_1_1 : o->version, p->reason);

		o->wrong_version = p->reason == 0x84 || p->reason == 1;	/* of 5; of 3.1 and 3.1.1, which a server may answer with that knows no other */
		snprintf(o->why, sizeof(o->why), "CONNACK: %s", name ? name : "refused");
		conn_close(&o->conn, false);
		loop_timer_stop(o->loop, &o->timer);
		become(o, ONLOOKER_REFUSED);
		return;
	}
	subscribe(o);
	loop_timer(o->loop, &o->timer, o->loop->now_ns + PING_EVERY * (uint64_t)SECOND_NS);
	become(o, ONLOOKER_SERVED);
}

static void on_packet(struct conn *c, const uint8_t *bytes, size_t len, const struct packet *packet)
{
	struct onlooker *o = (struct onlooker *)c;

	(void)bytes, (void)len;
	if (!packet || o->freed)
		return;
	if (packet->type == CONNACK && o->state == ONLOOKER_ASKS) {
		on_connack(o, packet);
	} else if (packet->type == PUBLISH) {
		on_publish(o, packet);
	} else if (packet->type == PINGRESP && o->beaten) {
		o->stale = o->beaten = false;
		o->told(o->context);
	}
}

static void on_ended(struct conn *c, enum conn_end how)
{
	struct onlooker *o = (struct onlooker *)c;

	loop_timer_stop(o->loop, &o->timer);
	if (how == END_OURS || o->freed || o->state == ONLOOKER_REFUSED || o->state == ONLOOKER_UNREACHABLE)
		return;
	conn_end_text(c, o->why, sizeof(o->why));
	become(o, o->state == ONLOOKER_SERVED ? ONLOOKER_GONE : how == END_FIN || (how == END_RESET && c->error == ECONNRESET) ? ONLOOKER_REFUSED : ONLOOKER_UNREACHABLE);
}

static void on_opened(struct conn *c) { (void)c; }
static void on_sent(struct conn *c) { (void)c; }

static const struct conn_events events = { on_opened, on_packet, on_ended, on_sent };

static void on_timer(struct timer *timer, struct loop *loop)
{
	struct onlooker *o = (struct onlooker *)((char *)timer - offsetof(struct onlooker, timer));
	char text[40];

	if (o->state == ONLOOKER_SERVED) {
		send_plain(o, PINGREQ);
		loop_timer(loop, &o->timer, loop->now_ns + PING_EVERY * (uint64_t)SECOND_NS);
		return;
	}
	units_print_duration(o->timeout_ns, text, sizeof(text));
	snprintf(o->why, sizeof(o->why), o->conn.open ? "does not answer a CONNECT within %s" : "could not connect within %s", text);
	conn_close(&o->conn, true);
	become(o, ONLOOKER_UNREACHABLE);
}

/* ---- its life ---- */

struct onlooker *onlooker_new(struct loop *loop, const struct address *address, uint8_t version, const char *client_id, struct span user_name, struct span password,
                              uint64_t timeout_ns, void (*told)(void *context), void *context)
{
	struct onlooker *o = calloc(1, sizeof(*o));
	struct writer w = writer_to(NULL, 0);
	struct packet packet;

	if (!o || !(o->world = monitor_world_new()))
		abort();
	o->loop = loop;
	o->told = told;
	o->context = context;
	o->version = version;
	o->timeout_ns = timeout_ns;
	o->limits.max_packet = MAX_PACKET;
	o->timer.fire = on_timer;
	o->log.violated = ignore;
	int error = conn_open(&o->conn, loop, address, &events, &o->limits, o->world, &o->log);
	if (error) {
		monitor_world_free(o->world);
		free(o);
		errno = -error;
		return NULL;
	}
	hello((enum version)version, span_text(client_id), user_name, password, &packet, &w);
	uint8_t *bytes = malloc(w.len);
	if (!bytes)
		abort();
	w = writer_to(bytes, w.len);
	hello((enum version)version, span_text(client_id), user_name, password, &packet, &w);
	monitor_sent(&o->conn.monitor, bytes, w.len, &packet);	/* from which it knows the version */
	monitor_misbehaved(&o->conn.monitor);			/* and nobody judges what comes here */
	conn_send(&o->conn, span_of(bytes, w.len), 0, 0);
	free(bytes);
	loop_timer(loop, &o->timer, loop->now_ns + timeout_ns);
	return o;
}

static void reap(struct task *task, struct loop *loop)
{
	struct onlooker *o = (struct onlooker *)((char *)task - offsetof(struct onlooker, reaper));

	(void)loop;
	monitor_world_free(o->world);
	free(o);
}

void onlooker_free(struct onlooker *o)
{
	if (!o)
		return;
	o->freed = true;
	if (o->state == ONLOOKER_SERVED)
		send_plain(o, DISCONNECT);
	loop_timer_stop(o->loop, &o->timer);
	conn_close(&o->conn, false);
	o->reaper.run = reap;
	loop_reap(o->loop, &o->reaper);
}

enum onlooker_state onlooker_state(const struct onlooker *o)
{
	return o->state;
}

const char *onlooker_why(const struct onlooker *o)
{
	return o->why;
}

bool onlooker_speaks(const struct onlooker *o)
{
	return !o->wrong_version;
}

void onlooker_drops(const struct onlooker *o, struct broker_drops *drops)
{
	unsigned row = N_DROPPED;

	*drops = (struct broker_drops){ 0 };
	for (unsigned i = 0; i < o->n_counted; i++)
		if (o->counted[i].row < row)
			row = o->counted[i].row;
	if (row == N_DROPPED)
		return;
	drops->known = true;
	drops->topic = dropped_topics[row].filter;
	for (unsigned i = 0; i < o->n_counted; i++)
		if (o->counted[i].row == row && o->counted[i].last > o->counted[i].first)
			drops->n += o->counted[i].last - o->counted[i].first;
}

void onlooker_refresh(struct onlooker *o)
{
	o->stale = o->state == ONLOOKER_SERVED && o->has_heartbeat && o->n_counted;
	o->beaten = false;
}

bool onlooker_is_fresh(const struct onlooker *o)
{
	return !o->stale;
}
