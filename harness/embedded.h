#ifndef HARNESS_EMBEDDED_H
#define HARNESS_EMBEDDED_H

/* The scenarios and clause tables as they were when the program was built. The last row's name is NULL. */
struct embedded {
	const char *name;		/* path from the source root: "scenarios/5/will/delay.scn" */
	const char *start, *end;	/* *end is NUL */
};

extern const struct embedded embedded[];

#endif
