#include "harness/load/tests/sample_result.h"

#include "harness/load/hdr_log.h"
#include "harness/load/tests/random_times.h"

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
static void began_anew(struct figures *f) { *FIGURES_APPEND(f, reasons) = (struct figures_reason){ "a", "x", COUNT_stopped, false, 1 }; }
static void stopped(struct figures *f) { began_anew(f); f->roles[0].total.counts[COUNT_stopped] = 1; }
static void judged(struct figures *f) { *FIGURES_APPEND(f, reasons) = (struct figures_reason){ "a", "x", COUNT_stopped, true, 1 }; }
static void violation(struct figures *f) { f->roles[0].total.counts[COUNT_violations] = 1; f->why = "interrupted"; }
static void missed(struct figures *f) { *FIGURES_APPEND(f, expectations) = (struct figures_expectation){ "a.sent>0", 0, true, false }; }
static void met(struct figures *f) { *FIGURES_APPEND(f, expectations) = (struct figures_expectation){ "a.sent>0", 1, true, true }; }
static void no_figure(struct figures *f) { *FIGURES_APPEND(f, expectations) = (struct figures_expectation){ "a.sent>0", 0, false, false }; }

static void exit_codes(void **state)
{
	static const struct { void (*make)(struct figures *f); int code; } rows[] = {
		{ nothing_wrong, 0 }, { unable, 3 }, { ended_early, 3 }, { refused, 3 }, { never_in, 3 }, { in_at_last, 0 }, { stopped, 3 }, { began_anew, 0 }, { judged, 1 },
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(notes_stand_once), cmocka_unit_test(a_long_run_has_longer_seconds), cmocka_unit_test(seconds_come_in_any_order),
		cmocka_unit_test(rates_are_of_the_steady_time), cmocka_unit_test(exit_codes), cmocka_unit_test(shards_are_added),
		cmocka_unit_test(whatever_their_order), cmocka_unit_test(what_does_not_go_together), cmocka_unit_test(a_shard_that_is_in_already),
		cmocka_unit_test(runs_side_by_side), cmocka_unit_test(four_shards_are_the_whole), cmocka_unit_test(a_log_of_a_result),
	};

	return cmocka_run_group_tests_name("figures", tests, NULL, NULL);
}
