#include "harness/load/client_play.h"

#include <stdlib.h>

#include "codec/fields.h"
#include "harness/websocket.h"

/* Sending: steps become packets in the room of a client's link. */

bool client_ready(struct client *c, const struct step *step, bool opens)
{
	if (!(c->flags & OPENED) || (opens && (!(c->flags & LINKED) || c->link.end || c->flags & LEAVING)))
		client_opens(c);
	if (c->flags & LINKED)
		return true;
	if (c->flags & END_HELD)
		client_lost(c);
	else
		client_stop(c, step, false, "there is no connection: only `opens` or a CONNECT opens it again");
	return false;
}

/* ---- what a send means for the client's books ---- */

static void keep_packet(struct client *c, struct exchange *ex, const uint8_t *bytes, size_t len)
{
	ex->packet = pool_take(c->engine->pool, len);
	memcpy(ex->packet, bytes, len);
	ex->len = (uint32_t)len;
}

/* What is sent while it is under way may come or not. */
static void leave_filters(struct client *c, const struct packet *p)
{
	struct span filter;
	uint8_t options;

	for (struct filter_walk walk = filters_of(p); filter_next(&walk, &filter, &options);)
		audience_remove(c->engine->options.audience, listener_of(c), filter);
}

static void note_sent(struct client *c, const uint8_t *bytes, size_t len, const struct packet *p)
{
	struct exchange *ex;

	switch (p->type) {
	case CONNECT:
		c->flags &= (uint16_t)~CLEAN;
		c->flags |= p->connect_flags & CONNECT_CLEAN_START ? CLEAN : 0;
		break;
	case SUBSCRIBE: case UNSUBSCRIBE:
		if (!p->packet_id)
			break;
		ex = exchange_add(c, p->packet_id, p->type == SUBSCRIBE ? EXCHANGE_SUBSCRIBE : EXCHANGE_UNSUBSCRIBE);
		ex->flags = EX_BARE;
		keep_packet(c, ex, bytes, len);
		if (p->type == UNSUBSCRIBE)
			leave_filters(c, p);
		break;
	case DISCONNECT:
		client_leaves(c);
		break;
	default:
		break;
	}
}

void client_wrote(struct client *c, const uint8_t *bytes, size_t len)
{
	struct tally *now = role_of(c)->now;
	enum version version = (enum version)c->engine->options.plan->script->actors[c->role].version;

	now->counts[COUNT_bytes_sent] += len;
	c->sent_ms = run_ms(c->engine);
	while (len) {
		struct frame frame = { 0 };
		struct finding finding;
		struct packet packet;

		now->counts[COUNT_packets_sent]++;
		if (frame_next(bytes, len, &frame, &finding) != FRAME_OK) {
			monitor_misbehaved(&c->link.monitor);
			return;
		}
		bool readable = decode(bytes, frame.size, version, &packet, &finding) == CODEC_OK;
		monitor_sent(&c->link.monitor, bytes, frame.size, readable ? &packet : NULL);
		if (readable)
			note_sent(c, bytes, frame.size, &packet);
		bytes += frame.size;
		len -= frame.size;
	}
}

/* ---- steps ---- */

static int in_room(struct client *c, const uint8_t *bytes, size_t len)
{
	uint8_t *room = link_room(&c->link, len);

	if (!room)
		return 0;
	memcpy(room, bytes, len);
	client_wrote(c, room, len);
	link_commit(&c->link, len);
	return 1;
}

static bool too_large(struct client *c, const struct step *step)
{
	client_stop(c, step, false, "the packet is larger than the room for one step (%zu bytes)", c->engine->scratch.cap);
	return false;
}

