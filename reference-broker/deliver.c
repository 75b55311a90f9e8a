#include "reference-broker/broken.h"
#include "reference-broker/internal.h"

#include <assert.h>
#include <stdlib.h>

#define OUT_ALIASES_MAX 16	/* looked through one by one */

/* ---- lists, and the window of packet ids ---- */

static void append(struct delivery_list *list, struct delivery *d)
{
	d->next = NULL;
	d->prev = list->last;
	if (list->last)
		list->last->next = d;
	else
		list->first = d;
	list->last = d;
}

static void unlink_from(struct delivery_list *list, struct delivery *d)
{
	if (d->prev)
		d->prev->next = d->next;
	else
		list->first = d->next;
	if (d->next)
		d->next->prev = d->prev;
	else
		list->last = d->prev;
}

/*
 * A packet id's place is its low bits. Ids are handed out so that no two in use share a place, and the
 * window doubles before it is half full: finding one is a single look, and taking one is a few.
 */
size_t window_cost(uint32_t size)
{
	return size > WINDOW_FREE ? heap_size(size * sizeof(struct delivery *)) : 0;
}

static bool window_grow(struct session *s)
{
	uint32_t size = s->window_size ? s->window_size * 2 : WINDOW_FREE;
	size_t more = window_cost(size) - window_cost(s->window_size);
	struct delivery **window;

	if (size > 65536)
		return s->n_window < 65535;
	if (!memory_take(s->broker, more))	/* what there is can be filled, and its answers bring us back here */
		return s->n_window + 1 < s->window_size;
	window = calloc(size, sizeof(struct delivery *));
	if (!window) {
		memory_give(s->broker, more);
		return s->n_window + 1 < s->window_size;
	}
	for (uint32_t i = 0; i < s->window_size; i++)
		if (s->window[i])
			window[s->window[i]->packet_id & (size - 1)] = s->window[i];
	free(s->window);
	s->window = window;
	s->window_size = size;
	return true;
}

/* [MQTT-2.3.1-4] [5 MQTT-2.2.1-4] an id not in use; false when there is none */
static bool window_take(struct session *s, struct delivery *d)
{
	if (s->n_window * 2 >= s->window_size && !window_grow(s))
		return false;
	do {
		if (!++s->last_id)
			s->last_id = 1;
	} while (s->window[s->last_id & (s->window_size - 1)]);
	d->packet_id = s->last_id;
	s->window[d->packet_id & (s->window_size - 1)] = d;
	s->n_window++;
	return true;
}

static struct delivery *window_find(const struct session *s, uint16_t packet_id)
{
	struct delivery *d = s->window_size ? s->window[packet_id & (s->window_size - 1)] : NULL;

	return d && d->packet_id == packet_id ? d : NULL;
}

static void window_give(struct session *s, struct delivery *d)
{
	if (!d->packet_id)
		return;
	s->window[d->packet_id & (s->window_size - 1)] = NULL;
	d->packet_id = 0;
	if (--s->n_window)
		return;
	memory_give(s->broker, window_cost(s->window_size));
	free(s->window);
	s->window = NULL;
	s->window_size = 0;
}

size_t delivery_size(size_t n_ids)
{
	return heap_size(sizeof(struct delivery) + n_ids * sizeof(uint32_t));
}

static void discard(struct session *s, struct delivery *d)
{
	if (s->unsent == d)
		s->unsent = d->next;
	unlink_from(d->state == RELEASED ? &s->released : &s->open, d);
	window_give(s, d);
	message_unref(s->broker, d->message);
	memory_give(s->broker, delivery_size(d->n_ids));
	s->n_kept--;
	free(d);
}

void deliveries_release(struct session *s)
{
	while (s->open.first)
		discard(s, s->open.first);
	while (s->released.first)
		discard(s, s->released.first);
}

