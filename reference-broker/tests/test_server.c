#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "codec/codec.h"
#include "harness/tls.h"
#include "reference-broker/server.h"

/* The server over in-memory pipes on simulated time, and over loopback sockets. */

struct peer {
	struct transport *transport;
	uint8_t in[4096];
	size_t len;
	bool open, ended, failed;
	size_t wanted;			/* stops the loop once that many bytes are here */
};

static struct loop loop;
static struct server *server;
static struct broker_config config;

static const uint8_t connect_311[] = { 0x10, 0x0d, 0, 4, 'M', 'Q', 'T', 'T', 4, 2, 0, 0, 0, 1, 'x' };
static const uint8_t connect_5_keep_alive[] = { 0x10, 0x0e, 0, 4, 'M', 'Q', 'T', 'T', 5, 2, 0, 10, 0, 0, 1, 'x' };
static const uint8_t ping[] = { 0xc0, 0 };

static void happened(struct transport *t, unsigned events)
{
	struct peer *p = t->owner;

	if (events & TRANSPORT_OPEN)
		p->open = true;
	if (events & TRANSPORT_FAILED)
		p->failed = true;
	if (events & TRANSPORT_READABLE) {
		ssize_t n = t->ops->recv(t, p->in + p->len, sizeof(p->in) - p->len);

		if (n > 0)
			p->len += (size_t)n;
		else if (n != -EAGAIN)
			p->ended = true;
	}
	if (p->failed || p->ended || (p->wanted && p->len >= p->wanted) || (!p->wanted && p->open))
		loop_stop(t->loop);
}

static void peer_open(struct peer *p, const struct address *address)
{
	*p = (struct peer){ 0 };
	p->transport = transport_connect(&loop, address, happened, p);
	assert_non_null(p->transport);
	loop_run(&loop);
	assert_true(p->open);
}

static void peer_send(struct peer *p, const void *bytes, size_t len)
{
	assert_int_equal(p->transport->ops->send(p->transport, bytes, len), len);
}

static void peer_wait(struct peer *p, size_t len)
{
	p->wanted = len;
	while (p->len < len && !p->ended)
		loop_run(&loop);
}

static void peer_wait_end(struct peer *p)
{
	p->wanted = sizeof(p->in) + 1;
	while (!p->ended)
		loop_run(&loop);
}

static void start(bool simulated)
{
	assert_int_equal(loop_init(&loop, simulated), 0);
	broker_defaults(&config);
	server = server_new(&loop, &config);
	assert_non_null(server);
}

static void end(struct peer *p)
{
	if (p)
		p->transport->ops->close(p->transport, false);
	server_free(server);
	loop_settle(&loop);
	loop_release(&loop);
}

static struct address in_memory(void)
{
	return (struct address){ .kind = ADDRESS_MEMORY, .service = server_service(server, WAY_TCP, NULL) };
}

static void serves_in_memory(void **state)
{
	struct address address;
	struct peer p;

	(void)state;
	start(true);
	address = in_memory();
	peer_open(&p, &address);
	peer_send(&p, connect_311, sizeof(connect_311));
	peer_send(&p, ping, sizeof(ping));
	peer_wait(&p, 6);
	assert_memory_equal(p.in, "\x20\x02\0\0\xd0\0", 6);
	end(&p);
}

static void keeps_time_in_memory(void **state)
{
	struct address address;
	struct peer p;
	uint64_t from;

	(void)state;
	start(true);
	address = in_memory();
	peer_open(&p, &address);
	peer_send(&p, connect_5_keep_alive, sizeof(connect_5_keep_alive));
	from = loop.now_ns;
	peer_wait_end(&p);
	assert_int_equal((loop.now_ns - from) / 1000000000, 15);
	assert_true(p.len > 4 && memchr(p.in, 0xe0, p.len));	/* DISCONNECT, then the end */
	end(&p);
}

static void closes_after_errors(void **state)
{
	struct address address;
	struct peer p;

	(void)state;
	start(true);
	address = in_memory();
	peer_open(&p, &address);
	peer_send(&p, ping, sizeof(ping));
	peer_wait_end(&p);
	assert_int_equal(p.len, 0);
	end(&p);
}

/* The time for CONNECT is that of handshakes too: who is slow about them, or has done with them and says no more, is shown out. */
static void shows_slow_handshakes_out(void **state)
{
	static const char request[] = "GET / HTTP/1.1\r\nHost: x\r\n", hello[] = "\x16\3\1\2\0\1\0\1\xfc\3\3";
	static const struct { enum way way; bool layered; const char *begins; size_t len; } rows[] = {
		{ WAY_TLS, false, "", 0 }, { WAY_WS, false, "", 0 }, { WAY_WSS, false, "", 0 },
		{ WAY_TLS, false, hello, sizeof(hello) - 1 }, { WAY_WSS, false, hello, sizeof(hello) - 1 }, { WAY_WS, false, request, sizeof(request) - 1 },
		{ WAY_TLS, true, "", 0 }, { WAY_WS, true, "", 0 }, { WAY_WSS, true, "", 0 }, { WAY_WSS, true, "\x10", 1 },
	};
	struct tls_context *client, *serving;

	(void)state;
	assert_true(tls_contexts_for_us(&client, &serving));
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct address address = { .kind = ADDRESS_MEMORY };
		struct peer p;
		uint64_t from;

		start(true);
		address.service = server_service(server, rows[i].way, rows[i].way & WAY_TLS ? serving : NULL);
		address.layers = (struct layers){ .tls = rows[i].layered && rows[i].way & WAY_TLS, .websocket = rows[i].layered && rows[i].way & WAY_WS, .context = client };
		from = loop.now_ns;
		peer_open(&p, &address);
		if (rows[i].len)
			peer_send(&p, rows[i].begins, rows[i].len);
		peer_wait_end(&p);
		assert_int_equal((loop.now_ns - from) / 1000000000, 10);
		end(&p);
	}
	tls_context_release(client);
	tls_context_release(serving);
}

