#include "harness/load/run_internal.h"

/* Whose limit the figures show: an engineer must know whether they speak of the broker, of this program, or of the workload. */

#define TOOL_BUSY 0.9		/* of a thread's time */
#define BROKER_BUSY 0.95	/* of a core */
#define LATE 0.01		/* of the messages */

/* Whether some client sends as soon as its window allows: there is no schedule then that could be kept. */
static bool floods(const struct step *steps, bool in_loop)
{
	for (const struct step *s = steps; s; s = s->next)
		if ((s->kind == STEP_PUBLISHES && in_loop) || floods(s->children, in_loop ? s->kind != STEP_EVERY : s->kind == STEP_FOREVER))
			return true;
	return false;
}

static bool plan_floods(const struct plan *plan)
{
	for (uint32_t i = 0; i < plan->n_roles; i++)
		if (floods(plan->roles[i].role->steps, false))
			return true;
	return false;
}

/* Cores that the broker had while it was steady; of a run that never was, in all of it. */
static bool broker_busy(const struct run *r, double *cores)
{
	const struct broker_costs *b = &r->broker;
	const struct figures *f = r->figures;

	if (!b->has_start || !b->has_end)
		return false;
	bool steady = b->has_steady && b->has_drain && f->drain_ns > f->steady_ns;
	uint64_t ns = steady ? f->drain_ns - f->steady_ns : f->duration_ns;
	uint64_t cpu_ns = steady ? b->at_drain.cpu_ns - b->at_steady.cpu_ns : b->at_end.cpu_ns - b->at_start.cpu_ns;
	*cores = ns ? (double)cpu_ns / (double)ns : 0;
	return true;
}

static void set(struct figures *f, enum limited_by by, const char *text)
{
	f->limited_by = by;
	f->limit = text;
}

void judge_limits(struct run *r)
{
	struct figures *f = r->figures;
	uint64_t sent = 0, late = 0;
	double cores = 0;
	bool knows_broker = broker_busy(r, &cores), flood = plan_floods(r->o->plan);

	for (uint32_t i = 0; i < f->n_roles; i++) {
		sent += f->roles[i].total.counts[COUNT_sent];
		late += f->roles[i].total.counts[COUNT_late];
	}
	double share = sent ? (double)late / (double)sent : 0;
	bool slow = flood || share > LATE;
	const char *what = flood ? "it sends as fast as its windows allow" : figures_say(f, "%.1f %% of its messages were late", share * 100);

	if (r->simulated)
		set(f, LIMITED_UNKNOWN, "a rehearsal on simulated time: it says nothing of speed");
	else if (f->cpu.busiest >= TOOL_BUSY)
		set(f, LIMITED_BY_TOOL, figures_say(f, "a thread of this program was busy for %.0f %% of the time: the figures say more of it than of the broker; give it more --threads, or play it in shards",
		                                    f->cpu.busiest * 100));
	else if (!slow)
		set(f, LIMITED_BY_NOTHING, sent ? "the schedule was kept" : "");
	else if (knows_broker && cores >= BROKER_BUSY)
		set(f, LIMITED_BY_TARGET, figures_say(f, "%s, and the broker used %.2f cores; this program's busiest thread %.0f %% of one", what, cores, f->cpu.busiest * 100));
	else if (!flood && knows_broker)
		set(f, LIMITED_UNKNOWN, figures_say(f, "%s, though neither the broker (%.2f cores) nor this program (%.0f %% of one) was busy: the network, or other programs on this machine, held it up",
		                                    what, cores, f->cpu.busiest * 100));
	else if (!flood)
		set(f, LIMITED_BY_TARGET, figures_say(f, "%s, though this program's busiest thread was busy for %.0f %% of the time only: the broker or the network held it up", what, f->cpu.busiest * 100));
	else if (knows_broker)
		set(f, LIMITED_BY_SCRIPT, figures_say(f, "%s, and neither the broker (%.2f cores) nor this program (%.0f %% of one) was busy: more clients, or more in flight, would give more",
		                                      what, cores, f->cpu.busiest * 100));
	else
		set(f, LIMITED_UNKNOWN, figures_say(f, "%s; this program's busiest thread was busy for %.0f %% of the time; of the broker's nothing is known", what, f->cpu.busiest * 100));
}
