#include "reference-broker/broken.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

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

static void drop_started(struct link *link)
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

/* ---- topic aliases that outlive their connection ---- */

void aliases_kept_by_fault(struct link *link, struct session *s)
{
	if (!link->aliases || !broken(link, ALIASES_CARRIED_OVER))
		return;
	aliases_release(link->broker, s->carried, s->n_carried);
	s->carried = link->aliases;
	s->n_carried = link->n_aliases;
	link->aliases = NULL;
	link->n_aliases = 0;
}

static void aliases_taken_up(struct link *link)
{
	struct session *s = link->session;

	link->aliases = s->carried;
	link->n_aliases = s->n_carried;
	s->carried = NULL;
	s->n_carried = 0;
}

/* The same id but for the last letter: in the same test. */
static bool alike(const struct session *a, const struct session *b)
{
	return a->id_len == b->id_len && a->id_len && !memcmp(a->id, b->id, a->id_len - 1u);
}

void failed_by_fault(struct link *link)
{
	struct packet more = { .type = PINGRESP };

	if (link->state != CONNECTED)
		return;
	if (broken(link, SENDS_AFTER_DISCONNECT))
		link_send(link, &more);
	if (broken(link, DISCONNECT_KEEPS_OPEN))
		link->mute = true;
	if (broken(link, ERROR_ENDS_OTHERS))
		for (struct link *other = link->broker->links; other; other = other->next)
			if (other != link && other->state == CONNECTED && alike(other->session, link->session))
				link_end(other, true);
}

/* ---- stored ---- */

enum retained_as retained_by_fault(struct broker *b, struct message *m, const struct node *node)
{
	unsigned v = m->version;
	bool had = node && node->retained;

	if (!b->broken)
		return !m->retain ? RETAIN_NOTHING : m->payload_len ? RETAIN_STORE : RETAIN_FORGET;
	if (!m->retain) {
		if (effect_set(b, v, LIVE_CLEARS))
			return RETAIN_FORGET;
		return effect_set(b, v, LIVE_STORED) && m->payload_len ? RETAIN_STORE : RETAIN_NOTHING;
	}
	if (!m->payload_len) {
		if (effect_set(b, v, EMPTY_RETAIN_STORED))
			return RETAIN_STORE;
		return effect_set(b, v, EMPTY_RETAIN_KEEPS) ? RETAIN_NOTHING : RETAIN_FORGET;
	}
	if (effect_set(b, v, RETAIN_NOT_STORED) || (had && effect_set(b, v, RETAIN_FIRST_KEPT)) ||
	    (had && !m->qos && effect_set(b, v, QOS0_KEEPS_OLD)))
		return RETAIN_NOTHING;
	return RETAIN_STORE;
}

struct message *will_by_fault(struct link *link, struct session *s, struct message *will)
{
	struct broker *b = link->broker;

	if (!b->broken)
		return will;
	if (s->will && s->will_due_ns != NEVER && broken(link, WILL_DESPITE_RETURN)) {
		publish_message(b, s->will, false);
		s->will_due_ns = NEVER;
	}
	if (!will && s->will && broken(link, WILL_REPEATED))
		return message_ref(s->will);
	if (!will)
		return NULL;
	if (broken(link, WILL_QOS0))
		will->qos = 0;
	if (broken(link, WILL_RETAINED))
		will->retain = true;
	if (broken(link, WILL_NOT_RETAINED))
		will->retain = false;
	if (broken(link, WILL_EXPIRY_DROPPED))
		will->has_expiry = false;
	if (broken(link, WILL_USER_PROPERTIES_REVERSED))
		reverse_user_properties(b, (uint8_t *)message_properties(will).at, will->properties_len);
	return will;
}

bool will_wanted(struct link *link, struct session *s, bool publish_will)
{
	(void)s;
	if (broken(link, WILL_NOT_SENT))
		return false;
	return publish_will || broken(link, WILL_AFTER_DISCONNECT);
}

bool will_kept_by_fault(struct session *s, struct message *m)
{
	if (!s->expiry_interval || !effect_set(s->broker, s->version, WILL_REPEATED))
		return false;
	s->will = m;
	return true;
}

void ended_by_fault(struct session *s)
{
	struct broker *b = s->broker;

	if (effect_set(b, s->version, WILL_REPEATED) && s->will_due_ns == NEVER && !s->link && s->will) {
		message_unref(b, s->will);
		s->will = NULL;
	}
	if (!effect_set(b, s->version, RETAINED_LOST_WITH_SESSION))
		return;
	for (struct node *node = tree_covered(&b->retained, span_text("#")), *next; node; node = next) {
		next = node->next_match;
		if (!span_equal(message_publisher(node->retained), session_id(s)))
			continue;
		b->n_expiring -= node->retained->has_expiry;
		message_unref(b, node->retained);
		node->retained = NULL;
		b->stats.retained--;
		memory_give(b, tree_prune(&b->retained, node));
	}
}

bool handling_by_fault(struct link *link, bool made, bool retained, unsigned handling)
{
	if (broken(link, RETAIN_NOT_SENT) || (!made && broken(link, RETAIN_NOT_RESENT)))
		return false;
	return retained || (handling == 1 && broken(link, RETAIN_ONCE_IGNORED)) ||
	       (handling == 2 && broken(link, RETAIN_NEVER_IGNORED));
}

