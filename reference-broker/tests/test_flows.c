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

static void restart(void)
{
	world_close(&w);
	world_start(&w);
}

/* ---- from publishers ---- */

static void answers_follow_the_qos(void **state)
{
	static const uint16_t ids[] = { 1, 255, 256, 65535 };

	(void)state;
	connects(&w, &a, MQTT_3_1_1, (struct terms){ .id = "a" });
	publish(&a, "t", "0", 0, 0);
	expect_nothing(&a);
	for (size_t i = 0; i < sizeof(ids) / sizeof(*ids); i++) {
		publish(&a, "t", "1", 1, ids[i]);
		assert_int_equal(expect(&a, PUBACK).packet_id, ids[i]);
		publish(&a, "t", "2", 2, ids[i]);
		assert_int_equal(expect(&a, PUBREC).packet_id, ids[i]);
		acks(&a, PUBREL, ids[i]);
		assert_int_equal(expect(&a, PUBCOMP).packet_id, ids[i]);
	}
}

static void qos2_is_delivered_once(void **state)
{
	(void)state;
	connects(&w, &b, MQTT_5, (struct terms){ .id = "b" });
	subscribes(&b, "t", 2);
	connects(&w, &a, MQTT_5, (struct terms){ .id = "a", .expiry = 60 });
	publish(&a, "t", "m", 2, 9);
	expect(&a, PUBREC);
	publish_as(&a, (struct post){ .topic = "t", .payload = "m", .qos = 2, .id = 9, .dup = true });
	assert_int_equal(expect(&a, PUBREC).reason, 0);
	client_drop(&a);
	connects(&w, &a, MQTT_5, (struct terms){ .id = "a", .expiry = 60, .resume = true });
	publish_as(&a, (struct post){ .topic = "t", .payload = "m", .qos = 2, .id = 9, .dup = true });
	expect(&a, PUBREC);
	acks(&a, PUBREL, 9);
	assert_int_equal(expect(&a, PUBCOMP).reason, 0);
	acks(&a, PUBREL, 9);
	assert_int_equal(expect(&a, PUBCOMP).reason, 0x92);
	expect_message(&b, "m", 2);
	expect_nothing(&b);
	publish_as(&a, (struct post){ .topic = "t", .payload = "again", .qos = 2, .id = 9, .dup = true });
	expect(&a, PUBREC);
	assert_false(expect_message(&b, "again", 2).flags & PUBLISH_DUP);
}

static void qos1_id_is_free_again(void **state)
{
	(void)state;
	connects(&w, &a, MQTT_3_1_1, (struct terms){ .id = "a" });
	subscribes(&a, "t", 0);
	publish(&a, "t", "1", 1, 5);
	publish_as(&a, (struct post){ .topic = "t", .payload = "2", .qos = 1, .id = 5, .dup = true });
	expect_message(&a, "1", 0);
	expect(&a, PUBACK);
	expect_message(&a, "2", 0);
	expect(&a, PUBACK);
}

static void receive_maximum_is_enforced(void **state)
{
	struct packet p;

	(void)state;
	w.config.receive_maximum = 2;
	restart();
	p = connects(&w, &a, MQTT_5, (struct terms){ .id = "a" });
	assert_int_equal(property_number(p.properties, PROP_receive_maximum, 0), 2);
	publish(&a, "t", "1", 2, 1);
	publish(&a, "t", "2", 2, 2);
	publish_as(&a, (struct post){ .topic = "t", .payload = "2", .qos = 2, .id = 2, .dup = true });
	for (int i = 0; i < 3; i++)
		expect(&a, PUBREC);
	acks(&a, PUBREL, 1);
	expect(&a, PUBCOMP);
	publish(&a, "t", "3", 2, 3);
	expect(&a, PUBREC);
	publish(&a, "t", "4", 1, 4);
	assert_int_equal(expect(&a, DISCONNECT).reason, 0x93);
}

