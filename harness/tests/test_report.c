#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "harness/cli.h"
#include "harness/console.h"
#include "harness/escape.h"
#include "harness/report.h"
#include "harness/shell.h"

/*
 * A run made by hand, with what strangers can put into it, in each format: the whole of it stands in
 * harness/tests/golden/report.FORMAT. With UPDATE_GOLDEN=1 the files are written anew: look at the diff.
 */

#define EVIL "\033[31m\342\200\256]]><script>\"'&\\\n# SKIP \377\r\342\200\250\177\302\233"

/* ---- a run ---- */

static const char *const tags[] = { "x" };
static const struct actor actors[] = { { .name = "a", .version = MQTT_5 }, { .name = "sub", .version = MQTT_5 } };
static const struct scenario plain = { .file = "5/area/plain.scn", .title = "A plain title", .tags = tags, .n_tags = 1 };
static const struct scenario cases = { .file = "common/area/cases.scn", .title = "Title with " EVIL };
static const struct script scripts[] = {
	{ .scenario = &plain, .id = "5/area/plain.scn", .version = MQTT_5, .actors = actors, .n_actors = 2 },
	{ .scenario = &cases, .id = "common/area/cases.scn#one", .case_name = "one", .version = MQTT_3_1, .actors = actors, .n_actors = 2 },
	{ .scenario = &cases, .id = "common/area/cases.scn#" EVIL, .case_name = EVIL, .version = MQTT_5, .actors = actors, .n_actors = 2 },
};

static void event(struct result *r, uint64_t at_ns, enum event_kind kind, unsigned actor, const char *bytes, size_t len)
{
	result_event(r, at_ns, kind, actor, MQTT_5, span_of(bytes, len));
}

static void talk(struct result *r)
{
	event(r, 1000, EVENT_OPENED, 0, NULL, 0);
	event(r, 2000, EVENT_SENT, 0, "\300\0", 2);
	event(r, 1234567, EVENT_RECEIVED, 0, "\320\0", 2);
	event(r, 1234567, EVENT_RECEIVED, 1, "\060\016\0\002x/\0\033[31m]]>#\377", 16);
	event(r, 2000000000, EVENT_ENDED, 0, "the end " EVIL, 8 + strlen(EVIL));
}

static struct outcome outcomes[9], few[2];
static struct run_target targets[2];
static struct run run;

static struct result *make(struct outcome *o, const struct script *script, enum verdict verdict)
{
	static struct clause_verdict clauses[16][2];
	static unsigned n;
	struct result *r = &o->result;

	*o = (struct outcome){ .script = script, .played = verdict != VERDICT_SKIP };
	result_init(r, 0);
	r->verdict = verdict;
	r->duration_ns = 1500000;
	r->clauses = clauses[n++ % 16];
	r->clauses[0] = (struct clause_verdict){ "MQTT-3.3.1-2", verdict == VERDICT_FIXED ? VERDICT_PASS : verdict };
	r->clauses[1] = (struct clause_verdict){ "MQTT-4.3.3-2", verdict == VERDICT_SKIP ? VERDICT_SKIP : VERDICT_PASS };
	r->n_clauses = script->version == MQTT_5 ? 1 : 2;
	return r;
}

static void make_failures(void)
{
	struct result *r = make(&outcomes[1], &scripts[1], VERDICT_FAIL);

	r->rule = "MQTT-3.3.1-2";
	r->at = (struct place){ 12, 3 };
	r->expected = "a <- PINGRESP";
	r->received = "a <- " EVIL;
	r->because = "because " EVIL;
	r->reason = "because";
	r->end_of_connection = "FIN " EVIL;
	result_note(r, "note " EVIL);
	talk(r);
	r = make(&outcomes[2], &scripts[2], VERDICT_UNSTABLE);
	r->rule = "MQTT-3.3.1-2";
	r->reason = "failed once (" EVIL "), then came to pass";
	talk(r);
	r->before = calloc(1, sizeof(*r->before));
	result_init(r->before, 0);
	event(r->before, 5000, EVENT_NOTE, NO_ACTOR, EVIL, strlen(EVIL));
	make(&outcomes[3], &scripts[2], VERDICT_INCONCLUSIVE)->reason = "the target is stalled " EVIL;
	make(&outcomes[4], &scripts[2], VERDICT_ERROR)->reason = "ours";
}

