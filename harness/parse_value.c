#include "harness/parse.h"

/* Values: what can stand in a field, and whether it fits there. */

/* ---- functions ---- */

static const struct expr *parse_function(struct parser *p, const struct token *word)
{
	static const struct {
		const char *name;
		enum expr_kind kind;
	} functions[] = { { "fill", EXPR_FILL }, { "random", EXPR_RANDOM }, { "stamp", EXPR_STAMP }, { "scram", EXPR_SCRAM } };
	struct nearest nearest = { .word = word->text };
	struct expr *expr;

	take(p);	/* '(' */
	if (p->kind == FILE_WORKLOAD && span_is(word->text, "pick"))
		return parse_pick(p, place_of(word));
	for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
		nearest_try(&nearest, functions[i].name);
		if (!span_is(word->text, functions[i].name))
			continue;
		expr = expr_new(p, functions[i].kind, place_of(word));
		if (expr->kind == EXPR_SCRAM)
			expr->number = take_word_if(p, "wrong");
		else if (!(expr->left = parse_count(p, "a number of bytes")))
			return NULL;
		if (expr->left && expr->left->kind == EXPR_NUMBER && expr->left->number > VARINT_MAX) {
			fail_at(p, expr->left->at, "%s: at most %u bytes", functions[i].name, VARINT_MAX);
			return NULL;
		}
		if (expr->kind == EXPR_STAMP && p->kind == FILE_WORKLOAD && expr->left->kind == EXPR_NUMBER && expr->left->number < LOAD_STAMP) {
			fail_at(p, expr->left->at, "a workload's stamp takes %d bytes or more, found stamp(%llu)", LOAD_STAMP,
			        (unsigned long long)expr->left->number);
			return NULL;
		}
		return need_sign(p, ')') ? expr : NULL;
	}
	fail_at(p, place_of(word), "unknown function `%s`; expected fill random stamp scram%s%s", shown(word->text),
	        p->kind == FILE_WORKLOAD ? " pick" : "", did_you_mean(&nearest));
	return NULL;
}

/* ---- reason names ---- */

static int reason_in(const struct target *target, struct span name)
{
	int code = reason_code(target->type, target->version, name);

	if (code < 0 && target->type == DISCONNECT)	/* what a refusing server says first may be a CONNACK */
		code = reason_code(CONNACK, target->version, name);
	return code;
}

static const struct expr *parse_reason(struct parser *p, const struct target *target, const struct token *word)
{
	struct nearest nearest = { .word = word->text };
	int code = reason_in(target, word->text);

	if (code >= 0)
		return number_new(p, place_of(word), (uint64_t)code);
	if (target->version != MQTT_5 && reason_code(target->type, MQTT_5, word->text) >= 0) {
		if (!target->optional)
			fail_at(p, place_of(word), "%s has no reason `%s` for %s", version_name(target->version), shown(word->text),
			        packet_name(target->type));
		return NULL;
	}
	for (unsigned i = 0; i < 256; i++)
		if (reason_name(target->type, target->version, i))
			nearest_try(&nearest, reason_name(target->type, target->version, i));
	fail_at(p, place_of(word), "unknown reason `%s` for %s%s", shown(word->text), packet_name(target->type), did_you_mean(&nearest));
	return NULL;
}

/* ---- fitting a field ---- */

static bool is_number_kind(enum kind kind)
{
	return kind == BITS || kind == U8 || kind == U16 || kind == U32 || kind == VARINT || kind == CODES;
}

static uint64_t largest(const struct field *field)
{
	switch (field->kind) {
	case BITS: return (1u << field->width) - 1;
	case U8: case CODES: return 0xff;
	case U16: return 0xffff;
	case U32: return 0xffffffff;
	case VARINT: return VARINT_MAX;
	default: return UINT64_MAX;
	}
}

static size_t width_of(const struct field *field)
{
	return field->kind == U8 || field->kind == CODES ? 1 : field->kind == U16 ? 2 : field->kind == U32 ? 4 : 0;
}

/* A number that only the run knows. */
static bool is_made_number(const struct expr *value)
{
	return value->kind == EXPR_ARITH || value->kind == EXPR_CLIENT || value->kind == EXPR_PICK;
}

static bool fits(struct parser *p, const struct target *target, const struct expr *value)
{
	const struct field *field = target->field;
	bool number = is_number_kind(field->kind), text = field->kind == STR || field->kind == BIN || field->kind == REST;

	if (value->kind == EXPR_ABSENT || value->kind == EXPR_VAR || value->kind == EXPR_ACTOR_FIELD)
		return true;
	if (number && value->kind == EXPR_COLUMN)
		return fail_at(p, value->at, "%s takes a number, and what stands in a column is text", field->name);
	if (field->kind == PAIR)
		return value->kind == EXPR_PAIR || value->kind == EXPR_LIST ||
		       fail_at(p, value->at, "%s takes \"name\":\"value\"", field->name);
	if (value->kind == EXPR_PAIR)
		return fail_at(p, value->at, "%s takes one value, no \"name\":\"value\"", field->name);
	if (value->kind == EXPR_LIST)
		return true;
	if (number && value->kind == EXPR_BYTES) {
		size_t width = width_of(field);

		if (target->sending && (field->kind == VARINT || (width && value->bytes.len == width)))
			return true;
		return fail_at(p, value->at, "%s takes a number", field->name);
	}
	if (number && value->kind != EXPR_NUMBER && !is_made_number(value))
		return fail_at(p, value->at, "%s takes a number", field->name);
	if (number && value->kind == EXPR_NUMBER && value->number > largest(field))
		return fail_at(p, value->at, "%s is 0 to %llu, found %llu", field->name, (unsigned long long)largest(field),
		               (unsigned long long)value->number);
	if (text && (value->kind == EXPR_NUMBER || is_made_number(value)))
		return fail_at(p, value->at, "%s takes a string; write \"...\" or \"$( )\"", field->name);
	if (text && field->kind != REST && value->kind == EXPR_BYTES && value->bytes.len > 0xffff)
		return fail_at(p, value->at, "%s has at most 65535 bytes, found %zu", field->name, value->bytes.len);
	if (text && field->kind != REST && value->left && value->left->kind == EXPR_NUMBER && value->left->number > 0xffff)
		return fail_at(p, value->at, "%s has at most 65535 bytes", field->name);
	return true;
}

