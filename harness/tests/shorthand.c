#include "harness/tests/shorthand.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "codec/codec.h"

static const struct {
	const char *word;
	uint8_t id, kind;
} property_words[] = {
	{ "expiry", 0x11, U32 }, { "aid", 0x12, STR }, { "ka", 0x13, U16 }, { "method", 0x15, STR }, { "data", 0x16, BIN },
	{ "rpi", 0x17, U8 }, { "rri", 0x19, U8 }, { "ri", 0x1a, STR }, { "rs", 0x1f, STR }, { "rm", 0x21, U16 },
	{ "tam", 0x22, U16 }, { "alias", 0x23, U16 }, { "mq", 0x24, U8 }, { "ra", 0x25, U8 }, { "up", 0x26, PAIR },
	{ "mps", 0x27, U32 }, { "wsa", 0x28, U8 }, { "sia", 0x29, U8 }, { "ssa", 0x2a, U8 }, { "sid", 0x0b, VARINT },
	{ "pfi", 0x01, U8 },
};

static const char *const type_words[N_PACKET_TYPES] = {
	"", "connect", "connack", "pub", "puback", "pubrec", "pubrel", "pubcomp", "sub", "suback", "unsub", "unsuback",
	"ping", "pong", "disconnect", "auth",
};

struct step {
	uint8_t version, type, flags, qos, connect_flags, ack_flags;
	int code;
	unsigned id;
	const char *client_id, *topic, *payload;
	bool overlong, overlong_properties;
	uint8_t properties[512], list[1024];
	struct writer props, items;
};

static void put_string(struct writer *w, const char *s)
{
	wr_u16(w, (unsigned)strlen(s));
	wr_bytes(w, span_of(s, strlen(s)));
}

static bool put_property(struct step *s, const char *word, const char *value)
{
	struct writer *w = &s->props;

	for (size_t i = 0; i < sizeof(property_words) / sizeof(*property_words); i++) {
		if (strcmp(property_words[i].word, word) != 0)
			continue;
		if (s->version < MQTT_5)
			return true;		/* scripts of both versions */
		wr_u8(w, property_words[i].id);
		switch (property_words[i].kind) {
		case U8:
			wr_u8(w, (unsigned)atoi(value));
			break;
		case U16:
			wr_u16(w, (unsigned)atoi(value));
			break;
		case U32:
			wr_u32(w, (uint32_t)strtoul(value, NULL, 10));
			break;
		case VARINT:
			wr_varint(w, (uint32_t)atoi(value));
			break;
		case PAIR:
			put_string(w, "k");
			put_string(w, value);
			break;
		default:
			put_string(w, value);
		}
		return true;
	}
	return false;
}

static void put_filter(struct step *s, char *value)
{
	char *options = strrchr(value, ':');

	if (options)
		*options++ = 0;
	put_string(&s->items, value);
	if (s->type == SUBSCRIBE)
		wr_u8(&s->items, options ? (unsigned)strtoul(options, NULL, 16) : 0);
}

static void read_word(struct step *s, char *word)
{
	char *value = strchr(word, '=');

	if (value)
		*value++ = 0;
	if (!strcmp(word, "clean"))
		s->connect_flags |= 0x02;
	else if (!strcmp(word, "sp"))
		s->ack_flags |= 1;
	else if (!strcmp(word, "dup"))
		s->flags |= 8;
	else if (!strcmp(word, "retain"))
		s->flags |= 1;
	else if (word[0] == 'q' && !value)
		s->qos = (uint8_t)(word[1] - '0');
	else if (!strcmp(word, "id"))
		s->id = (unsigned)atoi(value);
	else if (!strcmp(word, "as"))
		s->client_id = value;
	else if (!strcmp(word, "code"))
		s->code = (int)strtoul(value, NULL, 16);
	else if (!strcmp(word, "t"))
		s->topic = value;
	else if (!strcmp(word, "p"))
		s->payload = value;
	else if (!strcmp(word, "flags"))
		s->flags = (uint8_t)strtoul(value, NULL, 16);
	else if (!strcmp(word, "long"))
		s->overlong = true;
	else if (!strcmp(word, "longprops"))
		s->overlong_properties = true;
	else if (!strcmp(word, "f"))
		put_filter(s, value);
	else if (!strcmp(word, "c"))
		wr_u8(&s->items, (unsigned)strtoul(value, NULL, 16));
	else if (!put_property(s, word, value))
		fail_msg("no such word: %s", word);
}

