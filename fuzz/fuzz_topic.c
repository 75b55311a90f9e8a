#include <stdlib.h>
#include <string.h>

#include "codec/topic.h"
#include "fuzz/must.h"
#include "reference-broker/topic_tree.h"

/*
 * Topics and filters against a matcher that is as plain as the standard's words: levels in two lists, compared one by one. It judges what the codec says of each pair, and
 * what the broker's tree finds, of filters and of topics, while they come and go. The input is texts, a new line between them; each is taken for both, where it is valid.
 */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MOST_TEXTS = 24, MOST_LEVELS = 128, MOST_BYTES = 2048 };

/* ---- the standard's words, 4.7 ---- */

struct naive {
	struct span text, levels[MOST_LEVELS];
	size_t n;
	bool topic, filter;		/* what it is valid as */
};

static bool has(struct span s, char c)
{
	for (size_t i = 0; i < s.len; i++)
		if (s.at[i] == (uint8_t)c)
			return true;
	return false;
}

static void split(struct naive *t, struct span text)
{
	size_t from = 0;

	t->text = text;
	t->n = 0;
	for (size_t i = 0; i <= text.len; i++) {
		if (i < text.len && text.at[i] != '/')
			continue;
		MUST(t->n < MOST_LEVELS);
		t->levels[t->n++] = span_of(text.at + from, i - from);
		from = i + 1;
	}
	t->topic = text.len && !has(text, '+') && !has(text, '#') && !has(text, 0);
	t->filter = text.len && !has(text, 0);
	for (size_t i = 0; i < t->n; i++) {
		if (has(t->levels[i], '+') && t->levels[i].len != 1)
			t->filter = false;
		if (has(t->levels[i], '#') && (t->levels[i].len != 1 || i + 1 != t->n))
			t->filter = false;
	}
}

static bool naive_matches(const struct naive *filter, const struct naive *topic)
{
	if (topic->text.at[0] == '$' && (span_is(filter->levels[0], "+") || span_is(filter->levels[0], "#")))
		return false;
	for (size_t i = 0; i < filter->n; i++) {
		if (span_is(filter->levels[i], "#"))
			return true;	/* all below, and the parent */
		if (i == topic->n || (!span_is(filter->levels[i], "+") && !span_equal(filter->levels[i], topic->levels[i])))
			return false;
	}
	return filter->n == topic->n;
}

/* Unicode's table 3-7, well-formed byte sequences, row by row. */
static bool naive_utf8(struct span s)
{
	static const struct { uint8_t first, last, low, high; unsigned more; } rows[] = {
		{ 0x00, 0x7f, 0, 0, 0 }, { 0xc2, 0xdf, 0x80, 0xbf, 1 }, { 0xe0, 0xe0, 0xa0, 0xbf, 2 }, { 0xe1, 0xec, 0x80, 0xbf, 2 }, { 0xed, 0xed, 0x80, 0x9f, 2 },
		{ 0xee, 0xef, 0x80, 0xbf, 2 }, { 0xf0, 0xf0, 0x90, 0xbf, 3 }, { 0xf1, 0xf3, 0x80, 0xbf, 3 }, { 0xf4, 0xf4, 0x80, 0x8f, 3 },
	};

	for (size_t i = 0; i < s.len;) {
		size_t r = 0, n = sizeof(rows) / sizeof(*rows);

		while (r < n && (s.at[i] < rows[r].first || s.at[i] > rows[r].last))
			r++;
		if (r == n || rows[r].more > s.len - i - 1)
			return false;
		for (unsigned k = 1; k <= rows[r].more; k++)
			if (s.at[i + k] < (k == 1 ? rows[r].low : 0x80) || s.at[i + k] > (k == 1 ? rows[r].high : 0xbf))
				return false;
		i += 1 + rows[r].more;
	}
	return true;
}

/* ---- the codec ---- */

static void judge_share(const struct naive *t)
{
	struct span group, filter;
	struct naive inner = { 0 };
	bool shared = t->n > 1 && span_is(t->levels[0], "$share");

	MUST(share_split(t->text, &group, &filter) == shared);
	if (!shared) {
		MUST(!share_valid(t->text));
		return;
	}
	MUST(span_equal(group, t->levels[1]));
	split(&inner, filter);
	MUST(inner.n == (t->n > 2 ? t->n - 2 : 1));
	MUST(share_valid(t->text) == (inner.filter && group.len && !has(group, '+') && !has(group, '#') && !has(group, 0)));
}

