#ifndef HARNESS_CMD_EXPLAIN_H
#define HARNESS_CMD_EXPLAIN_H

#include "harness/local.h"

/* Whose faults `explain` lists; before the command runs. Without it none are listed. */
void explain_use(const struct local_broker *broker);

#endif
