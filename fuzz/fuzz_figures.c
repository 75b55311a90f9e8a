#include <stdlib.h>
#include <string.h>

#include "fuzz/figures_written.h"

/*
 * The JSON of a result that somebody wrote. It is refused in one line, or read: then it can be written in every form, read again the same,
 * and joined to another, and no line that a terminal gets has a control character in it.
 */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct figures *other;

static void compare(FILE *out, const struct figures *f)
{
	figures_compare(out, f, other);
}

static void html(FILE *out, const struct figures *f)
{
	const struct figures *both[] = { f, other };

	figures_html(out, both, 2);
}

static void one_line(const struct fault *fault)
{
	MUST(*fault->text);
	for (const char *at = fault->text; *at; at++)
		MUST((uint8_t)*at >= ' ' && *at != 0x7f);
}

static void join(struct figures *f, const char *text)
{
	struct fault fault;
	struct figures *to = figures_read(span_text(text), &fault);

	MUST(to);
	to->shard = f->n_shards - 1;
	to->seed++;
	if (figures_merge(to, f, &fault)) {
		char *joined = written(write_json, to);
		struct figures *again = figures_read(span_text(joined), &fault);

		MUST(again && again->n_merged == to->n_merged);
		figures_free(again);
		free(joined);
	} else {
		one_line(&fault);
	}
	figures_free(to);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const forms[])(FILE *out, const struct figures *f) = { figures_print, figures_hdr_log, figures_percentiles, compare, html };
	struct fault fault;
	struct figures *f = figures_read(span_of(data, size), &fault), *again;

	if (!f) {
		one_line(&fault);
		return 0;
	}
	char *text = written(write_json, f);
	MUST((again = figures_read(span_text(text), &fault)));
	char *same = written(write_json, again);
	MUST(!strcmp(text, same));
	other = again;
	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++)
		free(written(forms[i], f));
	join(f, text);
	free(text);
	free(same);
	figures_free(f);
	figures_free(again);
	return 0;
}
