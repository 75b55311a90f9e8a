#include "harness/client_monitor_internal.h"

#include <stdlib.h>

/*
 * Sessions of clients by client id, as far as a later connection needs them: which of the client's packets were not
 * acknowledged when the last one ended. A session that leaves nothing open is not kept at all. All memory that
 * grows is counted against the world's room; beyond it connections are excused.
 */

struct client_session {
	struct client_session *next;	/* in its bucket */
	uint64_t key;
	struct client_flows flows;	/* of the connection that ended last */
	uint32_t published;
	uint16_t users;			/* connections that have sent a CONNECT and are not over */
	uint8_t version;
	bool persists;
	bool contested;			/* several at once: whose flows they are cannot be said */
};

enum { N_BUCKETS = 4096, MOST_LOOKS = 64 };

struct client_world {
	size_t used, room;
	uint32_t n_sessions, most_sessions, hand;
	struct client_session *buckets[N_BUCKETS];
};

struct client_world *client_world_new(size_t room, uint32_t sessions)
{
	struct client_world *world = calloc(1, sizeof(*world));

	if (world) {
		world->room = room;
		world->most_sessions = sessions;
	}
	return world;
}

void *client_room_take(struct client_world *world, size_t size)
{
	void *block = size <= world->room - world->used ? calloc(1, size) : NULL;

	if (block)
		world->used += size;
	return block;
}

void client_room_give(struct client_world *world, void *block, size_t size)
{
	if (!block)
		return;
	free(block);
	world->used -= size;
}

/* ---- the table ---- */

static struct client_session **place_of(struct client_world *world, uint64_t key)
{
	struct client_session **at = &world->buckets[key % N_BUCKETS];

	while (*at && (*at)->key != key)
		at = &(*at)->next;
	return at;
}

static void session_free(struct client_world *world, struct client_session **at)
{
	struct client_session *s = *at;

	*at = s->next;
	client_flows_free(world, &s->flows);
	client_room_give(world, s, sizeof(*s));
	world->n_sessions--;
}

/* There are too many: the hand goes round the buckets, and forgets a session that no connection has. */
static void forget_one(struct client_world *world)
{
	for (unsigned n = 0; n < MOST_LOOKS; n++) {
		struct client_session **at = &world->buckets[world->hand = (world->hand + 1) % N_BUCKETS];

		while (*at && (*at)->users)
			at = &(*at)->next;
		if (*at) {
			session_free(world, at);
			return;
		}
	}
}

static struct client_session *session_find(struct client_world *world, uint64_t key)
{
	return key ? *place_of(world, key) : NULL;
}

static struct client_session *session_add(struct client_world *world, uint64_t key)
{
	struct client_session *s = session_find(world, key);

	if (s || !key)
		return s;
	if (world->n_sessions >= world->most_sessions || world->used > world->room - world->room / 4)
		forget_one(world);
	s = client_room_take(world, sizeof(*s));
	if (!s)
		return NULL;
	s->key = key;
	*place_of(world, key) = s;
	world->n_sessions++;
	return s;
}

void client_world_free(struct client_world *world)
{
	if (!world)
		return;
	for (unsigned i = 0; i < N_BUCKETS; i++)
		while (world->buckets[i])
			session_free(world, &world->buckets[i]);
	free(world);
}

static void drop(struct client_world *world, struct client_session *s)
{
	client_flows_free(world, &s->flows);
	s->persists = false;
	if (!s->users)
		session_free(world, place_of(world, s->key));
}

void client_world_distrust(struct client_world *world, uint64_t realm, struct span client_id)
{
	struct client_session *s = client_id.len ? session_find(world, monitor_key_of(realm, client_id)) : NULL;

	if (!s)
		return;
	s->contested = s->users > 0;
	drop(world, s);
}

/* ---- a connection and its session ---- */

void client_session_connecting(struct client_monitor *c)
{
	struct client_session *s = session_add(c->world, c->key);

	if (!s) {
		if (c->key)
			c->bits |= C_PARTIAL;
		return;
	}
	s->contested |= s->users++ > 0;
	c->bits |= C_COUNTED;
}

void client_session_lose(struct client_monitor *c)
{
	struct client_session *s = session_find(c->world, c->key);

	if (!s)
		return;
	s->contested |= s->users > (c->bits & C_COUNTED ? 1 : 0);
	drop(c->world, s);
}

/* What was open on the last connection is the client's again: to be sent once more, or, lost, never. */
static void take_over(struct client_monitor *c, struct client_session *s, uint8_t bits)
{
	client_flows_free(c->world, &c->ours);
	c->ours = s->flows;
	s->flows = (struct client_flows){ 0 };
	c->published = s->published;
	for (uint32_t i = 0; i < c->ours.cap; i++)
		c->ours.at[i].bits = bits;
}

