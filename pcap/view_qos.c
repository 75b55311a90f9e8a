#include "pcap/views.h"

#include <stdlib.h>

#include "codec/fields.h"
#include "pcap/qos.h"
#include "pcap/rows.h"

/*
 * Exchanges with a packet id: PUBLISH at QoS 1 and 2 of both directions, SUBSCRIBE and UNSUBSCRIBE. Flows belong to the
 * session, so they go on where a client comes back and Session Present is set. Bounds: MOST_FLOWS open at a time, a row
 * for each of the first MOST_ROWS conversations that have any, MOST_HANGING listed. An exchange that a hole may have
 * completed is unknown, not hanging.
 */

static struct qos_view *of(struct observer *o)
{
	return (struct qos_view *)(void *)o;
}

/* ---- sessions ---- */

static void session_drop(struct qos_view *v, struct qos_session *s)
{
	if (s->known)
		map_remove(&v->sessions, &s->entry);
	slab_give(&v->session_room, s);
}

static struct qos_session *session_new(struct qos_view *v, struct party *party)
{
	struct qos_session *s = slab_take(&v->session_room);

	if (s)
		s->party = party;
	party->session = s;
	return s;
}

static void give_up(struct qos_view *v, struct party *party)
{
	struct qos_session *s = party->session;

	party->session = NULL;
	if (!s)
		return;
	s->party = NULL;
	if (!s->flows)
		session_drop(v, s);
}

/* The client has that id: what is known of its session goes on here. */
static void identify(struct qos_view *v, struct party *party, const struct conversation *c, struct span id)
{
	uint8_t where[19] = { c->broker.family, (uint8_t)(c->broker.port >> 8), (uint8_t)c->broker.port };
	uint64_t hash;
	struct qos_session *s;

	memcpy(where + 3, c->broker.address, 16);
	hash = map_hash(id.at, id.len, map_hash(where, sizeof(where), 0));
	for (s = map_find(&v->sessions, hash); s; s = map_more(s))
		if (s->id_len == id.len && !memcmp(s->id, id.at, id.len < ID_SHOWN ? id.len : ID_SHOWN) &&
		    !memcmp(s->broker, where, sizeof(where)))
			break;
	if (s && party->session == s)
		return;
	if (s) {
		if (s->party)
			s->party->session = NULL;
		if (party->session) {	/* flows that began before the id was known stay with the nameless session */
			qos_session_hang(v, party->session, 0, SESSION_OVER);
			give_up(v, party);
		}
		s->party = party;
		party->session = s;
		return;
	}
	s = party->session ? party->session : session_new(v, party);
	if (!s || s->known || !map_add(&v->sessions, &s->entry, hash))
		return;
	s->known = true;
	memcpy(s->broker, where, sizeof(where));
	s->id_len = (uint16_t)id.len;
	s->id_shown = (uint8_t)whole_characters(id, ID_SHOWN);
	memcpy(s->id, id.at, id.len < ID_SHOWN ? id.len : ID_SHOWN);
}

static void on_connect(struct qos_view *v, struct party *party, const struct seen_packet *p)
{
	if (party->connect)
		return;
	party->connect = true;
	party->version = p->packet.version;
	party->clean = p->packet.connect_flags & CONNECT_CLEAN_START;
	party->expiry = (uint32_t)property_number(p->packet.properties, PROP_session_expiry_interval, 0);
	if (p->packet.client_id.len)
		identify(v, party, p->conversation, p->packet.client_id);
	if (party->session && party->clean)
		qos_session_hang(v, party->session, party->number, SESSION_OVER);
}

static void on_connack(struct qos_view *v, struct party *party, const struct seen_packet *p)
{
	struct value id;

	if (party->connack || !party->connect)
		return;
	party->connack = true;
	party->expiry = (uint32_t)property_number(p->packet.properties, PROP_session_expiry_interval, party->expiry);
	if (property_find(p->packet.properties, PROP_assigned_client_identifier, &id))
		identify(v, party, p->conversation, id.bytes);
	/* 3.1 does not say whether a session goes on */
	if (party->session && !p->packet.reason && party->version != MQTT_3_1 && !(p->packet.ack_flags & 1))
		qos_session_hang(v, party->session, party->number, SESSION_OVER);
}

/* ---- packets ---- */

