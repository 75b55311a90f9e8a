#ifndef CODEC_CODEC_H
#define CODEC_CODEC_H

#include "codec/finding.h"
#include "codec/packet.h"
#include "codec/writer.h"

struct field;

/* ---- framing ---- */

enum frame_status { FRAME_OK, FRAME_MORE, FRAME_BAD };

struct frame {
	uint8_t first;			/* the first byte: type and flags */
	uint8_t header_size;		/* 2 to 5 */
	bool overlong;			/* the remaining length is not the shortest form */
	size_t size;			/* of the whole packet, header included; known with FRAME_OK and, once
					 * the length has come, with FRAME_MORE (else 0) */
};

/*
 * Find the first whole packet in buf[0..len).
 * FRAME_OK    the packet is buf[0..frame->size).
 * FRAME_MORE  not all here yet: call again from the same start with more bytes.
 * FRAME_BAD   no further bytes can make it a packet; *finding says why.
 * Keeps no state between calls, never reads buf[len]. The caller's own limit on
 * size is the caller's to apply to frame->size.
 */
enum frame_status frame_next(const uint8_t *buf, size_t len, struct frame *frame, struct finding *finding);

/* ---- what does it say ---- */

/*
 * Read one whole packet, as framed, by the rules of version. CONNECT brings its
 * own: name "MQIsdp" or level 3, 4, 5 choose it, and packet->version says which;
 * with any other level it is read by `version`.
 * CODEC_OK   *packet borrows from buf; whether it is legal is check()'s to say.
 * CODEC_BAD  the bytes cannot be read as that packet; *finding names rule, field, offset.
 * Never CODEC_LIMIT. Encoding a decoded packet gives back the same bytes, but for an
 * overlong remaining length, which frame_next() shows.
 */
enum status decode(const uint8_t *buf, size_t len, enum version version, struct packet *packet, struct finding *finding);

/* ---- is it allowed ---- */

/*
 * Judge one decoded packet by itself: flags, direction, strings, values, reason
 * codes, and properties by place and number. What only the flow can make wrong
 * (ids in use, order, quotas) is the monitor's to judge.
 * CODEC_OK, or CODEC_BAD with the first rule broken in the order of the bytes.
 */
enum status check(const struct packet *packet, enum sender from, struct finding *finding);

/*
 * Both at once, and several times as fast, for what most packets are: PUBLISH without properties to a topic in ASCII, and acknowledgements of four bytes.
 * True: decode() is CODEC_OK with this packet, and so is check() whoever sent it. False: nothing is said, *packet is void: ask them.
 */
bool decode_plain(const uint8_t *buf, size_t len, enum version version, struct packet *packet);

/* ---- layout ---- */

struct part {
	const struct field *field;	/* NULL for the fixed header's first byte and for trailing bytes */
	const char *name;		/* in the notation; "remaining_length", "property_length" too */
	uint32_t offset, len;		/* from the packet's first byte; a string's includes its length field */
	uint32_t nth;			/* which of several: filter 0, 1...; user property 0, 1... */
};

/*
 * Where each field of a whole encoded packet stands, in order of offset, without
 * gaps: the parts add up to len. Bytes that decode() calls BAD are laid out as far
 * as they can be read; what follows is one part "unreadable". Returns how many
 * parts there are; only the first cap are written.
 */
size_t layout(const uint8_t *buf, size_t len, enum version version, struct part *parts, size_t cap);

/* ---- writing ---- */

/* A length or a part that tells a lie, or is left out, on purpose. Zero tells the truth. */
struct lies {
	struct span remaining_length;		/* raw bytes in place of the true length */
	struct span property_length, will_property_length;
	struct span trailing;			/* bytes behind the last field, counted in the remaining length */
	const struct field *omit[4];		/* fields left out, lengths repaired */
	const struct field *ends_after;		/* nothing is written behind this field, lengths repaired */
};

/*
 * Write the packet as it says, legal or not; lies may be NULL. Counts past the
 * writer's end as every writer does, so a packet measures itself into no buffer.
 * A packet whose remaining length would pass VARINT_MAX, or a string longer than
 * 65,535 bytes, is CODEC_LIMIT and writes nothing.
 */
enum status encode(const struct packet *packet, const struct lies *lies, struct writer *w);

/* ---- comparing ---- */

/* The first field, in order of the wire, in which a and b differ; NULL when they say the same. */
const struct field *packet_differs(const struct packet *a, const struct packet *b);

#endif
