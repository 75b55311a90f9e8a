#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "harness/child.h"

#define PATIENCE_NS UINT64_C(20000000000)
#define GRACE_NS UINT64_C(10000000000)
#define MS UINT64_C(1000000)

static struct loop loop;
static struct child child;
static unsigned n_ended;
static const char *wanted_output;

static void too_late(struct timer *timer, struct loop *l)
{
	(void)timer;
	(void)l;
	fail_msg("nothing came in time");
}

static struct timer deadline = { .fire = too_late };

static void ended(struct child *c, void *context)
{
	assert_ptr_equal(c, &child);
	assert_ptr_equal(context, &n_ended);
	assert_false(c->runs);
	n_ended++;
	loop_stop(&loop);
}

static void run_loop(void)
{
	loop_timer(&loop, &deadline, loop.now_ns + PATIENCE_NS);
	assert_true(loop_run(&loop));
	loop_timer_stop(&loop, &deadline);
}

static void prepare(const char *command)
{
	struct fault fault;

	n_ended = 0;
	if (!child_init(&child, &loop, command, ended, &n_ended, &fault))
		fail_msg("%s", fault.text);
}

static void start(const char *command)
{
	prepare(command);
	assert_int_equal(child_start(&child), 0);
	assert_true(child.runs);
}

/* Looks again every few ms until the output holds a text. */
static void look_at_output(struct timer *timer, struct loop *l)
{
	char text[CHILD_OUTPUT + 1];

	child_output(&child, 0, text, sizeof(text));
	if (strstr(text, wanted_output))
		loop_stop(l);
	else
		loop_timer(l, timer, l->now_ns + 2 * MS);
}

static void wait_for_output(const char *text)
{
	struct timer timer = { .fire = look_at_output };

	wanted_output = text;
	loop_timer(&loop, &timer, loop.now_ns);
	run_loop();
	assert_int_equal(n_ended, 0);
}

static int set_up(void **state)
{
	(void)state;
	return loop_init(&loop, false);
}

static int tear_down(void **state)
{
	(void)state;
	child_release(&child);
	loop_release(&loop);
	return 0;
}

/* ---- how it ended ---- */

static const struct row {
	const char *command;
	int exit_status, signal;
	bool outside;
	const char *how;
} rows[] = {
	{ "exit 3", 3, 0, false, "exited with 3" },
	{ "exit 0", 0, 0, true, "exited with 0" },
	{ "kill -SEGV $$", -1, SIGSEGV, false, "died of signal 11 (Segmentation fault)" },
	{ "kill -ABRT $$", -1, SIGABRT, false, "died of signal 6 (Aborted)" },
	{ "kill -TERM $$", -1, SIGTERM, true, "was killed from outside by SIGTERM" },
	{ "kill -INT $$", -1, SIGINT, true, "was killed from outside by SIGINT" },
	{ "kill -KILL $$", -1, SIGKILL, true, "was killed from outside by SIGKILL" },
	{ "sh -c 'kill -SEGV $$'; exit $?", -1, SIGSEGV, false, "died of signal 11 (Segmentation fault)" },	/* a shell tells of it */
	{ "/no/such/broker -p {port}", 127, 0, false, "exited with 127 (no such command?)" },
};

static void ends_as_it_should(void **state)
{
	const struct row *row = *state;
	char how[100];

	set_up(NULL);
	start(row->command);
	run_loop();
	assert_int_equal(n_ended, 1);
	assert_int_equal(child.exit_status, row->exit_status);
	assert_int_equal(child.signal, row->signal);
	assert_int_equal(child.outside, row->outside);
	assert_false(child.asked);
	assert_string_equal(child_how(&child, how, sizeof(how)), row->how);
	tear_down(NULL);
}

/* ---- the rest ---- */

static void fills_in(void **state)
{
	char text[500], expected[500];

	(void)state;
	start("echo {port} {tls_port} {ws_port} {dir} {{port} {other} ${NO_SUCH_VARIABLE:-shell}; exit 1");
	run_loop();
	snprintf(expected, sizeof(expected), "%u %u %u %s {port} {other} shell", child.port, child.tls_port, child.ws_port, child.dir);
	child_output(&child, 1, text, sizeof(text));
	assert_string_equal(text, expected);
	assert_true(child.port && child.port != child.tls_port && child.tls_port != child.ws_port && child.port != child.ws_port);
}

