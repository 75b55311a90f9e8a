#include <pty.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cmocka.h>

#include "harness/console.h"
#include "harness/load/tests/sample.h"

/* ---- a terminal, as far as we use one; it shows where each byte comes to stand ---- */

enum { MAX_COLUMNS = 200, MAX_ROWS = 60 };

static struct {
	int master, saved;
	unsigned columns, rows, x, y;
	char screen[MAX_ROWS][MAX_COLUMNS + 1];
	bool styled;
} tty;

static void resize(unsigned columns, unsigned rows)
{
	struct winsize size = { .ws_col = (unsigned short)columns, .ws_row = (unsigned short)rows };

	assert_int_equal(ioctl(tty.master, TIOCSWINSZ, &size), 0);
	tty.columns = columns;
	tty.rows = rows;
}

static int open_terminal(void **state)
{
	int slave;

	(void)state;
	memset(&tty, 0, sizeof(tty));
	if (openpty(&tty.master, &slave, NULL, NULL, NULL) < 0)
		return -1;
	fflush(stderr);
	tty.saved = dup(2);
	dup2(slave, 2);
	close(slave);
	setenv("TERM", "xterm", 1);
	unsetenv("NO_COLOR");
	memset(tty.screen, ' ', sizeof(tty.screen));
	resize(120, 24);
	return 0;
}

static int close_terminal(void **state)
{
	(void)state;
	fflush(stderr);
	dup2(tty.saved, 2);
	close(tty.saved);
	close(tty.master);
	return 0;
}

static void blank(unsigned y, unsigned x)
{
	memset(tty.screen[y] + x, ' ', MAX_COLUMNS - x);
}

static void new_row(void)
{
	if (tty.y + 1 < tty.rows) {
		tty.y++;
		return;
	}
	memmove(tty.screen[0], tty.screen[1], (tty.rows - 1) * sizeof(tty.screen[0]));
	blank(tty.y, 0);
}

/* ESC [ number letter; returns what is behind it. */
static const char *control(const char *at)
{
	unsigned n = (unsigned)strtoul(at, (char **)&at, 10);

	switch (*at++) {
	case 'A':
		assert_true(n <= tty.y);
		tty.y -= n;
		break;
	case 'J':
		for (unsigned y = tty.y + 1; y < tty.rows; y++)
			blank(y, 0);
		/* fall through */
	case 'K':
		blank(tty.y, tty.x);
		break;
	case 'm':
		tty.styled = true;
		break;
	default:
		fail_msg("unknown sequence ending in %c", at[-1]);
	}
	return at;
}

/* What was written comes a while later, in pieces: the bell behind it says that it is all here. */
static void listen_to(char *bytes, size_t cap)
{
	size_t len = 0;

	putc('\a', stderr);
	fflush(stderr);
	do {
		ssize_t n = read(tty.master, bytes + len, cap - 1 - len);

		assert_true(n > 0);
		len += (size_t)n;
	} while (bytes[len - 1] != '\a');
	bytes[len - 1] = 0;
}

static void look(void)
{
	char bytes[16384];

	listen_to(bytes, sizeof(bytes));
	for (const char *at = bytes; *at;) {
		if (*at == '\033' && at[1] == '[') {
			at = control(at + 2);
		} else if (*at == '\r') {
			tty.x = 0;
			at++;
		} else if (*at == '\n') {
			new_row();
			at++;
		} else {
			assert_true((unsigned char)*at >= ' ' && *at < 0x7f);
			if (tty.x == tty.columns) {
				tty.x = 0;
				new_row();
			}
			tty.screen[tty.y][tty.x++] = *at++;
		}
	}
	for (unsigned y = 0; y < tty.rows; y++)
		tty.screen[y][MAX_COLUMNS] = 0;
}

static void shows(const char *const *lines, unsigned n)
{
	look();
	for (unsigned y = 0; y < tty.rows; y++) {
		char line[MAX_COLUMNS + 1];
		size_t len = MAX_COLUMNS;

		memcpy(line, tty.screen[y], sizeof(line));
		while (len && line[len - 1] == ' ')
			len--;
		line[len] = 0;
		assert_string_equal(line, y < n ? lines[y] : "");
	}
}

#define SHOWS(...) do { \
	static const char *const shown_[] = { __VA_ARGS__ }; \
	shows(shown_, sizeof(shown_) / sizeof(*shown_)); \
} while (0)

/* ---- runs of which every figure is known ---- */

static struct figures *run_of(unsigned n_roles)
{
	struct figures *f = figures_new();

