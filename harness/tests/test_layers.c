/* One layer at a time, against a peer that is ours byte by byte: what no decent TLS or WebSocket would do. */
#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include "harness/layer.h"
#include "harness/tls.h"
#include "harness/tls_context.h"
#include "harness/websocket.h"

#define SECOND_NS UINT64_C(1000000000)
#define NOT_ENDED 1			/* no recv returns it */

static struct tls_context *client_context, *server_context;

struct side {
	struct transport *t;
	uint8_t *got;
	size_t n_got;
	ssize_t end;			/* what recv said at last */
	unsigned n_open, n_failed, n_readable, n_writable;
	bool deaf;			/* reads nothing, and is paused */
	bool closes_when_opened;
	size_t to_send, sent;		/* of a pattern */
};

struct pair {
	struct loop loop;
	struct service service;
	struct address address;
	struct side client, server;
	SSL *ssl;			/* of the side that is ours byte by byte */
	BIO *in, *out;
};

/* ---- sides ---- */

static uint8_t pattern(size_t i)
{
	return (uint8_t)(i * 2654435761u >> 13);
}

static void go_on(struct side *s)
{
	uint8_t bytes[40000];

	while (s->t && s->sent < s->to_send) {
		size_t n = s->to_send - s->sent < sizeof(bytes) ? s->to_send - s->sent : sizeof(bytes);

		for (size_t i = 0; i < n; i++)
			bytes[i] = pattern(s->sent + i);
		ssize_t taken = s->t->ops->send(s->t, bytes, n);
		if (taken == -EAGAIN)
			return;
		assert_true(taken > 0);
		s->sent += (size_t)taken;
	}
}

static void on_event(struct transport *t, unsigned events)
{
	struct side *s = t->owner;
	uint8_t bytes[5000];

	s->n_open += !!(events & TRANSPORT_OPEN);
	s->n_failed += !!(events & TRANSPORT_FAILED);
	s->n_writable += !!(events & TRANSPORT_WRITABLE);
	if (s->closes_when_opened && events & (TRANSPORT_OPEN | TRANSPORT_FAILED)) {
		t->ops->close(t, false);
		s->t = NULL;
		return;
	}
	if (events & TRANSPORT_READABLE) {
		s->n_readable++;
		ssize_t n = t->ops->recv(t, bytes, sizeof(bytes));
		if (n > 0) {
			s->got = realloc(s->got, s->n_got + (size_t)n);
			memcpy(s->got + s->n_got, bytes, (size_t)n);
			s->n_got += (size_t)n;
		} else if (n != -EAGAIN) {
			s->end = n;
		}
	}
	if (events & (TRANSPORT_WRITABLE | TRANSPORT_OPEN))
		go_on(s);
}

static void accepted(struct service *service, struct transport *t)
{
	struct pair *p = (struct pair *)((char *)service - offsetof(struct pair, service));

	p->server.t = t;
	t->event = on_event;
	t->owner = &p->server;
	if (p->server.deaf)
		t->ops->pause(t, true);
}

static int set_up(void **state)
{
	struct pair *p = calloc(1, sizeof(*p));

	assert_int_equal(loop_init(&p->loop, true), 0);
	p->client.end = p->server.end = NOT_ENDED;
	p->service.accepted = accepted;
	p->address.kind = ADDRESS_MEMORY;
	p->address.service = &p->service;
	*state = p;
	alarm(60);			/* a loop that turns in a circle never comes back */
	return 0;
}

static void shut(struct side *s)
{
	if (s->t)
		s->t->ops->close(s->t, false);
	free(s->got);
	*s = (struct side){ .end = NOT_ENDED };
}

static void part(struct pair *p)
{
	shut(&p->client);
	shut(&p->server);
	SSL_free(p->ssl);
	p->ssl = NULL;
	loop_settle(&p->loop);
}

static int tear_down(void **state)
{
	struct pair *p = *state;

	part(p);
	loop_release(&p->loop);
	free(p);
	alarm(0);
	return 0;
}

static void stop(struct timer *timer, struct loop *loop)
{
	(void)timer;
	loop_stop(loop);
}

