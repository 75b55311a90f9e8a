#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>

#include "codec/finding.h"
#include "harness/embedded.h"
#include "harness/script.h"

static size_t count(uint8_t version, bool numbered)
{
	const struct clause *clause;
	size_t n = 0;

	for (size_t i = 0; (clause = clause_at(i)); i++)
		n += clause->version == version && !strncmp(clause->id, "MQTT-", 5) == numbered;
	return n;
}

/* 141 and 251 statements: NOTES of the standards' own lists, misprinted labels included. */
static void every_numbered_clause_is_there(void **state)
{
	(void)state;
	assert_int_equal(count(MQTT_3_1_1, true), 141);
	assert_int_equal(count(MQTT_5, true), 251);
	assert_int_equal(count(MQTT_3_1, true), 0);
	assert_true(count(MQTT_5, false) > 20);
}

static void ids_are_unique_within_a_version(void **state)
{
	const struct clause *a, *b;

	(void)state;
	for (size_t i = 0; (a = clause_at(i)); i++)
		for (size_t j = 0; j < i && (b = clause_at(j)); j++)
			if (a->version == b->version && !strcmp(a->id, b->id))
				fail_msg("%s twice", a->id);
}

static void a_clause_is_found_by_version(void **state)
{
	const struct clause *old = clause_find(MQTT_3_1_1, span_text("MQTT-3.1.2-24"));
	const struct clause *new = clause_find(MQTT_5, span_text("MQTT-3.1.2-24"));

	(void)state;
	assert_non_null(old);
	assert_non_null(new);
	assert_string_not_equal(old->summary, new->summary);
	assert_true(old->undetected_fails);
	assert_false(clause_find(MQTT_5, span_text("MQTT-1.5.5-1"))->undetected_fails);
	assert_null(clause_find(MQTT_3_1_1, span_text("MQTT-1.5.5-1")));
	assert_null(clause_find(MQTT_5, span_text("")));
}

static void version_3_1_has_its_own_and_those_of_3_1_1(void **state)
{
	(void)state;
	assert_int_equal(clause_find(MQTT_3_1, span_text("protocol-name"))->version, MQTT_3_1);
	assert_int_equal(clause_find(MQTT_3_1, span_text("MQTT-3.1.2-24"))->version, MQTT_3_1_1);
	assert_null(clause_find(MQTT_3_1_1, span_text("protocol-name")));
}

static void survives_stands_in_both(void **state)
{
	(void)state;
	assert_non_null(clause_find(MQTT_3_1_1, span_text("survives")));
	assert_non_null(clause_find(MQTT_5, span_text("survives")));
}

/* Whatever a finding can name must be something that `explain` knows. */
static void every_rule_of_the_codec_is_there(void **state)
{
	static const struct {
		const char *name, *id_311, *id_5;
	} rules[] = {
#define X(name, id_311, id_5, asks) { #name, id_311, id_5 },
#include "codec/rules.def"
	};
	int missing = 0;

	(void)state;
	for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
		if (rules[i].id_311 && !clause_find(MQTT_3_1, span_text(rules[i].id_311)))
			print_error("%s: 3.1.1:%s is in no table\n", rules[i].name, rules[i].id_311), missing++;
		if (rules[i].id_5 && !clause_find(MQTT_5, span_text(rules[i].id_5)))
			print_error("%s: 5:%s is in no table\n", rules[i].name, rules[i].id_5), missing++;
	}
	assert_int_equal(missing, 0);
}

static void mark_judged(bool *judged, unsigned version, const char *const *ids, uint32_t n)
{
	const struct clause *clause;

	for (uint32_t i = 0; i < n; i++) {
		const struct clause *named = clause_find((enum version)version, span_text(ids[i]));

		for (size_t k = 0; (clause = clause_at(k)); k++)
			judged[k] = judged[k] || clause == named;
	}
}

/* Who adds a clause's first test takes its reason out of untested.tsv; who removes the last one puts a reason in. */
static void each_clause_has_a_test_or_a_reason(void **state)
{
	static struct diagnostics ignored;
	static bool judged[1024];
	const struct clause *clause;
	int wrong = 0;

	(void)state;
	for (const struct embedded *e = embedded; e->name; e++) {
		size_t len = strlen(e->name);
		struct scenario *s = len > 4 && !strcmp(e->name + len - 4, ".scn")
			? scenario_parse(e->name, span_of(e->start, (size_t)(e->end - e->start)), NULL, 0, &ignored) : NULL;

		for (uint32_t i = 0; s && i < s->n_scripts; i++) {
			mark_judged(judged, s->scripts[i].version, s->scripts[i].cites, s->scripts[i].n_cites);
			mark_judged(judged, s->scripts[i].version, s->scripts[i].watches, s->scripts[i].n_watches);
		}
		if (s)
			scenario_free(s);
	}
	for (size_t i = 0; (clause = clause_at(i)); i++) {
		assert_true(i < sizeof judged / sizeof *judged);
		if (judged[i] == !clause->untested)
			continue;
		print_error("%u %s %s\n", clause->version, clause->id,
		            judged[i] ? "is judged by tests and stands in clauses/untested.tsv" : "has no test and no reason in clauses/untested.tsv");
		wrong++;
	}
	assert_int_equal(wrong, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_numbered_clause_is_there),
		cmocka_unit_test(ids_are_unique_within_a_version),
		cmocka_unit_test(a_clause_is_found_by_version),
		cmocka_unit_test(version_3_1_has_its_own_and_those_of_3_1_1),
		cmocka_unit_test(survives_stands_in_both),
		cmocka_unit_test(every_rule_of_the_codec_is_there),
		cmocka_unit_test(each_clause_has_a_test_or_a_reason),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
