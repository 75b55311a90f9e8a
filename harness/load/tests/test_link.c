/* Links over every kind of transport: what is sent, what comes, and every way to end. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "harness/load/link.h"
#include "harness/tls.h"

#define PATIENCE_NS UINT64_C(20000000000)
#define SECOND_NS UINT64_C(1000000000)

enum over { MEM, ROUGH, TCP, TLS, WS, WSS_ROUGH, N_KINDS };
enum { MAX_CLIENTS = 200 };

static const char *const names[N_KINDS] = { "mem", "mem with delay and splits", "tcp", "tls over tcp", "ws over tcp", "wss over mem with delay and splits" };
static struct tls_context *client_context, *server_context;

struct peer {				/* the broker's end */
	struct fixture *f;
	struct transport *t;
	uint8_t *got;
	size_t n_got, cap;
	ssize_t end;			/* what recv said at last; 1: it has not ended */
	bool is_open;
};

struct client {
	struct link link;
	struct fixture *f;
	unsigned n_opened, n_ended, n_room, n_packets;
	enum link_end how;
	char types[64];			/* of the packets, as they came: a letter each, from A */
	uint64_t sum;			/* of their bytes */
	unsigned close_at, pause_at, reopen_at;	/* as packet number n comes */
	unsigned reopens;		/* when it has ended, so many times */
	bool silent;			/* sends no CONNECT */
	uint64_t sent, to_send;		/* flooding: bytes */
};

struct fixture {
	enum over kind;
	struct loop loop;
	struct link_hub hub;
	struct service service;
	struct listener *listener;
	struct address address;
	struct monitor_log log;
	char violated[200];
	struct client clients[MAX_CLIENTS];
	struct peer peers[MAX_CLIENTS];
	unsigned n_peers, n_accepted;
	bool answers, slams, deaf;	/* peers: CONNACK to what comes first; close as they are accepted; do not read */
	size_t base;			/* bytes of the pool that nobody's link has */
	bool (*until)(struct fixture *f);
	struct timer deadline, soon;
};

static const uint8_t connect_packet[] = { 0x10, 14, 0, 4, 'M', 'Q', 'T', 'T', 4, 2, 0, 60, 0, 2, 'm', 'e' };
static const uint8_t connack[] = { 0x20, 2, 0, 0 };
static const uint8_t publish[] = { 0x30, 8, 0, 3, 'a', '/', 'b', 'o', 'n', 'e' };

/* ---- the broker's ends ---- */

static void look(struct fixture *f)
{
	if (f->until && f->until(f))
		loop_stop(&f->loop);
}

static void peer_send(struct peer *p, const void *bytes, size_t len)
{
	assert_int_equal(p->t->ops->send(p->t, bytes, len), len);
}

static void peer_event(struct transport *t, unsigned events)
{
	struct peer *p = t->owner;

	p->is_open |= (events & TRANSPORT_OPEN) != 0;
	if (events & TRANSPORT_READABLE) {
		bool first = !p->n_got;
		if (p->cap - p->n_got < 65536) {
			p->cap = 2 * p->cap + 65536;
			p->got = realloc(p->got, p->cap);
		}
		ssize_t n = t->ops->recv(t, p->got + p->n_got, 65536);
		if (n > 0)
			p->n_got += (size_t)n;
		else if (n != -EAGAIN)
			p->end = n;
		if (n > 0 && first && p->f->answers)
			peer_send(p, connack, sizeof(connack));
	}
	look(p->f);
}

static void hand_over(struct fixture *f, struct transport *t)
{
	f->n_accepted++;
	if (f->slams) {
		t->ops->close(t, f->n_accepted % 2);
		return;
	}
	assert_true(f->n_peers < MAX_CLIENTS);
	struct peer *p = &f->peers[f->n_peers++];
	*p = (struct peer){ .f = f, .t = t, .end = 1, .is_open = !f->address.layers.tls && !f->address.layers.websocket };
	t->event = peer_event;
	t->owner = p;
	if (f->deaf)
		t->ops->pause(t, true);
	look(f);
}

static void socket_accepted(void *context, struct transport *t)
{
	hand_over(context, t);
}

static void service_accepted(struct service *service, struct transport *t)
{
	hand_over((struct fixture *)((char *)service - offsetof(struct fixture, service)), t);
}

static void peer_close(struct peer *p, bool reset)
{
	p->t->ops->close(p->t, reset);
	p->t = NULL;
}

/* ---- the clients ---- */

static void open_client(struct client *c)
{
	c->n_packets = 0;
	c->types[0] = '\0';
	link_open(&c->link, &c->f->hub, &c->f->address, &c->f->log);
}

