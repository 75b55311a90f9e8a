#include "harness/load/client_play.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "harness/escape.h"
#include "harness/timeline.h"
#include "harness/load/wording.h"

/* One thread's loop of clients: who has his turn, what each second came to, why clients failed, and how the run takes its course. */

enum {
	LOOK_NS = 20000000,
	QUIET_LOOKS = 10,		/* one after the other: what nobody is owed, a message that comes twice, has to be heard as well */
	MAX_REASONS = 1000,
};

#define SECOND_NS UINT64_C(1000000000)

struct engine_state {
	struct engine *engine;
	struct seat seat;
	struct timer begin, second, course, look;
	uint64_t heard;			/* bytes that had come at the last look */
	unsigned n_quiet;		/* looks since something was under way */
	uint32_t busy;			/* the client that was, then */
	struct task turns;
	bool begun, over;
	uint32_t *queue;		/* clients that have their turn next: a ring, by index */
	uint32_t head, n_queued;
	uint32_t serial;
	uint32_t *strides;		/* by role: see engine_place() */
	struct tally *totals, *nows;	/* by role */
	struct reason *reasons, **last_reason;
	uint32_t n_reasons;
	uint64_t occasions;		/* of the seconds that are complete */
	uint64_t at;			/* number of this second */
	uint64_t cpu_ns;		/* of the thread, when it began */
	_Atomic uint64_t active;
	pthread_mutex_t lock;		/* of what is handed over */
	struct second *seconds, **last_second;
	uint8_t *scratch;
};

static void *must(void *p)
{
	if (!p)
		abort();	/* out of memory: nothing here can go on without */
	return p;
}

/* ---- turns ---- */

void engine_queue(struct client *c)
{
	struct engine *e = c->engine;
	struct engine_state *own = e->own;
	uint32_t at = own->head + own->n_queued;

	if (c->flags & QUEUED)
		return;
	c->flags |= QUEUED;
	own->queue[at < e->n_clients ? at : at - e->n_clients] = (uint32_t)(c - e->clients);
	own->n_queued++;
	loop_post(e->loop, &own->turns);
}

static void on_turns(struct task *task, struct loop *loop)
{
	struct engine_state *own = (struct engine_state *)((char *)task - offsetof(struct engine_state, turns));
	struct engine *e = own->engine;

	(void)loop;
	for (uint32_t n = own->n_queued; n && own->n_queued; n--) {
		struct client *c = &e->clients[own->queue[own->head]];

		own->head = own->head + 1 < e->n_clients ? own->head + 1 : 0;
		own->n_queued--;
		c->flags &= (uint16_t)~QUEUED;
		if (c->state == CLIENT_NEW)
			client_begin(c);
		else
			client_run(c);
	}
}

static void on_wheel(struct wheel_timer *timer, void *context)
{
	(void)context;
	client_timer((struct client *)((char *)timer - offsetof(struct client, timer)));
}

uint32_t engine_serial(struct engine *e)
{
	return e->own->serial++;
}

/* ---- the place of a client among its role's ---- */

static uint64_t common_divisor(uint64_t a, uint64_t b)
{
	while (b) {
		uint64_t rest = a % b;

		a = b;
		b = rest;
	}
	return a;
}

/* Near the golden section, and coprime to n: so every place is taken once, and any run of neighbours is spread evenly. */
static uint32_t stride_for(uint64_t n)
{
	uint64_t stride = (uint64_t)((double)n * 0.6180339887498949);

	while (stride > 1 && common_divisor(stride, n) > 1)
		stride--;
	return stride ? (uint32_t)stride : 1;
}

uint64_t engine_place(const struct client *c)
{
	uint64_t n = role_of(c)->plan->n;

	return n ? (uint64_t)c->number * c->engine->own->strides[c->role] % n : 0;
}

/* ---- reasons ---- */

static bool is_same(const struct reason *r, uint16_t role, enum counter counter, bool judged, const char *text)
{
	return r->role == role && r->counter == counter && r->judged == judged && is_same_reason(counter, r->text, text);
}

static struct reason *reason_for(struct engine_state *own, uint16_t role, enum counter counter, bool judged, const char *text)
{
	struct reason *r;

