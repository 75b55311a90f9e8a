#ifndef FUZZ_MUTATOR_MOVES_H
#define FUZZ_MUTATOR_MOVES_H

#include <stdbool.h>

#include "codec/span.h"
#include "codec/wire.h"
#include "codec/writer.h"

/*
 * What clients do to a broker, move by move, over several connections: the one form in which sequences are kept, mutated, minimised and played, by the
 * targets in process (virtual time) and by `mqassay fuzz` (sockets). Its bytes are the corpus of fuzz_broker; its text is a `finding`.
 *
 * No state is entered that no client can reach: everything begins with an open transport. A move that makes no sense where it stands (a send on a connection that is
 * not open) is passed over by whoever plays.
 */
enum move_kind {
	MOVE_OPEN,		/* the client connects its transport; one that is open is dropped before */
	MOVE_SEND,		/* bytes, mostly one whole packet; up to 255 of them in this form */
	MOVE_SEND_LONG,		/* the same, up to 65,535 */
	MOVE_DROP,		/* the client resets */
	MOVE_WAIT,		/* value half seconds pass */
	MOVE_STOP_READING,
	MOVE_READ,		/* reads again */
	MOVE_LIMITS,		/* in process, as first move only: value bends the broker's configuration */
	MOVE_ANSWER,		/* the client acknowledges the oldest delivery or release that it has not; value: enum answer_how */
	MOVE_STEER,		/* the client sends what its state and value lead to: see steer.h */
	MOVE_AWAIT,		/* until all that the client has sent is answered, its connection has ended, or patience is over */
	MOVE_CLOSE,		/* FIN; it reads on */
	MOVE_SEND_CUT,		/* as MOVE_SEND_LONG, in writes of value bytes (1 to 255) */
	MOVE_PAUSE,		/* value * 100 us pass */
	N_MOVE_KINDS
};

enum answer_how { ANSWER_RIGHT, ANSWER_WRONG_TYPE, ANSWER_WRONG_ID, ANSWER_TWICE, ANSWER_REFUSES, N_ANSWERS };

enum { MOVES_CLIENTS = 8, MOVES_MAX = 200, MOVES_BYTES = 1 << 16 };

struct move {
	uint8_t kind, client, value;	/* enum move_kind */
	struct span bytes;		/* of sends; in moves.room, or borrowed */
};

struct moves {
	uint32_t n, used;
	struct move at[MOVES_MAX];
	uint8_t room[MOVES_BYTES];
};

/*
 * The binary form. A move is one byte, kind in bits 0-2 and 6-7 (those two are its bits 3-4), client in bits 3-5; then, by kind, value in one byte
 * (WAIT LIMITS ANSWER STEER PAUSE SEND_CUT), the length (SEND in one byte, SEND_LONG and SEND_CUT in two, big endian), the bytes. Any bytes can be read: an unknown kind is
 * passed over, a length past the end is cut. Spans borrow from `bytes`: nothing is copied. What does not fit is cut off.
 */
void moves_read(struct moves *moves, struct span bytes);
/* What moves_read() makes the same moves of; a SEND of more than 255 bytes is written as SEND_LONG. */
void moves_write(const struct moves *moves, struct writer *w);

/* Copies bytes into moves.room. False: no room; *span is empty. */
bool moves_keep(struct moves *moves, struct span bytes, struct span *span);
/* A copy that borrows nothing. False: it does not fit, and *to is cut at the first move that did not. */
bool moves_copy(struct moves *to, const struct moves *from);

bool moves_insert(struct moves *moves, uint32_t at, struct move move);	/* bytes borrowed; false: full */
void moves_remove(struct moves *moves, uint32_t at, uint32_t n);
void moves_compact(struct moves *moves);	/* gives back room that no move borrows any more */

/* The version that governs what `client` has open at move number `at`: its last CONNECT's before it since OPEN; MQTT_3_1_1 where there is none that can be read. */
enum version moves_version(const struct moves *moves, uint32_t at, uint8_t client);

static inline bool move_sends(const struct move *move)
{
	return move->kind == MOVE_SEND || move->kind == MOVE_SEND_LONG || move->kind == MOVE_SEND_CUT;
}

/*
 * Names. Client ids and topics of seeds hold this token wherever a run's own name stood; who plays on a shared broker puts another of the same length in its place,
 * so that cases do not meet. In process it stays.
 */
#define MOVES_NAME "fz000000"
enum { MOVES_NAME_LEN = 8 };
void moves_rename(uint8_t *bytes, size_t len, const char name[static MOVES_NAME_LEN]);
/* "fz" and the number in base 36, lower case; numbers from 36^6 on begin again. */
void moves_name(char name[static MOVES_NAME_LEN + 1], uint64_t number);

#endif
