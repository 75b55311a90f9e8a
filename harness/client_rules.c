#include "harness/client_monitor_internal.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

#include "codec/fields.h"

/* The rules of the client's side by their clauses: reporting, counting, and which clauses are one another's. */

static const struct {
	const char *id_311, *id_5, *asks;
} rows[N_CROWS] = {
#define X(name, id_311, id_5, asks) [CROW_##name] = { id_311, id_5, asks },
#include "harness/client_monitor.def"
#undef X
};

static_assert(N_CROWS <= MONITOR_ROWS, "struct client_log has a count for every row");

/* Clauses that ask the same of a client as a row, though the row is reported by another clause. */
#define ON_5 1u
#define ON_311 2u
static const struct {
	const char *clause;
	unsigned versions;
	enum client_row row;
} kin[] = {
	{ "MQTT-3.3.2-9",	ON_5,		CROW_ALIAS_MAXIMUM },
	{ "MQTT-3.1.2-21",	ON_5,		CROW_SERVER_KEEP_ALIVE },
	{ "MQTT-4.9.0-2",	ON_5,		CROW_QUOTA },
	{ "MQTT-2.3.1-3",	ON_311,		CROW_DUP_AGAIN },
	{ "MQTT-4.3.2-1",	ON_5,		CROW_ID_IN_USE },
	{ "MQTT-4.3.3-1",	ON_5,		CROW_ID_IN_USE },
	{ "MQTT-4.3.2-2",	ON_311,		CROW_ACK_ID },
	{ "MQTT-4.3.2-4",	ON_5,		CROW_ACK_ID },
	{ "MQTT-4.3.3-8",	ON_5,		CROW_ACK_ID },
};

/* Rules that one packet by itself can break, as far as a client can: each such packet without fault is an occasion. */
#define FROM_CLIENT_ALL (ON(CONNECT) | ON(PUBLISH) | ON(PUBACK) | ON(PUBREC) | ON(PUBREL) | ON(PUBCOMP) | \
                         ON(SUBSCRIBE) | ON(UNSUBSCRIBE) | ON(PINGREQ) | ON(DISCONNECT) | ON(AUTH))
