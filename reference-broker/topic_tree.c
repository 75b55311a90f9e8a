#include "reference-broker/topic_tree.h"

#include <stdlib.h>

void tree_init(struct tree *t, const uint64_t key[2])
{
	*t = (struct tree){ .key = { key[0], key[1] } };
}

static void tree_worked(const struct tree *t, uint64_t n)
{
	if (t->work)
		*t->work += n;
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

	while (node && next_level(&l, &level)) {
		node = child_of(t, node, level);
		tree_worked(t, 1);
	}
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

struct node *tree_make(struct tree *t, struct span path, size_t most, size_t *made)
{
	struct node *node = &t->root;
	struct levels l = levels_of(path);
	struct span level;

	*made = 0;
	while (next_level(&l, &level)) {
		uint64_t hash = child_hash(t, node, level);
		struct node *child = child_find(t, node, level, hash);

		tree_worked(t, 1);
		if (!child) {
			*made += node_size(&(struct node){ .name_len = (uint16_t)level.len });
			child = *made <= most ? child_make(t, node, level, hash) : NULL;
			if (!child) {
				tree_prune(t, node);
				*made = 0;
				return NULL;
			}
		}
		node = child;
	}
	return node;
}

size_t tree_prune(struct tree *t, struct node *node)
{
	size_t freed = 0;

	while (node != &t->root && !node->first_child && !node->subscriptions && !node->groups && !node->retained &&
	       !node->pins) {
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

			tree_worked(t, 1);
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

/* ---- which topics a filter covers: down, across, and up by the parents, without a stack ---- */

/* The level of the filter that begins at pos; pos behind the end: none. */
static struct span level_at(struct span filter, size_t pos)
{
	size_t left = filter.len - pos;
	const uint8_t *slash = left ? memchr(filter.at + pos, '/', left) : NULL;

	return span_of(filter.at + pos, slash ? (size_t)(slash - (filter.at + pos)) : left);
}

/* Where the level before the one at pos begins. */
static size_t level_before(struct span filter, size_t pos)
{
	for (pos--; pos && filter.at[pos - 1] != '/'; pos--)
		;
	return pos;
}

static bool is_rest(struct span filter, const struct cover *c)
{
	return c->pos <= filter.len && span_is(level_at(filter, c->pos), "#");
}

/* [MQTT-4.7.2-1] wildcards at the root pass over what begins with $ */
static struct node *not_hidden(const struct tree *t, struct node *node)
{
	while (node && node->parent == &t->root && node->name_len && node_name(node)[0] == '$' && !t->dollar)
		node = node->next_sibling;
	return node;
}

static bool go_down(const struct tree *t, struct span filter, struct cover *c)
{
	bool rest = c->below || is_rest(filter, c);
	struct span level;
	struct node *child;

	if (!rest && c->pos > filter.len)
		return false;
	level = level_at(filter, c->pos);
	child = rest || span_is(level, "+") ? not_hidden(t, c->node->first_child) : child_of(t, c->node, level);
	if (!child)
		return false;
	c->node = child;
	if (rest)
		c->below++;
	else
		c->pos += level.len + 1;
	return true;
}

static bool go_on(const struct tree *t, struct span filter, struct cover *c)
{
	while (c->node != &t->root) {
		size_t pos = c->below ? c->pos : level_before(filter, c->pos);
		bool any = c->below || span_is(level_at(filter, pos), "+");
		struct node *sibling = any ? not_hidden(t, c->node->next_sibling) : NULL;

		if (sibling) {
			c->node = sibling;
			return true;
		}
		c->node = c->node->parent;
		c->pos = pos;
		c->below -= c->below != 0;
		tree_worked(t, 1);
	}
	return false;
}

struct node *cover_next(struct tree *t, struct span filter, struct cover *c, uint64_t most)
{
	if (!c->node)
		c->node = &t->root;
	for (uint64_t n = 0; !c->done && n < most; n++) {
		tree_worked(t, 1);
		if (!go_down(t, filter, c) && !go_on(t, filter, c))
			c->done = true;
		else if (c->node->retained && (c->below || c->pos > filter.len || is_rest(filter, c)))
			return c->node;
	}
	return NULL;
}

struct node *tree_covered(struct tree *t, struct span filter)
{
	struct node *matches = NULL, *node;
	struct cover c = { 0 };

	while ((node = cover_next(t, filter, &c, UINT64_MAX)))
		chain(&matches, node);
	return matches;
}
