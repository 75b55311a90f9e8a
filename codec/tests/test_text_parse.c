#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/generate.h"
#include "codec/text.h"

enum { ROOM = 1 << 18 };

/* Text, version, and the packet's bytes by the standard; or the mistake as line:column: text. */
static const struct row {
	const char *text;
	enum version version;
	const char *want;
} rows[] = {
	{ "PINGREQ", MQTT_3_1_1, "c0 00" },
	{ "\n  PINGREQ  # why\n", MQTT_3_1_1, "c0 00" },
	{ "PUBLISH topic=\"a/b\" payload=\"hi\"", MQTT_3_1_1, "30 07 00 03 61 2f 62 68 69" },
	{ "PUBLISH topic=\"a/b\" payload=\"hi\"", MQTT_5, "30 08 00 03 61 2f 62 00 68 69" },
	{ "PUBLISH topic=\"a\" qos=1 dup retain packet_id=7 payload=hex\"00 ff\"", MQTT_3_1_1, "3b 07 00 01 61 00 07 00 ff" },
	{ "PUBLISH topic=\"\" topic_alias=3 qos=2 packet_id=1", MQTT_5, "34 08 00 00 00 01 03 23 00 03" },
	{ "CONNECT clean_start keep_alive=60 client_id=\"c\"", MQTT_3_1_1, "10 0d 00 04 4d 51 54 54 04 02 00 3c 00 01 63" },
	{ "CONNECT clean_start keep_alive=60 client_id=\"c\"", MQTT_3_1, "10 0f 00 06 4d 51 49 73 64 70 03 02 00 3c 00 01 63" },
	{ "CONNECT user_name=\"u\" password=hex\"00\" will.topic=\"w\" will.payload=\"x\" will.qos=1", MQTT_3_1_1,
	  "10 18 00 04 4d 51 54 54 04 cc 00 00 00 00 00 01 77 00 01 78 00 01 75 00 01 00" },
	{ "CONNACK session_present=1 reason=Success", MQTT_3_1_1, "20 02 01 00" },
	{ "CONNACK session_present=0 reason=Not_authorized", MQTT_3_1_1, "20 02 00 05" },
	{ "CONNACK reason=Not_authorized", MQTT_5, "20 03 00 87 00" },
	{ "SUBSCRIBE packet_id=1 (\"a\" qos=1, \"b\")", MQTT_3_1_1, "82 0a 00 01 00 01 61 01 00 01 62 00" },
	{ "SUBSCRIBE packet_id=1 (\"a\" qos=2 no_local retain_as_published retain_handling=2)", MQTT_5, "82 07 00 01 00 00 01 61 2e" },
	{ "SUBSCRIBE packet_id=1 (\"a\" options=0xc1)", MQTT_5, "82 07 00 01 00 00 01 61 c1" },
	{ "UNSUBSCRIBE packet_id=2 (\"a\")", MQTT_3_1_1, "a2 05 00 02 00 01 61" },
	{ "SUBACK packet_id=1 reason=[Granted_QoS_1 0x80]", MQTT_3_1_1, "90 04 00 01 01 80" },
	{ "PUBACK packet_id=1", MQTT_5, "40 02 00 01" },
	{ "PUBACK packet_id=1 reason=Success", MQTT_5, "40 03 00 01 00" },
	{ "PUBACK packet_id=1 reason=Success property_length=0", MQTT_5, "40 04 00 01 00 00" },
	{ "PUBACK packet_id=1 user_property=[\"k\":\"v\"]", MQTT_5, "40 0b 00 01 00 07 26 00 01 6b 00 01 76" },
	{ "DISCONNECT", MQTT_5, "e0 00" },
	{ "DISCONNECT reason=0x04", MQTT_5, "e0 01 04" },
	{ "AUTH reason=Re-authenticate authentication_method=\"m\"", MQTT_5, "f0 06 19 04 15 00 01 6d" },
	{ "PUBLISH !topic=hex\"ed a0 80\"", MQTT_3_1_1, "30 05 00 03 ed a0 80" },
	{ "PUBREL !flags=0x0 packet_id=1", MQTT_3_1_1, "60 02 00 01" },
	{ "!PUBREL packet_id=1", MQTT_3_1_1, "62 02 00 01" },
	{ "CONNECT client_id=\"c\" receive_maximum=1 !again receive_maximum=2", MQTT_5, "10 14 00 04 4d 51 54 54 05 00 00 00 06 21 00 01 21 00 02 00 01 63" },
	{ "PINGREQ !remaining_length=3", MQTT_3_1_1, "c0 03" },
	{ "PINGREQ !remaining_length=hex\"80 00\"", MQTT_3_1_1, "c0 80 00" },
	{ "PINGREQ !trailing=hex\"01 02\"", MQTT_3_1_1, "c0 02 01 02" },
	{ "PUBACK packet_id=1 !property_length=9", MQTT_5, "40 04 00 01 00 09" },
	{ "PUBLISH topic=\"a\" !property=hex\"7f 01\"", MQTT_5, "30 06 00 01 61 02 7f 01" },
	{ "SUBSCRIBE packet_id=1 (\"a\") !omit=packet_id", MQTT_3_1_1, "82 04 00 01 61 00" },
	{ "CONNECT client_id=\"c\" !ends_after=keep_alive", MQTT_3_1_1, "10 0a 00 04 4d 51 54 54 04 00 00 00" },
	{ "PUBLISH topic=\"a\" payload=\"x\" size=12", MQTT_3_1_1, "30 0a 00 01 61 78 62 63 64 65 66 67" },
	{ "PUBLISH topic=\"a\" payload=\"\\$(x)\\x00\\u00e9\"", MQTT_3_1_1, "30 0a 00 01 61 24 28 78 29 00 c3 a9" },

	{ "", MQTT_5, "1:1: expected a packet such as PUBLISH, found the end" },
	{ "PUBLSH", MQTT_5, "1:1: unknown packet `PUBLSH`" },
	{ "PUBLISH topc=\"a\"", MQTT_5, "1:9: unknown field `topc`" },
	{ "PUBLISH\ntopic=\"a\"", MQTT_5, "2:1: expected one packet only" },
	{ "PUBLISH topic=\"a", MQTT_5, "1:15: the string is not closed; expected \" before the end of the line" },
	{ "PUBLISH topic=5", MQTT_5, "1:15: not a value that topic can take, or out of its range" },
	{ "PUBLISH packet_id=65536", MQTT_5, "1:19: not a value that packet_id can take, or out of its range" },
	{ "PUBLISH packet_id=7x", MQTT_5, "1:20: rubbish behind a number; expected a blank or one of ns us ms s m h, k M G, k/s M/s G/s" },
	{ "PUBLISH topic=$topic", MQTT_5, "1:15: expected a string or hex\"...\"" },
	{ "PUBLISH topic=\"a$(b)\"", MQTT_5, "1:15: expected a constant, found $( ) in the string" },
	{ "PUBLISH (\"a\")", MQTT_5, "1:9: this packet has no filters" },
	{ "SUBSCRIBE (\"a\" qos=4)", MQTT_5, "1:20: expected a number that fits the option" },
	{ "SUBSCRIBE (\"a\" topic=4)", MQTT_5, "1:16: unknown field `topic`" },
	{ "UNSUBSCRIBE (\"a\" qos=1)", MQTT_5, "1:18: unknown field `qos`" },
	{ "SUBSCRIBE (\"a\"", MQTT_5, "1:15: expected a field, found the end" },
	{ "CONNACK reason=Malfromed", MQTT_5, "1:16: unknown reason `Malfromed`" },
	{ "PUBLISH \x01", MQTT_5, "1:9: no such sign in the notation" },
};

