#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "codec/text.h"
#include "harness/dues.h"
#include "harness/dues_promises.h"

static struct dues *dues;
static struct due_breach found;
static enum version version;
static uint64_t now_ms;

static int start(void **state)
{
	(void)state;
	version = MQTT_5;
	now_ms = 5000;
	dues = dues_new();
	return !dues;
}

static int stop(void **state)
{
	(void)state;
	dues_free(dues);
	return 0;
}

static struct packet parsed(const char *text)
{
	static uint8_t room[8][1 << 12], bytes[8][1 << 12];
	static unsigned turn;
	struct writer w = writer_to(bytes[++turn % 8], sizeof(*bytes));
	struct arena arena;
	struct builder b;
	struct fault fault;
	struct packet p;
	struct finding finding;

	arena_init(&arena, room[turn % 8], sizeof(*room));
	assert_int_equal(packet_parse(span_text(text), version, &arena, &b, &fault), CODEC_OK);
	assert_int_equal(builder_encode(&b, &w), CODEC_OK);
	assert_int_equal(decode(w.at, w.len, version, &p, &finding), CODEC_OK);
	return p;
}

static void does(unsigned client, const char *text, bool lawful)
{
	struct packet p = parsed(text);

	dues_time(dues, now_ms * 1000000);
	dues_sent(dues, client, &p, lawful);
}

static void sent(unsigned client, const char *text)
{
	does(client, text, true);
}

static bool takes(unsigned client, const char *text)
{
	struct packet p = parsed(text);

	dues_time(dues, now_ms * 1000000);
	return dues_received(dues, client, &p, p.topic, &found);
}

static void came(unsigned client, const char *text)
{
	assert_true(takes(client, text));
}

static void breaks(unsigned client, const char *text, const char *clause)
{
	assert_false(takes(client, text));
	assert_string_equal(found.clause, clause);
	assert_int_equal(found.client, client);
	assert_int_equal(found.version, version);
	assert_int_equal(found.type, parsed(text).type);
	assert_true(dues_judges(version, clause));
}

/* ---- sessions ---- */

static const char new[] = "CONNACK session_present=0 reason=0", old[] = "CONNACK session_present=1 reason=0";

static const char *connect_of(bool clean, const char *more)
{
	static char text[400];

	snprintf(text, sizeof(text), "CONNECT %s client_id=\"x\" %s", clean ? "clean_start" : "clean_start=0", more);
	return text;
}

static void kept(unsigned client, const char *more)
{
	sent(client, connect_of(true, more));
	came(client, new);
}

static const char *no_session(void)
{
	return version == MQTT_5 ? "MQTT-3.2.2-3" : "MQTT-3.2.2-2";
}

static void a_session_is_there_until_its_interval_is_over(void **state)
{
	static const struct { const char *more; uint64_t after_ms; bool owed; } rows[] = {
		{ "session_expiry_interval=60", 1000, true }, { "session_expiry_interval=60", 57000, true }, { "session_expiry_interval=60", 59000, false },
		{ "session_expiry_interval=0x80000000", 100, true }, { "session_expiry_interval=0xffffffff", 100000000, true },
		{ "session_expiry_interval=0", 0, false }, { "", 0, false }, { "session_expiry_interval=2", 0, false }, { "session_expiry_interval=3", 0, true },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		dues_begin(dues, (struct span){ 0 });
		kept(0, rows[i].more);
		dues_ended(dues, 0, DUES_LOST);
		now_ms += rows[i].after_ms;
		sent(1, connect_of(false, ""));
		if (rows[i].owed)
			breaks(1, new, no_session());
		else
			came(1, new);
	}
}

static void before_5_it_is_there_for_a_while(void **state)
{
	(void)state;
	version = MQTT_3_1_1;
	sent(0, "CONNECT client_id=\"x\"");
	came(0, new);
	dues_ended(dues, 0, DUES_LOST);
	sent(1, "CONNECT client_id=\"x\"");
	breaks(1, new, no_session());
	dues_ended(dues, 1, DUES_LOST);
	now_ms += 6000;
	sent(2, "CONNECT client_id=\"x\"");
	came(2, new);
	dues_ended(dues, 2, DUES_LOST);
	sent(2, "CONNECT client_id=\"x\" clean_start");
	came(2, new);
	dues_ended(dues, 2, DUES_LOST);
	sent(2, "CONNECT client_id=\"x\"");
	came(2, new);
}

static void what_is_granted_counts(void **state)
{
	(void)state;
	sent(0, connect_of(true, "session_expiry_interval=600"));
	came(0, "CONNACK session_present=0 reason=0 session_expiry_interval=10");
	dues_ended(dues, 0, DUES_LOST);
	now_ms += 9000;
	sent(1, connect_of(false, "session_expiry_interval=600"));
	came(1, new);				/* seconds may be reckoned coarsely */
	sent(1, "DISCONNECT reason=0 session_expiry_interval=1");
	dues_ended(dues, 1, DUES_LOST);
	sent(1, connect_of(false, "session_expiry_interval=600"));
	came(1, new);
	sent(1, "DISCONNECT reason=0 session_expiry_interval=60000");	/* it may be lost */
	now_ms += 599000;
	sent(1, connect_of(false, ""));
	came(1, new);
}

