#include "harness/parse.h"

#include <stdio.h>
#include <stdlib.h>

/*
 * Cases. A row's lists multiply it; each outcome is one test. The tokens of its values stand in for $name
 * wherever that is written, before anything is parsed, so that a value can be part of a line, a whole line or
 * several. Inside $( ) and strings a name is looked up instead (parse_value.c): there it is one value.
 */

enum { MAX_SUBSTITUTION = 8 };

/* ---- one value ---- */

static bool balanced_end(struct parser *p, uint32_t *at)
{
	unsigned depth = 0;

	for (; p->tokens[*at].kind != TOKEN_END; ++*at) {
		const struct token *t = &p->tokens[*at];

		if (t->kind == TOKEN_EXPR || token_is(t, '(') || token_is(t, '[') || token_is(t, '{'))
			depth++;
		else if (token_is(t, ')') || token_is(t, ']') || token_is(t, '}'))
			depth--;
		if (!depth) {
			++*at;
			return true;
		}
	}
	return false;
}

static bool opens(const struct token *t)
{
	return t->kind == TOKEN_EXPR || token_is(t, '(') || token_is(t, '[') || token_is(t, '{');
}

bool primary_end(struct parser *p, uint32_t *at)
{
	const struct token *t = &p->tokens[*at];
	uint32_t before = p->at;

	while (token_is(t, '<') || token_is(t, '>') || token_is(t, '~') || t->kind == TOKEN_AT_LEAST ||
	       t->kind == TOKEN_AT_MOST || token_word(t, "not"))
		t = &p->tokens[++*at];
	if (t->kind == TOKEN_END || t->kind == TOKEN_LINE || (t->kind == TOKEN_SIGN && !opens(t))) {
		p->at = *at;
		expected(p, "a value");
		p->at = before;
		return false;
	}
	if (opens(t))
		return balanced_end(p, at);
	++*at;
	if (t->kind == TOKEN_WORD && token_is(&p->tokens[*at], '(') && !p->tokens[*at].space && !balanced_end(p, at))
		return false;
	if (p->tokens[*at].kind == TOKEN_RANGE || token_is(&p->tokens[*at], ':')) {
		++*at;
		return primary_end(p, at);
	}
	return true;
}

/* ---- one row ---- */

struct cell {
	struct column column;		/* value: the choice at hand */
	struct tokens *choices;		/* of a list; the only one otherwise */
	uint32_t n_choices;
	bool list;
};

struct row {
	const char *name;
	struct place at;
	struct cell cells[MAX_COLUMNS];
	uint32_t n_cells;
};

static bool list_choices(struct parser *p, struct cell *cell, uint32_t from, uint32_t to)
{
	uint32_t n = 0;

	for (uint32_t at = from; at < to; n++)
		if (!primary_end(p, &at))
			return false;
	cell->choices = region_alloc(&p->scratch, (n + 1) * sizeof *cell->choices);
	cell->list = true;
	for (uint32_t at = from, start = from; at < to; start = at) {
		primary_end(p, &at);
		cell->choices[cell->n_choices++] = (struct tokens){ p->tokens + start, at - start };
	}
	return n || fail_at(p, place_of(&p->tokens[from]), "an empty list makes no case");
}

static bool parse_cell(struct parser *p, struct row *row)
{
	struct cell *cell = &row->cells[row->n_cells];
	uint32_t from, to;

	if (now(p)->kind != TOKEN_WORD || !token_is(ahead(p, 1), '='))
		return expected(p, "`name=value` or the end of the line");
	if (row->n_cells == MAX_COLUMNS)
		return fail_at(p, place_of(now(p)), "more than %d values", MAX_COLUMNS);
	for (uint32_t i = 0; i < row->n_cells; i++)
		if (span_equal(row->cells[i].column.name, now(p)->text))
			return fail_at(p, place_of(now(p)), "`%s` stands twice in this case", shown(now(p)->text));
	if (memchr(now(p)->text.at, '-', now(p)->text.len) || memchr(now(p)->text.at, '.', now(p)->text.len))
		return fail_at(p, place_of(now(p)), "`%s`: a name has neither `.` nor `-`", shown(now(p)->text));
	*cell = (struct cell){ .column = { .name = now(p)->text, .at = place_of(now(p)) } };
	take(p);
	take(p);
	from = to = p->at;
	if (!primary_end(p, &to))
		return false;
	p->at = to;
	row->n_cells++;
	if (token_is(&p->tokens[from], '[')) {
		if (token_is(&p->tokens[from + 1], '[') && token_is(&p->tokens[to - 2], ']')) {	/* [[x y]]: one list value */
			uint32_t inner = from + 1;

			if (balanced_end(p, &inner) && inner == to - 1)
				from++, to--;
			else
				return list_choices(p, cell, from + 1, to - 1);
		} else {
			return list_choices(p, cell, from + 1, to - 1);
		}
	}
	cell->choices = region_alloc(&p->scratch, sizeof *cell->choices);
	cell->choices[cell->n_choices++] = (struct tokens){ p->tokens + from, to - from };
	return true;
}

