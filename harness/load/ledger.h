#ifndef LOAD_LEDGER_H
#define LOAD_LEDGER_H

#include "codec/span.h"
#include "harness/load/pool.h"
#include "harness/load/tally.h"

/*
 * What became of every message. A payload made by stamp(N) says who sent it, on which topic as which number, when it
 * was due and when it left. The standards promise order and delivery by publisher, topic and QoS: that is a stream,
 * and numbers count within it. The audience knows which subscriptions are granted, so that each message sent is owed
 * to so many; each subscriber keeps of each stream which numbers it has had. What is owed and has not come when all
 * is over is lost, and its cause is looked for.
 *
 * One ledger a thread, nothing shared but the audience; they are put together at the end (reckon.h).
 */

/* ---- stamps ---- */

/*
 * A payload with room for less than a whole stamp has a short one, which knows neither when it was sent nor in which
 * epoch: its uncorrected latency counts from when it was due, and a delivery that came before it was owed is not told
 * apart. stamp(N) with less room than that is refused by lint.
 */
enum { STAMP_SIZE = 32, STAMP_SHORT = 16 };

static inline size_t stamp_size(size_t room)
{
	return room >= STAMP_SIZE ? STAMP_SIZE : room >= STAMP_SHORT ? STAMP_SHORT : 0;
}

struct stamp {				/* little endian on the wire, in this order; a short one: 16 bits of run, stream, number, 48 bits of due_ns / 64 */
	uint32_t run;			/* the run's tag: other payloads are foreign */
	uint32_t stream;		/* thread << 24 | number of the stream in that thread's ledger */
	uint32_t number;		/* in its stream, from 0 */
	uint32_t epoch;			/* of the audience when it was sent */
	uint64_t due_ns, sent_ns;	/* since the run's start, which threads share */
};

void stamp_write(uint8_t *at, size_t size, const struct stamp *stamp);	/* size: as stamp_size() */
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
/*
 * When it was granted. From the returned epoch on it is owed what is sent: once, by however many of its filters;
 * whoever subscribes to "$share/GROUP/FILTER" shares with the group's other members in one debt to all of them. A
 * filter that it has already is replaced and keeps its epoch. With no_local it is not owed what it sends itself.
 */
uint32_t audience_add(struct audience *audience, struct listener who, struct span filter, bool no_local);
/*
 * It is owed nothing more by that filter. To be called before UNSUBSCRIBE is sent: what is sent while it is under way
 * may come or not. A filter that it has not: nothing.
 */
void audience_remove(struct audience *audience, struct listener who, struct span filter);
/*
 * Its session is gone, or about to go: all of its subscriptions. To be called before a DISCONNECT that ends the
 * session, and when a connection is lost with it.
 */
void audience_leave(struct audience *audience, struct listener who);
uint32_t audience_epoch(const struct audience *audience);		/* atomic; it changes with each of these */

/* ---- one thread's ledger ---- */

struct ledger;
struct stream;

/*
 * tallies: by role, n_roles of them, of this thread; the ledger counts and times into them. run: for stamps.
 * max_streams: more are sent without account (counted as untracked); 0: 4 million.
 */
struct ledger *ledger_new(struct audience *audience, struct pool *pool, unsigned thread, uint32_t run, struct tally *tallies, uint32_t n_roles, size_t max_streams);
void ledger_free(struct ledger *ledger);	/* what it took from the pool goes with the pool, which may be gone */

/* ---- publishers ---- */

/*
 * The stream of that publisher, topic and QoS, found or made; NULL: there are too many. Good for the ledger's life:
 * who publishes on one topic keeps it.
 */
struct stream *ledger_stream(struct ledger *ledger, struct listener publisher, struct span topic, unsigned qos);

/*
 * Says what its next message's stamp is, counts it as sent (sent, late, the lateness), to be owed to whom it is due
 * now. Costs the same however many they are. stream NULL: untracked. A stream's numbers go to 2^32 - 2; behind that
 * it goes on from 0 under another number of its own.
 */
void ledger_send(struct ledger *ledger, struct listener publisher, struct stream *stream, uint64_t due_ns, uint64_t now_ns, struct stamp *stamp);

/*
 * That message is not owed after all: the broker refused it (a reason of 0x80 or more), or we could not hand it over.
 * stream NULL: nothing.
 */
void ledger_void(struct ledger *ledger, struct stream *stream, uint32_t number);

/*
 * What is sent with a stamp that came from elsewhere (payload=$p of a delivery). Counts it as sent. It is owed to the
 * subscribers to this topic as any other, but it has no number of its own: what is lost of the echoes on one topic is
 * told by how many came back to each subscriber.
 */
