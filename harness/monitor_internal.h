#ifndef HARNESS_MONITOR_INTERNAL_H
#define HARNESS_MONITOR_INTERNAL_H

#include "harness/monitor.h"

/* What the files of the monitor share; nobody else includes this. */

enum monitor_row {
#define X(name, id_311, id_5, asks) ROW_##name,
#include "harness/monitor.def"
#undef X
	N_ROWS
};

/* monitor.state */
enum { NOT_CONNECTED, CONNECTING, CONNECTED, REFUSED, ENDED };

/* monitor.bits */
enum {
	LENIENT = 1 << 0,		/* our side broke a rule: form only */
	PARTIAL = 1 << 1,		/* the session was not seen from its start */
	RESUMED = 1 << 2,		/* CONNACK said Session Present */
	REPLACED = 1 << 3,		/* another connection took the session over */
	CLEAN_START = 1 << 4,
	EMPTY_ID = 1 << 5,
	WITH_METHOD = 1 << 6,
	WANTS_RESPONSE_INFO = 1 << 7,
	NO_PROBLEM_INFO = 1 << 8,
	SIZE_LIMITED = 1 << 9,		/* we gave a Maximum Packet Size */
	VERSION_OPEN = 1 << 10,		/* our CONNECT leaves open by which version it is answered */
	DISCONNECTED = 1 << 11,		/* we sent DISCONNECT */
	REQUESTS_LOST = 1 << 12,	/* more SUBSCRIBE open than are kept */
	ALIASES_LOST = 1 << 13,		/* more aliases than are kept */
	COUNTED = 1 << 14,		/* our CONNECT is counted in the session's `connecting` */
	FLOWS_LOST = 1 << 15,		/* exchanges begun here that are not kept: answers may belong to them */
};

/* monitor.features: as CONNACK announced them */
enum { MAXIMUM_QOS = 3, RETAIN_AVAILABLE = 4, WILDCARD_AVAILABLE = 8, IDENTIFIER_AVAILABLE = 16, SHARED_AVAILABLE = 32,
       ALL_FEATURES = 2 | RETAIN_AVAILABLE | WILDCARD_AVAILABLE | IDENTIFIER_AVAILABLE | SHARED_AVAILABLE };

/* One packet on its way through the rules: the first one broken is reported. */
struct seen {
	struct monitor *m;
	const struct packet *packet;
	const uint8_t *bytes;
	size_t len;
	bool broken;
};

void monitor_violate(struct seen *seen, enum monitor_row row, const void *at, const char *field, const char *format, ...)
	__attribute__((format(printf, 5, 6)));
void monitor_violate_clause(struct seen *seen, const char *clause, uint32_t offset, const char *field, const char *text);
void monitor_hold(struct monitor *m, enum monitor_row row);
void monitor_hold_packet(struct seen *seen);		/* nothing was wrong with it */

static inline bool is_5(const struct monitor *m)
{
	return m->version == MQTT_5;
}

/* ---- exchanges under way, by packet id ---- */

/* States of a delivery to us; the id is in use in all but THEIRS_DONE. */
enum { THEIRS_DONE = 1, THEIRS_QOS1, THEIRS_QOS2, THEIRS_RECEIVED, THEIRS_RELEASED };
/* States of our ids. */
enum { OURS_DONE = 1, OURS_QOS1, OURS_QOS2, OURS_RECEIVED, OURS_RELEASED, OURS_REQUEST };

enum {	/* flow.bits */
	HERE = 1,			/* PUBLISH came, or was sent, on this connection */
	RELEASED_HERE = 2,		/* PUBREL came on this connection */
};

struct flow {
	uint16_t id;			/* 0: the slot is free */
	uint8_t state, bits;
	uint8_t answers;		/* theirs: PUBRELs, ours: PUBACKs or PUBRECs that may still come */
	uint8_t completions;		/* ours: PUBCOMPs that may still come */
	uint16_t sample;		/* theirs: of topic and payload, to tell a message sent again from a new one */
};

struct flows {				/* open addressing */
	struct flow *at;
	uint32_t n, cap;
};

struct flow *monitor_flow_find(const struct flows *flows, uint16_t id);	/* NULL when there is none; flows may be NULL */
/* The flow of that id, new ones all zero but for the id; NULL when there is no room. Others may move. */
struct flow *monitor_flow_add(struct monitor_world *world, struct flows *flows, uint16_t id);
void monitor_flow_remove(struct flows *flows, struct flow *flow);	/* others may move */

/* ---- subscriptions ---- */

enum {	/* filter.bits */
	WILDCARD = 1,
	SHARED = 2,
	MAY_RETAIN = 4,			/* RETAIN 1 can come by it: retained messages, or Retain As Published */
};

/*
 * One filter with one identifier that was ever subscribed to in this session. It stays when the
 * subscription is gone or has changed, since messages queued before may come at any later time.
 */
struct filter {
	uint32_t hash, text;		/* text: offset in session.text */
	uint32_t identifier;		/* 0 for none */
	uint16_t len;
	int8_t granted, asked;		/* highest QoS granted ever; asked for and not answered; -1 for none */
	uint16_t open;			/* SUBSCRIBEs not answered */
	uint8_t bits;
};

