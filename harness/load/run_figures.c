#include "harness/load/run_internal.h"
#include "harness/load/wording.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/units.h"

/* What the engines counted, as figures: while it runs, second by second, and in the end. */

#define SECOND_NS 1000000000u
#define STILL_COMING_NS 200000000u	/* so long before the end a message came at least, where a queue was being worked off */

void gather_roles(struct run *r)
{
	const struct plan *plan = r->o->plan;
	struct figures *f = r->figures;

	f->roles = region_alloc(&f->region, plan->n_roles * sizeof(*f->roles));
	f->n_roles = plan->n_roles;
	for (uint32_t i = 0; i < plan->n_roles; i++) {
		f->roles[i].name = figures_say(f, "%s", plan->roles[i].role->name);
		f->roles[i].clients = plan->roles[i].end - plan->roles[i].first;
	}
}

/* ---- while it runs ---- */

/* Whether the whole of that second was steady. */
static bool is_steady(const struct run *r, uint64_t second)
{
	uint64_t steady_ns = course_steady_ns(r->course), drain_ns = course_drain_ns(r->course);

	return steady_ns && second * SECOND_NS >= steady_ns && (!drain_ns || (second + 1) * SECOND_NS <= drain_ns);
}

static void take_second(struct run *r, struct worker *w, const struct second *s)
{
	for (uint32_t i = 0; i < r->figures->n_roles; i++) {
		tally_add(figures_second(&r->figures->roles[i], s->at * SECOND_NS), &s->tallies[i]);
		tally_add(&r->figures->roles[i].total, &s->tallies[i]);
	}
	w->told_seconds = s->at + 1;
	if (is_steady(r, s->at)) {
		w->steady_cpu_ns += s->cpu_ns;
		w->steady_seconds++;
	}
}

void gather_seconds(struct run *r)
{
	for (unsigned i = 0; i < r->n_workers; i++) {
		struct worker *w = &r->workers[i];
		struct engine *engine = atomic_load(&w->engine);
		struct second *s = engine ? engine_seconds(engine) : NULL;

		while (s) {
			struct second *next = s->next;

			take_second(r, w, s);
			second_free(s, r->figures->n_roles);
			s = next;
		}
	}
}

void gather_meetings(struct run *r)
{
	struct figures *f = r->figures;
	uint32_t n = r->o->plan->script->n_meetings;

	if (n && !f->meetings)
		f->meetings = region_alloc(&f->region, n * sizeof(*f->meetings));
	for (f->n_meetings = 0; f->n_meetings < n; f->n_meetings++) {
		struct meeting_state state;

		if (!course_meeting(r->course, f->n_meetings, &state))
			break;
		struct figures_meeting *m = &f->meetings[f->n_meetings];
		const char *name = m->name ? m->name : figures_say(f, "%s", state.name);
		*m = (struct figures_meeting){ name, state.expected, state.arrived, state.gone, state.held };
	}
}

uint64_t run_active(const struct run *r)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < r->n_workers; i++) {
		const struct engine *engine = atomic_load(&r->workers[i].engine);

		n += engine ? engine_active(engine) : 0;
	}
	return n;
}

/* ---- in the end ---- */

static void add_reason(struct run *r, const struct reason *reason)
{
	struct figures *f = r->figures;
	const char *role = f->roles[reason->role].name;

	for (uint32_t i = 0; i < f->n_reasons; i++)
		if (f->reasons[i].role == role && f->reasons[i].counter == reason->counter && f->reasons[i].judged == reason->judged &&
		    is_same_reason(reason->counter, f->reasons[i].text, reason->text)) {
			f->reasons[i].n += reason->n;
			return;
		}
	f->reasons = figures_append(f, f->reasons, &f->n_reasons, sizeof(*f->reasons));
	f->reasons[f->n_reasons - 1] = (struct figures_reason){ role, figures_say(f, "%s", reason->text), reason->counter, reason->judged, reason->n };
}

static int by_number(const void *a, const void *b)
{
	const struct figures_reason *x = a, *y = b;

	return x->n < y->n ? 1 : x->n > y->n ? -1 : strcmp(x->text, y->text);
}

static void gather_reasons(struct run *r)
{
	r->figures->n_reasons = 0;
	for (unsigned i = 0; i < r->n_workers; i++)
		for (const struct reason *reason = engine_reasons(r->workers[i].engine); reason; reason = reason->next)
			add_reason(r, reason);
	if (r->figures->n_reasons)
		qsort(r->figures->reasons, r->figures->n_reasons, sizeof(*r->figures->reasons), by_number);
}

