#ifndef CODEC_TEXT_H
#define CODEC_TEXT_H

#include "codec/build.h"
#include "codec/fault.h"

/*
 * The packet in the notation, without a newline: PUBLISH topic="a/b" qos=1 packet_id=7 payload="x".
 * Read back by packet_parse() it encodes to the same bytes, whatever decode() took.
 * - Fields come in order of the wire, properties in theirs; neighbours of a name that may repeat are one
 *   list: user_property=["k":"v" "k2":"v2"]. PUBLISH's flags follow its topic, CONNECT's come before the rest.
 * - Left out: flags and bits that are 0, except session_present; protocol_name and protocol_version when they
 *   are the version's own; the fixed header's flags when they are the type's; what the bytes leave out. A
 *   property length of 0 that might have been left out prints as property_length=0, an overlong one as hex.
 * - Codes print by name where the packet has one, else as 0x80; filters as ("a/b" qos=1 no_local, "c").
 * - Bits that no field has print as connect_flags=0x.., ack_flags=N, flags=0x.., options=0x... CONNECT of 3.1
 *   without the strings that its flags promise prints connect_flags and !ends_after.
 * - The part that check() finds wrong first carries '!', a second occurrence of what may not repeat `!again`,
 *   a property where none of its kind belongs '!'; what no part shows (direction, filters) `!SUBSCRIBE`.
 * Strings print as text when they are UTF-8, else as hex"..."; nothing foreign reaches the output unescaped.
 */
void packet_print(const struct packet *packet, enum sender from, struct writer *w);

/* A quoted string of the notation with \" \\ \n \t \xHH \u{...} escapes; bidi controls and non-characters escaped too. */
void text_print_string(struct span s, struct writer *w);

/* hex"c0 80" */
void text_print_hex(struct span s, struct writer *w);

/*
 * Read a packet in text form with constant values only (no names, no expectations) into b, which
 * builder_start() need not have seen. Nothing is left out but what the text leaves out, and nothing
 * is added: no default topic, id or keep alive.
 * CODEC_BAD: *fault says where and what was expected. CODEC_LIMIT: the arena is full.
 */
enum status packet_parse(struct span text, enum version version, struct arena *arena, struct builder *b, struct fault *fault);

#endif
