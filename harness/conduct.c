#include "harness/conduct.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "harness/cleanup.h"
#include "harness/cli.h"
#include "harness/process.h"

enum { MAX_PACKET = 8 << 20, MAX_RESTARTS = 10, REPLAY_PATIENCE = 4, QUIET_NS = 50000000 };
enum {
	DEATH_NS = 100000000,	/* a process's connections end before we hear that it died: so long a test's verdict waits */
	MAX_DEATHS = 20,	/* such waits, where nobody listens any more */
	MAX_STALLS = 3,		/* tests in a row that stall a target which a probe finds well; the rest are not tried again */
};

/* A target as tests with the same needs see it: the one that was named, or a built-in broker started for them. */
struct instance {
	struct instance *next;
	struct conductor *conductor;
	const struct need *needs;
	size_t n_needs;
	struct address address;
	struct stage stage, patient;	/* patient: for repeated failures */
	struct offers offers;
	struct probe *probe;
	void *broker;			/* a local one */
	bool ready;
};

enum turn { TURN_TOGETHER, TURN_ALONE, TURN_BULK, TURN_SUSPECT, TURN_REPLAY, N_TURNS };

struct job {
	struct job *next;
	struct conductor *conductor;
	struct outcome *outcome;
	struct instance *instance;
	struct timeline *timeline;
	bool suspect;			/* in flight when the target died */
	bool replay;
	uint64_t settles_ns;		/* of one that has ended: when its verdict stands, unless the target dies before */
};

struct queue {
	struct job *first, **last;
};

struct conductor {
	const struct conduct_options *o;
	struct conducted *done;
	struct loop loop;
	struct instance *instances;
	struct queue queue[N_TURNS], ended;
	struct job *jobs;
	size_t n_jobs, n_verdicts;
	struct job **running;
	unsigned n_running, n_probing;
	bool exclusive, waiting, stopped;
	bool refused;			/* one of `ended` could not connect: to begin others now would be in vain */
	struct task pump;
	struct timer quiet;		/* when a replay that only waits lets the next one begin */
	struct timer settle;		/* when the oldest of `ended` gets its verdict */
	struct cleaner cleaner;
	struct process *process;	/* an exec target, or NULL */
	uint64_t names;			/* distinguish this run's topics and ids from any other's */
	unsigned n_names;
	struct arena scratch;
	uint8_t *packet;
	unsigned n_suspects;		/* of the last death */
	unsigned n_dying;		/* waits for the death of who listens no more */
	unsigned n_stalls;		/* suspects in a row that stalled again */
	bool killer_found;
	char death[300];
};

static void pump(struct task *task, struct loop *loop);
static bool next_replay_may_begin(struct conductor *c);
static void settle_all(struct conductor *c);

static void *must(void *p)
{
	if (!p)
		abort();
	return p;
}

/* ---- queues ---- */

static void append(struct queue *q, struct job *job)
{
	job->next = NULL;
	*q->last = job;
	q->last = &job->next;
}

static void enqueue(struct conductor *c, enum turn turn, struct job *job)
{
	append(&c->queue[turn], job);
}

/* Replays begin with the failures that came last: those take long to come again, and others can be played meanwhile. */
static void push_front(struct conductor *c, enum turn turn, struct job *job)
{
	struct queue *q = &c->queue[turn];

	job->next = q->first;
	q->first = job;
	if (!job->next)
		q->last = &job->next;
}

static struct job *take_first(struct queue *q)
{
	struct job *job = q->first;

	if (job) {
		q->first = job->next;
		if (!q->first)
			q->last = &q->first;
	}
	return job;
}

static struct job *dequeue(struct conductor *c, enum turn turn)
{
	return take_first(&c->queue[turn]);
}

static enum turn turn_of(const struct script *script)
{
	return script->scenario->bulk ? TURN_BULK : script->scenario->alone ? TURN_ALONE : TURN_TOGETHER;
}

/* ---- names ---- */

