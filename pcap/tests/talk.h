#ifndef PCAP_TESTS_TALK_H
#define PCAP_TESTS_TALK_H

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "codec/generate.h"
#include "pcap/mqtt_stage.h"

/*
 * Random conversations for the tests of the stages: packets both ways, cut into pieces, some of them lost; and a listener that
 * counts which were found and which were invented. Each test program includes it once.
 */

struct item {			/* one packet, as sent */
	uint32_t at, len;		/* in its end's stream */
	bool lost;			/* not all of it came */
	bool found;
};

struct side {
	uint8_t *bytes;
	size_t len, cap;
	struct item *items;
	size_t n_items, cap_items;
	size_t fed;			/* bytes that were passed on, or lost */
	size_t next;			/* item that may be found next */
};

struct step {			/* so many bytes of that end were written now */
	uint8_t end;
	uint32_t len;
};

struct talk {
	struct mqtt_listener listener;
	struct random random;
	enum version version;
	struct side sides[2];		/* 0 is the client */
	struct step *steps;
	size_t n_steps, cap_steps;
	uint64_t frame;
	/* what was seen */
	struct conversation *conversation;
	size_t n_opened, n_introduced, n_ended, n_closed, n_holes, n_found, n_invented, n_sure, n_unsure_wrong, n_bad;
	uint64_t hole_bytes, skipped;
	bool other_roles, quiet;
	void (*on_packet)(struct talk *talk, const struct seen_packet *packet, size_t item);
};

static inline void *grown(void *at, size_t n, size_t *cap, size_t each)
{
	if (n < *cap)
		return at;
	*cap = *cap ? 2 * *cap : 64;
	while (*cap <= n)
		*cap *= 2;
	at = realloc(at, *cap * each);
	assert(at);
	return at;
}

/* ---- the listener ---- */

static struct conversation *talk_opened(struct mqtt_listener *l, const struct when *when)
{
	struct talk *t = (struct talk *)l;

	(void)when;
	assert(!t->conversation);
	t->conversation = calloc(1, sizeof(*t->conversation));
	assert(t->conversation);
	t->conversation->number = (uint32_t)++t->n_opened;
	return t->conversation;
}

static void talk_introduced(struct mqtt_listener *l, struct conversation *c, const struct when *when)
{
	(void)c, (void)when;
	((struct talk *)l)->n_introduced++;
}

static void talk_packet(struct mqtt_listener *l, struct seen_packet *p)
{
	struct talk *t = (struct talk *)l;
	unsigned end = (p->from == FROM_CLIENT) == t->other_roles;
	struct side *side = &t->sides[end];
	size_t i = side->next;

	assert(t->n_introduced && p->conversation == t->conversation);
	assert(p->bytes.len == p->frame.size && p->first.frame <= p->when.frame && p->when.frame <= t->frame);
	assert(p->sure ? p->confidence == 100 : p->confidence < 100);
	while (i < side->n_items && (side->items[i].lost || side->items[i].at + side->items[i].len > side->fed ||
	                             !span_equal(span_of(side->bytes + side->items[i].at, side->items[i].len), p->bytes)))
		i++;
	if (i == side->n_items) {
		t->n_invented++;
		if (!t->quiet) {
			printf("invented, %s, from %u, confidence %u:", p->sure ? "sure" : "not sure", end, p->confidence);
			for (size_t k = 0; k < p->bytes.len && k < 40; k++)
				printf(" %02x", p->bytes.at[k]);
			printf("\n");
		}
		return;
	}
	t->n_bad += p->status != CODEC_OK;
	side->items[i].found = true;
	side->next = i + 1;
	t->n_found++;
	t->n_sure += p->sure;
	if (t->on_packet)
		t->on_packet(t, p, i);
}

static void talk_hole(struct mqtt_listener *l, struct conversation *c, const struct hole *hole)
{
	struct talk *t = (struct talk *)l;

	assert(c == t->conversation && t->n_introduced);
	t->n_holes++;
	t->hole_bytes += hole->bytes;
	t->skipped += hole->skipped;
}

static void talk_closed(struct mqtt_listener *l, struct conversation *c, enum sender from, bool reset, const struct when *when)
{
	(void)c, (void)from, (void)reset, (void)when;
	((struct talk *)l)->n_closed++;
}

static void talk_ended(struct mqtt_listener *l, struct conversation *c, const struct when *when)
{
	struct talk *t = (struct talk *)l;

	(void)when;
	assert(c == t->conversation);
	free(c);
	t->conversation = NULL;
	t->n_ended++;
}

/* ---- making ---- */

static inline void talk_init(struct talk *t, enum version version, uint64_t seed)
{
	*t = (struct talk){ .listener = { talk_opened, talk_introduced, talk_packet, talk_hole, talk_closed, talk_ended }, .version = version };
	random_seed(&t->random, seed);
}

