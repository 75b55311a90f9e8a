#include "harness/monitor.h"

#include <stdio.h>

#include "codec/fields.h"
#include "codec/reader.h"
#include "harness/console.h"
#include "harness/monitor_internal.h"

/* The connection: what may come when, and the way of each packet through the rules. */

void monitor_open(struct monitor *m, struct monitor_world *world, struct monitor_log *log)
{
	*m = (struct monitor){
		.world = world, .log = log, .version = MQTT_3_1_1, .features = ALL_FEATURES,
		.own_maximum_packet_size = UINT32_MAX, .maximum_packet_size = UINT32_MAX,
		.own_receive_maximum = UINT16_MAX, .receive_maximum = UINT16_MAX,
	};
}

void monitor_realm(struct monitor *m, uint64_t realm)
{
	m->key = realm;
}

void monitor_assume(struct monitor *m, enum version version)
{
	m->version = (uint8_t)version;
	m->state = CONNECTED;
	m->bits |= LENIENT | PARTIAL;
}

/* [3.1.1] a clean session ends with its connection; [5] any does whose expiry interval is 0 */
static bool session_persists(const struct monitor *m)
{
	return is_5(m) ? m->session_expiry_interval > 0 : !(m->bits & CLEAN_START);
}

void monitor_close(struct monitor *m)
{
	if (!m->world)
		return;
	if (!(m->bits & LENIENT)) {
		if (m->state == REFUSED)
			monitor_hold(m, ROW_SILENT_REFUSED);
		else if (m->state == ENDED)
			monitor_hold(m, ROW_SILENT_ENDED);
	}
	monitor_session_closed(m, session_persists(m));
	monitor_aliases_free(m);
	m->world = NULL;
}

bool monitor_is_lenient(const struct monitor *m)
{
	return m->bits & LENIENT;
}

enum version monitor_version(const struct monitor *m)
{
	return (enum version)m->version;
}

void monitor_misbehaved(struct monitor *m)
{
	if (m->bits & LENIENT || !m->world)
		return;
	m->bits |= LENIENT;
	monitor_session_lose(m);
	monitor_aliases_free(m);
}

uint64_t monitor_in_force(const struct monitor *m, enum property_id property)
{
	switch (property) {
	case PROP_session_expiry_interval:
		return m->session_expiry_interval;
	case PROP_server_keep_alive:
		return m->keep_alive;
	case PROP_receive_maximum:
		return m->receive_maximum;
	case PROP_topic_alias_maximum:
		return m->topic_alias_maximum;
	case PROP_maximum_packet_size:
		return m->maximum_packet_size;
	case PROP_maximum_qos:
		return m->features & MAXIMUM_QOS;
	case PROP_retain_available:
		return !!(m->features & RETAIN_AVAILABLE);
	case PROP_wildcard_subscription_available:
		return !!(m->features & WILDCARD_AVAILABLE);
	case PROP_subscription_identifier_available:
		return !!(m->features & IDENTIFIER_AVAILABLE);
	case PROP_shared_subscription_available:
		return !!(m->features & SHARED_AVAILABLE);
	default:
		return 0;
	}
}

/* ---- what we send ---- */

/* [5:MQTT-3.14.2.2.2] it may change the interval, but not from 0 */
static bool disconnect_is_proper(struct monitor *m, const struct packet *p)
{
	uint32_t was = m->session_expiry_interval;

	m->bits |= DISCONNECTED;
	if (!is_5(m))
		return true;
	m->session_expiry_interval = (uint32_t)property_number(p->properties, PROP_session_expiry_interval, was);
	return was || !m->session_expiry_interval;
}

/* A remaining length that lies, or is longer than it need be. */
static bool length_is_proper(const uint8_t *bytes, size_t len)
{
	struct reader r = reader_over(span_of(bytes + 1, len - 1));
	bool overlong = false;
	uint32_t remaining = rd_varint(&r, &overlong);

	return !r.why && !overlong && rd_left(&r) == remaining;
}

