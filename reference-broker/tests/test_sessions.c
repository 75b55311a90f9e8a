#include "reference-broker/tests/driver.h"

static struct world w;
static struct client a, b, c;

static int open_world(void **state)
{
	(void)state;
	world_open(&w);
	world_start(&w);
	return 0;
}

static int close_world(void **state)
{
	(void)state;
	world_close(&w);
	return 0;
}

/* ---- CONNECT ---- */

static void first_packet_is_connect(void **state)
{
	static const uint8_t ping[] = { 0xc0, 0x00 };

	(void)state;
	client_open(&w, &a, MQTT_3_1_1);
	send_bytes(&a, ping, sizeof(ping));
	expect_closed(&a);
	expect_nothing(&a);
}

static void other_levels_are_refused(void **state)
{
	static const uint8_t level6[] = { 0x10, 0x0c, 0, 4, 'M', 'Q', 'T', 'T', 6, 2, 0, 0, 0, 0 };
	static const uint8_t name[] = { 0x10, 0x0c, 0, 4, 'm', 'q', 't', 't', 4, 2, 0, 0, 0, 0 };

	(void)state;
	client_open(&w, &a, MQTT_3_1_1);
	send_bytes(&a, level6, sizeof(level6));
	assert_int_equal(expect(&a, CONNACK).reason, 1);
	expect_closed(&a);
	client_open(&w, &b, MQTT_3_1_1);
	send_bytes(&b, name, sizeof(name));
	expect_nothing(&b);
	expect_closed(&b);
}

static void connect_in_pieces(void **state)
{
	static const uint8_t bytes[] = { 0x10, 0x0d, 0, 4, 'M', 'Q', 'T', 'T', 4, 2, 0, 0, 0, 1, 'x', 0xc0, 0x00 };

	(void)state;
	client_open(&w, &a, MQTT_3_1_1);
	for (size_t i = 0; i < sizeof(bytes); i++)
		send_bytes(&a, bytes + i, 1);
	expect(&a, CONNACK);
	expect(&a, PINGRESP);
	expect_nothing(&a);
}

static void empty_ids(void **state)
{
	struct packet p, q;
	struct value id, other;

	(void)state;
	p = connects(&w, &a, MQTT_5, (struct terms){ 0 });
	q = connects(&w, &b, MQTT_5, (struct terms){ 0 });
	assert_true(property_find(p.properties, PROP_assigned_client_identifier, &id));
	assert_true(property_find(q.properties, PROP_assigned_client_identifier, &other));
	assert_false(span_equal(id.bytes, other.bytes));
	client_open(&w, &c, MQTT_3_1_1);
	send_connect(&c, (struct terms){ .resume = true });
	assert_int_equal(expect(&c, CONNACK).reason, 2);
	expect_closed(&c);
}

static void unknown_method_is_refused(void **state)
{
	uint8_t room[32];
	struct writer props = writer_to(room, sizeof(room));
	struct packet p = { .type = CONNECT, .protocol_version = 5, .protocol_name = span_text("MQTT"), .connect_flags = 2 };

	(void)state;
	property_write_bytes(&props, PROP_authentication_method, span_text("none"));
	p.properties = wr_span(&props);
	client_open(&w, &a, MQTT_5);
	send_packet(&a, &p);
	assert_int_equal(expect(&a, CONNACK).reason, 0x8c);
	expect_closed(&a);
}

static void second_connect_ends_it(void **state)
{
	(void)state;
	connects(&w, &a, MQTT_5, (struct terms){ .id = "a" });
	send_connect(&a, (struct terms){ .id = "a" });
	assert_int_equal(expect(&a, DISCONNECT).reason, 0x82);
	expect_closed(&a);
}

static void silent_connection_is_closed(void **state)
{
	(void)state;
	client_open(&w, &a, MQTT_5);
	pass(&w, w.config.connect_timeout_ns - S);
	assert_false(link_closing(a.link));
	pass(&w, 2 * S);
	expect_closed(&a);
}

/* ---- sessions ---- */

static void session_is_resumed(void **state)
{
	(void)state;
	assert_int_equal(connects(&w, &a, MQTT_3_1_1, (struct terms){ .id = "s", .resume = true }).ack_flags, 0);
	subscribes(&a, "t/+", 1);
	client_drop(&a);
	connects(&w, &b, MQTT_3_1_1, (struct terms){ .id = "p" });
	publish(&b, "t/1", "m1", 1, 1);
	expect(&b, PUBACK);
	publish(&b, "t/1", "m0", 0, 0);
	assert_int_equal(connects(&w, &a, MQTT_3_1_1, (struct terms){ .id = "s", .resume = true }).ack_flags, 1);
	expect_message(&a, "m1", 1);
	expect_nothing(&a);
}

