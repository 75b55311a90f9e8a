#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "codec/text.h"
#include "harness/offences.h"
#include "harness/script.h"

static struct offences offences;
static struct offence_breach breach;
static enum version version;

static size_t bytes_of(const char *text, uint8_t *bytes, size_t cap)
{
	static uint8_t room[1 << 12];
	struct arena arena;
	struct builder b;
	struct fault fault;
	struct writer w = writer_to(bytes, cap);

	if (*text == '=') {		/* hex */
		for (text++; *text; text += 2) {
			unsigned byte;

			assert_int_equal(sscanf(text, "%2x", &byte), 1);
			wr_u8(&w, byte);
		}
		return w.len;
	}
	arena_init(&arena, room, sizeof(room));
	if (packet_parse(span_text(text), version, &arena, &b, &fault) != CODEC_OK)
		fail_msg("%s: %s", text, fault.text);
	assert_int_equal(builder_encode(&b, &w), CODEC_OK);
	assert_true(wr_fits(&w));
	return w.len;
}

static void sends(const char *text)
{
	uint8_t bytes[1 << 10];
	size_t len = bytes_of(text, bytes, sizeof(bytes));
	struct frame frame;
	struct finding finding;
	struct packet p;

	assert_int_equal(frame_next(bytes, len, &frame, &finding), FRAME_OK);
	assert_int_equal(frame.size, len);
	bool readable = decode(bytes, len, version, &p, &finding) == CODEC_OK;
	offences_sent(&offences, bytes, &frame, readable ? &p : NULL, &finding);
}

static bool gets(const char *text)
{
	uint8_t bytes[1 << 10];
	size_t len = bytes_of(text, bytes, sizeof(bytes));
	struct finding finding;
	struct packet p;

	assert_int_equal(decode(bytes, len, version, &p, &finding), CODEC_OK);
	return offences_received(&offences, &p, &breach);
}

#define CONNECT_A "CONNECT client_id=\"a\" clean_start keep_alive=60"

static void connected(enum version v)
{
	version = v;
	offences_open(&offences);
	sends(CONNECT_A);
	assert_true(gets("CONNACK reason=0"));
	assert_null(offences.why);
}

static enum offences_turn turn(uint64_t now_ns)
{
	uint64_t deadline_ns;

	return offences_turn(&offences, now_ns, 10, 100, &deadline_ns, &breach);
}

/* Whether it is a breach that pings go on to be answered. */
static bool served_on(void)
{
	if (turn(0) == OFFENCES_SETTLED)
		return false;
	sends("PINGREQ");
	do					/* the offence may be one itself */
		assert_int_equal(turn(1), OFFENCES_WAIT);
	while (gets("PINGRESP") && offences.pings);
	assert_int_equal(turn(2), OFFENCES_WAIT);
	assert_int_equal(turn(12), OFFENCES_ASK);
	sends("PINGREQ");
	assert_int_equal(turn(13), OFFENCES_WAIT);
	assert_true(gets("PINGRESP"));
	assert_int_equal(turn(14), OFFENCES_BREACH);
	assert_int_equal(turn(15), OFFENCES_SETTLED);
	return true;
}

/* ---- each offence ---- */

