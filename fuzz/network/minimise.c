#include "fuzz/network/minimise.h"

#include <assert.h>
#include <stdlib.h>

#include "fuzz/network/minimise_internal.h"

/* ---- what was tried ---- */

static uint64_t hash_bytes(uint64_t hash, const void *bytes, size_t len)
{
	const uint8_t *at = bytes;

	for (size_t i = 0; i < len; i++)
		hash = (hash ^ at[i]) * UINT64_C(0x100000001b3);
	return hash;
}

static uint64_t hash_moves(const struct moves *moves)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);

	for (uint32_t i = 0; i < moves->n; i++) {
		const struct move *m = &moves->at[i];
		uint32_t len = move_sends(m) ? (uint32_t)m->bytes.len : 0;

		hash = hash_bytes(hash, &m->kind, 1);
		hash = hash_bytes(hash, &m->client, 1);
		hash = hash_bytes(hash, &m->value, 1);
		hash = hash_bytes(hash, &len, sizeof(len));
		hash = hash_bytes(hash, m->bytes.at, len);
	}
	return hash ? hash : 1;
}

/* False: it was there already, or no more can be remembered. */
static bool remember(struct search *s, uint64_t hash)
{
	uint32_t i = (uint32_t)hash % TRIED;

	for (; s->tried[i]; i = (i + 1) % TRIED)
		if (s->tried[i] == hash)
			return false;
	if (s->n_tried == TRIED - 1)
		return false;
	s->tried[i] = hash;
	s->n_tried++;
	return true;
}

/* ---- trials ---- */

bool search_shows(struct search *s, const struct moves *const *cases, size_t n, struct moves *did)
{
	struct symptom symptom = { 0 };
	uint64_t from_ns = s->trial->now_ns(s->trial);

	if (s->lost)
		return false;
	s->n_trials++;
	if (!s->trial->run(s->trial, cases, n, NULL, did, &symptom)) {
		s->lost = s->over = true;
		return false;
	}
	if (symptom.oracle != s->wanted->oracle || strcmp(symptom.bucket, s->wanted->bucket))
		return false;
	s->n_shown++;
	s->show_ns += s->trial->now_ns(s->trial) - from_ns;
	return true;
}

static bool shows_alone(struct search *s, const struct moves *moves, bool did)
{
	return search_shows(s, (const struct moves *[]){ moves }, 1, did ? s->did : NULL);
}

/* The end is for the last trials: ten as they have taken so far, but at most two fifths of the time. */
static bool is_over(struct search *s)
{
	uint64_t all = s->trial->give_up_ns > s->began_ns ? s->trial->give_up_ns - s->began_ns : 0;
	uint64_t ten = s->n_shown ? s->show_ns / s->n_shown * 10 : 0;

	s->stop_ns = s->trial->give_up_ns - (ten < all / 5 * 2 ? ten : all / 5 * 2);
	s->over |= s->trial->now_ns(s->trial) >= s->stop_ns;
	return s->over;
}

struct moves *search_begin(struct search *s)
{
	moves_copy(s->candidate, s->best);
	return s->candidate;
}

static bool shows_in_some(struct search *s, const struct moves *moves)
{
	for (unsigned i = 0; i < s->tries && !is_over(s); i++)
		if (shows_alone(s, moves, false))
			return true;
	return false;
}

bool search_try(struct search *s)
{
	struct moves *candidate = s->candidate;

	if (!candidate->n || is_over(s) || !remember(s, hash_moves(candidate)))
		return false;
	moves_compact(candidate);
	/* Where it shows at times only, once may be chance: among many candidates one is lucky. */
	for (unsigned least = s->tries > 2 ? 2 : 1; least; least--)
		if (!shows_in_some(s, candidate))
			return false;
	s->candidate = s->best;
	s->best = candidate;
	return s->changed = true;
}

uint32_t search_reduce(struct search *s, uint32_t n, bool all, bool (*without)(struct search *s, void *context, uint32_t from, uint32_t n), void *context)
{
	for (uint32_t chunk = all ? n : n / 2; chunk && !s->over;) {
		bool went = false;

		/* From the end: what comes last is needed least. */
		for (uint32_t end = n; end && !s->over; ) {
			uint32_t from = end > chunk ? end - chunk : 0;

			if ((from || end < n || all) && without(s, context, from, end - from)) {
				n -= end - from;
				went = true;
			}
			end = from;
		}
		if (chunk > n)
			chunk = n;
		if (chunk > 1)
			chunk /= 2;
		else if (!went)
			break;
	}
	return n;
}

