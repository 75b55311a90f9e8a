#ifndef FUZZ_NETWORK_JANITOR_H
#define FUZZ_NETWORK_JANITOR_H

#include "fuzz/mutator/moves.h"

/*
 * What a case may leave behind on somebody's broker, and the case that takes it away again: sessions that outlive their connection, retained messages. Without it a campaign of an hour would fill any
 * broker by right, and its memory would say nothing.
 */

/* False: nothing is left, *after is void. The client that clears up is number 0; names as MOVES_NAME, to be played under the case's number. */
bool janitor_follow(const struct moves *moves, struct moves *after);

/* Puts that behind the case itself, whose connections are dropped first; where there is no room for all of it, nothing. */
void janitor_join(struct moves *moves);

/* Puts nothing behind it but time: what it leaves comes to its end by itself. */
void janitor_leave(struct moves *moves, uint8_t half_seconds);

#endif
