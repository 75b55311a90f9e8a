#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "harness/load/tests/random_times.h"

/* Counts, row by row, and all that is known besides. */
static void assert_same(const struct hdr *a, const struct hdr *b)
{
	for (unsigned i = 0; i < HDR_BUCKETS; i++)
		if (hdr_bucket_count(a, i) != hdr_bucket_count(b, i))
			fail_msg("bucket %u has %lu here and %lu there", i, (unsigned long)hdr_bucket_count(a, i), (unsigned long)hdr_bucket_count(b, i));
	assert_true(a->count == b->count && a->over == b->over && a->min == b->min && a->max == b->max);
}

/* ---- buckets ---- */

static void buckets_follow_each_other(void **state)
{
	unsigned last = hdr_bucket(HDR_HIGHEST);

	(void)state;
	assert_int_equal(hdr_bucket_low(0), 0);
	for (unsigned i = 0; i <= last; i++) {
		uint64_t low = hdr_bucket_low(i), high = hdr_bucket_high(i);

		if (hdr_bucket(low) != i || hdr_bucket(high) != i || hdr_bucket_low(i + 1) != high + 1)
			fail_msg("bucket %u from %lu to %lu", i, (unsigned long)low, (unsigned long)high);
		if ((high - low) * 1000 > low)
			fail_msg("bucket %u is wider than a thousandth of %lu", i, (unsigned long)low);
	}
	assert_true(last < HDR_BUCKETS);
}