static const struct expr *parse_list(struct parser *p, const struct target *target)
{
	const struct expr **items = NULL;
	struct place at = place_of(take(p));
	struct expr *list;
	uint32_t n = 0;

	while (!token_is(now(p), ']')) {
		if (n == MAX_PARTS) {
			fail_at(p, place_of(now(p)), "more than %d values in a list", MAX_PARTS);
			return NULL;
		}
		items = more(p, items, n, sizeof *items);
		items[n] = parse_value(p, target);
		if (!items[n++])
			return NULL;
	}
	take(p);
	if (target->field && !(target->field->repeats || target->field->kind == PAIR || target->field->kind == CODES)) {
		fail_at(p, at, "%s takes one value, no list", target->field->name);
		return NULL;
	}
	list = expr_new(p, EXPR_LIST, at);
	list->items = region_alloc(p->region, (n + 1) * sizeof *items);
	if (n)
		memcpy(list->items, items, n * sizeof *items);
	list->n_items = n;
	return list;
}

static const struct expr *parse_pair(struct parser *p, const struct expr *left)
{
	struct expr *pair = expr_new(p, EXPR_PAIR, left->at);

	take(p);	/* ':' */
	pair->left = left;
	pair->right = parse_value(p, &(struct target){ .version = p->version });
	return pair->right ? pair : NULL;
}

static const struct expr *parse_word(struct parser *p, const struct target *target)
{
	const struct token *word = take(p);

	if (token_is(now(p), '(') && !now(p)->space)
		return parse_function(p, word);
	if (token_word(word, "absent"))
		return expr_new(p, EXPR_ABSENT, place_of(word));
	if (target->field && target->field->limit == REASON)
		return parse_reason(p, target, word);
	if (target->field && (target->field->kind == STR || target->field->kind == BIN || target->field->kind == REST))
		fail_at(p, place_of(word), "%s takes a string: write \"%s\"", target->field->name, shown(word->text));
	else if (target->field)
		fail_at(p, place_of(word), "%s takes a number, found `%s`", target->field->name, shown(word->text));
	else
		fail_at(p, place_of(word), "expected a value, found `%s`", shown(word->text));
	return NULL;
}

static const struct expr *parse_plain(struct parser *p, const struct target *target)
{
	const struct token *t = now(p);

	switch (t->kind) {
	case TOKEN_NUMBER:
		if (t->unit == UNIT_TIME || t->unit == UNIT_RATE) {
			fail_at(p, place_of(t), "expected a value, found the %s `%s`", t->unit == UNIT_TIME ? "duration" : "rate", shown(t->text));
			return NULL;
		}
		take(p);
		return number_new(p, place_of(t), t->number);
	case TOKEN_STRING:
		take(p);
		return parse_template(p, t);
	case TOKEN_HEX:
		take(p);
		return parse_hex(p, t);
	case TOKEN_NAME:
		take(p);
		return parse_name(p, place_of(t), t->text);
	case TOKEN_EXPR:
		take(p);
		return parse_parenthesis(p);
	case TOKEN_WORD:
		return parse_word(p, target);
	default:
		if (token_is(t, '[') && ++p->expr_depth <= MAX_EXPR_DEPTH) {
			const struct expr *list = parse_list(p, target);

			p->expr_depth--;
			return list;
		}
		expected(p, "a value");
		return NULL;
	}
}

const struct expr *parse_value(struct parser *p, const struct target *target)
{
	const struct expr *value = parse_plain(p, target);

	if (value && !target->half && token_is(now(p), ':'))
		value = parse_pair(p, value);
	if (value && target->field && !fits(p, target, value))
		return NULL;
	return value;
}

/* ---- numbers and durations of steps ---- */

static bool may_be_number(const struct expr *value)
{
	return value->kind == EXPR_NUMBER || value->kind == EXPR_VAR || value->kind == EXPR_ACTOR_FIELD || is_made_number(value);
}

const struct expr *parse_count(struct parser *p, const char *what)
{
	const struct token *t = now(p);
	const struct expr *value;

	if (t->kind != TOKEN_NUMBER && t->kind != TOKEN_NAME && t->kind != TOKEN_EXPR) {
		expected(p, what);
		return NULL;
	}
	value = parse_value(p, &(struct target){ .version = p->version });
	if (value && !may_be_number(value)) {
		fail_at(p, place_of(t), "expected %s", what);
		return NULL;
	}
	return value;
}

const struct expr *parse_duration(struct parser *p)
{
	const struct token *t = now(p);
	const struct expr *value;

	if (t->kind == TOKEN_NUMBER && t->unit == UNIT_TIME) {
		take(p);
		return number_new(p, place_of(t), t->number);
	}
	if (t->kind == TOKEN_EXPR) {
		take(p);
		value = parse_parenthesis(p);
		if (value && !may_be_number(value)) {
			fail_at(p, place_of(t), "expected a duration");
			return NULL;
		}
		return value;
	}
	expected(p, "a duration such as 500ms, 2s or 1m");
	return NULL;
}