static int make_run(void **state)
{
	struct result *r;

	(void)state;
	make(&outcomes[0], &scripts[0], VERDICT_PASS);
	make_failures();
	r = make(&outcomes[5], &scripts[0], VERDICT_KNOWN);
	r->rule = "MQTT-3.3.1-2";
	r->because = "it does";
	outcomes[5].known_reason = "accepted " EVIL;
	outcomes[5].known_at = "k.tsv:3";
	talk(r);
	r = make(&outcomes[6], &scripts[0], VERDICT_FIXED);
	r->rule = "MQTT-3.3.1-2";
	r->reason = "k.tsv:4 lists a deviation from 5:MQTT-3.3.1-2 that no longer happens: delete the line";
	outcomes[6].known_reason = "accepted";
	outcomes[6].known_at = "k.tsv:4";
	r = make(&outcomes[7], &scripts[0], VERDICT_WARN);
	r->rule = "MQTT-3.3.1-2";
	r->reason = "undetected";
	make(&outcomes[8], &scripts[0], VERDICT_SKIP)->reason = "not offered: " EVIL;
	targets[0] = (struct run_target){
		.label = "there " EVIL, .source = "broker '" EVIL "' {port}", .started = true, .again = "mqassay conform --exec 'broker {port}'",
		.conducted = { .outcomes = outcomes, .n = 9, .restarts = 2, .survives = "the target died (" EVIL ")", .wall_ns = 2500000000u },
	};
	targets[0].conducted.offers.version[MQTT_5] = (struct offer){ .asked = true, .served = true, .evidence = "CONNACK " EVIL };
	make(&few[0], &scripts[0], VERDICT_PASS);
	make(&few[1], &scripts[2], VERDICT_INCONCLUSIVE);
	few[1].played = false;
	targets[1] = (struct run_target){
		.label = "127.0.0.1:1883", .source = "tcp://127.0.0.1:1883", .again = "mqassay conform tcp://127.0.0.1:1883",
		.conducted = { .outcomes = few, .n = 2, .unable = "127.0.0.1:1883: the target is gone " EVIL, .wall_ns = 1 },
	};
	run = (struct run){ .command = "mqassay conform " EVIL, .seed = 7, .targets = targets, .n_targets = 2 };
	return 0;
}

static int free_run(void **state)
{
	(void)state;
	for (size_t i = 0; i < 9; i++) {
		struct result *before = outcomes[i].result.before;

		result_release(&outcomes[i].result);
		free(before);
	}
	return 0;
}

/* ---- golden files ---- */

/* The report, with VERSION for the tool's version. Given. */
static char *written(const struct report_format *format)
{
	char *text = NULL, *at;
	size_t len, version = strlen(MQASSAY_VERSION);
	FILE *out = open_memstream(&text, &len);

	assert_non_null(out);
	format->write(out, &run);
	fclose(out);
	while ((at = strstr(text, MQASSAY_VERSION)) && strlen("VERSION") >= version) {
		char *whole = NULL;

		assert_true(asprintf(&whole, "%.*sVERSION%s", (int)(at - text), text, at + version) > 0);
		free(text);
		text = whole;
	}
	return text;
}

static char *read_whole(const char *path)
{
	static char text[1 << 16];
	FILE *f = fopen(path, "rb");

	if (!f)
		fail_msg("%s cannot be read: run from the top folder", path);
	text[fread(text, 1, sizeof(text) - 1, f)] = 0;
	fclose(f);
	return text;
}

static void as_golden(void **state)
{
	const struct report_format *format = *state;
	char path[80], *text = written(format);
	unsigned line = 1;

	snprintf(path, sizeof(path), "harness/tests/golden/report.%s", format->name);
	if (getenv("UPDATE_GOLDEN")) {
		FILE *f = fopen(path, "w");

		assert_non_null(f);
		fputs(text, f);
		fclose(f);
	}
	const char *golden = read_whole(path);
	for (const char *a = text, *b = golden; *a || *b; a++, b++) {
		if (*a != *b)
			fail_msg("%s:%u: is another: %.60s", path, line, a);
		line += *a == '\n';
	}
	free(text);
}

