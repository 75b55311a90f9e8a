#ifndef REFERENCE_BROKER_INTERNAL_H
#define REFERENCE_BROKER_INTERNAL_H

#include "codec/codec.h"
#include "codec/fields.h"
#include "codec/topic.h"
#include "reference-broker/broker.h"
#include "reference-broker/effects.h"
#include "reference-broker/topic_tree.h"

/*
 * What the parts of the core share. broker.c drives, link.c turns bytes into packets and
 * back, connect.c, auth.c, publish.c, subscribe.c handle them, deliver.c sends messages on,
 * session.c and retain.c keep things, rights.c says who may do what, broken.c commits the faults that were asked for.
 */

#define SECOND_NS UINT64_C(1000000000)
#define NEVER UINT64_MAX
#define FOREVER UINT32_MAX		/* a Session Expiry Interval */

/*
 * What a connection costs with all that is small about it: its link, the transport below it, its place among the
 * deadlines, and the first BUFFER_FREE bytes of what waits each way. Likewise a session, with its first packet ids.
 */
#define BUFFER_FREE 2048
#define WINDOW_FREE 8
#define IDS_FREE 8
#define DEADLINE_COST (2 * sizeof(void *))
#define LINK_COST (heap_size(sizeof(struct link)) + 512 + 2 * DEADLINE_COST + 2 * heap_size(BUFFER_FREE))
#define IDENTITY_COST(len) ((len) ? heap_size(len) : 0)
#define SESSION_COST(id_len) \
	(heap_size(sizeof(struct session) + (id_len)) + ENTRY_COST + DEADLINE_COST + \
	 heap_size(WINDOW_FREE * sizeof(void *)) + heap_size(IDS_FREE * sizeof(uint32_t)))

/*
 * What a client asks for is done at once up to config.work_at_once; a packet that is large, or comes from a client whose
 * last one took more, waits for its turn among those of its kind, who share what a tick allows.
 */
#define WORK_A_TURN(b) (UINT64_C(5) * (b)->config.work_at_once)
#define WORK_A_TICK(b) (UINT64_C(15) * (b)->config.work_at_once)
#define LARGE_PACKET(b) (b)->config.work_at_once
#define INPUT_PAUSED_AT (256 * 1024)	/* unsent bytes past which a client is not read from */
#define RETAINED_AHEAD 65536		/* unsent bytes past which retained messages wait */
#define RETAINED_OPEN 1000		/* unacknowledged messages, likewise */

#define PASSING_MAX 4096	/* a message up to this size may use the last eighth of all memory */
#define PASSING_KEPT 4		/* and go to a connected client that has no more than this many unanswered */

/* ---- deadlines: a heap, each in the link or session it belongs to ---- */

struct deadline {
	uint64_t due_ns;
	uint32_t slot;			/* in the heap; 0: not set */
	enum { OF_LINK, OF_LINK_WORK, OF_SESSION, OF_RETAINED } of;
};

struct deadlines {
	struct deadline **heap;		/* [1..n] */
	uint32_t n, cap;
};

bool deadlines_reserve(struct deadlines *d, uint32_t n);	/* room for n, so that setting cannot fail */
void deadline_set(struct deadlines *d, struct deadline *deadline, uint64_t due_ns);
void deadline_stop(struct deadlines *d, struct deadline *deadline);

/* ---- messages: immutable but for their count of holders ---- */

struct message {
	uint64_t received_ns;		/* its age counts from here */
	uint32_t refs;
	uint32_t expiry_interval;
	uint32_t stored;		/* as which retained message */
	uint32_t properties_len, payload_len;
	uint16_t topic_len, publisher_len;
	uint8_t qos, version;		/* as its publisher sent it */
	bool has_expiry, retain, dup;	/* dup is for a fault only */
	uint8_t bytes[];		/* topic, publisher's client id, properties, payload */
};

struct message *message_new(struct broker *broker, const struct packet *publish, struct span topic, struct span publisher);
struct message *will_new(struct broker *broker, const struct packet *connect, struct span publisher);
struct message *message_ref(struct message *m);
void message_unref(struct broker *broker, struct message *m);	/* NULL is harmless */
bool message_expired(const struct message *m, uint64_t now_ns);
size_t message_size(const struct message *m);
uint32_t message_life(const struct message *m, uint64_t now_ns);	/* what is left of its expiry interval */

static inline struct span message_topic(const struct message *m)
{
	return span_of(m->bytes, m->topic_len);
}

static inline struct span message_publisher(const struct message *m)
{
	return span_of(m->bytes + m->topic_len, m->publisher_len);
}

