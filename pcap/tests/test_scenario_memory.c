#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "pcap/scenario_memory.h"

/* What the writer of capture files remembers: it is found again, and takes no more room than there is. */

static void strings_are_found(void **state)
{
	size_t room = 1 << 20;
	struct strings s = { .room = &room };
	char text[16];

	(void)state;
	assert_null(strings_find(&s, span_text("1")));
	for (uint32_t i = 0; i < 2000; i++) {
		snprintf(text, sizeof(text), "%u", i);
		assert_null(strings_find(&s, span_text(text)));
		assert_non_null(strings_add(&s, span_text(text), i));
	}
	for (uint32_t i = 0; i < 2000; i++) {
		snprintf(text, sizeof(text), "%u", i);
		const struct string *found = strings_find(&s, span_text(text));
		assert_true(found && found->number == i && found == &s.list[i]);
	}
	assert_null(strings_find(&s, span_text("2000")));
	strings_release(&s);
	assert_int_equal(room, 1 << 20);
	assert_null(strings_find(&s, span_text("1")));
}

static void strings_share_their_room(void **state)
{
	size_t room = 4096;
	struct strings s[2] = { { .room = &room }, { .room = &room } };
	char text[16];
	uint32_t n = 0;

	(void)state;
	for (; n < 1000; n++) {
		snprintf(text, sizeof(text), "%u", n);
		if (!strings_add(&s[n & 1], span_text(text), n))
			break;
	}
	assert_in_range(n, 50, 200);
	assert_true(room < 4096);
	strings_release(&s[0]);
	assert_non_null(strings_add(&s[1], span_text("another"), 0));
	assert_non_null(strings_find(&s[1], span_text("1")));
	strings_release(&s[1]);
	assert_int_equal(room, 4096);
}

static void names_make_way(void **state)
{
	size_t room = 1000;
	struct named_ids ids = { .room = &room }, none = { .room = &room };

	(void)state;
	for (uint16_t i = 1; i <= 500; i++)
		named_add(&ids, i, 1000u + i);
	assert_int_equal(named_find(&ids, 500), 1500);
	assert_int_equal(named_find(&ids, 1), 0);
	assert_in_range(ids.n, 32, 125);
	assert_int_equal(named_find(&ids, (uint16_t)(501 - ids.n)), 1501 - ids.n);
	named_remove(&ids, 500);
	assert_int_equal(named_find(&ids, 500), 0);
	size_t left = room;
	room = 0;
	named_add(&none, 1, 1);
	assert_int_equal(named_find(&none, 1), 0);
	room = left;
	named_release(&none);
	named_release(&ids);
	assert_int_equal(room, 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(strings_are_found),
		cmocka_unit_test(strings_share_their_room),
		cmocka_unit_test(names_make_way),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