/* Until nothing happens any more. A loop that never comes to rest does not reach the time. */
static void settle(struct pair *p)
{
	struct timer timer = { .fire = stop };

	loop_timer(&p->loop, &timer, p->loop.now_ns + SECOND_NS);
	assert_true(loop_run(&p->loop));
}

static void join(struct pair *p, struct layers client, struct layers server)
{
	client.context = client_context;
	server.context = server_context;
	p->address.layers = client;
	p->service.layers = server;
	p->client.t = transport_connect(&p->loop, &p->address, on_event, &p->client);
	assert_non_null(p->client.t);
	if (p->client.deaf)
		p->client.t->ops->pause(p->client.t, true);
	settle(p);
}

static void say(struct side *s, const void *bytes, size_t len)
{
	assert_int_equal(s->t->ops->send(s->t, bytes, len), len);
}

static void assert_says(const struct side *s, const char *text)
{
	if (s->n_got < strlen(text) || memcmp(s->got, text, strlen(text)))
		fail_msg("expected '%s', got '%.*s'", text, (int)s->n_got, (const char *)s->got);
}

static void assert_error(const struct side *s, const char *text)
{
	assert_true(s->end < 0);
	if (!strstr(transport_strerror((int)-s->end), text))
		fail_msg("no '%s' in '%s'", text, transport_strerror((int)-s->end));
}

/* ---- WebSocket: the server, and a client that is ours ---- */

static const struct layers bare = { 0 }, ws = { .websocket = true }, tls = { .tls = true }, wss = { .tls = true, .websocket = true };

static const char request[] =
	"GET /mqtt HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n"
	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: mqtt\r\nSec-WebSocket-Version: 13\r\n\r\n";
static const char response[] =		/* to that key: RFC 6455, 1.3 */
	"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
	"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n";

static void say_frame(struct side *s, enum ws_opcode opcode, const void *bytes, size_t len)
{
	static const uint8_t mask[4] = { 1, 2, 3, 4 };
	uint8_t frame[WS_HEAD_MAX + 200];
	size_t n = ws_head(frame, opcode, true, len, mask);

	memcpy(frame + n, bytes, len);
	ws_mask(frame + n, len, mask, 0);
	say(s, frame, n + len);
}

static void opened(struct pair *p)
{
	join(p, bare, ws);
	say(&p->client, request, strlen(request));
	settle(p);
	assert_int_equal(p->server.n_open, 1);
	assert_int_equal(p->client.n_got, strlen(response));
	assert_says(&p->client, response);
	p->client.n_got = 0;
}

static void ws_request_in_bytes(void **state)
{
	struct pair *p = *state;

	join(p, bare, ws);
	for (size_t i = 0; i < strlen(request); i++) {
		assert_int_equal(p->server.n_open, 0);
		say(&p->client, request + i, 1);
		settle(p);
	}
	assert_int_equal(p->server.n_open, 1);
	assert_says(&p->client, response);
}

static void ws_request_cut(void **state)
{
	struct pair *p = *state;

	for (size_t cut = 0; cut < strlen(request); cut++) {
		join(p, bare, ws);
		if (cut)
			say(&p->client, request, cut);
		p->client.t->ops->finish(p->client.t);
		settle(p);
		assert_int_equal(p->server.n_open, 0);
		assert_error(&p->server, "client ended the connection before its WebSocket request");
		part(p);
	}
}

static void ws_frame_behind_the_request(void **state)
{
	struct pair *p = *state;
	char both[sizeof(request) + 11];

	memcpy(both, request, strlen(request));
	memcpy(both + strlen(request), "\x82\x85\0\0\0\0hello", 11);
	join(p, bare, ws);
	say(&p->client, both, strlen(request) + 11);
	settle(p);
	assert_int_equal(p->server.n_got, 5);
	assert_says(&p->server, "hello");
}

/* A handshake goes on, and what follows it waits. */
static void ws_paused_in_the_handshake(void **state)
{
	struct pair *p = *state;

	p->server.deaf = true;
	opened(p);
	say_frame(&p->client, WS_BINARY, "hello", 5);
	settle(p);
	assert_int_equal(p->server.n_readable, 0);
	p->server.t->ops->pause(p->server.t, false);
	settle(p);
	assert_says(&p->server, "hello");
}

