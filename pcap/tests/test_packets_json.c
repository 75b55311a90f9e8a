#include "codec/tests/whole.h"
#include "codec/generate.h"
#include "pcap/tests/seen.h"

/* The JSON of packets and events, line by line. What packets say in all their variety is read_json.py's to compare. */

#define HEAD(client) ",\"connection\":1,\"stream\":7,\"client\":" client ",\"version\":\"5\",\"version_known\":true,\"way\":\"tcp\"," \
	"\"client_address\":\"10.0.0.1:50000\",\"broker_address\":\"[::1]:1883\",\"roles_known\":true"
#define BEGIN "{\"kind\":\"packet\",\"frame\":6,\"first_frame\":6,\"time\":0.000412000,\"epoch\":\"1700000000.000412000\"" HEAD("\"dash-1\"")
#define FIRST "{\"kind\":\"capture\",\"schema\":{\"name\":\"mqassay-decode\",\"version\":1},\"epoch\":\"1700000000.000000000\"}\n"

static const struct row {
	const char *name;
	enum sender from;
	const char *hex, *says;		/* behind "from", "sure" and "confidence" */
	bool secrets;
} rows[] = {
	{ "PINGREQ", FROM_CLIENT, "c0 00", "\"type\":\"PINGREQ\",\"size\":2,\"remaining_length\":0,\"flags\":0" },
	{ "an overlong remaining length", FROM_CLIENT, "c0 80 00", "\"type\":\"PINGREQ\",\"size\":3,\"remaining_length\":0,\"flags\":0,\"overlong\":true" },
	{ "PUBLISH", FROM_CLIENT, "3b 09 0003 612f62 0001 00 78", "\"type\":\"PUBLISH\",\"size\":11,\"remaining_length\":9,\"flags\":11,\"topic\":\"a/b\",\"qos\":1,"
	  "\"dup\":true,\"retain\":true,\"packet_id\":1,\"payload_size\":1,\"payload\":\"x\"" },
	{ "no UTF-8", FROM_SERVER, "30 08 0002 61ff 00 fffe00", "\"type\":\"PUBLISH\",\"size\":10,\"remaining_length\":8,\"flags\":0,\"topic_base64\":\"Yf8=\",\"qos\":0,"
	  "\"dup\":false,\"retain\":false,\"payload_size\":3,\"payload_base64\":\"//4A\"" },
	{ "U+0000 and an escape", FROM_SERVER, "30 06 0001 61 00 00 1b", "\"type\":\"PUBLISH\",\"size\":8,\"remaining_length\":6,\"flags\":0,\"topic\":\"a\",\"qos\":0,"
	  "\"dup\":false,\"retain\":false,\"payload_size\":2,\"payload\":\"\\u0000\\u001b\"" },
	{ "an alias whose topic was not seen", FROM_SERVER, "30 07 0000 03 230003 78", "\"type\":\"PUBLISH\",\"size\":9,\"remaining_length\":7,\"flags\":0,\"topic\":null,"
	  "\"topic_by_alias\":true,\"qos\":0,\"dup\":false,\"retain\":false,\"topic_alias\":3,\"payload_size\":1,\"payload\":\"x\"" },
	{ "an empty topic without an alias", FROM_SERVER, "30 04 0000 00 78", "\"type\":\"PUBLISH\",\"size\":6,\"remaining_length\":4,\"flags\":0,\"topic\":\"\","
	  "\"qos\":0,\"dup\":false,\"retain\":false,\"payload_size\":1,\"payload\":\"x\"" },
	{ "properties again, and where none belong", FROM_CLIENT, "30 0e 0001 61 0a 230001 12 0001 6b 230002",
	  "\"type\":\"PUBLISH\",\"size\":16,\"remaining_length\":14,\"flags\":0,\"topic\":\"a\",\"qos\":0,\"dup\":false,\"retain\":false,\"topic_alias\":1,"
	  "\"assigned_client_identifier\":\"k\",\"repeated\":[{\"name\":\"topic_alias\",\"value\":2}],\"payload_size\":0,\"payload\":\"\"" },
	{ "text again", FROM_CLIENT, "30 11 0001 61 0c 03 0001 61 03 0001 62 03 0001 ff 78",
	  "\"type\":\"PUBLISH\",\"size\":19,\"remaining_length\":17,\"flags\":0,\"topic\":\"a\",\"qos\":0,\"dup\":false,\"retain\":false,\"content_type\":\"a\","
	  "\"repeated\":[{\"name\":\"content_type\",\"value\":\"b\"},{\"name\":\"content_type\",\"value_base64\":\"/w==\"}],\"payload_size\":1,\"payload\":\"x\"" },
	{ "pairs and numbers that may stand again", FROM_SERVER, "40 15 0007 00 11 26 0001 6b 0001 76 0b 01 26 0001 6b 0000 0b 02",
	  "\"type\":\"PUBACK\",\"size\":23,\"remaining_length\":21,\"flags\":0,\"packet_id\":7,\"reason\":0,\"reason_name\":\"Success\","
	  "\"user_property\":[[\"k\",\"v\"],[\"k\",\"\"]],\"subscription_identifier\":[1,2]" },
	{ "a pair that is no UTF-8", FROM_SERVER, "40 0b 0007 00 07 260001 ff 0001 76", "\"type\":\"PUBACK\",\"size\":13,\"remaining_length\":11,\"flags\":0,\"packet_id\":7,"
	  "\"reason\":0,\"reason_name\":\"Success\",\"user_property_base64\":[[\"/w==\",\"dg==\"]]" },
	{ "a short PUBACK", FROM_SERVER, "40 02 0007", "\"type\":\"PUBACK\",\"size\":4,\"remaining_length\":2,\"flags\":0,\"packet_id\":7,\"reason\":0,\"reason_name\":\"Success\"" },
	{ "a code without a name", FROM_SERVER, "90 05 0007 00 02 ee", "\"type\":\"SUBACK\",\"size\":7,\"remaining_length\":5,\"flags\":0,\"packet_id\":7,"
	  "\"reasons\":[2,238],\"reason_names\":[\"Granted_QoS_2\",null]" },
	{ "an empty list", FROM_SERVER, "b0 03 0007 00", "\"type\":\"UNSUBACK\",\"size\":5,\"remaining_length\":3,\"flags\":0,\"packet_id\":7,\"reasons\":[],\"reason_names\":[]" },
	{ "SUBSCRIBE", FROM_CLIENT, "82 0b 0007 00 0001 61 2e 0001 ff c1",
	  "\"type\":\"SUBSCRIBE\",\"size\":13,\"remaining_length\":11,\"flags\":2,\"packet_id\":7,\"filters\":[{\"filter\":\"a\",\"qos\":2,\"no_local\":true,"
	  "\"retain_as_published\":true,\"retain_handling\":2,\"options\":46},{\"filter_base64\":\"/w==\",\"qos\":1,\"no_local\":false,\"retain_as_published\":false,"
	  "\"retain_handling\":0,\"options\":193}]" },
	{ "DISCONNECT with nothing", FROM_CLIENT, "e0 00", "\"type\":\"DISCONNECT\",\"size\":2,\"remaining_length\":0,\"flags\":0,\"reason\":0,\"reason_name\":\"Normal_disconnection\"" },
	{ "AUTH, masked", FROM_CLIENT, "f0 0c 18 0a 15 0001 6d 16 0003 616263",
	  "\"type\":\"AUTH\",\"size\":14,\"remaining_length\":12,\"flags\":0,\"reason\":24,\"reason_name\":\"Continue_authentication\",\"authentication_method\":\"m\","
	  "\"authentication_data\":null" },
	{ "a password, masked", FROM_CLIENT, "10 15 0004 4d515454 05 c2 003c 00 0001 61 0001 75 0002 7077", "\"type\":\"CONNECT\",\"size\":23,\"remaining_length\":21,"
	  "\"flags\":0,\"protocol_name\":\"MQTT\",\"protocol_version\":5,\"connect_flags\":194,\"clean_start\":true,\"keep_alive\":60,\"client_id\":\"a\",\"user_name\":\"u\","
	  "\"password\":null" },
	{ "a password, shown", FROM_CLIENT, "10 15 0004 4d515454 05 c2 003c 00 0001 61 0001 75 0002 7077", "\"type\":\"CONNECT\",\"size\":23,\"remaining_length\":21,"
	  "\"flags\":0,\"protocol_name\":\"MQTT\",\"protocol_version\":5,\"connect_flags\":194,\"clean_start\":true,\"keep_alive\":60,\"client_id\":\"a\",\"user_name\":\"u\","
	  "\"password\":\"pw\"", true },
	{ "a password that is no UTF-8", FROM_CLIENT, "10 15 0004 4d515454 05 c2 003c 00 0001 61 0001 75 0002 ff77", "\"type\":\"CONNECT\",\"size\":23,\"remaining_length\":21,"
	  "\"flags\":0,\"protocol_name\":\"MQTT\",\"protocol_version\":5,\"connect_flags\":194,\"clean_start\":true,\"keep_alive\":60,\"client_id\":\"a\",\"user_name\":\"u\","
	  "\"password_base64\":\"/3c=\"", true },
	{ "unreadable", FROM_SERVER, "62 05 0007 92 05 00",
	  "\"type\":\"PUBREL\",\"size\":7,\"remaining_length\":5,\"flags\":2,\"unreadable\":{\"clause\":\"5:property-length\",\"offset\":5,\"field\":\"properties\","
	  "\"why\":\"property length runs past the end\"},\"bytes_base64\":\"YgUAB5IFAA==\"" },
	{ "type 0", FROM_SERVER, "05 01 ab", "\"type\":\"RESERVED\",\"size\":3,\"remaining_length\":1,\"flags\":5,\"unreadable\":{\"clause\":\"5:packet-type-forbidden\","
	  "\"offset\":0,\"field\":null,\"why\":\"this packet type is forbidden\"},\"bytes_base64\":\"BQGr\"" },
	{ "cut in a field", FROM_SERVER, "30 03 0009 61", "\"type\":\"PUBLISH\",\"size\":5,\"remaining_length\":3,\"flags\":0,\"unreadable\":{\"clause\":\"5:MQTT-3.3.2-1\","
	  "\"offset\":2,\"field\":\"topic\",\"why\":\"length runs past the end\"},\"bytes_base64\":\"MAMACWE=\"" },
	{ "unreadable, with a secret", FROM_CLIENT, "10 14 0004 4d515454 05 c2 003c 00 0001 61 0001 75 0002 70", "\"type\":\"CONNECT\",\"size\":22,\"remaining_length\":20,"
	  "\"flags\":0,\"unreadable\":{\"clause\":\"5:MQTT-3.1.4-1\",\"offset\":19,\"field\":\"password\",\"why\":\"length runs past the end\"},"
	  "\"bytes_base64\":\"EBQABE1RVFQFwgA8AAABYQABdSoqKg==\",\"bytes_masked\":3" },
};

