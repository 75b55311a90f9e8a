#include "codec/build.h"

#include "codec/table.h"

void builder_start(struct builder *b, enum packet_type type, enum version version, struct arena *arena)
{
	static const uint8_t flags[16] = {
#define X(name, number, flags, sender, since) [number] = flags,
		PACKETS(X)
#undef X
	};

	memset(b, 0, sizeof(*b));
	b->arena = arena;
	b->packet.type = (uint8_t)type;
	b->packet.version = (uint8_t)version;
	b->packet.flags = flags[type & 15];
	if (type == CONNECT) {
		b->packet.protocol_name = span_text(version == MQTT_3_1 ? "MQIsdp" : "MQTT");
		b->packet.protocol_version = (uint8_t)version;
	}
}

/* Room for n more bytes; moved within the arena when it has grown too small. */
static bool make_room(struct builder *b, struct writer *w, size_t n)
{
	if (w->len + n <= w->cap)
		return true;
	size_t cap = (w->len + n) * 2 < 64 ? 64 : (w->len + n) * 2;
	uint8_t *room = arena_take(b->arena, cap);
	if (!room && (room = arena_take(b->arena, cap = w->len + n)))
		b->arena->full = false;
	if (!room)
		return false;
	if (w->len)
		memcpy(room, w->at, w->len);
	w->at = room;
	w->cap = cap;
	return true;
}

static struct writer *list_of(struct builder *b, bool of_will)
{
	return of_will ? &b->will_properties : &b->properties;
}

/* The number that a value gives a field of that kind, as a number or as the bytes of its wire form. */
static bool number_of(enum kind kind, const struct value *v, uint64_t *number)
{
	static const uint8_t widths[] = { [U8] = 1, [U16] = 2, [U32] = 4 };
	uint64_t n = v->number;

	if (v->kind == VALUE_BYTES && kind != VARINT && v->bytes.len == widths[kind]) {
		n = 0;
		for (size_t i = 0; i < v->bytes.len; i++)
			n = n << 8 | v->bytes.at[i];
	} else if (v->kind != VALUE_NUMBER) {
		return false;
	}
	*number = n;
	return kind == VARINT ? n <= VARINT_MAX : n >> 8 * widths[kind] == 0;
}

static enum status add_property(struct builder *b, const struct field *f, const struct value *v)
{
	struct writer *list = list_of(b, f->will), measure = writer_to(NULL, 0);
	struct value number = { .kind = VALUE_NUMBER };

	if (f->kind == U8 || f->kind == U16 || f->kind == U32 || f->kind == VARINT) {
		if (!number_of(f->kind, v, &number.number))
			return CODEC_BAD;
		v = &number;
	} else if (v->kind != (f->kind == PAIR ? VALUE_PAIR : VALUE_BYTES)) {
		return CODEC_BAD;
	}
	if (v->bytes.len > 65535 || v->second.len > 65535)
		return CODEC_LIMIT;
	property_write(&measure, f->property, v);
	if (!make_room(b, list, measure.len))
		return CODEC_LIMIT;
	property_write(list, f->property, v);
	if (f->will)
		b->packet.connect_flags |= CONNECT_WILL;
	else
		b->packet.written |= WRITTEN_REASON | WRITTEN_PROPERTIES;
	return CODEC_OK;
}

/* Takes the property out of the first `among` bytes of the list. */
static void drop_property(struct writer *list, unsigned id, size_t among)
{
	struct property_walk walk = properties_of(span_of(list->at, among));
	const uint8_t *read = walk.pos, *end = list->len ? list->at + list->len : list->at;
	struct property p;
	size_t kept = 0;

	for (; property_next(&walk, &p); read = walk.pos) {
		if (p.id == id)
			continue;
		memmove(list->at + kept, p.at, p.size);
		kept += p.size;
	}
	if (read != end)	/* raw bytes that are no property stay, as does what lies behind */
		memmove(list->at + kept, read, (size_t)(end - read));
	list->len = kept + (size_t)(end - read);
}

