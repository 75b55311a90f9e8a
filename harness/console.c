#include "harness/console.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static enum console_color color_mode;
static bool progress_shown;

/* ---- colour ---- */

void console_set_color(enum console_color color)
{
	color_mode = color;
}

static bool is_terminal(FILE *stream)
{
	const char *term = getenv("TERM");

	return isatty(fileno(stream)) && term && strcmp(term, "dumb") != 0;
}

const char *console_style(FILE *stream, enum console_style style)
{
	static const char *const sequences[] = {
		[STYLE_PLAIN] = "\033[0m", [STYLE_BOLD] = "\033[1m", [STYLE_DIM] = "\033[2m", [STYLE_RED] = "\033[31m",
		[STYLE_GREEN] = "\033[32m", [STYLE_YELLOW] = "\033[33m", [STYLE_CYAN] = "\033[36m",
	};
	const char *no_color = getenv("NO_COLOR");

	if (color_mode == COLOR_NEVER)
		return "";
	if (color_mode == COLOR_AUTO && ((no_color && *no_color) || !is_terminal(stream)))
		return "";
	return sequences[style];
}

/* ---- the progress line ---- */

bool console_has_progress(void)
{
	return is_terminal(stderr);
}

static void erase(void)
{
	if (!progress_shown)
		return;
	fputs("\r\033[K", stderr);
	fflush(stderr);
	progress_shown = false;
}

static unsigned width(void)
{
	struct winsize size;

	return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 1 ? size.ws_col : 80;
}

/* How many bytes of text fit into so many columns, not counting continuation bytes: near enough for our own text. */
static int fit(const char *text, unsigned columns)
{
	size_t i;

	for (i = 0; text[i] && text[i] != '\n'; i++)
		if (((unsigned char)text[i] & 0xc0) != 0x80 && columns-- == 0)
			break;
	return (int)i;
}

void console_progress(const char *format, ...)
{
	char text[512];
	va_list args;

	if (!console_has_progress())
		return;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (!*text) {
		erase();
		return;
	}
	fprintf(stderr, "\r%.*s\033[K", fit(text, width() - 1), text);
	fflush(stderr);
	progress_shown = true;
}

void console_print(FILE *stream, const char *format, ...)
{
	va_list args;

	erase();
	va_start(args, format);
	vfprintf(stream, format, args);
	va_end(args);
}

void console_error(const char *format, ...)
{
	va_list args;

	erase();
	fflush(stdout);			/* so that a log of both reads in order */
	fputs("mqassay: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	putc('\n', stderr);
}

/* ---- foreign bytes ---- */

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

static bool is_dangerous(uint32_t c)
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
	else if (c < 0x80 && is_dangerous(c))
		snprintf(out, 16, "\\x%02x", (unsigned)c);
	else if (is_dangerous(c))
		snprintf(out, 16, "\\u{%x}", (unsigned)c);
	else
		snprintf(out, 16, "%.*s", (int)n, (const char *)bytes);
	return n;
}

size_t console_escape(const void *bytes, size_t len, char *out, size_t cap)
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

const char *console_safe(const char *text)
{
	static char buffers[4][408];
	static unsigned turn;
	char *out = buffers[turn++ % 4];

	if (console_escape(text, strlen(text), out, 401) > 400)
		strcat(out, "...");
	return out;
}
