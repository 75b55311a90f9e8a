#include "harness/cli_pages.h"

#include <string.h>

#include "harness/profile.h"

/*
 * Completion scripts. What an option's value can be follows from its row: a choice from its list, the rest from the name
 * of its argument. Rules, tests and faults are asked of the program when they are needed: what it has is what it says.
 */

const char *const cli_shells[] = { "bash", "zsh", "fish", NULL };

enum source { NOTHING, CHOICES, CAPABILITIES, FILES, RULES, TESTS, FAULTS, COMMANDS };

/* How the shells ask the program, %1$s, and which of the words it prints count: one a line. */
static const char *const asks[] = {
	[RULES] = "%1$s explain --list 2>/dev/null | cut -d ' ' -f 1",
	[TESTS] = "%1$s conform --list 2>/dev/null | awk '{ sub(/#.*/, \"\", $2); print $2 }' | sort -u; %1$s explain --list 2>/dev/null | cut -d ' ' -f 1",
	[FAULTS] = "%1$s broker --break list 2>/dev/null | cut -d ' ' -f 1",
};
static const char *const ask_names[] = { [RULES] = "rules", [TESTS] = "tests", [FAULTS] = "faults" };

static enum source source_of(const char *argument)
{
	static const struct {
		const char *argument;
		enum source source;
	} sources[] = {
		{ "FILE", FILES }, { "PATH", FILES }, { "DIR", FILES }, { "FOLDER", FILES },
		{ "RULE[/NAME]", FAULTS }, { "RULE", FAULTS }, { "PATTERN", TESTS }, { "CMD", COMMANDS }, { "CAPABILITY", CAPABILITIES },
	};

	for (size_t i = 0; i < sizeof(sources) / sizeof(*sources); i++)
		if (!strcmp(sources[i].argument, argument))
			return sources[i].source;
	return NOTHING;
}

static enum source value_source(const struct cli_option *option)
{
	return option->kind == OPTION_CHOICE ? CHOICES : source_of(cli_argument(option));
}

/* Of the arguments that are no options: "[FILE...]", "RULE", "PATH [TARGET]". */
static enum source argument_source(const struct command *command)
{
	char name[40];
	const char *start = command->arguments + (*command->arguments == '[');

	snprintf(name, sizeof(name), "%.*s", (int)strcspn(start, " .[]"), start);
	if (!strcmp(name, "RULE"))
		return RULES;
	return source_of(name);
}

/* The words that the value can be: of CHOICES and CAPABILITIES. */
static const char *const *words_of(enum source source, const struct cli_option *option)
{
	return source == CAPABILITIES ? capability_names() : option->choices;
}

static void put_choices(FILE *out, const char *const *choices)
{
	for (size_t i = 0; choices[i]; i++)
		fprintf(out, "%s%s", i ? " " : "", choices[i]);
}

/* The functions that ask, in the syntax that bash and zsh share. */
static void put_asks(FILE *out)
{
	for (unsigned i = 0; i < sizeof(asks) / sizeof(*asks); i++)
		if (asks[i]) {
			fprintf(out, "_mqassay_%s() {\n\t", ask_names[i]);
			fprintf(out, asks[i], "\"${program:-mqassay}\"");	/* bash says which of several was typed */
			fputs("\n}\n", out);
		}
}

/* ---- bash ---- */

static const char bash_head[] =
	"# Completion of mqassay in bash; made by mqassay --completion bash.\n"
	"\n";

