#include "fuzz/network/cases.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz/mutator/anomalies.h"
#include "harness/console.h"

/* Those that are kept lie as moves: making a child of the tenth generation costs no more than of the first. */
struct kept {
	struct case_id id;
	uint8_t *bytes;
	uint32_t len, seed;		/* seed: the one that its line began with */
	uint32_t led;			/* children that were kept */
	uint8_t generation;
};

enum { MAX_KEPT = 65536, PATIENT_CASES = 64, MOMENT = 100 /* of 100 us */ };

struct cases {
	const struct seeds *seeds;
	uint64_t seed, n_made;
	struct random dice;		/* the campaign's: which parent is next. What a case is like depends on its id only */
	struct kept *kept;
	uint32_t n_kept, cap_kept;
	uint32_t *valid, n_valid;	/* seeds that do not offend; NULL unless they alone are played */
	struct moves *spare;		/* what is spliced from */
};

static void *room(void *p)
{
	if (!p)
		abort();
	return p;
}

struct cases *cases_new(const struct seeds *seeds, uint64_t seed, bool valid_only)
{
	struct cases *c = room(calloc(1, sizeof(*c)));

	*c = (struct cases){ .seeds = seeds, .seed = seed, .spare = room(malloc(sizeof(*c->spare))) };
	random_seed(&c->dice, seed);
	if (!valid_only)
		return c;
	c->valid = room(malloc((seeds->n + 1) * sizeof(*c->valid)));
	for (uint32_t i = 0; i < seeds->n; i++)
		if (!seeds->at[i].offends)
			c->valid[c->n_valid++] = i;
	return c;
}

void cases_free(struct cases *c)
{
	if (!c)
		return;
	for (uint32_t i = 0; i < c->n_kept; i++)
		free(c->kept[i].bytes);
	free(c->kept);
	free(c->valid);
	free(c->spare);
	free(c);
}

size_t cases_kept(const struct cases *c)
{
	return c->n_kept;
}

/* Every other one goes on from what was kept, and half of those from the latest, which lead on most often. */
static uint32_t choose_parent(struct cases *c)
{
	uint32_t latest = c->n_kept < 64 ? c->n_kept : 64;

	if (!c->n_kept || c->valid || c->n_made <= c->seeds->n || random_below(&c->dice, 2))
		return CASE_NO_PARENT;
	if (random_below(&c->dice, 2))
		return c->n_kept - 1 - (uint32_t)random_below(&c->dice, latest);
	uint32_t one = (uint32_t)random_below(&c->dice, c->n_kept), other = (uint32_t)random_below(&c->dice, c->n_kept);
	return c->kept[one].led >= c->kept[other].led ? one : other;
}

struct case_id cases_next(struct cases *c)
{
	c->n_made++;
	return (struct case_id){ c->n_made, choose_parent(c) };
}

/* ---- making ---- */

static uint64_t dice_of(const struct cases *c, uint64_t number)
{
	return (c->seed + 1) * UINT64_C(0x9e3779b97f4a7c15) ^ number * UINT64_C(0xbf58476d1ce4e5b9);
}

/* As it stands, or mutated: how often, most often once, is drawn. */
static void mutate(struct cases *c, struct moves *moves, struct random *random, struct anomaly *anomaly)
{
	unsigned n = 1;

	while (n < 8 && random_below(random, 3) == 0)
		n++;
	while (n--) {
		moves_read(c->spare, c->seeds->at[random_below(random, c->seeds->n)].bytes);
		mutate_moves(moves, c->spare, random, anomaly);
	}
}

static void write_lineage(const struct cases *c, struct case_id id, char *text)
{
	size_t len = (size_t)snprintf(text, LINEAGE_TEXT, "%llu", (unsigned long long)id.number);

	while (id.parent != CASE_NO_PARENT && len < LINEAGE_TEXT) {
		id = c->kept[id.parent].id;
		len += (size_t)snprintf(text + len, LINEAGE_TEXT - len, "/%llu", (unsigned long long)id.number);
	}
}

static uint32_t seed_of(const struct cases *c, struct case_id id, struct random *random)
{
	if (id.parent != CASE_NO_PARENT)
		return c->kept[id.parent].seed;
	if (c->valid)
		return c->n_valid ? c->valid[(id.number - 1) % c->n_valid] : 0;
	return id.number <= c->seeds->n ? (uint32_t)(id.number - 1) : (uint32_t)random_below(random, c->seeds->n);
}

/*
 * Time is what a case costs most: waits are cut to a moment, which is enough for what was sent to have its effect, but in one of so many cases, where timers of the protocol may run out,
 * and where a keep alive was put at a limit, past which silence may soon be too long.
 */
