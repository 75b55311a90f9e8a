#include "codec/tests/whole.h"
#include "codec/topic.h"
#include "pcap/tests/seen.h"

/* The text of packets and events as an engineer reads it, whole screens of it. */

static struct paper paper;
static struct observer *text;

static void starts(const struct view_options *how)
{
	struct when first = seen_at(1, 0);

	text = packets_text_new(&paper.out, how);
	assert_non_null(text);
	text->ops->started(text, &first);
}

static void ends(struct conversation *c)
{
	struct when at = seen_at(99, 0);

	text->ops->ended(text, c, ENDED_BY_FIN, &at);
	assert_null(c->of[0]);
	text->ops->finish(text, &at);
	view_free(text);
}

static struct seen_packet packet_of(struct conversation *c, enum sender from, const char *hex, uint64_t frame, uint64_t ns)
{
	static uint8_t bytes[4096];

	return seen_packet(c, from, span_of(bytes, bytes_of_hex(hex, bytes, sizeof(bytes))), seen_at(frame, ns));
}

static void comes(struct conversation *c, enum sender from, const char *hex, uint64_t frame, uint64_t ns)
{
	struct seen_packet seen = packet_of(c, from, hex, frame, ns);

	text->ops->packet(text, &seen);
}

#define CONNECT_A "10 12 0004 4d515454 04 02 003c 0006 646173682d31"
#define PUBLISH_A "30 06 0003 612f62 78"

static void a_conversation(void **state)
{
	struct conversation c = seen_conversation(1, MQTT_3_1_1);
	struct when at = seen_at(4, 0);

	(void)state;
	starts(&(struct view_options){ 0 });
	text->ops->opened(text, &c, &at);
	c.client_id = span_text("dash-1");
	comes(&c, FROM_CLIENT, CONNECT_A, 4, 0);
	comes(&c, FROM_SERVER, "20 02 01 00", 6, 412000);
	comes(&c, FROM_SERVER, PUBLISH_A, 1234, 61 * UINT64_C(1000000000));
	at = seen_at(1235, 61 * UINT64_C(1000000000));
	text->ops->closed(text, &c, FROM_CLIENT, false, &at);
	text->ops->closed(text, &c, FROM_SERVER, true, &at);
	ends(&c);
	assert_string_equal(paper_take(&paper),
		"  0.000000    f4  c1     -- opened: 10.0.0.1:50000 -> [::1]:1883, tcp, stream 7\n"
		"  0.000000    f4  dash-1 -> CONNECT clean_start keep_alive=60 client_id=\"dash-1\"    # c1\n"
		"  0.000412    f6  dash-1 <- CONNACK session_present=1 reason=Success\n"
		" 61.000000  f1234  dash-1 <- PUBLISH topic=\"a/b\" payload=\"x\"\n"
		" 61.000000  f1235  dash-1 -- the client closed (FIN)\n"
		" 61.000000  f1235  dash-1 -- the broker reset the connection\n");
}

/* The same client id again, one that could be taken for something else, one that is not text, none. */
static void names(void **state)
{
	static const struct { const char *id; size_t len; const char *name; } rows[] = {
		{ "dash-1", 6, "dash-1" }, { "dash-1", 6, "dash-1/c2" }, { "c7", 2, "\"c7\"" }, { "a b", 3, "\"a b\"" }, { "\xff\x00", 2, "hex\"ff 00\"" },
		{ "", 0, "\"\"" }, { "", 0, "\"\"/c7" }, { NULL, 0, "c8" }, { "\xe2\x80\xae", 3, "\"\\u{202e}\"" },
		{ "0123456789012345678901234567890123456789-", 41, "0123456789012345678901234567890123456789..." },
		{ "\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01", 20, "c11" },
		{ "dash-1/c2", 9, "\"dash-1/c2\"" },
	};
	struct conversation all[sizeof(rows) / sizeof(*rows)];
	char wanted[300];

	(void)state;
	starts(&(struct view_options){ 0 });
	for (uint32_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		all[i] = seen_conversation(i + 1, MQTT_3_1_1);
		all[i].client_id = rows[i].id ? span_of(rows[i].id, rows[i].len) : (struct span){ 0 };
		comes(&all[i], FROM_CLIENT, "c0 00", 1, 0);
		const char *line = paper_take(&paper);
		snprintf(wanted, sizeof(wanted), "    f1  %s", rows[i].name);
		assert_non_null(strstr(line, wanted));
		assert_non_null(strstr(line, " -> PINGREQ"));
	}
	for (uint32_t i = 1; i < sizeof(rows) / sizeof(*rows); i++)
		text->ops->ended(text, &all[i], ENDED_BY_FIN, &all[i].first);
	ends(&all[0]);
	assert_string_equal(paper_take(&paper), "");
}