static void aliases(void **state)
{
	uint8_t room[8];
	struct writer props = writer_to(room, sizeof(room));

	(void)state;
	w.config.topic_alias_maximum = 2;
	restart();
	property_write_number(&props, PROP_topic_alias, 2);
	connects(&w, &a, MQTT_5, (struct terms){ .id = "a" });
	subscribes(&a, "#", 0);
	publish_as(&a, (struct post){ .topic = "t", .payload = "1", .properties = wr_span(&props) });
	publish_as(&a, (struct post){ .topic = "", .payload = "2", .properties = wr_span(&props) });
	publish_as(&a, (struct post){ .topic = "u", .payload = "3", .properties = wr_span(&props) });
	publish_as(&a, (struct post){ .topic = "", .payload = "4", .properties = wr_span(&props) });
	assert_true(span_is(expect_message(&a, "1", 0).topic, "t"));
	assert_true(span_is(expect_message(&a, "2", 0).topic, "t"));
	assert_true(span_is(expect_message(&a, "3", 0).topic, "u"));
	assert_true(span_is(expect_message(&a, "4", 0).topic, "u"));
	connects(&w, &a, MQTT_5, (struct terms){ .id = "b" });		/* a connection of its own */
	publish_as(&a, (struct post){ .topic = "", .payload = "5", .properties = wr_span(&props) });
	assert_int_equal(expect(&a, DISCONNECT).reason, 0x82);
	props.len = 0;
	property_write_number(&props, PROP_topic_alias, 3);
	connects(&w, &a, MQTT_5, (struct terms){ .id = "c" });
	publish_as(&a, (struct post){ .topic = "t", .payload = "6", .properties = wr_span(&props) });
	assert_int_equal(expect(&a, DISCONNECT).reason, 0x94);
}

/* ---- to subscribers ---- */

static void open_flows_are_resumed(void **state)
{
	struct packet p0, p1, p2;

	(void)state;
	connects(&w, &a, MQTT_3_1_1, (struct terms){ .id = "s", .resume = true });
	subscribes(&a, "t/#", 2);
	connects(&w, &b, MQTT_3_1_1, (struct terms){ .id = "p" });
	publish(&b, "t/1", "0", 1, 1);
	publish(&b, "t/1", "1", 2, 2);
	publish(&b, "t/2", "2", 2, 3);
	p0 = expect_message(&a, "0", 1);
	p1 = expect_message(&a, "1", 2);
	p2 = expect_message(&a, "2", 2);
	assert_false(p0.flags & PUBLISH_DUP);
	acks(&a, PUBREC, p2.packet_id);
	expect(&a, PUBREL);
	client_drop(&a);
	publish(&b, "t/1", "3", 1, 4);
	connects(&w, &a, MQTT_3_1_1, (struct terms){ .id = "s", .resume = true });
	assert_int_equal(expect(&a, PUBREL).packet_id, p2.packet_id);
	for (unsigned i = 0; i < 2; i++) {
		struct packet again = expect_message(&a, i ? "1" : "0", i + 1);

		assert_true(again.flags & PUBLISH_DUP);
		assert_int_equal(again.packet_id, i ? p1.packet_id : p0.packet_id);
	}
	assert_false(expect_message(&a, "3", 1).flags & PUBLISH_DUP);
	acks(&a, PUBCOMP, p2.packet_id);
	acks(&a, PUBACK, p0.packet_id);
	acks(&a, PUBREC, p1.packet_id);
	expect(&a, PUBREL);
	acks(&a, PUBCOMP, p1.packet_id);
	client_drop(&a);
	connects(&w, &a, MQTT_3_1_1, (struct terms){ .id = "s", .resume = true });
	assert_true(expect_message(&a, "3", 1).flags & PUBLISH_DUP);
	expect_nothing(&a);
}

