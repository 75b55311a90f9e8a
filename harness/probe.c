#include "harness/probe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/hello.h"

enum { MAX_PACKETS = 1000 };	/* before the answer */

struct asking {			/* one version's connection */
	struct conn conn;
	struct probe *probe;
	uint8_t version;
	bool opened, subscribed, done;
	unsigned n_packets;
};

struct probe {
	const struct stage *stage;
	struct offers *offers;
	void (*done)(void *context);
	void *context;
	struct asking asking[3];
	unsigned n, left;
	bool freed;			/* its last task may still be posted */
	struct timer timer;
	struct task finish, reaper;
	struct monitor_log log;		/* what the probe sees is judged by nobody */
	char name[24];
};

static const char *const version_names[] = { [MQTT_3_1] = "3.1", [MQTT_3_1_1] = "3.1.1", [MQTT_5] = "5" };

static void ignore(void *owner, struct monitor *monitor, const struct violation *violation)
{
	(void)owner, (void)monitor, (void)violation;
}

static struct offer *offer_of(struct asking *a)
{
	return &a->probe->offers->version[a->version];
}

static void answered(struct asking *a)
{
	if (a->done)
		return;
	a->done = true;
	if (--a->probe->left == 0)
		loop_post(a->probe->stage->loop, &a->probe->finish);
}

static void ask_connect(struct asking *a)
{
	const struct stage *stage = a->probe->stage;
	uint8_t room[65536 * 2 + 256];
	uint8_t list[8];
	struct writer w = writer_to(room, sizeof(room)), measure = writer_to(NULL, 0), properties = writer_to(list, sizeof(list));
	struct packet packet;
	char id[32];

	snprintf(id, sizeof(id), "%sP%u", a->probe->name, a->version);
	hello(a->version, span_text(id), stage->user_name, stage->password, &packet, &measure);
	if (a->version == MQTT_5) {	/* what is given on request only is offered as well */
		property_write_number(&properties, PROP_request_response_information, 1);
		packet.properties = wr_span(&properties);
	}
	encode(&packet, NULL, &w);
	monitor_sent(&a->conn.monitor, room, w.len, &packet);
	conn_send(&a->conn, wr_span(&w), 0, 0);
}

static void ask_subscribe(struct asking *a)
{
	uint8_t room[128], values[128];
	struct writer w = writer_to(room, sizeof(room));
	struct arena arena;
	struct builder b;
	struct value filter = { .kind = VALUE_FILTER, .bytes = span_text(a->probe->name), .number = 2 };

	arena_init(&arena, values, sizeof(values));
	builder_start(&b, SUBSCRIBE, a->version, &arena);
	builder_set(&b, field_find(SUBSCRIBE, span_text("filters")), &filter);
	b.packet.packet_id = 1;
	if (builder_encode(&b, &w) != CODEC_OK || !wr_fits(&w))
		return;
	monitor_sent(&a->conn.monitor, room, w.len, &b.packet);
	conn_send(&a->conn, wr_span(&w), 0, 0);
	a->subscribed = true;
}

static void keep_connack(struct asking *a, const struct packet *packet)
{
	struct offer *o = offer_of(a);
	struct value v;

	o->answered = true;
	o->reason = packet->reason;
	o->served = packet->reason == 0;
	struct writer w = writer_to(o->evidence, sizeof(o->evidence) - 1);
	wr_text(&w, "CONNACK reason=");
	const char *name = reason_name(CONNACK, packet->version, packet->reason);
	char digits[8];
	snprintf(digits, sizeof(digits), "0x%02x", packet->reason);
	wr_text(&w, name ? name : digits);
	o->evidence[w.len < w.cap ? w.len : w.cap] = 0;
	for (unsigned id = 1; id < 64; id++) {
		o->in_force[id] = monitor_in_force(&a->conn.monitor, id);
		o->said[id] = a->version == MQTT_5 && property_find(packet->properties, id, &v);
	}
}

static void on_opened(struct conn *c)
{
	struct asking *a = (struct asking *)((char *)c - offsetof(struct asking, conn));

	a->opened = true;
	a->probe->offers->reachable = true;
}

