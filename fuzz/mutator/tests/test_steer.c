#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "codec/codec.h"
#include "codec/fields.h"
#include "codec/text.h"
#include "fuzz/mutator/steer.h"

static struct steered state;

static struct packet *packet(const char *text, enum version version)
{
	static uint8_t room[1 << 14];
	static struct builder b;
	static struct packet p;
	static uint8_t bytes[4096];
	struct arena arena;
	struct fault fault;
	struct finding finding;
	struct writer w = writer_to(bytes, sizeof(bytes));

	arena_init(&arena, room, sizeof(room));
	if (packet_parse(span_text(text), version, &arena, &b, &fault) != CODEC_OK)
		fail_msg("%s: %s", text, fault.text);
	assert_int_equal(builder_encode(&b, &w), CODEC_OK);
	assert_int_equal(decode(bytes, w.len, version, &p, &finding), CODEC_OK);
	return &p;
}

static void sent(const char *text)
{
	steered_sent(&state, packet(text, state.version));
}

static void received(const char *text)
{
	steered_received(&state, packet(text, state.version));
}

static void connect_as(enum version version)
{
	steered_reset(&state);
	state.version = (uint8_t)version;
	sent("CONNECT client_id=\"me\"");
	assert_true(steered_waits(&state) && state.connecting && !state.connected);
	received("CONNACK");
	assert_true(!steered_waits(&state) && state.connected);
	assert_int_equal(state.version, version);
}

/* What is written for an answer, as text. */
static void answers(enum answer_how how, const char *expected)
{
	static uint8_t bytes[STEER_MOST];
	static char text[1024];
	struct writer w = writer_to(bytes, sizeof(bytes)), t = writer_to(text, sizeof(text) - 1);
	struct frame frame;
	struct finding finding;
	struct packet p;

	assert_true(steered_answer(&state, how, &w));
	for (size_t at = 0; at < w.len; at += frame.size) {
		assert_int_equal(frame_next(bytes + at, w.len - at, &frame, &finding), FRAME_OK);
		assert_int_equal(decode(bytes + at, frame.size, state.version, &p, &finding), CODEC_OK);
		steered_sent(&state, &p);
		wr_text(&t, at ? "; " : "");
		packet_print(&p, FROM_CLIENT, &t);
	}
	text[t.len] = '\0';
	assert_string_equal(text, expected);
}

static void connecting(void **unused)
{
	(void)unused;
	steered_reset(&state);
	assert_false(steered_waits(&state));
	state.version = MQTT_5;
	sent("CONNECT");
	received("CONNACK receive_maximum=3 topic_alias_maximum=9 maximum_packet_size=200 assigned_client_identifier=\"given\"");
	assert_true(state.connected && !state.connecting);
	assert_int_equal(state.receive_maximum, 3);
	assert_int_equal(state.topic_alias_maximum, 9);
	assert_int_equal(state.maximum_packet_size, 200);
	assert_string_equal(state.client_id, "given");
	steered_reset(&state);
	state.version = MQTT_5;
	sent("CONNECT client_id=\"me\"");
	received("CONNACK reason=0x87");
	assert_true(!state.connected && !steered_waits(&state));
	assert_string_equal(state.client_id, "me");
}

static void what_is_sent_is_waited_for(void **unused)
{
	static const struct { const char *sent, *answer; } pairs[] = {
		{ "PUBLISH topic=\"a\" qos=1 packet_id=1", "PUBACK packet_id=1" },
		{ "PUBLISH topic=\"a\" qos=2 packet_id=2", "PUBREC packet_id=2" },
		{ "PUBREL packet_id=2", "PUBCOMP packet_id=2" },
		{ "SUBSCRIBE packet_id=1 (\"a/#\")", "SUBACK packet_id=1 reason=0" },
		{ "UNSUBSCRIBE packet_id=2 (\"a/+\")", "UNSUBACK packet_id=2" },
		{ "PINGREQ", "PINGRESP" },
	};

	(void)unused;
	connect_as(MQTT_3_1_1);
	for (size_t i = 0; i < sizeof(pairs) / sizeof(*pairs); i++) {
		assert_false(steered_waits(&state));
		sent(pairs[i].sent);
		if (i + 1 < sizeof(pairs) / sizeof(*pairs))
			sent(pairs[i].sent);	/* the same id is one exchange */
		received("PUBACK packet_id=99");
		assert_true(steered_waits(&state));
		received(pairs[i].answer);
	}
	assert_false(steered_waits(&state));
	assert_string_equal(state.topic, "a/+");
	sent("PUBLISH topic=\"b\"");
	assert_false(steered_waits(&state));
	assert_string_equal(state.topic, "b");
}

