#include "reference-broker/tests/driver.h"

/* What one client asks for is done in turns, in its order, and completely; what it lets wait is bounded. */

static struct world w;
static struct client a, b, c;

static int open_world(void **state)
{
	(void)state;
	world_open(&w);
	w.config.work_at_once = 30;
	world_start(&w);
	return 0;
}

static int close_world(void **state)
{
	struct broker_stats stats;

	(void)state;
	broker_stats(w.broker, &stats);
	assert_int_equal(stats.memory, broker_count_memory(w.broker));
	world_close(&w);
	return 0;
}

static void restart(void)
{
	world_close(&w);
	world_start(&w);
}

/* Whatever is due now, turn by turn; returns how many there were. */
static unsigned turns(void)
{
	unsigned n = 0;

	while (broker_deadline(w.broker) <= w.now_ns + 1) {
		w.now_ns++;
		broker_tick(w.broker, w.now_ns);
		settle(&w);
		n++;
	}
	return n;
}

enum { N_RETAINED = 300 };

static void retain_many(void)
{
	char topic[16];

	connects(&w, &a, MQTT_3_1_1, (struct terms){ .id = "a" });
	for (unsigned i = 0; i < N_RETAINED; i++) {
		snprintf(topic, sizeof(topic), "r/%u/%u", i % 7u, i % 1000u);
		publish_as(&a, (struct post){ .topic = topic, .payload = topic, .qos = 1, .id = 1, .retain = true });
		turns();
		expect(&a, PUBACK);
	}
}

static void send_subscribe(struct client *to, const char *filter, unsigned qos, unsigned id)
{
	uint8_t room[64];
	struct writer list = writer_to(room, sizeof(room));

	wr_binary(&list, span_text(filter));
	wr_u8(&list, qos);
	send_packet(to, &(struct packet){ .type = SUBSCRIBE, .packet_id = (uint16_t)id, .list = wr_span(&list) });
}

/* How many deliveries came, each of another topic; QoS 1 is acknowledged. */
static unsigned take_retained(struct client *from, bool *seen)
{
	struct packet p;
	unsigned n = 0, number;

	while (take(from, &p)) {
		char topic[16] = "";

		if (p.type == PUBACK || p.type == SUBACK || p.type == UNSUBACK)
			continue;
		assert_int_equal(p.type, PUBLISH);
		memcpy(topic, p.topic.at, p.topic.len);
		assert_int_equal(sscanf(topic, "r/%*u/%u", &number), 1);
		assert_true(!seen[number] || p.flags & PUBLISH_DUP);	/* its PUBACK may not have had its turn */
		n += !seen[number];
		seen[number] = true;
		if (publish_qos(&p))
			acks(from, PUBACK, p.packet_id);
	}
	return n;
}

static void retained_messages_come_in_turns(void **state)
{
	bool seen[N_RETAINED] = { false };
	unsigned n;

	(void)state;
	retain_many();
	connects(&w, &b, MQTT_3_1_1, (struct terms){ .id = "b" });
	send_subscribe(&b, "r/#", 1, 1);
	expect(&b, SUBACK);
	n = take_retained(&b, seen);
	assert_in_range(n, 1, N_RETAINED / 3);
	assert_true(turns() > 3);
	assert_int_equal(n + take_retained(&b, seen), N_RETAINED);
}

/* Between the turns topics come, go and change: what stays is delivered once, what is new as it comes. */
static void the_tree_may_change_meanwhile(void **state)
{
	bool seen[N_RETAINED] = { false };
	char topic[16];
	unsigned n = 0, gone = 0, changed = 0;
	struct packet p;

	(void)state;
	retain_many();
	connects(&w, &b, MQTT_3_1_1, (struct terms){ .id = "b" });
	send_subscribe(&b, "r/+/+", 0, 1);
	expect(&b, SUBACK);
	for (unsigned i = 0; i < N_RETAINED; i++) {
		n += take_retained(&b, seen);
		snprintf(topic, sizeof(topic), "r/%u/%u", i % 7u, i % 1000u);
		if (seen[i])
			continue;
		if (i % 3 == 0) {
			publish_as(&a, (struct post){ .topic = topic, .payload = "", .qos = 0, .retain = true });
			gone += take(&b, &p) && !p.payload.len;
			seen[i] = true;
		} else if (i % 3 == 1) {
			publish_as(&a, (struct post){ .topic = topic, .payload = "new", .qos = 0, .retain = true });
			assert_true(take(&b, &p) && span_is(p.payload, "new") && !(p.flags & PUBLISH_RETAIN));
			changed++;
			seen[i] = true;
		}
		w.now_ns++;
		broker_tick(w.broker, w.now_ns);
		settle(&w);
		turns();
	}
	n += take_retained(&b, seen);
	assert_int_equal(n + gone + changed, N_RETAINED);
}

