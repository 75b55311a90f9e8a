/* The composition root: which commands there are. The only file that may know every folder. */
#include <stddef.h>

#include "harness/cli.h"

static const struct command *const commands[] = {
	NULL
};

int main(int argc, char **argv)
{
	return cli_main(commands, argc, argv);
}
