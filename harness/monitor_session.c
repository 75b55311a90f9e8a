#include "harness/monitor_internal.h"

#include <stdlib.h>

/*
 * The world: sessions by client id, and the memory that connections draw on. What is kept is bounded:
 * WORLD_ROOM for everything together, unless monitor_world_bound() said less. Beyond it nothing is remembered, and what is
 * not remembered is not judged.
 */

#define WORLD_ROOM ((size_t)256 << 20)
#define N_SMALL 15			/* blocks of 24 to 136 bytes */
#define N_POOLS 25			/* and up to 4104 */
#define SLAB 16384
#define MOST_LOOKS 256			/* buckets looked into for a session to forget */

#ifndef __has_feature
#define __has_feature(x) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer)
enum { SEES_BLOCKS = 1 };		/* the sanitizer is to see each block by itself */
#else
enum { SEES_BLOCKS = 0 };
#endif

struct monitor_world {
	struct monitor_session **buckets;
	uint32_t n_sessions, n_buckets;
	uint32_t most_sessions, hand;	/* hand: the bucket where the next session to forget is looked for */
	size_t used, room;
	bool subscriptions_are_ours;
	bool bounded;			/* room is scarce: each block is malloc()'s, and goes back to it */
	struct slab {			/* else small ones are cut from these */
		struct slab *next;
		uint8_t room[SLAB - sizeof(struct slab *)];
	} *slabs;
	size_t slab_used;		/* of the first */
	void *pools[N_POOLS];		/* free blocks, each holding the next one's address */
};

/* ---- memory ---- */

/* malloc() takes 8 bytes for itself, and then multiples of 16: the larger ones are what it gives without waste. */
static const uint16_t pool_sizes[N_POOLS] = {
	24, 32, 40, 48, 56, 64, 72, 80, 88, 96, 104, 112, 120, 128, 136, 200, 264, 392, 520, 776, 1032, 1544, 2056, 3080, 4104,
};

static unsigned pool_of(size_t size)
{
	unsigned pool = size <= 24 ? 0 : size <= 136 ? (unsigned)(size - 17) / 8 : N_SMALL;

	while (pool < N_POOLS && pool_sizes[pool] < size)
		pool++;
	return pool;
}

size_t monitor_pool_size(size_t size)
{
	unsigned pool = pool_of(size);

	return pool < N_POOLS ? pool_sizes[pool] : size;
}

static void drain_pools(struct monitor_world *world)
{
	for (unsigned i = world->slabs ? N_SMALL : 0; i < N_POOLS; i++) {
		for (void *block; (block = world->pools[i]);) {
			memcpy(&world->pools[i], block, sizeof(void *));
			free(block);
			world->used -= pool_sizes[i];
		}
	}
}

/* NULL: no room. */
static void *cut_from_slab(struct monitor_world *world, size_t size)
{
	struct slab *slab = world->slabs;

	if (!slab || size > sizeof(slab->room) - world->slab_used) {
		slab = SLAB <= world->room - world->used ? calloc(1, sizeof(*slab)) : NULL;
		if (!slab)
			return NULL;
		slab->next = world->slabs;
		world->slabs = slab;
		world->slab_used = 0;
		world->used += SLAB;
	}
	world->slab_used += size;
	return slab->room + world->slab_used - size;
}

void *monitor_pool_take(struct monitor_world *world, size_t size)
{
	unsigned pool = pool_of(size);
	size_t whole = pool < N_POOLS ? pool_sizes[pool] : size;
	void *block;

	if (pool < N_POOLS && world->pools[pool]) {
		block = world->pools[pool];
		memcpy(&world->pools[pool], block, sizeof(void *));
		memset(block, 0, whole);
		return block;
	}
	if (pool < N_SMALL && !world->bounded)
		return cut_from_slab(world, whole);
	if (whole > world->room - world->used)
		drain_pools(world);	/* what is free in other sizes */
	if (whole > world->room - world->used)
		return NULL;
	block = calloc(1, whole);
	if (block)
		world->used += whole;
	return block;
}

void monitor_pool_give(struct monitor_world *world, void *block, size_t size)
{
	unsigned pool = pool_of(size);

	if (!block)
		return;
	if (pool < N_POOLS) {
		memcpy(block, &world->pools[pool], sizeof(void *));
		world->pools[pool] = block;
	} else {
		free(block);
		world->used -= size;
	}
}

struct monitor_world *monitor_world_new(void)
{
	struct monitor_world *world = calloc(1, sizeof(*world));

	if (!world)
		return NULL;
	world->n_buckets = 64;
	world->room = WORLD_ROOM;
	world->most_sessions = UINT32_MAX;
	world->bounded = SEES_BLOCKS;
	world->buckets = calloc(world->n_buckets, sizeof(*world->buckets));
	if (!world->buckets) {
		free(world);
		return NULL;
	}
	return world;
}

