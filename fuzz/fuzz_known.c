#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "harness/known.h"

/*
 * A file of strangers: whatever it holds, reading ends, with rows or with a fault that has a line. What was read is written
 * and read again: the same rows.
 */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_rows(const struct known *known)
{
	for (size_t i = 0; i < known->n_rows; i++) {
		const struct known_row *row = &known->rows[i];

		assert(*row->rule && *row->test && *row->target && *row->reason && *row->at && row->versions);
		assert(!strpbrk(row->test, "\t\n") && !strpbrk(row->reason, "\t\n"));
	}
	assert(known->n_rows <= KNOWN_MAX_ROWS);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct known known = { 0 }, again = { 0 };
	struct run run = { 0 };
	struct fault fault;
	char *text = NULL;
	size_t len;

	if (size > 1 << 16)
		return 0;
	if (!known_parse(&known, "fuzz.tsv", span_of(data, size), &fault)) {
		assert(fault.line);
		for (const char *c = fault.text; *c; c++)
			assert((uint8_t)*c >= ' ' && *c != 0x7f);
		known_release(&known);
		return 0;
	}
	check_rows(&known);
	FILE *out = open_memstream(&text, &len);
	assert(out);
	known_write(out, &known, &run);
	assert(!fclose(out));
	assert(known_parse(&again, "again.tsv", span_of(text, len), &fault));
	assert(again.n_rows == known.n_rows);
	for (size_t i = 0; i < known.n_rows; i++) {
		assert(!strcmp(known.rows[i].rule, again.rows[i].rule) && !strcmp(known.rows[i].test, again.rows[i].test));
		assert(!strcmp(known.rows[i].target, again.rows[i].target) && !strcmp(known.rows[i].reason, again.rows[i].reason));
	}
	free(text);
	known_release(&again);
	known_release(&known);
	return 0;
}
