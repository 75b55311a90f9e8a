#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "harness/cli.h"
#include "harness/console.h"
#include "harness/escape.h"

/* A command with an option of every kind; it prints what it was given. */
static struct {
	bool quiet, verbose;
	const char *format;
	struct string_list select;
	uint64_t timeout_ns, room, jobs, seed;
	double slack;
	int mqtt;
} conf = { .timeout_ns = UINT64_C(5000000000), .room = 256 << 10, .jobs = 64, .slack = 1, .format = "text" };

static const char *const versions[] = { "3.1", "3.1.1", "5", "all", NULL };

static const struct cli_option shared[] = {
	OPT_HEADING("Shared"),
	OPT_COUNT(0, "seed", conf.seed, 0, 0, "N", "repeat a random run"),
	OPT_END
};
static const struct cli_option play_options[] = {
	OPT_FLAG('q', "quiet", conf.quiet, "say less"),
	OPT_FLAG('v', "verbose", conf.verbose, "say more"),
	OPT_STRING(0, "format", conf.format, "F", "how to say it"),
	OPT_LIST('s', "select", conf.select, "PATTERN", "only these"),
	OPT_DURATION('t', "timeout", conf.timeout_ns, "D", "longest wait for one step"),
	OPT_SIZE(0, "room", conf.room, "SIZE", "of a pipe"),
	OPT_COUNT('j', "jobs", conf.jobs, 1, 1000, "N", "how many at once"),
	OPT_REAL(0, "slack", conf.slack, "X", "stretches deadlines"),
	OPT_ENUM(0, "mqtt", conf.mqtt, versions, "protocol version"),
	OPT_GROUP(shared),
	OPT_END
};

static int play(int n_args, char **args)
{
	printf("q=%d v=%d format=%s timeout=%llu room=%llu jobs=%llu seed=%llu slack=%g mqtt=%s", conf.quiet, conf.verbose, conf.format,
	       (unsigned long long)conf.timeout_ns, (unsigned long long)conf.room, (unsigned long long)conf.jobs,
	       (unsigned long long)conf.seed, conf.slack, versions[conf.mqtt]);
	for (size_t i = 0; i < conf.select.n; i++)
		printf(" select=%s", conf.select.at[i]);
	for (int i = 0; i < n_args; i++)
		printf(" [%s]", args[i]);
	printf("\n");
	return EXIT_FOUND;
}

static int none(int n_args, char **args)
{
	(void)args;
	return n_args ? EXIT_USAGE : EXIT_PASS;
}

static const struct command play_command = {
	.name = "play", .arguments = "FILE...", .summary = "play files", .example = "mqassay play a.scn\nmqassay play --jobs 1 a.scn",
	.options = play_options, .min_args = 1, .max_args = 3, .run = play,
};
static const struct command lint_command = { .name = "lint", .arguments = "", .summary = "check files", .run = none };
static const struct command *const commands[] = { &play_command, &lint_command, NULL };

