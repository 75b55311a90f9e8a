#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "harness/console.h"
#include "harness/file.h"
#include "harness/load/load_options.h"
#include "harness/load/load_target.h"
#include "harness/load/offers.h"
#include "harness/load/ready.h"
#include "harness/load/scenario_load.h"
#include "harness/load/shard.h"
#include "harness/report.h"
#include "harness/target.h"

/* mqassay load: plays a workload and measures what becomes of it. */

static const struct load_options *const conf = &load_options;

enum { MAX_WORKLOAD = 1 << 20, MANY_CLIENTS = 5000, MANY_PLAYERS = 500, BUSY_PERCENT = 70 };
#define REHEARSAL_NS 10000000000u

struct load {
	struct scenario *scenario;
	const struct script *script;
	char *text;			/* of a file; NULL: compiled in */
	char *folder;			/* where its tables are; NULL: none */
	struct shard shard;
	uint64_t start_at_unix_ns;
	struct source *sources;
	size_t n_sources;
	struct expectation *expectations;
	size_t n_expectations;
	struct load_target target;
	struct plan plan;
	struct figures *figures;
	struct progress *progress;
	bool told_end;			/* how it ends, where nothing but Ctrl-C does it */
	struct metrics *metrics;
	struct suite suite;		/* with --clients */
	const char *what;
};

/* ---- the workload ---- */

static int parse(struct load *l, const char *name, struct span text)
{
	static struct diagnostics found;
	size_t n;
	const struct param *params = load_params(&n);

	if (!params)
		return EXIT_USAGE;
	l->scenario = scenario_parse(name, text, params, n, &found);
	for (uint32_t i = 0; i < found.n; i++)
		if (!found.list[i].warning)
			fprintf(stderr, "%s:%u:%u: error: %s\n", console_safe(name), found.list[i].at.line, found.list[i].at.column, found.list[i].text);
	return l->scenario ? load_params_check(l->scenario) : EXIT_USAGE;
}

