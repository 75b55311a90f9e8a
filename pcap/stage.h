#ifndef PCAP_STAGE_H
#define PCAP_STAGE_H

#include "pcap/conversation.h"

/*
 * One layer of a connection: bytes of two directions come in from below, what they carry goes out above. Layers are stacked
 * by detect.h: TCP, then TLS or not, then WebSocket or not, then MQTT. `end` is as in tcp.h throughout.
 */
struct stage;

struct stage_ops {
	/* In order. Borrowed for the call. when: of the frame that carried the last of them. */
	void (*bytes)(struct stage *stage, unsigned end, struct span bytes, const struct when *when);
	/*
	 * len bytes are missing here, 0: nobody knows how many. A layer that cannot go on passes the hole up, with why, and
	 * tries to find its way again.
	 */
	void (*hole)(struct stage *stage, unsigned end, uint64_t len, enum hole_why why, const struct when *when);
	/* end will send no more: an orderly end, or a reset. May be called for both ends. */
	void (*closed)(struct stage *stage, unsigned end, bool reset, const struct when *when);
	/* The connection is over; frees the stage and, after telling it, all above. */
	void (*ended)(struct stage *stage, const struct when *when);
};

struct stage {			/* stands first in a layer's own struct */
	const struct stage_ops *ops;
};

#endif
