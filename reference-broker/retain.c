#include "reference-broker/broken.h"
#include "reference-broker/internal.h"

static void forget(struct broker *b, struct node *node)
{
	message_unref(b, node->retained);
	node->retained = NULL;
	b->stats.retained--;
	memory_give(b, tree_prune(&b->retained, node));
}

/* What is retained is kept, whatever eighth its message was made in. */
static bool store(struct broker *b, struct message *m)
{
	size_t made;
	struct node *node = tree_make(&b->retained, message_topic(m), &made);

	if (!node)
		return false;
	if (!memory_take(b, made)) {
		tree_prune(&b->retained, node);
		return false;
	}
	if (node->retained ? memory_is_scarce(b) && message_size(m) > message_size(node->retained) :
	    memory_is_scarce(b) || b->stats.retained >= b->config.max_retained) {
		memory_give(b, tree_prune(&b->retained, node));
		return false;
	}
	if (node->retained) {
		message_unref(b, node->retained);	/* [MQTT-3.3.1-5] the last one counts */
		b->stats.retained--;
	}
	node->retained = message_ref(m);
	b->stats.retained++;
	return true;
}

bool retain_message(struct broker *b, struct message *m)
{
	struct node *node = tree_find(&b->retained, message_topic(m));

	switch (retained_by_fault(b, m, node)) {
	case RETAIN_NOTHING:
		break;
	case RETAIN_FORGET:	/* [MQTT-3.3.1-10] [5 MQTT-3.3.1-6] */
		if (node && node->retained)
			forget(b, node);
		break;
	case RETAIN_STORE:
		return store(b, m);
	}
	return true;
}

void retained_deliver(struct session *session, const struct subscription *s, struct span filter)
{
	struct broker *b = session->broker;
	struct node *next;

	for (struct node *node = tree_covered(&b->retained, filter); node; node = next) {
		struct message *m = node->retained;
		unsigned qos = s->options & SUBSCRIBE_QOS;

		next = node->next_match;
		if (message_expired(m, b->now_ns) && !effect_set(b, session->version, MESSAGE_NEVER_EXPIRES)) {
			forget(b, node);
			continue;
		}
		if (b->broken && !matched_by_fault(b, s->node, message_topic(m), session->version))
			continue;
		if (s->options & SUBSCRIBE_NO_LOCAL && span_equal(session_id(session), message_publisher(m)))
			continue;
		if (session->link->out.len >= b->config.max_output && session->n_kept >= b->config.max_queued_per_session)
			break;			/* neither sent nor queued: spare us the rest */
		if (m->qos < qos)
			qos = m->qos;
		if (effect_set(b, session->version, RETAINED_QOS0))
			qos = 0;
		deliver(session, m, qos, !effect_set(b, session->version, RETAINED_FLAG_CLEARED),	/* [MQTT-3.3.1-8] */
		        &s->identifier, s->identifier != 0, NULL);
	}
}

void retained_release(struct broker *b)
{
	for (size_t i = 0; i < b->retained.nodes.cap; i++) {
		for (struct entry *e = b->retained.nodes.buckets[i]; e; e = e->next) {
			struct node *node = (struct node *)e;

			message_unref(b, node->retained);
			node->retained = NULL;
		}
	}
}
