#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "harness/cli.h"
#include "harness/console.h"
#include "harness/outfile.h"
#include "pcap/decoder.h"
#include "pcap/pcapng_flows.h"
#include "pcap/summary.h"
#include "pcap/views.h"
#include "pcap/where.h"

/* mqassay decode: captured traffic as conversations. */

extern const struct command decode_command;

enum format { FORMAT_TEXT, FORMAT_JSON, FORMAT_SCENARIO, FORMAT_PCAPNG };
static const char *const formats[] = { "text", "json", "scenario", "pcapng", NULL };

enum view { VIEW_PACKETS, VIEW_CONNECTIONS, VIEW_QOS, VIEW_TOPICS, VIEW_DELIVERIES, VIEW_CLAUSES };
static const char *const views[] = { "packets", "connections", "qos", "topics", "deliveries", "clauses", NULL };

static const char *const versions[] = { "infer", "3.1", "3.1.1", "5", NULL };
static const enum version version_of[] = { 0, MQTT_3_1, MQTT_3_1_1, MQTT_5 };

enum { MAX_KEYLOG = 64 << 20, MAX_PORTS = 64, WHOLE_FRAMES = 262144, LARGEST_PACKET = 5 + 268435455 };

static struct {
	const char *interface, *filter, *keylog, *where, *output;
	struct string_list ports;
	int format, view, version;
	bool check, verbose, secrets, quiet;
	uint64_t snaplen, max_packet, flow_memory, memory, flows, idle_ns;
} conf = { .snaplen = WHOLE_FRAMES, .max_packet = 1 << 20, .flow_memory = 1 << 20, .memory = 16 << 20, .flows = 24576, .idle_ns = 3600 * 1000000000ull };

static const struct cli_option options[] = {
	OPT_HEADING("What is read"),
	OPT_STRING('i', "interface", conf.interface, "IFACE", "capture on this interface, or \"any\", instead of reading a file"),
	OPT_STRING(0, "filter", conf.filter, "BPF", "only frames that match, in the language of tcpdump"),
	OPT_SIZE(0, "snaplen", conf.snaplen, "SIZE", "live: bytes of each frame"),
	OPT_LIST(0, "port", conf.ports, "PORT", "connections to this port are MQTT, whatever they look like"),
	OPT_STRING(0, "keylog", conf.keylog, "FILE", "TLS secrets, as SSLKEYLOGFILE writes them"),
	OPT_ENUM(0, "mqtt", conf.version, versions, "version of connections whose CONNECT was not captured"),
	OPT_HEADING("What is shown"),
	OPT_ENUM(0, "format", conf.format, formats, "how"),
	OPT_ENUM(0, "view", conf.view, views, "what"),
	OPT_STRING(0, "where", conf.where, "EXPR", "show only packets for which this holds: 'type==PUBLISH && topic~\"a/#\"'; --check judges all of them"),
	OPT_FLAG(0, "check", conf.check, "judge client and broker by the standard's clauses; exit 1 when one was broken"),
	OPT_FLAG('v', "verbose", conf.verbose, "each packet's fields over a hex dump; with --check, all clauses"),
	OPT_FLAG(0, "secrets", conf.secrets, "show passwords and authentication data; pcapng has them always, and with this the whole key log"),
	OPT_FLAG('q', "quiet", conf.quiet, "no summary on stderr"),
	OPT_STRING('o', "output", conf.output, "FILE", "write to this file instead of standard output"),
	OPT_HEADING("Limits"),
	OPT_SIZE(0, "max-packet", conf.max_packet, "SIZE", "larger MQTT packets are passed over"),
	OPT_SIZE(0, "flow-memory", conf.flow_memory, "SIZE", "held back for what is missing, per connection"),
	OPT_SIZE(0, "memory", conf.memory, "SIZE", "and in all"),
	OPT_COUNT(0, "connections", conf.flows, 16, 10000000, "N", "known at a time; then the one longest silent is forgotten"),
	OPT_DURATION(0, "idle", conf.idle_ns, "D", "a connection silent for so long is forgotten"),
	OPT_END
};

static struct {
	struct capture *capture;
	struct decoder *decoder;
	struct out out;
	struct outfile file;
	uint16_t ports[MAX_PORTS];
	size_t n_ports;
	struct pcapng_flows *flows;	/* --format pcapng */
	char *keys;			/* and the key log to be written there */
	size_t n_keys;
	bool learned;			/* and what it writes has begun */
	struct observer *shown, *check, *scenario;
	struct where *where;
} run;

