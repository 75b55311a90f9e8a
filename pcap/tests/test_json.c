#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "codec/generate.h"
#include "harness/escape.h"
#include "pcap/json.h"
#include "pcap/tests/seen.h"

/* JSON strings are read back by a reader of their own, and say exactly what was written. */

static size_t put_utf8(uint8_t *to, uint32_t c)
{
	if (c < 0x80) {
		to[0] = (uint8_t)c;
		return 1;
	}
	unsigned n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
	for (unsigned i = n - 1; i; i--, c >>= 6)
		to[i] = (uint8_t)(0x80 | (c & 0x3f));
	to[0] = (uint8_t)(0xf00 >> n | c);
	return n;
}

static uint32_t hex4(const char *at)
{
	char digits[5] = { 0 };
	char *end;

	memcpy(digits, at, 4);
	uint32_t value = (uint32_t)strtoul(digits, &end, 16);
	assert_ptr_equal(end, digits + 4);
	return value;
}

/* The characters of a JSON string, with its quotes; asserts that nothing stands in it that should not. */
static size_t read_string(const char *text, size_t len, uint8_t *out)
{
	static const char escapes[] = "\"\"\\\\//b\bf\fn\nr\rt\t";
	size_t n = 0, i = 1;

	assert_true(len >= 2 && text[0] == '"' && text[len - 1] == '"');
	while (i < len - 1) {
		assert_true((uint8_t)text[i] >= ' ' && text[i] != '"' && text[i] != 0x7f);
		if (text[i] != '\\') {
			out[n++] = (uint8_t)text[i++];
			continue;
		}
		if (text[i + 1] != 'u') {
			const char *e = escapes;

			while (*e && *e != text[i + 1])
				e += 2;
			assert_true(*e);
			out[n++] = (uint8_t)e[1];
			i += 2;
			continue;
		}
		uint32_t c = hex4(text + i + 2);
		i += 6;
		if (c >= 0xd800 && c < 0xdc00) {
			uint32_t low = hex4(text + i + 2);

			assert_true(text[i] == '\\' && text[i + 1] == 'u' && low >= 0xdc00 && low < 0xe000);
			c = 0x10000 + ((c & 0x3ff) << 10 | (low & 0x3ff));
			i += 6;
		}
		n += put_utf8(out + n, c);
	}
	return n;
}

static struct paper paper;
static uint8_t back[1 << 20];

static void assert_comes_back(const uint8_t *bytes, size_t len)
{
	json_string(&paper.out, span_of(bytes, len));
	const char *text = paper_take(&paper);
	size_t n = read_string(text, strlen(text), back);

	assert_int_equal(n, len);
	assert_memory_equal(back, bytes, len);
}

static void every_character_comes_back(void **state)
{
	uint8_t bytes[64];

	(void)state;
	for (uint32_t c = 0; c <= 0x10ffff; c += c < 0x3000 ? 1 : 13) {
		if (c >= 0xd800 && c < 0xe000)
			continue;
		memset(bytes, 'x', sizeof(bytes));
		size_t at = c % 11, n = put_utf8(bytes + at, c);
		struct span s = span_of(bytes, at + n + c % 9);

		json_string(&paper.out, s);
		const char *text = paper_take(&paper);
		assert_int_equal(read_string(text, strlen(text), back), s.len);
		assert_memory_equal(back, bytes, s.len);
		if (escape_dangerous(c))
			assert_non_null(strchr(text, '\\'));
	}
}

/* However long, wherever the buffer's end falls, and whatever stands side by side. */
static void long_ones_come_back(void **state)
{
	static const char *const pieces[] = { "plain text ", "\"", "\\", "\n", "\xc3\xa9", "\xe2\x80\xae", "\xf0\x9f\x90\x9d", "\xf3\xa0\x81\x81", "12345678", "\x7f" };
	static uint8_t bytes[700000];
	struct random random;

	(void)state;
	random_seed(&random, 1);
	for (int round = 0; round < 60; round++) {
		size_t len = 0, most = round < 50 ? random_below(&random, 10000) : sizeof(bytes) - 16;
		unsigned kinds = 1 + (unsigned)random_below(&random, 10);

		while (len < most) {
			struct span piece = span_text(pieces[random_below(&random, kinds)]);

			memcpy(bytes + len, piece.at, piece.len);
			len += piece.len;
		}
		while (len > most || (len && (bytes[len - 1] & 0x80)))
			len--;
		assert_comes_back(bytes, len);
	}
}

static void base64_is_what_it_should_be(void **state)
{
	static const struct { const char *bytes, *text; } rows[] = {	/* RFC 4648, 10 */
		{ "", "\"\"" }, { "f", "\"Zg==\"" }, { "fo", "\"Zm8=\"" }, { "foo", "\"Zm9v\"" }, { "foob", "\"Zm9vYg==\"" },
		{ "fooba", "\"Zm9vYmE=\"" }, { "foobar", "\"Zm9vYmFy\"" }, { "\xff\xef\xbe", "\"/+++\"" },
	};
	static uint8_t bytes[300000];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		json_base64(&paper.out, span_text(rows[i].bytes));
		assert_string_equal(paper_take(&paper), rows[i].text);
	}
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = "foobar"[i % 6];
	for (size_t len = 3060; len < sizeof(bytes); len += len < 3090 ? 1 : 59394) {	/* across the pieces */
		json_base64(&paper.out, span_of(bytes, len));
		const char *text = paper_take(&paper);

		assert_int_equal(strlen(text), 2 + (len + 2) / 3 * 4);
		for (size_t i = 0; i < len / 3 * 4; i++)
			assert_int_equal(text[1 + i], "Zm9vYmFy"[i % 8]);
	}
}

static void seconds_are_exact(void **state)
{
	static const struct { int64_t ns; const char *text; } rows[] = {
		{ 0, "0.000000000" }, { 1, "0.000000001" }, { -1, "-0.000000001" }, { 412000, "0.000412000" }, { 1000000000, "1.000000000" },
		{ -1500000000, "-1.500000000" }, { INT64_MAX, "9223372036.854775807" }, { INT64_MIN, "-9223372036.854775808" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		json_seconds(&paper.out, rows[i].ns);
		assert_string_equal(paper_take(&paper), rows[i].text);
		assert_true(strlen(rows[i].text) <= JSON_SECONDS);
	}
}

static void members(void **state)
{
	(void)state;
	json_bytes(&paper.out, "topic", span_text("a/b"));
	json_bytes(&paper.out, "topic", span_of("a\xff", 2));
	json_key(&paper.out, "n");
	uint8_t *from = out_room(&paper.out, 64), *to = json_put_number(from, UINT64_MAX);
	out_wrote(&paper.out, (size_t)(to - from));
	assert_string_equal(paper_take(&paper), ",\"topic\":\"a/b\",\"topic_base64\":\"Yf8=\",\"n\":18446744073709551615");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_character_comes_back),
		cmocka_unit_test(long_ones_come_back),
		cmocka_unit_test(base64_is_what_it_should_be),
		cmocka_unit_test(seconds_are_exact),
		cmocka_unit_test(members),
	};

	paper_init(&paper);
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	paper_release(&paper);
	return failed;
}
