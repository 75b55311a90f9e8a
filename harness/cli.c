#include "harness/cli.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/cli_pages.h"
#include "harness/console.h"
#include "harness/units.h"

static bool help_wanted;
static int color_mode = COLOR_AUTO;
static const char *const color_modes[] = { "auto", "always", "never", NULL };

static const struct cli_option common_options[] = {	/* of every command */
	OPT_HEADING("Common"),
	OPT_ENUM(0, "color", color_mode, color_modes, "colour in what is printed"),
	OPT_FLAG('h', "help", help_wanted, "show this and end"),
	OPT_END
};

const struct exit_code cli_exit_codes[] = {
	{ EXIT_PASS, "passed", "Every test that was run came to pass, warn, skip or known, and at least one passed; or what was asked for is done" },
	{ EXIT_FOUND, "something was found", "A fail, a fixed, a finding, a missed threshold" },
	{ EXIT_USAGE, "wrong usage or scenario", "A mistake on the command line, in a scenario or in another file of the user's" },
	{ EXIT_UNABLE, "could not run", "The target is unreachable or refuses the credentials, nothing was selected, a file is missing or cut short, a capture has no MQTT in it; "
	  "or a test came to error, unstable or inconclusive, and none to fail" },
	{ 0 }
};

/* ---- walking the tables ---- */

/* Calls visit for each row, groups opened, until it returns true; then returns that row. */
static const struct cli_option *each_row(const struct cli_option *rows,
                                         bool (*visit)(const struct cli_option *row, void *context), void *context)
{
	const struct cli_option *found = NULL;

	for (; rows && rows->kind != OPTION_END && !found; rows++) {
		if (rows->kind == OPTION_GROUP)
			found = each_row(rows->to.group, visit, context);
		else if (visit(rows, context))
			found = rows;
	}
	return found;
}

static const struct cli_option *each_option(const struct command *command,
                                            bool (*visit)(const struct cli_option *row, void *context), void *context)
{
	const struct cli_option *found = each_row(command->options, visit, context);

	return found ? found : each_row(common_options, visit, context);
}

struct walk {
	const struct command *command;
	void (*visit)(void *context, const struct command *command, const struct cli_option *option);
	void *context;
};

static bool walk_row(const struct cli_option *row, void *context)
{
	const struct walk *w = context;

	if (row->kind != OPTION_HEADING)
		w->visit(w->context, w->command, row);
	return false;
}

void cli_walk(const struct command *const *commands,
              void (*visit)(void *context, const struct command *command, const struct cli_option *option), void *context)
{
	for (; *commands; commands++) {
		struct walk w = { *commands, visit, context };

		visit(context, *commands, NULL);
		each_option(*commands, walk_row, &w);
	}
}

bool cli_is_common(const struct cli_option *option)
{
	return option >= common_options && option < common_options + sizeof(common_options) / sizeof(*common_options);
}

/* ---- the nearest name ---- */

#define LONGEST_NAME 40

/* Insertions, deletions, changes, and swaps of neighbours, each 1. */
static unsigned distance(const char *a, const char *b)
{
	size_t n = strlen(a), m = strlen(b);
	unsigned rows[3][LONGEST_NAME + 1] = { { 0 } }, *before = rows[0], *last = rows[1], *row = rows[2], *spare;

	if (n > LONGEST_NAME || m > LONGEST_NAME)
		return LONGEST_NAME;
	for (size_t j = 0; j <= m; j++)
		last[j] = (unsigned)j;
	for (size_t i = 1; i <= n; i++) {
		row[0] = (unsigned)i;
		for (size_t j = 1; j <= m; j++) {
			unsigned best = last[j - 1] + (a[i - 1] != b[j - 1]);

			if (last[j] + 1 < best)
				best = last[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && before[j - 2] + 1 < best)
				best = before[j - 2] + 1;
			row[j] = best;
		}
		spare = before;
		before = last;
		last = row;
		row = spare;
	}
	return last[m];
}

struct nearest {
	const char *text, *name;
	unsigned distance;
};

static void compare(struct nearest *best, const char *name)
{
	size_t len = strlen(best->text);
	unsigned d = distance(best->text, name);

	if (len >= 3 && strncmp(name, best->text, len) == 0)
		d = 1;				/* an abbreviation */
	if (d < best->distance) {
		best->distance = d;
		best->name = name;
	}
}

