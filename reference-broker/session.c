#include "reference-broker/broken.h"
#include "reference-broker/internal.h"

#include <stdlib.h>

/* ---- open QoS 2 ids ---- */

int id_set_find(const struct id_set *set, uint16_t id)
{
	uint32_t low = 0, high = set->n;

	/* ids mostly come in rising order: look at the end first */
	if (set->n && set->ids[set->n - 1] >> 1 < id)
		return -1 - (int)set->n;
	while (low < high) {
		uint32_t middle = (low + high) / 2, at = set->ids[middle] >> 1;

		if (at == id)
			return (int)middle;
		if (at < id)
			low = middle + 1;
		else
			high = middle;
	}
	return -1 - (int)low;
}

size_t id_set_cost(uint32_t cap)
{
	return cap > IDS_FREE ? heap_size(cap * sizeof(uint32_t)) : 0;
}

static bool id_set_grow(struct broker *broker, struct id_set *set)
{
	uint32_t cap = set->cap ? set->cap * 2 : IDS_FREE;
	size_t more = id_set_cost(cap) - id_set_cost(set->cap);
	uint32_t *ids;

	if (!memory_take(broker, more))
		return false;
	ids = realloc(set->ids, cap * sizeof(*ids));
	if (!ids) {
		memory_give(broker, more);
		return false;
	}
	set->ids = ids;
	set->cap = cap;
	return true;
}

static void id_set_release(struct broker *broker, struct id_set *set)
{
	memory_give(broker, id_set_cost(set->cap));
	free(set->ids);
	*set = (struct id_set){ 0 };
}

bool id_set_add(struct broker *broker, struct id_set *set, uint16_t id, bool counted)
{
	int place = -1 - id_set_find(set, id);

	if (place < 0)
		return true;
	if (set->n == set->cap && !id_set_grow(broker, set))
		return false;
	memmove(set->ids + place + 1, set->ids + place, (set->n - (uint32_t)place) * sizeof(*set->ids));
	set->ids[place] = (uint32_t)id << 1 | counted;
	set->n++;
	return true;
}

void id_set_remove(struct broker *broker, struct id_set *set, int place)
{
	set->n--;
	memmove(set->ids + place, set->ids + place + 1, (set->n - (uint32_t)place) * sizeof(*set->ids));
	if (!set->n)
		id_set_release(broker, set);
}

/* ---- sessions ---- */

struct session *session_find(struct broker *broker, struct span id)
{
	uint64_t hash = hash_bytes(broker->hash_key, id.at, id.len);

	for (struct entry *e = table_chain(&broker->sessions, hash); e; e = e->next) {
		struct session *s = (struct session *)e;

		if (e->hash == hash && !s->taken_over && span_equal(session_id(s), id))
			return s;
	}
	return NULL;
}

bool session_of(const struct session *s, struct span owner)
{
	return s->owned == (owner.at != NULL) && span_equal(span_of(s->id + s->id_len, s->owner_len), owner);
}

struct session *session_new(struct broker *broker, struct span id, struct span owner)
{
	struct session *s;

	if (broker->stats.sessions >= broker->config.max_sessions)
		return NULL;
	if (!deadlines_reserve(&broker->deadlines, 2 * broker->stats.links + broker->stats.sessions + 2))
		return NULL;
	if (!memory_take(broker, SESSION_COST(id.len + owner.len)))
		return NULL;
	s = calloc(1, sizeof(*s) + id.len + owner.len);
	if (!s) {
		memory_give(broker, SESSION_COST(id.len + owner.len));
		return NULL;
	}
	s->broker = broker;
	s->deadline.of = OF_SESSION;
	s->id_len = (uint16_t)id.len;
	s->owner_len = (uint16_t)owner.len;
	s->owned = owner.at;
	if (id.len)
		memcpy(s->id, id.at, id.len);
	if (owner.len)
		memcpy(s->id + id.len, owner.at, owner.len);
	if (!table_add(&broker->sessions, &s->entry, hash_bytes(broker->hash_key, id.at, id.len))) {
		memory_give(broker, SESSION_COST(id.len + owner.len));
		free(s);
		return NULL;
	}
	broker->stats.sessions++;
	return s;
}

static void publish_will(struct session *s)
{
	struct broker *b = s->broker;
	struct message *m = s->will;

	s->will = NULL;
	s->will_due_ns = NEVER;
	if (!m)
		return;
	if (!session_may(s, ACT_PUBLISH, message_topic(m)) && !effect_set(b, s->version, DENIED_WILL_SENT)) {
		b->stats.dropped++;
		message_unref(b, m);
		return;
	}
	m->received_ns = b->now_ns;	/* its expiry counts from publication */
	publish_message(b, m, false);
	if (will_kept_by_fault(s, m))
		return;
	message_unref(b, m);
}

void session_end(struct session *s)
{
	struct broker *b = s->broker;

	deadline_stop(&b->deadlines, &s->deadline);
	ended_by_fault(s);
	deliveries_pass_on(s);
	retained_unwant(s);
	while (s->subscriptions)
		subscription_end(b, s->subscriptions);
	publish_will(s);		/* [5 MQTT-3.1.2-8] at the latest when the session ends */
	message_unref(b, s->will);	/* where a fault keeps it */
	deliveries_release(s);
	aliases_release(b, s->carried, s->n_carried);
	id_set_release(b, &s->incoming);
	memory_give(b, SESSION_COST(s->id_len + s->owner_len));
	table_remove(&b->sessions, &s->entry);
	b->stats.sessions--;
	free(s);
}

static void arm(struct session *s)
{
	deadline_set(&s->broker->deadlines, &s->deadline,
	             s->will_due_ns < s->expires_ns ? s->will_due_ns : s->expires_ns);
}

/* The connection has ended, and with it what lasts no longer. */
void session_disconnected(struct session *s)
{
	uint64_t now = s->broker->now_ns;

	s->link = NULL;
	s->unsent = s->open.first;
	disconnected_by_fault(s);
	if (!s->expiry_interval) {
		session_end(s);
		return;
	}
	s->expires_ns = s->expiry_interval == FOREVER ? NEVER : now + s->expiry_interval * SECOND_NS;
	s->will_due_ns = s->will ? now + s->will_delay * SECOND_NS : NEVER;
	if (s->will && !s->will_delay)
		publish_will(s);
	times_by_fault(s);
	arm(s);
}

void session_due(struct session *s)
{
	uint64_t now = s->broker->now_ns;

	if (s->will && s->will_due_ns <= now)
		publish_will(s);
	if (s->expires_ns <= now)
		session_end(s);
	else
		arm(s);
}
