#include "codec/tests/whole.h"
#include "pcap/bytes.h"
#include "pcap/ip.h"

#include <stdarg.h>
#include <stdio.h>

/* IP packets written by hand from RFC 791, 8200, 4302 and 9293; what is in them is told as one line. */

#define ADDRESSES_4 "0a000001 0a000002 "
#define ADDRESSES_6 "20010db8000000000000000000000001 20010db8000000000000000000000002 "
#define TCP_HEAD "04d2 075b 00000064 000000c8 5018 1000 0000 0000 "
#define PAYLOAD "30 06 00 01 61 62 63 64 "
#define TOLD_4 "10.0.0.1:1234 > 10.0.0.2:1883 seq=100 ack=200 flags=24 window=4096 "
#define TOLD_6 "[2001:db8::1]:1234 > [2001:db8::2]:1883 seq=100 ack=200 flags=24 window=4096 "

static const struct row {
	const char *name, *hex;
	uint32_t more;			/* bytes on the wire behind those captured */
	const char *told;
} rows[] = {
	{ "IPv4", "4500 0030 0001 4000 40 06 0000 " ADDRESSES_4 TCP_HEAD PAYLOAD, 0, TOLD_4 "len=8 3006000161626364" },
	{ "IPv4 with options", "4600 0034 0001 4000 40 06 0000 " ADDRESSES_4 "94040000 " TCP_HEAD PAYLOAD, 0, TOLD_4 "len=8 3006000161626364" },
	{ "padded by Ethernet", "4500 0028 0001 4000 40 06 0000 " ADDRESSES_4 TCP_HEAD "000000000000", 0, TOLD_4 "len=0 " },
	{ "a total length of 0", "4500 0000 0001 4000 40 06 0000 " ADDRESSES_4 TCP_HEAD PAYLOAD, 0, TOLD_4 "len=8 3006000161626364" },
	{ "a total length of 0, cut", "4500 0000 0001 4000 40 06 0000 " ADDRESSES_4 TCP_HEAD PAYLOAD, 1000, TOLD_4 "len=1008 3006000161626364" },
	{ "cut by the snap length", "4500 0130 0001 4000 40 06 0000 " ADDRESSES_4 TCP_HEAD PAYLOAD, 256, TOLD_4 "len=264 3006000161626364" },
	{ "options of TCP", "4500 003c 0001 4000 40 06 0000 " ADDRESSES_4 "04d2 075b 00000064 000000c8 8018 1000 0000 0000 0101080a 00000001 00000002 " PAYLOAD,
	  0, TOLD_4 "len=8 3006000161626364" },
	{ "IPv4 with AH", "4500 0048 0001 4000 40 33 0000 " ADDRESSES_4 "06 04 0000 00000001 00000001 000102030405060708090a0b " TCP_HEAD PAYLOAD, 0,
	  TOLD_4 "len=8 3006000161626364" },
	{ "SYN", "4500 0028 0000 4000 40 06 0000 " ADDRESSES_4 "04d2 075b fffffffe 00000000 5002 ffff 0000 0000", 0,
	  "10.0.0.1:1234 > 10.0.0.2:1883 seq=4294967294 ack=0 flags=2 window=65535 len=0 " },
	{ "UDP", "4500 001c 0001 4000 40 11 0000 " ADDRESSES_4 "04d2 075b 0008 0000", 0, "other" },
	{ "a fragment of UDP", "4500 001c 0001 2000 40 11 0000 " ADDRESSES_4 "04d2 075b 0008 0000", 0, "other" },
	{ "ICMP of one byte", "4500 0015 0001 4000 40 01 0000 " ADDRESSES_4 "08", 0, "other" },
	{ "IPv4 with a header of 16 bytes", "4400 0030 0001 4000 40 06 0000 " ADDRESSES_4 TCP_HEAD PAYLOAD, 0, "bad" },
	{ "IPv4 with a length below its header", "4500 0013 0001 4000 40 06 0000 " ADDRESSES_4 TCP_HEAD PAYLOAD, 0, "bad" },
	{ "IPv4 with a length below TCP's header", "4500 0027 0001 4000 40 06 0000 " ADDRESSES_4 TCP_HEAD PAYLOAD, 0, "bad" },
	{ "TCP with a header of 16 bytes", "4500 0030 0001 4000 40 06 0000 " ADDRESSES_4 "04d2 075b 00000064 000000c8 4018 1000 0000 0000 " PAYLOAD, 0, "bad" },
	{ "TCP with a header beyond the packet", "4500 0030 0001 4000 40 06 0000 " ADDRESSES_4 "04d2 075b 00000064 000000c8 f018 1000 0000 0000 " PAYLOAD, 0, "bad" },
	{ "IP version 5", "5500 0030 0001 4000 40 06 0000 " ADDRESSES_4 TCP_HEAD PAYLOAD, 0, "bad" },
	{ "IPv6", "60000000 001c 06 40 " ADDRESSES_6 TCP_HEAD PAYLOAD, 0, TOLD_6 "len=8 3006000161626364" },
	{ "IPv6 with a payload length of 0", "60000000 0000 06 40 " ADDRESSES_6 TCP_HEAD PAYLOAD, 0, TOLD_6 "len=8 3006000161626364" },
	{ "IPv6, padded by Ethernet", "60000000 0014 06 40 " ADDRESSES_6 TCP_HEAD "0000", 0, TOLD_6 "len=0 " },
	{ "hop-by-hop", "60000000 0024 00 40 " ADDRESSES_6 "06 00 0104 00000000 " TCP_HEAD PAYLOAD, 0, TOLD_6 "len=8 3006000161626364" },
	{ "hop-by-hop, destination, routing of 24 bytes, destination", "60000000 004c 00 40 " ADDRESSES_6 "3c 00 0104 00000000 2b 00 0104 00000000 "
	  "3c 02 04 00 00000000 20010db8000000000000000000000003 06 00 0104 00000000 " TCP_HEAD PAYLOAD, 0, TOLD_6 "len=8 3006000161626364" },
	{ "mobility", "60000000 0024 87 40 " ADDRESSES_6 "06 00 0000 00000000 " TCP_HEAD PAYLOAD, 0, TOLD_6 "len=8 3006000161626364" },
	{ "IPv6 with AH", "60000000 0034 33 40 " ADDRESSES_6 "06 04 0000 00000001 00000001 000102030405060708090a0b " TCP_HEAD PAYLOAD, 0, TOLD_6 "len=8 3006000161626364" },
	{ "a fragment that is the whole", "60000000 0024 2c 40 " ADDRESSES_6 "06 00 0000 0000abcd " TCP_HEAD PAYLOAD, 0, TOLD_6 "len=8 3006000161626364" },
	{ "no next header", "60000000 0008 3b 40 " ADDRESSES_6 "0000000000000000", 0, "other" },
	{ "UDP in IPv6", "60000000 0008 11 40 " ADDRESSES_6 "04d2 075b 0008 0000", 0, "other" },
	{ "a header beyond the packet", "60000000 0024 00 40 " ADDRESSES_6 "06 06 0104 00000000 " TCP_HEAD PAYLOAD, 0, "bad" },
	{ "seventeen headers", "60000000 0080 3c 40 " ADDRESSES_6 "3c000104000000003c000104000000003c000104000000003c00010400000000"
	  "3c000104000000003c000104000000003c000104000000003c000104000000003c000104000000003c000104000000003c000104000000003c00010400000000"
	  "3c000104000000003c000104000000003c000104000000003c00010400000000 06000104 00000000", 0, "other" },
};
enum { N_ROWS = sizeof(rows) / sizeof(rows[0]) };

