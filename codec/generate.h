#ifndef CODEC_GENERATE_H
#define CODEC_GENERATE_H

#include "codec/build.h"

/* xoshiro256**: seeded, the same everywhere, not for secrets. */
struct random {
	uint64_t state[4];
};

void random_seed(struct random *random, uint64_t seed);
uint64_t random_next(struct random *random);
uint64_t random_below(struct random *random, uint64_t n);	/* 0 to n-1; n > 0 */

/*
 * A random legal packet of that type as `from` may send it in that version, drawn from the tables:
 * every field, every property, short and long forms. Its bytes lie in the arena.
 * CODEC_LIMIT when the arena is too small (64 kB always does).
 */
enum status generate(enum packet_type type, enum version version, enum sender from,
                     struct random *random, struct arena *arena, struct packet *packet);

#endif
