#ifndef HARNESS_CAPTURE_H
#define HARNESS_CAPTURE_H

#include "harness/conduct.h"

/* What a run of `conform` keeps of its connections: --pcap. */

/* Before the run, so that nothing is played in vain. 0, or an exit code after one line on stderr. */
int capture_open(struct conduct_options *o);

/* Before each target. */
void capture_target(const char *label, bool simulated);

/* After the run, which came to `code`; what could not be written takes no verdict away. The exit code. */
int capture_close(int code);

#endif
