/*
 * The floor: what a bare client costs that has no scripts, no checks and no account, only batches and epoll. What `mqassay load` costs beyond it is what its work costs.
 *
 *   bench_floor publish PORT CONNECTIONS QOS SIZE SECONDS [WINDOW]
 *   bench_floor pace PORT CONNECTIONS PERIOD_MS SIZE SECONDS   QoS 0, a message of each connection each period, spread over it
 *   bench_floor connect PORT CONNECTIONS PENDING
 *   bench_floor subscribe PORT CONNECTIONS SECONDS
 *   bench_floor sink SECONDS [FLOOD|reflect]  the null sink on a free port, which it prints first; then a line each second: PUBLISHes that came in it
 *
 * One line of name=value: messages, seconds, cpu_us (of this process, user and system).
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "harness/load/control.h"

enum { BATCH = 64, ROOM = 64 * 1024, MAX_WINDOW = 1000, NAP_NS = 250000 };

struct peer {
	int fd;
	bool connected, ready;		/* ready: CONNACK came */
	size_t at;			/* sent of the batch */
	uint32_t n_in;			/* bytes of an unfinished answer, or to be skipped of a PUBLISH */
	uint8_t in[8];
	uint16_t next_id;
	uint8_t out[4 * MAX_WINDOW];
	bool blocked;
};

