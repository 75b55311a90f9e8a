#ifndef HARNESS_KEEP_H
#define HARNESS_KEEP_H

#include "harness/report.h"

/* What a run of `conform` keeps of its connections: --pcap and --artifacts. */

/* Before the run, so that nothing is played in vain. 0, or an exit code after one line on stderr. */
int keep_open(struct conduct_options *o);

/* Before each target. */
void keep_target(const char *label, bool simulated);

/* After each, when its verdicts stand. name: of the target on the command line; NULL when it has none. */
void keep_connections(const struct run *run, const struct run_target *target, const char *name);

/* After the run, which came to `code`; what could not be written takes no verdict away. The exit code. */
int keep_close(int code);

#endif
