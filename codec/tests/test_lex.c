#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/lex.h"

/* Each row is a text and its tokens, written as KIND(text)@line:column; numbers with their value and unit. */
static const struct row {
	const char *name, *text, *tokens;
} rows[] = {
	{ "empty", "", "" },
	{ "comment", "# only this", "" },
	{ "words", "a -> PUBLISH", "word(a)1:1 send(->)1:3 word(PUBLISH)1:6" },
	{ "joined words", "will.topic Re-authenticate MQTT-3.3.1-2", "word(will.topic)1:1 word(Re-authenticate)1:12 word(MQTT-3.3.1-2)1:28" },
	{ "arrows without blanks", "a->b<-c", "word(a)1:1 send(->)1:2 word(b)1:4 take(<-)1:5 word(c)1:7" },
	{ "lines", "a\nb;c", "word(a)1:1 line(\n)1:2 word(b)2:1 line(;)2:2 word(c)2:3" },
	{ "no lines in brackets", "(a\nb) [c\nd]\n", "sign(()1:1 word(a)1:2 word(b)2:1 sign())2:2 sign([)2:4 word(c)2:5 word(d)3:1 sign(])3:2 line(\n)3:3" },
	{ "lines in braces in brackets", "[{a\nb}\n]", "sign([)1:1 sign({)1:2 word(a)1:3 line(\n)1:4 word(b)2:1 sign(})2:2 sign(])3:1" },
	{ "comment in brackets", "(a # x )\nb)", "sign(()1:1 word(a)1:2 word(b)2:1 sign())2:2" },
	{ "decimal", "0 7 65535", "number(0)=0 number(7)=7 number(65535)=65535" },
	{ "hexadecimal", "0x0 0xC0 0Xff", "number(0x0)=0 number(0xC0)=192 number(0Xff)=255" },
	{ "largest", "18446744073709551615", "number(18446744073709551615)=18446744073709551615" },
	{ "too large", "18446744073709551616", "bad(18446744073709551616)1:1 a number of more than 64 bits" },
	{ "durations", "5ns 5us 5ms 5s 2m 1h", "number(5ns)=5t number(5us)=5000t number(5ms)=5000000t number(5s)=5000000000t number(2m)=120000000000t number(1h)=3600000000000t" },
	{ "decimal duration", "1.5s 0.25ms", "number(1.5s)=1500000000t number(0.25ms)=250000t" },
	{ "finer than its unit", "1.5ns", "bad(1.5ns)1:4 a number of more than 64 bits, or finer than its unit" },
	{ "sizes", "1k 2M 1G", "number(1k)=1024b number(2M)=2097152b number(1G)=1073741824b" },
	{ "rates", "1k/s 100/s", "number(1k/s)=1024r number(100/s)=100r" },
	{ "versions", "3.1.1 3.1 5", "version(3.1.1)1:1 version(3.1)1:7 number(5)=5" },
	{ "rubbish behind a number", "12abc", "bad(12abc)1:3 rubbish behind a number; expected a blank or one of ns us ms s m h, k M G, k/s M/s G/s" },
	{ "rubbish behind hexadecimal", "0x1g", "bad(0x1g)1:4 rubbish behind a hexadecimal number; expected a blank" },
	{ "nothing behind 0x", "0x", "bad(0x)1:1 expected hexadecimal digits behind 0x" },
	{ "rubbish behind a version", "3.1.1x", "bad(3.1.1x)1:6 rubbish behind a number; expected a blank or one of ns us ms s m h, k M G, k/s M/s G/s" },
	{ "clause without its name", "3.1.1-2", "bad(3.1.1-2)1:6 rubbish behind a number; expected a blank or one of ns us ms s m h, k M G, k/s M/s G/s" },
	{ "range", "1..9 1s..60s", "number(1)=1 range(..)1:2 number(9)=9 number(1s)=1000000000t range(..)1:8 number(60s)=60000000000t" },
	{ "range of names", "$a..$b", "name(a)1:1 range(..)1:3 name(b)1:5" },
	{ "comparisons", ">= <= < > = ~", "at_least(>=)1:1 at_most(<=)1:4 sign(<)1:7 sign(>)1:9 sign(=)1:11 sign(~)1:13" },
	{ "names", "$topic $a.client_id", "name(topic)1:1 name(a.client_id)1:8" },
	{ "a name ends before a dash", "$(p-1)", "expr($()1:1 word(p)1:3 sign(-)1:4 number(1)=1 sign())1:6" },
	{ "arithmetic", "$((a + b) * 2 / 3 % 4)", "expr($()1:1 sign(()1:3 word(a)1:4 sign(+)1:6 word(b)1:8 sign())1:9 sign(*)1:11 number(2)=2 sign(/)1:15 number(3)=3 sign(%)1:19 number(4)=4 sign())1:22" },
	{ "arithmetic only in $( )", "a + b", "word(a)1:1 bad(+)1:3 no such sign in the notation word(b)1:5" },
	{ "lonely $", "$ x", "bad($)1:1 expected a name or ( behind $ word(x)1:3" },
	{ "string", "\"a b\"", "string(\"a b\")1:1=61 20 62" },
	{ "escapes", "\"\\\"\\\\\\n\\r\\t\\0\\x7f\\u00e9\\u{1f600}\\$(\"", "string(\"\\\"\\\\\\n\\r\\t\\0\\x7f\\u00e9\\u{1f600}\\$(\")1:1=22 5c 0a 0d 09 00 7f c3 a9 f0 9f 98 80 24 28" },
	{ "hash in a string", "\"a#b\" c", "string(\"a#b\")1:1=61 23 62 word(c)1:7" },
	{ "string not closed", "a \"bc\nd", "word(a)1:1 bad(\"bc)1:3 the string is not closed; expected \" before the end of the line line(\n)1:6 word(d)2:1" },
	{ "string not closed at the end", "\"bc\\", "bad(\"bc\\)1:1 the string is not closed; expected \" before the end of the line" },
	{ "unknown escape", "\"a\\q\"", "bad(\"a\\q\")1:3 unknown escape; expected one of \\\" \\\\ \\$ \\n \\r \\t \\0 \\xHH \\uHHHH \\u{H...}" },
	{ "short \\x", "\"\\x1\"", "bad(\"\\x1\")1:2 expected two hexadecimal digits behind \\x" },
	{ "surrogate", "\"\\ud800\"", "bad(\"\\ud800\")1:2 no character has that number; write hex\"...\" for bytes that are not UTF-8" },
	{ "control character in a string", "\"a\x01\"", "bad(\"a\x01\")1:3 a control character in a string; write it as \\xHH" },
	{ "not UTF-8", "\"\xff\"", "bad(\"\xff\")1:1 the string is not UTF-8; write other bytes as \\xHH or hex\"...\"" },
	{ "hex", "hex\"c0 80\" hex\"\" hex\"C080\"", "hex(hex\"c0 80\")1:1=c0 80 hex(hex\"\")1:12= hex(hex\"C080\")1:18=c0 80" },
	{ "bad hex digit", "hex\"c0 8g\"", "bad(hex\"c0 8g\")1:9 expected two hexadecimal digits for each byte" },
	{ "odd hex", "hex\"c08\"", "bad(hex\"c08\")1:8 expected two hexadecimal digits for each byte" },
	{ "half byte before a blank", "hex\"c 08\"", "bad(hex\"c 08\")1:6 expected two hexadecimal digits for each byte" },
	{ "hex not closed", "hex\"c0", "bad(hex\"c0)1:1 the bytes are not closed; expected \" before the end of the line" },
	{ "foreign bytes", "a \xc3\xa4\xc3\xa4 b", "word(a)1:1 bad(\xc3\xa4\xc3\xa4)1:3 no such sign in the notation word(b)1:8" },
	{ "byte order mark", "\xef\xbb\xbf" "a", "word(a)1:1" },
	{ "carriage returns", "a\r\nb", "word(a)1:1 line(\n)1:3 word(b)2:1" },
};