static bool is_near(const struct nearest *best)
{
	return best->name && best->distance <= 1 + strlen(best->text) / 4;
}

const char *cli_nearest(const char *text, const char *const *names)
{
	struct nearest best = { text, NULL, LONGEST_NAME };

	for (; *names; names++)
		compare(&best, *names);
	return is_near(&best) ? best.name : NULL;
}

static bool compare_row(const struct cli_option *row, void *context)
{
	if (row->name)
		compare(context, row->name);
	return false;
}

/* ---- mistakes ---- */

static int usage(const struct command *command, const char *remedy, const char *format, va_list args)
{
	char text[900];

	vsnprintf(text, sizeof(text), format, args);
	fprintf(stderr, "mqassay%s%s: %s%s\n", command ? " " : "", command ? command->name : "", text, remedy);
	return EXIT_USAGE;
}

int cli_usage(const struct command *command, const char *format, ...)
{
	char remedy[100];
	va_list args;

	snprintf(remedy, sizeof(remedy), " (see mqassay %s --help)", command->name);
	va_start(args, format);
	usage(command, remedy, format, args);
	va_end(args);
	return EXIT_USAGE;
}

/* Where the message itself names the remedy. */
static int mistake(const struct command *command, const char *format, ...) __attribute__((format(printf, 2, 3)));
static int mistake(const struct command *command, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	usage(command, "", format, args);
	va_end(args);
	return EXIT_USAGE;
}

static int unknown_option(const struct command *command, const char *name)
{
	struct nearest best = { name, NULL, LONGEST_NAME };

	each_option(command, compare_row, &best);
	if (is_near(&best))
		return mistake(command, "unknown option --%s; did you mean --%s?", console_safe(name), best.name);
	return cli_usage(command, "unknown option --%s", console_safe(name));
}

static int unknown_command(const struct command *const *commands, const char *name)
{
	struct nearest best = { name, NULL, LONGEST_NAME };

	for (const struct command *const *c = commands; *c; c++)
		compare(&best, (*c)->name);
	if (is_near(&best))
		return mistake(NULL, "unknown command %s; did you mean %s?", console_safe(name), best.name);
	return mistake(NULL, "unknown command %s (see mqassay --help)", console_safe(name));
}

/* ---- values ---- */

/* 0 or EXIT_USAGE. */
static int not_a_value(const struct command *command, const struct cli_option *row, const char *value, const char *expected)
{
	return mistake(command, "--%s: expected %s, not '%s'", row->name, expected, console_safe(value));
}

static int set_number(const struct command *command, const struct cli_option *row, const char *value)
{
	static const struct {
		bool (*read)(const char *text, uint64_t *value);
		const char *form;
	} forms[] = {
		[OPTION_DURATION] = { units_duration, units_duration_form },
		[OPTION_SIZE] = { units_size, units_size_form },
		[OPTION_COUNT] = { units_count, units_count_form },
	};
	uint64_t number;
	char expected[80], low[32], high[32];

	if (!forms[row->kind].read(value, &number))
		return not_a_value(command, row, value, forms[row->kind].form);
	if (number < row->min || (row->max && number > row->max)) {
		units_print_count(row->min, low, sizeof(low));
		units_print_count(row->max, high, sizeof(high));
		if (row->max)
			snprintf(expected, sizeof(expected), "%s to %s", low, high);
		else
			snprintf(expected, sizeof(expected), row->kind == OPTION_COUNT ? "at least %s" : "more than 0", low);
		return not_a_value(command, row, value, expected);
	}
	*row->to.number = number;
	return 0;
}

/* "auto, always or never" */
static void print_choices(const char *const *choices, char *out, size_t cap)
{
	size_t at = 0;

	for (size_t i = 0; choices[i] && at < cap; i++)
		at += (size_t)snprintf(out + at, cap - at, "%s%s", i == 0 ? "" : choices[i + 1] ? ", " : " or ", choices[i]);
}

static int set_choice(const struct command *command, const struct cli_option *row, const char *value)
{
	char expected[400];

	for (int i = 0; row->choices[i]; i++) {
		if (strcmp(row->choices[i], value) == 0) {
			*row->to.choice = i;
			return 0;
		}
	}
	print_choices(row->choices, expected, sizeof(expected));
	return not_a_value(command, row, value, expected);
}

