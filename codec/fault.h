#ifndef CODEC_FAULT_H
#define CODEC_FAULT_H

#include <stddef.h>

/* What is wrong with a text that a user wrote, and where. Holds its text in place: nothing to free. */
struct fault {
	unsigned line, column;		/* from 1; columns count bytes */
	char text[240];			/* one line, no newline; says what was expected there */
};

#endif
