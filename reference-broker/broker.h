#ifndef REFERENCE_BROKER_BROKER_H
#define REFERENCE_BROKER_BROKER_H

#include "codec/span.h"

/*
 * The reference broker's core: bytes and the time go in, bytes and a deadline come
 * out. It knows no socket, file, clock or thread, so it runs the same behind a
 * server, inside a test on simulated time, and inside a fuzzer.
 *
 * Time is nanoseconds of one monotonic clock, passed to every call and never going
 * back. After any call, whoever drives it must
 *   1. take links with broker_ready() until it yields NULL and move their output,
 *   2. call broker_tick() no later than broker_deadline().
 */
struct broker;
struct link;			/* one connection of a client, seen from the broker */

enum login { LOGIN_WRONG, LOGIN_RIGHT, LOGIN_BUSY };	/* busy: not now, for too many are being checked */
enum act { ACT_PUBLISH = 1, ACT_SUBSCRIBE = 2 };	/* what a client may or may not do; bits, where there are several */

enum authenticated { AUTHENTICATION_WRONG, AUTHENTICATION_RIGHT, AUTHENTICATION_GOES_ON };

/* An Authentication Method of 5, from who has its cryptography: the core carries its data. */
struct authentication {
	struct span method;
	size_t state_size;		/* of an exchange; zero when it begins, and moved by nobody */
	/*
	 * What the client's next data says (at NULL: there was none). *answer is what to send then: data of AUTH when it
	 * goes on, of the success otherwise; *user_name is who it is. Both are empty before, and live in the state.
	 */
	enum authenticated (*step)(void *users, void *state, struct span data, struct span *answer, struct span *user_name);
};

/* What a broker offers and how much of it. broker_defaults() fills in a broker without limits worth noticing. */
struct broker_config {
	uint64_t seed;				/* of its random choices: assigned client ids, hash keys */
	uint8_t versions;			/* bit per version: 1 << MQTT_5 ... */
	uint8_t maximum_qos;			/* 0, 1, 2 */
	bool retain_available, wildcard_available, shared_available, subscription_identifiers_available;
	bool empty_client_id;			/* assign an id to who brings none */
	uint16_t receive_maximum;		/* announced in 5 when not 65,535 */
	uint32_t maximum_packet_size;		/* largest packet taken; announced in 5 when set by the user */
	uint16_t topic_alias_maximum;
	uint16_t server_keep_alive;		/* 0: the client's own */
	uint32_t session_expiry_maximum;	/* longer wishes are cut down to it */
	uint64_t connect_timeout_ns;		/* from accept to CONNECT */
	struct span response_information;	/* in 5, for who asks; at most BROKER_TEXT_MAX bytes. Empty: none */
	struct span redirect;			/* in 5, where every client is sent to; likewise. Empty: nobody is */
	bool redirect_for_good;			/* Server moved rather than Use another server */
	struct span successor;			/* in 5, where clients are sent to by broker_shutdown(); likewise */

	/*
	 * Whether this user has that password: asked once for each well-formed CONNECT that names a user, before anything is
	 * done for it; who names none is refused then. NULL: everybody is let in, and whoever says so is that user.
	 */
	enum login (*login)(void *users, struct span user_name, struct span password, uint64_t now_ns);
	void *users;
	/*
	 * The one that is offered; NULL: none. Who takes it is its user: the user name and password of such a CONNECT, if it
	 * has them, are not asked about.
	 */
	const struct authentication *authentication;

	/* Who brings no identity (broker_identify()) has to log in, and is refused where nobody can. */
	bool identities;

	/*
	 * Whether a client may publish to a topic, subscribe to a filter (that of a shared subscription comes without its
	 * $share/NAME/), or get what is published to a topic: ACT_SUBSCRIBE with that one. Asked each time, so the answers
	 * may change: what is denied from then on is not delivered, though it was subscribed to, queued or retained before.
	 * user_name at NULL: the client named none. NULL: everybody may do everything.
	 */
	bool (*may)(void *rules, struct span user_name, struct span client_id, enum act act, struct span topic);
	void *rules;

