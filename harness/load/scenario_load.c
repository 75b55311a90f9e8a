#include "harness/load/scenario_load.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "harness/cleanup.h"
#include "harness/load/offers.h"
#include "harness/target.h"

enum { MAX_PACKET = 8 << 20, BEAT_NS = 50000000, PAUSE_NS = 1000000, MAX_REASONS = 1000 };
#define SECOND_NS 1000000000u

struct crew;

struct player {				/* a client: plays one test after the other */
	struct crew *crew;
	struct timeline *timeline;
	struct result result;
	uint64_t test, began_ns;
	struct task next;
	struct timer pause;
};

struct failure {			/* a reason, counted by one thread */
	struct failure *next;
	uint32_t role;
	enum counter counter;
	bool judged;
	char *text;
	uint64_t n;
};

struct crew {				/* the players of one thread */
	struct scenario_run *run;
	struct loop own, *loop;
	struct stage stage;
	struct arena scratch;
	struct cleaner cleaner;
	struct player *players;
	unsigned n_players, n_playing;
	struct timer beat;
	pthread_t thread;
	bool started;
	atomic_bool over;
	uint64_t cpu_ns, judged_packets;
	uint64_t names, n_names;
	pthread_mutex_t lock;		/* of what follows */
	struct tally *tallies;		/* by role, since they were taken last */
	struct failure *failures;
	unsigned n_failures;
};

struct scenario_run {
	const struct scenario_load_options *o;
	struct figures *figures;
	const struct script **tests;	/* that can be played here */
	uint32_t *roles;		/* of each */
	uint64_t n_tests;
	struct crew *crews;
	unsigned n_crews;
	bool simulated;
	uint64_t start_ns;
	atomic_uint_fast64_t next_test;	/* of those that are to be played once: how many have begun */
	atomic_bool ending, at_once;
	struct offers offers;
	struct timer beat;
	uint64_t told_seconds;
};

static void *must(void *p)
{
	if (!p)
		abort();
	return p;
}

/* ---- players ---- */

static void name_play(struct crew *c, char name[24])
{
	static const char digits[] = "0123456789abcdefghijklmnopqrstuvwxyz";
	uint64_t run = c->names, n = c->n_names++;

	name[0] = 's';
	for (int i = 1; i <= 8; i++, run /= 36)
		name[i] = digits[run % 36];
	for (int i = 15; i >= 9; i--, n /= 36)
		name[i] = digits[n % 36];
	name[16] = 0;
}

static void add_failure(struct crew *c, uint32_t role, enum counter counter, bool judged, const char *text)
{
	struct failure *f = c->failures;

	while (f && (f->role != role || f->counter != counter || strcmp(f->text, text)))
		f = f->next;
	if (!f && c->n_failures == MAX_REASONS) {
		text = "others";
		for (f = c->failures; f && (f->role != role || f->counter != counter || strcmp(f->text, text)); f = f->next)
			;
	}
	if (!f) {
		f = must(calloc(1, sizeof(*f)));
		*f = (struct failure){ c->failures, role, counter, judged, must(strdup(text)), 0 };
		c->failures = f;
		c->n_failures++;
	}
	f->n++;
}

static void count_play(struct player *p)
{
	struct crew *c = p->crew;
	const struct script *script = c->run->tests[p->test];
	const struct result *r = &p->result;
	uint32_t role = c->run->roles[p->test];
	struct tally *t = &c->tallies[role];
	char text[500];

	pthread_mutex_lock(&c->lock);
	tally_time(t, TIME_PLAY, p->began_ns, p->began_ns, c->loop->now_ns);
	if (r->verdict == VERDICT_PASS || r->verdict == VERDICT_WARN || r->verdict == VERDICT_SKIP) {
		tally_count(t, COUNT_finished);
	} else {
		snprintf(text, sizeof(text), "%s:%u: %s%s%s%s %s", script->scenario->file, r->at.line, verdict_names[r->verdict], r->rule ? " [" : "", r->rule ? r->rule : "",
		         r->rule ? "]" : "", r->reason ? r->reason : "");
		tally_count(t, COUNT_stopped);
		if (r->verdict == VERDICT_FAIL)
			tally_count(t, COUNT_violations);
		add_failure(c, role, r->verdict == VERDICT_FAIL ? COUNT_violations : COUNT_stopped, r->verdict == VERDICT_FAIL, text);
	}
	pthread_mutex_unlock(&c->lock);
}

static bool goes_on(const struct scenario_run *r, uint64_t now_ns)
{
	return !atomic_load(&r->ending) && (!r->o->for_ns || now_ns - r->start_ns < r->o->for_ns);
}

