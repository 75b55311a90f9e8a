#include <stdlib.h>
#include <string.h>

#include "codec/bench/bench.h"
#include "harness/load/hdr_log.h"
#include "harness/load/tests/random_times.h"

/* What it costs to count a duration, to join histograms and to write one down. */

enum { N_TIMES = 1 << 16, N_ROUNDS = 200, N_JOINS = 2000, N_WRITES = 200 };

static uint64_t times[N_TIMES];

/* As latencies are: a body about `typical`, and a long tail. */
static void fill(uint64_t typical, unsigned tail_bits)
{
	uint64_t seed = 1;

	for (size_t i = 0; i < N_TIMES; i++) {
		uint64_t r = random_u64(&seed);

		times[i] = typical / 2 + r % typical + (r >> 40 & 127 ? 0 : random_u64(&seed) & ((1ull << tail_bits) - 1));
	}
}

static void bench_record(const char *what)
{
	struct hdr h = { 0 };

	for (size_t i = 0; i < N_TIMES; i++)
		hdr_record(&h, times[i]);
	double start = bench_ns();
	for (unsigned round = 0; round < N_ROUNDS; round++)
		for (size_t i = 0; i < N_TIMES; i++)
			hdr_record(&h, times[i]);
	bench_figure(what, (bench_ns() - start) / ((double)N_ROUNDS * N_TIMES), "ns", NULL);
	hdr_release(&h);
}

static void bench_whole(void)
{
	struct hdr h = { 0 }, sum = { 0 };
	size_t len = 0;

	for (size_t i = 0; i < N_TIMES; i++)
		hdr_record(&h, times[i]);
	double start = bench_ns();
	for (unsigned i = 0; i < N_JOINS; i++)
		hdr_add(&sum, &h);
	bench_figure("histogram joined", (bench_ns() - start) / N_JOINS / 1e3, "us", NULL);
	start = bench_ns();
	for (unsigned i = 0; i < N_JOINS; i++)
		len += hdr_quantile(&h, 990000) > 0;
	bench_figure("quantile found", (bench_ns() - start) / N_JOINS / 1e3, "us", NULL);
	start = bench_ns();
	for (unsigned i = 0; i < N_WRITES; i++) {
		char *payload = hdr_payload(&h);

		len = payload ? strlen(payload) : 0;
		free(payload);
	}
	bench_figure("histogram as compressed payload", (bench_ns() - start) / N_WRITES / 1e3, "us", "%zu bytes in base64", len);
	hdr_release(&h);
	hdr_release(&sum);
}

int main(void)
{
	fill(50000, 20);
	bench_record("duration counted, 50 us and a tail to 1 ms");
	fill(1000000, 32);
	bench_record("duration counted, 1 ms and a tail to 4 s");
	bench_whole();
	return 0;
}
