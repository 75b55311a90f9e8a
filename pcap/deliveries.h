#ifndef PCAP_DELIVERIES_H
#define PCAP_DELIVERIES_H

#include "pcap/conversation.h"
#include "pcap/filter_index.h"
#include "pcap/histogram.h"
#include "pcap/out.h"
#include "pcap/where.h"

/*
 * What the view of deliveries knows. A message is one PUBLISH of a client; what it says (topic, payload, broker) is its content,
 * which several messages may share. For each session that must get it there is an expectation, open until the delivery
 * is seen; a cell remembers, for a session and a content, what is expected and what came last. What is not to be shown is followed
 * like the rest, for what follows depends on it, but counts in the pair `hidden`.
 *
 * deliveries_sessions.c  who is subscribed to what
 * deliveries_window.c    messages of the last WINDOW_NS, and what is expected of them
 * deliveries_match.c     which expectation a delivery meets
 * deliveries_rows.c      which row a message counts in, and what is listed one by one
 * view_deliveries.c      packets
 * deliveries_print.c     writing them
 */

#define WINDOW_NS  UINT64_C(60000000000)	/* messages older than that are forgotten */
#define SETTLE_NS  UINT64_C(2000000000)		/* a message that was overtaken is lost when it has not come by then */

enum {	/* at a time, in all */
	MOST_MESSAGES = 12288, MOST_EXPECTED = 32768, MOST_CELLS = 40960, MOST_CLIENTS = 10000, MOST_SUBSCRIBED = 20000,
	MOST_NAMES = 20000, MOST_NAME_BYTES = 2 << 20, MOST_PAIRS = 4000, MOST_WILLS = 8192,
	MOST_INCIDENTS = 300, MOST_INCIDENTS_JSON = 10000,
};

enum { NAME_SHOWN = 48, DELIVERED_TOPIC_SHOWN = 64 };

struct topic_name {
	struct map_entry entry;
	size_t refs;			/* contents */
	bool strange;			/* something came under it that no publication in the capture explains */
	uint64_t generation;		/* of the subscriptions, for which `matched` holds */
	struct filter_node **matched;
	uint32_t n_matched, cap_matched;
	bool overflowed;		/* more filters match than `matched` has */
	uint16_t len;
	uint8_t text[];
};

enum granted { PENDING /* or changing */, GRANTED, ENDING };

struct subscribed {		/* a filter of a session */
	struct map_entry entry;		/* by session, node and group */
	struct subscribed *next_of_node, *before_of_node, *next_of_session, *before_of_session;
	struct filter_node *node;
	struct receiver *session, *group;	/* group: NULL when it is not shared */
	uint16_t packet_id, nth;	/* of the SUBSCRIBE or UNSUBSCRIBE that is not answered, and which filter in it */
	uint8_t options, qos, state;
};

/* Who gets messages: a session, or a group of a shared subscription. It publishes, too. */
struct receiver {
	struct map_entry entry;
	uint64_t left_ns;		/* a group: when the last member went */
	bool known, is_group;		/* known: it stands in the map, by its name */
	bool connected;			/* packets reach it */
	bool complete;			/* no subscription of it can have been missed */
	bool persistent;		/* QoS 1 and 2 are kept for it while it is away */
	uint8_t version;
	uint32_t number;		/* of its conversation of now, or the last one */
	struct endpoint broker;
	uint32_t maximum_packet_size;	/* it takes; 0: any */
	size_t refs;			/* messages, cells, subscriptions of a group */
	struct listener *listener;	/* its connection */
	struct subscribed *subscriptions;
	uint32_t n_shared;		/* of them */
	struct expectation *oldest, *newest;
	uint32_t id_len;
	uint8_t shown;			/* bytes of its name that are kept */
	uint8_t name[NAME_SHOWN];
};

struct pair {			/* a row: from a publisher to a receiver */
	struct map_entry entry;
	struct pair *next;
	uint64_t from_key, to_key;	/* hashes of their names, or of their conversations */
	uint32_t from_number, to_number;	/* the conversations in which they were first seen */
	bool from_named, to_named, to_group;
	uint8_t from_len, to_len;
	uint8_t from[NAME_SHOWN], to[NAME_SHOWN];
	uint64_t expected, delivered, lost[3], again[3], reordered;
	uint64_t unconfirmed, unobservable, away, beyond;
	uint64_t expired;		/* of those unconfirmed, perhaps: their interval was over */
	struct histogram latency;
};

