#include "codec/tests/whole.h"

/*
 * Packets written by hand from the standards, and how the notation writes them. Each is read and written back,
 * through its text too, cut at every length and framed byte by byte, from memory that ends where it ends.
 */
static const struct row {
	enum version version;
	enum sender from;
	const char *hex, *text;
} rows[] = {
#define C FROM_CLIENT
#define S FROM_SERVER
	/* CONNECT */
	{ 3, C, "10 0f 0006 4d5149736470 03 02 003c 0001 61", "CONNECT clean_start keep_alive=60 client_id=\"a\"" },
	{ 3, C, "10 0f 0006 4d5149736470 03 82 003c 0001 61", "CONNECT clean_start connect_flags=0x82 keep_alive=60 client_id=\"a\" !ends_after=client_id" },
	{ 3, C, "10 12 0006 4d5149736470 03 c2 003c 0001 61 0001 75", "CONNECT clean_start connect_flags=0xc2 keep_alive=60 client_id=\"a\" user_name=\"u\" !ends_after=user_name" },
	{ 4, C, "10 0d 0004 4d515454 04 02 003c 0001 61", "CONNECT clean_start keep_alive=60 client_id=\"a\"" },
	{ 4, C, "10 0c 0004 4d515454 04 02 0000 0000", "CONNECT clean_start keep_alive=0 client_id=\"\"" },
	{ 4, C, "10 12 0004 4d515454 04 ea 000a 0001 61 0001 75 0000",
	  "CONNECT clean_start !will.qos=1 will.retain keep_alive=10 client_id=\"a\" user_name=\"u\" password=\"\"" },
	{ 4, C, "10 1d 0004 4d515454 04 ee 000a 0001 61 0001 77 0003 627965 0003 757372 0001 70",
	  "CONNECT clean_start will.qos=1 will.retain keep_alive=10 client_id=\"a\" will.topic=\"w\" will.payload=\"bye\" user_name=\"usr\" password=\"p\"" },
	{ 4, C, "10 0d 0004 4d515454 04 03 003c 0001 61", "CONNECT clean_start !connect_flags=0x03 keep_alive=60 client_id=\"a\"" },
	{ 4, C, "10 0d 0004 4d515454 06 02 003c 0001 61", "CONNECT !protocol_version=6 clean_start keep_alive=60 client_id=\"a\"" },
	{ 4, C, "10 0d 0004 6d717474 04 02 003c 0001 61", "CONNECT !protocol_name=\"mqtt\" clean_start keep_alive=60 client_id=\"a\"" },
	{ 5, C, "10 0e 0004 4d515454 05 02 003c 00 0001 61", "CONNECT clean_start keep_alive=60 client_id=\"a\"" },
	{ 5, C, "10 11 0004 4d515454 05 02 003c 03 21 000a 0001 61", "CONNECT clean_start keep_alive=60 receive_maximum=10 client_id=\"a\"" },
	{ 5, C, "10 14 0004 4d515454 05 02 003c 06 21 000a 21 000b 0001 61",
	  "CONNECT clean_start keep_alive=60 receive_maximum=10 !again receive_maximum=11 client_id=\"a\"" },
	{ 5, C, "10 1a 0004 4d515454 05 06 003c 00 0001 61 05 18 0000001e 0001 77 0001 78",
	  "CONNECT clean_start keep_alive=60 client_id=\"a\" will.delay_interval=30 will.topic=\"w\" will.payload=\"x\"" },
	{ 5, C, "10 11 0004 4d515454 05 42 003c 00 0001 61 0001 ff", "CONNECT clean_start keep_alive=60 client_id=\"a\" password=hex\"ff\"" },
	{ 5, C, "10 0f 0004 4d515454 05 02 003c 8000 0001 61", "CONNECT clean_start keep_alive=60 !property_length=hex\"80 00\" client_id=\"a\"" },
	/* CONNACK */
	{ 3, S, "20 02 00 00", "CONNACK session_present=0 reason=Success" },
	{ 4, S, "20 02 01 00", "CONNACK session_present=1 reason=Success" },
	{ 4, S, "20 02 00 05", "CONNACK session_present=0 reason=Not_authorized" },
	{ 4, S, "20 02 00 06", "CONNACK session_present=0 !reason=0x06" },
	{ 4, S, "20 02 01 05", "CONNACK !session_present=1 reason=Not_authorized" },
	{ 4, S, "20 02 02 00", "CONNACK !ack_flags=2 reason=Success" },
	{ 5, S, "20 0b 00 00 08 21 0014 27 00010000", "CONNACK session_present=0 reason=Success receive_maximum=20 maximum_packet_size=65536" },
	{ 5, S, "20 03 00 87 00", "CONNACK session_present=0 reason=Not_authorized" },
	/* PUBLISH */
	{ 4, C, "30 07 0003 612f62 68 69", "PUBLISH topic=\"a/b\" payload=\"hi\"" },
	{ 4, C, "3b 09 0003 612f62 0007 68 69", "PUBLISH topic=\"a/b\" qos=1 dup retain packet_id=7 payload=\"hi\"" },
	{ 4, C, "30 05 0003 612f62", "PUBLISH topic=\"a/b\" payload=\"\"" },
	{ 4, C, "30 05 0001 74 00 ff", "PUBLISH topic=\"t\" payload=hex\"00 ff\"" },
	{ 4, C, "30 0a 0001 74 22 5c 0a 09 00 c2ad", "PUBLISH topic=\"t\" payload=\"\\\"\\\\\\n\\t\\x00\\u{00ad}\"" },
	{ 4, C, "30 05 0001 23 68 69", "PUBLISH !topic=\"#\" payload=\"hi\"" },
	{ 4, C, "30 08 0003 eda080 68 69 21", "PUBLISH !topic=hex\"ed a0 80\" payload=\"hi!\"" },
	{ 4, C, "36 09 0003 612f62 0001 68 69", "PUBLISH topic=\"a/b\" !qos=3 packet_id=1 payload=\"hi\"" },
	{ 4, C, "38 07 0003 612f62 68 69", "PUBLISH topic=\"a/b\" !dup payload=\"hi\"" },
	{ 4, C, "32 09 0003 612f62 0000 68 69", "PUBLISH topic=\"a/b\" qos=1 !packet_id=0 payload=\"hi\"" },
	{ 5, C, "30 08 0003 612f62 00 68 69", "PUBLISH topic=\"a/b\" payload=\"hi\"" },
	{ 5, C, "34 0a 0000 0001 03 23 0003 68 69", "PUBLISH topic=\"\" qos=2 packet_id=1 topic_alias=3 payload=\"hi\"" },
	{ 5, C, "30 08 0000 03 23 0000 68 69", "PUBLISH topic=\"\" !topic_alias=0 payload=\"hi\"" },
	{ 5, C, "30 16 0001 74 10 26 0001 6b 0001 76 26 0002 6b32 0002 7632 78 79",
	  "PUBLISH topic=\"t\" user_property=[\"k\":\"v\" \"k2\":\"v2\"] payload=\"xy\"" },
	{ 5, C, "30 15 0001 74 10 26 0001 6b 0001 76 01 01 26 0001 6b 0001 77 78",
	  "PUBLISH topic=\"t\" user_property=[\"k\":\"v\"] payload_format_indicator=1 user_property=[\"k\":\"w\"] payload=\"x\"" },
	{ 5, S, "30 09 0001 74 04 0b01 0b02 78", "PUBLISH topic=\"t\" subscription_identifier=[1 2] payload=\"x\"" },
	{ 5, C, "30 07 0001 74 02 0b01 78", "PUBLISH topic=\"t\" !subscription_identifier=1 payload=\"x\"" },
	{ 5, C, "30 08 0001 74 03 21 0001 78", "PUBLISH topic=\"t\" !receive_maximum=1 payload=\"x\"" },
	/* acknowledgements */
	{ 4, C, "40 02 0007", "PUBACK packet_id=7" },
	{ 5, C, "40 02 0007", "PUBACK packet_id=7" },
	{ 5, C, "40 03 0007 00", "PUBACK packet_id=7 reason=Success" },
	{ 5, C, "40 04 0007 00 00", "PUBACK packet_id=7 reason=Success property_length=0" },
	{ 5, S, "40 03 0007 10", "PUBACK packet_id=7 reason=No_matching_subscribers" },
	{ 5, C, "40 03 0007 10", "PUBACK packet_id=7 !reason=No_matching_subscribers" },
	{ 5, S, "50 0a 0007 80 06 1f 0003 776879", "PUBREC packet_id=7 reason=Unspecified_error reason_string=\"why\"" },
	{ 4, C, "60 02 0007", "PUBREL packet_id=7 !flags=0x00" },
	{ 3, C, "6a 02 0007", "PUBREL packet_id=7 flags=0x0a" },
	{ 5, C, "62 03 0007 92", "PUBREL packet_id=7 reason=Packet_Identifier_not_found" },
	{ 5, S, "70 03 0007 01", "PUBCOMP packet_id=7 !reason=0x01" },
	/* subscriptions */
	{ 4, C, "82 0e 0001 0003 612f62 01 0003 632f23 02", "SUBSCRIBE packet_id=1 (\"a/b\" qos=1, \"c/#\" qos=2)" },
	{ 4, C, "82 06 0001 0001 61 00", "SUBSCRIBE packet_id=1 (\"a\")" },
	{ 4, C, "82 06 0001 0001 61 04", "SUBSCRIBE packet_id=1 (\"a\" !options=0x04)" },
	{ 4, C, "82 07 0001 0002 6123 00", "!SUBSCRIBE packet_id=1 (\"a#\")" },
	{ 4, C, "82 02 0001", "!SUBSCRIBE packet_id=1 ()" },
	{ 4, S, "82 06 0001 0001 61 00", "!SUBSCRIBE packet_id=1 (\"a\")" },
	{ 5, C, "82 09 0001 02 0b05 0001 61 1d", "SUBSCRIBE packet_id=1 subscription_identifier=5 (\"a\" qos=1 no_local retain_as_published retain_handling=1)" },
	{ 5, C, "82 07 0001 00 0001 61 03", "SUBSCRIBE packet_id=1 (\"a\" !qos=3)" },
	{ 5, C, "82 0b 0001 00 0001 61 01 0001 62 03", "SUBSCRIBE packet_id=1 (\"a\" qos=1, \"b\" !qos=3)" },
	{ 5, C, "82 07 0001 00 0001 61 30", "SUBSCRIBE packet_id=1 (\"a\" !retain_handling=3)" },
	{ 5, C, "82 0f 0001 00 0009 2473686172652f672f 04", "!SUBSCRIBE packet_id=1 (\"$share/g/\" no_local)" },
	{ 5, C, "82 10 0001 00 000a 2473686172652f672f74 04", "SUBSCRIBE packet_id=1 (\"$share/g/t\" !no_local)" },
	{ 4, S, "90 04 0001 01 80", "SUBACK packet_id=1 reason=[Granted_QoS_1 Unspecified_error]" },
	{ 5, S, "90 05 0001 00 00 a2", "SUBACK packet_id=1 reason=[Granted_QoS_0 Wildcard_Subscriptions_not_supported]" },
	{ 4, S, "90 04 0001 02 03", "SUBACK packet_id=1 !reason=[Granted_QoS_2 0x03]" },
	{ 4, C, "a2 08 0001 0001 61 0001 62", "UNSUBSCRIBE packet_id=1 (\"a\", \"b\")" },
	{ 4, S, "b0 02 0001", "UNSUBACK packet_id=1" },
	{ 5, S, "b0 05 0001 00 00 11", "UNSUBACK packet_id=1 reason=[Success No_subscription_existed]" },
	/* the rest */
	{ 4, C, "c0 00", "PINGREQ" },
	{ 4, C, "c1 00", "PINGREQ !flags=0x01" },
	{ 4, S, "d0 00", "PINGRESP" },
	{ 4, C, "d0 00", "!PINGRESP" },
	{ 4, C, "e0 00", "DISCONNECT" },
	{ 5, C, "e0 01 04", "DISCONNECT reason=Disconnect_with_Will_Message" },
	{ 5, S, "e0 02 8e 00", "DISCONNECT reason=Session_taken_over property_length=0" },
	{ 5, S, "e0 07 00 05 11 00000001", "DISCONNECT reason=Normal_disconnection !session_expiry_interval=1" },
	{ 5, C, "f0 0a 18 08 15 0001 6d 16 0001 ff", "AUTH reason=Continue_authentication authentication_method=\"m\" authentication_data=hex\"ff\"" },
	{ 5, S, "f0 00", "AUTH" },
	{ 5, C, "f0 02 18 00", "!AUTH reason=Continue_authentication property_length=0" },
#undef C
#undef S
};