static void on_signal(int number)
{
	(void)number;
	capture_stop(run.capture);
}

/* ---- before ---- */

static bool read_ports(void)
{
	for (size_t i = 0; i < conf.ports.n; i++) {
		char *end;
		unsigned long port = strtoul(conf.ports.at[i], &end, 10);

		if (!*conf.ports.at[i] || *end || port < 1 || port > 65535 || run.n_ports == MAX_PORTS)
			return false;
		run.ports[run.n_ports++] = (uint16_t)port;
	}
	return true;
}

/* With some of its packets left out, what they answer would seem to hang, or never to have been said. */
static bool shows_whole_connections(void)
{
	return conf.format == FORMAT_SCENARIO || conf.view == VIEW_CONNECTIONS || conf.view == VIEW_QOS;
}

static int read_where(void)
{
	struct fault fault;

	if (!conf.where)
		return EXIT_PASS;
	run.where = where_parse(span_text(conf.where), &fault);
	if (run.where && shows_whole_connections() && !where_takes_whole_connections(run.where))
		return cli_usage(&decode_command, "%s shows whole connections: --where can choose them by client, client_address, broker, connection, stream, version or way only",
		                 conf.format == FORMAT_SCENARIO ? "--format scenario" : conf.view == VIEW_QOS ? "--view qos" : "--view connections");
	if (run.where)
		return EXIT_PASS;
	if (fault.line > 1)
		return cli_usage(&decode_command, "--where: line %u, column %u: %s", fault.line, fault.column, fault.text);
	return cli_usage(&decode_command, "--where: column %u: %s", fault.column, fault.text);
}

/* A key log is not written into a file without being asked for: whoever has it reads all that it opens. */
static bool writes_keys(void)
{
	return conf.format == FORMAT_PCAPNG && conf.keylog && conf.secrets;
}

static int read_keylog(void)
{
	FILE *f = conf.keylog ? fopen(conf.keylog, "r") : NULL;
	char *text = NULL;
	size_t len = 0, cap = 0;

	if (!conf.keylog)
		return EXIT_PASS;
	while (f && len < MAX_KEYLOG) {
		if (len == cap && !(text = realloc(text, cap = cap ? 2 * cap : 65536)))
			abort();
		size_t n = fread(text + len, 1, cap - len, f);
		len += n;
		if (!n)
			break;
	}
	int error = !f || ferror(f) ? errno : 0;
	if (f)
		fclose(f);
	bool any = !error && decoder_keylog(run.decoder, span_of(text, len));
	if (any && writes_keys()) {
		free(run.keys);
		run.keys = text;
		run.n_keys = len;
	} else {
		free(text);
	}
	if (error) {
		console_error("read %s: %s", console_safe(conf.keylog), strerror(error));
		return EXIT_UNABLE;
	}
	if (!any) {
		console_error("%s: no TLS secrets in it; a key log has lines such as `CLIENT_RANDOM <64 hex digits> <96 hex digits>`",
		              console_safe(conf.keylog));
		return EXIT_UNABLE;
	}
	return EXIT_PASS;
}

static void take_secrets(void *owner, struct span text)
{
	(void)owner;
	decoder_keylog(run.decoder, text);
	if (run.flows && run.learned)
		pcapng_flows_secrets(run.flows, text);
}

static int open_capture(const char *path)
{
	struct capture_error error = { 0 };
	const char *name = conf.interface ? conf.interface : path;

	run.capture = conf.interface ? capture_open_live(conf.interface, conf.filter, (uint32_t)conf.snaplen, &error)
	                             : capture_open_file(path, &error);
	if (run.capture && !conf.interface && conf.filter && !capture_filter(run.capture, conf.filter, &error)) {
		capture_close(run.capture);
		run.capture = NULL;
	}
	if (run.capture)
		return EXIT_PASS;
	console_error("%s: %s", console_safe(name), error.text);
	return error.usage ? EXIT_USAGE : EXIT_UNABLE;
}

/* What is captured live can be read while it grows; and it could not be renamed any more, with the privileges gone. */
static int open_in_place(struct outfile *file, const char *path)
{
	*file = (struct outfile){ .stream = fopen(path, "we") };
	return file->stream ? 0 : -errno;
}

static int open_output(void)
{
	int error = 0;

	if (conf.output)
		error = conf.interface ? open_in_place(&run.file, conf.output) : outfile_open(&run.file, conf.output);
	if (error) {
		console_error("create %s: %s", console_safe(conf.output), strerror(-error));
		return EXIT_UNABLE;
	}
	if (!out_init(&run.out, conf.output ? fileno(run.file.stream) : STDOUT_FILENO))
		abort();
	return EXIT_PASS;
}

