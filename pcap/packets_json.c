#include <stdlib.h>

#include "codec/fields.h"
#include "codec/topic.h"
#include "pcap/json.h"
#include "pcap/mask.h"
#include "pcap/views.h"

/*
 * One JSON object a line for each packet and each event, as docs/decode.schema.json describes it. This is what large captures
 * are turned into, so the way of an ordinary packet is a few copies: what is the same for all packets of a conversation
 * is kept as text.
 */

enum {
	FIXED = 512,			/* more than all of an object's members of bounded length take at a time */
	HEAD = 2048,			/* a conversation's members, if its client id has at most MAX_KEPT_ID bytes */
	MAX_KEPT_ID = 200,
	MAX_HEADS = 4 * 1024 * 1024,	/* bytes of text kept in all; the rest is written anew each time */
};

struct head {			/* the members that tell which conversation, as text, and what they were made of */
	struct span client_id;
	uint8_t version, via;
	bool version_known, roles_known;
	uint32_t len;
	uint8_t text[];
};

struct json {
	struct observer observer;
	struct out *out;
	bool secrets, live, begun;
	uint64_t base_ns;
	uint64_t second;		/* since 1970, which epoch[0..epoch_len) says */
	uint8_t epoch[24];
	uint8_t epoch_len;
	size_t head_bytes;
	uint64_t packets, conversations, holes;
};

static const char *const version_names[] = { [MQTT_3_1] = "3.1", [MQTT_3_1_1] = "3.1.1", [MQTT_5] = "5" };
static const char *const side_names[] = { [FROM_CLIENT] = "client", [FROM_SERVER] = "broker" };

static void key_text(struct out *out, const char *name, const char *text)
{
	json_key(out, name);
	OUT_LITERAL(out, "\"");
	out_text(out, text);
	OUT_LITERAL(out, "\"");
}

static void key_bool(struct out *out, const char *name, bool is)
{
	json_key(out, name);
	if (is)
		OUT_LITERAL(out, "true");
	else
		OUT_LITERAL(out, "false");
}

static void key_number(struct out *out, const char *name, uint64_t number)
{
	json_key(out, name);
	out_number(out, number);
}

/* ---- which conversation ---- */

static void key_endpoint(struct out *out, const char *name, const struct endpoint *e)
{
	char text[ENDPOINT_TEXT];

	key_text(out, name, endpoint_print(e, text));
}

static void write_head(struct out *out, const struct conversation *c)
{
	static const char *const ways[] = { [VIA_TCP] = "tcp", [VIA_TLS] = "tls", [VIA_WS] = "ws", [VIA_WSS] = "wss" };

	key_number(out, "connection", c->number);
	key_number(out, "stream", c->stream);
	if (c->client_id.at)
		json_bytes(out, "client", c->client_id);
	else
		OUT_LITERAL(out, ",\"client\":null");
	key_text(out, "version", version_names[c->version]);
	key_bool(out, "version_known", c->version_known);
	key_text(out, "way", ways[c->via]);
	key_endpoint(out, "client_address", &c->client);
	key_endpoint(out, "broker_address", &c->broker);
	key_bool(out, "roles_known", c->roles_known);
}

static bool still_so(const struct head *head, const struct conversation *c)
{
	return head->client_id.at == c->client_id.at && head->client_id.len == c->client_id.len && head->version == c->version &&
	       head->via == c->via && head->version_known == c->version_known && head->roles_known == c->roles_known;
}

static void drop_head(struct json *j, struct conversation *c)
{
	struct head *head = c->of[j->observer.slot];

	if (head)
		j->head_bytes -= sizeof(*head) + head->len;
	free(head);
	c->of[j->observer.slot] = NULL;
}

