#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>
#include <cmocka.h>

#include "pcap/tests/talk.h"

/* Segments are lost, or the capture begins midway: what is intact is found, as good as nothing is invented. */

struct sum {
	size_t conversations, opened, intact, found, invented, holes;
};

/* One end sends all the time, so that packets begin anywhere in the segments. */
static void fill_with_flood(struct talk *t, size_t n)
{
	talk_makes(t, 0, CONNECT, 0);
	talk_makes(t, 1, CONNACK, 0);
	for (size_t i = 0; i < n; i++) {
		size_t len = random_below(&t->random, random_below(&t->random, 20) ? 400 : 6000);

		if (random_below(&t->random, 50))
			talk_publishes(t, 0, (unsigned)random_below(&t->random, 2), len, (enum payload)random_below(&t->random, N_PAYLOADS));
		else
			talk_makes(t, 0, random_below(&t->random, 2) ? PINGREQ : PUBACK, 0);
	}
}

static void play(struct sum *sum, enum version version, uint64_t seed, size_t packets, const struct feeding *how, bool from_start, bool likely)
{
	struct talk t;
	size_t kept = 0;
	struct mqtt_options options = talk_options(&kept);

	talk_init(&t, version, seed);
	if (packets > 1000)
		fill_with_flood(&t, packets);
	else
		talk_fill(&t, packets);
	options.from_start = from_start;
	options.likely = likely;
	struct stage *stage = mqtt_stage_new(&t.listener, &options);
	assert_non_null(stage);
	talk_feed(&t, stage, how);
	talk_end(&t, stage);
	assert_int_equal(kept, 0);
	assert_int_equal(t.n_ended, t.n_opened);
	sum->conversations++;
	sum->opened += t.n_opened;
	sum->intact += talk_intact(&t);
	sum->found += t.n_found;
	sum->invented += t.n_invented;
	sum->holes += t.n_holes;
	if (t.n_invented)
		printf("in the conversation of seed %llu\n", (unsigned long long)seed);
	talk_release(&t);
}

static void report(const char *what, const struct sum *sum)
{
	printf("%-52s %zu intact, %zu not found (%.3f %%), %zu invented, %zu holes\n", what, sum->intact, sum->intact - sum->found,
	       sum->intact ? 100.0 * (double)(sum->intact - sum->found) / (double)sum->intact : 0, sum->invented, sum->holes);
}

static const enum version versions[] = { MQTT_3_1, MQTT_3_1_1, MQTT_5 };

static void with_loss(const char *what, struct feeding how, size_t n, size_t packets, double least)
{
	for (unsigned v = 1; v < 3; v++) {
		struct sum sum = { 0 };
		char text[80];

		for (uint64_t seed = 1; seed <= n; seed++)
			play(&sum, versions[v], seed * 1000 + v, packets, &how, true, true);
		snprintf(text, sizeof(text), "%s, %s", what, versions[v] == MQTT_5 ? "5" : "3.1.1");
		report(text, &sum);
		assert_true((double)sum.found >= least * (double)sum.intact);
		assert_true(sum.invented * 10000 <= sum.found);
	}
}

static void one_in_a_hundred(void **state)
{
	(void)state;
	with_loss("1 % of pieces of 1 to 536 bytes lost", (struct feeding){ CUT_PIECES, .lose_one_in = 100 }, 60, 600, 0.99);
	with_loss("1 % of segments lost, a packet a segment", (struct feeding){ CUT_PACKETS, .lose_one_in = 100 }, 60, 600, 0.99);
	with_loss("1 % of full segments lost", (struct feeding){ CUT_SEGMENTS, .lose_one_in = 100 }, 60, 600, 0.99);
}

static void flood(void **state)
{
	(void)state;
	with_loss("a flood, 1 % of pieces lost", (struct feeding){ CUT_PIECES, .lose_one_in = 100 }, 10, 4000, 0.99);
	with_loss("a flood, 1 % of full segments lost", (struct feeding){ CUT_SEGMENTS, .lose_one_in = 100 }, 10, 4000, 0.99);
	with_loss("a flood, 1 % of full segments lost, lengths unknown", (struct feeding){ CUT_SEGMENTS, .lose_one_in = 100, .unknown = true }, 10, 4000, 0.99);
}

