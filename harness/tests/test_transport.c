/* The same behaviours over every kind of transport, and then what only one kind has. */
#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "harness/tls.h"
#include "harness/transport.h"

#define PATIENCE_NS UINT64_C(20000000000)
#define SECOND_NS UINT64_C(1000000000)

enum kind {
	MEM_SIMULATED, MEM_REAL, MEM_ROUGH, TCP, UNIX_SOCKET,
	TLS_MEM, TLS_ROUGH, TLS_TCP, WS_MEM, WS_ROUGH, WS_TCP, WSS_MEM, WSS_ROUGH, WSS_TCP, N_KINDS
};

static const struct {
	const char *name;
	enum kind base;
	bool tls, websocket;
} kinds[N_KINDS] = {
	[MEM_SIMULATED] = { "mem simulated", MEM_SIMULATED, false, false },
	[MEM_REAL]      = { "mem real", MEM_REAL, false, false },
	[MEM_ROUGH]     = { "mem with delay and splits", MEM_ROUGH, false, false },
	[TCP]           = { "tcp", TCP, false, false },
	[UNIX_SOCKET]   = { "unix", UNIX_SOCKET, false, false },
	[TLS_MEM]       = { "tls over mem", MEM_SIMULATED, true, false },
	[TLS_ROUGH]     = { "tls over mem with delay and splits", MEM_ROUGH, true, false },
	[TLS_TCP]       = { "tls", TCP, true, false },
	[WS_MEM]        = { "ws over mem", MEM_SIMULATED, false, true },
	[WS_ROUGH]      = { "ws over mem with delay and splits", MEM_ROUGH, false, true },
	[WS_TCP]        = { "ws", TCP, false, true },
	[WSS_MEM]       = { "wss over mem", MEM_SIMULATED, true, true },
	[WSS_ROUGH]     = { "wss over mem with delay and splits", MEM_ROUGH, true, true },
	[WSS_TCP]       = { "wss", TCP, true, true },
};

static struct tls_context *client_context, *server_context;

#define NOT_ENDED 1			/* no recv returns it */

struct side {
	struct fixture *f;
	struct transport *t;
	uint8_t *got;
	size_t n_got, cap_got;
	ssize_t end;			/* what recv said at last */
	unsigned n_open, n_failed, n_readable, n_writable;
	size_t read_at_most;		/* in one event */
	bool close_when_read;
};

struct fixture {
	enum kind kind;
	struct loop loop;
	struct service service;
	struct listener *listener;
	struct address address;
	struct side client, server;
	unsigned n_accepted;
	bool (*until)(struct fixture *f);
	struct timer deadline;
	char dir[64];
};

/* ---- sides ---- */

static void side_event(struct transport *t, unsigned events)
{
	struct side *s = t->owner;
	struct fixture *f = s->f;

	s->n_open += !!(events & TRANSPORT_OPEN);
	s->n_failed += !!(events & TRANSPORT_FAILED);
	s->n_writable += !!(events & TRANSPORT_WRITABLE);
	if (events & TRANSPORT_READABLE) {
		size_t room = s->read_at_most ? s->read_at_most : 4096;
		ssize_t n;

		s->n_readable++;
		if (s->cap_got - s->n_got < room) {
			s->cap_got = 2 * s->cap_got + room;
			s->got = realloc(s->got, s->cap_got);
		}
		n = t->ops->recv(t, s->got + s->n_got, room);
		if (n > 0)
			s->n_got += (size_t)n;
		else if (n != -EAGAIN)
			s->end = n;
		if (s->close_when_read) {
			t->ops->close(t, false);
			s->t = NULL;
		}
	}
	if (f->until && f->until(f))
		loop_stop(&f->loop);
}

static void side_init(struct side *s, struct fixture *f)
{
	s->f = f;
	s->end = NOT_ENDED;
}

static void hand_over(struct fixture *f, struct transport *t)
{
	f->n_accepted++;
	assert_null(f->server.t);
	f->server.t = t;
	t->event = side_event;
	t->owner = &f->server;
	if (f->until && f->until(f))
		loop_stop(&f->loop);
}

static void socket_accepted(void *context, struct transport *t)
{
	hand_over(context, t);
}

