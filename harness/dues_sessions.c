#include <string.h>

#include "codec/fields.h"
#include "codec/topic.h"
#include "harness/dues_internal.h"
#include "harness/monitor.h"

/* ---- sessions ---- */

static void forget_dues(struct dues *d, int s)
{
	for (unsigned i = 0; i < d->n_messages; i++) {
		d->messages[i].owed &= ~(1u << s);
		d->messages[i].again &= ~(1u << s);
		d->messages[i].sure &= ~(1u << s);
		d->messages[i].came &= ~(1u << s);
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

void dues_spoil(struct dues *d, unsigned client)
{
	struct connecting *c = &d->connecting[client];

	dues_will_spoilt(d, client);
	if (d->session_of[client] != NOBODY)
		d->sessions[d->session_of[client]].spoilt = true;
	c->lawful = false;
	for (int i = 0; c->key && i < SESSIONS; i++)
		if (d->sessions[i].key == c->key)
			d->sessions[i].spoilt = true;
}

void dues_connack(struct dues *d, unsigned client, const struct packet *p)
{
	struct connecting *c = &d->connecting[client];
	struct value assigned;
	struct session *session;
	bool present = !c->clean && p->ack_flags & 1;
	int s;

	if (p->reason || !c->version) {
		dues_will_spoilt(d, client);
		return;
	}
	if (property_find(p->properties, PROP_assigned_client_identifier, &assigned))
		c->key = monitor_key_of(1, assigned.bytes);
	s = c->key ? find_session(d, c->key) : NOBODY;
	d->session_of[client] = s;
	if (s == NOBODY) {
		dues_will_spoilt(d, client);
		return;
	}
	session = &d->sessions[s];
	if (session->key && session->client != NOBODY && session->client != (int)client)
		dues_ended(d, (unsigned)session->client, DUES_LOST);	/* taken over */
	if (!present)
		end_session(d, s);
	*session = (struct session){ .key = c->key, .client = (int)client, .version = c->version, .limited = c->limited, .temporary = c->temporary, .resumed = present,
	                             .spoilt = !c->lawful || (session->key && (session->spoilt || (present && session->untold))), .unknown = present && (!session->key || session->unknown) };
	dues_will_accepted(d, client, p);
}

void dues_connect(struct dues *d, unsigned client, const struct packet *p, bool lawful)
{
	if (d->connecting[client].version)		/* a second one on the connection */
		dues_spoil(d, client);
	bool clean = p->connect_flags & CONNECT_CLEAN_START;
	struct connecting *c = &d->connecting[client];

	*c = (struct connecting){ .version = p->version, .clean = clean, .key = p->client_id.len ? monitor_key_of(1, p->client_id) : 0,
		.lawful = lawful && p->version != MQTT_3_1 && (!p->client_id.len || dues_is_own(d, p->client_id)),
		.limited = property_number(p->properties, PROP_maximum_packet_size, 0) != 0,
		.temporary = is_5(p->version) ? !property_number(p->properties, PROP_session_expiry_interval, 0) : clean };
	/* What was there may be gone, and what is queued let go as too large, even where CONNACK never comes. */
	for (int i = 0; c->key && (clean || c->limited) && i < SESSIONS; i++)
		if (d->sessions[i].key == c->key) {
			end_session(d, i);
			d->sessions[i].unknown = true;
		}
	dues_will_contested(d, c->key, clean);
	dues_will_asked(d, client, p);
	if (!lawful)
		dues_spoil(d, client);
}

void dues_session_over(struct dues *d, unsigned client)
{
	int s = d->session_of[client];

	promises_ended(&d->promises, client, false);
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
		m->alone = m->single = false;
		if (m->publisher == s && (shared || !(options & SUBSCRIBE_NO_LOCAL)))
			m->withheld = false;
		if (shared || gives_less)
			m->sure &= ~(1u << s);
		if (!shared && gives_less)
			m->owed &= ~(1u << s);
	}
}

/* What the first of several brings may come behind the last. */
static uint32_t first_asked(const struct dues *d, int s, const char *filter)
{
	uint32_t first = d->now;

	for (unsigned i = 0; i < d->n_subscriptions; i++)
		if (d->subscriptions[i].session == s && !strcmp(d->subscriptions[i].filter, filter) && d->subscriptions[i].asked_at < first)
			first = d->subscriptions[i].asked_at;
	return first;
}

void dues_subscribe(struct dues *d, int s, const struct packet *p)
{
	struct filter_walk walk = filters_of(p);
	struct span filter;
	uint8_t options, nth = 0;

	for (; filter_next(&walk, &filter, &options); nth++) {
		struct subscription *sub = &d->subscriptions[d->n_subscriptions];

		unsettle(d, s, filter, options);
		if (d->n_subscriptions == SUBSCRIPTIONS || !dues_keep_text(sub->filter, filter)) {
			d->sessions[s].unknown = true;
			continue;
		}
		sub->asked_at = first_asked(d, s, sub->filter);
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
void dues_suback(struct dues *d, int s, const struct packet *p)
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
void dues_unsubscribe(struct dues *d, int s, const struct packet *p)
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
