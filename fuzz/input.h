#ifndef FUZZ_INPUT_H
#define FUZZ_INPUT_H

#include <stddef.h>
#include <stdint.h>

/* A fuzzer's bytes, taken from the front; behind the last one come zeros. */
struct input {
	const uint8_t *at, *end;
};

static inline size_t left(const struct input *in)
{
	return (size_t)(in->end - in->at);
}

static inline unsigned take(struct input *in)
{
	return in->at < in->end ? *in->at++ : 0;
}

/* How far something is from where it should be: mostly not at all, or near. */
static inline int32_t distance(struct input *in)
{
	unsigned b = take(in);

	switch (b >> 6) {
	case 0: return 0;
	case 1: return (int8_t)(b << 2) / 4;
	case 2: return (int8_t)take(in) * 16;
	default: return (int32_t)((uint32_t)take(in) << 24 | take(in) << 12);
	}
}

#endif
