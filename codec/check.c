#include "codec/codec.h"
#include "codec/table.h"
#include "codec/topic.h"

/* Is it allowed? The fields in order of the wire; the first rule broken is the one named. */

struct judge {
	const struct packet *p;
	enum sender from;
	struct finding *finding;
	const uint8_t *at;		/* the element of a list, the field's own beginning when NULL */
};

static bool bad_part(struct judge *j, enum rule rule, const char *name, const char *why)
{
	*j->finding = (struct finding){ .rule = rule, .version = j->p->version, .field = name, .why = why };
	return false;
}

static bool bad(struct judge *j, enum rule rule, const struct field *field, const char *why)
{
	return bad_part(j, rule, field ? field->name : NULL, why);
}

/* ---- strings ---- */

static enum rule utf8_rule(const struct packet *p, const struct field *f)
{
	if (f->property)
		return f->kind == PAIR ? RULE_PAIR_UTF8 : f->property == PROP_response_topic ? RULE_RESPONSE_TOPIC_UTF8
		     : f->property == PROP_content_type ? RULE_CONTENT_TYPE_UTF8 : RULE_UTF8;
	switch (p->type) {
	case CONNECT:
		return f->member == offsetof(struct packet, client_id) ? RULE_CLIENT_ID_UTF8
		     : f->member == offsetof(struct packet, will_topic) ? RULE_WILL_TOPIC_UTF8
		     : f->member == offsetof(struct packet, user_name) ? RULE_USER_NAME_UTF8 : RULE_UTF8;
	case PUBLISH:     return RULE_TOPIC_FORM;
	case SUBSCRIBE:   return RULE_SUBSCRIBE_FILTER_FORM;
	case UNSUBSCRIBE: return RULE_UNSUBSCRIBE_FILTER_FORM;
	default:          return RULE_UTF8;
	}
}

static bool string(struct judge *j, const struct field *f, struct span s)
{
	if (!utf8_valid(s))
		return bad(j, utf8_rule(j->p, f), f, "the string is not well-formed UTF-8");
	if (has_nul(s))
		return bad(j, f->property ? f->kind == PAIR ? RULE_PAIR_UTF8 : RULE_NUL
		            : j->p->type == PUBLISH || j->p->type == SUBSCRIBE || j->p->type == UNSUBSCRIBE ? RULE_TOPIC_NUL : RULE_NUL,
		           f, "the string holds U+0000");
	return true;
}

static bool topic_name(struct judge *j, const struct field *f, struct span s)
{
	struct value alias;

	if (!s.len) {
		if (f->limit == TOPIC_NAME_OR_ALIAS && j->p->version == MQTT_5 && property_find(j->p->properties, PROP_topic_alias, &alias))
			return true;
		return bad(j, RULE_TOPIC_EMPTY, f, "the topic name is empty");
	}
	if (!topic_name_valid(s))
		return bad(j, f->property ? RULE_RESPONSE_TOPIC_WILDCARD : f->will ? RULE_WILL_TOPIC_WILDCARD : RULE_TOPIC_WILDCARD, f,
		           "the topic name holds a wildcard");
	return true;
}

/* ---- properties ---- */

static bool value_allowed(struct judge *j, const struct field *f, const struct property *prop)
{
	uint64_t n = prop->value.number;

	if (f->kind == VARINT && prop->size != 1 + varint_size((uint32_t)n))
		return bad(j, RULE_OVERLONG, f, "the number is not in its shortest form");
	switch (f->limit) {
	case NONZERO:
		if (n == 0)
			return bad(j, f->property == PROP_topic_alias ? RULE_ALIAS_ZERO : RULE_PROPERTY_VALUE, f, "the value may not be 0");
		break;
	case BOOL:
		if (n > 1)
			return bad(j, RULE_PROPERTY_VALUE, f, "the value is neither 0 nor 1");
		break;
	default:
		break;
	}
	if (f->kind == STR || f->kind == PAIR) {
		if (!string(j, f, prop->value.bytes) || (f->kind == PAIR && !string(j, f, prop->value.second)))
			return false;
		if (f->limit == TOPIC_NAME && !topic_name(j, f, prop->value.bytes))
			return false;
	}
	return true;
}

