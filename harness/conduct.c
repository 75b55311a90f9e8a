#include "harness/conduct_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "harness/cli.h"
#include "harness/recording.h"

/* Which test is played when, and on what. */

enum {
	MAX_PACKET = 8 << 20, REPLAY_PATIENCE = 4,
	QUIET_NS = 50000000,	/* so long all replays must be silent before the next one begins */
	MAX_STALLS = 3,		/* tests in a row that stall a target which a probe finds well; the rest are not tried again */
};

static bool next_replay_may_begin(struct conductor *c);

static void *must(void *p)
{
	if (!p)
		abort();
	return p;
}

/* ---- playing ---- */

static void on_ended(struct timeline *t, void *owner)
{
	struct job *job = owner;
	struct conductor *c = job->conductor;

	for (unsigned i = 0; i < c->n_running; i++)
		if (c->running[i] == job) {
			c->running[i] = c->running[--c->n_running];
			break;
		}
	c->exclusive = c->n_running != 0 && c->exclusive;
	if (c->o->findings ? !c->process : !c->o->local || job->outcome->script->capture)	/* which may be played again on the same broker */
		cleaner_add(&c->cleaner, t, &job->instance->stage);
	timeline_free(t);
	job->timeline = NULL;
	job->outcome->played = true;

	if (c->o->findings) {
		finding_ended(c, job);
	} else if (!c->process || c->stopped) {
		job_settle(c, job);
	} else if (!c->waiting) {
		target_hold(c, job);
	} else if (job->deadly) {
		target_accuse(c, job, c->death);
	} else if (job->suspect) {
		job_enqueue(c, TURN_SUSPECT, job);	/* its own verdict comes when it is played by itself */
	} else {
		job_settle(c, job);
	}
	loop_post(&c->loop, &c->pump);
}

/* Of a test's random bytes: its own, so that it draws the same ones whatever is played beside it, and when it is played again. */
static uint64_t random_seed(const struct conductor *c, const struct job *job)
{
	const struct script *script = job->outcome->script;
	const char *const names[] = { script->scenario->title, script->case_name ? script->case_name : "" };
	uint64_t hash = 0xcbf29ce484222325u ^ script->version ^ (uint64_t)job->outcome->repetition << 8;

	for (size_t i = 0; i < 2; i++)
		for (const char *at = names[i]; *at; at++)
			hash = (hash ^ (uint8_t)*at) * 0x100000001b3u;
	return c->o->seed ^ hash;
}

static void start(struct conductor *c, struct job *job, bool exclusive)
{
	const struct script *script = job->outcome->script;
	struct instance *in = job->instance;
	const struct offer *offer = &in->offers.version[script->version];
	char name[24], why[300];

	/* What a target refuses a capture's actors is a difference, and the others go on. */
	if (!offer->served && !script->capture) {
		snprintf(why, sizeof(why), "the target does not serve this version: %s", offer->evidence);
		job_skip(c, job, why);
		return;
	}
	for (uint32_t i = 0; i < script->n_actors && !script->capture && !script->finding; i++)
		if (!in->offers.version[script->actors[i].version].served) {
			snprintf(why, sizeof(why), "an actor speaks a version that the target does not serve: %s",
			         in->offers.version[script->actors[i].version].evidence);
			job_skip(c, job, why);
			return;
		}
	for (uint32_t i = 0; i < script->n_actors; i++)
		if (script->actors[i].way < N_WAYS && !(in->reached & 1u << script->actors[i].way)) {
			snprintf(why, sizeof(why), "an actor speaks %s, where the target is not reached: --also names it",
			         way_names[script->actors[i].way]);
			job_skip(c, job, why);
			return;
		}
	for (uint32_t i = 0; i < script->n_needs; i++)
		if (!need_met(&script->needs[i], script->version, &in->offers, c->o->without, c->o->n_without, why, sizeof(why))) {
			job_skip(c, job, why);
			return;
		}
	conductor_name(c, name);
	job_forget(c, job);	/* a suspect's first try */
	job->deadly = false;
	c->exclusive = exclusive;
	c->running[c->n_running++] = job;
	job->timeline = timeline_new(job->replay || job->suspect ? &in->patient : &in->stage, script, name,
	                             random_seed(c, job), &job->outcome->result, on_ended, job);
	if (c->o->recorder) {
		job->outcome->result.recording = recording_new(c->o->recorder, c->o->tap);
		timeline_tap(job->timeline, recording_tap(job->outcome->result.recording));
	}
	timeline_start(job->timeline);
	if (job->replay)
		next_replay_may_begin(c);	/* sets the timer that asks again */
}

