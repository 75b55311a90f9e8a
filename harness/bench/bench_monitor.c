#include <stdio.h>
#include <string.h>

#include "codec/bench/bench.h"
#include "harness/monitor.h"

/* What the monitor costs per packet, and what an idle connection of it takes. */

#define N 2000000u

static uint8_t connect_5[] = { 0x10, 0x0f, 0, 4, 'M', 'Q', 'T', 'T', 5, 2, 0, 60, 0, 0, 2, 'm', 'e' };
static uint8_t connack[] = { 0x20, 3, 0, 0, 0 };
static uint8_t subscribe[] = { 0x82, 14, 0, 1, 0, 0, 8, 's', '/', '0', '0', '0', '1', '/', '+', 1 };
static uint8_t suback[] = { 0x90, 4, 0, 1, 0, 1 };
static uint8_t puback[] = { 0x40, 2, 0, 1 };

static uint64_t n_violations;

static void count(void *owner, struct monitor *monitor, const struct violation *violation)
{
	(void)owner, (void)monitor;
	if (!n_violations++)
		fprintf(stderr, "bench_monitor: %s: %s\n", violation->clause, violation->text);
}

static void send_bytes(struct monitor *m, const uint8_t *bytes, size_t len)
{
	struct packet packet;
	struct finding finding;

	if (decode(bytes, len, MQTT_5, &packet, &finding) == CODEC_OK)
		monitor_sent(m, bytes, len, &packet);
}

static void receive(struct monitor *m, const uint8_t *bytes, size_t len)
{
	struct packet packet;
	struct frame frame;
	struct finding finding;

	if (frame_next(bytes, len, &frame, &finding) == FRAME_OK)
		monitor_received(m, bytes, len, &frame, &packet);
}

/* A PUBLISH of 64 bytes for s/0001/1. */
static size_t delivery(uint8_t *to, unsigned qos)
{
	struct writer w = writer_to(to, 64);

	wr_u8(&w, 0x30 | qos << 1);
	wr_u8(&w, 62);
	wr_binary(&w, span_text("s/0001/1"));
	if (qos)
		wr_u16(&w, 1);
	wr_u8(&w, 0);
	while (w.len < 64)
		wr_u8(&w, 'x');
	return w.len;
}

static double deliveries(struct monitor *m, unsigned qos)
{
	uint8_t bytes[64];
	size_t len = delivery(bytes, qos);
	double start = bench_ns();

	for (unsigned i = 0; i < N; i++) {
		unsigned id = 1 + i % 65535;

		if (qos) {
			bytes[12] = puback[2] = (uint8_t)(id >> 8);
			bytes[13] = puback[3] = (uint8_t)id;
		}
		receive(m, bytes, len);
		if (qos)
			send_bytes(m, puback, sizeof(puback));
	}
	return (bench_ns() - start) / N;
}

/* Decoding and check() alone, to tell what the rules add. */
static double reading(unsigned qos)
{
	uint8_t bytes[64];
	size_t len = delivery(bytes, qos), ok = 0;
	double start = bench_ns(), took;

	for (unsigned i = 0; i < N; i++) {
		struct packet packet;
		struct frame frame;
		struct finding finding;

		bytes[len - 1] = (uint8_t)i;
		ok += frame_next(bytes, len, &frame, &finding) == FRAME_OK &&
		      decode(bytes, len, MQTT_5, &packet, &finding) == CODEC_OK &&
		      check(&packet, FROM_SERVER, &finding) == CODEC_OK;
	}
	took = (bench_ns() - start) / N;
	return ok == N ? took : -1;
}

int main(void)
{
	struct monitor_world *world = monitor_world_new();
	struct monitor_log log = { .violated = count };
	struct monitor m;

	if (!world)
		return 1;
	monitor_open(&m, world, &log);
	send_bytes(&m, connect_5, sizeof(connect_5));
	receive(&m, connack, sizeof(connack));
	bench_figure("monitor of an idle connection", sizeof(m), "bytes", m.session ? "and a session" : "nothing beside");
	send_bytes(&m, subscribe, sizeof(subscribe));
	receive(&m, suback, sizeof(suback));
	bench_figure("QoS 0 delivery, monitored", deliveries(&m, 0), "ns", "(decode and check alone %.0f ns)", reading(0));
	bench_figure("QoS 1 delivery and PUBACK, monitored", deliveries(&m, 1), "ns", "(decode and check alone %.0f ns)", reading(1));
	monitor_close(&m);
	monitor_world_free(world);
	return n_violations != 0;
}
