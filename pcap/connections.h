#ifndef PCAP_CONNECTIONS_H
#define PCAP_CONNECTIONS_H

#include "pcap/conversation.h"
#include "pcap/map.h"
#include "pcap/out.h"

/* What the view of connections knows of one; view_connections.c gathers it, connection_print.c writes it, connection_ranks.c compares it. */

enum { MOST_SUBSCRIPTIONS = 32, UNANSWERED = 0xff };

struct subscription_seen {
	struct subscription_seen *next;
	uint16_t packet_id, nth;	/* of the SUBSCRIBE, and which filter in it, while it waits for its SUBACK; of the UNSUBSCRIBE, too */
	uint8_t options, granted;	/* granted: the code of SUBACK, or UNANSWERED */
	bool waits, ends, ended;	/* for SUBACK; for UNSUBACK; unsubscribed */
	uint16_t len;
	uint8_t filter[];
};

enum how_ended { IS_OPEN, BY_DISCONNECT, BY_REFUSAL, BY_FIN, BY_RESET, BY_KEEP_ALIVE, BY_TAKEOVER, BY_PORTS_REUSED, BY_SILENCE, BY_CAPTURE_END };

struct connection {
	struct map_entry by_client;	/* of the map by client id, while `known` */
	struct connection *next;	/* in order of appearance */
	bool known, over;
	uint32_t number, stream;
	struct endpoint client, broker;
	uint8_t via, version;
	bool version_known, from_start;
	uint8_t *client_id;		/* NULL: not known */
	uint16_t client_id_len;
	struct when opened, last_from_client, last;
	uint64_t packets[2], bytes[2];	/* FROM_CLIENT, FROM_SERVER */
	uint32_t holes;
	uint64_t missing, skipped;

	struct when connect, connack;	/* frame 0: not seen */
	uint64_t unreadable_connack;	/* its frame; 0: none */
	uint8_t connect_flags, connack_reason;
	bool session_present, assigned, has_server_keep_alive, has_expiry, has_server_expiry;
	uint16_t keep_alive, server_keep_alive;
	uint32_t expiry, server_expiry;
	uint8_t *will_topic;
	uint16_t will_topic_len;
	uint32_t will_delay, will_payload_len;

	struct subscription_seen *subscriptions, **last_subscription;
	uint32_t n_subscriptions, n_listed;

	struct when disconnects[2];	/* DISCONNECT of each side */
	uint8_t disconnect_reasons[2];
	struct when closes[2];		/* FIN or RST */
	bool resets[2];
	uint32_t taken_by;		/* number of the connection that came with the same client id; 0: none */
	struct when taken_at;

	/* Once it is over */
	uint8_t how;			/* enum how_ended */
	uint8_t who;			/* enum sender, 0: neither */
	bool derived;			/* how is concluded, not said by a packet */
	struct when ended;
};

/* The columns' titles, once. */
void connection_heading(struct out *out);
void connection_print(struct out *out, const struct connection *c, uint64_t start_ns);
void connection_json(struct out *out, const struct connection *c, uint64_t start_ns);

/* The connections that carry the most: by packets and bytes, sent and received by the client. Zeroed is empty. */
enum { MOST_RANKED = 5, RANKED_BY = 4 };

struct connection_ranks {
	struct ranked {
		uint64_t n;		/* 0: nobody */
		uint32_t number;
		bool named;
		uint8_t len, client_id[32];	/* as far as it is shown */
	} by[RANKED_BY][MOST_RANKED];
};

void ranks_add(struct connection_ranks *ranks, const struct connection *c);
void ranks_print(struct out *out, struct connection_ranks *ranks);

const char *connection_how(enum how_ended how);	/* "keep_alive_expired" */

#endif
