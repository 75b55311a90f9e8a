#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "codec/lex.h"
#include "harness/escape.h"
#include "harness/nearest.h"
#include "pcap/where_program.h"

/* The expression's tokens are the notation's, and a few signs that it does not have. */

enum sign {
	S_END, S_TOKEN, S_AND, S_OR, S_NOT, S_OPEN, S_CLOSE, S_OPEN_KEY, S_CLOSE_KEY,
	S_EQ, S_NE, S_LT, S_LE, S_GT, S_GE, S_MATCH,	/* in the order of enum where_op */
};

enum want { WANT_NUMBER, WANT_TEXT, WANT_TIME, WANT_VERSION, WANT_WORD, WANT_REASON, WANT_NOTHING };

enum { MAX_DEPTH = 64 };

struct parser {
	struct lexer lexer;
	enum sign sign;
	struct token now;		/* S_TOKEN */
	uint32_t line, column;
	bool failed;
	unsigned depth;
	struct where *where;
	struct fault *fault;
};

/* ---- mistakes ---- */

static const char *did_you_mean(const struct nearest *nearest)
{
	static char text[80];

	if (!nearest->best)
		return "";
	snprintf(text, sizeof(text), "; did you mean `%s`?", nearest->best);
	return text;
}

__attribute__((format(printf, 4, 5)))
static bool fail_at(struct parser *p, uint32_t line, uint32_t column, const char *format, ...)
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
static const char *found(const struct parser *p)
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

static bool expected(struct parser *p, const char *what)
{
	if (p->sign == S_TOKEN && p->now.kind == TOKEN_BAD)
		return fail_at(p, p->now.line, p->now.column, "%s", p->now.why);
	return fail_at(p, p->line, p->column, "expected %s, found %s", what, found(p));
}

/* ---- tokens ---- */

static bool take_sign(struct parser *p)
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

static void next(struct parser *p)
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

static bool is_word(const struct parser *p, const char *word)
{
	return p->sign == S_TOKEN && token_word(&p->now, word);
}

/* ---- fields ---- */

static const struct special {
	const char *name;
	uint8_t subject, want;
} specials[] = {
	{ "type", WHERE_TYPE, WANT_WORD }, { "from", WHERE_FROM, WANT_WORD }, { "client", WHERE_CLIENT, WANT_TEXT },
	{ "connection", WHERE_CONNECTION, WANT_NUMBER }, { "stream", WHERE_STREAM, WANT_NUMBER }, { "frame", WHERE_FRAME, WANT_NUMBER },
	{ "time", WHERE_TIME, WANT_TIME }, { "size", WHERE_SIZE, WANT_NUMBER }, { "remaining_length", WHERE_REMAINING_LENGTH, WANT_NUMBER },
	{ "version", WHERE_VERSION, WANT_VERSION }, { "way", WHERE_WAY, WANT_WORD }, { "sure", WHERE_SURE, WANT_NUMBER },
	{ "confidence", WHERE_CONFIDENCE, WANT_NUMBER }, { "topic", WHERE_TOPIC, WANT_TEXT },
	{ "unreadable", WHERE_UNREADABLE, WANT_NUMBER }, { "clause", WHERE_CLAUSE, WANT_TEXT },
};
enum { N_SPECIALS = sizeof(specials) / sizeof(*specials) };

static enum want want_of(const struct field *f)
{
	if (f->limit == REASON)
		return WANT_REASON;
	switch (f->kind) {
	case STR: case BIN: case REST: case FILTERS: case TOPICS: return WANT_TEXT;
	case PAIR: case PROPS: return WANT_NOTHING;
	default: return WANT_NUMBER;
	}
}

static bool unknown_field(struct parser *p, const struct token *at)
{
	struct nearest nearest = { .word = at->text };
	const struct field *f;

	for (size_t i = 0; i < N_SPECIALS; i++)
		nearest_try(&nearest, specials[i].name);
	for (unsigned type = 1; type < N_PACKET_TYPES; type++)
		for (size_t i = 0; (f = field_at(type, MQTT_5, i)); i++)
			nearest_try(&nearest, f->name);
	return fail_at(p, at->line, at->column, "no field is called %s%s", found(p), did_you_mean(&nearest));
}

static struct span keep(struct parser *p, const struct token *token)
{
	struct where *where = p->where;
	struct writer w = writer_to(where->room + where->n_room, p->lexer.text.len - where->n_room);