static void make_name(struct conductor *c, char name[24])
{
	static const char digits[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
	uint64_t run = c->names;
	unsigned n = c->n_names++;

	name[0] = 'q';
	for (int i = 1; i <= 9; i++, run /= 62)
		name[i] = digits[run % 62];
	for (int i = 13; i >= 10; i--, n /= 36)
		name[i] = digits[n % 36];
	name[14] = 0;
}

/* ---- verdicts ---- */

static void tell(struct conductor *c, struct job *job, bool first)
{
	if (first)
		c->n_verdicts++;
	if (c->o->progress)
		c->o->progress(c->o->context, job->outcome, c->n_verdicts, c->n_jobs);
}

static void unable(struct conductor *c, const char *why)
{
	if (!c->done->unable[0])
		snprintf(c->done->unable, sizeof(c->done->unable), "%s", why);
	c->stopped = true;
	while (c->n_running)
		timeline_abort(c->running[c->n_running - 1]->timeline, VERDICT_INCONCLUSIVE, "the target is gone");
	settle_all(c);
	loop_post(&c->loop, &c->pump);
}

static void skip_job(struct conductor *c, struct job *job, const char *why)
{
	struct result *r = &job->outcome->result;

	result_init(r, c->loop.now_ns);
	r->verdict = VERDICT_SKIP;
	r->reason = result_text(r, "%s", why);
	tell(c, job, true);
}

/* A failure that does not come again is no failure of the target; both transcripts are kept. */
static void weigh_replay(struct job *job)
{
	struct result *r = &job->outcome->result;

	if (r->verdict == VERDICT_FAIL || !r->before || r->before->verdict != VERDICT_FAIL)
		return;
	r->reason = result_text(r, "failed once (%s), then came to %s", r->before->reason, verdict_names[r->verdict]);
	r->rule = r->before->rule ? result_text(r, "%s", r->before->rule) : NULL;
	r->rule_version = r->before->rule_version;
	for (uint32_t i = 0; i < r->n_clauses; i++)
		if (i < r->before->n_clauses && r->before->clauses[i].verdict == VERDICT_FAIL)
			r->clauses[i].verdict = VERDICT_UNSTABLE;
	r->verdict = VERDICT_UNSTABLE;
}

static bool wants_replay(const struct conductor *c, const struct job *job)
{
	return c->o->replay_failures && !job->replay && !job->suspect && job->outcome->result.verdict == VERDICT_FAIL;
}

static void keep_as_before(struct job *job)
{
	struct result *before = must(malloc(sizeof(*before)));

	*before = job->outcome->result;
	if (!before->events)
		before->last_event = &before->events;
	result_init(&job->outcome->result, 0);
	job->outcome->result.before = before;
}

/* ---- the target's life ---- */

static void check_again(struct conductor *c);

static void on_probed(void *context)
{
	struct instance *in = context;
	struct conductor *c = in->conductor;

	in->ready = true;
	c->n_probing--;
	c->waiting = false;
	if (in->offers.why[0]) {
		char why[400];

		if (c->done->restarts || c->n_verdicts)
			snprintf(why, sizeof(why), "%s: the target is gone (%s)", c->o->label, in->offers.why);
		else
			snprintf(why, sizeof(why), "%s: %s", c->o->label, in->offers.why);
		unable(c, why);
	}
	loop_post(&c->loop, &c->pump);
}

static void probe_instance(struct conductor *c, struct instance *in)
{
	char name[24];

	make_name(c, name);
	probe_free(in->probe);
	in->ready = false;
	c->n_probing++;
	in->probe = probe_start(&in->stage, c->o->versions, name, &in->offers, on_probed, in);
}

static void found_killer(struct conductor *c, struct job *job, const char *how)
{
	struct result *r = &job->outcome->result;

	r->verdict = VERDICT_FAIL;
	r->rule = "survives";
	r->rule_version = job->outcome->script->version;
	r->expected = "the target goes on serving whatever a client sends";
	r->received = r->reason = result_text(r, "the target %s", how);
	r->because = NULL;
	for (uint32_t i = 0; i < r->n_clauses; i++)	/* what a dying target does says nothing about them */
		if (r->clauses[i].verdict < VERDICT_PASS)
			r->clauses[i].verdict = VERDICT_INCONCLUSIVE;
	c->killer_found = true;
	tell(c, job, true);
}

/* The tests that had ended when the target died, so shortly before that they may be the cause, or suffered from it. */
static void judge_ended(struct conductor *c, enum process_event event, const char *how)
{
	struct job *next, *job = c->ended.first;

	c->ended.first = NULL;
	c->ended.last = &c->ended.first;
	c->refused = false;
	loop_timer_stop(&c->loop, &c->settle);
	for (; job; job = next) {
		struct result *r = &job->outcome->result;

		next = job->next;
		if (event == PROCESS_DIED && job->suspect) {
			found_killer(c, job, how);
			continue;
		}
		if (event == PROCESS_DIED || r->target_gone) {	/* or it came when the target was gone already */
			job->suspect = true;
			c->n_suspects += event == PROCESS_DIED;
			enqueue(c, TURN_SUSPECT, job);
			continue;
		}
		if (r->verdict < VERDICT_WARN) {
			r->verdict = VERDICT_INCONCLUSIVE;
			r->rule = NULL;
			r->because = r->reason = result_text(r, "the target %s", how);
			for (uint32_t i = 0; i < r->n_clauses; i++)
				if (r->clauses[i].verdict < VERDICT_WARN)
					r->clauses[i].verdict = VERDICT_INCONCLUSIVE;
		}
		tell(c, job, true);
	}
}

static void on_gone(struct conductor *c, enum process_event event, const char *how)
{
	c->waiting = true;
	c->n_suspects = 0;
	c->killer_found = false;
	c->n_dying = 0;
	snprintf(c->death, sizeof(c->death), "%s", how);
	judge_ended(c, event, how);
	while (c->n_running) {
		struct job *job = c->running[c->n_running - 1];
		bool killer = event == PROCESS_DIED && job->suspect;
		char why[400];

		if (event == PROCESS_DIED && !job->suspect) {
			job->suspect = true;
			c->n_suspects++;
		}
		snprintf(why, sizeof(why), "the target %s", how);
		timeline_abort(job->timeline, killer ? VERDICT_FAIL : VERDICT_INCONCLUSIVE, why);
	}
	if (c->stopped)
		return;
	if (++c->done->restarts > MAX_RESTARTS) {
		char why[400];

		snprintf(why, sizeof(why), "%s: ended %d times and is not started again; the last time it %s", c->o->label, MAX_RESTARTS + 1, how);
		unable(c, why);
		return;
	}
	process_restart(c->process);
}

static void on_process(void *context, enum process_event event, const char *how)
{
	struct conductor *c = context;

	switch (event) {
	case PROCESS_READY:
		probe_instance(c, c->instances);
		break;
	case PROCESS_STARTED_NOT:
		unable(c, how);
		break;
	case PROCESS_DIED: case PROCESS_KILLED:
		on_gone(c, event, how);
		break;
	}
}

/* A connection was refused or nothing answers: is anybody there? With a process we would have heard. */
static void check_again(struct conductor *c)
{
	if (c->waiting || c->stopped || c->o->local)
		return;
	c->waiting = true;
	probe_instance(c, c->instances);
}

/* ---- playing ---- */

/* The job has ended: its verdict stands, or it goes into another queue. */
static void settle(struct conductor *c, struct job *job)
{
	struct result *r = &job->outcome->result;

	if (job->suspect)
		c->n_stalls = r->target_gone ? c->n_stalls + 1 : 0;
	if (r->target_gone && !job->suspect && !c->stopped && !c->o->local) {
		job->suspect = true;
		enqueue(c, TURN_SUSPECT, job);	/* it keeps its verdict, in case it is not played again */
		check_again(c);
	} else if (wants_replay(c, job)) {
		keep_as_before(job);
		job->replay = true;
		push_front(c, TURN_REPLAY, job);
	} else {
		weigh_replay(job);
		tell(c, job, true);
	}
	loop_post(&c->loop, &c->pump);
}

static void settle_all(struct conductor *c)
{
	struct job *job;

	loop_timer_stop(&c->loop, &c->settle);
	while ((job = take_first(&c->ended)))
		settle(c, job);
}

static void on_settle(struct timer *timer, struct loop *loop)
{
	struct conductor *c = (struct conductor *)((char *)timer - offsetof(struct conductor, settle));

	while (c->ended.first && c->ended.first->settles_ns <= loop->now_ns) {
		struct job *job = c->ended.first;

		/* Its listener is gone and its parent has not told us yet: a busy machine, or a core to be written. */
		if (job->outcome->result.verdict < VERDICT_WARN && c->n_dying < MAX_DEATHS && !process_listens(c->process)) {
			c->n_dying++;
			loop_timer(loop, timer, loop->now_ns + DEATH_NS);
			return;
		}
		settle(c, take_first(&c->ended));
	}
	if (c->ended.first)
		loop_timer(loop, timer, c->ended.first->settles_ns);
	else
		c->refused = false;
}

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
	if (!c->o->local)
		cleaner_add(&c->cleaner, t, &job->instance->stage);
	timeline_free(t);
	job->timeline = NULL;
	job->outcome->played = true;

	if (!c->process || c->stopped) {
		settle(c, job);
	} else if (!c->waiting) {
		job->settles_ns = c->loop.now_ns + DEATH_NS;
		if (!c->ended.first)
			loop_timer(&c->loop, &c->settle, job->settles_ns);
		append(&c->ended, job);
		c->refused |= job->outcome->result.target_gone;
	} else if (job->suspect && job->outcome->result.verdict == VERDICT_FAIL) {	/* on_gone() has ended it */
		found_killer(c, job, c->death);
	} else if (job->suspect) {
		enqueue(c, TURN_SUSPECT, job);	/* its own verdict comes when it is played by itself */
	} else {
		settle(c, job);
	}
	loop_post(&c->loop, &c->pump);
}