static void what_is_not_certain(void **state)
{
	struct conversation c = seen_conversation(1, MQTT_3_1_1);
	struct when at = seen_at(4, 0);

	(void)state;
	c.from_start = c.version_known = c.roles_known = false;
	c.via = VIA_WSS;
	starts(&(struct view_options){ 0 });
	text->ops->opened(text, &c, &at);
	struct seen_packet seen = packet_of(&c, FROM_SERVER, PUBLISH_A, 5, 1000);
	seen.sure = false;
	seen.confidence = 85;
	text->ops->packet(text, &seen);
	c.version = MQTT_5;
	comes(&c, FROM_SERVER, "40 03 0001 10", 6, 2000);
	comes(&c, FROM_SERVER, "30 07 0000 03 230003 78", 7, 3000);
	seen = packet_of(&c, FROM_SERVER, "30 07 0000 03 230003 78", 8, 3000);
	seen.topic = span_text("plant/7/\"temp\"");
	text->ops->packet(text, &seen);
	ends(&c);
	assert_string_equal(paper_take(&paper),
		"  0.000000    f4  c1     -- joined in mid-stream: 10.0.0.1:50000 -> [::1]:1883, wss, stream 7    # which end is the client is inferred; read as MQTT 3.1.1 (inferred)\n"
		"  0.000001    f5  c1     <- PUBLISH topic=\"a/b\" payload=\"x\"    # 85 % sure\n"
		"  0.000002    f6  c1     <- PUBACK packet_id=1 reason=No_matching_subscribers    # read as MQTT 5 from here (inferred)\n"
		"  0.000003    f7  c1     <- PUBLISH topic=\"\" topic_alias=3 payload=\"x\"    # which topic was not seen\n"
		"  0.000003    f8  c1     <- PUBLISH topic=\"\" topic_alias=3 payload=\"x\"    # topic \"plant/7/\\\"temp\\\"\"\n");
}

