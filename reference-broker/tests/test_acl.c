#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "reference-broker/acl.h"

/* ---- what is decided ---- */

#define P ACT_PUBLISH
#define R ACT_SUBSCRIBE

static const struct decision {
	const char *rules, *user, *client;	/* user NULL: nobody was named */
	enum act act;
	const char *topic;
	bool may;
} decisions[] = {
	/* nothing is allowed that no rule allows */
	{ "", NULL, "c", P, "a", false },
	{ "# allow both #\n\n", NULL, "c", P, "a", false },
	{ "allow both #", NULL, "c", P, "a", true },
	{ "allow both #", NULL, "c", R, "#", true },
	{ "allow both #", NULL, "c", R, "+/a/#", true },
	{ " allow\tboth  # \t\r\n", NULL, "c", R, "a", true },
	{ "allow publish a", NULL, "c", P, "a", true },
	{ "allow publish a", NULL, "c", R, "a", false },
	{ "allow subscribe a", NULL, "c", P, "a", false },
	{ "allow subscribe a", NULL, "c", R, "a", true },
	{ "allow both \"a b\"", NULL, "c", P, "a b", true },
	{ "allow both \"a \\\"\\\\ b\"", NULL, "c", P, "a \"\\ b", true },

	/* filters mean what they mean in MQTT */
	{ "allow both a/+", NULL, "c", P, "a/b", true },
	{ "allow both a/+\ndeny both a/b\nallow both a/#", NULL, "c", R, "a/#", false },	/* the allow above it does not reach so far */
	{ "allow both a/+\ndeny both a/b\nallow both a/#", NULL, "c", R, "a/b", true },
	{ "allow both a/+", NULL, "c", P, "a/", true },
	{ "allow both a/+", NULL, "c", P, "a", false },
	{ "allow both a/+", NULL, "c", P, "a/b/c", false },
	{ "allow both a/+/c", NULL, "c", P, "a/b/c", true },
	{ "allow both a/+/c", NULL, "c", P, "a/b/d", false },
	{ "allow both a/#", NULL, "c", P, "a", true },
	{ "allow both a/#", NULL, "c", P, "a/b/c", true },
	{ "allow both a/#", NULL, "c", P, "ab", false },
	{ "allow both a/#", NULL, "c", P, "A/b", false },
	{ "allow both a", NULL, "c", P, "a/b", false },
	{ "allow both a", NULL, "c", P, "aa", false },
	{ "allow both aa", NULL, "c", P, "a", false },
	{ "allow both /", NULL, "c", P, "/", true },
	{ "allow both /", NULL, "c", P, "a/", false },
	{ "allow both /+", NULL, "c", P, "/a", true },
	{ "allow both \xc3\xa4/+", NULL, "c", P, "\xc3\xa4/x", true },
	{ "allow both a%%u", NULL, "c", P, "a%u", true },
	{ "allow both a%%u", "x", "c", P, "ax", false },

	/* a filter is allowed as a whole or not */
	{ "allow both a/#", NULL, "c", R, "#", false },
	{ "allow both a/#", NULL, "c", R, "+", false },
	{ "allow both a/#", NULL, "c", R, "+/b", false },
	{ "allow both a/#", NULL, "c", R, "a/+", true },
	{ "allow both a/#", NULL, "c", R, "a/#", true },
	{ "allow both a/#", NULL, "c", R, "a/+/c/#", true },
	{ "allow both a/+", NULL, "c", R, "a/#", false },
	{ "allow both a/+", NULL, "c", R, "a/+", true },
	{ "allow both a/b", NULL, "c", R, "a/+", false },
	{ "allow both a/b/#", NULL, "c", R, "a/b", true },
	{ "allow both a", NULL, "c", R, "a/#", false },
	{ "deny both a/b\nallow both a/#", NULL, "c", R, "a/#", false },
	{ "deny both a/b\nallow both a/#", NULL, "c", R, "a/+", false },
	{ "deny both a/b\nallow both a/#", NULL, "c", R, "#", false },
	{ "deny both a/b\nallow both a/#", NULL, "c", R, "a/c", true },
	{ "deny both a/b\nallow both a/#", NULL, "c", R, "a/c/#", true },
	{ "deny both a/b\nallow both a/#", NULL, "c", R, "a/+/c", true },
	{ "deny both a/+/c\nallow both a/#", NULL, "c", R, "a/b/+", false },
	{ "deny both a/+/c\nallow both a/#", NULL, "c", R, "a/b/d", true },
	{ "deny both a/#\nallow both #", NULL, "c", R, "a", false },
	{ "deny both a\nallow both #", NULL, "c", R, "a/#", false },
	{ "deny both a\nallow both #", NULL, "c", R, "a/+", true },
	{ "deny both +/x\nallow both #", NULL, "c", R, "a/+", false },
	{ "deny both +/x\nallow both #", NULL, "c", R, "+/y", true },

	/* the first that decides */
	{ "allow both a/b\ndeny both a/#\nallow both #", NULL, "c", P, "a/b", true },
	{ "allow both a/b\ndeny both a/#\nallow both #", NULL, "c", P, "a/c", false },
	{ "allow both a/b\ndeny both a/#\nallow both #", NULL, "c", P, "c", true },
	{ "deny publish a/#\nallow both #", NULL, "c", R, "a/b", true },

	/* whom it is about */
	{ "allow both a user u", "u", "c", P, "a", true },
	{ "allow both a user u", "v", "c", P, "a", false },
	{ "allow both a user u", "uu", "c", P, "a", false },
	{ "allow both a user u", "", "c", P, "a", false },
	{ "allow both a user u", NULL, "c", P, "a", false },
	{ "allow both a user \"u v\"", "u v", "c", P, "a", true },
	{ "allow both a user anonymous", "anonymous", "c", P, "a", true },
	{ "allow both a user anonymous", NULL, "c", P, "a", false },
	{ "allow both a anonymous", NULL, "c", P, "a", true },
	{ "allow both a anonymous", "u", "c", P, "a", false },
	{ "allow both a anonymous", "anonymous", "c", P, "a", false },
	{ "allow both a anonymous", "", "c", P, "a", false },
	{ "deny both a user u\nallow both a", "u", "c", P, "a", false },
	{ "deny both a user u\nallow both a", "v", "c", P, "a", true },
	{ "deny both a user u\nallow both a", NULL, "c", P, "a", true },
	{ "allow both a/b\ndeny both a/# user u\nallow both #", "u", "c", P, "a/b", true },
	{ "allow both a/b\ndeny both a/# user u\nallow both #", "u", "c", P, "a/c", false },
	{ "allow both a user w\nallow both b user u\nallow both c user v\ndeny both c user u\nallow both #", "u", "c", P, "c", false },
	{ "allow both a user w\nallow both b user u\nallow both c user v\ndeny both c user u\nallow both #", "w", "c", P, "c", true },

	/* patterns */
	{ "allow both home/%u/#", "ann", "c", P, "home/ann/x", true },
	{ "allow both home/%u/#", "ann", "c", P, "home/anna/x", false },
	{ "allow both home/%u/#", "ann", "c", P, "home/an/x", false },
	{ "allow both home/%u/#", "ann", "c", R, "home/ann/#", true },
	{ "allow both home/%u/#", "ann", "c", R, "home/+/x", false },
	{ "allow both home/%u/#", NULL, "c", P, "home//x", false },
	{ "allow both home/%u/#", "", "c", P, "home//x", false },
	{ "allow both home/%u/#", "+", "c", R, "home/+/x", false },
	{ "allow both home/%u/#", "+", "c", P, "home/a/x", false },
	{ "allow both home/%u", "#", "c", R, "home/#", false },
	{ "allow both home/%u", "a/b", "c", P, "home/a/b", false },
	{ "allow both home/%u", "a+b", "c", P, "home/a+b", false },
	{ "allow both home/%u", "%u", "c", P, "home/%u", true },
	{ "allow both home/%u", "\x01", "c", P, "home/\x01", true },
	{ "allow both home/%u", "\x02", "c", P, "home/c", false },
	{ "allow both dev-%c/x", NULL, "c7", P, "dev-c7/x", true },
	{ "allow both dev-%c/x", NULL, "c7", P, "dev-c/x", false },
	{ "allow both dev-%c/x", NULL, "", P, "dev-/x", false },
	{ "allow both dev-%c/x", NULL, "a/x", P, "dev-a/x", false },
	{ "allow both %u-%c-%u", "u", "c", P, "u-c-u", true },
	{ "allow both %u%u", "ab", "c", P, "abab", true },
	{ "allow both %u%u", "ab", "c", P, "ababa", false },
	{ "allow both %u%c", "a", "ab", P, "aab", true },
	{ "allow both %u/#", "$SYS", "c", R, "$SYS/#", false },
	{ "allow both %u/#", "$SYS", "c", P, "$SYS/x", false },
	{ "allow both %u/#", "$share", "c", R, "$share/g/x", false },

	/* a deny is not to be slipped past by a name */
	{ "deny both a/%u/x\nallow both a/#", "ann", "c", P, "a/ann/x", false },
	{ "deny both a/%u/x\nallow both a/#", "ann", "c", P, "a/bob/x", true },
	{ "deny both a/%u/x\nallow both a/#", "ann", "c", R, "a/+/x", false },
	{ "deny both a/%u/x\nallow both a/#", "ann", "c", R, "a/+/y", true },
	{ "deny both a/%u/x\nallow both a/#", "b/c", "c", P, "a/b/c/x", false },
	{ "deny both a/%u/x\nallow both a/#", "+", "c", P, "a/b/x", false },
	{ "deny both a/%u/x\nallow both #", "+", "c", P, "b", true },
	{ "deny both a/%c/x\nallow both a/#", "u", "#", R, "a/b/x", false },

	/* $ topics by name only */
	{ "allow both #", NULL, "c", R, "$SYS/x", false },
	{ "allow both #", NULL, "c", R, "$SYS/#", false },
	{ "allow both +/x", NULL, "c", P, "$SYS/x", false },
	{ "allow subscribe $SYS/#", NULL, "c", R, "$SYS/#", true },
	{ "allow subscribe $SYS/#", NULL, "c", R, "$SYS", true },
	{ "allow subscribe $SYS/#", NULL, "c", R, "$SYS/+/x", true },
	{ "allow subscribe $SYS/#", NULL, "c", R, "$other/x", false },
	{ "allow subscribe $SYS/#", NULL, "c", R, "#", false },
	{ "deny both $SYS/x\nallow both $SYS/#\nallow both #", NULL, "c", R, "+/x", true },
	{ "deny both $SYS/x\nallow both $SYS/#\nallow both #", NULL, "c", R, "$SYS/#", false },
	{ "deny both #\nallow both $SYS/#", NULL, "c", R, "$SYS/x", true },
};

