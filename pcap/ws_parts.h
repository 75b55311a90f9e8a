#ifndef PCAP_WS_PARTS_H
#define PCAP_WS_PARTS_H

#include "codec/http.h"
#include "codec/ws.h"
#include "pcap/ws_stage.h"

/* What ws_stage.c and ws_seek.c share; nobody else includes it. */

enum {
	WS_WINDOW = 4096,		/* in which a frame's header is sought */
	WS_PIECES = 64,
	WS_LIVE = 32,
	WS_SCRATCH = 16384,		/* unmasked at a time, on the stack */
	WS_ALL_BYTES = 12 << 20,	/* that WebSocket stages keep, where they are counted */
};

struct ws_piece {			/* of the window: what came at once */
	uint32_t at;
	struct when when;
};

struct ws_window {
	uint32_t len, n;
	uint32_t scanned, n_live;	/* offsets before it are judged; those of them that are not contradicted */
	uint16_t live[WS_LIVE];
	struct ws_piece pieces[WS_PIECES];
	uint8_t bytes[WS_WINDOW];
};

enum ws_phase { WS_BEGIN, WS_HEAD, WS_FRAMES, WS_SEEK };

struct ws_lane {
	enum ws_phase phase;
	uint8_t *head;			/* of HTTP, while it is not whole: HTTP_HEAD_MAX + 1 bytes */
	uint32_t head_len;
	struct ws_window *window;	/* while seeking, when there is something in it */
	struct ws_reader reader;
};

struct ws_stage {
	struct stage stage;
	struct stage *above;
	struct ws_notes *notes;
	bool client_known, refused;
	struct ws_lane lanes[2];
};

/* Zeroed memory, counted; NULL when there is no room. */
void *ws_take_room(struct ws_stage *s, size_t size);
void ws_give_room(struct ws_stage *s, void *room, size_t size);

/*
 * The lane seeks, and is given more. True: a frame's header was found, *from is where in the window, which is the caller's to read
 * and to free. More bytes than fit are never given: at most WS_WINDOW / 2.
 */
bool ws_seek(struct ws_stage *s, unsigned end, struct span bytes, const struct when *when, uint32_t *from);

#endif
