#include "harness/load/client_play.h"

#include <stdio.h>

/* What each kind of step does when its turn comes, and when its time is up. */

/* ---- time ---- */

bool client_step_time(struct client *c, const struct step *step, uint64_t *earliest, uint64_t *latest)
{
	uint64_t base = c->base_ns, ns;

	*earliest = 0;
	*latest = NEVER;
	if (step->of >= 0 && !number_of(c, &(struct expr){ .kind = EXPR_VAR, .slot = (uint32_t)step->of, .at = step->at }, &base))
		return false;
	if (step->after) {
		if (!duration_of(c, step->after, &ns))
			return false;
		*earliest = base + ns;
	}
	if (step->within) {
		if (!duration_of(c, step->within, &ns))
			return false;
		*latest = base + ns;
	}
	return true;
}

/* The step waits from now on: until its `within`, or as long as any step does. */
void client_expect_deadline(struct client *c, const struct step *step)
{
	struct engine *e = c->engine;
	uint64_t earliest, latest, due_ns, now = run_now(e);

	if (!client_step_time(c, step, &earliest, &latest))
		return;
	due_ns = (earliest > now ? earliest : now) + e->options.plan->timeout_ns;
	if (latest != NEVER && c->phase == 0)
		due_ns = latest;
	client_waits(c, CLIENT_AWAITS, due_ns);
}

/* ---- sending ---- */

/*
 * Until there is room, or the connection is open: nothing is written before, since thousands may wait for their turn to connect. That is
 * counted from when this was due, and has a deadline from the SYN on.
 */
static void until_room(struct client *c)
{
	if (c->link.open) {
		client_waits(c, CLIENT_ROOM, NEVER);
		return;
	}
	c->flags |= IN_TURN;
	client_waits(c, CLIENT_ROOM, c->link.transport ? run_now(c->engine) + c->engine->options.plan->timeout_ns : NEVER);
}

/* [MQTT-3.3.4-7] no wider than the broker's Receive Maximum. */
static uint64_t window_of(const struct client *c, uint64_t n)
{
	uint64_t most = monitor_in_force(&c->link.monitor, PROP_receive_maximum);

	return n < most ? n : most;
}

static bool window_is_full(const struct client *c, uint64_t n)
{
	return c->open && (c->open->flying >= n || c->open->n >= 65535);
}

/* Whoever asks for more than the broker takes has to know whose limit he sees. */
static void until_window_opens(struct client *c, uint64_t asked)
{
	struct role_code *role = role_of(c);
	uint64_t most = window_of(c, asked);

	if (most < asked && (!role->held_to || most < role->held_to))
		role->held_to = (uint16_t)most;
	client_waits(c, CLIENT_WINDOW, run_now(c->engine) + c->engine->options.plan->timeout_ns);
}

/* A send said so: on, or it is tried again. */
static void after_send(struct client *c, int sent)
{
	if (sent > 0)
		client_step_done(c);
	else if (sent == 0 && c->state == CLIENT_RUNS && c->open && c->open->n >= 65535)
		until_window_opens(c, 1);		/* every packet id awaits its answer */
	else if (sent == 0 && c->state == CLIENT_RUNS)
		until_room(c);
}

static int send_one(struct client *c, const struct step *step)
{
	unsigned qos;
	uint16_t id;

	if (step->kind == STEP_BYTES)
		return client_send_bytes(c, step);
	if (step->type == PUBLISH && !step->pieces)
		return client_send_publish(c, step, EX_BARE, &qos);
	return client_send_step(c, step, &id);
}

static void begin_send(struct client *c, const struct step *step)
{
	if (c->extras && c->extras->pieces)
		after_send(c, client_send_pieces(c, step, false));
	else
		after_send(c, send_one(c, step));
}

/* QoS 0 has no answer of its own: a ping's will do. */
static void ping_behind(struct client *c, const struct step *step)
{
	c->phase = 1;
	if (!client_send_ping(c)) {
		until_room(c);
		return;
	}
	c->pings++;
	client_expect_deadline(c, step);
}

static void begin_publishes(struct client *c, const struct step *step)
{
	uint64_t window = 1;
	unsigned qos;
	int sent;

	if (c->phase == 1) {
		ping_behind(c, step);
		return;
	}
	if (!client_ready(c, step, false))
		return;
	if (step->in_flight && !number_of(c, step->in_flight, &window))
		return;
	qos = c->open ? post_qos(c, step) : 0;
	if (qos && window_is_full(c, window_of(c, step->in_flight ? window : UINT16_MAX))) {
		until_window_opens(c, step->in_flight ? window : 1);
		return;
	}
	sent = client_send_publish(c, step, step->in_flight ? 0 : EX_WAITED, &qos);
	if (sent <= 0 || step->in_flight)
		after_send(c, sent);
	else if (qos)
		client_expect_deadline(c, step);
	else
		ping_behind(c, step);
}