static void stop_loop(struct timer *timer, struct loop *l)
{
	(void)timer;
	loop_stop(l);
}

/* What TLS and WebSocket keep is of the same purse as all else that clients have the broker keep. */
static void layers_count_as_memory(void **state)
{
	static const struct { enum way way; bool all; } rows[] = { { WAY_TCP, true }, { WAY_WS, false }, { WAY_TLS, false } };
	struct tls_context *client, *serving;

	(void)state;
	assert_true(tls_contexts_for_us(&client, &serving));
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct address address = { .kind = ADDRESS_MEMORY };
		struct peer p[100];
		size_t n_ended = 0;

		assert_int_equal(loop_init(&loop, true), 0);
		broker_defaults(&config);
		config.max_memory = 1 << 20;
		server = server_new(&loop, &config);
		address.service = server_service(server, rows[i].way, serving);
		for (size_t k = 0; k < 100; k++) {
			struct timer now = { .fire = stop_loop };

			peer_open(&p[k], &address);
			p[k].wanted = sizeof(p[k].in) + 1;
			loop_timer(&loop, &now, loop.now_ns + 1);
			loop_run(&loop);
			loop_timer_stop(&loop, &now);
			n_ended += p[k].ended;
		}
		assert_true(rows[i].all ? !n_ended : n_ended > 40 && n_ended < 95);
		for (size_t k = 0; k < 100; k++)
			p[k].transport->ops->close(p[k].transport, true);
		end(NULL);
	}
	tls_context_release(client);
	tls_context_release(serving);
}

static void lets_a_slow_reader_go(void **state)
{
	struct address address;
	struct peer p;

	(void)state;
	start(true);
	server_service(server, WAY_TCP, NULL)->options.room = 64;
	address = in_memory();
	peer_open(&p, &address);
	peer_send(&p, connect_311, sizeof(connect_311));
	peer_wait(&p, 4);
	p.transport->ops->pause(p.transport, true);
	for (int i = 0; i < 32; i++)
		peer_send(&p, ping, sizeof(ping));
	loop_settle(&loop);
	p.transport->ops->pause(p.transport, false);
	peer_wait(&p, 4 + 64);			/* nothing was lost */
	end(&p);
}

static struct address listening(void)
{
	struct address address = { .kind = ADDRESS_TCP, .host = "127.0.0.1" };
	struct listener *l = server_listen(server, &address);

	assert_non_null(l);
	address.port = listener_port(l);
	return address;
}

static void serves_over_tcp(void **state)
{
	struct address address;
	struct peer p;

	(void)state;
	start(false);
	address = listening();
	peer_open(&p, &address);
	for (size_t i = 0; i < sizeof(connect_311); i++)
		peer_send(&p, connect_311 + i, 1);
	peer_send(&p, ping, sizeof(ping));
	peer_wait(&p, 6);
	assert_memory_equal(p.in, "\x20\x02\0\0\xd0\0", 6);
	end(&p);
}

static void port_in_use(void **state)
{
	struct address address;

	(void)state;
	start(false);
	address = listening();
	assert_null(server_listen(server, &address));
	assert_int_equal(errno, EADDRINUSE);
	end(NULL);
}

static bool gone;

static void stopped(void *context)
{
	gone = true;
	loop_stop(context);
}

static void stops_when_asked(void **state)
{
	static const uint8_t connect_5[] = { 0x10, 0x0e, 0, 4, 'M', 'Q', 'T', 'T', 5, 2, 0, 0, 0, 0, 1, 'x' };
	struct address address;
	struct peer p;
	size_t after;

	(void)state;
	start(false);
	address = listening();
	peer_open(&p, &address);
	peer_send(&p, connect_5, sizeof(connect_5));
	peer_wait(&p, 5);
	after = p.len;
	gone = false;
	server_shutdown(server, stopped, &loop);
	peer_wait_end(&p);
	assert_true(p.len > after && p.in[after] == 0xe0);
	p.transport->ops->close(p.transport, false);
	while (!gone)
		loop_run(&loop);
	end(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(serves_in_memory), cmocka_unit_test(keeps_time_in_memory), cmocka_unit_test(closes_after_errors),
		cmocka_unit_test(shows_slow_handshakes_out), cmocka_unit_test(lets_a_slow_reader_go), cmocka_unit_test(layers_count_as_memory), cmocka_unit_test(serves_over_tcp), cmocka_unit_test(port_in_use),
		cmocka_unit_test(stops_when_asked),
	};

	return cmocka_run_group_tests_name("reference-broker/server", tests, NULL, NULL);
}
