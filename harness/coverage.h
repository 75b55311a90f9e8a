#ifndef HARNESS_COVERAGE_H
#define HARNESS_COVERAGE_H

#include <stdio.h>

#include "harness/local.h"
#include "harness/suite.h"

/*
 * Which of a suite's chosen tests judge which clause, without playing any: by their own steps (cited) or through the
 * monitor that looks at every connection (watched). A test of 3.1 judges 3.1's own rules and those of 3.1.1.
 */
struct test_list {
	const struct script **at;	/* borrowed from the suite, in its order */
	size_t n, cap;
};

struct coverage_row {
	const struct clause *clause;
	struct test_list cited, watched;
	struct local_fault *faults;	/* that break it */
	size_t n_faults;
};

struct coverage {
	struct coverage_row *rows;	/* as clause_at() */
	size_t n;
	unsigned versions;		/* bits: those of which clauses are shown */
	bool whole;			/* all built-in tests were chosen: a clause without one needs a reason */
};

/* local: whose faults are listed; may be NULL. */
void coverage_make(struct coverage *coverage, const struct suite *suite, const struct local_broker *local);
void coverage_release(struct coverage *coverage);

/* The row of a clause; never NULL for one of clause_at(). */
const struct coverage_row *coverage_of(const struct coverage *coverage, const struct clause *clause);

/*
 * How a clause stands. What a test of this suite judges is judged; else what the tables give a reason for is untested; else it is
 * passed over where only a part of the tests was chosen, and missing where all were: a mistake of the tree.
 */
enum coverage_status { COVERAGE_JUDGED, COVERAGE_UNTESTED, COVERAGE_NOT_CHOSEN, COVERAGE_MISSING, N_COVERAGE };
enum coverage_status coverage_status(const struct coverage *coverage, const struct coverage_row *row);

/* "5:MQTT-3.3.1-2" in buf; returns buf. */
const char *clause_rule(const struct clause *clause, char *buf, size_t cap);

/* Text: each clause with the files that judge it (all of them when verbose), then totals by version and chapter; quiet: these only. */
void coverage_text(FILE *out, const struct coverage *coverage, bool verbose, bool quiet);
void coverage_json(FILE *out, const struct coverage *coverage);

/* One line of text for each file with tests in the list: "judged by   FILE (2 tests): TITLE"; at most `most` files, 0: all. */
void coverage_files(FILE *out, const char *indent, const char *how, const struct test_list *tests, unsigned most);

#endif
