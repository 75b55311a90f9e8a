#include "harness/parse.h"

/*
 * What stands behind a packet or a verb: fields of a send (assigns), filters, fields of an expectation (matches).
 * Properties, and reasons other than CONNACK's and SUBACK's, exist in 5 only. In an older version they are read
 * by 5's rules and then left out, so that one line serves all versions.
 */

void *more(struct parser *p, const void *list, uint32_t n, size_t size)
{
	void *grown;

	if (n & (n - 1))	/* room is a power of two, doubled when full */
		return (void *)list;
	grown = region_alloc(p->region, (n ? 2 * n : 1) * size);
	if (n)
		memcpy(grown, list, n * size);
	return grown;
}

/* ---- which field ---- */

static bool unknown_field(struct parser *p, const struct token *name, unsigned type)
{
	static const char *const others[] = { "size", "omit", "ends_after", "again", "remaining_length", "property_length" };
	struct nearest nearest = { .word = name->text };
	const struct field *field;

	for (size_t i = 0; (field = field_at((enum packet_type)type, MQTT_5, i)); i++)
		nearest_try(&nearest, field->name);
	for (size_t i = 0; !nearest.best && i < sizeof others / sizeof *others; i++)
		nearest_try(&nearest, others[i]);
	return fail_at(p, place_of(name), "unknown field `%s` of %s%s", shown(name->text), packet_name((enum packet_type)type),
	               token_word(name, "every") ? "; `every 1s { }` stands around what is done again" :
	               token_word(name, "inflight") || token_word(name, "in_flight") ? "; did you mean `in flight N`?" : did_you_mean(&nearest));
}

static bool find_field(struct parser *p, const struct token *name, unsigned type, const struct field **field)
{
	*field = field_find((enum packet_type)type, name->text);
	return *field || unknown_field(p, name, type);
}

/* Whether the version lacks what 5 has: to be left out. */
static bool left_out(const struct field *field, unsigned type, unsigned version)
{
	return version != MQTT_5 && !field_belongs(field, (enum packet_type)type, (enum version)version) &&
	       (field->property || field->limit == REASON) && field_belongs(field, (enum packet_type)type, MQTT_5);
}

static bool is_flag(const struct field *field)
{
	return (field->kind == BITS && field->width == 1) || field->limit == BOOL;
}

static const struct expr *one(struct parser *p, struct place at)
{
	struct expr *expr = expr_new(p, EXPR_NUMBER, at);

	expr->number = 1;
	return expr;
}

/* ---- sends ---- */

/* A part that is no field: what it is called, and what stands behind '='. */
static const struct lie {
	const char *name;
	enum assign_kind kind;
	enum { OF_FIELD, OF_LENGTH, OF_BYTES, OF_COUNT } of;
	bool honest;		/* needs no '!' */
} lies[] = {
	{ "omit",			ASSIGN_OMIT,			OF_FIELD,	false },
	{ "ends_after",			ASSIGN_ENDS_AFTER,		OF_FIELD,	false },
	{ "remaining_length",		ASSIGN_REMAINING_LENGTH,	OF_LENGTH,	false },
	{ "property_length",		ASSIGN_PROPERTY_LENGTH,		OF_LENGTH,	false },
	{ "will.property_length",	ASSIGN_WILL_PROPERTY_LENGTH,	OF_LENGTH,	false },
	{ "trailing",			ASSIGN_TRAILING,		OF_BYTES,	false },
	{ "property",			ASSIGN_RAW_PROPERTY,		OF_BYTES,	false },
	{ "will.property",		ASSIGN_RAW_WILL_PROPERTY,	OF_BYTES,	false },
	{ "size",			ASSIGN_SIZE,			OF_COUNT,	true },
};

static const struct lie *lie_named(struct span name)
{
	for (size_t i = 0; i < sizeof lies / sizeof *lies; i++)
		if (span_is(name, lies[i].name))
			return &lies[i];
	return NULL;
}

