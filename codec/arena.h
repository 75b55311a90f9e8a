#ifndef CODEC_ARENA_H
#define CODEC_ARENA_H

#include "codec/span.h"

/*
 * Room lent by the caller and handed out front to back. Nothing is given back
 * one by one: arena_reset() takes all of it. A request that does not fit yields
 * NULL and sets full, which a caller reports as LIMIT, never as a fault of the peer.
 */
struct arena {
	uint8_t *base;
	size_t cap, used;
	bool full;
};

static inline void arena_init(struct arena *a, void *room, size_t cap)
{
	*a = (struct arena){ .base = room, .cap = cap };
}

static inline void arena_reset(struct arena *a)
{
	a->used = 0;
	a->full = false;
}

/* n bytes aligned for any scalar, not zeroed; NULL when the arena is full. */
static inline void *arena_take(struct arena *a, size_t n)
{
	size_t at = (a->used + 7) & ~(size_t)7;

	if (at > a->cap || n > a->cap - at) {
		a->full = true;
		return NULL;
	}
	a->used = at + n;
	return a->base + at;
}

/* A copy of s that lives as long as the arena's room; .at is NULL when full and s is not empty. */
static inline struct span arena_copy(struct arena *a, struct span s)
{
	uint8_t *at = s.len ? arena_take(a, s.len) : NULL;

	if (at)
		memcpy(at, s.at, s.len);
	return (struct span){ at, at ? s.len : 0 };
}

#endif
