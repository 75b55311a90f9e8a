#include "harness/monitor_internal.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

#include "codec/fields.h"

static const struct {
	const char *id_311, *id_5, *asks;
} rows[N_ROWS] = {
#define X(name, id_311, id_5, asks) [ROW_##name] = { id_311, id_5, asks },
#include "harness/monitor.def"
#undef X
};

static_assert(N_ROWS <= MONITOR_ROWS, "struct monitor_log has a count for every row");

/* Clauses that hold on the same occasions as a row, though the row is reported by another clause. */
#define ON_5 1u
#define ON_311 2u
static const struct {
	const char *clause;
	unsigned versions;
	enum monitor_row row;
} kin[] = {
	{ "MQTT-3.3.2-11",	ON_5,		ROW_ALIAS_MAXIMUM },
	{ "MQTT-3.3.2-7",	ON_5,		ROW_ALIAS_KNOWN },
	{ "MQTT-4.9.0-1",	ON_5,		ROW_QUOTA },
	{ "MQTT-4.9.0-2",	ON_5,		ROW_QUOTA },
	{ "receive-maximum-reset", ON_5,	ROW_QUOTA },
	{ "MQTT-2.3.1-1",	ON_311,		ROW_ID_IN_USE },
	{ "MQTT-4.3.2-1",	ON_5 | ON_311,	ROW_ID_IN_USE },
	{ "MQTT-4.3.3-1",	ON_5,		ROW_ID_IN_USE },
	{ "MQTT-4.3.2-2",	ON_5,		ROW_DUP_FIRST },
	{ "MQTT-4.3.3-2",	ON_5,		ROW_DUP_FIRST },
	{ "MQTT-3.10.4-4",	ON_311,		ROW_UNSUBACK_ID },
	{ "MQTT-3.10.4-5",	ON_5,		ROW_UNSUBACK_ID },
	{ "MQTT-2.2.1-6",	ON_5,		ROW_SUBACK_ID },
	{ "MQTT-2.3.1-7",	ON_311,		ROW_SUBACK_ID },
	{ "response-information", ON_5,		ROW_RESPONSE_INFO },
	{ "MQTT-3.1.3-7",	ON_5,		ROW_ASSIGNED_ID },
	{ "MQTT-3.3.1-12",	ON_5,		ROW_RETAIN_NEVER },
};

/*
 * Rules that one packet by itself can break (codec/rules.def), as far as a server can break them: each packet of
 * such a type that had no fault is an occasion; where a property is named instead, each time it stood in one.
 * Not here: DIRECTION, whose clause asks for much more than that.
 */
#define FROM_SERVER_ALL (ON(CONNACK) | ON(PUBLISH) | ON(PUBACK) | ON(PUBREC) | ON(PUBREL) | ON(PUBCOMP) | \
                         ON(SUBACK) | ON(UNSUBACK) | ON(PINGRESP) | ON(DISCONNECT) | ON(AUTH))
