#ifndef PCAP_TESTS_SEEN_SCRIPT_H
#define PCAP_TESTS_SEEN_SCRIPT_H

#include "codec/text.h"
#include "pcap/tests/seen.h"

/*
 * What an observer is told, as text, a line each; frames are the lines' numbers, times in milliseconds:
 *     0 c1 opens 5                      of version 5; "opens 3.1.1 unseen": its CONNECT was not captured; "opens 5 at 1884": the broker's port
 *     5 c1 -> CONNECT client_id="a"     in the notation
 *     5 c1 <- CONNACK session_present=0
 *     9 c1 hole broker                  something of the broker's is missing
 *     9 c1 closed client                by FIN; "closed client reset"
 *     9 c1 ends fin                     or reset, replaced, forgotten, capture
 * What is open at the end ends with the capture, at the last line's time.
 */

enum { SCRIPT_CONVERSATIONS = 10 };	/* c1 to c9 */

struct seen_script {
	struct observer *observer;
	struct conversation conversations[SCRIPT_CONVERSATIONS];
	bool open[SCRIPT_CONVERSATIONS];
	struct when now;
};

static inline void script_end(struct seen_script *s, struct conversation *c, enum conversation_end how)
{
	if (s->observer->ops->ended)
		s->observer->ops->ended(s->observer, c, how, &s->now);
	s->open[c->number] = false;
}

static inline void script_packet(struct seen_script *s, struct conversation *c, enum sender from, const char *text)
{
	uint8_t room[8192], bytes[8192];
	struct arena arena;
	struct builder builder;
	struct fault fault;
	struct writer w = writer_to(bytes, sizeof(bytes));

	arena_init(&arena, room, sizeof(room));
	if (packet_parse(span_text(text), c->version, &arena, &builder, &fault) != CODEC_OK || builder_encode(&builder, &w) != CODEC_OK) {
		fprintf(stderr, "line %llu: not a packet: %s\n", (unsigned long long)s->now.frame, text);
		abort();
	}
	struct seen_packet seen = seen_packet(c, from, wr_span(&w), s->now);
	if (seen.packet.type == CONNECT && !c->client_id.at && seen.packet.client_id.len)
		c->client_id = span_of(memcpy(malloc(seen.packet.client_id.len), seen.packet.client_id.at, seen.packet.client_id.len), seen.packet.client_id.len);
	s->observer->ops->packet(s->observer, &seen);
}

static inline void script_open(struct seen_script *s, struct conversation *c, const char *rest)
{
	unsigned number = (unsigned)(c - s->conversations);

	free((void *)(uintptr_t)c->client_id.at);
	*c = seen_conversation(number, strstr(rest, "3.1.1") ? MQTT_3_1_1 : strstr(rest, "3.1") ? MQTT_3_1 : MQTT_5);
	c->client.port = (uint16_t)(c->client.port + number);
	if (strstr(rest, "at "))
		c->broker.port = (uint16_t)atoi(strstr(rest, "at ") + 3);
	c->from_start = c->version_known = !strstr(rest, "unseen");
	c->first = s->now;
	s->open[number] = true;
	if (s->observer->ops->opened)
		s->observer->ops->opened(s->observer, c, &s->now);
}

static inline void script_line(struct seen_script *s, const char *line)
{
	static const char *const ends[] = { [ENDED_BY_FIN] = "fin", [ENDED_BY_RESET] = "reset", [ENDED_REPLACED] = "replaced",
	                                    [ENDED_FORGOTTEN] = "forgotten", [ENDED_WITH_CAPTURE] = "capture" };
	unsigned ms, number;
	char verb[16];
	int at = 0;

	if (sscanf(line, "%u c%u %15s %n", &ms, &number, verb, &at) < 3 || !number || number >= SCRIPT_CONVERSATIONS)
		abort();
	const char *rest = line + at;
	struct conversation *c = &s->conversations[number];
	s->now = seen_at(s->now.frame + 1, ms * UINT64_C(1000000));
	if (!strcmp(verb, "opens")) {
		script_open(s, c, rest);
	} else if (!strcmp(verb, "->") || !strcmp(verb, "<-")) {
		script_packet(s, c, verb[0] == '-' ? FROM_CLIENT : FROM_SERVER, rest);
	} else if (!strcmp(verb, "hole")) {
		struct hole hole = { .from = rest[0] == 'c' ? FROM_CLIENT : FROM_SERVER, .bytes = 10, .when = s->now };

		c->holed = true;
		if (s->observer->ops->hole)
			s->observer->ops->hole(s->observer, c, &hole);
	} else if (!strcmp(verb, "closed")) {
		if (s->observer->ops->closed)
			s->observer->ops->closed(s->observer, c, rest[0] == 'c' ? FROM_CLIENT : FROM_SERVER, strstr(rest, "reset"), &s->now);
	} else if (!strcmp(verb, "ends")) {
		for (unsigned i = 0; i <= ENDED_WITH_CAPTURE; i++)
			if (!strcmp(rest, ends[i]))
				script_end(s, c, i);
	} else {
		abort();
	}
}

