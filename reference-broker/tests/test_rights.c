#include "reference-broker/tests/driver.h"

/* What a client may not do is not done, whenever it became so. */

static struct world w;
static struct client a, b, c, d;

/* What is denied at the moment, to the client of that id or of that user name: one filter or topic, written as it is asked for. */
static struct denial {
	const char *whom, *topic;
	enum act act;
} denied;

static bool may(void *rules, struct span user_name, struct span client_id, enum act act, struct span topic)
{
	assert_ptr_equal(rules, &denied);
	assert_true(client_id.len);
	return !denied.topic || act != denied.act || !span_is(topic, denied.topic) ||
	       !(span_is(client_id, denied.whom) || (user_name.at && span_is(user_name, denied.whom)));
}

static int open_world(void **state)
{
	(void)state;
	memset(&a, 0, sizeof(a));
	memset(&b, 0, sizeof(b));
	memset(&c, 0, sizeof(c));
	memset(&d, 0, sizeof(d));
	denied = (struct denial){ 0 };
	world_open(&w);
	w.config.may = may;
	w.config.rules = &denied;
	world_start(&w);
	return 0;
}

static int close_world(void **state)
{
	struct broker_stats stats;

	(void)state;
	broker_stats(w.broker, &stats);
	assert_int_equal(broker_count_memory(w.broker), stats.memory);
	world_close(&w);
	return 0;
}

static void deny(const char *whom, enum act act, const char *topic)
{
	denied = (struct denial){ whom, topic, act };
}

static const uint8_t versions[] = { MQTT_3_1, MQTT_3_1_1, MQTT_5 };

/* ---- publishing ---- */

static void a_denied_publish_goes_nowhere(void **state)
{
	(void)state;
	connects(&w, &b, MQTT_5, (struct terms){ .id = "b" });
	subscribes(&b, "#", 2);
	deny("u", ACT_PUBLISH, "t");
	for (size_t i = 0; i < sizeof(versions); i++) {
		unsigned refusal = versions[i] == MQTT_5 ? 0x87 : 0;

		connects(&w, &a, versions[i], (struct terms){ .id = "a", .user = "u" });
		publish_as(&a, (struct post){ .topic = "t", .payload = "x", .retain = true });
		expect_nothing(&a);
		publish_as(&a, (struct post){ .topic = "t", .payload = "x", .qos = 1, .id = 1, .retain = true });
		assert_int_equal(expect(&a, PUBACK).reason, refusal);
		publish(&a, "t", "x", 2, 2);
		assert_int_equal(expect(&a, PUBREC).reason, refusal);
		acks(&a, PUBREL, 2);
		assert_int_equal(expect(&a, PUBCOMP).reason, refusal ? 0x92 : 0);	/* a refused id is not in use */
		expect_nothing(&b);
		connects(&w, &c, MQTT_5, (struct terms){ .id = "c" });
		subscribes(&c, "t", 1);
		expect_nothing(&c);
		client_drop(&c);
		publish(&a, "T", "y", 0, 0);
		expect_message(&b, "y", 0);
		client_drop(&a);
	}
}

static void an_alias_is_asked_for_by_its_topic(void **state)
{
	uint8_t room[8];
	struct writer writer = writer_to(room, sizeof(room));

	(void)state;
	property_write_number(&writer, PROP_topic_alias, 1);
	connects(&w, &a, MQTT_5, (struct terms){ .id = "a" });
	connects(&w, &b, MQTT_5, (struct terms){ .id = "b" });
	subscribes(&b, "#", 0);
	publish_as(&a, (struct post){ .topic = "t", .payload = "1", .properties = wr_span(&writer) });
	expect_message(&b, "1", 0);
	deny("a", ACT_PUBLISH, "t");
	publish_as(&a, (struct post){ .topic = "", .payload = "2", .qos = 1, .id = 1, .properties = wr_span(&writer) });
	assert_int_equal(expect(&a, PUBACK).reason, 0x87);
	expect_nothing(&b);
}

/* ---- wills ---- */

static void a_denied_will_is_refused_at_once(void **state)
{
	(void)state;
	deny("a", ACT_PUBLISH, "will");
	for (size_t i = 0; i < sizeof(versions); i++) {
		struct broker_stats stats;

		client_open(&w, &a, versions[i]);
		send_connect(&a, (struct terms){ .id = "a", .will = "will" });
		assert_int_equal(expect(&a, CONNACK).reason, versions[i] == MQTT_5 ? 0x87 : 5);
		expect_closed(&a);
		client_drop(&a);
		broker_stats(w.broker, &stats);
		assert_int_equal(stats.sessions, 0);
	}
}

/* Who has the id already is not disturbed by a CONNECT that is refused. */
static void a_refused_will_takes_nobody_over(void **state)
{
	(void)state;
	connects(&w, &a, MQTT_5, (struct terms){ .id = "a" });
	deny("a", ACT_PUBLISH, "will");
	client_open(&w, &b, MQTT_5);
	send_connect(&b, (struct terms){ .id = "a", .will = "will" });
	assert_int_equal(expect(&b, CONNACK).reason, 0x87);
	assert_false(link_closing(a.link));
	client_drop(&b);
}

static void a_will_denied_later_is_not_published(void **state)
{
	(void)state;
	connects(&w, &b, MQTT_5, (struct terms){ .id = "b" });
	subscribes(&b, "will", 0);
	for (unsigned delay = 0; delay < 3; delay += 2) {
		deny(NULL, 0, NULL);
		connects(&w, &a, MQTT_5, (struct terms){ .id = "a", .will = "will", .will_retain = true, .will_delay = delay, .expiry = 10 });
		deny("a", ACT_PUBLISH, "will");
		client_drop(&a);
		pass(&w, 20 * S);
		expect_nothing(&b);
	}
	connects(&w, &c, MQTT_5, (struct terms){ .id = "c" });
	subscribes(&c, "will", 0);
	expect_nothing(&c);
}

