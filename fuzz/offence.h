#ifndef FUZZ_OFFENCE_H
#define FUZZ_OFFENCE_H

#include <stdbool.h>
#include <stdint.h>

#include "codec/codec.h"
#include "codec/fields.h"
#include "fuzz/must.h"

/*
 * What a client has done that a broker must end its connection for, by each packet alone and by the little that this knows of the connection: no monitor judges that, for it sees what a
 * broker sends. And which of its flows the broker has said it has open, so that it finds them.
 */
enum { OFFENCE_FLOWS = 16, OFFENCE_ALIASES = 64 };

struct offence {
	const char *why;		/* NULL: none */
	bool connecting;		/* CONNECT was sent */
	uint64_t aliases;		/* that were mapped, bit n of number n; those from OFFENCE_ALIASES on are not judged */
	uint16_t flows[OFFENCE_FLOWS];	/* ids of PUBRECs; what does not fit is forgotten */
	unsigned n_flows;
};

static inline void offence_by_alias(struct offence *o, const struct packet *p)
{
	struct value alias;

	if (p->type != PUBLISH || p->version != MQTT_5 || !property_find(p->properties, PROP_topic_alias, &alias) || alias.number >= OFFENCE_ALIASES)
		return;
	if (p->topic.len)
		o->aliases |= UINT64_C(1) << alias.number;
	else if (!(o->aliases >> alias.number & 1))
		o->why = "an alias that this connection has not mapped";	/* [5 MQTT-3.3.2-7] */
}

/* A whole packet of that type; packet is NULL when it cannot be read. version: the connection's so far */
static inline void offence_sent(struct offence *o, const struct packet *p, unsigned type, bool overlong, enum version version)
{
	struct finding finding;

	if (o->why)
		return;
	if (!p)
		o->why = "it cannot be read";
	else if (check(p, FROM_CLIENT, &finding) != CODEC_OK)
		o->why = finding.why;
	else if (o->connecting != (type != CONNECT))
		o->why = o->connecting ? "a second CONNECT" : "no CONNECT yet";		/* [MQTT-3.1.0-1, MQTT-3.1.0-2] */
	else if (overlong && (type == CONNECT ? p->version : version) == MQTT_5)
		o->why = "overlong Remaining Length";
	else
		offence_by_alias(o, p);
	o->connecting = true;
}

/* A flow whose PUBREC came on this connection is not unknown until PUBCOMP ends it. */
static inline void offence_received(struct offence *o, const struct packet *p)
{
	unsigned i = 0;

	if (p->type != PUBREC && p->type != PUBCOMP)
		return;
	while (i < o->n_flows && o->flows[i] != p->packet_id)
		i++;
	if (p->type == PUBREC && p->reason < 0x80 && i == o->n_flows && i < OFFENCE_FLOWS) {
		o->flows[o->n_flows++] = p->packet_id;
	} else if (p->type == PUBCOMP && i < o->n_flows) {
		MUST(p->reason != 0x92);	/* Packet Identifier not found */
		o->flows[i] = o->flows[--o->n_flows];
	}
}

#endif
