#ifndef HARNESS_CONFORM_OPTIONS_H
#define HARNESS_CONFORM_OPTIONS_H

#include "harness/cli.h"
#include "harness/conduct.h"
#include "harness/profile.h"

/*
 * What the command line of `conform` said, and the table that says so: an option is a member, its
 * default and a row. What all commands that play scenarios share is kept apart from what they do with it.
 */
struct conform_options {
	struct string_list scenarios, select, without, params, broken, known, reports;
	const char *exec, *user, *password_file, *split, *profile_file, *write_known, *pcap, *artifacts;
	uint64_t timeout_ns, start_timeout_ns, timer_tolerance_ns, jobs, seed, repeat, pid;
	double slack;
	int mqtt, format, way;
	bool list, coverage, real, prove, verbose, quiet, secrets;
	struct string_list broker, also;
	bool one_case;			/* only the tests of that case are played, whatever select says */
	const char *only_case;		/* its name; NULL: they have none */
	struct profile profile;		/* that profile_file holds */
	const char *configuration;	/* of the built-in broker that is being played; NULL: as the tests need it */
};

extern struct conform_options conform_options;
extern const struct cli_option conform_option_rows[], conform_output_rows[];
extern const struct command conform_command;

/* The file that the password was read from: the option's, else the profile's where its user is ours; NULL: none. */
const char *conform_password_file(void);

/* Bits 1 << version of --mqtt. */
unsigned conform_versions(void);

/*
 * Checks what a table cannot, and fills *o with all that does not depend on the target. 0, or an exit code
 * after one line on stderr. What *o borrows lives as long as the program.
 */
int conform_options_apply(struct conduct_options *o, int n_args);

/* -D NAME=VALUE: n of them, static; NULL after one line on stderr when one has no name. */
const struct param *conform_params(size_t *n);

/* Whether each of them is a `param` of some scenario, played or not: 0, or EXIT_USAGE after one line on stderr. */
struct suite;
int conform_params_check(const struct suite *suite);

/*
 * The command line that repeats a test of this run on the target (NULL: the built-in broker), up to --mqtt and
 * --select: quoted for a shell; options about the output are left out. Given.
 */
char *conform_again(const char *target);

/* The same for an artifacts folder: all but the test, see replay_file.h. To be released. */
struct replay_file;
void conform_keep(struct replay_file *how, const char *target);

/* The whole command line as it was given, but for options about the output. Given. */
char *conform_command_line(int n_args, char **args);

#endif
