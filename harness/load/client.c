#include "harness/load/client_play.h"

#include <stdarg.h>
#include <stdio.h>

#include "harness/load/wording.h"

/* The walk of a client through its role: blocks, loops, waiting, failing and beginning anew. */

enum { TURN = 256 };	/* steps before the others have their turn */

static void leave_block(struct client *c, const struct step *done);

/* ---- frames ---- */

static struct frame_of_role *top(const struct client *c)
{
	struct registers *r = c->registers;

	return r && r->depth ? &r->frames[r->depth - 1] : NULL;
}

static struct frame_of_role *push(struct client *c, const struct step *owner)
{
	struct registers *r = client_registers(c);
	struct frame_of_role *f = &r->frames[r->depth++];

	*f = (struct frame_of_role){ .owner = owner };
	return f;
}

static void pop(struct client *c)
{
	c->registers->depth--;
}

/* ---- loops of workloads ---- */

/*
 * A turn that is due before the end of the time is played however late, and none that is due behind it. A `forever`
 * that begins by receiving goes on in the drain: what is still under way is taken, and acknowledged, as it was
 * before.
 */
static bool loop_is_over(const struct client *c, const struct step *owner, uint64_t due_ns)
{
	const struct step *first = owner->children;

	if (c->engine->phase < PHASE_DRAIN)
		return false;
	if (c->engine->phase == PHASE_OVER || !first)
		return true;
	if (owner->kind == STEP_EVERY)
		return due_ns >= c->engine->turns_end_ns;
	return first->kind != STEP_RECEIVES && !(first->kind == STEP_EXPECT && first->type == PUBLISH);
}

static void leave_loop(struct client *c)
{
	const struct step *owner = top(c)->owner;

	pop(c);
	c->flags &= ~(IN_TURN | WAITED);
	leave_block(c, owner);
}

/* The next turn is begun, or waited for, or the loop is left. Of `every` frame.end is the time between two turns. */
static void next_turn(struct client *c)
{
	struct frame_of_role *f = top(c);
	const struct step *owner = f->owner;
	uint64_t due_ns = f->start_ns + f->turn * f->end;

	if (loop_is_over(c, owner, due_ns)) {
		leave_loop(c);
		return;
	}
	c->step = owner;
	if (!owner->children) {
		client_waits(c, CLIENT_SLEEPS, NEVER);
		return;
	}
	if (owner->kind == STEP_EVERY && due_ns >= c->engine->turns_end_ns) {	/* the drain is about to begin */
		client_waits(c, CLIENT_SLEEPS, NEVER);
		return;
	}
	if (owner->kind == STEP_EVERY && due_ns > run_now(c->engine)) {
		client_waits(c, CLIENT_SLEEPS, due_ns);
		return;
	}
	if (c->registers->slots)
		slots_forget(c, owner->children);
	f->turn++;
	c->flags &= ~(IN_TURN | WAITED);
	if (owner->kind == STEP_EVERY) {
		c->flags |= IN_TURN;
		c->due_ns = due_ns;
	}
	c->step = owner->children;
}

static void begin_every(struct client *c)
{
	const struct step *step = c->step;
	const struct plan_role *plan = role_of(c)->plan;
	uint64_t period_ns = 0;

	if (step->kind == STEP_EVERY && !duration_of(c, step->duration, &period_ns))
		return;
	struct frame_of_role *f = push(c, step);
	f->end = period_ns;
	f->start_ns = run_now(c->engine) + (plan->n ? (uint64_t)((double)period_ns * (double)engine_place(c) / (double)plan->n) : 0);
	next_turn(c);
}

static void begin_repeat(struct client *c)
{
	const struct step *step = c->step;
	uint64_t from, to;

	if (!number_of(c, step->from, &from) || !number_of(c, step->to, &to))
		return;
	if (from > to || to == UINT64_MAX || !step->children) {
		leave_block(c, step);
		return;
	}
	slots_forget(c, step->children);
	struct frame_of_role *f = push(c, step);
	f->turn = from;
	f->end = to;
	c->step = step->children;
}

