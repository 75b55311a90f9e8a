#ifndef PCAP_FILTER_INDEX_H
#define PCAP_FILTER_INDEX_H

#include "pcap/map.h"

/*
 * Topic filters by level, so that finding those which match a topic costs its levels, not the number of filters. What a
 * filter is for hangs at its node.
 */
struct filter_node {
	struct map_entry entry;		/* by parent and level */
	struct filter_node *parent, *plus, *hash;	/* the children "+" and "#" */
	void *first;			/* the owner's: NULL when nobody has this filter */
	uint32_t children;
	uint16_t len;			/* of the level */
	const uint8_t *level;		/* behind this */
};

struct filter_index {			/* zeroed is empty */
	struct map nodes;
	struct filter_node root;
	size_t bytes;
};

enum { FILTER_LEVELS = 64, FILTER_VISITS = 4096 };

/* The filter's node, made if need be. NULL: no memory, or more than FILTER_LEVELS levels. */
struct filter_node *filter_index_place(struct filter_index *index, struct span filter);

/* The node lost its owner: it goes, with those above it that nobody needs. */
void filter_index_prune(struct filter_index *index, struct filter_node *node);

/*
 * Calls found for each node with an owner whose filter matches the topic. False when more than FILTER_VISITS nodes would
 * have to be looked at: then some may not have been found.
 */
bool filter_index_match(const struct filter_index *index, struct span topic, void (*found)(void *context, struct filter_node *node), void *context);

void filter_index_release(struct filter_index *index);

#endif
