#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "harness/load/tests/sample.h"

static char *page_of(const struct figures *const *runs, size_t n)
{
	char *text;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	figures_html(out, runs, n);
	assert_int_equal(fclose(out), 0);
	return text;
}

static void has(const char *text, const char *piece)
{
	if (!strstr(text, piece))
		fail_msg("missing: %s", piece);
}

static void has_not(const char *text, const char *piece)
{
	if (strstr(text, piece))
		fail_msg("must not stand there: %s", piece);
}

/* Well-formed as XML, which is more than HTML asks for; and read as HTML, by a parser that does not know HTML 5's tags. Nothing is loaded from anywhere. */
static void is_sound(const char *page)
{
	static const char *const loads[] = { "http:", "https:", "//", " src=", " href=", "url(", "@import", "<script", "<link", "<img", "<iframe", "<object", "javascript:", " onload=" };
	static const char *const drawn[] = { " d=\"", " x=\"", " y=\"" };
	char path[] = "/tmp/figures.XXXXXX", command[300];
	int fd = mkstemp(path);
	FILE *f = fdopen(fd, "w");

	assert_non_null(f);
	fputs(page, f);
	assert_int_equal(fclose(f), 0);
	for (size_t i = 0; i < sizeof(loads) / sizeof(*loads); i++)
		has_not(page, loads[i]);
	for (size_t i = 0; i < sizeof(drawn) / sizeof(*drawn); i++)
		for (const char *at = strstr(page, drawn[i]); at; at = strstr(at, drawn[i])) {
			at += strlen(drawn[i]);
			assert_int_equal(strspn(at, "MLVHh0123456789. "), strcspn(at, "\""));	/* no nan, no inf, nothing negative */
		}
	if (system("command -v xmllint >/dev/null") == 0) {
		snprintf(command, sizeof(command), "xmllint --nonet --noout %s", path);
		assert_int_equal(system(command), 0);
		snprintf(command, sizeof(command), "! xmllint --html --nonet --noout %s 2>&1 | grep error | grep -v 'Tag [a-z]* invalid'", path);
		assert_int_equal(system(command), 0);
	}
	unlink(path);
}

static size_t count(const char *text, const char *piece)
{
	size_t n = 0;

	for (; (text = strstr(text, piece)); text += strlen(piece))
		n++;
	return n;
}

static void shows_a_run(void **state)
{
	struct figures *f = sample_figures(10);
	const struct figures *runs[] = { f };
	char *page;

	(void)state;
	f->drain_ns = UINT64_C(8000000000);
	f->limited_by = LIMITED_BY_TARGET;
	f->limit = "the broker was busy for 97 % of a core";
	f->cpu = (struct figures_cpu){ .tool_ns = 25000000, .threads = 2, .busiest = 0.31, .broker_known = true, .broker_ns = 9700000000, .broker = "mosquitto (pid 4711)" };
	f->calibration = (struct figures_calibration){ true, 3000000, 250 };
	f->drops = (struct broker_drops){ true, 3, "$SYS/broker/publish/messages/dropped" };
	*FIGURES_APPEND(f, expectations) = (struct figures_expectation){ "sensor.ack.p99<5ms", 721.5, true, false };
	*FIGURES_APPEND(f, publishers) = (struct publisher_account){ .role = 0, .client = 17, .sent = 50, .owed = 50, .delivered = 47, .lost = 3 };
	f->n_publishers_afflicted = 5;
	figures_note(f, "One note " SAMPLE_HARM);
	page = page_of(runs, 1);
	is_sound(page);
	has_not(page, "alert('");
	has(page, "<li>One note &lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt; &quot;&amp;amp;&quot; ]]&gt; \\ \\x1b[2J</li>");
	has(page, "<h1>Telemetry from many sensors &lt;&amp;&gt; ");
	has(page, "<span class=\"bad\">played, but not as it should be</span>");
	has(page, "the target<br/><span class=\"soft\">the broker was busy for 97 % of a core</span>");
	has(page, ">10.0 s, steady from 1.50 s, drain from 8.00 s<");
	has(page, ">25.0 ms, 0.25 % of a core, per message 2.50 us (2 threads; the busiest for 31.0 % of the steady time)<");
	has(page, ">9.70 s, 97.0 % of a core, per message 970 us (mosquitto (pid 4711))<");
	has(page, ">3,000,000 messages a second, 250 ns each<");
	has(page, ">3 ($SYS/broker/publish/messages/dropped)<");
	has(page, "<td class=\"w\">sensor.ack.p99&lt;5ms</td><td>721.5</td><td class=\"w bad\">missed</td>");
	has(page, "<td>3</td><td class=\"w\">collector</td><td class=\"w\">sensor</td><td class=\"w\">the subscriber&#39;s session was taken over</td><td class=\"w\">DISCONNECT 0x8e ");
	has(page, "<td class=\"w\">sensor</td><td>17</td><td>50</td><td>50</td><td>47</td><td>3</td><td>0</td><td>0</td></tr>");
	has(page, "colspan=\"8\">and 4 more</td>");
	has(page, "<td>1</td><td class=\"w\">sensor</td><td class=\"w\">refused</td><td class=\"w\">CONNACK: Not authorized &lt;script");
	has(page, "<td class=\"w\">ready</td><td>204</td><td>203</td><td>1</td><td class=\"w good\">held</td>");
	has(page, "<th scope=\"row\">sent</th><td>5,000</td>");
	has(page, "<th scope=\"row\">lost</th><td>3</td><td class=\"w\">owed and not delivered when the drain was over</td>");
	has_not(page, ">duplicated</th><td>");
	has(page, "<code>mqassay load fan-in localhost:1883 -D sensors=200</code>");
	/* of each role: throughput; connect (of which the collector has too few) and ack or delivery, each over time and by percentile */
	assert_int_equal(count(page, "<figure>"), 1 + 2 + 2 + 1 + 2);
	assert_int_equal(count(page, ">steady</text>"), 3 + 2);
	has(page, "<title id=\"t4\">sensor: ack over time</title>\n<desc id=\"d4\">p50: ");
	free(page);
	figures_free(f);
}

