#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "harness/replay_file.h"

#define LEAST "scenario=scenario/a.scn\nmqtt=5\n"

/* What is wrong, and where; line 0: in the file as a whole. */
static const struct row {
	const char *text;
	size_t len;
	const char *expected;		/* part of the message; NULL: it can be read */
	unsigned line;
} rows[] = {
#define ROW(text, expected, line) { text, sizeof(text) - 1, expected, line }
	ROW(LEAST, NULL, 0),
	ROW("# who knows\n\n" LEAST "password\nreal\ncase=a/1\ntarget=x=tcp://[::1]:1884\n", NULL, 0),
	ROW("scenario=a\nmqtt=3.1", NULL, 0),
	ROW(LEAST "define=a=b\ndefine=c=\nuser=\n", NULL, 0),
	ROW(LEAST "user=\\x1b\\xff\\\\\n", NULL, 0),
	ROW("", "expected a line scenario=PATH", 0),
	ROW("scenario=a\n", "expected a line mqtt=VERSION", 0),
	ROW("mqtt=5\n", "expected a line scenario=PATH", 0),
	ROW("scenario=/etc/passwd\n", "below the folder", 1),
	ROW("scenario=../a\n", "below the folder", 1),
	ROW("scenario=a/../../b\n", "below the folder", 1),
	ROW("scenario=a/..\n", "below the folder", 1),
	ROW("scenario=./a\n", "below the folder", 1),
	ROW("scenario=a//b\n", "below the folder", 1),
	ROW("scenario=a/\n", "below the folder", 1),
	ROW("scenario=\n", "below the folder", 1),
	ROW("scenario=\\x2e\\x2e/a\n", "below the folder", 1),
	ROW("mqtt=4\n", "expected 3.1, 3.1.1 or 5", 1),
	ROW("mqtt=5\nmqtt=5\n", "a second time", 2),
	ROW(LEAST "case=a\ncase=b\n", "a second time", 4),
	ROW(LEAST "target=a\nexec=b\n", "exclude each other", 0),
	ROW(LEAST "report=json=/tmp/x\n", "unknown key report", 3),
	ROW(LEAST "password-file=/etc/passwd\n", "unknown key password-file", 3),
	ROW(LEAST "scenarios=/\n", "unknown key scenarios", 3),
	ROW(LEAST "artifacts=/\n", "unknown key artifacts", 3),
	ROW(LEAST "--exec=x\n", "unknown key --exec", 3),
	ROW(LEAST "nonsense\n", "unknown key nonsense", 3),
	ROW(LEAST "\033[31m\n", "unknown key \\x1b[31m", 3),
	ROW(LEAST "=\n", "unknown key", 3),
	ROW(LEAST "real=1\n", "real takes no value", 3),
	ROW(LEAST "tls=ca cert key insecure alpn\ntransport=wss\nalso=tls://localhost:8883\n", NULL, 0),
	ROW(LEAST "tls=password\n", "tls: expected some of ca", 3),
	ROW(LEAST "tls=ca  cert\n", "tls: expected some of ca", 3),
	ROW(LEAST "tls=ca\ntls=key\n", "tls stands here a second time", 4),
	ROW(LEAST "ca=/etc/passwd\n", "unknown key ca", 3),
	ROW(LEAST "insecure\n", "unknown key insecure", 3),
	ROW(LEAST "seed\n", "expected seed=VALUE", 3),
	ROW(LEAST "scenario\n", "unknown key scenario", 3),
	ROW(LEAST "user=\t\n", "printable ASCII", 3),
	ROW(LEAST "user=\xff\n", "printable ASCII", 3),
	ROW(LEAST "user=a\r\n", "printable ASCII", 3),
	ROW(LEAST "user=\0\n", "printable ASCII", 3),
	ROW(LEAST "us\0er=a\n", "expected KEY=VALUE", 3),
	ROW(LEAST "user=\\\n", "behind a backslash", 3),
	ROW(LEAST "user=\\n\n", "behind a backslash", 3),
	ROW(LEAST "user=\\x1\n", "behind a backslash", 3),
	ROW(LEAST "user=\\x1G\n", "behind a backslash", 3),
	ROW(LEAST "user=\\x00\n", "behind a backslash", 3),
};

