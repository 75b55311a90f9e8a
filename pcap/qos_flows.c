#include "pcap/qos.h"
#include "pcap/rows.h"

static uint64_t flow_hash(const struct qos_session *s, unsigned side, uint16_t packet_id)
{
	return map_mix((uint64_t)(uintptr_t)s, (uint64_t)side << 16 | packet_id);
}

struct qos_flow *qos_flow_find(struct qos_view *v, const struct qos_session *s, unsigned side, uint16_t packet_id)
{
	struct qos_flow *f = map_find(&v->flows, flow_hash(s, side, packet_id));

	while (f && !(f->session == s && f->packet_id == packet_id && side_of(f->exchange) == side))
		f = map_more(f);
	return f;
}

static void flow_drop(struct qos_view *v, struct qos_flow *f)
{
	map_remove(&v->flows, &f->entry);
	if (f->before)
		f->before->after = f->after;
	else
		f->session->flows = f->after;
	if (f->after)
		f->after->before = f->before;
	slab_give(&v->flow_room, f);
}

/* A conversation has a row from its first exchange on. */
static struct qos_row *row_of(struct qos_view *v, struct party *party)
{
	struct qos_session *s = party->session;

	if (party->row)
		return party->row;
	party->row = slab_take(&v->row_room);
	if (!party->row) {
		v->n_others++;
		return party->row = &v->others;
	}
	party->row->conversation = party->number;
	party->row->id_len = s->known ? s->id_shown : 0xff;
	if (s->known)
		memcpy(party->row->id, s->id, ID_SHOWN);
	*v->last_row = party->row;
	v->last_row = &party->row->next;
	return party->row;
}

struct qos_flow *qos_flow_new(struct qos_view *v, struct party *party, enum exchange exchange, const struct seen_packet *p)
{
	struct qos_session *s = party->session;
	struct qos_flow *f = slab_take(&v->flow_room);

	if (!f || !map_add(&v->flows, &f->entry, flow_hash(s, side_of(exchange), p->packet.packet_id))) {
		if (f)
			slab_give(&v->flow_room, f);
		v->totals.no_room++;
		return NULL;
	}
	f->session = s;
	f->after = s->flows;
	if (f->after)
		f->after->before = f;
	s->flows = f;
	f->row = row_of(v, party);
	f->conversation = party->number;
	f->holes = s->holes;
	f->packet_id = p->packet.packet_id;
	f->exchange = (uint8_t)exchange;
	f->at[PUBLISHED] = f->last = p->when;
	f->row->stats[exchange].count++;
	v->totals.stats[exchange].count++;
	return f;
}

void qos_flow_phase(struct qos_view *v, const struct qos_flow *f, enum phase phase, const struct when *from, const struct when *to)
{
	if (from->frame)
		histogram_add(&v->totals.phases[f->exchange][phase], elapsed(from->time_ns, to->time_ns));
}

/* The exchange is over by this packet. */
void qos_flow_complete(struct qos_view *v, struct party *party, struct qos_flow *f, const struct seen_packet *p, bool failed)
{
	struct exchange_stats *of_row = &f->row->stats[f->exchange], *all = &v->totals.stats[f->exchange];
	bool whole = f->begun;

	of_row->completed++;
	all->completed++;
	if (failed) {
		of_row->failed++;
		all->failed++;
		v->totals.reasons[p->packet.type == PUBACK ? 0 : p->packet.type == PUBREC ? 1 : 2][p->packet.reason]++;
	}
	if (f->conversation != party->number) {
		of_row->resumed++;
		all->resumed++;
	}
	if (whole)
		histogram_add(&f->row->took[f->exchange], elapsed(f->at[PUBLISHED].time_ns, p->when.time_ns));
	flow_drop(v, f);
}

void qos_flow_hang(struct qos_view *v, struct qos_flow *f, enum why_hanging why)
{
	struct exchange_stats *of_row = &f->row->stats[f->exchange], *all = &v->totals.stats[f->exchange];
	struct hanging hanging = { .flow = *f, .why = why };

	if (f->holes != f->session->holes) {
		of_row->unknown++;
		all->unknown++;
	} else {
		of_row->hanging++;
		all->hanging++;
		if (v->json && v->n_hanging < MOST_HANGING_JSON)
			qos_json_hanging(v->out, &hanging, v->start_ns);
		else if (v->hanging && v->n_hanging < MOST_HANGING)
			v->hanging[v->n_hanging] = hanging;
		v->n_hanging++;
	}
	flow_drop(v, f);
}

/* All flows of the session but those that began on the connection `but` hang. */
void qos_session_hang(struct qos_view *v, struct qos_session *s, uint32_t but, enum why_hanging why)
{
	struct qos_flow *oldest = s->flows;

	while (oldest && oldest->after)
		oldest = oldest->after;
	for (struct qos_flow *f = oldest, *younger; f; f = younger) {
		younger = f->before;
		if (f->conversation != but)
			qos_flow_hang(v, f, why);
	}
}