static void what_is_missing(void **state)
{
	static const struct { struct hole hole; const char *says; } rows[] = {
		{ { FROM_SERVER, HOLE_LOST, 1448, 0, { 0, 0 } }, "1,448 bytes of the broker are missing here (lost)\n" },
		{ { FROM_CLIENT, HOLE_CUT, 1, 12, { 0, 0 } }, "1 byte of the client is missing here (cut by the snap length), 12 more passed over to the next packet\n" },
		{ { FROM_CLIENT, HOLE_NO_ROOM, 1234567, 0, { 0, 0 } }, "1,234,567 bytes of the client are missing here (no room to wait for them)\n" },
		{ { FROM_CLIENT, HOLE_UNFINISHED, 0, 3, { 0, 0 } }, "a packet of the client is unfinished: 3 bytes of it came\n" },
		{ { FROM_CLIENT, HOLE_UNFINISHED, 14, 1, { 0, 0 } }, "a packet of the client is unfinished: 1 byte of it came, 14 did not\n" },
		{ { FROM_CLIENT, HOLE_UNFINISHED, 14, 0, { 0, 0 } }, "14 bytes of the client are missing here (they never came)\n" },
		{ { FROM_CLIENT, HOLE_NO_ROOM, 0, 2000000, { 0, 0 } }, "2,000,000 bytes of the client are passed over (in a packet larger than --max-packet, or behind what there was no room for)\n" },
		{ { FROM_SERVER, HOLE_LOST, 0, 1, { 0, 0 } }, "1 byte of the broker is passed over (behind what was lost)\n" },
		{ { FROM_SERVER, HOLE_ENCRYPTED, 0, 0, { 0, 0 } }, "bytes of the broker are missing here (encrypted, without keys), it is not known how many\n" },
		{ { FROM_SERVER, HOLE_UNREADABLE, 0, 20, { 0, 0 } }, "20 bytes of the broker are no MQTT, passed over\n" },
		{ { FROM_SERVER, HOLE_UNREADABLE, 0, 1, { 0, 0 } }, "1 byte of the broker is no MQTT, passed over\n" },
		{ { FROM_SERVER, HOLE_ENCRYPTED, 99, 0, { 0, 0 } }, "99 bytes of the broker are missing here (encrypted, without keys)\n" },
	};
	struct conversation c = seen_conversation(3, MQTT_3_1_1);

	(void)state;
	starts(&(struct view_options){ 0 });
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct hole hole = rows[i].hole;
		char wanted[200];

		hole.when = seen_at(7, 5000);
		text->ops->hole(text, &c, &hole);
		snprintf(wanted, sizeof(wanted), "  0.000005    f7  c3     -- %s", rows[i].says);
		assert_string_equal(paper_take(&paper), wanted);
	}
	static const struct { enum conversation_end how; const char *says; } endings[] = {
		{ ENDED_REPLACED, "over: its ports are used anew\n" }, { ENDED_FORGOTTEN, "silent for too long, forgotten\n" },
		{ ENDED_WITH_CAPTURE, "still open when the capture ends\n" },
	};
	for (size_t i = 0; i < sizeof(endings) / sizeof(*endings); i++) {
		struct when at = seen_at(7, 5000);

		text->ops->ended(text, &c, endings[i].how, &at);
		assert_non_null(strstr(paper_take(&paper), endings[i].says));
	}
	ends(&c);
}

static void unreadable_packets(void **state)
{
	struct conversation c = seen_conversation(1, MQTT_5);
	char long_one[400] = "62 83 01 0007 92 ff01";

	(void)state;
	starts(&(struct view_options){ 0 });
	for (int i = 0; i < 126; i++)
		strcat(long_one, "00");
	comes(&c, FROM_CLIENT, "30 03 0009 61", 2, 0);
	comes(&c, FROM_CLIENT, "05 00", 3, 0);
	comes(&c, FROM_CLIENT, long_one, 4, 0);
	comes(&c, FROM_SERVER, "20 02 00 01", 5, 0);
	comes(&c, FROM_SERVER, "20 02 00 09", 5, 0);
	comes(&c, FROM_CLIENT, "10 14 0004 4d515454 05 c2 003c 00 0001 61 0001 75 0002 70", 5, 0);	/* a password of two bytes, one of them here */
	ends(&c);
	const char *found = paper_take(&paper);
	assert_ptr_equal(strstr(found,
		"  0.000000    f2  c1     -> bytes hex\"30 03 00 09 61\"    # PUBLISH is unreadable [5:MQTT-3.3.2-1] topic at byte 2: length runs past the end\n"
		"  0.000000    f3  c1     -> bytes hex\"05 00\"    # it is unreadable [5:packet-type-forbidden] at byte 0: this packet type is forbidden\n"), found);
	assert_non_null(strstr(found, " 00 00\"    # PUBREL is unreadable [5:"));
	assert_non_null(strstr(found, "; 48 of 134 bytes\n"));
	assert_non_null(strstr(found, " runs past the end; in MQTT 3.1.1 it would say Unsupported_Protocol_Version\n"));
	assert_non_null(strstr(found, "<- bytes hex\"20 02 00 09\"    # CONNACK is unreadable [5:MQTT-2.2.2-1] properties at byte 4: length runs past the end\n"));
	assert_non_null(strstr(found, "-> bytes hex\"10 14 00 04 4d 51 54 54 05 c2 00 3c 00 00 01 61 00 01 75 ** ** **\"    # CONNECT is unreadable"));
}

