#include "codec/fields.h"

#include <assert.h>

#include "codec/reader.h"
#include "codec/table.h"

#define MEMBER(m) .member = offsetof(struct packet, m)
#define SHORT_ACKS (ON(PUBACK) | ON(PUBREC) | ON(PUBREL) | ON(PUBCOMP))
#define WITH_ID (ON(PUBLISH) | SHORT_ACKS | ON(SUBSCRIBE) | ON(SUBACK) | ON(UNSUBSCRIBE) | ON(UNSUBACK))
#define EVERY_TYPE 0xfffeu

/* ---- the fields that are no properties ---- */

#define SCALARS(X) \
	X(flags,              "flags",            BITS,    ANY,        flags,            0, 4, EVERY_TYPE,     MQTT_3_1) \
	X(protocol_name,      "protocol_name",    STR,     ANY,        protocol_name,    0, 0, ON(CONNECT),    MQTT_3_1) \
	X(protocol_version,   "protocol_version", U8,      ANY,        protocol_version, 0, 0, ON(CONNECT),    MQTT_3_1) \
	X(connect_flags,      "connect_flags",    U8,      ANY,        connect_flags,    0, 0, ON(CONNECT),    MQTT_3_1) \
	X(clean_start,        "clean_start",      BITS,    BOOL,       connect_flags,    1, 1, ON(CONNECT),    MQTT_3_1) \
	X(will_flag,          "will.flag",        BITS,    BOOL,       connect_flags,    2, 1, ON(CONNECT),    MQTT_3_1) \
	X(will_qos,           "will.qos",         BITS,    QOS,        connect_flags,    3, 2, ON(CONNECT),    MQTT_3_1) \
	X(will_retain,        "will.retain",      BITS,    BOOL,       connect_flags,    5, 1, ON(CONNECT),    MQTT_3_1) \
	X(keep_alive,         "keep_alive",       U16,     ANY,        keep_alive,       0, 0, ON(CONNECT),    MQTT_3_1) \
	X(client_id,          "client_id",        STR,     ANY,        client_id,        0, 0, ON(CONNECT),    MQTT_3_1) \
	X(will_topic,         "will.topic",       STR,     TOPIC_NAME, will_topic,       0, 0, ON(CONNECT),    MQTT_3_1) \
	X(will_payload,       "will.payload",     BIN,     ANY,        will_payload,     0, 0, ON(CONNECT),    MQTT_3_1) \
	X(user_name,          "user_name",        STR,     ANY,        user_name,        0, 0, ON(CONNECT),    MQTT_3_1) \
	X(password,           "password",         BIN,     ANY,        password,         0, 0, ON(CONNECT),    MQTT_3_1) \
	X(ack_flags,          "ack_flags",        U8,      ANY,        ack_flags,        0, 0, ON(CONNACK),    MQTT_3_1) \
	X(session_present,    "session_present",  BITS,    BOOL,       ack_flags,        0, 1, ON(CONNACK),    MQTT_3_1_1) \
	X(return_code,        "reason",           U8,      REASON,     reason,           0, 0, ON(CONNACK),    MQTT_3_1) \
	X(reason,             "reason",           U8,      REASON,     reason,           0, 0, SHORT_ACKS | ON(DISCONNECT) | ON(AUTH), MQTT_5) \
	X(topic,              "topic",            STR,     TOPIC_NAME_OR_ALIAS, topic,   0, 0, ON(PUBLISH),    MQTT_3_1) \
	X(packet_id,          "packet_id",        U16,     NONZERO,    packet_id,        0, 0, WITH_ID,        MQTT_3_1) \
	X(dup,                "dup",              BITS,    BOOL,       flags,            3, 1, ON(PUBLISH),    MQTT_3_1) \
	X(qos,                "qos",              BITS,    QOS,        flags,            1, 2, ON(PUBLISH),    MQTT_3_1) \
	X(retain,             "retain",           BITS,    BOOL,       flags,            0, 1, ON(PUBLISH),    MQTT_3_1) \
	X(payload,            "payload",          REST,    ANY,        payload,          0, 0, ON(PUBLISH),    MQTT_3_1) \
	X(filters,            "filters",          FILTERS, ANY,        list,             0, 0, ON(SUBSCRIBE),  MQTT_3_1) \
	X(topics,             "filters",          TOPICS,  ANY,        list,             0, 0, ON(UNSUBSCRIBE), MQTT_3_1) \
	X(granted,            "reason",           CODES,   REASON,     list,             0, 0, ON(SUBACK),     MQTT_3_1) \
	X(results,            "reason",           CODES,   REASON,     list,             0, 0, ON(UNSUBACK),   MQTT_5) \
	X(properties,         "properties",       PROPS,   ANY,        properties,       0, 0, EVERYWHERE & ~ON(WILL), MQTT_5) \
	X(will_properties,    "will.properties",  PROPS,   ANY,        will_properties,  0, 0, ON(CONNECT),    MQTT_5)

