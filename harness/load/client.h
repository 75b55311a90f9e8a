#ifndef LOAD_CLIENT_H
#define LOAD_CLIENT_H

#include "codec/build.h"
#include "codec/generate.h"
#include "harness/build_step.h"
#include "harness/load/engine.h"

/* The inside of an engine, shared by its files (engine.c, client*.c, values.c, posts.c) and by nobody else. */

/* A loop or block that a client is in. */
struct frame_of_role {
	const struct step *owner;	/* a block, repeat, every, forever or again */
	uint64_t turn, end;		/* repeat: which turn; every: turns begun; again: how often it failed in a row */
	uint64_t start_ns;		/* every: when turn 0 was due */
};

/* What a client needs beside its storage once it is in a loop or binds a name: a pooled block, sized by its role. */
struct registers {
	uint8_t depth;
	struct frame_of_role *frames;	/* role_code.max_depth of them */
	struct value *slots;		/* role_code.n_slots of them, by number in script.slots; NULL: none is bound. Kind 0 while unbound; bytes in pooled memory of their own */
};

struct exchange {			/* a PUBLISH, SUBSCRIBE or UNSUBSCRIBE of ours that is not answered to the end */
	const struct step *step;
	uint64_t due_ns, begun_ns;
	struct stream *stream;
	uint8_t *packet;		/* pooled: of SUBSCRIBE and UNSUBSCRIBE, and of PUBLISH where the session outlives the connection; NULL: none */
	uint32_t number;		/* in the stream */
	uint32_t len;			/* of packet */
	uint32_t serial;		/* the order in which the engine's exchanges began */
	uint16_t packet_id;		/* 0: this place is free */
	uint8_t state, flags;		/* enum exchange_state, exchange_flags: client_play.h */
};

struct exchanges;			/* by packet id; NULL: none is open */
struct extras;				/* what few clients have: client_play.h */

struct client {				/* there are very many: 18,000 idle ones in at most 512 bytes each, sockets, sessions and all */
	struct link link;		/* first */
	struct wheel_timer timer;	/* never later than the first of its next action, deadline, back-off, keep-alive */
	struct engine *engine;
	const struct step *step;	/* NULL: at its end, or not begun */
	struct registers *registers;
	struct exchanges *open;
	struct extras *extras;
	struct stream *stream;		/* that it published to last: most have one topic */
	uint64_t due_ns;		/* of what it does now, since the run's start: latency counts from here */
	uint64_t base_ns;		/* when its previous step was done, for within and after */
	uint64_t wake_ns;		/* when it goes on, or gives up waiting; UINT64_MAX: no time is set */
	uint32_t number;		/* $n */
	uint32_t joined;		/* epoch of the audience when its first subscription was granted */
	uint32_t sent_ms;		/* of the run, when it last sent something, for keep-alive: who sends sets it */
	uint32_t flight;		/* number in its stream of the first message of the last second or so: what a broken connection may have swallowed. QoS 0 only: else exchanges tell */
	uint16_t role, last_id, keep_alive, awaited_id;
	uint16_t flags;			/* enum client_flags */
	uint8_t state, phase, goodbye;	/* goodbye: the reason of the broker's DISCONNECT */
	uint8_t pings, own_pings;	/* PINGRESPs that steps and the engine wait for */
	uint8_t posted;			/* posts.c: by which template of its role it published last; 0: none that has one topic for each client */
};

/* What was worked out once for all clients of a role. */
struct role_code {
	const struct plan_role *plan;
	const struct role *role;
	struct tally *tally;		/* of the whole run, this thread: `now` is added to it when a second is over */
	uint32_t n_clients, first_client;	/* in the engine's array */
	uint32_t max_depth;
	uint32_t n_slots;		/* the highest slot that its steps name, and one; a loop's own name needs none */
	uint16_t held_to;		/* see engine_held_to() */
	bool has_whenever;
	bool receives;			/* some step takes deliveries */
	bool acknowledges;		/* ... by `receives`, so that exchanges of QoS 2 go on by themselves */
	struct tally *now;		/* of this second: everybody counts and times here, the ledger too */
};

struct engine {
	struct engine_options options;
	struct loop *loop;
	struct wheel wheel;
	struct pool *pool;
	struct link_hub hub;
	struct monitor_world *world;
	struct monitor_log log;
	struct ledger *ledger;
	struct client *clients;
	uint32_t n_clients;
	struct role_code *roles;
	uint32_t n_roles;
	struct posts *posts;		/* posts.c: templates of PUBLISH by step */
	uint64_t turns_end_ns;		/* turns due before then are played; UINT64_MAX: not known yet */
	uint8_t phase;			/* enum phase, as far as this engine has heard */
	struct arena scratch;		/* for the values and the packet of one step: reset by each */
	uint64_t start_ns;		/* loop time of the run's time 0 */
	uint64_t delivered_ns;		/* when a message came last, since then */
	uint64_t random;		/* state of pick() and random() */
	struct engine_state *own;	/* engine.c's */
};

