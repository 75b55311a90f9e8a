#ifndef CODEC_WS_H
#define CODEC_WS_H

#include "codec/writer.h"

/* WebSocket frames (RFC 6455) as MQTT uses them: a stream of bytes in binary frames. [MQTT-6.0.0-1] [MQTT-6.0.0-2] */

enum ws_opcode { WS_CONTINUATION = 0, WS_TEXT = 1, WS_BINARY = 2, WS_CLOSE = 8, WS_PING = 9, WS_PONG = 10 };

/* Codes of a Close frame. */
enum { WS_NORMAL = 1000, WS_PROTOCOL_ERROR = 1002, WS_UNSUPPORTED = 1003 };

enum { WS_HEAD_MAX = 14, WS_CONTROL_MAX = 125 };

/* Reads one direction of a connection. All zero, but for from_client, to begin with. */
struct ws_reader {
	bool from_client;		/* its frames must be masked, a server's must not */
	bool takes_text;		/* hands text frames over instead of refusing them */
	bool in_payload, in_message;
	bool fin;			/* of the frame whose payload is being read */
	bool refused;
	uint8_t opcode;			/* likewise; a continuation has its message's */
	uint8_t n_head, n_control;
	uint8_t head[WS_HEAD_MAX];
	uint8_t mask[4];
	uint8_t control[WS_CONTROL_MAX];
	uint64_t left, done;		/* of the payload */
};

enum ws_event {
	WS_MORE,			/* all of it is read */
	WS_DATA,			/* got->bytes: some payload of a data frame, unmasked in place */
	WS_CONTROL,			/* a whole Close, Ping or Pong: got->opcode, got->bytes, and for Close got->code */
	WS_BAD,				/* no WebSocket, or not MQTT's: got->why, and got->code to close with. Nothing more is read */
};

struct ws_got {
	enum ws_opcode opcode;
	struct span bytes;		/* borrowed from the input, or of a control frame from the reader until the next call */
	uint16_t code;			/* 0: a Close frame without one */
	bool not_binary;		/* WS_BAD: a data frame that is not binary [MQTT-6.0.0-1] */
	const char *why;		/* static */
};

/*
 * Reads on in bytes[0..len) up to the next event; *used says how far. Frames may end anywhere: their payload is handed over
 * as it comes, so that a frame of any announced size costs nothing.
 */
enum ws_event ws_read(struct ws_reader *r, uint8_t *bytes, size_t len, size_t *used, struct ws_got *got);

/* The head of a frame, at most WS_HEAD_MAX bytes; mask is NULL for a server's. Returns its size. */
size_t ws_head(uint8_t head[WS_HEAD_MAX], enum ws_opcode opcode, bool fin, uint64_t len, const uint8_t mask[4]);

/* Masks, or unmasks, bytes that stand at `from` in their payload. */
void ws_mask(uint8_t *bytes, size_t len, const uint8_t mask[4], uint64_t from);

#endif