static void crew_done(struct crew *c)
{
	if (c->n_playing || cleaner_busy(&c->cleaner))
		return;
	atomic_store(&c->over, true);
	loop_stop(c->loop);
}

static void on_clean(void *context)
{
	crew_done(context);
}

static void on_ended(struct timeline *t, void *owner)
{
	struct player *p = owner;
	struct crew *c = p->crew;

	if (!atomic_load(&c->run->ending) || p->result.verdict >= VERDICT_PASS)	/* what we cut off is nobody's failure */
		count_play(p);
	c->judged_packets += timeline_judged_packets(t);
	if (!c->run->o->leave)
		cleaner_add(&c->cleaner, t, &c->stage);
	timeline_free(t);
	p->timeline = NULL;
	result_release(&p->result);
	c->n_playing--;
	/* On simulated time most plays take none, and the time that is to pass would never be over. */
	if (c->run->simulated)
		loop_timer(c->loop, &p->pause, c->loop->now_ns + PAUSE_NS);
	else
		loop_post(c->loop, &p->next);
}

static void on_pause(struct timer *timer, struct loop *loop)
{
	loop_post(loop, &((struct player *)((char *)timer - offsetof(struct player, pause)))->next);
}

/* Its next test; a player that begins has one of its own, so that all are played at any time. */
static void on_next(struct task *task, struct loop *loop)
{
	struct player *p = (struct player *)((char *)task - offsetof(struct player, next));
	struct crew *c = p->crew;
	struct scenario_run *r = c->run;
	char name[24];

	if (!goes_on(r, loop->now_ns)) {
		crew_done(c);
		return;
	}
	uint64_t turn = atomic_fetch_add(&r->next_test, 1);
	if (!r->o->for_ns && turn >= (r->n_tests > r->o->clients ? r->n_tests : r->o->clients)) {
		crew_done(c);
		return;
	}
	p->test = turn % r->n_tests;
	p->began_ns = loop->now_ns;
	result_init(&p->result, loop->now_ns);
	name_play(c, name);
	p->timeline = timeline_new(&c->stage, r->tests[p->test], name, r->o->seed ^ (turn + 1) * 0x9e3779b97f4a7c15u, &p->result, on_ended, p);
	pthread_mutex_lock(&c->lock);
	tally_count(&c->tallies[r->roles[p->test]], COUNT_started);
	pthread_mutex_unlock(&c->lock);
	c->n_playing++;
	timeline_start(p->timeline);
}

static void abort_plays(struct crew *c)
{
	for (unsigned i = 0; i < c->n_players; i++)
		if (c->players[i].timeline)
			timeline_abort(c->players[i].timeline, VERDICT_INCONCLUSIVE, "the run was ended");
}

/* Plays under way when the time is over may come to their end, but not for longer than a step may take. */
static void on_crew_beat(struct timer *timer, struct loop *loop)
{
	struct crew *c = (struct crew *)((char *)timer - offsetof(struct crew, beat));
	struct scenario_run *r = c->run;

	if (atomic_load(&r->at_once) || (r->o->for_ns && loop->now_ns - r->start_ns > r->o->for_ns + r->o->timeout_ns)) {
		atomic_store(&r->ending, true);
		abort_plays(c);
	}
	if (!goes_on(r, loop->now_ns))
		crew_done(c);
	if (!atomic_load(&c->over))
		loop_timer(loop, timer, loop->now_ns + BEAT_NS);
}

/* ---- threads ---- */

static struct span credential(const char *text)
{
	return text ? span_text(text) : (struct span){ 0 };
}

static void crew_begin(struct crew *c)
{
	struct scenario_run *r = c->run;

	c->stage = (struct stage){
		.loop = c->loop, .address = r->o->address, .world = must(monitor_world_new()), .limits = { .max_packet = MAX_PACKET }, .timeout_ns = r->o->timeout_ns, .slack = 1,
		.patience = 1, .scratch = &c->scratch, .packet = must(malloc(SCRATCH_SIZE)), .packet_size = SCRATCH_SIZE,
		.user_name = credential(r->o->user_name), .password = credential(r->o->password),
	};
	c->stage.ways[way_of(&r->o->address->layers)] = r->o->address;
	monitor_world_subscriptions_are_ours(c->stage.world, r->simulated);
	arena_init(&c->scratch, must(malloc(SCRATCH_SIZE)), SCRATCH_SIZE);
	cleaner_init(&c->cleaner, on_clean, c);
	c->beat.fire = on_crew_beat;
	loop_timer(c->loop, &c->beat, c->loop->now_ns + BEAT_NS);
	for (unsigned i = 0; i < c->n_players; i++) {
		c->players[i].crew = c;
		c->players[i].next.run = on_next;
		c->players[i].pause.fire = on_pause;
		loop_post(c->loop, &c->players[i].next);
	}
}

