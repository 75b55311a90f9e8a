#include "harness/dues.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/fields.h"
#include "codec/topic.h"
#include "harness/escape.h"
#include "harness/monitor.h"

enum { SESSIONS = 32, SUBSCRIPTIONS = 96, MESSAGES = 160, MOST_TOPICS = 48, TEXT = 128, NOBODY = -1 };

struct session {			/* at the broker, of one client id */
	uint64_t key;			/* 0: this place is free */
	int client;			/* that has it; NOBODY */
	uint32_t subscribed_at;		/* the first SUBSCRIBE of its connection; 0: none */
	uint8_t version;
	bool limited;			/* a Maximum Packet Size */
	bool spoilt;			/* our side broke a rule in it */
	bool unknown;			/* it has subscriptions that did not fit */
};

struct subscription {
	char filter[TEXT];		/* "": this place is free */
	uint16_t packet_id;		/* of the SUBSCRIBE that waits for its SUBACK; 0: granted */
	uint8_t session, nth, qos;	/* nth of that SUBSCRIBE */
	bool no_local;
};

enum taken { SENT, RECEIVED /* QoS 2: PUBREC came */, COMPLETE, REFUSED };

struct message {
	uint64_t hash;			/* of topic and payload */
	char topic[TEXT];
	uint32_t owed;			/* bit per session that has not got it yet */
	uint32_t again;			/* those of them that got it, and lost their connection before they acknowledged it */
	uint32_t got;			/* that got it at QoS 2 */
	uint16_t packet_id;
	uint8_t publisher, qos, taken;	/* enum taken */
	bool retain;
	bool alone;			/* no other has that topic and payload, and it is not retained: a second delivery is a duplicate */
};

struct delivery {			/* QoS 1 and 2, not acknowledged by us */
	uint16_t packet_id;
	uint8_t qos;
	int message;			/* NOBODY: none that we know */
	bool received;			/* QoS 2: PUBREC sent */
};

struct topic {				/* what is retained on it */
	char name[TEXT];
	uint32_t removed_at;		/* 0: it is not known to be empty */
	uint16_t packet_id;		/* of the PUBLISH that removes it; 0: none is under way */
	uint8_t publisher, n_open;	/* messages to be retained that are not acknowledged yet */
	bool unknown;
};

struct dues {
	struct session sessions[SESSIONS];
	struct subscription subscriptions[SUBSCRIPTIONS];
	struct message messages[MESSAGES];
	struct topic topics[MOST_TOPICS];
	struct delivery deliveries[SESSIONS][64];
	int session_of[DUES_CLIENTS];	/* by client; NOBODY before CONNACK */
	struct connecting { uint64_t key; uint8_t version; bool clean, limited, lawful; } connecting[DUES_CLIENTS];
	uint32_t now;			/* counts packets */
	unsigned n_subscriptions, n_messages, n_topics;
	uint8_t n_deliveries[SESSIONS];
	bool murky;			/* something unreadable was sent */
	bool full;			/* messages did not fit */
};

struct dues *dues_new(void)
{
	struct dues *d = calloc(1, sizeof(*d));

	if (d)
		dues_begin(d);
	return d;
}

void dues_free(struct dues *d)
{
	free(d);
}

void dues_begin(struct dues *d)
{
	memset(d->sessions, 0, sizeof(d->sessions));
	memset(d->n_deliveries, 0, sizeof(d->n_deliveries));
	memset(d->connecting, 0, sizeof(d->connecting));
	d->n_subscriptions = d->n_messages = d->n_topics = 0;
	d->now = 0;
	d->murky = d->full = false;
	for (unsigned i = 0; i < DUES_CLIENTS; i++)
		d->session_of[i] = NOBODY;
}

static uint64_t hash_of(struct span topic, struct span payload)
{
	return monitor_hash_bytes(topic) * 31 ^ monitor_hash_bytes(payload);
}