static void who_is_still_connected_is_taken_over_with_his_session(void **state)
{
	(void)state;
	kept(0, "session_expiry_interval=60");
	sent(1, connect_of(false, "session_expiry_interval=60"));
	dues_ended(dues, 0, DUES_CLOSED);
	breaks(1, new, no_session());
	sent(2, connect_of(false, "session_expiry_interval=60"));
	came(2, old);
	came(1, "DISCONNECT reason=0x8e");
	dues_ended(dues, 1, DUES_CLOSED);
	dues_ended(dues, 2, DUES_LOST);
	sent(0, connect_of(false, ""));
	breaks(0, new, no_session());
}

enum { A_DISCONNECTED_BY_SERVER, A_CLOSED_BY_SERVER, A_RULE_BROKEN, A_UNREADABLE, A_REFUSED, A_UNANSWERED, A_AT_ONCE, A_USER, A_VERSION, A_CLEAN, A_STRANGER, N_AFFAIRS };

static void who_may_have_ended_it_otherwise_is_not_accused(void **state)
{
	(void)state;
	for (unsigned i = 0; i < N_AFFAIRS; i++) {
		const char *back = connect_of(false, i == A_USER ? "user_name=\"u\"" : ""), *answer = new;
		char again[400];

		dues_begin(dues, i == A_STRANGER ? span_text("other") : (struct span){ 0 });
		snprintf(again, sizeof(again), "%s", back);
		kept(0, "session_expiry_interval=60");
		switch (i) {
		case A_DISCONNECTED_BY_SERVER: came(0, "DISCONNECT reason=0x98"); break;
		case A_CLOSED_BY_SERVER: dues_ended(dues, 0, DUES_CLOSED); break;
		case A_RULE_BROKEN: does(0, "PINGREQ", false); break;
		case A_UNREADABLE: dues_sent(dues, 3, NULL, false); break;
		case A_REFUSED: sent(3, connect_of(true, "")); came(3, "CONNACK reason=0x87"); break;
		case A_UNANSWERED: sent(3, connect_of(true, "")); dues_ended(dues, 3, DUES_LOST); break;
		case A_AT_ONCE: sent(3, connect_of(false, "")); break;
		case A_VERSION: version = MQTT_3_1_1; break;
		case A_CLEAN: sent(3, connect_of(true, "")); came(3, new); dues_ended(dues, 3, DUES_LOST); break;
		default: break;
		}
		dues_ended(dues, 0, DUES_LOST);
		sent(1, i == A_VERSION ? "CONNECT client_id=\"x\"" : again);
		came(1, answer);
		version = MQTT_5;
	}
}

/* ---- keep alive ---- */