static struct span span_or_none(const char *text)
{
	return text ? span_text(text) : (struct span){ 0 };
}

static void decides(void **state)
{
	const struct decision *d = *state;
	struct fault fault;
	struct acl *acl = acl_parse(span_text(d->rules), &fault);

	if (!acl)
		fail_msg("%s: %u:%u: %s", d->rules, fault.line, fault.column, fault.text);
	if (acl_may(acl, span_or_none(d->user), span_text(d->client), d->act, span_text(d->topic)) != d->may)
		fail_msg("%s | user %s, client %s: %s %s is %s", d->rules, d->user ? d->user : "-", d->client,
		         d->act == P ? "publish" : "subscribe", d->topic, d->may ? "denied" : "allowed");
	acl_free(acl);
}

static void a_name_with_nul_fits_nowhere(void **state)
{
	struct fault fault;
	struct acl *acl = acl_parse(span_text("allow both home/%u"), &fault);

	(void)state;
	assert_non_null(acl);
	assert_false(acl_may(acl, span_of("a\0b", 3), span_text("c"), P, span_of("home/a\0b", 8)));
	acl_free(acl);
}

static void one_list_takes_the_place_of_another(void **state)
{
	struct fault fault;
	struct acl *acl = acl_parse(span_text("allow both a user u"), &fault);

	(void)state;
	assert_non_null(acl);
	assert_int_equal(acl_line_about_user(acl), 1);
	acl_replace(acl, acl_parse(span_text("\nallow both b"), &fault));
	assert_false(acl_may(acl, span_text("u"), span_text("c"), P, span_text("a")));
	assert_true(acl_may(acl, span_text("u"), span_text("c"), P, span_text("b")));
	assert_int_equal(acl_line_about_user(acl), 0);
	acl_replace(acl, acl_parse(span_text("\nallow both b/%u\nallow both c user v"), &fault));
	assert_int_equal(acl_line_about_user(acl), 2);
	acl_free(acl);
}

