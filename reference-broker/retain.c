#include "reference-broker/broken.h"
#include "reference-broker/internal.h"

#include <stdlib.h>

#define SWEEP_NS (10 * SECOND_NS)	/* between two looks for what has expired */
#define SWEEP_BUCKETS 1000		/* looked into at a time */

static void drop(struct broker *b, struct node *node)
{
	b->n_expiring -= node->retained->has_expiry;
	b->stats.retained--;
	message_unref(b, node->retained);
	node->retained = NULL;
}

static void forget(struct broker *b, struct node *node)
{
	drop(b, node);
	memory_give(b, tree_prune(&b->retained, node));
}

/* What is retained is kept, whatever eighth its message was made in. */
static bool store(struct broker *b, struct message *m)
{
	size_t made;
	struct node *node = tree_make(&b->retained, message_topic(m), memory_room(b), &made);

	if (!node)
		return false;
	if (!memory_take(b, made)) {
		tree_prune(&b->retained, node);
		return false;
	}
	if (node->retained ? memory_is_scarce(b) && message_size(m) > message_size(node->retained) :
	    memory_is_scarce(b) || b->stats.retained >= b->config.max_retained) {
		memory_give(b, tree_prune(&b->retained, node));
		return false;
	}
	if (node->retained)
		drop(b, node);		/* [MQTT-3.3.1-5] the last one counts */
	node->retained = message_ref(m);
	m->stored = ++b->n_stored;
	b->stats.retained++;
	b->n_expiring += m->has_expiry;
	if (b->n_expiring && !b->sweep.slot && !b->broken)
		deadline_set(&b->deadlines, &b->sweep, b->now_ns + SWEEP_NS);
	return true;
}

static bool expire_one(struct broker *b, size_t bucket)
{
	for (struct entry *e = b->retained.nodes.buckets[bucket]; e; e = e->next) {
		struct node *node = (struct node *)e;

		if (node->retained && message_expired(node->retained, b->now_ns)) {
			forget(b, node);
			return true;
		}
	}
	return false;
}

void retained_due(struct broker *b)
{
	struct table *t = &b->retained.nodes;

	for (unsigned i = 0; i < SWEEP_BUCKETS && b->swept < t->cap; i++)	/* cap shrinks as nodes go */
		if (!expire_one(b, b->swept))
			b->swept++;
	b->work += SWEEP_BUCKETS;
	if (b->swept < t->cap) {
		deadline_set(&b->deadlines, &b->sweep, b->now_ns + 1);
		return;
	}
	b->swept = 0;
	if (b->n_expiring)
		deadline_set(&b->deadlines, &b->sweep, b->now_ns + SWEEP_NS);
}

bool retain_message(struct broker *b, struct message *m)
{
	struct node *node = tree_find(&b->retained, message_topic(m));

	switch (retained_by_fault(b, m, node)) {
	case RETAIN_NOTHING:
		break;
	case RETAIN_FORGET:	/* [MQTT-3.3.1-10] [5 MQTT-3.3.1-6] */
		if (node && node->retained)
			forget(b, node);
		break;
	case RETAIN_STORE:
		return store(b, m);
	}
	return true;
}

/* ---- on their way to a new subscription ---- */

static void deliver_retained(struct session *session, const struct subscription *s, struct message *m)
{
	struct broker *b = session->broker;
	unsigned qos = s->options & SUBSCRIBE_QOS;

	if (message_expired(m, b->now_ns) && !effect_set(b, session->version, MESSAGE_NEVER_EXPIRES))
		return;
	if (b->broken && !matched_by_fault(b, s->node, message_topic(m), session->version))
		return;
	if (s->options & SUBSCRIBE_NO_LOCAL && span_equal(session_id(session), message_publisher(m)))
		return;
	if (m->qos < qos)
		qos = m->qos;
	if (effect_set(b, session->version, RETAINED_QOS0))
		qos = 0;
	deliver(session, m, qos, !effect_set(b, session->version, RETAINED_FLAG_CLEARED),	/* [MQTT-3.3.1-8] */
	        &s->identifier, s->identifier != 0, NULL);
}

/* No more of them just now: they wait where they are, and need no room. What goes out brings us back. */
static bool has_enough(const struct link *link)
{
	const struct broker_config *config = &link->broker->config;
	const struct session *s = link->session;

	return link->out.len >= (config->max_output < RETAINED_AHEAD ? config->max_output : RETAINED_AHEAD) ||
	       (s->n_kept && s->n_kept >= config->max_queued_per_session) || (s->unsent && s->n_kept >= RETAINED_OPEN);
}

static struct span filter_at(const struct wanted *w)
{
	return span_of(w->filters + w->at + 2, (size_t)(w->filters[w->at] << 8 | w->filters[w->at + 1]));
}

/* While nobody looks after the cover, what it stands on must stay. */
static void pin(struct wanted *w)
{
	if (w->cover.node)
		w->cover.node->pins++;
}

static void unpin(struct broker *b, struct node *node)
{
	if (node && !--node->pins && node != &b->retained.root)
		memory_give(b, tree_prune(&b->retained, node));
}

/* True: all of it was delivered. */
static bool send_some(struct link *link, struct wanted *w, uint64_t until)
{
	struct broker *b = link->broker;
	bool first = true;

	while (w->at < w->len) {
		struct span bare, filter = filter_at(w);
		uint64_t before = b->work;
		const struct subscription *s = subscription_of(link, filter, &bare);
		uint64_t found = b->work - before;
		struct node *node;

		/* a filter of many levels may take a whole turn to be found: as much again is done, or nothing would ever be */
		if (first && until < b->work + found)
			until = b->work + found;
		first = false;
		while (s && !w->cover.done) {	/* it may have been cancelled meanwhile */
			if (b->work >= until || link->state != CONNECTED || has_enough(link))
				return false;
			node = cover_next(&b->retained, bare, &w->cover, until - b->work);
			if (node && (int32_t)(node->retained->stored - w->stored) <= 0)
				deliver_retained(link->session, s, node->retained);
		}
		w->cover = (struct cover){ 0 };
		w->at += 2 + filter.len;
	}
	return true;
}

static void wanted_free(struct session *session)
{
	struct wanted *w = session->wanted;

	session->wanted = w->next;
	memory_give(session->broker, wanted_size(w));
	free(w);
}

void retained_send(struct link *link)
{
	struct session *s = link->session;
	struct broker *b = link->broker;
	uint64_t until = b->work + WORK_A_TURN(b);

	while (s->wanted && link->state == CONNECTED && !has_enough(link)) {
		struct wanted *w = s->wanted;
		struct node *stood = w->cover.node;
		bool done = send_some(link, w, until);

		if (!done)
			pin(w);
		unpin(b, stood);
		if (done)
			wanted_free(s);
		else if (link->state == CONNECTED && b->work >= until)
			deadline_set(&b->deadlines, &link->work, b->now_ns + 1);
		if (!done)
			return;
	}
}

void retained_want(struct session *session, struct wanted *w)
{
	struct wanted **last = &session->wanted;

	w->stored = session->broker->n_stored;
	while (*last)
		last = &(*last)->next;
	*last = w;
}

void retained_unwant(struct session *session)
{
	while (session->wanted) {
		unpin(session->broker, session->wanted->cover.node);
		wanted_free(session);
	}
}

void retained_release(struct broker *b)
{
	for (size_t i = 0; i < b->retained.nodes.cap; i++) {
		for (struct entry *e = b->retained.nodes.buckets[i]; e; e = e->next) {
			struct node *node = (struct node *)e;

			message_unref(b, node->retained);
			node->retained = NULL;
		}
	}
}
