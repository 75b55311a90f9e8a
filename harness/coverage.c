#include "harness/coverage.h"

#include <stdlib.h>
#include <string.h>

#include "harness/report.h"

static void add_test(struct test_list *list, const struct script *script)
{
	if (list->n == list->cap) {
		list->cap = list->cap ? 2 * list->cap : 8;
		list->at = realloc(list->at, list->cap * sizeof(*list->at));
		if (!list->at)
			abort();
	}
	list->at[list->n++] = script;
}

static struct coverage_row *row_named(struct coverage *coverage, unsigned version, const char *id)
{
	const struct clause *clause = clause_find((enum version)version, span_text(id));

	return clause ? &coverage->rows[clause - coverage->rows[0].clause] : NULL;
}

static void add_script(struct coverage *coverage, const struct script *script)
{
	struct coverage_row *row;

	for (uint32_t i = 0; i < script->n_cites; i++)
		if ((row = row_named(coverage, script->version, script->cites[i])))
			add_test(&row->cited, script);
	for (uint32_t i = 0; i < script->n_watches; i++)
		if ((row = row_named(coverage, script->version, script->watches[i])))
			add_test(&row->watched, script);
}

const char *clause_rule(const struct clause *clause, char *buf, size_t cap)
{
	snprintf(buf, cap, "%s:%s", version_text(clause->version), clause->id);
	return buf;
}

static void add_faults(struct coverage_row *row, const struct local_broker *local)
{
	struct local_fault fault;
	char rule[160];

	clause_rule(row->clause, rule, sizeof(rule));
	for (unsigned i = 0; local->fault(i, &fault); i++) {
		if (strcmp(fault.rule, rule))
			continue;
		row->faults = realloc(row->faults, (row->n_faults + 1) * sizeof(*row->faults));
		if (!row->faults)
			abort();
		row->faults[row->n_faults++] = fault;
	}
}

void coverage_make(struct coverage *coverage, const struct suite *suite, const struct local_broker *local)
{
	*coverage = (struct coverage){ .versions = 1u << MQTT_3_1 | 1u << MQTT_3_1_1 | 1u << MQTT_5 };
	while (clause_at(coverage->n))
		coverage->n++;
	coverage->rows = calloc(coverage->n + 1, sizeof(*coverage->rows));
	if (!coverage->rows)
		abort();
	for (size_t i = 0; i < coverage->n; i++) {
		coverage->rows[i].clause = clause_at(i);
		if (local)
			add_faults(&coverage->rows[i], local);
	}
	for (size_t i = 0; i < suite->n_tests; i++)
		add_script(coverage, suite->tests[i]);
}

void coverage_release(struct coverage *coverage)
{
	for (size_t i = 0; i < coverage->n; i++) {
		free(coverage->rows[i].cited.at);
		free(coverage->rows[i].watched.at);
		free(coverage->rows[i].faults);
	}
	free(coverage->rows);
	*coverage = (struct coverage){ 0 };
}

const struct coverage_row *coverage_of(const struct coverage *coverage, const struct clause *clause)
{
	return &coverage->rows[clause - coverage->rows[0].clause];
}

enum coverage_status coverage_status(const struct coverage *coverage, const struct coverage_row *row)
{
	if (row->cited.n + row->watched.n)
		return COVERAGE_JUDGED;
	if (row->clause->untested)
		return COVERAGE_UNTESTED;
	return coverage->whole ? COVERAGE_MISSING : COVERAGE_NOT_CHOSEN;
}