static void append(struct string_list *list, const char *text)
{
	if (list->n == list->cap) {
		list->cap = list->cap ? 2 * list->cap : 8;
		list->at = realloc(list->at, list->cap * sizeof(*list->at));
		if (!list->at)
			abort();
	}
	list->at[list->n++] = text;
}

/* 0 or EXIT_USAGE. value is NULL for a flag. */
static int set(const struct command *command, const struct cli_option *row, const char *value)
{
	switch (row->kind) {
	case OPTION_FLAG:
		*row->to.flag = true;
		return 0;
	case OPTION_STRING:
		*row->to.string = value;
		return 0;
	case OPTION_LIST:
		append(row->to.list, value);
		return 0;
	case OPTION_REAL:
		return units_real(value, row->to.real) ? 0 : not_a_value(command, row, value, units_real_form);
	case OPTION_CHOICE:
		return set_choice(command, row, value);
	default:
		return set_number(command, row, value);
	}
}

/* ---- parsing ---- */

struct words {
	const struct command *command;
	char **at;			/* what is left, ends with NULL */
};

const char *cli_argument(const struct cli_option *row)
{
	if (row->kind == OPTION_FLAG)
		return NULL;
	return row->argument ? row->argument : row->kind == OPTION_CHOICE ? "WHICH" : "VALUE";
}

static bool has_name(const struct cli_option *row, void *context)
{
	const char *wanted = context;
	size_t len = strcspn(wanted, "=");

	return row->name && strlen(row->name) == len && strncmp(row->name, wanted, len) == 0;
}

static bool has_letter(const struct cli_option *row, void *context)
{
	return row->letter && row->letter == *(const char *)context;
}

/* The word after an option that has none of its own; NULL after a message. */
static const char *next_word(struct words *w, const struct cli_option *row)
{
	if (!*w->at) {
		if (row->kind == OPTION_CHOICE) {
			char expected[400];

			print_choices(row->choices, expected, sizeof(expected));
			mistake(w->command, "--%s needs a value: %s", row->name, expected);
		} else {
			mistake(w->command, "--%s needs a value: --%s=%s", row->name, row->name, cli_argument(row));
		}
		return NULL;
	}
	return *w->at++;
}

static int long_option(struct words *w, char *text)	/* after the -- */
{
	const struct cli_option *row = each_option(w->command, has_name, text);
	char *equals = strchr(text, '=');
	const char *value = equals ? equals + 1 : NULL;

	if (!row) {
		if (equals)
			*equals = '\0';
		return unknown_option(w->command, text);
	}
	if (row->kind == OPTION_FLAG) {
		if (value)
			return mistake(w->command, "--%s takes no value, but got '%s'", row->name, console_safe(value));
	} else if (!value) {
		value = next_word(w, row);
		if (!value)
			return EXIT_USAGE;
	}
	return set(w->command, row, value);
}

static int short_options(struct words *w, char *text)	/* after the -: -v, -vq, -t5s, -t 5s */
{
	for (; *text; text++) {
		const struct cli_option *row = each_option(w->command, has_letter, text);
		const char *value = NULL;
		int rc;

		if (!row) {
			char letter[2] = { *text, '\0' };

			return cli_usage(w->command, "unknown option -%s", console_safe(letter));
		}
		if (row->kind != OPTION_FLAG) {
			value = text[1] ? text + 1 : next_word(w, row);
			if (!value)
				return EXIT_USAGE;
		}
		rc = set(w->command, row, value);
		if (rc || value)
			return rc;
	}
	return 0;
}

/* Sets options, and moves all other words to args[0..*n_args): it has room for all. 0 or EXIT_USAGE. */
static int parse(struct words *w, char **args, int *n_args)
{
	bool options_end = false;

	*n_args = 0;
	while (*w->at) {
		char *word = *w->at++;
		int rc = 0;

		if (options_end || word[0] != '-' || !word[1])
			args[(*n_args)++] = word;
		else if (strcmp(word, "--") == 0)
			options_end = true;
		else if (word[1] == '-')
			rc = long_option(w, word + 2);
		else
			rc = short_options(w, word + 1);
		if (rc)
			return rc;
	}
	args[*n_args] = NULL;
	return 0;
}

