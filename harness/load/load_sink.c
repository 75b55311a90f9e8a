#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "harness/console.h"
#include "harness/load/load_options.h"
#include "harness/target.h"

/* `load sink`: the null sink as a server, for measuring what any tool can send. */

static volatile sig_atomic_t ended;

static void on_signal(int number)
{
	(void)number;
	ended = 1;
}

static void handle_signals(void)
{
	struct sigaction action = { .sa_handler = on_signal };

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
}

/* A signal's handler can stop no loop: it is asked ten times a second. */
static void on_timer(struct timer *timer, struct loop *loop)
{
	if (ended)
		loop_stop(loop);
	loop_timer(loop, timer, loop->now_ns + 100000000);
}

static void print_counts(const struct sink_counts *c)
{
	printf("connects %llu\n", (unsigned long long)c->connects);
	for (int qos = 0; qos < 3; qos++)
		printf("publishes qos %d %llu\n", qos, (unsigned long long)c->publishes[qos]);
	printf("publish bytes %llu\nsubscribes %llu\npings %llu\nacknowledgements %llu\nsent %llu\n", (unsigned long long)c->publish_bytes,
	       (unsigned long long)c->subscribes, (unsigned long long)c->pings, (unsigned long long)c->acks, (unsigned long long)c->sent);
}

int load_sink(int n_args, char **args)
{
	struct sink_options options = {
		.flood = load_options.flood, .flood_qos = (unsigned)load_options.flood_qos, .flood_each = load_options.flood_each,
	};
	struct timer timer = { .fire = on_timer };
	struct loop loop;
	struct fault fault;
	char url[400];
	int error;

	if (n_args)
		return cli_usage(&load_command, "sink: unexpected argument '%s'; --listen says where", console_safe(args[0]));
	if (!load_options.listen)
		return cli_usage(&load_command, "sink: say where it listens: --listen tcp://127.0.0.1:1883");
	if (!address_parse(load_options.listen, ADDRESS_TO_LISTEN, &options.listen, &fault))
		return cli_usage(&load_command, "--listen: %s", fault.text);
	if (options.listen.layers.tls)
		return cli_usage(&load_command, "--listen %s: the sink speaks no TLS", console_safe(load_options.listen));
	handle_signals();
	if ((error = loop_init(&loop, false))) {
		console_error("event loop: %s", strerror(-error));
		return EXIT_UNABLE;
	}
	struct sink *sink = sink_new(&loop, &options, &fault);
	if (!sink) {
		console_error("%s", fault.text);
		loop_release(&loop);
		return EXIT_UNABLE;
	}
	if (options.listen.kind == ADDRESS_TCP)
		options.listen.port = sink_port(sink);
	printf("listening on %s\n", address_print(&options.listen, url, sizeof(url)));
	fflush(stdout);
	loop_timer(&loop, &timer, loop.now_ns);
	loop_run(&loop);
	print_counts(sink_counts(sink));
	loop_timer_stop(&loop, &timer);
	sink_free(sink);
	loop_settle(&loop);
	loop_release(&loop);
	return 0;
}
