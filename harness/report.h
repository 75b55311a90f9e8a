#ifndef HARNESS_REPORT_H
#define HARNESS_REPORT_H

#include <stdio.h>

#include "harness/conduct.h"

/* "3.1", "3.1.1", "5"; static. */
const char *version_text(unsigned version);

/* ---- a whole run ---- */

struct run_target {
	const char *label;
	const char *source;		/* its URL, or the command that starts it; NULL: the built-in broker */
	bool started;			/* source is a command */
	const char *configuration;	/* of the built-in broker, as options; NULL: as each test needs it */
	const char *again;		/* the command line that plays a test on it once more, up to --mqtt and --select */
	bool simulated;			/* times are */
	struct conducted conducted;
};

struct run {
	const char *command;		/* the whole command line, quoted for a shell */
	uint64_t seed;
	const struct run_target *targets;
	size_t n_targets;
	bool replay;			/* of captures, which have no verdict but the monitor's, and findings, which show or do not */
	bool verbose;			/* every test and clause, every transcript */
	bool quiet;			/* text: totals only */
};

/* The exit code that the verdicts come to: 0, EXIT_FOUND or EXIT_UNABLE; a fail outweighs what could not be run. */
int run_exit_code(const struct run *run);

/* ---- formats ---- */

/*
 * One way to write a run. Whatever strings a target, a scenario or the command line put into it, what is written is
 * well-formed in its format and valid UTF-8, without control characters: see harness/escape.h. Errors stay in *out.
 */
struct report_format {
	const char *name;
	void (*write)(FILE *out, const struct run *run);
};

#define REPORT_FORMATS(X) X(text) X(json) X(junit) X(tap)
#define REPORT_DECLARE(name) void report_##name(FILE *out, const struct run *run);
REPORT_FORMATS(REPORT_DECLARE)

extern const struct report_format report_formats[];	/* ends with an empty row; the first is the default */
extern const char *const report_format_names[];		/* in the same order; ends with NULL */

/* ---- what formats share ---- */

/* Of the rule that decided, "5:MQTT-3.3.1-2", in buf; NULL when none did. 3.1 is judged by 3.1.1's clauses. */
const char *outcome_rule(const struct outcome *outcome, char *buf, size_t cap);

/* The rule's summary; NULL when it is in no table. */
const char *outcome_rule_summary(const struct outcome *outcome);

/*
 * All about an outcome but its id and verdict, as lines of "  label      text": rule, what was expected and received, notes, and
 * with whole the transcript and how to play it again. Plain text, whatever the stream.
 */
void outcome_details(FILE *out, const struct run_target *target, const struct outcome *outcome, bool whole);

/* The command line that plays it again. Given. */
char *outcome_again(const struct run_target *target, const struct outcome *outcome);

/* A transcript's lines, each with its newline. Given. */
char *transcript_lines(const struct script *script, const struct result *result);

/* What became of a capture, or a finding, as text. */
void report_replay(FILE *out, const struct run *run);
void report_finding(FILE *out, const struct run *run, const struct run_target *target);

/* Not what it should be, nor accepted: error, fail, fixed, unstable, inconclusive. */
bool verdict_is_bad(enum verdict verdict);

/* False: its turn never came, since the run could not go on. It says nothing about the target and stands in no report. */
bool outcome_counts(const struct conducted *conducted, const struct outcome *outcome);

/* How many outcomes came to each verdict, of those that count; returns how many these are. */
size_t verdict_counts(const struct conducted *conducted, unsigned counts[N_VERDICTS]);

/*
 * Clauses judged on a target, with the verdict of each and how many tests judged it; sorted by version and id. The verdict is
 * the worst that any test came to; that some test could not judge it counts only where no other did.
 * Given: the caller frees it.
 */
struct clause_total {
	unsigned version;
	const char *clause;
	enum verdict worst;
	unsigned n_tests, n_worst;
};
struct clause_total *clause_totals(const struct conducted *conducted, size_t *n);

#endif
