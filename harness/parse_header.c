#include "harness/parse.h"

#include <stdio.h>

static const char *const header_words[] = {
	"mqtt", "cites", "watches", "needs", "case", "actor", "server", "tags", "alone", "bulk", "param",
};

bool is_header_word(const struct token *token)
{
	for (size_t i = 0; i < sizeof header_words / sizeof *header_words; i++)
		if (token_word(token, header_words[i]))
			return true;
	return false;
}

uint8_t parse_version(const struct token *token)
{
	if (token->kind == TOKEN_NUMBER && token->number == MQTT_5 && span_is(token->text, "5"))
		return MQTT_5;
	if (token->kind != TOKEN_VERSION)
		return 0;
	return span_is(token->text, "3.1.1") ? MQTT_3_1_1 : span_is(token->text, "3.1") ? MQTT_3_1 : 0;
}

static bool need_version(struct parser *p, uint8_t *version)
{
	*version = parse_version(now(p));
	if (!*version)
		return expected(p, "a version: 3.1, 3.1.1 or 5");
	take(p);
	return true;
}

static void skip_line(struct parser *p)
{
	unsigned depth = 0;

	while (now(p)->kind != TOKEN_END && (depth || now(p)->kind != TOKEN_LINE)) {
		depth += token_is(now(p), '{');
		depth -= depth && token_is(now(p), '}');
		take(p);
	}
}

static bool need_line_end(struct parser *p, const char *what)
{
	return now(p)->kind == TOKEN_LINE || now(p)->kind == TOKEN_END || expected(p, what);
}

/* ---- the lines that hold for the whole file ---- */

static bool parse_mqtt(struct parser *p)
{
	if (p->n_versions)
		return fail_at(p, place_of(now(p)), "`mqtt` stands twice; put all versions into one line");
	do {
		struct place at = place_of(now(p));
		uint8_t version;

		if (!need_version(p, &version))
			return false;
		for (uint32_t i = 0; i < p->n_versions; i++)
			if (p->versions[i] == version)
				return fail_at(p, at, "version %s stands twice", version_name(version));
		p->versions[p->n_versions++] = version;
	} while (now(p)->kind != TOKEN_LINE && now(p)->kind != TOKEN_END);
	return true;
}

static bool no_clause(struct parser *p, uint8_t version, const struct token *token)
{
	struct nearest nearest = { .word = token->text };
	const struct clause *clause;

	for (size_t i = 0; (clause = clause_at(i)); i++) {
		if (clause->version == version)
			nearest_try(&nearest, clause->id);
		else if (span_is(token->text, clause->id) && !(clause->version == MQTT_3_1 || version == MQTT_3_1))
			return fail_at(p, place_of(token), "%s is no clause of %s; it is one of %s", clause->id, version_name(version),
			               version_name(clause->version));
	}
	return fail_at(p, place_of(token), "unknown clause `%s` of %s%s", shown(token->text), version_name(version),
	               did_you_mean(&nearest));
}

static bool parse_citations(struct parser *p, struct citation *list, uint32_t *n)
{
	uint8_t version;

	if (!need_version(p, &version))
		return false;
	do {
		const struct token *token = now(p);
		const struct clause *clause;

		if (token->kind != TOKEN_WORD)
			return expected(p, "a clause such as MQTT-3.3.1-2");
		take(p);
		clause = clause_find(version, token->text);
		if (!clause || (version == MQTT_3_1 && clause->version != MQTT_3_1)) {
			no_clause(p, version, token);
			continue;
		}
		for (uint32_t i = 0; i < *n; i++)
			if (list[i].version == version && span_is(token->text, list[i].id))
				return fail_at(p, place_of(token), "%s:%s stands twice", version_name(version), clause->id);
		if (*n == MAX_FILE_CITES)
			return fail_at(p, place_of(token), "more than %d clauses in one file", MAX_FILE_CITES);
		list[(*n)++] = (struct citation){ version, clause->id, place_of(token), false };
	} while (now(p)->kind != TOKEN_LINE && now(p)->kind != TOKEN_END);
	return true;
}

static bool parse_tags(struct parser *p)
{
	const char **tags;

	while (now(p)->kind == TOKEN_WORD) {
		tags = region_alloc(p->region, (p->n_tags + 1) * sizeof *tags);
		if (p->n_tags)
			memcpy(tags, p->tags, p->n_tags * sizeof *tags);
		tags[p->n_tags++] = region_string(p->region, take(p)->text);
		p->tags = tags;
		if (p->n_tags > MAX_COLUMNS)
			return fail_at(p, place_of(now(p)), "more than %d tags", MAX_COLUMNS);
	}
	return p->n_tags || expected(p, "a tag");
}

