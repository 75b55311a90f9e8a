#include "harness/suite.h"

#include <dirent.h>
#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "harness/cli.h"
#include "harness/console.h"
#include "harness/embedded.h"

enum { MAX_FILE = 1 << 20 };

static void *grown(void *list, size_t *cap, size_t n, size_t size)
{
	if (n < *cap)
		return list;
	*cap = *cap ? *cap * 2 : 64;
	list = realloc(list, *cap * size);
	if (!list)
		abort();
	return list;
}

enum { LASTS = 1, REPLAYED = 2, IN_FOLDER = 4 };	/* the text outlives the suite; captures and findings are wanted; nobody named the file */

static int take(struct suite *suite, const char *name, struct span text, unsigned how, const struct param *params, size_t n_params)
{
	static struct diagnostics found;
	struct scenario *scenario = scenario_parse(name, text, params, n_params, &found);

	for (uint32_t i = 0; i < found.n; i++)
		if (!found.list[i].warning)
			fprintf(stderr, "%s:%u:%u: error: %s\n", console_safe(name), found.list[i].at.line, found.list[i].at.column, found.list[i].text);
	if (!scenario)
		return EXIT_USAGE;
	if (scenario->scripts[0].roles) {
		if (!(how & IN_FOLDER))
			console_error("%s is a workload: `mqassay load FILE TARGET` plays it", console_safe(name));
		scenario_free(scenario);
		return how & IN_FOLDER ? 0 : EXIT_USAGE;
	}
	if (scenario->scripts[0].finding && !(how & REPLAYED)) {
		if (!(how & IN_FOLDER))
			console_error("%s is a finding: `mqassay replay FILE` plays it", console_safe(name));
		scenario_free(scenario);
		return how & IN_FOLDER ? 0 : EXIT_USAGE;
	}
	if (scenario->scripts[0].capture && !(how & REPLAYED)) {
		console_error("%s is a capture: `mqassay replay FILE` plays it", console_safe(name));
		scenario_free(scenario);
		return EXIT_USAGE;
	}
	suite->scenarios = grown(suite->scenarios, &suite->cap, suite->n_scenarios, sizeof(*suite->scenarios));
	suite->scenarios[suite->n_scenarios++] = scenario;
	scenario->text = how & LASTS ? text : region_copy(&scenario->region, text);
	return 0;
}

int suite_take(struct suite *suite, const char *name, struct span text)
{
	return take(suite, name, text, LASTS | REPLAYED, NULL, 0);
}

static int read_file(struct suite *suite, const char *path, unsigned how, const struct param *params, size_t n_params)
{
	char *text = malloc(MAX_FILE + 1);
	int status;

	if (!text)
		abort();
	FILE *f = fopen(path, "rb");
	size_t len = f ? fread(text, 1, MAX_FILE + 1, f) : 0;
	if (!f || ferror(f)) {
		console_error("read %s: %s", console_safe(path), strerror(errno));
		status = EXIT_UNABLE;
	} else if (len > MAX_FILE) {
		console_error("%s is larger than the 1 MB that a scenario may have", console_safe(path));
		status = EXIT_USAGE;
	} else {
		status = take(suite, path, span_of(text, len), how, params, n_params);
	}
	if (f)
		fclose(f);
	free(text);
	return status;
}

static int is_scenario(const struct dirent *entry)
{
	size_t len = strlen(entry->d_name);

	return entry->d_name[0] != '.' && (entry->d_type == DT_DIR || (len > 4 && !strcmp(entry->d_name + len - 4, ".scn")));
}

static int read_path(struct suite *suite, const char *path, const struct param *params, size_t n_params, int depth)
{
	struct dirent **entries;
	struct stat st;
	int status = 0;

	if (stat(path, &st)) {
		console_error("read %s: %s", console_safe(path), strerror(errno));
		return EXIT_UNABLE;
	}
	if (!S_ISDIR(st.st_mode) || depth > 16)
		return read_file(suite, path, depth ? IN_FOLDER : 0, params, n_params);
	int n = scandir(path, &entries, is_scenario, alphasort);
	for (int i = 0; i < n; i++) {
		char below[4096];

		snprintf(below, sizeof(below), "%s/%s", path, entries[i]->d_name);
		int one = read_path(suite, below, params, n_params, depth + 1);
		status = one > status ? one : status;
		free(entries[i]);
	}
	if (n >= 0)
		free(entries);
	return status;
}

