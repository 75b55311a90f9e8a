#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "codec/bench/bench.h"
#include "harness/load/control.h"

/*
 * What connections cost by themselves: CPU of this process alone against a null sink in another one. The monitor judges what comes by its form only,
 * as it is not told what is sent: that is the engine's matter.
 */

#define SECOND_NS UINT64_C(1000000000)

enum { N_LINKS = 10, SIZE = 256, WINDOW = 20, N_STORM = 5000, ROUND_MS = 500 };

struct client {
	struct link link;
	uint16_t id;
};

static struct loop loop;
static struct link_hub hub;
static struct address address = { .kind = ADDRESS_TCP, .host = "127.0.0.1" };
static struct client *clients;
static unsigned qos, n_connected, n_clients;
static uint64_t n_done;
static bool floods, subscribes;

static double cpu_ns(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1e9 + (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) * 1e3;
}

static void publish(struct client *c, unsigned n)
{
	static uint8_t message[SIZE] = { 0x30, 0xfd, 1, 0, 6, 'b', 'e', '/', 'n', 'c', 'h' };

	while (n--) {
		uint8_t *room = link_room(&c->link, SIZE);

		if (!room)
			return;
		memcpy(room, message, SIZE);
		if (qos) {
			room[0] = (uint8_t)(0x30 | qos << 1);
			c->id = (uint16_t)(c->id % 65535 + 1);
			room[11] = (uint8_t)(c->id >> 8);
			room[12] = (uint8_t)c->id;
		} else
			n_done++;
		link_commit(&c->link, SIZE);
	}
}

static void send_bytes(struct client *c, const uint8_t *bytes, size_t len)
{
	memcpy(link_room(&c->link, len), bytes, len);
	link_commit(&c->link, len);
}

static void on_opened(struct link *link)
{
	static unsigned number;
	struct client *c = (struct client *)link;
	uint8_t connect_packet[] = { 0x10, 18, 0, 4, 'M', 'Q', 'T', 'T', 4, 2, 0, 60, 0, 6, 'b', '0', '0', '0', '0', '0' };
	char id[16];
	struct packet packet;
	struct finding finding;

	snprintf(id, sizeof(id), "%05u", number++ % 100000);
	memcpy(connect_packet + 15, id, 5);
	decode(connect_packet, sizeof(connect_packet), MQTT_3_1_1, &packet, &finding);
	monitor_misbehaved(&link->monitor);
	monitor_sent(&link->monitor, connect_packet, sizeof(connect_packet), &packet);
	send_bytes(c, connect_packet, sizeof(connect_packet));
}

static void on_packet(struct link *link, const uint8_t *bytes, size_t len, const struct packet *packet)
{
	static const uint8_t subscribe[] = { 0x82, 6, 0, 1, 0, 1, '#', 0 };
	struct client *c = (struct client *)link;

	(void)len;
	switch (packet ? packet->type : 0) {
	case CONNACK:
		if (++n_connected == n_clients && !floods && !qos && !subscribes)
			loop_stop(&loop);
		if (subscribes)
			send_bytes(c, subscribe, sizeof(subscribe));
		else if (qos)
			publish(c, WINDOW);
		else if (floods)
			publish(c, UINT32_MAX);
		break;
	case PUBREC:
		send_bytes(c, (const uint8_t[]){ 0x62, 2, bytes[2], bytes[3] }, 4);
		break;
	case PUBACK: case PUBCOMP:
		n_done++;
		publish(c, 1);
		break;
	case PUBLISH:
		n_done++;
		break;
	}
}

static void on_ended(struct link *link, enum link_end how)
{
	char text[200];

	(void)how;
	fprintf(stderr, "bench_link: %s\n", link_end_text(link, text, sizeof(text)));
	exit(3);
}

static void on_room(struct link *link)
{
	publish((struct client *)link, UINT32_MAX);
}

static const struct link_events events = { on_opened, on_packet, on_ended, on_room };

static void on_time(struct timer *timer, struct loop *l)
{
	(void)timer;
	loop_stop(l);
}

/* ---- the sink, a process of its own ---- */

static void serve(int port_to, size_t flood)
{
	struct sink_options options = { .listen = address, .flood = flood };
	struct loop its;
	struct fault fault;
	unsigned port;

	loop_init(&its, false);
	struct sink *sink = sink_new(&its, &options, &fault);
	if (!sink)
		_exit(3);
	port = sink_port(sink);
	if (write(port_to, &port, sizeof(port)) != sizeof(port))
		_exit(3);
	loop_run(&its);
}

static pid_t start_sink(size_t flood)
{
	int fds[2];
	pid_t pid;

	address.port = 0;
	if (pipe(fds) < 0 || (pid = fork()) < 0)
		exit(3);
	if (!pid)
		serve(fds[1], flood);
	close(fds[1]);
	if (read(fds[0], &address.port, sizeof(address.port)) != sizeof(address.port))
		exit(3);
	close(fds[0]);
	return pid;
}

/* ---- figures ---- */

static void measure(const char *what, const char *unit, size_t flood, unsigned n, size_t max_unsent)
{
	struct timer timer = { .fire = on_time };
	pid_t pid = start_sink(flood);
	double start, used;
	uint64_t first;

	loop_init(&loop, false);
	hub = (struct link_hub){ .loop = &loop, .pool = pool_new(), .world = monitor_world_new(), .events = &events, .max_unsent = max_unsent };
	link_hub_init(&hub);
	clients = calloc(n, sizeof(*clients));
	n_clients = n;
	n_connected = 0;
	n_done = 0;
	start = cpu_ns();
	for (unsigned i = 0; i < n; i++)
		link_open(&clients[i].link, &hub, &address, NULL);
	if (n == N_LINKS) {
		loop_timer(&loop, &timer, loop.now_ns + SECOND_NS / 10);	/* until all goes its way */
		loop_run(&loop);
		start = cpu_ns();
		first = n_done;
		loop_timer(&loop, &timer, loop.now_ns + ROUND_MS * (SECOND_NS / 1000));
		loop_run(&loop);
		n_done -= first;
	} else {
		loop_run(&loop);
		n_done = n_connected;
	}
	used = cpu_ns() - start;
	bench_figure(what, n_done ? used / (double)n_done : 0, unit, NULL);
	for (unsigned i = 0; i < n; i++)
		link_close(&clients[i].link, true);
	link_hub_release(&hub);
	loop_settle(&loop);
	loop_release(&loop);
	monitor_world_free(hub.world);
	pool_free(hub.pool);
	free(clients);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

int main(void)
{
	floods = true;
	measure("send QoS 0, 256 B", "ns CPU/message", 0, N_LINKS, 0);
	if (getenv("BENCH_LINK_UNSENT"))
		for (size_t unsent = 8192; unsent <= 512 * 1024; unsent *= 2) {
			char what[60];

			snprintf(what, sizeof(what), "send QoS 0, 256 B, %zu kB a batch", unsent / 1024);
			measure(what, "ns CPU/message", 0, N_LINKS, unsent);
		}
	floods = false;
	qos = 1;
	measure("exchange QoS 1, 256 B, window 20", "ns CPU/message", 0, N_LINKS, 0);
	qos = 2;
	measure("exchange QoS 2, 256 B, window 20", "ns CPU/message", 0, N_LINKS, 0);
	qos = 0;
	measure("connect, CONNACK", "ns CPU/connection", 0, N_STORM, 0);
	subscribes = true;
	measure("receive QoS 0, 256 B", "ns CPU/message", 250, N_LINKS, 0);
	return 0;
}