static bool parse_lie(struct parser *p, const struct lie *lie, unsigned type, unsigned version, struct assign *assign)
{
	const struct token *name;

	bool true_length = lie->kind == ASSIGN_PROPERTY_LENGTH && token_is(now(p), '=') && ahead(p, 1)->kind == TOKEN_NUMBER &&
	                   !ahead(p, 1)->number;	/* there, although it could be left out */

	assign->kind = lie->kind;
	if (!assign->illegal && !lie->honest && !true_length)
		return fail_at(p, assign->at, "`%s` makes a packet that is wrong on purpose; write `!%s`", lie->name, lie->name);
	if (!need_sign(p, '='))
		return false;
	if (lie->of == OF_FIELD) {
		name = now(p);
		if (name->kind != TOKEN_WORD)
			return expected(p, "a field's name");
		take(p);
		return find_field(p, name, type, &assign->field);
	}
	if (lie->of == OF_COUNT)
		return (assign->value = parse_count(p, "a number of bytes"));
	assign->value = parse_value(p, &(struct target){ .version = (uint8_t)version, .sending = true });
	if (!assign->value)
		return false;
	if (lie->of == OF_BYTES && assign->value->kind == EXPR_NUMBER)
		return fail_at(p, assign->value->at, "expected bytes such as hex\"26 00\"");
	if (lie->of == OF_LENGTH && assign->value->kind == EXPR_NUMBER && assign->value->number > VARINT_MAX)
		return fail_at(p, assign->value->at, "a length is 0 to %u; write longer forms as hex\"...\"", VARINT_MAX);
	return true;
}

static bool misplaced(struct parser *p, struct place at, const struct field *field, unsigned type, unsigned version)
{
	if (!field_belongs(field, (enum packet_type)type, MQTT_5))
		return fail_at(p, at, "%s does not belong in %s; write `!%s` if that is meant", field->name,
		               packet_name((enum packet_type)type), field->name);
	return fail_at(p, at, "%s of %s exists in 5 only, not in %s", field->name, packet_name((enum packet_type)type),
	               version_name(version));
}

/* FIELD=VALUE behind '!' and `again`; *dropped when the version has no such field. */
static bool parse_assign(struct parser *p, unsigned type, unsigned version, struct assign *assign, bool *dropped)
{
	const struct token *name = now(p);
	struct target target = { .type = (uint8_t)type, .version = (uint8_t)version, .sending = true };

	if (name->kind != TOKEN_WORD)
		return expected(p, "a field's name");
	take(p);
	if (!find_field(p, name, type, &assign->field))
		return false;
	target.field = assign->field;
	*dropped = left_out(assign->field, type, version);
	if (*dropped && assign->illegal)
		return fail_at(p, assign->at, "%s has no %s in %s, not even a wrong one", version_name(version), assign->field->name,
		               packet_name((enum packet_type)type));
	if (*dropped)
		target.version = MQTT_5;
	else if (!assign->illegal && !field_belongs(assign->field, (enum packet_type)type, (enum version)version))
		return misplaced(p, assign->at, assign->field, type, version);
	if (!take_sign_if(p, '=')) {
		if (!is_flag(assign->field))
			return expected(p, "`=` and a value");
		assign->value = one(p, place_of(name));
		return true;
	}
	return (assign->value = parse_value(p, &target));
}

/* ---- filters ---- */

static bool parse_option(struct parser *p, unsigned type, unsigned version, struct assign *option)
{
	bool dropped = false;

	*option = (struct assign){ .kind = ASSIGN_FIELD, .at = place_of(now(p)), .illegal = take_sign_if(p, '!') };
	if (type != SUBSCRIBE)
		return fail_at(p, option->at, "expected `,` or `)`: the filters of %s have no options", packet_name((enum packet_type)type));
	return parse_assign(p, type, version, option, &dropped);
}

