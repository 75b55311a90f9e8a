#include "fuzz/mutator/sequence.h"

#include "codec/generate.h"

/* A sequence, in one place: which kind of mutation, and what all of them share. */

enum { TRIES = 24, SCRATCH = 1 << 17 };

/* ---- picking ---- */

int pick_send(const struct sequence *s, uint32_t types)
{
	const struct moves *m = s->moves;

	if (!m->n)
		return -1;
	for (uint32_t i = 0, at = pick(s, m->n); i < m->n; i++, at = at + 1 < m->n ? at + 1 : 0)
		if (move_sends(&m->at[at]) && (!types || types & ON(type_sent(&m->at[at]))))
			return (int)at;
	return -1;
}

uint32_t pick_place(const struct sequence *s, uint8_t *client)
{
	const struct moves *m = s->moves;
	uint32_t at = pick(s, m->n + 1);

	*client = m->n ? m->at[at ? at - 1 : 0].client : 0;
	return at;
}

int connect_before(const struct moves *m, uint32_t at, uint8_t client)
{
	while (at--) {
		const struct move *move = &m->at[at];

		if (move->client != client)
			continue;
		if (type_sent(move) == CONNECT)
			return (int)at;
		if (move->kind == MOVE_OPEN || move->kind == MOVE_DROP)
			return -1;
	}
	return -1;
}

uint8_t pick_other_client(const struct sequence *s, uint8_t than)
{
	unsigned used = 0;
	uint8_t client = (uint8_t)((than + 1 + pick(s, MOVES_CLIENTS - 1)) % MOVES_CLIENTS);

	for (uint32_t i = 0; i < s->moves->n; i++)
		used |= 1u << s->moves->at[i].client;
	if (one_in(s->random, 4))
		return client;
	for (uint8_t i = 0; i < MOVES_CLIENTS; i++)
		if (!(used & 1u << i) && i != than)
			return i;
	return client;
}

uint8_t pick_connected(const struct sequence *s, uint32_t at, uint8_t than)
{
	uint8_t first = (uint8_t)pick(s, MOVES_CLIENTS);

	for (uint8_t i = 0; i < MOVES_CLIENTS; i++) {
		uint8_t client = (uint8_t)((first + i) % MOVES_CLIENTS);

		if (client != than && connect_before(s->moves, at, client) >= 0)
			return client;
	}
	return than;
}

static struct span topic_of_filter(struct span filter)
{
	if (filter.len > 7 && !memcmp(filter.at, "$share/", 7)) {
		const uint8_t *slash = memchr(filter.at + 7, '/', filter.len - 7);

		if (!slash)
			return span_of(NULL, 0);
		filter = span_of(slash + 1, filter.len - (size_t)(slash + 1 - filter.at));
	}
	for (size_t i = 0; i < filter.len; i++)
		if (filter.at[i] == '+' || filter.at[i] == '#')
			return span_of(filter.at, i && filter.at[i - 1] == '/' ? i - 1 : i);
	return filter;
}

struct span pick_topic(const struct sequence *s)
{
	int i = pick_send(s, ON(PUBLISH) | ON(SUBSCRIBE));
	const struct move *move = i >= 0 ? &s->moves->at[i] : NULL;
	struct span topic = { 0 };
	struct packet p;
	struct finding finding;
	uint8_t options;

	if (move && decode(move->bytes.at, move->bytes.len, moves_version(s->moves, (uint32_t)i, move->client), &p, &finding) == CODEC_OK) {
		struct filter_walk walk = filters_of(&p);

		if (p.type == PUBLISH)
			topic = p.topic;
		else if (filter_next(&walk, &topic, &options))
			topic = topic_of_filter(topic);
	}
	return topic.len && topic.len < 1000 ? topic : span_text(MOVES_NAME "/t");
}

/* ---- writing ---- */

struct writer room_for_send(const struct sequence *s)
{
	size_t left = MOVES_BYTES - s->moves->used;

	return writer_to(s->moves->room + s->moves->used, left < s->most ? left : s->most);
}

bool keep_room(struct sequence *s, const struct writer *w, struct span *bytes)
{
	if (!wr_fits(w))
		return false;
	*bytes = wr_span(w);
	s->moves->used += (uint32_t)w->len;
	return true;
}

bool keep_packet(struct sequence *s, const struct packet *packet, struct span *bytes)
{
	struct writer w = room_for_send(s);

	return encode(packet, NULL, &w) == CODEC_OK && keep_room(s, &w, bytes);
}

