#include "pcap/deliveries.h"

#include <stdlib.h>

#include "codec/fields.h"
#include "codec/topic.h"
#include "pcap/rows.h"

enum { MOST_LOOKED_AT = 64 };		/* filters of one UNSUBSCRIBE that are held against what is expected */

/* ---- receivers ---- */

static uint64_t name_hash(const struct endpoint *broker, struct span id, bool group)
{
	struct endpoint key;

	memset(&key, 0, sizeof(key));	/* padding, too */
	key.family = broker->family;
	memcpy(key.address, broker->address, sizeof(key.address));
	key.port = broker->port;
	return map_hash(id.at, id.len, map_hash(&key, sizeof(key), group));
}

struct receiver *receiver_new(struct deliveries *v)
{
	return slab_take(&v->receiver_room);
}

struct receiver *receiver_find(struct deliveries *v, const struct endpoint *broker, struct span id, bool group)
{
	struct receiver *r = map_find(&v->sessions, name_hash(broker, id, group));

	/* A name is kept as far as it is shown; what lies behind is told apart by the hash. */
	while (r && !(r->is_group == group && r->id_len == id.len && !memcmp(r->name, id.at, r->shown) && endpoint_equal(&r->broker, broker)))
		r = map_more(r);
	return r;
}

bool receiver_name(struct deliveries *v, struct receiver *r, const struct endpoint *broker, struct span id, bool group)
{
	if (r->known || !map_add(&v->sessions, &r->entry, name_hash(broker, id, group)))
		return false;
	r->known = true;
	r->is_group = group;
	r->broker = *broker;
	r->id_len = (uint32_t)id.len;
	r->shown = (uint8_t)whole_characters(id, NAME_SHOWN);
	memcpy(r->name, id.at, r->shown);
	return true;
}

void receiver_release(struct deliveries *v, struct receiver *r)
{
	if (r->refs || r->listener || r->subscriptions || r->oldest)
		return;
	if (r->known)
		map_remove(&v->sessions, &r->entry);
	slab_give(&v->receiver_room, r);
}

/* ---- subscriptions ---- */

static uint64_t subscribed_hash(const struct receiver *r, const struct filter_node *node, const struct receiver *group)
{
	return map_mix(map_mix((uintptr_t)r, (uintptr_t)node), (uintptr_t)group);
}

static struct subscribed *find(const struct deliveries *v, const struct receiver *r, const struct filter_node *node, const struct receiver *group)
{
	struct subscribed *s = map_find(&v->subscribed, subscribed_hash(r, node, group));

	while (s && !(s->session == r && s->node == node && s->group == group))
		s = map_more(s);
	return s;
}

static void drop(struct deliveries *v, struct subscribed *s)
{
	map_remove(&v->subscribed, &s->entry);
	*(s->before_of_session ? &s->before_of_session->next_of_session : &s->session->subscriptions) = s->next_of_session;
	if (s->next_of_session)
		s->next_of_session->before_of_session = s->before_of_session;
	if (s->before_of_node)
		s->before_of_node->next_of_node = s->next_of_node;
	else
		s->node->first = s->next_of_node;
	if (s->next_of_node)
		s->next_of_node->before_of_node = s->before_of_node;
	if (!s->node->first) {
		v->generation++;
		filter_index_prune(&v->filters, s->node);
	}
	if (s->group) {
		s->group->left_ns = v->now_ns;
		s->session->n_shared--;
		s->group->refs--;
		receiver_release(v, s->group);
	}
	slab_give(&v->subscribed_room, s);
}

static struct receiver *group_of(struct deliveries *v, const struct receiver *member, struct span name)
{
	struct receiver *g = receiver_find(v, &member->broker, name, true);

	if (g)
		return g;
	g = receiver_new(v);
	if (g && !receiver_name(v, g, &member->broker, name, true)) {
		receiver_release(v, g);
		return NULL;
	}
	if (g)
		g->number = member->number;
	return g;
}

