#include "harness/load/client_play.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "codec/fields.h"

/* PUBLISH, SUBSCRIBE and UNSUBSCRIBE of ours until they are answered to the end; and sets of packet ids. */

/* ---- the table ---- */

static size_t table_size(uint32_t cap)
{
	return sizeof(struct exchanges) + cap * sizeof(struct exchange);
}

struct exchange *exchange_find(const struct client *c, uint16_t id)
{
	struct exchange *ex = c->open ? &c->open->at[id & (c->open->cap - 1)] : NULL;

	return ex && ex->packet_id == id && id ? ex : NULL;
}

/* Twice as large, those in it do not meet either; the new one may. At the latest there is a place for each id. */
static void grow(struct client *c, uint16_t id)
{
	struct exchanges *old = c->open, *t;
	uint32_t cap = old ? 2 * old->cap : 1;
	bool meets;

	do {
		meets = false;
		for (uint32_t i = 0; old && i < old->cap; i++)
			meets |= old->at[i].packet_id && (old->at[i].packet_id & (cap - 1)) == (id & (cap - 1));
		cap <<= meets;
	} while (meets);
	t = pool_zeroed(c->engine->pool, table_size(cap));
	t->cap = cap;
	if (old) {
		t->n = old->n;
		t->flying = old->flying;
		for (uint32_t i = 0; i < old->cap; i++)
			if (old->at[i].packet_id)
				t->at[old->at[i].packet_id & (cap - 1)] = old->at[i];
		pool_give(c->engine->pool, old, table_size(old->cap));
	}
	c->open = t;
}

static bool flies(const struct exchange *ex)
{
	return ex->state == EXCHANGE_QOS1 || ex->state == EXCHANGE_QOS2 || ex->state == EXCHANGE_RELEASED;
}

static void drop_packet(struct client *c, struct exchange *ex)
{
	pool_give(c->engine->pool, ex->packet, ex->len);
	ex->packet = NULL;
	ex->len = 0;
}

struct exchange *exchange_add(struct client *c, uint16_t id, enum exchange_state state)
{
	struct exchange *ex = exchange_find(c, id);

	assert(id);
	if (ex) {
		drop_packet(c, ex);
		c->open->flying -= flies(ex);
	} else {
		if (!c->open || c->open->at[id & (c->open->cap - 1)].packet_id)
			grow(c, id);
		ex = &c->open->at[id & (c->open->cap - 1)];
		c->open->n++;
	}
	*ex = (struct exchange){ .packet_id = id, .state = (uint8_t)state, .serial = engine_serial(c->engine) };
	c->open->flying += flies(ex);
	return ex;
}

void exchange_remove(struct client *c, struct exchange *ex)
{
	struct exchanges *t = c->open;
	bool of_window = flies(ex) && !(ex->flags & (EX_WAITED | EX_BARE));

	drop_packet(c, ex);
	t->flying -= flies(ex);
	ex->packet_id = 0;
	ex->state = EXCHANGE_FREE;
	if (--t->n || of_window)		/* a window that is empty is about to be filled again */
		return;
	pool_give(c->engine->pool, t, table_size(t->cap));
	c->open = NULL;
}

uint16_t client_next_packet_id(struct client *c)
{
	const struct exchanges *t = c->open;
	uint32_t tries = t && t->n < t->cap ? 2 * t->cap : 65535;	/* twice round, as the one place that 0 stands for is left out where ids begin anew */

	if (t && t->n >= 65535)
		return 0;
	do
		c->last_id = c->last_id == 65535 ? 1 : (uint16_t)(c->last_id + 1);
	while (t && --tries && (t->n < t->cap ? t->at[c->last_id & (t->cap - 1)].packet_id != 0 : exchange_find(c, c->last_id) != NULL));
	return c->last_id;
}

bool client_sends_packet_id(struct client *c, const struct step *step, uint16_t *id)
{
	static const struct field *_Atomic field;
	uint64_t number;

	*id = 0;
	if (!field)
		field = field_find(PUBLISH, span_text("packet_id"));
	for (uint32_t i = 0; i < step->n_assigns; i++)
		if (step->assigns[i].field == field && step->assigns[i].kind == ASSIGN_FIELD && step->assigns[i].value->kind != EXPR_ABSENT) {
			if (!number_of(c, step->assigns[i].value, &number))
				return false;
			*id = (uint16_t)number;
		}
	return true;
}

