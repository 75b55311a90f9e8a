#include "reference-broker/tests/driver.h"

/* Who is let in, whose session it is, and what CONNACK tells who asks or is sent elsewhere. */

static struct world w;
static struct client a, b, c;
static unsigned n_asked;

/* Every user's password is his name; with `busy` comes none of them. */
static enum login check_login(void *users, struct span user_name, struct span password, uint64_t now_ns)
{
	assert_ptr_equal(users, &n_asked);
	assert_non_null(user_name.at);
	assert_int_equal(now_ns, w.now_ns);
	n_asked++;
	if (span_is(password, "busy"))
		return LOGIN_BUSY;
	return span_equal(user_name, password) ? LOGIN_RIGHT : LOGIN_WRONG;
}

static int open_world(void **state)
{
	(void)state;
	memset(&a, 0, sizeof(a));
	memset(&b, 0, sizeof(b));
	memset(&c, 0, sizeof(c));
	n_asked = 0;
	world_open(&w);
	return 0;
}

static int close_world(void **state)
{
	(void)state;
	world_close(&w);
	return 0;
}

static void start(bool asks_for_logins)
{
	w.config.login = asks_for_logins ? check_login : NULL;
	w.config.users = &n_asked;
	world_start(&w);
}

static void refused(struct client *client, uint8_t version, struct terms t, unsigned reason_5, unsigned code)
{
	client_open(&w, client, version);
	send_connect(client, t);
	assert_int_equal(expect(client, CONNACK).reason, version == MQTT_5 ? reason_5 : code);
	expect_nothing(client);
	expect_closed(client);
}

static size_t memory_now(void)
{
	struct broker_stats stats;

	broker_stats(w.broker, &stats);
	return stats.memory;
}

/* ---- logins ---- */

static void logins(void **state)
{
	static const uint8_t versions[] = { MQTT_3_1, MQTT_3_1_1, MQTT_5 };

	(void)state;
	start(true);
	for (size_t i = 0; i < sizeof(versions); i++) {
		uint8_t v = versions[i];

		n_asked = 0;
		connects(&w, &a, v, (struct terms){ .id = "a", .user = "alice", .password = "alice" });
		assert_int_equal(n_asked, 1);
		refused(&b, v, (struct terms){ .id = "b", .user = "alice", .password = "bob" }, 0x86, 4);
		refused(&b, v, (struct terms){ .id = "b", .user = "alice" }, 0x86, 4);
		refused(&b, v, (struct terms){ .id = "b", .user = "alice", .password = "" }, 0x86, 4);
		assert_int_equal(n_asked, 4);
		connects(&w, &b, v, (struct terms){ .id = "b", .user = "", .password = "" });
		refused(&b, v, (struct terms){ .id = "b" }, 0x87, 5);
		refused(&b, v, (struct terms){ .id = "b", .user = "alice", .password = "busy" }, 0x89, 3);
		assert_int_equal(n_asked, 6);
		client_drop(&a);
		client_drop(&b);
	}
	refused(&b, MQTT_5, (struct terms){ .id = "b", .password = "alice" }, 0x87, 5);
}

/* Who has shown a certificate: the name in it is the user's, and passwords are asked of others only. */
static void certificates(void **state)
{
	static const uint8_t versions[] = { MQTT_3_1, MQTT_3_1_1, MQTT_5 };
	static const struct { const char *user, *password; bool itself; } says[] = {
		{ NULL, NULL, true }, { "alice", NULL, true }, { "alice", "wrong", true }, { "bob", "bob", false }, { "alice2", NULL, false }, { "", NULL, false },
	};

	(void)state;
	w.config.identities = true;
	start(true);
	for (size_t i = 0; i < sizeof(versions); i++) {
		n_asked = 0;
		for (size_t k = 0; k < sizeof(says) / sizeof(*says); k++) {
			client_open(&w, &a, versions[i]);
			assert_true(broker_identify(w.broker, a.link, span_text("alice")));
			assert_false(broker_identify(w.broker, a.link, span_text("bob")));
			send_connect(&a, (struct terms){ .id = "a", .user = says[k].user, .password = says[k].password });
			assert_int_equal(expect(&a, CONNACK).reason, says[k].itself ? 0 : versions[i] == MQTT_5 ? 0x86 : 4);
			client_drop(&a);
		}
		client_open(&w, &a, versions[i]);
		assert_true(broker_identify(w.broker, a.link, span_text("alice")));
		send_connect(&a, (struct terms){ .id = "s", .resume = true, .expiry = 60 });
		assert_int_equal(expect(&a, CONNACK).reason, 0);
		assert_int_equal(n_asked, 0);
		connects(&w, &b, versions[i], (struct terms){ .id = "b", .user = "bob", .password = "bob" });
		refused(&c, versions[i], (struct terms){ .id = "s", .user = "bob", .password = "bob" }, 0x85, 2);
		assert_int_equal(broker_count_memory(w.broker), memory_now());
		client_drop(&a);
		client_drop(&b);
		connects(&w, &a, versions[i], (struct terms){ .id = "s", .user = "alice", .password = "alice" });
		client_drop(&a);
	}
}

