#include <assert.h>

#include "fuzz/network/minimise_internal.h"

/* What is left of the moves: cuts mended, then whole clients, connections and moves taken away. */

/* ---- cuts ---- */

/* How many of the bytes are whole packets; *bad: what follows can never be one. */
static size_t whole(struct span bytes, bool *bad)
{
	size_t at = 0;
	struct frame frame;
	struct finding finding;

	*bad = false;
	while (at < bytes.len) {
		enum frame_status status = frame_next(bytes.at + at, bytes.len - at, &frame, &finding);

		if (status != FRAME_OK) {
			*bad = status == FRAME_BAD;
			break;
		}
		at += frame.size;
	}
	return at;
}

/* Appends to move i what its client sends next, which is taken out. False: there is nothing, or no room. */
static bool append_next(struct moves *m, uint32_t i)
{
	uint32_t j = i + 1;
	struct span both;

	while (j < m->n && (m->at[j].client != m->at[i].client || m->at[j].kind == MOVE_AWAIT || m->at[j].kind == MOVE_WAIT || m->at[j].kind == MOVE_PAUSE))
		j++;
	if (j == m->n || !move_sends(&m->at[j]))
		return false;
	size_t len = m->at[i].bytes.len + m->at[j].bytes.len;
	if (len > sizeof(m->room) - m->used)
		moves_compact(m);
	if (len > sizeof(m->room) - m->used)
		return false;
	both = span_of(m->room + m->used, len);
	struct writer w = writer_to(m->room + m->used, len);
	wr_bytes(&w, m->at[i].bytes);
	wr_bytes(&w, m->at[j].bytes);
	m->used += (uint32_t)len;
	m->at[i].bytes = both;
	moves_remove(m, j, 1);
	return true;
}

static void mend_one(struct moves *m, uint32_t i)
{
	bool bad;

	m->at[i].kind = MOVE_SEND;
	while (whole(m->at[i].bytes, &bad) < m->at[i].bytes.len && !bad && append_next(m, i))
		;
}

/* Each packet of move i a move of its own. Returns how many they are. */
static uint32_t split_one(struct moves *m, uint32_t i)
{
	uint32_t n = 1;
	struct frame frame;
	struct finding finding;

	for (;; i++, n++) {
		struct move rest = m->at[i];

		if (frame_next(rest.bytes.at, rest.bytes.len, &frame, &finding) != FRAME_OK || frame.size == rest.bytes.len)
			return n;
		rest.bytes = span_of(rest.bytes.at + frame.size, rest.bytes.len - frame.size);
		if (!moves_insert(m, i + 1, rest))
			return n;
		m->at[i].bytes.len = frame.size;
	}
}

static void mend_each(struct search *s)
{
	for (uint32_t i = 0; i < s->best->n && !s->over; i++)
		if (move_sends(&s->best->at[i])) {
			mend_one(search_begin(s), i);
			search_try(s);
		}
}

static void split_each(struct search *s)
{
	for (uint32_t i = 0; i < s->best->n && !s->over; i++)
		if (move_sends(&s->best->at[i])) {
			split_one(search_begin(s), i);
			search_try(s);
		}
}

/* All at once first: mostly neither cuts nor sends of several packets matter. */
void search_normalise(struct search *s)
{
	struct moves *m = search_begin(s);

	for (uint32_t i = 0; i < m->n; i++)
		if (move_sends(&m->at[i]))
			mend_one(m, i);
	if (!search_try(s))
		mend_each(s);
	m = search_begin(s);
	for (uint32_t i = 0; i < m->n; i++)
		if (move_sends(&m->at[i]))
			i += split_one(m, i) - 1;
	if (!search_try(s))
		split_each(s);
}

/* ---- moves ---- */

uint32_t moves_units(const struct moves *m, uint32_t starts[static MOVES_MAX + 1])
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < m->n; i++)
		if (!i || m->at[i].kind != MOVE_AWAIT)
			starts[n++] = i;
	starts[n] = m->n;
	return n;
}

static bool without_units(struct search *s, void *context, uint32_t from, uint32_t n)
{
	uint32_t starts[MOVES_MAX + 1];
	struct moves *m = search_begin(s);

	(void)context;
	moves_units(m, starts);
	moves_remove(m, starts[from], starts[from + n] - starts[from]);
	return search_try(s);
}

