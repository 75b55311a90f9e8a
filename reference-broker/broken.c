#include "reference-broker/broken.h"

#include <ctype.h>
#include <stdio.h>

#include "reference-broker/faults.h"

void effects_init(struct broker *b)
{
	if (!b->config.broken)
		return;
	for (size_t i = 0; i < n_fault_rows; i++) {
		const struct fault_row *row = &fault_rows[i];

		if (!fault_set(b->config.broken, (unsigned)i))
			continue;
		b->broken = true;
		b->effects[row->rule[0] == '5'][row->effect / 64] |= UINT64_C(1) << row->effect % 64;
	}
	b->subscriptions.dollar = b->retained.dollar = effect_any(b, DOLLAR_MATCHED);
}

/* ---- received ---- */

/* Which rules a fault lets pass. */
static const struct {
	enum effect effect;
	enum rule rule;
} mildness[] = {
	{ TAKE_FLAGS, RULE_RESERVED_FLAGS }, { TAKE_PUBREL_FLAGS, RULE_PUBREL_FLAGS },
	{ TAKE_SUBSCRIBE_FLAGS, RULE_SUBSCRIBE_FLAGS }, { TAKE_UNSUBSCRIBE_FLAGS, RULE_UNSUBSCRIBE_FLAGS },
	{ TAKE_DISCONNECT_FLAGS, RULE_DISCONNECT_FLAGS }, { TAKE_AUTH_FLAGS, RULE_AUTH_FLAGS },
	{ TAKE_UTF8, RULE_UTF8 }, { TAKE_UTF8, RULE_TOPIC_FORM }, { TAKE_UTF8, RULE_SUBSCRIBE_FILTER_FORM },
	{ TAKE_UTF8, RULE_UNSUBSCRIBE_FILTER_FORM }, { TAKE_UTF8, RULE_CLIENT_ID_UTF8 },
	{ TAKE_UTF8, RULE_WILL_TOPIC_UTF8 }, { TAKE_UTF8, RULE_USER_NAME_UTF8 },
	{ TAKE_TOPIC_UTF8, RULE_TOPIC_FORM }, { TAKE_FILTER_UTF8, RULE_SUBSCRIBE_FILTER_FORM },
	{ TAKE_UNSUBSCRIBE_UTF8, RULE_UNSUBSCRIBE_FILTER_FORM }, { TAKE_ID_UTF8, RULE_CLIENT_ID_UTF8 },
	{ TAKE_WILL_TOPIC_UTF8, RULE_WILL_TOPIC_UTF8 }, { TAKE_USER_NAME_UTF8, RULE_USER_NAME_UTF8 },
	{ TAKE_PAIR_UTF8, RULE_PAIR_UTF8 }, { TAKE_RESPONSE_TOPIC_UTF8, RULE_RESPONSE_TOPIC_UTF8 },
	{ TAKE_CONTENT_TYPE_UTF8, RULE_CONTENT_TYPE_UTF8 },
	{ TAKE_NUL, RULE_NUL }, { TAKE_NUL, RULE_TOPIC_NUL }, { TAKE_TOPIC_NUL, RULE_TOPIC_NUL },
	{ TAKE_EMPTY_TOPIC, RULE_TOPIC_EMPTY }, { TAKE_TOPIC_WILDCARD, RULE_TOPIC_WILDCARD },
	{ TAKE_WILL_TOPIC_WILDCARD, RULE_WILL_TOPIC_WILDCARD }, { TAKE_RESPONSE_TOPIC_WILDCARD, RULE_RESPONSE_TOPIC_WILDCARD },
	{ TAKE_ID_ZERO, RULE_PACKET_ID_ZERO }, { TAKE_QOS_3, RULE_QOS_3 }, { TAKE_ALIAS_ZERO, RULE_ALIAS_ZERO },
	{ TAKE_CONNECT_RESERVED, RULE_CONNECT_RESERVED }, { TAKE_WILL_QOS_WITHOUT_WILL, RULE_WILL_QOS_WITHOUT_WILL },
	{ TAKE_WILL_QOS_3, RULE_WILL_QOS_3 }, { TAKE_WILL_RETAIN_WITHOUT_WILL, RULE_WILL_RETAIN_WITHOUT_WILL },
	{ TAKE_PASSWORD_WITHOUT_USER, RULE_PASSWORD_WITHOUT_USER }, { TAKE_EMPTY_ID, RULE_EMPTY_ID_KEPT },
	{ TAKE_HASH, RULE_FILTER_HASH }, { TAKE_PLUS, RULE_FILTER_PLUS }, { TAKE_SHARE_NAME, RULE_SHARE_NAME },
	{ TAKE_SHARE_FORM, RULE_SHARE_FORM }, { TAKE_SHARED_NO_LOCAL, RULE_SHARED_NO_LOCAL },
	{ TAKE_SUBSCRIBE_EMPTY, RULE_SUBSCRIBE_EMPTY }, { TAKE_UNSUBSCRIBE_EMPTY, RULE_UNSUBSCRIBE_EMPTY },
	{ TAKE_SUBSCRIBE_OPTIONS, RULE_SUBSCRIBE_OPTIONS }, { TAKE_SUBSCRIBE_OPTIONS, RULE_SUBSCRIBE_QOS_3 },
	{ TAKE_SUBSCRIBE_QOS_3, RULE_SUBSCRIBE_QOS_3 }, { TAKE_RETAIN_HANDLING_3, RULE_RETAIN_HANDLING_3 },
	{ TAKE_PROPERTY_UNKNOWN, RULE_PROPERTY_UNKNOWN }, { TAKE_PROPERTY_MISPLACED, RULE_PROPERTY_MISPLACED },
	{ TAKE_PROPERTY_REPEATED, RULE_PROPERTY_REPEATED }, { TAKE_PROPERTY_VALUE, RULE_PROPERTY_VALUE },
	{ TAKE_PACKET_TYPE, RULE_PACKET_TYPE }, { TAKE_TRUNCATED, RULE_TRUNCATED }, { TAKE_TRAILING, RULE_TRAILING_BYTES },
	{ TAKE_OVERLONG, RULE_OVERLONG },
	{ TAKE_UNTABLED_ACK_CODE, RULE_PUBACK_CODE }, { TAKE_UNTABLED_ACK_CODE, RULE_PUBREC_CODE },
	{ TAKE_UNTABLED_ACK_CODE, RULE_PUBREL_CODE }, { TAKE_UNTABLED_ACK_CODE, RULE_PUBCOMP_CODE },
	{ PLAIN_AUTH_IGNORED, RULE_AUTH_WITHOUT_METHOD }, { PLAIN_AUTH_IGNORED, RULE_AUTH_CODE },
	{ FOREIGN_IDENTIFIER_TAKEN, RULE_CLIENT_SUBSCRIPTION_ID },
	{ TAKE_AUTH_DATA, RULE_DATA_WITHOUT_METHOD },
	{ SERVE_ANY_NAME, RULE_PROTOCOL_NAME }, { SERVE_ANY_LEVEL, RULE_PROTOCOL_VERSION },
	{ ANY_LEVEL_3_1, RULE_PROTOCOL_NAME_3_1 },
};