static void make_head(struct json *j, struct conversation *c)
{
	struct out *out = j->out;
	size_t from;

	drop_head(j, c);
	if (c->client_id.len > MAX_KEPT_ID) {
		write_head(out, c);
		return;
	}
	out_room(out, HEAD);		/* so that it lies in one piece */
	from = out->len;
	write_head(out, c);
	size_t len = out->len - from, size = sizeof(struct head) + len;
	if (size > MAX_HEADS - j->head_bytes)
		return;
	struct head *head = malloc(size);
	if (!head)
		return;
	*head = (struct head){ c->client_id, (uint8_t)c->version, (uint8_t)c->via, c->version_known, c->roles_known, (uint32_t)len };
	memcpy(head->text, out->room + from, len);
	c->of[j->observer.slot] = head;
	j->head_bytes += size;
}

static inline void head(struct json *j, struct conversation *c)
{
	const struct head *kept = c->of[j->observer.slot];

	if (kept && still_so(kept, c))
		out_small(j->out, kept->text, kept->len);
	else
		make_head(j, c);
}

/* ---- when ---- */

static void begin(struct json *j, const struct when *first)
{
	if (j->begun)
		return;
	j->begun = true;
	j->base_ns = first ? first->time_ns : 0;
	OUT_LITERAL(j->out, "{\"kind\":\"capture\",\"schema\":{\"name\":\"mqassay-decode\",\"version\":1},\"epoch\":");
	if (first) {
		OUT_LITERAL(j->out, "\"");
		json_seconds(j->out, (int64_t)first->time_ns);
		OUT_LITERAL(j->out, "\"}\n");
	} else {
		OUT_LITERAL(j->out, "null}\n");
	}
}

/* Most packets are of the same second as the one before. */
static uint8_t *put_epoch(struct json *j, uint8_t *p, uint64_t time_ns)
{
	uint64_t second = time_ns / 1000000000;
	uint32_t part = (uint32_t)(time_ns % 1000000000);

	if (second != j->second || !j->epoch_len) {
		uint8_t *end = json_put_number(j->epoch, second);

		*end++ = '.';
		j->epoch_len = (uint8_t)(end - j->epoch);
		j->second = second;
	}
	memcpy(p, j->epoch, sizeof(j->epoch));
	p += j->epoch_len;
	for (int i = 8; i >= 0; i--, part /= 10)
		p[i] = (uint8_t)('0' + part % 10);
	return p + 9;
}

static uint8_t *put_when(struct json *j, uint8_t *p, const struct when *when)
{
	p = JSON_PUT(p, ",\"time\":");
	p = json_put_seconds(p, (int64_t)(when->time_ns - j->base_ns));
	p = JSON_PUT(p, ",\"epoch\":\"");
	p = put_epoch(j, p, when->time_ns);
	return JSON_PUT(p, "\"");
}

/* {"kind":"KIND","frame":...: what all but packets begin with. */
static void event(struct json *j, const char *kind, struct conversation *c, const struct when *when)
{
	begin(j, when);
	OUT_LITERAL(j->out, "{\"kind\":\"");
	out_text(j->out, kind);
	OUT_LITERAL(j->out, "\",\"frame\":");
	out_number(j->out, when->frame);
	uint8_t *from = out_room(j->out, FIXED);
	out_wrote(j->out, (size_t)(put_when(j, from, when) - from));
	if (c)
		head(j, c);
}

static void end_line(struct json *j, const struct when *when)
{
	OUT_LITERAL(j->out, "}\n");
	if (j->live)
		out_show(j->out, when->time_ns);
}

/* ---- fields ---- */

static void value(struct json *j, const char *name, enum kind kind, const struct value *v, bool secret)
{
	if (secret && !j->secrets) {
		json_key(j->out, name);
		OUT_LITERAL(j->out, "null");
	} else if (kind == PAIR) {
		json_key(j->out, name);
		OUT_LITERAL(j->out, "[");
		json_string(j->out, v->bytes);
		OUT_LITERAL(j->out, ",");
		json_string(j->out, v->second);
		OUT_LITERAL(j->out, "]");
	} else if (v->kind == VALUE_BYTES) {
		json_bytes(j->out, name, v->bytes);
	} else {
		key_number(j->out, name, v->number);
	}
}

