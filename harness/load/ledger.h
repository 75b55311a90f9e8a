#ifndef LOAD_LEDGER_H
#define LOAD_LEDGER_H

#include "codec/span.h"
#include "harness/load/pool.h"
#include "harness/load/tally.h"

/*
 * What became of every message. A payload made by stamp(N) says who sent it, on which topic as which number, when it was due and when it left. The
 * standards promise order and delivery by publisher, topic and QoS: that is a stream, and numbers count within it. The audience knows which
 * subscriptions are granted, so that each message sent is owed to so many; each subscriber keeps of each stream which numbers it has had. What is owed and has not
 * come when all is over is lost, and its cause is looked for.
 *
 * One ledger a thread, nothing shared but the audience; they are put together at the end (reckon.h).
 */

/* ---- stamps ---- */

enum { STAMP_SIZE = 32 };		/* stamp(N) with less is refused by lint */

struct stamp {				/* little endian on the wire, in this order */
	uint32_t run;			/* the run's tag: other payloads are foreign */
	uint32_t stream;		/* thread << 24 | number of the stream in that thread's ledger */
	uint32_t number;		/* in its stream, from 0 */
	uint32_t epoch;			/* of the audience when it was sent */
	uint64_t due_ns, sent_ns;	/* since the run's start, which threads share */
};

void stamp_write(uint8_t *at, const struct stamp *stamp);
bool stamp_read(struct span payload, uint32_t run, struct stamp *stamp);	/* false: no stamp of this run */

/* ---- who is to be sent what: shared by all threads ---- */

/*
 * Granted subscriptions of all clients of the process. Asked for each message, so that it must cost nothing while nobody comes or goes: a
 * stream remembers its answer until the epoch changes. Locks inside.
 */
struct audience;

struct listener {			/* a client as a subscriber */
	uint32_t client;		/* number in the process: thread << 24 | index in the thread */
	uint16_t role;
};

struct audience *audience_new(uint32_t n_roles);
void audience_free(struct audience *audience);
/* qos as granted. From the returned epoch on it is owed what is sent. A filter that it has already is replaced and keeps its epoch. "$share/..." filters are one subscriber to each group. */
uint32_t audience_add(struct audience *audience, struct listener who, struct span filter, unsigned qos, bool no_local);
void audience_remove(struct audience *audience, struct listener who, struct span filter);
void audience_leave(struct audience *audience, struct listener who);	/* its session is gone: all of its subscriptions */
uint32_t audience_epoch(const struct audience *audience);		/* atomic; it changes with each of these */

/* ---- one thread's ledger ---- */

struct ledger;
struct stream;

/* tallies: by role, n_roles of them, of this thread; the ledger counts and times into them. run: for stamps. max_streams: more are sent without account (counted as untracked); 0: 4 million. */
struct ledger *ledger_new(struct audience *audience, struct pool *pool, unsigned thread, uint32_t run, struct tally *tallies, uint32_t n_roles, size_t max_streams);
void ledger_free(struct ledger *ledger);

/* ---- publishers ---- */

/* The stream of that publisher, topic and QoS, found or made; NULL: there are too many. Good for the ledger's life: who publishes on one topic keeps it. */
struct stream *ledger_stream(struct ledger *ledger, struct listener publisher, struct span topic, unsigned qos);

/* Says what its next message's stamp is, counts it as sent, to be owed to whom it is due now. stream NULL: untracked. Returns to how many it is owed, for ledger_void(). */
uint32_t ledger_send(struct ledger *ledger, struct listener publisher, struct stream *stream, uint64_t due_ns, uint64_t now_ns, struct stamp *stamp);

/* That message is not owed after all: the broker refused it (a reason of 0x80 or more), or we could not hand it over. */
void ledger_void(struct ledger *ledger, struct stream *stream, uint32_t number);

/*
 * What is sent with a stamp that came from elsewhere (payload=$p of a delivery): the subscribers to this topic owe us a sight of it, counted by how
 * often: an echo is not a stream of its own.
 */
void ledger_echo(struct ledger *ledger, struct listener publisher, struct span topic, unsigned qos);

/* ---- subscribers ---- */

struct subscriber;			/* what a client keeps of the streams it has had; NULL until the first delivery */

struct delivery {
	struct span topic;		/* aliases resolved */
	struct span payload;
	uint8_t qos;
	bool retained, dup;
	uint64_t now_ns;		/* since the run's start */
};

enum delivered { DELIVERED_NEW, DELIVERED_EARLY, DELIVERED_AGAIN, DELIVERED_FOREIGN, DELIVERED_RETURNED };

/*
 * Counts one arrival, and times it if it is new. joined: the epoch that audience_add() said for the subscription (the least of several). A retained message is counted
 * as delivered once to each, owed to nobody, and not timed: it is as old as it is.
 */
enum delivered ledger_arrived(struct ledger *ledger, struct subscriber **subscriber, struct listener who, uint32_t joined, const struct delivery *d);

/*
 * What happened to a client that explains what it misses from now on, or missed since: evidence for reckoning. text is one line, copied, kept once per cause.
 * The first of a kind per client counts; kept apart from what is known of its streams, which costs nothing.
 */
enum loss_cause {
	LOST_SUBSCRIBER_AWAY,		/* it was not connected, and its session not kept */
	LOST_SUBSCRIBER_LEFT,		/* it unsubscribed, disconnected or was stopped, with messages under way */
	LOST_TAKEN_OVER,		/* DISCONNECT 0x8e, or the session was taken over */
	LOST_DISCONNECTED,		/* the broker ended the connection, with or without a reason code */
	LOST_PUBLISHER_GONE,		/* sent with QoS 0, or not acknowledged, on a connection that was cut */
	LOST_OUR_QUEUE,			/* still in our own queue when all was over */
	LOST_BROKER_DROPPED,		/* $SYS says that it dropped as many or more */
	LOST_UNKNOWN,
	N_LOSS_CAUSES
};

extern const char *const loss_names[N_LOSS_CAUSES + 1];	/* "subscriber_away", ..., NULL */

/* A subscriber's trouble: its losses of streams whose gap ends behind, or whose tail is cut, at now_ns. */
void ledger_trouble(struct ledger *ledger, struct subscriber **subscriber, struct listener who, enum loss_cause cause, const char *text, uint64_t now_ns);
/* A publisher's: its messages of that stream from number on (QoS 0: that were sent within the last flight; QoS 1, 2: that were open) may not have left. */
void ledger_stranded(struct ledger *ledger, struct stream *stream, uint32_t number, enum loss_cause cause, const char *text);

void subscriber_free(struct ledger *ledger, struct subscriber *subscriber);	/* only when the run's account is not wanted: ledger_free() frees them all */

#endif
