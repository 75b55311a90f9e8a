#ifndef LOAD_CLIENT_PLAY_H
#define LOAD_CLIENT_PLAY_H

#include "harness/load/client.h"
#include "harness/load/course.h"

/* How clients walk through their steps: shared by client*.c and engine.c, and by nobody else. */

enum client_state {
	CLIENT_NEW,
	CLIENT_RUNS,		/* takes its step as soon as it has its turn */
	CLIENT_AWAITS,		/* an arrival, or the end of its step's exchange; until wake_ns */
	CLIENT_SLEEPS,		/* until wake_ns */
	CLIENT_WINDOW,		/* until one of its exchanges ends */
	CLIENT_ROOM,		/* until its link has room */
	CLIENT_MEETS,
	CLIENT_BACKS_OFF,	/* until wake_ns: then `again` */
	CLIENT_AT_END,		/* of its steps: it keeps its connection, and the `whenever`s of its role's own block */
	CLIENT_STOPPED,
};

enum client_flags {
	IN_TURN = 1 << 0,	/* due_ns is that of its turn: no step of the turn has waited */
	WAITED = 1 << 1,	/* this step has */
	QUEUED = 1 << 2,	/* has a place in the engine's queue */
	MOVING = 1 << 3,	/* client_run() is at work on it */
	OPENED = 1 << 4,	/* it has had a connection */
	LINKED = 1 << 5,	/* it has one, or is getting one */
	CONNECTED = 1 << 6,	/* CONNACK accepted */
	CLEAN = 1 << 7,		/* its last CONNECT asked for a clean start */
	KEEPS = 1 << 8,		/* its session outlives the connection */
	SUBSCRIBED = 1 << 9,
	LEAVING = 1 << 10,	/* it sent DISCONNECT, or its FIN: the end is welcome */
	END_HELD = 1 << 11,	/* the connection has ended, and a step to come asks for that */
	PROBING = 1 << 12,	/* its time is up, and a PINGREQ asks whether anybody is there */
	RESUMING = 1 << 13,	/* what was open is still to be sent again */
	GONE = 1 << 14,		/* the course knows that it has come to its end */
	BARRED = 1 << 15,	/* the broker ended the connection without a CONNACK */
};

#define NEVER UINT64_MAX

/* ---- exchanges ---- */

enum exchange_state { EXCHANGE_FREE, EXCHANGE_QOS1, EXCHANGE_QOS2, EXCHANGE_RELEASED, EXCHANGE_SUBSCRIBE, EXCHANGE_UNSUBSCRIBE };

enum exchange_flags {
	EX_WAITED = 1,		/* a step waits for its end */
	EX_BARE = 2,		/* of an explicit send: steps take its answers */
	EX_AGAIN = 4,		/* to be sent again on this connection */
};

/*
 * A table of a power of two places: an exchange stands where the low bits of its packet id say, so that ids that are
 * given in order never meet.
 */
struct exchanges {
	uint32_t n, cap;
	uint32_t flying;	/* PUBLISHes of them */
	struct exchange at[];
};

struct exchange *exchange_find(const struct client *c, uint16_t id);
/* One of that id, new, or cleared where it was open already. */
struct exchange *exchange_add(struct client *c, uint16_t id, enum exchange_state state);
void exchange_remove(struct client *c, struct exchange *ex);	/* others may move */
uint16_t client_next_packet_id(struct client *c);			/* 0: all are open */
void exchange_subscribed(struct client *c, const struct packet *answer);	/* SUBACK, UNSUBACK: what is owed from now on, or no more */
void exchange_answered(struct client *c, const struct packet *packet);	/* PUBACK PUBREC PUBCOMP SUBACK UNSUBACK */
bool exchange_heard(struct client *c, const struct packet *packet);	/* an answer to an explicit send, by a step or by nobody. False: there is no such exchange */
/* The connection has ended; kept: what the session keeps stays. The others' messages may be lost by that cause; why NULL: not. */
void exchanges_cut(struct client *c, bool kept, enum loss_cause cause, const char *why);
void exchanges_resume(struct client *c);			/* sends again what was open, as far as there is room; RESUMING is off when all is sent */
void exchanges_mark_open(struct client *c);			/* Session Present: all of them are to be sent again */
bool client_sends_packet_id(struct client *c, const struct step *step, uint16_t *id);	/* the id that a PUBLISH step names; 0: none. False: stopped */

/* ---- what few clients have ---- */

struct taken_ids {			/* packet ids, kept as exchanges are */
	uint32_t n, cap;
	uint16_t at[];
};

bool taken_has(const struct taken_ids *set, uint16_t id);
void taken_add(struct pool *pool, struct taken_ids **set, uint16_t id);
bool taken_remove(struct pool *pool, struct taken_ids **set, uint16_t id);	/* false: it is not in it. Empty, the set is given back */
void taken_free(struct pool *pool, struct taken_ids **set);

struct early {			/* an arrival that waits for a later step */
	struct early *next;
	uint64_t at_ns;
	uint8_t type;
	bool put_off;		/* it came while a body of `whenever` waited for its window: to be offered again */
	uint16_t packet_id;
	uint32_t len, topic_len;
	uint8_t bytes[];	/* the packet; then its topic, where it names it by an alias */
};

enum pause_reason { PAUSED_NOTHING = 1, PAUSED_PACE = 2, PAUSED_BLOCKED = 4 };

