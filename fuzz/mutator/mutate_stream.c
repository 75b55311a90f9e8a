#include "fuzz/mutator/mutate.h"

#include "codec/codec.h"
#include "fuzz/mutator/anomalies.h"
#include "fuzz/mutator/engine.h"
#include "fuzz/mutator/sequence.h"

/* Inputs of fuzz targets: packets in a row, each behind a byte that says what it is where the target has it so, and moves. */

enum { MOST_PIECES = 512, SCRATCH = 1 << 17, MOST_PACKET = 1 << 16 };

/* A packet and the byte before it, if there is one; or that byte alone. */
struct piece {
	size_t at, packet, end;		/* packet == end: there is none */
};

struct pieces {
	struct piece at[MOST_PIECES];
	unsigned n;
	size_t end;			/* of the last of them */
};

/* Whose packet follows a step; 0: none does. */
static enum sender step_from(uint8_t step)
{
	switch (step >> 2 & 3) {
	case 0:  return FROM_CLIENT;
	case 1:  return FROM_SERVER;
	default: return 0;
	}
}

static void find_pieces(struct span bytes, bool steps, struct pieces *pieces)
{
	size_t at = 0;

	pieces->n = 0;
	while (at < bytes.len && pieces->n < MOST_PIECES) {
		struct piece piece = { at, at + steps, at + steps };
		struct frame frame;
		struct finding finding;

		if (!steps || step_from(bytes.at[at])) {
			if (piece.packet >= bytes.len || frame_next(bytes.at + piece.packet, bytes.len - piece.packet, &frame, &finding) != FRAME_OK)
				break;
			piece.end += frame.size;
		}
		pieces->at[pieces->n++] = piece;
		at = piece.end;
	}
	pieces->end = at;
}

/* bytes[from..to) become what was written; false: no room. */
static bool replace(uint8_t *bytes, size_t *len, size_t cap, size_t from, size_t to, struct span with)
{
	size_t others = *len - (to - from);

	if (with.len > cap || others > cap - with.len)
		return false;
	memmove(bytes + from + with.len, bytes + to, *len - to);
	if (with.len)
		memcpy(bytes + from, with.at, with.len);
	*len = others + with.len;
	return true;
}

struct input_mutation {
	uint8_t *bytes;
	size_t len, cap;
	bool steps;
	enum version version;		/* packets of a stream are read by it; those of steps by any */
	enum sender from;
	struct random *random;
	struct pieces pieces;
	struct arena arena;
	uint8_t scratch[SCRATCH], made[MOST_PACKET];
};

static enum version a_version(const struct input_mutation *m)
{
	static const uint8_t versions[] = { MQTT_5, MQTT_5, MQTT_3_1_1, MQTT_3_1 };

	return m->steps ? versions[random_below(m->random, 4)] : m->version;
}

static struct writer room(struct input_mutation *m)
{
	size_t left = m->cap - m->len;

	return writer_to(m->made, left < sizeof(m->made) ? left : sizeof(m->made));
}

/* At one of its fields: the packet may grow by what is free. */
static bool mutate_piece(struct input_mutation *m)
{
	struct piece *piece = &m->pieces.at[random_below(m->random, m->pieces.n)];
	size_t size = piece->end - piece->packet;
	struct writer w = writer_to(m->made, sizeof(m->made));

	if (!size) {
		m->bytes[piece->at] ^= (uint8_t)(1u << random_below(m->random, 8));
		return true;
	}
	if (m->steps && one_in(m->random, 10)) {	/* from the other side, on another connection */
		m->bytes[piece->at] ^= (uint8_t)(1u << random_below(m->random, 3));
		return true;
	}
	if (w.cap > m->cap - m->len + size)
		w.cap = m->cap - m->len + size;
	return mutate_packet(span_of(m->bytes + piece->packet, size), a_version(m), m->steps ? step_from(m->bytes[piece->at]) : m->from, m->random, &m->arena,
	                     &w, NULL) && replace(m->bytes, &m->len, m->cap, piece->packet, piece->end, wr_span(&w));
}