/* ---- answers ---- */

static bool is_refusal(const struct packet *p)
{
	return p->reason >= 0x80;
}

static void say_refused(struct client *c, const struct packet *p)
{
	char text[100];

	snprintf(text, sizeof(text), "%s: %s", packet_name(p->type), reason_words(p->type, p->version, p->reason));
	engine_reason(c->engine, c->role, COUNT_refused_messages, false, text);
	tally_count(role_of(c)->now, COUNT_refused_messages);
}

/* It has come to its end: counted, and what waits for a place in the window goes on. */
static void settle(struct client *c, struct exchange *ex, const struct packet *p)
{
	struct engine *e = c->engine;

	if (flies(ex)) {
		struct tally *now = role_of(c)->now;

		tally_count(now, COUNT_acknowledged);
		tally_time(now, TIME_ACK, ex->due_ns, ex->begun_ns, run_now(e));
		if (is_refusal(p)) {
			ledger_void(e->ledger, ex->stream, ex->number);
			say_refused(c, p);
		}
	}
	exchange_remove(c, ex);
	if (c->extras && c->extras->body)
		client_body_run(c);
	if (c->state == CLIENT_WINDOW)
		client_goes_on(c);
}

/* Whoever waits for it goes on. */
static void ended(struct client *c, struct exchange *ex, const struct packet *p)
{
	bool waited = ex->flags & EX_WAITED, refused = is_refusal(p);

	settle(c, ex, p);
	if (!waited || !(c->flags & LINKED))
		return;			/* or a body that waited for its window could not be played */
	if (refused && p->type != SUBACK && p->type != UNSUBACK)
		client_stop(c, c->step, false, "%s: %s", packet_name(p->type), reason_words(p->type, p->version, p->reason));
	else
		client_step_done(c);
}

void exchange_subscribed(struct client *c, const struct packet *answer)
{
	const struct exchange *ex = exchange_find(c, answer->packet_id);
	struct engine *e = c->engine;
	struct audience *audience = e->options.audience;
	struct packet asked;
	struct finding finding;
	struct span filter;
	uint8_t options;
	size_t i = 0;

	if (!ex || ex->state != (answer->type == SUBACK ? EXCHANGE_SUBSCRIBE : EXCHANGE_UNSUBSCRIBE) ||
	    decode(ex->packet, ex->len, answer->version, &asked, &finding) != CODEC_OK)	/* it may have been wrong on purpose */
		return;
	for (struct filter_walk walk = filters_of(&asked); filter_next(&walk, &filter, &options); i++) {
		if (ex->state == EXCHANGE_SUBSCRIBE && i < answer->list.len && answer->list.at[i] < 0x80) {
			uint32_t epoch = audience_add(audience, listener_of(c), filter, options & SUBSCRIBE_NO_LOCAL && answer->version == MQTT_5);

			if (!(c->flags & SUBSCRIBED))
				c->joined = epoch;
			c->flags |= SUBSCRIBED;
		}
	}
	if (ex->state == EXCHANGE_UNSUBSCRIBE)
		ledger_trouble(e->ledger, listener_of(c), LOST_SUBSCRIBER_LEFT, "it unsubscribed", run_now(e));
}

/* Of a waited exchange: NULL, or why it is not what was asked for. */
static const char *not_granted(const struct exchange *ex, const struct packet *p)
{
	struct packet asked;
	struct finding finding;
	struct span filter;
	uint8_t options;
	size_t i = 0;

	for (size_t k = 0; k < p->list.len; k++)
		if (p->list.at[k] >= 0x80)
			return "it was refused";
	if (ex->state != EXCHANGE_SUBSCRIBE || decode(ex->packet, ex->len, p->version, &asked, &finding) != CODEC_OK)
		return NULL;
	for (struct filter_walk walk = filters_of(&asked); filter_next(&walk, &filter, &options) && i < p->list.len; i++)
		if (p->list.at[i] != (options & SUBSCRIBE_QOS))
			return "the subscription was not granted as asked";
	return NULL;
}