/* Every byte of every format is text: no control characters but newlines, and UTF-8. */
static void nothing_raw(void **state)
{
	const struct report_format *format = *state;
	char *text = written(format);

	run.verbose = true;
	char *verbose = written(format);
	run.verbose = false;
	for (int i = 0; i < 2; i++) {
		char *rest = i ? verbose : text;

		for (char *line; (line = strsep(&rest, "\n")); )
			if (!escape_needless(line))
				fail_msg("%s: something dangerous in: %s", format->name, console_safe(line));
	}
	free(text);
	free(verbose);
}

/* ---- exit codes ---- */

static const struct exit_row {
	const char *name;
	enum verdict verdicts[3];
	bool unable, survives;
	int code;
} exits[] = {
	{ "pass", { VERDICT_PASS, VERDICT_PASS, VERDICT_PASS }, false, false, 0 },
	{ "warn, skip and known", { VERDICT_PASS, VERDICT_WARN, VERDICT_KNOWN }, false, false, 0 },
	{ "none passed", { VERDICT_SKIP, VERDICT_WARN, VERDICT_KNOWN }, false, false, 3 },
	{ "fail", { VERDICT_PASS, VERDICT_FAIL, VERDICT_ERROR }, false, false, 1 },
	{ "fixed", { VERDICT_PASS, VERDICT_FIXED, VERDICT_PASS }, false, false, 1 },
	{ "inconclusive", { VERDICT_PASS, VERDICT_INCONCLUSIVE, VERDICT_PASS }, false, false, 3 },
	{ "unstable", { VERDICT_PASS, VERDICT_UNSTABLE, VERDICT_PASS }, false, false, 3 },
	{ "error", { VERDICT_PASS, VERDICT_ERROR, VERDICT_PASS }, false, false, 3 },
	{ "the target went", { VERDICT_PASS, VERDICT_PASS, VERDICT_PASS }, true, false, 3 },
	{ "the target went, after a fail", { VERDICT_PASS, VERDICT_FAIL, VERDICT_PASS }, true, false, 1 },
	{ "it died of nothing", { VERDICT_PASS, VERDICT_PASS, VERDICT_PASS }, false, true, 3 },
};

static void exit_codes(void **state)
{
	const struct exit_row *row = *state;
	struct outcome list[3], good = { .script = &scripts[0], .played = true, .result.verdict = VERDICT_PASS };
	struct run_target both[2] = { { .label = "a", .conducted = { .outcomes = list, .n = 3 } }, { .label = "b", .conducted = { .outcomes = &good, .n = 1 } } };
	struct run one = { .targets = both, .n_targets = 1 }, two = { .targets = both, .n_targets = 2 };

	for (int i = 0; i < 3; i++)
		list[i] = (struct outcome){ .script = &scripts[0], .played = true, .result.verdict = row->verdicts[i] };
	snprintf(both[0].conducted.unable, sizeof(both[0].conducted.unable), "%s", row->unable ? "gone" : "");
	snprintf(both[0].conducted.survives, sizeof(both[0].conducted.survives), "%s", row->survives ? "died" : "");
	assert_int_equal(run_exit_code(&one), row->code);
	assert_int_equal(run_exit_code(&two), row->code);	/* a good target makes no bad one good */
}

/* ---- clauses ---- */

static void clauses_of_a_run(void **state)
{
	size_t n;
	struct clause_total *list = clause_totals(&targets[0].conducted, &n);

	(void)state;
	assert_int_equal(n, 3);
	assert_int_equal(list[0].version, MQTT_3_1_1);		/* 3.1 is judged by them */
	assert_string_equal(list[0].clause, "MQTT-3.3.1-2");
	assert_int_equal(list[0].worst, VERDICT_FAIL);
	assert_string_equal(list[1].clause, "MQTT-4.3.3-2");
	assert_int_equal(list[1].worst, VERDICT_PASS);
	assert_int_equal(list[2].version, MQTT_5);
	assert_int_equal(list[2].worst, VERDICT_ERROR);
	assert_int_equal(list[2].n_tests, 8);
	assert_int_equal(list[2].n_worst, 1);
	free(list);
}

