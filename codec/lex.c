#include "codec/lex.h"

#include "codec/topic.h"

static const char unit_help[] = "rubbish behind a number; expected a blank or one of ns us ms s m h, k M G, k/s M/s G/s";

static bool is_letter(int c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_digit(int c)
{
	return c >= '0' && c <= '9';
}

static bool is_word(int c)
{
	return is_letter(c) || is_digit(c) || c == '_';
}

static int hex_value(int c)
{
	return is_digit(c) ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* The character `ahead` of the position; -1 behind the end. */
static int peek(const struct lexer *l, size_t ahead)
{
	return ahead < l->text.len - l->at ? l->text.at[l->at + ahead] : -1;
}

static uint32_t column_of(const struct lexer *l, size_t at)
{
	return (uint32_t)(at - l->line_start + 1);
}

static void set_place(const struct lexer *l, struct token *t, size_t at)
{
	t->line = l->line;
	t->column = column_of(l, at);
}

static void bad(const struct lexer *l, struct token *t, size_t at, const char *why)
{
	t->kind = TOKEN_BAD;
	t->why = why;
	set_place(l, t, at);
}

static bool in_expr(const struct lexer *l)
{
	for (unsigned i = l->depth; i > 0 && l->nest[i - 1] != '{' && l->nest[i - 1] != '['; i--)
		if (l->nest[i - 1] == '$')
			return true;
	return false;
}

static bool lines_count(const struct lexer *l)
{
	return l->depth == 0 || l->nest[l->depth - 1] == '{';
}

void lex_init(struct lexer *lexer, struct span text)
{
	*lexer = (struct lexer){ .text = text, .line = 1 };
	if (text.len >= 3 && !memcmp(text.at, "\xef\xbb\xbf", 3))
		lexer->at = lexer->line_start = 3;
}

void lex_init_expr(struct lexer *lexer, struct span text, uint32_t line, uint32_t column)
{
	*lexer = (struct lexer){ .text = text, .line = line, .depth = 1, .nest = { '$' } };
	lexer->line_start = 1 - column;	/* wraps, and wraps back in column_of() */
}

/* Blanks, comments and line ends that do not count; true when there were any. */
static bool skip_space(struct lexer *l)
{
	size_t from = l->at;
	int c;

	while ((c = peek(l, 0)) >= 0) {
		if (c == '#') {
			while ((c = peek(l, 0)) >= 0 && c != '\n')
				l->at++;
		} else if (c == ' ' || c == '\t' || c == '\r') {
			l->at++;
		} else if (c == '\n' && !lines_count(l)) {
			l->at++;
			l->line++;
			l->line_start = (uint32_t)l->at;
		} else {
			break;
		}
	}
	return l->at != from;
}

/* ---- words and names ---- */

static void take_word(struct lexer *l, bool dashes)
{
	while (is_word(peek(l, 0)))
		l->at++;
	while ((peek(l, 0) == '.' || (dashes && peek(l, 0) == '-')) && is_word(peek(l, 1)))
		for (l->at++; is_word(peek(l, 0)); l->at++)
			;
}

/* ---- numbers ---- */

static bool times(uint64_t *number, uint64_t factor)
{
	return !__builtin_mul_overflow(*number, factor, number);
}

struct places {			/* digits behind the point: digits / divisor */
	uint64_t digits, divisor;
};

static bool scale(uint64_t *number, uint64_t factor, const struct places *places)
{
	uint64_t part = places->digits;

	return times(number, factor) && times(&part, factor) && part % places->divisor == 0 &&
	       !__builtin_add_overflow(*number, part / places->divisor, number);
}

static bool take_unit(struct lexer *l, struct token *t, const struct places *places)
{
	static const struct {
		const char *name;
		uint8_t unit;
		uint64_t factor;
	} units[] = {
		{ "ns", UNIT_TIME, 1 }, { "us", UNIT_TIME, 1000 }, { "ms", UNIT_TIME, 1000000 },
		{ "s", UNIT_TIME, 1000000000 }, { "m", UNIT_TIME, 60000000000 }, { "h", UNIT_TIME, 3600000000000 },
		{ "k", UNIT_SIZE, 1024 }, { "M", UNIT_SIZE, 1024 * 1024 }, { "G", UNIT_SIZE, 1024 * 1024 * 1024 },
	};
	size_t from = l->at, len;

	while (is_word(peek(l, 0)))
		l->at++;
	len = l->at - from;
	if (peek(l, 0) == '/' && peek(l, 1) == 's' && !is_word(peek(l, 2)) && !in_expr(l)) {
		l->at += 2;
		t->unit = UNIT_RATE;
		if (!len)
			return true;
	}
	if (!len)
		return true;
	for (size_t i = 0; i < sizeof units / sizeof *units; i++)
		if (span_is(span_of(l->text.at + from, len), units[i].name)) {
			if (t->unit == UNIT_RATE && units[i].unit != UNIT_SIZE)
				break;
			if (!scale(&t->number, units[i].factor, places)) {
				bad(l, t, from, "a number of more than 64 bits, or finer than its unit");
				return false;
			}
			t->unit = t->unit == UNIT_RATE ? UNIT_RATE : units[i].unit;
			return true;
		}
	bad(l, t, from, unit_help);
	return false;
}

/* Behind the whole part: ".5" of 1.5s, or the rest of 3.1.1, which is no number. */
static void take_places(struct lexer *l, struct token *t, struct places *places)
{
	unsigned dots = 0;

	for (; peek(l, 0) == '.' && is_digit(peek(l, 1)); dots++) {
		*places = (struct places){ 0, 1 };
		for (l->at++; is_digit(peek(l, 0)); l->at++) {
			if (places->divisor <= 100000000000000) {
				places->digits = 10 * places->digits + (uint64_t)(peek(l, 0) - '0');
				places->divisor *= 10;
			}
		}
	}
	if (dots > 1 || !is_letter(peek(l, 0)))
		t->kind = TOKEN_VERSION;
}

static void lex_number(struct lexer *l, struct token *t)
{
	struct places places = { 0, 1 };
	size_t from = l->at;
	bool fits = true;

	t->kind = TOKEN_NUMBER;
	if (peek(l, 0) == '0' && (peek(l, 1) == 'x' || peek(l, 1) == 'X')) {
		l->at += 2;
		if (hex_value(peek(l, 0)) < 0) {
			bad(l, t, from, "expected hexadecimal digits behind 0x");
			while (is_word(peek(l, 0)))
				l->at++;
			return;
		}
		for (; hex_value(peek(l, 0)) >= 0; l->at++)
			fits = fits && times(&t->number, 16) &&
			       !__builtin_add_overflow(t->number, (uint64_t)hex_value(peek(l, 0)), &t->number);
		if (is_word(peek(l, 0))) {
			bad(l, t, l->at, "rubbish behind a hexadecimal number; expected a blank");
			while (is_word(peek(l, 0)))
				l->at++;
			return;
		}
	} else {
		for (; is_digit(peek(l, 0)); l->at++)
			fits = fits && times(&t->number, 10) &&
			       !__builtin_add_overflow(t->number, (uint64_t)(peek(l, 0) - '0'), &t->number);
		if (peek(l, 0) == '.' && is_digit(peek(l, 1))) {
			take_places(l, t, &places);
			if (t->kind == TOKEN_VERSION) {
				if (is_word(peek(l, 0)) || (peek(l, 0) == '-' && is_word(peek(l, 1)) && !in_expr(l))) {
					bad(l, t, l->at, unit_help);
					for (l->at++; is_word(peek(l, 0)); l->at++)
						;
				}
				return;
			}
		}
		if (fits && !take_unit(l, t, &places))
			return;
	}
	if (!fits)
		bad(l, t, from, "a number of more than 64 bits");
	else if (peek(l, 0) == '-' && is_word(peek(l, 1)) && !in_expr(l)) {
		bad(l, t, l->at, "rubbish behind a number");
		take_word(l, true);
	}
}

/* ---- strings ---- */

static size_t utf8_write(uint32_t c, struct writer *w)
{
	if (c < 0x80) {
		wr_u8(w, c);
	} else if (c < 0x800) {
		wr_u8(w, 0xc0 | c >> 6);
		wr_u8(w, 0x80 | (c & 0x3f));
	} else if (c < 0x10000) {
		wr_u8(w, 0xe0 | c >> 12);
		wr_u8(w, 0x80 | (c >> 6 & 0x3f));
		wr_u8(w, 0x80 | (c & 0x3f));
	} else {
		wr_u8(w, 0xf0 | c >> 18);
		wr_u8(w, 0x80 | (c >> 12 & 0x3f));
		wr_u8(w, 0x80 | (c >> 6 & 0x3f));
		wr_u8(w, 0x80 | (c & 0x3f));
	}
	return c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
}

/* Hexadecimal digits of s from i on, at most max of them; the value, and how many in *n. */
static uint32_t hex_digits(struct span s, size_t i, size_t max, size_t *n)
{
	uint32_t value = 0;

	for (*n = 0; *n < max && i + *n < s.len && hex_value(s.at[i + *n]) >= 0; ++*n)
		value = value << 4 | (uint32_t)hex_value(s.at[i + *n]);
	return value;
}

/*
 * One escape, s.at[0] being the backslash: how many characters it takes, 0 with *why when it is none.
 * What it stands for goes to w.
 */
static size_t escape(struct span s, struct writer *w, const char **why)
{
	static const char plain[] = "\"\\$n\nr\rt\t0\0";
	uint32_t value;
	size_t n, braces;

	*why = "unknown escape; expected one of \\\" \\\\ \\$ \\n \\r \\t \\0 \\xHH \\uHHHH \\u{H...}";
	if (s.len < 2)
		return 0;
	switch (s.at[1]) {
	case '"': case '\\': case '$':
		wr_u8(w, s.at[1]);
		return 2;
	case 'n': case 'r': case 't': case '0':
		for (size_t i = 3; i + 1 < sizeof plain; i += 2)
			if (plain[i] == (char)s.at[1]) {
				wr_u8(w, (uint8_t)plain[i + 1]);
				return 2;
			}
		return 0;
	case 'x':
		value = hex_digits(s, 2, 2, &n);
		*why = "expected two hexadecimal digits behind \\x";
		if (n != 2)
			return 0;
		wr_u8(w, value);
		return 4;
	case 'u':
		braces = s.len > 2 && s.at[2] == '{';
		value = hex_digits(s, 2 + braces, braces ? 6 : 4, &n);
		*why = "expected \\uHHHH or \\u{H...}";
		if (!n || (!braces && n != 4) || (braces && (3 + n >= s.len || s.at[3 + n] != '}')))
			return 0;
		*why = "no character has that number; write hex\"...\" for bytes that are not UTF-8";
		if (value > 0x10ffff || (value >= 0xd800 && value <= 0xdfff))
			return 0;
		utf8_write(value, w);
		return 2 + n + 2 * braces;
	default:
		return 0;
	}
}

static void lex_string(struct lexer *l, struct token *t)
{
	size_t open = l->at, bad_at = 0, used;
	const char *why = NULL, *first = NULL;
	struct writer nowhere = writer_to(NULL, 0);
	int c;

	t->kind = TOKEN_STRING;
	for (l->at++; (c = peek(l, 0)) != '"'; l->at += used) {
		if (c < 0 || c == '\n') {
			bad(l, t, open, "the string is not closed; expected \" before the end of the line");
			return;
		}
		used = 1;
		if (c == '\\') {
			used = escape(span_of(l->text.at + l->at, l->text.len - l->at), &nowhere, &why);
			if (!used) {
				if (!first) {
					first = why;
					bad_at = l->at;
				}
				used = peek(l, 1) >= 0 && peek(l, 1) != '\n' ? 2 : 1;
			}
		} else if ((c < ' ' && c != '\t') || c == 0x7f) {
			if (!first) {
				first = "a control character in a string; write it as \\xHH";
				bad_at = l->at;
			}
		}
	}
	l->at++;
	if (!first && !utf8_valid(span_of(l->text.at + open, l->at - open))) {
		first = "the string is not UTF-8; write other bytes as \\xHH or hex\"...\"";
		bad_at = open;
	}
	if (first)
		bad(l, t, bad_at, first);
}

static void lex_hex(struct lexer *l, struct token *t)
{
	size_t open = l->at, bad_at = 0;
	unsigned digits = 0;
	int c;

	t->kind = TOKEN_HEX;
	for (l->at += 4; (c = peek(l, 0)) != '"'; l->at++) {
		if (c < 0 || c == '\n') {
			bad(l, t, open, "the bytes are not closed; expected \" before the end of the line");
			return;
		}
		if (hex_value(c) >= 0)
			digits++;
		else if ((c != ' ' || digits % 2) && !bad_at)
			bad_at = l->at;
	}
	if (!bad_at && digits % 2)
		bad_at = l->at;
	l->at++;
	if (bad_at)
		bad(l, t, bad_at, "expected two hexadecimal digits for each byte");
}

bool lex_piece(struct span *rest, struct span *literal, struct span *expr, bool *has_expr)
{
	size_t i = 0, end;

	if (!rest->len)
		return false;
	*expr = (struct span){ 0 };
	for (; i < rest->len; i += rest->at[i] == '\\' && i + 1 < rest->len ? 2 : 1)
		if (rest->at[i] == '$' && i + 1 < rest->len && rest->at[i + 1] == '(')
			break;
	if (i > rest->len)
		i = rest->len;
	*literal = span_of(rest->at, i);
	*has_expr = i < rest->len;
	if (!*has_expr) {
		*rest = span_of(rest->at + i, 0);
		return true;
	}
	unsigned depth = 1;
	for (end = i + 2; end < rest->len; end++) {
		depth += rest->at[end] == '(';
		depth -= rest->at[end] == ')';
		if (!depth)
			break;
	}
	*expr = span_of(rest->at + i + 2, end - i - 2);
	if (end < rest->len)
		end++;
	*rest = span_of(rest->at + end, rest->len - end);
	return true;
}

void lex_unescape(struct span s, struct writer *w)
{
	const char *why;
	size_t used;

	for (size_t i = 0; i < s.len; i += used) {
		used = 1;
		if (s.at[i] != '\\') {
			wr_u8(w, s.at[i]);
			continue;
		}
		used = escape(span_of(s.at + i, s.len - i), w, &why);
		used = used ? used : 1;
	}
}

void lex_bytes(const struct token *t, struct writer *w)
{
	if (t->kind == TOKEN_STRING) {
		lex_unescape(span_of(t->text.at + 1, t->text.len - 2), w);
		return;
	}
	for (size_t i = 4; i + 1 < t->text.len; i++)
		if (hex_value(t->text.at[i]) >= 0) {
			wr_u8(w, (unsigned)(hex_value(t->text.at[i]) << 4 | hex_value(t->text.at[i + 1])));
			i++;
		}
}

/* ---- signs ---- */

static void open_bracket(struct lexer *l, struct token *t, char bracket)
{
	if (l->depth == LEX_DEPTH)
		bad(l, t, l->at, "brackets nested too deep");
	else
		l->nest[l->depth++] = bracket;
}

static void close_bracket(struct lexer *l, char open)
{
	if (l->depth && (l->nest[l->depth - 1] == open || (open == '(' && l->nest[l->depth - 1] == '$')))
		l->depth--;
}

static void lex_sign(struct lexer *l, struct token *t)
{
	static const struct {
		char text[3];
		uint8_t kind;
	} pairs[] = { { "->", TOKEN_SEND }, { "<-", TOKEN_TAKE }, { ">=", TOKEN_AT_LEAST }, { "<=", TOKEN_AT_MOST }, { "..", TOKEN_RANGE } };
	int c = peek(l, 0);

	for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
		if (c == pairs[i].text[0] && peek(l, 1) == pairs[i].text[1] && !(c == '-' && in_expr(l))) {
			t->kind = pairs[i].kind;
			l->at += 2;
			return;
		}
	t->kind = TOKEN_SIGN;
	t->sign = (uint8_t)c;
	if (c > 0 && strchr("()[]{}<>=~!,:|", c)) {
		if (c == '(' || c == '[' || c == '{')
			open_bracket(l, t, (char)c);
		else if (c == ')' || c == ']' || c == '}')
			close_bracket(l, c == ')' ? '(' : c == ']' ? '[' : '{');
	} else if (!(c > 0 && strchr("+-*/%", c) && in_expr(l))) {
		bad(l, t, l->at, "no such sign in the notation");
		while (peek(l, 1) >= 0x80)	/* one complaint for a run of foreign bytes */
			l->at++;
	}
	l->at++;
}

struct token lex_next(struct lexer *l)
{
	struct token t = { .space = skip_space(l) };
	size_t from = l->at;
	int c = peek(l, 0);

	set_place(l, &t, from);
	if (c < 0) {
		t.kind = TOKEN_END;
	} else if (c == '\n' || c == ';') {
		t.kind = TOKEN_LINE;
		l->at++;
		if (c == '\n') {
			l->line++;
			l->line_start = (uint32_t)l->at;
		}
	} else if (c == 'h' && peek(l, 1) == 'e' && peek(l, 2) == 'x' && peek(l, 3) == '"') {
		lex_hex(l, &t);
	} else if (is_letter(c)) {
		t.kind = TOKEN_WORD;
		take_word(l, !in_expr(l));
	} else if (is_digit(c)) {
		lex_number(l, &t);
	} else if (c == '"') {
		lex_string(l, &t);
	} else if (c == '$' && peek(l, 1) == '(') {
		t.kind = TOKEN_EXPR;
		open_bracket(l, &t, '$');
		l->at += 2;
	} else if (c == '$' && is_letter(peek(l, 1))) {
		t.kind = TOKEN_NAME;
		l->at++;
		from = l->at;
		take_word(l, false);
	} else if (c == '$') {
		bad(l, &t, from, "expected a name or ( behind $");
		l->at++;
	} else {
		lex_sign(l, &t);
	}
	t.text = span_of(l->text.at + from, l->at - from);
	return t;
}
