#include "pcap/views.h"

#include <stdlib.h>

#include "codec/fields.h"
#include "pcap/deliveries.h"
#include "pcap/rows.h"

/*
 * Which deliveries a client's PUBLISH led to, how long they took, and which are missing or came twice. A loss is stated only
 * where the subscription was granted before, the subscriber stayed connected, the broker took the message, and a later one from
 * the same publisher under the same topic was delivered SETTLE_NS ago; nothing is stated across a hole, or of sessions
 * whose CONNECT was not seen. --where chooses what is shown of it, by what was published: all packets are followed. The bounds are in deliveries.h.
 */

struct listener {		/* one connection */
	struct receiver *r;		/* NULL: no room, or another connection has the session now */
	bool connect, connack, clean, left;
	uint8_t version;
	uint32_t number, expiry, maximum_packet_size;
	uint64_t will;
	struct will *has_will;
};

static struct deliveries *of(struct observer *o)
{
	return (struct deliveries *)(void *)o;
}

/* ---- sessions ---- */

static void detach(struct deliveries *v, struct listener *l)
{
	struct receiver *r = l->r;

	l->r = NULL;
	if (!r)
		return;
	r->listener = NULL;
	receiver_release(v, r);
}

/* There is no session from before, or it ends here. */
static void discard_session(struct deliveries *v, struct receiver *r)
{
	r->refs++;		/* stays, whatever goes */
	expect_nothing(v, r);
	unsubscribe_all(v, r);
	r->refs--;
	r->complete = true;
}

static void identify(struct deliveries *v, struct listener *l, const struct conversation *c, struct span id)
{
	struct receiver *r = receiver_find(v, &c->broker, id, false);

	if (!l->r)
		return;
	if (!r) {
		receiver_name(v, l->r, &c->broker, id, false);
		return;
	}
	if (r == l->r)
		return;
	if (r->listener) {
		r->listener->r = NULL;
		receiver_left(v, r);
	}
	r->listener = l;
	discard_session(v, l->r);
	detach(v, l);
	l->r = r;
	r->number = l->number;
}

static bool persists(const struct listener *l)
{
	return l->version == MQTT_5 ? l->expiry > 0 : !l->clean;
}

static void on_will(struct deliveries *v, struct listener *l, const struct seen_packet *p)
{
	uint64_t payload_hash;

	if (!(p->packet.connect_flags & CONNECT_WILL))
		return;
	l->has_will = slab_take(&v->will_room);
	if (!l->has_will)
		return;
	l->will = content_hash(&p->conversation->broker, p->packet.will_topic, p->packet.will_payload, &payload_hash);
	if (!map_add(&v->wills, &l->has_will->entry, l->will)) {
		slab_give(&v->will_room, l->has_will);
		l->has_will = NULL;
	}
}

static void on_connect(struct deliveries *v, struct listener *l, const struct seen_packet *p)
{
	if (l->connect)
		return;
	l->connect = true;
	l->version = p->packet.version;
	l->clean = p->packet.connect_flags & CONNECT_CLEAN_START;
	l->expiry = (uint32_t)property_number(p->packet.properties, PROP_session_expiry_interval, 0);
	l->maximum_packet_size = (uint32_t)property_number(p->packet.properties, PROP_maximum_packet_size, 0);
	on_will(v, l, p);
	if (p->packet.client_id.len)
		identify(v, l, p->conversation, p->packet.client_id);
	l->r->persistent = persists(l);
	if (l->clean)
		discard_session(v, l->r);
}

