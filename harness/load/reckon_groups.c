#include <stdlib.h>

#include "harness/load/reckon_internal.h"

/*
 * A shared group is owed each message once, whichever member gets it. What a member has beyond its own debt, which is
 * settled first, is its groups'. Which of them, when it is in several, nobody can tell: so that as many debts as
 * possible are settled, which is a matching, number by number.
 */

struct pool_of_group {			/* a group, and what it is owed of the stream */
	struct debt debt;
	struct ranges owed, lost;
	size_t at;			/* sweeping: among the ranges of owed */
	size_t served_by;		/* matching: which sharer; NOBODY */
	bool due;			/* in this stretch */
};

struct sharer {				/* a client in one group or more */
	uint32_t client;
	size_t groups, n_groups;	/* among `memberships` */
	struct ranges own;
	struct ranges *times;		/* had once, twice, ...: n_times of them */
	size_t *ats, own_at, n_times;
	size_t spare, used;		/* matching: copies that are for groups */
	bool seen;
};

struct membership {
	uint32_t client;
	size_t group;
};

struct sharing {
	struct reckoner *r;
	const struct stream *stream;
	ARRAY(struct pool_of_group) groups;
	ARRAY(struct membership) memberships;	/* by client */
	ARRAY(struct sharer) sharers;
	ARRAY(uint32_t) bounds;
};

#define NOBODY SIZE_MAX

/* ---- who shares what ---- */

static int by_member(const void *a, const void *b)
{
	const struct membership *x = a, *y = b;

	if (x->client != y->client)
		return x->client < y->client ? -1 : 1;
	return x->group < y->group ? -1 : x->group > y->group;
}

static void find_groups(struct sharing *s)
{
	struct reckoner *r = s->r;
	size_t end;

	for (size_t i = 0; i < r->shares.n; i = end) {
		struct pool_of_group group = { .debt = { .stream = s->stream, .role = r->shares.at[i].role, .claims = &r->shares.at[i] } };

		for (end = i; end < r->shares.n && r->shares.at[end].group == r->shares.at[i].group; end++)
			if (end == i || r->shares.at[end].client != r->shares.at[end - 1].client)
				PUSH(s->memberships, (struct membership){ r->shares.at[end].client, s->groups.n });
		group.debt.n_claims = end - i;
		claims_owed(r, s->stream, group.debt.claims, group.debt.n_claims, &group.owed);
		r->due += ranges_count(&group.owed);
		count_owed(r, s->stream, group.debt.role, ranges_count(&group.owed));
		PUSH(s->groups, group);
	}
	qsort(s->memberships.at, s->memberships.n, sizeof(struct membership), by_member);
}

static struct sharer sharer_of(struct sharing *s, size_t groups, size_t n_groups)
{
	struct sharer sharer = { .client = s->memberships.at[groups].client, .groups = groups, .n_groups = n_groups };
	const struct claim *claims;
	size_t n = own_claims(s->r, sharer.client, &claims), cap = 0;

	if (n)
		claims_owed(s->r, s->stream, claims, n, &sharer.own);
	for (const struct had *had = client_had(s->r, sharer.client, s->stream); had && had->next; had = had->odd ? had->odd->further : NULL) {
		sharer.times = ranges_grow(sharer.times, sharer.n_times + 1, &cap, sizeof(*sharer.times));
		sharer.times[sharer.n_times] = (struct ranges){ 0 };
		had_ranges(had, &sharer.times[sharer.n_times++]);
	}
	return sharer;
}

/* Whether all of them are in one group each. */
static bool find_sharers(struct sharing *s)
{
	bool simple = true;
	size_t n;

	for (size_t i = 0; i < s->memberships.n; i += n) {
		for (n = 1; i + n < s->memberships.n && s->memberships.at[i + n].client == s->memberships.at[i].client;)
			n++;
		simple = simple && n == 1;
		PUSH(s->sharers, sharer_of(s, i, n));
	}
	return simple;
}

