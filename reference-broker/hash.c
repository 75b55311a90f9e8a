#include "reference-broker/topic_tree.h"

#include <stdlib.h>

#define ROTATE(x, n) ((x) << (n) | (x) >> (64 - (n)))

static inline void sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[1] = ROTATE(v[1], 13) ^ v[0];
	v[0] = ROTATE(v[0], 32);
	v[2] += v[3];
	v[3] = ROTATE(v[3], 16) ^ v[2];
	v[0] += v[3];
	v[3] = ROTATE(v[3], 21) ^ v[0];
	v[2] += v[1];
	v[1] = ROTATE(v[1], 17) ^ v[2];
	v[2] = ROTATE(v[2], 32);
}

uint64_t hash_bytes(const uint64_t key[2], const void *bytes, size_t len)
{
	uint64_t v[4] = {
		key[0] ^ UINT64_C(0x736f6d6570736575), key[1] ^ UINT64_C(0x646f72616e646f6d),
		key[0] ^ UINT64_C(0x6c7967656e657261), key[1] ^ UINT64_C(0x7465646279746573),
	};
	const uint8_t *at = bytes;
	uint64_t word = 0, last = (uint64_t)len << 56;

	for (size_t left = len; left >= 8; left -= 8, at += 8) {
		memcpy(&word, at, 8);
		v[3] ^= word;
		sip_round(v);
		v[0] ^= word;
	}
	for (size_t i = 0; i < len % 8; i++)
		last |= (uint64_t)at[i] << 8 * i;
	v[3] ^= last;
	sip_round(v);
	v[0] ^= last;
	v[2] ^= 0xff;
	for (int i = 0; i < 3; i++)
		sip_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

struct entry *table_chain(const struct table *t, uint64_t hash)
{
	return t->cap ? t->buckets[hash & (t->cap - 1)] : NULL;
}

static bool table_resize(struct table *t, size_t cap)
{
	struct entry **buckets = calloc(cap, sizeof(*buckets));

	if (!buckets)
		return false;
	for (size_t i = 0; i < t->cap; i++) {
		for (struct entry *e = t->buckets[i], *next; e; e = next) {
			struct entry **to = &buckets[e->hash & (cap - 1)];

			next = e->next;
			e->next = *to;
			*to = e;
		}
	}
	free(t->buckets);
	t->buckets = buckets;
	t->cap = cap;
	return true;
}

bool table_add(struct table *t, struct entry *e, uint64_t hash)
{
	if (t->n >= t->cap && !table_resize(t, t->cap ? t->cap * 2 : 16) && !t->cap)
		return false;

	struct entry **to = &t->buckets[hash & (t->cap - 1)];

	e->hash = hash;
	e->next = *to;
	*to = e;
	t->n++;
	return true;
}

void table_remove(struct table *t, struct entry *e)
{
	struct entry **at = &t->buckets[e->hash & (t->cap - 1)];

	while (*at != e)
		at = &(*at)->next;
	*at = e->next;
	t->n--;
	if (t->cap > 64 && t->n < t->cap / 8)
		table_resize(t, t->cap / 4);	/* where that fails it stays as it is */
}

void table_release(struct table *t)
{
	free(t->buckets);
	*t = (struct table){ 0 };
}
