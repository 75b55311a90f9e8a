#include "harness/play_capture.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* Who may go, and when. */

enum {
	TURN = 200,			/* steps before the loop has its turn */
	BACKLOG = 1 << 20,
	MAX_WAITING_BYTES = 256 << 20,	/* in all inboxes */
};

static void *must(void *at)
{
	if (!at)
		abort();
	return at;
}

/* ---- the order ---- */

static void order_init(struct order *o, uint32_t n)
{
	o->leaves = 1;
	while (o->leaves < n)
		o->leaves *= 2;
	o->keys = must(malloc(2 * (size_t)o->leaves * sizeof(*o->keys)));
	memset(o->keys, 0xff, 2 * (size_t)o->leaves * sizeof(*o->keys));	/* NO_STEP */
}

static void order_set(struct order *o, uint32_t i, uint32_t key)
{
	i += o->leaves;
	o->keys[i] = key;
	for (i /= 2; i; i /= 2) {
		uint32_t left = o->keys[2 * i], right = o->keys[2 * i + 1], least = left < right ? left : right;

		if (o->keys[i] == least)
			break;
		o->keys[i] = least;
	}
}

static uint32_t order_least(const struct order *o)
{
	return o->keys[1];
}

static uint32_t index_of(const struct player *pl)
{
	return (uint32_t)(pl - pl->play->players);
}

static void wake(struct player *pl)
{
	struct capture_play *c = pl->play;

	if (!pl->woken) {
		pl->woken = true;
		pl->next_woken = NULL;
		*c->last_woken = pl;
		c->last_woken = &pl->next_woken;
	}
	timeline_wake(c->timeline);
}

void capture_wake(struct actor_state *a)
{
	wake(&a->timeline->capture->players[a->number]);
}

static void set_state(struct player *pl, enum player_state state)
{
	struct capture_play *c = pl->play;

	if (pl->state == PLAYER_READY && state != PLAYER_READY)
		order_set(&c->ready, index_of(pl), NO_STEP);
	if (state == PLAYER_READY)
		order_set(&c->ready, index_of(pl), pl->number);
	pl->state = (uint8_t)state;
}

enum {
	ACTS = 1 << PART_SEND | 1 << PART_END | 1 << PART_EXCHANGE | 1 << PART_REMARK,
	HOLDS_UP = 1 << PART_END | 1 << PART_ANSWER | 1 << PART_EXCHANGE | 1 << PART_REMARK,
};

/* The first step from the player's on that is one of the parts; none stands before at. */
static uint32_t next_of(const struct player *pl, uint32_t at, unsigned parts)
{
	const struct capture_step *steps = pl->play->capture->steps;

	if (pl->number == NO_STEP)
		return NO_STEP;
	while (at != NO_STEP && (at < pl->number || !(parts & 1u << steps[at].part)))
		at = steps[at].next;
	return at;
}

static void set_place(struct player *pl)
{
	struct capture_play *c = pl->play;

	pl->answer = next_of(pl, pl->answer, HOLDS_UP);
	pl->send = next_of(pl, pl->send, ACTS);
	order_set(&c->answers, index_of(pl), pl->adrift ? NO_STEP : pl->answer);
	order_set(&c->sends, index_of(pl), pl->send);
}

static void set_adrift(struct player *pl, bool adrift)
{
	if (pl->adrift == adrift)
		return;
	pl->adrift = adrift;
	order_set(&pl->play->answers, index_of(pl), adrift ? NO_STEP : pl->answer);
}

static void set_timeless(struct player *pl, bool timeless)
{
	if (pl->timeless == timeless)
		return;
	pl->timeless = timeless;
	order_set(&pl->play->timeless, index_of(pl), timeless ? pl->number : NO_STEP);
}