/* ---- help ---- */

#define HELP_COLUMN 28

const char *cli_option_notes(const struct cli_option *row, char *buf, size_t cap)
{
	char text[40];
	size_t n = 0;

	*buf = '\0';
	if (row->kind == OPTION_CHOICE) {
		n = (size_t)snprintf(buf, cap, ": ");
		print_choices(row->choices, buf + n, cap - n);
		n = strlen(buf);
		snprintf(buf + n, cap - n, " (default %s)", row->choices[*row->to.choice]);
	} else if (row->kind == OPTION_STRING && *row->to.string) {
		snprintf(buf, cap, " (default %s)", *row->to.string);
	} else if (row->kind == OPTION_DURATION && *row->to.number) {
		snprintf(buf, cap, " (default %s)", units_print_duration(*row->to.number, text, sizeof(text)));
	} else if (row->kind == OPTION_SIZE && *row->to.number) {
		snprintf(buf, cap, " (default %s)", units_print_size(*row->to.number, text, sizeof(text)));
	} else if (row->kind == OPTION_COUNT && *row->to.number) {
		snprintf(buf, cap, " (default %s)", units_print_count(*row->to.number, text, sizeof(text)));
	} else if (row->kind == OPTION_REAL) {
		snprintf(buf, cap, " (default %g)", *row->to.real);
	} else if (row->kind == OPTION_LIST) {
		snprintf(buf, cap, "; repeatable");
	}
	return buf;
}

/* Help text, broken between words at 100 columns, later lines under the first. */
static void print_wrapped(const char *text, int column)
{
	int at = column;

	while (*text) {
		int len = (int)strcspn(text, " ");

		if (at > column)
			at += at + 1 + len > 100 ? printf("\n%*s", column, "") - at - 1 : printf(" ");
		at += printf("%.*s", len, text);
		text += len + (text[len] == ' ');
	}
}

static bool print_row(const struct cli_option *row, void *context)
{
	char left[120], notes[400], text[800];
	size_t n;

	(void)context;
	if (row->kind == OPTION_HEADING) {
		printf("\n%s:\n", row->help);
		return false;
	}
	n = (size_t)snprintf(left, sizeof(left), "  %c%c%s --%s", row->letter ? '-' : ' ', row->letter ? row->letter : ' ',
	                     row->letter ? "," : " ", row->name);
	if (cli_argument(row))
		snprintf(left + n, sizeof(left) - n, " %s", cli_argument(row));
	printf("%-*s", HELP_COLUMN, left);
	if (strlen(left) + 1 > HELP_COLUMN)
		printf("\n%*s", HELP_COLUMN, "");
	snprintf(text, sizeof(text), "%s%s", row->help, cli_option_notes(row, notes, sizeof(notes)));
	print_wrapped(text, HELP_COLUMN);
	putchar('\n');
	return false;
}

static void indent(const char *text)
{
	while (*text) {
		int len = (int)strcspn(text, "\n");

		printf("  %.*s\n", len, text);
		text += len + (text[len] != '\0');
	}
}

static int command_help(const struct command *c)
{
	printf("usage: mqassay %s [OPTION...]%s%s\n\n", c->name, *c->arguments ? " " : "", c->arguments);
	print_wrapped(c->summary, 0);
	printf(".\n");
	if (c->details)
		printf("\n%s\n", c->details);
	if (c->options && c->options->kind != OPTION_HEADING && c->options->kind != OPTION_GROUP && c->options->kind != OPTION_END)
		printf("\nOptions:\n");
	each_option(c, print_row, NULL);
	if (c->example) {
		printf("\nExample:\n");
		indent(c->example);
	}
	return EXIT_PASS;
}

static int program_help(const struct command *const *commands, FILE *to)
{
	fputs("usage: mqassay COMMAND [OPTION...] [ARGUMENT...]\n\nTests, loads and breaks MQTT brokers, and reads their traffic.\n\n", to);
	for (; *commands; commands++)
		fprintf(to, "  %-10s %s\n", (*commands)->name, (*commands)->summary);
	fputs("\nmqassay help COMMAND, or mqassay COMMAND --help, tells more; mqassay --version the version.\n"
	      "mqassay --man is the manual page, mqassay --completion SHELL a completion script: bash, zsh or fish.\nExit codes:", to);
	for (const struct exit_code *e = cli_exit_codes; e->brief; e++)
		fprintf(to, "%s %d %s", e == cli_exit_codes ? "" : ",", e->code, e->brief);
	fputs(".\n", to);
	return to == stdout ? EXIT_PASS : EXIT_USAGE;
}

