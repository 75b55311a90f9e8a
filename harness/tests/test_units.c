#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "harness/units.h"

#define NOT UINT64_C(0xdeadbeef)	/* refused */

static const struct row {
	bool (*read)(const char *text, uint64_t *value);
	char *(*print)(uint64_t value, char *buf, size_t cap);
	const char *text;
	uint64_t value;
	bool shortest;			/* prints as it was written */
} rows[] = {
	{ units_duration, units_print_duration, "0", 0, true },
	{ units_duration, units_print_duration, "0s", 0, false },
	{ units_duration, units_print_duration, "1ns", 1, true },
	{ units_duration, units_print_duration, "250us", 250000, true },
	{ units_duration, units_print_duration, "500ms", 500000000, true },
	{ units_duration, units_print_duration, "0.5s", 500000000, false },
	{ units_duration, units_print_duration, "1.5s", 1500000000, false },
	{ units_duration, units_print_duration, "2s", 2000000000, true },
	{ units_duration, units_print_duration, "90s", UINT64_C(90000000000), true },
	{ units_duration, units_print_duration, "1m", UINT64_C(60000000000), true },
	{ units_duration, units_print_duration, "1h", UINT64_C(3600000000000), true },
	{ units_duration, units_print_duration, "5124095h", UINT64_C(5124095) * 3600000000000, true },
	{ units_duration, units_print_duration, "5124096h", NOT, false },
	{ units_duration, units_print_duration, "5", NOT, false },
	{ units_duration, units_print_duration, "", NOT, false },
	{ units_duration, units_print_duration, "s", NOT, false },
	{ units_duration, units_print_duration, "-1s", NOT, false },
	{ units_duration, units_print_duration, "+1s", NOT, false },
	{ units_duration, units_print_duration, " 1s", NOT, false },
	{ units_duration, units_print_duration, "1s ", NOT, false },
	{ units_duration, units_print_duration, "1 s", NOT, false },
	{ units_duration, units_print_duration, "1.s", NOT, false },
	{ units_duration, units_print_duration, ".5s", NOT, false },
	{ units_duration, units_print_duration, "1.5ns", NOT, false },
	{ units_duration, units_print_duration, "1sx", NOT, false },
	{ units_duration, units_print_duration, "1e3s", NOT, false },
	{ units_duration, units_print_duration, "99999999999999999999s", NOT, false },
	{ units_duration, units_print_duration, "0.00000000000000001s", NOT, false },
	{ units_size, units_print_size, "0", 0, true },
	{ units_size, units_print_size, "4097", 4097, true },
	{ units_size, units_print_size, "10k", 10240, true },
	{ units_size, units_print_size, "10K", 10240, false },
	{ units_size, units_print_size, "64M", 64 << 20, true },
	{ units_size, units_print_size, "1.5M", 3 << 19, false },
	{ units_size, units_print_size, "2G", UINT64_C(2) << 30, true },
	{ units_size, units_print_size, "10kB", NOT, false },
	{ units_size, units_print_size, "1.0000001k", NOT, false },
	{ units_count, units_print_count, "0", 0, true },
	{ units_count, units_print_count, "64", 64, true },
	{ units_count, units_print_count, "10k", 10000, true },
	{ units_count, units_print_count, "1M", 1000000, true },
	{ units_count, units_print_count, "2.5k", 2500, false },
	{ units_count, units_print_count, "0x2a", 42, false },
	{ units_count, units_print_count, "0xffffffffffffffff", UINT64_MAX, false },
	{ units_count, units_print_count, "0x10000000000000000", NOT, false },
	{ units_count, units_print_count, "18446744073709551615", UINT64_MAX, true },
	{ units_count, units_print_count, "18446744073709551616", NOT, false },
	{ units_count, units_print_count, "0x", NOT, false },
	{ units_count, units_print_count, "0x-1", NOT, false },
	{ units_count, units_print_count, "12three", NOT, false },
	{ units_count, units_print_count, "0.5", NOT, false },
	{ units_count, units_print_count, "ten", NOT, false },
};

static void reads_as_written(void **state)
{
	const struct row *row = *state;
	uint64_t value = NOT, again = NOT;
	char text[40];

	assert_int_equal(row->read(row->text, &value), row->value != NOT);
	assert_int_equal(value, row->value);
	if (value == NOT)
		return;
	row->print(value, text, sizeof(text));
	assert_true(row->read(text, &again));
	assert_int_equal(again, value);
	if (row->shortest)
		assert_string_equal(text, row->text);
}

static void reals(void **state)
{
	static const char *const bad[] = { "", ".", ".5", "1.2.3", "-1", "inf", "nan", "1e9", "0x1", "2x", " 1" };
	double value;

	(void)state;
	assert_true(units_real("4", &value));
	assert_true(value == 4.0);
	assert_true(units_real("1.5", &value));
	assert_true(value == 1.5);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(units_real(bad[i], &value));
	assert_true(value == 1.5);
}

#define N_ROWS (sizeof(rows) / sizeof(rows[0]))

int main(void)
{
	static struct CMUnitTest tests[N_ROWS + 1];
	static char names[N_ROWS][60];

	for (size_t i = 0; i < N_ROWS; i++) {
		const char *what = rows[i].read == units_duration ? "duration" : rows[i].read == units_size ? "size" : "count";

		snprintf(names[i], sizeof(names[i]), "%s '%s'", what, rows[i].text);
		tests[i] = (struct CMUnitTest){ .name = names[i], .test_func = reads_as_written, .initial_state = (void *)&rows[i] };
	}
	tests[N_ROWS] = (struct CMUnitTest)cmocka_unit_test(reals);
	return _cmocka_run_group_tests("units", tests, N_ROWS + 1, NULL, NULL);
}
