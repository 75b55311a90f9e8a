/* The composition root: which commands there are. The only file that may know every folder. */
#include <fcntl.h>
#include <stddef.h>
#include <unistd.h>

#include "harness/cli.h"
#include "harness/cmd_explain.h"
#include "harness/conform.h"
#include "harness/load/load_target.h"
#include "reference-broker/local.h"

extern const struct command conform_command, load_command, fuzz_command, replay_command, decode_command, broker_command, lint_command, explain_command;

static const struct command *const commands[] = {
	&conform_command,
	&load_command,
	&fuzz_command,
	&replay_command,
	&decode_command,
	&broker_command,
	&lint_command,
	&explain_command,
	NULL
};

/* Started with one of them closed, a report would go into whatever connection got its number. */
static void hold_standard_streams(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= 2);
	if (fd > 2)
		close(fd);
}

int main(int argc, char **argv)
{
	hold_standard_streams();
	conform_use(&reference_broker);
	explain_use(&reference_broker);
	load_use(&reference_broker);
	return cli_main(commands, argc, argv);
}