static struct paper paper;

static const char *line_of(const struct row *row)
{
	uint8_t bytes[256];
	struct conversation c = seen_conversation(1, MQTT_5);
	struct view_options how = { .secrets = row->secrets };
	struct observer *o = packets_json_new(&paper.out, &how);
	struct seen_packet seen = seen_packet(&c, row->from, span_of(bytes, bytes_of_hex(row->hex, bytes, sizeof(bytes))), seen_at(6, 412000));

	c.client_id = span_text("dash-1");
	o->ops->started(o, &(struct when){ 1, UINT64_C(1700000000000000000) });
	o->ops->packet(o, &seen);
	static char line[2048];
	const char *text = paper_take(&paper);
	size_t first = strlen(FIRST);
	assert_memory_equal(text, FIRST, first);
	assert_in_range(snprintf(line, sizeof(line), "%s", text + first), 1, sizeof(line) - 1);
	o->ops->ended(o, &c, ENDED_BY_FIN, &seen.when);
	assert_null(c.of[0]);
	paper_take(&paper);
	view_free(o);
	return line;
}

static void said_as_written(void **state)
{
	const struct row *row = *state;
	char wanted[2048];

	snprintf(wanted, sizeof(wanted), BEGIN ",\"from\":\"%s\",\"sure\":true,\"confidence\":100,%s}\n", row->from == FROM_CLIENT ? "client" : "broker", row->says);
	assert_string_equal(line_of(row), wanted);
}