/* What HdrHistogram 2.1 (Java) says for these: countsArrayIndex() by its highestEquivalentValue(). */
static void buckets_are_those_of_hdrhistogram(void **state)
{
	static const struct { uint64_t ns, low, high; } rows[] = {
		{ 0, 0, 0 }, { 1, 1, 1 }, { 2047, 2047, 2047 }, { 2048, 2048, 2049 }, { 2049, 2048, 2049 }, { 4095, 4094, 4095 },
		{ 4096, 4096, 4099 }, { 10007, 10000, 10007 }, { 1000000, 999936, 1000447 }, { 123456789, 123404288, 123469823 },
		{ 3600000000000, 3599182594048, 3601330077695 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(hdr_bucket_low(hdr_bucket(rows[i].ns)), rows[i].low);
		assert_int_equal(hdr_bucket_high(hdr_bucket(rows[i].ns)), rows[i].high);
	}
}

/* ---- counting ---- */

static void nothing(void **state)
{
	struct hdr h = { 0 };

	(void)state;
	assert_int_equal(hdr_quantile(&h, 500000), 0);
	assert_true(hdr_mean(&h) == 0 && hdr_deviation(&h) == 0);
	assert_true(hdr_record_n(&h, 5, 0) && hdr_count(&h, 5, 0) && !h.count && !h.rows[0]);
	hdr_reset(&h);
	hdr_release(&h);
}

static void only_rows_in_use_have_memory(void **state)
{
	struct hdr h = { 0 };

	(void)state;
	assert_true(hdr_record(&h, 100000));
	for (unsigned r = 0; r < HDR_ROWS; r++)
		assert_int_equal(h.rows[r] != NULL, r == hdr_bucket(100000) / HDR_HALF);
	const struct hdr_row *row = h.rows[hdr_bucket(100000) / HDR_HALF];
	hdr_reset(&h);
	assert_true(!h.count && !h.min && !h.max && h.rows[hdr_bucket(100000) / HDR_HALF] == row && !hdr_bucket_count(&h, hdr_bucket(100000)));
	hdr_release(&h);
	assert_null(h.rows[hdr_bucket(100000) / HDR_HALF]);
}

static void what_is_longer_than_an_hour(void **state)
{
	struct hdr h = { 0 };

	(void)state;
	assert_true(hdr_record(&h, HDR_HIGHEST) && h.over == 0);
	assert_true(hdr_record_n(&h, HDR_HIGHEST + 1, 2) && hdr_record(&h, UINT64_MAX));
	assert_int_equal(h.over, 3);
	assert_int_equal(h.count, 4);
	assert_int_equal(hdr_bucket_count(&h, hdr_bucket(HDR_HIGHEST)), 4);
	assert_true(h.min == HDR_HIGHEST && h.max == UINT64_MAX);
	assert_true(hdr_quantile(&h, 500000) == hdr_bucket_high(hdr_bucket(HDR_HIGHEST)) && hdr_quantile(&h, 1000000) == UINT64_MAX);
	hdr_release(&h);
}

static void quantiles_of_a_row_of_numbers(void **state)
{
	static const struct { uint32_t per_million; uint64_t ns; } rows[] = {
		{ 0, 1 }, { 1, 1 }, { 1000, 1 }, { 1001, 2 }, { 10000, 10 }, { 500000, 500 }, { 500001, 501 }, { 990000, 990 }, { 999000, 999 },
		{ 999001, 1000 }, { 1000000, 1000 },
	};
	struct hdr h = { 0 };

	(void)state;
	for (uint64_t ns = 1; ns <= 1000; ns++)
		assert_true(hdr_record(&h, ns));
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_int_equal(hdr_quantile(&h, rows[i].per_million), rows[i].ns);
	assert_true(fabs(hdr_mean(&h) - 500.5) < 1e-9 && fabs(hdr_deviation(&h) - 288.674990) < 1e-5);
	hdr_release(&h);
}

static void no_quantile_passes_the_longest(void **state)
{
	struct hdr h = { 0 };

	(void)state;
	assert_true(hdr_record(&h, 1000001));
	assert_int_equal(hdr_quantile(&h, 500000), 1000001);
	assert_int_equal(hdr_quantile(&h, 1000000), 1000001);
	hdr_release(&h);
}

static int by_size(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* Against the sorted durations themselves: never less than the true one, and at most a thousandth more. */
static void quantiles_of_random_times(void **state)
{
	static uint64_t all[5000];
	static const uint32_t wanted[] = { 0, 10000, 250000, 500000, 900000, 990000, 999000, 999900, 1000000 };
	struct hdr h = { 0 };
	uint64_t seed = 7;

	(void)state;
	for (size_t i = 0; i < 5000; i++)
		assert_true(hdr_record(&h, all[i] = random_time(&seed) % HDR_HIGHEST));
	qsort(all, 5000, sizeof(all[0]), by_size);
	for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
		uint64_t rank = ((uint64_t)wanted[i] * 5000 + 999999) / 1000000, truth = all[rank ? rank - 1 : 0], said = hdr_quantile(&h, wanted[i]);

		assert_true(said >= truth && said - truth <= truth / 1000 && said <= all[4999]);
	}
	assert_true(h.min == all[0] && h.max == all[4999]);
	hdr_release(&h);
}

/* Where 16 bits are full, however it comes about. */
static void more_than_65535_in_a_bucket(void **state)
{
	unsigned bucket = hdr_bucket(5000);
	struct hdr one_by_one = { 0 }, at_once = { 0 }, sum = { 0 };

	(void)state;
	for (unsigned i = 0; i < 3 * 65536 + 7; i++)
		assert_true(hdr_record(&one_by_one, 5000));
	assert_int_equal(hdr_bucket_count(&one_by_one, bucket), 3 * 65536 + 7);
	assert_true(hdr_record_n(&at_once, 5000, 65535) && !at_once.rows[bucket / HDR_HALF]->more);
	assert_true(hdr_add(&sum, &at_once) && !sum.rows[bucket / HDR_HALF]->more && hdr_add(&sum, &at_once));
	assert_int_equal(hdr_bucket_count(&sum, bucket), 2 * 65535);
	assert_true(hdr_add(&sum, &one_by_one) && hdr_count(&sum, bucket, (1ull << 52) + 1) && hdr_record(&sum, 5000));
	assert_int_equal(hdr_bucket_count(&sum, bucket), 2 * 65535 + 3 * 65536 + 7 + (1ull << 52) + 2);
	assert_int_equal(sum.count, hdr_bucket_count(&sum, bucket));
	hdr_reset(&sum);
	assert_int_equal(hdr_bucket_count(&sum, bucket), 0);
	hdr_release(&one_by_one);
	hdr_release(&at_once);
	hdr_release(&sum);
}

/* ---- adding ---- */

static void parts_add_up_to_the_whole(void **state)
{
	enum { N_PARTS = 7 };
	struct hdr whole = { 0 }, forth = { 0 }, back = { 0 }, parts[N_PARTS] = { 0 };
	uint64_t seed = 42;

	(void)state;
	for (unsigned i = 0; i < 20000; i++) {
		uint64_t ns = random_time(&seed), n = random_u64(&seed) % 50 ? 1 : random_u64(&seed) % 1000000000;

		assert_true(hdr_record_n(&whole, ns, n) && hdr_record_n(&parts[random_u64(&seed) % (N_PARTS - 1)], ns, n));
	}
	for (unsigned i = 0; i < N_PARTS; i++)		/* the last one is empty */
		assert_true(hdr_add(&forth, &parts[i]) && hdr_add(&back, &parts[N_PARTS - 1 - i]));
	assert_true(whole.over > 0);
	assert_same(&whole, &forth);
	assert_same(&whole, &back);
	for (unsigned i = 0; i < N_PARTS; i++)
		hdr_release(&parts[i]);
	hdr_release(&whole);
	hdr_release(&forth);
	hdr_release(&back);
}

/* What is known by buckets only gives the same counts, and bounds of the bucket's. */
static void counted_by_buckets(void **state)
{
	struct hdr exact = { 0 }, counted = { 0 };

	(void)state;
	assert_true(hdr_record_n(&exact, 123456789, 3) && hdr_record(&exact, 5));
	for (unsigned i = 0; i <= hdr_bucket(HDR_HIGHEST); i++)
		assert_true(hdr_count(&counted, i, hdr_bucket_count(&exact, i)));
	assert_true(counted.count == 4 && counted.min == 5 && counted.max == 123469823);
	assert_int_equal(hdr_quantile(&counted, 900000), 123469823);
	assert_int_equal(hdr_quantile(&exact, 900000), 123456789);
	hdr_release(&exact);
	hdr_release(&counted);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(buckets_follow_each_other), cmocka_unit_test(buckets_are_those_of_hdrhistogram), cmocka_unit_test(nothing),
		cmocka_unit_test(only_rows_in_use_have_memory), cmocka_unit_test(what_is_longer_than_an_hour),
		cmocka_unit_test(quantiles_of_a_row_of_numbers), cmocka_unit_test(no_quantile_passes_the_longest),
		cmocka_unit_test(quantiles_of_random_times), cmocka_unit_test(more_than_65535_in_a_bucket), cmocka_unit_test(parts_add_up_to_the_whole), cmocka_unit_test(counted_by_buckets),
	};

	return cmocka_run_group_tests_name("hdr", tests, NULL, NULL);
}