static void on_packet(struct conn *c, const uint8_t *bytes, size_t len, const struct packet *packet)
{
	struct asking *a = (struct asking *)((char *)c - offsetof(struct asking, conn));
	struct offer *o = offer_of(a);

	(void)bytes, (void)len;
	if (a->done)
		return;
	if (++a->n_packets > MAX_PACKETS) {	/* on a simulated clock the time would never be up */
		snprintf(o->evidence, sizeof(o->evidence), "it floods: %u packets and none of them answers", MAX_PACKETS);
		o->served = false;
		answered(a);
		return;
	}
	if (!packet)
		return;
	if (packet->type == CONNACK && !o->answered) {
		keep_connack(a, packet);
		if (o->served)
			ask_subscribe(a);
		else
			answered(a);
	} else if (packet->type == SUBACK && a->subscribed) {
		if (packet->list.len == 1 && packet->list.at[0] < 3)
			o->granted = packet->list.at[0];
		answered(a);
	}
}

static void on_ended(struct conn *c, enum conn_end how)
{
	struct asking *a = (struct asking *)((char *)c - offsetof(struct asking, conn));
	struct offer *o = offer_of(a);

	(void)how;
	a->probe->offers->cut |= !a->done;
	if (!o->answered)
		conn_end_text(c, o->evidence, sizeof(o->evidence));
	answered(a);
}

static void on_sent(struct conn *c) { (void)c; }

static const struct conn_events events = { on_opened, on_packet, on_ended, on_sent };

static void on_timeout(struct timer *timer, struct loop *loop)
{
	struct probe *p = (struct probe *)((char *)timer - offsetof(struct probe, timer));

	(void)loop;
	for (unsigned i = 0; i < p->n; i++) {
		struct asking *a = &p->asking[i];

		if (!a->done && !offer_of(a)->answered)
			snprintf(offer_of(a)->evidence, sizeof(offer_of(a)->evidence), "no answer to CONNECT within %.3g s",
			         (double)p->stage->timeout_ns * p->stage->slack / 1e9);
		answered(a);
	}
}

static void say_why(struct offers *offers)
{
	const struct offer *first = NULL;
	bool differ = false;
	size_t len = 0;

	for (unsigned v = MQTT_3_1; v <= MQTT_5; v++)
		if (offers->version[v].asked) {
			first = first ? first : &offers->version[v];
			differ |= strcmp(first->evidence, offers->version[v].evidence) != 0;
		}

	for (unsigned v = MQTT_3_1; v <= MQTT_5; v++) {
		const struct offer *o = &offers->version[v];

		if (!o->asked)
			continue;
		if (o->served) {
			offers->why[0] = 0;
			return;
		}
		if (!differ)
			len = (size_t)snprintf(offers->why, sizeof(offers->why), "%s", o->evidence);
		else if (len < sizeof(offers->why))
			len += (size_t)snprintf(offers->why + len, sizeof(offers->why) - len, "%s%s: %s", len ? "; " : "", version_names[v], o->evidence);
	}
}

static void on_finish(struct task *task, struct loop *loop)
{
	struct probe *p = (struct probe *)((char *)task - offsetof(struct probe, finish));

	(void)loop;
	if (p->freed)
		return;
	loop_timer_stop(p->stage->loop, &p->timer);
	for (unsigned i = 0; i < p->n; i++)
		conn_close(&p->asking[i].conn, false);
	say_why(p->offers);
	p->done(p->context);
}

