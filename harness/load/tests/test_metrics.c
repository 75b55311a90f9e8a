#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "harness/load/http_request.h"
#include "harness/load/metrics.h"
#include "harness/load/tests/sample.h"

/* ---- requests ---- */

#define HOST "Host: a\r\n"

static const struct row {
	const char *name, *text;
	unsigned status;		/* 0: well-formed; 1: more is needed */
	const char *path;
} rows[] = {
	{ "prometheus", "GET /metrics HTTP/1.1\r\n" HOST "\r\n", 0, "/metrics" },
	{ "a query and a body", "GET /metrics?x=y?z HTTP/1.1\r\n" HOST "Accept: text/plain;q=0.5\r\n\r\nbody", 0, "/metrics" },
	{ "HEAD, bare newlines", "HEAD / HTTP/1.0\n\n", 0, "/" },
	{ "a star", "OPTIONS * HTTP/1.1\r\nhost:\r\n\r\n", 0, "*" },
	{ "not yet whole", "GET /metrics HTTP/1.1\r\n" HOST "\r", 1, NULL },
	{ "half a line", "GET /metrics HT", 1, NULL },
	{ "nothing", "", 1, NULL },
	{ "no Host", "GET /metrics HTTP/1.1\r\n\r\n", 400, NULL },
	{ "two Hosts", "GET /metrics HTTP/1.1\r\n" HOST HOST "\r\n", 400, NULL },
	{ "HTTP/2.0", "GET /metrics HTTP/2.0\r\n", 505, NULL },
	{ "no digit in the version", "GET /metrics HTTP/1.x\r\n", 400, NULL },
	{ "lower case", "GET /metrics http/1.1\r\n", 400, NULL },
	{ "HTTP/0.9", "GET /metrics\r\n", 400, NULL },
	{ "two spaces", "GET  /metrics HTTP/1.1\r\n", 400, NULL },
	{ "a space in the path", "GET /a b HTTP/1.1\r\n", 400, NULL },
	{ "no ASCII", "GET /\x80 HTTP/1.1\r\n", 400, NULL },
	{ "no token", "G(T / HTTP/1.1\r\n", 400, NULL },
	{ "no method", " / HTTP/1.1\r\n", 400, NULL },
	{ "an empty line", "\r\n", 400, NULL },
	{ "TLS", "\x16\x03\x01\n", 400, NULL },
	{ "a space before the colon", "GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400, NULL },
	{ "a folded header", "GET / HTTP/1.1\r\n" HOST " folded\r\n\r\n", 400, NULL },
	{ "a control character", "GET / HTTP/1.1\r\n" HOST "X: a\x01z\r\n\r\n", 400, NULL },
	{ "no name", "GET / HTTP/1.1\r\n" HOST ": a\r\n\r\n", 400, NULL },
	{ "no colon", "GET / HTTP/1.1\r\n" HOST "a\r\n\r\n", 400, NULL },
};

enum { N_ROWS = sizeof(rows) / sizeof(*rows) };

static void reads(void **state)
{
	const struct row *row = *state;
	struct http_request request;
	size_t len = strlen(row->text), used = 0;

	for (size_t n = 0; n <= len && !used; n++)	/* byte by byte: it is told as soon as it is sure */
		used = http_request_read((const uint8_t *)row->text, n, &request);
	assert_int_equal(!used, row->status == 1);
	if (row->status == 1)
		return;
	assert_int_equal(request.status, row->status);
	if (row->path) {
		assert_true(span_is(request.path, row->path));
		assert_string_equal(row->text + used, strstr(row->text, "body") ? "body" : "");
	}
}

static void has_limits(void **state)
{
	static char text[HTTP_REQUEST_MAX + 10];
	struct http_request request;
	int len;

	(void)state;
	memset(text, 'a', sizeof(text));
	assert_int_equal(http_request_read((uint8_t *)text, HTTP_REQUEST_MAX - 1, &request), 0);
	assert_int_equal(http_request_read((uint8_t *)text, HTTP_REQUEST_MAX, &request), HTTP_REQUEST_MAX);
	assert_int_equal(request.status, 414);
	len = sprintf(text, "GET / HTTP/1.1\r\nX: ");
	text[len] = 'a';
	assert_int_equal(http_request_read((uint8_t *)text, HTTP_REQUEST_MAX + 10, &request), HTTP_REQUEST_MAX);
	assert_int_equal(request.status, 431);
	len = sprintf(text, "GET /%02100d HTTP/1.1\r\n", 0);
	assert_int_equal(http_request_read((uint8_t *)text, (size_t)len, &request), len);
	assert_int_equal(request.status, 414);
}

/* ---- the text ---- */

static char *text_of(const struct figures *f)
{
	char *text;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	metrics_write(out, f);
	assert_int_equal(fclose(out), 0);
	return text;
}

static bool is_name(const char *at, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (!((at[i] >= 'a' && at[i] <= 'z') || at[i] == '_' || (i && at[i] >= '0' && at[i] <= '9')))
			return false;
	return len > 0;
}

/* name{label="value",...} number: what stands in a line, as strictly as it can be read. Returns the number. */
static double read_sample(const char *line, char *name, char *le)
{
	size_t len = strcspn(line, "{ ");
	char *end;
	double value;

	assert_true(is_name(line, len) && len < 100);
	sprintf(name, "%.*s", (int)len, line);
	*le = 0;
	line += len;
	if (*line == '{') {
		do {
			size_t label = strcspn(++line, "=");
			const char *from = line + label + 2;
			bool is_le = label == 2 && memcmp(line, "le", 2) == 0;

			assert_true(is_name(line, label) && line[label + 1] == '"');
			for (line = from; *line != '"'; line++) {
				assert_true((unsigned char)*line >= ' ');
				if (*line == '\\')
					assert_true(*++line == '\\' || *line == '"' || *line == 'n');
			}
			if (is_le)
				sprintf(le, "%.*s", (int)(line - from), from);
			line++;
		} while (*line == ',');
		assert_int_equal(*line++, '}');
	}
	assert_int_equal(*line++, ' ');
	value = strtod(line, &end);
	assert_true(end > line && !*end);
	return value;
}

/* A family's lines stand together behind its HELP and TYPE; counters end in _total; buckets rise up to +Inf, which is the count. */
static void is_read_by_prometheus(void **state)
{
	struct figures *f = sample_figures(5);
	char *text = text_of(f), *at = text, *line, family[100] = "", type[20] = "", seen[8000] = "", told[104];
	char name[100], le[32];
	double before = 0, last_le = 0, infinite = 0;
	unsigned families = 0, samples = 0;

	(void)state;
	assert_int_equal(text[strlen(text) - 1], '\n');
	while ((line = strsep(&at, "\n")) && at) {
		if (sscanf(line, "# HELP %99s ", family) == 1) {
			snprintf(told, sizeof(told), "\n%s\n", family);
			assert_null(strstr(seen, told));
			assert_true(strlen(seen) + sizeof(told) < sizeof(seen));
			strcat(seen, told);
			assert_true(strlen(line) > strlen("# HELP  ") + strlen(family));
			families++;
			continue;
		}
		if (sscanf(line, "# TYPE %99s %19s", name, type) == 2) {
			assert_string_equal(name, family);
			assert_true(strcmp(type, "gauge") == 0 || strcmp(type, "counter") == 0 || strcmp(type, "histogram") == 0);
			assert_int_equal(strcmp(type, "counter") == 0, strlen(name) > 6 && strcmp(name + strlen(name) - 6, "_total") == 0);
			continue;
		}
		double value = read_sample(line, name, le);
		samples++;
		assert_memory_equal(name, family, strlen(family));
		const char *rest = name + strlen(family);
		assert_int_equal(*le != 0, strcmp(rest, "_bucket") == 0);
		if (strcmp(type, "histogram") != 0) {
			assert_string_equal(rest, "");
		} else if (*le) {
			double bound = strcmp(le, "+Inf") == 0 ? 1e300 : strtod(le, NULL);

			assert_true(last_le == 0 || (bound > last_le && value >= before));
			before = value;
			last_le = bound == 1e300 ? 0 : bound;
			infinite = value;
		} else if (strcmp(rest, "_count") == 0)
			assert_true(value == infinite && value > 0);
		else
			assert_string_equal(rest, "_sum");
	}
	assert_true(families > N_COUNTERS + 15);
	assert_true(samples > 2 * N_COUNTERS + 5 * 24);
	free(text);
	figures_free(f);
}

static void has(const char *text, const char *line)
{
	const char *at = strstr(text, line);

	if (!at)
		fail_msg("missing: %s", line);
	assert_true(at == text || at[-1] == '\n');
	assert_int_equal(at[strlen(line)], '\n');
}

static void says_what_stands(void **state)
{
	struct figures *f = sample_figures(5);
	char *text;

	(void)state;
	f->workload = "a\"b\\c\nd";
	f->cpu.broker_known = true;
	f->cpu.broker_ns = 1500000000;
	text = text_of(f);
	has(text, "mqassay_load_info{version=\"0.1.0\",workload=\"a\\\"b\\\\c\\\\nd\",target=\"localhost:1883\",mqtt=\"5\",shard=\"0\",shards=\"1\"} 1");
	has(text, "mqassay_load_start_time_seconds 1795285237.000");
	has(text, "mqassay_load_elapsed_seconds 5.000");
	has(text, "mqassay_load_phase{phase=\"ramp\"} 0");
	has(text, "mqassay_load_phase{phase=\"steady\"} 1");
	has(text, "mqassay_load_connections 204");
	has(text, "mqassay_load_clients_planned{role=\"sensor\"} 200");
	has(text, "mqassay_load_sent_total{role=\"sensor\"} 2500");
	has(text, "mqassay_load_lost_total{role=\"collector\"} 3");
	has(text, "mqassay_load_meeting_expected{meeting=\"ready\"} 204");
	has(text, "mqassay_load_meeting_arrived{meeting=\"ready\"} 203");
	has(text, "mqassay_load_meeting_gone{meeting=\"ready\"} 1");
	has(text, "mqassay_load_meeting_held{meeting=\"ready\"} 1");
	has(text, "mqassay_load_broker_cpu_seconds_total 1.500000000");
	has(text, "mqassay_load_ack_seconds_count{role=\"sensor\"} 2500");
	assert_null(strstr(text, "mqassay_load_ack_seconds_count{role=\"collector\"}"));
	assert_null(strstr(text, "lateness_uncorrected"));
	free(text);
	figures_free(f);
}

/* What lies at a bound counts below it; the sum is exact where buckets are one nanosecond wide. */
static void puts_timings_into_buckets(void **state)
{
	struct figures *f = sample_figures(0);
	struct tally *t = &f->roles[0].total;
	char *text;

	(void)state;
	tally_time(t, TIME_ACK, 0, 0, 10000);
	tally_time(t, TIME_ACK, 0, 0, 10010);
	tally_time(t, TIME_ACK, 0, 0, 1000000);
	tally_time(t, TIME_ACK, 0, 0, UINT64_C(70000000000));
	tally_time(t, TIME_DELIVERY, 0, 0, 1000);
	tally_time(t, TIME_DELIVERY, 0, 0, 500);
	text = text_of(f);
	has(text, "mqassay_load_ack_seconds_bucket{role=\"sensor\",le=\"0.00001\"} 1");
	has(text, "mqassay_load_ack_seconds_bucket{role=\"sensor\",le=\"0.000025\"} 2");
	has(text, "mqassay_load_ack_seconds_bucket{role=\"sensor\",le=\"0.0005\"} 2");
	has(text, "mqassay_load_ack_seconds_bucket{role=\"sensor\",le=\"0.001\"} 3");
	has(text, "mqassay_load_ack_seconds_bucket{role=\"sensor\",le=\"60\"} 3");
	has(text, "mqassay_load_ack_seconds_bucket{role=\"sensor\",le=\"+Inf\"} 4");
	has(text, "mqassay_load_delivery_seconds_sum{role=\"sensor\"} 1.5e-06");
	free(text);
	figures_free(f);
}

/* ---- the server ---- */

struct visit {				/* one client of it */
	struct loop loop;
	struct metrics *metrics;
	struct transport *t;
	const char *request;
	size_t each;			/* bytes a send */
	size_t sent;
	bool half_close, until_sent;
	char got[400000];
	size_t n_got;
	bool ended, reset;
	struct timer deadline;
};

static void too_long(struct timer *timer, struct loop *loop)
{
	(void)timer;
	loop_stop(loop);
}

static void send_some(struct visit *v)
{
	size_t len = strlen(v->request);

	while (v->sent < len) {
		size_t n = len - v->sent < v->each ? len - v->sent : v->each;
		ssize_t taken = v->t->ops->send(v->t, v->request + v->sent, n);

		if (taken < 0)
			return;
		v->sent += (size_t)taken;
	}
	if (v->half_close)
		v->t->ops->finish(v->t);
	v->half_close = false;
	if (v->until_sent)
		loop_stop(&v->loop);
}

static void visit_event(struct transport *t, unsigned events)
{
	struct visit *v = t->owner;

	if (events & (TRANSPORT_OPEN | TRANSPORT_WRITABLE))
		send_some(v);
	if (events & TRANSPORT_READABLE) {
		ssize_t n = t->ops->recv(t, v->got + v->n_got, sizeof(v->got) - 1 - v->n_got);

		if (n == -EAGAIN)
			return;
		if (n > 0) {
			v->n_got += (size_t)n;
			return;
		}
		v->ended = true;
		v->reset = n < 0;
		loop_stop(&v->loop);
	}
}

static struct visit *visit_new(void)
{
	struct visit *v = calloc(1, sizeof(*v));
	struct fault fault;

	assert_non_null(v);
	assert_int_equal(loop_init(&v->loop, false), 0);
	v->metrics = metrics_new(&v->loop, "0", &fault);
	assert_non_null(v->metrics);
	v->each = SIZE_MAX;
	v->deadline.fire = too_long;
	return v;
}

/* Whether it has ended. */
static bool visit_begins(struct visit *v, const char *request)
{
	struct address address = { .kind = ADDRESS_TCP, .host = "127.0.0.1", .port = metrics_port(v->metrics) };

	v->request = request;
	v->sent = v->n_got = 0;
	v->ended = false;
	v->t = transport_connect(&v->loop, &address, visit_event, v);
	assert_non_null(v->t);
	loop_timer(&v->loop, &v->deadline, v->loop.now_ns + UINT64_C(20000000000));
	loop_run(&v->loop);
	return v->ended;
}

static const char *visit(struct visit *v, const char *request)
{
	assert_true(visit_begins(v, request));
	v->t->ops->close(v->t, false);
	v->got[v->n_got] = 0;
	return v->got;
}

static void visit_free(struct visit *v)
{
	metrics_free(v->metrics);
	loop_timer_stop(&v->loop, &v->deadline);
	loop_settle(&v->loop);
	loop_release(&v->loop);
	free(v);
}

static const char ask[] = "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n";

static void serves(void **state)
{
	struct visit *v = visit_new();
	struct figures *f = sample_figures(3);
	const char *got, *body;
	size_t len;
	int full;

	(void)state;
	got = visit(v, ask);
	assert_non_null(strstr(got, "\r\n\r\n# The run has not begun.\n"));
	metrics_show(v->metrics, f);
	got = visit(v, ask);
	assert_memory_equal(got, "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n", 73);
	body = strstr(got, "\r\n\r\n");
	assert_non_null(body);
	assert_int_equal(sscanf(strstr(got, "Content-Length"), "Content-Length: %zu", &len), 1);
	assert_int_equal(strlen(body + 4), len);
	assert_non_null(strstr(body, "mqassay_load_sent_total{role=\"sensor\"} 1500\n"));
	full = (int)len;
	got = visit(v, "HEAD /metrics HTTP/1.0\r\n\r\n");
	assert_int_equal(sscanf(strstr(got, "Content-Length"), "Content-Length: %zu", &len), 1);
	assert_true(len > 1000 && (int)len / 100 == full / 100);	/* the memory of this process may have grown in between */
	assert_string_equal(strstr(got, "\r\n\r\n"), "\r\n\r\n");
	v->each = 1;
	assert_memory_equal(visit(v, ask), "HTTP/1.1 200 ", 13);
	v->half_close = true;
	assert_memory_equal(visit(v, ask), "HTTP/1.1 200 ", 13);
	visit_free(v);
	figures_free(f);
}

static void refuses(void **state)
{
	struct visit *v = visit_new();
	char *large = calloc(1, 60000);

	(void)state;
	assert_memory_equal(visit(v, "GET / HTTP/1.0\r\n\r\n"), "HTTP/1.1 404 Not Found\r\n", 24);
	assert_non_null(strstr(v->got, "\r\n\r\n404 Not Found: what there is is /metrics\n"));
	assert_memory_equal(visit(v, "POST /metrics HTTP/1.0\r\nContent-Length: 5\r\n\r\n12345"), "HTTP/1.1 405 Method Not Allowed\r\n", 33);
	assert_non_null(strstr(v->got, "\r\nAllow: GET, HEAD\r\n"));
	assert_memory_equal(visit(v, "\x16\x03\x01\n"), "HTTP/1.1 400 Bad Request\r\n", 26);
	memset(large, 'a', 59999);
	assert_memory_equal(visit(v, large), "HTTP/1.1 414 URI Too Long\r\n", 27);	/* and all of it is read: no reset */
	assert_false(v->reset);
	free(large);
	visit_free(v);
}

static void is_cut_off(void **state)
{
	struct visit *v = visit_new();

	(void)state;
	v->until_sent = true;
	assert_false(visit_begins(v, "GET /met"));
	metrics_free(v->metrics);
	v->metrics = NULL;
	v->until_sent = false;
	loop_run(&v->loop);
	assert_true(v->ended && v->reset && v->n_got == 0);
	v->t->ops->close(v->t, false);
	visit_free(v);
}

static void says_why_it_cannot_listen(void **state)
{
	static const char *const wrong[] = { "", "no", "http://localhost:9100", "99999", "[::1", "localhost:x" };
	struct visit *v = visit_new();
	struct fault fault;
	char text[40], expected[120];

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		memset(&fault, 0, sizeof(fault));
		assert_null(metrics_new(&v->loop, wrong[i], &fault));
		assert_true(*fault.text);
	}
	snprintf(text, sizeof(text), "127.0.0.1:%u", metrics_port(v->metrics));
	assert_null(metrics_new(&v->loop, text, &fault));
	snprintf(expected, sizeof(expected), "cannot listen at %s: Address already in use", text);
	assert_string_equal(fault.text, expected);
	visit_free(v);
}

int main(void)
{
	static const struct CMUnitTest others[] = {
		cmocka_unit_test(has_limits),
		cmocka_unit_test(is_read_by_prometheus),
		cmocka_unit_test(says_what_stands),
		cmocka_unit_test(puts_timings_into_buckets),
		cmocka_unit_test(serves),
		cmocka_unit_test(refuses),
		cmocka_unit_test(is_cut_off),
		cmocka_unit_test(says_why_it_cannot_listen),
	};
	enum { N_OTHERS = sizeof(others) / sizeof(*others) };
	struct CMUnitTest tests[N_ROWS + N_OTHERS];

	for (size_t i = 0; i < N_ROWS; i++)
		tests[i] = (struct CMUnitTest){ .name = rows[i].name, .test_func = reads, .initial_state = (void *)&rows[i] };
	memcpy(tests + N_ROWS, others, sizeof(others));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
