#ifndef HARNESS_PARSE_H
#define HARNESS_PARSE_H

#include "codec/lex.h"
#include "harness/capture_script.h"
#include "harness/nearest.h"

/*
 * How scenario_parse() is divided among parse_*.c; nothing outside includes this. A file is lexed once
 * (parse.c), its header's fixed part is read once (parse_header.c), and each case, with its values put in
 * (parse_cases.c), is parsed for each version from its own tokens. Every parse_ function leaves a diagnostic
 * and returns false or NULL when it fails; the caller passes that on.
 */

enum file_kind { FILE_SCENARIO, FILE_WORKLOAD, FILE_CAPTURE, FILE_FINDING, FILE_FAULT };

enum {
	MAX_TEXT = 1 << 20,		/* bytes of one file */
	MAX_TOKENS = 1 << 18,		/* of one file */
	MAX_CASE_TOKENS = 1 << 16,	/* of one case, its values put in */
	MAX_ALL_TOKENS = 1 << 21,	/* of all cases together */
	MAX_MEMORY = 256 << 20,		/* of all scripts of a file */
	MAX_SCRIPTS = 4096,
	MAX_COLUMNS = 64,		/* values of one case, parameters of a file */
	MAX_BLOCKS = 32,		/* depth of { } */
	MAX_EXPR_DEPTH = 32,
	MAX_PARTS = 4096,		/* fields of a step, elements of a list */
	MAX_REPEAT = 1000000,
	MAX_ARMS = 64,
	MAX_FILE_CITES = 64,
	MAX_BINDINGS = 1024,		/* places where a name is bound, in a file */
	MAX_MEETINGS = 32,
	LOAD_STAMP = 16,		/* bytes of a workload's stamp at least: STAMP_SHORT of load/ledger.h */
	MAX_IN_FLIGHT = 65535,		/* packet ids of one session */
};

struct tokens {
	const struct token *at;
	uint32_t n;
};

/* A value of a case or a parameter: its tokens are put in wherever $name stands. */
struct column {
	struct span name;
	struct tokens value;
	struct place at;
	bool *used;
};

struct citation {
	uint8_t version;
	const char *id;
	struct place at;
	bool marked;			/* in some case */
};

enum name_kind { NAME_VALUE, NAME_MOMENT, NAME_LOST };	/* lost: bound by what this version leaves out */

struct bound_name {
	struct span name;
	enum name_kind kind;
	uint32_t slot;
	struct place at;
};

struct binding {			/* a place that binds, over all cases */
	struct place at;
	struct span name;
	bool used;
};

enum actor_state {			/* what is certain of an actor's connection */
	ACTOR_NEW,			/* none yet */
	ACTOR_OPEN,			/* open, and no CONNECT sent */
	ACTOR_CONNECTED,		/* CONNECT sent */
	ACTOR_ENDED,
	ACTOR_UNKNOWN,
};

struct meeting {
	const char *name;
	struct place at;		/* of its first `meet` */
	uint32_t roles;			/* bit per role that names it */
};

struct parser {
	const char *file;
	struct region *region;		/* keeps what scripts keep; of a capture, what the step at hand keeps */
	struct region *lasting;		/* keeps what scripts keep */
	struct region scratch;		/* until the file is parsed */
	struct diagnostics *diagnostics;
	const struct param *params;
	size_t n_params;

	/* ---- of the file ---- */
	enum file_kind kind;
	struct tokens all;
	uint32_t header_end;		/* index in all of the first step */
	const char *title;
	uint8_t versions[3];
	uint32_t n_versions;
	struct citation cites[MAX_FILE_CITES], watches[MAX_FILE_CITES];
	uint32_t n_cites, n_watches;
	const char **tags;
	uint32_t n_tags;
	bool alone, bulk;
	struct column defaults[MAX_COLUMNS];	/* param */
	uint32_t n_defaults;
	struct binding bindings[MAX_BINDINGS];
	uint32_t n_bindings;
	uint64_t n_all_tokens;
	bool header_failed;
	struct script *scripts;
	uint32_t n_scripts, cap_scripts;

	/* ---- of the case ---- */
	const struct column *columns;
	uint32_t n_columns;
	const char *case_name;
	struct place case_at;

	/* ---- of the script ---- */
	uint8_t version;
	const struct token *tokens;	/* the last is TOKEN_END */
	uint32_t n_tokens, at;
	struct need needs[MAX_COLUMNS];
	struct actor *actors;			/* room for MAX_ACTORS; of a capture it grows */
	enum actor_state states[MAX_ACTORS];
	bool shared[MAX_ACTORS], plain[MAX_ACTORS];	/* has asked for a shared subscription, for another */
	const struct step *waiting[MAX_ACTORS];	/* the send that left the broker waiting for the rest of a packet */
	uint8_t *room;			/* to try packets in */
	uint32_t n_needs, n_actors;
	const char *slots[MAX_SLOTS];
	uint32_t n_slots;
	struct bound_name names[MAX_SLOTS];	/* in scope */
	uint32_t n_names;
	const char *marked[MAX_CITES];		/* bit of step.marks -> clause */
	uint32_t n_marked;
	uint32_t n_candidates;			/* clauses cited for this version */
	uint32_t n_steps, depth, expr_depth;
	bool failed;

