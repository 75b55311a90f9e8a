#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "harness/load/control.h"

#define SECOND_NS UINT64_C(1000000000)

struct fixture {
	struct loop loop;
	struct service service;
	struct sink *sink;
	struct transport *t;
	uint8_t *got;
	size_t n_got;
	ssize_t end;			/* 1: not yet */
	bool open;
};

enum { ROOM = 4 * 1024 * 1024 };

/* ---- a client of bytes ---- */

static void on_event(struct transport *t, unsigned events)
{
	struct fixture *f = t->owner;

	f->open |= (events & TRANSPORT_OPEN) != 0;
	if (events & TRANSPORT_READABLE) {
		ssize_t n = t->ops->recv(t, f->got + f->n_got, ROOM - f->n_got);

		if (n > 0)
			f->n_got += (size_t)n;
		else if (n != -EAGAIN)
			f->end = n;
	}
}

static void stop(struct timer *timer, struct loop *loop)
{
	(void)timer;
	loop_stop(loop);
}

static void settle(struct fixture *f)
{
	struct timer timer = { .fire = stop };

	loop_timer(&f->loop, &timer, f->loop.now_ns + SECOND_NS);
	assert_true(loop_run(&f->loop));
}

static void say(struct fixture *f, const void *bytes, size_t len)
{
	assert_int_equal(f->t->ops->send(f->t, bytes, len), len);
}

static void accepted(struct service *service, struct transport *t)
{
	sink_take(((struct fixture *)((char *)service - offsetof(struct fixture, service)))->sink, t);
}

static void connect_to(struct fixture *f, const struct sink_options *options)
{
	struct address address = { .kind = ADDRESS_MEMORY, .service = &f->service };
	struct fault fault;

	f->sink = sink_new(&f->loop, options, &fault);
	assert_non_null(f->sink);
	f->t = transport_connect(&f->loop, &address, on_event, f);
	settle(f);
	assert_true(f->open);
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_int_equal(loop_init(&f->loop, true), 0);
	f->service.accepted = accepted;
	f->got = malloc(ROOM);
	f->end = 1;
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	if (f->t)
		f->t->ops->close(f->t, false);
	sink_free(f->sink);
	loop_settle(&f->loop);
	loop_release(&f->loop);
	free(f->got);
	free(f);
	return 0;
}

static const struct sink_options plain = { .listen.kind = ADDRESS_MEMORY };

#define CONNECT_3 "\x10\x0e\0\4MQTT\4\2\0\x3c\0\2me"
#define CONNECT_5 "\x10\x0f\0\4MQTT\5\2\0\x3c\0\0\2me"
#define CONNECT_5_MAX_3 "\x10\x12\0\4MQTT\5\2\0\x3c\3\x21\0\3\0\2me"

/* ---- answers ---- */

