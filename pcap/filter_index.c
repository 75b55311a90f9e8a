#include "pcap/filter_index.h"

#include <stdlib.h>

static struct span level_at(struct span text, size_t at)
{
	const uint8_t *from = text.at + at, *slash = memchr(from, '/', text.len - at);

	return span_of(from, slash ? (size_t)(slash - from) : text.len - at);
}

static uint64_t node_hash(const struct filter_node *parent, struct span level)
{
	return map_hash(level.at, level.len, (uint64_t)(uintptr_t)parent);
}

static struct filter_node *child(const struct filter_index *index, const struct filter_node *parent, struct span level)
{
	struct filter_node *n = map_find(&index->nodes, node_hash(parent, level));

	while (n && !(n->parent == parent && span_equal(span_of(n->level, n->len), level)))
		n = map_more(n);
	return n;
}

static bool is(struct span level, char wildcard)
{
	return level.len == 1 && level.at[0] == (uint8_t)wildcard;
}

static struct filter_node *child_new(struct filter_index *index, struct filter_node *parent, struct span level)
{
	struct filter_node *n = calloc(1, sizeof(*n) + level.len);

	if (!n || !map_add(&index->nodes, &n->entry, node_hash(parent, level))) {
		free(n);
		return NULL;
	}
	n->parent = parent;
	n->len = (uint16_t)level.len;
	n->level = level.len ? memcpy(n + 1, level.at, level.len) : NULL;
	parent->children++;
	if (is(level, '+'))
		parent->plus = n;
	else if (is(level, '#'))
		parent->hash = n;
	index->bytes += sizeof(*n) + level.len;
	return n;
}

struct filter_node *filter_index_place(struct filter_index *index, struct span filter)
{
	struct filter_node *n = &index->root, *next;
	size_t at = 0, levels = 0;

	if (!filter.len)
		return NULL;
	for (;; at++) {
		struct span level = level_at(filter, at);

		next = levels++ < FILTER_LEVELS ? child(index, n, level) : NULL;
		if (!next && levels <= FILTER_LEVELS)
			next = child_new(index, n, level);
		if (!next) {
			filter_index_prune(index, n);
			return NULL;
		}
		n = next;
		at += level.len;
		if (at >= filter.len)
			return n;
	}
}

void filter_index_prune(struct filter_index *index, struct filter_node *n)
{
	while (n != &index->root && !n->first && !n->children) {
		struct filter_node *parent = n->parent;

		if (parent->plus == n)
			parent->plus = NULL;
		if (parent->hash == n)
			parent->hash = NULL;
		parent->children--;
		map_remove(&index->nodes, &n->entry);
		index->bytes -= sizeof(*n) + n->len;
		free(n);
		n = parent;
	}
}

struct place {			/* a node, and where in the topic its children's level begins; past: the topic is used up */
	const struct filter_node *node;
	size_t at;
	bool past;
};

bool filter_index_match(const struct filter_index *index, struct span topic, void (*found)(void *context, struct filter_node *node), void *context)
{
	struct place stack[FILTER_LEVELS + 2];
	size_t n = 0, visits = 0;
	bool hidden = topic.len && topic.at[0] == '$';	/* [MQTT-4.7.2-1] */

	if (!topic.len)
		return true;
	stack[n++] = (struct place){ &index->root, 0, false };
	while (n) {
		struct place p = stack[--n];
		bool wild = !(hidden && p.node == &index->root);

		if (++visits > FILTER_VISITS)
			return false;
		if (p.node->hash && wild && p.node->hash->first)	/* also of the parent level [4.7.1.2] */
			found(context, p.node->hash);
		if (p.past) {
			if (p.node->first)
				found(context, (struct filter_node *)(uintptr_t)p.node);
			continue;
		}
		struct span level = level_at(topic, p.at);
		size_t next = p.at + level.len;
		bool past = next >= topic.len;
		const struct filter_node *same = p.node->children ? child(index, p.node, level) : NULL;

		/* A name has no wildcards; one that has them all the same is no filter. */
		if (p.node->plus && wild)
			stack[n++] = (struct place){ p.node->plus, next + 1, past };
		if (same && same != p.node->plus && same != p.node->hash)
			stack[n++] = (struct place){ same, next + 1, past };
	}
	return true;
}

void filter_index_release(struct filter_index *index)
{
	for (struct filter_node *n = map_any(&index->nodes, NULL), *next; n; n = next) {
		next = map_any(&index->nodes, n);
		free(n);
	}
	map_release(&index->nodes);
	*index = (struct filter_index){ 0 };
}