static void window_is_kept(void **state)
{
	static const uint8_t ping[] = { 0xc0, 0x00 };
	uint16_t ids[2];

	(void)state;
	connects(&w, &a, MQTT_5, (struct terms){ .id = "s", .receive_maximum = 2, .expiry = 60 });
	subscribes(&a, "t", 2);
	connects(&w, &b, MQTT_5, (struct terms){ .id = "p" });
	for (unsigned i = 0; i < 5; i++)
		publish(&b, "t", (const char *[]){ "0", "1", "2", "3", "4" }[i], 2, i + 1);
	ids[0] = expect_message(&a, "0", 2).packet_id;
	ids[1] = expect_message(&a, "1", 2).packet_id;
	expect_nothing(&a);
	send_bytes(&a, ping, 2);
	expect(&a, PINGRESP);
	acks(&a, PUBREC, ids[0]);
	expect(&a, PUBREL);
	expect_nothing(&a);		/* a place is free at PUBCOMP */
	acks(&a, PUBCOMP, ids[0]);
	ids[0] = expect_message(&a, "2", 2).packet_id;
	client_drop(&a);
	connects(&w, &a, MQTT_5, (struct terms){ .id = "s", .receive_maximum = 1, .expiry = 60, .resume = true });
	expect_message(&a, "1", 2);
	expect_nothing(&a);
	{
		struct packet refused = { .type = PUBREC, .packet_id = ids[1], .reason = 0x80, .written = WRITTEN_REASON };

		send_packet(&a, &refused);	/* frees the place, and no PUBREL follows */
	}
	expect_message(&a, "2", 2);
	expect_nothing(&a);
}

static void ids_in_use_do_not_recur(void **state)
{
	uint16_t held, id = 0;

	(void)state;
	connects(&w, &a, MQTT_3_1_1, (struct terms){ .id = "s" });
	subscribes(&a, "t", 1);
	connects(&w, &b, MQTT_3_1_1, (struct terms){ .id = "p" });
	publish(&b, "t", "m", 1, 1);
	held = expect_message(&a, "m", 1).packet_id;
	for (int i = 0; i < 70000; i++) {
		b.taken = b.len = 0;
		publish(&b, "t", "m", 1, 1);
		id = expect_message(&a, "m", 1).packet_id;
		assert_true(id && id != held);
		acks(&a, PUBACK, id);
	}
}

static void deliveries_use_aliases(void **state)
{
	char topic[16];
	struct packet p;

	(void)state;
	connects(&w, &a, MQTT_5, (struct terms){ .id = "s", .alias_maximum = 2 });
	subscribes(&a, "#", 0);
	connects(&w, &b, MQTT_3_1_1, (struct terms){ .id = "p" });
	for (unsigned i = 0; i < 6; i++) {
		snprintf(topic, sizeof(topic), "topic/%u", i % 3);
		publish(&b, topic, "m", 0, 0);
		p = expect_message(&a, "m", 0);
		assert_int_equal(property_number(p.properties, PROP_topic_alias, 0), i % 3 == 2 ? 0 : i % 3 + 1);
		assert_int_equal(p.topic.len, i % 3 == 2 || i < 3 ? 7 : 0);
	}
	publish(&b, "t", "m", 0, 0);		/* shorter than an alias */
	assert_int_equal(expect_message(&a, "m", 0).topic.len, 1);
}

static void wrong_answers_end_it(void **state)
{
	uint16_t id;

	(void)state;
	connects(&w, &a, MQTT_5, (struct terms){ .id = "s" });
	subscribes(&a, "t", 2);
	acks(&a, PUBACK, 77);		/* nothing known: no violation */
	acks(&a, PUBCOMP, 77);
	acks(&a, PUBREC, 77);
	assert_int_equal(expect(&a, PUBREL).reason, 0x92);
	publish(&a, "t", "m", 2, 1);
	id = expect_message(&a, "m", 2).packet_id;
	expect(&a, PUBREC);
	acks(&a, PUBACK, id);
	assert_int_equal(expect(&a, DISCONNECT).reason, 0x82);
	expect_closed(&a);
}

/* ---- who gets what ---- */

static void overlapping_subscriptions_make_one_copy(void **state)
{
	uint8_t room[8];
	struct writer props = writer_to(room, sizeof(room));
	struct packet p = { .type = SUBSCRIBE, .packet_id = 1 };
	struct property_walk walk;
	struct property q;
	uint64_t sum = 0;

	(void)state;
	connects(&w, &a, MQTT_5, (struct terms){ .id = "s" });
	property_write_number(&props, PROP_subscription_identifier, 1);
	p.properties = wr_span(&props);
	p.list = span_of("\0\3a/#\0\0\3a/b\1", 12);
	send_packet(&a, &p);
	props.len = 0;
	property_write_number(&props, PROP_subscription_identifier, 300);
	p.properties = wr_span(&props);
	p.list = span_of("\0\3a/+\2", 6);
	send_packet(&a, &p);
	expect(&a, SUBACK);
	expect(&a, SUBACK);
	publish(&a, "a/b", "m", 2, 1);
	p = expect_message(&a, "m", 2);
	for (walk = properties_of(p.properties); property_next(&walk, &q);)
		sum += q.value.number;
	assert_int_equal(sum, 302);
	expect(&a, PUBREC);
	expect_nothing(&a);
}