	for (unsigned i = 0; i < n_roles; i++) {
		FIGURES_APPEND(f, roles)->name = i == 0 ? "sensor" : i == 1 ? "collector" : figures_say(f, "role_%u", i);
		f->roles[i].clients = i ? 4 : 10000;
	}
	*FIGURES_APPEND(f, meetings) = (struct figures_meeting){ .name = "ready", .expected = 10004 };
	return f;
}

static void set(struct figures *f, unsigned role, enum counter counter, uint64_t n)
{
	f->roles[role].total.counts[counter] = n;
}

static void second(struct figures *f, unsigned role, enum timing timing, uint64_t ns)
{
	tally_time(figures_second(&f->roles[role], f->duration_ns - 1), timing, 0, 0, ns);
}

/* Two seconds of it: the first while clients begin, the second when all are there. */
static void begin(struct figures *f)
{
	f->duration_ns = 1000000000;
	f->active = 9987;
	f->meetings[0].arrived = 9987;
	set(f, 0, COUNT_started, 10000);
	set(f, 1, COUNT_started, 4);
}

static void go_on(struct figures *f)
{
	f->duration_ns = 2000000000;
	f->steady_ns = 1500000000;
	f->active = 10003;
	f->meetings[0].arrived = 10003;
	f->meetings[0].gone = 1;
	f->meetings[0].held = true;
	set(f, 0, COUNT_sent, 50000);
	set(f, 1, COUNT_delivered, 49990);
	set(f, 0, COUNT_refused, 1);
	set(f, 0, COUNT_stopped, 1);
	second(f, 0, TIME_ACK, 1234567);
	second(f, 1, TIME_DELIVERY, 2000000);
}

static void draws_a_table(void **state)
{
	struct figures *f = run_of(2);
	struct progress *p = progress_new(false);

	(void)state;
	begin(f);
	progress_show(p, f);
	SHOWS("0:01, waits for 17 of 10,004 at \"ready\", 9,987 connected",
	      "role                   clients     sent/s delivered/s   ack p99 delivery p99      lost   refused",
	      "sensor           10,000/10,000          -           -         -            -         -         -",
	      "collector                  4/4          -           -         -            -         -         -");
	assert_true(tty.styled);
	go_on(f);
	progress_show(p, f);
	SHOWS("0:02, steady, 10,003 connected",
	      "role                   clients     sent/s delivered/s   ack p99 delivery p99      lost   refused",
	      "sensor            9,999/10,000     50,000           -   1.23 ms            -         -         1",
	      "collector                  4/4          -      49,990         -      2.00 ms         -         -",
	      "sensor: 1 client stopped");
	f->duration_ns = 4000000000;
	f->drain_ns = 3000000000;
	set(f, 0, COUNT_sent, 60000);
	set(f, 0, COUNT_violations, 2);
	set(f, 1, COUNT_lost, 10);
	set(f, 1, COUNT_duplicated, 1);
	set(f, 1, COUNT_reordered, 3);
	progress_show(p, f);
	SHOWS("0:04, drain, 10,003 connected",
	      "role                   clients     sent/s delivered/s   ack p99 delivery p99      lost   refused",
	      "sensor            9,999/10,000      5,000           -         -            -         -         1",
	      "collector                  4/4          -           0         -            -        10         -",
	      "sensor: 2 broken rules, 1 client stopped",
	      "collector: 1 duplicate, 3 out of order");
	console_print(stderr, "in between\n");
	SHOWS("in between");
	progress_show(p, f);
	progress_end(p);
	SHOWS("in between");
	figures_free(f);
}

static void fits_into_a_narrow_terminal(void **state)
{
	struct figures *f = run_of(5);
	struct progress *p = progress_new(false);

	(void)state;
	begin(f);
	go_on(f);
	resize(80, 6);
	progress_show(p, f);
	SHOWS("0:02, steady, 10,003 connected",
	      "role                   clients     sent/s delivered/s   ack p99 delivery p99",
	      "sensor            9,999/10,000     25,000           -   1.23 ms            -",
	      "collector                  4/4          -      24,995         -      2.00 ms",
	      "and 3 more roles");
	resize(30, 24);
	memset(tty.screen, ' ', sizeof(tty.screen));	/* what a real one makes of longer lines; the cursor has moved down with them */
	tty.y = 12;
	progress_show(p, f);
	look();
	assert_memory_equal(tty.screen[tty.y], "sensor: 1 client stopped  ", 26);
	assert_memory_equal(tty.screen[tty.y - 5], "sensor            9,999/10,00 ", 30);
	assert_memory_equal(tty.screen[tty.y - 7], "0:02, steady, 10,003 connecte ", 30);
	assert_int_equal(tty.screen[tty.y - 8][0], ' ');
	progress_end(p);
	look();
	assert_int_equal(tty.screen[tty.y][0], ' ');
	figures_free(f);
}

