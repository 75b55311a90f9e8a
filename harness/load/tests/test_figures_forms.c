#include "harness/load/tests/sample_result.h"

/* ---- forms ---- */

static const char *write_golden;	/* a folder: what is expected is written there, for whoever changes the format */

static void assert_golden(const char *name, char *text)
{
	static char expected[1 << 20];
	char path[200];

	snprintf(path, sizeof(path), "%s/%s", write_golden ? write_golden : "harness/load/tests/golden", name);
	FILE *file = fopen(path, write_golden ? "w" : "r");
	assert_non_null(file);
	if (write_golden)
		fputs(text, file);
	else
		expected[fread(expected, 1, sizeof(expected) - 1, file)] = 0;
	fclose(file);
	if (!write_golden)
		assert_string_equal(text, expected);
	free(text);
}

/* Zero bytes of *text that no line of a terminal may have, and none longer than 100 columns. */
static void assert_fits_a_terminal(const char *text)
{
	unsigned column = 0;

	for (const char *at = text; *at; at++) {
		if (*at == '\n') {
			column = 0;
			continue;
		}
		if ((uint8_t)*at < ' ' || *at == 0x7f || ++column > 100)
			fail_msg("at '%.40s'", at);
	}
}

static void golden_text(void **state)
{
	struct figures *f = sample();
	char *text = written(figures_print, f);

	(void)state;
	assert_fits_a_terminal(text);
	assert_golden("figures.text", text);
	figures_free(f);
}

static void golden_json(void **state)
{
	struct figures *f = sample();

	(void)state;
	assert_golden("figures.json", as_json(f));
	figures_free(f);
}

static void golden_percentiles(void **state)
{
	struct figures *f = sample();

	(void)state;
	assert_golden("figures.hgrm", written(figures_percentiles, f));
	figures_free(f);
}

static const struct figures *other;

static void write_comparison(FILE *out, const struct figures *f)
{
	figures_compare(out, f, other);
}

static void golden_comparison(void **state)
{
	struct figures *a = sample(), *b = sample();

	(void)state;
	b->target = "broker.example:1883";
	b->cpu.tool_ns *= 2;
	count(&b->roles[0], 2, COUNT_sent, 1000);
	timed(&b->roles[1], 2, TIME_DELIVERY, 3 * MS, 2 * MS, 1000);
	count(add_role(b, "other", 5), 2, COUNT_sent, 12);
	other = b;
	char *text = written(write_comparison, a);
	assert_fits_a_terminal(text);
	assert_golden("figures.compared", text);
	figures_free(a);
	figures_free(b);
}

static void foreign_text_is_escaped(void **state)
{
	static const char evil[] = "\x1b[2J\r\nok all is well \xe2\x80\xae\xff aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	                           "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";
	struct figures *f = sample();

	(void)state;
	f->title = f->target = f->began = f->mqtt = f->why = f->limit = f->cpu.broker = f->drops.topic = evil;
	f->reasons[0].text = f->reasons[0].role = f->losses[0].evidence = f->losses[0].publisher = f->meetings[1].name = evil;
	f->roles[1].name = "\x1b[31mcollector";
	f->expectations[0].text = evil;
	figures_note(f, evil);
	other = f;
	char *text = written(figures_print, f), *compared = written(write_comparison, f), *json = as_json(f), *log = written(figures_hdr_log, f);
	assert_fits_a_terminal(text);
	for (const char *at = compared; *at; at++)
		assert_true(*at == '\n' || (uint8_t)*at >= ' ');
	for (const char *at = json; *at; at++)
		assert_true(*at == '\n' || (uint8_t)*at >= ' ');
	assert_null(strchr(log, '\x1b'));
	assert_non_null(strstr(log, "Tag=__31mcollector.delivery,"));
	struct figures *read = reread(f);
	figures_free(read);
	free(text);
	free(compared);
	free(json);
	free(log);
	figures_free(f);
}

/* ---- JSON ---- */

static void json_holds_everything(void **state)
{
	struct figures *f = sample(), *read = reread(f), *empty = figures_new(), *read_empty = reread(empty);

	(void)state;
	assert_same_result(f, read);
	assert_same_result(empty, read_empty);
	char *text = written(figures_print, f), *again = written(figures_print, read);
	assert_string_equal(text, again);
	free(text);
	free(again);
	assert_int_equal(read->roles[1].seconds[3].tally.timings[TIME_DELIVERY].max, 120 * MS + 89 * 1000);
	assert_int_equal(read->publishers[0].client, 17);
	figures_free(f);
	figures_free(read);
	figures_free(empty);
	figures_free(read_empty);
}

