#include "harness/parse.h"

/*
 * Values. A constant becomes EXPR_NUMBER or EXPR_BYTES here, arithmetic on constants included, so that
 * whatever can be judged without a broker is.
 */

struct expr *expr_new(struct parser *p, enum expr_kind kind, struct place at)
{
	struct expr *expr = region_alloc(p->region, sizeof *expr);

	expr->kind = kind;
	expr->at = at;
	return expr;
}

bool expr_constant(const struct expr *expr)
{
	return expr->kind == EXPR_NUMBER || expr->kind == EXPR_BYTES;
}

static struct expr *number_new(struct parser *p, struct place at, uint64_t number)
{
	struct expr *expr = expr_new(p, EXPR_NUMBER, at);

	expr->number = number;
	return expr;
}

static struct expr *bytes_new(struct parser *p, struct place at, struct span bytes)
{
	struct expr *expr = expr_new(p, EXPR_BYTES, at);

	expr->bytes = bytes;
	return expr;
}

/* ---- names ---- */

static struct expr *lost_name(struct parser *p, struct place at, struct span name)
{
	fail_at(p, at, "`$%s` is bound by something that %s does not have", shown(name), version_name(p->version));
	return NULL;
}

static struct expr *actor_field(struct parser *p, struct place at, struct span name, size_t dot)
{
	struct span field = span_of(name.at + dot + 1, name.len - dot - 1);
	int actor = find_actor(p, span_of(name.at, dot));
	struct expr *expr;

	if (actor < 0) {
		fail_at(p, at, "`$%s`: no actor `%s` before this step", shown(name), shown(span_of(name.at, dot)));
		return NULL;
	}
	expr = expr_new(p, EXPR_ACTOR_FIELD, at);
	expr->slot = (uint32_t)actor;
	if (span_is(field, "client_id") || span_is(field, "keep_alive")) {
		expr->field = field_find(CONNECT, field);
	} else {
		expr->field = field_find(CONNACK, field);
		if (expr->field && !(expr->field->property && field_belongs(expr->field, CONNACK, MQTT_5)))
			expr->field = NULL;
	}
	if (!expr->field) {
		struct nearest nearest = { .word = field };
		const struct field *f;

		nearest_try(&nearest, "client_id");
		nearest_try(&nearest, "keep_alive");
		for (size_t i = 0; (f = field_at(CONNACK, MQTT_5, i)); i++)
			if (f->property)
				nearest_try(&nearest, f->name);
		fail_at(p, at, "`$%s`: expected client_id, keep_alive or what CONNACK announces%s", shown(name), did_you_mean(&nearest));
		return NULL;
	}
	return expr;
}

static struct expr *unbound(struct parser *p, struct place at, struct span name)
{
	struct nearest nearest = { .word = name };

	nearest_try(&nearest, "topic");
	for (uint32_t i = 0; i < p->n_names; i++)
		nearest_try(&nearest, p->slots[p->names[i].slot]);
	for (uint32_t i = 0; i < p->n_columns; i++)
		nearest_try(&nearest, region_string(&p->scratch, p->columns[i].name));
	fail_at(p, at, "`$%s` is not bound here%s", shown(name), did_you_mean(&nearest));
	return NULL;
}

/* What $name or, in $( ), name stands for. */
static const struct expr *parse_name(struct parser *p, struct place at, struct span name)
{
	const uint8_t *dot = memchr(name.at, '.', name.len);
	const struct bound_name *bound;
	struct expr *expr;

	if (span_is(name, "topic"))
		return expr_new(p, EXPR_TOPIC, at);
	if (dot)
		return actor_field(p, at, name, (size_t)(dot - name.at));
	bound = find_name(p, name);
	if (!bound && p->kind == FILE_WORKLOAD) {	/* a column of the role's file, or its number n */
		expr = expr_new(p, EXPR_VAR, at);
		return expr;
	}
	if (!bound)
		return unbound(p, at, name);
	if (bound->kind == NAME_LOST)
		return lost_name(p, at, name);
	if (bound->kind == NAME_MOMENT) {
		fail_at(p, at, "`$%s` is a moment; it stands behind `of` only", shown(name));
		return NULL;
	}
	expr = expr_new(p, EXPR_VAR, at);
	expr->slot = bound->slot;
	return expr;
}

