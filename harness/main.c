/* The composition root: which commands there are. The only file that may know every folder. */
#include <stddef.h>

#include "harness/cli.h"

extern const struct command broker_command, lint_command, explain_command;

static const struct command *const commands[] = {
	&broker_command,
	&lint_command,
	&explain_command,
	NULL
};

int main(int argc, char **argv)
{
	return cli_main(commands, argc, argv);
}
