#include "harness/load/ledger_internal.h"

enum { MS = 1000000 };

/*
 * ---- a subscriber's pairs: in the order in which they came up, found by a table of their places + 1; the first lies
 * in the subscriber itself ----
 */

static uint32_t place_hash(uint32_t stream, uint32_t topic)
{
	uint32_t h = (stream * 0x9e3779b1u ^ topic) * 0x85ebca6bu;

	return (h ^ h >> 15) * 0xc2b2ae35u >> 4;
}

static bool pair_is(const struct pair *pair, uint32_t stream, uint32_t topic)
{
	return pair->stream == stream && pair->topic == topic;
}

struct pair *subscriber_pair(const struct subscriber *s, uint32_t stream, uint32_t topic)
{
	if (!s->places)
		return s->n && pair_is(s->pairs, stream, topic) ? s->pairs : NULL;
	for (uint32_t at = place_hash(stream, topic) & s->places_mask; s->places[at]; at = (at + 1) & s->places_mask)
		if (pair_is(&s->pairs[s->places[at] - 1], stream, topic))
			return &s->pairs[s->places[at] - 1];
	return NULL;
}

static void place(struct subscriber *s, uint32_t number)
{
	uint32_t at = place_hash(s->pairs[number].stream, s->pairs[number].topic) & s->places_mask;

	while (s->places[at])
		at = (at + 1) & s->places_mask;
	s->places[at] = number + 1;
}

static void more_places(struct ledger *l, struct subscriber *s)
{
	uint32_t n = s->places ? 2 * (s->places_mask + 1) : 4;

	pool_give(l->pool, s->places, s->places ? n / 2 * sizeof(*s->places) : 0);
	s->places = pool_zeroed(l->pool, n * sizeof(*s->places));
	s->places_mask = n - 1;
	for (uint32_t i = 0; i < s->n; i++)
		place(s, i);
}

static void more_pairs(struct ledger *l, struct subscriber *s)
{
	uint32_t cap = s->cap == 1 ? 3 : s->cap + s->cap / 3;
	struct pair *pairs = pool_take(l->pool, cap * sizeof(*pairs));

	memcpy(pairs, s->pairs, s->n * sizeof(*pairs));
	if (s->pairs != &s->one)
		pool_give(l->pool, s->pairs, s->cap * sizeof(*pairs));
	s->pairs = pairs;
	s->cap = cap;
}

static struct pair *new_pair(struct ledger *l, struct subscriber *s, uint32_t stream, uint32_t topic)
{
	if (s->n == s->cap)
		more_pairs(l, s);
	s->pairs[s->n++] = (struct pair){ .stream = stream, .topic = topic };
	if (s->n > 1 && (!s->places || 4 * (uint64_t)s->n > 3 * (uint64_t)(s->places_mask + 1)))
		more_places(l, s);		/* all of them */
	else if (s->n > 1)
		place(s, s->n - 1);
	return &s->pairs[s->n - 1];
}

static struct subscriber *new_subscriber(struct ledger *l, struct listener who)
{
	struct subscriber *s = pool_zeroed(l->pool, sizeof(*s));

	s->who = who;
	s->cap = 1;
	s->pairs = &s->one;
	s->next = l->subscribers;
	l->subscribers = s;
	return s;
}

/*
 * The publishers' turns come round in the same order: what came behind the last one then comes behind it now. NULL:
 * there is no such stream.
 */
static struct pair *pair_of(struct ledger *l, struct subscriber *s, uint32_t stream, uint32_t topic)
{
	uint32_t next = s->last + 1 < s->n ? s->last + 1 : 0;
	struct pair *pair = &s->pairs[next];
	uint32_t its_topic;

	if (s->n == 0 || !pair_is(pair, stream, topic))
		pair = subscriber_pair(s, stream, topic);
	if (!pair) {
		its_topic = audience_topic(l->audience, stream);
		if (its_topic == 0)
			return NULL;
		if (its_topic != topic) {	/* it has come back on another */
			stream = STREAM_RETURNED;
			pair = subscriber_pair(s, stream, topic);
		}
		if (!pair)
			pair = new_pair(l, s, stream, topic);
	}
	s->last = (uint32_t)(pair - s->pairs);
	return pair;
}

/* ---- arrivals ---- */

/* Without a grant everything is. Who subscribes anew is sent what was retained meanwhile. A short stamp knows no epoch. */
static bool is_early(struct ledger *l, struct listener who, uint32_t joined, const struct delivery *d, const struct stamp *stamp)
{
	if (joined == 0 || stamp->epoch < joined)
		return true;
	return d->retained && stamp->epoch != UINT32_MAX && !audience_had(l->audience, who.client, d->topic, stamp->epoch);
}

static enum delivered delivered(struct tally *t, const struct delivery *d, const struct stamp *stamp, bool early)
{
	tally_count(t, COUNT_delivered);
	if (!early || !d->retained)
		tally_time(t, TIME_DELIVERY, stamp->due_ns, stamp->sent_ns, d->now_ns);
	if (!early)
		return DELIVERED_NEW;
	tally_count(t, COUNT_early);
	return DELIVERED_EARLY;
}

static void behind(struct tally *t, struct odd *odd)
{
	tally_count(t, COUNT_reordered);
	odd->reordered++;
}