static inline uint64_t run_now(const struct engine *e)
{
	return e->loop->now_ns - e->start_ns;
}

static inline uint32_t run_ms(const struct engine *e)
{
	return (uint32_t)(run_now(e) / 1000000);
}

/* As audience and ledger know it. */
static inline struct listener listener_of(const struct client *c)
{
	return (struct listener){ .client = (uint32_t)c->engine->options.thread << 24 | (uint32_t)(c - c->engine->clients), .role = c->role };
}

static inline struct role_code *role_of(const struct client *c)
{
	return &c->engine->roles[c->role];
}

/*
 * ---- values.c: what expressions stand for in a client; packets from steps, and whether packets fit ----
 * What they give lies in c->engine->scratch, until the next call of one of them.
 */

/* False: it cannot be had (an unbound name, a value that does not fit): client_stop() was called with the place and why. */
bool value_of(struct client *c, const struct expr *e, struct value *value);
bool number_of(struct client *c, const struct expr *e, uint64_t *number);
bool duration_of(struct client *c, const struct expr *e, uint64_t *ns);
/*
 * The packet that a sending or set-up step stands for, with the defaults that a scenario's has (client id, keep alive
 * 60, clean start, $topic, user name and password of the plan), by the script's version. The packet id is left 0
 * where the step names none: the caller gives it and encodes. type as step_sends().
 */
bool packet_of(struct client *c, const struct step *step, struct builder *b);
bool packet_stamped(struct client *c, const struct step *step, struct builder *b, uint8_t **stamp, size_t *size);	/* the same, and where its stamp() of that size is to be written; NULL: it has none */
/*
 * Whether it is what the step expects. If not, *why is one line, "reason: expected 0, received Not_authorized" (until
 * the next call in this thread); NULL: something could not be evaluated, and client_stop() was called. Binds nothing.
 * why may be NULL, where nobody asks: that is much cheaper.
 */
bool packet_suits(struct client *c, const struct match *matches, uint32_t n, const struct packet *packet, const char **why);
void packet_binds(struct client *c, const struct match *matches, uint32_t n, const struct packet *packet);	/* bytes copied into the pool */
void slot_bind(struct client *c, int32_t slot, const struct value *value);
void slots_forget(struct client *c, const struct step *steps);		/* the names that these bind: they live for one turn */
/* Of several expressions at once, whose values lie side by side. */
bool values_of(struct client *c, const struct step *step, const struct expr *const *exprs, uint32_t n, struct value *values);
struct registers *client_registers(struct client *c);			/* made when it has none */
void registers_free(struct client *c);					/* harmless without any */
uint64_t engine_pick(struct engine *e, uint32_t role);			/* the number of some client of that role in this shard */
void engine_random(struct engine *e, uint8_t *at, size_t n);

/* ---- posts.c: the fast way for `publishes` and `-> PUBLISH` ---- */

/*
 * Each PUBLISH step whose fields are constants, topics with $n in them, and payloads of fill, random, stamp or
 * constants is made into a template once. posts_new looks through all roles.
 */
struct posts *posts_new(struct engine *e);
void posts_free(struct posts *posts);
/*
 * Writes one PUBLISH of that step to the client's link, stamped, counted (packets and bytes too), timed for lateness,
 * told to the monitor; what it takes is what link_room() says. packet_id 0 for QoS 0; where the step names one, it is
 * that. *stream and *number are what the exchange needs to know. A step that has no template goes the long way, by
 * packet_of(): the caller need not know. kept: NULL, or where a copy of the packet goes (pooled, *kept_len). 1: sent;
 * 0: no room now, nothing was counted (link_events.room will come); -1: the client was stopped.
 */
int post(struct client *c, const struct step *step, uint16_t packet_id, struct stream **stream, uint32_t *number, uint8_t **kept, uint32_t *kept_len);
unsigned post_qos(struct client *c, const struct step *step);		/* of the PUBLISH that it stands for */

/* ---- client.c ---- */

/*
 * A step could not be done: counted by reason, "line 14: text"; within `again` the client begins anew after its
 * back-off, else it is stopped for good. judged: it was a judging step.
 */
void client_stop(struct client *c, const struct step *step, bool judged, const char *format, ...) __attribute__((format(printf, 4, 5)));

/* ---- engine.c ---- */
void engine_reason(struct engine *e, uint16_t role, enum counter counter, bool judged, const char *text);	/* at most 1000 different ones; then "others" */

#endif