struct probe *probe_start(const struct stage *stage, unsigned versions, const char *name, struct offers *offers,
                          void (*done)(void *context), void *context)
{
	struct probe *p = calloc(1, sizeof(*p));

	if (!p)
		abort();
	*offers = (struct offers){ .login = stage->user_name.at != NULL };
	p->stage = stage;
	p->offers = offers;
	p->done = done;
	p->context = context;
	p->finish.run = on_finish;
	p->timer.fire = on_timeout;
	p->log.violated = ignore;
	snprintf(p->name, sizeof(p->name), "%.20s", name);
	for (unsigned v = MQTT_3_1; v <= MQTT_5; v++)
		if (versions & 1u << v) {
			p->asking[p->n++] = (struct asking){ .probe = p, .version = (uint8_t)v };
			offers->version[v] = (struct offer){ .asked = true, .granted = 2 };
		}
	p->left = p->n;
	loop_timer(stage->loop, &p->timer, stage->loop->now_ns + (uint64_t)((double)stage->timeout_ns * stage->slack));
	for (unsigned i = 0; i < p->n; i++) {
		struct asking *a = &p->asking[i];
		int error = conn_open(&a->conn, stage->loop, stage->address, &events, &stage->limits, stage->world, &p->log);

		if (error) {
			snprintf(offer_of(a)->evidence, sizeof(offer_of(a)->evidence), "could not connect: %s", transport_strerror(-error));
			answered(a);
		} else {
			conn_tap(&a->conn, stage->tap, "probe: what is offered?");
			ask_connect(a);
		}
	}
	return p;
}

static void reap(struct task *task, struct loop *loop)
{
	(void)loop;
	free((char *)task - offsetof(struct probe, reaper));
}

void probe_free(struct probe *p)
{
	if (!p)
		return;
	p->freed = true;
	loop_timer_stop(p->stage->loop, &p->timer);
	for (unsigned i = 0; i < p->n; i++)
		conn_close(&p->asking[i].conn, false);
	p->reaper.run = reap;
	loop_reap(p->stage->loop, &p->reaper);
}

/* ---- needs ---- */

static bool compare(const struct need *need, uint64_t value)
{
	switch (need->op) {
	case PATTERN_LESS:     return value < need->number;
	case PATTERN_AT_MOST:  return value <= need->number;
	case PATTERN_MORE:     return value > need->number;
	case PATTERN_AT_LEAST: return value >= need->number;
	case PATTERN_EQUAL:    return value == need->number;
	default:               return value != 0;
	}
}

bool need_met(const struct need *need, enum version version, const struct offers *offers, const struct absent *without,
              size_t n_without, char *why, size_t cap)
{
	const struct offer *o = &offers->version[version];

	for (size_t i = 0; i < n_without; i++)
		if (!strcmp(without[i].capability, need->name) || !strcmp(without[i].capability, need->text)) {
			snprintf(why, cap, "needs %s, which the target lacks: %s", need->text, without[i].by);
			return false;
		}
	if (!strcmp(need->name, "login")) {
		snprintf(why, cap, "needs login: no --user was given");
		return offers->login;
	}
	if (!strcmp(need->name, "tls") || !strcmp(need->name, "websocket") || !strcmp(need->name, "auth")) {
		snprintf(why, cap, "needs %s, which this target's URL does not offer", need->text);
		return false;
	}
	const struct field *field = field_find(CONNACK, span_text(need->name));
	if (!field || !field->property || field->property >= 64)
		return false;
	unsigned id = field->property;
	uint64_t value = o->in_force[id];
	const char *from = o->said[id] ? "CONNACK says" : "CONNACK leaves the default,";
	if (id == PROP_server_keep_alive && !o->said[id])
		value = 0;		/* what is in force is our own then */
	if (id == PROP_maximum_qos && version != MQTT_5) {
		value = o->granted;
		from = "SUBACK granted at most";
	} else if (version != MQTT_5) {
		/* Before 5 nothing can be announced: retain and wildcards are mandatory, the rest does not exist. */
		value = id == PROP_retain_available || id == PROP_wildcard_subscription_available ? 1 : id == PROP_receive_maximum ? 65535
		      : id == PROP_maximum_packet_size ? VARINT_MAX + 5 : 0;
		from = "before 5 it is";
	} else if (need->op == PATTERN_PRESENT && field->limit != BOOL && (field->kind == STR || !o->said[id])) {
		snprintf(why, cap, "needs %s, which CONNACK does not have", need->text);
		return o->said[id];
	}
	snprintf(why, cap, "needs %s; %s %llu", need->text, from, (unsigned long long)value);
	return compare(need, value);
}