static bool keep_text(char text[TEXT], struct span s)
{
	if (!s.len || s.len >= TEXT || memchr(s.at, 0, s.len))
		return false;
	memcpy(text, s.at, s.len);
	text[s.len] = '\0';
	return true;
}

static bool is_5(uint8_t version)
{
	return version == MQTT_5;
}

static bool breach(struct due_breach *b, uint8_t version, const char *before_5, const char *in_5, unsigned client, const char *what, const char *topic)
{
	char safe[160];

	escape_bytes(topic, strlen(topic), safe, sizeof(safe));
	*b = (struct due_breach){ .version = version, .clause = is_5(version) ? in_5 : before_5, .client = client };
	snprintf(b->text, sizeof(b->text), "%s: topic \"%.150s\"", what, safe);
	return false;
}

/* ---- sessions ---- */

static void forget_dues(struct dues *d, int s)
{
	for (unsigned i = 0; i < d->n_messages; i++) {
		d->messages[i].owed &= ~(1u << s);
		d->messages[i].again &= ~(1u << s);
		d->messages[i].got &= ~(1u << s);
	}
	d->n_deliveries[s] = 0;
}

static void end_session(struct dues *d, int s)
{
	unsigned kept = 0;

	forget_dues(d, s);
	for (unsigned i = 0; i < d->n_subscriptions; i++)
		if (d->subscriptions[i].session != s)
			d->subscriptions[kept++] = d->subscriptions[i];
	d->n_subscriptions = kept;
	/* What it has published and was not acknowledged goes with it. */
	for (unsigned i = 0; i < d->n_messages; i++)
		if (d->messages[i].publisher == s && d->messages[i].taken < COMPLETE)
			d->messages[i].taken = REFUSED;
	d->sessions[s].unknown = false;
}

static int find_session(struct dues *d, uint64_t key)
{
	int place = NOBODY;

	for (int i = 0; i < SESSIONS; i++)
		if (d->sessions[i].key == key)
			return i;
		else if (!d->sessions[i].key && place == NOBODY)
			place = i;
	return place;
}

static void spoil(struct dues *d, unsigned client)
{
	struct connecting *c = &d->connecting[client];

	if (d->session_of[client] != NOBODY)
		d->sessions[d->session_of[client]].spoilt = true;
	c->lawful = false;
	for (int i = 0; c->key && i < SESSIONS; i++)
		if (d->sessions[i].key == c->key)
			d->sessions[i].spoilt = true;
}

static void connack(struct dues *d, unsigned client, const struct packet *p)
{
	struct connecting *c = &d->connecting[client];
	struct value assigned;
	struct session *session;
	int s;

	if (p->reason || !c->version)
		return;
	if (property_find(p->properties, PROP_assigned_client_identifier, &assigned))
		c->key = monitor_key_of(1, assigned.bytes);
	s = c->key ? find_session(d, c->key) : NOBODY;
	d->session_of[client] = s;
	if (s == NOBODY)
		return;
	session = &d->sessions[s];
	if (session->key && session->client != NOBODY && session->client != (int)client)
		dues_ended(d, (unsigned)session->client);	/* taken over */
	if (c->clean || !(p->ack_flags & 1))
		end_session(d, s);
	*session = (struct session){ .key = c->key, .client = (int)client, .version = c->version, .limited = c->limited,
	                             .spoilt = !c->lawful || (session->key && session->spoilt), .unknown = session->unknown };
}

static void connect(struct dues *d, unsigned client, const struct packet *p, bool lawful)
{
	if (d->connecting[client].version)		/* a second one on the connection */
		spoil(d, client);
	d->connecting[client] = (struct connecting){ .version = p->version, .lawful = lawful, .clean = p->connect_flags & CONNECT_CLEAN_START,
		.key = p->client_id.len ? monitor_key_of(1, p->client_id) : 0, .limited = property_number(p->properties, PROP_maximum_packet_size, 0) != 0 };
	if (p->connect_flags & CONNECT_WILL)		/* somebody's last message may look like any other, and nobody says when it is published */
		d->murky = true;
	if (!lawful)
		spoil(d, client);
}