static struct {
	unsigned port, n, qos, window, pending, period_ms;
	size_t size;			/* of a message as sent */
	double seconds;
	bool subscribes;
	uint8_t *batch;			/* BATCH messages */
	uint64_t sent, done, connected;
	int epoll;
} run;

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double cpu(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) + (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static void print(uint64_t messages, double seconds, double used)
{
	printf("messages=%ju seconds=%.3f cpu_us=%.0f rate=%.0f each_us=%.3f\n", (uintmax_t)messages, seconds, used * 1e6, (double)messages / seconds,
	       messages ? used * 1e6 / (double)messages : 0);
}

static void fatal(const char *what)
{
	fprintf(stderr, "bench_floor: %s: %s\n", what, strerror(errno));
	exit(3);
}

static void watch(struct peer *p, int how, uint32_t events)
{
	if (epoll_ctl(run.epoll, how, p->fd, &(struct epoll_event){ .events = events, .data.ptr = p }) < 0)
		fatal("epoll_ctl");
}

static void begin(struct peer *p)
{
	struct sockaddr_in name = { .sin_family = AF_INET, .sin_port = htons((uint16_t)run.port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int on = 1;

	p->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (p->fd < 0)
		fatal("socket");
	setsockopt(p->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (connect(p->fd, (struct sockaddr *)&name, sizeof(name)) < 0 && errno != EINPROGRESS)
		fatal("connect");
	watch(p, EPOLL_CTL_ADD, EPOLLOUT);
}

static void say_connect(struct peer *p)
{
	static const uint8_t subscribe[] = { 0x82, 6, 0, 1, 0, 1, '#', 0 };
	static unsigned n;
	uint8_t at[64];
	int len = snprintf((char *)at, sizeof(at), "floor%u.%d", n++, (int)getpid());
	uint8_t packet[64] = { 0x10, (uint8_t)(12 + len), 0, 4, 'M', 'Q', 'T', 'T', 4, 2, 0, 60, 0, (uint8_t)len };

	memcpy(packet + 14, at, (size_t)len);
	if (send(p->fd, packet, (size_t)(14 + len), MSG_NOSIGNAL) < 0)
		fatal("send");
	if (run.subscribes && send(p->fd, subscribe, sizeof(subscribe), MSG_NOSIGNAL) < 0)
		fatal("send");
	p->connected = true;
	watch(p, EPOLL_CTL_MOD, EPOLLIN);
}

/* ---- QoS 0: the same batch again and again ---- */

static void pour(struct peer *p)
{
	ssize_t n = send(p->fd, run.batch + p->at, BATCH * run.size - p->at, MSG_NOSIGNAL);

	if (n < 0 && errno == EAGAIN)
		return;
	if (n < 0)
		fatal("send");
	run.sent += (p->at + (size_t)n) / run.size - p->at / run.size;
	p->at = (p->at + (size_t)n) % (BATCH * run.size);
}

/* ---- QoS 1 and 2: as many as were acknowledged, in one send ---- */

static void put_all(struct peer *p, const uint8_t *bytes, size_t len)
{
	while (len) {			/* a window is small: what a socket does not take at once it takes soon */
		ssize_t n = send(p->fd, bytes, len, MSG_NOSIGNAL);

		if (n < 0 && errno != EAGAIN)
			fatal("send");
		bytes += n > 0 ? n : 0;
		len -= n > 0 ? (size_t)n : 0;
	}
}

static void publish_more(struct peer *p, unsigned n)
{
	while (n) {
		unsigned now_n = n < BATCH ? n : BATCH;

		for (unsigned i = 0; i < now_n; i++) {
			uint8_t *id = run.batch + i * run.size + (run.size > 129 ? 3 : 2) + 8;

			p->next_id = (uint16_t)(p->next_id % 65535 + 1);
			id[0] = (uint8_t)(p->next_id >> 8);
			id[1] = (uint8_t)p->next_id;
		}
		put_all(p, run.batch, now_n * run.size);
		run.sent += now_n;
		n -= now_n;
	}
}

static void acknowledged(struct peer *p, const uint8_t *bytes, size_t len)
{
	size_t out = 0;
	unsigned more = 0;

	for (size_t i = 0; i < len; i++) {
		p->in[p->n_in++] = bytes[i];
		if (p->n_in < 4)
			continue;
		p->n_in = 0;
		switch (p->in[0] >> 4) {
		case PUBACK: case PUBCOMP:
			more++;
			break;
		case PUBREC:
			memcpy(p->out + out, (const uint8_t[]){ 0x62, 2, p->in[2], p->in[3] }, 4);
			out += 4;
			break;
		case CONNACK:
			p->ready = true;
			run.connected++;
			if (run.qos)
				publish_more(p, run.window);
			break;
		}
	}
	put_all(p, p->out, out);
	run.done += more;
	if (more)
		publish_more(p, more);
}

/* ---- receiving: heads only, one size ---- */

static void arrived(struct peer *p, const uint8_t *bytes, size_t len)
{
	while (len) {
		if (p->n_in >= sizeof(p->in)) {		/* in the body of a packet */
			size_t skip = p->n_in - sizeof(p->in);

			if (skip > len) {
				p->n_in -= (uint32_t)len;
				return;
			}
			bytes += skip;
			len -= skip;
			p->n_in = 0;
			continue;
		}
		p->in[p->n_in++] = *bytes++;
		len--;
		if (p->n_in < 2 || (p->in[p->n_in - 1] & 128 && p->n_in < 5))
			continue;
		size_t body = 0;
		for (unsigned i = 1; i < p->n_in; i++)
			body |= (size_t)(p->in[i] & 127) << (7 * (i - 1));
		run.done += p->in[0] >> 4 == PUBLISH;
		run.connected += p->in[0] >> 4 == CONNACK;
		p->ready = true;
		p->n_in = (uint32_t)(sizeof(p->in) + body);
	}
}

static void ready(struct peer *p, uint32_t events)
{
	static uint8_t room[ROOM];
	bool was_ready = p->ready;

	if (!p->connected) {
		say_connect(p);
		return;
	}
	if (events & (EPOLLIN | EPOLLERR | EPOLLHUP)) {
		ssize_t n = recv(p->fd, room, run.qos ? MAX_WINDOW * 4 : sizeof(room), 0);

		if (n == 0 || (n < 0 && errno != EAGAIN))
			fatal("recv");
		if (n > 0)
			run.subscribes ? arrived(p, room, (size_t)n) : acknowledged(p, room, (size_t)n);
	}
	if (!run.qos && !run.period_ms && run.batch && p->ready && !was_ready)
		watch(p, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
	if (events & EPOLLOUT)
		pour(p);
}

/* ---- so many a second: all that are due, then a nap ---- */

static void pace(struct peer *peers)
{
	double start = now(), start_cpu = cpu(), step = run.period_ms / 1e3 / run.n, end = start + run.seconds;
	const struct timespec nap = { .tv_nsec = NAP_NS };
	uint64_t sent = 0;

	for (double t = start; t < end; t = now()) {
		for (; start + (double)sent * step <= t; sent++)
			put_all(&peers[sent % run.n], run.batch, run.size);
		nanosleep(&nap, NULL);
	}
	print(sent, now() - start, cpu() - start_cpu);
}

static void make_batch(size_t payload)
{
	size_t body = 8 + (run.qos ? 2 : 0) + payload, head = body > 127 ? 3 : 2;

	if (body > 16383) {
		errno = EINVAL;
		fatal("SIZE of at most 16 kB");
	}
	run.size = head + body;
	run.batch = calloc(BATCH, run.size);
	for (size_t i = 0; run.batch && i < BATCH; i++) {
		uint8_t *at = run.batch + i * run.size;

		at[0] = (uint8_t)(0x30 | run.qos << 1);
		at[1] = (uint8_t)(body > 127 ? (body & 127) | 128 : body);
		if (body > 127)
			at[2] = (uint8_t)(body >> 7);
		memcpy(at + head, "\0\6flo/or", 8);
	}
}

/* Until all have connected, or, if messages are to be counted, for so long after that. */
static void play_on(struct peer *peers)
{
	struct epoll_event events[128];
	unsigned begun = 0;
	double start = now(), start_cpu = cpu(), ready_at = 0;
	uint64_t first = 0;

	for (;;) {
		while (begun < run.n && begun - run.connected < run.pending)
			begin(&peers[begun++]);
		int n = epoll_wait(run.epoll, events, 128, 100);

		for (int i = 0; i < n; i++)
			ready(events[i].data.ptr, events[i].events);
		if (run.connected == run.n && !ready_at) {
			ready_at = now();
			if (!run.seconds)
				break;
			if (run.period_ms) {
				pace(peers);
				return;
			}
			start = ready_at;
			start_cpu = cpu();
			first = run.qos || run.subscribes ? run.done : run.sent;
		}
		if (ready_at && now() - start > run.seconds)
			break;
	}
	print(run.seconds ? (run.qos || run.subscribes ? run.done : run.sent) - first : run.connected, now() - start, cpu() - start_cpu);
}

static int play(void)
{
	struct peer *peers = calloc(run.n, sizeof(*peers));

	run.epoll = epoll_create1(EPOLL_CLOEXEC);
	if (!peers || run.epoll < 0)
		fatal("start");
	play_on(peers);
	free(peers);
	free(run.batch);
	return 0;
}

/* ---- the sink ---- */

static struct sink *sink;
static unsigned seconds_left;

static void each_second(struct timer *timer, struct loop *loop)
{
	static uint64_t before;
	const struct sink_counts *c = sink_counts(sink);
	uint64_t all = c->publishes[0] + c->publishes[1] + c->publishes[2];

	printf("%ju\n", (uintmax_t)(all - before));
	fflush(stdout);
	before = all;
	if (!--seconds_left)
		loop_stop(loop);
	else
		loop_timer(loop, timer, timer->due_ns + 1000000000);
}

static int play_sink(unsigned seconds, size_t flood, bool reflect)
{
	struct sink_options options = { .listen = { .kind = ADDRESS_TCP, .host = "127.0.0.1" }, .flood = flood, .reflect = reflect };
	struct timer timer = { .fire = each_second };
	struct loop loop;
	struct fault fault;

	loop_init(&loop, false);
	sink = sink_new(&loop, &options, &fault);
	if (!sink) {
		fprintf(stderr, "bench_floor: %s\n", fault.text);
		return 3;
	}
	printf("%u\n", sink_port(sink));
	fflush(stdout);
	seconds_left = seconds;
	loop_timer(&loop, &timer, loop.now_ns + 1000000000);
	loop_run(&loop);
	sink_free(sink);
	loop_settle(&loop);
	loop_release(&loop);
	return 0;
}

static unsigned number(char **args, int n_args, int i, unsigned otherwise)
{
	return i < n_args ? (unsigned)strtoul(args[i], NULL, 10) : otherwise;
}

int main(int n_args, char **args)
{
	const char *what = n_args > 1 ? args[1] : "";

	run.port = number(args, n_args, 2, 0);
	run.n = number(args, n_args, 3, 10);
	run.pending = 64;
	if (!strcmp(what, "sink"))
		return play_sink(number(args, n_args, 2, 10), number(args, n_args, 3, 0), n_args > 3 && !strcmp(args[3], "reflect"));
	if (!strcmp(what, "publish")) {
		run.qos = number(args, n_args, 4, 0) & 3;
		run.seconds = number(args, n_args, 6, 5);
		run.window = number(args, n_args, 7, 20);
		run.window = run.window < MAX_WINDOW ? run.window : MAX_WINDOW;
		make_batch(number(args, n_args, 5, 256));
		return play();
	}
	if (!strcmp(what, "pace")) {
		run.period_ms = number(args, n_args, 4, 100);
		run.seconds = number(args, n_args, 6, 5);
		make_batch(number(args, n_args, 5, 256));
		return play();
	}
	if (!strcmp(what, "connect")) {
		run.pending = number(args, n_args, 4, 64);
		return play();
	}
	if (!strcmp(what, "subscribe")) {
		run.subscribes = true;
		run.seconds = number(args, n_args, 4, 5);
		return play();
	}
	fputs("usage: bench_floor publish PORT CONNECTIONS QOS SIZE SECONDS [WINDOW] | pace PORT CONNECTIONS PERIOD_MS SIZE SECONDS"
	      " | connect PORT CONNECTIONS PENDING | subscribe PORT CONNECTIONS SECONDS | sink SECONDS [FLOOD|reflect]\n", stderr);
	return n_args == 1 ? 0 : 2;
}
