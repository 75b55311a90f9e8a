#include "pcap/views.h"

#include <stdlib.h>

#include "codec/fields.h"
#include "pcap/connections.h"
#include "pcap/rows.h"

/*
 * A row for each connection, in order of appearance: one that has ended waits until those before it have, too, but at most
 * MOST_WAITING wait. Live, a row is shown when its connection ends. Of each, MOST_SUBSCRIPTIONS filters are listed; those
 * for which MOST_BYTES have no room are counted. Of more than MOST_RANKED, the end says which carry the most.
 */

enum { MOST_BYTES = 14 << 20, MOST_WAITING = 4096 };

struct connections {
	struct observer observer;
	struct out *out;
	bool json, live, titled;
	uint64_t start_ns;
	struct connection *first, **last;
	size_t bytes, waiting;
	uint64_t n, no_room, by_how[BY_CAPTURE_END + 1];
	struct map by_client;
	struct connection_ranks ranks;
};

static struct connections *of(struct observer *o)
{
	return (struct connections *)(void *)o;
}

/* ---- memory ---- */

static void *take(struct connections *v, size_t size)
{
	void *room = v->bytes + size <= MOST_BYTES ? calloc(1, size) : NULL;

	if (room)
		v->bytes += size;
	return room;
}

static void give(struct connections *v, void *room, size_t size)
{
	if (room)
		v->bytes -= size;
	free(room);
}

static uint8_t *copy(struct connections *v, struct span s, uint16_t *len)
{
	uint8_t *room = take(v, s.len + 1);

	if (room && s.len)
		memcpy(room, s.at, s.len);
	*len = room ? (uint16_t)s.len : 0;
	return room;
}

static void forget_client(struct connections *v, struct connection *c)
{
	if (c->known)
		map_remove(&v->by_client, &c->by_client);
	c->known = false;
}

static void drop(struct connections *v, struct connection *c)
{
	forget_client(v, c);
	for (struct subscription_seen *s = c->subscriptions, *next; s; s = next) {
		next = s->next;
		give(v, s, sizeof(*s) + s->len);
	}
	give(v, c->will_topic, c->will_topic_len + 1u);
	give(v, c->client_id, c->client_id_len + 1u);
	give(v, c, sizeof(*c));
}

/* ---- what the packets say ---- */

static void on_connect(struct connections *v, struct connection *c, const struct seen_packet *p)
{
	const struct packet *q = &p->packet;
	struct value value;
	uint64_t hash;

	if (c->connect.frame)
		return;
	c->connect = p->when;
	c->connect_flags = q->connect_flags;
	c->keep_alive = q->keep_alive;
	c->has_expiry = property_find(q->properties, PROP_session_expiry_interval, &value);
	c->expiry = c->has_expiry ? (uint32_t)value.number : 0;
	if (q->connect_flags & CONNECT_WILL) {
		c->will_topic = copy(v, q->will_topic, &c->will_topic_len);
		c->will_payload_len = (uint32_t)q->will_payload.len;
		c->will_delay = (uint32_t)property_number(q->will_properties, PROP_will_delay_interval, 0);
	}
	if (!q->client_id.len || c->client_id)	/* a CONNACK that came first may have assigned one */
		return;
	c->client_id = copy(v, q->client_id, &c->client_id_len);
	hash = map_hash(q->client_id.at, q->client_id.len, c->broker.port);
	for (struct connection *other = map_find(&v->by_client, hash); other && c->client_id; other = map_more(other)) {
		if (other->client_id_len != c->client_id_len || memcmp(other->client_id, c->client_id, c->client_id_len) ||
		    !endpoint_equal(&other->broker, &c->broker))
			continue;
		if (!other->closes[1].frame) {		/* else something else made the broker close it */
			other->taken_by = c->number;
			other->taken_at = p->when;
		}
		forget_client(v, other);
		break;
	}
	c->known = c->client_id && map_add(&v->by_client, &c->by_client, hash);
}

