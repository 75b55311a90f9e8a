#ifndef FUZZ_FIGURES_WRITTEN_H
#define FUZZ_FIGURES_WRITTEN_H

#include <stdio.h>

#include "codec/topic.h"
#include "fuzz/must.h"
#include "harness/load/figures.h"

/* A report as text, whatever stands in the figures: lines of UTF-8 without control characters. */

static void write_json(FILE *out, const struct figures *f)
{
	MUST(figures_json(out, f));
}

/* Given. */
static char *written(void (*write)(FILE *out, const struct figures *f), const struct figures *f)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	MUST(out);
	write(out, f);
	MUST(fclose(out) == 0);
	for (size_t i = 0; i < len; i++)
		MUST(text[i] == '\n' || ((uint8_t)text[i] >= ' ' && text[i] != 0x7f));
	MUST(utf8_valid(span_of(text, len)));
	return text;
}

#endif