static void judge_text(const struct naive *t)
{
	MUST(topic_name_valid(t->text) == t->topic);
	MUST(topic_filter_valid(t->text) == t->filter);
	MUST(has_nul(t->text) == has(t->text, 0));
	MUST(utf8_valid(t->text) == naive_utf8(t->text));
	judge_share(t);
}

/* ---- the broker's tree ---- */

static const uint64_t key[2] = { 1, 2 };

static unsigned times(const struct node *chain, const struct node *wanted)
{
	unsigned n = 0;

	for (; chain; chain = chain->next_match)
		n += chain == wanted;
	return n;
}

/* The node stands for what came first with its text; the others with the same are passed over. */
static struct node *add(struct tree *tree, struct span path, bool retained)
{
	static struct subscription *const subscription = (struct subscription *)key;
	static struct message *const message = (struct message *)key;
	size_t made, before = tree->nodes.n;
	struct node *node = tree_make(tree, path, SIZE_MAX, &made);

	MUST(node && (made > 0) == (tree->nodes.n > before) && tree_find(tree, path) == node);
	if (node->subscriptions || node->retained)
		return NULL;
	if (retained)
		node->retained = message;
	else
		node->subscriptions = subscription;
	return node;
}

static void take_away(struct tree *tree, struct node *node)
{
	node->subscriptions = NULL;
	node->retained = NULL;
	tree_prune(tree, node);
}

/* Every text looks up what the tree holds of the others: topics look up filters, or filters topics. Then half of the tree goes, then the rest. */
static void judge_tree(const struct naive *texts, size_t n, bool of_topics)
{
	struct tree tree;
	struct node *nodes[MOST_TEXTS] = { NULL };

	tree_init(&tree, key);
	for (size_t i = 0; i < n; i++)
		if (of_topics ? texts[i].topic : texts[i].filter)
			nodes[i] = add(&tree, texts[i].text, of_topics);
	for (unsigned round = 0; round < 2; round++) {
		for (size_t i = 0; i < n; i++) {
			struct node *found;

			if (of_topics ? !texts[i].filter : !texts[i].topic)
				continue;
			found = of_topics ? tree_covered(&tree, texts[i].text) : tree_match(&tree, texts[i].text);
			for (size_t k = 0; k < n; k++)
				MUST(!nodes[k] || times(found, nodes[k]) ==
				     (of_topics ? naive_matches(&texts[i], &texts[k]) : naive_matches(&texts[k], &texts[i])));
		}
		for (size_t k = round == 0; k < n; k += round ? 1 : 2) {
			if (nodes[k])
				take_away(&tree, nodes[k]);
			nodes[k] = NULL;
		}
	}
	MUST(tree.nodes.n == 0 && !tree.root.first_child && !tree.root.plus && !tree.root.rest);
	tree_release(&tree);
}

/* ---- one input ---- */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct naive texts[MOST_TEXTS];
	uint8_t *copies[MOST_TEXTS];
	size_t n = 0, from = 0;

	if (size > MOST_BYTES)
		return 0;
	for (size_t i = 0; i <= size && n < MOST_TEXTS; i++) {
		size_t len = i - from, slashes = 0;

		if (i < size && data[i] != '\n')
			continue;
		for (size_t k = from; k < i; k++)
			slashes += data[k] == '/';
		if (slashes < MOST_LEVELS) {
			MUST((copies[n] = malloc(len ? len : 1)));	/* of the exact size: reading past it is seen */
			memcpy(copies[n], data + from, len);
			split(&texts[n], span_of(copies[n], len));
			n++;
		}
		from = i + 1;
	}
	for (size_t i = 0; i < n; i++) {
		judge_text(&texts[i]);
		for (size_t k = 0; k < n; k++)
			if (texts[i].filter && texts[k].topic)
				MUST(topic_matches(texts[i].text, texts[k].text) == naive_matches(&texts[i], &texts[k]));
	}
	judge_tree(texts, n, false);
	judge_tree(texts, n, true);
	for (size_t i = 0; i < n; i++)
		free(copies[i]);
	return 0;
}
