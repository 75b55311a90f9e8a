#include "pcap/scenario_memory.h"

#include <stdlib.h>

#include "pcap/map.h"

/* ---- names of packet ids ---- */

static struct named_id *named_at(const struct named_ids *ids, uint16_t packet_id)
{
	for (uint32_t i = ids->n; i-- > 0;)
		if (ids->at[i].packet_id == packet_id)
			return &ids->at[i];
	return NULL;
}

uint32_t named_find(const struct named_ids *ids, uint16_t packet_id)
{
	const struct named_id *id = named_at(ids, packet_id);

	return id ? id->name : 0;
}

void named_remove(struct named_ids *ids, uint16_t packet_id)
{
	struct named_id *id = named_at(ids, packet_id);

	if (!id)
		return;
	memmove(id, id + 1, (size_t)(ids->at + ids->n - (id + 1)) * sizeof(*id));
	ids->n--;
}

static bool named_grow(struct named_ids *ids)
{
	uint32_t cap = ids->cap ? 2 * ids->cap : 8;
	size_t more = (cap - ids->cap) * sizeof(*ids->at);

	if (more > *ids->room)
		return false;
	ids->at = realloc(ids->at, cap * sizeof(*ids->at));
	if (!ids->at)
		abort();
	ids->cap = cap;
	*ids->room -= more;
	return true;
}

void named_add(struct named_ids *ids, uint16_t packet_id, uint32_t name)
{
	named_remove(ids, packet_id);
	if (ids->n == MAX_NAMED || (ids->n == ids->cap && !named_grow(ids))) {
		if (!ids->n)
			return;
		named_remove(ids, ids->at[0].packet_id);
	}
	ids->at[ids->n++] = (struct named_id){ packet_id, name };
}

void named_release(struct named_ids *ids)
{
	*ids->room += ids->cap * sizeof(*ids->at);
	free(ids->at);
	*ids = (struct named_ids){ .room = ids->room };
}

/* ---- published messages: hashes in sets of four, the newest first ---- */

enum { N_SETS = 1 << 14, WAYS = 4 };

struct published {
	struct message {
		uint64_t hash;		/* 0: free; its lowest two bits are how it was published */
	} sets[N_SETS][WAYS];
};

struct published *published_new(void)
{
	struct published *p = calloc(1, sizeof(*p));

	if (!p)
		abort();
	return p;
}

static uint64_t mixed(uint64_t hash, struct span s)
{
	for (size_t i = 0; i < s.len; i++)
		hash = (hash ^ s.at[i]) * 0x100000001b3u;
	return (hash ^ s.len) * 0x9e3779b97f4a7c15u;
}

static uint64_t message_hash(struct span topic, struct span payload)
{
	uint64_t hash = mixed(mixed(0xcbf29ce484222325u, topic), payload);

	return (hash ^ hash >> 29) & ~(uint64_t)3;
}

static struct message *set_of(const struct published *p, uint64_t hash)
{
	return ((struct published *)p)->sets[hash >> 8 & (N_SETS - 1)];
}

unsigned published_find(const struct published *p, struct span topic, struct span payload)
{
	uint64_t hash = message_hash(topic, payload);
	const struct message *set = set_of(p, hash);

	for (int i = 0; i < WAYS; i++)
		if ((set[i].hash & ~(uint64_t)3) == hash)
			return set[i].hash & 3;
	return 0;
}

void published_add(struct published *p, struct span topic, struct span payload, unsigned how)
{
	uint64_t hash = message_hash(topic, payload);
	struct message *set = set_of(p, hash);
	int i = 0;

	while (i < WAYS - 1 && (set[i].hash & ~(uint64_t)3) != hash)
		i++;
	if ((set[i].hash & ~(uint64_t)3) == hash)
		how |= set[i].hash & 3;
	memmove(set + 1, set, (size_t)i * sizeof(*set));
	set[0].hash = hash | how;
}

void published_free(struct published *p)
{
	free(p);
}

/* ---- strings ---- */

/* Where text stands in the index, or would stand. */
static uint32_t *strings_place(const struct strings *s, struct span text)
{
	uint32_t mask = 2 * s->cap - 1, i = (uint32_t)map_hash(text.at, text.len, 0) & mask;

	while (s->index[i] && !span_equal(string_span(&s->list[s->index[i] - 1]), text))
		i = (i + 1) & mask;
	return &s->index[i];
}

struct string *strings_find(const struct strings *s, struct span text)
{
	uint32_t number = s->n ? *strings_place(s, text) : 0;

	return number ? &s->list[number - 1] : NULL;
}

static size_t strings_size(uint32_t cap)
{
	return cap * (sizeof(struct string) + 2 * sizeof(uint32_t));
}

static bool strings_grow(struct strings *s)
{
	uint32_t cap = s->cap ? 2 * s->cap : 8;
	size_t more = strings_size(cap) - strings_size(s->cap);

	if (more > *s->room)
		return false;
	*s->room -= more;
	free(s->index);
	s->list = realloc(s->list, cap * sizeof(*s->list));
	s->index = calloc(2 * (size_t)cap, sizeof(*s->index));
	if (!s->list || !s->index)
		abort();
	s->cap = cap;
	for (uint32_t i = 0; i < s->n; i++)
		*strings_place(s, string_span(&s->list[i])) = i + 1;
	return true;
}

struct string *strings_add(struct strings *s, struct span text, uint32_t number)
{
	if (s->n == MAX_STRINGS || s->bytes + text.len > MAX_STRING_BYTES || (s->n == s->cap && !strings_grow(s)) || text.len + 1 > *s->room)
		return NULL;
	uint8_t *copy = malloc(text.len + 1);
	if (!copy)
		abort();
	if (text.len)
		memcpy(copy, text.at, text.len);
	*strings_place(s, text) = s->n + 1;
	s->list[s->n] = (struct string){ .at = copy, .len = (uint32_t)text.len, .number = number };
	s->bytes += text.len;
	*s->room -= text.len + 1;
	return &s->list[s->n++];
}

void strings_release(struct strings *s)
{
	for (uint32_t i = 0; i < s->n; i++)
		free(s->list[i].at);
	*s->room += s->bytes + s->n + strings_size(s->cap);
	free(s->list);
	free(s->index);
	*s = (struct strings){ .room = s->room };
}
