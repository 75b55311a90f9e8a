#include "pcap/map.h"

#include <stdlib.h>
#include <sys/random.h>

static uint64_t key;

static uint64_t process_key(void)
{
	if (!key && (getrandom(&key, sizeof(key), GRND_NONBLOCK) != sizeof(key) || !key))
		key = UINT64_C(0x9e3779b97f4a7c15);
	return key;
}

uint64_t map_mix(uint64_t a, uint64_t b)
{
	unsigned __int128 product = (unsigned __int128)(a ^ UINT64_C(0xa0761d6478bd642f)) * (b ^ UINT64_C(0xe7037ed1a0b428db));

	return (uint64_t)(product >> 64) ^ (uint64_t)product;
}

uint64_t map_hash(const void *bytes, size_t len, uint64_t seed)
{
	const uint8_t *at = bytes;
	uint64_t hash = map_mix(process_key() ^ seed, len), one, two;

	for (; len > 16; at += 16, len -= 16) {
		memcpy(&one, at, 8);
		memcpy(&two, at + 8, 8);
		hash = map_mix(one ^ hash, two ^ key);
	}
	one = two = 0;
	if (len >= 8) {
		memcpy(&one, at, 8);
		memcpy(&two, at + len - 8, 8);
	} else if (len >= 4) {
		uint32_t low, high;

		memcpy(&low, at, 4);
		memcpy(&high, at + len - 4, 4);
		one = low;
		two = high;
	} else if (len) {
		one = (uint64_t)at[0] << 16 | (uint64_t)at[len / 2] << 8 | at[len - 1];
	}
	return map_mix(one ^ hash, two ^ key);
}

static bool grow(struct map *map)
{
	size_t cap = map->cap ? map->cap * 2 : 64;
	struct map_entry **heads = calloc(cap, sizeof(*heads));

	if (!heads)
		return map->cap;	/* longer chains will do */
	for (size_t i = 0; i < map->cap; i++) {
		for (struct map_entry *e = map->heads[i], *next; e; e = next) {
			struct map_entry **head = &heads[e->hash & (cap - 1)];

			next = e->next;
			e->next = *head;
			*head = e;
		}
	}
	free(map->heads);
	map->heads = heads;
	map->cap = cap;
	return true;
}

bool map_add(struct map *map, struct map_entry *entry, uint64_t hash)
{
	if (map->n >= map->cap && !grow(map))
		return false;
	struct map_entry **head = &map->heads[hash & (map->cap - 1)];

	*entry = (struct map_entry){ *head, hash };
	*head = entry;
	map->n++;
	return true;
}

void map_remove(struct map *map, struct map_entry *entry)
{
	struct map_entry **at = &map->heads[entry->hash & (map->cap - 1)];

	while (*at != entry)
		at = &(*at)->next;
	*at = entry->next;
	map->n--;
}

void *map_any(const struct map *map, void *before)
{
	const struct map_entry *e = before;
	size_t i = 0;

	if (e) {
		if (e->next)
			return e->next;
		i = (e->hash & (map->cap - 1)) + 1;
	}
	for (; i < map->cap; i++)
		if (map->heads[i])
			return map->heads[i];
	return NULL;
}

void map_release(struct map *map)
{
	free(map->heads);
	*map = (struct map){ 0 };
}

/* ---- slabs: chunks of some 16 kB, what is unused linked through its first bytes ---- */

enum { CHUNK = 16384 };

struct chunk {
	struct chunk *next;
	_Alignas(16) uint8_t room[];
};

static bool more(struct slab *slab)
{
	size_t each = (slab->size + 15) & ~(size_t)15, n = each < CHUNK / 4 ? CHUNK / each : 4;
	struct chunk *chunk = malloc(sizeof(*chunk) + n * each);

	if (!chunk)
		return false;
	chunk->next = slab->chunks;
	slab->chunks = chunk;
	for (size_t i = n; i-- > 0;) {
		void **one = (void **)(void *)(chunk->room + i * each);

		*one = slab->unused;
		slab->unused = one;
	}
	return true;
}

void *slab_take(struct slab *slab)
{
	if (slab->n >= slab->most || (!slab->unused && !more(slab)))
		return NULL;
	void **one = slab->unused;

	slab->unused = *one;
	slab->n++;
	return memset(one, 0, slab->size);
}

void slab_give(struct slab *slab, void *taken)
{
	*(void **)taken = slab->unused;
	slab->unused = taken;
	slab->n--;
}

void slab_release(struct slab *slab)
{
	for (struct chunk *c = slab->chunks, *next; c; c = next) {
		next = c->next;
		free(c);
	}
	*slab = (struct slab){ .size = slab->size, .most = slab->most };
}
