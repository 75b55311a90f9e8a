#ifndef HARNESS_SCRIPT_H
#define HARNESS_SCRIPT_H

#include "codec/build.h"
#include "harness/region.h"
#include "harness/transport.h"

/*
 * A file in the notation, parsed and checked. One file holds one scenario; each of its
 * cases, multiplied by its lists, in each of its versions is a script: one test. All that
 * the standard or the file fixes is resolved here, so that playing a script looks up no name.
 * A script never changes once it is made; any number of timelines play it at once.
 */

struct place {
	uint32_t line, column;		/* from 1 */
};

/* ---- values ---- */

enum expr_kind {
	EXPR_NUMBER,		/* number; durations are nanoseconds, sizes bytes */
	EXPR_BYTES,		/* bytes */
	EXPR_VAR,		/* slot: a name bound by an earlier step, a loop, or a moment */
	EXPR_TOPIC,		/* $topic: the run's own */
	EXPR_ACTOR_FIELD,	/* $a.FIELD: what is in force for actor `slot`; field, or `client_id` */
	EXPR_ARITH,		/* number is one of + - * / %; left, right */
	EXPR_TEMPLATE,		/* a string with $( ) in it: items, joined; a number prints in decimal */
	EXPR_FILL, EXPR_RANDOM, EXPR_STAMP,	/* left: how many bytes */
	EXPR_SCRAM,		/* scram(); number 1: scram(wrong) */
	EXPR_PAIR,		/* "k":"v": left, right */
	EXPR_LIST,		/* [x y]: items */
	EXPR_ABSENT,
	EXPR_CLIENT,		/* workload: $n, the client's number in its role, from 0 */
	EXPR_PICK,		/* workload: pick(role): the number of some client of role `slot`, drawn anew each time */
	EXPR_COLUMN,		/* workload: $name, of the client's row in its role's file; slot: index in role.columns */
};

struct expr {
	enum expr_kind kind;
	struct place at;
	uint64_t number;
	struct span bytes;
	uint32_t slot;
	const struct field *field;
	const struct expr *left, *right;
	const struct expr **items;
	uint32_t n_items;
};

/* ---- what a send says ---- */

enum assign_kind {
	ASSIGN_FIELD,		/* field = value; replaces a default; absent drops it */
	ASSIGN_AGAIN,		/* !again field=value */
	ASSIGN_OMIT, ASSIGN_ENDS_AFTER,		/* field, no value */
	ASSIGN_REMAINING_LENGTH, ASSIGN_PROPERTY_LENGTH, ASSIGN_WILL_PROPERTY_LENGTH,	/* number or raw bytes */
	ASSIGN_TRAILING,	/* raw bytes behind the last field */
	ASSIGN_RAW_PROPERTY, ASSIGN_RAW_WILL_PROPERTY,	/* !property=hex"...", !will.property=hex"..." */
	ASSIGN_SIZE,		/* size=N */
};

struct assign {
	enum assign_kind kind;
	bool illegal;		/* marked with '!' */
	struct place at;
	const struct field *field;
	const struct expr *value;
};

struct filter_expr {		/* one of (F opts, F opts) */
	const struct expr *filter;
	const struct assign *options;	/* qos, no_local, retain_as_published, retain_handling, options: field by name */
	uint32_t n_options;
};

/* ---- what an expectation asks ---- */

enum pattern_kind {
	PATTERN_EQUAL,		/* value */
	PATTERN_RANGE,		/* value .. high */
	PATTERN_LESS, PATTERN_AT_MOST, PATTERN_MORE, PATTERN_AT_LEAST,	/* value */
	PATTERN_ONE_OF,		/* items */
	PATTERN_NOT,		/* items[0] */
	PATTERN_ABSENT, PATTERN_PRESENT,
	PATTERN_TOPIC,		/* ~"a/+": value is a filter */
	PATTERN_LIST,		/* [P P]: the whole list, items in order */
	PATTERN_PAIR,		/* "k":"v" or P:P, items[0] and items[1]: the halves of a user property */
	PATTERN_ANY,		/* binds only */
};

struct pattern {
	enum pattern_kind kind;
	struct place at;
	const struct expr *value, *high;
	const struct pattern **items;
	uint32_t n_items;
};

struct match {
	const struct field *field;	/* a field that repeats, matched by other than a list, stands for a list of one */
	struct place at;
	const struct pattern *pattern;
	int32_t bind;			/* slot of `as $name`, -1 for none */
	const char *text;		/* as written, for reports: packet_id=$p */
};

