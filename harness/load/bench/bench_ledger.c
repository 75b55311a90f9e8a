/* What exact accounts cost: in time for each message, in memory for each stream and subscriber, and when all is put together. */
#include <stdlib.h>

#include "codec/bench/bench.h"
#include "harness/load/ledger_internal.h"
#include "harness/load/reckon.h"

enum { RUN = 1, MANY = 10000, N_MESSAGES = 20000000, N_MEMBERS = 16, N_SHARED = 1000000, CROWD = 500, BATCH = 1000 };

/* Of this thread: others may be at work on the machine. */
static double cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static struct audience *audience;
static struct pool *pool;
static struct ledger *ledger;
static struct tally tallies[2];
static struct stream *streams[MANY];
static struct subscriber *subscribers[MANY];
static uint64_t now_ns;

static struct listener publisher_at(uint32_t i)
{
	return (struct listener){ i, 0 };
}

static struct listener subscriber_at(uint32_t i)
{
	return (struct listener){ MANY + i, 1 };
}

static void begin(void)
{
	audience = audience_new(2);
	pool = pool_new();
	ledger = ledger_new(audience, pool, 0, RUN, tallies, 2, 0);
	memset(subscribers, 0, sizeof(subscribers));
	memset(streams, 0, sizeof(streams));
	now_ns = 1000000;
}

static void end(void)
{
	tally_release(&tallies[0]);
	tally_release(&tallies[1]);
	memset(tallies, 0, sizeof(tallies));
	ledger_free(ledger);
	pool_free(pool);
	audience_free(audience);
}

static struct span name(const char *form, uint32_t i)
{
	static char text[64];

	return span_of(text, (size_t)snprintf(text, sizeof(text), form, i));
}

static void send(uint32_t i, struct stamp *stamp)
{
	now_ns += 100;
	ledger_send(ledger, publisher_at(i), streams[i], now_ns - 50, now_ns, stamp);
}

static void arrive(uint32_t i, const struct stamp *stamp, struct span topic)
{
	uint8_t payload[STAMP_SIZE];
	struct delivery d = { .topic = topic, .payload = span_of(payload, sizeof(payload)), .now_ns = now_ns + 50000 };

	stamp_write(payload, STAMP_SIZE, stamp);
	ledger_arrived(ledger, &subscribers[i], subscriber_at(i), 0, &d);
}

static void give(const struct reckoning *reckoning, const char *what, double began_ns)
{
	bench_figure(what, (cpu_ns() - began_ns) / 1e6, "ms", "%llu owed, %llu lost", (unsigned long long)tallies[1].counts[COUNT_owed],
	             (unsigned long long)tallies[1].counts[COUNT_lost]);
	reckoning_free((struct reckoning *)reckoning);
}

static void put_together(const char *what)
{
	double start = cpu_ns();

	give(reckon(&ledger, 1, audience, NULL, tallies, 2), what, start);
}

/* n streams to one subscriber, one message each in turn. */
static void bench_messages(uint32_t n, const char *sent, const char *arrived)
{
	static uint8_t payloads[BATCH][STAMP_SIZE];
	static char topics[MANY][32];
	static uint8_t lens[MANY];
	static struct stamp stamps[BATCH];
	double send_ns = 0, arrive_ns = 0, start;
	size_t before;

	begin();
	audience_add(audience, subscriber_at(0), span_text("plant/+/temperature"), false);
	before = pool_in_use(pool);
	for (uint32_t i = 0; i < n; i++) {
		lens[i] = (uint8_t)snprintf(topics[i], sizeof(topics[i]), "plant/%u/temperature", i);
		streams[i] = ledger_stream(ledger, publisher_at(i), span_text(topics[i]), 0);
	}
	if (n > 1)
		bench_figure("memory of a stream", (double)(pool_in_use(pool) - before) / n, "bytes", "and 22 for its place in tables");
	for (uint32_t k = 0, first = 0; k < N_MESSAGES / BATCH; k++, first = n < BATCH ? 0 : (first + BATCH) % n) {
		start = cpu_ns();
		for (uint32_t i = 0; i < BATCH; i++)
			send(first + i % n, &stamps[i]);
		send_ns += cpu_ns() - start;
		for (uint32_t i = 0; i < BATCH; i++)
			stamp_write(payloads[i], STAMP_SIZE, &stamps[i]);
		start = cpu_ns();
		for (uint32_t i = 0; i < BATCH; i++) {
			struct delivery d = { .topic = span_of(topics[first + i % n], lens[first + i % n]), .payload = span_of(payloads[i], STAMP_SIZE) };

			d.now_ns = now_ns + 50000;
			ledger_arrived(ledger, &subscribers[0], subscriber_at(0), 0, &d);
		}
		arrive_ns += cpu_ns() - start;
	}
	bench_figure(sent, send_ns / N_MESSAGES, "ns", NULL);
	bench_figure(arrived, arrive_ns / N_MESSAGES, "ns", NULL);
	if (n > 1)
		bench_figure("memory of a subscriber's stream", ((double)subscribers[0]->cap * sizeof(struct pair) + (subscribers[0]->places_mask + 1) * 4.0) / n, "bytes", NULL);
	end();
}

