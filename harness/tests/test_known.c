#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "harness/cli.h"
#include "harness/known.h"

#define HEAD "rule\tversion\ttest\ttarget\treason\n"
#define ROW  "5:MQTT-3.3.1-2\t5\ta.scn#one\tbroker\twhy\n"

/* ---- files ---- */

static const struct bad {
	const char *name, *text;
	unsigned line;
	const char *says;
} bad[] = {
	{ "no header", ROW, 1, "columns' names first" },
	{ "header misspelt", "rule\tversion\ttest\ttarget\twhy\n", 1, "columns' names first" },
	{ "header too long", "rule\tversion\ttest\ttarget\treason\tx\n", 1, "columns' names first" },
	{ "header cut", "rule\tversion", 1, "columns' names first" },
	{ "too few columns", HEAD "# c\n\n5:MQTT-3.3.1-2\t5\ta.scn\tbroker\n", 4, "4 columns" },
	{ "one column", HEAD "spaces in place of tabs\n", 2, "1 columns" },
	{ "too many columns", HEAD "5:MQTT-3.3.1-2\t5\ta.scn\tbroker\twhy\tmore\n", 2, "more than 5 columns" },
	{ "rule of no version", HEAD "MQTT-3.3.1-2\t5\ta.scn\tbroker\twhy\n", 2, "unknown rule 'MQTT-3.3.1-2'" },
	{ "no such rule", HEAD "5:MQTT-9.9.9-9\t5\ta.scn\tbroker\twhy\n", 2, "unknown rule '5:MQTT-9.9.9-9'" },
	{ "no such version", HEAD "5:MQTT-3.3.1-2\t4\ta.scn\tbroker\twhy\n", 2, "unknown version '4'" },
	{ "empty test", HEAD "5:MQTT-3.3.1-2\t5\t\tbroker\twhy\n", 2, "no test" },
	{ "empty target", HEAD "5:MQTT-3.3.1-2\t5\ta.scn\t\twhy\n", 2, "no target" },
	{ "empty reason", HEAD "5:MQTT-3.3.1-2\t5\ta.scn\tbroker\t\n", 2, "no reason" },
	{ "blank reason", HEAD "5:MQTT-3.3.1-2\t5\ta.scn\tbroker\t  \n", 2, "no reason" },
	{ "stars without end", HEAD "5:MQTT-3.3.1-2\t5\t*a*a*a*a*a*a*a*a*a\tbroker\twhy\n", 2, "stars" },
	{ "ESC", HEAD "5:MQTT-3.3.1-2\t5\ta.scn\tbroker\t\033[31m\n", 2, "control character" },
	{ "shown escaped", HEAD "5:\302\233\t5\ta.scn\tbroker\twhy\n", 2, "unknown rule '5:\\u{9b}'" },
};

static void refused(void **state)
{
	const struct bad *row = *state;
	struct known known = { 0 };
	struct fault fault = { 0 };

	assert_false(known_parse(&known, "k.tsv", span_text(row->text), &fault));
	assert_int_equal(fault.line, row->line);
	if (!strstr(fault.text, row->says))
		fail_msg("'%s' does not say '%s'", fault.text, row->says);
	known_release(&known);
}

static void limits(void **state)
{
	struct known known = { 0 };
	struct fault fault;
	size_t size = KNOWN_MAX_FILE + 2;
	char *text = malloc(size);

	(void)state;
	memset(text, 'x', size);
	assert_false(known_parse(&known, "k", span_of(text, size), &fault));
	assert_non_null(strstr(fault.text, "1 MB"));
	assert_false(known_parse(&known, "k", span_of(text, KNOWN_MAX_LINE + 1), &fault));
	assert_non_null(strstr(fault.text, "4000 bytes"));
	size_t len = 0;
	memcpy(text, HEAD, sizeof(HEAD) - 1);
	len = sizeof(HEAD) - 1;
	for (int i = 0; i <= KNOWN_MAX_ROWS; i++, len += strlen("-\t*\ta\t*\tr\n"))
		memcpy(text + len, "-\t*\ta\t*\tr\n", strlen("-\t*\ta\t*\tr\n"));
	assert_false(known_parse(&known, "k", span_of(text, len), &fault));
	assert_int_equal(fault.line, KNOWN_MAX_ROWS + 2);
	assert_int_equal(known.n_rows, KNOWN_MAX_ROWS);
	known_release(&known);
	free(text);
}

