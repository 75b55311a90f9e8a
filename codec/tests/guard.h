#ifndef CODEC_TESTS_GUARD_H
#define CODEC_TESTS_GUARD_H

#include <assert.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Room whose last byte is the last readable one: reading at[len] of what guard_copy() returns ends the program. */
struct guard {
	uint8_t *room, *end;
};

static inline struct guard guard_new(size_t cap)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE), whole = (cap + page - 1) / page * page;
	uint8_t *room = mmap(NULL, whole + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert(room != MAP_FAILED);
	assert(mprotect(room + whole, page, PROT_NONE) == 0);
	return (struct guard){ room, room + whole };
}

/* The bytes moved up against the unreadable page. */
static inline const uint8_t *guard_copy(const struct guard *g, const uint8_t *bytes, size_t len)
{
	assert(len <= (size_t)(g->end - g->room));
	if (len)
		memcpy(g->end - len, bytes, len);
	return g->end - len;
}

#endif