static void on_connack(struct connections *v, struct connection *c, const struct seen_packet *p)
{
	const struct packet *q = &p->packet;
	struct value value;

	if (c->connack.frame)
		return;
	c->connack = p->when;
	c->connack_reason = q->reason;
	c->session_present = q->ack_flags & 1 && c->version != MQTT_3_1;
	c->has_server_keep_alive = property_find(q->properties, PROP_server_keep_alive, &value);
	c->server_keep_alive = c->has_server_keep_alive ? (uint16_t)value.number : 0;
	c->has_server_expiry = property_find(q->properties, PROP_session_expiry_interval, &value);
	c->server_expiry = c->has_server_expiry ? (uint32_t)value.number : 0;
	if (!c->client_id && property_find(q->properties, PROP_assigned_client_identifier, &value)) {
		c->client_id = copy(v, value.bytes, &c->client_id_len);
		c->assigned = true;
	}
}

static void subscribed(struct connections *v, struct connection *c, struct span filter, uint8_t options, uint16_t packet_id, uint16_t nth)
{
	struct subscription_seen *s = c->subscriptions;

	while (s && !(s->len == filter.len && !memcmp(s->filter, filter.at, filter.len)))
		s = s->next;
	if (!s) {
		c->n_subscriptions++;
		s = c->n_listed < MOST_SUBSCRIPTIONS ? take(v, sizeof(*s) + filter.len) : NULL;
		if (!s)
			return;
		c->n_listed++;
		s->len = (uint16_t)filter.len;
		if (filter.len)
			memcpy(s->filter, filter.at, filter.len);
		*c->last_subscription = s;
		c->last_subscription = &s->next;
	}
	s->packet_id = packet_id;
	s->nth = nth;
	s->options = options;
	s->granted = UNANSWERED;
	s->waits = true;
	s->ends = s->ended = false;
}

static void on_subscribe(struct connections *v, struct connection *c, const struct packet *q)
{
	struct filter_walk walk = filters_of(q);
	struct span filter;
	uint8_t options;

	for (uint16_t nth = 0; filter_next(&walk, &filter, &options); nth++)
		subscribed(v, c, filter, options, q->packet_id, nth);
}

static void on_suback(struct connection *c, const struct packet *q)
{
	for (struct subscription_seen *s = c->subscriptions; s; s = s->next) {
		if (!s->waits || s->packet_id != q->packet_id)
			continue;
		s->waits = false;
		if (s->nth < q->list.len)
			s->granted = q->list.at[s->nth];
	}
}

static void on_unsubscribe(struct connection *c, const struct packet *q)
{
	struct filter_walk walk = filters_of(q);
	struct span filter;
	uint8_t options;

	while (filter_next(&walk, &filter, &options)) {
		for (struct subscription_seen *s = c->subscriptions; s; s = s->next) {
			if (s->len != filter.len || memcmp(s->filter, filter.at, filter.len))
				continue;
			s->ends = true;
			s->packet_id = q->packet_id;
			break;
		}
	}
}

static void on_unsuback(struct connection *c, const struct packet *q)
{
	for (struct subscription_seen *s = c->subscriptions; s; s = s->next) {
		if (s->ends && s->packet_id == q->packet_id) {
			s->ends = false;
			s->ended = true;
		}
	}
}

static void on_packet(struct observer *o, const struct seen_packet *p)
{
	struct connection *c = p->conversation->of[o->slot];
	bool broker = p->from == FROM_SERVER;

	if (!c)
		return;
	c->packets[broker]++;
	c->bytes[broker] += p->bytes.len;
	c->last = p->when;
	if (!broker)
		c->last_from_client = p->when;
	if (p->status == CODEC_BAD && broker && p->frame.first >> 4 == CONNACK && !c->unreadable_connack)
		c->unreadable_connack = p->when.frame;
	if (p->status != CODEC_OK)
		return;
	switch (p->packet.type) {
	case CONNECT:
		c->version = (uint8_t)p->conversation->version;
		on_connect(of(o), c, p);
		break;
	case CONNACK:
		on_connack(of(o), c, p);
		break;
	case SUBSCRIBE:
		on_subscribe(of(o), c, &p->packet);
		break;
	case SUBACK:
		on_suback(c, &p->packet);
		break;
	case UNSUBSCRIBE:
		on_unsubscribe(c, &p->packet);
		break;
	case UNSUBACK:
		on_unsuback(c, &p->packet);
		break;
	case DISCONNECT:
		if (!c->disconnects[broker].frame) {
			c->disconnects[broker] = p->when;
			c->disconnect_reasons[broker] = p->packet.reason;
		}
		break;
	default:
		break;
	}
}

