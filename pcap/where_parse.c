#include <arpa/inet.h>
#include <stdlib.h>

#include "pcap/where_tokens.h"

/* An expression becomes tests, and steps that run them. */

enum want { WANT_NUMBER, WANT_TEXT, WANT_TIME, WANT_VERSION, WANT_WORD, WANT_REASON, WANT_ADDRESS, WANT_NOTHING };

enum { MAX_DEPTH = 64 };

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
	{ "broker", WHERE_BROKER, WANT_ADDRESS }, { "client_address", WHERE_CLIENT_ADDRESS, WANT_ADDRESS },
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

static bool unknown_field(struct where_parser *p, const struct token *at)
{
	struct nearest nearest = { .word = at->text };
	const struct field *f;

	for (size_t i = 0; i < N_SPECIALS; i++)
		nearest_try(&nearest, specials[i].name);
	for (unsigned type = 1; type < N_PACKET_TYPES; type++)
		for (size_t i = 0; (f = field_at(type, MQTT_5, i)); i++)
			nearest_try(&nearest, f->name);
	return where_fail(p, at->line, at->column, "no field is called %s%s", where_found(p), where_hint(&nearest));
}

static struct span keep(struct where_parser *p, const struct token *token)
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

static bool take_field(struct where_parser *p, struct where_test *test, enum want *want, const char **name)
{
	struct token at = p->now, key;
	bool any = false;

	if (p->sign != S_TOKEN || at.kind != TOKEN_WORD)
		return where_expected(p, "a field such as topic, ! or (");
	if (split_key(&at, &key)) {
		test->keyed = true;
		test->key = keep(p, &key);
	}
	for (size_t i = 0; i < N_SPECIALS; i++)
		if (span_is(at.text, specials[i].name)) {
			test->subject = specials[i].subject;
			*want = specials[i].want;
			*name = specials[i].name;
			where_next(p);
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
	where_next(p);
	if (p->sign == S_OPEN_KEY && *want == WANT_NOTHING && !test->keyed) {
		where_next(p);
		if (p->sign != S_TOKEN || (p->now.kind != TOKEN_STRING && p->now.kind != TOKEN_HEX))
			return where_expected(p, "the user property's key in quotes");
		test->keyed = true;
		test->key = keep(p, &p->now);
		*want = WANT_TEXT;
		where_next(p);
		if (p->sign != S_CLOSE_KEY)
			return where_expected(p, "] behind the key");
		where_next(p);
	}
	return true;
}

/* ---- values ---- */

static bool word_value(struct where_parser *p, struct where_test *test, const char *what, const char *const *words, const uint8_t *numbers, size_t n)
{
	struct nearest nearest = { .word = p->now.text };

	for (size_t i = 0; i < n; i++) {
		if (where_word(p, words[i])) {
			test->number = numbers ? numbers[i] : (int)i;
			return true;
		}
		nearest_try(&nearest, words[i]);
	}
	if (p->now.kind != TOKEN_WORD)
		return where_expected(p, what);
	return where_fail(p, p->line, p->column, "expected %s, found %s%s", what, where_found(p), where_hint(&nearest));
}

static bool words_value(struct where_parser *p, struct where_test *test)
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

static bool unknown_reason(struct where_parser *p)
{
	struct nearest nearest = { .word = p->now.text };

	for (unsigned version = MQTT_3_1; version <= MQTT_5; version++)
		for (unsigned type = 1; type < 16; type++)
			for (unsigned code = 0; code < 256; code++)
				if (reason_name(type, version, code))
					nearest_try(&nearest, reason_name(type, version, code));
	return where_fail(p, p->line, p->column, "no reason code is called %s%s", where_found(p), where_hint(&nearest));
}

static bool reason_value(struct where_parser *p, struct where_test *test)
{
	bool any = false;

	for (unsigned version = MQTT_3_1; version <= MQTT_5; version++)
		for (unsigned type = 0; type < 16; type++) {
			int code = type ? reason_code(type, version, p->now.text) : -1;

			test->codes[version - MQTT_3_1][type] = (int16_t)code;
			any = any || code >= 0;
		}
	if (!any)
		return unknown_reason(p);
	test->named = true;
	if (test->op != WHERE_EQ && test->op != WHERE_NE)
		return where_fail(p, p->line, p->column, "a reason's name goes with == or !=; write a number such as 0x80");
	return true;
}

static bool time_value(struct where_parser *p, struct where_test *test)
{
	uint64_t ns = 0, place = 1000000000;

	if (p->now.kind == TOKEN_VERSION) {	/* 1.5: digits and points */
		bool behind = false;

		for (size_t i = 0; i < p->now.text.len; i++) {
			uint8_t c = p->now.text.at[i];

			if (c == '.' && behind)
				return where_expected(p, "a time such as 1.5s or 200ms");
			if (c == '.') {
				behind = true;
			} else if (!behind) {
				if (__builtin_mul_overflow(ns, 10, &ns) || __builtin_add_overflow(ns, (uint64_t)(c - '0') * 1000000000, &ns))
					return where_expected(p, "a time of less than 292 years");
			} else {
				place /= 10;
				ns += place * (uint64_t)(c - '0');
			}
		}
	} else if (p->now.kind != TOKEN_NUMBER || (p->now.unit != UNIT_NONE && p->now.unit != UNIT_TIME)) {
		return where_expected(p, "a time such as 1.5s or 200ms");
	} else if (p->now.unit == UNIT_TIME) {
		ns = p->now.number;
	} else if (__builtin_mul_overflow(p->now.number, (uint64_t)1000000000, &ns)) {
		ns = UINT64_MAX;
	}
	if (ns > INT64_MAX)
		return where_expected(p, "a time of less than 292 years");
	test->number = (int64_t)ns;
	return true;
}

static bool number_value(struct where_parser *p, struct where_test *test)
{
	if (where_word(p, "true") || where_word(p, "false")) {
		test->number = where_word(p, "true");
		return true;
	}
	if (p->now.kind != TOKEN_NUMBER || (p->now.unit != UNIT_NONE && p->now.unit != UNIT_SIZE))
		return where_expected(p, "a number");
	if (p->now.number > INT64_MAX)
		return where_expected(p, "a number below 2^63");
	test->number = (int64_t)p->now.number;
	return true;
}

static bool version_value(struct where_parser *p, struct where_test *test)
{
	static const char *const names[] = { "3.1", "3.1.1", "5" };
	static const uint8_t numbers[] = { MQTT_3_1, MQTT_3_1_1, MQTT_5 };

	for (size_t i = 0; i < 3; i++)
		if (span_is(p->now.text, names[i])) {
			test->number = numbers[i];
			return true;
		}
	return where_expected(p, "3.1, 3.1.1 or 5");
}

static bool text_value(struct where_parser *p, struct where_test *test)
{
	if (p->now.kind != TOKEN_STRING && p->now.kind != TOKEN_HEX)
		return where_expected(p, "text in quotes, or hex\"...\"");
	test->bytes = keep(p, &p->now);
	return true;
}

/* As endpoint_print() writes them, or another way to write the same. */
static bool read_endpoint(struct span text, struct endpoint *e)
{
	char room[ENDPOINT_TEXT], *colon, *address = room, *end;

	if (!text.len || text.len >= sizeof(room) || memchr(text.at, 0, text.len))
		return false;
	memcpy(room, text.at, text.len);
	room[text.len] = 0;
	colon = strrchr(room, ':');
	if (!colon || colon == room || colon[1] < '0' || colon[1] > '9')
		return false;
	unsigned long port = strtoul(colon + 1, &end, 10);
	if (*end || port > 65535)
		return false;
	*e = (struct endpoint){ .family = 4, .port = (uint16_t)port };
	if (room[0] == '[' && colon[-1] == ']') {
		e->family = 6;
		address++;
		colon--;
	}
	*colon = 0;
	return inet_pton(e->family == 6 ? AF_INET6 : AF_INET, address, e->address) == 1;
}

static bool address_value(struct where_parser *p, struct where_test *test)
{
	return p->now.kind == TOKEN_STRING && read_endpoint(keep(p, &p->now), &test->address) ? true
	       : where_expected(p, "an address and a port, as in \"10.0.0.1:1883\" or \"[::1]:1883\"");
}

static bool take_value(struct where_parser *p, struct where_test *test, enum want want)
{
	bool good = false;

	if (p->sign != S_TOKEN || p->now.kind == TOKEN_BAD)
		return where_expected(p, "a value");
	switch (want) {
	case WANT_NUMBER:  good = number_value(p, test); break;
	case WANT_TEXT:    good = text_value(p, test); break;
	case WANT_TIME:    good = time_value(p, test); break;
	case WANT_VERSION: good = version_value(p, test); break;
	case WANT_REASON:  good = p->now.kind == TOKEN_WORD ? reason_value(p, test) : number_value(p, test); break;
	case WANT_WORD:    good = words_value(p, test); break;
	case WANT_ADDRESS: good = address_value(p, test); break;
	case WANT_NOTHING: break;
	}
	if (good)
		where_next(p);
	return good;
}

/* ---- tests ---- */

static bool take_op(struct where_parser *p, struct where_test *test, enum want want, const char *name)
{
	bool text = want == WANT_TEXT, order = p->sign >= S_LT && p->sign <= S_GE;

	if (want == WANT_NOTHING)
		return where_fail(p, p->line, p->column, "`%s` has no value of its own; expected present or absent%s", name,
		               strstr(name, "user_property") ? ", or a key as in user_property.KEY" : "");
	if (want == WANT_ADDRESS && p->sign != S_EQ && p->sign != S_NE)
		return where_fail(p, p->line, p->column, "`%s` is an address; expected == or !=", name);
	if (p->sign == S_MATCH && !text)
		return where_fail(p, p->line, p->column, "`%s` is no text that a topic filter could match; expected == != < <= > or >=", name);
	if (order && (text || (want == WANT_WORD)))
		return where_fail(p, p->line, p->column, "`%s` is not compared by size; expected == or !=%s", name, text ? " or ~" : "");
	test->op = (uint8_t)(p->sign - S_EQ + WHERE_EQ);
	where_next(p);
	return true;
}

static bool emit(struct where_parser *p, enum where_code code, unsigned to)
{
	struct where *where = p->where;

	if (where->n_steps == WHERE_MAX_STEPS)
		return where_fail(p, p->line, p->column, "the expression is too long: at most %d tests", WHERE_MAX_TESTS);
	where->steps[where->n_steps++] = (struct where_step){ (uint8_t)code, (uint16_t)to };
	return true;
}

static bool parse_test(struct where_parser *p)
{
	struct where *where = p->where;
	struct where_test test = { .op = WHERE_SET };
	enum want want = WANT_NOTHING;
	const char *name = "";

	if (where->n_tests == WHERE_MAX_TESTS)
		return where_fail(p, p->line, p->column, "the expression is too long: at most %d tests", WHERE_MAX_TESTS);
	if (!take_field(p, &test, &want, &name))
		return false;
	if (where_word(p, "present") || where_word(p, "absent")) {
		test.op = where_word(p, "present") ? WHERE_PRESENT : WHERE_ABSENT;
		where_next(p);
	} else if (p->sign >= S_EQ) {
		if (!take_op(p, &test, want, name) || !take_value(p, &test, want))
			return false;
	} else if (p->sign == S_TOKEN) {
		return where_expected(p, "an operator such as ==, present or absent");
	}
	struct where_test *tests = realloc(where->tests, (where->n_tests + 1) * sizeof(*tests));
	if (!tests)
		return where_fail(p, p->line, p->column, "no memory");
	where->tests = tests;
	tests[where->n_tests] = test;
	return emit(p, WHERE_RUN, where->n_tests++);
}

static bool parse_or(struct where_parser *p);

static bool parse_unary(struct where_parser *p)
{
	bool good;

	if (p->sign != S_NOT && p->sign != S_OPEN)
		return parse_test(p);
	if (++p->depth > MAX_DEPTH)
		return where_fail(p, p->line, p->column, "nested too deep: at most %d", MAX_DEPTH);
	if (p->sign == S_NOT) {
		where_next(p);
		good = parse_unary(p) && emit(p, WHERE_NOT, 0);
	} else {
		where_next(p);
		good = parse_or(p) && (p->sign == S_CLOSE || where_expected(p, "&&, || or )"));
		if (good)
			where_next(p);
	}
	p->depth--;
	return good;
}

/* A chain: each result that settles it jumps over the next, to where the next such question is asked. */
static bool parse_chain(struct where_parser *p, enum sign sign, bool (*operand)(struct where_parser *p), enum where_code settled)
{
	if (!operand(p))
		return false;
	while (p->sign == sign) {
		unsigned jump = p->where->n_steps;

		where_next(p);
		if (!emit(p, settled, 0) || !operand(p))
			return false;
		p->where->steps[jump].to = (uint16_t)p->where->n_steps;
	}
	return true;
}

static bool parse_and(struct where_parser *p)
{
	return parse_chain(p, S_AND, parse_unary, WHERE_UNLESS);
}

static bool parse_or(struct where_parser *p)
{
	return parse_chain(p, S_OR, parse_and, WHERE_IF);
}

struct where *where_parse(struct span text, struct fault *fault)
{
	struct where_parser p = { .fault = fault, .line = 1, .column = 1 };

	if (text.len > WHERE_MAX_TEXT) {
		where_fail(&p, 1, 1, "the expression is too long: at most %d bytes", WHERE_MAX_TEXT);
		return NULL;
	}
	p.where = calloc(1, sizeof(*p.where) + text.len);
	if (!p.where) {
		where_fail(&p, 1, 1, "no memory");
		return NULL;
	}
	lex_init(&p.lexer, text);
	where_next(&p);
	if (parse_or(&p) && (p.sign == S_END || where_expected(&p, "&&, || or the end")))
		return p.where;
	where_free(p.where);
	return NULL;
}
