#include "pcap/json.h"

#include "codec/topic.h"
#include "harness/escape.h"

enum { PIECE = 4096, ESCAPED = 12 };	/* bytes done between looks at the room; one character escaped: two of \uXXXX */

/* The bytes of eight that are `byte`, by their highest bits; true up to the first, which is the lowest. */
static inline uint64_t those(uint64_t eight, uint8_t byte)
{
	uint64_t x = eight ^ 0x0101010101010101u * byte;

	return (x - 0x0101010101010101u) & ~x & 0x8080808080808080u;
}

static inline bool plain(uint8_t c)
{
	return c >= ' ' && c < 0x7f && c != '"' && c != '\\';
}

/* How many of eight bytes come before the first that may need an escape. */
static inline unsigned plain_of_eight(const uint8_t *at, uint64_t *eight)
{
	memcpy(eight, at, 8);
	uint64_t n = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? *eight : __builtin_bswap64(*eight);
	uint64_t others = (((n - 0x2020202020202020u) | n) & 0x8080808080808080u) | those(n, '"') | those(n, '\\') | those(n, 0x7f);

	return others ? (unsigned)__builtin_ctzll(others) / 8 : 8;
}

/*
 * Copies len bytes up to the first character that needs more than a backslash; *done says how many. Writes to twice as many
 * bytes and 8 more at most; returns the place behind.
 */
static uint8_t *copy_plain(uint8_t *to, const uint8_t *at, size_t len, size_t *done)
{
	size_t i = 0;
	uint64_t eight;

	while (i < len) {
		if (len - i >= 8) {
			unsigned n = plain_of_eight(at + i, &eight);

			memcpy(to, &eight, 8);
			to += n;
			i += n;
			if (n == 8)
				continue;
		} else if (plain(at[i])) {
			*to++ = at[i++];
			continue;
		}
		if (at[i] != '"' && at[i] != '\\')
			break;
		*to++ = '\\';
		*to++ = at[i++];
	}
	*done = i;
	return to;
}

static uint8_t *put_unit(uint8_t *to, unsigned unit)
{
	static const char digits[] = "0123456789abcdef";

	*to++ = '\\';
	*to++ = 'u';
	for (int shift = 12; shift >= 0; shift -= 4)
		*to++ = (uint8_t)digits[unit >> shift & 15];
	return to;
}

/* One character of well-formed UTF-8 that is not plain; *at moves behind it. */
static uint8_t *put_character(uint8_t *to, const uint8_t **at)
{
	const uint8_t *from = *at;
	uint8_t first = *from;
	unsigned n = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
	uint32_t c = n == 1 ? first : first & (0x7fu >> n);

	for (unsigned i = 1; i < n; i++)
		c = c << 6 | (from[i] & 0x3f);
	*at = from + n;
	switch (c) {
	case '\n': return JSON_PUT(to, "\\n");
	case '\r': return JSON_PUT(to, "\\r");
	case '\t': return JSON_PUT(to, "\\t");
	default: break;
	}
	if (!escape_dangerous(c)) {
		memcpy(to, from, n);
		return to + n;
	}
	if (c > 0xffff) {
		c -= 0x10000;
		return put_unit(put_unit(to, 0xd800 | c >> 10), 0xdc00 | (c & 0x3ff));
	}
	return put_unit(to, c);
}

void json_string(struct out *out, struct span text)
{
	const uint8_t *at = text.at, *end = text.len ? at + text.len : at;

	out_byte(out, '"');
	while (at < end) {
		size_t left = (size_t)(end - at), n = left < PIECE ? left : PIECE, done;
		uint8_t *from = out_room(out, 2 * n + ESCAPED), *to = copy_plain(from, at, n, &done);

		at += done;
		if (done < n)
			to = put_character(to, &at);
		out_wrote(out, (size_t)(to - from));
	}
	out_byte(out, '"');
}

void json_base64(struct out *out, struct span bytes)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const uint8_t *at = bytes.at;
	size_t left = bytes.len;

	out_byte(out, '"');
	while (left) {
		uint8_t *from = out_room(out, PIECE), *to = from;

		for (; left >= 3 && to - from <= PIECE - 4; left -= 3, at += 3, to += 4) {
			to[0] = (uint8_t)digits[at[0] >> 2];
			to[1] = (uint8_t)digits[(at[0] & 3) << 4 | at[1] >> 4];
			to[2] = (uint8_t)digits[(at[1] & 15) << 2 | at[2] >> 6];
			to[3] = (uint8_t)digits[at[2] & 63];
		}
		if (left && left < 3 && to - from <= PIECE - 4) {
			unsigned second = left == 2 ? at[1] : 0;

			to[0] = (uint8_t)digits[at[0] >> 2];
			to[1] = (uint8_t)digits[(at[0] & 3) << 4 | second >> 4];
			to[2] = left == 2 ? (uint8_t)digits[(second & 15) << 2] : '=';
			to[3] = '=';
			to += 4;
			left = 0;
		}
		out_wrote(out, (size_t)(to - from));
	}
	out_byte(out, '"');
}

static void key(struct out *out, const char *name, const char *suffix)
{
	size_t len = strlen(name), more = strlen(suffix);
	uint8_t *from = out_room(out, len + more + 4), *p = JSON_PUT(from, ",\"");

	memcpy(p, name, len);
	memcpy(p + len, suffix, more);
	p = JSON_PUT(p + len + more, "\":");
	out_wrote(out, (size_t)(p - from));
}

void json_key(struct out *out, const char *name)
{
	key(out, name, "");
}

void json_bytes(struct out *out, const char *name, struct span bytes)
{
	bool text = utf8_valid(bytes);

	key(out, name, text ? "" : "_base64");
	if (text)
		json_string(out, bytes);
	else
		json_base64(out, bytes);
}

void json_key_text(struct out *out, const char *name, const char *text)
{
	json_key(out, name);
	OUT_LITERAL(out, "\"");
	out_text(out, text);
	OUT_LITERAL(out, "\"");
}

void json_key_bool(struct out *out, const char *name, bool is)
{
	json_key(out, name);
	if (is)
		OUT_LITERAL(out, "true");
	else
		OUT_LITERAL(out, "false");
}

void json_key_number(struct out *out, const char *name, uint64_t number)
{
	json_key(out, name);
	out_number(out, number);
}

uint8_t *json_put_seconds(uint8_t *p, int64_t ns)
{
	uint64_t n = ns < 0 ? 0 - (uint64_t)ns : (uint64_t)ns;
	uint32_t part = (uint32_t)(n % 1000000000);

	if (ns < 0)
		*p++ = '-';
	p = json_put_number(p, n / 1000000000);
	*p = '.';
	for (int i = 9; i > 0; i--, part /= 10)
		p[i] = (uint8_t)('0' + part % 10);
	return p + 10;
}

void json_seconds(struct out *out, int64_t ns)
{
	uint8_t *from = out_room(out, JSON_SECONDS);

	out_wrote(out, (size_t)(json_put_seconds(from, ns) - from));
}