static const struct row {
	enum version version;
	const char *offence, *taken, *refused;	/* which answers say that it was taken, and that it was not; NULL */
	const char *clause;			/* NULL: none can be told */
	bool service;				/* to serve on breaks it */
} rows[] = {
	{ MQTT_5, "PUBLISH topic=\"t\" topic_alias=0 qos=1 packet_id=1", "PUBACK packet_id=1", "PUBACK packet_id=1 reason=0x80", "MQTT-3.3.2-8", false },
	{ MQTT_5, "PUBLISH topic=\"t\" topic_alias=0 qos=2 packet_id=1", "PUBREC packet_id=1 reason=0x10", "PUBREC packet_id=1 reason=0x97", "MQTT-3.3.2-8", false },
	{ MQTT_5, "PUBLISH topic=\"\" topic_alias=2 qos=1 packet_id=1", "PUBACK packet_id=1", "PUBACK packet_id=1 reason=0x80", "topic-alias-unknown", false },
	{ MQTT_5, "PUBLISH topic=\"\" qos=1 packet_id=1", "PUBACK packet_id=1", NULL, "MQTT-4.7.3-1", false },
	{ MQTT_5, "PUBLISH topic=\"t\" qos=1 packet_id=1 response_topic=\"\"", "PUBACK packet_id=1", NULL, NULL, false },
	{ MQTT_5, "PUBLISH topic=\"a/+\" qos=1 packet_id=1", "PUBACK packet_id=1", "PUBACK packet_id=1 reason=0x90", "MQTT-3.3.2-2", false },
	{ MQTT_3_1_1, "PUBLISH topic=\"a/+\" qos=1 packet_id=1", "PUBACK packet_id=1", NULL, "MQTT-3.3.2-2", true },
	{ MQTT_3_1, "PUBLISH topic=\"a/+\" qos=1 packet_id=1", "PUBACK packet_id=1", NULL, NULL, false },
	{ MQTT_5, "PUBLISH topic=\"t\" qos=3 packet_id=1", "PUBREC packet_id=1", NULL, "MQTT-3.3.1-4", false },
	{ MQTT_5, "PUBLISH topic=\"t\" dup", NULL, NULL, NULL, false },
	{ MQTT_3_1_1, "PUBLISH topic=\"t\" dup", NULL, NULL, NULL, false },
	{ MQTT_5, "PUBLISH topic=\"t\" qos=1 packet_id=1 subscription_identifier=1", "PUBACK packet_id=1", NULL, NULL, false },
	{ MQTT_5, "PUBLISH topic=hex\"c328\" qos=1 packet_id=1", "PUBACK packet_id=1", NULL, NULL, false },
	{ MQTT_3_1_1, "PUBLISH topic=hex\"c328\" qos=1 packet_id=1", "PUBACK packet_id=1", NULL, "MQTT-3.3.2-1", true },
	{ MQTT_5, "SUBSCRIBE packet_id=1 (\"a#\" qos=1)", "SUBACK packet_id=1 reason=[0]", "SUBACK packet_id=1 reason=[0x8f]", "MQTT-4.7.1-1", false },
	{ MQTT_3_1_1, "SUBSCRIBE packet_id=1 (\"a+\" qos=1)", "SUBACK packet_id=1 reason=[1]", "SUBACK packet_id=1 reason=[0x80]", "MQTT-4.7.1-3", false },
	{ MQTT_5, "SUBSCRIBE packet_id=1 (\"a\") (\"a#\")", "SUBACK packet_id=1 reason=[0 0]", "SUBACK packet_id=1 reason=[0 0x8f]", "MQTT-4.7.1-1", false },
	{ MQTT_5, "SUBSCRIBE packet_id=1 (\"$share/g/a\" no_local)", "SUBACK packet_id=1 reason=[0]", "SUBACK packet_id=1 reason=[0x9e]", "MQTT-3.8.3-4", false },
	{ MQTT_5, "SUBSCRIBE packet_id=1 (\"a\") flags=0x0", "SUBACK packet_id=1 reason=[0]", NULL, "MQTT-3.8.1-1", true },
	{ MQTT_3_1_1, "SUBSCRIBE packet_id=1 ()", NULL, NULL, "MQTT-3.8.3-3", true },
	{ MQTT_3_1_1, "UNSUBSCRIBE packet_id=1 (\"a\") flags=0x0", "UNSUBACK packet_id=1", NULL, "MQTT-3.10.1-1", true },
	{ MQTT_5, "UNSUBSCRIBE packet_id=1 (\"a#\")", "UNSUBACK packet_id=1 reason=[0x11]", NULL, NULL, false },
	{ MQTT_5, "PUBREL packet_id=1 flags=0x0", "PUBCOMP packet_id=1", "PUBCOMP packet_id=1 reason=0x92", "MQTT-3.6.1-1", true },
	{ MQTT_3_1_1, "PUBACK packet_id=0", NULL, NULL, NULL, false },
	{ MQTT_3_1_1, "PINGREQ flags=0x3", NULL, NULL, "MQTT-2.2.2-2", true },
	{ MQTT_5, "PINGREQ flags=0x3", NULL, NULL, NULL, false },
	{ MQTT_3_1_1, "=c00100", NULL, NULL, "trailing-bytes", true },
	{ MQTT_5, "=c00100", NULL, NULL, NULL, false },
	{ MQTT_3_1_1, "=f000", NULL, NULL, "packet-type-forbidden", true },
	{ MQTT_5, "=0000", NULL, NULL, "packet-type-forbidden", true },
	{ MQTT_5, "=f100", NULL, NULL, "MQTT-3.15.1-1", true },
	{ MQTT_3_1_1, "PINGRESP", NULL, NULL, "direction", true },
	{ MQTT_3_1_1, "=b6030003aa", NULL, NULL, "direction", true },
	{ MQTT_5, "PINGRESP", NULL, NULL, NULL, false },
	{ MQTT_5, "AUTH reason=0x18", NULL, NULL, NULL, false },
	{ MQTT_5, CONNECT_A, "CONNACK reason=0", NULL, "MQTT-3.1.0-2", true },
	{ MQTT_3_1_1, CONNECT_A, "CONNACK reason=0", NULL, "MQTT-3.1.0-2", true },
	{ MQTT_3_1_1, "=100400044d51", "CONNACK reason=0", NULL, "MQTT-3.1.0-2", true },
	{ MQTT_3_1, CONNECT_A, "CONNACK reason=0", NULL, NULL, false },
};