static struct guard guard;

static const char *told(enum ip_status status, const struct segment *s)
{
	static const char *const names[] = { [IP_OTHER] = "other", [IP_FRAGMENT] = "fragment", [IP_COPY] = "copy", [IP_BAD] = "bad", [IP_UNKNOWN_LINK] = "unknown" };
	static char text[400];
	char from[ENDPOINT_TEXT], to[ENDPOINT_TEXT];
	int len;

	if (status != IP_SEGMENT)
		return names[status];
	len = snprintf(text, sizeof(text), "%s > %s seq=%u ack=%u flags=%u window=%u len=%u ", endpoint_print(&s->from, from), endpoint_print(&s->to, to),
	               s->seq, s->ack, s->flags, s->window, s->len);
	for (size_t i = 0; i < s->bytes.len && len < 300; i++)
		len += snprintf(text + len, sizeof(text) - (size_t)len, "%02x", s->bytes.at[i]);
	return text;
}

static void reads(void **state)
{
	const struct row *row = *state;
	uint8_t bytes[400];
	size_t len = bytes_of_hex(row->hex, bytes, sizeof(bytes));
	struct ip *ip = ip_new(0);
	struct record r = { .when = { 1, 1 }, .link_type = 101, .original_len = (uint32_t)len + row->more };
	struct segment whole, cut;

	r.bytes = span_of(guard_copy(&guard, bytes, len), len);
	enum ip_status status = ip_read(ip, &r, &whole);
	assert_string_equal(told(status, &whole), row->told);

	/* Cut at every length: what is read of it is the same, or it is not read. */
	for (size_t n = 0; n < len; n++) {
		r.bytes = span_of(guard_copy(&guard, bytes, n), n);
		r.when.time_ns += 100000000;
		enum ip_status got = ip_read(ip, &r, &cut);
		if (got != IP_SEGMENT) {
			assert_true(got == IP_BAD || got == status);
			continue;
		}
		assert_int_equal(status, IP_SEGMENT);
		assert_int_equal(cut.len, whole.len);
		assert_true(cut.seq == whole.seq && cut.flags == whole.flags && endpoint_equal(&cut.to, &whole.to) && cut.bytes.len <= whole.bytes.len);
		assert_memory_equal(cut.bytes.at, bytes + n - cut.bytes.len, cut.bytes.len);
	}
	ip_free(ip);
}

