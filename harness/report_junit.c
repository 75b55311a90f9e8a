#include "harness/report.h"

#include <stdlib.h>

#include "harness/escape.h"

/*
 * JUnit's XML as Jenkins's xunit plug-in takes it (harness/tests/junit.xsd): a suite for each target and version, so that a test
 * that is played in several has a name in each. A class is a scenario file: "MQTT 5.5/will/delay", where the
 * last dot ends what Jenkins takes for the package.
 */

static enum junit { PASSED, FAILURE, ERROR, SKIPPED } element_of(enum verdict verdict)
{
	switch (verdict) {
	case VERDICT_FAIL:
	case VERDICT_FIXED:        return FAILURE;
	case VERDICT_ERROR:
	case VERDICT_UNSTABLE:
	case VERDICT_INCONCLUSIVE: return ERROR;
	case VERDICT_SKIP:
	case VERDICT_KNOWN:        return SKIPPED;
	default:                   return PASSED;
	}
}

static void attribute(FILE *out, const char *name, const char *value)
{
	fprintf(out, " %s=\"", name);
	escape_xml(out, value);
	fputc('"', out);
}

/* Lines of our own text; what is in them is foreign. */
static void put_lines(FILE *out, char *text)
{
	for (char *end; (end = strchr(text, '\n')); text = end + 1) {
		*end = 0;
		escape_xml(out, text);
		fputc('\n', out);
	}
}

static void put_details(FILE *out, const struct run *run, const struct run_target *target, const struct outcome *o)
{
	char *text = NULL;
	size_t len;
	FILE *details = open_memstream(&text, &len);

	if (!details)
		abort();
	outcome_details(details, target, o, o->result.verdict != VERDICT_PASS || run->verbose);
	if (fclose(details))
		abort();
	put_lines(out, text);
	free(text);
}

/* ---- a test ---- */

static const char *message_of(const struct outcome *o)
{
	const struct result *r = &o->result;
	const char *why = r->because ? r->because : r->reason ? r->reason : r->received;

	if (r->verdict == VERDICT_KNOWN)
		return o->known_reason;
	return why ? why : verdict_names[r->verdict];
}

static void put_result(FILE *out, const struct run *run, const struct run_target *target, const struct outcome *o)
{
	static const char *const names[] = { [FAILURE] = "failure", [ERROR] = "error", [SKIPPED] = "skipped" };
	enum junit element = element_of(o->result.verdict);
	char rule[128];
	const char *type = outcome_rule(o, rule, sizeof(rule));

	fprintf(out, "      <%s", names[element]);
	attribute(out, "type", element == FAILURE && o->result.verdict == VERDICT_FAIL && type ? type : verdict_names[o->result.verdict]);
	attribute(out, "message", message_of(o));
	if (o->result.verdict == VERDICT_SKIP) {
		fputs("/>\n", out);
		return;
	}
	fputs(">\n", out);
	put_details(out, run, target, o);
	fprintf(out, "</%s>\n", names[element]);
}

static void put_class(FILE *out, const struct outcome *o)
{
	const char *file = o->script->scenario->file;
	size_t len = strlen(file);
	char *class = NULL;

	if (len > 4 && !strcmp(file + len - 4, ".scn"))
		len -= 4;
	if (asprintf(&class, "MQTT %s.%.*s", version_text(o->script->version), (int)len, file) < 0)
		abort();
	attribute(out, "classname", class);
	free(class);
}

static void put_name(FILE *out, const struct outcome *o)
{
	const struct scenario *s = o->script->scenario;
	size_t len = strlen(s->file);
	const char *name = strlen(o->script->id) > len ? o->script->id + len + 1 : s->title;	/* behind the '#', or there are no cases */

	fputs(" name=\"", out);
	escape_xml(out, name);
	if (o->repetition)
		fprintf(out, " (repetition %u)", o->repetition);
	fputc('"', out);
}