void ledger_echo(struct ledger *ledger, struct listener publisher, struct span topic, unsigned qos);

/* ---- subscribers ---- */

struct subscriber;			/* what a client keeps of the streams it has had; NULL until the first delivery. The ledger's: kept to the end */

struct delivery {
	struct span topic;		/* aliases resolved */
	struct span payload;
	uint8_t qos;
	bool retained, dup;
	uint64_t now_ns;		/* since the run's start */
};

enum delivered {		/* each arrival is counted as one of these: delivered = NEW + EARLY, early, duplicated, copies, foreign, returned */
	DELIVERED_NEW,
	DELIVERED_EARLY,
	DELIVERED_AGAIN,	/* a duplicate, with or without DUP */
	DELIVERED_COPY,		/* a further copy that the standards allow */
	DELIVERED_FOREIGN,
	DELIVERED_RETURNED,
};

/*
 * Counts one arrival, and times it if it is new. joined: the epoch that audience_add() said for the subscription (the
 * least of several), 0 before the first.
 *
 * Copies: a server may send a message once for each subscription that matches, and a member of a shared group its
 * group's share besides [MQTT-3.3.4-2, MQTT-4.8.2-4]. So of the arrivals of one message at a client whose own filters
 * match O times and which is in G groups that match, at any time since it was sent: the first counts as delivered,
 * and of further ones as many as are owed (G, or G - 1 where O is 0); then copies up to O + G in all; then
 * duplicates. Which of them came by which subscription cannot be told: the client's own debt is settled first.
 *
 * What members of a shared group had is remembered for each of them over some ten thousand messages of a stream, and
 * then for the group: a message that comes again behind so many is a duplicate, whoever had it before.
 *
 * Retained: a message sent before the subscription, or between two when none was in force, that comes with RETAIN is
 * delivered and early, but not timed, as it is as old as it is, and never reordered. One that had come before is a
 * copy. One sent since counts as any other: RETAIN may be as published.
 *
 * Reordered: a message that is new and comes behind a later one of its stream. What came on another topic than it was
 * sent on is returned: counted and timed, nothing more.
 */
enum delivered ledger_arrived(struct ledger *ledger, struct subscriber **subscriber, struct listener who, uint32_t joined, const struct delivery *d);

/*
 * What happened to a client that explains what it misses: evidence for reckoning. text is one line, copied, kept once
 * however many clients have it (at most 100 different ones per cause, then the cause's last). Kept apart from what is
 * known of streams, where it costs nothing.
 */
enum loss_cause {
	LOST_SUBSCRIBER_AWAY,		/* it was not connected, and its session not kept */
	LOST_SUBSCRIBER_LEFT,		/* it unsubscribed, disconnected or was stopped, with messages under way */
	LOST_TAKEN_OVER,		/* DISCONNECT 0x8e, or the session was taken over */
	LOST_DISCONNECTED,		/* the broker ended the connection, with or without a reason code */
	LOST_PUBLISHER_GONE,		/* sent with QoS 0, or not acknowledged, on a connection that was cut */
	LOST_OUR_QUEUE,			/* still in our own queue when all was over */
	LOST_SUBSCRIBER_SLOW,		/* its own steps had it read slower than it was sent, or nothing: it had not come to it when all was over */
	LOST_BROKER_DROPPED,		/* $SYS says that it dropped as many or more */
	LOST_UNKNOWN,
	N_LOSS_CAUSES
};

extern const char *const loss_names[N_LOSS_CAUSES + 1];	/* "subscriber_away", ..., NULL */

/*
 * A subscriber's trouble at now_ns explains what it misses of a stream between two deliveries, one before and one
 * after; and what it misses behind its last one, if something was still under way then: sent, or delivered of that
 * stream, within the second before or later. LOST_SUBSCRIBER_SLOW explains all that it misses behind its last one.
 */
void ledger_trouble(struct ledger *ledger, struct listener who, enum loss_cause cause, const char *text, uint64_t now_ns);
/*
 * A publisher's: its messages of that stream from number on to the last one sent (QoS 0: that were sent within the
 * last flight; QoS 1, 2: that were open) may not have left. stream NULL: nothing.
 */
void ledger_stranded(struct ledger *ledger, struct stream *stream, uint32_t number, enum loss_cause cause, const char *text);
/*
 * The same of a connection that took no more when all was over: the last n_ours of them were still in our queue,
 * those before had been handed over.
 */
void ledger_stuck(struct ledger *ledger, struct stream *stream, uint32_t number, uint32_t n_ours);


#endif
