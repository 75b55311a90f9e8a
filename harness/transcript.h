#ifndef HARNESS_TRANSCRIPT_H
#define HARNESS_TRANSCRIPT_H

#include <stdio.h>

#include "harness/verdict.h"

/* A test's events in the notation, a line each: "  0.000412  sub <- CONNACK session_present=0 reason=Success". */
void transcript_print(FILE *out, const struct script *script, const struct result *result, const char *indent);

/*
 * A password that no transcript shows from now on, borrowed: where a CONNECT carries it stands "***", and bytes that hold it and
 * cannot be read as a packet are not shown. NULL: none, as at the beginning. What a target itself repeats is not recognised.
 */
void transcript_conceal(const char *password);

/* The same of every password that a CONNECT carries and that can be read: they are a capture's, and somebody's. */
void transcript_conceal_all(bool conceal);

#endif