void dues_ended(struct dues *d, unsigned client)
{
	int s = d->session_of[client];

	d->connecting[client] = (struct connecting){ 0 };
	d->session_of[client] = NOBODY;
	if (s == NOBODY || d->sessions[s].client != (int)client)
		return;
	d->sessions[s].client = NOBODY;
	d->sessions[s].subscribed_at = 0;
	/* What it has not acknowledged is to come again, when the session is resumed. */
	for (unsigned i = 0; i < d->n_deliveries[s]; i++) {
		const struct delivery *delivery = &d->deliveries[s][i];

		if (delivery->message != NOBODY && !delivery->received) {
			d->messages[delivery->message].owed |= 1u << s;
			d->messages[delivery->message].again |= 1u << s;
		}
	}
	for (unsigned i = 0; i < d->n_subscriptions; i++)	/* nobody knows what became of those */
		if (d->subscriptions[i].session == s && d->subscriptions[i].packet_id)
			d->sessions[s].unknown = d->sessions[s].spoilt = true;
}

/* ---- subscriptions ---- */

static void subscribe(struct dues *d, int s, const struct packet *p)
{
	struct filter_walk walk = filters_of(p);
	struct span filter;
	uint8_t options, nth = 0;

	d->sessions[s].subscribed_at = d->sessions[s].subscribed_at ? d->sessions[s].subscribed_at : d->now;
	for (; filter_next(&walk, &filter, &options); nth++) {
		struct subscription *sub = &d->subscriptions[d->n_subscriptions];

		if (d->n_subscriptions == SUBSCRIPTIONS || !keep_text(sub->filter, filter)) {
			d->sessions[s].unknown = true;
			continue;
		}
		sub->packet_id = p->packet_id;
		sub->session = (uint8_t)s;
		sub->nth = nth;
		sub->qos = options & SUBSCRIBE_QOS;
		sub->no_local = is_5(p->version) && options & SUBSCRIBE_NO_LOCAL;
		d->n_subscriptions++;
	}
}

static void drop_subscription(struct dues *d, unsigned i)
{
	d->subscriptions[i] = d->subscriptions[--d->n_subscriptions];
}

/* Granted: it replaces the one of the same filter. */
static void suback(struct dues *d, int s, const struct packet *p)
{
	for (unsigned i = 0; i < d->n_subscriptions;) {
		struct subscription *sub = &d->subscriptions[i];

		if (sub->session != s || sub->packet_id != p->packet_id) {
			i++;
			continue;
		}
		uint8_t code = sub->nth < p->list.len ? p->list.at[sub->nth] : 0x80;
		if (code > 2) {
			drop_subscription(d, i);
			continue;
		}
		sub->packet_id = 0;
		sub->qos = code;
		for (unsigned k = 0; k < d->n_subscriptions; k++)
			if (k != i && d->subscriptions[k].session == s && !d->subscriptions[k].packet_id && !strcmp(d->subscriptions[k].filter, sub->filter)) {
				d->subscriptions[k] = *sub;
				drop_subscription(d, i);
				break;
			}
		i = 0;			/* places have changed */
	}
}

/* What was queued for it may or may not come any more. */
static void unsubscribe(struct dues *d, int s, const struct packet *p)
{
	struct filter_walk walk = filters_of(p);
	struct span filter;
	uint8_t options;

	forget_dues(d, s);
	while (filter_next(&walk, &filter, &options))
		for (unsigned i = 0; i < d->n_subscriptions; i++)
			if (d->subscriptions[i].session == s && span_is(filter, d->subscriptions[i].filter)) {
				drop_subscription(d, i);
				break;
			}
	d->sessions[s].unknown = true;	/* until the UNSUBACK both may be so */
}

/* ---- what is published ---- */

static struct topic *topic_of(struct dues *d, struct span name)
{
	for (unsigned i = 0; i < d->n_topics; i++)
		if (span_is(name, d->topics[i].name))
			return &d->topics[i];
	if (d->n_topics == MOST_TOPICS || !keep_text(d->topics[d->n_topics].name, name))
		return NULL;
	struct topic *t = &d->topics[d->n_topics++];
	t->removed_at = 0;
	t->packet_id = t->n_open = 0;
	t->unknown = false;
	return t;
}