	if (token->kind == TOKEN_WORD)
		wr_bytes(&w, token->text);
	else
		lex_bytes(token, &w);
	where->n_room += w.len;		/* never more than the text has */
	return wr_span(&w);
}

/* user_property.KEY: the key, as a word of its own; false when there is none. */
static bool split_key(struct token *name, struct token *key)
{
	static const char *const forms[] = { "user_property.", "will.user_property." };

	for (size_t i = 0; i < 2; i++) {
		size_t len = strlen(forms[i]);

		if (name->text.len <= len || memcmp(name->text.at, forms[i], len))
			continue;
		*key = *name;
		key->text = span_of(name->text.at + len, name->text.len - len);
		name->text.len = len - 1;
		return true;
	}
	return false;
}

static bool take_field(struct parser *p, struct where_test *test, enum want *want, const char **name)
{
	struct token at = p->now, key;
	bool any = false;

	if (p->sign != S_TOKEN || at.kind != TOKEN_WORD)
		return expected(p, "a field such as topic, ! or (");
	if (split_key(&at, &key)) {
		test->keyed = true;
		test->key = keep(p, &key);
	}
	for (size_t i = 0; i < N_SPECIALS; i++)
		if (span_is(at.text, specials[i].name)) {
			test->subject = specials[i].subject;
			*want = specials[i].want;
			*name = specials[i].name;
			next(p);
			return true;
		}
	for (unsigned type = 1; type < N_PACKET_TYPES; type++) {
		const struct field *f = field_find(type, at.text);

		test->by_type[type] = f;
		if (f && !any) {
			*want = test->keyed ? WANT_TEXT : want_of(f);
			*name = f->name;
			any = true;
		}
	}
	if (!any)
		return unknown_field(p, &at);
	next(p);
	if (p->sign == S_OPEN_KEY && *want == WANT_NOTHING && !test->keyed) {
		next(p);
		if (p->sign != S_TOKEN || (p->now.kind != TOKEN_STRING && p->now.kind != TOKEN_HEX))
			return expected(p, "the user property's key in quotes");
		test->keyed = true;
		test->key = keep(p, &p->now);
		*want = WANT_TEXT;
		next(p);
		if (p->sign != S_CLOSE_KEY)
			return expected(p, "] behind the key");
		next(p);
	}
	return true;
}

/* ---- values ---- */

static bool word_value(struct parser *p, struct where_test *test, const char *what, const char *const *words, const uint8_t *numbers, size_t n)
{
	struct nearest nearest = { .word = p->now.text };

	for (size_t i = 0; i < n; i++) {
		if (is_word(p, words[i])) {
			test->number = numbers ? numbers[i] : (int)i;
			return true;
		}
		nearest_try(&nearest, words[i]);
	}
	if (p->now.kind != TOKEN_WORD)
		return expected(p, what);
	return fail_at(p, p->line, p->column, "expected %s, found %s%s", what, found(p), did_you_mean(&nearest));
}

static bool words_value(struct parser *p, struct where_test *test)
{
	static const char *const types[] = {
#define X(name, number, flags, sender, since) #name,
		PACKETS(X)
#undef X
		"RESERVED"
	};
	static const uint8_t type_numbers[] = {
#define X(name, number, flags, sender, since) number,
		PACKETS(X)
#undef X
		0
	};
	static const char *const sides[] = { "client", "broker" };
	static const uint8_t side_numbers[] = { FROM_CLIENT, FROM_SERVER };
	static const char *const ways[] = { [VIA_TCP] = "tcp", [VIA_TLS] = "tls", [VIA_WS] = "ws", [VIA_WSS] = "wss" };

	if (test->subject == WHERE_FROM)
		return word_value(p, test, "client or broker", sides, side_numbers, 2);
	if (test->subject == WHERE_WAY)
		return word_value(p, test, "tcp, tls, ws or wss", ways, NULL, 4);
	return word_value(p, test, "a packet type such as PUBLISH", types, type_numbers, sizeof(type_numbers));
}