static void ws_too_long_a_head(void **state)
{
	struct pair *p = *state;
	char line[] = "X: 0123456789abcdef0123456789abcdef0123456789abcdef0123456789ab\r\n";

	join(p, bare, ws);
	say(&p->client, "GET / HTTP/1.1\r\n", 16);
	for (int i = 0; i < 2000; i++)
		if (p->client.t->ops->send(p->client.t, line, strlen(line)) < 0)
			break;
	settle(p);
	assert_says(&p->client, "HTTP/1.1 431 ");
	assert_error(&p->server, "no WebSocket");
}

static void ws_pings_of_who_does_not_read(void **state)
{
	struct pair *p = *state;
	char ping[100] = "";

	p->service.options.room = 4096;
	opened(p);
	p->client.t->ops->pause(p->client.t, true);
	for (int i = 0; i < 2000; i++) {
		say_frame(&p->client, WS_PING, ping, sizeof(ping));
		if (i % 20 == 19)
			settle(p);
		assert_true(((struct layer *)p->server.t)->out_len <= 5 * 1024);
	}
	say_frame(&p->client, WS_BINARY, "hello", 5);
	settle(p);
	assert_says(&p->server, "hello");
	p->client.t->ops->pause(p->client.t, false);
	settle(p);
	assert_true(p->client.n_got > 4096 && !((struct layer *)p->server.t)->out);
	assert_memory_equal(p->client.got, "\x8a\x64", 2);
}

/* Reads the server's frames; returns how many bytes of data there were. The last frame is a Close of that code. */
static size_t frames_up_to_close(const struct side *s, unsigned code)
{
	struct ws_reader r = { 0 };
	struct ws_got got = { 0 };
	size_t at = 0, used, n = 0;
	enum ws_event event;

	while ((event = ws_read(&r, s->got + at, s->n_got - at, &used, &got)) == WS_DATA) {
		for (size_t i = 0; i < got.bytes.len; i++)
			assert_int_equal(got.bytes.at[i], pattern(n + i));
		n += got.bytes.len;
		at += used;
	}
	assert_int_equal(event, WS_CONTROL);
	assert_int_equal(got.opcode, WS_CLOSE);
	assert_int_equal(got.code, code);
	assert_int_equal(at + used, s->n_got);
	return n;
}

static void ws_close_while_sending(void **state)
{
	struct pair *p = *state;

	p->service.options.room = 1000;
	opened(p);
	p->client.t->ops->pause(p->client.t, true);
	p->server.to_send = 1 << 20;
	go_on(&p->server);
	assert_true(p->server.sent && p->server.sent < 1 << 20);
	p->server.to_send = p->server.sent;
	say_frame(&p->client, WS_CLOSE, "\x03\xe9" "bye", 5);
	say_frame(&p->client, WS_BINARY, "late!", 5);		/* nobody reads this */
	settle(p);
	assert_int_equal(p->server.end, 0);
	assert_int_equal(p->server.n_got, 0);
	assert_int_equal(p->server.t->ops->send(p->server.t, "x", 1), -EPIPE);
	p->client.t->ops->pause(p->client.t, false);
	settle(p);
	assert_int_equal(frames_up_to_close(&p->client, 1001), p->server.sent);
}

static void ws_closes_of_the_client(void **state)
{
	static const struct { const char *what; enum ws_opcode opcode; const char *bytes; size_t len; unsigned code; int error; } rows[] = {
		{ "without a code", WS_CLOSE, "", 0, 0, false },
		{ "with a code and a reason", WS_CLOSE, "\x03\xe8" "bye", 5, 1000, false },
		{ "half a code", WS_CLOSE, "\x03", 1, 1002, true },
		{ "a code that is never sent", WS_CLOSE, "\x03\xed", 2, 1002, true },
		{ "no UTF-8", WS_CLOSE, "\x03\xe8\xff", 3, 1002, true },
		{ "text", WS_TEXT, "hello", 5, 1003, true },
		{ "a reserved opcode", (enum ws_opcode)11, "", 0, 1002, true },
	};
	struct pair *p = *state;

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		opened(p);
		say_frame(&p->client, rows[i].opcode, rows[i].bytes, rows[i].len);
		say_frame(&p->client, WS_BINARY, "late!", 5);
		settle(p);
		assert_int_equal(p->server.n_got, 0);
		assert_int_equal(p->server.end < 0, rows[i].error);
		p->server.t->ops->close(p->server.t, false);
		p->server.t = NULL;
		settle(p);
		assert_int_equal(frames_up_to_close(&p->client, rows[i].code), 0);
		assert_int_equal(p->client.end, 0);		/* no reset: what explains the end has arrived */
		part(p);
	}
}

