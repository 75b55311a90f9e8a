#ifndef HARNESS_TRANSCRIPT_H
#define HARNESS_TRANSCRIPT_H

#include <stdio.h>

#include "harness/verdict.h"

/* A test's events in the notation, a line each: "  0.000412  sub <- CONNACK session_present=0 reason=Success". */
void transcript_print(FILE *out, const struct script *script, const struct result *result, const char *indent);

#endif