/* From the title of a chart to its first line of that colour. */
static const char *line_of(const char *page, const char *title, const char *class)
{
	const char *at = strstr(page, title);

	assert_non_null(at);
	at = strstr(at, class);
	assert_non_null(at);
	return strstr(at, " d=\"") + 4;
}

static void throughput_is_to_scale(void **state)
{
	struct figures *f = figures_new();
	const struct figures *runs[] = { f };
	static const uint64_t sent[] = { 50, 200, 0, 0, 0, 100, 20 };	/* a second; the last is a fifth of one */
	double x[8], y[8];
	char *page;
	int n;

	(void)state;
	FIGURES_APPEND(f, roles)->name = "a";
	for (unsigned s = 0; s < 7; s++)
		if (sent[s]) {
			figures_second(&f->roles[0], s * UINT64_C(1000000000))->counts[COUNT_sent] = sent[s];
			f->roles[0].total.counts[COUNT_sent] += sent[s];
		}
	f->duration_ns = UINT64_C(6500000000);
	f->roles[0].seconds[3].tally.counts[COUNT_sent] = 50;	/* in half a second: as 100 a second */
	page = page_of(runs, 1);
	is_sound(page);
	n = sscanf(line_of(page, ">a: messages a second<", "class=\"l k0\""), "M%lf %lfL%lf %lfL%lf %lfL%lf %lfL%lf %lfL%lf %lf\"", &x[0], &y[0], &x[1], &y[1], &x[2], &y[2], &x[3], &y[3],
	           &x[4], &y[4], &x[5], &y[5]);
	assert_int_equal(n, 12);
	assert_true(fabs(x[1] - x[0] - (x[2] - x[1])) < 0.15 && fabs(x[4] - x[1] - 4 * (x[1] - x[0])) < 0.3);
	assert_true(y[2] == y[3] && y[2] > y[0] && y[0] > y[4] && y[4] > y[1]);
	assert_true(fabs(y[2] - y[0] - (y[2] - y[1]) / 4) < 0.15);	/* 50 of 200 */
	assert_true(fabs(y[2] - y[4] - (y[2] - y[1]) / 2) < 0.15);	/* 100 of 200 */
	assert_true(fabs(y[5] - y[4]) < 0.15);
	has(page, ">200</text>");
	has(page, ">6 s</text>");
	free(page);
	figures_free(f);
}