static bool placed(struct judge *j, const struct field *f)
{
	const struct packet *p = j->p;

	if (!(f->carried & ON(p->type)))
		return bad(j, RULE_PROPERTY_MISPLACED, f, "the property does not belong in this packet");
	if (f->property == PROP_subscription_identifier && p->type == PUBLISH && j->from == FROM_CLIENT)
		return bad(j, RULE_CLIENT_SUBSCRIPTION_ID, f, "a client's PUBLISH has no subscription identifier");
	if (f->property == PROP_session_expiry_interval && p->type == DISCONNECT && j->from == FROM_SERVER)
		return bad(j, RULE_SERVER_EXPIRY, f, "a server's DISCONNECT has no session expiry interval");
	if (f->property == PROP_server_reference && p->type == DISCONNECT && j->from == FROM_CLIENT)
		return bad(j, RULE_PROPERTY_MISPLACED, f, "a client's DISCONNECT has no server reference");
	return true;
}

static bool properties(struct judge *j, const struct field *row_field)
{
	struct span list = *(const struct span *)const_member_of(j->p, row_field);
	bool of_will = row_field->will;
	struct property_walk walk = properties_of(list);
	struct property prop;
	uint64_t seen = 0;

	if (property_length_size(j->p, row_field) != varint_size((uint32_t)list.len))
		return bad_part(j, RULE_OVERLONG, of_will ? "will.property_length" : "property_length", "the property length is not in its shortest form");
	while (property_next(&walk, &prop)) {
		const struct field *f = field_of_property(prop.id, of_will);
		bool repeats = prop.id == PROP_user_property ||
		               (prop.id == PROP_subscription_identifier && j->p->type == PUBLISH && j->from == FROM_SERVER);

		j->at = prop.at;
		if (!placed(j, f))
			return false;
		if (seen >> prop.id & 1 && !repeats)
			return bad(j, RULE_PROPERTY_REPEATED, f, "the property stands twice");
		seen |= (uint64_t)1 << prop.id;
		if (!value_allowed(j, f, &prop))
			return false;
	}
	j->at = NULL;
	if (seen >> PROP_authentication_data & 1 && !(seen >> PROP_authentication_method & 1))
		return bad(j, RULE_DATA_WITHOUT_METHOD, field_of_property(PROP_authentication_data, false), "there is no authentication method");
	return true;
}

/* ---- lists ---- */

static bool filter(struct judge *j, const struct field *f, struct span s)
{
	struct span group, inner;

	if (!string(j, f, s))
		return false;
	if (!s.len)
		return bad(j, RULE_TOPIC_EMPTY, f, "the filter is empty");
	if (j->p->version == MQTT_5 && share_split(s, &group, &inner)) {
		if (!group.len)
			return bad(j, RULE_SHARE_NAME, f, "the share name is empty");
		if (!share_valid(s) && !inner.len)
			return bad(j, RULE_SHARE_FORM, f, "no filter follows the share name");
		for (size_t i = 0; i < group.len; i++)
			if (group.at[i] == '+' || group.at[i] == '#')
				return bad(j, RULE_SHARE_FORM, f, "the share name holds a wildcard");
		s = inner;
	}
	if (topic_filter_valid(s))
		return true;
	for (size_t i = 0; i < s.len; i++)
		if (s.at[i] == '#' && (i + 1 != s.len || (i && s.at[i - 1] != '/')))
			return bad(j, RULE_FILTER_HASH, f, "# does not stand alone in the last level");
	return bad(j, RULE_FILTER_PLUS, f, "+ does not fill a whole level");
}

