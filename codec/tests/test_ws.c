#include "codec/tests/whole.h"
#include "codec/ws.h"

#include <stdio.h>

/*
 * Frames written by hand from RFC 6455. Each stream is read at once and byte by byte, and what comes must be the same:
 * data as text, control frames as <ping:...>, <pong:...>, <close:CODE:...>, and what is refused as <bad:CODE>.
 */
static const struct row {
	const char *name, *hex;
	bool from_client;
	const char *events;
} rows[] = {
	{ "a server's frame", "82 03 61 62 63", false, "abc" },
	{ "a client's frame, masked", "82 83 01 02 03 04 60 60 60", true, "abc" },
	{ "nothing in it", "82 00 82 01 78", false, "x" },
	{ "three in one read", "82 01 61 82 01 62 82 01 63", false, "abc" },
	{ "fragments", "02 01 61 00 01 62 80 01 63", false, "abc" },
	{ "a Ping between fragments", "02 01 61 89 02 68 69 80 01 62", false, "a<ping:hi>b" },
	{ "an empty Ping", "89 00", false, "<ping:>" },
	{ "a masked Ping", "89 81 01 02 03 04 60", true, "<ping:a>" },
	{ "a Pong", "8a 01 78", false, "<pong:x>" },
	{ "Close", "88 00", false, "<close:0:>" },
	{ "Close with a code", "88 02 03 e8", false, "<close:1000:>" },
	{ "Close with a reason", "88 05 03 e9 62 79 65", false, "<close:1001:bye>" },
	{ "a length in two bytes", "82 7e 00 7e " "61616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161"
	  "6161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161",
	  false, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" },
	{ "half a head", "82", false, "" },
	{ "half a long head", "82 7e 00", false, "" },

	{ "text", "81 01 61", false, "<bad:1003>" },
	{ "text behind data", "82 01 61 81 01 62", false, "a<bad:1003>" },
	{ "text refused by its first two bytes", "81 7f", false, "<bad:1003>" },
	{ "a reserved bit", "c2 01 61", false, "<bad:1002>" },
	{ "the second reserved bit", "a2 00", false, "<bad:1002>" },
	{ "the third reserved bit", "92 00", false, "<bad:1002>" },
	{ "opcode 3", "83 00", false, "<bad:1002>" },
	{ "opcode 7", "87 00", false, "<bad:1002>" },
	{ "opcode 11", "8b 00", false, "<bad:1002>" },
	{ "opcode 15", "8f 00", false, "<bad:1002>" },
	{ "a server that masks", "82 81 00 00 00 00 61", false, "<bad:1002>" },
	{ "a client that does not", "82 01 61", true, "<bad:1002>" },
	{ "a continuation of nothing", "80 01 61", false, "<bad:1002>" },
	{ "a message inside another", "02 01 61 82 01 62", false, "a<bad:1002>" },
	{ "a Ping in fragments", "09 00", false, "<bad:1002>" },
	{ "a Ping of 126 bytes", "89 7e 00 7e", false, "<bad:1002>" },
	{ "a length of 125 in two bytes", "82 7e 00 7d", false, "<bad:1002>" },
	{ "a length of 65,535 in eight bytes", "82 7f 00 00 00 00 00 00 ff ff", false, "<bad:1002>" },
	{ "a length beyond 63 bits", "82 7f 80 00 00 00 00 00 00 00", false, "<bad:1002>" },
	{ "the longest frame there can be", "82 7f 7f ff ff ff ff ff ff ff 61 62", false, "ab" },
	{ "Close with half a code", "88 01 03", false, "<bad:1002>" },
	{ "Close with code 999", "88 02 03 e7", false, "<bad:1002>" },
	{ "Close with code 1005", "88 02 03 ed", false, "<bad:1002>" },
	{ "Close with code 1006", "88 02 03 ee", false, "<bad:1002>" },
	{ "Close with code 3000", "88 02 0b b8", false, "<close:3000:>" },
	{ "Close with code 5000", "88 02 13 88", false, "<bad:1002>" },
	{ "Close with a reason that is not UTF-8", "88 03 03 e8 ff", false, "<bad:1002>" },
};

static struct guard guard;

static void put(char *out, size_t cap, const char *format, ...)
{
	va_list args;
	size_t len = strlen(out);

	va_start(args, format);
	assert_true((size_t)vsnprintf(out + len, cap - len, format, args) < cap - len);
	va_end(args);
}

/* Feeds bytes[0..len) in pieces; false once it was refused. */
static void feed(struct ws_reader *r, uint8_t *bytes, size_t len, size_t piece, char *out, size_t cap)
{
	for (size_t at = 0; at < len;) {
		size_t n = len - at < piece ? len - at : piece, used;
		struct ws_got got;

		switch (ws_read(r, bytes + at, n, &used, &got)) {
		case WS_MORE:
			assert_int_equal(used, n);
			break;
		case WS_DATA:
			assert_true(got.bytes.len > 0 && used <= n);
			put(out, cap, "%.*s", (int)got.bytes.len, (const char *)got.bytes.at);
			break;
		case WS_CONTROL:
			put(out, cap, got.opcode == WS_PING ? "<ping:" : got.opcode == WS_PONG ? "<pong:" : "<close:%u:", got.code);
			size_t skip = got.opcode == WS_CLOSE && got.bytes.len ? 2 : 0;
			put(out, cap, "%.*s>", (int)(got.bytes.len - skip), got.bytes.len ? (const char *)got.bytes.at + skip : "");
			break;
		case WS_BAD:
			assert_non_null(got.why);
			assert_int_equal(got.not_binary, got.code == WS_UNSUPPORTED);
			put(out, cap, "<bad:%u>", got.code);
			assert_int_equal(ws_read(r, bytes, len, &used, &got), WS_BAD);	/* and for good */
			assert_int_equal(used, 0);
			return;
		}
		at += used;
	}
}

static void read_as_written(void **state)
{
	const struct row *row = *state;
	uint8_t bytes[400];
	size_t len = bytes_of_hex(row->hex, bytes, sizeof bytes);

	for (size_t piece = 1; piece <= len; piece++) {
		struct ws_reader r = { .from_client = row->from_client };
		uint8_t *copy = (uint8_t *)guard_copy(&guard, bytes, len);	/* it unmasks in place */
		char out[400] = "";

		feed(&r, copy, len, piece, out, sizeof out);
		assert_string_equal(out, row->events);
	}
}

static void heads_are_the_shortest(void **state)
{
	static const uint64_t lens[] = { 0, 1, 125, 126, 65535, 65536, UINT64_C(1) << 40 };
	static const size_t sizes[] = { 2, 2, 2, 4, 4, 10, 10 };
	static const uint8_t mask[4] = { 1, 2, 3, 4 };
	uint8_t head[WS_HEAD_MAX];

	(void)state;
	for (size_t i = 0; i < sizeof lens / sizeof *lens; i++) {
		struct ws_reader r = { .from_client = true };
		struct ws_got got;
		size_t used;

		assert_int_equal(ws_head(head, WS_BINARY, true, lens[i], NULL), sizes[i]);
		assert_int_equal(ws_head(head, WS_BINARY, true, lens[i], mask), sizes[i] + 4);
		assert_int_equal(ws_read(&r, head, sizes[i] + 4, &used, &got), WS_MORE);
		assert_int_equal(r.left, lens[i]);
	}
}

static void masks_from_anywhere(void **state)
{
	static const uint8_t mask[4] = { 0x11, 0x22, 0x33, 0x44 };
	uint8_t whole[64] = { 0 }, parts[64] = { 0 };

	(void)state;
	ws_mask(whole, sizeof whole, mask, 0);
	for (size_t i = 0; i < sizeof whole; i++)
		assert_int_equal(whole[i], mask[i & 3]);
	for (size_t at = 0, n = 1; at < sizeof parts; at += n, n = at % 7 + 3)
		ws_mask(parts + at, at + n > sizeof parts ? sizeof parts - at : n, mask, at);
	assert_memory_equal(whole, parts, sizeof whole);
}

int main(void)
{
	static struct CMUnitTest tests[sizeof rows / sizeof *rows + 2];
	size_t n = sizeof rows / sizeof *rows;

	for (size_t i = 0; i < n; i++)
		tests[i] = (struct CMUnitTest){ .name = rows[i].name, .test_func = read_as_written, .initial_state = (void *)&rows[i] };
	tests[n] = (struct CMUnitTest)cmocka_unit_test(heads_are_the_shortest);
	tests[n + 1] = (struct CMUnitTest)cmocka_unit_test(masks_from_anywhere);
	guard = guard_new(4096);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
