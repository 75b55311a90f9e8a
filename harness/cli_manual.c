#include "harness/cli_pages.h"

#include <ctype.h>
#include <string.h>

#include "harness/verdict.h"

/* The manual page. All it says about commands, options, verdicts and exit codes stands in their tables. */

/* ---- mdoc ---- */

/* Text in which nothing is a request and every hyphen is one that can be copied; each sentence on a line of its own, as mdoc asks. */
static void put_n(FILE *out, const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		bool ends = i && i + 1 < len && text[i] == ' ' && text[i - 1] == '.';

		if ((i == 0 || (text[i - 1] == ' ' && i > 1 && text[i - 2] == '.')) && (text[i] == '.' || text[i] == '\''))
			fputs("\\&", out);
		if (text[i] == '\\')
			fputs("\\e", out);
		else if (text[i] == '-')
			fputs("\\-", out);
		else if (text[i] == '"')
			fputs("\\(dq", out);
		else if (text[i] == '`' || text[i] == '\'')
			fputs(text[i] == '`' ? "\\(ga" : "\\(aq", out);
		else
			fputc(ends ? '\n' : text[i], out);
	}
}

static void put(FILE *out, const char *text)
{
	put_n(out, text, strlen(text));
}

/* Each line of text as a line of the page; a blank line begins a paragraph. */
static void put_lines(FILE *out, const char *text)
{
	while (*text) {
		size_t len = strcspn(text, "\n");

		if (len)
			put_n(out, text, len);
		else
			fputs(".Pp", out);
		fputc('\n', out);
		text += len + (text[len] != '\0');
	}
}

/* The first letter as a sentence has it, and a full stop behind. */
static void put_sentence(FILE *out, const char *text)
{
	char first = (char)toupper((unsigned char)*text);

	if (!*text)
		return;
	put_n(out, &first, 1);
	put(out, text + 1);
	fputs(text[strlen(text) - 1] == '.' ? "\n" : ".\n", out);
}

/* An argument of a macro, which may hold blanks. */
static void put_argument(FILE *out, const char *text)
{
	fputs(" \"", out);
	put(out, text);
	fputc('"', out);
}

/* ---- options ---- */

struct page {
	FILE *out;
	const struct command *command;
	bool common;			/* now those of every command */
	bool listing;			/* inside a list of options */
};

static void begin_list(struct page *page)
{
	if (!page->listing)
		fputs(".Bl -tag -width Ds\n", page->out);
	page->listing = true;
}

static void end_list(struct page *page)
{
	if (page->listing)
		fputs(".El\n", page->out);
	page->listing = false;
}

static void put_option(struct page *page, const struct cli_option *option)
{
	const char *argument = cli_argument(option);
	char notes[400];

	begin_list(page);
	fputs(".It", page->out);
	if (option->letter)
		fprintf(page->out, " Fl %c ,", option->letter);
	fprintf(page->out, " Fl \\-%s", option->name);
	if (argument) {
		fputs(" Ar", page->out);
		put_argument(page->out, argument);
	}
	fputc('\n', page->out);
	put(page->out, option->help);
	put(page->out, cli_option_notes(option, notes, sizeof(notes)));
	fputs(".\n", page->out);
}

static void put_command(struct page *page, const struct command *command)
{
	end_list(page);
	page->command = command;
	fputs(".Ss", page->out);
	put_argument(page->out, command->name);
	fputc('\n', page->out);
	put_sentence(page->out, command->summary);
	if (command->details) {
		fputs(".Pp\n", page->out);
		put_lines(page->out, command->details);
	}
}

static void visit(void *context, const struct command *command, const struct cli_option *option)
{
	struct page *page = context;

	if (!option)
		put_command(page, command);
	else if (!cli_is_common(option))
		put_option(page, option);
}

/* Of the first command only: they are the same for all. */
static void visit_common(void *context, const struct command *command, const struct cli_option *option)
{
	struct page *page = context;

	if (!page->command)
		page->command = command;
	if (option && command == page->command && cli_is_common(option))
		put_option(page, option);
}