/* ---- arithmetic: what stands in $( ), over p->tokens ---- */

static const struct expr *parse_sum(struct parser *p);

/* A case's value, looked up by name: its tokens read as one value. */
static const struct expr *parse_column(struct parser *p, const struct column *column)
{
	const struct token *outer = p->tokens;
	uint32_t outer_n = p->n_tokens, outer_at = p->at;
	const struct expr *value;
	struct token *tokens;

	if (column->value.n > MAX_COLUMNS) {
		fail_at(p, column->at, "`%s` is too long to stand in $( )", shown(column->name));
		return NULL;
	}
	if (!has_memory(p, column->at))
		return NULL;
	tokens = region_alloc(&p->scratch, (column->value.n + 1) * sizeof *tokens);

	memcpy(tokens, column->value.at, column->value.n * sizeof *tokens);
	*column->used = true;
	p->tokens = tokens;
	p->n_tokens = column->value.n + 1;
	p->at = 0;
	value = parse_value(p, &(struct target){ .version = p->version });
	if (value && now(p)->kind != TOKEN_END) {
		fail_at(p, column->at, "`%s` is not one value and cannot stand in $( )", shown(column->name));
		value = NULL;
	}
	p->tokens = outer;
	p->n_tokens = outer_n;
	p->at = outer_at;
	return value;
}

static const struct expr *parse_atom(struct parser *p)
{
	const struct token *t = now(p);
	const struct column *column;
	const struct expr *value;

	if (t->kind == TOKEN_NUMBER) {
		take(p);
		return number_new(p, place_of(t), t->number);
	}
	if (token_is(t, '(')) {
		take(p);
		value = parse_sum(p);
		return value && need_sign(p, ')') ? value : NULL;
	}
	if (t->kind == TOKEN_NAME) {
		fail_at(p, place_of(t), "inside $( ) names stand without `$`: write `%s`", shown(t->text));
		return NULL;
	}
	if (t->kind != TOKEN_WORD) {
		expected(p, "a name or a number");
		return NULL;
	}
	take(p);
	if (p->kind == FILE_WORKLOAD && take_sign_if(p, '(')) {		/* pick(role) */
		if (now(p)->kind != TOKEN_WORD) {
			expected(p, "a role's name");
			return NULL;
		}
		take(p);
		return need_sign(p, ')') ? expr_new(p, EXPR_VAR, place_of(t)) : NULL;
	}
	column = find_column(p, t->text);
	return column ? parse_column(p, column) : parse_name(p, place_of(t), t->text);
}

static const struct expr *combine(struct parser *p, const struct token *sign, const struct expr *left, const struct expr *right)
{
	struct expr *expr;
	uint64_t n = 0;

	if (left->kind == EXPR_BYTES || right->kind == EXPR_BYTES) {
		fail_at(p, (left->kind == EXPR_BYTES ? left : right)->at, "expected a number for `%c`, found a string", sign->sign);
		return NULL;
	}
	if (left->kind == EXPR_NUMBER && right->kind == EXPR_NUMBER) {
		uint64_t a = left->number, b = right->number;
		bool over = sign->sign == '+' ? __builtin_add_overflow(a, b, &n) : sign->sign == '-' ? __builtin_sub_overflow(a, b, &n) :
		            sign->sign == '*' ? __builtin_mul_overflow(a, b, &n) : !b;

		if (over) {
			fail_at(p, place_of(sign), "the result is below 0, above 64 bits, or divided by 0");
			return NULL;
		}
		if (sign->sign == '/' || sign->sign == '%')
			n = sign->sign == '/' ? a / b : a % b;
		return number_new(p, left->at, n);
	}
	expr = expr_new(p, EXPR_ARITH, left->at);
	expr->number = sign->sign;
	expr->left = left;
	expr->right = right;
	return expr;
}

