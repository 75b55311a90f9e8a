#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "codec/wire.h"
#include "harness/cli.h"
#include "harness/console.h"
#include "harness/target.h"
#include "reference-broker/faults.h"
#include "reference-broker/server.h"

extern const struct command broker_command;

static const char *const version_names[] = { "all", "3.1", "3.1.1", "5", NULL };

static struct {
	struct string_list listen, broken;
	uint64_t maximum_qos, receive_maximum, maximum_packet_size, topic_alias_maximum, server_keep_alive_ns;
	uint64_t session_expiry_maximum_ns, seed, max_memory, max_connections;
	bool no_retain, no_wildcard, no_shared, no_subscription_identifiers, no_empty_client_id;
	int version;
} conf = {
	.maximum_qos = 2, .receive_maximum = 65535, .maximum_packet_size = VARINT_MAX + 5u, .topic_alias_maximum = 32,
	.max_memory = UINT64_C(1) << 30, .max_connections = 1000000,
};

static const struct cli_option options[] = {
	OPT_LIST(0, "listen", conf.listen, "URL", "where to take connections: tcp://127.0.0.1:1883, port 0 for any free one, or unix:/path"),
	OPT_LIST(0, "break", conf.broken, "RULE[/NAME]", "commit this fault; list: say which there are"),
	OPT_HEADING("What it offers, as CONNACK can announce"),
	OPT_ENUM(0, "mqtt", conf.version, version_names, "protocol version that is served"),
	OPT_COUNT(0, "maximum-qos", conf.maximum_qos, 0, 2, "N", "highest QoS"),
	OPT_FLAG(0, "no-retain", conf.no_retain, "no retained messages"),
	OPT_COUNT(0, "receive-maximum", conf.receive_maximum, 1, 65535, "N", "QoS 1 and 2 messages a client may have open"),
	OPT_SIZE(0, "maximum-packet-size", conf.maximum_packet_size, "SIZE", "largest packet taken"),
	OPT_COUNT(0, "topic-alias-maximum", conf.topic_alias_maximum, 0, 65535, "N", "topic aliases a client may use"),
	OPT_DURATION(0, "server-keep-alive", conf.server_keep_alive_ns, "D", "in 5: in place of the client's keep alive"),
	OPT_DURATION(0, "session-expiry-maximum", conf.session_expiry_maximum_ns, "D", "sessions are kept no longer (0: as long as clients wish)"),
	OPT_FLAG(0, "no-wildcard", conf.no_wildcard, "no wildcard subscriptions"),
	OPT_FLAG(0, "no-shared", conf.no_shared, "no shared subscriptions"),
	OPT_FLAG(0, "no-subscription-identifiers", conf.no_subscription_identifiers, "no subscription identifiers"),
	OPT_FLAG(0, "no-empty-client-id", conf.no_empty_client_id, "do not assign client ids"),
	OPT_COUNT(0, "seed", conf.seed, 0, 0, "N", "of what it chooses at random; 0: drawn afresh"),
	OPT_HEADING("Bounds"),
	OPT_SIZE(0, "max-memory", conf.max_memory, "SIZE", "all that clients have it keep; past seven eighths only what passes through is served"),
	OPT_COUNT(0, "max-connections", conf.max_connections, 1, 1000000, "N", "connections at a time"),
	OPT_END
};

static uint64_t broken[FAULT_WORDS];

static int list_faults(void)
{
	int width = 0;

	for (size_t i = 0; i < n_fault_rows; i++) {
		int n = (int)strlen(fault_rows[i].rule) + (*fault_rows[i].name ? 1 + (int)strlen(fault_rows[i].name) : 0);

		width = n > width ? n : width;
	}
	for (size_t i = 0; i < n_fault_rows; i++) {
		const struct fault_row *row = &fault_rows[i];
		char text[128];

		snprintf(text, sizeof(text), "%s%s%s", row->rule, *row->name ? "/" : "", row->name);
		printf("%-*s  %s\n", width, text, row->breaks);
	}
	return fflush(stdout) == 0 ? EXIT_PASS : EXIT_UNABLE;
}

static int read_faults(void)
{
	for (size_t i = 0; i < conf.broken.n; i++) {
		int n = faults_named(span_text(conf.broken.at[i]), broken);

		if (!n)
			return cli_usage(&broker_command, "--break %s: no such fault; --break list names them", console_safe(conf.broken.at[i]));
		if (n < 0)
			return cli_usage(&broker_command, "--break %s: both versions have this rule: write 3.1.1:%s or 5:%s",
			                 console_safe(conf.broken.at[i]), console_safe(conf.broken.at[i]), console_safe(conf.broken.at[i]));
	}
	return EXIT_PASS;
}

/* ---- listening ---- */

static int listen_all(struct server *server)
{
	static const char *const by_default[] = { "tcp://127.0.0.1:1883" };
	const char *const *urls = conf.listen.n ? conf.listen.at : by_default;
	size_t n = conf.listen.n ? conf.listen.n : 1;

	for (size_t i = 0; i < n; i++) {
		struct address address;
		struct listener *listener;
		struct fault fault;
		char url[300];

		if (!address_parse(urls[i], ADDRESS_TO_LISTEN, &address, &fault))
			return cli_usage(&broker_command, "listen %s: %s", console_safe(urls[i]), fault.text);
		if (!address_is_loopback(&address))
			return cli_usage(&broker_command, "listen %s: only this machine may connect (127.0.0.1, ::1 or localhost): "
			                 "the broker asks nobody who he is", urls[i]);
		listener = server_listen(server, &address);
		if (!listener) {
			fprintf(stderr, "mqassay broker: listen %s: %s%s\n", urls[i], transport_strerror(errno),
			        errno == EADDRINUSE ? "; stop what listens there, or give another port (0: any free one)" : "");
			return EXIT_UNABLE;
		}
		if (address.kind == ADDRESS_TCP)
			address.port = listener_port(listener);
		printf("listening on %s\n", address_print(&address, url, sizeof(url)));
	}
	return fflush(stdout) == 0 ? EXIT_PASS : EXIT_UNABLE;
}

