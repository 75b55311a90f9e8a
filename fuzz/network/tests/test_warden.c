#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "fuzz/network/warden_internal.h"
#include "harness/free_port.h"
#include "reference-broker/server.h"

/*
 * The target is this very program, started again as a broker that is well until it is told, by SIGUSR1 with a number, what to suffer from.
 */
enum ill { WELL, DIES_OF_SIGNAL, EXITS, ASSERTS, REPORTS_AND_DIES, REPORTS_AND_LINGERS, REPORTS, HANGS, IS_LATE, GROWS };

#define PATIENCE_NS (60000 * MS)
#define GROWS_BY (UINT64_C(24) << 20)

/* ---- the target ---- */

static volatile sig_atomic_t ill, ends;
static char *volatile kept;

static void on_ill(int number, siginfo_t *info, void *context)
{
	(void)number, (void)context;
	ill = info->si_value.sival_int;
}

static void on_end(int number)
{
	(void)number;
	ends = 1;
}

static const char an_error[] =
	"==1==ERROR: AddressSanitizer: heap-buffer-overflow on address 0x1\n    #0 0x1 in read_topic a.c:1\n    #1 0x2 in main a.c:2\n\nSUMMARY: AddressSanitizer: heap-buffer-overflow a.c:1 in read_topic\n";
static const char undefined[] = "src/a.c:7:1: runtime error: signed integer overflow: 1 + 2 cannot be represented in type 'int'\n    #0 0x1 in add src/a.c:7\n";
static const char known_leak[] = "==1==ERROR: LeakSanitizer: detected memory leaks\n\nDirect leak of 5 byte(s) in 1 object(s) allocated from:\n    #0 0x1 in set_up a.c:9\n\n";
static const char new_leak[] = "Direct leak of 9 byte(s) in 1 object(s) allocated from:\n    #0 0x1 in add_will a.c:3\n\n";

/* As a sanitizer does: where log_path says. */
static void report(const char *text)
{
	const char *path = strstr(getenv("ASAN_OPTIONS"), "log_path='");
	char name[300];
	FILE *f;

	snprintf(name, sizeof(name), "%.*s.%d", (int)strcspn(path + 10, "'"), path + 10, getpid());
	f = fopen(name, "a");
	if (!f || fputs(text, f) < 0 || fclose(f) != 0)
		_exit(99);
}

static void nap(long ns)
{
	const struct timespec pause = { .tv_nsec = ns };

	nanosleep(&pause, NULL);
}

static void suffer(enum ill what)
{
	switch (what) {
	case DIES_OF_SIGNAL:
		signal(SIGSEGV, SIG_DFL);
		raise(SIGSEGV);
		break;
	case EXITS:
		_exit(3);
	case ASSERTS:
		fputs("broker: src/packet.c:71: take_packet: Assertion `len > 5' failed.\n", stderr);
		signal(SIGABRT, SIG_DFL);
		raise(SIGABRT);
		break;
	case REPORTS_AND_DIES:
		report(an_error);
		_exit(1);
	case REPORTS_AND_LINGERS:
		report(an_error);
		for (unsigned i = 0; i < 10; i++)
			nap(20000000);
		_exit(1);
	case REPORTS:
		report(undefined);
		ill = WELL;
		break;
	case HANGS:
		for (;;)
			pause();
	case IS_LATE:
		nap(10000000);
		break;
	case GROWS:
		kept = malloc(GROWS_BY);
		memset(kept, 1, GROWS_BY);
		ill = WELL;
		break;
	case WELL:
		break;
	}
}

static bool leaky;

static void on_poll(struct timer *timer, struct loop *loop)
{
	if (ends) {
		if (leaky)
			report(known_leak);
		_exit(leaky ? 23 : 0);
	}
	suffer((enum ill)ill);
	loop_timer(loop, timer, loop->now_ns + (ill == IS_LATE ? 1 : 2 * MS));
}

static bool may_not(void *rules, struct span user_name, struct span client_id, enum act act, struct span topic)
{
	(void)rules, (void)user_name, (void)client_id, (void)act, (void)topic;
	return false;
}

static int broker(unsigned port, const char *how)
{
	struct sigaction action = { .sa_sigaction = on_ill, .sa_flags = SA_SIGINFO };
	struct timer poll = { .fire = on_poll };
	struct address address = { .host = "127.0.0.1", .port = port };
	struct broker_config config;
	struct loop loop;

	sigaction(SIGUSR1, &action, NULL);
	signal(SIGTERM, on_end);
	leaky = strcmp(how, "leaky") == 0;
	broker_defaults(&config);
	if (strcmp(how, "denies") == 0)
		config.may = may_not;
	if (loop_init(&loop, false) != 0 || !server_listen(server_new(&loop, &config), &address))
		return 98;
	loop_timer(&loop, &poll, loop.now_ns);
	loop_run(&loop);
	return 97;
}

