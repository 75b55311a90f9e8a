#ifndef HARNESS_CONFORM_H
#define HARNESS_CONFORM_H

#include "harness/local.h"
#include "harness/suite.h"

/* The target that `conform` plays against when none is named; before the command runs. */
void conform_use(const struct local_broker *broker);

/*
 * Plays what `replay` has read itself, with conform_options, on the target of args or as the options say; reports, and returns the
 * exit code. Releases the suite.
 */
int conform_replay(struct suite *suite, int n_args, char **args);

#endif
