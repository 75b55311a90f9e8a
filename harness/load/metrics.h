#ifndef LOAD_METRICS_H
#define LOAD_METRICS_H

#include <stdio.h>

#include "harness/load/figures.h"

/*
 * What stands so far as Prometheus reads it (text format 0.0.4): counters and histograms of every role, phase,
 * meetings, and what this process takes.
 */
void metrics_write(FILE *out, const struct figures *so_far);

#endif