static void folder_lives_through_restarts_and_goes(void **state)
{
	char dir[sizeof(child.dir)];
	unsigned port;

	(void)state;
	start("mkdir {dir}/a && echo x > {dir}/a/b; exit 1");
	run_loop();
	port = child.port;
	strcpy(dir, child.dir);
	assert_int_equal(access(dir, F_OK), 0);
	assert_int_equal(child_start(&child), 0);
	run_loop();
	assert_int_equal(n_ended, 2);
	assert_int_equal(child.n_starts, 2);
	assert_int_equal(child.port, port);
	child_release(&child);
	assert_int_equal(access(dir, F_OK), -1);
}

static void stops_when_asked(void **state)
{
	char how[100];

	(void)state;
	start("exec sleep 1000");
	child_stop(&child, GRACE_NS);
	run_loop();
	assert_true(child.asked);
	assert_false(child.outside);
	assert_int_equal(child.signal, SIGTERM);
	assert_string_equal(child_how(&child, how, sizeof(how)), "was ended by SIGTERM");
}

static void is_killed_when_it_does_not_listen(void **state)
{
	uint64_t start_ns;

	(void)state;
	start("trap '' TERM; echo ready; while :; do sleep 1000; done");
	wait_for_output("ready");
	start_ns = loop.now_ns;
	child_stop(&child, 50 * MS);
	run_loop();
	assert_true(child.asked);
	assert_int_equal(child.signal, SIGKILL);
	assert_true(loop.now_ns - start_ns >= 50 * MS);
}

/* The number that it printed last is a process: gone, or a zombie that init has not collected. */
static void assert_process_gone(void)
{
	char text[100], path[200], state = 'Z';
	FILE *f;

	child_output(&child, 1, text, sizeof(text));
	assert_true(atoi(text) > 1);
	snprintf(path, sizeof(path), "/proc/%d/stat", atoi(text));
	f = fopen(path, "r");
	if (!f)
		return;
	assert_int_equal(fscanf(f, "%*d (%*[^)]) %c", &state), 1);
	fclose(f);
	assert_int_equal(state, 'Z');
}

static void the_whole_group_is_ended(void **state)
{
	(void)state;
	start("sleep 1000 & echo $! is up; wait");
	wait_for_output("is up");
	child_stop(&child, GRACE_NS);
	run_loop();
	assert_process_gone();
}

static void what_a_dead_leader_leaves_is_killed(void **state)
{
	(void)state;
	start("sleep 1000 & echo $!; exit 5");
	run_loop();
	assert_int_equal(child.exit_status, 5);
	assert_process_gone();
}

static void keeps_the_last_output(void **state)
{
	char text[CHILD_OUTPUT + 1];

	(void)state;
	start("yes | head -c 1000000; echo the one before >&2; echo the last; exit 1");
	run_loop();
	assert_int_equal(child_output(&child, 1, text, sizeof(text)), 8);
	assert_string_equal(text, "the last");
	child_output(&child, 2, text, sizeof(text));
	assert_string_equal(text, "the one before\nthe last");
	child_output(&child, 2, text, 5);
	assert_string_equal(text, "last");
	assert_true(child_output(&child, 0, text, sizeof(text)) > CHILD_OUTPUT / 2);
}

static void folder_is_emptied_when_asked(void **state)
{
	(void)state;
	prepare("test -e {dir}/sub/file && exit 1; mkdir {dir}/sub && echo x >{dir}/sub/file && exit 2");
	for (unsigned i = 0; i < 2; i++) {
		child_empty_dir(&child);
		assert_int_equal(child_start(&child), 0);
		run_loop();
		assert_int_equal(child.exit_status, 2);
	}
}

static void keeps_more_when_asked(void **state)
{
	char text[3 * CHILD_OUTPUT];
	size_t from = 0;

	(void)state;
	prepare("yes 1234567 | head -n 1024; echo the end; exit 1");
	child_keep(&child, 2 * CHILD_OUTPUT);
	assert_int_equal(child_start(&child), 0);
	run_loop();
	assert_int_equal(child.n_written, 8 * 1024 + 8);
	assert_int_equal(child_output_since(&child, &from, text, 20), 20);	/* the oldest 8 bytes are gone */
	assert_memory_equal(text, "1234567\n1234567\n1234", 20);
	assert_int_equal(from, 28);
	assert_int_equal(child_output_since(&child, &from, text, sizeof(text)), 8 * 1024 + 8 - 28);
	assert_memory_equal(text + 8 * 1024 - 28, "the end\n", 8);
	assert_int_equal(child_output_since(&child, &from, text, sizeof(text)), 0);
}

