#include "harness/file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "harness/cli.h"
#include "harness/console.h"

int file_read(const char *path, size_t max, struct span *text)
{
	FILE *f = fopen(path, "rb");
	size_t len = 0, cap = 0, n;
	uint8_t *bytes = NULL;
	int error = f ? 0 : errno;

	do {
		if (len == cap) {
			cap = cap ? 2 * cap : 64 * 1024;
			cap = cap < max + 1 ? cap : max + 1;
			bytes = realloc(bytes, cap);
			if (!bytes)
				abort();
		}
		errno = 0;
		n = f ? fread(bytes + len, 1, cap - len, f) : 0;
		len += n;
	} while (n && len <= max);
	if (f && ferror(f))
		error = errno ? errno : EIO;
	if (f)
		fclose(f);
	*text = span_of(bytes, len);
	if (!error)
		return 0;
	free(bytes);
	console_error("read %s: %s", console_safe(path), strerror(error));
	return EXIT_UNABLE;
}
