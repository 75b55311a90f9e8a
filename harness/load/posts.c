#include "harness/load/client.h"

#include <assert.h>
#include <stdlib.h>

#include "codec/topic.h"
#include "harness/load/post_template.h"

/* PUBLISH, as fast as it goes: from templates, or else the long way. */

struct posts {
	struct region region;
	struct post **table;		/* by step, open addressing */
	unsigned shift;			/* 64 less the bits of a place in it */
};

static size_t place_of(const struct posts *posts, const struct step *step)
{
	return (size_t)((uint64_t)(uintptr_t)step * 0x9e3779b97f4a7c15u >> posts->shift);
}

static const struct post *find(const struct posts *posts, const struct step *step)
{
	size_t mask = ((size_t)1 << (64 - posts->shift)) - 1;

	for (size_t i = place_of(posts, step); posts->table[i]; i = (i + 1) & mask)
		if (posts->table[i]->step == step)
			return posts->table[i];
	return NULL;
}

static bool is_post(const struct step *step)
{
	return step->kind == STEP_PUBLISHES || (step->kind == STEP_SEND && step->type == PUBLISH);
}

static uint32_t count(const struct step *step)
{
	uint32_t n = 0;

	for (; step; step = step->next)
		n += is_post(step) + count(step->children);
	return n;
}

static void add_all(struct posts *posts, const struct plan *plan, uint32_t role, const struct step *step, uint8_t *number, uint8_t *room)
{
	size_t mask = ((size_t)1 << (64 - posts->shift)) - 1;

	for (; step; step = step->next) {
		struct post *p = is_post(step) ? post_template(&posts->region, plan, role, step, room) : NULL;

		if (p) {
			size_t i = place_of(posts, step);

			while (posts->table[i])
				i = (i + 1) & mask;
			if (p->is_clients && *number < UINT8_MAX)
				p->number = ++*number;
			posts->table[i] = p;
		}
		add_all(posts, plan, role, step->children, number, room);
	}
}

struct posts *posts_new(struct engine *e)
{
	const struct plan *plan = e->options.plan;
	struct posts *posts = calloc(1, sizeof(*posts));
	uint8_t *room = malloc(POST_ROOM);
	uint32_t n = 0;
	unsigned bits = 2;

	if (!posts || !room)
		abort();
	for (uint32_t i = 0; i < plan->n_roles; i++)
		n += count(plan->roles[i].role->steps);
	while ((size_t)1 << bits < 2 * (size_t)n)
		bits++;
	posts->shift = 64 - bits;
	posts->table = region_alloc(&posts->region, sizeof(*posts->table) << bits);
	for (uint32_t i = 0; i < plan->n_roles; i++) {
		uint8_t number = 0;

		add_all(posts, plan, i, plan->roles[i].role->steps, &number, room);
	}
	free(room);
	return posts;
}

void posts_free(struct posts *posts)
{
	if (!posts)
		return;
	region_release(&posts->region);
	free(posts);
}

/* ---- one packet ---- */

struct words {				/* what stands in the topic's places this time */
	struct span at[MAX_PLACES];
	uint8_t digits[MAX_PLACES][20];
};

static struct span decimal(uint8_t room[20], uint64_t n)
{
	uint8_t *end = room + 20, *at = end;

	do
		*--at = (uint8_t)('0' + n % 10);
	while (n /= 10);
	return span_of(at, (size_t)(end - at));
}

static size_t say_topic(struct client *c, const struct post *p, const struct value *values, struct words *words)
{
	size_t len = p->constant_len;

	for (uint32_t i = 0; i < p->n_places; i++) {
		const struct post_place *place = &p->places[i];

		switch (place->kind) {
		case PLACE_CLIENT:
			words->at[i] = decimal(words->digits[i], c->number);
			break;
		case PLACE_PICK:
			words->at[i] = decimal(words->digits[i], engine_pick(c->engine, place->which));
			break;
		case PLACE_COLUMN:
			words->at[i] = fleet_value(role_of(c)->plan->fleet, c->number, place->which);
			break;
		case PLACE_VALUE:
			words->at[i] = values[place->which].kind == VALUE_NUMBER ? decimal(words->digits[i], values[place->which].number)
			                                                         : values[place->which].bytes;
			break;
		}
		len += words->at[i].len;
	}
	return len;
}

