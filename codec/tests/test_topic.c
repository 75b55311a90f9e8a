#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "codec/generate.h"
#include "codec/topic.h"

/* ---- UTF-8: the boundaries of table 3-7 of the Unicode standard ---- */

static const struct utf8 {
	const char *name, *text;
	bool valid;
} utf8[] = {
	{ "empty", "", true },
	{ "ASCII", "abc", true },
	{ "eight bytes of ASCII", "abcdefgh", true },
	{ "U+007F", "\x7f", true },
	{ "U+0080", "\xc2\x80", true },
	{ "U+07FF", "\xdf\xbf", true },
	{ "U+0800", "\xe0\xa0\x80", true },
	{ "U+D7FF", "\xed\x9f\xbf", true },
	{ "U+E000", "\xee\x80\x80", true },
	{ "U+FEFF", "\xef\xbb\xbf", true },
	{ "U+FFFF, a non-character", "\xef\xbf\xbf", true },
	{ "U+10000", "\xf0\x90\x80\x80", true },
	{ "U+3FFFF", "\xf0\xbf\xbf\xbf", true },
	{ "U+40000", "\xf1\x80\x80\x80", true },
	{ "U+10FFFF", "\xf4\x8f\xbf\xbf", true },
	{ "U+D800, a surrogate", "\xed\xa0\x80", false },
	{ "U+DFFF, a surrogate", "\xed\xbf\xbf", false },
	{ "a surrogate pair", "\xed\xa0\xbd\xed\xb8\x80", false },
	{ "U+110000", "\xf4\x90\x80\x80", false },
	{ "U+140000", "\xf5\x80\x80\x80", false },
	{ "overlong U+0000", "\xc0\x80", false },
	{ "overlong U+007F", "\xc1\xbf", false },
	{ "overlong U+07FF", "\xe0\x9f\xbf", false },
	{ "overlong U+FFFF", "\xf0\x8f\xbf\xbf", false },
	{ "lone continuation", "\x80", false },
	{ "last lone continuation", "abcdefg\xbf", false },
	{ "cut after one of two", "\xc2", false },
	{ "cut after two of three", "\xe2\x82", false },
	{ "cut after three of four", "\xf0\x9f\x90", false },
	{ "second byte is no continuation", "\xc2" "a", false },
	{ "third byte is no continuation", "\xe2\x82" "a", false },
	{ "fourth byte is no continuation", "\xf0\x9f\x90" "a", false },
	{ "five-byte form", "\xf8\x88\x80\x80\x80", false },
	{ "0xFE", "\xfe", false },
	{ "0xFF", "\xff", false },
	{ "behind eight of ASCII", "abcdefgh\xff", false },
	{ "in the second eight", "abcdefghabc\xc3\xa9""defg\xc3", false },
	{ "valid in the second eight", "abcdefghabc\xc3\xa9""defgh", true },
};

/* A heap block of exactly the text's size: a sanitizer sees the first byte too far. */
static struct span exact(const char *text)
{
	size_t len = strlen(text);
	uint8_t *at = malloc(len ? len : 1);

	memcpy(at, text, len);
	return span_of(at, len);
}

static void release(struct span s)
{
	free((void *)(uintptr_t)s.at);
}

static void utf8_by_table(void **state)
{
	const struct utf8 *row = *state;
	struct span s = exact(row->text);

	assert_int_equal(utf8_valid(s), row->valid);
	release(s);
}

/* All that two, three and four bytes can be, against the code points they stand for. */
static void utf8_by_code_points(void **state)
{
	(void)state;
	for (uint32_t c = 0x80; c < 0x120000; c++) {
		uint8_t b[4];
		size_t n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;

		for (size_t i = n; --i;)
			b[i] = (uint8_t)(0x80 | (c >> 6 * (n - 1 - i) & 0x3f));
		b[0] = (uint8_t)((0xf00 >> n & 0xff) | c >> 6 * (n - 1));
		if (utf8_valid(span_of(b, n)) != (c <= 0x10ffff && (c < 0xd800 || c > 0xdfff)))
			fail_msg("U+%04X", (unsigned)c);
	}
}

/* ---- names and filters ---- */