/* ---- events, and what is said of the conversation ---- */

static void events(void **state)
{
	struct conversation c = seen_conversation(1, MQTT_5);
	struct observer *o = packets_json_new(&paper.out, &(struct view_options){ 0 });
	struct when at = seen_at(9, 1500000000);

	(void)state;
	c.from_start = false;
	o->ops->started(o, &(struct when){ 1, UINT64_C(1700000000000000000) });
	o->ops->opened(o, &c, &at);
	o->ops->hole(o, &c, &(struct hole){ FROM_SERVER, HOLE_LOST, 1448, 20, at });
	o->ops->hole(o, &c, &(struct hole){ FROM_CLIENT, HOLE_CUT, 0, 0, at });
	o->ops->closed(o, &c, FROM_CLIENT, true, &at);
	o->ops->ended(o, &c, ENDED_WITH_CAPTURE, &at);
	o->ops->finish(o, &at);
#define EVENT(kind) "{\"kind\":\"" kind "\",\"frame\":9,\"time\":1.500000000,\"epoch\":\"1700000001.500000000\""
	assert_string_equal(paper_take(&paper), FIRST
		EVENT("opened") HEAD("null") ",\"from_start\":false}\n"
		EVENT("hole") HEAD("null") ",\"from\":\"broker\",\"why\":\"lost\",\"bytes\":1448,\"skipped\":20}\n"
		EVENT("hole") HEAD("null") ",\"from\":\"client\",\"why\":\"cut\",\"bytes\":null,\"skipped\":0}\n"
		EVENT("closed") HEAD("null") ",\"from\":\"client\",\"reset\":true}\n"
		EVENT("ended") HEAD("null") ",\"how\":\"capture_ended\"}\n"
		EVENT("finished") ",\"packets\":0,\"conversations\":1,\"holes\":2}\n");
	view_free(o);
}