static void print_hex(const uint8_t *at, size_t n, char *text)
{
	for (size_t i = 0; i < n; i++)
		text += sprintf(text, "%s%02x", i ? " " : "", at[i]);
	*text = '\0';
}

static void parses_as_written(void **state)
{
	static uint8_t room[ROOM], bytes[4096];
	static char found[3 * sizeof bytes];
	const struct row *row = *state;
	size_t len = strlen(row->text);
	char *text = malloc(len ? len : 1);
	struct writer w = writer_to(bytes, sizeof bytes);
	struct builder builder;
	struct arena arena;
	struct fault fault;

	memcpy(text, row->text, len);
	arena_init(&arena, room, sizeof room);
	if (packet_parse(span_of(text, len), row->version, &arena, &builder, &fault) == CODEC_OK) {
		assert_int_equal(builder_encode(&builder, &w), CODEC_OK);
		print_hex(bytes, w.len, found);
	} else {
		snprintf(found, sizeof found, "%u:%u: %s", fault.line, fault.column, fault.text);
	}
	assert_string_equal(found, row->want);
	free(text);
}

static bool may_send(enum packet_type type, enum version version, enum sender from)
{
	static const struct {
		unsigned from, since;
	} packets[] = {
		[0] = { 0, 0 },
#define X(name, number, flags, sender, first) [number] = { sender, first },
		PACKETS(X)
#undef X
	};

	return packets[type].from & from && version >= packets[type].since &&
	       !(type == DISCONNECT && from == FROM_SERVER && version != MQTT_5);
}

