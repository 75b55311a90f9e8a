#ifndef REFERENCE_BROKER_TESTS_DRIVER_H
#define REFERENCE_BROKER_TESTS_DRIVER_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "codec/codec.h"
#include "codec/fields.h"
#include "reference-broker/broker.h"
#include "reference-broker/faults.h"

/*
 * Drives the core with bytes on a made-up clock. Whatever it sends is decoded and checked on
 * the way, unless the broker is told to break something.
 */
struct world {
	struct broker_config config;
	struct broker *broker;
	uint64_t now_ns;
	uint64_t broken[FAULT_WORDS];
	bool strict;
};

struct client {
	struct world *world;
	struct link *link;
	uint8_t version;
	uint8_t in[1 << 16];		/* what came, as yet unread */
	size_t len, taken;
};

#define S UINT64_C(1000000000)

static inline void world_open(struct world *w)
{
	*w = (struct world){ .now_ns = S, .strict = true };
	broker_defaults(&w->config);
	w->config.seed = 7;
}

static inline void world_start(struct world *w)
{
	w->broker = broker_new(&w->config, w->now_ns);
	assert_non_null(w->broker);
}

static inline void world_break(struct world *w, const char *fault)
{
	assert_true(faults_named(span_text(fault), w->broken) > 0);
	w->config.broken = w->broken;
	w->strict = false;
}

static inline void world_close(struct world *w)
{
	broker_free(w->broker);
}

/* Everything that waits goes to its client. */
static inline void settle(struct world *w)
{
	struct link *link;

	while ((link = broker_ready(w->broker))) {
		struct client *c = link_owner(link);
		struct span out;

		if (!c)
			continue;
		while ((out = link_output(link)).len) {
			size_t n = out.len;

			assert_true(n <= sizeof(c->in) - c->len);
			memcpy(c->in + c->len, out.at, n);
			c->len += n;
			link_sent(w->broker, link, n, w->now_ns);
		}
	}
}

static inline void pass(struct world *w, uint64_t ns)
{
	uint64_t end = w->now_ns + ns;

	while (broker_deadline(w->broker) <= end) {
		w->now_ns = broker_deadline(w->broker) > w->now_ns ? broker_deadline(w->broker) : w->now_ns;
		broker_tick(w->broker, w->now_ns);
		settle(w);
	}
	w->now_ns = end;
	broker_tick(w->broker, w->now_ns);
	settle(w);
}

/* False: the broker has no room for another connection. */
static inline bool client_try(struct world *w, struct client *c, uint8_t version)
{
	c->world = w;
	c->version = version;
	c->len = c->taken = 0;
	c->link = broker_accept(w->broker, c, w->now_ns);
	return c->link;
}

static inline void client_open(struct world *w, struct client *c, uint8_t version)
{
	assert_true(client_try(w, c, version));
}

static inline void client_drop(struct client *c)
{
	broker_forget(c->world->broker, c->link, c->world->now_ns);
	c->link = NULL;
	settle(c->world);
}

static inline void send_bytes(struct client *c, const void *bytes, size_t len)
{
	broker_receive(c->world->broker, c->link, bytes, len, c->world->now_ns);
	settle(c->world);
}

static inline void send_packet(struct client *c, const struct packet *packet)
{
	struct packet p = *packet;
	uint8_t room[4096];
	struct writer w = writer_to(room, sizeof(room));

	p.version = c->version;
	if (p.type == SUBSCRIBE || p.type == UNSUBSCRIBE || p.type == PUBREL)
		p.flags = 2;
	assert_int_equal(encode(&p, NULL, &w), CODEC_OK);
	assert_true(wr_fits(&w));
	send_bytes(c, room, w.len);
}

/* The next packet that came; false when there is none. */
static inline bool take(struct client *c, struct packet *p)
{
	struct frame frame;
	struct finding finding;

	if (c->taken == c->len)
		return false;
	assert_int_equal(frame_next(c->in + c->taken, c->len - c->taken, &frame, &finding), FRAME_OK);
	assert_int_equal(decode(c->in + c->taken, frame.size, c->version, p, &finding), CODEC_OK);
	if (c->world->strict)
		assert_int_equal(check(p, FROM_SERVER, &finding), CODEC_OK);
	c->taken += frame.size;
	if (c->taken == c->len && c->len > sizeof(c->in) / 2)
		c->taken = c->len = 0;
	return true;
}

static inline struct packet expect(struct client *c, enum packet_type type)
{
	struct packet p = { 0 };

	assert_true(take(c, &p));
	assert_int_equal(p.type, type);
	return p;
}

static inline void expect_nothing(struct client *c)
{
	assert_int_equal(c->taken, c->len);
}

static inline void expect_closed(struct client *c)
{
	assert_true(link_closing(c->link));
}

/* ---- CONNECT ---- */