/* What stands behind the end of what is needed. */
static void cut_end(struct search *s)
{
	uint32_t starts[MOVES_MAX + 1], n = moves_units(s->best, starts), low = 0, high = n;

	while (low + 1 < high && !s->over) {
		uint32_t middle = low + (high - low) / 2;
		struct moves *m = search_begin(s);

		moves_remove(m, starts[middle], m->n - starts[middle]);
		if (search_try(s))
			high = middle;
		else
			low = middle;
	}
}

static uint32_t clients_of(const struct moves *m, uint8_t clients[static MOVES_CLIENTS])
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < m->n; i++) {
		uint32_t k = 0;

		while (k < n && clients[k] != m->at[i].client % MOVES_CLIENTS)
			k++;
		if (k == n)
			clients[n++] = m->at[i].client % MOVES_CLIENTS;
	}
	return n;
}

static bool without_clients(struct search *s, void *context, uint32_t from, uint32_t n)
{
	uint8_t clients[MOVES_CLIENTS];
	struct moves *m = search_begin(s);
	unsigned gone = 0;

	(void)context;
	clients_of(m, clients);
	for (uint32_t k = from; k < from + n; k++)
		gone |= 1u << clients[k];
	for (uint32_t i = m->n; i--;)
		if (gone >> m->at[i].client % MOVES_CLIENTS & 1)
			moves_remove(m, i, 1);
	return search_try(s);
}

/* The n-th OPEN. */
static uint32_t opening(const struct moves *m, uint32_t n)
{
	for (uint32_t i = 0; i < m->n; i++)
		if (m->at[i].kind == MOVE_OPEN && !n--)
			return i;
	return m->n;
}

/* An OPEN with all that its client does before the next. */
static bool without_connections(struct search *s, void *context, uint32_t from, uint32_t n)
{
	struct moves *m = search_begin(s);

	(void)context;
	for (uint32_t k = from + n; k-- > from;) {
		uint32_t at = opening(m, k);
		uint8_t client = at < m->n ? m->at[at].client : 0;
		bool open = true;

		for (uint32_t i = at; i < m->n;) {
			if (i > at && m->at[i].client == client && m->at[i].kind == MOVE_OPEN)
				open = false;
			if (i == at || (open && m->at[i].client == client)) {
				moves_remove(m, i, 1);
				at = i == at ? UINT32_MAX : at;
				continue;
			}
			i++;
		}
	}
	return search_try(s);
}

static uint32_t n_connections(const struct moves *m)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < m->n; i++)
		n += m->at[i].kind == MOVE_OPEN;
	return n;
}

/* One client for two, where it does not matter who does it. */
static void merge_clients(struct search *s)
{
	uint8_t clients[MOVES_CLIENTS];

	for (uint32_t a = 0; a + 1 < clients_of(s->best, clients); a++)
		for (uint32_t b = a + 1; b < clients_of(s->best, clients) && !s->over; ) {
			struct moves *m = search_begin(s);

			for (uint32_t i = 0; i < m->n; i++)
				if (m->at[i].client == clients[b])
					m->at[i].client = clients[a];
			if (!search_try(s))
				b++;
		}
}

void search_moves(struct search *s)
{
	uint8_t clients[MOVES_CLIENTS];
	uint32_t starts[MOVES_MAX + 1], n;

	cut_end(s);
	n = clients_of(s->best, clients);
	if (n > 1)
		search_reduce(s, n, false, without_clients, NULL);
	n = n_connections(s->best);
	if (n > 1)
		search_reduce(s, n, false, without_connections, NULL);
	search_reduce(s, moves_units(s->best, starts), false, without_units, NULL);
	merge_clients(s);
}

void search_single_moves(struct search *s)
{
	uint32_t starts[MOVES_MAX + 1];

	for (uint32_t i = moves_units(s->best, starts); i-- && !s->over;)
		without_units(s, NULL, i, 1);
	merge_clients(s);
}

/* ---- time ---- */

void search_waits(struct search *s)
{
	for (uint32_t i = s->best->n; i-- && !s->over;) {
		if (s->best->at[i].kind != MOVE_WAIT)
			continue;
		moves_remove(search_begin(s), i, 1);
		search_try(s);
	}
}

