#ifndef FUZZ_ROUTES_H
#define FUZZ_ROUTES_H

#include <stdbool.h>
#include <string.h>

#include "codec/codec.h"
#include "codec/fields.h"
#include "fuzz/must.h"

/*
 * Where messages go, as far as that can be said without knowing the broker's subscriptions: to nobody whose subscriptions all have No Local when it alone has published them, and as often as
 * they were published, all members taken together, to those who have nothing but one shared subscription. A message is told by its topic and payload. Sessions that were resumed, topics
 * that an alias stands for, and more messages than fit are not judged.
 */
enum { ROUTES_MOST = 128, ROUTES_ENDS = 8 };

struct route {
	uint64_t hash;
	uint32_t published, shared;	/* shared: deliveries of QoS 0 to those who only share */
	unsigned by;			/* ends */
	bool foreign;			/* by a will, or on a connection that is over */
};

struct routes {
	struct route at[ROUTES_MOST];
	unsigned n;
	bool opaque;
	uint64_t filter;		/* the shared one; 0: there is none */
	bool filters;			/* there are several */
	struct route_end {
		bool fresh, plain, local;	/* plain: it has asked for what is not shared; local: for what is not No Local */
	} ends[ROUTES_ENDS];
};

static inline uint64_t route_hash(uint64_t hash, struct span s)
{
	for (size_t i = 0; i < s.len; i++)
		hash = (hash ^ s.at[i]) * UINT64_C(0x100000001b3);
	return (hash ^ s.len << 8) * UINT64_C(0x100000001b3) | 1;
}

static inline struct route *route_of(struct routes *r, struct span topic, struct span payload, bool make)
{
	uint64_t hash = route_hash(route_hash(UINT64_C(0xcbf29ce484222325), topic), payload);
	unsigned i = 0;

	while (i < r->n && r->at[i].hash != hash)
		i++;
	if (i == r->n && (!make || r->n == ROUTES_MOST)) {
		r->opaque |= make;
		return NULL;
	}
	if (i == r->n)
		r->at[r->n++] = (struct route){ .hash = hash };
	return &r->at[i];
}

static inline void routes_opened(struct routes *r, unsigned end)
{
	r->ends[end] = (struct route_end){ 0 };
	for (unsigned i = 0; i < r->n; i++)
		r->at[i].foreign |= r->at[i].by >> end & 1;
}

static inline void routes_asked(struct routes *r, struct route_end *e, const struct packet *p)
{
	struct filter_walk walk = filters_of(p);
	struct span filter;
	uint8_t options;

	while (filter_next(&walk, &filter, &options)) {
		uint64_t hash = route_hash(1, filter);

		e->local |= p->version != MQTT_5 || !(options & SUBSCRIBE_NO_LOCAL);
		if (p->version != MQTT_5 || filter.len < 7 || memcmp(filter.at, "$share/", 7)) {
			e->plain = true;
			continue;
		}
		r->filters |= r->filter && r->filter != hash;
		r->filter = hash;
	}
}

static inline void routes_sent(struct routes *r, unsigned end, const struct packet *p)
{
	struct route *route;

	if (p->type == CONNECT && p->connect_flags & CONNECT_WILL && (route = route_of(r, p->will_topic, p->will_payload, true))) {
		route->published++;
		route->foreign = true;
	} else if (p->type == SUBSCRIBE) {
		routes_asked(r, &r->ends[end], p);
	} else if (p->type == PUBLISH && !p->topic.len) {
		r->opaque = true;
	} else if (p->type == PUBLISH && (route = route_of(r, p->topic, p->payload, true))) {
		route->published++;
		route->by |= 1u << end;
	}
}

static inline void routes_received(struct routes *r, unsigned end, const struct packet *p)
{
	struct route_end *e = &r->ends[end];
	struct route *route;

	if (p->type == CONNACK)
		e->fresh = !p->reason && !(p->ack_flags & 1);
	if (p->type != PUBLISH || r->opaque || !e->fresh || p->flags & PUBLISH_RETAIN || !(route = route_of(r, p->topic, p->payload, false)))
		return;
	MUST(e->local || route->foreign || route->by != 1u << end);		/* [5 MQTT-3.8.3-3] */
	if (e->plain || r->filters || publish_qos(p))
		return;
	route->shared++;
	MUST(route->shared <= route->published);
}

#endif
