#include "reference-broker/broken.h"
#include "reference-broker/internal.h"

#include <stdlib.h>

/* ---- subscriptions ---- */

static uint64_t subscription_hash(const struct broker *b, const struct session *s, const struct node *node,
                                  const struct group *group)
{
	const void *of[3] = { s, node, group };

	return hash_bytes(b->hash_key, of, sizeof(of));
}

static struct subscription *lookup(const struct broker *b, const struct session *s, const struct node *node,
                                   const struct group *group)
{
	uint64_t hash = subscription_hash(b, s, node, group);

	for (struct entry *e = table_chain(&b->subscriptions.members, hash); e; e = e->next) {
		struct subscription *sub = (struct subscription *)e;

		if (e->hash == hash && sub->session == s && sub->node == node && sub->group == group)
			return sub;
	}
	return NULL;
}

/* ---- groups of shared subscriptions: many may stand at one node, so they are hashed as well ---- */

static uint64_t group_hash(const struct broker *b, const struct node *node, struct span name)
{
	uint64_t key[2] = { b->hash_key[0] ^ (uint64_t)(uintptr_t)node, b->hash_key[1] };

	return hash_bytes(key, name.at, name.len);
}

static struct group *group_find(const struct broker *b, const struct node *node, struct span name)
{
	uint64_t hash = group_hash(b, node, name);

	for (struct entry *e = node->groups ? table_chain(&b->subscriptions.groups, hash) : NULL; e; e = e->next) {
		struct group *g = (struct group *)e;

		if (e->hash == hash && g->node == node && span_equal(span_of(g->name, g->name_len), name))
			return g;
	}
	return NULL;
}

static struct group *group_make(struct broker *b, struct node *node, struct span name)
{
	size_t size = group_size(&(struct group){ .name_len = name.len });
	struct group *g;

	if (!memory_take(b, size))
		return NULL;
	g = calloc(1, sizeof(*g) + name.len);
	if (!g || !table_add(&b->subscriptions.groups, &g->entry, group_hash(b, node, name))) {
		memory_give(b, size);
		free(g);
		return NULL;
	}
	g->name_len = name.len;
	memcpy(g->name, name.at, name.len);
	g->node = node;
	g->next = node->groups;
	if (g->next)
		g->next->prev = g;
	node->groups = g;
	return g;
}

static void group_end(struct broker *b, struct group *g)
{
	if (g->prev)
		g->prev->next = g->next;
	else
		g->node->groups = g->next;
	if (g->next)
		g->next->prev = g->prev;
	table_remove(&b->subscriptions.groups, &g->entry);
	memory_give(b, group_size(g));
	free(g);
}

static struct subscription **members_of(struct node *node, struct group *group)
{
	return group ? &group->members : &node->subscriptions;
}

void subscription_end(struct broker *b, struct subscription *sub)
{
	struct session *s = sub->session;
	struct node *node = sub->node;
	struct group *group = sub->group;

	if (group && group->turn == sub)
		group->turn = sub->next_of_node;
	if (sub->prev_of_node)
		sub->prev_of_node->next_of_node = sub->next_of_node;
	else
		*members_of(node, group) = sub->next_of_node;
	if (sub->next_of_node)
		sub->next_of_node->prev_of_node = sub->prev_of_node;
	if (sub->prev_of_session)
		sub->prev_of_session->next_of_session = sub->next_of_session;
	else
		s->subscriptions = sub->next_of_session;
	if (sub->next_of_session)
		sub->next_of_session->prev_of_session = sub->prev_of_session;
	table_remove(&b->subscriptions.members, &sub->entry);
	s->n_subscriptions--;
	b->stats.subscriptions--;
	memory_give(b, subscription_size());
	free(sub);
	if (group && !group->members)
		group_end(b, group);
	memory_give(b, tree_prune(&b->subscriptions, node));
}

static struct subscription *subscription_make(struct broker *b, struct session *s, struct node *node, struct group *group)
{
	struct subscription *sub, **members = members_of(node, group);

