#include "harness/parse.h"

/*
 * What a value is made of: names, arithmetic, strings. A constant becomes EXPR_NUMBER or EXPR_BYTES here, arithmetic on
 * constants included, so that whatever can be judged without a broker is.
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

struct expr *number_new(struct parser *p, struct place at, uint64_t number)
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
	if (p->role && &p->roles[actor] != p->role) {
		fail_at(p, at, "`$%s`: a client knows what is in force for itself only, `$%s.%s`", shown(name), p->role->name, shown(field));
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

/* In a role: the client's number, or a column of its row. */
static struct expr *client_name(struct parser *p, struct place at, struct span name)
{
	struct expr *expr;

	if (span_is(name, "n"))
		return expr_new(p, EXPR_CLIENT, at);
	if (!p->role->file)
		return unbound(p, at, name);
	expr = expr_new(p, EXPR_COLUMN, at);
	expr->slot = role_column(p, at, name);
	return expr;
}

/* What $name or, in $( ), name stands for. */
const struct expr *parse_name(struct parser *p, struct place at, struct span name)
{
	const uint8_t *dot = memchr(name.at, '.', name.len);
	const struct bound_name *bound;
	struct expr *expr;

	if (span_is(name, "topic"))
		return expr_new(p, EXPR_TOPIC, at);
	if (dot)
		return actor_field(p, at, name, (size_t)(dot - name.at));
	bound = find_name(p, name);
	if (!bound)
		return p->role ? client_name(p, at, name) : unbound(p, at, name);
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

const struct expr *parse_pick(struct parser *p, struct place at)
{
	const struct token *name = now(p);
	struct nearest nearest = { .word = name->text };
	struct expr *expr;
	int number;

	if (name->kind != TOKEN_WORD) {
		expected(p, "a role's name");
		return NULL;
	}
	take(p);
	number = find_actor(p, name->text);
	if (number < 0) {
		for (uint32_t i = 0; i < p->n_actors; i++)
			nearest_try(&nearest, p->actors[i].name);
		fail_at(p, place_of(name), "no role `%s` to pick from%s", shown(name->text), did_you_mean(&nearest));
		return NULL;
	}
	expr = expr_new(p, EXPR_PICK, at);
	expr->slot = (uint32_t)number;
	if (!p->picked[number].line)
		p->picked[number] = place_of(name);
	return need_sign(p, ')') ? expr : NULL;
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
	if (p->kind == FILE_WORKLOAD && token_word(t, "pick") && take_sign_if(p, '('))
		return parse_pick(p, place_of(t));
	column = find_column(p, t->text);
	return column ? parse_column(p, column) : parse_name(p, place_of(t), t->text);
}

static bool is_text(const struct expr *e)
{
	return e->kind == EXPR_BYTES || e->kind == EXPR_TOPIC || e->kind == EXPR_COLUMN;
}

static const struct expr *combine(struct parser *p, const struct token *sign, const struct expr *left, const struct expr *right)
{
	struct expr *expr;
	uint64_t n = 0;

	if (is_text(left) || is_text(right)) {
		fail_at(p, (is_text(left) ? left : right)->at, "expected a number for `%c`, found %s", sign->sign,
		        (is_text(left) ? left : right)->kind == EXPR_COLUMN ? "a column, which is text" : "a string");
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
const struct expr *parse_parenthesis(struct parser *p)
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

static bool in_word(uint8_t c)
{
	return c == '_' || (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

static bool names_a_value(const struct parser *p, struct span name)
{
	for (uint32_t i = 0; i < p->n_names; i++)
		if (span_equal(p->names[i].name, name))
			return true;
	return span_is(name, "topic") || (p->role && span_is(name, "n")) || find_column(p, name);
}

/* "t/$n" says just that; who writes it hardly means it. */
static void check_dollars(struct parser *p, const struct token *token, struct span literal)
{
	for (size_t i = 0; i < literal.len; i++) {
		size_t end = i + 1;
		struct span name;

		if (literal.at[i] == '\\')
			i++;
		else if (literal.at[i] == '$') {
			while (end < literal.len && in_word(literal.at[end]))
				end++;
			name = span_of(literal.at + i + 1, end - i - 1);
			if (names_a_value(p, name))
				warn_at(p, place_of(token), "`$%s` in a string is no value: write `$(%s)`, or `\\$%s` if it is meant as it stands", shown(name),
				        shown(name), shown(name));
		}
	}
}

const struct expr *parse_template(struct parser *p, const struct token *token)
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
		check_dollars(p, token, literal);
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

const struct expr *parse_hex(struct parser *p, const struct token *token)
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
