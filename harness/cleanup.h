#ifndef HARNESS_CLEANUP_H
#define HARNESS_CLEANUP_H

#include "harness/timeline.h"

/*
 * Removes what a test stored in a target: sessions that may live on, and retained messages. In the
 * background, with a bound on time; what cannot be removed is left.
 */
struct cleaner {
	struct cleaning *first;
	struct cleaning *waiting, **last_waiting;	/* their turn comes when others have gone */
	unsigned n_begun;
	bool beginning;
	void (*idle)(void *context);	/* all that was to be removed has been */
	void *context;
};

void cleaner_init(struct cleaner *cleaner, void (*idle)(void *context), void *context);
/* Notes what the timeline left and starts at once; the timeline may be freed then. */
void cleaner_add(struct cleaner *cleaner, const struct timeline *t, const struct stage *stage);
bool cleaner_busy(const struct cleaner *cleaner);
void cleaner_release(struct cleaner *cleaner);

#endif
