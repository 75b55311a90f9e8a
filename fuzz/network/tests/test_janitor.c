#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "codec/text.h"
#include "fuzz/network/janitor.h"

static struct moves moves, after;

static void add(uint8_t kind, uint8_t client, const char *packet, enum version version)
{
	static uint8_t room[1 << 14], bytes[1 << 12];
	struct move move = { .kind = kind, .client = client };
	struct writer w = writer_to(bytes, sizeof(bytes));
	struct arena arena;
	struct builder b;
	struct fault fault;

	arena_init(&arena, room, sizeof(room));
	if (packet) {
		assert_int_equal(packet_parse(span_text(packet), version, &arena, &b, &fault), CODEC_OK);
		assert_int_equal(builder_encode(&b, &w), CODEC_OK);
		assert_true(moves_keep(&moves, wr_span(&w), &move.bytes));
	}
	assert_true(moves_insert(&moves, moves.n, move));
}

static int start(void **state)
{
	(void)state;
	moves.n = moves.used = 0;
	return 0;
}

/* The n-th packet that it sends, as text. */
static const char *cleared(unsigned n, enum version version)
{
	static char text[1 << 12];

	for (uint32_t i = 0; i < after.n; i++) {
		struct writer w = writer_to(text, sizeof(text) - 1);
		struct packet p;
		struct finding finding;

		if (!move_sends(&after.at[i]) || n--)
			continue;
		assert_int_equal(decode(after.at[i].bytes.at, after.at[i].bytes.len, version, &p, &finding), CODEC_OK);
		packet_print(&p, FROM_CLIENT, &w);
		text[w.len] = '\0';
		return text;
	}
	return "nothing";
}

static void what_goes_by_itself_is_left_alone(void **state)
{
	(void)state;
	add(MOVE_OPEN, 0, NULL, MQTT_5);
	add(MOVE_SEND, 0, "CONNECT clean_start keep_alive=60 client_id=\"fz000000a\"", MQTT_5);
	add(MOVE_SEND, 0, "PUBLISH topic=\"fz000000\" qos=1 packet_id=1 payload=\"x\"", MQTT_5);
	add(MOVE_SEND, 0, "PUBLISH topic=\"fz000000\" retain", MQTT_5);
	assert_false(janitor_follow(&moves, &after));
}

static void a_session_that_outlives_its_connection_is_ended(void **state)
{
	(void)state;
	add(MOVE_OPEN, 0, NULL, MQTT_3_1_1);
	add(MOVE_SEND, 0, "CONNECT keep_alive=60 client_id=\"fz000000a\"", MQTT_3_1_1);
	add(MOVE_OPEN, 1, NULL, MQTT_5);
	add(MOVE_SEND, 1, "CONNECT clean_start keep_alive=60 session_expiry_interval=100 client_id=\"fz000000b\"", MQTT_5);
	add(MOVE_OPEN, 2, NULL, MQTT_5);
	add(MOVE_SEND, 2, "CONNECT clean_start keep_alive=60 session_expiry_interval=100 client_id=\"fz000000b\"", MQTT_5);
	assert_true(janitor_follow(&moves, &after));
	assert_string_equal(cleared(0, MQTT_3_1_1), "CONNECT clean_start keep_alive=60 client_id=\"fz000000a\"");
	assert_string_equal(cleared(1, MQTT_3_1_1), "DISCONNECT");
	assert_string_equal(cleared(2, MQTT_5), "CONNECT clean_start keep_alive=60 client_id=\"fz000000b\"");
	assert_string_equal(cleared(3, MQTT_5), "DISCONNECT");
	assert_string_equal(cleared(4, MQTT_5), "nothing");
}

static void what_is_retained_is_removed(void **state)
{
	(void)state;
	add(MOVE_OPEN, 0, NULL, MQTT_5);
	add(MOVE_SEND, 0, "CONNECT clean_start keep_alive=60 will.topic=\"fz000000/w\" will.payload=\"gone\" will.retain client_id=\"fz000000a\"", MQTT_5);
	add(MOVE_SEND, 0, "PUBLISH topic=\"fz000000/r\" retain qos=1 packet_id=9 payload=\"x\"", MQTT_5);
	assert_true(janitor_follow(&moves, &after));
	assert_string_equal(cleared(1, MQTT_5), "PUBLISH topic=\"fz000000/w\" retain payload=\"\"");
	assert_string_equal(cleared(2, MQTT_5), "PUBLISH topic=\"fz000000/r\" retain payload=\"\"");
	assert_string_equal(cleared(3, MQTT_5), "DISCONNECT");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(what_goes_by_itself_is_left_alone, start),
		cmocka_unit_test_setup(a_session_that_outlives_its_connection_is_ended, start),
		cmocka_unit_test_setup(what_is_retained_is_removed, start),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
