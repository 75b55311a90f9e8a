#include "codec/tests/whole.h"
#include "pcap/pcapng_reader.h"

#include <stdio.h>
#include <stdlib.h>

/*
 * pcapng files written by hand from draft-ietf-opsawg-pcapng. What is read is told as one line:
 * FRAME@INTERFACE/LINKTYPE:TIME_NS:BYTES[+NOT CAPTURED], and at the end how it ended.
 */

enum { SHB = 0x0a0d0d0a, IDB = 1, OPB = 2, SPB = 3, NRB = 4, ISB = 5, EPB = 6, DSB = 10 };

struct file {
	bool big;			/* endian */
	size_t len, block;
	uint8_t bytes[1 << 16];
};

static void put(struct file *f, uint64_t v, int n)
{
	for (int i = 0; i < n; i++)
		f->bytes[f->len + (size_t)(f->big ? n - 1 - i : i)] = i < 8 ? (uint8_t)(v >> 8 * i) : 0;
	f->len += (size_t)n;
}

static void put_bytes(struct file *f, const char *hex)
{
	f->len += bytes_of_hex(hex, f->bytes + f->len, sizeof(f->bytes) - f->len);
}

static void pad(struct file *f)
{
	while (f->len % 4)
		f->bytes[f->len++] = 0;
}

static void begin(struct file *f, uint32_t type)
{
	f->block = f->len;
	put(f, type, 4);
	put(f, 0, 4);
}

static void end(struct file *f)
{
	size_t len, behind;

	pad(f);
	len = f->len + 4 - f->block;
	put(f, len, 4);
	behind = f->len;
	f->len = f->block + 4;
	put(f, len, 4);
	f->len = behind;
}

static void section(struct file *f, bool big)
{
	f->big = big;
	begin(f, SHB);
	put(f, 0x1a2b3c4d, 4), put(f, 1, 2), put(f, 0, 2), put(f, UINT64_MAX, 8);
	end(f);
}

/* resolution < 0: no option; offset 0: no option */
static void interface(struct file *f, unsigned link_type, uint32_t snaplen, int resolution, int64_t offset_s)
{
	begin(f, IDB);
	put(f, link_type, 2), put(f, 0, 2), put(f, snaplen, 4);
	put(f, 2, 2), put(f, 3, 2), put_bytes(f, "657468"), pad(f);		/* if_name */
	if (resolution >= 0)
		put(f, 9, 2), put(f, 1, 2), put(f, (uint64_t)resolution, 1), pad(f);
	if (offset_s)
		put(f, 14, 2), put(f, 8, 2), put(f, (uint64_t)offset_s, 8);
	put(f, 0, 4);
	end(f);
}

static void enhanced(struct file *f, uint32_t i, uint64_t time, const char *hex, uint32_t more)
{
	begin(f, EPB);
	put(f, i, 4), put(f, time >> 32, 4), put(f, time, 4), put(f, 0, 8);
	size_t at = f->len;
	put_bytes(f, hex);
	size_t len = f->len - at, behind;
	pad(f);
	put(f, 2, 2), put(f, 4, 2), put(f, 1, 4), put(f, 0, 4);			/* epb_flags, end of options */
	behind = f->len;
	f->len = at - 8;
	put(f, len, 4), put(f, len + more, 4);
	f->len = behind;
	end(f);
}

static void simple(struct file *f, uint32_t original_len, const char *hex)
{
	begin(f, SPB);
	put(f, original_len, 4);
	put_bytes(f, hex);
	end(f);
}

static void other(struct file *f, uint32_t type, const char *hex)
{
	begin(f, type);
	put_bytes(f, hex);
	end(f);
}

/* ---- reading ---- */

static struct guard guard;

static void take_secrets(void *owner, struct span text)
{
	char *told = owner;
	size_t len = strlen(told);

	snprintf(told + len, 4000 - len, "<%.*s>", (int)text.len, (const char *)text.at);
}

static const char *read_all(const uint8_t *bytes, size_t len)
{
	static char told[4000];
	struct capture_error why = { 0 };
	struct source *s = source_of_memory(span_of(guard_copy(&guard, bytes, len), len), &why);
	struct pcapng *ng = pcapng_new(s);
	struct record r;
	enum capture_status status;
	size_t n;

	told[0] = '\0';
	pcapng_on_secrets(ng, take_secrets, told);
	while ((status = pcapng_next(ng, 0, &r, &why)) == CAPTURE_RECORD) {
		n = strlen(told);
		n += (size_t)snprintf(told + n, sizeof(told) - n, "%s%llu@%u/%u:%llu:", n ? " " : "", (unsigned long long)r.when.frame, r.interface, r.link_type,
		                      (unsigned long long)r.when.time_ns);
		for (size_t i = 0; i < r.bytes.len; i++)
			n += (size_t)snprintf(told + n, sizeof(told) - n, "%02x", r.bytes.at[i]);
		if (r.original_len > r.bytes.len)
			snprintf(told + n, sizeof(told) - n, "+%zu", r.original_len - r.bytes.len);
	}
	n = strlen(told);
	if (status == CAPTURE_BROKEN)
		snprintf(told + n, sizeof(told) - n, " broken: %s", why.text);
	assert_int_equal(pcapng_next(ng, 0, &r, &why), CAPTURE_END);
	assert_null(strchr(why.text, '\n'));
	pcapng_free(ng);
	source_close(s);
	return told;
}