void delivery_pass_on(struct session *s, const struct delivery *d)
{
	struct subscription *sub = d->group ? s->subscriptions : NULL;

	while (sub && sub->group != d->group)	/* still a member, so the group is still there */
		sub = sub->next_of_session;
	if (sub && !message_expired(d->message, s->broker->now_ns))
		route_again(s, sub->group, d->message);
}

static int by_group(const void *a, const void *b)
{
	uintptr_t x = (uintptr_t)(*(struct subscription *const *)a)->group, y = (uintptr_t)(*(struct subscription *const *)b)->group;

	return (x > y) - (x < y);
}

static int group_of(const void *group, const void *member)
{
	uintptr_t x = (uintptr_t)group, y = (uintptr_t)(*(struct subscription *const *)member)->group;

	return (x > y) - (x < y);
}

/*
 * Before a session ends: what was meant for anybody of a shared subscription goes to another member, but
 * for QoS 2 whose delivery has begun. [5 MQTT-4.8.2-5] A delivery's group may be gone by now: only the groups that
 * the session still belongs to are known to be there.
 */
void deliveries_pass_on(struct session *s)
{
	struct subscription **members, **found;
	size_t n = 0;

	for (struct subscription *sub = s->subscriptions; sub; sub = sub->next_of_session)
		n += sub->group != NULL;
	members = n ? malloc(n * sizeof(*members)) : NULL;
	if (!members)
		return;
	n = 0;
	for (struct subscription *sub = s->subscriptions; sub; sub = sub->next_of_session)
		if (sub->group)
			members[n++] = sub;
	qsort(members, n, sizeof(*members), by_group);
	for (struct delivery *d = s->open.first; d; d = d->next) {
		if (!d->group || !passed_on(s, d->qos == 1 || d->state == QUEUED) || message_expired(d->message, s->broker->now_ns))
			continue;
		found = bsearch(d->group, members, n, sizeof(*members), group_of);
		if (found)
			route_again(s, (*found)->group, d->message);
	}
	free(members);
}

void deliveries_rename(struct session *s)
{
	for (struct delivery *d = s->open.first; d && d->packet_id; d = d->next) {
		window_give(s, d);
		s->last_id += 100;
		if (!window_take(s, d))
			return;
	}
}

/* ---- sending ---- */

static size_t properties_room(const struct message *m, size_t n_ids)
{
	return m->properties_len + 5 + n_ids * 5 + 3;
}

/* The properties that a PUBLISH carries on this link, in the broker's scratch, where room_for() has made room. */
static struct span properties_for(struct link *link, const struct message *m, const uint32_t *ids, size_t n_ids,
                                  unsigned alias)
{
	struct buffer *scratch = &link->broker->scratch;
	struct span stored = message_properties(m);
	struct writer w;

	if (link->version != MQTT_5 || !(stored.len || n_ids || m->has_expiry || alias))
		return (struct span){ 0 };
	assert(scratch->cap >= properties_room(m, n_ids));
	w = writer_to(scratch->at, scratch->cap);
	if (m->has_expiry)
		property_write_number(&w, PROP_message_expiry_interval,
		                      expiry_by_fault(link, m, message_life(m, link->broker->now_ns)));
	wr_bytes(&w, stored);		/* [5 MQTT-3.3.2-17] [5 MQTT-3.3.2-18] and the rest, as they came */
	for (size_t i = 0; i < n_ids; i++)
		property_write_number(&w, PROP_subscription_identifier, ids[i]);
	if (alias)
		property_write_number(&w, PROP_topic_alias, alias);
	return wr_span(&w);
}

