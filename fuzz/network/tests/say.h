#ifndef FUZZ_NETWORK_TESTS_SAY_H
#define FUZZ_NETWORK_TESTS_SAY_H

#include "codec/text.h"
#include "fuzz/mutator/moves.h"

/* Cases as tests write them. To be included behind cmocka's header. */

static inline void add(struct moves *m, uint8_t kind, uint8_t client, uint8_t value, struct span bytes)
{
	struct move move = { .kind = kind, .client = client, .value = value };

	assert_true(moves_keep(m, bytes, &move.bytes));
	assert_true(moves_insert(m, m->n, move));
}

static inline size_t bytes_of(const char *text, enum version version, uint8_t *at, size_t cap)
{
	static uint8_t room[1 << 18];
	struct arena arena;
	struct builder b;
	struct fault fault;
	struct writer w = writer_to(at, cap);

	arena_init(&arena, room, sizeof(room));
	if (packet_parse(span_text(text), version, &arena, &b, &fault) != CODEC_OK)
		fail_msg("%s: %s", text, fault.text);
	assert_int_equal(builder_encode(&b, &w), CODEC_OK);
	assert_true(wr_fits(&w));
	return w.len;
}

static inline void say(struct moves *m, uint8_t client, enum version version, const char *text)
{
	uint8_t room[8192];

	add(m, MOVE_SEND, client, 0, span_of(room, bytes_of(text, version, room, sizeof(room))));
}

static inline void hear(struct moves *m, uint8_t client)
{
	add(m, MOVE_AWAIT, client, 0, (struct span){ 0 });
}

#endif
