#ifndef REFERENCE_BROKER_LOCAL_H
#define REFERENCE_BROKER_LOCAL_H

#include "harness/local.h"

/* For the composition root: the reference broker as the target in this process. */
extern const struct local_broker reference_broker;

#endif