/* ---- packets made for a sequence ---- */

struct made {
	uint8_t bytes[2000];
	size_t len;
};

static void put(struct made *m, uint64_t v, int n)
{
	while (n--)
		m->bytes[m->len++] = (uint8_t)(v >> 8 * n);
}

static void put_addresses(struct made *m, uint8_t family)
{
	static const char *const hex[] = { [4] = ADDRESSES_4, [6] = ADDRESSES_6 };

	m->len += bytes_of_hex(hex[family], m->bytes + m->len, 40);
}

/* What a TCP segment with these bytes is carried as, in pieces or whole. */
static size_t tcp_of(uint8_t *to, uint32_t seq, const uint8_t *payload, size_t len)
{
	struct made m = { .len = 0 };

	put(&m, 1234, 2), put(&m, 1883, 2), put(&m, seq, 4), put(&m, 200, 4), put(&m, 0x5018, 2), put(&m, 4096, 2), put(&m, 0, 4);
	memcpy(to, m.bytes, m.len);
	memcpy(to + m.len, payload, len);
	return m.len + len;
}

struct piece {
	uint8_t family;
	uint32_t id, offset;
	bool more;
	uint8_t next;
};

static struct made fragment_of(const struct piece *p, const uint8_t *bytes, size_t len)
{
	struct made m = { .len = 0 };

	if (p->family == 4) {
		put(&m, 0x4500, 2), put(&m, 20 + len, 2), put(&m, p->id, 2), put(&m, (uint64_t)p->more << 13 | p->offset / 8, 2);
		put(&m, 0x40, 1), put(&m, p->next, 1), put(&m, 0, 2);
		put_addresses(&m, 4);
	} else {
		put(&m, 0x60000000, 4), put(&m, 8 + len, 2), put(&m, 44, 1), put(&m, 64, 1);
		put_addresses(&m, 6);
		put(&m, p->next, 1), put(&m, 0, 1), put(&m, p->offset | p->more, 2), put(&m, p->id, 4);
	}
	memcpy(m.bytes + m.len, bytes, len);
	m.len += len;
	return m;
}

static uint64_t now_ns;