static inline void talk_release(struct talk *t)
{
	for (unsigned end = 0; end < 2; end++) {
		free(t->sides[end].bytes);
		free(t->sides[end].items);
	}
	free(t->steps);
	assert(!t->conversation);
}

/* The end writes a packet. */
static inline void talk_says(struct talk *t, unsigned end, const void *bytes, size_t len)
{
	struct side *side = &t->sides[end];

	side->bytes = grown(side->bytes, side->len + len, &side->cap, 1);
	memcpy(side->bytes + side->len, bytes, len);
	side->items = grown(side->items, side->n_items, &side->cap_items, sizeof(*side->items));
	side->items[side->n_items++] = (struct item){ .at = (uint32_t)side->len, .len = (uint32_t)len };
	side->len += len;
	t->steps = grown(t->steps, t->n_steps, &t->cap_steps, sizeof(*t->steps));
	t->steps[t->n_steps++] = (struct step){ (uint8_t)end, (uint32_t)len };
}

/* A random legal packet; its packet id, or `id` where that is not 0. */
static inline unsigned talk_makes(struct talk *t, unsigned end, enum packet_type type, unsigned id)
{
	static uint8_t room[1 << 16], out[1 << 17];
	struct arena arena;
	struct packet p;
	struct writer w = writer_to(out, sizeof(out));

	arena_init(&arena, room, sizeof(room));
	if (generate(type, t->version, end ? FROM_SERVER : FROM_CLIENT, &t->random, &arena, &p) != CODEC_OK)
		abort();
	if (id)
		p.packet_id = (uint16_t)id;
	if (encode(&p, NULL, &w) != CODEC_OK)
		abort();
	talk_says(t, end, out, w.len);
	return p.packet_id;
}

enum payload { TEXT, NOISE, NUMBERS, DOUBLES, ZEROS, N_PAYLOADS };

static inline uint8_t talk_payload_byte(struct talk *t, enum payload kind, size_t i)
{
	static const uint8_t near_two[8] = { 0x40, 0x02, 0x66, 0x31, 0x0a, 0x41, 0x07, 0x90 };

	switch (kind) {
	case TEXT:    return (uint8_t)(' ' + random_below(&t->random, 90));
	case NOISE:   return (uint8_t)random_next(&t->random);
	case NUMBERS: return i & 1 ? (uint8_t)random_below(&t->random, 64) : 0;	/* 16 bits, small */
	case DOUBLES: return i & 7 ? (uint8_t)(near_two[i & 7] + ((i & 7) > 2 ? random_below(&t->random, 3) : 0)) : 0x40;
	default:      return 0;
	}
}

/* A PUBLISH as applications send it: few topics. Returns its id. */
static inline unsigned talk_publishes(struct talk *t, unsigned end, unsigned qos, size_t payload_len, enum payload kind)
{
	static uint8_t out[1 << 21];
	struct packet p = { .version = (uint8_t)t->version, .type = PUBLISH, .flags = (uint8_t)(qos << PUBLISH_QOS_SHIFT) };
	struct writer w = writer_to(out, sizeof(out));
	char topic[64];
	uint8_t *payload = malloc(payload_len + 1);

	assert(payload);
	snprintf(topic, sizeof(topic), "plant/%u/line/%u/state", (unsigned)random_below(&t->random, 5), end);
	for (size_t i = 0; i < payload_len; i++)
		payload[i] = talk_payload_byte(t, kind, i);
	p.topic = span_text(topic);
	p.payload = span_of(payload, payload_len);
	if (qos)
		p.packet_id = (uint16_t)(1 + random_below(&t->random, 65535));
	if (encode(&p, NULL, &w) != CODEC_OK)
		abort();
	talk_says(t, end, out, w.len);
	free(payload);
	return p.packet_id;
}

static inline void talk_flow(struct talk *t, unsigned end, unsigned qos, unsigned id)
{
	if (qos == 1)
		talk_makes(t, !end, PUBACK, id);
	if (qos != 2)
		return;
	talk_makes(t, !end, PUBREC, id);
	talk_makes(t, end, PUBREL, id);
	talk_makes(t, !end, PUBCOMP, id);
}

