#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness/cli.h"
#include "harness/conduct.h"
#include "harness/conform.h"
#include "harness/console.h"
#include "harness/prove.h"
#include "harness/report.h"
#include "harness/target.h"
#include "harness/units.h"

/* mqassay conform: plays scenarios against targets and says what each clause came to. */

static const char *const mqtt_choices[] = { "3.1", "3.1.1", "5", "all", NULL };
static const unsigned mqtt_bits[] = { 1u << MQTT_3_1, 1u << MQTT_3_1_1, 1u << MQTT_5, 1u << MQTT_3_1 | 1u << MQTT_3_1_1 | 1u << MQTT_5 };

static struct {
	struct string_list scenarios, select, without, params, broken;
	const char *exec, *user, *password_file, *split, *label;
	uint64_t timeout_ns, start_timeout_ns, jobs, seed, repeat;
	double slack;
	int mqtt;
	bool list, real, prove, verbose, quiet;
} conf = {
	.timeout_ns = 5000000000u, .start_timeout_ns = 60000000000u, .jobs = 64, .seed = 1, .repeat = 1, .slack = 1.0, .mqtt = 3,
};

static const struct cli_option options[] = {
	OPT_HEADING("What is played"),
	OPT_LIST('s', "select", conf.select, "PATTERN", "only tests that fit: file glob, part of the title, tag, or rule"),
	OPT_LIST(0, "scenarios", conf.scenarios, "PATH", "scenario files or folders in place of the built-in ones"),
	OPT_ENUM(0, "mqtt", conf.mqtt, mqtt_choices, "versions to test"),
	OPT_LIST('D', "define", conf.params, "NAME=VALUE", "value of a scenario's `param`"),
	OPT_FLAG(0, "list", conf.list, "list the chosen tests and play none"),
	OPT_COUNT(0, "repeat", conf.repeat, 1, 100000, "N", "play each test N times and name those whose verdict changes"),
	OPT_HEADING("The target"),
	OPT_STRING(0, "exec", conf.exec, "CMD", "start the target: {port} {tls_port} {ws_port} {dir} are filled in"),
	OPT_DURATION(0, "start-timeout", conf.start_timeout_ns, "D", "how long it may take until it answers a CONNECT"),
	OPT_STRING('u', "user", conf.user, "NAME", "user name given in every CONNECT"),
	OPT_STRING(0, "password-file", conf.password_file, "FILE", "file whose first line is the password"),
	OPT_LIST(0, "without", conf.without, "CAPABILITY", "what the target documents as absent, by CONNACK's names"),
	OPT_LIST(0, "break", conf.broken, "RULE", "have the built-in broker break a rule (`mqassay broker --break list`)"),
	OPT_FLAG(0, "real", conf.real, "the built-in broker in real time rather than simulated"),
	OPT_FLAG(0, "prove", conf.prove, "play the suite once per fault of the built-in broker: which tests catch it"),
	OPT_HEADING("How"),
	OPT_DURATION(0, "timeout", conf.timeout_ns, "D", "longest wait of a step that names none"),
	OPT_REAL(0, "slack", conf.slack, "X", "stretches deadlines, never waits or protocol intervals"),
	OPT_COUNT('j', "jobs", conf.jobs, 1, 10000, "N", "tests played side by side (in process all at once)"),
	OPT_COUNT(0, "seed", conf.seed, 0, 0, "N", "of everything random: payloads, splits"),
	OPT_STRING(0, "split", conf.split, "1|N|random", "cut every packet we send into pieces of that many bytes"),
	OPT_FLAG('v', "verbose", conf.verbose, "every test and clause, every transcript"),
	OPT_FLAG('q', "quiet", conf.quiet, "totals only"),
	OPT_END
};

extern const struct command conform_command;

static const struct local_broker *local;

void conform_use(const struct local_broker *broker)
{
	local = broker;
}

/* ---- progress ---- */

static unsigned counts[N_VERDICTS];

static void progress(void *context, const struct outcome *outcome, size_t done, size_t all)
{
	(void)context;
	counts[outcome->result.verdict]++;
	if (console_has_progress())
		console_progress("%zu of %zu  %u pass  %u fail  %u warn  %u inconclusive  %u skip   %s", done, all, counts[VERDICT_PASS],
		                 counts[VERDICT_FAIL], counts[VERDICT_WARN], counts[VERDICT_INCONCLUSIVE], counts[VERDICT_SKIP],
		                 outcome->script->id);
}

