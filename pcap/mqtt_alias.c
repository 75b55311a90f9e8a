#include "pcap/mqtt_parts.h"

#include <stdlib.h>

/* Topic aliases of one direction: a hash table by number, since a peer may allow 65,535 of them and use any. */

enum { FEWEST_SLOTS = 16 };

static uint32_t slot_of(unsigned alias, uint32_t cap)
{
	return (alias * UINT32_C(2654435761) >> 16) & (cap - 1);
}

static struct alias *lookup(const struct aliases *a, unsigned alias)
{
	if (!a->cap)
		return NULL;
	for (uint32_t i = slot_of(alias, a->cap); a->slots[i].alias; i = (i + 1) & (a->cap - 1))
		if (a->slots[i].alias == alias)
			return &a->slots[i];
	return NULL;
}

static struct alias *empty_slot(struct aliases *a, unsigned alias)
{
	uint32_t i = slot_of(alias, a->cap);

	while (a->slots[i].alias)
		i = (i + 1) & (a->cap - 1);
	return &a->slots[i];
}

/* Three quarters full at most, so that a look-up ends. */
static bool room_for_one(struct mqtt_stage *s, struct aliases *a)
{
	struct aliases larger = { .cap = a->cap ? 2 * a->cap : FEWEST_SLOTS, .n = a->n, .bytes = a->bytes };

	if (4 * (a->n + 1) <= 3 * a->cap)
		return true;
	if (!mqtt_hold(s, larger.cap * sizeof(*larger.slots)))
		return false;
	larger.slots = calloc(larger.cap, sizeof(*larger.slots));
	if (!larger.slots) {
		mqtt_let_go(s, larger.cap * sizeof(*larger.slots));
		return false;
	}
	for (uint32_t i = 0; i < a->cap; i++)
		if (a->slots[i].alias)
			*empty_slot(&larger, a->slots[i].alias) = a->slots[i];
	mqtt_let_go(s, a->cap * sizeof(*a->slots));
	free(a->slots);
	*a = larger;
	return true;
}

static void drop_topic(struct mqtt_stage *s, struct aliases *a, struct alias *slot)
{
	mqtt_let_go(s, slot->len);
	a->bytes -= slot->len;
	free(slot->topic);
	slot->topic = NULL;
	slot->len = 0;
}

void mqtt_alias_set(struct mqtt_stage *s, struct aliases *a, unsigned alias, struct span topic)
{
	struct alias *slot = lookup(a, alias);

	if (!alias || alias > UINT16_MAX || !topic.len)
		return;
	if (slot && slot->topic && span_equal(span_of(slot->topic, slot->len), topic))
		return;
	if (slot)
		drop_topic(s, a, slot);
	else if (!room_for_one(s, a))
		return;
	if (!slot) {
		slot = empty_slot(a, alias);
		slot->alias = (uint16_t)alias;
		a->n++;
	}
	if (topic.len > ALIAS_BYTES - a->bytes || !mqtt_hold(s, topic.len))
		return;
	slot->topic = malloc(topic.len);
	if (!slot->topic) {
		mqtt_let_go(s, topic.len);
		return;
	}
	memcpy(slot->topic, topic.at, topic.len);
	slot->len = (uint16_t)topic.len;
	a->bytes += topic.len;
}

struct span mqtt_alias_find(const struct aliases *a, unsigned alias)
{
	const struct alias *slot = lookup(a, alias);

	return slot ? span_of(slot->topic, slot->len) : span_of(NULL, 0);
}

void mqtt_alias_forget(struct mqtt_stage *s, struct aliases *a)
{
	if (!a->cap)
		return;
	for (uint32_t i = 0; i < a->cap; i++)
		if (a->slots[i].alias)
			drop_topic(s, a, &a->slots[i]);
	mqtt_let_go(s, a->cap * sizeof(*a->slots));
	free(a->slots);
	*a = (struct aliases){ 0 };
}
