#include "harness/monitor_internal.h"

#include "codec/fields.h"

/* Topic aliases: each direction of a connection has its own. */

#define MAX_ALIAS_TEXT (1u << 20)	/* per connection */

struct alias {				/* of theirs */
	uint8_t *text;			/* the topic; NULL for one that is not mapped */
	uint16_t len;
};

struct monitor_aliases {
	uint64_t ours;			/* of 1 to 64: which are mapped */
	uint32_t cap, bytes;
	struct alias at[];		/* alias 1 first */
};

static size_t aliases_size(uint32_t cap)
{
	return sizeof(struct monitor_aliases) + cap * sizeof(struct alias);
}

/* Room for theirs up to that number; 0 for ours alone. False: there is none. */
static bool make_room(struct monitor *m, uint16_t number)
{
	uint32_t cap = m->aliases ? m->aliases->cap : 0;
	struct monitor_aliases *larger;

	if (m->aliases && number <= cap)
		return true;
	while (cap < number)
		cap = cap ? cap * 2 : 1;
	larger = monitor_pool_take(m->world, aliases_size(cap));
	if (!larger)
		return false;
	if (m->aliases) {
		memcpy(larger, m->aliases, aliases_size(m->aliases->cap));
		monitor_pool_give(m->world, m->aliases, aliases_size(m->aliases->cap));
	}
	larger->cap = cap;
	m->aliases = larger;
	return true;
}

/* ---- ours ---- */

bool monitor_aliases_are_proper(struct monitor *m, const struct packet *p)
{
	struct value value;
	uint64_t bit;

	if (!p->properties.len || !property_find(p->properties, PROP_topic_alias, &value))
		return true;
	if (m->state == CONNECTED && (!value.number || value.number > m->topic_alias_maximum))
		return false;
	if (value.number > 64)
		return true;
	bit = 1ull << ((value.number - 1) & 63);
	if (!p->topic.len)
		return m->aliases && m->aliases->ours & bit;
	if (!make_room(m, 0))
		return false;		/* what it is mapped to would be unknown later: nothing is judged from here on */
	m->aliases->ours |= bit;
	return true;
}

/* ---- theirs ---- */

static uint8_t no_text[1];		/* an empty topic's: mapped, though it takes no room */

static void alias_drop(struct monitor *m, struct alias *alias)
{
	if (alias->text && alias->text != no_text)
		monitor_pool_give(m->world, alias->text, alias->len);
	*alias = (struct alias){ 0 };
}

void monitor_aliases_free(struct monitor *m)
{
	if (!m->aliases)
		return;
	for (uint32_t i = 0; i < m->aliases->cap; i++)
		alias_drop(m, &m->aliases->at[i]);
	monitor_pool_give(m->world, m->aliases, aliases_size(m->aliases->cap));
	m->aliases = NULL;
}

static void alias_map(struct monitor *m, uint16_t number, struct span topic)
{
	struct alias *alias = make_room(m, number) ? &m->aliases->at[number - 1] : NULL;

	if (alias) {
		m->aliases->bytes -= alias->len;
		alias_drop(m, alias);
	}
	if (!alias || m->aliases->bytes + topic.len > MAX_ALIAS_TEXT ||
	    !(alias->text = topic.len ? monitor_pool_take(m->world, topic.len) : no_text)) {
		m->bits |= ALIASES_LOST;
		return;
	}
	if (topic.len)
		memcpy(alias->text, topic.at, topic.len);
	alias->len = (uint16_t)topic.len;
	m->aliases->bytes += alias->len;
}

bool monitor_alias_resolve(struct seen *seen, struct span *topic)
{
	struct monitor *m = seen->m;
	struct value value;
	uint16_t number;

	if (!is_5(m))
		return true;
	if (!seen->packet->properties.len || !property_find(seen->packet->properties, PROP_topic_alias, &value)) {
		if (!m->own_topic_alias_maximum)
			monitor_hold(m, ROW_ALIAS_NONE);
		return true;
	}
	number = (uint16_t)value.number;
	if (!m->own_topic_alias_maximum) {
		monitor_violate(seen, ROW_ALIAS_NONE, seen->packet->properties.at, "topic_alias",
		                "Topic Alias %u, but CONNECT allowed none", number);
		return topic->len > 0;
	}
	if (!number || number > m->own_topic_alias_maximum) {
		if (number)
			monitor_violate(seen, ROW_ALIAS_MAXIMUM, seen->packet->properties.at, "topic_alias",
			        "Topic Alias %u, Topic Alias Maximum is %u", number, m->own_topic_alias_maximum);
		return topic->len > 0;
	}
	monitor_hold(m, ROW_ALIAS_MAXIMUM);
	if (topic->len) {
		alias_map(m, number, *topic);
		return true;
	}
	if (m->aliases && number <= m->aliases->cap && m->aliases->at[number - 1].text) {
		const struct alias *alias = &m->aliases->at[number - 1];

		monitor_hold(m, ROW_ALIAS_KNOWN);
		*topic = span_of(alias->text, alias->len);
		return true;
	}
	if (!(m->bits & ALIASES_LOST))
		monitor_violate(seen, m->bits & RESUMED ? ROW_ALIAS_CARRIED : ROW_ALIAS_KNOWN, seen->packet->properties.at, "topic_alias",
		        "an empty topic with Topic Alias %u, which was not mapped on this connection", number);
	return false;
}

bool monitor_topic(const struct monitor *m, const struct packet *packet, struct span *topic)
{
	const struct alias *alias;
	struct value value;

	*topic = packet->topic;
	if (topic->len)
		return true;
	if (!m->aliases || !packet->properties.len || !property_find(packet->properties, PROP_topic_alias, &value) || !value.number || value.number > m->aliases->cap)
		return false;
	alias = &m->aliases->at[value.number - 1];
	*topic = span_of(alias->text, alias->len);
	return alias->text != NULL;
}
