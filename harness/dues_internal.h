#ifndef HARNESS_DUES_INTERNAL_H
#define HARNESS_DUES_INTERNAL_H

#include "harness/dues.h"
#include "harness/dues_promises.h"

/* The inside of dues, shared by dues*.c and by nobody else. */

enum { SESSIONS = 32, SUBSCRIPTIONS = 96, MESSAGES = 160, MOST_TOPICS = 48, WILLS = 32, TEXT = 128, OWN = 16, MOST_PAYLOAD = 1 << 14, NOBODY = -1 };
enum { LONG_KEEP_ALIVE = 10 };		/* seconds: no connection is at rest for so long */

struct session {			/* at the broker, of one client id */
	uint64_t key;			/* 0: this place is free */
	int client;			/* that has it; NOBODY */
	uint8_t version;
	bool limited;			/* a Maximum Packet Size */
	bool temporary;			/* it ends with its connection */
	bool resumed;			/* by its connection: something of before may come on it */
	bool spoilt;			/* our side broke a rule in it */
	bool unknown;			/* it has subscriptions that did not fit */
	bool untold;			/* it has published what is not kept here: ids may be in use */
};

struct subscription {
	char filter[TEXT];		/* "": this place is free */
	uint32_t asked_at;		/* by the first SUBSCRIBE of the connection that has this filter */
	uint16_t packet_id;		/* of the SUBSCRIBE that waits for its SUBACK; 0: granted */
	uint8_t session, nth, qos;	/* nth of that SUBSCRIBE */
	bool no_local;
};

enum taken { SENT, RECEIVED /* QoS 2: PUBREC came */, COMPLETE, REFUSED };

struct message {
	uint64_t hash;			/* of topic and payload */
	char topic[TEXT];
	uint32_t owed;			/* bit per session that has not got it yet */
	uint32_t again;			/* those of them that got it, and lost their connection before they acknowledged it */
	uint32_t sure;			/* that were owed it when it was published, and by no shared subscription as well */
	uint32_t came;			/* that got this one, or another that looks like it */
	uint32_t got, got_0;		/* that got it at QoS 2; at QoS 0, on the connection they have */
	uint16_t packet_id;
	uint8_t publisher, qos, taken;	/* enum taken */
	bool retain;
	bool released;			/* PUBREL was sent: its packet id may mean another by now */
	bool alone;			/* no other has that topic and payload, and it is not retained: a second delivery is a duplicate */
	bool will;
	bool withheld;			/* all subscriptions by which its publisher would get it are No Local, and it is not retained */
	bool single;			/* it is published once, not retained, and no other looks like it: one member of a share gets it */
	char share[TEXT];		/* by which it came to */
	uint32_t shared_to;		/* bit per session, at QoS 0 */
};

enum will_state { WILL_ASKED, WILL_ARMED, WILL_REMOVED, WILL_LOOSE /* it may come or not */ };

struct will {
	uint64_t hash;			/* as a message's */
	uint64_t key;			/* its client's */
	uint32_t came;			/* bit per session: something that looks like it */
	char topic[TEXT];
	int session;
	int message;			/* that it has become; NOBODY */
	uint16_t unanswered_id;
	uint8_t unanswered;		/* the type of the last packet on its connection (PUBREC: a PUBLISH of QoS 2), until it is answered; 0 */
	uint8_t version, qos, state;	/* enum will_state */
	bool retain, delayed;
	bool lasting;			/* it does not expire, and is not large */
	bool brief;			/* the server may end its connection, as too quiet */
	bool contested;			/* others have connected by its client id meanwhile */
	bool closed;			/* by the server, behind the DISCONNECT */
};

struct delivery {			/* QoS 1 and 2, not acknowledged by us */
	uint16_t packet_id;
	uint8_t qos;
	int message;			/* NOBODY: none that we know */
	bool received;			/* QoS 2: PUBREC sent */
};

struct topic {				/* what is retained on it */
	char name[TEXT];
	uint32_t removed_at;		/* 0: it is not known to be empty */
	uint32_t loose;			/* bit per client that has published what is retained there at QoS 0 on the connection it has */
	uint16_t packet_id;		/* of the PUBLISH that removes it; 0: none is under way */
	uint8_t publisher, n_open;	/* messages to be retained that are not acknowledged yet */
	uint8_t only_for;		/* removed at QoS 0: what the client of that number less one sends is behind it; 0: for anybody */
	bool unknown;
};

