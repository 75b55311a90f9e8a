#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/replay_file.h"

/* The replay.options of a stranger's folder: read or refused by one line; what was read and written again says the same. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool same(const char *a, const char *b)
{
	return a && b ? !strcmp(a, b) : a == b;
}

static void check(const struct replay_file *a, const struct replay_file *b)
{
	assert(same(a->scenario, b->scenario) && same(a->case_name, b->case_name) && same(a->version, b->version));
	assert(same(a->target, b->target) && same(a->exec, b->exec) && a->password == b->password && a->n_options == b->n_options);
	for (size_t i = 0; i < a->n_options; i++)
		assert(same(a->options[i].name, b->options[i].name) && same(a->options[i].value, b->options[i].value));
	assert(a->scenario[0] != '/' && !strstr(a->scenario, "/../") && strncmp(a->scenario, "../", 3));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct replay_file file, again;
	struct fault fault = { 0 };

	if (replay_parse(&file, span_of(data, size), &fault)) {
		char *text = NULL;
		size_t len;
		FILE *out = open_memstream(&text, &len);

		if (!out)
			abort();
		replay_write(out, &file);
		fclose(out);
		if (len <= REPLAY_MAX_FILE) {
			assert(replay_parse(&again, span_of(text, len), &fault));
			check(&file, &again);
			replay_release(&again);
		}
		free(text);
	} else {
		assert(fault.text[0]);
		for (const char *c = fault.text; *c; c++)
			assert((uint8_t)*c >= ' ');
	}
	replay_release(&file);
	return 0;
}
