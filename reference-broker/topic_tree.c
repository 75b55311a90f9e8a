#include "reference-broker/topic_tree.h"

#include <stdlib.h>

void tree_init(struct tree *t, const uint64_t key[2])
{
	*t = (struct tree){ .key = { key[0], key[1] } };
}

struct levels {
	const uint8_t *pos, *end;
	bool done;
};

static struct levels levels_of(struct span path)
{
	return (struct levels){ path.at, path.len ? path.at + path.len : path.at, false };
}

/* Takes the next level off the front; false behind the last. An empty path has one, empty, level. */
static bool next_level(struct levels *l, struct span *level)
{
	if (l->done)
		return false;

	size_t left = (size_t)(l->end - l->pos);
	const uint8_t *slash = left ? memchr(l->pos, '/', left) : NULL;

	*level = span_of(l->pos, slash ? (size_t)(slash - l->pos) : left);
	l->done = !slash;
	if (slash)
		l->pos = slash + 1;
	return true;
}

static uint64_t child_hash(const struct tree *t, const struct node *parent, struct span name)
{
	uint64_t key[2] = { t->key[0] ^ (uint64_t)(uintptr_t)parent, t->key[1] };

	return hash_bytes(key, name.at, name.len);
}

static struct node *child_find(const struct tree *t, const struct node *parent, struct span name, uint64_t hash)
{
	for (struct entry *e = table_chain(&t->nodes, hash); e; e = e->next) {
		struct node *node = (struct node *)e;

		if (e->hash == hash && node->parent == parent && span_equal(span_of(node_name(node), node->name_len), name))
			return node;
	}
	return NULL;
}

static struct node *child_of(const struct tree *t, const struct node *parent, struct span name)
{
	return parent->first_child ? child_find(t, parent, name, child_hash(t, parent, name)) : NULL;
}

struct node *tree_find(const struct tree *t, struct span path)
{
	const struct node *node = &t->root;
	struct levels l = levels_of(path);
	struct span level;

	while (node && next_level(&l, &level))
		node = child_of(t, node, level);
	return (struct node *)node;
}

size_t node_size(const struct node *node)
{
	return heap_size(sizeof(*node) + node->name_len) + ENTRY_COST;
}

static struct node *child_make(struct tree *t, struct node *parent, struct span name, uint64_t hash)
{
	struct node *node = calloc(1, sizeof(*node) + name.len);

	if (!node)
		return NULL;
	node->parent = parent;
	node->name_len = (uint16_t)name.len;
	if (name.len)
		memcpy(node_name(node), name.at, name.len);
	if (!table_add(&t->nodes, &node->entry, hash)) {
		free(node);
		return NULL;
	}
	node->next_sibling = parent->first_child;
	if (node->next_sibling)
		node->next_sibling->prev_sibling = node;
	parent->first_child = node;
	if (span_is(name, "+"))
		parent->plus = node;
	else if (span_is(name, "#"))
		parent->rest = node;
	return node;
}

struct node *tree_make(struct tree *t, struct span path, size_t *made)
{
	struct node *node = &t->root;
	struct levels l = levels_of(path);
	struct span level;

	*made = 0;
	while (next_level(&l, &level)) {
		uint64_t hash = child_hash(t, node, level);
		struct node *child = child_find(t, node, level, hash);

		if (!child) {
			child = child_make(t, node, level, hash);
			if (!child) {
				tree_prune(t, node);
				*made = 0;
				return NULL;
			}
			*made += node_size(child);
		}
		node = child;
	}
	return node;
}

