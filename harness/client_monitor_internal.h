#ifndef HARNESS_CLIENT_MONITOR_INTERNAL_H
#define HARNESS_CLIENT_MONITOR_INTERNAL_H

#include "harness/client_monitor.h"

/* What the files of the client's judge share; nobody else includes this. */

enum client_row {
#define X(name, id_311, id_5, asks) CROW_##name,
#include "harness/client_monitor.def"
#undef X
	N_CROWS
};

/* client_monitor.state */
enum { C_NEW, C_CONNECTING, C_CONNECTED, C_REFUSED, C_ENDED };

/* client_monitor.bits */
enum {
	C_EXCUSED = 1 << 0,		/* form only */
	C_PARTIAL = 1 << 1,		/* its session was not seen from the start */
	C_RESUMED = 1 << 2,		/* CONNACK said Session Present */
	C_CLEAN_START = 1 << 3,
	C_WITH_METHOD = 1 << 4,
	C_PIPELINED = 1 << 5,		/* sent more behind CONNECT without waiting */
	C_KNOWS = 1 << 6,		/* has read CONNACK */
	C_DISCONNECTED = 1 << 7,	/* sent DISCONNECT */
	C_COUNTED = 1 << 8,		/* counted among its session's users */
	C_EXPIRES = 1 << 9,		/* 5: CONNECT gave a Session Expiry Interval above 0 */
	C_PERSISTS = 1 << 10,		/* 5: and so it is still */
	C_SERVER_KEEP_ALIVE = 1 << 11,
	C_ACTIVE = 1 << 12,		/* sent something else than DISCONNECT since CONNACK */
	C_SERVER_CLOSED = 1 << 13,
	C_SIZE_LIMITED = 1 << 14,
	C_FORGETFUL = 1 << 15,		/* published something new on a resumed session before it sent all again: it may have lost the session */
};

/* client_monitor.features */
enum { C_MAXIMUM_QOS = 3, C_RETAIN = 4, C_WILDCARD = 8, C_IDENTIFIER = 16, C_SHARED = 32,
       C_ALL_FEATURES = 2 | C_RETAIN | C_WILDCARD | C_IDENTIFIER | C_SHARED };

struct client_seen {			/* one packet on its way through the rules: the first one broken is reported */
	struct client_monitor *c;
	const struct packet *packet;
	const uint8_t *bytes;
	size_t len;
	bool broken;
};

void client_violate(struct client_seen *seen, enum client_row row, const char *field, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
void client_violate_form(struct client_seen *seen, const struct finding *finding);
void client_hold(struct client_monitor *c, enum client_row row);
void client_hold_packet(struct client_seen *seen);

static inline bool client_is_5(const struct client_monitor *c)
{
	return c->version == MQTT_5;
}

/* What CONNACK said is in force, and the client knows it. */
static inline bool client_is_limited(const struct client_monitor *c)
{
	return c->state == C_CONNECTED && c->bits & C_KNOWS;
}

/* ---- exchanges under way ---- */

/* Of the client's ids: waiting for PUBACK, PUBREC, PUBREL to be sent, PUBCOMP; SUBACK or UNSUBACK. */
enum { OURS_QOS1 = 1, OURS_QOS2, OURS_RECEIVED, OURS_RELEASED, OURS_REQUEST };
/* Of deliveries: PUBACK, PUBREC, PUBREL, PUBCOMP is due. */
enum { THEIRS_QOS1 = 1, THEIRS_QOS2, THEIRS_RECEIVED, THEIRS_RELEASED };

enum {	/* client_flow.bits */
	F_HERE = 1,			/* PUBLISH went over this connection */
	F_RECEIVED_HERE = 2,		/* PUBREC came on this connection */
	F_RELEASED_HERE = 4,		/* PUBREL went over this connection */
	F_AGAIN = 8,			/* the same delivery came several times: its order is nobody's */
	F_LOST = 16,			/* of a session that the server has no more */
	F_STRAY = 32,			/* PUBREC came for nothing that was seen */
	F_COUNTED = 64,			/* in `opened` */
};

struct client_flow {
	uint16_t id;			/* 0: the slot is free */
	uint8_t state, bits;
	uint8_t answers, completions;	/* theirs: PUBLISHes and PUBRELs not answered */
	uint16_t topic;			/* ours: of topic, 0 for none, */
	uint32_t sample;		/* and payload, to tell a message sent again from another */
	uint32_t order;			/* of PUBLISH; while it waits for PUBREL to be sent, of PUBREC */
};

struct client_flow *client_flow_find(const struct client_flows *flows, uint16_t id);
struct client_flow *client_flow_add(struct client_world *world, struct client_flows *flows, uint16_t id);	/* NULL: no room */
void client_flow_remove(struct client_flows *flows, struct client_flow *flow);	/* others may move */
void client_flows_free(struct client_world *world, struct client_flows *flows);

void *client_room_take(struct client_world *world, size_t size);	/* zeroed; NULL: no more room */
void client_room_give(struct client_world *world, void *block, size_t size);

void client_session_connecting(struct client_monitor *c);
void client_session_accepted(struct client_monitor *c, bool present);
void client_session_closed(struct client_monitor *c, bool persists);
void client_session_lose(struct client_monitor *c);

void client_sent_publish(struct client_seen *seen);
void client_sent_ack(struct client_seen *seen);		/* PUBACK, PUBREC, PUBREL, PUBCOMP */
void client_sent_request(struct client_seen *seen);	/* SUBSCRIBE, UNSUBSCRIBE */
void client_judge_leaving(struct client_seen *seen);	/* DISCONNECT: what should have been sent before */
void client_got(struct client_monitor *c, const struct packet *p);	/* PUBLISH and all acknowledgements */

#endif