#define TOLD(f, text) assert_string_equal(read_all((f)->bytes, (f)->len), text)

static struct file file;

static struct file *fresh(bool big)
{
	file.len = 0;
	section(&file, big);
	return &file;
}

static void both_byte_orders(void **state)
{
	struct file *f = fresh((uintptr_t)*state);

	interface(f, 1, 262144, -1, 0);
	enhanced(f, 0, 1000001, "0102030405", 0);
	enhanced(f, 0, 1000002, "06", 99);
	enhanced(f, 0, 1000003, "", 0);
	TOLD(f, "1@0/1:1000001000:0102030405 2@0/1:1000002000:06+99 3@0/1:1000003000:");
}

/* The bytes of the draft itself, so that maker and reader cannot err alike. */
static void by_hand(void **state)
{
	static const char *const hex[] = {
		"0a0d0d0a 1c000000 4d3c2b1a 0100 0000 ffffffffffffffff 1c000000"
		"01000000 14000000 0100 0000 00000400 14000000"
		"06000000 28000000 00000000 01000000 02000000 05000000 06000000 6162636465000000 28000000",
		"0a0d0d0a 0000001c 1a2b3c4d 0001 0000 ffffffffffffffff 0000001c"
		"00000001 00000014 0001 0000 00040000 00000014"
		"00000006 00000028 00000000 00000001 00000002 00000005 00000006 6162636465000000 00000028",
	};

	for (size_t i = (uintptr_t)*state; i < 2; i++) {
		file.len = bytes_of_hex(hex[i], file.bytes, sizeof(file.bytes));
		TOLD(&file, "1@0/1:4294967298000:6162636465+1");
	}
}

static void interfaces_with_their_own(void **state)
{
	struct file *f = fresh((uintptr_t)*state);

	interface(f, 1, 0, -1, 0);
	interface(f, 113, 0, 9, 0);
	interface(f, 101, 0, 3, 100);
	interface(f, 276, 0, 0, -1);
	interface(f, 0, 0, 0x80 | 10, 0);
	interface(f, 1, 0, 12, 0);
	interface(f, 1, 0, 0x80 | 63, 0);
	interface(f, 1, 0, 0xff, 0);
	interface(f, 1, 0, 127, 0);
	enhanced(f, 0, 1, "00", 0);
	enhanced(f, 1, 5000000001, "01", 0);
	enhanced(f, 2, 7, "02", 0);
	enhanced(f, 3, 10, "03", 0);
	enhanced(f, 4, 1536, "04", 0);
	enhanced(f, 5, 1234567, "05", 0);
	enhanced(f, 6, UINT64_C(1) << 63, "06", 0);
	enhanced(f, 7, UINT64_MAX, "07", 0);
	enhanced(f, 8, 9, "08", 0);
	TOLD(f, "1@0/1:1000:00 2@1/113:5000000001:01 3@2/101:100007000000:02 4@3/276:9000000000:03 5@4/0:1500000000:04 6@5/1:1234:05 "
	        "7@6/1:1000000000:06 8@7/1:0:07 9@8/1:0:08");
}

static void several_sections(void **state)
{
	struct file *f = fresh(false);

	(void)state;
	interface(f, 1, 0, -1, 0);
	interface(f, 101, 0, -1, 0);
	enhanced(f, 1, 1, "01", 0);
	section(f, true);
	interface(f, 113, 0, 9, 0);
	enhanced(f, 0, 2, "02", 0);
	section(f, false);
	interface(f, 228, 0, -1, 0);
	enhanced(f, 0, 3, "03", 0);
	TOLD(f, "1@1/101:1000:01 2@2/113:2:02 3@3/228:3000:03");
}

static void simple_packets(void **state)
{
	struct file *f = fresh((uintptr_t)*state);

	interface(f, 1, 4, -1, 0);
	simple(f, 3, "010203");
	enhanced(f, 0, 5, "ff", 0);
	simple(f, 9, "01020304");
	section(f, false);
	interface(f, 101, 0, -1, 0);
	simple(f, 5, "0102030405");
	TOLD(f, "1@0/1:0:010203 2@0/1:5000:ff 3@0/1:5000:01020304+5 4@1/101:5000:0102030405");
}