/* The step is done. */
static void advance(struct player *pl)
{
	struct capture_play *c = pl->play;

	loop_timer_stop(c->timeline->stage->loop, &pl->timer);
	region_release(&pl->region);
	pl->step = NULL;
	pl->phase = 0;
	pl->late = false;
	pl->number = c->capture->steps[pl->number].next;
	set_state(pl, pl->number == NO_STEP ? PLAYER_DONE : PLAYER_LOOKS);
	set_timeless(pl, false);
	set_adrift(pl, false);
	set_place(pl);
	c->n_left -= pl->number == NO_STEP;
}

/* ---- what is said of it ---- */

void capture_differs(struct player *pl, const char *expected, const char *received, const char *because)
{
	struct replayed *r = pl->play->replayed;
	struct result *result = pl->play->timeline->result;
	struct difference *d;

	if (r->n_differences++ >= MAX_DIFFERENCES)
		return;
	d = region_alloc(&result->region, sizeof(*d));
	*d = (struct difference){ .at = pl->step->at, .expected = expected ? expected : result_text(result, "%s", pl->step->text),
	                          .received = received, .because = because };
	*r->last_difference = d;
	r->last_difference = &d->next;
}

void capture_notes(struct player *pl, const char *format, ...)
{
	struct replayed *r = pl->play->replayed;
	struct result *result = pl->play->timeline->result;
	struct difference *d;
	char text[1024];
	va_list args;

	if (r->n_differences++ >= MAX_DIFFERENCES)
		return;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	d = region_alloc(&result->region, sizeof(*d));
	*d = (struct difference){ .what = result_text(result, "%s", text) };
	if (pl->step)
		d->at = pl->step->at;
	*r->last_difference = d;
	r->last_difference = &d->next;
}

const char *capture_survives(struct timeline *t)
{
	const char *why = t->result->reason;

	if (!t->over || t->end_reported)
		return NULL;
	t->over = false;
	t->result->reason = NULL;
	t->result->verdict = VERDICT_INCONCLUSIVE;
	t->result->at = (struct place){ 0 };
	t->result->target_gone = false;
	return why ? why : "it could not be played";
}

void capture_violated(struct timeline *t, const struct actor_state *a, const struct violation *v)
{
	struct capture_play *c = t->capture;
	struct player *pl = &c->players[a->number];
	struct replayed *r = c->replayed;
	struct breach_seen *b;

	for (b = r->breaches; b; b = b->next)
		if (b->version == v->version && !strcmp(b->clause, v->clause)) {
			b->n++;
			return;
		}
	if (r->n_breaches++ >= MAX_BREACHES)
		return;
	b = region_alloc(&t->result->region, sizeof(*b));
	*b = (struct breach_seen){
		.clause = result_text(t->result, "%s", v->clause), .text = result_text(t->result, "%s", v->text), .version = v->version,
		.actor = t->script->actors[a->number].name, .n = 1,
	};
	if (pl->number != NO_STEP)
		b->at.line = c->capture->steps[pl->number].line;
	*r->last_breach = b;
	r->last_breach = &b->next;
}

/* ---- arrivals ---- */

static void learn_alias(struct player *pl, const struct packet *packet, struct arrival *in)
{
	struct timeline *t = pl->play->timeline;
	uint64_t alias = packet->version == MQTT_5 ? property_number(packet->properties, PROP_topic_alias, 0) : 0;

	if (!alias || alias > pl->actor->conn.monitor.own_topic_alias_maximum)
		return;
	if (alias >= pl->cap_aliases) {
		uint32_t cap = pl->cap_aliases ? pl->cap_aliases : 8;

		while (cap <= alias)
			cap *= 2;
		pl->aliases = must(realloc(pl->aliases, cap * sizeof(*pl->aliases)));
		memset(pl->aliases + pl->cap_aliases, 0, (cap - pl->cap_aliases) * sizeof(*pl->aliases));
		pl->cap_aliases = cap;
	}
	if (packet->topic.len && !span_equal(packet->topic, pl->aliases[alias]))
		pl->aliases[alias] = region_copy(&t->region, packet->topic);
	in->topic = pl->aliases[alias];
}