	for (r = own->reasons; r; r = r->next)
		if (is_same(r, role, counter, judged, text))
			return r;
	if (own->n_reasons >= MAX_REASONS && strcmp(text, "others"))
		return reason_for(own, role, counter, judged, "others");
	r = must(calloc(1, sizeof(*r)));
	r->role = role;
	r->counter = counter;
	r->judged = judged;
	r->text = must(strdup(text));
	*own->last_reason = r;
	own->last_reason = &r->next;
	own->n_reasons++;
	return r;
}

void engine_reason(struct engine *e, uint16_t role, enum counter counter, bool judged, const char *text)
{
	char safe[600];

	escape_bytes(text, strlen(text), safe, sizeof(safe));
	reason_for(e->own, role, counter, judged, safe)->n++;
}

static void on_violation(void *owner, struct monitor *monitor, const struct violation *violation)
{
	struct engine *e = owner;
	const struct client *c = (const struct client *)((char *)monitor - offsetof(struct client, link.monitor));
	char text[400];

	snprintf(text, sizeof(text), "%s:%s: %s", violation->version == MQTT_5 ? "5" : "3.1.1", violation->clause, violation->text);
	tally_count(role_of(c)->now, COUNT_violations);
	engine_reason(e, c->role, COUNT_violations, true, text);
}

/* ---- seconds ---- */

static uint64_t thread_cpu_ns(const struct engine *e)
{
	struct timespec t;

	if (e->loop->clock.simulated || clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t) < 0)
		return 0;
	return (uint64_t)t.tv_sec * SECOND_NS + (uint64_t)t.tv_nsec;
}

static void second_over(struct engine *e)
{
	struct engine_state *own = e->own;
	struct second *second = must(calloc(1, sizeof(*second)));
	uint64_t cpu_ns = thread_cpu_ns(e);

	second->tallies = must(calloc(e->n_roles, sizeof(*second->tallies)));
	for (uint32_t i = 0; i < e->n_roles; i++) {
		own->occasions += own->nows[i].counts[COUNT_packets_received];
		tally_add(&own->totals[i], &own->nows[i]);
		second->tallies[i] = own->nows[i];		/* its memory goes with it */
		own->nows[i] = (struct tally){ 0 };
	}
	second->at = own->at;
	second->active = own->active;
	second->cpu_ns = cpu_ns - own->cpu_ns;
	own->cpu_ns = cpu_ns;
	pthread_mutex_lock(&own->lock);
	*own->last_second = second;
	own->last_second = &second->next;
	pthread_mutex_unlock(&own->lock);
}

static void set_second(struct engine *e)
{
	e->own->at = run_now(e) / SECOND_NS;
	loop_timer(e->loop, &e->own->second, e->start_ns + (e->own->at + 1) * SECOND_NS);
}

static void on_second(struct timer *timer, struct loop *loop)
{
	struct engine_state *own = (struct engine_state *)((char *)timer - offsetof(struct engine_state, second));

	(void)loop;
	second_over(own->engine);
	set_second(own->engine);
}

struct second *engine_seconds(struct engine *e)
{
	struct engine_state *own = e->own;
	struct second *seconds;

	pthread_mutex_lock(&own->lock);
	seconds = own->seconds;
	own->seconds = NULL;
	own->last_second = &own->seconds;
	pthread_mutex_unlock(&own->lock);
	return seconds;
}

void second_free(struct second *second, uint32_t n_roles)
{
	if (!second)
		return;
	for (uint32_t i = 0; i < n_roles; i++)
		tally_release(&second->tallies[i]);
	free(second->tallies);
	free(second);
}

/* ---- connections ---- */

void engine_linked(struct client *c, int change)
{
	if (change > 0)
		course_linked(c->engine->options.course);
	else
		course_unlinked(c->engine->options.course, run_now(c->engine));
}

void engine_connected(struct client *c, int change)
{
	if (change > 0)
		c->engine->own->active++;
	else
		c->engine->own->active--;
}

void engine_came_to_end(struct client *c)
{
	if (c->flags & GONE)
		return;
	c->flags |= GONE;
	course_gone(c->engine->options.course, c->role, run_now(c->engine));
}