static const struct form {
	const char *text;
	bool name, filter;
} forms[] = {
	{ "a", true, true }, { "/", true, true }, { "//", true, true }, { "a/b", true, true }, { " ", true, true },
	{ "$SYS/x", true, true }, { "a b/\xc3\xa9", true, true },
	{ "", false, false },
	{ "#", false, true }, { "/#", false, true }, { "a/#", false, true }, { "+", false, true }, { "+/+", false, true },
	{ "/+", false, true }, { "+/", false, true }, { "a/+/b", false, true }, { "+/#", false, true }, { "a/+/#", false, true },
	{ "a#", false, false }, { "a/b#", false, false }, { "#/a", false, false }, { "a/#/b", false, false }, { "##", false, false },
	{ "#/", false, false }, { "a+", false, false }, { "+a", false, false }, { "a/b+/c", false, false }, { "a/+b", false, false },
	{ "++", false, false }, { "+#", false, false }, { "#+", false, false },
};

static void forms_by_table(void **state)
{
	const struct form *row = *state;
	struct span s = exact(row->text);

	assert_int_equal(topic_name_valid(s), row->name);
	assert_int_equal(topic_filter_valid(s), row->filter);
	release(s);
}

static void no_nul(void **state)
{
	(void)state;
	assert_false(topic_name_valid(span_of("a\0b", 3)));
	assert_false(topic_filter_valid(span_of("a\0b", 3)));
	assert_true(has_nul(span_of("a\0b", 3)));
	assert_true(has_nul(span_of("\0", 1)));
	assert_false(has_nul(span_of("ab", 2)));
	assert_false(has_nul(span_of(NULL, 0)));
}

/* ---- matching ---- */

static const struct match {
	const char *filter, *topic;
	bool matches;
} matches[] = {
	/* [4.7.1.2] */
	{ "sport/tennis/player1/#", "sport/tennis/player1", true },
	{ "sport/tennis/player1/#", "sport/tennis/player1/ranking", true },
	{ "sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", true },
	{ "sport/tennis/player1/#", "sport/tennis/player10", false },
	{ "sport/#", "sport", true },
	{ "sport/#", "sports", false },
	{ "#", "sport", true }, { "#", "/", true }, { "#", "a//b", true },
	/* [4.7.1.3] */
	{ "sport/tennis/+", "sport/tennis/player1", true },
	{ "sport/tennis/+", "sport/tennis/player1/ranking", false },
	{ "sport/+", "sport", false },
	{ "sport/+", "sport/", true },
	{ "+", "/finance", false }, { "+/+", "/finance", true }, { "/+", "/finance", true },
	/* [MQTT-4.7.2-1] */
	{ "#", "$SYS/a", false }, { "+/a", "$SYS/a", false }, { "+", "$SYS", false }, { "$SYS/#", "$SYS/a", true },
	{ "$SYS/#", "$SYS", true }, { "$SYS/+", "$SYS/a", true }, { "a/#", "a/$b", true }, { "a/+", "a/$b", true },
	/* levels may be empty, case and spaces count */
	{ "a", "A", false }, { "a ", "a", false }, { "a", "/a", false }, { "/a", "a", false }, { "a/", "a", false }, { "a", "a/", false },
	{ "a/", "a/", true }, { "a//b", "a//b", true }, { "a/+/b", "a//b", true }, { "a//#", "a/", true }, { "a//#", "a", false },
	{ "a/#", "a//", true }, { "+/", "a/", true }, { "+/", "/", true }, { "+", "a/", false }, { "+/+/#", "a/b", true }, { "+/+/#", "a", false },
	{ "/#", "/", true }, { "/#", "/a", true }, { "/#", "a", false }, { "+/#", "a", true },
};

static void matches_by_table(void **state)
{
	const struct match *row = *state;
	struct span filter = exact(row->filter), topic = exact(row->topic);

	assert_int_equal(topic_matches(filter, topic), row->matches);
	release(filter);
	release(topic);
}

/* The standard's words, level by level. */
static bool slow_levels(const char *filter, const char *topic)
{
	size_t f = strcspn(filter, "/"), t = strcspn(topic, "/");

	if (!strcmp(filter, "#"))
		return true;
	if (!(f == 1 && *filter == '+') && (f != t || strncmp(filter, topic, f)))
		return false;
	if (filter[f] && topic[t])
		return slow_levels(filter + f + 1, topic + t + 1);
	if (!filter[f] && !topic[t])
		return true;
	return !topic[t] && !strcmp(filter + f, "/#");	/* # includes the parent level */
}

static bool slow_matches(const char *filter, const char *topic)
{
	return !(*topic == '$' && (*filter == '+' || *filter == '#')) && slow_levels(filter, topic);
}

