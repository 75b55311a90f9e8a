#include "pcap/deliveries.h"

#include <stdlib.h>

#include "codec/fields.h"

/* ---- lanes ---- */

static struct lane *lane_of(struct deliveries *v, const struct receiver *r, const struct message *m, uint8_t qos)
{
	const struct topic_name *topic = m->content->topic;
	uint64_t hash = map_mix(map_mix((uintptr_t)r, (uintptr_t)m->publisher), (uintptr_t)topic + qos);
	struct lane *lane = map_find(&v->lanes, hash);

	while (lane && !(lane->receiver == r && lane->publisher == m->publisher && lane->topic == topic && lane->qos == qos))
		lane = map_more(lane);
	if (lane)
		return lane;
	lane = slab_take(&v->lane_room);
	if (!lane || !map_add(&v->lanes, &lane->entry, hash)) {
		if (lane)
			slab_give(&v->lane_room, lane);
		return NULL;
	}
	lane->receiver = r;
	lane->publisher = m->publisher;
	lane->topic = topic;
	lane->qos = qos;
	return lane;
}

static void leave_lane(struct deliveries *v, struct expectation *e)
{
	struct lane *lane = e->lane;

	if (!lane)
		return;
	*(e->before_in_lane ? &e->before_in_lane->after_in_lane : &lane->oldest) = e->after_in_lane;
	*(e->after_in_lane ? &e->after_in_lane->before_in_lane : &lane->newest) = e->before_in_lane;
	e->lane = NULL;
	if (!lane->oldest) {
		map_remove(&v->lanes, &lane->entry);
		slab_give(&v->lane_room, lane);
	}
}

static void leave_late(struct deliveries *v, struct expectation *e)
{
	if (!e->late)
		return;
	*(e->before_late ? &e->before_late->after_late : &v->first_late) = e->after_late;
	*(e->after_late ? &e->after_late->before_late : &v->last_late) = e->before_late;
	e->late = false;
}

/* e was delivered: those published before it on the same way should have been, too. */
void overtake(struct deliveries *v, struct expectation *e, const struct when *when)
{
	struct lane *lane = e->lane;

	while (lane && lane->oldest != e) {
		struct expectation *x = lane->oldest;

		leave_lane(v, x);	/* e is in it, so it stays */
		/* What was sent on another connection at QoS 0 may never have reached the broker. */
		if (x->away || (!x->message->qos && x->message->conversation != e->message->conversation))
			continue;
		x->late = true;
		x->overtaken = *when;
		x->before_late = v->last_late;
		x->after_late = NULL;
		*(v->last_late ? &v->last_late->after_late : &v->first_late) = x;
		v->last_late = x;
	}
}

/* ---- expectations ---- */

struct cell *cell_find(struct deliveries *v, const struct receiver *r, const struct content *content)
{
	struct cell *cell = map_find(&v->cells, map_mix((uintptr_t)r, (uintptr_t)content));

	while (cell && !(cell->receiver == r && cell->content == content))
		cell = map_more(cell);
	return cell;
}

struct cell *cell_of(struct deliveries *v, struct receiver *r, struct content *content)
{
	struct cell *cell = cell_find(v, r, content);

	if (cell)
		return cell;
	cell = slab_take(&v->cell_room);
	if (!cell || !map_add(&v->cells, &cell->entry, map_mix((uintptr_t)r, (uintptr_t)content))) {
		if (cell)
			slab_give(&v->cell_room, cell);
		return NULL;
	}
	cell->receiver = r;
	cell->content = content;
	cell->next = content->cells;
	content->cells = cell;
	r->refs++;
	return cell;
}

static bool expect(struct deliveries *v, struct message *m, struct receiver *r, uint8_t qos, bool away)
{
	struct expectation *e = r->newest;

	if (e && e->message == m) {	/* by overlapping subscriptions: the highest QoS, in one copy or several */
		e->copies += e->copies < UINT8_MAX;
		if (qos > e->qos)
			e->qos = qos;
		return true;
	}
	e = slab_take(&v->expectation_room);
	struct cell *cell = e ? cell_of(v, r, m->content) : NULL;
	if (!cell) {
		if (e)
			slab_give(&v->expectation_room, e);
		return false;
	}
	*e = (struct expectation){ .message = m, .cell = cell, .qos = qos, .away = away, .before = r->newest, .before_in_cell = cell->newest };
	*(r->newest ? &r->newest->after : &r->oldest) = e;
	r->newest = e;
	*(cell->newest ? &cell->newest->after_in_cell : &cell->oldest) = e;
	cell->newest = e;
	e->next_of_message = m->expected;
	e->link_of_message = &m->expected;
	if (e->next_of_message)
		e->next_of_message->link_of_message = &e->next_of_message;
	m->expected = e;
	e->pair = pair_of(v, m, r);
	e->pair->expected++;
	e->pair->away += away;
	return true;
}

