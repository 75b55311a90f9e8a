#include <errno.h>
#include <fts.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness/capture_script.h"
#include "harness/cli.h"
#include "harness/console.h"
#include "harness/embedded.h"
#include "harness/file.h"
#include "harness/load/plan.h"
#include "harness/script.h"

/* mqassay lint: checks files in the notation without playing them. */

extern const struct command lint_command;

static struct {
	struct string_list define;
	bool quiet;
} conf;

static const struct cli_option options[] = {
	OPT_LIST('D', "define", conf.define, "NAME=VALUE", "value of a file's `param`"),
	OPT_FLAG('q', "quiet", conf.quiet, "errors only: no warnings, no summary"),
	OPT_END
};

static struct {
	struct param *params;
	size_t n_params;
	unsigned n_files, n_tests, n_errors, n_warnings;
	bool missing;
} run;

static void print_diagnostics(const char *name, const struct diagnostics *found)
{
	for (uint32_t i = 0; i < found->n; i++) {
		const struct diagnostic *d = &found->list[i];

		run.n_warnings += d->warning;
		if (!d->warning || !conf.quiet)
			console_print(stdout, "%s:%u:%u: %s%s%s: %s\n", console_safe(name), d->at.line, d->at.column,
			              console_style(stdout, d->warning ? STYLE_YELLOW : STYLE_RED), d->warning ? "warning" : "error",
			              console_style(stdout, STYLE_PLAIN), d->text);
	}
	if (found->dropped)
		console_print(stdout, "%s: and %u more\n", console_safe(name), found->dropped);
	run.n_errors += found->n_errors;
}

__attribute__((format(printf, 4, 5))) static void add(struct diagnostics *found, struct place at, bool warning, const char *format, ...)
{
	struct diagnostic *d = &found->list[found->n];
	va_list args;

	found->n_errors += !warning;
	if (found->n == sizeof found->list / sizeof *found->list) {
		found->dropped++;
		return;
	}
	found->n++;
	d->at = at;
	d->warning = warning;
	va_start(args, format);
	vsnprintf(d->text, sizeof d->text, format, args);
	va_end(args);
}

static bool exists(const char *folder, const char *file)
{
	char *path;
	bool there;

	if (asprintf(&path, "%s/%s", folder, file) < 0)
		abort();
	there = !access(path, F_OK) || errno != ENOENT;
	free(path);
	return there;
}

/* The file that a role's clients take their words from; one that is not there may still be made. */
static void lint_fleet(const char *folder, const struct role *role, struct diagnostics *found)
{
	struct fault fault;
	struct fleet *fleet = fleet_read(folder, role->file, &fault);

	if (!fleet && fault.line)
		add(found, role->at, false, "%s:%u:%u: %s", console_safe(role->file), fault.line, fault.column, fault.text);
	else if (!fleet)
		add(found, role->at, !exists(folder, role->file), "read %s: %s", console_safe(role->file), fault.text);
	else if (!plan_suits(role, fleet, &fault))
		add(found, (struct place){ fault.line, fault.column }, false, "%s", fault.text);
	fleet_free(fleet);
}

static void lint_fleets(const char *path, const struct scenario *scenario, struct diagnostics *found)
{
	const struct script *script = scenario->scripts;	/* the others are of the same text, for other versions */
	const char *slash = strrchr(path, '/');
	char *folder = slash ? strndup(path, slash == path ? 1 : (size_t)(slash - path)) : strdup(".");

	if (!folder)
		abort();
	for (uint32_t i = 0; i < script->n_roles; i++)
		if (script->roles[i].file)
			lint_fleet(folder, &script->roles[i], found);
	free(folder);
}

/* beside: what is read lies in files, and others may lie beside it. */
static void lint_text(const char *name, struct span text, bool beside)
{
	static struct diagnostics found;
	struct scenario *scenario = scenario_parse(name, text, run.params, run.n_params, &found);

	run.n_files++;
	if (scenario)
		run.n_tests += scenario->n_scripts;
	if (scenario && beside)
		lint_fleets(name, scenario, &found);
	print_diagnostics(name, &found);
	scenario_free(scenario);
}

static void cannot_read(const char *path, int error)
{
	console_error("read %s: %s", console_safe(path), strerror(error));
	run.missing = true;
}

