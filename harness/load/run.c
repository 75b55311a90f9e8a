#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "harness/load/leftovers.h"
#include "harness/load/run_internal.h"
#include "harness/target.h"

/* The course of a run, from the first connection to the last figure. */

enum {
	BEAT_NS = 50000000,		/* how often the control thread looks around */
	DRAIN_BEAT_NS = 20000000,	/* ... in the drain */
	LOOKING_SHARE = 10,		/* so much less time is taken for looking into ledgers than there is between */
	AGAIN_NS = 500000000,		/* how often it is asked whether a target that is gone has come back */
	PATIENCE_NS = 500000000,	/* how long a busy engine's last second is waited for */
	OVERTIME = 15,			/* seconds beyond the drain after which engines are stopped */
};
#define SECOND_NS 1000000000u
#define DROPS_TOLD_NS 11500000000u	/* Mosquitto tells them every 10 s unless it is told otherwise */

/* ---- signals ---- */

static volatile sig_atomic_t n_interrupts;

void run_interrupt(void)
{
	n_interrupts = n_interrupts + 1;
}

bool run_interrupted(void)
{
	return n_interrupts != 0;
}

bool run_interrupted_again(struct run *r)
{
	return (unsigned)n_interrupts > r->interrupts;
}

/* ---- its end before its time ---- */

void run_end(struct run *r, const char *format, ...)
{
	va_list args;
	char text[1000];

	if (r->ended)
		return;
	r->ended = true;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	r->figures->why = figures_say(r->figures, "%s", text);
	course_end(r->course, "ended by the control thread");
}

static void heed_interrupts(struct run *r)
{
	unsigned n = (unsigned)n_interrupts;

	if (n > r->interrupts)
		run_end(r, "interrupted");
	if (n >= 2 && !r->at_once) {
		r->at_once = true;
		workers_halt(r);
	}
	r->interrupts = n;
}

static void heed_death(struct run *r)
{
	if (r->o->died && *r->o->died)
		run_end(r, "the broker %s", *r->o->died);
}

/* ---- a target that is gone ---- */

static void on_told(void *context)
{
	struct run *r = context;

	loop_stop(r->o->loop);
}

static struct onlooker *look_on(struct run *r, const char *who)
{
	const struct plan *plan = r->o->plan;
	char id[40];

	snprintf(id, sizeof(id), "%.16s%s", plan->name, who);
	return onlooker_new(r->o->loop, r->o->address, plan->script->version, id, plan->user_name, plan->password, plan->timeout_ns, on_told, r);
}

/*
 * All connections are gone, and nobody takes new ones. A workload whose clients try again may mean to see a broker
 * restarted: it is waited for, as long as for a meeting.
 */
static void heed_target(struct run *r)
{
	uint64_t active = run_active(r), now_ns = r->o->loop->now_ns;
	enum onlooker_state state = r->onlooker ? onlooker_state(r->onlooker) : ONLOOKER_UNREACHABLE;

	if (state == ONLOOKER_SERVED || state == ONLOOKER_REFUSED || (active && !r->refused_since_ns)) {
		r->refused_since_ns = 0;
		if (active || state == ONLOOKER_SERVED)
			return;
	}
	if (state == ONLOOKER_ASKS || active || course_phase(r->course) >= PHASE_DRAIN)
		return;
	if (state == ONLOOKER_UNREACHABLE && r->onlooker) {
		if (!r->refused_since_ns)
			r->refused_since_ns = now_ns;
		if (!r->again || now_ns - r->refused_since_ns >= r->o->plan->meet_patience_ns) {
			run_end(r, "the target is gone: %s", onlooker_why(r->onlooker));
			return;
		}
		if ((now_ns - r->refused_since_ns) % AGAIN_NS >= BEAT_NS)
			return;
	}
	if (state == ONLOOKER_REFUSED)
		return;
	onlooker_free(r->onlooker);
	r->onlooker = look_on(r, "Look");
}

/* ---- what it costs the broker ---- */

static void find_broker(struct run *r)
{
	struct broker_costs *b = &r->broker;

	if (r->simulated)
		return;
	b->pid = r->o->broker_pid;
	if (!b->pid && address_is_loopback(r->o->address))
		b->pid = cost_find_listener(r->o->address, b->name, sizeof(b->name));
	b->has_start = b->pid && cost_of(b->pid, &b->at_start);
}

