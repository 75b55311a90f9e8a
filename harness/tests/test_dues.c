#include "harness/tests/dues_talk.h"

/* 0 subscribes to a/+, 1 publishes what is taken. */
static void published(const char *publish, const char *const *answers)
{
	connected(0, "sub", true, false);
	subscribed(0, "\"a/+\" qos=2");
	connected(1, "pub", true, false);
	sent(1, publish);
	for (; *answers; answers++)
		if (!strncmp(*answers, "PUBREL", 6))
			sent(1, *answers);
		else
			came(1, *answers);
}

static const char *const acked[] = { "PUBACK packet_id=3", NULL };
static const char *const completed[] = { "PUBREC packet_id=3", "PUBREL packet_id=3", "PUBCOMP packet_id=3", NULL };

static void what_is_acknowledged_is_owed_until_it_comes(void **state)
{
	(void)state;
	for (unsigned qos = 1; qos <= 2; qos++)
		for (version = MQTT_3_1_1; version <= MQTT_5; version++) {
			dues_begin(dues, (struct span){ 0 });
			published(qos == 1 ? "PUBLISH topic=\"a/b\" qos=1 packet_id=3 payload=\"x\"" : "PUBLISH topic=\"a/b\" qos=2 packet_id=3 payload=\"x\"", qos == 1 ? acked : completed);
			lost(0, "MQTT-4.5.0-1");
			came(0, "PUBLISH topic=\"a/b\" qos=1 packet_id=1 payload=\"y\"");
			lost(0, "MQTT-4.5.0-1");
			came(0, "PUBLISH topic=\"a/b\" qos=1 packet_id=2 payload=\"x\"");
			nothing_is_owed();
		}
}

static void what_is_not_taken_is_not_owed(void **state)
{
	static const char *const none[] = { NULL }, *const refused[] = { "PUBACK packet_id=3 reason=0x97", NULL };
	static const struct { const char *publish; const char *const *answers; } rows[] = {
		{ "PUBLISH topic=\"a/b\" qos=1 packet_id=3", none },
		{ "PUBLISH topic=\"a/b\" qos=1 packet_id=3", refused },
		{ "PUBLISH topic=\"a/b\" qos=0", none },
		{ "PUBLISH topic=\"b\" qos=1 packet_id=3", acked },
		{ "PUBLISH topic=\"$a/b\" qos=1 packet_id=3", acked },
		{ "PUBLISH topic=\"a/b\" qos=1 packet_id=3 message_expiry_interval=5", acked },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		dues_begin(dues, (struct span){ 0 });
		published(rows[i].publish, rows[i].answers);
		nothing_is_owed();
	}
}

/* Until then nobody can be accused; but who waits for others is to go on. */
static void what_is_not_released_is_not_owed(void **state)
{
	static const char *const half[] = { "PUBREC packet_id=3", NULL };

	(void)state;
	published("PUBLISH topic=\"a/b\" qos=2 packet_id=3 payload=\"x\"", half);
	assert_int_equal(dues_waiting(dues), 1u << 1);
	assert_true(dues_judge(dues, 0, &found) && dues_judge(dues, 1, &found));
	sent(1, "PUBREL packet_id=3");
	assert_int_equal(dues_waiting(dues), 1u << 1);
	came(1, "PUBCOMP packet_id=3");
	lost(0, "MQTT-4.5.0-1");
}

/* Of two that look alike, of which one was never released, one comes: it may be either. */
static void one_of_two_alike_may_be_the_other(void **state)
{
	static const char *const half[] = { "PUBREC packet_id=3", NULL };

	(void)state;
	for (unsigned before = 0; before < 2; before++) {
		dues_begin(dues, (struct span){ 0 });
		published("PUBLISH topic=\"a/b\" qos=2 packet_id=3 payload=\"x\"", half);
		dues_ended(dues, 1, DUES_LOST);
		connected(1, "pub", true, false);
		sent(1, "PUBLISH topic=\"a/b\" qos=1 packet_id=3 payload=\"x\"");
		if (before)
			came(0, "PUBLISH topic=\"a/b\" qos=1 packet_id=1 payload=\"x\"");
		came(1, "PUBACK packet_id=3");
		if (!before) {
			lost(0, "MQTT-4.5.0-1");
			came(0, "PUBLISH topic=\"a/b\" qos=1 packet_id=1 payload=\"x\"");
		}
		nothing_is_owed();
	}
}

