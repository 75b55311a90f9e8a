#include "harness/dues.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/fields.h"
#include "codec/topic.h"
#include "harness/escape.h"
#include "harness/monitor.h"

enum { SESSIONS = 32, SUBSCRIPTIONS = 96, MESSAGES = 160, MOST_TOPICS = 48, TEXT = 128, OWN = 16, MOST_PAYLOAD = 1 << 14, NOBODY = -1 };

struct session {			/* at the broker, of one client id */
	uint64_t key;			/* 0: this place is free */
	int client;			/* that has it; NOBODY */
	uint32_t subscribed_at;		/* the first SUBSCRIBE of its connection; 0: none */
	uint8_t version;
	bool limited;			/* a Maximum Packet Size */
	bool temporary;			/* it ends with its connection */
	bool resumed;			/* by its connection: something of before may come on it */
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
	uint32_t sure;			/* that were owed it when it was published, and by no shared subscription as well */
	uint32_t got, got_0;		/* that got it at QoS 2; at QoS 0, on the connection they have */
	uint16_t packet_id;
	uint8_t publisher, qos, taken;	/* enum taken */
	bool retain;
	bool released;			/* PUBREL was sent: its packet id may mean another by now */
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
	uint32_t loose;			/* bit per client that has published what is retained there at QoS 0 on the connection it has */
	uint16_t packet_id;		/* of the PUBLISH that removes it; 0: none is under way */
	uint8_t publisher, n_open;	/* messages to be retained that are not acknowledged yet */
	uint8_t only_for;		/* removed at QoS 0: what the client of that number less one sends is behind it; 0: for anybody */
	bool unknown;
};

struct dues {
	struct session sessions[SESSIONS];
	struct subscription subscriptions[SUBSCRIPTIONS];
	struct message messages[MESSAGES];
	struct topic topics[MOST_TOPICS];
	struct delivery deliveries[SESSIONS][64];
	int session_of[DUES_CLIENTS];	/* by client; NOBODY before CONNACK */
	struct connecting { uint64_t key; uint8_t version; bool clean, limited, temporary, lawful; } connecting[DUES_CLIENTS];
	uint32_t now;			/* counts packets */
	unsigned n_subscriptions, n_messages, n_topics;
	uint8_t n_deliveries[SESSIONS];
	bool murky;			/* something unreadable was sent */
	bool full;			/* messages did not fit */
	uint8_t own[OWN];		/* only names with this in them are nobody else's */
	size_t own_len;
};

struct dues *dues_new(void)
{
	struct dues *d = calloc(1, sizeof(*d));

	if (d)
		dues_begin(d, (struct span){ 0 });
	return d;
}

void dues_free(struct dues *d)
{
	free(d);
}