static void print_token(const struct token *t, char *out, size_t size)
{
	static const char *const kinds[] = {
		[TOKEN_BAD] = "bad", [TOKEN_LINE] = "line", [TOKEN_WORD] = "word", [TOKEN_NUMBER] = "number", [TOKEN_VERSION] = "version",
		[TOKEN_STRING] = "string", [TOKEN_HEX] = "hex", [TOKEN_NAME] = "name", [TOKEN_EXPR] = "expr", [TOKEN_SEND] = "send",
		[TOKEN_TAKE] = "take", [TOKEN_AT_LEAST] = "at_least", [TOKEN_AT_MOST] = "at_most", [TOKEN_RANGE] = "range",
		[TOKEN_SIGN] = "sign",
	};
	static const char *const units[] = { "", "t", "b", "r" };
	size_t n = (size_t)snprintf(out, size, "%s(%.*s)", kinds[t->kind], (int)t->text.len, (const char *)t->text.at);
	uint8_t bytes[64];
	struct writer w = writer_to(bytes, sizeof bytes);

	if (t->kind == TOKEN_NUMBER) {
		snprintf(out + n, size - n, "=%llu%s", (unsigned long long)t->number, units[t->unit]);
		return;
	}
	n += (size_t)snprintf(out + n, size - n, "%u:%u", t->line, t->column);
	if (t->kind == TOKEN_BAD)
		snprintf(out + n, size - n, " %s", t->why);
	if (t->kind != TOKEN_STRING && t->kind != TOKEN_HEX)
		return;
	lex_bytes(t, &w);
	n += (size_t)snprintf(out + n, size - n, "=");
	for (size_t i = 0; i < w.len; i++)
		n += (size_t)snprintf(out + n, size - n, "%s%02x", i ? " " : "", bytes[i]);
}