static void watch_broker(struct run *r)
{
	struct broker_costs *b = &r->broker;
	enum phase phase = course_phase(r->course);

	if (!b->has_start)
		return;
	if (!b->has_steady && phase >= PHASE_STEADY)
		b->has_steady = cost_of(b->pid, &b->at_steady);
	if (!b->has_drain && phase >= PHASE_DRAIN)
		b->has_drain = cost_of(b->pid, &b->at_drain);
}

/* ---- the loop ---- */

static uint64_t process_cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * SECOND_NS + (uint64_t)t.tv_nsec;
}

/* Engines hand over a second when it is over, but they are busy: without it progress would show one with nothing, and then two as one. */
static bool have_told(const struct run *r, uint64_t second)
{
	for (unsigned i = 0; i < r->n_workers; i++)
		if (r->workers[i].told_seconds < second && !atomic_load(&r->workers[i].over))
			return false;
	return true;
}

static void tell(struct run *r)
{
	struct figures *f = r->figures;
	uint64_t second = run_time(r) / SECOND_NS;

	if (second <= r->told_seconds)
		return;
	gather_seconds(r);
	if (!have_told(r, second) && run_time(r) % SECOND_NS < PATIENCE_NS)
		return;
	r->told_seconds = second;
	gather_meetings(r);
	f->active = run_active(r);
	f->duration_ns = run_time(r);
	f->steady_ns = course_steady_ns(r->course);
	f->drain_ns = course_drain_ns(r->course);
	f->cpu.tool_ns = process_cpu_ns() - r->cpu_before_ns;
	if (r->o->tick)
		r->o->tick(r->o->context, f);
}

static void on_beat(struct timer *timer, struct loop *loop)
{
	const struct run *r = (const struct run *)((char *)timer - offsetof(struct run, beat));

	loop_timer(loop, timer, loop->now_ns + (r->course && course_phase(r->course) == PHASE_DRAIN ? DRAIN_BEAT_NS : BEAT_NS));
	loop_stop(loop);
}

/* Engines end by themselves when the drain is over; should one not, it is stopped. */
static bool is_overdue(const struct run *r)
{
	uint64_t drain_ns = course_drain_ns(r->course);

	return drain_ns && run_time(r) > drain_ns + r->o->plan->drain_ns + (uint64_t)OVERTIME * SECOND_NS;
}

/* What has no stamp, or no account, may still be on its way, too: then it is not known. */
static bool nothing_is_owed(struct run *r)
{
	uint64_t heard = 0, unknown = 0, untracked;
	bool settled = true;

	for (unsigned i = 0; i < r->n_workers && settled; i++) {
		struct engine *engine = atomic_load(&r->workers[i].engine);

		settled = engine && (atomic_load(&r->workers[i].over) || engine_is_settled(engine));
		heard += engine ? engine_bytes_received(engine) : 0;
		unknown += engine ? engine_count(engine, COUNT_foreign) : 0;
	}
	if (!settled || unknown || (r->looked && heard == r->heard))
		return false;
	r->looked = true;
	r->heard = heard;
	return !gather_lost(r, &untracked) && !untracked;
}

/* When all that is owed has come, no exchange is open and nothing waits to be sent, there is nothing more to wait for. */
static void end_drain(struct run *r)
{
	uint64_t before_ns = process_cpu_ns();
	bool over;

	if (r->at_once || run_time(r) < r->look_ns || !course_is_quiet(r->course) || !course_halt(r->course))
		return;
	over = nothing_is_owed(r);
	course_go_on(r->course, over);
	r->look_ns = run_time(r) + LOOKING_SHARE * (process_cpu_ns() - before_ns) * !r->simulated;
}

static void play(struct run *r)
{
	while (!workers_over(r)) {
		if (!loop_run(r->o->loop))
			break;
		heed_interrupts(r);
		heed_death(r);
		if (run_time(r)) {
			heed_target(r);
			watch_broker(r);
			tell(r);
		}
		end_drain(r);
		if (is_overdue(r))
			workers_halt(r);
		if (r->simulated && (r->at_once || is_overdue(r)))
			break;
	}
}

/* ---- before and after ---- */