static void release(struct sharing *s)
{
	for (size_t i = 0; i < s->groups.n; i++) {
		ranges_release(&s->groups.at[i].owed);
		ranges_release(&s->groups.at[i].lost);
	}
	for (size_t i = 0; i < s->sharers.n; i++) {
		struct sharer *sharer = &s->sharers.at[i];

		for (size_t k = 0; k < sharer->n_times; k++)
			ranges_release(&sharer->times[k]);
		ranges_release(&sharer->own);
		free(sharer->times);
		free(sharer->ats);
	}
	free(s->groups.at);
	free(s->memberships.at);
	free(s->sharers.at);
	free(s->bounds.at);
}

/* ---- each in one group: sets of numbers ---- */

/* What it had beyond its own debt and is owed to the group. */
static void spare_of(const struct sharer *sharer, const struct ranges *owed, struct ranges *spare)
{
	struct ranges beyond = { 0 }, all = { 0 };

	ranges_clear(spare);
	if (!sharer->n_times)
		return;
	ranges_subtract(&beyond, &sharer->times[0], &sharer->own);
	if (sharer->n_times > 1) {
		ranges_unite(&all, &beyond, &sharer->times[1]);
		ranges_intersect(spare, &all, owed);
	} else {
		ranges_intersect(spare, &beyond, owed);
	}
	ranges_release(&beyond);
	ranges_release(&all);
}

/* What members had of the group's share so long ago that it was put together in each thread. */
static void settled_of(struct sharing *s, const struct pool_of_group *group, struct ranges *settled)
{
	for (unsigned t = 0; t < 256; t++) {
		const struct ledger *l = s->r->by_thread[t];

		for (size_t i = 0; l && i < l->settled.n; i++) {
			struct ranges had = { 0 }, due = { 0 }, all = { 0 };

			if (l->settled.at[i].group != group->debt.claims->group || l->settled.at[i].stream != s->stream->id)
				continue;
			had_ranges(&l->settled.at[i].had, &had);
			ranges_intersect(&due, &had, &group->owed);
			ranges_unite(&all, settled, &due);
			s->r->excess += l->settled.at[i].excess + ranges_count(settled) + ranges_count(&due) - ranges_count(&all);
			ranges_release(&had);
			ranges_release(&due);
			ranges_release(settled);
			*settled = all;
		}
	}
}

static void settle_simply(struct sharing *s)
{
	ARRAY(struct ranges) had = { 0 };

	for (size_t i = 0; i < s->groups.n; i++) {
		PUSH(had, (struct ranges){ 0 });
		settled_of(s, &s->groups.at[i], &had.at[i]);
	}
	for (size_t i = 0; i < s->sharers.n; i++) {
		size_t at = s->memberships.at[s->sharers.at[i].groups].group;
		struct ranges spare = { 0 }, all = { 0 };

		spare_of(&s->sharers.at[i], &s->groups.at[at].owed, &spare);
		ranges_unite(&all, &had.at[at], &spare);
		s->r->excess += ranges_count(&had.at[at]) + ranges_count(&spare) - ranges_count(&all);
		ranges_release(&spare);
		ranges_release(&had.at[at]);
		had.at[at] = all;
	}
	for (size_t i = 0; i < s->groups.n; i++) {
		ranges_subtract(&s->groups.at[i].lost, &s->groups.at[i].owed, &had.at[i]);
		ranges_release(&had.at[i]);
	}
	free(had.at);
}

/* ---- some in several groups: stretch by stretch of numbers for which all is the same ---- */

static void bounds_of(struct sharing *s, const struct ranges *r)
{
	for (size_t i = 0; i < r->n; i++) {
		PUSH(s->bounds, r->at[i].from);
		PUSH(s->bounds, r->at[i].to);
	}
}