static void on_connack(struct deliveries *v, struct listener *l, const struct seen_packet *p)
{
	struct receiver *r;
	struct value id;

	if (l->connack || !l->connect)
		return;
	l->connack = true;
	if (p->packet.reason)
		return;
	l->expiry = (uint32_t)property_number(p->packet.properties, PROP_session_expiry_interval, l->expiry);
	if (property_find(p->packet.properties, PROP_assigned_client_identifier, &id))
		identify(v, l, p->conversation, id.bytes);
	r = l->r;
	if (l->version == MQTT_3_1 && !l->clean) {	/* does not say whether there was a session */
		discard_session(v, r);
		r->complete = false;
	} else if (!l->clean && !(p->packet.ack_flags & 1)) {
		discard_session(v, r);
	}
	r->persistent = persists(l);
	r->connected = true;
	r->version = l->version;
	r->number = l->number;
	r->broker = p->conversation->broker;
	r->maximum_packet_size = l->maximum_packet_size;
}

static void leave(struct deliveries *v, struct listener *l)
{
	if (l->left || !l->r)
		return;
	l->left = true;
	l->r->persistent = l->connack && persists(l);
	receiver_left(v, l->r);
}

static void on_disconnect(struct deliveries *v, struct listener *l, const struct seen_packet *p)
{
	l->expiry = (uint32_t)property_number(p->packet.properties, PROP_session_expiry_interval, l->expiry);
	if (l->has_will && p->from == FROM_CLIENT && p->packet.reason != 0x04) {
		map_remove(&v->wills, &l->has_will->entry);
		slab_give(&v->will_room, l->has_will);
		l->has_will = NULL;
	}
	leave(v, l);
}

/* ---- messages ---- */

static void be_blind(struct deliveries *v)
{
	v->blind_until_ns = v->now_ns + WINDOW_NS;
}

static void from_client(struct deliveries *v, struct listener *l, const struct seen_packet *p)
{
	struct message *m = publish_qos(&p->packet) ? message_unsettled(v, l->r, p->packet.packet_id) : NULL;
	bool shown = !v->where || where_matches(v->where, p, v->start_ns);

	v->n_published++;
	v->totals.published += shown;
	if (!p->topic.at) {
		v->totals.unresolved += shown;
		be_blind(v);
		return;
	}
	if (m && p->packet.flags & PUBLISH_DUP) {
		message_resent(m);
		return;
	}
	publish(v, l->r, p, !p->sure || p->packet.flags & PUBLISH_DUP, shown);
}

static bool keeps_retain_flag(const struct receiver *r)
{
	unsigned looks = 256;

	for (const struct subscribed *s = r->version == MQTT_5 ? r->subscriptions : NULL; s; s = s->next_of_session)
		if (!looks-- || s->options & SUBSCRIBE_RETAIN_AS_PUBLISHED)
			return true;
	return !r->complete;
}

static uint64_t *unexplained(struct deliveries *v, const struct seen_packet *p)
{
	uint64_t payload_hash, hash = content_hash(&p->conversation->broker, p->topic, p->packet.payload, &payload_hash);
	struct topic_name *topic;

	if (map_find(&v->wills, hash))
		return &v->totals.wills;
	if (p->topic.len && p->topic.at[0] == '$')
		return &v->totals.brokers_own;
	topic = topic_name_of(v, p->topic);
	if (topic)
		topic->strange = true;
	return &v->totals.unmatched;
}

/* The total that it counts in beside its row; NULL: none. */
static uint64_t *follow_delivery(struct deliveries *v, struct listener *l, const struct seen_packet *p, const struct pair **pair)
{
	if (!p->topic.at) {		/* which it is cannot be said */
		expect_nothing(v, l->r);
		return &v->totals.unresolved;
	}
	if (p->packet.flags & PUBLISH_RETAIN)
		return delivery_retained(v, l->r, p, keeps_retain_flag(l->r), pair) ? NULL : &v->totals.retained;
	switch (delivery_seen(v, l->r, p, pair)) {
	case WAS_EXPECTED:
	case WAS_BEYOND:
	case WAS_AGAIN:
		return NULL;
	case WAS_COPY:
		return &v->totals.copies;
	case WAS_RESENT:
		return &v->totals.resent;
	case WAS_GIVEN_UP:
		return &v->totals.unmatched;
	case WAS_UNKNOWN:
		break;
	}
	return unexplained(v, p);
}