/* Whoever it says at once, the client has proven it. */
static enum authenticated says_who(void *users, void *state, struct span data, struct span *answer, struct span *user_name)
{
	(void)users, (void)answer;
	memcpy(state, data.at, data.len);
	*user_name = span_of(state, data.len);
	return AUTHENTICATION_RIGHT;
}

/* A certificate and a proof are of the same user, or nobody is let in. */
static void certificate_and_authentication(void **state)
{
	static const struct authentication method = { { (const uint8_t *)"M", 1 }, 16, says_who };
	static const uint8_t connect[] = { 0x10, 0x1a, 0, 4, 'M', 'Q', 'T', 'T', 5, 2, 0, 0, 12, 21, 0, 1, 'M', 22, 0, 5, 'a', 'l', 'i', 'c', 'e', 0, 1, 'a' };
	static const char *const shown[] = { "alice", "bob", NULL };

	(void)state;
	w.config.identities = true;
	w.config.authentication = &method;
	start(true);
	for (size_t i = 0; i < sizeof(shown) / sizeof(*shown); i++) {
		client_open(&w, &a, MQTT_5);
		if (shown[i])
			assert_true(broker_identify(w.broker, a.link, span_text(shown[i])));
		send_bytes(&a, connect, sizeof(connect));
		assert_int_equal(expect(&a, CONNACK).reason, i == 1 ? 0x87 : 0);
		client_drop(&a);
	}
}

static void certificates_only(void **state)
{
	(void)state;
	w.config.identities = true;
	start(false);
	refused(&b, MQTT_5, (struct terms){ .id = "b" }, 0x87, 5);
	refused(&b, MQTT_3_1_1, (struct terms){ .id = "b", .user = "alice", .password = "alice" }, 0x87, 5);
	client_open(&w, &a, MQTT_5);
	assert_false(broker_identify(w.broker, a.link, span_text("")));
	assert_true(broker_identify(w.broker, a.link, span_text("alice")));
	send_connect(&a, (struct terms){ .id = "a" });
	assert_int_equal(expect(&a, CONNACK).reason, 0);
}

/* A client that may not come learns nothing and changes nothing: neither the client id's session nor where to go. */
static void nothing_is_done_for_who_is_refused(void **state)
{
	struct broker_stats stats;

	(void)state;
	w.config.redirect = span_text("elsewhere");
	start(true);
	refused(&a, MQTT_5, (struct terms){ .id = "a", .user = "alice", .password = "x" }, 0x86, 4);
	refused(&a, MQTT_3_1_1, (struct terms){ .id = "a" }, 0x87, 5);
	broker_stats(w.broker, &stats);
	assert_int_equal(stats.sessions, 0);
}

/* ---- whose session it is ---- */

static const struct owners {
	const char *name, *first, *second;
	bool same;
} owners[] = {
	{ "the same user", "alice", "alice", true },
	{ "nobody, twice", NULL, NULL, true },
	{ "another user", "alice", "bob", false },
	{ "a longer name", "alice", "alice2", false },
	{ "nobody after a user", "alice", NULL, false },
	{ "a user after nobody", NULL, "alice", false },
	{ "the empty name after nobody", NULL, "", false },
	{ "nobody after the empty name", "", NULL, false },
};

#define N_OWNERS (sizeof(owners) / sizeof(*owners))

static void connection_of(const struct owners *o, uint8_t version, bool resume)
{
	connects(&w, &c, MQTT_5, (struct terms){ .id = "watch" });
	subscribes(&c, "will", 0);
	connects(&w, &a, version, (struct terms){ .id = "a", .user = o->first, .resume = true, .expiry = 60, .will = "will" });
	if (o->same) {
		connects(&w, &b, version, (struct terms){ .id = "a", .user = o->second, .resume = resume, .expiry = 60 });
		expect_closed(&a);
		expect_message(&c, "w", 0);
		return;
	}
	refused(&b, version, (struct terms){ .id = "a", .user = o->second, .resume = resume }, 0x85, 2);
	assert_false(link_closing(a.link));
	expect_nothing(&c);
	acks(&a, PINGREQ, 0);
	expect(&a, PINGRESP);
	client_drop(&a);
	expect_message(&c, "w", 0);
}

