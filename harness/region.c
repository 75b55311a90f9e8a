#include "harness/region.h"

#include <stdalign.h>
#include <stdlib.h>

enum { FIRST_CHUNK = 64, LAST_CHUNK = 16 * 1024 };	/* chunks grow with the region: most keep little */

struct region_chunk {
	struct region_chunk *next;
	size_t used, cap;
	alignas(max_align_t) unsigned char room[];
};

static struct region_chunk *chunk_new(struct region *region, size_t size)
{
	size_t usual = region->total < FIRST_CHUNK ? FIRST_CHUNK : region->total < LAST_CHUNK ? region->total : LAST_CHUNK;
	size_t cap = size > LAST_CHUNK / 4 || size > usual ? size : usual;
	struct region_chunk *chunk = cap > SIZE_MAX - sizeof *chunk ? NULL : calloc(1, sizeof *chunk + cap);

	if (!chunk)
		abort();
	chunk->cap = cap;
	if (cap == size && region->chunks) {	/* a large one does not end the chunk in use */
		chunk->next = region->chunks->next;
		region->chunks->next = chunk;
	} else {
		chunk->next = region->chunks;
		region->chunks = chunk;
	}
	return chunk;
}

void *region_alloc(struct region *region, size_t size)
{
	const size_t align = alignof(max_align_t);
	struct region_chunk *chunk = region->chunks;
	void *at;

	if (size > SIZE_MAX - align)
		abort();
	size = (size + align - 1) / align * align;
	if (!chunk || size > chunk->cap - chunk->used)
		chunk = chunk_new(region, size);
	at = chunk->room + chunk->used;
	chunk->used += size;
	region->total += size;
	return at;
}

struct span region_copy(struct region *region, struct span s)
{
	uint8_t *at = region_alloc(region, s.len + 1);

	if (s.len)
		memcpy(at, s.at, s.len);
	return (struct span){ at, s.len };
}

char *region_string(struct region *region, struct span s)
{
	return (char *)region_copy(region, s).at;
}

void region_release(struct region *region)
{
	struct region_chunk *chunk = region->chunks;

	while (chunk) {
		struct region_chunk *next = chunk->next;

		free(chunk);
		chunk = next;
	}
	*region = (struct region){ 0 };
}