/* ---- escaping ---- */

static void encoders(void **state)
{
	static const struct {
		void (*write)(FILE *out, const char *text);
		const char *text, *is;
	} rows[] = {
		{ escape_text, "\\x1b \033 \342\202\254", "\\x1b \\x1b \342\202\254" },
		{ escape_json, "\\ \" \033", "\"\\\\ \\\" \\\\x1b\"" },
		{ escape_json, NULL, "null" },
		{ escape_xml, "]]><a b='c\"'>&\001", "]]&gt;&lt;a b=&#39;c&quot;&#39;&gt;&amp;\\x01" },
		{ escape_tap, "a # TODO \\# b\nok 1", "a \\# TODO \\\\\\# b\\\\nok 1" },
		{ escape_text, "\342\200\213\342\201\246\330\234\356\200\200", "\\u{200b}\\u{2066}\\u{61c}\356\200\200" },
		{ escape_text, "\360\237\230\200\355\240\200\300\257", "\360\237\230\200\\xed\\xa0\\x80\\xc0\\xaf" },
		{ shell_word, "plain/word.scn", "plain/word.scn" },
		{ shell_word, "", "''" },
		{ shell_word, "it's $HOME", "'it'\\''s $HOME'" },
		{ shell_word, "\033[1m'\\\377", "$'\\033[1m\\'\\\\\\377'" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char *text = NULL;
		size_t len;
		FILE *out = open_memstream(&text, &len);

		rows[i].write(out, rows[i].text);
		fclose(out);
		assert_string_equal(text, rows[i].is);
		free(text);
	}
}

static void file_names(void **state)
{
	static const struct {
		const char *text, *is;
	} rows[] = {
		{ "5_will_delay.scn", "5_will_delay.scn" },
		{ "5/will", "5_will-426b5de5" },
		{ "5:will", "5_will-" },
		{ "..", "_.-" },
		{ "", "-811c9dc5" },
		{ "\033[31m\n", "__31m_-" },
	};
	char name[ESCAPE_FILE_NAME], longer[400];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		escape_file_name(rows[i].text, name);
		if (rows[i].is[strlen(rows[i].is) - 1] == '-')
			name[strlen(name) - 8] = 0;	/* the hash */
		assert_string_equal(name, rows[i].is);
	}
	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = 0;
	assert_int_equal(strlen(escape_file_name(longer, name)), ESCAPE_FILE_NAME - 1);
}

#define N(a) (sizeof(a) / sizeof((a)[0]))

int main(void)
{
	static struct CMUnitTest list[2 * 8 + N(exits) + 3];
	static char names[16][40];
	size_t n = 0;

	console_set_color(COLOR_NEVER);
	for (const struct report_format *f = report_formats; f->name; f++) {
		snprintf(names[n], sizeof(names[n]), "%s as it should be", f->name);
		list[n] = (struct CMUnitTest){ .name = names[n], .test_func = as_golden, .initial_state = (void *)f };
		n++;
		snprintf(names[n], sizeof(names[n]), "%s has nothing raw", f->name);
		list[n] = (struct CMUnitTest){ .name = names[n], .test_func = nothing_raw, .initial_state = (void *)f };
		n++;
	}
	for (size_t i = 0; i < N(exits); i++)
		list[n++] = (struct CMUnitTest){ .name = exits[i].name, .test_func = exit_codes, .initial_state = (void *)&exits[i] };
	list[n++] = (struct CMUnitTest)cmocka_unit_test(clauses_of_a_run);
	list[n++] = (struct CMUnitTest)cmocka_unit_test(encoders);
	list[n++] = (struct CMUnitTest)cmocka_unit_test(file_names);
	return _cmocka_run_group_tests("report", list, n, make_run, free_run);
}