/* Opening an interface gives up the privileges that the output may need. A file that cannot be read leaves the output as it was. */
static int open_both(const char *name)
{
	int code = conf.interface ? open_output() : open_capture(name);

	if (code == EXIT_PASS)
		code = conf.interface ? open_capture(name) : open_output();
	return code;
}

/* What could not be written is said once, but for a pipe whose reader has seen enough. */
static int close_output(int code)
{
	int error = out_release(&run.out);

	if (conf.output) {
		int closing = -outfile_close(&run.file);
		error = error ? error : closing;
	}
	if (!error || error == EPIPE)
		return code;
	console_error("write %s: %s", conf.output ? console_safe(conf.output) : "to standard output", strerror(error));
	return EXIT_UNABLE;
}

static struct observer *make_view(const struct view_options *how, const char *title)
{
	if (conf.format == FORMAT_SCENARIO)
		return run.scenario = scenario_new(&run.out, how, title);
	if (conf.format == FORMAT_PCAPNG)
		return NULL;
	switch ((enum view)conf.view) {
	case VIEW_PACKETS:     return how->json ? packets_json_new(&run.out, how) : packets_text_new(&run.out, how);
	case VIEW_CONNECTIONS: return connections_view_new(&run.out, how);
	case VIEW_QOS:         return qos_view_new(&run.out, how);
	case VIEW_TOPICS:      return topics_view_new(&run.out, how);
	case VIEW_DELIVERIES:  return deliveries_view_new(&run.out, how);
	case VIEW_CLAUSES:     break;
	}
	return NULL;
}

static void observe(const char *title)
{
	struct view_options how = { .json = conf.format == FORMAT_JSON, .verbose = conf.verbose, .secrets = conf.secrets,
	                            .clauses = conf.verbose || conf.view == VIEW_CLAUSES, .live = conf.interface, .where = run.where };

	run.shown = make_view(&how, title);
	if (run.shown && run.where && conf.view != VIEW_DELIVERIES) {	/* which sets what comes against what was published, elsewhere */
		run.shown = where_observer_new(run.where, run.shown);
		if (!run.shown)
			abort();
	}
	if (run.shown)
		decoder_observe(run.decoder, run.shown);
	if (conf.check || conf.view == VIEW_CLAUSES) {
		run.check = check_new(&run.out, &how, conf.view == VIEW_PACKETS, true);
		decoder_observe(run.decoder, run.check);
	}
}

/* ---- the run ---- */

static void take_record(const struct record *record, bool learning)
{
	struct decoder_frame frame;

	decoder_record(run.decoder, record);
	if (!run.flows || learning)
		return;
	decoder_frame(run.decoder, &frame);
	pcapng_flows_frame(run.flows, record, &frame);
}

/* Returns the exit code. A capture that cannot be read to its end is shown as far as it can. learning: nothing is shown yet. */
static int decode_all(const char *name, bool learning)
{
	struct record record;
	struct capture_error why = { 0 };
	int code = EXIT_PASS;

	while (!run.out.error)
		switch (capture_next(run.capture, &record, &why)) {
		case CAPTURE_RECORD:
			take_record(&record, learning);
			break;
		case CAPTURE_IDLE:
			decoder_idle(run.decoder, record.when.time_ns);
			if (run.flows)
				pcapng_flows_idle(run.flows, record.when.time_ns);
			out_flush(&run.out);
			break;
		case CAPTURE_BROKEN:
			if (!learning)
				console_error("%s: %s", console_safe(name), why.text);
			code = EXIT_UNABLE;
			break;
		case CAPTURE_END:
			return code;
		}
	return code;
}

/* A replay has one target: what the capture shows of several brokers is played against that one. */
static void tell_brokers(const char *name)
{
	const struct endpoint *brokers;
	size_t n = run.scenario ? scenario_brokers(run.scenario, &brokers) : 0, shown = n < 3 ? n : 3;
	char list[3 * (ENDPOINT_TEXT + 2)], room[ENDPOINT_TEXT];
	int len = 0;

	if (n < 2)
		return;
	for (size_t i = 0; i < shown; i++)
		len += snprintf(list + len, sizeof(list) - (size_t)len, "%s%s", i ? ", " : "", endpoint_print(&brokers[i], room));
	console_error("%s: %s%zu brokers in it (%s%s), and a replay has one: one file for each by --where 'broker==\"%s\"'", console_safe(name),
	              n == MAX_BROKERS ? "at least " : "", n, list, shown < n ? ", ..." : "", endpoint_print(&brokers[0], room));
}

