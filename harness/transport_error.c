#include "harness/transport.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "harness/escape.h"

/* What went wrong, for which no errno exists: texts, numbered above every errno. A hostile peer must not fill memory. */

enum { FIRST = 0x10000, MAX_TEXTS = 256, MAX_TEXT = 240 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char texts[MAX_TEXTS][MAX_TEXT];
static unsigned n_texts;

static int number_of(const char *text)
{
	unsigned i = 0;

	pthread_mutex_lock(&lock);
	while (i < n_texts && strcmp(texts[i], text) != 0)
		i++;
	if (i == n_texts && n_texts < MAX_TEXTS)
		strcpy(texts[n_texts++], text);
	pthread_mutex_unlock(&lock);
	return i < MAX_TEXTS ? (int)(FIRST + i) : FIRST + MAX_TEXTS;
}

int transport_error(const char *format, ...)
{
	char raw[MAX_TEXT], text[MAX_TEXT];
	va_list args;

	va_start(args, format);
	vsnprintf(raw, sizeof(raw), format, args);
	va_end(args);
	escape_bytes(raw, strlen(raw), text, sizeof(text));
	return number_of(text);
}

const char *transport_strerror(int error)
{
	if (error < FIRST)
		return strerror(error);
	return error < FIRST + MAX_TEXTS ? texts[error - FIRST] : "one of too many kinds of failure";
}
