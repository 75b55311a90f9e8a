/* What the loop and its transports cost. */
#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "codec/bench/bench.h"
#include "harness/transport.h"

static struct loop loop;

static double since(const struct clock *clock, uint64_t start_ns, double n)
{
	return (double)(clock_now(clock) - start_ns) / n;
}

static const struct clock wall;			/* a real one: all zero */

/* ---- tasks ---- */

#define N_TASKS 5000000u

static unsigned n_run;

static void post_again(struct task *task, struct loop *l)
{
	if (++n_run < N_TASKS)
		loop_post(l, task);
}

static void bench_tasks(unsigned at_once)
{
	static struct task tasks[100];
	uint64_t start_ns;
	char what[80];

	loop_init(&loop, true);
	n_run = 0;
	for (unsigned i = 0; i < at_once; i++) {
		tasks[i] = (struct task){ .run = post_again };
		loop_post(&loop, &tasks[i]);
	}
	start_ns = clock_now(&wall);
	loop_run(&loop);
	snprintf(what, sizeof(what), "posted task, %u at once", at_once);
	bench_figure(what, since(&wall, start_ns, N_TASKS), "ns", NULL);
	loop_release(&loop);
}

/* ---- timers ---- */

#define N_TIMERS 100000u
#define N_FIRED 3000000u

static uint64_t random_u64(void)
{
	static uint64_t x = 88172645463325252u;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return x;
}

static unsigned n_fired;

static void set_again(struct timer *timer, struct loop *l)
{
	if (++n_fired == N_FIRED)
		loop_stop(l);
	loop_timer(l, timer, l->now_ns + random_u64() % UINT64_C(60000000000));
}

static void bench_timers(void)
{
	struct timer *timers = calloc(N_TIMERS, sizeof(*timers));
	uint64_t start_ns;

	loop_init(&loop, true);
	for (unsigned i = 0; i < N_TIMERS; i++) {
		timers[i].fire = set_again;
		loop_timer(&loop, &timers[i], loop.now_ns + random_u64() % UINT64_C(60000000000));
	}
	start_ns = clock_now(&wall);
	loop_run(&loop);
	bench_figure("timer set and fired, among 100,000", since(&wall, start_ns, N_FIRED), "ns", NULL);
	loop_release(&loop);
	free(timers);
}

/* ---- round trips ---- */

static struct transport *server_end;
static unsigned n_trips, n_wanted;

static void serve(struct transport *t, unsigned events)
{
	char bytes[256];
	ssize_t n;

	if (!(events & TRANSPORT_READABLE))
		return;
	n = t->ops->recv(t, bytes, sizeof(bytes));
	if (n > 0)
		t->ops->send(t, bytes, (size_t)n);
}

static void ask(struct transport *t, unsigned events)
{
	static const char packet[64];
	char bytes[256];

	if (events & TRANSPORT_FAILED) {
		fprintf(stderr, "bench_loop: connect: %s\n", transport_strerror(t->error));
		exit(3);
	}
	if ((events & TRANSPORT_READABLE) && t->ops->recv(t, bytes, sizeof(bytes)) > 0 && ++n_trips == n_wanted) {
		loop_stop(t->loop);
		return;
	}
	t->ops->send(t, packet, sizeof(packet));
}

static void accepted(void *context, struct transport *t)
{
	(void)context;
	t->event = serve;
	server_end = t;
}

static void served(struct service *service, struct transport *t)
{
	accepted(service, t);
}

static void bench_trips(const char *what, struct address *address, unsigned n)
{
	struct listener *listener = NULL;
	struct transport *client;
	uint64_t start_ns;

	loop_init(&loop, false);
	n_trips = 0;
	n_wanted = n;
	if (address->kind != ADDRESS_MEMORY) {
		listener = transport_listen(&loop, address, accepted, NULL);
		if (!listener) {
			perror("bench_loop: listen");
			exit(3);
		}
		address->port = listener_port(listener);
	}
	client = transport_connect(&loop, address, ask, NULL);
	start_ns = clock_now(&wall);
	loop_run(&loop);
	bench_figure(what, since(&wall, start_ns, n), "ns", NULL);
	client->ops->close(client, false);
	server_end->ops->close(server_end, false);
	listener_free(listener);
	loop_settle(&loop);
	loop_release(&loop);
}

/* ---- memory ---- */

#define N_IDLE 1000u

static struct transport *idle[2 * N_IDLE];
static unsigned n_idle, n_opened;

static void stop_when_all_are_open(struct loop *l)
{
	if (n_opened == N_IDLE && n_idle == 2 * N_IDLE)
		loop_stop(l);
}

static void count_open(struct transport *t, unsigned events)
{
	n_opened += !!(events & TRANSPORT_OPEN);
	stop_when_all_are_open(t->loop);
}

static void keep(void *context, struct transport *t)
{
	(void)context;
	t->event = serve;
	idle[n_idle++] = t;
	stop_when_all_are_open(t->loop);
}

static void keep_served(struct service *service, struct transport *t)
{
	keep(service, t);
}

/* Heap of N_IDLE connections with both ends, all open and silent. */
static void bench_idle(const char *what, struct address *address, unsigned ends)
{
	struct listener *listener = NULL;
	size_t before;

	loop_init(&loop, false);
	n_idle = n_opened = 0;
	if (address->kind != ADDRESS_MEMORY) {
		address->port = 0;
		listener = transport_listen(&loop, address, keep, NULL);
		address->port = listener ? listener_port(listener) : 0;
	}
	before = mallinfo2().uordblks;
	for (unsigned i = 0; i < N_IDLE; i++) {
		struct transport *t = transport_connect(&loop, address, count_open, NULL);

		if (!t) {
			perror("bench_loop: connect");
			exit(3);
		}
		idle[n_idle++] = t;
	}
	loop_run(&loop);
	bench_figure(what, (double)(mallinfo2().uordblks - before) / N_IDLE / ends, "bytes", NULL);
	for (unsigned i = 0; i < n_idle; i++)
		idle[i]->ops->close(idle[i], false);
	listener_free(listener);
	loop_settle(&loop);
	loop_release(&loop);
}

int main(void)
{
	struct service service = { .accepted = served }, keeper = { .accepted = keep_served };
	struct address mem = { .kind = ADDRESS_MEMORY, .service = &service }, tcp = { .kind = ADDRESS_TCP, .host = "127.0.0.1" };
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	bench_tasks(1);
	bench_tasks(100);
	bench_timers();
	bench_trips("round trip of 64 bytes in memory", &mem, 2000000);
	bench_trips("round trip of 64 bytes over tcp loopback, one loop", &tcp, 100000);
	mem.service = &keeper;
	bench_idle("heap of an idle in-memory pipe, both ends", &mem, 1);
	bench_idle("heap of an idle tcp transport", &tcp, 2);
	return 0;
}