/* No latency where nothing was timed: the line has a gap, and a second that stands alone is a dot. */
static void latency_has_gaps(void **state)
{
	struct figures *f = figures_new();
	const struct figures *runs[] = { f };
	char *page;
	double x[3], y[3];

	(void)state;
	FIGURES_APPEND(f, roles)->name = "a";
	f->duration_ns = UINT64_C(6000000000);
	for (unsigned s = 0; s < 6; s++)
		if (s != 2 && s != 4)
			tally_time(figures_second(&f->roles[0], s * UINT64_C(1000000000)), TIME_ACK, 0, 0, s == 1 ? 100000 : s == 3 ? 10000 : 1000000);
	for (unsigned i = 0; i < 10; i++)
		tally_time(&f->roles[0].total, TIME_ACK, 0, 0, 1000000);
	page = page_of(runs, 1);
	is_sound(page);
	assert_int_equal(sscanf(line_of(page, ">a: ack over time<", "class=\"l k2\""), "M%lf %lfL%lf %lfM%lf %lfh0.1M", &x[0], &y[0], &x[1], &y[1], &x[2], &y[2]), 6);
	assert_true(y[0] < y[1] && y[1] < y[2]);
	assert_true(fabs((y[1] - y[0]) - (y[2] - y[1])) < 1.5);	/* decades are equally high; buckets are 0.1 % wide */
	has(page, ">10 us</text>");
	has(page, ">1 ms</text>");
	free(page);
	figures_free(f);
}

static void shows_runs_side_by_side(void **state)
{
	struct figures *f[3] = { sample_figures(3), sample_figures(5), sample_figures(4) };
	const struct figures *runs[] = { f[0], f[1], f[2] };
	char *page;

	(void)state;
	f[1]->target = "other:1883";
	f[1]->roles[1].name = "reader";		/* which the others have not */
	f[2]->unable = "could not connect: " SAMPLE_HARM;
	f[2]->n_roles = 0;
	page = page_of(runs, 3);
	is_sound(page);
	has(page, "<th scope=\"col\" class=\"w\">1 localhost:1883</th><th scope=\"col\" class=\"w\">2 other:1883</th><th scope=\"col\" class=\"w\">3 localhost:1883</th>");
	has(page, "<th scope=\"row\">sent</th><td>1,500</td><td>2,500</td><td></td>");
	has(page, "<h2>Role collector</h2>");
	has(page, "<h2>Role reader</h2>");
	assert_int_equal(count(page, "<h2>Role sensor</h2>"), 1);
	has(page, "could not be played</span>: could not connect: &lt;script&gt;");
	has(page, ">sensor: messages a second (2 other:1883)<");
	has(page, ">sensor: ack by percentile<");
	has(page, "> 2 other:1883, uncorrected</span>");
	has(page, ", 3 runs side by side");
	free(page);
	f[2]->n_roles = 2;
	for (unsigned i = 0; i < 3; i++)
		figures_free(f[i]);
}

/* What was read from a file may hold any numbers: the page is as it is, but it is one, and it ends. */
static void survives_nonsense(void **state)
{
	struct figures *f = sample_figures(3), *none = figures_new();
	const struct figures *runs[20];
	char *page;

	(void)state;
	f->roles[0].interval_ns = 0;
	f->roles[1].interval_ns = UINT64_MAX / 4;
	f->roles[0].seconds[2].at = UINT64_MAX;
	f->roles[1].seconds[0].at = UINT64_MAX / 2;
	f->roles[0].seconds[0].tally.counts[COUNT_sent] = UINT64_MAX;
	f->roles[0].total.counts[COUNT_sent] = UINT64_MAX;
	f->roles[0].seconds[1].tally.timings[TIME_ACK].max = UINT64_MAX;
	f->roles[0].total.timings[TIME_ACK].max = UINT64_MAX;
	f->roles[0].total.timings[TIME_ACK].min = 0;
	f->duration_ns = UINT64_MAX;
	f->steady_ns = UINT64_MAX;
	f->drain_ns = 1;
	f->cpu.busiest = NAN;
	f->calibration = (struct figures_calibration){ true, INFINITY, -1 };
	f->losses[0].cause = N_LOSS_CAUSES;
	f->reasons[0].counter = N_COUNTERS;
	f->title = "\xff\xfe\xc0\x80";
	f->limit = NULL;
	for (size_t i = 0; i < 20; i++)
		runs[i] = i % 2 ? none : f;
	page = page_of(runs, 20);
	is_sound(page);
	free(page);
	runs[0] = none;
	page = page_of(runs, 1);
	is_sound(page);
	free(page);
	page = page_of(NULL, 0);
	is_sound(page);
	free(page);
	figures_free(f);
	figures_free(none);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(shows_a_run),
		cmocka_unit_test(throughput_is_to_scale),
		cmocka_unit_test(latency_has_gaps),
		cmocka_unit_test(shows_runs_side_by_side),
		cmocka_unit_test(survives_nonsense),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
