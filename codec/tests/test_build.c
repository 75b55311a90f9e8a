#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "codec/build.h"

static uint8_t room[1 << 20], bytes[1 << 19];
static struct arena arena;

static struct builder start(enum packet_type type, enum version version)
{
	struct builder b;

	arena_init(&arena, room, sizeof(room));
	builder_start(&b, type, version, &arena);
	return b;
}

static const struct field *field(const struct builder *b, const char *name)
{
	const struct field *f = field_find((enum packet_type)b->packet.type, span_text(name));

	assert_non_null(f);
	return f;
}

static enum status number(struct builder *b, const char *name, uint64_t n)
{
	return builder_set(b, field(b, name), &(struct value){ .kind = VALUE_NUMBER, .number = n });
}

static enum status text(struct builder *b, const char *name, const char *s)
{
	return builder_set(b, field(b, name), &(struct value){ .kind = VALUE_BYTES, .bytes = span_text(s) });
}

static enum status raw(struct builder *b, const char *name, const char *at, size_t len)
{
	return builder_set(b, field(b, name), &(struct value){ .kind = VALUE_BYTES, .bytes = span_of(at, len) });
}

static enum status absent(struct builder *b, const char *name)
{
	return builder_set(b, field(b, name), &(struct value){ .kind = VALUE_ABSENT });
}

/* The packet's bytes are those of the standard, written in hex without blanks. */
static void assert_bytes(struct builder *b, const char *hex)
{
	static char found[1 << 12];
	struct writer w = writer_to(bytes, sizeof(bytes));
	char *to = found;

	assert_int_equal(builder_encode(b, &w), CODEC_OK);
	assert_true(2 * w.len < sizeof(found));
	for (size_t i = 0; i < w.len; i++)
		to += sprintf(to, "%02x", bytes[i]);
	*to = '\0';
	assert_string_equal(found, hex);
}

static void starts_right(void **state)
{
	(void)state;
	struct builder b = start(PUBREL, MQTT_3_1_1);
	number(&b, "packet_id", 1);
	assert_bytes(&b, "62020001");
	b = start(CONNECT, MQTT_3_1);
	assert_bytes(&b, "100e00064d514973647003000000" "0000");
	b = start(CONNECT, MQTT_3_1_1);
	assert_bytes(&b, "100c00044d51545404000000" "0000");
	b = start(CONNECT, MQTT_5);
	assert_bytes(&b, "100d00044d51545405000000" "000000");
}

static void fields_bring_their_flags(void **state)
{
	(void)state;
	struct builder b = start(CONNECT, MQTT_3_1_1);
	text(&b, "user_name", "u");
	assert_bytes(&b, "100f00044d51545404800000" "0000" "000175");
	text(&b, "password", "p");
	assert_bytes(&b, "101200044d51545404c00000" "0000" "000175" "000170");
	absent(&b, "user_name");
	assert_bytes(&b, "100f00044d51545404400000" "0000" "000170");
	absent(&b, "password");
	number(&b, "clean_start", 1);
	assert_bytes(&b, "100c00044d51545404020000" "0000");
	text(&b, "will.topic", "w");
	number(&b, "will.qos", 2);
	number(&b, "will.retain", 1);
	assert_bytes(&b, "101100044d51545404360000" "0000" "000177" "0000");
	absent(&b, "will.topic");
	assert_int_equal(b.packet.connect_flags & CONNECT_WILL, 0);
}

static void will_properties_bring_the_will(void **state)
{
	(void)state;
	struct builder b = start(CONNECT, MQTT_5);
	assert_int_equal(number(&b, "will.delay_interval", 5), CODEC_OK);
	assert_bytes(&b, "101700044d51545405040000" "00" "0000" "05" "1800000005" "0000" "0000");
}

static void later_flags_override(void **state)
{
	(void)state;
	struct builder b = start(CONNECT, MQTT_3_1_1);
	text(&b, "user_name", "u");
	number(&b, "connect_flags", 0x02);
	assert_bytes(&b, "100c00044d51545404020000" "0000");
	b = start(PUBLISH, MQTT_3_1_1);
	text(&b, "topic", "a");
	number(&b, "qos", 1);
	number(&b, "dup", 1);
	number(&b, "flags", 0x6);
	number(&b, "packet_id", 7);
	assert_bytes(&b, "3605" "000161" "0007");
}

static void last_value_counts(void **state)
{
	(void)state;
	struct builder b = start(CONNECT, MQTT_5);
	number(&b, "receive_maximum", 1);
	number(&b, "session_expiry_interval", 2);
	number(&b, "receive_maximum", 3);
	number(&b, "keep_alive", 1);
	number(&b, "keep_alive", 60);
	assert_bytes(&b, "101500044d5154540500003c" "08" "1100000002" "210003" "0000");
	absent(&b, "session_expiry_interval");
	assert_bytes(&b, "101000044d5154540500003c" "03" "210003" "0000");
}

