#include "harness/load/load_options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness/console.h"
#include "harness/file.h"
#include "harness/nearest.h"
#include "harness/password.h"
#include "harness/shell.h"
#include "harness/tls_options.h"

static const char *const mqtt_choices[] = { "newest", "3.1", "3.1.1", "5", NULL };
static const char *const format_choices[] = { "text", "json", "html", "hdr", "percentiles", NULL };
static const char *const calibrate_choices[] = { "auto", "always", "never", NULL };

enum { MAX_THREADS = 255 };

struct load_options load_options = {
	.drain_ns = 5000000000u, .timeout_ns = 5000000000u, .start_timeout_ns = 60000000000u, .patience_ns = 60000000000u, .seed = 1,
};

const struct cli_option load_option_rows[] = {
	OPT_HEADING("What is played"),
	OPT_LIST('D', "define", load_options.params, "NAME=VALUE", "value of the workload's `param`"),
	OPT_DURATION(0, "for", load_options.for_ns, "D", "end the loops so long after all clients are ready; without it when the steps end, or at Ctrl-C (a rehearsal after 10s)"),
	OPT_DURATION(0, "drain", load_options.drain_ns, "D", "how long deliveries may still come then, while any are owed; what is missing after it is lost"),
	OPT_ENUM(0, "mqtt", load_options.mqtt, mqtt_choices, "in which of the workload's versions"),
	OPT_COUNT(0, "clients", load_options.clients, 1, 1000000, "N", "of a scenario of `conform`: so many play it at once, again and again until --for is over"),
	OPT_FLAG(0, "list", load_options.list, "list the ready workloads with their parameters"),
	OPT_HEADING("The target"),
	OPT_STRING(0, "exec", load_options.exec, "CMD", "start the target: {port} {tls_port} {ws_port} {dir} are filled in"),
	OPT_DURATION(0, "start-timeout", load_options.start_timeout_ns, "D", "how long it may take until it answers a CONNECT"),
	OPT_ENUM(0, "transport", load_options.way, way_names, "over which the built-in broker, or one that --exec starts, is played"),
	OPT_STRING('u', "user", load_options.user, "NAME", "user name given in every CONNECT that names none"),
	OPT_STRING(0, "password-file", load_options.password_file, "FILE", "file whose first line is the password"),
	OPT_COUNT(0, "pid", load_options.pid, 1, 4194304, "PID", "the broker's process, whose CPU is told; unset: who listens on that port of this machine"),
	OPT_STRING(0, "broker", load_options.broker, "NAME|OPTIONS", "the built-in broker as `conform --broker` has it, or with options of `mqassay broker`"),
	OPT_LIST(0, "break", load_options.broken, "RULE", "have the built-in broker break a rule (`mqassay broker --break list`)"),
	OPT_FLAG(0, "leave", load_options.leave, "leave in the broker the sessions and retained messages that the workload made"),
	OPT_GROUP(tls_option_rows),
	OPT_HEADING("How"),
	OPT_COUNT(0, "threads", load_options.threads, 1, MAX_THREADS, "N", "threads that clients are shared among; unset: by clients and processors"),
	OPT_LIST(0, "source-ip", load_options.sources, "LIST", "addresses to connect from, in turn: 10.0.0.2, 10.0.0.10-10.0.0.20, 10.0.1.0/28, several with commas"),
	OPT_COUNT(0, "pending", load_options.pending, 1, 100000, "N", "connections under way at once; unset: 64, which a broker's listen backlog takes, in all shards together"),
	OPT_DURATION(0, "timeout", load_options.timeout_ns, "D", "longest wait of a step that names none"),
	OPT_DURATION(0, "patience", load_options.patience_ns, "D", "how long a `meet` to which nobody comes, or a broker that is away, is waited for"),
	OPT_COUNT(0, "seed", load_options.seed, 0, 0, "N", "of everything random"),
	OPT_STRING(0, "name", load_options.name, "NAME", "$topic, and the begin of client ids, at most 10 letters and digits; unset: one that no other run has"),
	OPT_ENUM(0, "calibrate", load_options.calibrate, calibrate_choices, "a second against a sink that does nothing, to tell what this machine could send: auto when a thread was busy"),
	OPT_HEADING("Part of a larger run"),
	OPT_STRING(0, "shard", load_options.shard, "I/N", "play part I, from 0, of N; unset: as JOB_COMPLETION_INDEX, SLURM_ARRAY_TASK_ID, OMPI_COMM_WORLD_RANK or PARALLEL_SEQ says"),
	OPT_COUNT(0, "shards", load_options.shards, 1, 100000, "N", "of how many, where the environment says the number only"),
	OPT_STRING(0, "start-at", load_options.start_at, "TIME", "begin then: seconds since 1970, 2026-11-21T18:33:57Z, or +10s from now"),
	OPT_HEADING("Reports"),
	OPT_LIST(0, "expect", load_options.expect, "'ROLE.FIGURE<VALUE'", "fail unless it is so: 'sensor.ack.p99<5ms', 'all.lost<0.1%', 'collector.delivery_rate>=10k'"),
	OPT_ENUM(0, "format", load_options.format, format_choices, "what stdout gets"),
	OPT_LIST(0, "report", load_options.reports, "F=FILE", "also write the report in that format to a file"),
	OPT_STRING(0, "metrics", load_options.metrics, "[HOST:]PORT", "serve what is known while it runs, as Prometheus text: GET /metrics"),
	OPT_FLAG('q', "quiet", load_options.quiet, "no progress"),
	OPT_HEADING("load sink"),
	OPT_STRING(0, "listen", load_options.listen, "URL", "where the sink listens: tcp://127.0.0.1:0 is any free port"),
	OPT_SIZE(0, "flood", load_options.flood, "SIZE", "send to each that subscribes messages of that size, as fast as it takes them"),
	OPT_COUNT(0, "flood-qos", load_options.flood_qos, 0, 2, "QOS", "with that QoS"),
	OPT_COUNT(0, "flood-each", load_options.flood_each, 1, 0, "N", "so many to each; unset: without end"),
	OPT_END
};

