#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "codec/fields.h"
#include "pcap/tests/talk.h"

/* ---- short conversations by hand ---- */

struct table {			/* what a stage told, as text: one line a thing */
	struct mqtt_listener listener;
	struct conversation c;
	bool opened, ended;
	size_t kept;
	struct mqtt_options options;
	struct decoder_options decoder;
	struct stage *stage;
	uint64_t frame;
	char log[8192];
	size_t len;
};

__attribute__((format(printf, 2, 3)))
static void note(struct table *t, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	int n = vsnprintf(t->log + t->len, sizeof(t->log) - t->len, format, args);
	va_end(args);
	assert_true(n >= 0 && (size_t)n < sizeof(t->log) - t->len);
	t->len += (size_t)n;
}

static struct conversation *table_opened(struct mqtt_listener *l, const struct when *when)
{
	struct table *t = (struct table *)l;

	(void)when;
	assert_false(t->opened);
	t->opened = true;
	return &t->c;
}

static void table_introduced(struct mqtt_listener *l, struct conversation *c, const struct when *when)
{
	(void)when;
	note((struct table *)l, "open %s%s%s%s\n", c->version == MQTT_5 ? "5" : c->version == MQTT_3_1 ? "3.1" : "3.1.1",
	     c->version_known ? "" : "?", c->roles_known ? "" : " roles?", c->from_start ? "" : " midway");
}

static void table_packet(struct mqtt_listener *l, struct seen_packet *p)
{
	struct table *t = (struct table *)l;

	note(t, "%s %s", p->from == FROM_CLIENT ? "->" : "<-", packet_name((enum packet_type)(p->frame.first >> 4)));
	if (p->status != CODEC_OK)
		note(t, " bad");
	else if (p->packet.type == PUBLISH && p->topic.at)
		note(t, " %.*s", p->topic.len < 20 ? (int)p->topic.len : 20, p->topic.at);
	else if (p->packet.type == PUBLISH)
		note(t, " ?");
	note(t, "%s f%u-%u\n", p->sure ? "" : " unsure", (unsigned)p->first.frame, (unsigned)p->when.frame);
}

static void table_hole(struct mqtt_listener *l, struct conversation *c, const struct hole *hole)
{
	static const char *const whys[] = { "lost", "cut", "no room", "unfinished", "unreadable", "encrypted" };

	(void)c;
	note((struct table *)l, "%s hole %s %u+%u\n", hole->from == FROM_CLIENT ? "->" : "<-", whys[hole->why], (unsigned)hole->bytes, (unsigned)hole->skipped);
}

static void table_closed(struct mqtt_listener *l, struct conversation *c, enum sender from, bool reset, const struct when *when)
{
	(void)c, (void)when;
	note((struct table *)l, "%s %s\n", from == FROM_CLIENT ? "->" : "<-", reset ? "reset" : "closed");
}

static void table_ended(struct mqtt_listener *l, struct conversation *c, const struct when *when)
{
	struct table *t = (struct table *)l;

	(void)when;
	t->ended = true;
	if (c->client_id.at)
		note(t, "client \"%.*s\"\n", (int)c->client_id.len, c->client_id.at);
	note(t, "end\n");
}

static void lay(struct table *t, bool from_start, bool likely)
{
	*t = (struct table){ .listener = { table_opened, table_introduced, table_packet, table_hole, table_closed, table_ended } };
	t->options = talk_options(&t->kept);
	t->options.decoder = &t->decoder;
	t->options.from_start = from_start;
	t->options.likely = likely;
}

static struct when now(struct table *t)
{
	return (struct when){ t->frame, t->frame * 1000 };
}

static struct stage *stage_of(struct table *t)
{
	if (!t->stage)
		t->stage = mqtt_stage_new(&t->listener, &t->options);
	assert_non_null(t->stage);
	return t->stage;
}

/* One segment, in hexadecimal, with 'text' between quotes. */
static size_t put_hex(uint8_t *out, const char *hex)
{
	size_t n = 0;

	while (*hex) {
		unsigned byte;

		if (*hex == ' ') {
			hex++;
		} else if (*hex == '\'') {
			for (hex++; *hex != '\''; hex++)
				out[n++] = (uint8_t)*hex;
			hex++;
		} else {
			assert_int_equal(sscanf(hex, "%2x", &byte), 1);
			out[n++] = (uint8_t)byte;
			hex += 2;
		}
	}
	return n;
}