static void ws_frame_without_end(void **state)
{
	struct pair *p = *state;

	opened(p);
	say(&p->client, "\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff\0\0\0\0", 14);
	for (int i = 0; i < 100; i++) {
		say(&p->client, "0123456789", 10);
		settle(p);
		assert_int_equal(p->server.n_got, 10 * (i + 1));
	}
}

/* An orderly end of ours is a Close frame, then the end; whatever the other side still sends may be read. */
static void ws_finished(void **state)
{
	struct pair *p = *state;

	opened(p);
	p->server.t->ops->finish(p->server.t);
	settle(p);
	assert_int_equal(frames_up_to_close(&p->client, 1000), 0);
	say_frame(&p->client, WS_BINARY, "hello", 5);
	say_frame(&p->client, WS_CLOSE, "\x03\xe8", 2);
	settle(p);
	assert_says(&p->server, "hello");
	assert_int_equal(p->server.end, 0);
	assert_int_equal(p->client.n_got, 4);			/* no second Close */
}

/* ---- WebSocket: the client, and a server that is ours ---- */

static void answer(struct pair *p, const char *behind, size_t len)
{
	char text[1000], accept[64], *key;

	join(p, ws, bare);
	key = strstr((char *)p->server.got, "Sec-WebSocket-Key: ");
	assert_non_null(key);
	snprintf(text, sizeof(text), "%.24s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", key + 19);
	unsigned char digest[20];
	assert_int_equal(EVP_Digest(text, strlen(text), digest, NULL, EVP_sha1(), NULL), 1);
	EVP_EncodeBlock((unsigned char *)accept, digest, 20);
	int n = snprintf(text, sizeof(text), "HTTP/1.1 101 Yes\r\nupgrade: WebSocket\r\nconnection: upgrade\r\nsec-websocket-accept: %s\r\n\r\n", accept);
	memcpy(text + n, behind, len);
	say(&p->server, text, (size_t)n + len);
	settle(p);
}

/* As Aedes does: each byte of CONNACK is a frame, the first ones with the answer. */
static void ws_frames_of_one_byte(void **state)
{
	struct pair *p = *state;

	answer(p, "\x82\1h\x82\1e\x82\1l\x82\1l", 12);
	assert_int_equal(p->client.n_open, 1);
	assert_says(&p->client, "hell");
	say(&p->server, "\x82\0\x82", 3);
	settle(p);
	say(&p->server, "\1o", 2);
	settle(p);
	assert_int_equal(p->client.n_got, 5);
	assert_says(&p->client, "hello");
}

static void ws_masked_by_the_server(void **state)
{
	struct pair *p = *state;

	answer(p, "\x82\x81\0\0\0\0h", 7);
	assert_int_equal(p->client.n_got, 0);
	assert_error(&p->client, "a masked frame from the server");
}

static void ws_closed_when_opened(void **state)
{
	struct pair *p = *state;

	p->client.closes_when_opened = true;
	answer(p, "\x82\1h", 3);
	assert_null(p->client.t);
	assert_int_not_equal(p->server.end, NOT_ENDED);
}

/* ---- TLS, and a peer that is an SSL of ours between memory BIOs ---- */

static void ours(struct pair *p, SSL_CTX *ctx, bool client)
{
	p->ssl = SSL_new(ctx);
	p->in = BIO_new(BIO_s_mem());
	p->out = BIO_new(BIO_s_mem());
	BIO_set_mem_eof_return(p->in, -1);
	SSL_set_bio(p->ssl, p->in, p->out);
	if (client)
		SSL_set_connect_state(p->ssl);
	else
		SSL_set_accept_state(p->ssl);
}