static bool parse_row(struct parser *p, struct row *row)
{
	row->n_cells = 0;
	row->at = place_of(now(p));
	if (!parse_string(p, "the case's name in quotes", &row->name))
		return false;
	if (!*row->name)
		return fail_at(p, row->at, "a case's name is not empty");
	while (now(p)->kind != TOKEN_LINE && now(p)->kind != TOKEN_END)
		if (!parse_cell(p, row))
			return false;
	return true;
}

/* ---- putting values in ---- */

struct output {
	struct token *tokens;
	uint32_t n, cap;
};

static bool put(struct parser *p, struct output *out, const struct token *token)
{
	if (out->n == MAX_CASE_TOKENS)
		return fail_at(p, p->case_at, "with its values put in, this case has more than %d words and signs", MAX_CASE_TOKENS);
	if (out->n == out->cap) {
		out->cap = out->cap ? 2 * out->cap : 1024;
		out->tokens = realloc(out->tokens, out->cap * sizeof *out->tokens);
		if (!out->tokens)
			abort();
	}
	out->tokens[out->n++] = *token;
	return true;
}

const struct column *find_column(const struct parser *p, struct span name)
{
	for (uint32_t i = 0; i < p->n_columns; i++)
		if (span_equal(p->columns[i].name, name))
			return &p->columns[i];
	return NULL;
}

static bool put_in(struct parser *p, struct output *out, struct tokens from, unsigned depth, bool space)
{
	for (uint32_t i = 0; i < from.n; i++) {
		struct token token = from.at[i];
		const struct column *column = token.kind == TOKEN_NAME ? find_column(p, token.text) : NULL;
		struct tokens value;

		if (!i)
			token.space = space;
		if (!column) {
			if (!put(p, out, &token))
				return false;
			continue;
		}
		if (out->n && token_word(&out->tokens[out->n - 1], "as"))
			return fail_at(p, place_of(&token), "`$%s` is a value of the case; bind another name", shown(token.text));
		if (depth == MAX_SUBSTITUTION)
			return fail_at(p, place_of(&token), "`$%s` stands for itself", shown(token.text));
		*column->used = true;
		value = column->value;
		if (value.n >= 2 && token_is(&value.at[0], '{'))
			value = (struct tokens){ value.at + 1, value.n - 2 };
		if (!put_in(p, out, value, depth + 1, token.space))
			return false;
	}
	return true;
}

/* The file without its case and parameter rows, every value put in. */
static bool fill_in(struct parser *p, struct output *out)
{
	uint32_t n = p->all.n - 1;	/* TOKEN_END stands apart: the last row might be one that is left out */

	out->n = 0;
	for (uint32_t i = 0; i < n; ) {
		uint32_t from = i;
		unsigned depth = 0;
		bool skip = i < p->header_end && (token_word(&p->all.at[i], "case") || token_word(&p->all.at[i], "param"));

		while (i < n && (depth || p->all.at[i].kind != TOKEN_LINE)) {
			depth += token_is(&p->all.at[i], '{');
			depth -= depth && token_is(&p->all.at[i], '}');
			i++;
		}
		i += i < n;
		if (!skip && !put_in(p, out, (struct tokens){ p->all.at + from, i - from }, 0, p->all.at[from].space))
			return false;
	}
	p->n_all_tokens += out->n;
	if (p->n_all_tokens > MAX_ALL_TOKENS)
		return fail_at(p, p->case_at, "the cases of this file together have more than %d words and signs", MAX_ALL_TOKENS);
	return put(p, out, &p->all.at[n]);
}

/* ---- all rows ---- */

struct player {
	struct output out;
	void (*each)(struct parser *p);
	struct column columns[2 * MAX_COLUMNS];
};

static bool play_one(struct parser *p, struct player *player)
{
	if (!fill_in(p, &player->out))
		return false;
	p->tokens = player->out.tokens;
	p->n_tokens = player->out.n;
	player->each(p);
	return true;
}