static void start(struct conductor *c, struct job *job, bool exclusive)
{
	const struct script *script = job->outcome->script;
	struct instance *in = job->instance;
	const struct offer *offer = &in->offers.version[script->version];
	struct result *before = job->replay ? job->outcome->result.before : NULL;
	char name[24], why[300];

	if (!offer->served) {
		snprintf(why, sizeof(why), "the target does not serve this version: %s", offer->evidence);
		skip_job(c, job, why);
		return;
	}
	for (uint32_t i = 0; i < script->n_actors; i++)
		if (!in->offers.version[script->actors[i].version].served) {
			snprintf(why, sizeof(why), "an actor speaks a version that the target does not serve: %s",
			         in->offers.version[script->actors[i].version].evidence);
			skip_job(c, job, why);
			return;
		}
	for (uint32_t i = 0; i < script->n_needs; i++)
		if (!need_met(&script->needs[i], script->version, &in->offers, c->o->without, c->o->n_without, why, sizeof(why))) {
			skip_job(c, job, why);
			return;
		}
	make_name(c, name);
	job->outcome->result.before = NULL;
	result_release(&job->outcome->result);	/* a suspect's first try */
	result_init(&job->outcome->result, c->loop.now_ns);
	job->outcome->result.before = before;
	c->exclusive = exclusive;
	c->running[c->n_running++] = job;
	job->timeline = timeline_new(job->replay || job->suspect ? &in->patient : &in->stage, script, name,
	                             c->o->seed ^ (c->n_names * 0x9e3779b97f4a7c15u), &job->outcome->result, on_ended, job);
	timeline_start(job->timeline);
	if (job->replay)
		next_replay_may_begin(c);	/* sets the timer that asks again */
}