void search_pauses(struct search *s)
{
	mend_each(s);
	for (uint32_t i = 0; i < s->best->n && !s->over; i++) {
		uint8_t kind = s->best->at[i].kind, low = 0;

		if (kind != MOVE_WAIT && kind != MOVE_PAUSE)
			continue;
		while (s->best->at[i].value > low + 1 && !s->over) {
			uint8_t value = low ? (uint8_t)(low + (s->best->at[i].value - low) / 2) : 1;

			search_begin(s)->at[i].value = value;
			if (!search_try(s))
				low = value;
		}
	}
}

/* ---- how it is to be told ---- */

void renumber_clients(struct moves *m)
{
	uint8_t clients[MOVES_CLIENTS];
	uint32_t n = clients_of(m, clients);

	for (uint32_t i = 0; i < m->n; i++)
		for (uint8_t k = 0; k < n; k++)
			if (m->at[i].client % MOVES_CLIENTS == clients[k]) {
				m->at[i].client = k;
				break;
			}
}

enum awaits { AWAITS_AT_SWITCHES, AWAITS_AS_FOUND, AWAITS_ALL, AWAITS_NONE, N_AWAITS };

/* Whether what move i sent should be answered before the next one is made. */
static bool matters(const struct moves *m, uint32_t i)
{
	uint32_t next = i + 1;

	while (next < m->n && (m->at[next].kind == MOVE_WAIT || m->at[next].kind == MOVE_PAUSE))
		next++;
	if (next == m->n)
		return false;	/* whoever judges waits for it */
	return m->at[next].client != m->at[i].client || !move_sends(&m->at[next]);
}

static void put_awaits(struct moves *m, enum awaits awaits)
{
	if (awaits == AWAITS_AS_FOUND)
		return;
	for (uint32_t i = m->n; i--;)
		if (m->at[i].kind == MOVE_AWAIT)
			moves_remove(m, i, 1);
	for (uint32_t i = 0; i < m->n && awaits != AWAITS_NONE; i++) {
		const struct move *at = &m->at[i];

		if (!move_sends(at) || !packet_is_answered(at->bytes, moves_version(m, i, at->client)))
			continue;
		if (awaits == AWAITS_ALL || matters(m, i))
			moves_insert(m, ++i, (struct move){ .kind = MOVE_AWAIT, .client = at->client });
	}
}

static bool same_moves(const struct moves *a, const struct moves *b)
{
	if (a->n != b->n)
		return false;
	for (uint32_t i = 0; i < a->n; i++) {
		const struct move *x = &a->at[i], *y = &b->at[i];

		if (x->kind != y->kind || x->client != y->client || x->value != y->value || (move_sends(x) && !span_equal(x->bytes, y->bytes)))
			return false;
	}
	return true;
}

static void measure(struct search *s, struct moves *m, unsigned than, unsigned *shows, unsigned *of)
{
	*shows = 0;
	for (*of = 0; *of < 10 && !s->lost && !(*of && s->trial->now_ns(s->trial) >= s->trial->give_up_ns); ++*of) {
		if (*shows + (10 - *of) <= than)
			return;		/* it cannot be better any more */
		*shows += search_shows(s, (const struct moves *[]){ m }, 1, NULL);
	}
}

void search_settle(struct search *s, struct minimised *result)
{
	struct moves *m = s->spare[0], *most = s->spare[1];

	moves_copy(most, s->best);
	for (int awaits = 0; awaits < N_AWAITS && !s->lost; awaits++) {
		unsigned shows, of;

		if (awaits != AWAITS_AS_FOUND && awaits && s->trial->now_ns(s->trial) >= s->trial->give_up_ns)
			continue;
		moves_copy(m, s->best);
		put_awaits(m, (enum awaits)awaits);
		if (awaits && same_moves(m, most))
			continue;
		measure(s, m, result->shows, &shows, &of);
		if (shows > result->shows || !result->of) {
			result->shows = shows;
			result->of = of;
			struct moves *swap = most;
			most = m;
			m = swap;
		}
		if (result->shows == result->of && result->of)
			break;
	}
	moves_copy(s->best, most);
	/* By luck after luck it may have become something else. */
	if (result->shows * 2 < s->start_shows && !s->lost && s->trial->now_ns(s->trial) < s->trial->give_up_ns) {
		unsigned shows, of;

		measure(s, s->start, result->shows, &shows, &of);
		if (shows <= result->shows)
			return;
		moves_copy(s->best, s->start);
		result->shows = shows;
		result->of = of;
		result->complete = false;
	}
}