/* Packet -> text -> packet is the identity on whatever is legal. */
static void generated_packets_come_back(void **state)
{
	static uint8_t room[ROOM], room_back[ROOM], bytes[ROOM], bytes_back[ROOM];
	static char text[2 * ROOM];
	static const enum version versions[] = { MQTT_3_1, MQTT_3_1_1, MQTT_5 };
	struct random random;
	unsigned n = 0;

	(void)state;
	random_seed(&random, 1);
	for (unsigned i = 0; i < 60000; i++) {
		enum packet_type type = (enum packet_type)(1 + random_below(&random, N_PACKET_TYPES - 1));
		enum version version = versions[random_below(&random, 3)];
		enum sender from = random_below(&random, 2) ? FROM_CLIENT : FROM_SERVER;
		struct writer w = writer_to(bytes, sizeof bytes), back = writer_to(bytes_back, sizeof bytes_back), t;
		struct arena arena, arena_back;
		struct builder builder;
		struct packet packet;
		struct fault fault;

		arena_init(&arena, room, sizeof room);
		arena_init(&arena_back, room_back, sizeof room_back);
		if (!may_send(type, version, from) || generate(type, version, from, &random, &arena, &packet) != CODEC_OK)
			continue;
		n++;
		assert_int_equal(encode(&packet, NULL, &w), CODEC_OK);
		t = writer_to(text, sizeof text);
		packet_print(&packet, from, &t);
		assert_true(wr_fits(&t));
		if (packet_parse(wr_span(&t), version, &arena_back, &builder, &fault) != CODEC_OK)
			fail_msg("%u: %s\n%.*s", fault.column, fault.text, (int)t.len, text);
		assert_int_equal(builder_encode(&builder, &back), CODEC_OK);
		if (!span_equal(wr_span(&w), wr_span(&back)))
			fail_msg("not the same bytes: %.*s", (int)t.len, text);
	}
	assert_true(n > 20000);
}

/* And on what is not: whatever decodes prints as a text that reads back as the same bytes. */
static void altered_packets_come_back(void **state)
{
	static uint8_t room[ROOM], room_back[ROOM], bytes[ROOM], bytes_back[ROOM];
	static char text[4 * ROOM];
	struct random random;
	unsigned n = 0;

	(void)state;
	random_seed(&random, 2);
	for (unsigned i = 0; i < 60000; i++) {
		enum packet_type type = (enum packet_type)(1 + random_below(&random, N_PACKET_TYPES - 1));
		enum version version = random_below(&random, 2) ? MQTT_5 : MQTT_3_1_1;
		struct writer w = writer_to(bytes, sizeof bytes), back = writer_to(bytes_back, sizeof bytes_back), again, t;
		struct arena arena, arena_back;
		struct builder builder;
		struct packet packet;
		struct finding finding;
		struct fault fault;

		arena_init(&arena, room, sizeof room);
		arena_init(&arena_back, room_back, sizeof room_back);
		if (!may_send(type, version, FROM_CLIENT) || generate(type, version, FROM_CLIENT, &random, &arena, &packet) != CODEC_OK || encode(&packet, NULL, &w) != CODEC_OK)
			continue;
		for (unsigned k = 0; k < 2; k++) {
			size_t at = random_below(&random, w.len);

			if (at == 0)
				bytes[0] = (uint8_t)((bytes[0] & 0xf0) | random_below(&random, 16));
			else if (at > 1)
				bytes[at] = (uint8_t)random_next(&random);
		}
		if (decode(bytes, w.len, version, &packet, &finding) != CODEC_OK || packet.version != version)
			continue;
		again = writer_to(room, sizeof room);	/* overlong lengths do not come back */
		if (encode(&packet, NULL, &again) != CODEC_OK || !span_equal(wr_span(&again), wr_span(&w)))
			continue;
		n++;
		t = writer_to(text, sizeof text);
		packet_print(&packet, FROM_CLIENT, &t);
		assert_true(wr_fits(&t));
		if (packet_parse(wr_span(&t), version, &arena_back, &builder, &fault) != CODEC_OK)
			fail_msg("%u: %s\n%.*s", fault.column, fault.text, (int)t.len, text);
		assert_int_equal(builder_encode(&builder, &back), CODEC_OK);
		if (!span_equal(wr_span(&w), wr_span(&back)))
			fail_msg("not the same bytes: %.*s", (int)t.len, text);
	}
	assert_true(n > 5000);
}

static void a_small_arena_is_a_limit(void **state)
{
	uint8_t room[64];
	struct builder builder;
	struct arena arena;
	struct fault fault;

	(void)state;
	arena_init(&arena, room, sizeof room);
	assert_int_equal(packet_parse(span_text("PUBLISH topic=\"a\" payload=\"0123456789012345678901234567890123456789012345678901234567890123456789\""),
	                              MQTT_5, &arena, &builder, &fault), CODEC_LIMIT);
}

int main(void)
{
	enum { N = sizeof rows / sizeof *rows };
	struct CMUnitTest tests[N + 3] = {
		cmocka_unit_test(generated_packets_come_back),
		cmocka_unit_test(altered_packets_come_back),
		cmocka_unit_test(a_small_arena_is_a_limit),
	};

	for (size_t i = 0; i < N; i++)
		tests[3 + i] = (struct CMUnitTest){ .name = *rows[i].text ? rows[i].text : "nothing", .test_func = parses_as_written, .initial_state = (void *)&rows[i] };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