/* A legal packet, drawn from the tables. */
static bool add_piece(struct input_mutation *m)
{
	static const uint8_t of_server[] = { CONNACK, PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP, SUBACK, UNSUBACK, PINGRESP, DISCONNECT, AUTH };
	static const uint8_t of_client[] = { CONNECT, PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP, SUBSCRIBE, UNSUBSCRIBE, PINGREQ, DISCONNECT, AUTH };
	enum version version = a_version(m);
	bool server = m->steps ? one_in(m->random, 2) : m->from == FROM_SERVER || (m->from == FROM_EITHER && one_in(m->random, 2));
	enum packet_type type = (server ? of_server : of_client)[random_below(m->random, version == MQTT_5 ? 11 : server ? 9 : 10)];
	size_t i = random_below(m->random, m->pieces.n + 1), at = i < m->pieces.n ? m->pieces.at[i].at : m->pieces.end;
	struct writer w = room(m);
	struct packet p;

	if (m->steps)
		wr_u8(&w, (server ? 4 : 0) | (unsigned)random_below(m->random, 4));
	return generate(type, version, server ? FROM_SERVER : FROM_CLIENT, m->random, &m->arena, &p) == CODEC_OK && encode(&p, NULL, &w) == CODEC_OK &&
	       wr_fits(&w) && replace(m->bytes, &m->len, m->cap, at, at, wr_span(&w));
}

/* By order: some in a row removed, once or often repeated, or put elsewhere. */
static bool order_pieces(struct input_mutation *m)
{
	unsigned i = (unsigned)random_below(m->random, m->pieces.n), n = 1 + (unsigned)random_below(m->random, 3), to;
	struct span some;
	struct writer w = room(m);
	size_t times = one_in(m->random, 4) ? 2 + random_below(m->random, 40) : 1;

	if (n > m->pieces.n - i)
		n = m->pieces.n - i;
	some = span_of(m->bytes + m->pieces.at[i].at, m->pieces.at[i + n - 1].end - m->pieces.at[i].at);
	switch (random_below(m->random, 4)) {
	case 0:
		return m->pieces.n > n && replace(m->bytes, &m->len, m->cap, m->pieces.at[i].at, m->pieces.at[i].at + some.len, span_of(NULL, 0));
	case 1:
		if (times > w.cap / some.len)
			times = w.cap / some.len;
		while (times--)
			wr_bytes(&w, some);
		to = i + n;
		break;
	default:
		if (some.len > w.cap)
			return false;
		wr_bytes(&w, some);
		to = (unsigned)random_below(m->random, m->pieces.n + 1);
	}
	size_t at = to < m->pieces.n ? m->pieces.at[to].at : m->pieces.end;
	return w.len && replace(m->bytes, &m->len, m->cap, at, at, wr_span(&w));
}

static size_t mutate_pieces(struct input_mutation *m)
{
	arena_init(&m->arena, m->scratch, sizeof(m->scratch));
	find_pieces(span_of(m->bytes, m->len), m->steps, &m->pieces);
	for (unsigned tries = 0; tries < 6; tries++) {
		unsigned which = (unsigned)random_below(m->random, 16);

		arena_reset(&m->arena);
		if (which < 2 || !m->pieces.n ? add_piece(m) : which < 5 ? order_pieces(m) : mutate_piece(m))
			return m->len;
	}
	return mutate_bytes(m->bytes, m->len, m->cap, m->random, NULL);
}

static size_t mutate_either(uint8_t *bytes, size_t len, size_t cap, bool steps, enum version version, enum sender from, struct random *random)
{
	struct input_mutation m;	/* large, and most of it room: it is not zeroed */

	if (len > cap)
		len = cap;
	m.bytes = bytes;
	m.len = len;
	m.cap = cap;
	m.steps = steps;
	m.version = version;
	m.from = from;
	m.random = random;
	return mutate_pieces(&m);
}

size_t mutate_stream(uint8_t *bytes, size_t len, size_t cap, enum version version, enum sender from, struct random *random)
{
	return mutate_either(bytes, len, cap, false, version, from, random);
}

/* ---- inputs ---- */

enum { MOST_MORE_MOVES = 8, MOST_MORE_BYTES = 300, GROWN_TRIES = 4 };

static size_t written_size(const struct moves *moves)
{
	struct writer measure = writer_to(NULL, 0);

	moves_write(moves, &measure);
	return measure.len;
}

static void read_input(struct moves *moves, struct span bytes)
{
	moves_read(moves, bytes);
	for (uint32_t i = 0; i < moves->n; i++)	/* the bytes are written over in the end */
		if (!moves_keep(moves, moves->at[i].bytes, &moves->at[i].bytes)) {
			moves->n = i;
			break;
		}
}

/*
 * What is in a corpus is not always what moves_write() writes: read, mutated, and written anew. What grows an input by much is mostly not taken: many short inputs tell an engine that looks at
 * coverage more than few long ones.
 */
