#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "codec/text.h"
#include "harness/load/tests/lone_client.h"

/* What names stand for in a client, the packets that its steps stand for, what suits them, and what it keeps. */

LONE_CLIENT

static struct lone *workload(const char *steps)
{
	static char text[2000];

	snprintf(text, sizeof(text), "workload \"w\"\nmqtt 5\nrole c x 100 {\n%s\n}\nrole d x 100 { d connects }\n", steps);
	return lone_new(text);
}

/* The packet of the n-th step, in the notation. */
static const char *built(struct lone *l, unsigned client, unsigned n)
{
	static char text[600];
	static uint8_t room[2000];
	struct writer w = writer_to(text, sizeof(text) - 1), out = writer_to(room, sizeof(room));
	struct builder b;
	struct packet packet;
	struct finding finding;

	if (!packet_of(&l->clients[client], lone_step(l, n), &b))
		return lone_seen.stopped;
	assert_int_equal(builder_encode(&b, &out), CODEC_OK);
	assert_int_equal(decode(room, out.len, MQTT_5, &packet, &finding), CODEC_OK);
	packet_print(&packet, FROM_CLIENT, &w);
	text[w.len < w.cap ? w.len : w.cap] = 0;
	return text;
}

static void packets_have_a_scenarios_defaults(void **state)
{
	struct lone *l = workload("c connects\nc subscribes (\"cmd/$(n)\" retain_as_published, \"all/#\" no_local)\nc disconnects session_expiry_interval=$(n + 2)\n"
	                          "c connects client_id=\"own-$(n)\" clean_start=0 user_name=\"me\"\nc pings\nc -> PUBREL packet_id=9");

	(void)state;
	assert_string_equal(built(l, 0, 0), "CONNECT clean_start keep_alive=60 client_id=\"run7a7\"");
	assert_string_equal(built(l, 1, 0), "CONNECT clean_start keep_alive=60 client_id=\"run7a41\"");
	assert_string_equal(built(l, 0, 1), "SUBSCRIBE !packet_id=0 (\"cmd/7\" retain_as_published, \"all/#\" no_local)");
	assert_string_equal(built(l, 0, 2), "DISCONNECT reason=Normal_disconnection session_expiry_interval=9");
	assert_string_equal(built(l, 0, 4), "PINGREQ");
	assert_string_equal(built(l, 0, 5), "PUBREL packet_id=9");
	l->plan.user_name = span_text("u");
	l->plan.password = span_text("p");
	assert_string_equal(built(l, 0, 0), "CONNECT clean_start keep_alive=60 client_id=\"run7a7\" user_name=\"u\" password=\"p\"");
	assert_string_equal(built(l, 0, 3), "CONNECT keep_alive=60 client_id=\"own-7\" user_name=\"me\" password=\"p\"");
	lone_free(l);
}

static void what_cannot_be_had_stops_the_client(void **state)
{
	struct lone *l = workload("c connects authentication_method=\"SCRAM-SHA-256\" authentication_data=scram()\n"
	                          "c publishes topic=\"a/$(1 / (n - 7))\"\nc publishes topic=\"t\" message_expiry_interval=$(n * 4294967296)");

	(void)state;
	assert_string_equal(built(l, 0, 0), "line 4: scram() is for scenarios: the clients of a workload have no place to keep its exchange");
	assert_string_equal(built(l, 0, 1), "line 5: division by zero");
	assert_string_equal(built(l, 0, 2), "line 6: the value for message_expiry_interval is not of its kind or out of its range");
	assert_string_equal(built(l, 1, 1), "PUBLISH topic=\"a/0\" payload=\"\"");
	lone_free(l);
}

static void numbers_and_picks(void **state)
{
	struct lone *l = workload("c connects\nwait $(n * 10)\nc publishes topic=\"$(pick(d))\"\nwait 3s");
	struct client *c = &l->clients[0];
	uint64_t number, least = 100, most = 0;
	bool seen[100] = { false };

	(void)state;
	assert_true(duration_of(c, lone_step(l, 3)->duration, &number));
	assert_int_equal(number, 3000000000);
	assert_true(number_of(c, lone_step(l, 1)->duration, &number));
	assert_int_equal(number, 70);
	l->roles[1].first = 20;			/* those of this shard */
	l->roles[1].end = 40;
	for (unsigned i = 0; i < 1000; i++) {
		number = engine_pick(&l->engine, 1);
		seen[number] = true;
		least = number < least ? number : least;
		most = number > most ? number : most;
	}
	assert_int_equal(least, 20);
	assert_int_equal(most, 39);
	for (unsigned i = 20; i < 40; i++)
		assert_true(seen[i]);
	lone_free(l);
}