/* A rule holds a colon, at which bash cuts words: they are put together again, and what is offered is cut as bash does. */
static const char bash_tail[] =
	"\n"
	"_mqassay() {\n"
	"\tlocal -a words=() offered=()\n"
	"\tlocal program=$1 i w rest=$COMP_LINE cur prev command= option= value\n"
	"\tfor ((i = 0; i <= COMP_CWORD; i++)); do\n"
	"\t\tw=${COMP_WORDS[i]}\n"
	"\t\tif ((i > 0)) && [[ $rest != [[:space:]]* ]]; then\n"
	"\t\t\twords[${#words[@]}-1]+=$w\n"
	"\t\telse\n"
	"\t\t\trest=${rest#\"${rest%%[![:space:]]*}\"}\n"
	"\t\t\twords+=(\"$w\")\n"
	"\t\tfi\n"
	"\t\trest=${rest#\"$w\"}\n"
	"\tdone\n"
	"\tcur=${words[${#words[@]}-1]} value=$cur\n"
	"\t((${#words[@]} > 2)) && command=${words[1]} prev=${words[${#words[@]}-2]}\n"
	"\tif [[ $command == help ]]; then\n"
	"\t\tcommand=\n"
	"\telif [[ $cur == --*=* ]]; then\n"
	"\t\toption=${cur%%=*} value=${cur#*=}\n"
	"\telif [[ $prev == -* && $(_mqassay_value \"$command\" \"$prev\") ]]; then\n"
	"\t\toption=$prev\n"
	"\tfi\n"
	"\tif [[ ! $command ]]; then\n"
	"\t\toffered=($(compgen -W \"$_mqassay_commands\" -- \"$cur\"))\n"
	"\telif [[ ! $option && $cur == -* ]]; then\n"
	"\t\toffered=($(compgen -W \"$(_mqassay_options \"$command\")\" -- \"$cur\"))\n"
	"\telse\n"
	"\t\tset -- $(_mqassay_value \"$command\" \"$option\")\n"
	"\t\tcase $1 in\n"
	"\t\tfiles) compopt -o filenames 2>/dev/null; mapfile -t offered < <(compgen -f -- \"$value\") ;;\n"
	"\t\tcommands) mapfile -t offered < <(compgen -c -- \"$value\") ;;\n"
	"\t\twords) shift; offered=($(compgen -W \"$*\" -- \"$value\")) ;;\n"
	"\t\trules | tests | faults) offered=($(compgen -W \"$(_mqassay_$1)\" -- \"$value\")) ;;\n"
	"\t\tesac\n"
	"\tfi\n"
	"\tw=${COMP_WORDS[COMP_CWORD]}\n"
	"\t[[ $w == [:=] ]] && w=\n"
	"\tw=${value%\"$w\"}\n"
	"\tCOMPREPLY=(\"${offered[@]#\"$w\"}\")\n"
	"}\n"
	"complete -F _mqassay mqassay\n";

static const char *const source_words[] = {
	[NOTHING] = "none", [FILES] = "files", [RULES] = "rules", [TESTS] = "tests", [FAULTS] = "faults", [COMMANDS] = "commands",
};

static void bash_options(void *context, const struct command *command, const struct cli_option *option)
{
	FILE *out = context;

	if (!option) {
		fprintf(out, "\t%s) echo '", command->name);
		return;
	}
	fprintf(out, " --%s", option->name);
}

static void bash_value(void *context, const struct command *command, const struct cli_option *option)
{
	FILE *out = context;

	if (!option) {
		fprintf(out, "\t%s:) echo %s ;;\n", command->name, source_words[argument_source(command)]);
		return;
	}
	if (option->kind == OPTION_FLAG)
		return;
	fprintf(out, "\t%s:--%s", command->name, option->name);
	if (option->letter)
		fprintf(out, " | %s:-%c", command->name, option->letter);
	fputs(") echo ", out);
	if (value_source(option) == CHOICES || value_source(option) == CAPABILITIES) {
		fputs("words ", out);
		put_choices(out, words_of(value_source(option), option));
	} else {
		fputs(source_words[value_source(option)], out);
	}
	fputs(" ;;\n", out);
}