static inline struct span message_properties(const struct message *m)
{
	return span_of(m->bytes + m->topic_len + m->publisher_len, m->properties_len);
}

static inline struct span message_payload(const struct message *m)
{
	return span_of(m->bytes + m->topic_len + m->publisher_len + m->properties_len, m->payload_len);
}

/* ---- deliveries: one message on its way to one session ---- */

enum delivery_state { QUEUED, PUBLISHED, RELEASED, N_DELIVERY_STATES };

struct delivery {
	struct delivery *next, *prev;
	struct message *message;	/* NULL once released */
	const struct group *group;	/* that it was chosen from; only compared */
	uint16_t packet_id;		/* 0 while queued */
	uint8_t qos, state;
	bool retain, counted;		/* counted against this connection's Receive Maximum */
	uint16_t n_ids;
	uint32_t ids[];			/* subscription identifiers */
};

struct delivery_list {
	struct delivery *first, *last;
};

/* ---- packet ids received in open QoS 2 flows ---- */

struct id_set {
	uint32_t *ids;			/* ascending; id << 1 | counted on this connection */
	uint32_t n, cap;
};

/* ---- sessions ---- */

struct session {
	struct entry entry;		/* in broker->sessions, by client id */
	struct broker *broker;
	struct link *link;		/* NULL while nobody is connected */
	struct deadline deadline;	/* of the will's delay or the expiry, while nobody is connected */
	uint64_t expires_ns, will_due_ns;
	struct message *will;
	struct subscription *subscriptions;
	struct delivery_list open;	/* published in order, then queued */
	struct delivery *unsent;	/* the first of them not sent on this connection */
	struct delivery_list released;	/* PUBREL sent, in that order */
	struct delivery **window;	/* those with a packet id, at id & mask */
	struct id_set incoming;
	struct wanted *wanted;		/* retained messages on their way to it */
	struct subscription *matched;	/* while a message is routed: its subscriptions that match */
	struct session *next_matched;
	uint32_t window_size, n_window;	/* a power of two or 0; used places */
	uint32_t n_kept;		/* deliveries in all */
	uint32_t n_subscriptions;
	uint32_t expiry_interval, will_delay;
	struct span *carried;		/* by a fault: topic aliases of its last connection */
	uint16_t n_carried;
	uint16_t last_id;
	uint16_t id_len, owner_len;
	uint8_t version;
	bool owned;			/* by a user, not by somebody who named none */
	bool taken_over;		/* by a fault: another session has its client id */
	uint8_t id[];			/* then the owner's user name */
};

/* ---- links ---- */

struct buffer {
	uint8_t *at;
	size_t start, len, cap;		/* at[start .. start+len) */
};

enum link_state { AWAITING_CONNECT, AUTHENTICATING, CONNECTED, CLOSING };	/* as far as a CONNECT or AUTH is awaited: before CONNECTED */

struct link {
	struct broker *broker;
	void *owner;
	struct session *session;
	struct link *next, *prev;		/* of all links */
	struct link *next_ready, *prev_ready;
	struct deadline deadline;		/* for CONNECT, then keep alive */
	struct deadline work;			/* for what it could not do at once */
	uint64_t heard_ns;			/* last whole packet */
	uint64_t keep_alive_ns;			/* 1.5 times; 0: none */
	struct buffer in, out;
	struct span identity;			/* see broker_identify(); heap */
	size_t charged;				/* see broker_charge() */
	struct span *aliases;			/* the client's, by number - 1; heap */
	struct span *out_aliases;		/* those that we gave out, likewise */
	struct exchange *exchange;		/* an authentication under way */
	uint32_t maximum_packet_size;		/* the client's */
	uint16_t n_aliases;
	uint16_t alias_maximum;			/* what the client takes */
	uint16_t n_out_aliases;
	uint16_t receive_maximum, n_unacked;	/* the client's window, and how much of it is used */
	uint16_t n_incoming;			/* QoS 2 PUBLISH of this connection without PUBCOMP */
	uint8_t version, state;
	bool ready, lost;
	bool held;				/* whole packets may wait in `in` */
	bool heavy;				/* its last packets took much work */
	bool starved;				/* there was no room for something that it must be sent */
	bool problem_information;
	bool clean_start;
	bool authenticated;			/* by the Authentication Method, which its AUTHs name too */
	bool expiry_was_zero;			/* in CONNECT: DISCONNECT may not raise it */
	bool mute;				/* by a fault: does not show that it is closing */
};

/*
 * A link has an output buffer only while something waits in it, so an idle one costs none. What was sent leaves its
 * buffer to the next that has something to say: else a busy link would grow it anew from nothing, round by round.
 */