static void random_text(struct random *random, const char *letters, char *text)
{
	size_t n = 1 + random_below(random, 7);

	for (size_t i = 0; i < n; i++)
		text[i] = letters[random_below(random, strlen(letters))];
	text[n] = '\0';
}

static void matches_as_the_slow_one(void **state)
{
	struct random random;
	unsigned n_matching = 0, n_pairs = 0;
	char filter[16], topic[16];

	(void)state;
	random_seed(&random, 1);
	while (n_pairs < 300000) {
		random_text(&random, "ab$//++#", filter);
		random_text(&random, "aab$//", topic);
		if (!topic_filter_valid(span_text(filter)))
			continue;
		bool want = slow_matches(filter, topic);
		if (topic_matches(span_text(filter), span_text(topic)) != want)
			fail_msg("%s %s: %s expected", filter, topic, want ? "a match" : "no match");
		n_matching += want;
		n_pairs++;
	}
	assert_true(n_matching > n_pairs / 20);
}

/* ---- shared subscriptions ---- */

static const struct share {
	const char *text;
	bool split, valid;
	const char *group, *filter;
} shares[] = {
	{ "$share/g/a/b", true, true, "g", "a/b" },
	{ "$share/g/#", true, true, "g", "#" },
	{ "$share/g//", true, true, "g", "/" },
	{ "$share/g/$share/h/a", true, true, "g", "$share/h/a" },
	{ "$share/g", true, false, "g", "" },
	{ "$share/g/", true, false, "g", "" },
	{ "$share//a", true, false, "", "a" },
	{ "$share/", true, false, "", "" },
	{ "$share/g+/a", true, false, "g+", "a" },
	{ "$share/#/a", true, false, "#", "a" },
	{ "$share/g/a#", true, false, "g", "a#" },
	{ "$share", false, false, NULL, NULL },
	{ "$shared/g/a", false, false, NULL, NULL },
	{ "$Share/g/a", false, false, NULL, NULL },
	{ "", false, false, NULL, NULL },
	{ "a", false, false, NULL, NULL },
};

static void shares_by_table(void **state)
{
	const struct share *row = *state;
	struct span s = exact(row->text), group, filter;

	assert_int_equal(share_split(s, &group, &filter), row->split);
	if (row->split) {
		assert_true(span_is(group, row->group));
		assert_true(span_is(filter, row->filter));
	}
	assert_int_equal(share_valid(s), row->valid);
	release(s);
}

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

int main(void)
{
	static struct CMUnitTest tests[COUNT(utf8) + COUNT(forms) + COUNT(matches) + COUNT(shares) + 3];
	static char names[COUNT(matches) + COUNT(forms) + COUNT(shares)][64];
	size_t n = 0, n_names = 0;

	for (size_t i = 0; i < COUNT(utf8); i++)
		tests[n++] = (struct CMUnitTest){ utf8[i].name, utf8_by_table, NULL, NULL, (void *)(uintptr_t)&utf8[i] };
	for (size_t i = 0; i < COUNT(forms); i++) {
		snprintf(names[n_names], sizeof(names[0]), "form of \"%s\"", forms[i].text);
		tests[n++] = (struct CMUnitTest){ names[n_names++], forms_by_table, NULL, NULL, (void *)(uintptr_t)&forms[i] };
	}
	for (size_t i = 0; i < COUNT(matches); i++) {
		snprintf(names[n_names], sizeof(names[0]), "\"%s\" and \"%s\"", matches[i].filter, matches[i].topic);
		tests[n++] = (struct CMUnitTest){ names[n_names++], matches_by_table, NULL, NULL, (void *)(uintptr_t)&matches[i] };
	}
	for (size_t i = 0; i < COUNT(shares); i++) {
		snprintf(names[n_names], sizeof(names[0]), "share \"%s\"", shares[i].text);
		tests[n++] = (struct CMUnitTest){ names[n_names++], shares_by_table, NULL, NULL, (void *)(uintptr_t)&shares[i] };
	}
	tests[n++] = (struct CMUnitTest)cmocka_unit_test(utf8_by_code_points);
	tests[n++] = (struct CMUnitTest)cmocka_unit_test(no_nul);
	tests[n++] = (struct CMUnitTest)cmocka_unit_test(matches_as_the_slow_one);
	return _cmocka_run_group_tests("topic", tests, n, NULL, NULL);
}
