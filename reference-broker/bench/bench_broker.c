#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/bench/bench.h"
#include "codec/codec.h"
#include "reference-broker/broker.h"

/* What the core costs without any transport: messages a second at each QoS, and bytes of an idle connection. */

#define N_MESSAGES 400000u
#define BATCH 64u

struct client {
	struct link *link;
	uint64_t deliveries;
	uint8_t answers[1 << 16];
	size_t len;
};

static struct broker *broker;
static uint64_t now_ns = 1;

static void answer(struct client *c, unsigned first, const uint8_t *id)
{
	uint8_t *at = c->answers + c->len;

	at[0] = (uint8_t)first;
	at[1] = 2;
	memcpy(at + 2, id, 2);
	c->len += 4;
}

/* Reads what came as a client would, and writes down what it answers. */
static void read_packets(struct client *c, const uint8_t *at, size_t len)
{
	struct frame frame;
	struct finding finding;

	for (; frame_next(at, len, &frame, &finding) == FRAME_OK; at += frame.size, len -= frame.size) {
		const uint8_t *body = at + frame.header_size;
		unsigned qos = frame.first >> 1 & 3;

		switch (frame.first >> 4) {
		case PUBLISH:
			c->deliveries++;
			if (qos)
				answer(c, qos == 1 ? 0x40 : 0x50, body + 2 + (body[0] << 8 | body[1]));
			break;
		case PUBREC:
			answer(c, 0x62, body);
			break;
		case PUBREL:
			answer(c, 0x70, body);
			break;
		}
	}
}

static void move_output(void)
{
	struct link *link;

	while ((link = broker_ready(broker))) {
		struct client *c = link_owner(link);
		struct span out = link_output(link);

		if (c)
			read_packets(c, out.at, out.len);
		link_sent(broker, link, out.len, now_ns);
		if (c && c->len) {
			size_t len = c->len;

			c->len = 0;
			broker_receive(broker, link, c->answers, len, now_ns);
		}
	}
}

/* Until nothing is left to be done, turn by turn. */
static void settle(void)
{
	move_output();
	while (broker_deadline(broker) <= now_ns + 1) {
		broker_tick(broker, ++now_ns);
		move_output();
	}
}

static void send_packet(struct link *link, struct packet *p)
{
	uint8_t room[256];
	struct writer w = writer_to(room, sizeof(room));

	p->version = MQTT_3_1_1;
	encode(p, NULL, &w);
	broker_receive(broker, link, room, w.len, now_ns);
}

static struct link *open_link(void *owner, const char *id)
{
	struct packet p = {
		.type = CONNECT, .protocol_name = span_text("MQTT"), .protocol_version = MQTT_3_1_1, .client_id = span_text(id),
		.connect_flags = CONNECT_CLEAN_START, .keep_alive = 60,
	};
	struct link *link = broker_accept(broker, owner, now_ns);

	if (!link)
		abort();
	send_packet(link, &p);
	return link;
}

/* One publisher to n subscribers, in batches of packets as a busy socket would bring them. */
static void flow(unsigned qos, unsigned n)
{
	static struct client subscribers[100], publisher;
	static uint8_t batch[BATCH * 128];
	struct packet subscribe = { .type = SUBSCRIBE, .flags = 2, .packet_id = 1, .list = span_of("\0\3a/+\2", 6) };
	struct writer w = writer_to(batch, sizeof(batch));
	uint64_t delivered = 0;
	unsigned messages = N_MESSAGES / n / (qos + 1);
	double from;
	char what[80];

	for (unsigned i = 0; i < n; i++) {
		char id[16];

		snprintf(id, sizeof(id), "sub%u", i);
		subscribers[i].deliveries = subscribers[i].len = 0;
		subscribers[i].link = open_link(&subscribers[i], id);
		send_packet(subscribers[i].link, &subscribe);
	}
	publisher.len = 0;
	publisher.link = open_link(&publisher, "pub");
	settle();
	for (unsigned i = 0; i < BATCH; i++) {
		struct packet p = {
			.version = MQTT_3_1_1, .type = PUBLISH, .flags = (uint8_t)(qos << PUBLISH_QOS_SHIFT), .packet_id = (uint16_t)(i + 1),
			.topic = span_text("a/b"), .payload = span_text("0123456789012345678901234567890123456789012345678901234"),
		};

		encode(&p, NULL, &w);
	}
	from = bench_ns();
	for (unsigned i = 0; i < messages; i += BATCH) {
		broker_receive(broker, publisher.link, batch, w.len, now_ns);
		settle();
	}
	from = bench_ns() - from;
	for (unsigned i = 0; i < n; i++) {
		delivered += subscribers[i].deliveries;
		broker_forget(broker, subscribers[i].link, now_ns);
	}
	broker_forget(broker, publisher.link, now_ns);
	snprintf(what, sizeof(what), "broker without transport, QoS %u, 1 publisher to %u", qos, n);
	bench_figure(what, from / (double)delivered, "ns", "a delivery: %.2f million/s", (double)delivered / from * 1e3);
}

static void idle(void)
{
	const unsigned n = 10000;
	size_t before = mallinfo2().uordblks, after;

	for (unsigned i = 0; i < n; i++) {
		char id[16];

		snprintf(id, sizeof(id), "idle%u", i);
		open_link(NULL, id);
		settle();
	}
	after = mallinfo2().uordblks;
	bench_figure("broker without transport, idle connection", (double)(after - before) / n, "bytes", "(structures %zu)", broker_idle_link_size());
}

int main(void)
{
	struct broker_config config;

	broker_defaults(&config);
	broker = broker_new(&config, now_ns);
	if (!broker)
		return 1;
	for (unsigned qos = 0; qos < 3; qos++) {
		flow(qos, 1);
		flow(qos, 100);
	}
	idle();
	broker_free(broker);
	return 0;
}