static void read_whole(void **state)
{
	static const char text[] = "# first\n\n" HEAD "5:MQTT-3.3.1-2\t*\ta.scn\t*\tr\303\244son\r\n# last\n-\t3.1\tb*.scn\tthere\tx y";
	struct known known = { 0 };
	struct fault fault;

	(void)state;
	assert_true(known_parse(&known, "dir/k.tsv", span_text(text), &fault));
	assert_int_equal(known.n_rows, 2);
	assert_int_equal(known.n_lines, 5);
	assert_string_equal(known.rows[0].reason, "r\303\244son");
	assert_string_equal(known.rows[0].at, "dir/k.tsv:4");
	assert_int_equal(known.rows[0].versions, 1u << MQTT_3_1 | 1u << MQTT_3_1_1 | 1u << MQTT_5);
	assert_false(known.rows[0].glob);
	assert_string_equal(known.rows[1].at, "dir/k.tsv:6");
	assert_int_equal(known.rows[1].versions, 1u << MQTT_3_1);
	assert_true(known.rows[1].glob);
	known_release(&known);
}

/* ---- verdicts ---- */

/* A suite of two files: a.scn#one, a.scn#two and b.scn, all of 5; the columns are what they come to. */
static const struct apply {
	const char *name, *rows;
	const char *came[3];		/* verdict, or "fail RULE" */
	const char *comes[3];
	bool fixed;			/* the first row */
	int code;
} applies[] = {
	{ "as listed", "5:MQTT-3.3.1-2\t5\ta.scn#one\tbroker\twhy\n", { "fail MQTT-3.3.1-2", "pass", "pass" }, { "known", "pass", "pass" }, false, 0 },
	{ "by file", "5:MQTT-3.3.1-2\t5\ta.scn\t*\twhy\n", { "fail MQTT-3.3.1-2", "fail MQTT-3.3.1-2", "pass" }, { "known", "known", "pass" }, false, 0 },
	{ "by glob", "5:MQTT-3.3.1-2\t*\t?.scn*\t*\twhy\n", { "fail MQTT-3.3.1-2", "fail MQTT-3.3.1-2", "pass" }, { "known", "known", "pass" }, false, 0 },
	{ "some of a glob", "5:MQTT-3.3.1-2\t5\ta.scn\t*\twhy\n", { "fail MQTT-3.3.1-2", "pass", "pass" }, { "known", "pass", "pass" }, false, 0 },
	{ "another test", "5:MQTT-3.3.1-2\t5\ta.scn#one\t*\twhy\n", { "fail MQTT-3.3.1-2", "pass", "fail MQTT-3.3.1-2" }, { "known", "pass", "fail" }, false, 1 },
	{ "another rule", "5:MQTT-3.3.1-2\t5\ta.scn#one\t*\twhy\n", { "fail MQTT-3.3.1-3", "pass", "pass" }, { "fail", "pass", "pass" }, true, 1 },
	{ "another version", "5:MQTT-3.3.1-2\t3.1.1\ta.scn#one\t*\twhy\n", { "fail MQTT-3.3.1-2", "pass", "pass" }, { "fail", "pass", "pass" }, false, 1 },
	{ "another target", "5:MQTT-3.3.1-2\t5\ta.scn\tother\twhy\n", { "fail MQTT-3.3.1-2", "pass", "pass" }, { "fail", "pass", "pass" }, false, 1 },
	{ "another target says nothing", "5:MQTT-3.3.1-2\t5\ta.scn\tother\twhy\n", { "pass", "pass", "pass" }, { "pass", "pass", "pass" }, false, 0 },
	{ "fixed", "5:MQTT-3.3.1-2\t5\ta.scn#one\t*\twhy\n", { "pass", "pass", "pass" }, { "fixed", "pass", "pass" }, true, 1 },
	{ "fixed, a warn is left", "5:MQTT-3.3.1-2\t5\ta.scn#one\t*\twhy\n", { "warn", "pass", "pass" }, { "fixed", "pass", "pass" }, true, 1 },
	{ "all of a glob fixed", "5:MQTT-3.3.1-2\t5\ta*\t*\twhy\n", { "pass", "pass", "pass" }, { "fixed", "fixed", "pass" }, true, 1 },
	{ "a skip says nothing", "5:MQTT-3.3.1-2\t5\ta.scn#one\t*\twhy\n", { "skip", "pass", "pass" }, { "skip", "pass", "pass" }, false, 0 },
	{ "inconclusive says nothing", "5:MQTT-3.3.1-2\t5\ta.scn#one\t*\twhy\n", { "inconclusive", "pass", "pass" }, { "inconclusive", "pass", "pass" }, false, 3 },
	{ "unstable by the rule", "5:MQTT-3.3.1-2\t5\ta.scn#one\t*\twhy\n", { "unstable MQTT-3.3.1-2", "pass", "pass" }, { "known", "pass", "pass" }, false, 0 },
	{ "accepted as inconclusive", "-\t5\ta.scn#one\t*\twhy\n", { "inconclusive", "pass", "pass" }, { "known", "pass", "pass" }, false, 0 },
	{ "accepted as unstable", "-\t5\ta.scn#one\t*\twhy\n", { "unstable MQTT-3.3.1-2", "pass", "pass" }, { "known", "pass", "pass" }, false, 0 },
	{ "but not as a fail", "-\t5\ta.scn#one\t*\twhy\n", { "fail MQTT-3.3.1-2", "pass", "pass" }, { "fail", "pass", "pass" }, false, 1 },
	{ "and a pass is no news", "-\t5\ta.scn#one\t*\twhy\n", { "pass", "pass", "pass" }, { "pass", "pass", "pass" }, false, 0 },
	{ "known by the other row", "5:MQTT-3.3.1-3\t5\ta.scn#one\t*\twhy\n5:MQTT-3.3.1-2\t5\ta.scn#one\t*\twhy\n",
	  { "fail MQTT-3.3.1-2", "pass", "pass" }, { "known", "pass", "pass" }, false, 0 },
	{ "none passes", "5:MQTT-3.3.1-2\t5\t*\t*\twhy\n", { "fail MQTT-3.3.1-2", "skip", "skip" }, { "known", "skip", "skip" }, false, 3 },
	{ "two rows fixed", "5:MQTT-3.3.1-2\t5\ta.scn#one\t*\twhy\n5:MQTT-3.3.1-3\t5\ta.scn#one\t*\twhy\n", { "pass", "pass", "pass" },
	  { "fixed", "pass", "pass" }, true, 1 },
};