/* In a session resumed the server still has the ids of what was not released. */
static void under_an_id_in_use_nothing_is_owed(void **state)
{
	static const char *const first[] = { "PUBLISH topic=\"c\" qos=2 packet_id=3 payload=\"y\"", "PUBLISH topic=\"\" topic_alias=1 qos=2 packet_id=3 payload=\"y\"",
		"PUBLISH topic=\"c\" qos=2 packet_id=4 payload=\"y\"" };

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		dues_begin(dues, (struct span){ 0 });
		connected(0, "sub", true, false);
		subscribed(0, "\"a/+\" qos=2");
		connected(1, "pub", true, false);
		sent(1, first[i]);
		came(1, i < 2 ? "PUBREC packet_id=3" : "PUBREC packet_id=4");
		dues_ended(dues, 1, DUES_LOST);
		connected(1, "pub", false, true);
		sent(1, "PUBLISH topic=\"a/b\" qos=2 packet_id=3 payload=\"x\"");
		came(1, "PUBREC packet_id=3");
		sent(1, "PUBREL packet_id=3");
		came(1, "PUBCOMP packet_id=3");
		if (i < 2)
			nothing_is_owed();
		else
			lost(0, "MQTT-4.5.0-1");
	}
}

/* The answer to a PUBREL that no message had says nothing of the one that has its packet id next. */
static void a_stray_release_loses_nothing(void **state)
{
	(void)state;
	connected(0, "sub", true, false);
	subscribed(0, "\"a/+\" qos=2");
	connected(1, "pub", true, false);
	sent(1, "PUBREL packet_id=3");
	sent(1, "PUBLISH topic=\"a/b\" qos=2 packet_id=3 payload=\"x\"");
	came(1, "PUBCOMP packet_id=3 reason=0x92");
	came(1, "PUBREC packet_id=3");
	sent(1, "PUBREL packet_id=3");
	came(1, "PUBCOMP packet_id=3");
	lost(0, "MQTT-4.5.0-1");
}

static void who_does_not_subscribe_just_so_is_not_owed(void **state)
{
	static const char *const filters[] = { "\"$share/g/a/+\" qos=2", "\"a/+\" qos=2 no_local", "\"b/+\" qos=2" };

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		dues_begin(dues, (struct span){ 0 });
		connected(0, "both", true, false);
		subscribed(0, filters[i]);
		sent(0, "PUBLISH topic=\"a/b\" qos=1 packet_id=3");
		came(0, "PUBACK packet_id=3");
		nothing_is_owed();
	}
	dues_begin(dues, (struct span){ 0 });		/* granted QoS 0 */
	connected(0, "a", true, false);
	sent(0, "SUBSCRIBE packet_id=9 (\"a/+\" qos=2)");
	came(0, "SUBACK packet_id=9 reason=[0]");
	connected(1, "b", true, false);
	sent(1, "PUBLISH topic=\"a/b\" qos=1 packet_id=3");
	came(1, "PUBACK packet_id=3");
	nothing_is_owed();
	dues_begin(dues, (struct span){ 0 });		/* not granted yet */
	connected(0, "a", true, false);
	sent(0, "SUBSCRIBE packet_id=9 (\"a/+\" qos=2)");
	connected(1, "b", true, false);
	sent(1, "PUBLISH topic=\"a/b\" qos=1 packet_id=3");
	came(1, "PUBACK packet_id=3");
	came(0, "SUBACK packet_id=9 reason=[2]");
	nothing_is_owed();
}

static void whose_side_broke_a_rule_is_not_owed(void **state)
{
	struct packet p;

	(void)state;
	for (unsigned who = 0; who < 2; who++) {
		dues_begin(dues, (struct span){ 0 });
		published("PUBLISH topic=\"a/b\" qos=1 packet_id=3 payload=\"x\"", acked);
		p = parsed("PUBACK packet_id=77");
		dues_sent(dues, who, &p, false);
		nothing_is_owed();
	}
}

