#include "fuzz/mutator/seeds.h"

#include <stdio.h>
#include <stdlib.h>

#include "fuzz/mutator/rehearse.h"
#include "fuzz/mutator/seeds_table.h"
#include "harness/suite.h"

static const uint64_t limit_ns = 2000000000;

struct maker {
	struct seeds *seeds;
	struct packet_sink *sink;
	size_t cap;
	uint32_t *table;		/* open addressing: 1 + the number of the seed with that hash; n_slots is a power of two */
	size_t n_slots;
	unsigned versions;
	struct recorded recorded;
	struct moves moves;
	uint8_t written[MOVES_BYTES + 8 * MOVES_MAX];
};

static void *must(void *p)
{
	if (!p)
		abort();
	return p;
}

/* ---- each once ---- */

static uint64_t hash_of(struct span s)
{
	uint64_t hash = 0xcbf29ce484222325u;

	for (size_t i = 0; i < s.len; i++)
		hash = (hash ^ s.at[i]) * 0x100000001b3u;
	return hash;
}

static uint32_t *slot_of(const struct maker *m, struct span bytes)
{
	size_t i = hash_of(bytes) & (m->n_slots - 1);

	while (m->table[i] && !span_equal(m->seeds->at[m->table[i] - 1].bytes, bytes))
		i = (i + 1) & (m->n_slots - 1);
	return &m->table[i];
}

static void grow_table(struct maker *m)
{
	free(m->table);
	m->n_slots = m->n_slots ? m->n_slots * 2 : 1024;
	m->table = must(calloc(m->n_slots, sizeof(*m->table)));
	for (size_t i = 0; i < m->seeds->n; i++)
		*slot_of(m, m->seeds->at[i].bytes) = (uint32_t)i + 1;
}

static void keep(struct maker *m, const char *name, uint8_t version, bool offends)
{
	struct writer w = writer_to(m->written, sizeof(m->written));
	struct seeds *seeds = m->seeds;
	uint32_t *slot;

	moves_write(&m->moves, &w);
	if (!m->moves.n || !wr_fits(&w))
		return;
	if (seeds->n * 2 >= m->n_slots)
		grow_table(m);
	slot = slot_of(m, wr_span(&w));
	if (*slot)
		return;
	if (seeds->n == m->cap) {
		m->cap = m->cap ? m->cap * 2 : 512;
		seeds->at = must(realloc(seeds->at, m->cap * sizeof(*seeds->at)));
	}
	seeds->at[seeds->n++] = (struct seed){ region_string(seeds->region, span_text(name)), region_copy(seeds->region, wr_span(&w)), version, offends };
	*slot = (uint32_t)seeds->n;
}

/* ---- out of tests ---- */

static bool marked(const struct step *step)
{
	for (; step; step = step->next)
		if (step->illegal || marked(step->children))
			return true;
	return false;
}

static bool speaks_only(const struct script *script, unsigned versions)
{
	for (uint32_t i = 0; i < script->n_actors; i++)
		if (!(versions & 1u << script->actors[i].version))
			return false;
	return script->n_actors;
}

static void play(struct maker *m, const char *name, const struct script *script)
{
	bool offends;

	if (!speaks_only(script, m->versions) || !rehearse(script, limit_ns, &m->recorded))
		return;
	if (recorded_moves(&m->recorded, &m->moves, &offends, m->sink))
		keep(m, name, script->actors[0].version, offends || marked(script->steps));
}

static void play_suite(struct maker *m, const struct suite *suite)
{
	static const char *const names[] = { [MQTT_3_1] = "3.1", [MQTT_3_1_1] = "3.1.1", [MQTT_5] = "5" };

	for (size_t i = 0; i < suite->n_tests; i++) {
		const struct script *script = suite->tests[i];
		char name[300];

		if (script->capture || script->roles || script->scenario->bulk || script_tagged(script, "slow"))
			continue;
		snprintf(name, sizeof(name), "%s in %s", script->id, names[script->version]);
		play(m, name, script);
	}
}

static void take_table(void *context, const char *name, const struct script *script)
{
	play(context, name, script);
}

bool seeds_make_telling(struct seeds *seeds, unsigned versions, struct packet_sink *sink)
{
	struct maker *m = must(calloc(1, sizeof(*m)));
	struct suite suite = { 0 };
	bool loaded;

	*seeds = (struct seeds){ .region = must(calloc(1, sizeof(*seeds->region))) };
	m->seeds = seeds;
	m->sink = sink;
	m->versions = versions;
	loaded = suite_load(&suite, NULL, 0, NULL, 0) == 0;
	if (loaded) {
		suite_choose(&suite, versions, NULL, 0);
		play_suite(m, &suite);
		for (enum version v = MQTT_3_1; v <= MQTT_5; v++)
			if (versions & 1u << v)
				table_scripts(v, take_table, m);
	}
	suite_release(&suite);
	free(m->table);
	free(m);
	return loaded && seeds->n;
}

bool seeds_make(struct seeds *seeds, unsigned versions)
{
	return seeds_make_telling(seeds, versions, NULL);
}

void seeds_release(struct seeds *seeds)
{
	if (seeds->region)
		region_release(seeds->region);
	free(seeds->region);
	free(seeds->at);
	*seeds = (struct seeds){ 0 };
}
