#ifndef HARNESS_FILE_H
#define HARNESS_FILE_H

#include "codec/span.h"

/*
 * A whole file, or what a pipe brings, up to max + 1 bytes: who gets more than max says that it is too large. 0, or EXIT_UNABLE after one
 * line on stderr. text->at is given, also of an empty one.
 */
int file_read(const char *path, size_t max, struct span *text);

#endif