/* The filter that a subscription was made with, without its share; in the room for what faults alter. */
static struct span filter_of(struct broker *b, const struct node *node)
{
	struct buffer *room = &b->altered;
	size_t len = 0;
	uint8_t *end;

	for (const struct node *n = node; n->parent; n = n->parent)
		len += n->name_len + 1u;
	room->len = room->start = 0;
	if (!len || !buffer_reserve(room, len))
		return (struct span){ 0 };
	end = room->at + len;
	for (const struct node *n = node; n->parent; n = n->parent) {
		*--end = '/';
		end -= n->name_len;
		memcpy(end, node_name(n), n->name_len);
	}
	return span_of(room->at, len - 1);
}

bool unsubscribed_by_fault(struct link *link, struct span filter, size_t nth)
{
	struct broker *b = link->broker;
	bool all = broken(link, UNSUBSCRIBE_ALL), by_match = broken(link, UNSUBSCRIBE_BY_MATCH);

	if (!b->broken)
		return false;
	if (broken(link, UNSUBSCRIBE_DROPS_STARTED))
		drop_started(link);
	for (struct subscription *s = link->session->subscriptions, *next; s && (all || by_match); s = next) {
		next = s->next_of_session;
		if (all || topic_matches(filter, filter_of(b, s->node)))
			subscription_end(b, s);
	}
	return all || by_match || broken(link, UNSUBSCRIBE_IGNORED) || (nth && broken(link, UNSUBSCRIBE_FIRST_ONLY));
}

/* ---- resumed ---- */

static void reverse_open(struct session *s)
{
	struct delivery_list turned = { 0 };

	while (s->open.last) {
		struct delivery *d = s->open.last;

		s->open.last = d->prev;
		d->prev = turned.last;
		d->next = NULL;
		if (turned.last)
			turned.last->next = d;
		else
			turned.first = d;
		turned.last = d;
	}
	s->open = turned;
	s->unsent = turned.first;
}

static void publish_released(struct link *link)
{
	struct packet p = { .type = PUBLISH, .topic = span_text("again") };

	for (struct delivery *d = link->session->released.first; d; d = d->next) {
		p.packet_id = d->packet_id;
		p.flags = 2 << PUBLISH_QOS_SHIFT | PUBLISH_DUP;
		link_send(link, &p);
	}
}

void resumed_by_fault(struct link *link, bool present)
{
	struct session *s = link->session;

	if (!link->broker->broken)
		return;
	aliases_taken_up(link);
	if (!present)
		return;
	while (broken(link, SUBSCRIPTIONS_LOST) && s->subscriptions)
		subscription_end(link->broker, s->subscriptions);
	if (broken(link, NOTHING_RESENT))
		drop_started(link);
	if (broken(link, RESENT_REVERSED))
		reverse_open(s);
	if (broken(link, RESENT_UNDER_NEW_ID))
		deliveries_rename(s);
	if (broken(link, RELEASED_PUBLISHED_AGAIN))
		publish_released(link);
	for (struct delivery *d = s->open.first; d && d->packet_id && broken(link, QUOTA_CARRIED_OVER); d = d->next)
		link->n_unacked++;
	if (broken(link, QOS2_FORGOTTEN_ON_DROP)) {
		while (s->incoming.n)
			id_set_remove(link->broker, &s->incoming, (int)s->incoming.n - 1);
	}
}

/* ---- timed ---- */

void disconnected_by_fault(struct session *s)
{
	const struct broker *b = s->broker;

	if (!b->broken)
		return;
	if (effect_set(b, s->version, SESSION_LOST))
		s->expiry_interval = 0;
	if (effect_set(b, s->version, SESSION_NEVER_EXPIRES))
		s->expiry_interval = FOREVER;
	if (effect_set(b, s->version, WILL_DELAY_IGNORED))
		s->will_delay = 0;
	if (effect_set(b, s->version, WILL_LATE) && s->will) {
		s->will_delay += 10;
		s->expiry_interval = FOREVER;
	}
	if (effect_set(b, s->version, WILL_WAITS_FOR_DELAY_ONLY) && s->will && s->expiry_interval < s->will_delay)
		s->expiry_interval = s->will_delay + 1;
}

void times_by_fault(struct session *s)
{
	if (effect_set(s->broker, s->version, WILL_REPEATED) && !s->will_delay)
		s->will_due_ns = NEVER;
}

/* Puts a message in front of those that wait. */
void queued_by_fault(struct session *s, struct delivery *d)
{
	struct delivery *before = s->unsent;

	if (!effect_set(s->broker, s->version, s->link ? LIVE_ORDER_SWAPPED : ORDER_SWAPPED) || before == d)
		return;
	d->prev->next = NULL;
	s->open.last = d->prev;
	d->next = before;
	d->prev = before->prev;
	if (before->prev)
		before->prev->next = d;
	else
		s->open.first = d;
	before->prev = d;
	s->unsent = d;
}

/* The first that comes is held until there is another to go before it. */
bool held_by_fault(const struct session *s, const struct delivery *d)
{
	return d->prev == NULL && d->next == NULL && effect_set(s->broker, s->version, LIVE_ORDER_SWAPPED);
}