static void a_queue_is_owed_when_the_session_is_resumed(void **state)
{
	(void)state;
	for (unsigned present = 0; present < 2; present++) {
		dues_begin(dues, (struct span){ 0 });
		dues_time(dues, 0);
		connected(0, "sub", false, false);
		subscribed(0, "\"a/+\" qos=2");
		dues_ended(dues, 0, DUES_LOST);
		connected(1, "pub", true, false);
		sent(1, "PUBLISH topic=\"a/b\" qos=1 packet_id=3 payload=\"x\"");
		came(1, "PUBACK packet_id=3");
		nothing_is_owed();
		if (!present)
			dues_time(dues, UINT64_C(100000000000));	/* by then its session may be over */
		connected(2, "sub", false, present);
		if (present)
			lost(2, "MQTT-4.5.0-1");
		else
			nothing_is_owed();
	}
}

static void what_was_unacknowledged_comes_again(void **state)
{
	(void)state;
	for (unsigned taken_over = 0; taken_over < 2; taken_over++) {
		dues_begin(dues, (struct span){ 0 });
		published("PUBLISH topic=\"a/b\" qos=1 packet_id=3 payload=\"x\"", acked);
		came(0, "PUBLISH topic=\"a/b\" qos=1 packet_id=1 payload=\"x\"");
		nothing_is_owed();
		if (!taken_over)
			dues_ended(dues, 0, DUES_LOST);
		connected(2, "sub", false, true);
		lost(2, "MQTT-4.4.0-1");
		came(2, "PUBLISH topic=\"a/b\" qos=1 packet_id=1 dup payload=\"x\"");
		nothing_is_owed();
	}
	dues_begin(dues, (struct span){ 0 });		/* an acknowledgement that may have arrived */
	published("PUBLISH topic=\"a/b\" qos=1 packet_id=3 payload=\"x\"", acked);
	came(0, "PUBLISH topic=\"a/b\" qos=1 packet_id=1 payload=\"x\"");
	sent(0, "PUBACK packet_id=1");
	dues_ended(dues, 0, DUES_LOST);
	connected(2, "sub", false, true);
	nothing_is_owed();
}

static void qos_2_comes_once(void **state)
{
	(void)state;
	for (version = MQTT_3_1_1; version <= MQTT_5; version++) {
		dues_begin(dues, (struct span){ 0 });
		published("PUBLISH topic=\"a/b\" qos=2 packet_id=3 payload=\"x\"", completed);
		came(0, "PUBLISH topic=\"a/b\" qos=2 packet_id=1 payload=\"x\"");
		came(0, "PUBLISH topic=\"a/b\" qos=2 packet_id=1 dup payload=\"x\"");	/* the same exchange */
		assert_false(takes(0, "PUBLISH topic=\"a/b\" qos=2 packet_id=2 payload=\"x\""));
		assert_string_equal(found.clause, version == MQTT_5 ? "MQTT-4.3.3-10" : "MQTT-4.3.3-2");
	}
	version = MQTT_5;
	dues_begin(dues, (struct span){ 0 });		/* published twice */
	published("PUBLISH topic=\"a/b\" qos=2 packet_id=3 payload=\"x\"", completed);
	sent(1, "PUBLISH topic=\"a/b\" qos=2 packet_id=4 payload=\"x\"");
	came(0, "PUBLISH topic=\"a/b\" qos=2 packet_id=1 payload=\"x\"");
	came(0, "PUBLISH topic=\"a/b\" qos=2 packet_id=2 payload=\"x\"");
	dues_begin(dues, (struct span){ 0 });		/* by two subscriptions */
	connected(0, "sub", true, false);
	sent(0, "SUBSCRIBE packet_id=9 (\"a/+\" qos=2, \"a/#\" qos=2)");
	came(0, "SUBACK packet_id=9 reason=[2 2]");
	connected(1, "pub", true, false);
	sent(1, "PUBLISH topic=\"a/b\" qos=2 packet_id=4 payload=\"x\"");
	came(0, "PUBLISH topic=\"a/b\" qos=2 packet_id=1 payload=\"x\"");
	came(0, "PUBLISH topic=\"a/b\" qos=2 packet_id=2 payload=\"x\"");
	dues_begin(dues, (struct span){ 0 });		/* who knows what was in what cannot be read */
	published("PUBLISH topic=\"a/b\" qos=2 packet_id=3 payload=\"x\"", completed);
	dues_sent(dues, 3, NULL, false);
	came(0, "PUBLISH topic=\"a/b\" qos=2 packet_id=1 payload=\"x\"");
	came(0, "PUBLISH topic=\"a/b\" qos=2 packet_id=2 payload=\"x\"");
}