void capture_arrived(struct actor_state *a, const uint8_t *bytes, size_t len, const struct packet *packet)
{
	struct timeline *t = a->timeline;
	struct player *pl = &t->capture->players[a->number];
	struct arrival *in;

	if (!packet)
		return;			/* the monitor has said why */
	if (packet->type == CONNACK)
		actor_connack(a, packet);
	if (packet->type == PINGRESP && a->pings_owed)
		a->pings_owed--;
	pl->n_missed[0] = 0;
	if ((pl->state == PLAYER_DONE && a->n_in) || a->n_in >= MAX_INBOX || t->in_bytes > MAX_WAITING_BYTES) {
		pl->n_dropped += packet->type != DISCONNECT;
		return;
	}
	in = inbox_put(a, packet->type, bytes, len, packet);
	if (packet->type == PUBLISH) {
		learn_alias(pl, packet, in);
		in->key = capture_key(in->topic.len ? in->topic : packet->topic, packet->payload);
	}
	wake(pl);
}

/* ---- waiting ---- */

static void on_timer(struct timer *timer, struct loop *loop)
{
	(void)loop;
	wake((struct player *)((char *)timer - offsetof(struct player, timer)));
}

static void wait_until(struct player *pl, enum player_state state, uint64_t due_ns)
{
	set_state(pl, state);
	pl->due_ns = due_ns;
	loop_timer(pl->play->timeline->stage->loop, &pl->timer, due_ns);
}

static uint64_t held_time(const struct timeline *t)
{
	return slackened(t, t->stage->timeout_ns) / HELD_SHARE;
}

static bool waits_for_delivery(const struct player *pl)
{
	return pl->play->capture->steps[pl->number].part == PART_DELIVERY;
}

uint64_t capture_patience(struct player *pl)
{
	struct timeline *t = pl->play->timeline;
	uint64_t ns = t->stage->timeout_ns;

	if (pl->step->within && !eval_number(t, &pl->strand, pl->step->within, &ns))
		capture_survives(t);
	return slackened(t, ns) >> pl->n_missed[waits_for_delivery(pl)];
}

static void start_clock(struct player *pl)
{
	struct timeline *t = pl->play->timeline;

	wait_until(pl, PLAYER_WAITS, now(t) + capture_patience(pl));
	pl->held_ns = UINT64_MAX;
	if (waits_for_delivery(pl) && now(t) + held_time(t) < pl->due_ns) {
		pl->held_ns = now(t) + held_time(t);
		loop_timer(t->stage->loop, &pl->timer, pl->held_ns);
	}
}

void capture_waits(struct player *pl)
{
	if (!waits_for_delivery(pl)) {
		start_clock(pl);
		return;
	}
	set_state(pl, PLAYER_WAITS);
	pl->due_ns = pl->held_ns = UINT64_MAX;
	set_timeless(pl, true);
}

/* Of those before whose delivery nothing is to be sent any more, time runs. */
static void start_clocks(struct capture_play *c)
{
	uint32_t at;

	while ((at = order_least(&c->timeless)) < order_least(&c->sends)) {
		struct player *pl = &c->players[c->capture->steps[at].actor];

		set_timeless(pl, false);
		start_clock(pl);
	}
}

/* ---- steps that act ---- */

/* Only who waits, or whose turn has come, holds a step: the others may be many. */
static const struct step *read_step(struct player *pl)
{
	if (!pl->step)
		pl->step = capture_read(pl->play->reader, pl->number, &pl->region);
	return pl->step;
}

static bool connection_is_gone(const struct player *pl)
{
	return pl->actor->ever_opened && (pl->actor->ended || pl->actor->conn.end);
}

static bool opens(const struct step *step)
{
	return step->kind == STEP_OPENS || step->kind == STEP_CONNECTS || (step->kind == STEP_SEND && step->type == CONNECT) ||
	       (step->kind == STEP_TOGETHER && opens(step->children));
}