/* ---- options that need a second look ---- */

static bool parse_split(size_t *split)
{
	uint64_t n;

	*split = 0;
	if (!conf.split)
		return true;
	if (!strcmp(conf.split, "random")) {
		*split = SPLIT_RANDOM;
		return true;
	}
	if (!units_count(conf.split, &n) || !n || n > 1 << 30)
		return false;
	*split = (size_t)n;
	return true;
}

/* -D name=value, cut in two in place. */
static bool parse_params(struct param *params, char **copies)
{
	for (size_t i = 0; i < conf.params.n; i++) {
		char *text = strdup(conf.params.at[i]), *equals = text ? strchr(text, '=') : NULL;

		copies[i] = text;
		if (!equals || equals == text)
			return false;
		*equals = 0;
		params[i] = (struct param){ text, equals + 1 };
	}
	return true;
}

static char *read_password(void)
{
	static char line[65537];
	FILE *f = fopen(conf.password_file, "r");

	if (!f || !fgets(line, sizeof(line), f)) {
		if (f)
			fclose(f);
		return NULL;
	}
	fclose(f);
	line[strcspn(line, "\r\n")] = 0;
	return line;
}

static int list_tests(const struct suite *suite)
{
	for (size_t i = 0; i < suite->n_tests; i++)
		printf("%-6s %-60s %s\n", version_text(suite->tests[i]->version), suite->tests[i]->id, suite->tests[i]->scenario->title);
	return EXIT_PASS;
}

/* ---- one target ---- */

static int conform_one(const struct suite *suite, struct conduct_options *o, const char *again)
{
	struct conducted done;
	struct report_options report = { .label = o->label, .repeat_with = again, .verbose = conf.verbose, .quiet = conf.quiet };

	memset(counts, 0, sizeof(counts));
	int status = conduct(suite, o, &done);
	console_progress("%s", "");
	bool judged = false;
	for (size_t i = 0; i < done.n; i++)
		judged |= done.outcomes[i].played;
	if (judged || !status) {
		report_text(stdout, &done, &report);
		if (o->simulated)
			printf("      %.1f s of simulated time in %.2f s\n", (double)done.simulated_ns / 1e9, (double)done.wall_ns / 1e9);
		else
			printf("      in %.1f s\n", (double)done.wall_ns / 1e9);
	}
	fflush(stdout);
	if (status)
		console_error("%s", done.unable);
	int code = report_exit_code(&done);
	conducted_release(&done);
	return status && code == EXIT_PASS ? status : code;
}

static int worse(int a, int b)
{
	/* a fail outweighs what could not be run */
	return a == EXIT_FOUND || b == EXIT_FOUND ? EXIT_FOUND : a > b ? a : b;
}

static int conform_local(const struct suite *suite, struct conduct_options *o)
{
	unsigned faults[512];
	size_t n = 0;

	for (size_t i = 0; i < conf.broken.n; i++) {
		int found = local->faults_named(conf.broken.at[i], faults + n, 512 - n);

		if (found == 0)
			return cli_usage(&conform_command, "--break %s: no such fault; `mqassay broker --break list` lists them", console_safe(conf.broken.at[i]));
		if (found < 0)
			return cli_usage(&conform_command, "--break %s: exists in several versions; write 3.1.1:%s or 5:%s", console_safe(conf.broken.at[i]),
			                 console_safe(conf.broken.at[i]), console_safe(conf.broken.at[i]));
		n += (size_t)found;
	}
	o->label = "the built-in broker";
	o->local = local;
	o->faults = faults;
	o->n_faults = n;
	o->simulated = !conf.real;
	o->jobs = o->simulated ? 1u << 20 : o->jobs;
	if (o->jobs > suite->n_tests * o->repeat)
		o->jobs = (unsigned)(suite->n_tests * o->repeat);
	if (conf.prove)
		return prove(suite, o, NULL, 0, stdout, conf.verbose);
	char again[600] = "mqassay conform";
	size_t len = strlen(again);

	for (size_t i = 0; i < conf.scenarios.n && len < sizeof(again); i++)
		len += (size_t)snprintf(again + len, sizeof(again) - len, " --scenarios %s", conf.scenarios.at[i]);
	for (size_t i = 0; i < conf.broken.n && len < sizeof(again); i++)
		len += (size_t)snprintf(again + len, sizeof(again) - len, " --break %s", conf.broken.at[i]);
	if (conf.real && len < sizeof(again))
		snprintf(again + len, sizeof(again) - len, " --real");
	return conform_one(suite, o, again);
}