/* A topic is known to be empty from the acknowledgement of its removal on, when nothing else was under way. */
static void retain(struct dues *d, int s, const struct packet *p)
{
	struct topic *t = topic_of(d, p->topic);

	if (!t)
		return;
	t->removed_at = 0;
	t->packet_id = 0;
	if (!(p->flags & PUBLISH_RETAIN))
		return;
	if (p->payload.len && publish_qos(p)) {
		t->n_open++;
	} else if (p->payload.len || t->n_open || t->unknown || !publish_qos(p)) {
		t->unknown |= p->payload.len != 0;
	} else {
		t->packet_id = p->packet_id;
		t->publisher = (uint8_t)s;
	}
}

static void retained(struct dues *d, int s, const struct message *m, bool fine)
{
	struct topic *t = topic_of(d, span_text(m->topic));

	if (!t)
		return;
	if (t->packet_id == m->packet_id && t->publisher == s) {
		t->removed_at = fine ? d->now : 0;
		t->packet_id = 0;
	} else if (t->n_open) {
		t->n_open--;
	}
}

static uint32_t who_is_owed(const struct dues *d, int publisher, const struct packet *p, bool *twice)
{
	uint32_t owed = 0, some = 0, unsure = 0;

	for (unsigned i = 0; i < d->n_subscriptions; i++) {
		const struct subscription *sub = &d->subscriptions[i];
		const struct session *s = &d->sessions[sub->session];
		struct span filter = span_text(sub->filter), group, plain;
		bool shared = share_split(filter, &group, &plain);

		if (!topic_filter_valid(shared ? plain : filter) || !topic_matches(shared ? plain : filter, p->topic))
			continue;
		*twice |= shared || some & 1u << sub->session || s->unknown || sub->packet_id;
		some |= 1u << sub->session;
		if (sub->packet_id)		/* it may be in force by now, or not */
			unsure |= 1u << sub->session;
		if (!shared && !sub->packet_id && sub->qos && !s->spoilt && !s->limited && !(sub->no_local && sub->session == publisher))
			owed |= 1u << sub->session;
	}
	return owed & ~unsure;
}

/* One that is sent again until it is acknowledged is the same. */
static struct message *message_under_way(struct dues *d, int s, uint16_t packet_id)
{
	for (unsigned i = 0; i < d->n_messages; i++)
		if (d->messages[i].publisher == s && d->messages[i].packet_id == packet_id && d->messages[i].taken < COMPLETE)
			return &d->messages[i];
	return NULL;
}

static void publish(struct dues *d, int s, const struct packet *p)
{
	struct message *m = &d->messages[d->n_messages];
	struct value value;
	bool twice = p->flags & PUBLISH_RETAIN;

	if (!p->topic.len) {			/* an alias: which topic it is, and how often it comes, is not looked at */
		d->murky = true;
		return;
	}
	if (publish_qos(p) && message_under_way(d, s, p->packet_id))
		return;
	retain(d, s, p);
	if (d->n_messages == MESSAGES || !keep_text(m->topic, p->topic)) {
		d->full = true;
		return;
	}
	m->hash = hash_of(p->topic, p->payload);
	m->qos = (uint8_t)publish_qos(p);
	m->packet_id = p->packet_id;
	m->publisher = (uint8_t)s;
	m->taken = m->qos ? SENT : REFUSED;
	m->again = m->got = 0;
	m->retain = p->flags & PUBLISH_RETAIN;
	m->owed = who_is_owed(d, s, p, &twice);
	if (!m->qos || p->topic.at[0] == '$' || property_find(p->properties, PROP_message_expiry_interval, &value))
		m->owed = 0;
	m->alone = !twice;
	for (unsigned i = 0; i < d->n_messages; i++)
		if (d->messages[i].hash == m->hash)
			m->alone = d->messages[i].alone = false;
	d->n_messages++;
}

