#include "reference-broker/internal.h"

#include <assert.h>
#include <stdlib.h>

/* A binary heap whose members know their place, so that any of them can be moved or taken out. */

bool deadlines_reserve(struct deadlines *d, uint32_t n)
{
	if (n < d->cap)
		return true;

	uint32_t cap = d->cap ? d->cap * 2 : 64;
	struct deadline **heap = realloc(d->heap, cap * sizeof(struct deadline *));

	if (!heap)
		return false;
	d->heap = heap;
	d->cap = cap;
	return n < cap;
}

static void put(struct deadlines *d, struct deadline *deadline, uint32_t slot)
{
	d->heap[slot] = deadline;
	deadline->slot = slot;
}

static void sift(struct deadlines *d, struct deadline *deadline, uint32_t slot)
{
	while (slot > 1 && d->heap[slot / 2]->due_ns > deadline->due_ns) {
		put(d, d->heap[slot / 2], slot);
		slot /= 2;
	}
	for (uint32_t child; (child = slot * 2) <= d->n; slot = child) {
		if (child < d->n && d->heap[child + 1]->due_ns < d->heap[child]->due_ns)
			child++;
		if (d->heap[child]->due_ns >= deadline->due_ns)
			break;
		put(d, d->heap[child], slot);
	}
	put(d, deadline, slot);
}

void deadline_set(struct deadlines *d, struct deadline *deadline, uint64_t due_ns)
{
	if (due_ns == NEVER) {
		deadline_stop(d, deadline);
		return;
	}
	deadline->due_ns = due_ns;
	if (!deadline->slot) {
		assert(d->n + 1 < d->cap);
		put(d, deadline, ++d->n);
	}
	sift(d, deadline, deadline->slot);
}

void deadline_stop(struct deadlines *d, struct deadline *deadline)
{
	uint32_t slot = deadline->slot;

	if (!slot)
		return;
	deadline->slot = 0;

	struct deadline *last = d->heap[d->n--];

	if (last != deadline)
		sift(d, last, slot);
}
