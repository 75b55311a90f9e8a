#include "codec/table.h"
#include "codec/text.h"
#include "codec/topic.h"

/* Packets and values as text in the notation. */

static void wr_number(struct writer *w, uint64_t n)
{
	char digits[20];
	size_t i = sizeof(digits);

	do
		digits[--i] = (char)('0' + n % 10);
	while (n /= 10);
	wr_bytes(w, span_of(digits + i, sizeof(digits) - i));
}

static void wr_hex(struct writer *w, unsigned byte)
{
	static const char digits[] = "0123456789abcdef";

	wr_u8(w, (uint8_t)digits[byte >> 4 & 15]);
	wr_u8(w, (uint8_t)digits[byte & 15]);
}

void text_print_hex(struct span s, struct writer *w)
{
	wr_text(w, "hex\"");
	for (size_t i = 0; i < s.len; i++) {
		if (i)
			wr_u8(w, ' ');
		wr_hex(w, s.at[i]);
	}
	wr_u8(w, '"');
}

/* Characters that could move a cursor, turn text round, or be no character at all. */
static bool unsafe(uint32_t c)
{
	return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0xad || c == 0x61c || (c >= 0x200b && c <= 0x200f) ||
	       (c >= 0x2028 && c <= 0x202e) || (c >= 0x2060 && c <= 0x206f) || c == 0xfeff || (c >= 0xfff9 && c <= 0xfffb) ||
	       (c & 0xfffe) == 0xfffe || (c >= 0xfdd0 && c <= 0xfdef) || (c >= 0xe000 && c <= 0xf8ff) || c >= 0xe0000;
}

/* Most characters: printed as they are. */
static inline bool plain(uint8_t c)
{
	return c >= ' ' && c < 0x7f && c != '"' && c != '\\' && c != '$';
}

static uint32_t next_character(const uint8_t **p)
{
	uint8_t c = *(*p)++;
	int more = c < 0x80 ? 0 : c < 0xe0 ? 1 : c < 0xf0 ? 2 : 3;
	uint32_t value = more == 0 ? c : c & (0x3f >> more);

	while (more--)
		value = value << 6 | (*(*p)++ & 0x3f);
	return value;
}

static void print_character(struct writer *w, uint32_t c, struct span raw)
{
	switch (c) {
	case '"':  wr_text(w, "\\\""); return;
	case '\\': wr_text(w, "\\\\"); return;
	case '\n': wr_text(w, "\\n"); return;
	case '\t': wr_text(w, "\\t"); return;
	default: break;
	}
	if (!unsafe(c)) {
		wr_bytes(w, raw);
	} else if (c < 0x80) {
		wr_text(w, "\\x");
		wr_hex(w, c);
	} else {
		wr_text(w, "\\u{");
		for (int shift = c > 0xffff ? 16 : 8; shift >= 0; shift -= 8)
			wr_hex(w, c >> shift & 0xff);
		wr_u8(w, '}');
	}
}

void text_print_string(struct span s, struct writer *w)
{
	if (!utf8_valid(s)) {
		text_print_hex(s, w);
		return;
	}
	wr_u8(w, '"');
	for (const uint8_t *p = s.at, *end = s.len ? s.at + s.len : s.at; p < end;) {
		const uint8_t *from = p;

		while (p < end && plain(*p))
			p++;
		wr_bytes(w, span_of(from, (size_t)(p - from)));
		if (p == end)
			break;
		from = p;
		uint32_t c = next_character(&p);

		if (c == '$' && p < end && *p == '(')
			wr_text(w, "\\$");	/* no $( ) of the notation */
		else
			print_character(w, c, span_of(from, (size_t)(p - from)));
	}
	wr_u8(w, '"');
}

/* ---- packets ---- */

struct printer {
	const struct packet *p;
	struct writer *w;
	const char *wrong;	/* the field that check() finds fault with, NULL for none */
	size_t wrong_offset;	/* and where that lies */
	size_t list_offset;	/* where the filters begin */
	bool pointed;		/* its '!' is written */
};

static void name(struct printer *pr, const char *text)
{
	wr_u8(pr->w, ' ');
	if (pr->wrong && !pr->pointed && !strcmp(pr->wrong, text)) {
		wr_u8(pr->w, '!');
		pr->pointed = true;
	}
	wr_text(pr->w, text);
}

static void print_code(struct printer *pr, unsigned code)
{
	const char *text = reason_name(pr->p->type, pr->p->version, code);

	if (text) {
		wr_text(pr->w, text);
	} else {
		wr_text(pr->w, "0x");
		wr_hex(pr->w, code);
	}
}

static void print_pair(struct writer *w, const struct value *v)
{
	text_print_string(v->bytes, w);
	wr_u8(w, ':');
	text_print_string(v->second, w);
}