/* Also of nothing there is a first line and a last one. */
static void nothing(void **state)
{
	struct observer *o = packets_json_new(&paper.out, &(struct view_options){ 0 });

	(void)state;
	o->ops->finish(o, &(struct when){ 0, 0 });
	assert_string_equal(paper_take(&paper), "{\"kind\":\"capture\",\"schema\":{\"name\":\"mqassay-decode\",\"version\":1},\"epoch\":null}\n"
		"{\"kind\":\"finished\",\"frame\":0,\"time\":0.000000000,\"epoch\":\"0.000000000\",\"packets\":0,\"conversations\":0,\"holes\":0}\n");
	view_free(o);
}

/* What is kept as text is made anew when it is no longer so. */
static void follows_the_conversation(void **state)
{
	static const uint8_t ping[] = { 0xc0, 0 };
	static char id[65536];
	struct conversation c = seen_conversation(1, MQTT_3_1_1);
	struct observer *o = packets_json_new(&paper.out, &(struct view_options){ 0 });

	(void)state;
	struct seen_packet seen = seen_packet(&c, FROM_CLIENT, span_of(ping, 2), seen_at(1, 0));
	c.version_known = false;
	for (int again = 0; again < 2; again++) {
		o->ops->packet(o, &seen);
		assert_non_null(strstr(paper_take(&paper), "\"client\":null,\"version\":\"3.1.1\",\"version_known\":false"));
	}
	c.version = MQTT_5;
	o->ops->packet(o, &seen);
	assert_non_null(strstr(paper_take(&paper), "\"client\":null,\"version\":\"5\",\"version_known\":false"));
	c.version_known = true;
	c.client_id = span_text("x\"y");
	o->ops->packet(o, &seen);
	assert_non_null(strstr(paper_take(&paper), "\"client\":\"x\\\"y\",\"version\":\"5\",\"version_known\":true"));
	c.client_id = span_of("\xff", 1);
	o->ops->packet(o, &seen);
	assert_non_null(strstr(paper_take(&paper), "\"client_base64\":\"/w==\",\"version\""));
	memset(id, '\x01', sizeof(id) - 1);	/* each is six characters */
	c.client_id = span_text(id);
	for (int again = 0; again < 2; again++) {
		o->ops->packet(o, &seen);
		assert_true(strlen(paper_take(&paper)) > 6 * 65535);
	}
	seen.sure = false;
	seen.confidence = 85;
	seen.first.frame = 0;
	seen.when.time_ns -= 1;
	o->ops->packet(o, &seen);
	const char *text = paper_take(&paper);
	assert_non_null(strstr(text, "\"sure\":false,\"confidence\":85"));
	assert_non_null(strstr(text, "\"frame\":1,\"first_frame\":0,\"time\":-0.000000001,\"epoch\":\"1699999999.999999999\""));
	o->ops->ended(o, &c, ENDED_BY_RESET, &seen.when);
	view_free(o);
}