static void crew_end(struct crew *c)
{
	loop_timer_stop(c->loop, &c->beat);
	abort_plays(c);
	for (unsigned i = 0; i < c->n_players; i++)
		loop_timer_stop(c->loop, &c->players[i].pause);
	cleaner_release(&c->cleaner);
	loop_settle(c->loop);
	monitor_world_free(c->stage.world);
	free(c->stage.packet);
	free(c->scratch.base);
}

static void *work(void *context)
{
	struct crew *c = context;

	c->loop = &c->own;
	if (!loop_init(c->loop, false)) {
		crew_begin(c);
		loop_run(c->loop);
		crew_end(c);
		loop_release(c->loop);
	}
	c->cpu_ns = cost_of_thread_ns();
	atomic_store(&c->over, true);
	return NULL;
}

static void make_crews(struct scenario_run *r)
{
	uint64_t names = r->o->seed;

	if (!r->simulated && getrandom(&names, sizeof(names), 0) != sizeof(names))
		names ^= r->o->loop->now_ns;
	r->crews = must(calloc(r->n_crews, sizeof(*r->crews)));
	for (unsigned i = 0; i < r->n_crews; i++) {
		struct crew *c = &r->crews[i];

		c->run = r;
		c->names = names + i;
		c->loop = r->o->loop;
		c->n_players = r->o->clients * (i + 1) / r->n_crews - r->o->clients * i / r->n_crews;
		c->players = must(calloc(c->n_players + 1, sizeof(*c->players)));
		c->tallies = must(calloc(r->figures->n_roles, sizeof(*c->tallies)));
		pthread_mutex_init(&c->lock, NULL);
	}
}

static bool start_crews(struct scenario_run *r)
{
	sigset_t all, before;
	int error = 0;

	if (r->simulated) {
		crew_begin(&r->crews[0]);
		return true;
	}
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);	/* signals are the control thread's */
	for (unsigned i = 0; i < r->n_crews && !error; i++) {
		error = pthread_create(&r->crews[i].thread, NULL, work, &r->crews[i]);
		r->crews[i].started = !error;
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (error)
		r->figures->unable = figures_say(r->figures, "thread: %s", strerror(error));
	return !error;
}

static void end_crews(struct scenario_run *r)
{
	if (r->simulated)
		crew_end(&r->crews[0]);
	for (unsigned i = 0; i < r->n_crews; i++)
		if (r->crews[i].started)
			pthread_join(r->crews[i].thread, NULL);
}

static void free_crews(struct scenario_run *r)
{
	for (unsigned i = 0; i < r->n_crews && r->crews; i++) {
		struct crew *c = &r->crews[i];

		for (uint32_t k = 0; k < r->figures->n_roles; k++)
			tally_release(&c->tallies[k]);
		while (c->failures) {
			struct failure *f = c->failures;

			c->failures = f->next;
			free(f->text);
			free(f);
		}
		pthread_mutex_destroy(&c->lock);
		free(c->tallies);
		free(c->players);
	}
	free(r->crews);
}

/* ---- which tests ---- */

static bool ask_target(struct scenario_run *r)
{
	char name[24];
	struct offers_question question = {
		.loop = r->o->loop, .address = r->o->address, .user_name = r->o->user_name, .password = r->o->password, .timeout_ns = r->o->timeout_ns, .name = name,
	};

	for (size_t i = 0; i < r->o->suite->n_tests; i++) {
		question.versions |= 1u << r->o->suite->tests[i]->version;
		methods_add(&question.methods, r->o->suite->tests[i]->needs, r->o->suite->tests[i]->n_needs);
	}
	name_play(&(struct crew){ .names = r->o->seed ^ r->o->loop->now_ns }, name);
	bool asked = offers_ask(&question, &r->offers);
	if (!asked || r->offers.why[0])
		r->figures->unable = figures_say(r->figures, "%s: %s", r->figures->target, asked ? r->offers.why : "interrupted");
	return !r->figures->unable;
}