static const struct scenario files[] = { { .file = "a.scn", .title = "A" }, { .file = "b.scn", .title = "B" } };
static const struct script tests[] = {
	{ .scenario = &files[0], .id = "a.scn#one", .version = MQTT_5 },
	{ .scenario = &files[0], .id = "a.scn#two", .version = MQTT_5 },
	{ .scenario = &files[1], .id = "b.scn", .version = MQTT_5 },
};

static void come_to(struct outcome *o, const struct script *script, const char *text)
{
	size_t len = strcspn(text, " ");

	o->script = script;
	result_init(&o->result, 0);
	for (unsigned v = 0; v < N_VERDICTS; v++)
		if (len == strlen(verdict_names[v]) && !strncmp(verdict_names[v], text, len))
			o->result.verdict = v;
	o->result.rule = text[len] ? text + len + 1 : NULL;
	o->played = o->result.verdict != VERDICT_SKIP;
}

static void applied(void **state)
{
	const struct apply *row = *state;
	struct outcome outcomes[3] = { 0 };
	struct run_target target = { .label = "broker", .conducted = { .outcomes = outcomes, .n = 3 } };
	struct run run = { .targets = &target, .n_targets = 1 };
	struct known known = { 0 };
	struct fault fault;
	char text[1000];

	snprintf(text, sizeof(text), HEAD "%s", row->rows);
	assert_true(known_parse(&known, "k.tsv", span_text(text), &fault));
	for (int i = 0; i < 3; i++)
		come_to(&outcomes[i], &tests[i], row->came[i]);
	bool held[3];
	for (size_t i = 0; i < 3; i++)
		held[i] = known_holds(&known, &target.conducted.outcomes[i], "broker");
	known_apply(&known, &target.conducted, "broker");
	for (size_t i = 0; i < 3; i++)	/* what the progress line said */
		assert_int_equal(held[i], target.conducted.outcomes[i].result.verdict == VERDICT_KNOWN);
	for (int i = 0; i < 3; i++) {
		enum verdict v = outcomes[i].result.verdict;

		assert_string_equal(verdict_names[v], row->comes[i]);
		if (v == VERDICT_KNOWN || v == VERDICT_FIXED)
			assert_string_equal(outcomes[i].known_reason, "why");
		if (v == VERDICT_FIXED)
			assert_non_null(strstr(outcomes[i].result.reason, "k.tsv:2 lists"));
	}
	assert_int_equal(known.rows[0].fixed, row->fixed);
	assert_int_equal(run_exit_code(&run), row->code);
	for (int i = 0; i < 3; i++)
		result_release(&outcomes[i].result);
	known_release(&known);
}

/* ---- writing ---- */

