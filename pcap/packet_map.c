#include "pcap/packet_map.h"

#include <stdio.h>
#include <stdlib.h>

#include "codec/fields.h"
#include "codec/reader.h"
#include "codec/text.h"
#include "pcap/mask.h"
#include "pcap/shorten.h"

enum {
	ROW = 8,			/* bytes a row */
	MAX_SHOWN = 512,		/* of one field */
	MAX_PARTS = 4096,		/* of one packet; the fields behind are one row */
	MAX_VALUE = 60,
};

struct map {
	struct out *out;
	const struct seen_packet *seen;
	enum packet_type type;
	enum version version;
	bool secrets;
	const char *indent;
};

/* ---- values ---- */

static void wr_format(struct writer *w, const char *format, unsigned long number)
{
	char text[40];

	snprintf(text, sizeof(text), format, number);
	wr_text(w, text);
}

static void string(struct writer *w, struct span s)
{
	struct span shown = shorten(s, MAX_VALUE);

	text_print_string(shown, w);
	if (shown.len < s.len)
		wr_format(w, "... %lu bytes", s.len);
}

static void code(const struct map *m, struct writer *w, unsigned number)
{
	const char *name = reason_name(m->type, m->version, number);

	wr_format(w, "0x%02lx", number);
	if (name) {
		wr_u8(w, ' ');
		wr_text(w, name);
	}
}

static void bits(struct writer *w, unsigned byte, const char *const names[8], unsigned qos_shift, const char *qos)
{
	wr_format(w, "0x%02lx", byte);
	for (int i = 7; i >= 0; i--)
		if (names[i] && byte >> i & 1) {
			wr_u8(w, ' ');
			wr_text(w, names[i]);
		}
	if (byte >> qos_shift & 3) {
		wr_text(w, qos);
		wr_format(w, "%lu", byte >> qos_shift & 3);
	}
}

static void first_byte(const struct map *m, struct writer *w, unsigned byte)
{
	wr_text(w, m->type ? packet_name(m->type) : "RESERVED");
	if (m->type == PUBLISH) {
		if (byte & PUBLISH_DUP)
			wr_text(w, " dup");
		wr_format(w, " qos=%lu", byte >> PUBLISH_QOS_SHIFT & 3);
		if (byte & PUBLISH_RETAIN)
			wr_text(w, " retain");
	} else {
		wr_format(w, " flags=0x%lx", byte & 15);
	}
}

static void property(const struct map *m, struct writer *w, struct span bytes)
{
	struct property_walk walk = properties_of(bytes);
	struct property p;

	if (!property_next(&walk, &p))
		return;
	if (p.value.kind == VALUE_NUMBER) {
		wr_format(w, "%lu", p.value.number);
	} else if (mask_property(p.id) && !m->secrets) {
		wr_text(w, "***");
	} else {
		string(w, p.value.bytes);
		if (p.value.kind == VALUE_PAIR) {
			wr_u8(w, ':');
			string(w, p.value.second);
		}
	}
}

static void filter(const struct map *m, struct writer *w, struct span bytes)
{
	static const char *const names[8] = { [2] = "no_local", [3] = "retain_as_published" };
	struct reader r = reader_over(bytes);

	string(w, rd_binary(&r));
	if (m->type != SUBSCRIBE)
		return;
	unsigned o = rd_u8(&r);
	wr_u8(w, ' ');
	bits(w, o, names, 0, " qos=");
	if (m->version == MQTT_5 && o & SUBSCRIBE_RETAIN_HANDLING)
		wr_format(w, " retain_handling=%lu", o >> SUBSCRIBE_RETAIN_HANDLING_SHIFT & 3);
}

