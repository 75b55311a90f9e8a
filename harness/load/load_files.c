#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/console.h"
#include "harness/file.h"
#include "harness/load/load_options.h"

/* `load merge` and `load compare`: what has been written by --format json is read again. */

enum { MAX_RESULT = 1 << 30 };

/* 0, or an exit code after one line on stderr. */
static int read_result(const char *path, struct figures **figures)
{
	struct fault fault;
	struct span text;
	int code = file_read(path, MAX_RESULT, &text);

	if (code)
		return code;
	if (text.len > MAX_RESULT) {
		console_error("%s is larger than the 1 GB that a result may have", console_safe(path));
		code = EXIT_USAGE;
	} else if (!(*figures = figures_read(text, &fault))) {
		if (fault.line)
			console_error("%s:%u:%u: %s", console_safe(path), fault.line, fault.column, fault.text);
		else
			console_error("%s: %s", console_safe(path), fault.text);
		code = EXIT_USAGE;
	}
	free((void *)text.at);
	return code;
}

static int judge(struct figures *figures)
{
	size_t n;
	struct expectation *all = load_expectations(&n);

	if (!all)
		return EXIT_USAGE;
	for (size_t i = 0; i < n; i++)
		expectation_judge(&all[i], figures);
	free(all);
	return 0;
}

int load_merge(int n_args, char **args)
{
	struct figures *all = NULL, *one;
	struct fault fault;
	int code = n_args ? load_output_check() : cli_usage(&load_command, "merge: name the files that --report json=FILE has written");

	for (int i = 0; i < n_args && !code; i++) {
		if ((code = read_result(args[i], &one)))
			break;
		if (!all) {
			all = one;
			continue;
		}
		if (!figures_merge(all, one, &fault)) {
			console_error("%s: %s", console_safe(args[i]), fault.text);
			code = EXIT_USAGE;
		}
		figures_free(one);
	}
	if (!code)
		code = judge(all);
	if (!code) {
		code = load_output_write(all);
		code = code ? code : figures_exit_code(all);
	}
	figures_free(all);
	return code;
}

int load_compare(int n_args, char **args)
{
	struct figures *results[2] = { NULL, NULL };
	int code = 0;

	if (n_args != 2)
		return cli_usage(&load_command, "compare: name two files that --report json=FILE has written");
	if (load_options.format != 0 && load_options.format != 2)
		return cli_usage(&load_command, "compare: writes text or html");
	for (int i = 0; i < 2 && !code; i++)
		code = read_result(args[i], &results[i]);
	if (!code && load_options.format)
		figures_html(stdout, (const struct figures *const *)results, 2);
	else if (!code)
		figures_compare(stdout, results[0], results[1]);
	figures_free(results[0]);
	figures_free(results[1]);
	return code;
}