static int by_number(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static bool holds(const struct ranges *r, size_t *at, uint32_t number)
{
	while (*at < r->n && r->at[*at].to <= number)
		++*at;
	return *at < r->n && r->at[*at].from <= number;
}

/* What each has in the stretch that begins there, and which groups are owed it. How many messages of it were for groups. */
static uint64_t look_at(struct sharing *s, uint32_t number)
{
	uint64_t spare = 0;

	for (size_t i = 0; i < s->groups.n; i++) {
		s->groups.at[i].due = holds(&s->groups.at[i].owed, &s->groups.at[i].at, number);
		s->groups.at[i].served_by = NOBODY;
	}
	for (size_t i = 0; i < s->sharers.n; i++) {
		struct sharer *sharer = &s->sharers.at[i];
		size_t had = 0, due = 0;

		for (size_t k = 0; k < sharer->n_times; k++)
			had += holds(&sharer->times[k], &sharer->ats[k], number);
		for (size_t k = 0; k < sharer->n_groups; k++)
			due += s->groups.at[s->memberships.at[sharer->groups + k].group].due;
		if (holds(&sharer->own, &sharer->own_at, number) && had)
			had--;
		sharer->spare = had < due ? had : due;
		sharer->used = 0;
		spare += sharer->spare;
	}
	return spare;
}

static struct sharer *find_sharer(const struct sharing *s, uint32_t client)
{
	size_t low = 0, high = s->sharers.n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (s->sharers.at[middle].client < client)
			low = middle + 1;
		else
			high = middle;
	}
	return &s->sharers.at[low];
}

/*
 * Finds the group a copy, if need be by finding another for a group that has one. As deep as there are groups of one
 * topic with members in common.
 */
static bool serve(struct sharing *s, struct pool_of_group *group)
{
	for (size_t i = 0; i < group->debt.n_claims; i++) {
		struct sharer *sharer = find_sharer(s, group->debt.claims[i].client);
		bool served = sharer->used < sharer->spare;

		if (!sharer->spare || sharer->seen)
			continue;
		sharer->seen = true;
		if (served)
			sharer->used++;
		for (size_t k = 0; !served && k < sharer->n_groups; k++) {
			struct pool_of_group *other = &s->groups.at[s->memberships.at[sharer->groups + k].group];

			if (other->served_by == (size_t)(sharer - s->sharers.at))
				served = serve(s, other);
		}
		if (served) {
			group->served_by = (size_t)(sharer - s->sharers.at);
			return true;
		}
	}
	return false;
}

static void settle_by_matching(struct sharing *s)
{
	for (size_t i = 0; i < s->groups.n; i++) {
		struct ranges settled = { 0 }, left = { 0 };

		settled_of(s, &s->groups.at[i], &settled);
		ranges_subtract(&left, &s->groups.at[i].owed, &settled);
		ranges_release(&settled);
		ranges_release(&s->groups.at[i].owed);
		s->groups.at[i].owed = left;
		bounds_of(s, &left);
	}
	for (size_t i = 0; i < s->sharers.n; i++) {
		struct sharer *sharer = &s->sharers.at[i];
		size_t cap = 0;

		bounds_of(s, &sharer->own);
		for (size_t k = 0; k < sharer->n_times; k++)
			bounds_of(s, &sharer->times[k]);
		if (sharer->n_times)
			sharer->ats = ranges_grow(NULL, sharer->n_times, &cap, sizeof(*sharer->ats));
		for (size_t k = 0; k < sharer->n_times; k++)
			sharer->ats[k] = 0;
	}
	if (s->bounds.n)
		qsort(s->bounds.at, s->bounds.n, sizeof(uint32_t), by_number);
	for (size_t i = 0; i + 1 < s->bounds.n; i++) {
		uint32_t from = s->bounds.at[i], to = s->bounds.at[i + 1];
		uint64_t spare;

		if (from == to)
			continue;
		spare = look_at(s, from);
		for (size_t g = 0; g < s->groups.n; g++) {
			if (!s->groups.at[g].due)
				continue;
			for (size_t k = 0; k < s->sharers.n; k++)
				s->sharers.at[k].seen = false;
			if (serve(s, &s->groups.at[g]))
				spare--;
			else
				ranges_append(&s->groups.at[g].lost, from, to);
		}
		s->r->excess += spare * (to - from);
	}
}

void reckon_groups(struct reckoner *r, const struct stream *stream)
{
	struct sharing s = { .r = r, .stream = stream };

	find_groups(&s);
	if (find_sharers(&s))
		settle_simply(&s);
	else
		settle_by_matching(&s);
	for (size_t i = 0; i < s.groups.n; i++)
		blame(r, &s.groups.at[i].debt, &s.groups.at[i].lost);
	release(&s);
}
