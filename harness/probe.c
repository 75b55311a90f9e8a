#include "harness/probe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/claimant.h"
#include "harness/hello.h"

enum { MAX_PACKETS = 1000 };	/* before the answer */

struct asking {			/* one version's connection, or one method's */
	struct conn conn;
	struct probe *probe;
	uint8_t version;
	struct method_offer *method;	/* NULL: of a version */
	bool opened, subscribed, done;
	unsigned n_packets;
};

struct probe {
	const struct stage *stage;
	struct offers *offers;
	void (*done)(void *context);
	void *context;
	struct asking asking[3 + MAX_METHODS];
	unsigned n, left;
	bool freed;			/* its last task may still be posted */
	struct timer timer;
	struct task finish, reaper;
	struct monitor_log log;		/* what the probe sees is judged by nobody */
	char name[24];
	unsigned wordless;		/* connections that were closed before anything came */
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

static bool has_answered(struct asking *a)
{
	return a->method ? a->done : offer_of(a)->answered;
}

/* What came instead of service, or of a method: `size` bytes at *text. */
static char *evidence_of(struct asking *a, size_t *size)
{
	*size = a->method ? sizeof(a->method->evidence) : sizeof(offer_of(a)->evidence);
	return a->method ? a->method->evidence : offer_of(a)->evidence;
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

/* As whoever wants to authenticate begins. Of other methods we know no data. */
static void ask_method(struct asking *a)
{
	const struct stage *stage = a->probe->stage;
	uint8_t room[512 + 4 * CLAIMANT_NAME_MAX], list[256 + 4 * CLAIMANT_NAME_MAX], first[4 * CLAIMANT_NAME_MAX];
	struct writer w = writer_to(room, sizeof(room)), measure = writer_to(NULL, 0), properties = writer_to(list, sizeof(list)),
	              data = writer_to(first, sizeof(first));
	struct claimant claimant;
	struct packet packet;
	char id[32];

	snprintf(id, sizeof(id), "%sM", a->probe->name);
	hello(MQTT_5, span_text(id), (struct span){ 0 }, (struct span){ 0 }, &packet, &measure);
	property_write_bytes(&properties, PROP_authentication_method, span_text(a->method->name));
	if (!strcmp(a->method->name, "SCRAM-SHA-256") && stage->user_name.len && stage->user_name.len <= CLAIMANT_NAME_MAX) {
		claimant_first(&claimant, stage->user_name, stage->password, span_text(a->probe->name), &data);
		property_write_bytes(&properties, PROP_authentication_data, wr_span(&data));
	}
	packet.properties = wr_span(&properties);
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

static void put_reason(char *text, size_t size, const struct packet *packet)
{
	const char *name = reason_name((enum packet_type)packet->type, packet->version, packet->reason);

	if (name)
		snprintf(text, size, "%s reason=%s", packet_name((enum packet_type)packet->type), name);
	else
		snprintf(text, size, "%s reason=0x%02x", packet_name((enum packet_type)packet->type), packet->reason);
}

static void keep_connack(struct asking *a, const struct packet *packet)
{
	struct offer *o = offer_of(a);
	struct value v;

	o->answered = true;
	o->reason = packet->reason;
	o->served = packet->reason == 0;
	put_reason(o->evidence, sizeof(o->evidence), packet);
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
	char *evidence;
	size_t size;

	(void)bytes, (void)len;
	if (a->done)
		return;
	if (++a->n_packets > MAX_PACKETS) {	/* on a simulated clock the time would never be up */
		evidence = evidence_of(a, &size);
		snprintf(evidence, size, "it floods: %u packets and none of them answers", MAX_PACKETS);
		if (!a->method)
			o->served = false;
		answered(a);
		return;
	}
	if (!packet)
		return;
	if (a->method) {
		put_reason(a->method->evidence, sizeof(a->method->evidence), packet);
		a->method->offered = packet->type == AUTH || (packet->type == CONNACK && !packet->reason);
		answered(a);
		return;
	}
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
	char *evidence;
	size_t size;

	a->probe->offers->cut |= !a->done;
	evidence = evidence_of(a, &size);
	if (!has_answered(a))
		conn_end_text(c, evidence, size);
	a->probe->wordless += !has_answered(a) && c->open && !c->heard && (how == END_FIN || how == END_RESET);
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
		size_t size;
		char *evidence = evidence_of(a, &size);

		if (!a->done && !has_answered(a))
			snprintf(evidence, size, "no answer to CONNECT within %.3g s",
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
	size_t len = strlen(p->offers->why);
	if (len && p->wordless == p->n && !p->stage->address->layers.tls && !p->stage->address->layers.websocket)
		snprintf(p->offers->why + len, sizeof(p->offers->why) - len, " without a word; does it speak TLS there (tls://)?");
	p->done(p->context);
}

void methods_add(struct methods *methods, const struct need *needs, size_t n_needs)
{
	for (size_t i = 0; i < n_needs; i++) {
		unsigned k = 0;

		if (strcmp(needs[i].name, "auth") != 0)
			continue;
		while (k < MAX_METHODS && methods->names[k] && strcmp(methods->names[k], needs[i].string) != 0)
			k++;
		if (k < MAX_METHODS)
			methods->names[k] = needs[i].string;
	}
}

struct probe *probe_start(const struct stage *stage, unsigned versions, const struct methods *methods, const char *name, struct offers *offers,
                          void (*done)(void *context), void *context)
{
	struct probe *p = calloc(1, sizeof(*p));

	if (!p)
		abort();
	*offers = (struct offers){
		.login = stage->user_name.at != NULL, .password = stage->password.at != NULL,
		.denies_publish = stage->denies_publish, .denies_subscribe = stage->denies_subscribe,
	};
	p->stage = stage;
	for (unsigned way = 0; way < N_WAYS; way++)
		offers->ways |= stage->ways[way] ? 1u << way : 0;
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
	for (unsigned i = 0; i < MAX_METHODS && methods->names[i] && versions & 1u << MQTT_5; i++) {
		offers->methods[i].name = methods->names[i];
		p->asking[p->n++] = (struct asking){ .probe = p, .version = MQTT_5, .method = &offers->methods[i] };
	}
	p->left = p->n;
	loop_timer(stage->loop, &p->timer, stage->loop->now_ns + (uint64_t)((double)stage->timeout_ns * stage->slack));
	for (unsigned i = 0; i < p->n; i++) {
		struct asking *a = &p->asking[i];
		int error = conn_open(&a->conn, stage->loop, stage->address, &events, &stage->limits, stage->world, &p->log);

		if (error) {
			size_t size;
			char *evidence = evidence_of(a, &size);

			snprintf(evidence, size, "could not connect: %s", transport_strerror(-error));
			answered(a);
		} else {
			conn_tap(&a->conn, stage->tap, "probe: what is offered?");
			if (a->method)
				ask_method(a);
			else
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

static bool method_offered(const struct need *need, const struct offers *offers, char *why, size_t cap)
{
	for (unsigned i = 0; i < MAX_METHODS && offers->methods[i].name; i++)
		if (!strcmp(offers->methods[i].name, need->string)) {
			snprintf(why, cap, "needs %s; to a CONNECT with this method the target says: %s", need->text, offers->methods[i].evidence);
			return offers->methods[i].offered;
		}
	snprintf(why, cap, "needs %s, and more methods than %d are not asked about", need->text, MAX_METHODS);
	return false;
}

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
	if (!strcmp(need->name, "denied_publish") || !strcmp(need->name, "denied_subscribe")) {
		bool publish = !strcmp(need->name, "denied_publish");

		snprintf(why, cap, "needs %s: no --profile says `denies %s LEVEL/#`", need->name, publish ? "publish" : "subscribe");
		return publish ? offers->denies_publish : offers->denies_subscribe;
	}
	if (!strcmp(need->name, "auth") && !(offers->login && offers->password)) {
		snprintf(why, cap, "needs %s: no --user%s was given", need->text, offers->login ? " with a --password-file" : "");
		return false;
	}
	if (!strcmp(need->name, "auth"))
		return method_offered(need, offers, why, cap);
	if (!strcmp(need->name, "tls") || !strcmp(need->name, "websocket")) {
		snprintf(why, cap, "needs %s, where the target is not reached: --also names it", need->text);
		return offers->ways & (need->name[0] == 't' ? 1u << WAY_TLS | 1u << WAY_WSS : 1u << WAY_WS | 1u << WAY_WSS);
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