/* In memory of the engine's scratch, behind the step's values. */
static bool build(struct client *c, const struct step *step, uint16_t *id, struct span *bytes)
{
	struct builder b;
	struct writer w = writer_to(NULL, 0);

	if (!packet_of(c, step, &b))
		return false;
	if (packet_needs_id(&b.packet) && !b.packet.packet_id && !step_says(step, "packet_id")) {
		b.packet.packet_id = client_next_packet_id(c);
		if (!b.packet.packet_id) {
			client_stop(c, step, false, "no packet id is free: all 65535 await an answer");
			return false;
		}
	}
	enum status status = builder_encode(&b, &w);
	if (status == CODEC_BAD) {
		client_stop(c, step, false, "the packet cannot be padded to %zu bytes", b.size);
		return false;
	}
	uint8_t *room = status == CODEC_OK ? arena_take(&c->engine->scratch, w.len + 1) : NULL;
	if (!room)
		return too_large(c, step);
	w = writer_to(room, w.len);
	builder_encode(&b, &w);
	*id = b.packet.packet_id;
	*bytes = wr_span(&w);
	return true;
}

/* Kept until all pieces are sent; the step is taken anew for each. */
static void keep_pieces(struct client *c, struct span bytes)
{
	struct extras *x = client_extras(c);

	x->pieces = pool_take(c->engine->pool, bytes.len + 1);
	memcpy(x->pieces, bytes.at, bytes.len);
	x->pieces_len = (uint32_t)bytes.len;
	x->pieces_at = 0;
}

int client_send_pieces(struct client *c, const struct step *step, bool begin)
{
	struct extras *x = c->extras;
	uint64_t size = 0, every_ns = 0;

	if (!number_of(c, step->pieces, &size) || (step->every && !duration_of(c, step->every, &every_ns)))
		return -1;
	if (begin)		/* all of it is known to be sent before anything can be answered */
		client_wrote(c, x->pieces, x->pieces_len);
	while (x->pieces_at < x->pieces_len) {
		uint32_t left = x->pieces_len - x->pieces_at, n = size && size < left ? (uint32_t)size : left;
		uint8_t *room = link_room(&c->link, n);

		if (!room)
			return 0;
		memcpy(room, x->pieces + x->pieces_at, n);
		link_commit(&c->link, n);
		link_flush(&c->link);
		x->pieces_at += n;
		if (every_ns && x->pieces_at < x->pieces_len) {
			client_waits(c, CLIENT_SLEEPS, run_now(c->engine) + every_ns);
			return 0;
		}
	}
	pool_give(c->engine->pool, x->pieces, x->pieces_len + 1);
	x->pieces = NULL;
	return 1;
}

static int put(struct client *c, const struct step *step, struct span bytes)
{
	if (!step->pieces || (c->extras && c->extras->body == step))	/* in a body of `whenever` nothing takes its time */
		return in_room(c, bytes.at, bytes.len);
	keep_pieces(c, bytes);
	return client_send_pieces(c, step, true);
}

int client_send_step(struct client *c, const struct step *step, uint16_t *id)
{
	struct span bytes;

	if (!client_ready(c, step, step_sends(step) == CONNECT))
		return -1;
	if (!c->link.open)
		return 0;
	if (!build(c, step, id, &bytes))
		return -1;
	return put(c, step, bytes);
}

int client_send_bytes(struct client *c, const struct step *step)
{
	struct value v;

	if (!client_ready(c, step, false))
		return -1;
	if (!c->link.open)
		return 0;
	if (!value_of(c, step->value, &v))
		return -1;
	return v.bytes.len ? put(c, step, v.bytes) : 1;
}

/*
 * The number of its stream's first message that a connection which breaks now may have swallowed. Of QoS 1 and 2,
 * what is not acknowledged is known exactly.
 */
static void note_flight(struct client *c, unsigned qos, const struct stream *before, uint32_t before_ms, uint32_t number)
{
	if (qos)
		c->flight = UINT32_MAX;
	else if (c->stream != before || run_ms(c->engine) / 1000 != before_ms / 1000)
		c->flight = number;
}

