#ifndef FUZZ_MUTATOR_ENGINE_H
#define FUZZ_MUTATOR_ENGINE_H

#include "codec/generate.h"

/*
 * What the input of a fuzz target is made of, so that fuzzing engines mutate it as that. A target that has
 *
 *	const enum engine_shape engine_shape = ENGINE_MOVES;
 *
 * is linked with engine.c, which stands between libFuzzer and it; one without keeps libFuzzer's own mutation. AFL++ takes engine_afl.c as a library and is told by
 * ENGINE_SHAPE=moves in its environment.
 */
enum engine_shape {
	ENGINE_MOVES,		/* moves.h */
	ENGINE_PACKETS,		/* whole packets in a row */
	ENGINE_HEADED,		/* two bytes for the target itself, then packets in a row */
	ENGINE_STEPS,		/* a byte that says what, in bits 2-3; at 0 and 1 a packet follows it, from a client or a server, framed as it stands */
	N_ENGINE_SHAPES
};
extern const enum engine_shape engine_shape;

/* Mutates bytes[0..len) in place, at most cap long; returns the new length. It may be the same where nothing fits. */
size_t mutate_input(enum engine_shape shape, uint8_t *bytes, size_t len, size_t cap, struct random *random);

/* Something of both in out[0..cap), cut where moves and packets begin; returns its length, 0 where they cannot be crossed. */
size_t cross_inputs(enum engine_shape shape, struct span a, struct span b, uint8_t *out, size_t cap, struct random *random);

#endif
