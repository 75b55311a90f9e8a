#ifndef FUZZ_MUTATOR_MUTATE_H
#define FUZZ_MUTATOR_MUTATE_H

#include "codec/arena.h"
#include "codec/generate.h"
#include "fuzz/mutator/moves.h"

/*
 * Mutation that knows MQTT: by field (lengths repaired, but for one in eight that lies), by order, by timing, by connection. Every one has a name and says what it touched.
 * The same random numbers make the same mutation: nothing here depends on the time, addresses or the locale.
 */
struct anomaly {
	char name[40];		/* "value past its range", "move repeated", "takeover in between"; static words, few enough to count by */
	char path[80];		/* what it touched: "2 c1 PUBLISH.topic_alias", "5..7 c0", as printed in reports */
};

/*
 * In all of them anomaly may be NULL: then nothing is said.
 *
 * One packet, mutated at one of its fields; version as it is read by. The arena is reset; 128 kB are enough. False: it cannot be decoded or nothing fits; w is as it was, nothing is said.
 */
bool mutate_packet(struct span bytes, enum version version, enum sender from, struct random *random, struct arena *arena, struct writer *w, struct anomaly *anomaly);

/* Some bytes: flips, inserts, cuts, integers at their limits, words of the dictionary. At most cap long; returns the new length. */
size_t mutate_bytes(uint8_t *bytes, size_t len, size_t cap, struct random *random, struct anomaly *anomaly);

/*
 * A sequence, in one place. `other` may be NULL: another seed, from which moves are spliced (clients renumbered so that they meet or do not). Never fails: what does not fit is not done.
 * Bytes that it makes are kept in moves.room.
 */
void mutate_moves(struct moves *moves, const struct moves *other, struct random *random, struct anomaly *anomaly);

/* Names of all anomalies, for `fuzz --list` and docs; NULL behind the last. */
const char *anomaly_name(size_t i);

/* A packet as only bytes, for where whole packets are in a row (a stream): frames are found, one is mutated. For libFuzzer targets whose input is packets of one direction. */
size_t mutate_stream(uint8_t *bytes, size_t len, size_t cap, enum version version, enum sender from, struct random *random);

#endif