#define WITH_PROPERTIES (FROM_CLIENT_ALL & ~ON(PINGREQ))
#define WITH_TOPIC (ON(PUBLISH) | ON(SUBSCRIBE) | ON(UNSUBSCRIBE))
#define WITH_ID (ON(SUBSCRIBE) | ON(UNSUBSCRIBE) | ON(PUBACK) | ON(PUBREC) | ON(PUBREL) | ON(PUBCOMP))
static const struct {
	bool judged;
	uint8_t property;
	uint32_t packets;
} forms[N_RULES] = {
#define PACKETS_OF(types) { true, 0, types }
#define PROPERTY_OF(id) { true, id, 0 }
	[RULE_REMAINING_LENGTH]		= PACKETS_OF(FROM_CLIENT_ALL),
	[RULE_PACKET_TYPE]		= PACKETS_OF(FROM_CLIENT_ALL),
	[RULE_DIRECTION]		= PACKETS_OF(FROM_CLIENT_ALL),
	[RULE_TRUNCATED]		= PACKETS_OF(FROM_CLIENT_ALL),
	[RULE_TRAILING_BYTES]		= PACKETS_OF(FROM_CLIENT_ALL & ~ON(PUBLISH)),
	[RULE_RESERVED_FLAGS]		= PACKETS_OF(FROM_CLIENT_ALL & ~ON(PUBLISH)),
	[RULE_PUBREL_FLAGS]		= PACKETS_OF(ON(PUBREL)),
	[RULE_SUBSCRIBE_FLAGS]		= PACKETS_OF(ON(SUBSCRIBE)),
	[RULE_UNSUBSCRIBE_FLAGS]	= PACKETS_OF(ON(UNSUBSCRIBE)),
	[RULE_DISCONNECT_FLAGS]		= PACKETS_OF(ON(DISCONNECT)),
	[RULE_AUTH_FLAGS]		= PACKETS_OF(ON(AUTH)),
	[RULE_UTF8]			= PACKETS_OF(ON(CONNECT) | WITH_TOPIC),
	[RULE_NUL]			= PACKETS_OF(ON(CONNECT) | WITH_TOPIC),
	[RULE_PAIR_UTF8]		= PROPERTY_OF(PROP_user_property),
	[RULE_PROTOCOL_NAME]		= PACKETS_OF(ON(CONNECT)),
	[RULE_CONNECT_RESERVED]		= PACKETS_OF(ON(CONNECT)),
	[RULE_WILL_QOS_WITHOUT_WILL]	= PACKETS_OF(ON(CONNECT)),
	[RULE_WILL_QOS_3]		= PACKETS_OF(ON(CONNECT)),
	[RULE_WILL_RETAIN_WITHOUT_WILL]	= PACKETS_OF(ON(CONNECT)),
	[RULE_PASSWORD_WITHOUT_USER]	= PACKETS_OF(ON(CONNECT)),
	[RULE_EMPTY_ID_KEPT]		= PACKETS_OF(ON(CONNECT)),
	[RULE_CLIENT_ID_MISSING]	= PACKETS_OF(ON(CONNECT)),
	[RULE_CLIENT_ID_UTF8]		= PACKETS_OF(ON(CONNECT)),
	[RULE_WILL_FIELDS]		= PACKETS_OF(ON(CONNECT)),
	[RULE_USER_NAME_MISSING]	= PACKETS_OF(ON(CONNECT)),
	[RULE_PASSWORD_MISSING]		= PACKETS_OF(ON(CONNECT)),
	[RULE_DUP_QOS_0]		= PACKETS_OF(ON(PUBLISH)),
	[RULE_QOS_3]			= PACKETS_OF(ON(PUBLISH)),
	[RULE_TOPIC_FORM]		= PACKETS_OF(ON(PUBLISH)),
	[RULE_TOPIC_WILDCARD]		= PACKETS_OF(ON(PUBLISH)),
	[RULE_TOPIC_EMPTY]		= PACKETS_OF(WITH_TOPIC),
	[RULE_TOPIC_NUL]		= PACKETS_OF(WITH_TOPIC),
	[RULE_PACKET_ID_ZERO]		= PACKETS_OF(WITH_ID),
	[RULE_ALIAS_ZERO]		= PROPERTY_OF(PROP_topic_alias),
	[RULE_RESPONSE_TOPIC_UTF8]	= PROPERTY_OF(PROP_response_topic),
	[RULE_RESPONSE_TOPIC_WILDCARD]	= PROPERTY_OF(PROP_response_topic),
	[RULE_CONTENT_TYPE_UTF8]	= PROPERTY_OF(PROP_content_type),
	[RULE_CLIENT_SUBSCRIPTION_ID]	= PACKETS_OF(ON(PUBLISH)),
	[RULE_PUBACK_CODE]		= PACKETS_OF(ON(PUBACK)),
	[RULE_PUBREC_CODE]		= PACKETS_OF(ON(PUBREC)),
	[RULE_PUBREL_CODE]		= PACKETS_OF(ON(PUBREL)),
	[RULE_PUBCOMP_CODE]		= PACKETS_OF(ON(PUBCOMP)),
	[RULE_DISCONNECT_CODE]		= PACKETS_OF(ON(DISCONNECT)),
	[RULE_AUTH_CODE]		= PACKETS_OF(ON(AUTH)),
	[RULE_SUBSCRIBE_FILTER_FORM]	= PACKETS_OF(ON(SUBSCRIBE)),
	[RULE_UNSUBSCRIBE_FILTER_FORM]	= PACKETS_OF(ON(UNSUBSCRIBE)),
	[RULE_SUBSCRIBE_EMPTY]		= PACKETS_OF(ON(SUBSCRIBE)),
	[RULE_UNSUBSCRIBE_EMPTY]	= PACKETS_OF(ON(UNSUBSCRIBE)),
	[RULE_FILTER_HASH]		= PACKETS_OF(ON(SUBSCRIBE) | ON(UNSUBSCRIBE)),
	[RULE_FILTER_PLUS]		= PACKETS_OF(ON(SUBSCRIBE) | ON(UNSUBSCRIBE)),
	[RULE_SUBSCRIBE_OPTIONS]	= PACKETS_OF(ON(SUBSCRIBE)),
	[RULE_SUBSCRIBE_QOS_3]		= PACKETS_OF(ON(SUBSCRIBE)),
	[RULE_RETAIN_HANDLING_3]	= PACKETS_OF(ON(SUBSCRIBE)),
	[RULE_PROPERTY_LENGTH]		= PACKETS_OF(WITH_PROPERTIES),
	[RULE_PROPERTY_LENGTH_MISSING]	= PACKETS_OF(ON(CONNECT) | WITH_TOPIC),
	[RULE_PROPERTY_UNKNOWN]		= PACKETS_OF(WITH_PROPERTIES),
	[RULE_PROPERTY_MISPLACED]	= PACKETS_OF(WITH_PROPERTIES),
	[RULE_PROPERTY_REPEATED]	= PACKETS_OF(WITH_PROPERTIES),
	[RULE_PROPERTY_VALUE]		= PACKETS_OF(WITH_PROPERTIES),
	[RULE_DATA_WITHOUT_METHOD]	= PROPERTY_OF(PROP_authentication_data),
	[RULE_AUTH_WITHOUT_METHOD]	= PACKETS_OF(ON(AUTH)),
};

