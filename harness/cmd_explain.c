#include "harness/cmd_explain.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/cli.h"
#include "harness/console.h"
#include "harness/coverage.h"
#include "harness/verdict.h"

/* mqassay explain: what a rule asks for and which tests judge it. */

extern const struct command explain_command;

static const struct local_broker *local;

void explain_use(const struct local_broker *broker)
{
	local = broker;
}

static struct {
	bool list, verbose;
} conf;

static const struct cli_option options[] = {
	OPT_FLAG(0, "list", conf.list, "list every rule, with its summary"),
	OPT_FLAG('v', "verbose", conf.verbose, "every file that judges the rule"),
	OPT_END
};

static const struct {
	const char *prefix;
	uint8_t version;
} versions[] = { { "3.1.1:", MQTT_3_1_1 }, { "3.1:", MQTT_3_1 }, { "5:", MQTT_5 } };

/* "5:ID" in version and id; version 0 when none is named. Of a fault, "5:ID/NAME", the rule that it breaks. */
static struct span split_rule(const char *rule, uint8_t *version)
{
	size_t len = strcspn(rule, "/");

	*version = 0;
	for (size_t i = 0; i < sizeof versions / sizeof *versions; i++)
		if (!strncmp(rule, versions[i].prefix, strlen(versions[i].prefix))) {
			*version = versions[i].version;
			return span_of(rule + strlen(versions[i].prefix), len - strlen(versions[i].prefix));
		}
	return span_of(rule, len);
}

static int unknown(const char *rule, struct span id, uint8_t version)
{
	const struct clause *clause;
	const char **names, *near;
	char text[64] = "", hint[96] = "";
	size_t n = 0;

	while (clause_at(n))
		n++;
	names = calloc(n + N_VERDICTS + 1, sizeof *names);
	if (!names)
		abort();
	n = 0;
	for (size_t i = 0; (clause = clause_at(i)); i++)
		if (!version || clause->version == version || (version == MQTT_3_1 && clause->version == MQTT_3_1_1))
			names[n++] = clause->id;
	for (unsigned v = 0; !version && v < N_VERDICTS; v++)
		names[n++] = verdict_names[v];
	snprintf(text, sizeof text, "%.*s", (int)id.len, (const char *)id.at);
	near = cli_nearest(text, names);
	if (near)
		snprintf(hint, sizeof hint, "; did you mean %.*s%s?", (int)((const char *)id.at - rule), rule, near);
	free(names);
	return cli_usage(&explain_command, "unknown rule %s%s", console_safe(rule), near ? hint : "; --list lists them all");
}

/* ---- one rule ---- */

static const char *undetected_text(const struct clause *clause)
{
	if (!strcmp(clause->observable, "no"))
		return NULL;
	return clause->undetected_fails ? "fail: a broker that does not notice an offence of the client breaks the rule"
	                                : "warn: a broker that does not notice an offence of the client may still conform";
}

static const char *observable_text(const struct clause *clause)
{
	return !strcmp(clause->observable, "yes") ? "a client sees whether a broker keeps it"
	     : !strcmp(clause->observable, "partial") ? "a client sees some ways to break it, not all"
	     : "no client can see whether a broker keeps it";
}

/* "3.3.1": where a numbered rule stands in its standard. */
static void print_section(const struct clause *clause)
{
	const char *version = clause->version == MQTT_5 ? "5.0" : clause->version == MQTT_3_1_1 ? "3.1.1" : "3.1";
	const char *number = clause->id + strlen("MQTT-");

	if (strncmp(clause->id, "MQTT-", strlen("MQTT-")))
		console_print(stdout, "stands in   MQTT %s; the standard gives it no number\n", version);
	else
		console_print(stdout, "stands in   MQTT %s, section %.*s, as [%s]\n", version, (int)strcspn(number, "-"), number, clause->id);
}

