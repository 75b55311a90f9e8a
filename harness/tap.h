#ifndef HARNESS_TAP_H
#define HARNESS_TAP_H

#include "codec/span.h"

/*
 * Who sees what connections carry, byte for byte, as it was handed to the transport and as it came, but for a password that
 * the connection masks (conn_limits.secret): a capture file (pcap_writer.h), the record of one test. A layer below the connection, TLS or WebSocket, is not seen.
 */
enum tap_side { TAP_CLIENT, TAP_BROKER };

enum tap_end {
	TAP_CLOSED,			/* the client closed */
	TAP_DROPPED,			/* the client reset */
	TAP_BROKER_CLOSED,
	TAP_BROKER_RESET,
	TAP_REFUSED,			/* it never opened */
	TAP_LOST,			/* the network failed; nobody said anything */
};

/* One connection, as one tap sees it; the tap's own. Times are the loop's and never go back. */
struct tapped {
	const struct tap_ops *ops;
	struct tapped *next;		/* the connection's other taps */
};

struct tap_ops {
	void (*opened)(struct tapped *tapped, uint64_t now_ns);
	void (*bytes)(struct tapped *tapped, uint64_t now_ns, enum tap_side from, struct span bytes);
	void (*finished)(struct tapped *tapped, uint64_t now_ns);	/* the client will send no more; it goes on reading */
	void (*ended)(struct tapped *tapped, uint64_t now_ns, enum tap_end how);	/* the last call: frees *tapped */
	void (*reads)(struct tapped *tapped, uint64_t now_ns, bool reads);	/* the client stops reading, or reads on; may be NULL */
};

struct tap {
	/* A connection is being made; who: whose it is, for people, borrowed for the call. */
	struct tapped *(*connecting)(struct tap *tap, uint64_t now_ns, const char *who);
	struct tap *next;		/* sees the same connections; NULL */
};

#endif