/* ---- the course ---- */

/* As many as make a miss unlikely; at most 5. */
static unsigned tries_at(unsigned shows, unsigned of)
{
	double miss = 1, rate = of ? (double)shows / of : 0;
	unsigned n = 0;

	while (n < 5 && miss > 0.05) {
		miss *= 1 - rate;
		n++;
	}
	return n;
}

/* What was really done, in place of moves that the state steered, if that shows as well. */
static void make_concrete(struct search *s)
{
	if (!s->did->n)		/* memory is not looked at when it is told what was done */
		search_shows(s, (const struct moves *[]){ s->best }, 1, s->did);
	if (s->did->n && moves_copy(s->candidate, s->did))
		search_try(s);
}

/* How reliably the best shows that did so in one of `of` trials. Three in a row are reliable enough. */
static void rate(struct search *s, unsigned of)
{
	unsigned shows = 1, most = of == 1 ? 3 : 10;

	for (; of < most && !is_over(s); of++) {
		bool again = shows_alone(s, s->best, false);

		shows += again;
		if (!again)
			most = 10;
	}
	s->tries = tries_at(shows, of);
	s->start_shows = shows * 10 / of;
}

/* Whether it shows at all, and how reliably. The case that shows is the best; where several must be played, s->apart is set. */
static bool find_baseline(struct search *s, const struct moves *const *cases, size_t n)
{
	bool did = s->wanted->oracle != ORACLE_MEMORY || s->wanted->held, together = false;
	unsigned of = 0;

	moves_copy(s->best, cases[n - 1]);
	remember(s, hash_moves(s->best));
	/* The last alone most often, or all of them; then both until it is certain that neither shows. */
	for (unsigned i = 0; i < 10 && !s->lost; i++) {
		of++;
		if (shows_alone(s, s->best, did)) {
			rate(s, of);
			return true;
		}
		if (n == 1 || i >= 3 || !search_shows(s, cases, n, NULL))
			continue;
		s->tries = i ? 3 : 1;
		together = true;
		break;
	}
	if (!together || !search_join(s, cases, n))
		return together;
	s->did->n = 0;
	rate(s, 1);
	return true;
}

static void shrink(struct search *s)
{
	make_concrete(s);
	search_normalise(s);
	search_waits(s);
	search_moves(s);
	for (unsigned round = 0; round < 4 && !s->over; round++) {
		s->changed = false;
		search_packets(s);
		search_pauses(s);
		if (!s->changed)
			break;
		s->changed = false;
		search_single_moves(s);
		if (!s->changed)
			break;
	}
}

static void begin(struct search *s, struct trial *trial, const struct symptom *symptom)
{
	*s = (struct search){ .trial = trial, .wanted = symptom, .tries = 1 };
	struct moves **all[] = { &s->best, &s->candidate, &s->did, &s->start, &s->spare[0], &s->spare[1] };

	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
		*all[i] = calloc(1, sizeof(**all[i]));
		assert(*all[i]);
	}
	uint8_t *room = malloc(EDIT_ROOM);
	assert(room);
	arena_init(&s->arena, room, EDIT_ROOM);
	s->began_ns = trial->now_ns(trial);
	is_over(s);
}

static void end(struct search *s)
{
	free(s->best);
	free(s->candidate);
	free(s->did);
	free(s->start);
	free(s->spare[0]);
	free(s->spare[1]);
	free(s->arena.base);
	free(s);
}

bool minimise(struct trial *trial, const struct moves *const *cases, size_t n, const struct symptom *symptom, struct moves *least, struct minimised *result)
{
	struct search *s = malloc(sizeof(*s));
	bool shows;

	assert(s && n);
	*result = (struct minimised){ 0 };
	begin(s, trial, symptom);
	shows = find_baseline(s, cases, n);
	if (shows && !s->apart) {
		moves_copy(s->start, s->best);
		shrink(s);
		result->complete = !s->over;
		renumber_clients(search_begin(s));
		search_try(s);
		search_settle(s, result);
		moves_copy(least, s->best);
	} else {
		moves_copy(least, s->best);
		result->of = s->lost ? 0 : 10;
	}
	result->n_trials = s->n_trials;
	end(s);
	return shows;
}