/* Long payloads are shortened at a character's end, all long lines somewhere, and both are said. */
static void long_packets(void **state)
{
	static uint8_t payload[5000], bytes[200000], list[100000];
	struct conversation c = seen_conversation(1, MQTT_5);
	struct packet p = { .version = MQTT_5, .type = PUBLISH, .topic = span_text("t") };
	struct writer w = writer_to(bytes, sizeof(bytes)), properties = writer_to(list, sizeof(list));

	(void)state;
	starts(&(struct view_options){ 0 });
	payload[0] = 'x';
	for (size_t i = 1; i + 1 < sizeof(payload); i += 2)
		memcpy(payload + i, "\xc3\xa9", 2);
	p.payload = span_of(payload, sizeof(payload) - 1);
	assert_int_equal(encode(&p, NULL, &w), CODEC_OK);
	struct seen_packet seen = seen_packet(&c, FROM_CLIENT, wr_span(&w), seen_at(1, 0));
	text->ops->packet(text, &seen);
	const char *found = paper_take(&paper);
	assert_non_null(strstr(found, "\xc3\xa9\"    # payload: 119 of 4,999 bytes\n"));
	assert_true(utf8_valid(span_text(found)));

	payload[4000] = 0xff;		/* no UTF-8: bytes take more room */
	w.len = 0;
	encode(&p, NULL, &w);
	seen = seen_packet(&c, FROM_CLIENT, wr_span(&w), seen_at(1, 0));
	text->ops->packet(text, &seen);
	assert_non_null(strstr(paper_take(&paper), "# payload: 40 of 4,999 bytes\n"));

	for (int i = 0; i < 300; i++)
		property_write(&properties, PROP_user_property, &(struct value){ .kind = VALUE_PAIR, .bytes = span_text("k"), .second = span_text("\xe2\x80\xae\xc3\xa9 v") });
	p.properties = wr_span(&properties);
	p.payload.len = 0;
	w.len = 0;
	assert_int_equal(encode(&p, NULL, &w), CODEC_OK);
	seen = seen_packet(&c, FROM_CLIENT, wr_span(&w), seen_at(1, 0));
	text->ops->packet(text, &seen);
	found = paper_take(&paper);
	assert_non_null(strstr(found, "...    # "));
	assert_non_null(strstr(found, " more bytes of text\n"));
	assert_in_range(strlen(found), 1900, 2200);
	assert_true(utf8_valid(span_text(found)));
	ends(&c);
}

static void secrets(void **state)
{
	static const char connect[] = "10 24 0004 4d515454 05 c2 003c 0f 15 0005 5343524d31 16 0004 ff000102 0001 61 0001 75 0002 7077",
	                  masked[] = "password=\"***\"", shown[] = "password=\"pw\"";
	struct conversation c = seen_conversation(1, MQTT_5);

	(void)state;
	for (int show = 0; show < 2; show++) {
		starts(&(struct view_options){ .secrets = show, .verbose = true });
		comes(&c, FROM_CLIENT, connect, 1, 0);
		const char *found = paper_take(&paper);
		assert_non_null(strstr(found, show ? shown : masked));
		assert_null(strstr(found, show ? masked : shown));
		assert_non_null(strstr(found, show ? "authentication_data=hex\"ff 00 01 02\"" : "authentication_data=\"***\""));
		assert_non_null(strstr(found, show ? "16 00 04 ff 00 01 02     authentication_data      hex\"ff 00 01 02\"\n"
		                                   : "** ** ** ** ** ** **     authentication_data      ***\n"));
		assert_non_null(strstr(found, show ? "00 02 70 77              password                 \"pw\"\n" : "** ** ** **              password                 ***\n"));
		ends(&c);
		paper_take(&paper);
	}
}

