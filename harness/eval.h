#ifndef HARNESS_EVAL_H
#define HARNESS_EVAL_H

#include "harness/script.h"

/*
 * What expressions come to. Who plays a script says what its names stand for, by a scope; this knows neither timelines nor clients. All that
 * is made lies in the scope's arena.
 */
struct scope;

struct scope_kind {
	/* A name: EXPR_VAR, ACTOR_FIELD, CLIENT, PICK or COLUMN. False: there is no such thing here; said with scope_fails(), if in other words than usual. */
	bool (*look_up)(struct scope *scope, const struct expr *e, struct value *value);
	void (*make)(struct scope *scope, enum expr_kind kind, uint8_t *at, size_t n);	/* the bytes of fill(), random(), stamp() */
	/* scram() in a step that sends, of which *packet says all but that; false: scope_fails() was called. NULL: there is no scram() here. */
	bool (*scram)(struct scope *scope, const struct expr *e, const struct packet *packet, struct value *value);
	bool (*scram_fits)(struct scope *scope, const struct value *value, const char **why);	/* whether the server says what it must; NULL: no scram() here */
	/* It cannot be done, for the first time in this scope. e NULL: the step as a whole. */
	void (*failed)(struct scope *scope, const struct expr *e, const char *what);
};

struct scope {
	const struct scope_kind *kind;
	struct arena *scratch;
	struct span topic;		/* $topic */
	const struct step *step;	/* may be NULL where no packet is built */
	bool failed;
};

/* False: kind->failed() was told, now or before. */
bool expr_value(struct scope *scope, const struct expr *e, struct value *value);
bool expr_number(struct scope *scope, const struct expr *e, uint64_t *number);

/* Always false. */
bool scope_fails(struct scope *scope, const struct expr *e, const char *format, ...) __attribute__((format(printf, 3, 4)));

void fill_pattern(uint8_t *at, size_t n, size_t from);		/* abc...zabc..., as fill(N) has it from byte `from` on */

#endif