static void put_properties(struct step *s, struct writer *w)
{
	if (s->version < MQTT_5)
		return;
	if (s->overlong_properties) {
		wr_u8(w, (unsigned)s->props.len | 0x80);
		wr_u8(w, 0);
	} else {
		wr_varint(w, (uint32_t)s->props.len);
	}
	wr_bytes(w, wr_span(&s->props));
}

static void put_body(struct step *s, struct writer *w)
{
	switch (s->type) {
	case CONNECT:
		put_string(w, s->version == MQTT_3_1 ? "MQIsdp" : "MQTT");
		wr_u8(w, s->version);
		wr_u8(w, s->connect_flags);
		wr_u16(w, 60);
		put_properties(s, w);
		put_string(w, s->client_id);
		break;
	case CONNACK:
		wr_u8(w, s->ack_flags);
		wr_u8(w, s->code < 0 ? 0 : (unsigned)s->code);
		put_properties(s, w);
		break;
	case PUBLISH:
		put_string(w, s->topic);
		if (s->qos)
			wr_u16(w, s->id);
		put_properties(s, w);
		wr_text(w, s->payload);
		break;
	case SUBSCRIBE:
	case UNSUBSCRIBE:
	case SUBACK:
		wr_u16(w, s->id);
		put_properties(s, w);
		wr_bytes(w, wr_span(&s->items));
		break;
	case UNSUBACK:
		wr_u16(w, s->id);
		put_properties(s, w);
		if (s->version == MQTT_5)
			wr_bytes(w, wr_span(&s->items));
		break;
	case PINGREQ:
	case PINGRESP:
		break;
	default:
		if (s->type <= PUBCOMP)
			wr_u16(w, s->id);
		if (s->version == MQTT_5 && (s->code >= 0 || s->props.len))
			wr_u8(w, s->code < 0 ? 0 : (unsigned)s->code);
		if (s->version == MQTT_5 && s->props.len)
			put_properties(s, w);
	}
}

size_t shorthand_bytes(char *text, uint8_t version, uint8_t *to, size_t cap)
{
	struct step s = { .version = version, .code = -1, .client_id = "me", .topic = "a/b", .payload = "x", .id = 1 };
	char *at = NULL, *word = strtok_r(text, " ", &at);
	uint8_t body[2048];
	struct writer w = writer_to(body, sizeof(body)), out = writer_to(to, cap);

	s.props = writer_to(s.properties, sizeof(s.properties));
	s.items = writer_to(s.list, sizeof(s.list));
	if (!strncmp(word, "hex=", 4)) {
		for (word += 4; *word; word += 2) {
			unsigned byte;

			sscanf(word, "%2x", &byte);
			wr_u8(&out, byte);
		}
		return out.len;
	}
	for (s.type = CONNECT; s.type < N_PACKET_TYPES && strcmp(type_words[s.type], word) != 0; s.type++)
		;
	if (s.type == N_PACKET_TYPES)
		fail_msg("no such packet: %s", word);
	if (s.type == PUBREL || s.type == SUBSCRIBE || s.type == UNSUBSCRIBE)
		s.flags = 2;
	while ((word = strtok_r(NULL, " ", &at)))
		read_word(&s, word);
	put_body(&s, &w);
	assert_true(wr_fits(&w));
	wr_u8(&out, (unsigned)(s.type << 4 | s.flags | s.qos << 1));
	if (s.overlong) {
		wr_u8(&out, (unsigned)w.len | 0x80);
		wr_u8(&out, 0);
	} else {
		wr_varint(&out, (uint32_t)w.len);
	}
	wr_bytes(&out, wr_span(&w));
	assert_true(wr_fits(&out));
	return out.len;
}
