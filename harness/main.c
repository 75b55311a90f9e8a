/* The composition root: which commands there are. The only file that may know every folder. */
#include <stddef.h>

#include "harness/cli.h"
#include "harness/cmd_explain.h"
#include "harness/conform.h"
#include "reference-broker/faults.h"
#include "reference-broker/local.h"

extern const struct command conform_command, broker_command, lint_command, explain_command;

static const struct command *const commands[] = {
	&conform_command,
	&broker_command,
	&lint_command,
	&explain_command,
	NULL
};

static bool fault_at(size_t i, struct known_fault *fault)
{
	if (i >= n_fault_rows)
		return false;
	*fault = (struct known_fault){ fault_rows[i].rule, fault_rows[i].name, fault_rows[i].breaks };
	return true;
}

int main(int argc, char **argv)
{
	explain_fault_at = fault_at;
	conform_use(&reference_broker);
	return cli_main(commands, argc, argv);
}