/* Carries what waits each way, at most piece bytes at a time. */
static void carry(struct pair *p, struct side *s, size_t piece)
{
	uint8_t bytes[4096];
	int n;

	do {
		while ((n = BIO_read(p->out, bytes, (int)(piece ? piece : sizeof(bytes)))) > 0) {
			say(s, bytes, (size_t)n);
			if (piece)
				settle(p);
		}
		settle(p);
		BIO_write(p->in, s->got, (int)s->n_got);
		s->n_got = 0;
		ERR_clear_error();
		SSL_do_handshake(p->ssl);
	} while (BIO_pending(p->out));
	ERR_clear_error();
}

static void shaken(struct pair *p, size_t piece)
{
	join(p, bare, tls);
	ours(p, client_context->ctx, true);
	SSL_do_handshake(p->ssl);
	carry(p, &p->client, piece);
	assert_true(SSL_is_init_finished(p->ssl));
	assert_int_equal(p->server.n_open, 1);
}

static void hello_arrives(struct pair *p)
{
	assert_int_equal(SSL_write(p->ssl, "hello", 5), 5);
	carry(p, &p->client, 0);
	assert_says(&p->server, "hello");
}

static void tls_in_bytes(void **state)
{
	struct pair *p = *state;

	shaken(p, 1);
	hello_arrives(p);
}

static void tls_cut(void **state)
{
	struct pair *p = *state;
	uint8_t hello[2000];
	int len;

	ours(p, client_context->ctx, true);
	SSL_do_handshake(p->ssl);
	len = BIO_read(p->out, hello, sizeof(hello));
	assert_true(len > 100);
	SSL_free(p->ssl);
	p->ssl = NULL;
	for (int cut = 0; cut <= len; cut++) {
		join(p, bare, tls);
		if (cut)
			say(&p->client, hello, (size_t)cut);
		p->client.t->ops->finish(p->client.t);
		settle(p);
		assert_error(&p->server, "the client ended the connection in the TLS handshake");
		p->server.t->ops->close(p->server.t, false);
		p->server.t = NULL;
		settle(p);
		assert_int_equal(p->client.end, 0);
		part(p);
	}
}

static const struct { const char *bytes; size_t len; } garbage[] = {
	{ "\x10\x0c\0\4MQTT\4\2\0\x3c\0\0", 14 }, { "GET / HTTP/1.1\r\n\r\n", 18 }, { "\x16\3\1\xff\xff", 5 }, { "\0\0\0\0\0\0\0\0", 8 },
	{ "\x16\3\1\0\4\1\xff\xff\xff", 9 }, { "\x17\3\3\0\5hello", 10 }, { "\x15\3\3\0\2\2\x28", 7 }, { "\x80\x2e\1\0\2\0\x15\0\0\0\x10", 11 },
};

static void tls_garbage(void **state)
{
	struct pair *p = *state;

	for (size_t i = 0; i < sizeof garbage / sizeof *garbage; i++) {
		join(p, bare, tls);
		say(&p->client, garbage[i].bytes, garbage[i].len);
		p->client.t->ops->finish(p->client.t);
		settle(p);
		assert_true(p->server.end < 0);
		assert_int_equal(p->server.n_open + p->server.n_failed, 0);
		part(p);
		join(p, tls, bare);
		say(&p->server, garbage[i].bytes, garbage[i].len);
		p->server.t->ops->finish(p->server.t);
		settle(p);
		assert_int_equal(p->client.n_failed, 1);
		assert_int_equal(p->client.n_open, 0);
		assert_int_equal(p->client.t->ops->send(p->client.t, "x", 1), -ENOTCONN);
		part(p);
	}
}

static void tls_garbage_later(void **state)
{
	struct pair *p = *state;

	shaken(p, 0);
	say(&p->client, "\x17\3\3\0\x14" "not what was agreed on", 25);
	settle(p);
	assert_error(&p->server, "TLS: ");
	assert_int_equal(p->server.n_got, 0);
	assert_true(p->server.t->ops->send(p->server.t, "x", 1) < 0);
	assert_int_equal(p->server.t->ops->recv(p->server.t, &(uint8_t){ 0 }, 1), p->server.end);	/* and again */
}

