#ifndef FUZZ_NETWORK_PLAYER_H
#define FUZZ_NETWORK_PLAYER_H

#include "fuzz/mutator/moves.h"
#include "fuzz/network/symptom.h"
#include "harness/tap.h"
#include "harness/target.h"
#include "harness/transport.h"
#include "harness/loop.h"

/*
 * Plays cases against a target: any number at a time on one loop, each with names of its own, every byte that comes judged by the monitor. Made for speed: thousands of short conversations a second.
 * A case never waits long: an answer that has not come within `patience` is not waited for any more, and that is noted.
 */
struct player;

struct player_options {
	struct loop *loop;
	const struct address *address;
	struct span user_name, password;	/* put into every CONNECT that names no user; at NULL: none */
	uint64_t patience_ns;			/* of MOVE_AWAIT; the campaign adapts it to the baseline */
	uint64_t longest_wait_ns;		/* MOVE_WAIT is cut to it */
	bool (*accepted)(void *context, uint8_t version, const char *clause);	/* a known deviation: no symptom of it; NULL: none */
	void *context;
};

struct player *player_new(const struct player_options *options);
void player_free(struct player *player);		/* drops what is open */
void player_patience(struct player *player, uint64_t patience_ns);
void player_address(struct player *player, const struct address *address);	/* of a target that was restarted elsewhere */

/* What came of a case. */
struct played {
	uint64_t number;			/* as given */
	uint32_t n_sent, n_received;		/* packets */
	uint16_t n_unanswered;			/* AWAITs whose patience was over */
	uint16_t n_refused;			/* connections that could not be made: the target may be gone */
	uint64_t took_ns, slowest_ns;		/* in all; the longest from a send to its answer */
	/*
	 * What the target answered, as hashes of states: for each client, version, the last packet sent and what came (type, reason, whether it closed). Two plays with the same answers have the same set.
	 */
	uint32_t answers[64];
	uint8_t n_answers;
	struct symptom symptom;			/* ORACLE_RULE or ORACLE_NONE; the first */
};

/*
 * Plays `moves`, borrowed until done() is called; number makes its names (moves_name()). done() comes from the loop, never from in here; another play may be begun in it.
 * tap: sees its connections; NULL. did: NULL, or takes down what was really done: STEER and all ANSWERs but
 * ANSWER_RIGHT as the sends they came to, ANSWER_RIGHT with its packet as bytes beside it, AWAIT as it stood, what was passed over left out, names as MOVES_NAME. The client's end of every connection that is still open is dropped at the end.
 */
void player_play(struct player *player, const struct moves *moves, uint64_t number, struct tap *tap, struct moves *did,
                 void (*done)(void *context, const struct played *played), void *context);
size_t player_busy(const struct player *player);	/* cases under way */

/* Drops all that is under way; done() is not called for them. */
void player_abandon(struct player *player);

#endif
