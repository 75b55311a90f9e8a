#include "codec/tests/whole.h"
#include "pcap/tests/seen.h"
#include "pcap/where.h"

/* Expressions against packets, and what is said of those that are none. */

static const char connect_5[] = "10 38 0004 4d515454 05 ee 003c 0c 11 00000e10 26 0001 6b 0001 76 0001 61 0c 18 0000001e 26 0001 78 0001 79 0003 772f74 0002 6f66 0001 75 0003 707764",
                  publish_5[] = "3b 1b 0005 612f622f63 0007 0e 23 0003 26 0001 6b 0001 76 0b 05 0b 07 7b7d78",
                  aliased[] = "30 07 0000 03 23 0003 7b",
                  unresolved[] = "30 07 0000 03 23 0004 7b", no_topic[] = "30 04 0000 00 7b",
                  publish_3[] = "32 07 0001 74 0009 6869",
                  subscribe_5[] = "82 10 0007 00 0003 612f23 2d 0004 622f2b2f 02",
                  suback_5[] = "90 05 0007 00 01 87",
                  puback_short[] = "40 02 0007", puback_3[] = "40 02 0008", bad[] = "30 03 0009 61", ping[] = "c0 00";

static const struct row {
	const char *expression;
	const char *packet;
	enum version version;
	bool matches;
} rows[] = {
	{ "type==PUBLISH", publish_5, MQTT_5, true },
	{ "type!=PUBLISH", publish_5, MQTT_5, false },
	{ "type==PUBLISH", bad, MQTT_5, true },
	{ "type==PINGREQ && from==client && size==2 && remaining_length==0", ping, MQTT_5, true },
	{ "from==broker", ping, MQTT_5, false },
	{ "from!=broker", ping, MQTT_5, true },
	{ "client==\"dash-1\"", ping, MQTT_5, true },
	{ "client~\"+\" && !(client==\"x\")", ping, MQTT_5, true },
	{ "connection==4 && stream==10 && frame>=6 && frame<7", ping, MQTT_5, true },
	{ "time==1.5s", ping, MQTT_5, true },
	{ "time==1.5 && time>1 && time<1501ms && time<=1500000us && time!=2m && time<1h", ping, MQTT_5, true },
	{ "time>1.500000001", ping, MQTT_5, false },
	{ "version==5", ping, MQTT_5, true },
	{ "version<3.1.1", ping, MQTT_3_1, true },
	{ "version==3.1.1", ping, MQTT_3_1_1, true },
	{ "way==tcp && way!=wss", ping, MQTT_5, true },
	{ "broker==\"[::1]:1883\" && client_address==\"10.0.0.1:50000\"", ping, MQTT_5, true },
	{ "broker==\"[0:0::0001]:1883\" && broker && client_address present", ping, MQTT_5, true },
	{ "broker==\"[::1]:1884\" || broker==\"1.0.0.0:1883\" || broker absent", ping, MQTT_5, false },
	{ "client_address!=\"10.0.0.1:50000\" || client_address==\"10.0.0.2:50000\"", ping, MQTT_5, false },
	{ "client_address!=\"10.0.0.1:50001\"", ping, MQTT_5, true },
	{ "sure && sure==true && confidence==100", ping, MQTT_5, true },
	{ "!sure || sure==false || sure==0", ping, MQTT_5, false },

	{ "topic~\"a/#\"", publish_5, MQTT_5, true },
	{ "topic~\"a/+/c\" && topic==\"a/b/c\"", publish_5, MQTT_5, true },
	{ "topic~\"a/+\"", publish_5, MQTT_5, false },
	{ "topic==hex\"61 2f 62 2f 63\"", publish_5, MQTT_5, true },
	{ "topic~\"plant/+\"", aliased, MQTT_5, true },
	{ "topic==\"\"", aliased, MQTT_5, false },
	{ "topic present", aliased, MQTT_5, true },
	{ "topic absent", ping, MQTT_5, true },
	{ "topic absent && topic_alias==4", unresolved, MQTT_5, true },
	{ "topic present && topic==\"\"", no_topic, MQTT_5, true },
	{ "topic!=\"x\"", ping, MQTT_5, false },
	{ "qos==1", publish_5, MQTT_5, true },
	{ "qos==1", publish_3, MQTT_3_1_1, true },
	{ "qos<=0", aliased, MQTT_5, true },
	{ "qos!=1", ping, MQTT_5, false },
	{ "dup && retain", publish_5, MQTT_5, true },
	{ "dup || retain", publish_3, MQTT_3_1_1, false },
	{ "flags==0xb", publish_5, MQTT_5, true },
	{ "packet_id>=7 && packet_id<8", publish_5, MQTT_5, true },
	{ "packet_id absent && packet_id!=1", aliased, MQTT_5, false },
	{ "packet_id absent", aliased, MQTT_5, true },
	{ "payload==\"{}x\"", publish_5, MQTT_5, true },
	{ "payload==\"{}\"", publish_5, MQTT_5, false },
	{ "topic_alias==3", publish_5, MQTT_5, true },
	{ "topic_alias", publish_3, MQTT_3_1_1, false },
	{ "subscription_identifier==7 && subscription_identifier==5", publish_5, MQTT_5, true },
	{ "subscription_identifier!=7", publish_5, MQTT_5, false },
	{ "subscription_identifier!=6", publish_5, MQTT_5, true },
	{ "subscription_identifier>6", publish_5, MQTT_5, true },
	{ "user_property present && user_property", publish_5, MQTT_5, true },
	{ "user_property absent", aliased, MQTT_5, true },
	{ "user_property.k==\"v\"", publish_5, MQTT_5, true },
	{ "user_property[\"k\"]==\"v\"", publish_5, MQTT_5, true },
	{ "user_property.k~\"+\"", publish_5, MQTT_5, true },
	{ "user_property.other present", publish_5, MQTT_5, false },
	{ "user_property.k absent", publish_5, MQTT_5, false },
	{ "user_property.k!=\"v\"", publish_5, MQTT_5, false },
	{ "properties present", publish_5, MQTT_5, true },
	{ "properties absent", puback_short, MQTT_5, true },

	{ "keep_alive==60 && clean_start && client_id==\"a\" && user_name==\"u\"", connect_5, MQTT_5, true },
	{ "will.qos==1 && will.retain && will.topic~\"w/#\" && will.payload==\"of\" && will.flag", connect_5, MQTT_5, true },
	{ "will.delay_interval==30 && session_expiry_interval==3600", connect_5, MQTT_5, true },
	{ "will.user_property.x==\"y\" && will.user_property[\"x\"]!=\"z\" && user_property.k==\"v\"", connect_5, MQTT_5, true },
	{ "will.user_property.k present", connect_5, MQTT_5, false },
	{ "session_present==false || will.topic absent", connect_5, MQTT_5, false },

	{ "filters==\"a/#\"", subscribe_5, MQTT_5, true },
	{ "filters~\"b/+/#\"", subscribe_5, MQTT_5, true },
	{ "filters!=\"a/#\"", subscribe_5, MQTT_5, false },
	{ "qos==2 && qos==1 && !(qos==0)", subscribe_5, MQTT_5, true },
	{ "no_local && retain_as_published && retain_handling==2 && options==0x2d", subscribe_5, MQTT_5, true },
	{ "retain_handling>2", subscribe_5, MQTT_5, false },
	{ "reason==Not_authorized && reason==Granted_QoS_1", suback_5, MQTT_5, true },
	{ "reason!=Not_authorized", suback_5, MQTT_5, false },
	{ "reason>=0x80", suback_5, MQTT_5, true },
	{ "reason==Success && reason==0 && reason present", puback_short, MQTT_5, true },
	{ "reason==Granted_QoS_1", puback_short, MQTT_5, false },
	{ "reason!=Granted_QoS_1", puback_short, MQTT_5, true },
	{ "reason present || reason==0", puback_3, MQTT_3_1_1, false },
	{ "unreadable && clause==\"5:MQTT-3.3.2-1\"", bad, MQTT_5, true },
	{ "unreadable || clause present", publish_5, MQTT_5, false },
	{ "topic present || qos present", bad, MQTT_5, false },

	{ "dup&&retain||type==CONNECT", publish_5, MQTT_5, true },
	{ "type==CONNECT||dup&&retain", publish_5, MQTT_5, true },
	{ "type==CONNECT && dup || retain", publish_5, MQTT_5, true },
	{ "type==CONNECT && (dup || retain)", publish_5, MQTT_5, false },
	{ "!dup || !retain || !(type==CONNECT)", publish_5, MQTT_5, true },
	{ "!!dup", publish_5, MQTT_5, true },
	{ "!dup && retain", publish_5, MQTT_5, false },
	{ "((dup))", publish_5, MQTT_5, true },
	{ "dup\n\t&&  retain", publish_5, MQTT_5, true },
	{ "qos==1 || qos==1 || qos==1 && qos==2", publish_5, MQTT_5, true },
	{ "(qos==2 || qos==1) && (qos==2 || qos==1)", publish_5, MQTT_5, true },
	{ "(qos==2 && qos==1) || (qos==2 || qos==3)", publish_5, MQTT_5, false },
	{ "size>1k || size<1M", publish_5, MQTT_5, true },
};

