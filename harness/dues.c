#include "harness/dues_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/escape.h"

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
	d->n_subscriptions = d->n_messages = d->n_topics = d->n_wills = 0;
	d->now = 0;
	promises_begin(&d->promises);
	d->murky = d->full = false;
	for (unsigned i = 0; i < DUES_CLIENTS; i++)
		d->session_of[i] = d->will_of[i] = NOBODY;
}

bool dues_keep_text(char text[TEXT], struct span s)
{
	if (!s.len || s.len >= TEXT || memchr(s.at, 0, s.len))
		return false;
	memcpy(text, s.at, s.len);
	text[s.len] = '\0';
	return true;
}

bool dues_is_own(const struct dues *d, struct span name)
{
	return !d->own_len || (name.len && memmem(name.at, name.len, d->own, d->own_len));
}

bool dues_tell(struct due_breach *b, uint8_t version, const char *before_5, const char *in_5, unsigned client, const char *what, const char *topic)
{
	char safe[160];

	escape_bytes(topic, strlen(topic), safe, sizeof(safe));
	*b = (struct due_breach){ .version = version, .clause = is_5(version) ? in_5 : before_5, .client = client, .type = PUBLISH };
	snprintf(b->text, sizeof(b->text), "%s: topic \"%.150s\"", what, safe);
	return false;
}

/* ---- the whole ---- */

void dues_time(struct dues *d, uint64_t now_ns)
{
	d->now_ns = now_ns;
}

/* may_publish: it may have been a PUBLISH, or a CONNECT, in anybody's name. */
static void unreadable(struct dues *d, unsigned client, bool may_publish)
{
	d->now++;
	promises_sent(&d->promises, d->now_ns, client, NULL, false, false);
	d->murky |= may_publish;
	for (unsigned i = 0; may_publish && d->session_of[client] == NOBODY && i < SESSIONS; i++)
		d->sessions[i].spoilt = true;
	dues_spoil(d, client);
}

void dues_sent_unreadable(struct dues *d, unsigned client, unsigned type)
{
	unreadable(d, client, type == PUBLISH || type == CONNECT);
}

void dues_sent(struct dues *d, unsigned client, const struct packet *p, bool lawful)
{
	int s = d->session_of[client];

	if (!p) {
		unreadable(d, client, true);
		return;
	}
	d->now++;
	promises_sent(&d->promises, d->now_ns, client, p, lawful, p->type == CONNECT && dues_is_own(d, p->client_id));
	if (!lawful) {
		if (p->type == PUBLISH)
			dues_rumour(d, p);
		if (p->type == CONNECT)
			dues_connect(d, client, p, false);
		dues_spoil(d, client);
		return;
	}
	if (p->type == CONNECT) {
		dues_connect(d, client, p, true);
		return;
	}
	dues_will_sent(d, client, p);
	if (s == NOBODY) {			/* before CONNACK, or of a session that did not fit */
		if (p->type == PUBLISH)
			dues_rumour(d, p);
		if (p->type == SUBSCRIBE || p->type == UNSUBSCRIBE || (p->type >= PUBLISH && p->type <= PUBCOMP))
			dues_spoil(d, client);
		return;
	}
	switch (p->type) {
	case PUBLISH:     dues_publish(d, s, p); break;
	case SUBSCRIBE:   dues_subscribe(d, s, p); break;
	case UNSUBSCRIBE: dues_unsubscribe(d, s, p); break;
	case PUBACK:
	case PUBREC:
	case PUBCOMP:     dues_answered(d, client, s, p); break;
	case PUBREL:      dues_released(d, s, p); break;
	case DISCONNECT:  dues_session_over(d, client); break;
	default:          break;
	}
}

