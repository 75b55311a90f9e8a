#include "pcap/scenario_lines.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "codec/fields.h"
#include "codec/text.h"
#include "pcap/mask.h"

#define SECRET_LEFT_OUT "   # what is secret in it is left out: --secrets keeps it"

enum { MAX_STEP_WORDS = 60000 };	/* 65536 is what a file's step may have */

static uint8_t *line_room(struct line *line, size_t n)
{
	if (line->cap - line->len < n) {
		line->cap = 2 * line->cap + n;
		line->at = realloc(line->at, line->cap);
		if (!line->at)
			abort();
	}
	return line->at + line->len;
}

static void line_bytes(struct line *line, const void *bytes, size_t n)
{
	memcpy(line_room(line, n), bytes, n);
	line->len += n;
}

void line_text(struct line *line, const char *text)
{
	line_bytes(line, text, strlen(text));
}

void line_format(struct line *line, const char *format, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	line_text(line, text);
}

void line_string(struct line *line, struct span s)
{
	size_t cap = 4 * s.len + 8;		/* \x and hex"" take four bytes for one at most, but for \u */
	struct writer w = writer_to(line_room(line, cap), cap);

	text_print_string(s, &w);
	if (!wr_fits(&w)) {
		cap = w.len;
		w = writer_to(line_room(line, cap), cap);
		text_print_string(s, &w);
	}
	line->len += w.len;
}

void line_packet(struct line *line, const struct packet *packet, enum sender from)
{
	size_t cap = 1024;
	struct writer w = writer_to(line_room(line, cap), cap);

	packet_print(packet, from, &w);
	if (!wr_fits(&w)) {
		cap = w.len;
		w = writer_to(line_room(line, cap), cap);
		packet_print(packet, from, &w);
	}
	line->len += w.len;
}

/* An acknowledgement begins with its type and packet id: nothing foreign stands before. */
static void line_ack(struct line *line, const struct packet *packet, enum sender from, uint32_t name)
{
	struct line own = { 0 };
	size_t head;

	line_packet(&own, packet, from);
	line_format(line, "%s packet_id=", packet_name(packet->type));
	if (name)
		line_format(line, "$p%u", name);
	else
		line_format(line, "%u", packet->packet_id);
	for (head = 0; head < own.len && own.at[head] != ' '; head++) ;
	for (head++; head < own.len && own.at[head] != ' '; head++) ;
	if (head < own.len)
		line_bytes(line, own.at + head, own.len - head);
	free(own.at);
}

bool line_fits(const struct packet *packet)
{
	/* at most ten words and signs for a filter of four bytes with its options, one for a reason code, three for a property of five bytes */
	return packet->properties.len + packet->will_properties.len + 3 * packet->list.len < MAX_STEP_WORDS;
}

/* ---- sent ---- */

/* True: its password is left out. */
static bool send_connect(struct line *line, struct packet *p, bool secrets)
{
	bool left_out = !secrets && p->connect_flags & CONNECT_PASSWORD;

	if (left_out) {
		p->connect_flags &= (uint8_t)~CONNECT_PASSWORD;
		p->password = (struct span){ 0 };
	}
	line_packet(line, p, FROM_CLIENT);
	if (!(p->connect_flags & CONNECT_CLEAN_START))
		line_text(line, " clean_start=0");	/* left out it would be 1 */
	return left_out;
}

/* The packet's bytes, stars in place of what is secret. */
static void line_raw(struct line *line, const struct seen_packet *seen, bool secrets)
{
	struct seen_packet readable = *seen;
	struct masked masked;

	if (seen->status == CODEC_OK)
		readable.finding = (struct finding){ .version = seen->packet.version };
	mask_bytes(&masked, &readable, secrets);
	size_t cap = 3 * masked.bytes.len + 8;
	line_text(line, "bytes ");
	struct writer w = writer_to(line_room(line, cap), cap);
	text_print_hex(masked.bytes, &w);
	line->len += w.len;
	if (masked.n_masked)
		line_text(line, SECRET_LEFT_OUT);
	mask_release(&masked);
}

/* Without what proves who the client is. True: there was such a thing. *room is to be freed. */
static bool without_proof(struct packet *p, uint8_t **room)
{
	struct property_walk walk = properties_of(p->properties);
	struct property property;
	struct writer w;
	bool found = false;

	*room = malloc(p->properties.len + 1);
	if (!*room)
		abort();
	w = writer_to(*room, p->properties.len);
	while (property_next(&walk, &property))
		if (mask_property(property.id))
			found = true;
		else
			wr_bytes(&w, span_of(property.at, property.size));
	p->properties = span_of(*room, w.len);
	return found;
}