static int read_workload(struct load *l, const char *name)
{
	const char *file, *near, *slash = strrchr(name, '/');
	struct span text;
	int code;

	if (!slash && ready_find(name, &text, &file, &near))
		return parse(l, file, text);
	if (!slash && access(name, F_OK) && !strstr(name, ".scn")) {
		console_error("there is no ready workload %s, and no such file%s%s%s; `mqassay load --list` lists them", console_safe(name),
		              near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
		return EXIT_USAGE;
	}
	if ((code = file_read(name, MAX_WORKLOAD, &text)))
		return code;
	l->text = (char *)text.at;
	l->folder = slash ? strndup(name, (size_t)(slash - name) + (slash == name)) : strdup(".");
	if (!l->folder)
		abort();
	return parse(l, name, text);
}

/* The one in --mqtt's version, else in the newest that it is written for. */
static int choose_script(struct load *l)
{
	static const uint8_t versions[] = { [1] = MQTT_3_1, [2] = MQTT_3_1_1, [3] = MQTT_5 };

	for (uint32_t i = 0; i < l->scenario->n_scripts; i++) {
		const struct script *s = &l->scenario->scripts[i];

		if (conf->mqtt ? s->version == versions[conf->mqtt] : !l->script || s->version > l->script->version)
			l->script = s;
	}
	if (!l->script)
		return cli_usage(&load_command, "--mqtt %s: %s is not written for that version", version_text(versions[conf->mqtt]), console_safe(l->scenario->file));
	if (!l->script->roles) {
		bool replayed = l->script->capture || l->script->finding;

		console_error("%s is no workload but a %s: %s", console_safe(l->scenario->file),
		              l->script->capture ? "capture" : l->script->finding ? "finding" : "scenario",
		              replayed ? "`mqassay replay FILE` plays it" : "say with --clients N how many are to play it at once");
		return EXIT_USAGE;
	}
	return 0;
}

/* ---- the plan ---- */

static uint64_t unix_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int read_options(struct load *l)
{
	struct fault fault;
	int code;

	if (conf->pid && kill((pid_t)conf->pid, 0) && errno == ESRCH)
		return cli_usage(&load_command, "--pid %llu: there is no such process", (unsigned long long)conf->pid);
	if ((code = load_output_check()))
		return code;
	if (!(l->expectations = load_expectations(&l->n_expectations)))
		return EXIT_USAGE;
	if (!shard_choose(conf->shard, conf->shards, getenv, &l->shard, &fault))
		return cli_usage(&load_command, "%s", fault.text);
	if (conf->start_at && !start_at_parse(conf->start_at, unix_now_ns(), &l->start_at_unix_ns, &fault))
		return cli_usage(&load_command, "%s", fault.text);
	for (size_t i = 0; i < conf->sources.n; i++) {
		struct source *some;
		size_t n;

		if (!sources_parse(conf->sources.at[i], &some, &n, &fault))
			return cli_usage(&load_command, "--source-ip %s: %s", console_safe(conf->sources.at[i]), fault.text);
		l->sources = realloc(l->sources, (l->n_sources + n) * sizeof(*l->sources));
		if (!l->sources)
			abort();
		memcpy(l->sources + l->n_sources, some, n * sizeof(*some));
		l->n_sources += n;
		free(some);
	}
	return 0;
}

/* Nobody else's while this run lasts; on simulated time the same each time. */
static void name_plan(struct load *l)
{
	static const char digits[] = "0123456789abcdefghijklmnopqrstuvwxyz";
	uint64_t random = conf->seed * 0x9e3779b97f4a7c15u;
	char *at = l->plan.name;

	if (conf->name) {
		snprintf(l->plan.name, sizeof(l->plan.name), "%s", conf->name);
		return;
	}
	if (!l->target.simulated && getrandom(&random, sizeof(random), 0) != sizeof(random))
		random ^= unix_now_ns();
	*at++ = 'l';
	for (int i = 0; i < 7; i++, random /= 36)
		*at++ = digits[random % 36];
	*at = 0;
}

static struct span credential(const char *text)
{
	return text ? span_text(text) : (struct span){ 0 };
}

static int make_plan(struct load *l)
{
	struct fault fault;

	l->plan = (struct plan){
		.seed = conf->seed, .shard = l->shard.number, .n_shards = l->shard.n, .for_ns = conf->for_ns, .drain_ns = conf->drain_ns, .timeout_ns = conf->timeout_ns,
		.meet_patience_ns = conf->patience_ns, .user_name = credential(l->target.user_name), .password = credential(l->target.password),
	};
	if (l->target.simulated && !l->plan.for_ns)
		l->plan.for_ns = REHEARSAL_NS;
	name_plan(l);
	if (plan_make(&l->plan, l->script, l->folder, &fault))
		return 0;
	if (fault.line)
		console_error("%s:%u:%u: %s", console_safe(l->scenario->file), fault.line, fault.column, fault.text);
	else
		console_error("%s: %s", console_safe(l->scenario->file), fault.text);
	return EXIT_USAGE;
}

/* Of `tool` and `broker` there is always one. */
static bool has_role(const struct script *script, const struct expectation *e)
{
	for (uint32_t i = 0; i < script->n_roles; i++)
		if (!strcmp(script->roles[i].name, e->role))
			return true;
	return !strcmp(e->role, "all") || e->what == EXPECT_TOOL_BUSY || e->what == EXPECT_BROKER_CPU;
}

static int check_expectations(const struct load *l)
{
	for (size_t i = 0; i < l->n_expectations; i++)
		if (!has_role(l->script, &l->expectations[i]))
			return cli_usage(&load_command, "--expect %s: the workload has no role %s", console_safe(l->expectations[i].text),
			                 console_safe(l->expectations[i].role));
	return 0;
}

/* ---- the run ---- */

static void on_signal(int number)
{
	(void)number;
	run_interrupt();
}

static void handle_signals(void)
{
	struct sigaction action = { .sa_handler = on_signal };

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
}

/* More than one only where there is something to share; of a broker on this machine half of the processors are its. */
static unsigned threads_for(const struct load *l)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	uint64_t clients = 0, most;

	if (conf->threads || l->target.simulated)
		return conf->threads ? (unsigned)conf->threads : 1;
	for (uint32_t i = 0; i < l->plan.n_roles; i++)
		clients += l->plan.roles[i].end - l->plan.roles[i].first;
	most = 1 + clients / MANY_CLIENTS;
	if (cpus > 1 && (l->target.process || address_is_loopback(&l->target.address)))
		cpus /= 2;
	return most < (uint64_t)cpus ? (unsigned)most : cpus < 1 ? 1 : cpus > 255 ? 255 : (unsigned)cpus;
}