static const struct damage {
	const char *what, *by;		/* the first `what` in the document is replaced */
	const char *fault;		/* its beginning */
} damages[] = {
	{ "{\n  \"schema\"", "", "expected JSON: " },
	{ "\"roles\": [", "\"roles\": [[], ", "roles[0].name: expected a text" },
	{ "mqassay-load", "mqassay-report", "this is no result of `mqassay load`" },
	{ "\"version\": 1}", "\"version\": 2}", "it is of another version than this program can read" },
	{ "\"version\": 1}", "\"version\": \"1\"}", "schema.version: expected a whole number" },
	{ "\"seed\": 42", "\"seed\": -42", "seed: expected a whole number from 0 to 18446744073709551615" },
	{ "\"seed\": 42", "\"seed\": 4.2", "seed: expected a whole number" },
	{ "\"seed\": 42", "\"sed\": 42", "seed: expected a whole number" },
	{ "\"clients\": 1000", "\"clients\": 9007199254740993", "roles[0].clients: expected a whole number from 0 to 9007199254740992" },
	{ "\"sent\": 4000", "\"sent\": true", "roles[0].counts.sent: expected a whole number" },
	{ "\"name\": \"collector\"", "\"name\": \"sensor\"", "roles[1]: this role stands there twice" },
	{ "\"name\": \"collector\"", "\"name\": 7", "roles[1].name: expected a text" },
	{ "\"at_ns\": 1000000000", "\"at_ns\": 1000000001", "roles[0].seconds[1].at_ns: expected a multiple of interval_ns, behind the one before" },
	{ "\"at_ns\": 1000000000", "\"at_ns\": 0", "roles[0].seconds[1].at_ns: expected a multiple of interval_ns, behind the one before" },
	{ "\"interval_ns\": 1000000000", "\"interval_ns\": 0", "roles[0].interval_ns: expected a second, or two, four, eight ... of them" },
	{ "\"interval_ns\": 1000000000", "\"interval_ns\": 3000000000", "roles[0].interval_ns: expected a second" },
	{ "\"hdr\": \"HIST", "\"hdr\": \"TSIH", "roles[0].timings.connect.hdr: the histogram is not HdrHistogram's compressed V2 encoding" },
	{ "{\"count\": 50, ", "{\"count\": 51, ", "roles[0].timings.connect: expected count, over, min_ns and max_ns to be those of its hdr" },
	{ "\"min_ns\": 2000000", "\"min_ns\": 1900000", "roles[0].timings.connect: expected count, over, min_ns and max_ns to be those of its hdr" },
	{ "\"over\": 0", "\"over\": 1", "roles[0].timings.connect: expected count, over, min_ns and max_ns to be those of its hdr" },
	{ "\"cause\": \"unknown\"", "\"cause\": \"fate\"", "losses[1].cause: expected one of those that this version knows" },
	{ "\"counter\": \"refused\"", "\"counter\": \"denied\"", "reasons[0].counter: expected the name of a counter" },
	{ "\"limited_by\": \"target\"", "\"limited_by\": null", "limited_by: expected a text" },
	{ "{\"role\": \"sensor\", \"client\"", "{\"role\": \"censor\", \"client\"", "publishers[0].role: expected one of the roles" },
	{ "\"held\": true", "\"held\": 1", "meetings[0].held: expected true or false" },
	{ "\"played\": [0]", "\"played\": [1]", "shards.played[0]: expected a whole number from 0 to 0" },
	{ "\"played\": [0]", "\"played\": []", "shards: expected as many played as merged, and one of one at least" },
	{ "\"notes\": [\"", "\"notes\": [7, \"", "notes[0]: expected a text" },
	{ "\"broker\": {", "\"broker\": [{}], \"x\": {", "cpu.broker.name: expected a text" },
	{ "]}]\n}", "]}]\n} x", "expected JSON: " },
	{ "\"began\": \"2026", "\"began\": \"\xff", "expected JSON: " },
};

static void what_is_wrong_in_json_is_said(void **state)
{
	const struct damage *row = *state;
	struct figures *f = sample();
	char *text = as_json(f), *at = strstr(text, row->what);
	struct fault fault;

	assert_non_null(at);
	char *damaged = malloc(strlen(text) + 100);
	sprintf(damaged, "%.*s%s%s", (int)(at - text), text, row->by, at + strlen(row->what));
	struct figures *read = figures_read(span_text(damaged), &fault);
	assert_null(read);
	if (strncmp(fault.text, row->fault, strlen(row->fault)))
		fail_msg("it says '%s'", fault.text);
	free(damaged);
	free(text);
	figures_free(f);
}

static void json_that_ends_anywhere(void **state)
{
	struct figures *f = sample();
	char *text = as_json(f);
	size_t len = strlen(text);

	(void)state;
	for (size_t n = 0; n < len - 2; n += n < 500 || n > len - 100 ? 1 : 97) {
		struct fault fault;

		assert_null(figures_read(span_of(text, n), &fault));
		assert_true(fault.line && !strcmp(fault.text, "expected JSON: it ends too early"));
	}
	free(text);
	figures_free(f);
}

static void a_later_version_may_add_members(void **state)
{
	struct figures *f = sample();
	char *text = as_json(f), *at = strstr(text, "\"counts\": {");
	struct fault fault;

	(void)state;
	char *more = malloc(strlen(text) + 100);
	sprintf(more, "%.*s\"new\": [{}, 1.5, null], \"counts\": {\"postponed\": 3, %s", (int)(at - text), text, at + strlen("\"counts\": {"));
	struct figures *read = figures_read(span_text(more), &fault);
	assert_non_null(read);
	assert_same_result(f, read);
	figures_free(read);
	free(more);
	free(text);
	figures_free(f);
}

int main(int argc, char **argv)
{
	enum { N = sizeof(damages) / sizeof(damages[0]) };
	static struct CMUnitTest tests[N + 20] = {
		cmocka_unit_test(golden_text), cmocka_unit_test(golden_json), cmocka_unit_test(golden_percentiles),
		cmocka_unit_test(golden_comparison), cmocka_unit_test(foreign_text_is_escaped), cmocka_unit_test(json_holds_everything),
		cmocka_unit_test(json_that_ends_anywhere), cmocka_unit_test(a_later_version_may_add_members),
	};
	size_t n = 8;

	write_golden = argc > 1 ? argv[1] : NULL;
	for (size_t i = 0; i < N; i++)
		tests[n++] = (struct CMUnitTest){ .name = damages[i].fault, .test_func = what_is_wrong_in_json_is_said, .initial_state = (void *)&damages[i] };
	return _cmocka_run_group_tests("figures_forms", tests, n, NULL, NULL);
}
