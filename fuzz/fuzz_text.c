#include <stdlib.h>

#include "codec/text.h"
#include "fuzz/input.h"
#include "fuzz/must.h"
#include "fuzz/target.h"

/*
 * A packet's text, as people write it: the first byte is the version and how much room there is, the rest is the text. What it says can be wrong in any way: then the fault has a
 * place and one line of plain words. What can be read encodes within its bounds; and what of that decodes prints as a text that encodes to the same bytes.
 */
enum { ROOM = 1 << 18, MOST = 4096, SMALL = 0x10 };

static bool parsed(struct span text, enum version version, struct arena *arena, struct builder *b)
{
	struct fault fault = { .line = 0 };
	enum status status = packet_parse(text, version, arena, b, &fault);

	if (status != CODEC_BAD)
		return status == CODEC_OK;
	MUST(fault.line && fault.column && *fault.text && memchr(fault.text, 0, sizeof(fault.text)));
	for (const char *at = fault.text; *at; at++)
		MUST((uint8_t)*at >= ' ' && (uint8_t)*at < 0x7f);
	return false;
}

/* The bytes are a whole packet, unless the text lies about their length. */
static void reads_back(struct span bytes, enum version version)
{
	static uint8_t room[ROOM], again[ROOM];
	static char text[ROOM];
	struct writer t = writer_to(text, sizeof(text)), w = writer_to(again, sizeof(again));
	struct packet p, q;
	struct frame frame;
	struct finding finding;
	struct arena arena;
	struct builder b;

	if (frame_next(bytes.at, bytes.len, &frame, &finding) != FRAME_OK || frame.size != bytes.len)
		return;
	if (decode(bytes.at, bytes.len, version, &p, &finding) != CODEC_OK)
		return;
	packet_print(&p, FROM_CLIENT, &t);
	arena_init(&arena, room, sizeof(room));
	MUST(wr_fits(&t) && parsed(wr_span(&t), p.version, &arena, &b));
	enum status status = builder_encode(&b, &w);
	MUST(status == CODEC_OK && wr_fits(&w) && decode(again, w.len, p.version, &q, &finding) == CODEC_OK && !packet_differs(&p, &q));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t room[ROOM], bytes[ROOM];
	struct writer w = writer_to(bytes, sizeof(bytes));
	struct input in = { data, data + size };
	struct arena arena;
	struct builder b;

	if (!size || size > MOST)
		return 0;
	unsigned how = take(&in);
	enum version version = MQTT_3_1 + how % 3;

	arena_init(&arena, room, how & SMALL ? how : sizeof(room));
	if (!parsed(span_of(in.at, left(&in)), version, &arena, &b))
		return 0;
	if (builder_encode(&b, &w) != CODEC_OK || !wr_fits(&w))
		return 0;
	MUST(!b.size || w.len == b.size);
	reads_back(wr_span(&w), version);
	return 0;
}