/* More conversations than texts are kept for are told apart all the same. */
static void many_conversations(void **state)
{
	enum { MANY = 30000 };
	static const uint8_t ping[] = { 0xc0, 0 };
	static struct conversation all[MANY];
	struct observer *o = packets_json_new(&paper.out, &(struct view_options){ 0 });
	char wanted[40];
	unsigned kept = 0;

	(void)state;
	for (int turn = 0; turn < 2; turn++)
		for (uint32_t i = 0; i < MANY; i++) {
			if (!turn)
				all[i] = seen_conversation(i + 1, MQTT_3_1_1);
			struct seen_packet seen = seen_packet(&all[i], FROM_CLIENT, span_of(ping, 2), seen_at(1 + i, 0));
			o->ops->packet(o, &seen);
			if (i % 1000 && i < MANY - 5)
				continue;
			const char *text = paper_take(&paper);
			snprintf(wanted, sizeof(wanted), "\"connection\":%u,\"stream\":%u,", i + 1, i + 7);
			const char *line = memrchr(text, '\n', strlen(text) - 1);
			assert_non_null(strstr(line ? line : text, wanted));
		}
	for (uint32_t i = 0; i < MANY; i++) {
		kept += all[i].of[0] != NULL;
		o->ops->ended(o, &all[i], ENDED_FORGOTTEN, &all[i].first);
		assert_null(all[i].of[0]);
	}
	assert_in_range(kept, 10000, MANY - 1);
	paper_take(&paper);
	view_free(o);
}

/* A packet larger than the buffer. */
static void a_large_packet(void **state)
{
	enum { LEN = 3 << 20 };
	struct conversation c = seen_conversation(1, MQTT_3_1_1);
	uint8_t *payload = malloc(LEN), *bytes = malloc(LEN + 100);
	struct packet p = { .version = MQTT_3_1_1, .type = PUBLISH, .topic = span_text("t"), .payload = span_of(payload, LEN) };
	struct writer w = writer_to(bytes, LEN + 100);
	struct observer *o = packets_json_new(&paper.out, &(struct view_options){ 0 });

	(void)state;
	memset(payload, '"', LEN);
	assert_int_equal(encode(&p, NULL, &w), CODEC_OK);
	struct seen_packet seen = seen_packet(&c, FROM_CLIENT, wr_span(&w), seen_at(1, 0));
	o->ops->packet(o, &seen);
	const char *at = strstr(paper_take(&paper), "\"payload\":\"");
	assert_non_null(at);
	assert_int_equal(strspn(at + 11, "\\\""), 2 * LEN + 1);
	assert_string_equal(at + 11 + 2 * LEN, "\"}\n");
	o->ops->ended(o, &c, ENDED_BY_FIN, &seen.when);
	paper_take(&paper);
	view_free(o);
	free(payload);
	free(bytes);
}

