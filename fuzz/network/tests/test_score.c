#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <json-c/json.h>
#include <stdlib.h>

#include "fuzz/network/score.h"

#define SECOND UINT64_C(1000000000)

static struct bucket_count hit(const char *bucket, enum oracle oracle, uint64_t s)
{
	struct bucket_count b = { .symptom = { .oracle = oracle, .version = 5 }, .hits = 3, .first_ns = s * SECOND, .shows = 10, .of = 10, .n_packets = 2, .n_clients = 1 };

	snprintf(b.symptom.bucket, sizeof(b.symptom.bucket), "%s", bucket);
	snprintf(b.symptom.clause, sizeof(b.symptom.clause), "MQTT-3.3.1-2");
	return b;
}

static void a_median_counts_those_that_did_not_find_it_as_never(void **state)
{
	struct bucket_count first[] = { hit("death signal 11", ORACLE_DEATH, 4), hit("rule", ORACLE_RULE, 1) }, second[] = { hit("death signal 11", ORACLE_DEATH, 2) };
	struct score_campaign campaigns[] = { { 1, { .buckets = first, .n_buckets = 2 } }, { 2, { .buckets = second, .n_buckets = 1 } }, { 3, { 0 } } };
	struct score_target target = { "broker-1.0", campaigns, 3 };
	unsigned found;

	(void)state;
	assert_int_equal(score_median_ns(&target, "death signal 11", &found), 4 * SECOND);
	assert_int_equal(found, 2);
	assert_true(score_median_ns(&target, "rule", &found) == UINT64_MAX);
	assert_int_equal(found, 1);
	assert_true(score_median_ns(&target, "liveness", &found) == UINT64_MAX);
	assert_int_equal(found, 0);
}

static struct json_object *get(struct json_object *o, const char *key)
{
	struct json_object *value;

	assert_true(json_object_object_get_ex(o, key, &value));
	return value;
}

static void each_bucket_is_told_once_with_its_time(void **state)
{
	struct bucket_count first[] = { hit("death signal 11", ORACLE_DEATH, 4), hit("rule 5:MQTT-3.3.1-2 PUBLISH", ORACLE_RULE, 1) };
	struct bucket_count second[] = { hit("death signal 11", ORACLE_DEATH, 2) };
	struct score_campaign campaigns[] = { { 1, { .buckets = first, .n_buckets = 2, .cases = 77 } }, { 2, { .buckets = second, .n_buckets = 1 } } };
	struct score_target target = { "broker-1.0 \"x\"", campaigns, 2 };
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);

	(void)state;
	assert_int_equal(score_write(out, 120 * SECOND, &target, 1), 0);
	fclose(out);
	struct json_object *o = json_tokener_parse(text), *one = json_object_array_get_idx(get(o, "targets"), 0), *buckets = get(one, "buckets");
	assert_string_equal(json_object_get_string(get(one, "label")), "broker-1.0 \"x\"");
	assert_int_equal(json_object_array_length(buckets), 2);
	assert_string_equal(json_object_get_string(get(json_object_array_get_idx(buckets, 0), "bucket")), "death signal 11");
	assert_string_equal(json_object_get_string(get(json_object_array_get_idx(buckets, 0), "median_s")), "2.000");
	assert_int_equal(json_object_get_int(get(json_object_array_get_idx(buckets, 1), "found")), 1);
	struct json_object *campaign = json_object_array_get_idx(get(one, "campaigns"), 0);
	assert_int_equal(json_object_get_int(get(campaign, "cases")), 77);
	assert_string_equal(json_object_get_string(get(json_object_array_get_idx(get(campaign, "found"), 1), "rule")), "5:MQTT-3.3.1-2");
	json_object_put(o);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_median_counts_those_that_did_not_find_it_as_never),
		cmocka_unit_test(each_bucket_is_told_once_with_its_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
