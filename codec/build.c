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

static enum status add_property(struct builder *b, const struct field *f, const struct value *v)
{
	struct writer *list = f->will ? &b->will_properties : &b->properties, measure = writer_to(NULL, 0);
	static const uint64_t most[] = { [U8] = 0xff, [U16] = 0xffff, [U32] = 0xffffffff, [VARINT] = VARINT_MAX };
	bool number = f->kind == U8 || f->kind == U16 || f->kind == U32 || f->kind == VARINT;

	if (number ? v->kind != VALUE_NUMBER || v->number > most[f->kind] : v->kind != (f->kind == PAIR ? VALUE_PAIR : VALUE_BYTES))
		return CODEC_BAD;
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

static void drop_property(struct writer *list, unsigned id)
{
	struct property_walk walk = properties_of(wr_span(list));
	struct property p;
	size_t kept = 0;

	while (property_next(&walk, &p)) {
		if (p.id == id)
			continue;
		memmove(list->at + kept, p.at, p.size);
		kept += p.size;
	}
	list->len = kept;
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

/* Fields that stand or fall with a flag. */
static void go_with_flag(struct packet *p, const struct field *f, bool there)
{
	unsigned flag = 0;

	if (f->member == offsetof(struct packet, user_name) && p->type == CONNECT)
		flag = CONNECT_USER_NAME;
	else if (f->member == offsetof(struct packet, password) && p->type == CONNECT)
		flag = CONNECT_PASSWORD;
	else if (f->will)
		flag = CONNECT_WILL;
	else if (!strncmp(f->name, "will.", 5) && f->width != 1 && there)
		flag = 0;
	if (flag)
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
		if (v->kind == VALUE_BYTES && v->bytes.len == (f->kind == U8 ? 1u : 2u))
			n = f->kind == U8 ? v->bytes.at[0] : (uint64_t)v->bytes.at[0] << 8 | v->bytes.at[1];
		else if (v->kind != VALUE_NUMBER || n > (f->kind == U8 ? 0xffu : 0xffffu))
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
		drop_property(f->will ? &b->will_properties : &b->properties, f->property);
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
		if (!field->repeats)
			drop_property(field->will ? &b->will_properties : &b->properties, field->property);
		return add_property(b, field, value);
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
	struct writer *list = of_will ? &b->will_properties : &b->properties;

	if (!make_room(b, list, bytes.len))
		return CODEC_LIMIT;
	wr_bytes(list, bytes);
	b->packet.written |= of_will ? 0 : WRITTEN_REASON | WRITTEN_PROPERTIES;
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

/* Pads by trial: each try corrects for what the length fields grew. */
static enum status pad(struct builder *b)
{
	const struct field *user_property = field_of_property(PROP_user_property, false);
	size_t before = b->properties.len, have = measured(b), n = b->packet.payload.len;
	bool by_payload = b->packet.type == PUBLISH;

	if (have == b->size)
		return CODEC_OK;
	if (have > b->size || (!by_payload && (b->packet.version != MQTT_5 || !field_belongs(user_property, b->packet.type, MQTT_5))))
		return CODEC_BAD;
	uint8_t *fill = arena_take(b->arena, b->size + 1);
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
			struct value v = { .kind = VALUE_PAIR, .bytes = span_text("pad"), .second = span_of(fill, extra > 8 ? extra - 8 : 0) };

			b->properties.len = before;
			if (v.second.len > 65535 || add_property(b, user_property, &v) != CODEC_OK)
				return CODEC_LIMIT;
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
