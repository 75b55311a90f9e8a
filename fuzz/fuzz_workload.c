#include "fuzz/load_figures.h"
#include "harness/load/control.h"
#include "reference-broker/local.h"

/*
 * The text of a workload: whatever can be parsed and planned is played by the load engine against the reference broker, on simulated time and in its bounds, and
 * judges nothing wrong of itself. What would only be much of the same is left out: many clients, many turns, large payloads.
 */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MOST_TEXT = 6000, MOST_CLIENTS = 24, MOST_TURNS = 50, MOST_PAYLOAD = 5000 };

#define MS UINT64_C(1000000)
#define LONGEST_NS (120000 * MS)	/* of simulated time */

static bool is_at_most(const struct expr *e, uint64_t most)
{
	return !e || (e->kind == EXPR_NUMBER && e->number <= most);
}

static bool is_at_least(const struct expr *e, uint64_t least)
{
	return !e || (e->kind == EXPR_NUMBER && e->number >= least);
}

static bool is_small(const struct expr *e)
{
	bool small = true;

	if (!e)
		return true;
	if (e->kind == EXPR_FILL || e->kind == EXPR_RANDOM || e->kind == EXPR_STAMP)
		return is_at_most(e->left, MOST_PAYLOAD);
	for (uint32_t i = 0; i < e->n_items; i++)
		small &= is_small(e->items[i]);
	return small && is_small(e->left) && is_small(e->right);
}

static bool is_short(const struct step *s, uint64_t turns)
{
	for (; s; s = s->next) {
		uint64_t inside = turns;

		if (s->kind == STEP_REPEAT) {
			if (s->from->kind != EXPR_NUMBER || s->to->kind != EXPR_NUMBER || s->to->number - s->from->number >= MOST_TURNS)
				return false;
			inside *= s->to->number - s->from->number + 1;
		}
		for (uint32_t i = 0; i < s->n_assigns; i++)
			if (s->assigns[i].kind == ASSIGN_SIZE ? !is_at_most(s->assigns[i].value, MOST_PAYLOAD) : !is_small(s->assigns[i].value))
				return false;
		if (inside > MOST_TURNS || (s->kind == STEP_EVERY && !is_at_least(s->duration, 20 * MS)) || !is_short(s->children, inside))
			return false;
	}
	return true;
}

static bool is_worth_playing(const struct script *script)
{
	uint64_t clients = 0;

	for (uint32_t i = 0; i < script->n_roles; i++) {
		const struct role *role = &script->roles[i];

		clients += role->count->number;
		if (!is_at_most(role->over, 5000 * MS) || !is_short(role->steps, 1))
			return false;
	}
	return script->n_roles && clients <= MOST_CLIENTS;
}

static void on_longest(struct timer *timer, struct loop *loop)
{
	(void)timer, (void)loop;
	MUST(!"it came to an end");
}

static void play(struct loop *loop, const struct plan *plan, struct service *service, unsigned threads)
{
	struct address address = { .kind = ADDRESS_MEMORY, .service = service };
	struct plan own = *plan;
	struct timer longest = { .fire = on_longest };
	struct figures *f = figures_new();

	f->workload = "fuzz.scn";
	f->title = f->target = f->command = f->version = "";
	f->mqtt = "5";
	loop_timer(loop, &longest, loop->now_ns + LONGEST_NS);
	service->options.delay_ns = 10 * MS;		/* so that what floods sends little */
	service->options.room = 2000;
	run_load(&(struct run_options){ .loop = loop, .plan = &own, .address = &address, .threads = threads, .leave = true }, f);
	loop_timer_stop(loop, &longest);
	judge_figures(f);
	if (f->n_losses || f->n_reasons)		/* what there is more to be said of */
		write_figures(f);
	figures_free(f);
}

static void plan_and_play(const struct script *script, unsigned threads)
{
	struct plan plan = { .name = "f", .seed = 1, .n_shards = 1, .for_ns = 600 * MS, .drain_ns = 200 * MS, .timeout_ns = 500 * MS, .meet_patience_ns = 1000 * MS };
	struct local_service service = { 0 };
	struct fault fault = { 0 };
	struct loop loop;
	const char *why = NULL;
	void *broker;

	if (!plan_make(&plan, script, NULL, &fault)) {
		MUST(*fault.text && fault.line);
		return;
	}
	MUST(loop_init(&loop, true) == 0);
	broker = reference_broker.start(&loop, script->needs, script->n_needs, NULL, 0, 1, &service, &why);
	MUST(broker || why);
	if (broker) {
		play(&loop, &plan, service.services[WAY_TCP], threads);
		reference_broker.stop(broker);
	}
	loop_settle(&loop);
	loop_release(&loop);
	plan_release(&plan);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct param params[] = { { "n", "5" } };
	static struct diagnostics found;
	struct scenario *scenario;

	if (size > MOST_TEXT)
		return 0;
	scenario = scenario_parse("fuzz.scn", span_of(data, size), params, 1, &found);
	for (uint32_t i = 0; scenario && i < scenario->n_scripts && i < 3; i++)
		if (scenario->scripts[i].roles && is_worth_playing(&scenario->scripts[i]))
			plan_and_play(&scenario->scripts[i], 1 + (size & 1));
	scenario_free(scenario);
	return 0;
}
