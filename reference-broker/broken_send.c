#include "reference-broker/broken.h"

#include <stdlib.h>

/* ---- property lists, altered on their way out ---- */

void reverse_user_properties(struct broker *b, uint8_t *list, size_t len)
{
	struct buffer *room = &b->folded;
	struct property_walk walk = properties_of(span_of(list, len));
	struct property p;
	size_t at = len, front = 0;

	room->len = room->start = 0;
	if (!len || !buffer_append(room, span_of(list, len)))
		return;
	walk = properties_of(span_of(room->at, len));
	while (property_next(&walk, &p)) {	/* others to the front, these from the back */
		if (p.id == PROP_user_property) {
			at -= p.size;
			memcpy(list + at, p.at, p.size);
		} else {
			memcpy(list + front, p.at, p.size);
			front += p.size;
		}
	}
}

/* Writes one property as it stands, or as a fault has it. */
static void alter(const struct link *link, struct writer *w, const struct property *p, unsigned *n_user)
{
	struct value v = p->value;
	uint8_t x = 'x';

	switch (p->id) {
	case PROP_payload_format_indicator:
		if (broken(link, FORMAT_DROPPED))
			return;
		break;
	case PROP_user_property:
		if (!(*n_user)++ && broken(link, USER_PROPERTY_DROPPED))
			return;
		break;
	case PROP_response_topic:
	case PROP_content_type:
	case PROP_correlation_data:
		if (!broken(link, p->id == PROP_response_topic ? RESPONSE_TOPIC_ALTERED :
		            p->id == PROP_content_type ? CONTENT_TYPE_ALTERED : CORRELATION_ALTERED))
			break;
		wr_u8(w, p->id);
		wr_u16(w, (unsigned)v.bytes.len + 1);
		wr_bytes(w, v.bytes);
		wr_bytes(w, span_of(&x, 1));
		return;
	}
	wr_bytes(w, span_of(p->at, p->size));
}

static bool alter_properties(struct link *link, struct packet *packet, unsigned alias, bool with_alias)
{
	struct buffer *room = &link->broker->altered;
	struct property_walk walk = properties_of(packet->properties);
	struct property p;
	struct writer w;
	unsigned n_user = 0;

	room->len = room->start = 0;
	if (!buffer_reserve(room, packet->properties.len + 32))
		return false;
	w = writer_to(room->at, room->cap);
	while (property_next(&walk, &p))
		alter(link, &w, &p, &n_user);
	if (with_alias)
		property_write_number(&w, PROP_topic_alias, alias);
	packet->properties = wr_span(&w);
	if (broken(link, USER_PROPERTIES_REVERSED))
		reverse_user_properties(link->broker, room->at, packet->properties.len);
	return true;
}

static void add_property(struct link *link, struct packet *packet, unsigned id, uint64_t number, const char *text)
{
	struct buffer *room = &link->broker->altered;
	struct writer w;

	room->len = room->start = 0;
	if (!buffer_reserve(room, packet->properties.len + 64))
		return;
	w = writer_to(room->at, room->cap);
	wr_bytes(&w, packet->properties);
	if (text)
		property_write_bytes(&w, id, span_text(text));
	else
		property_write_number(&w, id, number);
	packet->properties = wr_span(&w);
	packet->written = WRITTEN_REASON | WRITTEN_PROPERTIES;
}

/* Another value for a property that is there; text NULL: it is left out. */
static void replace_property(struct link *link, struct packet *packet, unsigned id, const char *text)
{
	struct buffer *room = &link->broker->altered;
	struct property_walk walk = properties_of(packet->properties);
	struct property p;
	struct writer w;

	room->len = room->start = 0;
	if (!buffer_reserve(room, packet->properties.len + 64))
		return;
	w = writer_to(room->at, room->cap);
	while (property_next(&walk, &p))
		if (p.id != id)
			wr_bytes(&w, span_of(p.at, p.size));
		else if (text)
			property_write_bytes(&w, id, span_text(text));
	packet->properties = wr_span(&w);
}

