#include "fuzz/network/minimise_internal.h"

/* What shows only after other cases: which of them, and all as one. */

struct together {
	const struct moves *at[64];	/* the last ones before the suspect, and it */
	uint32_t n;
};

static bool without_cases(struct search *s, void *context, uint32_t from, uint32_t n)
{
	struct together *t = context, less = { .n = 0 };

	if (s->trial->now_ns(s->trial) >= s->stop_ns)
		return !(s->over = true);
	for (uint32_t i = 0; i < t->n; i++)
		if (i < from || i >= from + n)
			less.at[less.n++] = t->at[i];
	for (unsigned i = 0; i < s->tries; i++)
		if (search_shows(s, less.at, less.n, NULL)) {
			*t = less;
			return true;
		}
	return false;
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
	for (uint32_t i = 0; i < t->n; i++)
		if (!join_one(m, t->at[i], i, i + 1 == t->n, renamed))
			return false;
	return search_try(s);
}

bool search_join(struct search *s, const struct moves *const *cases, size_t n)
{
	struct together t = { .n = 0 };
	const size_t most = sizeof(t.at) / sizeof(*t.at);
	unsigned shows = 0, of = 0;

	for (size_t i = n > most ? n - most : 0; i < n; i++)
		t.at[t.n++] = cases[i];
	while (of < 3 && !shows && !s->lost) {
		of++;
		shows += search_shows(s, t.at, t.n, NULL);
	}
	if (!shows)
		return false;
	s->tries = of == 1 ? 1 : 3;
	t.n = search_reduce(s, t.n, false, without_cases, &t);
	s->apart = !joined(s, &t, true) && !joined(s, &t, false);
	return true;
}
