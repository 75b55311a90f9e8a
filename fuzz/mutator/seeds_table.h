#ifndef FUZZ_MUTATOR_SEEDS_TABLE_H
#define FUZZ_MUTATOR_SEEDS_TABLE_H

#include "harness/script.h"

/*
 * Conversations out of the tables of codec/: for each packet that a client sends, each field and property that it may have and each kind of
 * value one short scenario in which that value makes sense. In a fixed order. name and script are borrowed for the call.
 */
void table_scripts(enum version version, void (*take)(void *context, const char *name, const struct script *script), void *context);

#endif