/* ---- how it ended ---- */

static void say(struct connection *c, enum how_ended how, enum sender who, bool derived, const struct when *when)
{
	c->how = (uint8_t)how;
	c->who = (uint8_t)who;
	c->derived = derived;
	c->ended = *when;
}

/*
 * Whether the broker may have had enough of the client's silence: one and a half times the keep alive, less what a clock of whole
 * seconds takes away. Nothing is concluded where packets of the client may have been missed.
 */
static bool was_silent(const struct connection *c)
{
	uint64_t seconds = c->has_server_keep_alive ? c->server_keep_alive : c->keep_alive;
	uint64_t limit_ns = seconds * 1500000000, slack_ns = seconds < 4 ? seconds * 250000000 : 1000000000;

	return seconds && c->connect.frame && c->connack.frame && !c->holes &&
	       elapsed(c->last_from_client.time_ns, c->closes[1].time_ns) >= limit_ns - slack_ns;
}

static void judge_close(struct connection *c, bool broker)
{
	const struct when *when = &c->closes[broker];

	if (broker && c->taken_by && elapsed(c->taken_at.time_ns, when->time_ns) < 5000000000u)
		say(c, BY_TAKEOVER, FROM_SERVER, true, when);
	else if (broker && was_silent(c))
		say(c, BY_KEEP_ALIVE, FROM_SERVER, true, when);
	else
		say(c, c->resets[broker] ? BY_RESET : BY_FIN, broker ? FROM_SERVER : FROM_CLIENT, false, when);
}

static void judge_end(struct connection *c, enum conversation_end how, const struct when *when)
{
	const struct when *client = &c->disconnects[0], *broker = &c->disconnects[1];

	if (c->connack.frame && c->connack_reason)
		say(c, BY_REFUSAL, FROM_SERVER, false, &c->connack);
	else if (broker->frame && (!client->frame || broker->frame < client->frame))
		say(c, c->disconnect_reasons[1] == 0x8e ? BY_TAKEOVER : c->disconnect_reasons[1] == 0x8d ? BY_KEEP_ALIVE : BY_DISCONNECT,
		    FROM_SERVER, false, broker);
	else if (client->frame)
		say(c, BY_DISCONNECT, FROM_CLIENT, false, client);
	else if (c->closes[0].frame || c->closes[1].frame)
		judge_close(c, !c->closes[0].frame || (c->closes[1].frame && c->closes[1].frame < c->closes[0].frame));
	else
		say(c, how == ENDED_REPLACED ? BY_PORTS_REUSED : how == ENDED_FORGOTTEN ? BY_SILENCE : BY_CAPTURE_END, 0, false, when);
}

/* ---- rows ---- */

static void show(struct connections *v, const struct connection *c)
{
	v->by_how[c->how]++;
	if (v->json) {
		connection_json(v->out, c, v->start_ns);
		return;
	}
	if (!v->titled)
		connection_heading(v->out);
	v->titled = true;
	connection_print(v->out, c, v->start_ns);
	ranks_add(&v->ranks, c);
}

/* Shows what has ended, up to the first that has not; all of it when `gaps` may stay. */
static void show_ended(struct connections *v, bool gaps)
{
	struct connection **at = &v->first;

	while (*at) {
		struct connection *c = *at;

		if (!c->over) {
			if (!gaps)
				break;
			at = &c->next;
			continue;
		}
		*at = c->next;
		show(v, c);
		drop(v, c);
		v->waiting--;
	}
	if (!*at)
		v->last = at;
}

static void on_started(struct observer *o, const struct when *when)
{
	of(o)->start_ns = when->time_ns;
	if (of(o)->json)
		json_capture(of(o)->out, "connections", when);
}