static void acknowledged(struct dues *d, int s, const struct packet *p)
{
	struct message *m = message_under_way(d, s, p->packet_id);
	bool fine = p->reason < 0x80;

	if (!m || (p->type == PUBACK) != (m->qos == 1))
		return;
	if (!fine)
		m->taken = REFUSED;
	else if (p->type == PUBREC)
		m->taken = RECEIVED;
	else if (p->type == PUBACK || m->taken == RECEIVED)
		m->taken = COMPLETE;
	if (m->retain && m->taken >= COMPLETE)
		retained(d, s, m, fine);
}

/* ---- what is delivered ---- */

static struct delivery *delivery_of(struct dues *d, int s, uint16_t packet_id)
{
	for (unsigned i = 0; i < d->n_deliveries[s]; i++)
		if (d->deliveries[s][i].packet_id == packet_id)
			return &d->deliveries[s][i];
	return NULL;
}

static void answered(struct dues *d, int s, const struct packet *p)
{
	struct delivery *delivery = delivery_of(d, s, p->packet_id);

	if (!delivery)
		return;
	if (delivery->message != NOBODY)	/* of an acknowledgement that may not have arrived nobody knows */
		d->messages[delivery->message].owed &= ~(1u << s);
	if (p->type == PUBREC && delivery->qos == 2 && p->reason < 0x80)
		delivery->received = true;
	else
		*delivery = d->deliveries[s][--d->n_deliveries[s]];
}

/* The first that this session has not got yet; else any that looks like it. */
static int message_like(const struct dues *d, int s, uint64_t hash)
{
	int like = NOBODY;

	for (unsigned i = 0; i < d->n_messages; i++) {
		if (d->messages[i].hash != hash)
			continue;
		if (d->messages[i].owed & 1u << s)
			return (int)i;
		like = (int)i;
	}
	return like;
}

static bool delivered(struct dues *d, unsigned client, int s, const struct packet *p, struct span topic, struct due_breach *b)
{
	unsigned qos = publish_qos(p);
	const struct delivery *open = qos ? delivery_of(d, s, p->packet_id) : NULL;
	int i = topic.len ? message_like(d, s, hash_of(topic, p->payload)) : NOBODY;
	struct message *m = i == NOBODY ? NULL : &d->messages[i];
	bool doubled = m && qos == 2 && m->qos == 2 && !open && m->got & 1u << s && m->alone && !d->murky && !d->full;

	if (m) {
		m->owed &= ~(1u << s);
		m->again &= ~(1u << s);
		if (qos == 2)
			m->got |= 1u << s;
	}
	if (qos && !open && d->n_deliveries[s] < sizeof(d->deliveries[s]) / sizeof(*d->deliveries[s]))
		d->deliveries[s][d->n_deliveries[s]++] = (struct delivery){ p->packet_id, (uint8_t)qos, i, false };
	if (doubled && !d->sessions[s].spoilt && !d->sessions[m->publisher].spoilt)
		return breach(b, d->sessions[s].version, "MQTT-4.3.3-2", "MQTT-4.3.3-10", client, "a QoS 2 message was delivered twice", m->topic);
	return true;
}

static bool was_removed(struct dues *d, unsigned client, int s, const struct packet *p, struct span topic, struct due_breach *b)
{
	const struct topic *t = p->flags & PUBLISH_RETAIN && topic.len && !d->murky && !d->full ? topic_of(d, topic) : NULL;
	const struct session *session = &d->sessions[s];

	if (!t || !t->removed_at || session->spoilt || session->subscribed_at <= t->removed_at)
		return true;
	return breach(b, session->version, "MQTT-3.3.1-10", "MQTT-3.3.1-6", client, "a retained message that was removed came to a new subscription", t->name);
}

/* ---- the whole ---- */

