#include "pcap/mqtt_parts.h"

#include "codec/fields.h"
#include "codec/reader.h"
#include "codec/topic.h"

#include <stdlib.h>

/* What bytes tell about themselves: whether they are a packet, of which version, by whom. */

/* ---- may a packet begin here ---- */

/* Whom a type may come from, and how long its remaining length is, in 3.1.1 and in 5. */
static const struct kind_of {
	uint8_t by[2], flags;
	uint8_t least[2];
	uint32_t most[2];
} kinds[16] = {
#define ANY_LENGTH VARINT_MAX
	[CONNECT]     = { { FROM_CLIENT, FROM_CLIENT }, 0, { 12, 13 }, { ANY_LENGTH, ANY_LENGTH } },
	[CONNACK]     = { { FROM_SERVER, FROM_SERVER }, 0, { 2, 3 }, { 2, ANY_LENGTH } },
	[PUBLISH]     = { { FROM_EITHER, FROM_EITHER }, 0, { 3, 4 }, { ANY_LENGTH, ANY_LENGTH } },
	[PUBACK]      = { { FROM_EITHER, FROM_EITHER }, 0, { 2, 2 }, { 2, ANY_LENGTH } },
	[PUBREC]      = { { FROM_EITHER, FROM_EITHER }, 0, { 2, 2 }, { 2, ANY_LENGTH } },
	[PUBREL]      = { { FROM_EITHER, FROM_EITHER }, 2, { 2, 2 }, { 2, ANY_LENGTH } },
	[PUBCOMP]     = { { FROM_EITHER, FROM_EITHER }, 0, { 2, 2 }, { 2, ANY_LENGTH } },
	[SUBSCRIBE]   = { { FROM_CLIENT, FROM_CLIENT }, 2, { 6, 7 }, { ANY_LENGTH, ANY_LENGTH } },
	[SUBACK]      = { { FROM_SERVER, FROM_SERVER }, 0, { 3, 4 }, { ANY_LENGTH, ANY_LENGTH } },
	[UNSUBSCRIBE] = { { FROM_CLIENT, FROM_CLIENT }, 2, { 5, 6 }, { ANY_LENGTH, ANY_LENGTH } },
	[UNSUBACK]    = { { FROM_SERVER, FROM_SERVER }, 0, { 2, 4 }, { 2, ANY_LENGTH } },
	[PINGREQ]     = { { FROM_CLIENT, FROM_CLIENT }, 0, { 0, 0 }, { 0, 0 } },
	[PINGRESP]    = { { FROM_SERVER, FROM_SERVER }, 0, { 0, 0 }, { 0, 0 } },
	[DISCONNECT]  = { { FROM_CLIENT, FROM_EITHER }, 0, { 0, 0 }, { 0, ANY_LENGTH } },
	[AUTH]        = { { 0, FROM_EITHER }, 0, { 0, 0 }, { 0, ANY_LENGTH } },
};

static bool first_byte_fits(uint8_t first, bool five, enum sender from)
{
	const struct kind_of *k = &kinds[first >> 4];
	unsigned flags = first & 0xf;

	if (!(k->by[five] & from))
		return false;
	if (first >> 4 == PUBLISH)
		return (flags & 6) != 6 && !(flags & PUBLISH_DUP && !(flags & 6));
	return flags == k->flags;
}

/* Characters that a topic is usually made of are evidence; U+0001 and its like, though allowed, speak against it. */
static unsigned topic_bits(struct span topic, size_t whole_len)
{
	int n = 0;

	for (size_t i = 0; i < topic.len && i < 16; i++)
		n += topic.at[i] >= ' ' && topic.at[i] < 0x7f ? 1 : topic.at[i] < 0x80 ? -3 : 0;
	return (n > 8 ? 8 : n > 0 ? (unsigned)n : 0) + (whole_len < 256 ? 8 : 0);
}

uint16_t mqtt_topic_hash(struct span topic)
{
	uint64_t front = 0, back = 0;
	size_t n = topic.len < 8 ? topic.len : 8;

	if (n) {
		memcpy(&front, topic.at, n);
		memcpy(&back, topic.at + topic.len - n, n);
	}
	uint64_t h = (front ^ topic.len) * UINT64_C(0x9e3779b97f4a7c15) ^ back * UINT64_C(0xc2b2ae3d27d4eb4f);
	return (uint16_t)(h >> 48) | 1;
}

