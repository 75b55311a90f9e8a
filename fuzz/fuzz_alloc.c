/*
 * The broker's core and the monitor when memory is short. Both are to survive any allocation that fails: what was asked for is refused, or the connection goes that
 * needed it; no rule is broken, nothing leaks, and what is counted stays right. (The rest of the tool ends by one line when it has no memory.)
 *
 * The first two bytes say which allocation fails, counted from 1; with 0 each of them in turn, the case anew for each. The third, how many follow it (255: all). Then moves.
 */
#include <stdbool.h>
#include <stdlib.h>

/* The linker gives us all calls of these: see the Makefile. */
void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *at, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *at, size_t size);

#define OWN(function) __real_##function
#include "fuzz/input.h"
#include "fuzz/judged_moves.h"

enum { MOST_IN_TURN = 400 };

static struct shortage {
	bool on;
	uint32_t n, first, last;	/* allocations so far; those that fail */
} shortage;

static bool fails(void)
{
	if (!shortage.on)
		return false;
	shortage.n++;
	return shortage.n >= shortage.first && shortage.n <= shortage.last;
}

void *__wrap_malloc(size_t size)
{
	return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
	return fails() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *at, size_t size)
{
	return fails() ? NULL : __real_realloc(at, size);
}

/* False: it was over before. */
static bool play_short(const struct moves *moves, uint32_t first, uint32_t more)
{
	judged.starved = true;
	shortage = (struct shortage){ .on = true, .first = first, .last = more == 255 ? UINT32_MAX : first + more };
	play_moves(moves);
	shortage.on = false;
	return shortage.n >= first;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct moves moves;
	struct input in = { data, data + size };
	uint32_t first = take(&in) << 8, more;

	first |= take(&in);
	more = take(&in);
	moves_read(&moves, span_of(in.at, left(&in)));
	if (first) {
		play_short(&moves, first, more);
		return 0;
	}
	while (play_short(&moves, ++first, more) && first < MOST_IN_TURN)
		;
	return 0;
}