/* As many rules as there may be: each finds its own, in a blink. */
static void many_rules(void **state)
{
	static char text[ACL_RULES_MAX * 64 + 64];
	char topic[32], user[32];
	size_t len = 0;
	struct fault fault;
	struct acl *acl;

	(void)state;
	for (unsigned i = 0; i < ACL_RULES_MAX; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len, "allow both t/%u/# user u%u\n", i, i % 1000);
	acl = acl_parse(span_of(text, len), &fault);
	assert_non_null(acl);
	for (unsigned i = 0; i < ACL_RULES_MAX; i++) {
		snprintf(topic, sizeof(topic), "t/%u/x", i);
		snprintf(user, sizeof(user), "u%u", i % 1000);
		assert_true(acl_may(acl, span_text(user), span_text("c"), P, span_text(topic)));
		snprintf(user, sizeof(user), "u%u", (i + 1) % 1000);
		assert_false(acl_may(acl, span_text(user), span_text("c"), P, span_text(topic)));
	}
	acl_free(acl);
	len += (size_t)snprintf(text + len, sizeof(text) - len, "allow both x\n");
	assert_null(acl_parse(span_of(text, len), &fault));
	assert_int_equal(fault.line, ACL_RULES_MAX + 1);
	assert_string_equal(fault.text, "more than 4096 rules");
}