static void begin_exchange(struct client *c, const struct step *step)
{
	struct exchange *ex;
	uint16_t id = 0;
	int sent = client_send_step(c, step, &id);

	if (sent <= 0) {
		after_send(c, sent);
		return;
	}
	if (step->kind == STEP_PINGS)
		c->pings++;
	if ((step->kind == STEP_SUBSCRIBES || step->kind == STEP_UNSUBSCRIBES) && (ex = exchange_find(c, id))) {
		ex->flags = EX_WAITED;
		ex->step = step;
	}
	client_expect_deadline(c, step);
}

/* ---- receiving ---- */

/* The id that an awaited answer must have, where the step names one that is known by now. */
static uint16_t awaited_id(struct client *c, const struct step *step)
{
	uint64_t id;

	if (arrival_kind_of((enum packet_type)step->type) != ANSWER)
		return 0;
	for (uint32_t i = 0; i < step->n_matches; i++)
		if (step->matches[i].pattern->kind == PATTERN_EQUAL && !strcmp(step->matches[i].field->name, "packet_id") &&
		    number_of(c, step->matches[i].pattern->value, &id))
			return (uint16_t)id;
	return 0;
}

static void begin_await(struct client *c, const struct step *step)
{
	uint64_t ns = NOTHING_NS;

	if (step->kind == STEP_EXPECT)
		c->awaited_id = awaited_id(c, step);
	if (c->state != CLIENT_RUNS)
		return;
	if (step->kind == STEP_NOTHING && step->duration && !duration_of(c, step->duration, &ns))
		return;
	if (client_early_offer(c))
		return;
	if (c->flags & END_HELD && step->kind != STEP_NOTHING) {
		c->state = CLIENT_AWAITS;
		if (!client_offer_end(c))
			client_lost(c);
		return;
	}
	if (!(c->flags & LINKED) && step->kind == STEP_CLOSED) {	/* it has ended before, and that was no surprise */
		client_step_done(c);
		return;
	}
	if (step->kind == STEP_NOTHING)
		client_waits(c, CLIENT_AWAITS, run_now(c->engine) + ns);
	else
		client_expect_deadline(c, step);
}

/* ---- time is up ---- */

static const char *what_was_awaited(const struct client *c)
{
	const struct step *step = c->step;
	const struct exchange *ex;

	switch (step->kind) {
	case STEP_EXPECT:       return packet_name((enum packet_type)step->type);
	case STEP_RECEIVES:     return c->phase ? "PUBREL" : "PUBLISH";
	case STEP_CONNECTS:     return "CONNACK";
	case STEP_SUBSCRIBES:   return "SUBACK";
	case STEP_UNSUBSCRIBES: return "UNSUBACK";
	case STEP_PINGS:        return "PINGRESP";
	case STEP_PUBLISHES:
		ex = exchange_find(c, c->last_id);
		return c->phase ? "PINGRESP" : !ex ? "answer" : ex->state == EXCHANGE_QOS1 ? "PUBACK" : ex->state == EXCHANGE_QOS2 ? "PUBREC" : "PUBCOMP";
	default:                return "what was awaited";
	}
}

static bool judges(const struct step *step)
{
	return step->kind == STEP_EXPECT || step->kind == STEP_RECEIVES || step->kind == STEP_CLOSED || step->kind == STEP_NOTHING;
}

static void missed(struct client *c)
{
	const struct step *step = c->step;

	if (c->state == CLIENT_ROOM)
		client_stop(c, step, false, "the connection was not opened in time");
	else if (step->kind == STEP_CLOSED)
		client_stop(c, step, true, "the connection is still open, while the broker serves");
	else
		client_stop(c, step, judges(step), "no %s came in time", what_was_awaited(c));
}

void client_probe_answered(struct client *c)
{
	c->flags &= (uint16_t)~PROBING;
	if (c->state == CLIENT_AWAITS)
		missed(c);
	else if (c->state == CLIENT_WINDOW)
		client_stop(c, c->step, false, "no answer came in time to any of %u exchanges", (unsigned)c->open->n);
}

/* Silence is asked about before it is blamed: a target that does not answer a ping either is stalled, and has broken no promise. */
static bool probe(struct client *c)
{
	if (c->flags & PROBING || !(c->flags & CONNECTED) || c->flags & LEAVING || c->pings || !client_send_ping(c))
		return false;
	c->own_pings++;
	c->flags |= PROBING;
	client_waits(c, (enum client_state)c->state, run_now(c->engine) + c->engine->options.plan->timeout_ns);
	return true;
}