void dues_sent(struct dues *d, unsigned client, const struct packet *p, bool lawful)
{
	int s = d->session_of[client];

	d->now++;
	if (!p || !lawful) {
		d->murky |= !p || p->type == CONNECT || p->type == PUBLISH;
		if (!p && s == NOBODY)		/* it may have been a CONNECT, in anybody's name */
			for (unsigned i = 0; i < SESSIONS; i++)
				d->sessions[i].spoilt = true;
		if (p && p->type == CONNECT)
			connect(d, client, p, false);
		spoil(d, client);
		return;
	}
	if (p->type == CONNECT) {
		connect(d, client, p, true);
		return;
	}
	if (s == NOBODY) {			/* before CONNACK, or of a session that did not fit */
		d->murky |= p->type == PUBLISH;
		if (p->type == SUBSCRIBE || p->type == PUBLISH || p->type == UNSUBSCRIBE)
			d->connecting[client].lawful = false;
		return;
	}
	switch (p->type) {
	case PUBLISH:     publish(d, s, p); break;
	case SUBSCRIBE:   subscribe(d, s, p); break;
	case UNSUBSCRIBE: unsubscribe(d, s, p); break;
	case PUBACK:
	case PUBREC:
	case PUBCOMP:     answered(d, s, p); break;
	default:          break;
	}
}

bool dues_received(struct dues *d, unsigned client, const struct packet *p, struct span topic, struct due_breach *b)
{
	int s = d->session_of[client];

	d->now++;
	if (p->type == CONNACK) {
		connack(d, client, p);
		return true;
	}
	if (s == NOBODY)
		return true;
	switch (p->type) {
	case PUBLISH: {
		bool kept = was_removed(d, client, s, p, topic, b);

		return delivered(d, client, s, p, topic, b) && kept;
	}
	case SUBACK:  suback(d, s, p); break;
	case PUBACK:
	case PUBREC:
	case PUBCOMP: acknowledged(d, s, p); break;
	default:      break;
	}
	return true;
}

static bool is_due(const struct message *m, const struct dues *d, int s)
{
	return m->owed & 1u << s && m->taken == COMPLETE && !d->sessions[m->publisher].spoilt;
}

static bool is_judged(const struct dues *d, int s)
{
	return s != NOBODY && d->sessions[s].client != NOBODY && !d->sessions[s].spoilt && !d->sessions[s].limited;
}

uint32_t dues_waiting(const struct dues *d)
{
	uint32_t waiting = 0;

	for (unsigned client = 0; client < DUES_CLIENTS; client++) {
		int s = d->session_of[client];

		for (unsigned i = 0; is_judged(d, s) && i < d->n_messages; i++)
			if (is_due(&d->messages[i], d, s))
				waiting |= 1u << client;
	}
	return waiting;
}

bool dues_judge(const struct dues *d, unsigned client, struct due_breach *b)
{
	int s = d->session_of[client];

	for (unsigned i = 0; is_judged(d, s) && i < d->n_messages; i++) {
		const struct message *m = &d->messages[i];

		if (is_due(m, d, s) && m->again & 1u << s)
			return breach(b, d->sessions[s].version, "MQTT-4.4.0-1", "MQTT-4.4.0-1", client, "what was unacknowledged did not come again when the session was resumed", m->topic);
		if (is_due(m, d, s))
			return breach(b, d->sessions[s].version, "MQTT-4.5.0-1", "MQTT-4.5.0-1", client, "a message that was acknowledged to its publisher never came to its subscriber", m->topic);
	}
	return true;
}

bool dues_judges(enum version version, const char *clause)
{
	static const char *const before_5[] = { "MQTT-4.5.0-1", "MQTT-4.4.0-1", "MQTT-4.3.3-2", "MQTT-3.3.1-10" };
	static const char *const in_5[] = { "MQTT-4.5.0-1", "MQTT-4.4.0-1", "MQTT-4.3.3-10", "MQTT-3.3.1-6" };
	const char *const *list = version == MQTT_5 ? in_5 : before_5;

	for (unsigned i = 0; i < 4; i++)
		if (!strcmp(list[i], clause))
			return true;
	return false;
}