/* ---- what is wrong ---- */

static const struct mistake {
	const char *text;
	unsigned line, column;
	const char *words;
} mistakes[] = {
	{ "\npermit both a", 2, 1, "expected allow or deny" },
	{ "  \"allow\" both a", 1, 3, "expected allow or deny" },
	{ "allow", 1, 6, "expected publish, subscribe or both" },
	{ "allow read a", 1, 7, "expected publish, subscribe or both" },
	{ "allow both", 1, 11, "expected a topic filter such as" },
	{ "allow both ", 1, 12, "expected a topic filter such as" },
	{ "allow both \"\"", 1, 12, "expected a topic filter such as" },
	{ "allow both a#", 1, 12, "# alone in the last one" },
	{ "allow both a/#/b", 1, 12, "# alone in the last one" },
	{ "allow both a+/b", 1, 12, "+ stands alone" },
	{ "allow both a/%x", 1, 12, "%u (user name)" },
	{ "allow both a/%", 1, 12, "%% (a percent sign)" },
	{ "allow both $share/g/a", 1, 12, "behind $share/NAME/" },
	{ "allow both a b", 1, 14, "quote a filter that has blanks" },
	{ "allow both a \"\"", 1, 14, "expected `user NAME`" },
	{ "allow both a user", 1, 18, "expected a user's name" },
	{ "allow both a user \"\"", 1, 19, "expected a user's name" },
	{ "allow both a user u v", 1, 21, "expected the end of the line" },
	{ "allow both a anonymous u", 1, 24, "expected the end of the line" },
	{ "allow both \"a", 1, 12, "not closed" },
	{ "allow both \"a\\", 1, 12, "not closed" },
	{ "allow both \"a\\b\"", 1, 14, "expected \\\" or \\\\" },
	{ "allow both \"a\"b", 1, 15, "expected a blank" },
	{ "allow both a\x01", 1, 13, "a control character" },
	{ "allow both a\x7f", 1, 13, "a control character" },
	{ "allow both \xff", 1, 1, "not UTF-8" },

	/* rules that say something and do nothing */
	{ "allow both #\ndeny both a", 2, 1, "line 1 decides first" },
	{ "allow both a\n\nallow both a", 3, 1, "line 1 decides first" },
	{ "allow both a/#\ndeny publish a/+/c", 2, 1, "line 1 decides first" },
	{ "deny both a/#\nallow both a user u", 2, 1, "line 1 decides first" },
	{ "allow publish a/# user u\ndeny publish a/b user u", 2, 1, "line 1 decides first" },
	{ "allow both a/%u/#\nallow both a/%u/b", 2, 1, "line 1 decides first" },
};

