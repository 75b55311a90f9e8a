#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "harness/pcap_writer.h"

/* What the writer writes, read back by hand: every field at its offset, every checksum summed anew. */

enum { SHB = 0x0a0d0d0a, IDB = 1, EPB = 6 };
enum { FIN = 1, SYN = 2, RST = 4, PSH = 8, ACK = 16 };
enum { EPOCH = 1000000000 };

struct memory {
	struct pcap_output output;
	uint8_t *bytes;
	size_t len;
};

struct seen {				/* one packet of the capture */
	uint64_t at_ns;
	uint32_t interface, from_ip, to_ip, seq, ack;
	unsigned from_port, to_port, flags, window;
	size_t payload_len;
	const uint8_t *payload;
	char comment[700];
};

static void write_memory(struct pcap_output *output, const void *bytes, size_t len)
{
	struct memory *m = (struct memory *)output;

	m->bytes = realloc(m->bytes, m->len + len);
	assert_non_null(m->bytes);
	memcpy(m->bytes + m->len, bytes, len);
	m->len += len;
}

static struct memory memory = { .output.write = write_memory };

static struct pcap_writer *begin(void)
{
	free(memory.bytes);
	memory.bytes = NULL;
	memory.len = 0;
	struct pcap_writer *w = pcap_writer_new(&memory.output);
	pcap_writer_target(w, "there", EPOCH);
	return w;
}

static unsigned be16(const uint8_t *p) { return (unsigned)(p[0] << 8 | p[1]); }
static uint32_t be32(const uint8_t *p) { return (uint32_t)be16(p) << 16 | be16(p + 2); }
static unsigned le16(const uint8_t *p) { return (unsigned)(p[1] << 8 | p[0]); }
static uint32_t le32(const uint8_t *p) { return (uint32_t)le16(p + 2) << 16 | le16(p); }