/* A step that its connection is no more for. */
static void pass_over(struct player *pl)
{
	char how[160];

	pl->play->replayed->n_passed_over++;
	if (!pl->gone) {
		conn_end_text(&pl->actor->conn, how, sizeof(how));
		capture_notes(pl, "the connection of %s is gone (%s): its steps from here on are passed over",
		              pl->play->timeline->script->actors[pl->actor->number].name, how);
		pl->play->n_refused += pl->actor->conn.end == END_REFUSED;
	}
	pl->gone = true;
	advance(pl);
}

static void after_send(struct player *pl)
{
	struct timeline *t = pl->play->timeline;
	const struct conn *c = &pl->actor->conn;
	const char *why = capture_survives(t);

	if (why)
		capture_notes(pl, "`%s` could not be sent: %s", pl->step->text, why);
	if (!c->end && !conn_idle(c) && (pl->step->every || c->unsent >= BACKLOG))
		wait_until(pl, PLAYER_SENDS, now(t) + slackened(t, t->stage->timeout_ns));
	else
		advance(pl);
}

/* Another one takes its place. */
static void forget_connection(struct player *pl)
{
	capture_unasked(pl);
	pl->gone = false;
	free(pl->aliases);
	pl->aliases = NULL;
	pl->cap_aliases = 0;
}

static void begin_send(struct player *pl)
{
	struct timeline *t = pl->play->timeline;
	const struct step *step = pl->step;

	switch (step->kind) {
	case STEP_SEND:     send_step(t, &pl->strand, step, NULL); break;
	case STEP_BYTES:    send_bytes(t, &pl->strand, step); break;
	case STEP_TOGETHER: send_together(t, &pl->strand, step); break;
	case STEP_OPENS:    actor_open(t, pl->actor); break;
	case STEP_READS:    conn_read_rate(&pl->actor->conn, step->rate); break;
	default:            break;
	}
	if (pl->actor->conn.end == END_REFUSED)
		pl->actor->ended = true;
	after_send(pl);
}

/* What was sent before is to arrive; of an orderly end the broker's own is waited for a moment, for others may follow upon it. */
static void leave(struct player *pl)
{
	struct timeline *t = pl->play->timeline;
	struct actor_state *a = pl->actor;
	bool late = pl->phase && now(t) >= pl->due_ns;

	if (pl->phase == 0) {
		pl->phase = 1;
		wait_until(pl, PLAYER_SENDS, now(t) + slackened(t, t->stage->timeout_ns));
	}
	if (pl->phase == 1 && (a->conn.end || conn_idle(&a->conn) || late)) {
		if (a->conn.end || pl->step->kind == STEP_DROPS) {
			if (!a->conn.end)
				record(t, EVENT_ENDED, a, span_text("dropped by us (RST)"));
			conn_close(&a->conn, true);
			a->ended = true;
			advance(pl);
			return;
		}
		record(t, EVENT_ENDED, a, span_text("closed by us (FIN)"));
		conn_finish(&a->conn);
		pl->phase = 2;
		late = false;
		wait_until(pl, PLAYER_SENDS, now(t) + held_time(t));
	}
	if (pl->phase == 2 && (a->ended || late)) {
		conn_close(&a->conn, false);
		a->ended = true;
		advance(pl);
	}
}

/* What `wait` and `note` are. */
static void remark(struct player *pl)
{
	struct timeline *t = pl->play->timeline;
	uint64_t ns = 0;

	if (pl->step->kind == STEP_NOTE) {
		result_note(t->result, pl->step->text);
		advance(pl);
		return;
	}
	eval_number(t, &pl->strand, pl->step->duration, &ns);
	capture_survives(t);
	wait_until(pl, PLAYER_WAITS, now(t) + (ns < FOREVER_NS ? ns : FOREVER_NS));
}

