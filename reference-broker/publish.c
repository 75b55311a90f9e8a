#include "reference-broker/broken.h"
#include "reference-broker/internal.h"

#include <stdlib.h>

/* ---- topic aliases of the client ---- */

/* [5 MQTT-3.3.2-12] an alias may be mapped anew at any time */
static bool alias_map(struct link *link, unsigned alias, struct span topic)
{
	struct broker *b = link->broker;
	struct span *slot;
	uint8_t *copy;

	if (alias > link->n_aliases) {
		size_t more = (alias - link->n_aliases) * sizeof(*slot);
		struct span *aliases;

		if (!memory_take(b, more))
			return false;
		aliases = realloc(link->aliases, alias * sizeof(*aliases));
		if (!aliases) {
			memory_give(b, more);
			return false;
		}
		memset(aliases + link->n_aliases, 0, (alias - link->n_aliases) * sizeof(*aliases));
		link->aliases = aliases;
		link->n_aliases = (uint16_t)alias;
	}
	slot = &link->aliases[alias - 1];
	if (span_equal(*slot, topic))
		return true;
	if (slot->len && broken(link, ALIAS_NOT_REMAPPED))
		return true;
	if (!memory_take(b, topic.len))
		return false;
	copy = malloc(topic.len);
	if (!copy) {
		memory_give(b, topic.len);
		return false;
	}
	memcpy(copy, topic.at, topic.len);
	memory_give(b, slot->len);
	free((void *)slot->at);
	*slot = span_of(copy, topic.len);
	return true;
}

/* The topic that is meant; empty when the link was failed. */
static struct span resolve_topic(struct link *link, const struct packet *p)
{
	struct value alias;

	if (link->version != MQTT_5 || !property_find(p->properties, PROP_topic_alias, &alias))
		return p->topic;
	if (!alias.number || (alias.number > link->broker->config.topic_alias_maximum && !broken(link, EXCESS_ALIAS_TAKEN))) {
		link_fail(link, 0x94, "Topic Alias above the Topic Alias Maximum");	/* [5 MQTT-3.3.2-9] */
		return (struct span){ 0 };
	}
	if (p->topic.len) {
		if (!alias_map(link, (unsigned)alias.number, p->topic)) {
			link_fail(link, 0x97, "no room for another Topic Alias");
			return (struct span){ 0 };
		}
		return p->topic;
	}
	if (alias.number > link->n_aliases || !link->aliases[alias.number - 1].len) {
		if (!broken(link, TAKE_UNKNOWN_ALIAS))
			link_fail(link, 0x82, "Topic Alias that this connection has not mapped");
		return (struct span){ 0 };
	}
	return link->aliases[alias.number - 1];
}

/* ---- routing ---- */

static struct subscription *next_member(struct group *group, const struct message *m)
{
	struct subscription *s = group->turn ? group->turn : group->members, *chosen = s;
	bool found = false;

	/* somebody who may get it and is connected, but a long row of others is not searched to its end */
	for (unsigned i = 0; s && i < 64; i++) {
		bool may = session_may_get(s->session, m, false);

		if (may && (!found || s->session->link))
			chosen = s;
		found |= may;
		if (may && s->session->link)
			break;
		s = s->next_of_node ? s->next_of_node : group->members;
	}
	group->turn = chosen->next_of_node ? chosen->next_of_node : group->members;
	return chosen;
}

/* Somebody else of the group, where there is one. */
void route_again(struct session *leaving, struct group *g, struct message *m)
{
	struct subscription *s = next_member(g, m);

	if (s->session == leaving)
		s = next_member(g, m);
	if (s->session != leaving)
		deliver(s->session, m, m->qos < (s->options & SUBSCRIBE_QOS) ? m->qos : s->options & SUBSCRIBE_QOS, false,
		        &s->identifier, s->identifier != 0, g);
}

