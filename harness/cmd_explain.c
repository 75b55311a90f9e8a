#include "harness/cmd_explain.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/cli.h"
#include "harness/console.h"
#include "harness/embedded.h"
#include "harness/script.h"

/* mqassay explain: what a rule asks for and which tests judge it. */

extern const struct command explain_command;

bool (*explain_fault_at)(size_t i, struct known_fault *fault);

static const struct {
	const char *prefix;
	uint8_t version;
} versions[] = { { "3.1.1:", MQTT_3_1_1 }, { "3.1:", MQTT_3_1 }, { "5:", MQTT_5 } };

static const char *version_prefix(uint8_t version)
{
	for (size_t i = 0; i < sizeof versions / sizeof *versions; i++)
		if (versions[i].version == version)
			return versions[i].prefix;
	return "";
}

/* "5:ID" in version and id; version 0 when none is named. */
static struct span split_rule(const char *rule, uint8_t *version)
{
	*version = 0;
	for (size_t i = 0; i < sizeof versions / sizeof *versions; i++)
		if (!strncmp(rule, versions[i].prefix, strlen(versions[i].prefix))) {
			*version = versions[i].version;
			return span_text(rule + strlen(versions[i].prefix));
		}
	return span_text(rule);
}

static int unknown(const char *rule, struct span id, uint8_t version)
{
	const struct clause *clause;
	const char **names, *near;
	char text[64] = "", hint[96] = "";
	size_t n = 0;

	while (clause_at(n))
		n++;
	names = calloc(n + 1, sizeof *names);
	if (!names)
		abort();
	n = 0;
	for (size_t i = 0; (clause = clause_at(i)); i++)
		if (!version || clause->version == version || (version == MQTT_3_1 && clause->version == MQTT_3_1_1))
			names[n++] = clause->id;
	snprintf(text, sizeof text, "%.*s", (int)id.len, (const char *)id.at);
	near = cli_nearest(text, names);
	if (near)
		snprintf(hint, sizeof hint, "; did you mean %s?", near);
	free(names);
	return cli_usage(&explain_command, "unknown rule %s%s", console_safe(rule), hint);
}

static int ambiguous(const char *rule)
{
	return cli_usage(&explain_command, "%s is a rule of several versions; write 3.1.1:%s or 5:%s", console_safe(rule),
	                 console_safe(rule), console_safe(rule));
}

/* The one clause that is meant, NULL after saying why there is none. */
static const struct clause *find_rule(const char *rule)
{
	const struct clause *clause, *found = NULL;
	uint8_t version;
	struct span id = split_rule(rule, &version);

	if (version) {
		found = clause_find((enum version)version, id);
		if (!found)
			unknown(rule, id, version);
		return found;
	}
	for (size_t i = 0; (clause = clause_at(i)); i++)
		if (span_is(id, clause->id)) {
			if (found) {
				ambiguous(rule);
				return NULL;
			}
			found = clause;
		}
	if (!found)
		unknown(rule, id, 0);
	return found;
}

static bool lists(const struct script *script, const char *const *ids, uint32_t n, const struct clause *clause)
{
	if (script->version != clause->version && !(script->version == MQTT_3_1 && clause->version == MQTT_3_1_1))
		return false;
	for (uint32_t i = 0; i < n; i++)
		if (!strcmp(ids[i], clause->id))
			return true;
	return false;
}

/* How many of a file's tests judge it and how many watch it. */
static void count_tests(const struct scenario *scenario, const struct clause *clause, uint32_t *judge, uint32_t *watch)
{
	for (uint32_t i = 0; i < scenario->n_scripts; i++) {
		const struct script *script = &scenario->scripts[i];

		*judge += lists(script, script->cites, script->n_cites, clause);
		*watch += lists(script, script->watches, script->n_watches, clause);
	}
}

static void print_tests(const char *verb, const char *file, const char *title, uint32_t n)
{
	if (n)
		console_print(stdout, "%s  %s (%u test%s): %s\n", verb, file, n, n == 1 ? "" : "s", console_safe(title));
}

static uint32_t print_built_in(const struct clause *clause)
{
	static const char folder[] = "scenarios/";
	static struct diagnostics ignored;
	uint32_t n = 0;

	for (const struct embedded *e = embedded; e->name; e++) {
		size_t len = strlen(e->name);
		struct scenario *scenario;
		uint32_t judge = 0, watch = 0;

		if (len < 4 || strcmp(e->name + len - 4, ".scn") || strncmp(e->name, folder, strlen(folder)))
			continue;
		scenario = scenario_parse(e->name + strlen(folder), span_of(e->start, (size_t)(e->end - e->start)), NULL, 0, &ignored);
		if (!scenario)
			continue;
		count_tests(scenario, clause, &judge, &watch);
		print_tests("judged by ", scenario->file, scenario->title, judge);
		print_tests("watched by", scenario->file, scenario->title, watch);
		n += judge + watch;
		scenario_free(scenario);
	}
	return n;
}

static void print_faults(const struct clause *clause)
{
	struct known_fault fault;
	char rule[96];

	snprintf(rule, sizeof rule, "%s%s", version_prefix(clause->version), clause->id);
	for (size_t i = 0; explain_fault_at && explain_fault_at(i, &fault); i++)
		if (!strcmp(fault.rule, rule))
			console_print(stdout, "broken by   --break %s%s%s: %s\n", rule, *fault.name ? "/" : "", fault.name, fault.breaks);
}

static int explain(int n_args, char **args)
{
	const struct clause *clause = find_rule(args[0]);

	(void)n_args;
	if (!clause)
		return EXIT_USAGE;
	console_print(stdout, "%s%s%s%s\n", console_style(stdout, STYLE_BOLD), version_prefix(clause->version), clause->id,
	              console_style(stdout, STYLE_PLAIN));
	console_print(stdout, "%s.\n", clause->summary);
	console_print(stdout, "applies to  %s\n", !strcmp(clause->applies, "both") ? "client and server" : clause->applies);
	console_print(stdout, "observable  %s\n", clause->observable);
	console_print(stdout, "undetected  %s\n", clause->undetected_fails ? "fail" : "warn");
	if (!print_built_in(clause))
		console_print(stdout, "judged by   no built-in test%s%s\n", clause->untested ? ": " : "", clause->untested ? clause->untested : "");
	print_faults(clause);
	return EXIT_PASS;
}

const struct command explain_command = {
	.name = "explain",
	.arguments = "RULE",
	.summary = "what a rule asks for and which tests judge it",
	.details = "RULE is a clause of a version, 5:MQTT-3.3.1-2, or an unnumbered rule, 5:property-repeated. The version may be\n"
	           "left out where one only has it. `undetected` is the verdict when a broker does not notice that a client broke it.",
	.example = "mqassay explain 5:MQTT-3.3.1-2",
	.min_args = 1,
	.max_args = 1,
	.run = explain,
};
