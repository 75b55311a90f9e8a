/* What putting TCP streams together costs, per segment: connections in turn, so that each is looked up anew. */
#include <stdlib.h>

#include "codec/bench/bench.h"
#include "pcap/tcp.h"

enum { ROUNDS = 400, LEN = 100 };

static uint64_t n_bytes, n_holes;

static void opened(void *context, struct flow *flow) { (void)context, (void)flow; }

static void bytes(void *context, struct flow *flow, unsigned end, struct span span, const struct when *when)
{
	(void)context, (void)flow, (void)end, (void)when;
	n_bytes += span.len;
}

static void hole(void *context, struct flow *flow, unsigned end, uint64_t len, enum tcp_why why, const struct when *when)
{
	(void)context, (void)flow, (void)end, (void)why, (void)when;
	n_holes += len;
}

static void noted(void *context, struct flow *flow, unsigned end, enum tcp_note note, uint32_t len, const struct when *when)
{
	(void)context, (void)flow, (void)end, (void)note, (void)len, (void)when;
}

static void over(void *context, struct flow *flow, unsigned end, enum tcp_how how, const struct when *when)
{
	(void)context, (void)flow, (void)end, (void)how, (void)when;
}

static void ended(void *context, struct flow *flow, enum tcp_how how, const struct when *when)
{
	(void)context, (void)flow, (void)how, (void)when;
}

static const struct tcp_events events = { opened, bytes, hole, noted, over, ended };

static void data(struct tcp *tcp, uint32_t flow, uint32_t nth, bool answers, uint64_t n)
{
	static const uint8_t payload[LEN];
	struct endpoint a = { 4, { 10, 0, (uint8_t)(flow >> 8), (uint8_t)flow }, (uint16_t)(1024 + flow) }, b = { 4, { 10, 1, 1, 1 }, 1883 };
	struct segment s = { .when = { n, n * 500 }, .from = answers ? b : a, .to = answers ? a : b, .flags = TCP_ACK };

	s.seq = answers ? 1 : nth * LEN;
	s.ack = answers ? nth * LEN : 1;
	if (!answers) {
		s.bytes = span_of(payload, LEN);
		s.len = LEN;
	}
	tcp_segment(tcp, &s);
}

/* Two segments one way and two acknowledgements the other; late: the second of the two is captured before the first. */
static double run(unsigned n_flows, bool late)
{
	struct tcp *tcp = tcp_new(NULL, &events, NULL);
	uint64_t n = 0, expected = (uint64_t)n_flows * ROUNDS * LEN;
	double start;

	if (!tcp)
		return -1;
	n_bytes = n_holes = 0;
	start = bench_ns();
	for (uint32_t round = 0; round < ROUNDS; round += 2) {
		for (uint32_t i = 0; i < n_flows; i++) {
			bool swap = late && round;

			data(tcp, i, round + swap, false, ++n);
			data(tcp, i, round + !swap, false, ++n);
			data(tcp, i, round + 1, true, ++n);
			data(tcp, i, round + 2, true, ++n);
		}
	}
	double took = (bench_ns() - start) / (double)n;

	tcp_end(tcp, NULL);
	tcp_free(tcp);
	return n_bytes == expected && !n_holes ? took : -1;
}

int main(void)
{
	double few = run(20, false), many = run(2000, false), most = run(20000, false), swapped = run(2000, true);

	bench_figure("TCP segment in order, 20 connections", few, "ns", NULL);
	bench_figure("TCP segment in order, 2000 connections", many, "ns", NULL);
	bench_figure("TCP segment in order, 20000 connections", most, "ns", NULL);
	bench_figure("TCP segment, each second data segment captured too early", swapped, "ns", NULL);
	return few < 0 || many < 0 || most < 0 || swapped < 0;
}
