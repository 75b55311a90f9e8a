#ifndef HARNESS_CONFORM_OUTPUT_H
#define HARNESS_CONFORM_OUTPUT_H

#include "harness/known.h"

/* What a run of `conform` leaves behind: the report on stdout, those that --report names, and --write-known's file. */

/*
 * Before the run: every file can be written, so that nothing is played for a minute and then lost. 0, or an exit code after
 * one line on stderr.
 */
int conform_output_check(void);

/*
 * After it. One that cannot be written any more keeps none of the others from being written. 0, or EXIT_UNABLE after a line
 * on stderr for each.
 */
int conform_output_write(const struct run *run, const struct known *known);

#endif