static void put(struct client *c, const uint8_t *bytes, size_t len)
{
	uint8_t *room = link_room(&c->link, len);
	struct packet packet;
	struct finding finding;

	assert_non_null(room);
	assert_int_equal(decode(bytes, len, MQTT_3_1_1, &packet, &finding), CODEC_OK);
	monitor_sent(&c->link.monitor, bytes, len, &packet);
	memcpy(room, bytes, len);
	link_commit(&c->link, len);
}

static void on_opened(struct link *link)
{
	struct client *c = (struct client *)link;

	assert_true(link->open);
	c->n_opened++;
	if (!c->silent)
		put(c, connect_packet, sizeof(connect_packet));
	look(c->f);
}

static void on_packet(struct link *link, const uint8_t *bytes, size_t len, const struct packet *packet)
{
	struct client *c = (struct client *)link;
	size_t n = strlen(c->types);

	assert_false(link->paused);
	if (n + 1 < sizeof(c->types)) {
		c->types[n] = (char)(packet ? 'A' + packet->type : '?');
		c->types[n + 1] = '\0';
	}
	for (size_t i = 0; i < len; i++)
		c->sum = c->sum * 31 + bytes[i];
	c->n_packets++;
	if (c->n_packets == c->close_at)
		link_close(link, false);
	if (c->n_packets == c->pause_at)
		link_pause(link, true);
	if (c->n_packets == c->reopen_at) {
		c->reopen_at = 0;
		link_close(link, false);
		open_client(c);
	}
	look(c->f);
}

static void on_ended(struct link *link, enum link_end how)
{
	struct client *c = (struct client *)link;

	assert_int_equal(how, link->end);
	assert_null(link->transport);
	c->n_ended++;
	c->how = how;
	if (c->reopens) {
		c->reopens--;
		open_client(c);
	}
	look(c->f);
}

/* Packets of 1000 bytes whose payload counts on, as many as there is room for. */
static void flood(struct client *c)
{
	while (c->sent < c->to_send) {
		uint8_t *room = link_room(&c->link, 1000);

		if (!room)
			return;
		memcpy(room, "\x30\xe5\x07\0\x03" "a/b", 8);
		for (int i = 8; i < 1000; i++)
			room[i] = (uint8_t)(c->sent / 1000 + (unsigned)i);
		link_commit(&c->link, 1000);
		c->sent += 1000;
	}
}

static void on_room(struct link *link)
{
	struct client *c = (struct client *)link;

	c->n_room++;
	assert_true(link_unsent(link) <= c->f->hub.max_unsent / 2);
	flood(c);
}

static const struct link_events events = { on_opened, on_packet, on_ended, on_room };

static void on_violated(void *owner, struct monitor *monitor, const struct violation *violation)
{
	struct fixture *f = owner;

	(void)monitor;
	snprintf(f->violated, sizeof(f->violated), "%s", violation->clause);
}

/* ---- running ---- */

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

static void stop(struct timer *timer, struct loop *loop)
{
	(void)timer;
	loop_stop(loop);
}

/* On simulated time: until all is quiet. */
static void settle(struct fixture *f)
{
	assert_true(f->loop.clock.simulated);
	f->soon.fire = stop;
	loop_timer(&f->loop, &f->soon, f->loop.now_ns + SECOND_NS);
	assert_true(loop_run(&f->loop));
}

static int set_up(void **state)
{
	const enum over kind = *state ? *(const enum over *)*state : MEM;
	struct fixture *f = calloc(1, sizeof(*f));
	bool mem = kind == MEM || kind == ROUGH || kind == WSS_ROUGH;

	f->kind = kind;
	assert_int_equal(loop_init(&f->loop, mem), 0);
	f->log = (struct monitor_log){ .violated = on_violated, .owner = f };
	f->hub = (struct link_hub){ .loop = &f->loop, .pool = pool_new(), .world = monitor_world_new(), .events = &events };
	f->answers = true;
	for (size_t i = 0; i < MAX_CLIENTS; i++)
		f->clients[i].f = f;
	f->service.accepted = service_accepted;
	if (kind == ROUGH || kind == WSS_ROUGH)
		f->service.options = (struct mem_options){ .delay_ns = 5000000, .split_seed = 7, .room = 1000 };
	f->address.layers = f->service.layers = (struct layers){
		.tls = kind == TLS || kind == WSS_ROUGH, .websocket = kind == WS || kind == WSS_ROUGH, .context = server_context,
	};
	f->address.service = &f->service;
	f->address.kind = mem ? ADDRESS_MEMORY : ADDRESS_TCP;
	if (!mem) {
		strcpy(f->address.host, "127.0.0.1");
		f->listener = transport_listen(&f->loop, &f->address, socket_accepted, f);
		assert_non_null(f->listener);
		f->address.port = listener_port(f->listener);
	}
	f->address.layers.context = client_context;
	link_hub_init(&f->hub);
	f->base = pool_in_use(f->hub.pool);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	for (size_t i = 0; i < MAX_CLIENTS; i++)
		link_close(&f->clients[i].link, false);
	assert_int_equal(f->hub.n_pending, 0);
	assert_int_equal(pool_in_use(f->hub.pool), f->base);	/* a link that has ended holds nothing */
	link_hub_release(&f->hub);
	for (unsigned i = 0; i < f->n_peers; i++) {
		if (f->peers[i].t)
			f->peers[i].t->ops->close(f->peers[i].t, false);
		free(f->peers[i].got);
	}
	listener_free(f->listener);
	loop_settle(&f->loop);
	loop_release(&f->loop);
	monitor_world_free(f->hub.world);
	pool_free(f->hub.pool);
	free(f);
	return 0;
}

