#include <stdlib.h>

#include "codec/bench/bench.h"
#include "pcap/capture_internal.h"
#include "pcap/ip.h"

/*
 * What reading a captured packet costs, up to its TCP segment: of a pcap file through libpcap, of a pcapng file by our own
 * reader, and of IP alone. Segments of 100 connections, each with its own id and sequence number; from memory.
 */

enum { N = 500000, N_ROUNDS = 5, PAYLOAD = 80, FRAME = 14 + 40 + 20 + PAYLOAD };

struct file {
	uint8_t *bytes;
	size_t len;
};

static void put(struct file *f, uint64_t v, int n)
{
	for (int i = 0; i < n; i++)
		f->bytes[f->len++] = (uint8_t)(v >> 8 * i);
}

static void put_be(struct file *f, uint64_t v, int n)
{
	while (n--)
		f->bytes[f->len++] = (uint8_t)(v >> 8 * n);
}

static size_t put_frame(struct file *f, uint32_t i, bool ipv6)
{
	size_t from = f->len;

	put_be(f, 0, 8), put_be(f, 0, 4), put_be(f, ipv6 ? 0x86dd : 0x800, 2);
	if (ipv6) {
		put_be(f, 0x60000000, 4), put_be(f, 20 + PAYLOAD, 2), put_be(f, 0x0640, 2);
		put_be(f, 0x20010db8, 4), put_be(f, 0, 8), put_be(f, i % 100, 4);
		put_be(f, 0x20010db8, 4), put_be(f, 0, 8), put_be(f, 1000, 4);
	} else {
		put_be(f, 0x4500, 2), put_be(f, 40 + PAYLOAD, 2), put_be(f, i & 0xffff, 2), put_be(f, 0x4000, 2), put_be(f, 0x4006, 2), put_be(f, 0, 2);
		put_be(f, 0x0a000000 | i % 100, 4), put_be(f, 0x0a000100, 4);
	}
	put_be(f, 40000 + i % 100, 2), put_be(f, 1883, 2), put_be(f, i * PAYLOAD, 4), put_be(f, i, 4), put_be(f, 0x5018, 2), put_be(f, 4096, 2);
	put_be(f, i * 7919 & 0xffff, 2), put_be(f, 0, 2);
	memset(f->bytes + f->len, 'x', PAYLOAD);
	f->len += PAYLOAD;
	return f->len - from;
}

static struct file make(bool ng, bool ipv6)
{
	struct file f = { malloc(1000 + (size_t)N * (FRAME + 40)), 0 };

	if (!f.bytes)
		abort();
	if (ng) {
		put(&f, 0x0a0d0d0a, 4), put(&f, 28, 4), put(&f, 0x1a2b3c4d, 4), put(&f, 1, 4), put(&f, UINT64_MAX, 8), put(&f, 28, 4);
		put(&f, 1, 4), put(&f, 20, 4), put(&f, 1, 4), put(&f, 0, 4), put(&f, 20, 4);
	} else {
		put(&f, 0xa1b2c3d4, 4), put(&f, 0x00040002, 4), put(&f, 0, 8), put(&f, 262144, 4), put(&f, 1, 4);
	}
	size_t size = 14u + (ipv6 ? 40 : 20) + 20 + PAYLOAD, padded = (size + 3) & ~3u;
	for (uint32_t i = 0; i < N; i++) {
		if (ng)
			put(&f, 6, 4), put(&f, 32 + padded, 4), put(&f, 0, 8), put(&f, i * 10, 4), put(&f, size, 4), put(&f, size, 4);
		else
			put(&f, i / 100000, 4), put(&f, i % 100000 * 10, 4), put(&f, size, 4), put(&f, size, 4);
		size_t put_bytes = put_frame(&f, i, ipv6);
		for (; ng && put_bytes < padded; put_bytes++)
			f.bytes[f.len++] = 0;
		if (ng)
			put(&f, 32 + padded, 4);
	}
	return f;
}

/* The nanoseconds of a record; with ip, as a segment. */
static double read_once(const struct file *f, bool with_ip)
{
	struct capture_error error;
	struct capture *c = capture_of_source(source_of_memory(span_of(f->bytes, f->len), &error), &error);
	struct ip *ip = ip_new(0);
	struct record r;
	struct segment s;
	uint64_t n = 0;
	double from = bench_ns();

	if (!c)
		abort();
	while (capture_next(c, &r, &error) == CAPTURE_RECORD)
		n += !with_ip || (ip_read(ip, &r, &s) == IP_SEGMENT && s.len == PAYLOAD);
	double took = bench_ns() - from;
	if (n != N)
		abort();
	ip_free(ip);
	capture_close(c);
	return took / N;
}

int main(void)
{
	static const struct { const char *name; bool ng, ipv6, ip; } rows[] = {
		{ "read a frame of pcap", false, false, false }, { "read a frame of pcap, to its TCP segment", false, false, true },
		{ "read a frame of pcapng", true, false, false }, { "read a frame of pcapng, to its TCP segment", true, false, true },
		{ "read a frame of pcapng, to its TCP segment in IPv6", true, true, true },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct file f = make(rows[i].ng, rows[i].ipv6);
		double least = 1e18;

		for (int round = 0; round < N_ROUNDS; round++) {
			double took = read_once(&f, rows[i].ip);

			least = took < least ? took : least;
		}
		bench_figure(rows[i].name, least, "ns", "%.1f million/s", 1e3 / least);
		free(f.bytes);
	}
	return 0;
}