static void old_packets(void **state)
{
	struct file *f = fresh((uintptr_t)*state);

	interface(f, 1, 0, -1, 0);
	interface(f, 113, 0, -1, 0);
	begin(f, OPB);
	put(f, 1, 2), put(f, 7, 2), put(f, 0, 4), put(f, 9, 4), put(f, 2, 4), put(f, 5, 4), put_bytes(f, "0102");
	end(f);
	TOLD(f, "1@1/113:9000:0102+3");
}

static void passes_others_over(void **state)
{
	struct file *f = fresh((uintptr_t)*state);

	other(f, NRB, "0001 0008 7f000001 61626300 00000000");
	interface(f, 1, 0, -1, 0);
	other(f, ISB, "00000000 00000000 00000000");
	enhanced(f, 0, 1, "01", 0);
	other(f, 0x80000bad, "");
	other(f, 0xbad, "0102030405");
	enhanced(f, 0, 2, "02", 0);
	begin(f, 0xbad);
	memset(f->bytes + f->len, 0x5a, 40000);
	f->len += 40000;
	end(f);
	enhanced(f, 0, 3, "03", 0);
	TOLD(f, "1@0/1:1000:01 2@0/1:2000:02 3@0/1:3000:03");
}

static void secrets(void **state)
{
	struct file *f = fresh((uintptr_t)*state);

	interface(f, 1, 0, -1, 0);
	begin(f, DSB);
	put(f, 0x544c534b, 4), put(f, 6, 4), put_bytes(f, "61 20 62 0a 63 0a");
	end(f);
	enhanced(f, 0, 1, "01", 0);
	begin(f, DSB);
	put(f, 0x57474b4c, 4), put(f, 3, 4), put_bytes(f, "616263");		/* WireGuard's */
	end(f);
	begin(f, DSB);
	put(f, 0x544c534b, 4), put(f, 400, 4), put_bytes(f, "78");		/* longer than its block */
	end(f);
	other(f, DSB, "00000000");
	enhanced(f, 0, 2, "02", 0);
	TOLD(f, "<a b\nc\n> 1@0/1:1000:01<x> 2@0/1:2000:02");
}

static size_t lines, longest, total;

static void count_secrets(void *owner, struct span text)
{
	(void)owner;
	assert_int_equal(text.at[text.len - 1], '\n');
	for (size_t i = 0; i < text.len; i++)
		lines += text.at[i] == '\n';
	longest = text.len > longest ? text.len : longest;
	total += text.len;
}

/* A key log of many megabytes goes on in whole lines, and is nowhere kept. */
static void many_secrets(void **state)
{
	enum { N = 300000, LINE = 50 };
	uint8_t *bytes = malloc(100 + N * LINE);
	struct file *f = fresh(false);
	struct capture_error why;
	struct record r;

	(void)state;
	interface(f, 1, 0, -1, 0);
	begin(f, DSB);
	put(f, 0x544c534b, 4), put(f, N * LINE, 4);
	size_t head = f->len;
	f->len = f->block + 4;
	put(f, 20 + N * LINE, 4);
	f->len = head;
	memcpy(bytes, f->bytes, head);
	for (size_t i = 0; i < N * LINE; i++)
		bytes[head + i] = i % LINE == LINE - 1 ? '\n' : 'k';
	memcpy(bytes + head + N * LINE, f->bytes + f->block + 4, 4);

	struct source *s = source_of_memory(span_of(bytes, head + N * LINE + 4), &why);
	struct pcapng *ng = pcapng_new(s);
	pcapng_on_secrets(ng, count_secrets, NULL);
	assert_int_equal(pcapng_next(ng, 0, &r, &why), CAPTURE_END);
	assert_int_equal(lines, N);
	assert_int_equal(total, N * LINE);
	assert_true(longest <= 64 * 1024);
	pcapng_free(ng);
	source_close(s);
	free(bytes);
}