bool insert_many(struct moves *m, uint32_t at, const struct move *more, uint32_t n)
{
	if (n > MOVES_MAX - m->n)
		return false;
	memmove(m->at + at + n, m->at + at, (m->n - at) * sizeof(*m->at));
	memcpy(m->at + at, more, n * sizeof(*more));
	m->n += n;
	return true;
}

bool insert_said(struct sequence *s, enum anomaly_kind kind, uint32_t at, const struct move *more, uint32_t n)
{
	if (!insert_many(s->moves, at, more, n))
		return false;
	say_moves(s, kind, at, at + n - 1);
	return true;
}

bool decode_send(const struct sequence *s, int at, struct packet *p)
{
	const struct move *move = at < 0 ? NULL : &s->moves->at[at];
	struct finding finding;

	return move && decode(move->bytes.at, move->bytes.len, moves_version(s->moves, (uint32_t)at, move->client), p, &finding) == CODEC_OK;
}

struct span with_number(struct arena *arena, struct span list, unsigned id, uint64_t number)
{
	uint8_t *room = arena_take(arena, list.len + 6);
	struct writer w = writer_to(room, room ? list.len + 6 : 0);
	struct property_walk walk = properties_of(list);
	struct property p;

	while (property_next(&walk, &p))
		if (p.id != id)
			wr_bytes(&w, span_of(p.at, p.size));
	property_write_number(&w, id, number);
	return wr_span(&w);
}

bool change_connect(struct sequence *s, struct span connect, unsigned changes, struct span *bytes)
{
	struct packet p;
	struct finding finding;
	bool clean;

	if (decode(connect.at, connect.len, MQTT_3_1_1, &p, &finding) != CODEC_OK || p.type != CONNECT)
		return false;
	clean = changes & CONNECT_TURNS_CLEAN ? !(p.connect_flags & CONNECT_CLEAN_START) : p.connect_flags & CONNECT_CLEAN_START;
	if (changes & CONNECT_KEEPS_SESSION) {
		clean = false;
		if (p.version == MQTT_5)
			p.properties = with_number(s->arena, p.properties, PROP_session_expiry_interval, one_in(s->random, 4) ? UINT32_MAX : 1 + pick(s, 100));
	}
	p.connect_flags = (uint8_t)((p.connect_flags & ~CONNECT_CLEAN_START) | (clean ? CONNECT_CLEAN_START : 0));
	if (changes & CONNECT_OTHER_ID) {
		size_t len = p.client_id.len < 60000 ? p.client_id.len : 60000;
		uint8_t *id = arena_take(s->arena, len + 2);

		if (!id)
			return false;
		if (len)
			memcpy(id, p.client_id.at, len);
		id[len] = '-';
		id[len + 1] = (uint8_t)('a' + pick(s, 26));
		p.client_id = span_of(id, len + 2);
	}
	if (changes & CONNECT_HAS_WILL) {
		p.will_topic = pick_topic(s);
		p.will_payload = one_in(s->random, 4) ? span_of(NULL, 0) : span_text("will");
		p.connect_flags &= (uint8_t)~(CONNECT_WILL_QOS | CONNECT_WILL_RETAIN);
		p.connect_flags |= (uint8_t)(CONNECT_WILL | pick(s, 3) << CONNECT_WILL_QOS_SHIFT);
		p.connect_flags |= (uint8_t)(pick(s, 2) * CONNECT_WILL_RETAIN);
		if (p.version == MQTT_5 && one_in(s->random, 2))
			p.will_properties = with_number(s->arena, p.will_properties, PROP_will_delay_interval, pick(s, 3));
	}
	return keep_packet(s, &p, bytes);
}

/* ---- saying ---- */

static void say_place(const struct sequence *s, struct writer *path, uint32_t from, uint32_t to)
{
	path_number(path, from);
	if (to > from) {
		wr_text(path, "..");
		path_number(path, to);
	}
	if (from < s->moves->n) {
		wr_text(path, " c");
		path_number(path, s->moves->at[from].client);
	}
}

void say_moves(const struct sequence *s, enum anomaly_kind kind, uint32_t from, uint32_t to)
{
	struct writer path = anomaly_begin(s->anomaly, kind);
	enum packet_type type;

	if (!s->anomaly)
		return;
	say_place(s, &path, from, to);
	if (to == from && from < s->moves->n && (type = type_sent(&s->moves->at[from]))) {
		wr_u8(&path, ' ');
		wr_text(&path, packet_name(type));
	}
	anomaly_end(s->anomaly, &path);
}

bool put_move(struct sequence *s, enum anomaly_kind kind, uint32_t at, struct move move)
{
	if (!moves_insert(s->moves, at, move))
		return false;
	say_moves(s, kind, at, at);
	return true;
}

