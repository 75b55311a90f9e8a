#ifndef LOAD_LEDGER_HAD_H
#define LOAD_LEDGER_HAD_H

#include "harness/load/pool.h"
#include "harness/load/ledger_ranges.h"

/*
 * Which numbers of a stream one subscriber has had, exactly, and between which arrivals the others failed to come.
 * While they come one after another that is two numbers. What is missing between them are holes; where these are
 * many, as with a shared group's member or a broker that drops every other message, whole pages of 512 numbers are
 * kept as bits.
 */

enum { PAGE_NUMBERS = 512 };

struct hole {				/* [from, to) did not come between two arrivals */
	uint32_t from, to;		/* equal: it has been filled since */
	uint32_t since_ms, until_ms;
};

struct page {
	uint32_t base;			/* a multiple of PAGE_NUMBERS */
	uint32_t n;			/* missing; never 0 */
	uint32_t since_ms, until_ms;	/* of its first and last hole */
	uint64_t missing[PAGE_NUMBERS / 64];
};

struct odd {				/* what the usual subscriber of a stream does not need */
	struct hole *holes;		/* in order; none within a page */
	uint32_t n_holes, cap_holes, n_filled;
	uint32_t n_pages, cap_pages;
	struct page **pages;		/* in order */
	uint64_t duplicated, reordered;
	uint64_t further_delivered;	/* counted as delivered beyond the first of each number */
	uint64_t settled;		/* numbers below `first` that the group's account has */
	uint32_t group;			/* whose; 0: none has */
	uint32_t settle_at;		/* not before it has that weight */
	struct had *further;		/* numbers that came twice and more, of which copies are due: the same again */
};

struct had {				/* zeroed: none */
	uint32_t first, next;		/* the least one had, or from which on it is told here; and the one behind the highest; next 0: none */
	uint32_t first_ms, last_ms;	/* arrivals: the first of all, the last that was the highest so far */
	struct odd *odd;
};

enum had_as { HAD_NEXT, HAD_BEHIND, HAD_BEFORE };	/* new; new behind a later one; not new */

enum had_as had_take_slowly(struct pool *pool, struct had *had, uint32_t number, uint32_t now_ms);

/* number is less than 2^32 - 1 */
static inline enum had_as had_take(struct pool *pool, struct had *had, uint32_t number, uint32_t now_ms)
{
	if (number != had->next || number == 0)
		return had_take_slowly(pool, had, number, now_ms);
	had->next++;
	had->last_ms = now_ms;
	return HAD_NEXT;
}

/*
 * Forgets what is below the line, which lies between its first and last and is a multiple of PAGE_NUMBERS: `ranges`
 * gets what was had of it. There is something odd about it.
 */
void had_cut(struct pool *pool, struct had *had, uint32_t line, struct ranges *ranges);
uint32_t had_middle(const struct had *had);			/* such a line, if it is above `first` */
static inline uint32_t had_weight(const struct odd *odd)	/* what it takes, in pages */
{
	return odd->n_pages + odd->n_holes / 8;
}
struct odd *had_odd(struct pool *pool, struct had *had);	/* made when there is none */
bool had_has(const struct had *had, uint32_t number);
uint64_t had_count(const struct had *had);
void had_ranges(const struct had *had, struct ranges *ranges);	/* appended, in order */

/*
 * The hole that a number which did not come lies in, and when that was. Behind the last one had: `to` is UINT32_MAX,
 * until_ms UINT32_MAX.
 */
struct hole had_hole(const struct had *had, uint32_t number);

#endif
