#include <stdlib.h>

#include "codec/fields.h"
#include "codec/text.h"
#include "fuzz/must.h"
#include "fuzz/mutator/engine.h"
#include "fuzz/target.h"

/*
 * Any bytes, as each version reads them: what decodes must encode to the same bytes, judge and print without a
 * control character, read back from its text as the same packet, and be laid out without gaps; with properties of another length it reads back, too. What decode_plain() takes is the same, and legal.
 * Framing says the same of every part of it, wherever the stream is cut.
 */
const enum engine_shape engine_shape = ENGINE_PACKETS;

/* Packets behind one another have nothing to do with each other here: more of them would only make inputs long and slow. */
enum { ROOM = 1 << 18, MOST = 4096, MOST_PACKETS = 4, N_PARTS = 512 };

static void laid_out(const uint8_t *bytes, size_t len, enum version version, bool readable)
{
	static struct part parts[N_PARTS];
	size_t n = layout(bytes, len, version, parts, N_PARTS), at = 0;

	for (size_t i = 0; i < n && i < N_PARTS; i++) {
		MUST(parts[i].offset == at && parts[i].len && parts[i].name);
		MUST(!readable || (strcmp(parts[i].name, "unreadable") && strcmp(parts[i].name, "trailing")));
		at += parts[i].len;
	}
	MUST(n > N_PARTS || at == len);
}

static void judged(const struct packet *p, enum sender from, size_t len)
{
	struct finding finding = { 0 };

	if (check(p, from, &finding) == CODEC_OK)
		return;
	MUST(finding.rule < N_RULES && finding.why && finding.version == p->version && finding.offset <= len);
	MUST(*rule_id(finding.rule, finding.version) && *rule_asks(finding.rule));
}

/* The bytes that every step must give back; only a remaining length need not be as it was. */
static void encodes_to(enum status status, const struct writer *w, const uint8_t *bytes, const struct frame *frame)
{
	size_t body = frame->size - frame->header_size, header;

	MUST(status == CODEC_OK && wr_fits(w));
	header = body < 128 ? 2 : body < 16384 ? 3 : body < 2097152 ? 4 : 5;	/* said anew: what counts it for the encoder may be wrong */
	MUST(w->len == header + body && w->at[0] == bytes[0]);
	MUST(!body || !memcmp(w->at + header, bytes + frame->header_size, body));
}

static void reads_back(const struct packet *p, enum sender from, const uint8_t *bytes, const struct frame *frame)
{
	static uint8_t room[ROOM], again[ROOM];
	static char text[ROOM];
	struct writer t = writer_to(text, sizeof(text)), w = writer_to(again, sizeof(again));
	struct arena arena;
	struct builder b;
	struct fault fault;

	packet_print(p, from, &t);
	MUST(wr_fits(&t));
	for (size_t i = 0; i < t.len; i++)
		MUST((uint8_t)text[i] >= ' ' && text[i] != 0x7f);
	arena_init(&arena, room, sizeof(room));
	MUST(packet_parse(wr_span(&t), p->version, &arena, &b, &fault) == CODEC_OK);
	enum status status = builder_encode(&b, &w);
	encodes_to(status, &w, bytes, frame);
}

static void plainly(const uint8_t *bytes, size_t len, enum version version, const struct packet *p)
{
	struct packet plain;
	struct finding finding;

	if (!decode_plain(bytes, len, version, &plain))
		return;
	MUST(p && !memcmp(&plain, p, sizeof(plain)));
	MUST(check(p, FROM_CLIENT, &finding) == CODEC_OK && check(p, FROM_SERVER, &finding) == CODEC_OK);
}

/* Every field that may be there, value by value. */
static void values_of(const struct packet *p, const uint8_t *bytes, size_t len)
{
	const struct field *field;
	struct value v;

	for (size_t i = 0; (field = field_at(p->type, p->version, i)); i++)
		for (size_t nth = 0; packet_get(p, field, nth, &v); nth++) {
			MUST(v.kind != VALUE_ABSENT && nth < len);
			MUST(!v.bytes.len || (v.bytes.at >= bytes && v.bytes.at + v.bytes.len <= bytes + len));
			MUST(v.kind != VALUE_PAIR || !v.second.len || (v.second.at >= bytes && v.second.at + v.second.len <= bytes + len));
			if (!field->property && !field->repeats)
				MUST(!packet_get(p, field, nth + 1, &v));
		}
}

