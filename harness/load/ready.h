#ifndef LOAD_READY_H
#define LOAD_READY_H

#include <stdio.h>

#include "codec/span.h"

/* The workloads that are compiled in: scenarios/load/NAME.scn. */

/*
 * Its text, and its file as the tree names it ("load/fan-in.scn"). False: there is none; *near is the one that looks
 * most like it, or NULL.
 */
bool ready_find(const char *name, struct span *text, const char **file, const char **near);

/* Each with its title and parameters. */
void ready_list(FILE *out);

#endif