static void the_field_map(void **state)
{
	struct conversation c = seen_conversation(1, MQTT_5);

	(void)state;
	starts(&(struct view_options){ .verbose = true });
	comes(&c, FROM_CLIENT, "82 1c 0007 02 0b 7f 000a 61626364656667682f23 0d 0003 622f2b 2e 0001 63 00", 1, 0);
	comes(&c, FROM_SERVER, "3d 08 0001 74 0007 00 fffe", 2, 0);
	comes(&c, FROM_SERVER, "90 06 0007 00 01 87 02", 3, 0);
	comes(&c, FROM_SERVER, "40 05 0007 10 05 00", 4, 0);
	ends(&c);
	assert_string_equal(paper_take(&paper),
		"  0.000000    f1  c1     -> SUBSCRIBE packet_id=7 subscription_identifier=127 (\"abcdefgh/#\" qos=1 no_local retain_as_published, \"b/+\" qos=2 no_local retain_as_published retain_handling=2, \"c\")\n"
		"            0000  82                       first_byte               SUBSCRIBE flags=0x2\n"
		"            0001  1c                       remaining_length         28\n"
		"            0002  00 07                    packet_id                7\n"
		"            0004  02                       property_length          2\n"
		"            0005  0b 7f                    subscription_identifier  127\n"
		"            0007  00 0a 61 62 63 64 65 66  filters                  \"abcdefgh/#\" 0x0d retain_as_published no_local qos=1\n"
		"            000f  67 68 2f 23 0d\n"
		"            0014  00 03 62 2f 2b 2e        filters[1]               \"b/+\" 0x2e retain_as_published no_local qos=2 retain_handling=2\n"
		"            001a  00 01 63 00              filters[2]               \"c\" 0x00\n"
		"  0.000000    f2  c1     <- PUBLISH topic=\"t\" qos=2 dup retain packet_id=7 payload=hex\"ff fe\"\n"
		"            0000  3d                       first_byte               PUBLISH dup qos=2 retain\n"
		"            0001  08                       remaining_length         8\n"
		"            0002  00 01 74                 topic                    \"t\"\n"
		"            0005  00 07                    packet_id                7\n"
		"            0007  00                       property_length          0\n"
		"            0008  ff fe                    payload                  hex\"ff fe\"\n"
		"  0.000000    f3  c1     <- SUBACK packet_id=7 reason=[Granted_QoS_1 Not_authorized Granted_QoS_2]\n"
		"            0000  90                       first_byte               SUBACK flags=0x0\n"
		"            0001  06                       remaining_length         6\n"
		"            0002  00 07                    packet_id                7\n"
		"            0004  00                       property_length          0\n"
		"            0005  01                       reason                   0x01 Granted_QoS_1\n"
		"            0006  87                       reason[1]                0x87 Not_authorized\n"
		"            0007  02                       reason[2]                0x02 Granted_QoS_2\n"
		"  0.000000    f4  c1     <- bytes hex\"40 05 00 07 10 05 00\"    # PUBACK is unreadable [5:property-length] properties at byte 5: property length runs past the end\n"
		"            0000  40                       first_byte               PUBACK flags=0x0\n"
		"            0001  05                       remaining_length         5\n"
		"            0002  00 07                    packet_id                7\n"
		"            0004  10                       reason                   0x10 No_matching_subscribers\n"
		"            0005  05 00                    unreadable               2 bytes\n");
}