/* Properties made as long as bring their length to where it takes another byte: what is encoded reads as the same packet. */
static void with_more_properties(struct packet p)
{
	static const uint16_t limits[] = { 127, 128, 129, 16383, 16384 };
	static uint8_t list[1 << 15], again[ROOM];
	size_t have = p.properties.len, want = limits[(have + p.payload.len) % (sizeof(limits) / sizeof(*limits))], taken = 1 + 2 + 2;	/* identifier, key, value */
	struct writer w = writer_to(list, sizeof(list)), whole = writer_to(again, sizeof(again));
	struct value pair = { .kind = VALUE_PAIR };
	struct packet back;
	struct finding finding;

	if (!p.properties.len || want < have + taken)
		return;
	memset(list + have, 'x', want - have);
	pair.second = span_of(list + have + taken, want - have - taken);
	wr_bytes(&w, p.properties);
	property_write(&w, PROP_user_property, &pair);
	MUST(wr_fits(&w) && w.len == want);
	p.properties = wr_span(&w);
	p.property_length_size = 0;
	MUST(encode(&p, NULL, &whole) == CODEC_OK && wr_fits(&whole));
	MUST(decode(again, whole.len, p.version, &back, &finding) == CODEC_OK && !packet_differs(&p, &back));
}

static void one_packet(const uint8_t *bytes, const struct frame *frame, enum version version)
{
	static uint8_t again[ROOM];
	struct writer w = writer_to(again, sizeof(again));
	struct packet p;
	struct finding finding = { 0 };
	bool readable = decode(bytes, frame->size, version, &p, &finding) == CODEC_OK;

	laid_out(bytes, frame->size, version, readable);
	plainly(bytes, frame->size, version, readable ? &p : NULL);
	if (!readable) {
		MUST(finding.rule < N_RULES && finding.why && finding.offset <= frame->size);
		return;
	}
	MUST(!packet_differs(&p, &p));
	values_of(&p, bytes, frame->size);
	enum status status = encode(&p, NULL, &w);
	encodes_to(status, &w, bytes, frame);
	with_more_properties(p);
	for (enum sender from = FROM_CLIENT; from <= FROM_SERVER; from++) {
		judged(&p, from, frame->size);
		reads_back(&p, from, bytes, frame);
	}
}

/* Cut anywhere, it is not all there yet; its size is known as soon as its length has come. */
static void frames_in_parts(const uint8_t *bytes, const struct frame *whole)
{
	for (size_t len = 0; len < whole->size; len++) {
		uint8_t *part = malloc(len ? len : 1);
		struct frame frame = { 0 };
		struct finding finding;

		MUST(part);
		memcpy(part, bytes, len);
		MUST(frame_next(part, len, &frame, &finding) == FRAME_MORE);
		MUST(frame.size == (len < whole->header_size ? 0 : whole->size));
		free(part);
		if (len >= 64 && whole->size - len > 64)
			len += (whole->size - len) / 4;	/* the payload's inside is all the same to it */
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct frame frame;
	struct finding finding;
	size_t at = 0;

	for (unsigned n = 0; n < MOST_PACKETS && at < size && frame_next(data + at, size - at, &frame, &finding) == FRAME_OK; n++, at += frame.size) {
		uint8_t *copy;

		MUST(frame.size <= size - at);
		if (frame.size > MOST)
			continue;
		copy = malloc(frame.size);	/* of the exact size, so that a sanitizer sees the first byte too far */
		if (!copy)
			return 0;
		memcpy(copy, data + at, frame.size);
		frames_in_parts(copy, &frame);
		for (enum version version = MQTT_3_1; version <= MQTT_5; version++)
			one_packet(copy, &frame, version);
		free(copy);
	}
	return 0;
}
