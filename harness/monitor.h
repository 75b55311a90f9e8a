#ifndef HARNESS_MONITOR_H
#define HARNESS_MONITOR_H

#include "codec/codec.h"

/*
 * The monitor: every byte a broker sends, in whichever part of the tool, is judged here
 * against every rule that what was seen so far allows to judge. It knows nothing of scenarios.
 *
 * It keeps the session's part per client id in a world and carries it over when CONNACK says
 * Session Present; what it has not seen from the start is unknown, and unknown things are not judged.
 * Once our side broke a rule on a connection, only the form of what comes is judged there.
 * Form alone (decode, check) is always judged. Order, loss and duplicates are not its matter.
 */

struct monitor;
struct monitor_world;			/* sessions by client id, and pools; one per target and thread */
struct monitor_world *monitor_world_new(void);	/* given; NULL when memory is short */
void monitor_world_free(struct monitor_world *world);	/* when all its monitors are closed */
/* Forget a session: the run that used that client id is over. Harmless when unknown. */
void monitor_world_forget(struct monitor_world *world, struct span client_id);


/*
 * For who sees more clients than the tests of one run: no more than `room` bytes are used, and sessions that no
 * connection has are forgotten, any of them, where there are more than `sessions`. Before the first monitor.
 */
void monitor_world_bound(struct monitor_world *world, size_t room, uint32_t sessions);

/*
 * Both standards let a server assign subscriptions by itself (4.5, not normative), so a delivery that no
 * subscription of ours asked for breaks no rule by itself. Who knows that this target assigns none
 * says so here; then 3.3.2-3 and 4.7.2-1 are judged for every delivery. Off at first.
 */
void monitor_world_subscriptions_are_ours(struct monitor_world *world, bool ours);

/* A rule broken by the broker. All text is static or lives until the report call returns. */
struct violation {
	uint8_t version;
	const char *clause;		/* "MQTT-3.3.1-2" or an unnumbered name */
	const char *text;		/* what came and why it may not; one line, foreign bytes escaped */
	uint32_t offset;		/* in the packet, of the offending field; 0 when it has none */
	const char *field;		/* may be NULL */
};

uint64_t monitor_hash_bytes(struct span s);		/* never 0 */
uint64_t monitor_key_of(uint64_t realm, struct span client_id);	/* of a session; never 0 */

#define MONITOR_ROWS 64			/* room for the rows of monitor.def; monitor_rules.c asserts it */

/*
 * What one run saw: violations go to `violated`; the counts say on how many occasions a rule
 * could have been broken and was not. The owner zeroes it and asks monitor_held(). Shared by all connections of a run.
 */
struct monitor_log {
	void (*violated)(void *owner, struct monitor *monitor, const struct violation *violation);
	/* May be NULL: a delivery that no subscription of a session seen whole asks for, where that is not a violation. */
	void (*unasked)(void *owner, struct monitor *monitor, struct span topic);
	void *owner;
	uint32_t held[2][MONITOR_ROWS];			/* [is 5][row of monitor.def] */
	uint32_t packets[2][N_PACKET_TYPES];		/* [is 5][type]: those without any fault */
	uint32_t properties[PROPERTY_ID_MAX + 1];	/* in those of 5 */
	uint32_t sized[N_PACKET_TYPES][2];		/* under a Maximum Packet Size, with a Reason String; a User Property */
};

/*
 * How often the rule was observed to hold; -1: the monitor does not judge that clause (lint asks, with log NULL).
 * 3.1 answers as 3.1.1. Clauses that share an occasion (5:MQTT-3.3.4-9 and 5:MQTT-4.9.0-2) share its count.
 */
int64_t monitor_held(const struct monitor_log *log, enum version version, struct span clause);

/* Whether a violation that is reported by one clause breaks the other too: they are the same, or share an occasion. */
bool monitor_implies(enum version version, const char *reported, const char *clause);