/* A number that came before: which time this is, and whether it may be. */
static enum delivered again(struct ledger *l, struct had *had, struct tally *t, struct listener who, bool early, const struct delivery *d,
                            const struct stamp *stamp)
{
	struct odd *odd = had_odd(l->pool, had);
	struct had *time = had;
	unsigned own, groups, owed;

	if (d->retained) {
		tally_count(t, COUNT_copies);
		return DELIVERED_COPY;
	}
	audience_allows(l->audience, who.client, d->topic, stamp->epoch, &own, &groups);
	owed = groups + (own > 0);
	for (unsigned i = 2; i <= own + groups; i++) {
		struct odd *here = had_odd(l->pool, time);
		enum had_as as;

		if (!here->further)
			here->further = pool_zeroed(l->pool, sizeof(*here->further));
		time = here->further;
		as = had_take(l->pool, time, stamp->number, (uint32_t)(d->now_ns / MS));
		if (as == HAD_BEFORE)
			continue;
		if (i > owed) {
			tally_count(t, COUNT_copies);
			return DELIVERED_COPY;
		}
		if (as == HAD_BEHIND)
			behind(t, odd);
		odd->further_delivered++;
		return delivered(t, d, stamp, early);
	}
	tally_count(t, COUNT_duplicated);
	odd->duplicated++;
	return DELIVERED_AGAIN;
}

/* ---- members of shared groups ---- */

static struct settled *settled_of(struct ledger *l, uint32_t group, uint32_t stream)
{
	for (size_t i = 0; i < l->settled.n; i++)
		if (l->settled.at[i].group == group && l->settled.at[i].stream == stream)
			return &l->settled.at[i];
	PUSH(l->settled, (struct settled){ .group = group, .stream = stream });
	return &l->settled.at[l->settled.n - 1];
}

/* The older half of what it had goes to the account of its group, when it had all of that as the group's member. */
static void settle(struct ledger *l, struct pair *pair, struct listener who, struct span topic)
{
	struct odd *odd = pair->had.odd;
	uint32_t line = had_middle(&pair->had), group;
	struct ranges ranges = { 0 };
	struct settled *settled;

	if (line <= pair->had.first)
		return;
	group = audience_sole_group(l->audience, who.client, topic);
	if (!group || odd->further || (odd->group && odd->group != group)) {
		odd->settle_at = 2 * had_weight(odd);	/* if things should change */
		return;
	}
	settled = settled_of(l, group, pair->stream);
	odd->group = group;
	had_cut(l->pool, &pair->had, line, &ranges);
	for (size_t i = 0; i < ranges.n; i++)
		for (uint32_t number = ranges.at[i].from; number < ranges.at[i].to; number++)
			settled->excess += had_take(l->pool, &settled->had, number, pair->had.last_ms) == HAD_BEFORE;
	odd->settled += ranges_count(&ranges);
	ranges_release(&ranges);
}

/* A number that was settled, or that this member did not have when others of its time were. */
static enum delivered long_ago(struct ledger *l, struct pair *pair, struct tally *t, bool early, const struct delivery *d, const struct stamp *stamp)
{
	struct odd *odd = pair->had.odd;
	struct settled *settled = settled_of(l, odd->group, pair->stream);

	if (had_take(l->pool, &settled->had, stamp->number, (uint32_t)(d->now_ns / MS)) == HAD_BEFORE) {
		if (d->retained) {
			tally_count(t, COUNT_copies);
			return DELIVERED_COPY;
		}
		tally_count(t, COUNT_duplicated);
		odd->duplicated++;
		return DELIVERED_AGAIN;
	}
	odd->settled++;
	if (!(d->retained && early))
		behind(t, odd);
	return delivered(t, d, stamp, early);
}

static enum delivered foreign(struct tally *t)
{
	tally_count(t, COUNT_foreign);
	return DELIVERED_FOREIGN;
}

enum delivered ledger_arrived(struct ledger *l, struct subscriber **subscriber, struct listener who, uint32_t joined, const struct delivery *d)
{
	struct tally *t = &l->tallies[who.role];
	struct subscriber *s;
	struct stamp stamp;
	struct pair *pair;
	uint32_t topic;
	enum had_as as;
	bool early;

	if (!stamp_read(d->payload, l->run, &stamp) || stamp.number == UINT32_MAX)
		return foreign(t);
	early = is_early(l, who, joined, d, &stamp);
	if (stamp.stream == STREAM_UNTRACKED) {
		l->untracked_had++;
		return delivered(t, d, &stamp, early);
	}
	if (!*subscriber)
		*subscriber = new_subscriber(l, who);
	s = *subscriber;
	topic = topic_hash(d->topic);
	pair = &s->pairs[s->last];
	if ((s->n == 0 || !pair_is(pair, stamp.stream, topic)) && !(pair = pair_of(l, s, stamp.stream, topic)))
		return foreign(t);
	if (pair->stream == STREAM_RETURNED) {
		pair->returned++;
		tally_count(t, COUNT_returned);
		tally_time(t, TIME_DELIVERY, stamp.due_ns, stamp.sent_ns, d->now_ns);
		return DELIVERED_RETURNED;
	}
	if (pair->had.odd && pair->had.odd->group && stamp.number < pair->had.first)
		return long_ago(l, pair, t, early, d, &stamp);
	as = had_take(l->pool, &pair->had, stamp.number, (uint32_t)(d->now_ns / MS));
	if (pair->had.odd && had_weight(pair->had.odd) >= l->settle_at && had_weight(pair->had.odd) >= pair->had.odd->settle_at)
		settle(l, pair, who, d->topic);
	if (as == HAD_BEFORE)
		return again(l, &pair->had, t, who, early, d, &stamp);
	if (as == HAD_BEHIND && !(d->retained && early))
		behind(t, had_odd(l->pool, &pair->had));
	return delivered(t, d, &stamp, early);
}
