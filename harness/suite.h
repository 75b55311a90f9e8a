#ifndef HARNESS_SUITE_H
#define HARNESS_SUITE_H

#include "harness/script.h"

/* The scenarios that are to be played: read, checked, chosen. */
struct suite {
	struct scenario **scenarios;
	size_t n_scenarios, cap;
	const struct script **tests;	/* chosen; in the order of the files, borrowed from the scenarios */
	size_t n_tests, cap_tests;
};

/*
 * Reads what was compiled in, or with paths these files and folders (every *.scn below them, but workloads and findings are passed over there). Mistakes go to
 * stderr as file:line:column lines. 0, EXIT_USAGE (a file has mistakes) or EXIT_UNABLE (a file is missing).
 */
int suite_load(struct suite *suite, const char *const *paths, size_t n_paths, const struct param *params, size_t n_params);

/* Adds one file whose text is read already and outlives the suite. 0, or EXIT_USAGE after its mistakes went to stderr. */
int suite_take(struct suite *suite, const char *name, struct span text);

/*
 * Chooses tests by version (bits 1 << version) and by patterns: see script_selected(). Any of those must fit that do not begin
 * with `!`, where there are any; none may fit what stands behind a `!`.
 */
void suite_choose(struct suite *suite, unsigned versions, const char *const *patterns, size_t n_patterns);

/* Of those that were chosen only the tests of the case; NULL: those without. */
void suite_choose_case(struct suite *suite, const char *case_name);
void suite_release(struct suite *suite);

/*
 * A pattern fits a test by its file (a glob, with or without folders), its id, a part of its title in any case, one of its
 * tags, or a rule that it cites or watches ("5:MQTT-3.3.1-2", "MQTT-3.3.1-2").
 */
bool script_selected(const struct script *script, const char *pattern);
bool script_tagged(const struct script *script, const char *tag);

#endif
