#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness/cli.h"
#include "harness/conduct.h"
#include "harness/conform.h"
#include "harness/conform_options.h"
#include "harness/conform_output.h"
#include "harness/console.h"
#include "harness/coverage.h"
#include "harness/keep.h"
#include "harness/prove.h"
#include "harness/target.h"
#include "harness/tls_options.h"
#include "harness/transcript.h"

/* mqassay conform: plays scenarios against targets and says what each clause came to. */

static struct conform_options *const conf = &conform_options;

static const struct local_broker *local;

enum { MAX_TARGETS = 64 };

void conform_use(const struct local_broker *broker)
{
	local = broker;
}

/* ---- progress ---- */

static unsigned counts[N_VERDICTS];
static struct known known;

static void progress(void *context, const struct outcome *outcome, size_t done, size_t all)
{
	const char *label = context;
	bool is_known = outcome->result.verdict < VERDICT_PASS && known_holds(&known, outcome, label);

	counts[is_known ? VERDICT_KNOWN : outcome->result.verdict]++;
	if (console_has_progress())
		console_progress("%zu of %zu  %u pass  %u fail  %u known  %u warn  %u inconclusive  %u skip   %s", done, all, counts[VERDICT_PASS],
		                 counts[VERDICT_FAIL], counts[VERDICT_KNOWN], counts[VERDICT_WARN], counts[VERDICT_INCONCLUSIVE], counts[VERDICT_SKIP],
		                 outcome->script->id);
}

static int list_tests(const struct suite *suite)
{
	for (size_t i = 0; i < suite->n_tests; i++)
		printf("%-6s %-60s %s\n", version_text(suite->tests[i]->version), suite->tests[i]->id, suite->tests[i]->scenario->title);
	return EXIT_PASS;
}

static int print_coverage(const struct suite *suite, unsigned versions)
{
	struct coverage coverage;

	coverage_make(&coverage, suite, local);
	coverage.versions = versions;
	coverage.whole = !conf->select.n && !conf->scenarios.n;
	if (strcmp(report_format_names[conf->format], "json"))
		coverage_text(stdout, &coverage, conf->verbose, conf->quiet);
	else
		coverage_json(stdout, &coverage);
	coverage_release(&coverage);
	return EXIT_PASS;
}

/* ---- the run ---- */

static struct run_target targets[MAX_TARGETS];
static struct run run_record = { .targets = targets };
/* name: of the target on the command line; NULL when it has none */
static void conform_one(const struct suite *suite, struct conduct_options *o, const char *name)
{
	struct run_target *target = &targets[run_record.n_targets++];

	*target = (struct run_target){
		.label = strdup(o->label), .source = conf->exec ? conf->exec : name, .started = conf->exec != NULL, .again = conform_again(name),
		.simulated = o->simulated,
	};
	if (!target->label)
		abort();
	memset(counts, 0, sizeof(counts));
	o->context = (void *)o->label;
	keep_target(o->label, o->simulated);
	conduct(suite, o, &target->conducted);
	console_progress("%s", "");
	known_apply(&known, &target->conducted, o->label);
	keep_connections(&run_record, target, name);
}

/* ---- the built-in broker ---- */

static int list_configurations(void)
{
	struct local_configuration c;

	for (size_t i = 0; local->configuration(i, &c); i++)
		printf("%-12s %s\n", c.name, c.options);
	return EXIT_PASS;
}

/* What a name stands for; options stand for themselves. */
static const char *options_of(const char *configuration)
{
	struct local_configuration c;

	for (size_t i = 0; configuration && local->configuration(i, &c); i++)
		if (!strcmp(c.name, configuration))
			return c.options;
	return configuration;
}

/* configuration: a name or options; NULL: as the tests need it. */
static int conform_configured(const struct suite *suite, struct conduct_options *o, const char *configuration)
{
	char label[300];
	int code = local->configure(configuration);

	if (code)
		return code;
	if (run_record.n_targets == MAX_TARGETS)
		return cli_usage(&conform_command, "--broker: more than %d configurations", MAX_TARGETS);
	snprintf(label, sizeof(label), "the built-in broker%s%s", configuration ? ", " : "", configuration ? configuration : "");
	for (size_t i = 0; i < run_record.n_targets; i++)
		if (!strcmp(targets[i].label, label))
			return 0;	/* named twice, and played already */
	o->label = label;
	o->configured = configuration;
	conf->configuration = configuration;
	if (conf->prove)
		return prove(suite, o, NULL, 0, stdout, conf->verbose);
	conform_one(suite, o, NULL);
	targets[run_record.n_targets - 1].configuration = options_of(configuration);
	return 0;
}