/* Once its QoS is known for good. */
static void enter_lane(struct deliveries *v, struct expectation *e)
{
	struct lane *lane = e->cell->receiver->is_group ? NULL : lane_of(v, e->cell->receiver, e->message, e->qos);

	if (!lane)
		return;
	e->lane = lane;
	e->before_in_lane = lane->newest;
	*(lane->newest ? &lane->newest->after_in_lane : &lane->oldest) = e;
	lane->newest = e;
}

void expectation_free(struct deliveries *v, struct expectation *e)
{
	struct receiver *r = e->cell->receiver;
	struct cell *cell = e->cell;

	leave_lane(v, e);
	leave_late(v, e);
	*(e->before ? &e->before->after : &r->oldest) = e->after;
	*(e->after ? &e->after->before : &r->newest) = e->before;
	*(e->before_in_cell ? &e->before_in_cell->after_in_cell : &cell->oldest) = e->after_in_cell;
	*(e->after_in_cell ? &e->after_in_cell->before_in_cell : &cell->newest) = e->before_in_cell;
	*e->link_of_message = e->next_of_message;
	if (e->next_of_message)
		e->next_of_message->link_of_message = e->link_of_message;
	slab_give(&v->expectation_room, e);
}

/* The server keeps the time from when it got the message; so this may be early, never late. */
static bool may_have_expired(const struct message *m, uint64_t now_ns)
{
	return m->expires && now_ns >= m->when.time_ns + m->expiry * UINT64_C(1000000000);
}

void expectation_end(struct deliveries *v, struct expectation *e, enum verdict verdict)
{
	struct pair *pair = e->pair;

	if (verdict == IS_LOST) {
		pair->lost[e->qos]++;
		incident_add(v, LOST, pair, e->message->content->topic, e->qos, &e->message->when, &e->overtaken);
	} else if (verdict == IS_UNCONFIRMED) {
		pair->unconfirmed++;
		pair->expired += may_have_expired(e->message, v->now_ns);
	} else if (verdict == IS_UNOBSERVABLE) {
		pair->unobservable++;
	} else {
		pair->expected--;
		pair->away -= e->away;
	}
	e->cell->given_up += 1u + e->copies;
	expectation_free(v, e);
}

void expect_nothing(struct deliveries *v, struct receiver *r)
{
	while (r->oldest)
		expectation_end(v, r->oldest, IS_UNOBSERVABLE);
}

void receiver_left(struct deliveries *v, struct receiver *r)
{
	r->connected = false;
	for (struct subscribed *s = r->n_shared ? r->subscriptions : NULL; s; s = s->next_of_session)
		if (s->group)
			s->group->left_ns = v->now_ns;
	for (struct expectation *e = r->oldest, *next; e; e = next) {
		next = e->after;
		if (!r->persistent || !e->qos) {
			expectation_end(v, e, IS_UNOBSERVABLE);
			continue;
		}
		leave_late(v, e);
		e->pair->away += !e->away;
		e->away = true;
	}
}

/* ---- messages ---- */

static void unsettled_remove(struct deliveries *v, struct message *m)
{
	if (m->waits)
		map_remove(&v->unsettled, &m->entry);
	m->waits = false;
}

static void content_free(struct deliveries *v, struct content *content)
{
	for (struct cell *cell = content->cells, *next; cell; cell = next) {
		struct receiver *r = cell->receiver;

		next = cell->next;
		map_remove(&v->cells, &cell->entry);
		slab_give(&v->cell_room, cell);
		r->refs--;
		receiver_release(v, r);
	}
	map_remove(&v->contents, &content->entry);
	content->topic->refs--;
	slab_give(&v->content_room, content);
}