static void says(struct table *t, unsigned end, const char *hex)
{
	uint8_t bytes[1024], *exact;
	size_t n = put_hex(bytes, hex);
	struct stage *stage = stage_of(t);

	t->frame++;
	struct when when = now(t);
	exact = malloc(n);
	assert_non_null(exact);
	memcpy(exact, bytes, n);
	stage->ops->bytes(stage, end, span_of(exact, n), &when);
	free(exact);
}

static void misses(struct table *t, unsigned end, uint64_t len)
{
	struct stage *stage = stage_of(t);

	t->frame++;
	struct when when = now(t);
	stage->ops->hole(stage, end, len, HOLE_LOST, &when);
}

static void closes(struct table *t, unsigned end, bool reset)
{
	struct stage *stage = stage_of(t);

	t->frame++;
	struct when when = now(t);
	stage->ops->closed(stage, end, reset, &when);
}

/* Ends it; what was told is `log`. */
static void told(struct table *t, const char *log)
{
	struct stage *stage = stage_of(t);

	t->frame++;
	struct when when = now(t);
	stage->ops->ended(stage, &when);
	if (strcmp(t->log, log))
		printf("expected:\n%s", log);
	assert_string_equal(t->log, log);
	assert_int_equal(t->kept, 0);
	assert_int_equal(t->opened, t->ended);
}

#define CONNECT_4 "10 0d 00 04 'MQTT' 04 02 00 3c 00 01 'a' "
#define CONNECT_5 "10 0e 00 04 'MQTT' 05 02 00 3c 00 00 01 'a' "

static void a_plain_one(void **state)
{
	struct table t;

	(void)state;
	lay(&t, true, false);
	says(&t, 0, CONNECT_4);
	says(&t, 1, "20 02 00 00");
	says(&t, 0, "30 06 00 03 'a/b' 'x' c0 00");
	says(&t, 1, "d0 00");
	says(&t, 0, "e0 00");
	closes(&t, 0, false);
	closes(&t, 1, true);
	told(&t, "open 3.1.1\n-> CONNECT f1-1\n<- CONNACK f2-2\n-> PUBLISH a/b f3-3\n-> PINGREQ f3-3\n<- PINGRESP f4-4\n-> DISCONNECT f5-5\n"
	         "-> closed\n<- reset\nclient \"a\"\nend\n");
}

static void cut_anywhere(void **state)
{
	struct table t;

	(void)state;
	lay(&t, true, false);
	says(&t, 0, "10");
	says(&t, 0, "0d 00 04 'MQ'");
	says(&t, 0, "'TT' 04 02 00 3c 00 01 'a' 30 85");
	says(&t, 1, "20 02 00 00");
	says(&t, 0, "80 00 00 01");	/* a remaining length in three bytes, longer than it needs be */
	says(&t, 0, "'t' 'xy' c0");
	says(&t, 0, "00 30 05 00");
	told(&t, "open 3.1.1\n-> CONNECT f1-3\n<- CONNACK f4-4\n-> PUBLISH t f3-6\n-> PINGREQ f6-7\n-> hole unfinished 4+3\nclient \"a\"\nend\n");
}

static void aliases_are_each_ends_own(void **state)
{
	struct table t;

	(void)state;
	lay(&t, true, true);
	says(&t, 0, CONNECT_5 "30 08 00 01 'x' 03 23 00 01 '!'");
	says(&t, 1, "20 03 00 00 00 30 07 00 01 'y' 03 23 00 01");
	says(&t, 0, "30 06 00 00 03 23 00 01");
	says(&t, 1, "30 06 00 00 03 23 00 01 30 06 00 00 03 23 00 02");
	says(&t, 1, "30 07 00 01 'z' 03 23 00 01 30 06 00 00 03 23 00 01");
	/* what was lost may have set it anew */
	misses(&t, 1, 40);
	says(&t, 1, "30 06 00 00 03 23 00 01 d0 00");
	says(&t, 1, "30 07 00 01 'z' 03 23 00 01 30 06 00 00 03 23 00 01");
	/* but not what lies in a payload */
	says(&t, 1, "30 1a 00 01 'w' 03 23 00 01 'abc'");
	misses(&t, 1, 10);
	says(&t, 1, "'abcdef' 30 06 00 00 03 23 00 01");
	told(&t, "open 5\n-> CONNECT f1-1\n-> PUBLISH x f1-1\n<- CONNACK f2-2\n<- PUBLISH y f2-2\n-> PUBLISH x f3-3\n"
	         "<- PUBLISH y f4-4\n<- PUBLISH ? f4-4\n<- PUBLISH z f5-5\n<- PUBLISH z f5-5\n"
	         "<- hole lost 40+0\n<- PUBLISH ? unsure f7-7\n<- PINGRESP unsure f7-7\n<- PUBLISH z unsure f8-8\n<- PUBLISH z f8-8\n"
	         "<- hole lost 10+12\n<- hole lost 0+6\n<- PUBLISH w f11-11\nclient \"a\"\nend\n");
}