static bool has_loops(const struct step *steps)
{
	for (const struct step *s = steps; s; s = s->next)
		if (s->kind == STEP_EVERY || s->kind == STEP_FOREVER || has_loops(s->children))
			return true;
	return false;
}

/* Who forgot --for must not think that it hangs. */
static void tell_how_it_ends(struct load *l)
{
	bool loops = false;

	if (l->told_end)
		return;
	l->told_end = true;
	for (uint32_t i = 0; i < l->plan.n_roles; i++)
		loops = loops || has_loops(l->plan.roles[i].role->steps);
	if (!conf->quiet && !conf->for_ns && loops && !l->target.simulated)
		console_print(stderr, "no --for: Ctrl-C ends it\n");
}

static void on_tick(void *context, const struct figures *so_far)
{
	struct load *l = context;

	tell_how_it_ends(l);
	progress_show(l->progress, so_far);
	if (l->metrics)
		metrics_show(l->metrics, so_far);
}

static void name_figures(struct load *l, const char *file, const char *title, const char *mqtt)
{
	struct figures *f = l->figures = figures_new();
	char *command = load_command_line();

	f->workload = figures_say(f, "%s", file);
	f->title = figures_say(f, "%s", title);
	f->target = figures_say(f, "%s", l->target.label);
	f->mqtt = mqtt ? mqtt : "all";
	f->version = MQASSAY_VERSION;
	f->command = figures_say(f, "%s", command);
	free(command);
}

/* The most of a message of this workload: what the sink is sent to calibrate. */
static void calibrate_by(struct load *l)
{
	struct figures *f = l->figures;
	struct fault fault;
	unsigned qos = 0;
	size_t payload = 0;
	uint64_t sent = 0, bytes = 0;

	if (l->target.simulated || conf->calibrate == CALIBRATE_NEVER || f->unable || run_interrupted() ||
	    (conf->calibrate == CALIBRATE_AUTO && f->cpu.busiest * 100 < BUSY_PERCENT))
		return;
	for (uint32_t i = 0; i < f->n_roles; i++) {
		sent += f->roles[i].total.counts[COUNT_sent];
		bytes += f->roles[i].total.counts[COUNT_bytes_sent];
		qos = f->roles[i].total.counts[COUNT_acknowledged] ? 1 : qos;
	}
	if (!sent)
		return;
	payload = (size_t)(bytes / sent);
	payload = payload < 64 ? 32 : payload > 65536 ? 65536 : payload - 32;
	if (!calibrate(qos, payload, &f->calibration, &fault))
		figures_note(f, fault.text);
}

static int finish(struct load *l)
{
	struct figures *f = l->figures;
	int code;

	if (l->target.simulated)
		figures_note(f, "a rehearsal against the built-in broker on simulated time, over a network of a millisecond each way: what is counted is true, what is timed says nothing of any machine");
	for (size_t i = 0; i < l->n_expectations && !f->unable; i++)
		expectation_judge(&l->expectations[i], f);
	code = load_output_write(f);
	if (f->unable)
		console_error("%s", f->unable);
	return code ? code : figures_exit_code(f);
}

static int serve_metrics(struct load *l, struct loop *loop)
{
	struct fault fault;

	if (!conf->metrics)
		return 0;
	if (!(l->metrics = metrics_new(loop, conf->metrics, &fault))) {
		console_error("--metrics: %s", fault.text);
		return EXIT_UNABLE;
	}
	if (!conf->quiet)
		console_print(stderr, "metrics on port %u\n", metrics_port(l->metrics));
	return 0;
}

/*
 * What the workload's header says that it needs, before thousands ask for it in vain. Who is not served at all is
 * told by the run itself: our own CONNECT may lack what the clients have.
 */
