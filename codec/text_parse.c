#include "codec/text.h"

#include "codec/lex.h"

/*
 * One packet in text form. The notation's own grammar of fields, filters and values, as far as they are
 * constant; names, expectations and arithmetic are the scenario parser's.
 */

struct text {
	struct lexer lexer;
	struct token now;
	struct fault *fault;
	struct arena *arena;
	struct builder *builder;
	enum packet_type type;
	enum version version;
	enum status status;		/* what stopped it */
};

/* ---- faults ---- */

static void add_text(struct fault *fault, size_t *n, struct span s)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < s.len && *n + 5 < sizeof fault->text; i++) {
		if (s.at[i] >= ' ' && s.at[i] < 0x7f) {
			fault->text[(*n)++] = (char)s.at[i];
			continue;
		}
		memcpy(fault->text + *n, "\\x", 2);
		fault->text[*n + 2] = digits[s.at[i] >> 4];
		fault->text[*n + 3] = digits[s.at[i] & 15];
		*n += 4;
	}
	fault->text[*n] = '\0';
}

static bool bad_at(struct text *t, const struct token *at, const char *what, struct span quoted, const char *more)
{
	size_t n = 0;

	t->status = CODEC_BAD;
	t->fault->line = at->line;
	t->fault->column = at->column;
	add_text(t->fault, &n, span_text(what));
	if (quoted.len > 60)
		quoted.len = 60;
	add_text(t->fault, &n, quoted);
	add_text(t->fault, &n, span_text(more));
	return false;
}

static bool expected(struct text *t, const char *what)
{
	if (t->now.kind == TOKEN_BAD)
		return bad_at(t, &t->now, t->now.why, (struct span){ 0 }, "");
	return bad_at(t, &t->now, "expected ", span_text(what), t->now.kind == TOKEN_END ? ", found the end" : "");
}

static bool limit(struct text *t)
{
	t->status = CODEC_LIMIT;
	return false;
}

static struct token take(struct text *t)
{
	struct token token = t->now;

	t->now = lex_next(&t->lexer);
	return token;
}

static bool take_sign(struct text *t, char sign)
{
	if (!token_is(&t->now, sign))
		return false;
	take(t);
	return true;
}

static bool need_sign(struct text *t, char sign)
{
	char what[4] = { '`', sign, '`' };

	return take_sign(t, sign) || expected(t, what);
}

/* ---- values ---- */

static bool has_template(const struct token *token)
{
	struct span rest = span_of(token->text.at + 1, token->text.len - 2), literal, expr;
	bool found = false;

	while (!found && lex_piece(&rest, &literal, &expr, &found))
		;
	return found;
}

static bool text_bytes(struct text *t, struct span *bytes)
{
	struct token token = t->now;
	struct writer w = writer_to(NULL, 0);
	uint8_t *room;

	if (token.kind != TOKEN_STRING && token.kind != TOKEN_HEX)
		return expected(t, "a string or hex\"...\"");
	if (token.kind == TOKEN_STRING && has_template(&token))
		return bad_at(t, &token, "expected a constant, found $( ) in the string", (struct span){ 0 }, "");
	take(t);
	lex_bytes(&token, &w);
	room = w.len ? arena_take(t->arena, w.len) : NULL;
	if (w.len && !room)
		return limit(t);
	w = writer_to(room, w.len);
	lex_bytes(&token, &w);
	*bytes = wr_span(&w);
	return true;
}

static bool reason_value(struct text *t, struct value *value)
{
	struct token token = take(t);
	int code = reason_code(t->type, t->version, token.text);

	if (code < 0)
		return bad_at(t, &token, "unknown reason `", token.text, "`");
	*value = (struct value){ .kind = VALUE_NUMBER, .number = (uint64_t)code };
	return true;
}