static bool options_allowed(struct judge *j, struct span s, unsigned options)
{
	struct span group, inner;

	if (options & (j->p->version == MQTT_5 ? SUBSCRIBE_RESERVED : ~(unsigned)SUBSCRIBE_QOS & 0xff))
		return bad_part(j, RULE_SUBSCRIBE_OPTIONS, "options", "reserved option bits are set");
	if ((options & SUBSCRIBE_QOS) == 3)
		return bad_part(j, RULE_SUBSCRIBE_QOS_3, "qos", "QoS 3 is asked for");
	if ((options & SUBSCRIBE_RETAIN_HANDLING) == SUBSCRIBE_RETAIN_HANDLING)
		return bad_part(j, RULE_RETAIN_HANDLING_3, "retain_handling", "retain handling is 3");
	if (options & SUBSCRIBE_NO_LOCAL && share_split(s, &group, &inner))
		return bad_part(j, RULE_SHARED_NO_LOCAL, "no_local", "no local is set on a shared subscription");
	return true;
}

static bool filters(struct judge *j, const struct field *f)
{
	struct filter_walk walk = filters_of(j->p);
	struct span s;
	uint8_t options;

	if (!j->p->list.len)
		return bad(j, f->kind == FILTERS ? RULE_SUBSCRIBE_EMPTY : RULE_UNSUBSCRIBE_EMPTY, f, "there is no filter");
	for (j->at = walk.pos; filter_next(&walk, &s, &options); j->at = walk.pos)
		if (!filter(j, f, s) || (f->kind == FILTERS && !options_allowed(j, s, options)))
			return false;
	j->at = NULL;
	return true;
}

static enum rule code_rule(enum packet_type type)
{
	static const uint8_t rules[16] = {
		[CONNACK] = RULE_CONNACK_CODE, [PUBACK] = RULE_PUBACK_CODE, [PUBREC] = RULE_PUBREC_CODE, [PUBREL] = RULE_PUBREL_CODE,
		[PUBCOMP] = RULE_PUBCOMP_CODE, [SUBACK] = RULE_SUBACK_CODE, [UNSUBACK] = RULE_UNSUBACK_CODE,
		[DISCONNECT] = RULE_DISCONNECT_CODE, [AUTH] = RULE_AUTH_CODE,
	};

	return rules[type & 15];
}

static bool code(struct judge *j, const struct field *f, unsigned value)
{
	const struct packet *p = j->p;

	if (reason_listed(p->type, p->version, value, j->from))
		return true;
	return bad(j, p->version == MQTT_3_1 && p->type == SUBACK ? RULE_SUBACK_CODE_3_1 : code_rule(p->type), f, "the code is not one of this packet's");
}

static bool codes(struct judge *j, const struct field *f)
{
	if (!j->p->list.len)
		return bad(j, j->p->type == SUBACK ? RULE_NO_CODES : RULE_NO_RESULTS, f, "there is no code");
	for (size_t i = 0; i < j->p->list.len; i++) {
		j->at = j->p->list.at + i;
		if (!code(j, f, j->p->list.at[i]))
			return false;
	}
	j->at = NULL;
	return true;
}

/* ---- flags ---- */

