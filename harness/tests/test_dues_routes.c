#include "harness/tests/dues_talk.h"

static void accused(unsigned client, const char *publish, const char *clause)
{
	assert_false(takes(client, publish));
	assert_string_equal(found.clause, clause);
	assert_int_equal(found.client, client);
}

/* ---- No Local ---- */

static void alone(const char *filters)
{
	dues_begin(dues, (struct span){ 0 });
	connected(0, "a", true, false);
	subscribed(0, filters);
}

static void what_is_no_local_does_not_come_back(void **state)
{
	(void)state;
	alone("\"t/+\" qos=0 no_local");
	sent(0, "PUBLISH topic=\"t/a\" payload=\"x\"");
	accused(0, "PUBLISH topic=\"t/a\" payload=\"x\"", "MQTT-3.8.3-3");
	alone("\"t/+\" qos=0 no_local, \"t/#\" qos=2 no_local");
	sent(0, "PUBLISH topic=\"t/a\" qos=1 packet_id=3 payload=\"x\"");
	accused(0, "PUBLISH topic=\"t/a\" qos=1 packet_id=1 payload=\"x\"", "MQTT-3.8.3-3");
	alone("\"t/+\" qos=0 no_local");		/* compared by client id */
	sent(0, "PUBLISH topic=\"t/a\" payload=\"x\"");
	dues_ended(dues, 0, DUES_LOST);
	connected(1, "a", false, true);
	accused(1, "PUBLISH topic=\"t/a\" payload=\"x\"", "MQTT-3.8.3-3");
}

static void who_may_have_published_it_otherwise_accuses_nobody(void **state)
{
	static const char *const filters[] = {
		"\"t/+\" qos=0", "\"t/+\" qos=0 no_local, \"t/#\" qos=0", "\"t/+\" qos=0 no_local, \"$share/g/t/a\" qos=0", "\"b\" qos=0 no_local",
	};
	struct packet p;

	(void)state;
	for (size_t i = 0; i < sizeof(filters) / sizeof(*filters); i++) {
		alone(filters[i]);
		sent(0, "PUBLISH topic=\"t/a\" payload=\"x\"");
		came(0, "PUBLISH topic=\"t/a\" payload=\"x\"");
	}
	for (unsigned before = 0; before < 2; before++) {	/* another did as well */
		alone("\"t/+\" qos=0 no_local");
		connected(1, "b", true, false);
		sent(before, "PUBLISH topic=\"t/a\" payload=\"x\"");
		sent(!before, "PUBLISH topic=\"t/a\" payload=\"x\"");
		came(0, "PUBLISH topic=\"t/a\" payload=\"x\"");
		came(1, "PUBLISH topic=\"t/a\" payload=\"x\"");
	}
	alone("\"t/+\" qos=0 no_local");		/* or will */
	sent(1, "CONNECT client_id=\"w\" clean_start will.topic=\"t/a\" will.payload=\"x\"");
	sent(0, "PUBLISH topic=\"t/a\" payload=\"x\"");
	came(0, "PUBLISH topic=\"t/a\" payload=\"x\"");
	alone("\"t/+\" qos=0 no_local");		/* what is retained comes to whoever subscribes */
	sent(0, "PUBLISH topic=\"t/a\" retain payload=\"x\"");
	came(0, "PUBLISH topic=\"t/a\" payload=\"x\"");
	alone("\"t/+\" qos=0 no_local");		/* he asked for it, while it was under way */
	sent(0, "PUBLISH topic=\"t/a\" payload=\"x\"");
	sent(0, "SUBSCRIBE packet_id=8 (\"t/a\" qos=0)");
	came(0, "PUBLISH topic=\"t/a\" payload=\"x\"");
	alone("\"t/+\" qos=0");				/* or the change is not refused for certain */
	sent(0, "SUBSCRIBE packet_id=8 (\"t/+\" qos=0 no_local)");
	sent(0, "PUBLISH topic=\"t/a\" payload=\"x\"");
	came(0, "SUBACK packet_id=8 reason=[0x80]");
	came(0, "PUBLISH topic=\"t/a\" payload=\"x\"");
	alone("\"t/+\" qos=0 no_local");		/* by what cannot be read */
	sent(0, "PUBLISH topic=\"t/a\" payload=\"x\"");
	dues_sent(dues, 1, NULL, false);
	came(0, "PUBLISH topic=\"t/a\" payload=\"x\"");
	alone("\"t/+\" qos=0 no_local");		/* by an alias */
	connected(1, "b", true, false);
	sent(0, "PUBLISH topic=\"t/a\" payload=\"x\"");
	p = parsed("PUBLISH topic=\"\" topic_alias=1 payload=\"x\"");
	dues_sent(dues, 1, &p, true);
	came(0, "PUBLISH topic=\"t/a\" payload=\"x\"");
}