static struct subscribed *add(struct deliveries *v, struct receiver *r, struct filter_node *node, struct receiver *group)
{
	struct subscribed *s = slab_take(&v->subscribed_room);

	if (!s || !map_add(&v->subscribed, &s->entry, subscribed_hash(r, node, group))) {
		if (s)
			slab_give(&v->subscribed_room, s);
		return NULL;
	}
	s->node = node;
	s->session = r;
	s->group = group;
	s->next_of_node = node->first;
	if (s->next_of_node)
		s->next_of_node->before_of_node = s;
	else
		v->generation++;
	node->first = s;
	s->next_of_session = r->subscriptions;
	if (s->next_of_session)
		s->next_of_session->before_of_session = s;
	r->subscriptions = s;
	if (group) {
		group->refs++;
		r->n_shared++;
	}
	return s;
}

/* NULL, and the session is not complete any more, when there is no room for it or it is none. */
static struct subscribed *place(struct deliveries *v, struct receiver *r, struct span filter)
{
	struct span name, inner = filter;
	bool shared = share_split(filter, &name, &inner);
	bool valid = shared ? share_valid(filter) : topic_filter_valid(filter);
	struct filter_node *node = valid ? filter_index_place(&v->filters, inner) : NULL;
	struct receiver *group = node && shared ? group_of(v, r, filter) : NULL;
	struct subscribed *s = NULL;

	if (node && (!shared || group)) {
		s = find(v, r, node, group);
		if (!s)
			s = add(v, r, node, group);
	}
	if (!s) {
		v->totals.unindexed += valid;
		r->complete = false;
		if (node)
			filter_index_prune(&v->filters, node);
		if (group)
			receiver_release(v, group);
	}
	return s;
}

void subscribe(struct deliveries *v, struct receiver *r, const struct packet *packet)
{
	struct filter_walk walk = filters_of(packet);
	struct span filter;
	uint8_t options;

	for (uint16_t nth = 0; filter_next(&walk, &filter, &options); nth++) {
		struct subscribed *s = place(v, r, filter);

		if (!s)
			continue;
		s->state = PENDING;
		s->packet_id = packet->packet_id;
		s->nth = nth;
		s->options = options;
	}
}

void subscribe_answered(struct deliveries *v, struct receiver *r, uint16_t packet_id, struct span codes)
{
	for (struct subscribed *s = r->subscriptions, *next; s; s = next) {
		next = s->next_of_session;
		if (s->state != PENDING || s->packet_id != packet_id)
			continue;
		if (s->nth < codes.len && codes.at[s->nth] <= 2) {
			s->state = GRANTED;
			s->qos = codes.at[s->nth];
			continue;
		}
		r->complete = false;	/* refused: whether an older one of that filter stays is not said */
		drop(v, s);
	}
}

/* What a filter that is given back asked for: the server may still deliver it, and need not. */
static void may_not_come(struct deliveries *v, struct receiver *r, struct span filter)
{
	for (struct expectation *e = r->oldest, *next; e; e = next) {
		const struct topic_name *topic = e->message->content->topic;

		next = e->after;
		if (topic_matches(filter, span_of(topic->text, topic->len)))
			expectation_end(v, e, IS_UNOBSERVABLE);
	}
}

void unsubscribe(struct deliveries *v, struct receiver *r, const struct packet *packet)
{
	struct filter_walk walk = filters_of(packet);
	struct span filter;
	uint8_t options;

	for (uint16_t nth = 0; filter_next(&walk, &filter, &options); nth++) {
		struct span name, inner = filter;
		bool shared = share_split(filter, &name, &inner);
		struct receiver *group = shared ? receiver_find(v, &r->broker, filter, true) : NULL;
		struct filter_node *node = shared && !group ? NULL : filter_index_place(&v->filters, inner);
		struct subscribed *same = node ? find(v, r, node, group) : NULL;

		if (same) {
			same->state = ENDING;
			same->packet_id = packet->packet_id;
			same->nth = nth;
		} else if (node) {
			filter_index_prune(&v->filters, node);
		}
		if (nth >= MOST_LOOKED_AT)	/* a packet has room for so many that each look would cost too much */
			expect_nothing(v, r);
		else if (topic_filter_valid(inner))
			may_not_come(v, r, inner);
	}
}