/* One evidence for what is left out is enough: who wants to know of each asks `conform`. */
static bool can_play(struct scenario_run *r, const struct script *script, char *why, size_t cap)
{
	const struct offer *offer = &r->offers.version[script->version];

	if (!offer->served) {
		snprintf(why, cap, "the target does not serve its version: %s", offer->evidence);
		return false;
	}
	if (script->scenario->alone) {
		snprintf(why, cap, "it has to be played alone");
		return false;
	}
	for (uint32_t i = 0; i < script->n_actors; i++)
		if (script->actors[i].way < N_WAYS && script->actors[i].way != way_of(&r->o->address->layers)) {
			snprintf(why, cap, "an actor speaks %s, and the target is reached otherwise", way_names[script->actors[i].way]);
			return false;
		}
	for (uint32_t i = 0; i < script->n_needs; i++)
		if (!need_met(&script->needs[i], script->version, &r->offers, NULL, 0, why, cap))
			return false;
	return true;
}

static uint32_t role_of_title(struct figures *f, const char *title)
{
	uint32_t i = 0;

	while (i < f->n_roles && strcmp(f->roles[i].name, title))
		i++;
	if (i == f->n_roles) {
		f->roles = figures_append(f, f->roles, &f->n_roles, sizeof(*f->roles));
		f->roles[i] = (struct figures_role){ .name = figures_say(f, "%s", title) };
	}
	return i;
}

static bool choose_tests(struct scenario_run *r)
{
	const struct suite *suite = r->o->suite;
	uint64_t n_left_out = 0;
	char why[300] = "", first[300] = "";

	r->tests = must(calloc(suite->n_tests + 1, sizeof(*r->tests)));
	r->roles = must(calloc(suite->n_tests + 1, sizeof(*r->roles)));
	for (size_t i = 0; i < suite->n_tests; i++) {
		const struct script *script = suite->tests[i];

		if (script->capture || script->roles)
			continue;
		if (!can_play(r, script, why, sizeof(why))) {
			if (!n_left_out++)
				snprintf(first, sizeof(first), "%.100s: %.180s", script->id, why);
			continue;
		}
		r->tests[r->n_tests] = script;
		r->roles[r->n_tests++] = role_of_title(r->figures, script->scenario->title);
	}
	if (n_left_out)
		figures_note(r->figures, figures_say(r->figures, "%llu of %zu tests are left out, the first since %s", (unsigned long long)n_left_out, suite->n_tests, first));
	if (!r->n_tests)
		r->figures->unable = figures_say(r->figures, "%s: none of the tests can be played there: %s", r->figures->target, first);
	for (uint32_t i = 0; i < r->figures->n_roles; i++)
		r->figures->roles[i].clients = r->o->clients / r->figures->n_roles + (i < r->o->clients % r->figures->n_roles);
	return r->n_tests != 0;
}

/* ---- figures ---- */

static uint64_t run_time(const struct scenario_run *r)
{
	return r->o->loop->now_ns - r->start_ns;
}

static void collect(struct scenario_run *r)
{
	struct figures *f = r->figures;
	uint64_t second = run_time(r) / SECOND_NS;

	second -= second > 0 && run_time(r) % SECOND_NS < BEAT_NS;	/* told at its end */
	for (unsigned i = 0; i < r->n_crews; i++) {
		struct crew *c = &r->crews[i];

		pthread_mutex_lock(&c->lock);
		for (uint32_t k = 0; k < f->n_roles; k++) {
			tally_add(figures_second(&f->roles[k], second * SECOND_NS), &c->tallies[k]);
			tally_add(&f->roles[k].total, &c->tallies[k]);
			tally_reset(&c->tallies[k]);
		}
		pthread_mutex_unlock(&c->lock);
	}
	f->duration_ns = run_time(r);
	f->steady_ns = 1;
}

static void collect_failures(struct scenario_run *r)
{
	struct figures *f = r->figures;

	for (unsigned i = 0; i < r->n_crews; i++)
		for (const struct failure *failure = r->crews[i].failures; failure; failure = failure->next) {
			const char *role = f->roles[failure->role].name;
			uint32_t k = 0;

			while (k < f->n_reasons && (f->reasons[k].role != role || strcmp(f->reasons[k].text, failure->text)))
				k++;
			if (k == f->n_reasons) {
				f->reasons = figures_append(f, f->reasons, &f->n_reasons, sizeof(*f->reasons));
				f->reasons[k] = (struct figures_reason){ role, figures_say(f, "%s", failure->text), failure->counter, failure->judged, 0 };
			}
			f->reasons[k].n += failure->n;
		}
}

