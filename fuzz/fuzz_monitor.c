#include <assert.h>
#include <stdlib.h>

#include "fuzz/mutator/engine.h"
#include "harness/monitor.h"

/*
 * Any interleaving of both directions on four connections of one world. An input is steps: one byte that
 * says what (low two bits: which connection), and for a packet the packet itself, framed as it stands.
 */
enum { SENT, RECEIVED, CLOSED, OTHER };

const enum engine_shape engine_shape = ENGINE_STEPS;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct stage {
	struct monitor_world *world;
	struct monitor_log log;
	struct monitor monitors[4];
	bool open[4];
};

static void count(void *owner, struct monitor *monitor, const struct violation *violation)
{
	size_t *n = owner;

	assert(monitor_version(monitor) >= MQTT_3_1 && monitor_version(monitor) <= MQTT_5);
	assert(violation->clause && *violation->clause && violation->text && *violation->text);
	for (const char *c = violation->text; *c; c++)
		assert((uint8_t)*c >= ' ');
	++*n;
}

/* From room of its own, so that a sanitizer sees every read behind the packet. */
static void pass(struct monitor *m, bool ours, const uint8_t *bytes, const struct frame *frame)
{
	uint8_t *copy = malloc(frame->size);
	struct packet packet;
	struct finding finding;

	if (!copy)
		return;
	memcpy(copy, bytes, frame->size);
	if (ours) {
		bool readable = decode(copy, frame->size, monitor_version(m), &packet, &finding) == CODEC_OK;

		monitor_sent(m, copy, frame->size, readable ? &packet : NULL);
	} else {
		monitor_received(m, copy, frame->size, frame, &packet);
	}
	free(copy);
}

static void other(struct stage *stage, struct monitor *m, unsigned choice)
{
	switch (choice & 3) {
	case 0:
		monitor_misbehaved(m);
		break;
	case 1:
		monitor_world_forget(stage->world, span_text("me"));
		break;
	case 2:
		monitor_world_subscriptions_are_ours(stage->world, choice & 4);
		break;
	default:
		m->log = m->log ? NULL : &stage->log;
	}
}

static void step(struct stage *stage, unsigned what, const uint8_t **at, const uint8_t *end)
{
	unsigned i = what & 3;
	struct monitor *m = &stage->monitors[i];
	struct frame frame;
	struct finding finding;

	if (!stage->open[i]) {
		monitor_open(m, stage->world, &stage->log);
		stage->open[i] = true;
	}
	switch (what >> 2 & 3) {
	case CLOSED:
		monitor_close(m);
		stage->open[i] = false;
		return;
	case OTHER:
		other(stage, m, what >> 4);
		return;
	default:
		switch (frame_next(*at, (size_t)(end - *at), &frame, &finding)) {
		case FRAME_OK:
			pass(m, (what >> 2 & 3) == SENT, *at, &frame);
			*at += frame.size;
			break;
		case FRAME_BAD:
			monitor_bad_frame(m, &finding);
			break;
		default:
			break;
		}
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *at = data, *end = data + size;
	size_t n = 0;
	struct stage stage = { .log = { .violated = count, .owner = &n } };

	stage.world = monitor_world_new();
	if (!stage.world)
		return 0;
	while (at < end) {
		unsigned what = *at++;

		step(&stage, what, &at, end);
	}
	assert(monitor_held(&stage.log, MQTT_5, span_text("MQTT-2.1.3-1")) >= 0);
	for (unsigned i = 0; i < 4; i++)
		if (stage.open[i])
			monitor_close(&stage.monitors[i]);
	monitor_world_free(stage.world);
	return 0;
}