/* Who does not read gets them when he does: they wait where they are stored, not in a queue. */
static void retained_messages_wait_for_their_reader(void **state)
{
	bool seen[N_RETAINED] = { false };
	struct broker_stats before, after;

	(void)state;
	w.config.max_output = 300;
	w.config.work_at_once = 2000;
	restart();
	retain_many();
	connects(&w, &b, MQTT_3_1_1, (struct terms){ .id = "b" });
	broker_stats(w.broker, &before);
	broker_receive(w.broker, b.link, (const uint8_t *)"\x82\x06\0\1\0\1#\0", 8, w.now_ns);
	broker_stats(w.broker, &after);
	assert_true(link_output(b.link).len < 400);
	assert_true(after.memory - before.memory < 1000);
	assert_int_equal(after.dropped, 0);
	settle(&w);
	while (link_output(b.link).len || turns())
		settle(&w);
	expect(&b, SUBACK);
	assert_int_equal(take_retained(&b, seen), N_RETAINED);
}

static void a_resumed_session_gets_the_rest(void **state)
{
	bool seen[N_RETAINED] = { false };
	unsigned n;

	(void)state;
	retain_many();
	connects(&w, &b, MQTT_3_1_1, (struct terms){ .id = "b", .resume = true });
	send_subscribe(&b, "r/#", 1, 1);
	expect(&b, SUBACK);
	n = take_retained(&b, seen);
	client_drop(&b);
	turns();
	connects(&w, &b, MQTT_3_1_1, (struct terms){ .id = "b", .resume = true });
	turns();
	assert_int_equal(n + take_retained(&b, seen), N_RETAINED);
}

static void a_cancelled_subscription_gets_no_more(void **state)
{
	bool seen[N_RETAINED] = { false };

	(void)state;
	retain_many();
	connects(&w, &b, MQTT_5, (struct terms){ .id = "b" });
	send_subscribe(&b, "r/#", 0, 1);
	send_packet(&b, &(struct packet){ .type = UNSUBSCRIBE, .packet_id = 2, .list = span_of("\0\3r/#", 5) });
	turns();
	assert_true(take_retained(&b, seen) < N_RETAINED / 2);
	send_subscribe(&b, "r/#", 0, 3);
	client_drop(&b);		/* with some on their way */
	turns();
}

/* Many packets in one read: those of others come between, and each client's stay in order. */
static void packets_wait_their_turn(void **state)
{
	static uint8_t many[200 * 9];
	struct packet p;
	unsigned n = 0;

	(void)state;
	connects(&w, &c, MQTT_3_1_1, (struct terms){ .id = "c" });
	subscribes(&c, "x", 0);
	connects(&w, &a, MQTT_3_1_1, (struct terms){ .id = "a" });
	connects(&w, &b, MQTT_3_1_1, (struct terms){ .id = "b" });
	for (unsigned i = 0; i < 200; i++)
		memcpy(many + i * 9, (uint8_t[]){ 0x30, 7, 0, 1, 'x', 'a', (uint8_t)('0' + i / 100), (uint8_t)('0' + i / 10 % 10), (uint8_t)('0' + i % 10) }, 9);
	send_bytes(&a, many, sizeof(many));
	assert_true(link_paused(a.link));
	publish(&b, "x", "b", 0, 0);
	turns();
	assert_false(link_paused(a.link));
	for (unsigned i = 0; take(&c, &p); i++) {
		if (p.payload.len == 1) {
			assert_in_range(i, 0, 20);	/* not behind the 200 */
			continue;
		}
		assert_int_equal((p.payload.at[1] - '0') * 100 + (p.payload.at[2] - '0') * 10 + (p.payload.at[3] - '0'), n);
		n++;
	}
	assert_int_equal(n, 200);
}

/* A packet of another client is not held up by those of one who makes much work. */
static void who_asks_for_much_waits_for_the_others(void **state)
{
	char filter[18];

	(void)state;
	w.config.work_at_once = 100;
	restart();
	connects(&w, &a, MQTT_5, (struct terms){ .id = "a" });
	for (unsigned i = 0; i < 256; i++) {	/* all match */
		for (unsigned k = 0; k < 9; k++) {
			filter[2 * k] = i >> k & 1 ? '+' : 'x';
			filter[2 * k + 1] = k < 8 ? '/' : 0;
		}
		send_subscribe(&a, filter, 0, 1);
	}
	turns();
	connects(&w, &b, MQTT_5, (struct terms){ .id = "b" });
	publish(&b, "x/x/x/x/x/x/x/x/x", "1", 1, 1);
	expect(&b, PUBACK);		/* the first one is not known to cost much */
	publish(&b, "x/x/x/x/x/x/x/x/x", "2", 1, 2);
	expect_nothing(&b);
	assert_true(turns() > 0);
	expect(&b, PUBACK);
}

