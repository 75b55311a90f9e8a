#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "codec/codec.h"
#include "fuzz/must.h"
#include "fuzz/mutator/engine.h"
#include "fuzz/target.h"

/*
 * Long packets: to decode and to judge one may cost what grows with its length, and no faster. A hundred times what the slowest of right ones takes under sanitizers, so that neither a
 * loaded machine nor an emulator makes it an accusation; CPU time of this thread, not the time of day. Apart from fuzz_decode, whose inputs are short so that it is fast.
 */
const enum engine_shape engine_shape = ENGINE_PACKETS;

enum { LONG_FROM = 16384 };

static volatile size_t sink;		/* what was found is used, or the optimiser would not look */

static uint64_t cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void one_packet(const uint8_t *bytes, size_t len, enum version version)
{
	struct packet p;
	struct finding finding = { 0 };

	if (decode(bytes, len, version, &p, &finding) == CODEC_OK)
		for (enum sender from = FROM_CLIENT; from <= FROM_SERVER; from++)
			sink += (size_t)check(&p, from, &finding);
	sink += finding.offset;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct frame frame;
	struct finding finding;
	uint64_t begun;

	if (size < LONG_FROM || frame_next(data, size, &frame, &finding) != FRAME_OK)
		return 0;
	begun = cpu_ns();
	for (enum version version = MQTT_3_1; version <= MQTT_5; version++)
		one_packet(data, frame.size, version);
	MUST(cpu_ns() - begun <= 200000000 + UINT64_C(4000) * size);
	return 0;
}