int suite_load(struct suite *suite, const char *const *paths, size_t n_paths, const struct param *params, size_t n_params)
{
	int status = 0;

	for (size_t i = 0; i < n_paths; i++) {
		int one = read_path(suite, paths[i], params, n_params, 0);

		status = one > status ? one : status;
	}
	if (n_paths)
		return status;
	for (const struct embedded *e = embedded; e->name; e++) {
		size_t len = strlen(e->name);
		static const char folder[] = "scenarios/";

		if (len < 4 || strcmp(e->name + len - 4, ".scn") || strncmp(e->name, folder, sizeof(folder) - 1) ||
		    !strncmp(e->name + sizeof(folder) - 1, "load/", 5) || !strncmp(e->name + sizeof(folder) - 1, "faults/", 7))
			continue;
		int one = take(suite, e->name + sizeof(folder) - 1, span_of(e->start, (size_t)(e->end - e->start)), LASTS, params, n_params);
		status = one > status ? one : status;
	}
	return status;
}

static bool rule_fits(const char *pattern, const char *rule, unsigned version)
{
	static const char *const prefixes[] = { [MQTT_3_1] = "3.1:", [MQTT_3_1_1] = "3.1.1:", [MQTT_5] = "5:" };
	size_t len = strlen(prefixes[version]);

	return !strcmp(pattern, rule) || (!strncmp(pattern, prefixes[version], len) && !strcmp(pattern + len, rule)) ||
	       (version == MQTT_3_1 && !strncmp(pattern, "3.1.1:", 6) && !strcmp(pattern + 6, rule));
}

bool script_tagged(const struct script *script, const char *tag)
{
	for (uint32_t i = 0; i < script->scenario->n_tags; i++)
		if (!strcmp(script->scenario->tags[i], tag))
			return true;
	return false;
}

bool script_selected(const struct script *script, const char *pattern)
{
	const struct scenario *s = script->scenario;
	const char *base = strrchr(s->file, '/');

	if (!strcmp(pattern, script->id) || !fnmatch(pattern, s->file, 0) || !fnmatch(pattern, script->id, 0) || (base && !fnmatch(pattern, base + 1, 0)))
		return true;
	size_t len = strlen(pattern);
	if (!strncmp(s->file, pattern, len) && (s->file[len] == '/' || (len && pattern[len - 1] == '/')))
		return true;
	if (strcasestr(s->title, pattern))
		return true;
	if (script_tagged(script, pattern))
		return true;
	for (uint32_t i = 0; i < script->n_cites; i++)
		if (rule_fits(pattern, script->cites[i], script->version))
			return true;
	for (uint32_t i = 0; i < script->n_watches; i++)
		if (rule_fits(pattern, script->watches[i], script->version))
			return true;
	return false;
}

static bool chosen(const struct script *script, const char *const *patterns, size_t n_patterns)
{
	bool asked = false, fits = false;

	for (size_t i = 0; i < n_patterns; i++) {
		if (patterns[i][0] != '!') {
			asked = true;
			fits = fits || script_selected(script, patterns[i]);
		} else if (script_selected(script, patterns[i] + 1)) {
			return false;
		}
	}
	return fits || !asked;
}

void suite_choose(struct suite *suite, unsigned versions, const char *const *patterns, size_t n_patterns)
{
	suite->n_tests = 0;
	for (size_t i = 0; i < suite->n_scenarios; i++)
		for (uint32_t k = 0; k < suite->scenarios[i]->n_scripts; k++) {
			const struct script *script = &suite->scenarios[i]->scripts[k];

			if (!(versions & 1u << script->version) || !chosen(script, patterns, n_patterns))
				continue;
			suite->tests = grown(suite->tests, &suite->cap_tests, suite->n_tests, sizeof(*suite->tests));
			suite->tests[suite->n_tests++] = script;
		}
}

void suite_choose_case(struct suite *suite, const char *case_name)
{
	size_t n = 0;

	for (size_t i = 0; i < suite->n_tests; i++) {
		const struct script *script = suite->tests[i];
		const char *mark = script->id + strlen(script->scenario->file);

		if (case_name ? *mark == '#' && !strcmp(mark + 1, case_name) : !*mark)
			suite->tests[n++] = script;
	}
	suite->n_tests = n;
}

void suite_release(struct suite *suite)
{
	for (size_t i = 0; i < suite->n_scenarios; i++)
		scenario_free(suite->scenarios[i]);
	free(suite->scenarios);
	free(suite->tests);
	*suite = (struct suite){ 0 };
}