static void on_opened(struct observer *o, struct conversation *conversation, const struct when *when)
{
	struct connections *v = of(o);
	struct connection *c = take(v, sizeof(*c));

	(void)when;
	if (!c && v->waiting) {
		show_ended(v, true);
		c = take(v, sizeof(*c));
	}
	v->n++;
	if (!c) {
		v->no_room++;
		return;
	}
	c->number = conversation->number;
	c->stream = conversation->stream;
	c->client = conversation->client;
	c->broker = conversation->broker;
	c->via = (uint8_t)conversation->via;
	c->opened = c->last = conversation->first;
	c->last_subscription = &c->subscriptions;
	conversation->of[o->slot] = c;
	*v->last = c;
	v->last = &c->next;
}

static void on_hole(struct observer *o, struct conversation *conversation, const struct hole *hole)
{
	struct connection *c = conversation->of[o->slot];

	if (!c)
		return;
	c->holes++;
	c->missing += hole->bytes;
	c->skipped += hole->skipped;
}

static void on_closed(struct observer *o, struct conversation *conversation, enum sender from, bool reset, const struct when *when)
{
	struct connection *c = conversation->of[o->slot];
	bool broker = from == FROM_SERVER;

	if (!c || c->closes[broker].frame)
		return;
	c->closes[broker] = *when;
	c->resets[broker] = reset;
	c->last = *when;
}

static void on_ended(struct observer *o, struct conversation *conversation, enum conversation_end how, const struct when *when)
{
	struct connections *v = of(o);
	struct connection *c = conversation->of[o->slot];

	if (!c)
		return;
	conversation->of[o->slot] = NULL;
	c->version = (uint8_t)conversation->version;
	c->version_known = conversation->version_known;
	c->from_start = conversation->from_start;
	c->client = conversation->client;
	c->broker = conversation->broker;
	if (!c->client_id && conversation->client_id.at)
		c->client_id = copy(v, conversation->client_id, &c->client_id_len);
	judge_end(c, how, when);
	forget_client(v, c);
	c->over = true;
	v->waiting++;
	show_ended(v, v->live || v->waiting > MOST_WAITING);
}

static void on_flush(struct observer *o)
{
	out_flush(of(o)->out);
}

static void on_finish(struct observer *o, const struct when *when)
{
	struct connections *v = of(o);
	struct json json;

	(void)when;
	show_ended(v, true);
	if (v->json) {
		json_begin(&json, v->out, "connection_all", v->start_ns);
		json_number(&json, "count", v->n);
		json_number(&json, "no_room", v->no_room);
		json_open(&json, "ended", '{');
		for (unsigned i = BY_DISCONNECT; i <= BY_CAPTURE_END; i++)
			json_number(&json, connection_how(i), v->by_how[i]);
		json_close(&json, '}');
		json_end(&json);
		return;
	}
	if (!v->n)
		OUT_LITERAL(v->out, "no connection carries MQTT\n");
	if (v->n - v->no_room > MOST_RANKED)	/* else the rows say it */
		ranks_print(v->out, &v->ranks);
	if (v->no_room)
		out_format(v->out, "%llu of %llu connections are not shown: there was no room for so many at a time\n",
		           (unsigned long long)v->no_room, (unsigned long long)v->n);
}

static void on_free(struct observer *o)
{
	struct connections *v = of(o);

	for (struct connection *c = v->first, *next; c; c = next) {
		next = c->next;
		drop(v, c);
	}
	map_release(&v->by_client);
	free(v);
}

static const struct observer_ops ops = {
	.started = on_started, .opened = on_opened, .packet = on_packet, .hole = on_hole, .closed = on_closed, .ended = on_ended,
	.flush = on_flush, .finish = on_finish, .free = on_free,
};

struct observer *connections_view_new(struct out *out, const struct view_options *options)
{
	struct connections *v = calloc(1, sizeof(*v));

	if (!v)
		return NULL;
	v->observer.ops = &ops;
	v->out = out;
	v->json = options->json;
	v->live = options->live;
	v->last = &v->first;
	return &v->observer;
}