static void each(void **state)
{
	const struct row *row = *state;

	connected(row->version);
	sends(row->offence);
	assert_non_null(offences.why);
	if (row->clause)
		assert_true(offences_judge(row->version, row->clause));
	if (row->taken) {
		assert_int_equal(gets(row->taken), !row->clause);
		if (row->clause)
			assert_string_equal(breach.clause, row->clause);
	}
	connected(row->version);
	sends(row->offence);
	if (row->refused)
		assert_true(gets(row->refused));
	assert_int_equal(served_on(), row->service);
	if (row->service) {
		assert_string_equal(breach.clause, row->clause);
		assert_int_equal(breach.version, row->version);
	}
}

/* ---- CONNECT ---- */

static const struct connect_row {
	enum version version;
	const char *connect, *clause;
} connect_rows[] = {
	{ MQTT_5, CONNECT_A " will.topic=\"\" will.payload=\"x\"", "MQTT-4.7.3-1" },
	{ MQTT_5, CONNECT_A " will.topic=\"a\" will.response_topic=\"\" will.payload=\"x\"", NULL },
	{ MQTT_3_1_1, CONNECT_A " will.topic=\"a/#\" will.payload=\"x\"", "MQTT-4.7.1-1" },
	{ MQTT_5, "=100e00044d5154540503003c0000" "01" "61", "MQTT-3.1.2-3" },
	{ MQTT_3_1_1, "CONNECT client_id=\"\" clean_start=0 keep_alive=60", "MQTT-3.1.3-8" },
	{ MQTT_5, "CONNECT client_id=\"\" clean_start=0 keep_alive=60", NULL },
	{ MQTT_3_1_1, "CONNECT client_id=\"a\" keep_alive=60 password=\"x\"", "MQTT-3.1.2-22" },
	{ MQTT_5, "CONNECT client_id=\"a\" keep_alive=60 password=\"x\"", NULL },
	{ MQTT_5, CONNECT_A " receive_maximum=0", NULL },
	{ MQTT_5, CONNECT_A " topic_alias=3", "MQTT-3.1.4-1" },
	{ MQTT_3_1_1, "=100e00044d51545404020000000161" "ff", "MQTT-3.1.4-1" },
	{ MQTT_5, "CONNECT client_id=hex\"c328\" clean_start keep_alive=60", NULL },
	{ MQTT_3_1_1, "CONNECT client_id=hex\"c328\" clean_start keep_alive=60", "MQTT-3.1.3-4" },
	{ MQTT_3_1_1, "=100e00044d51545506020000000161" "ff", NULL },		/* whose CONNECT is that? */
	{ MQTT_3_1, "CONNECT client_id=\"\" clean_start keep_alive=60", NULL },
};