/* Each would take its time, and most likely stall too. */
static void give_up_on(struct conductor *c, struct job *job)
{
	result_note(&job->outcome->result, "not tried again by itself: those that were stalled the target again");
	job_tell(c, job);
}

static void note_survival(struct conductor *c)
{
	if (!c->n_suspects || c->killer_found)
		return;
	if (!c->done->survives[0])
		snprintf(c->done->survives, sizeof(c->done->survives), "the target died (%s) and none of the %u tests in flight made it die again",
		         c->death, c->n_suspects);
	c->n_suspects = 0;
}

static bool runs_alone(const struct job *job)
{
	return job->outcome->script->scenario->alone || job->outcome->script->scenario->bulk;
}

/*
 * A failure is played again alone, but a test that only waits for its time disturbs nobody: once nothing new is
 * to begin, the next repetition begins when all that run have been silent for a while.
 */
static bool next_replay_may_begin(struct conductor *c)
{
	const struct job *next = c->queue[TURN_REPLAY].first;
	uint64_t quiet_ns = 0;

	if (!next || c->exclusive || c->queue[TURN_SUSPECT].first || c->queue[TURN_TOGETHER].first || c->n_running >= c->o->jobs)
		return false;
	if (runs_alone(next))
		return !c->n_running;
	for (unsigned i = 0; i < c->n_running; i++) {
		uint64_t at = timeline_active_ns(c->running[i]->timeline) + QUIET_NS;

		if (at > quiet_ns)
			quiet_ns = at;
	}
	if (quiet_ns <= c->loop.now_ns)
		return true;
	loop_timer(&c->loop, &c->quiet, quiet_ns);
	return false;
}

static void on_quiet(struct timer *timer, struct loop *loop)
{
	struct conductor *c = (struct conductor *)((char *)timer - offsetof(struct conductor, quiet));

	loop_post(loop, &c->pump);
}

static void pump(struct task *task, struct loop *loop)
{
	struct conductor *c = (struct conductor *)((char *)task - offsetof(struct conductor, pump));
	struct job *job;

	(void)loop;
	if (c->stopped && !c->n_running) {
		loop_stop(&c->loop);
		return;
	}
	while (!c->waiting && !c->refused && !c->n_probing && !c->stopped) {
		if (c->exclusive)
			return;
		if (c->queue[TURN_SUSPECT].first) {
			if (c->n_running || c->ended.first)
				return;
			if (c->n_stalls >= MAX_STALLS)
				give_up_on(c, job_dequeue(c, TURN_SUSPECT));
			else
				start(c, job_dequeue(c, TURN_SUSPECT), true);
			continue;
		}
		if (c->n_suspects && c->ended.first)
			return;
		note_survival(c);
		if (c->n_running >= c->o->jobs || (c->queue[TURN_ALONE].first && c->n_running))
			return;
		/* Who wants to be alone, or one after the other, does not meet those who clear up behind the one before. */
		if ((c->queue[TURN_ALONE].first || c->o->jobs == 1) && cleaner_busy(&c->cleaner))
			return;
		if ((job = job_dequeue(c, TURN_ALONE))) {
			start(c, job, true);
			continue;
		}
		if ((job = job_dequeue(c, TURN_TOGETHER))) {
			start(c, job, false);
			continue;
		}
		if (next_replay_may_begin(c)) {
			job = job_dequeue(c, TURN_REPLAY);
			start(c, job, runs_alone(job));
			continue;
		}
		if (c->n_running)
			return;
		if ((job = job_dequeue(c, TURN_BULK))) {
			start(c, job, true);
			continue;
		}
		if (c->ended.first || cleaner_busy(&c->cleaner))
			return;
		c->stopped = true;
		loop_stop(&c->loop);
	}
}