static void what_comes_is_owed_in_order(void **unused)
{
	struct writer w = writer_to(NULL, 0);

	(void)unused;
	connect_as(MQTT_5);
	assert_false(steered_answer(&state, ANSWER_RIGHT, &w));
	received("PUBLISH topic=\"a\"");
	assert_int_equal(state.n_owed, 0);
	received("PUBLISH topic=\"a\" qos=2 packet_id=5");
	received("PUBLISH topic=\"a\" qos=1 packet_id=6");
	received("PUBLISH topic=\"a\" qos=1 packet_id=6 dup");
	sent("PUBLISH topic=\"a\" qos=2 packet_id=5");
	received("PUBREC packet_id=5");
	assert_int_equal(state.n_owed, 3);
	answers(ANSWER_RIGHT, "PUBREC packet_id=5");
	answers(ANSWER_RIGHT, "PUBACK packet_id=6");
	assert_false(steered_waits(&state));
	answers(ANSWER_RIGHT, "PUBREL packet_id=5");
	assert_true(steered_waits(&state));
	received("PUBREL packet_id=5");
	answers(ANSWER_RIGHT, "PUBCOMP packet_id=5");
	received("PUBCOMP packet_id=5");
	assert_true(!steered_waits(&state) && !state.n_owed);
	sent("PUBLISH topic=\"a\" qos=2 packet_id=7");
	received("PUBREC packet_id=7 reason=0x97");
	assert_true(!steered_waits(&state) && !state.n_owed);
}

/* Answered by hand, out of order, it is no longer owed. */
static void acknowledged_by_hand(void **unused)
{
	(void)unused;
	connect_as(MQTT_5);
	received("PUBLISH topic=\"a\" qos=1 packet_id=1");
	received("PUBLISH topic=\"a\" qos=2 packet_id=2");
	received("PUBREL packet_id=3");
	sent("PUBREC packet_id=2");
	sent("PUBCOMP packet_id=3");
	assert_int_equal(state.n_owed, 1);
	answers(ANSWER_RIGHT, "PUBACK packet_id=1");
}

static void wrong_answers(void **unused)
{
	(void)unused;
	connect_as(MQTT_5);
	for (unsigned i = 1; i <= 6; i++) {
		struct packet *p = packet("PUBLISH topic=\"a\" qos=1 packet_id=1", MQTT_5);

		p->packet_id = (uint16_t)i;
		steered_received(&state, p);
	}
	answers(ANSWER_WRONG_TYPE, "PUBREC packet_id=1");
	answers(ANSWER_WRONG_ID, "PUBACK packet_id=32770");
	answers(ANSWER_TWICE, "PUBACK packet_id=3; PUBACK packet_id=3");
	answers(ANSWER_REFUSES, "PUBACK packet_id=4 reason=Quota_exceeded");
	answers(ANSWER_RIGHT, "PUBACK packet_id=5");
	connect_as(MQTT_3_1_1);
	received("PUBLISH topic=\"a\" qos=1 packet_id=1");
	answers(ANSWER_REFUSES, "PUBACK packet_id=1");
}

static void more_than_it_can_keep(void **unused)
{
	struct packet p;

	(void)unused;
	connect_as(MQTT_5);
	for (unsigned i = 1; i < 100; i++) {
		p = *packet("PUBLISH topic=\"a\" qos=2 packet_id=1", MQTT_5);
		p.packet_id = (uint16_t)i;
		steered_sent(&state, &p);
		steered_received(&state, &p);
		sent("PINGREQ");
	}
	assert_int_equal(state.n_sent, STEER_IDS);
	assert_int_equal(state.n_owed, STEER_IDS);
}