void dues_begin(struct dues *d, struct span own)
{
	d->own_len = own.len <= OWN ? own.len : 0;
	if (d->own_len)
		memcpy(d->own, own.at, own.len);
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

static bool is_own(const struct dues *d, struct span name)
{
	return !d->own_len || (name.len && memmem(name.at, name.len, d->own, d->own_len));
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
		d->messages[i].sure &= ~(1u << s);
		d->messages[i].got &= ~(1u << s);
		d->messages[i].got_0 &= ~(1u << s);
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
	bool present = !c->clean && p->ack_flags & 1;
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
	if (!present)
		end_session(d, s);
	*session = (struct session){ .key = c->key, .client = (int)client, .version = c->version, .limited = c->limited, .temporary = c->temporary, .resumed = present,
	                             .spoilt = !c->lawful || (session->key && session->spoilt), .unknown = present && (!session->key || session->unknown) };
}

static void connect(struct dues *d, unsigned client, const struct packet *p, bool lawful)
{
	if (d->connecting[client].version)		/* a second one on the connection */
		spoil(d, client);
	bool clean = p->connect_flags & CONNECT_CLEAN_START;
	struct connecting *c = &d->connecting[client];

	*c = (struct connecting){ .version = p->version, .clean = clean, .key = p->client_id.len ? monitor_key_of(1, p->client_id) : 0,
		.lawful = lawful && p->version != MQTT_3_1 && (!p->client_id.len || is_own(d, p->client_id)),
		.limited = property_number(p->properties, PROP_maximum_packet_size, 0) != 0,
		.temporary = is_5(p->version) ? !property_number(p->properties, PROP_session_expiry_interval, 0) : clean };
	/* What was there may be gone, and what is queued let go as too large, even where CONNACK never comes. */
	for (int i = 0; c->key && (clean || c->limited) && i < SESSIONS; i++)
		if (d->sessions[i].key == c->key) {
			end_session(d, i);
			d->sessions[i].unknown = true;
		}
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
	for (struct topic *t = d->topics; t < d->topics + d->n_topics; t++) {	/* of QoS 0 nobody knows what has arrived, and when */
		t->unknown |= t->loose >> client & 1;
		t->loose &= ~(1u << client);
		if (t->only_for == client + 1)
			t->removed_at = t->only_for = 0;
	}
	if (s == NOBODY || d->sessions[s].client != (int)client)
		return;
	d->sessions[s].client = NOBODY;
	d->sessions[s].subscribed_at = 0;
	if (d->sessions[s].temporary) {
		end_session(d, s);
		d->sessions[s].unknown = true;
		return;
	}
	for (unsigned i = 0; i < d->n_messages; i++)
		d->messages[i].got_0 &= ~(1u << s);
	/* What it has not acknowledged is to come again, when the session is resumed. */
	for (unsigned i = 0; i < d->n_deliveries[s]; i++) {
		const struct delivery *delivery = &d->deliveries[s][i];
		struct message *m = delivery->message == NOBODY ? NULL : &d->messages[delivery->message];

		if (!m)
			continue;
		m->got &= ~(1u << s);
		if (!delivery->received && m->sure & 1u << s) {
			m->owed |= 1u << s;
			m->again |= 1u << s;
		}
	}
	for (unsigned i = 0; i < d->n_subscriptions; i++)	/* nobody knows what became of those */
		if (d->subscriptions[i].session == s && d->subscriptions[i].packet_id)
			d->sessions[s].unknown = d->sessions[s].spoilt = true;
}

/* ---- subscriptions ---- */

/* While routing goes on it may meet what was published before, too. */
static void unsettle(struct dues *d, int s, struct span filter, unsigned options)
{
	struct span group, plain;
	bool shared = share_split(filter, &group, &plain), gives_less = !(options & SUBSCRIBE_QOS) || options & SUBSCRIBE_NO_LOCAL;

	if (!topic_filter_valid(shared ? plain : filter))
		return;
	for (struct message *m = d->messages; m < d->messages + d->n_messages; m++) {
		if (!topic_matches(shared ? plain : filter, span_text(m->topic)))
			continue;
		m->alone = false;
		if (shared || gives_less)
			m->sure &= ~(1u << s);
		if (!shared && gives_less)
			m->owed &= ~(1u << s);
	}
}

static void subscribe(struct dues *d, int s, const struct packet *p)
{
	struct filter_walk walk = filters_of(p);
	struct span filter;
	uint8_t options, nth = 0;

	d->sessions[s].subscribed_at = d->sessions[s].subscribed_at ? d->sessions[s].subscribed_at : d->now;
	for (; filter_next(&walk, &filter, &options); nth++) {
		struct subscription *sub = &d->subscriptions[d->n_subscriptions];

		unsettle(d, s, filter, options);
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

static void drop_granted(struct dues *d, int s, const char *filter)
{
	for (unsigned i = 0; i < d->n_subscriptions; i++)
		if (d->subscriptions[i].session == s && !d->subscriptions[i].packet_id && !strcmp(d->subscriptions[i].filter, filter)) {
			drop_subscription(d, i);
			return;
		}
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
		struct subscription is = *sub;
		uint8_t code = is.nth < p->list.len ? p->list.at[is.nth] : 0x80;

		drop_subscription(d, i);
		i = 0;			/* places have changed */
		drop_granted(d, s, is.filter);
		if (code > 2) {		/* what there was before may have stayed */
			d->sessions[s].unknown = true;
			unsettle(d, s, span_text(is.filter), 0);
			continue;
		}
		if (!code)
			unsettle(d, s, span_text(is.filter), 0);
		is.packet_id = 0;
		is.qos = code;
		d->subscriptions[d->n_subscriptions++] = is;
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
		for (unsigned i = 0; i < d->n_subscriptions;)	/* one that is granted, and one that waits for its SUBACK */
			if (d->subscriptions[i].session == s && span_is(filter, d->subscriptions[i].filter))
				drop_subscription(d, i);
			else
				i++;
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
	t->removed_at = t->loose = 0;
	t->packet_id = t->n_open = t->only_for = 0;
	t->unknown = false;
	return t;
}

/*
 * A topic is known to be empty from the acknowledgement of its removal on, when nothing else was under way. What is removed at QoS 0 is so for what the same connection asks for next.
 */
static void retain(struct dues *d, int s, const struct packet *p)
{
	struct topic *t = is_own(d, p->topic) ? topic_of(d, p->topic) : NULL;
	unsigned client = (unsigned)d->sessions[s].client, qos = publish_qos(p);

	if (!t)
		return;
	t->removed_at = t->only_for = 0;
	t->packet_id = 0;
	if (!(p->flags & PUBLISH_RETAIN))
		return;
	if (p->payload.len && qos) {
		t->n_open++;
	} else if (p->payload.len) {
		t->loose |= 1u << client;
	} else if (!t->n_open && !t->unknown && !(t->loose & ~(1u << client))) {
		t->loose = 0;
		t->removed_at = qos ? 0 : d->now;
		t->only_for = (uint8_t)(qos ? 0 : client + 1);
		t->packet_id = qos ? p->packet_id : 0;
		t->publisher = (uint8_t)s;
	}
}

static void retained(struct dues *d, int s, const struct message *m, bool fine)
{
	struct topic *t = is_own(d, span_text(m->topic)) ? topic_of(d, span_text(m->topic)) : NULL;

	if (!t)
		return;
	if (t->packet_id && t->packet_id == m->packet_id && t->publisher == s) {
		t->removed_at = fine ? d->now : 0;
		t->packet_id = 0;
	} else if (t->n_open) {
		t->n_open--;
	}
}

static uint32_t who_is_owed(const struct dues *d, int publisher, const struct packet *p, bool *twice, uint32_t *sharing)
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
		if (shared)
			*sharing |= 1u << sub->session;
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
	struct message *before = publish_qos(p) ? message_under_way(d, s, p->packet_id) : NULL;
	uint64_t hash = hash_of(p->topic, p->payload);
	uint32_t sharing = 0;
	struct value value;
	bool twice = p->flags & PUBLISH_RETAIN;

	if (!p->topic.len) {			/* an alias: which topic it is, and how often it comes, is not looked at */
		d->murky = true;
		return;
	}
	if (before && before->hash == hash && before->qos == publish_qos(p) && !before->released)
		return;
	if (before && !before->released)	/* whichever of them is acknowledged */
		before->taken = REFUSED;
	retain(d, s, p);
	if (d->n_messages == MESSAGES || !keep_text(m->topic, p->topic)) {
		d->full = true;
		return;
	}
	m->hash = hash;
	m->qos = (uint8_t)publish_qos(p);
	m->packet_id = p->packet_id;
	m->publisher = (uint8_t)s;
	m->taken = m->qos ? SENT : REFUSED;
	m->again = m->got = m->got_0 = 0;
	m->released = false;
	m->retain = p->flags & PUBLISH_RETAIN;
	m->owed = who_is_owed(d, s, p, &twice, &sharing);
	if (!m->qos || p->topic.at[0] == '$' || !is_own(d, p->topic) || p->payload.len > MOST_PAYLOAD || property_find(p->properties, PROP_message_expiry_interval, &value))
		m->owed = 0;
	m->sure = m->owed & ~sharing;
	m->alone = !twice && is_own(d, p->topic);
	for (unsigned i = 0; i < d->n_messages; i++)
		if (d->messages[i].hash == m->hash)
			m->alone = d->messages[i].alone = false;
	d->n_messages++;
}

/* PUBREL */
static void released(struct dues *d, int s, const struct packet *p)
{
	struct message *m = message_under_way(d, s, p->packet_id);

	if (m)
		m->released = true;
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

static void answered(struct dues *d, unsigned client, int s, const struct packet *p)
{
	struct delivery *delivery = delivery_of(d, s, p->packet_id);

	if (!delivery) {		/* it may acknowledge what is under way */
		spoil(d, client);
		return;
	}
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

/* Under whichever packet id it comes again, it is one. */
static void came_again(struct dues *d, int s, int message, uint16_t packet_id)
{
	for (unsigned i = 0; i < d->n_deliveries[s];)
		if (d->deliveries[s][i].message == message && d->deliveries[s][i].packet_id != packet_id && !d->deliveries[s][i].received)
			d->deliveries[s][i] = d->deliveries[s][--d->n_deliveries[s]];
		else
			i++;
}

/* What is retained comes to whoever subscribes, as often as he does. */
static bool delivered(struct dues *d, unsigned client, int s, const struct packet *p, struct span topic, struct due_breach *b)
{
	unsigned qos = publish_qos(p);
	const struct delivery *open = qos ? delivery_of(d, s, p->packet_id) : NULL;
	int i = topic.len ? message_like(d, s, hash_of(topic, p->payload)) : NOBODY;
	struct message *m = i == NOBODY ? NULL : &d->messages[i];
	bool live = m && !open && !(p->flags & PUBLISH_RETAIN);
	bool before = live && ((qos == 2 && m->got & 1u << s) || (!qos && m->got_0 & 1u << s));
	bool doubled = before && m->qos == 2 && m->alone && !d->murky && !d->full;

	if (m && m->again & 1u << s)
		came_again(d, s, i, p->packet_id);
	if (m) {
		m->owed &= ~(1u << s);
		m->again &= ~(1u << s);
	}
	if (live && qos == 2)
		m->got |= 1u << s;
	if (live && !qos)
		m->got_0 |= 1u << s;
	if (qos && !open && d->n_deliveries[s] < sizeof(d->deliveries[s]) / sizeof(*d->deliveries[s]))
		d->deliveries[s][d->n_deliveries[s]++] = (struct delivery){ p->packet_id, (uint8_t)qos, i, false };
	if (doubled && !d->sessions[s].spoilt && !d->sessions[m->publisher].spoilt)
		return breach(b, d->sessions[s].version, "MQTT-4.3.3-2", "MQTT-4.3.3-10", client, "a QoS 2 message was delivered twice", m->topic);
	return true;
}

static bool was_removed(struct dues *d, unsigned client, int s, const struct packet *p, struct span topic, struct due_breach *b)
{
	bool known = p->flags & PUBLISH_RETAIN && p->payload.len && topic.len && is_own(d, topic) && !d->murky && !d->full;
	const struct topic *t = known ? topic_of(d, topic) : NULL;
	const struct session *session = &d->sessions[s];

	if (!t || !t->removed_at || session->spoilt || session->resumed || session->subscribed_at <= t->removed_at || (t->only_for && t->only_for != client + 1))
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
		if (p->type == SUBSCRIBE || p->type == UNSUBSCRIBE || (p->type >= PUBLISH && p->type <= PUBCOMP))
			spoil(d, client);
		return;
	}
	switch (p->type) {
	case PUBLISH:     publish(d, s, p); break;
	case SUBSCRIBE:   subscribe(d, s, p); break;
	case UNSUBSCRIBE: unsubscribe(d, s, p); break;
	case PUBACK:
	case PUBREC:
	case PUBCOMP:     answered(d, client, s, p); break;
	case PUBREL:      released(d, s, p); break;
	case DISCONNECT:  dues_ended(d, client); break;
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
	case DISCONNECT:
		dues_ended(d, client);
		break;
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