static void tls_end_without_goodbye(void **state)
{
	struct pair *p = *state;

	shaken(p, 0);
	hello_arrives(p);
	p->client.t->ops->finish(p->client.t);
	settle(p);
	assert_int_equal(p->server.end, 0);
}

static void tls_goodbye(void **state)
{
	struct pair *p = *state;

	shaken(p, 0);
	assert_int_equal(SSL_shutdown(p->ssl), 0);
	carry(p, &p->client, 0);
	assert_int_equal(p->server.end, 0);
	say(&p->server, "reply", 5);			/* the other direction goes on */
	p->server.t->ops->finish(p->server.t);
	assert_int_equal(p->server.t->ops->send(p->server.t, "x", 1), -EPIPE);
	settle(p);
	BIO_write(p->in, p->client.got, (int)p->client.n_got);
	uint8_t bytes[10];
	assert_int_equal(SSL_read(p->ssl, bytes, 10), 5);
	assert_int_equal(SSL_read(p->ssl, bytes, 10), 0);
	assert_true(SSL_get_shutdown(p->ssl) & SSL_RECEIVED_SHUTDOWN);
}

/* The end is said although there is no room for it just now. */
static void tls_goodbye_without_room(void **state)
{
	struct pair *p = *state;

	p->service.options.room = 4000;
	shaken(p, 0);
	p->client.t->ops->pause(p->client.t, true);
	p->server.to_send = 100000;
	go_on(&p->server);
	p->server.to_send = p->server.sent;
	p->server.t->ops->finish(p->server.t);
	settle(p);
	assert_int_equal(p->client.n_got, 0);
	p->client.t->ops->pause(p->client.t, false);
	settle(p);
	assert_int_equal(p->client.end, 0);
	BIO_write(p->in, p->client.got, (int)p->client.n_got);
	size_t n = 0;
	uint8_t byte;
	while (SSL_read(p->ssl, &byte, 1) == 1)
		assert_int_equal(byte, pattern(n++));
	assert_int_equal(n, p->server.sent);
	assert_true(SSL_get_shutdown(p->ssl) & SSL_RECEIVED_SHUTDOWN);
}

/* Each wants an answer, and there is no room for any: the loop must come to rest, and go on when there is. */
static void tls_keys_of_who_does_not_read(void **state)
{
	struct pair *p = *state;
	uint8_t bytes[4096];
	int n;

	p->service.options.room = 2000;
	shaken(p, 0);
	p->client.t->ops->pause(p->client.t, true);
	for (int i = 0; i < 400; i++) {
		assert_int_equal(SSL_key_update(p->ssl, SSL_KEY_UPDATE_REQUESTED), 1);
		assert_int_equal(SSL_do_handshake(p->ssl), 1);
		n = BIO_read(p->out, bytes, sizeof(bytes));
		if (p->client.t->ops->send(p->client.t, bytes, (size_t)n) != n)
			break;
		settle(p);
	}
	p->client.t->ops->pause(p->client.t, false);
	settle(p);
	assert_int_equal(p->server.end, NOT_ENDED);
	assert_true(p->client.n_got > 1000);
	say(&p->server, "still", 5);
	settle(p);
}

static SSL_CTX *old_client(void)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());

	SSL_CTX_set_max_proto_version(ctx, TLS1_2_VERSION);
	return ctx;
}

static void tls_1_2_only(void **state)
{
	struct pair *p = *state;
	SSL_CTX *ctx = old_client();

	join(p, bare, tls);
	ours(p, ctx, true);
	SSL_do_handshake(p->ssl);
	carry(p, &p->client, 0);
	assert_string_equal(SSL_get_version(p->ssl), "TLSv1.2");
	assert_false(SSL_SESSION_has_ticket(SSL_get_session(p->ssl)));
	hello_arrives(p);
	/* No new handshake inside: it is refused, and the connection goes on or ends, but serves no second one. */
	SSL_renegotiate(p->ssl);
	carry(p, &p->client, 0);
	assert_int_equal(p->server.n_open, 1);
	assert_false(SSL_is_init_finished(p->ssl));
	SSL_CTX_free(ctx);
}