/* What broke a rule may have been published all the same, but nothing else was. */
static void only_what_may_have_been_published_is_in_doubt(void **state)
{
	static const char *const others[] = {
		"PUBLISH topic=\"t/a\" payload=\"x\"", "CONNECT client_id=\"w\" clean_start will.topic=\"t/a\" will.payload=\"x\"",
		"PUBLISH topic=\"t/a\" payload=\"y\"", "CONNECT client_id=\"w\" clean_start will.topic=\"t/b\" will.payload=\"x\"", "PINGREQ",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++) {
		struct packet p = parsed(others[i]);

		alone("\"t/+\" qos=0 no_local");
		sent(0, "PUBLISH topic=\"t/a\" payload=\"x\"");
		dues_sent(dues, 1, &p, false);
		assert_int_equal(takes(0, "PUBLISH topic=\"t/a\" payload=\"x\""), i < 2);
	}
	for (unsigned type = CONNECT; type <= AUTH; type++) {
		alone("\"t/+\" qos=0 no_local");
		connected(1, "b", true, false);
		sent(0, "PUBLISH topic=\"t/a\" payload=\"x\"");
		dues_sent_unreadable(dues, 1, type);
		assert_int_equal(takes(0, "PUBLISH topic=\"t/a\" payload=\"x\""), type == CONNECT || type == PUBLISH);
	}
}

/* ---- topics that begin with $ ---- */

static void a_leading_wildcard_has_no_dollar(void **state)
{
	static const char *const filters[] = { "\"#\" qos=0", "\"+/x\" qos=0", "\"t\" qos=0, \"+/+\" qos=0", "\"$share/g/#\" qos=0", "\"$SYS/#\" qos=0, \"#\" qos=0" };

	(void)state;
	for (version = MQTT_3_1_1; version <= MQTT_5; version++)
		for (size_t i = 0; i < sizeof(filters) / sizeof(*filters); i++) {
			if (version != MQTT_5 && !strncmp(filters[i], "\"$share", 7))
				continue;
			alone(filters[i]);
			accused(0, "PUBLISH topic=\"$a/x\" payload=\"x\"", "MQTT-4.7.2-1");
		}
	version = MQTT_5;
	alone("\"#\" qos=0");
	accused(0, "PUBLISH topic=\"$SYS/x\" retain payload=\"x\"", "MQTT-4.7.2-1");
}

