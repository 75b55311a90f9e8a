#ifndef FUZZ_MUTATOR_STEER_H
#define FUZZ_MUTATOR_STEER_H

#include "codec/codec.h"
#include "fuzz/mutator/moves.h"

/*
 * A client's side of the state that a move is steered by: what it has sent that is not answered, and what it owes. Told of every packet both ways; bounded: what does not fit is
 * forgotten. Knows no I/O: the target in process and the network player share it.
 */
enum { STEER_IDS = 16 };

struct steered {
	uint8_t version;
	bool connecting, connected;		/* CONNECT sent; CONNACK accepted */
	uint8_t pings;				/* PINGREQs unanswered */
	uint16_t receive_maximum, topic_alias_maximum;	/* the broker's */
	uint32_t maximum_packet_size;
	struct steer_id { uint16_t id; uint8_t type; } sent[STEER_IDS],	/* ours unanswered: PUBLISH, PUBREL, SUBSCRIBE, UNSUBSCRIBE */
		owed[STEER_IDS];		/* theirs unanswered, oldest first: PUBLISH (qos in flags), PUBREC, PUBREL */
	uint8_t owed_qos[STEER_IDS];
	uint8_t n_sent, n_owed;
	char topic[64];				/* of the last PUBLISH or filter that it sent; "" */
	char client_id[64];			/* its own, or assigned */
};

void steered_reset(struct steered *s);			/* a new connection */
void steered_sent(struct steered *s, const struct packet *p);	/* packets that cannot be decoded are not told */
void steered_received(struct steered *s, const struct packet *p);
bool steered_waits(const struct steered *s);		/* something it sent is to be answered yet */

/*
 * MOVE_ANSWER: writes the acknowledgement (two of them for ANSWER_TWICE), takes it off what is owed. False: nothing is owed. Before 5 no answer refuses: it is the right one then.
 * Whoever sends it tells steered_sent() of it, as of every packet: a PUBREL is waited for.
 */
bool steered_answer(struct steered *s, enum answer_how how, struct writer *w);

/*
 * MOVE_STEER: a packet that value picks among what is near to the state: the next of a handshake or one that does not fit it, a PUBLISH repeated with DUP, an id that is in
 * use, one more than Receive Maximum (several packets then), an alias at its maximum and past it, a second CONNECT, DISCONNECT with session expiry, AUTH... The same state and
 * value give the same packets, at most STEER_MOST bytes. Where the client has named no topic or client id yet MOVES_NAME stands: whoever plays renames what is written.
 */
enum { STEER_MOST = 5000 };
void steered_next(struct steered *s, uint8_t value, struct writer *w);

#endif
