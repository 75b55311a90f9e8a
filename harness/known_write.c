#include "harness/known.h"

#include <stdlib.h>

#include "harness/escape.h"

/* Writing the file anew: a row for each fail. */

enum { MAX_REASON = 400 };	/* bytes; each may be written as four */

struct new_row {
	const struct outcome *outcome;
	const char *label;
	char rule[128];
};

/* In the order in which they are read: version, rule, test. */
static int by_rule(const void *a, const void *b)
{
	const struct new_row *x = a, *y = b;
	int order = strverscmp(x->rule, y->rule);

	if (!order)
		order = strcmp(x->outcome->script->id, y->outcome->script->id);
	return order ? order : (int)x->outcome->script->version - (int)y->outcome->script->version;
}

/* The bytes of the character that text begins with. */
static size_t character(const char *text)
{
	size_t n = 1;

	while (n < 4 && ((unsigned char)text[n] & 0xc0) == 0x80)
		n++;
	return n;
}

/* What a row cannot hold, or a terminal show, becomes a wildcard for each byte; then nothing else may be one. */
static void put_test(FILE *out, const char *id)
{
	bool is_glob = !escape_needless(id);

	for (size_t n; *id; id += n) {
		char one[5] = "";

		n = character(id);
		memcpy(one, id, n);
		if (is_glob && (!escape_needless(one) || strchr("*[\\", *one)))
			fprintf(out, "%.*s", (int)n, "????");
		else
			fputs(one, out);
	}
}

static void put_new(FILE *out, const struct new_row *row)
{
	const struct result *r = &row->outcome->result;
	const char *why = r->because ? r->because : r->received ? r->received : r->reason ? r->reason : "failed";

	fprintf(out, "%s\t%s\t", row->rule, version_text(row->outcome->script->version));
	put_test(out, row->outcome->script->id);
	fprintf(out, "\t%s\t", escape_needless(row->label) ? row->label : "*");
	escape_text_n(out, why, strnlen(why, MAX_REASON));
	fputc('\n', out);
}

static struct new_row *new_rows(const struct run *run, size_t *n)
{
	size_t cap = 1;

	for (size_t i = 0; i < run->n_targets; i++)
		cap += run->targets[i].conducted.n;
	struct new_row *rows = calloc(cap, sizeof(*rows));
	if (!rows)
		abort();
	*n = 0;
	for (size_t i = 0; i < run->n_targets; i++)
		for (size_t k = 0; k < run->targets[i].conducted.n; k++) {
			const struct outcome *o = &run->targets[i].conducted.outcomes[k];
			struct new_row *row = &rows[*n];

			if (o->result.verdict != VERDICT_FAIL || !outcome_rule(o, row->rule, sizeof(row->rule)))
				continue;
			row->outcome = o;
			row->label = run->targets[i].label;
			++*n;
		}
	return rows;
}

/* Repetitions of a test come side by side and want one row. */
static bool same_row(const struct new_row *a, const struct new_row *b)
{
	return a->outcome->script == b->outcome->script && !strcmp(a->rule, b->rule) && !strcmp(a->label, b->label);
}

static bool dropped(const struct known *known, const struct known_line *line)
{
	const struct known_row *row = line->row == NO_ROW ? NULL : &known->rows[line->row];

	return row && row->fixed && !row->held;
}

void known_write(FILE *out, const struct known *known, const struct run *run)
{
	size_t n, i = 0;
	struct new_row *rows = new_rows(run, &n);

	/* comments at the top stay there */
	for (; i < known->n_lines && known->lines[i].row == NO_ROW; i++)
		fprintf(out, "%s\n", known->lines[i].text);
	fputs("rule\tversion\ttest\ttarget\treason\n", out);
	for (; i < known->n_lines; i++)
		if (!dropped(known, &known->lines[i]))
			fprintf(out, "%s\n", known->lines[i].text);
	qsort(rows, n, sizeof(*rows), by_rule);
	for (i = 0; i < n; i++)
		if (!i || !same_row(&rows[i - 1], &rows[i]))
			put_new(out, &rows[i]);
	free(rows);
}
