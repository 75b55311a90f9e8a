#ifndef HARNESS_VERDICT_H
#define HARNESS_VERDICT_H

#include "harness/script.h"

/* Of a clause, and of a test, whose verdict is the worst of its clauses': the smaller, the worse. */
enum verdict {
	VERDICT_ERROR,		/* ours: the scenario or the tool could not go on */
	VERDICT_FAIL,		/* a MUST was broken */
	VERDICT_FIXED,		/* a deviation that --known lists and that no longer happens; never a clause's */
	VERDICT_UNSTABLE,	/* failed, and did not fail again */
	VERDICT_INCONCLUSIVE,	/* could not be judged */
	VERDICT_KNOWN,		/* deviates as --known lists it */
	VERDICT_WARN,		/* a SHOULD, or a weak finding; still conformant */
	VERDICT_PASS,
	VERDICT_SKIP,		/* not offered by the target; the evidence is given */
	N_VERDICTS
};

extern const char *const verdict_names[N_VERDICTS];	/* "error", "fail", ... */
extern const char *const verdict_meanings[N_VERDICTS];	/* one line each, for who reads a report */

static inline enum verdict verdict_worse(enum verdict a, enum verdict b)
{
	return a < b ? a : b;
}

struct clause_verdict {
	const char *clause;		/* without the version */
	enum verdict verdict;
};

/* One thing that happened in a test, for its transcript. */
enum event_kind {
	EVENT_SENT, EVENT_RECEIVED,	/* bytes: whole packets or what was sent of them */
	EVENT_OPENED, EVENT_ENDED,	/* text in bytes */
	EVENT_STEP,			/* the step that failed is about to be reported */
	EVENT_NOTE,			/* text in bytes */
};

struct event {
	struct event *next;
	uint64_t at_ns;			/* since the test began */
	uint16_t actor;			/* NO_ACTOR */
	uint8_t kind, version;
	uint32_t len, whole;		/* bytes kept of how many */
	uint8_t bytes[];
};

enum { NO_ACTOR = 65535 };

/* What replaying a capture came to, beside the verdict. */
struct replayed {
	uint64_t n_connections, n_sent, n_received;	/* n_sent, n_received: packets */
	uint64_t duration_ns;			/* until the last step was done, or until the end */
	uint64_t n_passed_over;			/* steps that could not be played */
	uint64_t n_unasked;			/* packets that came and that the capture does not have */
	uint64_t n_differences;
	struct difference {			/* the first MAX_DIFFERENCES */
		struct difference *next;
		struct place at;		/* line 0: of no step */
		const char *what;		/* in one line; NULL where the others say it */
		const char *expected, *received, *because;	/* because: may be NULL */
	} *differences, **last_difference;
	uint32_t n_breaches;
	struct breach_seen {			/* rules that the target broke, each once; the first MAX_BREACHES */
		struct breach_seen *next;
		const char *clause, *text, *actor;	/* the first time; text is one line */
		struct place at;		/* of the step that the actor was at then */
		uint64_t n;
		uint8_t version;
	} *breaches, **last_breach;
};

enum { MAX_DIFFERENCES = 1000, MAX_BREACHES = 200 };

/* What a test came to. All texts lie in its region. */
struct result {
	enum verdict verdict;
	uint8_t rule_version;
	const char *rule;		/* the clause that was broken, with VERDICT_FAIL and VERDICT_WARN; NULL for none */
	struct place at;		/* of the step that decided; line 0 for none */
	const char *expected, *received, *because;	/* NULL where they do not apply */
	const char *reason;		/* one line that says it all: "PUBACK did not come within 5 s" */
	const char *end_of_connection;	/* how the deciding actor's connection ended; NULL when it did not matter */
	struct clause_verdict *clauses;
	uint32_t n_clauses;
	const char **notes;
	uint32_t n_notes;
	struct event *events, **last_event;
	size_t event_bytes;
	bool events_cut;		/* some in the middle were not kept */
	bool target_gone;		/* a connection was refused or the target died: the suite must look */
	uint64_t started_ns, duration_ns;
	struct replayed *replayed;	/* of a capture; NULL */
	struct recording *recording;	/* of all its connections; NULL: none is kept */
	struct result *before;		/* the first try, when this one is the repetition of a failure */
	struct region region;
};

void result_init(struct result *result, uint64_t now_ns);
void result_release(struct result *result);
const char *result_text(struct result *result, const char *format, ...) __attribute__((format(printf, 2, 3)));
void result_note(struct result *result, const char *text);
void result_event(struct result *result, uint64_t now_ns, enum event_kind kind, unsigned actor, unsigned version, struct span bytes);

#endif