struct extras {
	struct subscriber *subscriber;
	struct early *early, **last_early;
	uint32_t n_early, early_bytes;
	struct taken_ids *taken;			/* QoS 2 deliveries acknowledged by PUBREC and not released */
	uint64_t read_rate, resume_ns;		/* `reads RATE`: 0 as fast as it comes; when it goes on */
	const struct step *whenever, *body;	/* whose body is being played, and where it stopped for want of room or of a place in the window; NULL: none */
	uint32_t *acks;				/* acknowledgements that found no room: type << 16 | id */
	uint32_t n_acks, cap_acks;
	uint8_t pauses;
	bool offering;				/* client_offer_put_off() is at work */
	uint8_t *pieces;			/* what is left of a send in pieces */
	uint32_t pieces_len, pieces_at;
};

struct extras *client_extras(struct client *c);
void client_pause(struct client *c, enum pause_reason reason, bool pause);
/* Its own `reads` keeps it from hearing what may have come long ago: the target's silence says nothing then. */
static inline bool client_reads_slowly(const struct client *c)
{
	return c->extras && (c->extras->read_rate || c->extras->pauses & (PAUSED_NOTHING | PAUSED_PACE));
}

/* ---- client.c: the walk ---- */

bool client_is_settled(const struct client *c);		/* in the drain: it has come to its end or only takes what comes, and nothing of it is under way */
void client_begin(struct client *c);			/* its time has come */
void client_run(struct client *c);			/* takes steps until it has to wait, or others have their turn */
void client_timer(struct client *c);			/* its wheel timer has fired */
void client_arm(struct client *c);			/* sees to it that the timer fires in time */
void client_waits(struct client *c, enum client_state state, uint64_t wake_ns);
void client_goes_on(struct client *c);			/* what it waited for has come: its step is taken anew */
void client_step_done(struct client *c);			/* and its next step is taken as soon as may be */
void client_fails(struct client *c, enum counter counter);	/* counted already, by reason: hangs up, and begins anew or stops */
void client_loops_over(struct client *c);		/* the phase is PHASE_DRAIN */
bool client_leaves_loop(struct client *c);		/* in the drain, inside a loop: goes on behind it; else false */
void client_over(struct client *c);			/* the run is: its connection is ended */

/* ---- client_steps.c ---- */

void client_step_begin(struct client *c, const struct step *step);	/* of an actor, or wait, note: one that does not lead into a block */
void client_step_expired(struct client *c);			/* wake_ns has passed while it waited */
void client_probe_answered(struct client *c);			/* PINGRESP came instead of what was awaited */
bool client_step_time(struct client *c, const struct step *step, uint64_t *earliest, uint64_t *latest);	/* by its within and after; false: stopped */
void client_expect_deadline(struct client *c, const struct step *step);
void client_body_run(struct client *c);			/* goes on with extras->body */

/* ---- client_send.c ---- */

/* 1: sent; 0: no room now; -1: the client was stopped. *id is the packet's, 0 for none. */
int client_send_step(struct client *c, const struct step *step, uint16_t *id);
int client_send_bytes(struct client *c, const struct step *step);
int client_send_publish(struct client *c, const struct step *step, uint8_t exchange_flags, unsigned *qos);
int client_send_pieces(struct client *c, const struct step *step, bool begin);
void client_send_ack(struct client *c, enum packet_type type, uint16_t id);	/* kept until there is room, if there is none */
bool client_send_ping(struct client *c);			/* false: no room */
void client_flush_acks(struct client *c);
bool client_ready(struct client *c, const struct step *step, bool opens);	/* a connection to send on; false: stopped */
void client_wrote(struct client *c, const uint8_t *bytes, size_t len);	/* whole packets that were put into its link's room: counts, and tells monitor and books */

/* ---- client_session.c: connections ---- */

extern const struct link_events client_link_events;

void client_opens(struct client *c);
void client_hangs_up(struct client *c, bool reset, enum loss_cause cause, const char *why);	/* harmless without a connection */
void client_connack(struct client *c, const struct packet *packet);
void client_resumed(struct client *c);			/* all is sent again: `connects` is done */
void client_lost(struct client *c);			/* the connection has ended and no step awaited that: counted, and the client fails */
void client_told_to_leave(struct client *c);		/* the broker's DISCONNECT: its connection is over, unless a step asks for the end */
void client_leaves(struct client *c);			/* its DISCONNECT is on its way to the broker */

const char *reason_words(enum packet_type type, unsigned version, unsigned code);	/* "Not authorized"; until the next call in this thread */

/* ---- client_arrival.c ---- */

void client_arrived(struct client *c, const uint8_t *bytes, size_t len, const struct packet *packet);
bool client_early_offer(struct client *c);			/* to the step that it begins to wait at; true: it was taken */
void client_offer_put_off(struct client *c);		/* the body has said what it says */
void client_early_clear(struct client *c);
bool client_offer_end(struct client *c);			/* the end of the connection, to the step that it waits at; true: taken */

/* ---- engine.c ---- */

void engine_queue(struct client *c);			/* it has its turn when the others have had theirs */
void engine_came_to_end(struct client *c);
uint32_t engine_serial(struct engine *e);
void engine_linked(struct client *c, int change);	/* +1, -1: it has a connection, or none any more */
void engine_connected(struct client *c, int change);
uint64_t engine_place(const struct client *c);		/* of its role's clients in all shards, such that neighbours are far apart: 0 to n - 1 */

#endif
