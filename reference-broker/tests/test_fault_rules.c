#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

#include "harness/script.h"
#include "reference-broker/faults.h"

/* A fault breaks a rule that the clause tables have, or nobody could say which test must catch it. */
static void every_fault_breaks_a_known_rule(void **state)
{
	static const struct {
		const char *prefix;
		enum version version;
	} versions[] = { { "3.1.1:", MQTT_3_1_1 }, { "3.1:", MQTT_3_1 }, { "5:", MQTT_5 } };
	int missing = 0;

	(void)state;
	for (size_t i = 0; i < n_fault_rows; i++) {
		const char *rule = fault_rows[i].rule;
		const struct clause *found = NULL;

		for (size_t k = 0; k < sizeof versions / sizeof *versions && !found; k++)
			if (!strncmp(rule, versions[k].prefix, strlen(versions[k].prefix)))
				found = clause_find(versions[k].version, span_text(rule + strlen(versions[k].prefix)));
		if (!found) {
			print_error("%s is in no table\n", rule);
			missing++;
		}
	}
	assert_int_equal(missing, 0);
	assert_true(n_fault_rows > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(every_fault_breaks_a_known_rule) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
