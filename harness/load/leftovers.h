#ifndef LOAD_LEFTOVERS_H
#define LOAD_LEFTOVERS_H

#include "harness/load/run_internal.h"

/*
 * Removes from the broker what the run may have left there: sessions that outlive their connection, and retained
 * messages. Nothing is remembered for it while the run is on: the steps say which there can be. For some seconds at
 * most; what it could not remove is told in a note.
 */
void clear_leftovers(struct run *r);

#endif