static void on_publish(struct qos_view *v, struct party *party, const struct seen_packet *p)
{
	unsigned qos = publish_qos(&p->packet);
	enum exchange exchange = (p->from == FROM_SERVER ? BROKER_QOS_1 : CLIENT_QOS_1) + (qos == 2);
	struct qos_flow *f;

	if (!qos || qos > 2)
		return;
	f = qos_flow_find(v, party->session, side_of(exchange), p->packet.packet_id);
	if (f && p->packet.flags & PUBLISH_DUP && f->exchange == exchange) {
		f->resent++;
		f->last = p->when;
		f->row->stats[exchange].resent++;
		v->totals.stats[exchange].resent++;
		return;
	}
	if (f)
		qos_flow_hang(v, f, ID_REUSED);
	f = qos_flow_new(v, party, exchange, p);
	if (!f)
		return;
	f->begun = !(p->packet.flags & PUBLISH_DUP);
	if (!f->begun) {
		f->row->stats[exchange].resent++;
		v->totals.stats[exchange].resent++;
		f->resent++;
	}
	f->topic_known = p->topic.at;
	f->topic_len = (uint8_t)whole_characters(p->topic, TOPIC_SHOWN);
	if (p->topic.len)
		memcpy(f->topic, p->topic.at, f->topic_len);
}

static void on_request(struct qos_view *v, struct party *party, enum exchange exchange, const struct seen_packet *p)
{
	struct qos_flow *f = qos_flow_find(v, party->session, side_of(exchange), p->packet.packet_id);

	if (f && p->packet.flags & PUBLISH_DUP && f->exchange == exchange) {	/* 3.1 resends requests */
		f->resent++;
		f->row->stats[exchange].resent++;
		v->totals.stats[exchange].resent++;
		return;
	}
	if (f)
		qos_flow_hang(v, f, ID_REUSED);
	f = qos_flow_new(v, party, exchange, p);
	if (f)
		f->begun = true;
}

/* PUBACK, PUBREC, PUBCOMP, SUBACK, UNSUBACK, and PUBREL of the flow's sender. */
static void on_answer(struct qos_view *v, struct party *party, unsigned side, const struct seen_packet *p)
{
	struct qos_flow *f = qos_flow_find(v, party->session, side, p->packet.packet_id);
	unsigned type = p->packet.type;
	bool failed = type != SUBACK && type != UNSUBACK && p->packet.reason >= 0x80, second = f && f->exchange % 2;

	if (!f || (side < side_of(SUBSCRIBES) && (type == PUBACK) == second) || (type == SUBACK && f->exchange != SUBSCRIBES) ||
	    (type == UNSUBACK && f->exchange != UNSUBSCRIBES)) {
		v->totals.strays++;
		return;
	}
	for (size_t i = 0; (type == SUBACK || type == UNSUBACK) && i < p->packet.list.len; i++)
		failed |= p->packet.list.at[i] >= 0x80;
	f->last = p->when;
	if (f->holes != party->session->holes) {	/* the hole may have held this one's end and another one's beginning */
		f->begun = false;
		f->at[RECEIVED].frame = f->at[RELEASED].frame = 0;
	}
	switch (type) {
	case PUBREC:
		if (f->state == PUBLISHED && f->begun)
			qos_flow_phase(v, f, TO_ANSWER, &f->at[PUBLISHED], &p->when);
		if (failed) {
			qos_flow_complete(v, party, f, p, true);
		} else if (f->state == PUBLISHED) {
			f->state = RECEIVED;
			f->at[RECEIVED] = p->when;
		}
		break;
	case PUBREL:
		if (f->state == RELEASED) {
			f->resent++;
			f->row->stats[f->exchange].resent++;
			v->totals.stats[f->exchange].resent++;
			break;
		}
		qos_flow_phase(v, f, TO_RELEASE, &f->at[RECEIVED], &p->when);
		f->state = RELEASED;
		f->at[RELEASED] = p->when;
		break;
	case PUBCOMP:
		qos_flow_phase(v, f, TO_COMPLETE, &f->at[RELEASED], &p->when);
		if (f->begun)
			qos_flow_phase(v, f, WHOLE, &f->at[PUBLISHED], &p->when);
		qos_flow_complete(v, party, f, p, failed);
		break;
	default:
		if (f->begun)
			qos_flow_phase(v, f, TO_ANSWER, &f->at[PUBLISHED], &p->when);
		qos_flow_complete(v, party, f, p, failed);
		break;
	}
}

