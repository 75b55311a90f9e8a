#ifndef HARNESS_HEALTH_H
#define HARNESS_HEALTH_H

#include "harness/usage.h"

/* How the target's process fares, where we know it. */
struct health {
	bool lives;
	char how[900];			/* how it ended: "died of signal 11 (Segmentation fault); it last said: ..."; one line, escaped */
	char sanitizer[300];		/* what a sanitizer reported since the process was started, its summary if there is one; "": nothing */
	struct usage usage;		/* of all its processes; 0: unknown, or not asked for */
};

/* Finds in what a process said the line by which a sanitizer sums up, or else begins; escaped. False: there is none. */
bool health_find_report(const char *said, size_t len, char *line, size_t cap);

#endif
