/* The onlooker against a broker in memory, which says of itself what Mosquitto does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "codec/codec.h"
#include "harness/load/onlooker.h"

#define DROPPED "$SYS/broker/publish/messages/dropped"
#define UPTIME "$SYS/broker/uptime"

enum manner { SERVES, SERVES_WITHOUT_SYS, REFUSES, SLAMS, SILENT, NOBODY };

struct broker {
	struct service service;
	struct loop loop;
	enum manner manner;
	struct transport *client;
	unsigned n_told;
	bool pinged, over;
	struct timer limit;
};

static struct broker broker;
static bool five;			/* MQTT 5 is spoken */

static void put(const void *bytes, size_t len)
{
	assert_int_equal(broker.client->ops->send(broker.client, bytes, len), (ssize_t)len);
}

static void publish(const char *topic, const char *payload, bool retain)
{
	uint8_t bytes[128] = { (uint8_t)(0x30 | retain) };
	size_t topic_len = strlen(topic), len = strlen(payload);

	bytes[1] = (uint8_t)(2 + topic_len + five + len);
	bytes[3] = (uint8_t)topic_len;
	memcpy(bytes + 4, topic, topic_len);
	memcpy(bytes + 4 + topic_len + five, payload, len);
	put(bytes, 4 + topic_len + five + len);
}

static void answer(uint8_t type)
{
	static const uint8_t connack[] = { 0x20, 2, 0, 0 }, refusal[] = { 0x20, 2, 0, 5 }, connack_5[] = { 0x20, 3, 0, 0, 0 }, suback[] = { 0x90, 7, 0, 1, 0, 0, 0, 0, 0 }, pingresp[] = { 0xd0, 0 };

	if (type == 0x10 && broker.manner == REFUSES) {
		put(refusal, sizeof(refusal));
	} else if (type == 0x10 && broker.manner == SLAMS) {
		broker.client->ops->close(broker.client, false);
		broker.client = NULL;
	} else if (type == 0x10 && broker.manner != SILENT) {
		put(five ? connack_5 : connack, five ? sizeof(connack_5) : sizeof(connack));
	} else if (type == 0x82) {
		put(suback, sizeof(suback));
		if (broker.manner == SERVES) {
			publish(DROPPED, "5", true);
			publish(UPTIME, "10 seconds", true);
		}
	} else if (type == 0xc0) {
		broker.pinged = true;
		put(pingresp, sizeof(pingresp));
	}
}

static void on_event(struct transport *t, unsigned events)
{
	uint8_t bytes[2048];
	ssize_t n;

	while ((events & TRANSPORT_READABLE) && broker.client && (n = t->ops->recv(t, bytes, sizeof(bytes))) > 0)
		for (ssize_t at = 0; at < n && broker.client;) {
			size_t len = bytes[at + 1], head = 2;

			if (len & 128) {
				len = (len & 127) + 128u * bytes[at + 2];
				head = 3;
			}
			answer(bytes[at]);
			at += (ssize_t)(head + len);
		}
}

static void on_accepted(struct service *service, struct transport *t)
{
	(void)service;
	broker.client = t;
	t->event = on_event;
}

static void on_told(void *context)
{
	(void)context;
	broker.n_told++;
}

static void on_limit(struct timer *timer, struct loop *loop)
{
	(void)timer;
	loop_stop(loop);
}

/* So much simulated time passes. */
static void pass(uint64_t ns)
{
	loop_timer(&broker.loop, &broker.limit, broker.loop.now_ns + ns);
	loop_run(&broker.loop);
	loop_timer_stop(&broker.loop, &broker.limit);
}

static struct onlooker *begin(enum manner manner)
{
	static struct address address;
	struct span none = { 0 };

	broker = (struct broker){ .manner = manner, .service.accepted = manner == NOBODY ? NULL : on_accepted, .limit.fire = on_limit };
	address = (struct address){ .kind = ADDRESS_MEMORY, .service = &broker.service };
	assert_int_equal(loop_init(&broker.loop, true), 0);
	struct onlooker *o = onlooker_new(&broker.loop, &address, five ? MQTT_5 : MQTT_3_1_1, "look", none, none, 2000000000, on_told, NULL);
	assert_non_null(o);
	assert_int_equal(onlooker_state(o), ONLOOKER_ASKS);
	pass(1000000000);
	return o;
}

static void end(struct onlooker *o)
{
	onlooker_free(o);
	pass(1000000);
	if (broker.client)
		broker.client->ops->close(broker.client, false);
	loop_settle(&broker.loop);
	loop_release(&broker.loop);
}

static void hears_what_is_dropped(void **state)
{
	struct onlooker *o = begin(SERVES);
	struct broker_drops drops;

	(void)state;
	assert_int_equal(onlooker_state(o), ONLOOKER_SERVED);
	onlooker_drops(o, &drops);
	assert_true(drops.known);
	assert_int_equal(drops.n, 0);
	assert_string_equal(drops.topic, DROPPED);
	publish(DROPPED, "12", false);
	publish("$SYS/broker/other", "99", false);
	pass(1000000);
	onlooker_drops(o, &drops);
	assert_int_equal(drops.n, 7);
	end(o);
}

