#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "reference-broker/users.h"

/* The first is RFC 7677's example; all were computed by Python's hashlib. */
#define USER "user:SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=\n"
#define LONG "long:SCRAM-SHA-256$5000:eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eA==$CObAmEMBM8U9YmtHUOsaTZsU+w/vL+G8+hTpS1fk4EE=:3oeUaX+VT0gfjHr2JfjVPaDkVkK6AKMl4onSVfg21vY=\n"
#define EMPTY "empty:SCRAM-SHA-256$4096:cw==$5zoDxC7aj+5GOgmyZvHpeilFRLMlSrBVTPRloIMz7gs=:MaqOIQ20ACrEm3pusOFxiRm8BWD4lPywza57clfLJhA=\n"

static struct users *parse(const char *text)
{
	struct fault fault;
	struct users *users = users_parse(span_text(text), &fault);

	if (!users)
		print_error("%u:%u: %s\n", fault.line, fault.column, fault.text);
	assert_non_null(users);
	return users;
}

/* Each some time after the one before. */
static bool allow_span(struct users *users, const char *name, struct span password)
{
	static uint64_t now_ns;

	now_ns += 1000000000;
	return users_login(users, span_text(name), password, now_ns) == LOGIN_RIGHT;
}

static bool allow(struct users *users, const char *name, const char *password)
{
	return allow_span(users, name, span_text(password));
}

static void lets_in_who_has_the_password(void **state)
{
	struct users *users = parse("# two users\r\n\n" USER EMPTY LONG);
	uint8_t bytes[600];

	(void)state;
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = i & 1 ? 0xff : 0;
	for (int turn = 0; turn < 3; turn++) {		/* derived, then remembered */
		assert_true(allow(users, "user", "pencil"));
		assert_true(allow(users, "empty", ""));
		assert_true(allow_span(users, "empty", (struct span){ 0 }));
		assert_true(allow_span(users, "long", span_of(bytes, sizeof(bytes))));
		assert_false(allow(users, "user", "pencils"));
		assert_false(allow(users, "user", ""));
		assert_false(allow(users, "user", "penci"));
		assert_false(allow(users, "empty", "pencil"));
		assert_false(allow(users, "use", "pencil"));
		assert_false(allow(users, "User", "pencil"));
		assert_false(allow(users, "", "pencil"));
		assert_false(users_login(users, (struct span){ 0 }, (struct span){ 0 }, UINT64_MAX / 2) == LOGIN_RIGHT);
		assert_false(allow_span(users, "long", span_of(bytes, sizeof(bytes) - 1)));
	}
	users_free(users);
}

/* What one user remembers is no other's: the same bytes cut elsewhere are another login. */
static void remembers_name_and_password_apart(void **state)
{
	char text[2 * USERS_LINE_MAX], line[USERS_LINE_MAX];
	struct fault fault;
	struct users *users;

	(void)state;
	assert_true(users_line(span_text("ab"), span_text("c"), line, &fault));
	strcpy(text, line);
	assert_true(users_line(span_text("a"), span_text("x"), line, &fault));
	strcat(text, line);
	users = parse(text);
	assert_true(allow(users, "ab", "c"));
	assert_true(allow(users, "a", "x"));
	assert_false(allow(users, "a", "bc"));
	assert_false(allow(users, "ab", "x"));
	assert_false(allow(users, "a", "c"));
	users_free(users);
}