static bool parse_filter(struct parser *p, unsigned type, unsigned version, struct parts *parts)
{
	struct filter_expr filter = { .filter = NULL };
	struct assign options[8];
	const struct expr *value = parse_value(p, &(struct target){ .version = (uint8_t)version, .sending = true });

	if (!value)
		return false;
	if (value->kind == EXPR_NUMBER || value->kind == EXPR_ARITH || value->kind == EXPR_LIST || value->kind == EXPR_PAIR)
		return fail_at(p, value->at, "expected a topic filter, a string");
	if (value->kind == EXPR_BYTES && value->bytes.len > 0xffff)
		return fail_at(p, value->at, "a filter has at most 65535 bytes");
	filter.filter = value;
	while (!token_is(now(p), ',') && !token_is(now(p), ')')) {
		if (filter.n_options == sizeof options / sizeof *options)
			return fail_at(p, place_of(now(p)), "too many options");
		if (!parse_option(p, type, version, &options[filter.n_options]))
			return false;
		parts->illegal |= options[filter.n_options++].illegal;
	}
	filter.options = region_alloc(p->region, (filter.n_options + 1) * sizeof *options);
	memcpy((void *)filter.options, options, filter.n_options * sizeof *options);
	parts->filters = more(p, parts->filters, parts->n_filters, sizeof filter);
	parts->filters[parts->n_filters++] = filter;
	return true;
}

static bool parse_filters(struct parser *p, unsigned type, unsigned version, struct parts *parts)
{
	if (type != SUBSCRIBE && type != UNSUBSCRIBE)
		return fail_at(p, place_of(now(p)), "%s has no filters", packet_name((enum packet_type)type));
	if (parts->filters_given)
		return fail_at(p, place_of(now(p)), "filters stand twice; separate them by `,` in one ( )");
	parts->filters_given = true;
	take(p);
	if (take_sign_if(p, ')'))
		return true;
	for (;;) {
		if (parts->n_filters == MAX_PARTS)
			return fail_at(p, place_of(now(p)), "more than %d filters", MAX_PARTS);
		if (!parse_filter(p, type, version, parts))
			return false;
		if (take_sign_if(p, ')'))
			return true;
		if (!take_sign_if(p, ','))
			return expected(p, "`,` or `)`");
	}
}

/* ---- what ends the fields ---- */

bool at_frame(const struct parser *p)
{
	return token_word(ahead(p, token_is(now(p), '!')), "frame");
}

static bool ends_fields(const struct parser *p)
{
	static const char *const words[] = { "gets", "within", "after", "of", "as", "in", "or", "once" };

	if (at_line_end(p) || token_is(now(p), '[') || token_is(now(p), '{') || at_frame(p))
		return true;
	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
		if (token_word(now(p), words[i]))
			return true;
	return false;
}

static bool add_assign(struct parser *p, unsigned type, unsigned version, struct parts *parts)
{
	struct assign assign = { .kind = ASSIGN_FIELD, .at = place_of(now(p)) };
	const struct lie *lie;
	bool dropped = false;

	assign.illegal = take_sign_if(p, '!');
	parts->illegal |= assign.illegal;
	lie = now(p)->kind == TOKEN_WORD && !field_find((enum packet_type)type, now(p)->text) ? lie_named(now(p)->text) : NULL;
	if (lie) {
		take(p);
		if (!parse_lie(p, lie, type, version, &assign))
			return false;
	} else {
		if (token_word(now(p), "again")) {
			if (!assign.illegal)
				return fail_at(p, assign.at, "a field given `again` is wrong on purpose; write `!again`");
			take(p);
			assign.kind = ASSIGN_AGAIN;
		}
		if (!parse_assign(p, type, version, &assign, &dropped))
			return false;
		if (assign.kind == ASSIGN_AGAIN && !assign.field->property)
			return fail_at(p, assign.at, "only a property can stand again");
	}
	if (dropped)
		return true;
	parts->assigns = more(p, parts->assigns, parts->n_assigns, sizeof assign);
	parts->assigns[parts->n_assigns++] = assign;
	return true;
}