	/* ---- of a workload's script ---- */
	struct role roles[MAX_ACTORS];		/* by actor */
	uint32_t n_roles;
	struct place picked[MAX_ACTORS];	/* where a client of that role is picked first; line 0: nowhere */
	struct role *role;			/* the one that steps stand in; NULL: none */
	unsigned loops;				/* that the step at hand stands in */
	bool in_whenever;
	bool second_turn;			/* track() looks at a loop's steps once more */
	struct meeting meetings[MAX_MEETINGS];
	uint32_t n_meetings;

	struct captured *captured;		/* parse_capture.c; NULL: no capture */
};

/* ---- parse.c: diagnostics and the cursor ---- */

struct place place_of(const struct token *token);
bool fail_at(struct parser *p, struct place at, const char *format, ...) __attribute__((format(printf, 3, 4)));
void warn_at(struct parser *p, struct place at, const char *format, ...) __attribute__((format(printf, 3, 4)));
bool expected(struct parser *p, const char *what);	/* "expected WHAT, found ..." at the next token */

/* Brackets of a text, as its tokens come. */
struct brackets {
	struct { struct place at; char sign; } open[LEX_DEPTH];
	unsigned depth;
};

/* 1: well; 0: said what is wrong; -1: said it, and what follows would only be more of the same. */
int bracket(struct parser *p, struct brackets *b, const struct token *t);
bool brackets_closed(struct parser *p, const struct brackets *b);	/* at the end of the text */

bool has_memory(struct parser *p, struct place at);		/* fails when the file has demanded too much */

/* For "%s" in diagnostics: escaped and cut; each lasts for four further calls. */
const char *shown(struct span text);
const char *version_name(unsigned version);

static inline const struct token *now(const struct parser *p)
{
	return &p->tokens[p->at];
}

static inline const struct token *ahead(const struct parser *p, uint32_t n)
{
	return &p->tokens[p->at + n < p->n_tokens ? p->at + n : p->n_tokens - 1];
}

static inline const struct token *take(struct parser *p)
{
	return &p->tokens[p->at + 1 < p->n_tokens ? p->at++ : p->at];
}

bool take_word_if(struct parser *p, const char *word);
bool take_sign_if(struct parser *p, char sign);
bool need_sign(struct parser *p, char sign);
bool at_line_end(const struct parser *p);	/* newline, ';', '}' or the end of the file */
const char *text_between(struct parser *p, uint32_t from, uint32_t to);	/* the tokens, blanks folded */

const char *did_you_mean(const struct nearest *nearest);	/* "; did you mean `x`?" or ""; lasts like shown() */

/* ---- parse_header.c ---- */

bool is_header_word(const struct token *token);
bool parse_title(struct parser *p);		/* the first line: kind and title */
bool parse_capture_header(struct parser *p);	/* another line of a capture's header */
bool parse_file_header(struct parser *p);	/* over p->tokens = all: title, versions, citations, tags, header_end */
void parse_case_header(struct parser *p);	/* needs and actors, of this case in this version */
uint8_t parse_version(const struct token *token);	/* 0: none */

/* ---- parse_cases.c ---- */

/* Calls each() for every case, its tokens in p->tokens; with no case, once for the file. */
bool for_each_case(struct parser *p, void (*each)(struct parser *p));
const struct column *find_column(const struct parser *p, struct span name);
bool primary_end(struct parser *p, uint32_t *at);	/* moves *at, an index in p->tokens, behind one value */

/* ---- parse_expr.c ---- */

struct expr *expr_new(struct parser *p, enum expr_kind kind, struct place at);
struct expr *number_new(struct parser *p, struct place at, uint64_t number);
/* NULL: said what is wrong. */
const struct expr *parse_name(struct parser *p, struct place at, struct span name);	/* bound, a column's, $topic, $a.FIELD */
const struct expr *parse_parenthesis(struct parser *p);					/* arithmetic, behind "$(" */
const struct expr *parse_template(struct parser *p, const struct token *token);		/* a string */
const struct expr *parse_pick(struct parser *p, struct place at);			/* a workload's pick(role), behind the '(' */
const struct expr *parse_hex(struct parser *p, const struct token *token);
bool expr_constant(const struct expr *expr);	/* EXPR_NUMBER or EXPR_BYTES */
bool parse_string(struct parser *p, const char *what, const char **text);	/* a string without $( ) */

/* ---- parse_value.c ---- */

/* What a value must be to stand in a field; type is only for reason names. */
struct target {
	const struct field *field;	/* NULL: any */
	uint8_t type, version;
	bool sending;
	bool half;			/* of a pair: what stands behind ':' is not taken */
	bool optional;			/* an unknown reason name yields NULL without a diagnostic */
};

const struct expr *parse_value(struct parser *p, const struct target *target);
const struct expr *parse_count(struct parser *p, const char *what);	/* a number, a name, $( ) */
const struct expr *parse_duration(struct parser *p);