static int check_together(int n_args)
{
	const struct load_options *o = &load_options;
	bool local = !o->exec && n_args < 2;

	if (o->exec && n_args > 1)
		return cli_usage(&load_command, "--exec starts the target; name no other");
	if ((o->broker || o->broken.n) && !local)
		return cli_usage(&load_command, "--%s is about the built-in broker; name no target", o->broker ? "broker" : "break");
	if (local && (o->sources.n || o->start_at || o->pid || o->metrics || o->threads > 1))
		return cli_usage(&load_command, "--%s: there is no TARGET, and a rehearsal runs on simulated time in this process",
		                 o->sources.n ? "source-ip" : o->start_at ? "start-at" : o->pid ? "pid" : o->metrics ? "metrics" : "threads");
	if (n_args > 1 && o->way)
		return cli_usage(&load_command, "--transport: a TARGET says it in its URL, as in %s://host:port", way_names[o->way]);
	if (o->listen || o->flood || o->flood_qos || o->flood_each)
		return cli_usage(&load_command, "--%s is about `load sink`", o->listen ? "listen" : o->flood ? "flood" : o->flood_qos ? "flood-qos" : "flood-each");
	return 0;
}

int load_options_check(int n_args)
{
	struct load_options *o = &load_options;
	int code = check_together(n_args);

	if (code)
		return code;
	if (!o->timeout_ns || !o->start_timeout_ns || !o->patience_ns)
		return cli_usage(&load_command, "--%s: expected more than 0", !o->timeout_ns ? "timeout" : !o->patience_ns ? "patience" : "start-timeout");
	if (o->user && strlen(o->user) > MAX_CREDENTIAL)
		return cli_usage(&load_command, "--user: has more than the %d bytes that a user name may have", MAX_CREDENTIAL);
	if (o->name && (!*o->name || strlen(o->name) > 10 || o->name[strspn(o->name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")]))
		return cli_usage(&load_command, "--name %s: expected 1 to 10 letters and digits", console_safe(o->name));
	return o->password_file ? password_read(o->password_file, &o->password) : 0;
}

/* ---- parameters ---- */

const struct param *load_params(size_t *n)
{
	static struct param *params;

	*n = load_options.params.n;
	if (params)
		return params;
	params = calloc(*n + 1, sizeof(*params));
	if (!params)
		abort();
	for (size_t i = 0; i < *n; i++) {
		const char *text = load_options.params.at[i], *equals = strchr(text, '=');

		if (!equals || equals == text) {
			cli_usage(&load_command, "--define %s: expected NAME=VALUE", console_safe(text));
			return NULL;
		}
		params[i] = (struct param){ strndup(text, (size_t)(equals - text)), equals + 1 };
		if (!params[i].name)
			abort();
	}
	return params;
}

int load_params_check(const struct scenario *scenario)
{
	size_t n;
	const struct param *params = load_params(&n);

	for (size_t i = 0; params && i < n; i++) {
		const char *names[65] = { NULL }, *near;
		uint32_t k = 0;

		while (k < scenario->n_params && strcmp(scenario->params[k], params[i].name))
			k++;
		if (k < scenario->n_params)
			continue;
		for (k = 0; k < scenario->n_params && k < 64; k++)
			names[k] = scenario->params[k];
		near = cli_nearest(params[i].name, names);
		return cli_usage(&load_command, "--define %s: %s has no `param` of that name%s%s%s", console_safe(params[i].name), console_safe(scenario->file),
		                 near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
	}
	return params ? 0 : EXIT_USAGE;
}

/* ---- expectations ---- */

struct expectation *load_expectations(size_t *n)
{
	struct expectation *all = calloc(load_options.expect.n + 1, sizeof(*all));
	struct fault fault;

	if (!all)
		abort();
	*n = load_options.expect.n;
	for (size_t i = 0; i < *n; i++)
		if (!expectation_parse(load_options.expect.at[i], &all[i], &fault)) {
			cli_usage(&load_command, "--expect %s: %s", console_safe(load_options.expect.at[i]), fault.text);
			free(all);
			return NULL;
		}
	return all;
}

/* ---- the command line again ---- */

char *load_command_line(void)
{
	struct span text = { 0 };
	char *line = NULL;
	size_t len;
	FILE *out = open_memstream(&line, &len);

	if (!out)
		abort();
	if (!access("/proc/self/cmdline", R_OK) && !file_read("/proc/self/cmdline", 1 << 20, &text) && text.len <= 1 << 20) {
		const char *at = (const char *)text.at, *end = at + text.len;

		for (bool first = true; at < end; at += strlen(at) + 1, first = false) {
			const char *slash = first ? strrchr(at, '/') : NULL;

			if (!first)
				fputc(' ', out);
			shell_word(out, slash ? slash + 1 : at);
		}
	}
	free((void *)text.at);
	if (fclose(out))
		abort();
	return line;
}