static void service_accepted(struct service *service, struct transport *t)
{
	hand_over((struct fixture *)((char *)service - offsetof(struct fixture, service)), t);
}

static void too_late(struct timer *timer, struct loop *loop)
{
	(void)timer;
	(void)loop;
	fail_msg("nothing came in time");
}

static void run_until(struct fixture *f, bool (*until)(struct fixture *f))
{
	f->until = until;
	f->deadline.fire = too_late;
	loop_timer(&f->loop, &f->deadline, f->loop.now_ns + (f->loop.clock.simulated ? 3600 * SECOND_NS : PATIENCE_NS));
	if (!until(f))
		assert_true(loop_run(&f->loop));
	loop_timer_stop(&f->loop, &f->deadline);
	f->until = NULL;
}

static void send_all(struct side *s, const void *bytes, size_t len)
{
	assert_int_equal(s->t->ops->send(s->t, bytes, len), len);
}

static void send_text(struct side *s, const char *text)
{
	send_all(s, text, strlen(text));
}

static void assert_got(const struct side *s, const char *text)
{
	assert_int_equal(s->n_got, strlen(text));
	assert_memory_equal(s->got, text, s->n_got);
}

/* ---- conditions ---- */

static bool both_open(struct fixture *f)
{
	return f->client.n_open && f->server.t && (f->kind < TLS_MEM || f->server.n_open);
}

static bool failed(struct fixture *f)
{
	return f->client.n_failed;
}

static bool server_got_5(struct fixture *f)
{
	return f->server.n_got >= 5;
}

static bool client_got_5(struct fixture *f)
{
	return f->client.n_got >= 5;
}

static bool server_ended(struct fixture *f)
{
	return f->server.end != NOT_ENDED;
}

static bool client_ended(struct fixture *f)
{
	return f->client.end != NOT_ENDED;
}

static bool server_closed(struct fixture *f)
{
	return f->n_accepted && !f->server.t;
}

/* ---- set up ---- */