static void hurry(struct moves *moves, uint64_t number, const struct anomaly *anomaly)
{
	if (number % PATIENT_CASES == 0 || !strcmp(anomaly->name, anomaly_name(ANOMALY_KEEP_ALIVE_AT_LIMIT)))
		return;
	for (uint32_t i = 0; i < moves->n; i++)
		if (moves->at[i].kind == MOVE_WAIT)
			moves->at[i] = (struct move){ .kind = MOVE_PAUSE, .client = moves->at[i].client, .value = MOMENT };
}

void cases_make(struct cases *c, struct case_id id, struct moves *moves, struct case_origin *origin)
{
	struct anomaly anomaly = { 0 };
	struct random random;
	uint32_t seed;

	random_seed(&random, dice_of(c, id.number));
	seed = seed_of(c, id, &random);
	if (id.parent != CASE_NO_PARENT)
		moves_read(moves, span_of(c->kept[id.parent].bytes, c->kept[id.parent].len));
	else
		moves_read(moves, c->seeds->at[seed].bytes);
	if (!c->valid && (id.parent != CASE_NO_PARENT || id.number > c->seeds->n))
		mutate(c, moves, &random, &anomaly);
	hurry(moves, id.number, &anomaly);
	if (!origin)
		return;
	*origin = (struct case_origin){ .seed_name = c->seeds->at[seed].name, .anomaly = anomaly, .version = c->seeds->at[seed].version,
	                                .offends = anomaly.name[0] || c->seeds->at[seed].offends };
	write_lineage(c, id, origin->lineage);
}

/* ---- keeping ---- */

void cases_keep(struct cases *c, struct case_id id)
{
	static struct moves moves;
	struct random random;
	struct kept *k;
	uint8_t generation = id.parent == CASE_NO_PARENT ? 1 : (uint8_t)(c->kept[id.parent].generation + 1);

	/* A lineage has to be told: who is too far down has no children. */
	if (c->n_kept == MAX_KEPT || generation >= LINEAGE_MAX)
		return;
	if (c->n_kept == c->cap_kept) {
		c->cap_kept = c->cap_kept ? 2 * c->cap_kept : 256;
		c->kept = room(realloc(c->kept, c->cap_kept * sizeof(*c->kept)));
	}
	random_seed(&random, dice_of(c, id.number));
	cases_make(c, id, &moves, NULL);
	k = &c->kept[c->n_kept];
	*k = (struct kept){ .id = id, .generation = generation, .seed = seed_of(c, id, &random) };
	struct writer w = writer_to(NULL, 0);
	moves_write(&moves, &w);
	k->len = (uint32_t)w.len;
	k->bytes = room(malloc(w.len + 1));
	w = writer_to(k->bytes, w.len);
	moves_write(&moves, &w);
	c->n_kept++;
	if (id.parent != CASE_NO_PARENT)
		c->kept[id.parent].led++;
}

/* ---- finding ---- */

static bool read_number(const char **at, uint64_t *number)
{
	char *end;

	if (**at < '0' || **at > '9')
		return false;
	errno = 0;
	*number = strtoull(*at, &end, 10);
	*at = end;
	return !errno && *number && (*end == '/' || !*end);
}

/* The numbers of it, from the case on. */
static bool read_lineage(const char *lineage, uint64_t numbers[static LINEAGE_MAX], size_t *n, struct fault *fault)
{
	const char *at = lineage;

	*n = 0;
	do {
		if (*n == LINEAGE_MAX || !read_number(&at, &numbers[*n])) {
			snprintf(fault->text, sizeof(fault->text), "%s: expected a number of a case, or it and those that it comes from, 88213/5120, as findings tell them",
			         console_safe(lineage));
			return false;
		}
		if (*n && numbers[*n] >= numbers[*n - 1]) {
			snprintf(fault->text, sizeof(fault->text), "%s: case %llu cannot come from %llu, which is made later", console_safe(lineage),
			         (unsigned long long)numbers[*n - 1], (unsigned long long)numbers[*n]);
			return false;
		}
		++*n;
	} while (*at++ == '/');
	return true;
}

bool case_lineage_check(const char *lineage, struct fault *fault)
{
	uint64_t numbers[LINEAGE_MAX];
	size_t n;

	return read_lineage(lineage, numbers, &n, fault);
}

bool cases_find(struct cases *c, const char *lineage, struct case_id *id, struct fault *fault)
{
	uint64_t numbers[LINEAGE_MAX];
	size_t n;

	if (!read_lineage(lineage, numbers, &n, fault))
		return false;
	*id = (struct case_id){ 0, CASE_NO_PARENT };
	while (n--) {
		if (id->number) {
			cases_keep(c, *id);
			id->parent = c->n_kept - 1;
		}
		id->number = numbers[n];
	}
	return true;
}
