#include "reference-broker/internal.h"

#include <stdlib.h>

size_t buffer_cap_for(const struct buffer *b, size_t more)
{
	size_t cap = b->cap ? b->cap : 256;

	while (cap - b->len < more) {
		if (cap > SIZE_MAX / 2)
			return SIZE_MAX;
		cap *= 2;
	}
	return cap;
}

bool buffer_reserve(struct buffer *b, size_t more)
{
	size_t cap = buffer_cap_for(b, more);

	if (b->cap - b->start - b->len >= more && b->at)
		return true;
	if (b->start) {			/* what has gone makes room first */
		memmove(b->at, b->at + b->start, b->len);
		b->start = 0;
		if (b->cap - b->len >= more)
			return true;
	}
	if (cap == SIZE_MAX)
		return false;

	uint8_t *at = realloc(b->at, cap);

	if (!at)
		return false;
	b->at = at;
	b->cap = cap;
	return true;
}

bool buffer_append(struct buffer *b, struct span s)
{
	if (!s.len)
		return true;
	if (!buffer_reserve(b, s.len))
		return false;
	memcpy(b->at + b->start + b->len, s.at, s.len);
	b->len += s.len;
	return true;
}

void buffer_release(struct buffer *b)
{
	free(b->at);
	*b = (struct buffer){ 0 };
}