/* ---- conditions, of the first client ---- */

static bool one_packet(struct fixture *f)
{
	return f->clients[0].n_packets >= 1;
}

static bool four_packets(struct fixture *f)
{
	return f->clients[0].n_packets >= 4;
}

static bool ended(struct fixture *f)
{
	return f->clients[0].n_ended;
}

static bool all_came(struct fixture *f)
{
	return f->n_peers && f->peers[0].n_got >= sizeof(connect_packet) + f->clients[0].to_send;
}

static bool peer_ended(struct fixture *f)
{
	return f->n_peers && f->peers[0].end != 1;
}

static void open_first(struct fixture *f)
{
	open_client(&f->clients[0]);
	assert_int_equal(f->clients[0].n_opened, 0);		/* never from inside the call */
	run_until(f, one_packet);
	assert_string_equal(f->clients[0].types, "C");
}

/* ---- on every kind ---- */

static void both_ways(void **state)
{
	struct fixture *f = *state;
	struct client *c = &f->clients[0];

	open_first(f);
	assert_int_equal(f->peers[0].n_got, sizeof(connect_packet));
	assert_memory_equal(f->peers[0].got, connect_packet, sizeof(connect_packet));
	for (int i = 0; i < 3; i++)
		peer_send(&f->peers[0], publish, sizeof(publish));
	run_until(f, four_packets);
	assert_string_equal(c->types, "CDDD");
	assert_string_equal(f->violated, "");
	assert_int_equal(f->hub.counts.opened, 1);
	assert_null(c->link.in);
	assert_null(c->link.out);
	link_finish(&c->link);
	assert_null(link_room(&c->link, 1));
	run_until(f, peer_ended);
	assert_int_equal(f->peers[0].end, 0);
	peer_close(&f->peers[0], false);
	run_until(f, ended);
	assert_int_equal(c->how, LINK_FIN);
}

/* 3 MB through what takes little at a time: in order, complete, and never more than max_unsent in our hands. */
static void back_pressure(void **state)
{
	struct fixture *f = *state;
	struct client *c = &f->clients[0];

	f->hub.max_unsent = 20000;
	open_first(f);
	f->peers[0].t->ops->pause(f->peers[0].t, true);
	c->to_send = f->kind == MEM || f->kind == TCP ? 12000000 : 500000;
	flood(c);
	assert_int_equal(c->sent, 20000);
	assert_int_equal(link_unsent(&c->link), 20000);
	f->peers[0].t->ops->pause(f->peers[0].t, false);
	run_until(f, all_came);
	assert_int_equal(c->sent, c->to_send);
	assert_int_equal(f->peers[0].n_got, sizeof(connect_packet) + c->to_send);
	assert_true(c->n_room > 2);
	const uint8_t *at = f->peers[0].got + sizeof(connect_packet);
	for (uint64_t i = 0; i < c->to_send; i++)
		if (at[i] != (i % 1000 < 8 ? (uint8_t)"\x30\xe5\x07\0\x03" "a/b"[i % 1000] : (uint8_t)(i / 1000 + i % 1000)))
			fail_msg("byte %ju is wrong", (uintmax_t)i);
}

static void finish_goes_behind_what_waits(void **state)
{
	struct fixture *f = *state;
	struct client *c = &f->clients[0];

	open_first(f);
	c->to_send = 50000;
	flood(c);
	link_finish(&c->link);
	run_until(f, peer_ended);
	assert_int_equal(f->peers[0].end, 0);
	assert_int_equal(f->peers[0].n_got, sizeof(connect_packet) + 50000);
}

static bool storm_is_over(struct fixture *f)
{
	for (int i = 0; i < MAX_CLIENTS; i++)
		if (f->clients[i].n_ended < 4)
			return false;
	return true;
}

static void storm(void **state)
{
	struct fixture *f = *state;

	f->slams = true;
	f->hub.max_pending = 10;
	for (int i = 0; i < MAX_CLIENTS; i++) {
		f->clients[i].reopens = 3;
		open_client(&f->clients[i]);
	}
	run_until(f, storm_is_over);
	assert_true(f->n_accepted <= 4 * MAX_CLIENTS);
	assert_true(f->hub.counts.pending_most <= 10);
	assert_int_equal(f->hub.n_pending, 0);
}