enum scalar {
#define X(id, ...) F_##id,
	SCALARS(X)
#undef X
	N_SCALARS
};

static const struct field scalars[N_SCALARS] = {
#define X(id, text, kind_, limit_, member_, shift_, width_, carried_, since_) \
	[F_##id] = { .name = text, .kind = kind_, .limit = limit_, MEMBER(member_), .shift = shift_, .width = width_, \
	             .carried = carried_, .since = since_, .repeats = kind_ == FILTERS || kind_ == TOPICS || kind_ == CODES, \
	             .will = F_##id == F_will_topic || F_##id == F_will_payload || F_##id == F_will_properties },
	SCALARS(X)
#undef X
};

/* The options byte of one filter: named in `(F opts)`, not fields of the packet. */
static const struct field option_fields[] = {
	{ .name = "qos",                 .kind = BITS, .limit = QOS,  .shift = 0, .width = 2, .carried = ON(SUBSCRIBE), .since = MQTT_3_1 },
	{ .name = "no_local",            .kind = BITS, .limit = BOOL, .shift = 2, .width = 1, .carried = ON(SUBSCRIBE), .since = MQTT_5 },
	{ .name = "retain_as_published", .kind = BITS, .limit = BOOL, .shift = 3, .width = 1, .carried = ON(SUBSCRIBE), .since = MQTT_5 },
	{ .name = "retain_handling",     .kind = BITS, .limit = ANY,  .shift = 4, .width = 2, .carried = ON(SUBSCRIBE), .since = MQTT_5 },
	{ .name = "options",             .kind = U8,   .limit = ANY,  .carried = ON(SUBSCRIBE), .since = MQTT_3_1 },
};

/* ---- properties, in the packet's own list and in the will's ---- */

enum {
#define X(id, name, kind, carried, limit) INDEX_##name,
	PROPERTIES(X)
#undef X
	N_PROPERTIES
};

#define MAY_REPEAT(id) ((id) == PROP_user_property || (id) == PROP_subscription_identifier)

static const struct field own[N_PROPERTIES] = {
#define X(id, name_, kind_, carried_, limit_) \
	[INDEX_##name_] = { .name = #name_, .kind = kind_, .limit = limit_, MEMBER(properties), .property = id, \
	                    .repeats = MAY_REPEAT(id), .carried = (carried_) & ~ON(WILL), .since = MQTT_5 },
	PROPERTIES(X)
#undef X
};

static const struct field will[N_PROPERTIES] = {
#define X(id, name_, kind_, carried_, limit_) \
	[INDEX_##name_] = { .name = "will." #name_, .kind = kind_, .limit = limit_, MEMBER(will_properties), .property = id, \
	                    .repeats = MAY_REPEAT(id), .will = true, .carried = (carried_) & ON(WILL) ? ON(CONNECT) : 0, .since = MQTT_5 },
	PROPERTIES(X)
#undef X
};

/* The one name that the will shortens: "will.delay_interval". */
static const struct field will_delay = {
	.name = "will.delay_interval", .kind = U32, .limit = ANY, MEMBER(will_properties), .property = PROP_will_delay_interval,
	.will = true, .carried = ON(CONNECT), .since = MQTT_5,
};

static const uint8_t index_of_property[PROPERTY_ID_MAX + 1] = {	/* index + 1, 0: unknown */
#define X(id, name, kind, carried, limit) [id] = INDEX_##name + 1,
	PROPERTIES(X)
#undef X
};

const struct field *field_of_property(unsigned id, bool of_will)
{
	unsigned i = id <= PROPERTY_ID_MAX ? index_of_property[id] : 0;

	if (!i)
		return NULL;
	if (of_will && id == PROP_will_delay_interval)
		return &will_delay;
	return of_will ? &will[i - 1] : &own[i - 1];
}

int property_kind(unsigned id)
{
	unsigned i = id <= PROPERTY_ID_MAX ? index_of_property[id] : 0;

	return i ? (int)own[i - 1].kind : -1;
}

/* ---- by name ---- */

const struct field *field_find(enum packet_type type, struct span name)
{
	static const char prefix[] = "will.";

	for (size_t i = 0; i < N_SCALARS; i++)
		if (scalars[i].carried & ON(type) && span_is(name, scalars[i].name))
			return &scalars[i];
	if (type == SUBSCRIBE)
		for (size_t i = 0; i < sizeof(option_fields) / sizeof(*option_fields); i++)
			if (span_is(name, option_fields[i].name))
				return &option_fields[i];
	if (type == CONNECT && span_is(name, will_delay.name))
		return &will_delay;
	bool of_will = type == CONNECT && name.len > 5 && !memcmp(name.at, prefix, 5);
	if (of_will)
		name = span_of(name.at + 5, name.len - 5);
	for (size_t i = 0; i < N_PROPERTIES; i++)
		if (span_is(name, own[i].name))
			return of_will ? &will[i] : &own[i];
	return NULL;
}

bool field_belongs(const struct field *field, enum packet_type type, enum version version)
{
	return field->carried & ON(type) && version >= field->since;
}

const struct field *field_at(enum packet_type type, enum version version, size_t i)
{
	for (size_t k = 0; k < N_SCALARS; k++)
		if (field_belongs(&scalars[k], type, version) && i-- == 0)
			return &scalars[k];
	for (size_t k = 0; type == SUBSCRIBE && k < sizeof(option_fields) / sizeof(*option_fields); k++)
		if (field_belongs(&option_fields[k], type, version) && i-- == 0)
			return &option_fields[k];
	for (size_t k = 0; k < N_PROPERTIES; k++)
		if (field_belongs(&own[k], type, version) && i-- == 0)
			return &own[k];
	for (size_t k = 0; k < N_PROPERTIES; k++) {
		const struct field *f = will[k].property == PROP_will_delay_interval ? &will_delay : &will[k];

		if (field_belongs(f, type, version) && i-- == 0)
			return f;
	}
	return NULL;
}

/* ---- layouts ---- */

#define R(scalar, when) { &scalars[F_##scalar], when }
#define END { NULL, ALWAYS }
static const struct row short_ack[] = { R(packet_id, ALWAYS), R(reason, REASON_LEFT), R(properties, PROPERTIES_LEFT), END };
static const struct row only_reason[] = { R(reason, REASON_LEFT), R(properties, PROPERTIES_LEFT), END };
static const struct row nothing[] = { END };
static const struct row connect[] = {
	R(protocol_name, ALWAYS), R(protocol_version, ALWAYS), R(connect_flags, ALWAYS), R(keep_alive, ALWAYS), R(properties, IN_5),
	R(client_id, ALWAYS), R(will_properties, WILL_FLAG_IN_5), R(will_topic, WILL_FLAG), R(will_payload, WILL_FLAG),
	R(user_name, USER_NAME_FLAG), R(password, PASSWORD_FLAG), END
};
static const struct row connack[] = { R(ack_flags, ALWAYS), R(return_code, ALWAYS), R(properties, IN_5), END };
static const struct row publish[] = { R(topic, ALWAYS), R(packet_id, QOS_ABOVE_0), R(properties, IN_5), R(payload, ALWAYS), END };
static const struct row subscribe[] = { R(packet_id, ALWAYS), R(properties, IN_5), R(filters, ALWAYS), END };
static const struct row suback[] = { R(packet_id, ALWAYS), R(properties, IN_5), R(granted, ALWAYS), END };
static const struct row unsubscribe[] = { R(packet_id, ALWAYS), R(properties, IN_5), R(topics, ALWAYS), END };
static const struct row unsuback[] = { R(packet_id, ALWAYS), R(properties, IN_5), R(results, IN_5), END };

const struct row *rows_of(enum packet_type type)
{
	static const struct row *const rows[16] = {
		nothing, connect, connack, publish, short_ack, short_ack, short_ack, short_ack, subscribe, suback, unsubscribe, unsuback,
		nothing, nothing, only_reason, only_reason,
	};

	return rows[type & 15];
}

/* ---- names of packets ---- */

static const char *const packet_names[16] = {
	"packet type 0",
#define X(name, number, flags, sender, since) [number] = #name,
	PACKETS(X)
#undef X
};

const char *packet_name(enum packet_type type)
{
	return packet_names[type & 15];
}

enum packet_type packet_type_named(struct span name)
{
	for (unsigned i = 1; i < N_PACKET_TYPES; i++)
		if (span_is(name, packet_names[i]))
			return i;
	return 0;
}

/* ---- property lists ---- */

bool property_read(struct reader *r, struct property *p)
{
	*p = (struct property){ .at = r->pos };
	p->id = rd_u8(r);
	int kind = property_kind(p->id);
	if (kind < 0) {
		rd_fail_at(r, p->at, UNKNOWN_PROPERTY);
		return false;
	}
	p->kind = (uint8_t)kind;
	p->value.kind = VALUE_NUMBER;
	switch (kind) {
	case U8:     p->value.number = rd_u8(r); break;
	case U16:    p->value.number = rd_u16(r); break;
	case U32:    p->value.number = rd_u32(r); break;
	case VARINT: p->value.number = rd_varint(r, NULL); break;
	default:
		p->value.kind = kind == PAIR ? VALUE_PAIR : VALUE_BYTES;
		p->value.bytes = rd_binary(r);
		if (kind == PAIR)
			p->value.second = rd_binary(r);
	}
	p->size = (size_t)(r->pos - p->at);
	return !r->why;
}

bool property_next(struct property_walk *walk, struct property *property)
{
	struct reader r = { .start = walk->pos, .pos = walk->pos, .end = walk->end };

	if (walk->pos == walk->end)
		return false;
	if (!property_read(&r, property)) {
		walk->pos = walk->end;
		return false;
	}
	walk->pos = r.pos;
	return true;
}

bool property_find(struct span list, unsigned id, struct value *value)
{
	struct property_walk walk = properties_of(list);
	struct property p;

	while (property_next(&walk, &p))
		if (p.id == id) {
			*value = p.value;
			return true;
		}
	return false;
}

uint64_t property_number(struct span list, unsigned id, uint64_t otherwise)
{
	struct value value;

	return property_find(list, id, &value) && value.kind == VALUE_NUMBER ? value.number : otherwise;
}

void property_write(struct writer *w, unsigned id, const struct value *value)
{
	wr_u8(w, id);
	switch (property_kind(id)) {
	case U8:     wr_u8(w, (unsigned)value->number); break;
	case U16:    wr_u16(w, (unsigned)value->number); break;
	case U32:    wr_u32(w, (uint32_t)value->number); break;
	case VARINT: wr_varint(w, (uint32_t)value->number); break;
	case PAIR:
		wr_binary(w, value->bytes);
		wr_binary(w, value->second);
		break;
	default:
		wr_binary(w, value->bytes);
	}
}

void property_write_number(struct writer *w, unsigned id, uint64_t number)
{
	property_write(w, id, &(struct value){ .kind = VALUE_NUMBER, .number = number });
}

void property_write_bytes(struct writer *w, unsigned id, struct span bytes)
{
	property_write(w, id, &(struct value){ .kind = VALUE_BYTES, .bytes = bytes });
}

/* ---- filters ---- */

struct filter_walk filters_of(const struct packet *packet)
{
	struct property_walk w = properties_of(packet->list);

	return (struct filter_walk){ w.pos, w.end, packet->type == SUBSCRIBE };
}

bool filter_next(struct filter_walk *walk, struct span *filter, uint8_t *options)
{
	struct reader r = { .start = walk->pos, .pos = walk->pos, .end = walk->end };

	if (walk->pos == walk->end)
		return false;
	*filter = rd_binary(&r);
	*options = walk->options ? rd_u8(&r) : 0;
	walk->pos = r.pos;
	return !r.why;
}

/* ---- one value ---- */

static bool nth_property(struct span list, unsigned id, size_t nth, struct value *value)
{
	struct property_walk walk = properties_of(list);
	struct property p;

	while (property_next(&walk, &p))
		if (p.id == id && nth-- == 0) {
			*value = p.value;
			return true;
		}
	return false;
}

static bool there(const struct packet *packet, const struct field *field)
{
	for (const struct row *row = rows_of(packet->type); row->field; row++)
		if (row->field == field)
			return row_there(row, packet);
	return field->kind == BITS;
}

bool packet_get(const struct packet *packet, const struct field *field, size_t nth, struct value *value)
{
	struct filter_walk walk;
	uint8_t options;

	if (field->property)
		return packet->version == MQTT_5 &&
		       nth_property(*(const struct span *)const_member_of(packet, field), field->property, nth, value);
	if (!(field->carried & ON(packet->type)) || !there(packet, field) || (nth && !field->repeats))
		return false;
	const void *member = const_member_of(packet, field);
	*value = (struct value){ .kind = VALUE_NUMBER };
	switch (field->kind) {
	case BITS: value->number = *(const uint8_t *)member >> field->shift & ((1u << field->width) - 1); return true;
	case U8:   value->number = *(const uint8_t *)member; return true;
	case U16:  value->number = *(const uint16_t *)member; return true;
	case CODES:
		if (nth >= packet->list.len)
			return false;
		value->number = packet->list.at[nth];
		return true;
	case FILTERS: case TOPICS:
		walk = filters_of(packet);
		value->kind = VALUE_FILTER;
		do {
			if (!filter_next(&walk, &value->bytes, &options))
				return false;
		} while (nth--);
		value->number = options;
		return true;
	default:
		value->kind = VALUE_BYTES;
		value->bytes = *(const struct span *)member;
		return true;
	}
}