size_t tree_prune(struct tree *t, struct node *node)
{
	size_t freed = 0;

	while (node != &t->root && !node->first_child && !node->subscriptions && !node->groups && !node->retained) {
		struct node *parent = node->parent;

		if (node->prev_sibling)
			node->prev_sibling->next_sibling = node->next_sibling;
		else
			parent->first_child = node->next_sibling;
		if (node->next_sibling)
			node->next_sibling->prev_sibling = node->prev_sibling;
		if (parent->plus == node)
			parent->plus = NULL;
		if (parent->rest == node)
			parent->rest = NULL;
		freed += node_size(node);
		table_remove(&t->nodes, &node->entry);
		free(node);
		node = parent;
	}
	return freed;
}

void tree_release(struct tree *t)
{
	for (size_t i = 0; i < t->nodes.cap; i++) {
		for (struct entry *e = t->nodes.buckets[i], *next; e; e = next) {
			next = e->next;
			free(e);
		}
	}
	table_release(&t->nodes);
	table_release(&t->members);
	table_release(&t->groups);
}

static void chain(struct node **to, struct node *node)
{
	if (node) {
		node->next_match = *to;
		*to = node;
	}
}

/*
 * Each node is reached from its parent only, so none enters a frontier twice. [MQTT-4.7.2-1] wildcards at the
 * root pass over a topic that begins with $.
 */
struct node *tree_match(struct tree *t, struct span topic)
{
	bool dollar = topic.len && topic.at[0] == '$' && !t->dollar;
	struct node *frontier = &t->root, *matches = NULL;
	struct levels l = levels_of(topic);
	struct span level;

	t->root.frontier = NULL;
	while (frontier && next_level(&l, &level)) {
		struct node *next = NULL;

		for (struct node *node = frontier; node; node = node->frontier) {
			bool wildcards = !(dollar && node == &t->root);
			struct node *exact = child_of(t, node, level);

			if (wildcards)
				chain(&matches, node->rest);
			/* a child of that very name may be "+" or "#" only if a fault let it through */
			if (exact && exact != node->plus && exact != node->rest) {
				exact->frontier = next;
				next = exact;
			}
			if (wildcards && node->plus) {
				node->plus->frontier = next;
				next = node->plus;
			}
		}
		frontier = next;
	}
	for (struct node *node = frontier; node; node = node->frontier) {
		if (node == &t->root)
			continue;
		if (node->subscriptions || node->groups)
			chain(&matches, node);
		chain(&matches, node->rest);	/* a/# matches a */
	}
	return matches;
}

/* All of the subtree's nodes that hold a message, without a stack: down, across, and up by the parents. */
static void chain_subtree(struct node **matches, struct node *top)
{
	for (struct node *node = top;;) {
		if (node->retained)
			chain(matches, node);
		if (node->first_child) {
			node = node->first_child;
			continue;
		}
		while (node != top && !node->next_sibling)
			node = node->parent;
		if (node == top)
			return;
		node = node->next_sibling;
	}
}

struct node *tree_covered(struct tree *t, struct span filter)
{
	struct node *frontier = &t->root, *matches = NULL;
	struct levels l = levels_of(filter);
	struct span level;

	t->root.frontier = NULL;
	while (frontier && next_level(&l, &level)) {
		bool plus = span_is(level, "+"), rest = span_is(level, "#");
		struct node *next = NULL;

		for (struct node *node = frontier; node; node = node->frontier) {
			if (!plus && !rest) {
				struct node *exact = child_of(t, node, level);

				if (exact) {
					exact->frontier = next;
					next = exact;
				}
				continue;
			}
			if (rest && node != &t->root && node->retained)
				chain(&matches, node);
			for (struct node *child = node->first_child; child; child = child->next_sibling) {
				if (node == &t->root && child->name_len && node_name(child)[0] == '$' && !t->dollar)
					continue;	/* [MQTT-4.7.2-1] */
				if (rest) {
					chain_subtree(&matches, child);
				} else {
					child->frontier = next;
					next = child;
				}
			}
		}
		frontier = rest ? NULL : next;
	}
	for (struct node *node = frontier; node; node = node->frontier)
		if (node->retained)
			chain(&matches, node);
	return matches;
}