static void assigned_client_id(void **state)
{
	struct table t;

	(void)state;
	lay(&t, true, true);
	says(&t, 0, "10 0d 00 04 'MQTT' 05 02 00 3c 00 00 00");
	says(&t, 1, "20 08 00 00 05 12 00 02 'id'");
	told(&t, "open 5\n-> CONNECT f1-1\n<- CONNACK f2-2\nclient \"id\"\nend\n");
}

static void violations_are_packets(void **state)
{
	struct table t;

	(void)state;
	lay(&t, true, false);
	says(&t, 0, CONNECT_4);
	says(&t, 0, "30 02 00 09");			/* the topic runs past the end */
	says(&t, 0, "00 00");				/* type 0 */
	says(&t, 0, "32 07 00 03 'a/b' 00 00");		/* readable, not allowed */
	told(&t, "open 3.1.1\n-> CONNECT f1-1\n-> PUBLISH bad f2-2\n-> packet type 0 bad f3-3\n-> PUBLISH a/b f4-4\nclient \"a\"\nend\n");
}

static void what_does_not_frame(void **state)
{
	struct table t;

	(void)state;
	lay(&t, true, false);
	says(&t, 0, CONNECT_4);
	says(&t, 0, "30 ff ff ff ff 7f");
	says(&t, 0, "'rubbish'");
	says(&t, 0, "30 0d 00 03 'a/b' 'payload!'");
	told(&t, "open 3.1.1\n-> CONNECT f1-1\n-> PUBLISH bad f2-2\n-> hole unreadable 0+8\n-> PUBLISH a/b unsure f4-4\nclient \"a\"\nend\n");
}

static void a_wrong_connect_where_mqtt_is_expected(void **state)
{
	struct table t;

	(void)state;
	lay(&t, true, true);
	says(&t, 0, "10 0c 00 04 'MQTX' 04 02 00 3c 00 00");
	closes(&t, 1, false);
	told(&t, "open 3.1.1\n-> CONNECT f1-1\n<- closed\nclient \"\"\nend\n");
	lay(&t, true, true);
	says(&t, 0, "c0 00");
	closes(&t, 1, false);
	told(&t, "open 3.1.1?\n-> PINGREQ f1-1\n<- closed\nend\n");
	lay(&t, true, false);
	says(&t, 0, "c0 00");
	closes(&t, 1, false);
	told(&t, "");
}

static void too_large(void **state)
{
	struct table t;

	(void)state;
	lay(&t, true, false);
	t.decoder.max_packet = 20;
	says(&t, 0, CONNECT_4 "30 16 00 01 't'");
	says(&t, 0, "'0123456789' ");
	says(&t, 0, "'012345678' c0 00 30 13 00 01 't' '0123456789012345' 30 03 00 01 't'");
	told(&t, "open 3.1.1\n-> CONNECT f1-1\n-> hole no room 0+5\n-> hole no room 0+19\n-> PINGREQ f3-3\n-> hole no room 0+21\n-> PUBLISH t f3-3\nclient \"a\"\nend\n");
}

/* It counts for as much of it as came. */
static void too_large_and_never_all_there(void **state)
{
	struct table t;

	(void)state;
	lay(&t, true, false);
	says(&t, 0, CONNECT_4 "30 ff ff ff 7f 00 01 't'");
	says(&t, 0, "'0123456789'");
	misses(&t, 0, 1000);
	says(&t, 0, "'0123456789'");
	closes(&t, 0, false);
	told(&t, "open 3.1.1\n-> CONNECT f1-1\n-> hole no room 0+8\n-> hole lost 1000+0\n-> hole no room 0+20\n-> closed\nclient \"a\"\nend\n");
	lay(&t, true, false);
	t.decoder.max_packet = 20;
	says(&t, 0, CONNECT_4 "30 20 00 01 't'");
	says(&t, 0, "'0123'");
	misses(&t, 0, 1000);	/* beyond its end */
	told(&t, "open 3.1.1\n-> CONNECT f1-1\n-> hole no room 0+5\n-> hole no room 0+4\n-> hole lost 1000+0\nclient \"a\"\nend\n");
	lay(&t, true, false);
	says(&t, 0, CONNECT_4 "30 20 00 01 't'");
	misses(&t, 0, 10);
	says(&t, 0, "'01'");
	told(&t, "open 3.1.1\n-> CONNECT f1-1\n-> hole lost 10+5\n-> hole lost 0+2\nclient \"a\"\nend\n");
}

