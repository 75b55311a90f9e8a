#ifndef CODEC_WRITER_H
#define CODEC_WRITER_H

#include "codec/span.h"

/*
 * Writes into at[0..cap) and goes on counting past its end: into no buffer it
 * measures, as snprintf does. The bytes are whole when len <= cap.
 */
struct writer {
	uint8_t *at;
	size_t cap, len;
};

static inline struct writer writer_to(void *at, size_t cap)
{
	return (struct writer){ .at = at, .cap = at ? cap : 0 };
}

static inline bool wr_fits(const struct writer *w)
{
	return w->len <= w->cap;
}

static inline struct span wr_span(const struct writer *w)
{
	return (struct span){ w->at, wr_fits(w) ? w->len : 0 };
}

static inline void wr_u8(struct writer *w, unsigned value)
{
	if (w->len < w->cap)
		w->at[w->len] = (uint8_t)value;
	w->len++;
}

static inline void wr_u16(struct writer *w, unsigned value)
{
	wr_u8(w, value >> 8 & 0xff);
	wr_u8(w, value & 0xff);
}

static inline void wr_u32(struct writer *w, uint32_t value)
{
	wr_u16(w, value >> 16);
	wr_u16(w, value & 0xffff);
}

static inline void wr_bytes(struct writer *w, struct span s)
{
	if (w->len < w->cap && s.len) {
		size_t room = w->cap - w->len;

		memcpy(w->at + w->len, s.at, s.len < room ? s.len : room);
	}
	w->len += s.len;
}

/* [MQTT-1.5.5-1] the fewest bytes possible; value is at most VARINT_MAX */
static inline void wr_varint(struct writer *w, uint32_t value)
{
	for (; value > 0x7f; value >>= 7)
		wr_u8(w, (value & 0x7f) | 0x80);
	wr_u8(w, value);
}

static inline size_t varint_size(uint32_t value)
{
	return value < 128 ? 1 : value < 16384 ? 2 : value < 2097152 ? 3 : 4;
}

/* Two bytes of length, then the bytes; a longer span than 65,535 is the caller's mistake. */
static inline void wr_binary(struct writer *w, struct span s)
{
	wr_u16(w, (unsigned)s.len);
	wr_bytes(w, s);
}

static inline void wr_text(struct writer *w, const char *text)
{
	wr_bytes(w, span_text(text));
}

#endif