/* ---- parse_names.c ---- */

bool bind_name(struct parser *p, const struct token *name, enum name_kind kind, int32_t *slot);
const struct bound_name *find_name(struct parser *p, struct span name);	/* marks it used */
int find_actor(const struct parser *p, struct span name);	/* -1: none */
bool new_actor(struct parser *p, const struct token *token, uint16_t *number);
bool is_reserved(struct span word);		/* the language's own words */
void check_bindings(struct parser *p);		/* those that no case used */

/* ---- parse_capture.c ---- */

extern const char take_a_part[];		/* the remedy for a capture that is too large */
void parse_capture(struct parser *p, struct span text);
void release_capture(struct parser *p);				/* what is not kept; harmless without a capture */
/* A capture's actors and names are many: they are found by a table. */
int captured_actor(const struct parser *p, struct span name);	/* -1: none */
bool captured_room(struct parser *p, const struct token *token);	/* for one more actor */
void index_captured(struct parser *p, uint32_t actor);		/* when it has been filled in */
bool bind_captured(struct parser *p, const struct token *token, enum name_kind kind, int32_t *slot);
const struct bound_name *find_captured(struct parser *p, struct span name);	/* NULL: none; until the next one */
bool read_again(const struct parser *p);	/* a step that was checked before */

/* ---- parse_fields.c ---- */

void *more(struct parser *p, const void *list, uint32_t n, size_t size);	/* the list with room for one more, in p->region */

/* What stands behind a packet or a verb, gathered in any order. */
struct parts {
	struct assign *assigns;
	struct filter_expr *filters;
	struct match *matches;
	uint32_t n_assigns, n_filters, n_matches;
	uint32_t n_dropped;		/* matches that this version does not have */
	bool illegal;
	bool filters_given;
	int32_t bind_moment;		/* `as $t` right behind the packet */
};

bool parse_assigns(struct parser *p, unsigned type, unsigned version, struct parts *parts);
bool at_frame(const struct parser *p);		/* `frame=` or `!frame=`: a part of the step, not of its packet */
bool parse_matches(struct parser *p, unsigned type, unsigned version, struct parts *parts);
const struct pattern *parse_pattern(struct parser *p, const struct target *target, bool *dropped);

/* ---- parse_steps.c, parse_blocks.c ---- */

struct step *parse_block(struct parser *p, bool braces, bool items);	/* the steps up to the end or '}' */
struct step *parse_step(struct parser *p);
bool parse_either(struct parser *p, struct step *step);
bool parse_maybe(struct parser *p, struct step *step);
bool parse_repeat(struct parser *p, struct step *step, uint32_t from);	/* from: the word itself, for step->text */
bool parse_together(struct parser *p, struct step *step);
bool parse_unordered(struct parser *p, struct step *step);
struct step *step_new(struct parser *p, enum step_kind kind, struct place at);

/* ---- parse_load.c, parse_fault.c ---- */

void collect_roles(struct parser *p);		/* of the script, from its tokens: they are its actors */
/* A step that scenarios do not have, or one that stands where none may: true if it was; *step NULL: said what is wrong. */
bool parse_foreign(struct parser *p, struct step **step);
bool parse_in_fault(struct parser *p, struct step **step);
bool belongs_in_role(struct parser *p, const struct token *word);	/* false: said that it does not */
bool not_this_role(struct parser *p, const struct token *name);		/* fails */
uint32_t role_column(struct parser *p, struct place at, struct span name);
void track_turns(struct parser *p, const struct step *loop);		/* of a role: what its second turn would make of the connection */

/* ---- parse_finding.c ---- */

bool not_in_finding(struct parser *p, const struct token *word);	/* a line of the header, or a step: true: said that it has no place there */
void check_finding(struct parser *p, const struct step *steps);
uint32_t finding_watches(struct parser *p, const char **ids, uint8_t *versions);	/* those whose version is spoken in the script */
void check_watches(struct parser *p);		/* of a finding: those whose version nobody speaks */

/* ---- parse_marks.c ---- */

bool parse_marks(struct parser *p, struct step *step, const struct parts *parts);	/* parts: NULL for blocks and remarks */

/* ---- what can be known without a broker: parse_state.c, parse_sends.c, parse_checks.c ---- */

bool track(struct parser *p, const struct step *step);	/* the step, and what it makes of p->states */
void merge_states(struct parser *p, enum actor_state *into, uint32_t n);	/* of p->states; actors from n on are new */

void check_send(struct parser *p, const struct step *step);
void check_bytes(struct parser *p, const struct step *step);
bool check_reaction(struct parser *p, const struct step *step);	/* owed, or the broker still waits for a packet's rest */
void check_either(struct parser *p, const struct step *step);
void check_order(struct parser *p, const struct step *steps);	/* expectations of an order that nobody promised */
void check_script(struct parser *p, const struct step *steps);
void check_role(struct parser *p, const struct role *role);	/* parse_advice.c */
void check_workload(struct parser *p);

#endif