const char *frequent_reasons(struct run *r, unsigned most)
{
	struct figures *f = r->figures;
	const char *text = "";

	for (uint32_t i = 0, told = 0; i < f->n_reasons && told < most; i++) {
		uint64_t n = 0;
		bool told_before = false;

		for (uint32_t k = 0; k < f->n_reasons; k++)		/* of all roles together */
			if (!strcmp(f->reasons[k].text, f->reasons[i].text)) {
				told_before |= k < i;
				n += f->reasons[k].n;
			}
		if (told_before)
			continue;
		told++;
		text = figures_say(f, "%s%s%llu x %s", text, *text ? ", " : "", (unsigned long long)n, f->reasons[i].text);
	}
	return text;
}

static void gather_totals(struct run *r)
{
	struct figures *f = r->figures;

	for (uint32_t i = 0; i < f->n_roles; i++) {
		tally_reset(&f->roles[i].total);
		for (unsigned k = 0; k < r->n_workers; k++)
			tally_add(&f->roles[i].total, &engine_tallies(r->workers[k].engine)[i]);
	}
}

/* $n of the client that is the thread's index-th: a thread's clients stand by role, a role's share of them by number. */
static uint32_t number_of(const struct run *r, uint32_t client)
{
	unsigned thread = client >> 24;
	uint64_t index = client & 0xffffff;

	for (uint32_t i = 0; i < r->o->plan->n_roles; i++) {
		const struct plan_role *role = &r->o->plan->roles[i];
		uint64_t n = role->end - role->first, from = (thread * n + r->n_workers - 1) / r->n_workers,
		         to = ((thread + 1) * n + r->n_workers - 1) / r->n_workers;

		if (index < to - from)
			return (uint32_t)(role->first + from + index);
		index -= to - from;
	}
	return client;
}

/* tallies: which owed and lost are counted into. Given. */
static struct reckoning *reckon_all(struct run *r, struct tally *tallies)
{
	struct ledger **ledgers = calloc(r->n_workers, sizeof(*ledgers));

	if (!ledgers)
		abort();
	for (unsigned i = 0; i < r->n_workers; i++)
		ledgers[i] = engine_ledger(r->workers[i].engine);
	struct reckoning *reckoning = reckon(ledgers, r->n_workers, r->audience, &r->figures->drops, tallies, r->figures->n_roles);
	free(ledgers);
	return reckoning;
}

static struct tally *new_tallies(const struct run *r)
{
	struct tally *tallies = calloc(r->figures->n_roles, sizeof(*tallies));

	if (!tallies)
		abort();
	return tallies;
}

uint64_t gather_lost(struct run *r, uint64_t *untracked)
{
	struct tally *tallies = new_tallies(r);
	uint64_t n = 0;

	struct reckoning *reckoning = reckon_all(r, tallies);

	if (untracked)
		*untracked = reckoning->untracked;
	reckoning_free(reckoning);
	for (uint32_t i = 0; i < r->figures->n_roles; i++) {
		n += tallies[i].counts[COUNT_lost];
		tally_release(&tallies[i]);
	}
	free(tallies);
	return n;
}

static void gather_losses(struct run *r)
{
	struct figures *f = r->figures;
	struct tally *tallies = new_tallies(r);

	for (uint32_t i = 0; i < f->n_roles; i++)
		tallies[i] = f->roles[i].total;
	struct reckoning *reckoning = reckon_all(r, tallies);
	for (uint32_t i = 0; i < f->n_roles; i++)
		f->roles[i].total = tallies[i];
	free(tallies);
	f->losses = region_alloc(&f->region, (reckoning->n_losses + 1) * sizeof(*f->losses));
	for (uint32_t i = 0; i < reckoning->n_losses; i++) {
		const struct loss *loss = &reckoning->losses[i];

		f->losses[f->n_losses++] = (struct figures_loss){ f->roles[loss->subscriber_role].name, f->roles[loss->publisher_role].name, loss->cause,
		                                                  figures_say(f, "%s", loss->evidence ? loss->evidence : ""), loss->n };
	}
	f->publishers = region_alloc(&f->region, (reckoning->n_publishers + 1) * sizeof(*f->publishers));
	f->n_publishers = reckoning->n_publishers;
	for (uint32_t i = 0; i < reckoning->n_publishers; i++) {
		f->publishers[i] = reckoning->publishers[i];
		f->publishers[i].client = number_of(r, f->publishers[i].client);
	}
	f->n_publishers_afflicted = reckoning->n_publishers_afflicted;
	f->untracked = reckoning->untracked;
	reckoning_free(reckoning);
}

