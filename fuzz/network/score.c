#include "fuzz/network/score.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include "harness/report.h"

static const struct bucket_count *find(const struct campaign_result *result, const char *bucket)
{
	for (size_t i = 0; i < result->n_buckets; i++)
		if (!strcmp(result->buckets[i].symptom.bucket, bucket))
			return &result->buckets[i];
	return NULL;
}

static int by_time(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

uint64_t score_median_ns(const struct score_target *target, const char *bucket, unsigned *found)
{
	uint64_t times[1000];
	size_t n = target->n < 1000 ? target->n : 1000;

	*found = 0;
	for (size_t i = 0; i < n; i++) {
		const struct bucket_count *b = find(&target->campaigns[i].result, bucket);

		times[i] = b ? b->first_ns : UINT64_MAX;
		*found += b != NULL;
	}
	qsort(times, n, sizeof(*times), by_time);
	return n ? times[(n - 1) / 2] : UINT64_MAX;
}

/* ---- JSON ---- */

static void put(struct json_object *o, const char *key, struct json_object *value)
{
	if (json_object_object_add(o, key, value))
		abort();
}

static void put_text(struct json_object *o, const char *key, const char *text)
{
	put(o, key, json_object_new_string(text));
}

static void put_number(struct json_object *o, const char *key, uint64_t number)
{
	put(o, key, json_object_new_uint64(number));
}

/* Milliseconds are as fine as it gets. */
static void put_seconds(struct json_object *o, const char *key, uint64_t ns)
{
	char text[32];

	snprintf(text, sizeof(text), "%.3f", (double)ns / 1e9);
	put(o, key, ns == UINT64_MAX ? NULL : json_object_new_double_s((double)ns / 1e9, text));
}

static struct json_object *of_hit(const struct bucket_count *b)
{
	struct json_object *o = json_object_new_object();
	char rule[64];

	put_text(o, "bucket", b->symptom.bucket);
	put_text(o, "oracle", oracle_names[b->symptom.oracle]);
	if (b->symptom.oracle == ORACLE_RULE) {
		snprintf(rule, sizeof(rule), "%s:%s", version_text(b->symptom.version), b->symptom.clause);
		put_text(o, "rule", rule);
	}
	put_seconds(o, "first_s", b->first_ns);
	put_number(o, "first_case", b->first_case);
	put_number(o, "hits", b->hits);
	put_number(o, "shows", b->shows);
	put_number(o, "of", b->of);
	put_number(o, "packets", b->n_packets);
	put_number(o, "clients", b->n_clients);
	return o;
}

static struct json_object *of_campaign(const struct score_campaign *campaign)
{
	struct json_object *o = json_object_new_object(), *found = json_object_new_array();
	const struct campaign_result *r = &campaign->result;

	put_number(o, "seed", campaign->seed);
	put_seconds(o, "for_s", r->for_ns);
	put_number(o, "cases", r->cases);
	put_number(o, "packets", r->packets);
	put_number(o, "answers", r->states);
	put_number(o, "restarts", r->restarts);
	put(o, "ended_early", r->ended[0] ? json_object_new_string(r->ended) : NULL);
	for (size_t i = 0; i < r->n_buckets; i++)
		json_object_array_add(found, of_hit(&r->buckets[i]));
	put(o, "found", found);
	return o;
}

static struct json_object *of_bucket(const struct score_target *target, const struct bucket_count *b)
{
	struct json_object *o = json_object_new_object();
	unsigned found;
	uint64_t median = score_median_ns(target, b->symptom.bucket, &found);

	put_text(o, "bucket", b->symptom.bucket);
	put_text(o, "oracle", oracle_names[b->symptom.oracle]);
	put_number(o, "found", found);
	put_number(o, "of", target->n);
	put_seconds(o, "median_s", median);
	return o;
}

static struct json_object *of_target(const struct score_target *target)
{
	struct json_object *o = json_object_new_object(), *campaigns = json_object_new_array(), *buckets = json_object_new_array();

	put_text(o, "label", target->label);
	for (size_t i = 0; i < target->n; i++) {
		const struct campaign_result *r = &target->campaigns[i].result;

		json_object_array_add(campaigns, of_campaign(&target->campaigns[i]));
		for (size_t k = 0; k < r->n_buckets; k++) {
			bool told = false;

			for (size_t earlier = 0; earlier < i; earlier++)
				told |= find(&target->campaigns[earlier].result, r->buckets[k].symptom.bucket) != NULL;
			if (!told)
				json_object_array_add(buckets, of_bucket(target, &r->buckets[k]));
		}
	}
	put(o, "buckets", buckets);
	put(o, "campaigns", campaigns);
	return o;
}

int score_write(FILE *out, uint64_t for_ns, const struct score_target *targets, size_t n)
{
	struct json_object *o = json_object_new_object(), *list = json_object_new_array();

	put_text(o, "schema", "mqassay-score-1");
	put_text(o, "mqassay", MQASSAY_VERSION);
	put_seconds(o, "for_s", for_ns);
	for (size_t i = 0; i < n; i++)
		json_object_array_add(list, of_target(&targets[i]));
	put(o, "targets", list);
	fprintf(out, "%s\n", json_object_to_json_string_ext(o, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(o);
	return ferror(out) ? -errno : 0;
}
