#ifndef HARNESS_CLI_PAGES_H
#define HARNESS_CLI_PAGES_H

#include <stdio.h>

#include "harness/cli.h"

/* What is made from the tables of commands and options beside --help: `make` writes them to build/share. */

/* The manual page, in mdoc. */
void cli_manual(FILE *out, const struct command *const *commands);

extern const char *const cli_shells[];	/* "bash", "zsh", "fish"; ends with NULL */

/* A completion script for cli_shells[shell]. It asks the program itself for rules, tests and faults. */
void cli_completion(FILE *out, int shell, const struct command *const *commands);

#endif
