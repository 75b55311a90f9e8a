#include "harness/client_monitor_internal.h"

#include "codec/fields.h"

/* The client's connection: what may be sent when, what CONNACK allows, and how long a client may be silent. */

enum { SECOND_NS = 1000000000, MAPPED_SIZE = 65536 / 8 };

void client_open(struct client_monitor *c, struct client_world *world, struct client_log *log)
{
	*c = (struct client_monitor){
		.world = world, .log = log, .version = MQTT_3_1_1, .features = C_ALL_FEATURES,
		.maximum_packet_size = UINT32_MAX, .receive_maximum = UINT16_MAX,
	};
}

void client_assume(struct client_monitor *c, enum version version)
{
	c->version = (uint8_t)version;
	c->state = C_CONNECTED;
	c->bits |= C_EXCUSED | C_PARTIAL;
}

void client_excuse(struct client_monitor *c)
{
	if (c->bits & C_EXCUSED)
		return;
	c->bits |= C_EXCUSED | C_PARTIAL;
	client_session_lose(c);
	client_flows_free(c->world, &c->ours);
	client_flows_free(c->world, &c->theirs);
}

bool client_is_excused(const struct client_monitor *c)
{
	return c->bits & C_EXCUSED;
}

void client_close(struct client_monitor *c, bool whole)
{
	bool persists = client_is_5(c) ? c->bits & C_PERSISTS : !(c->bits & C_CLEAN_START);

	if (!whole)
		client_excuse(c);
	client_session_closed(c, persists);
	client_flows_free(c->world, &c->ours);
	client_flows_free(c->world, &c->theirs);
	client_room_give(c->world, c->mapped, MAPPED_SIZE);
	c->mapped = NULL;
}

/* ---- silence ---- */

/* How long a client may be silent until it is certain, whatever held its packets up on their way here. */
static uint64_t silence_allowed_ns(const struct client_monitor *c)
{
	return (uint64_t)c->keep_alive * SECOND_NS * 3 / 2 + SECOND_NS;
}

static void violate_silence(struct client_seen *seen, uint64_t silence_ns)
{
	client_violate(seen, seen->c->bits & C_SERVER_KEEP_ALIVE ? CROW_SERVER_KEEP_ALIVE : CROW_KEEP_ALIVE, "keep_alive",
	               "silent for %.1f s, Keep Alive is %u s", (double)silence_ns / 1e9, seen->c->keep_alive);
}

static void judge_silence(struct client_monitor *c, const struct client_packet *p)
{
	struct client_seen seen = { .c = c, .packet = p->packet, .bytes = p->bytes.at, .len = p->bytes.len };
	uint64_t silence_ns = p->began_ns > c->last_ns ? p->began_ns - c->last_ns : 0;

	if (c->state != C_CONNECTED || !c->keep_alive || !c->last_ns || c->bits & (C_EXCUSED | C_DISCONNECTED))
		return;
	if (silence_ns > silence_allowed_ns(c))
		violate_silence(&seen, silence_ns);
	else
		client_hold(c, c->bits & C_SERVER_KEEP_ALIVE ? CROW_SERVER_KEEP_ALIVE : CROW_KEEP_ALIVE);
}

/*
 * A server ends a connection that was silent for one and a half times the Keep Alive. Whether a client was there at all, to
 * break a rule, is known only when it closes too.
 */
void client_hung_up(struct client_monitor *c, enum sender from, uint64_t time_ns)
{
	struct client_seen seen = { .c = c };
	uint64_t silence_ns = time_ns > c->last_ns ? time_ns - c->last_ns : 0;
	uint64_t least_ns = (uint64_t)c->keep_alive * SECOND_NS * 7 / 5;

	if (!c->keep_alive || !c->last_ns || c->bits & (C_EXCUSED | C_DISCONNECTED) || (c->state != C_CONNECTED && c->state != C_ENDED))
		return;
	if (from == FROM_SERVER) {
		c->bits |= C_SERVER_CLOSED;
		c->silence_ns = c->silence_ns ? c->silence_ns : silence_ns;
	} else if (c->bits & C_SERVER_CLOSED ? c->silence_ns >= least_ns : silence_ns > silence_allowed_ns(c)) {
		violate_silence(&seen, c->bits & C_SERVER_CLOSED ? c->silence_ns : silence_ns);
	}
}

