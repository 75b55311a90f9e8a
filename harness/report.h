#ifndef HARNESS_REPORT_H
#define HARNESS_REPORT_H

#include <stdio.h>

#include "harness/conduct.h"

/* "3.1", "3.1.1", "5"; static. */
const char *version_text(unsigned version);

struct report_options {
	const char *label;		/* of the target */
	const char *repeat_with;	/* how a test is played again: the command line up to --select */
	bool verbose, quiet;
};

/* The whole report as text: non-passes with what was expected, what came and the transcript; totals by test and clause. */
void report_text(FILE *out, const struct conducted *conducted, const struct report_options *options);

/* One non-pass, as it stands in the report. */
void report_outcome(FILE *out, const struct outcome *outcome, const struct report_options *options);

/* The exit code that the verdicts come to: 0, EXIT_FOUND or EXIT_UNABLE. */
int report_exit_code(const struct conducted *conducted);

/*
 * Clauses judged in a run, with the verdict of each and how many tests judged it; sorted by version and id. The verdict is
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