static void begin_block(struct client *c)
{
	const struct step *step = c->step;
	uint64_t ns;

	/* asked now, so that they can be had when it has failed */
	if (step->kind == STEP_AGAIN && (!duration_of(c, step->from, &ns) || !duration_of(c, step->to, &ns)))
		return;
	if (!step->children) {
		leave_block(c, step);
		return;
	}
	push(c, step);
	c->step = step->children;
}

/*
 * A step is done, or stepped over: on to the next one, out of blocks that have ended and round loops. A client that
 * comes to its end stays in the blocks that end there: their `whenever`s are in force, and their `again`s begin anew.
 */
static void leave_block(struct client *c, const struct step *done)
{
	uint8_t depth = c->registers ? c->registers->depth : 0;

	for (;;) {
		struct frame_of_role *f = top(c);

		if (done->next) {
			c->step = done->next;
			return;
		}
		if (!f) {
			c->step = NULL;
			if (c->registers)
				c->registers->depth = depth;
			return;
		}
		if (f->owner->kind == STEP_EVERY || f->owner->kind == STEP_FOREVER) {
			next_turn(c);
			return;
		}
		if (f->owner->kind == STEP_REPEAT && f->turn < f->end) {
			f->turn++;
			slots_forget(c, f->owner->children);
			c->step = f->owner->children;
			return;
		}
		done = f->owner;
		pop(c);
	}
}

static void begin_meet(struct client *c)
{
	const struct engine *e = c->engine;

	if (!(c->flags & WAITED) ? course_meet(e->options.course, c->step->meeting, run_now(e)) : course_is_held(e->options.course, c->step->meeting))
		client_step_done(c);
	else
		client_waits(c, CLIENT_MEETS, NEVER);
}

/* ---- walking ---- */

static void take_step(struct client *c)
{
	if (!(c->flags & IN_TURN))	/* without a schedule nothing is due before it can be done */
		c->due_ns = run_now(c->engine);
	switch (c->step->kind) {
	case STEP_EVERY: case STEP_FOREVER:
		begin_every(c);
		break;
	case STEP_REPEAT:
		begin_repeat(c);
		break;
	case STEP_BLOCK: case STEP_AGAIN: case STEP_TOGETHER:	/* whatever is sent in one turn leaves in one write */
		begin_block(c);
		break;
	case STEP_MEET:
		begin_meet(c);
		break;
	case STEP_WHENEVER:
		leave_block(c, c->step);
		break;
	default:
		client_step_begin(c, c->step);
	}
}

static void come_to_end(struct client *c)
{
	if (!(c->flags & GONE))		/* else it was here before, and had to begin anew */
		tally_count(role_of(c)->now, COUNT_finished);
	c->state = CLIENT_AT_END;
	c->wake_ns = NEVER;
	if ((!c->registers || !c->registers->depth) && !(c->extras && c->extras->body))	/* a body that waits has names of its own */
		registers_free(c);
	engine_came_to_end(c);
}

void client_run(struct client *c)
{
	if (c->flags & MOVING)
		return;
	c->flags |= MOVING;
	for (unsigned n = 0; c->state == CLIENT_RUNS && c->step; n++) {
		if (n == TURN) {
			engine_queue(c);
			break;
		}
		take_step(c);
	}
	c->flags &= (uint16_t)~MOVING;
	if (c->state == CLIENT_RUNS && !c->step)
		come_to_end(c);
}

void client_begin(struct client *c)
{
	tally_count(role_of(c)->now, COUNT_started);
	c->step = role_of(c)->role->steps;
	c->state = CLIENT_RUNS;
	c->wake_ns = NEVER;
	client_run(c);
}

static bool acts(const struct step *step)
{
	switch (step->kind) {
	case STEP_WAIT: case STEP_NOTE: case STEP_WARN: case STEP_MEET:
		return false;
	default:
		return true;
	}
}

void client_step_done(struct client *c)
{
	const struct step *step = c->step;

	if (acts(step))
		c->base_ns = run_now(c->engine);
	if (step->bind_moment >= 0)
		slot_bind(c, step->bind_moment, &(struct value){ .kind = VALUE_NUMBER, .number = run_now(c->engine) });
	if (c->flags & WAITED)
		c->flags &= (uint16_t)~(WAITED | IN_TURN | PROBING);
	c->phase = 0;
	c->wake_ns = NEVER;
	c->state = CLIENT_RUNS;
	leave_block(c, step);
	client_run(c);
}

