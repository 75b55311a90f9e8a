#include "harness/console.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "harness/escape.h"

static enum console_color color_mode;

enum { MAX_LINES = 100 };

static struct {				/* the progress that is on the terminal; the cursor stands behind its last line */
	unsigned n;			/* lines; 0: none */
	unsigned columns[MAX_LINES];	/* of each */
} shown;

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

/* ---- progress ---- */

bool console_has_progress(void)
{
	return is_terminal(stderr);
}

void console_room(unsigned *columns, unsigned *rows)
{
	struct winsize size;
	bool known = ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0;

	*columns = (known && size.ws_col > 1 ? size.ws_col : 80) - 1;	/* the cursor stands behind the text */
	*rows = known && size.ws_row > 1 ? size.ws_row - 1u : 24;
}

/* To where the first line begins; returns how many rows were taken. One that has grown too long, since the terminal was made narrower, takes several by now. */
static unsigned to_begin(FILE *out)
{
	unsigned columns, rows, up = 0;

	console_room(&columns, &rows);
	for (unsigned i = 0; i < shown.n; i++)
		up += 1 + (shown.columns[i] ? (shown.columns[i] - 1) / (columns + 1) : 0);
	if (up > 1)
		fprintf(out, "\033[%uA", up - 1);
	putc('\r', out);
	return up;
}

static void erase(void)
{
	if (!shown.n)
		return;
	fputs(to_begin(stderr) > 1 ? "\033[J" : "\033[K", stderr);
	fflush(stderr);
	shown.n = 0;
}

/* How many bytes of text fit into so many columns, not counting continuation bytes: near enough for our own text. */
static int fit(const char *text, unsigned columns, unsigned *used)
{
	size_t i;

	*used = 0;
	for (i = 0; text[i] && text[i] != '\n'; i++)
		if (((unsigned char)text[i] & 0xc0) != 0x80) {
			if (*used == columns)
				break;
			++*used;
		}
	return (int)i;
}

/* All of it in one write, so that no half of it is ever seen. */
void console_progress_lines(const struct console_line *lines, size_t n)
{
	unsigned columns, rows, before;
	char *text = NULL;
	size_t len;
	FILE *out;

	if (!console_has_progress())
		return;
	if (!n) {
		erase();
		return;
	}
	out = open_memstream(&text, &len);
	if (!out)
		return;
	console_room(&columns, &rows);
	rows = rows < MAX_LINES ? rows : MAX_LINES;
	before = to_begin(out);
	shown.n = n < rows ? (unsigned)n : rows;
	for (unsigned i = 0; i < shown.n; i++) {
		bool styled = lines[i].style != STYLE_PLAIN;
		int fits = fit(lines[i].text, columns, &shown.columns[i]);

		fprintf(out, "%s%s%.*s%s\033[K", i ? "\n" : "", styled ? console_style(stderr, lines[i].style) : "", fits, lines[i].text,
		        styled ? console_style(stderr, STYLE_PLAIN) : "");
	}
	if (before > 1)
		fputs("\033[J", out);	/* there may have been more of them, or longer ones */
	if (fclose(out) == 0)
		fwrite(text, 1, len, stderr);
	fflush(stderr);
	free(text);
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
	console_progress_lines(&(struct console_line){ .text = text }, *text != 0);
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
	static _Thread_local char buffers[4][408];
	static _Thread_local unsigned turn;
	char *out = buffers[turn++ % 4];

	if (escape_bytes(text, strlen(text), out, 401) > 400)
		strcat(out, "...");
	return out;
}