/* ---- its warden ---- */

static struct loop loop;
static struct warden *w;
static struct symptom symptom, alarm_seen;
static unsigned n_alarms;
static char folder[64], self[300];

static void too_late(struct timer *timer, struct loop *l)
{
	(void)timer, (void)l;
	fail_msg("nothing came in time");
}

static void on_alarm(void *context, const struct symptom *seen)
{
	assert_ptr_equal(context, &n_alarms);
	alarm_seen = *seen;
	n_alarms++;
	loop_stop(&loop);
}

static void make_ill(enum ill what)
{
	const union sigval value = { .sival_int = (int)what };

	assert_int_equal(sigqueue(process_child(w->process)->pid, SIGUSR1, value), 0);
}

static void await_alarm(void)
{
	struct timer timer = { .fire = too_late };

	loop_timer(&loop, &timer, clock_now(&loop.clock) + PATIENCE_NS);
	assert_true(loop_run(&loop));
	loop_timer_stop(&loop, &timer);
	assert_int_equal(n_alarms, 1);
}

/* It is watched, and falls ill. */
static void watch_and_make_ill(enum ill what)
{
	n_alarms = 0;
	warden_watch(w, 5 * MS, on_alarm, &n_alarms);
	make_ill(what);
	await_alarm();
}

static void look(bool resources)
{
	memset(&symptom, 0x55, sizeof(symptom));
	warden_check(w, resources, &symptom);
}

static void is_well(void)
{
	look(true);
	if (symptom.oracle != ORACLE_NONE)
		fail_msg("%s: %s", symptom.bucket, symptom.text);
	assert_string_equal(symptom.bucket, "");
}

static void restart(void)
{
	if (!warden_restart(w, false, &symptom))
		fail_msg("%s", symptom.text);
	is_well();
}

/* One for most tests: a baseline takes a second. */
static int set_up(void **state)
{
	struct warden_options options = { .loop = &loop, .start_timeout_ns = PATIENCE_NS, .timeout_ns = PATIENCE_NS, .grows = GROWS_BY / 2, .folder = folder };
	char command[400], why[600];

	(void)state;
	snprintf(folder, sizeof(folder), "/tmp/mqassay-test-XXXXXX");
	assert_non_null(mkdtemp(folder));
	assert_int_equal(loop_init(&loop, false), 0);
	snprintf(command, sizeof(command), "exec '%s' --broker {port} leaky", self);
	options.exec = command;
	w = warden_new(&options, why, sizeof(why));
	if (!w)
		fail_msg("%s", why);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	warden_free(w);
	loop_settle(&loop);
	loop_release(&loop);
	return rmdir(folder);		/* reports are removed */
}

static void has_a_baseline(void **state)
{
	const struct warden_baseline *b = warden_baseline(w);

	(void)state;
	assert_int_equal(b->versions, 1 << MQTT_3_1 | 1 << MQTT_3_1_1 | 1 << MQTT_5);
	assert_true(b->p50_ns > 0 && b->p50_ns <= b->p99_ns && b->p99_ns <= b->worst_ns);
	assert_true(b->rss > 100000);
	assert_int_equal(b->denied, 0);
	assert_int_equal(b->n_leaks, 1);
	assert_int_equal(b->n_reports, 0);
	assert_string_equal(b->server, "test_warden");
	assert_int_equal(warden_restarts(w), 0);
	assert_true(warden_can_restart(w));
	is_well();
}

static void stays_well(void **state)
{
	(void)state;
	n_alarms = 0;
	warden_watch(w, 5 * MS, on_alarm, &n_alarms);
	for (unsigned i = 0; i < 3; i++) {
		warden_pause(w, 50 * MS);
		assert_true(w->health.n_visits > i);
	}
	assert_int_equal(n_alarms, 0);
	is_well();
}

static void sees_death(void **state)
{
	(void)state;
	watch_and_make_ill(DIES_OF_SIGNAL);
	assert_int_equal(alarm_seen.oracle, ORACLE_DEATH);
	assert_string_equal(alarm_seen.bucket, "death signal 11 (Segmentation fault)");
	look(true);
	assert_string_equal(symptom.bucket, alarm_seen.bucket);
	restart();

	watch_and_make_ill(EXITS);
	assert_string_equal(alarm_seen.bucket, "death exit 3");
	restart();
}

