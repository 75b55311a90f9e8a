#include "harness/load/procfs.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

FILE *procfs_open(const char *root, const char *path)
{
	char full[PATH_MAX];

	if ((size_t)snprintf(full, sizeof(full), "%s%s", root, path) >= sizeof(full))
		return NULL;
	return fopen(full, "re");
}

bool procfs_text(const char *root, const char *path, char *text, size_t cap)
{
	FILE *f = procfs_open(root, path);
	size_t len;

	if (!f)
		return false;
	len = fread(text, 1, cap - 1, f);
	fclose(f);
	text[len] = 0;
	return len > 0;
}

/* A number, whatever follows it: "max", the word of control groups for no limit, is none. */
static bool number_at(const char *at, uint64_t *number)
{
	unsigned long long value;
	char *end;

	while (isspace((unsigned char)*at))
		at++;
	if (!isdigit((unsigned char)*at))
		return false;
	errno = 0;
	value = strtoull(at, &end, 10);
	*number = errno ? UINT64_MAX : value;
	return true;
}

bool procfs_number(const char *root, const char *path, uint64_t *number)
{
	char text[64];

	return procfs_text(root, path, text, sizeof(text)) && number_at(text, number);
}

bool procfs_line(const char *root, const char *path, const char *name, uint64_t *number)
{
	FILE *f = procfs_open(root, path);
	size_t len = strlen(name);
	char line[512];
	bool found = false;

	if (!f)
		return false;
	while (!found && fgets(line, sizeof(line), f))
		found = strncmp(line, name, len) == 0 && number_at(line + len, number);
	fclose(f);
	return found;
}
