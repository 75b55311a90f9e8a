#include "harness/report.h"

#include <stdlib.h>

#include "harness/cli.h"

#define ROW(name)  { #name, report_##name },
#define NAME(name) #name,
const struct report_format report_formats[] = { REPORT_FORMATS(ROW) { 0 } };
const char *const report_format_names[] = { REPORT_FORMATS(NAME) NULL };

const char *version_text(unsigned version)
{
	return version == MQTT_5 ? "5" : version == MQTT_3_1_1 ? "3.1.1" : "3.1";
}

/* ---- outcomes ---- */

bool outcome_counts(const struct conducted *conducted, const struct outcome *outcome)
{
	return !conducted->unable[0] || outcome->played || outcome->result.verdict == VERDICT_SKIP;
}

size_t verdict_counts(const struct conducted *conducted, unsigned counts[N_VERDICTS])
{
	size_t n = 0;

	memset(counts, 0, N_VERDICTS * sizeof(*counts));
	for (size_t i = 0; i < conducted->n; i++)
		if (outcome_counts(conducted, &conducted->outcomes[i])) {
			counts[conducted->outcomes[i].result.verdict]++;
			n++;
		}
	return n;
}

/* ---- the exit code ---- */

static int target_exit_code(const struct conducted *conducted)
{
	unsigned counts[N_VERDICTS];

	verdict_counts(conducted, counts);
	if (counts[VERDICT_FAIL] || counts[VERDICT_FIXED])
		return EXIT_FOUND;
	if (conducted->unable[0] || conducted->survives[0] || counts[VERDICT_ERROR] || counts[VERDICT_UNSTABLE] || counts[VERDICT_INCONCLUSIVE] ||
	    counts[VERDICT_PASS] == 0)
		return EXIT_UNABLE;
	return EXIT_PASS;
}

int run_exit_code(const struct run *run)
{
	int worst = run->n_targets ? EXIT_PASS : EXIT_UNABLE;

	for (size_t i = 0; i < run->n_targets; i++) {
		int code = target_exit_code(&run->targets[i].conducted);

		if (code == EXIT_FOUND)
			return EXIT_FOUND;
		worst = code > worst ? code : worst;
	}
	return worst;
}

/* ---- clauses ---- */

static int by_clause(const void *a, const void *b)
{
	const struct clause_total *x = a, *y = b;

	if (x->version != y->version)
		return x->version < y->version ? -1 : 1;
	return strverscmp(x->clause, y->clause);
}

/* One that could not judge the clause says less about it than one that could. */
static bool outweighs(enum verdict a, enum verdict b)
{
	if (a == VERDICT_INCONCLUSIVE || b == VERDICT_INCONCLUSIVE)
		return a == VERDICT_INCONCLUSIVE ? b == VERDICT_SKIP : a != VERDICT_SKIP;
	return a < b;
}

static void merge(struct clause_total *total, const struct clause_total *other)
{
	if (outweighs(other->worst, total->worst)) {
		total->worst = other->worst;
		total->n_worst = 0;
	}
	total->n_worst += other->worst == total->worst;
	total->n_tests++;
}

static void add(struct clause_total *list, size_t *n, unsigned version, const char *clause, enum verdict verdict)
{
	if (version == MQTT_3_1 && !strncmp(clause, "MQTT-", 5))
		version = MQTT_3_1_1;
	list[(*n)++] = (struct clause_total){ version, clause, verdict, 1, 1 };
}

struct clause_total *clause_totals(const struct conducted *conducted, size_t *n)
{
	size_t cap = 1, merged = 0;

	for (size_t i = 0; i < conducted->n; i++)
		cap += conducted->outcomes[i].result.n_clauses + 1;
	struct clause_total *list = calloc(cap, sizeof(*list));
	if (!list)
		abort();
	*n = 0;
	for (size_t i = 0; i < conducted->n; i++) {
		const struct outcome *o = &conducted->outcomes[i];
		const struct result *r = &o->result;
		bool named = false;

		for (uint32_t k = 0; k < r->n_clauses; k++) {
			add(list, n, o->script->version, r->clauses[k].clause, r->clauses[k].verdict);
			named |= r->rule && !strcmp(r->rule, r->clauses[k].clause);
		}
		if ((r->verdict == VERDICT_FAIL || r->verdict == VERDICT_KNOWN) && r->rule && !named)	/* the monitor's */
			add(list, n, r->rule_version ? r->rule_version : o->script->version, r->rule, r->verdict);
	}
	qsort(list, *n, sizeof(*list), by_clause);
	for (size_t i = 0; i < *n; i++)
		if (merged && !by_clause(&list[merged - 1], &list[i]))
			merge(&list[merged - 1], &list[i]);
		else
			list[merged++] = list[i];
	*n = merged;
	return list;
}