static bool check_machine(struct run *r)
{
	const struct plan *plan = r->o->plan;
	struct demand demand = {
		.tls = r->o->address->layers.tls, .websocket = r->o->address->layers.websocket, .loopback = address_is_loopback(r->o->address),
		.n_sources = r->o->n_sources, .address = r->o->address,
	};
	struct shortage shortages[16];

	if (r->simulated)
		return true;
	for (uint32_t i = 0; i < plan->n_roles; i++)
		demand.clients += plan->roles[i].end - plan->roles[i].first;
	demand.streams = demand.clients;
	size_t n = preflight(&demand, "", shortages, sizeof(shortages) / sizeof(*shortages));
	for (size_t i = 0; i < n; i++) {
		if (!shortages[i].fatal)
			figures_note(r->figures, shortages[i].text);
		else if (!r->figures->unable)
			r->figures->unable = figures_say(r->figures, "%s", shortages[i].text);
	}
	return !r->figures->unable;
}

/* One connection before thousands: a target that cannot be reached is told in one line. */
static bool knock(struct run *r)
{
	r->onlooker = look_on(r, "Look");
	if (!r->onlooker) {
		r->figures->unable = figures_say(r->figures, "%s: could not connect: %s", r->figures->target, strerror(errno));
		return false;
	}
	while (onlooker_state(r->onlooker) == ONLOOKER_ASKS && !n_interrupts)
		if (!loop_run(r->o->loop))
			break;
	if (!onlooker_speaks(r->onlooker)) {
		r->figures->unable = figures_say(r->figures, "%s does not serve MQTT %s: %s; --mqtt chooses another version, if the workload is written for it", r->figures->target, r->figures->mqtt,
		                                 onlooker_why(r->onlooker));
		return false;
	}
	if (onlooker_state(r->onlooker) == ONLOOKER_SERVED || onlooker_state(r->onlooker) == ONLOOKER_REFUSED)
		return true;
	r->figures->unable = figures_say(r->figures, "%s: %s", r->figures->target, n_interrupts ? "interrupted" : onlooker_why(r->onlooker));
	return false;
}

static uint64_t unix_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (uint64_t)t.tv_sec * SECOND_NS + (uint64_t)t.tv_nsec;
}

/* When it begins: not before all clients can be there, nor before everybody else's. */
static void set_start(struct run *r)
{
	struct figures *f = r->figures;
	uint64_t unix_ns = unix_now_ns(), clients = 0;
	time_t seconds;
	struct tm tm;
	char text[40];

	for (uint32_t i = 0; i < r->o->plan->n_roles; i++)
		clients += r->o->plan->roles[i].end - r->o->plan->roles[i].first;
	r->start_ns = clock_now(&r->o->loop->clock);
	if (!r->simulated) {
		uint64_t ahead_ns = 20000000 + clients * 300;

		if (r->o->start_at_unix_ns > unix_ns + ahead_ns)
			ahead_ns = r->o->start_at_unix_ns - unix_ns;
		r->start_ns += ahead_ns;
		unix_ns += ahead_ns;
	}
	f->began_unix_ns = r->simulated ? 0 : unix_ns;		/* simulated time has no time of day: shards that are rehearsed one after the other begin together */
	seconds = (time_t)(unix_ns / SECOND_NS);
	gmtime_r(&seconds, &tm);
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
	f->began = figures_say(f, "%s", text);
}

static void set_tag(struct run *r)
{
	if (r->simulated || getrandom(&r->tag, sizeof(r->tag), 0) != sizeof(r->tag))
		r->tag = (uint32_t)(r->o->plan->seed ^ r->o->plan->seed >> 32) ^ 0x6d71u;
}

static bool has_again(const struct step *steps)
{
	for (const struct step *s = steps; s; s = s->next)
		if (s->kind == STEP_AGAIN || has_again(s->children))
			return true;
	return false;
}

/* What the broker says of messages that it dropped is some seconds old. */
static void ask_for_drops(struct run *r)
{
	uint64_t until_ns = r->o->loop->now_ns + DROPS_TOLD_NS;

	onlooker_refresh(r->onlooker);
	while (!onlooker_is_fresh(r->onlooker) && r->o->loop->now_ns < until_ns && !run_interrupted_again(r))
		if (!loop_run(r->o->loop))
			break;
}

