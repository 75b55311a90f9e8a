#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "harness/load/figures.h"
#include "harness/load/hdr_log.h"
#include "harness/load/tests/random_times.h"

enum { S = 1000000000, MS = 1000000, US = 1000 };

/* ---- what they are of ---- */

static struct figures_role *add_role(struct figures *f, const char *name, uint64_t clients)
{
	struct figures_role *role = FIGURES_APPEND(f, roles);

	role->name = figures_say(f, "%s", name);
	role->clients = clients;
	return role;
}

static void count(struct figures_role *role, uint64_t second, enum counter counter, uint64_t n)
{
	role->total.counts[counter] += n;
	figures_second(role, second * S)->counts[counter] += n;
}

static void timed(struct figures_role *role, uint64_t second, enum timing timing, uint64_t due, uint64_t begun, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		tally_time(&role->total, timing, 0, begun, due + i * 1000);
		tally_time(figures_second(role, second * S), timing, 0, begun, due + i * 1000);
	}
}

/* A run of 7 s of which the middle is steady, with something of everything. */
static struct figures *sample(void)
{
	struct figures *f = figures_new();
	struct figures_role *sensor = add_role(f, "sensor", 1000), *collector = add_role(f, "collector", 2);

	f->workload = "scenarios/load/fan-in.scn";
	f->title = "Telemetry of many sensors into few collectors";
	f->target = "localhost:1883";
	f->mqtt = "5";
	f->version = "0.1.0";
	f->command = "mqassay load fan-in localhost:1883 --for 4s --expect 'collector.delivery.p99<5ms'";
	f->began = "2026-11-21T18:33:57Z";
	f->began_unix_ns = 1795286037250000000;
	f->seed = 42;
	f->duration_ns = 7 * (uint64_t)S;
	f->steady_ns = S;
	f->drain_ns = 5 * (uint64_t)S;
	count(&f->roles[0], 0, COUNT_started, 1000);
	count(&f->roles[0], 0, COUNT_connected, 999);
	count(&f->roles[0], 1, COUNT_connected, 2);
	count(&f->roles[0], 0, COUNT_refused, 1);
	count(&f->roles[0], 1, COUNT_retried, 2);
	count(&f->roles[0], 3, COUNT_ended, 1);
	count(&f->roles[1], 0, COUNT_started, 2);
	count(&f->roles[1], 0, COUNT_connected, 2);
	sensor = &f->roles[0];
	collector = &f->roles[1];
	for (uint64_t s = 1; s < 5; s++) {
		count(sensor, s, COUNT_sent, 1000);
		count(sensor, s, COUNT_acknowledged, 999);
		count(sensor, s, COUNT_packets_sent, 2000);
		count(sensor, s, COUNT_bytes_sent, 280000);
		count(collector, s, COUNT_delivered, 998);
		timed(sensor, s, TIME_ACK, 300 * US, 200 * US, 100);
		timed(sensor, s, TIME_LATENESS, 20 * US, 0, 100);
		timed(collector, s, TIME_DELIVERY, s == 3 ? 120 * MS : 700 * US, 100 * US, 90);
	}
	count(sensor, 4, COUNT_late, 7);
	count(sensor, 5, COUNT_unacknowledged, 4);
	count(collector, 6, COUNT_owed, 4000);
	count(collector, 6, COUNT_lost, 8);
	count(collector, 4, COUNT_violations, 1);
	timed(sensor, 0, TIME_CONNECT, 2 * MS, 1 * MS, 50);
	sensor->lateness_share = 7 / 4000.0;