/* ---- the course ---- */

static void over(struct engine *e)
{
	struct engine_state *own = e->own;

	if (own->over)
		return;
	own->over = true;
	own->n_queued = 0;
	for (uint32_t i = 0; i < e->n_clients; i++)
		client_over(&e->clients[i]);
	second_over(e);
	loop_timer_stop(e->loop, &own->begin);
	loop_timer_stop(e->loop, &own->second);
	loop_timer_stop(e->loop, &own->course);
	loop_timer_stop(e->loop, &own->look);
	course_rise(e->options.course, &own->seat);
	if (e->options.idle)
		e->options.idle(e, e->options.context);
}

/* The client that was busy the last time is asked first: thousands of others need not be asked then. */
bool engine_is_settled(struct engine *e)
{
	struct engine_state *own = e->own;

	if (own->n_queued)
		return false;
	for (uint32_t i = 0; i < e->n_clients; i++) {
		uint32_t at = i + own->busy < e->n_clients ? i + own->busy : i + own->busy - e->n_clients;

		if (!client_is_settled(&e->clients[at])) {
			own->busy = at;
			return false;
		}
	}
	return true;
}

uint64_t engine_count(const struct engine *e, enum counter counter)
{
	uint64_t n = 0;

	for (uint32_t i = 0; i < e->n_roles; i++)
		n += e->own->totals[i].counts[counter] + e->own->nows[i].counts[counter];
	return n;
}

uint64_t engine_bytes_received(const struct engine *e)
{
	return e->hub.counts.bytes_received;
}

/* Nothing came for some looks, and nobody has anything to do: the course is told. */
static void on_look(struct timer *timer, struct loop *loop)
{
	struct engine_state *own = (struct engine_state *)((char *)timer - offsetof(struct engine_state, look));
	struct engine *e = own->engine;
	uint64_t heard = engine_bytes_received(e);

	own->n_quiet = heard == own->heard && engine_is_settled(e) ? own->n_quiet + 1 : 0;
	course_quiet(e->options.course, &own->seat, own->n_quiet >= QUIET_LOOKS);
	own->heard = heard;
	loop_timer(loop, timer, loop->now_ns + LOOK_NS);
}

static void set_course_timer(struct engine *e)
{
	uint64_t next_ns = course_next_ns(e->options.course);

	if (next_ns == UINT64_MAX)
		loop_timer_stop(e->loop, &e->own->course);
	else
		loop_timer(e->loop, &e->own->course, e->start_ns + next_ns);
}

static void release_meetings(struct engine *e)
{
	for (uint32_t i = 0; i < e->n_clients; i++) {
		struct client *c = &e->clients[i];

		if (c->state == CLIENT_MEETS && course_is_held(e->options.course, c->step->meeting))
			client_goes_on(c);
	}
}

static void follow(struct engine *e)
{
	enum phase phase = course_tick(e->options.course, run_now(e)), before = (enum phase)e->phase;

	e->phase = (uint8_t)phase;
	e->turns_end_ns = course_turns_end_ns(e->options.course);
	if (phase >= PHASE_DRAIN && before < PHASE_DRAIN)
		for (uint32_t i = 0; i < e->n_clients; i++)
			client_loops_over(&e->clients[i]);
	else
		release_meetings(e);
	e->phase = (uint8_t)course_phase(e->options.course);	/* those who left may have been the last */
	if (e->phase == PHASE_OVER) {
		over(e);
		return;
	}
	set_course_timer(e);
	if (e->phase == PHASE_DRAIN && before < PHASE_DRAIN)
		loop_timer(e->loop, &e->own->look, e->loop->now_ns + LOOK_NS);
}

static void begin(struct engine *e)
{
	struct engine_state *own = e->own;

	own->begun = true;
	own->cpu_ns = thread_cpu_ns(e);
	set_second(e);
	for (uint32_t i = 0; i < e->n_clients; i++) {
		struct client *c = &e->clients[i];
		const struct plan_role *plan = role_of(c)->plan;

		if (!plan->over_ns) {
			engine_queue(c);
			continue;
		}
		c->wake_ns = (uint64_t)((double)plan->over_ns * (double)engine_place(c) / (double)plan->n);
		client_arm(c);
	}
	follow(e);
}

