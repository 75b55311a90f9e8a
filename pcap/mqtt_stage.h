#ifndef PCAP_MQTT_STAGE_H
#define PCAP_MQTT_STAGE_H

#include "pcap/conversation.h"
#include "pcap/decoder.h"
#include "pcap/stage.h"

/*
 * MQTT in the two byte streams of a connection: which end is the client, which version, where packets begin, also after a hole and when
 * the beginning was not captured; aliases resolved per direction. Opens a conversation when it is certain enough that this is MQTT.
 *
 * What it is. A connection whose beginning was captured is MQTT by a CONNECT; on a likely port also by other first bytes that are legal packets, or
 * much like a CONNECT. Midway, legal packets from where segments begin decide: several, or in both directions; on a likely port one may do. Until then at
 * most 8 kB of each end wait (on a likely port they are let go and others looked at, up to 256 kB).
 *
 * Version and roles. CONNECT says both. Without one, the version is what the packets are legal in, 3.1.1 when both fit equally well; it and the
 * roles can turn out otherwise later, and then hold for what follows: conversation.version, .client and .broker change.
 *
 * Certainty. A packet is `sure` when what stands before it goes back, without a gap, to the connection's beginning, or to so many legal packets
 * in a row that there is no doubt left (80 bits of evidence, four or five packets). What is sure and wrong is told as a packet, with its finding; three
 * unreadable ones in a row are not packets any more. What is not sure must be legal, or it is passed over.
 *
 * Holes. One is told at once; what is passed over behind it, in a second hole of the same kind with bytes 0, when the next packet is found. If it lies in a
 * packet whose length is known, the place of the next is known too; of this packet, as of one that is too large, what was there when the hole was told and
 * what came later is counted apart, and never what did not come. Else candidates are judged by what they hold, by what follows, by where
 * segments begin and end, by topics and packet ids seen before, and by acknowledgements of the other end.
 *
 * Topic aliases. What an alias stood for before a hole in its direction is forgotten, unless the hole lies inside a packet that is known to set
 * none or whose properties are there: what is lost may have set it anew, and an unknown topic is better than a wrong one. At most 64 kB
 * of topics are kept per direction; what does not fit is unknown as well.
 *
 * Memory. What all stages with the same `kept` hold is bounded by 12 MiB and two packets of the largest size; what does not fit is a hole (HOLE_NO_ROOM).
 */

/* Whom it tells; the decoder implements these by going through its observers. */
struct mqtt_listener {
	struct conversation *(*opened)(struct mqtt_listener *l, const struct when *when);	/* one zeroed but for number, stream; fill in, then confirm by packet(). NULL: no room */
	void (*introduced)(struct mqtt_listener *l, struct conversation *c, const struct when *when);	/* it is filled in: observers may be told */
	void (*packet)(struct mqtt_listener *l, struct seen_packet *packet);	/* nth is filled in by the listener */
	void (*hole)(struct mqtt_listener *l, struct conversation *c, const struct hole *hole);
	void (*closed)(struct mqtt_listener *l, struct conversation *c, enum sender from, bool reset, const struct when *when);
	void (*ended)(struct mqtt_listener *l, struct conversation *c, const struct when *when);	/* frees c */
};

struct mqtt_options {
	const struct decoder_options *decoder;	/* borrowed */
	bool forced;			/* --port, or a layer below said so (ALPN, subprotocol): it is MQTT */
	bool likely;			/* one of MQTT's ports: less evidence is enough */
	bool from_start;		/* the first bytes of each end are the connection's first */
	enum via via;
	struct endpoint ends[2];	/* for conversation.client and .broker, once it is known which is which */
	struct when first;		/* of the connection, for conversation.first */
	size_t *kept;			/* where all stages of a decoder count the bytes they hold, 0 at first; NULL: each for itself */
};

/* Whether a connection's first bytes can be a CONNECT packet's: 1 yes, 0 no, -1 more needed. */
int mqtt_looks_like(struct span bytes);

struct stage *mqtt_stage_new(struct mqtt_listener *listener, const struct mqtt_options *options);
bool mqtt_stage_is_open(const struct stage *stage);	/* it is MQTT: a conversation was opened */
/* It is not MQTT, as far as can be said: nothing was opened, and nothing will be. */
bool mqtt_stage_gave_up(const struct stage *stage);
/* It has turned out to be something else: where no conversation was opened, none will be. */
void mqtt_stage_give_up(struct stage *stage);

#endif