static void print_value(struct printer *pr, const struct field *f, const struct value *v)
{
	if (v->kind == VALUE_PAIR)
		print_pair(pr->w, v);
	else if (v->kind == VALUE_BYTES)
		text_print_string(v->bytes, pr->w);
	else if (f->limit == REASON)
		print_code(pr, (unsigned)v->number);
	else
		wr_number(pr->w, v->number);
}

/* A length that is not in its shortest form, as the raw bytes it has on the wire. */
static void print_overlong(struct printer *pr, const struct field *list)
{
	uint8_t room[4];
	struct writer w = writer_to(room, sizeof(room));
	size_t len = ((const struct span *)const_member_of(pr->p, list))->len, size = property_length_size(pr->p, list);

	if (size == varint_size((uint32_t)len))
		return;
	wr_length(&w, len, size);
	wr_text(pr->w, list->will ? " !will.property_length=" : " !property_length=");
	text_print_hex(wr_span(&w), pr->w);
	pr->pointed = true;
}

static bool overlong(const struct property *prop)
{
	return prop->kind == VARINT && prop->size != 1 + varint_size((uint32_t)prop->value.number);
}

static void property_name(struct printer *pr, const struct field *f, bool again)
{
	bool misplaced = !(f->carried & ON(pr->p->type));

	if (!again && !misplaced) {
		name(pr, f->name);
	} else {
		wr_text(pr->w, again ? " !again " : " !");
		wr_text(pr->w, f->name);
		pr->pointed = true;
	}
	wr_u8(pr->w, '=');
}

/* In order of the wire; neighbours of one name are one list where the name may repeat. */
static void print_properties(struct printer *pr, const struct field *list)
{
	struct property_walk walk = properties_of(*(const struct span *)const_member_of(pr->p, list)), ahead;
	struct property prop, next;
	uint64_t seen = 0;

	while (property_next(&walk, &prop)) {
		const struct field *f = field_of_property(prop.id, list->will);
		bool again = seen >> prop.id & 1 && !f->repeats;

		seen |= (uint64_t)1 << prop.id;
		if (overlong(&prop)) {
			wr_text(pr->w, list->will ? " !will.property=" : " !property=");
			text_print_hex(span_of(prop.at, prop.size), pr->w);
			pr->pointed = true;
			continue;
		}
		property_name(pr, f, again);
		ahead = walk;
		bool several = f->repeats && property_next(&ahead, &next) && next.id == prop.id && !overlong(&next);
		ahead = walk;
		if (several || f->kind == PAIR)
			wr_u8(pr->w, '[');
		print_value(pr, f, &prop.value);
		while (several && property_next(&ahead, &next) && next.id == prop.id && !overlong(&next)) {
			wr_u8(pr->w, ' ');
			print_value(pr, f, &next.value);
			walk = ahead;
		}
		if (several || f->kind == PAIR)
			wr_u8(pr->w, ']');
	}
	print_overlong(pr, list);
}

/* The options of one filter; only those of the offending one may carry the '!'. */
static void print_options(struct printer *pr, unsigned o, bool offending)
{
	static const struct { const char *name; uint8_t shift, mask; bool flag; } options[] = {
		{ "qos", 0, 3, false }, { "no_local", 2, 1, true }, { "retain_as_published", 3, 1, true }, { "retain_handling", 4, 3, false },
	};
	bool pointed = pr->pointed;

	pr->pointed |= !offending;
	if (o & SUBSCRIBE_RESERVED || (pr->p->version != MQTT_5 && o > 3)) {
		name(pr, "options");
		wr_text(pr->w, "=0x");
		wr_hex(pr->w, o);
		o = 0;
	}
	for (size_t i = 0; i < sizeof(options) / sizeof(*options); i++) {
		unsigned value = o >> options[i].shift & options[i].mask;

		if (!value)
			continue;
		name(pr, options[i].name);
		if (options[i].flag)
			continue;
		wr_u8(pr->w, '=');
		wr_number(pr->w, value);
	}
	if (!offending)
		pr->pointed = pointed;
}

static void print_filters(struct printer *pr)
{
	struct filter_walk walk = filters_of(pr->p);
	const uint8_t *from = walk.pos;
	struct span filter;
	uint8_t o;

	wr_text(pr->w, " (");
	for (const uint8_t *at = from; filter_next(&walk, &filter, &o); at = walk.pos) {
		wr_text(pr->w, at == from ? "" : ", ");
		text_print_string(filter, pr->w);
		print_options(pr, o, pr->wrong_offset == pr->list_offset + (size_t)(at - from));
	}
	wr_u8(pr->w, ')');
}

static void print_codes(struct printer *pr)
{
	name(pr, "reason");
	wr_text(pr->w, "=[");
	for (size_t i = 0; i < pr->p->list.len; i++) {
		if (i)
			wr_u8(pr->w, ' ');
		print_code(pr, pr->p->list.at[i]);
	}
	wr_u8(pr->w, ']');
}