/* As many subscriptions come as there are publishers, each to a topic of its own, and everybody sends after every hundredth. */
static void bench_ramp(void)
{
	struct stamp stamp;
	double start = cpu_ns(), add_ns, send_ns = 0;
	uint32_t n = 0;

	begin();
	for (uint32_t i = 0; i < MANY; i++)
		streams[i] = ledger_stream(ledger, publisher_at(i), name("command/%u", i), 1);
	bench_figure("stream made", (cpu_ns() - start) / MANY, "ns", NULL);
	start = cpu_ns();
	for (uint32_t i = 0; i < MANY; i++) {
		audience_add(audience, subscriber_at(i), name("command/%u", i), false);
		if (i % 100)
			continue;
		add_ns = cpu_ns();
		for (uint32_t k = 0; k < MANY; k++, n++) {
			send(k, &stamp);
			if (k <= i)
				arrive(k, &stamp, name("command/%u", k));
		}
		send_ns += cpu_ns() - add_ns;
	}
	add_ns = cpu_ns() - start - send_ns;
	bench_figure("subscription granted", add_ns / MANY, "ns", NULL);
	bench_figure("message sent on a ramp, and delivered", send_ns / n, "ns", "10,000 subscriptions and streams, each of a topic of its own");
	put_together("put together");
	end();
}

static void bench_fan_out(void)
{
	struct stamp stamp;

	begin();
	streams[0] = ledger_stream(ledger, publisher_at(0), span_text("news"), 0);
	for (uint32_t i = 0; i < MANY; i++)
		audience_add(audience, subscriber_at(i), span_text("news"), false);
	double start = cpu_ns();
	for (uint32_t k = 0; k < 200; k++) {
		send(0, &stamp);
		for (uint32_t i = 0; i < MANY; i++)
			if (i || k % 2)
				arrive(i, &stamp, span_text("news"));
	}
	bench_figure("delivery of a fan-out to 10,000", (cpu_ns() - start) / 200 / MANY, "ns", NULL);
	put_together("put together");
	end();
}

static void bench_crowd(void)
{
	struct stamp stamp;

	begin();
	for (uint32_t i = 0; i < CROWD; i++) {
		streams[i] = ledger_stream(ledger, publisher_at(i), name("crowd/%u", i), 0);
		audience_add(audience, subscriber_at(i), span_text("crowd/#"), false);
	}
	double start = cpu_ns();
	for (uint32_t k = 0; k < 10; k++)
		for (uint32_t i = 0; i < CROWD; i++) {
			send(i, &stamp);
			for (uint32_t s = 0; s < CROWD; s++)
				if ((s + i + k) % 100)
					arrive(s, &stamp, name("crowd/%u", i));
		}
	bench_figure("delivery of 500 to 500, one in a hundred lost", (cpu_ns() - start) / 10 / CROWD / CROWD, "ns", "with the topic printed");
	put_together("put together");
	end();
}

static void bench_shared(void)
{
	struct stamp stamp;
	size_t before;

	begin();
	streams[0] = ledger_stream(ledger, publisher_at(0), span_text("work"), 0);
	for (uint32_t i = 0; i < N_MEMBERS; i++)
		audience_add(audience, subscriber_at(i), span_text("$share/workers/work"), false);
	before = pool_in_use(pool);
	double start = cpu_ns();
	for (uint32_t k = 0; k < N_SHARED; k++) {
		send(0, &stamp);
		if (k % 1000)
			arrive(k * 2654435761u >> 28, &stamp, span_text("work"));
	}
	bench_figure("message to a shared group of 16", (cpu_ns() - start) / N_SHARED, "ns", NULL);
	bench_figure("memory for it", (double)(pool_in_use(pool) - before) / N_SHARED, "bytes", NULL);
	put_together("put together");
	end();
}

int main(void)
{
	bench_messages(1, "message stamped and accounted for, one stream", "delivery accounted for and timed, one stream");
	bench_messages(MANY, "message stamped and accounted for, 10,000 streams", "delivery accounted for and timed, 10,000 streams");
	bench_ramp();
	bench_fan_out();
	bench_crowd();
	bench_shared();
	return 0;
}
