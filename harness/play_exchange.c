#include "harness/play.h"

#include <stdio.h>
#include <stdlib.h>

#include "harness/hello.h"

/* A valid exchange on a fresh connection: CONNECT, SUBSCRIBE, PUBLISH, and the message comes back. */

enum { SUBSCRIBE_ID = 1, PUBLISH_ID = 2 };

struct exchange {
	struct conn conn;
	struct timeline *timeline;
	struct timer timer;
	enum exchange_reached wanted, reached;
	bool over, acknowledged, delivered;
	const char *how;
};

static struct exchange *exchange_of(struct conn *c)
{
	return (struct exchange *)((char *)c - offsetof(struct exchange, conn));
}

static void over(struct exchange *x, const char *how)
{
	if (x->over)
		return;
	x->over = true;
	x->how = how;
	timeline_wake(x->timeline);
}

static void reach(struct exchange *x, enum exchange_reached reached)
{
	if (reached > x->reached)
		x->reached = reached;
	if (x->reached >= x->wanted)
		over(x, "");
}

/* ---- what is sent ---- */

static struct span topic_of(const struct exchange *x, char room[32])
{
	snprintf(room, 32, "%sZ", x->timeline->name);
	return span_text(room);
}

static void put(struct exchange *x, struct builder *b)
{
	uint8_t room[512];
	struct writer w = writer_to(room, sizeof(room));

	if (builder_encode(b, &w) != CODEC_OK || !wr_fits(&w))
		return;
	monitor_sent(&x->conn.monitor, room, w.len, &b->packet);
	conn_send(&x->conn, wr_span(&w), 0, 0);
}

static void start(const struct exchange *x, struct builder *b, enum packet_type type, struct arena *arena, uint8_t *room, size_t size)
{
	arena_init(arena, room, size);
	builder_start(b, type, x->timeline->script->version, arena);
}

static void subscribe(struct exchange *x)
{
	struct builder b;
	struct arena arena;
	uint8_t room[256];
	char name[32];
	struct value filter = { .kind = VALUE_FILTER, .bytes = topic_of(x, name) };

	start(x, &b, SUBSCRIBE, &arena, room, sizeof(room));
	b.packet.packet_id = SUBSCRIBE_ID;
	builder_set(&b, field_find(SUBSCRIBE, span_text("filters")), &filter);
	put(x, &b);
}

static void publish(struct exchange *x)
{
	struct builder b;
	struct arena arena;
	uint8_t room[256];
	char name[32];
	bool five = x->timeline->script->version == MQTT_5, acknowledged = !five || monitor_in_force(&x->conn.monitor, PROP_maximum_qos) > 0;

	start(x, &b, PUBLISH, &arena, room, sizeof(room));
	b.packet.topic = topic_of(x, name);
	b.packet.payload = span_text("is the target still there?");
	if (acknowledged) {
		b.packet.flags |= 1 << 1;
		b.packet.packet_id = PUBLISH_ID;
	}
	put(x, &b);
	if (!acknowledged) {
		start(x, &b, PINGREQ, &arena, room, sizeof(room));
		put(x, &b);
	}
}

/* ---- what comes ---- */

static void on_opened(struct conn *c) { (void)c; }
static void on_sent(struct conn *c) { (void)c; }

static void on_packet(struct conn *c, const uint8_t *bytes, size_t len, const struct packet *packet)
{
	struct exchange *x = exchange_of(c);

	(void)bytes, (void)len;
	if (!packet || x->over)
		return;
	switch (packet->type) {
	case CONNACK:
		if (packet->reason) {
			over(x, "it refuses a fresh CONNECT");
			return;
		}
		reach(x, REACHED_CONNACK);
		if (!x->over)
			subscribe(x);
		return;
	case SUBACK:
		reach(x, REACHED_SUBACK);
		if (!x->over)
			publish(x);
		return;
	case PUBACK: case PINGRESP:
		x->acknowledged = true;
		break;
	case PUBLISH:
		x->delivered = true;
		break;
	default:
		return;
	}
	if (x->acknowledged)
		reach(x, x->delivered ? REACHED_DELIVERY : REACHED_ACKNOWLEDGEMENT);
}

static void on_ended(struct conn *c, enum conn_end how)
{
	struct exchange *x = exchange_of(c);
	char text[160];

	conn_end_text(c, text, sizeof(text));
	over(x, result_text(x->timeline->result, how == END_REFUSED ? "it refuses a fresh connection: %s" : "a fresh connection was %s", text));
}

static const struct conn_events events = { on_opened, on_packet, on_ended, on_sent };

static void on_timer(struct timer *timer, struct loop *loop)
{
	static const char *const missing[] = {
		[REACHED_NOTHING] = "a fresh CONNECT was not answered in time", [REACHED_CONNACK] = "on a fresh connection SUBSCRIBE was not answered in time",
		[REACHED_SUBACK] = "on a fresh connection PUBLISH was not acknowledged in time",
		[REACHED_ACKNOWLEDGEMENT] = "on a fresh connection a message was not delivered in time", [REACHED_DELIVERY] = "",
	};
	struct exchange *x = (struct exchange *)((char *)timer - offsetof(struct exchange, timer));

	(void)loop;
	over(x, missing[x->reached]);
}

/* ---- asking ---- */

void exchange_start(struct timeline *t, enum exchange_reached wanted, uint64_t ns)
{
	uint8_t room[65536 * 2 + 256];
	struct writer w = writer_to(room, sizeof(room));
	struct packet packet;
	struct exchange *x;
	char id[32];

	exchange_end(t);
	x = t->exchange = calloc(1, sizeof(*x));
	if (!x)
		abort();
	x->timeline = t;
	x->wanted = wanted;
	x->timer.fire = on_timer;
	loop_timer(t->stage->loop, &x->timer, now(t) + ns);
	if (conn_open(&x->conn, t->stage->loop, t->stage->address, &events, &t->stage->limits, t->stage->world, t->log)) {
		x->conn.end = END_REFUSED;
		over(x, "a fresh connection cannot be opened");
		return;
	}
	timeline_tap_conn(t, &x->conn, "is the target still there?");
	hello(t->script->version, topic_of(x, id), t->stage->user_name, t->stage->password, &packet, &w);
	monitor_sent(&x->conn.monitor, room, w.len, &packet);
	conn_send(&x->conn, wr_span(&w), 0, 0);
}

bool exchange_over(const struct timeline *t, enum exchange_reached *reached, const char **how)
{
	if (!t->exchange || !t->exchange->over)
		return false;
	*reached = t->exchange->reached;
	*how = t->exchange->how;
	return true;
}

void exchange_end(struct timeline *t)
{
	if (!t->exchange)
		return;
	loop_timer_stop(t->stage->loop, &t->exchange->timer);
	conn_close(&t->exchange->conn, false);
	free(t->exchange);
	t->exchange = NULL;
}
