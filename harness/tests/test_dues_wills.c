#include "harness/tests/dues_talk.h"

static const char *of_client = "CONNECT client_id=\"a\" clean_start keep_alive=60 will.topic=\"a/will\" will.payload=\"gone\" will.qos=1";

/* 0 watches a/+, 1 has a will. */
static void has_will(const char *connect)
{
	dues_begin(dues, (struct span){ 0 });
	connected(0, "w", true, false);
	subscribed(0, "\"a/+\" qos=1");
	sent(1, connect);
	came(1, "CONNACK session_present=0 reason=0");
}

static void taken_over(void)
{
	sent(2, "CONNECT client_id=\"a\" clean_start keep_alive=60");
	came(2, "CONNACK session_present=0 reason=0");
}

static bool will_comes(void)
{
	return takes(0, "PUBLISH topic=\"a/will\" qos=1 packet_id=1 payload=\"gone\"");
}

static void a_will_is_owed_when_the_connection_ends_without_disconnect(void **state)
{
	(void)state;
	for (version = MQTT_3_1_1; version <= MQTT_5; version++)
		for (unsigned how = 0; how < 3; how++) {
			has_will(of_client);
			nothing_is_owed();
			if (how == 0)
				taken_over();
			else
				dues_ended(dues, 1, how == 1 ? DUES_LOST : DUES_CLOSED);
			lost(0, "MQTT-3.1.2-8");
			assert_true(will_comes());
			nothing_is_owed();
		}
}

static void a_will_is_owed_when_disconnect_leaves_it(void **state)
{
	(void)state;
	has_will(of_client);
	sent(1, "DISCONNECT reason=0x04");
	nothing_is_owed();
	dues_ended(dues, 1, DUES_CLOSED);
	lost(0, "MQTT-3.1.2-8");
}

/* The server may have published it before it closed, or before it accepted who took over. */
static void a_will_that_came_first_is_owed_no_more(void **state)
{
	(void)state;
	has_will(of_client);
	assert_true(will_comes());
	dues_ended(dues, 1, DUES_CLOSED);
	nothing_is_owed();
	has_will(of_client);
	sent(2, "CONNECT client_id=\"a\" clean_start");
	assert_true(will_comes());
	came(2, "CONNACK session_present=0 reason=0");
	nothing_is_owed();
}

static void a_will_that_may_wait_or_stay_away_is_not_owed(void **state)
{
	static const char *const connects[] = {
		"CONNECT client_id=\"a\" clean_start will.topic=\"a/will\" will.payload=\"gone\"",
		"CONNECT client_id=\"a\" clean_start will.topic=\"a/will\" will.payload=\"gone\" will.qos=1 will.delay_interval=1",
		"CONNECT client_id=\"a\" clean_start will.topic=\"a/will\" will.payload=\"gone\" will.qos=1 will.message_expiry_interval=1",
		"CONNECT client_id=\"a\" clean_start will.topic=\"b\" will.payload=\"gone\" will.qos=1",
		"CONNECT client_id=\"a\" clean_start will.topic=\"$a/will\" will.payload=\"gone\" will.qos=1",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(connects) / sizeof(*connects); i++) {
		has_will(connects[i]);
		dues_ended(dues, 1, DUES_LOST);
		nothing_is_owed();
	}
	has_will(of_client);				/* the server does not see the end of it yet */
	dues_ended(dues, 1, DUES_FINISHED);
	nothing_is_owed();
	dues_ended(dues, 1, DUES_CLOSED);
	lost(0, "MQTT-3.1.2-8");
	has_will(of_client);				/* nor who keeps rules that were broken */
	dues_sent(dues, 1, NULL, false);
	dues_ended(dues, 1, DUES_LOST);
	nothing_is_owed();
	dues_begin(dues, (struct span){ 0 });		/* refused */
	connected(0, "w", true, false);
	subscribed(0, "\"a/+\" qos=1");
	sent(1, of_client);
	came(1, "CONNACK session_present=0 reason=0x87");
	dues_ended(dues, 1, DUES_LOST);
	nothing_is_owed();
	for (version = MQTT_3_1_1; version <= MQTT_5; version++)	/* the session goes on */
		for (unsigned over = 0; over < 2; over++) {
			has_will(of_client);
			if (over)
				dues_ended(dues, 1, DUES_LOST);
			sent(2, "CONNECT client_id=\"a\"");
			came(2, "CONNACK session_present=1 reason=0");
			if (version == MQTT_5)
				nothing_is_owed();
			else
				lost(0, "MQTT-3.1.2-8");
		}
	version = MQTT_5;
	has_will(of_client);				/* who ended whom is not known */
	dues_ended(dues, 1, DUES_LOST);
	assert_true(will_comes());
	sent(1, of_client);
	sent(2, "CONNECT client_id=\"a\" clean_start");
	came(1, "CONNACK session_present=0 reason=0");
	came(2, "CONNACK session_present=0 reason=0");
	nothing_is_owed();
}

static void a_will_does_not_come_behind_disconnect(void **state)
{
	(void)state;
	for (version = MQTT_3_1_1; version <= MQTT_5; version++)
		for (unsigned closed = 0; closed < 2; closed++) {
			has_will(of_client);
			sent(1, "PINGREQ");
			came(1, "PINGRESP");
			sent(1, "DISCONNECT");
			if (closed)
				dues_ended(dues, 1, DUES_CLOSED);
			nothing_is_owed();
			assert_false(will_comes());
			assert_string_equal(found.clause, "MQTT-3.14.4-3");
			assert_int_equal(found.version, version);
			assert_int_equal(found.client, 0);
		}
}