static bool flags(struct judge *j)
{
	static const struct { uint8_t flags; enum rule rule; } tabled[16] = {
		[CONNECT] = { 0, RULE_RESERVED_FLAGS }, [CONNACK] = { 0, RULE_RESERVED_FLAGS }, [PUBACK] = { 0, RULE_RESERVED_FLAGS },
		[PUBREC] = { 0, RULE_RESERVED_FLAGS }, [PUBREL] = { 2, RULE_PUBREL_FLAGS }, [PUBCOMP] = { 0, RULE_RESERVED_FLAGS },
		[SUBSCRIBE] = { 2, RULE_SUBSCRIBE_FLAGS }, [SUBACK] = { 0, RULE_RESERVED_FLAGS }, [UNSUBSCRIBE] = { 2, RULE_UNSUBSCRIBE_FLAGS },
		[UNSUBACK] = { 0, RULE_RESERVED_FLAGS }, [PINGREQ] = { 0, RULE_RESERVED_FLAGS }, [PINGRESP] = { 0, RULE_RESERVED_FLAGS },
		[DISCONNECT] = { 0, RULE_DISCONNECT_FLAGS }, [AUTH] = { 0, RULE_AUTH_FLAGS },
	};
	const struct packet *p = j->p;

	if (p->type == PUBLISH) {
		if (publish_qos(p) == 3)
			return bad_part(j, RULE_QOS_3, "qos", "QoS 3 does not exist");
		if (p->flags & PUBLISH_DUP && !publish_qos(p))
			return bad_part(j, RULE_DUP_QOS_0, "dup", "DUP is set at QoS 0");
		return true;
	}
	/* 3.1 has these at QoS 1, repeated with DUP, and calls all other flags unused rather than 0. */
	if (p->version == MQTT_3_1 && tabled[p->type].flags && publish_qos(p) != 1)
		return bad_part(j, RULE_DUP_FLAGS_3_1, "flags", "the QoS in the flags is not 1");
	if (p->version != MQTT_3_1 && p->flags != tabled[p->type].flags)
		return bad_part(j, tabled[p->type].rule, "flags", "reserved flag bits are wrong");
	return true;
}

static bool connect_flags(struct judge *j, const struct field *f)
{
	const struct packet *p = j->p;
	unsigned c = p->connect_flags;

	if (c & CONNECT_RESERVED && p->version != MQTT_3_1)
		return bad(j, RULE_CONNECT_RESERVED, f, "the reserved connect flag is set");
	if (!(c & CONNECT_WILL) && c & CONNECT_WILL_QOS)
		return bad_part(j, RULE_WILL_QOS_WITHOUT_WILL, "will.qos", "a will QoS without a will");
	if (will_qos(p) == 3)
		return bad_part(j, RULE_WILL_QOS_3, "will.qos", "the will QoS is 3");
	if (!(c & CONNECT_WILL) && c & CONNECT_WILL_RETAIN)
		return bad_part(j, RULE_WILL_RETAIN_WITHOUT_WILL, "will.retain", "a will retain flag without a will");
	if (p->version != MQTT_5 && c & CONNECT_PASSWORD && !(c & CONNECT_USER_NAME))
		return bad_part(j, RULE_PASSWORD_WITHOUT_USER, "password", "a password without a user name");
	return true;
}

static size_t characters(struct span utf8)
{
	size_t n = 0;

	for (size_t i = 0; i < utf8.len; i++)
		n += (utf8.at[i] & 0xc0) != 0x80;
	return n;
}

static bool scalar(struct judge *j, const struct field *f)
{
	const struct packet *p = j->p;

	switch (f->member) {
	case offsetof(struct packet, protocol_name):
		if (!span_is(p->protocol_name, p->version == MQTT_3_1 ? "MQIsdp" : "MQTT"))
			return bad(j, p->version == MQTT_3_1 ? RULE_PROTOCOL_NAME_3_1 : RULE_PROTOCOL_NAME, f, "the protocol name is not the version's");
		return true;
	case offsetof(struct packet, protocol_version):
		if (p->protocol_version != p->version)
			return bad(j, p->version == MQTT_3_1 ? RULE_PROTOCOL_NAME_3_1 : RULE_PROTOCOL_VERSION, f, "the protocol version is not one that goes with the name");
		return true;
	case offsetof(struct packet, connect_flags):
		return connect_flags(j, f);
	case offsetof(struct packet, ack_flags):
		if (p->version != MQTT_3_1 && p->ack_flags > 1)
			return bad(j, RULE_ACK_FLAGS, f, "reserved acknowledge flags are set");
		if (p->version != MQTT_3_1 && p->ack_flags & 1 && p->reason)
			return bad_part(j, RULE_SESSION_REFUSED, "session_present", "session present with a refusal");
		return true;
	case offsetof(struct packet, reason):
		return code(j, f, p->reason);
	case offsetof(struct packet, packet_id):
		if (!p->packet_id)
			return bad(j, j->from == FROM_SERVER && p->type == PUBLISH ? RULE_SERVER_PACKET_ID_ZERO : RULE_PACKET_ID_ZERO, f, "the packet id is 0");
		return true;
	case offsetof(struct packet, client_id):
		if (p->version == MQTT_3_1_1 && !p->client_id.len && !(p->connect_flags & CONNECT_CLEAN_START))
			return bad(j, RULE_EMPTY_ID_KEPT, f, "the client id is empty and the session is to be kept");
		if (!string(j, f, p->client_id))
			return false;
		if (p->version == MQTT_3_1 && (!p->client_id.len || characters(p->client_id) > 23))
			return bad(j, RULE_CLIENT_ID_LENGTH_3_1, f, p->client_id.len ? "the client id has more than 23 characters" : "the client id is empty");
		return true;
	default:
		return true;
	}
}