static void bash(FILE *out, const struct command *const *commands)
{
	fputs(bash_head, out);
	put_asks(out);
	fputs("\n_mqassay_commands='help --help --version --man --completion", out);
	for (size_t i = 0; commands[i]; i++)
		fprintf(out, " %s", commands[i]->name);
	fputs("'\n\n_mqassay_options() {\t# COMMAND\n\tcase $1 in\n", out);
	for (size_t i = 0; commands[i]; i++) {
		const struct command *const one[] = { commands[i], NULL };

		cli_walk(one, bash_options, out);
		fputs("' ;;\n", out);
	}
	fputs("\tesac\n}\n\n_mqassay_value() {\t# COMMAND OPTION: what stands behind the option, or without one, what arguments are; nothing behind a flag\n"
	      "\tcase $1:$2 in\n", out);
	cli_walk(commands, bash_value, out);
	fputs("\tesac\n}\n", out);
	fputs(bash_tail, out);
}

/* ---- zsh ---- */

/* Text in a single-quoted word of _arguments, in which [ ] and : have a meaning. */
static void zsh_text(FILE *out, const char *text)
{
	for (; *text; text++) {
		if (strchr("[]:\\", *text))
			fputc('\\', out);
		fputs(*text == '\'' ? "'\\''" : (char[]){ *text, '\0' }, out);
	}
}

static void zsh_action(FILE *out, enum source source, const struct cli_option *option)
{
	switch (source) {
	case CHOICES: case CAPABILITIES:
		fputc('(', out);
		put_choices(out, words_of(source, option));
		fputc(')', out);
		break;
	case FILES:
		fputs("_files", out);
		break;
	case COMMANDS:
		fputs("_command_names -e", out);
		break;
	case RULES: case TESTS: case FAULTS:
		fprintf(out, "_mqassay_offer %s", ask_names[source]);
		break;
	case NOTHING:
		fputc(' ', out);
		break;
	}
}

static void zsh_option(void *context, const struct command *command, const struct cli_option *option)
{
	FILE *out = context;
	char notes[400];

	(void)command;
	if (!option)
		return;
	fputs(" \\\n\t\t", out);
	if (option->kind == OPTION_LIST)
		fputs("'*'", out);
	else if (option->letter)
		fprintf(out, "'(-%c --%s)'", option->letter, option->name);
	if (option->letter)
		fprintf(out, "{-%c%s,--%s%s}", option->letter, option->kind == OPTION_FLAG ? "" : "+", option->name, option->kind == OPTION_FLAG ? "" : "=");
	else
		fprintf(out, "--%s%s", option->name, option->kind == OPTION_FLAG ? "" : "=");
	fputs("'[", out);
	zsh_text(out, option->help);
	zsh_text(out, cli_option_notes(option, notes, sizeof(notes)));
	fputc(']', out);
	if (cli_argument(option)) {
		fputc(':', out);
		zsh_text(out, cli_argument(option));
		fputc(':', out);
		zsh_action(out, value_source(option), option);
	}
	fputc('\'', out);
}

static void zsh(FILE *out, const struct command *const *commands)
{
	fputs("#compdef mqassay\n# Completion of mqassay in zsh; made by mqassay --completion zsh.\n\n", out);
	put_asks(out);
	fputs("_mqassay_offer() {\n\tlocal -a offered=(${(f)\"$(_mqassay_$1)\"})\n\tcompadd -a offered\n}\n\n", out);
	fputs("_mqassay() {\n\tlocal curcontext=$curcontext state line\n\tlocal -a commands=(\n", out);
	for (size_t i = 0; commands[i]; i++) {
		fprintf(out, "\t\t'%s:", commands[i]->name);
		zsh_text(out, commands[i]->summary);
		fputs("'\n", out);
	}
	fputs("\t\t'help:what a command does'\n\t)\n\t_arguments -C --version --man --help '--completion=[a completion script]:SHELL:(", out);
	put_choices(out, cli_shells);
	fputs(")' '1:command:->command' '*::argument:->argument'\n\tcase $state in\n\tcommand) _describe command commands; return ;;\n\tesac\n"
	      "\tcase $words[1] in\n\thelp) _describe command commands ;;\n", out);
	for (size_t i = 0; commands[i]; i++) {
		const struct command *const one[] = { commands[i], NULL };

		fprintf(out, "\t%s) _arguments -s", commands[i]->name);
		cli_walk(one, zsh_option, out);
		if (*commands[i]->arguments) {
			fputs(" \\\n\t\t'*:", out);
			zsh_text(out, commands[i]->arguments);
			fputc(':', out);
			zsh_action(out, argument_source(commands[i]), NULL);
			fputc('\'', out);
		}
		fputs(" ;;\n", out);
	}
	fputs("\tesac\n}\n\n[[ $funcstack[1] == _mqassay ]] && _mqassay \"$@\" || compdef _mqassay mqassay\n", out);
}

