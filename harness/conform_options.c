#include "harness/conform_options.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/console.h"
#include "harness/password.h"
#include "harness/replay_file.h"
#include "harness/report.h"
#include "harness/shell.h"
#include "harness/target.h"
#include "harness/tls_options.h"
#include "harness/units.h"

static const char *const mqtt_choices[] = { "3.1", "3.1.1", "5", "all", NULL };
enum { MQTT_ALL = 3 };

struct conform_options conform_options = {
	.timeout_ns = 5000000000u, .start_timeout_ns = 60000000000u, .jobs = 64, .seed = 1, .repeat = 1, .slack = 1.0, .mqtt = MQTT_ALL,
};

/* Those that other commands have, too, which play tests. */
const struct cli_option conform_output_rows[] = {
	OPT_HEADING("Reports"),
	OPT_ENUM(0, "format", conform_options.format, report_format_names, "what stdout gets"),
	OPT_LIST(0, "report", conform_options.reports, "F=FILE", "also write the report in that format to a file"),
	OPT_STRING(0, "pcap", conform_options.pcap, "FILE", "what every connection carried, as TCP on port 1883 (pcapng)"),
	OPT_STRING(0, "artifacts", conform_options.artifacts, "DIR", "a folder for each test that fails, warns or cannot be judged: see `mqassay replay`"),
	OPT_FLAG('v', "verbose", conform_options.verbose, "every test and clause, every transcript"),
	OPT_FLAG('q', "quiet", conform_options.quiet, "totals only"),
	OPT_FLAG(0, "secrets", conform_options.secrets, "show the password of --password-file in transcripts and captures"),
	OPT_END
};

const struct cli_option conform_option_rows[] = {
	OPT_HEADING("What is played"),
	OPT_LIST('s', "select", conform_options.select, "PATTERN", "only tests that fit: file glob, part of the title, tag, or rule; with `!` in front, only others"),
	OPT_LIST(0, "scenarios", conform_options.scenarios, "PATH", "scenario files or folders in place of the built-in ones"),
	OPT_ENUM(0, "mqtt", conform_options.mqtt, mqtt_choices, "versions to test"),
	OPT_LIST('D', "define", conform_options.params, "NAME=VALUE", "value of a scenario's `param`"),
	OPT_FLAG(0, "list", conform_options.list, "list the chosen tests and play none"),
	OPT_FLAG(0, "coverage", conform_options.coverage, "list every clause with the tests that judge it, or why it has none, and play none"),
	OPT_COUNT(0, "repeat", conform_options.repeat, 1, 100000, "N", "play each test N times and name those whose verdict changes"),
	OPT_HEADING("The target"),
	OPT_STRING(0, "exec", conform_options.exec, "CMD", "start the target: {port} {tls_port} {ws_port} {dir} are filled in"),
	OPT_DURATION(0, "start-timeout", conform_options.start_timeout_ns, "D", "how long it may take until it answers a CONNECT"),
	OPT_COUNT(0, "pid", conform_options.pid, 1, 1 << 30, "N", "the target's process, on this machine, where `target lives` asks about it"),
	OPT_ENUM(0, "transport", conform_options.way, way_names, "over which the built-in broker, or one that --exec starts, is played"),
	OPT_LIST(0, "also", conform_options.also, "URL", "where the target speaks other transports, for the tests of these"),
	OPT_STRING('u', "user", conform_options.user, "NAME", "user name given in every CONNECT"),
	OPT_STRING(0, "password-file", conform_options.password_file, "FILE", "file whose first line is the password"),
	OPT_STRING(0, "profile", conform_options.profile_file, "FILE", "what is known of the target: name, credentials, what it lacks, what it denies, how late its timers are; options win over it"),
	OPT_LIST(0, "without", conform_options.without, "CAPABILITY", "what the target documents as absent, by CONNACK's names"),
	OPT_LIST(0, "broker", conform_options.broker, "NAME|OPTIONS",
	         "the built-in broker as one for all tests: list says which names there are, all plays each; or options of `mqassay broker`"),
	OPT_LIST(0, "break", conform_options.broken, "RULE", "have the built-in broker break a rule (`mqassay broker --break list`)"),
	OPT_FLAG(0, "real", conform_options.real, "the built-in broker in real time rather than simulated"),
	OPT_FLAG(0, "prove", conform_options.prove, "play the suite once per fault of the built-in broker: which tests catch it"),
	OPT_GROUP(tls_option_rows),
	OPT_HEADING("How"),
	OPT_DURATION(0, "timeout", conform_options.timeout_ns, "D", "longest wait of a step that names none"),
	OPT_REAL(0, "slack", conform_options.slack, "X", "stretches deadlines, never waits or protocol intervals"),
	OPT_DURATION(0, "timer-tolerance", conform_options.timer_tolerance_ns, "D", "how late the target's timers may be: added to what `within` allows, and to nothing else"),
	OPT_COUNT('j', "jobs", conform_options.jobs, 1, 10000, "N", "tests played side by side (in process all at once)"),
	OPT_COUNT(0, "seed", conform_options.seed, 0, 0, "N", "of everything random: payloads, splits"),
	OPT_STRING(0, "split", conform_options.split, "1|N|random", "cut every packet we send into pieces of that many bytes"),
	OPT_GROUP(conform_output_rows),
	OPT_LIST(0, "known", conform_options.known, "FILE", "accepted deviations: only what is new, and what no longer happens, counts"),
	OPT_STRING(0, "write-known", conform_options.write_known, "FILE", "write the fails of this run as such a file"),
	OPT_END
};