static void a_hole_with_an_end_that_is_known(void **state)
{
	struct table t;

	(void)state;
	lay(&t, true, false);
	says(&t, 0, CONNECT_4);
	says(&t, 0, "30 20 00 01 't'");
	misses(&t, 0, 10);
	says(&t, 0, "'0123456789'");
	misses(&t, 0, 9);
	says(&t, 0, "c0 00");
	misses(&t, 0, 3);
	says(&t, 0, "82 08 00 07 00 03 'a/b' 00");
	told(&t, "open 3.1.1\n-> CONNECT f1-1\n-> hole lost 10+5\n-> hole lost 0+10\n-> hole lost 9+0\n-> PINGREQ f6-6\n-> hole lost 3+0\n-> SUBSCRIBE unsure f8-8\nclient \"a\"\nend\n");
}

/* ---- joined midway ---- */

static void version_is_inferred(void **state)
{
	struct table t;

	(void)state;
	lay(&t, false, true);
	says(&t, 1, "31 13 00 09 'plant/one' 'payload!'");
	says(&t, 0, "c0 00");
	says(&t, 1, "d0 00");
	told(&t, "open 3.1.1? roles? midway\n<- PUBLISH plant/one unsure f1-1\n-> PINGREQ unsure f2-2\n<- PINGRESP unsure f3-3\nend\n");
	lay(&t, false, true);
	says(&t, 1, "31 14 00 09 'plant/one' 00 'payload!'");
	says(&t, 0, "82 0b 00 01 00 00 05 'abc/d' 01");
	told(&t, "open 5? roles? midway\n<- PUBLISH plant/one unsure f1-1\n-> SUBSCRIBE unsure f2-2\nend\n");
	lay(&t, false, true);
	t.decoder.version = MQTT_3_1_1;
	says(&t, 1, "31 14 00 09 'plant/one' 00 'payload!'");
	told(&t, "open 3.1.1? roles? midway\n<- PUBLISH plant/one unsure f1-1\nend\n");
}

/* What was inferred can turn out wrong, and then holds for what follows. */
static void version_is_corrected(void **state)
{
	struct table t;

	(void)state;
	lay(&t, false, true);
	says(&t, 1, "31 14 00 09 'plant/one' 00 'payload!'");	/* fits both, and rather 5 */
	says(&t, 1, "31 13 00 09 'plant/one' 'payload!'");
	assert_int_equal(t.c.version, MQTT_3_1_1);
	says(&t, 1, "31 0b 00 09 'plant/one'");
	says(&t, 1, "31 14 00 09 'plant/one' 00 'payload!'");
	assert_int_equal(t.c.version, MQTT_3_1_1);
	assert_false(t.c.version_known);
	told(&t, "open 5? roles? midway\n<- PUBLISH plant/one unsure f1-1\n<- PUBLISH plant/one unsure f2-2\n<- PUBLISH plant/one f3-3\n<- PUBLISH plant/one f4-4\nend\n");
	lay(&t, false, true);
	says(&t, 0, "40 02 00 07 40 02 00 08 40 02 00 09");
	assert_int_equal(t.c.version, MQTT_3_1_1);
	says(&t, 0, "40 03 00 0a 80");
	assert_int_equal(t.c.version, MQTT_5);
	told(&t, "open 3.1.1? roles? midway\n-> PUBACK unsure f1-1\n-> PUBACK unsure f1-1\n-> PUBACK unsure f1-1\n-> PUBACK unsure f2-2\nend\n");
}

/* Somewhere in a segment, behind a hole, a packet alone is not enough; that the other end acknowledges it is, and it comes first. */
static void an_acknowledgement_confirms(void **state)
{
	struct table t;

	(void)state;
	lay(&t, true, true);
	says(&t, 0, CONNECT_4);
	says(&t, 1, "20 02 00 00");
	misses(&t, 0, 3);
	says(&t, 0, "'tail of what was lost: ' 82 08 01 02 00 03 'a/b' 00 32 20");
	says(&t, 1, "90 03 01 02 00");
	told(&t, "open 3.1.1\n-> CONNECT f1-1\n<- CONNACK f2-2\n-> hole lost 3+0\n-> hole lost 0+23\n-> SUBSCRIBE unsure f4-4\n<- SUBACK f5-5\n"
	         "-> hole unfinished 32+2\nclient \"a\"\nend\n");
}