static bool one_value(struct text *t, const struct field *field, struct value *value)
{
	*value = (struct value){ .kind = VALUE_BYTES };
	if (t->now.kind == TOKEN_NUMBER && t->now.unit != UNIT_TIME && t->now.unit != UNIT_RATE) {
		*value = (struct value){ .kind = VALUE_NUMBER, .number = t->now.number };
		take(t);
		return true;
	}
	if (token_word(&t->now, "absent")) {
		take(t);
		value->kind = VALUE_ABSENT;
		return true;
	}
	if (t->now.kind == TOKEN_WORD && field && field->limit == REASON)
		return reason_value(t, value);
	if (!text_bytes(t, &value->bytes))
		return false;
	if (!take_sign(t, ':'))
		return true;
	value->kind = VALUE_PAIR;
	return text_bytes(t, &value->second);
}

static bool give(struct text *t, const struct token *at, const struct field *field, const struct value *value, bool again)
{
	enum status status = again ? builder_again(t->builder, field, value) : builder_set(t->builder, field, value);

	if (status == CODEC_LIMIT)
		return limit(t);
	return status == CODEC_OK || bad_at(t, at, "not a value that ", span_text(field->name), " can take, or out of its range");
}

/* VALUE or [VALUE ...] */
static bool field_value(struct text *t, const struct field *field, bool again)
{
	struct token at = t->now;
	struct value value;

	if (!take_sign(t, '['))
		return one_value(t, field, &value) && give(t, &at, field, &value, again);
	while (!take_sign(t, ']')) {
		at = t->now;
		if (!one_value(t, field, &value) || !give(t, &at, field, &value, again))
			return false;
	}
	return true;
}

/* ---- parts ---- */

static bool find_field(struct text *t, const struct field **field)
{
	if (t->now.kind != TOKEN_WORD)
		return expected(t, "a field");
	*field = field_find(t->type, t->now.text);
	if (!*field)
		return bad_at(t, &t->now, "unknown field `", t->now.text, "`");
	take(t);
	return true;
}

/* A length: raw bytes, or a number in its shortest form. */
static bool length_value(struct text *t, struct span *bytes)
{
	struct writer w;
	uint8_t *room;

	if (t->now.kind != TOKEN_NUMBER)
		return text_bytes(t, bytes);
	if (t->now.number > VARINT_MAX)
		return expected(t, "a length of at most 268435455, or hex\"...\"");
	room = arena_take(t->arena, 4);
	if (!room)
		return limit(t);
	w = writer_to(room, 4);
	wr_varint(&w, (uint32_t)take(t).number);
	*bytes = wr_span(&w);
	return true;
}

static bool raw_property(struct text *t, bool will)
{
	struct span bytes;
	enum status status;

	if (!text_bytes(t, &bytes))
		return false;
	status = builder_raw_property(t->builder, will, bytes);
	return status == CODEC_OK || (status == CODEC_LIMIT ? limit(t) : expected(t, "the bytes of a property"));
}

static bool omitted(struct text *t)
{
	struct lies *lies = &t->builder->lies;
	const struct field *field;
	size_t i = 0;

	if (!find_field(t, &field))
		return false;
	while (i < sizeof lies->omit / sizeof *lies->omit && lies->omit[i])
		i++;
	if (i == sizeof lies->omit / sizeof *lies->omit)
		return expected(t, "at most four fields left out");
	lies->omit[i] = field;
	return true;
}

static bool padded(struct text *t)
{
	if (t->now.kind != TOKEN_NUMBER || t->now.number > VARINT_MAX + UINT64_C(5))
		return expected(t, "a number of bytes");
	t->builder->size = (size_t)take(t).number;
	return true;
}

/* Without '!' the length is true, 0: it is there although it could be left out. */
static bool property_length(struct text *t, bool marked)
{
	if (marked || t->now.kind != TOKEN_NUMBER || t->now.number)
		return length_value(t, &t->builder->lies.property_length);
	take(t);
	t->builder->packet.written |= WRITTEN_REASON | WRITTEN_PROPERTIES;
	return true;
}