static bool reason_value(struct parser *p, struct where_test *test)
{
	struct nearest nearest = { .word = p->now.text };
	bool any = false;

	for (unsigned version = MQTT_3_1; version <= MQTT_5; version++)
		for (unsigned type = 0; type < 16; type++) {
			int code = type ? reason_code(type, version, p->now.text) : -1;

			test->codes[version - MQTT_3_1][type] = (int16_t)code;
			any = any || code >= 0;
			for (unsigned c = 0; type && c < 256; c++)
				if (reason_name(type, version, c))
					nearest_try(&nearest, reason_name(type, version, c));
		}
	if (!any)
		return fail_at(p, p->line, p->column, "no reason code is called %s%s", found(p), did_you_mean(&nearest));
	test->named = true;
	if (test->op != WHERE_EQ && test->op != WHERE_NE)
		return fail_at(p, p->line, p->column, "a reason's name goes with == or !=; write a number such as 0x80");
	return true;
}

static bool time_value(struct parser *p, struct where_test *test)
{
	uint64_t ns = 0, place = 1000000000;

	if (p->now.kind == TOKEN_VERSION) {	/* 1.5: digits and points */
		bool behind = false;

		for (size_t i = 0; i < p->now.text.len; i++) {
			uint8_t c = p->now.text.at[i];

			if (c == '.' && behind)
				return expected(p, "a time such as 1.5s or 200ms");
			if (c == '.') {
				behind = true;
			} else if (!behind) {
				if (__builtin_mul_overflow(ns, 10, &ns) || __builtin_add_overflow(ns, (uint64_t)(c - '0') * 1000000000, &ns))
					return expected(p, "a time of less than 292 years");
			} else {
				place /= 10;
				ns += place * (uint64_t)(c - '0');
			}
		}
	} else if (p->now.kind != TOKEN_NUMBER || (p->now.unit != UNIT_NONE && p->now.unit != UNIT_TIME)) {
		return expected(p, "a time such as 1.5s or 200ms");
	} else if (p->now.unit == UNIT_TIME) {
		ns = p->now.number;
	} else if (__builtin_mul_overflow(p->now.number, (uint64_t)1000000000, &ns)) {
		ns = UINT64_MAX;
	}
	if (ns > INT64_MAX)
		return expected(p, "a time of less than 292 years");
	test->number = (int64_t)ns;
	return true;
}

static bool number_value(struct parser *p, struct where_test *test)
{
	if (is_word(p, "true") || is_word(p, "false")) {
		test->number = is_word(p, "true");
		return true;
	}
	if (p->now.kind != TOKEN_NUMBER || (p->now.unit != UNIT_NONE && p->now.unit != UNIT_SIZE))
		return expected(p, "a number");
	if (p->now.number > INT64_MAX)
		return expected(p, "a number below 2^63");
	test->number = (int64_t)p->now.number;
	return true;
}

static bool version_value(struct parser *p, struct where_test *test)
{
	static const char *const names[] = { "3.1", "3.1.1", "5" };
	static const uint8_t numbers[] = { MQTT_3_1, MQTT_3_1_1, MQTT_5 };

	for (size_t i = 0; i < 3; i++)
		if (span_is(p->now.text, names[i])) {
			test->number = numbers[i];
			return true;
		}
	return expected(p, "3.1, 3.1.1 or 5");
}

static bool text_value(struct parser *p, struct where_test *test)
{
	if (p->now.kind != TOKEN_STRING && p->now.kind != TOKEN_HEX)
		return expected(p, "text in quotes, or hex\"...\"");
	test->bytes = keep(p, &p->now);
	return true;
}

static bool take_value(struct parser *p, struct where_test *test, enum want want)
{
	bool good = false;

	if (p->sign != S_TOKEN || p->now.kind == TOKEN_BAD)
		return expected(p, "a value");
	switch (want) {
	case WANT_NUMBER:  good = number_value(p, test); break;
	case WANT_TEXT:    good = text_value(p, test); break;
	case WANT_TIME:    good = time_value(p, test); break;
	case WANT_VERSION: good = version_value(p, test); break;
	case WANT_REASON:  good = p->now.kind == TOKEN_WORD ? reason_value(p, test) : number_value(p, test); break;
	case WANT_WORD:    good = words_value(p, test); break;
	case WANT_NOTHING: break;
	}
	if (good)
		next(p);
	return good;
}

/* ---- tests ---- */