/* One connection. Small: an idle client costs what stands here; sets come from the world's pools on first use. */
struct monitor {
	struct monitor_world *world;
	struct monitor_log *log;		/* may be changed between packets, also to NULL */
	/* The monitor's own: */
	struct monitor_session *session;	/* NULL while there is nothing to remember */
	struct monitor_aliases *aliases;	/* NULL until one is mapped */
	uint64_t key;				/* hash of the client id; before CONNECT: its realm; 0 for none */
	uint32_t method;			/* hash of the Authentication Method; 0 for none */
	uint32_t own_maximum_packet_size, maximum_packet_size, session_expiry_interval;
	uint16_t own_receive_maximum, receive_maximum, own_topic_alias_maximum, topic_alias_maximum, keep_alive;
	uint16_t open, opened;			/* QoS 1/2 PUBLISH unacknowledged here: theirs, ours */
	uint16_t extra;				/* acknowledgements of ours that belong to no counted PUBLISH */
	uint16_t pings;
	uint8_t version, state;
	uint16_t bits;
	uint8_t features;
};

void monitor_open(struct monitor *m, struct monitor_world *world, struct monitor_log *log);
void monitor_close(struct monitor *m);		/* the connection is over, however it ended; once */

/* Of several brokers in one world each is a realm of its own: the same client id is another session there. Before CONNECT. */
void monitor_realm(struct monitor *m, uint64_t realm);
/* What is known of that client id's session there is not to be trusted: somebody may have used it unseen. */
void monitor_world_distrust(struct monitor_world *world, uint64_t realm, struct span client_id);

/* Instead of a CONNECT: the connection was joined midway (a capture) and only form is judged, by that version. */
void monitor_assume(struct monitor *m, enum version version);

/*
 * Our side sent these bytes, a whole packet as framed by us; packet is its decoding, NULL when it has none
 * (then, and when check() or the flow finds fault with it, our side broke a rule).
 * To be told before anything that may answer it is handed to monitor_received(). After monitor_close(): harmless.
 */
void monitor_sent(struct monitor *m, const uint8_t *bytes, size_t len, const struct packet *packet);
/*
 * The same for a PUBLISH that is made by a template of which check() has approved, and whose lengths tell the truth: nothing is looked at again but
 * what the flow asks. It has a topic and no topic alias. flags: the low four bits of its first byte.
 */
void monitor_posted(struct monitor *m, unsigned flags, uint16_t packet_id, size_t len);
void monitor_misbehaved(struct monitor *m);	/* our side broke a rule in some other way */
bool monitor_is_lenient(const struct monitor *m);	/* form only from here on */

/*
 * The broker sent this whole packet. Decodes it by the version in force; *packet borrows from bytes.
 * A CONNACK by which a server of another version refuses ours is read by that server's version, which packet->version tells.
 * CODEC_OK: readable (violations, if any, are reported). CODEC_BAD: not readable, reported; *packet is void.
 */
enum status monitor_received(struct monitor *m, const uint8_t *bytes, size_t len, const struct frame *frame,
                             struct packet *packet);
/* The topic of a PUBLISH that it has judged, also where it is named by an alias, which lives until the next packet. False: what it is cannot be said. */
bool monitor_topic(const struct monitor *m, const struct packet *packet, struct span *topic);
void monitor_bad_frame(struct monitor *m, const struct finding *finding);	/* framing failed: nothing follows */

/* Over WebSocket: which subprotocol the server selected ("" for none) when we offered "mqtt"; once, with its first packet. */
void monitor_subprotocol(struct monitor *m, const char *protocol);
void monitor_text_frame(struct monitor *m);		/* and that it sent a data frame which is not binary */

/* What is in force on the connection after CONNACK, by CONNACK's names and defaults (receive_maximum 65535, ...);
 * server_keep_alive and session_expiry_interval after the server's override. 0 for other properties. */
uint64_t monitor_in_force(const struct monitor *m, enum property_id property);
enum version monitor_version(const struct monitor *m);	/* 3.1.1 until a CONNECT says */

#endif
