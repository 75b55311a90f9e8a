#ifndef CODEC_BUILD_H
#define CODEC_BUILD_H

#include "codec/arena.h"
#include "codec/codec.h"
#include "codec/fields.h"

/*
 * A packet put together field by field, in any order, legal or not: what a step
 * that sends, a packet in text form, and the generator all do.
 * Everything it writes down lies in the arena; spans given to it are borrowed
 * until the packet is encoded, except properties and list elements, which are copied.
 */
struct builder {
	struct packet packet;
	struct lies lies;
	struct arena *arena;
	struct writer properties, will_properties, list;	/* room in the arena, moved when it grows */
	size_t size;		/* pad to this many bytes in all; 0 for none */
};

/* A packet of that type with nothing in it: right flags, the version's protocol name and level for CONNECT. */
void builder_start(struct builder *b, enum packet_type type, enum version version, struct arena *arena);

/*
 * Give a field its value. A property or scalar named twice takes the last value; one that
 * repeats (user_property, subscription_identifier, filters, codes) gets one more.
 * Fields that go with a flag set it: will.topic sets the will flag, user_name and password theirs,
 * qos, dup, retain and clean_start their bits; a later `connect_flags` or `flags` overrides all.
 * VALUE_ABSENT takes the field away again. Giving an acknowledgement's reason writes it even if 0.
 * VALUE_BYTES for a number field writes those bytes as the number's wire form where they have its width.
 * CODEC_BAD: the value is not of the field's kind or out of its range. CODEC_LIMIT: arena full, string too long.
 */
enum status builder_set(struct builder *b, const struct field *field, const struct value *value);

/* One more of a property, also where it may not repeat. */
enum status builder_again(struct builder *b, const struct field *field, const struct value *value);

/* Raw bytes at the end of the property list (an unknown identifier, a cut property). */
enum status builder_raw_property(struct builder *b, bool will, struct span bytes);

/*
 * The packet, padded to b->size when that is set: PUBLISH by its payload, other packets of 5 by
 * user properties. CODEC_BAD: it is larger already, has nothing that can be padded, or there is no packet
 * of that size: a length field that grows by a byte steps over one, a user property takes at least 5 bytes.
 */
enum status builder_encode(struct builder *b, struct writer *w);

#endif