static void unknown_length(void **state)
{
	(void)state;
	with_loss("1 % of pieces lost, how much is not known", (struct feeding){ CUT_PIECES, .lose_one_in = 100, .unknown = true }, 60, 600, 0.98);
}

static void one_in_ten(void **state)
{
	(void)state;
	with_loss("10 % of pieces lost", (struct feeding){ CUT_PIECES, .lose_one_in = 10 }, 40, 600, 0.93);
	with_loss("10 % of segments lost, a packet a segment", (struct feeding){ CUT_PACKETS, .lose_one_in = 10 }, 40, 600, 0.95);
}

static void single_bytes(void **state)
{
	(void)state;
	with_loss("single bytes, 1 in 2000 lost", (struct feeding){ CUT_BYTES, .lose_one_in = 2000 }, 10, 600, 0.97);
}

static void joined_midway(void **state)
{
	static const enum cutting cuttings[] = { CUT_PACKETS, CUT_PIECES, CUT_SEGMENTS };

	(void)state;
	for (unsigned v = 1; v < 3; v++)
		for (unsigned k = 0; k < 3; k++)
			for (unsigned likely = 0; likely < 2; likely++) {
				struct sum sum = { 0 };
				char text[80];

				for (uint64_t seed = 1; seed <= 40; seed++) {
					struct feeding how = { cuttings[k], .skip = 20 + seed, .cut_into = seed % 3 ? seed % 7 * 5 : 0 };

					play(&sum, versions[v], seed, 300, &how, false, likely);
				}
				snprintf(text, sizeof(text), "joined midway, %s, cut %u, %s", versions[v] == MQTT_5 ? "5" : "3.1.1", k, likely ? "likely" : "any port");
				report(text, &sum);
				assert_true((double)sum.found >= (likely ? 0.97 : 0.9) * (double)sum.intact);
				assert_true(sum.invented * 10000 <= sum.found);
			}
}

/* What may go on as a PUBLISH for ever, byte by byte: each is looked at again with every one that comes, and that must be little. */
static void a_window_full_of_beginnings(void **state)
{
	static const uint8_t connect[] = { 0x10, 13, 0, 4, 'M', 'Q', 'T', 'T', 4, 2, 0, 60, 0, 1, 'a' };
	static const uint8_t begins[] = { 0x30, 0xc3, 0xbf, 0x3f, 0x7e, 0x7e };	/* 1 MB, and a topic of 32 kB that may hold this too */
	struct talk t;
	size_t kept = 0;
	struct mqtt_options options = talk_options(&kept);

	(void)state;
	talk_init(&t, MQTT_3_1_1, 1);
	t.quiet = true;
	options.from_start = options.likely = true;
	struct stage *stage = mqtt_stage_new(&t.listener, &options);
	assert_non_null(stage);
	alarm(20);			/* it takes half a second; it took a minute */
	stage->ops->bytes(stage, 0, span_of(connect, sizeof(connect)), &(struct when){ .frame = ++t.frame });
	stage->ops->hole(stage, 0, 5000, HOLE_LOST, &(struct when){ .frame = t.frame });
	for (size_t i = 0; i < 60000; i++)
		stage->ops->bytes(stage, 0, span_of(begins + i % sizeof(begins), 1), &(struct when){ .frame = ++t.frame });
	stage->ops->ended(stage, &(struct when){ .frame = t.frame });
	alarm(0);
	assert_int_equal(t.n_invented, 1);	/* CONNECT, which the talk does not know of */
	assert_int_equal(t.skipped, 60000);
	assert_int_equal(kept, 0);
	talk_release(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_in_a_hundred),
		cmocka_unit_test(flood),
		cmocka_unit_test(unknown_length),
		cmocka_unit_test(one_in_ten),
		cmocka_unit_test(single_bytes),
		cmocka_unit_test(joined_midway),
		cmocka_unit_test(a_window_full_of_beginnings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