unsigned conform_versions(void)
{
	static const unsigned bits[] = { 1u << MQTT_3_1, 1u << MQTT_3_1_1, 1u << MQTT_5, 1u << MQTT_3_1 | 1u << MQTT_3_1_1 | 1u << MQTT_5 };

	return bits[conform_options.mqtt];
}

/* ---- what the table cannot check ---- */

static bool parse_split(size_t *split)
{
	uint64_t n;

	*split = 0;
	if (!conform_options.split)
		return true;
	if (!strcmp(conform_options.split, "random")) {
		*split = SPLIT_RANDOM;
		return true;
	}
	if (!units_count(conform_options.split, &n) || !n || n > 1 << 30)
		return false;
	*split = (size_t)n;
	return true;
}

/* --without, then what the profile says: the first that fits is the evidence. 0 or EXIT_USAGE. */
static int apply_without(struct conduct_options *o)
{
	const struct profile *profile = &conform_options.profile;
	const struct string_list *list = &conform_options.without;
	static struct absent *all;	/* lives as long as the program; its texts in the region */
	static struct region region;
	char hint[80], by[500];
	size_t n = 0;

	all = realloc(all, (list->n + profile->n_without + 1) * sizeof(*all));
	if (!all)
		abort();
	o->without = all;
	for (; n < list->n; n++) {
		if (!capability_known(list->at[n], hint, sizeof(hint)))
			return cli_usage(&conform_command, "--without %s: expected what CONNACK announces, or tls, websocket, auth, login%s",
			                 console_safe(list->at[n]), hint);
		snprintf(by, sizeof(by), "--without %s", list->at[n]);
		all[n] = (struct absent){ list->at[n], region_string(&region, span_text(by)) };
	}
	for (size_t i = 0; i < profile->n_without; i++)
		all[n++] = profile->without[i];
	o->n_without = n;
	return 0;
}

const char *conform_password_file(void)
{
	const struct profile *profile = &conform_options.profile;

	return conform_options.password_file ? conform_options.password_file : !conform_options.user && profile->user ? profile->password_file : NULL;
}

static const char denied_publish[] = "denied_publish=", denied_subscribe[] = "denied_subscribe=";

/* The profile, where the command line leaves something open. A password belongs to its user name. 0 or an exit code. */
static int apply_profile(struct conduct_options *o)
{
	const struct string_list *defines = &conform_options.params;
	struct profile *profile = &conform_options.profile;
	int code;

	if (conform_options.profile_file && (code = profile_read(profile, conform_options.profile_file)))
		return code;
	o->user_name = conform_options.user ? conform_options.user : profile->user;
	o->timer_tolerance_ns = conform_options.timer_tolerance_ns ? conform_options.timer_tolerance_ns : profile->timer_tolerance_ns;
	o->denies_publish = profile->denied_publish;
	o->denies_subscribe = profile->denied_subscribe;
	for (size_t i = 0; i < defines->n; i++) {	/* the parameters that the profile sets: one may come from a replayed test */
		o->denies_publish |= !strncmp(defines->at[i], denied_publish, strlen(denied_publish));
		o->denies_subscribe |= !strncmp(defines->at[i], denied_subscribe, strlen(denied_subscribe));
	}
	if ((code = apply_without(o)))
		return code;
	if (o->user_name && strlen(o->user_name) > MAX_CREDENTIAL)
		return cli_usage(&conform_command, "--user: has more than the %d bytes that a user name may have", MAX_CREDENTIAL);
	return conform_password_file() ? password_read(conform_password_file(), &o->password) : 0;
}

