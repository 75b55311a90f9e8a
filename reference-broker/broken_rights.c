#include "reference-broker/broken.h"

/* What is denied and done all the same. */

void denied_by_fault(struct link *link, const struct packet *p, struct span topic)
{
	struct broker *b = link->broker;
	bool live = broken(link, DENIED_DELIVERED), kept = p->flags & PUBLISH_RETAIN && broken(link, DENIED_RETAINED);
	struct message *m = live || kept ? message_new(b, p, topic, session_id(link->session)) : NULL;

	if (!m)
		return;
	if (kept)
		retain_message(b, m);
	m->retain = false;
	if (live)
		publish_message(b, m, false);
	message_unref(b, m);
}

bool granted_by_fault(const struct link *link, struct span filter, bool shared)
{
	bool wide = filter.len && (memchr(filter.at, '+', filter.len) || memchr(filter.at, '#', filter.len));

	return broken(link, DENIED_GRANTED) || (wide && broken(link, DENIED_BY_NAME_ONLY)) || (shared && broken(link, DENIED_SHARED_GRANTED));
}

bool kept_by_fault(const struct link *link)
{
	return broken(link, DENIED_SUBSCRIBED) || broken(link, DENIED_RETAINED_SENT);
}

bool got_by_fault(const struct session *s, bool retained)
{
	const struct broker *b = s->broker;
	unsigned v = s->version;

	return b->broken && (effect_set(b, v, DENIED_GRANTED) || effect_set(b, v, DENIED_BY_NAME_ONLY) || effect_set(b, v, DENIED_SHARED_GRANTED) ||
	                     effect_set(b, v, retained ? DENIED_RETAINED_SENT : DENIED_SUBSCRIBED));
}
