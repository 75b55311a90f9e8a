#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>

#include "codec/codec.h"
#include "codec/fields.h"

static const struct field *named(enum packet_type type, const char *name)
{
	return field_find(type, span_text(name));
}

/* ---- names ---- */

/* Whatever is listed for a packet is found by its name, and belongs there. */
static void listed_is_found(void **state)
{
	static const enum version versions[] = { MQTT_3_1, MQTT_3_1_1, MQTT_5 };
	unsigned n = 0;

	(void)state;
	for (unsigned type = 1; type < N_PACKET_TYPES; type++)
		for (unsigned v = 0; v < 3; v++) {
			const struct field *f;

			for (size_t i = 0; (f = field_at(type, versions[v], i)); i++, n++) {
				assert_true(field_belongs(f, type, versions[v]));
				if (field_find(type, span_text(f->name)) != f && strcmp(f->name, "qos"))	/* PUBLISH's or a filter's */
					fail_msg("%s of %s", f->name, packet_name(type));
			}
		}
	assert_true(n > 150);
}

static void names_of_their_packets(void **state)
{
	(void)state;
	assert_non_null(named(CONNECT, "will.delay_interval"));
	assert_int_equal(named(CONNECT, "will.delay_interval")->property, PROP_will_delay_interval);
	assert_true(named(CONNECT, "will.content_type")->will);
	assert_false(named(PUBLISH, "content_type")->will);
	assert_null(named(PUBLISH, "will.content_type"));
	assert_null(named(PUBLISH, "client_id"));
	assert_null(named(CONNECT, "topic"));
	assert_null(named(PINGREQ, "packet_id"));
	assert_null(named(CONNECT, "will."));
	assert_null(named(CONNECT, ""));
	assert_null(named(PUBLISH, "Topic"));
	assert_null(named(PUBLISH, "topi"));
	assert_null(named(PUBLISH, "topics"));
	/* a property is found anywhere, but belongs where the standard puts it, and in 5 only */
	assert_non_null(named(PUBLISH, "receive_maximum"));
	assert_false(field_belongs(named(PUBLISH, "receive_maximum"), PUBLISH, MQTT_5));
	assert_true(field_belongs(named(CONNECT, "receive_maximum"), CONNECT, MQTT_5));
	assert_false(field_belongs(named(CONNECT, "receive_maximum"), CONNECT, MQTT_3_1_1));
	assert_false(field_belongs(named(CONNECT, "will.receive_maximum"), CONNECT, MQTT_5));
	assert_false(field_belongs(named(PUBACK, "reason"), PUBACK, MQTT_3_1_1));
	assert_true(field_belongs(named(CONNACK, "reason"), CONNACK, MQTT_3_1));
	assert_false(field_belongs(named(CONNACK, "session_present"), CONNACK, MQTT_3_1));
}

/* Each identifier of the table, and none beside them. That the table is the standard's cases.tsv shows, row by row. */
static void property_identifiers(void **state)
{
#define X(id, name, kind, carried, limit) id,
	static const uint8_t known[] = { PROPERTIES(X) };
#undef X

	(void)state;
	for (unsigned id = 0; id < 512; id++) {
		bool is = id && id < 256 && memchr(known, (int)id, sizeof known);

		assert_int_equal(field_of_property(id, false) != NULL, is);
		assert_int_equal(field_of_property(id, true) != NULL, is);
		if (is)
			assert_int_equal(field_of_property(id, false)->property, id);
	}
}

static void packets_by_name(void **state)
{
	(void)state;
	for (unsigned type = 1; type < N_PACKET_TYPES; type++)
		assert_int_equal(packet_type_named(span_text(packet_name(type))), type);
	assert_int_equal(packet_type_named(span_text("publish")), 0);
	assert_int_equal(packet_type_named(span_text("PUBLIS")), 0);
	assert_string_equal(packet_name(0), "packet type 0");
}

/* ---- values ---- */

