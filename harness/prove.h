#ifndef HARNESS_PROVE_H
#define HARNESS_PROVE_H

#include <stdio.h>

#include "harness/conduct.h"

/*
 * A test that was never seen failing proves nothing: plays the suite once per fault of the built-in broker and
 * says which tests caught it by the clause it breaks, which faults survive, and which tests catch nothing.
 * patterns choose faults ("5:MQTT-3.3.1-2", "MQTT-3.3.1-2/late"); none: all. Returns the exit code:
 * EXIT_FOUND when a fault survives, a test fails without any, or one catches nothing and clauses/uncaught.tsv gives no
 * reason for it. Faults of one clause that the same tests catch count once among the clauses and sets of tests.
 */
int prove(const struct suite *suite, const struct conduct_options *base, const char *const *patterns, size_t n_patterns,
          FILE *out, bool verbose);

#endif
