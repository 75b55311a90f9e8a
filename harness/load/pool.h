#ifndef LOAD_POOL_H
#define LOAD_POOL_H

#include <stddef.h>
#include <stdint.h>

/*
 * Small blocks of memory for one thread: taking and giving back cost a few instructions, and what is given back
 * serves the next that asks for the same size class (16, 32, 48, 64, 96, 128, 192, 256 ... bytes, a third wasted at
 * most above 64). Larger ones than 64 kB come from malloc. Blocks are aligned to 16 bytes. What the machine does not
 * have ends the program in one line, exit 3: a load generator cannot go on without.
 */
struct pool;

struct pool *pool_new(void);
void pool_free(struct pool *pool);			/* and all that was taken from it */
void *pool_take(struct pool *pool, size_t size);	/* not zeroed */
void *pool_zeroed(struct pool *pool, size_t size);
void pool_give(struct pool *pool, void *block, size_t size);	/* of the size that was taken; NULL is fine */
size_t pool_in_use(const struct pool *pool);		/* bytes taken and not given back, as rounded up */

#endif
