#include "pcap/packet_json.h"

#include "codec/fields.h"
#include "codec/topic.h"
#include "pcap/json.h"
#include "pcap/mask.h"

enum { FIXED = 128 };			/* more than the members of bounded length take that are written at a time */

struct maker {
	struct out *out;
	bool secrets;
};

/* ---- fields ---- */

static void value(const struct maker *m, const char *name, enum kind kind, const struct value *v, bool secret)
{
	if (secret && !m->secrets) {
		json_key(m->out, name);
		OUT_LITERAL(m->out, "null");
	} else if (kind == PAIR) {
		json_key(m->out, name);
		OUT_LITERAL(m->out, "[");
		json_string(m->out, v->bytes);
		OUT_LITERAL(m->out, ",");
		json_string(m->out, v->second);
		OUT_LITERAL(m->out, "]");
	} else if (v->kind == VALUE_BYTES) {
		json_bytes(m->out, name, v->bytes);
	} else {
		json_key_number(m->out, name, v->number);
	}
}

static void pairs(const struct maker *m, struct span list)
{
	struct property_walk walk = properties_of(list);
	struct property p;
	bool text = true;

	while (property_next(&walk, &p))
		if (p.id == PROP_user_property && !(utf8_valid(p.value.bytes) && utf8_valid(p.value.second)))
			text = false;
	void (*put)(struct out *out, struct span bytes) = text ? json_string : json_base64;
	json_key(m->out, text ? "user_property" : "user_property_base64");
	const char *separator = "[[";
	walk = properties_of(list);
	while (property_next(&walk, &p)) {
		if (p.id != PROP_user_property)
			continue;
		out_text(m->out, separator);
		separator = ",[";
		put(m->out, p.value.bytes);
		OUT_LITERAL(m->out, ",");
		put(m->out, p.value.second);
		OUT_LITERAL(m->out, "]");
	}
	OUT_LITERAL(m->out, "]");
}

static void identifiers(const struct maker *m, struct span list)
{
	struct property_walk walk = properties_of(list);
	struct property p;
	char separator = '[';

	json_key(m->out, "subscription_identifier");
	while (property_next(&walk, &p)) {
		if (p.id != PROP_subscription_identifier)
			continue;
		out_byte(m->out, separator);
		separator = ',';
		out_number(m->out, p.value.number);
	}
	OUT_LITERAL(m->out, "]");
}

static const char *name_of(const struct property *p, bool will)
{
	const struct field *f = field_of_property(p->id, will);

	return will ? f->name + sizeof("will.") - 1 : f->name;
}

/* What stands once by the standard and stood there again: no key is repeated for it. */
static void repeated(const struct maker *m, struct span list, bool will)
{
	struct property_walk walk = properties_of(list);
	struct property p;
	uint64_t seen = 0;
	const char *separator = "[{";

	json_key(m->out, "repeated");
	while (property_next(&walk, &p)) {
		bool again = seen >> p.id & 1 && !field_of_property(p.id, will)->repeats;

		seen |= (uint64_t)1 << p.id;
		if (!again)
			continue;
		out_text(m->out, separator);
		OUT_LITERAL(m->out, "\"name\":\"");
		out_text(m->out, name_of(&p, will));
		OUT_LITERAL(m->out, "\"");
		value(m, "value", p.kind, &p.value, mask_property(p.id));
		OUT_LITERAL(m->out, "}");
		separator = ",{";
	}
	OUT_LITERAL(m->out, "]");
}

static void properties(const struct maker *m, struct span list, bool will)
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
				pairs(m, list);
		} else if (p.id == PROP_subscription_identifier) {
			if (!had)
				identifiers(m, list);
		} else if (had) {
			again = true;
		} else {
			value(m, name_of(&p, will), p.kind, &p.value, mask_property(p.id));
		}
	}
	if (again)
		repeated(m, list, will);
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

