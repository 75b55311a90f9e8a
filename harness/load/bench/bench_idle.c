#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "codec/bench/bench.h"
#include "harness/load/client.h"
#include "harness/load/control.h"
#include "harness/tls.h"

/* What a client that is connected, has one subscription and says nothing takes of memory, by the way it is connected; the other side is another process. */

struct crowd {
	struct link_hub hub;
	struct monitor_log log;
	struct client *clients;
	unsigned n, n_ready;
	enum way way;
	size_t before;
};

static struct crowd crowd;

/* RssAnon of this process, in bytes. */
static size_t anonymous(void)
{
	FILE *f = fopen("/proc/self/status", "r");
	char line[200];
	size_t kb = 0;

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "RssAnon: %zu", &kb) == 1)
			break;
	if (f)
		fclose(f);
	return kb * 1024;
}

static void say(struct link *link, const uint8_t *bytes, size_t len)
{
	struct packet packet;
	struct finding finding;
	uint8_t *at = link_room(link, len);

	if (!at || decode(bytes, len, MQTT_5, &packet, &finding) != CODEC_OK)
		abort();
	memcpy(at, bytes, len);
	monitor_sent(&link->monitor, at, len, &packet);
	link_commit(link, len);
}

static void opened(struct link *link)
{
	uint8_t connect[] = { 0x10, 19, 0, 4, 'M', 'Q', 'T', 'T', 5, 2, 0, 0, 0, 0, 6, 'c', '0', '0', '0', '0', '0' };
	unsigned n = (unsigned)((struct client *)link - crowd.clients);

	for (unsigned i = 20; n; n /= 10)
		connect[i--] = (uint8_t)('0' + n % 10);
	say(link, connect, sizeof(connect));
}

static void done(void)
{
	size_t now = anonymous();

	bench_figure(crowd.way == WAY_TCP ? "idle client, TCP" : crowd.way == WAY_TLS ? "idle client, TLS" : crowd.way == WAY_WS ? "idle client, WebSocket" : "idle client, WebSocket over TLS",
	             (double)(now - crowd.before) / crowd.n, "bytes", "(%u of them, %.1f MB before)", crowd.n, (double)crowd.before / 1e6);
	_exit(0);
}

static void packet(struct link *link, const uint8_t *bytes, size_t len, const struct packet *p)
{
	static const uint8_t subscribe[] = { 0x82, 15, 0, 1, 0, 0, 9, 's', 'e', 'n', 's', 'o', 'r', 's', '/', '+', 1 };

	(void)bytes, (void)len;
	if (p && p->type == CONNACK)
		say(link, subscribe, sizeof(subscribe));
	else if (p && p->type == SUBACK && ++crowd.n_ready == crowd.n)
		done();
}

static void ended(struct link *link, enum link_end how)
{
	char text[200];

	(void)how;
	fprintf(stderr, "bench_idle: %s\n", link_end_text(link, text, sizeof(text)));
	_exit(1);
}

static void ignore(struct link *link)
{
	(void)link;
}

static void violated(void *owner, struct monitor *monitor, const struct violation *v)
{
	(void)owner, (void)monitor;
	fprintf(stderr, "bench_idle: %s: %s\n", v->clause, v->text);
	_exit(1);
}

static void be_crowd(struct address *address, enum way way, unsigned n)
{
	static const struct link_events events = { .opened = opened, .packet = packet, .ended = ended, .room = ignore };
	struct loop loop;

	if (loop_init(&loop, false))
		_exit(1);
	crowd.way = way;
	crowd.n = n;
	crowd.hub = (struct link_hub){ .loop = &loop, .pool = pool_new(), .world = monitor_world_new(), .events = &events };
	crowd.log.violated = violated;
	link_hub_init(&crowd.hub);
	crowd.before = anonymous();
	crowd.clients = calloc(n, sizeof(*crowd.clients));
	for (unsigned i = 0; i < n; i++)
		link_open(&crowd.clients[i].link, &crowd.hub, address, &crowd.log);
	loop_run(&loop);
	_exit(1);
}

static void be_sink(const struct address *address, int tell)
{
	struct sink_options options = { .listen = *address };
	struct fault fault;
	struct loop loop;
	struct sink *sink = loop_init(&loop, false) ? NULL : sink_new(&loop, &options, &fault);
	unsigned port = sink ? sink_port(sink) : 0;

	if (write(tell, &port, sizeof(port)) == sizeof(port) && sink)
		loop_run(&loop);
	_exit(1);
}

static int measure(enum way way, unsigned n, struct tls_context *client, struct tls_context *server)
{
	struct address address = { .kind = ADDRESS_TCP, .host = "127.0.0.1", .layers = { .tls = way == WAY_TLS || way == WAY_WSS, .websocket = way == WAY_WS || way == WAY_WSS } };
	int pipes[2], status = 1;
	pid_t sink, ours;

	address.layers.context = server;
	if (pipe(pipes) || (sink = fork()) < 0)
		return 1;
	if (!sink)
		be_sink(&address, pipes[1]);
	if (read(pipes[0], &address.port, sizeof(address.port)) == sizeof(address.port) && address.port) {
		snprintf(address.host, sizeof(address.host), "localhost");
		address.layers.context = client;
		ours = fork();
		if (!ours)
			be_crowd(&address, way, n);
		waitpid(ours, &status, 0);
	}
	kill(sink, SIGKILL);
	waitpid(sink, NULL, 0);
	close(pipes[0]);
	close(pipes[1]);
	return status != 0;
}

int main(int argc, char **argv)
{
	unsigned n = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 18000;
	struct tls_context *client, *server;
	struct rlimit files = { .rlim_cur = 0 };

	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	if (n + 100 > files.rlim_cur)
		n = (unsigned)files.rlim_cur - 100;
	signal(SIGPIPE, SIG_IGN);
	if (!tls_contexts_for_us(&client, &server))
		return 1;
	return measure(WAY_TCP, n, client, server) | measure(WAY_WS, n / 4, client, server) |
	       measure(WAY_TLS, n / 12, client, server) | measure(WAY_WSS, n / 12, client, server);
}