#define WITH_PROPERTIES (FROM_SERVER_ALL & ~ON(PINGRESP))
static const struct {
	bool judged;
	uint8_t property;
	uint32_t packets;
} forms[N_RULES] = {
#define PACKETS_OF(types) { true, 0, types }
#define PROPERTY_OF(id) { true, id, 0 }
	[RULE_REMAINING_LENGTH]		= PACKETS_OF(FROM_SERVER_ALL),
	[RULE_PACKET_TYPE]		= PACKETS_OF(FROM_SERVER_ALL),
	[RULE_TRUNCATED]		= PACKETS_OF(FROM_SERVER_ALL),
	[RULE_TRAILING_BYTES]		= PACKETS_OF(FROM_SERVER_ALL & ~ON(PUBLISH)),
	[RULE_RESERVED_FLAGS]		= PACKETS_OF(FROM_SERVER_ALL & ~ON(PUBLISH)),
	[RULE_PUBREL_FLAGS]		= PACKETS_OF(ON(PUBREL)),
	[RULE_DISCONNECT_FLAGS]		= PACKETS_OF(ON(DISCONNECT)),
	[RULE_AUTH_FLAGS]		= PACKETS_OF(ON(AUTH)),
	[RULE_UTF8]			= PACKETS_OF(ON(PUBLISH)),
	[RULE_NUL]			= PACKETS_OF(ON(PUBLISH)),
	[RULE_PAIR_UTF8]		= PROPERTY_OF(PROP_user_property),
	[RULE_ACK_FLAGS]		= PACKETS_OF(ON(CONNACK)),
	[RULE_CONNACK_CODE]		= PACKETS_OF(ON(CONNACK)),
	[RULE_DUP_QOS_0]		= PACKETS_OF(ON(PUBLISH)),
	[RULE_QOS_3]			= PACKETS_OF(ON(PUBLISH)),
	[RULE_TOPIC_FORM]		= PACKETS_OF(ON(PUBLISH)),
	[RULE_TOPIC_WILDCARD]		= PACKETS_OF(ON(PUBLISH)),
	[RULE_TOPIC_EMPTY]		= PACKETS_OF(ON(PUBLISH)),
	[RULE_TOPIC_NUL]		= PACKETS_OF(ON(PUBLISH)),
	[RULE_ALIAS_ZERO]		= PROPERTY_OF(PROP_topic_alias),
	[RULE_RESPONSE_TOPIC_UTF8]	= PROPERTY_OF(PROP_response_topic),
	[RULE_CONTENT_TYPE_UTF8]	= PROPERTY_OF(PROP_content_type),
	[RULE_PUBACK_CODE]		= PACKETS_OF(ON(PUBACK)),
	[RULE_PUBREC_CODE]		= PACKETS_OF(ON(PUBREC)),
	[RULE_PUBREL_CODE]		= PACKETS_OF(ON(PUBREL)),
	[RULE_PUBCOMP_CODE]		= PACKETS_OF(ON(PUBCOMP)),
	[RULE_SUBACK_CODE]		= PACKETS_OF(ON(SUBACK)),
	[RULE_UNSUBACK_CODE]		= PACKETS_OF(ON(UNSUBACK)),
	[RULE_DISCONNECT_CODE]		= PACKETS_OF(ON(DISCONNECT)),
	[RULE_AUTH_CODE]		= PACKETS_OF(ON(AUTH)),
	[RULE_PROPERTY_LENGTH]		= PACKETS_OF(WITH_PROPERTIES),
	[RULE_PROPERTY_UNKNOWN]		= PACKETS_OF(WITH_PROPERTIES),
	[RULE_PROPERTY_MISPLACED]	= PACKETS_OF(WITH_PROPERTIES),
	[RULE_PROPERTY_REPEATED]	= PACKETS_OF(WITH_PROPERTIES),
	[RULE_PROPERTY_VALUE]		= PACKETS_OF(WITH_PROPERTIES),
	[RULE_DATA_WITHOUT_METHOD]	= PROPERTY_OF(PROP_authentication_data),
	[RULE_AUTH_WITHOUT_METHOD]	= PACKETS_OF(ON(AUTH)),
	[RULE_SERVER_EXPIRY]		= PACKETS_OF(ON(DISCONNECT)),
};

/* Clauses that the codec judges under another one's name, or that follow from how a packet could be read at all. */
static const struct {
	const char *clause;
	unsigned versions;
	uint32_t packets;
} also[] = {
	{ "MQTT-2.2.2-1",	ON_5,		ON(CONNACK) | ON(PUBLISH) | ON(SUBACK) | ON(UNSUBACK) },
	{ "MQTT-4.3.1-1",	ON_5 | ON_311,	ON(PUBLISH) },
	{ "reason-listed",	ON_5,		ON(CONNACK) | ACKS | ON(DISCONNECT) | ON(AUTH) },
	{ "short-acks",		ON_5,		ON(PUBACK) | ON(PUBREC) | ON(PUBREL) | ON(PUBCOMP) | ON(DISCONNECT) | ON(AUTH) },
};

/* What exceeds the Maximum Packet Size because of its Reason String or its User Properties, by packet type. */
static const struct {
	const char *reason_string, *user_property;
} by_properties[N_PACKET_TYPES] = {
	[CONNACK]    = { "MQTT-3.2.2-19", "MQTT-3.2.2-20" },
	[PUBACK]     = { "MQTT-3.4.2-2",  "MQTT-3.4.2-3" },
	[PUBREC]     = { "MQTT-3.5.2-2",  "MQTT-3.5.2-3" },
	[PUBREL]     = { "MQTT-3.6.2-2",  "MQTT-3.6.2-3" },
	[PUBCOMP]    = { "MQTT-3.7.2-2",  "MQTT-3.7.2-3" },
	[SUBACK]     = { "MQTT-3.9.2-1",  "MQTT-3.9.2-2" },
	[UNSUBACK]   = { "MQTT-3.11.2-1", "MQTT-3.11.2-2" },
	[DISCONNECT] = { "MQTT-3.14.2-3", "MQTT-3.14.2-4" },
	[AUTH]       = { "MQTT-3.15.2-2", "MQTT-3.15.2-3" },
};