enum { N_SPARE = 16, SPARE_SIZE_MAX = 65536 };

struct broker {
	struct broker_config config;
	uint64_t now_ns;
	uint64_t hash_key[2];
	uint64_t random_key[2], n_random;
	uint64_t work;					/* done so far, in steps */
	uint32_t n_stored;				/* retained messages that ever were */
	uint32_t n_expiring;				/* retained messages that expire */
	struct deadline sweep;				/* to look for those that have, from bucket swept on */
	size_t swept;
	uint64_t effects[2][(N_EFFECTS + 63) / 64];	/* faults asked for: below 5, and 5 */
	bool broken;					/* any at all */
	struct deadlines deadlines;
	struct table sessions;
	struct tree subscriptions, retained;
	struct link *links;
	struct link *first_ready, *last_ready;
	struct broker_stats stats;
	struct buffer scratch;				/* properties of a PUBLISH being sent */
	struct buffer codes;				/* of a SUBACK or UNSUBACK being built */
	struct buffer id_list;				/* subscription identifiers of a message being routed */
	const struct message *sending;			/* what the PUBLISH being sent was made from */
	struct buffer altered, folded;			/* room for what faults alter */
	struct buffer spare[N_SPARE];			/* output buffers that nobody has in use */
	unsigned n_spare;
};

static inline struct span session_id(const struct session *s)
{
	return span_of(s->id, s->id_len);
}

/* broker.c */
bool memory_take(struct broker *broker, size_t n);	/* false: past the bound for what is kept */
bool memory_take_passing(struct broker *broker, size_t n);	/* likewise; small ones go up to the bound of all */
bool memory_is_scarce(const struct broker *broker);	/* the last eighth is in use */
size_t memory_room(const struct broker *broker);	/* what memory_take() would give */
bool memory_left(const struct broker *broker, size_t n);	/* whether that much is below the bound of all */
void memory_give(struct broker *broker, size_t n);
uint64_t broker_random(struct broker *broker);
void link_ready(struct link *link);
void link_take_ready(struct link *link);

/* buffer.c */
bool buffer_reserve(struct buffer *b, size_t more);	/* room for that many behind the end; false: out of memory */
size_t buffer_cap_for(const struct buffer *b, size_t more);	/* what its cap will be after buffer_reserve(b, more) */
bool buffer_append(struct buffer *b, struct span s);
void buffer_release(struct buffer *b);

/* link.c */
/* Sends, unless the packet is larger than the client takes: then false and nothing. */
bool link_send(struct link *link, struct packet *packet);
/* The same with a Reason String where the client wants and takes it; why may be NULL. */
bool link_answer(struct link *link, struct packet *packet, const char *why);
/* The client did something wrong: 5 says reason (DISCONNECT), then the connection ends and the will is due. */
void link_fail(struct link *link, unsigned reason, const char *why);
/* Ends it after what was put out; the will is due unless the client said goodbye. */
void link_end(struct link *link, bool publish_will);
void link_timed_out(struct link *link);
/* Something that the client must get has no room: it is let go as soon as nobody is in the middle of using the link. */
void link_starved(struct link *link);
void link_work(struct link *link);
/* Whether there is room for a packet of about that size to be sent. */
bool link_has_room(struct link *link, size_t size);
void link_release_buffers(struct link *link);
size_t link_buffer_cost(const struct buffer *b);	/* of link->in or out, beyond what LINK_COST has */
/* buffer_reserve() of link->in or out, counted; false: no room. */
bool link_reserve(struct link *link, struct buffer *b, size_t more);
void aliases_release(struct broker *broker, struct span *aliases, unsigned n);
unsigned reason_for(const struct finding *finding);
bool form_allowed(const struct packet *packet, bool overlong, struct finding *finding);

/* connect.c */
void handle_connect(struct link *link, struct span bytes, bool overlong);
void refuse_connect(struct link *link, uint8_t version, unsigned reason, const char *why);

/* The CONNECT whose authentication succeeded, as that user; data is for CONNACK. */
void connect_authenticated(struct link *link, struct span bytes, struct span user_name, struct span data);

/* auth.c */
void authentication_begin(struct link *link, const struct packet *connect, struct span bytes);	/* or refuses the method */
void handle_authenticating(struct link *link, struct span bytes, bool overlong);	/* what comes between CONNECT and CONNACK */
void handle_auth(struct link *link, const struct packet *packet);
void exchange_release(struct link *link);
size_t exchange_cost(const struct exchange *exchange);	/* NULL: nothing */

