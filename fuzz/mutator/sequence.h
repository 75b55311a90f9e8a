#ifndef FUZZ_MUTATOR_SEQUENCE_H
#define FUZZ_MUTATOR_SEQUENCE_H

#include "fuzz/mutator/anomalies.h"

/* A sequence under the knife, for those that mutate it: mutate_moves.c, mutate_order.c, mutate_timing.c, mutate_clients.c, mutate_sessions.c, mutate_routes.c. */
struct sequence {
	struct moves *moves;
	const struct moves *other;	/* NULL */
	struct random *random;
	struct arena *arena;
	struct anomaly *anomaly;
	size_t most;			/* bytes of a send */
};

/* Does its one thing and says so; false: it is not possible here, and nothing has changed but room. */
typedef bool sequence_act(struct sequence *s);

struct sequence_choice {
	sequence_act *act;
	unsigned weight;
};

extern const struct sequence_choice order_choices[], splice_choices[], timing_choices[], client_choices[];	/* each ends with no act */

/* As mutate_moves(), no send longer than `most`. */
void mutate_moves_within(struct moves *moves, const struct moves *other, struct random *random, size_t most, struct anomaly *anomaly);

sequence_act mutate_interval, mutate_stray, mutate_resent, mutate_window;	/* mutate_sessions.c */
sequence_act mutate_will, mutate_share, mutate_retained;	/* mutate_routes.c */

/* Something of the other put in. False: it has nothing, or there is no room; nothing has changed. */
bool mutate_crossing(struct moves *moves, const struct moves *other, struct random *random, size_t most);

/* ---- picking ---- */

static inline uint32_t pick(const struct sequence *s, uint32_t n)
{
	return (uint32_t)random_below(s->random, n);
}

static inline enum packet_type type_sent(const struct move *move)
{
	return move_sends(move) && move->bytes.len ? move->bytes.at[0] >> 4 : 0;
}

/* Any send that carries one of these types first (ON(type)...; 0: any); -1: there is none. */
int pick_send(const struct sequence *s, uint32_t types);
/* A place to insert at; and the client that moves there. */
uint32_t pick_place(const struct sequence *s, uint8_t *client);
/* The last CONNECT of that client before `at`, on the connection that is still open there; -1. */
int connect_before(const struct moves *moves, uint32_t at, uint8_t client);
/* Another client: one that is not in use, if it can be had, or any. */
uint8_t pick_other_client(const struct sequence *s, uint8_t than);
/* A client that is connected at `at`, another than `than`, if there is one. */
uint8_t pick_connected(const struct sequence *s, uint32_t at, uint8_t than);
/* A topic that the sequence names (without wildcards and $share), or one of its own. Valid as the arena and the moves are. */
struct span pick_topic(const struct sequence *s);

/* ---- writing ---- */

/* Room for one more send's bytes at the end of moves.room; keep_room() makes what was written the moves' own. */
struct writer room_for_send(const struct sequence *s);
bool keep_room(struct sequence *s, const struct writer *w, struct span *bytes);
bool keep_packet(struct sequence *s, const struct packet *packet, struct span *bytes);
bool insert_many(struct moves *moves, uint32_t at, const struct move *more, uint32_t n);	/* all or none */
bool insert_said(struct sequence *s, enum anomaly_kind kind, uint32_t at, const struct move *more, uint32_t n);	/* and says so */
bool decode_send(const struct sequence *s, int at, struct packet *p);	/* the packet of move `at`; -1: there is none */

static inline struct move a_send(uint8_t client, struct span bytes)
{
	return (struct move){ .kind = bytes.len > UINT8_MAX ? MOVE_SEND_LONG : MOVE_SEND, .client = client, .bytes = bytes };
}

/* ---- saying ---- */

/* "5..7 c0 PUBLISH": moves from..to, the client of the first, what is sent there; to == from for one. */
void say_moves(const struct sequence *s, enum anomaly_kind kind, uint32_t from, uint32_t to);

/* Inserts it and says so; false: full. */
bool put_move(struct sequence *s, enum anomaly_kind kind, uint32_t at, struct move move);

/* ---- packets ---- */

enum connect_change {
	CONNECT_OTHER_ID = 1,
	CONNECT_KEEPS_SESSION = 2,	/* clean start 0, and in 5 a session that outlives the connection */
	CONNECT_HAS_WILL = 4,
	CONNECT_TURNS_CLEAN = 8,	/* clean start the other way */
};
bool change_connect(struct sequence *s, struct span connect, unsigned changes, struct span *bytes);
bool make_subscribe(struct sequence *s, enum version version, struct span filter, struct span *bytes);	/* at QoS 1 or 2 most often; in mutate_routes.c */
/* list with that property at that number, in the arena; empty when it is full. */
struct span with_number(struct arena *arena, struct span list, unsigned id, uint64_t number);

#endif
