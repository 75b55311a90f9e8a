#include "reference-broker/broken.h"
#include "reference-broker/internal.h"

/*
 * What a client may do. Asked at each point where something would happen by its wish: a PUBLISH, a filter of a SUBSCRIBE,
 * a will when it comes and when it goes out; and wherever a message is about to be kept for a session or sent to it.
 */

bool client_may(const struct broker *b, struct span user, struct span id, enum act act, struct span topic)
{
	return !b->config.may || b->config.may(b->config.rules, user, id, act, topic);
}

bool session_may(const struct session *s, enum act act, struct span topic)
{
	struct span user = { 0 };

	if (s->owned)
		user = span_of(s->id + s->id_len, s->owner_len);
	return client_may(s->broker, user, session_id(s), act, topic);
}

bool session_may_get(const struct session *s, const struct message *m, bool retained)
{
	return session_may(s, ACT_SUBSCRIBE, message_topic(m)) || got_by_fault(s, retained);
}
