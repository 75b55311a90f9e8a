#include "codec/bench/bench.h"
#include "pcap/tests/talk.h"

/* What a packet costs in the MQTT stage: framing, decoding, aliases, and telling a listener that does nothing. */

static uint64_t packets;

static void count(struct mqtt_listener *l, struct seen_packet *p)
{
	(void)l;
	packets += p->bytes.len > 0;
}

static void no_hole(struct mqtt_listener *l, struct conversation *c, const struct hole *h)
{
	(void)l, (void)c, (void)h;
}

enum { ROUNDS = 7 };

static void measure(const char *what, enum version version, enum cutting cutting, bool plain, bool from_start)
{
	struct talk t;
	double best = 1e18;

	talk_init(&t, version, 1);
	talk_makes(&t, 0, CONNECT, 0);
	talk_makes(&t, 1, CONNACK, 0);
	for (unsigned i = 0; i < 20000; i++)
		if (plain)
			talk_flow(&t, 0, i % 2, talk_publishes(&t, 0, i % 2, 60, TEXT));
	if (!plain)
		talk_fill(&t, 20000);
	t.listener.packet = count;
	t.listener.hole = no_hole;
	for (unsigned round = 0; round < ROUNDS; round++) {
		size_t kept = 0;
		struct mqtt_options options = talk_options(&kept);
		struct feeding how = { cutting, .skip = from_start ? 0 : 2 };

		options.from_start = from_start;
		for (unsigned end = 0; end < 2; end++)
			t.sides[end].fed = 0;
		struct stage *stage = mqtt_stage_new(&t.listener, &options);
		packets = 0;
		double start = bench_ns();
		if (stage)
			talk_feed(&t, stage, &how);
		double each = (bench_ns() - start) / (double)(packets ? packets : 1);
		best = each < best ? each : best;
		talk_end(&t, stage);
	}
	bench_figure(what, best, "ns", "a packet, of %llu", (unsigned long long)packets);
	talk_release(&t);
}

int main(void)
{
	measure("MQTT stage: 3.1.1, PUBLISH and PUBACK, a packet a segment", MQTT_3_1_1, CUT_PACKETS, true, true);
	measure("MQTT stage: 5, PUBLISH and PUBACK, a packet a segment", MQTT_5, CUT_PACKETS, true, true);
	measure("MQTT stage: 3.1.1, joined midway", MQTT_3_1_1, CUT_PACKETS, true, false);
	measure("MQTT stage: 5, joined midway", MQTT_5, CUT_PACKETS, true, false);
	measure("MQTT stage: 5, all packets, full segments", MQTT_5, CUT_SEGMENTS, false, true);
	measure("MQTT stage: 5, all packets, pieces of 1 to 536 bytes", MQTT_5, CUT_PIECES, false, true);
	return 0;
}
