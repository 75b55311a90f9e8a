#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "codec/topic.h"
#include "harness/load/ledger_internal.h"

/* Nodes, grants and groups are never moved out of order nor freed before the end, so that their places name them. */
enum { ROOT = 1 };

struct audience *audience_new(uint32_t n_roles)
{
	struct audience *a = calloc(1, sizeof(*a));

	if (!a) {
		fputs("mqassay: out of memory\n", stderr);
		abort();
	}
	pthread_mutex_init(&a->lock, NULL);
	a->n_roles = n_roles;
	PUSH(a->grants, (struct grant){ 0 });
	PUSH(a->groups, (struct group){ 0 });
	PUSH(a->nodes, (struct node){ 0 });
	PUSH(a->nodes, (struct node){ 0 });
	return a;
}

void audience_free(struct audience *a)
{
	if (!a)
		return;
	for (unsigned i = 0; i < 256; i++) {
		struct topic_directory *directory = atomic_load(&a->topics[i]);

		for (unsigned b = 0; directory && b < TOPIC_BLOCKS; b++)
			free(atomic_load(&directory->blocks[b]));
		free(directory);
		free(a->clients[i].at);
	}
	free(a->grants.at);
	free(a->nodes.at);
	free(a->groups.at);
	free(a->texts.at);
	free(a->children);
	free(a->matched.at);
	free(a->places.at);
	pthread_mutex_destroy(&a->lock);
	free(a);
}

uint32_t audience_epoch(const struct audience *a)
{
	return atomic_load_explicit(&a->epoch, memory_order_acquire);
}

/* ---- the trie ---- */

static uint32_t level_hash(uint32_t parent, struct span level)
{
	return (topic_hash(level) ^ parent * 0x9e3779b1u) * 0x85ebca6bu;
}

static struct span level_of(const struct audience *a, const struct node *node)
{
	return span_of(a->texts.at + node->text, node->text_len);
}

static uint32_t find_child(const struct audience *a, uint32_t parent, struct span level)
{
	uint32_t at;

	if (!a->children)
		return 0;
	at = level_hash(parent, level) & a->children_mask;
	for (; a->children[at]; at = (at + 1) & a->children_mask) {
		const struct node *node = &a->nodes.at[a->children[at]];

		if (node->parent == parent && span_equal(level_of(a, node), level))
			return a->children[at];
	}
	return 0;
}

static void place_child(struct audience *a, uint32_t child)
{
	const struct node *node = &a->nodes.at[child];
	uint32_t at = level_hash(node->parent, level_of(a, node)) & a->children_mask;

	while (a->children[at])
		at = (at + 1) & a->children_mask;
	a->children[at] = child;
}

static void grow_children(struct audience *a)
{
	uint32_t *old = a->children, n = old ? a->children_mask + 1 : 0, cap = n ? 2 * n : 64;

	if (!(a->children = calloc(cap, sizeof(*a->children)))) {
		fputs("mqassay: out of memory\n", stderr);
		abort();
	}
	a->children_mask = cap - 1;
	for (uint32_t i = 0; i < n; i++)
		if (old[i])
			place_child(a, old[i]);
	free(old);
}

static uint32_t keep_text(struct audience *a, struct span text)
{
	uint32_t at = (uint32_t)a->texts.n;

	a->texts.at = ranges_grow(a->texts.at, a->texts.n + text.len + 1, &a->texts.cap, 1);
	if (text.len)
		memcpy(a->texts.at + at, text.at, text.len);
	a->texts.n += text.len;
	return at;
}

static uint32_t child(struct audience *a, uint32_t parent, struct span level, bool make)
{
	bool plus = span_is(level, "+"), hash = span_is(level, "#");
	uint32_t found = plus ? a->nodes.at[parent].plus : hash ? a->nodes.at[parent].hash : find_child(a, parent, level);

	if (found || !make)
		return found;
	found = (uint32_t)a->nodes.n;
	PUSH(a->nodes, (struct node){ .parent = parent, .text = keep_text(a, level), .text_len = (uint32_t)level.len });
	if (plus) {
		a->nodes.at[parent].plus = found;
	} else if (hash) {
		a->nodes.at[parent].hash = found;
	} else {
		if (4 * ++a->n_children > 3 * (a->children ? a->children_mask + 1 : 0))
			grow_children(a);
		place_child(a, found);
	}
	return found;
}