/* ---- steps ---- */

enum step_kind {
	STEP_SEND,		/* a -> PACKET: type, assigns, filters, pieces, every */
	STEP_BYTES,		/* a -> bytes hex"...": value, pieces, every */
	STEP_EXPECT,		/* a <- PACKET: judges */
	STEP_RECEIVES,		/* a receives: judges; acknowledges by QoS */
	STEP_CLOSED,		/* a <- closed: judges; closed_reason, or_nacked */
	STEP_NOTHING,		/* a <- nothing: judges; duration */
	STEP_CONNECTS, STEP_SUBSCRIBES, STEP_UNSUBSCRIBES, STEP_PUBLISHES, STEP_PINGS, STEP_DISCONNECTS,
				/* set up: assigns, filters; matches are what stands behind `gets`, judged */
	STEP_OPENS, STEP_DROPS, STEP_CLOSES,
	STEP_READS,		/* rate in bytes per second: 0 nothing, UINT64_MAX freely */
	STEP_UNORDERED,		/* each child is one item: a step, or a STEP_BLOCK whose own order holds */
	STEP_EITHER,		/* each child is a STEP_BLOCK: an arm */
	STEP_MAYBE,		/* the child is one receiving step */
	STEP_REPEAT,		/* from .. to, slot or -1; children */
	STEP_TOGETHER,		/* children are sends, of one actor */
	STEP_BLOCK,		/* children, in order */
	STEP_WAIT,		/* duration */
	STEP_NOTE, STEP_WARN, STEP_SKIP,	/* text is the string itself */
	STEP_TARGET_LIVES,	/* within, grows, busy: each optional */
	/* ---- of findings ---- */
	STEP_SETTLES,		/* within (optional): until all that was sent is answered */
	STEP_ANSWERS,		/* the oldest delivery or release that is not acknowledged */
	/* ---- of workloads ---- */
	STEP_EVERY,		/* duration: between the turns; children */
	STEP_FOREVER,		/* children */
	STEP_MEET,		/* meeting */
	STEP_WHENEVER,		/* the first child is the receiving step, the second a STEP_BLOCK: what is sent then */
	STEP_AGAIN,		/* from, to: the shortest and the longest back-off; children */
};

struct step {
	enum step_kind kind;
	struct place at;
	const char *text;		/* as written, comment and mark cut off: for reports; what note, warn and skip say */
	const struct step *next;	/* in the same block; NULL at its end */
	const struct step *children;

	uint32_t actors;		/* bit per actor; several only in `a|b receives`; 0 in a capture */
	uint16_t actor;			/* the (first) one's number */
	uint8_t type;			/* enum packet_type */
	bool illegal;			/* a -> !PACKET, or some part is marked */
	bool or_nacked;
	uint32_t marks;			/* bit per clause of script->cites that this step judges; 0: it sets up */

	const struct assign *assigns;
	const struct filter_expr *filters;
	const struct match *matches;
	uint32_t n_assigns, n_filters, n_matches;
	const struct pattern *closed_reason;

	const struct expr *value;	/* bytes */
	const struct expr *pieces, *every;	/* in pieces of N every D */
	uint8_t frame;			/* enum ws_opcode of the WebSocket frame it goes in; 0: binary */
	const struct expr *within, *after, *duration;	/* nanoseconds */
	int32_t of;			/* slot of the moment that within and after count from; -1: the actor's previous step */
	int32_t bind_moment;		/* slot of `as $t` behind a step that is not a match; -1 */
	const struct expr *from, *to;	/* repeat */
	int32_t slot;
	uint64_t rate, grows, busy;	/* grows: bytes, busy: nanoseconds of CPU time wanted in a second, see usage_wanted(); 0 for none */
	const struct expr *in_flight;	/* of `publishes`: on while fewer exchanges are open; NULL: each is waited for */
	uint32_t meeting;		/* number, in script.meetings */
};

/* ---- scripts ---- */

struct need {			/* CONNACK's names and defaults, or tls websocket auth=METHOD login denied_publish ... */
	const char *name;
	const char *text;	/* as written: maximum_qos>=2 */
	enum pattern_kind op;	/* EQUAL, LESS, AT_MOST, MORE, AT_LEAST; PRESENT for a bare word */
	uint64_t number;
	const char *string;	/* auth=SCRAM-SHA-256 */
};

struct actor {
	const char *name;
	uint8_t version;
	uint8_t way;			/* enum way; N_WAYS: as the target is reached */
	const struct assign *connect;	/* fields for each of its CONNECTs */
	uint32_t n_connect;
	struct place at;
};