static bool is_offered(struct load *l, struct loop *loop)
{
	const struct script *script = l->script;
	struct offers_question question = {
		.loop = loop, .address = &l->target.address, .user_name = l->target.user_name, .password = l->target.password, .timeout_ns = conf->timeout_ns,
		.versions = 1u << script->version, .name = l->plan.name,
	};
	struct offers offers;
	char why[300];

	methods_add(&question.methods, script->needs, script->n_needs);
	if (!script->n_needs || !offers_ask(&question, &offers) || !offers.version[script->version].served)
		return true;
	for (uint32_t i = 0; i < script->n_needs; i++)
		if (!need_met(&script->needs[i], script->version, &offers, NULL, 0, why, sizeof(why))) {
			l->figures->unable = figures_say(l->figures, "%s: the workload %s", l->figures->target, why);
			return false;
		}
	return true;
}

static int play_on(struct load *l, struct loop *loop)
{
	int code = load_target_open(&l->target, loop, l->script->needs, l->script->n_needs);

	if (code || (code = make_plan(l)) || (code = serve_metrics(l, loop)))
		return code;
	name_figures(l, l->scenario->file, l->scenario->title, version_text(l->script->version));
	if (!is_offered(l, loop))
		return finish(l);
	l->progress = progress_new(conf->quiet || l->target.simulated);
	run_load(&(struct run_options){
		.loop = loop, .plan = &l->plan, .address = &l->target.address, .sources = l->sources, .n_sources = l->n_sources, .threads = threads_for(l),
		.max_pending = (unsigned)conf->pending, .start_at_unix_ns = l->start_at_unix_ns, .broker_pid = (int)conf->pid, .died = &l->target.died,
		.leave = conf->leave || l->target.simulated, .tick = on_tick, .context = l,
	}, l->figures);
	progress_end(l->progress);
	calibrate_by(l);
	return finish(l);
}

/* On a loop of the target's kind: `on` plays, and gives back what it made of the loop. */
static int play_against(struct load *l, int n_args, char **args, int (*on)(struct load *l, struct loop *loop))
{
	struct loop loop;
	int code = load_target_choose(&l->target, n_args > 1 ? args[1] : NULL), error;

	if (code)
		return code;
	handle_signals();
	if ((error = loop_init(&loop, l->target.simulated))) {
		console_error("event loop: %s", strerror(-error));
		return EXIT_UNABLE;
	}
	code = on(l, &loop);
	metrics_free(l->metrics);
	load_target_close(&l->target);
	loop_settle(&loop);
	loop_release(&loop);
	return code;
}

static int play(struct load *l, int n_args, char **args)
{
	int code;

	if ((code = load_options_check(n_args)) || (code = read_options(l)) || (code = read_workload(l, args[0])) || (code = choose_script(l)) ||
	    (code = check_expectations(l)))
		return code;
	return play_against(l, n_args, args, play_on);
}

/* ---- scenarios of `conform` ---- */

static int play_scenarios_on(struct load *l, struct loop *loop)
{
	const struct script *first = l->suite.tests[0];
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	uint64_t threads = 1 + conf->clients / MANY_PLAYERS;
	int code = load_target_open(&l->target, loop, first->needs, first->n_needs);

	if (code || (code = serve_metrics(l, loop)))
		return code;
	threads = conf->threads ? conf->threads : threads < (uint64_t)cpus ? threads : (uint64_t)cpus;
	name_figures(l, l->what, first->scenario->title, NULL);
	l->progress = progress_new(conf->quiet || l->target.simulated);
	scenario_load(&(struct scenario_load_options){
		.loop = loop, .suite = &l->suite, .address = &l->target.address, .user_name = l->target.user_name, .password = l->target.password,
		.clients = (unsigned)conf->clients, .threads = l->target.simulated ? 1 : (unsigned)threads, .for_ns = conf->for_ns, .timeout_ns = conf->timeout_ns,
		.seed = conf->seed, .broker_pid = (int)conf->pid, .died = &l->target.died, .leave = conf->leave || l->target.simulated, .tick = on_tick, .context = l,
	}, l->figures);
	progress_end(l->progress);
	return finish(l);
}