/* The level that begins there, and where the next one does: behind the end + 1 there is none. */
static struct span level_at(struct span text, size_t at, size_t *next)
{
	const uint8_t *slash = memchr(text.at + at, '/', text.len - at);
	size_t end = slash ? (size_t)(slash - text.at) : text.len;

	*next = end + 1;
	return span_of(text.at + at, end - at);
}

/* 0: there is none, and none was to be made. */
static uint32_t node_of(struct audience *a, struct span filter, bool make)
{
	uint32_t node = ROOT;

	for (size_t at = 0; at <= filter.len && node;) {
		struct span level = level_at(filter, at, &at);

		node = child(a, node, level, make);
	}
	return node;
}

static void matches(struct audience *a, uint32_t node)
{
	if (node && (a->nodes.at[node].grants || a->nodes.at[node].groups))
		PUSH(a->matched, node);
}

static void look(struct audience *a, uint32_t node, size_t at)
{
	if (node)
		PUSH(a->places, (struct place){ node, (uint32_t)at });
}

void audience_match(struct audience *a, struct span topic)
{
	a->matched.n = a->places.n = 0;
	look(a, ROOT, 0);
	while (a->places.n) {
		struct place place = a->places.at[--a->places.n];
		const struct node *node = &a->nodes.at[place.node];
		bool wild = place.node != ROOT || topic.len == 0 || topic.at[0] != '$';	/* [MQTT-4.7.2-1] */
		struct span level;
		size_t next;

		if (wild)
			matches(a, node->hash);
		if (place.at > topic.len) {
			matches(a, place.node);
			continue;
		}
		level = level_at(topic, place.at, &next);
		look(a, find_child(a, place.node, level), next);
		if (wild)
			look(a, node->plus, next);
	}
}

uint32_t audience_changed(struct audience *a, struct span topic)
{
	uint32_t last = 0;

	pthread_mutex_lock(&a->lock);
	audience_match(a, topic);
	for (size_t i = 0; i < a->matched.n; i++)
		if (a->nodes.at[a->matched.at[i]].changed > last)
			last = a->nodes.at[a->matched.at[i]].changed;
	pthread_mutex_unlock(&a->lock);
	return last;
}

/* ---- grants ---- */

static struct client_grants *grants_of(struct audience *a, uint32_t client, bool make)
{
	uint32_t thread = client >> 24, index = client & 0xffffff;
	size_t n = a->clients[thread].n;

	if (index >= n) {
		if (!make)
			return NULL;
		a->clients[thread].at = ranges_grow(a->clients[thread].at, index + 1, &a->clients[thread].cap, sizeof(struct client_grants));
		memset(a->clients[thread].at + n, 0, (index + 1 - n) * sizeof(struct client_grants));
		a->clients[thread].n = index + 1;
	}
	return &a->clients[thread].at[index];
}

static uint32_t group_of(struct audience *a, uint32_t node, struct span name, uint16_t role, bool make)
{
	uint32_t at = a->nodes.at[node].groups;

	for (; at; at = a->groups.at[at].next)
		if (span_equal(span_of(a->texts.at + a->groups.at[at].name, a->groups.at[at].name_len), name))
			return at;
	if (!make)
		return 0;
	at = (uint32_t)a->groups.n;
	PUSH(a->groups, (struct group){
		.node = node, .next = a->nodes.at[node].groups, .name = keep_text(a, name), .name_len = (uint32_t)name.len, .role = role,
	});
	a->nodes.at[node].groups = at;
	return at;
}

/* What a subscription stands at. False: nothing like it has been added, and nothing was to be made. */
static bool find_seat(struct audience *a, struct listener who, struct span filter, bool make, uint32_t *node, uint32_t *group)
{
	struct span name;
	bool shared = share_split(filter, &name, &filter);

	*node = node_of(a, filter, make);
	*group = shared && *node ? group_of(a, *node, name, who.role, make) : 0;
	return *node && (!shared || *group);
}