/* A megabyte is named without being shown. */
static void the_map_of_a_large_packet(void **state)
{
	enum { LEN = 1 << 20, FILTERS_LEN = 60000 };
	struct conversation c = seen_conversation(1, MQTT_3_1_1);
	uint8_t *payload = calloc(1, LEN), *bytes = malloc(LEN + 100);
	struct packet p = { .version = MQTT_3_1_1, .type = PUBLISH, .topic = span_text("t"), .payload = span_of(payload, LEN) };
	struct writer w = writer_to(bytes, LEN + 100);

	(void)state;
	starts(&(struct view_options){ .verbose = true });
	assert_int_equal(encode(&p, NULL, &w), CODEC_OK);
	struct seen_packet seen = seen_packet(&c, FROM_CLIENT, wr_span(&w), seen_at(1, 0));
	text->ops->packet(text, &seen);
	const char *found = paper_take(&paper);
	assert_non_null(strstr(found, "            0207  ... 1048064 more bytes of payload\n"));
	assert_true(strlen(found) < 6000);

	for (int i = 0; i < FILTERS_LEN; i += 4)	/* a thousand filters and more */
		memcpy(payload + i, "\0\1a\0", 4);
	p = (struct packet){ .version = MQTT_3_1_1, .type = SUBSCRIBE, .flags = 2, .packet_id = 1, .list = span_of(payload, FILTERS_LEN) };
	w.len = 0;
	assert_int_equal(encode(&p, NULL, &w), CODEC_OK);
	seen = seen_packet(&c, FROM_CLIENT, wr_span(&w), seen_at(1, 0));
	text->ops->packet(text, &seen);
	found = paper_take(&paper);
	assert_non_null(strstr(found, " filters[4091] "));
	assert_non_null(strstr(found, "more bytes of more fields\n"));
	ends(&c);
	free(payload);
	free(bytes);
}

/* A capture with nanoseconds shows them, from the first time that has some. */
static void nanoseconds(void **state)
{
	struct conversation c = seen_conversation(1, MQTT_3_1_1);

	(void)state;
	starts(&(struct view_options){ 0 });
	comes(&c, FROM_CLIENT, "c0 00", 1, 1000);
	comes(&c, FROM_SERVER, "d0 00", 2, 1500001001);
	comes(&c, FROM_CLIENT, "c0 00", 3, (uint64_t)-2000);	/* the interfaces' clocks differ */
	ends(&c);
	assert_string_equal(paper_take(&paper),
		"  0.000001    f1  c1     -> PINGREQ\n"
		"  1.500001001    f2  c1     <- PINGRESP\n"
		" -0.000002000    f3  c1     -> PINGREQ\n");
}

/* Live, nothing waits for long although the capture is never idle. */
static void live(void **state)
{
	struct conversation c = seen_conversation(1, MQTT_3_1_1);

	(void)state;
	starts(&(struct view_options){ .live = true });
	for (unsigned i = 0; i < 20; i++) {
		comes(&c, FROM_CLIENT, "c0 00", i, i * 5 * UINT64_C(1000000));
		assert_true(paper.out.len < 6 * 40);
	}
	assert_true(lseek(paper.out.fd, 0, SEEK_CUR) > 15 * 30);
	comes(&c, FROM_CLIENT, "c0 00", 30, 96 * UINT64_C(1000000));
	text->ops->flush(text);
	assert_int_equal(paper.out.len, 0);
	ends(&c);
	paper_take(&paper);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_conversation),
		cmocka_unit_test(names),
		cmocka_unit_test(what_is_not_certain),
		cmocka_unit_test(what_is_missing),
		cmocka_unit_test(unreadable_packets),
		cmocka_unit_test(long_packets),
		cmocka_unit_test(secrets),
		cmocka_unit_test(the_field_map),
		cmocka_unit_test(the_map_of_a_large_packet),
		cmocka_unit_test(nanoseconds),
		cmocka_unit_test(live),
	};

	paper_init(&paper);
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	paper_release(&paper);
	return failed;
}