static void pairs(struct json *j, struct span list)
{
	struct property_walk walk = properties_of(list);
	struct property p;
	bool text = true;

	while (property_next(&walk, &p))
		if (p.id == PROP_user_property && !(utf8_valid(p.value.bytes) && utf8_valid(p.value.second)))
			text = false;
	void (*put)(struct out *out, struct span bytes) = text ? json_string : json_base64;
	json_key(j->out, text ? "user_property" : "user_property_base64");
	const char *separator = "[[";
	walk = properties_of(list);
	while (property_next(&walk, &p)) {
		if (p.id != PROP_user_property)
			continue;
		out_text(j->out, separator);
		separator = ",[";
		put(j->out, p.value.bytes);
		OUT_LITERAL(j->out, ",");
		put(j->out, p.value.second);
		OUT_LITERAL(j->out, "]");
	}
	OUT_LITERAL(j->out, "]");
}

static void identifiers(struct json *j, struct span list)
{
	struct property_walk walk = properties_of(list);
	struct property p;
	char separator = '[';

	json_key(j->out, "subscription_identifier");
	while (property_next(&walk, &p)) {
		if (p.id != PROP_subscription_identifier)
			continue;
		out_byte(j->out, separator);
		separator = ',';
		out_number(j->out, p.value.number);
	}
	OUT_LITERAL(j->out, "]");
}

static const char *name_of(const struct property *p, bool will)
{
	const struct field *f = field_of_property(p->id, will);

	return will ? f->name + sizeof("will.") - 1 : f->name;
}

/* What stands once by the standard and stood there again: no key is repeated for it. */
static void repeated(struct json *j, struct span list, bool will)
{
	struct property_walk walk = properties_of(list);
	struct property p;
	uint64_t seen = 0;
	const char *separator = "[{";

	json_key(j->out, "repeated");
	while (property_next(&walk, &p)) {
		bool again = seen >> p.id & 1 && !field_of_property(p.id, will)->repeats;

		seen |= (uint64_t)1 << p.id;
		if (!again)
			continue;
		out_text(j->out, separator);
		OUT_LITERAL(j->out, "\"name\":\"");
		out_text(j->out, name_of(&p, will));
		OUT_LITERAL(j->out, "\"");
		value(j, "value", p.kind, &p.value, mask_property(p.id));
		OUT_LITERAL(j->out, "}");
		separator = ",{";
	}
	OUT_LITERAL(j->out, "]");
}

static void properties(struct json *j, struct span list, bool will)
{
	struct property_walk walk = properties_of(list);
	struct property p;
	uint64_t seen = 0;
	bool again = false;

	while (property_next(&walk, &p)) {
		bool had = seen >> p.id & 1;

		seen |= (uint64_t)1 << p.id;
		if (p.id == PROP_user_property) {
			if (!had)
				pairs(j, list);
		} else if (p.id == PROP_subscription_identifier) {
			if (!had)
				identifiers(j, list);
		} else if (had) {
			again = true;
		} else {
			value(j, name_of(&p, will), p.kind, &p.value, mask_property(p.id));
		}
	}
	if (again)
		repeated(j, list, will);
}

static void reason_name_of(struct out *out, const struct packet *p, unsigned code)
{
	const char *name = reason_name(p->type, p->version, code);

	if (!name) {
		OUT_LITERAL(out, "null");
		return;
	}
	OUT_LITERAL(out, "\"");
	out_text(out, name);
	OUT_LITERAL(out, "\"");
}

static void reason(struct json *j, const struct packet *p)
{
	OUT_LITERAL(j->out, ",\"reason\":");
	out_number(j->out, p->reason);
	OUT_LITERAL(j->out, ",\"reason_name\":");
	reason_name_of(j->out, p, p->reason);
}

static void reasons(struct json *j, const struct packet *p)
{
	OUT_LITERAL(j->out, ",\"reasons\":[");
	for (size_t i = 0; i < p->list.len; i++) {
		if (i)
			OUT_LITERAL(j->out, ",");
		out_number(j->out, p->list.at[i]);
	}
	OUT_LITERAL(j->out, "],\"reason_names\":[");
	for (size_t i = 0; i < p->list.len; i++) {
		if (i)
			OUT_LITERAL(j->out, ",");
		reason_name_of(j->out, p, p->list.at[i]);
	}
	OUT_LITERAL(j->out, "]");
}