/* What is put is short, most often: a call would cost more than the copying. */
static uint8_t *put(uint8_t *at, struct span s)
{
	uint8_t *end = at + s.len;
	uint64_t head, tail;
	uint32_t half, other;

	if (s.len > 16) {
		memcpy(at, s.at, s.len);
	} else if (s.len >= 8) {
		memcpy(&head, s.at, 8);
		memcpy(&tail, s.at + s.len - 8, 8);
		memcpy(at, &head, 8);
		memcpy(end - 8, &tail, 8);
	} else if (s.len >= 4) {
		memcpy(&half, s.at, 4);
		memcpy(&other, s.at + s.len - 4, 4);
		memcpy(at, &half, 4);
		memcpy(end - 4, &other, 4);
	} else if (s.len) {
		at[0] = s.at[0];
		at[s.len / 2] = s.at[s.len / 2];
		at[s.len - 1] = s.at[s.len - 1];
	}
	return end;
}

/* All in front of the payload; where the payload begins. */
static uint8_t *put_head(uint8_t *at, const struct post *p, const struct words *words, size_t topic_len, uint16_t packet_id, size_t remaining, struct span *topic)
{
	*at++ = p->first;
	for (; remaining > 0x7f; remaining >>= 7)
		*at++ = (uint8_t)(remaining | 0x80);
	*at++ = (uint8_t)remaining;
	*at++ = (uint8_t)(topic_len >> 8);
	*at++ = (uint8_t)topic_len;
	*topic = span_of(at, topic_len);
	for (uint32_t i = 0; i < p->n_places; i++)
		at = put(put(at, p->places[i].before), words->at[i]);
	at = put(at, p->behind);
	if (p->qos) {
		*at++ = (uint8_t)(packet_id >> 8);
		*at++ = (uint8_t)packet_id;
	}
	return put(at, p->properties);
}

/* The ledger counts and times what it knows of: stamps, and their echoes. */
static void account(struct client *c, size_t len, bool in_ledger)
{
	const struct engine *e = c->engine;
	struct tally *t = role_of(c)->now;
	uint64_t now = run_now(e);

	tally_count(t, COUNT_packets_sent);
	t->counts[COUNT_bytes_sent] += len;
	c->sent_ms = (uint32_t)(now / 1000000);
	if (in_ledger)
		return;
	tally_count(t, COUNT_sent);
	t->counts[COUNT_late] += now > c->due_ns + 1000000;
	tally_time(t, TIME_LATENESS, c->due_ns, now, now);
}

static void keep_copy(struct client *c, const uint8_t *at, size_t len, uint8_t **kept, uint32_t *kept_len)
{
	if (!kept)
		return;
	*kept = pool_take(c->engine->pool, len);
	*kept_len = (uint32_t)len;
	memcpy(*kept, at, len);
}

/* The next message of that stream: what it carries. */
static void send_stamp(struct client *c, struct stream *stream, uint8_t *at, size_t size, uint32_t *number)
{
	struct engine *e = c->engine;
	struct stamp stamp;

	ledger_send(e->ledger, listener_of(c), stream, c->due_ns, run_now(e), &stamp);
	stamp_write(at, size, &stamp);
	*number = stamp.number;
}

static struct stream *stream_of(struct client *c, const struct post *p, struct span topic)
{
	struct stream *stream;

	if (p->number && c->posted == p->number)
		return c->stream;
	stream = ledger_stream(c->engine->ledger, listener_of(c), topic, p->qos);
	c->stream = stream;
	c->posted = p->number;
	return stream;
}

/* A stamp that came from elsewhere; false: it is none. */
static bool echo(struct client *c, struct span topic, struct span payload, unsigned qos)
{
	struct stamp stamp;

	if (!stamp_read(payload, c->engine->options.run, &stamp))
		return false;
	ledger_echo(c->engine->ledger, listener_of(c), topic, qos);
	return true;
}

/* ---- the long way ---- */

/* What may be anything: told to the monitor packet by packet, as it frames. */
static void tell_monitor(struct client *c, struct span bytes)
{
	while (bytes.len) {
		struct frame frame = { 0 };
		struct finding finding;
		struct packet packet;

		if (frame_next(bytes.at, bytes.len, &frame, &finding) != FRAME_OK) {
			monitor_misbehaved(&c->link.monitor);
			return;
		}
		bool readable = decode(bytes.at, frame.size, monitor_version(&c->link.monitor), &packet, &finding) == CODEC_OK;
		monitor_sent(&c->link.monitor, bytes.at, frame.size, readable ? &packet : NULL);
		bytes.at += frame.size;
		bytes.len -= frame.size;
	}
}

static bool too_large(struct client *c, const struct step *step)
{
	client_stop(c, step, false, "the packet is larger than the room for one step (%zu bytes), or than MQTT allows", c->engine->scratch.cap);
	return false;
}

/* How long it will be; once it is padded, it stays so. */
static bool measure(struct client *c, const struct step *step, struct builder *b, size_t *len)
{
	struct writer w = writer_to(NULL, 0);
	enum status status = builder_encode(b, &w);

	*len = w.len;
	if (status == CODEC_OK)
		return true;
	if (status == CODEC_LIMIT)
		return too_large(c, step);
	client_stop(c, step, false, "the packet cannot be padded to %zu bytes", b->size);
	return false;
}

