#ifndef CODEC_TABLE_H
#define CODEC_TABLE_H

#include "codec/fields.h"
#include "codec/reader.h"

/* The layout of each packet, shared by all that walk it: decode, encode, check, print, layout, compare, generate. */

enum when {			/* a row is there */
	ALWAYS,
	IN_5,
	QOS_ABOVE_0,
	WILL_FLAG, WILL_FLAG_IN_5, USER_NAME_FLAG, PASSWORD_FLAG,
	REASON_LEFT, PROPERTIES_LEFT,	/* in 5, when the packet does not end before */
};

struct row {
	const struct field *field;
	enum when when;
};

/* The rows of a packet in order of the wire; the one behind the last has no field. */
const struct row *rows_of(enum packet_type type);

static inline bool row_there(const struct row *row, const struct packet *p)
{
	switch (row->when) {
	case ALWAYS:          return true;
	case IN_5:            return p->version == MQTT_5;
	case QOS_ABOVE_0:     return publish_qos(p) != 0;
	case WILL_FLAG:       return p->connect_flags & CONNECT_WILL;
	case WILL_FLAG_IN_5:  return p->version == MQTT_5 && p->connect_flags & CONNECT_WILL;
	case USER_NAME_FLAG:  return p->connect_flags & CONNECT_USER_NAME && !(p->written & LEFT_OUT_USER_NAME);
	case PASSWORD_FLAG:   return p->connect_flags & CONNECT_PASSWORD && !(p->written & LEFT_OUT_PASSWORD);
	case REASON_LEFT:     return p->version == MQTT_5 && p->written & (WRITTEN_REASON | WRITTEN_PROPERTIES);
	case PROPERTIES_LEFT: return p->version == MQTT_5 && p->written & WRITTEN_PROPERTIES;
	}
	return false;
}

static inline void *member_of(struct packet *p, const struct field *f)
{
	return (uint8_t *)p + f->member;
}

static inline const void *const_member_of(const struct packet *p, const struct field *f)
{
	return (const uint8_t *)p + f->member;
}

/* enum kind of a property; -1 for an unknown identifier. */
int property_kind(unsigned id);

/* Reads one property; false when r has failed, with UNKNOWN_PROPERTY for an identifier that is none. */
bool property_read(struct reader *r, struct property *property);
#define UNKNOWN_PROPERTY "unknown property identifier"

/* Bytes that the row's field takes on the wire. */
size_t row_size(const struct row *row, const struct packet *p);

/* A variable byte integer of that many bytes, be they more than it needs. */
static inline void wr_length(struct writer *w, size_t value, size_t size)
{
	for (; size > 1; size--, value >>= 7)
		wr_u8(w, (value & 0x7f) | 0x80);
	wr_u8(w, (unsigned)value);
}

/* The fewest bytes, or as many as a decoded length took. */
static inline size_t property_length_size(const struct packet *p, const struct field *f)
{
	size_t fewest = varint_size((uint32_t)((const struct span *)const_member_of(p, f))->len);
	size_t taken = f->will ? p->will_property_length_size : p->property_length_size;

	return taken > fewest ? taken : fewest;
}

#endif