void monitor_world_free(struct monitor_world *world)
{
	if (!world)
		return;
	for (uint32_t i = 0; i < world->n_buckets; i++) {
		for (struct monitor_session *s; (s = world->buckets[i]);) {
			s->connecting = 0;
			monitor_session_release(world, s);
		}
	}
	drain_pools(world);
	while (world->slabs) {
		struct slab *slab = world->slabs;

		world->slabs = slab->next;
		free(slab);
	}
	free(world->buckets);
	free(world);
}

void monitor_world_bound(struct monitor_world *world, size_t room, uint32_t sessions)
{
	world->room = room;
	world->most_sessions = sessions;
	world->bounded = true;
}

void monitor_world_subscriptions_are_ours(struct monitor_world *world, bool ours)
{
	world->subscriptions_are_ours = ours;
}

bool monitor_world_is_ours(const struct monitor_world *world)
{
	return world->subscriptions_are_ours;
}

/* FNV-1a with a last mixing. A broker that found a collision would only be judged by the wrong session. */
uint64_t monitor_hash_bytes(struct span s)
{
	uint64_t h = 0xcbf29ce484222325u;

	for (size_t i = 0; i < s.len; i++)
		h = (h ^ s.at[i]) * 0x100000001b3u;
	h ^= h >> 32;
	h *= 0xd6e8feb86659fd93u;
	h ^= h >> 32;
	return h ? h : 1;
}

uint64_t monitor_key_of(uint64_t realm, struct span client_id)
{
	uint64_t key = monitor_hash_bytes(client_id) ^ realm;

	return key ? key : 1;
}

/* ---- the table of sessions ---- */

static struct monitor_session **bucket_of(struct monitor_world *world, uint64_t key)
{
	return &world->buckets[key & (world->n_buckets - 1)];
}

static void world_grow(struct monitor_world *world)
{
	uint32_t n = world->n_buckets * 2;
	struct monitor_session **old = world->buckets;
	struct monitor_session **new = calloc(n, sizeof(*new));

	if (!new)
		return;			/* longer chains, nothing worse */
	world->buckets = new;
	world->n_buckets = n;
	for (uint32_t i = 0; i < n / 2; i++) {
		for (struct monitor_session *s; (s = old[i]);) {
			struct monitor_session **to = bucket_of(world, s->key);

			old[i] = s->next;
			s->next = *to;
			*to = s;
		}
	}
	free(old);
}

/* There are too many: the hand goes round the buckets, and forgets a session that no connection has. */
static void world_forget_one(struct monitor_world *world)
{
	for (unsigned n = 0; n < MOST_LOOKS; n++) {
		struct monitor_session *s;

		world->hand = (world->hand + 1) & (world->n_buckets - 1);
		for (s = world->buckets[world->hand]; s && (s->owner || s->connecting);)
			s = s->next;
		if (s) {
			monitor_session_release(world, s);
			return;
		}
	}
}

struct monitor_session *monitor_world_session(struct monitor_world *world, uint64_t key, bool add)
{
	struct monitor_session *s;

	for (s = key ? *bucket_of(world, key) : NULL; s; s = s->next)
		if (s->key == key)
			return s;
	if (!add)
		return NULL;
	if (key && (world->n_sessions >= world->most_sessions || world->used > world->room - world->room / 4))
		world_forget_one(world);
	if (!(s = monitor_pool_take(world, sizeof(*s))))
		return NULL;
	s->key = key;
	if (!key)
		return s;
	if (++world->n_sessions > 2 * world->n_buckets)
		world_grow(world);
	s->next = *bucket_of(world, key);
	*bucket_of(world, key) = s;
	return s;
}

struct traffic *monitor_traffic_of(struct monitor_world *world, struct monitor_session *s)
{
	if (!s->traffic)
		s->traffic = monitor_pool_take(world, sizeof(*s->traffic));
	return s->traffic;
}

static void drop_traffic(struct monitor_world *world, struct monitor_session *s)
{
	struct traffic *t = s->traffic;

	if (!t)
		return;
	monitor_pool_give(world, t->theirs.at, t->theirs.cap * sizeof(struct flow));
	monitor_pool_give(world, t->ours.at, t->ours.cap * sizeof(struct flow));
	monitor_pool_give(world, t, sizeof(*t));
	s->traffic = NULL;
}

void monitor_traffic_rest(struct monitor_world *world, struct monitor_session *s)
{
	const struct traffic *t = s->traffic;

	if (!t || t->theirs.n || t->ours.n || t->requests)
		return;
	for (unsigned i = 0; i < N_FREED; i++)
		if (t->freed[i].id)
			return;
	drop_traffic(world, s);
}

