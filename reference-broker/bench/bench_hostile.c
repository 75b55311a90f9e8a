#include <netinet/tcp.h>
#include <pthread.h>
#include <time.h>

#include "codec/bench/bench.h"
#include "reference-broker/bench/attacks.h"
#include "reference-broker/bench/brokers.h"

/*
 * Twenty clients who each make something of the broker grow for as long as they are let, all at once, against a broker
 * whose memory is bounded; and one bystander who exchanges messages with itself meanwhile. Printed are the broker's peak
 * memory and the bystander's round trips; it fails when memory passes the bound, or the bystander is not served.
 *
 * bench_hostile [SECONDS [COMMAND]]: COMMAND starts another broker, as --exec does; then nothing is judged.
 */

enum { MEMORY_MB = 64, CONSTANT_MB = 24, ROUNDS_LEAST = 100, ANSWER_MS = 5000 };

static void *attack(void *context)
{
	struct hostile *h = context;
	struct pollfd none = { .fd = -1 };

	setpriority(PRIO_PROCESS, 0, 19);	/* of this thread: they would be on machines of their own */
	for (; !wire_over; h->n_turns++) {
		h->attack();
		poll(&none, 0, 1);	/* one that is refused at once shall not take the processor from the others */
	}
	return NULL;
}

/* ---- the bystander ---- */

static struct bystander {
	struct wire wire;
	double *ns;
	size_t n, cap;
	uint8_t in[4096];
	size_t len;
} bystander;

/* The next packet's type; 0: none came in time. */
static unsigned await(struct bystander *b)
{
	struct frame frame;
	struct finding finding;
	unsigned type;

	for (;;) {
		if (frame_next(b->in, b->len, &frame, &finding) == FRAME_OK) {
			type = b->in[0] >> 4;
			if (type == PUBLISH) {		/* a topic of one character: its id stands behind */
				const uint8_t ack[] = { PUBACK << 4, 2, b->in[5], b->in[6] };

				if (send(b->wire.fd, ack, sizeof(ack), MSG_NOSIGNAL) != sizeof(ack))
					return 0;
			}
			b->len -= frame.size;
			memmove(b->in, b->in + frame.size, b->len);
			return type;
		}

		struct pollfd ask = { .fd = b->wire.fd, .events = POLLIN };
		ssize_t n;

		if (poll(&ask, 1, ANSWER_MS) <= 0)
			return 0;
		n = recv(b->wire.fd, b->in + b->len, sizeof(b->in) - b->len, 0);
		if (n <= 0)
			return 0;
		b->len += (size_t)n;
	}
}

static bool round_trip(struct bystander *b)
{
	static const uint8_t message[] = { 0x32, 2 + 1 + 2 + 8, 0, 1, 'b', 0, 1, '1', '2', '3', '4', '5', '6', '7', '8' };
	double start = bench_ns();
	unsigned seen = 0;

	if (send(b->wire.fd, message, sizeof(message), MSG_NOSIGNAL) != sizeof(message))
		return false;
	while (seen != (1u << PUBLISH | 1u << PUBACK)) {
		unsigned type = await(b);

		if ((type != PUBLISH && type != PUBACK) || seen >> type & 1)
			return false;
		seen |= 1u << type;
	}
	if (b->n == b->cap) {
		b->cap = b->cap ? b->cap * 2 : 4096;
		b->ns = realloc(b->ns, b->cap * sizeof(*b->ns));
		if (!b->ns)
			abort();
	}
	b->ns[b->n++] = bench_ns() - start;
	return true;
}