static void gather_costs(struct run *r)
{
	struct figures *f = r->figures;

	for (unsigned i = 0; i < r->n_workers; i++) {
		const struct worker *w = &r->workers[i];
		double busy = w->steady_seconds ? (double)w->steady_cpu_ns / ((double)w->steady_seconds * 1e9)
		                                : f->duration_ns ? (double)w->cpu_ns / (double)f->duration_ns : 0;

		f->cpu.busiest = busy > f->cpu.busiest ? busy : f->cpu.busiest;
		f->judged_packets += engine_occasions(w->engine);
	}
	f->cpu.busiest = f->cpu.busiest > 1 ? 1 : f->cpu.busiest;
	f->cpu.threads = r->simulated ? 0 : r->n_workers;		/* what simulated time costs says nothing */
	if (r->broker.has_start && r->broker.has_end) {
		f->cpu.broker_known = true;
		f->cpu.broker_ns = r->broker.at_end.cpu_ns - r->broker.at_start.cpu_ns;
		f->cpu.broker = figures_say(f, "%s (pid %d)", r->broker.name[0] ? r->broker.name : "broker", r->broker.pid);
	} else if (r->broker.has_start) {
		figures_note(f, figures_say(f, "the broker's process %d ended while it ran: what CPU it used is not known", r->broker.pid));
	}
}

static void gather_rates(struct run *r)
{
	struct figures *f = r->figures;

	for (uint32_t i = 0; i < f->n_roles; i++) {
		const uint64_t *counts = f->roles[i].total.counts;

		f->roles[i].lateness_share = counts[COUNT_sent] ? (double)counts[COUNT_late] / (double)counts[COUNT_sent] : 0;
	}
	/* All roles' seconds together; only where none has been made longer. */
	for (uint32_t i = 0; i < f->n_roles; i++)
		for (uint32_t k = 0; k < f->roles[i].n_seconds; k++) {
			uint64_t at = f->roles[i].seconds[k].at, n = 0;

			for (uint32_t j = 0; j < f->n_roles; j++)
				for (uint32_t l = 0; l < f->roles[j].n_seconds; l++)
					if (f->roles[j].seconds[l].at == at)
						n += f->roles[j].seconds[l].tally.counts[COUNT_connected];
			n = n * SECOND_NS / (f->roles[i].interval_ns ? f->roles[i].interval_ns : SECOND_NS);
			f->target_connects_per_s = n > f->target_connects_per_s ? n : f->target_connects_per_s;
		}
}

unsigned held_to(const struct run *r, uint32_t role)
{
	unsigned least = 0;

	for (unsigned i = 0; i < r->n_workers; i++) {
		unsigned one = engine_held_to(r->workers[i].engine, role);

		least = one && (!least || one < least) ? one : least;
	}
	return least;
}

/* A broker that works off a queue has lost nothing yet. */
static void note_drain(struct run *r)
{
	struct figures *f = r->figures;
	uint64_t end_ns = f->drain_ns + r->o->plan->drain_ns, last_ns = 0;
	bool unexplained = false;
	char drain[40];

	end_ns = end_ns < f->duration_ns ? end_ns : f->duration_ns;
	for (unsigned i = 0; i < r->n_workers; i++) {
		uint64_t one = engine_delivered_ns(r->workers[i].engine);

		last_ns = one > last_ns ? one : last_ns;
	}
	for (uint32_t i = 0; i < f->n_losses; i++)
		unexplained = unexplained || f->losses[i].cause == LOST_UNKNOWN;
	if (!last_ns || last_ns + STILL_COMING_NS < end_ns || !unexplained)
		return;
	units_print_duration(r->o->plan->drain_ns, drain, sizeof(drain));
	figures_note(f, figures_say(f, "messages still came when the drain of %s was over: what is told as lost may be late only; a longer --drain tells", drain));
}

static void note_windows(struct run *r)
{
	struct figures *f = r->figures;

	for (uint32_t i = 0; i < f->n_roles; i++)
		if (held_to(r, i))
			figures_note(f, figures_say(f, "%s: the broker's Receive Maximum held its clients to %u in flight, less than the workload says", f->roles[i].name, held_to(r, i)));
}

void gather_all(struct run *r)
{
	gather_seconds(r);
	gather_meetings(r);
	gather_totals(r);
	gather_reasons(r);
	gather_losses(r);
	gather_costs(r);
	gather_rates(r);
	note_windows(r);
	note_drain(r);
}
