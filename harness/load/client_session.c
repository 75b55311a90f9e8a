#include "harness/load/client_play.h"

#include <stdio.h>

#include "codec/fields.h"

/* Connections: they are begun, accepted, refused, lost; and what sessions keep beyond them. */

static struct client *client_of_link(struct link *link)
{
	return (struct client *)((char *)link - offsetof(struct client, link));
}

const char *reason_words(enum packet_type type, unsigned version, unsigned code)
{
	static _Thread_local char text[64];
	const char *name = reason_name(type, (enum version)version, code);

	if (name)
		snprintf(text, sizeof(text), "%s", name);
	else
		snprintf(text, sizeof(text), "code 0x%02x, which the standard does not list", code);
	for (char *p = text; name && *p; p++)
		if (*p == '_')
			*p = ' ';
	return text;
}

/* ---- beginning ---- */

void client_opens(struct client *c)
{
	struct engine *e = c->engine;

	if (c->flags & LINKED)
		client_hangs_up(c, false, LOST_SUBSCRIBER_LEFT, "it connected anew");
	client_early_clear(c);
	c->flags &= (uint16_t)~(END_HELD | LEAVING | RESUMING);
	c->flags |= OPENED | LINKED;
	c->goodbye = c->pings = c->own_pings = 0;
	engine_linked(c, 1);
	link_open(&c->link, &e->hub, e->options.address, &e->log);
}

/* From here it counts for who asks how long connecting takes, and for `within`. */
static void on_begun(struct link *link)
{
	struct client *c = client_of_link(link);

	c->flags &= (uint16_t)~BARRED;
	c->base_ns = run_now(c->engine);
	if (c->state == CLIENT_ROOM)
		client_waits(c, CLIENT_ROOM, run_now(c->engine) + c->engine->options.plan->timeout_ns);
}

static void on_opened(struct link *link)
{
	struct client *c = client_of_link(link);

	if (c->state == CLIENT_ROOM)
		client_goes_on(c);
}

/* [5] any session whose expiry interval is 0 ends with its connection; [3.1.1] a clean one does. */
static bool session_lasts(const struct client *c)
{
	if (monitor_version(&c->link.monitor) == MQTT_5)
		return monitor_in_force(&c->link.monitor, PROP_session_expiry_interval) > 0;
	return !(c->flags & CLEAN);
}

static void forget_session(struct client *c, const char *why)
{
	struct engine *e = c->engine;

	exchanges_cut(c, false, LOST_PUBLISHER_GONE, why);
	if (c->extras)
		taken_free(e->pool, &c->extras->taken);
	if (c->flags & SUBSCRIBED) {
		audience_leave(e->options.audience, listener_of(c));
		c->flags &= (uint16_t)~SUBSCRIBED;
	}
}

void client_connack(struct client *c, const struct packet *packet)
{
	struct engine *e = c->engine;
	struct tally *now = role_of(c)->now;

	if (packet->reason || c->flags & CONNECTED)
		return;
	tally_count(now, COUNT_connected);
	tally_time(now, TIME_CONNECT, c->due_ns, c->base_ns, run_now(e));
	c->flags |= CONNECTED;
	c->flags = session_lasts(c) ? c->flags | KEEPS : c->flags & (uint16_t)~KEEPS;
	c->keep_alive = (uint16_t)monitor_in_force(&c->link.monitor, PROP_server_keep_alive);
	engine_connected(c, 1);
	for (unsigned i = c->registers ? c->registers->depth : 0; i--;)
		if (c->registers->frames[i].owner->kind == STEP_AGAIN)
			c->registers->frames[i].start_ns = run_now(e);
	if (packet->ack_flags & 1 && packet->version != MQTT_3_1) {
		tally_count(now, COUNT_resumed);
		exchanges_mark_open(c);
		c->flags |= RESUMING;
		exchanges_resume(c);
	} else {
		if (c->flags & SUBSCRIBED)
			ledger_trouble(e->ledger, listener_of(c), LOST_SUBSCRIBER_AWAY, "its session was gone when it came back", run_now(e));
		forget_session(c, "its session was gone when it came back");
	}
	client_arm(c);
}

