#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "codec/generate.h"
#include "harness/order.h"

static uint32_t least_of(const uint32_t *keys, uint32_t n)
{
	uint32_t least = ORDER_NONE;

	for (uint32_t i = 0; i < n; i++)
		least = keys[i] < least ? keys[i] : least;
	return least;
}

static void none_takes_part_at_first(void **state)
{
	struct order order;

	(void)state;
	order_init(&order, 1);
	assert_int_equal(order_least(&order), ORDER_NONE);
	order_set(&order, 0, 7);
	assert_int_equal(order_least(&order), 7);
	order_set(&order, 0, ORDER_NONE);
	assert_int_equal(order_least(&order), ORDER_NONE);
	order_release(&order);
}

/* Whatever changes, in orders of every size that is next to a power of two. */
static void least_is_the_least(void **state)
{
	struct random random;

	(void)state;
	random_seed(&random, 5);
	for (uint32_t n = 1; n <= 65; n++) {
		uint32_t keys[65];
		struct order order;

		order_init(&order, n);
		for (uint32_t i = 0; i < n; i++)
			keys[i] = ORDER_NONE;
		for (unsigned turn = 0; turn < 2000; turn++) {
			uint64_t draw = random_next(&random);
			uint32_t who = (uint32_t)(draw % n), key = draw >> 60 < 4 ? ORDER_NONE : (uint32_t)(draw >> 32) % 50;

			keys[who] = key;
			order_set(&order, who, key);
			assert_int_equal(order_least(&order), least_of(keys, n));
		}
		order_release(&order);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(none_takes_part_at_first), cmocka_unit_test(least_is_the_least) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
