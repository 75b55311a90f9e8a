#ifndef FUZZ_MUTATOR_SEEDS_H
#define FUZZ_MUTATOR_SEEDS_H

#include "fuzz/mutator/moves.h"

/*
 * Seeds: what scenarios do, as moves. Each test is played against the reference broker in this process, on simulated time, and what its actors did is written down: sends, waits,
 * closes; where a step awaited something, MOVE_AWAIT; acknowledgements of what the broker delivered as MOVE_ANSWER; names as MOVES_NAME. Beside them, from the tables: for each packet type, version and
 * property one short conversation that has it. In a fixed order that depends on the scenarios only, so that a number names a seed for as long as they stay.
 */
struct seed {
	const char *name;		/* "common/qos/qos2-repeated.scn in 5", "table: PUBLISH topic_alias in 5" */
	struct span bytes;		/* moves, in their binary form */
	uint8_t version;		/* of its first client */
	bool offends;			/* our side breaks a rule in it */
};

struct seeds {
	struct seed *at;
	size_t n;
	struct region *region;		/* of all of it */
};

/*
 * versions: bits 1 << version. At most most_moves moves and most_bytes bytes each: longer ones are left out. Tests that wait longer than 2 s of the protocol's time too. Takes about as long as the suite in process. Every byte sequence once.
 * False: the scenarios that were compiled in cannot be read, which went to stderr. To be released in either case.
 */
bool seeds_make(struct seeds *seeds, unsigned versions);
/* The same, and tells every packet that was sent, either way, in all that was played: for corpora. See recorded.h. */
struct packet_sink;
bool seeds_make_telling(struct seeds *seeds, unsigned versions, struct packet_sink *sink);
void seeds_release(struct seeds *seeds);

#endif