static void on_clean(void *context)
{
	struct conductor *c = context;

	loop_post(&c->loop, &c->pump);
}

/* ---- setting up ---- */

static bool same_needs(const struct instance *in, const struct script *script)
{
	if (in->n_needs != script->n_needs)
		return false;
	for (size_t i = 0; i < in->n_needs; i++)
		if (strcmp(in->needs[i].text, script->needs[i].text))
			return false;
	return true;
}

static struct span credential(const char *text)
{
	return text ? span_text(text) : (struct span){ 0 };
}

/* With the credentials that --user gave, else with those that the target is known to ask for. */
static void set_stage(struct conductor *c, struct instance *in, const struct local_service *local)
{
	const struct conduct_options *o = c->o;

	in->stage = (struct stage){
		.loop = &c->loop, .address = &in->address, .world = must(monitor_world_new()),
		.limits = { .max_packet = MAX_PACKET, .split = o->split, .split_seed = o->seed },
		.timeout_ns = o->timeout_ns, .slack = o->slack, .timer_tolerance_ns = o->timer_tolerance_ns, .patience = 1, .scratch = &c->scratch, .packet = c->packet, .packet_size = SCRATCH_SIZE,
		.keep_transcripts = o->transcripts, .tap = o->tap,
	};
	monitor_world_subscriptions_are_ours(in->stage.world, o->local != NULL);
	in->stage.user_name = credential(o->user_name ? o->user_name : local->user_name);
	in->stage.password = credential(o->user_name ? o->password : local->password);
	in->stage.denies_publish = o->denies_publish || local->denies;
	in->stage.denies_subscribe = o->denies_subscribe || local->denies;
	if (o->password && !o->secrets)
		in->stage.limits.secret = in->stage.password;
	in->stage.limits.masks_all = o->masks_all;
	if (c->process || o->pid) {
		in->stage.target_health = conductor_health;
		in->stage.context = c;
	}
	if (!(in->reached & 1u << WAY_WS) && in->reached & 1u << WAY_WSS) {	/* WebSocket over TLS is WebSocket */
		in->ways[WAY_WS] = in->ways[WAY_WSS];
		in->reached |= 1u << WAY_WS;
	}
	for (int way = 0; way < N_WAYS; way++)
		in->stage.ways[way] = in->reached & 1u << way ? &in->ways[way] : NULL;
	in->patient = in->stage;
	in->patient.patience = REPLAY_PATIENCE;
}

static void add_way(struct instance *in, const struct address *address)
{
	enum way way = way_of(&address->layers);

	in->ways[way] = *address;
	in->reached |= 1u << way;
}

/* A broker of this process is reached over every way. */
static void set_local_ways(struct instance *in, const struct local_service *local, enum way way)
{
	for (unsigned i = 0; i < N_WAYS; i++)
		if (local->services[i])
			add_way(in, &(struct address){ .kind = ADDRESS_MEMORY, .service = local->services[i],
			        .layers = { .tls = i & WAY_TLS, .websocket = i & WAY_WS, .context = local->tls } });
	in->address = in->ways[way];
}

/* A command serves where it names the port; whether {ws_port} speaks TLS the way that is asked for tells. */
static void set_process_ways(struct conductor *c, struct instance *in)
{
	for (unsigned i = 0; i < N_WAYS; i++) {
		struct address address = { .layers = { .tls = i & WAY_TLS, .websocket = i & WAY_WS, .context = c->o->tls } };
		bool speaks = i & WAY_WS ? (c->o->way == WAY_WSS) == (i == WAY_WSS) : i != WAY_TLS || c->o->tls;

		if (speaks && process_way(c->process, (enum way)i, &address))
			add_way(in, &address);
	}
}

static struct instance *instance_for(struct conductor *c, const struct script *script)
{
	struct instance *in = c->instances;