/* Whether a fault asked for lets a packet pass that breaks this rule. */
static enum received_as tolerated(const struct link *link, const struct finding *finding)
{
	for (size_t i = 0; i < sizeof(mildness) / sizeof(*mildness); i++) {
		if (mildness[i].rule != finding->rule || !broken(link, mildness[i].effect))
			continue;
		/* what makes no sense at all is passed over rather than acted upon */
		return finding->rule == RULE_QOS_3 || finding->rule == RULE_ALIAS_ZERO || finding->rule == RULE_AUTH_FLAGS ||
		       finding->rule == RULE_SUBSCRIBE_EMPTY || finding->rule == RULE_UNSUBSCRIBE_EMPTY ||
		       finding->rule == RULE_AUTH_WITHOUT_METHOD || finding->rule == RULE_AUTH_CODE ?
		       PASSED_OVER : TAKEN;
	}
	return REFUSED;
}

static bool servers_own(unsigned type)
{
	return type == CONNACK || type == SUBACK || type == UNSUBACK || type == PINGRESP;
}

/* Sends everything open once more, though nobody came back. */
static void resend_all(struct link *link)
{
	struct session *s = link->session;

	s->unsent = s->open.first;
	link->n_unacked = 0;
	deliver_pump(link);
}

void drop_started(struct link *link)
{
	struct session *s = link->session;

	deliveries_release(s);
	s->unsent = NULL;
	link->n_unacked = 0;
}

/* All of it, though its connection is open. */
static void forget_session(struct link *link)
{
	struct session *s = link->session;

	drop_started(link);
	while (s->subscriptions)
		subscription_end(link->broker, s->subscriptions);
	while (s->incoming.n)
		id_set_remove(link->broker, &s->incoming, (int)s->incoming.n - 1);
}