static void no_local_and_retain_as_published(void **state)
{
	(void)state;
	connects(&w, &a, MQTT_5, (struct terms){ .id = "a" });
	subscribes(&a, "t", 1 | SUBSCRIBE_NO_LOCAL | SUBSCRIBE_RETAIN_AS_PUBLISHED);
	connects(&w, &b, MQTT_5, (struct terms){ .id = "b" });
	publish(&a, "t", "mine", 0, 0);
	publish_as(&b, (struct post){ .topic = "t", .payload = "r", .retain = true });
	publish(&b, "t", "p", 0, 0);
	assert_true(expect_message(&a, "r", 0).flags & PUBLISH_RETAIN);
	assert_false(expect_message(&a, "p", 0).flags & PUBLISH_RETAIN);
}

static void dollar_topics_hide_from_wildcards(void **state)
{
	(void)state;
	connects(&w, &a, MQTT_3_1_1, (struct terms){ .id = "a" });
	subscribes(&a, "#", 0);
	subscribes(&a, "+/x", 0);
	publish_as(&a, (struct post){ .topic = "$t/x", .payload = "no", .retain = true });
	subscribes(&a, "#", 0);
	expect_nothing(&a);
	subscribes(&a, "$t/#", 0);
	expect_message(&a, "no", 0);
}

static void unsubscribing(void **state)
{
	struct packet p = { .type = UNSUBSCRIBE, .packet_id = 65535 }, ack;

	(void)state;
	connects(&w, &a, MQTT_5, (struct terms){ .id = "a" });
	subscribes(&a, "a/+", 0);
	subscribes(&a, "a/b", 0);
	p.list = span_of("\0\3a/#\0\3a/+\0\1x", 13);
	send_packet(&a, &p);
	ack = expect(&a, UNSUBACK);
	assert_int_equal(ack.packet_id, 65535);
	assert_true(span_equal(ack.list, span_of("\x11\x00\x11", 3)));
	publish(&a, "a/c", "no", 0, 0);
	publish(&a, "a/b", "yes", 0, 0);
	expect_message(&a, "yes", 0);
}

static void shared_subscriptions(void **state)
{
	(void)state;
	connects(&w, &a, MQTT_5, (struct terms){ .id = "a" });
	connects(&w, &b, MQTT_5, (struct terms){ .id = "b" });
	connects(&w, &c, MQTT_5, (struct terms){ .id = "c" });
	subscribes(&a, "$share/g/t", 1);
	subscribes(&b, "$share/g/t", 0);
	subscribes(&b, "$share/h/t", 0);
	publish(&c, "t", "1", 1, 1);
	publish(&c, "t", "2", 1, 2);
	assert_int_equal(a.len > a.taken, 1);
	{
		struct packet p;
		unsigned n = 0;

		while (take(&a, &p))
			n++;
		assert_int_equal(n, 1);
		n = 0;
		while (take(&b, &p))
			n++;
		assert_int_equal(n, 3);
	}
}

static void versions_mix(void **state)
{
	uint8_t room[64];
	struct writer props = writer_to(room, sizeof(room));
	struct value pair = { .kind = VALUE_PAIR, .bytes = span_text("k"), .second = span_text("v") };
	struct value found;
	struct packet p;

	(void)state;
	property_write(&props, PROP_user_property, &pair);
	property_write_number(&props, PROP_message_expiry_interval, 60);
	connects(&w, &a, MQTT_3_1_1, (struct terms){ .id = "a" });
	connects(&w, &b, MQTT_5, (struct terms){ .id = "b" });
	subscribes(&a, "t", 0);
	subscribes(&b, "t", 0);
	publish_as(&b, (struct post){ .topic = "t", .payload = "5", .properties = wr_span(&props) });
	expect_message(&a, "5", 0);
	p = expect_message(&b, "5", 0);
	assert_int_equal(property_number(p.properties, PROP_message_expiry_interval, 0), 60);
	assert_true(property_find(p.properties, PROP_user_property, &found));
	publish(&a, "t", "4", 0, 0);
	assert_int_equal(expect_message(&b, "4", 0).properties.len, 0);
}

