#include "harness/monitor_internal.h"

#include "codec/fields.h"

/* CONNECT, AUTH and CONNACK: what both sides agree on for the connection. */

/* ---- what we send ---- */

static uint32_t method_of(const struct packet *p)
{
	struct value value;

	return property_find(p->properties, PROP_authentication_method, &value) ? (uint32_t)(monitor_hash_bytes(value.bytes) >> 32) | 1 : 0;
}

void monitor_sent_connect(struct monitor *m, const struct packet *p)
{
	struct span properties = p->properties;
	bool clean = p->connect_flags & CONNECT_CLEAN_START;

	m->state = CONNECTING;
	m->version = p->version;
	if (p->protocol_version != p->version || !span_is(p->protocol_name, p->version == MQTT_3_1 ? "MQIsdp" : "MQTT"))
		m->bits |= VERSION_OPEN;
	m->keep_alive = p->keep_alive;
	m->bits |= (uint16_t)((clean ? CLEAN_START : 0) | (p->client_id.len ? 0 : EMPTY_ID));
	if (is_5(m)) {
		m->session_expiry_interval = (uint32_t)property_number(properties, PROP_session_expiry_interval, 0);
		m->own_receive_maximum = (uint16_t)property_number(properties, PROP_receive_maximum, UINT16_MAX);
		m->own_topic_alias_maximum = (uint16_t)property_number(properties, PROP_topic_alias_maximum, 0);
		m->own_maximum_packet_size = (uint32_t)property_number(properties, PROP_maximum_packet_size, UINT32_MAX);
		if (m->own_maximum_packet_size != UINT32_MAX)
			m->bits |= SIZE_LIMITED;
		if (property_number(properties, PROP_request_response_information, 0))
			m->bits |= WANTS_RESPONSE_INFO;
		if (!property_number(properties, PROP_request_problem_information, 1))
			m->bits |= NO_PROBLEM_INFO;
		m->method = method_of(p);
		if (m->method)
			m->bits |= WITH_METHOD;
	}
	m->key = p->client_id.len ? monitor_key_of(m->key, p->client_id) : 0;
	monitor_session_connecting(m);
}

/* [5:MQTT-4.12.0-7, 4.12.1-1] */
bool monitor_auth_is_proper(const struct monitor *m, const struct packet *p)
{
	uint8_t reason = m->state == CONNECTING ? 0x18 : p->reason;

	return m->bits & WITH_METHOD && method_of(p) == m->method && p->reason == reason;
}

/* ---- what they send ---- */

static void take_limits(struct monitor *m, const struct packet *p)
{
	static const struct {
		uint8_t property, bit;
	} flags[] = {
		{ PROP_retain_available, RETAIN_AVAILABLE },
		{ PROP_wildcard_subscription_available, WILDCARD_AVAILABLE },
		{ PROP_subscription_identifier_available, IDENTIFIER_AVAILABLE },
		{ PROP_shared_subscription_available, SHARED_AVAILABLE },
	};
	struct span list = p->properties;

	m->session_expiry_interval = (uint32_t)property_number(list, PROP_session_expiry_interval, m->session_expiry_interval);
	m->keep_alive = (uint16_t)property_number(list, PROP_server_keep_alive, m->keep_alive);
	m->receive_maximum = (uint16_t)property_number(list, PROP_receive_maximum, UINT16_MAX);
	m->topic_alias_maximum = (uint16_t)property_number(list, PROP_topic_alias_maximum, 0);
	m->maximum_packet_size = (uint32_t)property_number(list, PROP_maximum_packet_size, UINT32_MAX);
	m->features = (uint8_t)(property_number(list, PROP_maximum_qos, 2) & MAXIMUM_QOS);
	for (size_t i = 0; i < sizeof(flags) / sizeof(*flags); i++)
		if (property_number(list, flags[i].property, 1))
			m->features |= flags[i].bit;
}

