#include "fuzz/mutator/rehearse.h"

#include <stdlib.h>

#include "harness/timeline.h"
#include "reference-broker/local.h"

enum { MAX_PACKET = 8 << 20 };
static const uint64_t timeout_ns = 5000000000;

struct rehearsal {
	struct loop loop;
	struct recorded *recorded;
	struct stage stage;
	struct address address, ways[N_WAYS];
	struct timeline *timeline;
	struct result result;
	struct timer limit;
	bool late;
};

static struct span credential(const char *text)
{
	return text ? span_text(text) : (struct span){ 0 };
}

static void set_stage(struct rehearsal *r, const struct local_service *service)
{
	static uint8_t scratch_room[SCRATCH_SIZE], packet[SCRATCH_SIZE];
	static struct arena scratch;

	arena_init(&scratch, scratch_room, sizeof(scratch_room));
	for (unsigned i = 0; i < N_WAYS; i++)
		r->ways[i] = (struct address){ .kind = ADDRESS_MEMORY, .service = service->services[i],
		                               .layers = { .tls = i & WAY_TLS, .websocket = i & WAY_WS, .context = service->tls } };
	r->address = r->ways[WAY_TCP];
	r->stage = (struct stage){
		.loop = &r->loop, .address = &r->address, .user_name = credential(service->user_name), .password = credential(service->password),
		.denies_publish = service->denies, .denies_subscribe = service->denies, .world = monitor_world_new(),
		.limits = { .max_packet = MAX_PACKET }, .timeout_ns = timeout_ns, .slack = 1, .patience = 1, .scratch = &scratch, .packet = packet,
		.packet_size = SCRATCH_SIZE,
	};
	if (!r->stage.world)
		abort();
	for (unsigned i = 0; i < N_WAYS; i++)
		r->stage.ways[i] = service->services[i] ? &r->ways[i] : NULL;
}

static void on_ended(struct timeline *timeline, void *owner)
{
	struct rehearsal *r = owner;

	r->recorded->over = true;
	timeline_free(timeline);
	r->timeline = NULL;
	loop_stop(&r->loop);
}

static void on_limit(struct timer *timer, struct loop *loop)
{
	struct rehearsal *r = (struct rehearsal *)((char *)timer - offsetof(struct rehearsal, limit));

	(void)loop;
	r->late = true;
	timeline_abort(r->timeline, VERDICT_INCONCLUSIVE, "it takes too long");
}

static void play(struct rehearsal *r, const struct script *script, uint64_t limit_ns)
{
	recorded_begin(r->recorded, r->loop.now_ns);
	result_init(&r->result, r->loop.now_ns);
	r->timeline = timeline_new(&r->stage, script, MOVES_NAME, 1, &r->result, on_ended, r);
	timeline_tap(r->timeline, &r->recorded->tap);
	timeline_start(r->timeline);
	r->limit.fire = on_limit;
	loop_timer(&r->loop, &r->limit, r->loop.now_ns + limit_ns);
	if (!loop_run(&r->loop) && r->timeline)
		timeline_abort(r->timeline, VERDICT_INCONCLUSIVE, "nothing is left to happen");
	loop_timer_stop(&r->loop, &r->limit);
	result_release(&r->result);
}

bool rehearse(const struct script *script, uint64_t limit_ns, struct recorded *recorded)
{
	struct rehearsal r = { .recorded = recorded };
	struct local_service service = { 0 };
	const char *why;
	void *broker;

	if (loop_init(&r.loop, true))
		abort();
	broker = reference_broker.start(&r.loop, script->needs, script->n_needs, NULL, 0, 1, &service, &why);
	if (broker) {
		set_stage(&r, &service);
		play(&r, script, limit_ns);
		reference_broker.stop(broker);
	}
	loop_settle(&r.loop);
	if (broker)
		monitor_world_free(r.stage.world);
	loop_release(&r.loop);
	return broker && !r.late && !recorded->too_much;
}