void client_step_expired(struct client *c)
{
	const struct step *step = c->step;

	if (step->kind == STEP_NOTHING) {
		client_step_done(c);
		return;
	}
	if (step->kind == STEP_DISCONNECTS) {		/* [3.14.4] that the broker closes, if the client has not, is only SHOULD */
		client_hangs_up(c, false, LOST_SUBSCRIBER_LEFT, "it disconnected");
		client_step_done(c);
		return;
	}
	if (judges(step) && c->phase == 0 && client_leaves_loop(c))
		return;					/* what is awaited in a loop whose time is over is not missed */
	if (client_reads_slowly(c) && !step->within) {
		client_waits(c, (enum client_state)c->state, run_now(c->engine) + c->engine->options.plan->timeout_ns);
		return;
	}
	if (probe(c))
		return;
	if (c->flags & PROBING)
		client_stop(c, step, false, "the target is stalled: no %s, and no answer to a PINGREQ either", what_was_awaited(c));
	else
		missed(c);
}

/* ---- the others ---- */

static void begin_reads(struct client *c, const struct step *step)
{
	struct extras *x = client_extras(c);

	x->read_rate = step->rate == UINT64_MAX ? 0 : step->rate;
	x->resume_ns = 0;
	client_pause(c, PAUSED_PACE, false);
	client_pause(c, PAUSED_NOTHING, step->rate == 0);
	client_step_done(c);
}

static void begin_leave(struct client *c, const struct step *step)
{
	if (c->flags & LINKED) {
		link_flush(&c->link);
		if (step->kind == STEP_DROPS) {
			client_hangs_up(c, true, LOST_SUBSCRIBER_LEFT, "it dropped its connection");
		} else {
			c->flags |= LEAVING;
			link_finish(&c->link);
		}
	}
	client_step_done(c);
}

static void begin_wait(struct client *c, const struct step *step)
{
	uint64_t ns;

	if (duration_of(c, step->duration, &ns))
		client_waits(c, CLIENT_SLEEPS, run_now(c->engine) + ns);
}

void client_step_begin(struct client *c, const struct step *step)
{
	switch (step->kind) {
	case STEP_SEND: case STEP_BYTES:
		begin_send(c, step);
		break;
	case STEP_EXPECT: case STEP_RECEIVES: case STEP_CLOSED: case STEP_NOTHING:
		begin_await(c, step);
		break;
	case STEP_PUBLISHES:
		begin_publishes(c, step);
		break;
	case STEP_CONNECTS: case STEP_DISCONNECTS: case STEP_SUBSCRIBES: case STEP_UNSUBSCRIBES: case STEP_PINGS:
		begin_exchange(c, step);
		break;
	case STEP_OPENS:
		client_opens(c);
		client_step_done(c);
		break;
	case STEP_DROPS: case STEP_CLOSES:
		begin_leave(c, step);
		break;
	case STEP_READS:
		begin_reads(c, step);
		break;
	case STEP_WAIT:
		begin_wait(c, step);
		break;
	case STEP_NOTE: case STEP_WARN:		/* tens of thousands would say the same */
		client_step_done(c);
		break;
	case STEP_SKIP:
		if (c->registers)
			c->registers->depth = 0;
		c->step = NULL;
		break;
	default:
		client_stop(c, step, false, "a step that cannot stand in a role");
	}
}

/* ---- bodies of `whenever` ---- */

/* Until an acknowledgement opens the window: nothing but those must be read meanwhile, so that deliveries are put off. */
static bool body_waits_for_window(struct client *c, const struct step *step)
{
	return step->kind == STEP_PUBLISHES && c->open && post_qos(c, step) && window_is_full(c, window_of(c, UINT16_MAX));
}

/* One step of it; 0: there is no room now. */
static int body_step(struct client *c, const struct step *step)
{
	unsigned qos;

	switch (step->kind) {
	case STEP_PUBLISHES:
		return client_send_publish(c, step, 0, &qos);
	case STEP_SEND: case STEP_BYTES:
		return send_one(c, step);
	default:
		return 1;
	}
}

void client_body_run(struct client *c)
{
	struct extras *x = c->extras;
	uint64_t due_ns = c->due_ns;
	bool waits = false;
	int sent = 1;

	if (c->flags & LEAVING)
		return;
	c->due_ns = run_now(c->engine);
	while (x->body && !(waits = body_waits_for_window(c, x->body)) && (sent = body_step(c, x->body)) > 0)
		x->body = x->body->next;
	c->due_ns = due_ns;
	if (sent < 0)
		return;
	if (x->body) {
		client_pause(c, PAUSED_BLOCKED, !waits || x->n_acks);
		return;
	}
	slots_forget(c, x->whenever->children);
	x->whenever = NULL;
	if (!x->n_acks && x->pauses & PAUSED_BLOCKED)
		client_pause(c, PAUSED_BLOCKED, false);
	if (x->early)
		client_offer_put_off(c);
}