static void values_of_a_packet(void **state)
{
	static const uint8_t properties[] = { 0x26, 0, 1, 'k', 0, 1, 'v', 0x0b, 0x07, 0x26, 0, 0, 0, 0 }, list[] = { 0, 1, 'a', 2, 0, 0, 0x2d };
	struct packet p = { .version = MQTT_5, .type = SUBSCRIBE, .flags = 2, .packet_id = 9,
	                    .properties = { properties, sizeof properties }, .list = { list, sizeof list } };
	struct value v;

	(void)state;
	assert_true(packet_get(&p, named(SUBSCRIBE, "packet_id"), 0, &v) && v.kind == VALUE_NUMBER && v.number == 9);
	assert_false(packet_get(&p, named(SUBSCRIBE, "packet_id"), 1, &v));
	assert_true(packet_get(&p, named(SUBSCRIBE, "user_property"), 0, &v) && v.kind == VALUE_PAIR && span_is(v.bytes, "k") && span_is(v.second, "v"));
	assert_true(packet_get(&p, named(SUBSCRIBE, "user_property"), 1, &v) && !v.bytes.len && !v.second.len);
	assert_false(packet_get(&p, named(SUBSCRIBE, "user_property"), 2, &v));
	assert_true(packet_get(&p, named(SUBSCRIBE, "subscription_identifier"), 0, &v) && v.number == 7);
	assert_false(packet_get(&p, named(SUBSCRIBE, "reason_string"), 0, &v));
	assert_true(packet_get(&p, named(SUBSCRIBE, "filters"), 1, &v) && v.kind == VALUE_FILTER && !v.bytes.len && v.number == 0x2d);
	assert_false(packet_get(&p, named(SUBSCRIBE, "filters"), 2, &v));
	assert_int_equal(property_number(p.properties, PROP_subscription_identifier, 1), 7);
	assert_int_equal(property_number(p.properties, PROP_topic_alias, 3), 3);
	assert_int_equal(property_number(p.properties, PROP_user_property, 3), 3);

	p = (struct packet){ .version = MQTT_5, .type = PUBLISH, .flags = 0xd };
	assert_true(packet_get(&p, named(PUBLISH, "qos"), 0, &v) && v.number == 2);
	assert_true(packet_get(&p, named(PUBLISH, "dup"), 0, &v) && v.number == 1);
	assert_true(packet_get(&p, named(PUBLISH, "packet_id"), 0, &v) && v.number == 0);
	p.flags = 1;
	assert_false(packet_get(&p, named(PUBLISH, "packet_id"), 0, &v));
	p = (struct packet){ .version = MQTT_5, .type = PUBACK };
	assert_false(packet_get(&p, named(PUBACK, "reason"), 0, &v));
	p.written = WRITTEN_REASON;
	assert_true(packet_get(&p, named(PUBACK, "reason"), 0, &v) && v.number == 0);
	p = (struct packet){ .version = MQTT_5, .type = CONNECT };
	assert_false(packet_get(&p, named(CONNECT, "user_name"), 0, &v));
	assert_false(packet_get(&p, named(CONNECT, "will.topic"), 0, &v));
}

/* A list that ends within a property is walked to there, and no further. */
static void walks_stop(void **state)
{
	static const uint8_t bytes[] = { 0x01, 1, 0x23, 0, 5, 0x26, 0, 1, 'k', 0, 1, 'v' };

	(void)state;
	for (size_t len = 0; len <= sizeof bytes; len++) {
		struct property_walk walk = properties_of(span_of(bytes, len));
		struct property p;
		unsigned n = 0;

		while (property_next(&walk, &p))
			n++;
		assert_int_equal(n, len == 12 ? 3 : len >= 5 ? 2 : len >= 2 ? 1 : 0);
	}
}

static void written_is_read(void **state)
{
	(void)state;
	for (unsigned id = 1; id <= PROPERTY_ID_MAX; id++) {
		const struct field *f = field_of_property(id, false);
		struct value v = { .kind = VALUE_NUMBER, .number = 1 }, found;
		uint8_t room[64];
		struct writer w = writer_to(room, sizeof room);

		if (!f)
			continue;
		if (f->kind == STR || f->kind == BIN)
			v = (struct value){ .kind = VALUE_BYTES, .bytes = span_text("xyz") };
		else if (f->kind == PAIR)
			v = (struct value){ .kind = VALUE_PAIR, .bytes = span_text("xyz"), .second = span_text("") };
		property_write(&w, id, &v);
		assert_true(property_find(wr_span(&w), id, &found));
		assert_true(found.kind == v.kind && found.number == v.number && span_equal(found.bytes, v.bytes) && span_equal(found.second, v.second));
	}
}

/* ---- reason codes ---- */

static const struct reason {
	enum packet_type type;
	enum version version;
	int code;
	const char *name;
	unsigned by;		/* who may send it */
} reasons[] = {
	{ CONNACK, 3, 5, "Not_authorized", FROM_SERVER }, { CONNACK, 4, 5, "Not_authorized", FROM_SERVER }, { CONNACK, 5, 0x87, "Not_authorized", FROM_SERVER },
	{ CONNACK, 4, 1, "Unsupported_Protocol_Version", FROM_SERVER }, { CONNACK, 5, 0x84, "Unsupported_Protocol_Version", FROM_SERVER },
	{ SUBACK, 4, 2, "Granted_QoS_2", FROM_SERVER }, { SUBACK, 4, 0x80, "Unspecified_error", FROM_SERVER }, { SUBACK, 3, 0x80, "Unspecified_error", 0 },
	{ SUBACK, 5, 0, "Granted_QoS_0", FROM_SERVER }, { UNSUBACK, 5, 0x11, "No_subscription_existed", FROM_SERVER },
	{ PUBACK, 5, 0x10, "No_matching_subscribers", FROM_SERVER }, { PUBACK, 5, 0, "Success", FROM_EITHER },
	{ PUBREL, 5, 0x92, "Packet_Identifier_not_found", FROM_EITHER }, { DISCONNECT, 5, 0, "Normal_disconnection", FROM_EITHER },
	{ DISCONNECT, 5, 4, "Disconnect_with_Will_Message", FROM_CLIENT }, { DISCONNECT, 5, 0x8e, "Session_taken_over", FROM_SERVER },
	{ DISCONNECT, 5, 0x8c, "Bad_authentication_method", FROM_SERVER },		/* in one table of the standard, not in the other */
	{ AUTH, 5, 0, "Success", FROM_SERVER }, { AUTH, 5, 0x19, "Re_authenticate", FROM_CLIENT }, { AUTH, 5, 0x18, "Continue_authentication", FROM_EITHER },
};

