#include <stdio.h>
#include <unistd.h>

#include "harness/load/run_internal.h"
#include "harness/target.h"

/* Whose limit the figures show: an engineer must know whether they speak of the broker, of this program, or of the workload. */

#define TOOL_BUSY 0.9		/* of a thread's time */
#define BROKER_BUSY 0.95	/* of a core */
#define LATE 0.01		/* of the messages */

/* Whether some client sends as soon as its window allows: there is no schedule then that could be kept. */
static bool floods(const struct step *steps, bool in_loop)
{
	for (const struct step *s = steps; s; s = s->next)
		if (s->kind != STEP_EVERY && ((s->kind == STEP_PUBLISHES && in_loop) || floods(s->children, in_loop || s->kind == STEP_FOREVER || s->kind == STEP_REPEAT)))
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

static bool has_schedule(const struct step *steps)
{
	for (const struct step *s = steps; s; s = s->next)
		if (s->kind == STEP_EVERY || has_schedule(s->children))
			return true;
	return false;
}

static bool plan_has_schedule(const struct plan *plan)
{
	for (uint32_t i = 0; i < plan->n_roles; i++)
		if (has_schedule(plan->roles[i].role->steps))
			return true;
	return false;
}

/* ---- who else there is ---- */

uint64_t machine_busy_ns(void)
{
	unsigned long long user, nice, system, idle, waits, irq, softirq, steal;
	long ticks = sysconf(_SC_CLK_TCK);
	FILE *f = fopen("/proc/stat", "r");
	int n = f ? fscanf(f, "cpu %llu %llu %llu %llu %llu %llu %llu %llu", &user, &nice, &system, &idle, &waits, &irq, &softirq, &steal) : 0;

	if (f)
		fclose(f);
	return n == 8 && ticks > 0 ? (user + nice + system + irq + softirq + steal) * (1000000000u / (uint64_t)ticks) : 0;
}

/* Cores that others had meanwhile: they spoil what is measured. 0: not known; a broker whose process is not known may be one of them. */
static double others_cores(const struct run *r, bool knows_broker)
{
	const struct figures *f = r->figures;
	uint64_t busy_ns = r->machine_after_ns, ours_ns = f->cpu.tool_ns + f->cpu.broker_ns;

	if (!r->machine_before_ns || busy_ns <= r->machine_before_ns + ours_ns || !r->machine_watched_ns || (!knows_broker && address_is_loopback(r->o->address)))
		return 0;
	return (double)(busy_ns - r->machine_before_ns - ours_ns) / (double)r->machine_watched_ns;
}

static bool are_many(double others, long cpus)
{
	return others >= 0.5 && others >= 0.25 * (double)cpus;
}

static void note_others(struct figures *f, double others, long cpus)
{
	if (are_many(others, cpus))
		figures_note(f, figures_say(f, "other programs on this machine used %.1f of its %ld processors while this ran: figures suffer by it", others, cpus));
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
	double share = sent ? (double)late / (double)sent : 0, others = r->simulated ? 0 : others_cores(r, knows_broker);
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	bool slow = flood || share > LATE, full = others > 0.2 * (double)cpus && others + cores + f->cpu.busiest >= 0.9 * (double)cpus;
	const char *what = flood ? "it sends as fast as its windows allow" : figures_say(f, "%.1f %% of its messages were more than 1 ms late", share * 100);
	double busiest = f->cpu.busiest * 100;
	bool held = false;

	for (uint32_t i = 0; i < f->n_roles; i++)
		held |= held_to(r, i) != 0;

	note_others(f, others, cpus);
	if (r->simulated)
		set(f, LIMITED_UNKNOWN, "");
	else if (f->cpu.busiest >= TOOL_BUSY)
		set(f, LIMITED_BY_TOOL, figures_say(f, "a thread of this program was busy for %.0f %% of the time: the figures say more of it than of the broker; give it more --threads, or play it in shards",
		                                    busiest));
	else if (!sent)
		set(f, LIMITED_UNKNOWN, "no messages were sent");
	else if (!slow)
		set(f, LIMITED_BY_NOTHING, plan_has_schedule(r->o->plan) ? "the schedule was kept" : "nothing was sent by a schedule");
	else if (knows_broker && cores >= BROKER_BUSY)
		set(f, LIMITED_BY_TARGET, figures_say(f, "%s, and the broker used %.2f cores; this program's busiest thread %.0f %% of one", what, cores, busiest));
	else if (full)
		set(f, LIMITED_BY_MACHINE, figures_say(f, "%s; the broker had %.2f cores, this program's busiest thread %.0f %% of one, and others %.1f of the %ld: play it when they are done", what, cores,
		                                       busiest, others, cpus));
	else if (!flood && knows_broker)
		set(f, LIMITED_UNKNOWN, figures_say(f, "%s, though neither the broker (%.2f cores) nor this program (%.0f %% of one) was busy: %s held it up",
		                                    what, cores, busiest, are_many(others, cpus) ? "most likely other programs on this machine" : "the network, waits in the broker, or this machine's timers"));
	else if (!flood)
		set(f, LIMITED_UNKNOWN, figures_say(f, "%s, though this program's busiest thread was busy for %.0f %% of the time only: the broker, the network or other programs held it up", what, busiest));
	else if (knows_broker)
		set(f, LIMITED_BY_SCRIPT, figures_say(f, "%s, and neither the broker (%.2f cores) nor this program (%.0f %% of one) was busy: more clients%s would give more",
		                                      what, cores, busiest, held ? "" : ", or more in flight,"));
	else
		set(f, LIMITED_UNKNOWN, figures_say(f, "%s; this program's busiest thread was busy for %.0f %% of the time; of the broker's nothing is known", what, busiest));
}