/* A part that is no field of the packet; -1 when the word is none of these. */
static int parse_lie(struct text *t, const struct token *word, bool marked)
{
	static const char *const names[] = { "omit", "ends_after", "remaining_length", "property_length", "will.property_length",
	                                     "trailing", "property", "will.property", "size" };
	struct lies *lies = &t->builder->lies;
	size_t i = 0;

	while (i < sizeof names / sizeof *names && !token_word(word, names[i]))
		i++;
	if (i == sizeof names / sizeof *names)
		return -1;
	if (!need_sign(t, '='))
		return false;
	switch (i) {
	case 0: return omitted(t);
	case 1: return find_field(t, &lies->ends_after);
	case 2: return length_value(t, &lies->remaining_length);
	case 3: return property_length(t, marked);
	case 4: return length_value(t, &lies->will_property_length);
	case 5: return text_bytes(t, &lies->trailing);
	case 6: return raw_property(t, false);
	case 7: return raw_property(t, true);
	default: return padded(t);
	}
}

static bool parse_part(struct text *t)
{
	const struct field *field;
	struct token word;
	bool again = false, marked = take_sign(t, '!');
	int lie;

	if (token_word(&t->now, "again")) {
		take(t);
		again = true;
	}
	word = t->now;
	if (!again && word.kind == TOKEN_WORD && !field_find(t->type, word.text)) {
		take(t);
		lie = parse_lie(t, &word, marked);
		return lie >= 0 ? lie : bad_at(t, &word, "unknown field `", word.text, "`");
	}
	if (!find_field(t, &field))
		return false;
	if (take_sign(t, '='))
		return field_value(t, field, again);
	return give(t, &word, field, &(struct value){ .kind = VALUE_NUMBER, .number = 1 }, again);
}

/* ---- filters ---- */

static bool parse_option(struct text *t, uint64_t *options)
{
	const struct field *field;
	struct token at;
	uint64_t n = 1, max;

	take_sign(t, '!');
	at = t->now;
	if (!find_field(t, &field))
		return false;
	if (t->type != SUBSCRIBE || (field->kind != BITS && strcmp(field->name, "options")))
		return bad_at(t, &at, "`", at.text, "` is no option of a filter here");
	max = field->kind == BITS ? (1u << field->width) - 1 : 0xff;
	if (take_sign(t, '=')) {
		if (t->now.kind != TOKEN_NUMBER || t->now.number > max)
			return expected(t, max == 0xff ? "a byte" : "a number that fits the option");
		n = take(t).number;
	}
	*options = field->kind == BITS ? (*options & ~(max << field->shift)) | n << field->shift : n;
	return true;
}

static bool parse_filters(struct text *t)
{
	const struct field *list = field_find(t->type, span_text("filters"));
	struct token at = take(t);

	if (!list)
		return bad_at(t, &at, "this packet has no filters", (struct span){ 0 }, "");
	while (!take_sign(t, ')')) {
		struct value value = { .kind = VALUE_FILTER };

		at = t->now;
		if (!text_bytes(t, &value.bytes))
			return false;
		while (!token_is(&t->now, ',') && !token_is(&t->now, ')'))
			if (!parse_option(t, &value.number))
				return false;
		if (!give(t, &at, list, &value, false))
			return false;
		if (!take_sign(t, ',') && !token_is(&t->now, ')'))
			return expected(t, "`,` or `)`");
	}
	return true;
}

/* ---- the packet ---- */

static bool parse_packet(struct text *t)
{
	struct token name;

	while (t->now.kind == TOKEN_LINE)
		take(t);
	take_sign(t, '!');
	name = t->now;
	if (name.kind != TOKEN_WORD)
		return expected(t, "a packet such as PUBLISH");
	take(t);
	t->type = packet_type_named(name.text);
	if (!t->type)
		return bad_at(t, &name, "unknown packet `", name.text, "`");
	builder_start(t->builder, t->type, t->version, t->arena);
	while (t->now.kind != TOKEN_END && t->now.kind != TOKEN_LINE) {
		if (token_is(&t->now, '(') ? !parse_filters(t) : !parse_part(t))
			return false;
	}
	while (t->now.kind == TOKEN_LINE)
		take(t);
	return t->now.kind == TOKEN_END || expected(t, "one packet only");
}

enum status packet_parse(struct span text, enum version version, struct arena *arena, struct builder *b, struct fault *fault)
{
	struct text t = { .fault = fault, .arena = arena, .builder = b, .version = version, .status = CODEC_OK };

	lex_init(&t.lexer, text);
	t.now = lex_next(&t.lexer);
	parse_packet(&t);
	return t.status;
}