/* What the flow asks of a client, as far as it decides what a server may do then. */
static void sent_by_flow(struct monitor *m, const struct packet *p, size_t len)
{
	bool proper = len <= m->maximum_packet_size;

	if (m->state == CONNECTING && m->bits & WITH_METHOD && p->type != AUTH && p->type != DISCONNECT)
		proper = false;		/* [5:MQTT-3.1.2-30] */
	switch (p->type) {
	case CONNECT:
		proper = false;		/* a second one */
		break;
	case AUTH:
		proper = proper && monitor_auth_is_proper(m, p);
		break;
	case DISCONNECT:
		proper = disconnect_is_proper(m, p) && proper;
		break;
	case PUBLISH:
		proper = proper && monitor_aliases_are_proper(m, p);
		break;
	case PINGREQ:
		m->pings += m->pings < UINT16_MAX;
		break;
	}
	if (!proper) {
		monitor_misbehaved(m);
		return;
	}
	switch (p->type) {
	case PUBLISH:
		monitor_sent_publish(m, p->flags, p->packet_id);
		break;
	case PUBACK:
	case PUBREC:
	case PUBREL:
	case PUBCOMP:
		monitor_sent_ack(m, p);
		break;
	case SUBSCRIBE:
	case UNSUBSCRIBE:
		monitor_sent_request(m, p);
		break;
	}
}

static void sent(struct monitor *m, const struct packet *packet, size_t len, bool proper)
{
	if (!m->world)		/* the connection has ended, and the script has not seen it yet */
		return;
	if (m->state == NOT_CONNECTED) {
		if (packet && packet->type == CONNECT) {
			monitor_sent_connect(m, packet);
			if (!proper)
				monitor_misbehaved(m);
		} else {
			m->bits |= VERSION_OPEN;
			monitor_misbehaved(m);
		}
		return;
	}
	if (m->bits & LENIENT) {
		if (packet && packet->type == DISCONNECT)
			m->bits |= DISCONNECTED;
	} else if (!proper || m->bits & DISCONNECTED) {
		monitor_misbehaved(m);
	} else if (m->bits & REPLACED) {
		/* a server that has not yet ended this connection may still obey: to whom the session went cannot know */
		if (packet->type != DISCONNECT && packet->type != PINGREQ)
			monitor_session_lose(m);
	} else {
		sent_by_flow(m, packet, len);
	}
}

void monitor_sent(struct monitor *m, const uint8_t *bytes, size_t len, const struct packet *packet)
{
	struct finding finding;
	bool proper = packet && len >= 2 && length_is_proper(bytes, len) && check(packet, FROM_CLIENT, &finding) == CODEC_OK;

	sent(m, packet, len, proper);
}

void monitor_posted(struct monitor *m, unsigned flags, uint16_t packet_id, size_t len)
{
	if (m->state == CONNECTED && !(m->bits & (LENIENT | DISCONNECTED | REPLACED)) && len <= m->maximum_packet_size) {
		monitor_sent_publish(m, flags, packet_id);
	} else {
		struct packet packet = { .version = m->version, .type = PUBLISH, .flags = (uint8_t)flags, .packet_id = packet_id, .topic = { (const uint8_t *)"t", 1 } };

		sent(m, &packet, len, true);
	}
}

/* ---- what they send ---- */

static void judge_size(struct seen *seen)
{
	struct monitor *m = seen->m;
	const struct packet *p = seen->packet;
	struct value value;

	if (!(m->bits & SIZE_LIMITED))
		return;
	if (seen->len <= m->own_maximum_packet_size) {
		monitor_hold(m, ROW_PACKET_SIZE);
		return;
	}
	if (p->type != PUBLISH && property_find(p->properties, PROP_reason_string, &value))
		monitor_violate(seen, ROW_SIZE_BY_PROPERTIES, NULL, "reason_string", "%s of %zu bytes, Maximum Packet Size is %u",
		        packet_name((enum packet_type)p->type), seen->len, m->own_maximum_packet_size);
	else if (p->type != PUBLISH && property_find(p->properties, PROP_user_property, &value))
		monitor_violate(seen, ROW_SIZE_BY_PROPERTIES, NULL, "user_property", "%s of %zu bytes, Maximum Packet Size is %u",
		        packet_name((enum packet_type)p->type), seen->len, m->own_maximum_packet_size);
	else
		monitor_violate(seen, ROW_PACKET_SIZE, NULL, NULL, "%s of %zu bytes, Maximum Packet Size is %u",
		        packet_name((enum packet_type)p->type), seen->len, m->own_maximum_packet_size);
}