static void filters(struct json *j, const struct packet *p)
{
	struct filter_walk walk = filters_of(p);
	struct span filter;
	const char *separator = "";
	uint8_t o;

	OUT_LITERAL(j->out, ",\"filters\":[");
	while (filter_next(&walk, &filter, &o)) {
		bool text = utf8_valid(filter);

		out_text(j->out, separator);
		separator = ",";
		if (text) {
			OUT_LITERAL(j->out, "{\"filter\":");
			json_string(j->out, filter);
		} else {
			OUT_LITERAL(j->out, "{\"filter_base64\":");
			json_base64(j->out, filter);
		}
		if (p->type == SUBSCRIBE) {
			key_number(j->out, "qos", o & SUBSCRIBE_QOS);
			if (p->version == MQTT_5) {
				key_bool(j->out, "no_local", o & SUBSCRIBE_NO_LOCAL);
				key_bool(j->out, "retain_as_published", o & SUBSCRIBE_RETAIN_AS_PUBLISHED);
				key_number(j->out, "retain_handling", (o & SUBSCRIBE_RETAIN_HANDLING) >> SUBSCRIBE_RETAIN_HANDLING_SHIFT);
			}
			key_number(j->out, "options", o);
		}
		OUT_LITERAL(j->out, "}");
	}
	OUT_LITERAL(j->out, "]");
}

/* ---- packets ---- */

static void connect(struct json *j, const struct packet *p)
{
	struct out *out = j->out;

	json_bytes(out, "protocol_name", p->protocol_name);
	key_number(out, "protocol_version", p->protocol_version);
	key_number(out, "connect_flags", p->connect_flags);
	key_bool(out, "clean_start", p->connect_flags & CONNECT_CLEAN_START);
	key_number(out, "keep_alive", p->keep_alive);
	properties(j, p->properties, false);
	json_bytes(out, "client_id", p->client_id);
	if (p->connect_flags & CONNECT_WILL) {
		OUT_LITERAL(out, ",\"will\":{\"qos\":");
		out_number(out, will_qos(p));
		key_bool(out, "retain", p->connect_flags & CONNECT_WILL_RETAIN);
		json_bytes(out, "topic", p->will_topic);
		json_bytes(out, "payload", p->will_payload);
		properties(j, p->will_properties, true);
		OUT_LITERAL(out, "}");
	}
	if (p->connect_flags & CONNECT_USER_NAME && !(p->written & LEFT_OUT_USER_NAME))
		json_bytes(out, "user_name", p->user_name);
	if (p->connect_flags & CONNECT_PASSWORD && !(p->written & LEFT_OUT_PASSWORD))
		value(j, "password", BIN, &(struct value){ .kind = VALUE_BYTES, .bytes = p->password }, true);
}

static void connack(struct json *j, const struct packet *p)
{
	key_number(j->out, "ack_flags", p->ack_flags);
	if (p->version != MQTT_3_1)
		key_bool(j->out, "session_present", p->ack_flags & 1);
	reason(j, p);
	properties(j, p->properties, false);
}