static void has_its_own_environment(void **state)
{
	char text[200];

	(void)state;
	setenv("MQASSAY_TEST_A", "ours", 1);
	setenv("MQASSAY_TEST", "ours", 1);
	prepare("echo $MQASSAY_TEST, $MQASSAY_TEST_A, ${PATH:+path}; exit 1");
	child_environment(&child, "MQASSAY_TEST", "first");
	child_environment(&child, "MQASSAY_TEST", "its own");
	assert_int_equal(child_start(&child), 0);
	run_loop();
	child_output(&child, 0, text, sizeof(text));
	assert_string_equal(text, "its own, ours, path");
	assert_string_equal(getenv("MQASSAY_TEST"), "ours");
}

static void release_ends_what_runs(void **state)
{
	pid_t pid;

	(void)state;
	start("exec sleep 1000");
	pid = child.pid;
	child_release(&child);
	assert_int_equal(kill(pid, 0), -1);
	assert_int_equal(errno, ESRCH);
	assert_int_equal(n_ended, 0);
}

/* A shell, nohup or a container's first process may have had it ignored, and exec keeps that. */
static void ends_where_sigchld_was_ignored(void **state)
{
	(void)state;
	signal(SIGCHLD, SIG_IGN);
	start("exit 3");
	run_loop();
	assert_int_equal(child.exit_status, 3);
}

/*
 * A program that uses child.h is killed, and its whole group with it. The broker and what it forked hold the write end
 * of a FIFO: when its end comes, all of them are gone; the folder goes next.
 */
static void nothing_is_left_when_we_are_killed(void **state)
{
	char dir[] = "/tmp/mqassay-test-XXXXXX", fifo[64], command[200], its_dir[100] = "";
	int fd, status;
	pid_t user;
	ssize_t n;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(fifo, sizeof(fifo), "%s/fifo", dir);
	assert_int_equal(mkfifo(fifo, 0600), 0);
	snprintf(command, sizeof(command), "trap '' TERM HUP; exec 9>%s; echo x >{dir}/file; sleep 1000 & printf %%s {dir} >&9; wait", fifo);
	user = fork();
	if (user == 0) {
		struct fault fault;

		setpgid(0, 0);
		if (child_init(&child, &loop, command, ended, &n_ended, &fault) && child_start(&child) == 0)
			loop_run(&loop);
		_exit(1);
	}
	alarm(20);
	fd = open(fifo, O_RDONLY);
	assert_true(fd >= 0);
	n = read(fd, its_dir, sizeof(its_dir) - 1);
	assert_true(n > 1);
	assert_int_equal(access(its_dir, F_OK), 0);
	kill(-user, SIGKILL);
	assert_int_equal(waitpid(user, &status, 0), user);
	assert_int_equal(read(fd, its_dir + n, 1), 0);
	while (access(its_dir, F_OK) == 0)		/* until alarm() ends it */
		usleep(1000);
	alarm(0);
	close(fd);
	unlink(fifo);
	rmdir(dir);
	prepare("true");				/* for tear_down */
}

#define N_ROWS (sizeof(rows) / sizeof(rows[0]))

int main(void)
{
	static const struct CMUnitTest others[] = {
		cmocka_unit_test_setup_teardown(fills_in, set_up, tear_down),
		cmocka_unit_test_setup_teardown(folder_lives_through_restarts_and_goes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(stops_when_asked, set_up, tear_down),
		cmocka_unit_test_setup_teardown(is_killed_when_it_does_not_listen, set_up, tear_down),
		cmocka_unit_test_setup_teardown(the_whole_group_is_ended, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_a_dead_leader_leaves_is_killed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(keeps_the_last_output, set_up, tear_down),
		cmocka_unit_test_setup_teardown(folder_is_emptied_when_asked, set_up, tear_down),
		cmocka_unit_test_setup_teardown(keeps_more_when_asked, set_up, tear_down),
		cmocka_unit_test_setup_teardown(has_its_own_environment, set_up, tear_down),
		cmocka_unit_test_setup_teardown(release_ends_what_runs, set_up, tear_down),
		cmocka_unit_test_setup_teardown(ends_where_sigchld_was_ignored, set_up, tear_down),
		cmocka_unit_test_setup_teardown(nothing_is_left_when_we_are_killed, set_up, tear_down),
	};
	static struct CMUnitTest tests[N_ROWS + sizeof(others) / sizeof(others[0])];

	for (size_t i = 0; i < N_ROWS; i++)
		tests[i] = (struct CMUnitTest){ rows[i].command, ends_as_it_should, NULL, NULL, (void *)&rows[i] };
	memcpy(tests + N_ROWS, others, sizeof(others));
	return _cmocka_run_group_tests("child", tests, sizeof(tests) / sizeof(tests[0]), NULL, NULL);
}