static void nobody_is_silent_longer_than_connected(void **state)
{
	static const struct { const char *connect, *connack; uint64_t after_ms; const char *clause; } rows[] = {
		{ "CONNECT clean_start client_id=\"x\" keep_alive=21846", new, 1000, "MQTT-3.2.2-22" },
		{ "CONNECT clean_start client_id=\"x\" keep_alive=10", new, 12900, "MQTT-3.2.2-22" },
		{ "CONNECT clean_start client_id=\"x\" keep_alive=10", new, 13100, NULL },
		{ "CONNECT clean_start client_id=\"x\" keep_alive=1", new, 0, NULL },
		{ "CONNECT clean_start client_id=\"x\" keep_alive=0", new, 100, NULL },
		{ "CONNECT clean_start client_id=\"x\" keep_alive=600", "CONNACK session_present=0 reason=0 server_keep_alive=4", 5000, NULL },
		{ "CONNECT clean_start client_id=\"x\" keep_alive=4", "CONNACK session_present=0 reason=0 server_keep_alive=600", 500000, "MQTT-3.1.2-22" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		dues_begin(dues, (struct span){ 0 });
		sent(0, rows[i].connect);
		now_ms += rows[i].after_ms;
		came(0, rows[i].connack);
		if (rows[i].clause)
			breaks(0, "DISCONNECT reason=0x8d", rows[i].clause);
		else
			came(0, "DISCONNECT reason=0x8d");
	}
}

static void who_is_closed_for_something_else_accuses_nobody(void **state)
{
	(void)state;
	sent(0, "CONNECT clean_start client_id=\"x\" keep_alive=600");
	came(0, new);
	came(0, "DISCONNECT reason=0x98");
	sent(1, "CONNECT clean_start client_id=\"y\" keep_alive=600");
	came(1, new);
	does(1, "PINGREQ", false);
	came(1, "DISCONNECT reason=0x8d");
}

/* ---- exchanges ---- */

static void tells(const char *const *steps, bool holds)
{
	dues_begin(dues, (struct span){ 0 });
	kept(0, "");
	for (; *steps; steps++)
		if (**steps == '>')
			sent(0, *steps + 1);
		else if (steps[1] || holds)
			came(0, *steps);
		else
			breaks(0, *steps, "MQTT-4.1.0-1");
}

static void an_exchange_that_is_open_is_known(void **state)
{
	static const char *const lost[] = { ">PUBLISH topic=\"t\" qos=2 packet_id=7", "PUBREC packet_id=7", ">PUBREL packet_id=7", "PUBCOMP packet_id=7 reason=0x92", NULL };
	static const char *const again[] = { ">PUBLISH topic=\"t\" qos=2 packet_id=7", "PUBREC packet_id=7", ">PUBREL packet_id=7", "PUBCOMP packet_id=7",
		">PUBLISH topic=\"t\" qos=2 packet_id=7", "PUBREC packet_id=7", ">PUBREL packet_id=7", "PUBCOMP packet_id=7 reason=0x92", NULL };

	(void)state;
	tells(lost, false);
	tells(again, false);
}

static void one_that_may_not_be_open_may_be_unknown(void **state)
{
	static const char *const rows[][10] = {
		{ ">PUBREL packet_id=7", "PUBCOMP packet_id=7 reason=0x92" },
		{ ">PUBLISH topic=\"t\" qos=2 packet_id=7", "PUBREC packet_id=7 reason=0x97", ">PUBREL packet_id=7", "PUBCOMP packet_id=7 reason=0x92" },
		{ ">PUBLISH topic=\"t\" qos=2 packet_id=7", ">PUBREL packet_id=7", "PUBREC packet_id=7", "PUBCOMP packet_id=7 reason=0x92" },
		{ ">PUBLISH topic=\"t\" qos=2 packet_id=7", "PUBREC packet_id=7", ">PUBREL packet_id=7", ">PUBREL packet_id=7", "PUBCOMP packet_id=7", "PUBCOMP packet_id=7 reason=0x92" },
		{ ">PUBLISH topic=\"t\" qos=2 packet_id=7", "PUBREC packet_id=7", ">PUBREL packet_id=7", "PUBCOMP packet_id=7", ">PUBREL packet_id=7", "PUBCOMP packet_id=7 reason=0x92" },
		/* answers overtake each other */
		{ ">PUBREL packet_id=7", ">PUBLISH topic=\"t\" qos=2 packet_id=7", "PUBREC packet_id=7", ">PUBREL packet_id=7", "PUBCOMP packet_id=7 reason=0x92", "PUBCOMP packet_id=7" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		tells(rows[i], true);
}

static void one_of_another_connection_is_not_asked_for(void **state)
{
	(void)state;
	kept(0, "session_expiry_interval=60");
	sent(0, "PUBLISH topic=\"t\" qos=2 packet_id=7");
	came(0, "PUBREC packet_id=7");
	dues_ended(dues, 0, DUES_LOST);
	sent(0, connect_of(false, ""));
	came(0, old);
	sent(0, "PUBREL packet_id=7");
	came(0, "PUBCOMP packet_id=7 reason=0x92");
}

/* What does not fit is not judged, and nothing else suffers. */
static void more_than_fits_is_let_go(void **state)
{
	char text[200];

	(void)state;
	for (unsigned i = 0; i < PROMISES_SESSIONS + 3; i++) {
		snprintf(text, sizeof(text), "CONNECT clean_start client_id=\"x%u\" session_expiry_interval=60", i);
		sent(i, text);
		came(i, new);
		dues_ended(dues, i, DUES_LOST);
	}
	sent(0, "CONNECT clean_start=0 client_id=\"x0\"");
	breaks(0, new, no_session());
	snprintf(text, sizeof(text), "CONNECT clean_start=0 client_id=\"x%u\"", PROMISES_SESSIONS);
	sent(1, text);
	came(1, new);
	for (unsigned i = 1; i <= PROMISES_FLOWS + 2; i++) {
		snprintf(text, sizeof(text), "PUBLISH topic=\"t\" qos=2 packet_id=%u", i);
		sent(0, text);
		snprintf(text, sizeof(text), "PUBREC packet_id=%u", i);
		came(0, text);
	}
	sent(0, "PUBREL packet_id=1");
	came(0, "PUBCOMP packet_id=1 reason=0x92");
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, start, stop)
	const struct CMUnitTest tests[] = {
		TEST(a_session_is_there_until_its_interval_is_over),
		TEST(before_5_it_is_there_for_a_while),
		TEST(what_is_granted_counts),
		TEST(who_is_still_connected_is_taken_over_with_his_session),
		TEST(who_may_have_ended_it_otherwise_is_not_accused),
		TEST(nobody_is_silent_longer_than_connected),
		TEST(who_is_closed_for_something_else_accuses_nobody),
		TEST(an_exchange_that_is_open_is_known),
		TEST(one_that_may_not_be_open_may_be_unknown),
		TEST(one_of_another_connection_is_not_asked_for),
		TEST(more_than_fits_is_let_go),
	};

	return cmocka_run_group_tests_name("dues_promises", tests, NULL, NULL);
}