/* ---- retained ---- */

static void retained_messages(void **state)
{
	(void)state;
	connects(&w, &a, MQTT_5, (struct terms){ .id = "a" });
	publish_as(&a, (struct post){ .topic = "r/1", .payload = "old", .qos = 1, .id = 1, .retain = true });
	publish_as(&a, (struct post){ .topic = "r/1", .payload = "new", .qos = 1, .id = 1, .retain = true });
	publish_as(&a, (struct post){ .topic = "r/2/x", .payload = "2", .retain = true });
	publish_as(&a, (struct post){ .topic = "r/3", .payload = "", .retain = true });
	publish(&a, "r/1", "live", 0, 0);
	a.taken = a.len = 0;
	subscribes(&a, "r/+", 2);
	assert_true(expect_message(&a, "new", 1).flags & PUBLISH_RETAIN);
	expect_nothing(&a);
	subscribes(&a, "r/#", 0 | 1 << SUBSCRIBE_RETAIN_HANDLING_SHIFT);
	assert_int_equal(expect(&a, PUBLISH).type, PUBLISH);
	assert_int_equal(expect(&a, PUBLISH).type, PUBLISH);
	subscribes(&a, "r/#", 0 | 1 << SUBSCRIBE_RETAIN_HANDLING_SHIFT);
	subscribes(&a, "r/1", 0 | 2 << SUBSCRIBE_RETAIN_HANDLING_SHIFT);
	expect_nothing(&a);
	publish_as(&a, (struct post){ .topic = "r/1", .payload = "", .retain = true });
	assert_false(expect_message(&a, "", 0).flags & PUBLISH_RETAIN);
	subscribes(&a, "r/1", 0);
	expect_nothing(&a);
}

static void expiry_counts_down(void **state)
{
	uint8_t room[8];
	struct writer props = writer_to(room, sizeof(room));
	struct packet p;

	(void)state;
	property_write_number(&props, PROP_message_expiry_interval, 10);
	connects(&w, &a, MQTT_5, (struct terms){ .id = "s", .expiry = 600 });
	subscribes(&a, "t", 1);
	client_drop(&a);
	connects(&w, &b, MQTT_5, (struct terms){ .id = "p" });
	publish_as(&b, (struct post){ .topic = "t", .payload = "m", .qos = 1, .id = 1, .retain = true, .properties = wr_span(&props) });
	pass(&w, 3 * S);
	connects(&w, &a, MQTT_5, (struct terms){ .id = "s", .expiry = 600, .resume = true });
	p = expect_message(&a, "m", 1);
	assert_int_equal(property_number(p.properties, PROP_message_expiry_interval, 0), 7);
	client_drop(&a);
	publish_as(&b, (struct post){ .topic = "t", .payload = "n", .qos = 1, .id = 1, .properties = wr_span(&props) });
	pass(&w, 20 * S);
	connects(&w, &a, MQTT_5, (struct terms){ .id = "s", .expiry = 600, .resume = true });
	expect_message(&a, "m", 1);	/* begun: it does not expire */
	expect_nothing(&a);
	subscribes(&a, "t", 0);
	expect_nothing(&a);
}

/* ---- bounds ---- */

static void packets_keep_to_the_clients_size(void **state)
{
	char big[200] = { 0 };

	(void)state;
	memset(big, 'x', sizeof(big) - 1);
	connects(&w, &a, MQTT_5, (struct terms){ .id = "s", .maximum_packet_size = 100, .receive_maximum = 1 });
	subscribes(&a, "t", 1);
	connects(&w, &b, MQTT_5, (struct terms){ .id = "p" });
	publish(&b, "t", big, 1, 1);
	publish(&b, "t", "small", 1, 2);
	expect_message(&a, "small", 1);
}

