#ifndef PCAP_WHERE_H
#define PCAP_WHERE_H

#include "codec/fault.h"
#include "pcap/conversation.h"

/*
 * Which packets to show: `type==PUBLISH && qos==2 && topic~"a/#" && client=="x"`.
 *
 *   expression   test, !expression, expression && expression, expression || expression, ( expression )
 *   test         FIELD OP VALUE, FIELD present, FIELD absent; a FIELD alone: it is there, and not 0
 *   OP           ==  !=  <  <=  >  >=, and ~ for text that the topic filter VALUE matches
 *   FIELD        a field or property by its name in the notation: qos, packet_id, payload, will.topic, filters, ...
 *                topic is what the message is about, also where an alias stands for it; user_property.KEY or user_property["any key"]
 *                type, from (client, broker), client (its id), client_address, broker ("10.0.0.1:1883", "[::1]:1883"), connection (1 for c1), stream, frame, time (since the capture's first frame:
 *                1.5s, 200ms; a number alone is seconds), size, remaining_length, version (3.1, 3.1.1, 5), way (tcp, tls, ws, wss), sure,
 *                confidence, unreadable, clause (of an unreadable packet: "5:MQTT-2.1.3-1")
 *   VALUE        a number, "text", hex"c0 80", true, false, a packet type, a reason code's name
 *
 * A field that a packet does not have makes every test but `absent` false, != too. Where it has several (reason of SUBACK, filters,
 * user_property), one of them must fit; with != none may be equal.
 */
struct where;

enum { WHERE_MAX_TEXT = 64 * 1024, WHERE_MAX_TESTS = 256 };

/* Given. NULL: *fault says where and what was expected there. */
struct where *where_parse(struct span text, struct fault *fault);
void where_free(struct where *where);		/* harmless with NULL */

/* base_ns: the time of the capture's first frame. */
bool where_matches(const struct where *where, const struct seen_packet *packet, uint64_t base_ns);

/* Whether it asks only for what is the same for all packets of a connection: client, client_address, broker, connection, stream, version, way. */
bool where_takes_whole_connections(const struct where *where);

/*
 * Passes on to inner, which it takes, only packets that match. A conversation of which none has matched is not heard of; just
 * before the first that does inner is told that it was opened, and of what was missing up to there. where is borrowed.
 * NULL: no memory; inner is still the caller's.
 */
struct observer *where_observer_new(const struct where *where, struct observer *inner);
uint64_t where_observer_matched(const struct observer *observer);	/* packets that were passed on */

#endif
