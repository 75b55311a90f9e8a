#include "pcap/out.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

bool out_init(struct out *out, int fd)
{
	*out = (struct out){ .fd = fd, .cap = OUT_ROOM, .room = malloc(OUT_ROOM) };
	return out->room;
}

static void put(struct out *out, const uint8_t *bytes, size_t len)
{
	while (len && !out->error) {
		ssize_t n = write(out->fd, bytes, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			out->error = errno;
			return;
		}
		bytes += n;
		len -= (size_t)n;
	}
}

void out_flush(struct out *out)
{
	put(out, out->room, out->len);
	out->len = 0;
}

int out_release(struct out *out)
{
	if (out->room)
		out_flush(out);
	free(out->room);
	out->room = NULL;
	return out->error;
}

void out_bytes(struct out *out, const void *bytes, size_t len)
{
	if (out->cap - out->len < len) {
		out_flush(out);
		if (len > out->cap) {
			put(out, bytes, len);
			out->written += len;
			return;
		}
	}
	if (len)
		memcpy(out->room + out->len, bytes, len);
	out_wrote(out, len);
}

void out_text(struct out *out, const char *text)
{
	out_bytes(out, text, strlen(text));
}

void out_number(struct out *out, uint64_t number)
{
	char digits[20];
	size_t i = sizeof(digits);

	do
		digits[--i] = (char)('0' + number % 10);
	while (number /= 10);
	out_bytes(out, digits + i, sizeof(digits) - i);
}

void out_format(struct out *out, const char *format, ...)
{
	char text[4096];
	va_list ap;

	va_start(ap, format);
	int n = vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	if (n > 0)
		out_bytes(out, text, (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1);
}