/* Options that exclude each other, or a target. 0 or EXIT_USAGE. */
static int check_together(int n_args)
{
	const struct conform_options *c = &conform_options;
	const char *built_in = c->prove ? "prove" : c->broken.n ? "break" : c->broker.n ? "broker" : c->real ? "real" : NULL;

	if (c->exec && n_args)
		return cli_usage(&conform_command, "--exec starts the target; name no other");
	if (c->pid && (c->exec || n_args != 1))
		return cli_usage(&conform_command, "--pid is about one target that runs already; name %s", c->exec || n_args ? "that one" : "it");
	if (c->pid && kill((pid_t)c->pid, 0) && errno == ESRCH)
		return cli_usage(&conform_command, "--pid %llu: there is no such process", (unsigned long long)c->pid);
	if (built_in && (c->exec || n_args))
		return cli_usage(&conform_command, "--%s is about the built-in broker; name no target", built_in);
	if (c->prove && (c->known.n || c->write_known || c->reports.n || c->format))
		return cli_usage(&conform_command, "--prove has a report of its own; give no --format, --report or --known");
	if ((c->pcap || c->artifacts) && c->prove)
		return cli_usage(&conform_command, "--%s is about one run; --prove plays the suite once per fault", c->pcap ? "pcap" : "artifacts");
	if (c->profile_file && !c->exec && n_args != 1 && !c->list && !c->coverage)
		return cli_usage(&conform_command, "--profile describes one target; name %s", n_args ? "no other" : "it");
	if (c->coverage && (c->exec || n_args || c->prove))
		return cli_usage(&conform_command, "--coverage plays nothing; name no target");
	if (c->coverage && (c->reports.n || (c->format && strcmp(report_format_names[c->format], "json"))))
		return cli_usage(&conform_command, "--coverage writes to stdout, as text or, with --format json, as JSON");
	return 0;
}

/* Values that the table lets pass. 0 or EXIT_USAGE. */
static int check_values(struct conduct_options *o)
{
	const struct conform_options *c = &conform_options;

	if (!parse_split(&o->split))
		return cli_usage(&conform_command, "--split %s: expected 1, a number of bytes, or random", console_safe(c->split));
	if (c->slack < 1)
		return cli_usage(&conform_command, "--slack: expected a number of at least 1");
	if (!c->timeout_ns || !c->start_timeout_ns)
		return cli_usage(&conform_command, "--%s: expected more than 0", c->timeout_ns ? "start-timeout" : "timeout");
	for (size_t i = 0; i < c->select.n; i++)
		if (!c->select.at[i][strspn(c->select.at[i], "!")])
			return cli_usage(&conform_command, "--select: expected a file glob, part of a title, tag or rule, not '%s'", console_safe(c->select.at[i]));
	return 0;
}

/* --also: kept as long as the program. */
static int parse_also(struct conduct_options *o)
{
	static struct address also[N_WAYS];
	struct fault fault;
	int code;

	if (conform_options.also.n > N_WAYS)
		return cli_usage(&conform_command, "--also: there are %d transports", N_WAYS);
	for (size_t i = 0; i < conform_options.also.n; i++) {
		if (!address_parse(conform_options.also.at[i], ADDRESS_TO_CONNECT, &also[i], &fault))
			return cli_usage(&conform_command, "--also: %s", fault.text);
		if (also[i].layers.tls && !(also[i].layers.context = tls_from_options(&conform_command, &code)))
			return code;
	}
	o->also = also;
	o->n_also = conform_options.also.n;
	return 0;
}

/* How the target is reached, beside its URL. */
static int apply_ways(struct conduct_options *o, int n_args)
{
	int code;

	if (n_args && conform_options.way)
		return cli_usage(&conform_command, "--transport: a TARGET says it in its URL, as in %s://host:port", way_names[conform_options.way]);
	if (conform_options.also.n && n_args != 1 && !conform_options.exec)
		return cli_usage(&conform_command, "--also is about one target: name it, or start it with --exec");
	o->way = (enum way)conform_options.way;
	if (conform_options.exec && (o->way & WAY_TLS || strstr(conform_options.exec, "{tls_port}")) &&
	    !(o->tls = tls_from_options(&conform_command, &code)))
		return code;
	return parse_also(o);
}