static bool all_connected(struct fixture *f)
{
	for (int i = 0; i < MAX_CLIENTS; i++)
		if (!f->clients[i].n_packets)
			return false;
	return true;
}

static void they_wait_for_their_turn(void **state)
{
	struct fixture *f = *state;

	f->hub.max_pending = 7;
	for (int i = 0; i < MAX_CLIENTS; i++)
		open_client(&f->clients[i]);
	link_close(&f->clients[50].link, false);		/* while it waits */
	open_client(&f->clients[50]);
	run_until(f, all_connected);
	assert_int_equal(f->hub.counts.pending_most, 7);
	assert_int_equal(f->hub.counts.opened, MAX_CLIENTS);
	assert_int_equal(f->hub.n_pending, 0);
}

/* ---- what needs one kind only ---- */

static void many_packets_one_call(void **state)
{
	struct fixture *f = *state;
	struct client *c = &f->clients[0];
	uint64_t sends;

	open_first(f);
	sends = f->hub.counts.sends;
	c->to_send = 60000;
	flood(c);
	run_until(f, all_came);
	assert_int_equal(f->hub.counts.sends, sends + 1);
	c->to_send += 10000;
	flood(c);
	link_flush(&c->link);
	assert_int_equal(link_unsent(&c->link), 0);
	assert_int_equal(f->hub.counts.sends, sends + 2);
	run_until(f, all_came);
}

static void a_packet_may_be_larger_than_the_limit(void **state)
{
	struct fixture *f = *state;
	struct client *c = &f->clients[0];
	uint8_t *room;

	open_first(f);
	room = link_room(&c->link, 300005);
	assert_non_null(room);
	memcpy(room, "\x30\xe0\xa7\x12\0\x01" "a", 7);
	memset(room + 7, 'x', 299998);
	link_commit(&c->link, 300005);
	assert_null(link_room(&c->link, 10));
	c->sent = c->to_send = 300005;
	run_until(f, all_came);
	assert_int_equal(c->n_room, 1);
}

/* A stream of packets, small ones and large ones; returns its length. */
static size_t make_stream(uint8_t *at, bool large)
{
	static const size_t payloads[] = { 0, 1, 130, 3, 5000, 70000, 4, 4200, 300000, 2 };
	uint8_t *begin = at;

	memcpy(at, connack, sizeof(connack));
	at += sizeof(connack);
	for (size_t i = 0; i < (large ? sizeof(payloads) / sizeof(payloads[0]) : 4); i++) {
		size_t len = payloads[i] + 3;

		*at++ = 0x30;
		do
			*at++ = (uint8_t)((len & 127) | (len > 127 ? 128 : 0));
		while (len >>= 7);
		memcpy(at, "\0\1a", 3);
		for (size_t k = 0; k < payloads[i]; k++)
			at[3 + k] = (uint8_t)(k * 7 + i);
		at += payloads[i] + 3;
	}
	return (size_t)(at - begin);
}

static uint64_t sum_of(const uint8_t *bytes, size_t len)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < len; i++)
		sum = sum * 31 + bytes[i];
	return sum;
}

static void cut_anywhere(void **state)
{
	struct fixture *f = *state;
	struct client *c = &f->clients[0];
	uint8_t stream[400];
	size_t len = make_stream(stream, false);

	f->answers = false;
	for (size_t cut = 0; cut <= len; cut++) {
		c->sum = 0;
		f->n_peers = 0;
		open_client(c);
		settle(f);
		if (cut)
			peer_send(&f->peers[0], stream, cut);
		settle(f);
		if (cut < len)
			peer_send(&f->peers[0], stream + cut, len - cut);
		settle(f);
		assert_string_equal(c->types, "CDDDD");
		assert_true(c->sum == sum_of(stream, len));
		assert_null(c->link.in);
		link_close(&c->link, false);
		peer_close(&f->peers[0], false);
		free(f->peers[0].got);
		f->peers[0].got = NULL;
	}
}

static void large_ones_in_pieces(void **state)
{
	struct fixture *f = *state;
	struct client *c = &f->clients[0];
	uint8_t *stream = malloc(500000);
	size_t len = make_stream(stream, true), at = 0, piece = 1;

	f->answers = false;
	open_client(c);
	settle(f);
	for (; at < len; at += piece) {
		piece = piece * 5 % 8191 + 1;
		piece = piece < len - at ? piece : len - at;
		peer_send(&f->peers[0], stream + at, piece);
		settle(f);
	}
	assert_string_equal(c->types, "CDDDDDDDDDD");
	assert_true(c->sum == sum_of(stream, len));
	assert_null(c->link.in);
	free(stream);
}