struct terms {
	const char *id;
	bool resume;			/* Clean Start 0 */
	unsigned keep_alive;
	uint32_t expiry;		/* 0: left out */
	unsigned receive_maximum, maximum_packet_size, alias_maximum;
	const char *will;		/* topic */
	const char *will_payload;
	unsigned will_qos;
	bool will_retain;
	uint32_t will_delay;
	unsigned char quiet;		/* Request Problem Information 0 */
	bool asks;			/* Request Response Information 1 */
	const char *user, *password;	/* NULL: none */
};

static inline void send_connect(struct client *c, struct terms t)
{
	uint8_t room[256], will_room[64];
	struct writer w = writer_to(room, sizeof(room)), ww = writer_to(will_room, sizeof(will_room));
	struct packet p = {
		.type = CONNECT, .protocol_version = c->version, .keep_alive = (uint16_t)t.keep_alive,
		.protocol_name = span_text(c->version == MQTT_3_1 ? "MQIsdp" : "MQTT"),
		.client_id = span_text(t.id ? t.id : ""), .connect_flags = t.resume ? 0 : CONNECT_CLEAN_START,
	};

	if (t.will) {
		p.connect_flags |= (uint8_t)(CONNECT_WILL | t.will_qos << CONNECT_WILL_QOS_SHIFT | (t.will_retain ? CONNECT_WILL_RETAIN : 0));
		p.will_topic = span_text(t.will);
		p.will_payload = span_text(t.will_payload ? t.will_payload : "w");
		if (t.will_delay)
			property_write_number(&ww, PROP_will_delay_interval, t.will_delay);
	}
	if (t.expiry)
		property_write_number(&w, PROP_session_expiry_interval, t.expiry);
	if (t.receive_maximum)
		property_write_number(&w, PROP_receive_maximum, t.receive_maximum);
	if (t.maximum_packet_size)
		property_write_number(&w, PROP_maximum_packet_size, t.maximum_packet_size);
	if (t.alias_maximum)
		property_write_number(&w, PROP_topic_alias_maximum, t.alias_maximum);
	if (t.quiet)
		property_write_number(&w, PROP_request_problem_information, 0);
	if (t.asks)
		property_write_number(&w, PROP_request_response_information, 1);
	if (t.user) {
		p.connect_flags |= CONNECT_USER_NAME;
		p.user_name = span_text(t.user);
	}
	if (t.password) {
		p.connect_flags |= CONNECT_PASSWORD;
		p.password = span_text(t.password);
	}
	p.properties = wr_span(&w);
	p.will_properties = wr_span(&ww);
	send_packet(c, &p);
}

/* Opens, connects, and takes the CONNACK, which must say yes. */
static inline struct packet connects(struct world *w, struct client *c, uint8_t version, struct terms t)
{
	struct packet p;

	client_open(w, c, version);
	send_connect(c, t);
	p = expect(c, CONNACK);
	assert_int_equal(p.reason, 0);
	return p;
}

/* ---- the rest ---- */

static inline void subscribes(struct client *c, const char *filter, unsigned options)
{
	uint8_t room[256];
	struct writer w = writer_to(room, sizeof(room));
	struct packet p = { .type = SUBSCRIBE, .packet_id = 999 }, ack;

	wr_binary(&w, span_text(filter));
	wr_u8(&w, options);
	p.list = wr_span(&w);
	send_packet(c, &p);
	ack = expect(c, SUBACK);
	assert_int_equal(ack.packet_id, 999);
	assert_int_equal(ack.list.len, 1);
	assert_int_equal(ack.list.at[0], options & 3);
}

struct post {
	const char *topic, *payload;
	unsigned qos, id;
	bool retain, dup;
	struct span properties;
};

static inline void publish_as(struct client *c, struct post m)
{
	struct packet p = {
		.type = PUBLISH, .topic = span_text(m.topic), .payload = span_text(m.payload), .packet_id = (uint16_t)m.id,
		.flags = (uint8_t)(m.qos << PUBLISH_QOS_SHIFT | (m.retain ? PUBLISH_RETAIN : 0) | (m.dup ? PUBLISH_DUP : 0)),
		.properties = m.properties,
	};

	send_packet(c, &p);
}

static inline void publish(struct client *c, const char *topic, const char *payload, unsigned qos, unsigned id)
{
	publish_as(c, (struct post){ .topic = topic, .payload = payload, .qos = qos, .id = id });
}

static inline struct packet expect_message(struct client *c, const char *payload, unsigned qos)
{
	struct packet p = expect(c, PUBLISH);

	assert_true(span_is(p.payload, payload));
	assert_int_equal(publish_qos(&p), qos);
	return p;
}

static inline void acks(struct client *c, enum packet_type type, uint16_t id)
{
	struct packet p = { .type = type, .packet_id = id };

	send_packet(c, &p);
}

static inline void disconnects(struct client *c, unsigned reason)
{
	struct packet p = { .type = DISCONNECT, .reason = (uint8_t)reason, .written = reason ? WRITTEN_REASON : 0 };

	send_packet(c, &p);
}

#endif