static void clean_start_forgets(void **state)
{
	(void)state;
	connects(&w, &a, MQTT_5, (struct terms){ .id = "s", .expiry = 60 });
	subscribes(&a, "t", 1);
	client_drop(&a);
	assert_int_equal(connects(&w, &a, MQTT_5, (struct terms){ .id = "s", .expiry = 60 }).ack_flags, 0);
	connects(&w, &b, MQTT_5, (struct terms){ .id = "p" });
	publish(&b, "t", "m", 1, 1);
	assert_int_equal(expect(&b, PUBACK).reason, 0x10);
	expect_nothing(&a);
}

static void session_expires(void **state)
{
	(void)state;
	connects(&w, &a, MQTT_5, (struct terms){ .id = "s", .expiry = 2 });
	client_drop(&a);
	pass(&w, S);
	assert_int_equal(connects(&w, &a, MQTT_5, (struct terms){ .id = "s", .expiry = 2, .resume = true }).ack_flags, 1);
	pass(&w, 10 * S);
	client_drop(&a);
	pass(&w, 2 * S);
	assert_int_equal(connects(&w, &a, MQTT_5, (struct terms){ .id = "s", .resume = true }).ack_flags, 0);
	client_drop(&a);		/* no interval: gone at once */
	assert_int_equal(connects(&w, &a, MQTT_5, (struct terms){ .id = "s", .resume = true }).ack_flags, 0);
}

static void disconnect_changes_expiry(void **state)
{
	uint8_t room[8];
	struct writer props = writer_to(room, sizeof(room));
	struct packet p = { .type = DISCONNECT, .written = WRITTEN_REASON | WRITTEN_PROPERTIES };

	(void)state;
	property_write_number(&props, PROP_session_expiry_interval, 5);
	p.properties = wr_span(&props);
	connects(&w, &a, MQTT_5, (struct terms){ .id = "s", .expiry = 60 });
	send_packet(&a, &p);
	expect_closed(&a);
	pass(&w, 6 * S);
	assert_int_equal(connects(&w, &a, MQTT_5, (struct terms){ .id = "s", .resume = true }).ack_flags, 0);
	send_packet(&a, &p);		/* from 0 it may not be raised */
	assert_int_equal(expect(&a, DISCONNECT).reason, 0x82);
}

static void expiry_is_cut_down(void **state)
{
	struct packet p;

	(void)state;
	world_close(&w);
	w.config.session_expiry_maximum = 3;
	world_start(&w);
	p = connects(&w, &a, MQTT_5, (struct terms){ .id = "s", .expiry = 60 });
	assert_int_equal(property_number(p.properties, PROP_session_expiry_interval, 0), 3);
	client_drop(&a);
	pass(&w, 4 * S);
	assert_int_equal(connects(&w, &a, MQTT_5, (struct terms){ .id = "s", .resume = true }).ack_flags, 0);
}

static void takeover(void **state)
{
	(void)state;
	connects(&w, &a, MQTT_5, (struct terms){ .id = "s", .expiry = 60 });
	assert_int_equal(connects(&w, &b, MQTT_5, (struct terms){ .id = "s", .expiry = 60, .resume = true }).ack_flags, 1);
	assert_int_equal(expect(&a, DISCONNECT).reason, 0x8e);
	expect_closed(&a);
	/* a session without expiry ends with its connection */
	connects(&w, &a, MQTT_5, (struct terms){ .id = "t" });
	assert_int_equal(connects(&w, &c, MQTT_5, (struct terms){ .id = "t", .resume = true }).ack_flags, 0);
}

/* ---- wills ---- */

static void watch(void)
{
	connects(&w, &c, MQTT_5, (struct terms){ .id = "watch" });
	subscribes(&c, "will/#", 2);
}

static void will_at_loss_not_at_disconnect(void **state)
{
	(void)state;
	watch();
	connects(&w, &a, MQTT_3_1_1, (struct terms){ .id = "a", .will = "will/a", .will_qos = 1 });
	client_drop(&a);
	expect_message(&c, "w", 1);
	connects(&w, &a, MQTT_3_1_1, (struct terms){ .id = "a", .will = "will/a", .will_qos = 1 });
	disconnects(&a, 0);
	expect_closed(&a);
	connects(&w, &a, MQTT_5, (struct terms){ .id = "a", .will = "will/a" });
	disconnects(&a, 0);
	expect_nothing(&c);
	connects(&w, &a, MQTT_5, (struct terms){ .id = "a", .will = "will/a" });
	disconnects(&a, 4);
	expect_message(&c, "w", 0);
}

static void will_waits_for_its_delay(void **state)
{
	(void)state;
	watch();
	connects(&w, &a, MQTT_5, (struct terms){ .id = "a", .expiry = 60, .will = "will/a", .will_delay = 3 });
	client_drop(&a);
	pass(&w, 2 * S);
	expect_nothing(&c);
	pass(&w, 2 * S);
	expect_message(&c, "w", 0);
	/* back in time */
	connects(&w, &a, MQTT_5, (struct terms){ .id = "a", .expiry = 60, .will = "will/a", .will_delay = 3 });
	client_drop(&a);
	pass(&w, S);
	connects(&w, &a, MQTT_5, (struct terms){ .id = "a", .expiry = 60, .resume = true });
	pass(&w, 10 * S);
	expect_nothing(&c);
}