struct request {			/* a SUBSCRIBE or UNSUBSCRIBE not answered */
	struct request *next;
	uint32_t size;			/* of this block */
	uint32_t n, n_kept;		/* filters in it; those that stand in `asked` */
	uint16_t id;
	bool unsubscribe;
	uint32_t asked[];		/* index of the filter << 2 | QoS asked for; NO_FILTER for one not kept */
};

#define NO_FILTER 0x3fffffffu

/* ---- sessions ---- */

/* All filters of a session in one block, their text behind them. */
struct filters {
	uint32_t cap, text_len, text_cap;
	struct filter at[];
};

enum { N_FREED = 8 };

/* What is under way, or was lately; few sessions have any at a time. */
struct traffic {
	struct flows theirs, ours;
	struct request *requests, *last_request;
	struct {			/* the server's ids that were used on this connection, and are free again: the last few */
		uint16_t id, sample;	/* of the message that had it last; id 0: none */
	} freed[N_FREED];
	uint8_t next_freed;
	uint16_t n_requests;
};

struct monitor_session {		/* one for each client: small */
	struct monitor_session *next;	/* in the world's bucket */
	struct monitor *owner;		/* the connection it is attached to */
	uint64_t key;			/* 0: of no client id, not in the table */
	struct traffic *traffic;	/* NULL: none */
	struct filters *filters;	/* NULL: none */
	uint32_t n_filters;
	uint32_t hint;			/* the filter that matched last */
	uint16_t connecting;		/* CONNECTs with this client id that CONNACK has not answered */
	uint16_t highest;		/* of the server's packet ids seen in this session */
	uint8_t version;
	bool known : 1;			/* all of it was seen, from its start */
	bool contested : 1;		/* several were connecting at once: whose it became is unknown */
	bool identifiers : 1, quiet : 1, shared : 1, opaque : 1;	/* filters with an identifier; without MAY_RETAIN;
							 * shared ones; ones whose meaning is the vendor's */
};

static inline struct flows *theirs_of(const struct monitor_session *s)
{
	return s && s->traffic ? &s->traffic->theirs : NULL;
}

static inline struct flows *ours_of(const struct monitor_session *s)
{
	return s && s->traffic ? &s->traffic->ours : NULL;
}

size_t monitor_filters_size(uint32_t cap, uint32_t text_cap);
struct traffic *monitor_traffic_of(struct monitor_world *world, struct monitor_session *s);	/* made when there is none; NULL: no room */
void monitor_traffic_rest(struct monitor_world *world, struct monitor_session *s);	/* given back, if nothing in it is remembered */

/* The session of that client id; add makes one that is not known. NULL: none, or no room. */
struct monitor_session *monitor_world_session(struct monitor_world *world, uint64_t key, bool add);
bool monitor_world_is_ours(const struct monitor_world *world);

/* The connection's session, made when there is none. NULL: there is no room, or it has none to judge by. */
struct monitor_session *monitor_session_of(struct monitor *m);
void monitor_session_clear(struct monitor_world *world, struct monitor_session *s);	/* nothing in it, nobody's */
void monitor_session_release(struct monitor_world *world, struct monitor_session *s);	/* freed, unless somebody is connecting */
void monitor_session_lose(struct monitor *m);		/* what is known of the client id's session is not to be trusted */

void monitor_session_connecting(struct monitor *m);	/* CONNECT with m->key was sent */
void monitor_session_refused(struct monitor *m);	/* CONNACK refused, or none came */
void monitor_session_accepted(struct monitor *m, bool present);	/* CONNACK accepted */
void monitor_session_closed(struct monitor *m, bool persists);

size_t monitor_pool_size(size_t size);		/* how much a block of that size has in truth: more may be asked for at no cost */
void *monitor_pool_take(struct monitor_world *world, size_t size);	/* zeroed; NULL: no more room */
void monitor_pool_give(struct monitor_world *world, void *block, size_t size);	/* NULL is fine */

/* ---- the packets ---- */

void monitor_sent_connect(struct monitor *m, const struct packet *p);
bool monitor_auth_is_proper(const struct monitor *m, const struct packet *p);
void monitor_got_connack(struct seen *seen);
void monitor_judge_auth(struct seen *seen);

bool monitor_aliases_are_proper(struct monitor *m, const struct packet *p);	/* of a PUBLISH of ours */
void monitor_aliases_free(struct monitor *m);
bool monitor_alias_resolve(struct seen *seen, struct span *topic);	/* false: what topic it is cannot be said */

void monitor_sent_publish(struct monitor *m, unsigned flags, uint16_t packet_id);
void monitor_sent_ack(struct monitor *m, const struct packet *p);
void monitor_got_publish(struct seen *seen);
void monitor_got_ack(struct seen *seen);		/* PUBACK, PUBREC, PUBREL, PUBCOMP */

void monitor_sent_request(struct monitor *m, const struct packet *p);	/* SUBSCRIBE, UNSUBSCRIBE */
void monitor_got_request_ack(struct seen *seen);	/* SUBACK, UNSUBACK */
void monitor_requests_drop(struct monitor_world *world, struct monitor_session *s);	/* unanswered: they may have been obeyed */
void monitor_judge_delivery(struct seen *seen, struct span topic);

#endif