/* Whatever is legal is one line, and no key stands twice at one level. */
static void assert_one_object(const char *text)
{
	char keys[16][4000];
	size_t used[16] = { 0 };
	int depth = -1;

	assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
	for (const char *at = text; *at != '\n'; at++) {
		if (*at == '{' || *at == '[') {
			assert_true(++depth < 16);
			used[depth] = 0;
			keys[depth][0] = 0;
		} else if (*at == '}' || *at == ']') {
			assert_true(depth-- >= 0);
		} else if (*at == '"') {
			const char *end = at + 1;

			while (*end != '"')
				end += 1 + (*end == '\\');
			if (end[1] == ':') {
				char key[80];

				assert_in_range(snprintf(key, sizeof(key), "%.*s", (int)(end - at + 1), at), 3, sizeof(key) - 1);
				assert_null(strstr(keys[depth], key));
				assert_true(used[depth] + strlen(key) < sizeof(keys[depth]));
				strcpy(keys[depth] + used[depth], key);
				used[depth] += strlen(key);
			}
			at = end;
		}
	}
	assert_int_equal(depth, -1);
}

static void every_packet_is_one_object(void **state)
{
	static uint8_t room[1 << 17], bytes[1 << 17];
	struct random random;

	(void)state;
	random_seed(&random, 3);
	for (int i = 0; i < 3000; i++) {
		enum version version = MQTT_3_1 + (enum version)(i % 3);
		enum packet_type type = 1 + i / 3 % 15;
		struct conversation c = seen_conversation(1, version);
		struct observer *o = packets_json_new(&paper.out, &(struct view_options){ .secrets = i & 1 });
		struct arena arena;
		struct packet packet;
		struct writer w = writer_to(bytes, sizeof(bytes));
		enum sender from = i & 16 ? FROM_CLIENT : FROM_SERVER;

		if (type == CONNECT || type == SUBSCRIBE || type == UNSUBSCRIBE || type == PINGREQ || type == DISCONNECT)
			from = FROM_CLIENT;
		if (type == CONNACK || type == SUBACK || type == UNSUBACK || type == PINGRESP)
			from = FROM_SERVER;
		if (type != AUTH || version == MQTT_5) {
			arena_init(&arena, room, sizeof(room));
			assert_int_equal(generate(type, version, from, &random, &arena, &packet), CODEC_OK);
			assert_int_equal(encode(&packet, NULL, &w), CODEC_OK);
			if (i % 5 == 4 && w.len > 2)	/* and what is not */
				bytes[2 + random_below(&random, w.len - 2)] ^= (uint8_t)(1 + random_below(&random, 255));
			struct seen_packet seen = seen_packet(&c, from, wr_span(&w), seen_at(1, 0));
			o->ops->packet(o, &seen);
			const char *text = paper_take(&paper);
			assert_one_object(strchr(text, '\n') + 1);
			o->ops->ended(o, &c, ENDED_BY_FIN, &seen.when);
			paper_take(&paper);
		}
		view_free(o);
	}
}

int main(void)
{
	enum { N_ROWS = sizeof(rows) / sizeof(*rows) };
	static const struct CMUnitTest others[] = {
		cmocka_unit_test(events),
		cmocka_unit_test(nothing),
		cmocka_unit_test(follows_the_conversation),
		cmocka_unit_test(many_conversations),
		cmocka_unit_test(a_large_packet),
		cmocka_unit_test(every_packet_is_one_object),
	};
	struct CMUnitTest tests[N_ROWS + sizeof(others) / sizeof(*others)];

	for (size_t i = 0; i < N_ROWS; i++)
		tests[i] = (struct CMUnitTest){ .name = rows[i].name, .test_func = said_as_written, .initial_state = (void *)(uintptr_t)&rows[i] };
	memcpy(tests + N_ROWS, others, sizeof(others));
	paper_init(&paper);
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	paper_release(&paper);
	return failed;
}
