#ifndef HARNESS_KNOWN_H
#define HARNESS_KNOWN_H

#include "codec/fault.h"
#include "harness/report.h"

/*
 * Accepted deviations: what a run may find without failing, so that it fails on what is new, and on what no longer
 * happens. A file has tab-separated rows under the line `rule version test target reason`:
 *
 *   rule     5:MQTT-3.3.1-2; `-`: the test comes to inconclusive or unstable there
 *   version  of the test, 3.1, 3.1.1 or 5; `*`: any
 *   test     an id (file.scn#case), a file (all its cases), or a glob of either
 *   target   its label; `*`: any
 *   reason   why it is accepted; not empty
 *
 * Lines that begin with # and empty ones are passed over. A fail, or what failed once and is unstable, becomes `known` where a row
 * has its rule. Where tests of a row were judged and none fails by its rule any more, those that pass or warn become
 * `fixed`; a row for `-` never does, since one good run proves nothing about a test that is not stable.
 * A test ends at its first mismatch: one that is known by another row says nothing about this one.
 */
struct known_row {
	const char *rule, *test, *target, *reason;
	unsigned versions;		/* bits */
	const char *at;			/* "FILE:LINE" */
	bool glob;
	bool held, fixed;		/* on some target of the run */
};

struct known_line {			/* of the files, in their order */
	const char *text;		/* comments and rows as they were written */
	size_t row;			/* its number; NO_ROW: a comment or an empty line */
};

enum { KNOWN_MAX_FILE = 1 << 20, KNOWN_MAX_ROWS = 10000, KNOWN_MAX_LINE = 4000 };
#define NO_ROW SIZE_MAX

struct known {				/* all zero: empty */
	struct known_row *rows;
	struct known_line *lines;
	size_t n_rows, n_lines, cap_rows, cap_lines;
	struct region region;
};

/*
 * Adds the rows of one file; text may be anything at all. False: *fault says what was expected in fault->line; what came
 * before stays.
 */
bool known_parse(struct known *known, const char *name, struct span text, struct fault *fault);

/* The same from a file. 0, EXIT_USAGE or EXIT_UNABLE after one line on stderr. */
int known_read(struct known *known, const char *path);

/* The first row that fits no test of one suite or the other (which may be NULL), chosen or not; NULL: there is none. */
const struct known_row *known_stray(const struct known *known, const struct suite *suite, const struct suite *other);

/* Whether some row lists what the outcome has come to: what known_apply() will call known. */
bool known_holds(const struct known *known, const struct outcome *outcome, const char *label);

/* Gives `known` and `fixed` to what was conducted on the target of that label. */
void known_apply(struct known *known, struct conducted *conducted, const char *label);

/* A file for the fails of the run: the rows and comments there were, but for fixed ones; then a row for each fail that has none. */
void known_write(FILE *out, const struct known *known, const struct run *run);

void known_release(struct known *known);

#endif
