#include "harness/load/ledger_ranges.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void *ranges_grow(void *array, size_t n, size_t *cap, size_t size)
{
	size_t wanted = *cap ? *cap : 8;

	if (n <= *cap)
		return array;
	while (wanted < n)
		wanted *= 2;
	if (!(array = realloc(array, wanted * size))) {
		fputs("mqassay: out of memory\n", stderr);
		abort();
	}
	*cap = wanted;
	return array;
}

void ranges_append(struct ranges *r, uint32_t from, uint32_t to)
{
	if (from >= to)
		return;
	if (r->n && r->at[r->n - 1].to >= from) {
		if (r->at[r->n - 1].to < to)
			r->at[r->n - 1].to = to;
		return;
	}
	r->at = ranges_grow(r->at, r->n + 1, &r->cap, sizeof(*r->at));
	r->at[r->n++] = (struct range){ from, to };
}

void ranges_put(struct ranges *r, uint32_t from, uint32_t to)
{
	size_t i = r->n, j;

	if (from >= to)
		return;
	while (i > 0 && r->at[i - 1].to >= from)	/* mostly at the end */
		i--;
	for (j = i; j < r->n && r->at[j].from <= to; j++) {
		from = r->at[j].from < from ? r->at[j].from : from;
		to = r->at[j].to > to ? r->at[j].to : to;
	}
	if (i == j)
		r->at = ranges_grow(r->at, r->n + 1, &r->cap, sizeof(*r->at));
	if (j < r->n || i == j)
		memmove(&r->at[i + 1], &r->at[j], (r->n - j) * sizeof(*r->at));
	r->n = r->n - (j - i) + 1;
	r->at[i] = (struct range){ from, to };
}

void ranges_unite(struct ranges *to, const struct ranges *a, const struct ranges *b)
{
	size_t i = 0, j = 0;

	ranges_clear(to);
	while (i < a->n || j < b->n) {
		const struct range *next = j == b->n || (i < a->n && a->at[i].from <= b->at[j].from) ? &a->at[i++] : &b->at[j++];

		ranges_append(to, next->from, next->to);
	}
}

void ranges_subtract(struct ranges *to, const struct ranges *a, const struct ranges *b)
{
	size_t j = 0;

	ranges_clear(to);
	for (size_t i = 0; i < a->n; i++) {
		uint32_t from = a->at[i].from;

		while (j < b->n && b->at[j].to <= from)
			j++;
		for (size_t k = j; k < b->n && b->at[k].from < a->at[i].to; k++) {
			ranges_append(to, from, b->at[k].from);
			from = b->at[k].to;
		}
		ranges_append(to, from, a->at[i].to);
	}
}

void ranges_intersect(struct ranges *to, const struct ranges *a, const struct ranges *b)
{
	size_t i = 0, j = 0;

	ranges_clear(to);
	while (i < a->n && j < b->n) {
		uint32_t from = a->at[i].from > b->at[j].from ? a->at[i].from : b->at[j].from;
		uint32_t end = a->at[i].to < b->at[j].to ? a->at[i].to : b->at[j].to;

		ranges_append(to, from, end);
		if (a->at[i].to < b->at[j].to)
			i++;
		else
			j++;
	}
}

uint64_t ranges_count(const struct ranges *r)
{
	uint64_t n = 0;

	for (size_t i = 0; i < r->n; i++)
		n += r->at[i].to - r->at[i].from;
	return n;
}

void ranges_release(struct ranges *r)
{
	free(r->at);
	*r = (struct ranges){ 0 };
}