static void tls_1_1_only(void **state)
{
	struct pair *p = *state;
	SSL_CTX *ctx = old_client();

	SSL_CTX_set_security_level(ctx, 0);
	SSL_CTX_set_min_proto_version(ctx, TLS1_VERSION);
	SSL_CTX_set_max_proto_version(ctx, TLS1_1_VERSION);
	join(p, bare, tls);
	ours(p, ctx, true);
	SSL_do_handshake(p->ssl);
	carry(p, &p->client, 0);
	assert_int_equal(p->server.n_open, 0);
	assert_error(&p->server, "TLS");
	SSL_CTX_free(ctx);
}

/* Who must show a certificate, by name and by number; RFC 6066: a number is no server name. */
static void tls_names(void **state)
{
	static const struct { const char *name, *sni; bool right; } rows[] = {
		{ "localhost", "localhost", true }, { "LOCALHOST", "LOCALHOST", true }, { "127.0.0.1", NULL, true }, { "::1", NULL, true },
		{ "127.0.0.2", NULL, false }, { "::2", NULL, false }, { "localhost.example", "localhost.example", false }, { "local", "local", false },
	};
	struct pair *p = *state;

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		ours(p, server_context->ctx, false);
		p->address.layers = p->service.layers = bare;
		struct transport *below = transport_connect(&p->loop, &p->address, on_event, &p->client);
		p->client.t = tls_client(below, client_context, rows[i].name);
		p->client.t->event = on_event;
		p->client.t->owner = &p->client;
		settle(p);
		carry(p, &p->server, 0);
		assert_int_equal(p->client.n_open, rows[i].right);
		assert_int_equal(p->client.n_failed, !rows[i].right);
		const char *sni = SSL_get_servername(p->ssl, TLSEXT_NAMETYPE_host_name);
		assert_int_equal(!sni, !rows[i].sni);
		if (sni)
			assert_string_equal(sni, rows[i].sni);
		part(p);
	}
}

/* ---- both ends are layers ---- */

static void each(struct pair *p, void (*test)(struct pair *p, struct layers layers))
{
	const struct layers all[] = { tls, ws, wss };

	for (size_t i = 0; i < 3; i++) {
		test(p, all[i]);
		part(p);
	}
}

static void talks(struct pair *p)
{
	assert_int_equal(p->client.n_open, 1);
	assert_int_equal(p->server.n_open, 1);
	p->client.to_send = p->server.to_send = 5;
	go_on(&p->client);
	go_on(&p->server);
	settle(p);
	assert_int_equal(p->client.n_got, 5);
	assert_int_equal(p->server.n_got, 5);
}

static void one_byte_of_room(struct pair *p, struct layers layers)
{
	p->service.options.room = 1;
	join(p, layers, layers);
	talks(p);
}

static void room_of_one_byte(void **state)
{
	each(*state, one_byte_of_room);
}

static void large_both_ways(struct pair *p, struct layers layers)
{
	const size_t size = 3 << 20;

	p->service.options = (struct mem_options){ .room = 30000, .delay_ns = 10000, .split_seed = 5 };
	join(p, layers, layers);
	p->client.to_send = p->server.to_send = size;
	go_on(&p->client);
	go_on(&p->server);
	for (int i = 0; i < 1000 && (p->client.n_got < size || p->server.n_got < size); i++)
		settle(p);
	assert_int_equal(p->client.n_got, size);
	assert_int_equal(p->server.n_got, size);
	for (size_t i = 0; i < size; i++)
		if (p->client.got[i] != pattern(i) || p->server.got[i] != pattern(i))
			fail_msg("byte %zu is wrong", i);
}

static void both_ways_at_once(void **state)
{
	each(*state, large_both_ways);
}

static void closed_in_open(struct pair *p, struct layers layers)
{
	p->client.closes_when_opened = true;
	join(p, layers, layers);
	assert_null(p->client.t);
	assert_int_not_equal(p->server.end, NOT_ENDED);
	part(p);
	p->server.closes_when_opened = true;
	join(p, layers, layers);
	assert_null(p->server.t);
	assert_true(p->client.n_failed || p->client.end != NOT_ENDED);
}

static void closed_when_told_open(void **state)
{
	each(*state, closed_in_open);
}

