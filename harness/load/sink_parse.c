#include <string.h>

#include "codec/fields.h"
#include "harness/load/sink_internal.h"

/* PUBLISH is read here, as there are millions; all else is codec's. */

static void answer(struct sink *sink, uint8_t first, uint16_t packet_id)
{
	uint8_t *at = sink->out + sink->out_len;

	at[0] = first;
	at[1] = 2;
	at[2] = (uint8_t)(packet_id >> 8);
	at[3] = (uint8_t)packet_id;
	sink->out_len += 4;
}

/* ---- PUBLISH ---- */

static void publish_ends(struct sink_conn *c)
{
	struct sink *sink = c->sink;

	sink->counts.publishes[c->qos]++;
	sink->counts.publish_bytes += c->size;
	if (c->qos)
		answer(sink, c->qos == 1 ? 0x40 : 0x50, c->packet_id);
}

/* The packet as it came, but with QoS 0. */
static void reflect(struct sink_conn *c, const uint8_t *bytes, size_t head, size_t size, size_t topic_len)
{
	struct sink *sink = c->sink;
	uint8_t *at = sink->out + sink->out_len;
	size_t cut = c->qos ? 2 : 0, left = size - head - cut, front = topic_len + 2;

	*at++ = 0x30;
	for (size_t n = left; ; n >>= 7) {
		*at++ = (uint8_t)((n & 127) | (n > 127 ? 128 : 0));
		if (n <= 127)
			break;
	}
	memcpy(at, bytes + head, front);
	memcpy(at + front, bytes + head + front + cut, left - front);
	sink->out_len = (size_t)(at + left - sink->out);
	sink->counts.sent++;
}

/* Used up; 0: more must come first; -1. head and size: of the fixed header, of the whole packet. */
static ssize_t publish(struct sink_conn *c, const uint8_t *bytes, size_t len, size_t head, size_t size)
{
	bool reflects = c->subscribed && c->sink->options.reflect && size <= SINK_WHOLE;
	size_t topic_len, need;

	c->qos = bytes[0] >> 1 & 3;
	if (c->qos == 3 || size < head + 2)
		return -1;
	if (len < head + 2)
		return 0;
	topic_len = (size_t)bytes[head] << 8 | bytes[head + 1];
	need = head + 2 + topic_len + (c->qos ? 2 : 0);
	if (need > size)
		return -1;
	if (len < (reflects ? size : need))
		return 0;
	if (c->qos)
		c->packet_id = (uint16_t)(bytes[need - 2] << 8 | bytes[need - 1]);
	c->size = size;
	if (len < size) {
		c->skip = size - len;
		return (ssize_t)len;
	}
	publish_ends(c);
	if (reflects)
		reflect(c, bytes, head, size, topic_len);
	return (ssize_t)size;
}

/* ---- the others, whole ---- */

static bool on_connect(struct sink_conn *c, const struct packet *p)
{
	static const uint8_t connack[] = { 0x20, 2, 0, 0 }, connack5[] = { 0x20, 3, 0, 0, 0 };
	struct sink *sink = c->sink;
	bool five = p->version == MQTT_5;

	if (c->version)
		return false;
	c->version = p->version;
	c->window = five ? (uint32_t)property_number(p->properties, PROP_receive_maximum, SINK_WINDOW) : SINK_WINDOW;
	c->window = c->window < SINK_WINDOW ? c->window : SINK_WINDOW;
	sink->counts.connects++;
	memcpy(sink->out + sink->out_len, five ? connack5 : connack, five ? sizeof(connack5) : sizeof(connack));
	sink->out_len += five ? sizeof(connack5) : sizeof(connack);
	return true;
}

static void put_length(struct sink *sink, size_t n)
{
	do
		sink->out[sink->out_len++] = (uint8_t)((n & 127) | (n > 127 ? 128 : 0));
	while (n >>= 7);
}