static void stored_session_of(const struct owners *o, uint8_t version, bool resume)
{
	struct packet p;

	connects(&w, &a, version, (struct terms){ .id = "s", .user = o->first, .resume = true, .expiry = 60 });
	subscribes(&a, "t", 0);
	client_drop(&a);
	if (!o->same)
		refused(&b, version, (struct terms){ .id = "s", .user = o->second, .resume = resume }, 0x85, 2);
	p = connects(&w, &b, version, (struct terms){ .id = "s", .user = o->first, .resume = true, .expiry = 60 });
	assert_int_equal(p.ack_flags, 1);
	client_drop(&b);
	connects(&w, &b, version, (struct terms){ .id = "s", .user = o->first });	/* the owner may discard it, */
	disconnects(&b, 0);
	p = connects(&w, &b, version, (struct terms){ .id = "s", .user = o->second });	/* and then the id is free */
	assert_int_equal(p.ack_flags, 0);
}

static void session_is_its_users(void **state)
{
	const struct owners *o = *state;
	struct broker_stats stats;

	open_world(NULL);
	for (unsigned i = 0; i < 4; i++) {
		uint8_t version = i & 1 ? MQTT_5 : MQTT_3_1_1;

		start(false);
		connection_of(o, version, i & 2);
		stored_session_of(o, version, i & 2);
		broker_stats(w.broker, &stats);
		assert_int_equal(broker_count_memory(w.broker), stats.memory);
		world_close(&w);
	}
}

/* ---- what CONNACK tells ---- */

static struct value told(struct packet p, unsigned id)
{
	struct value v = { 0 };

	property_find(p.properties, id, &v);
	return v;
}

static void response_information(void **state)
{
	struct packet p;

	(void)state;
	w.config.response_information = span_text("replies/of/this/broker");
	start(false);
	p = connects(&w, &a, MQTT_5, (struct terms){ .id = "a", .asks = true });
	assert_true(span_is(told(p, PROP_response_information).bytes, "replies/of/this/broker"));
	p = connects(&w, &b, MQTT_5, (struct terms){ .id = "b" });
	assert_null(told(p, PROP_response_information).bytes.at);
	p = connects(&w, &c, MQTT_5, (struct terms){ .id = "c", .asks = true, .maximum_packet_size = 20 });
	assert_null(told(p, PROP_response_information).bytes.at);	/* rather than no CONNACK at all */
	assert_int_equal(told(p, PROP_topic_alias_maximum).number, 32);
}

static void redirect(void **state)
{
	struct packet p;

	(void)state;
	for (unsigned for_good = 0; for_good < 2; for_good++) {
		w.config.redirect = span_text("mqtt.example:1884");
		w.config.redirect_for_good = for_good;
		start(false);
		client_open(&w, &a, MQTT_5);
		send_connect(&a, (struct terms){ .id = "a" });
		p = expect(&a, CONNACK);
		assert_int_equal(p.reason, for_good ? 0x9d : 0x9c);
		assert_true(span_is(told(p, PROP_server_reference).bytes, "mqtt.example:1884"));
		expect_closed(&a);
		client_open(&w, &a, MQTT_5);
		send_connect(&a, (struct terms){ .id = "a", .maximum_packet_size = 10 });
		p = expect(&a, CONNACK);
		assert_int_equal(p.reason, for_good ? 0x9d : 0x9c);
		assert_int_equal(p.properties.len, 0);
		expect_closed(&a);
		refused(&a, MQTT_3_1_1, (struct terms){ .id = "a" }, 0, 3);
		refused(&a, MQTT_3_1, (struct terms){ .id = "a" }, 0, 3);
		if (!for_good)
			world_close(&w);
	}
}

static void successor(void **state)
{
	struct packet p;

	(void)state;
	w.config.successor = span_text("mqtt.example");
	start(false);
	connects(&w, &a, MQTT_5, (struct terms){ .id = "a" });
	connects(&w, &b, MQTT_5, (struct terms){ .id = "b", .maximum_packet_size = 12 });
	connects(&w, &c, MQTT_3_1_1, (struct terms){ .id = "c" });
	broker_shutdown(w.broker, w.now_ns);
	settle(&w);
	p = expect(&a, DISCONNECT);
	assert_int_equal(p.reason, 0x9c);
	assert_true(span_is(told(p, PROP_server_reference).bytes, "mqtt.example"));
	p = expect(&b, DISCONNECT);
	assert_int_equal(p.reason, 0x9c);
	assert_int_equal(p.properties.len, 0);
	expect_nothing(&c);
	expect_closed(&a);
	expect_closed(&b);
	expect_closed(&c);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, open_world, close_world)

int main(void)
{
	struct CMUnitTest tests[5 + N_OWNERS] = {
		TEST(logins), TEST(certificates), TEST(certificates_only), TEST(certificate_and_authentication),
		TEST(nothing_is_done_for_who_is_refused), TEST(response_information), TEST(redirect), TEST(successor),
	};

	for (size_t i = 0; i < N_OWNERS; i++)
		tests[5 + i] = (struct CMUnitTest){ .name = owners[i].name, .test_func = session_is_its_users, .initial_state = (void *)&owners[i] };
	return cmocka_run_group_tests_name("reference-broker logins", tests, NULL, NULL);
}