/* What was read with the packet that paused it comes when the pause is over, also the end. */
static void paused_in_the_middle(void **state)
{
	struct fixture *f = *state;
	struct client *c = &f->clients[0];
	uint8_t *stream = malloc(500000);
	size_t len = make_stream(stream, true);

	f->answers = false;
	f->service.options.room = 500000;
	c->pause_at = 3;
	open_client(c);
	settle(f);
	peer_send(&f->peers[0], stream, len);
	peer_close(&f->peers[0], false);
	settle(f);
	assert_string_equal(c->types, "CDD");
	assert_int_equal(c->n_ended, 0);
	c->pause_at = 5;
	link_pause(&c->link, false);
	settle(f);
	assert_string_equal(c->types, "CDDDD");
	c->pause_at = 6;
	link_pause(&c->link, false);
	settle(f);
	assert_string_equal(c->types, "CDDDDD");
	link_pause(&c->link, false);
	settle(f);
	assert_string_equal(c->types, "CDDDDDDDDDD");
	assert_true(c->sum == sum_of(stream, len));
	assert_int_equal(c->how, LINK_FIN);
	free(stream);
}

static void paused_before_it_is_open(void **state)
{
	struct fixture *f = *state;
	struct client *c = &f->clients[0];

	open_client(c);
	link_pause(&c->link, true);
	settle(f);
	assert_int_equal(c->n_packets, 0);
	assert_int_equal(c->n_opened, 1);
	link_pause(&c->link, false);
	settle(f);
	assert_string_equal(c->types, "C");
}

static void sent_before_it_is_open(void **state)
{
	struct fixture *f = *state;
	struct client *c = &f->clients[0];

	c->silent = true;
	open_client(c);
	put(c, connect_packet, sizeof(connect_packet));
	settle(f);
	assert_int_equal(f->peers[0].n_got, sizeof(connect_packet));
	assert_string_equal(c->types, "C");
}

static void closed_in_packet(void **state)
{
	struct fixture *f = *state;
	struct client *c = &f->clients[0];
	uint8_t stream[400];

	f->answers = false;
	c->close_at = 3;
	open_client(c);
	settle(f);
	peer_send(&f->peers[0], stream, make_stream(stream, false));
	settle(f);
	assert_string_equal(c->types, "CDD");
	assert_int_equal(c->n_ended, 0);			/* no event after link_close() */
	assert_int_equal(c->link.end, LINK_OURS);
	assert_int_equal(f->peers[0].end, 0);
	assert_null(link_room(&c->link, 1));
	link_close(&c->link, true);
	link_pause(&c->link, true);
	link_finish(&c->link);
	link_flush(&c->link);
}

static void opened_anew_in_packet(void **state)
{
	struct fixture *f = *state;
	struct client *c = &f->clients[0];
	uint8_t stream[400];

	f->answers = false;
	c->reopen_at = 2;
	open_client(c);
	settle(f);
	peer_send(&f->peers[0], stream, make_stream(stream, false));
	settle(f);
	assert_string_equal(c->types, "");		/* nothing of the old stream comes on the new connection */
	assert_int_equal(c->n_opened, 2);
	assert_int_equal(f->n_peers, 2);
	peer_send(&f->peers[1], connack, sizeof(connack));
	settle(f);
	assert_string_equal(c->types, "C");
}

/* A broker that stopped answering holds no more than max_pending for 5 s; one that never accepts lets more in after each 5 s. */
static void a_stalled_broker(void **state)
{
	struct fixture *f = *state;

	f->answers = false;
	f->hub.max_pending = 4;
	for (int i = 0; i < 10; i++)
		open_client(&f->clients[i]);
	settle(f);
	assert_int_equal(f->n_peers, 4);
	peer_send(&f->peers[0], connack, sizeof(connack));
	settle(f);
	assert_int_equal(f->n_peers, 5);
	for (int i = 0; i < 6; i++)
		settle(f);
	assert_int_equal(f->n_peers, 9);
	for (int i = 0; i < 5; i++)
		settle(f);
	assert_int_equal(f->n_peers, 10);
	for (unsigned i = 1; i < 10; i++)
		peer_send(&f->peers[i], connack, sizeof(connack));
	settle(f);
	assert_int_equal(f->hub.n_pending, 0);
}

static void who_says_nothing_is_not_waited_for(void **state)
{
	struct fixture *f = *state;

	f->hub.max_pending = 2;
	for (int i = 0; i < 10; i++) {
		f->clients[i].silent = true;
		open_client(&f->clients[i]);
	}
	settle(f);
	assert_int_equal(f->n_peers, 10);
}

static void unreadable_packets_are_told(void **state)
{
	struct fixture *f = *state;

	open_first(f);
	peer_send(&f->peers[0], "\x30\x02\0\x09" "\x30\x03\0\1a", 9);
	settle(f);
	assert_string_equal(f->clients[0].types, "C?D");
	assert_string_not_equal(f->violated, "");
}

/* ---- ends ---- */

struct ending {
	const char *name;
	struct span sent;		/* by the broker, after CONNECT */
	int then;			/* 'c': it closes, 'r': it resets, '-': nothing */
	enum link_end how;
	const char *text, *violated;
};