static void print_rule(const struct coverage *coverage, const struct clause *clause)
{
	const struct coverage_row *row = coverage_of(coverage, clause);
	const char *undetected = undetected_text(clause);
	enum { SHOWN = 12 };
	char rule[160];

	clause_rule(clause, rule, sizeof rule);
	console_print(stdout, "%s%s%s\n%s.\n", console_style(stdout, STYLE_BOLD), rule, console_style(stdout, STYLE_PLAIN), clause->summary);
	print_section(clause);
	console_print(stdout, "applies to  %s\n", !strcmp(clause->applies, "both") ? "client and server" : clause->applies);
	console_print(stdout, "observable  %s: %s\n", clause->observable, observable_text(clause));
	if (undetected)
		console_print(stdout, "undetected  %s\n", undetected);
	coverage_files(stdout, "", "judged by", &row->cited, conf.verbose ? 0 : SHOWN);
	coverage_files(stdout, "", "watched by", &row->watched, conf.verbose ? 0 : SHOWN);
	if (!row->cited.n && !row->watched.n)
		console_print(stdout, "judged by   no built-in test%s%s\n", clause->untested ? ": " : "", clause->untested ? clause->untested : "");
	for (size_t i = 0; i < row->n_faults; i++)
		console_print(stdout, "broken by   --break %s%s%s: %s\n", rule, *row->faults[i].name ? "/" : "", row->faults[i].name, row->faults[i].breaks);
	if (row->cited.n || row->watched.n)
		console_print(stdout, "try         mqassay conform --select %s%s%s%s\n", rule, row->n_faults ? " --break " : "",
		              row->n_faults ? rule : "", row->n_faults ? "        # without --break: against a TARGET" : "");
}

/* ---- the command ---- */

static int list_rules(void)
{
	const struct clause *clause;
	char rule[160];

	for (size_t i = 0; (clause = clause_at(i)); i++)
		console_print(stdout, "%-28s %s\n", clause_rule(clause, rule, sizeof rule), clause->summary);
	return EXIT_PASS;
}

static bool is_verdict(const char *word)
{
	for (unsigned v = 0; v < N_VERDICTS; v++)
		if (!strcmp(word, verdict_names[v])) {
			console_print(stdout, "%s: %s.\n", verdict_names[v], verdict_meanings[v]);
			return true;
		}
	return false;
}

/* Where no version is named, in all that have it. 0: there is none. */
static size_t print_rules(const char *rule)
{
	const struct clause *clause;
	struct suite suite = { 0 };
	struct coverage coverage;
	uint8_t version;
	struct span id = split_rule(rule, &version);
	const struct clause *only = version ? clause_find((enum version)version, id) : NULL;
	size_t n = 0;

	if (suite_load(&suite, NULL, 0, NULL, 0))
		abort();		/* what was compiled in */
	suite_choose(&suite, 1u << MQTT_3_1 | 1u << MQTT_3_1_1 | 1u << MQTT_5, NULL, 0);
	coverage_make(&coverage, &suite, local);
	for (size_t i = 0; (clause = clause_at(i)); i++) {
		if (version ? clause != only : !span_is(id, clause->id))
			continue;
		if (n++)
			console_print(stdout, "\n");
		print_rule(&coverage, clause);
	}
	if (!n)
		unknown(rule, id, version);
	coverage_release(&coverage);
	suite_release(&suite);
	return n;
}

static int explain(int n_args, char **args)
{
	if (conf.list && n_args)
		return cli_usage(&explain_command, "--list lists every rule; name none");
	if (conf.list)
		return list_rules();
	if (!n_args || !*args[0])
		return cli_usage(&explain_command, "expected a RULE; --list lists them all");
	if (is_verdict(args[0]) || print_rules(args[0]))
		return EXIT_PASS;
	return EXIT_USAGE;
}

const struct command explain_command = {
	.name = "explain",
	.arguments = "RULE",
	.summary = "say what a rule asks for and which tests judge it",
	.details = "RULE is a clause of a version, 5:MQTT-3.3.1-2, an unnumbered rule, 5:property-repeated, or a fault, 5:MQTT-3.3.1-2/late.\n"
	           "Without a version it is explained in each that has it: many numbers mean different things in 3.1.1 and 5.\n"
	           "The name of a verdict is explained as well.",
	.example = "mqassay explain 5:MQTT-3.3.1-2\nmqassay explain --list\nmqassay explain inconclusive",
	.options = options,
	.max_args = 1,
	.run = explain,
};