static void from_broker(struct deliveries *v, struct listener *l, const struct seen_packet *p)
{
	const struct pair *pair = NULL;
	uint64_t *total = follow_delivery(v, l, p, &pair);

	if (v->where && (!pair || pair == &v->hidden))
		return;
	v->totals.deliveries++;
	if (total)
		++*total;
}

/* PUBACK, PUBREC and PUBCOMP of the broker, PUBREL of the client: what became of what the client published. */
static void on_answer(struct deliveries *v, struct listener *l, const struct seen_packet *p)
{
	struct message *m = message_unsettled(v, l->r, p->packet.packet_id);

	if (!m || (p->packet.type == PUBACK) != (m->qos == 1))
		return;
	if (p->packet.type != PUBREL && p->packet.reason >= 0x80)
		message_reject(v, m);
	else if (p->packet.type != PUBREC)
		message_settle(v, m);
}

static void on_unreadable(struct deliveries *v, struct listener *l, const struct seen_packet *p)
{
	if (p->from == FROM_SERVER)
		expect_nothing(v, l->r);
	else
		be_blind(v);
}

static void on_packet(struct observer *o, const struct seen_packet *p)
{
	struct deliveries *v = of(o);
	struct listener *l = p->conversation->of[o->slot];
	bool server = p->from == FROM_SERVER;

	window_pass(v, p->when.time_ns);
	if (!l || !l->r)
		return;
	if (p->status != CODEC_OK) {
		on_unreadable(v, l, p);
		return;
	}
	switch (p->packet.type) {
	case CONNECT:
		on_connect(v, l, p);
		break;
	case CONNACK:
		on_connack(v, l, p);
		break;
	case PUBLISH:
		v->n_passed++;
		if (server)
			from_broker(v, l, p);
		else
			from_client(v, l, p);
		break;
	case PUBACK:
	case PUBREC:
	case PUBCOMP:
		if (server)
			on_answer(v, l, p);
		break;
	case PUBREL:
		if (!server)
			on_answer(v, l, p);
		break;
	case SUBSCRIBE:
		subscribe(v, l->r, &p->packet);
		break;
	case SUBACK:
		subscribe_answered(v, l->r, p->packet.packet_id, p->packet.list);
		break;
	case UNSUBSCRIBE:
		unsubscribe(v, l->r, &p->packet);
		break;
	case UNSUBACK:
		unsubscribe_answered(v, l->r, p->packet.packet_id);
		break;
	case DISCONNECT:
		on_disconnect(v, l, p);
		break;
	default:
		break;
	}
}

/* ---- the rest of an observer ---- */

static void on_started(struct observer *o, const struct when *when)
{
	of(o)->start_ns = when->time_ns;
	if (of(o)->json)
		json_capture(of(o)->out, "deliveries", when);
}

static void on_opened(struct observer *o, struct conversation *c, const struct when *when)
{
	struct deliveries *v = of(o);
	struct listener *l = slab_take(&v->listener_room);

	(void)when;
	if (!l)
		return;
	l->number = c->number;
	l->r = receiver_new(v);
	if (l->r) {
		l->r->listener = l;
		l->r->number = c->number;
		l->r->broker = c->broker;
	}
	c->of[o->slot] = l;
}

static void on_hole(struct observer *o, struct conversation *c, const struct hole *hole)
{
	struct deliveries *v = of(o);
	struct listener *l = c->of[o->slot];

	if (hole->from == FROM_CLIENT)
		be_blind(v);
	if (!l || !l->r)
		return;
	expect_nothing(v, l->r);
	if (hole->from == FROM_CLIENT) {	/* it may have subscribed or unsubscribed */
		unsubscribe_all(v, l->r);
		l->r->complete = false;
	}
}

static void on_closed(struct observer *o, struct conversation *c, enum sender from, bool reset, const struct when *when)
{
	struct listener *l = c->of[o->slot];

	(void)from;
	(void)reset;
	window_pass(of(o), when->time_ns);
	if (l)
		leave(of(o), l);
}