/* ---- sections ---- */

static void put_head(FILE *out, const struct command *const *commands)
{
	fputs(".Dd " MQASSAY_DATE "\n.Dt MQASSAY 1\n.Os\n.Sh NAME\n.Nm mqassay\n.Nd tests, loads and breaks MQTT brokers, and reads their traffic\n"
	      ".Sh SYNOPSIS\n", out);
	for (; *commands; commands++) {
		const char *arguments = (*commands)->arguments;
		size_t len = strlen(arguments);

		fprintf(out, ".Nm\n.Cm %s\n.Op Ar option ...\n", (*commands)->name);
		if (len > 2 && arguments[0] == '[' && strchr(arguments, ']') == arguments + len - 1) {
			fputs(".Op Ar ", out);
			put_n(out, arguments + 1, len - 2);
			fputc('\n', out);
		} else if (len) {
			fputs(".Ar ", out);
			put(out, arguments);
			fputc('\n', out);
		}
	}
	fputs(".Nm\n.Fl \\-version | \\-man | \\-completion Ar SHELL\n", out);
}

static void put_description(FILE *out)
{
	fputs(".Sh DESCRIPTION\n.Nm\n", out);
	put_lines(out, "tests brokers of MQTT 3.1, 3.1.1 and 5.0.\n"
	               "A scenario is a conversation in a notation of its own, which conform plays against a broker; each is judged by the "
	               "clauses of the standard that it cites, and one monitor looks at every byte that the broker sends.\n"
	               "The scenarios and the tables of clauses are compiled in.\n"
	               "\n"
	               "A rule is written 5:MQTT-3.3.1-2, an unnumbered one 5:property-repeated, a fault that breaks it 5:MQTT-3.3.1-2/late.\n"
	               "A duration takes ns, us, ms, s, m or h behind its number, a size k, M or G.\n"
	               "An option's value stands behind it, or behind = in the same word.\n"
	               "\n"
	               "Results go to stdout, diagnostics and progress to stderr.\n"
	               "A mistake of the command line is one line and exit code 2.\n");
}

static void put_verdicts(FILE *out)
{
	fputs(".Sh VERDICTS\nA test comes to one of these, the worst of its clauses' verdicts; the worst stands first.\n.Bl -tag -width inconclusive\n", out);
	for (unsigned v = 0; v < N_VERDICTS; v++) {
		fprintf(out, ".It Cm %s\n", verdict_names[v]);
		put(out, verdict_meanings[v]);
		fputs(".\n", out);
	}
	fputs(".El\n", out);
}

static void put_exit_codes(FILE *out)
{
	fputs(".Sh EXIT STATUS\n.Bl -tag -width Ds\n", out);
	for (const struct exit_code *e = cli_exit_codes; e->brief; e++) {
		fprintf(out, ".It %d\n", e->code);
		put_sentence(out, e->meaning);
	}
	fputs(".El\n", out);
}

static void put_examples(FILE *out, const struct command *const *commands)
{
	fputs(".Sh EXAMPLES\n.Bd -literal\n", out);
	for (; *commands; commands++)
		if ((*commands)->example) {
			put_lines(out, (*commands)->example);
		}
	fputs(".Ed\n", out);
}

void cli_manual(FILE *out, const struct command *const *commands)
{
	struct page page = { .out = out };

	put_head(out, commands);
	put_description(out);
	fputs(".Sh COMMANDS\n", out);
	cli_walk(commands, visit, &page);
	end_list(&page);
	fputs(".Ss \"every command\"\nOptions that each of them has:\n", out);
	page.command = NULL;
	cli_walk(commands, visit_common, &page);
	end_list(&page);
	put_verdicts(out);
	put_exit_codes(out);
	put_examples(out, commands);
	fputs(".Sh STANDARDS\nMQTT Version 3.1.1 and MQTT Version 5.0, OASIS Standards; MQTT V3.1 Protocol Specification.\n", out);
}