/* ---- the end by a signal ---- */

struct stopper {
	struct watch watch;
	struct server *server;
	struct loop *loop;
	bool asked;
};

static void stopped(void *context)
{
	loop_stop(context);
}

static void signalled(struct watch *watch, unsigned events, struct loop *loop)
{
	struct stopper *stopper = (struct stopper *)watch;
	struct signalfd_siginfo info;

	(void)events;
	if (read(watch->fd, &info, sizeof(info)) != sizeof(info))
		return;
	if (stopper->asked) {		/* who asks twice does not want to wait */
		loop_stop(loop);
		return;
	}
	stopper->asked = true;
	server_shutdown(stopper->server, stopped, loop);
}

static int watch_signals(struct stopper *stopper)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	stopper->watch.fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	if (stopper->watch.fd < 0)
		return -errno;
	stopper->watch.ready = signalled;
	return loop_watch(stopper->loop, &stopper->watch, EPOLLIN);
}

/* ---- running ---- */

static uint32_t seconds(uint64_t ns, uint32_t most)
{
	uint64_t s = (ns + 999999999) / 1000000000;

	return s < most ? (uint32_t)s : most;
}

static struct broker_config configuration(void)
{
	static const uint8_t versions[] = {
		1 << MQTT_3_1 | 1 << MQTT_3_1_1 | 1 << MQTT_5, 1 << MQTT_3_1, 1 << MQTT_3_1_1, 1 << MQTT_5,
	};
	struct broker_config c;

	broker_defaults(&c);
	c.seed = conf.seed;
	if (!conf.seed && getentropy(&c.seed, sizeof(c.seed)) < 0)
		c.seed = (uint64_t)getpid();
	c.versions = versions[conf.version];
	c.maximum_qos = (uint8_t)conf.maximum_qos;
	c.retain_available = !conf.no_retain;
	c.wildcard_available = !conf.no_wildcard;
	c.shared_available = !conf.no_shared;
	c.subscription_identifiers_available = !conf.no_subscription_identifiers;
	c.empty_client_id = !conf.no_empty_client_id;
	c.receive_maximum = (uint16_t)conf.receive_maximum;
	c.maximum_packet_size = conf.maximum_packet_size < c.maximum_packet_size ?
	                        (uint32_t)conf.maximum_packet_size : c.maximum_packet_size;
	c.topic_alias_maximum = (uint16_t)conf.topic_alias_maximum;
	c.server_keep_alive = (uint16_t)seconds(conf.server_keep_alive_ns, 65535);
	if (conf.session_expiry_maximum_ns)
		c.session_expiry_maximum = seconds(conf.session_expiry_maximum_ns, UINT32_MAX);
	c.max_memory = (size_t)conf.max_memory;
	c.max_connections = (uint32_t)conf.max_connections;
	c.broken = broken;
	return c;
}

static int serve(struct loop *loop)
{
	struct broker_config config = configuration();
	struct stopper stopper = { .server = server_new(loop, &config), .loop = loop };
	int code = EXIT_UNABLE, error;

	if (!stopper.server) {
		fprintf(stderr, "mqassay broker: out of memory\n");
		return EXIT_UNABLE;
	}
	error = watch_signals(&stopper);
	if (error)
		fprintf(stderr, "mqassay broker: watch for signals: %s\n", strerror(-error));
	else
		code = listen_all(stopper.server);
	if (code == EXIT_PASS)
		loop_run(loop);
	server_free(stopper.server);
	if (stopper.watch.fd >= 0) {
		loop_unwatch(loop, &stopper.watch);
		close(stopper.watch.fd);
	}
	loop_settle(loop);
	return code;
}

static int run(int n_args, char **args)
{
	struct loop loop;
	int code, error;

	(void)n_args;
	(void)args;
	for (size_t i = 0; i < conf.broken.n; i++)
		if (!strcmp(conf.broken.at[i], "list"))
			return list_faults();
	code = read_faults();
	if (code != EXIT_PASS)
		return code;
	if (!conf.maximum_packet_size)
		return cli_usage(&broker_command, "--maximum-packet-size 0 would refuse every packet");
	if (conf.max_memory < 1 << 20)
		return cli_usage(&broker_command, "--max-memory: less than 1M holds no client");
	/* What is large goes back to the system when it is freed: glibc would raise the threshold with each. */
	mallopt(M_MMAP_THRESHOLD, 128 * 1024);
	error = loop_init(&loop, false);
	if (error) {
		fprintf(stderr, "mqassay broker: %s\n", strerror(-error));
		return EXIT_UNABLE;
	}
	code = serve(&loop);
	loop_release(&loop);
	return code;
}

const struct command broker_command = {
	.name = "broker",
	.arguments = "",
	.summary = "the reference broker as a server",
	.details = "Serves MQTT 3.1, 3.1.1 and 5 until SIGTERM or SIGINT. It keeps every rule of the standards, but those it is\n"
	           "told to break. Nothing is stored on disk.",
	.example = "mqassay broker --listen tcp://127.0.0.1:0\n"
	           "mqassay broker --listen tcp://127.0.0.1:1883 --break 5:MQTT-3.3.1-2",
	.options = options,
	.run = run,
};