/* The exit code. A capture in which nothing was seen is not a success: it is the wrong file, port or key log. */
static int conclude(const char *name, int code)
{
	struct decoder_counts counts;

	decoder_counts(run.decoder, &counts);
	if (run.out.error == EPIPE)	/* as of `| head`: what was not read is not summed up */
		return run.check && check_violations(run.check) ? EXIT_FOUND : EXIT_PASS;
	if (!conf.quiet) {
		uint64_t matched = !run.where ? 0 : conf.view == VIEW_DELIVERIES ? deliveries_view_matched(run.shown) : where_observer_matched(run.shown);

		tell_brokers(name);
		summary_print(run.decoder, capture_dropped(run.capture), run.where ? &matched : NULL, conf.keylog);
	}
	if (run.check && check_violations(run.check))
		return EXIT_FOUND;
	if (!counts.packets && code == EXIT_PASS) {
		console_error("%s: no MQTT in it%s", console_safe(name), !counts.frames && conf.filter ? "; no frame matches --filter" : counts.other ? "; --port N reads connections to that port as MQTT in any case" : "");
		return EXIT_UNABLE;
	}
	return code;
}

static int make_decoder(const struct decoder_options *how)
{
	run.decoder = decoder_new(how);
	if (!run.decoder)
		abort();
	return read_keylog();
}

/* Before the frames, in blocks of whole lines, which other programs read more readily than a huge one. */
static void write_keys(void)
{
	enum { MOST = 1 << 20 };
	const char *at = run.keys, *end = at + run.n_keys;

	while (at < end) {
		const char *to = end;

		if (end - at > MOST) {
			const char *newline = memrchr(at, '\n', MOST);

			to = newline ? newline + 1 : at + MOST;
		}
		pcapng_flows_secrets(run.flows, span_of(at, (size_t)(to - at)));
		at = to;
	}
	free(run.keys);
	run.keys = NULL;
	run.n_keys = 0;
}

/* --format pcapng: which connections are MQTT is known only behind their first frames, so a file is read twice. */
static int write_flows(const char *name, const struct decoder_options *how)
{
	int code;

	run.flows = pcapng_flows_new(&run.out);
	decoder_on_verdict(run.decoder, pcapng_flows_verdict, run.flows);
	if (capture_rewind(run.capture)) {
		decode_all(name, true);
		decoder_finish(run.decoder);
		decoder_free(run.decoder);
		capture_rewind(run.capture);
		run.learned = true;
		code = make_decoder(how);
		if (code != EXIT_PASS)
			return code;
	} else {
		run.learned = true;
	}
	if (run.keys)
		write_keys();
	code = decode_all(name, false);
	decoder_finish(run.decoder);
	pcapng_flows_finish(run.flows);
	if (conf.keylog && !conf.secrets && !conf.quiet)
		console_error("%s: TLS stays encrypted in what is written, and the key log is not in it; --secrets writes that, too", console_safe(name));
	if (pcapng_flows_left_out(run.flows) && !conf.quiet)
		console_error("%s: %llu frames were left out: what their connections carry was not known in time; it is with a file instead of a pipe",
		              console_safe(name), (unsigned long long)pcapng_flows_left_out(run.flows));
	return code;
}

static bool is_same_file(const char *a, const char *b)
{
	struct stat of_a, of_b;

	return stat(a, &of_a) == 0 && stat(b, &of_b) == 0 && S_ISREG(of_a.st_mode) && of_a.st_dev == of_b.st_dev && of_a.st_ino == of_b.st_ino;
}