static void speaks_5(void **state)
{
	five = true;
	hears_what_is_dropped(state);
	five = false;
}

static void waits_for_the_next_figures(void **state)
{
	struct onlooker *o = begin(SERVES);
	struct broker_drops drops;

	(void)state;
	assert_true(onlooker_is_fresh(o));
	onlooker_refresh(o);
	assert_false(onlooker_is_fresh(o));
	broker.pinged = false;
	publish(DROPPED, "6", false);
	pass(1000000);
	assert_false(onlooker_is_fresh(o));
	unsigned told = broker.n_told;
	publish(UPTIME, "20 seconds", false);
	publish(DROPPED, "9", false);		/* in the same batch: heard before the answer to the ping */
	pass(1000000);
	assert_true(broker.pinged);
	assert_true(onlooker_is_fresh(o));
	assert_int_equal(broker.n_told, told + 1);
	onlooker_drops(o, &drops);
	assert_int_equal(drops.n, 4);
	end(o);
}

static void a_first_figure_that_is_new_counts_from_0(void **state)
{
	struct onlooker *o = begin(SERVES_WITHOUT_SYS);
	struct broker_drops drops;

	(void)state;
	onlooker_drops(o, &drops);
	assert_false(drops.known);
	onlooker_refresh(o);
	assert_true(onlooker_is_fresh(o));	/* there is nothing to wait for */
	publish(DROPPED, "3", false);
	pass(1000000);
	onlooker_drops(o, &drops);
	assert_true(drops.known);
	assert_int_equal(drops.n, 3);
	end(o);
}

static void nodes_are_added(void **state)
{
	struct onlooker *o = begin(SERVES_WITHOUT_SYS);
	struct broker_drops drops;

	(void)state;
	publish("$SYS/brokers/a/metrics/delivery/dropped/queue_full", "3", true);
	publish("$SYS/brokers/b/metrics/delivery/dropped/queue_full", "4", true);
	publish("$SYS/brokers/a/metrics/delivery/dropped/queue_full", "5", false);
	publish("$SYS/brokers/b/metrics/delivery/dropped/queue_full", "14", false);
	publish("$SYS/brokers/b/c/metrics/delivery/dropped/queue_full", "99", false);
	pass(1000000);
	onlooker_drops(o, &drops);
	assert_int_equal(drops.n, 12);
	end(o);
}

static const struct row {
	const char *name;
	enum manner manner;
	enum onlooker_state state;
	const char *why;
} rows[] = {
	{ "a broker that refuses is there", REFUSES, ONLOOKER_REFUSED, "CONNACK: Not" },
	{ "a broker that closes without a word is there", SLAMS, ONLOOKER_REFUSED, "closed by the broker" },
	{ "a broker that says nothing is not", SILENT, ONLOOKER_UNREACHABLE, "does not answer a CONNECT within 2s" },
	{ "nobody listens", NOBODY, ONLOOKER_UNREACHABLE, "refused" },
};

static void is_no_broker_for_us(void **state)
{
	const struct row *row = *state;
	struct onlooker *o = begin(row->manner);

	pass(3000000000);
	assert_int_equal(onlooker_state(o), row->state);
	assert_non_null(strstr(onlooker_why(o), row->why));
	assert_int_equal(broker.n_told, 1);
	end(o);
}

static void sees_it_go(void **state)
{
	struct onlooker *o = begin(SERVES);

	(void)state;
	onlooker_refresh(o);
	broker.client->ops->close(broker.client, true);
	broker.client = NULL;
	pass(1000000);
	assert_int_equal(onlooker_state(o), ONLOOKER_GONE);
	assert_true(onlooker_is_fresh(o));
	end(o);
}

static void stays_alive(void **state)
{
	struct onlooker *o = begin(SERVES);

	(void)state;
	pass(30000000000);
	assert_true(broker.pinged);
	assert_int_equal(onlooker_state(o), ONLOOKER_SERVED);
	end(o);
}

int main(void)
{
	enum { N_ROWS = sizeof(rows) / sizeof(*rows) };
	static struct CMUnitTest tests[N_ROWS + 7] = {
		cmocka_unit_test(hears_what_is_dropped), cmocka_unit_test(waits_for_the_next_figures), cmocka_unit_test(a_first_figure_that_is_new_counts_from_0),
		cmocka_unit_test(nodes_are_added), cmocka_unit_test(sees_it_go), cmocka_unit_test(stays_alive), cmocka_unit_test(speaks_5),
	};

	for (size_t i = 0; i < N_ROWS; i++)
		tests[7 + i] = (struct CMUnitTest){ .name = rows[i].name, .test_func = is_no_broker_for_us, .initial_state = (void *)&rows[i] };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