void monitor_session_clear(struct monitor_world *world, struct monitor_session *s)
{
	if (s->owner) {
		s->owner->session = NULL;
		s->owner->bits |= PARTIAL | REPLACED;
		s->owner = NULL;
	}
	monitor_requests_drop(world, s);
	drop_traffic(world, s);
	if (s->filters)
		monitor_pool_give(world, s->filters, monitor_filters_size(s->filters->cap, s->filters->text_cap));
	*s = (struct monitor_session){ .next = s->next, .key = s->key, .connecting = s->connecting,
	                               .contested = s->contested };
}

void monitor_session_release(struct monitor_world *world, struct monitor_session *s)
{
	monitor_session_clear(world, s);
	if (s->connecting)
		return;			/* whoever is connecting settles it */
	if (s->key) {
		struct monitor_session **at = bucket_of(world, s->key);

		while (*at != s)
			at = &(*at)->next;
		*at = s->next;
		world->n_sessions--;
	}
	monitor_pool_give(world, s, sizeof(*s));
}

void monitor_world_forget(struct monitor_world *world, struct span client_id)
{
	monitor_world_distrust(world, 0, client_id);
}

void monitor_world_distrust(struct monitor_world *world, uint64_t realm, struct span client_id)
{
	struct monitor_session *s = client_id.len ? monitor_world_session(world, monitor_key_of(realm, client_id), false) : NULL;

	if (s && !s->owner)
		monitor_session_release(world, s);
}

/* ---- a connection and its session ---- */

struct monitor_session *monitor_session_of(struct monitor *m)
{
	struct monitor_session *s;

	if (m->session || m->bits & (LENIENT | REPLACED) || m->state == NOT_CONNECTED)
		return m->session;
	if (m->state == CONNECTING && m->key) {
		/* sent behind CONNECT without waiting: kept with the session once CONNACK has said which */
		s = monitor_world_session(m->world, 0, true);
	} else {
		s = monitor_world_session(m->world, m->key, true);
		if (s && s->owner) {	/* somebody else's by now, who cannot know what is ours of it */
			monitor_session_lose(m);
			return NULL;
		}
	}
	if (!s) {
		m->bits |= PARTIAL | REQUESTS_LOST;
		return NULL;
	}
	s->owner = m;
	s->version = m->version;
	m->session = s;
	return s;
}

void monitor_session_lose(struct monitor *m)
{
	struct monitor_session *own = m->session;
	struct monitor_session *s = m->key ? monitor_world_session(m->world, m->key, false) : NULL;

	m->session = NULL;
	m->bits |= PARTIAL | REPLACED;
	if (own && own != s) {
		own->owner = NULL;
		monitor_session_release(m->world, own);
	}
	if (!s)
		return;
	if (s->owner == m)
		s->owner = NULL;
	monitor_session_release(m->world, s);
}

void monitor_session_connecting(struct monitor *m)
{
	struct monitor_session *s = m->key ? monitor_world_session(m->world, m->key, true) : NULL;

	if (!s)
		return;
	m->bits |= COUNTED;
	s->contested |= s->connecting++ > 0;
}

/* Our CONNECT is answered, or will never be: the session of the client id, if there is one. */
static struct monitor_session *settle(struct monitor *m, bool *contested)
{
	struct monitor_session *s = m->bits & COUNTED ? monitor_world_session(m->world, m->key, false) : NULL;

	*contested = false;
	if (!s)
		return NULL;
	m->bits &= (uint16_t)~COUNTED;
	*contested = s->contested;
	if (--s->connecting == 0)
		s->contested = false;
	return s;
}

/* What was sent behind a CONNECT that nobody accepted. */
static void drop_early(struct monitor *m)
{
	struct monitor_session *early = m->session;

	m->session = NULL;
	if (early) {
		early->owner = NULL;
		monitor_session_release(m->world, early);
	}
}

void monitor_session_refused(struct monitor *m)
{
	bool contested;
	struct monitor_session *s = settle(m, &contested);

	drop_early(m);
	/* a refusal leaves a stored session alone; without CONNACK nobody knows whether the server saw our CONNECT */
	if (s && (m->state != REFUSED || (!s->known && !s->owner)))
		monitor_session_release(m->world, s);
}

/* A resumed session: what was open on the last connection may come again, once. */
static void session_resume(struct monitor_world *world, struct monitor_session *s)
{
	struct traffic *t = s->traffic;

	if (!t)
		return;
	monitor_requests_drop(world, s);
	memset(t->freed, 0, sizeof(t->freed));
	for (uint32_t i = 0; i < t->theirs.cap; i++) {
		struct flow *f = &t->theirs.at[i];

		f->bits &= (uint8_t)~(HERE | RELEASED_HERE);
		f->answers = f->state == THEIRS_RECEIVED || f->state == THEIRS_RELEASED;
	}
	for (uint32_t i = 0; i < t->ours.cap; i++) {
		struct flow *f = &t->ours.at[i];

		f->bits &= (uint8_t)~HERE;
		if (f->state == OURS_REQUEST) {	/* an id is not kept beyond its connection for these */
			f->state = OURS_DONE;
			f->answers = 0;
		}
	}
}

