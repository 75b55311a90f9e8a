#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "codec/topic.h"
#include "pcap/filter_index.h"
#include "pcap/histogram.h"

enum { FILTERS = 60 };

static uint64_t x = 88172645463325252u;

static unsigned below(unsigned n)
{
	x ^= x << 13, x ^= x >> 7, x ^= x << 17;
	return (unsigned)((x >> 20) % n);
}

static void some(char *text, const char *const *levels, unsigned n)
{
	*text = 0;
	for (unsigned depth = 1 + below(4), i = 0; i < depth; i++)
		sprintf(text + strlen(text), "%s%s", i ? "/" : "", levels[below(n)]);
}

static unsigned n_found;

static void found(void *context, struct filter_node *node)
{
	assert_true(topic_matches(span_text(node->first), *(struct span *)context));
	n_found++;
}

/* The same filters as topic_matches() says, while filters come and go. */
static void finds_what_matches(void **state)
{
	static const char *const levels[] = { "a", "b", "", "$s", "+", "#" };
	static char filters[FILTERS][32];
	struct filter_node *nodes[FILTERS] = { 0 };
	struct filter_index index = { 0 };
	unsigned all = 0;

	(void)state;
	for (unsigned round = 0; round < 20000; round++) {
		unsigned i = below(FILTERS), matching = 0;
		char topic[32];

		if (nodes[i]) {
			nodes[i]->first = NULL;
			filter_index_prune(&index, nodes[i]);
			nodes[i] = NULL;
		} else {
			some(filters[i], levels, 6);
			nodes[i] = topic_filter_valid(span_text(filters[i])) ? filter_index_place(&index, span_text(filters[i])) : NULL;
			if (nodes[i] && nodes[i]->first)	/* another one's */
				nodes[i] = NULL;
			else if (nodes[i])
				nodes[i]->first = filters[i];
		}
		some(topic, levels, 4);
		struct span name = span_text(topic);
		for (unsigned k = 0; k < FILTERS; k++)
			matching += nodes[k] && topic_matches(span_text(filters[k]), name);
		n_found = 0;
		assert_true(filter_index_match(&index, name, found, &name));
		assert_int_equal(n_found, matching);
		all += matching;
	}
	assert_true(all > 10000);
	for (unsigned i = 0; i < FILTERS; i++) {
		if (!nodes[i])
			continue;
		nodes[i]->first = NULL;
		filter_index_prune(&index, nodes[i]);
	}
	assert_int_equal(index.nodes.n, 0);
	assert_int_equal(index.bytes, 0);
	filter_index_release(&index);
}

static void quantiles_are_near(void **state)
{
	struct histogram h = { 0 }, sum = { 0 };

	(void)state;
	assert_int_equal(histogram_quantile(&h, 500), 0);
	for (uint64_t ns = 1; ns <= 100000; ns++)
		histogram_add(&h, ns * 1000);
	histogram_merge(&sum, &h);
	for (unsigned permille = 10; permille < 1000; permille += 10) {
		double is = (double)histogram_quantile(&sum, permille), should = permille * 100000.0;

		assert_true(is > should * 0.968 && is < should * 1.032);
	}
	assert_int_equal(histogram_quantile(&sum, 1000), 100000000);
	assert_int_equal(sum.min, 1000);
	assert_int_equal(sum.count, 100000);
	histogram_add(&sum, 0);
	histogram_add(&sum, UINT64_MAX);
	assert_int_equal(sum.min, 0);
	assert_int_equal(histogram_quantile(&sum, 1000), UINT64_MAX);
	histogram_release(&h);
	histogram_release(&sum);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(finds_what_matches), cmocka_unit_test(quantiles_are_near) };

	return cmocka_run_group_tests_name("filter_index", tests, NULL, NULL);
}