static int conform_targets(const struct suite *suite, struct conduct_options *o, int n_args, char **args)
{
	int code = EXIT_PASS;

	for (int i = 0; i < n_args; i++) {
		struct target target;
		struct fault fault;
		char again[600];

		if (!target_parse(args[i], &target, &fault))
			return cli_usage(&conform_command, "%s", fault.text);
		o->label = target.label;
		o->address = &target.address;
		snprintf(again, sizeof(again), "mqassay conform %s", args[i]);
		code = worse(code, conform_one(suite, o, again));
	}
	return code;
}

static int run(int n_args, char **args)
{
	struct suite suite = { 0 };
	struct conduct_options o = {
		.versions = mqtt_bits[conf.mqtt], .timeout_ns = conf.timeout_ns, .slack = conf.slack, .jobs = (unsigned)conf.jobs,
		.repeat = (unsigned)conf.repeat, .seed = conf.seed, .replay_failures = true, .transcripts = true,
		.user_name = conf.user, .without = conf.without.at, .n_without = conf.without.n,
		.start_timeout_ns = conf.start_timeout_ns, .progress = progress,
	};
	struct param *params = calloc(conf.params.n + 1, sizeof(*params));
	char **copies = calloc(conf.params.n + 1, sizeof(*copies));
	int code;

	if (!params || !copies)
		abort();
	if (!parse_split(&o.split))
		return cli_usage(&conform_command, "--split %s: expected 1, a number of bytes, or random", console_safe(conf.split));
	if (!parse_params(params, copies))
		return cli_usage(&conform_command, "--define: expected NAME=VALUE");
	if (conf.exec && n_args)
		return cli_usage(&conform_command, "--exec starts the target; name no other");
	if ((conf.prove || conf.broken.n) && (conf.exec || n_args))
		return cli_usage(&conform_command, "--%s is about the built-in broker; name no target", conf.prove ? "prove" : "break");
	if (conf.slack < 1)
		return cli_usage(&conform_command, "--slack: expected a number of at least 1");
	if (conf.password_file && !(o.password = read_password())) {
		console_error("read %s: no password in it", console_safe(conf.password_file));
		return EXIT_UNABLE;
	}
	code = suite_load(&suite, conf.scenarios.at, conf.scenarios.n, params, conf.params.n);
	if (!code) {
		suite_choose(&suite, mqtt_bits[conf.mqtt], conf.select.at, conf.select.n);
		if (!suite.n_tests) {
			console_error(suite.n_scenarios ? "no test fits the selection; `mqassay conform --list` lists them all"
			                                : "--scenarios: there is no *.scn file there");
			code = EXIT_UNABLE;
		} else if (conf.list) {
			code = list_tests(&suite);
		} else if (conf.exec) {
			char label[64];

			/* the command's own name: "mosquitto" */
			snprintf(label, sizeof(label), "%.*s", (int)strcspn(conf.exec, " \t"), conf.exec);
			o.exec = conf.exec;
			o.label = strrchr(label, '/') ? strrchr(label, '/') + 1 : label;
			char again[1200];

			snprintf(again, sizeof(again), "mqassay conform --exec '%s'", conf.exec);
			code = conform_one(&suite, &o, again);
		} else {
			code = n_args ? conform_targets(&suite, &o, n_args, args) : conform_local(&suite, &o);
		}
	}
	suite_release(&suite);
	for (size_t i = 0; i < conf.params.n; i++)
		free(copies[i]);
	free(copies);
	free(params);
	return code;
}

const struct command conform_command = {
	.name = "conform", .arguments = "[TARGET...]",
	.summary = "play scenarios against a broker and give a verdict for each clause of the standard",
	.details = "Without a TARGET the built-in reference broker is tested, in this process and on simulated time.\n"
	           "TARGET is [LABEL=]URL: tcp://host[:1883], unix:/path, or host[:port].\n"
	           "Exit code 0: conformant; 1: a fail; 2: a mistake on the command line or in a scenario; 3: could not run.",
	.example = "mqassay conform localhost:1883\nmqassay conform --exec 'mosquitto -p {port}' --mqtt 5\nmqassay conform --select 5:MQTT-3.3.1-2 -v",
	.options = options, .max_args = CLI_ANY, .run = run,
};
