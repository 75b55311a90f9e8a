#include <stdio.h>

#include "codec/tests/whole.h"

/* Where each field stands: NAME OFFSET+LEN, and #N from the second of several on. */
static const struct row {
	enum version version;
	const char *hex, *parts;
} rows[] = {
	{ 4, "c0 00", "first_byte 0+1, remaining_length 1+1" },
	{ 4, "c0 80 00", "first_byte 0+1, remaining_length 1+2" },
	{ 4, "", "" },
	{ 4, "30", "first_byte 0+1" },
	{ 4, "30 80", "first_byte 0+1, unreadable 1+1" },
	{ 4, "32 09 0003 612f62 0001 68 69", "first_byte 0+1, remaining_length 1+1, topic 2+5, packet_id 7+2, payload 9+2" },
	{ 4, "30 05 0003 612f62", "first_byte 0+1, remaining_length 1+1, topic 2+5" },
	{ 4, "30 03 0009 61", "first_byte 0+1, remaining_length 1+1, unreadable 2+3" },
	{ 4, "40 03 0001 00", "first_byte 0+1, remaining_length 1+1, packet_id 2+2, trailing 4+1" },
	{ 4, "f0 01 00", "first_byte 0+1, remaining_length 1+1, unreadable 2+1" },
	{ 4, "00 01 00", "first_byte 0+1, remaining_length 1+1, unreadable 2+1" },
	{ 4, "82 0b 0001 0001 61 00 0002 622f 01", "first_byte 0+1, remaining_length 1+1, packet_id 2+2, filters 4+4, filters 8+5 #1" },
	{ 4, "82 0a 0001 0001 61 00 0002 622f", "first_byte 0+1, remaining_length 1+1, packet_id 2+2, filters 4+4, unreadable 8+4" },
	{ 4, "90 04 0001 00 01", "first_byte 0+1, remaining_length 1+1, packet_id 2+2, reason 4+1, reason 5+1 #1" },
	{ 4, "10 18 0004 4d515454 04 c6 003c 0001 61 0001 77 0000 0001 75 0000",
	  "first_byte 0+1, remaining_length 1+1, protocol_name 2+6, protocol_version 8+1, connect_flags 9+1, keep_alive 10+2, "
	  "client_id 12+3, will.topic 15+3, will.payload 18+2, user_name 20+3, password 23+2" },
	{ 5, "30 16 0001 74 10 26 0001 6b 0001 76 26 0002 6b32 0002 7632 78 79",
	  "first_byte 0+1, remaining_length 1+1, topic 2+3, property_length 5+1, user_property 6+7, user_property 13+9 #1, payload 22+2" },
	{ 5, "30 06 0001 74 02 0102", "first_byte 0+1, remaining_length 1+1, topic 2+3, property_length 5+1, payload_format_indicator 6+2" },
	{ 5, "30 08 0001 74 04 0102 7f00", "first_byte 0+1, remaining_length 1+1, topic 2+3, property_length 5+1, payload_format_indicator 6+2, unreadable 8+2" },
	{ 5, "40 04 0001 10 00", "first_byte 0+1, remaining_length 1+1, packet_id 2+2, reason 4+1, property_length 5+1" },
	{ 5, "10 1a 0004 4d515454 05 06 003c 00 0001 61 05 18 0000001e 0001 77 0001 78",
	  "first_byte 0+1, remaining_length 1+1, protocol_name 2+6, protocol_version 8+1, connect_flags 9+1, keep_alive 10+2, property_length 12+1, "
	  "client_id 13+3, will.property_length 16+1, will.delay_interval 17+5, will.topic 22+3, will.payload 25+3" },
};

static struct guard guard;

static void laid_out_as_written(void **state)
{
	const struct row *row = *state;
	uint8_t bytes[256];
	char found[1024] = "";
	struct part parts[32];
	size_t len = bytes_of_hex(row->hex, bytes, sizeof bytes), at = 0;
	size_t n = layout(guard_copy(&guard, bytes, len), len, row->version, parts, 32);

	for (size_t i = 0; i < n; i++) {
		at += (size_t)snprintf(found + at, sizeof found - at, "%s%s %u+%u", i ? ", " : "", parts[i].name, parts[i].offset, parts[i].len);
		if (parts[i].nth)
			at += (size_t)snprintf(found + at, sizeof found - at, " #%u", parts[i].nth);
	}
	assert_string_equal(found, row->parts);
	assert_laid_out(bytes, len, row->version);
}

/* The count is whole although only the first parts are written. */
static void counts_past_its_room(void **state)
{
	uint8_t bytes[32];
	struct part parts[3] = { { .name = NULL } };
	size_t len = bytes_of_hex("82 0b 0001 0001 61 00 0002 622f 01", bytes, sizeof bytes);

	(void)state;
	assert_int_equal(layout(bytes, len, MQTT_3_1_1, parts, 2), 5);
	assert_string_equal(parts[1].name, "remaining_length");
	assert_null(parts[2].name);
	assert_int_equal(layout(bytes, len, MQTT_3_1_1, NULL, 0), 5);
}

int main(void)
{
	static struct CMUnitTest tests[sizeof rows / sizeof *rows + 1] = { cmocka_unit_test(counts_past_its_room) };

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		tests[i + 1] = (struct CMUnitTest){ .name = rows[i].hex, .test_func = laid_out_as_written, .initial_state = (void *)&rows[i] };
	guard = guard_new(4096);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