/* [5 MQTT-3.1.2-26] [5 MQTT-3.1.2-27] The topic's alias, the next free one, or 0 for none. */
static unsigned alias_for(const struct link *link, struct span topic)
{
	unsigned most = link->alias_maximum < OUT_ALIASES_MAX ? link->alias_maximum : OUT_ALIASES_MAX;

	if (!most || topic.len <= 3 || broken(link, ALIAS_ABOVE_MAXIMUM) || broken(link, ALIAS_ZERO_SENT))
		return 0;		/* shorter than the property */
	for (unsigned i = 0; i < link->n_out_aliases; i++)
		if (span_equal(link->out_aliases[i], topic))
			return i + 1;
	return link->n_out_aliases < most ? link->n_out_aliases + 1u : 0;
}

/* Makes room for one more alias and a copy of its topic; without it the alias is not used. */
static bool alias_reserve(struct link *link, struct span topic)
{
	struct broker *b = link->broker;
	size_t size = topic.len + sizeof(struct span);
	struct span *aliases;
	uint8_t *copy;

	if (!memory_take(b, size))
		return false;
	aliases = realloc(link->out_aliases, (link->n_out_aliases + 1u) * sizeof(*aliases));
	if (aliases)
		link->out_aliases = aliases;
	copy = aliases ? malloc(topic.len) : NULL;
	if (!copy) {
		memory_give(b, size);
		return false;
	}
	memcpy(copy, topic.at, topic.len);
	aliases[link->n_out_aliases++] = span_of(copy, topic.len);
	return true;
}

static void alias_forget_last(struct link *link)
{
	struct span *last = &link->out_aliases[--link->n_out_aliases];

	memory_give(link->broker, last->len + sizeof(*last));
	free((void *)last->at);
}

/*
 * By an alias where the client takes them. False when that did not do, since with the
 * property the packet may be larger than the client takes: it is to be sent without.
 */
static bool send_by_alias(struct link *link, struct packet *p, const struct message *m, const uint32_t *ids, size_t n_ids)
{
	unsigned alias = link->alias_maximum ? alias_for(link, p->topic) : 0;
	bool fresh = alias > link->n_out_aliases;
	struct packet by_alias = *p;

	if (!alias || (fresh && !alias_reserve(link, p->topic)))
		return false;
	if (!fresh)
		by_alias.topic = (struct span){ 0 };
	by_alias.properties = properties_for(link, m, ids, n_ids, alias);
	if (link_send(link, &by_alias))
		return true;
	if (fresh)
		alias_forget_last(link);
	return false;
}

/* False when the packet would be too large for the client: it counts as delivered. [5 MQTT-3.1.2-25] */
static bool send_publish(struct link *link, const struct message *m, const struct delivery *d, bool dup,
                         const uint32_t *ids, size_t n_ids)
{
	struct packet p = {
		.type = PUBLISH, .packet_id = d->packet_id,
		.flags = (uint8_t)(d->qos << PUBLISH_QOS_SHIFT | (d->retain ? PUBLISH_RETAIN : 0) | (dup ? PUBLISH_DUP : 0)),
		.topic = message_topic(m), .payload = message_payload(m),
	};
	bool sent;

	link->broker->sending = m;
	link->broker->work += 1 + (m->payload_len + m->properties_len) / 256 + n_ids / 8;
	link->broker->stats.sent++;
	if (send_by_alias(link, &p, m, ids, n_ids))
		return true;
	p.properties = properties_for(link, m, ids, n_ids, 0);
	sent = link_send(link, &p);
	if (!sent) {
		link->broker->stats.sent--;
		link->broker->stats.dropped++;
	}
	if (link->broker->scratch.cap > SPARE_SIZE_MAX)		/* it is not counted, so it does not last */
		buffer_release(&link->broker->scratch);
	return sent;
}

static void send_pubrel(struct link *link, uint16_t packet_id, unsigned reason)
{
	struct packet p = { .type = PUBREL, .flags = 2, .packet_id = packet_id, .reason = (uint8_t)reason };

	if (link->version == MQTT_5 && reason)
		p.written = WRITTEN_REASON;
	link_answer(link, &p, reason ? "no open QoS 2 flow has this packet identifier" : NULL);
}

