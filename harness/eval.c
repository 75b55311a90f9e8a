#include "harness/eval.h"

#include <stdarg.h>
#include <stdio.h>

bool scope_fails(struct scope *scope, const struct expr *e, const char *format, ...)
{
	char text[240];
	va_list args;

	if (scope->failed)
		return false;
	scope->failed = true;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	scope->kind->failed(scope, e, text);
	return false;
}

void fill_pattern(uint8_t *at, size_t n, size_t from)
{
	for (size_t i = 0; i < n; i++)
		at[i] = (uint8_t)('a' + (from + i) % 26);
}

static uint8_t *room_for(struct scope *scope, const struct expr *e, size_t n)
{
	uint8_t *at = arena_take(scope->scratch, n ? n : 1);

	if (!at)
		scope_fails(scope, e, "the value is larger than the room for one step");
	return at;
}

static bool arith(struct scope *scope, const struct expr *e, struct value *value)
{
	uint64_t a, b;

	if (!expr_number(scope, e->left, &a) || !expr_number(scope, e->right, &b))
		return false;
	if (!b && (e->number == '/' || e->number == '%'))
		return scope_fails(scope, e, "division by zero");
	value->kind = VALUE_NUMBER;
	switch (e->number) {
	case '+': value->number = a + b; break;
	case '-': value->number = a - b; break;
	case '*': value->number = a * b; break;
	case '/': value->number = a / b; break;
	default:  value->number = a % b; break;
	}
	return true;
}

/* As "%llu", at what is the cost of the digits. */
static struct span decimal(char room[24], uint64_t n)
{
	char *end = room + 24, *at = end;

	do
		*--at = (char)('0' + n % 10);
	while (n /= 10);
	return span_of(at, (size_t)(end - at));
}

static bool joined(struct scope *scope, const struct expr *e, struct value *value)
{
	struct value parts[64];
	size_t len = 0;
	char digits[64][24];

	if (e->n_items > 64)
		return scope_fails(scope, e, "too many parts in one string");
	for (uint32_t i = 0; i < e->n_items; i++) {
		if (!expr_value(scope, e->items[i], &parts[i]))
			return false;
		if (parts[i].kind == VALUE_NUMBER)
			parts[i].bytes = decimal(digits[i], parts[i].number);
		len += parts[i].bytes.len;
	}
	struct writer w = writer_to(room_for(scope, e, len), len);
	if (scope->failed)
		return false;
	for (uint32_t i = 0; i < e->n_items; i++)
		wr_bytes(&w, parts[i].bytes);
	*value = (struct value){ .kind = VALUE_BYTES, .bytes = { w.at, len } };
	return true;
}

static bool made(struct scope *scope, const struct expr *e, struct value *value)
{
	uint64_t n;

	if (!expr_number(scope, e->left, &n))
		return false;
	if (n > scope->scratch->cap)
		return scope_fails(scope, e, "the value is larger than the room for one step");
	uint8_t *at = room_for(scope, e, n);
	if (!at)
		return false;
	scope->kind->make(scope, e->kind, at, n);
	*value = (struct value){ .kind = VALUE_BYTES, .bytes = { at, n } };
	return true;
}

bool expr_value(struct scope *scope, const struct expr *e, struct value *value)
{
	struct value left, right;

	*value = (struct value){ .kind = VALUE_ABSENT };
	switch (e->kind) {
	case EXPR_NUMBER:
		*value = (struct value){ .kind = VALUE_NUMBER, .number = e->number };
		return true;
	case EXPR_BYTES:
		*value = (struct value){ .kind = VALUE_BYTES, .bytes = e->bytes };
		return true;
	case EXPR_TOPIC:
		*value = (struct value){ .kind = VALUE_BYTES, .bytes = scope->topic };
		return true;
	case EXPR_VAR: case EXPR_ACTOR_FIELD:
		return scope->kind->look_up(scope, e, value) || scope_fails(scope, e, "the name is not bound here");
	case EXPR_CLIENT: case EXPR_PICK: case EXPR_COLUMN:
		return scope->kind->look_up(scope, e, value) || scope_fails(scope, e, "only a workload's clients have that");
	case EXPR_ARITH:
		return arith(scope, e, value);
	case EXPR_TEMPLATE:
		return joined(scope, e, value);
	case EXPR_FILL: case EXPR_RANDOM: case EXPR_STAMP:
		return made(scope, e, value);
	case EXPR_PAIR:
		if (!expr_value(scope, e->left, &left) || !expr_value(scope, e->right, &right))
			return false;
		*value = (struct value){ .kind = VALUE_PAIR, .bytes = left.bytes, .second = right.bytes };
		return true;
	case EXPR_ABSENT:
		return true;
	case EXPR_LIST:
		return scope_fails(scope, e, "a list stands where one value is needed");
	case EXPR_SCRAM:
		return scope_fails(scope, e, "scram() is what authentication_data is, and nothing else");
	}
	return scope_fails(scope, e, "unknown expression");
}

bool expr_number(struct scope *scope, const struct expr *e, uint64_t *number)
{
	struct value value;

	*number = 0;
	if (!expr_value(scope, e, &value))
		return false;
	if (value.kind != VALUE_NUMBER)
		return scope_fails(scope, e, "a number is needed here");
	*number = value.number;
	return true;
}
