#include "harness/load/ready.h"

#include <stdlib.h>
#include <string.h>

#include "harness/cli.h"
#include "harness/console.h"
#include "harness/embedded.h"
#include "harness/script.h"

static const char folder[] = "scenarios/load/", ending[] = ".scn";

enum { MAX_NAMES = 256, MAX_NAME = 80 };

/* The name by which a file is asked for; false: it is no workload. */
static bool name_of(const struct embedded *e, char name[MAX_NAME])
{
	size_t len = strlen(e->name), before = sizeof(folder) - 1, behind = sizeof(ending) - 1;

	if (len <= before + behind || strncmp(e->name, folder, before) || strcmp(e->name + len - behind, ending) || len - before - behind >= MAX_NAME)
		return false;
	snprintf(name, MAX_NAME, "%.*s", (int)(len - before - behind), e->name + before);
	return true;
}

bool ready_find(const char *name, struct span *text, const char **file, const char **near)
{
	static char names[MAX_NAMES][MAX_NAME];
	const char *all[MAX_NAMES + 1] = { NULL };
	size_t n = 0;

	for (const struct embedded *e = embedded; e->name && n < MAX_NAMES; e++) {
		if (!name_of(e, names[n]))
			continue;
		if (!strcmp(names[n], name)) {
			*text = span_of(e->start, (size_t)(e->end - e->start));
			*file = e->name + strlen("scenarios/");
			return true;
		}
		all[n] = names[n];
		n++;
	}
	*near = cli_nearest(name, all);
	return false;
}

/* " sensors=1000": a line of the header, `param NAME = VALUE`, without its comment. */
static void print_param(FILE *out, const char *line, size_t len)
{
	static const char word[] = "param";
	const char *end = memchr(line, '#', len), *equals;

	end = end ? end : line + len;
	if (len < sizeof(word) || strncmp(line, word, sizeof(word) - 1) || (line[sizeof(word) - 1] != ' ' && line[sizeof(word) - 1] != '\t'))
		return;
	for (line += sizeof(word); line < end && (*line == ' ' || *line == '\t'); line++)
		;
	while (end > line && (end[-1] == ' ' || end[-1] == '\t' || end[-1] == '\r'))
		end--;
	equals = memchr(line, '=', (size_t)(end - line));
	if (!equals)
		return;
	const char *name_end = equals, *value = equals + 1;
	while (name_end > line && (name_end[-1] == ' ' || name_end[-1] == '\t'))
		name_end--;
	while (value < end && (*value == ' ' || *value == '\t'))
		value++;
	fprintf(out, " %.*s=%.*s", (int)(name_end - line), line, (int)(end - value), value);
}

void ready_list(FILE *out)
{
	static struct diagnostics found;
	char name[MAX_NAME];

	for (const struct embedded *e = embedded; e->name; e++) {
		if (!name_of(e, name))
			continue;
		struct scenario *scenario = scenario_parse(e->name, span_of(e->start, (size_t)(e->end - e->start)), NULL, 0, &found);
		fprintf(out, "%s%s%s\n    %s\n   ", console_style(out, STYLE_BOLD), name, console_style(out, STYLE_PLAIN), scenario ? scenario->title : "");
		for (const char *line = e->start; line < e->end; line += strcspn(line, "\n") + 1)
			print_param(out, line, strcspn(line, "\n"));
		fputc('\n', out);
		scenario_free(scenario);
	}
}