/* SUBACK or UNSUBACK. */
static void on_filters(struct sink_conn *c, const struct packet *p)
{
	struct sink *sink = c->sink;
	bool subscribe = p->type == SUBSCRIBE, five = c->version == MQTT_5;
	struct filter_walk walk = filters_of(p), again = walk;
	struct span filter, first = { 0 };
	uint8_t options = 0, granted = 0;
	size_t n = 0;

	for (; filter_next(&walk, &filter, &options); n++) {
		if (!n) {
			first = filter;
			granted = options & 3;
		}
	}
	sink->out[sink->out_len++] = subscribe ? 0x90 : 0xb0;
	put_length(sink, 2 + five + (subscribe || five ? n : 0));
	sink->out[sink->out_len++] = (uint8_t)(p->packet_id >> 8);
	sink->out[sink->out_len++] = (uint8_t)p->packet_id;
	if (five)
		sink->out[sink->out_len++] = 0;
	while ((subscribe || five) && filter_next(&again, &filter, &options))
		sink->out[sink->out_len++] = subscribe ? options & 3 : 0;
	if (!subscribe)
		return;
	sink->counts.subscribes += n;
	c->subscribed = true;
	sink_start_flood(c, first, granted);
}

static void flood_moves_on(struct sink_conn *c)
{
	if (c->in_flight)
		c->in_flight--;
	sink_wants_flood(c);
}

static bool on_packet(struct sink_conn *c, const struct packet *p)
{
	struct sink *sink = c->sink;

	if (p->type == CONNECT)
		return on_connect(c, p);
	if (!c->version)
		return false;
	switch (p->type) {
	case SUBSCRIBE: case UNSUBSCRIBE:
		on_filters(c, p);
		return true;
	case PINGREQ:
		sink->counts.pings++;
		sink->out[sink->out_len++] = 0xd0;
		sink->out[sink->out_len++] = 0;
		return true;
	case PUBREC:
		sink->counts.acks++;
		if (p->reason < 0x80)
			answer(sink, 0x62, p->packet_id);
		else
			flood_moves_on(c);
		return true;
	case PUBREL:
		sink->counts.acks++;
		answer(sink, 0x70, p->packet_id);
		return true;
	case PUBACK: case PUBCOMP:
		sink->counts.acks++;
		flood_moves_on(c);
		return true;
	default:			/* DISCONNECT, and what only a server sends */
		return false;
	}
}

/* A PUBREL or an acknowledgement in its shortest form: as many as there are PUBLISHes. */
static bool is_short_ack(const uint8_t *bytes, size_t head, size_t size)
{
	return size == 4 && head == 2 && bytes[0] >> 4 >= PUBACK && bytes[0] >> 4 <= PUBCOMP && (bytes[0] & 15) == (bytes[0] >> 4 == PUBREL ? 2 : 0);
}

static ssize_t other(struct sink_conn *c, const uint8_t *bytes, size_t len, size_t head, size_t size)
{
	struct packet packet = { 0 };
	struct finding finding;

	if (size > SINK_WHOLE)
		return -1;
	if (len < size)
		return 0;
	if (is_short_ack(bytes, head, size)) {
		packet.type = bytes[0] >> 4;
		packet.packet_id = (uint16_t)(bytes[2] << 8 | bytes[3]);
	} else if (decode(bytes, size, c->version ? c->version : MQTT_3_1_1, &packet, &finding) != CODEC_OK)
		return -1;
	return on_packet(c, &packet) ? (ssize_t)size : -1;
}

/* Size of the fixed header, *size of the packet; 0: more must come first; -1: no length. */
static int fixed_header(const uint8_t *bytes, size_t len, size_t *size)
{
	size_t left = 0;

	for (unsigned i = 1; i < 5; i++) {
		if (i >= len)
			return 0;
		left |= (size_t)(bytes[i] & 127) << (7 * (i - 1));
		if (bytes[i] < 128) {
			*size = 1 + i + left;
			return (int)i + 1;
		}
	}
	return -1;
}

ssize_t sink_parse(struct sink_conn *c, const uint8_t *bytes, size_t len)
{
	size_t used = 0;

	if (c->skip) {
		used = c->skip < len ? (size_t)c->skip : len;
		c->skip -= used;
		if (c->skip)
			return (ssize_t)used;
		publish_ends(c);
	}
	while (used < len) {
		size_t size = 0;
		int head = fixed_header(bytes + used, len - used, &size);
		ssize_t n = head;

		if (head > 0 && bytes[used] >> 4 == PUBLISH)
			n = c->version ? publish(c, bytes + used, len - used, (size_t)head, size) : -1;
		else if (head > 0)
			n = other(c, bytes + used, len - used, (size_t)head, size);
		if (n < 0)
			return -1;
		if (n == 0)
			break;
		used += (size_t)n;
	}
	return (ssize_t)used;
}