/* topic is what the message is about, also where an alias stands for it: then topic_by_alias tells that the packet has none. */
static void publish(struct json *j, const struct seen_packet *seen)
{
	const struct packet *p = &seen->packet;
	bool by_alias = !p->topic.len && p->version == MQTT_5 && property_number(p->properties, PROP_topic_alias, 0);
	uint8_t *from, *to;

	if (!by_alias || seen->topic.len)
		json_bytes(j->out, "topic", by_alias ? seen->topic : p->topic);
	else
		OUT_LITERAL(j->out, ",\"topic\":null");
	if (by_alias)
		OUT_LITERAL(j->out, ",\"topic_by_alias\":true");
	to = from = out_room(j->out, FIXED);
	to = JSON_PUT(to, ",\"qos\":");
	*to++ = (uint8_t)('0' + publish_qos(p));
	to = p->flags & PUBLISH_DUP ? JSON_PUT(to, ",\"dup\":true") : JSON_PUT(to, ",\"dup\":false");
	to = p->flags & PUBLISH_RETAIN ? JSON_PUT(to, ",\"retain\":true") : JSON_PUT(to, ",\"retain\":false");
	if (publish_qos(p)) {
		to = JSON_PUT(to, ",\"packet_id\":");
		to = json_put_number(to, p->packet_id);
	}
	out_wrote(j->out, (size_t)(to - from));
	if (p->properties.len)
		properties(j, p->properties, false);
	from = out_room(j->out, FIXED);
	to = JSON_PUT(from, ",\"payload_size\":");
	to = json_put_number(to, p->payload.len);
	out_wrote(j->out, (size_t)(to - from));
	json_bytes(j->out, "payload", p->payload);
}

static void fields(struct json *j, const struct seen_packet *seen)
{
	const struct packet *p = &seen->packet;

	switch (p->type) {
	case CONNECT: connect(j, p); return;
	case CONNACK: connack(j, p); return;
	case PUBLISH: publish(j, seen); return;
	case PINGREQ: case PINGRESP: return;
	default: break;
	}
	if (p->type != DISCONNECT && p->type != AUTH)
		key_number(j->out, "packet_id", p->packet_id);
	if (p->type == SUBACK || (p->type == UNSUBACK && p->version == MQTT_5))
		reasons(j, p);
	else if (p->type != SUBSCRIBE && p->type != UNSUBSCRIBE && p->version == MQTT_5)
		reason(j, p);		/* one that is left out means 0 */
	properties(j, p->properties, false);
	if (p->type == SUBSCRIBE || p->type == UNSUBSCRIBE)
		filters(j, p);
}

static void unreadable(struct json *j, const struct seen_packet *seen)
{
	const struct finding *f = &seen->finding;
	struct out *out = j->out;
	char room[64];
	struct writer w = writer_to(room, sizeof(room));

	finding_rule(f, &w);
	OUT_LITERAL(out, ",\"unreadable\":{\"clause\":");
	json_string(out, wr_span(&w));
	key_number(out, "offset", f->offset);
	if (f->field)
		key_text(out, "field", f->field);
	else
		OUT_LITERAL(out, ",\"field\":null");
	key_text(out, "why", f->why ? f->why : rule_asks(f->rule));
	OUT_LITERAL(out, "},\"bytes_base64\":");
	struct masked masked;
	mask_bytes(&masked, seen, j->secrets);
	json_base64(out, masked.bytes);
	if (masked.n_masked)
		key_number(out, "bytes_masked", masked.n_masked);
	mask_release(&masked);
}

static void packet(struct observer *o, const struct seen_packet *seen)
{
	struct json *j = (struct json *)o;
	struct out *out = j->out;
	unsigned type = seen->frame.first >> 4;
	uint8_t *from, *p;

	begin(j, &seen->when);
	j->packets++;
	p = from = out_room(out, FIXED);
	p = JSON_PUT(p, "{\"kind\":\"packet\",\"frame\":");
	p = json_put_number(p, seen->when.frame);
	p = JSON_PUT(p, ",\"first_frame\":");
	p = json_put_number(p, seen->first.frame);
	p = put_when(j, p, &seen->when);
	out_wrote(out, (size_t)(p - from));
	head(j, seen->conversation);
	p = from = out_room(out, FIXED);
	p = seen->from == FROM_CLIENT ? JSON_PUT(p, ",\"from\":\"client\"") : JSON_PUT(p, ",\"from\":\"broker\"");
	p = seen->sure ? JSON_PUT(p, ",\"sure\":true") : JSON_PUT(p, ",\"sure\":false");
	p = JSON_PUT(p, ",\"confidence\":");
	p = json_put_number(p, seen->confidence);
	p = JSON_PUT(p, ",\"type\":\"");
	const char *name = type ? packet_name(type) : "RESERVED";
	size_t len = strlen(name);
	memcpy(p, name, len);
	p = JSON_PUT(p + len, "\",\"size\":");
	p = json_put_number(p, seen->bytes.len);
	p = JSON_PUT(p, ",\"remaining_length\":");
	p = json_put_number(p, seen->bytes.len - seen->frame.header_size);
	p = JSON_PUT(p, ",\"flags\":");
	p = json_put_number(p, seen->frame.first & 0xf);
	if (seen->frame.overlong)
		p = JSON_PUT(p, ",\"overlong\":true");
	out_wrote(out, (size_t)(p - from));
	if (seen->status == CODEC_OK)
		fields(j, seen);
	else
		unreadable(j, seen);
	end_line(j, &seen->when);
}

