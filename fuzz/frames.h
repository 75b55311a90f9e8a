#ifndef FUZZ_FRAMES_H
#define FUZZ_FRAMES_H

#include <stdlib.h>
#include <string.h>

#include "fuzz/input.h"
#include "fuzz/must.h"
#include "pcap/ip.h"

/*
 * A capture in few bytes, so that a fuzzer comes far: each record says which of four connections, which end, and what, and becomes
 * well-formed Ethernet frames whose sequence numbers follow from those before. End 0 of a connection is its client.
 *
 *   what, conn   five bits and two, the end above them in bit 2 of the byte: conn | end << 2 | what << 3
 *   length       a byte; 0xf0 and more: its low four bits and another byte
 */
enum frame_kind {
	FRAME_DATA = 0,		/* to 7: length, bytes */
	FRAME_PACKET = 8,	/* to 13: first byte, length of the rest, the rest: an MQTT packet with its Remaining Length */
	FRAME_IN_WEBSOCKET = 14,	/* 15: the same in a WebSocket frame of its own */
	FRAME_OPEN = 16,	/* the three of a handshake */
	FRAME_SYN, FRAME_SYN_ACK, FRAME_FIN, FRAME_RESET,
	FRAME_LOST,		/* a byte: so many are not in the capture; 0xf0 and more: thousands */
	FRAME_DATA_AT,		/* distances of the sequence and acknowledgement numbers; data */
	FRAME_CUT,		/* how much was not captured; data */
	FRAME_WAIT,		/* a byte, squared: ms */
	FRAME_UPGRADE,		/* to a WebSocket: request and answer */
	FRAME_ACK,		/* distance of the acknowledgement number */
	FRAME_IDLE,		/* nothing comes at the moment */
	FRAME_FRAGMENTS,	/* data, in two fragments of IP */
	FRAME_SWAPPED,		/* data, in two segments, the second first */
	FRAME_AGAIN,		/* the frame before once more */
	FRAME_RAW,		/* data is the whole frame */
};

struct frames {
	void (*frame)(void *context, const struct record *record);
	void (*idle)(void *context, uint64_t now_ns);
	void *context;
	bool v6;
	struct when when;
	uint32_t stands[4][2];		/* next sequence number of each end */
	uint8_t last[256];
	size_t last_len;
	uint16_t ids;
};

enum { FRAME_ROOM = 8192 };

struct frame_text {
	uint8_t at[FRAME_ROOM];
	size_t len;
};

static inline void frame_put(struct frame_text *t, const void *at, size_t len)
{
	MUST(len <= FRAME_ROOM - t->len);
	if (len)
		memcpy(t->at + t->len, at, len);
	t->len += len;
}

static inline void frame_number(struct frame_text *t, uint64_t number, unsigned bytes)
{
	while (bytes--) {
		uint8_t byte = (uint8_t)(number >> 8 * bytes);

		frame_put(t, &byte, 1);
	}
}

static inline void frame_give(struct frames *f, const uint8_t *at, size_t len, size_t captured)
{
	uint8_t *exact = malloc(captured ? captured : 1);	/* reading past it is seen */
	struct record record = { .link_type = 1, .bytes = span_of(exact, captured), .original_len = (uint32_t)len };

	MUST(exact && captured <= len);
	memcpy(exact, at, captured);
	f->when.frame++;
	f->when.time_ns += 1000000;
	record.when = f->when;
	f->frame(f->context, &record);
	free(exact);
	f->last_len = captured < sizeof(f->last) ? captured : 0;
	memcpy(f->last, at, f->last_len);
}

struct frame_segment {
	unsigned connection, end;
	uint8_t flags;
	uint32_t seq, ack;
	struct span bytes;
	size_t cut;			/* bytes at the end that were not captured */
	unsigned fragment;		/* 0: whole; 1, 2: the first or second part */
};

static inline void frame_ip(struct frames *f, struct frame_text *t, const struct frame_segment *s, size_t len, unsigned from, unsigned more)
{
	unsigned offset = from / 8;

	if (f->v6) {
		frame_number(t, 0x86dd, 2);
		frame_number(t, 0x60000000, 4);
		frame_number(t, len + (from || more ? 8 : 0), 2);
		frame_number(t, from || more ? 0x2c40 : 0x0640, 2);
		for (unsigned i = 0; i < 2; i++) {
			frame_number(t, UINT64_C(0x20010db800000000), 8);
			frame_number(t, 1 + (i ? !s->end : s->end), 8);
		}
		if (from || more) {
			frame_number(t, 0x0600, 2);
			frame_number(t, offset << 3 | more, 2);
			frame_number(t, f->ids, 4);
		}
		return;
	}
	frame_number(t, 0x0800, 2);
	frame_number(t, 0x4500, 2);
	frame_number(t, 20 + len, 2);
	frame_number(t, f->ids, 2);
	frame_number(t, more << 13 | offset, 2);
	frame_number(t, 0x40060000, 4);
	frame_number(t, 0x0a000001 + s->end, 4);
	frame_number(t, 0x0a000001 + !s->end, 4);
}

