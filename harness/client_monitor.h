#ifndef HARNESS_CLIENT_MONITOR_H
#define HARNESS_CLIENT_MONITOR_H

#include "harness/monitor.h"

/*
 * The other judge: what a client sends, by form and by the flow of its connection and session. The monitor judges brokers
 * for a tester who knows what it sends; here somebody watches a client that is not ours, from some place
 * on the way. Three things keep this fair to a correct client. What the broker sent may not have reached it: the caller says
 * so packet by packet, and limits count from when CONNACK must have been read. A session is known only if all of
 * it was seen, and what is not known is not judged. And after a broker's own breach a client may do what it likes.
 */

struct client_world;			/* sessions by client id, bounded */
struct client_world *client_world_new(size_t room, uint32_t sessions);	/* given; NULL when memory is short */
void client_world_free(struct client_world *world);	/* when all its connections are closed */
void client_world_distrust(struct client_world *world, uint64_t realm, struct span client_id);	/* as monitor_world_distrust() */

struct client_monitor;
struct client_log {			/* zeroed by its owner; as struct monitor_log */
	void (*violated)(void *owner, struct client_monitor *client, const struct violation *violation);
	void *owner;
	uint32_t held[2][MONITOR_ROWS];			/* [is 5][row of client_monitor.def] */
	uint32_t packets[2][N_PACKET_TYPES];
	uint32_t properties[PROPERTY_ID_MAX + 1];
	uint32_t sized[N_PACKET_TYPES][2];
};

/* As monitor_held() and monitor_implies(). */
int64_t client_held(const struct client_log *log, enum version version, struct span clause);
bool client_implies(enum version version, const char *reported, const char *clause);
/* The i-th other clause that a violation reported by that one breaks; NULL behind the last. */
const char *client_also(enum version version, const char *reported, size_t i);

struct client_flow;
struct client_flows {			/* by packet id */
	struct client_flow *at;
	uint32_t n, cap;
};

/* One connection; its own but for world, log and realm. */
struct client_monitor {
	struct client_world *world;
	struct client_log *log;
	uint64_t realm;				/* as monitor_realm(): to be set before CONNECT */
	struct client_flows ours, theirs;	/* the client's packets; deliveries to it */
	uint64_t *mapped;			/* its topic aliases, a bit each; NULL while there are none */
	uint64_t key, method;			/* hashes of client id and Authentication Method; 0 for none */
	uint64_t last_ns, connack_ns;		/* its last packet; 0 while there is none */
	uint64_t silence_ns;			/* how long it was silent when the server closed */
	uint32_t maximum_packet_size;
	uint32_t delivered, acked[2], recorded, released;	/* orders: of deliveries, their first answers; PUBRECs, PUBRELs */
	uint32_t published, resent;		/* orders: of its PUBLISH packets; the latest sent again */
	uint16_t receive_maximum, topic_alias_maximum, keep_alive;
	uint16_t opened;			/* QoS 1/2 PUBLISH sent here and unacknowledged */
	uint16_t highest;			/* of its packet ids on this connection */
	uint16_t asked;				/* AUTH of the server not answered */
	uint8_t version, state, features;
	uint32_t bits;
};

void client_open(struct client_monitor *c, struct client_world *world, struct client_log *log);
void client_close(struct client_monitor *c, bool whole);	/* it is over, once. whole: its end was seen */
void client_assume(struct client_monitor *c, enum version version);	/* joined midway: form only */
void client_excuse(struct client_monitor *c);	/* something was missed, or the broker broke a rule: form only from here on */
bool client_is_excused(const struct client_monitor *c);

struct client_packet {			/* one that the client sent */
	struct span bytes;
	const struct frame *frame;
	const struct packet *packet;	/* NULL: not readable, for */
	const struct finding *finding;
	uint64_t began_ns, time_ns;	/* when its first and last bytes were seen */
	bool crossed;			/* what the broker sent last may not have reached the client when it wrote this */
};

void client_sent(struct client_monitor *c, const struct client_packet *packet);
void client_received(struct client_monitor *c, const struct packet *packet, uint64_t time_ns);	/* the broker sent this, without fault */
void client_hung_up(struct client_monitor *c, enum sender from, uint64_t time_ns);	/* an orderly end of that side */

#endif