uint32_t expiry_by_fault(const struct link *link, const struct message *m, uint32_t life)
{
	return broken(link, EXPIRY_NOT_DECREMENTED) || broken(link, MESSAGE_NEVER_EXPIRES) ? m->expiry_interval : life;
}

/* ---- packet by packet ---- */

static struct span patched(struct link *link, struct span head, struct span tail)
{
	struct buffer *room = &link->broker->folded;

	room->len = room->start = 0;
	if (!buffer_append(room, head) || !buffer_append(room, tail))
		return tail;
	return span_of(room->at, room->len);
}

static bool send_publish(struct link *link, struct packet *p)
{
	static const uint8_t id_311[] = { 0, 1 }, id_5[] = { 1, 0 };
	unsigned qos = publish_qos(p);
	bool unasked = !link->alias_maximum && broken(link, ALIAS_UNASKED);
	bool above = link->alias_maximum && link->alias_maximum < 65535 && broken(link, ALIAS_ABOVE_MAXIMUM);
	bool zero = broken(link, ALIAS_ZERO_SENT);

	if (link->version == MQTT_5)
		alter_properties(link, p, unasked ? 1 : above ? link->alias_maximum + 1u : 0, unasked || above || zero);
	if (qos && broken(link, PUBLISH_ID_ZERO))
		p->packet_id = 0;
	if (qos && broken(link, PUBLISH_ID_CONSTANT))
		p->packet_id = 1;
	if (!qos && broken(link, DUP_AT_QOS0))
		p->flags |= PUBLISH_DUP;
	if (qos && broken(link, DUP_COPIED) && link->broker->sending && link->broker->sending->dup)
		p->flags |= PUBLISH_DUP;
	if (broken(link, DUP_MISSING))
		p->flags &= (uint8_t)~PUBLISH_DUP;
	if (broken(link, TOPIC_BOM_STRIPPED) && p->topic.len > 3 && !memcmp(p->topic.at, "\xef\xbb\xbf", 3))
		p->topic = span_of(p->topic.at + 3, p->topic.len - 3);
	if (broken(link, PAYLOAD_CUT) && p->payload.len > 512)
		p->payload.len = 512;
	if (broken(link, TOPIC_ALTERED))
		p->topic = patched(link, p->topic, span_text("x"));
	else if (!qos && broken(link, PUBLISH_ID_AT_QOS0))
		p->payload = patched(link, span_of(link->version == MQTT_5 ? id_5 : id_311, 2), p->payload);
	return true;
}