/* ---- CONNECT, AUTH, DISCONNECT ---- */

static uint64_t method_of(const struct packet *p)
{
	struct value value;

	return property_find(p->properties, PROP_authentication_method, &value) ? monitor_hash_bytes(value.bytes) : 0;
}

static void sent_connect(struct client_seen *seen)
{
	struct client_monitor *c = seen->c;
	const struct packet *p = seen->packet;

	c->state = C_CONNECTING;
	c->version = p->version;
	c->keep_alive = p->keep_alive;
	if (p->connect_flags & CONNECT_CLEAN_START)
		c->bits |= C_CLEAN_START;
	if (client_is_5(c)) {
		if (property_number(p->properties, PROP_session_expiry_interval, 0))
			c->bits |= C_EXPIRES | C_PERSISTS;
		c->method = method_of(p);
		if (c->method)
			c->bits |= C_WITH_METHOD;
	}
	client_hold(c, CROW_CONNECT_FIRST);
	client_hold(c, CROW_CONNECT_ONCE);
	if (p->client_id.len)
		c->key = monitor_key_of(c->realm, p->client_id);
	client_session_connecting(c);
}

static void sent_auth(struct client_seen *seen)
{
	struct client_monitor *c = seen->c;
	const struct packet *p = seen->packet;
	bool again = c->state == C_CONNECTED && p->reason == 0x19;

	if (!(c->bits & C_WITH_METHOD)) {
		client_violate(seen, CROW_AUTH_UNASKED, NULL, "AUTH, but CONNECT had no Authentication Method");
		return;
	}
	if (method_of(p) != c->method)
		client_violate(seen, again ? CROW_AUTH_AGAIN : CROW_AUTH_METHOD, "authentication_method", "AUTH with another method than CONNECT's");
	else
		client_hold(c, CROW_AUTH_METHOD);
	if (again) {
		client_hold(c, CROW_AUTH_AGAIN);
		return;
	}
	if (c->state == C_CONNECTED && !c->asked)
		client_violate(seen, CROW_AUTH_AGAIN, "reason", "AUTH with code 0x%02x, which the server did not ask for", p->reason);
	else if (!c->asked)
		client_violate(seen, CROW_AUTH_ANSWER, "reason", "AUTH with code 0x%02x before the server sent any", p->reason);
	else if (p->reason != 0x18)
		client_violate(seen, CROW_AUTH_ANSWER, "reason", "AUTH with code 0x%02x as an answer", p->reason);
	else
		client_hold(c, CROW_AUTH_ANSWER);
	if (c->asked)
		c->asked--;
}

static void sent_disconnect(struct client_seen *seen)
{
	struct client_monitor *c = seen->c;
	uint64_t expiry;
	struct value value;

	c->bits |= C_DISCONNECTED;
	client_judge_leaving(seen);
	if (!client_is_5(c) || !property_find(seen->packet->properties, PROP_session_expiry_interval, &value))
		return;
	expiry = value.number;
	if (expiry && !(c->bits & C_EXPIRES))
		client_violate(seen, CROW_EXPIRY_RAISED, "session_expiry_interval",
		               "DISCONNECT with Session Expiry Interval %u after CONNECT with 0", (unsigned)expiry);
	else
		client_hold(c, CROW_EXPIRY_RAISED);
	c->bits = expiry ? c->bits | C_PERSISTS : c->bits & ~(uint32_t)C_PERSISTS;
}

/* ---- PUBLISH: what CONNACK allows ---- */

