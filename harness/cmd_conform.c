#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness/cli.h"
#include "harness/conduct.h"
#include "harness/conform.h"
#include "harness/conform_options.h"
#include "harness/console.h"
#include "harness/prove.h"
#include "harness/report.h"
#include "harness/target.h"

/* mqassay conform: plays scenarios against targets and says what each clause came to. */

static const struct conform_options *const conf = &conform_options;

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

static int list_tests(const struct suite *suite)
{
	for (size_t i = 0; i < suite->n_tests; i++)
		printf("%-6s %-60s %s\n", version_text(suite->tests[i]->version), suite->tests[i]->id, suite->tests[i]->scenario->title);
	return EXIT_PASS;
}

/* ---- one target ---- */

/* name: of the target on the command line; NULL when it has none */
static int conform_one(const struct suite *suite, struct conduct_options *o, const char *name)
{
	struct conducted done;
	char *again = conform_again(name);
	struct report_options report = { .label = o->label, .repeat_with = again, .verbose = conf->verbose, .quiet = conf->quiet };

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
	free(again);
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

	for (size_t i = 0; i < conf->broken.n; i++) {
		int found = local->faults_named(conf->broken.at[i], faults + n, 512 - n);

		if (found == 0)
			return cli_usage(&conform_command, "--break %s: no such fault; `mqassay broker --break list` lists them", console_safe(conf->broken.at[i]));
		if (found < 0)
			return cli_usage(&conform_command, "--break %s: exists in several versions; write 3.1.1:%s or 5:%s", console_safe(conf->broken.at[i]),
			                 console_safe(conf->broken.at[i]), console_safe(conf->broken.at[i]));
		n += (size_t)found;
	}
	o->label = "the built-in broker";
	o->local = local;
	o->faults = faults;
	o->n_faults = n;
	o->simulated = !conf->real;
	o->jobs = o->simulated ? 1u << 20 : o->jobs;
	if (o->jobs > suite->n_tests * o->repeat)
		o->jobs = (unsigned)(suite->n_tests * o->repeat);
	if (conf->prove)
		return prove(suite, o, NULL, 0, stdout, conf->verbose);
	return conform_one(suite, o, NULL);
}

static int conform_targets(const struct suite *suite, struct conduct_options *o, int n_args, char **args)
{
	int code = EXIT_PASS;

	for (int i = 0; i < n_args; i++) {
		struct target target;
		struct fault fault;

		if (!target_parse(args[i], &target, &fault))
			return cli_usage(&conform_command, "%s", fault.text);
		o->label = target.label;
		o->address = &target.address;
		code = worse(code, conform_one(suite, o, args[i]));
	}
	return code;
}

static int conform_exec(const struct suite *suite, struct conduct_options *o)
{
	char label[64];

	/* the command's own name: "mosquitto" */
	snprintf(label, sizeof(label), "%.*s", (int)strcspn(conf->exec, " \t"), conf->exec);
	o->exec = conf->exec;
	o->label = strrchr(label, '/') ? strrchr(label, '/') + 1 : label;
	return conform_one(suite, o, NULL);
}

static int run(int n_args, char **args)
{
	struct suite suite = { 0 };
	struct conduct_options o;
	size_t n_params;
	const struct param *params;
	int code = conform_options_apply(&o, n_args);

	if (code)
		return code;
	if (!(params = conform_params(&n_params)))
		return EXIT_USAGE;
	o.progress = progress;
	code = suite_load(&suite, conf->scenarios.at, conf->scenarios.n, params, n_params);
	if (!code) {
		suite_choose(&suite, o.versions, conf->select.at, conf->select.n);
		if (!suite.n_tests) {
			console_error(suite.n_scenarios ? "no test fits the selection; `mqassay conform --list` lists them all"
			                                : "--scenarios: there is no *.scn file there");
			code = EXIT_UNABLE;
		} else if (conf->list) {
			code = list_tests(&suite);
		} else if (conf->exec) {
			code = conform_exec(&suite, &o);
		} else {
			code = n_args ? conform_targets(&suite, &o, n_args, args) : conform_local(&suite, &o);
		}
	}
	suite_release(&suite);
	return code;
}

const struct command conform_command = {
	.name = "conform", .arguments = "[TARGET...]",
	.summary = "play scenarios against a broker and give a verdict for each clause of the standard",
	.details = "Without a TARGET the built-in reference broker is tested, in this process and on simulated time.\n"
	           "TARGET is [LABEL=]URL: tcp://host[:1883], unix:/path, or host[:port].\n"
	           "Exit code 0: conformant; 1: a fail; 2: a mistake on the command line or in a scenario; 3: could not run.",
	.example = "mqassay conform localhost:1883\nmqassay conform --exec 'mosquitto -p {port}' --mqtt 5\nmqassay conform --select 5:MQTT-3.3.1-2 -v",
	.options = conform_option_rows, .max_args = CLI_ANY, .run = run,
};