/* ---- waiting ---- */

void client_waits(struct client *c, enum client_state state, uint64_t wake_ns)
{
	c->state = (uint8_t)state;
	c->wake_ns = wake_ns;
	c->flags |= WAITED;
	if (wake_ns != NEVER)
		client_arm(c);
}

void client_goes_on(struct client *c)
{
	c->state = CLIENT_RUNS;
	c->wake_ns = NEVER;
	client_run(c);
}

static uint64_t ping_due_ns(const struct client *c)
{
	if (!(c->flags & CONNECTED) || !c->keep_alive)
		return NEVER;
	return c->sent_ms * UINT64_C(1000000) + c->keep_alive * UINT64_C(750000000);
}

void client_arm(struct client *c)
{
	uint64_t due_ns = c->wake_ns, other_ns = ping_due_ns(c);

	if (other_ns < due_ns)
		due_ns = other_ns;
	if (c->extras && c->extras->resume_ns && c->extras->resume_ns < due_ns)
		due_ns = c->extras->resume_ns;
	if (due_ns == NEVER)
		return;
	due_ns += c->engine->start_ns;
	if (!c->timer.at || c->timer.due_ns > due_ns)
		wheel_set(&c->engine->wheel, &c->timer, due_ns);
}

/* [MQTT-3.1.2-23] something is sent in time. Who does not answer a ping until the next one is due is not there any more. */
static void keep_alive(struct client *c)
{
	if (ping_due_ns(c) > run_now(c->engine))
		return;
	if (c->own_pings && !client_reads_slowly(c)) {
		client_hangs_up(c, false, LOST_DISCONNECTED, "no PINGRESP");
		tally_count(role_of(c)->now, COUNT_ended);
		engine_reason(c->engine, c->role, COUNT_ended, false, "no PINGRESP came within the keep alive");
		client_fails(c, COUNT_ended);
		return;
	}
	if (!(c->flags & LEAVING) && c->own_pings < UINT8_MAX && client_send_ping(c))
		c->own_pings++;
	else
		c->sent_ms = run_ms(c->engine);		/* bytes wait to be sent: it is not silent */
}

static void wakes(struct client *c)
{
	switch ((enum client_state)c->state) {
	case CLIENT_NEW:
		client_begin(c);
		break;
	case CLIENT_SLEEPS:
		if (top(c) && top(c)->owner == c->step) {	/* between two turns of a loop */
			c->state = CLIENT_RUNS;
			next_turn(c);
			client_run(c);
		} else if (c->step->kind == STEP_WAIT) {
			client_step_done(c);
		} else {
			client_goes_on(c);
		}
		break;
	case CLIENT_BACKS_OFF:
		tally_count(role_of(c)->now, COUNT_retried);
		c->step = c->step->children;
		c->flags &= (uint16_t)~(WAITED | IN_TURN);
		client_goes_on(c);
		break;
	case CLIENT_AWAITS: case CLIENT_WINDOW: case CLIENT_ROOM:
		client_step_expired(c);
		break;
	default:
		break;
	}
}

void client_timer(struct client *c)
{
	if (c->wake_ns <= run_now(c->engine)) {
		c->wake_ns = NEVER;
		wakes(c);
	}
	keep_alive(c);
	if (c->extras && c->extras->resume_ns && c->extras->resume_ns <= run_now(c->engine)) {
		c->extras->resume_ns = 0;
		client_pause(c, PAUSED_PACE, false);
	}
	client_arm(c);
}

/* ---- failing ---- */

void client_stop(struct client *c, const struct step *step, bool judged, const char *format, ...)
{
	char text[400];
	int n = step ? snprintf(text, sizeof(text), "line %u: ", (unsigned)step->at.line) : 0;
	va_list args;

	va_start(args, format);
	vsnprintf(text + n, sizeof(text) - (size_t)n, format, args);
	va_end(args);
	engine_reason(c->engine, c->role, COUNT_stopped, judged, text);
	client_fails(c, COUNT_stopped);
}