/* The place that names the client's grant of that node and group among those in force: 0 there, none. */
static uint32_t *find_grant(struct audience *a, struct client_grants *of_client, uint32_t node, uint32_t group)
{
	uint32_t *at = &of_client->live;

	while (*at && (a->grants.at[*at].node != node || a->grants.at[*at].group != group))
		at = &a->grants.at[*at].next_of_client;
	return at;
}

static uint32_t next_epoch(struct audience *a)
{
	return atomic_load_explicit(&a->epoch, memory_order_relaxed) + 1;
}

static void end_grant(struct audience *a, struct client_grants *of_client, uint32_t *at, uint32_t epoch)
{
	uint32_t place = *at;
	struct grant *grant = &a->grants.at[place];

	*at = grant->next_of_client;
	grant->left = epoch;
	grant->next_of_client = of_client->ended;
	of_client->ended = place;
	a->nodes.at[grant->node].changed = epoch;
}

static void begin_grant(struct audience *a, struct client_grants *of_client, struct listener who, uint32_t node, uint32_t group, bool no_local, uint32_t epoch)
{
	uint32_t *head, place = (uint32_t)a->grants.n;

	head = group ? &a->groups.at[group].grants : &a->nodes.at[node].grants;
	PUSH(a->grants, (struct grant){
		.client = who.client, .role = who.role, .node = node, .group = group, .no_local = no_local && !group,
		.joined = epoch, .left = FOR_EVER, .next = *head, .next_of_client = of_client->live,
	});
	*head = of_client->live = place;
	a->nodes.at[node].changed = epoch;
}

uint32_t audience_add(struct audience *a, struct listener who, struct span filter, bool no_local)
{
	struct client_grants *of_client;
	uint32_t node, group, *at, epoch;

	assert(who.role < a->n_roles);
	pthread_mutex_lock(&a->lock);
	of_client = grants_of(a, who.client, true);
	find_seat(a, who, filter, true, &node, &group);
	at = find_grant(a, of_client, node, group);
	if (*at && (group || a->grants.at[*at].no_local == no_local)) {
		epoch = a->grants.at[*at].joined;
	} else {
		epoch = next_epoch(a);
		if (*at)
			end_grant(a, of_client, at, epoch);
		begin_grant(a, of_client, who, node, group, no_local, epoch);
		atomic_store_explicit(&a->epoch, epoch, memory_order_release);
	}
	pthread_mutex_unlock(&a->lock);
	return epoch;
}

void audience_remove(struct audience *a, struct listener who, struct span filter)
{
	struct client_grants *of_client;
	uint32_t node, group, *at, epoch;

	pthread_mutex_lock(&a->lock);
	of_client = grants_of(a, who.client, false);
	if (of_client && find_seat(a, who, filter, false, &node, &group)) {
		at = find_grant(a, of_client, node, group);
		if (*at) {
			epoch = next_epoch(a);
			end_grant(a, of_client, at, epoch);
			atomic_store_explicit(&a->epoch, epoch, memory_order_release);
		}
	}
	pthread_mutex_unlock(&a->lock);
}

void audience_leave(struct audience *a, struct listener who)
{
	struct client_grants *of_client;
	uint32_t epoch;

	pthread_mutex_lock(&a->lock);
	of_client = grants_of(a, who.client, false);
	if (of_client && of_client->live) {
		epoch = next_epoch(a);
		while (of_client->live)
			end_grant(a, of_client, &of_client->live, epoch);
		atomic_store_explicit(&a->epoch, epoch, memory_order_release);
	}
	pthread_mutex_unlock(&a->lock);
}

static bool is_matched(const struct audience *a, uint32_t node)
{
	for (size_t i = 0; i < a->matched.n; i++)
		if (a->matched.at[i] == node)
			return true;
	return false;
}

/* Whether the same subscription stands in that list before `end`. */
static bool is_in(const struct audience *a, uint32_t from, uint32_t end, const struct grant *grant)
{
	for (; from && from != end; from = a->grants.at[from].next_of_client)
		if (a->grants.at[from].node == grant->node && a->grants.at[from].group == grant->group)
			return true;
	return false;
}

