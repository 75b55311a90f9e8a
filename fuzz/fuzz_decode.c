#include <stdlib.h>
#include <string.h>

#include "codec/codec.h"
#include "fuzz/must.h"
#include "fuzz/target.h"

/*
 * A packet, as each version reads and judges it. Short, and with the fuzzer's own mutation of bytes, so that it is fast; what follows from a packet that can be read is fuzz_roundtrip's,
 * whose packets are mutated as such.
 */

static volatile size_t sink;		/* what was read is used, or the optimiser would not read it */

static size_t used(struct span s, const uint8_t *bytes, size_t len)
{
	if (!s.len)
		return 0;
	MUST(s.at >= bytes && s.len <= len && (size_t)(s.at - bytes) <= len - s.len);
	return s.at[0] + s.at[s.len - 1] + s.len;
}

static void judge(const struct packet *p, enum sender from, size_t len)
{
	struct finding finding;

	if (check(p, from, &finding) == CODEC_OK)
		return;
	MUST(finding.rule < N_RULES && finding.why && finding.version == p->version && finding.offset <= len);
	sink += finding.offset;
}

static void one_packet(const uint8_t *bytes, size_t len, enum version version)
{
	struct packet p, plain;
	struct finding finding;
	bool is_plain = decode_plain(bytes, len, version, &plain);

	if (decode(bytes, len, version, &p, &finding) != CODEC_OK) {
		MUST(!is_plain && finding.rule < N_RULES && finding.why && finding.offset <= len);
		sink += finding.offset;
		return;
	}
	MUST(!is_plain || !memcmp(&plain, &p, sizeof(p)));
	sink += used(p.topic, bytes, len) + used(p.payload, bytes, len) + used(p.properties, bytes, len) + used(p.client_id, bytes, len) +
	        used(p.will_topic, bytes, len) + used(p.will_properties, bytes, len) + used(p.list, bytes, len);
	judge(&p, FROM_CLIENT, len);
	judge(&p, FROM_SERVER, len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct frame frame;
	struct finding finding;
	uint8_t *copy = NULL;

	if (frame_next(data, size, &frame, &finding) != FRAME_OK)
		return 0;
	MUST(frame.size <= size);
	if (frame.size < size) {	/* else it ends where the input does, and what reads past it is seen */
		MUST((copy = malloc(frame.size)));
		memcpy(copy, data, frame.size);
		data = copy;
	}
	for (enum version version = MQTT_3_1; version <= MQTT_5; version++)
		one_packet(data, frame.size, version);
	free(copy);
	return 0;
}