static bool belongs(const struct exchange *ex, uint8_t type)
{
	static const uint8_t answers[][2] = {
		[EXCHANGE_FREE] = { 0 }, [EXCHANGE_QOS1] = { PUBACK }, [EXCHANGE_QOS2] = { PUBREC }, [EXCHANGE_RELEASED] = { PUBCOMP, PUBREC },
		[EXCHANGE_SUBSCRIBE] = { SUBACK }, [EXCHANGE_UNSUBSCRIBE] = { UNSUBACK },
	};

	return type == answers[ex->state][0] || type == answers[ex->state][1];
}

/* What stands behind `gets` is judged by the first answer. False: the client has failed. */
static bool gets_what_it_asked(struct client *c, struct exchange *ex, const struct packet *p)
{
	const struct step *step = ex->step;
	const char *why;

	if (!step || !step->n_matches || ex->state == EXCHANGE_RELEASED)
		return true;
	if (!packet_suits(c, step->matches, step->n_matches, p, &why)) {
		if (why)
			client_stop(c, step, true, "%s: %s", packet_name(p->type), why);
		return false;
	}
	packet_binds(c, step->matches, step->n_matches, p);
	return true;
}

static void released(struct client *c, struct exchange *ex)
{
	uint16_t id = ex->packet_id;

	if (ex->state == EXCHANGE_QOS2) {
		drop_packet(c, ex);
		ex->state = EXCHANGE_RELEASED;
	}
	client_send_ack(c, PUBREL, id);
	if (ex->flags & EX_WAITED)
		client_expect_deadline(c, c->step);
}

bool exchange_heard(struct client *c, const struct packet *p)
{
	struct exchange *ex = exchange_find(c, p->packet_id);

	if (!ex)
		return false;
	if (!belongs(ex, p->type))
		exchange_remove(c, ex);
	else if (p->type == PUBREC && !is_refusal(p))
		ex->state = EXCHANGE_RELEASED;		/* steps send PUBREL */
	else
		settle(c, ex, p);
	return true;
}

void exchange_answered(struct client *c, const struct packet *p)
{
	struct exchange *ex = exchange_find(c, p->packet_id);
	const char *why;

	if (ex->state >= EXCHANGE_SUBSCRIBE)
		exchange_subscribed(c, p);
	if (!belongs(ex, p->type)) {
		if (ex->flags & EX_WAITED)
			client_stop(c, c->step, false, "%s came for packet id %u", packet_name(p->type), p->packet_id);
		else
			tally_count(role_of(c)->now, COUNT_unexpected);
		return;
	}
	if (ex->flags & EX_WAITED && ex->state >= EXCHANGE_SUBSCRIBE && (why = not_granted(ex, p))) {
		char text[100];
		size_t i = 0;

		while (i + 1 < p->list.len && p->list.at[i] < 0x80)
			i++;
		bool refused = i < p->list.len && p->list.at[i] >= 0x80;
		snprintf(text, sizeof(text), "%s: %s%s%s", packet_name(p->type), why, refused ? ": " : "", refused ? reason_words(p->type, p->version, p->list.at[i]) : "");
		exchange_remove(c, ex);
		client_stop(c, c->step, false, "%s", text);
		return;
	}
	if (!gets_what_it_asked(c, ex, p))
		return;
	if (p->type == PUBREC && !is_refusal(p))
		released(c, ex);
	else
		ended(c, ex, p);
}

/* ---- connections end, sessions go on ---- */

static int by_serial(const void *a, const void *b)
{
	int32_t apart = (int32_t)((*(struct exchange *const *)a)->serial - (*(struct exchange *const *)b)->serial);

	return apart < 0 ? -1 : apart > 0;		/* they begin anew at 2^32: an hour of a flood */
}

void exchanges_cut(struct client *c, bool kept, enum loss_cause cause, const char *why)
{
	struct engine *e = c->engine;
	struct exchanges *t = c->open;
	uint32_t left = 0;

	if (!t)
		return;
	for (uint32_t i = 0; i < t->cap; i++) {
		struct exchange *ex = &t->at[i];

		if (!ex->packet_id)
			continue;
		ex->flags &= (uint8_t)~EX_WAITED;	/* the step is begun anew, and nobody waits for this one */
		if (kept && flies(ex) && !(ex->flags & EX_BARE) && (ex->packet || ex->state == EXCHANGE_RELEASED)) {
			left++;
			continue;
		}
		if (flies(ex)) {
			tally_count(role_of(c)->now, COUNT_unacknowledged);
			if (why)
				ledger_stranded(e->ledger, ex->stream, ex->number, cause, why);
		}
		drop_packet(c, ex);
		t->flying -= flies(ex);
		t->n--;
		*ex = (struct exchange){ 0 };
	}
	if (left)
		return;
	pool_give(e->pool, t, table_size(t->cap));
	c->open = NULL;
}

