#ifndef LOAD_PROCFS_H
#define LOAD_PROCFS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* What the kernel tells in files. root: "" is the machine's; tests have a folder of their own. path begins with a slash. */

FILE *procfs_open(const char *root, const char *path);				/* NULL: there is none, or it is not ours to read */
bool procfs_text(const char *root, const char *path, char *text, size_t cap);	/* what fits, terminated; false: not there, or empty */
bool procfs_number(const char *root, const char *path, uint64_t *number);	/* the first one in it; *number is written only with true */
/* The number behind `name` at the begin of a line: "MemAvailable:" of /proc/meminfo. */
bool procfs_line(const char *root, const char *path, const char *name, uint64_t *number);

#endif
