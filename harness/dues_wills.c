#include <string.h>

#include "codec/fields.h"
#include "harness/dues_internal.h"
#include "harness/monitor.h"

/*
 * Wills: which of them must come, and which must not any more. That one was removed is known where the server cannot have ended the connection for reasons of its own before it read the
 * DISCONNECT: all that was sent before had been answered, nobody else had that client id, and we did not reset the connection, which may lose what was sent last.
 */

static struct will *will_of(struct dues *d, unsigned client)
{
	return d->will_of[client] == NOBODY ? NULL : &d->wills[d->will_of[client]];
}

/* [5 MQTT-3.1.3-9] That the interval of a will without delay has passed before another connection to its session is made, a server need not find. */
static bool may_withdraw(const struct will *w, bool clean)
{
	return is_5(w->version) && !clean;
}

/* Who connects by a client id ends the connection that has it: before its DISCONNECT is read, or behind it. Of two that are not answered yet nobody knows which ends which. */
void dues_will_contested(struct dues *d, uint64_t key, bool clean)
{
	for (struct will *w = d->wills; key && w < d->wills + d->n_wills; w++) {
		if (w->key != key)
			continue;
		if (!w->closed) {
			w->contested = true;
			if (w->state != WILL_ARMED || may_withdraw(w, clean))
				w->state = WILL_LOOSE;
		}
		if (w->message != NOBODY && may_withdraw(w, clean))
			d->messages[w->message].owed = 0;
	}
}

static bool is_connected(const struct dues *d, unsigned client, uint64_t key)
{
	for (unsigned other = 0; key && other < DUES_CLIENTS; other++)
		if (other != client && d->connecting[other].version && d->connecting[other].key == key)
			return true;
	return false;
}

void dues_will_asked(struct dues *d, unsigned client, const struct packet *p)
{
	struct will *w = &d->wills[d->n_wills];
	struct value value;

	d->will_of[client] = NOBODY;
	if (!(p->connect_flags & CONNECT_WILL))
		return;
	if (d->n_wills == WILLS || !dues_keep_text(w->topic, p->will_topic)) {
		d->murky = true;
		return;
	}
	d->will_of[client] = (int)d->n_wills++;
	w->hash = dues_hash_of(p->will_topic, p->will_payload);
	w->key = p->client_id.len ? monitor_key_of(1, p->client_id) : 0;
	w->version = p->version;
	w->qos = (p->connect_flags & CONNECT_WILL_QOS) >> CONNECT_WILL_QOS_SHIFT;
	w->retain = p->connect_flags & CONNECT_WILL_RETAIN;
	w->delayed = property_number(p->will_properties, PROP_will_delay_interval, 0);
	w->lasting = p->will_payload.len <= MOST_PAYLOAD && !property_find(p->will_properties, PROP_message_expiry_interval, &value);
	w->brief = p->keep_alive && p->keep_alive < LONG_KEEP_ALIVE;
	w->state = WILL_ASKED;
	w->closed = false;
	w->contested = is_connected(d, client, w->key);
	w->unanswered = 0;
	w->came = 0;
	w->session = w->message = NOBODY;
	dues_may_come(d, w);
}

void dues_will_accepted(struct dues *d, unsigned client, const struct packet *p)
{
	struct will *w = will_of(d, client);
	int s = d->session_of[client];
	uint64_t keep_alive = property_number(p->properties, PROP_server_keep_alive, 0);

	if (!w || w->state != WILL_ASKED)
		return;
	w->state = s == NOBODY || d->sessions[s].spoilt ? WILL_LOOSE : WILL_ARMED;
	w->session = s;
	w->brief |= keep_alive && keep_alive < LONG_KEEP_ALIVE;
	w->key = s == NOBODY ? w->key : d->sessions[s].key;
}

/* Our side broke a rule: what the server makes of that nobody knows. */
void dues_will_spoilt(struct dues *d, unsigned client)
{
	struct will *w = will_of(d, client);

	if (w && w->state <= WILL_ARMED)
		w->state = WILL_LOOSE;
}

static void said_goodbye(struct will *w, const struct packet *p)
{
	if (is_5(p->version) && p->reason == 0x04)	/* with the will */
		return;
	w->state = (is_5(p->version) && p->reason) || w->state != WILL_ARMED || w->unanswered || w->contested || w->delayed || w->brief ? WILL_LOOSE : WILL_REMOVED;
}

void dues_will_sent(struct dues *d, unsigned client, const struct packet *p)
{
	struct will *w = will_of(d, client);

	if (!w || w->state > WILL_ARMED)
		return;
	if (p->type == DISCONNECT) {
		said_goodbye(w, p);
		return;
	}
	w->unanswered_id = p->type != PINGREQ ? p->packet_id : w->unanswered == PINGREQ ? w->unanswered_id + 1 : 1;
	w->unanswered = p->type == PUBLISH && publish_qos(p) == 2 ? PUBREC : p->type;
}

/* Of the last packet that was sent, behind which all others are. */
void dues_will_answered(struct dues *d, unsigned client, const struct packet *p)
{
	static const uint8_t asks[N_PACKET_TYPES] = {
		[PUBACK] = PUBLISH, [PUBREC] = PUBREC, [PUBCOMP] = PUBREL, [SUBACK] = SUBSCRIBE, [UNSUBACK] = UNSUBSCRIBE, [PINGRESP] = PINGREQ,
	};
	struct will *w = will_of(d, client);

	if (!w || !w->unanswered || asks[p->type] != w->unanswered)
		return;
	if (p->type == PINGRESP && --w->unanswered_id)
		return;
	if (p->type == PINGRESP || p->packet_id == w->unanswered_id)
		w->unanswered = 0;
}

void dues_will_ended(struct dues *d, unsigned client, enum due_end how)
{
	struct will *w = will_of(d, client);

	if (!w || how == DUES_FINISHED)
		return;
	d->will_of[client] = NOBODY;
	if (w->state == WILL_REMOVED) {
		w->closed = how == DUES_CLOSED;
		w->state = w->closed ? WILL_REMOVED : WILL_LOOSE;
		return;
	}
	if (w->state == WILL_ARMED)
		dues_publish_will(d, w);
	w->state = WILL_LOOSE;
}

void dues_will_came(struct dues *d, int s, uint64_t hash)
{
	for (unsigned i = 0; i < d->n_wills; i++)
		if (d->wills[i].hash == hash)
			d->wills[i].came |= 1u << s;
}

bool dues_is_will(const struct dues *d, uint64_t hash)
{
	for (unsigned i = 0; i < d->n_wills; i++)
		if (d->wills[i].hash == hash)
			return true;
	return false;
}

bool dues_will_was_removed(struct dues *d, unsigned client, int s, const struct packet *p, struct span topic, struct due_breach *b)
{
	uint64_t hash = dues_hash_of(topic, p->payload);
	const struct will *removed = NULL;

	if (p->flags & PUBLISH_RETAIN || !topic.len || !dues_is_own(d, topic) || d->murky || d->full || d->sessions[s].unknown || d->sessions[s].spoilt)
		return true;
	for (unsigned i = 0; i < d->n_wills; i++) {
		if (d->wills[i].hash != hash)
			continue;
		if (d->wills[i].state != WILL_REMOVED)
			return true;
		removed = &d->wills[i];
	}
	for (unsigned i = 0; i < d->n_messages; i++)
		if (d->messages[i].hash == hash)
			return true;
	return !removed || dues_tell(b, removed->version, "MQTT-3.14.4-3", "MQTT-3.14.4-3", client, "a will was published although its client had said DISCONNECT", removed->topic);
}