	if (s->n_subscriptions >= b->config.max_subscriptions_per_session || !memory_take(b, subscription_size()))
		return NULL;
	sub = calloc(1, sizeof(*sub));
	if (!sub || !table_add(&b->subscriptions.members, &sub->entry, subscription_hash(b, s, node, group))) {
		memory_give(b, subscription_size());
		free(sub);
		return NULL;
	}
	sub->session = s;
	sub->node = node;
	sub->group = group;
	sub->next_of_node = *members;
	if (*members)
		(*members)->prev_of_node = sub;
	*members = sub;
	sub->next_of_session = s->subscriptions;
	if (s->subscriptions)
		s->subscriptions->prev_of_session = sub;
	s->subscriptions = sub;
	s->n_subscriptions++;
	b->stats.subscriptions++;
	return sub;
}

/* ---- filters as they come ---- */

struct wish {				/* one filter of a SUBSCRIBE or UNSUBSCRIBE */
	struct span filter;		/* without "$share/NAME/" */
	struct span group;
	bool shared;
	uint8_t options;
};

static struct wish wish_of(struct link *link, struct span filter, uint8_t options)
{
	struct wish w = { .filter = filter, .options = options };

	w.shared = link->version == MQTT_5 && share_split(filter, &w.group, &w.filter);
	return w;
}

static bool has_wildcard(struct span filter)
{
	return filter.len && (memchr(filter.at, '+', filter.len) || memchr(filter.at, '#', filter.len));
}

static struct subscription *subscription_find(const struct broker *b, const struct session *s, const struct wish *w)
{
	const struct node *node = tree_find(&b->subscriptions, w->filter);
	const struct group *group = node && w->shared ? group_find(b, node, w->group) : NULL;

	return node && (group || !w->shared) ? lookup(b, s, node, group) : NULL;
}

/* The subscription, found or made; NULL when a bound forbids it. */
static struct subscription *subscription_open(struct broker *b, struct session *s, const struct wish *w, bool *made)
{
	struct subscription *sub = subscription_find(b, s, w);
	struct group *group = NULL;
	struct node *node;
	size_t size;

	*made = !sub;
	if (sub && !effect_set(b, s->version, SUBSCRIPTION_ADDED))
		return sub;
	node = tree_make(&b->subscriptions, w->filter, memory_room(b), &size);
	if (!node)
		return NULL;
	if (!memory_take(b, size)) {
		tree_prune(&b->subscriptions, node);
		return NULL;
	}
	if (w->shared) {
		group = group_find(b, node, w->group);
		if (!group)
			group = group_make(b, node, w->group);
	}
	sub = group || !w->shared ? subscription_make(b, s, node, group) : NULL;
	if (!sub) {
		if (group && !group->members)
			group_end(b, group);
		memory_give(b, tree_prune(&b->subscriptions, node));
	}
	return sub;
}

/* ---- SUBSCRIBE ---- */

/* What is switched off ends the connection in 5, each by a code of its own. 0: all well. */
static unsigned not_offered(struct link *link, const struct packet *p)
{
	const struct broker_config *c = &link->broker->config;
	struct filter_walk walk = filters_of(p);
	struct value identifier;
	struct span filter;
	uint8_t options;

	if (link->version != MQTT_5 || broken(link, FEATURES_TAKEN))
		return 0;
	if (!c->subscription_identifiers_available && property_find(p->properties, PROP_subscription_identifier, &identifier))
		return 0xa1;
	while (filter_next(&walk, &filter, &options)) {
		struct wish w = wish_of(link, filter, options);

		if (w.shared && !c->shared_available)
			return 0x9e;
		if (has_wildcard(w.filter) && !c->wildcard_available)
			return 0xa2;
	}
	return 0;
}

/* 3.1 has no code that says no, and asks for the answer all the same: what it then subscribed to never comes. */
static unsigned code_for_denied(const struct link *link, unsigned qos)
{
	unsigned most = link->broker->config.maximum_qos;

	if (link->version == MQTT_3_1)
		return qos < most ? qos : most;
	return link->version == MQTT_5 ? 0x87 : 0x80;
}