static enum ip_status feed(struct ip *ip, const struct made *m, size_t captured, struct segment *s)
{
	static uint64_t frame;
	struct record r = { .when = { ++frame, now_ns += 20000000 }, .link_type = 101, .original_len = (uint32_t)m->len };

	r.bytes = span_of(guard_copy(&guard, m->bytes, captured), captured);
	return ip_read(ip, &r, s);
}

static const uint8_t letters[] = "0123456789abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ.";

static void fragments_in_each_order(void **state)
{
	uint8_t family = (uint8_t)(uintptr_t)*state, whole[100];
	struct ip *ip = ip_new(0);

	assert_int_equal(tcp_of(whole, 100, letters, 73), 3 * 24 + 21);
	for (int order = 0; order < 256; order++) {			/* all orders of four, repetitions included */
		int at[4] = { order & 3, order >> 2 & 3, order >> 4 & 3, order >> 6 & 3 }, there = 0;
		bool complete = false;
		struct segment s;

		for (int i = 0; i < 4 && !complete; i++) {
			struct piece p = { family, (uint32_t)order + 1, (uint32_t)at[i] * 24, at[i] < 3, 6 };
			struct made m = fragment_of(&p, whole + p.offset, at[i] < 3 ? 24 : 21);
			enum ip_status status = feed(ip, &m, m.len, &s);

			there |= 1 << at[i];
			complete = there == 15;
			assert_int_equal(status, complete ? IP_SEGMENT : IP_FRAGMENT);
			assert_int_equal(ip_fragmented(ip), order + 1);
		}
		if (complete) {
			assert_int_equal(s.len, 73);
			assert_int_equal(s.bytes.len, 73);
			assert_memory_equal(s.bytes.at, letters, 73);
		}
	}
	assert_int_equal(ip_counts(ip)->fragments_lost, 256 - 24);
	ip_free(ip);
}

static void overlaps(void **state)
{
	uint8_t first[100], other[100];
	size_t len = tcp_of(first, 100, letters, 60);			/* 80 bytes */
	struct ip *ip = ip_new(0);
	struct segment s;

	(void)state;
	memset(other, '!', sizeof(other));
	struct { uint32_t offset; size_t len; bool more; const uint8_t *bytes; enum ip_status status; } steps[] = {
		{ 0, 40, true, first, IP_FRAGMENT },
		{ 0, 48, true, other, IP_FRAGMENT },			/* new: 40..48 */
		{ 72, 8, false, first, IP_FRAGMENT },
		{ 64, 8, false, other, IP_BAD },			/* another end */
		{ 72, 16, true, other, IP_BAD },			/* beyond the end */
		{ 48, 12, true, other, IP_BAD },			/* not a multiple of 8 */
		{ 16, 64, false, other, IP_SEGMENT },			/* new: 48..72 */
	};
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		struct piece p = { 4, 7, steps[i].offset, steps[i].more, 6 };
		struct made m = fragment_of(&p, steps[i].bytes + steps[i].offset, steps[i].len);

		assert_int_equal(feed(ip, &m, m.len, &s), steps[i].status);
	}
	memset(first + 40, '!', 32);
	assert_int_equal(s.bytes.len, len - 20);
	assert_memory_equal(s.bytes.at, first + 20, len - 20);
	assert_int_equal(ip_counts(ip)->bad, 3);
	ip_free(ip);
}

static void cut_fragments(void **state)
{
	uint8_t whole[100];
	struct ip *ip = ip_new(0);
	struct segment s;

	(void)state;
	tcp_of(whole, 100, letters, 60);
	for (uint32_t at = 80; at;) {					/* the last first, each without its last 5 bytes */
		at -= 40;
		struct piece p = { 4, 9, at, at < 40, 6 };
		struct made m = fragment_of(&p, whole + at, 40);

		assert_int_equal(feed(ip, &m, m.len - 5, &s), at ? IP_FRAGMENT : IP_SEGMENT);
	}
	assert_int_equal(s.len, 60);
	assert_int_equal(s.bytes.len, 15);
	assert_memory_equal(s.bytes.at, letters, 15);
	ip_free(ip);
}