static bool topic_seen(const struct lane *lane, struct span topic)
{
	uint16_t hash = mqtt_topic_hash(topic);

	return lane && lane->topics[hash >> 1 & (N_TOPICS - 1)] == hash;
}

static bool id_waits(const struct lane *other, unsigned id)
{
	return other && id && other->ids[id & (N_IDS - 1)] == id;
}

static unsigned ack_bits(const struct packet *p, const struct lane *other)
{
	return 14 + (p->written ? 4u : 0) + (id_waits(other, p->packet_id) ? 10u : 0);
}

/* How unlikely these bytes are if they are not this packet. */
static unsigned packet_bits(const struct packet *p, const struct lane *lane, const struct lane *other)
{
	unsigned properties = p->version == MQTT_5 ? p->properties.len > 9 ? 9 : (unsigned)p->properties.len : 0;

	switch (p->type) {
	case CONNECT: return 64;
	case CONNACK: return 18 + properties;
	case PUBLISH:
		/* [5 3.3.2.3] a property length that fits is something, too */
		return 4 + topic_bits(p->topic, p->topic.len) + (p->version == MQTT_5 ? 2 : 0) + properties + (topic_seen(lane, p->topic) ? 12 : 0);
	case PUBACK: case PUBREC: case PUBREL: case PUBCOMP: return ack_bits(p, other);
	case SUBACK: case UNSUBACK: return ack_bits(p, other) + properties + (p->list.len < 2 ? 4 : 8);
	case SUBSCRIBE: case UNSUBSCRIBE: return 24;
	case AUTH: return 20 + properties;
	default: return 15 + properties;
	}
}

/* The beginning of a PUBLISH of which not all is there. It is asked for again with each segment, so no more of its topic than that is looked at. */
enum { TOPIC_LOOKED_AT = 256 };

static enum look publish_begins(struct span bytes, const struct frame *frame, bool five, const struct lane *lane, struct sight *sight)
{
	size_t at = frame->header_size, remaining = frame->size - at;
	unsigned qos = frame->first >> PUBLISH_QOS_SHIFT & 3;

	if (bytes.len < at + 2)
		return LOOK_WAIT;
	size_t len = (size_t)(bytes.at[at] << 8 | bytes.at[at + 1]);
	if (len + 2 + (qos ? 2u : 0) + five > remaining || (!len && !five))
		return LOOK_DEAD;
	struct span topic = span_of(bytes.at + at + 2, bytes.len - at - 2 < len ? bytes.len - at - 2 : len);
	if (topic.len > TOPIC_LOOKED_AT)
		topic.len = TOPIC_LOOKED_AT;
	for (size_t cut = 0; cut < 3 && topic.len < len && topic.len && topic.at[topic.len - 1] & 0x80; cut++)
		topic.len--;		/* perhaps half a character */
	if (!utf8_valid(topic) || (topic.len && !topic_name_valid(topic)))
		return LOOK_DEAD;
	sight->bits = 4 + topic_bits(topic, len) + (topic.len == len && topic_seen(lane, topic) ? 12 : 0);
	return LOOK_WAIT;
}

enum look mqtt_look_as(struct span bytes, enum version version, enum sender from, uint32_t max_packet,
                       const struct lane *lane, const struct lane *other, struct sight *sight)
{
	bool five = version == MQTT_5;
	struct frame frame;
	struct finding finding;
	struct packet packet;

	*sight = (struct sight){ 0 };
	if (!bytes.len)
		return LOOK_WAIT;
	if (!first_byte_fits(bytes.at[0], five, from))
		return LOOK_DEAD;
	enum frame_status status = frame_next(bytes.at, bytes.len, &frame, &finding);
	if (status == FRAME_BAD || frame.overlong)
		return LOOK_DEAD;
	if (!frame.size)
		return LOOK_WAIT;
	const struct kind_of *k = &kinds[frame.first >> 4];
	size_t remaining = frame.size - frame.header_size;
	if (frame.size > max_packet || remaining < k->least[five] || remaining > k->most[five])
		return LOOK_DEAD;
	if (status == FRAME_MORE) {
		if (frame.first >> 4 == PUBLISH)
			return publish_begins(bytes, &frame, five, lane, sight);
		return frame.size > 4096 ? LOOK_DEAD : LOOK_WAIT;
	}
	sight->size = frame.size;
	if (decode(bytes.at, frame.size, version, &packet, &finding) != CODEC_OK || check(&packet, from, &finding) != CODEC_OK)
		return LOOK_DEAD;
	sight->bits = packet_bits(&packet, lane, other);
	return LOOK_WHOLE;
}

