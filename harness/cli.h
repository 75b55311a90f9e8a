#ifndef HARNESS_CLI_H
#define HARNESS_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The command line: a table of commands, a table of options per command. The rows parse, print --help, and can be
 * walked to make a man page or shell completion. A command line with a mistake ends in one line and EXIT_USAGE.
 */

enum {
	EXIT_PASS = 0,
	EXIT_FOUND = 1,			/* a fail, a finding, a missed threshold */
	EXIT_USAGE = 2,			/* the user's mistake: command line or scenario */
	EXIT_UNABLE = 3,		/* could not run: target, file, nothing selected */
};

struct exit_code {
	int code;
	const char *brief, *meaning;	/* for --help; for the manual */
};

extern const struct exit_code cli_exit_codes[];	/* ends with an empty row (brief NULL) */

struct string_list {			/* borrows from the command line */
	const char **at;
	size_t n, cap;
};

enum option_kind {
	OPTION_END,
	OPTION_HEADING, OPTION_GROUP,	/* for --help: a line above the rows that follow; the rows of another table */
	OPTION_FLAG, OPTION_STRING, OPTION_LIST, OPTION_DURATION, OPTION_SIZE, OPTION_COUNT, OPTION_REAL, OPTION_CHOICE,
};

struct cli_option {
	enum option_kind kind;
	char letter;			/* 0: none */
	const char *name;
	union {				/* what parsing sets; what it holds before is the default that --help shows */
		bool *flag;
		const char **string;
		struct string_list *list;
		uint64_t *number;	/* nanoseconds, bytes, a count */
		double *real;
		int *choice;		/* index into choices */
		const struct cli_option *group;
	} to;
	const char *argument;		/* in --help: D, FILE, N */
	const char *help;
	uint64_t min, max;		/* numbers; max 0: no limit */
	const char *const *choices;	/* ends with NULL */
};

/* Rows of a table, which ends with OPT_END. The variable is named itself: OPT_FLAG('v', "verbose", conf.verbose, "...") */
#define OPT_END                                     { .kind = OPTION_END }
#define OPT_HEADING(text)                           { .kind = OPTION_HEADING, .help = (text) }
#define OPT_GROUP(table)                            { .kind = OPTION_GROUP, .to.group = (table) }
#define OPT_FLAG(c, name_, var, text)               { .kind = OPTION_FLAG, .letter = (c), .name = (name_), .to.flag = &(var), .help = (text) }
#define OPT_STRING(c, name_, var, arg, text)        { .kind = OPTION_STRING, .letter = (c), .name = (name_), .to.string = &(var), .argument = (arg), .help = (text) }
#define OPT_LIST(c, name_, var, arg, text)          { .kind = OPTION_LIST, .letter = (c), .name = (name_), .to.list = &(var), .argument = (arg), .help = (text) }
#define OPT_DURATION(c, name_, var, arg, text)      { .kind = OPTION_DURATION, .letter = (c), .name = (name_), .to.number = &(var), .argument = (arg), .help = (text) }
#define OPT_SOME_TIME(c, name_, var, arg, text)     { .kind = OPTION_DURATION, .letter = (c), .name = (name_), .to.number = &(var), .min = 1, .argument = (arg), .help = (text) }
#define OPT_SIZE(c, name_, var, arg, text)          { .kind = OPTION_SIZE, .letter = (c), .name = (name_), .to.number = &(var), .argument = (arg), .help = (text) }
#define OPT_COUNT(c, name_, var, lo, hi, arg, text) { .kind = OPTION_COUNT, .letter = (c), .name = (name_), .to.number = &(var), .min = (lo), .max = (hi), .argument = (arg), .help = (text) }
#define OPT_REAL(c, name_, var, arg, text)          { .kind = OPTION_REAL, .letter = (c), .name = (name_), .to.real = &(var), .argument = (arg), .help = (text) }
#define OPT_ENUM(c, name_, var, list_, text)        { .kind = OPTION_CHOICE, .letter = (c), .name = (name_), .to.choice = &(var), .choices = (list_), .help = (text) }

struct command {
	const char *name;
	const char *arguments;		/* "[TARGET...]", or "" */
	const char *summary;		/* one line, no full stop */
	const char *details;		/* paragraphs below it in --help, or NULL */
	const char *example;		/* "mqassay conform localhost:1883"; several on a line each */
	const struct cli_option *options;
	unsigned min_args, max_args;	/* of arguments that are no options; max 0: none, CLI_ANY: no limit */
	int (*run)(int n_args, char **args);	/* the exit code */
};

#define CLI_ANY ((unsigned)-1)

/* commands ends with NULL. Returns the exit code. Every command also has --help and --color; --version, --man and --completion=SHELL stand before any. */
int cli_main(const struct command *const *commands, int argc, char **argv);

/*
 * Sets options of the command from words (ending with NULL) that stand elsewhere, as in an option that holds options.
 * They are borrowed. 0, or EXIT_USAGE after one line on stderr: a mistake, or a word that is no option.
 */
int cli_set(const struct command *command, char **words);

/* One line on stderr, "mqassay COMMAND: ...", ending in a pointer to --help; returns EXIT_USAGE. For what a table cannot check. */
int cli_usage(const struct command *command, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Every command, and every option of it (groups opened, headings left out), in the order of the tables; option is NULL for the command itself. */
void cli_walk(const struct command *const *commands,
              void (*visit)(void *context, const struct command *command, const struct cli_option *option), void *context);

/* Of every command: --help and --color. */
bool cli_is_common(const struct cli_option *option);

/* What --help says behind an option's text: its choices, its default, that it may be repeated; "" or ": a, b or c (default a)". Returns buf. */
const char *cli_option_notes(const struct cli_option *option, char *buf, size_t cap);

/* What stands behind the option: FILE, WHICH; NULL for a flag. */
const char *cli_argument(const struct cli_option *option);

/* The one of names (ends with NULL) that looks most like text; NULL when none is near. */
const char *cli_nearest(const char *text, const char *const *names);

#endif