#define BYTES(s) { (const uint8_t *)s, sizeof(s) - 1 }

static const struct ending endings[] = {
	{ "closed", BYTES("\x20\x02\0\0"), 'c', LINK_FIN, "closed by the broker (FIN)", "" },
	{ "closed in a packet", BYTES("\x20\x02\0\0\x30\x08\0"), 'c', LINK_FIN, "closed by the broker (FIN)", "" },
	{ "closed before CONNACK", BYTES(""), 'c', LINK_FIN, "closed by the broker (FIN)", "" },
	{ "reset", BYTES("\x20\x02\0\0"), 'r', LINK_RESET, "closed by the broker (RST)", "" },
	{ "overlong length", BYTES("\x20\x02\0\0\x30\xff\xff\xff\xff\x01"), '-', LINK_GARBAGE, "what the broker sent cannot be framed", "remaining-length" },
	{ "too large", BYTES("\x20\x02\0\0\x30\xff\xff\x03"), '-', LINK_TOO_LARGE, "the broker announced a packet of more than 1000 bytes", "" },
	{ "TLS", BYTES("\x15\x03\x03\0\x02\x02\x46"), 'c', LINK_GARBAGE, "it speaks TLS on this port: try tls:// or wss://", "" },
	{ "HTTP", BYTES("HTTP/1.1 400 Bad Request\r\n\r\n"), 'c', LINK_GARBAGE, "it speaks HTTP on this port: try ws:// or wss://", "" },
};

static void ends(void **state)
{
	const struct ending *e = *state;
	char text[300];

	*state = NULL;
	set_up(state);
	struct fixture *f = *state;
	struct client *c = &f->clients[0];
	f->answers = false;
	f->hub.max_packet = 1000;
	open_client(c);
	settle(f);
	if (e->sent.len)
		peer_send(&f->peers[0], e->sent.at, e->sent.len);
	settle(f);
	if (e->then != '-')
		peer_close(&f->peers[0], e->then == 'r');
	settle(f);
	assert_int_equal(c->n_ended, 1);
	assert_int_equal(c->how, e->how);
	assert_string_equal(link_end_text(&c->link, text, sizeof(text)), e->text);
	if (strncmp(f->violated, e->violated, strlen(e->violated)))
		fail_msg("expected %s, found %s", e->violated, f->violated);
	if (e->then == '-')
		assert_int_equal(f->peers[0].end, -ECONNRESET);
	open_client(c);			/* a link that has ended may be opened anew */
	settle(f);
	peer_send(&f->peers[1], connack, sizeof(connack));
	settle(f);
	assert_string_equal(c->types, "C");
	tear_down(state);
}

static void nobody_listens(void **state)
{
	struct fixture *f = *state;
	char text[300];

	listener_free(f->listener);
	f->listener = NULL;
	loop_settle(&f->loop);
	open_client(&f->clients[0]);
	run_until(f, ended);
	assert_int_equal(f->clients[0].how, LINK_REFUSED);
	assert_string_equal(link_end_text(&f->clients[0].link, text, sizeof(text)), "could not connect: Connection refused");
}