struct dues {
	struct session sessions[SESSIONS];
	struct subscription subscriptions[SUBSCRIPTIONS];
	struct message messages[MESSAGES];
	struct topic topics[MOST_TOPICS];
	struct delivery deliveries[SESSIONS][64];
	struct will wills[WILLS];
	int will_of[DUES_CLIENTS];	/* of the connection that it has; NOBODY */
	int session_of[DUES_CLIENTS];	/* by client; NOBODY before CONNACK */
	struct connecting { uint64_t key; uint8_t version; bool clean, limited, temporary, lawful; } connecting[DUES_CLIENTS];
	uint32_t now;			/* counts packets */
	uint64_t now_ns;
	struct promises promises;
	unsigned n_subscriptions, n_messages, n_topics, n_wills;
	uint8_t n_deliveries[SESSIONS];
	bool murky;			/* something unreadable was sent */
	bool full;			/* messages did not fit */
	uint8_t own[OWN];		/* only names with this in them are nobody else's */
	size_t own_len;
};

static inline bool is_5(uint8_t version)
{
	return version == MQTT_5;
}

/* dues.c */
bool dues_keep_text(char text[TEXT], struct span s);
bool dues_is_own(const struct dues *d, struct span name);
bool dues_tell(struct due_breach *b, uint8_t version, const char *before_5, const char *in_5, unsigned client, const char *what, const char *topic);

/* dues_sessions.c: who is connected as whom, and has subscribed to what */
void dues_spoil(struct dues *d, unsigned client);
void dues_connack(struct dues *d, unsigned client, const struct packet *p);
void dues_connect(struct dues *d, unsigned client, const struct packet *p, bool lawful);
void dues_subscribe(struct dues *d, int s, const struct packet *p);
void dues_suback(struct dues *d, int s, const struct packet *p);
void dues_unsubscribe(struct dues *d, int s, const struct packet *p);
void dues_session_over(struct dues *d, unsigned client);	/* it has no connection any more that anything may come on */

/* dues_messages.c: what is published, retained and delivered */
uint64_t dues_hash_of(struct span topic, struct span payload);
void dues_may_come(struct dues *d, const struct will *w);	/* from now on */
void dues_publish_will(struct dues *d, struct will *w);
void dues_publish(struct dues *d, int s, const struct packet *p);
void dues_rumour(struct dues *d, const struct packet *p);	/* a PUBLISH that may count or not */
void dues_released(struct dues *d, int s, const struct packet *p);
void dues_acknowledged(struct dues *d, int s, const struct packet *p);
void dues_answered(struct dues *d, unsigned client, int s, const struct packet *p);
bool dues_delivered(struct dues *d, unsigned client, int s, const struct packet *p, struct span topic, struct due_breach *b);
bool dues_was_removed(struct dues *d, unsigned client, int s, const struct packet *p, struct span topic, struct due_breach *b);

/* dues_routes.c: to whom it must not go */
bool dues_withholds(const struct dues *d, int s, struct span topic);	/* No Local keeps what that session publishes from it */
bool dues_routed(struct dues *d, unsigned client, int s, const struct packet *p, struct span topic, struct due_breach *b);

/* dues_wills.c: what is left when a connection ends */
void dues_will_contested(struct dues *d, uint64_t key, bool clean);
void dues_will_asked(struct dues *d, unsigned client, const struct packet *p);
void dues_will_accepted(struct dues *d, unsigned client, const struct packet *p);
void dues_will_spoilt(struct dues *d, unsigned client);
void dues_will_sent(struct dues *d, unsigned client, const struct packet *p);
void dues_will_answered(struct dues *d, unsigned client, const struct packet *p);
void dues_will_ended(struct dues *d, unsigned client, enum due_end how);
bool dues_is_will(const struct dues *d, uint64_t hash);
void dues_will_came(struct dues *d, int s, uint64_t hash);	/* as it seems */
bool dues_will_was_removed(struct dues *d, unsigned client, int s, const struct packet *p, struct span topic, struct due_breach *b);

#endif