/* For its PUBLISH to be sent; what is too large for the client needs none. */
static bool room_for(struct link *link, const struct delivery *d)
{
	const struct message *m = d->message;
	struct buffer *scratch = &link->broker->scratch;

	scratch->len = 0;
	if (link->version == MQTT_5 && !buffer_reserve(scratch, properties_room(m, d->n_ids)))
		return false;
	return link_has_room(link, 80 + m->topic_len + m->properties_len + m->payload_len + d->n_ids * 5u);
}

void deliver_pump(struct link *link)
{
	struct broker *b = link->broker;
	struct session *s = link->session;
	struct delivery *d;

	if (s->wanted && !link->work.slot && !link->starved)	/* there may be room for them now */
		deadline_set(&b->deadlines, &link->work, b->now_ns + 1);
	while ((d = s->unsent) && link->out.len < b->config.max_output && !link->starved) {
		bool first = d->state == QUEUED;

		/* [5 MQTT-3.3.4-9] [5 MQTT-4.9.0-2] */
		if (link->n_unacked + broken(link, WINDOW_ONE_LESS) >= link->receive_maximum && !broken(link, WINDOW_IGNORED))
			return;
		/* [5 MQTT-3.3.2-5] and [5 MQTT-4.3.3-7]: what has begun does not expire */
		if ((first || broken(link, STARTED_EXPIRES)) && message_expired(d->message, b->now_ns) &&
		    !broken(link, MESSAGE_NEVER_EXPIRES)) {
			b->stats.dropped++;
			discard(s, d);
			continue;
		}
		if (first && !session_may_get(s, d->message, d->retain)) {	/* not any more */
			b->stats.dropped++;
			discard(s, d);
			continue;
		}
		if (!room_for(link, d)) {
			if (!link->out.len)	/* nothing that leaves would bring us back here */
				link_starved(link);
			return;
		}
		if (first && !window_take(s, d))
			return;
		d->state = PUBLISHED;
		s->unsent = d->next;
		if (!send_publish(link, d->message, d, !first, d->ids, d->n_ids) && !broken(link, TOO_LARGE_BLOCKS)) {
			discard(s, d);
			continue;
		}
		if (first || !broken(link, WINDOW_NOT_COUNTED_ON_RESUME)) {
			d->counted = true;
			link->n_unacked++;
		}
	}
}

/* [MQTT-4.4.0-1] PUBRELs in the order they were sent, then PUBLISH packets in theirs, then what is new. */
void deliver_resume(struct link *link)
{
	struct session *s = link->session;

	for (struct delivery *d = s->open.first; d; d = d->next)
		d->counted = false;
	for (struct delivery *d = s->released.first; d; d = d->next) {
		d->counted = false;	/* only PUBLISH packets take a place in the window */
		if (!broken(link, PUBREL_NOT_RESENT))
			send_pubrel(link, d->packet_id, 0);
	}
	s->unsent = s->open.first;
	deliver_pump(link);
}

