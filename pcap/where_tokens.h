#ifndef PCAP_WHERE_TOKENS_H
#define PCAP_WHERE_TOKENS_H

#include "codec/lex.h"
#include "harness/nearest.h"
#include "pcap/where_program.h"

/* An expression's tokens are the notation's, and a few signs that it does not have. */

enum sign {
	S_END, S_TOKEN, S_AND, S_OR, S_NOT, S_OPEN, S_CLOSE, S_OPEN_KEY, S_CLOSE_KEY,
	S_EQ, S_NE, S_LT, S_LE, S_GT, S_GE, S_MATCH,	/* in the order of enum where_op */
};

struct where_parser {
	struct lexer lexer;
	enum sign sign;
	struct token now;		/* S_TOKEN */
	uint32_t line, column;
	bool failed;
	unsigned depth;
	struct where *where;
	struct fault *fault;
};

void where_next(struct where_parser *p);
bool where_word(const struct where_parser *p, const char *word);

/* Keeps the first mistake only; false. */
bool where_fail(struct where_parser *p, uint32_t line, uint32_t column, const char *format, ...) __attribute__((format(printf, 4, 5)));
bool where_expected(struct where_parser *p, const char *what);	/* "expected WHAT, found ..." at the token */

/* For messages; each lasts until its next call. */
const char *where_found(const struct where_parser *p);
const char *where_hint(const struct nearest *nearest);		/* "; did you mean `x`?" or "" */

#endif