static void removed(const char *between)
{
	dues_begin(dues, (struct span){ 0 });
	connected(1, "pub", true, false);
	sent(1, "PUBLISH topic=\"a/b\" retain qos=1 packet_id=3 payload=\"x\"");
	came(1, "PUBACK packet_id=3");
	sent(1, "PUBLISH topic=\"a/b\" retain qos=1 packet_id=4");
	if (between)
		sent(1, between);
	came(1, "PUBACK packet_id=4");
	connected(0, "sub", true, false);
	subscribed(0, "\"a/+\" qos=2");
}

static void what_was_removed_does_not_come_to_a_new_subscription(void **state)
{
	(void)state;
	removed(NULL);
	assert_false(takes(0, "PUBLISH topic=\"a/b\" retain qos=1 packet_id=1 payload=\"x\""));
	assert_string_equal(found.clause, "MQTT-3.3.1-6");
	removed("PUBLISH topic=\"a/b\" retain qos=1 packet_id=5 payload=\"x\"");
	came(0, "PUBLISH topic=\"a/b\" retain qos=1 packet_id=1 payload=\"x\"");
	removed("PUBLISH topic=\"a/b\" retain payload=\"x\"");
	came(0, "PUBLISH topic=\"a/b\" retain qos=1 packet_id=1 payload=\"x\"");
	removed(NULL);
	came(0, "PUBLISH topic=\"a/c\" retain qos=1 packet_id=1 payload=\"x\"");
}

static void what_does_not_fit_is_not_judged(void **state)
{
	char text[300];

	(void)state;
	connected(0, "sub", true, false);
	for (unsigned i = 0; i < 300; i++) {
		snprintf(text, sizeof(text), "\"a/%u\" qos=1", i);
		subscribed(0, text);
	}
	connected(1, "pub", true, false);
	for (unsigned i = 1; i < 400; i++) {
		snprintf(text, sizeof(text), "PUBLISH topic=\"a/%u\" qos=1 packet_id=%u", i, i);
		sent(1, text);
		snprintf(text, sizeof(text), "PUBACK packet_id=%u", i);
		came(1, text);
		snprintf(text, sizeof(text), "PUBLISH topic=\"a/%u\" qos=1 packet_id=%u", i, i);
		came(0, text);
	}
	nothing_is_owed();
	for (unsigned i = 0; i < 100; i++) {
		snprintf(text, sizeof(text), "s%u", i);
		connected(2 + i % 30, text, false, false);
	}
	nothing_is_owed();
}