bool parse_assigns(struct parser *p, unsigned type, unsigned version, struct parts *parts)
{
	while (!ends_fields(p)) {
		if (parts->n_assigns == MAX_PARTS)
			return fail_at(p, place_of(now(p)), "more than %d fields", MAX_PARTS);
		if (token_is(now(p), '(')) {
			if (!parse_filters(p, type, version, parts))
				return false;
		} else if (now(p)->kind == TOKEN_WORD || token_is(now(p), '!')) {
			if (!add_assign(p, type, version, parts))
				return false;
		} else if (now(p)->kind == TOKEN_STRING && (type == SUBSCRIBE || type == UNSUBSCRIBE)) {
			return expected(p, "the filters in brackets, `(\"a/b\" qos=1)`");
		} else {
			return expected(p, "a field or the end of the line");
		}
	}
	return true;
}

/* ---- expectations ---- */

static struct pattern *pattern_new(struct parser *p, enum pattern_kind kind, struct place at)
{
	struct pattern *pattern = region_alloc(p->region, sizeof *pattern);

	pattern->kind = kind;
	pattern->at = at;
	return pattern;
}

static void set_items(struct parser *p, struct pattern *pattern, const struct pattern **items, uint32_t n)
{
	pattern->items = region_alloc(p->region, (n + 1) * sizeof *items);
	if (n)
		memcpy(pattern->items, items, n * sizeof *items);
	pattern->n_items = n;
}

static const struct pattern *one_of(struct parser *p, const struct target *target, struct place at, bool *dropped)
{
	const struct pattern *items[MAX_COLUMNS];
	struct pattern *pattern = pattern_new(p, PATTERN_ONE_OF, at);
	struct target inner = *target;
	uint32_t n = 0, n_dropped = 0;

	inner.optional = true;
	do {
		bool lost = false;

		if (n == MAX_COLUMNS) {
			fail_at(p, place_of(now(p)), "more than %d alternatives", MAX_COLUMNS);
			return NULL;
		}
		items[n] = parse_pattern(p, &inner, &lost);
		if (!items[n] && !lost)
			return NULL;
		n_dropped += lost;
		n += !lost;
	} while (take_sign_if(p, '|'));
	if (!need_sign(p, ')'))
		return NULL;
	if (!n && n_dropped) {
		if (target->optional)
			*dropped = true;
		else
			fail_at(p, at, "%s has none of these reasons for %s", version_name(target->version), packet_name(target->type));
		return NULL;
	}
	set_items(p, pattern, items, n);
	return pattern;
}

static const struct pattern *list_of(struct parser *p, const struct target *target, struct place at, bool *dropped)
{
	const struct pattern **items = NULL;
	struct pattern *pattern = pattern_new(p, PATTERN_LIST, at);
	uint32_t n = 0;

	while (!take_sign_if(p, ']')) {
		if (n == MAX_PARTS) {
			fail_at(p, place_of(now(p)), "more than %d values in a list", MAX_PARTS);
			return NULL;
		}
		items = more(p, items, n, sizeof *items);
		items[n] = parse_pattern(p, target, dropped);
		if (!items[n++])
			return NULL;
	}
	if (target->field && !(target->field->repeats || target->field->kind == PAIR || target->field->kind == CODES)) {
		fail_at(p, at, "%s is one value, no list", target->field->name);
		return NULL;
	}
	set_items(p, pattern, items, n);
	return pattern;
}