static void flag(struct printer *pr, const char *text, bool set)
{
	if (set)
		name(pr, text);
}

static void print_connect_flags(struct printer *pr)
{
	unsigned c = pr->p->connect_flags;

	flag(pr, "clean_start", c & CONNECT_CLEAN_START);
	if (c & CONNECT_WILL_QOS) {
		name(pr, "will.qos");
		wr_u8(pr->w, '=');
		wr_number(pr->w, will_qos(pr->p));
	}
	flag(pr, "will.retain", c & CONNECT_WILL_RETAIN);
	if (c & CONNECT_RESERVED || pr->p->written & (LEFT_OUT_USER_NAME | LEFT_OUT_PASSWORD)) {
		name(pr, "connect_flags");
		wr_text(pr->w, "=0x");
		wr_hex(pr->w, c);
	}
}

static void print_publish_flags(struct printer *pr)
{
	const struct packet *p = pr->p;

	if (publish_qos(p)) {
		name(pr, "qos");
		wr_u8(pr->w, '=');
		wr_number(pr->w, publish_qos(p));
	}
	flag(pr, "dup", p->flags & PUBLISH_DUP);
	flag(pr, "retain", p->flags & PUBLISH_RETAIN);
}

static void print_field(struct printer *pr, const struct field *f)
{
	const struct packet *p = pr->p;
	struct value v;

	switch (f->member) {
	case offsetof(struct packet, protocol_name):
		if (span_is(p->protocol_name, p->version == MQTT_3_1 ? "MQIsdp" : "MQTT"))
			return;
		break;
	case offsetof(struct packet, protocol_version):
		if (p->protocol_version == p->version)
			return;
		break;
	case offsetof(struct packet, connect_flags):
		print_connect_flags(pr);
		return;
	case offsetof(struct packet, ack_flags):
		if (p->ack_flags > 1)
			break;
		name(pr, "session_present");
		wr_text(pr->w, p->ack_flags ? "=1" : "=0");
		return;
	default:
		break;
	}
	switch (f->kind) {
	case PROPS: print_properties(pr, f); return;
	case FILTERS: case TOPICS: print_filters(pr); return;
	case CODES: print_codes(pr); return;
	default: break;
	}
	if (!packet_get(p, f, 0, &v))
		return;
	name(pr, f->name);
	wr_u8(pr->w, '=');
	print_value(pr, f, &v);
	if (p->type == PUBLISH && f->member == offsetof(struct packet, topic))
		print_publish_flags(pr);
}

/* 3.1: the strings that the flags promise are not there. */
static void print_left_out(struct printer *pr)
{
	const struct packet *p = pr->p;
	const char *last = p->connect_flags & CONNECT_WILL ? "will.payload" : "client_id";

	if (p->written & (LEFT_OUT_USER_NAME | LEFT_OUT_PASSWORD)) {
		wr_text(pr->w, " !ends_after=");
		wr_text(pr->w, p->connect_flags & CONNECT_USER_NAME && !(p->written & LEFT_OUT_USER_NAME) ? "user_name" : last);
	}
}

static void print_fields(struct printer *pr)
{
	static const uint8_t tabled[16] = {
#define X(name, number, flags, sender, since) [number] = flags,
		PACKETS(X)
#undef X
	};
	const struct packet *p = pr->p;

	for (const struct row *row = rows_of(p->type); row->field; row++)
		if (row_there(row, p))
			print_field(pr, row->field);
	if (p->written & WRITTEN_PROPERTIES && !p->properties.len && !p->property_length_size)
		wr_text(pr->w, " property_length=0");
	print_left_out(pr);
	if (p->type != PUBLISH && p->flags != tabled[p->type & 15]) {
		name(pr, "flags");
		wr_text(pr->w, "=0x");
		wr_hex(pr->w, p->flags);
	}
}

void packet_print(const struct packet *p, enum sender from, struct writer *w)
{
	struct finding finding;
	struct writer nowhere = writer_to(NULL, 0);
	struct printer pr = { .p = p, .w = &nowhere };

	if (check(p, from, &finding) != CODEC_OK) {
		if (finding.rule != RULE_PROPERTY_REPEATED)	/* `!again` tells */
			pr.wrong = finding.field;
		pr.wrong_offset = finding.offset;
		encode(p, NULL, &nowhere);
		pr.list_offset = nowhere.len - p->list.len;
		/* A fault that is in no part with a '!' of its own is marked at the packet. */
		print_fields(&pr);
		if (!pr.pointed)
			wr_u8(w, '!');
		pr.pointed = !pr.pointed;
	}
	pr.w = w;
	wr_text(w, packet_name(p->type));
	print_fields(&pr);
}