	*FIGURES_APPEND(f, reasons) = (struct figures_reason){ "sensor", "CONNACK Server_busy", COUNT_refused, false, 1 };
	*FIGURES_APPEND(f, reasons) = (struct figures_reason){ "collector", "a PUBACK for packet_id 7, which is not open", COUNT_violations, true, 1 };
	*FIGURES_APPEND(f, losses) = (struct figures_loss){ "collector", "sensor", LOST_BROKER_DROPPED, "$SYS/broker/publish/messages/dropped rose by 6", 6 };
	*FIGURES_APPEND(f, losses) = (struct figures_loss){ "collector", "sensor", LOST_UNKNOWN, "", 2 };
	*FIGURES_APPEND(f, publishers) = (struct publisher_account){ 0, 17, 4, 4, 1, 3, 0, 0 };
	*FIGURES_APPEND(f, publishers) = (struct publisher_account){ 0, 4, 4, 4, 3, 1, 0, 0 };
	f->n_publishers_afflicted = 6;
	*FIGURES_APPEND(f, meetings) = (struct figures_meeting){ "ready", 1002, 1002, 0, true };
	*FIGURES_APPEND(f, meetings) = (struct figures_meeting){ "later", 1002, 1001, 1, false };
	f->cpu = (struct figures_cpu){ .tool_ns = 12 * MS, .threads = 2, .busiest = 0.031, .broker_known = true, .broker_ns = 6650 * (uint64_t)MS,
	                               .broker = "mosquitto (pid 4711)" };
	f->calibration = (struct figures_calibration){ true, 3100000, 231.5 };
	f->drops = (struct broker_drops){ true, 6, "$SYS/broker/publish/messages/dropped" };
	f->limited_by = LIMITED_BY_TARGET;
	f->limit = "its process had 95 % of a core";
	f->judged_packets = 16003;
	f->target_connects_per_s = 1001;
	figures_note(f, "the target is on this machine: it shares its cores with this tool");

	static const char *const expected[] = { "collector.delivery.p99<5ms", "all.lost==0", "sensor.rate>=1k/s", "nobody.sent>0" };
	for (size_t i = 0; i < 4; i++) {
		struct expectation e;
		struct fault fault;

		assert_true(expectation_parse(expected[i], &e, &fault));
		expectation_judge(&e, f);
	}
	return f;
}

/* ---- as text ---- */

/* Not inlined: gcc 12 would take the text for the pointer that open_memstream() keeps. */
__attribute__((noinline)) static char *written(void (*write)(FILE *out, const struct figures *f), const struct figures *f)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	write(out, f);
	assert_int_equal(fclose(out), 0);
	return text;
}

static void write_json(FILE *out, const struct figures *f)
{
	assert_true(figures_json(out, f));
}

static char *as_json(const struct figures *f)
{
	return written(write_json, f);
}

static struct figures *reread(const struct figures *f)
{
	struct fault fault = { 0 };
	char *text = as_json(f);
	struct figures *read = figures_read(span_text(text), &fault);

	if (!read)
		fail_msg("%u:%u: %s", fault.line, fault.column, fault.text);
	free(text);
	return read;
}

static void assert_same_result(const struct figures *a, const struct figures *b)
{
	char *x = as_json(a), *y = as_json(b);

	assert_string_equal(x, y);
	free(x);
	free(y);
}

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

/* ---- the model ---- */

static void notes_stand_once(void **state)
{
	struct figures *f = figures_new();
	char text[20];

	(void)state;
	for (unsigned i = 0; i < 40; i++) {
		snprintf(text, sizeof(text), "note %u", i % 20);
		figures_note(f, text);
	}
	assert_int_equal(f->n_notes, 20);
	assert_string_equal(f->notes[0], "note 0");
	assert_string_equal(f->notes[19], "note 19");
	figures_free(f);
}

static void a_long_run_has_longer_seconds(void **state)
{
	struct figures_role role = { 0 };
	uint64_t sent = 0, timed_ones = 0;

	(void)state;
	for (uint64_t s = 0; s < 2000; s++) {
		struct tally *t = figures_second(&role, s * S + 999);

		t->counts[COUNT_sent] += s;
		tally_time(t, TIME_ACK, 0, 0, s + 1);
		if (s == 599)
			assert_true(role.n_seconds == 600 && role.interval_ns == S);
	}
	assert_int_equal(role.interval_ns, 4 * (uint64_t)S);
	assert_int_equal(role.n_seconds, 500);
	for (uint32_t i = 0; i < role.n_seconds; i++) {
		assert_int_equal(role.seconds[i].at, i * role.interval_ns);
		assert_int_equal(role.seconds[i].tally.counts[COUNT_sent], 4 * (4 * i) + 6);
		sent += role.seconds[i].tally.counts[COUNT_sent];
		timed_ones += role.seconds[i].tally.timings[TIME_ACK].count;
		tally_release(&role.seconds[i].tally);
	}
	assert_true(sent == 1999 * 1000 && timed_ones == 2000);
	free(role.seconds);
}