static bool received(struct dues *d, unsigned client, const struct packet *p, struct span topic, struct due_breach *b)
{
	int s = d->session_of[client];

	if (p->type == CONNACK) {
		dues_connack(d, client, p);
		return true;
	}
	dues_will_answered(d, client, p);
	if (s == NOBODY)
		return true;
	switch (p->type) {
	case PUBLISH: {
		bool fine = dues_was_removed(d, client, s, p, topic, b);

		fine = dues_will_was_removed(d, client, s, p, topic, b) && fine;
		fine = dues_routed(d, client, s, p, topic, b) && fine;
		return dues_delivered(d, client, s, p, topic, b) && fine;
	}
	case DISCONNECT: dues_session_over(d, client); break;
	case SUBACK:  dues_suback(d, s, p); break;
	case PUBACK:
	case PUBREC:
	case PUBCOMP: dues_acknowledged(d, s, p); break;
	default:      break;
	}
	return true;
}

bool dues_received(struct dues *d, unsigned client, const struct packet *p, struct span topic, struct due_breach *b)
{
	bool kept;

	d->now++;
	kept = promises_received(&d->promises, d->now_ns, client, p, b);
	return received(d, client, p, topic, b) && kept;
}

void dues_ended(struct dues *d, unsigned client, enum due_end how)
{
	promises_ended(&d->promises, client, how == DUES_CLOSED || how == DUES_BROKEN);
	dues_will_ended(d, client, how);
	dues_session_over(d, client);
}

/* What came for another that looks like it, and need not have come, may have been this one. */
static bool may_have_come(const struct message *m, const struct dues *d, int s)
{
	for (const struct message *other = d->messages; !m->alone && other < d->messages + d->n_messages; other++)
		if (other->hash == m->hash && other->taken != COMPLETE && other->came & 1u << s)
			return true;
	return false;
}

static bool is_due(const struct message *m, const struct dues *d, int s)
{
	return m->owed & 1u << s && m->taken == COMPLETE && !d->sessions[m->publisher].spoilt && !may_have_come(m, d, s);
}

static bool is_judged(const struct dues *d, int s)
{
	return s != NOBODY && d->sessions[s].client != NOBODY && !d->sessions[s].spoilt && !d->sessions[s].limited;
}

/* It is due as soon as its publisher has done his part. */
static bool is_released_by(const struct message *m, int s)
{
	return m->publisher == s && m->taken == RECEIVED && m->owed;
}

uint32_t dues_waiting(const struct dues *d)
{
	uint32_t waiting = 0;

	for (unsigned client = 0; client < DUES_CLIENTS; client++) {
		int s = d->session_of[client];

		for (unsigned i = 0; is_judged(d, s) && i < d->n_messages; i++)
			if (is_due(&d->messages[i], d, s) || is_released_by(&d->messages[i], s))
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
			return dues_tell(b, d->sessions[s].version, "MQTT-4.4.0-1", "MQTT-4.4.0-1", client, "what was unacknowledged did not come again when the session was resumed", m->topic);
		if (is_due(m, d, s) && m->will)
			return dues_tell(b, d->sessions[s].version, "MQTT-3.1.2-8", "MQTT-3.1.2-8", client, "a will never came although its connection ended without DISCONNECT", m->topic);
		if (is_due(m, d, s))
			return dues_tell(b, d->sessions[s].version, "MQTT-4.5.0-1", "MQTT-4.5.0-1", client, "a message that was acknowledged to its publisher never came to its subscriber", m->topic);
	}
	return true;
}

static bool is_among(const char *const *list, const char *clause)
{
	while (*list && strcmp(*list, clause))
		list++;
	return *list;
}

bool dues_is_misrouted(const char *clause)
{
	static const char *const clauses[] = { "MQTT-3.14.4-3", "MQTT-3.8.3-3", "MQTT-4.7.2-1", "shared-one-member", NULL };

	return is_among(clauses, clause);
}

bool dues_judges(enum version version, const char *clause)
{
	static const char *const before_5[] = { "MQTT-4.3.3-2", "MQTT-3.3.1-10", NULL };
	static const char *const in_5[] = { "MQTT-4.3.3-10", "MQTT-3.3.1-6", "MQTT-3.8.3-3", "shared-one-member", NULL };
	static const char *const both[] = { "MQTT-4.5.0-1", "MQTT-4.4.0-1", "MQTT-3.1.2-8", "MQTT-3.14.4-3", "MQTT-4.7.2-1", NULL };

	return is_among(both, clause) || is_among(version == MQTT_5 ? in_5 : before_5, clause) || promises_judge(version, clause);
}