void line_send(struct line *line, const struct seen_packet *seen, uint32_t name, bool secrets)
{
	struct packet p = seen->packet;
	struct finding finding;

	if (seen->status != CODEC_OK || seen->frame.overlong || check(&p, FROM_CLIENT, &finding) != CODEC_OK || !line_fits(&p)) {
		line_raw(line, seen, secrets);
		return;
	}
	if (!p.properties.len && p.type != CONNECT)
		p.written &= (uint8_t)~WRITTEN_PROPERTIES;	/* a property length of 0 says nothing */
	uint8_t *room = NULL;
	bool left_out = !secrets && (p.type == CONNECT || p.type == AUTH) && without_proof(&p, &room);

	if (p.type == CONNECT)
		left_out = send_connect(line, &p, secrets) || left_out;
	else if (name)
		line_ack(line, &p, FROM_CLIENT, name);
	else
		line_packet(line, &p, FROM_CLIENT);
	if (left_out)
		line_text(line, SECRET_LEFT_OUT);
	free(room);
}

/* ---- expected ---- */

/* Properties of a delivery that its publisher chose: they must come through unchanged. */
static bool comes_through(unsigned property)
{
	switch (property) {
	case PROP_payload_format_indicator:
	case PROP_content_type:
	case PROP_response_topic:
	case PROP_correlation_data:
	case PROP_user_property:
	case PROP_subscription_identifier:
		return true;
	default:
		return false;		/* an expiry interval counts down, an alias is the broker's choice */
	}
}

static void expect_publish(struct line *line, const struct seen_packet *seen, uint32_t name, bool binds)
{
	struct packet p = seen->packet;
	struct property_walk walk = properties_of(p.properties);
	struct property property;
	uint8_t *room = malloc(p.properties.len + 1);
	struct writer w = writer_to(room, p.properties.len);

	if (!room)
		abort();
	while (property_next(&walk, &property))
		if (comes_through(property.id))
			wr_bytes(&w, span_of(property.at, property.size));
	p.properties = wr_span(&w);
	p.written = 0;
	p.topic = seen->topic;
	/* QoS and packet id stand at the end, where a name can be put */
	p.flags &= PUBLISH_RETAIN;
	line_packet(line, &p, FROM_SERVER);
	free(room);
	if (publish_qos(&seen->packet))
		line_format(line, " qos=%u%s packet_id%s$p%u", publish_qos(&seen->packet), seen->packet.flags & PUBLISH_DUP ? " dup" : "",
		            binds ? " as " : "=", name);
}

static void expect_reason(struct line *line, const struct packet *p)
{
	const char *reason = reason_name((enum packet_type)p->type, (enum version)p->version, p->reason);

	if (reason)
		line_format(line, " reason=%s", reason);
	else
		line_format(line, " reason=0x%02x", p->reason);
}

/* Its properties are what the broker offers, but for the name that it gives. 3.1 has no Session Present. */
static void expect_connack(struct line *line, const struct packet *p, uint32_t name)
{
	line_text(line, "CONNACK");
	if (p->version != MQTT_3_1)
		line_format(line, " session_present=%d", p->ack_flags & 1);
	expect_reason(line, p);
	if (name)
		line_format(line, " assigned_client_identifier as $id%u", name);
}

/* Whether somebody subscribed is a thing that the server may tell or not. [5:MQTT-3.4.2.1] */
static bool may_say_so(const struct packet *p)
{
	return p->version == MQTT_5 && (p->type == PUBACK || p->type == PUBREC) && p->reason < 0x80;
}

void line_expect(struct line *line, const struct seen_packet *seen, uint32_t name, bool binds)
{
	struct packet p = seen->packet;

	if (p.type == PUBLISH) {
		expect_publish(line, seen, name, binds);
		return;
	}
	if (p.type == CONNACK) {
		expect_connack(line, &p, name);
		return;
	}
	if (p.type == AUTH) {		/* its data is another's each time */
		line_text(line, "AUTH");
		expect_reason(line, &p);
		return;
	}
	p.properties = (struct span){ 0 };
	p.written &= (uint8_t)~WRITTEN_PROPERTIES;
	if (may_say_so(&p)) {
		line_format(line, "%s packet_id=%u reason=(Success | No_matching_subscribers)", packet_name(p.type), p.packet_id);
		return;
	}
	if (p.type == PUBACK || p.type == PUBREC || p.type == PUBREL || p.type == PUBCOMP)
		line_ack(line, &p, FROM_SERVER, name);
	else
		line_packet(line, &p, FROM_SERVER);
}