static void what_may_be_otherwise_is_not_judged(void **state)
{
	(void)state;
	dues_begin(dues, (struct span){ 0 });	/* a subscription that meets what is being routed */
	published("PUBLISH topic=\"a/b\" qos=2 packet_id=3 payload=\"x\"", completed);
	sent(0, "SUBSCRIBE packet_id=8 (\"a/#\" qos=2)");
	came(0, "PUBLISH topic=\"a/b\" qos=2 packet_id=1 payload=\"x\"");
	came(0, "PUBLISH topic=\"a/b\" qos=2 packet_id=2 payload=\"x\"");
	dues_begin(dues, (struct span){ 0 });	/* a new session in its name, of which no CONNACK came */
	published("PUBLISH topic=\"a/b\" qos=1 packet_id=3 payload=\"x\"", acked);
	dues_ended(dues, 0, DUES_LOST);
	sent(2, "CONNECT client_id=\"sub\" clean_start session_expiry_interval=60");
	dues_ended(dues, 2, DUES_LOST);
	connected(0, "sub", false, true);
	nothing_is_owed();
	dues_begin(dues, (struct span){ 0 });	/* one that ends with its connection */
	sent(0, "CONNECT client_id=\"sub\"");
	came(0, "CONNACK session_present=0 reason=0");
	subscribed(0, "\"a/+\" qos=2");
	dues_ended(dues, 0, DUES_LOST);
	connected(1, "pub", true, false);
	sent(1, "PUBLISH topic=\"a/b\" qos=1 packet_id=3 payload=\"x\"");
	came(1, "PUBACK packet_id=3");
	connected(2, "sub", false, true);
	nothing_is_owed();
	dues_begin(dues, (struct span){ 0 });	/* it has said DISCONNECT */
	published("PUBLISH topic=\"a/b\" qos=1 packet_id=3 payload=\"x\"", acked);
	sent(0, "DISCONNECT");
	nothing_is_owed();
	dues_begin(dues, (struct span){ 0 });	/* it acknowledged what may be under way */
	published("PUBLISH topic=\"a/b\" qos=1 packet_id=3 payload=\"x\"", acked);
	sent(0, "PUBACK packet_id=1");
	nothing_is_owed();
	dues_begin(dues, (struct span){ 0 });	/* another message under an id that is not free */
	published("PUBLISH topic=\"a/b\" qos=1 packet_id=3 payload=\"x\"", (const char *const[]){ NULL });
	sent(1, "PUBLISH topic=\"a/c\" qos=1 packet_id=3 payload=\"y\"");
	came(1, "PUBACK packet_id=3");
	came(0, "PUBLISH topic=\"a/c\" qos=1 packet_id=1 payload=\"y\"");
	nothing_is_owed();
	dues_begin(dues, (struct span){ 0 });	/* it is subscribed and unsubscribed before either is acknowledged */
	connected(0, "sub", true, false);
	sent(0, "SUBSCRIBE packet_id=8 (\"a/#\" qos=2)");
	sent(0, "UNSUBSCRIBE packet_id=9 (\"a/#\")");
	came(0, "SUBACK packet_id=8 reason=[2]");
	connected(1, "pub", true, false);
	sent(1, "PUBLISH topic=\"a/b\" qos=1 packet_id=3 payload=\"x\"");
	came(1, "PUBACK packet_id=3");
	nothing_is_owed();
}

static void what_comes_again_under_another_id_is_one(void **state)
{
	(void)state;
	published("PUBLISH topic=\"a/b\" qos=2 packet_id=3 payload=\"x\"", completed);
	came(0, "PUBLISH topic=\"a/b\" qos=2 packet_id=1 payload=\"x\"");
	dues_ended(dues, 0, DUES_LOST);
	connected(2, "sub", false, true);
	came(2, "PUBLISH topic=\"a/b\" qos=2 packet_id=7 dup payload=\"x\"");
	sent(2, "PUBREC packet_id=7");
	came(2, "PUBREL packet_id=7");
	sent(2, "PUBCOMP packet_id=7");
	dues_ended(dues, 2, DUES_LOST);
	connected(0, "sub", false, true);
	nothing_is_owed();
}

/* Nobody else is meant by names that have nothing of ours. */
static void only_what_is_ours_is_judged(void **state)
{
	(void)state;
	dues_begin(dues, span_text("a/"));
	published("PUBLISH topic=\"a/b\" qos=1 packet_id=3 payload=\"x\"", acked);
	nothing_is_owed();
	dues_begin(dues, span_text("ub"));
	published("PUBLISH topic=\"a/b\" qos=1 packet_id=3 payload=\"x\"", acked);
	nothing_is_owed();
	dues_begin(dues, span_text("b"));
	published("PUBLISH topic=\"a/b\" qos=1 packet_id=3 payload=\"x\"", acked);
	lost(0, "MQTT-4.5.0-1");
}

static void a_repeated_message_is_one(void **state)
{
	(void)state;
	for (version = MQTT_3_1_1; version <= MQTT_5; version++) {
		dues_begin(dues, (struct span){ 0 });
		connected(0, "both", true, false);
		sent(0, "SUBSCRIBE packet_id=9 (\"t\" qos=0)");
		came(0, "SUBACK packet_id=9 reason=[0]");
		sent(0, "PUBLISH topic=\"t\" qos=2 packet_id=2 payload=\"x\"");
		sent(0, "PUBLISH topic=\"t\" qos=2 packet_id=2 dup payload=\"x\"");
		came(0, "PUBLISH topic=\"t\" payload=\"x\"");
		assert_false(takes(0, "PUBLISH topic=\"t\" payload=\"x\""));
	}
}

