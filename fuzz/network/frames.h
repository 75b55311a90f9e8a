#ifndef FUZZ_NETWORK_FRAMES_H
#define FUZZ_NETWORK_FRAMES_H

#include <stdbool.h>
#include <stddef.h>

/* Stacks in reports, reduced to what is the same for all hits of one bug. */
enum { MOST_FRAMES = 24, FRAME_NAME = 50 };

struct frames {
	unsigned n, n_seen;			/* ours; of the whole stack */
	char names[MOST_FRAMES][FRAME_NAME];
	char others[3][FRAME_NAME];		/* the top of the stack, whosesoever: for when none is ours */
};

/* Lines without colours. False: it is no such frame. */
bool frames_add_sanitizer(struct frames *frames, const char *line);	/* "    #1 0x55d0 in name file.c:3:1", "    #1 name file.c:3 (module+0x12)" */
bool frames_add_valgrind(struct frames *frames, const char *line);	/* "==7==    by 0x1091: name (file.c:3)" */
void frames_add_go(struct frames *frames, const char *line);		/* "main.(*Server).handle(0xc000)" */

/* The top ones, innermost first; of a recursion that ran out of stack those that recur, in alphabetical order: where it ended is chance. */
void frames_text(const struct frames *frames, bool recursion, char *text, size_t cap);

/* Two stacks of a race, whichever was noticed first. */
void frames_text_of_two(const struct frames *a, const struct frames *b, char *text, size_t cap);

#endif