static void again_repeats(void **state)
{
	(void)state;
	struct builder b = start(CONNECT, MQTT_5);
	number(&b, "receive_maximum", 1);
	assert_int_equal(builder_again(&b, field(&b, "receive_maximum"), &(struct value){ .kind = VALUE_NUMBER, .number = 2 }), CODEC_OK);
	assert_bytes(&b, "101300044d51545405000000" "06" "210001" "210002" "0000");
	absent(&b, "receive_maximum");
	assert_bytes(&b, "100d00044d51545405000000" "00" "0000");
}

static void lists_grow(void **state)
{
	(void)state;
	struct builder b = start(PUBLISH, MQTT_5);
	text(&b, "topic", "a");
	number(&b, "subscription_identifier", 1);
	number(&b, "subscription_identifier", 128);
	assert_bytes(&b, "3009" "000161" "05" "0b01" "0b8001");
	b = start(SUBACK, MQTT_3_1_1);
	number(&b, "packet_id", 1);
	number(&b, "reason", 0);
	number(&b, "reason", 0x80);
	assert_bytes(&b, "9004" "0001" "0080");
	b = start(SUBSCRIBE, MQTT_3_1_1);
	number(&b, "packet_id", 1);
	for (int i = 0; i < 2; i++)
		assert_int_equal(builder_set(&b, field(&b, "filters"), &(struct value){ .kind = VALUE_FILTER, .bytes = span_text("a"), .number = 2 }), CODEC_OK);
	assert_bytes(&b, "820a" "0001" "00016102" "00016102");
}

static void reason_is_written(void **state)
{
	(void)state;
	struct builder b = start(PUBACK, MQTT_5);
	number(&b, "packet_id", 1);
	assert_bytes(&b, "4002" "0001");
	number(&b, "reason", 0);
	assert_bytes(&b, "4003" "0001" "00");
	text(&b, "reason_string", "");
	assert_bytes(&b, "4007" "0001" "00" "03" "1f0000");
	absent(&b, "reason_string");
	assert_bytes(&b, "4004" "0001" "00" "00");
	absent(&b, "reason");
	assert_bytes(&b, "4002" "0001");
}

static void numbers_as_bytes(void **state)
{
	(void)state;
	struct builder b = start(CONNECT, MQTT_5);
	assert_int_equal(raw(&b, "keep_alive", "\x01\x02", 2), CODEC_OK);
	assert_int_equal(raw(&b, "session_expiry_interval", "\x01\x02\x03\x04", 4), CODEC_OK);
	assert_int_equal(raw(&b, "receive_maximum", "\xff\xff", 2), CODEC_OK);
	assert_bytes(&b, "101500044d51545405000102" "08" "1101020304" "21ffff" "0000");
	assert_int_equal(raw(&b, "keep_alive", "\x01", 1), CODEC_BAD);
	assert_int_equal(raw(&b, "receive_maximum", "\x01\x02\x03", 3), CODEC_BAD);
}

static void values_out_of_range(void **state)
{
	(void)state;
	struct builder b = start(PUBLISH, MQTT_5);
	assert_int_equal(number(&b, "packet_id", 65535), CODEC_OK);
	assert_int_equal(number(&b, "packet_id", 65536), CODEC_BAD);
	assert_int_equal(number(&b, "qos", 3), CODEC_OK);
	assert_int_equal(number(&b, "qos", 4), CODEC_BAD);
	assert_int_equal(number(&b, "flags", 16), CODEC_BAD);
	assert_int_equal(number(&b, "payload_format_indicator", 255), CODEC_OK);
	assert_int_equal(number(&b, "payload_format_indicator", 256), CODEC_BAD);
	assert_int_equal(number(&b, "message_expiry_interval", 0xffffffff), CODEC_OK);
	assert_int_equal(number(&b, "message_expiry_interval", UINT64_C(0x100000000)), CODEC_BAD);
	assert_int_equal(number(&b, "subscription_identifier", VARINT_MAX), CODEC_OK);
	assert_int_equal(number(&b, "subscription_identifier", VARINT_MAX + UINT64_C(1)), CODEC_BAD);
	assert_int_equal(number(&b, "topic", 1), CODEC_BAD);
	assert_int_equal(number(&b, "content_type", 1), CODEC_BAD);
	assert_int_equal(text(&b, "user_property", "k"), CODEC_BAD);
	assert_int_equal(text(&b, "subscription_identifier", "k"), CODEC_BAD);
	static char longest[65537];
	memset(longest, 'a', 65536);
	assert_int_equal(text(&b, "topic", longest), CODEC_LIMIT);
	assert_int_equal(text(&b, "content_type", longest), CODEC_LIMIT);
	assert_int_equal(text(&b, "payload", longest), CODEC_OK);
	longest[65535] = '\0';
	assert_int_equal(text(&b, "topic", longest), CODEC_OK);
	assert_int_equal(text(&b, "content_type", longest), CODEC_OK);
}

