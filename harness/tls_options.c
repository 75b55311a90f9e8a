#include "harness/tls_options.h"

#include <stdio.h>
#include <string.h>

#include "harness/shell.h"

struct tls_settings tls_options;

const struct cli_option tls_option_rows[] = {
	OPT_HEADING("TLS"),
	OPT_STRING(0, "ca", tls_options.ca, "FILE", "authorities to trust, in PEM, in place of the system's"),
	OPT_STRING(0, "cert", tls_options.cert, "FILE", "our certificate, for a server that asks for one"),
	OPT_STRING(0, "key", tls_options.key, "FILE", "its private key"),
	OPT_FLAG(0, "insecure", tls_options.insecure, "take any certificate"),
	OPT_STRING(0, "alpn", tls_options.alpn, "NAMES", "protocols to offer, between commas"),
	OPT_END
};

bool tls_option_given(const char *name)
{
	for (const struct cli_option *o = tls_option_rows; o->kind != OPTION_END; o++)
		if (o->name && !strcmp(o->name, name))
			return o->kind == OPTION_FLAG ? *o->to.flag : *o->to.string != NULL;
	return false;
}

void tls_options_print(FILE *out)
{
	for (const struct cli_option *o = tls_option_rows; o->kind != OPTION_END; o++) {
		if (!o->name || !tls_option_given(o->name))
			continue;
		fprintf(out, " --%s", o->name);
		if (o->kind == OPTION_STRING) {
			fputc(' ', out);
			shell_word(out, *o->to.string);
		}
	}
}

struct tls_context *tls_from_options(const struct command *command, int *code)
{
	static struct tls_context *context;
	struct fault fault;

	*code = EXIT_PASS;
	if (!context && !(context = tls_client_context(&tls_options, &fault))) {
		fprintf(stderr, "mqassay %s: %s\n", command->name, fault.text);
		*code = EXIT_UNABLE;
	}
	return context;
}