/* Of client's PUBLISH: the alias is mapped from now on, or was. */
static bool alias_is_mapped(struct client_monitor *c, uint16_t alias, bool map)
{
	uint64_t bit = (uint64_t)1 << (alias & 63);

	if (!c->mapped && !(c->mapped = client_room_take(c->world, MAPPED_SIZE)))
		return true;		/* nothing can be known */
	if (map)
		c->mapped[alias >> 6] |= bit;
	return c->mapped[alias >> 6] & bit;
}

static void judge_alias(struct client_seen *seen)
{
	struct client_monitor *c = seen->c;
	const struct packet *p = seen->packet;
	struct value value;
	unsigned alias;

	if (!client_is_5(c))
		return;
	if (!property_find(p->properties, PROP_topic_alias, &value)) {
		if (client_is_limited(c) && !c->topic_alias_maximum)
			client_hold(c, CROW_ALIAS_NONE);
		return;
	}
	alias = (unsigned)value.number;
	if (!alias)
		return;			/* check() said so */
	if (client_is_limited(c) && !c->topic_alias_maximum)
		client_violate(seen, CROW_ALIAS_NONE, "topic_alias", "topic alias %u, but CONNACK allowed none", alias);
	else if (client_is_limited(c) && alias > c->topic_alias_maximum)
		client_violate(seen, CROW_ALIAS_MAXIMUM, "topic_alias", "topic alias %u is above the %u that CONNACK allowed",
		               alias, c->topic_alias_maximum);
	else
		client_hold(c, CROW_ALIAS_MAXIMUM);
	if (!alias_is_mapped(c, (uint16_t)alias, p->topic.len > 0))
		client_violate(seen, c->bits & C_RESUMED ? CROW_ALIAS_CARRIED : CROW_ALIAS_KNOWN, "topic_alias",
		               "an empty topic with topic alias %u, which was not mapped on this connection", alias);
	else if (!p->topic.len)
		client_hold(c, CROW_ALIAS_KNOWN);
}

static void judge_publish(struct client_seen *seen)
{
	struct client_monitor *c = seen->c;
	unsigned qos = publish_qos(seen->packet), most = c->features & C_MAXIMUM_QOS;

	judge_alias(seen);
	if (!client_is_5(c) || !client_is_limited(c))
		return;
	if (qos > most)
		client_violate(seen, CROW_QOS_LIMIT, "qos", "PUBLISH at QoS %u, Maximum QoS is %u", qos, most);
	else if (most < 2)
		client_hold(c, CROW_QOS_LIMIT);
	if (c->features & C_RETAIN)
		return;
	if (seen->packet->flags & PUBLISH_RETAIN)
		client_violate(seen, CROW_RETAIN, "retain", "PUBLISH with RETAIN 1, but CONNACK has Retain Available 0");
	else
		client_hold(c, CROW_RETAIN);
}

/* ---- any packet ---- */

static void judge_size(struct client_seen *seen)
{
	struct client_monitor *c = seen->c;
	const struct packet *p = seen->packet;
	const char *name = packet_name((enum packet_type)p->type);
	bool acks = ON(p->type) & (ACKS | ON(DISCONNECT) | ON(AUTH));
	const char *field = NULL;
	struct value value;

	if (!client_is_limited(c) || !(c->bits & C_SIZE_LIMITED))
		return;
	if (seen->len <= c->maximum_packet_size) {
		client_hold(c, CROW_PACKET_SIZE);
		return;
	}
	if (acks && property_find(p->properties, PROP_reason_string, &value))
		field = "reason_string";
	else if (acks && property_find(p->properties, PROP_user_property, &value))
		field = "user_property";
	client_violate(seen, field ? CROW_SIZE_BY_PROPERTIES : CROW_PACKET_SIZE, field, "%s of %zu bytes, Maximum Packet Size is %u",
	               name, seen->len, c->maximum_packet_size);
}