/* [5 MQTT-4.8.2-3] at most the QoS granted to the member it goes to. Returns how many got it. */
static unsigned route_shared(const struct node *nodes, struct message *m)
{
	unsigned n = 0;

	for (const struct node *node = nodes; node; node = node->next_match) {
		for (struct group *g = node->groups; g; g = g->next, n++) {
			struct subscription *s = next_member(g, m);
			unsigned granted = (shared_qos_by_fault(g, s) & SUBSCRIBE_QOS);
			uint32_t id = identifier_by_fault(g, s);

			if (shared_by_fault(g, m))
				continue;
			deliver(s->session, m, m->qos < granted ? m->qos : granted,
			        m->retain && s->options & SUBSCRIBE_RETAIN_AS_PUBLISHED, &id, id != 0, g);
		}
	}
	return n;
}

/* Gathers the matching subscriptions by session, so that overlapping ones make one copy. */
static struct session *gather(struct broker *b, const struct node *nodes, const struct message *m)
{
	struct session *matched = NULL;

	for (const struct node *node = nodes; node; node = node->next_match) {
		for (struct subscription *s = node->subscriptions; s; s = s->next_of_node) {
			struct session *to = s->session;

			b->work++;
			/* [5 MQTT-3.8.3-3] by client id, whichever connection it published on */
			if (s->options & SUBSCRIBE_NO_LOCAL && span_equal(session_id(to), message_publisher(m)) &&
			    !effect_set(b, to->version, NO_LOCAL_IGNORED))
				continue;
			if (b->broken && !matched_by_fault(b, node, message_topic(m), to->version))
				continue;
			if (!to->matched) {
				to->next_matched = matched;
				matched = to;
			}
			s->next_matched = to->matched;
			to->matched = s;
		}
	}
	return matched;
}

/* [MQTT-3.3.5-1] [5 MQTT-3.3.4-2] one copy at the highest QoS, [5 MQTT-3.3.4-4] with all identifiers */
static void route_to(struct session *to, struct message *m)
{
	struct broker *b = to->broker;
	struct route route = { .copies = 1 };

	b->id_list.len = 0;
	for (struct subscription *s = to->matched; s; s = s->next_matched) {
		unsigned granted = s->options & SUBSCRIBE_QOS;

		b->work++;
		if (granted > route.qos)
			route.qos = granted;
		if (m->retain && s->options & SUBSCRIBE_RETAIN_AS_PUBLISHED)	/* [5 MQTT-3.3.1-13] */
			route.retain = true;
		if (!s->identifier)
			continue;
		if (!buffer_append(&b->id_list, span_of(&s->identifier, sizeof(s->identifier)))) {
			to->matched = NULL;
			b->stats.dropped++;
			return;
		}
		route.n_ids++;
	}
	route.granted = route.qos;
	if (m->qos < route.qos)		/* [MQTT-3.8.4-6] [5 MQTT-3.8.4-8] */
		route.qos = m->qos;
	routed_by_fault(to, m, &route);
	to->matched = NULL;
	for (unsigned i = 0; i < route.copies; i++)
		deliver(to, m, route.qos, route.retain, (uint32_t *)b->id_list.at, route.n_ids, NULL);
}

/* Whether those who keep up can all be given the message: it goes to each of them, or back to its publisher. */
static bool room_to_route(const struct broker *b, const struct node *nodes, const struct session *matched)
{
	size_t need = 0;

	if (!memory_is_scarce(b))
		return true;
	for (; nodes; nodes = nodes->next_match)
		for (const struct group *g = nodes->groups; g; g = g->next)
			need += delivery_size(1);
	for (; matched; matched = matched->next_matched) {
		size_t n_ids = 0;

		for (const struct subscription *s = matched->matched; s; s = s->next_matched)
			n_ids += s->identifier != 0;
		if (matched->link && matched->n_kept < PASSING_KEPT)
			need += delivery_size(n_ids);
	}
	return memory_left(b, need);
}

