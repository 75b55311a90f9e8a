#ifndef HARNESS_CONN_H
#define HARNESS_CONN_H

#include "harness/monitor.h"
#include "harness/tap.h"
#include "harness/transport.h"

/*
 * A client's connection: bytes from a transport become packets, each judged by the
 * monitor before its owner sees it; packets to be sent become writes, cut as asked.
 * Its storage is the owner's. Buffers exist only while bytes wait in them.
 */
struct conn;

enum conn_end {
	END_NONE,
	END_FIN,		/* the broker closed */
	END_RESET,		/* the broker reset, or the network failed: see error */
	END_REFUSED,		/* it never opened: see error */
	END_OURS,		/* we closed or dropped it */
	END_GARBAGE,		/* what came cannot be framed; nothing after it can be read */
	END_TOO_LARGE,		/* a packet is announced that passes our own bound: no finding about the broker */
};

struct conn_events {
	void (*opened)(struct conn *c);
	/* One packet; *packet and bytes are borrowed for the call. packet is NULL when it cannot be decoded
	 * (the monitor has said so). Must not conn_close() from inside unless it touches c no more. */
	void (*packet)(struct conn *c, const uint8_t *bytes, size_t len, const struct packet *packet);
	void (*ended)(struct conn *c, enum conn_end how);	/* the last event */
	void (*sent)(struct conn *c);				/* all that was given to conn_send() has been written */
};

struct conn_limits {
	size_t max_packet;		/* larger announced packets end the connection as END_TOO_LARGE */
	size_t split;			/* cut every send into pieces: 0, N, or SPLIT_RANDOM */
	uint64_t split_seed;
	struct span secret;		/* a password; who taps sees asterisks in its place in every CONNECT. .at NULL: nothing is masked */
	bool masks_all;			/* so they do in place of whatever password a CONNECT has that can be read */
};

struct out;				/* a write that waits or is being cut into pieces */
struct pace;				/* of writes and reads that are not to go as fast as they can; NULL until asked for */

struct conn {
	struct transport *transport;
	const struct conn_events *events;
	const struct conn_limits *limits;
	struct loop *loop;
	struct monitor monitor;
	uint8_t *in;			/* bytes of an unfinished packet; NULL when there are none */
	uint32_t in_len, in_cap;
	struct out *out, **last_out;
	struct pace *pace;
	uint8_t end;			/* enum conn_end */
	bool open, finished, heard;	/* heard: a packet came */
	int error;			/* positive errno with END_RESET and END_REFUSED */
	size_t unsent;			/* bytes that wait to be written */
	const char *websocket;		/* offers this subprotocol, until the monitor has heard of the answer; NULL: none to tell */
	struct tapped *taps;		/* who sees its bytes; NULL: nobody */
};

/* 0, or negative errno when not even the attempt can be made. The outcome comes as opened() or ended(). */
int conn_open(struct conn *c, struct loop *loop, const struct address *address, const struct conn_events *events,
              const struct conn_limits *limits, struct monitor_world *world, struct monitor_log *log);

/* Right after conn_open(): tap, and those chained to it, see the connection. tap may be NULL. */
void conn_tap(struct conn *c, struct tap *tap, const char *who);

/*
 * Send bytes, copied. Several packets given in one call go out in one write. piece: cut into writes of that
 * size (0: as limits say), every_ns apart. Nothing is sent, and false returned, once the connection has ended.
 */
bool conn_send(struct conn *c, struct span bytes, size_t piece, uint64_t every_ns);
/* Over WebSocket, one frame of that kind, in its turn; enum ws_opcode. What is in a control frame is no MQTT, and may be empty. */
bool conn_send_frame(struct conn *c, unsigned opcode, struct span bytes);
bool conn_idle(const struct conn *c);			/* nothing waits to be written; c->unsent says how much does */

void conn_read_rate(struct conn *c, uint64_t bytes_per_second);	/* UINT64_MAX: freely, as at first; 0: not at all */
bool conn_reads(const struct conn *c);			/* false: not at all */
void conn_finish(struct conn *c);			/* orderly end of our side: FIN after what waits is written */
void conn_close(struct conn *c, bool reset);		/* at once; no more events. Harmless when ended or never opened */

/* "closed by the broker", "reset: Connection reset by peer"...; into text[cap]. */
void conn_end_text(const struct conn *c, char *text, size_t cap);

#endif
