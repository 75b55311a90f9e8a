#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "codec/bench/bench.h"
#include "codec/codec.h"
#include "harness/conn.h"
#include "harness/tls.h"
#include "reference-broker/bench/brokers.h"
#include "reference-broker/server.h"

/*
 * What TLS and WebSocket cost: handshakes with both ends in this process, over memory, and what a connection that does
 * nothing keeps in the client and in the broker, which is a process of its own then.
 */

enum { PENDING = 64 };

static struct tls_context *client_context, *server_context;

/* ---- handshakes ---- */

static unsigned n_open;

static void shaken(struct transport *t, unsigned events)
{
	n_open += !!(events & TRANSPORT_OPEN);
	if (events & TRANSPORT_FAILED)
		brokers_give_up("handshake", transport_strerror(t->error));
	if (events & TRANSPORT_OPEN && n_open == 2)
		loop_stop(t->loop);
}

static struct transport *served;

static void accept_one(struct service *service, struct transport *t)
{
	(void)service;
	served = t;
	t->event = shaken;
}

static void measure_handshakes(enum way way, const char *what, unsigned n)
{
	struct layers layers = { .tls = way & WAY_TLS, .websocket = way & WAY_WS, .context = server_context };
	struct service service = { .accepted = accept_one, .layers = layers };
	struct address address = { .kind = ADDRESS_MEMORY, .service = &service, .layers = layers };
	struct loop loop;
	double from;

	if (loop_init(&loop, true))
		brokers_give_up("loop", "no memory");
	address.layers.context = client_context;
	from = bench_ns();
	for (unsigned i = 0; i < n; i++) {
		struct transport *t = transport_connect(&loop, &address, shaken, NULL);

		n_open = 0;
		loop_run(&loop);
		t->ops->close(t, true);
		served->ops->close(served, true);
		loop_settle(&loop);
	}
	bench_figure(what, n / ((bench_ns() - from) / 1e9), "a second", "(client and server in one thread)");
	loop_release(&loop);
}

/* ---- idle connections ---- */

static struct loop loop;
static struct conn *clients;
static struct address address;
static size_t n_clients, n_begun, n_connected;
static struct monitor_world *world;
static struct monitor_log judged;

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

	snprintf(id, sizeof(id), "idle%zu", (size_t)(c - clients));
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
		brokers_give_up("the broker", "does not take a client");
	if (++n_connected == n_clients)
		loop_stop(&loop);
	else
		begin_next();
}

static void ended(struct conn *c, enum conn_end how)
{
	char text[300];

	(void)how;
	conn_end_text(c, text, sizeof(text));
	brokers_give_up("the broker", text);
}

static void all_sent(struct conn *c)
{
	(void)c;
}

static const struct conn_events events = { .opened = opened, .packet = came, .ended = ended, .sent = all_sent };
static const struct conn_limits limits = { .max_packet = 1 << 20 };

static void begin_next(void)
{
	if (n_begun < n_clients && conn_open(&clients[n_begun++], &loop, &address, &events, &limits, world, &judged))
		brokers_give_up("connect", strerror(errno));
}

/* The child's part: serves until it is killed, and dies with us. */
static void serve(const struct layers *layers, int tell)
{
	struct address here = { .kind = ADDRESS_TCP, .host = "127.0.0.1", .layers = *layers };
	struct broker_config config;
	struct server *server;
	struct listener *listener;
	struct loop own;
	unsigned port;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	broker_defaults(&config);
	here.layers.context = server_context;
	if (loop_init(&own, false) || !(server = server_new(&own, &config)) || !(listener = server_listen(server, &here)))
		_exit(3);
	port = listener_port(listener);
	if (write(tell, &port, sizeof(port)) != sizeof(port))
		_exit(3);
	loop_run(&own);
	_exit(0);
}

struct idle { double broker, client; };		/* bytes, resident */

/* All connect and stay for the measuring. */
static struct idle measure_idle(enum way way)
{
	struct layers layers = { .tls = way & WAY_TLS, .websocket = way & WAY_WS };
	struct idle before, idle;
	int tell[2];
	pid_t pid;

	if (pipe(tell) || (pid = fork()) < 0)
		brokers_give_up("fork", strerror(errno));
	if (!pid)
		serve(&layers, tell[1]);
	address = (struct address){ .kind = ADDRESS_TCP, .host = "127.0.0.1", .layers = layers };
	address.layers.context = client_context;
	if (read(tell[0], &address.port, sizeof(address.port)) != sizeof(address.port))
		brokers_give_up("the broker", "does not start");
	before = (struct idle){ brokers_resident(pid), brokers_resident(0) };
	while (n_begun < PENDING && n_begun < n_clients)
		begin_next();
	loop_run(&loop);
	idle.broker = (brokers_resident(pid) - before.broker) / (double)n_clients;
	idle.client = (brokers_resident(0) - before.client) / (double)n_clients;
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	return idle;
}

/* In a process of its own: what one measurement has freed would be there for the next. */
static struct idle measure_apart(enum way way)
{
	struct idle idle;
	int tell[2], status;
	pid_t pid;

	if (pipe(tell) || (pid = fork()) < 0)
		brokers_give_up("fork", strerror(errno));
	if (!pid) {
		world = monitor_world_new();
		clients = malloc(n_clients * sizeof(*clients));		/* touched only as they connect */
		if (!world || !clients || loop_init(&loop, false))
			_exit(3);
		idle = measure_idle(way);
		_exit(write(tell[1], &idle, sizeof(idle)) != sizeof(idle));
	}
	if (waitpid(pid, &status, 0) < 0 || status || read(tell[0], &idle, sizeof(idle)) != sizeof(idle))
		exit(3);
	close(tell[0]);
	close(tell[1]);
	return idle;
}

static void print_idle(const char *name, struct idle idle, struct idle bare)
{
	char what[96];

	snprintf(what, sizeof(what), "%s, for an idle connection of the broker, resident", name);
	bench_figure(what, idle.broker - bare.broker, "bytes", "(beside %.0f without)", bare.broker);
	snprintf(what, sizeof(what), "%s, for an idle client, resident", name);
	bench_figure(what, idle.client - bare.client, "bytes", "(beside %.0f without)", bare.client);
}

int main(void)
{
	size_t files = brokers_raise_limit();

	n_clients = files < 2100 ? files - 100 : 2000;
	if (!tls_contexts_for_us(&client_context, &server_context))
		return 3;
	measure_handshakes(WAY_TLS, "TLS 1.3 handshakes", 1000);
	measure_handshakes(WAY_WS, "WebSocket handshakes", 20000);
	measure_handshakes(WAY_WSS, "WebSocket over TLS 1.3, handshakes", 1000);

	struct idle bare = measure_apart(WAY_TCP);
	print_idle("TLS", measure_apart(WAY_TLS), bare);
	print_idle("WebSocket", measure_apart(WAY_WS), bare);
	tls_context_release(client_context);
	tls_context_release(server_context);
	return 0;
}