static void reason_is_known(void **state)
{
	const struct reason *r = *state;

	assert_string_equal(reason_name(r->type, r->version, (unsigned)r->code), r->name);
	assert_int_equal(reason_code(r->type, r->version, span_text(r->name)), r->code);
	assert_int_equal(reason_listed(r->type, r->version, (unsigned)r->code, FROM_SERVER), (r->by & FROM_SERVER) != 0);
	if (r->type != CONNACK && r->type != SUBACK && r->type != UNSUBACK)	/* which a client sends with no code at all */
		assert_int_equal(reason_listed(r->type, r->version, (unsigned)r->code, FROM_CLIENT), (r->by & FROM_CLIENT) != 0);
}

static void reasons_that_are_none(void **state)
{
	(void)state;
	assert_int_equal(reason_code(AUTH, MQTT_5, span_text("Re-authenticate")), 0x19);
	assert_int_equal(reason_code(SUBACK, MQTT_5, span_text("Success")), 0);
	assert_int_equal(reason_code(DISCONNECT, MQTT_5, span_text("Success")), 0);
	assert_int_equal(reason_code(CONNACK, MQTT_5, span_text("Session_taken_over")), -1);
	assert_int_equal(reason_code(CONNACK, MQTT_3_1_1, span_text("Banned")), -1);
	assert_int_equal(reason_code(CONNACK, MQTT_5, span_text("not_authorized")), -1);
	assert_int_equal(reason_code(CONNACK, MQTT_5, span_text("Not_authorize")), -1);
	assert_int_equal(reason_code(CONNACK, MQTT_5, span_text("")), -1);
	assert_int_equal(reason_code(PUBLISH, MQTT_5, span_text("Success")), -1);
	assert_null(reason_name(CONNACK, MQTT_3_1_1, 6));
	assert_null(reason_name(PUBACK, MQTT_5, 1));
}

/* ---- rules ---- */

static void rules_are_named(void **state)
{
	(void)state;
	for (unsigned rule = 0; rule < N_RULES; rule++) {
		assert_true(rule_id(rule, MQTT_3_1) && rule_id(rule, MQTT_3_1_1) && rule_id(rule, MQTT_5));
		assert_true(strlen(rule_asks(rule)) > 10);
	}
}

static void rule_is_written(enum rule rule, enum version version, const char *text)
{
	uint8_t room[64];
	struct writer w = writer_to(room, sizeof room);

	finding_rule(&(struct finding){ .rule = rule, .version = version }, &w);
	assert_true(span_is(wr_span(&w), text));
}

static void rules_are_written(void **state)
{
	(void)state;
	rule_is_written(RULE_RESERVED_FLAGS, MQTT_5, "5:MQTT-2.1.3-1");
	rule_is_written(RULE_RESERVED_FLAGS, MQTT_3_1_1, "3.1.1:MQTT-2.2.2-1");
	rule_is_written(RULE_QOS_3, MQTT_3_1, "3.1.1:MQTT-3.3.1-4");
	rule_is_written(RULE_TRUNCATED, MQTT_3_1, "3.1.1:truncated");
	rule_is_written(RULE_CLIENT_ID_LENGTH_3_1, MQTT_3_1, "3.1:client-id-length");
	rule_is_written(RULE_PROPERTY_REPEATED, MQTT_5, "5:property-repeated");
}

#define N(rows) (sizeof(rows) / sizeof *(rows))

int main(void)
{
	static struct CMUnitTest tests[N(reasons) + 10] = {
		cmocka_unit_test(listed_is_found), cmocka_unit_test(names_of_their_packets), cmocka_unit_test(property_identifiers),
		cmocka_unit_test(packets_by_name), cmocka_unit_test(values_of_a_packet), cmocka_unit_test(walks_stop), cmocka_unit_test(written_is_read),
		cmocka_unit_test(reasons_that_are_none), cmocka_unit_test(rules_are_named), cmocka_unit_test(rules_are_written),
	};
	static char names[N(reasons)][64];

	for (size_t i = 0; i < N(reasons); i++) {
		snprintf(names[i], sizeof names[i], "%s %s", packet_name(reasons[i].type), reasons[i].name);
		tests[10 + i] = (struct CMUnitTest){ .name = names[i], .test_func = reason_is_known, .initial_state = (void *)&reasons[i] };
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