/* Of two that look alike nobody knows which one came, and only one was taken. */
static void what_looks_like_another_may_be_it(void **state)
{
	(void)state;
	connected(0, "sub", true, false);
	subscribed(0, "\"a/+\" qos=1");
	sent(1, "CONNECT client_id=\"pub\" clean_start");
	came(1, "CONNACK session_present=0 reason=0");
	sent(1, "PUBLISH topic=\"a/b\" qos=2 packet_id=1 payload=\"x\"");
	came(1, "PUBREC packet_id=1");
	dues_ended(dues, 1, DUES_LOST);
	connected(1, "pub", true, false);
	sent(1, "PUBLISH topic=\"a/b\" qos=1 packet_id=1 payload=\"x\"");
	came(0, "PUBLISH topic=\"a/b\" qos=1 packet_id=1 payload=\"x\"");
	came(1, "PUBACK packet_id=1");
	nothing_is_owed();
}

/* Whatever else it has subscribed to before. */
static void what_was_removed_is_missed_by_those_who_ask_for_it_then(void **state)
{
	(void)state;
	for (unsigned early = 0; early < 2; early++) {
		dues_begin(dues, (struct span){ 0 });
		connected(0, "a", true, false);
		subscribed(0, early ? "\"t/#\" qos=0" : "\"b\" qos=0");
		sent(0, "PUBLISH topic=\"t\" retain payload=\"1\"");
		sent(0, "PUBLISH topic=\"t\" retain");
		subscribed(0, early ? "\"t/#\" qos=0" : "\"t\" qos=0");
		assert_int_equal(takes(0, "PUBLISH topic=\"t\" retain payload=\"1\""), early);
	}
	dues_begin(dues, (struct span){ 0 });		/* by what broke a rule it may be there again */
	connected(0, "a", true, false);
	sent(0, "PUBLISH topic=\"t\" retain payload=\"1\"");
	struct packet p = parsed("PUBLISH topic=\"t\" retain payload=\"1\"");
	dues_sent(dues, 1, &p, false);
	sent(0, "PUBLISH topic=\"t\" retain");
	subscribed(0, "\"t\" qos=0");
	came(0, "PUBLISH topic=\"t\" retain payload=\"1\"");
}

static void what_is_removed_at_qos_0_is_for_what_follows(void **state)
{
	(void)state;
	for (unsigned other = 0; other < 2; other++) {
		dues_begin(dues, (struct span){ 0 });
		connected(0, "a", true, false);
		connected(1, "b", true, false);
		sent(0, "PUBLISH topic=\"t\" retain payload=\"1\"");
		sent(0, "PUBLISH topic=\"t\" retain");
		subscribed(other, "\"t\" qos=0");
		assert_int_equal(takes(other, "PUBLISH topic=\"t\" retain payload=\"1\""), other);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_is_acknowledged_is_owed_until_it_comes),
		TEST(what_is_not_taken_is_not_owed),
		TEST(what_is_not_released_is_not_owed),
		TEST(a_stray_release_loses_nothing),
		TEST(under_an_id_in_use_nothing_is_owed),
		TEST(one_of_two_alike_may_be_the_other),
		TEST(who_does_not_subscribe_just_so_is_not_owed),
		TEST(whose_side_broke_a_rule_is_not_owed),
		TEST(a_queue_is_owed_when_the_session_is_resumed),
		TEST(what_was_unacknowledged_comes_again),
		TEST(qos_2_comes_once),
		TEST(what_was_removed_does_not_come_to_a_new_subscription),
		TEST(what_does_not_fit_is_not_judged),
		TEST(what_may_be_otherwise_is_not_judged),
		TEST(what_comes_again_under_another_id_is_one),
		TEST(only_what_is_ours_is_judged),
		TEST(a_repeated_message_is_one),
		TEST(what_looks_like_another_may_be_it),
		TEST(what_was_removed_is_missed_by_those_who_ask_for_it_then),
		TEST(what_is_removed_at_qos_0_is_for_what_follows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