/* ---- fish ---- */

static void fish_text(FILE *out, const char *text)
{
	fputc('\'', out);
	for (; *text; text++) {
		if (*text == '\'' || *text == '\\')
			fputc('\\', out);
		fputc(*text, out);
	}
	fputc('\'', out);
}

static void fish_source(FILE *out, enum source source, const struct cli_option *option)
{
	switch (source) {
	case CHOICES: case CAPABILITIES:
		fputs(" -x -a '", out);
		put_choices(out, words_of(source, option));
		fputc('\'', out);
		break;
	case FILES:
		fputs(" -r -F", out);
		break;
	case COMMANDS:
		fputs(" -x -a '(__fish_complete_command)'", out);
		break;
	case RULES: case TESTS: case FAULTS:
		fprintf(out, " -x -a '(__mqassay_%s)'", ask_names[source]);
		break;
	case NOTHING:
		fputs(" -x", out);
		break;
	}
}

static void fish_row(void *context, const struct command *command, const struct cli_option *option)
{
	FILE *out = context;

	if (!option) {
		fprintf(out, "complete -c mqassay -n __fish_use_subcommand -a %s -d ", command->name);
		fish_text(out, command->summary);
		fputc('\n', out);
		if (argument_source(command) != NOTHING) {
			fprintf(out, "complete -c mqassay -n '__fish_seen_subcommand_from %s'", command->name);
			fish_source(out, argument_source(command), NULL);
			fputc('\n', out);
		}
		return;
	}
	fprintf(out, "complete -c mqassay -n '__fish_seen_subcommand_from %s' -l %s", command->name, option->name);
	if (option->letter)
		fprintf(out, " -s %c", option->letter);
	if (option->kind != OPTION_FLAG)
		fish_source(out, value_source(option), option);
	fputs(" -d ", out);
	fish_text(out, option->help);
	fputc('\n', out);
}

static void fish(FILE *out, const struct command *const *commands)
{
	fputs("# Completion of mqassay in fish; made by mqassay --completion fish.\n\n", out);
	for (unsigned i = 0; i < sizeof(asks) / sizeof(*asks); i++)
		if (asks[i]) {
			fprintf(out, "function __mqassay_%s\n\t", ask_names[i]);
			fprintf(out, asks[i], "mqassay");
			fputs("\nend\n", out);
		}
	fputs("\ncomplete -c mqassay -f\n", out);
	fputs("complete -c mqassay -n __fish_use_subcommand -l version -d 'the version'\n"
	      "complete -c mqassay -n __fish_use_subcommand -l man -d 'the manual page'\n"
	      "complete -c mqassay -n __fish_use_subcommand -l completion -d 'a completion script' -x -a '", out);
	put_choices(out, cli_shells);
	fputs("'\n", out);
	cli_walk(commands, fish_row, out);
}

void cli_completion(FILE *out, int shell, const struct command *const *commands)
{
	static void (*const scripts[])(FILE *out, const struct command *const *commands) = { bash, zsh, fish };

	scripts[shell](out, commands);
}
