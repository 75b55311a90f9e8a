#include "codec/bench/bench.h"
#include "harness/load/tests/lone_client.h"

/* What a PUBLISH costs until it lies in its link's room, stamped, judged, counted and timed; the socket takes it from there. */

LONE_CLIENT

enum { N = 4000000 };

static const char text[] =
	"workload \"w\"\nmqtt 5\n"
	"role c x 1 {\n"
	"c connects\n"
	"c publishes topic=\"tele/$(n)\" payload=stamp(256)\n"
	"c publishes topic=\"tele/$(n)\" qos=1 payload=stamp(256)\n"
	"c publishes topic=\"tele/$(n)\" payload=fill(256)\n"
	"c publishes topic=\"cmd/$(pick(d))\" payload=stamp(256)\n"
	"c publishes topic=\"tele/$(n)\" correlation_data=\"$(n)\" payload=stamp(256)\n"
	"c receives topic=\"tele/$(n)\"\n"
	"c receives topic~\"tele/+\"\n"
	"}\n"
	"role d x 100 { d connects }\n";

static double posting(struct lone *l, unsigned step, unsigned n)
{
	static const uint8_t puback[] = { 0x40, 2, 0, 1 };
	struct client *c = &l->clients[0];
	const struct step *s = lone_step(l, step);
	bool acknowledged = post_qos(c, s);
	struct stream *stream;
	uint32_t number;
	double start = bench_ns();

	for (unsigned i = 0; i < n; i++) {
		struct packet packet;
		struct frame frame = { .first = 0x40, .header_size = 2, .size = 4 };

		l->loop.now_ns += 100;
		c->due_ns += 100;
		if (post(c, s, acknowledged ? 1 : 0, &stream, &number, NULL, NULL) != 1)
			abort();
		if (acknowledged)
			monitor_received(&c->link.monitor, puback, sizeof(puback), &frame, &packet);
	}
	return (bench_ns() - start) / n;
}

static double matching(struct lone *l, unsigned step, unsigned n)
{
	struct packet packet = { .type = PUBLISH, .version = MQTT_5, .topic = span_text("tele/7") };
	const struct step *s = lone_step(l, step);
	const char *why;
	double start = bench_ns();

	for (unsigned i = 0; i < n; i++)
		if (!packet_suits(&l->clients[0], s->matches, s->n_matches, &packet, &why))
			abort();
	return (bench_ns() - start) / n;
}

int main(void)
{
	struct lone *l = lone_new(text);
	struct engine *e = &l->engine;

	e->options.audience = audience_new(2);
	e->ledger = ledger_new(e->options.audience, e->pool, 0, 99, l->tallies, 2, 0);
	posting(l, 1, N / 10);
	bench_figure("PUBLISH of 256 bytes with QoS 0, stamped, up to its send", posting(l, 1, N), "ns", "(%zu bytes of packet)", lone_seen.len);
	bench_figure("the same with QoS 1, and its PUBACK judged", posting(l, 2, N), "ns", NULL);
	bench_figure("QoS 0, without a stamp", posting(l, 3, N), "ns", NULL);
	bench_figure("QoS 0, to a topic that is drawn each time", posting(l, 4, N), "ns", NULL);
	bench_figure("QoS 0, with a property of its own each time", posting(l, 5, N / 10), "ns", NULL);
	bench_figure("whether a delivery is to the topic that a step expects", matching(l, 6, N), "ns", "(by a filter %.0f ns)", matching(l, 7, N));
	bench_figure("memory of a client, its link and its monitor", sizeof(struct client), "bytes", "(link %zu, of which monitor %zu)", sizeof(struct link), sizeof(struct monitor));
	ledger_free(e->ledger);
	audience_free(e->options.audience);
	e->ledger = NULL;
	lone_free(l);
	return 0;
}
