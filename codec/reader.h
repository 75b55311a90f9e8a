#ifndef CODEC_READER_H
#define CODEC_READER_H

#include "codec/span.h"

/*
 * A cursor over wire bytes. The first error sticks: why and error_at keep it,
 * pos goes to the end, and every later read yields zeros. So a decoder reads
 * like the packet's diagram and asks once, at the end, whether it went well.
 * Lengths are compared, never pos + n.
 */
struct reader {
	const uint8_t *start, *pos, *end;
	const uint8_t *error_at;	/* where the field that failed begins */
	const char *why;		/* NULL while all is well; static text */
};

static inline struct reader reader_over(struct span s)
{
	return (struct reader){ .start = s.at, .pos = s.at, .end = s.len ? s.at + s.len : s.at };
}

static inline size_t rd_left(const struct reader *r)
{
	return (size_t)(r->end - r->pos);
}

static inline void rd_fail_at(struct reader *r, const uint8_t *at, const char *why)
{
	if (!r->why) {
		r->why = why;
		r->error_at = at;
	}
	r->pos = r->end;
}

static inline void rd_fail(struct reader *r, const char *why)
{
	rd_fail_at(r, r->pos, why);
}

static inline struct span rd_bytes(struct reader *r, size_t n)
{
	if (n > rd_left(r)) {
		rd_fail(r, "field runs past the end");
		return (struct span){ 0 };
	}
	r->pos += n;
	return (struct span){ r->pos - n, n };
}

static inline uint8_t rd_u8(struct reader *r)
{
	if (rd_left(r) < 1) {
		rd_fail(r, "field runs past the end");
		return 0;
	}
	return *r->pos++;
}

static inline uint16_t rd_u16(struct reader *r)
{
	if (rd_left(r) < 2) {
		rd_fail(r, "field runs past the end");
		return 0;
	}
	r->pos += 2;
	return (uint16_t)(r->pos[-2] << 8 | r->pos[-1]);
}

static inline uint32_t rd_u32(struct reader *r)
{
	uint32_t high = rd_u16(r);

	return high << 16 | rd_u16(r);
}

#define RD_FIVE_BYTES "variable byte integer of more than four bytes"

/* A Variable Byte Integer of at most four bytes; an overlong one is read and *overlong set. */
static inline uint32_t rd_varint(struct reader *r, bool *overlong)
{
	const uint8_t *from = r->pos;
	uint32_t value = 0;

	for (unsigned i = 0; i < 4; i++) {
		if (r->pos == r->end) {
			rd_fail_at(r, from, "length runs past the end");
			return 0;
		}
		uint8_t byte = *r->pos++;
		value |= (uint32_t)(byte & 0x7f) << (7 * i);
		if (!(byte & 0x80)) {
			if (overlong && i && !byte)
				*overlong = true;
			return value;
		}
	}
	rd_fail_at(r, from, RD_FIVE_BYTES);
	return 0;
}

/* Two bytes of length, then that many bytes. */
static inline struct span rd_binary(struct reader *r)
{
	const uint8_t *from = r->pos;
	size_t len = rd_u16(r);

	if (len > rd_left(r)) {
		rd_fail_at(r, from, "length runs past the end");
		return (struct span){ 0 };
	}
	return rd_bytes(r, len);
}

/* A reader of the next n bytes that cannot see past them; the parent moves on behind them. */
static inline struct reader rd_sub(struct reader *r, size_t n)
{
	struct span s = rd_bytes(r, n);

	return (struct reader){ .start = s.at, .pos = s.at, .end = s.at ? s.at + s.len : s.at,
	                        .why = r->why, .error_at = r->error_at };
}

#endif
