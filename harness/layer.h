#ifndef HARNESS_LAYER_H
#define HARNESS_LAYER_H

#include "harness/transport.h"

/*
 * What the layers over a transport have in common (tls.c, websocket.c): their owner sees a transport, and they own
 * the one below. What the owner has to be told beside what the one below tells is posted, so that nothing calls
 * back from inside a call.
 */
struct layer {
	struct transport t;		/* first */
	struct transport *below;
	bool accepted;			/* a server's end: it is handed over before its handshake, and fails as a stream does */
	struct task task;
	uint8_t *out;			/* bytes that the one below did not take yet; NULL: none */
	size_t out_at, out_len;
	/* Whether something waits for the owner that the one below will not tell of. */
	bool (*waits)(const struct layer *l);
	void (*release)(struct layer *l);	/* of what the layer itself holds, but for *l */
};

enum {					/* transport.state */
	LAYER_OPEN = 1,			/* the handshake is over */
	LAYER_PAUSED = 2,
	LAYER_WANTS_ROOM = 4,		/* a send was refused: WRITABLE is owed */
	LAYER_FINISH = 8,		/* FIN goes below once nothing waits to be sent */
	LAYER_FINISHED = 16,
	LAYER_ENDED = 32,		/* the stream is over, t.error says how */
	LAYER_TOLD_END = 64,		/* and the owner has read so */
	LAYER_FAILED = 128,		/* TRANSPORT_FAILED was told */
	LAYER_CLOSED = 256,
};

/* Takes `below`, whose events go to `event` from now on with the layer as owner. */
void layer_init(struct layer *l, struct transport *below, const struct transport_ops *ops, void (*event)(struct transport *below, unsigned events));

/* Sends below, or keeps what it does not take (copied). 0 or negative errno. */
int layer_put(struct layer *l, const uint8_t *bytes, size_t len);
int layer_flush(struct layer *l);		/* what was kept; finishes below when that is due. 0, -EAGAIN or worse */

/* The handshake is over: the owner is told, also a server's. A finish() that came before is done now. */
void layer_opened(struct layer *l);

/* The task is posted when something waits for an owner who reads. */
void layer_look(struct layer *l);

/* The stream has ended, with 0 in good order; the owner reads so later. A server's reads on a little below before it ends with an error. */
void layer_ended(struct layer *l, int error);
/* The same, for recv to return, now and from now on. */
ssize_t layer_end(struct layer *l, int error);

/* Before it opened the owner is told TRANSPORT_FAILED, later, and always that of a server, its stream ends with the error. */
void layer_fail(struct layer *l, int error);

/* The transport below failed, and so does this one, from inside its event. */
void layer_failed_below(struct layer *l);

/* For transport_ops. */
void layer_pause(struct transport *t, bool pause);
void layer_close(struct layer *l, bool reset);	/* closes below; *l is freed when the batch is over */

#endif