/* Bytes that cannot be read: the rule, where, and in which field. */
static const struct unreadable {
	enum version version;
	const char *hex, *rule;
	unsigned offset;
	const char *field;
} unreadables[] = {
	{ 4, "00 00", "packet-type-forbidden", 0, NULL },
	{ 4, "f0 00", "packet-type-forbidden", 0, NULL },
	{ 4, "30 03 0009 61", "MQTT-3.3.2-1", 2, "topic" },
	{ 4, "32 03 0001 61", "truncated", 5, "packet_id" },
	{ 4, "40 01 00", "truncated", 2, "packet_id" },
	{ 4, "40 03 0001 00", "trailing-bytes", 4, NULL },
	{ 4, "c0 01 00", "trailing-bytes", 2, NULL },
	{ 4, "82 05 0001 0001 61", "truncated", 7, "filters" },
	{ 4, "82 07 0001 0001 61 00 00", "MQTT-3.8.3-1", 8, "filters" },
	{ 4, "10 0d 0004 4d515454 04 06 003c 0001 61", "MQTT-3.1.2-9", 15, "will.topic" },
	{ 4, "10 0f 0004 4d515454 04 02 003c 0001 61 0000", "MQTT-3.1.4-1", 15, NULL },
	{ 5, "30 03 0001 61", "MQTT-2.2.2-1", 5, "properties" },
	{ 5, "30 04 0001 61 01", "property-length", 5, "properties" },
	{ 5, "30 05 0001 61 01 01", "property-length", 7, "properties" },
	{ 5, "30 06 0001 61 02 7f 00", "property-unknown", 6, "properties" },
	{ 5, "30 08 0001 61 04 01 00 05 00", "property-unknown", 8, "properties" },
	{ 5, "82 0d 0001 06 0bffffffff01 0001 61 00", "MQTT-1.5.5-1", 6, "properties" },
	{ 5, "e0 05 00 80808080", "MQTT-1.5.5-1", 3, "properties" },
};