/* Clients of a workload that do the same, each in its own connection. Each is one actor: script.actors has a row of the same number for each role. */
struct role {
	const char *name;
	struct place at;
	const struct expr *count;	/* how many: EXPR_NUMBER, at most MAX_CLIENTS; 0: it is not played this time */
	const struct expr *over;	/* the ramp: EXPR_NUMBER; NULL: at once */
	const char *file;		/* with "fleet.csv"; NULL */
	const struct column_use {
		const char *name;
		struct place at;
	} *columns;			/* of that file, that its steps name */
	uint32_t n_columns;
	const struct step *steps;
};

enum { NOTHING_NS = 1000000000 };	/* how long `nothing` watches, and `settles` waits, when it does not say */

enum { MAX_CITES = 32, MAX_ACTORS = 32, MAX_STEPS = 4096, MAX_SLOTS = 256, MAX_CLIENTS = 10000000 };

struct script {
	const struct scenario *scenario;
	const char *id;			/* "5/will/delay.scn#delay ends first/1": unique with the version */
	const char *case_name;		/* NULL without cases */
	uint8_t version;
	const char *const *cites;	/* ids without version that this case judges, by bit of step.marks */
	const char *const *watches;	/* ids the monitor judges */
	const uint8_t *watch_versions;	/* of each; NULL: all of `version`, but for 3.1, which is judged by 3.1.1's too */
	const struct need *needs;
	const struct actor *actors;
	const char *const *slots;	/* the names of bound values, by slot */
	uint32_t n_cites, n_watches, n_needs, n_actors, n_slots;
	const struct step *steps;	/* NULL in a capture */
	const struct capture_script *capture;	/* instead of steps; NULL: it is none */
	bool finding;			/* plays on: see timeline.h */
	const struct role *roles;	/* of a workload, instead of steps; NULL: it is none */
	const char *const *meetings;	/* names, by number */
	uint32_t n_roles, n_meetings;
};

struct scenario {
	const char *file;		/* as named by whoever read it; "5/will/delay.scn" when compiled in */
	const char *title;
	struct span text;		/* the file; at NULL until who read it says so */
	const char *const *tags;
	const char *const *params;	/* names that the file gives a value, and -D another */
	uint32_t n_tags, n_params;
	bool alone, bulk;
	const struct script *scripts;	/* cases in the file's order, versions in its header's order within each */
	uint32_t n_scripts;
	struct region region;		/* holds all of it */
};

/* ---- reading ---- */

struct param {
	const char *name, *value;	/* -D name=value; value in the notation */
};

struct diagnostic {
	struct place at;
	char text[240];			/* what is wrong and what was expected there; one line, escaped */
	bool warning;			/* lint's advice; does not keep the file from being played */
};

struct diagnostics {
	struct diagnostic list[20];
	uint32_t n, n_errors, dropped;	/* dropped: there were more */
};

/*
 * Parse and check one file; text need not end in NUL and may be anything at all. `name` is only for
 * messages and ids. Files that scripts read (role ... with "file.csv") are not opened here.
 * Given: *scenario, to be freed with scenario_free(); NULL when diagnostics->n_errors > 0. Memory is
 * bounded by the limits above whatever the text; a bound that is passed is an error with its place.
 * A capture is one script, whose steps stay in the text: see capture_script.h.
 * A workload is one script for each version, of roles; it has neither cases nor clauses. A finding is one for each version, too;
 * of clauses it has those that it watches, and its actors may speak other versions. Faults and servers parse and end in an error "not yet".
 */
struct scenario *scenario_parse(const char *name, struct span text, const struct param *params, size_t n_params,
                                struct diagnostics *diagnostics);
void scenario_free(struct scenario *scenario);

/*
 * The clause tables, compiled in (clauses.c): whether a rule exists, and what follows when a broker does not
 * notice that it was broken.
 */
struct clause {
	uint8_t version;
	const char *id;			/* "MQTT-3.3.1-2", or an unnumbered name */
	const char *applies;		/* server, both, client */
	const char *observable;		/* yes, partial, no */
	bool undetected_fails;		/* else an undetected violation is a warn */
	const char *summary;
	const char *untested;		/* why no test of ours judges it (clauses/untested.tsv); NULL for one that tests do judge */
};

const struct clause *clause_find(enum version version, struct span id);	/* 3.1 looks among its own names, then 3.1.1's */
const struct clause *clause_at(size_t i);					/* NULL behind the last */

#endif