static enum status add_element(struct builder *b, const struct field *f, const struct value *v)
{
	if (f->kind == CODES) {
		if (v->kind != VALUE_NUMBER || v->number > 0xff)
			return CODEC_BAD;
		if (!make_room(b, &b->list, 1))
			return CODEC_LIMIT;
		wr_u8(&b->list, (unsigned)v->number);
		return CODEC_OK;
	}
	if ((v->kind != VALUE_FILTER && v->kind != VALUE_BYTES) || v->number > 0xff)
		return CODEC_BAD;
	if (v->bytes.len > 65535 || !make_room(b, &b->list, v->bytes.len + 3))
		return CODEC_LIMIT;
	wr_binary(&b->list, v->bytes);
	if (f->kind == FILTERS)
		wr_u8(&b->list, (unsigned)v->number);
	return CODEC_OK;
}

/* The connect flag that a field stands or falls with, 0 for none. */
static unsigned flag_of(const struct packet *p, const struct field *f)
{
	for (const struct row *row = rows_of(p->type); row->field; row++) {
		if (row->field != f)
			continue;
		switch (row->when) {
		case WILL_FLAG: case WILL_FLAG_IN_5: return CONNECT_WILL;
		case USER_NAME_FLAG: return CONNECT_USER_NAME;
		case PASSWORD_FLAG:  return CONNECT_PASSWORD;
		default: return 0;
		}
	}
	return 0;
}

static void go_with_flag(struct packet *p, const struct field *f, bool there)
{
	unsigned flag = flag_of(p, f);

	p->connect_flags = (uint8_t)(there ? p->connect_flags | flag : p->connect_flags & ~flag);
}

static enum status set_scalar(struct packet *p, const struct field *f, const struct value *v)
{
	void *member = member_of(p, f);
	uint64_t n = v->number;
	unsigned mask;

	switch (f->kind) {
	case BITS:
		mask = ((1u << f->width) - 1) << f->shift;
		if (v->kind != VALUE_NUMBER || n >> f->width)
			return CODEC_BAD;
		*(uint8_t *)member = (uint8_t)((*(uint8_t *)member & ~mask) | n << f->shift);
		return CODEC_OK;
	case U8: case U16:
		if (!number_of(f->kind, v, &n))
			return CODEC_BAD;
		if (f->kind == U8)
			*(uint8_t *)member = (uint8_t)n;
		else
			*(uint16_t *)member = (uint16_t)n;
		if (f->limit == REASON)
			p->written |= WRITTEN_REASON;
		return CODEC_OK;
	case STR: case BIN: case REST:
		if (v->kind != VALUE_BYTES)
			return CODEC_BAD;
		if (f->kind != REST && v->bytes.len > 65535)
			return CODEC_LIMIT;
		*(struct span *)member = v->bytes;
		return CODEC_OK;
	default:
		return CODEC_BAD;
	}
}

static void unset(struct builder *b, const struct field *f)
{
	struct packet *p = &b->packet;

	if (f->property)
		drop_property(list_of(b, f->will), f->property, list_of(b, f->will)->len);
	else if (f->kind == FILTERS || f->kind == TOPICS || f->kind == CODES)
		b->list.len = 0;
	else if (f->kind == BITS)
		*(uint8_t *)member_of(p, f) &= (uint8_t)~(((1u << f->width) - 1) << f->shift);
	else if (f->kind == U8)
		*(uint8_t *)member_of(p, f) = 0;
	else if (f->kind == U16)
		*(uint16_t *)member_of(p, f) = 0;
	else
		*(struct span *)member_of(p, f) = (struct span){ 0 };
	if (!f->property) {
		go_with_flag(p, f, false);
		if (f->limit == REASON && p->type != CONNACK)
			p->written = 0;
	}
}

enum status builder_set(struct builder *b, const struct field *field, const struct value *value)
{
	if (value->kind == VALUE_ABSENT) {
		unset(b, field);
		return CODEC_OK;
	}
	if (field->property) {
		struct writer *list = list_of(b, field->will);
		size_t before = list->len;
		enum status added = add_property(b, field, value);

		if (added == CODEC_OK && !field->repeats)
			drop_property(list, field->property, before);
		return added;
	}
	if (field->kind == FILTERS || field->kind == TOPICS || field->kind == CODES)
		return add_element(b, field, value);
	enum status status = set_scalar(&b->packet, field, value);
	if (status == CODEC_OK && field->kind != BITS)
		go_with_flag(&b->packet, field, true);
	return status;
}

