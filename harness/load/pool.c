#include "harness/load/pool.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * Blocks are cut from chunks and, once given back, wait in a list of their size class. Those of more than LARGEST_CUT
 * bytes are a chunk each, kept likewise; those of more than LARGEST are malloc's, chained so that the pool can free
 * what nobody gave back. Under AddressSanitizer only what was asked for of a block that is taken may be touched.
 */

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define POISONS 1
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define POISONS 1
#endif
#ifdef POISONS
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(at, len) ((void)(at), (void)(len))
#define ASAN_UNPOISON_MEMORY_REGION(at, len) ((void)(at), (void)(len))
#endif

enum { CHUNK = 64 * 1024, LARGEST_CUT = 4096, LARGEST = 64 * 1024, N_CLASSES = 24 };

struct unused {
	struct unused *next;
};

struct chunk {				/* in front of what malloc gave */
	struct chunk *next, **at;
};

struct pool {
	struct unused *unused[N_CLASSES];
	uint8_t *cut, *cut_end;		/* what is left of the newest chunk */
	struct chunk *chunks;
	size_t in_use;
};

/* Of size bytes, at most LARGEST: 16, 32, 48, 64, then two to each power of two. */
static unsigned class_of(size_t size)
{
	if (size <= 64)
		return size ? (unsigned)(size - 1) / 16 : 0;
	unsigned power = 63 - (unsigned)__builtin_clzll(size - 1);
	return 4 + 2 * (power - 6) + (size > (size_t)3 << (power - 1));
}

static size_t size_of(unsigned class)
{
	if (class < 4)
		return 16 * (class + 1);
	return (class & 1 ? (size_t)4 : (size_t)3) << ((class - 4) / 2 + 5);
}

static void *must(void *block)
{
	if (!block) {
		fputs("mqassay: out of memory\n", stderr);
		exit(3);
	}
	return block;
}

struct pool *pool_new(void)
{
	return must(calloc(1, sizeof(struct pool)));
}

void pool_free(struct pool *pool)
{
	while (pool && pool->chunks) {
		struct chunk *chunk = pool->chunks;

		pool->chunks = chunk->next;
		free(chunk);
	}
	free(pool);
}

static void *chunk_new(struct pool *pool, size_t size)
{
	struct chunk *chunk = size <= SIZE_MAX - sizeof(*chunk) ? malloc(sizeof(*chunk) + size) : NULL;

	must(chunk);
	*chunk = (struct chunk){ .next = pool->chunks, .at = &pool->chunks };
	if (chunk->next)
		chunk->next->at = &chunk->next;
	pool->chunks = chunk;
	return chunk + 1;
}

static void *cut(struct pool *pool, size_t size)
{
	uint8_t *block;

	if (size > LARGEST_CUT)
		return chunk_new(pool, size);
	if ((size_t)(pool->cut_end - pool->cut) < size) {
		/* What is left of the old one is not worth keeping: less than LARGEST_CUT of CHUNK bytes. */
		pool->cut = chunk_new(pool, CHUNK - sizeof(struct chunk));
		pool->cut_end = pool->cut + CHUNK - sizeof(struct chunk);
		ASAN_POISON_MEMORY_REGION(pool->cut, (size_t)(pool->cut_end - pool->cut));
	}
	block = pool->cut;
	pool->cut += size;
	return block;
}

void *pool_take(struct pool *pool, size_t size)
{
	if (size > LARGEST) {
		pool->in_use += size;
		return chunk_new(pool, size);
	}

	unsigned class = class_of(size);
	struct unused *block = pool->unused[class];
	pool->in_use += size_of(class);
	if (!block)
		block = cut(pool, size_of(class));
	else {
		ASAN_UNPOISON_MEMORY_REGION(block, sizeof(*block));
		pool->unused[class] = block->next;
		ASAN_POISON_MEMORY_REGION(block, sizeof(*block));
	}
	ASAN_UNPOISON_MEMORY_REGION(block, size);
	return block;
}

void *pool_zeroed(struct pool *pool, size_t size)
{
	return memset(pool_take(pool, size), 0, size);
}

void pool_give(struct pool *pool, void *block, size_t size)
{
	if (!block)
		return;
	if (size > LARGEST) {
		struct chunk *chunk = (struct chunk *)block - 1;

		assert(pool->in_use >= size);
		pool->in_use -= size;
		*chunk->at = chunk->next;
		if (chunk->next)
			chunk->next->at = chunk->at;
		free(chunk);
		return;
	}

	unsigned class = class_of(size);
	struct unused *unused = block;
	assert(pool->in_use >= size_of(class));
	pool->in_use -= size_of(class);
	ASAN_UNPOISON_MEMORY_REGION(block, sizeof(*unused));
	unused->next = pool->unused[class];
	pool->unused[class] = unused;
	ASAN_POISON_MEMORY_REGION(block, size_of(class));
}

size_t pool_in_use(const struct pool *pool)
{
	return pool->in_use;
}
