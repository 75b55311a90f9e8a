#include "codec/codec.h"

/* What most packets look like, read without tables. */

/* Whether one of eight bytes is `byte`. */
static inline bool one_is(uint64_t eight, uint8_t byte)
{
	uint64_t x = eight ^ 0x0101010101010101u * byte;

	return (x - 0x0101010101010101u) & ~x & 0x8080808080808080u;
}

static inline bool eight_are_plain(const uint8_t *at)
{
	uint64_t eight;

	memcpy(&eight, at, 8);
	return !(eight & 0x8080808080808080u) && !one_is(eight, 0) && !one_is(eight, '+') && !one_is(eight, '#');
}

/* ASCII, neither empty nor with what no topic name holds. */
static bool topic_is_plain(const uint8_t *at, size_t len)
{
	const uint8_t *end = at + len;

	if (len < 8) {
		for (; at < end; at++)
			if (*at & 0x80 || !*at || *at == '+' || *at == '#')
				return false;
		return len > 0;
	}
	for (; end - at > 8; at += 8)
		if (!eight_are_plain(at))
			return false;
	return eight_are_plain(end - 8);
}

/* A memset of known size is a slow `rep stos` to gcc: hide the size. */
static void clear(struct packet *p)
{
	size_t size = sizeof(*p);

	__asm__("" : "+r"(size));
	memset(p, 0, size);
}

static bool publish(const uint8_t *buf, size_t len, bool five, struct packet *packet)
{
	unsigned qos = buf[0] >> PUBLISH_QOS_SHIFT & 3;
	size_t at = 1, topic_len, remaining = 0;
	uint16_t id = 0;

	if (qos == 3 || (buf[0] & PUBLISH_DUP && !qos))
		return false;
	for (unsigned shift = 0; at < len && at < 5; shift += 7) {
		remaining |= (size_t)(buf[at] & 0x7f) << shift;
		if (!(buf[at++] & 0x80))
			break;
	}
	if (buf[at - 1] & 0x80 || remaining != len - at || remaining < 2u + 2 * !!qos + five)
		return false;
	topic_len = (size_t)buf[at] << 8 | buf[at + 1];
	if (topic_len > remaining - 2 - 2 * !!qos - five || !topic_is_plain(buf + at + 2, topic_len))
		return false;
	const uint8_t *behind = buf + at + 2 + topic_len;
	if (qos) {
		id = (uint16_t)(behind[0] << 8 | behind[1]);
		behind += 2;
		if (!id)
			return false;
	}
	if (five && *behind++)
		return false;		/* properties */
	clear(packet);
	packet->type = PUBLISH;
	packet->flags = buf[0] & 0xf;
	packet->packet_id = id;
	packet->topic = span_of(buf + at + 2, topic_len);
	packet->payload = span_of(behind, (size_t)(buf + len - behind));
	if (five)
		packet->properties = span_of(behind, 0);
	return true;
}

bool decode_plain(const uint8_t *buf, size_t len, enum version version, struct packet *packet)
{
	if (len >= 4 && buf[0] >> 4 == PUBLISH) {
		if (!publish(buf, len, version == MQTT_5, packet))
			return false;
	} else if (len == 4 && buf[1] == 2 && (buf[0] == PUBACK << 4 || buf[0] == PUBREC << 4 || buf[0] == (PUBREL << 4 | 2) || buf[0] == PUBCOMP << 4) &&
	           (buf[2] | buf[3])) {
		clear(packet);
		packet->type = buf[0] >> 4;
		packet->flags = buf[0] & 0xf;
		packet->packet_id = (uint16_t)(buf[2] << 8 | buf[3]);
	} else {
		return false;
	}
	packet->version = (uint8_t)version;
	return true;
}
