#include <string.h>

#include "codec/fields.h"
#include "codec/topic.h"
#include "harness/dues_internal.h"

/* Where messages go that ought not to go there: back to who published them, to wildcards that do not match, to several members of a share. */

/* What a filter asks for by its wildcards, share or not. */
static struct span plain_filter(const char *text, bool *shared)
{
	struct span filter = span_text(text), group, plain;

	*shared = share_split(filter, &group, &plain);
	return *shared ? plain : filter;
}

static bool matches(struct span filter, struct span topic)
{
	return topic_filter_valid(filter) && topic_matches(filter, topic);
}

/* Before 5 a filter that begins with $share/ may be as good as any other. */
static bool asks_for(const struct subscription *sub, struct span topic, bool *shared)
{
	return matches(plain_filter(sub->filter, shared), topic) || matches(span_text(sub->filter), topic);
}

/* ---- No Local ---- */

bool dues_withholds(const struct dues *d, int s, struct span topic)
{
	bool some = false, shared;

	for (unsigned i = 0; i < d->n_subscriptions; i++) {
		const struct subscription *sub = &d->subscriptions[i];

		if (sub->session != s || !asks_for(sub, topic, &shared))
			continue;
		if (shared || !sub->no_local)
			return false;
		some = true;
	}
	return some && !d->sessions[s].unknown && !d->sessions[s].spoilt;
}

/* All that look like it are kept from who published them, and that is this session. */
static const struct message *came_back(const struct dues *d, int s, uint64_t hash)
{
	const struct message *back = NULL;

	for (unsigned i = 0; i < d->n_messages; i++) {
		const struct message *m = &d->messages[i];

		if (m->hash != hash)
			continue;
		if (!m->withheld || m->publisher != s)
			return NULL;
		back = m;
	}
	return back;
}

/* ---- topics that begin with $ ---- */

/* It comes by a wildcard in the first level, and nothing else that was asked for has it. */
static bool leaks(const struct dues *d, int s, struct span topic)
{
	char other[TEXT];
	bool some = false, shared;

	if (topic.len >= TEXT || topic.at[0] != '$' || d->sessions[s].unknown || d->sessions[s].spoilt)
		return false;
	memcpy(other, topic.at, topic.len);
	other[0] = 'x';
	for (unsigned i = 0; i < d->n_subscriptions; i++) {
		const struct subscription *sub = &d->subscriptions[i];
		struct span filter = plain_filter(sub->filter, &shared);

		if (sub->session != s)
			continue;
		if (asks_for(sub, topic, &shared))
			return false;
		some |= filter.len && (filter.at[0] == '+' || filter.at[0] == '#') && (is_5(d->sessions[s].version) || !shared) && matches(filter, span_of(other, topic.len));
	}
	return some;
}

/* ---- shares ---- */

/* The one share by which it comes to this session. NULL: there are others, or it cannot be said. */
static const struct subscription *only_share(const struct dues *d, int s, struct span topic)
{
	const struct subscription *only = NULL;
	bool shared;

	for (unsigned i = 0; i < d->n_subscriptions; i++) {
		const struct subscription *sub = &d->subscriptions[i];

		if (sub->session != s || !asks_for(sub, topic, &shared))
			continue;
		if (only || !shared)
			return NULL;
		only = sub;
	}
	return d->sessions[s].unknown || d->sessions[s].spoilt ? NULL : only;
}

/*
 * What came at QoS 0 is with that member for good: no lost connection, and no acknowledgement, sends it to another.
 */
static const struct message *is_shared_twice(struct dues *d, int s, uint64_t hash, struct span topic)
{
	const struct subscription *share = only_share(d, s, topic);
	struct message *m = NULL;

	for (unsigned i = 0; i < d->n_messages; i++)
		if (d->messages[i].hash == hash)
			m = &d->messages[i];
	if (!m || !m->single)
		return NULL;
	if (!share)			/* it may have come by another subscription */
		return NULL;
	if (m->shared_to && strcmp(m->share, share->filter)) {
		m->single = false;
		return NULL;
	}
	memcpy(m->share, share->filter, sizeof(m->share));
	m->shared_to |= 1u << s;
	return m->shared_to & ~(1u << s) ? m : NULL;
}

/* ---- the whole ---- */

bool dues_routed(struct dues *d, unsigned client, int s, const struct packet *p, struct span topic, struct due_breach *b)
{
	uint8_t version = d->sessions[s].version;
	char name[TEXT];
	const struct message *m;
	uint64_t hash;

	if (!topic.len || !dues_keep_text(name, topic))
		return true;
	if (leaks(d, s, topic))
		return dues_tell(b, version, "MQTT-4.7.2-1", "MQTT-4.7.2-1", client, "a wildcard in the first level had a topic that begins with $", name);
	hash = dues_hash_of(topic, p->payload);
	dues_will_came(d, s, hash);
	if (p->flags & PUBLISH_RETAIN || !is_5(version) || d->murky || d->full || d->sessions[s].spoilt || dues_is_will(d, hash))
		return true;
	if ((m = came_back(d, s, hash)))
		return dues_tell(b, version, NULL, "MQTT-3.8.3-3", client, "a message came back to its publisher in spite of No Local", name);
	if (!publish_qos(p) && (m = is_shared_twice(d, s, hash, topic)))
		return dues_tell(b, version, NULL, "shared-one-member", client, "a message came to two members of a shared subscription", name);
	return true;
}