static void on_begin(struct timer *timer, struct loop *loop)
{
	(void)loop;
	begin(((struct engine_state *)((char *)timer - offsetof(struct engine_state, begin)))->engine);
}

static void on_course(struct timer *timer, struct loop *loop)
{
	(void)loop;
	follow(((struct engine_state *)((char *)timer - offsetof(struct engine_state, course)))->engine);
}

static void on_changed(struct seat *seat)
{
	struct engine *e = ((struct engine_state *)((char *)seat - offsetof(struct engine_state, seat)))->engine;

	if (e->own->over)
		return;
	course_stand(e->options.course);
	if (!e->own->begun) {
		if (course_phase(e->options.course) < PHASE_DRAIN)
			return;
		e->start_ns = e->loop->now_ns;		/* it is ended before it has begun */
		e->own->begun = true;
	}
	follow(e);
}

/* ---- making it ---- */

static void look_through(struct role_code *role, const struct step *step, uint32_t depth, bool in_whenever)
{
	for (; step; step = step->next) {
		uint32_t inside = depth + (step->children != NULL && step->kind != STEP_WHENEVER);

		if (inside > role->max_depth)
			role->max_depth = inside;
		role->has_whenever |= step->kind == STEP_WHENEVER;
		role->receives |= step->kind == STEP_RECEIVES || (step->kind == STEP_EXPECT && step->type == PUBLISH);
		role->acknowledges |= step->kind == STEP_RECEIVES;
		if (step->bind_moment >= (int32_t)role->n_slots)
			role->n_slots = (uint32_t)step->bind_moment + 1;
		if (step->of >= (int32_t)role->n_slots)
			role->n_slots = (uint32_t)step->of + 1;
		for (uint32_t i = 0; i < step->n_matches; i++)
			if (step->matches[i].bind >= (int32_t)role->n_slots)
				role->n_slots = (uint32_t)step->matches[i].bind + 1;
		look_through(role, step->children, inside, in_whenever || step->kind == STEP_WHENEVER);
	}
}

/* Clients of each role that are this thread's: see engine_options. */
static uint64_t part_begin(uint64_t n, unsigned thread, unsigned n_threads)
{
	return (n * thread + n_threads - 1) / n_threads;
}

static void make_roles(struct engine *e)
{
	const struct engine_options *o = &e->options;

	e->n_roles = o->plan->n_roles;
	e->roles = must(calloc(e->n_roles + 1, sizeof(*e->roles)));
	e->own->totals = must(calloc(e->n_roles + 1, sizeof(struct tally)));
	e->own->nows = must(calloc(e->n_roles + 1, sizeof(struct tally)));
	e->own->strides = must(calloc(e->n_roles + 1, sizeof(uint32_t)));
	for (uint32_t i = 0; i < e->n_roles; i++) {
		const struct plan_role *plan = &o->plan->roles[i];
		uint64_t n = plan->end - plan->first;

		e->roles[i] = (struct role_code){ .plan = plan, .role = plan->role, .tally = &e->own->totals[i], .now = &e->own->nows[i], .first_client = e->n_clients };
		e->roles[i].n_clients = (uint32_t)(part_begin(n, o->thread + 1, o->n_threads) - part_begin(n, o->thread, o->n_threads));
		look_through(&e->roles[i], plan->role->steps, 0, false);
		e->own->strides[i] = stride_for(plan->n);
		e->n_clients += e->roles[i].n_clients;
	}
}

static void make_clients(struct engine *e)
{
	const struct engine_options *o = &e->options;

	e->clients = must(calloc((size_t)e->n_clients + 1, sizeof(*e->clients)));
	for (uint32_t r = 0; r < e->n_roles; r++) {
		const struct plan_role *plan = e->roles[r].plan;
		uint64_t first = plan->first + part_begin(plan->end - plan->first, o->thread, o->n_threads);

		for (uint32_t i = 0; i < e->roles[r].n_clients; i++) {
			struct client *c = &e->clients[e->roles[r].first_client + i];

			c->engine = e;
			c->role = (uint16_t)r;
			c->number = (uint32_t)(first + i);
			c->wake_ns = UINT64_MAX;
		}
	}
}