/* The code for SUBACK; *retained: whether retained messages are to follow. */
static unsigned subscribe(struct link *link, const struct wish *w, uint32_t identifier, bool *retained)
{
	struct broker *b = link->broker;
	unsigned handling = (w->options & SUBSCRIBE_RETAIN_HANDLING) >> SUBSCRIBE_RETAIN_HANDLING_SHIFT;
	unsigned qos = w->options & SUBSCRIBE_QOS;
	struct subscription *sub;
	bool made, denied = !session_may(link->session, ACT_SUBSCRIBE, w->filter) && !granted_by_fault(link, w->filter, w->shared);

	*retained = false;
	if (denied && !kept_by_fault(link))
		return code_for_denied(link, qos);
	if (has_wildcard(w->filter) && !b->config.wildcard_available && !broken(link, FEATURES_TAKEN))
		return 0x80;
	if (qos > b->config.maximum_qos && broken(link, SUBSCRIBE_QOS_REFUSED))
		return 0x80;
	sub = subscription_open(b, link->session, w, &made);
	if (!sub)
		return link->version == MQTT_5 ? 0x97 : 0x80;
	if (qos > b->config.maximum_qos)
		qos = b->config.maximum_qos;
	if (made || !broken(link, SUBSCRIPTION_NOT_REPLACED)) {		/* [MQTT-3.8.4-3] */
		sub->options = (uint8_t)((w->options & ~SUBSCRIBE_QOS) | qos);
		if (made || !broken(link, IDENTIFIER_KEPT))
			sub->identifier = identifier;
	}
	/* [5 MQTT-3.3.1-9] 0 always, [-10] 1 if new, [-11] 2 never; a shared subscription gets none */
	*retained = (!w->shared || broken(link, SHARED_RETAINED)) && handling_by_fault(link, made, handling == 0 || (handling == 1 && made), handling);
	return denied ? code_for_denied(link, qos) : qos;
}

static size_t count_filters(const struct packet *p)
{
	struct filter_walk walk = filters_of(p);
	struct span filter;
	uint8_t options;
	size_t n = 0;

	while (filter_next(&walk, &filter, &options))
		n++;
	return n;
}

/* [MQTT-3.8.4-5] [MQTT-3.9.3-1] one code for each, in their order */
static void send_codes(struct link *link, enum packet_type type, uint16_t packet_id, struct span codes)
{
	struct packet ack = { .type = type, .packet_id = packet_id, .list = codes };

	if (!link_send(link, &ack))
		link_fail(link, 0x95, "the answer would be larger than the client's Maximum Packet Size");
}

static void all_codes(uint8_t *codes, size_t n, unsigned code)
{
	for (size_t i = 0; i < n; i++)
		codes[i] = (uint8_t)code;
}

static bool id_in_use(const struct link *link, uint16_t packet_id)
{
	return link->version == MQTT_5 && id_set_find(&link->session->incoming, packet_id) >= 0;
}

struct subscription *subscription_of(struct link *link, struct span filter, struct span *bare)
{
	struct wish w = wish_of(link, filter, 0);

	*bare = w.filter;
	return subscription_find(link->broker, link->session, &w);
}

/* The filters of which retained messages are wanted, to be looked for in their order. False: no room for them. */
static bool want_retained(struct link *link, const struct packet *p, const uint8_t *wanted, struct wanted **made)
{
	struct broker *b = link->broker;
	struct wanted form = { 0 }, *w;
	struct filter_walk walk = filters_of(p);
	struct span filter;
	uint8_t options;

	*made = NULL;
	for (size_t i = 0; filter_next(&walk, &filter, &options); i++)
		form.len += wanted[i] ? 2 + filter.len : 0;
	if (!form.len || !b->stats.retained)
		return true;
	if (!memory_take(b, wanted_size(&form)))
		return false;
	w = malloc(sizeof(*w) + form.len);
	if (!w) {
		memory_give(b, wanted_size(&form));
		return false;
	}
	*w = form;

	struct writer to = writer_to(w->filters, w->len);

	walk = filters_of(p);
	for (size_t i = 0; filter_next(&walk, &filter, &options); i++)
		if (wanted[i])
			wr_binary(&to, filter);
	*made = w;
	return true;
}