/* The tokens of a value given by -D, in place of those in the file. */
static bool given_value(struct parser *p, struct column *column)
{
	for (size_t i = 0; i < p->n_params; i++) {
		struct lexer lexer;
		struct token *tokens;
		uint32_t n = 0, at = 0;
		struct parser inner;

		if (!span_is(column->name, p->params[i].name))
			continue;
		tokens = region_alloc(&p->scratch, (strlen(p->params[i].value) + 1) * sizeof *tokens);
		lex_init(&lexer, span_text(p->params[i].value));
		do {
			tokens[n] = lex_next(&lexer);
			if (tokens[n].kind == TOKEN_BAD)
				return fail_at(p, column->at, "-D %s=%s: %s", p->params[i].name, shown(span_text(p->params[i].value)),
				               tokens[n].why);
			tokens[n].line = column->at.line;
			tokens[n].column = column->at.column;
		} while (tokens[n++].kind != TOKEN_END);
		inner = *p;
		inner.tokens = tokens;
		inner.n_tokens = n;
		inner.at = 0;
		if (n == 1 || !primary_end(&inner, &at) || tokens[at].kind != TOKEN_END)
			return fail_at(p, column->at, "-D %s=%s: expected one value", p->params[i].name,
			               shown(span_text(p->params[i].value)));
		column->value = (struct tokens){ tokens, n - 1 };
	}
	return true;
}

static bool parse_param(struct parser *p)
{
	struct column *column = &p->defaults[p->n_defaults];
	uint32_t from, to;

	if (now(p)->kind != TOKEN_WORD)
		return expected(p, "the parameter's name");
	if (p->n_defaults == MAX_COLUMNS)
		return fail_at(p, place_of(now(p)), "more than %d parameters", MAX_COLUMNS);
	if (p->kind == FILE_WORKLOAD && token_word(now(p), "n"))
		return fail_at(p, place_of(now(p)), "`n` is the client's number in its role; choose another name");
	for (uint32_t i = 0; i < p->n_defaults; i++)
		if (span_equal(p->defaults[i].name, now(p)->text))
			return fail_at(p, place_of(now(p)), "parameter `%s` stands twice", shown(now(p)->text));
	*column = (struct column){ .name = now(p)->text, .at = place_of(now(p)) };
	column->used = region_alloc(&p->scratch, sizeof *column->used);
	take(p);
	if (!need_sign(p, '='))
		return false;
	from = to = p->at;
	if (!primary_end(p, &to))
		return false;
	column->value = (struct tokens){ p->tokens + from, to - from };
	p->at = to;
	p->n_defaults++;
	return given_value(p, column);
}

static bool not_in_workload(struct parser *p, const struct token *word)
{
	static const struct { const char *word, *why; } lines[] = {
		{ "cites", "a workload judges nothing by clause; what it is to reach is said by `--expect`" },
		{ "watches", "a workload judges nothing by clause; every broken rule that is seen is reported" },
		{ "case", "a workload has no cases; `param` gives it a value that -D can change" },
		{ "actor", "a workload has roles; what an actor's CONNECT says stands behind `connects`" },
		{ "alone", "a workload is played by itself; take `alone` out" },
		{ "bulk", "a workload is played by itself; take `bulk` out" },
	};

	for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
		if (token_word(word, lines[i].word)) {
			fail_at(p, place_of(word), "%s", lines[i].why);
			return true;
		}
	return false;
}

static bool parse_header_line(struct parser *p)
{
	const struct token *word = take(p);

	if ((p->kind == FILE_WORKLOAD && not_in_workload(p, word)) || (p->kind == FILE_FINDING && not_in_finding(p, word)))
		return false;
	if (token_word(word, "mqtt"))
		return parse_mqtt(p);
	if (token_word(word, "cites"))
		return parse_citations(p, p->cites, &p->n_cites);
	if (token_word(word, "watches"))
		return parse_citations(p, p->watches, &p->n_watches);
	if (token_word(word, "tags"))
		return parse_tags(p);
	if (token_word(word, "param"))
		return parse_param(p);
	if (token_word(word, "alone"))
		return p->alone = true;
	if (token_word(word, "bulk"))
		return p->bulk = true;
	if (token_word(word, "server")) {
		if (now(p)->kind != TOKEN_WORD)
			return expected(p, "the server's name");
		take(p);
		return fail_at(p, place_of(word), "`server` is not yet played");
	}
	skip_line(p);		/* case: parse_cases.c; needs, actor: below, for each case */
	return true;
}

