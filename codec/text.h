#ifndef CODEC_TEXT_H
#define CODEC_TEXT_H

#include "codec/build.h"
#include "codec/fault.h"

/*
 * The packet in the notation, without a newline: PUBLISH topic="a/b" qos=1 packet_id=7 payload="x".
 * Parts that are wrong by themselves carry '!', so that the text, read back, gives the same bytes.
 * Payloads and strings print as text when they are UTF-8 without control characters, else as hex"..."; nothing
 * foreign ever reaches the output unescaped. Values equal to what a send would leave out are left out
 * only when reading back restores them.
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