static int set_up(void **state)
{
	const enum kind whole = *(const enum kind *)*state, kind = kinds[whole].base;
	struct fixture *f = calloc(1, sizeof(*f));

	f->kind = whole;
	assert_int_equal(loop_init(&f->loop, kind == MEM_SIMULATED || kind == MEM_ROUGH), 0);
	side_init(&f->client, f);
	side_init(&f->server, f);
	f->service.accepted = service_accepted;
	strcpy(f->dir, "/tmp/mqassay-test-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	f->address.layers = f->service.layers = (struct layers){ .tls = kinds[whole].tls, .websocket = kinds[whole].websocket, .context = server_context };
	switch (kind) {
	case TCP:
		f->address.kind = ADDRESS_TCP;
		strcpy(f->address.host, "127.0.0.1");
		break;
	case UNIX_SOCKET:
		f->address.kind = ADDRESS_UNIX;
		snprintf(f->address.host, sizeof(f->address.host), "%s/socket", f->dir);
		break;
	default:
		f->address.kind = ADDRESS_MEMORY;
		f->address.service = &f->service;
		if (kind == MEM_ROUGH)
			f->service.options = (struct mem_options){ .delay_ns = 5000000, .split_seed = 7, .room = 1000 };
		f->address.layers.context = client_context;
		*state = f;
		return 0;
	}
	f->listener = transport_listen(&f->loop, &f->address, socket_accepted, f);
	assert_non_null(f->listener);
	f->address.port = listener_port(f->listener);
	f->address.layers.context = client_context;
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	if (f->client.t)
		f->client.t->ops->close(f->client.t, false);
	if (f->server.t)
		f->server.t->ops->close(f->server.t, false);
	listener_free(f->listener);
	loop_settle(&f->loop);
	loop_release(&f->loop);
	free(f->client.got);
	free(f->server.got);
	assert_int_equal(rmdir(f->dir), 0);	/* so the unix socket is gone too */
	free(f);
	return 0;
}

static void connect_both(struct fixture *f)
{
	f->client.t = transport_connect(&f->loop, &f->address, side_event, &f->client);
	assert_non_null(f->client.t);
	assert_int_equal(f->client.n_open, 0);	/* never from inside the call */
	run_until(f, both_open);
}

/* ---- behaviours of all ---- */

static void both_ways(void **state)
{
	struct fixture *f = *state;

	connect_both(f);
	send_text(&f->client, "hello");
	run_until(f, server_got_5);
	assert_got(&f->server, "hello");
	send_text(&f->server, "world");
	run_until(f, client_got_5);
	assert_got(&f->client, "world");
	assert_int_equal(f->client.n_open, 1);
	assert_int_equal(f->n_accepted, 1);
	assert_int_equal(f->client.t->ops->recv(f->client.t, f->client.got, 1), -EAGAIN);
}

static void half_close(void **state)
{
	struct fixture *f = *state;
	uint8_t byte;

	connect_both(f);
	send_text(&f->client, "query");
	f->client.t->ops->finish(f->client.t);
	run_until(f, server_ended);
	assert_got(&f->server, "query");
	assert_int_equal(f->server.end, 0);
	assert_int_equal(f->server.t->ops->recv(f->server.t, &byte, 1), 0);	/* and again */
	send_text(&f->server, "reply");
	run_until(f, client_got_5);
	assert_got(&f->client, "reply");
	assert_true(f->client.t->ops->send(f->client.t, "x", 1) < 0);
	f->server.t->ops->finish(f->server.t);
	run_until(f, client_ended);
	assert_int_equal(f->client.end, 0);
}

static void finish_before_open(void **state)
{
	struct fixture *f = *state;

	f->client.t = transport_connect(&f->loop, &f->address, side_event, &f->client);
	f->client.t->ops->finish(f->client.t);
	run_until(f, server_ended);
	assert_int_equal(f->server.end, 0);
}

static void close_ends_the_stream_after_the_data(void **state)
{
	struct fixture *f = *state;

	connect_both(f);
	send_text(&f->server, "bye!!");
	f->server.t->ops->close(f->server.t, false);
	f->server.t = NULL;
	run_until(f, client_ended);
	assert_got(&f->client, "bye!!");
	assert_int_equal(f->client.end, 0);
}

static void reset_is_seen(void **state)
{
	struct fixture *f = *state;
	uint8_t byte;

	connect_both(f);
	f->client.t->ops->close(f->client.t, true);
	f->client.t = NULL;
	run_until(f, server_ended);
	if (f->kind != UNIX_SOCKET) {			/* which knows no reset */
		assert_int_equal(f->server.end, -ECONNRESET);
		assert_int_equal(f->server.t->ops->recv(f->server.t, &byte, 1), -ECONNRESET);
	}
	assert_true(f->server.t->ops->send(f->server.t, "x", 1) < 0);
}

/* As Linux does: what the other end had sent arrives, and then a reset tells that not all was read. */
static void close_with_bytes_unread_resets(void **state)
{
	struct fixture *f = *state;

	connect_both(f);
	f->server.t->ops->pause(f->server.t, true);
	send_text(&f->client, "hello");
	send_text(&f->server, "bye!!");
	run_until(f, client_got_5);
	f->server.t->ops->close(f->server.t, false);
	f->server.t = NULL;
	run_until(f, client_ended);
	assert_got(&f->client, "bye!!");
	assert_int_equal(f->client.end, -ECONNRESET);
}

static void refused(void **state)
{
	struct fixture *f = *state;

	listener_free(f->listener);
	f->listener = NULL;
	f->service.accepted = NULL;
	f->client.t = transport_connect(&f->loop, &f->address, side_event, &f->client);
	assert_non_null(f->client.t);
	assert_int_equal(f->client.n_failed, 0);
	run_until(f, failed);
	assert_int_equal(f->client.t->error, f->kind == UNIX_SOCKET ? ENOENT : ECONNREFUSED);
	assert_int_equal(f->client.n_open, 0);
	assert_int_equal(f->client.t->ops->send(f->client.t, "x", 1), -ENOTCONN);
}

static void closed_before_it_opened(void **state)
{
	struct fixture *f = *state;
	struct transport *t = transport_connect(&f->loop, &f->address, side_event, &f->client);

	t->ops->close(t, false);
	connect_both(f);			/* another one, so that there is something to wait for */
	assert_int_equal(f->client.n_open, 1);
	assert_int_equal(f->client.n_failed, 0);
}

static void pause_holds_everything_back(void **state)
{
	struct fixture *f = *state;

	connect_both(f);
	f->server.t->ops->pause(f->server.t, true);
	send_text(&f->client, "hello");
	f->client.t->ops->finish(f->client.t);
	send_text(&f->server, "world");		/* its arrival shows that time has passed */
	run_until(f, client_got_5);
	assert_int_equal(f->server.n_readable, 0);
	f->server.t->ops->pause(f->server.t, false);
	run_until(f, server_ended);
	assert_got(&f->server, "hello");
}

static void small_reads_are_told_again(void **state)
{
	struct fixture *f = *state;

	connect_both(f);
	f->server.read_at_most = 1;
	send_text(&f->client, "12345");
	run_until(f, server_got_5);
	assert_int_equal(f->server.n_readable, 5);
}

static size_t pattern_sent;
static const size_t pattern_size = 24 << 20;

static bool pattern_arrived(struct fixture *f)
{
	return f->server.n_got == pattern_size;
}

static bool refilled(struct fixture *f)
{
	return f->client.n_writable;
}

static void send_pattern(struct fixture *f)
{
	uint8_t bytes[5000];
	ssize_t n;

	f->client.n_writable = 0;
	while (pattern_sent < pattern_size) {
		size_t len = pattern_size - pattern_sent < sizeof(bytes) ? pattern_size - pattern_sent : sizeof(bytes);

		for (size_t i = 0; i < len; i++)
			bytes[i] = (uint8_t)((pattern_sent + i) * 2654435761u >> 13);
		n = f->client.t->ops->send(f->client.t, bytes, len);
		if (n == -EAGAIN)
			return;
		assert_true(n > 0);
		pattern_sent += (size_t)n;
	}
}

static bool pattern_goes_on(struct fixture *f)
{
	if (f->client.n_writable)
		send_pattern(f);
	return pattern_arrived(f);
}

static void finite_room(void **state)
{
	struct fixture *f = *state;

	connect_both(f);
	pattern_sent = 0;
	f->server.t->ops->pause(f->server.t, true);
	send_pattern(f);
	assert_true(pattern_sent < pattern_size);	/* it was refused */
	f->server.t->ops->pause(f->server.t, false);
	if (!f->client.n_writable)
		run_until(f, refilled);
	run_until(f, pattern_goes_on);
	for (size_t i = 0; i < pattern_size; i++)
		if (f->server.got[i] != (uint8_t)(i * 2654435761u >> 13))
			fail_msg("byte %zu is wrong", i);
}

static void room_is_told_when_the_reader_goes(void **state)
{
	struct fixture *f = *state;

	connect_both(f);
	pattern_sent = 0;
	f->server.t->ops->pause(f->server.t, true);
	send_pattern(f);
	f->server.t->ops->close(f->server.t, true);
	f->server.t = NULL;
	run_until(f, refilled);
	assert_true(f->client.t->ops->send(f->client.t, "x", 1) < 0);
}

static void closed_inside_its_event(void **state)
{
	struct fixture *f = *state;

	connect_both(f);
	f->server.close_when_read = true;
	send_text(&f->client, "hello");
	send_text(&f->client, "hello");
	run_until(f, server_closed);
	assert_int_equal(f->server.n_readable, 1);
}

/* ---- many at once ---- */

#define MANY 150

struct echo {
	struct fixture *f;
	struct transport *client, *server;
	bool done;
};
static struct echo echoes[MANY];
static unsigned n_echoes, n_echoed;

static void echo_server(struct transport *t, unsigned events)
{
	uint8_t bytes[64];
	ssize_t n;

	if (!(events & TRANSPORT_READABLE))
		return;
	n = t->ops->recv(t, bytes, sizeof(bytes));
	if (n > 0)
		assert_int_equal(t->ops->send(t, bytes, (size_t)n), n);
	else if (n != -EAGAIN)
		t->ops->close(t, false);
}

static void echo_accepted(void *context, struct transport *t)
{
	(void)context;
	t->event = echo_server;
}

static void echo_service(struct service *service, struct transport *t)
{
	echo_accepted(service, t);
}

static void echo_client(struct transport *t, unsigned events)
{
	struct echo *e = t->owner;
	uint8_t byte, sent = (uint8_t)(e - echoes);

	if (events & TRANSPORT_OPEN)
		assert_int_equal(t->ops->send(t, &sent, 1), 1);
	if ((events & TRANSPORT_READABLE) && e->done) {
		assert_int_equal(t->ops->recv(t, &byte, 1), 0);		/* the server answers our end with its own */
	} else if (events & TRANSPORT_READABLE) {
		assert_int_equal(t->ops->recv(t, &byte, 1), 1);
		assert_int_equal(byte, sent);
		t->ops->finish(t);
		e->done = true;
		if (++n_echoed == MANY)
			loop_stop(t->loop);
	}
}

static void many(void **state)
{
	struct fixture *f = *state;

	n_echoes = n_echoed = 0;
	f->service.accepted = echo_service;
	if (f->listener) {
		listener_free(f->listener);
		f->address.port = 0;
		f->address.layers.context = server_context;
		f->listener = transport_listen(&f->loop, &f->address, echo_accepted, f);
		assert_non_null(f->listener);
		f->address.layers.context = client_context;
		f->address.port = listener_port(f->listener);
	}
	for (int i = 0; i < MANY; i++) {
		echoes[i] = (struct echo){ .f = f };
		echoes[i].client = transport_connect(&f->loop, &f->address, echo_client, &echoes[i]);
		assert_non_null(echoes[i].client);
	}
	f->deadline.fire = too_late;
	loop_timer(&f->loop, &f->deadline, f->loop.now_ns + (f->loop.clock.simulated ? 3600 * SECOND_NS : PATIENCE_NS));
	assert_true(loop_run(&f->loop));
	loop_timer_stop(&f->loop, &f->deadline);
	for (int i = 0; i < MANY; i++)
		echoes[i].client->ops->close(echoes[i].client, false);
	/* The servers close when they see it; then, but for a listener, nothing is left that could happen. */
	if (f->listener) {
		listener_free(f->listener);
		f->listener = NULL;
	}
	assert_false(loop_run(&f->loop));
}

/* ---- in memory only ---- */

static void reset_discards_unread_bytes(void **state)
{
	struct fixture *f = *state;

	connect_both(f);
	send_text(&f->client, "never read");
	f->client.t->ops->close(f->client.t, true);
	f->client.t = NULL;
	run_until(f, server_ended);
	assert_int_equal(f->server.n_got, 0);
	assert_int_equal(f->server.end, -ECONNRESET);
}

static void room_is_exact(void **state)
{
	struct fixture *f = *state;
	uint8_t bytes[2000] = { 0 };

	f->service.options.room = 1000;
	connect_both(f);
	assert_int_equal(f->client.t->ops->send(f->client.t, bytes, 700), 700);
	assert_int_equal(f->client.t->ops->send(f->client.t, bytes, 700), 300);
	assert_int_equal(f->client.t->ops->send(f->client.t, bytes, 1), -EAGAIN);
	run_until(f, refilled);
	assert_true(f->server.n_got >= 500);
}

static void delay_takes_simulated_time(void **state)
{
	struct fixture *f = *state;
	uint64_t start_ns;

	f->service.options.delay_ns = 3600 * SECOND_NS;
	connect_both(f);
	start_ns = f->loop.now_ns;
	f->deadline.fire = too_late;
	send_text(&f->client, "hello");
	f->client.t->ops->finish(f->client.t);
	f->until = server_ended;
	assert_true(loop_run(&f->loop));
	assert_got(&f->server, "hello");
	assert_int_equal(f->loop.now_ns - start_ns, 3600 * SECOND_NS);
}

static size_t record_pieces(uint64_t seed, uint8_t *pieces)
{
	static const enum kind kind = MEM_SIMULATED;
	void *state = (void *)&kind;
	struct fixture *f;
	uint8_t bytes[200] = { 0 };
	size_t n_pieces = 0, before = 0;

	set_up(&state);
	f = state;
	f->service.options.split_seed = seed;
	connect_both(f);
	send_all(&f->client, bytes, sizeof(bytes));
	f->server.t->ops->pause(f->server.t, true);
	while (f->server.n_got < sizeof(bytes)) {
		uint8_t more[200];
		ssize_t n = f->server.t->ops->recv(f->server.t, more, sizeof(more));

		assert_true(n > 0);
		pieces[n_pieces++] = (uint8_t)n;
		f->server.n_got += (size_t)n;
		before++;
	}
	assert_true(before > 1);
	tear_down(&state);
	return n_pieces;
}

static void splits_repeat_by_seed(void **state)
{
	uint8_t a[200], b[200], c[200];
	size_t n_a = record_pieces(1, a), n_b = record_pieces(1, b), n_c = record_pieces(2, c);

	(void)state;
	assert_int_equal(n_a, n_b);
	assert_memory_equal(a, b, n_a);
	assert_true(n_a != n_c || memcmp(a, c, n_a) != 0);
}

/* ---- sockets only ---- */

static void unknown_host_is_said(void **state)
{
	struct fixture *f = *state;
	struct address nowhere = { .kind = ADDRESS_TCP, .host = "no-such-host.invalid", .port = 1883 };

	f->client.t = transport_connect(&f->loop, &nowhere, side_event, &f->client);
	run_until(f, failed);
	assert_non_null(transport_strerror(f->client.t->error));
	assert_null(strstr(transport_strerror(f->client.t->error), "Success"));
	assert_null(strstr(transport_strerror(f->client.t->error), "Unknown error"));
	assert_int_equal(f->client.t->error, transport_error("%s", transport_strerror(f->client.t->error)));
}

static void errors_have_words(void **state)
{
	char longest[400];
	int first = transport_error("handshake: %s", "certificate has expired"), error = 0;

	(void)state;
	assert_string_equal(transport_strerror(ECONNREFUSED), "Connection refused");
	assert_string_equal(transport_strerror(first), "handshake: certificate has expired");
	assert_int_equal(transport_error("handshake: certificate has expired"), first);
	assert_string_equal(transport_strerror(transport_error("a\x1b[31mb")), "a\\x1b[31mb");
	memset(longest, '\x1b', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	assert_true(strlen(transport_strerror(transport_error("%s", longest))) < 240);
	for (int i = 0; i < 1000; i++)
		error = transport_error("number %d", i);
	assert_string_equal(transport_strerror(error), "one of too many kinds of failure");
	assert_string_equal(transport_strerror(first), "handshake: certificate has expired");
}

/* localhost is ::1 and 127.0.0.1 on most machines; only the second listens here. */
static void next_address_of_a_name_is_tried(void **state)
{
	struct fixture *f = *state;

	strcpy(f->address.host, "localhost");
	connect_both(f);
	send_text(&f->client, "hello");
	run_until(f, server_got_5);
}

static void port_in_use_is_said(void **state)
{
	struct fixture *f = *state;

	assert_null(transport_listen(&f->loop, &f->address, socket_accepted, f));
	assert_int_equal(errno, EADDRINUSE);
}

static void left_behind_unix_socket_is_replaced(void **state)
{
	struct fixture *f = *state;
	struct address again = f->address;
	struct listener *second;

	/* One that is served is not. */
	assert_null(transport_listen(&f->loop, &again, socket_accepted, f));
	assert_int_equal(errno, EADDRINUSE);
	/* A killed program leaves its name: rename it away from listener_free() and back. */
	snprintf(again.host, sizeof(again.host), "%s/kept", f->dir);
	assert_int_equal(rename(f->address.host, again.host), 0);
	listener_free(f->listener);
	f->listener = NULL;
	second = transport_listen(&f->loop, &again, socket_accepted, f);
	assert_non_null(second);
	listener_free(second);
}

static struct timer tick;
static unsigned n_ticks;
static struct rlimit old_limit;

static void count_tick(struct timer *timer, struct loop *loop)
{
	n_ticks++;
	if (n_ticks < 20)
		loop_timer(loop, timer, loop->now_ns + 10000000);
	else
		setrlimit(RLIMIT_NOFILE, &old_limit);
}

static void shortage_of_descriptors_does_not_spin(void **state)
{
	struct fixture *f = *state;
	struct rlimit tight;
	struct rusage before, after;
	int next = dup(0);

	assert_true(next > 0);
	close(next);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old_limit), 0);
	f->client.t = transport_connect(&f->loop, &f->address, side_event, &f->client);	/* takes `next` */
	tight = (struct rlimit){ (rlim_t)next + 1, old_limit.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
	n_ticks = 0;
	tick.fire = count_tick;
	loop_timer(&f->loop, &tick, f->loop.now_ns + 10000000);
	getrusage(RUSAGE_SELF, &before);
	run_until(f, both_open);			/* after count_tick() has lifted the limit */
	getrusage(RUSAGE_SELF, &after);
	assert_true(n_ticks >= 10);
	assert_true((after.ru_utime.tv_sec - before.ru_utime.tv_sec) * 1000000 + after.ru_utime.tv_usec - before.ru_utime.tv_usec +
	            (after.ru_stime.tv_sec - before.ru_stime.tv_sec) * 1000000 + after.ru_stime.tv_usec - before.ru_stime.tv_usec < 100000);
	send_text(&f->client, "hello");
	run_until(f, server_got_5);
}

/* ---- */

#define ALL ((1u << N_KINDS) - 1)
#define BARE ((1u << TLS_MEM) - 1)
#define WEBSOCKETS (1u << WS_MEM | 1u << WS_ROUGH | 1u << WS_TCP | 1u << WSS_MEM | 1u << WSS_ROUGH | 1u << WSS_TCP)
#define MEM (1u << MEM_SIMULATED | 1u << MEM_REAL)

static const struct row {
	const char *name;
	void (*test)(void **state);
	unsigned kinds;
} rows[] = {
	{ "both ways", both_ways, ALL },
	{ "half close", half_close, ALL & ~WEBSOCKETS },
	{ "finish before open", finish_before_open, ALL },
	{ "close ends the stream after the data", close_ends_the_stream_after_the_data, ALL },
	{ "reset is seen", reset_is_seen, ALL },
	{ "close with bytes unread resets", close_with_bytes_unread_resets, BARE },
	{ "refused", refused, ALL },
	{ "closed before it opened", closed_before_it_opened, BARE & ~(1u << TCP | 1u << UNIX_SOCKET) },
	{ "pause holds everything back", pause_holds_everything_back, ALL },
	{ "small reads are told again", small_reads_are_told_again, ALL },
	{ "finite room", finite_room, ALL },
	{ "room is told when the reader goes", room_is_told_when_the_reader_goes, ALL },
	{ "closed inside its event", closed_inside_its_event, ALL },
	{ "many", many, ALL },
	{ "reset discards unread bytes", reset_discards_unread_bytes, MEM },
	{ "room is exact", room_is_exact, MEM },
	{ "delay takes simulated time", delay_takes_simulated_time, 1u << MEM_SIMULATED },
	{ "splits repeat by seed", splits_repeat_by_seed, 1u << MEM_SIMULATED },
	{ "unknown host is said", unknown_host_is_said, 1u << TCP },
	{ "errors have words", errors_have_words, 1u << MEM_SIMULATED },
	{ "next address of a name is tried", next_address_of_a_name_is_tried, 1u << TCP },
	{ "port in use is said", port_in_use_is_said, 1u << TCP },
	{ "left-behind unix socket is replaced", left_behind_unix_socket_is_replaced, 1u << UNIX_SOCKET },
	{ "shortage of descriptors does not spin", shortage_of_descriptors_does_not_spin, 1u << TCP },
};

#define N_ROWS (sizeof(rows) / sizeof(rows[0]))

int main(void)
{
	static enum kind each[N_KINDS];
	static struct CMUnitTest tests[N_ROWS * N_KINDS];
	static char names[N_ROWS * N_KINDS][80];
	size_t n = 0;

	if (!tls_contexts_for_us(&client_context, &server_context))
		return 1;
	for (int kind = 0; kind < N_KINDS; kind++) {
		each[kind] = (enum kind)kind;
		for (size_t i = 0; i < N_ROWS; i++) {
			if (!(rows[i].kinds & 1u << kind))
				continue;
			snprintf(names[n], sizeof(names[n]), "%s: %s", kinds[kind].name, rows[i].name);
			tests[n] = (struct CMUnitTest){ names[n], rows[i].test, set_up, tear_down, &each[kind] };
			n++;
		}
	}
	int failed_tests = _cmocka_run_group_tests("transport", tests, n, NULL, NULL);
	tls_context_release(client_context);
	tls_context_release(server_context);
	return failed_tests;
}