/* Authentication Method in CONNACK or AUTH. */
static void judge_method(struct seen *seen)
{
	struct monitor *m = seen->m;
	const struct packet *p = seen->packet;
	uint32_t method = p->properties.len ? method_of(p) : 0;

	if (!(m->bits & WITH_METHOD)) {
		if (method || p->type == AUTH)
			monitor_violate(seen, ROW_METHOD_UNASKED, seen->bytes, "authentication_method", "%s",
			        p->type == AUTH ? "AUTH" : "an Authentication Method in CONNACK");
		else
			monitor_hold(m, ROW_METHOD_UNASKED);
	} else if (p->type == CONNACK && p->reason) {
		return;			/* only a success need repeat it */
	} else if (method != m->method && (method || p->type == CONNACK)) {
		monitor_violate(seen, ROW_METHOD_ECHO, seen->bytes, "authentication_method", "%s Authentication Method",
		        method ? "another" : "no");
	} else {
		monitor_hold(m, ROW_METHOD_ECHO);
	}
}

/* Takes the assigned client id as ours. */
static void judge_client_id(struct seen *seen)
{
	struct monitor *m = seen->m;
	struct value value;
	bool assigned = property_find(seen->packet->properties, PROP_assigned_client_identifier, &value);

	if (assigned && value.bytes.len) {
		if (!m->key)
			m->key = monitor_hash_bytes(value.bytes);	/* whose realm is forgotten: it will not be found in one */
		else if (m->key != monitor_hash_bytes(value.bytes))
			m->bits |= PARTIAL | REPLACED;	/* served under another id than ours: which session that is, is its own affair */
	}
	if (!(m->bits & EMPTY_ID) || seen->packet->reason)
		return;
	if (!assigned || !value.bytes.len)
		monitor_violate(seen, ROW_ASSIGNED_ID, seen->bytes, "assigned_client_identifier", "%s Assigned Client Identifier",
		        assigned ? "an empty" : "no");
	else
		monitor_hold(m, ROW_ASSIGNED_ID);
}

static void judge_connack(struct seen *seen)
{
	struct monitor *m = seen->m;
	const struct packet *p = seen->packet;
	bool present = p->ack_flags & 1;
	struct value value;

	monitor_hold(m, ROW_CONNACK_FIRST);
	monitor_hold(m, ROW_CONNACK_ONCE);
	if (m->version != MQTT_3_1) {	/* which has no Session Present */
		if (p->reason && present)
			monitor_violate(seen, ROW_CONNACK_REFUSED, p->version == MQTT_5 || seen->len > 2 ? seen->bytes + 2 : NULL,
			        "session_present", "code 0x%02x with Session Present 1", p->reason);
		else if (p->reason)
			monitor_hold(m, ROW_CONNACK_REFUSED);
		else if (present && m->bits & CLEAN_START)
			monitor_violate(seen, ROW_CONNACK_CLEAN, seen->bytes + 2, "session_present", "Session Present 1");
		else if (m->bits & CLEAN_START)
			monitor_hold(m, ROW_CONNACK_CLEAN);
	}
	if (!is_5(m))
		return;
	judge_method(seen);
	judge_client_id(seen);
	if (m->bits & WANTS_RESPONSE_INFO)
		return;
	if (property_find(p->properties, PROP_response_information, &value))
		monitor_violate(seen, ROW_RESPONSE_INFO, seen->bytes, "response_information", "Response Information unasked");
	else
		monitor_hold(m, ROW_RESPONSE_INFO);
}

void monitor_got_connack(struct seen *seen)
{
	struct monitor *m = seen->m;
	const struct packet *p = seen->packet;
	bool present = p->ack_flags & 1;

	if (m->state != CONNECTING) {
		if (!(m->bits & LENIENT))
			monitor_violate(seen, ROW_CONNACK_ONCE, NULL, NULL, "a second CONNACK");
		return;
	}
	if (!(m->bits & LENIENT) && p->version == m->version)
		judge_connack(seen);
	if (p->reason) {
		m->state = REFUSED;
		monitor_session_refused(m);
		return;
	}
	m->state = CONNECTED;
	if (is_5(m) && p->version == MQTT_5)
		take_limits(m, p);
	if (m->version == MQTT_3_1)	/* it cannot say whether a session was there */
		present = !(m->bits & CLEAN_START);
	if (present)
		m->bits |= RESUMED;
	monitor_session_accepted(m, present);
}

void monitor_judge_auth(struct seen *seen)
{
	if (seen->m->state == CONNECTING && seen->m->bits & WITH_METHOD) {
		if (seen->packet->reason != 0x18)
			monitor_violate(seen, ROW_AUTH_CODE, NULL, "reason", "AUTH with code 0x%02x before CONNACK", seen->packet->reason);
		else
			monitor_hold(seen->m, ROW_AUTH_CODE);
	}
	judge_method(seen);
}