static void decides_as_written(void **state)
{
	const struct row *row = *state;
	uint8_t bytes[256];
	struct conversation c = seen_conversation(4, row->version);
	struct span span = span_of(bytes, bytes_of_hex(row->packet, bytes, sizeof(bytes)));
	struct seen_packet seen = seen_packet(&c, FROM_CLIENT, span, seen_at(6, 1500000000));
	struct fault fault = { 0 };

	c.client_id = span_text("dash-1");
	if (row->packet == aliased)
		seen.topic = span_text("plant/7");
	if (row->packet != bad)
		assert_int_equal(seen.status, CODEC_OK);
	struct where *where = where_parse(span_text(row->expression), &fault);
	if (!where)
		fail_msg("%u: %s", fault.column, fault.text);
	assert_int_equal(where_matches(where, &seen, UINT64_C(1700000000000000000)), row->matches);
	where_free(where);
}

static void mistakes(void **state)
{
	static const struct { const char *text; unsigned line, column; const char *says; } wrong[] = {
		{ "", 1, 1, "expected a field such as topic, ! or (, found the end" },
		{ "tpic==1", 1, 1, "no field is called `tpic`; did you mean `topic`?" },
		{ "xyzzyxyzzy", 1, 1, "no field is called `xyzzyxyzzy`" },
		{ "will.tpic==\"a\"", 1, 1, "no field is called `will.tpic`; did you mean `will.topic`?" },
		{ "qos==1 && recieve_maximum==1", 1, 11, "no field is called `recieve_maximum`; did you mean `receive_maximum`?" },
		{ "5==qos", 1, 1, "expected a field such as topic, ! or (, found `5`" },
		{ "type==", 1, 7, "expected a value, found the end" },
		{ "type==PUBLSH", 1, 7, "expected a packet type such as PUBLISH, found `PUBLSH`; did you mean `PUBLISH`?" },
		{ "type==3", 1, 7, "expected a packet type such as PUBLISH, found `3`" },
		{ "from==server", 1, 7, "expected client or broker, found `server`" },
		{ "broker==\"10.0.0.1\"", 1, 9, "expected an address and a port, as in \"10.0.0.1:1883\" or \"[::1]:1883\", found `\"10.0.0.1\"`" },
		{ "broker==\"::1:1883\"", 1, 9, "expected an address and a port, as in \"10.0.0.1:1883\" or \"[::1]:1883\", found `\"::1:1883\"`" },
		{ "broker==\"[10.0.0.1]:1883\"", 1, 9, "expected an address and a port, as in \"10.0.0.1:1883\" or \"[::1]:1883\", found `\"[10.0.0.1]:1883\"`" },
		{ "broker==\"10.0.0.1:\"", 1, 9, "expected an address and a port, as in \"10.0.0.1:1883\" or \"[::1]:1883\", found `\"10.0.0.1:\"`" },
		{ "broker==\"10.0.0.1:70000\"", 1, 9, "expected an address and a port, as in \"10.0.0.1:1883\" or \"[::1]:1883\", found `\"10.0.0.1:70000\"`" },
		{ "broker==\"\"", 1, 9, "expected an address and a port, as in \"10.0.0.1:1883\" or \"[::1]:1883\", found `\"\"`" },
		{ "broker==1883", 1, 9, "expected an address and a port, as in \"10.0.0.1:1883\" or \"[::1]:1883\", found `1883`" },
		{ "broker~\"a\"", 1, 7, "`broker` is an address; expected == or !=" },
		{ "client_address<\"1.2.3.4:5\"", 1, 15, "`client_address` is an address; expected == or !=" },
		{ "way==tpc", 1, 6, "expected tcp, tls, ws or wss, found `tpc`; did you mean `tcp`?" },
		{ "qos=1", 1, 4, "expected == for a comparison" },
		{ "qos & 1", 1, 5, "expected &&" },
		{ "qos | 1", 1, 5, "expected ||" },
		{ "qos;dup", 1, 4, "expected && or ||" },
		{ "topic=='a'", 1, 8, "text stands in double quotes" },
		{ "topic~a/#", 1, 7, "expected text in quotes, or hex\"...\", found `a`" },
		{ "topic~#", 1, 7, "a topic filter stands in quotes: ~\"a/#\"" },
		{ "topic==$x", 1, 8, "expected text in quotes, or hex\"...\", found `$x`" },
		{ "topic==\"a", 1, 8, "the string is not closed; expected \" before the end of the line" },
		{ "topic==\"\\q\"", 1, 9, "unknown escape; expected one of \\\" \\\\ \\$ \\n \\r \\t \\0 \\xHH \\uHHHH \\u{H...}" },
		{ "topic==hex\"0\"", 1, 13, "expected two hexadecimal digits for each byte" },
		{ "topic<\"a\"", 1, 6, "`topic` is not compared by size; expected == or != or ~" },
		{ "type>=PUBLISH", 1, 5, "`type` is not compared by size; expected == or !=" },
		{ "qos~\"a\"", 1, 4, "`qos` is no text that a topic filter could match; expected == != < <= > or >=" },
		{ "qos==\"1\"", 1, 6, "expected a number, found `\"1\"`" },
		{ "qos==1s", 1, 6, "expected a number, found `1s`" },
		{ "qos==9223372036854775808", 1, 6, "expected a number below 2^63, found `9223372036854775808`" },
		{ "qos==99999999999999999999", 1, 6, "a number of more than 64 bits" },
		{ "time>5k", 1, 6, "expected a time such as 1.5s or 200ms, found `5k`" },
		{ "time>1.2.3", 1, 6, "expected a time such as 1.5s or 200ms, found `1.2.3`" },
		{ "time>99999999999", 1, 6, "expected a time of less than 292 years, found `99999999999`" },
		{ "time>99999999999.5", 1, 6, "expected a time of less than 292 years, found `99999999999.5`" },
		{ "version==4", 1, 10, "expected 3.1, 3.1.1 or 5, found `4`" },
		{ "reason==Succes", 1, 9, "no reason code is called `Succes`; did you mean `Success`?" },
		{ "reason>Success", 1, 8, "a reason's name goes with == or !=; write a number such as 0x80" },
		{ "user_property==\"a\"", 1, 14, "`user_property` has no value of its own; expected present or absent, or a key as in user_property.KEY" },
		{ "properties==1", 1, 11, "`properties` has no value of its own; expected present or absent" },
		{ "user_property[k]", 1, 15, "expected the user property's key in quotes, found `k`" },
		{ "user_property[\"k\"==\"v\"", 1, 18, "expected ] behind the key, found `=`" },
		{ "user_property[\"k\"]==1", 1, 21, "expected text in quotes, or hex\"...\", found `1`" },
		{ "topic[\"k\"]", 1, 6, "expected &&, || or the end, found `[`" },
		{ "(qos", 1, 5, "expected &&, || or ), found the end" },
		{ "qos)", 1, 4, "expected &&, || or the end, found `)`" },
		{ "()", 1, 2, "expected a field such as topic, ! or (, found `)`" },
		{ "qos !", 1, 5, "expected &&, || or the end, found `!`" },
		{ "dup retain", 1, 5, "expected an operator such as ==, present or absent, found `retain`" },
		{ "dup present retain", 1, 13, "expected &&, || or the end, found `retain`" },
		{ "dup &&\n  retian", 2, 3, "no field is called `retian`; did you mean `retain`?" },
		{ "dup \x1b", 1, 5, "no such sign in the notation" },
		{ "topic == \xff", 1, 10, "no such sign in the notation" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		struct fault fault = { 0 };

		assert_null(where_parse(span_text(wrong[i].text), &fault));
		assert_string_equal(fault.text, wrong[i].says);
		assert_int_equal(fault.line, wrong[i].line);
		assert_int_equal(fault.column, wrong[i].column);
	}
}

static void bounds(void **state)
{
	static char text[WHERE_MAX_TEXT + 2];
	struct fault fault = { 0 };
	struct where *where;
	size_t n = 0;

	(void)state;
	for (int i = 0; i < WHERE_MAX_TESTS; i++)
		n += (size_t)sprintf(text + n, "%sqos==%d", i ? i & 1 ? "||" : "&&" : "", i);
	assert_non_null(where = where_parse(span_text(text), &fault));
	where_free(where);
	strcpy(text + n, "||dup");
	assert_null(where_parse(span_text(text), &fault));
	assert_string_equal(fault.text, "the expression is too long: at most 256 tests");

	memset(text, '!', 64);
	strcpy(text + 64, "dup");
	assert_non_null(where = where_parse(span_text(text), &fault));
	where_free(where);
	memset(text, '(', 65);
	strcpy(text + 65, "dup");
	assert_null(where_parse(span_text(text), &fault));
	assert_string_equal(fault.text, "nested too deep: at most 64");
	assert_int_equal(fault.column, 65);

	memset(text, ' ', sizeof(text) - 1);
	memcpy(text, "dup", 3);
	assert_non_null(where = where_parse(span_of(text, WHERE_MAX_TEXT), &fault));
	where_free(where);
	assert_null(where_parse(span_of(text, WHERE_MAX_TEXT + 1), &fault));
	assert_string_equal(fault.text, "the expression is too long: at most 65536 bytes");
}

/* ---- the observer ---- */

static struct paper paper;

static void passes_on_what_matches(void **state)
{
	static uint8_t bytes[2][16];
	struct conversation a = seen_conversation(1, MQTT_3_1_1), b = seen_conversation(2, MQTT_3_1_1);
	struct fault fault;
	struct where *where = where_parse(span_text("type==PUBLISH && time<3s"), &fault);
	struct observer *o = where_observer_new(where, packets_text_new(&paper.out, &(struct view_options){ 0 }));
	struct span wanted = span_of(bytes[0], bytes_of_hex(publish_3, bytes[0], 16)), other = span_of(bytes[1], bytes_of_hex(ping, bytes[1], 16));
	struct when at = seen_at(1, 0);

	(void)state;
	o->slot = 3;
	o->ops->started(o, &at);
	a.client_id = span_text("dash-1");
	o->ops->opened(o, &a, &at);
	o->ops->opened(o, &b, &at);
	for (uint32_t i = 0; i < 6; i++)	/* kept until something matches, the last ones as one */
		o->ops->hole(o, &a, &(struct hole){ FROM_CLIENT, HOLE_LOST, 1 + i, 0, seen_at(2, 1000) });
	o->ops->hole(o, &b, &(struct hole){ FROM_CLIENT, HOLE_LOST, 77, 0, seen_at(2, 1000) });
	struct seen_packet no = seen_packet(&a, FROM_CLIENT, other, seen_at(3, 2000));
	o->ops->packet(o, &no);
	o->ops->flush(o);
	assert_string_equal(paper_take(&paper), "");
	for (uint64_t s = 2; s < 4; s++) {
		struct seen_packet yes = seen_packet(&a, FROM_CLIENT, wanted, seen_at(4, s * 1000000000));
		o->ops->packet(o, &yes);
	}
	no = seen_packet(&a, FROM_SERVER, other, seen_at(5, 3000000000));
	o->ops->packet(o, &no);
	o->ops->hole(o, &a, &(struct hole){ FROM_SERVER, HOLE_CUT, 9, 0, seen_at(5, 3000000000) });
	at = seen_at(6, 4000000000);
	o->ops->closed(o, &b, FROM_CLIENT, false, &at);
	o->ops->closed(o, &a, FROM_CLIENT, false, &at);
	o->ops->ended(o, &b, ENDED_WITH_CAPTURE, &at);
	o->ops->ended(o, &a, ENDED_WITH_CAPTURE, &at);
	o->ops->finish(o, &at);
	assert_string_equal(paper_take(&paper),
		"  0.000000    f1  c1     -- opened: 10.0.0.1:50000 -> [::1]:1883, tcp, stream 7    # called dash-1\n"
		"  0.000001    f2  dash-1 -- 1 byte of the client is missing here (lost)\n"
		"  0.000001    f2  dash-1 -- 2 bytes of the client are missing here (lost)\n"
		"  0.000001    f2  dash-1 -- 3 bytes of the client are missing here (lost)\n"
		"  0.000001    f2  dash-1 -- 15 bytes of the client are missing here (lost)\n"
		"  2.000000    f4  dash-1 -> PUBLISH topic=\"t\" qos=1 packet_id=9 payload=\"hi\"\n"
		"  3.000000    f5  dash-1 -- 9 bytes of the broker are missing here (cut by the snap length)\n"
		"  4.000000    f6  dash-1 -- the client closed (FIN)\n"
		"  4.000000    f6  dash-1 -- the broker has not closed when the capture ends\n");
	assert_null(a.of[3]);
	assert_null(b.of[3]);
	view_free(o);
	where_free(where);
}

static void knows_what_holds_for_whole_connections(void **state)
{
	static const struct {
		const char *expression;
		bool whole;
	} of[] = {
		{ "client==\"a\"", true }, { "client absent", true }, { "connection==1 || !(stream<4 && version==5)", true }, { "way==ws", true },
		{ "broker==\"10.0.0.1:1883\" && client_address!=\"10.0.0.2:9\"", true },
		{ "topic~\"a\"", false }, { "client==\"a\" && type==CONNECT", false }, { "time<1s", false }, { "frame>4", false },
		{ "from==client", false }, { "qos", false }, { "connection==1 || sure", false }, { "size>3", false },
	};
	struct fault fault;

	(void)state;
	for (unsigned i = 0; i < sizeof(of) / sizeof(*of); i++) {
		struct where *where = where_parse(span_text(of[i].expression), &fault);

		assert_non_null(where);
		if (where_takes_whole_connections(where) != of[i].whole)
			fail_msg("%s", of[i].expression);
		where_free(where);
	}
}

int main(void)
{
	enum { N_ROWS = sizeof(rows) / sizeof(*rows) };
	static const struct CMUnitTest others[] = {
		cmocka_unit_test(mistakes),
		cmocka_unit_test(bounds),
		cmocka_unit_test(passes_on_what_matches),
		cmocka_unit_test(knows_what_holds_for_whole_connections),
	};
	struct CMUnitTest tests[N_ROWS + sizeof(others) / sizeof(*others)];

	for (size_t i = 0; i < N_ROWS; i++)
		tests[i] = (struct CMUnitTest){ .name = rows[i].expression, .test_func = decides_as_written, .initial_state = (void *)(uintptr_t)&rows[i] };
	memcpy(tests + N_ROWS, others, sizeof(others));
	paper_init(&paper);
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	paper_release(&paper);
	return failed;
}
