#include "harness/load/ledger_internal.h"

enum { MS = 1000000 };

/* ---- a subscriber's pairs: open addressing by stream and topic; one of them lies in the subscriber itself ---- */

static uint32_t place_in(uint32_t cap, uint32_t stream, uint32_t topic)
{
	uint32_t h = (stream * 0x9e3779b1u ^ topic) * 0x85ebca6bu;

	h ^= h >> 15;
	return (uint32_t)((uint64_t)(h * 0xc2b2ae35u) * cap >> 32);
}

/* Where it is, or would be. */
static struct pair *find_pair(const struct subscriber *s, uint32_t stream, uint32_t topic)
{
	struct pair *at = &s->pairs[place_in(s->cap, stream, topic)];

	while (at->stream != STREAM_UNTRACKED && (at->stream != stream || at->topic != topic))
		if (++at == s->pairs + s->cap)
			at = s->pairs;
	return at;
}

struct pair *subscriber_pair(const struct subscriber *s, uint32_t stream, uint32_t topic)
{
	struct pair *pair;

	if (s->cap == 1)
		return s->one.stream == stream && s->one.topic == topic ? (struct pair *)&s->one : NULL;
	pair = find_pair(s, stream, topic);
	return pair->stream == STREAM_UNTRACKED ? NULL : pair;
}

static void more_pairs(struct ledger *l, struct subscriber *s)
{
	struct pair *old = s->pairs;
	uint32_t cap = s->cap;

	s->cap = cap == 1 ? 4 : cap + cap / 2;
	s->pairs = pool_take(l->pool, s->cap * sizeof(*s->pairs));
	for (uint32_t i = 0; i < s->cap; i++)
		s->pairs[i] = (struct pair){ .stream = STREAM_UNTRACKED };
	for (uint32_t i = 0; i < cap; i++)
		if (old[i].stream != STREAM_UNTRACKED)
			*find_pair(s, old[i].stream, old[i].topic) = old[i];
	if (old != &s->one)
		pool_give(l->pool, old, cap * sizeof(*old));
}

static struct pair *new_pair(struct ledger *l, struct subscriber *s, uint32_t stream, uint32_t topic)
{
	struct pair *pair = &s->one;

	if (s->n > 0 && 8 * (uint64_t)(s->n + 1) > 7 * (uint64_t)s->cap)
		more_pairs(l, s);
	if (s->cap > 1)
		pair = find_pair(s, stream, topic);
	*pair = (struct pair){ .stream = stream, .topic = topic };
	s->n++;
	return pair;
}

static struct subscriber *new_subscriber(struct ledger *l, struct listener who)
{
	struct subscriber *s = pool_zeroed(l->pool, sizeof(*s));

	s->who = who;
	s->cap = 1;
	s->pairs = s->last = &s->one;
	s->one.stream = STREAM_UNTRACKED;
	s->next = l->subscribers;
	l->subscribers = s;
	return s;
}

/* Not the pair of the arrival before. NULL: there is no such stream. A stream that is not of this topic has come back on it. */
static struct pair *other_pair(struct ledger *l, struct subscriber *s, uint32_t stream, uint32_t topic)
{
	struct pair *pair = subscriber_pair(s, stream, topic);
	uint32_t its_topic;

	if (!pair) {
		its_topic = audience_topic(l->audience, stream);
		if (its_topic == 0)
			return NULL;
		if (its_topic != topic) {
			stream = STREAM_RETURNED;
			pair = subscriber_pair(s, stream, topic);
		}
		if (!pair)
			pair = new_pair(l, s, stream, topic);
	}
	return s->last = pair;
}

/* ---- arrivals ---- */

static enum delivered delivered(struct tally *t, const struct delivery *d, const struct stamp *stamp, uint32_t joined)
{
	bool early = stamp->epoch < joined;

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
static enum delivered again(struct ledger *l, struct had *had, struct tally *t, struct listener who, uint32_t joined, const struct delivery *d,
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
		return delivered(t, d, stamp, joined);
	}
	tally_count(t, COUNT_duplicated);
	odd->duplicated++;
	return DELIVERED_AGAIN;
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

	if (!stamp_read(d->payload, l->run, &stamp) || stamp.number == UINT32_MAX)
		return foreign(t);
	if (stamp.stream == STREAM_UNTRACKED) {
		l->untracked_had++;
		return delivered(t, d, &stamp, joined);
	}
	if (!*subscriber)
		*subscriber = new_subscriber(l, who);
	s = *subscriber;
	topic = topic_hash(d->topic);
	pair = s->last;
	if ((pair->stream != stamp.stream || pair->topic != topic) && !(pair = other_pair(l, s, stamp.stream, topic)))
		return foreign(t);
	if (pair->stream == STREAM_RETURNED) {
		pair->returned++;
		tally_count(t, COUNT_returned);
		tally_time(t, TIME_DELIVERY, stamp.due_ns, stamp.sent_ns, d->now_ns);
		return DELIVERED_RETURNED;
	}
	as = had_take(l->pool, &pair->had, stamp.number, (uint32_t)(d->now_ns / MS));
	if (as == HAD_BEFORE)
		return again(l, &pair->had, t, who, joined, d, &stamp);
	if (as == HAD_BEHIND && !(d->retained && stamp.epoch < joined))
		behind(t, had_odd(l->pool, &pair->had));
	return delivered(t, d, &stamp, joined);
}