void exchanges_mark_open(struct client *c)
{
	for (uint32_t i = 0; c->open && i < c->open->cap; i++)
		if (c->open->at[i].packet_id)
			c->open->at[i].flags |= EX_AGAIN;
}

/* [MQTT-4.4.0-1] with their packet ids, PUBLISH with DUP; [MQTT-4.6.0-1] in the order in which they were sent. */
static bool send_again(struct client *c, struct exchange *ex)
{
	uint8_t *room;

	if (ex->state == EXCHANGE_RELEASED) {
		room = link_room(&c->link, 4);
		if (!room)
			return false;
		memcpy(room, (uint8_t[]){ PUBREL << 4 | 2, 2, (uint8_t)(ex->packet_id >> 8), (uint8_t)ex->packet_id }, 4);
		client_wrote(c, room, 4);
		link_commit(&c->link, 4);
	} else {
		room = link_room(&c->link, ex->len);
		if (!room)
			return false;
		memcpy(room, ex->packet, ex->len);
		room[0] |= PUBLISH_DUP;
		client_wrote(c, room, ex->len);
		link_commit(&c->link, ex->len);
	}
	ex->flags &= (uint8_t)~EX_AGAIN;
	tally_count(role_of(c)->now, COUNT_resent);
	return true;
}

void exchanges_resume(struct client *c)
{
	struct exchanges *t = c->open;
	uint32_t n = 0;

	if (t) {
		struct exchange **order = pool_take(c->engine->pool, t->n * sizeof(*order) + 1);
		uint32_t size = t->n;
		bool room = true;

		for (uint32_t i = 0; i < t->cap; i++)
			if (t->at[i].packet_id && t->at[i].flags & EX_AGAIN)
				order[n++] = &t->at[i];
		qsort(order, n, sizeof(*order), by_serial);
		for (uint32_t i = 0; room && i < n; i++)
			room = send_again(c, order[i]);
		pool_give(c->engine->pool, order, size * sizeof(*order) + 1);
		if (!room)
			return;
	}
	c->flags &= (uint16_t)~RESUMING;
}

/* ---- sets of packet ids ---- */

static size_t set_size(uint32_t cap)
{
	return sizeof(struct taken_ids) + cap * sizeof(uint16_t);
}

bool taken_has(const struct taken_ids *set, uint16_t id)
{
	return set && set->at[id & (set->cap - 1)] == id;
}

void taken_add(struct pool *pool, struct taken_ids **set, uint16_t id)
{
	struct taken_ids *old = *set, *larger;
	uint32_t cap = old ? old->cap : 8;

	if (!id || taken_has(old, id))
		return;
	while (old && (old->at[id & (old->cap - 1)])) {
		cap *= 2;
		larger = pool_zeroed(pool, set_size(cap));
		larger->cap = cap;
		larger->n = old->n;
		for (uint32_t i = 0; i < old->cap; i++)
			larger->at[old->at[i] & (cap - 1)] |= old->at[i];	/* 0, a free place, changes nothing */
		pool_give(pool, old, set_size(old->cap));
		*set = old = larger;
	}
	if (!old) {
		*set = old = pool_zeroed(pool, set_size(cap));
		old->cap = cap;
	}
	old->at[id & (old->cap - 1)] = id;
	old->n++;
}

bool taken_remove(struct pool *pool, struct taken_ids **set, uint16_t id)
{
	if (!id || !taken_has(*set, id))
		return false;
	(*set)->at[id & ((*set)->cap - 1)] = 0;
	if (!--(*set)->n)
		taken_free(pool, set);
	return true;
}

void taken_free(struct pool *pool, struct taken_ids **set)
{
	if (*set)
		pool_give(pool, *set, set_size((*set)->cap));
	*set = NULL;
}
