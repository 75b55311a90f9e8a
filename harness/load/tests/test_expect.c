#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "harness/load/figures.h"

/* ---- reading ---- */

static const struct accepted {
	const char *text;
	struct expectation is;
	const char *unit;
} accepted[] = {
	{ "sensor.ack.p99<5ms", { .role = "sensor", .what = EXPECT_TIMING, .timing = TIME_ACK, .stat = STAT_QUANTILE, .per_million = 990000, .op = OP_LESS, .value = 5 }, " ms" },
	{ "sensor.ack.p99.9 <= 250us", { .role = "sensor", .what = EXPECT_TIMING, .timing = TIME_ACK, .stat = STAT_QUANTILE, .per_million = 999000, .op = OP_AT_MOST, .value = 0.25 }, " ms" },
	{ "a.connect.p99.9999<1.5s", { .role = "a", .what = EXPECT_TIMING, .timing = TIME_CONNECT, .stat = STAT_QUANTILE, .per_million = 999999, .op = OP_LESS, .value = 1500 }, " ms" },
	{ "a.delivery.p0>0", { .role = "a", .what = EXPECT_TIMING, .timing = TIME_DELIVERY, .stat = STAT_QUANTILE, .per_million = 0, .op = OP_MORE, .value = 0 }, " ms" },
	{ "a.delivery.p100<1m", { .role = "a", .what = EXPECT_TIMING, .timing = TIME_DELIVERY, .stat = STAT_QUANTILE, .per_million = 1000000, .op = OP_LESS, .value = 60000 }, " ms" },
	{ "a.delivery.uncorrected.p5<1ns", { .role = "a", .what = EXPECT_TIMING, .timing = TIME_DELIVERY, .uncorrected = true, .stat = STAT_QUANTILE, .per_million = 50000, .op = OP_LESS, .value = 1e-6 }, " ms" },
	{ "all.lateness.max<10ms", { .role = "all", .what = EXPECT_TIMING, .timing = TIME_LATENESS, .stat = STAT_MAX, .op = OP_LESS, .value = 10 }, " ms" },
	{ "a.ack.min>=1us", { .role = "a", .what = EXPECT_TIMING, .timing = TIME_ACK, .stat = STAT_MIN, .op = OP_AT_LEAST, .value = 1e-3 }, " ms" },
	{ "a.ack.mean!=1ms", { .role = "a", .what = EXPECT_TIMING, .timing = TIME_ACK, .stat = STAT_MEAN, .op = OP_NOT_EQUAL, .value = 1 }, " ms" },
	{ "a.ack.count==10k", { .role = "a", .what = EXPECT_TIMING, .timing = TIME_ACK, .stat = STAT_COUNT, .op = OP_EQUAL, .value = 10000 }, "" },
	{ "a.lost=0", { .role = "a", .what = EXPECT_COUNTER, .counter = COUNT_lost, .op = OP_EQUAL, .value = 0 }, "" },
	{ "a.lost<0.1%", { .role = "a", .what = EXPECT_COUNTER, .counter = COUNT_lost, .percent = true, .op = OP_LESS, .value = 0.1 }, " %" },
	{ "all.refused_messages>=1M", { .role = "all", .what = EXPECT_COUNTER, .counter = COUNT_refused_messages, .op = OP_AT_LEAST, .value = 1000000 }, "" },
	{ "a.rate>=99.5k/s", { .role = "a", .what = EXPECT_RATE, .op = OP_AT_LEAST, .value = 99500 }, "/s" },
	{ "a.rate>0.25", { .role = "a", .what = EXPECT_RATE, .op = OP_MORE, .value = 0.25 }, "/s" },
	{ "a.delivery_rate>5000", { .role = "a", .what = EXPECT_DELIVERY_RATE, .op = OP_MORE, .value = 5000 }, "/s" },
	{ "tool.busy<90%", { .what = EXPECT_TOOL_BUSY, .op = OP_LESS, .value = 90 }, " %" },
	{ "tool.busy<0.875", { .what = EXPECT_TOOL_BUSY, .op = OP_LESS, .value = 87.5 }, " %" },
	{ "broker.cpu>=95%", { .what = EXPECT_BROKER_CPU, .op = OP_AT_LEAST, .value = 95 }, " %" },
	{ "tool.sent>0", { .role = "tool", .what = EXPECT_COUNTER, .counter = COUNT_sent, .op = OP_MORE, .value = 0 }, "" },
};