/* What was sent behind CONNECT belongs to the session that CONNACK named: a new one takes it over as it is. */
static void adopt_early(struct monitor *m, struct monitor_session *early, struct monitor_session *s)
{
	struct monitor_session *next = s->next;
	uint16_t connecting = s->connecting;
	bool contested = s->contested;

	*s = *early;
	s->next = next;
	s->key = m->key;
	s->connecting = connecting;
	s->contested = contested;
	s->owner = m;
	m->session = s;
	monitor_pool_give(m->world, early, sizeof(*early));
}

void monitor_session_accepted(struct monitor *m, bool present)
{
	bool contested;
	struct monitor_session *s = settle(m, &contested);
	struct monitor_session *early = m->session;
	bool known = !present;

	if (m->bits & LENIENT) {
		monitor_session_lose(m);
		return;
	}
	/* 3.1 cannot say whether a session was there */
	if (s && present && s->known && !contested && !early && s->version == m->version &&
	    m->version != MQTT_3_1 && !(m->bits & CLEAN_START)) {
		if (s->owner && s->owner != m) {
			s->owner->session = NULL;
			s->owner->bits |= PARTIAL | REPLACED;
		}
		s->owner = m;
		m->session = s;
		session_resume(m->world, s);
		return;
	}
	known = known && !contested;
	if (!known)
		m->bits |= PARTIAL;
	if (!s)
		return;			/* no client id: `early`, if any, is it */
	if (early) {
		monitor_session_clear(m->world, s);
		adopt_early(m, early, s);
	} else {
		monitor_session_release(m->world, s);
	}
}

void monitor_session_closed(struct monitor *m, bool persists)
{
	struct monitor_session *s;

	if (m->state != CONNECTED && m->state != ENDED) {
		monitor_session_refused(m);
		return;
	}
	if (m->bits & REPLACED)
		return;
	persists = persists && m->key && !(m->bits & PARTIAL);
	s = m->session;
	if (!s && m->key && (s = monitor_world_session(m->world, m->key, persists)) && s->owner)
		return;			/* another connection's, which took it over */
	m->session = NULL;
	if (!s)
		return;
	s->owner = NULL;
	if (!persists || s->key != m->key) {
		monitor_session_release(m->world, s);
		return;
	}
	s->known = true;
	s->version = m->version;
	monitor_requests_drop(m->world, s);
}

/* ---- exchanges by packet id ---- */

static uint32_t slot_of(const struct flows *flows, uint16_t id)
{
	return (id * 0x9e3779b1u >> 8) & (flows->cap - 1);
}

struct flow *monitor_flow_find(const struct flows *flows, uint16_t id)
{
	if (!flows || !flows->n || !id)
		return NULL;
	for (uint32_t i = slot_of(flows, id); flows->at[i].id; i = (i + 1) & (flows->cap - 1))
		if (flows->at[i].id == id)
			return &flows->at[i];
	return NULL;
}

static struct flow *free_slot(struct flows *flows, uint16_t id)
{
	uint32_t i = slot_of(flows, id);

	while (flows->at[i].id)
		i = (i + 1) & (flows->cap - 1);
	return &flows->at[i];
}

static bool flows_grow(struct monitor_world *world, struct flows *flows)
{
	struct flows larger = { .n = flows->n, .cap = flows->cap ? flows->cap * 2 : 4 };

	larger.at = monitor_pool_take(world, larger.cap * sizeof(struct flow));
	if (!larger.at)
		return false;
	for (uint32_t i = 0; i < flows->cap; i++)
		if (flows->at[i].id)
			*free_slot(&larger, flows->at[i].id) = flows->at[i];
	monitor_pool_give(world, flows->at, flows->cap * sizeof(struct flow));
	*flows = larger;
	return true;
}

struct flow *monitor_flow_add(struct monitor_world *world, struct flows *flows, uint16_t id)
{
	struct flow *f = monitor_flow_find(flows, id);

	if (f)
		return f;
	if (flows->n + 1 > flows->cap - flows->cap / 4 && !flows_grow(world, flows))
		return NULL;
	f = free_slot(flows, id);
	*f = (struct flow){ .id = id };
	flows->n++;
	return f;
}

void monitor_flow_remove(struct flows *flows, struct flow *flow)
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
	flows->at[hole] = (struct flow){ 0 };
	flows->n--;
}