/* Each would take its time, and most likely stall too. */
static void give_up_on(struct conductor *c, struct job *job)
{
	result_note(&job->outcome->result, "not tried again by itself: those that were stalled the target again");
	tell(c, job, true);
}

static void note_survival(struct conductor *c)
{
	if (!c->n_suspects || c->killer_found)
		return;
	snprintf(c->done->survives, sizeof(c->done->survives), "the target died (%s) and none of the %u tests in flight made it die again",
	         c->death, c->n_suspects);
	c->n_suspects = 0;
}

/*
 * A failure is played again alone, but one that only waits for its deadline disturbs nobody: the next one
 * begins when all that run have been silent for a while.
 */
static bool next_replay_may_begin(struct conductor *c)
{
	uint64_t quiet_ns = 0;

	if (!c->queue[TURN_REPLAY].first || c->queue[TURN_SUSPECT].first || c->n_running >= c->o->jobs)
		return false;
	for (unsigned i = 0; i < c->n_running; i++) {
		uint64_t at = timeline_active_ns(c->running[i]->timeline) + QUIET_NS;

		if (!c->running[i]->replay)
			return false;
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
		if (c->exclusive) {
			if (!next_replay_may_begin(c))
				return;
			start(c, dequeue(c, TURN_REPLAY), true);
			continue;
		}
		if (c->queue[TURN_SUSPECT].first) {
			if (c->n_running || c->ended.first)
				return;
			if (c->n_stalls >= MAX_STALLS)
				give_up_on(c, dequeue(c, TURN_SUSPECT));
			else
				start(c, dequeue(c, TURN_SUSPECT), true);
			continue;
		}
		if (c->n_suspects && c->ended.first)
			return;
		note_survival(c);
		if (c->n_running >= c->o->jobs)
			return;
		if ((job = dequeue(c, TURN_TOGETHER))) {
			start(c, job, false);
			continue;
		}
		if (c->n_running)
			return;
		if ((job = dequeue(c, TURN_ALONE)) || (job = dequeue(c, TURN_BULK)) || (job = dequeue(c, TURN_REPLAY))) {
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

static void set_stage(struct conductor *c, struct instance *in)
{
	const struct conduct_options *o = c->o;

	in->stage = (struct stage){
		.loop = &c->loop, .address = &in->address, .world = must(monitor_world_new()),
		.limits = { .max_packet = MAX_PACKET, .split = o->split, .split_seed = o->seed },
		.timeout_ns = o->timeout_ns, .slack = o->slack, .patience = 1, .scratch = &c->scratch, .packet = c->packet, .packet_size = SCRATCH_SIZE,
		.keep_transcripts = o->transcripts,
	};
	monitor_world_subscriptions_are_ours(in->stage.world, o->local != NULL);
	if (o->user_name)
		in->stage.user_name = span_text(o->user_name);
	if (o->password)
		in->stage.password = span_text(o->password);
	if (c->process) {
		in->stage.target_lives = process_lives;
		in->stage.context = c->process;
	}
	in->patient = in->stage;
	in->patient.patience = REPLAY_PATIENCE;
}

static struct instance *instance_for(struct conductor *c, const struct script *script)
{
	struct instance *in = c->instances;

	if (!c->o->local)
		return in;
	for (; in; in = in->next)
		if (same_needs(in, script))
			return in;
	in = must(calloc(1, sizeof(*in)));
	in->conductor = c;
	in->needs = script->needs;
	in->n_needs = script->n_needs;
	in->next = c->instances;
	c->instances = in;
	const char *why = NULL;
	in->address.kind = ADDRESS_MEMORY;
	in->broker = c->o->local->start(&c->loop, in->needs, in->n_needs, c->o->faults, c->o->n_faults, c->o->seed, &in->address.service, &why);
	set_stage(c, in);
	if (!in->broker) {
		/* Left as it is, unserved: its tests are skipped with this as the evidence. */
		for (unsigned v = MQTT_3_1; v <= MQTT_5; v++)
			snprintf(in->offers.version[v].evidence, sizeof(in->offers.version[v].evidence), "%s", why ? why : "a need that cannot be met");
		in->ready = true;
		return in;
	}
	return in;
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
	/* All first turns before all second ones, so that a repetition meets the target in another state. */
	for (unsigned k = 0; k < repeat; k++)
		for (size_t i = 0; i < suite->n_tests; i++)
			enqueue(c, turn_of(suite->tests[i]), &c->jobs[i * repeat + k]);
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
			probe_instance(c, in);
	loop_post(&c->loop, &c->pump);
}

static void tear_down(struct conductor *c)
{
	loop_timer_stop(&c->loop, &c->quiet);
	loop_timer_stop(&c->loop, &c->settle);
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

int conduct(const struct suite *suite, const struct conduct_options *o, struct conducted *conducted)
{
	struct conductor c = { .o = o, .done = conducted, .pump.run = pump, .quiet.fire = on_quiet, .settle.fire = on_settle, .names = o->seed };
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
	arena_init(&c.scratch, must(malloc(SCRATCH_SIZE)), SCRATCH_SIZE);
	c.packet = must(malloc(SCRATCH_SIZE));
	cleaner_init(&c.cleaner, on_clean, &c);
	if (!o->local) {
		struct instance *in = c.instances = must(calloc(1, sizeof(*in)));

		in->conductor = &c;
		if (o->exec)
			c.process = process_new(&c.loop, o->exec, o->start_timeout_ns, &in->address, on_process, &c);
		else
			in->address = *o->address;
		set_stage(&c, in);
	}
	make_jobs(&c, suite);
	begin(&c);
	uint64_t began_ns = c.loop.now_ns;
	if (!loop_run(&c.loop) && !c.stopped)
		snprintf(conducted->unable, sizeof(conducted->unable), "nothing is left to happen, and %zu tests have no verdict", c.n_jobs - c.n_verdicts);
	clock_gettime(CLOCK_MONOTONIC, &to);
	conducted->wall_ns = (uint64_t)(to.tv_sec - from.tv_sec) * 1000000000u + (uint64_t)to.tv_nsec - (uint64_t)from.tv_nsec;
	conducted->simulated_ns = c.loop.now_ns - began_ns;
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
