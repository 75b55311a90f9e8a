#include "codec/codec.h"
#include "codec/reader.h"

enum frame_status frame_next(const uint8_t *buf, size_t len, struct frame *frame, struct finding *finding)
{
	struct reader r = reader_over(span_of(buf, len));

	frame->size = 0;
	frame->overlong = false;
	if (len < 2)
		return FRAME_MORE;
	frame->first = rd_u8(&r);
	uint32_t remaining = rd_varint(&r, &frame->overlong);
	if (r.why) {
		if (len < 5)
			return FRAME_MORE;
		*finding = (struct finding){ .rule = RULE_REMAINING_LENGTH, .version = MQTT_5, .offset = 1, .field = "remaining_length", .why = r.why };
		return FRAME_BAD;
	}
	frame->header_size = (uint8_t)(r.pos - r.start);
	frame->size = frame->header_size + (size_t)remaining;
	return frame->size <= len ? FRAME_OK : FRAME_MORE;
}
