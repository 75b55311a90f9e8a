#include "pcap/where_tokens.h"

#include <stdarg.h>
#include <stdio.h>

#include "harness/escape.h"

/* ---- mistakes ---- */

const char *where_hint(const struct nearest *nearest)
{
	static char text[80];

	if (!nearest->best)
		return "";
	snprintf(text, sizeof(text), "; did you mean `%s`?", nearest->best);
	return text;
}

bool where_fail(struct where_parser *p, uint32_t line, uint32_t column, const char *format, ...)
{
	va_list args;

	if (p->failed)
		return false;
	p->failed = true;
	p->fault->line = line;
	p->fault->column = column;
	va_start(args, format);
	vsnprintf(p->fault->text, sizeof(p->fault->text), format, args);
	va_end(args);
	return false;
}

/* What stands there, for a message; lasts until the next call. */
const char *where_found(const struct where_parser *p)
{
	static char text[80];
	char safe[60];

	if (p->sign == S_END)
		return "the end";
	struct span s = p->sign == S_TOKEN ? p->now.text : span_of(p->lexer.text.at + p->lexer.at - 1, 1);
	if (p->sign == S_TOKEN && p->now.kind == TOKEN_NAME)	/* its text is without the $ */
		s = span_of(s.at - 1, s.len + 1);
	bool cut = escape_bytes(s.at, s.len, safe, sizeof(safe)) >= sizeof(safe);
	snprintf(text, sizeof(text), "`%s%s`", safe, cut ? "..." : "");
	return text;
}

bool where_expected(struct where_parser *p, const char *what)
{
	if (p->sign == S_TOKEN && p->now.kind == TOKEN_BAD)
		return where_fail(p, p->now.line, p->now.column, "%s", p->now.why);
	return where_fail(p, p->line, p->column, "expected %s, found %s", what, where_found(p));
}

/* ---- tokens ---- */

static bool take_sign(struct where_parser *p)
{
	static const struct { char text[3]; uint8_t sign; } signs[] = {	/* the longer ones first */
		{ "&&", S_AND }, { "||", S_OR }, { "==", S_EQ }, { "!=", S_NE }, { "<=", S_LE }, { ">=", S_GE },
		{ "!", S_NOT }, { "<", S_LT }, { ">", S_GT }, { "~", S_MATCH }, { "(", S_OPEN }, { ")", S_CLOSE },
		{ "[", S_OPEN_KEY }, { "]", S_CLOSE_KEY },
	};
	struct lexer *l = &p->lexer;

	for (size_t i = 0; i < sizeof(signs) / sizeof(*signs); i++) {
		size_t len = strlen(signs[i].text);

		if (len <= l->text.len - l->at && !memcmp(l->text.at + l->at, signs[i].text, len)) {
			p->sign = signs[i].sign;
			l->at += len;
			return true;
		}
	}
	return false;
}

void where_next(struct where_parser *p)
{
	static const struct { char sign; const char *why; } others[] = {
		{ '=', "expected == for a comparison" }, { '&', "expected &&" }, { '|', "expected ||" },
		{ '#', "a topic filter stands in quotes: ~\"a/#\"" }, { ';', "expected && or ||" }, { '\'', "text stands in double quotes" },
	};
	struct lexer *l = &p->lexer;

	for (; l->at < l->text.len && strchr(" \t\r\n", l->text.at[l->at]) && l->text.at[l->at]; l->at++)
		if (l->text.at[l->at] == '\n') {
			l->line++;
			l->line_start = (uint32_t)l->at + 1;
		}
	p->line = l->line;
	p->column = (uint32_t)l->at - l->line_start + 1;
	if (l->at == l->text.len) {
		p->sign = S_END;
		return;
	}
	if (take_sign(p))
		return;
	p->sign = S_TOKEN;
	for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++)
		if (l->text.at[l->at] == (uint8_t)others[i].sign) {
			p->now = (struct token){ .kind = TOKEN_BAD, .line = p->line, .column = p->column, .text = span_of(l->text.at + l->at, 1),
			                         .why = others[i].why };
			return;
		}
	p->now = lex_next(l);
}

bool where_word(const struct where_parser *p, const char *word)
{
	return p->sign == S_TOKEN && token_word(&p->now, word);
}
