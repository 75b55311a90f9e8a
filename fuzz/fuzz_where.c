#include "fuzz/must.h"
#include "pcap/where.h"

/*
 * An expression, and behind its first zero byte the version and a packet. An expression is either refused at a place in it, in
 * one line, or decides about any packet, and about the same one alike.
 */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void refused(const struct fault *fault, size_t len)
{
	MUST(fault->line && fault->column && fault->column <= len + 1 && *fault->text);
	for (const char *at = fault->text; *at; at++)
		MUST((uint8_t)*at >= ' ' && *at != 0x7f);
}

static void decide(const struct where *where, const uint8_t *data, size_t size)
{
	struct conversation c = { .number = 1, .version = size ? MQTT_3_1 + *data % 3 : MQTT_5, .client_id = span_text("a/b") };
	struct seen_packet seen = { .conversation = &c, .from = size && *data & 4 ? FROM_CLIENT : FROM_SERVER, .sure = true, .confidence = 100 };
	struct finding finding;

	if (!size || frame_next(data + 1, size - 1, &seen.frame, &finding) != FRAME_OK)
		return;
	seen.bytes = span_of(data + 1, seen.frame.size);
	seen.status = decode(seen.bytes.at, seen.bytes.len, c.version, &seen.packet, &seen.finding);
	if (seen.status == CODEC_OK)
		c.version = seen.packet.version;
	bool matches = where_matches(where, &seen, 0);
	MUST(where_matches(where, &seen, 0) == matches);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *zero = size ? memchr(data, 0, size) : NULL;
	struct span text = span_of(data, zero ? (size_t)(zero - data) : size);
	struct fault fault = { 0 };
	struct where *where = where_parse(text, &fault);

	if (!where)
		refused(&fault, text.len);
	else if (zero)
		decide(where, zero + 1, size - text.len - 1);
	where_free(where);
	return 0;
}