static int conform_all(const struct suite *suite, struct conduct_options *o)
{
	struct local_configuration c;
	int code = conform_configured(suite, o, NULL);

	for (size_t i = 0; !code && local->configuration(i, &c); i++)
		code = conform_configured(suite, o, c.name);
	return code;
}

static int conform_configurations(const struct suite *suite, struct conduct_options *o)
{
	int code = 0;

	if (!conf->broker.n)
		return conform_configured(suite, o, NULL);
	for (size_t i = 0; !code && i < conf->broker.n; i++)
		code = strcmp(conf->broker.at[i], "all") ? conform_configured(suite, o, conf->broker.at[i]) : conform_all(suite, o);
	return code;
}

static int conform_local(const struct suite *suite, struct conduct_options *o)
{
	unsigned faults[LOCAL_MAX_FAULTS];
	size_t n = 0;

	for (size_t i = 0; i < conf->broken.n; i++) {
		int found = local->faults_named(conf->broken.at[i], faults + n, LOCAL_MAX_FAULTS - n);

		if (found == 0)
			return cli_usage(&conform_command, "--break %s: no such fault; `mqassay broker --break list` lists them", console_safe(conf->broken.at[i]));
		if (found < 0)
			return cli_usage(&conform_command, "--break %s: exists in several versions; write 3.1.1:%s or 5:%s", console_safe(conf->broken.at[i]),
			                 console_safe(conf->broken.at[i]), console_safe(conf->broken.at[i]));
		n += (size_t)found;
	}
	o->local = local;
	o->faults = faults;
	o->n_faults = n;
	o->simulated = !conf->real;
	o->jobs = o->simulated && !o->findings ? 1u << 20 : o->jobs;
	if (o->jobs > suite->n_tests * o->repeat)
		o->jobs = (unsigned)(suite->n_tests * o->repeat);
	return conform_configurations(suite, o);
}

/* LABEL=URL: the user has named it. */
static bool names_label(const char *target)
{
	return target[strcspn(target, "=:/")] == '=';
}

static int conform_targets(const struct suite *suite, struct conduct_options *o, int n_args, char **args)
{
	struct target target, other;
	struct fault fault;
	int code;

	if (n_args > MAX_TARGETS)
		return cli_usage(&conform_command, "more than %d targets", MAX_TARGETS);
	for (int i = 0; i < n_args; i++) {	/* a mistake in the last is told before the first is tested */
		if (!target_parse(args[i], &target, &fault))
			return cli_usage(&conform_command, "%s", fault.text);
		for (int k = 0; k < i; k++)
			if (target_parse(args[k], &other, &fault) && !strcmp(other.label, target.label))
				return cli_usage(&conform_command, "two targets are named %s: tell them apart with LABEL=URL", console_safe(target.label));
	}
	for (int i = 0; i < n_args; i++) {
		target_parse(args[i], &target, &fault);
		o->label = conf->profile.name && !names_label(args[i]) ? conf->profile.name : target.label;
		o->address = &target.address;
		if (target.address.layers.tls && !(target.address.layers.context = tls_from_options(&conform_command, &code)))
			return code;
		conform_one(suite, o, args[i]);
	}
	return 0;
}

static int conform_exec(const struct suite *suite, struct conduct_options *o)
{
	char label[64];
	const char *command = conf->exec + strspn(conf->exec, " \t\n'\"");

	/* the command's own name: "mosquitto" */
	snprintf(label, sizeof(label), "%.*s", (int)strcspn(command, " \t\n'\""), command);
	o->exec = conf->exec;
	o->label = conf->profile.name ? conf->profile.name : strrchr(label, '/') ? strrchr(label, '/') + 1 : label;
	conform_one(suite, o, NULL);
	return 0;
}

/* ---- what is known ---- */

/* A row that fits no test was misspelt, or its test is no more. Beside scenarios of the user's own, those built in count too. */
static int check_known(const struct suite *suite)
{
	const struct known_row *stray = known_stray(&known, suite, NULL);
	struct suite built_in = { 0 };

	if (stray && conf->scenarios.n) {
		suite_load(&built_in, NULL, 0, NULL, 0);
		stray = known_stray(&known, suite, &built_in);
		suite_release(&built_in);
	}
	if (!stray)
		return 0;
	console_error("%s: no test of that version is %s; `mqassay conform --list` lists them all", stray->at, console_safe(stray->test));
	return EXIT_USAGE;
}

