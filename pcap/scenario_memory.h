#ifndef PCAP_SCENARIO_MEMORY_H
#define PCAP_SCENARIO_MEMORY_H

#include "codec/packet.h"

/*
 * What the writer of `capture` files remembers. All of it is bounded; what passes a bound is forgotten, oldest first, or not taken in.
 * `room`: the bytes that all that have the same one may still take; their owner's, and set before anything is added.
 */

/* ---- packet ids that the broker chose, and the names that the file gives them ---- */

enum { MAX_NAMED = 4096 };

struct named_ids {		/* zeroed to begin with, but for room */
	struct named_id {
		uint16_t packet_id;
		uint32_t name;
	} *at;
	uint32_t n, cap;
	size_t *room;
};

uint32_t named_find(const struct named_ids *ids, uint16_t packet_id);	/* 0: it has none */
void named_add(struct named_ids *ids, uint16_t packet_id, uint32_t name);
void named_remove(struct named_ids *ids, uint16_t packet_id);
void named_release(struct named_ids *ids);

/* ---- messages that were published, in the capture or by what the file adds to it ---- */

enum { PUBLISHED = 1, PUBLISHED_RETAINED = 2 };

struct published;
struct published *published_new(void);		/* given; aborts without memory */
void published_add(struct published *p, struct span topic, struct span payload, unsigned how);
unsigned published_find(const struct published *p, struct span topic, struct span payload);	/* 0: never, as far as is remembered */
void published_free(struct published *p);

/* ---- strings, in the order in which they came ---- */

enum { MAX_STRINGS = 10000, MAX_STRING_BYTES = 1 << 20 };

struct strings {		/* zeroed to begin with, but for room; no text twice */
	struct string {
		uint8_t *at;
		uint32_t len, number;	/* number, covered: the owner's */
		bool covered;
	} *list;
	uint32_t n, cap;
	uint32_t *index;		/* by hash: number in list + 1; 0: free. Twice as many as cap */
	size_t bytes;
	size_t *room;
};

static inline struct span string_span(const struct string *s)
{
	return span_of(s->at, s->len);
}

struct string *strings_find(const struct strings *s, struct span text);	/* NULL: none */
struct string *strings_add(struct strings *s, struct span text, uint32_t number);	/* copied, and not there yet; NULL: there is no room */
void strings_release(struct strings *s);

#endif