static bool play_row(struct parser *p, struct player *player, struct row *row)
{
	uint32_t choice[MAX_COLUMNS] = { 0 }, number = 0, i;
	bool multiplied = false;

	for (i = 0; i < row->n_cells; i++)
		multiplied |= row->cells[i].list;
	do {
		char name[160];

		for (i = 0; i < row->n_cells; i++) {
			player->columns[i] = row->cells[i].column;
			player->columns[i].value = row->cells[i].choices[choice[i]];
		}
		p->n_columns = row->n_cells;
		for (i = 0; i < p->n_defaults; i++)	/* behind the case's own, which hide them */
			player->columns[p->n_columns++] = p->defaults[i];
		p->columns = player->columns;
		p->case_at = row->at;
		snprintf(name, sizeof name, "%s/%u", row->name, ++number);
		p->case_name = multiplied ? region_string(p->region, span_text(name)) : row->name;
		if (p->n_scripts >= MAX_SCRIPTS)
			return fail_at(p, row->at, "the cases of this file, multiplied, are more than %d tests", MAX_SCRIPTS);
		if (!play_one(p, player))
			return false;
		for (i = row->n_cells; i > 0; i--) {	/* the last list changes fastest */
			if (++choice[i - 1] < row->cells[i - 1].n_choices)
				break;
			choice[i - 1] = 0;
		}
	} while (i > 0);
	return true;
}

static bool check_row_names(struct parser *p, const struct row *rows, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		for (uint32_t j = 0; j < i; j++)
			if (!strcmp(rows[i].name, rows[j].name))
				return fail_at(p, rows[i].at, "case \"%s\" stands twice; each needs a name of its own",
				               shown(span_text(rows[i].name)));
	return true;
}

static void share_used(struct parser *p, struct row *rows, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		for (uint32_t c = 0; c < rows[i].n_cells; c++) {
			struct column *column = &rows[i].cells[c].column;

			for (uint32_t j = 0; j < i && !column->used; j++)
				for (uint32_t d = 0; d < rows[j].n_cells && !column->used; d++)
					if (span_equal(rows[j].cells[d].column.name, column->name))
						column->used = rows[j].cells[d].column.used;
			if (!column->used)
				column->used = region_alloc(&p->scratch, sizeof *column->used);
		}
}

static bool collect_rows(struct parser *p, struct row **rows, uint32_t *n)
{
	uint32_t n_rows = 0;
	bool well = true;

	for (uint32_t i = 0; i + 1 < p->header_end; i++)
		n_rows += token_word(&p->all.at[i], "case");
	*rows = region_alloc(&p->scratch, (n_rows + 1) * sizeof **rows);
	*n = 0;
	p->tokens = p->all.at;
	p->n_tokens = p->all.n;
	for (p->at = 0; p->at < p->header_end; ) {
		unsigned depth = 0;

		if (take_word_if(p, "case")) {
			if (parse_row(p, *rows + *n))
				++*n;
			else
				well = false;
		}
		while (p->at < p->header_end && (depth || now(p)->kind != TOKEN_LINE)) {
			depth += token_is(now(p), '{');
			depth -= depth && token_is(now(p), '}');
			p->at++;
		}
		p->at++;
	}
	return well;
}

static void check_used(struct parser *p, const struct row *rows, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		for (uint32_t c = 0; c < rows[i].n_cells; c++)
			if (!*rows[i].cells[c].column.used) {
				fail_at(p, rows[i].cells[c].column.at, "`%s` is used by no step", shown(rows[i].cells[c].column.name));
				*rows[i].cells[c].column.used = true;
			}
	for (uint32_t i = 0; i < p->n_defaults; i++)
		if (!*p->defaults[i].used)
			fail_at(p, p->defaults[i].at, "parameter `%s` is used by no step", shown(p->defaults[i].name));
}

bool for_each_case(struct parser *p, void (*each)(struct parser *p))
{
	struct player player = { .each = each };
	struct row *rows;
	uint32_t n;
	bool well;

	if (!collect_rows(p, &rows, &n) || !check_row_names(p, rows, n))
		return false;
	share_used(p, rows, n);
	if (n) {
		well = true;
		for (uint32_t i = 0; i < n && well; i++)
			well = play_row(p, &player, &rows[i]);
	} else {
		p->columns = p->defaults;
		p->n_columns = p->n_defaults;
		well = play_one(p, &player);
	}
	free(player.out.tokens);
	p->tokens = p->all.at;
	p->n_tokens = p->all.n;
	p->at = 0;
	if (well && !p->failed)
		check_used(p, rows, n);
	return well;
}