	if (!c->o->local || (c->o->configured && in))
		return in;
	for (; in; in = in->next)
		if (same_needs(in, script))
			return in;
	in = must(calloc(1, sizeof(*in)));
	in->conductor = c;
	if (!c->o->configured) {
		in->needs = script->needs;
		in->n_needs = script->n_needs;
	}
	in->next = c->instances;
	c->instances = in;
	const char *why = NULL;
	struct local_service local = { 0 };
	in->broker = c->o->local->start(&c->loop, in->needs, in->n_needs, c->o->faults, c->o->n_faults, c->o->seed, &local, &why);
	set_local_ways(in, &local, c->o->way);
	set_stage(c, in, &local);
	if (!in->broker) {
		/* Left as it is, unserved: its tests are skipped with this as the evidence. */
		for (unsigned v = MQTT_3_1; v <= MQTT_5; v++)
			snprintf(in->offers.version[v].evidence, sizeof(in->offers.version[v].evidence), "%s", why ? why : "a need that cannot be met");
		in->ready = true;
		return in;
	}
	return in;
}

static enum turn turn_of(const struct script *script)
{
	return script->scenario->bulk ? TURN_BULK : script->scenario->alone || script->finding ? TURN_ALONE : TURN_TOGETHER;
}

/* What is to be asked of the target: a test's actors may speak other versions than the test. */
static unsigned versions_of(const struct suite *suite)
{
	unsigned versions = 0;

	for (size_t i = 0; i < suite->n_tests; i++) {
		versions |= 1u << suite->tests[i]->version;
		for (uint32_t k = 0; k < suite->tests[i]->n_actors; k++)
			versions |= 1u << suite->tests[i]->actors[k].version;
	}
	return versions;
}

static void make_jobs(struct conductor *c, const struct suite *suite)
{
	unsigned repeat = c->o->repeat ? c->o->repeat : 1;

	c->n_jobs = suite->n_tests * repeat;
	c->jobs = must(calloc(c->n_jobs + 1, sizeof(*c->jobs)));
	c->running = must(calloc(c->o->jobs + 1, sizeof(*c->running)));
	c->done->outcomes = must(calloc(c->n_jobs + 1, sizeof(*c->done->outcomes)));
	c->done->n = c->n_jobs;
	for (size_t i = 0; i < suite->n_tests; i++)
		for (unsigned k = 0; k < repeat; k++) {
			struct job *job = &c->jobs[i * repeat + k];

			job->outcome = &c->done->outcomes[i * repeat + k];
			job->outcome->script = suite->tests[i];
			job->outcome->repetition = k;
			result_init(&job->outcome->result, 0);
			job->conductor = c;
			job->instance = instance_for(c, suite->tests[i]);
		}
	/*
	 * All first turns before all second ones, so that a repetition meets the target in another state. Those that have to
	 * wait begin, and the others are played meanwhile.
	 */
	for (unsigned k = 0; k < repeat; k++)
		for (int slow = 1; slow >= 0; slow--)
			for (size_t i = 0; i < suite->n_tests; i++)
				if (script_tagged(suite->tests[i], "slow") == slow)
					job_enqueue(c, turn_of(suite->tests[i]), &c->jobs[i * repeat + k]);
}

static void begin(struct conductor *c)
{
	if (c->process) {
		c->waiting = true;
		process_start(c->process);
		return;
	}
	for (struct instance *in = c->instances; in; in = in->next)
		if (!in->ready)
			target_probe(c, in);
	loop_post(&c->loop, &c->pump);
}

static void tear_down(struct conductor *c)
{
	loop_timer_stop(&c->loop, &c->quiet);
	loop_timer_stop(&c->loop, &c->settle);
	loop_timer_stop(&c->loop, &c->gone);
	cleaner_release(&c->cleaner);
	while (c->instances) {
		struct instance *in = c->instances;

		c->instances = in->next;
		probe_free(in->probe);
		if (in->broker)
			c->o->local->stop(in->broker);
		loop_settle(&c->loop);
		monitor_world_free(in->stage.world);
		free(in);
	}
	process_free(c->process);
	loop_settle(&c->loop);
	loop_release(&c->loop);
	free(c->jobs);
	free(c->running);
	free(c->scratch.base);
	free(c->packet);
}