static bool passed_over_by_form(const struct link *link, const struct packet *p)
{
	bool ack = p->type == PUBACK || p->type == PUBREC || p->type == PUBREL || p->type == PUBCOMP;

	if (ack && !(p->written & WRITTEN_REASON) && broken(link, SHORT_ACKS_IGNORED))
		return true;
	return link->version == MQTT_3_1 && p->flags & PUBLISH_DUP && p->type != PUBLISH && broken(link, DUP_PASSED_OVER_3_1);
}

static enum received_as well_formed(struct link *link, const struct packet *p)
{
	struct packet welcome = { .type = CONNACK };

	if (p->type == CONNECT && broken(link, IGNORE_SECOND_CONNECT))
		return PASSED_OVER;
	if (p->type == CONNECT && broken(link, WELCOME_SECOND_CONNECT)) {
		link_send(link, &welcome);
		return PASSED_OVER;
	}
	if (p->type == PINGREQ && broken(link, RESENT_WHILE_CONNECTED))
		resend_all(link);
	if (broken(link, SESSION_FORGOTTEN_OPEN) && link->broker->now_ns - link->heard_ns > SECOND_NS)
		forget_session(link);
	if (passed_over_by_form(link, p))
		return PASSED_OVER;
	if (link->exchange && p->type == PUBLISH && broken(link, REAUTHENTICATION_STOPS_FLOW))
		return PASSED_OVER;
	if (broken(link, WINDOW_STOPS_ALL) && link->n_unacked >= link->receive_maximum &&
	    p->type != PUBACK && p->type != PUBREC && p->type != PUBCOMP && p->type != DISCONNECT)
		return PASSED_OVER;
	return TAKEN;
}

/* A packet that cannot be decoded but is not refused: the least that shows it. */
static void answer_unreadable(struct link *link, struct span bytes)
{
	struct packet answer = { .type = PINGRESP };

	if (bytes.at[0] >> 4 == PINGREQ && link->state == CONNECTED)
		link_send(link, &answer);
}

enum received_as received_by_fault(struct link *link, struct span bytes, const struct packet *packet,
                                   const struct finding *finding)
{
	enum received_as as;

	if (!link->broker->broken)
		return finding ? REFUSED : TAKEN;
	if (!finding || (servers_own(bytes.at[0] >> 4) && broken(link, ERRORS_IGNORED)))
		return finding || (packet && servers_own(packet->type) && broken(link, ERRORS_IGNORED)) ?
		       PASSED_OVER : well_formed(link, packet);
	as = tolerated(link, finding);
	if (as == TAKEN && !packet)
		answer_unreadable(link, bytes);
	return as == TAKEN && !packet ? PASSED_OVER : as;
}

bool unconnected_by_fault(struct link *link, struct span bytes)
{
	struct packet answer = { .type = PINGRESP };

	if (!effect_any(link->broker, ANSWER_UNCONNECTED))
		return false;
	link->version = MQTT_3_1_1;
	deadline_stop(&link->broker->deadlines, &link->deadline);
	if (bytes.at[0] >> 4 == PINGREQ)
		link_send(link, &answer);
	return true;
}

unsigned version_by_fault(const struct broker *b, struct span name, unsigned level)
{
	bool any_name = !span_is(name, "MQTT") && !span_is(name, "MQIsdp") && (level == MQTT_3_1_1 || level == MQTT_5);

	if (any_name && effect_set(b, level, SERVE_ANY_NAME))
		return level;
	if (span_is(name, "MQIsdp") && effect_set(b, MQTT_3_1, ANY_LEVEL_3_1))
		return MQTT_3_1;
	if (!span_is(name, "MQTT"))
		return 0;
	if (effect_set(b, MQTT_3_1_1, SERVE_ANY_LEVEL))
		return MQTT_3_1_1;
	return effect_set(b, MQTT_5, SERVE_ANY_LEVEL) ? MQTT_5 : 0;
}

/* Which lacks of a CONNECT a fault passes over. */
static const struct {
	enum effect effect;
	enum rule rule;
} lacks[] = {
	{ TAKE_NO_CLIENT_ID, RULE_CLIENT_ID_MISSING }, { TAKE_NO_WILL_FIELDS, RULE_WILL_FIELDS },
	{ TAKE_NO_USER_NAME, RULE_USER_NAME_MISSING }, { TAKE_NO_PASSWORD, RULE_PASSWORD_MISSING },
};