static void each_connect(void **state)
{
	const struct connect_row *row = *state;

	version = row->version;
	offences_open(&offences);
	sends(row->connect);
	assert_true(gets(version == MQTT_5 ? "CONNACK reason=0x82" : "CONNACK reason=2"));
	assert_true(gets("CONNACK reason=0"));		/* of whichever it is */
	offences_open(&offences);
	sends(row->connect);
	assert_int_equal(gets("CONNACK reason=0"), !row->clause);
	if (row->clause)
		assert_string_equal(breach.clause, row->clause);
	if (row->clause)
		assert_true(offences_judge(row->version, row->clause));
}

/* ---- what accuses nobody ---- */

static void answers_to_others_say_nothing(void **state)
{
	(void)state;
	connected(MQTT_5);			/* sent before, answered behind the offence */
	sends("PUBLISH topic=\"t\" qos=1 packet_id=1");
	sends("PUBLISH topic=\"t\" topic_alias=0 qos=1 packet_id=1");
	assert_true(gets("PUBACK packet_id=1"));
	connected(MQTT_5);			/* sent behind it */
	sends("PUBLISH topic=\"t\" topic_alias=0 qos=1 packet_id=1");
	sends("PUBLISH topic=\"t\" qos=1 packet_id=1");
	assert_true(gets("PUBACK packet_id=1"));
	assert_true(gets("PUBACK packet_id=1"));
	connected(MQTT_5);			/* of another kind */
	sends("PUBLISH topic=\"t\" topic_alias=0 qos=1 packet_id=1");
	sends("SUBSCRIBE packet_id=1 (\"a\")");
	assert_true(gets("SUBACK packet_id=1 reason=[0]"));
	assert_false(gets("PUBACK packet_id=1"));
	connected(MQTT_5);			/* what cannot be read may have been meant */
	sends("=310200ff");
	sends("PUBLISH topic=\"t\" topic_alias=0 qos=1 packet_id=1");
	assert_true(gets("PUBACK packet_id=1"));
	connected(MQTT_5);			/* the first of two CONNECTs is answered late */
	offences_open(&offences);
	sends(CONNECT_A);
	sends(CONNECT_A);
	assert_true(gets("CONNACK reason=0"));
	assert_false(gets("CONNACK reason=0"));
	connected(MQTT_5);			/* the target says that it ends the connection */
	sends("PUBLISH topic=\"t\" topic_alias=0 qos=1 packet_id=1");
	assert_true(gets("DISCONNECT reason=0x94"));
	assert_true(gets("PUBACK packet_id=1"));
	connected(MQTT_5);
	offences_unframed(&offences);
	assert_string_equal(offences.why, "not framed as a packet");
	sends("PUBLISH topic=\"t\" topic_alias=0 qos=1 packet_id=1");
	assert_true(gets("PUBACK packet_id=1"));
}

static void pings_before_the_offence_say_nothing(void **state)
{
	(void)state;
	connected(MQTT_3_1_1);
	sends("PINGREQ");
	sends("=f000");
	assert_int_equal(turn(0), OFFENCES_ASK);
	sends("PINGREQ");
	assert_true(gets("PINGRESP"));
	assert_int_equal(turn(50), OFFENCES_WAIT);
	assert_int_equal(turn(100), OFFENCES_SETTLED);
	assert_true(gets("PINGRESP"));
	assert_int_equal(turn(101), OFFENCES_SETTLED);
	connected(MQTT_3_1_1);
	assert_int_equal(turn(0), OFFENCES_SETTLED);		/* none */
}

static void aliases_are_known_to_their_connection(void **state)
{
	(void)state;
	connected(MQTT_5);
	sends("PUBLISH topic=\"t\" topic_alias=2 qos=1 packet_id=1");
	sends("PUBLISH topic=\"\" topic_alias=2 qos=1 packet_id=2");
	assert_null(offences.why);
	assert_true(gets("PUBACK packet_id=1"));
	assert_true(gets("PUBACK packet_id=2"));
	sends("PUBLISH topic=\"\" topic_alias=300 qos=1 packet_id=2");	/* not kept */
	assert_null(offences.why);
	connected(MQTT_5);
	sends("PUBLISH topic=\"\" topic_alias=2 qos=1 packet_id=2");
	assert_false(gets("PUBACK packet_id=2"));
}

