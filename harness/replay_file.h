#ifndef HARNESS_REPLAY_FILE_H
#define HARNESS_REPLAY_FILE_H

#include <stdio.h>

#include "codec/fault.h"
#include "harness/region.h"

/*
 * replay.options, in an artifacts folder: what `mqassay replay` needs to play the test again. A line each, KEY=VALUE, in any order;
 * empty lines and those that begin with # are passed over. In a value \\ is a backslash and \xHH a byte; all other bytes are printable
 * ASCII.
 *
 *   scenario=PATH     the scenario, below the folder: no .. and no / in front; required
 *   case=NAME         what stands behind # in the test's id; without it the file has one test in that version
 *   mqtt=VERSION      3.1, 3.1.1 or 5; required
 *   target=TARGET     as on the command line; without it the built-in broker or exec
 *   exec=CMD          the command that started the target. It is shown and never run
 *   password          there was one; it is not kept
 *   tls=NAMES         which of these options of conform were given, between spaces: ca cert key insecure alpn. Neither files nor trust
 *                     are taken from a folder: they have to be given again
 *   OPTION=VALUE      an option of conform, by its long name: define without broker break transport also user split timeout timer-tolerance slack seed, may repeat
 *   OPTION            one that takes no value: real
 */
struct replay_file {
	const char *scenario, *case_name, *target, *exec;	/* NULL: none */
	const char *version;
	const char *tls;
	bool password;
	struct replay_option {
		const char *name, *value;	/* value NULL: a flag */
	} *options;
	size_t n_options, cap_options;
	struct region region;		/* of what was read */
};

enum { REPLAY_MAX_FILE = 256 * 1024 };

/* The options of conform that a replay repeats; ends with NULL. */
extern const char *const replay_option_names[];
extern const char *const replay_tls_names[];		/* likewise; those of tls= */

/*
 * text may be anything at all. False: fault->text says what was expected in fault->line. Values of options are
 * not looked into. To be released in either case.
 */
bool replay_parse(struct replay_file *file, struct span text, struct fault *fault);

/* What replay_parse() reads back. Errors stay in out. */
void replay_write(FILE *out, const struct replay_file *file);
void replay_add_option(struct replay_file *file, const char *name, const char *value);	/* both borrowed */
void replay_release(struct replay_file *file);

#endif