static void packets_keep_to_our_size(void **state)
{
	static const uint8_t head[] = { 0x30, 0xff, 0xff, 0xff, 0x7f };

	(void)state;
	w.config.maximum_packet_size = 100;
	restart();
	connects(&w, &a, MQTT_5, (struct terms){ .id = "s" });
	send_bytes(&a, head, sizeof(head));
	assert_int_equal(expect(&a, DISCONNECT).reason, 0x95);
}

static void queues_are_bounded(void **state)
{
	struct broker_stats stats;

	(void)state;
	w.config.max_queued_per_session = 3;
	restart();
	connects(&w, &a, MQTT_3_1_1, (struct terms){ .id = "s", .resume = true });
	subscribes(&a, "t", 1);
	client_drop(&a);
	connects(&w, &b, MQTT_3_1_1, (struct terms){ .id = "p" });
	for (unsigned i = 1; i < 10; i++) {
		publish(&b, "t", "m", 1, i);
		expect(&b, PUBACK);
	}
	broker_stats(w.broker, &stats);
	assert_int_equal(stats.dropped, 6);
	connects(&w, &a, MQTT_3_1_1, (struct terms){ .id = "s", .resume = true });
	for (int i = 0; i < 3; i++)
		expect_message(&a, "m", 1);
	expect_nothing(&a);
}

/* What was not stored is not acknowledged as if it were; at QoS 0 there is nothing to acknowledge. */
static void retained_messages_are_bounded(void **state)
{
	struct broker_stats stats;

	(void)state;
	w.config.max_retained = 2;
	restart();
	connects(&w, &b, MQTT_5, (struct terms){ .id = "b" });
	subscribes(&b, "#", 2);
	connects(&w, &a, MQTT_5, (struct terms){ .id = "a" });
	publish_as(&a, (struct post){ .topic = "1", .payload = "m", .retain = true });
	publish_as(&a, (struct post){ .topic = "2", .payload = "m", .qos = 1, .id = 1, .retain = true });
	assert_true(expect(&a, PUBACK).reason < 0x80);
	expect_message(&b, "m", 0);
	expect_message(&b, "m", 1);
	for (unsigned qos = 1; qos <= 2; qos++) {
		publish_as(&a, (struct post){ .topic = "3", .payload = "m", .qos = qos, .id = 2, .retain = true });
		assert_int_equal(expect(&a, qos == 1 ? PUBACK : PUBREC).reason, 0x97);
		expect_nothing(&b);		/* refused is refused: the publisher may send it again */
	}
	publish_as(&a, (struct post){ .topic = "2", .payload = "new", .qos = 1, .id = 2, .retain = true });
	assert_true(expect(&a, PUBACK).reason < 0x80);
	expect_message(&b, "new", 1);
	publish_as(&a, (struct post){ .topic = "3", .payload = "q0", .retain = true });
	expect_message(&b, "q0", 0);
	broker_stats(w.broker, &stats);
	assert_int_equal(stats.retained, 2);
	connects(&w, &c, MQTT_3_1_1, (struct terms){ .id = "c" });
	publish_as(&c, (struct post){ .topic = "3", .payload = "m", .qos = 1, .id = 2, .retain = true });
	expect_closed(&c);		/* [3.1.1 MQTT-4.8.0-2] its PUBACK cannot say no */
	expect_nothing(&b);
}

static void memory_is_bounded_and_given_back(void **state)
{
	struct broker_stats stats;
	char topic[8];

	(void)state;
	w.config.max_memory = 20000;
	restart();
	connects(&w, &a, MQTT_5, (struct terms){ .id = "s" });
	for (unsigned i = 0; i < 500; i++) {
		snprintf(topic, sizeof(topic), "t%u", i % 1000u);
		publish_as(&a, (struct post){ .topic = topic, .payload = "0123456789012345678901234567890123456789", .qos = 1, .id = 1, .retain = true });
		expect(&a, PUBACK);
		broker_stats(w.broker, &stats);
		assert_true(stats.memory <= 20000);
	}
	broker_stats(w.broker, &stats);
	assert_true(stats.dropped > 0 && stats.retained > 10);
	for (unsigned i = 0; i < 500; i++) {
		snprintf(topic, sizeof(topic), "t%u", i % 1000u);
		publish_as(&a, (struct post){ .topic = topic, .payload = "", .retain = true });
	}
	client_drop(&a);
	broker_stats(w.broker, &stats);
	assert_int_equal(stats.retained, 0);
	assert_int_equal(stats.memory, 0);
}

