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
 *
 * What is waited for:
 * - A move on a connection that is not open yet, until it is, or cannot be. One that is not within patience (the first of a case: or 1.5 s, where that is longer) is
 *   given up, and counts as refused. Where 64 have not been heard yet, the next is begun a moment later: backlogs are short.
 * - MOVE_AWAIT, until all is answered; and a moment, where something may still come that need not: after an offence, a DISCONNECT, a FIN; a delivery or a takeover
 *   after what another client of the case has sent. MOVE_ANSWER with nothing owed waits such a moment too.
 * - At the end all connections together, once, in this way; then they are reset (closed in order after MOVE_CLOSE).
 * A moment is twice what the target takes to answer just now, and half a millisecond; eight times that where the connection has every reason to be closed. A
 * connection that does not read is not waited for. Where a case's patience was over four times, it waits for moments only.
 * Whoever is served at the end behind an offence for which the connection must be closed (harness/offences.h) is asked twice by a PINGREQ whether that goes on; half a second passes in
 * between, unless this player has seen the target do it before. What says that an offence was taken is a symptom as soon as it comes.
 *
 * A packet of ours that is left at half while something is waited for is an offence to the monitor: what is wrong in its first half a target may answer before
 * the other comes. So is what we acknowledge before it has come, or twice: it may meet the very packet on its way.
 */
struct player;

struct player_options {
	struct loop *loop;
	const struct address *address;		/* borrowed until there is another, or player_free() */
	/* Put into every CONNECT that can be read and names no user; at NULL: none. `did` has neither, taps see no password. */
	struct span user_name, password;
	uint64_t patience_ns;			/* of MOVE_AWAIT; the campaign adapts it to the baseline */
	uint64_t longest_wait_ns;		/* MOVE_WAIT is cut to it */
	/*
	 * How long what subscribers are owed (harness/dues.h) may take, when the moves are over: then it is lost. Who waits for it answers what he owes meanwhile, which `did` takes down. A
	 * right target has nothing left to come by then, so that nobody waits. 0: it is not judged, as where the target is known to permit us less than it says.
	 */
	uint64_t owed_ns;
	bool (*accepted)(void *context, uint8_t version, const char *clause);	/* a known deviation: no symptom of it; NULL: none */
	void *context;
};

struct player *player_new(const struct player_options *options);	/* given; aborts when memory is short */
void player_free(struct player *player);		/* drops what is open; also from inside done(). NULL is fine */
void player_patience(struct player *player, uint64_t patience_ns);
void player_address(struct player *player, const struct address *address);	/* of a target that was restarted elsewhere */

/* What came of a case. */
struct played {
	uint64_t number;			/* as given */
	uint32_t n_sent, n_received;		/* packets, those that cannot be read too */
	uint16_t n_unanswered;			/* AWAITs whose patience was over, and the one at the end */
	uint16_t n_refused;			/* connections that could not be made: the target may be gone */
	uint64_t took_ns, slowest_ns;		/* in all; the longest from a send to its answer */
	/*
	 * What the target answered, as hashes, in the order of their numbers, each once. One for each packet that came: its version, type, and how it was: CONNACK's code
	 * and Session Present, the highest code of SUBACK and UNSUBACK, QoS, DUP and RETAIN of PUBLISH, else the reason code; of one that cannot be read, that it cannot.
	 * What is no reply (PUBLISH, DISCONNECT, AUTH) has besides whether this client did something last or another one: a delivery, a takeover; all but PUBLISH also what
	 * the client sent last. So has the end of a connection, with how it ended (FIN, reset, garbage...), and a silence when patience was over. Contents, ids, times and
	 * the order in which clients were answered make no difference. Of more than 64 the smallest are kept. Two plays with the same answers have the same set.
	 */
	uint32_t answers[64];
	uint8_t n_answers;
	struct symptom symptom;			/* ORACLE_RULE or ORACLE_NONE; the first */
};

/*
 * Plays `moves`, borrowed until done() is called; number makes its names (moves_name()). done() comes from the loop, never from in here; another play may be begun in it.
 * tap: sees its connections; NULL. did: NULL, or takes down what was really done: STEER and all ANSWERs but
 * ANSWER_RIGHT as the sends they came to, ANSWER_RIGHT with its packet as bytes beside it, AWAIT as it stood, what was passed over left out, names as MOVES_NAME. When the moves are over, each connection that serves is asked by a
 * PINGREQ whether all has come, and dropped.
 * Played with the same number, to a target that says the same, it comes to the same bytes. Where it does not fit into *did, the rest is missing.
 */
void player_play(struct player *player, const struct moves *moves, uint64_t number, struct tap *tap, struct moves *did,
                 void (*done)(void *context, const struct played *played), void *context);
size_t player_busy(const struct player *player);	/* cases under way */

/*
 * From now on cases whose moves are over are not ended: their connections stay as they are, and nobody says anything on them. Or no more: then they are ended as ever. What of a target only shows while
 * its clients are there can be looked at meanwhile.
 */
void player_hold(struct player *player, bool holds);
size_t player_held(const struct player *player);	/* of those under way */

/* Drops all that is under way; done() is not called for them. */
void player_abandon(struct player *player);

#endif
