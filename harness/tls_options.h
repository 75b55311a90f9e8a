#ifndef HARNESS_TLS_OPTIONS_H
#define HARNESS_TLS_OPTIONS_H

#include <stdio.h>

#include "harness/cli.h"
#include "harness/tls.h"

/* The options of a command that connects with TLS: --ca --cert --key --insecure --alpn. */
extern struct tls_settings tls_options;
extern const struct cli_option tls_option_rows[];

/* Whether the option of that name was given. */
bool tls_option_given(const char *name);

/* As words of a command line, " --ca FILE ...", quoted for the shell. */
void tls_options_print(FILE *out);

/* What they come to, made once and kept as long as the program; NULL after one line on stderr: *code is the exit code. */
struct tls_context *tls_from_options(const struct command *command, int *code);

#endif