/* ---- ending ---- */

/* What ends with a connection, whoever ended it; why NULL: it was to end. */
static void disconnected(struct client *c, enum loss_cause cause, const char *why)
{
	struct engine *e = c->engine;
	struct extras *x = c->extras;
	bool lasts = session_lasts(c), was_connected = c->flags & CONNECTED;

	c->flags &= (uint16_t)~(LINKED | CONNECTED | RESUMING | PROBING);
	engine_linked(c, -1);
	if (was_connected)
		engine_connected(c, -1);
	if (x) {
		pool_give(e->pool, x->acks, x->cap_acks * sizeof(*x->acks));
		pool_give(e->pool, x->pieces, x->pieces ? x->pieces_len + 1 : 0);
		x->acks = NULL;
		x->pieces = NULL;
		x->n_acks = x->cap_acks = 0;
		if (x->body)
			slots_forget(c, x->whenever->children);
		x->body = x->whenever = NULL;
		x->read_rate = x->resume_ns = 0;
		x->pauses = 0;
	}
	if (!was_connected) {
		exchanges_cut(c, true, LOST_PUBLISHER_GONE, why);
		return;
	}
	if (c->flags & SUBSCRIBED)
		ledger_trouble(e->ledger, listener_of(c), cause, why ? why : "it disconnected", run_now(e));
	if (why && c->stream)
		ledger_stranded(e->ledger, c->stream, c->flight, LOST_PUBLISHER_GONE, why);
	if (lasts)
		exchanges_cut(c, true, LOST_PUBLISHER_GONE, why);
	else
		forget_session(c, why);
}

void client_hangs_up(struct client *c, bool reset, enum loss_cause cause, const char *why)
{
	if (!(c->flags & LINKED))
		return;
	disconnected(c, cause, c->flags & LEAVING ? NULL : why);
	link_close(&c->link, reset);
}

void client_leaves(struct client *c)
{
	struct engine *e = c->engine;

	c->flags |= LEAVING;
	if (!(c->flags & SUBSCRIBED) || session_lasts(c))
		return;
	audience_leave(e->options.audience, listener_of(c));
	c->flags &= (uint16_t)~SUBSCRIBED;
	ledger_trouble(e->ledger, listener_of(c), LOST_SUBSCRIBER_LEFT, "it disconnected", run_now(e));
}

/* "DISCONNECT: Session taken over", or how the connection ended. */
static void why_it_ended(const struct client *c, char *text, size_t cap)
{
	if (c->goodbye) {
		snprintf(text, cap, "DISCONNECT: %s", reason_words(DISCONNECT, MQTT_5, c->goodbye));
		return;
	}
	link_end_text(&c->link, text, cap);
	if (c->flags & BARRED) {
		size_t len = strlen(text);

		snprintf(text + len, cap - len, ", before CONNACK");
	}
}

/*
 * The end is held for a step that asks for it: what stands between is neither an actor's nor takes its time from the broker. Its own
 * DISCONNECT waits for it too.
 */
static bool end_is_awaited(const struct client *c)
{
	const struct step *s = c->step;

	while (s && (s->kind == STEP_WAIT || s->kind == STEP_NOTE || s->kind == STEP_WARN))
		s = s->next;
	if (!s)
		return false;
	return s->kind == STEP_CLOSED || s->kind == STEP_DISCONNECTS || (s->kind == STEP_EXPECT && s->type == DISCONNECT);
}

static bool begins_anew(const struct step *s)
{
	while (s && (s->kind == STEP_WAIT || s->kind == STEP_NOTE || s->kind == STEP_WARN))
		s = s->next;
	return !s || s->kind == STEP_CONNECTS || s->kind == STEP_OPENS || (s->kind == STEP_SEND && s->type == CONNECT);
}