static inline void script_start(struct seen_script *s, struct observer *observer)
{
	struct when start = seen_at(1, 0);

	*s = (struct seen_script){ .observer = observer };
	observer->slot = 3;
	if (observer->ops->started)
		observer->ops->started(observer, &start);
}

static inline void script_finish(struct seen_script *s)
{
	for (unsigned i = 0; i < SCRIPT_CONVERSATIONS; i++) {
		if (s->open[i])
			script_end(s, &s->conversations[i], ENDED_WITH_CAPTURE);
		free((void *)(uintptr_t)s->conversations[i].client_id.at);
	}
	s->observer->ops->finish(s->observer, &s->now);
}

/* Plays a script whose lines end in newlines. */
static inline void script_play(struct observer *observer, const char *text)
{
	struct seen_script s;
	char line[2048];

	script_start(&s, observer);
	for (const char *at = text, *end; *at; at = end + 1) {
		end = strchr(at, '\n');
		assert(end && (size_t)(end - at) < sizeof(line));
		memcpy(line, at, (size_t)(end - at));
		line[end - at] = 0;
		script_line(&s, line);
	}
	script_finish(&s);
}

/* n events at random, the same each time, with hours of pauses: nothing that a client or a broker would do in that order. */
static inline void script_anything(struct observer *observer, unsigned n)
{
	static const char *const events[] = {
		"-> PUBLISH topic=\"a/b\" payload=\"1\"", "-> PUBLISH topic=\"a/b\" payload=\"2\"", "-> PUBLISH topic=\"a/c\" retain payload=\"1\"",
		"-> PUBLISH topic=\"a/b\" qos=1 packet_id=1 payload=\"1\"", "-> PUBLISH topic=\"a/b\" dup qos=1 packet_id=1 payload=\"1\"",
		"-> PUBLISH topic=\"b\" qos=2 packet_id=2 payload=\"1\"", "<- PUBACK packet_id=1", "<- PUBACK packet_id=1 reason=0x87", "-> PUBREL packet_id=2",
		"<- PUBREC packet_id=2", "<- PUBREC packet_id=2 reason=0x97", "<- PUBCOMP packet_id=2", "-> PUBACK packet_id=3", "-> PUBREC packet_id=4", "<- PUBREL packet_id=4",
		"-> PUBCOMP packet_id=4",
		"<- PUBLISH topic=\"a/b\" payload=\"1\"", "<- PUBLISH topic=\"a/b\" payload=\"2\"", "<- PUBLISH topic=\"a/b\" qos=1 packet_id=3 payload=\"1\"",
		"<- PUBLISH topic=\"a/b\" dup qos=1 packet_id=3 payload=\"1\"", "<- PUBLISH topic=\"b\" qos=2 packet_id=4 payload=\"1\"", "<- PUBLISH topic=\"a/c\" retain payload=\"1\"",
		"-> SUBSCRIBE packet_id=1 (\"a/+\" qos=2)", "-> SUBSCRIBE packet_id=2 (\"#\" qos=1, \"$share/g/b\" qos=2)", "<- SUBACK packet_id=1 reason=[2]",
		"<- SUBACK packet_id=2 reason=[1 2]", "<- SUBACK packet_id=2 reason=[1 0x80]", "-> UNSUBSCRIBE packet_id=3 (\"a/+\", \"$share/g/b\")",
		"<- UNSUBACK packet_id=3 reason=[0 0]", "-> DISCONNECT", "hole client", "hole broker", "closed client", "closed broker reset",
		"-> CONNECT client_id=\"x\" session_expiry_interval=9", "-> CONNECT clean_start client_id=\"y\"", "-> CONNECT client_id=\"z\" will.topic=\"a/b\" will.payload=\"1\"",
		"<- CONNACK session_present=1 reason=0", "<- CONNACK session_present=0 reason=0", "<- CONNACK session_present=0 reason=0 assigned_client_identifier=\"x\"",
		"<- PUBLISH topic=\"\" topic_alias=3 payload=\"1\"",
	};
	static const char *const ends[] = { "fin", "reset", "replaced", "forgotten" };
	uint64_t x = 88172645463325252u, ms = 0;
	struct seen_script s;
	char line[256];

	script_start(&s, observer);
	for (unsigned i = 0; i < n; i++) {
		x ^= x << 13, x ^= x >> 7, x ^= x << 17;
		unsigned c = 1 + (unsigned)(x >> 20) % (SCRIPT_CONVERSATIONS - 1);

		ms += (x >> 40) % 64 ? (x >> 33) % 5 : 3000;
		if (!s.open[c])
			snprintf(line, sizeof(line), "%llu c%u opens 5", (unsigned long long)ms, c);
		else if ((x >> 50) % 64 == 0)
			snprintf(line, sizeof(line), "%llu c%u ends %s", (unsigned long long)ms, c, ends[x >> 44 & 3]);
		else
			snprintf(line, sizeof(line), "%llu c%u %s", (unsigned long long)ms, c, events[(x >> 10) % (sizeof(events) / sizeof(events[0]))]);
		script_line(&s, line);
	}
	script_finish(&s);
}

#endif