/* Its turn has come. */
static void act(struct player *pl)
{
	struct timeline *t = pl->play->timeline;
	const struct step *step = read_step(pl);
	int64_t slot;

	if (!pl->actor) {
		remark(pl);
		return;
	}
	if (step->kind == STEP_DROPS || step->kind == STEP_CLOSES) {
		leave(pl);
		return;
	}
	if (connection_is_gone(pl) && !opens(step)) {
		pass_over(pl);
		return;
	}
	if ((slot = capture_unbound(pl, step)) >= 0) {
		const struct capture_name *name = &pl->play->capture->names[slot];

		pl->play->replayed->n_passed_over++;
		capture_notes(pl, "`%s` is passed over: what $%.*s stands for (line %u) did not come", step->text, (int)name->len,
		              (const char *)t->script->scenario->text.at + name->at, name->line);
		advance(pl);
		return;
	}
	if (connection_is_gone(pl) || step->kind == STEP_OPENS)
		forget_connection(pl);
	if (pl->play->capture->steps[pl->number].part != PART_EXCHANGE)
		begin_send(pl);
	else if (capture_begin_exchange(pl))
		advance(pl);
}

/* ---- a player's way ---- */

static bool waits_of_nobody(const struct player *pl)
{
	return !pl->actor;
}

/* Something has happened, or its time is up: as far as it goes without its turn. */
static void look(struct player *pl)
{
	struct timeline *t = pl->play->timeline;

	while (pl->state != PLAYER_READY && pl->state != PLAYER_DONE && !t->over) {
		if (pl->state == PLAYER_LOOKS && ACTS & 1u << pl->play->capture->steps[pl->number].part) {
			set_state(pl, PLAYER_READY);
			return;
		}
		read_step(pl);
		if (pl->state == PLAYER_LOOKS) {
			if (capture_take(pl)) {
				advance(pl);
				continue;
			}
			if (connection_is_gone(pl)) {
				pass_over(pl);
				continue;
			}
			capture_waits(pl);
			return;
		}
		if (pl->state == PLAYER_SENDS) {
			if (pl->step->kind == STEP_DROPS || pl->step->kind == STEP_CLOSES) {
				leave(pl);
				if (pl->state == PLAYER_SENDS)
					return;
			} else if (pl->actor->conn.end || conn_idle(&pl->actor->conn)) {
				advance(pl);
			} else if (now(t) >= pl->due_ns) {
				capture_notes(pl, "the target does not read: %zu bytes wait to be sent", pl->actor->conn.unsent);
				advance(pl);
			} else {
				return;
			}
			continue;
		}
		if (waits_of_nobody(pl) ? now(t) >= pl->due_ns : capture_take(pl)) {
			advance(pl);
		} else if (waits_of_nobody(pl)) {
			return;
		} else if (connection_is_gone(pl)) {
			pass_over(pl);
		} else if (now(t) >= pl->due_ns) {
			pl->late = true;
			if (!capture_take(pl))
				capture_expired(pl);
			advance(pl);
		} else if (now(t) >= pl->held_ns && !pl->adrift) {
			set_adrift(pl, true);
			loop_timer(t->stage->loop, &pl->timer, pl->due_ns);
		} else {
			return;
		}
	}
}

static void look_all(struct capture_play *c)
{
	while (c->woken && !c->timeline->over) {
		struct player *pl = c->woken;

		c->woken = pl->next_woken;
		if (!c->woken)
			c->last_woken = &c->woken;
		pl->woken = false;
		look(pl);
	}
}

/* All is played. What still comes was not captured; and where connections were refused, whether anybody is there. */
static void settle_down(struct capture_play *c)
{
	struct timeline *t = c->timeline;
	struct player *nobody = &c->players[t->script->n_actors];

	if (!c->settling) {
		c->settling = true;
		c->replayed->duration_ns = now(t) - t->result->started_ns;
		nobody->due_ns = now(t) + held_time(t);
		loop_timer(t->stage->loop, &nobody->timer, nobody->due_ns);
	}
	if (c->n_refused && !c->asked) {
		c->asked = true;
		t->probe_state = PROBE_NONE;
		probe_target(t);
		nobody->due_ns = now(t) + slackened(t, t->stage->timeout_ns);
		loop_timer(t->stage->loop, &nobody->timer, nobody->due_ns);
	}
	if (c->asked && t->probe_state == PROBE_ASKED && now(t) < nobody->due_ns)
		return;
	if (c->asked && t->probe_state != PROBE_SERVED) {
		t->result->target_gone = true;
		give_up(t, VERDICT_INCONCLUSIVE, NULL, "the target is gone: it refuses connections");
	}
	if (c->asked || now(t) >= nobody->due_ns)
		finish(t);
}

