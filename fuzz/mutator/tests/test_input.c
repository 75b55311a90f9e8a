#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "codec/codec.h"
#include "fuzz/mutator/engine.h"
#include "fuzz/mutator/mutate.h"

/* Inputs of fuzz targets, in every shape, in room of exactly their size, so that a sanitizer sees the first byte too far. */

static size_t packets_in_a_row(uint8_t *to, size_t cap, unsigned n, bool steps, struct random *random)
{
	static uint8_t room[1 << 16];
	static const uint8_t types[] = { CONNECT, SUBSCRIBE, PUBLISH, PUBACK, UNSUBSCRIBE, PINGREQ, DISCONNECT };
	struct writer w = writer_to(to, cap);

	for (unsigned i = 0; i < n; i++) {
		struct writer before = w;
		struct arena arena;
		struct packet p;

		arena_init(&arena, room, sizeof(room));
		assert_int_equal(generate(types[random_below(random, sizeof(types))], MQTT_5, FROM_CLIENT, random, &arena, &p), CODEC_OK);
		if (steps)
			wr_u8(&w, (unsigned)random_below(random, 4));
		assert_int_equal(encode(&p, NULL, &w), CODEC_OK);
		if (!wr_fits(&w)) {
			w = before;
			break;
		}
	}
	return w.len;
}

static size_t some_input(enum engine_shape shape, uint8_t *to, size_t cap, struct random *random)
{
	size_t len = random_below(random, cap + 1);

	if (random_below(random, 4)) {
		if (shape == ENGINE_MOVES) {
			static const uint8_t sends[] = { MOVE_OPEN, MOVE_SEND, 16, 0x10, 14, 0, 4, 'M', 'Q', 'T', 'T', 4, 2, 0, 60, 0, 2, 'a', 'b', MOVE_SEND, 2, 0xc0, 0 };

			len = sizeof(sends) < cap ? sizeof(sends) : cap;
			memcpy(to, sends, len);
			return len;
		}
		if (shape == ENGINE_HEADED && cap > 2) {
			to[0] = to[1] = 0;
			return 2 + packets_in_a_row(to + 2, cap - 2, 6, false, random);
		}
		return packets_in_a_row(to, cap, 6, shape == ENGINE_STEPS, random);
	}
	for (size_t i = 0; i < len; i++)
		to[i] = (uint8_t)random_next(random);
	return len;
}

static void stays_within_its_room(void **state)
{
	struct random random;

	(void)state;
	random_seed(&random, 1);
	for (unsigned i = 0; i < 3000; i++) {
		enum engine_shape shape = i % N_ENGINE_SHAPES;
		size_t cap = 1 + random_below(&random, i % 10 ? 500 : 8), len;
		uint8_t *bytes = malloc(cap);

		assert_non_null(bytes);
		len = some_input(shape, bytes, cap, &random);
		for (unsigned k = 0; k < 8; k++) {
			len = mutate_input(shape, bytes, len, cap, &random);
			assert_true(len <= cap);
		}
		free(bytes);
	}
}

static void crossed_within_its_room(void **state)
{
	struct random random;
	unsigned crossed[N_ENGINE_SHAPES] = { 0 };

	(void)state;
	random_seed(&random, 2);
	for (unsigned i = 0; i < 3000; i++) {
		enum engine_shape shape = i % N_ENGINE_SHAPES;
		size_t cap = 1 + random_below(&random, 500), n, m, len;
		uint8_t *a = malloc(cap), *b = malloc(cap), *out = malloc(cap);

		assert_true(a && b && out);
		n = some_input(shape, a, cap, &random);
		m = some_input(shape, b, cap, &random);
		len = cross_inputs(shape, span_of(a, n), span_of(b, m), out, cap, &random);
		assert_true(len <= cap);
		crossed[shape] += len > 0;
		free(a);
		free(b);
		free(out);
	}
	for (unsigned i = 0; i < N_ENGINE_SHAPES; i++)
		assert_true(crossed[i] > 300);
}

static void same_numbers_same_input(void **state)
{
	struct random random, again;
	uint8_t one[400], two[400];

	(void)state;
	for (unsigned i = 0; i < 600; i++) {
		enum engine_shape shape = i % N_ENGINE_SHAPES;
		size_t n, m;

		random_seed(&random, i);
		n = m = some_input(shape, one, sizeof(one), &random);
		memset(two, 0xa5, sizeof(two));
		memcpy(two, one, n);
		again = random;
		n = mutate_input(shape, one, n, sizeof(one), &random);
		m = mutate_input(shape, two, m, sizeof(two), &again);
		assert_int_equal(n, m);
		assert_memory_equal(one, two, n);
	}
}

/* One packet of the row is another, or there is one more or fewer; what stands around it still stands there. Lies are few. */
static void the_rest_of_a_stream_stays(void **state)
{
	struct random random;
	unsigned whole = 0, differs = 0;
	enum { N = 2000 };

	(void)state;
	random_seed(&random, 3);
	for (unsigned i = 0; i < N; i++) {
		uint8_t before[2000], after[2000];
		size_t len = packets_in_a_row(before, 1000, 5, false, &random), made, at = 0;
		struct frame frame;
		struct finding finding;

		memcpy(after, before, len);
		made = mutate_stream(after, len, sizeof(after), MQTT_5, FROM_CLIENT, &random);
		differs += made != len || memcmp(before, after, len);
		while (at < made && frame_next(after + at, made - at, &frame, &finding) == FRAME_OK)
			at += frame.size;
		whole += at == made;
	}
	assert_true(differs > N * 95 / 100);
	assert_true(whole > N * 85 / 100 && whole < N);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(stays_within_its_room),
		cmocka_unit_test(crossed_within_its_room),
		cmocka_unit_test(same_numbers_same_input),
		cmocka_unit_test(the_rest_of_a_stream_stays),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