struct content {
	struct map_entry entry;
	struct topic_name *topic;
	uint64_t payload_hash;
	size_t payload_len;
	uint8_t family, address[16];
	struct message *oldest, *newest;
	struct cell *cells;
};

struct message {
	struct map_entry entry;		/* of those unsettled, by publisher and packet id */
	struct message *next;		/* in order of publication */
	struct message *next_same;	/* of its content */
	struct content *content;
	struct receiver *publisher;
	struct expectation *expected;
	struct endpoint broker;
	uint32_t conversation, expiry;
	uint16_t packet_id;
	uint8_t qos;
	uint64_t nth;
	struct when when;
	bool waits;			/* it stands among those unsettled */
	bool shown;			/* --where holds for it */
	bool settled;			/* the broker has it: acknowledged, QoS 2 released */
	bool expires, resent, doubtful /* it may be another one's resending, or no packet at all */;
};

struct cell {
	struct map_entry entry;		/* by receiver and content */
	struct cell *next;		/* of its content */
	struct receiver *receiver;
	struct content *content;
	struct expectation *oldest, *newest;
	/* what came last */
	bool came;
	uint8_t qos, copies;		/* copies: how many more may come by overlapping subscriptions */
	uint16_t packet_id;
	uint32_t conversation;
	uint32_t given_up;		/* expectations that ended without a delivery, and copies of them: they may come all the same */
	uint64_t nth;			/* of the message */
	struct when published;
	uint64_t time_ns;
	struct pair *pair;
};

struct expectation {
	struct expectation *before, *after;			/* of its receiver, in order of publication */
	struct expectation *before_in_cell, *after_in_cell;
	union {
		struct { struct expectation *before_in_lane, *after_in_lane; };	/* while it is not overtaken */
		struct { struct expectation *before_late, *after_late; };		/* once it is */
	};
	struct expectation *next_of_message, **link_of_message;
	struct message *message;
	struct cell *cell;
	struct lane *lane;
	struct pair *pair;
	uint8_t qos, copies;
	bool away;			/* the session was away at some moment since */
	bool late;			/* overtaken: */
	struct when overtaken;
};

struct lane {			/* expectations of a receiver from one publisher under one topic: the standard keeps their order */
	struct map_entry entry;
	const struct receiver *receiver, *publisher;
	const struct topic_name *topic;
	uint8_t qos;
	struct expectation *oldest, *newest;
};

struct will {
	struct map_entry entry;
};

enum incident_kind { LOST, DUPLICATE };

struct incident {
	enum incident_kind kind;
	const struct pair *pair;
	struct when published, seen;	/* seen: the delivery that overtook it, or the second one */
	uint8_t qos, topic_len;
	uint8_t topic[DELIVERED_TOPIC_SHOWN];
};

struct delivery_totals {
	uint64_t published, deliveries;	/* packets; with --where those of messages for which it holds, as far as that can be told; all below, too */
	uint64_t copies, resent, retained, wills, brokers_own, unmatched, unresolved;
	uint64_t rejected;		/* by the broker */
	uint64_t no_room, unindexed;	/* messages, also such as were given up before they were old; filters */
};

struct deliveries {
	struct observer observer;
	struct out *out;
	bool json;
	const struct where *where;
	uint64_t start_ns;
	struct map names, sessions, subscribed, contents, cells, lanes, unsettled, pairs, wills;
	struct filter_index filters;
	struct slab receiver_room, subscribed_room, message_room, content_room, cell_room, expectation_room, lane_room, pair_room, listener_room, will_room;
	size_t name_bytes;
	uint64_t generation, n_messages, now_ns;
	uint64_t blind_until_ns;	/* a publication may have been missed that is delivered until then */
	uint64_t n_published;		/* PUBLISH of clients, whatever is shown */
	uint64_t n_passed, swept_at;	/* PUBLISH both ways; and how many there had been at the last sweep */
	struct message *oldest, *newest;
	struct expectation *first_late, *last_late;
	struct pair *rows, **last_row, others;
	struct pair hidden;		/* of messages not to be shown */
	uint64_t n_others;		/* expectations and deliveries counted there */
	struct incident *incidents;
	size_t n_incidents;
	struct delivery_totals totals;
};