static void judge(struct scenario_run *r, double broker_cores)
{
	struct figures *f = r->figures;

	for (unsigned i = 0; i < r->n_crews; i++) {
		double busy = f->duration_ns ? (double)r->crews[i].cpu_ns / (double)f->duration_ns : 0;

		f->cpu.busiest = busy > f->cpu.busiest ? busy : f->cpu.busiest;
		f->cpu.tool_ns += r->crews[i].cpu_ns;
		f->judged_packets += r->crews[i].judged_packets;
	}
	f->cpu.busiest = f->cpu.busiest > 1 ? 1 : f->cpu.busiest;
	f->cpu.threads = r->simulated ? 0 : r->n_crews;
	f->limited_by = r->simulated ? LIMITED_UNKNOWN : f->cpu.busiest >= 0.9 ? LIMITED_BY_TOOL : broker_cores >= 0.95 ? LIMITED_BY_TARGET : LIMITED_BY_SCRIPT;
	f->limit = r->simulated ? ""
	         : f->limited_by == LIMITED_BY_TOOL ? "a thread of this program was busy all the time: the figures say more of it than of the broker"
	         : f->limited_by == LIMITED_BY_TARGET ? "the broker used a core or more"
	         : "the tests waited for answers: more clients would give more";
}

/* ---- the run ---- */

static void on_beat(struct timer *timer, struct loop *loop)
{
	loop_timer(loop, timer, loop->now_ns + BEAT_NS);
	loop_stop(loop);
}

static bool all_over(const struct scenario_run *r)
{
	for (unsigned i = 0; i < r->n_crews; i++)
		if (!atomic_load(&r->crews[i].over))
			return false;
	return true;
}

static void end_early(struct scenario_run *r, const char *why, const char *detail)
{
	if (!atomic_load(&r->ending) && !r->figures->why)
		r->figures->why = figures_say(r->figures, "%s%s", why, detail);
	atomic_store(&r->ending, true);
	atomic_store(&r->at_once, true);	/* a play has no loop that could end: what is under way is cut off */
}

static void play(struct scenario_run *r)
{
	while (!all_over(r)) {
		if (!loop_run(r->o->loop))
			break;
		if (run_interrupted())
			end_early(r, "interrupted", "");
		if (r->o->died && *r->o->died)
			end_early(r, "the broker ", *r->o->died);
		if (run_time(r) / SECOND_NS > r->told_seconds) {
			r->told_seconds = run_time(r) / SECOND_NS;
			collect(r);
			if (r->o->tick)
				r->o->tick(r->o->context, r->figures);
		}
	}
}

static void set_start(struct scenario_run *r)
{
	struct figures *f = r->figures;
	struct timespec t;
	struct tm tm;
	char text[40];

	clock_gettime(CLOCK_REALTIME, &t);
	f->began_unix_ns = (uint64_t)t.tv_sec * SECOND_NS + (uint64_t)t.tv_nsec;
	gmtime_r(&t.tv_sec, &tm);
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
	f->began = figures_say(f, "%s", text);
	r->o->loop->now_ns = clock_now(&r->o->loop->clock);
	r->start_ns = r->o->loop->now_ns;
}

static bool play_all(struct scenario_run *r)
{
	const struct scenario_load_options *o = r->o;
	struct figures *f = r->figures;
	struct cost before, after;
	char name[64] = "broker";
	int pid = o->broker_pid;

	if (!ask_target(r) || !choose_tests(r))
		return false;
	if (!r->simulated && !pid && address_is_loopback(o->address))
		pid = cost_find_listener(o->address, name, sizeof(name));
	bool has_cost = pid && cost_of(pid, &before);
	make_crews(r);
	set_start(r);
	bool started = start_crews(r);
	if (started)
		play(r);
	else
		end_early(r, "", "");
	end_crews(r);
	if (!started)
		return false;
	r->o->loop->now_ns = clock_now(&r->o->loop->clock);
	collect(r);
	f->drain_ns = f->duration_ns;
	collect_failures(r);
	if (has_cost && cost_of(pid, &after)) {
		f->cpu.broker_known = true;
		f->cpu.broker_ns = after.cpu_ns - before.cpu_ns;
		f->cpu.broker = figures_say(f, "%s (pid %d)", name, pid);
	}
	judge(r, f->cpu.broker_known && f->duration_ns ? (double)f->cpu.broker_ns / (double)f->duration_ns : 0);
	return true;
}

bool scenario_load(const struct scenario_load_options *o, struct figures *figures)
{
	struct scenario_run r = {
		.o = o, .figures = figures, .simulated = o->loop->clock.simulated, .n_crews = o->threads && o->threads < o->clients ? o->threads : 1, .beat.fire = on_beat,
	};

	figures->seed = o->seed;
	figures->n_shards = figures->n_merged = 1;
	loop_timer(o->loop, &r.beat, o->loop->now_ns + BEAT_NS);
	bool played = play_all(&r);
	loop_timer_stop(o->loop, &r.beat);
	free_crews(&r);
	free(r.tests);
	free(r.roles);
	loop_settle(o->loop);
	return played;
}