static unsigned folded(const uint8_t *p, size_t len, uint32_t sum)
{
	for (size_t i = 0; i < len; i++)
		sum += i % 2 ? p[i] : (uint32_t)p[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

/* The n-th block of a type; its body, without the two lengths and the type. Every block on the way is checked for its form. */
static const uint8_t *block(uint32_t type, size_t n, size_t *len)
{
	for (size_t at = 0; at < memory.len;) {
		uint32_t size = le32(memory.bytes + at + 4);

		assert_int_equal(size % 4, 0);
		assert_in_range(size, 12, memory.len - at);
		assert_int_equal(le32(memory.bytes + at + size - 4), size);
		if (le32(memory.bytes + at) == type && n-- == 0) {
			*len = size - 12;
			return memory.bytes + at + 8;
		}
		at += size;
	}
	return NULL;
}

static bool option(const uint8_t *at, const uint8_t *end, unsigned code, char *text, size_t cap)
{
	while (at < end) {
		unsigned len = le16(at + 2);

		if (le16(at) == code) {
			snprintf(text, cap, "%.*s", (int)len, (const char *)at + 4);
			return true;
		}
		if (le16(at) == 0)
			return false;
		at += 4 + (len + 3) / 4 * 4;
	}
	return false;
}

static bool packet(size_t n, struct seen *s)
{
	size_t len;
	const uint8_t *b = block(EPB, n, &len);

	*s = (struct seen){ 0 };
	if (!b)
		return false;
	s->interface = le32(b);
	s->at_ns = (uint64_t)le32(b + 4) << 32 | le32(b + 8);
	size_t captured = le32(b + 12);
	assert_int_equal(captured, le32(b + 16));
	assert_in_range(captured, 40, len - 20);
	const uint8_t *ip = b + 20, *tcp = ip + 20;
	assert_int_equal(ip[0], 0x45);
	assert_int_equal(be16(ip + 2), captured);
	assert_int_equal(ip[9], 6);
	assert_int_equal(folded(ip, 20, 0), 0xffff);
	assert_int_equal(folded(tcp, captured - 20, folded(ip + 12, 8, 6 + (uint32_t)captured - 20)), 0xffff);
	s->from_ip = be32(ip + 12);
	s->to_ip = be32(ip + 16);
	s->from_port = be16(tcp);
	s->to_port = be16(tcp + 2);
	s->seq = be32(tcp + 4);
	s->ack = be32(tcp + 8);
	s->flags = tcp[13];
	s->window = be16(tcp + 14);
	size_t head = (size_t)(tcp[12] >> 4) * 4;
	s->payload = tcp + head;
	s->payload_len = captured - 20 - head;
	option(b + 20 + (captured + 3) / 4 * 4, b + len, 1, s->comment, sizeof(s->comment));
	return true;
}

static struct tapped *open_one(struct pcap_writer *w, const char *who)
{
	struct tap *tap = pcap_writer_tap(w);
	struct tapped *t = tap->connecting(tap, 1, who);

	t->ops->opened(t, 2);
	return t;
}

static void headers(void **state)
{
	char text[700];
	size_t len;

	(void)state;
	struct pcap_writer *w = begin();
	pcap_writer_target(w, "the\033other\xff", 0);
	pcap_writer_free(w);
	const uint8_t *b = block(SHB, 0, &len);
	assert_int_equal(le32(b), 0x1a2b3c4d);
	assert_int_equal(le16(b + 4), 1);
	assert_int_equal(le16(b + 6), 0);
	assert_true(option(b + 16, b + len, 4, text, sizeof(text)));
	assert_memory_equal(text, "mqassay ", 8);
	b = block(IDB, 0, &len);
	assert_int_equal(le16(b), 101);
	assert_true(option(b + 8, b + len, 2, text, sizeof(text)));
	assert_string_equal(text, "there");
	assert_true(option(b + 8, b + len, 9, text, sizeof(text)));
	assert_int_equal(text[0], 9);
	b = block(IDB, 1, &len);
	assert_true(option(b + 8, b + len, 2, text, sizeof(text)));
	assert_string_equal(text, "the\\x1bother\\xff");
	assert_null(block(IDB, 2, &len));
}

static void a_conversation(void **state)
{
	static const uint8_t hello[] = { 0x10, 1, 2 }, answer[] = { 0x20, 2, 0, 0 };
	struct seen s;

	(void)state;
	struct pcap_writer *w = begin();
	struct tapped *t = open_one(w, "x.scn, \033[31m");
	t->ops->bytes(t, 3, TAP_CLIENT, span_of(hello, sizeof(hello)));
	t->ops->bytes(t, 4, TAP_BROKER, span_of(answer, sizeof(answer)));
	t->ops->ended(t, 5, TAP_BROKER_CLOSED);
	pcap_writer_free(w);

	assert_true(packet(0, &s));
	assert_int_equal(s.flags, SYN);
	assert_int_equal(s.at_ns, EPOCH + 1);
	assert_int_equal(s.to_port, 1883);
	assert_int_equal(s.to_ip, 0xc0000201);
	assert_string_equal(s.comment, "x.scn, \\x1b[31m");
	uint32_t client = s.seq, client_ip = s.from_ip;
	unsigned port = s.from_port;
	assert_true(packet(1, &s));
	assert_int_equal(s.flags, SYN | ACK);
	assert_int_equal(s.ack, client + 1);
	assert_int_equal(s.to_ip, client_ip);
	assert_int_equal(s.to_port, port);
	assert_string_equal(s.comment, "");
	uint32_t broker = s.seq;
	const struct { uint64_t at_ns; bool from_client; unsigned flags; uint32_t seq, ack; size_t len; } rows[] = {
		{ 2, true, ACK, 1, 1, 0 }, { 3, true, ACK | PSH, 1, 1, 3 }, { 4, false, ACK | PSH, 1, 4, 4 },
		{ 5, false, FIN | ACK, 5, 4, 0 }, { 5, true, FIN | ACK, 4, 6, 0 }, { 5, false, ACK, 6, 5, 0 },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_true(packet(2 + i, &s));
		assert_int_equal(s.at_ns, EPOCH + rows[i].at_ns);
		assert_int_equal(s.from_port, rows[i].from_client ? port : 1883);
		assert_int_equal(s.flags, rows[i].flags);
		assert_int_equal(s.seq - (rows[i].from_client ? client : broker), rows[i].seq);
		assert_int_equal(s.ack - (rows[i].from_client ? broker : client), rows[i].ack);
		assert_int_equal(s.payload_len, rows[i].len);
	}
	assert_true(packet(3, &s));
	assert_memory_equal(s.payload, hello, sizeof(hello));
	assert_false(packet(8, &s));
}

/* A packet of 1 MB and a byte: whole, in order, in segments that fit an Ethernet, and never beyond the window. */
static void a_large_packet(void **state)
{
	size_t size = (1 << 20) + 1, got = 0;
	uint8_t *big = malloc(size);
	struct seen s;

	(void)state;
	assert_non_null(big);
	for (size_t i = 0; i < size; i++)
		big[i] = (uint8_t)(i * 7 >> 3);
	struct pcap_writer *w = begin();
	struct tapped *t = open_one(w, "");
	t->ops->bytes(t, 3, TAP_BROKER, span_of(big, size));
	t->ops->ended(t, 4, TAP_CLOSED);
	pcap_writer_free(w);
	assert_true(packet(1, &s));
	uint32_t first = s.seq + 1, acked = first;
	/* Not by packet(n), which looks from the start each time. */
	for (size_t at = 0; at < memory.len; at += le32(memory.bytes + at + 4)) {
		const uint8_t *tcp = memory.bytes + at + 48;
		size_t head = (size_t)(tcp[12] >> 4) * 4, len = le32(memory.bytes + at + 20) - 20 - head;

		if (le32(memory.bytes + at) != EPB)
			continue;
		assert_true(len <= 1460);
		if (be16(tcp) != 1883) {
			if (tcp[13] == ACK)
				acked = be32(tcp + 8);
			continue;
		}
		if (!len)
			continue;
		assert_int_equal(be32(tcp + 4), (uint32_t)(first + got));
		assert_memory_equal(tcp + head, big + got, len);
		got += len;
		assert_true(first + got - acked <= 70000);
	}
	assert_int_equal(got, size);
	free(big);
}

static const struct ending {
	const char *name;
	enum tap_end how;
	bool opens, finishes;
	struct { bool from_client; unsigned flags; } packets[4];
} endings[] = {
	{ "closed by us", TAP_CLOSED, true, false, { { true, FIN | ACK }, { false, ACK } } },
	{ "dropped by us", TAP_DROPPED, true, false, { { true, RST | ACK } } },
	{ "closed by the broker", TAP_BROKER_CLOSED, true, false, { { false, FIN | ACK }, { true, FIN | ACK }, { false, ACK } } },
	{ "first we, then the broker", TAP_BROKER_CLOSED, true, true, { { true, FIN | ACK }, { false, ACK }, { false, FIN | ACK }, { true, ACK } } },
	{ "finished, then closed by us", TAP_CLOSED, true, true, { { true, FIN | ACK }, { false, ACK } } },
	{ "reset by the broker", TAP_BROKER_RESET, true, false, { { false, RST | ACK } } },
	{ "lost", TAP_LOST, true, false, { { 0 } } },
	{ "refused", TAP_REFUSED, false, false, { { false, RST | ACK } } },
	{ "no answer", TAP_LOST, false, false, { { 0 } } },
	{ "given up before it opened", TAP_CLOSED, false, false, { { 0 } } },
};

static void ends_as_it_did(void **state)
{
	const struct ending *e = *state;
	struct pcap_writer *w = begin();
	struct tap *tap = pcap_writer_tap(w);
	struct tapped *t = tap->connecting(tap, 1, "who");
	size_t n = e->opens ? 3 : 1, i;
	struct seen s;

	if (e->opens)
		t->ops->opened(t, 1);
	if (e->finishes) {
		t->ops->finished(t, 2);
		t->ops->finished(t, 2);		/* said twice, written once */
	}
	t->ops->ended(t, 3, e->how);
	pcap_writer_free(w);
	for (i = 0; i < 4 && e->packets[i].flags; i++) {
		assert_true(packet(n + i, &s));
		assert_int_equal(s.flags, e->packets[i].flags);
		assert_int_equal(s.from_port == 1883, !e->packets[i].from_client);
	}
	assert_false(packet(n + i, &s));
}

/* More than there are ports: no two have the same address and port. */
static void many_connections(void **state)
{
	enum { N = 100000 };
	static uint8_t seen[16][65536 / 8];
	struct pcap_writer *w = begin();
	struct tap *tap = pcap_writer_tap(w);

	(void)state;
	for (size_t i = 0; i < N; i++) {
		size_t before = memory.len;
		struct tapped *t = tap->connecting(tap, i, "n");
		const uint8_t *ip = memory.bytes + before + 28;
		uint32_t host = be32(ip + 12) - 0x0a000001;
		unsigned port = be16(ip + 20);

		assert_true(host < 16);
		assert_false(seen[host][port / 8] & 1 << port % 8);
		seen[host][port / 8] |= (uint8_t)(1 << port % 8);
		t->ops->ended(t, i, TAP_LOST);
		memory.len = before;		/* nothing of it is looked at again */
	}
	pcap_writer_free(w);
}

static void a_second_target(void **state)
{
	struct seen s;

	(void)state;
	struct pcap_writer *w = begin();
	pcap_writer_target(w, "second", EPOCH + 5);
	struct tapped *t = open_one(w, "x");
	t->ops->ended(t, 9, TAP_CLOSED);
	pcap_writer_free(w);
	assert_true(packet(0, &s));
	assert_int_equal(s.interface, 1);
	assert_int_equal(s.to_ip, 0xc0000202);
	assert_int_equal(s.at_ns, EPOCH + 6);
}

static void long_text_is_cut(void **state)
{
	char who[5000];
	struct seen s;

	(void)state;
	memset(who, '\033', sizeof(who) - 1);
	who[sizeof(who) - 1] = 0;
	struct pcap_writer *w = begin();
	struct tapped *t = open_one(w, who);
	t->ops->ended(t, 9, TAP_CLOSED);
	pcap_writer_free(w);
	assert_true(packet(0, &s));
	assert_in_range(strlen(s.comment), 500, 600);
	assert_memory_equal(s.comment, "\\x1b\\x1b", 8);
}

static void a_full_disk(void **state)
{
	(void)state;
	struct pcap_file *f = pcap_file_create("/dev/full");
	assert_non_null(f);
	struct pcap_writer *w = pcap_writer_new(pcap_file_output(f));
	pcap_writer_target(w, "t", 0);
	struct tapped *t = open_one(w, "x");
	uint8_t bytes[4096] = { 0 };
	for (int i = 0; i < 100; i++)
		t->ops->bytes(t, 3, TAP_CLIENT, span_of(bytes, sizeof(bytes)));
	t->ops->ended(t, 4, TAP_CLOSED);
	pcap_writer_free(w);
	assert_int_equal(pcap_file_close(f), ENOSPC);
	errno = 0;
	assert_null(pcap_file_create("/nonexistent/x"));
	assert_int_equal(errno, ENOENT);
}

int main(void)
{
	enum { N_ENDINGS = sizeof(endings) / sizeof(endings[0]), N_OTHERS = 7 };
	struct CMUnitTest tests[N_ENDINGS + N_OTHERS] = {
		cmocka_unit_test(headers),
		cmocka_unit_test(a_conversation),
		cmocka_unit_test(a_large_packet),
		cmocka_unit_test(many_connections),
		cmocka_unit_test(a_second_target),
		cmocka_unit_test(long_text_is_cut),
		cmocka_unit_test(a_full_disk),
	};

	for (size_t i = 0; i < N_ENDINGS; i++)
		tests[N_OTHERS + i] = (struct CMUnitTest){ .name = endings[i].name, .test_func = ends_as_it_did, .initial_state = (void *)&endings[i] };
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	free(memory.bytes);
	return failed;
}
