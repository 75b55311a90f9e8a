#ifndef LOAD_LEDGER_RANGES_H
#define LOAD_LEDGER_RANGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Sets of numbers as ranges: in order, apart, none empty. Memory that is not there ends the program. */

struct range {
	uint32_t from, to;		/* without `to` */
};

struct ranges {				/* zeroed: empty */
	struct range *at;
	size_t n, cap;
};

void ranges_append(struct ranges *r, uint32_t from, uint32_t to);	/* from is not below any in it; joined where they touch; an empty range is nothing */
void ranges_put(struct ranges *r, uint32_t from, uint32_t to);		/* anywhere */
void ranges_unite(struct ranges *to, const struct ranges *a, const struct ranges *b);	/* `to` is a third */
void ranges_subtract(struct ranges *to, const struct ranges *a, const struct ranges *b);
void ranges_intersect(struct ranges *to, const struct ranges *a, const struct ranges *b);
uint64_t ranges_count(const struct ranges *r);
static inline void ranges_clear(struct ranges *r)
{
	r->n = 0;
}
void ranges_release(struct ranges *r);

/* Room for n of size bytes each, as realloc; ends the program without. *cap is doubled as often as needed. */
void *ranges_grow(void *array, size_t n, size_t *cap, size_t size);

#endif