static bool field(struct judge *j, const struct field *f)
{
	const void *member = const_member_of(j->p, f);

	switch (f->kind) {
	case PROPS: return properties(j, f);
	case FILTERS: case TOPICS: return filters(j, f);
	case CODES: return codes(j, f);
	case STR:
		if (f->limit == TOPIC_NAME || f->limit == TOPIC_NAME_OR_ALIAS)
			return string(j, f, *(const struct span *)member) && topic_name(j, f, *(const struct span *)member);
		if (f->member == offsetof(struct packet, user_name))
			return string(j, f, *(const struct span *)member);
		return scalar(j, f);
	case U8: case U16: return scalar(j, f);
	default: return true;
	}
}

/* Where in the packet the fault lies: at an element of a list, else where the row's field begins. */
static uint32_t place(const struct judge *j, const struct row *at)
{
	const struct packet *p = j->p;
	size_t before = 0, body = 0;

	for (const struct row *row = rows_of(p->type); row->field; row++) {
		if (row == at)
			before = body;
		if (row_there(row, p))
			body += row_size(row, p);
	}
	if (j->at) {
		const struct span *list = const_member_of(p, at->field);

		before += (size_t)(j->at - list->at);
		if (at->field->kind == PROPS)
			before += property_length_size(p, at->field);
	}
	return (uint32_t)(1 + varint_size((uint32_t)body) + before);
}

enum status check(const struct packet *p, enum sender from, struct finding *finding)
{
	static const struct { uint8_t by, since; } types[16] = {
#define X(name, number, flags, sender, since) [number] = { sender, since },
		PACKETS(X)
#undef X
	};
	struct judge j = { .p = p, .from = from, .finding = finding };
	struct value method;

	if (!types[p->type & 15].by || types[p->type].since > p->version)
		return bad(&j, RULE_PACKET_TYPE, NULL, "this packet type is forbidden"), CODEC_BAD;
	if (!(types[p->type].by & from) || (p->type == DISCONNECT && from == FROM_SERVER && p->version != MQTT_5))
		return bad(&j, RULE_DIRECTION, NULL, from == FROM_SERVER ? "a server does not send this" : "a client does not send this"), CODEC_BAD;
	if (!flags(&j))
		return CODEC_BAD;
	for (const struct row *row = rows_of(p->type); row->field; row++)
		if (row_there(row, p) && !field(&j, row->field)) {
			finding->offset = place(&j, row);
			return CODEC_BAD;
		}
	/* [5 3.15.2.1] cut short after Success, which only a server says, it has none */
	if (p->type == AUTH && p->written && !property_find(p->properties, PROP_authentication_method, &method)) {
		bad(&j, RULE_AUTH_WITHOUT_METHOD, NULL, "there is no authentication method");
		return CODEC_BAD;
	}
	return CODEC_OK;
}