/* Ports say otherwise, packets know better. */
static void roles_are_inferred(void **state)
{
	struct table t;

	(void)state;
	lay(&t, false, true);
	says(&t, 1, "82 0a 00 01 00 05 'abc/d' 01");
	says(&t, 0, "90 03 00 01 01");
	says(&t, 1, "c0 00");
	told(&t, "open 3.1.1? midway\n-> SUBSCRIBE unsure f1-1\n<- SUBACK unsure f2-2\n-> PINGREQ unsure f3-3\nend\n");
}

static void a_connect_makes_it_known(void **state)
{
	struct table t;

	(void)state;
	lay(&t, false, true);
	says(&t, 0, "30 12 00 09 'plant/one' 'payload'");
	says(&t, 0, CONNECT_5);
	says(&t, 1, "20 03 00 00 00");
	assert_true(t.c.version_known && t.c.roles_known && t.c.version == MQTT_5);
	told(&t, "open 3.1.1? roles? midway\n-> PUBLISH plant/one unsure f1-1\n-> CONNECT f2-2\n<- CONNACK unsure f3-3\nclient \"a\"\nend\n");
}

static void a_tail_is_passed_over(void **state)
{
	struct table t;

	(void)state;
	lay(&t, false, true);
	says(&t, 0, "'the end of what was before'");
	says(&t, 0, "32 14 00 09 'plant/one' 00 05 'payload'");
	says(&t, 1, "40 02 00 05");
	told(&t, "open 3.1.1? roles? midway\n-> hole lost 0+26\n-> PUBLISH plant/one unsure f2-2\n<- PUBACK unsure f3-3\nend\n");
}

static void closed_while_waiting(void **state)
{
	struct table t;

	(void)state;
	lay(&t, false, true);
	says(&t, 0, "c0");
	closes(&t, 1, false);
	says(&t, 0, "00");
	says(&t, 0, "30 12 00 09 'plant/one' 'payload'");
	told(&t, "open 3.1.1? roles? midway\n<- closed\n-> PINGREQ unsure f1-3\n-> PUBLISH plant/one unsure f4-4\nend\n");
}

static void forced(void **state)
{
	struct table t;

	(void)state;
	lay(&t, true, false);
	t.options.forced = true;
	says(&t, 0, "'GET / HTTP/1.1' 0d 0a");
	says(&t, 0, "30 12 00 09 'plant/one' 'payload'");
	told(&t, "open 3.1.1?\n-> hole unreadable 0+16\n-> PUBLISH plant/one unsure f2-2\nend\n");
	lay(&t, false, false);
	t.options.forced = true;
	says(&t, 0, "'nothing at all'");
	told(&t, "open 3.1.1? roles? midway\n-> hole unreadable 0+14\nend\n");
}

/* ---- whole conversations ---- */

static void every_packet_once(void **state)
{
	static const enum version versions[] = { MQTT_3_1, MQTT_3_1_1, MQTT_5 };
	static const enum cutting cuttings[] = { CUT_PACKETS, CUT_PIECES, CUT_BYTES, CUT_SEGMENTS };

	(void)state;
	for (unsigned v = 0; v < 3; v++)
		for (unsigned k = 0; k < 4; k++)
			for (uint64_t seed = 1; seed <= 12; seed++) {
				struct talk t;
				size_t kept = 0;
				struct mqtt_options options = talk_options(&kept);
				struct feeding how = { cuttings[k] };

				talk_init(&t, versions[v], seed);
				talk_fill(&t, 500);
				options.likely = seed & 1;
				struct stage *stage = mqtt_stage_new(&t.listener, &options);
				assert_non_null(stage);
				talk_feed(&t, stage, &how);
				talk_end(&t, stage);
				if (t.n_invented || t.n_found != talk_intact(&t) || t.n_sure != t.n_found || t.n_holes || t.n_bad)
					printf("version %u, cut %u, seed %llu\n", versions[v], k, (unsigned long long)seed);
				assert_int_equal(t.n_invented, 0);
				assert_int_equal(t.n_found, talk_intact(&t));
				assert_int_equal(t.n_sure, t.n_found);
				assert_int_equal(t.n_holes + t.n_bad, 0);
				assert_int_equal(kept, 0);
				talk_release(&t);
			}
}