/* ---- reporting ---- */

static void report(struct seen *seen, const char *clause, uint32_t offset, const char *field, const char *text)
{
	struct monitor *m = seen->m;
	struct violation violation = { .version = m->version, .clause = clause, .text = text,
	                               .offset = offset, .field = field };

	seen->broken = true;
	if (m->log && m->log->violated)
		m->log->violated(m->log->owner, m, &violation);
}

void monitor_violate_clause(struct seen *seen, const char *clause, uint32_t offset, const char *field, const char *text)
{
	if (!seen->broken)
		report(seen, clause, offset, field, text);
}

void monitor_violate(struct seen *seen, enum monitor_row row, const void *at, const char *field, const char *format, ...)
{
	const char *clause = is_5(seen->m) ? rows[row].id_5 : rows[row].id_311;
	const uint8_t *byte = at;
	char text[256];
	va_list args;
	int n;

	if (seen->broken)
		return;			/* the first is the cause, the others may be its effects */
	if (row == ROW_SIZE_BY_PROPERTIES)
		clause = field && !strcmp(field, "reason_string") ? by_properties[seen->packet->type].reason_string
		                                                  : by_properties[seen->packet->type].user_property;
	assert(clause);
	va_start(args, format);
	n = vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (n >= 0 && (size_t)n < sizeof(text))
		snprintf(text + n, sizeof(text) - (size_t)n, "; %s", rows[row].asks);
	report(seen, clause, byte ? (uint32_t)(byte - seen->bytes) : 0, field, text);
}

/* ---- counting ---- */

static void count(uint32_t *n)
{
	*n += *n != UINT32_MAX;
}

void monitor_hold(struct monitor *m, enum monitor_row row)
{
	if (m->log)
		count(&m->log->held[is_5(m)][row]);
}

void monitor_hold_packet(struct seen *seen)
{
	struct monitor_log *log = seen->m->log;
	const struct packet *p = seen->packet;

	if (!log)
		return;
	count(&log->packets[is_5(seen->m)][p->type]);
	if (p->properties.len) {
		struct property_walk walk = properties_of(p->properties);
		struct property property;

		while (property_next(&walk, &property)) {
			count(&log->properties[property.id]);
			if (seen->m->bits & SIZE_LIMITED && property.id == PROP_reason_string)
				count(&log->sized[p->type][0]);
			if (seen->m->bits & SIZE_LIMITED && property.id == PROP_user_property)
				count(&log->sized[p->type][1]);
		}
	}
}

static uint64_t packets_of(const struct monitor_log *log, bool five, uint32_t types)
{
	uint64_t n = 0;

	for (unsigned type = CONNECT; type < N_PACKET_TYPES; type++)
		if (types & ON(type))
			n += log->packets[five][type];
	return n;
}

/* Whether the codec's rule goes by that clause in that version; rule_id() lends a version the other's name. */
static bool is_rule(enum rule rule, bool five, struct span clause)
{
	static const char *const ids[N_RULES][2] = {
#define X(name, id_311, id_5, asks) [RULE_##name] = { id_311, id_5 },
#include "codec/rules.def"
#undef X
	};

	return ids[rule][five] && span_is(clause, ids[rule][five]);
}

bool monitor_implies(enum version version, const char *reported, const char *clause)
{
	bool five = version == MQTT_5;

	if (!strcmp(reported, clause))
		return true;
	for (size_t i = 0; i < sizeof(kin) / sizeof(*kin); i++) {
		const char *id = five ? rows[kin[i].row].id_5 : rows[kin[i].row].id_311;

		if (kin[i].versions & (five ? ON_5 : ON_311) && !strcmp(kin[i].clause, clause) && id && !strcmp(id, reported))
			return true;
	}
	return false;
}

int64_t monitor_held(const struct monitor_log *log, enum version version, struct span clause)
{
	static const struct monitor_log nothing;
	bool five = version == MQTT_5, judged = false;
	unsigned on = five ? ON_5 : ON_311;
	uint64_t n = 0;

	if (!log)
		log = &nothing;
	for (unsigned i = 0; i < N_ROWS; i++) {
		const char *id = five ? rows[i].id_5 : rows[i].id_311;

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
		uint32_t packets = forms[rule].packets & (five ? ~0u : ~(ON(DISCONNECT) | ON(AUTH)));

		if (forms[rule].judged && (packets || forms[rule].property) && is_rule((enum rule)rule, five, clause)) {
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
