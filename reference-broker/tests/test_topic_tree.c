#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "codec/topic.h"
#include "reference-broker/topic_tree.h"

/* The tree against topic_matches(), which is tested by the standard's examples: random filters over few, short level names. */

static const uint64_t key[2] = { 1, 2 };
static uint64_t state_of_random = 5;

static unsigned below(unsigned n)
{
	state_of_random = state_of_random * UINT64_C(6364136223846793005) + 1442695040888963407;
	return (unsigned)(state_of_random >> 33) % n;
}

static struct span random_path(char *at, bool filter)
{
	static const char *const levels[] = { "a", "b", "", "$x", "bb", "+" };
	unsigned n = 1 + below(5);
	size_t len = 0;

	for (unsigned i = 0; i < n; i++) {
		const char *level = levels[below(filter ? 6 : 5)];

		if (i)
			at[len++] = '/';
		if (filter && i == n - 1 && !below(3))
			level = "#";
		len += (size_t)sprintf(at + len, "%s", level);
	}
	if (!len)
		at[len++] = '/';
	return span_of(at, len);
}

static size_t count(struct node *chain, const struct node *wanted)
{
	size_t n = 0;

	for (; chain; chain = chain->next_match)
		n += chain == wanted;
	return n;
}

#define N 300

static void matches_as_the_codec_does(void **state)
{
	static char filters[N][64], topics[N][64];
	static struct span f[N], t[N];
	static struct node *nodes[N];
	struct tree tree;
	size_t made;

	(void)state;
	tree_init(&tree, key);
	for (unsigned i = 0; i < N; i++) {
		f[i] = random_path(filters[i], true);
		t[i] = random_path(topics[i], false);
		nodes[i] = tree_make(&tree, f[i], SIZE_MAX, &made);
		assert_non_null(nodes[i]);
		nodes[i]->subscriptions = (struct subscription *)&made;	/* anything: the tree only looks whether it is there */
		assert_ptr_equal(tree_find(&tree, f[i]), nodes[i]);
	}
	for (unsigned i = 0; i < N; i++) {
		struct node *chain = tree_match(&tree, t[i]);

		for (unsigned j = 0; j < N; j++)
			assert_int_equal(count(chain, nodes[j]), topic_matches(f[j], t[i]));
	}
	tree_release(&tree);
}

static void covers_as_the_codec_matches(void **state)
{
	static char filters[N][64], topics[N][64];
	static struct span f[N], t[N];
	static struct node *nodes[N];
	struct tree tree;
	size_t made;

	(void)state;
	tree_init(&tree, key);
	for (unsigned i = 0; i < N; i++) {
		f[i] = random_path(filters[i], true);
		t[i] = random_path(topics[i], false);
		nodes[i] = tree_make(&tree, t[i], SIZE_MAX, &made);
		assert_non_null(nodes[i]);
		nodes[i]->retained = (struct message *)&made;
	}
	for (unsigned i = 0; i < N; i++) {
		struct node *chain = tree_covered(&tree, f[i]);

		for (unsigned j = 0; j < N; j++)
			assert_int_equal(count(chain, nodes[j]), topic_matches(f[i], t[j]));
	}
	tree_release(&tree);
}

static void what_is_made_is_given_back(void **state)
{
	struct tree tree;
	size_t made, again;
	struct node *node;

	(void)state;
	tree_init(&tree, key);
	node = tree_make(&tree, span_text("a/b/+/#"), SIZE_MAX, &made);
	assert_non_null(node);
	assert_true(made > 4 * sizeof(struct node));
	assert_ptr_equal(tree_make(&tree, span_text("a/b/+/#"), SIZE_MAX, &again), node);
	assert_int_equal(again, 0);
	assert_null(tree_make(&tree, span_text("a/b/c/d"), made / 4, &again));	/* of two nodes, one */
	assert_int_equal(tree.nodes.n, 4);
	assert_int_equal(tree_prune(&tree, node), made);
	assert_null(tree_find(&tree, span_text("a")));
	assert_int_equal(tree.nodes.n, 0);
	tree_release(&tree);
}

/* 40 levels of "+" and names in every mixture that 2,000 filters can have: a search that tried path by path would not end. */
static void many_wildcards_cost_little(void **state)
{
	uint64_t work = 0;
	struct tree tree;
	char filter[128], topic[128];
	size_t made, len;

	(void)state;
	tree_init(&tree, key);
	for (unsigned i = 0; i < 2000; i++) {
		struct node *node;

		len = 0;
		for (unsigned level = 0; level < 40; level++)
			len += (size_t)sprintf(filter + len, "%s%s", level ? "/" : "", below(2) ? "+" : "a");
		node = tree_make(&tree, span_of(filter, len), SIZE_MAX, &made);
		node->subscriptions = (struct subscription *)&made;
	}
	len = 0;
	for (unsigned level = 0; level < 40; level++)
		len += (size_t)sprintf(topic + len, "%sa", level ? "/" : "");
	tree.work = &work;
	assert_non_null(tree_match(&tree, span_of(topic, len)));
	assert_true(work <= tree.nodes.n + 1);		/* each node once */
	tree_release(&tree);
}

/* 65,536 levels, and filters of all lengths of `+` and empty levels, that all match as far as they go. */
static void deep_wildcards_cost_little(void **state)
{
	static char topic[65535], filter[65535];
	uint64_t work = 0;
	struct tree tree;
	size_t made;

	(void)state;
	memset(topic, '/', sizeof(topic));
	tree_init(&tree, key);
	for (size_t i = 0; i < 8; i++) {
		size_t len = 0;

		while (len < sizeof(filter) - 1 - i * 5000) {
			if (below(4))
				filter[len++] = '+';
			filter[len++] = '/';
		}
		filter[len - 1] = '#';

		struct node *node = tree_make(&tree, span_of(filter, len), SIZE_MAX, &made);

		node->subscriptions = (struct subscription *)&made;
	}
	tree.work = &work;
	assert_non_null(tree_match(&tree, span_of(topic, sizeof(topic))));
	assert_in_range(work, 30000, tree.nodes.n + sizeof(topic) + 1);
	tree_release(&tree);
}

static void deep_topics_do_not_recurse(void **state)
{
	static char topic[65535], filter[65536];
	uint64_t work = 0;
	struct tree tree;
	struct node *node;
	size_t made;

	(void)state;
	memset(topic, '/', sizeof(topic));
	tree_init(&tree, key);
	node = tree_make(&tree, span_of(topic, sizeof(topic)), SIZE_MAX, &made);
	assert_non_null(node);
	node->retained = (struct message *)&made;
	assert_ptr_equal(tree_covered(&tree, span_text("#")), node);
	for (size_t i = 0; i < sizeof(filter); i += 2)
		filter[i] = '+', filter[i + 1] = '/';
	tree.work = &work;
	assert_null(tree_covered(&tree, span_of(filter, sizeof(filter) - 1)));		/* half as deep */
	assert_true(work <= 2 * tree.nodes.n + 2);
	node->retained = NULL;
	assert_int_equal(tree_prune(&tree, node), made);
	tree_release(&tree);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(matches_as_the_codec_does), cmocka_unit_test(covers_as_the_codec_matches),
		cmocka_unit_test(what_is_made_is_given_back), cmocka_unit_test(many_wildcards_cost_little),
		cmocka_unit_test(deep_wildcards_cost_little), cmocka_unit_test(deep_topics_do_not_recurse),
	};

	return cmocka_run_group_tests_name("reference-broker/topic_tree", tests, NULL, NULL);
}