/* ---- sessions ---- */

struct receiver *receiver_new(struct deliveries *v);	/* without a name; NULL: no room */
struct receiver *receiver_find(struct deliveries *v, const struct endpoint *broker, struct span id, bool group);
bool receiver_name(struct deliveries *v, struct receiver *r, const struct endpoint *broker, struct span id, bool group);
void receiver_release(struct deliveries *v, struct receiver *r);	/* frees it when nothing needs it any more */

void subscribe(struct deliveries *v, struct receiver *r, const struct packet *packet);
void subscribe_answered(struct deliveries *v, struct receiver *r, uint16_t packet_id, struct span codes);
void unsubscribe(struct deliveries *v, struct receiver *r, const struct packet *packet);
void unsubscribe_answered(struct deliveries *v, struct receiver *r, uint16_t packet_id);
void unsubscribe_all(struct deliveries *v, struct receiver *r);

struct topic_name *topic_name_of(struct deliveries *v, struct span topic);	/* NULL: no room */
void topic_matched(struct deliveries *v, struct topic_name *topic);		/* makes topic->matched true of now */

/* ---- window ---- */

uint64_t content_hash(const struct endpoint *broker, struct span topic, struct span payload, uint64_t *payload_hash);
void publish(struct deliveries *v, struct receiver *publisher, const struct seen_packet *p, bool doubtful, bool shown);
struct message *message_unsettled(struct deliveries *v, const struct receiver *publisher, uint16_t packet_id);
void message_settle(struct deliveries *v, struct message *m);
void message_reject(struct deliveries *v, struct message *m);
void message_resent(struct message *m);
/* Why an expectation ends without a delivery. */
enum verdict { IS_UNOBSERVABLE, IS_UNCONFIRMED, IS_LOST, IS_CANCELLED /* was never due */ };
void expectation_end(struct deliveries *v, struct expectation *e, enum verdict verdict);
void expect_nothing(struct deliveries *v, struct receiver *r);		/* all of r's are not observable */
void receiver_left(struct deliveries *v, struct receiver *r);		/* those that are kept for it wait */
void window_pass(struct deliveries *v, uint64_t now_ns);		/* time goes by */
void window_close(struct deliveries *v);				/* at the end */

/* ---- deliveries ---- */

enum delivered { WAS_EXPECTED, WAS_COPY, WAS_RESENT, WAS_AGAIN, WAS_BEYOND, WAS_GIVEN_UP, WAS_UNKNOWN };

/* *pair: of the message that it is a delivery of, or of the one before that said the same; NULL when none is known. */
enum delivered delivery_seen(struct deliveries *v, struct receiver *r, const struct seen_packet *p, const struct pair **pair);
/* With RETAIN set: a live message where may_be_live (retain as published) and one is due, else what was stored: false. */
bool delivery_retained(struct deliveries *v, struct receiver *r, const struct seen_packet *p, bool may_be_live, const struct pair **pair);

/* ---- between window and match ---- */

struct pair *pair_of(struct deliveries *v, const struct message *m, const struct receiver *to);	/* never NULL */
struct cell *cell_find(struct deliveries *v, const struct receiver *r, const struct content *content);
struct cell *cell_of(struct deliveries *v, struct receiver *r, struct content *content);
struct content *content_find(struct deliveries *v, const struct endpoint *broker, struct span topic, uint64_t hash,
                             uint64_t payload_hash, size_t payload_len);
void overtake(struct deliveries *v, struct expectation *e, const struct when *when);	/* e was delivered */
void expectation_free(struct deliveries *v, struct expectation *e);
void incident_add(struct deliveries *v, enum incident_kind kind, const struct pair *pair, const struct topic_name *topic, uint8_t qos,
                  const struct when *published, const struct when *seen);

/* ---- rows ---- */

void incident_json(struct out *out, const struct incident *incident, uint64_t start_ns);
void deliveries_json(struct deliveries *v);
void deliveries_print(struct deliveries *v);

#endif