static void settle(struct run *r)
{
	struct figures *f = r->figures;

	f->duration_ns = run_time(r);
	f->active = 0;
	f->steady_ns = course_steady_ns(r->course);
	f->drain_ns = course_drain_ns(r->course);
	f->cpu.tool_ns = process_cpu_ns() - r->cpu_before_ns;
	r->broker.has_end = r->broker.has_start && cost_of(r->broker.pid, &r->broker.at_end);
	/* Where nothing is missing, nobody need wait for it. */
	if (r->onlooker && !r->at_once && gather_lost(r, NULL))
		ask_for_drops(r);
	if (r->onlooker)
		onlooker_drops(r->onlooker, &f->drops);
	gather_all(r);
	if (!f->why && course_why(r->course))	/* a meeting was given up */
		f->why = figures_say(f, "%s%s%s", course_why(r->course), f->n_reasons ? ": " : "", frequent_reasons(r, 3));
	judge_limits(r);
}

/*
 * Clients whose connections the other side ended or refused, before the time was over: is anybody there still? To be
 * asked when the workers are joined.
 */
static void look_once_more(struct run *r)
{
	uint64_t steady_ns = course_steady_ns(r->course), drain_ns = course_drain_ns(r->course), for_ns = r->o->plan->for_ns, ended = 0;

	for (unsigned i = 0; i < r->n_workers; i++)
		for (uint32_t k = 0; k < r->o->plan->n_roles; k++)
			ended += engine_tallies(r->workers[i].engine)[k].counts[COUNT_ended] + engine_tallies(r->workers[i].engine)[k].counts[COUNT_refused];
	if (r->ended || !ended || course_why(r->course) || (for_ns && steady_ns && drain_ns >= steady_ns + for_ns))
		return;
	/* The kernel takes connections for a moment after a process has died, and cuts them. */
	for (int tries = 0; tries < 4; tries++) {
		struct onlooker *o = look_on(r, "Seek");

		while (o && onlooker_state(o) == ONLOOKER_ASKS && !run_interrupted_again(r))
			if (!loop_run(r->o->loop))
				break;
		enum onlooker_state state = o ? onlooker_state(o) : ONLOOKER_UNREACHABLE;
		if (state == ONLOOKER_UNREACHABLE)
			run_end(r, "the target is gone: %s", o ? onlooker_why(o) : strerror(errno));
		onlooker_free(o);
		if (state != ONLOOKER_REFUSED)
			return;
		loop_run(r->o->loop);		/* to the next beat */
	}
}

static bool play_it(struct run *r)
{
	if (!check_machine(r) || !knock(r))
		return false;
	find_broker(r);
	set_start(r);
	set_tag(r);
	r->audience = audience_new(r->o->plan->n_roles);
	r->course = course_new(r->o->plan, r->start_ns, r->simulated);
	gather_roles(r);
	r->cpu_before_ns = process_cpu_ns();
	r->machine_before_ns = machine_busy_ns();
	r->machine_watched_ns = clock_now(&r->o->loop->clock);
	if (workers_start(r)) {
		play(r);
	} else {
		workers_halt(r);
	}
	workers_join(r);
	r->machine_after_ns = machine_busy_ns();
	r->machine_watched_ns = clock_now(&r->o->loop->clock) - r->machine_watched_ns;
	if (r->figures->unable)
		return false;
	look_once_more(r);
	settle(r);
	if (!r->o->leave && !r->at_once)
		clear_leftovers(r);
	return true;
}

bool run_load(const struct run_options *options, struct figures *figures)
{
	struct run r = {
		.o = options, .figures = figures, .n_workers = options->threads ? options->threads : 1, .simulated = options->loop->clock.simulated,
		.beat.fire = on_beat, .over.fd = -1,
	};

	figures->seed = options->plan->seed;
	figures->shard = options->plan->shard;
	figures->n_shards = options->plan->n_shards;
	figures->n_merged = 1;
	for (uint32_t i = 0; i < options->plan->n_roles; i++)
		r.again = r.again || has_again(options->plan->roles[i].role->steps);
	loop_timer(options->loop, &r.beat, options->loop->now_ns + BEAT_NS);
	bool played = play_it(&r);
	loop_timer_stop(options->loop, &r.beat);
	workers_release(&r);
	onlooker_free(r.onlooker);
	if (r.course)
		course_free(r.course);
	if (r.audience)
		audience_free(r.audience);
	loop_settle(options->loop);
	return played;
}