/* Every value, in states of all kinds: whole packets that fit, the same again, and of each type at least one. */
static unsigned steer_all(void)
{
	unsigned types = 0;

	for (unsigned value = 0; value < 256; value++) {
		uint8_t *one = malloc(STEER_MOST), *two = malloc(STEER_MOST);
		struct steered before = state;
		struct writer w = writer_to(one, STEER_MOST), again = writer_to(two, STEER_MOST);
		struct frame frame;
		struct finding finding;

		assert_true(one && two);
		steered_next(&state, (uint8_t)value, &w);
		state = before;
		steered_next(&state, (uint8_t)value, &again);
		state = before;
		assert_true(w.len && wr_fits(&w));
		assert_true(span_equal(wr_span(&w), wr_span(&again)));
		for (size_t at = 0; at < w.len; at += frame.size) {
			assert_int_equal(frame_next(one + at, w.len - at, &frame, &finding), FRAME_OK);
			types |= ON(one[at] >> 4);
		}
		free(one);
		free(two);
	}
	return types;
}

static void every_value_writes_packets(void **unused)
{
	(void)unused;
	steered_reset(&state);
	assert_true(steer_all() & ON(CONNECT));
	for (enum version version = MQTT_3_1; version <= MQTT_5; version++) {
		connect_as(version);
		unsigned types = steer_all();
		for (unsigned type = CONNECT; type <= AUTH; type++)
			assert_true(types & ON(type));
		state.receive_maximum = 5;
		state.topic_alias_maximum = 65535;
		state.maximum_packet_size = 1;
		received("PUBLISH topic=\"a\" qos=2 packet_id=1");
		memset(state.topic, '#', sizeof(state.topic) - 1);
		memset(state.client_id, 'c', sizeof(state.client_id) - 1);
		steer_all();
		strcpy(state.topic, "$share/g");
		state.maximum_packet_size = 300;
		for (unsigned i = 1; i < 20; i++) {
			struct packet p = *packet("PUBLISH topic=\"$share/x\" qos=1 packet_id=1", version);

			p.packet_id = (uint16_t)(65536 - i);
			steered_sent(&state, &p);
		}
		steer_all();
	}
}

/* What it says of sizes is so. */
static void large_is_as_large_as_may_be(void **unused)
{
	bool exactly = false, more = false;

	(void)unused;
	for (uint32_t most = 100; most < 300; most += 7) {
		exactly = more = false;
		connect_as(MQTT_5);
		state.maximum_packet_size = most;
		for (unsigned value = 0; value < 256; value++) {
			static uint8_t bytes[STEER_MOST];
			struct writer w = writer_to(bytes, sizeof(bytes));

			steered_next(&state, (uint8_t)value, &w);
			exactly |= w.len == most && bytes[0] >> 4 == PUBLISH;
			more |= w.len == most + 1 && bytes[0] >> 4 == PUBLISH;
		}
		/* a length that steps over a size has no packet of it */
		assert_true((exactly && more) || (most >= 128 && most <= 131));
	}
}

/* With and without what only 5 has; No Local for no shared subscription, and nothing of it before 5. */
static void subscriptions_with_identifiers(void **unused)
{
	(void)unused;
	for (enum version version = MQTT_3_1; version <= MQTT_5; version++) {
		unsigned identified = 0, not_local = 0, shared = 0, simple = 0;

		connect_as(version);
		for (unsigned value = 0; value < 256; value++) {
			static uint8_t bytes[STEER_MOST];
			static char text[1024];
			struct writer w = writer_to(bytes, sizeof(bytes)), t = writer_to(text, sizeof(text) - 1);
			struct finding finding;
			struct packet p;

			steered_next(&state, (uint8_t)value, &w);
			if (bytes[0] >> 4 != SUBSCRIBE)
				continue;
			assert_int_equal(decode(bytes, w.len, version, &p, &finding), CODEC_OK);
			packet_print(&p, FROM_CLIENT, &t);
			text[t.len] = '\0';
			bool local = !strstr(text, "no_local"), share = strstr(text, "$share/"), identifier = strstr(text, "subscription_identifier=");

			assert_true(local || !share);
			identified += identifier;
			not_local += !local;
			shared += share;
			simple += local && !share && !identifier;
		}
		assert_true(shared && simple);
		assert_true(version == MQTT_5 ? identified && not_local : !identified && !not_local);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(connecting),
		cmocka_unit_test(what_is_sent_is_waited_for),
		cmocka_unit_test(what_comes_is_owed_in_order),
		cmocka_unit_test(acknowledged_by_hand),
		cmocka_unit_test(wrong_answers),
		cmocka_unit_test(more_than_it_can_keep),
		cmocka_unit_test(every_value_writes_packets),
		cmocka_unit_test(subscriptions_with_identifiers),
		cmocka_unit_test(large_is_as_large_as_may_be),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