/* After each number of rounds of the loop, either end goes: nothing is used that is gone, and the other one learns of it. */
static void gone_after(struct pair *p, struct layers layers, unsigned rounds, bool client, bool reset)
{
	struct side *goes = client ? &p->client : &p->server, *stays = client ? &p->server : &p->client;
	bool there = false;

	p->address.layers = p->service.layers = layers;
	p->service.layers.context = server_context;
	p->address.layers.context = client_context;
	p->client.t = transport_connect(&p->loop, &p->address, on_event, &p->client);
	for (unsigned i = 0; i < rounds; i++) {
		struct timer timer = { .fire = stop };

		loop_timer(&p->loop, &timer, p->loop.now_ns + 1000);
		loop_run(&p->loop);
	}
	there = goes->t && stays->t;
	if (goes->t)
		goes->t->ops->close(goes->t, reset);
	goes->t = NULL;
	settle(p);
	if (there && client)
		assert_int_not_equal(stays->end, NOT_ENDED);
	if (there && !client)
		assert_true(stays->n_failed || stays->end != NOT_ENDED);
	part(p);
}

static void gone_in_the_handshake(void **state)
{
	const struct layers all[] = { tls, ws, wss };
	struct pair *p = *state;

	p->service.options = (struct mem_options){ .delay_ns = 1000, .room = 500 };
	for (size_t i = 0; i < 3; i++)
		for (unsigned rounds = 0; rounds < 30; rounds++)
			for (unsigned how = 0; how < 4; how++)
				gone_after(p, all[i], rounds, how & 1, how & 2);
}

static void finished_before_it_opened(struct pair *p, struct layers layers)
{
	layers.context = client_context;
	p->address.layers = layers;
	layers.context = server_context;
	p->service.layers = layers;
	p->client.t = transport_connect(&p->loop, &p->address, on_event, &p->client);
	p->client.t->ops->finish(p->client.t);
	settle(p);
	assert_int_equal(p->client.n_open, 1);
	assert_int_equal(p->server.n_open, 1);
	assert_int_equal(p->server.end, 0);
	if (!layers.websocket) {
		say(&p->server, "reply", 5);
		settle(p);
		assert_says(&p->client, "reply");
	}
}

static void finish_waits_for_the_handshake(void **state)
{
	each(*state, finished_before_it_opened);
}

static void patient_server(struct pair *p, struct layers layers)
{
	struct pair *q = p;

	p->service.layers = layers;
	q->server.deaf = true;
	join(p, layers, layers);
	assert_int_equal(p->server.n_open, 1);
	p->client.to_send = 5;
	go_on(&p->client);
	settle(p);
	assert_int_equal(p->server.n_readable, 0);
	p->server.t->ops->pause(p->server.t, false);
	settle(p);
	assert_int_equal(p->server.n_got, 5);
}

static void paused_in_the_handshake(void **state)
{
	each(*state, patient_server);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(ws_request_in_bytes), TEST(ws_request_cut), TEST(ws_frame_behind_the_request), TEST(ws_paused_in_the_handshake),
		TEST(ws_too_long_a_head), TEST(ws_pings_of_who_does_not_read), TEST(ws_close_while_sending), TEST(ws_closes_of_the_client),
		TEST(ws_frame_without_end), TEST(ws_finished), TEST(ws_frames_of_one_byte), TEST(ws_masked_by_the_server), TEST(ws_closed_when_opened),
		TEST(tls_in_bytes), TEST(tls_cut), TEST(tls_garbage), TEST(tls_garbage_later), TEST(tls_end_without_goodbye), TEST(tls_goodbye),
		TEST(tls_goodbye_without_room), TEST(tls_keys_of_who_does_not_read), TEST(tls_1_2_only), TEST(tls_1_1_only), TEST(tls_names),
		TEST(room_of_one_byte), TEST(both_ways_at_once), TEST(closed_when_told_open), TEST(gone_in_the_handshake),
		TEST(finish_waits_for_the_handshake), TEST(paused_in_the_handshake),
	};

	if (!tls_contexts_for_us(&client_context, &server_context))
		return 1;
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	tls_context_release(client_context);
	tls_context_release(server_context);
	return failed;
}