int conform_options_apply(struct conduct_options *o, int n_args)
{
	int code;

	*o = (struct conduct_options){
		.versions = conform_versions(), .timeout_ns = conform_options.timeout_ns, .slack = conform_options.slack, .jobs = (unsigned)conform_options.jobs,
		.repeat = (unsigned)conform_options.repeat, .seed = conform_options.seed, .replay_failures = true, .transcripts = true,
		.start_timeout_ns = conform_options.start_timeout_ns, .pid = (int)conform_options.pid,
	};
	if ((code = check_together(n_args)) || (code = check_values(o)))
		return code;
	if ((code = apply_profile(o)))
		return code;
	return apply_ways(o, n_args);
}

/* As -D would have it: a value in the notation. */
static struct param denied_param(const char *name_and_sign, const char *level)
{
	char *name = strndup(name_and_sign, strlen(name_and_sign) - 1), *value;

	if (!name || asprintf(&value, "\"%s\"", level) < 0)
		abort();
	return (struct param){ name, value };
}

const struct param *conform_params(size_t *n)
{
	static struct param *params;

	const struct profile *profile = &conform_options.profile;
	size_t n_given = conform_options.params.n;

	*n = n_given + (profile->denied_publish != NULL) + (profile->denied_subscribe != NULL);
	if (params)
		return params;
	params = calloc(*n + 1, sizeof(*params));
	if (!params)
		abort();
	for (size_t i = 0; i < n_given; i++) {
		const char *text = conform_options.params.at[i], *equals = strchr(text, '=');

		if (!equals || equals == text) {
			cli_usage(&conform_command, "--define %s: expected NAME=VALUE", console_safe(text));
			return NULL;
		}
		params[i] = (struct param){ strndup(text, (size_t)(equals - text)), equals + 1 };
		if (!params[i].name)
			abort();
	}
	if (profile->denied_publish)
		params[n_given++] = denied_param(denied_publish, profile->denied_publish);
	if (profile->denied_subscribe)
		params[n_given++] = denied_param(denied_subscribe, profile->denied_subscribe);
	return params;
}

static bool has_param(const struct suite *suite, const char *name)
{
	for (size_t i = 0; i < suite->n_scenarios; i++)
		for (uint32_t k = 0; k < suite->scenarios[i]->n_params; k++)
			if (!strcmp(suite->scenarios[i]->params[k], name))
				return true;
	return false;
}

static const char *nearest_param(const struct suite *suite, const char *name)
{
	const char *best = NULL;

	for (size_t i = 0; i < suite->n_scenarios; i++)
		for (uint32_t k = 0; k < suite->scenarios[i]->n_params; k++) {
			const char *const names[] = { suite->scenarios[i]->params[k], best, NULL };
			best = cli_nearest(name, names);
		}
	return best;
}

int conform_params_check(const struct suite *suite)
{
	size_t n;
	const struct param *params = conform_params(&n);

	for (size_t i = 0; params && i < n; i++) {
		if (has_param(suite, params[i].name))
			continue;
		const char *best = nearest_param(suite, params[i].name);

		return cli_usage(&conform_command, "--define %s: no scenario has a `param` of that name%s%s%s", console_safe(params[i].name),
		                 best ? "; did you mean " : "", best ? best : "", best ? "?" : "");
	}
	return params ? 0 : EXIT_USAGE;
}

/* ---- the command line again ---- */

static void put(FILE *out, const char *name, const char *value)
{
	if (!value)
		return;
	fprintf(out, " --%s ", name);
	shell_word(out, value);
}

static void put_list(FILE *out, const char *name, const struct string_list *list)
{
	for (size_t i = 0; i < list->n; i++)
		put(out, name, list->at[i]);
}

static FILE *text_stream(char **text, size_t *len)
{
	FILE *out = open_memstream(text, len);

	if (!out)
		abort();
	fputs("mqassay conform", out);
	return out;
}

static void put_how(FILE *out)
{
	char text[40];

	put(out, "exec", conform_options.exec);
	put_list(out, "scenarios", &conform_options.scenarios);
	put_list(out, "define", &conform_options.params);
	put(out, "profile", conform_options.profile_file);
	put_list(out, "without", &conform_options.without);
	put(out, "broker", conform_options.configuration);
	put_list(out, "break", &conform_options.broken);
	if (conform_options.real)
		fputs(" --real", out);
	if (conform_options.way)
		put(out, "transport", way_names[conform_options.way]);
	put_list(out, "also", &conform_options.also);
	tls_options_print(out);
	put(out, "user", conform_options.user);
	put(out, "password-file", conform_options.password_file);
	put(out, "split", conform_options.split);
	if (conform_options.timeout_ns != 5000000000u)
		fprintf(out, " --timeout %llums", (unsigned long long)(conform_options.timeout_ns / 1000000));
	if (conform_options.timer_tolerance_ns)
		put(out, "timer-tolerance", units_print_duration(conform_options.timer_tolerance_ns, text, sizeof(text)));
	if (conform_options.slack != 1.0)
		fprintf(out, " --slack %g", conform_options.slack);
	if (conform_options.seed != 1)
		fprintf(out, " --seed %llu", (unsigned long long)conform_options.seed);
}