static const struct conversation {
	const char *name;
	struct span said, answered;
	bool ends;
	struct sink_counts counts;
} conversations[] = {
#define ROW(name, said, answered, ends, ...) { name, { (const uint8_t *)said, sizeof(said) - 1 }, { (const uint8_t *)answered, sizeof(answered) - 1 }, ends, { __VA_ARGS__ } }
	ROW("3.1.1", CONNECT_3, "\x20\2\0\0", false, .connects = 1),
	ROW("5", CONNECT_5, "\x20\3\0\0\0", false, .connects = 1),
	ROW("3.1", "\x10\x10\0\6MQIsdp\3\2\0\x3c\0\2me", "\x20\2\0\0", false, .connects = 1),
	ROW("PUBLISH with each QoS", CONNECT_3 "\x30\5\0\1a12\x32\7\0\1a\1\2xy\x34\7\0\1a\3\4xy", "\x20\2\0\0\x40\2\1\2\x50\2\3\4", false,
	    .connects = 1, .publishes = { 1, 1, 1 }, .publish_bytes = 25),
	ROW("PUBREL", CONNECT_3 "\x34\5\0\1a\3\4\x62\2\3\4", "\x20\2\0\0\x50\2\3\4\x70\2\3\4", false, .connects = 1, .publishes = { 0, 0, 1 }, .publish_bytes = 7, .acks = 1),
	ROW("PUBREL of 5", CONNECT_5 "\x62\4\3\4\0\0", "\x20\3\0\0\0\x70\2\3\4", false, .connects = 1, .acks = 1),
	ROW("SUBSCRIBE", CONNECT_3 "\x82\x0c\0\7\0\1a\2\0\3b/#\1", "\x20\2\0\0\x90\4\0\7\2\1", false, .connects = 1, .subscribes = 2),
	ROW("SUBSCRIBE of 5", CONNECT_5 "\x82\x07\0\7\0\0\1a\2", "\x20\3\0\0\0\x90\4\0\7\0\2", false, .connects = 1, .subscribes = 1),
	ROW("UNSUBSCRIBE", CONNECT_3 "\xa2\5\0\7\0\1a", "\x20\2\0\0\xb0\2\0\7", false, .connects = 1),
	ROW("UNSUBSCRIBE of 5", CONNECT_5 "\xa2\x09\0\7\0\0\1a\0\1b", "\x20\3\0\0\0\xb0\5\0\7\0\0\0", false, .connects = 1),
	ROW("PINGREQ", CONNECT_3 "\xc0\0", "\x20\2\0\0\xd0\0", false, .connects = 1, .pings = 1),
	ROW("DISCONNECT", CONNECT_3 "\xe0\0", "\x20\2\0\0", true, .connects = 1, .closed = 1),
	ROW("no CONNECT", "\x30\5\0\1a12", "", true, .closed = 1),
	ROW("no CONNECT before PINGREQ", "\xc0\0", "", true, .closed = 1),
	ROW("a second CONNECT", CONNECT_3 CONNECT_3, "\x20\2\0\0", true, .connects = 1, .closed = 1),
	ROW("QoS 3", CONNECT_3 "\x36\7\0\1a\1\2xy", "\x20\2\0\0", true, .connects = 1, .closed = 1),
	ROW("a topic past the end", CONNECT_3 "\x30\5\0\4a12", "\x20\2\0\0", true, .connects = 1, .closed = 1),
	ROW("no room for a packet id", CONNECT_3 "\x32\3\0\1a", "\x20\2\0\0", true, .connects = 1, .closed = 1),
	ROW("PUBLISH without a topic's length", CONNECT_3 "\x30\1\0", "\x20\2\0\0", true, .connects = 1, .closed = 1),
	ROW("a length of five bytes", CONNECT_3 "\x30\xff\xff\xff\xff\1", "\x20\2\0\0", true, .connects = 1, .closed = 1),
	ROW("a SUBSCRIBE of a megabyte", CONNECT_3 "\x82\x80\x80\x40", "\x20\2\0\0", true, .connects = 1, .closed = 1),
	ROW("what only a server sends", CONNECT_3 "\xd0\0", "\x20\2\0\0", true, .connects = 1, .closed = 1),
};

static void answers(struct fixture *f, const struct conversation *row)
{
	settle(f);
	if (f->n_got != row->answered.len || memcmp(f->got, row->answered.at, f->n_got))
		fail_msg("%zu bytes are answered, not as expected", f->n_got);
	assert_int_equal(f->end != 1, row->ends);
	assert_memory_equal(sink_counts(f->sink), &row->counts, sizeof(row->counts));
}

static void as_written(void **state)
{
	const struct conversation *row = *state;

	*state = NULL;
	set_up(state);
	connect_to(*state, &plain);
	say(*state, row->said.at, row->said.len);
	answers(*state, row);
	tear_down(state);
}

static void byte_by_byte(void **state)
{
	const struct conversation *row = *state;

	*state = NULL;
	set_up(state);
	struct fixture *f = *state;
	connect_to(f, &plain);
	for (size_t i = 0; i < row->said.len && f->end == 1; i++) {
		say(f, row->said.at + i, 1);
		settle(f);
	}
	answers(f, row);
	tear_down(state);
}

