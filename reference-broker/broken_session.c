#include "reference-broker/broken.h"

/* Faults of what outlives a packet: what is stored, resumed and timed. */

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