void client_lost(struct client *c)
{
	struct engine *e = c->engine;
	enum counter counter = c->link.end == LINK_REFUSED || c->flags & BARRED ? COUNT_refused : COUNT_ended;
	char text[300];

	why_it_ended(c, text, sizeof(text));
	c->flags &= (uint16_t)~END_HELD;
	tally_count(role_of(c)->now, counter);
	engine_reason(e, c->role, counter, c->link.end == LINK_GARBAGE && !c->link.error, text);
	client_fails(c, counter);
}

void client_told_to_leave(struct client *c)
{
	char text[300];

	if (end_is_awaited(c) || c->flags & LEAVING)
		return;
	why_it_ended(c, text, sizeof(text));
	client_hangs_up(c, false, c->goodbye == 0x8e ? LOST_TAKEN_OVER : LOST_DISCONNECTED, text);
	if (c->state == CLIENT_STOPPED)
		return;
	tally_count(role_of(c)->now, COUNT_ended);
	engine_reason(c->engine, c->role, COUNT_ended, false, text);
	client_fails(c, COUNT_ended);
}

static void on_ended(struct link *link, enum link_end how)
{
	struct client *c = client_of_link(link);
	bool leaving = c->flags & LEAVING;
	char text[300];

	if (!(c->flags & (CONNECTED | LEAVING)) && (how == LINK_FIN || how == LINK_RESET))
		c->flags |= BARRED;
	why_it_ended(c, text, sizeof(text));
	disconnected(c, c->goodbye == 0x8e ? LOST_TAKEN_OVER : leaving ? LOST_SUBSCRIBER_LEFT : LOST_DISCONNECTED, leaving ? NULL : text);
	if (c->state == CLIENT_STOPPED)
		return;
	if (client_offer_end(c))
		return;
	if (leaving && (c->state == CLIENT_AT_END || begins_anew(c->step)))
		return;
	c->flags |= END_HELD;
	if (end_is_awaited(c) || (leaving && c->state == CLIENT_SLEEPS))
		return;
	client_lost(c);
}

static void on_room(struct link *link)
{
	struct client *c = client_of_link(link);

	client_flush_acks(c);
	if (c->extras && c->extras->body)
		client_body_run(c);
	if (c->flags & RESUMING && c->flags & LINKED) {
		exchanges_resume(c);
		if (!(c->flags & RESUMING))
			client_resumed(c);
	}
	if (c->state == CLIENT_ROOM)
		client_goes_on(c);
}

static void on_packet(struct link *link, const uint8_t *bytes, size_t len, const struct packet *packet)
{
	struct client *c = client_of_link(link);
	struct tally *now = role_of(c)->now;
	struct extras *x = c->extras;

	now->counts[COUNT_packets_received]++;
	now->counts[COUNT_bytes_received] += len;
	if (x && x->read_rate) {
		x->resume_ns = (x->resume_ns > run_now(c->engine) ? x->resume_ns : run_now(c->engine)) + (uint64_t)((double)len * 1e9 / (double)x->read_rate);
		client_pause(c, PAUSED_PACE, true);
		client_arm(c);
	}
	if (packet) {
		client_arrived(c, bytes, len, packet);
		return;
	}
	client_hangs_up(c, false, LOST_DISCONNECTED, "what came cannot be read");	/* the monitor has said why */
	tally_count(now, COUNT_ended);
	engine_reason(c->engine, c->role, COUNT_ended, true, "what came cannot be read");
	client_fails(c, COUNT_ended);
}

const struct link_events client_link_events = { .begun = on_begun, .opened = on_opened, .packet = on_packet, .ended = on_ended, .room = on_room };

/* ---- extras ---- */

struct extras *client_extras(struct client *c)
{
	if (!c->extras) {
		c->extras = pool_zeroed(c->engine->pool, sizeof(*c->extras));
		c->extras->last_early = &c->extras->early;
	}
	return c->extras;
}

void client_pause(struct client *c, enum pause_reason reason, bool pause)
{
	struct extras *x = client_extras(c);

	x->pauses = pause ? x->pauses | (uint8_t)reason : x->pauses & (uint8_t)~reason;
	if (c->flags & LINKED)
		link_pause(&c->link, x->pauses != 0);
}