/* A value by itself, the low end of a range, or the first half of a pair. */
static const struct pattern *value_pattern(struct parser *p, const struct target *target, bool *dropped)
{
	struct place at = place_of(now(p));
	struct target half = { .version = target->version, .half = true };
	bool pair = target->field && target->field->kind == PAIR;
	struct pattern *pattern;
	const struct expr *value;
	bool failed = p->failed;

	if (target->optional)
		p->failed = false;
	value = parse_value(p, pair ? &half : target);
	if (!value) {
		*dropped = target->optional && !p->failed;
		p->failed |= failed;
		return NULL;
	}
	p->failed |= failed;
	pattern = pattern_new(p, PATTERN_EQUAL, at);
	pattern->value = value;
	if (value->kind == EXPR_ABSENT) {
		pattern->kind = PATTERN_ABSENT;
	} else if (now(p)->kind == TOKEN_RANGE) {
		take(p);
		pattern->kind = PATTERN_RANGE;
		pattern->high = parse_value(p, pair ? &half : target);
		if (!pattern->high)
			return NULL;
		if (value->kind == EXPR_NUMBER && pattern->high->kind == EXPR_NUMBER && value->number > pattern->high->number) {
			fail_at(p, at, "the range is empty: its low end is above its high end");
			return NULL;
		}
	}
	return pattern;
}

static const struct pattern *compared(struct parser *p, enum pattern_kind kind, const struct target *target)
{
	struct pattern *pattern = pattern_new(p, kind, place_of(take(p)));

	pattern->value = parse_value(p, target);
	if (pattern->value && pattern->value->kind == EXPR_BYTES) {
		fail_at(p, pattern->value->at, "expected a number");
		return NULL;
	}
	return pattern->value ? pattern : NULL;
}

static bool comparison(const struct token *t, enum pattern_kind *kind)
{
	*kind = token_is(t, '<') ? PATTERN_LESS : token_is(t, '>') ? PATTERN_MORE : t->kind == TOKEN_AT_MOST ? PATTERN_AT_MOST :
	        t->kind == TOKEN_AT_LEAST ? PATTERN_AT_LEAST : PATTERN_ANY;
	return *kind != PATTERN_ANY;
}

static const struct pattern *parse_inner_pattern(struct parser *p, const struct target *target, bool *dropped)
{
	const struct token *t = now(p);
	const struct pattern *item;
	struct pattern *pattern;
	enum pattern_kind kind;

	if (comparison(t, &kind))
		return compared(p, kind, target);
	if (token_word(t, "present")) {
		take(p);
		return pattern_new(p, PATTERN_PRESENT, place_of(t));
	}
	if (token_word(t, "not")) {
		take(p);
		item = parse_pattern(p, target, dropped);
		if (!item)
			return NULL;
		pattern = pattern_new(p, PATTERN_NOT, place_of(t));
		set_items(p, pattern, &item, 1);
		return pattern;
	}
	if (token_is(t, '~')) {
		take(p);
		pattern = pattern_new(p, PATTERN_TOPIC, place_of(t));
		pattern->value = parse_value(p, target);
		return pattern->value ? pattern : NULL;
	}
	if (take_sign_if(p, '('))
		return one_of(p, target, place_of(t), dropped);
	if (take_sign_if(p, '['))
		return list_of(p, target, place_of(t), dropped);
	return value_pattern(p, target, dropped);
}

const struct pattern *parse_pattern(struct parser *p, const struct target *target, bool *dropped)
{
	const struct pattern *pattern, *halves[2];
	struct pattern *pair;

	if (++p->expr_depth > MAX_EXPR_DEPTH) {
		fail_at(p, place_of(now(p)), "nested too deep");
		return NULL;
	}
	pattern = parse_inner_pattern(p, target, dropped);
	if (pattern && target->field && target->field->kind == PAIR && pattern->kind != PATTERN_LIST && pattern->kind != PATTERN_ONE_OF &&
	    pattern->kind != PATTERN_NOT && !(pattern->kind >= PATTERN_ABSENT && pattern->kind <= PATTERN_PRESENT && !token_is(now(p), ':'))) {
		if (!take_sign_if(p, ':')) {
			fail_at(p, pattern->at, "%s is a pair; write \"name\":\"value\"", target->field->name);
			return NULL;
		}
		halves[0] = pattern;
		halves[1] = parse_inner_pattern(p, target, dropped);
		if (!halves[1])
			return NULL;
		pair = pattern_new(p, PATTERN_PAIR, pattern->at);
		set_items(p, pair, halves, 2);
		pattern = pair;
	}
	p->expr_depth--;
	return pattern;
}

