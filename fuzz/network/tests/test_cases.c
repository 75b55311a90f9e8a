#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "fuzz/network/cases.h"

/* Two conversations: open, CONNECT, PINGREQ; open, CONNECT, SUBSCRIBE (3.1.1), the second one marked as an offence. */
static const uint8_t ping[] = "\x00\x01\x15\x10\x13\x00\x04MQTT\x04\x02\x00\x3c\x00\x07" "fz0000a" "\x01\x02\xc0\x00";
static const uint8_t subscribe[] = "\x00\x01\x15\x10\x13\x00\x04MQTT\x04\x02\x00\x3c\x00\x07" "fz0000b" "\x01\x0b\x82\x09\x00\x01\x00\x04" "a/+b" "\x02";
static struct seed list[2];
static struct seeds seeds = { list, 2, NULL };

static struct cases *fresh(uint64_t seed, bool valid_only)
{
	list[0] = (struct seed){ "ping", span_of(ping, sizeof(ping) - 1), MQTT_3_1_1, false };
	list[1] = (struct seed){ "subscribe", span_of(subscribe, sizeof(subscribe) - 1), MQTT_3_1_1, true };
	return cases_new(&seeds, seed, valid_only);
}

static size_t made(struct cases *cases, struct case_id id, uint8_t *bytes, size_t cap, struct case_origin *origin)
{
	static struct moves moves;
	struct writer w = writer_to(bytes, cap);

	cases_make(cases, id, &moves, origin);
	moves_write(&moves, &w);
	assert_true(wr_fits(&w));
	return w.len;
}

static void the_seeds_come_first_as_they_stand(void **state)
{
	struct cases *cases = fresh(1, false);
	struct case_origin origin;
	uint8_t bytes[1 << 17];

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		struct case_id id = cases_next(cases);

		assert_int_equal(id.number, i + 1);
		assert_int_equal(made(cases, id, bytes, sizeof(bytes), &origin), list[i].bytes.len);
		assert_memory_equal(bytes, list[i].bytes.at, list[i].bytes.len);
		assert_string_equal(origin.seed_name, list[i].name);
		assert_string_equal(origin.anomaly.name, "");
		assert_int_equal(origin.offends, i);
	}
	cases_free(cases);
}

static void a_lineage_makes_the_same_case_anywhere(void **state)
{
	static uint8_t bytes[1 << 17], again[1 << 17];
	struct cases *cases = fresh(7, false), *others = NULL;
	struct case_origin origin, other;
	struct case_id id;
	struct fault fault;
	unsigned deepest = 0;

	(void)state;
	for (unsigned i = 0; i < 400; i++) {
		id = cases_next(cases);
		if (i % 3 == 0)
			cases_keep(cases, id);
		if (i < 380)
			continue;
		size_t len = made(cases, id, bytes, sizeof(bytes), &origin);
		others = fresh(7, false);
		assert_true(cases_find(others, origin.lineage, &id, &fault));
		assert_int_equal(made(others, id, again, sizeof(again), &other), len);
		assert_memory_equal(bytes, again, len);
		assert_string_equal(origin.lineage, other.lineage);
		assert_string_equal(origin.anomaly.name, other.anomaly.name);
		unsigned depth = 0;
		for (const char *c = origin.lineage; *c; c++)
			depth += *c == '/';
		deepest = depth > deepest ? depth : deepest;
		cases_free(others);
	}
	assert_true(deepest >= 2);
	cases_free(cases);
}

static void another_seed_makes_other_cases(void **state)
{
	static uint8_t bytes[1 << 17], other[1 << 17];
	struct cases *one = fresh(1, false), *two = fresh(2, false);
	unsigned differ = 0;

	(void)state;
	for (unsigned i = 0; i < 50; i++) {
		struct case_id id = cases_next(one);
		size_t n = made(one, id, bytes, sizeof(bytes), NULL), m = made(two, id, other, sizeof(other), NULL);

		differ += n != m || memcmp(bytes, other, n);
	}
	assert_true(differ > 30);
	cases_free(one);
	cases_free(two);
}

static void valid_ones_are_seeds_that_do_not_offend(void **state)
{
	struct cases *cases = fresh(1, true);
	struct case_origin origin;
	uint8_t bytes[1 << 17];

	(void)state;
	for (unsigned i = 0; i < 20; i++) {
		assert_int_equal(made(cases, cases_next(cases), bytes, sizeof(bytes), &origin), list[0].bytes.len);
		assert_string_equal(origin.seed_name, "ping");
		assert_false(origin.offends);
	}
	cases_free(cases);
}

static void what_is_no_lineage_is_told(void **state)
{
	static const char *const wrong[] = { "", "x", "0", "12x", "12/", "/12", "12//3", "-1", "99999999999999999999999",
		"25/24/23/22/21/20/19/18/17/16/15/14/13/12/11/10/9/8/7/6/5/4/3/2/1" };
	struct cases *cases = fresh(1, false);
	struct case_id id;
	struct fault fault;

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		fault.text[0] = '\0';
		assert_false(cases_find(cases, wrong[i], &id, &fault));
		assert_non_null(strstr(fault.text, "expected a number of a case"));
	}
	for (unsigned same = 0; same < 2; same++) {
		assert_false(cases_find(cases, same ? "7/7" : "5/7", &id, &fault));
		assert_non_null(strstr(fault.text, "which is made later"));
	}
	assert_true(cases_find(cases, "88213", &id, &fault));
	assert_int_equal(id.number, 88213);
	assert_int_equal(id.parent, CASE_NO_PARENT);
	cases_free(cases);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_seeds_come_first_as_they_stand),
		cmocka_unit_test(a_lineage_makes_the_same_case_anywhere),
		cmocka_unit_test(another_seed_makes_other_cases),
		cmocka_unit_test(valid_ones_are_seeds_that_do_not_offend),
		cmocka_unit_test(what_is_no_lineage_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