static void no_descriptors(void **state)
{
	struct fixture *f = *state;
	struct rlimit limit, none;
	char text[300];
	int next = dup(0);

	assert_true(next > 0);
	close(next);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	none = (struct rlimit){ (rlim_t)next, limit.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	open_client(&f->clients[0]);
	assert_int_equal(f->clients[0].n_ended, 0);		/* never from inside the call */
	run_until(f, ended);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	assert_int_equal(f->clients[0].how, LINK_REFUSED);
	assert_string_equal(link_end_text(&f->clients[0].link, text, sizeof(text)), "could not connect: Too many open files");
	assert_int_equal(f->hub.n_pending, 0);
}

/* ---- source addresses ---- */

struct notation {
	const char *text;
	size_t n;			/* 0: refused */
	const char *first, *last;	/* refused: a part of the fault's text */
};

static const struct notation notations[] = {
	{ "127.0.0.2", 1, "127.0.0.2", "127.0.0.2" },
	{ "127.0.0.2-127.0.0.9", 8, "127.0.0.2", "127.0.0.9" },
	{ "10.0.0.250-10.0.1.5", 12, "10.0.0.250", "10.0.1.5" },
	{ "10.0.1.0/28", 14, "10.0.1.1", "10.0.1.14" },
	{ "10.0.1.6/31", 2, "10.0.1.6", "10.0.1.7" },
	{ "10.0.1.6/32", 1, "10.0.1.6", "10.0.1.6" },
	{ "10.1.0.0/16", 65534, "10.1.0.1", "10.1.255.254" },
	{ "fd00::1", 1, "fd00::1", "fd00::1" },
	{ "fd00::fffe-fd00::1:2", 5, "fd00::fffe", "fd00::1:2" },
	{ "fd00::/124", 16, "fd00::", "fd00::f" },
	{ "127.0.0.2,fd00::1,10.0.0.1-10.0.0.3", 5, "127.0.0.2", "10.0.0.3" },
	{ "255.255.255.250-255.255.255.255", 6, "255.255.255.250", "255.255.255.255" },
	{ "", 0, "expected a number such as" },
	{ "127.0.0.2,", 0, "expected a number such as" },
	{ "localhost", 0, "expected a number such as" },
	{ "127.0.0.300", 0, "expected a number such as" },
	{ "127.0.0.9-127.0.0.2", 0, "before the first" },
	{ "127.0.0.9-fd00::1", 0, "of one network" },
	{ "fd00::1-fd01::1", 0, "of one network" },
	{ "127.0.0.1-", 0, "on both sides" },
	{ "10.0.0.0-10.1.0.0", 0, "more than 65536" },
	{ "10.0.0.0/8", 0, "/16 is the largest" },
	{ "fd00::/64", 0, "/112 is the largest" },
	{ "10.0.0.1/28", 0, "bits behind its length" },
	{ "10.0.0.0/33", 0, "0 to 32" },
	{ "10.0.0.0/2x", 0, "0 to 32" },
	{ "10.0.0.0/", 0, "0 to 32" },
	{ "10.1.0.0/16,10.2.0.0/16", 0, "in all" },
};

static const char *print(const struct source *s, char *text)
{
	return inet_ntop(s->at.any.sa_family, s->at.any.sa_family == AF_INET ? (const void *)&s->at.v4.sin_addr : &s->at.v6.sin6_addr, text, INET6_ADDRSTRLEN);
}

static void sources_as_written(void **state)
{
	char text[INET6_ADDRSTRLEN];

	(void)state;
	for (size_t i = 0; i < sizeof(notations) / sizeof(notations[0]); i++) {
		const struct notation *row = &notations[i];
		struct source *list = NULL;
		struct fault fault = { 0 };
		size_t n = 0;

		if (!sources_parse(row->text, &list, &n, &fault)) {
			if (row->n || !strstr(fault.text, row->first))
				fail_msg("\"%s\": %s", row->text, fault.text);
			continue;
		}
		if (n != row->n)
			fail_msg("\"%s\": %zu addresses, not %zu", row->text, n, row->n);
		assert_string_equal(print(&list[0], text), row->first);
		assert_string_equal(print(&list[n - 1], text), row->last);
		free(list);
	}
}

/* What the broker sees: a plain socket that accepts, as the transports do not tell. */
static int listen_plainly(unsigned *port)
{
	struct sockaddr_in name = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(name);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&name, sizeof(name)) < 0 || listen(fd, 100) < 0 || getsockname(fd, (struct sockaddr *)&name, &len) < 0)
		return -1;
	*port = ntohs(name.sin_port);
	return fd;
}

static bool eight_opened(struct fixture *f)
{
	return f->hub.counts.opened == 8;
}

static void from_each_source_in_turn(void **state)
{
	struct fixture *f = *state;
	struct fault fault;
	struct source *list;
	int fd = listen_plainly(&f->address.port), seen[10] = { 0 };

	assert_true(fd >= 0);
	assert_true(sources_parse("127.0.0.2-127.0.0.9", &list, &f->hub.n_sources, &fault));
	f->hub.sources = list;
	for (int i = 0; i < 8; i++)
		open_client(&f->clients[i]);
	run_until(f, eight_opened);
	for (int i = 0; i < 8; i++) {
		struct sockaddr_in from;
		socklen_t len = sizeof(from);
		int peer = accept(fd, (struct sockaddr *)&from, &len);

		assert_true(peer >= 0);
		seen[ntohl(from.sin_addr.s_addr) - ntohl(inet_addr("127.0.0.0"))]++;
		close(peer);
	}
	for (int i = 2; i <= 9; i++)
		assert_int_equal(seen[i], 1);
	close(fd);
	free(list);
}

static void a_source_that_is_not_ours(void **state)
{
	struct fixture *f = *state;
	struct fault fault;
	struct source *list;
	char text[300];

	assert_true(sources_parse("192.0.2.1", &list, &f->hub.n_sources, &fault));
	f->hub.sources = list;
	open_client(&f->clients[0]);
	run_until(f, ended);
	assert_string_equal(link_end_text(&f->clients[0].link, text, sizeof(text)),
	                    "could not connect: no interface of this machine has the source address 192.0.2.1");
	free(list);
}

