#ifndef HARNESS_OUTFILE_H
#define HARNESS_OUTFILE_H

#include <stdio.h>

/*
 * A file that is there whole or as it was before: written beside itself under another name, then renamed. What
 * exists and is no regular file (a device, a pipe) is written to as it is. A link is followed.
 * Errors are negative errno.
 */
struct outfile {
	FILE *stream;
	char *path, *temporary;		/* temporary NULL: written in place */
};

/* Whether open would work. Leaves nothing behind, and an existing file untouched. 0 or an error. */
int outfile_check(const char *path);

int outfile_open(struct outfile *file, const char *path);	/* 0: write to file->stream, then close */

/* Flushes and renames. 0, or the first error of any write; then what was there before still is. */
int outfile_close(struct outfile *file);

#endif
