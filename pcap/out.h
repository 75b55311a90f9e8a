#ifndef PCAP_OUT_H
#define PCAP_OUT_H

#include "codec/span.h"

/*
 * Text or bytes on their way to a file descriptor, in large pieces: a capture has millions of packets, and each costs some
 * hundred bytes of output. The first error sticks; what is written after it is passed over.
 */
struct out {
	int fd;
	int error;			/* 0 or a positive errno */
	uint64_t written;		/* bytes, those in room included */
	uint64_t shown_ns;		/* when out_show() last let go of what was there */
	size_t len, cap;
	uint8_t *room;
};

enum { OUT_ROOM = 256 * 1024 };

bool out_init(struct out *out, int fd);		/* fd is borrowed. False: no memory */
void out_flush(struct out *out);
int out_release(struct out *out);		/* flushes; returns the error */

/* A live capture's time goes on: nothing waits in the buffer for longer than 20 ms of it, however steadily packets come. */
static inline void out_show(struct out *out, uint64_t now_ns)
{
	if (now_ns - out->shown_ns < 20 * UINT64_C(1000000))
		return;
	out->shown_ns = now_ns;
	out_flush(out);
}

/* At least n bytes of room, n <= OUT_ROOM: write at the place returned, then out_wrote(). Never NULL. */
static inline uint8_t *out_room(struct out *out, size_t n)
{
	if (out->cap - out->len < n)
		out_flush(out);
	return out->room + out->len;
}

static inline void out_wrote(struct out *out, size_t n)
{
	out->len += n;
	out->written += n;
}

static inline void out_byte(struct out *out, char c)
{
	*out_room(out, 1) = (uint8_t)c;
	out_wrote(out, 1);
}

void out_bytes(struct out *out, const void *bytes, size_t len);	/* any length */
void out_text(struct out *out, const char *text);
void out_number(struct out *out, uint64_t number);
void out_format(struct out *out, const char *format, ...) __attribute__((format(printf, 2, 3)));	/* slow; up to 4 kB */

/* A string literal: its length is known to the compiler, so this is a few moves. */
#define OUT_LITERAL(out, text) out_small((out), "" text, sizeof(text) - 1)

/* len <= OUT_ROOM */
static inline void out_small(struct out *out, const void *bytes, size_t len)
{
	memcpy(out_room(out, len), bytes, len);
	out_wrote(out, len);
}

#endif