static void what_is_wrong(void **state)
{
	struct file *f = fresh((uintptr_t)*state);

	interface(f, 1, 0, -1, 0);
	enhanced(f, 0, 1, "01", 0);
	enhanced(f, 3, 2, "02", 0);
	other(f, EPB, "00000000");
	other(f, IDB, "00000000");
	begin(f, EPB);
	put(f, 0, 12), put(f, 9, 4), put(f, 9, 4), put_bytes(f, "0102030405060708");
	end(f);
	enhanced(f, 0, 5, "05", 0);
	TOLD(f, "1@0/1:1000:01 5@0/1:5000:05 broken: frame 2 at byte 108: a packet of interface 3, which is not described; it and others like it were left out");

	simple(fresh(false), 3, "010203");
	TOLD(f, " broken: frame 1 at byte 28: a packet of interface 0, which is not described; it was left out");

	fresh(false)->bytes[12] = 2;
	TOLD(f, " broken: byte 0: a section of pcapng version 2, only 1 can be read");
	fresh(false)->bytes[8] = 0;
	TOLD(f, " broken: byte 0: a section without a byte order");

	static const struct { uint32_t len; const char *why; } lengths[] = {
		{ 0, " broken: behind frame 0 at byte 28: a block of 0 bytes cannot be; nothing behind it can be found" },
		{ 8, " broken: behind frame 0 at byte 28: a block of 8 bytes cannot be; nothing behind it can be found" },
		{ 29, " broken: behind frame 0 at byte 28: a block of 29 bytes cannot be; nothing behind it can be found" },
		{ 24, " broken: behind frame 0 at byte 28: a block whose two lengths differ; nothing behind it can be found" },
		{ 32, " broken: behind frame 0 at byte 28: the last block is cut" },
		{ 0xfffffffc, " broken: behind frame 0 at byte 28: a block of 4294967292 bytes cannot be; nothing behind it can be found" },
	};
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		begin(fresh(false), IDB);
		put(f, 1, 4), put(f, 0, 4), put(f, 0, 4), put(f, 0, 4);
		end(f);
		f->len = f->block + 4;
		put(f, lengths[i].len, 4);
		f->len = f->block + 28;
		TOLD(f, lengths[i].why);
	}
}

/* An unknown block may be of any length: it is not kept. One beyond the file's end is cut. */
static void an_absurd_length(void **state)
{
	struct file *f = fresh(false);

	(void)state;
	begin(f, 0xbad);
	end(f);
	f->len = f->block + 4;
	put(f, 0xfffffff0, 4);
	TOLD(f, " broken: behind frame 0 at byte 28: the last block is cut");
}

/* However it is cut: the packets before are there, and no more than one line is said. */
static void cut_anywhere(void **state)
{
	static const char *const all = "1@0/1:1000:010203<k> 2@0/1:0:04 3@0/1:3000:05060708";
	struct file *f = fresh((uintptr_t)*state);
	static uint8_t bytes[1024];
	size_t ends[8], n = 0, len;

	interface(f, 1, 0, -1, 0);
	enhanced(f, 0, 1, "010203", 0);
	ends[n++] = f->len;
	begin(f, DSB);
	put(f, 0x544c534b, 4), put(f, 1, 4), put_bytes(f, "6b");
	end(f);
	ends[n++] = f->len;
	enhanced(f, 0, 0, "04", 0);
	ends[n++] = f->len;
	enhanced(f, 0, 3, "05060708", 0);
	ends[n++] = f->len;
	len = f->len;
	memcpy(bytes, f->bytes, len);
	assert_string_equal(read_all(bytes, len), all);
	for (size_t cut = 28; cut < len; cut++) {
		const char *told = read_all(bytes, cut), *broken = strstr(told, " broken: ");
		size_t before = broken ? (size_t)(broken - told) : strlen(told);

		assert_memory_equal(told, all, before);
		for (size_t i = 0; i < n; i++)
			if (cut == ends[i])
				assert_null(broken);
		assert_true(!broken || !strcmp(broken + strlen(broken) - 21, "the last block is cut"));
	}
}

int main(void)
{
	static const struct { const char *name; CMUnitTestFunction run; bool both; } all[] = {
		{ "both byte orders", both_byte_orders, true }, { "by hand", by_hand, false }, { "interfaces of their own", interfaces_with_their_own, true },
		{ "several sections", several_sections, false }, { "simple packets", simple_packets, true }, { "obsolete packets", old_packets, true },
		{ "other blocks", passes_others_over, true }, { "secrets", secrets, true }, { "many secrets", many_secrets, false },
		{ "what is wrong", what_is_wrong, true }, { "an absurd length", an_absurd_length, false }, { "cut anywhere", cut_anywhere, true },
	};
	enum { N = sizeof(all) / sizeof(all[0]) };
	struct CMUnitTest tests[2 * N];
	size_t n = 0;

	guard = guard_new(1 << 17);
	for (size_t i = 0; i < N; i++)
		for (uintptr_t big = 0; big <= all[i].both; big++)
			tests[n++] = (struct CMUnitTest){ .name = all[i].name, .test_func = all[i].run, .initial_state = (void *)big };
	return _cmocka_run_group_tests("pcapng", tests, n, NULL, NULL);
}