static void full_arena_is_a_limit(void **state)
{
	uint8_t small[64];
	struct arena tight;
	struct builder b;
	enum status status = CODEC_OK;
	int n = 0;

	(void)state;
	arena_init(&tight, small, sizeof(small));
	builder_start(&b, CONNECT, MQTT_5, &tight);
	while (status == CODEC_OK && n++ < 100)
		status = builder_again(&b, field(&b, "receive_maximum"), &(struct value){ .kind = VALUE_NUMBER, .number = 1 });
	assert_int_equal(status, CODEC_LIMIT);
	assert_true(n > 10);
}

static void raw_properties(void **state)
{
	(void)state;
	struct builder b = start(PUBLISH, MQTT_5);
	text(&b, "topic", "a");
	number(&b, "topic_alias", 1);
	assert_int_equal(builder_raw_property(&b, false, span_of("\x7f\x01", 2)), CODEC_OK);
	assert_bytes(&b, "3009" "000161" "05" "230001" "7f01");
	b = start(PUBACK, MQTT_5);
	number(&b, "packet_id", 1);
	builder_raw_property(&b, false, span_of("\x7f", 1));
	assert_bytes(&b, "4005" "0001" "00" "01" "7f");
	b = start(CONNECT, MQTT_5);
	builder_raw_property(&b, true, span_of("\x7f", 1));
	assert_bytes(&b, "101300044d51545405040000" "00" "0000" "01" "7f" "0000" "0000");
}

static void raw_properties_stay(void **state)
{
	(void)state;
	struct builder b = start(PUBLISH, MQTT_5);
	text(&b, "topic", "a");
	number(&b, "topic_alias", 1);
	builder_raw_property(&b, false, span_of("\x7f\x01", 2));
	number(&b, "payload_format_indicator", 1);
	number(&b, "topic_alias", 2);
	assert_bytes(&b, "300b" "000161" "07" "7f01" "0101" "230002");
}

static void refused_value_changes_nothing(void **state)
{
	(void)state;
	struct builder b = start(PUBLISH, MQTT_5);
	text(&b, "topic", "a");
	number(&b, "topic_alias", 1);
	assert_int_equal(number(&b, "topic_alias", 65536), CODEC_BAD);
	assert_bytes(&b, "3007" "000161" "03" "230001");
}

static void lies_are_told(void **state)
{
	(void)state;
	struct builder b = start(PUBLISH, MQTT_5);
	text(&b, "topic", "a");
	b.lies.remaining_length = span_of("\xff\x00", 2);
	assert_bytes(&b, "30ff00" "000161" "00");
	b.lies.property_length = span_of("\x05", 1);
	assert_bytes(&b, "30ff00" "000161" "05");
	b.lies = (struct lies){ .trailing = span_of("xy", 2) };
	assert_bytes(&b, "3006" "000161" "00" "7879");
	b.lies = (struct lies){ .omit = { field(&b, "topic") } };
	assert_bytes(&b, "3001" "00");
	b.lies = (struct lies){ .ends_after = field(&b, "topic") };
	assert_bytes(&b, "3003" "000161");
	b = start(PUBACK, MQTT_5);
	number(&b, "packet_id", 1);
	b.lies.property_length = span_of("\x09", 1);
	assert_bytes(&b, "4004" "0001" "00" "09");
	b = start(CONNECT, MQTT_5);
	text(&b, "will.topic", "w");
	b.lies.will_property_length = span_of("\x80\x00", 2);
	assert_bytes(&b, "101400044d51545405040000" "00" "0000" "8000" "000177" "0000");
}

/* ---- padding ---- */

static const struct pad {
	const char *name;
	enum packet_type type;
	enum version version;
	size_t least;			/* its size without padding */
	bool can;
} pads[] = {
	{ "PUBLISH", PUBLISH, MQTT_3_1_1, 5, true },
	{ "PUBLISH of 5", PUBLISH, MQTT_5, 6, true },
	{ "CONNECT of 5", CONNECT, MQTT_5, 15, true },
	{ "SUBSCRIBE of 5", SUBSCRIBE, MQTT_5, 9, true },
	{ "PUBACK of 5", PUBACK, MQTT_5, 4, true },
	{ "DISCONNECT of 5", DISCONNECT, MQTT_5, 2, true },
	{ "CONNECT", CONNECT, MQTT_3_1_1, 14, false },
	{ "PINGREQ", PINGREQ, MQTT_5, 2, false },
	{ "DISCONNECT", DISCONNECT, MQTT_3_1_1, 2, false },
};

