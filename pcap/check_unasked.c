#include "pcap/check_internal.h"

#include <stdio.h>
#include <stdlib.h>

#include "codec/text.h"

/*
 * Messages that no subscription of the client's asks for, in a session that was seen whole. A server may subscribe clients by
 * itself (4.5, not normative), so none breaks a rule; but whoever reads the capture wants to know. They are counted by
 * connection and first level of the topic, and said when the connection ends.
 */

enum {
	MOST_PREFIXES = 4,		/* told apart on one connection */
	MAX_TOPIC = 48,			/* bytes of a topic that are kept */
};

struct unasked {
	struct {
		uint64_t n;		/* messages; 0: free */
		struct when first;
		uint8_t len, prefix;	/* bytes of the first one's topic, and of its first level with the separator */
		bool cut;
		uint8_t topic[MAX_TOPIC];
	} of[MOST_PREFIXES];
	uint64_t others;
};

static size_t prefix_of(struct span topic)
{
	const uint8_t *slash = topic.len ? memchr(topic.at, '/', topic.len) : NULL;
	size_t len = slash ? (size_t)(slash - topic.at) + 1 : topic.len;

	return len < MAX_TOPIC ? len : MAX_TOPIC;
}

void unasked_count(struct unasked **list, struct span topic, const struct when *when)
{
	size_t prefix = prefix_of(topic), i = 0;
	struct unasked *u = *list ? *list : calloc(1, sizeof(*u));

	if (!(*list = u))
		return;			/* a note less */
	while (i < MOST_PREFIXES && u->of[i].n && (u->of[i].prefix != prefix || memcmp(u->of[i].topic, topic.at, prefix) != 0))
		i++;
	if (i == MOST_PREFIXES) {
		u->others++;
		return;
	}
	if (u->of[i].n++)
		return;
	u->of[i].first = *when;
	u->of[i].prefix = (uint8_t)prefix;
	u->of[i].len = (uint8_t)(topic.len < MAX_TOPIC ? topic.len : MAX_TOPIC);
	u->of[i].cut = topic.len > MAX_TOPIC;
	if (topic.len)
		memcpy(u->of[i].topic, topic.at, u->of[i].len);
}

void unasked_say(struct check *check, struct unasked *u, enum version version)
{
	const char *v = version == MQTT_5 ? "5" : "3.1.1";
	char topic[MAX_TOPIC * 8 + 8], text[MAX_TOPIC * 8 + 320], dollar[40];

	for (size_t i = 0; u && i < MOST_PREFIXES && u->of[i].n; i++) {
		struct writer w = writer_to(topic, sizeof(topic));

		text_print_string(span_of(u->of[i].topic, u->of[i].len), &w);
		snprintf(dollar, sizeof(dollar), " or %s:MQTT-4.7.2-1", v);
		snprintf(text, sizeof(text), "%llu message%s that no subscription seen here asks for, %s%.*s%s: "
		         "the broker subscribed c%u by itself, or breaks %s:MQTT-3.3.2-3%s", (unsigned long long)u->of[i].n,
		         u->of[i].n == 1 ? "" : "s", u->of[i].n == 1 ? "" : "the first of them ",
		         (int)(wr_fits(&w) ? w.len : sizeof(topic)), topic, u->of[i].cut ? "..." : "",
		         check->conversation->number, v, u->of[i].len && u->of[i].topic[0] == '$' ? dollar : "");
		check->when = u->of[i].first;
		check_note(check, text);
	}
	if (u && u->others) {
		snprintf(text, sizeof(text), "%llu more message%s on other topics that no subscription seen here asks for",
		         (unsigned long long)u->others, u->others == 1 ? "" : "s");
		check_note(check, text);
	}
	free(u);
}