static void reads(void **state)
{
	const struct accepted *row = *state;
	struct expectation e;
	struct fault fault;

	if (!expectation_parse(row->text, &e, &fault))
		fail_msg("%u: %s", fault.column, fault.text);
	assert_ptr_equal(e.text, row->text);
	assert_string_equal(e.role, row->is.role);
	assert_string_equal(expectation_unit(&e), row->unit);
	assert_true(e.what == row->is.what && e.timing == row->is.timing && e.counter == row->is.counter && e.uncorrected == row->is.uncorrected && e.percent == row->is.percent &&
	            e.stat == row->is.stat && e.per_million == row->is.per_million && e.op == row->is.op);
	assert_true(fabs(e.value - row->is.value) < 1e-12);
}

#define FIGURE "expected ROLE.TIMING.STAT, ROLE.COUNTER, ROLE.rate, tool.busy or broker.cpu, and what it shall be: 'sensor.ack.p99<5ms'"
#define MEASURE "expected connect, ack, delivery or lateness, a counter such as sent or lost, rate or delivery_rate"
#define STATISTIC "expected min, mean, max, count or a percentile such as p50, p99, p99.9"

static const struct refused {
	const char *text;
	unsigned column;
	const char *why;
} refused[] = {
	{ "", 1, FIGURE },
	{ "sensor", 1, FIGURE },
	{ "<5ms", 1, FIGURE },
	{ ".sent>0", 1, FIGURE },
	{ "a.", 3, MEASURE ", not ``" },
	{ "a.snet>0", 3, MEASURE ", not `snet`: did you mean `sent`?" },
	{ "a.latency.p99<5ms", 3, MEASURE ", not `latency`: did you mean `lateness`?" },
	{ "a.xyzzyx>0", 3, MEASURE ", not `xyzzyx`" },
	{ "a.\x1b[31m>0", 3, MEASURE ", not `\\x1b[31m`" },
	{ "a.ack<5ms", 6, STATISTIC ", not ``" },
	{ "a.ack.avg<5ms", 7, STATISTIC ", not `avg`" },
	{ "a.ack.p<5ms", 7, STATISTIC ", not `p`" },
	{ "a.ack.p101<5ms", 7, STATISTIC ", not `p101`" },
	{ "a.ack.p99.<5ms", 7, STATISTIC ", not `p99.`" },
	{ "a.ack.p99.99999<5ms", 7, STATISTIC ", not `p99.99999`" },
	{ "a.ack.p99x<5ms", 7, STATISTIC ", not `p99x`" },
	{ "a.ack.p99.uncorrected<5ms", 7, STATISTIC ", not `p99.uncorrected`" },
	{ "a.lateness.uncorrected.p99<5ms", 12, "lateness has no uncorrected column: it is what the other columns differ by" },
	{ "a.lost.p99<5", 8, "expected an operator behind `lost`: it has no statistics" },
	{ "a.ack.p99", 10, "expected one of < <= > >= == != and a value" },
	{ "a.ack.p99 5ms", 11, "expected one of < <= > >= == != and a value" },
	{ "a.ack.p99<", 11, "expected a duration such as 500ms, 2s, 1m or 1h" },
	{ "a.ack.p99<5", 11, "expected a duration such as 500ms, 2s, 1m or 1h" },
	{ "a.ack.p99<5ms!", 11, "expected a duration such as 500ms, 2s, 1m or 1h" },
	{ "a.ack.p99<<5ms", 11, "expected a duration such as 500ms, 2s, 1m or 1h" },
	{ "a.lost<1.5", 8, "expected a number such as 64, 10k or 1M" },
	{ "a.bytes_sent<5%", 14, "expected a number such as 64, 10k or 1M" },
	{ "a.rate>5/m", 8, "expected a rate such as 5000 or 10k/s" },
	{ "tool.busy<5s", 11, "expected a part of a core such as 90% or 0.9" },
	{ "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.sent>0", 1, "expected a role's name, of at most 63 characters" },
	{ "a.lost<0000000000000000000000000000000000000000000000000000000000000000", 8, "expected a number such as 64, 10k or 1M" },
};

static void refuses(void **state)
{
	const struct refused *row = *state;
	struct expectation e;
	struct fault fault = { 0 };

	assert_false(expectation_parse(row->text, &e, &fault));
	assert_string_equal(fault.text, row->why);
	assert_true(fault.line == 1 && fault.column == row->column);
}

/* ---- judging ---- */

static struct figures *sample(void)
{
	struct figures *f = figures_new();
	static const char *const names[] = { "a", "b" };