static bool take_op(struct parser *p, struct where_test *test, enum want want, const char *name)
{
	bool text = want == WANT_TEXT, order = p->sign >= S_LT && p->sign <= S_GE;

	if (want == WANT_NOTHING)
		return fail_at(p, p->line, p->column, "`%s` has no value of its own; expected present or absent%s", name,
		               strstr(name, "user_property") ? ", or a key as in user_property.KEY" : "");
	if (p->sign == S_MATCH && !text)
		return fail_at(p, p->line, p->column, "`%s` is no text that a topic filter could match; expected == != < <= > or >=", name);
	if (order && (text || (want == WANT_WORD)))
		return fail_at(p, p->line, p->column, "`%s` is not compared by size; expected == or !=%s", name, text ? " or ~" : "");
	test->op = (uint8_t)(p->sign - S_EQ + WHERE_EQ);
	next(p);
	return true;
}

static bool emit(struct parser *p, enum where_code code, unsigned to)
{
	struct where *where = p->where;

	if (where->n_steps == WHERE_MAX_STEPS)
		return fail_at(p, p->line, p->column, "the expression is too long: at most %d tests", WHERE_MAX_TESTS);
	where->steps[where->n_steps++] = (struct where_step){ (uint8_t)code, (uint16_t)to };
	return true;
}

static bool parse_test(struct parser *p)
{
	struct where *where = p->where;
	struct where_test test = { .op = WHERE_SET };
	enum want want = WANT_NOTHING;
	const char *name = "";

	if (where->n_tests == WHERE_MAX_TESTS)
		return fail_at(p, p->line, p->column, "the expression is too long: at most %d tests", WHERE_MAX_TESTS);
	if (!take_field(p, &test, &want, &name))
		return false;
	if (is_word(p, "present") || is_word(p, "absent")) {
		test.op = is_word(p, "present") ? WHERE_PRESENT : WHERE_ABSENT;
		next(p);
	} else if (p->sign >= S_EQ) {
		if (!take_op(p, &test, want, name) || !take_value(p, &test, want))
			return false;
	} else if (p->sign == S_TOKEN) {
		return expected(p, "an operator such as ==, present or absent");
	}
	struct where_test *tests = realloc(where->tests, (where->n_tests + 1) * sizeof(*tests));
	if (!tests)
		return fail_at(p, p->line, p->column, "no memory");
	where->tests = tests;
	tests[where->n_tests] = test;
	return emit(p, WHERE_RUN, where->n_tests++);
}

static bool parse_or(struct parser *p);

static bool parse_unary(struct parser *p)
{
	bool good;

	if (p->sign != S_NOT && p->sign != S_OPEN)
		return parse_test(p);
	if (++p->depth > MAX_DEPTH)
		return fail_at(p, p->line, p->column, "nested too deep: at most %d", MAX_DEPTH);
	if (p->sign == S_NOT) {
		next(p);
		good = parse_unary(p) && emit(p, WHERE_NOT, 0);
	} else {
		next(p);
		good = parse_or(p) && (p->sign == S_CLOSE || expected(p, "&&, || or )"));
		if (good)
			next(p);
	}
	p->depth--;
	return good;
}

/* A chain: each result that settles it jumps over the next, to where the next such question is asked. */
static bool parse_chain(struct parser *p, enum sign sign, bool (*operand)(struct parser *p), enum where_code settled)
{
	if (!operand(p))
		return false;
	while (p->sign == sign) {
		unsigned jump = p->where->n_steps;

		next(p);
		if (!emit(p, settled, 0) || !operand(p))
			return false;
		p->where->steps[jump].to = (uint16_t)p->where->n_steps;
	}
	return true;
}

static bool parse_and(struct parser *p)
{
	return parse_chain(p, S_AND, parse_unary, WHERE_UNLESS);
}

static bool parse_or(struct parser *p)
{
	return parse_chain(p, S_OR, parse_and, WHERE_IF);
}

struct where *where_parse(struct span text, struct fault *fault)
{
	struct parser p = { .fault = fault, .line = 1, .column = 1 };

	if (text.len > WHERE_MAX_TEXT) {
		fail_at(&p, 1, 1, "the expression is too long: at most %d bytes", WHERE_MAX_TEXT);
		return NULL;
	}
	p.where = calloc(1, sizeof(*p.where) + text.len);
	if (!p.where) {
		fail_at(&p, 1, 1, "no memory");
		return NULL;
	}
	lex_init(&p.lexer, text);
	next(&p);
	if (parse_or(&p) && (p.sign == S_END || expected(&p, "&&, || or the end")))
		return p.where;
	where_free(p.where);
	return NULL;
}
