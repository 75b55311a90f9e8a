#ifndef PCAP_MQTT_STAGE_H
#define PCAP_MQTT_STAGE_H

#include "pcap/conversation.h"
#include "pcap/decoder.h"
#include "pcap/stage.h"

/*
 * MQTT in the two byte streams of a connection: which end is the client, which version, where packets begin, also after a hole and when
 * the beginning was not captured; aliases resolved per direction. Opens a conversation when it is certain enough that this is MQTT.
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
/* It is not MQTT, as far as can be said: nothing was opened, and nothing will be. */
bool mqtt_stage_gave_up(const struct stage *stage);

#endif
