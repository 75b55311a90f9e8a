#include "harness/escape.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* The character at bytes and its length, or 0 when it is no well-formed UTF-8. */
static unsigned utf8(const uint8_t *bytes, size_t len, uint32_t *character)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	unsigned n = bytes[0] < 0x80 ? 1 : bytes[0] < 0xc2 ? 0 : bytes[0] < 0xe0 ? 2 : bytes[0] < 0xf0 ? 3 : bytes[0] < 0xf5 ? 4 : 0;
	uint32_t c = n < 2 ? bytes[0] : bytes[0] & (0x7fu >> n);

	if (!n || n > len)
		return 0;
	for (unsigned i = 1; i < n; i++) {
		if ((bytes[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (bytes[i] & 0x3f);
	}
	if (c < least[n] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
		return 0;
	*character = c;
	return n;
}

bool escape_dangerous(uint32_t c)
{
	static const struct { uint32_t first, last; } ranges[] = {
		{ 0x00, 0x1f }, { 0x7f, 0x9f }, { 0xad, 0xad },
		{ 0x61c, 0x61c }, { 0x180e, 0x180e },
		{ 0x200b, 0x200f },	/* zero width, left-to-right and right-to-left marks */
		{ 0x2028, 0x202e },	/* line and paragraph separators, bidi embeddings and overrides */
		{ 0x2060, 0x206f },	/* invisible operators, bidi isolates */
		{ 0xfdd0, 0xfdef }, { 0xfeff, 0xfeff }, { 0xfff9, 0xfffb },
		{ 0xe0000, 0xe0fff },	/* tags */
	};

	if ((c & 0xfffe) == 0xfffe)
		return true;
	for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++)
		if (c >= ranges[i].first && c <= ranges[i].last)
			return true;
	return false;
}

/* One character or byte, escaped where it must be; returns how many bytes it took from the input. */
static unsigned escape_one(const uint8_t *bytes, size_t len, char out[16])
{
	uint32_t c;
	unsigned n = utf8(bytes, len, &c);

	if (!n) {
		snprintf(out, 16, "\\x%02x", bytes[0]);
		return 1;
	}
	if (c == '\\')
		strcpy(out, "\\\\");
	else if (c == '\n' || c == '\t' || c == '\r')
		snprintf(out, 16, "\\%c", c == '\n' ? 'n' : c == '\t' ? 't' : 'r');
	else if (c < 0x80 && escape_dangerous(c))
		snprintf(out, 16, "\\x%02x", (unsigned)c);
	else if (escape_dangerous(c))
		snprintf(out, 16, "\\u{%x}", (unsigned)c);
	else
		snprintf(out, 16, "%.*s", (int)n, (const char *)bytes);
	return n;
}

size_t escape_bytes(const void *bytes, size_t len, char *out, size_t cap)
{
	const uint8_t *at = bytes;
	size_t total = 0, written = 0;
	char one[16];

	for (size_t i = 0; i < len; ) {
		size_t n;

		i += escape_one(at + i, len - i, one);
		n = strlen(one);
		if (written == total && written + n < cap) {
			memcpy(out + written, one, n);
			written += n;
		}
		total += n;
	}
	if (cap)
		out[written] = '\0';
	return total;
}

bool escape_needless(const char *text)
{
	char one[16];
	size_t len = strlen(text);

	for (size_t i = 0; i < len; i++) {
		if (text[i] == '\\')
			continue;
		escape_one((const uint8_t *)text + i, len - i, one);
		if (*one == '\\')
			return false;
		i += strlen(one) - 1;
	}
	return true;
}

/* ---- formats ---- */

/* put: one character that may stand in any text, or one escape. */
static void walk(FILE *out, const char *text, size_t len, void (*put)(FILE *out, const char *piece, size_t len))
{
	const uint8_t *at = (const uint8_t *)text;
	char one[16];

	for (size_t i = 0; i < len;) {
		if (at[i] == '\\') {
			put(out, "\\", 1);
			i++;
			continue;
		}
		i += escape_one(at + i, len - i, one);
		put(out, one, strlen(one));
	}
}

static void put_plain(FILE *out, const char *piece, size_t len)
{
	fwrite(piece, 1, len, out);
}

static void put_quoted(FILE *out, const char *piece, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (piece[i] == '"' || piece[i] == '\\')
			putc('\\', out);
		putc(piece[i], out);
	}
}

static void put_xml(FILE *out, const char *piece, size_t len)
{
	switch (*piece) {
	case '&':  fputs("&amp;", out); break;
	case '<':  fputs("&lt;", out); break;
	case '>':  fputs("&gt;", out); break;	/* of "]]>", too */
	case '"':  fputs("&quot;", out); break;
	case '\'': fputs("&#39;", out); break;
	default:   fwrite(piece, 1, len, out);
	}
}

static void put_tap(FILE *out, const char *piece, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (piece[i] == '#' || piece[i] == '\\')
			putc('\\', out);
		putc(piece[i], out);
	}
}

void escape_text_n(FILE *out, const char *text, size_t len)
{
	walk(out, text, len, put_plain);
}

void escape_text(FILE *out, const char *text)
{
	walk(out, text, strlen(text), put_plain);
}

void escape_json_n(FILE *out, const char *text, size_t len)
{
	putc('"', out);
	walk(out, text, len, put_quoted);
	putc('"', out);
}

void escape_json(FILE *out, const char *text)
{
	if (text)
		escape_json_n(out, text, strlen(text));
	else
		fputs("null", out);
}

void escape_xml(FILE *out, const char *text)
{
	walk(out, text, strlen(text), put_xml);
}

void escape_tap(FILE *out, const char *text)
{
	walk(out, text, strlen(text), put_tap);
}

/* ---- file names ---- */

char *escape_file_name(const char *text, char *out)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-+=,";
	uint32_t hash = 2166136261u;	/* FNV-1a */
	size_t n = 0, room = ESCAPE_FILE_NAME - sizeof("-01234567");
	bool lost = !*text;

	for (; *text; text++) {
		bool stays = strchr(plain, *text) && (*text != '.' || n);

		hash = (hash ^ (uint8_t)*text) * 16777619u;
		lost |= !stays || n == room;
		if (n < room)
			out[n++] = stays ? *text : '_';
	}
	out[n] = 0;
	if (lost)
		sprintf(out + n, "-%08x", (unsigned)hash);
	return out;
}