static inline void frame_segment(struct frames *f, const struct frame_segment *s)
{
	static const uint16_t ports[4] = { 1883, 1883, 8083, 40004 };	/* the last is no port of MQTT's */
	struct frame_text tcp = { .len = 0 }, t = { .len = 0 };
	uint16_t client = (uint16_t)(50000 + s->connection), broker = ports[s->connection];
	size_t half = s->bytes.len / 16 * 8 + 24;

	frame_number(&tcp, s->end ? broker : client, 2);
	frame_number(&tcp, s->end ? client : broker, 2);
	frame_number(&tcp, s->seq, 4);
	frame_number(&tcp, s->flags & TCP_ACK ? s->ack : 0, 4);
	frame_number(&tcp, 0x5000 | s->flags, 2);
	frame_number(&tcp, 0xffff, 2);
	frame_number(&tcp, f->when.frame & 0xffff, 2);	/* as a checksum: what is told from a copy by it differs */
	frame_number(&tcp, 0, 2);
	frame_put(&tcp, s->bytes.at, s->bytes.len);
	if (s->fragment != 2)
		f->ids++;
	frame_put(&t, "\x02\0\0\0\0\x01\x02\0\0\0\0\x02", 12);
	switch (s->fragment) {
	case 1:
		frame_ip(f, &t, s, half < tcp.len ? half : tcp.len, 0, half < tcp.len);
		frame_put(&t, tcp.at, half < tcp.len ? half : tcp.len);
		break;
	case 2:
		if (half >= tcp.len)
			return;
		frame_ip(f, &t, s, tcp.len - half, (unsigned)half, 0);
		frame_put(&t, tcp.at + half, tcp.len - half);
		break;
	default:
		frame_ip(f, &t, s, tcp.len, 0, 0);
		frame_put(&t, tcp.at, tcp.len);
	}
	frame_give(f, t.at, t.len, t.len - (s->cut < s->bytes.len ? s->cut : s->bytes.len));
}

static inline void frame_send(struct frames *f, struct frame_segment *s)
{
	uint32_t *stands = f->stands[s->connection];

	s->seq += stands[s->end];
	s->ack += stands[!s->end];
	frame_segment(f, s);
	if (!(s->flags & TCP_RST))
		stands[s->end] = s->seq + (uint32_t)s->bytes.len + ((s->flags & (TCP_SYN | TCP_FIN)) != 0);
}

static inline void frame_flags(struct frames *f, unsigned connection, unsigned end, uint8_t flags)
{
	frame_send(f, &(struct frame_segment){ .connection = connection, .end = end, .flags = flags });
}

static inline struct span frame_take(struct input *in, size_t most)
{
	size_t len = take(in);
	struct span bytes;

	if (len >= 0xf0)
		len = (len & 15) << 8 | take(in);
	if (len > most)
		len = most;
	if (len > left(in))
		len = left(in);
	bytes = span_of(in->at, len);
	in->at += len;
	return bytes;
}

static inline void frame_mqtt(struct input *in, struct frame_text *t)
{
	unsigned first = take(in);
	struct span rest = frame_take(in, 4095);

	frame_number(t, first, 1);
	if (rest.len >= 128)
		frame_number(t, 128 | (rest.len & 127), 1);
	frame_number(t, rest.len >= 128 ? rest.len >> 7 : rest.len, 1);
	frame_put(t, rest.at, rest.len);
}

static inline void frame_websocket(struct input *in, struct frame_text *t, bool masked)
{
	struct frame_text packet = { .len = 0 };

	frame_mqtt(in, &packet);
	frame_number(t, 0x82, 1);
	frame_number(t, (masked ? 0x80 : 0) | (packet.len < 126 ? packet.len : 126), 1);
	if (packet.len >= 126)
		frame_number(t, packet.len, 2);
	if (masked)
		frame_number(t, 0x01020304, 4);
	for (size_t i = 0; masked && i < packet.len; i++)
		packet.at[i] ^= (uint8_t)(1 + i % 4);
	frame_put(t, packet.at, packet.len);
}

static inline void frame_upgrade(struct frames *f, unsigned connection)
{
	static const char request[] =
		"GET /mqtt HTTP/1.1\r\nHost: broker\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n";
	static const char answer[] =
		"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
		"Sec-WebSocket-Protocol: mqtt\r\n\r\n";

	frame_send(f, &(struct frame_segment){ .connection = connection, .end = 0, .flags = TCP_PSH | TCP_ACK, .bytes = span_text(request) });
	frame_send(f, &(struct frame_segment){ .connection = connection, .end = 1, .flags = TCP_PSH | TCP_ACK, .bytes = span_text(answer) });
}