	for (unsigned i = 0; i < 2; i++) {
		struct figures_role *role = FIGURES_APPEND(f, roles);

		role->name = names[i];
		role->total.counts[COUNT_sent] = 1000 * (i + 1);
		role->total.counts[COUNT_delivered] = 7;
		role->total.counts[COUNT_late] = 10;
		for (unsigned k = 1; k <= 100; k++)
			tally_time(&role->total, TIME_ACK, 0, i * 1000000, k * 1000000 + i * 100000000);
	}
	f->duration_ns = 2000000000;
	f->cpu.threads = 1;
	f->cpu.busiest = 0.5;
	return f;
}

static const struct judged {
	const char *text;
	double value;
	bool known, met;
} judged[] = {
	{ "a.sent==1000", 1000, true, true }, { "a.sent!=1000", 1000, true, false }, { "all.sent>3000", 3000, true, false }, { "all.sent>=3000", 3000, true, true },
	{ "b.sent<2000", 2000, true, false }, { "b.sent<=2000", 2000, true, true }, { "b.lost=0", 0, true, true },
	{ "a.late<=1%", 1, true, true }, { "b.late>0.5%", 0.5, true, false }, { "all.late<1%", 2.0 / 3, true, true }, { "a.lost<1%", 0, true, true },
	{ "a.ack.p50<=50.1ms", 50.003967, true, true }, { "a.ack.max==100ms", 100, true, true }, { "a.ack.min==1ms", 1, true, true },
	{ "a.ack.count==100", 100, true, true }, { "all.ack.count==200", 200, true, true }, { "all.ack.max==200ms", 200, true, true },
	{ "all.ack.p50<=100ms", 100.007935, true, false }, { "b.ack.uncorrected.max==199ms", 199, true, true },
	{ "a.delivery.p99<1h", 0, false, false }, { "a.delivery.count==0", 0, true, true }, { "c.sent==0", 0, false, false }, { "c.ack.count==0", 0, false, false },
	{ "a.rate==500/s", 500, true, true }, { "all.rate==1500/s", 1500, true, true }, { "b.delivery_rate<3.6", 3.5, true, true },
	{ "tool.busy<=50%", 50, true, true }, { "broker.cpu>0%", 0, false, false },
};

static void judges(void **state)
{
	const struct judged *row = *state;
	struct figures *f = sample();
	struct expectation e;
	struct fault fault;

	assert_true(expectation_parse(row->text, &e, &fault));
	assert_int_equal(expectation_knows_role(&e, f), row->text[0] != 'c');
	expectation_judge(&e, f);
	assert_int_equal(f->n_expectations, 1);
	assert_string_equal(f->expectations[0].text, row->text);
	if (fabs(f->expectations[0].value - row->value) > 1e-6)
		fail_msg("%s: it is %.9f", row->text, f->expectations[0].value);
	assert_true(f->expectations[0].known == row->known && f->expectations[0].met == row->met);
	figures_free(f);
}

static void nothing_is_met_by_what_was_not_played(void **state)
{
	struct figures *f = sample();
	struct expectation e;
	struct fault fault;

	(void)state;
	f->unable = "connect localhost:1883: connection refused";
	assert_true(expectation_parse("a.lost==0", &e, &fault));
	expectation_judge(&e, f);
	assert_false(f->expectations[0].known || f->expectations[0].met);
	figures_free(f);
}

static void broker_cpu(void **state)
{
	struct figures *f = sample();
	struct expectation e;
	struct fault fault;

	(void)state;
	f->cpu.broker_known = true;
	f->cpu.broker_ns = 1900000000;
	assert_true(expectation_parse("broker.cpu>=95%", &e, &fault));
	expectation_judge(&e, f);
	assert_true(f->expectations[0].met && fabs(f->expectations[0].value - 95) < 1e-9);
	figures_free(f);
}

#define N(rows) (sizeof(rows) / sizeof((rows)[0]))

int main(void)
{
	static struct CMUnitTest tests[N(accepted) + N(refused) + N(judged) + 2];
	size_t n = 0;

	for (size_t i = 0; i < N(accepted); i++)
		tests[n++] = (struct CMUnitTest){ .name = accepted[i].text, .test_func = reads, .initial_state = (void *)&accepted[i] };
	for (size_t i = 0; i < N(refused); i++)
		tests[n++] = (struct CMUnitTest){ .name = refused[i].why, .test_func = refuses, .initial_state = (void *)&refused[i] };
	for (size_t i = 0; i < N(judged); i++)
		tests[n++] = (struct CMUnitTest){ .name = judged[i].text, .test_func = judges, .initial_state = (void *)&judged[i] };
	tests[n++] = (struct CMUnitTest)cmocka_unit_test(nothing_is_met_by_what_was_not_played);
	tests[n++] = (struct CMUnitTest)cmocka_unit_test(broker_cpu);
	return _cmocka_run_group_tests("expect", tests, n, NULL, NULL);
}