enum step { GOODBYE, RESET, TAKE_OVER, PING, PUBLISH_SAME, AGAIN, N_STEPS };

static void step(enum step step)
{
	switch (step) {
	case GOODBYE:      sent(1, "DISCONNECT"); break;
	case RESET:        dues_ended(dues, 1, DUES_LOST); break;
	case TAKE_OVER:    taken_over(); break;
	case PING:         sent(1, "PINGREQ"); break;
	case PUBLISH_SAME: sent(0, "PUBLISH topic=\"a/will\" payload=\"gone\""); break;
	case AGAIN:
		sent(1, of_client);
		came(1, "CONNACK session_present=0 reason=0");
		break;
	case N_STEPS:      break;
	}
}

/* Whatever may have ended the connection before the server read DISCONNECT, and whatever else it may be. */
static void a_will_that_may_be_right_accuses_nobody(void **state)
{
	static const enum step rows[][4] = {
		{ GOODBYE, RESET, N_STEPS }, { PING, GOODBYE, N_STEPS }, { GOODBYE, TAKE_OVER, N_STEPS }, { TAKE_OVER, GOODBYE, N_STEPS }, { PUBLISH_SAME, GOODBYE, N_STEPS },
		{ GOODBYE, PUBLISH_SAME, N_STEPS }, { RESET, AGAIN, GOODBYE, N_STEPS },
	};
	static const char *const connects[] = {
		"CONNECT client_id=\"a\" clean_start keep_alive=1 will.topic=\"a/will\" will.payload=\"gone\" will.qos=1",
		"CONNECT client_id=\"a\" clean_start keep_alive=60 will.topic=\"a/will\" will.payload=\"gone\" will.qos=1 will.delay_interval=1",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		has_will(of_client);
		for (unsigned k = 0; k < 4 && rows[i][k] != N_STEPS; k++)
			step(rows[i][k]);
		assert_true(will_comes());
	}
	for (size_t i = 0; i < 2; i++) {
		has_will(connects[i]);
		sent(1, "DISCONNECT");
		assert_true(will_comes());
	}
	has_will(of_client);		/* 0x80: what becomes of it is another matter */
	sent(1, "DISCONNECT reason=0x80");
	assert_true(will_comes());
	has_will(of_client);		/* retained by whoever had these names before */
	sent(1, "DISCONNECT");
	came(0, "PUBLISH topic=\"a/will\" qos=1 packet_id=1 retain payload=\"gone\"");
}

/* What looks like a will may come as often as that is published. */
static void a_will_may_look_like_a_message(void **state)
{
	(void)state;
	has_will("CONNECT client_id=\"a\" clean_start will.topic=\"a/will\" will.payload=\"gone\" will.qos=2");
	subscribed(0, "\"a/will\" qos=2");
	sent(0, "PUBLISH topic=\"a/will\" qos=2 packet_id=3 payload=\"gone\"");
	came(0, "PUBLISH topic=\"a/will\" qos=2 packet_id=1 payload=\"gone\"");
	dues_ended(dues, 1, DUES_LOST);
	came(0, "PUBLISH topic=\"a/will\" qos=2 packet_id=2 payload=\"gone\"");
}

/* And what is retained on its topic is anybody's guess. */
static void a_retained_will_may_come_behind_a_removal(void **state)
{
	(void)state;
	for (unsigned retain = 0; retain < 2; retain++) {
		has_will(retain ? "CONNECT client_id=\"a\" clean_start will.topic=\"a/b\" will.payload=\"x\" will.retain" :
		                  "CONNECT client_id=\"a\" clean_start will.topic=\"a/c\" will.payload=\"x\" will.retain");
		connected(3, "p", true, false);
		sent(3, "PUBLISH topic=\"a/b\" retain qos=1 packet_id=4");
		came(3, "PUBACK packet_id=4");
		connected(2, "late", true, false);
		subscribed(2, "\"a/+\" qos=1");
		assert_int_equal(takes(2, "PUBLISH topic=\"a/b\" retain qos=1 packet_id=1 payload=\"x\""), retain);
	}
}

static void more_wills_than_fit_are_not_judged(void **state)
{
	char text[200];

	(void)state;
	dues_begin(dues, (struct span){ 0 });
	connected(0, "w", true, false);
	subscribed(0, "\"a/+\" qos=1");
	for (unsigned i = 0; i < 100; i++) {
		snprintf(text, sizeof(text), "CONNECT client_id=\"a\" clean_start will.topic=\"a/%u\" will.payload=\"x\"", i);
		sent(1, text);
		came(1, "CONNACK session_present=0 reason=0");
		sent(1, "DISCONNECT");
		dues_ended(dues, 1, DUES_CLOSED);
	}
	came(0, "PUBLISH topic=\"a/0\" payload=\"x\"");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_will_is_owed_when_the_connection_ends_without_disconnect),
		TEST(a_will_is_owed_when_disconnect_leaves_it),
		TEST(a_will_that_came_first_is_owed_no_more),
		TEST(a_will_that_may_wait_or_stay_away_is_not_owed),
		TEST(a_will_does_not_come_behind_disconnect),
		TEST(a_will_that_may_be_right_accuses_nobody),
		TEST(a_will_may_look_like_a_message),
		TEST(a_retained_will_may_come_behind_a_removal),
		TEST(more_wills_than_fit_are_not_judged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