/*
 * Whatever the room left, byte by byte: a success says that the message is with its subscriber, and a refusal that it
 * is not, so that whoever sends it again does not have it delivered twice.
 */
static void what_is_acknowledged_is_not_lost(unsigned qos, uint8_t version)
{
	static char payload[1500];
	unsigned n_refused = 0, n_accepted = 0;

	memset(payload, 'x', sizeof(payload) - 1);
	for (size_t room = 11000; room < 16000; room++) {
		struct packet p = { 0 };
		struct broker_stats stats;
		bool delivered, accepted;

		w.config.max_memory = room;
		restart();
		if (!client_try(&w, &b, version))
			continue;
		send_connect(&b, (struct terms){ .id = "b" });
		if (!take(&b, &p) || p.reason || !client_try(&w, &a, version))
			continue;
		send_connect(&a, (struct terms){ .id = "a" });
		if (!take(&a, &p) || p.reason)
			continue;
		send_packet(&b, &(struct packet){ .type = SUBSCRIBE, .packet_id = 1, .list = span_of("\0\1t\2", 4) });
		if (expect(&b, SUBACK).list.at[0] != 2)
			continue;
		publish(&a, "t", payload, qos, 1);
		delivered = take(&b, &p);
		accepted = take(&a, &p) && p.type == (qos == 1 ? PUBACK : PUBREC) && p.reason < 0x80;
		assert_int_equal(delivered, accepted);
		if (!accepted && version != MQTT_5)
			expect_closed(&a);
		n_refused += !accepted;
		n_accepted += accepted;
		assert_int_equal(broker_count_memory(w.broker), (broker_stats(w.broker, &stats), stats.memory));
	}
	assert_true(n_refused > 10 && n_accepted > 10);
}

static void no_success_for_what_has_no_room(void **state)
{
	(void)state;
	for (unsigned qos = 1; qos <= 2; qos++) {
		what_is_acknowledged_is_not_lost(qos, MQTT_3_1_1);
		what_is_acknowledged_is_not_lost(qos, MQTT_5);
	}
}

static void who_never_reads_is_let_go(void **state)
{
	static uint8_t pings[20000];
	struct link *link;

	(void)state;
	w.config.max_output = 1000;
	restart();
	for (size_t i = 0; i < sizeof(pings); i += 2)
		pings[i] = 0xc0;
	connects(&w, &a, MQTT_3_1_1, (struct terms){ .id = "s" });
	broker_receive(w.broker, a.link, pings, sizeof(pings), w.now_ns);
	expect_closed(&a);
	assert_true(link_output(a.link).len <= 2002);
	while ((link = broker_ready(w.broker)))
		;
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, open_world, close_world)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(answers_follow_the_qos), TEST(qos2_is_delivered_once), TEST(qos1_id_is_free_again),
		TEST(receive_maximum_is_enforced), TEST(aliases), TEST(open_flows_are_resumed), TEST(window_is_kept),
		TEST(ids_in_use_do_not_recur), TEST(wrong_answers_end_it), TEST(deliveries_use_aliases), TEST(overlapping_subscriptions_make_one_copy),
		TEST(no_local_and_retain_as_published), TEST(dollar_topics_hide_from_wildcards), TEST(unsubscribing),
		TEST(shared_subscriptions), TEST(versions_mix), TEST(retained_messages), TEST(expiry_counts_down),
		TEST(packets_keep_to_the_clients_size), TEST(packets_keep_to_our_size), TEST(queues_are_bounded), TEST(retained_messages_are_bounded),
		TEST(memory_is_bounded_and_given_back), TEST(no_success_for_what_has_no_room), TEST(who_never_reads_is_let_go),
	};

	return cmocka_run_group_tests_name("reference-broker flows", tests, NULL, NULL);
}
