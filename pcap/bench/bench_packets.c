#include <stdio.h>
#include <stdlib.h>

#include "codec/bench/bench.h"
#include "codec/fields.h"
#include "pcap/tests/seen.h"
#include "pcap/where.h"

/* What one decoded packet costs to print as text and as JSON, and to be filtered. */

enum { N = 200000, N_ROUNDS = 5 };

static uint8_t room[4096];

static struct span publish(enum version version, unsigned qos, size_t payload)
{
	static const char words[] = "{\"temperature\": 20.5, \"unit\": \"C\", \"battery\": 87, \"ok\": true} ";
	struct packet p = { .version = (uint8_t)version, .type = PUBLISH, .flags = (uint8_t)(qos << 1), .packet_id = 4711,
	                    .topic = span_text("plant/7/line/3/temperature") };
	uint8_t text[2048], list[256];
	struct writer w = writer_to(room, sizeof(room)), properties = writer_to(list, sizeof(list));

	for (size_t i = 0; i < payload; i++)
		text[i] = (uint8_t)words[i % (sizeof(words) - 1)];
	p.payload = span_of(text, payload);
	if (version == MQTT_5) {
		property_write_number(&properties, PROP_message_expiry_interval, 3600);
		property_write_bytes(&properties, PROP_content_type, span_text("application/json"));
		property_write(&properties, PROP_user_property, &(struct value){ .kind = VALUE_PAIR, .bytes = span_text("region"), .second = span_text("north") });
		p.properties = wr_span(&properties);
	}
	encode(&p, NULL, &w);
	return wr_span(&w);
}

static double best(struct observer *o, struct conversation *c, struct seen_packet *seen)
{
	double least = 1e18;

	for (int round = 0; round < N_ROUNDS; round++) {
		double from = bench_ns();

		for (int i = 0; i < N; i++) {
			seen->when.frame++;
			seen->when.time_ns += 123456;
			o->ops->packet(o, seen);
		}
		double took = (bench_ns() - from) / N;
		least = took < least ? took : least;
	}
	o->ops->ended(o, c, ENDED_BY_FIN, &seen->when);
	return least;
}

int main(void)
{
	static const struct { const char *name; enum version version; unsigned qos; size_t payload; } rows[] = {
		{ "PUBLISH 3.1.1 QoS 0, payload of 60 bytes", MQTT_3_1_1, 0, 60 },
		{ "PUBLISH 3.1.1 QoS 1, payload of 1,000 bytes", MQTT_3_1_1, 1, 1000 },
		{ "PUBLISH 5 QoS 1, 3 properties, payload of 60 bytes", MQTT_5, 1, 60 },
	};
	struct fault fault;
	struct where *where = where_parse(span_text("type==PUBLISH && qos<=1 && topic~\"plant/+/line/#\" && client==\"dash-1\" && !retain"), &fault);
	int fd = open("/dev/null", O_WRONLY);
	struct out out;

	if (!where || fd < 0 || !out_init(&out, fd))
		return 1;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct conversation c = seen_conversation(1, rows[i].version);
		struct seen_packet seen = seen_packet(&c, FROM_CLIENT, publish(rows[i].version, rows[i].qos, rows[i].payload), seen_at(1, 0));
		struct view_options how = { 0 };
		unsigned found = 0;

		c.client_id = span_text("dash-1");
		for (int json = 1; json >= 0; json--) {
			struct observer *o = json ? packets_json_new(&out, &how) : packets_text_new(&out, &how);
			char name[100];
			uint64_t before = out.written;

			snprintf(name, sizeof(name), "%s: %s", json ? "json" : "text", rows[i].name);
			double ns = best(o, &c, &seen);
			bench_figure(name, ns, "ns", "%.0f bytes", (double)(out.written - before) / N / N_ROUNDS);
			view_free(o);
		}
		double from = bench_ns();
		for (int k = 0; k < N; k++)
			found += where_matches(where, &seen, 0);
		bench_figure("where: five tests, all of them true", (bench_ns() - from) / N, "ns", NULL);
		if (found != N)
			return 1;
	}
	where_free(where);
	return out_release(&out);
}