static void forget_oldest(struct deliveries *v, enum verdict verdict)
{
	struct message *m = v->oldest;
	struct content *content = m->content;

	while (m->expected)
		expectation_end(v, m->expected, verdict);
	unsettled_remove(v, m);
	v->oldest = m->next;
	if (!v->oldest)
		v->newest = NULL;
	content->oldest = m->next_same;	/* messages go in the order in which they came */
	if (!content->oldest)
		content_free(v, content);
	m->publisher->refs--;
	receiver_release(v, m->publisher);
	slab_give(&v->message_room, m);
}

/* Before it is old: its deliveries may be seen yet. */
static void give_up_oldest(struct deliveries *v)
{
	v->totals.no_room += v->oldest->expected && v->oldest->shown;
	forget_oldest(v, IS_UNOBSERVABLE);
}

static void judge_late(struct deliveries *v, struct expectation *e, uint64_t now_ns)
{
	const struct message *m = e->message;

	if (m->settled && !e->away && !may_have_expired(m, now_ns) && e->cell->receiver->connected)
		expectation_end(v, e, IS_LOST);
	else
		leave_late(v, e);	/* stays open: nothing proves that it is lost */
}

void window_pass(struct deliveries *v, uint64_t now_ns)
{
	v->now_ns = now_ns;
	while (v->first_late && now_ns > v->first_late->overtaken.time_ns + SETTLE_NS)
		judge_late(v, v->first_late, now_ns);
	while (v->oldest && now_ns > v->oldest->when.time_ns + WINDOW_NS)
		forget_oldest(v, IS_UNCONFIRMED);
}

void window_close(struct deliveries *v)
{
	while (v->oldest)
		forget_oldest(v, IS_UNCONFIRMED);
}

uint64_t content_hash(const struct endpoint *broker, struct span topic, struct span payload, uint64_t *payload_hash)
{
	*payload_hash = map_hash(payload.at, payload.len, 1);
	return map_hash(topic.at, topic.len, map_mix(*payload_hash, map_hash(broker->address, sizeof(broker->address), broker->family)));
}

struct content *content_find(struct deliveries *v, const struct endpoint *broker, struct span topic, uint64_t hash,
                                    uint64_t payload_hash, size_t payload_len)
{
	struct content *c = map_find(&v->contents, hash);

	while (c && !(c->payload_hash == payload_hash && c->payload_len == payload_len && c->topic->len == topic.len &&
	              !memcmp(c->topic->text, topic.at, topic.len) && c->family == broker->family &&
	              !memcmp(c->address, broker->address, sizeof(c->address))))
		c = map_more(c);
	return c;
}

static struct content *content_of(struct deliveries *v, const struct seen_packet *p)
{
	const struct endpoint *broker = &p->conversation->broker;
	uint64_t payload_hash, hash = content_hash(broker, p->topic, p->packet.payload, &payload_hash);
	struct content *c = content_find(v, broker, p->topic, hash, payload_hash, p->packet.payload.len);
	struct topic_name *topic;

	if (c)
		return c;
	topic = topic_name_of(v, p->topic);
	c = topic ? slab_take(&v->content_room) : NULL;
	if (!c || !map_add(&v->contents, &c->entry, hash)) {
		if (c)
			slab_give(&v->content_room, c);
		return NULL;
	}
	c->topic = topic;
	topic->refs++;
	c->payload_hash = payload_hash;
	c->payload_len = p->packet.payload.len;
	c->family = broker->family;
	memcpy(c->address, broker->address, sizeof(c->address));
	return c;
}

/* Whether the standard asks that the message be delivered by that subscription, as far as can be known. */
static bool is_due(const struct subscribed *s, const struct message *m, const struct seen_packet *p, uint8_t qos)
{
	const struct receiver *r = s->session;
	size_t size = p->bytes.len + p->topic.len + 64;		/* as a delivery, at most */

	if (s->state != GRANTED || (s->options & SUBSCRIBE_NO_LOCAL && r->version == MQTT_5 && r == m->publisher))
		return false;
	if (r->maximum_packet_size && size > r->maximum_packet_size)
		return false;
	return s->group || r->connected || (r->persistent && qos);
}