enum status builder_again(struct builder *b, const struct field *field, const struct value *value)
{
	return field->property ? add_property(b, field, value) : builder_set(b, field, value);
}

enum status builder_raw_property(struct builder *b, bool of_will, struct span bytes)
{
	struct writer *list = list_of(b, of_will);

	if (!make_room(b, list, bytes.len))
		return CODEC_LIMIT;
	wr_bytes(list, bytes);
	if (of_will)
		b->packet.connect_flags |= CONNECT_WILL;
	else
		b->packet.written |= WRITTEN_REASON | WRITTEN_PROPERTIES;
	return CODEC_OK;
}

static void gather(struct builder *b)
{
	if (b->lies.property_length.len)	/* a false length is there, also where a packet might end before it */
		b->packet.written |= WRITTEN_REASON | WRITTEN_PROPERTIES;
	b->packet.properties = wr_span(&b->properties);
	b->packet.will_properties = wr_span(&b->will_properties);
	if (b->list.len)
		b->packet.list = wr_span(&b->list);
}

static size_t measured(struct builder *b)
{
	struct writer w = writer_to(NULL, 0);

	gather(b);
	return encode(&b->packet, &b->lies, &w) == CODEC_OK ? w.len : SIZE_MAX;
}

/* User properties that take n bytes in all, n of at least 5: as few as can, filled from fill. */
static enum status add_padding(struct builder *b, const uint8_t *fill, size_t n)
{
	const struct field *user_property = field_of_property(PROP_user_property, false);
	const size_t least = 5, most = least + 3 + 65535;	/* identifier and two lengths; "pad" and the longest value */

	while (n) {
		size_t size = n <= most ? n : n - most < least ? most - least : most;
		struct value v = { .kind = VALUE_PAIR, .bytes = span_of("pad", size - least < 3 ? size - least : 3) };

		v.second = span_of(fill, size - least - v.bytes.len);
		enum status status = add_property(b, user_property, &v);
		if (status != CODEC_OK)
			return status;
		n -= size;
	}
	return CODEC_OK;
}

/* Pads by trial: each try corrects for what the length fields grew, and for a size that they step over does not end. */
static enum status pad(struct builder *b)
{
	const size_t before = b->properties.len, have = measured(b), n = b->packet.payload.len;
	const bool by_payload = b->packet.type == PUBLISH;
	const struct field *user_property = field_of_property(PROP_user_property, false);

	if (have == b->size)
		return CODEC_OK;
	if (have > b->size || (!by_payload && !field_belongs(user_property, b->packet.type, b->packet.version)))
		return CODEC_BAD;
	uint8_t *fill = arena_take(b->arena, b->size);
	if (!fill)
		return CODEC_LIMIT;
	for (size_t i = 0; i < b->size; i++)
		fill[i] = (uint8_t)('a' + i % 26);
	if (by_payload && n)
		memcpy(fill, b->packet.payload.at, n);
	size_t extra = b->size - have;
	for (int tries = 0; tries < 8; tries++) {
		if (by_payload) {
			b->packet.payload = span_of(fill, n + extra);
		} else {
			b->properties.len = before;
			if (extra < 5)
				return CODEC_BAD;
			enum status status = add_padding(b, fill, extra);
			if (status != CODEC_OK)
				return status;
		}
		size_t now = measured(b);
		if (now == b->size)
			return CODEC_OK;
		if (now > b->size && now - b->size > extra)
			break;
		extra += b->size - now;
	}
	return CODEC_BAD;
}

enum status builder_encode(struct builder *b, struct writer *w)
{
	if (b->size) {
		enum status status = pad(b);

		if (status != CODEC_OK)
			return status;
	}
	gather(b);
	return encode(&b->packet, &b->lies, w);
}