/* Clauses that the codec judges under another one's name. */
static const struct {
	const char *clause;
	unsigned versions;
	uint32_t packets;
} also[] = {
	{ "MQTT-4.3.1-1",	ON_5 | ON_311,	ON(PUBLISH) },
	{ "MQTT-3.1.3-1",	ON_5 | ON_311,	ON(CONNECT) },
	{ "reason-listed",	ON_5,		ON(PUBACK) | ON(PUBREC) | ON(PUBREL) | ON(PUBCOMP) | ON(DISCONNECT) | ON(AUTH) },
};

/* What exceeds the Maximum Packet Size because of its Reason String or its User Properties, by packet type. */
static const struct {
	const char *reason_string, *user_property;
} by_properties[N_PACKET_TYPES] = {
	[PUBACK]     = { "MQTT-3.4.2-2",  "MQTT-3.4.2-3" },
	[PUBREC]     = { "MQTT-3.5.2-2",  "MQTT-3.5.2-3" },
	[PUBREL]     = { "MQTT-3.6.2-2",  "MQTT-3.6.2-3" },
	[PUBCOMP]    = { "MQTT-3.7.2-2",  "MQTT-3.7.2-3" },
	[DISCONNECT] = { "MQTT-3.14.2-3", "MQTT-3.14.2-4" },
	[AUTH]       = { "MQTT-3.15.2-2", "MQTT-3.15.2-3" },
};

/* ---- reporting ---- */

static void report(struct client_seen *seen, uint8_t version, const char *clause, uint32_t offset, const char *field, const char *text)
{
	struct client_monitor *c = seen->c;
	struct violation violation = { .version = version, .clause = clause, .text = text, .offset = offset, .field = field };

	seen->broken = true;
	if (c->log && c->log->violated)
		c->log->violated(c->log->owner, c, &violation);
}

/* Where the field of that name begins in the packet; 0 when there is no saying. */
static uint32_t offset_of(const struct client_seen *seen, const char *field)
{
	struct part parts[64];
	size_t n = field && seen->bytes ? layout(seen->bytes, seen->len, (enum version)seen->c->version, parts, 64) : 0;

	for (size_t i = 0; i < n && i < 64; i++)
		if (parts[i].name && !strcmp(parts[i].name, field))
			return parts[i].offset;
	return 0;
}

void client_violate(struct client_seen *seen, enum client_row row, const char *field, const char *format, ...)
{
	const char *clause = client_is_5(seen->c) ? rows[row].id_5 : rows[row].id_311;
	char text[256];
	va_list args;
	int n;

	if (seen->broken)
		return;			/* the first is the cause, the others may be its effects */
	if (row == CROW_SIZE_BY_PROPERTIES)
		clause = field && !strcmp(field, "reason_string") ? by_properties[seen->packet->type].reason_string
		                                                  : by_properties[seen->packet->type].user_property;
	assert(clause);
	va_start(args, format);
	n = vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (n >= 0 && (size_t)n < sizeof(text))
		snprintf(text + n, sizeof(text) - (size_t)n, "; %s", rows[row].asks);
	report(seen, seen->c->version, clause, offset_of(seen, field), field, text);
}

/* What a rule whose clause is the server's duty asks of the client; N_RULES: nothing by itself. */
static enum rule of_client(enum rule rule, bool five, bool in_field)
{
	switch (rule) {
	case RULE_CONNECT_FORM:
		return in_field ? RULE_TRUNCATED : RULE_TRAILING_BYTES;
	case RULE_DISCONNECT_FLAGS:
		return five ? rule : RULE_RESERVED_FLAGS;
	case RULE_PROTOCOL_VERSION:		/* whoever names another protocol goes by its rules, not by these */
		return N_RULES;
	case RULE_PROTOCOL_NAME:		/* [5:MQTT-3.1.2-1] asks for it of a client too */
		return five ? rule : N_RULES;
	default:
		return rule;
	}
}

void client_violate_form(struct client_seen *seen, const struct finding *finding)
{
	enum rule rule = of_client((enum rule)finding->rule, finding->version == MQTT_5, finding->field);
	char text[160];

	if (seen->broken || rule == N_RULES)
		return;
	snprintf(text, sizeof(text), "%s: %s%s%s", seen->len ? packet_name(seen->bytes[0] >> 4) : "packet", finding->field ? finding->field : "",
	         finding->field ? ": " : "", finding->why ? finding->why : rule_asks(rule));
	report(seen, finding->version, rule_id(rule, (enum version)finding->version), finding->offset, finding->field, text);
}

