#ifndef FUZZ_NETWORK_FINDING_INTERNAL_H
#define FUZZ_NETWORK_FINDING_INTERNAL_H

#include "fuzz/network/finding.h"

/* How findings are written, divided among finding*.c; nothing outside includes this. */

enum { MAX_CAST = 24 };		/* eight clients in three versions */

/*
 * Who plays what. An actor speaks one version: a client that comes back in another is another actor. Moves that nobody plays, since they make no sense
 * where they stand, have none.
 */
struct cast {
	struct { uint8_t client, version; } actors[MAX_CAST];	/* "a", "b", ... in order of appearance */
	uint32_t n;
	int8_t of[MOVES_MAX];		/* of each move; -1: passed over */
	uint8_t version;		/* of the file: the rule's, else the first actor's */
};

void finding_cast(const struct moves *m, uint8_t version, struct cast *cast);

/* Lines of steps. */
struct lines {
	char **at;
	size_t n, cap;
};

void lines_add(struct lines *lines, const char *format, ...) __attribute__((format(printf, 2, 3)));
void lines_insert(struct lines *lines, size_t at, const char *text);
/* What stands several times in a row as `repeat N { }`; each line behind `indent`. */
void lines_write(FILE *out, const struct lines *lines, const char *indent);
void lines_free(struct lines *lines);

/*
 * The moves as steps, up to the end of the last connection. *n_stimulus: how many lines come before the connections are ended. asks: whether each is
 * asked before, as players do, whether all has come; where what came is judged. stays: they are not ended, for somebody may be owed something.
 */
void finding_steps(const struct moves *m, const struct cast *cast, bool asks, bool stays, struct lines *lines, size_t *n_stimulus);

/*
 * A whole packet in the notation, that encodes to these very bytes in that version; given. NULL: the notation cannot say it, or it takes more than is left of the budget, since
 * files have limits. again: illegal where it stands.
 */
enum { FINDING_BUDGET = 40000 };
char *finding_packet(struct span bytes, enum version version, bool again, uint32_t *budget);

/* A printable line without a line break, whatever the text is; out has room for cap. */
const char *finding_line(const char *text, char *out, size_t cap);

#endif