static void large_ones(void **state)
{
	(void)state;
	for (unsigned k = 0; k < 4; k++) {
		struct talk t;
		size_t kept = 0;
		struct mqtt_options options = talk_options(&kept);
		struct feeding how = { (enum cutting)k };

		talk_init(&t, MQTT_3_1_1, k);
		talk_makes(&t, 0, CONNECT, 0);
		talk_publishes(&t, 0, 1, 127, TEXT);
		talk_publishes(&t, 0, 1, 16384, NOISE);
		talk_publishes(&t, 1, 1, k == 2 ? 100000 : (1 << 20) - 100, NOISE);
		talk_publishes(&t, 0, 1, 100000, NOISE);
		talk_makes(&t, 0, PINGREQ, 0);
		struct stage *stage = mqtt_stage_new(&t.listener, &options);
		assert_non_null(stage);
		talk_feed(&t, stage, &how);
		assert_int_equal(kept < 100, 1);	/* its client id */
		talk_end(&t, stage);
		assert_int_equal(t.n_found, 6);
		assert_int_equal(t.n_invented + t.n_holes, 0);
		talk_release(&t);
	}
}

/* Any number of aliases with any topics: what does not fit is unknown, and never wrong. */
static void aliases_have_a_bound(void **state)
{
	static uint8_t big[70000];
	struct table t;

	(void)state;
	lay(&t, true, true);
	says(&t, 0, CONNECT_5);
	t.len = 0;
	for (unsigned alias = 1; alias <= 65535; alias++) {
		uint8_t bytes[16] = { 0x30, 12, 0, 6, 'a', (uint8_t)('a' + alias % 20), 'c', 'd', 'e', 'f', 3, 0x23, (uint8_t)(alias >> 8), (uint8_t)alias };
		struct when when = now(&t);

		t.len = 0;
		t.stage->ops->bytes(t.stage, 0, span_of(bytes, 14), &when);
		assert_true(t.kept < 64 * 1024 + 2 * 65536 * 16);
	}
	for (unsigned i = 0; i < 40; i++) {
		struct writer w = writer_to(big, sizeof(big));
		struct when when = now(&t);

		wr_u8(&w, 0x30);
		wr_u8(&w, 0xff), wr_u8(&w, 0xff), wr_u8(&w, 0x03);	/* 65535 */
		wr_u16(&w, 65529);
		for (unsigned k = 0; k < 65529; k++)
			wr_u8(&w, 'a' + i % 26);
		wr_u8(&w, 3), wr_u8(&w, 0x23), wr_u16(&w, 1 + i);
		t.frame++;
		t.len = 0;
		t.stage->ops->bytes(t.stage, 0, span_of(big, w.len - 1), &when);
		assert_true(t.kept < 400 * 1024 + 2 * 65536 * 16);
		t.stage->ops->bytes(t.stage, 0, span_of(big + w.len - 1, 1), &when);
	}
	t.len = 0;
	memset(t.log, 0, sizeof(t.log));
	says(&t, 0, "30 06 00 00 03 23 00 28");
	told(&t, "-> PUBLISH ? f42-42\nclient \"a\"\nend\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_plain_one),
		cmocka_unit_test(cut_anywhere),
		cmocka_unit_test(aliases_are_each_ends_own),
		cmocka_unit_test(assigned_client_id),
		cmocka_unit_test(violations_are_packets),
		cmocka_unit_test(what_does_not_frame),
		cmocka_unit_test(a_wrong_connect_where_mqtt_is_expected),
		cmocka_unit_test(too_large),
		cmocka_unit_test(too_large_and_never_all_there),
		cmocka_unit_test(a_hole_with_an_end_that_is_known),
		cmocka_unit_test(version_is_inferred),
		cmocka_unit_test(version_is_corrected),
		cmocka_unit_test(an_acknowledgement_confirms),
		cmocka_unit_test(roles_are_inferred),
		cmocka_unit_test(a_connect_makes_it_known),
		cmocka_unit_test(a_tail_is_passed_over),
		cmocka_unit_test(closed_while_waiting),
		cmocka_unit_test(forced),
		cmocka_unit_test(every_packet_once),
		cmocka_unit_test(large_ones),
		cmocka_unit_test(aliases_have_a_bound),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
