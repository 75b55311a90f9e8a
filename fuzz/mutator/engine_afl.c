#include "fuzz/mutator/engine.h"

#include <stdio.h>
#include <stdlib.h>

/* AFL++'s way in, beside its own havoc: AFL_CUSTOM_MUTATOR_LIBRARY=build/afl/engine.so ENGINE_SHAPE=moves afl-fuzz ... */

struct engine {
	enum engine_shape shape;
	struct random random;
	uint8_t *out;			/* ours: AFL++ borrows it until the next call */
	size_t cap;
};

void *afl_custom_init(void *afl, unsigned seed);
size_t afl_custom_fuzz(struct engine *engine, uint8_t *bytes, size_t len, uint8_t **out, uint8_t *other, size_t other_len, size_t most);
void afl_custom_deinit(struct engine *engine);

static bool shape_named(const char *name, enum engine_shape *shape)
{
	static const char *const names[N_ENGINE_SHAPES] = { [ENGINE_MOVES] = "moves", [ENGINE_PACKETS] = "packets", [ENGINE_HEADED] = "headed", [ENGINE_STEPS] = "steps" };

	for (unsigned i = 0; name && i < N_ENGINE_SHAPES; i++)
		if (!strcmp(name, names[i])) {
			*shape = i;
			return true;
		}
	return false;
}

void *afl_custom_init(void *afl, unsigned seed)
{
	struct engine *engine = calloc(1, sizeof(*engine));

	(void)afl;
	if (!engine)
		return NULL;
	if (!shape_named(getenv("ENGINE_SHAPE"), &engine->shape)) {
		fprintf(stderr, "engine: set ENGINE_SHAPE to moves, packets, headed or steps: what the target's engine_shape is\n");
		exit(1);
	}
	random_seed(&engine->random, seed);
	return engine;
}

static bool make_room(struct engine *engine, size_t cap)
{
	uint8_t *out;

	if (cap <= engine->cap)
		return true;
	out = realloc(engine->out, cap);
	if (!out)
		return false;
	engine->out = out;
	engine->cap = cap;
	return true;
}

size_t afl_custom_fuzz(struct engine *engine, uint8_t *bytes, size_t len, uint8_t **out, uint8_t *other, size_t other_len, size_t most)
{
	size_t made = 0;

	*out = bytes;
	if (!make_room(engine, most > len ? most : len))
		return len;
	if (other && other_len && random_below(&engine->random, 8) == 0)
		made = cross_inputs(engine->shape, span_of(bytes, len), span_of(other, other_len), engine->out, most, &engine->random);
	if (!made) {
		memcpy(engine->out, bytes, len);
		made = len;
		do
			made = mutate_input(engine->shape, engine->out, made, most, &engine->random);
		while (random_below(&engine->random, 4) == 0);
	}
	if (!made)
		return len;
	*out = engine->out;
	return made;
}

void afl_custom_deinit(struct engine *engine)
{
	free(engine->out);
	free(engine);
}