static void lint_file(const char *path)
{
	struct span text;

	if (file_read(path, MAX_CAPTURE_TEXT, &text)) {		/* one byte more than may be: scenario_parse() says so */
		run.missing = true;
		return;
	}
	lint_text(path, text, true);
	free((void *)text.at);
}

static int by_name(const FTSENT **a, const FTSENT **b)
{
	return strcmp((*a)->fts_name, (*b)->fts_name);
}

/* The path itself whatever its name; below a folder every *.scn. */
static void lint_path(char *path)
{
	char *const paths[] = { path, NULL };
	FTS *tree = fts_open(paths, FTS_PHYSICAL | FTS_COMFOLLOW | FTS_NOCHDIR, by_name);
	FTSENT *entry;

	if (!tree) {
		cannot_read(path, errno);
		return;
	}
	while ((entry = fts_read(tree))) {
		if (entry->fts_level > FTS_ROOTLEVEL && entry->fts_name[0] == '.')
			fts_set(tree, entry, FTS_SKIP);
		else if (entry->fts_info == FTS_NS || entry->fts_info == FTS_DNR || entry->fts_info == FTS_ERR)
			cannot_read(entry->fts_path, entry->fts_errno);
		else if (entry->fts_info != FTS_F && entry->fts_level == FTS_ROOTLEVEL && entry->fts_info != FTS_D && entry->fts_info != FTS_DP)
			lint_file(entry->fts_path);	/* a pipe, as in <(...) */
		else if (entry->fts_info == FTS_F && (entry->fts_level == FTS_ROOTLEVEL ||
		         (entry->fts_namelen > 4 && !strcmp(entry->fts_name + entry->fts_namelen - 4, ".scn"))))
			lint_file(entry->fts_path);
	}
	fts_close(tree);
}

static void lint_built_in(void)
{
	static const char folder[] = "scenarios/";

	for (const struct embedded *e = embedded; e->name; e++) {
		size_t len = strlen(e->name);

		if (len > 4 && !strcmp(e->name + len - 4, ".scn") && !strncmp(e->name, folder, strlen(folder)))
			lint_text(e->name + strlen(folder), span_of(e->start, (size_t)(e->end - e->start)), false);
	}
}

/* NAME=VALUE, cut in two; the value stays where it is. */
static int read_params(void)
{
	run.params = calloc(conf.define.n + 1, sizeof *run.params);
	if (!run.params)
		abort();
	for (size_t i = 0; i < conf.define.n; i++) {
		const char *equals = strchr(conf.define.at[i], '=');

		if (!equals || equals == conf.define.at[i])
			return cli_usage(&lint_command, "-D %s: expected NAME=VALUE", console_safe(conf.define.at[i]));
		run.params[i].name = strndup(conf.define.at[i], (size_t)(equals - conf.define.at[i]));
		run.params[i].value = equals + 1;
		run.n_params++;
	}
	return 0;
}

static void release_params(void)
{
	for (size_t i = 0; i < run.n_params; i++)
		free((char *)run.params[i].name);
	free(run.params);
}

static void print_summary(void)
{
	console_print(stdout, "%u file%s, %u test%s: %u error%s, %u warning%s\n", run.n_files, run.n_files == 1 ? "" : "s",
	              run.n_tests, run.n_tests == 1 ? "" : "s", run.n_errors, run.n_errors == 1 ? "" : "s",
	              run.n_warnings, run.n_warnings == 1 ? "" : "s");
}

static int lint(int n_args, char **args)
{
	int status = read_params();

	if (status) {
		release_params();
		return status;
	}
	for (int i = 0; i < n_args; i++)
		lint_path(args[i]);
	if (!n_args)
		lint_built_in();
	if (!conf.quiet && run.n_files)
		print_summary();
	release_params();
	if (run.n_errors)
		return EXIT_USAGE;
	if (!run.n_files && !run.missing)
		console_error("nothing to check: no *.scn file there");
	return run.missing || run.n_files == 0 ? EXIT_UNABLE : EXIT_PASS;
}

const struct command lint_command = {
	.name = "lint",
	.arguments = "[FILE...]",
	.summary = "check files in the notation without playing them",
	.details = "Without a FILE, the built-in scenarios. Of a folder, every *.scn below it. Each mistake is one line\n"
	           "FILE:LINE:COLUMN: error: ...; warnings are advice and do not keep a file from being played.",
	.example = "mqassay lint scenarios/5/will/delay.scn",
	.options = options,
	.max_args = CLI_ANY,
	.run = lint,
};
