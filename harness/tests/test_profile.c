#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "harness/profile.h"

static const char whole[] =
	"# what is known of it\n"
	"\n"
	"name ejabberd\r\n"
	"  without\tshared_subscription_available\t # see its manual\n"
	"without maximum_qos>=2\n"
	"user alice#1 # not root\n"
	"password-file secret.txt\n"
	"denies publish locked/#\n"
	"denies\tsubscribe \t hidden/#\n"
	"timer-tolerance 2500ms";

static void every_key_is_read(void **state)
{
	struct profile p = { 0 };
	struct fault fault;

	(void)state;
	assert_true(profile_parse(&p, "a/b.profile", span_text(whole), &fault));
	assert_string_equal(p.name, "ejabberd");
	assert_string_equal(p.user, "alice#1");
	assert_string_equal(p.password_file, "a/secret.txt");
	assert_true(p.timer_tolerance_ns == 2500000000u);
	assert_string_equal(p.denied_publish, "locked");
	assert_string_equal(p.denied_subscribe, "hidden");
	assert_int_equal(p.n_without, 2);
	assert_string_equal(p.without[0].capability, "shared_subscription_available");
	assert_string_equal(p.without[0].by, "a/b.profile:4: see its manual");
	assert_string_equal(p.without[1].capability, "maximum_qos>=2");
	assert_string_equal(p.without[1].by, "a/b.profile:5");
	profile_release(&p);
}

static void an_empty_file_says_nothing(void **state)
{
	struct profile p = { 0 };
	struct fault fault;

	(void)state;
	assert_true(profile_parse(&p, "p", span_text(""), &fault));
	assert_true(profile_parse(&p, "p", span_text("\n \t\n# x\n#"), &fault));
	assert_null(p.name);
	assert_null(p.user);
	assert_int_equal(p.n_without, 0);
	profile_release(&p);
}

static void a_password_file_is_beside_the_profile(void **state)
{
	static const struct { const char *profile, *file, *want; } rows[] = {
		{ "p", "f", "f" }, { "a/p", "f", "a/f" }, { "/p", "f", "/f" }, { "a/p", "/f", "/f" }, { "a/b/p", "../f", "a/b/../f" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct profile p = { 0 };
		struct fault fault;
		char text[80];

		snprintf(text, sizeof text, "password-file %s", rows[i].file);
		assert_true(profile_parse(&p, rows[i].profile, span_text(text), &fault));
		assert_string_equal(p.password_file, rows[i].want);
		profile_release(&p);
	}
}

struct mistake {
	const char *text;
	unsigned line, column;
	const char *words;
};

static const struct mistake mistakes[] = {
	{ "nmae x", 1, 1, "did you mean name?" },
	{ "\n\t xyzzy 1", 2, 3, "expected name, without, user, password-file, timer-tolerance or denies" },
	{ "name a\nname b", 2, 1, "name stands twice" },
	{ "name", 1, 5, "expected a value behind name" },
	{ "name # x", 1, 5, "expected a value behind name" },
	{ "name a b", 1, 6, "letters, digits" },
	{ "without shared_subscriptions_available", 1, 9, "did you mean shared_subscription_available?" },
	{ "without reason_code", 1, 9, "unknown capability" },
	{ "timer-tolerance 2", 1, 17, "expected" },
	{ "timer-tolerance  2h", 1, 18, "at most 1h" },
	{ "denies connect a/#", 1, 8, "expected publish or subscribe" },
	{ "denies publish", 1, 15, "expected one level" },
	{ "denies  publish a", 1, 17, "expected one level" },
	{ "denies publish a/b/#", 1, 16, "expected one level" },
	{ "denies publish +/#", 1, 16, "expected one level" },
	{ "denies publish /#", 1, 16, "expected one level" },
	{ "denies publish a/# x", 1, 16, "expected one level" },
	{ "denies publish a/#\ndenies publish b/#", 2, 8, "denies publish stands twice" },
	{ "user a\x01", 1, 7, "a control character" },
};

static void a_mistake_has_a_place(void **state)
{
	const struct mistake *m = *state;
	struct profile p = { 0 };
	struct fault fault = { 0 };

	assert_false(profile_parse(&p, "p", span_text(m->text), &fault));
	assert_int_equal(fault.line, m->line);
	assert_int_equal(fault.column, m->column);
	if (!strstr(fault.text, m->words))
		fail_msg("%s: %s", m->text, fault.text);
	profile_release(&p);
}

static void what_is_too_much_is_refused(void **state)
{
	static char text[PROFILE_MAX_FILE + 2];
	struct profile p = { 0 };
	struct fault fault;
	size_t len = 0;

	(void)state;
	memset(text, '#', sizeof text - 1);
	assert_false(profile_parse(&p, "p", span_text(text), &fault));
	assert_int_equal(fault.line, 1);
	assert_false(profile_parse(&p, "p", span_of(text, PROFILE_MAX_LINE + 1), &fault));
	assert_true(profile_parse(&p, "p", span_of(text, PROFILE_MAX_LINE), &fault));
	for (unsigned i = 0; i <= PROFILE_MAX_WITHOUT; i++)
		len += (size_t)snprintf(text + len, sizeof text - len, "without login\n");
	assert_false(profile_parse(&p, "p", span_of(text, len), &fault));
	assert_int_equal(fault.line, PROFILE_MAX_WITHOUT + 1);
	profile_release(&p);
}

int main(void)
{
	enum { N_FIXED = 4, N = sizeof mistakes / sizeof *mistakes };
	struct CMUnitTest tests[N_FIXED + N] = {
		cmocka_unit_test(every_key_is_read),
		cmocka_unit_test(an_empty_file_says_nothing),
		cmocka_unit_test(a_password_file_is_beside_the_profile),
		cmocka_unit_test(what_is_too_much_is_refused),
	};

	for (size_t i = 0; i < N; i++)
		tests[N_FIXED + i] = (struct CMUnitTest){ .name = mistakes[i].text, .test_func = a_mistake_has_a_place, .initial_state = (void *)&mistakes[i] };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
