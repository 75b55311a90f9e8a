#include "harness/load/offers.h"

#include <stdlib.h>
#include <string.h>

#include "harness/load/control.h"

enum { MAX_PACKET = 8 << 20 };

struct asked {
	struct loop *loop;
	bool answered;
};

static void on_probed(void *context)
{
	struct asked *a = context;

	a->answered = true;
	loop_stop(a->loop);
}

static struct span credential(const char *text)
{
	return text ? span_text(text) : (struct span){ 0 };
}

bool offers_ask(const struct offers_question *question, struct offers *offers)
{
	struct arena scratch;
	struct asked asked = { .loop = question->loop };
	struct stage stage = {
		.loop = question->loop, .address = question->address, .world = monitor_world_new(), .limits = { .max_packet = MAX_PACKET },
		.timeout_ns = question->timeout_ns, .slack = 1, .patience = 1, .scratch = &scratch, .packet = malloc(SCRATCH_SIZE), .packet_size = SCRATCH_SIZE,
		.user_name = credential(question->user_name), .password = credential(question->password),
	};
	uint8_t *room = malloc(SCRATCH_SIZE);

	if (!stage.world || !stage.packet || !room)
		abort();
	arena_init(&scratch, room, SCRATCH_SIZE);
	stage.ways[way_of(&question->address->layers)] = question->address;
	struct probe *probe = probe_start(&stage, question->versions, &question->methods, question->name, offers, on_probed, &asked);
	while (!asked.answered && !run_interrupted())
		if (!loop_run(question->loop))
			break;
	probe_free(probe);
	loop_settle(question->loop);
	monitor_world_free(stage.world);
	free(stage.packet);
	free(room);
	return asked.answered;
}
