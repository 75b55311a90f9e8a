#ifndef HARNESS_CONSOLE_H
#define HARNESS_CONSOLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/*
 * What reaches a terminal. Results go to stdout, diagnostics and progress to stderr; bytes that somebody else
 * chose are escaped, so that no broker, file or argument can move the cursor or forge a line.
 * One thread, that of the loop.
 */

enum console_color { COLOR_AUTO, COLOR_ALWAYS, COLOR_NEVER };

/* AUTO: only where the stream is a terminal, and neither NO_COLOR nor TERM=dumb is set. */
void console_set_color(enum console_color color);

enum console_style { STYLE_PLAIN, STYLE_BOLD, STYLE_DIM, STYLE_RED, STYLE_GREEN, STYLE_YELLOW, STYLE_CYAN };

/* Escape sequence that begins the style, or "" where stream has no colour; STYLE_PLAIN ends it. */
const char *console_style(FILE *stream, enum console_style style);

/* printf, after the progress line has been erased. */
void console_print(FILE *stream, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* "mqassay: " and one line on stderr; the newline is ours. */
void console_error(const char *format, ...) __attribute__((format(printf, 1, 2)));

/*
 * One line on stderr that replaces the one before and goes when anything else is printed. Cut to the terminal's
 * width; nothing at all when stderr is no terminal. An empty text erases.
 */
void console_progress(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Several lines in its stead, drawn over those before; what the terminal's height does not hold is left out, from the end. */
struct console_line {
	const char *text;
	enum console_style style;
};
void console_progress_lines(const struct console_line *lines, size_t n);
void console_room(unsigned *columns, unsigned *rows);	/* what fits: changes with the terminal's size */
bool console_has_progress(void);	/* stderr is a terminal: worth making a text */

/*
 * A C string of foreign bytes as escape_bytes() (harness/escape.h) writes it, in a buffer of its own for use within one call;
 * cut with "..." beyond 400 bytes. Four at a time, in each thread: monitors of several threads say what they saw.
 */
const char *console_safe(const char *text);

#endif
