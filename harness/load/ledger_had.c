#include "harness/load/ledger_had.h"

#include <string.h>

enum { FOLD_HOLES = 8 };		/* that many holes cost what a page of bits costs */

struct odd *had_odd(struct pool *pool, struct had *had)
{
	if (!had->odd)
		had->odd = pool_zeroed(pool, sizeof(*had->odd));
	return had->odd;
}

/* ---- pages ---- */

static uint32_t page_of(uint32_t number)
{
	return number & ~(uint32_t)(PAGE_NUMBERS - 1);
}

/* The first page at or behind base. */
static uint32_t find_page(const struct odd *odd, uint32_t base)
{
	uint32_t low = 0, high = odd->n_pages;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (odd->pages[middle]->base < base)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static struct page *new_page(struct pool *pool, struct odd *odd, uint32_t base)
{
	struct page *page = pool_zeroed(pool, sizeof(*page));
	uint32_t at = find_page(odd, base);

	if (odd->n_pages == odd->cap_pages) {
		uint32_t cap = odd->cap_pages ? 2 * odd->cap_pages : 4;
		struct page **pages = pool_take(pool, cap * sizeof(struct page *));

		if (odd->n_pages)
			memcpy(pages, odd->pages, odd->n_pages * sizeof(struct page *));
		pool_give(pool, odd->pages, odd->cap_pages * sizeof(struct page *));
		odd->pages = pages;
		odd->cap_pages = cap;
	}
	memmove(&odd->pages[at + 1], &odd->pages[at], (odd->n_pages - at) * sizeof(struct page *));
	odd->n_pages++;
	odd->pages[at] = page;
	page->base = base;
	return page;
}

static void page_misses(struct page *page, uint32_t from, uint32_t to)
{
	for (uint32_t i = from - page->base; i < to - page->base; i++)
		page->missing[i / 64] |= UINT64_C(1) << i % 64;
	page->n += to - from;
}

/* ---- holes ---- */

static void drop_filled(struct odd *odd)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < odd->n_holes; i++)
		if (odd->holes[i].from != odd->holes[i].to)
			odd->holes[n++] = odd->holes[i];
	odd->n_holes = n;
	odd->n_filled = 0;
}

/*
 * Makes pages of the numbers in which holes are many: only of those that lie wholly among what came, so that no hole
 * is ever added to one.
 */
static void fold(struct pool *pool, struct had *had, struct odd *odd)
{
	struct hole *holes = odd->holes;
	uint32_t kept = 0, i = 0;

	while (i < odd->n_holes) {
		uint32_t base = page_of(holes[i].from), j = i;
		uint64_t end = (uint64_t)base + PAGE_NUMBERS;
		struct hole rest = { 0 };
		struct page *page;

		while (j < odd->n_holes && holes[j].from < end)
			j++;
		if (j - i < FOLD_HOLES || base < had->first || end > had->next) {
			while (i < j)
				holes[kept++] = holes[i++];
			continue;
		}
		page = new_page(pool, odd, base);
		page->since_ms = holes[i].since_ms;
		page->until_ms = holes[j - 1].until_ms;
		if (kept && holes[kept - 1].to > base) {	/* one that began before */
			page_misses(page, base, holes[kept - 1].to);
			page->since_ms = holes[kept - 1].since_ms;
			holes[kept - 1].to = base;
			kept -= holes[kept - 1].from == base;	/* the rest of one that began in the page before */
		}
		for (; i < j; i++) {
			if (holes[i].to > end) {
				rest = holes[i];
				rest.from = (uint32_t)end;
				holes[i].to = (uint32_t)end;
			}
			page_misses(page, holes[i].from, holes[i].to);
		}
		if (rest.to)
			holes[kept++] = rest;
	}
	odd->n_holes = kept;
}

static void room_for_hole(struct pool *pool, struct had *had, struct odd *odd)
{
	struct hole *holes;
	uint32_t cap;

	if (odd->n_holes < odd->cap_holes)
		return;
	if (odd->n_filled)
		drop_filled(odd);
	if (odd->n_holes >= 2 * FOLD_HOLES)
		fold(pool, had, odd);
	if (odd->n_holes < odd->cap_holes - odd->cap_holes / 4)
		return;
	cap = odd->cap_holes ? 2 * odd->cap_holes : 2;
	holes = pool_take(pool, cap * sizeof(*holes));
	if (odd->n_holes)
		memcpy(holes, odd->holes, odd->n_holes * sizeof(*holes));
	pool_give(pool, odd->holes, odd->cap_holes * sizeof(*holes));
	odd->holes = holes;
	odd->cap_holes = cap;
}