static int post_long(struct client *c, const struct step *step, uint16_t packet_id, struct stream **stream, uint32_t *number, uint8_t **kept, uint32_t *kept_len)
{
	struct builder b;
	uint8_t *stamp, *at;
	size_t len, size;
	bool in_ledger;

	if (!packet_stamped(c, step, &b, &stamp, &size))
		return -1;
	unsigned qos = publish_qos(&b.packet);
	if (qos && !b.packet.packet_id && !step_says(step, "packet_id"))
		b.packet.packet_id = packet_id;
	if (!measure(c, step, &b, &len))
		return -1;
	if (!(at = link_room(&c->link, len)))
		return 0;
	in_ledger = stamp && b.packet.topic.len;
	if (in_ledger) {	/* by an alias alone it is of no stream: to whom it is owed is not known */
		*stream = c->stream = ledger_stream(c->engine->ledger, listener_of(c), b.packet.topic, qos);
		c->posted = 0;
		send_stamp(c, *stream, stamp, size, number);
		if (b.packet.payload.at != stamp)	/* padding has made a copy */
			memcpy((uint8_t *)b.packet.payload.at, stamp, size);
	} else if (b.packet.topic.len) {
		in_ledger = echo(c, b.packet.topic, b.packet.payload, qos);
	}
	struct writer w = writer_to(at, len);
	builder_encode(&b, &w);
	tell_monitor(c, span_of(at, len));
	keep_copy(c, at, len, kept, kept_len);
	link_commit(&c->link, len);
	account(c, len, in_ledger);
	return 1;
}

/* ---- the fast way ---- */

/* True: the ledger knows of it. */
static bool put_payload(struct client *c, const struct post *p, struct span topic, struct span payload, uint8_t *at, struct stream **stream, uint32_t *number)
{
	size_t size;

	switch (p->payload) {
	case PAYLOAD_STAMP:
		*stream = stream_of(c, p, topic);
		size = stamp_size(payload.len);
		send_stamp(c, *stream, at, size, number);
		memcpy(at + size, payload.at + size, payload.len - size);
		return true;
	case PAYLOAD_RANDOM:
		engine_random(c->engine, at, payload.len);
		return false;
	case PAYLOAD_VALUE:
		put(at, payload);
		return echo(c, topic, payload, p->qos);
	default:
		put(at, payload);
		return false;
	}
}

int post(struct client *c, const struct step *step, uint16_t packet_id, struct stream **stream, uint32_t *number, uint8_t **kept, uint32_t *kept_len)
{
	const struct post *p = find(c->engine->posts, step);
	struct value values[MAX_PLACES + 1];
	struct words words;
	struct span topic, payload;

	*stream = NULL;
	*number = 0;
	if (!p)
		return post_long(c, step, packet_id, stream, number, kept, kept_len);
	if (p->n_values && !values_of(c, step, p->values, p->n_values, values))
		return -1;
	payload = p->payload == PAYLOAD_VALUE ? values[p->n_values - 1].bytes : p->bytes;
	if (p->payload == PAYLOAD_VALUE && values[p->n_values - 1].kind != VALUE_BYTES)
		return post_long(c, step, packet_id, stream, number, kept, kept_len);

	size_t topic_len = say_topic(c, p, values, &words);
	size_t remaining = 2 + topic_len + (p->qos ? 2 : 0) + p->properties.len + payload.len;
	if (topic_len > 65535 || remaining > VARINT_MAX)
		return post_long(c, step, packet_id, stream, number, kept, kept_len);
	size_t len = 1 + varint_size((uint32_t)remaining) + remaining;
	uint8_t *at = link_room(&c->link, len);
	if (!at)
		return 0;
	uint8_t *payload_at = put_head(at, p, &words, topic_len, packet_id, remaining, &topic);
	if (p->is_foreign && !(topic_name_valid(topic) && utf8_valid(topic)))
		return post_long(c, step, packet_id, stream, number, kept, kept_len);
	bool in_ledger = put_payload(c, p, topic, payload, payload_at, stream, number);
	monitor_posted(&c->link.monitor, p->first & 0x0f, packet_id, len);
	keep_copy(c, at, len, kept, kept_len);
	link_commit(&c->link, len);
	account(c, len, in_ledger);
	return 1;
}

unsigned post_qos(struct client *c, const struct step *step)
{
	const struct post *p = find(c->engine->posts, step);
	struct builder b;

	if (p)
		return p->qos;
	return packet_of(c, step, &b) ? publish_qos(&b.packet) : 0;
}