static void on_packet(struct observer *o, const struct seen_packet *p)
{
	struct qos_view *v = of(o);
	struct party *party = p->conversation->of[o->slot];
	unsigned mine = p->from == FROM_SERVER ? side_of(BROKER_QOS_1) : side_of(CLIENT_QOS_1);

	if (!party || p->status != CODEC_OK)
		return;
	if (p->packet.type == CONNECT) {
		on_connect(v, party, p);
		return;
	}
	if (!party->session)
		return;
	switch (p->packet.type) {
	case CONNACK:
		on_connack(v, party, p);
		break;
	case PUBLISH:
		on_publish(v, party, p);
		break;
	case PUBREL:
		on_answer(v, party, mine, p);
		break;
	case PUBACK:
	case PUBREC:
	case PUBCOMP:
		on_answer(v, party, !mine, p);
		break;
	case SUBSCRIBE:
	case UNSUBSCRIBE:
		on_request(v, party, p->packet.type == SUBSCRIBE ? SUBSCRIBES : UNSUBSCRIBES, p);
		break;
	case SUBACK:
	case UNSUBACK:
		on_answer(v, party, side_of(SUBSCRIBES), p);
		break;
	case DISCONNECT:
		party->expiry = (uint32_t)property_number(p->packet.properties, PROP_session_expiry_interval, party->expiry);
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
		json_capture(of(o)->out, "qos", when);
}

static void on_opened(struct observer *o, struct conversation *c, const struct when *when)
{
	struct qos_view *v = of(o);
	struct party *party = slab_take(&v->party_room);

	(void)when;
	if (!party)
		return;
	party->number = c->number;
	c->of[o->slot] = party;
	session_new(v, party);
}

static void on_hole(struct observer *o, struct conversation *c, const struct hole *hole)
{
	struct party *party = c->of[o->slot];

	(void)hole;
	if (party && party->session)
		party->session->holes++;
}

static bool outlives(const struct party *party)
{
	return party->session->known && party->connect && (party->version == MQTT_5 ? party->expiry > 0 : !party->clean);
}

static void on_ended(struct observer *o, struct conversation *c, enum conversation_end how, const struct when *when)
{
	struct qos_view *v = of(o);
	struct party *party = c->of[o->slot];

	(void)when;
	if (!party)
		return;
	c->of[o->slot] = NULL;
	if (party->session) {
		if (!outlives(party))
			qos_session_hang(v, party->session, 0, how == ENDED_WITH_CAPTURE ? CAPTURE_OVER : SESSION_OVER);
		give_up(v, party);
	}
	slab_give(&v->party_room, party);
}

static void on_finish(struct observer *o, const struct when *when)
{
	struct qos_view *v = of(o);

	for (struct qos_session *s = map_any(&v->sessions, NULL), *next; s; s = next) {
		next = map_any(&v->sessions, s);
		qos_session_hang(v, s, 0, CAPTURE_OVER);
		session_drop(v, s);
	}
	if (v->json)
		qos_json(v->out, v->rows, &v->others, v->n_others, &v->totals, v->start_ns);
	else
		qos_print(v->out, v->rows, &v->others, v->n_others, &v->totals, v->hanging,
		          v->n_hanging < MOST_HANGING ? v->n_hanging : MOST_HANGING, v->start_ns, when->time_ns);
}

static void on_free(struct observer *o)
{
	struct qos_view *v = of(o);

	for (struct qos_row *r = v->rows; r; r = r->next)
		for (unsigned i = 0; i < N_EXCHANGES; i++)
			histogram_release(&r->took[i]);
	for (unsigned i = 0; i < N_EXCHANGES; i++) {
		histogram_release(&v->others.took[i]);
		for (unsigned k = 0; k < N_PHASES; k++)
			histogram_release(&v->totals.phases[i][k]);
	}
	slab_release(&v->flow_room);
	slab_release(&v->session_room);
	slab_release(&v->party_room);
	slab_release(&v->row_room);
	map_release(&v->flows);
	map_release(&v->sessions);
	free(v->hanging);
	free(v);
}

static const struct observer_ops ops = {
	.started = on_started, .opened = on_opened, .packet = on_packet, .hole = on_hole, .ended = on_ended, .finish = on_finish, .free = on_free,
};

struct observer *qos_view_new(struct out *out, const struct view_options *options)
{
	struct qos_view *v = calloc(1, sizeof(*v));

	if (!v)
		return NULL;
	v->observer.ops = &ops;
	v->out = out;
	v->json = options->json;
	v->last_row = &v->rows;
	v->others.id_len = 0xff;
	v->flow_room = (struct slab){ .size = sizeof(struct qos_flow), .most = MOST_FLOWS };
	v->session_room = (struct slab){ .size = sizeof(struct qos_session), .most = MOST_SESSIONS };
	v->party_room = (struct slab){ .size = sizeof(struct party), .most = MOST_SESSIONS };
	v->row_room = (struct slab){ .size = sizeof(struct qos_row), .most = MOST_ROWS };
	if (!v->json)
		v->hanging = calloc(MOST_HANGING, sizeof(*v->hanging));
	return &v->observer;
}
