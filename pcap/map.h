#ifndef PCAP_MAP_H
#define PCAP_MAP_H

#include "codec/span.h"

/*
 * Hash maps whose entries stand in the objects that they hold, and room for many objects of one size. What the views and the
 * check look things up in for each packet: adding to a map that has grown, and taking from a slab, costs no allocation.
 */

struct map_entry {		/* stands first in what the map holds */
	struct map_entry *next;
	uint64_t hash;
};

struct map {			/* zeroed is empty */
	struct map_entry **heads;
	size_t n, cap;
};

/* Keyed by a number of the process's own, so that no capture can be made to collide; so no order may follow from hashes. */
uint64_t map_hash(const void *bytes, size_t len, uint64_t seed);
uint64_t map_mix(uint64_t a, uint64_t b);	/* two numbers or hashes into one */

bool map_add(struct map *map, struct map_entry *entry, uint64_t hash);	/* false: no memory. Whether it is there already is not looked at */
void map_remove(struct map *map, struct map_entry *entry);		/* which must be there */
void map_release(struct map *map);	/* not the entries */

/* The first of those with that hash: the caller compares, and goes on with map_more(). */
static inline struct map_entry *map_same(struct map_entry *entry, uint64_t hash)
{
	while (entry && entry->hash != hash)
		entry = entry->next;
	return entry;
}

static inline void *map_find(const struct map *map, uint64_t hash)
{
	return map->cap ? map_same(map->heads[hash & (map->cap - 1)], hash) : NULL;
}

static inline void *map_more(void *entry)
{
	struct map_entry *e = entry;

	return map_same(e->next, e->hash);
}

/* Walks over all, in no order: for (e = map_any(map, NULL); e; e = map_any(map, e)). The entry may be removed once the next is known. */
void *map_any(const struct map *map, void *before);

struct slab {			/* .size and .most set, the rest zeroed, is empty */
	size_t size;			/* of one */
	size_t most;			/* at a time */
	size_t n;
	void *unused, *chunks;
};

void *slab_take(struct slab *slab);	/* zeroed; NULL: there are `most`, or no memory */
void slab_give(struct slab *slab, void *taken);
void slab_release(struct slab *slab);	/* all of it, what is taken too */

#endif