/* A conversation of about n packets; it begins with CONNECT and CONNACK. */
static inline void talk_fill(struct talk *t, size_t n)
{
	talk_makes(t, 0, CONNECT, 0);
	talk_makes(t, 1, CONNACK, 0);
	while (t->sides[0].n_items + t->sides[1].n_items < n) {
		unsigned end = (unsigned)random_below(&t->random, 2), qos = (unsigned)random_below(&t->random, 3);

		switch (random_below(&t->random, 12)) {
		case 0: case 1: case 2: case 3:
			talk_flow(t, end, qos, talk_publishes(t, end, qos, random_below(&t->random, 200), TEXT));
			break;
		case 4: case 5:
			talk_flow(t, end, qos, talk_publishes(t, end, qos, random_below(&t->random, 900), NOISE));
			break;
		case 6:
			for (unsigned k = 0; k < 6; k++)
				talk_publishes(t, end, 0, random_below(&t->random, 60), TEXT);
			break;
		case 7:
			talk_makes(t, 1, SUBACK, talk_makes(t, 0, SUBSCRIBE, 0));
			break;
		case 8:
			talk_makes(t, 1, UNSUBACK, talk_makes(t, 0, UNSUBSCRIBE, 0));
			break;
		case 9:
			talk_makes(t, 0, PINGREQ, 0);
			talk_makes(t, 1, PINGRESP, 0);
			break;
		default:
			talk_makes(t, end, PUBLISH, 0);
		}
	}
}

/* ---- feeding ---- */

enum cutting { CUT_PACKETS, CUT_PIECES, CUT_BYTES, CUT_SEGMENTS };

struct feeding {
	enum cutting cutting;		/* a packet a piece; pieces of 1 to 536 bytes; single bytes; segments of 1448 as they fill */
	unsigned lose_one_in;		/* 0: none */
	bool unknown;			/* how many bytes are lost is not said */
	size_t skip;			/* steps that were before the capture */
	size_t cut_into;		/* bytes of the first step that is in it that were before as well */
};

static inline void mark_lost(struct side *side, size_t from, size_t to)
{
	for (size_t i = 0; i < side->n_items; i++) {
		if (side->items[i].at >= to)
			break;
		if (side->items[i].at + side->items[i].len > from)
			side->items[i].lost = true;
	}
}

static inline void feed_piece(struct talk *t, struct stage *stage, const struct feeding *how, unsigned end, size_t len)
{
	struct side *side = &t->sides[end];
	struct when when = { .frame = ++t->frame };
	uint8_t *exact = malloc(len);	/* reading past it is seen */
	size_t from = side->fed;

	assert(exact && len && from + len <= side->len);
	side->fed += len;
	if (how->lose_one_in && !random_below(&t->random, how->lose_one_in)) {
		mark_lost(side, from, from + len);
		stage->ops->hole(stage, end, how->unknown ? 0 : len, HOLE_LOST, &when);
	} else {
		memcpy(exact, side->bytes + from, len);
		stage->ops->bytes(stage, end, span_of(exact, len), &when);
	}
	free(exact);
}

static inline size_t piece_len(struct talk *t, const struct feeding *how)
{
	switch (how->cutting) {
	case CUT_PIECES:   return 1 + (size_t)random_below(&t->random, 536);
	case CUT_BYTES:    return 1;
	case CUT_SEGMENTS: return 1448;
	default:           return 1 << 20;
	}
}

/* All of it, in the order of the steps: what an end has written is passed on before the other end's next. Not ended. */
static inline void talk_feed(struct talk *t, struct stage *stage, const struct feeding *how)
{
	size_t waiting = 0;

	for (size_t i = 0; i < t->n_steps; i++) {
		unsigned end = t->steps[i].end;
		struct side *side = &t->sides[end];

		if (i < how->skip || (i == how->skip && how->cut_into)) {
			size_t n = i < how->skip ? t->steps[i].len : how->cut_into < t->steps[i].len ? how->cut_into : t->steps[i].len;

			mark_lost(side, side->fed, side->fed + n);
			side->fed += n;
			if (i < how->skip || n == t->steps[i].len)
				continue;
			waiting = t->steps[i].len - n;
		} else {
			waiting += t->steps[i].len;
		}
		bool goes_on = i + 1 < t->n_steps && t->steps[i + 1].end == end;
		while (waiting) {
			size_t n = piece_len(t, how);

			if (how->cutting == CUT_PACKETS)
				n = waiting;
			if (n > waiting && goes_on)
				break;
			n = n < waiting ? n : waiting;
			feed_piece(t, stage, how, end, n);
			waiting -= n;
		}
	}
}

static inline void talk_end(struct talk *t, struct stage *stage)
{
	struct when when = { .frame = ++t->frame };

	stage->ops->ended(stage, &when);
}

static inline size_t talk_intact(const struct talk *t)
{
	size_t n = 0;

	for (unsigned end = 0; end < 2; end++)
		for (size_t i = 0; i < t->sides[end].n_items; i++)
			n += !t->sides[end].items[i].lost;
	return n;
}

static inline struct mqtt_options talk_options(size_t *kept)
{
	return (struct mqtt_options){ .likely = true, .from_start = true, .kept = kept,
	                              .ends = { { .family = 4, .address = { 10, 0, 0, 2 }, .port = 40000 }, { .family = 4, .address = { 10, 0, 0, 1 }, .port = 1883 } } };
}

#endif