static void knows_last_words(void **state)
{
	(void)state;
	watch_and_make_ill(ASSERTS);
	assert_int_equal(alarm_seen.oracle, ORACLE_DEATH);
	assert_string_equal(alarm_seen.bucket, "death signal 6 (Aborted) assertion packet.c:take_packet");
	assert_non_null(strstr(alarm_seen.detail, "Assertion `len > 5' failed."));
	restart();
}

static void a_report_says_more_than_death(void **state)
{
	(void)state;
	watch_and_make_ill(REPORTS_AND_DIES);
	assert_int_equal(alarm_seen.oracle, ORACLE_SANITIZER);
	assert_string_equal(alarm_seen.bucket, "sanitizer heap-buffer-overflow read_topic<main");
	assert_string_equal(alarm_seen.detail, an_error);
	look(false);
	assert_string_equal(symptom.bucket, alarm_seen.bucket);
	restart();

	watch_and_make_ill(REPORTS_AND_LINGERS);
	assert_string_equal(alarm_seen.bucket, "sanitizer heap-buffer-overflow read_topic<main");
	for (unsigned i = 0; i < 10000 && process_child(w->process)->runs; i++)
		warden_pause(w, MS);
	look(false);
	assert_string_equal(symptom.bucket, alarm_seen.bucket);
	restart();
}

/* By an alarm and the check after it, then no more while this process lives. */
static void a_report_is_told_once(void **state)
{
	(void)state;
	watch_and_make_ill(REPORTS);
	assert_string_equal(alarm_seen.bucket, "sanitizer signed integer overflow add");
	look(false);
	assert_string_equal(symptom.bucket, alarm_seen.bucket);
	is_well();
	restart();
}

static void sees_what_hangs(void **state)
{
	(void)state;
	w->timeout_ns = 100 * MS;
	watch_and_make_ill(HANGS);
	assert_int_equal(alarm_seen.oracle, ORACLE_LIVENESS);
	assert_string_equal(alarm_seen.bucket, "liveness");
	look(true);
	assert_int_equal(symptom.oracle, ORACLE_LIVENESS);
	w->timeout_ns = PATIENCE_NS;
	restart();
}

static void sees_what_is_late(void **state)
{
	struct warden_baseline true_one = w->baseline;

	(void)state;
	w->patience.late_ns = 20 * MS;
	w->patience.settle_ns = MS;
	w->baseline.p50_ns = w->baseline.p99_ns = MS / 10;
	make_ill(IS_LATE);
	do	/* until it has heard */
		look(false);
	while (symptom.oracle == ORACLE_NONE);
	assert_int_equal(symptom.oracle, ORACLE_LATENCY);
	assert_string_equal(symptom.bucket, "latency");
	w->baseline = true_one;
	w->patience = warden_patience;
	look(false);			/* the same is fine where it has always been so late */
	assert_int_equal(symptom.oracle, ORACLE_NONE);
	restart();
}

static void sees_what_grows(void **state)
{
	uint64_t before = warden_rss(w);

	(void)state;
	w->patience.memory_ns = MS;
	make_ill(GROWS);
	for (unsigned i = 0; i < 2000 && warden_rss(w) < before + GROWS_BY / 4 * 3; i++)
		warden_pause(w, 5 * MS);
	look(false);
	assert_int_equal(symptom.oracle, ORACLE_NONE);
	warden_look_held(w, warden_rss(w) - GROWS_BY / 4, &symptom);	/* not so much for those who came since */
	assert_int_equal(symptom.oracle, ORACLE_NONE);
	warden_look_held(w, 0, &symptom);
	assert_int_equal(symptom.oracle, ORACLE_NONE);
	warden_look_held(w, before, &symptom);
	assert_int_equal(symptom.oracle, ORACLE_MEMORY);
	assert_string_equal(symptom.bucket, "memory held");
	assert_true(symptom.held);
	look(true);
	assert_int_equal(symptom.oracle, ORACLE_MEMORY);
	assert_false(symptom.held);
	assert_string_equal(symptom.bucket, "memory");
	w->patience = warden_patience;
	restart();
}

/* CPU time that runs a hundred times as fast as the clock, however little of it there is for us; in so many looks, then it rests. */
static unsigned n_busy;
static bool spinning(struct subject subject, struct usage *usage)
{
	bool seen = usage_of(subject, usage);
	static uint64_t ns;

	if (n_busy)
		ns = clock_now(&loop.clock) * 100;
	n_busy -= n_busy > 0;
	usage->cpu_ns = ns;
	return seen;
}

