#include "fuzz/mutator/words.h"

#include "codec/wire.h"

/* A property's value, by kind: 1, "a", "k":"v". */
#define WORD_U8(id)     2, { id, 1 }
#define WORD_U16(id)    3, { id, 0, 1 }
#define WORD_U32(id)    5, { id, 0, 0, 0, 1 }
#define WORD_VARINT(id) 2, { id, 1 }
#define WORD_STR(id)    4, { id, 0, 1, 'a' }
#define WORD_BIN(id)    4, { id, 0, 1, 'a' }
#define WORD_PAIR(id)   7, { id, 0, 1, 'k', 0, 1, 'v' }

#define TEXT1(a)        3, { 0, 1, a }
#define TEXT2(a, b)     4, { 0, 2, a, b }
#define TEXT3(a, b, c)  5, { 0, 3, a, b, c }

const struct word words[] = {
	{ .group = "first byte of each packet, remaining length 0" },
#define X(name, number, flags, sender, since) { NULL, #name, 2, { number << 4 | flags, 0 } },
	PACKETS(X)
#undef X
	{ NULL, "publish_qos_1", 1, { PUBLISH << 4 | 2 } },
	{ NULL, "publish_qos_2_dup_retain", 1, { PUBLISH << 4 | 0xd } },

	{ .group = "CONNECT up to its flags" },
	{ NULL, "connect_3_1", 9, { 0, 6, 'M', 'Q', 'I', 's', 'd', 'p', MQTT_3_1 } },
	{ NULL, "connect_3_1_1", 7, { 0, 4, 'M', 'Q', 'T', 'T', MQTT_3_1_1 } },
	{ NULL, "connect_5", 7, { 0, 4, 'M', 'Q', 'T', 'T', MQTT_5 } },

	{ .group = "properties, with a value of their kind" },
#define X(id, name, kind, carried, limit) { NULL, #name, WORD_##kind(id) },
	PROPERTIES(X)
#undef X

	{ .group = "reason codes; of several names for a code the first" },
#define X(code, name, in, by) { NULL, #name, 1, { code } },
	REASONS(X)
#undef X

	{ .group = "topics and filters, with their lengths" },
	{ NULL, "hash", TEXT1('#') },
	{ NULL, "plus", TEXT1('+') },
	{ NULL, "plus_slash_hash", TEXT3('+', '/', '#') },
	{ NULL, "slash", TEXT1('/') },
	{ NULL, "dollar", 8, { 0, 6, '$', 'S', 'Y', 'S', '/', '#' } },
	{ NULL, "shared", 12, { 0, 10, '$', 's', 'h', 'a', 'r', 'e', '/', 'g', '/', '#' } },
	{ NULL, "levels", TEXT3('a', '/', 'b') },
	{ NULL, "nul", TEXT1(0) },
	{ NULL, "surrogate", TEXT3(0xed, 0xa0, 0x80) },
	{ NULL, "overlong_utf8", TEXT2(0xc0, 0x80) },

	{ .group = "integers at their limits" },
	{ NULL, "varint_128", 2, { 0x80, 0x01 } },
	{ NULL, "varint_16384", 3, { 0x80, 0x80, 0x01 } },
	{ NULL, "varint_2097152", 4, { 0x80, 0x80, 0x80, 0x01 } },
	{ NULL, "varint_most", 4, { 0xff, 0xff, 0xff, 0x7f } },
	{ NULL, "varint_five_bytes", 5, { 0x80, 0x80, 0x80, 0x80, 0x01 } },
	{ NULL, "varint_overlong_0", 2, { 0x80, 0x00 } },
	{ NULL, "u16_most", 2, { 0xff, 0xff } },
	{ NULL, "u32_most", 4, { 0xff, 0xff, 0xff, 0xff } },
};

const size_t n_words = sizeof(words) / sizeof(*words);
