#ifndef CODEC_LEX_H
#define CODEC_LEX_H

#include "codec/writer.h"

/*
 * Tokens of the notation. The text may be anything at all; whatever cannot be a token is TOKEN_BAD with
 * its place and a reason, and lexing goes on behind it. A token borrows from the text.
 */

enum token_kind {
	TOKEN_END,
	TOKEN_BAD,		/* why, what: could not be read */
	TOKEN_LINE,		/* end of a line that counts, or ';' */
	TOKEN_WORD,		/* [A-Za-z][A-Za-z0-9_]*, further parts behind single '.' or, outside $( ), '-' */
	TOKEN_NUMBER,		/* number, unit */
	TOKEN_VERSION,		/* 3.1.1: numbers joined by '.' */
	TOKEN_STRING,		/* "...": lex_bytes() gives what it says */
	TOKEN_HEX,		/* hex"c0 80" */
	TOKEN_NAME,		/* $name or $a.field; text is without '$' */
	TOKEN_EXPR,		/* $( */
	TOKEN_SEND,		/* -> */
	TOKEN_TAKE,		/* <- */
	TOKEN_AT_LEAST,		/* >= */
	TOKEN_AT_MOST,		/* <= */
	TOKEN_RANGE,		/* .. */
	TOKEN_SIGN,		/* one character: ( ) [ ] { } < > = ~ ! , : | and, in $( ), + - * / % */
};

enum unit { UNIT_NONE, UNIT_TIME, UNIT_SIZE, UNIT_RATE };	/* nanoseconds, bytes, bytes per second */

struct token {
	uint8_t kind, unit;
	uint8_t sign;			/* TOKEN_SIGN: which */
	bool space;			/* blanks, or a line end that does not count, stand before it */
	uint32_t line, column;		/* from 1; columns count bytes */
	struct span text;		/* as written, with quotes; a name without its '$' */
	uint64_t number;
	const char *why;		/* TOKEN_BAD: static */
};

enum { LEX_DEPTH = 64 };

struct lexer {
	struct span text;
	size_t at;
	uint32_t line, line_start;
	uint8_t depth;
	char nest[LEX_DEPTH];		/* open brackets, '$' for $( */
};

void lex_init(struct lexer *lexer, struct span text);

/* A lexer for text that stands at line:column of a larger one, as if inside $( ): the expressions in strings. */
void lex_init_expr(struct lexer *lexer, struct span text, uint32_t line, uint32_t column);

/* The next token; TOKEN_END again and again behind the last. */
struct token lex_next(struct lexer *lexer);

static inline bool token_is(const struct token *token, char sign)
{
	return token->kind == TOKEN_SIGN && token->sign == (uint8_t)sign;
}

static inline bool token_word(const struct token *token, const char *word)
{
	return token->kind == TOKEN_WORD && span_is(token->text, word);
}

/* The bytes that a TOKEN_HEX, or a TOKEN_STRING without $( ), stands for. */
void lex_bytes(const struct token *token, struct writer *w);

/*
 * A string is pieces of bytes and of expressions in turn. lex_piece() takes the next piece from *rest, the
 * part of a TOKEN_STRING between its quotes that is left: false at its end. *expr is the text between
 * "$(" and ")", *literal the escaped text before it or up to the end; has_expr tells whether there was one.
 */
bool lex_piece(struct span *rest, struct span *literal, struct span *expr, bool *has_expr);
void lex_unescape(struct span literal, struct writer *w);

#endif
