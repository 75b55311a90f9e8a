#include "pcap/deliveries.h"
#include "pcap/rows.h"

static struct content *content_seen(struct deliveries *v, const struct seen_packet *p)
{
	const struct endpoint *broker = &p->conversation->broker;
	uint64_t payload_hash, hash = content_hash(broker, p->topic, p->packet.payload, &payload_hash);

	return content_find(v, broker, p->topic, hash, payload_hash, p->packet.payload.len);
}

static void came(struct cell *cell, const struct message *m, struct pair *pair, const struct seen_packet *p, unsigned copies)
{
	cell->came = true;
	cell->qos = (uint8_t)publish_qos(&p->packet);
	cell->packet_id = p->packet.packet_id;
	cell->conversation = p->conversation->number;
	cell->copies = (uint8_t)(cell->copies + copies < UINT8_MAX ? cell->copies + copies : UINT8_MAX);
	cell->nth = m->nth;
	cell->published = m->when;
	cell->time_ns = p->when.time_ns;
	cell->pair = pair;
}

static void time_it(struct pair *pair, const struct message *m, const struct seen_packet *p)
{
	if (!(p->packet.flags & PUBLISH_DUP))
		histogram_add(&pair->latency, elapsed(m->when.time_ns, p->when.time_ns));
}

/* The expectation that this delivery meets: the oldest of its QoS, else the oldest. */
static struct expectation *choose(struct cell *cell, unsigned qos)
{
	unsigned looks = 8;

	for (struct expectation *e = cell->oldest; e && looks--; e = e->after_in_cell)
		if (e->qos == qos)
			return e;
	return cell->oldest;
}

static bool meets(struct deliveries *v, struct cell *cell, const struct seen_packet *p)
{
	struct expectation *e = cell ? choose(cell, publish_qos(&p->packet)) : NULL;

	if (!e)
		return false;
	struct pair *pair = e->pair;
	pair->delivered++;
	if (e->late)
		pair->reordered++;
	if (!e->away)
		time_it(pair, e->message, p);
	came(cell, e->message, pair, p, e->copies + (e->message->resent && e->message->qos == 1));
	overtake(v, e, &p->when);
	expectation_free(v, e);
	return true;
}

/* It came again, by nothing that explains it but what was given up. */
static enum delivered again(struct deliveries *v, struct cell *cell, const struct seen_packet *p)
{
	unsigned qos = publish_qos(&p->packet);

	if (cell->given_up) {
		cell->given_up--;
		return WAS_GIVEN_UP;
	}
	cell->pair->again[qos < 3 ? qos : 0]++;
	incident_add(v, DUPLICATE, cell->pair, cell->content->topic, (uint8_t)qos, &cell->published, &p->when);
	return WAS_AGAIN;
}

/* Whether every publication of it, and all subscriptions of r, have been seen. */
static bool may_judge(const struct deliveries *v, const struct receiver *r, const struct cell *cell)
{
	return r->complete && !cell->content->topic->strange && v->now_ns >= v->blind_until_ns;
}

static bool is_resent(const struct cell *cell, const struct seen_packet *p)
{
	return cell && cell->came && p->packet.flags & PUBLISH_DUP && cell->packet_id == p->packet.packet_id && cell->qos == publish_qos(&p->packet);
}

/* By a shared subscription of r. */
static bool for_group(struct deliveries *v, struct receiver *r, struct content *content, const struct seen_packet *p, enum delivered *how,
                      const struct pair **pair)
{
	struct topic_name *topic = content->topic;
	struct cell *second = NULL;
	unsigned looks = 64;

	if (!r->n_shared)
		return false;
	topic_matched(v, topic);
	for (struct subscribed *s = r->subscriptions; s && looks--; s = s->next_of_session) {
		bool matches = false;

		for (uint32_t i = 0; s->group && i < topic->n_matched && !matches; i++)
			matches = topic->matched[i] == s->node;
		struct cell *cell = matches ? cell_find(v, s->group, content) : NULL;
		if (!cell)
			continue;
		if (is_resent(cell, p)) {
			*how = WAS_RESENT;
			*pair = cell->pair;
			return true;
		}
		if (meets(v, cell, p)) {
			*how = WAS_EXPECTED;
			*pair = cell->pair;
			return true;
		}
		if (cell->came)
			second = cell;
	}
	if (!second || !may_judge(v, r, second))
		return false;
	*pair = second->pair;
	/* Another member may get what the first did not acknowledge before it went. */
	*how = p->packet.flags & PUBLISH_DUP || second->receiver->left_ns >= second->time_ns ? WAS_RESENT : again(v, second, p);
	return true;
}

/* A publication that r's known subscriptions do not cover: one more recent than what it had last. */
static struct message *beyond(const struct content *content, const struct cell *cell, unsigned qos)
{
	struct message *m = content->oldest;
	unsigned looks = 64;

	if (!cell || !cell->came)
		return content->newest && content->newest->qos >= qos ? content->newest : NULL;
	while (m && looks-- && m->nth <= cell->nth)
		m = m->next_same;
	return m && m->nth > cell->nth && m->qos >= qos ? m : NULL;
}

bool delivery_retained(struct deliveries *v, struct receiver *r, const struct seen_packet *p, bool may_be_live, const struct pair **pair)
{
	struct content *content = content_seen(v, p);
	struct cell *cell = content ? cell_find(v, r, content) : NULL;

	*pair = NULL;
	if (may_be_live && (is_resent(cell, p) || meets(v, cell, p))) {
		*pair = cell->pair;
		return true;
	}
	if (cell && cell->oldest)	/* a server that wrongly leaves the flag set? */
		expectation_end(v, cell->oldest, IS_UNOBSERVABLE);
	return false;
}

enum delivered delivery_seen(struct deliveries *v, struct receiver *r, const struct seen_packet *p, const struct pair **pair)
{
	struct content *content = content_seen(v, p);
	struct cell *cell = content ? cell_find(v, r, content) : NULL;
	unsigned qos = publish_qos(&p->packet);
	enum delivered how;
	struct message *m;

	*pair = NULL;
	if (!content)
		return WAS_UNKNOWN;
	if (is_resent(cell, p)) {
		*pair = cell->pair;
		return WAS_RESENT;
	}
	if (meets(v, cell, p)) {
		*pair = cell->pair;
		return WAS_EXPECTED;
	}
	if (cell && cell->came && cell->copies) {
		*pair = cell->pair;
		cell->copies--;
		return WAS_COPY;
	}
	if (for_group(v, r, content, p, &how, pair))
		return how;
	m = beyond(content, cell, qos);
	if (m) {
		struct pair *row = pair_of(v, m, r);

		*pair = row;
		row->beyond++;
		time_it(row, m, p);
		if (!cell)
			cell = cell_of(v, r, content);
		if (cell)
			came(cell, m, row, p, 0);
		return WAS_BEYOND;
	}
	if (!cell || !cell->came)
		return WAS_UNKNOWN;
	*pair = cell->pair;
	if (p->packet.flags & PUBLISH_DUP)
		return WAS_RESENT;
	return may_judge(v, r, cell) ? again(v, cell, p) : WAS_UNKNOWN;
}
