#ifndef CODEC_TESTS_WHOLE_H
#define CODEC_TESTS_WHOLE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "codec/fields.h"
#include "codec/text.h"
#include "codec/tests/guard.h"

/* What holds for the bytes of any whole packet, legal or not. */

enum { WHOLE_MAX = 1 << 18 };

/* Hex digits, with blanks anywhere between bytes. */
static inline size_t bytes_of_hex(const char *hex, uint8_t *bytes, size_t cap)
{
	static const char digits[] = "0123456789abcdef";
	size_t n = 0;

	for (; *hex; hex++) {
		const char *high = strchr(digits, *hex), *low = high && hex[1] ? strchr(digits, hex[1]) : NULL;

		if (*hex == ' ')
			continue;
		assert_true(high && low && n < cap);
		bytes[n++] = (uint8_t)((high - digits) << 4 | (low - digits));
		hex++;
	}
	return n;
}

/* The parts stand side by side from the first byte to the last. */
static inline void assert_laid_out(const uint8_t *bytes, size_t len, enum version version)
{
	static struct part parts[WHOLE_MAX];
	size_t n = layout(bytes, len, version, parts, WHOLE_MAX), at = 0;

	assert_true(n <= WHOLE_MAX);
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(parts[i].offset, at);
		assert_true(parts[i].len > 0 && parts[i].name);
		at += parts[i].len;
	}
	assert_int_equal(at, len);
}

/* Every beginning asks for more, and the whole is framed however much follows; nothing past it is read. */
static inline void assert_framed(const struct guard *g, const uint8_t *bytes, size_t len)
{
	struct frame frame;
	struct finding finding;

	for (size_t n = 0; n < len; n++) {
		assert_int_equal(frame_next(guard_copy(g, bytes, n), n, &frame, &finding), FRAME_MORE);
		assert_true(frame.size == 0 || frame.size == len);
	}
	assert_int_equal(frame_next(guard_copy(g, bytes, len), len, &frame, &finding), FRAME_OK);
	assert_int_equal(frame.size, len);
}

/* Cut anywhere, with the remaining length repaired, it is read within its bounds and without doubt about them. */
static inline void assert_survives_cuts(const struct guard *g, const uint8_t *bytes, size_t len, enum version version)
{
	static uint8_t cut[WHOLE_MAX], again[WHOLE_MAX];
	struct frame frame;
	struct finding finding;
	struct packet packet;

	assert_int_equal(frame_next(bytes, len, &frame, &finding), FRAME_OK);
	for (size_t body = 0; body < len - frame.header_size; body++) {
		struct writer w = writer_to(cut, sizeof cut), back = writer_to(again, sizeof again);

		wr_u8(&w, bytes[0]);
		wr_varint(&w, (uint32_t)body);
		wr_bytes(&w, span_of(bytes + frame.header_size, body));
		const uint8_t *at = guard_copy(g, cut, w.len);
		if (decode(at, w.len, version, &packet, &finding) == CODEC_OK) {
			assert_int_equal(encode(&packet, NULL, &back), CODEC_OK);
			assert_int_equal(back.len, w.len);
			assert_memory_equal(again, cut, w.len);
		} else {
			assert_true(finding.offset <= w.len && finding.why && rule_id(finding.rule, version));
		}
		assert_laid_out(at, w.len, version);
	}
}

/* Decoding and encoding give the same bytes, and so does the way through the text, which is left in `text`. */
static inline void assert_comes_back(const struct guard *g, const uint8_t *bytes, size_t len, enum version version,
                                     enum sender from, char *text, size_t cap)
{
	static uint8_t again[WHOLE_MAX], room[4 * WHOLE_MAX];
	const uint8_t *at = guard_copy(g, bytes, len);
	struct writer back = writer_to(again, sizeof again), t = writer_to(text, cap - 1);
	struct packet packet;
	struct finding finding;
	struct arena arena;
	struct builder builder;
	struct fault fault;

	assert_int_equal(decode(at, len, version, &packet, &finding), CODEC_OK);
	assert_int_equal(encode(&packet, NULL, &back), CODEC_OK);
	assert_int_equal(back.len, len);
	assert_memory_equal(again, bytes, len);
	packet_print(&packet, from, &t);
	assert_true(wr_fits(&t));
	text[t.len] = '\0';
	for (size_t i = 0; i < t.len; i++)
		assert_true((uint8_t)text[i] >= ' ' && text[i] != 0x7f);
	arena_init(&arena, room, sizeof room);
	if (packet_parse(wr_span(&t), (enum version)packet.version, &arena, &builder, &fault) != CODEC_OK)
		fail_msg("%u:%u: %s in: %s", fault.line, fault.column, fault.text, text);
	back = writer_to(again, sizeof again);
	assert_int_equal(builder_encode(&builder, &back), CODEC_OK);
	if (back.len != len || memcmp(again, bytes, len))
		fail_msg("reads back as other bytes: %s", text);
}

#endif