static bool expect_all(struct deliveries *v, struct message *m, const struct seen_packet *p)
{
	struct topic_name *topic = m->content->topic;
	bool unsure = false;

	topic_matched(v, topic);
	for (uint32_t i = 0; i < topic->n_matched; i++) {
		for (const struct subscribed *s = topic->matched[i]->first; s; s = s->next_of_node) {
			uint8_t qos = s->qos < m->qos ? s->qos : m->qos;

			if (!endpoint_equal(&s->session->broker, &m->broker))
				continue;
			if (!is_due(s, m, p, qos))
				unsure = true;
			else if (s->group && s->group->newest && s->group->newest->message == m)
				continue;	/* one of the group gets it */
			else if (!expect(v, m, s->group ? s->group : s->session, qos, !s->group && !s->session->connected))
				return false;
		}
	}
	for (uint32_t i = 0; unsure && i < topic->n_matched; i++) {	/* these may bring a copy more */
		for (const struct subscribed *s = topic->matched[i]->first; s; s = s->next_of_node) {
			struct expectation *e = s->session->newest;

			if (s->state != GRANTED && !s->group && e && e->message == m)
				e->copies += e->copies < UINT8_MAX;
		}
	}
	for (struct expectation *e = m->expected; e; e = e->next_of_message)
		enter_lane(v, e);
	return !topic->overflowed;
}

static struct message *message_new(struct deliveries *v, struct receiver *publisher, const struct seen_packet *p)
{
	while (v->message_room.n >= MOST_MESSAGES || v->content_room.n >= MOST_MESSAGES)
		give_up_oldest(v);
	while (v->oldest && (v->cell_room.n >= MOST_CELLS - MOST_CELLS / 8 || v->expectation_room.n >= MOST_EXPECTED - MOST_EXPECTED / 8))
		give_up_oldest(v);
	struct content *content = content_of(v, p);
	struct message *m = content ? slab_take(&v->message_room) : NULL;
	if (!m) {
		if (content && !content->oldest)
			content_free(v, content);
		return NULL;
	}
	m->content = content;
	m->publisher = publisher;
	publisher->refs++;
	*(content->oldest ? &content->newest->next_same : &content->oldest) = m;
	content->newest = m;
	*(v->oldest ? &v->newest->next : &v->oldest) = m;
	v->newest = m;
	m->nth = ++v->n_messages;
	return m;
}

void publish(struct deliveries *v, struct receiver *publisher, const struct seen_packet *p, bool doubtful, bool shown)
{
	struct message *m = message_new(v, publisher, p), *before;
	struct value expiry;

	if (!m) {
		v->totals.no_room += shown;
		return;
	}
	m->shown = shown;
	m->broker = p->conversation->broker;
	m->when = p->when;
	m->conversation = p->conversation->number;
	m->packet_id = p->packet.packet_id;
	m->qos = (uint8_t)publish_qos(&p->packet);
	m->doubtful = doubtful;
	m->expires = property_find(p->packet.properties, PROP_message_expiry_interval, &expiry);
	m->expiry = m->expires ? (uint32_t)expiry.number : 0;
	m->settled = !m->qos;
	if (m->qos) {
		before = message_unsettled(v, publisher, m->packet_id);
		if (before)
			unsettled_remove(v, before);
		m->waits = map_add(&v->unsettled, &m->entry, map_mix((uintptr_t)publisher, m->packet_id));
	}
	/* An empty retained message takes one away; not every server passes it on. */
	if (doubtful || (p->packet.flags & PUBLISH_RETAIN && !p->packet.payload.len))
		return;
	if (!expect_all(v, m, p)) {
		v->totals.no_room += shown;
		m->content->topic->strange = true;	/* how many copies are due is not known */
	}
}

struct message *message_unsettled(struct deliveries *v, const struct receiver *publisher, uint16_t packet_id)
{
	struct message *m = map_find(&v->unsettled, map_mix((uintptr_t)publisher, packet_id));

	while (m && !(m->publisher == publisher && m->packet_id == packet_id))
		m = map_more(m);
	return m;
}

void message_settle(struct deliveries *v, struct message *m)
{
	m->settled = true;
	unsettled_remove(v, m);
}

void message_reject(struct deliveries *v, struct message *m)
{
	v->totals.rejected += m->shown;
	while (m->expected)
		expectation_end(v, m->expected, IS_CANCELLED);
	unsettled_remove(v, m);
}

void message_resent(struct message *m)
{
	m->resent = true;
	for (struct cell *cell = m->content->cells; cell && m->qos == 1; cell = cell->next)
		cell->copies += cell->came && cell->copies < UINT8_MAX;
}
