#ifndef REFERENCE_BROKER_BROKEN_H
#define REFERENCE_BROKER_BROKEN_H

#include "reference-broker/internal.h"

/*
 * The choke points on which faults hang: broken.c (what is received, stored, resumed and
 * timed), broken_match.c (who gets a message), broken_send.c (what goes out) and broken_rights.c (what is denied). A broker
 * that was told to break nothing passes each of them unchanged.
 */

void effects_init(struct broker *broker);

static inline bool effect_set(const struct broker *b, unsigned version, enum effect e)
{
	return b->broken && (b->effects[version == MQTT_5][e / 64] >> e % 64 & 1);
}

static inline bool broken(const struct link *link, enum effect e)
{
	return effect_set(link->broker, link->version, e);
}

/* In either version: where the client's is not known yet, or no client is concerned. */
static inline bool effect_any(const struct broker *b, enum effect e)
{
	return effect_set(b, MQTT_3_1_1, e) || effect_set(b, MQTT_5, e);
}

/* ---- received ---- */

enum received_as { TAKEN, REFUSED, PASSED_OVER };

/* packet is NULL where it could not be decoded, finding where nothing is wrong with it. */
enum received_as received_by_fault(struct link *link, struct span bytes, const struct packet *packet,
                                   const struct finding *finding);
bool unconnected_by_fault(struct link *link, struct span bytes);	/* true: stays although no CONNECT came */
unsigned version_by_fault(const struct broker *b, struct span name, unsigned level);	/* 0: refused */
bool bad_connect_by_fault(struct link *link, const struct finding *finding);	/* true: dealt with */
bool unreadable_by_fault(struct link *link, enum effect lax);		/* true: not ended, and waited for in vain */
bool not_welcome_by_fault(const struct link *link, const struct packet *connect);	/* true: refused */
bool refused_by_fault(struct link *link);				/* true: not ended */
struct span id_by_fault(struct link *link, struct span id, bool assigned);
bool taken_over_by_fault(struct link *link, struct session *s);		/* true: s lives on beside the new one */
bool publish_by_fault(struct link *link, const struct packet *p);	/* true: dealt with */
bool acknowledged_by_fault(struct link *link, const struct packet *ack, const struct delivery *d);
void failed_by_fault(struct link *link);				/* after our DISCONNECT */
void denied_by_fault(struct link *link, const struct packet *p, struct span topic);	/* a PUBLISH that is refused */
bool granted_by_fault(const struct link *link, struct span filter, bool shared);	/* a filter that is denied */
bool kept_by_fault(const struct link *link);				/* true: it is refused and subscribed to */
bool got_by_fault(const struct session *s, bool retained);		/* true: messages of a denied topic come all the same */
void aliases_kept_by_fault(struct link *link, struct session *s);

/* ---- stored ---- */

enum retained_as { RETAIN_NOTHING, RETAIN_FORGET, RETAIN_STORE };

enum retained_as retained_by_fault(struct broker *b, struct message *m, const struct node *node);
struct message *will_by_fault(struct link *link, struct session *s, struct message *will);
bool will_wanted(struct link *link, struct session *s, bool publish_will);
bool will_kept_by_fault(struct session *s, struct message *m);
void ended_by_fault(struct session *s);
bool handling_by_fault(struct link *link, bool made, bool retained, unsigned handling);
bool unsubscribed_by_fault(struct link *link, struct span filter, size_t nth);	/* true: the filter's own stays */

/* ---- resumed, timed ---- */

void resumed_by_fault(struct link *link, bool present);
void disconnected_by_fault(struct session *s);
void times_by_fault(struct session *s);
void queued_by_fault(struct session *s, struct delivery *d);
bool held_by_fault(const struct session *s, const struct delivery *d);	/* true: not sent yet */

/* ---- matched ---- */

struct route {				/* one message to one session */
	unsigned qos, granted, copies;
	size_t n_ids;
	bool retain;
};

struct span folded_by_fault(struct broker *b, struct span path);
bool matched_by_fault(struct broker *b, const struct node *node, struct span topic, unsigned version);
struct node *match_nodes(struct broker *b, const struct message *m);
void routed_by_fault(struct session *to, const struct message *m, struct route *route);
unsigned shared_qos_by_fault(const struct group *g, const struct subscription *s);
bool passed_on(const struct session *s, bool may_be);
bool shared_by_fault(const struct group *g, struct message *m);		/* true: sent to its members */
uint32_t identifier_by_fault(const struct group *g, const struct subscription *s);
bool kept_back_by_fault(const struct broker *b, const struct message *m);

/* ---- sent ---- */

bool sent_by_fault(struct link *link, struct packet *packet, struct lies *lies);	/* false: not sent */
uint32_t expiry_by_fault(const struct link *link, const struct message *m, uint32_t life);
bool unsuback_by_fault(struct link *link, uint8_t *codes, size_t n);	/* true: not sent */
void reverse_user_properties(struct broker *b, uint8_t *list, size_t len);

/* Shared by broken.c and broken_session.c: the session forgets every delivery, begun or waiting. */
void drop_started(struct link *link);

#endif
