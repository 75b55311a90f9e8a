#include <stdio.h>
#include <stdlib.h>

#include "codec/bench/bench.h"
#include "codec/codec.h"
#include "codec/fields.h"

/* What one packet costs to frame, read and judge, and to write. */

struct sample {
	const char *name;
	struct packet packet;
	enum sender from;
	unsigned n;			/* how often in one round */
};

enum { N_ROUNDS = 20 };

static uint8_t lists[16384], payload[65536], bytes[70000];

static struct packet publish(size_t len)
{
	return (struct packet){
		.version = MQTT_5, .type = PUBLISH, .flags = 1 << PUBLISH_QOS_SHIFT, .packet_id = 7,
		.topic = span_text("sensors/17/temperature"), .payload = span_of(payload, len),
	};
}

static struct packet connect_with_properties(void)
{
	struct packet p = {
		.version = MQTT_5, .type = CONNECT, .protocol_name = span_text("MQTT"), .protocol_version = MQTT_5,
		.connect_flags = CONNECT_CLEAN_START | CONNECT_USER_NAME | CONNECT_PASSWORD, .keep_alive = 60,
		.client_id = span_text("bench-0001"), .user_name = span_text("someone"), .password = span_text("secret"),
	};
	struct writer w = writer_to(lists, sizeof(lists));
	struct value pair = { .kind = VALUE_PAIR, .bytes = span_text("region"), .second = span_text("north") };

	property_write_number(&w, PROP_session_expiry_interval, 3600);
	property_write_number(&w, PROP_receive_maximum, 100);
	property_write_number(&w, PROP_maximum_packet_size, 1 << 20);
	property_write_number(&w, PROP_topic_alias_maximum, 10);
	property_write_number(&w, PROP_request_response_information, 1);
	property_write_number(&w, PROP_request_problem_information, 1);
	property_write_bytes(&w, PROP_authentication_method, span_text("SCRAM-SHA-256"));
	property_write_bytes(&w, PROP_authentication_data, span_text("n,,n=someone,r=rOprNGfwEbeRWgbNEkqO"));
	property_write(&w, PROP_user_property, &pair);
	property_write(&w, PROP_user_property, &pair);
	p.properties = wr_span(&w);
	return p;
}

static struct packet subscribe(unsigned n_filters, struct span room)
{
	struct writer w = writer_to((void *)(uintptr_t)room.at, room.len);

	while (n_filters--) {
		wr_binary(&w, span_text("sensors/+/temperature"));
		wr_u8(&w, 1);
	}
	return (struct packet){ .version = MQTT_5, .type = SUBSCRIBE, .flags = 2, .packet_id = 7, .list = wr_span(&w) };
}

static void fail(const char *name, const char *why)
{
	fprintf(stderr, "bench_codec: %s: %s\n", name, why);
	exit(3);
}

static double reading(const struct sample *s, size_t len)
{
	struct packet p;
	struct frame frame;
	struct finding finding;
	double start = bench_ns();

	for (unsigned i = 0; i < s->n; i++)
		if (frame_next(bytes, len, &frame, &finding) != FRAME_OK || decode(bytes, frame.size, MQTT_5, &p, &finding) != CODEC_OK ||
		    check(&p, s->from, &finding) != CODEC_OK)
			fail(s->name, finding.why);
	return (bench_ns() - start) / s->n;
}

static double writing(const struct sample *s, size_t len)
{
	double start = bench_ns();

	(void)len;
	for (unsigned i = 0; i < s->n; i++) {
		struct writer w = writer_to(bytes, sizeof(bytes));

		if (encode(&s->packet, NULL, &w) != CODEC_OK || !wr_fits(&w))
			fail(s->name, "no room");
	}
	return (bench_ns() - start) / s->n;
}

/* The quickest of some rounds: what it costs when nobody else wants the processor. */
static double quickest(double (*round)(const struct sample *, size_t), const struct sample *s, size_t len)
{
	double least = round(s, len);

	for (unsigned i = 1; i < N_ROUNDS; i++) {
		double now = round(s, len);

		least = now < least ? now : least;
	}
	return least;
}

int main(void)
{
	struct sample samples[] = {
		{ "PUBLISH QoS 1, 64 bytes", publish(35), FROM_CLIENT, 200000 },
		{ "PUBLISH QoS 1, 64 kB", publish(65536), FROM_CLIENT, 5000 },
		{ "PUBACK", { .version = MQTT_5, .type = PUBACK, .packet_id = 7 }, FROM_SERVER, 200000 },
		{ "CONNECT, 10 properties", connect_with_properties(), FROM_CLIENT, 50000 },
		{ "SUBSCRIBE, 50 filters", subscribe(50, span_of(lists + 8192, 8192)), FROM_CLIENT, 10000 },
	};

	memset(payload, 'x', sizeof(payload));
	for (size_t i = 0; i < sizeof(samples) / sizeof(*samples); i++) {
		struct writer w = writer_to(bytes, sizeof(bytes));
		double write = quickest(writing, &samples[i], 0);
		char what[80];

		encode(&samples[i].packet, NULL, &w);
		snprintf(what, sizeof(what), "%s, read and judged", samples[i].name);
		bench_figure(what, quickest(reading, &samples[i], w.len), "ns", NULL);
		snprintf(what, sizeof(what), "%s, written", samples[i].name);
		bench_figure(what, write, "ns", NULL);
	}
	return 0;
}
