#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

#include "harness/cli.h"
#include "harness/console.h"
#include "harness/target.h"
#include "harness/tls.h"
#include "reference-broker/broker_options.h"
#include "reference-broker/faults.h"
#include "reference-broker/server.h"

extern const struct command broker_command;

static struct {
	struct string_list listen, broken;
	const char *make_verifier;
	struct tls_settings tls;
	int identity;
	uint64_t seed, max_memory, max_connections;
} conf = { .max_memory = UINT64_C(1) << 30, .max_connections = 1000000 };

static const char *const identities[] = { "login", "certificate", NULL };

static const struct cli_option options[] = {
	OPT_LIST(0, "listen", conf.listen, "URL", "where to take connections: tcp://127.0.0.1:1883, tls://, ws://, wss://, port 0 for any free one, or unix:/path"),
	OPT_LIST(0, "break", conf.broken, "RULE[/NAME]", "commit this fault; list: say which there are"),
	OPT_COUNT(0, "seed", conf.seed, 0, 0, "N", "of what it chooses at random; 0: drawn afresh"),
	OPT_HEADING("TLS"),
	OPT_STRING(0, "cert", conf.tls.cert, "FILE", "the server's certificate in PEM, with its chain; tls:// and wss:// need it"),
	OPT_STRING(0, "key", conf.tls.key, "FILE", "its private key, where it is not in the same file"),
	OPT_STRING(0, "ca", conf.tls.ca, "FILE", "ask each client for a certificate of these authorities"),
	OPT_STRING(0, "alpn", conf.tls.alpn, "NAMES", "protocols to agree on, between commas; a client that offers others only is refused"),
	OPT_ENUM(0, "identity", conf.identity, identities, "what says who a client is; certificate: the common name in the client's is its user name, without a password"),
	OPT_GROUP(broker_option_rows),
	OPT_HEADING("Bounds"),
	OPT_SIZE(0, "max-memory", conf.max_memory, "SIZE", "all that clients have it keep; past seven eighths only what passes through is served"),
	OPT_COUNT(0, "max-connections", conf.max_connections, 1, 1000000, "N", "connections at a time"),
	OPT_HEADING("Instead of serving"),
	OPT_STRING(0, "make-verifier", conf.make_verifier, "NAME", "print this user's line for --users; the password is read from the terminal or the first line of stdin"),
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

/* ---- a line for the users file ---- */

/* The password, without its end of line. It is typed in the dark. False: there is none, and a line on stderr says so. */
static bool read_password(char *line, size_t cap)
{
	struct termios shown, hidden;
	bool terminal = isatty(STDIN_FILENO) && !tcgetattr(STDIN_FILENO, &shown);
	bool read;

	if (terminal) {
		hidden = shown;
		hidden.c_lflag &= ~(tcflag_t)ECHO;
		fprintf(stderr, "password of %s: ", console_safe(conf.make_verifier));
		tcsetattr(STDIN_FILENO, TCSAFLUSH, &hidden);
	}
	read = fgets(line, (int)cap, stdin);
	if (terminal) {
		tcsetattr(STDIN_FILENO, TCSAFLUSH, &shown);
		fputc('\n', stderr);
	}
	if (!read || !line[strcspn(line, "\r\n")]) {	/* a last line without its end is a whole one as well */
		if (!read || !feof(stdin)) {
			fprintf(stderr, "mqassay broker: --make-verifier: expected a password of at most %zu bytes on stdin\n", cap - 2);
			return false;
		}
	}
	line[strcspn(line, "\r\n")] = 0;
	if (!*line)
		fprintf(stderr, "mqassay broker: --make-verifier: the password on stdin is empty\n");
	return *line;
}

static int make_verifier(void)
{
	static char password[1026];
	char line[USERS_LINE_MAX];
	struct fault fault;

	if (!users_name_fits(span_text(conf.make_verifier)))
		return cli_usage(&broker_command, "--make-verifier: a user name has 1 to %d bytes without `:` and control characters, and no # in front",
		                 USERS_NAME_MAX);
	if (!read_password(password, sizeof(password)))
		return EXIT_UNABLE;
	if (!users_line(span_text(conf.make_verifier), span_text(password), line, &fault)) {
		fprintf(stderr, "mqassay broker: --make-verifier: %s\n", fault.text);
		return EXIT_UNABLE;
	}
	fputs(line, stdout);
	return fflush(stdout) == 0 ? EXIT_PASS : EXIT_UNABLE;
}

/* ---- listening ---- */

/* One for all that listen; NULL after one line on stderr. */
static struct tls_context *server_tls(int *code)
{
	static struct tls_context *context;
	struct fault fault;

	if (!context && !(context = tls_server_context(&conf.tls, &fault))) {
		fprintf(stderr, "mqassay broker: %s\n", fault.text);
		*code = conf.tls.cert ? EXIT_UNABLE : EXIT_USAGE;
	}
	return context;
}

static int listen_all(struct server *server)
{
	static const char *const by_default[] = { "tcp://127.0.0.1:1883" };
	const char *const *urls = conf.listen.n ? conf.listen.at : by_default;
	size_t n = conf.listen.n ? conf.listen.n : 1;

	for (size_t i = 0; i < n; i++) {
		struct address address;
		struct listener *listener;
		struct fault fault;
		char url[600];
		int code;

		if (!address_parse(urls[i], ADDRESS_TO_LISTEN, &address, &fault))
			return cli_usage(&broker_command, "listen %s: %s", console_safe(urls[i]), fault.text);
		if (!address_is_loopback(&address) && !broker_options.users && !(conf.identity && address.layers.tls))
			return cli_usage(&broker_command, "listen %s: others than this machine can reach it: say by --users FILE who may "
			                 "(with TLS also: --ca FILE --identity certificate), "
			                 "or listen on 127.0.0.1, ::1 or a unix socket", console_safe(urls[i]));
		if (address.layers.tls && !(address.layers.context = server_tls(&code)))
			return code;
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

/* ---- signals ---- */

struct stopper {
	struct watch watch;
	struct server *server;
	struct loop *loop;
	struct access *access;
	bool asked;
};

static void stopped(void *context)
{
	loop_stop(context);
}

/* What is denied from now on is not delivered any more; who is connected stays so. */
static void read_again(struct access *access)
{
	if (access_read_again(&broker_command, access) != EXIT_PASS)
		fprintf(stderr, "mqassay broker: the files are wrong, so what was read before stays in force\n");
	else
		printf("read again: %s%s%s\n", broker_options.users ? "--users" : "", broker_options.users && broker_options.acl ? ", " : "",
		       broker_options.acl ? "--acl" : "");
	fflush(stdout);
}

static void signalled(struct watch *watch, unsigned events, struct loop *loop)
{
	struct stopper *stopper = (struct stopper *)watch;
	struct signalfd_siginfo info;

	(void)events;
	if (read(watch->fd, &info, sizeof(info)) != sizeof(info))
		return;
	if (info.ssi_signo == SIGHUP) {
		read_again(stopper->access);
		return;
	}
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
	if (stopper->access->users || stopper->access->acl)
		sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	stopper->watch.fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	if (stopper->watch.fd < 0)
		return -errno;
	stopper->watch.ready = signalled;
	return loop_watch(stopper->loop, &stopper->watch, EPOLLIN);
}

/* ---- running ---- */

/* The configuration that the options ask for. 0, or an exit code after one line on stderr. */
static int configure(struct broker_config *c, struct access *access)
{
	broker_defaults(c);
	c->seed = conf.seed;
	if (!conf.seed && getentropy(&c->seed, sizeof(c->seed)) < 0)
		c->seed = (uint64_t)getpid();
	c->max_memory = (size_t)conf.max_memory;
	c->max_connections = (uint32_t)conf.max_connections;
	c->identities = conf.identity;
	c->broken = broken;
	return broker_options_apply(&broker_command, c, access);
}

static int serve(struct loop *loop, const struct broker_config *config, struct access *access)
{
	struct stopper stopper = { .server = server_new(loop, config), .loop = loop, .access = access };
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
	struct broker_config config;
	struct access access = { 0 };
	struct loop loop;
	int code, error;

	(void)n_args;
	(void)args;
	for (size_t i = 0; i < conf.broken.n; i++)
		if (!strcmp(conf.broken.at[i], "list"))
			return list_faults();
	if (conf.make_verifier)
		return make_verifier();
	if (conf.max_memory < 1 << 20)
		return cli_usage(&broker_command, "--max-memory: less than 1M holds no client");
	if (conf.identity && !conf.tls.ca)
		return cli_usage(&broker_command, "--identity certificate: name the authorities of the clients' certificates by --ca");
	code = read_faults();
	if (code == EXIT_PASS)
		code = configure(&config, &access);
	if (code != EXIT_PASS) {
		access_release(&access);
		return code;
	}
	/* What is large goes back to the system when it is freed: glibc would raise the threshold with each. */
	mallopt(M_MMAP_THRESHOLD, 128 * 1024);
	error = loop_init(&loop, false);
	if (error) {
		fprintf(stderr, "mqassay broker: %s\n", strerror(-error));
		code = EXIT_UNABLE;
	} else {
		code = serve(&loop, &config, &access);
		loop_release(&loop);
	}
	access_release(&access);
	return code;
}

const struct command broker_command = {
	.name = "broker",
	.arguments = "",
	.summary = "run the reference broker as a server",
	.details = "Serves MQTT 3.1, 3.1.1 and 5 until SIGTERM or SIGINT. It keeps every rule of the standards, but those it is\n"
	           "told to break. Nothing is stored on disk.\n"
	           "--identity certificate: whoever connects by TLS is the user that the certificate's common name names; a CONNECT\n"
	           "that names another is refused, as is who shows no such name and cannot log in by --users.\n"
	           "SIGHUP has it read --users and --acl again; what is denied then is not delivered any more.\n"
	           "Without --users it lets everybody in, and takes connections of this machine only. What CONNACK of 5 announces\n"
	           "as missing, older clients cannot be told: without retained messages, wildcards or QoS 2 serve --mqtt 5 only.",
	.example = "mqassay broker --listen tcp://127.0.0.1:0\n"
	           "mqassay broker --listen tcp://127.0.0.1:1883 --break 5:MQTT-3.3.1-2\n"
	           "mqassay broker --make-verifier alice >>users; mqassay broker --listen tcp://0.0.0.0:1883 --users users",
	.options = options,
	.run = run,
};