static void judge_problem_information(struct seen *seen)
{
	const struct packet *p = seen->packet;
	struct value value;

	if (!(seen->m->bits & NO_PROBLEM_INFO) || !(ON(p->type) & (ACKS | ON(AUTH))))
		return;
	if (property_find(p->properties, PROP_reason_string, &value))
		monitor_violate(seen, ROW_PROBLEM_INFO, NULL, "reason_string", "a Reason String in %s", packet_name((enum packet_type)p->type));
	else if (property_find(p->properties, PROP_user_property, &value))
		monitor_violate(seen, ROW_PROBLEM_INFO, NULL, "user_property", "a User Property in %s", packet_name((enum packet_type)p->type));
	else
		monitor_hold(seen->m, ROW_PROBLEM_INFO);
}

/* What may come at all in this state of the connection. False: the packet is no further matter of the rules. */
static bool judge_moment(struct seen *seen)
{
	struct monitor *m = seen->m;
	uint8_t type = seen->packet->type;
	const char *name = packet_name((enum packet_type)type);

	switch (m->state) {
	case CONNECTING:
		if (type == CONNACK || (type == AUTH && is_5(m)))
			return true;
		monitor_violate(seen, type == DISCONNECT && is_5(m) ? ROW_DISCONNECT_EARLY : ROW_CONNACK_FIRST, NULL, NULL,
		        "%s before CONNACK", name);
		return false;
	case REFUSED:
		monitor_violate(seen, ROW_SILENT_REFUSED, NULL, NULL, "%s after a CONNACK that refused", name);
		return false;
	case ENDED:
		monitor_violate(seen, ROW_SILENT_ENDED, NULL, NULL, "%s after DISCONNECT", name);
		return false;
	default:
		return m->state == CONNECTED;
	}
}

static void judge_flow(struct seen *seen)
{
	struct monitor *m = seen->m;

	switch (seen->packet->type) {
	case PUBLISH:
		monitor_got_publish(seen);
		break;
	case PUBACK:
	case PUBREC:
	case PUBREL:
	case PUBCOMP:
		monitor_got_ack(seen);
		break;
	case SUBACK:
	case UNSUBACK:
		monitor_got_request_ack(seen);
		break;
	case PINGRESP:
		if (!m->pings)
			monitor_violate(seen, ROW_PINGRESP_ASKED, NULL, NULL, "PINGRESP without PINGREQ");
		else if (m->pings--)
			monitor_hold(m, ROW_PINGRESP_ASKED);
		break;
	case AUTH:
		monitor_judge_auth(seen);
		break;
	case DISCONNECT:
		if (!is_5(m))
			break;		/* no packet of a server's; check() said so */
		monitor_hold(m, ROW_DISCONNECT_EARLY);
		m->state = ENDED;
		break;
	}
}

static void judge(struct seen *seen)
{
	struct monitor *m = seen->m;
	bool waiting = m->open > 0;

	if (seen->packet->type == CONNACK && m->state <= CONNECTED) {
		if (!(m->bits & LENIENT))
			judge_size(seen);
		monitor_got_connack(seen);
		return;
	}
	if (m->bits & (LENIENT | REPLACED)) {
		if (seen->packet->type == DISCONNECT && is_5(m))
			m->state = ENDED;
		return;
	}
	if (!judge_moment(seen))
		return;
	if (is_5(m)) {
		judge_size(seen);
		judge_problem_information(seen);
	}
	judge_flow(seen);
	if (waiting && is_5(m) && !seen->broken)
		monitor_hold(m, ROW_RESENT_LIVE);
}

/* ---- form ---- */

/* [5:MQTT-1.5.5-1]; earlier versions do not ask for the shortest form */
static void judge_overlong(struct seen *seen, const struct frame *frame)
{
	if (frame->overlong)
		monitor_violate(seen, ROW_OVERLONG, seen->bytes + 1, NULL, "an overlong Remaining Length");
	else if (!seen->broken)
		monitor_hold(seen->m, ROW_OVERLONG);
}

