#include "harness/password.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "harness/cli.h"
#include "harness/console.h"

int password_read(const char *path, const char **password)
{
	static char line[MAX_CREDENTIAL + 2];
	FILE *f;
	bool read;

	errno = 0;
	f = fopen(path, "r");
	read = f && fgets(line, sizeof(line), f);
	if (!read)
		console_error("read %s: %s", console_safe(path), errno ? strerror(errno) : "no password in it");
	if (f)
		fclose(f);
	if (!read)
		return EXIT_UNABLE;
	line[strcspn(line, "\r\n")] = 0;
	if (strlen(line) > MAX_CREDENTIAL) {
		console_error("read %s: its first line has more than the %d bytes that a password may have", console_safe(path), MAX_CREDENTIAL);
		return EXIT_USAGE;
	}
	*password = line;
	return 0;
}
