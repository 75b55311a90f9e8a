#ifndef HARNESS_CONFORM_H
#define HARNESS_CONFORM_H

#include "harness/local.h"

/* The target that `conform` plays against when none is named; before the command runs. */
void conform_use(const struct local_broker *broker);

#endif
