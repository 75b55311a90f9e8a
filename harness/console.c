#include "harness/console.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "harness/escape.h"

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

const char *console_safe(const char *text)
{
	static char buffers[4][408];
	static unsigned turn;
	char *out = buffers[turn++ % 4];

	if (escape_bytes(text, strlen(text), out, 401) > 400)
		strcat(out, "...");
	return out;
}