void unsubscribe_answered(struct deliveries *v, struct receiver *r, uint16_t packet_id)
{
	for (struct subscribed *s = r->subscriptions, *next; s; s = next) {
		next = s->next_of_session;
		if (s->state == ENDING && s->packet_id == packet_id)
			drop(v, s);
	}
}

void unsubscribe_all(struct deliveries *v, struct receiver *r)
{
	while (r->subscriptions)
		drop(v, r->subscriptions);
}

/* ---- topics ---- */

/* Makes room: names that no content needs go, those that something strange came under last. */
static void sweep(struct deliveries *v, bool strange)
{
	for (struct topic_name *t = map_any(&v->names, NULL), *next; t; t = next) {
		next = map_any(&v->names, t);
		if (t->refs || (t->strange && !strange))
			continue;
		v->name_bytes -= sizeof(*t) + t->len + t->cap_matched * sizeof(*t->matched);
		map_remove(&v->names, &t->entry);
		free(t->matched);
		free(t);
	}
	v->swept_at = v->n_passed;
}

static bool is_full(const struct deliveries *v, size_t more)
{
	return v->names.n >= MOST_NAMES || v->name_bytes + more > MOST_NAME_BYTES;
}

struct topic_name *topic_name_of(struct deliveries *v, struct span topic)
{
	uint64_t hash = map_hash(topic.at, topic.len, 0);
	struct topic_name *t = map_find(&v->names, hash);

	while (t && !(t->len == topic.len && !memcmp(t->text, topic.at, topic.len)))
		t = map_more(t);
	if (t)
		return t;
	if (is_full(v, sizeof(*t) + topic.len)) {
		if (v->swept_at && v->n_passed - v->swept_at < 1024)
			return NULL;
		sweep(v, false);
		if (is_full(v, sizeof(*t) + topic.len))
			sweep(v, true);
		if (is_full(v, sizeof(*t) + topic.len))
			return NULL;
	}
	t = calloc(1, sizeof(*t) + topic.len);
	if (!t || !map_add(&v->names, &t->entry, hash)) {
		free(t);
		return NULL;
	}
	t->len = (uint16_t)topic.len;
	if (topic.len)
		memcpy(t->text, topic.at, topic.len);
	v->name_bytes += sizeof(*t) + topic.len;
	return t;
}

struct matching {
	struct deliveries *v;
	struct topic_name *topic;
};

/* Counted with the names: a hostile capture may have thousands of filters that match thousands of topics. */
static bool more_matched(struct deliveries *v, struct topic_name *t)
{
	uint32_t cap = t->cap_matched ? t->cap_matched * 2 : 4;
	size_t size = (cap - t->cap_matched) * sizeof(*t->matched);
	struct filter_node **more = v->name_bytes + size <= MOST_NAME_BYTES ? realloc(t->matched, cap * sizeof(*more)) : NULL;

	if (!more)
		return false;
	v->name_bytes += size;
	t->matched = more;
	t->cap_matched = cap;
	return true;
}

static void matched(void *context, struct filter_node *node)
{
	struct matching *m = context;
	struct topic_name *t = m->topic;

	if (t->n_matched < t->cap_matched || more_matched(m->v, t))
		t->matched[t->n_matched++] = node;
	else
		t->overflowed = true;
}

void topic_matched(struct deliveries *v, struct topic_name *t)
{
	struct matching matching = { v, t };

	if (t->generation == v->generation)
		return;
	t->generation = v->generation;
	t->n_matched = 0;
	t->overflowed = false;
	if (!filter_index_match(&v->filters, span_of(t->text, t->len), matched, &matching))
		t->overflowed = true;
}