static void lexes_as_written(void **state)
{
	const struct row *row = *state;
	size_t len = strlen(row->text);
	uint8_t *text = malloc(len ? len : 1);	/* of its exact size, so that a sanitizer sees a step too far */
	char found[2048] = "";
	struct lexer lexer;
	struct token t;

	memcpy(text, row->text, len);
	lex_init(&lexer, span_of(text, len));
	while ((t = lex_next(&lexer)).kind != TOKEN_END) {
		size_t n = strlen(found);

		if (n)
			found[n++] = ' ';
		print_token(&t, found + n, sizeof found - n);
	}
	assert_string_equal(found, row->tokens);
	assert_int_equal(lex_next(&lexer).kind, TOKEN_END);
	free(text);
}

/* Whatever is cut off or altered: it ends, and every token lies in the text. */
static void ends_on_anything(void **state)
{
	uint64_t seed = 1;

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		size_t len = strlen(rows[i].text);
		uint8_t *text = malloc(len ? len : 1);

		for (unsigned turn = 0; turn < 200; turn++) {
			struct lexer lexer;
			struct token t;
			size_t n = 0;

			memcpy(text, rows[i].text, len);
			for (unsigned k = 0; len && k < turn % 4; k++) {
				seed = seed * 6364136223846793005u + 1442695040888963407u;
				text[(seed >> 33) % len] = (uint8_t)(seed >> 56);
			}
			lex_init(&lexer, span_of(text, len - (len ? turn % len : 0)));
			do {
				t = lex_next(&lexer);
				assert_true(t.text.len <= len);
				assert_true(++n <= len + 1);
			} while (t.kind != TOKEN_END);
		}
		free(text);
	}
}

static void strings_come_in_pieces(void **state)
{
	struct span rest = span_text("a\\$(x$(p + (1))b"), literal, expr;
	bool has;

	(void)state;
	assert_true(lex_piece(&rest, &literal, &expr, &has));
	assert_true(has && span_is(literal, "a\\$(x") && span_is(expr, "p + (1)"));
	assert_true(lex_piece(&rest, &literal, &expr, &has));
	assert_true(!has && span_is(literal, "b"));
	assert_false(lex_piece(&rest, &literal, &expr, &has));
}

static void an_expression_knows_its_place(void **state)
{
	struct lexer lexer;
	struct token t;

	(void)state;
	lex_init_expr(&lexer, span_text("p-1"), 7, 20);
	t = lex_next(&lexer);
	assert_true(t.line == 7 && t.column == 20 && token_word(&t, "p"));
	t = lex_next(&lexer);
	assert_true(t.column == 21 && token_is(&t, '-'));
}

static void nesting_is_bounded(void **state)
{
	char text[LEX_DEPTH + 2];
	struct lexer lexer;
	unsigned n_bad = 0;
	struct token t;

	(void)state;
	memset(text, '(', sizeof text);
	lex_init(&lexer, span_of(text, sizeof text));
	while ((t = lex_next(&lexer)).kind != TOKEN_END)
		n_bad += t.kind == TOKEN_BAD;
	assert_int_equal(n_bad, 2);
}

int main(void)
{
	enum { N = sizeof rows / sizeof *rows };
	struct CMUnitTest tests[N + 4] = {
		cmocka_unit_test(ends_on_anything),
		cmocka_unit_test(strings_come_in_pieces),
		cmocka_unit_test(an_expression_knows_its_place),
		cmocka_unit_test(nesting_is_bounded),
	};

	for (size_t i = 0; i < N; i++)
		tests[4 + i] = (struct CMUnitTest){ .name = rows[i].name, .test_func = lexes_as_written, .initial_state = (void *)&rows[i] };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