static void insert_hole(struct odd *odd, uint32_t at, struct hole hole)
{
	memmove(&odd->holes[at + 1], &odd->holes[at], (odd->n_holes - at) * sizeof(hole));
	odd->n_holes++;
	odd->holes[at] = hole;
}

/* How many holes begin at number or before. */
static uint32_t find_hole(const struct odd *odd, uint32_t number)
{
	uint32_t low = 0, high = odd->n_holes;

	if (high && odd->holes[high - 1].from <= number)
		return high;
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (odd->holes[middle].from <= number)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* ---- taking ---- */

static enum had_as fill_page(struct pool *pool, struct odd *odd, uint32_t at, uint32_t number)
{
	struct page *page = odd->pages[at];
	uint32_t i = number - page->base;
	uint64_t bit = UINT64_C(1) << i % 64;

	if (!(page->missing[i / 64] & bit))
		return HAD_BEFORE;
	page->missing[i / 64] &= ~bit;
	if (--page->n == 0) {
		memmove(&odd->pages[at], &odd->pages[at + 1], (odd->n_pages - at - 1) * sizeof(struct page *));
		odd->n_pages--;
		pool_give(pool, page, sizeof(*page));
	}
	return HAD_BEHIND;
}

static enum had_as fill(struct pool *pool, struct had *had, uint32_t number)
{
	struct odd *odd = had->odd;
	struct hole *hole, rest;
	uint32_t at;

	if (!odd)
		return HAD_BEFORE;
	room_for_hole(pool, had, odd);		/* if one must be split; first, as it may make pages */
	at = find_page(odd, page_of(number));
	if (at < odd->n_pages && odd->pages[at]->base == page_of(number))
		return fill_page(pool, odd, at, number);
	at = find_hole(odd, number);
	if (at == 0 || odd->holes[at - 1].to <= number)
		return HAD_BEFORE;
	hole = &odd->holes[at - 1];
	if (number + 1 == hole->to) {
		hole->to--;
	} else if (number == hole->from) {
		hole->from++;
	} else {
		rest = *hole;
		rest.from = number + 1;
		hole->to = number;
		insert_hole(odd, at, rest);
		return HAD_BEHIND;
	}
	if (hole->from == hole->to)
		odd->n_filled++;
	while (odd->n_holes && odd->holes[odd->n_holes - 1].from == odd->holes[odd->n_holes - 1].to) {
		odd->n_holes--;
		odd->n_filled--;
	}
	if (odd->n_filled > odd->n_holes / 2)
		drop_filled(odd);
	return HAD_BEHIND;
}

enum had_as had_take_slowly(struct pool *pool, struct had *had, uint32_t number, uint32_t now_ms)
{
	struct odd *odd;

	if (had->next == 0) {
		had->first = number;
		had->next = number + 1;
		had->first_ms = had->last_ms = now_ms;
		return HAD_NEXT;
	}
	if (number >= had->next) {
		if (number > had->next) {
			odd = had_odd(pool, had);
			room_for_hole(pool, had, odd);
			odd->holes[odd->n_holes++] = (struct hole){ had->next, number, had->last_ms, now_ms };
		}
		had->next = number + 1;
		had->last_ms = now_ms;
		return HAD_NEXT;
	}
	if (number >= had->first)
		return fill(pool, had, number);
	if (number + 1 < had->first) {
		odd = had_odd(pool, had);
		room_for_hole(pool, had, odd);
		insert_hole(odd, 0, (struct hole){ number + 1, had->first, 0, had->first_ms });
	}
	had->first = number;
	return HAD_BEHIND;
}

/* ---- reading ---- */

uint64_t had_count(const struct had *had)
{
	uint64_t n = had->next - had->first;

	if (!had->odd)
		return n;
	for (uint32_t i = 0; i < had->odd->n_holes; i++)
		n -= had->odd->holes[i].to - had->odd->holes[i].from;
	for (uint32_t i = 0; i < had->odd->n_pages; i++)
		n -= had->odd->pages[i]->n;
	return n;
}

static bool page_lacks(const struct page *page, uint32_t number)
{
	uint32_t i = number - page->base;

	return page->missing[i / 64] >> i % 64 & 1;
}

bool had_has(const struct had *had, uint32_t number)
{
	const struct odd *odd = had->odd;
	uint32_t at;

	if (number < had->first || number >= had->next)
		return false;
	if (!odd)
		return true;
	at = find_page(odd, page_of(number));
	if (at < odd->n_pages && odd->pages[at]->base == page_of(number))
		return !page_lacks(odd->pages[at], number);
	at = find_hole(odd, number);
	return at == 0 || odd->holes[at - 1].to <= number;
}

/* What was had from `from` on up to the page's end; *from is then behind the last one missing. */
static void page_ranges(const struct page *page, uint32_t *from, struct ranges *ranges)
{
	for (uint32_t word = 0; word < PAGE_NUMBERS / 64; word++) {
		uint64_t missing = page->missing[word];
		uint32_t base = page->base + 64 * word, at, end;

		for (; missing; missing &= end < 64 ? UINT64_MAX << end : 0) {
			at = (uint32_t)__builtin_ctzll(missing);
			end = ~(missing >> at) ? at + (uint32_t)__builtin_ctzll(~(missing >> at)) : 64;
			ranges_append(ranges, *from, base + at);
			*from = base + end;
		}
	}
}

/* What was had below a line that no page contains. */
static void ranges_below(const struct had *had, uint32_t line, struct ranges *ranges)
{
	const struct odd *odd = had->odd;
	uint32_t from = had->first, h = 0, p = 0;

	while (odd && from < line && (h < odd->n_holes || p < odd->n_pages)) {
		if (p == odd->n_pages || (h < odd->n_holes && odd->holes[h].from < odd->pages[p]->base)) {
			ranges_append(ranges, from, odd->holes[h].from < line ? odd->holes[h].from : line);
			from = odd->holes[h++].to;
		} else if (odd->pages[p]->base < line) {
			page_ranges(odd->pages[p++], &from, ranges);
		} else {
			break;
		}
	}
	ranges_append(ranges, from, line);
}

void had_ranges(const struct had *had, struct ranges *ranges)
{
	ranges_below(had, had->next, ranges);
}

struct hole had_hole(const struct had *had, uint32_t number)
{
	const struct odd *odd = had->odd;
	struct hole hole = { 0, UINT32_MAX, 0, UINT32_MAX };
	uint32_t at;

	if (had->next == 0)
		return hole;
	if (number >= had->next)
		return (struct hole){ had->next, UINT32_MAX, had->last_ms, UINT32_MAX };
	if (number < had->first)
		return (struct hole){ 0, had->first, 0, had->first_ms };
	at = find_page(odd, page_of(number));
	if (at == odd->n_pages || odd->pages[at]->base != page_of(number))
		return odd->holes[find_hole(odd, number) - 1];
	hole = (struct hole){ number, number, odd->pages[at]->since_ms, odd->pages[at]->until_ms };
	while (hole.to - odd->pages[at]->base < PAGE_NUMBERS && page_lacks(odd->pages[at], hole.to))
		hole.to++;
	return hole;
}

void had_cut(struct pool *pool, struct had *had, uint32_t line, struct ranges *ranges)
{
	struct odd *odd = had->odd;
	uint32_t first = find_page(odd, line), n = 0;

	ranges_below(had, line, ranges);
	for (uint32_t i = 0; i < first; i++)
		pool_give(pool, odd->pages[i], sizeof(**odd->pages));
	odd->n_pages -= first;
	if (odd->n_pages)
		memmove(odd->pages, odd->pages + first, odd->n_pages * sizeof(struct page *));
	drop_filled(odd);
	while (n < odd->n_holes && odd->holes[n].to <= line)
		n++;
	odd->n_holes -= n;
	if (odd->n_holes)
		memmove(odd->holes, odd->holes + n, odd->n_holes * sizeof(*odd->holes));
	if (odd->n_holes && odd->holes[0].from < line)
		odd->holes[0].from = line;
	had->first = line;
	had->first_ms = had->last_ms;		/* by when all below had come or not, as near as can be told */
	if (odd->n_pages)
		had->first_ms = odd->pages[0]->until_ms;
	if (odd->n_holes && odd->holes[0].until_ms < had->first_ms)
		had->first_ms = odd->holes[0].until_ms;
}

uint32_t had_middle(const struct had *had)
{
	return page_of(had->first + (had->next - had->first) / 2);
}
