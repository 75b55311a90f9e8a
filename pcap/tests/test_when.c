#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "pcap/when.h"

static void endpoints_print(void **state)
{
	static const struct {
		struct endpoint e;
		const char *text;
	} rows[] = {
		{ { 4, { 10, 0, 0, 1 }, 1883 }, "10.0.0.1:1883" },
		{ { 4, { 255, 255, 255, 255 }, 65535 }, "255.255.255.255:65535" },
		{ { 4, { 0 }, 0 }, "0.0.0.0:0" },
		{ { 6, { [15] = 1 }, 1883 }, "[::1]:1883" },
		{ { 6, { 0x20, 0x01, 0x0d, 0xb8, [15] = 9 }, 8883 }, "[2001:db8::9]:8883" },
		{ { 6, { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff }, 65535 },
		  "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char room[ENDPOINT_TEXT];

		assert_ptr_equal(endpoint_print(&rows[i].e, room), room);
		assert_string_equal(room, rows[i].text);
	}
}

static void endpoints_are_compared(void **state)
{
	struct endpoint a = { 4, { 10, 0, 0, 1 }, 1883 }, b = a;

	(void)state;
	assert_true(endpoint_equal(&a, &b));
	b.port = 1884;
	assert_false(endpoint_equal(&a, &b));
	b = a;
	b.family = 6;
	assert_false(endpoint_equal(&a, &b));
	b = a;
	b.address[3] = 2;
	assert_false(endpoint_equal(&a, &b));
	a.family = b.family = 6;
	a.address[15] = 7;
	b = a;
	assert_true(endpoint_equal(&a, &b));
	b.address[15] = 8;
	assert_false(endpoint_equal(&a, &b));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(endpoints_print),
		cmocka_unit_test(endpoints_are_compared),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
