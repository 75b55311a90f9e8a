#ifndef HARNESS_DUES_PROMISES_H
#define HARNESS_DUES_PROMISES_H

#include "harness/dues.h"

/*
 * What a server has promised clients for a time, part of dues: a session that cannot be over yet, a keep alive that cannot have run out, an exchange that is open. It is judged by when our side
 * did things, and when it last heard from the server, so that how long anything was under way, or how coarsely a server reckons time, makes no difference.
 *
 *   5 MQTT-3.2.2-3, 3.1.1 MQTT-3.2.2-2	  CONNACK says that there is no session, though nobody but our side can have ended it, which has not
 *   5 MQTT-3.2.2-22, MQTT-3.1.2-22	  DISCONNECT says Keep Alive timeout when not even the connection is as old as that
 *   5 MQTT-4.1.0-1			  PUBCOMP knows nothing of a QoS 2 message that PUBREC has taken on this connection
 *
 * Sessions: who is refused, taken over by a connection that was never answered, sent away by the server, or connects as another user may have lost it. Nothing is judged in 3.1.
 */
enum { PROMISES_SESSIONS = 16, PROMISES_FLOWS = 16 };

/* Of an exchange of QoS 2 that our side began on this connection. NOTHING: it cannot be told what is answered. */
enum promised_state { PROMISED_NOTHING, PROMISED_SENT, PROMISED_RECEIVED, PROMISED_RELEASED };

struct promises {
	struct promised_session {	/* by what was accepted last for this client id */
		uint64_t key, user;	/* key 0: this place is free */
		uint64_t heard_ns;	/* its connection was open then */
		uint32_t expiry_s;	/* what the session outlives its connection by, at least */
		uint8_t version;
		uint8_t n_connecting;	/* CONNECTs that are not answered */
		int8_t client;		/* that has it; -1 */
		bool there;		/* it is, as long as it is not over */
		bool doubtful;		/* for good: it may be ended by what we do not see */
	} sessions[PROMISES_SESSIONS];
	struct promised_client {
		uint64_t key, user, begun_ns;	/* begun_ns: CONNECT was sent */
		uint32_t expiry_s;
		uint16_t keep_alive;
		uint8_t version, n_flows;	/* version 0: no CONNECT on this connection */
		bool clean, answered, server_keep_alive, broken;	/* broken: our side broke a rule */
		struct promised_flow { uint16_t packet_id; uint8_t state; } flows[PROMISES_FLOWS];
	} clients[DUES_CLIENTS];
};

void promises_begin(struct promises *promises);
/* As dues.h has them; own: names that nobody else has. */
void promises_sent(struct promises *promises, uint64_t now_ns, unsigned client, const struct packet *packet, bool lawful, bool own);
bool promises_received(struct promises *promises, uint64_t now_ns, unsigned client, const struct packet *packet, struct due_breach *breach);
void promises_ended(struct promises *promises, unsigned client, bool by_server);
bool promises_judge(enum version version, const char *clause);

#endif