static void fragments_with_headers_inside(void **state)
{
	uint8_t whole[100] = { 6, 0, 1, 4 };				/* destination options, then TCP */
	size_t len = 8 + tcp_of(whole + 8, 100, letters, 40);
	struct ip *ip = ip_new(0);
	struct segment s;

	(void)state;
	for (uint32_t at = 0; at < len; at += 16) {
		struct piece p = { 6, 9, at, at + 16 < len, 60 };
		struct made m = fragment_of(&p, whole + at, at + 16 < len ? 16 : len - at);

		assert_int_equal(feed(ip, &m, m.len, &s), p.more ? IP_FRAGMENT : IP_SEGMENT);
	}
	assert_int_equal(s.bytes.len, 40);
	assert_memory_equal(s.bytes.at, letters, 40);
	ip_free(ip);
}

static void fragments_are_bounded(void **state)
{
	uint8_t whole[100];
	struct ip *ip = ip_new(200000);					/* room for two packets */
	struct segment s;

	(void)state;
	tcp_of(whole, 100, letters, 60);
	for (uint32_t id = 0; id < 100; id++) {
		struct piece p = { 4, id, 0, true, 6 };
		struct made m = fragment_of(&p, whole, 40);

		assert_int_equal(feed(ip, &m, m.len, &s), IP_FRAGMENT);
	}
	assert_int_equal(ip_counts(ip)->fragments_lost, 100);
	struct piece old = { 4, 0, 40, false, 6 }, recent = { 4, 99, 40, false, 6 };
	struct made m = fragment_of(&recent, whole + 40, 40);
	assert_int_equal(feed(ip, &m, m.len, &s), IP_SEGMENT);
	m = fragment_of(&old, whole + 40, 40);
	assert_int_equal(feed(ip, &m, m.len, &s), IP_FRAGMENT);
	assert_int_equal(ip_counts(ip)->fragments_lost, 100);

	now_ns += 31000000000;						/* what waits for half a minute is another packet */
	old.offset = 0;
	old.more = true;
	m = fragment_of(&old, whole, 40);
	assert_int_equal(feed(ip, &m, m.len, &s), IP_FRAGMENT);
	assert_int_equal(ip_counts(ip)->fragments_lost, 101);
	ip_free(ip);
}

static void a_packet_too_long(void **state)
{
	uint8_t bytes[1480] = { 0 };
	struct ip *ip = ip_new(0);
	struct segment s;
	struct piece p = { 4, 1, 65528, false, 6 };
	struct made m = fragment_of(&p, bytes, 1480);

	(void)state;
	assert_int_equal(feed(ip, &m, m.len, &s), IP_BAD);
	m = fragment_of(&p, bytes, 8);
	assert_int_equal(feed(ip, &m, m.len, &s), IP_BAD);
	m = fragment_of(&p, bytes, 7);
	assert_int_equal(feed(ip, &m, m.len, &s), IP_FRAGMENT);
	m = fragment_of(&p, bytes, 0);
	assert_int_equal(feed(ip, &m, m.len, &s), IP_BAD);
	ip_free(ip);
}

/* ---- copies ---- */

struct sight {
	uint32_t link_type, interface;
	unsigned packet_type;		/* cooked */
	uint8_t family, hops;
	uint16_t id;
	uint32_t seq;
	uint64_t at_us;
	bool copy;
	uint16_t checksum;
};

static enum ip_status see(struct ip *ip, const struct sight *g)
{
	struct made m = { .len = 0 };
	struct segment s;