/* rights.c */
bool client_may(const struct broker *broker, struct span user, struct span id, enum act act, struct span topic);
bool session_may(const struct session *session, enum act act, struct span topic);
bool session_may_get(const struct session *session, const struct message *m, bool retained);

/* publish.c: what publishers send, and the other half of the flows to subscribers */
void handle_publish(struct link *link, const struct packet *packet);
void handle_ack(struct link *link, const struct packet *packet);	/* PUBACK PUBREC PUBREL PUBCOMP */
/* Stores it where it is to be retained, and sends it on. How many sessions it goes to; negative: no room, nothing was done. */
int publish_message(struct broker *broker, struct message *m, bool may_refuse);
struct group;
void route_again(struct session *leaving, struct group *group, struct message *m);

/* subscribe.c */
struct subscription {
	struct entry entry;		/* in the tree's table of subscriptions: by session, node, group */
	struct session *session;
	struct node *node;
	struct group *group;		/* of a shared one */
	struct subscription *next_of_node, *prev_of_node;	/* or of its group */
	struct subscription *next_of_session, *prev_of_session;
	struct subscription *next_matched;
	uint32_t identifier;		/* 0: none */
	uint8_t options;		/* as in SUBSCRIBE; the QoS is the granted one */
};

struct group {				/* of a shared subscription: one name at one filter */
	struct entry entry;		/* in the tree's table of groups: by node and name */
	struct group *next, *prev;	/* of its node */
	struct node *node;
	struct subscription *members, *turn;
	size_t name_len;
	uint8_t name[];
};

static inline size_t group_size(const struct group *g)
{
	return heap_size(sizeof(*g) + g->name_len) + ENTRY_COST;
}

static inline size_t subscription_size(void)
{
	return heap_size(sizeof(struct subscription)) + ENTRY_COST;
}

void handle_subscribe(struct link *link, const struct packet *packet);
/* The subscription of that filter as it was written, NULL: none; *bare is the filter without "$share/NAME/". */
struct subscription *subscription_of(struct link *link, struct span filter, struct span *bare);
void handle_unsubscribe(struct link *link, const struct packet *packet);
void subscription_end(struct broker *broker, struct subscription *s);

/* retain.c */
bool retain_message(struct broker *broker, struct message *m);	/* false: there is no room to store it */
/* Retained messages that a SUBSCRIBE asked for: its filters, and how far they have come. */
struct wanted {
	struct wanted *next;		/* of a later SUBSCRIBE */
	struct cover cover;		/* for the filter at `at` */
	uint32_t stored;		/* what is stored later goes out as it comes */
	size_t at, len;
	uint8_t filters[];		/* each behind its length of two bytes */
};

static inline size_t wanted_size(const struct wanted *w)
{
	return heap_size(sizeof(*w) + w->len);
}

void retained_want(struct session *session, struct wanted *w);	/* taken */
void retained_send(struct link *link);		/* a turn of it, if there is room to send */
void retained_unwant(struct session *session);	/* the session ends */
void retained_due(struct broker *broker);	/* some of what has expired goes */
void retained_release(struct broker *broker);

/* deliver.c */
size_t delivery_size(size_t n_ids);
size_t window_cost(uint32_t size);		/* beyond what SESSION_COST has */
/* A message for a session: sent, queued, or dropped by a bound. */
void deliver(struct session *session, struct message *m, unsigned qos, bool retain, const uint32_t *ids, size_t n_ids,
             const struct group *group);
void deliver_pump(struct link *link);		/* send what may be sent now */
void deliver_resume(struct link *link);		/* after CONNACK: what was open comes again, then the rest */
void deliver_acknowledged(struct link *link, const struct packet *ack);
void deliveries_release(struct session *session);
void deliveries_pass_on(struct session *session);
void delivery_pass_on(struct session *session, const struct delivery *delivery);	/* to another member of its group */
void deliveries_rename(struct session *session);	/* by a fault: new packet ids for what is open */

/* session.c */
struct session *session_find(struct broker *broker, struct span id);
struct session *session_new(struct broker *broker, struct span id, struct span owner);
bool session_of(const struct session *session, struct span owner);	/* whether it is his; at NULL: of who named no user */
void session_end(struct session *session);	/* a will not yet published is due */
void session_disconnected(struct session *session);
void session_due(struct session *session);

size_t id_set_cost(uint32_t cap);		/* beyond what SESSION_COST has */
int id_set_find(const struct id_set *set, uint16_t id);	/* place, or -1 - where it would go */
bool id_set_add(struct broker *broker, struct id_set *set, uint16_t id, bool counted);
void id_set_remove(struct broker *broker, struct id_set *set, int place);

#endif