static const struct row {
	const char *line;		/* words after the program's name, by single spaces; '_' is an empty word, '~' a space in one */
	int code;
	const char *out, *err;		/* the whole of it, or with a leading '*' a part; NULL: nothing */
} rows[] = {
	{ "play a", 1, "q=0 v=0 format=text timeout=5000000000 room=262144 jobs=64 seed=0 slack=1 mqtt=3.1 [a]\n", NULL },
	{ "play --quiet a", 1, "*q=1 v=0", NULL },
	{ "play -qv a", 1, "*q=1 v=1", NULL },
	{ "play a -v b", 1, "*v=1 * [a] [b]", NULL },
	{ "play --timeout=2s a", 1, "*timeout=2000000000", NULL },
	{ "play --timeout 500ms a", 1, "*timeout=500000000", NULL },
	{ "play -t 1m a", 1, "*timeout=60000000000", NULL },
	{ "play -t1h a", 1, "*timeout=3600000000000", NULL },
	{ "play -vt1h a", 1, "*v=1 * timeout=3600000000000", NULL },
	{ "play --room 1M a", 1, "*room=1048576", NULL },
	{ "play --jobs 1k a", 1, "*jobs=1000", NULL },
	{ "play --seed 0x2a a", 1, "*seed=42", NULL },
	{ "play --slack 1.5 a", 1, "*slack=1.5", NULL },
	{ "play --mqtt 5 a", 1, "*mqtt=5", NULL },
	{ "play --select x -s y --select=z a", 1, "*select=x select=y select=z", NULL },
	{ "play --format= a", 1, "*format= ", NULL },
	{ "play --format -v a", 1, "*v=0 format=-v", NULL },
	{ "play -- --quiet -v", 1, "*q=0 v=0 * [--quiet] [-v]", NULL },
	{ "play -", 1, "* [-]", NULL },
	{ "play _", 1, "* []", NULL },
	{ "play --timeout 1s --timeout 2s a", 1, "*timeout=2000000000", NULL },
	{ "lint", 0, NULL, NULL },
	{ "lint --color never", 0, NULL, NULL },

	{ "play --timeout=5x a", 2, NULL, "mqassay play: --timeout: expected a duration such as 500ms, 2s, 1m or 1h, not '5x'\n" },
	{ "play --timeout=5 a", 2, NULL, "*expected a duration such as 500ms, 2s, 1m or 1h, not '5'" },
	{ "play --room 10kk a", 2, NULL, "mqassay play: --room: expected a size such as 4096, 10k or 64M, not '10kk'\n" },
	{ "play --jobs 12three a", 2, NULL, "mqassay play: --jobs: expected a number such as 64, 10k or 1M, not '12three'\n" },
	{ "play --jobs 0 a", 2, NULL, "mqassay play: --jobs: expected 1 to 1k, not '0'\n" },
	{ "play --jobs 1001 a", 2, NULL, "mqassay play: --jobs: expected 1 to 1k, not '1001'\n" },
	{ "play --slack fast a", 2, NULL, "mqassay play: --slack: expected a number such as 2 or 1.5, not 'fast'\n" },
	{ "play --mqtt 4 a", 2, NULL, "mqassay play: --mqtt: expected 3.1, 3.1.1, 5 or all, not '4'\n" },
	{ "play --timeot 1s a", 2, NULL, "mqassay play: unknown option --timeot; did you mean --timeout?\n" },
	{ "play --timeot=1s a", 2, NULL, "mqassay play: unknown option --timeot; did you mean --timeout?\n" },
	{ "play --tiemout 1s a", 2, NULL, "*did you mean --timeout?" },
	{ "play --verb a", 2, NULL, "*did you mean --verbose?" },
	{ "play --sede 1 a", 2, NULL, "*did you mean --seed?" },
	{ "play --colour never a", 2, NULL, "*did you mean --color?" },
	{ "play --zzzzzz a", 2, NULL, "mqassay play: unknown option --zzzzzz (see mqassay play --help)\n" },
	{ "play -z a", 2, NULL, "mqassay play: unknown option -z (see mqassay play --help)\n" },
	{ "play --quiet=1 a", 2, NULL, "mqassay play: --quiet takes no value, but got '1'\n" },
	{ "play a --timeout", 2, NULL, "mqassay play: --timeout needs a value: --timeout=D\n" },
	{ "play a -t", 2, NULL, "mqassay play: --timeout needs a value: --timeout=D\n" },
	{ "play a --mqtt", 2, NULL, "mqassay play: --mqtt needs a value: 3.1, 3.1.1, 5 or all\n" },
	{ "play", 2, NULL, "mqassay play: too few arguments: expected FILE... (see mqassay play --help)\n" },
	{ "play a b c d", 2, NULL, "mqassay play: unexpected argument 'd' (see mqassay play --help)\n" },
	{ "lint a", 2, NULL, "mqassay lint: unexpected argument 'a' (see mqassay lint --help)\n" },
	{ "play --mqtt \033[m a", 2, NULL, "*not '\\x1b[m'\n" },
	{ "ply a", 2, NULL, "mqassay: unknown command ply; did you mean play?\n" },
	{ "frobnicate", 2, NULL, "mqassay: unknown command frobnicate (see mqassay --help)\n" },
	{ "--quiet", 2, NULL, "mqassay: expected a command before --quiet (see mqassay --help)\n" },
	{ "help ply", 2, NULL, "mqassay: unknown command ply; did you mean play?\n" },

	{ "--version", 0, "*mqassay ", NULL },
	{ "--help", 0, "*  play       play files\n  lint       check files\n", NULL },
	{ "help", 0, "*  play       play files\n", NULL },
	{ "", 2, NULL, "*usage: mqassay COMMAND" },
	{ "help play", 0, "*usage: mqassay play [OPTION...] FILE...\n\nplay files.\n", NULL },
	{ "play --help", 0, "*  -t, --timeout D           longest wait for one step (default 5s)\n", NULL },
	{ "play --help", 0, "*      --mqtt WHICH          protocol version: 3.1, 3.1.1, 5 or all (default 3.1)\n", NULL },
	{ "play --help", 0, "*      --room SIZE           of a pipe (default 256k)\n", NULL },
	{ "play --help", 0, "*  -s, --select PATTERN      only these; repeatable\n", NULL },
	{ "play --help", 0, "*\nShared:\n      --seed N              repeat a random run\n", NULL },
	{ "play --help", 0, "*  -h, --help                show this and end\n", NULL },
	{ "play --help", 0, "*\nExample:\n  mqassay play a.scn\n  mqassay play --jobs 1 a.scn\n", NULL },
	{ "play -h", 0, "*usage: mqassay play", NULL },
};

static void slurp(FILE *f, char *buf, size_t cap)
{
	size_t n;

	rewind(f);
	n = fread(buf, 1, cap - 1, f);
	buf[n] = '\0';
	fclose(f);
}