/* False: the packet is no further matter of the flow's rules. */
static bool judge_moment(struct client_seen *seen)
{
	struct client_monitor *c = seen->c;
	uint8_t type = seen->packet->type;
	const char *name = packet_name((enum packet_type)type);

	if (c->state == C_NEW && type == CONNECT) {
		sent_connect(seen);
		return false;
	}
	if (c->state == C_NEW) {
		client_violate(seen, CROW_CONNECT_FIRST, NULL, "%s before CONNECT", name);
		return false;
	}
	if (type == CONNECT) {
		client_violate(seen, CROW_CONNECT_ONCE, NULL, "a second CONNECT");
		client_excuse(c);
		return false;
	}
	if (c->bits & C_DISCONNECTED) {
		client_violate(seen, CROW_AFTER_DISCONNECT, NULL, "%s after DISCONNECT", name);
		client_excuse(c);
		return false;
	}
	if (c->state == C_CONNECTING && c->bits & C_WITH_METHOD) {
		if (type != AUTH && type != DISCONNECT)
			client_violate(seen, CROW_AUTH_ONLY, NULL, "%s before CONNACK", name);
		else
			client_hold(c, CROW_AUTH_ONLY);
	}
	return c->state == C_CONNECTING || c->state == C_CONNECTED;
}

static void judge_flow(struct client_seen *seen)
{
	struct client_monitor *c = seen->c;
	uint8_t type = seen->packet->type;

	if (type != DISCONNECT && c->state == C_CONNECTED)
		c->bits |= C_ACTIVE;
	else if (type != DISCONNECT && type != AUTH)
		c->bits |= C_PIPELINED;
	judge_size(seen);
	switch (type) {
	case PUBLISH:
		judge_publish(seen);
		client_sent_publish(seen);
		break;
	case PUBACK:
	case PUBREC:
	case PUBREL:
	case PUBCOMP:
		client_sent_ack(seen);
		break;
	case SUBSCRIBE:
	case UNSUBSCRIBE:
		client_sent_request(seen);
		break;
	case AUTH:
		sent_auth(seen);
		break;
	case DISCONNECT:
		sent_disconnect(seen);
		break;
	}
}

/*
 * Has it read CONNACK? What acknowledged all that the broker had sent, was written afterwards; but a client that did not wait for
 * CONNACK at first may not look at it later either, until an answer of its own shows that it reads, or much time has passed.
 */
static void notice_knowledge(struct client_monitor *c, const struct client_packet *p)
{
	bool answers = p->packet && ON(p->packet->type) & (ON(PUBACK) | ON(PUBREC) | ON(PUBREL) | ON(PUBCOMP));

	if (c->state != C_CONNECTED || c->bits & C_KNOWS || p->crossed)
		return;
	if (!(c->bits & C_PIPELINED) || answers || p->began_ns > c->connack_ns + (uint64_t)5 * SECOND_NS)
		c->bits |= C_KNOWS;
}

/* A bridge between brokers says what it is by the highest bit of the protocol version, and goes by the rules of the rest. */
static struct packet as_plain_client(const struct packet *p)
{
	struct packet plain = *p;

	if (p->type == CONNECT && (p->protocol_version & 0x7f) == p->version)
		plain.protocol_version = p->version;
	return plain;
}

/* An acknowledgement has the id that the broker gave, be it 0. */
static bool is_brokers_id(const struct client_monitor *c, const struct packet *p, const struct finding *finding)
{
	return c->bits & C_EXCUSED && finding->rule == RULE_PACKET_ID_ZERO && ON(p->type) & (ON(PUBACK) | ON(PUBREC) | ON(PUBCOMP));
}

