#ifndef LOAD_LOAD_OPTIONS_H
#define LOAD_LOAD_OPTIONS_H

#include "harness/cli.h"
#include "harness/load/control.h"

/* What the command line of `load` said, and the table that says so: an option is a member, its default and a row. */
struct load_options {
	struct string_list params, expect, reports, broken, sources;
	const char *exec, *user, *password_file, *shard, *start_at, *metrics, *broker, *name, *listen;
	uint64_t for_ns, drain_ns, timeout_ns, start_timeout_ns, patience_ns, threads, shards, pending, seed, pid, clients;
	uint64_t flood, flood_qos, flood_each;
	int mqtt, format, way, calibrate;
	bool list, leave, quiet;
	const char *password;		/* that password_file holds; NULL: none */
};

extern struct load_options load_options;
extern const struct cli_option load_option_rows[];
extern const struct command load_command;

enum { CALIBRATE_AUTO, CALIBRATE_ALWAYS, CALIBRATE_NEVER };

/* Checks what a table cannot: values, and options that exclude each other. 0, or an exit code after one line on stderr. */
int load_options_check(int n_args);

/* -D NAME=VALUE: n of them, static; NULL after one line on stderr when one has no name. */
const struct param *load_params(size_t *n);
/* Whether each of them is a `param` of the file. 0, or EXIT_USAGE after one line on stderr. */
int load_params_check(const struct scenario *scenario);

/* --expect: n of them, given (free()); NULL after one line on stderr. */
struct expectation *load_expectations(size_t *n);

/* The whole command line as it was given, quoted for a shell; "" where the system does not say. Given (free()). */
char *load_command_line(void);

/* ---- load_output.c: the report on stdout, and those that --report names ---- */

int load_output_check(void);				/* before the run: every file can be written. 0, or an exit code after one line on stderr */
int load_output_write(const struct figures *figures);	/* 0, or EXIT_UNABLE after a line on stderr for each that could not be written */

/* ---- load_files.c: what earlier runs wrote ---- */

int load_merge(int n_args, char **args);
int load_compare(int n_args, char **args);

/* ---- load_sink.c ---- */

int load_sink(int n_args, char **args);

#endif