/* Also where nobody asks for it. */
static void expired_retained_messages_go(void **state)
{
	struct broker_stats stats;
	char topic[16];

	(void)state;
	connects(&w, &a, MQTT_5, (struct terms){ .id = "a" });
	for (unsigned i = 0; i < N_RETAINED; i++) {
		snprintf(topic, sizeof(topic), "e/%u", i % 1000u);
		publish_as(&a, (struct post){ .topic = topic, .payload = "m", .retain = true,
		                              .properties = i % 3 ? span_of("\2\0\0\0\5", 5) : (struct span){ 0 } });
	}
	turns();
	pass(&w, 4 * S);
	broker_stats(w.broker, &stats);
	assert_int_equal(stats.retained, N_RETAINED);
	pass(&w, 20 * S);
	broker_stats(w.broker, &stats);
	assert_int_equal(stats.retained, N_RETAINED / 3);
	assert_int_equal(stats.memory, broker_count_memory(w.broker));
	assert_true(broker_deadline(w.broker) > w.now_ns + 1000 * S);	/* nothing more to look for */
}

static void more_filters_than_a_session_may_have(void **state)
{
	struct packet p = { .type = SUBSCRIBE, .packet_id = 1, .list = span_of("\0\1a\0\0\1b\0\0\1c\0", 12) };

	(void)state;
	w.config.max_subscriptions_per_session = 2;
	restart();
	connects(&w, &a, MQTT_5, (struct terms){ .id = "a" });
	send_packet(&a, &p);
	assert_int_equal(expect(&a, DISCONNECT).reason, 0x97);
}

static void connections_are_bounded(void **state)
{
	(void)state;
	w.config.max_connections = 2;
	restart();
	client_open(&w, &a, MQTT_5);
	client_open(&w, &b, MQTT_5);
	assert_false(client_try(&w, &c, MQTT_5));
	client_drop(&a);
	assert_true(client_try(&w, &c, MQTT_5));
	pass(&w, 31 * S);
	expect_closed(&b);		/* no CONNECT in time */
	expect_closed(&c);
}

/* One who never reads has what he is sent bounded, and what is sent to others is as before. */
static void unsent_output_is_counted(void **state)
{
	static char payload[2000];
	struct broker_stats stats;

	(void)state;
	memset(payload, 'x', sizeof(payload) - 1);
	w.config.max_memory = 100000;
	w.config.work_at_once = 4000;
	restart();
	connects(&w, &a, MQTT_3_1_1, (struct terms){ .id = "a" });
	subscribes(&a, "t", 0);
	connects(&w, &b, MQTT_3_1_1, (struct terms){ .id = "b" });
	subscribes(&b, "t", 0);
	for (unsigned i = 0; i < 200; i++) {
		struct packet p = { .version = MQTT_3_1_1, .type = PUBLISH, .topic = span_text("t"), .payload = span_text(payload) };
		uint8_t room[2100];
		struct writer to = writer_to(room, sizeof(room));
		struct span out;

		assert_int_equal(encode(&p, NULL, &to), CODEC_OK);
		broker_receive(w.broker, b.link, room, to.len, w.now_ns);
		while ((out = link_output(b.link)).len) {
			size_t n = out.len < sizeof(b.in) - b.len ? out.len : sizeof(b.in) - b.len;

			memcpy(b.in + b.len, out.at, n);
			b.len += n;
			link_sent(w.broker, b.link, n, w.now_ns);
		}
		assert_true(take(&b, &p) && p.payload.len == sizeof(payload) - 1);
		broker_stats(w.broker, &stats);
		assert_true(stats.memory <= 100000);
		assert_int_equal(stats.memory, broker_count_memory(w.broker));
	}
	assert_true(stats.dropped > 100);	/* a's */
	assert_true(link_output(a.link).len > 10000);
	assert_false(link_closing(a.link));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, open_world, close_world)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(retained_messages_come_in_turns), TEST(the_tree_may_change_meanwhile), TEST(retained_messages_wait_for_their_reader),
		TEST(a_resumed_session_gets_the_rest), TEST(a_cancelled_subscription_gets_no_more), TEST(packets_wait_their_turn),
		TEST(who_asks_for_much_waits_for_the_others), TEST(expired_retained_messages_go), TEST(more_filters_than_a_session_may_have), TEST(connections_are_bounded), TEST(unsent_output_is_counted),
	};

	return cmocka_run_group_tests_name("reference-broker bounds", tests, NULL, NULL);
}