static bool send_connack(struct link *link, struct packet *p)
{
	if (p->reason && broken(link, REFUSAL_PRESENT))
		p->ack_flags |= 1;
	if (p->reason && broken(link, CONNACK_CODE_UNLISTED))
		p->reason = 0x8f;
	if (p->reason && broken(link, REFERENCE_MISPLACED))
		add_property(link, p, PROP_server_reference, 0, "elsewhere");
	if (p->reason && broken(link, DISCONNECT_BEFORE_CONNACK))
		p->type = DISCONNECT;
	if (broken(link, CONNACK_RESERVED_FLAG))
		p->ack_flags |= 2;
	if (p->reason)
		return true;
	if (broken(link, PRESENT_NEVER))
		p->ack_flags &= (uint8_t)~1;
	if (broken(link, link->clean_start ? PRESENT_WHEN_CLEAN : PRESENT_WHEN_NEW))
		p->ack_flags |= 1;
	if (broken(link, REFERENCE_UNASKED))
		add_property(link, p, PROP_server_reference, 0, "elsewhere");
	if (broken(link, METHOD_UNASKED))
		add_property(link, p, PROP_authentication_method, 0, "PLAIN");
	if (broken(link, RESPONSE_INFO_UNASKED))
		add_property(link, p, PROP_response_information, 0, "replies");
	if (broken(link, METHOD_LEFT_OUT))
		replace_property(link, p, PROP_authentication_method, NULL);
	if (broken(link, SIGNATURE_WRONG))
		replace_property(link, p, PROP_authentication_data, "v=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
	return true;
}

static const struct {
	enum effect missing, code;	/* N_EFFECTS: none */
} ack_effects[N_PACKET_TYPES] = {
	[PUBACK] = { NO_PUBACK, PUBACK_CODE_UNLISTED },
	[PUBREC] = { NO_PUBREC, PUBREC_CODE_UNLISTED },
	[PUBREL] = { N_EFFECTS, PUBREL_CODE_UNLISTED },
	[PUBCOMP] = { NO_PUBCOMP, PUBCOMP_CODE_UNLISTED },
};

static bool send_ack(struct link *link, struct packet *p)
{
	enum effect missing = ack_effects[p->type].missing;

	if (missing != N_EFFECTS && broken(link, missing))
		return false;
	if (broken(link, ack_effects[p->type].code)) {
		p->reason = 0x01;
		p->written |= WRITTEN_REASON;
	}
	if (!link->problem_information && broken(link, REASON_STRING_UNASKED))
		add_property(link, p, PROP_reason_string, 0, "unasked");
	if ((p->type == PUBACK || p->type == PUBREC) && broken(link, ACK_ID_WRONG))
		p->packet_id = (uint16_t)(p->packet_id == 65535 ? 1 : p->packet_id + 1);
	if (p->type == PUBREC && broken(link, PUBACK_FOR_QOS2))
		p->type = PUBACK;
	if (p->type == PUBREL && broken(link, PUBREL_FLAGS_ZERO))
		p->flags = 0;
	return true;
}

static struct span reversed(struct link *link, struct span codes)
{
	struct span copy = patched(link, codes, (struct span){ 0 });
	uint8_t *at = (uint8_t *)copy.at;

	for (size_t i = 0; i < copy.len / 2; i++) {
		uint8_t c = at[i];

		at[i] = at[copy.len - 1 - i];
		at[copy.len - 1 - i] = c;
	}
	return copy;
}

/* SUBACK without the length of its empty property list. */
static void send_without_properties(struct link *link, const struct packet *p)
{
	uint8_t head[8];
	struct writer w = writer_to(head, sizeof(head));

	wr_u8(&w, SUBACK << 4);
	wr_varint(&w, (uint32_t)(2 + p->list.len));
	wr_u16(&w, p->packet_id);
	if (link_reserve(link, &link->out, w.len + p->list.len) && buffer_append(&link->out, wr_span(&w)) && buffer_append(&link->out, p->list))
		link_ready(link);
}

static bool send_suback(struct link *link, struct packet *p)
{
	static const uint8_t two = 2, unlisted = 0x42, failure = 0x80;

	if (broken(link, NO_SUBACK))
		return false;
	if (broken(link, SUBACK_ID_WRONG))
		p->packet_id = (uint16_t)(p->packet_id == 65535 ? 1 : p->packet_id + 1);
	if (broken(link, CODES_REVERSED))
		p->list = reversed(link, p->list);
	if (broken(link, CODES_SHORT) && p->list.len > 1)
		p->list.len--;
	if (broken(link, SUBACK_GRANTS_MORE) && p->list.len)
		p->list = patched(link, span_of(&two, 1), span_of(p->list.at + 1, p->list.len - 1));
	if (broken(link, SUBACK_CODE_UNLISTED) && p->list.len)
		p->list = patched(link, span_of(&unlisted, 1), span_of(p->list.at + 1, p->list.len - 1));
	if (link->version == MQTT_3_1 && broken(link, FAILURE_CODE_IN_3_1) && p->list.len)
		p->list = patched(link, span_of(&failure, 1), span_of(p->list.at + 1, p->list.len - 1));
	if (broken(link, PROPERTIES_LEFT_OUT)) {
		send_without_properties(link, p);
		return false;
	}
	return true;
}

static bool send_unsuback(struct link *link, struct packet *p)
{
	static const uint8_t unlisted = 0x42;

	if (broken(link, NO_UNSUBACK))
		return false;
	if (broken(link, UNSUBACK_ID_WRONG))
		p->packet_id = (uint16_t)(p->packet_id == 65535 ? 1 : p->packet_id + 1);
	if (broken(link, UNSUBACK_REVERSED))
		p->list = reversed(link, p->list);
	if (broken(link, UNSUBACK_CODE_UNLISTED) && p->list.len)
		p->list = patched(link, span_of(&unlisted, 1), span_of(p->list.at + 1, p->list.len - 1));
	return true;
}

bool unsuback_by_fault(struct link *link, uint8_t *codes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (codes[i] != 0x11)
			return false;
	return broken(link, NO_UNSUBACK_FOR_NOTHING);
}

static bool send_disconnect(struct link *link, struct packet *p)
{
	if (broken(link, DISCONNECT_CODE_CLIENTS))
		p->reason = 0x04;
	if (broken(link, DISCONNECT_WITH_EXPIRY))
		add_property(link, p, PROP_session_expiry_interval, 60, NULL);
	return true;
}

static bool send_auth(struct link *link, struct packet *p)
{
	if (p->reason && broken(link, AUTH_CODE_EARLY_SUCCESS))
		p->reason = 0;
	if (broken(link, AUTH_CODE_UNLISTED))
		p->reason = 0x01;
	if (broken(link, METHOD_RENAMED))
		replace_property(link, p, PROP_authentication_method, "SCRAM-SHA-1");
	if (p->reason && broken(link, NONCE_OF_OTHERS))
		replace_property(link, p, PROP_authentication_data, "r=another,s=c2FsdA==,i=4096");
	return true;
}

static bool send_pingresp(struct link *link, struct packet *p, struct lies *lies)
{
	static const uint8_t overlong[] = { 0x80, 0x00 };

	if (broken(link, NO_PINGRESP))
		return false;
	if (broken(link, PINGRESP_FLAGGED))
		p->flags = 1;
	if (broken(link, LENGTH_OVERLONG))
		lies->remaining_length = span_of(overlong, sizeof(overlong));
	return true;
}

/* ---- beyond the client's Maximum Packet Size, for the sake of an explanation ---- */

static bool explained_beyond_size(struct link *link, const struct packet *packet)
{
	bool reason = broken(link, (enum effect)(EXCESS_REASON + packet->type)), pair = broken(link, (enum effect)(EXCESS_PAIR + packet->type));
	struct packet longer = *packet;
	struct buffer *room = &link->broker->altered;
	uint8_t text[200];
	struct writer w;

	if (!(reason || pair) || link->maximum_packet_size > sizeof(text))
		return false;
	memset(text, 'x', sizeof(text));
	room->len = room->start = 0;
	if (!buffer_reserve(room, packet->properties.len + 2 * sizeof(text)))
		return false;
	w = writer_to(room->at, room->cap);
	if (packet->type != DISCONNECT)		/* has a Reason String, perhaps */
		wr_bytes(&w, packet->properties);
	wr_u8(&w, reason ? PROP_reason_string : PROP_user_property);
	if (pair)
		wr_u16(&w, 0);
	wr_u16(&w, sizeof(text));
	wr_bytes(&w, span_of(text, sizeof(text)));
	longer.properties = wr_span(&w);
	longer.written = WRITTEN_REASON | WRITTEN_PROPERTIES;
	if (!link_reserve(link, &link->out, 1024))
		return false;
	w = writer_to(link->out.at + link->out.start + link->out.len, link->out.cap - link->out.start - link->out.len);
	if (encode(&longer, NULL, &w) != CODEC_OK || !wr_fits(&w))
		return false;
	link->out.len += w.len;
	link_ready(link);
	return true;
}

bool sent_by_fault(struct link *link, struct packet *packet, struct lies *lies)
{
	if (link->version == MQTT_5 && explained_beyond_size(link, packet))
		return false;
	switch (packet->type) {
	case CONNACK: return send_connack(link, packet);
	case PUBLISH: return send_publish(link, packet);
	case PUBACK: case PUBREC: case PUBREL: case PUBCOMP: return send_ack(link, packet);
	case SUBACK: return send_suback(link, packet);
	case UNSUBACK: return send_unsuback(link, packet);
	case PINGRESP: return send_pingresp(link, packet, lies);
	case DISCONNECT: return send_disconnect(link, packet);
	case AUTH: return send_auth(link, packet);
	default: return true;
	}
}