void deliver(struct session *s, struct message *m, unsigned qos, bool retain, const uint32_t *ids, size_t n_ids,
             const struct group *group)
{
	struct broker *b = s->broker;
	struct link *link = s->link;
	struct delivery form = { .qos = (uint8_t)qos, .retain = retain, .group = group }, *d;
	size_t size;
	bool passing;

	if (s->version != MQTT_5 || n_ids > UINT16_MAX)
		n_ids = 0;
	form.n_ids = (uint16_t)n_ids;
	size = delivery_size(n_ids);
	form.message = m;
	b->work += 1 + n_ids / 16;
	if (!session_may_get(s, m, retain)) {
		b->stats.dropped++;
		return;
	}
	if (!qos) {
		if (link && link->out.len < b->config.max_output && room_for(link, &form))
			send_publish(link, m, &form, false, ids, n_ids);
		else
			b->stats.dropped++;
		return;
	}
	/*
	 * What does not fit into a session that has much already is dropped, and no publisher hears of it: else one
	 * subscriber who never comes back would stop everybody who writes to him. [MQTT-4.5.0-1] leaves such limits to us.
	 */
	while (s->n_kept >= b->config.max_queued_per_session && s->open.first && s->open.first->state == QUEUED &&
	       message_expired(s->open.first->message, b->now_ns) && !b->broken) {
		b->stats.dropped++;
		discard(s, s->open.first);
	}
	passing = link && s->n_kept < PASSING_KEPT;
	if (s->n_kept >= b->config.max_queued_per_session || !(passing ? memory_take_passing : memory_take)(b, size)) {
		b->stats.dropped++;
		return;
	}
	d = malloc(size);
	if (!d) {
		memory_give(b, size);
		b->stats.dropped++;
		return;
	}
	*d = form;
	if (n_ids)
		memcpy(d->ids, ids, n_ids * sizeof(*ids));
	d->message = message_ref(m);
	s->n_kept++;
	append(&s->open, d);
	if (!s->unsent)
		s->unsent = d;
	if (b->broken)
		queued_by_fault(s, d);
	if (link && !held_by_fault(s, d))
		deliver_pump(link);
}

/* ---- what subscribers answer ---- */

enum event { EV_PUBACK, EV_PUBREC, EV_PUBREC_ERROR, EV_PUBCOMP, N_EVENTS };
enum action { UNEXPECTED, FINISH, RELEASE, RELEASE_AGAIN };

/* The sender's half of the flows. An empty cell is UNEXPECTED: a protocol error. */
static const uint8_t sending[3][N_DELIVERY_STATES][N_EVENTS] = {
	[1] = {
		[PUBLISHED] = { [EV_PUBACK] = FINISH },
	},
	[2] = {
		[PUBLISHED] = { [EV_PUBREC] = RELEASE, [EV_PUBREC_ERROR] = FINISH },
		[RELEASED] = { [EV_PUBREC] = RELEASE_AGAIN, [EV_PUBREC_ERROR] = RELEASE_AGAIN, [EV_PUBCOMP] = FINISH },
	},
};

static enum event event_of(const struct packet *ack)
{
	if (ack->type == PUBACK)
		return EV_PUBACK;
	if (ack->type == PUBCOMP)
		return EV_PUBCOMP;
	return ack->reason >= 0x80 ? EV_PUBREC_ERROR : EV_PUBREC;
}

/* [MQTT-4.3.3-1] [5 MQTT-4.3.3-6] from here on there is nothing left to publish again */
static void release(struct link *link, struct delivery *d)
{
	struct session *s = link->session;

	if (s->unsent == d)
		s->unsent = d->next;
	unlink_from(&s->open, d);
	append(&s->released, d);
	message_unref(link->broker, d->message);
	d->message = NULL;
	d->state = RELEASED;
	send_pubrel(link, d->packet_id, 0);
}

void deliver_acknowledged(struct link *link, const struct packet *ack)
{
	struct session *s = link->session;
	struct delivery *d = window_find(s, ack->packet_id);

	if (acknowledged_by_fault(link, ack, d))
		return;
	if (!d) {	/* no violation: it may be the second answer to something sent twice */
		if (ack->type == PUBREC && ack->reason < 0x80)
			send_pubrel(link, ack->packet_id, 0x92);
		return;
	}
	switch ((enum action)sending[d->qos][d->state][event_of(ack)]) {
	case FINISH:		/* [5 MQTT-4.4.0-2] by an error as well */
		if (d->counted)
			link->n_unacked--;
		discard(s, d);
		break;
	case RELEASE:
		release(link, d);
		break;
	case RELEASE_AGAIN:
		send_pubrel(link, d->packet_id, 0);
		break;
	case UNEXPECTED:
		link_fail(link, 0x82, "an acknowledgement that does not belong to this delivery's QoS or state");
		return;
	}
	deliver_pump(link);
}
