#ifndef LOAD_SINK_INTERNAL_H
#define LOAD_SINK_INTERNAL_H

#include "harness/load/control.h"

/* Between sink.c, which moves bytes, and sink_parse.c, which reads them and writes answers. */

enum {
	SINK_WHOLE = 64 * 1024 + 16,		/* what must be here at once: a packet, or all of a PUBLISH in front of its properties */
	SINK_READ = 256 * 1024,
	SINK_IN = SINK_WHOLE + SINK_READ,
	SINK_OUT = 2 * SINK_IN,			/* an answer and a reflection are no longer than twice what they are made of */
	SINK_WINDOW = 1000,
};

struct sink_conn {
	struct sink *sink;
	struct sink_conn *next, **at;		/* among all */
	struct sink_conn *next_flood;
	struct transport *transport;
	struct task task;			/* frees */
	uint8_t *kept, *out;			/* a beginning of a packet; what the transport did not take. NULL: none */
	uint32_t kept_len, out_len, out_done;
	uint64_t skip;				/* bytes of a PUBLISH that are still to come */
	uint64_t size;				/* of that PUBLISH */
	uint16_t packet_id;
	uint8_t qos, version;			/* of it; 0: no CONNECT yet */
	bool subscribed, ended, in_flood_list;
	/* a flood */
	uint8_t *message;			/* with packet id 0; NULL: none */
	uint32_t message_len, id_at;
	uint64_t flooded;
	uint32_t in_flight, window;
	uint16_t last_id;
	uint8_t flood_qos;
};

struct sink {
	struct loop *loop;
	struct sink_options options;
	struct listener *listener;
	struct sink_counts counts;
	struct sink_conn *conns;
	struct sink_conn *flooding, **last_flooding;	/* more is to be sent to them when the batch is over */
	struct task flood, task;		/* task frees */
	uint8_t *in, *out;
	size_t out_len;
};

/*
 * Takes what is whole in bytes[0..len), at most SINK_IN, counts it and appends the answers to sink->out. How many
 * bytes were used up: less than SINK_WHOLE are left. -1: not MQTT, or DISCONNECT.
 */
ssize_t sink_parse(struct sink_conn *c, const uint8_t *bytes, size_t len);

void sink_start_flood(struct sink_conn *c, struct span filter, unsigned granted);	/* sink.c; posts, sends nothing itself */
void sink_wants_flood(struct sink_conn *c);

#endif