/* Whether leaving the match out loses nothing: an old acknowledgement has no reason, and means success. */
static bool means_success(const struct match *match)
{
	return match->field->limit == REASON && match->pattern->kind == PATTERN_EQUAL &&
	       match->pattern->value->kind == EXPR_NUMBER && match->pattern->value->number == 0;
}

static bool bind_match(struct parser *p, struct match *match, bool lost)
{
	int32_t slot;

	if (!take_word_if(p, "as"))
		return true;
	if (!bind_name(p, now(p), lost ? NAME_LOST : NAME_VALUE, &slot))
		return false;
	take(p);
	match->bind = lost ? -1 : slot;
	return true;
}

static bool match_field(struct parser *p, const struct token *name, unsigned type, unsigned version, const struct field **field,
                        bool *lost)
{
	if (name->kind != TOKEN_WORD)
		return expected(p, "a field or the end of the line");
	take(p);
	if (!find_field(p, name, type, field))
		return false;
	*lost = left_out(*field, type, version);
	if (*lost || field_belongs(*field, (enum packet_type)type, (enum version)version))
		return true;
	if (!field_belongs(*field, (enum packet_type)type, MQTT_5))
		return fail_at(p, place_of(name), "%s does not belong in %s and cannot be expected there", (*field)->name,
		               packet_name((enum packet_type)type));
	return fail_at(p, place_of(name), "%s of %s exists in 5 only, not in %s", (*field)->name,
	               packet_name((enum packet_type)type), version_name(version));
}

static bool parse_match(struct parser *p, unsigned type, unsigned version, struct parts *parts)
{
	const struct token *name = now(p);
	struct match match = { .at = place_of(name), .bind = -1 };
	struct target target = { .type = (uint8_t)type, .version = (uint8_t)version };
	struct pattern *pattern;
	enum pattern_kind kind;
	uint32_t from = p->at;
	bool lost = false, dropped = false;

	if (token_is(name, '!'))
		return fail_at(p, match.at, "`!` marks what we send; an expectation has none");
	if (!match_field(p, name, type, version, &match.field, &lost))
		return false;
	target.field = match.field;
	if (lost)
		target.version = MQTT_5;
	if (take_sign_if(p, '=') || comparison(now(p), &kind) || token_is(now(p), '~')) {
		match.pattern = parse_pattern(p, &target, &dropped);
		if (!match.pattern)
			return false;
	} else if (token_word(now(p), "as")) {
		match.pattern = pattern_new(p, PATTERN_ANY, match.at);
	} else if (is_flag(match.field)) {
		pattern = pattern_new(p, PATTERN_EQUAL, match.at);
		pattern->value = one(p, match.at);
		match.pattern = pattern;
	} else {
		return expected(p, "`=` and what is expected, or `as $name`");
	}
	if (!bind_match(p, &match, lost))
		return false;
	if (lost) {
		parts->n_dropped += !means_success(&match);
		return true;
	}
	match.text = text_between(p, from, p->at);
	parts->matches = more(p, parts->matches, parts->n_matches, sizeof match);
	parts->matches[parts->n_matches++] = match;
	return true;
}

bool parse_matches(struct parser *p, unsigned type, unsigned version, struct parts *parts)
{
	while (!ends_fields(p)) {
		if (parts->n_matches == MAX_PARTS)
			return fail_at(p, place_of(now(p)), "more than %d fields", MAX_PARTS);
		if (token_is(now(p), '(') && p->kind == FILE_FAULT)
			return fail_at(p, place_of(now(p)), "filters in an expectation are not yet played");
		if (!parse_match(p, type, version, parts))
			return false;
	}
	return true;
}