static void put_test(FILE *out, const struct run *run, const struct run_target *target, const struct outcome *o)
{
	bool says = o->result.verdict == VERDICT_WARN || o->result.n_notes || run->verbose;

	fputs("    <testcase", out);
	put_name(out, o);
	put_class(out, o);
	fprintf(out, " time=\"%.6f\"", (double)o->result.duration_ns / 1e9);
	if (element_of(o->result.verdict) != PASSED) {
		fputs(">\n", out);
		put_result(out, run, target, o);
	} else if (says) {
		fputs(">\n      <system-out>", out);
		fprintf(out, "%s\n", verdict_names[o->result.verdict]);
		put_details(out, run, target, o);
		fputs("</system-out>\n", out);
	} else {
		fputs("/>\n", out);
		return;
	}
	fputs("    </testcase>\n", out);
}

/* ---- suites ---- */

struct sums {
	unsigned tests, of[SKIPPED + 1];
	uint64_t time_ns;
};

static bool belongs(const struct run_target *target, const struct outcome *o, unsigned version)
{
	return o->script->version == version && outcome_counts(&target->conducted, o);
}

static struct sums sum_up(const struct run_target *target, unsigned version)
{
	struct sums sums = { 0 };

	for (size_t i = 0; i < target->conducted.n; i++) {
		const struct outcome *o = &target->conducted.outcomes[i];

		if (!belongs(target, o, version))
			continue;
		sums.tests++;
		sums.of[element_of(o->result.verdict)]++;
		sums.time_ns += o->result.duration_ns;
	}
	return sums;
}

static void property(FILE *out, const char *name, const char *value)
{
	if (!value)
		return;
	fputs("      <property", out);
	attribute(out, "name", name);
	attribute(out, "value", value);
	fputs("/>\n", out);
}

static void put_properties(FILE *out, const struct run *run, const struct run_target *target)
{
	char seed[24];

	snprintf(seed, sizeof(seed), "%llu", (unsigned long long)run->seed);
	fputs("    <properties>\n", out);
	property(out, "tool", "mqassay " MQASSAY_VERSION);
	property(out, "command", run->command);
	property(out, "target", target->source);
	property(out, "seed", seed);
	fputs("    </properties>\n", out);
}

static void put_suite(FILE *out, const struct run *run, const struct run_target *target, unsigned version)
{
	struct sums sums = sum_up(target, version);

	if (!sums.tests)
		return;
	fputs("  <testsuite name=\"", out);
	escape_xml(out, target->label);
	fprintf(out, ", MQTT %s\" tests=\"%u\" failures=\"%u\" errors=\"%u\" skipped=\"%u\" time=\"%.6f\">\n", version_text(version), sums.tests,
	        sums.of[FAILURE], sums.of[ERROR], sums.of[SKIPPED], (double)sums.time_ns / 1e9);
	put_properties(out, run, target);
	for (size_t i = 0; i < target->conducted.n; i++)
		if (belongs(target, &target->conducted.outcomes[i], version))
			put_test(out, run, target, &target->conducted.outcomes[i]);
	fputs("  </testsuite>\n", out);
}

/* What is no test's: the run could not go on, or the target died of nothing that could be found. */
static void put_trouble(FILE *out, const struct run_target *target)
{
	const struct conducted *c = &target->conducted;
	const char *const texts[] = { c->unable, c->survives }, *const names[] = { "can be tested", "survives" };
	unsigned n = (c->unable[0] != 0) + (c->survives[0] != 0);

	if (!n)
		return;
	fputs("  <testsuite name=\"", out);
	escape_xml(out, target->label);
	fprintf(out, "\" tests=\"%u\" failures=\"0\" errors=\"%u\" skipped=\"0\">\n", n, n);
	for (int i = 0; i < 2; i++) {
		if (!texts[i][0])
			continue;
		fputs("    <testcase", out);
		attribute(out, "name", names[i]);
		attribute(out, "classname", "target");
		fprintf(out, ">\n      <error type=\"%s\"", i ? "unstable" : "unable");
		attribute(out, "message", texts[i]);
		fputs("/>\n    </testcase>\n", out);
	}
	fputs("  </testsuite>\n", out);
}

void report_junit(FILE *out, const struct run *run)
{
	fputs("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"mqassay conform\">\n", out);
	for (size_t i = 0; i < run->n_targets; i++) {
		for (unsigned v = MQTT_3_1; v <= MQTT_5; v++)
			put_suite(out, run, &run->targets[i], v);
		put_trouble(out, &run->targets[i]);
	}
	fputs("</testsuites>\n", out);
}