static bool bystander_opens(struct bystander *b)
{
	static const uint8_t subscribe[] = { 0x82, 6, 0, 1, 0, 1, 'b', 1 };
	struct hello hello = { .id = "bystander", .version = MQTT_3_1_1 };
	const int yes = 1;

	if (!wire_open(&b->wire, true))
		return false;
	setsockopt(b->wire.fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
	return wire_connect(&b->wire, hello) && await(b) == CONNACK &&
	       wire_put(&b->wire, subscribe, sizeof(subscribe)) && await(b) == SUBACK;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* A round trip each millisecond for so long; false when one was not answered. */
static bool stands_by(struct bystander *b, double seconds, const char *what)
{
	double until = bench_ns() + seconds * 1e9;
	struct pollfd none = { .fd = -1 };

	b->n = 0;
	while (bench_ns() < until) {
		if (!round_trip(b))
			return false;
		poll(&none, 1, 1);	/* it shall not take all of the broker's time itself */
	}
	qsort(b->ns, b->n, sizeof(*b->ns), by_value);
	bench_figure(what, b->ns[b->n * 99 / 100] / 1e6, "ms", "p99; p50 %.2f ms, longest %.1f ms, %zu round trips at QoS 1",
	             b->ns[b->n / 2] / 1e6, b->ns[b->n - 1] / 1e6, b->n);
	return true;
}

/* ---- all of it ---- */

static double peak_mb(pid_t pid)
{
	char path[64], line[128];
	double kb = -1;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	f = fopen(path, "r");
	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "VmHWM: %lf", &kb) == 1)
			break;
	if (f)
		fclose(f);
	if (kb < 0)
		brokers_give_up("the broker", "has ended");
	return kb / 1024;
}

static void start(struct broker_process *broker, struct loop *loop, const char *command)
{
	char bounded[PATH_MAX + 128];

	snprintf(broker->name, sizeof(broker->name), "broker");
	if (!command) {
		brokers_own(bounded, sizeof(bounded));
		snprintf(bounded + strlen(bounded), 64, " --max-memory %dM", MEMORY_MB);
	}
	brokers_start(broker, loop, command ? command : bounded);
	wire_port = (uint16_t)broker->child.port;
}

int main(int n_args, char **args)
{
	static struct broker_process broker;
	double seconds = n_args > 1 ? atof(args[1]) : 6, peak;
	bool served, judged = n_args < 3;
	struct loop loop;

	memset(filler, 'x', sizeof(filler));
	brokers_raise_limit();
	if (loop_init(&loop, false))
		brokers_give_up("loop", "cannot be made");
	start(&broker, &loop, judged ? NULL : args[2]);
	if (!bystander_opens(&bystander) || !stands_by(&bystander, 0.3, "hostile: bystander alone"))
		brokers_give_up("the bystander", "is not served by an idle broker");
	for (size_t i = 0; i < N_HOSTILE; i++)
		if (pthread_create(&hostile[i].thread, NULL, attack, &hostile[i]))
			brokers_give_up("threads", "cannot be made");
	served = stands_by(&bystander, seconds, "hostile: bystander beside 20 hostile clients");
	wire_over = true;
	for (size_t i = 0; i < N_HOSTILE; i++)
		pthread_join(hostile[i].thread, NULL);
	peak = peak_mb(broker.child.pid);
	bench_figure("hostile: broker's peak memory", peak, "MB", judged ? "of at most %d + %d MB: --max-memory, and a constant" : NULL,
	             MEMORY_MB, CONSTANT_MB);
	bench_figure("hostile: sent by them", (double)wire_sent / 1e6, "MB", "on %llu connections", (unsigned long long)wire_connections);
	for (size_t i = 0; i < N_HOSTILE; i++)
		printf("    %-38s %u turns\n", hostile[i].grows, hostile[i].n_turns);
	brokers_stop(&broker);
	loop_settle(&loop);
	loop_release(&loop);
	if (!served)
		printf("the bystander was not served: %zu round trips, then no answer within %d ms\n", bystander.n, ANSWER_MS);
	if (judged && peak > MEMORY_MB + CONSTANT_MB)
		printf("memory is above its bound\n");
	free(bystander.ns);
	return judged && !(served && bystander.n >= ROUNDS_LEAST && peak <= MEMORY_MB + CONSTANT_MB);
}
