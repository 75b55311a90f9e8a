#ifndef HARNESS_WEBSOCKET_H
#define HARNESS_WEBSOCKET_H

#include "codec/ws.h"
#include "harness/transport.h"

/*
 * WebSocket over another transport: each send is one binary frame, of 32 kB at most (a server's of 8 kB), and what is received comes without frames.
 * Pings are answered and Close frames returned by the layer itself. Both take `below`; NULL: out of memory, below is closed.
 */

enum {
	WS_HANDSHAKE_MAX = 8192,
	WS_MEMORY = 16 * 1024,		/* that a server's keeps at most: the handshake, or a frame and pongs that wait */
};

struct ws_settings {
	const char *host;		/* the field Host; borrowed for the call, as the others */
	const char *path;
	const char *protocol;		/* offered; "": none */
};
struct transport *ws_client(struct transport *below, const struct ws_settings *settings);

/* A server takes any path, and whoever offers "mqtt" or no subprotocol at all; it selects "mqtt" where that was offered. */
struct transport *ws_server(struct transport *below, unsigned broken);	/* bits of enum layer_fault */

/* What is wrong on purpose, and what TCP does not have. False when t is no WebSocket. */
bool ws_next_frame(struct transport *t, enum ws_opcode opcode);	/* the next send is a frame of that kind */

/* Which subprotocol the server selected: "" for none; NULL when t is no WebSocket, or not open yet. */
const char *ws_protocol(const struct transport *t);

/* What it runs over; NULL when t is no WebSocket. */
const struct transport *ws_below(const struct transport *t);

/* Whether the peer sent a data frame that is not binary, and so ended the connection [MQTT-6.0.0-1]. */
bool ws_sent_text(const struct transport *t);

#endif
