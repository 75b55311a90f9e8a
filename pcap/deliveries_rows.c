#include "pcap/deliveries.h"
#include "pcap/rows.h"

/* Which row a message counts in, and what is listed one by one. */

static uint64_t key_of(const struct receiver *r)
{
	return r->known ? r->entry.hash : r->number;
}

struct pair *pair_of(struct deliveries *v, const struct message *m, const struct receiver *to)
{
	const struct receiver *from = m->publisher;
	uint64_t from_key = key_of(from), to_key = key_of(to), hash = map_mix(from_key, to_key);
	struct pair *p = map_find(&v->pairs, hash);

	if (!m->shown)
		return &v->hidden;
	while (p && !(p->from_key == from_key && p->to_key == to_key))
		p = map_more(p);
	if (p)
		return p;
	p = slab_take(&v->pair_room);
	if (!p || !map_add(&v->pairs, &p->entry, hash)) {
		if (p)
			slab_give(&v->pair_room, p);
		v->n_others++;
		return &v->others;
	}
	p->from_key = from_key;
	p->to_key = to_key;
	p->from_number = from->number;
	p->to_number = to->number;
	p->from_named = from->known;
	p->to_named = to->known;
	p->to_group = to->is_group;
	p->from_len = from->shown;
	p->to_len = to->shown;
	memcpy(p->from, from->name, sizeof(p->from));
	memcpy(p->to, to->name, sizeof(p->to));
	*v->last_row = p;
	v->last_row = &p->next;
	return p;
}

void incident_add(struct deliveries *v, enum incident_kind kind, const struct pair *pair, const struct topic_name *topic, uint8_t qos,
                   const struct when *published, const struct when *seen)
{
	struct incident incident = { .kind = kind, .pair = pair, .published = *published, .seen = *seen, .qos = qos };

	if (pair == &v->hidden)
		return;
	incident.topic_len = (uint8_t)whole_characters(span_of(topic->text, topic->len), DELIVERED_TOPIC_SHOWN);
	memcpy(incident.topic, topic->text, incident.topic_len);
	if (v->json && v->n_incidents < MOST_INCIDENTS_JSON)
		incident_json(v->out, &incident, v->start_ns);
	else if (v->incidents && v->n_incidents < MOST_INCIDENTS)
		v->incidents[v->n_incidents] = incident;
	v->n_incidents++;
}
