#include <errno.h>

#include "codec/bench/bench.h"
#include "codec/codec.h"
#include "harness/conn.h"
#include "reference-broker/broker.h"
#include "reference-broker/bench/brokers.h"

/*
 * What a connection costs that does nothing, once connected: in the client (a connection of the engine with its
 * monitor) and in the broker, which is a process of its own, so that both have descriptors for many.
 */

enum { CLIENTS = 10000, PENDING = 64 };

static struct client {
	struct conn conn;
} *clients;

static struct loop loop;
static struct monitor_world *world;
static struct monitor_log judged;
static struct broker_process *broker;
static size_t n_clients, n_begun, n_connected;

static void begin_next(void);

static void opened(struct conn *c)
{
	uint8_t room[64];
	char id[16];
	struct writer w = writer_to(room, sizeof(room));
	struct packet connect = {
		.version = MQTT_3_1_1, .type = CONNECT, .protocol_name = span_text("MQTT"), .protocol_version = MQTT_3_1_1,
		.connect_flags = CONNECT_CLEAN_START, .keep_alive = 3600,
	};

	snprintf(id, sizeof(id), "idle%zu", (size_t)((struct client *)c - clients));
	connect.client_id = span_text(id);
	if (encode(&connect, NULL, &w) != CODEC_OK || !wr_fits(&w))
		abort();
	monitor_sent(&c->monitor, room, w.len, &connect);
	conn_send(c, wr_span(&w), 0, 0);
}

static void came(struct conn *c, const uint8_t *bytes, size_t len, const struct packet *packet)
{
	(void)bytes, (void)len, (void)c;
	if (!packet || packet->type != CONNACK || packet->reason)
		brokers_give_up(broker->name, "does not take a client");
	if (++n_connected == n_clients)
		loop_stop(&loop);
	else
		begin_next();
}

static void ended(struct conn *c, enum conn_end how)
{
	char text[128];

	(void)how;
	conn_end_text(c, text, sizeof(text));
	brokers_give_up(broker->name, text);
}

static void all_sent(struct conn *c)
{
	(void)c;
}

static const struct conn_events events = { .opened = opened, .packet = came, .ended = ended, .sent = all_sent };
static const struct conn_limits limits = { .max_packet = 1 << 20 };

static void begin_next(void)
{
	int error;

	if (n_begun == n_clients)
		return;
	error = conn_open(&clients[n_begun++].conn, &loop, &broker->address, &events, &limits, world, &judged);
	if (error)
		brokers_give_up("connect", strerror(-error));
}

/* All connect, stay for the measuring, and go. */
static void measure(struct broker_process *b, bool ours)
{
	double before = brokers_resident(b->child.pid), ours_before = brokers_resident(0), from = bench_ns(), took;
	char what[96];

	broker = b;
	n_begun = n_connected = 0;
	while (n_begun < PENDING && n_begun < n_clients)
		begin_next();
	loop_run(&loop);
	took = bench_ns() - from;
	if (ours) {
		bench_figure("idle client, resident", (brokers_resident(0) - ours_before) / (double)n_clients, "bytes",
		             "(structures: connection %zu, of which monitor %zu)", sizeof(struct conn), sizeof(struct monitor));
	}
	snprintf(what, sizeof(what), "idle connection of %s, resident", b->name);
	if (ours)
		bench_figure(what, (brokers_resident(b->child.pid) - before) / (double)n_clients, "bytes",
		             "(structures: link and session %zu)", broker_idle_link_size());
	else
		bench_figure(what, (brokers_resident(b->child.pid) - before) / (double)n_clients, "bytes", NULL);
	snprintf(what, sizeof(what), "connect and CONNACK, %s", b->name);
	bench_figure(what, took / 1e3 / (double)n_clients, "us", NULL);
	for (size_t i = 0; i < n_clients; i++)
		conn_close(&clients[i].conn, true);	/* leaves no TIME_WAIT behind */
	loop_settle(&loop);
}

int main(void)
{
	static struct broker_process ours, mosquitto;
	size_t files = brokers_raise_limit();

	n_clients = files < CLIENTS + 100 ? files - 100 : CLIENTS;
	world = monitor_world_new();
	if (!world || loop_init(&loop, false))
		return 3;
	clients = malloc(n_clients * sizeof(*clients));		/* touched only as they connect */
	if (!clients)
		return 3;
	brokers_start_ours(&ours, &loop);
	measure(&ours, true);
	brokers_stop(&ours);
	if (brokers_start_mosquitto(&mosquitto, &loop)) {
		measure(&mosquitto, false);
		brokers_stop(&mosquitto);
	}
	free(clients);
	monitor_world_free(world);
	loop_release(&loop);
	return 0;
}