int client_send_publish(struct client *c, const struct step *step, uint8_t exchange_flags, unsigned *qos)
{
	struct engine *e = c->engine;
	struct stream *before = c->stream, *stream = NULL;
	uint32_t number = 0, len = 0, before_ms = c->sent_ms;
	uint8_t *packet = NULL;
	uint16_t id = 0;
	int sent;

	if (!client_ready(c, step, false))
		return -1;
	if (!c->link.open)
		return 0;
	*qos = post_qos(c, step);
	if (*qos && !client_sends_packet_id(c, step, &id))
		return -1;
	if (*qos && !id && !(id = client_next_packet_id(c)))
		return 0;
	sent = post(c, step, id, &stream, &number, c->flags & KEEPS && *qos && !(exchange_flags & EX_BARE) ? &packet : NULL, &len);
	if (sent <= 0)
		return sent;
	if (stream)
		note_flight(c, *qos, before, before_ms, number);
	if (*qos && id) {
		struct exchange *ex = exchange_add(c, id, *qos == 1 ? EXCHANGE_QOS1 : EXCHANGE_QOS2);

		ex->step = step;
		ex->flags = exchange_flags;
		ex->due_ns = c->due_ns;
		ex->begun_ns = run_now(e);
		ex->stream = stream;
		ex->number = number;
		ex->packet = packet;
		ex->len = len;
	}
	return 1;
}

/* ---- by the engine itself ---- */

static bool put_ack(struct client *c, enum packet_type type, uint16_t id)
{
	uint8_t *room = link_room(&c->link, 4);
	struct packet p = { .version = c->link.monitor.version, .type = (uint8_t)type, .flags = type == PUBREL ? 2 : 0, .packet_id = id };
	struct tally *now = role_of(c)->now;

	if (!room)
		return false;
	room[0] = (uint8_t)(type << 4 | p.flags);
	room[1] = 2;
	room[2] = (uint8_t)(id >> 8);
	room[3] = (uint8_t)id;
	monitor_sent(&c->link.monitor, room, 4, &p);
	link_commit(&c->link, 4);
	now->counts[COUNT_packets_sent]++;
	now->counts[COUNT_bytes_sent] += 4;
	c->sent_ms = run_ms(c->engine);
	return true;
}

void client_send_ack(struct client *c, enum packet_type type, uint16_t id)
{
	struct extras *x;

	/*
	 * [3.1.1 MQTT-3.14.4-2, 5 MQTT-3.14.4-1] nothing follows a DISCONNECT, nor a FIN: what is not acknowledged
	 * comes again with the session
	 */
	if (!(c->flags & LINKED) || c->flags & LEAVING || (!(c->extras && c->extras->n_acks) && put_ack(c, type, id)))
		return;
	if (c->link.end || c->link.broken)
		return;
	x = client_extras(c);
	if (x->n_acks == x->cap_acks) {
		uint32_t cap = x->cap_acks ? 2 * x->cap_acks : 16;
		uint32_t *acks = pool_take(c->engine->pool, cap * sizeof(*acks));

		if (x->n_acks)
			memcpy(acks, x->acks, x->n_acks * sizeof(*acks));
		pool_give(c->engine->pool, x->acks, x->cap_acks * sizeof(*acks));
		x->acks = acks;
		x->cap_acks = cap;
	}
	x->acks[x->n_acks++] = (uint32_t)type << 16 | id;
	client_pause(c, PAUSED_BLOCKED, true);		/* a broker that does not read is not read from either */
}

void client_flush_acks(struct client *c)
{
	struct extras *x = c->extras;
	uint32_t n = 0;

	if (!x || !x->n_acks)
		return;
	while (n < x->n_acks && put_ack(c, (enum packet_type)(x->acks[n] >> 16), (uint16_t)x->acks[n]))
		n++;
	x->n_acks -= n;
	memmove(x->acks, x->acks + n, x->n_acks * sizeof(*x->acks));
	if (!x->n_acks && !x->body)
		client_pause(c, PAUSED_BLOCKED, false);
}

bool client_send_ping(struct client *c)
{
	static const uint8_t bytes[] = { PINGREQ << 4, 0 };

	return in_room(c, bytes, sizeof(bytes));
}