void client_session_accepted(struct client_monitor *c, bool present)
{
	struct client_session *s = session_find(c->world, c->key);
	bool known = s && !s->contested && s->version == c->version && !c->ours.n;

	if (present) {
		/* 3.1 cannot say whether a session was there */
		if (known && s->persists && c->version != MQTT_3_1)
			take_over(c, s, 0);
		else
			c->bits |= C_PARTIAL;
	} else if (s && s->flows.n) {
		if (known)
			take_over(c, s, F_LOST);
		else
			c->bits |= C_PARTIAL;
	} else if (s && s->contested) {
		c->bits |= C_PARTIAL;
	}
	if (!c->key || (s && c->bits & C_COUNTED))
		return;
	/* CONNACK assigned its client id */
	client_session_connecting(c);
}

/* Requests are of their connection only. */
static bool is_kept(const struct client_flow *f)
{
	return f->id && f->state != OURS_REQUEST && !(f->bits & (F_STRAY | F_LOST));
}

static void keep_open(struct client_monitor *c, struct client_session *s, bool persists)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < c->ours.cap; i++)
		n += is_kept(&c->ours.at[i]);
	client_flows_free(c->world, &s->flows);
	s->version = c->version;
	s->persists = persists;
	s->published = c->published;
	for (uint32_t i = 0; n && i < c->ours.cap; i++) {
		struct client_flow *f = &c->ours.at[i], *kept;

		if (!is_kept(f))
			continue;
		kept = client_flow_add(c->world, &s->flows, f->id);
		if (!kept) {		/* half of it is worse than nothing */
			client_flows_free(c->world, &s->flows);
			s->persists = false;
			return;
		}
		*kept = *f;
	}
}

void client_session_closed(struct client_monitor *c, bool persists)
{
	struct client_session *s = session_find(c->world, c->key);
	bool sound = (c->state == C_CONNECTED || c->state == C_ENDED) && !(c->bits & (C_EXCUSED | C_PARTIAL));

	if (!s)
		return;
	if (c->bits & C_COUNTED) {
		c->bits &= ~(uint32_t)C_COUNTED;
		s->users--;
	}
	if (sound && !s->contested && !s->users) {
		keep_open(c, s, persists);
		if (!s->flows.n && !s->persists)
			drop(c->world, s);
		return;
	}
	if (c->state == C_REFUSED && !s->users && !s->contested)
		return;			/* a refusal leaves a session alone */
	s->contested = s->users > 0;
	drop(c->world, s);
}

/* ---- exchanges by packet id: open addressing ---- */

static uint32_t slot_of(const struct client_flows *flows, uint16_t id)
{
	return (id * 0x9e3779b1u >> 8) & (flows->cap - 1);
}

static struct client_flow *slot_for(const struct client_flows *flows, uint16_t id)
{
	uint32_t i = slot_of(flows, id);

	while (flows->at[i].id && flows->at[i].id != id)
		i = (i + 1) & (flows->cap - 1);
	return &flows->at[i];
}

struct client_flow *client_flow_find(const struct client_flows *flows, uint16_t id)
{
	struct client_flow *f = flows->n && id ? slot_for(flows, id) : NULL;

	return f && f->id ? f : NULL;
}

static bool grow(struct client_world *world, struct client_flows *flows)
{
	struct client_flows larger = { .n = flows->n, .cap = flows->cap ? flows->cap * 2 : 4 };

	larger.at = client_room_take(world, larger.cap * sizeof(*larger.at));
	if (!larger.at)
		return false;
	for (uint32_t i = 0; i < flows->cap; i++)
		if (flows->at[i].id)
			*slot_for(&larger, flows->at[i].id) = flows->at[i];
	client_room_give(world, flows->at, flows->cap * sizeof(*flows->at));
	*flows = larger;
	return true;
}

struct client_flow *client_flow_add(struct client_world *world, struct client_flows *flows, uint16_t id)
{
	struct client_flow *f;

	if (flows->n + 1 > flows->cap - flows->cap / 4 && !grow(world, flows))
		return NULL;
	f = slot_for(flows, id);
	if (!f->id) {
		*f = (struct client_flow){ .id = id };
		flows->n++;
	}
	return f;
}

void client_flow_remove(struct client_flows *flows, struct client_flow *flow)
{
	uint32_t mask = flows->cap - 1, hole = (uint32_t)(flow - flows->at);

	/* those behind the hole that would no longer be found move up into it */
	for (uint32_t i = (hole + 1) & mask; flows->at[i].id; i = (i + 1) & mask) {
		uint32_t home = slot_of(flows, flows->at[i].id);

		if (((i - home) & mask) >= ((i - hole) & mask)) {
			flows->at[hole] = flows->at[i];
			hole = i;
		}
	}
	flows->at[hole] = (struct client_flow){ 0 };
	flows->n--;
}

void client_flows_free(struct client_world *world, struct client_flows *flows)
{
	client_room_give(world, flows->at, flows->cap * sizeof(*flows->at));
	*flows = (struct client_flows){ 0 };
}