/* ---- counting ---- */

static void count(uint32_t *n)
{
	*n += *n != UINT32_MAX;
}

void client_hold(struct client_monitor *c, enum client_row row)
{
	if (c->log)
		count(&c->log->held[client_is_5(c)][row]);
}

void client_hold_packet(struct client_seen *seen)
{
	struct client_log *log = seen->c->log;
	const struct packet *p = seen->packet;
	struct property_walk walk = properties_of(p->properties);
	struct property property;

	if (!log)
		return;
	count(&log->packets[client_is_5(seen->c)][p->type]);
	while (p->properties.len && property_next(&walk, &property)) {
		count(&log->properties[property.id]);
		if (seen->c->bits & C_SIZE_LIMITED && property.id == PROP_reason_string)
			count(&log->sized[p->type][0]);
		if (seen->c->bits & C_SIZE_LIMITED && property.id == PROP_user_property)
			count(&log->sized[p->type][1]);
	}
}

static uint64_t packets_of(const struct client_log *log, bool five, uint32_t types)
{
	uint64_t n = 0;

	for (unsigned type = CONNECT; type < N_PACKET_TYPES; type++)
		if (types & ON(type))
			n += log->packets[five][type];
	return n;
}

static bool is_rule(enum rule rule, bool five, struct span clause)
{
	static const char *const ids[N_RULES][2] = {
#define X(name, id_311, id_5, asks) [RULE_##name] = { id_311, id_5 },
#include "codec/rules.def"
#undef X
	};

	return ids[rule][five] && span_is(clause, ids[rule][five]);
}

static const char *id_of(enum client_row row, bool five)
{
	return five ? rows[row].id_5 : rows[row].id_311;
}

const char *client_also(enum version version, const char *reported, size_t i)
{
	bool five = version == MQTT_5;

	for (size_t k = 0; k < sizeof(kin) / sizeof(*kin); k++) {
		const char *id = id_of(kin[k].row, five);

		if (kin[k].versions & (five ? ON_5 : ON_311) && id && !strcmp(id, reported) && !i--)
			return kin[k].clause;
	}
	return NULL;
}

bool client_implies(enum version version, const char *reported, const char *clause)
{
	const char *other;

	if (!strcmp(reported, clause))
		return true;
	for (size_t i = 0; (other = client_also(version, reported, i)); i++)
		if (!strcmp(other, clause))
			return true;
	return false;
}

int64_t client_held(const struct client_log *log, enum version version, struct span clause)
{
	static const struct client_log nothing;
	bool five = version == MQTT_5, judged = false;
	unsigned on = five ? ON_5 : ON_311;
	uint64_t n = 0;

	if (!log)
		log = &nothing;
	for (unsigned i = 0; i < N_CROWS; i++) {
		const char *id = id_of((enum client_row)i, five);

		if (id && span_is(clause, id)) {
			judged = true;
			n += log->held[five][i];
		}
	}
	for (size_t i = 0; i < sizeof(kin) / sizeof(*kin); i++) {
		if (kin[i].versions & on && span_is(clause, kin[i].clause)) {
			judged = true;
			n += log->held[five][kin[i].row];
		}
	}
	for (unsigned rule = 0; rule < N_RULES; rule++) {
		uint32_t packets = forms[rule].packets & (five ? ~0u : ~ON(AUTH));

		if (of_client((enum rule)rule, five, true) == rule && forms[rule].judged && (packets || forms[rule].property) && is_rule((enum rule)rule, five, clause)) {
			judged = true;
			n += packets_of(log, five, packets);
			n += five && forms[rule].property ? log->properties[forms[rule].property] : 0;
		}
	}
	for (size_t i = 0; i < sizeof(also) / sizeof(*also); i++) {
		if (also[i].versions & on && span_is(clause, also[i].clause)) {
			judged = true;
			n += packets_of(log, five, also[i].packets);
		}
	}
	for (unsigned type = CONNECT; five && type < N_PACKET_TYPES; type++) {
		const char *why = by_properties[type].reason_string, *user = by_properties[type].user_property;

		if (why && (span_is(clause, why) || span_is(clause, user))) {
			judged = true;
			n += log->sized[type][span_is(clause, user)];
		}
	}
	return !judged ? -1 : n > INT64_MAX ? INT64_MAX : (int64_t)n;
}