void capture_go(struct timeline *t)
{
	struct capture_play *c = t->capture;

	for (unsigned n = 0; !t->over; n++) {
		look_all(c);
		start_clocks(c);
		uint32_t next = order_least(&c->ready);
		if (next == NO_STEP || next > order_least(&c->answers))
			break;
		if (n == TURN) {
			timeline_wake(t);
			return;
		}
		unsigned actor = c->capture->steps[next].actor;
		struct player *pl = &c->players[actor == NOBODY ? t->script->n_actors : actor];

		set_state(pl, PLAYER_LOOKS);
		act(pl);
		wake(pl);
	}
	if (t->over)
		finish(t);
	else if (!c->n_left)
		settle_down(c);
}

/* ---- from first to last ---- */

struct capture_play *capture_play_new(struct timeline *t)
{
	const struct script *script = t->script;
	struct capture_play *c = must(calloc(1, sizeof(*c)));
	uint32_t n = script->n_actors + 1;

	c->timeline = t;
	c->capture = script->capture;
	c->reader = capture_reader_new(script);
	c->players = must(calloc(n, sizeof(*c->players)));
	c->last_woken = &c->woken;
	order_init(&c->ready, n);
	order_init(&c->answers, n);
	order_init(&c->sends, n);
	order_init(&c->timeless, n);
	c->replayed = region_alloc(&t->result->region, sizeof(*c->replayed));
	c->replayed->last_difference = &c->replayed->differences;
	c->replayed->last_breach = &c->replayed->breaches;
	for (uint32_t i = 0; i < n; i++) {
		struct player *pl = &c->players[i];

		pl->play = c;
		pl->actor = i < script->n_actors ? &t->actors[i] : NULL;
		pl->timer.fire = on_timer;
		pl->number = pl->answer = pl->send = c->capture->first[i];
		pl->state = pl->number == NO_STEP ? PLAYER_DONE : PLAYER_LOOKS;
		c->n_left += pl->number != NO_STEP;
		set_place(pl);
		if (pl->number != NO_STEP) {
			pl->woken = true;
			*c->last_woken = pl;
			c->last_woken = &pl->next_woken;
		}
	}
	return c;
}

void capture_play_free(struct timeline *t)
{
	struct capture_play *c = t->capture;

	if (!c)
		return;
	for (uint32_t i = 0; i <= t->script->n_actors; i++) {
		loop_timer_stop(t->stage->loop, &c->players[i].timer);
		region_release(&c->players[i].region);
		free(c->players[i].aliases);
	}
	capture_reader_free(c->reader);
	free(c->ready.keys);
	free(c->answers.keys);
	free(c->sends.keys);
	free(c->timeless.keys);
	free(c->players);
	free(c);
	t->capture = NULL;
}

void capture_finish(struct timeline *t)
{
	struct capture_play *c = t->capture;
	struct replayed *r = c->replayed;

	for (uint32_t i = 0; i < t->script->n_actors; i++) {
		loop_timer_stop(t->stage->loop, &c->players[i].timer);
		capture_unasked(&c->players[i]);
	}
	loop_timer_stop(t->stage->loop, &c->players[t->script->n_actors].timer);
	r->n_connections = t->n_opened;
	r->n_sent = t->n_sent;
	r->n_received = t->n_received;
	if (!c->settling)
		r->duration_ns = now(t) - t->result->started_ns;
	t->result->replayed = r;
	if (!t->over)
		t->result->verdict = VERDICT_PASS;
}