enum look mqtt_look(const struct mqtt_stage *s, unsigned end, struct span bytes, struct sight *sight)
{
	bool one_version = version_settled(s), one_role = s->roles_known;
	enum look best = LOOK_DEAD;

	*sight = (struct sight){ 0 };
	for (unsigned turn = 0; turn < 4; turn++) {
		struct sight this;
		enum version version = turn & 1 ? s->version == MQTT_5 ? MQTT_3_1_1 : MQTT_5 : (enum version)s->version;
		enum sender from = sender_of(s, turn & 2 ? !end : end);

		if ((turn & 1 && one_version) || (turn & 2 && one_role))
			continue;
		enum look seems = mqtt_look_as(bytes, version, from, s->max_packet, &s->lanes[end], &s->lanes[!end], &this);
		if (seems > best || (seems == best && this.bits > sight->bits)) {
			best = seems;
			*sight = this;
		}
	}
	return best;
}

/* ---- judging a packet where something is uncertain ---- */

static bool legal(struct span bytes, enum version version, enum sender from, struct packet *packet)
{
	struct finding finding;

	return decode(bytes.at, bytes.len, version, packet, &finding) == CODEC_OK && check(packet, from, &finding) == CODEC_OK;
}

static bool is_text(struct span s)
{
	for (size_t i = 0; i < s.len; i++)
		if (s.at[i] < '\t' || s.at[i] >= 0x7f)
			return false;
	return s.len > 0;
}

/*
 * What one packet says about the version. A PUBLISH of 5 is always one of 3.1.1 too, with the property length in its payload; the other way
 * round it must begin with a byte that fits by chance, mostly 0: so one that fits both speaks for 5, but many of them do
 * not say more than one, since one application's payloads are alike.
 */
static void vote(struct mqtt_stage *s, bool four, bool five, const struct packet *as_five)
{
	int lean = s->lean;

	if (four != five)
		lean += five ? 20 : -20;
	else if (four && as_five->type == PUBLISH && lean >= 0 && lean < 8)
		lean = as_five->properties.len || is_text(as_five->payload) ? 8 : lean < 5 ? 5 : lean;
	s->lean = (int16_t)(lean > 60 ? 60 : lean < -60 ? -60 : lean);
}

static bool takes_one_side(unsigned type)
{
	return type == CONNACK || (type >= SUBSCRIBE && type <= PINGRESP);
}

/* By which version and whose it is, where that is open; false: legal in none. */
static bool settle(struct mqtt_stage *s, unsigned end, struct span bytes)
{
	enum version other = s->version == MQTT_5 ? MQTT_3_1_1 : MQTT_5;
	bool one_version = s->version_known || s->forced_by_version;
	struct packet now, then;

	for (unsigned turned = 0; turned < (s->roles_known ? 1 : 2); turned++) {
		enum sender from = sender_of(s, turned ? !end : end);
		bool as_now = legal(bytes, s->version, from, &now), as_other = !one_version && legal(bytes, other, from, &then);

		if (!as_now && !as_other)
			continue;
		if (turned)
			mqtt_set_client(s, !s->client, false);
		if (takes_one_side(bytes.at[0] >> 4))
			mqtt_set_client(s, s->client, true);
		if (one_version)
			return true;
		bool five = s->version == MQTT_5;
		vote(s, five ? as_other : as_now, five ? as_now : as_other, five ? &now : &then);
		if ((!five && s->lean >= 5) || (five && s->lean <= -5)) {
			s->version = (uint8_t)other;
			s->conversation->version = other;
			return as_other;
		}
		return as_now;
	}
	return false;
}

bool mqtt_weigh(struct mqtt_stage *s, unsigned end, struct span bytes, struct seen_packet *seen)
{
	struct lane *lane = &s->lanes[end];
	struct packet packet;
	bool good;

	if (bytes.at[0] >> 4 == CONNECT && (!s->roles_known || s->client == end)) {
		good = legal(bytes, s->version, FROM_CLIENT, &packet);
		if (good && s->client != end)
			mqtt_set_client(s, end, false);
	} else {
		good = settle(s, end, bytes);
	}
	seen->status = decode(bytes.at, bytes.len, s->version, &seen->packet, &seen->finding);
	if (seen->status == CODEC_OK)
		lane->bad_in_a_row = 0;
	if (good) {
		unsigned own = packet_bits(&seen->packet, lane, &s->lanes[!end]), counted = own < lane->counted ? own : lane->counted;
		unsigned bits = lane->bits + own - counted;

		lane->counted -= (uint16_t)counted;
		lane->bits = (uint16_t)(bits > 1000 ? 1000 : bits);
		lane->sure = lane->sure || bits >= BITS_SURE;
		return true;
	}
	if (lane->sure)
		return seen->status == CODEC_OK || ++lane->bad_in_a_row < 3;
	if (lane->bits < BITS_FOUND + BITS_BAD)
		return false;
	lane->bits -= BITS_BAD;
	return true;
}