/* Packets that can be read but are not allowed: where the first fault lies. */
static const struct fault_at {
	enum version version;
	enum sender from;
	const char *hex, *rule;
	unsigned offset;
	const char *field;
} faults[] = {
	{ 4, FROM_CLIENT, "82 0b 0001 0001 61 00 0002 6123 00", "MQTT-4.7.1-2", 8, "filters" },
	{ 4, FROM_SERVER, "90 05 0001 00 01 03", "MQTT-3.9.3-2", 6, "reason" },
	{ 4, FROM_CLIENT, "32 09 0003 612f62 0000 68 69", "MQTT-2.3.1-1", 7, "packet_id" },
	{ 4, FROM_CLIENT, "10 10 0004 4d515454 04 82 003c 0001 61 0001 ff", "MQTT-3.1.3-11", 15, "user_name" },
	{ 5, FROM_CLIENT, "10 14 0004 4d515454 05 02 003c 06 21 000a 21 000b 0001 61", "property-repeated", 16, "receive_maximum" },
	{ 5, FROM_CLIENT, "30 0a 0001 74 05 01 00 23 0000 78", "MQTT-3.3.2-8", 8, "topic_alias" },
	{ 5, FROM_CLIENT, "10 17 0004 4d515454 05 06 003c 00 0001 61 02 17 00 0001 77 0001 78", "property-misplaced", 17, "will.request_problem_information" },
	{ 5, FROM_SERVER, "40 03 0007 01", "MQTT-3.4.2-1", 4, "reason" },
	{ 5, FROM_CLIENT, "30 06 0001 74 8000 78", "MQTT-1.5.5-1", 5, "property_length" },
};

