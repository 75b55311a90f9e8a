#include "reference-broker/text_file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static bool unreadable(struct fault *fault, const char *why)
{
	*fault = (struct fault){ 0 };
	snprintf(fault->text, sizeof(fault->text), "%s", why);
	return false;
}

bool text_file_read(const char *path, size_t max, struct span *text, struct fault *fault)
{
	FILE *f = fopen(path, "r");
	uint8_t *bytes = f ? malloc(max + 1) : NULL;
	bool read = false;
	size_t len;

	if (!f)
		return unreadable(fault, strerror(errno));
	if (!bytes)
		abort();
	len = fread(bytes, 1, max + 1, f);
	if (ferror(f)) {
		unreadable(fault, strerror(errno));
	} else if (len > max) {
		*fault = (struct fault){ 0 };
		snprintf(fault->text, sizeof(fault->text), "larger than %zu MiB", max >> 20);
	} else {
		read = true;
	}
	fclose(f);
	if (read)
		*text = span_of(bytes, len);
	else
		free(bytes);
	return read;
}
