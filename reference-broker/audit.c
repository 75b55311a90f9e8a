#include "reference-broker/internal.h"

#include <stdlib.h>

/* What is kept, counted by walking it: what memory_take() and memory_give() must have come to. */

struct count {
	const struct message **messages;	/* held more than once mostly, and counted once */
	size_t n, cap, bytes;
	bool failed;
};

static void count_message(struct count *c, const struct message *m)
{
	if (!m || c->failed)
		return;
	if (c->n == c->cap) {
		size_t cap = c->cap ? c->cap * 2 : 64;
		const struct message **messages = realloc(c->messages, cap * sizeof(*messages));

		c->failed = !messages;
		if (!messages)
			return;
		c->messages = messages;
		c->cap = cap;
	}
	c->messages[c->n++] = m;
}

static int by_address(const void *a, const void *b)
{
	uintptr_t x = (uintptr_t)*(const struct message *const *)a, y = (uintptr_t)*(const struct message *const *)b;

	return (x > y) - (x < y);
}

static void add_messages(struct count *c)
{
	if (c->n)
		qsort(c->messages, c->n, sizeof(*c->messages), by_address);
	for (size_t i = 0; i < c->n; i++)
		if (!i || c->messages[i] != c->messages[i - 1])
			c->bytes += message_size(c->messages[i]);
}

static void count_aliases(struct count *c, const struct span *aliases, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		c->bytes += aliases[i].len + sizeof(*aliases);
}

static void count_link(struct count *c, const struct link *link)
{
	c->bytes += LINK_COST + link_buffer_cost(&link->in) + link_buffer_cost(&link->out) + exchange_cost(link->exchange) + IDENTITY_COST(link->identity.len) + link->charged;
	count_aliases(c, link->aliases, link->n_aliases);
	count_aliases(c, link->out_aliases, link->n_out_aliases);
}

static void count_deliveries(struct count *c, const struct delivery_list *list)
{
	for (const struct delivery *d = list->first; d; d = d->next) {
		c->bytes += delivery_size(d->n_ids);
		count_message(c, d->message);
	}
}

static void count_session(struct count *c, const struct session *s)
{
	c->bytes += SESSION_COST(s->id_len + s->owner_len) + window_cost(s->window_size) + id_set_cost(s->incoming.cap);
	count_message(c, s->will);
	count_deliveries(c, &s->open);
	count_deliveries(c, &s->released);
	count_aliases(c, s->carried, s->n_carried);
	for (const struct wanted *w = s->wanted; w; w = w->next)
		c->bytes += wanted_size(w);
	for (const struct subscription *sub = s->subscriptions; sub; sub = sub->next_of_session)
		c->bytes += subscription_size();
}

static void count_tree(struct count *c, const struct tree *t)
{
	for (size_t i = 0; i < t->nodes.cap; i++) {
		for (const struct entry *e = t->nodes.buckets[i]; e; e = e->next) {
			const struct node *node = (const struct node *)e;

			c->bytes += node_size(node);
			count_message(c, node->retained);
			for (const struct group *g = node->groups; g; g = g->next)
				c->bytes += group_size(g);
		}
	}
}

size_t broker_count_memory(const struct broker *broker)
{
	struct count c = { 0 };

	for (const struct link *link = broker->links; link; link = link->next)
		count_link(&c, link);
	for (size_t i = 0; i < broker->sessions.cap; i++)
		for (const struct entry *e = broker->sessions.buckets[i]; e; e = e->next)
			count_session(&c, (const struct session *)e);
	count_tree(&c, &broker->subscriptions);
	count_tree(&c, &broker->retained);
	add_messages(&c);
	free(c.messages);
	return c.failed ? 0 : c.bytes;
}