/* ---- running ---- */

static const struct command *find(const struct command *const *commands, const char *name)
{
	for (; *commands; commands++)
		if (strcmp((*commands)->name, name) == 0)
			return *commands;
	return NULL;
}

int cli_set(const struct command *command, char **words)
{
	struct words w = { command, words };
	char **args;
	int n_args, n = 0, rc;

	while (words[n])
		n++;
	args = calloc((size_t)n + 1, sizeof(*args));
	if (!args)
		abort();
	rc = parse(&w, args, &n_args);
	if (rc == 0 && n_args)
		rc = cli_usage(command, "unexpected argument '%s'", console_safe(args[0]));
	free(args);
	return rc;
}

static int run(const struct command *c, char **at)
{
	struct words w = { c, at };
	char **args;
	int n_args, n = 0, rc;

	while (at[n])
		n++;
	args = calloc((size_t)n + 1, sizeof(*args));
	if (!args)
		abort();
	rc = parse(&w, args, &n_args);
	console_set_color((enum console_color)color_mode);
	if (rc == 0 && help_wanted)
		rc = command_help(c);
	else if (rc == 0 && (unsigned)n_args < c->min_args)
		rc = cli_usage(c, "too few arguments: expected %s", c->arguments);
	else if (rc == 0 && (unsigned)n_args > c->max_args)
		rc = cli_usage(c, "unexpected argument '%s'", console_safe(args[c->max_args]));
	else if (rc == 0)
		rc = c->run(n_args, args);
	free(args);
	return rc;
}

static int help_command(const struct command *const *commands, const char *name)
{
	const struct command *c;

	if (!name)
		return program_help(commands, stdout);
	c = find(commands, name);
	return c ? command_help(c) : unknown_command(commands, name);
}

/* "SHELL", from --completion SHELL or --completion=SHELL */
static int completion(const struct command *const *commands, const char *shell)
{
	char expected[80];

	print_choices(cli_shells, expected, sizeof(expected));
	if (!shell)
		return mistake(NULL, "--completion needs a value: %s", expected);
	for (int i = 0; cli_shells[i]; i++)
		if (!strcmp(cli_shells[i], shell)) {
			cli_completion(stdout, i, commands);
			return EXIT_PASS;
		}
	return mistake(NULL, "--completion: expected %s, not '%s'", expected, console_safe(shell));
}

static int choose(const struct command *const *commands, char **argv)
{
	const struct command *c;

	if (!argv[0])
		return program_help(commands, stderr);
	if (strcmp(argv[0], "help") == 0 || strcmp(argv[0], "--help") == 0 || strcmp(argv[0], "-h") == 0)
		return help_command(commands, argv[1]);
	if (strcmp(argv[0], "--version") == 0) {
		puts("mqassay " MQASSAY_VERSION);
		return EXIT_PASS;
	}
	if (strcmp(argv[0], "--man") == 0) {
		cli_manual(stdout, commands);
		return EXIT_PASS;
	}
	if (strcmp(argv[0], "--completion") == 0)
		return completion(commands, argv[1]);
	if (strncmp(argv[0], "--completion=", strlen("--completion=")) == 0)
		return completion(commands, argv[0] + strlen("--completion="));
	if (argv[0][0] == '-')
		return mistake(NULL, "expected a command before %s (see mqassay --help)", console_safe(argv[0]));
	c = find(commands, argv[0]);
	return c ? run(c, argv + 1) : unknown_command(commands, argv[0]);
}

int cli_main(const struct command *const *commands, int argc, char **argv)
{
	int rc = choose(commands, argc > 0 ? argv + 1 : argv);

	/* Results that did not reach their file are no results. */
	if ((fflush(stdout) == EOF || ferror(stdout)) && rc != EXIT_USAGE) {
		console_error("could not write the output");
		return EXIT_UNABLE;
	}
	return rc;
}
