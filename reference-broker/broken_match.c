#include "reference-broker/broken.h"

#include <stdlib.h>

struct span folded_by_fault(struct broker *b, struct span path)
{
	bool fold = effect_any(b, CASE_FOLDED), fill = effect_any(b, SLASHES_FILLED);
	struct buffer *room = &b->folded;

	room->len = room->start = 0;
	if (!(fold || fill) || !buffer_reserve(room, path.len * 2 + 1))
		return path;
	for (size_t i = 0; i < path.len; i++) {
		uint8_t c = path.at[i];

		if (fold && c >= 'A' && c <= 'Z')
			c = '_';
		if (fill && c == '/' && i && path.at[i - 1] == '/')
			room->at[room->len++] = '_';
		room->at[room->len++] = c;
	}
	return span_of(room->at, room->len);
}

static size_t n_levels(struct span path)
{
	size_t n = 1;

	for (size_t i = 0; i < path.len; i++)
		n += path.at[i] == '/';
	return n;
}

static bool level_empty(struct span topic, size_t nth)
{
	size_t from = 0, to;

	for (size_t i = 0; nth && i < topic.len; i++) {
		if (topic.at[i] == '/') {
			nth--;
			from = i + 1;
		}
	}
	for (to = from; to < topic.len && topic.at[to] != '/'; to++)
		;
	return to == from;
}

/* What the tree found, looked at again as that version's fault would have it. */
bool matched_by_fault(struct broker *b, const struct node *node, struct span topic, unsigned version)
{
	const struct node *first = node;
	size_t depth = 0, level;

	for (const struct node *n = node; n->parent; n = n->parent) {
		depth++;
		first = n;
	}
	level = depth;
	if (topic.len && topic.at[0] == '$' && (span_is(span_of(node_name(first), first->name_len), "+") ||
	    span_is(span_of(node_name(first), first->name_len), "#")) && !effect_set(b, version, DOLLAR_MATCHED))
		return false;
	if (effect_set(b, version, HASH_ONE_LEVEL) && node->parent && node->parent->rest == node && depth < n_levels(topic))
		return false;
	if (effect_set(b, version, PARENT_NOT_MATCHED) && node->parent && node->parent->rest == node && depth > n_levels(topic))
		return false;
	for (const struct node *n = node; n->parent && effect_set(b, version, WILDCARDS_IN_VAIN); n = n->parent)
		if (n->parent->plus == n || n->parent->rest == n)
			return false;
	for (const struct node *n = node; n->parent && effect_set(b, version, EMPTY_LEVEL_NOT_MATCHED); n = n->parent) {
		level--;
		if (n->parent->plus == n && level_empty(topic, level))
			return false;
	}
	return true;
}

struct node *match_nodes(struct broker *b, const struct message *m)
{
	return tree_match(&b->subscriptions, b->broken ? folded_by_fault(b, message_topic(m)) : message_topic(m));
}

static bool doubled(const struct session *to)
{
	for (const struct subscription *s = to->matched; s; s = s->next_matched)
		for (const struct subscription *t = s->next_matched; t; t = t->next_matched)
			if (s->node == t->node)
				return true;
	return false;
}

static unsigned lowest_qos(const struct session *to)
{
	unsigned lowest = 2;

	for (const struct subscription *s = to->matched; s; s = s->next_matched)
		if ((s->options & SUBSCRIBE_QOS) < lowest)
			lowest = s->options & SUBSCRIBE_QOS;
	return lowest;
}

void routed_by_fault(struct session *to, const struct message *m, struct route *route)
{
	const struct broker *b = to->broker;
	unsigned v = to->version;

	if (!b->broken)
		return;
	if (effect_set(b, v, OVERLAP_LOWEST) && lowest_qos(to) < route->qos)
		route->qos = lowest_qos(to);
	if (effect_set(b, v, QOS_OF_PUBLISHER))
		route->qos = m->qos;
	if (effect_set(b, v, QOS_OF_SUBSCRIPTION))
		route->qos = route->granted;
	if (effect_set(b, v, QOS0_ONLY))
		route->qos = 0;
	if (effect_set(b, v, LIVE_RETAIN_KEPT))
		route->retain = m->retain;
	if (effect_set(b, v, RETAIN_AS_PUBLISHED_IGNORED))
		route->retain = false;
	if (effect_set(b, v, IDENTIFIERS_DROPPED))
		route->n_ids = 0;
	if (effect_set(b, v, OVERLAP_FIRST_IDENTIFIER) && route->n_ids > 1)
		route->n_ids = 1;
	if (effect_set(b, v, COPIES_SHARE_IDENTIFIER) && route->n_ids > 1) {
		route->copies = (unsigned)route->n_ids;
		route->n_ids = 1;
	}
	if (effect_set(b, v, VERSIONS_APART) && m->version != to->version)
		route->copies = 0;
	if (effect_set(b, v, SUBSCRIPTION_ADDED) && doubled(to))
		route->copies = 2;
	if (effect_set(b, v, OFFLINE_LOST) && !to->link)
		route->copies = 0;
}

static const struct subscription *first_of(const struct group *g)
{
	const struct subscription *first = g->members;

	while (first->next_of_node)		/* members are added in front */
		first = first->next_of_node;
	return first;
}

unsigned shared_qos_by_fault(const struct group *g, const struct subscription *s)
{
	return effect_set(s->session->broker, s->session->version, SHARED_QOS_OF_FIRST) ? first_of(g)->options : s->options;
}

uint32_t identifier_by_fault(const struct group *g, const struct subscription *s)
{
	return effect_set(s->session->broker, s->session->version, SHARED_IDENTIFIER_OF_FIRST) ? first_of(g)->identifier : s->identifier;
}

bool shared_by_fault(const struct group *g, struct message *m)
{
	const struct subscription *s = g->members;

	if (!s || !effect_set(s->session->broker, MQTT_5, SHARED_TO_ALL))
		return false;
	for (; s; s = s->next_of_node)
		deliver(s->session, m, m->qos < (s->options & SUBSCRIBE_QOS) ? m->qos : s->options & SUBSCRIBE_QOS, false,
		        &s->identifier, s->identifier != 0, g);
	return true;
}

/* Whether a delivery of a shared subscription goes to another member when this session ends. */
bool passed_on(const struct session *s, bool may_be)
{
	return (may_be || effect_set(s->broker, s->version, SHARED_BEGUN_PASSED_ON)) && !effect_set(s->broker, s->version, SHARED_NOT_PASSED_ON);
}

bool kept_back_by_fault(const struct broker *b, const struct message *m)
{
	return m->retain && !m->payload_len && effect_set(b, m->version, EMPTY_RETAIN_NOT_FORWARDED);
}
