#ifndef LOAD_WORDING_H
#define LOAD_WORDING_H

#include <stdbool.h>
#include <stdint.h>

#include "harness/load/tally.h"

/* Figures as people read them, for texts and tables. Each result is a thread's own, good until sixteen more have been asked for. */

const char *say_count(uint64_t n);		/* 12,345,678 */
const char *say_rate(double per_s);		/* 12,345; below 10 with a digit behind the point */
const char *say_ns(uint64_t ns);		/* 0, 840 ns, 1.23 us, 12.3 ms, 123 ms, 1.23 s, 12.3 min: three digits */
const char *say_bytes(uint64_t bytes);		/* 512 B, 1.23 kB, 12.3 MB, 4.8 GB: powers of 1000, as memory of this much is asked for */
const char *say_share(double share);		/* of 1: 0 %, 0.12 %, 12.3 %, 99.97 %, 100 %: the last only when it is all */

/* Whether two reasons are one: of broken rules, those of one clause, whatever numbers each names; the first stands for all. */
bool is_same_reason(enum counter counter, const char *a, const char *b);

#endif