bool parse_title(struct parser *p)
{
	static const char *const kinds[] = { "scenario", "workload", "capture", "finding", "fault" };

	while (now(p)->kind == TOKEN_LINE)
		take(p);
	for (unsigned i = 0; i < sizeof kinds / sizeof *kinds; i++)
		if (take_word_if(p, kinds[i])) {
			struct place at = place_of(now(p));

			p->kind = (enum file_kind)i;
			if (!parse_string(p, "the title in quotes", &p->title))
				return false;
			return *p->title ? need_line_end(p, "the end of the line behind the title")
			                 : fail_at(p, at, p->kind == FILE_WORKLOAD ? "the title is empty; say what is played"
			                                  : p->kind == FILE_FINDING ? "the title is empty; say what shows"
			                                                            : "the title is empty; say what holds when the test passes");
		}
	return expected(p, token_word(now(p), "role") ? "`workload \"title\"` as the first line" : "`scenario \"title\"` as the first line");
}

static void check_versions(struct parser *p, struct place at)
{
	if (!p->n_versions) {
		if (p->kind == FILE_FAULT)
			p->versions[p->n_versions++] = MQTT_5;
		else
			fail_at(p, at, "no `mqtt` line before the first %s; say for which versions, such as `mqtt 3.1.1 5`",
			        p->kind == FILE_WORKLOAD ? "role" : "step");
		return;
	}
	for (uint32_t k = 0; k < p->n_cites + p->n_watches && p->kind != FILE_FINDING; k++) {
		const struct citation *c = k < p->n_cites ? &p->cites[k] : &p->watches[k - p->n_cites];
		bool played = false;

		for (uint32_t i = 0; i < p->n_versions; i++)
			played |= p->versions[i] == c->version || (p->versions[i] == MQTT_3_1 && c->version == MQTT_3_1_1);
		if (!played)
			fail_at(p, c->at, "version %s is cited and not played; put it into the `mqtt` line", version_name(c->version));
	}
	for (uint32_t i = 0; i < p->n_versions && p->kind == FILE_SCENARIO; i++) {
		uint32_t n_cited = 0, n = 0;

		for (uint32_t k = 0; k < p->n_cites + p->n_watches; k++) {
			const struct citation *c = k < p->n_cites ? &p->cites[k] : &p->watches[k - p->n_cites];

			if (c->version == p->versions[i] || (p->versions[i] == MQTT_3_1 && c->version == MQTT_3_1_1)) {
				n++;
				n_cited += k < p->n_cites;
			}
		}
		if (!n)
			fail_at(p, at, "nothing is judged in %s; say what by `cites %s CLAUSE` or `watches %s CLAUSE`",
			        version_name(p->versions[i]), version_name(p->versions[i]), version_name(p->versions[i]));
		if (n_cited > MAX_CITES)
			fail_at(p, at, "more than %d clauses cited for %s", MAX_CITES, version_name(p->versions[i]));
	}
}

bool parse_file_header(struct parser *p)
{
	struct place at;

	if (!parse_title(p))
		return false;
	at = place_of(&p->all.at[0]);
	for (;;) {
		while (now(p)->kind == TOKEN_LINE)
			take(p);
		if (!is_header_word(now(p)) || ahead(p, 1)->kind == TOKEN_SEND || ahead(p, 1)->kind == TOKEN_TAKE)
			break;
		if (!parse_header_line(p) || !need_line_end(p, "the end of the line"))
			skip_line(p);
	}
	p->header_end = p->at;
	if (!p->failed)
		check_versions(p, at);
	return p->n_versions;
}

/* ---- the lines that a case may alter ---- */

static bool known_need(struct span name)
{
	const struct field *field;

	for (size_t i = 0; (field = field_at(CONNACK, MQTT_5, i)); i++)
		if (field->property && span_is(name, field->name))
			return true;
	return false;
}

static bool unknown_need(struct parser *p, const struct token *token)
{
	static const char *const others[] = { "tls", "websocket", "auth", "login", "denied_publish", "denied_subscribe" };
	struct nearest nearest = { .word = token->text };
	const struct field *field;

	for (size_t i = 0; i < sizeof others / sizeof *others; i++)
		nearest_try(&nearest, others[i]);
	for (size_t i = 0; (field = field_at(CONNACK, MQTT_5, i)); i++)
		if (field->property)
			nearest_try(&nearest, field->name);
	return fail_at(p, place_of(token), "unknown need `%s`; expected what CONNACK announces, or tls websocket auth=METHOD login denied_publish denied_subscribe%s",
	               shown(token->text), did_you_mean(&nearest));
}

static bool need_operator(struct parser *p, enum pattern_kind *op)
{
	if (take_sign_if(p, '='))
		*op = PATTERN_EQUAL;
	else if (take_sign_if(p, '<'))
		*op = PATTERN_LESS;
	else if (take_sign_if(p, '>'))
		*op = PATTERN_MORE;
	else if (now(p)->kind == TOKEN_AT_LEAST || now(p)->kind == TOKEN_AT_MOST)
		*op = take(p)->kind == TOKEN_AT_LEAST ? PATTERN_AT_LEAST : PATTERN_AT_MOST;
	else
		return false;
	return true;
}