static struct guard guard;

static void reads_and_comes_back(void **state)
{
	const struct row *row = *state;
	uint8_t bytes[512];
	char text[2048];
	size_t len = bytes_of_hex(row->hex, bytes, sizeof bytes);

	assert_framed(&guard, bytes, len);
	assert_comes_back(&guard, bytes, len, row->version, row->from, text, sizeof text);
	assert_string_equal(text, row->text);
	assert_survives_cuts(&guard, bytes, len, row->version);
	assert_laid_out(guard_copy(&guard, bytes, len), len, row->version);
}

static void is_unreadable(void **state)
{
	const struct unreadable *row = *state;
	uint8_t bytes[512];
	size_t len = bytes_of_hex(row->hex, bytes, sizeof bytes);
	struct packet packet;
	struct finding finding;

	assert_int_equal(decode(guard_copy(&guard, bytes, len), len, row->version, &packet, &finding), CODEC_BAD);
	assert_string_equal(rule_id(finding.rule, finding.version), row->rule);
	assert_int_equal(finding.offset, row->offset);
	if (row->field)
		assert_string_equal(finding.field, row->field);
	else
		assert_null(finding.field);
	assert_laid_out(guard_copy(&guard, bytes, len), len, row->version);
}

static void is_refused(void **state)
{
	const struct fault_at *row = *state;
	uint8_t bytes[512];
	size_t len = bytes_of_hex(row->hex, bytes, sizeof bytes);
	struct packet packet;
	struct finding finding;

	assert_int_equal(decode(guard_copy(&guard, bytes, len), len, row->version, &packet, &finding), CODEC_OK);
	assert_int_equal(check(&packet, row->from, &finding), CODEC_BAD);
	assert_string_equal(rule_id(finding.rule, finding.version), row->rule);
	assert_int_equal(finding.offset, row->offset);
	assert_string_equal(finding.field, row->field);
}

#define N(rows) (sizeof(rows) / sizeof *(rows))

int main(void)
{
	static struct CMUnitTest tests[N(rows) + N(unreadables) + N(faults)];
	size_t n = 0;

	for (size_t i = 0; i < N(rows); i++)
		tests[n++] = (struct CMUnitTest){ .name = rows[i].text, .test_func = reads_and_comes_back, .initial_state = (void *)&rows[i] };
	for (size_t i = 0; i < N(unreadables); i++)
		tests[n++] = (struct CMUnitTest){ .name = unreadables[i].hex, .test_func = is_unreadable, .initial_state = (void *)&unreadables[i] };
	for (size_t i = 0; i < N(faults); i++)
		tests[n++] = (struct CMUnitTest){ .name = faults[i].hex, .test_func = is_refused, .initial_state = (void *)&faults[i] };
	guard = guard_new(WHOLE_MAX);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