/* ---- events ---- */

static void started(struct observer *o, const struct when *when)
{
	begin((struct json *)o, when);
}

static void opened(struct observer *o, struct conversation *c, const struct when *when)
{
	struct json *j = (struct json *)o;

	j->conversations++;
	event(j, "opened", c, when);
	key_bool(j->out, "from_start", c->from_start);
	end_line(j, when);
}

static void hole(struct observer *o, struct conversation *c, const struct hole *hole)
{
	static const char *const whys[] = {
		[HOLE_LOST] = "lost", [HOLE_CUT] = "cut", [HOLE_NO_ROOM] = "no_room", [HOLE_UNFINISHED] = "unfinished",
		[HOLE_UNREADABLE] = "unreadable", [HOLE_ENCRYPTED] = "encrypted",
	};
	struct json *j = (struct json *)o;

	j->holes++;
	event(j, "hole", c, &hole->when);
	key_text(j->out, "from", side_names[hole->from]);
	key_text(j->out, "why", whys[hole->why]);
	if (hole->bytes || hole->why == HOLE_UNREADABLE)
		key_number(j->out, "bytes", hole->bytes);
	else
		OUT_LITERAL(j->out, ",\"bytes\":null");
	key_number(j->out, "skipped", hole->skipped);
	end_line(j, &hole->when);
}

static void closed(struct observer *o, struct conversation *c, enum sender from, bool reset, const struct when *when)
{
	struct json *j = (struct json *)o;

	event(j, "closed", c, when);
	key_text(j->out, "from", side_names[from]);
	key_bool(j->out, "reset", reset);
	end_line(j, when);
}

static void ended(struct observer *o, struct conversation *c, enum conversation_end how, const struct when *when)
{
	static const char *const hows[] = {
		[ENDED_BY_FIN] = "fin", [ENDED_BY_RESET] = "reset", [ENDED_REPLACED] = "replaced", [ENDED_FORGOTTEN] = "forgotten",
		[ENDED_WITH_CAPTURE] = "capture_ended",
	};
	struct json *j = (struct json *)o;

	event(j, "ended", c, when);
	key_text(j->out, "how", hows[how]);
	end_line(j, when);
	drop_head(j, c);
}

static void flush(struct observer *o)
{
	out_flush(((struct json *)o)->out);
}

static void finish(struct observer *o, const struct when *when)
{
	struct json *j = (struct json *)o;

	begin(j, NULL);
	event(j, "finished", NULL, when);
	key_number(j->out, "packets", j->packets);
	key_number(j->out, "conversations", j->conversations);
	key_number(j->out, "holes", j->holes);
	OUT_LITERAL(j->out, "}\n");
	out_flush(j->out);
}

static void json_free(struct observer *o)
{
	free(o);
}

struct observer *packets_json_new(struct out *out, const struct view_options *options)
{
	static const struct observer_ops ops = { started, opened, packet, hole, closed, ended, flush, finish, json_free };
	struct json *j = calloc(1, sizeof(*j));

	if (!j)
		return NULL;
	j->observer.ops = &ops;
	j->out = out;
	j->secrets = options->secrets;
	j->live = options->live;
	return &j->observer;
}