/* ---- what is kept in mind ---- */

/* The first that is said counts, since observers borrow it; but CONNACK's stands in for an empty one. */
static void learn_client_id(struct mqtt_stage *s, struct span id)
{
	struct conversation *c = s->conversation;

	if (c->client_id.len || (c->client_id.at && !id.len) || !mqtt_hold(s, id.len + 1))
		return;
	uint8_t *copy = malloc(id.len + 1);
	if (!copy) {
		mqtt_let_go(s, id.len + 1);
		return;
	}
	if (id.len)
		memcpy(copy, id.at, id.len);
	if (s->client_id)		/* the empty one */
		mqtt_let_go(s, 1);
	free(s->client_id);
	s->client_id = copy;
	c->client_id = span_of(copy, id.len);
}

static void learn_connect(struct mqtt_stage *s, unsigned end, const struct seen_packet *seen)
{
	const struct packet *p = &seen->packet;

	mqtt_set_client(s, end, true);
	if (p->protocol_version >= MQTT_3_1 && p->protocol_version <= MQTT_5) {
		s->version = p->version;
		s->version_known = true;
		s->conversation->version = (enum version)p->version;
		s->conversation->version_known = true;
	}
	for (unsigned i = 0; i < 2; i++)
		mqtt_alias_forget(s, &s->lanes[i].aliases);
	if (seen->status == CODEC_OK)
		learn_client_id(s, p->client_id);
}

static void learn_connack(struct mqtt_stage *s, const struct packet *p)
{
	struct value value;

	if (p->version == MQTT_5 && property_find(p->properties, PROP_assigned_client_identifier, &value))
		learn_client_id(s, value.bytes);
}

static struct span resolve(struct mqtt_stage *s, struct lane *lane, const struct packet *p)
{
	struct value alias;

	if (p->version != MQTT_5 || !p->properties.len || !property_find(p->properties, PROP_topic_alias, &alias))
		return p->topic;
	if (!p->topic.len)
		return mqtt_alias_find(&lane->aliases, (unsigned)alias.number);
	mqtt_alias_set(s, &lane->aliases, (unsigned)alias.number, p->topic);
	return p->topic;
}

void mqtt_learn(struct mqtt_stage *s, unsigned end, struct seen_packet *seen)
{
	struct lane *lane = &s->lanes[end];
	const struct packet *p = &seen->packet;

	seen->topic = span_of(NULL, 0);
	if (p->type == CONNECT && s->client == end)
		learn_connect(s, end, seen);
	if (seen->status != CODEC_OK)
		return;
	switch (p->type) {
	case CONNACK:
		learn_connack(s, p);
		break;
	case PUBLISH:
		seen->topic = resolve(s, lane, p);
		if (p->topic.len) {
			uint16_t hash = mqtt_topic_hash(p->topic);

			lane->topics[hash >> 1 & (N_TOPICS - 1)] = hash;
		}
		if (p->packet_id)
			lane->ids[p->packet_id & (N_IDS - 1)] = p->packet_id;
		break;
	case PUBREC: case PUBREL: case SUBSCRIBE: case UNSUBSCRIBE:
		lane->ids[p->packet_id & (N_IDS - 1)] = p->packet_id;
		break;
	default:
		break;
	}
}

bool mqtt_learn_part(struct mqtt_stage *s, unsigned end, struct span part)
{
	struct reader r = reader_over(part);
	struct value alias;

	uint8_t first = rd_u8(&r);
	rd_varint(&r, NULL);
	if (first >> 4 != PUBLISH)
		return true;
	if (s->version != MQTT_5)
		return version_settled(s);
	struct span topic = rd_binary(&r);
	if (first & 6)
		rd_u16(&r);
	struct span properties = rd_bytes(&r, rd_varint(&r, NULL));
	if (r.why)
		return false;
	if (property_find(properties, PROP_topic_alias, &alias) && topic.len)
		mqtt_alias_set(s, &s->lanes[end].aliases, (unsigned)alias.number, topic);
	return true;
}
