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
 * Clauses that one packet by itself can break (codec/rules.def), and those bounded by the Maximum Packet Size:
 * each packet of such a type that had no fault is an occasion; where a property is named, each that had it.
 */
#define FROM_SERVER_ALL (ON(CONNACK) | ON(PUBLISH) | ON(PUBACK) | ON(PUBREC) | ON(PUBREL) | ON(PUBCOMP) | \
                         ON(SUBACK) | ON(UNSUBACK) | ON(PINGRESP) | ON(DISCONNECT) | ON(AUTH))
#define FLAGGED (FROM_SERVER_ALL & ~ON(PUBLISH))
static const struct {
	const char *clause;
	unsigned versions;
	uint32_t packets;
	uint8_t property;
} plain[] = {
	{ "MQTT-2.1.3-1",	ON_5,		FLAGGED, 0 },
	{ "MQTT-2.2.2-1",	ON_311,		FLAGGED, 0 },
	{ "MQTT-2.2.2-1",	ON_5,		ON(CONNACK) | ON(PUBLISH) | ON(SUBACK) | ON(UNSUBACK), 0 },
	{ "MQTT-1.5.3-1",	ON_311,		ON(PUBLISH), 0 },
	{ "MQTT-1.5.3-2",	ON_311,		ON(PUBLISH), 0 },
	{ "MQTT-1.5.4-1",	ON_5,		ON(PUBLISH), 0 },
	{ "MQTT-1.5.4-2",	ON_5,		ON(PUBLISH), 0 },
	{ "MQTT-1.5.7-1",	ON_5,		0, PROP_user_property },
	{ "MQTT-3.2.2-1",	ON_5,		ON(CONNACK), 0 },
	{ "connack-flags",	ON_311,		ON(CONNACK), 0 },
	{ "MQTT-3.2.2-6",	ON_311,		ON(CONNACK), 0 },
	{ "MQTT-3.2.2-8",	ON_5,		ON(CONNACK), 0 },
	{ "MQTT-3.3.1-2",	ON_5 | ON_311,	ON(PUBLISH), 0 },
	{ "MQTT-4.3.1-1",	ON_5 | ON_311,	ON(PUBLISH), 0 },
	{ "MQTT-3.3.1-4",	ON_5 | ON_311,	ON(PUBLISH), 0 },
	{ "MQTT-3.3.2-1",	ON_5 | ON_311,	ON(PUBLISH), 0 },
	{ "MQTT-3.3.2-2",	ON_5 | ON_311,	ON(PUBLISH), 0 },
	{ "MQTT-4.7.3-1",	ON_5 | ON_311,	ON(PUBLISH), 0 },
	{ "MQTT-4.7.3-2",	ON_5 | ON_311,	ON(PUBLISH), 0 },
	{ "MQTT-3.3.2-8",	ON_5,		0, PROP_topic_alias },
	{ "MQTT-3.4.2-1",	ON_5,		ON(PUBACK), 0 },
	{ "MQTT-3.5.2-1",	ON_5,		ON(PUBREC), 0 },
	{ "MQTT-3.6.2-1",	ON_5,		ON(PUBREL), 0 },
	{ "MQTT-3.7.2-1",	ON_5,		ON(PUBCOMP), 0 },
	{ "MQTT-3.6.1-1",	ON_5 | ON_311,	ON(PUBREL), 0 },
	{ "MQTT-3.9.3-2",	ON_5 | ON_311,	ON(SUBACK), 0 },
	{ "MQTT-3.14.1-1",	ON_5,		ON(DISCONNECT), 0 },
	{ "MQTT-3.14.2-1",	ON_5,		ON(DISCONNECT), 0 },
	{ "MQTT-3.14.2-2",	ON_5,		ON(DISCONNECT), 0 },
	{ "MQTT-3.15.1-1",	ON_5,		ON(AUTH), 0 },
	{ "MQTT-3.15.2-1",	ON_5,		ON(AUTH), 0 },
	{ "packet-type-0",	ON_5 | ON_311,	FROM_SERVER_ALL, 0 },
	{ "packet-type-15",	ON_311,		FROM_SERVER_ALL, 0 },
	{ "direction",		ON_5 | ON_311,	FROM_SERVER_ALL, 0 },
	{ "remaining-length",	ON_5 | ON_311,	FROM_SERVER_ALL, 0 },
	{ "packet-length",	ON_5 | ON_311,	FROM_SERVER_ALL, 0 },
	{ "property-unknown",	ON_5,		FROM_SERVER_ALL & ~ON(PINGRESP), 0 },
	{ "property-misplaced",	ON_5,		FROM_SERVER_ALL & ~ON(PINGRESP), 0 },
	{ "property-repeated",	ON_5,		FROM_SERVER_ALL & ~ON(PINGRESP), 0 },
	{ "property-value",	ON_5,		FROM_SERVER_ALL & ~ON(PINGRESP), 0 },
	{ "property-length",	ON_5,		FROM_SERVER_ALL & ~ON(PINGRESP), 0 },
	{ "reason-listed",	ON_5,		ON(CONNACK) | ACKS | ON(DISCONNECT) | ON(AUTH), 0 },
	{ "auth-data-without-method", ON_5,	0, PROP_authentication_data },
	{ "auth-method-missing", ON_5,		ON(AUTH), 0 },
	{ "server-reference",	ON_5,		0, PROP_server_reference },
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

	if (seen->broken)
		return;			/* the first is the cause, the others may be its effects */
	seen->broken = true;
	if (m->log && m->log->violated)
		m->log->violated(m->log->owner, m, &violation);
}

void monitor_violate_clause(struct seen *seen, const char *clause, uint32_t offset, const char *field, const char *text)
{
	report(seen, clause, offset, field, text);
}

void monitor_violate(struct seen *seen, enum monitor_row row, const void *at, const char *field, const char *format, ...)
{
	const char *clause = is_5(seen->m) ? rows[row].id_5 : rows[row].id_311;
	const uint8_t *byte = at;
	char text[256];
	va_list args;
	int n;

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
	for (size_t i = 0; i < sizeof(plain) / sizeof(*plain); i++) {
		if (plain[i].versions & on && span_is(clause, plain[i].clause)) {
			judged = true;
			n += packets_of(log, five, plain[i].packets);
			n += plain[i].property ? log->properties[plain[i].property] : 0;
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