/* Who guesses has a share of the time; who was here before is let in all the same. */
static void guesses_are_bounded(void **state)
{
	struct users *users = parse(USER EMPTY);
	uint64_t now_ns = 5000000000;
	unsigned n = 0;
	char guess[16];

	(void)state;
	assert_int_equal(users_login(users, span_text("user"), span_text("pencil"), now_ns), LOGIN_RIGHT);
	for (; n < 1000; n++) {
		snprintf(guess, sizeof(guess), "%u", n);
		if (users_login(users, span_text(n & 1 ? "user" : "nobody"), span_text(guess), now_ns) == LOGIN_BUSY)
			break;
	}
	assert_int_equal(n, USERS_ITERATIONS_A_SECOND / USERS_ITERATIONS_MIN - 1);
	assert_int_equal(users_login(users, span_text("user"), span_text("pencil"), now_ns), LOGIN_RIGHT);
	assert_int_equal(users_login(users, span_text("nobody"), span_text("0"), now_ns), LOGIN_BUSY);		/* long forgotten */
	snprintf(guess, sizeof(guess), "%u", n - 1);
	assert_int_equal(users_login(users, span_text(n & 1 ? "nobody" : "user"), span_text(guess), now_ns), LOGIN_WRONG);
	assert_int_equal(users_login(users, span_text("empty"), span_text(""), now_ns), LOGIN_BUSY);
	assert_int_equal(users_login(users, span_text("empty"), span_text(""), now_ns + 10000000), LOGIN_RIGHT);
	users_free(users);
}

static void lets_nobody_in_without_users(void **state)
{
	struct users *users = parse("# nobody\n");

	(void)state;
	assert_false(allow(users, "user", "pencil"));
	assert_false(allow(users, "", ""));
	users_free(users);
}

static void writes_what_it_reads(void **state)
{
	char one[USERS_LINE_MAX], two[USERS_LINE_MAX], name[USERS_NAME_MAX + 2];
	struct fault fault;
	struct users *users;

	(void)state;
	assert_true(users_line(span_text("al ice"), span_text("pass:$ word"), one, &fault));
	assert_true(users_line(span_text("al ice"), span_text("pass:$ word"), two, &fault));
	assert_string_not_equal(one, two);		/* another salt */
	users = parse(one);
	assert_true(allow(users, "al ice", "pass:$ word"));
	assert_false(allow(users, "al ice", "pass"));
	users_free(users);
	memset(name, 'n', sizeof(name));
	assert_true(users_line(span_of(name, USERS_NAME_MAX), span_text("p"), one, &fault));
	users = parse(one);
	users_free(users);
	assert_false(users_line(span_of(name, USERS_NAME_MAX + 1), span_text("p"), one, &fault));
	assert_false(users_line(span_text(""), span_text("p"), one, &fault));
	assert_false(users_line(span_text("a:b"), span_text("p"), one, &fault));
	assert_false(users_line(span_text("a\nb"), span_text("p"), one, &fault));
	assert_false(users_line(span_text("#a"), span_text("p"), one, &fault));
}

/* ---- what is no users file ---- */

#define SALT "W22ZaJ0SNY7soEsUEjb6gQ=="
#define STORED "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY="
#define SERVER "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
#define REST(iterations, salt, stored, server) ":SCRAM-SHA-256$" iterations ":" salt "$" stored ":" server

static const struct row {
	const char *name, *text;
	unsigned line, column;
	const char *says;
} rows[] = {
	{ "a name alone", USER "bob", 2, 1, "colon" },
	{ "no name", REST("4096", SALT, STORED, SERVER), 1, 1, "user name" },
	{ "a control character in the name", "b\tb" REST("4096", SALT, STORED, SERVER), 1, 2, "control" },
	{ "a password as it is", "# x\nbob:secret", 2, 5, "--make-verifier" },
	{ "another mechanism", "bob:SCRAM-SHA-1$4096:" SALT "$" STORED ":" SERVER, 1, 17, "SCRAM-SHA-256" },
	{ "iterations alone", "bob:SCRAM-SHA-256$4096", 1, 19, "ITERATIONS" },
	{ "too few iterations", "bob" REST("4095", SALT, STORED, SERVER), 1, 19, "4096 to 100000" },
	{ "too many iterations", "bob" REST("100001", SALT, STORED, SERVER), 1, 19, "4096 to 100000" },
	{ "far too many iterations", "bob" REST("99999999999999999999", SALT, STORED, SERVER), 1, 19, "4096 to 100000" },
	{ "a sign before the iterations", "bob" REST("+4096", SALT, STORED, SERVER), 1, 19, "4096 to 100000" },
	{ "no salt", "bob" REST("4096", "", STORED, SERVER), 1, 24, "salt" },
	{ "a salt that is no base64", "bob" REST("4096", "W22Z*J0=", STORED, SERVER), 1, 24, "salt" },
	{ "a salt without padding", "bob" REST("4096", "W22ZaJ0SNY7soEsUEjb6gQ", STORED, SERVER), 1, 24, "salt" },
	{ "a salt padded in its middle", "bob" REST("4096", "W2==aJ0=", STORED, SERVER), 1, 24, "salt" },
	{ "a salt that is too long", "bob" REST("4096", STORED STORED, STORED, SERVER), 1, 24, "salt" },
	{ "a stored key that is too short", "bob" REST("4096", SALT, SALT, SERVER), 1, 49, "stored key" },
	{ "no server key", "bob:SCRAM-SHA-256$4096:" SALT "$" STORED, 1, 49, "SERVERKEY" },
	{ "an empty server key", "bob" REST("4096", SALT, STORED, ""), 1, 94, "server key" },
	{ "rubbish behind the server key", "bob" REST("4096", SALT, STORED, SERVER " x"), 1, 94, "server key" },
	{ "a user twice", USER "# x\n" USER, 3, 1, "line 1" },
};

