#ifndef HARNESS_REGION_H
#define HARNESS_REGION_H

#include "codec/span.h"

/* Memory that is freed all at once: what a parsed file or one test keeps. Aborts when the machine has none. */
struct region {
	struct region_chunk *chunks;
	size_t total;			/* bytes handed out, for limits */
};

void *region_alloc(struct region *region, size_t size);		/* zeroed, aligned for anything */
struct span region_copy(struct region *region, struct span s);	/* with a NUL behind it, not counted */
char *region_string(struct region *region, struct span s);	/* the same, as a C string */
void region_release(struct region *region);

#endif