static const struct expr *parse_chain(struct parser *p, const char *signs, const struct expr *(*operand)(struct parser *p))
{
	const struct expr *left, *right;

	if (++p->expr_depth > MAX_EXPR_DEPTH) {
		fail_at(p, place_of(now(p)), "nested too deep");
		return NULL;
	}
	left = operand(p);
	for (unsigned n = 0; left && now(p)->kind == TOKEN_SIGN && strchr(signs, now(p)->sign); n++) {
		const struct token *sign = take(p);

		if (n == MAX_PARTS) {
			fail_at(p, place_of(sign), "more than %d terms", MAX_PARTS);
			return NULL;
		}
		right = operand(p);
		left = right ? combine(p, sign, left, right) : NULL;
	}
	p->expr_depth--;
	return left;
}

static const struct expr *parse_product(struct parser *p)
{
	return parse_chain(p, "*/%", parse_atom);
}

static const struct expr *parse_sum(struct parser *p)
{
	return parse_chain(p, "+-", parse_product);
}

/* Behind "$(". */
static const struct expr *parse_parenthesis(struct parser *p)
{
	const struct expr *value = parse_sum(p);

	return value && need_sign(p, ')') ? value : NULL;
}

/* ---- strings ---- */

/* The expression in a string, its tokens read from the string's text. */
static const struct expr *parse_inner(struct parser *p, const struct token *string, struct span text)
{
	const struct token *outer = p->tokens;
	uint32_t outer_n = p->n_tokens, outer_at = p->at, n = 0;
	const struct expr *value = NULL;
	struct token *tokens;
	struct lexer lexer;

	if (!has_memory(p, place_of(string)))
		return NULL;
	tokens = region_alloc(&p->scratch, (text.len + 1) * sizeof *tokens);

	lex_init_expr(&lexer, text, string->line, string->column + (uint32_t)(text.at - string->text.at));
	do {
		tokens[n] = lex_next(&lexer);
		if (tokens[n].kind == TOKEN_BAD) {
			fail_at(p, place_of(&tokens[n]), "%s: `%s`", tokens[n].why, shown(tokens[n].text));
			return NULL;
		}
	} while (tokens[n++].kind != TOKEN_END);
	p->tokens = tokens;
	p->n_tokens = n;
	p->at = 0;
	value = parse_sum(p);
	if (value && now(p)->kind != TOKEN_END) {
		expected(p, "`)` behind the expression");
		value = NULL;
	}
	p->tokens = outer;
	p->n_tokens = outer_n;
	p->at = outer_at;
	return value;
}

static struct span unescaped(struct parser *p, struct span literal)
{
	uint8_t *room = region_alloc(p->region, literal.len + 1);
	struct writer w = writer_to(room, literal.len);

	lex_unescape(literal, &w);
	return wr_span(&w);
}

static const struct expr *parse_template(struct parser *p, const struct token *token)
{
	struct span rest = span_of(token->text.at + 1, token->text.len - 2), literal, inner;
	const struct expr *items[64];
	struct expr *expr;
	uint32_t n = 0;
	bool has_inner;

	while (lex_piece(&rest, &literal, &inner, &has_inner)) {
		if (n + 2 > 64) {
			fail_at(p, place_of(token), "more than 31 $( ) in one string");
			return NULL;
		}
		if (literal.len)
			items[n++] = bytes_new(p, place_of(token), unescaped(p, literal));
		if (!has_inner)
			continue;
		items[n] = parse_inner(p, token, inner);
		if (!items[n++])
			return NULL;
	}
	if (!n || (n == 1 && items[0]->kind == EXPR_BYTES))
		return n ? items[0] : bytes_new(p, place_of(token), (struct span){ 0 });
	expr = expr_new(p, EXPR_TEMPLATE, place_of(token));
	expr->items = region_alloc(p->region, n * sizeof *expr->items);
	memcpy(expr->items, items, n * sizeof *items);
	expr->n_items = n;
	return expr;
}

