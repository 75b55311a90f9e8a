#ifndef HARNESS_NEAREST_H
#define HARNESS_NEAREST_H

#include "codec/span.h"

/* What somebody may have meant: takes the nearest of the names tried; best is NULL when none is near. */
struct nearest {
	struct span word;
	const char *best;
	unsigned distance;
};

void nearest_try(struct nearest *nearest, const char *name);

#endif