static int run_line(const char *line, FILE *out, FILE *err)
{
	char text[200], *argv[20] = { (char *)"mqassay" };
	int argc = 1, status;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid == 0) {			/* options live in static variables: each line starts afresh */
		strcpy(text, line);
		for (char *word = strtok(text, " "); word; word = strtok(NULL, " "))
			argv[argc++] = strcmp(word, "_") == 0 ? (char *)"" : word;
		dup2(fileno(out), STDOUT_FILENO);
		dup2(fileno(err), STDERR_FILENO);
		status = cli_main(commands, argc, argv);
		fflush(NULL);
		_exit(status);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

/* Parts between '*' come in this order. */
static void assert_matches(const char *text, const char *wanted)
{
	char parts[400];
	const char *at = text;

	if (!wanted) {
		assert_string_equal(text, "");
		return;
	}
	if (*wanted != '*') {
		assert_string_equal(text, wanted);
		return;
	}
	strcpy(parts, wanted);
	for (char *part = strtok(parts, "*"); part; part = strtok(NULL, "*")) {
		at = strstr(at, part);
		if (!at)
			fail_msg("'%s' is not in\n%s", part, text);
		at += strlen(part);
	}
}

static void answers_as_written(void **state)
{
	const struct row *row = *state;
	FILE *out = tmpfile(), *err = tmpfile();
	char text[8000];

	assert_int_equal(run_line(row->line, out, err), row->code);
	slurp(err, text, sizeof(text));
	assert_matches(text, row->err);
	if (row->err && *row->line)
		assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);	/* one line */
	slurp(out, text, sizeof(text));
	assert_matches(text, row->out);
}

static void note_option(void *context, const struct command *command, const struct cli_option *option)
{
	char *seen = context;

	strcat(seen, option ? option->name : command->name);
	strcat(seen, option ? " " : ": ");
}

static void walk_visits_all_in_order(void **state)
{
	char seen[500] = "";

	(void)state;
	cli_walk(commands, note_option, seen);
	assert_string_equal(seen, "play: quiet verbose format select timeout room jobs slack mqtt seed color help lint: color help ");
}

/* Options that stand in another option are set as those on the command line are. */
static void options_in_an_option(void **state)
{
	char *words[] = { "--jobs=7", "-q", "--select", "a", NULL }, *wrong[] = { "--jobs", "0", NULL }, *argument[] = { "-q", "x", NULL };

	(void)state;
	assert_int_equal(cli_set(&play_command, words), 0);
	assert_int_equal(conf.jobs, 7);
	assert_true(conf.quiet);
	assert_int_equal(conf.select.n, 1);
	assert_string_equal(conf.select.at[0], "a");
	assert_int_equal(cli_set(&play_command, wrong), EXIT_USAGE);
	assert_int_equal(cli_set(&play_command, argument), EXIT_USAGE);
	assert_int_equal(conf.jobs, 7);
}

static void foreign_bytes_are_escaped(void **state)
{
	static const struct {
		const char *bytes, *text;
	} cases[] = {
		{ "plain", "plain" }, { "gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f" }, { "a\nb\tc\r", "a\\nb\\tc\\r" },
		{ "\033[31m", "\\x1b[31m" }, { "\x7f", "\\x7f" }, { "back\\slash", "back\\\\slash" },
		{ "\xff\xfe", "\\xff\\xfe" }, { "\xc0\x80", "\\xc0\\x80" }, { "\xed\xa0\x80", "\\xed\\xa0\\x80" },
		{ "\xe2\x80\xae", "\\u{202e}" }, { "\xe2\x81\xa6", "\\u{2066}" }, { "\xc2\x9b", "\\u{9b}" },
		{ "\xef\xbf\xbf", "\\u{ffff}" }, { "\xf0\x9f\x98\x80", "\xf0\x9f\x98\x80" }, { "\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80" },
		{ "cut \xe2\x82", "cut \\xe2\\x82" },
	};
	char out[40];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(escape_bytes(cases[i].bytes, strlen(cases[i].bytes), out, sizeof(out)), strlen(cases[i].text));
		assert_string_equal(out, cases[i].text);
	}
	assert_int_equal(escape_bytes("a\0b", 3, out, sizeof(out)), 6);
	assert_string_equal(out, "a\\x00b");
	assert_int_equal(escape_bytes("ab\033", 3, out, 6), 6);	/* a whole escape or none of it */
	assert_string_equal(out, "ab");
	assert_int_equal(escape_bytes("ab", 2, NULL, 0), 2);
}

#define N_ROWS (sizeof(rows) / sizeof(rows[0]))

int main(void)
{
	static struct CMUnitTest tests[N_ROWS + 3];

	for (size_t i = 0; i < N_ROWS; i++)
		tests[i] = (struct CMUnitTest){ .name = rows[i].line, .test_func = answers_as_written, .initial_state = (void *)&rows[i] };
	tests[N_ROWS] = (struct CMUnitTest)cmocka_unit_test(walk_visits_all_in_order);
	tests[N_ROWS + 1] = (struct CMUnitTest)cmocka_unit_test(foreign_bytes_are_escaped);
	tests[N_ROWS + 2] = (struct CMUnitTest)cmocka_unit_test(options_in_an_option);
	return _cmocka_run_group_tests("cli", tests, N_ROWS + 3, NULL, NULL);
}