static const struct expr *parse_hex(struct parser *p, const struct token *token)
{
	uint8_t *room = region_alloc(p->region, token->text.len);
	struct writer w = writer_to(room, token->text.len);

	lex_bytes(token, &w);
	return bytes_new(p, place_of(token), wr_span(&w));
}

bool parse_string(struct parser *p, const char *what, const char **text)
{
	const struct token *token = now(p);
	const struct expr *value;

	if (token->kind != TOKEN_STRING)
		return expected(p, what);
	take(p);
	value = parse_template(p, token);
	if (!value)
		return false;
	if (value->kind != EXPR_BYTES)
		return fail_at(p, place_of(token), "no $( ) can stand here");
	if (value->bytes.len && memchr(value->bytes.at, 0, value->bytes.len))
		return fail_at(p, place_of(token), "no \\0 can stand here");
	*text = region_string(p->region, value->bytes);
	return true;
}

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
		return need_sign(p, ')') ? expr : NULL;
	}
	fail_at(p, place_of(word), "unknown function `%s`; expected fill random stamp scram%s", shown(word->text), did_you_mean(&nearest));
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

static bool fits(struct parser *p, const struct target *target, const struct expr *value)
{
	const struct field *field = target->field;
	bool number = is_number_kind(field->kind), text = field->kind == STR || field->kind == BIN || field->kind == REST;

	if (value->kind == EXPR_ABSENT || value->kind == EXPR_VAR || value->kind == EXPR_ACTOR_FIELD)
		return true;
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
	if (number && value->kind != EXPR_NUMBER && value->kind != EXPR_ARITH)
		return fail_at(p, value->at, "%s takes a number", field->name);
	if (number && value->kind == EXPR_NUMBER && value->number > largest(field))
		return fail_at(p, value->at, "%s is 0 to %llu, found %llu", field->name, (unsigned long long)largest(field),
		               (unsigned long long)value->number);
	if (text && (value->kind == EXPR_NUMBER || value->kind == EXPR_ARITH))
		return fail_at(p, value->at, "%s takes a string; write \"...\" or \"$( )\"", field->name);
	if (text && field->kind != REST && value->kind == EXPR_BYTES && value->bytes.len > 0xffff)
		return fail_at(p, value->at, "%s has at most 65535 bytes, found %zu", field->name, value->bytes.len);
	if (text && field->kind != REST && value->left && value->left->kind == EXPR_NUMBER && value->left->number > 0xffff)
		return fail_at(p, value->at, "%s has at most 65535 bytes", field->name);
	return true;
}

static const struct expr *parse_list(struct parser *p, const struct target *target)
{
	const struct expr *items[MAX_COLUMNS];
	struct place at = place_of(take(p));
	struct expr *list;
	uint32_t n = 0;

	while (!token_is(now(p), ']')) {
		if (n == MAX_COLUMNS) {
			fail_at(p, place_of(now(p)), "more than %d values in a list", MAX_COLUMNS);
			return NULL;
		}
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

const struct expr *parse_count(struct parser *p, const char *what)
{
	const struct token *t = now(p);
	const struct expr *value;

	if (t->kind != TOKEN_NUMBER && t->kind != TOKEN_NAME && t->kind != TOKEN_EXPR) {
		expected(p, what);
		return NULL;
	}
	value = parse_value(p, &(struct target){ .version = p->version });
	if (value && value->kind != EXPR_NUMBER && value->kind != EXPR_VAR && value->kind != EXPR_ARITH && value->kind != EXPR_ACTOR_FIELD) {
		fail_at(p, place_of(t), "expected %s", what);
		return NULL;
	}
	return value;
}

const struct expr *parse_duration(struct parser *p)
{
	const struct token *t = now(p);

	if (t->kind == TOKEN_NUMBER && t->unit == UNIT_TIME) {
		take(p);
		return number_new(p, place_of(t), t->number);
	}
	if (t->kind == TOKEN_EXPR) {
		take(p);
		return parse_parenthesis(p);
	}
	expected(p, "a duration such as 500ms, 2s or 1m");
	return NULL;
}
