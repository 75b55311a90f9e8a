#include <string.h>

#include "codec/fields.h"
#include "codec/topic.h"
#include "harness/dues_internal.h"
#include "harness/monitor.h"

uint64_t dues_hash_of(struct span topic, struct span payload)
{
	return monitor_hash_bytes(topic) * 31 ^ monitor_hash_bytes(payload);
}

/* ---- what is published ---- */

static struct topic *topic_of(struct dues *d, struct span name)
{
	for (unsigned i = 0; i < d->n_topics; i++)
		if (span_is(name, d->topics[i].name))
			return &d->topics[i];
	if (d->n_topics == MOST_TOPICS || !dues_keep_text(d->topics[d->n_topics].name, name))
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
	struct topic *t = dues_is_own(d, p->topic) ? topic_of(d, p->topic) : NULL;
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
	struct topic *t = dues_is_own(d, span_text(m->topic)) ? topic_of(d, span_text(m->topic)) : NULL;

	if (!t)
		return;
	if (t->packet_id && t->packet_id == m->packet_id && t->publisher == s) {
		t->removed_at = fine ? d->now : 0;
		t->packet_id = 0;
	} else if (t->n_open) {
		t->n_open--;
	}
}

static uint32_t who_is_owed(const struct dues *d, int publisher, struct span topic, bool *twice, uint32_t *sharing)
{
	uint32_t owed = 0, some = 0, unsure = 0;

	for (unsigned i = 0; i < d->n_subscriptions; i++) {
		const struct subscription *sub = &d->subscriptions[i];
		const struct session *s = &d->sessions[sub->session];
		struct span filter = span_text(sub->filter), group, plain;
		bool shared = share_split(filter, &group, &plain);

		if (!topic_filter_valid(shared ? plain : filter) || !topic_matches(shared ? plain : filter, topic))
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

void dues_publish(struct dues *d, int s, const struct packet *p)
{
	struct message *m = &d->messages[d->n_messages];
	struct message *before = publish_qos(p) ? message_under_way(d, s, p->packet_id) : NULL;
	uint64_t hash = dues_hash_of(p->topic, p->payload);
	uint32_t sharing = 0;
	struct value value;
	bool twice = p->flags & PUBLISH_RETAIN, untold = d->sessions[s].untold;

	if (before && p->topic.len && before->hash == hash && before->qos == publish_qos(p) && !before->released) {
		before->single = false;
		return;
	}
	if (before) {			/* an id in use, of which the monitor need not know: the server may take it for the other, sent again */
		before->taken = before->released ? before->taken : REFUSED;
		d->murky = true;
		dues_spoil(d, (unsigned)d->sessions[s].client);
		return;
	}
	d->sessions[s].untold |= publish_qos(p) > 0;	/* until it is kept */
	if (!p->topic.len) {			/* an alias: which topic it is, and how often it comes, is not looked at */
		d->murky = true;
		return;
	}
	retain(d, s, p);
	if (d->n_messages == MESSAGES || !dues_keep_text(m->topic, p->topic)) {
		d->full = true;
		return;
	}
	d->sessions[s].untold = untold;
	m->hash = hash;
	m->qos = (uint8_t)publish_qos(p);
	m->packet_id = p->packet_id;
	m->publisher = (uint8_t)s;
	m->taken = m->qos ? SENT : REFUSED;
	m->again = m->came = m->got = m->got_0 = 0;
	m->released = false;
	m->retain = p->flags & PUBLISH_RETAIN;
	m->owed = who_is_owed(d, s, p->topic, &twice, &sharing);
	if (!m->qos || p->topic.at[0] == '$' || !dues_is_own(d, p->topic) || p->payload.len > MOST_PAYLOAD || property_find(p->properties, PROP_message_expiry_interval, &value))
		m->owed = 0;
	m->sure = m->owed & ~sharing;
	m->alone = !twice && dues_is_own(d, p->topic) && !dues_is_will(d, hash);
	m->single = !m->retain && dues_is_own(d, p->topic);
	m->withheld = m->single && dues_withholds(d, s, p->topic);
	m->will = false;
	m->shared_to = 0;
	for (unsigned i = 0; i < d->n_messages; i++)
		if (d->messages[i].hash == m->hash)
			m->alone = d->messages[i].alone = m->single = d->messages[i].single = false;
	d->n_messages++;
}

static void looks_alike(struct dues *d, uint64_t hash)
{
	for (unsigned i = 0; i < d->n_messages; i++)
		if (d->messages[i].hash == hash)
			d->messages[i].alone = d->messages[i].single = d->messages[i].withheld = false;
}

static void may_be_retained(struct dues *d, struct span name)
{
	struct topic *t = dues_is_own(d, name) ? topic_of(d, name) : NULL;

	if (t) {
		t->unknown = true;
		t->removed_at = 0;
		t->packet_id = 0;
	}
}

void dues_rumour(struct dues *d, const struct packet *p)
{
	struct message *m = &d->messages[d->n_messages];
	uint64_t hash = dues_hash_of(p->topic, p->payload);

	if (!p->topic.len || d->n_messages == MESSAGES) {
		d->murky = true;
		return;
	}
	if (p->flags & PUBLISH_RETAIN)
		may_be_retained(d, p->topic);
	looks_alike(d, hash);
	*m = (struct message){ .hash = hash, .publisher = SESSIONS, .taken = REFUSED };
	d->n_messages++;
}

/* Nobody says when it is published: what looks like it may be it from now on, and what is retained on its topic, too. */
void dues_may_come(struct dues *d, const struct will *w)
{
	if (w->retain)
		may_be_retained(d, span_text(w->topic));
	looks_alike(d, w->hash);
}

/* To all but its own client, who may have ended that session by the very packet that took it over. */
void dues_publish_will(struct dues *d, struct will *w)
{
	struct message *m = &d->messages[d->n_messages];
	struct span topic = span_text(w->topic);
	uint32_t sharing = 0;
	bool twice = true;

	if (!w->qos || w->delayed || !w->lasting || w->topic[0] == '$' || !dues_is_own(d, topic))
		return;
	if (d->n_messages == MESSAGES) {
		d->full = true;
		return;
	}
	*m = (struct message){ .hash = w->hash, .qos = w->qos, .publisher = (uint8_t)w->session, .taken = COMPLETE, .retain = w->retain, .released = true, .will = true };
	memcpy(m->topic, w->topic, sizeof(m->topic));
	m->owed = who_is_owed(d, w->session, topic, &twice, &sharing) & ~(1u << w->session) & ~w->came;
	m->sure = m->owed & ~sharing;
	w->message = (int)d->n_messages++;
}

/* PUBREL */
void dues_released(struct dues *d, int s, const struct packet *p)
{
	struct message *m = message_under_way(d, s, p->packet_id);

	if (m)
		m->released = true;
}

void dues_acknowledged(struct dues *d, int s, const struct packet *p)
{
	struct message *m = message_under_way(d, s, p->packet_id);
	bool fine = p->reason < 0x80;

	if (!m || (p->type == PUBACK) != (m->qos == 1) || (p->type == PUBCOMP && !m->released))	/* of a PUBREL before it */
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

void dues_answered(struct dues *d, unsigned client, int s, const struct packet *p)
{
	struct delivery *delivery = delivery_of(d, s, p->packet_id);

	if (!delivery) {		/* it may acknowledge what is under way */
		dues_spoil(d, client);
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
bool dues_delivered(struct dues *d, unsigned client, int s, const struct packet *p, struct span topic, struct due_breach *b)
{
	unsigned qos = publish_qos(p);
	const struct delivery *open = qos ? delivery_of(d, s, p->packet_id) : NULL;
	int i = topic.len ? message_like(d, s, dues_hash_of(topic, p->payload)) : NOBODY;
	struct message *m = i == NOBODY ? NULL : &d->messages[i];
	bool live = m && !open && !(p->flags & PUBLISH_RETAIN);
	bool before = live && ((qos == 2 && m->got & 1u << s) || (!qos && m->got_0 & 1u << s));
	bool doubled = before && m->qos == 2 && m->alone && !d->murky && !d->full;

	if (m && m->again & 1u << s)
		came_again(d, s, i, p->packet_id);
	if (m) {
		m->owed &= ~(1u << s);
		m->again &= ~(1u << s);
		m->came |= 1u << s;
	}
	if (live && qos == 2)
		m->got |= 1u << s;
	if (live && !qos)
		m->got_0 |= 1u << s;
	if (qos && !open && d->n_deliveries[s] < sizeof(d->deliveries[s]) / sizeof(*d->deliveries[s]))
		d->deliveries[s][d->n_deliveries[s]++] = (struct delivery){ p->packet_id, (uint8_t)qos, i, false };
	if (doubled && !d->sessions[s].spoilt && !d->sessions[m->publisher].spoilt)
		return dues_tell(b, d->sessions[s].version, "MQTT-4.3.3-2", "MQTT-4.3.3-10", client, "a QoS 2 message was delivered twice", m->topic);
	return true;
}

/* All that it has asked for by which it may come. */
static bool asked_since(const struct dues *d, int s, struct span topic, uint32_t when)
{
	bool some = false;

	for (unsigned i = 0; i < d->n_subscriptions; i++) {
		struct span filter = span_text(d->subscriptions[i].filter), group, plain;
		bool shared = share_split(filter, &group, &plain);

		if (d->subscriptions[i].session != s || !topic_filter_valid(shared ? plain : filter) || !topic_matches(shared ? plain : filter, topic))
			continue;
		if (d->subscriptions[i].asked_at <= when)
			return false;
		some = true;
	}
	return some;
}

bool dues_was_removed(struct dues *d, unsigned client, int s, const struct packet *p, struct span topic, struct due_breach *b)
{
	bool known = p->flags & PUBLISH_RETAIN && p->payload.len && topic.len && dues_is_own(d, topic) && !d->murky && !d->full;
	const struct topic *t = known ? topic_of(d, topic) : NULL;
	const struct session *session = &d->sessions[s];

	if (!t || !t->removed_at || session->spoilt || session->resumed || session->unknown || !asked_since(d, s, topic, t->removed_at) || (t->only_for && t->only_for != client + 1))
		return true;
	return dues_tell(b, session->version, "MQTT-3.3.1-10", "MQTT-3.3.1-6", client, "a retained message that was removed came to a new subscription", t->name);
}