static void is_read(void **state)
{
	const struct row *row = *state;
	struct replay_file file;
	struct fault fault = { 0 };
	/* From room of the exact size, so that a sanitizer sees every read behind it. */
	char *text = malloc(row->len ? row->len : 1);

	assert_non_null(text);
	memcpy(text, row->text, row->len);
	bool read = replay_parse(&file, span_of(text, row->len), &fault);
	free(text);
	if (row->expected) {
		assert_false(read);
		if (!strstr(fault.text, row->expected))
			fail_msg("'%s' is not in '%s'", row->expected, fault.text);
		assert_int_equal(fault.line, row->line);
	} else if (!read) {
		fail_msg("%u: %s", fault.line, fault.text);
	}
	replay_release(&file);
}

static bool read_back(const struct replay_file *written, struct replay_file *file)
{
	char *text = NULL;
	size_t len;
	struct fault fault;
	FILE *out = open_memstream(&text, &len);

	assert_non_null(out);
	replay_write(out, written);
	fclose(out);
	bool read = replay_parse(file, span_of(text, len), &fault);
	free(text);
	return read;
}

static void as_it_was_written(void **state)
{
	char every[256];
	struct replay_file written = { .scenario = "scenario/x y/#.scn", .case_name = every, .version = "3.1.1", .exec = "a 'b' \n c", .password = true, .tls = "ca key" }, file;

	(void)state;
	for (int i = 0; i < 255; i++)
		every[i] = (char)(i + 1);
	every[255] = 0;
	replay_add_option(&written, "define", "a=\"=\"");
	replay_add_option(&written, "real", NULL);
	for (int i = 0; i < 100; i++)
		replay_add_option(&written, "without", every);
	assert_true(read_back(&written, &file));
	assert_string_equal(file.scenario, written.scenario);
	assert_string_equal(file.case_name, every);
	assert_string_equal(file.version, "3.1.1");
	assert_string_equal(file.exec, written.exec);
	assert_null(file.target);
	assert_true(file.password);
	assert_string_equal(file.tls, "ca key");
	assert_int_equal(file.n_options, 102);
	assert_string_equal(file.options[0].name, "define");
	assert_string_equal(file.options[0].value, "a=\"=\"");
	assert_string_equal(file.options[1].name, "real");
	assert_null(file.options[1].value);
	assert_string_equal(file.options[101].value, every);
	replay_release(&file);
	replay_release(&written);
}

static void too_large(void **state)
{
	struct replay_file file;
	struct fault fault;
	char *text = malloc(REPLAY_MAX_FILE + 1);

	(void)state;
	assert_non_null(text);
	memset(text, '\n', REPLAY_MAX_FILE + 1);
	memcpy(text, LEAST, sizeof(LEAST) - 1);
	assert_true(replay_parse(&file, span_of(text, REPLAY_MAX_FILE), &fault));
	replay_release(&file);
	assert_false(replay_parse(&file, span_of(text, REPLAY_MAX_FILE + 1), &fault));
	assert_non_null(strstr(fault.text, "larger than 256 kB"));
	replay_release(&file);
	free(text);
}

int main(void)
{
	enum { N_ROWS = sizeof(rows) / sizeof(rows[0]) };
	struct CMUnitTest tests[N_ROWS + 2] = { cmocka_unit_test(as_it_was_written), cmocka_unit_test(too_large) };

	for (size_t i = 0; i < N_ROWS; i++)
		tests[2 + i] = (struct CMUnitTest){ .name = rows[i].expected ? rows[i].expected : "can be read", .test_func = is_read, .initial_state = (void *)&rows[i] };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