static void value(const struct map *m, const struct part *part, struct writer *w)
{
	static const char *const connect_flags[8] = {
		"reserved", "clean_start", "will", NULL, NULL, "will.retain", "password", "user_name",
	};
	struct span bytes = span_of(m->seen->bytes.at + part->offset, part->len);
	const struct field *f = part->field;
	struct reader r = reader_over(bytes);

	if (!f && !part->offset)
		first_byte(m, w, *bytes.at);
	else if (!f && part->offset == 1 && !strcmp(part->name, "remaining_length"))
		wr_format(w, "%lu", rd_varint(&r, NULL));
	else if (!f)
		wr_format(w, part->len == 1 ? "%lu byte" : "%lu bytes", part->len);
	else if (f->property)
		property(m, w, bytes);
	else if (mask_part(m->type, part) && !m->secrets)
		wr_text(w, "***");
	else if (f->limit == REASON)
		code(m, w, *bytes.at);
	else if (!strcmp(f->name, "connect_flags"))
		bits(w, *bytes.at, connect_flags, CONNECT_WILL_QOS_SHIFT, " will.qos=");
	else
		switch (f->kind) {
		case U8:      wr_format(w, "%lu", rd_u8(&r)); break;
		case U16:     wr_format(w, "%lu", rd_u16(&r)); break;
		case PROPS:   wr_format(w, "%lu", rd_varint(&r, NULL)); break;
		case REST:    string(w, bytes); break;
		case FILTERS: case TOPICS: filter(m, w, bytes); break;
		default:      string(w, rd_binary(&r));
		}
}

/* ---- rows ---- */

static void hex_row(const struct map *m, size_t offset, size_t len, bool hidden)
{
	static const char digits[] = "0123456789abcdef";
	char text[3 * ROW + 1], *p = text;

	for (size_t i = 0; i < ROW; i++) {
		uint8_t byte = i < len ? m->seen->bytes.at[offset + i] : 0;

		*p++ = i >= len ? ' ' : hidden ? '*' : digits[byte >> 4];
		*p++ = i >= len ? ' ' : hidden ? '*' : digits[byte & 15];
		*p++ = ' ';
	}
	*p = 0;
	out_format(m->out, "%s%04lx  %s", m->indent, (unsigned long)offset, text);
}

static void trim(struct out *out)
{
	while (out->len && out->room[out->len - 1] == ' ') {
		out->len--;
		out->written--;
	}
}

static void part_rows(const struct map *m, const struct part *part)
{
	bool hidden = !m->secrets && mask_part(m->type, part);
	size_t shown = part->len < MAX_SHOWN ? part->len : MAX_SHOWN;
	char name[64], room[1024];
	struct writer w = writer_to(room, sizeof(room));

	if (part->nth)
		snprintf(name, sizeof(name), "%s[%u]", part->name, part->nth);
	else
		snprintf(name, sizeof(name), "%s", part->name);
	value(m, part, &w);
	out_room(m->out, 256);		/* so that a row can be trimmed */
	hex_row(m, part->offset, part->len < ROW ? part->len : ROW, hidden);
	out_format(m->out, " %-24s ", name);
	out_bytes(m->out, room, w.len < w.cap ? w.len : w.cap);
	trim(m->out);
	OUT_LITERAL(m->out, "\n");
	for (size_t at = ROW; at < shown; at += ROW) {
		size_t len = part->len - at;

		out_room(m->out, 256);
		hex_row(m, part->offset + at, len < ROW ? len : ROW, hidden);
		trim(m->out);
		OUT_LITERAL(m->out, "\n");
	}
	if (shown < part->len)
		out_format(m->out, "%s%04lx  ... %lu more bytes of %s\n", m->indent, (unsigned long)(part->offset + shown),
		           (unsigned long)(part->len - shown), part->name);
}

void packet_map(struct out *out, const struct seen_packet *seen, bool secrets, const char *indent)
{
	struct span bytes = seen->bytes;
	enum version version = seen->status == CODEC_OK ? seen->packet.version : seen->finding.version;
	struct map m = { out, seen, seen->frame.first >> 4, version, secrets, indent };
	struct part *parts = malloc(MAX_PARTS * sizeof(*parts));

	if (!parts)
		return;
	size_t n = layout(bytes.at, bytes.len, version, parts, MAX_PARTS);
	if (n > MAX_PARTS) {
		struct part *last = &parts[MAX_PARTS - 1];

		n = MAX_PARTS;
		*last = (struct part){ NULL, "more fields", last->offset, (uint32_t)(bytes.len - last->offset), 0 };
	}
	for (size_t i = 0; i < n; i++)
		part_rows(&m, &parts[i]);
	free(parts);
}