static void sees_what_spins(void **state)
{
	(void)state;
	w->patience.idle_ns = w->patience.glance_ns = w->patience.settle_ns = 5 * MS;
	w->usage = spinning;
	n_busy = 1000;
	look(true);
	assert_int_equal(symptom.oracle, ORACLE_CPU);
	assert_string_equal(symptom.bucket, "cpu");
	warden_look_held(w, 0, &symptom);
	assert_int_equal(symptom.oracle, ORACLE_CPU);
	assert_string_equal(symptom.bucket, "cpu held");
	assert_true(symptom.held);
	n_busy = 8;
	warden_look_held(w, 0, &symptom);
	assert_int_equal(n_busy, 0);
	assert_int_equal(symptom.oracle, ORACLE_NONE);
	assert_false(symptom.held);
	n_busy = 8;			/* it tidies up for a while, and is done */
	look(true);
	assert_int_equal(n_busy, 0);
	assert_int_equal(symptom.oracle, ORACLE_NONE);
	n_busy = 1000;
	w->baseline.cpu_idle_permille = 600;	/* it has always been so */
	look(true);
	assert_int_equal(symptom.oracle, ORACLE_NONE);
	w->baseline.cpu_idle_permille = 0;
	w->usage = usage_of;
	w->patience = warden_patience;
}

static void sees_what_stalls(void **state)
{
	(void)state;
	warden_look_stalled(w, &symptom);
	assert_int_equal(symptom.oracle, ORACLE_NONE);
	w->patience.stall_ns = 1;		/* of an exchange, however short: it computes a hundred times as long */
	w->usage = spinning;
	n_busy = 1000;
	warden_look_stalled(w, &symptom);
	assert_int_equal(symptom.oracle, ORACLE_LATENCY);
	assert_string_equal(symptom.bucket, "latency stall");
	assert_true(symptom.held);
	w->patience.stall_ns = 3600 * 1000 * MS;
	warden_look_stalled(w, &symptom);
	assert_int_equal(symptom.oracle, ORACLE_NONE);
	n_busy = 0;
	w->usage = usage_of;
	w->patience = warden_patience;
}

static void leaks_are_told_at_the_end(void **state)
{
	char path[600];
	FILE *f;

	(void)state;
	assert_true(warden_restart(w, true, &symptom));
	assert_int_equal(symptom.oracle, ORACLE_NONE);		/* what benign clients leak too */
	snprintf(path, sizeof(path), "%s/report.%d", w->reports.folder, process_child(w->process)->pid);
	f = fopen(path, "w");
	assert_non_null(f);
	fputs(new_leak, f);
	fclose(f);
	assert_true(warden_restart(w, true, &symptom));
	assert_int_equal(symptom.oracle, ORACLE_SANITIZER);
	assert_string_equal(symptom.bucket, "sanitizer leak add_will");
	is_well();
}

static void somebody_else_ends_it(void **state)
{
	(void)state;
	n_alarms = 0;
	warden_watch(w, 1000 * MS, on_alarm, &n_alarms);
	kill(process_child(w->process)->pid, SIGKILL);
	await_alarm();
	assert_int_equal(alarm_seen.oracle, ORACLE_NONE);
	assert_non_null(strstr(alarm_seen.text, "from outside"));
	warden_check(w, false, &symptom);
	assert_int_equal(symptom.oracle, ORACLE_NONE);
	assert_non_null(strstr(symptom.text, "from outside"));
	assert_true(process_child(w->process)->runs);	/* started again */
	is_well();
	assert_string_equal(symptom.text, "");
	n_alarms = 0;
	warden_watch(w, 1000 * MS, on_alarm, &n_alarms);
	kill(process_child(w->process)->pid, SIGKILL);
	await_alarm();
	n_alarms = 0;
	warden_watch(w, 1000 * MS, on_alarm, &n_alarms);
	warden_pause(w, 50 * MS);
	assert_true(process_child(w->process)->runs);
	assert_int_equal(n_alarms, 0);
}

static void keeps_the_users_options(void **state)
{
	char **environment = process_child(w->process)->environment;
	const char *asan = NULL, *ubsan = NULL;

	(void)state;
	for (char **at = environment; *at; at++) {
		if (strncmp(*at, "ASAN_OPTIONS=", 13) == 0)
			asan = *at + 13;
		if (strncmp(*at, "UBSAN_OPTIONS=", 14) == 0)
			ubsan = *at + 14;
	}
	assert_non_null(asan);
	assert_non_null(ubsan);
	assert_null(strstr(asan, "quarantine_size_mb=1:"));	/* theirs is 3, set by main() */
	assert_non_null(strstr(asan, "quarantine_size_mb=3:"));
	assert_non_null(strstr(asan, "print_stacktrace=1:"));
	assert_non_null(strstr(asan, ":log_path='/"));
	assert_non_null(strstr(ubsan, "print_stacktrace=1:"));
}

