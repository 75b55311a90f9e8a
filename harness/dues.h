#ifndef HARNESS_DUES_H
#define HARNESS_DUES_H

#include "codec/codec.h"

/*
 * What subscribers are owed, and what must not come to them: loss, duplicates and wrong routes, judged from what a handful of clients send and get, without marks in the payloads. It knows nothing of
 * scenarios or fuzzing, and is told of every packet both ways, in order. Bounded: what does not fit is not judged.
 *
 * It judges only where the standard leaves no choice: messages of QoS 1 and 2 that were taken by an acknowledgement, for subscriptions that were granted before, of sessions in which our
 * side kept every rule; not shared ones, no Maximum Packet Size, no expiry, no large payloads, not in 3.1. What is routed later than it is acknowledged, taken over, queued, sent again under
 * another packet id or denied by SUBACK accuses nobody. Before 5 a server may acknowledge what it does not permit: who knows that it does judges no dues. As soon as something was sent that cannot be read and may have published, duplicates are not judged any more, since
 * nobody knows what that was.
 *
 *   MQTT-4.5.0-1      a message did not come that a subscriber was owed, be it live or from its queue
 *   MQTT-4.4.0-1      nor again what was unacknowledged when the connection was lost
 *   MQTT-4.3.3-2/-10  a QoS 2 message came twice (3.1.1, 5)
 *   MQTT-3.3.1-10/-6  a retained message came to a new subscription although it had been removed (3.1.1, 5)
 *   MQTT-3.1.2-8      a will without delay did not come when its connection had ended without DISCONNECT (in 5 not where the session goes on by another connection)
 *   MQTT-3.14.4-3     a will came although DISCONNECT (0x00) had been said
 *   MQTT-3.8.3-3      a message came back to its publisher, who has nothing but No Local subscriptions to it (5)
 *   MQTT-4.7.2-1      a wildcard in the first level brought a topic that begins with $, for which nothing else was asked
 *   shared-one-member a message that was published once came to two members of one share, to each at QoS 0 (5)
 *
 * And what the server has promised for a time: dues_promises.h.
 */
enum { DUES_CLIENTS = 32 };

struct dues;
struct dues *dues_new(void);		/* given; NULL when memory is short */
void dues_free(struct dues *dues);
/* All is forgotten. own: only client ids and topics with this in them are judged (copied; at most 16 bytes), for others may be anybody's; empty: all. */
void dues_begin(struct dues *dues, struct span own);

struct due_breach {
	uint8_t version;
	const char *clause;		/* static */
	unsigned client;
	uint8_t type;			/* of the packet that breaks it, or did not come */
	char text[240];			/* one line, foreign bytes escaped */
};

/* What time it is, on a clock that only goes forward: to be told before what happens then. */
void dues_time(struct dues *dues, uint64_t now_ns);

/* lawful: our side has broken no rule on this connection, this packet included. packet is NULL for what cannot be read. */
void dues_sent(struct dues *dues, unsigned client, const struct packet *packet, bool lawful);
void dues_sent_unreadable(struct dues *dues, unsigned client, unsigned type);	/* but framed as a packet of that type */

/* topic: of a PUBLISH, also where an alias stands for it; empty where that cannot be said. False: *breach tells of a duplicate, or of what should not be there. */
bool dues_received(struct dues *dues, unsigned client, const struct packet *packet, struct span topic, struct due_breach *breach);

enum due_end {
	DUES_CLOSED,			/* by the server, which has read all that was sent */
	DUES_BROKEN,			/* by the server, or on the way: what was sent last may not have been read */
	DUES_LOST,			/* by us; nor here */
	DUES_FINISHED,			/* for our side only: nothing more is sent; how it ends is still to be told */
};
void dues_ended(struct dues *dues, unsigned client, enum due_end how);	/* harmless where there is none */

/* Which clients (bits) are connected and have something to come, or to release before it comes to others. Whoever waits answers what they owe meanwhile: a full window holds up the rest. */
uint32_t dues_waiting(const struct dues *dues);

/* The time for it is over, and the client has owed nothing and was served all the while: what has not come is lost. False: *breach. */
bool dues_judge(const struct dues *dues, unsigned client, struct due_breach *breach);

/* Of what it told: it must not have come, however little the server keeps or permits. */
bool dues_is_misrouted(const char *clause);

/* Whether it may tell that clause. */
bool dues_judges(enum version version, const char *clause);

#endif
