#ifndef PCAP_ROWS_H
#define PCAP_ROWS_H

#include "pcap/conversation.h"
#include "pcap/histogram.h"
#include "pcap/out.h"

/* How views write what they found: rows of JSON Lines, and tables for people. All foreign bytes are escaped. */

/* ---- one JSON object a line ---- */

struct json {
	struct out *out;
	uint64_t start_ns;		/* of the capture: times count from it */
	bool more;			/* a comma comes before the next member */
};

void json_begin(struct json *json, struct out *out, const char *kind, uint64_t start_ns);	/* {"kind":"..." */
void json_end(struct json *json);
void json_open(struct json *json, const char *name, char bracket);	/* '{' or '['; name NULL inside [ */
void json_close(struct json *json, char bracket);			/* '}' or ']' */
/* "NAME":"text" when it is UTF-8, else "NAME_base64":"..."; .at NULL is null. Not inside [. */
void json_text(struct json *json, const char *name, struct span text);
void json_word(struct json *json, const char *name, const char *text);	/* NULL is null */
void json_number(struct json *json, const char *name, uint64_t number);
void json_flag(struct json *json, const char *name, bool value);
void json_null(struct json *json, const char *name);
void json_duration(struct json *json, const char *name, uint64_t ns);	/* seconds: 0.000412000 */
void json_when(struct json *json, const char *name, const struct when *when);	/* {"frame":1,"time":0.000412000}; frame 0 is null */
void json_histogram(struct json *json, const char *name, const struct histogram *h);	/* null when it is empty */

/* The first line of every view: {"kind":"capture","schema":{...},"view":"...","epoch":"..."} */
void json_capture(struct out *out, const char *view, const struct when *start);

/* ---- tables ---- */

enum { CELL = 128, MAX_CELLS = 16 };

struct column {
	const char *title;
	bool right;			/* numbers */
	uint8_t most;			/* characters; what is longer is cut, and ends in ".."; 0: as long as CELL lets it be */
};

struct cells {
	char text[MAX_CELLS][CELL];
	struct span rest;		/* escaped and printed uncut behind the last column */
};

/* A row of cells for each of 0..n_rows-1, asked for twice: for the widths, then to be printed. */
struct table {
	const struct column *columns;
	unsigned n_columns;
	size_t n_rows;
	void (*fill)(void *owner, size_t row, struct cells *cells);
	void *owner;
	const char *rest;		/* title of the rest, or NULL */
};

void table_print(struct out *out, const struct table *table);
void cells_print(struct out *out, const struct column *columns, unsigned n, const unsigned *widths, struct cells *cells);	/* one row */

/* ---- quantities, to three digits or so; each returns room ---- */

enum { QUANTITY = 32 };
char *print_duration(uint64_t ns, char room[QUANTITY]);		/* 412us 4.12ms 12.3s 1234s */
char *print_bytes(uint64_t bytes, char room[QUANTITY]);		/* 999 1.21k 34.5M: powers of 1024 */
char *print_since(uint64_t start_ns, uint64_t ns, char room[QUANTITY]);	/* 0.000412: seconds */
char *print_name(const struct conversation *c, char room[QUANTITY]);	/* c1 */

void out_escaped(struct out *out, struct span text);		/* harness/escape.h, any length */
/* Escaped and cut to a cell; `without` when .at is NULL. */
void cell_text(char cell[CELL], struct span text, const char *without);

/* How much of text fits into `most` bytes without cutting a character. */
size_t whole_characters(struct span text, size_t most);

static inline uint64_t elapsed(uint64_t from_ns, uint64_t to_ns)	/* captures' clocks may step back */
{
	return to_ns > from_ns ? to_ns - from_ns : 0;
}

#endif