static void reason(const struct maker *m, const struct packet *p)
{
	OUT_LITERAL(m->out, ",\"reason\":");
	out_number(m->out, p->reason);
	OUT_LITERAL(m->out, ",\"reason_name\":");
	reason_name_of(m->out, p, p->reason);
}

static void reasons(const struct maker *m, const struct packet *p)
{
	OUT_LITERAL(m->out, ",\"reasons\":[");
	for (size_t i = 0; i < p->list.len; i++) {
		if (i)
			OUT_LITERAL(m->out, ",");
		out_number(m->out, p->list.at[i]);
	}
	OUT_LITERAL(m->out, "],\"reason_names\":[");
	for (size_t i = 0; i < p->list.len; i++) {
		if (i)
			OUT_LITERAL(m->out, ",");
		reason_name_of(m->out, p, p->list.at[i]);
	}
	OUT_LITERAL(m->out, "]");
}

static void filters(const struct maker *m, const struct packet *p)
{
	struct filter_walk walk = filters_of(p);
	struct span filter;
	const char *separator = "";
	uint8_t o;

	OUT_LITERAL(m->out, ",\"filters\":[");
	while (filter_next(&walk, &filter, &o)) {
		bool text = utf8_valid(filter);

		out_text(m->out, separator);
		separator = ",";
		if (text) {
			OUT_LITERAL(m->out, "{\"filter\":");
			json_string(m->out, filter);
		} else {
			OUT_LITERAL(m->out, "{\"filter_base64\":");
			json_base64(m->out, filter);
		}
		if (p->type == SUBSCRIBE) {
			json_key_number(m->out, "qos", o & SUBSCRIBE_QOS);
			if (p->version == MQTT_5) {
				json_key_bool(m->out, "no_local", o & SUBSCRIBE_NO_LOCAL);
				json_key_bool(m->out, "retain_as_published", o & SUBSCRIBE_RETAIN_AS_PUBLISHED);
				json_key_number(m->out, "retain_handling", (o & SUBSCRIBE_RETAIN_HANDLING) >> SUBSCRIBE_RETAIN_HANDLING_SHIFT);
			}
			json_key_number(m->out, "options", o);
		}
		OUT_LITERAL(m->out, "}");
	}
	OUT_LITERAL(m->out, "]");
}

/* ---- packets ---- */

static void connect(const struct maker *m, const struct packet *p)
{
	struct out *out = m->out;

	json_bytes(out, "protocol_name", p->protocol_name);
	json_key_number(out, "protocol_version", p->protocol_version);
	json_key_number(out, "connect_flags", p->connect_flags);
	json_key_bool(out, "clean_start", p->connect_flags & CONNECT_CLEAN_START);
	json_key_number(out, "keep_alive", p->keep_alive);
	properties(m, p->properties, false);
	json_bytes(out, "client_id", p->client_id);
	if (p->connect_flags & CONNECT_WILL) {
		OUT_LITERAL(out, ",\"will\":{\"qos\":");
		out_number(out, will_qos(p));
		json_key_bool(out, "retain", p->connect_flags & CONNECT_WILL_RETAIN);
		json_bytes(out, "topic", p->will_topic);
		json_bytes(out, "payload", p->will_payload);
		properties(m, p->will_properties, true);
		OUT_LITERAL(out, "}");
	}
	if (p->connect_flags & CONNECT_USER_NAME && !(p->written & LEFT_OUT_USER_NAME))
		json_bytes(out, "user_name", p->user_name);
	if (p->connect_flags & CONNECT_PASSWORD && !(p->written & LEFT_OUT_PASSWORD))
		value(m, "password", BIN, &(struct value){ .kind = VALUE_BYTES, .bytes = p->password }, true);
}

static void connack(const struct maker *m, const struct packet *p)
{
	json_key_number(m->out, "ack_flags", p->ack_flags);
	if (p->version != MQTT_3_1)
		json_key_bool(m->out, "session_present", p->ack_flags & 1);
	reason(m, p);
	properties(m, p->properties, false);
}