/* ---- others ---- */

static pid_t start_beside(unsigned port, const char *how)
{
	char number[16];
	pid_t pid = fork();

	if (pid == 0) {
		snprintf(number, sizeof(number), "%u", port);
		execl(self, self, "--broker", number, how, (char *)NULL);
		_exit(96);
	}
	assert_true(pid > 0);
	return pid;
}

/* Somebody else's process, which lets us do nothing but connect. It ends, and nobody waits for it: a zombie is dead. */
static void looks_at_a_process(void **state)
{
	struct warden_options options = { .loop = &loop, .timeout_ns = PATIENCE_NS };
	char why[600] = "";
	struct free_port port;
	pid_t pid;

	(void)state;
	assert_int_equal(free_port_take(&port), 0);
	assert_int_equal(loop_init(&loop, false), 0);
	options.address = (struct address){ .host = "127.0.0.1", .port = port.port };
	pid = start_beside(port.port, "denies");
	options.pid = pid;
	while (!(w = warden_new(&options, why, sizeof(why))))	/* until it listens */
		assert_non_null(strstr(why, "refused"));
	assert_int_equal(w->baseline.denied, w->baseline.versions);
	assert_true(*w->baseline.denied_why);
	assert_true(w->baseline.rss > 100000);
	assert_false(warden_can_restart(w));
	is_well();
	n_alarms = 0;
	warden_watch(w, 1000 * MS, on_alarm, &n_alarms);
	kill(pid, SIGKILL);
	await_alarm();
	assert_string_equal(alarm_seen.bucket, "death");
	look(true);
	assert_string_equal(symptom.bucket, "death");
	assert_int_equal(warden_rss(w), 0);
	warden_free(w);
	waitpid(pid, NULL, 0);
	free_port_release(&port);
	loop_settle(&loop);
	loop_release(&loop);
}

static void refuses(const char *exec, const char *because)
{
	struct warden_options options = { .loop = &loop, .exec = exec, .start_timeout_ns = 300 * MS, .timeout_ns = PATIENCE_NS };
	char why[600] = "";
	struct free_port port;

	assert_int_equal(free_port_take(&port), 0);
	assert_int_equal(loop_init(&loop, false), 0);
	options.address = (struct address){ .host = "127.0.0.1", .port = port.port };
	assert_null(warden_new(&options, why, sizeof(why)));
	if (!strstr(why, because) || strchr(why, '\n'))
		fail_msg("%s", why);
	free_port_release(&port);
	loop_settle(&loop);
	loop_release(&loop);
}

static void says_why_there_is_none(void **state)
{
	(void)state;
	refuses(NULL, "Connection refused");
	refuses("exit 7", "exited with 7");
	refuses("exec sleep 100", "answered no CONNECT");
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(has_a_baseline), cmocka_unit_test(stays_well), cmocka_unit_test(sees_death), cmocka_unit_test(knows_last_words),
		cmocka_unit_test(a_report_says_more_than_death), cmocka_unit_test(a_report_is_told_once), cmocka_unit_test(sees_what_hangs), cmocka_unit_test(sees_what_is_late),
		cmocka_unit_test(sees_what_grows), cmocka_unit_test(sees_what_spins), cmocka_unit_test(sees_what_stalls), cmocka_unit_test(leaks_are_told_at_the_end), cmocka_unit_test(somebody_else_ends_it),
		cmocka_unit_test(keeps_the_users_options),
	};
	static const struct CMUnitTest others[] = { cmocka_unit_test(looks_at_a_process), cmocka_unit_test(says_why_there_is_none) };
	ssize_t len;

	if (argc == 4 && strcmp(argv[1], "--broker") == 0)
		return broker((unsigned)atoi(argv[2]), argv[3]);
	len = readlink("/proc/self/exe", self, sizeof(self) - 1);
	if (len <= 0)
		return 1;
	setenv("ASAN_OPTIONS", "quarantine_size_mb=3", 1);
	return cmocka_run_group_tests_name("warden", tests, set_up, tear_down) + cmocka_run_group_tests_name("warden, others", others, NULL, NULL);
}