void client_sent(struct client_monitor *c, const struct client_packet *p)
{
	struct client_seen seen = { .c = c, .packet = p->packet, .bytes = p->bytes.at, .len = p->bytes.len };
	struct finding finding;
	struct packet plain;

	judge_silence(c, p);
	c->last_ns = p->time_ns;
	notice_knowledge(c, p);
	if (!p->packet) {
		client_violate_form(&seen, p->finding);
		client_excuse(c);
		return;
	}
	plain = as_plain_client(p->packet);
	if (check(&plain, FROM_CLIENT, &finding) != CODEC_OK && !is_brokers_id(c, p->packet, &finding))
		client_violate_form(&seen, &finding);
	if (p->frame->overlong && p->packet->version == MQTT_5)
		client_violate(&seen, CROW_OVERLONG, "remaining_length", "an overlong Remaining Length");
	else if (p->packet->version == MQTT_5)
		client_hold(c, CROW_OVERLONG);
	if (!(c->bits & C_EXCUSED) && judge_moment(&seen))
		judge_flow(&seen);
	else if (c->state == C_NEW)
		client_excuse(c);
	if (!seen.broken)
		client_hold_packet(&seen);
}

/* ---- what the broker sends ---- */

static void take_limits(struct client_monitor *c, const struct packet *p)
{
	static const struct {
		uint8_t property, bit;
	} flags[] = {
		{ PROP_retain_available, C_RETAIN },
		{ PROP_wildcard_subscription_available, C_WILDCARD },
		{ PROP_subscription_identifier_available, C_IDENTIFIER },
		{ PROP_shared_subscription_available, C_SHARED },
	};
	struct span list = p->properties;
	struct value value;

	if (property_find(list, PROP_server_keep_alive, &value)) {
		c->keep_alive = (uint16_t)value.number;
		c->bits |= C_SERVER_KEEP_ALIVE;
	}
	if (property_find(list, PROP_assigned_client_identifier, &value) && !c->key)
		c->key = monitor_key_of(c->realm, value.bytes);
	if (property_find(list, PROP_session_expiry_interval, &value))
		c->bits = value.number ? c->bits | C_PERSISTS : c->bits & ~(uint32_t)C_PERSISTS;
	if (property_find(list, PROP_maximum_packet_size, &value)) {
		c->maximum_packet_size = (uint32_t)value.number;
		c->bits |= C_SIZE_LIMITED;
	}
	c->receive_maximum = (uint16_t)property_number(list, PROP_receive_maximum, UINT16_MAX);
	c->topic_alias_maximum = (uint16_t)property_number(list, PROP_topic_alias_maximum, 0);
	c->features = (uint8_t)(property_number(list, PROP_maximum_qos, 2) & C_MAXIMUM_QOS);
	for (size_t i = 0; i < sizeof(flags) / sizeof(*flags); i++)
		if (property_number(list, flags[i].property, 1))
			c->features |= flags[i].bit;
}

static void got_connack(struct client_monitor *c, const struct packet *p, uint64_t time_ns)
{
	bool present = c->version == MQTT_3_1 ? !(c->bits & C_CLEAN_START) : p->ack_flags & 1;

	if (c->state != C_CONNECTING)
		return;
	if (p->reason || p->version != c->version) {
		c->state = C_REFUSED;
		return;
	}
	c->state = C_CONNECTED;
	c->connack_ns = time_ns;
	if (client_is_5(c))
		take_limits(c, p);
	if (present)
		c->bits |= C_RESUMED;
	client_session_accepted(c, present);
}

void client_received(struct client_monitor *c, const struct packet *p, uint64_t time_ns)
{
	if (c->bits & C_EXCUSED)
		return;
	switch (p->type) {
	case CONNACK:
		got_connack(c, p, time_ns);
		break;
	case AUTH:
		c->asked += p->reason == 0x18 && c->asked < UINT16_MAX;
		break;
	case DISCONNECT:
		c->state = C_ENDED;
		if (p->reason == 0x8d && time_ns > c->last_ns)	/* Keep Alive timeout */
			c->silence_ns = time_ns - c->last_ns;
		break;
	default:
		if (c->state == C_CONNECTED)
			client_got(c, p);
	}
}
