#include <assert.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "fuzz/mutator/engine.h"
#include "pcap/views.h"

/*
 * Any interleaving of both directions, holes and ends on four connections, through --check: both judges, and what is written.
 * An input is steps as fuzz_monitor's: one byte that says what (low two bits: which connection), and for a packet the packet
 * itself, framed as it stands.
 */
enum { SENT, RECEIVED, CLOSED, OTHER };

const enum engine_shape engine_shape = ENGINE_STEPS;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct stage {
	struct observer *check;
	struct conversation conversations[4];
	bool open[4], sure[4];
	struct when now;
};

static void open_it(struct stage *stage, unsigned i, const uint8_t *at, const uint8_t *end)
{
	static const uint8_t name[] = "me";
	struct conversation *c = &stage->conversations[i];
	bool connect = at < end && *at >> 4 == CONNECT;

	*c = (struct conversation){
		.number = i + 1, .stream = i, .version = i == 3 ? MQTT_3_1_1 : MQTT_5, .version_known = connect, .from_start = i != 2,
		.roles_known = true, .client_id = { connect ? name : NULL, connect ? 2 : 0 }, .broker = { .family = 4, .port = (uint16_t)(1883 + i / 3) },
	};
	stage->open[i] = stage->sure[i] = true;
	stage->check->ops->opened(stage->check, c, &stage->now);
}

static void close_it(struct stage *stage, unsigned i, unsigned choice)
{
	struct conversation *c = &stage->conversations[i];
	bool reset = choice & 1;

	if (choice & 2)
		stage->check->ops->closed(stage->check, c, FROM_SERVER, reset, &stage->now);
	stage->check->ops->closed(stage->check, c, FROM_CLIENT, reset, &stage->now);
	stage->check->ops->ended(stage->check, c, choice & 4 ? ENDED_FORGOTTEN : reset ? ENDED_BY_RESET : ENDED_BY_FIN, &stage->now);
	stage->open[i] = false;
}

static void other(struct stage *stage, unsigned i, unsigned choice)
{
	struct hole hole = { .from = choice & 4 ? FROM_CLIENT : FROM_SERVER, .why = HOLE_LOST, .when = stage->now };

	switch (choice & 3) {
	case 0:
		stage->conversations[i].holed = true;
		stage->check->ops->hole(stage->check, &stage->conversations[i], &hole);
		break;
	case 1:
		stage->sure[i] = !stage->sure[i];
		break;
	case 2:
		stage->now.time_ns += 40 * UINT64_C(1000000000);
		break;
	default:
		stage->now.crossed = !stage->now.crossed;
	}
}

/* From room of its own, so that a sanitizer sees every read behind the packet. */
static void pass(struct stage *stage, unsigned i, enum sender from, const uint8_t *bytes, const struct frame *frame)
{
	uint8_t *copy = malloc(frame->size);
	struct conversation *c = &stage->conversations[i];
	struct seen_packet seen = {
		.conversation = c, .from = from, .when = stage->now, .first = stage->now, .bytes = { copy, frame->size }, .frame = *frame,
		.sure = stage->sure[i], .confidence = stage->sure[i] ? 100 : 70,
	};

	if (!copy)
		return;
	memcpy(copy, bytes, frame->size);
	seen.status = decode(copy, frame->size, c->version, &seen.packet, &seen.finding);
	if (seen.status == CODEC_OK && seen.packet.type == CONNECT)
		c->version = seen.packet.version;
	stage->check->ops->packet(stage->check, &seen);
	free(copy);
}

static void step(struct stage *stage, unsigned what, const uint8_t **at, const uint8_t *end)
{
	unsigned i = what & 3;
	struct frame frame;
	struct finding finding;

	stage->now.frame++;
	if (!stage->open[i])
		open_it(stage, i, *at, end);
	switch (what >> 2 & 3) {
	case CLOSED:
		close_it(stage, i, what >> 4);
		return;
	case OTHER:
		other(stage, i, what >> 4);
		return;
	default:
		if (frame_next(*at, (size_t)(end - *at), &frame, &finding) != FRAME_OK) {
			*at = end;
			return;
		}
		pass(stage, i, (what >> 2 & 3) == SENT ? FROM_CLIENT : FROM_SERVER, *at, &frame);
		*at += frame.size;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *at = data, *end = data + size;
	static int nowhere = -1;
	struct out out;

	if (nowhere < 0)
		nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
	if (nowhere < 0 || !out_init(&out, nowhere))
		return 0;
	for (unsigned json = 0; json < 2; json++) {
		struct view_options options = { .json = json };
		struct stage stage = { .check = check_new(&out, &options, json, size & 1), .now = { 1, 1000000000, false } };

		stage.check->ops->started(stage.check, &stage.now);
		for (at = data; at < end;) {
			unsigned what = *at++;

			step(&stage, what, &at, end);
		}
		for (unsigned i = 0; i < 4; i++)
			if (stage.open[i])
				close_it(&stage, i, i);
		stage.check->ops->finish(stage.check, &stage.now);
		view_free(stage.check);
	}
	assert(out.written <= (size + 4) * 4096 + 1024 * 1024);
	out_release(&out);
	return 0;
}