/* ---- subscribing ---- */

static unsigned code_for(struct client *client, const char *filter, unsigned options)
{
	uint8_t room[64];
	struct writer writer = writer_to(room, sizeof(room));
	struct packet p = { .type = SUBSCRIBE, .packet_id = 9 };

	wr_binary(&writer, span_text(filter));
	wr_u8(&writer, options);
	p.list = wr_span(&writer);
	send_packet(client, &p);
	p = expect(client, SUBACK);
	assert_int_equal(p.list.len, 1);
	return p.list.at[0];
}

static void a_denied_filter_is_refused(void **state)
{
	struct broker_stats stats;

	(void)state;
	connects(&w, &b, MQTT_5, (struct terms){ .id = "b" });
	publish_as(&b, (struct post){ .topic = "t/x", .payload = "kept", .retain = true });
	for (size_t i = 0; i < sizeof(versions); i++) {
		deny("a", ACT_SUBSCRIBE, "t/#");
		connects(&w, &a, versions[i], (struct terms){ .id = "a" });
		assert_int_equal(code_for(&a, "t/#", 1), versions[i] == MQTT_5 ? 0x87 : versions[i] == MQTT_3_1_1 ? 0x80 : 1);
		if (versions[i] == MQTT_5)
			assert_int_equal(code_for(&a, "$share/g/t/#", 1), 0x87);
		deny(NULL, 0, NULL);		/* nothing was kept that could now come to life */
		publish(&b, "t/x", "live", 0, 0);
		expect_nothing(&a);
		broker_stats(w.broker, &stats);
		assert_int_equal(stats.subscriptions, 0);
		client_drop(&a);
	}
}

static void what_is_denied_later_does_not_come(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(versions); i++) {
		deny(NULL, 0, NULL);
		connects(&w, &b, MQTT_5, (struct terms){ .id = "b" });
		connects(&w, &a, versions[i], (struct terms){ .id = "a" });
		subscribes(&a, "t/+", 2);
		deny("a", ACT_SUBSCRIBE, "t/x");
		for (unsigned qos = 0; qos < 3; qos++) {
			publish(&b, "t/x", "no", qos, 1 + qos);
			publish(&b, "t/y", "yes", qos, 4 + qos);
			expect_message(&a, "yes", qos);
			expect_nothing(&a);
		}
		client_drop(&a);
		client_drop(&b);
	}
}

static void what_waits_for_a_session_is_asked_for_again(void **state)
{
	(void)state;
	connects(&w, &a, MQTT_3_1_1, (struct terms){ .id = "a", .resume = true });
	subscribes(&a, "t/+", 1);
	client_drop(&a);
	connects(&w, &b, MQTT_5, (struct terms){ .id = "b" });
	publish(&b, "t/x", "1", 1, 1);
	publish(&b, "t/y", "2", 1, 2);
	deny("a", ACT_SUBSCRIBE, "t/x");
	connects(&w, &a, MQTT_3_1_1, (struct terms){ .id = "a", .resume = true });
	expect_message(&a, "2", 1);
	expect_nothing(&a);
}

static void what_is_retained_is_asked_for_by_its_topic(void **state)
{
	(void)state;
	connects(&w, &b, MQTT_5, (struct terms){ .id = "b" });
	publish_as(&b, (struct post){ .topic = "t/x", .payload = "1", .retain = true });
	publish_as(&b, (struct post){ .topic = "t/y", .payload = "2", .retain = true });
	deny("a", ACT_SUBSCRIBE, "t/x");
	connects(&w, &a, MQTT_5, (struct terms){ .id = "a" });
	subscribes(&a, "t/+", 1);
	expect_message(&a, "2", 0);
	expect_nothing(&a);
}

/* The others of the group get what one of them may not. */
static void a_shared_message_goes_to_who_may_get_it(void **state)
{
	(void)state;
	connects(&w, &a, MQTT_5, (struct terms){ .id = "a" });
	connects(&w, &b, MQTT_5, (struct terms){ .id = "b" });
	connects(&w, &d, MQTT_5, (struct terms){ .id = "d", .expiry = 60 });
	subscribes(&a, "$share/g/t", 1);
	subscribes(&b, "$share/g/t", 1);
	subscribes(&d, "$share/g/t", 1);
	client_drop(&d);
	connects(&w, &c, MQTT_5, (struct terms){ .id = "c" });
	deny("a", ACT_SUBSCRIBE, "t");
	for (unsigned i = 0; i < 6; i++) {
		publish(&c, "t", "m", 1, i + 1);
		expect_message(&b, "m", 1);
		expect_nothing(&a);
	}
	client_drop(&b);		/* its turn passes to who is away but may get them */
	connects(&w, &d, MQTT_5, (struct terms){ .id = "d", .expiry = 60, .resume = true });
	for (unsigned i = 0; i < 6; i++)
		expect_message(&d, "m", 1);
	expect_nothing(&a);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, open_world, close_world)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_denied_publish_goes_nowhere), TEST(an_alias_is_asked_for_by_its_topic),
		TEST(a_denied_will_is_refused_at_once), TEST(a_refused_will_takes_nobody_over), TEST(a_will_denied_later_is_not_published),
		TEST(a_denied_filter_is_refused), TEST(what_is_denied_later_does_not_come), TEST(what_waits_for_a_session_is_asked_for_again),
		TEST(what_is_retained_is_asked_for_by_its_topic), TEST(a_shared_message_goes_to_who_may_get_it),
	};

	return cmocka_run_group_tests_name("reference-broker rights", tests, NULL, NULL);
}
