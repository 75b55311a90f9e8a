#ifndef REFERENCE_BROKER_TEXT_FILE_H
#define REFERENCE_BROKER_TEXT_FILE_H

#include "codec/fault.h"
#include "codec/span.h"

/*
 * All of a file, at most max bytes (of whole MiB): *text is given, to be freed by free((void *)text->at). False: fault->text says
 * why, and has no place. May block, as the file does.
 */
bool text_file_read(const char *path, size_t max, struct span *text, struct fault *fault);

#endif