struct engine *engine_new(struct loop *loop, const struct engine_options *options)
{
	struct engine *e = must(calloc(1, sizeof(*e)));
	struct engine_state *own = must(calloc(1, sizeof(*own)));

	e->options = *options;
	if (!e->options.n_threads)
		e->options.n_threads = 1;
	e->loop = loop;
	e->own = own;
	e->start_ns = course_start_ns(options->course);
	e->random = options->plan->seed ^ (uint64_t)(options->thread + 1) << 48 ^ (uint64_t)options->plan->shard << 32;
	own->engine = e;
	own->last_reason = &own->reasons;
	own->last_second = &own->seconds;
	pthread_mutex_init(&own->lock, NULL);
	own->turns.run = on_turns;
	own->begin.fire = on_begin;
	own->second.fire = on_second;
	own->course.fire = on_course;
	own->look.fire = on_look;
	own->scratch = must(malloc(SCRATCH_SIZE));
	arena_init(&e->scratch, own->scratch, SCRATCH_SIZE);

	make_roles(e);
	make_clients(e);
	own->queue = must(calloc((size_t)e->n_clients + 1, sizeof(*own->queue)));
	e->pool = pool_new();
	e->world = must(monitor_world_new());
	monitor_world_bound(e->world, ((size_t)256 << 20) + (size_t)e->n_clients * 16384, e->n_clients + 4096);
	e->log.violated = on_violation;
	e->log.owner = e;
	wheel_init(&e->wheel, loop, on_wheel, e);
	e->hub = (struct link_hub){
		.loop = loop, .pool = e->pool, .world = e->world, .events = &client_link_events, .max_pending = options->max_pending,
		.sources = options->sources, .n_sources = options->n_sources,
	};
	link_hub_init(&e->hub);
	e->ledger = ledger_new(options->audience, e->pool, options->thread, options->run, own->nows, e->n_roles, 0);
	e->posts = posts_new(e);
	if (course_sit(options->course, &own->seat, loop, on_changed)) {
		perror("mqassay: eventfd");
		abort();
	}
	loop_timer(loop, &own->begin, e->start_ns);
	return e;
}

/* ---- results ---- */

uint64_t engine_active(const struct engine *e)
{
	return e->own->active;
}

struct tally *engine_tallies(struct engine *e)
{
	return e->own->totals;
}

const struct reason *engine_reasons(const struct engine *e)
{
	return e->own->reasons;
}

struct ledger *engine_ledger(struct engine *e)
{
	return e->ledger;
}

uint64_t engine_occasions(const struct engine *e)
{
	return e->own->occasions;
}

uint64_t engine_delivered_ns(const struct engine *e)
{
	return e->delivered_ns;
}

unsigned engine_held_to(const struct engine *e, uint32_t role)
{
	return e->roles[role].held_to;
}

void engine_halt(struct engine *e)
{
	if (!e->own->begun)
		e->start_ns = e->loop->now_ns;
	e->own->begun = true;
	over(e);
}

void engine_free(struct engine *e)
{
	struct engine_state *own = e->own;

	e->options.idle = NULL;
	engine_halt(e);
	loop_settle(e->loop);		/* what it posted has its turn while it is there */
	wheel_release(&e->wheel);
	link_hub_release(&e->hub);
	posts_free(e->posts);
	ledger_free(e->ledger);
	monitor_world_free(e->world);
	pool_free(e->pool);
	while (own->seconds) {
		struct second *next = own->seconds->next;

		second_free(own->seconds, e->n_roles);
		own->seconds = next;
	}
	while (own->reasons) {
		struct reason *next = own->reasons->next;

		free(own->reasons->text);
		free(own->reasons);
		own->reasons = next;
	}
	for (uint32_t i = 0; i < e->n_roles; i++) {
		tally_release(&own->totals[i]);
		tally_release(&own->nows[i]);
	}
	pthread_mutex_destroy(&own->lock);
	free(own->totals);
	free(own->nows);
	free(own->strides);
	free(own->queue);
	free(own->scratch);
	free(own);
	free(e->roles);
	free(e->clients);
	free(e);
}