	if (g->link_type == 113)
		put(&m, g->packet_type, 2), put(&m, 1, 2), put(&m, 6, 2), put(&m, 0, 8), put(&m, g->family == 4 ? 0x800 : 0x86dd, 2);
	if (g->link_type == 276) {
		put(&m, g->family == 4 ? 0x800 : 0x86dd, 2), put(&m, 0, 2), put(&m, g->interface, 4), put(&m, 1, 2);
		put(&m, g->packet_type, 1), put(&m, 6, 1), put(&m, 0, 8);
	}
	if (g->family == 4)
		put(&m, 0x4500, 2), put(&m, 44, 2), put(&m, g->id, 2), put(&m, 0x4000, 2), put(&m, g->hops, 1), put(&m, 6, 1), put(&m, 0, 2);
	else
		put(&m, 0x60000000, 4), put(&m, 24, 2), put(&m, 6, 1), put(&m, g->hops, 1);
	put_addresses(&m, g->family);
	m.len += tcp_of(m.bytes + m.len, g->seq, letters, 4);
	m.bytes[m.len - 7] = (uint8_t)g->checksum;
	struct record r = { .when = { 1, 1000000000 + g->at_us * 1000 }, .link_type = g->link_type, .interface = g->link_type == 276 ? 0 : g->interface,
	                    .bytes = span_of(m.bytes, m.len), .original_len = (uint32_t)m.len };
	return ip_read(ip, &r, &s);
}

static const struct {
	const char *name;
	struct sight sights[6];
} copies[] = {
	{ "two interfaces of a file", { { 101, 0, 0, 4, 64, 7, 1, 0, false }, { 101, 1, 0, 4, 64, 7, 1, 30, true }, { 101, 2, 0, 4, 64, 7, 1, 60, true } } },
	{ "one interface: sent again", { { 101, 0, 0, 4, 64, 7, 1, 0, false }, { 101, 0, 0, 4, 64, 8, 1, 30, false }, { 101, 0, 0, 4, 64, 0, 1, 40, false } } },
	{ "another interface: sent again", { { 101, 0, 0, 4, 64, 7, 1, 0, false }, { 101, 1, 0, 4, 64, 8, 1, 30, false } } },
	{ "a hop further", { { 276, 2, 0, 4, 64, 7, 1, 0, false }, { 276, 3, 4, 4, 63, 7, 1, 30, true } } },
	{ "too late", { { 101, 0, 0, 4, 64, 7, 1, 0, false }, { 101, 1, 0, 4, 64, 7, 1, 11000, false } } },
	{ "before it, by its time", { { 101, 0, 0, 4, 64, 7, 1, 500, false }, { 101, 1, 0, 4, 64, 7, 1, 0, true } } },
	{ "any: an interface and a bridge", { { 276, 2, 0, 4, 64, 7, 1, 0, false }, { 276, 5, 0, 4, 64, 7, 1, 3, true } } },
	{ "any, old: in and out", { { 113, 0, 0, 4, 64, 7, 1, 0, false }, { 113, 0, 4, 4, 64, 7, 1, 3, true } } },
	{ "any, old: an interface and a bridge", { { 113, 0, 0, 4, 64, 7, 1, 0, false }, { 113, 0, 0, 4, 64, 7, 1, 3, true } } },
	{ "any, old, without an id: sent again", { { 113, 0, 0, 4, 64, 0, 1, 0, false }, { 113, 0, 0, 4, 64, 0, 1, 3, false } } },
	{ "without an id: the checksum counts", { { 101, 0, 0, 4, 64, 0, 1, 0, false, 1 }, { 101, 1, 0, 4, 64, 0, 1, 3, false, 2 }, { 101, 2, 0, 4, 64, 0, 1, 6, true, 2 } } },
	{ "with an id: it is filled in on the way", { { 101, 0, 0, 4, 64, 7, 1, 0, false, 1 }, { 101, 1, 0, 4, 64, 7, 1, 3, true, 2 } } },
	{ "IPv6, another interface", { { 276, 2, 0, 6, 64, 0, 1, 0, false }, { 276, 3, 0, 6, 64, 0, 1, 900, true } } },
	{ "IPv6, another interface, late", { { 276, 2, 0, 6, 64, 0, 1, 0, false }, { 276, 3, 0, 6, 64, 0, 1, 1100, false } } },
	{ "IPv6, a hop further", { { 276, 2, 0, 6, 64, 0, 1, 0, false }, { 276, 2, 4, 6, 63, 0, 1, 30, true } } },
	{ "IPv6, the same place: sent again", { { 276, 2, 0, 6, 64, 0, 1, 0, false }, { 276, 2, 0, 6, 64, 0, 1, 30, false } } },
	{ "IPv6, sent again on a bridge", { { 276, 2, 0, 6, 64, 0, 1, 0, false }, { 276, 3, 0, 6, 64, 0, 1, 5, true }, { 276, 2, 0, 6, 64, 0, 1, 300, false },
	                                    { 276, 3, 0, 6, 64, 0, 1, 305, true } } },
	{ "another packet", { { 276, 2, 0, 6, 64, 0, 1, 0, false }, { 276, 3, 0, 6, 64, 0, 2, 5, false } } },
};
enum { N_COPIES = sizeof(copies) / sizeof(copies[0]) };