static struct packet publish(const char *topic, const char *payload)
{
	return (struct packet){ .type = PUBLISH, .version = MQTT_5, .topic = span_text(topic), .payload = span_text(payload) };
}

static void what_suits_and_why_not(void **state)
{
	struct lone *l = workload("c connects\nc receives topic=\"cmd/$(n)\" payload as $p\nc receives topic~\"+/x\" payload=(\"a\" | \"b\")\nc publishes payload=$p");
	const struct step *first = lone_step(l, 1), *second = lone_step(l, 2);
	struct packet packet = publish("cmd/7", "x");
	const char *why;

	(void)state;
	assert_true(packet_suits(&l->clients[0], first->matches, first->n_matches, &packet, &why));
	assert_false(packet_suits(&l->clients[1], first->matches, first->n_matches, &packet, &why));
	assert_string_equal(why, "topic: expected \"cmd/$(n)\" (\"cmd/41\"), received \"cmd/7\"");
	assert_false(packet_suits(&l->clients[0], second->matches, second->n_matches, &packet, &why));
	assert_string_equal(why, "topic: expected topic~\"+/x\", received \"cmd/7\"");
	packet = publish("a/x", "b");
	assert_true(packet_suits(&l->clients[0], second->matches, second->n_matches, &packet, &why));
	assert_string_equal(lone_seen.stopped, "");
	lone_free(l);
}

static void names_live_for_a_turn(void **state)
{
	struct lone *l = workload("c connects\nc receives payload as $p response_topic as $r\nc publishes topic=$r payload=$p");
	struct client *c = &l->clients[0];
	const struct step *receives = lone_step(l, 1);
	struct packet packet = publish("t", "first");
	size_t before = pool_in_use(l->engine.pool);

	(void)state;
	assert_string_equal(built(l, 0, 2), "line 6: the name is not bound here");
	packet_binds(c, receives->matches, receives->n_matches, &packet);
	assert_string_equal(built(l, 0, 2), "PUBLISH !topic=\"\" payload=\"first\"");	/* a field that is not there is bound to that */
	packet = publish("t", "second, and longer than the first one");
	packet_binds(c, receives->matches, receives->n_matches, &packet);
	assert_string_equal(built(l, 0, 2), "PUBLISH !topic=\"\" payload=\"second, and longer than the first one\"");
	slots_forget(c, receives);
	assert_null(c->registers->slots);
	assert_string_equal(built(l, 0, 2), "line 6: the name is not bound here");
	registers_free(c);
	assert_int_equal(pool_in_use(l->engine.pool), before);
	assert_int_equal(lone_free(l), 0);
}

static void what_is_in_force(void **state)
{
	struct lone *l = workload("c connects client_id=\"x$(n)\"\nc publishes topic=\"$(c.client_id)/$(c.receive_maximum)\"\n");
	struct lone *other = workload("c connects client_id=\"\"\nc publishes topic=$c.client_id\n");

	(void)state;
	l->clients[0].link.monitor.receive_maximum = 20;
	assert_string_equal(built(l, 0, 1), "PUBLISH topic=\"x7/20\" payload=\"\"");
	assert_string_equal(built(other, 0, 1), "line 5: a client id that the server assigns is not remembered: take it with `gets assigned_client_identifier as $id`");
	lone_free(l);
	lone_free(other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(packets_have_a_scenarios_defaults),
		cmocka_unit_test(what_cannot_be_had_stops_the_client),
		cmocka_unit_test(numbers_and_picks),
		cmocka_unit_test(what_suits_and_why_not),
		cmocka_unit_test(names_live_for_a_turn),
		cmocka_unit_test(what_is_in_force),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
