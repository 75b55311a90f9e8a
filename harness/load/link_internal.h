#ifndef LOAD_LINK_INTERNAL_H
#define LOAD_LINK_INTERNAL_H

#include "harness/load/link.h"

/* Between link.c (beginnings and ends), link_in.c and link_out.c. */

enum {
	READ_SIZE = 64 * 1024,
	SMALL = 4 * 1024,		/* of an unfinished packet at most so much is put in front of what comes next; larger ones grow where they are */
	IN_SIZE = SMALL + READ_SIZE,
};

void link_touch(struct link *link);		/* hub->flush will look at it when the batch is over */
void link_ended(struct link *link, enum link_end how);	/* the broker's doing, or the network's: the owner is told */
void link_came_through(struct link *link);	/* it is not among the connects under way any more: the next one's turn */

/* ---- link_in.c ---- */
void link_take(struct link *link);		/* one read, and all packets that are whole by it */
void link_deliver_kept(struct link *link);	/* what came before a pause */

/* ---- link_out.c ---- */
void link_put(struct link *link);		/* all that waits, as far as the transport takes it */
void link_tell_room(struct link *link);
void link_drop_unsent(struct link *link);

#endif