#define N_ROWS (sizeof(rows) / sizeof(*rows))

static void refuses(void **state)
{
	const struct row *row = *state;
	struct fault fault;

	assert_null(users_parse(span_text(row->text), &fault));
	if (fault.line != row->line || fault.column != row->column || !strstr(fault.text, row->says))
		fail_msg("expected %u:%u: ...%s..., got %u:%u: %s", row->line, row->column, row->says, fault.line, fault.column, fault.text);
}

static void is_bounded(void **state)
{
	static char text[(USERS_MAX + 1) * (sizeof(USER) + 8)];
	struct fault fault;
	size_t len = 0;

	(void)state;
	for (int i = 0; i <= USERS_MAX; i++)
		len += (size_t)sprintf(text + len, "u%d%s", i, &USER[4]);
	assert_null(users_parse(span_of(text, len), &fault));
	assert_int_equal(fault.line, USERS_MAX + 1);
	memset(text, 'x', USERS_LINE_MAX + 1);
	text[1] = ':';
	assert_null(users_parse(span_of(text, USERS_LINE_MAX + 1), &fault));
	assert_non_null(strstr(fault.text, "longer than 1024"));
	assert_null(users_read("/nonexistent/users", &fault));
	assert_int_equal(fault.line, 0);
	assert_null(users_read("/dev/zero", &fault));
	assert_non_null(strstr(fault.text, "larger"));
	assert_null(users_read("/", &fault));
	assert_int_equal(fault.line, 0);
}

/* A name's salt is no sign of whether somebody has it, neither when others' lines come and go. */
static void nobody_keeps_his_salt(void **state)
{
	struct users *users = parse(USER);
	struct verifier before, after;

	(void)state;
	users_verifier(users, span_text("nobody"), &before);
	users_replace(users, parse(USER "other:SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=\n"));
	users_verifier(users, span_text("nobody"), &after);
	assert_false(after.known);
	assert_int_equal(before.salt_len, after.salt_len);
	assert_memory_equal(before.salt, after.salt, after.salt_len);
	users_verifier(users, span_text("other"), &after);
	assert_true(after.known);
	users_free(users);
}

int main(void)
{
	struct CMUnitTest tests[7 + N_ROWS] = {
		cmocka_unit_test(lets_in_who_has_the_password), cmocka_unit_test(remembers_name_and_password_apart),
		cmocka_unit_test(lets_nobody_in_without_users), cmocka_unit_test(guesses_are_bounded), cmocka_unit_test(writes_what_it_reads), cmocka_unit_test(is_bounded),
		cmocka_unit_test(nobody_keeps_his_salt),
	};

	for (size_t i = 0; i < N_ROWS; i++)
		tests[7 + i] = (struct CMUnitTest){ .name = rows[i].name, .test_func = refuses, .initial_state = (void *)&rows[i] };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