int publish_message(struct broker *b, struct message *m, bool may_refuse)
{
	const struct node *nodes;
	struct session *matched, *next;
	unsigned n;

	may_refuse = may_refuse && m->qos;	/* [MQTT-3.3.1-7] at QoS 0 it may be sent on and not be stored */
	if ((m->retain || b->broken) && !retain_message(b, m)) {
		b->stats.dropped++;
		if (may_refuse)
			return -1;
	}
	if (kept_back_by_fault(b, m))
		return 0;
	nodes = match_nodes(b, m);
	matched = gather(b, nodes, m);
	if (may_refuse && !room_to_route(b, nodes, matched)) {
		b->stats.dropped++;
		for (; matched; matched = matched->next_matched)
			matched->matched = NULL;
		return -1;
	}
	n = route_shared(nodes, m);
	for (struct session *to = matched; to; to = next, n++) {
		next = to->next_matched;
		route_to(to, m);
		if (next && effect_set(b, to->version, LAST_SUBSCRIBER_ONLY)) {
			for (; next; next = next->next_matched)
				next->matched = NULL;
		}
	}
	return (int)n;
}

/* ---- what publishers send ---- */

/*
 * The receiver's half of QoS 2, by packet id. An empty cell cannot be: both events are
 * answered in both states.
 */
enum { UNKNOWN, RECEIVED };
enum { EV_PUBLISH, EV_PUBREL };
enum { ACCEPT = 1, REPEAT, RELEASE, NOT_FOUND };
static const uint8_t qos2_receive[2][2] = {
	[UNKNOWN] = { [EV_PUBLISH] = ACCEPT, [EV_PUBREL] = NOT_FOUND },
	[RECEIVED] = { [EV_PUBLISH] = REPEAT, [EV_PUBREL] = RELEASE },
};

static void answer(struct link *link, enum packet_type type, uint16_t packet_id, unsigned reason, const char *why)
{
	struct packet ack = { .type = type, .packet_id = packet_id };

	if (type == PUBREL)
		ack.flags = 2;
	if (link->version == MQTT_5 && reason) {
		ack.reason = (uint8_t)reason;
		ack.written = WRITTEN_REASON;
	}
	link_answer(link, &ack, why);
}

/* The reason to answer with. */
static unsigned accept_message(struct link *link, const struct packet *p, struct span topic)
{
	struct broker *b = link->broker;
	struct message *m;
	int reached;

	if (!session_may(link->session, ACT_PUBLISH, topic)) {
		b->stats.dropped++;
		denied_by_fault(link, p, topic);
		/* [3.1.1 MQTT-3.3.5-2] who is told nothing is answered as ever: if closed, he would only come back with it */
		return link->version == MQTT_5 ? 0x87 : 0x00;
	}
	if (link->version == MQTT_5 && property_number(p->properties, PROP_payload_format_indicator, 0) &&
	    !utf8_valid(p->payload))
		return 0x99;
	m = message_new(b, p, topic, session_id(link->session));
	if (!m) {
		b->stats.dropped++;
		return 0x97;
	}
	if (!b->config.retain_available)
		m->retain = false;
	if (!m->has_expiry && broken(link, EXPIRY_INVENTED)) {
		m->has_expiry = true;
		m->expiry_interval = 3600;
	}
	reached = publish_message(b, m, true);
	message_unref(b, m);
	if (reached < 0)	/* a success would make it ours to deliver [MQTT-4.3.2-2] [MQTT-4.3.3-2] */
		return 0x97;
	return reached ? 0x00 : 0x10;
}

static const char *refusal(unsigned reason)
{
	return reason == 0x99 ? "the payload is not the UTF-8 it is said to be" :
	       reason == 0x87 ? "this client may not publish to this topic" :
	       reason >= 0x80 ? "no room for the message" : NULL;
}

static void receive_qos1(struct link *link, const struct packet *p, struct span topic)
{
	unsigned reason;

	if (link->version == MQTT_5 && id_set_find(&link->session->incoming, p->packet_id) >= 0) {
		answer(link, PUBACK, p->packet_id, 0x91, "an open QoS 2 flow has this packet identifier");
		return;
	}
	reason = accept_message(link, p, topic);
	if (reason >= 0x80 && link->version != MQTT_5)
		link_fail(link, reason, NULL);		/* nothing less tells a publisher of 3.1.1 */
	else
		answer(link, PUBACK, p->packet_id, reason, refusal(reason));
}

