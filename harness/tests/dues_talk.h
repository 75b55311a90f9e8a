#ifndef HARNESS_TESTS_DUES_TALK_H
#define HARNESS_TESTS_DUES_TALK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/text.h"
#include "harness/dues.h"

/* What clients say and get, as text, told to the dues of a test. */
static struct dues *dues;
static struct due_breach found;
static enum version version;

static inline int start(void **state)
{
	(void)state;
	version = MQTT_5;
	dues = dues_new();
	return !dues;
}

static inline int stop(void **state)
{
	(void)state;
	dues_free(dues);
	return 0;
}

static inline struct packet parsed(const char *text)
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

static inline void sent(unsigned client, const char *text)
{
	struct packet p = parsed(text);

	dues_sent(dues, client, &p, true);
}

static inline bool takes(unsigned client, const char *text)
{
	struct packet p = parsed(text);

	return dues_received(dues, client, &p, p.topic, &found);
}

static inline void came(unsigned client, const char *text)
{
	assert_true(takes(client, text));
}

static inline void connected(unsigned client, const char *id, bool clean, bool present)
{
	char text[400];

	snprintf(text, sizeof(text), "CONNECT %s %s client_id=\"%s\"", clean ? "clean_start" : "", version == MQTT_5 ? "session_expiry_interval=60" : "", id);
	sent(client, text);
	came(client, present ? "CONNACK session_present=1 reason=0" : "CONNACK session_present=0 reason=0");
}

/* One filter, or two. */
static inline void subscribed(unsigned client, const char *filters)
{
	char text[400];

	snprintf(text, sizeof(text), "SUBSCRIBE packet_id=9 (%s)", filters);
	sent(client, text);
	came(client, strchr(filters, ',') ? "SUBACK packet_id=9 reason=[2 2]" : "SUBACK packet_id=9 reason=[2]");
}

static inline void lost(unsigned client, const char *clause)
{
	assert_int_equal(dues_waiting(dues), 1u << client);
	assert_false(dues_judge(dues, client, &found));
	assert_string_equal(found.clause, clause);
	assert_int_equal(found.client, client);
	assert_int_equal(found.version, version);
}

static inline void nothing_is_owed(void)
{
	assert_int_equal(dues_waiting(dues), 0);
	for (unsigned i = 0; i < DUES_CLIENTS; i++)
		assert_true(dues_judge(dues, i, &found));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)

#endif