static const char *misuse(int n_args, char **args)
{
	if (!conf.interface == !n_args)
		return conf.interface ? "either a FILE or -i IFACE, not both" : "expected a FILE, - for standard input, or -i IFACE";
	if (conf.output && n_args && is_same_file(args[0], conf.output))
		return "-o would overwrite the capture: name another file";
	if (conf.format == FORMAT_SCENARIO && (conf.check || conf.view != VIEW_PACKETS))
		return "--format scenario is a file to be played: no --check or --view with it";
	if (conf.where && conf.view == VIEW_CLAUSES)
		return "--view clauses judges all there is: no --where with it";
	if (conf.verbose && conf.format != FORMAT_TEXT)
		return "-v is for text: no other --format with it";
	if (conf.verbose && !conf.check && conf.view != VIEW_PACKETS && conf.view != VIEW_CLAUSES)
		return "-v shows more of packets and clauses: no other --view with it";
	if (conf.snaplen != WHOLE_FRAMES && !conf.interface)
		return "--snaplen is for -i: a capture's frames are as they are";
	if (conf.snaplen > WHOLE_FRAMES)
		return "--snaplen: no frame is larger than 256k";
	if (conf.max_packet > LARGEST_PACKET)
		return "--max-packet: no MQTT packet is larger than 256M";
	if (conf.format != FORMAT_PCAPNG)
		return NULL;
	if (conf.check || conf.where || conf.view != VIEW_PACKETS)
		return "--format pcapng writes frames of whole connections: no --check, --where or --view with it";
	if (!conf.output && isatty(STDOUT_FILENO))
		return "--format pcapng is not for a terminal: -o FILE, or redirect it";
	return NULL;
}

static int decode_run(int n_args, char **args)
{
	const char *name = conf.interface ? conf.interface : args[0];

	const char *wrong = misuse(n_args, args);

	if (wrong)
		return cli_usage(&decode_command, "%s", wrong);
	if (!read_ports())
		return cli_usage(&decode_command, "--port: expected a number from 1 to 65535, at most %d times", MAX_PORTS);

	struct decoder_options how = {
		.tcp = { conf.flow_memory, conf.memory, (uint32_t)conf.flows, conf.idle_ns },
		.max_packet = (uint32_t)conf.max_packet, .ports = run.ports, .n_ports = run.n_ports, .version = version_of[conf.version],
	};
	int code = read_where();
	if (code == EXIT_PASS)
		code = make_decoder(&how);
	if (code == EXIT_PASS)
		code = open_both(name);
	if (code != EXIT_PASS)
		return code;
	capture_on_secrets(run.capture, take_secrets, NULL);
	signal(SIGINT, on_signal);
	signal(SIGTERM, on_signal);
	signal(SIGPIPE, SIG_IGN);
	observe(strrchr(name, '/') ? strrchr(name, '/') + 1 : name);
	if (conf.format == FORMAT_PCAPNG) {
		code = write_flows(name, &how);
	} else {
		code = decode_all(name, false);
		decoder_finish(run.decoder);
	}
	code = conclude(name, close_output(code));
	signal(SIGINT, SIG_DFL);
	signal(SIGTERM, SIG_DFL);
	signal(SIGPIPE, SIG_DFL);
	view_free(run.shown);
	view_free(run.check);
	where_free(run.where);
	pcapng_flows_free(run.flows);
	capture_close(run.capture);
	decoder_free(run.decoder);
	return code;
}

const struct command decode_command = {
	.name = "decode",
	.arguments = "[FILE]",
	.summary = "captured traffic as MQTT conversations",
	.details = "FILE is a capture in pcap or pcapng, also compressed by gzip or zstd; - reads standard input.\n"
	           "An EXPR of --where is tests such as qos==2 joined by && || ! and ( ). They name fields and properties as scenarios do (topic,\n"
	           "packet_id, reason, payload, will.topic, filters, user_property.KEY), or type, from, client, client_address, broker (\"10.0.0.1:1883\"),\n"
	           "connection, stream, frame, time, size, version, way, sure, unreadable; compare by == != < <= > >=, or by ~ with a topic filter; or\n"
	           "ask for FIELD present, FIELD absent.\n"
	           "A field that a packet does not have makes every test but absent false.\n"
	           "The views connections and qos, and scenarios, take an EXPR of client, client_address, broker, connection, stream, version and way only.\n"
	           "With deliveries it is asked of each PUBLISH of a publisher, and chooses what is shown of what became of them.\n"
	           "Exit code 0: MQTT was found, and decoded; 1: --check found a clause violated; 2: a mistake on the command line;\n"
	           "3: the capture could not be read to its end, has no MQTT in it, or the output could not be written. Ctrl-C ends -i as the end of a\n"
	           "file would: with the views, the summary and these codes.",
	.example = "mqassay decode trace.pcap\n"
	           "tcpdump -i any -U -w - tcp port 1883 | mqassay decode -\n"
	           "mqassay decode trace.pcapng --keylog keys.txt --check\n"
	           "mqassay decode trace.pcap --where 'client==\"dash-1\" && (type==SUBSCRIBE || topic~\"plant/#\") && time<10s' -v",
	.options = options,
	.max_args = 1,
	.run = decode_run,
};