static void has_no_colour_where_none_is_wanted(void **state)
{
	struct figures *f = run_of(1);
	struct progress *p = progress_new(false);

	(void)state;
	setenv("NO_COLOR", "1", 1);
	begin(f);
	progress_show(p, f);
	look();
	assert_false(tty.styled);
	progress_end(p);
	figures_free(f);
}

static void is_quiet(void **state)
{
	struct figures *f = run_of(1);
	struct progress *p = progress_new(true);
	char bytes[100];

	(void)state;
	begin(f);
	progress_show(p, f);
	progress_end(p);
	progress_end(NULL);
	listen_to(bytes, sizeof(bytes));
	assert_string_equal(bytes, "");
	figures_free(f);
}

/* ---- elsewhere ---- */

static int file = -1, saved_stderr;

static int open_file(void **state)
{
	char path[] = "/tmp/test-progress.XXXXXX";

	(void)state;
	file = mkstemp(path);
	unlink(path);
	fflush(stderr);
	saved_stderr = dup(2);
	return file >= 0 && dup2(file, 2) == 2 ? 0 : -1;
}

static int close_file(void **state)
{
	(void)state;
	fflush(stderr);
	dup2(saved_stderr, 2);
	close(saved_stderr);
	return close(file);
}

static void prints_lines(void **state)
{
	struct figures *f = run_of(2);
	struct progress *p = progress_new(false);
	char text[4000];
	ssize_t n;

	(void)state;
	begin(f);
	progress_show(p, f);
	f->duration_ns += 500000000;
	progress_show(p, f);			/* nothing new */
	go_on(f);
	progress_show(p, f);			/* steady */
	for (unsigned i = 0; i < 19; i++) {	/* twice ten seconds, nearly */
		f->duration_ns += 1000000000;
		f->roles[0].total.counts[COUNT_sent] += 50000;
		progress_show(p, f);
	}
	f->drain_ns = f->duration_ns;
	f->active = 0;
	set(f, 0, COUNT_finished, 9999);
	set(f, 1, COUNT_finished, 4);
	set(f, 1, COUNT_lost, 10);
	set(f, 0, COUNT_violations, 1);
	progress_show(p, f);
	progress_end(p);
	n = pread(file, text, sizeof(text) - 1, 0);
	assert_true(n > 0);
	text[n] = 0;
	assert_string_equal(text,
		"0:01, waits for 17 of 10,004 at \"ready\", 9,987 connected: sensor 10,000/10,000 clients; collector 4/4 clients\n"
		"0:02, steady, 10,003 connected: sensor 9,999/10,000 clients, 50,000 sent/s, ack p99 1.23 ms, 1 refused, 1 client stopped; "
		"collector 4/4 clients, 49,990 delivered/s, delivery p99 2.00 ms\n"
		"0:12, steady, 10,003 connected: sensor 9,999/10,000 clients, 50,000 sent/s, 1 refused, 1 client stopped; collector 4/4 clients, 0 delivered/s\n"
		"0:21, drain, 0 connected: sensor 9,999/10,000 clients, 50,000 sent/s, 1 refused, 1 broken rule, 1 client stopped; "
		"collector 4/4 clients, 0 delivered/s, 10 lost\n");
	figures_free(f);
}

static void prints_few_roles(void **state)
{
	struct figures *f = run_of(70);
	struct progress *p = progress_new(false);
	char text[4000];
	ssize_t n;

	(void)state;
	f->meetings[0].name = "x\n\033[2J";
	f->duration_ns = UINT64_C(3723000000000);
	progress_show(p, f);
	progress_end(p);
	n = pread(file, text, sizeof(text) - 1, 0);
	assert_true(n > 0);
	text[n] = 0;
	assert_non_null(strstr(text, "1:02:03, waits for 10,004 of 10,004 at \"x\\n\\x1b[2J\", 0 connected: "));
	assert_non_null(strstr(text, "; role_7 0/4 clients; and 62 more roles\n"));
	figures_free(f);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(draws_a_table, open_terminal, close_terminal),
		cmocka_unit_test_setup_teardown(fits_into_a_narrow_terminal, open_terminal, close_terminal),
		cmocka_unit_test_setup_teardown(has_no_colour_where_none_is_wanted, open_terminal, close_terminal),
		cmocka_unit_test_setup_teardown(is_quiet, open_terminal, close_terminal),
		cmocka_unit_test_setup_teardown(prints_lines, open_file, close_file),
		cmocka_unit_test_setup_teardown(prints_few_roles, open_file, close_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