void handle_subscribe(struct link *link, const struct packet *p)
{
	struct buffer *room = &link->broker->codes;
	uint32_t identifier = link->version == MQTT_5 ?
	                      (uint32_t)property_number(p->properties, PROP_subscription_identifier, 0) : 0;
	struct filter_walk walk = filters_of(p);
	unsigned missing = not_offered(link, p);
	size_t n = count_filters(p);
	struct wanted *retained;
	struct span filter;
	uint8_t options, *codes, *wanted;

	if (missing) {
		link_fail(link, missing, "not offered: see CONNACK");
		return;
	}
	if (n > link->broker->config.max_subscriptions_per_session) {	/* all at once: such work is not cut into turns */
		link_fail(link, 0x97, "more filters than a session may have");
		return;
	}
	room->len = 0;
	if (!buffer_reserve(room, n * 2 + 1)) {
		link_fail(link, 0x97, "out of memory");
		return;
	}
	codes = room->at;
	wanted = codes + n;
	memset(wanted, 0, n);
	if (id_in_use(link, p->packet_id)) {
		all_codes(codes, n, 0x91);
	} else {
		for (size_t i = 0; filter_next(&walk, &filter, &options); i++) {
			struct wish w = wish_of(link, filter, options);
			bool send_retained = false;

			codes[i] = (uint8_t)(i && broken(link, FIRST_FILTER_ONLY) ? options & SUBSCRIBE_QOS :
			                     subscribe(link, &w, identifier, &send_retained));
			wanted[i] = send_retained;
		}
	}
	if (link->version == MQTT_3_1 && n && memchr(codes, 0x80, n)) {
		link_fail(link, 0x80, NULL);	/* 3.1 knows no code for it */
		return;
	}
	if (!want_retained(link, p, wanted, &retained)) {
		link_fail(link, 0x97, "out of memory");
		return;
	}
	/* Retained messages follow the SUBACK, though they may come before it: some clients expect that order. */
	if (retained)
		retained_want(link->session, retained);
	send_codes(link, SUBACK, p->packet_id, span_of(codes, n));
	if (link->state == CONNECTED)
		retained_send(link);
}

/* ---- UNSUBSCRIBE ---- */

void handle_unsubscribe(struct link *link, const struct packet *p)
{
	struct broker *b = link->broker;
	struct buffer *room = &b->codes;
	struct filter_walk walk = filters_of(p);
	size_t n = count_filters(p), i = 0;
	struct span filter;
	uint8_t options;

	if (n > b->config.max_subscriptions_per_session) {
		link_fail(link, 0x97, "more filters than a session may have");
		return;
	}
	room->len = 0;
	if (!buffer_reserve(room, n + 1)) {
		link_fail(link, 0x97, "out of memory");
		return;
	}
	if (id_in_use(link, p->packet_id)) {
		all_codes(room->at, n, 0x91);
	} else {
		for (; filter_next(&walk, &filter, &options); i++) {
			struct wish w = wish_of(link, filter, 0);
			struct subscription *sub = subscription_find(b, link->session, &w);

			room->at[i] = sub ? 0x00 : 0x11;
			if (!unsubscribed_by_fault(link, w.filter, i) && sub)
				subscription_end(b, sub);	/* [MQTT-3.10.4-1] the very same filter and no other */
		}
	}
	if (!unsuback_by_fault(link, room->at, n))
		send_codes(link, UNSUBACK, p->packet_id, link->version == MQTT_5 ? span_of(room->at, n) : (struct span){ 0 });
}