void audience_allows(struct audience *a, uint32_t client, struct span topic, uint32_t epoch, unsigned *own, unsigned *groups)
{
	struct client_grants *of_client;

	*own = *groups = 0;
	pthread_mutex_lock(&a->lock);
	of_client = grants_of(a, client, false);
	if (of_client)
		audience_match(a, topic);
	for (uint32_t at = of_client ? of_client->live : 0; at; at = a->grants.at[at].next_of_client)
		if (is_matched(a, a->grants.at[at].node))
			++*(a->grants.at[at].group ? groups : own);
	/* the last to end come first */
	for (uint32_t at = of_client ? of_client->ended : 0; at && a->grants.at[at].left > epoch; at = a->grants.at[at].next_of_client) {
		const struct grant *grant = &a->grants.at[at];

		if (is_matched(a, grant->node) && !is_in(a, of_client->live, 0, grant) && !is_in(a, of_client->ended, at, grant))
			++*(grant->group ? groups : own);
	}
	pthread_mutex_unlock(&a->lock);
}

bool audience_had(struct audience *a, uint32_t client, struct span topic, uint32_t epoch)
{
	struct client_grants *of_client;
	uint32_t heads[2] = { 0, 0 };
	bool had = false;

	pthread_mutex_lock(&a->lock);
	if ((of_client = grants_of(a, client, false))) {
		heads[0] = of_client->live;
		heads[1] = of_client->ended;
		audience_match(a, topic);
	}
	for (unsigned i = 0; i < 2; i++)
		for (uint32_t at = heads[i]; at && !had && a->grants.at[at].left > epoch; at = a->grants.at[at].next_of_client)
			had = a->grants.at[at].joined <= epoch && is_matched(a, a->grants.at[at].node);
	pthread_mutex_unlock(&a->lock);
	return had;
}

uint32_t audience_sole_group(struct audience *a, uint32_t client, struct span topic)
{
	struct client_grants *of_client;
	uint32_t heads[2] = { 0, 0 }, group = 0;
	bool sole = true;

	pthread_mutex_lock(&a->lock);
	if ((of_client = grants_of(a, client, false))) {
		heads[0] = of_client->live;
		heads[1] = of_client->ended;
		audience_match(a, topic);
	}
	for (unsigned i = 0; i < 2; i++)
		for (uint32_t at = heads[i]; at && sole; at = a->grants.at[at].next_of_client)
			if (is_matched(a, a->grants.at[at].node)) {
				sole = a->grants.at[at].group && (!group || group == a->grants.at[at].group);
				group = a->grants.at[at].group;
			}
	pthread_mutex_unlock(&a->lock);
	return sole ? group : 0;
}

/* ---- streams' topics ---- */

void audience_topic_is(struct audience *a, uint32_t stream, uint32_t hash)
{
	uint32_t thread = stream >> 24, number = stream & 0xffffff;
	struct topic_directory *directory = atomic_load_explicit(&a->topics[thread], memory_order_relaxed);
	struct topic_block *block;

	if (!directory) {
		if (!(directory = calloc(1, sizeof(*directory))))
			goto none;
		atomic_store_explicit(&a->topics[thread], directory, memory_order_release);
	}
	block = atomic_load_explicit(&directory->blocks[number / TOPICS_IN_BLOCK], memory_order_relaxed);
	if (!block) {
		if (!(block = calloc(1, sizeof(*block))))
			goto none;
		atomic_store_explicit(&directory->blocks[number / TOPICS_IN_BLOCK], block, memory_order_release);
	}
	atomic_store_explicit(&block->hashes[number % TOPICS_IN_BLOCK], hash, memory_order_release);
	return;
none:
	fputs("mqassay: out of memory\n", stderr);
	abort();
}

uint32_t audience_topic(const struct audience *a, uint32_t stream)
{
	uint32_t number = stream & 0xffffff;
	const struct topic_directory *directory = atomic_load_explicit(&a->topics[stream >> 24], memory_order_acquire);
	const struct topic_block *block;

	if (!directory || !(block = atomic_load_explicit(&directory->blocks[number / TOPICS_IN_BLOCK], memory_order_acquire)))
		return 0;
	return atomic_load_explicit(&block->hashes[number % TOPICS_IN_BLOCK], memory_order_acquire);
}