/* [MQTT-4.3.3-2] [5 MQTT-4.3.3-10] the message goes on at PUBLISH; its id is remembered until PUBREL */
static void receive_qos2(struct link *link, const struct packet *p, struct span topic)
{
	struct id_set *incoming = &link->session->incoming;
	int place = id_set_find(incoming, p->packet_id);
	unsigned reason;

	switch (qos2_receive[place >= 0 ? RECEIVED : UNKNOWN][EV_PUBLISH]) {
	case REPEAT:
		if (!(incoming->ids[place] & 1)) {	/* of an earlier connection: it counts on this one from now */
			incoming->ids[place] |= 1;
			link->n_incoming++;
		}
		if (broken(link, QOS2_DELIVERED_TWICE))
			accept_message(link, p, topic);
		answer(link, PUBREC, p->packet_id, 0, NULL);
		break;
	case ACCEPT:
		/* the id first: without room for it a repetition would be routed a second time */
		reason = id_set_add(link->broker, incoming, p->packet_id, true) ? accept_message(link, p, topic) : 0x97;
		place = id_set_find(incoming, p->packet_id);
		if (reason >= 0x80 && place >= 0 && !broken(link, REFUSED_ID_KEPT))
			id_set_remove(link->broker, incoming, place);
		if (reason >= 0x80 && link->version != MQTT_5) {
			link_fail(link, reason, NULL);
			break;
		}
		if (reason < 0x80)
			link->n_incoming++;
		answer(link, PUBREC, p->packet_id, reason, refusal(reason));
		break;
	}
}

void handle_publish(struct link *link, const struct packet *p)
{
	const struct broker_config *config = &link->broker->config;
	struct span topic = resolve_topic(link, p);
	unsigned qos = publish_qos(p);

	if (link->state != CONNECTED)
		return;
	link->broker->stats.received++;
	if ((qos > config->maximum_qos && !broken(link, QOS_EXCESS_TAKEN)) || (qos == 2 && broken(link, QOS_2_REFUSED))) {
		link_fail(link, 0x9b, "the QoS is above the Maximum QoS");		/* [5 MQTT-3.2.2-11] */
		return;
	}
	if (p->flags & PUBLISH_RETAIN && !config->retain_available && link->version == MQTT_5 &&
	    !broken(link, RETAIN_EXCESS_TAKEN)) {
		link_fail(link, 0x9a, "nothing is retained here");			/* [5 MQTT-3.2.2-14] */
		return;
	}
	if (!qos) {	/* nothing answers it, and to end the connection would stop all else that the client does and may */
		if (accept_message(link, p, topic) == 0x99)
			link_fail(link, 0x99, "the payload is not the UTF-8 it is said to be");
		return;
	}
	/* [5 MQTT-3.3.4-7] what is open and this one, unless it is a repetition */
	if (link->version == MQTT_5 && link->n_incoming >= config->receive_maximum && !broken(link, QUOTA_NOT_ENFORCED) &&
	    (qos == 1 || id_set_find(&link->session->incoming, p->packet_id) < 0)) {
		link_fail(link, 0x93, "more PUBLISH packets open than Receive Maximum");
		return;
	}
	if (publish_by_fault(link, p))
		return;
	if (qos == 1)
		receive_qos1(link, p, topic);
	else
		receive_qos2(link, p, topic);
}

static void handle_pubrel(struct link *link, const struct packet *p)
{
	struct id_set *incoming = &link->session->incoming;
	int place = id_set_find(incoming, p->packet_id);

	switch (qos2_receive[place >= 0 ? RECEIVED : UNKNOWN][EV_PUBREL]) {
	case RELEASE:
		if (incoming->ids[place] & 1)
			link->n_incoming--;
		if (!broken(link, QOS2_ID_KEPT))
			id_set_remove(link->broker, incoming, place);
		else
			incoming->ids[place] &= ~1u;
		answer(link, PUBCOMP, p->packet_id, 0, NULL);
		break;
	case NOT_FOUND:
		answer(link, PUBCOMP, p->packet_id, 0x92, "no open QoS 2 flow has this packet identifier");
		break;
	}
}

void handle_ack(struct link *link, const struct packet *p)
{
	if (p->type == PUBREL)
		handle_pubrel(link, p);
	else
		deliver_acknowledged(link, p);
}