/* A payload of 3 MB is skipped as it comes, and what follows is understood. */
static void a_large_payload(void **state)
{
	struct fixture *f = *state;
	uint8_t *payload = calloc(1, 100000);

	f->service.options.room = 300000;
	connect_to(f, &plain);
	say(f, CONNECT_3 "\x32\xc5\x8d\xb7\1\0\1a\1\2", sizeof(CONNECT_3) - 1 + 10);	/* 5 + 3,000,000 bytes */
	for (int i = 0; i < 30; i++) {
		settle(f);
		assert_int_equal(sink_counts(f->sink)->publishes[1], 0);
		assert_int_equal(f->n_got, 4);
		say(f, payload, 100000);
	}
	say(f, "\xc0\0", 2);
	settle(f);
	assert_int_equal(sink_counts(f->sink)->publishes[1], 1);
	assert_int_equal(f->n_got, 10);
	assert_memory_equal(f->got + 4, "\x40\2\1\2\xd0\0", 6);
	free(payload);
}

/* 20,000 of QoS 1 in one go: every answer comes, though the pipe has room for a few only. */
static void answers_wait_for_room(void **state)
{
	struct fixture *f = *state;
	enum { N = 20000 };
	uint8_t *bytes = malloc(7 * N);

	f->service.options.room = 7 * N;
	connect_to(f, &plain);
	f->t->ops->pause(f->t, true);
	for (int round = 0; round < 4; round++) {
		for (int i = 0; i < N; i++)
			memcpy(bytes + 7 * i, (const uint8_t[]){ 0x32, 5, 0, 1, 'a', (uint8_t)(i >> 8), (uint8_t)i }, 7);
		if (!round)
			say(f, CONNECT_3, sizeof(CONNECT_3) - 1);
		settle(f);
		if (f->t->ops->send(f->t, bytes, 7 * N) != 7 * N)
			break;
	}
	settle(f);
	assert_true(sink_counts(f->sink)->publishes[1] < 4 * N);	/* it stopped reading */
	f->t->ops->pause(f->t, false);
	settle(f);
	assert_int_equal(f->n_got, 4 + 4 * sink_counts(f->sink)->publishes[1]);
	for (size_t i = 0; i < (f->n_got - 4) / 4; i++)
		assert_memory_equal(f->got + 4 + 4 * i, ((const uint8_t[]){ 0x40, 2, (uint8_t)(i % N >> 8), (uint8_t)(i % N) }), 4);
	free(bytes);
}

/* ---- floods ---- */

static void a_flood_as_it_is_taken(void **state)
{
	struct fixture *f = *state;
	struct sink_options options = { .listen.kind = ADDRESS_MEMORY, .flood = 3, .flood_each = 5000 };

	connect_to(f, &options);
	f->service.options.room = 1000;
	say(f, CONNECT_3 "\x82\x0a\0\7\0\5a/+/#\0", sizeof(CONNECT_3) - 1 + 12);
	settle(f);
	assert_int_equal(f->n_got, 4 + 5 + 5000 * 12);
	for (int i = 0; i < 5000; i++)
		assert_memory_equal(f->got + 9 + 12 * i, "\x30\x0a\0\5a/x/xxxx", 12);
	assert_int_equal(sink_counts(f->sink)->sent, 5000);
}

static void a_flood_without_end_ends_with_its_connection(void **state)
{
	struct fixture *f = *state;
	struct sink_options options = { .listen.kind = ADDRESS_MEMORY, .flood = 100 };

	connect_to(f, &options);
	f->t->ops->pause(f->t, true);
	say(f, CONNECT_3 "\x82\x06\0\7\0\1#\0", sizeof(CONNECT_3) - 1 + 8);
	settle(f);
	assert_true(sink_counts(f->sink)->sent > 1000);
	f->t->ops->close(f->t, true);
	f->t = NULL;
	settle(f);
	assert_int_equal(sink_counts(f->sink)->closed, 1);
}