static size_t mutate_moves_input(uint8_t *bytes, size_t len, size_t cap, struct random *random)
{
	static struct moves moves;
	struct writer w = writer_to(bytes, cap);
	struct move limits = { .kind = MOVE_LIMITS };

	for (unsigned tries = 0; tries < GROWN_TRIES; tries++) {
		uint32_t n;
		size_t size;

		read_input(&moves, span_of(bytes, len));
		n = moves.n;
		size = written_size(&moves);
		if (one_in(random, 32) && (!n || moves.at[0].kind != MOVE_LIMITS)) {
			limits.value = (uint8_t)random_below(random, 256);
			moves_insert(&moves, 0, limits);
			break;
		}
		mutate_moves_within(&moves, NULL, random, cap < 65535 ? cap : 65535, NULL);
		if (one_in(random, 16) || (moves.n <= n + MOST_MORE_MOVES && written_size(&moves) <= size + MOST_MORE_BYTES))
			break;
	}
	for (moves_write(&moves, &w); !wr_fits(&w) && moves.n; moves_write(&moves, &w)) {
		moves.n -= moves.n > 8 ? moves.n / 8 : 1;
		w.len = 0;
	}
	return w.len;
}

enum { HEAD = 2 };			/* of ENGINE_HEADED */

/* What is the target's own is left to byte mutation, but for one in 16. */
static size_t mutate_headed(uint8_t *bytes, size_t len, size_t cap, enum version version, struct random *random)
{
	if (cap <= HEAD)
		return mutate_bytes(bytes, len < cap ? len : cap, cap, random, NULL);
	if (len < HEAD)
		memset(bytes + len, 0, HEAD - len);
	if (one_in(random, 16)) {
		size_t i = random_below(random, HEAD);

		bytes[i] = (uint8_t)random_below(random, 256);
	}
	return HEAD + mutate_stream(bytes + HEAD, len > HEAD ? len - HEAD : 0, cap - HEAD, version, FROM_CLIENT, random);
}

size_t mutate_input(enum engine_shape shape, uint8_t *bytes, size_t len, size_t cap, struct random *random)
{
	static const uint8_t versions[] = { MQTT_5, MQTT_5, MQTT_3_1_1, MQTT_3_1 };

	if (shape == ENGINE_HEADED)
		return mutate_headed(bytes, len < cap ? len : cap, cap, versions[random_below(random, 4)], random);
	if (shape == ENGINE_MOVES)
		return mutate_moves_input(bytes, len < cap ? len : cap, cap, random);
	return mutate_either(bytes, len, cap, shape == ENGINE_STEPS, versions[random_below(random, 4)], FROM_EITHER, random);
}

static size_t cross_moves(struct span a, struct span b, uint8_t *out, size_t cap, struct random *random)
{
	static struct moves moves, other;
	struct writer w = writer_to(out, cap);

	moves_read(&moves, a);
	moves_read(&other, b);
	if (!mutate_crossing(&moves, &other, random, cap < 65535 ? cap : 65535))
		return 0;
	moves_write(&moves, &w);
	return wr_fits(&w) ? w.len : 0;
}

/* Up to a piece of the one, and from a piece of the other on; or some of the other put in. */
static size_t cross_pieces(struct span a, struct span b, bool steps, uint8_t *out, size_t cap, struct random *random)
{
	struct pieces of_a, of_b;
	struct writer w = writer_to(out, cap);
	size_t i, k, from, to;

	find_pieces(a, steps, &of_a);
	find_pieces(b, steps, &of_b);
	if (!of_a.n || !of_b.n)
		return 0;
	i = random_below(random, of_a.n);
	k = random_below(random, of_b.n);
	from = of_b.at[k].at;
	to = one_in(random, 2) ? of_b.at[k + random_below(random, of_b.n - k)].end : b.len;
	wr_bytes(&w, span_of(a.at, of_a.at[i].end));
	wr_bytes(&w, span_of(b.at + from, to - from));
	if (to < b.len && of_a.at[i].end < a.len)
		wr_bytes(&w, span_of(a.at + of_a.at[i].end, a.len - of_a.at[i].end));
	return wr_fits(&w) ? w.len : 0;
}

static size_t cross_headed(struct span a, struct span b, uint8_t *out, size_t cap, struct random *random)
{
	size_t len;

	if (a.len < HEAD || b.len < HEAD || cap < HEAD)
		return 0;
	len = cross_pieces(span_of(a.at + HEAD, a.len - HEAD), span_of(b.at + HEAD, b.len - HEAD), false, out + HEAD, cap - HEAD, random);
	memcpy(out, a.at, HEAD);
	return len ? HEAD + len : 0;
}

size_t cross_inputs(enum engine_shape shape, struct span a, struct span b, uint8_t *out, size_t cap, struct random *random)
{
	if (shape == ENGINE_MOVES)
		return cross_moves(a, b, out, cap, random);
	if (shape == ENGINE_HEADED)
		return cross_headed(a, b, out, cap, random);
	return cross_pieces(a, b, shape == ENGINE_STEPS, out, cap, random);
}
