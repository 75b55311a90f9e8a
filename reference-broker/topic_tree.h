#ifndef REFERENCE_BROKER_TOPIC_TREE_H
#define REFERENCE_BROKER_TOPIC_TREE_H

#include "codec/span.h"

/*
 * Topic levels as a tree: of filters with their subscriptions, or of topics with
 * their retained messages. Nothing recurses and no path is walked twice: a search moves
 * a frontier of nodes down one level at a time, so its cost is bounded by the nodes there
 * are, whatever the pattern.
 */
struct entry {				/* of a hash table, in the object that it holds */
	struct entry *next;
	uint64_t hash;
};

struct table {
	struct entry **buckets;
	size_t n, cap;			/* cap is a power of two, or 0 */
};

/* SipHash-1-3: keyed, so that clients cannot choose names that collide. */
uint64_t hash_bytes(const uint64_t key[2], const void *bytes, size_t len);

struct entry *table_chain(const struct table *t, uint64_t hash);	/* look for equal hashes along ->next */
bool table_add(struct table *t, struct entry *e, uint64_t hash);	/* false: out of memory */
void table_remove(struct table *t, struct entry *e);
void table_release(struct table *t);		/* its own room; the entries are their owners' */

/* What the allocator takes for n bytes. */
static inline size_t heap_size(size_t n)
{
	return n <= 24 ? 32 : (n + 8 + 15) & ~(size_t)15;
}

/* A table's own room for one entry: it is between half and a quarter full when it has just grown or shrunk. */
#define ENTRY_COST (2 * sizeof(struct entry *))

struct node {
	struct entry entry;
	struct node *parent, *first_child, *next_sibling, *prev_sibling;
	struct node *plus, *rest;	/* the children "+" and "#" */
	struct node *frontier, *next_match;
	struct subscription *subscriptions;	/* what hangs here: a node without any and without children goes */
	struct group *groups;
	struct message *retained;
	uint16_t name_len;		/* the name itself stands behind the node */
	uint32_t pins;			/* covers that stand here: it stays while there are any */
};

static inline uint8_t *node_name(const struct node *node)
{
	return (uint8_t *)(node + 1);
}

size_t node_size(const struct node *node);	/* what it costs, with its place in the table */

struct tree {
	struct table nodes, members, groups;	/* the latter two: the owner's indexes of what hangs on nodes */
	struct node root;		/* of the name before the first level */
	uint64_t key[2];
	bool dollar;			/* by a fault: leading wildcards match $ */
	uint64_t *work;			/* counts up with each node or level that is looked at; NULL: not */
};

void tree_init(struct tree *t, const uint64_t key[2]);
void tree_release(struct tree *t);	/* with all nodes */

/* The node of that topic or filter; NULL when there is none. */
struct node *tree_find(const struct tree *t, struct span path);

/* The same, made where it is missing; NULL when that takes more than `most` bytes of heap. *made: how many it took. */
struct node *tree_make(struct tree *t, struct span path, size_t most, size_t *made);

/* Frees the node and its forebears as far as nothing hangs on them; returns the bytes given back. */
size_t tree_prune(struct tree *t, struct node *node);

/* In a tree of filters: those that match the topic, chained by next_match. */
struct node *tree_match(struct tree *t, struct span topic);

/*
 * In a tree of topics: those with a retained message that the filter matches, one by one. Zero-initialised, a cover
 * stands before the first. Between calls the tree may change, if its node is pinned; what comes in meanwhile may be passed
 * over.
 */
struct cover {
	struct node *node;		/* where it stands; NULL: before the first */
	size_t pos;			/* of the filter's level that selects among its children; behind the end: none does */
	uint32_t below;			/* levels below the node that "#" stands for */
	bool done;
};

/* NULL: there are no more, and it is done, or about that many nodes were looked at: call again. */
struct node *cover_next(struct tree *t, struct span filter, struct cover *c, uint64_t most);

/* All of them, chained by next_match. */
struct node *tree_covered(struct tree *t, struct span filter);

#endif