static void a_mistake_has_a_place(void **state)
{
	const struct mistake *m = *state;
	struct fault fault;

	assert_null(acl_parse(span_text(m->text), &fault));
	if (fault.line != m->line || fault.column != m->column || !strstr(fault.text, m->words))
		fail_msg("%s: %u:%u: %s", m->text, fault.line, fault.column, fault.text);
}

static const char *const no_mistakes[] = {
	"allow publish #\ndeny both a", "allow both # user u\ndeny both a user v", "allow both a/+\nallow both a/#",
	"allow both a/# anonymous\ndeny both a/#", "allow both #\nallow both $SYS/#", "allow both a/+\ndeny both a/%u",
	"allow both a/%u\nallow both a/+", "deny both a/%u\nallow both a/u",
};

static void no_mistake(void **state)
{
	struct fault fault;
	struct acl *acl = acl_parse(span_text(*state), &fault);

	if (!acl)
		fail_msg("%s: %u:%u: %s", (const char *)*state, fault.line, fault.column, fault.text);
	acl_free(acl);
}

static void what_is_too_long_is_refused(void **state)
{
	static char line[ACL_LINE_MAX + 2];
	struct fault fault;
	struct acl *acl;

	(void)state;
	memset(line, 'a', sizeof(line) - 1);
	memcpy(line, "allow both ", 11);
	assert_null(acl_parse(span_of(line, ACL_LINE_MAX + 1), &fault));
	assert_int_equal(fault.column, ACL_LINE_MAX + 1);
	acl = acl_parse(span_of(line, ACL_LINE_MAX), &fault);
	assert_non_null(acl);
	acl_free(acl);
}

#define N(rows) (sizeof(rows) / sizeof(*(rows)))

int main(void)
{
	static struct CMUnitTest tests[N(decisions) + N(mistakes) + N(no_mistakes) + 4];
	size_t n = 0;

	for (size_t i = 0; i < N(decisions); i++)
		tests[n++] = (struct CMUnitTest){ decisions[i].rules, decides, NULL, NULL, (void *)&decisions[i] };
	for (size_t i = 0; i < N(mistakes); i++)
		tests[n++] = (struct CMUnitTest){ mistakes[i].text, a_mistake_has_a_place, NULL, NULL, (void *)&mistakes[i] };
	for (size_t i = 0; i < N(no_mistakes); i++)
		tests[n++] = (struct CMUnitTest){ no_mistakes[i], no_mistake, NULL, NULL, (void *)no_mistakes[i] };
	tests[n++] = (struct CMUnitTest)cmocka_unit_test(a_name_with_nul_fits_nowhere);
	tests[n++] = (struct CMUnitTest)cmocka_unit_test(one_list_takes_the_place_of_another);
	tests[n++] = (struct CMUnitTest)cmocka_unit_test(many_rules);
	tests[n++] = (struct CMUnitTest)cmocka_unit_test(what_is_too_long_is_refused);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