/* topic is what the message is about, also where an alias stands for it: then topic_by_alias tells that the packet has none. */
static void publish(const struct maker *m, const struct seen_packet *seen)
{
	const struct packet *p = &seen->packet;
	bool by_alias = !p->topic.len && p->version == MQTT_5 && property_number(p->properties, PROP_topic_alias, 0);
	uint8_t *from, *to;

	if (!by_alias || seen->topic.len)
		json_bytes(m->out, "topic", by_alias ? seen->topic : p->topic);
	else
		OUT_LITERAL(m->out, ",\"topic\":null");
	if (by_alias)
		OUT_LITERAL(m->out, ",\"topic_by_alias\":true");
	to = from = out_room(m->out, FIXED);
	to = JSON_PUT(to, ",\"qos\":");
	*to++ = (uint8_t)('0' + publish_qos(p));
	to = p->flags & PUBLISH_DUP ? JSON_PUT(to, ",\"dup\":true") : JSON_PUT(to, ",\"dup\":false");
	to = p->flags & PUBLISH_RETAIN ? JSON_PUT(to, ",\"retain\":true") : JSON_PUT(to, ",\"retain\":false");
	if (publish_qos(p)) {
		to = JSON_PUT(to, ",\"packet_id\":");
		to = json_put_number(to, p->packet_id);
	}
	out_wrote(m->out, (size_t)(to - from));
	if (p->properties.len)
		properties(m, p->properties, false);
	from = out_room(m->out, FIXED);
	to = JSON_PUT(from, ",\"payload_size\":");
	to = json_put_number(to, p->payload.len);
	out_wrote(m->out, (size_t)(to - from));
	json_bytes(m->out, "payload", p->payload);
}

static void fields(const struct maker *m, const struct seen_packet *seen)
{
	const struct packet *p = &seen->packet;

	switch (p->type) {
	case CONNECT: connect(m, p); return;
	case CONNACK: connack(m, p); return;
	case PUBLISH: publish(m, seen); return;
	case PINGREQ: case PINGRESP: return;
	default: break;
	}
	if (p->type != DISCONNECT && p->type != AUTH)
		json_key_number(m->out, "packet_id", p->packet_id);
	if (p->type == SUBACK || (p->type == UNSUBACK && p->version == MQTT_5))
		reasons(m, p);
	else if (p->type != SUBSCRIBE && p->type != UNSUBSCRIBE && p->version == MQTT_5)
		reason(m, p);		/* one that is left out means 0 */
	properties(m, p->properties, false);
	if (p->type == SUBSCRIBE || p->type == UNSUBSCRIBE)
		filters(m, p);
}

static void unreadable(const struct maker *m, const struct seen_packet *seen)
{
	const struct finding *f = &seen->finding;
	struct out *out = m->out;
	char room[64];
	struct writer w = writer_to(room, sizeof(room));

	finding_rule(f, &w);
	OUT_LITERAL(out, ",\"unreadable\":{\"clause\":");
	json_string(out, wr_span(&w));
	json_key_number(out, "offset", f->offset);
	if (f->field)
		json_key_text(out, "field", f->field);
	else
		OUT_LITERAL(out, ",\"field\":null");
	json_key_text(out, "why", f->why ? f->why : rule_asks(f->rule));
	OUT_LITERAL(out, "},\"bytes_base64\":");
	struct masked masked;
	mask_bytes(&masked, seen, m->secrets);
	json_base64(out, masked.bytes);
	if (masked.n_masked)
		json_key_number(out, "bytes_masked", masked.n_masked);
	mask_release(&masked);
}

void packet_json(struct out *out, const struct seen_packet *seen, bool secrets)
{
	const struct maker m = { out, secrets };

	if (seen->status == CODEC_OK)
		fields(&m, seen);
	else
		unreadable(&m, seen);
}