static void keep_offers(const struct conductor *c)
{
	const struct instance *in = c->instances;

	while (in && in->next && in->n_needs)
		in = in->next;
	if (in)
		c->done->offers = in->offers;
}

int conduct(const struct suite *suite, const struct conduct_options *o, struct conducted *conducted)
{
	struct conductor c = { .o = o, .done = conducted, .pump.run = pump, .quiet.fire = on_quiet, .settle.fire = target_on_settle,
	                       .gone.fire = target_on_gone, .names = o->seed };
	struct timespec from, to;

	*conducted = (struct conducted){ 0 };
	clock_gettime(CLOCK_MONOTONIC, &from);
	int error = loop_init(&c.loop, o->simulated);
	if (error) {
		snprintf(conducted->unable, sizeof(conducted->unable), "event loop: %s", strerror(-error));
		return EXIT_UNABLE;
	}
	for (int i = 0; i < N_TURNS; i++)
		c.queue[i].last = &c.queue[i].first;
	c.ended.last = &c.ended.first;
	/* A real target may remember an earlier run with the same seed. */
	if (!o->simulated && getrandom(&c.names, sizeof(c.names), 0) != sizeof(c.names))
		c.names = o->seed ^ c.loop.now_ns;
	struct usage usage = { 0 };
	if (o->pid && usage_of((struct subject){ (pid_t)o->pid, false }, &usage))
		c.pid_began = usage.began;
	arena_init(&c.scratch, must(malloc(SCRATCH_SIZE)), SCRATCH_SIZE);
	c.packet = must(malloc(SCRATCH_SIZE));
	cleaner_init(&c.cleaner, on_clean, &c);
	if (!o->local) {
		struct instance *in = c.instances = must(calloc(1, sizeof(*in)));

		in->conductor = &c;
		in->address.layers = (struct layers){ .tls = o->way & WAY_TLS, .websocket = o->way & WAY_WS, .context = o->tls };
		if (o->exec)
			c.process = process_new(&c.loop, o->exec, o->start_timeout_ns, credential(o->user_name), credential(o->password),
			                        &in->address, target_on_process, &c);
		else
			in->address = *o->address;
		if (o->exec)
			set_process_ways(&c, in);
		for (size_t i = 0; i < o->n_also; i++)
			add_way(in, &o->also[i]);
		add_way(in, &in->address);
		set_stage(&c, in, &(struct local_service){ 0 });
	}
	c.versions = (o->findings ? 0 : o->versions) | versions_of(suite);	/* a finding asks no more than it needs */
	for (size_t i = 0; i < suite->n_tests && (!o->local || o->configured); i++)
		methods_add(&c.methods, suite->tests[i]->needs, suite->tests[i]->n_needs);
	make_jobs(&c, suite);
	begin(&c);
	uint64_t began_ns = c.loop.now_ns;
	if (!loop_run(&c.loop) && !c.stopped) {
		char why[100];

		snprintf(why, sizeof(why), "nothing is left to happen, and %zu tests have no verdict", c.n_jobs - c.n_verdicts);
		conductor_unable(&c, why);
	}
	clock_gettime(CLOCK_MONOTONIC, &to);
	conducted->wall_ns = (uint64_t)(to.tv_sec - from.tv_sec) * 1000000000u + (uint64_t)to.tv_nsec - (uint64_t)from.tv_nsec;
	conducted->simulated_ns = c.loop.now_ns - began_ns;
	keep_offers(&c);
	tear_down(&c);
	return conducted->unable[0] ? EXIT_UNABLE : 0;
}

void conducted_release(struct conducted *conducted)
{
	for (size_t i = 0; i < conducted->n; i++) {
		struct result *before = conducted->outcomes[i].result.before;

		result_release(&conducted->outcomes[i].result);
		free(before);
	}
	free(conducted->outcomes);
}
