#include <assert.h>
#include <stdlib.h>

#include "fuzz/network/minimise_internal.h"

/* What shows only after other cases: which of them, and all as one. */

struct together {
	const struct moves **at;	/* in the order played */
	size_t n;
};

static bool shows_together(struct search *s, const struct moves *const *at, size_t n)
{
	if (s->trial->now_ns(s->trial) >= s->stop_ns)
		s->over = true;
	for (unsigned i = 0; i < s->tries && !s->over; i++)
		if (search_shows(s, at, n, NULL))
			return true;
	return false;
}

/* Mostly it is one of them: halves, as long as one shows it. */
static void halve(struct search *s, struct together *t)
{
	while (t->n > 1 && !s->over) {
		size_t half = t->n / 2;

		if (shows_together(s, t->at + half, t->n - half)) {
			t->at += half;
			t->n -= half;
		} else if (shows_together(s, t->at, half)) {
			t->n = half;
		} else {
			return;
		}
	}
}

static bool without_cases(struct search *s, void *context, uint32_t from, uint32_t n)
{
	struct together *t = context;
	const struct moves **less = malloc(t->n * sizeof(*less));
	size_t left = 0;

	assert(less);
	for (size_t i = 0; i < t->n; i++)
		if (i < from || i >= from + n)
			less[left++] = t->at[i];
	bool shows = shows_together(s, less, left);
	if (shows) {
		memcpy(t->at, less, left * sizeof(*less));
		t->n = left;
	}
	free(less);
	return shows;
}

/* A name that no number makes: those begin with "fz". */
static void name_of(uint32_t number, char name[static MOVES_NAME_LEN + 1])
{
	memcpy(name, "fy000000", MOVES_NAME_LEN + 1);
	name[MOVES_NAME_LEN - 2] = (char)('0' + number / 10 % 10);
	name[MOVES_NAME_LEN - 1] = (char)('0' + number % 10);
}

/* The moves of a case that ended behind those that are there: what it had open was dropped then, and its names were others. */
static bool join_one(struct moves *to, const struct moves *from, uint32_t number, bool last, bool renamed)
{
	char name[MOVES_NAME_LEN + 1];
	unsigned open = 0;

	name_of(number, name);
	for (uint32_t i = 0; i < from->n; i++) {
		struct move move = from->at[i];

		if (!moves_keep(to, move.bytes, &move.bytes))
			return false;
		if (!last && renamed && move.bytes.len)
			moves_rename(to->room + (move.bytes.at - to->room), move.bytes.len, name);
		if (!moves_insert(to, to->n, move))
			return false;
		if (move.kind == MOVE_OPEN)
			open |= 1u << move.client % MOVES_CLIENTS;
		if (move.kind == MOVE_DROP)
			open &= ~(1u << move.client % MOVES_CLIENTS);
	}
	for (uint8_t client = 0; client < MOVES_CLIENTS && !last; client++)
		if (open >> client & 1 && !moves_insert(to, to->n, (struct move){ .kind = MOVE_DROP, .client = client }))
			return false;
	return true;
}

static bool joined(struct search *s, const struct together *t, bool renamed)
{
	struct moves *m = s->candidate;

	m->n = m->used = 0;
	for (size_t i = 0; i < t->n; i++)
		if (!join_one(m, t->at[i], (uint32_t)i, i + 1 == t->n, renamed))
			return false;
	return search_try(s);
}

/* ---- too large to be one ---- */

struct share {
	struct together *all;
	size_t k;			/* of them it is */
	struct moves *rest;
};

static bool without_units(struct search *s, void *context, uint32_t from, uint32_t n)
{
	struct share *share = context;
	const struct moves *before = share->all->at[share->k];
	uint32_t starts[MOVES_MAX + 1];

	moves_units(before, starts);
	moves_copy(share->rest, before);
	moves_remove(share->rest, starts[from], starts[from + n] - starts[from]);
	moves_compact(share->rest);
	share->all->at[share->k] = share->rest;
	if (!shows_together(s, share->all->at, share->all->n)) {
		share->all->at[share->k] = before;
		return false;
	}
	share->rest = (struct moves *)before;	/* the other of the two that are this share's own */
	return true;
}

/* What each of them needs, beside the others. kept: two for each, to be freed when they are joined. */
static void shrink_cases(struct search *s, struct together *t, struct moves *kept)
{
	for (size_t k = 0; k < t->n && !s->over; k++) {
		struct share share = { t, k, &kept[2 * k + 1] };
		uint32_t starts[MOVES_MAX + 1];

		moves_copy(&kept[2 * k], t->at[k]);
		t->at[k] = &kept[2 * k];
		search_reduce(s, moves_units(t->at[k], starts), false, without_units, &share);
	}
}

static bool is_joined(struct search *s, const struct together *t)
{
	return joined(s, t, true) || joined(s, t, false);
}

bool search_join(struct search *s, const struct moves *const *cases, size_t n)
{
	struct together t = { malloc(n * sizeof(*t.at)), n };
	const struct moves **all = t.at;

	assert(all);
	memcpy(all, cases, n * sizeof(*all));
	halve(s, &t);
	if (t.n > 1)
		search_reduce(s, (uint32_t)t.n, false, without_cases, &t);
	if (t.n == 1) {
		moves_copy(s->best, t.at[0]);
	} else if (!is_joined(s, &t)) {
		struct moves *kept = malloc(2 * t.n * sizeof(*kept));

		assert(kept);
		shrink_cases(s, &t, kept);
		s->apart = !is_joined(s, &t);
		free(kept);
	}
	free(all);
	return !s->apart;
}