static int read_known(const struct suite *suite)
{
	for (size_t i = 0; i < conf->known.n; i++) {
		int code = known_read(&known, conf->known.at[i]);

		if (code)
			return code;
	}
	return check_known(suite);
}

/* ---- the command ---- */

static int play(const struct suite *suite, struct conduct_options *o, int n_args, char **args)
{
	char *command = conform_command_line(n_args, args);

	run_record.command = command;
	run_record.seed = o->seed;
	run_record.verbose = conf->verbose;
	run_record.quiet = conf->quiet;
	int code = conf->exec ? conform_exec(suite, o) : n_args ? conform_targets(suite, o, n_args, args) : conform_local(suite, o);

	if (run_record.n_targets) {
		int written = conform_output_write(&run_record, &known);
		code = code ? code : run_exit_code(&run_record);
		code = code ? code : written;
	}
	for (size_t i = 0; i < run_record.n_targets; i++) {
		conducted_release(&targets[i].conducted);
		free((char *)targets[i].again);
		free((char *)targets[i].label);
	}
	free(command);
	return code;
}

int conform_replay(struct suite *suite, int n_args, char **args)
{
	struct conduct_options o;
	int code = conform_options_apply(&o, n_args);

	if (!code && !(code = conform_output_check())) {
		o.progress = progress;
		o.secrets = conf->secrets;
		o.replay_failures = false;	/* a capture, or a finding, is no test that could be unstable */
		o.findings = suite->tests[0]->finding;
		if (o.findings)
			o.jobs = 1;
		o.masks_all = !conf->secrets;
		transcript_conceal(conf->secrets ? NULL : o.password);
		transcript_conceal_all(!conf->secrets);
		run_record.replay = true;
		if (!(code = keep_open(&o)))
			code = keep_close(play(suite, &o, n_args, args));
	}
	suite_release(suite);
	return code;
}

static int run(int n_args, char **args)
{
	struct suite suite = { 0 };
	struct conduct_options o;
	size_t n_params;
	const struct param *params;
	int code = conform_options_apply(&o, n_args);

	if (code || (code = conform_output_check()))
		return code;
	for (size_t i = 0; i < conf->broker.n; i++)
		if (!strcmp(conf->broker.at[i], "list"))
			return list_configurations();
	if (!(params = conform_params(&n_params)))
		return EXIT_USAGE;
	o.progress = progress;
	o.secrets = conf->secrets;
	transcript_conceal(conf->secrets ? NULL : o.password);
	code = suite_load(&suite, conf->scenarios.at, conf->scenarios.n, params, n_params);
	if (!code && !conf->one_case)	/* a folder's options are those of its whole run */
		code = conform_params_check(&suite);
	if (!code)
		code = read_known(&suite);
	if (!code) {
		suite_choose(&suite, o.versions, conf->select.at, conf->select.n);
		if (conf->one_case)
			suite_choose_case(&suite, conf->only_case);
		if (!suite.n_tests) {
			console_error(suite.n_scenarios ? "no test fits the selection; `mqassay conform --list` lists them all"
			                                : "--scenarios: there is no *.scn file there");
			code = EXIT_UNABLE;
		} else if (conf->list) {
			code = list_tests(&suite);
		} else if (conf->coverage) {
			code = print_coverage(&suite, o.versions);
		} else if (!(code = keep_open(&o))) {
			code = keep_close(play(&suite, &o, n_args, args));
		}
	}
	known_release(&known);
	suite_release(&suite);
	return code;
}

const struct command conform_command = {
	.name = "conform", .arguments = "[TARGET...]",
	.summary = "play scenarios against a broker and give a verdict for each clause of the standard",
	.details = "Without a TARGET the built-in reference broker is tested, in this process and on simulated time.\n"
	           "TARGET is [LABEL=]URL: tcp://host[:1883], tls://host[:8883], ws://host[:80][/path], wss://host[:443][/path],\n"
	           "unix:/path, or host[:port].\n"
	           "--report F=FILE may be given several times; F is one of those of --format.\n"
	           "Exit code 0: conformant; 1: a fail; 2: a mistake on the command line or in a scenario; 3: could not run.",
	.example = "mqassay conform localhost:1883\nmqassay conform --exec 'mosquitto -p {port}' --mqtt 5\nmqassay conform --select 5:MQTT-3.3.1-2 -v",
	.options = conform_option_rows, .max_args = CLI_ANY, .run = run,
};