	/* Bounds on what clients can make it keep. 0 is not "no bound": it forbids. */
	uint32_t max_sessions, max_subscriptions_per_session, max_queued_per_session, max_retained;
	size_t max_output;			/* unsent bytes of one link; then QoS 0 is dropped, and past twice that the link is closed */
	uint32_t max_connections;
	uint32_t work_at_once;			/* for one client, before others are looked after: nodes visited, copies made and the like */
	/*
	 * Of all that clients have it keep, as the allocator counts it: connections, what waits to be sent to them,
	 * half packets, sessions, subscriptions, messages. The last eighth is only for small messages on their way to
	 * clients that keep up, so that who hoards does not stop who passes through.
	 */
	size_t max_memory;

	const uint64_t *broken;			/* bit per fault (faults.h) that it commits; NULL for none */
};

#define BROKER_TEXT_MAX 255		/* bytes of a text that CONNACK may carry: it has to fit beside all else */

void broker_defaults(struct broker_config *config);

/* Given to the caller; NULL when out of memory. *config is copied, except what it points to, which must outlive the broker. */
struct broker *broker_new(const struct broker_config *config, uint64_t now_ns);
void broker_free(struct broker *broker);

/*
 * A client's transport is open. owner is the caller's, handed back by link_owner(). NULL when there is no
 * room for it: the caller closes the transport. The link lives until the caller calls
 * broker_forget(): when its transport has ended, or when link_closing() and all output is sent.
 */
struct link *broker_accept(struct broker *broker, void *owner, uint64_t now_ns);
void *link_owner(const struct link *link);

/*
 * Whom the client has proven to be before it says a word, by a certificate: that is its user name then, and no password is
 * asked for; a CONNECT that names another user is refused. At most BROKER_TEXT_MAX bytes, copied. False: no room, the
 * caller ends the link.
 */
bool broker_identify(struct broker *broker, struct link *link, struct span name);

/* What its caller keeps for the link counts as memory too, from now on. At most once. False: no room, the caller ends the link. */
bool broker_charge(struct broker *broker, struct link *link, size_t size);

/* Bytes from the client, in any pieces. They are taken whole; nothing is borrowed after the call. */
void broker_receive(struct broker *broker, struct link *link, const uint8_t *bytes, size_t len, uint64_t now_ns);

/* The transport ended without our doing: end of stream or error. Publishes the will where due. */
void broker_lost(struct broker *broker, struct link *link, uint64_t now_ns);

/*
 * The next link that has something for its caller: output to send, or the wish to end.
 * Each is yielded once per change; a caller whose transport is full asks again by link_output() when
 * it has room. NULL: nobody waits.
 */
struct link *broker_ready(struct broker *broker);

/* What is to be sent; borrowed until the next call on the broker. Empty: nothing. */
struct span link_output(const struct link *link);

/* That many bytes of it have gone. May let queued messages follow: see broker_ready(). */
void link_sent(struct broker *broker, struct link *link, size_t n, uint64_t now_ns);

/* Nothing more is to be read from the client for now: it has more to be worked on or sent than there is room for. */
bool link_paused(const struct link *link);

/* The broker wants the transport ended: after its output is sent, then FIN. No more input is read. */
bool link_closing(const struct link *link);

/* The link is gone for the transport's side: releases it. Calls broker_lost() first if need be. */
void broker_forget(struct broker *broker, struct link *link, uint64_t now_ns);

/*
 * When broker_tick() must be called at the latest; UINT64_MAX: not until something else happens. A tick does a bounded
 * amount of what is due; the deadline may be over still when it returns, so that the driver can look after others between.
 */
uint64_t broker_deadline(const struct broker *broker);
void broker_tick(struct broker *broker, uint64_t now_ns);

/* Say goodbye to everybody (5: DISCONNECT 0x8B, or 0x9C with the successor) and close all links once their output is sent. */
void broker_shutdown(struct broker *broker, uint64_t now_ns);

struct broker_stats {
	uint64_t received, sent, dropped;	/* PUBLISH packets from and to clients; messages dropped */
	uint32_t links, sessions, subscriptions, retained;
	size_t memory;				/* bytes kept for clients, see max_memory */
};
void broker_stats(const struct broker *broker, struct broker_stats *stats);

/* stats.memory counted anew, by walking all that is kept; for tests. 0: no memory to count in. */
size_t broker_count_memory(const struct broker *broker);

/* Bytes of heap one idle link of a clean session with a short client id costs, by asking the allocator's
 * sizes of the structures themselves; for `make bench`. */
size_t broker_idle_link_size(void);

#endif