/* A network of our own with ten ports for each pair of addresses. False: not allowed here. */
static bool enter_small_network(void)
{
	struct ifreq lo = { .ifr_name = "lo", .ifr_flags = IFF_UP };
	int fd, range;
	bool good;

	if (unshare(CLONE_NEWNET) < 0 && unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0)
		return false;
	fd = socket(AF_INET, SOCK_DGRAM, 0);
	range = open("/proc/sys/net/ipv4/ip_local_port_range", O_WRONLY);
	good = fd >= 0 && ioctl(fd, SIOCSIFFLAGS, &lo) == 0 && range >= 0 && write(range, "40000 40009", 11) == 11;
	close(fd);
	close(range);
	return good;
}

static unsigned wanted;

static bool all_told(struct fixture *f)
{
	unsigned n = 0;

	for (unsigned i = 0; i < wanted; i++)
		n += f->clients[i].n_opened || f->clients[i].n_ended;
	return n == wanted;
}

/* 24 connections where each address has ten ports, two of which are listened to: exit code 0 when three addresses carry them, one carries no more and that is said. */
static int beyond_one_address(void)
{
	static const enum over kind = TCP;
	struct source *list;
	struct fault fault;
	char text[300];
	void *state = (void *)&kind;

	set_up(&state);
	struct fixture *f = state;
	if (listen_plainly(&f->address.port) < 0 || !sources_parse("127.0.0.2-127.0.0.4", &list, &f->hub.n_sources, &fault))
		return 1;
	f->hub.sources = list;
	wanted = 24;
	for (unsigned i = 0; i < wanted; i++)
		open_client(&f->clients[i]);
	run_until(f, all_told);
	if (f->hub.counts.opened != wanted)
		return 2;
	f->hub.n_sources = 1;
	wanted = 34;
	for (unsigned i = 24; i < wanted; i++)
		open_client(&f->clients[i]);
	run_until(f, all_told);
	if (f->hub.counts.opened > 26)
		return 3;
	link_end_text(&f->clients[33].link, text, sizeof(text));
	return strstr(text, "no local port is left") ? 0 : 4;
}

static void more_sources_more_ports(void **state)
{
	int status;
	pid_t pid = fork();

	(void)state;
	assert_true(pid >= 0);
	if (pid == 0)
		_exit(enter_small_network() ? beyond_one_address() : 77);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		skip();				/* no namespaces for us here */
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

/* ---- all of them ---- */

enum { MAX_TESTS = 100 };

static struct CMUnitTest tests[MAX_TESTS];
static size_t n_tests;

static void add(const char *name, void (*function)(void **state), int (*up)(void **state), int (*down)(void **state), const void *state)
{
	assert_true(n_tests < MAX_TESTS);
	tests[n_tests++] = (struct CMUnitTest){ name, function, up, down, (void *)state };
}

static void add_to(enum over kind, const char *name, void (*function)(void **state))
{
	static const enum over kinds[N_KINDS] = { MEM, ROUGH, TCP, TLS, WS, WSS_ROUGH };
	static char full[MAX_TESTS][100];

	snprintf(full[n_tests], sizeof(full[0]), "%s: %s", names[kind], name);
	add(full[n_tests], function, set_up, tear_down, &kinds[kind]);
}

#define ADD(kind, function) add_to(kind, #function, function)

int main(void)
{
	if (!tls_contexts_for_us(&client_context, &server_context))
		return 1;
	for (enum over kind = 0; kind < N_KINDS; kind++) {
		ADD(kind, both_ways);
		ADD(kind, back_pressure);
		ADD(kind, finish_goes_behind_what_waits);
		if (kind != TLS && kind != WSS_ROUGH) {		/* 200 handshakes cost more than they show */
			ADD(kind, storm);
			ADD(kind, they_wait_for_their_turn);
		}
	}
	ADD(MEM, many_packets_one_call);
	ADD(TCP, many_packets_one_call);
	ADD(TCP, a_packet_may_be_larger_than_the_limit);
	ADD(MEM, cut_anywhere);
	ADD(MEM, large_ones_in_pieces);
	ADD(MEM, paused_in_the_middle);
	ADD(MEM, paused_before_it_is_open);
	ADD(MEM, sent_before_it_is_open);
	ADD(MEM, closed_in_packet);
	ADD(MEM, opened_anew_in_packet);
	ADD(MEM, a_stalled_broker);
	ADD(MEM, who_says_nothing_is_not_waited_for);
	ADD(MEM, unreadable_packets_are_told);
	ADD(TCP, nobody_listens);
	ADD(TCP, no_descriptors);
	ADD(TCP, from_each_source_in_turn);
	ADD(TCP, a_source_that_is_not_ours);
	for (size_t i = 0; i < sizeof(endings) / sizeof(endings[0]); i++)
		add(endings[i].name, ends, NULL, NULL, &endings[i]);
	add("sources_as_written", sources_as_written, NULL, NULL, NULL);
	add("more_sources_more_ports", more_sources_more_ports, NULL, NULL, NULL);

	int failed = _cmocka_run_group_tests("link", tests, n_tests, NULL, NULL);
	tls_context_release(client_context);
	tls_context_release(server_context);
	return failed;
}