static bool parse_need(struct parser *p)
{
	const struct token *token = now(p);
	struct need need = { .op = PATTERN_PRESENT };
	uint32_t from = p->at;

	if (token->kind != TOKEN_WORD)
		return expected(p, "a condition such as maximum_qos>=2");
	if (p->n_needs == MAX_COLUMNS)
		return fail_at(p, place_of(token), "more than %d needs", MAX_COLUMNS);
	take(p);
	if (token_word(token, "auth")) {
		if (!need_sign(p, '='))
			return false;
		need.op = PATTERN_EQUAL;
		if (now(p)->kind == TOKEN_WORD)
			need.string = region_string(p->region, take(p)->text);
		else if (!parse_string(p, "an authentication method such as SCRAM-SHA-256", &need.string))
			return false;
	} else if (known_need(token->text)) {
		if (need_operator(p, &need.op)) {
			if (now(p)->kind != TOKEN_NUMBER || now(p)->unit == UNIT_TIME || now(p)->unit == UNIT_RATE)
				return expected(p, "a number");
			need.number = take(p)->number;
		}
	} else if (!token_word(token, "tls") && !token_word(token, "websocket") && !token_word(token, "login") &&
	           !token_word(token, "denied_publish") && !token_word(token, "denied_subscribe")) {
		return unknown_need(p, token);
	}
	need.name = region_string(p->region, token->text);
	need.text = text_between(p, from, p->at);
	p->needs[p->n_needs++] = need;
	return true;
}

static bool parse_way(struct parser *p, uint8_t *way)
{
	for (unsigned i = 0; i < N_WAYS; i++)
		if (take_word_if(p, way_names[i])) {
			*way = (uint8_t)i;
			return true;
		}
	return fail_at(p, place_of(now(p)), "unknown transport `%s`; expected tcp, tls, ws or wss", shown(now(p)->text));
}

static bool parse_actor(struct parser *p)
{
	struct parts parts = { .bind_moment = -1 };
	const struct token *name = now(p);
	struct actor *actor;
	uint16_t number;

	if (name->kind == TOKEN_WORD && find_actor(p, name->text) >= 0)
		return fail_at(p, place_of(name), "actor `%s` stands twice", shown(name->text));
	if (name->kind != TOKEN_WORD)
		return expected(p, "the actor's name");
	take(p);
	if (!new_actor(p, name, &number))
		return false;
	actor = &p->actors[number];
	while (token_word(now(p), "mqtt") || token_word(now(p), "transport")) {
		if (take_word_if(p, "mqtt")) {
			if (!need_sign(p, '=') || !need_version(p, &actor->version))
				return false;
			continue;
		}
		take(p);
		if (!need_sign(p, '='))
			return false;
		if (!parse_way(p, &actor->way))
			return false;
	}
	if (!parse_assigns(p, CONNECT, actor->version, &parts))
		return false;
	actor->connect = parts.assigns;
	actor->n_connect = parts.n_assigns;
	return true;
}

bool parse_capture_header(struct parser *p)
{
	const struct token *word = take(p);

	if (token_word(word, "mqtt"))
		return parse_mqtt(p) && (p->n_versions == 1 || fail_at(p, place_of(word), "a capture has one version; `actor c2 mqtt=5` says who spoke another"));
	if (token_word(word, "actor"))
		return p->n_versions ? parse_actor(p) : fail_at(p, place_of(word), "expected `mqtt` before `actor`");
	if (token_word(word, "tags"))
		return parse_tags(p);
	return fail_at(p, place_of(word), "`%s` does not stand in a capture, which has `mqtt`, `actor` and `tags`", shown(word->text));
}

/* With the file's header once more, this time with the values of the case put in. */
void parse_case_header(struct parser *p)
{
	while (now(p)->kind == TOKEN_LINE)
		take(p);
	skip_line(p);		/* the title */
	while (now(p)->kind != TOKEN_END) {
		while (now(p)->kind == TOKEN_LINE)
			take(p);
		if (!is_header_word(now(p)) || ahead(p, 1)->kind == TOKEN_SEND || ahead(p, 1)->kind == TOKEN_TAKE)
			return;
		if (take_word_if(p, "needs")) {
			do {
				if (!parse_need(p))
					skip_line(p);
			} while (now(p)->kind != TOKEN_LINE && now(p)->kind != TOKEN_END);
		} else if (take_word_if(p, "actor")) {
			if (!parse_actor(p) || !need_line_end(p, "the end of the line"))
				skip_line(p);
		} else {
			skip_line(p);
		}
	}
}