/* A file or folder, or a pattern as of `conform --select` among those that are compiled in. */
static int play_scenarios(struct load *l, int n_args, char **args)
{
	static const unsigned versions[] = { ~0u, 1u << MQTT_3_1, 1u << MQTT_3_1_1, 1u << MQTT_5 };
	const char *what = args[0];
	const char *file, *near;
	struct span text;
	bool is_file = !access(what, F_OK);
	size_t n;
	const struct param *params = load_params(&n);
	int code = params ? load_options_check(n_args) : EXIT_USAGE;

	if (code || (code = read_options(l)))
		return code;
	if (l->shard.n > 1)
		return cli_usage(&load_command, "--clients: scenarios are not played in shards; give each process a --clients of its own");
	if (conf->sources.n || conf->start_at || conf->name)
		return cli_usage(&load_command, "--%s is about workloads", conf->sources.n ? "source-ip" : conf->start_at ? "start-at" : "name");
	if ((code = suite_load(&l->suite, &what, is_file, params, n)))
		return code;
	suite_choose(&l->suite, versions[conf->mqtt], &what, !is_file);
	if (!l->suite.n_tests && ready_find(what, &text, &file, &near))
		return cli_usage(&load_command, "--clients is about scenarios; %s is a workload: its parameters say how many there are (-D, --list)", console_safe(what));
	if (!l->suite.n_tests) {
		console_error("%s: no file of that name, and no test fits; `mqassay conform --list` lists them all", console_safe(what));
		return EXIT_UNABLE;
	}
	if (l->suite.tests[0]->roles)
		return cli_usage(&load_command, "--clients is about scenarios; %s is a workload, which says itself how many there are", console_safe(what));
	l->what = what;
	return play_against(l, n_args, args, play_scenarios_on);
}

static int run(int n_args, char **args)
{
	struct load l = { 0 };
	int code;

	if (conf->list) {
		ready_list(stdout);
		return EXIT_PASS;
	}
	if (!n_args)
		return cli_usage(&load_command, "name a workload: a file, or one of `mqassay load --list`");
	if (!strcmp(args[0], "merge"))
		return load_merge(n_args - 1, args + 1);
	if (!strcmp(args[0], "compare"))
		return load_compare(n_args - 1, args + 1);
	if (!strcmp(args[0], "sink"))
		return load_sink(n_args - 1, args + 1);
	if (n_args > 2)
		return cli_usage(&load_command, "unexpected argument '%s'", console_safe(args[2]));
	code = conf->clients ? play_scenarios(&l, n_args, args) : play(&l, n_args, args);
	plan_release(&l.plan);
	figures_free(l.figures);
	scenario_free(l.scenario);
	suite_release(&l.suite);
	free(l.expectations);
	free(l.sources);
	free(l.folder);
	free(l.text);
	return code;
}

const struct command load_command = {
	.name = "load", .arguments = "WORKLOAD [TARGET] | merge FILE... | compare A B | sink",
	.summary = "play a workload of many clients and measure what becomes of every message",
	.details = "WORKLOAD is a file in the notation, or the name of a ready one (--list); -D sets its parameters. TARGET is [LABEL=]URL, as of `conform`.\n"
	           "Without a TARGET the workload is rehearsed against the built-in broker on simulated time: that measures nothing of speed.\n"
	           "merge joins what the shards of a run, or several runs, have written with --report json=FILE; compare sets two side by side.\n"
	           "sink is a server that takes everything and routes nothing: the fastest that any broker could be.\n"
	           "Ctrl-C ends the loops, and what is under way may still come; a second one ends at once. The report is written in either case.\n"
	           "Exit code 0: played to its end, every expectation met; 1: a missed expectation, a broken rule, a failed judgement; 2: a mistake\n"
	           "on the command line or in the workload; 3: it could not be played, ended before its time, or clients were refused or lost.",
	.example = "mqassay load fan-in localhost:1883 -D sensors=10000 --for 60s\nmqassay load mine.scn --exec 'mosquitto -p {port}' --for 10s --expect 'sensor.ack.p99<5ms'\n"
	           "mqassay load fan-in broker:1883 --shard 0/4 --for 60s --report json=0.json\nmqassay load merge 0.json 1.json 2.json 3.json",
	.options = load_option_rows, .max_args = CLI_ANY, .run = run,
};