static const char *kept_value(const struct cli_option *o, struct region *region)
{
	char text[40];

	switch (o->kind) {
	case OPTION_STRING:   return *o->to.string;
	case OPTION_DURATION:
		if (!*o->to.number)
			return NULL;
		units_print_duration(*o->to.number, text, sizeof(text));
		break;
	case OPTION_COUNT:    units_print_count(*o->to.number, text, sizeof(text)); break;
	case OPTION_CHOICE:   return *o->to.choice ? o->choices[*o->to.choice] : NULL;
	default:              snprintf(text, sizeof(text), "%.17g", *o->to.real); break;
	}
	return region_string(region, span_text(text));
}

static void keep_option(void *context, const struct command *command, const struct cli_option *o)
{
	struct replay_file *how = context;
	const char *const *name = replay_option_names;

	(void)command;
	while (o && *name && strcmp(*name, o->name))
		name++;
	if (!o || !*name || !strcmp(o->name, "broker"))
		return;
	if (o->kind == OPTION_LIST) {
		for (size_t i = 0; i < o->to.list->n; i++)
			replay_add_option(how, o->name, o->to.list->at[i]);
	} else if (o->kind == OPTION_FLAG) {
		if (*o->to.flag)
			replay_add_option(how, o->name, NULL);
	} else {
		const char *value = kept_value(o, &how->region);

		if (value)
			replay_add_option(how, o->name, value);
	}
}

static void keep_denied(struct replay_file *how, const char *name_and_sign, const char *level)
{
	char text[PROFILE_MAX_LINE + 32];

	if (!level)
		return;
	snprintf(text, sizeof(text), "%s\"%s\"", name_and_sign, level);
	replay_add_option(how, "define", region_string(&how->region, span_text(text)));
}

/* Which options of TLS there were, but not what they said. */
static void keep_tls(struct replay_file *how)
{
	char text[64] = "";

	for (const char *const *name = replay_tls_names; *name; name++)
		if (tls_option_given(*name))
			snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%s", *text ? " " : "", *name);
	if (*text)
		how->tls = region_string(&how->region, span_text(text));
}

/* As options: a folder names no file outside it. */
static void keep_profile(struct replay_file *how)
{
	const struct profile *p = &conform_options.profile;
	char text[40];

	for (size_t i = 0; i < p->n_without; i++)
		replay_add_option(how, "without", p->without[i].capability);
	keep_denied(how, denied_publish, p->denied_publish);
	keep_denied(how, denied_subscribe, p->denied_subscribe);
	if (p->user && !conform_options.user)
		replay_add_option(how, "user", p->user);
	if (p->timer_tolerance_ns && !conform_options.timer_tolerance_ns)
		replay_add_option(how, "timer-tolerance", region_string(&how->region,
		                  span_text(units_print_duration(p->timer_tolerance_ns, text, sizeof(text)))));
}

void conform_keep(struct replay_file *how, const char *target)
{
	static const struct command *const commands[] = { &conform_command, NULL };

	*how = (struct replay_file){ .target = target, .exec = conform_options.exec, .password = conform_password_file() != NULL };
	cli_walk(commands, keep_option, how);
	keep_tls(how);
	keep_profile(how);
	if (conform_options.configuration)
		replay_add_option(how, "broker", conform_options.configuration);
}

char *conform_again(const char *target)
{
	char *text = NULL;
	size_t len;
	FILE *out = text_stream(&text, &len);

	if (target) {
		fputc(' ', out);
		shell_word(out, target);
	}
	put_how(out);
	if (fclose(out))
		abort();
	return text;
}

char *conform_command_line(int n_args, char **args)
{
	char *text = NULL;
	size_t len;
	FILE *out = text_stream(&text, &len);

	for (int i = 0; i < n_args; i++) {
		fputc(' ', out);
		shell_word(out, args[i]);
	}
	put_how(out);
	if (conform_options.mqtt != MQTT_ALL)
		put(out, "mqtt", mqtt_choices[conform_options.mqtt]);
	put_list(out, "select", &conform_options.select);
	if (conform_options.repeat != 1)
		fprintf(out, " --repeat %llu", (unsigned long long)conform_options.repeat);
	put_list(out, "known", &conform_options.known);
	if (fclose(out))
		abort();
	return text;
}