/* A server forwards these as it got them, nothing makes it look into them; and to no filters belong no codes. */
static bool is_clients_fault(const struct seen *seen, const struct finding *finding)
{
	const char *id = rule_id(finding->rule, (enum version)finding->version);

	if (finding->rule == RULE_NO_CODES || finding->rule == RULE_NO_RESULTS)
		return seen->m->bits & LENIENT;
	return seen->packet->type == PUBLISH && (!strcmp(id, "payload-format") || !strcmp(id, "MQTT-3.3.2-14"));
}

static void report_finding(struct seen *seen, const struct finding *finding)
{
	char text[160];

	snprintf(text, sizeof(text), "%s: %s%s%s", seen->len ? packet_name(seen->bytes[0] >> 4) : "packet", finding->field ? finding->field : "",
	         finding->field ? ": " : "", finding->why ? finding->why : rule_asks(finding->rule));
	monitor_violate_clause(seen, rule_id(finding->rule, (enum version)finding->version), finding->offset, finding->field, text);
}

/*
 * A server that does not speak our version may refuse it in its own: 3.1.1 by code 1, 5 by 0x84. Where we sent
 * nothing that could be read as a CONNECT (any_code), it may have read another version, and may even accept.
 */
static bool answers_in_its_own(const uint8_t *bytes, size_t len, bool any_code, enum version other, struct packet *packet)
{
	struct finding finding;

	return decode(bytes, len, other, packet, &finding) == CODEC_OK && packet->type == CONNACK &&
	       check(packet, FROM_SERVER, &finding) == CODEC_OK &&
	       (any_code || packet->reason == (other == MQTT_5 ? 0x84 : 0x01));
}

enum status monitor_received(struct monitor *m, const uint8_t *bytes, size_t len, const struct frame *frame,
                             struct packet *packet)
{
	struct seen seen = { .m = m, .packet = packet, .bytes = bytes, .len = len };
	struct finding finding;
	enum status status = CODEC_OK;
	bool proper = decode_plain(bytes, len, (enum version)m->version, packet);

	if (!proper) {
		status = decode(bytes, len, (enum version)m->version, packet, &finding);
		proper = status == CODEC_OK && check(packet, FROM_SERVER, &finding) == CODEC_OK;
	}
	if (!proper && m->state <= CONNECTING) {
		struct packet other;

		if (answers_in_its_own(bytes, len, m->bits & VERSION_OPEN, is_5(m) ? MQTT_3_1_1 : MQTT_5, &other)) {
			*packet = other;
			if (m->bits & VERSION_OPEN)
				m->version = other.version;
			proper = true;
			status = CODEC_OK;
		}
	}
	if (status != CODEC_OK) {
		*packet = (struct packet){ 0 };
		report_finding(&seen, &finding);
		return CODEC_BAD;
	}
	if (!proper && !is_clients_fault(&seen, &finding))
		report_finding(&seen, &finding);
	if (is_5(m) && packet->version == MQTT_5)
		judge_overlong(&seen, frame);
	judge(&seen);
	if (!seen.broken)
		monitor_hold_packet(&seen);
	return CODEC_OK;
}

void monitor_subprotocol(struct monitor *m, const char *protocol)
{
	struct seen seen = { .m = m };

	monitor_hold(m, ROW_WEBSOCKET_BINARY);
	if (!strcmp(protocol, "mqtt"))
		monitor_hold(m, ROW_SUBPROTOCOL);
	else if (*protocol)
		monitor_violate(&seen, ROW_SUBPROTOCOL, NULL, NULL, "the WebSocket subprotocol is \"%.40s\"", console_safe(protocol));
	else
		monitor_violate(&seen, ROW_SUBPROTOCOL, NULL, NULL, "no WebSocket subprotocol was selected, and mqtt was offered");
}

void monitor_text_frame(struct monitor *m)
{
	struct seen seen = { .m = m };

	monitor_violate(&seen, ROW_WEBSOCKET_BINARY, NULL, NULL, "a WebSocket text frame came");
}

void monitor_bad_frame(struct monitor *m, const struct finding *finding)
{
	struct seen seen = { .m = m };

	report_finding(&seen, finding);
}