static void written_anew(void **state)
{
	static const char before[] = "# head\n" HEAD "5:MQTT-3.3.1-2\t5\ta.scn#one\t*\tmine\n# between\n5:MQTT-3.3.1-3\t5\ta.scn#two\t*\tgone\n";
	static const char after[] = "# head\n" HEAD "5:MQTT-3.3.1-2\t5\ta.scn#one\t*\tmine\n# between\n"
	                            "5:MQTT-3.3.1-9\t5\tb.scn\tbroker\tqos: \\x1b \\u{202e}\n";
	struct outcome outcomes[3] = { 0 };
	struct run_target target = { .label = "broker", .conducted = { .outcomes = outcomes, .n = 3 } };
	struct run run = { .targets = &target, .n_targets = 1 };
	struct known known = { 0 };
	struct fault fault;
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	(void)state;
	assert_true(known_parse(&known, "k.tsv", span_text(before), &fault));
	come_to(&outcomes[0], &tests[0], "fail MQTT-3.3.1-2");
	come_to(&outcomes[1], &tests[1], "pass");
	come_to(&outcomes[2], &tests[2], "fail MQTT-3.3.1-9");
	outcomes[2].result.because = "qos: \033 \342\200\256";
	known_apply(&known, &target.conducted, "broker");
	known_write(out, &known, &run);
	fclose(out);
	assert_string_equal(text, after);
	known_release(&known);
	assert_true(known_parse(&known, "k.tsv", span_of(text, len), &fault));	/* what is written can be read */
	assert_int_equal(known.n_rows, 2);
	for (int i = 0; i < 3; i++)
		result_release(&outcomes[i].result);
	known_release(&known);
	free(text);
}

/* A name that no row can hold is written as a glob that fits it. */
static void written_glob(void **state)
{
	static const struct scenario file = { .file = "a\033[31m*\t\342\200\256\303\244\377\\.scn", .title = "T" };
	static const struct script script = { .scenario = &file, .id = "a\033[31m*\t\342\200\256\303\244\377\\.scn", .version = MQTT_5 };
	struct outcome outcome = { 0 };
	struct run_target target = { .label = "evil\n", .conducted = { .outcomes = &outcome, .n = 1 } };
	struct run run = { .targets = &target, .n_targets = 1 };
	struct known known = { 0 };
	struct fault fault;
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	(void)state;
	come_to(&outcome, &script, "fail MQTT-3.3.1-2");
	known_write(out, &known, &run);
	fclose(out);
	assert_string_equal(text, HEAD "5:MQTT-3.3.1-2\t5\ta??31m?????\303\244??.scn\t*\tfailed\n");
	assert_true(known_parse(&known, "k.tsv", span_of(text, len), &fault));
	known_apply(&known, &target.conducted, target.label);
	assert_int_equal(outcome.result.verdict, VERDICT_KNOWN);
	result_release(&outcome.result);
	known_release(&known);
	free(text);
}

static void strays(void **state)
{
	struct script scripts[3] = { tests[0], tests[1], tests[2] };
	struct scenario a = files[0], b = files[1], *all[] = { &a, &b };
	struct suite suite = { .scenarios = all, .n_scenarios = 1 }, both = { .scenarios = all, .n_scenarios = 2 };
	struct known known = { 0 };
	struct fault fault;

	(void)state;
	a.scripts = scripts;
	a.n_scripts = 2;
	b.scripts = scripts + 2;
	b.n_scripts = 1;
	assert_true(known_parse(&known, "k.tsv", span_text(HEAD ROW "-\t*\tb.scn\t*\tr\n"), &fault));
	assert_null(known_stray(&known, &both, NULL));
	assert_string_equal(known_stray(&known, &suite, NULL)->at, "k.tsv:3");
	assert_null(known_stray(&known, &suite, &both));
	known_release(&known);
	assert_true(known_parse(&known, "k.tsv", span_text(HEAD "-\t3.1.1\tb.scn\t*\tr\n"), &fault));
	assert_string_equal(known_stray(&known, &both, NULL)->at, "k.tsv:2");	/* exists in 5 only */
	known_release(&known);
}

#define N(a) (sizeof(a) / sizeof((a)[0]))

int main(void)
{
	static struct CMUnitTest list[N(bad) + N(applies) + 5];
	size_t n = 0;

	for (size_t i = 0; i < N(bad); i++)
		list[n++] = (struct CMUnitTest){ .name = bad[i].name, .test_func = refused, .initial_state = (void *)&bad[i] };
	for (size_t i = 0; i < N(applies); i++)
		list[n++] = (struct CMUnitTest){ .name = applies[i].name, .test_func = applied, .initial_state = (void *)&applies[i] };
	list[n++] = (struct CMUnitTest)cmocka_unit_test(limits);
	list[n++] = (struct CMUnitTest)cmocka_unit_test(read_whole);
	list[n++] = (struct CMUnitTest)cmocka_unit_test(written_anew);
	list[n++] = (struct CMUnitTest)cmocka_unit_test(written_glob);
	list[n++] = (struct CMUnitTest)cmocka_unit_test(strays);
	return _cmocka_run_group_tests("known", list, n, NULL, NULL);
}
