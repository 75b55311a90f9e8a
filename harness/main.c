/* The composition root: which commands there are. The only file that may know every folder. */
#include <stddef.h>

#include "harness/cli.h"
#include "harness/cmd_explain.h"
#include "harness/conform.h"
#include "reference-broker/local.h"

extern const struct command conform_command, broker_command, lint_command, explain_command;

static const struct command *const commands[] = {
	&conform_command,
	&broker_command,
	&lint_command,
	&explain_command,
	NULL
};

int main(int argc, char **argv)
{
	conform_use(&reference_broker);
	explain_use(&reference_broker);
	return cli_main(commands, argc, argv);
}