/* Data in two, the second part first; or in two fragments. */
static inline void frame_parts(struct frames *f, struct input *in, struct frame_segment *s, bool fragments)
{
	struct span bytes = frame_take(in, 4095);
	size_t half = bytes.len / 2;
	uint32_t *stands = f->stands[s->connection];

	if (fragments) {
		s->bytes = bytes;
		for (s->fragment = 1; s->fragment <= 2; s->fragment++) {
			s->seq = stands[s->end];
			s->ack = stands[!s->end];
			frame_segment(f, s);
		}
	} else {
		stands[s->end] += (uint32_t)half;
		s->bytes = span_of(bytes.at + half, bytes.len - half);
		frame_send(f, s);
		stands[s->end] -= (uint32_t)bytes.len;
		s->bytes = span_of(bytes.at, half);
		s->seq = s->ack = 0;
		frame_send(f, s);
		stands[s->end] -= (uint32_t)half;
	}
	stands[s->end] += (uint32_t)bytes.len;
}

static inline void frames_next(struct frames *f, struct input *in)
{
	unsigned b = take(in), what = b >> 3;
	struct frame_segment s = { .connection = b & 3, .end = b >> 2 & 1, .flags = TCP_PSH | TCP_ACK };
	struct frame_text text = { .len = 0 };

	switch (what) {
	default:
		if (what == FRAME_IN_WEBSOCKET || what == FRAME_IN_WEBSOCKET + 1)
			frame_websocket(in, &text, !s.end);
		else if (what >= FRAME_PACKET)
			frame_mqtt(in, &text);
		s.bytes = what >= FRAME_PACKET ? span_of(text.at, text.len) : frame_take(in, 4095);
		frame_send(f, &s);
		break;
	case FRAME_OPEN:
		frame_flags(f, s.connection, s.end, TCP_SYN);
		frame_flags(f, s.connection, !s.end, TCP_SYN | TCP_ACK);
		frame_flags(f, s.connection, s.end, TCP_ACK);
		break;
	case FRAME_SYN:     frame_flags(f, s.connection, s.end, TCP_SYN); break;
	case FRAME_SYN_ACK: frame_flags(f, s.connection, s.end, TCP_SYN | TCP_ACK); break;
	case FRAME_FIN:     frame_flags(f, s.connection, s.end, TCP_FIN | TCP_ACK); break;
	case FRAME_RESET:   frame_flags(f, s.connection, s.end, TCP_RST | TCP_ACK); break;
	case FRAME_LOST:
		b = take(in);
		f->stands[s.connection][s.end] += b < 0xf0 ? b : (b & 15) * 3000;
		break;
	case FRAME_DATA_AT:
	case FRAME_ACK:
		s.seq = what == FRAME_ACK ? 0 : (uint32_t)distance(in);
		s.ack = (uint32_t)distance(in);
		s.bytes = what == FRAME_ACK ? span_of(NULL, 0) : frame_take(in, 4095);
		frame_send(f, &s);
		break;
	case FRAME_CUT:
		s.cut = take(in);
		s.bytes = frame_take(in, 4095);
		frame_send(f, &s);
		break;
	case FRAME_WAIT:
		b = take(in);
		f->when.time_ns += UINT64_C(1000000) * b * b;
		break;
	case FRAME_UPGRADE: frame_upgrade(f, s.connection); break;
	case FRAME_IDLE:    f->idle(f->context, f->when.time_ns); break;
	case FRAME_FRAGMENTS:
	case FRAME_SWAPPED: frame_parts(f, in, &s, what == FRAME_FRAGMENTS); break;
	case FRAME_AGAIN:   frame_give(f, memcpy(text.at, f->last, f->last_len), f->last_len, f->last_len); break;
	case FRAME_RAW:
		s.bytes = frame_take(in, 4095);
		if (s.bytes.len)
			frame_give(f, s.bytes.at, s.bytes.len, s.bytes.len);
		break;
	}
}

/* All of the input, from connections that have not begun yet. */
static inline void frames_play(struct frames *f, struct input in)
{
	f->when = (struct when){ .time_ns = UINT64_C(1700000000000000000) };
	for (unsigned i = 0; i < 4; i++) {
		f->stands[i][0] = 1000 * (i + 1);
		f->stands[i][1] = UINT32_MAX - 1000 * i;	/* soon round the end */
	}
	while (in.at < in.end)
		frames_next(f, &in);
}

#endif