static void what_else_has_it_accuses_nobody(void **state)
{
	static const char *const filters[] = { "\"$a/#\" qos=0, \"#\" qos=0", "\"$a/x\" qos=0, \"+/x\" qos=0", "\"$share/g/$a/x\" qos=0, \"#\" qos=0", "\"t\" qos=0", "\"+\" qos=0" };

	(void)state;
	for (size_t i = 0; i < sizeof(filters) / sizeof(*filters); i++) {
		alone(filters[i]);
		came(0, "PUBLISH topic=\"$a/x\" payload=\"x\"");
	}
	for (version = MQTT_3_1_1; version <= MQTT_5; version++) {	/* before 5 a share may be none */
		alone("\"$share/g/#\" qos=0");
		assert_int_equal(takes(0, "PUBLISH topic=\"$share/h/x\" payload=\"x\""), version != MQTT_5);
		alone("\"#\" qos=0, \"$share/g/$share/g/x\" qos=0");
		came(0, "PUBLISH topic=\"$share/g/$share/g/x\" payload=\"x\"");
	}
	version = MQTT_5;
	alone("\"#\" qos=0, \"$a/x\" qos=0");		/* it is on its way */
	sent(0, "UNSUBSCRIBE packet_id=5 (\"$a/x\")");
	came(0, "PUBLISH topic=\"$a/x\" payload=\"x\"");
	alone("\"#\" qos=0");				/* it may be in force already */
	sent(0, "SUBSCRIBE packet_id=5 (\"$a/x\" qos=0)");
	came(0, "PUBLISH topic=\"$a/x\" payload=\"x\"");
	dues_begin(dues, (struct span){ 0 });		/* of before nobody knows */
	connected(0, "a", false, true);
	subscribed(0, "\"#\" qos=0");
	came(0, "PUBLISH topic=\"$a/x\" payload=\"x\"");
	alone("\"#\" qos=0");
	came(0, "PUBLISH topic=\"a/x\" payload=\"x\"");
}

/* ---- shares ---- */

/* 0 and 1 subscribe, 2 publishes. */
static void members(const char *of_0, const char *of_1, const char *publish)
{
	dues_begin(dues, (struct span){ 0 });
	connected(0, "a", true, false);
	subscribed(0, of_0);
	connected(1, "b", true, false);
	subscribed(1, of_1);
	connected(2, "p", true, false);
	sent(2, publish);
}

static const char share[] = "\"$share/g/t/+\" qos=0", other_share[] = "\"$share/h/t/+\" qos=0";
static const char message[] = "PUBLISH topic=\"t/a\" payload=\"x\"";

static void one_member_of_a_share_gets_a_message(void **state)
{
	(void)state;
	members(share, share, message);
	came(0, message);
	accused(1, message, "shared-one-member");
	members(share, share, "PUBLISH topic=\"t/a\" qos=2 packet_id=3 payload=\"x\"");
	came(1, message);
	accused(0, message, "shared-one-member");
}

static void what_may_go_to_both_accuses_nobody(void **state)
{
	(void)state;
	members(share, other_share, message);
	came(0, message);
	came(1, message);
	members(share, "\"$share/g/t/+\" qos=0, \"t/a\" qos=0", message);
	came(0, message);
	came(1, message);
	members(share, share, message);			/* published twice */
	sent(2, message);
	came(0, message);
	came(1, message);
	members(share, share, "PUBLISH topic=\"t/a\" qos=1 packet_id=3 payload=\"x\"");
	sent(2, "PUBLISH topic=\"t/a\" qos=1 packet_id=3 dup payload=\"x\"");
	came(0, message);
	came(1, message);
	members("\"$share/g/t/+\" qos=1", share, "PUBLISH topic=\"t/a\" qos=1 packet_id=3 payload=\"x\"");
	came(0, "PUBLISH topic=\"t/a\" qos=1 packet_id=1 payload=\"x\"");	/* who loses his connection before he acknowledges it */
	came(1, message);
	members(share, share, "PUBLISH topic=\"t/a\" retain payload=\"x\"");
	came(0, message);
	came(1, message);
	members(share, share, message);			/* another joins meanwhile */
	sent(3, "CONNECT client_id=\"c\" clean_start");
	came(3, "CONNACK session_present=0 reason=0");
	subscribed(3, "\"t/#\" qos=0");
	came(0, message);
	came(1, message);
	members(share, share, message);			/* the same member */
	came(0, message);
	came(0, message);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_is_no_local_does_not_come_back),
		TEST(who_may_have_published_it_otherwise_accuses_nobody),
		TEST(only_what_may_have_been_published_is_in_doubt),
		TEST(a_leading_wildcard_has_no_dollar),
		TEST(what_else_has_it_accuses_nobody),
		TEST(one_member_of_a_share_gets_a_message),
		TEST(what_may_go_to_both_accuses_nobody),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
