#ifndef HARNESS_OFFENCES_H
#define HARNESS_OFFENCES_H

#include "codec/codec.h"

/*
 * What a client has done that a broker must end its connection for, and whether the broker serves it all the same: for whoever breaks rules on purpose. The monitor does not
 * judge that: from our side's first offence on it looks at form only. One for each connection, told of every packet both ways, in order.
 *
 * In `why` stands the first offence of any weight, for who has a broker that ends connections for all of them. A breach is told only where the standard leaves no choice:
 * - by an answer that says that the very packet was taken: PUBACK, PUBREC and PUBCOMP below 0x80, SUBACK and UNSUBACK without a code from 0x80 on, CONNACK with 0. Where several packets
 *   may be meant by it nobody is accused, so what was sent before the offence, or crosses it, is no matter.
 * - by service: where the clause itself demands that the connection is closed (in 5 few do: others bind a server that detects the offence), two PINGREQs behind it are answered, and
 *   some time passes between the first answer and the second question, so that who is slow to close has closed.
 * In 3.1, which demands little, nothing is a breach; nor is anything behind a CONNECT that leaves open by which version it is read, nor behind what cannot be framed.
 */
enum { OFFENCES_TAKEN = 4, OFFENCES_OPEN = 16, OFFENCES_ALIASES = 64 };

struct offending {
	const char *clause, *why;	/* static */
	uint16_t id;			/* its packet id; of a CONNECT: which one it is on the connection */
	uint8_t type, answer;
};

struct offences {
	const char *why;		/* static; NULL: none yet */
	/* Its own: */
	struct offending served;	/* the first for which the connection must be closed; clause NULL: none */
	struct offending taken[OFFENCES_TAKEN];		/* whose answer would say that it was taken */
	struct awaited { uint16_t id; uint8_t answer, n; } open[OFFENCES_OPEN];		/* what answers may belong to that say nothing about an offence */
	uint64_t aliases;		/* that were mapped, bit n of number n; those from OFFENCES_ALIASES on are not judged */
	uint64_t since_ns;
	uint16_t pings;			/* unanswered */
	uint8_t version, n_taken, n_open, n_connects, n_connacks, phase;
	bool unasked;			/* something was sent before CONNECT */
	bool over;			/* nothing is judged any more */
	bool crowded;			/* more is open than is kept: no answer is judged any more */
	bool disconnected, no_shared;
};

struct offence_breach {
	uint8_t version, type;		/* type: of the packet that was the offence */
	const char *clause;		/* static */
	char text[240];			/* one line */
};

void offences_open(struct offences *o);		/* a new connection */
/* A whole packet was sent. packet is NULL for what cannot be read, and unreadable says why then; else it is not looked at. */
void offences_sent(struct offences *o, const uint8_t *bytes, const struct frame *frame, const struct packet *packet, const struct finding *unreadable);
void offences_unframed(struct offences *o);	/* what was sent is no packet, and nothing behind it is */
bool offences_received(struct offences *o, const struct packet *packet, struct offence_breach *breach);		/* false: *breach */

/*
 * The moves are over: does the broker go on serving although it must not? To be asked again after everything that comes, and at *deadline_ns.
 * OFFENCES_SETTLED   there is nothing to see, or nobody answers.
 * OFFENCES_ASK       a PINGREQ is to be sent, and offences_sent() to be told of it; then ask again.
 * OFFENCES_WAIT      until *deadline_ns.
 * OFFENCES_BREACH    it does: *breach.
 * grace_ns: how long a broker may take to close after it has answered what lies behind the offence. patience_ns: how long to answer.
 */
enum offences_turn { OFFENCES_SETTLED, OFFENCES_ASK, OFFENCES_WAIT, OFFENCES_BREACH };
enum offences_turn offences_turn(struct offences *o, uint64_t now_ns, uint64_t grace_ns, uint64_t patience_ns, uint64_t *deadline_ns, struct offence_breach *breach);

/* Whether it may tell that clause. */
bool offences_judge(enum version version, const char *clause);

#endif
