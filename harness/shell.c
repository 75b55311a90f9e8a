#include "harness/shell.h"

#include <stdint.h>
#include <string.h>

#include "harness/escape.h"

static void put_bytes(FILE *out, const char *word)
{
	fputs("$'", out);
	for (; *word; word++) {
		uint8_t c = (uint8_t)*word;

		if (c == '\'' || c == '\\')
			fprintf(out, "\\%c", c);
		else if (c < 0x20 || c >= 0x7f)
			fprintf(out, "\\%03o", c);	/* at most three digits are read, of \x any number */
		else
			fputc(c, out);
	}
	fputc('\'', out);
}

void shell_word(FILE *out, const char *word)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=:,./@%";

	if (*word && !word[strspn(word, plain)]) {
		fputs(word, out);
		return;
	}
	if (!escape_needless(word)) {
		put_bytes(out, word);
		return;
	}
	fputc('\'', out);
	for (; *word; word++)
		if (*word == '\'')
			fputs("'\\''", out);
		else
			fputc(*word, out);
	fputc('\'', out);
}