static struct builder plain(const struct pad *row)
{
	struct builder b = start(row->type, row->version);

	if (row->type == CONNECT)
		number(&b, "clean_start", 1);
	if (row->type == PUBLISH)
		text(&b, "topic", "a");
	if (row->type == SUBSCRIBE)
		builder_set(&b, field(&b, "filters"), &(struct value){ .kind = VALUE_FILTER, .bytes = span_text("a") });
	if (row->type == SUBSCRIBE || row->type == PUBACK)
		number(&b, "packet_id", 1);
	return b;
}

static enum status padded(const struct pad *row, size_t size)
{
	struct builder b = plain(row);
	struct writer w = writer_to(bytes, sizeof(bytes));
	struct frame frame;
	struct packet p;
	struct finding finding;

	b.size = size;
	enum status status = builder_encode(&b, &w);
	if (status != CODEC_OK)
		return status;
	assert_int_equal(w.len, size);
	assert_int_equal(frame_next(bytes, w.len, &frame, &finding), FRAME_OK);
	assert_int_equal(frame.size, size);
	assert_int_equal(decode(bytes, w.len, row->version, &p, &finding), CODEC_OK);
	assert_int_equal(check(&p, row->type == DISCONNECT ? FROM_CLIENT : FROM_EITHER, &finding), CODEC_OK);
	return CODEC_OK;
}

/* Every size but the few that no packet has: too small, or stepped over by a length that grows. */
static void pads_to_any_size(void **state)
{
	static const size_t ends[][2] = { { 1, 400 }, { 16370, 16420 }, { 65530, 65620 }, { 131060, 131200 } };
	const struct pad *row = *state;
	unsigned n_missed = 0;

	for (size_t i = 0; i < sizeof(ends) / sizeof(*ends); i++)
		for (size_t size = ends[i][0]; size < ends[i][1]; size++) {
			if (padded(row, size) == CODEC_OK) {
				assert_true(row->can || size == row->least);
				continue;
			}
			assert_int_equal(padded(row, size), CODEC_BAD);
			n_missed += row->can && size > row->least + 7;
		}
	/* 130 and 16,387 for the remaining length; as many for the property length */
	assert_true(n_missed <= 4);
	if (row->type == PUBLISH) {
		assert_int_equal(padded(row, 129), CODEC_OK);
		assert_int_equal(padded(row, 130), CODEC_BAD);
		assert_int_equal(padded(row, 131), CODEC_OK);
		assert_int_equal(padded(row, 16386), CODEC_OK);
		assert_int_equal(padded(row, 16387), CODEC_BAD);
		assert_int_equal(padded(row, 16388), CODEC_OK);
	}
}

static void padding_keeps_the_payload(void **state)
{
	(void)state;
	struct builder b = start(PUBLISH, MQTT_3_1_1);
	text(&b, "topic", "a");
	text(&b, "payload", "XY");
	b.size = 10;
	assert_bytes(&b, "3008" "000161" "5859" "636465");
}

int main(void)
{
	static const struct CMUnitTest fixed[] = {
		cmocka_unit_test(starts_right), cmocka_unit_test(fields_bring_their_flags), cmocka_unit_test(will_properties_bring_the_will),
		cmocka_unit_test(later_flags_override), cmocka_unit_test(last_value_counts), cmocka_unit_test(again_repeats),
		cmocka_unit_test(lists_grow), cmocka_unit_test(reason_is_written), cmocka_unit_test(numbers_as_bytes),
		cmocka_unit_test(values_out_of_range), cmocka_unit_test(full_arena_is_a_limit), cmocka_unit_test(raw_properties),
		cmocka_unit_test(raw_properties_stay), cmocka_unit_test(refused_value_changes_nothing),
		cmocka_unit_test(lies_are_told), cmocka_unit_test(padding_keeps_the_payload),
	};
	enum { N_FIXED = sizeof(fixed) / sizeof(*fixed), N_PADS = sizeof(pads) / sizeof(*pads) };
	static struct CMUnitTest tests[N_FIXED + N_PADS];
	static char names[N_PADS][64];

	memcpy(tests, fixed, sizeof(fixed));
	for (size_t i = 0; i < N_PADS; i++) {
		snprintf(names[i], sizeof(names[i]), "padding of %s", pads[i].name);
		tests[N_FIXED + i] = (struct CMUnitTest){ names[i], pads_to_any_size, NULL, NULL, (void *)(uintptr_t)&pads[i] };
	}
	return _cmocka_run_group_tests("build", tests, N_FIXED + N_PADS, NULL, NULL);
}