static void shares_may_be_unknown(void **state)
{
	(void)state;
	version = MQTT_5;
	offences_open(&offences);
	sends(CONNECT_A);
	assert_true(gets("CONNACK reason=0 shared_subscription_available=0"));
	sends("SUBSCRIBE packet_id=1 (\"$share/g/a\" no_local)");
	assert_true(gets("SUBACK packet_id=1 reason=[0]"));
}

static void connack_comes_first(void **state)
{
	(void)state;
	version = MQTT_3_1_1;
	offences_open(&offences);
	sends("PINGREQ");
	assert_string_equal(offences.why, "no CONNECT yet");
	assert_false(gets("PINGRESP"));
	assert_string_equal(breach.clause, "MQTT-3.2.0-1");
	assert_true(gets("PINGRESP"));			/* once told */
	offences_open(&offences);
	sends("PINGREQ");
	sends(CONNECT_A);
	assert_true(gets("CONNACK reason=0"));
	assert_true(gets("PINGRESP"));
}

static void behind_disconnect(void **state)
{
	(void)state;
	connected(MQTT_3_1_1);
	sends("DISCONNECT");
	assert_int_equal(turn(0), OFFENCES_SETTLED);
	sends("SUBSCRIBE packet_id=1 (\"a\")");
	assert_false(gets("SUBACK packet_id=1 reason=[0]"));
	assert_string_equal(breach.clause, "MQTT-3.14.4-2");
	assert_true(served_on());
	connected(MQTT_5);			/* which says of no reaction to it */
	sends("DISCONNECT");
	sends("SUBSCRIBE packet_id=1 (\"a\")");
	assert_true(gets("SUBACK packet_id=1 reason=[0]"));
	assert_false(served_on());
	connected(MQTT_5);			/* flags that are wrong: its own clause */
	sends("DISCONNECT flags=0x1");
	assert_true(served_on());
	assert_string_equal(breach.clause, "MQTT-3.14.1-1");
}

static void clauses_stand_in_the_tables(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		if (rows[i].clause)
			assert_non_null(clause_find(rows[i].version, span_text(rows[i].clause)));
	for (size_t i = 0; i < sizeof(connect_rows) / sizeof(*connect_rows); i++)
		if (connect_rows[i].clause)
			assert_non_null(clause_find(connect_rows[i].version, span_text(connect_rows[i].clause)));
	assert_false(offences_judge(MQTT_3_1_1, "MQTT-3.3.1-2"));
	assert_false(offences_judge(MQTT_5, "MQTT-1.5.4-1"));
	assert_false(offences_judge(MQTT_5, "MQTT-4.5.0-1"));
	assert_true(offences_judge(MQTT_5, "MQTT-3.2.0-1"));
}

enum { N_ROWS = sizeof(rows) / sizeof(*rows), N_CONNECT_ROWS = sizeof(connect_rows) / sizeof(*connect_rows) };

int main(void)
{
	static const struct CMUnitTest others[] = {
		cmocka_unit_test(answers_to_others_say_nothing), cmocka_unit_test(pings_before_the_offence_say_nothing),
		cmocka_unit_test(aliases_are_known_to_their_connection), cmocka_unit_test(shares_may_be_unknown), cmocka_unit_test(connack_comes_first),
		cmocka_unit_test(behind_disconnect), cmocka_unit_test(clauses_stand_in_the_tables),
	};
	struct CMUnitTest tests[N_ROWS + N_CONNECT_ROWS];
	size_t n = 0;

	for (size_t i = 0; i < N_ROWS; i++)
		tests[n++] = (struct CMUnitTest){ .name = rows[i].offence, .test_func = each, .initial_state = (void *)&rows[i] };
	for (size_t i = 0; i < N_CONNECT_ROWS; i++)
		tests[n++] = (struct CMUnitTest){ .name = connect_rows[i].connect, .test_func = each_connect, .initial_state = (void *)&connect_rows[i] };
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	return failed + cmocka_run_group_tests(others, NULL, NULL);
}