static void seconds_come_in_any_order(void **state)
{
	static const uint64_t order[] = { 5, 2, 9, 2, 0, 7, 5 };
	static const uint64_t sorted[] = { 0, 2, 5, 7, 9 };
	struct figures_role role = { 0 };

	(void)state;
	for (size_t i = 0; i < 7; i++)
		figures_second(&role, order[i] * S)->counts[COUNT_sent]++;
	assert_int_equal(role.n_seconds, 5);
	for (size_t i = 0; i < 5; i++)
		assert_int_equal(role.seconds[i].at, sorted[i] * S);
	assert_true(role.seconds[1].tally.counts[COUNT_sent] == 2 && role.seconds[2].tally.counts[COUNT_sent] == 2);
	free(role.seconds);
}

static void rates_are_of_the_steady_time(void **state)
{
	struct figures *f = figures_new();
	struct figures_role *role;

	(void)state;
	add_role(f, "a", 1);
	add_role(f, "b", 1);
	role = &f->roles[0];
	count(role, 0, COUNT_sent, 1000000);
	count(role, 2, COUNT_sent, 100);	/* of the seconds 1 to 3, of which one has nothing */
	count(role, 3, COUNT_sent, 200);
	count(role, 4, COUNT_sent, 5555);	/* not wholly steady */
	count(&f->roles[1], 1, COUNT_sent, 30);
	f->duration_ns = 10 * (uint64_t)S;
	f->steady_ns = 900 * MS;
	f->drain_ns = 4 * (uint64_t)S + 300 * MS;
	assert_true(figures_rate(f, role, COUNT_sent) == 100 && figures_rate(f, &f->roles[1], COUNT_sent) == 10 && figures_rate(f, NULL, COUNT_sent) == 110);
	f->steady_ns = 0;
	assert_true(figures_rate(f, role, COUNT_sent) == 100585.5);
	f->duration_ns = 0;
	assert_true(figures_rate(f, role, COUNT_sent) == 0);
	figures_free(f);
}

/* ---- the exit code ---- */

static void nothing_wrong(struct figures *f) { f->roles[0].total.counts[COUNT_lost] = 5; }
static void unable(struct figures *f) { f->unable = "x"; }
static void ended_early(struct figures *f) { f->why = "interrupted"; }
static void refused(struct figures *f) { f->roles[0].total.counts[COUNT_refused] = 1; }
static void never_in(struct figures *f) { f->roles[0].total.counts[COUNT_refused] = 3; f->roles[0].total.counts[COUNT_retried] = 3; f->roles[0].total.counts[COUNT_connected] = 9; }
static void in_at_last(struct figures *f) { f->roles[0].total.counts[COUNT_refused] = 3; f->roles[0].total.counts[COUNT_retried] = 3; }
static void stopped(struct figures *f) { *FIGURES_APPEND(f, reasons) = (struct figures_reason){ "a", "x", COUNT_stopped, false, 1 }; }
static void judged(struct figures *f) { *FIGURES_APPEND(f, reasons) = (struct figures_reason){ "a", "x", COUNT_stopped, true, 1 }; }
static void violation(struct figures *f) { f->roles[0].total.counts[COUNT_violations] = 1; f->why = "interrupted"; }
static void missed(struct figures *f) { *FIGURES_APPEND(f, expectations) = (struct figures_expectation){ "a.sent>0", 0, true, false }; }
static void met(struct figures *f) { *FIGURES_APPEND(f, expectations) = (struct figures_expectation){ "a.sent>0", 1, true, true }; }
static void no_figure(struct figures *f) { *FIGURES_APPEND(f, expectations) = (struct figures_expectation){ "a.sent>0", 0, false, false }; }