static void will_goes_when_the_session_ends(void **state)
{
	(void)state;
	watch();
	connects(&w, &a, MQTT_5, (struct terms){ .id = "a", .expiry = 2, .will = "will/a", .will_delay = 30 });
	client_drop(&a);
	pass(&w, S);
	expect_nothing(&c);
	pass(&w, S);
	expect_message(&c, "w", 0);
	connects(&w, &a, MQTT_5, (struct terms){ .id = "b", .will = "will/b", .will_delay = 30 });
	client_drop(&a);
	expect_message(&c, "w", 0);
	connects(&w, &a, MQTT_5, (struct terms){ .id = "c", .expiry = 60, .will = "will/c", .will_delay = 30 });
	client_drop(&a);
	connects(&w, &a, MQTT_5, (struct terms){ .id = "c" });		/* started afresh */
	expect_message(&c, "w", 0);
}

static void will_at_takeover(void **state)
{
	(void)state;
	watch();
	connects(&w, &a, MQTT_3_1_1, (struct terms){ .id = "a", .will = "will/a", .resume = true });
	connects(&w, &b, MQTT_3_1_1, (struct terms){ .id = "a", .resume = true });
	expect_message(&c, "w", 0);
	expect_closed(&a);
	connects(&w, &a, MQTT_5, (struct terms){ .id = "b", .expiry = 60, .will = "will/a", .will_delay = 5 });
	connects(&w, &b, MQTT_5, (struct terms){ .id = "b", .expiry = 60, .resume = true });
	pass(&w, 9 * S);
	expect_nothing(&c);
}

static void will_is_retained(void **state)
{
	(void)state;
	connects(&w, &a, MQTT_3_1_1, (struct terms){ .id = "a", .will = "will/a", .will_retain = true });
	client_drop(&a);
	watch();
	assert_int_equal(expect_message(&c, "w", 0).flags & PUBLISH_RETAIN, PUBLISH_RETAIN);
}

/* ---- keep alive ---- */

static void keep_alive(void **state)
{
	static const uint8_t ping[] = { 0xc0, 0x00 };

	(void)state;
	watch();
	connects(&w, &a, MQTT_5, (struct terms){ .id = "a", .keep_alive = 2, .will = "will/a" });
	for (int i = 0; i < 5; i++) {
		pass(&w, 2 * S);
		send_bytes(&a, ping, 2);
		expect(&a, PINGRESP);
	}
	pass(&w, 2900000000);
	assert_false(link_closing(a.link));
	pass(&w, 100000000);
	assert_int_equal(expect(&a, DISCONNECT).reason, 0x8d);
	expect_closed(&a);
	expect_message(&c, "w", 0);
}

static void server_keep_alive(void **state)
{
	struct packet p;

	(void)state;
	world_close(&w);
	w.config.server_keep_alive = 4;
	world_start(&w);
	p = connects(&w, &a, MQTT_5, (struct terms){ .id = "a", .keep_alive = 100 });
	assert_int_equal(property_number(p.properties, PROP_server_keep_alive, 0), 4);
	pass(&w, 6 * S);
	expect(&a, DISCONNECT);
}

static void shutdown_says_goodbye(void **state)
{
	(void)state;
	connects(&w, &a, MQTT_5, (struct terms){ .id = "a" });
	connects(&w, &b, MQTT_3_1_1, (struct terms){ .id = "b" });
	broker_shutdown(w.broker, w.now_ns);
	settle(&w);
	assert_int_equal(expect(&a, DISCONNECT).reason, 0x8b);
	expect_closed(&a);
	expect_nothing(&b);
	expect_closed(&b);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, open_world, close_world)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(first_packet_is_connect), TEST(other_levels_are_refused), TEST(connect_in_pieces), TEST(empty_ids),
		TEST(unknown_method_is_refused), TEST(second_connect_ends_it), TEST(silent_connection_is_closed),
		TEST(session_is_resumed), TEST(clean_start_forgets), TEST(session_expires), TEST(disconnect_changes_expiry),
		TEST(expiry_is_cut_down), TEST(takeover), TEST(will_at_loss_not_at_disconnect), TEST(will_waits_for_its_delay),
		TEST(will_goes_when_the_session_ends), TEST(will_at_takeover), TEST(will_is_retained), TEST(keep_alive),
		TEST(server_keep_alive), TEST(shutdown_says_goodbye),
	};

	return cmocka_run_group_tests_name("reference-broker sessions", tests, NULL, NULL);
}
