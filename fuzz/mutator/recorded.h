#ifndef FUZZ_MUTATOR_RECORDED_H
#define FUZZ_MUTATOR_RECORDED_H

#include "fuzz/mutator/moves.h"
#include "harness/tap.h"

/*
 * A conversation as it was seen between clients and a broker, to be told as moves: a tap for all connections of one
 * timeline. Connections of one actor, one after another, are one client.
 */
enum { RECORDED_BYTES = 1 << 20, RECORDED_EVENTS = 4096 };

struct recorded_event {
	uint64_t at_ns;
	uint8_t what, client;		/* recorded.c knows what */
	uint32_t from, len;		/* in bytes[] */
};

struct recorded {
	struct tap tap;			/* first */
	struct recorded_event events[RECORDED_EVENTS];
	uint32_t n_events, n_bytes, n_clients;
	uint64_t began_ns;
	bool over;			/* what follows is no longer the conversation: everything is being closed */
	bool too_much;			/* something did not fit, or there were more actors than clients */
	char actors[MOVES_CLIENTS][64];
	uint8_t bytes[RECORDED_BYTES];
};

void recorded_begin(struct recorded *recorded, uint64_t now_ns);	/* empty, and open */

/* Every whole packet that was seen, as each side sent it, conversation by conversation. May be NULL where it is asked for. */
struct packet_sink {
	void (*began)(struct packet_sink *sink);	/* another conversation; before its first packet */
	void (*packet)(struct packet_sink *sink, uint8_t client, enum sender from, enum version version, struct span bytes);
};

/*
 * As moves whose bytes lie in moves.room: what clients did; MOVE_AWAIT where somebody went on after an answer to what he had sent, a short
 * MOVE_PAUSE where it was after something else that came; acknowledgements that are the right ones for what is
 * oldest as MOVE_ANSWER. *offends: a client breaks a rule, by form or by its connection's flow. False: it does not fit.
 */
bool recorded_moves(const struct recorded *recorded, struct moves *moves, bool *offends, struct packet_sink *sink);

#endif
