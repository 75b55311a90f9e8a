#ifndef CODEC_FIELDS_H
#define CODEC_FIELDS_H

#include "codec/finding.h"
#include "codec/packet.h"
#include "codec/writer.h"

/*
 * Fields by name: the bridge between packets and the notation. The names are the
 * standard's terms in snake_case: topic, packet_id, qos, dup, retain, payload,
 * reason, session_present, protocol_name, protocol_version, clean_start, keep_alive,
 * client_id, will.topic, will.payload, will.qos, will.retain, user_name, password,
 * flags, connect_flags, ack_flags, the properties as in wire.h, and the will's
 * properties as will.NAME (will.delay_interval for Will Delay Interval).
 */
struct field {
	const char *name;
	enum kind kind;
	enum limit limit;
	uint16_t member;	/* offset in struct packet; of the list, for a property or an element */
	uint8_t shift, width;	/* BITS: where in that byte */
	uint8_t property;	/* its identifier, 0 for other fields */
	bool will;		/* one of the will's own */
	bool repeats;		/* may legally stand more than once in some packet */
	uint32_t carried;	/* ON(type) of the packets that have it, by the standard */
	uint8_t since;		/* first version that has it */
};

/*
 * The field of that name in packets of that type. A property is found in every
 * packet, also where the standard does not put it (see field_belongs), since
 * misplacing one on purpose must be possible. NULL: no such field.
 */
const struct field *field_find(enum packet_type type, struct span name);

/* The property's field: in the will's list when will is set. NULL for an unknown identifier. */
const struct field *field_of_property(unsigned id, bool will);

/* Whether the standard lets that field stand in that packet in that version. */
bool field_belongs(const struct field *field, enum packet_type type, enum version version);

/* The i-th field that belongs to that packet in that version, in order of the wire (properties last,
 * by identifier); NULL behind the last. For listing what may be written: diagnostics, completion, docs. */
const struct field *field_at(enum packet_type type, enum version version, size_t i);

/* One value of a field. */
struct value {
	enum { VALUE_ABSENT, VALUE_NUMBER, VALUE_BYTES, VALUE_PAIR, VALUE_FILTER } kind;
	uint64_t number;		/* VALUE_NUMBER; the options byte of VALUE_FILTER */
	struct span bytes;		/* VALUE_BYTES, VALUE_FILTER; the key of VALUE_PAIR */
	struct span second;		/* the value of VALUE_PAIR */
};

/*
 * The nth value (from 0) that the packet holds for the field; false when there is none.
 * For UNSUBSCRIBE a filter's options are 0. SUBACK's and UNSUBACK's codes are `reason` by number n.
 * PUBLISH at QoS 0 has no packet_id; an acknowledgement cut before its reason has none (the
 * caller may know that this means 0).
 */
bool packet_get(const struct packet *packet, const struct field *field, size_t nth, struct value *value);

/* ---- property lists ---- */

struct property {
	uint8_t id;
	uint8_t kind;			/* enum kind */
	struct value value;
	const uint8_t *at;		/* its identifier byte, in the list */
	size_t size;			/* of the whole property, identifier included */
};

struct property_walk {
	const uint8_t *pos, *end;
};

static inline struct property_walk properties_of(struct span list)
{
	return (struct property_walk){ list.at, list.len ? list.at + list.len : list.at };
}

/* The next property; false at the end, or where the list cannot be read (a decoded packet's always can). */
bool property_next(struct property_walk *walk, struct property *property);

/* The first property with that id; false when there is none. */
bool property_find(struct span list, unsigned id, struct value *value);

/* The number the list holds for id, or `otherwise` (the standard's default) when it holds none. */
uint64_t property_number(struct span list, unsigned id, uint64_t otherwise);

/* Append one property: a number for U8 U16 U32 VARINT, bytes for STR BIN, a pair for PAIR. */
void property_write(struct writer *w, unsigned id, const struct value *value);
void property_write_number(struct writer *w, unsigned id, uint64_t number);
void property_write_bytes(struct writer *w, unsigned id, struct span bytes);

/* ---- filters of SUBSCRIBE and UNSUBSCRIBE ---- */

struct filter_walk {
	const uint8_t *pos, *end;
	bool options;			/* SUBSCRIBE has them, UNSUBSCRIBE has not */
};

struct filter_walk filters_of(const struct packet *packet);
bool filter_next(struct filter_walk *walk, struct span *filter, uint8_t *options);

/* ---- reason codes ---- */

/* The name printed for a code: "Not_authorized"; NULL when the version has none for that packet. */
const char *reason_name(enum packet_type type, enum version version, unsigned code);

/* The code that a name stands for in that packet and version, -1 if none. "Re-authenticate" and
 * "Re_authenticate" are the same name. */
int reason_code(enum packet_type type, enum version version, struct span name);

/* Whether a packet of that type may carry the code when sent by `from`. */
bool reason_listed(enum packet_type type, enum version version, unsigned code, enum sender from);

#endif