static struct frame_of_role *around(const struct client *c, enum step_kind kind)
{
	struct registers *r = c->registers;

	for (unsigned i = r ? r->depth : 0; i--;)
		if (r->frames[i].owner->kind == kind)
			return &r->frames[i];
	return NULL;
}

static uint64_t back_off_ns(struct client *c, struct frame_of_role *f)
{
	uint64_t shortest = 0, longest = 0, ns, random, now = run_now(c->engine);

	duration_of(c, f->owner->from, &shortest);
	duration_of(c, f->owner->to, &longest);
	if (f->start_ns && now - f->start_ns > longest)
		f->turn = 0;
	f->start_ns = 0;
	ns = shortest;
	for (uint64_t i = 0; i < f->turn && ns < longest; i++)
		ns *= 2;
	if (ns > longest)
		ns = longest;
	f->turn++;
	engine_random(c->engine, (uint8_t *)&random, sizeof(random));
	return ns / 2 + random % (ns / 2 + 1);
}

void client_fails(struct client *c, enum counter counter)
{
	struct frame_of_role *again = around(c, STEP_AGAIN);

	if (c->state == CLIENT_STOPPED)
		return;
	if (c->state == CLIENT_MEETS)
		course_unmeet(c->engine->options.course, c->step->meeting);
	client_hangs_up(c, false, LOST_SUBSCRIBER_LEFT, "the client was stopped");
	client_early_clear(c);
	c->flags &= (uint16_t)~(RESUMING | PROBING | END_HELD | IN_TURN | WAITED);
	c->phase = 0;
	if (again && c->engine->phase < PHASE_DRAIN) {
		c->registers->depth = (uint8_t)(again - c->registers->frames + 1);
		slots_forget(c, again->owner->children);
		c->step = again->owner;
		client_waits(c, CLIENT_BACKS_OFF, run_now(c->engine) + back_off_ns(c, again));
		return;
	}
	if (c->state == CLIENT_AT_END && counter == COUNT_ended)
		return;
	if (counter == COUNT_stopped || (counter == COUNT_refused && !again))
		tally_count(role_of(c)->now, COUNT_stopped);
	c->state = CLIENT_STOPPED;
	c->step = NULL;
	c->wake_ns = NEVER;
	registers_free(c);
	engine_came_to_end(c);
}

/* ---- the end of the run ---- */

void client_loops_over(struct client *c)
{
	switch ((enum client_state)c->state) {
	case CLIENT_NEW: case CLIENT_BACKS_OFF:
		c->state = CLIENT_STOPPED;
		c->step = NULL;
		c->wake_ns = NEVER;
		wheel_stop(&c->engine->wheel, &c->timer);
		engine_came_to_end(c);
		break;
	case CLIENT_SLEEPS:
		if (top(c) && top(c)->owner == c->step) {
			c->state = CLIENT_RUNS;
			c->wake_ns = NEVER;
			next_turn(c);
			client_run(c);
		}
		break;
	case CLIENT_MEETS:
		client_goes_on(c);
		break;
	default:
		break;
	}
}

bool client_leaves_loop(struct client *c)
{
	struct registers *r = c->registers;
	unsigned depth = r ? r->depth : 0;

	if (c->engine->phase < PHASE_DRAIN)
		return false;
	while (depth && r->frames[depth - 1].owner->kind != STEP_EVERY && r->frames[depth - 1].owner->kind != STEP_FOREVER)
		depth--;
	if (!depth)
		return false;
	r->depth = (uint8_t)depth;
	c->phase = 0;
	c->state = CLIENT_RUNS;
	c->wake_ns = NEVER;
	leave_loop(c);
	client_run(c);
	return true;
}

/* Waits for the next turn of a `forever` that begins by receiving: for what is still under way, if anything is. */
static bool only_receives(const struct client *c)
{
	const struct registers *r = c->registers;

	return c->state == CLIENT_AWAITS && c->phase == 0 && !(c->flags & PROBING) && r && r->depth && r->frames[r->depth - 1].owner->kind == STEP_FOREVER &&
	       r->frames[r->depth - 1].owner->children == c->step;
}

