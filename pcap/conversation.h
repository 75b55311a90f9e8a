#ifndef PCAP_CONVERSATION_H
#define PCAP_CONVERSATION_H

#include "codec/codec.h"
#include "pcap/when.h"

/*
 * What decoding a capture tells: conversations between a client and a broker, and in each the MQTT packets both ways,
 * holes, and how it ended. Observers (text, JSON, views, the check, ...) are told in the order of the capture.
 */

enum via { VIA_TCP, VIA_TLS, VIA_WS, VIA_WSS };
enum { MAX_OBSERVERS = 8 };

struct conversation {
	uint32_t number;		/* 1, 2...: in the order in which they turned out to be MQTT; its name is "c1" */
	uint32_t stream;		/* as Wireshark's tcp.stream */
	struct endpoint client, broker;
	enum via via;
	enum version version;		/* by which its packets are read */
	bool version_known;		/* its CONNECT was seen; else inferred from the packets */
	bool from_start;		/* its first packet is the connection's first byte: CONNECT was not missed */
	bool holed;			/* something is missing in it, so far */
	bool roles_known;		/* which end is the client is sure */
	struct span client_id;		/* CONNECT's, or the one CONNACK assigned; .at NULL: not known. Lives as long as the conversation */
	struct when first;		/* of its connection */
	void *of[MAX_OBSERVERS];	/* one for each observer: its index is observer.slot */
};

/* One MQTT control packet as it was seen. All of it is borrowed for the call. */
struct seen_packet {
	struct conversation *conversation;
	enum sender from;		/* FROM_CLIENT or FROM_SERVER */
	struct when when;		/* of the frame in which it is complete */
	struct when first;		/* of the frame in which it begins */
	uint32_t nth;			/* among those of this connection that are complete in this frame, both ways: 0, 1... */
	struct span bytes;		/* the whole packet */
	struct frame frame;
	enum status status;		/* of decode() */
	struct packet packet;		/* CODEC_OK only */
	struct finding finding;		/* CODEC_BAD only */
	struct span topic;		/* PUBLISH: the topic, a topic alias resolved; .at NULL: cannot be said (the alias was not seen) */
	bool sure;			/* it follows without a gap on something that is certainly the beginning of a packet */
	uint8_t confidence;		/* percent: 100 when sure; else how likely this is a packet at all and where it begins */
};

enum hole_why { HOLE_LOST, HOLE_CUT, HOLE_NO_ROOM, HOLE_UNFINISHED, HOLE_UNREADABLE /* bytes that are no MQTT, passed over */,
                HOLE_ENCRYPTED /* keys are missing from here */ };

struct hole {
	enum sender from;
	enum hole_why why;
	uint64_t bytes;			/* missing; 0: not known */
	uint64_t skipped;		/* there, and passed over to find the next packet; what is found out later comes in another hole with bytes 0 */
	struct when when;
};

enum conversation_end { ENDED_BY_FIN, ENDED_BY_RESET, ENDED_REPLACED, ENDED_FORGOTTEN, ENDED_WITH_CAPTURE };

struct observer;

struct observer_ops {		/* any may be NULL */
	void (*started)(struct observer *o, const struct when *when);	/* the capture's first frame, which times count from; before anything else */
	void (*opened)(struct observer *o, struct conversation *c, const struct when *when);
	void (*packet)(struct observer *o, const struct seen_packet *packet);
	void (*hole)(struct observer *o, struct conversation *c, const struct hole *hole);
	void (*closed)(struct observer *o, struct conversation *c, enum sender from, bool reset, const struct when *when);
	void (*ended)(struct observer *o, struct conversation *c, enum conversation_end how, const struct when *when);	/* the last of c */
	void (*flush)(struct observer *o);	/* live: nothing comes at the moment; what is complete should be shown */
	void (*finish)(struct observer *o, const struct when *when);	/* the capture is over, all conversations have ended */
	void (*free)(struct observer *o);	/* the observer itself, and what it keeps; view_free() calls it, the decoder does not */
};

struct observer {		/* stands first in an observer's own struct */
	const struct observer_ops *ops;
	unsigned slot;			/* set by decoder_observe(): its place in conversation.of[] */
};

#endif