static void a_flood_keeps_to_receive_maximum(void **state)
{
	struct fixture *f = *state;
	struct sink_options options = { .listen.kind = ADDRESS_MEMORY, .flood = 1, .flood_qos = 2, .flood_each = 4 };

	connect_to(f, &options);
	say(f, CONNECT_5_MAX_3 "\x82\x07\0\7\0\0\1#\2", sizeof(CONNECT_5_MAX_3) - 1 + 9);
	settle(f);
	assert_int_equal(f->n_got, 5 + 6 + 3 * 9);
	assert_memory_equal(f->got + 11, "\x34\7\0\1x\0\1\0x\x34\7\0\1x\0\2\0x\x34\7\0\1x\0\3\0x", 27);
	f->n_got = 0;
	say(f, "\x50\2\0\1", 4);
	settle(f);
	assert_int_equal(f->n_got, 4);
	assert_memory_equal(f->got, "\x62\2\0\1", 4);
	say(f, "\x70\2\0\1", 4);
	settle(f);
	assert_int_equal(f->n_got, 4 + 9);
	assert_memory_equal(f->got + 4, "\x34\7\0\1x\0\4\0x", 9);
	say(f, "\x50\3\0\2\x87", 5);			/* refused: it goes on behind it, if there were more */
	settle(f);
	assert_int_equal(f->n_got, 4 + 9);
}

static void reflected(void **state)
{
	struct fixture *f = *state;
	struct sink_options options = { .listen.kind = ADDRESS_MEMORY, .reflect = true };

	connect_to(f, &options);
	say(f, CONNECT_3 "\x30\5\0\1a12", sizeof(CONNECT_3) - 1 + 7);
	settle(f);
	assert_int_equal(f->n_got, 4);			/* it has not subscribed */
	say(f, "\x82\x06\0\7\0\1#\0" "\x30\5\0\1a12" "\x3b\7\0\1a\1\2xy", 8 + 7 + 9);
	settle(f);
	assert_int_equal(f->n_got, 4 + 5 + 7 + 4 + 7);
	assert_memory_equal(f->got + 9, "\x30\5\0\1a12\x40\2\1\2\x30\5\0\1axy", 18);
}

static void refused_options(void **state)
{
	struct fixture *f = *state;
	struct sink_options options = { .listen.kind = ADDRESS_MEMORY, .flood = 10000000 }, there;
	struct fault fault;

	assert_null(sink_new(&f->loop, &options, &fault));
	assert_string_equal(fault.text, "a flood of more than 327696 bytes a message is more than the sink can make");
	options = (struct sink_options){ .listen = { .kind = ADDRESS_TCP, .host = "127.0.0.1" } };
	f->sink = sink_new(&f->loop, &options, &fault);
	assert_non_null(f->sink);
	there = options;
	there.listen.port = sink_port(f->sink);
	assert_null(sink_new(&f->loop, &there, &fault));
	assert_non_null(strstr(fault.text, "Address already in use"));
}

int main(void)
{
	enum { N = sizeof(conversations) / sizeof(conversations[0]) };
	static const struct CMUnitTest others[] = {
		cmocka_unit_test_setup_teardown(a_large_payload, set_up, tear_down),
		cmocka_unit_test_setup_teardown(answers_wait_for_room, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_flood_as_it_is_taken, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_flood_without_end_ends_with_its_connection, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_flood_keeps_to_receive_maximum, set_up, tear_down),
		cmocka_unit_test_setup_teardown(reflected, set_up, tear_down),
		cmocka_unit_test_setup_teardown(refused_options, set_up, tear_down),
	};
	static struct CMUnitTest rows[2 * N];

	for (size_t i = 0; i < N; i++) {
		rows[i] = (struct CMUnitTest){ .name = conversations[i].name, .test_func = as_written, .initial_state = (void *)&conversations[i] };
		rows[N + i] = rows[i];
		rows[N + i].test_func = byte_by_byte;
	}
	int failed = _cmocka_run_group_tests("conversations", rows, 2 * N, NULL, NULL);
	return failed + cmocka_run_group_tests_name("sink", others, NULL, NULL);
}