static void on_ended(struct observer *o, struct conversation *c, enum conversation_end how, const struct when *when)
{
	struct deliveries *v = of(o);
	struct listener *l = c->of[o->slot];

	if (!l)
		return;
	window_pass(v, when->time_ns);
	c->of[o->slot] = NULL;
	if (l->r && how != ENDED_WITH_CAPTURE) {
		leave(v, l);
		if (!l->r->persistent)
			discard_session(v, l->r);
	}
	detach(v, l);
	slab_give(&v->listener_room, l);
}

static void on_finish(struct observer *o, const struct when *when)
{
	struct deliveries *v = of(o);

	window_pass(v, when->time_ns);
	window_close(v);
	if (v->json)
		deliveries_json(v);
	else
		deliveries_print(v);
}

static void on_free(struct observer *o)
{
	struct deliveries *v = of(o);
	struct slab *rooms[] = {
		&v->receiver_room, &v->subscribed_room, &v->message_room, &v->content_room, &v->cell_room, &v->expectation_room, &v->lane_room,
		&v->pair_room, &v->listener_room, &v->will_room,
	};
	struct map *maps[] = { &v->names, &v->sessions, &v->subscribed, &v->contents, &v->cells, &v->lanes, &v->unsettled, &v->pairs, &v->wills };

	for (struct topic_name *t = map_any(&v->names, NULL), *next; t; t = next) {
		next = map_any(&v->names, t);
		free(t->matched);
		free(t);
	}
	for (struct pair *p = v->rows; p; p = p->next)
		histogram_release(&p->latency);
	histogram_release(&v->others.latency);
	histogram_release(&v->hidden.latency);
	filter_index_release(&v->filters);
	for (size_t i = 0; i < sizeof(maps) / sizeof(maps[0]); i++)
		map_release(maps[i]);
	for (size_t i = 0; i < sizeof(rooms) / sizeof(rooms[0]); i++)
		slab_release(rooms[i]);
	free(v->incidents);
	free(v);
}

static const struct observer_ops ops = {
	.started = on_started, .opened = on_opened, .packet = on_packet, .hole = on_hole, .closed = on_closed, .ended = on_ended,
	.finish = on_finish, .free = on_free,
};

uint64_t deliveries_view_matched(const struct observer *view)
{
	return ((const struct deliveries *)(const void *)view)->totals.published;
}

struct observer *deliveries_view_new(struct out *out, const struct view_options *options)
{
	struct deliveries *v = calloc(1, sizeof(*v));

	if (!v)
		return NULL;
	v->observer.ops = &ops;
	v->out = out;
	v->json = options->json;
	v->where = options->where;
	v->generation = 1;
	v->last_row = &v->rows;
	v->receiver_room = (struct slab){ .size = sizeof(struct receiver), .most = MOST_CLIENTS };
	v->subscribed_room = (struct slab){ .size = sizeof(struct subscribed), .most = MOST_SUBSCRIBED };
	v->message_room = (struct slab){ .size = sizeof(struct message), .most = MOST_MESSAGES };
	v->content_room = (struct slab){ .size = sizeof(struct content), .most = MOST_MESSAGES };
	v->cell_room = (struct slab){ .size = sizeof(struct cell), .most = MOST_CELLS };
	v->expectation_room = (struct slab){ .size = sizeof(struct expectation), .most = MOST_EXPECTED };
	v->lane_room = (struct slab){ .size = sizeof(struct lane), .most = MOST_EXPECTED };
	v->pair_room = (struct slab){ .size = sizeof(struct pair), .most = MOST_PAIRS };
	v->listener_room = (struct slab){ .size = sizeof(struct listener), .most = 65536 };
	v->will_room = (struct slab){ .size = sizeof(struct will), .most = MOST_WILLS };
	if (!v->json)
		v->incidents = calloc(MOST_INCIDENTS, sizeof(*v->incidents));
	return &v->observer;
}