bool bad_connect_by_fault(struct link *link, const struct finding *finding)
{
	struct packet welcome = { .type = CONNACK };
	bool passed = broken(link, WELCOME_BAD_CONNECT);

	for (size_t i = 0; i < sizeof(lacks) / sizeof(*lacks); i++)
		passed = passed || (lacks[i].rule == finding->rule && broken(link, lacks[i].effect));
	if (!passed)
		return false;
	link_send(link, &welcome);
	link_end(link, false);
	link->mute = true;
	return true;
}

/* Nobody knows the version of a client whose CONNECT could not be read. */
bool unreadable_by_fault(struct link *link, enum effect lax)
{
	if (!(link->state == AWAITING_CONNECT ? effect_any(link->broker, lax) : broken(link, lax)))
		return false;
	deadline_stop(&link->broker->deadlines, &link->deadline);
	return true;
}

/* Beyond what every server takes: 23 letters and digits. */
static bool odd(struct span id)
{
	bool odd = id.len > 23;

	for (size_t i = 0; i < id.len; i++)
		odd = odd || !isalnum(id.at[i]);
	return odd;
}

bool not_welcome_by_fault(const struct link *link, const struct packet *p)
{
	return (p->client_id.len == 23 && broken(link, REFUSE_LONG_ID)) ||
	       (p->client_id.len == 1 && broken(link, REFUSE_SHORT_ID)) ||
	       ((!p->keep_alive || p->keep_alive == 65535) && broken(link, REFUSE_KEEP_ALIVE)) ||
	       (p->connect_flags & CONNECT_WILL && broken(link, REFUSE_WILL)) ||
	       (!(p->connect_flags & CONNECT_CLEAN_START) && broken(link, REFUSE_KEPT_SESSION)) ||
	       (odd(p->client_id) && broken(link, REFUSE_ODD_ID_OPEN));
}

bool refused_by_fault(struct link *link)
{
	struct session *s;
	char name[24];
	struct span id;

	if (broken(link, REFUSAL_KEEPS_OPEN) || broken(link, REFUSE_ODD_ID_OPEN)) {
		link_end(link, false);
		link->mute = true;
		return true;
	}
	if (!broken(link, SERVE_AFTER_REFUSAL))
		return false;
	snprintf(name, sizeof(name), "refused%016llx", (unsigned long long)broker_random(link->broker));
	id = span_text(name);
	s = session_find(link->broker, id) ? NULL : session_new(link->broker, id, (struct span){ 0 });
	if (!s)
		return false;
	s->version = link->version;
	s->link = link;
	link->session = s;
	link->receive_maximum = 65535;
	link->state = CONNECTED;
	deadline_stop(&link->broker->deadlines, &link->deadline);
	return true;
}

struct span id_by_fault(struct link *link, struct span id, bool assigned)
{
	struct buffer *room = &link->broker->altered;
	bool fold = broken(link, IDS_FOLDED), other = assigned && broken(link, ASSIGNED_ID_NOT_USED);

	room->len = room->start = 0;
	if (!(fold || other) || !buffer_append(room, id))
		return id;
	for (size_t i = 0; i < id.len; i++) {
		if (fold && room->at[i] >= 'A' && room->at[i] <= 'Z')
			room->at[i] |= 0x20;
		else if (other)		/* backwards: as unlike others as it was */
			room->at[i] = id.at[id.len - 1 - i];
	}
	return span_of(room->at, id.len);
}

bool taken_over_by_fault(struct link *link, struct session *s)
{
	if (broken(link, TAKEOVER_NOT_DONE))
		s->taken_over = true;
	return s->taken_over;
}

/* Takes DUP for proof that the message came before. */
bool publish_by_fault(struct link *link, const struct packet *p)
{
	if (broken(link, DENIED_UNANSWERED) && !session_may(link->session, ACT_PUBLISH, p->topic))
		return true;
	if (publish_qos(p) != 1 || !(p->flags & PUBLISH_DUP) || !broken(link, QOS1_ID_REMEMBERED))
		return false;
	link_send(link, &(struct packet){ .type = PUBACK, .packet_id = p->packet_id });
	return true;
}

bool acknowledged_by_fault(struct link *link, const struct packet *ack, const struct delivery *d)
{
	if (ack->type == PUBREC && d && broken(link, NO_PUBREL))
		return true;
	if (ack->reason >= 0x80 && d && d->message && broken(link, SHARED_REFUSED_PASSED_ON))
		delivery_pass_on(link->session, d);
	return ack->reason >= 0x80 && broken(link, REFUSED_RESENT);
}