static void tells_copies(void **state)
{
	struct ip *ip = ip_new(0);
	uint64_t n = 0;
	const struct sight *g = *state;

	for (size_t i = 0; i < 6 && g[i].family; i++) {
		assert_int_equal(see(ip, &g[i]), g[i].copy ? IP_COPY : IP_SEGMENT);
		n += g[i].copy;
	}
	assert_int_equal(ip_counts(ip)->copies, n);
	ip_free(ip);
}

static void copies_of_fragments(void **state)
{
	uint8_t whole[100];
	struct ip *ip = ip_new(0);
	struct segment s;

	(void)state;
	tcp_of(whole, 100, letters, 60);
	for (uint32_t i = 0; i < 4; i++) {				/* each on both interfaces */
		struct piece p = { 4, 7, i / 2 * 40, i < 2, 6 };
		struct made m = fragment_of(&p, whole + p.offset, 40);
		struct record r = { .when = { i, 1000 + i }, .link_type = 101, .interface = i & 1, .bytes = span_of(m.bytes, m.len), .original_len = (uint32_t)m.len };

		assert_int_equal(ip_read(ip, &r, &s), i & 1 ? IP_COPY : i ? IP_SEGMENT : IP_FRAGMENT);
	}
	assert_int_equal(ip_counts(ip)->fragments_lost, 0);
	ip_free(ip);
}

static void names_the_first_unknown_link(void **state)
{
	struct ip *ip = ip_new(0);
	struct record r = { .link_type = 105, .bytes = span_text("E") };
	struct segment s;

	(void)state;
	assert_int_equal(ip_read(ip, &r, &s), IP_UNKNOWN_LINK);
	r.link_type = 127;
	assert_int_equal(ip_read(ip, &r, &s), IP_UNKNOWN_LINK);
	assert_int_equal(ip_counts(ip)->unknown_link, 2);
	assert_int_equal(ip_counts(ip)->unknown_link_type, 105);
	ip_free(ip);
}

int main(void)
{
	static const struct CMUnitTest others[] = {
		{ .name = "fragments of IPv4 in each order", .test_func = fragments_in_each_order, .initial_state = (void *)4 },
		{ .name = "fragments of IPv6 in each order", .test_func = fragments_in_each_order, .initial_state = (void *)6 },
		cmocka_unit_test(overlaps), cmocka_unit_test(cut_fragments), cmocka_unit_test(fragments_with_headers_inside),
		cmocka_unit_test(fragments_are_bounded), cmocka_unit_test(a_packet_too_long), cmocka_unit_test(copies_of_fragments),
		cmocka_unit_test(names_the_first_unknown_link),
	};
	enum { N_OTHERS = sizeof(others) / sizeof(others[0]) };
	struct CMUnitTest tests[N_ROWS + N_COPIES + N_OTHERS];
	size_t n = 0;

	guard = guard_new(4096);
	for (size_t i = 0; i < N_ROWS; i++)
		tests[n++] = (struct CMUnitTest){ .name = rows[i].name, .test_func = reads, .initial_state = (void *)&rows[i] };
	for (size_t i = 0; i < N_COPIES; i++)
		tests[n++] = (struct CMUnitTest){ .name = copies[i].name, .test_func = tells_copies, .initial_state = (void *)copies[i].sights };
	memcpy(tests + n, others, sizeof(others));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