/* ---- by field ---- */

/* One of the packets that a send consists of: from its first byte. Bytes that are no packet are one. */
static struct span some_packet(const struct sequence *s, struct span bytes, size_t *at)
{
	size_t ends[64];
	unsigned n = 0, i;
	struct frame frame;
	struct finding finding;

	for (size_t end = 0; n < 64 && end < bytes.len && frame_next(bytes.at + end, bytes.len - end, &frame, &finding) == FRAME_OK;)
		ends[n++] = end += frame.size;
	*at = 0;
	if (!n)
		return bytes;
	i = pick(s, n);
	*at = i ? ends[i - 1] : 0;
	return span_of(bytes.at + *at, ends[i] - *at);
}

static void say_field(const struct sequence *s, uint32_t at, const struct anomaly *inner)
{
	struct writer path = writer_to(s->anomaly->path, sizeof(s->anomaly->path) - 1);

	strcpy(s->anomaly->name, inner->name);
	say_place(s, &path, at, at);
	wr_u8(&path, ' ');
	wr_text(&path, inner->path);
	anomaly_end(s->anomaly, &path);
}

static bool of_field(struct sequence *s)
{
	int i = pick_send(s, 0);
	struct writer w = room_for_send(s);
	struct anomaly inner, *said = s->anomaly ? &inner : NULL;
	struct span bytes, packet;
	size_t at, from;

	if (i < 0)
		return false;
	bytes = s->moves->at[i].bytes;
	packet = some_packet(s, bytes, &from);
	at = from + packet.len;
	if (bytes.len > w.cap)
		return false;
	wr_bytes(&w, span_of(bytes.at, from));
	/* room for the tail is kept back */
	w.cap -= bytes.len - at;
	if (!one_in(s->random, 16) &&
	    mutate_packet(packet, moves_version(s->moves, (uint32_t)i, s->moves->at[i].client), FROM_CLIENT, s->random, s->arena, &w, said)) {
		w.cap += bytes.len - at;
		wr_bytes(&w, at < bytes.len ? span_of(bytes.at + at, bytes.len - at) : span_of(NULL, 0));
	} else {
		w.cap += bytes.len - at;
		wr_bytes(&w, span_of(bytes.at ? bytes.at + from : NULL, bytes.len - from));
		w.len = mutate_bytes(w.at, w.len, w.cap, s->random, said);
	}
	if (!keep_room(s, &w, &s->moves->at[i].bytes))
		return false;
	if (said)
		say_field(s, (uint32_t)i, said);
	return true;
}

/* ---- the choice ---- */

static const struct sequence_choice field_choices[] = { { of_field, 1 }, { NULL, 0 } };

static sequence_act *choose(const struct sequence_choice *choices, struct random *random)
{
	unsigned sum = 0, n;

	for (const struct sequence_choice *c = choices; c->act; c++)
		sum += c->weight;
	n = (unsigned)random_below(random, sum);
	while (n >= choices->weight)
		n -= choices++->weight;
	return choices->act;
}

static const struct sequence_choice *a_kind(struct random *random)
{
	static const struct sequence_choice *const kinds[16] = {
		field_choices, field_choices, field_choices, field_choices, field_choices, field_choices, field_choices, field_choices,
		order_choices, order_choices, order_choices, timing_choices, timing_choices, client_choices, client_choices, client_choices,
	};

	return kinds[random_below(random, 16)];
}

void mutate_moves_within(struct moves *moves, const struct moves *other, struct random *random, size_t most, struct anomaly *anomaly)
{
	uint8_t scratch[SCRATCH];
	struct arena arena;
	struct sequence s = { moves, other == moves ? NULL : other, random, &arena, anomaly, most };

	if (anomaly)
		*anomaly->name = *anomaly->path = '\0';
	arena_init(&arena, scratch, sizeof(scratch));
	for (unsigned tries = 0; tries < TRIES; tries++) {
		uint32_t used = moves->used;

		if (used > MOVES_BYTES / 4 * 3) {
			moves_compact(moves);
			used = moves->used;
		}
		arena_reset(&arena);
		if (choose(a_kind(random), random)(&s))
			return;
		moves->used = used;
	}
}

bool mutate_crossing(struct moves *moves, const struct moves *other, struct random *random, size_t most)
{
	struct sequence s = { moves, other, random, NULL, NULL, most };

	return choose(splice_choices, random)(&s);
}

void mutate_moves(struct moves *moves, const struct moves *other, struct random *random, struct anomaly *anomaly)
{
	mutate_moves_within(moves, other, random, 65535, anomaly);
}