static void exit_codes(void **state)
{
	static const struct { void (*make)(struct figures *f); int code; } rows[] = {
		{ nothing_wrong, 0 }, { unable, 3 }, { ended_early, 3 }, { refused, 3 }, { never_in, 3 }, { in_at_last, 0 }, { stopped, 3 }, { judged, 1 },
		{ violation, 1 }, { missed, 1 }, { met, 0 }, { no_figure, 1 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct figures *f = figures_new();

		add_role(f, "a", 10)->total.counts[COUNT_started] = 10;
		f->roles[0].total.counts[COUNT_connected] = 10;
		rows[i].make(f);
		if (figures_exit_code(f) != rows[i].code)
			fail_msg("row %zu: %d", i, figures_exit_code(f));
		figures_free(f);
	}
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

/* ---- merging ---- */

static void one_shard(struct figures *f, unsigned shard, unsigned n)
{
	f->shard = shard;
	f->n_shards = n;
}

static bool merge(struct figures *to, const struct figures *from)
{
	struct fault fault;

	return figures_merge(to, from, &fault);
}

static void shards_are_added(void **state)
{
	struct figures *a = sample(), *b = sample();

	(void)state;
	one_shard(a, 0, 2);
	one_shard(b, 1, 2);
	b->began_unix_ns += 2 * (uint64_t)S + 100 * MS;		/* 2 s later by the clock */
	b->cpu.broker_ns += 5;
	b->drops.n = 9;
	b->meetings[1] = (struct figures_meeting){ "later", 1000, 1000, 0, true };
	b->losses[1].n = 100;
	b->roles[1].total.counts[COUNT_lost] = 0;
	b->why = "interrupted";
	assert_true(merge(a, b));
	assert_true(a->n_merged == 2 && a->shards[0] == 0 && a->shards[1] == 1);
	assert_true(a->roles[0].clients == 2000 && a->roles[0].total.counts[COUNT_sent] == 8000 && a->roles[0].total.timings[TIME_ACK].count == 800);
	assert_true(a->roles[0].lateness_share == 14 / 8000.0);
	assert_int_equal(a->roles[0].n_seconds, 8);		/* 0 to 5 and 2 to 7 */
	assert_int_equal(a->roles[0].seconds[1].tally.counts[COUNT_sent], 1000);
	assert_int_equal(a->roles[0].seconds[3].tally.counts[COUNT_sent], 2000);
	assert_int_equal(a->duration_ns, 9 * (uint64_t)S + 100 * MS);
	assert_int_equal(a->steady_ns, 3 * (uint64_t)S + 100 * MS);
	assert_int_equal(a->drain_ns, 5 * (uint64_t)S);
	assert_true(a->n_reasons == 2 && a->reasons[0].n == 2 && a->reasons[1].n == 2);
	assert_true(a->n_losses == 2 && a->losses[0].cause == LOST_UNKNOWN && a->losses[0].n == 102 && a->losses[1].n == 12);
	assert_true(a->n_meetings == 2 && a->meetings[0].expected == 2004 && a->meetings[0].held && a->meetings[1].arrived == 2001 && !a->meetings[1].held);
	assert_true(a->n_publishers == 4 && a->publishers[1].client == 17 && a->n_publishers_afflicted == 12);
	assert_true(a->cpu.tool_ns == 24 * MS && a->cpu.threads == 4 && a->cpu.broker_ns == 6650 * (uint64_t)MS + 5 && a->drops.n == 9);
	assert_string_equal(a->why, "shard 1: interrupted");
	assert_int_equal(a->n_notes, 2);			/* the same of both; that they began apart */
	assert_true(a->n_expectations == 4 && a->expectations[1].value == 8 && !a->expectations[1].met);
	assert_int_equal(a->target_connects_per_s, 1001);
	struct figures *read = reread(a);
	assert_same_result(a, read);
	figures_free(read);
	figures_free(a);
	figures_free(b);
}

static void whatever_their_order(void **state)
{
	static const unsigned orders[][4] = { { 0, 1, 2, 3 }, { 3, 2, 1, 0 }, { 2, 0, 3, 1 }, { 1, 3, 0, 2 } };
	char *first = NULL;

	(void)state;
	for (size_t o = 0; o < 4; o++) {
		struct figures *all = NULL;

		for (unsigned i = 0; i < 4; i++) {
			struct figures *f = sample();

			one_shard(f, orders[o][i], 4);
			f->began_unix_ns += orders[o][i] * 1300ull * MS;
			f->roles[0].total.counts[COUNT_sent] += orders[o][i];
			if (!all) {
				all = f;
				continue;
			}
			assert_true(merge(all, f));
			figures_free(f);
		}
		char *text = as_json(all);
		if (first)
			assert_string_equal(text, first);
		else
			first = strdup(text);
		free(text);
		figures_free(all);
	}
	free(first);
}

static void other_workload(struct figures *f) { f->workload = "other.scn\x1b"; }
static void other_title(struct figures *f) { f->title = NULL; }
static void other_version(struct figures *f) { f->mqtt = "3.1.1"; }
static void more_shards(struct figures *f) { f->n_shards = 5; }
static void not_sharded(struct figures *f) { f->n_shards = 0; }
static void same_shard(struct figures *f) { f->shard = 0; }

static void what_does_not_go_together(void **state)
{
	static const struct { void (*make)(struct figures *f); const char *why; } rows[] = {
		{ other_workload, "they are of different workloads: scenarios/load/fan-in.scn and other.scn\\x1b" },
		{ other_title, "the workload has changed between them: Telemetry of many sensors into few collectors and ?" },
		{ other_version, "they are of different versions of MQTT: 5 and 3.1.1" },
		{ more_shards, "one was played in 4 shards, the other in 5" },
		{ not_sharded, "one was played in 4 shards, the other in 1" },
		{ same_shard, "shard 0 of 4 is in both" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct figures *a = sample(), *b = sample();
		struct fault fault;

		one_shard(a, 0, 4);
		one_shard(b, 1, 4);
		rows[i].make(b);
		char *before = as_json(a);
		assert_false(figures_merge(a, b, &fault));
		assert_string_equal(fault.text, rows[i].why);
		char *after = as_json(a);
		assert_string_equal(before, after);
		free(before);
		free(after);
		figures_free(a);
		figures_free(b);
	}
}

static void a_shard_that_is_in_already(void **state)
{
	struct figures *a = sample(), *b = sample(), *again = sample();
	struct fault fault;

	(void)state;
	one_shard(a, 2, 3);
	one_shard(b, 0, 3);
	one_shard(again, 2, 3);
	assert_true(merge(a, b));
	assert_false(figures_merge(a, again, &fault));
	assert_string_equal(fault.text, "shard 2 of 3 is in both");
	figures_free(a);
	figures_free(b);
	figures_free(again);
}

static void runs_side_by_side(void **state)
{
	struct figures *a = sample(), *b = sample();
	struct fault fault;

	(void)state;
	assert_false(figures_merge(a, b, &fault));
	assert_string_equal(fault.text, "both are the same run: same beginning, seed and target");
	b->seed = 43;
	b->target = "other:1883";
	b->cpu.broker = "mosquitto (pid 4712)";
	assert_true(merge(a, b));
	assert_string_equal(a->target, "localhost:1883, other:1883");
	assert_string_equal(a->cpu.broker, "mosquitto (pid 4711), mosquitto (pid 4712)");
	assert_true(a->cpu.broker_ns == 2 * 6650 * (uint64_t)MS && a->drops.n == 12 && a->n_merged == 2);
	figures_free(a);
	figures_free(b);
}

/* ---- exactly ---- */

static unsigned add_log(const struct figures *f, const char *tag, struct hdr *sum)
{
	char *text = written(figures_hdr_log, f);
	struct span left = span_text(text);
	enum hdr_line_kind kind;
	unsigned n = 0;

	do {
		struct hdr h = { 0 };
		struct hdr_line line;
		struct fault fault;

		kind = hdr_log_read(&left, &line, &h, &fault);
		assert_int_not_equal(kind, HDR_LINE_BAD);
		if (kind == HDR_LINE_INTERVAL && span_is(line.tag, tag)) {
			assert_true(hdr_add(sum, &h));
			n++;
		}
		hdr_release(&h);
	} while (kind != HDR_LINE_END);
	free(text);
	return n;
}

static void assert_same_counts(const struct hdr *a, const struct hdr *b)
{
	char *x = hdr_payload(a), *y = hdr_payload(b);

	assert_string_equal(x, y);
	free(x);
	free(y);
}

/* Four shards' results, each through JSON, joined: bit for bit the histogram of all raw durations; and so are their logs. */
static void four_shards_are_the_whole(void **state)
{
	struct hdr raw = { 0 }, raw_uncorrected = { 0 }, logs = { 0 }, logs_uncorrected = { 0 };
	struct figures *all = NULL;
	uint64_t seed = 99;

	(void)state;
	for (unsigned shard = 0; shard < 4; shard++) {
		struct figures *f = sample();

		one_shard(f, shard, 4);
		for (uint64_t s = 0; s < 20; s++)
			for (unsigned i = 0; i < 200; i++) {
				uint64_t due = random_time(&seed), begun = random_time(&seed) % (due + 1);

				assert_true(hdr_record(&raw, due) && hdr_record(&raw_uncorrected, due - begun));
				tally_time(&f->roles[1].total, TIME_ACK, 0, begun, due);
				tally_time(figures_second(&f->roles[1], s * S), TIME_ACK, 0, begun, due);
			}
		assert_int_equal(add_log(f, "collector.ack", &logs), 20);
		assert_int_equal(add_log(f, "collector.ack.uncorrected", &logs_uncorrected), 20);
		struct figures *read = reread(f);
		figures_free(f);
		if (all) {
			assert_true(merge(all, read));
			figures_free(read);
		} else {
			all = read;
		}
	}
	struct figures *merged = reread(all);
	const struct tally *t = &merged->roles[1].total;
	assert_true(t->timings[TIME_ACK].min == raw.min && t->timings[TIME_ACK].max == raw.max && t->timings[TIME_ACK].over == raw.over);
	assert_same_counts(&t->timings[TIME_ACK], &raw);
	assert_same_counts(&t->uncorrected[TIME_ACK], &raw_uncorrected);
	assert_same_counts(&logs, &raw);
	assert_same_counts(&logs_uncorrected, &raw_uncorrected);
	struct hdr of_merged_log = { 0 };
	assert_int_equal(add_log(merged, "collector.ack", &of_merged_log), 20);
	assert_same_counts(&of_merged_log, &raw);
	hdr_release(&of_merged_log);
	hdr_release(&raw);
	hdr_release(&raw_uncorrected);
	hdr_release(&logs);
	hdr_release(&logs_uncorrected);
	figures_free(merged);
	figures_free(all);
}

/* The times of a log are in order, and a result without seconds has one interval for all. */
static void a_log_of_a_result(void **state)
{
	struct figures *f = sample(), *bare = figures_new();
	struct hdr h = { 0 };

	(void)state;
	char *text = written(figures_hdr_log, f);
	const char *first = strstr(text, "Tag=sensor.ack,1.000,1.000,"), *second = strstr(text, "Tag=collector.delivery,1.000,"), *third = strstr(text, "Tag=sensor.ack,2.000,");
	assert_true(first && second && third && first < second && second < third);
	free(text);
	tally_time(&add_role(bare, "a", 1)->total, TIME_CONNECT, 0, 0, 5);
	bare->duration_ns = 1500 * (uint64_t)MS;
	assert_int_equal(add_log(bare, "a.connect", &h), 1);
	hdr_release(&h);
	text = written(figures_hdr_log, bare);
	assert_non_null(strstr(text, "Tag=a.connect,0.000,1.500,"));
	free(text);
	figures_free(f);
	figures_free(bare);
}

int main(int argc, char **argv)
{
	enum { N = sizeof(damages) / sizeof(damages[0]) };
	static struct CMUnitTest tests[N + 40] = {
		cmocka_unit_test(golden_text), cmocka_unit_test(golden_json), cmocka_unit_test(golden_percentiles), cmocka_unit_test(golden_comparison),
		cmocka_unit_test(foreign_text_is_escaped), cmocka_unit_test(notes_stand_once), cmocka_unit_test(a_long_run_has_longer_seconds),
		cmocka_unit_test(seconds_come_in_any_order), cmocka_unit_test(rates_are_of_the_steady_time), cmocka_unit_test(exit_codes),
		cmocka_unit_test(json_holds_everything), cmocka_unit_test(json_that_ends_anywhere), cmocka_unit_test(a_later_version_may_add_members),
		cmocka_unit_test(shards_are_added), cmocka_unit_test(whatever_their_order), cmocka_unit_test(what_does_not_go_together),
		cmocka_unit_test(a_shard_that_is_in_already), cmocka_unit_test(runs_side_by_side), cmocka_unit_test(four_shards_are_the_whole),
		cmocka_unit_test(a_log_of_a_result),
	};
	size_t n = 20;

	write_golden = argc > 1 ? argv[1] : NULL;
	for (size_t i = 0; i < N; i++)
		tests[n++] = (struct CMUnitTest){ .name = damages[i].fault, .test_func = what_is_wrong_in_json_is_said, .initial_state = (void *)&damages[i] };
	return _cmocka_run_group_tests("figures", tests, n, NULL, NULL);
}