bool client_is_settled(const struct client *c)
{
	const struct extras *x = c->extras;

	if (c->state != CLIENT_AT_END && c->state != CLIENT_STOPPED && !only_receives(c))
		return false;
	if (!(c->flags & LINKED))
		return true;
	return !link_unsent(&c->link) && !(c->flags & RESUMING) && !(c->open && c->open->n) && !(x && (x->body || x->n_acks || x->pieces || x->taken));
}

/* What it is owed and has not had, its connection was open for: nobody left, and its being closed now is nobody's evidence. */
static void owed_no_more(struct client *c)
{
	struct engine *e = c->engine;
	const struct extras *x = c->extras;
	char text[80] = "it reads nothing, as its steps say";

	if (!(c->flags & SUBSCRIBED))
		return;
	if (x && x->read_rate)
		snprintf(text, sizeof(text), "it reads %s a second, as its steps say", say_bytes(x->read_rate));
	if (c->flags & CONNECTED && client_reads_slowly(c))
		ledger_trouble(e->ledger, listener_of(c), LOST_SUBSCRIBER_SLOW, text, run_now(e));
	if (!(c->flags & LEAVING))
		audience_leave(e->options.audience, listener_of(c));
	c->flags &= (uint16_t)~SUBSCRIBED;
}

/* A step outside of loops that awaits what did not come in all that time: nobody must think that it had been played. */
static void tell_unfinished(struct client *c)
{
	char text[100];

	if (c->state != CLIENT_AWAITS || !c->step || (c->step->kind != STEP_RECEIVES && c->step->kind != STEP_EXPECT) || around(c, STEP_EVERY) ||
	    around(c, STEP_FOREVER))
		return;
	snprintf(text, sizeof(text), "line %u: it still waited here when the run was over", (unsigned)c->step->at.line);
	tally_count(role_of(c)->now, COUNT_stopped);
	engine_reason(c->engine, c->role, COUNT_stopped, false, text);
}

/* About how many packets of its role so many bytes are. */
static uint32_t packets_in(const struct client *c, size_t bytes)
{
	const uint64_t *now = role_of(c)->now->counts, *before = role_of(c)->tally->counts;
	uint64_t sent = now[COUNT_bytes_sent] + before[COUNT_bytes_sent], packets = now[COUNT_packets_sent] + before[COUNT_packets_sent];

	return (uint32_t)(sent ? (bytes * packets + sent - 1) / sent : 0);
}

void client_over(struct client *c)
{
	struct engine *e = c->engine;
	struct pool *pool = e->pool;
	const char *why = NULL;

	tell_unfinished(c);
	wheel_stop(&e->wheel, &c->timer);
	c->state = CLIENT_STOPPED;
	c->step = NULL;
	owed_no_more(c);
	if (c->flags & LINKED) {
		if (link_unsent(&c->link))
			link_flush(&c->link);
		if (link_unsent(&c->link)) {
			why = "the broker did not read it any more from its publisher's connection";
			ledger_stuck(e->ledger, c->stream, c->flight, packets_in(c, link_unsent(&c->link)));
		}
		if ((c->flags & (CONNECTED | LEAVING)) == CONNECTED) {
			static const uint8_t bytes[] = { DISCONNECT << 4, 0 };
			uint8_t *room = link_room(&c->link, sizeof(bytes));

			if (room) {
				memcpy(room, bytes, sizeof(bytes));
				client_wrote(c, room, sizeof(bytes));
				link_commit(&c->link, sizeof(bytes));
			}
		}
		if (c->flags & CONNECTED)
			engine_connected(c, -1);
		engine_linked(c, -1);
		c->flags &= (uint16_t)~(LINKED | CONNECTED);
		link_close(&c->link, false);
	}
	exchanges_cut(c, false, LOST_PUBLISHER_GONE, why);
	client_early_clear(c);
	registers_free(c);
	if (c->extras) {
		taken_free(pool, &c->extras->taken);
		pool_give(pool, c->extras, sizeof(*c->extras));
		c->extras = NULL;
	}
}
