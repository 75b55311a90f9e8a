#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "harness/load/ledger_internal.h"

enum { MS = 1000000, LATE_NS = 1 * MS, DEFAULT_STREAMS = 4 << 20, FEW_SCENES = 8, SETTLE_AT = 64, TEXTS_OF_CAUSE = 100 };

const char *const loss_names[N_LOSS_CAUSES + 1] = {
	[LOST_SUBSCRIBER_AWAY] = "subscriber_away",
	[LOST_SUBSCRIBER_LEFT] = "subscriber_left",
	[LOST_TAKEN_OVER] = "taken_over",
	[LOST_DISCONNECTED] = "disconnected",
	[LOST_PUBLISHER_GONE] = "publisher_gone",
	[LOST_OUR_QUEUE] = "our_queue",
	[LOST_SUBSCRIBER_SLOW] = "subscriber_slow",
	[LOST_BROKER_DROPPED] = "broker_dropped",
	[LOST_UNKNOWN] = "unknown",
};

static void *zeroed(size_t n, size_t size)
{
	void *at = calloc(n, size);

	if (!at) {
		fputs("mqassay: out of memory\n", stderr);
		abort();
	}
	return at;
}

struct ledger *ledger_new(struct audience *audience, struct pool *pool, unsigned thread, uint32_t run, struct tally *tallies, uint32_t n_roles,
                          size_t max_streams)
{
	struct ledger *l = zeroed(1, sizeof(*l));

	assert(thread < 256);
	l->audience = audience;
	l->pool = pool;
	l->tallies = tallies;
	l->run = run;
	l->n_roles = n_roles;
	l->first_id = (uint32_t)thread << 24;
	l->numbers_end = UINT32_MAX;
	l->settle_at = SETTLE_AT;
	l->max_streams = max_streams == 0 ? DEFAULT_STREAMS : max_streams < MAX_STREAMS ? max_streams : MAX_STREAMS;
	return l;
}

void ledger_free(struct ledger *l)
{
	if (!l)
		return;
	for (size_t i = 0; i < l->refused.n; i++)
		ranges_release(&l->refused.at[i]);
	for (size_t i = 0; i < l->evidence.n; i++)
		free(l->evidence.at[i].text);
	free(l->refused.at);
	free(l->settled.at);
	free(l->streams.at);
	free(l->places);
	free(l->troubles.at);
	free(l->stranded.at);
	free(l->evidence.at);
	free(l);
}

/* ---- streams ---- */

static uint32_t place_hash(uint32_t client, uint32_t topic, unsigned qos, bool echo)
{
	return ((client ^ topic) * 0x9e3779b1u + qos * 2 + echo) * 0x85ebca6bu >> 3;
}

static void place(struct ledger *l, uint32_t number, uint32_t hash)
{
	uint32_t at = hash & l->places_mask;

	while (l->places[at])
		at = (at + 1) & l->places_mask;
	l->places[at] = number + 1;
}

static uint32_t place_of(const struct stream *s)
{
	return place_hash(s->client, topic_hash(span_of(s->topic, s->topic_len)), s->qos, s->echo);
}

static void more_places(struct ledger *l)
{
	uint32_t *old = l->places, n = old ? l->places_mask + 1 : 0, cap = n ? 2 * n : 16;

	l->places = zeroed(cap, sizeof(*l->places));
	l->places_mask = cap - 1;
	for (uint32_t i = 0; i < n; i++)
		if (old[i])
			place(l, old[i] - 1, place_of(l->streams.at[old[i] - 1]));
	free(old);
}

static void name_stream(struct ledger *l, struct stream *s)
{
	s->id = l->first_id | (uint32_t)l->streams.n;
	PUSH(l->streams, s);
	if (!s->echo)
		audience_topic_is(l->audience, s->id, topic_hash(span_of(s->topic, s->topic_len)));
}

static struct stream *find_stream(struct ledger *l, struct listener publisher, struct span topic, unsigned qos, bool echo)
{
	uint32_t hash = place_hash(publisher.client, topic_hash(topic), qos, echo);
	struct stream *s;

	for (uint32_t at = hash & l->places_mask; l->places && l->places[at]; at = (at + 1) & l->places_mask) {
		s = l->streams.at[l->places[at] - 1];
		if (s->client == publisher.client && s->qos == qos && s->echo == echo && span_equal(span_of(s->topic, s->topic_len), topic))
			return s;
	}
	if (l->n_places == l->max_streams || l->streams.n == MAX_STREAMS || topic.len > UINT16_MAX)
		return NULL;
	s = pool_zeroed(l->pool, sizeof(*s));
	s->topic = pool_take(l->pool, topic.len ? topic.len : 1);
	if (topic.len)
		memcpy(s->topic, topic.at, topic.len);
	s->topic_len = (uint16_t)topic.len;
	s->client = publisher.client;
	s->role = publisher.role;
	s->qos = (uint8_t)qos;
	s->echo = echo;
	name_stream(l, s);
	if (4 * (uint64_t)++l->n_places > 3 * (uint64_t)(l->places ? l->places_mask + 1 : 0))
		more_places(l);		/* with this one not yet in it */
	place(l, s->id & 0xffffff, hash);
	return s;
}

struct stream *ledger_stream(struct ledger *l, struct listener publisher, struct span topic, unsigned qos)
{
	return find_stream(l, publisher, topic, qos, false);
}

/* Its numbers are used up: what there is of it stays under its old name, and it goes on under a new one. Who holds it need not know. */
static void renew(struct ledger *l, struct stream *s)
{
	uint32_t number = s->id & 0xffffff, at = place_of(s) & l->places_mask;
	struct stream *old = pool_take(l->pool, sizeof(*old));

	assert(l->streams.n < MAX_STREAMS);
	*old = *s;
	l->streams.at[number] = old;
	name_stream(l, s);
	s->earlier = number + 1;
	s->next = s->n_scenes = s->cap_scenes = s->refused = 0;
	s->scenes = NULL;
	while (l->places[at] != number + 1)
		at = (at + 1) & l->places_mask;
	l->places[at] = (s->id & 0xffffff) + 1;
}

/* ---- sending ---- */

static void more_scenes(struct ledger *l, struct stream *s)
{
	uint32_t cap = s->cap_scenes ? 2 * s->cap_scenes : FEW_SCENES;
	struct scene *scenes = pool_take(l->pool, cap * sizeof(*scenes));

	if (s->n_scenes)
		memcpy(scenes, s->scenes, s->n_scenes * sizeof(*scenes));
	pool_give(l->pool, s->scenes, s->cap_scenes * sizeof(*scenes));
	s->scenes = scenes;
	s->cap_scenes = cap;
}

/*
 * The audience has changed since the last message. Whether that concerns this topic is not asked each time, as
 * everybody would ask at every step of a ramp: the change is noted, and when several have been, one look at the
 * audience tells which of them mattered.
 */
static void next_scene(struct ledger *l, struct stream *s, uint32_t epoch)
{
	uint32_t before = s->epoch, changed;

	s->epoch = epoch;
	if (s->next == 0) {
		s->first_epoch = epoch;
		return;
	}
	if (s->n_scenes == s->cap_scenes) {
		changed = audience_changed(l->audience, span_of(s->topic, s->topic_len));
		while (s->n_scenes && (s->n_scenes > 1 ? s->scenes[s->n_scenes - 2].epoch : s->first_epoch) >= changed)
			s->n_scenes--;
		if (before >= changed)
			return;
		if (s->n_scenes >= s->cap_scenes - s->cap_scenes / 2)
			more_scenes(l, s);
	}
	s->scenes[s->n_scenes++] = (struct scene){ s->next, epoch };
}

void ledger_send(struct ledger *l, struct listener publisher, struct stream *s, uint64_t due_ns, uint64_t now_ns, struct stamp *stamp)
{
	struct tally *t = &l->tallies[publisher.role];
	uint32_t epoch = audience_epoch(l->audience);

	tally_count(t, COUNT_sent);
	if (now_ns > due_ns + LATE_NS)
		tally_count(t, COUNT_late);
	tally_time(t, TIME_LATENESS, due_ns, due_ns, now_ns);
	*stamp = (struct stamp){ .run = l->run, .stream = STREAM_UNTRACKED, .epoch = epoch, .due_ns = due_ns, .sent_ns = now_ns };
	if (!s) {
		stamp->number = (uint32_t)l->untracked++;
		return;
	}
	if (s->next == l->numbers_end)
		renew(l, s);
	if (s->epoch != epoch || s->next == 0)
		next_scene(l, s, epoch);
	stamp->stream = s->id;
	stamp->number = s->next++;
	s->sent_ms = (uint32_t)(now_ns / MS);
}

void ledger_echo(struct ledger *l, struct listener publisher, struct span topic, unsigned qos)
{
	struct stream *s = find_stream(l, publisher, topic, qos, true);
	uint32_t epoch = audience_epoch(l->audience);

	tally_count(&l->tallies[publisher.role], COUNT_sent);
	if (!s) {
		l->untracked++;
		return;
	}
	if (s->next == l->numbers_end)
		renew(l, s);
	if (s->epoch != epoch || s->next == 0)
		next_scene(l, s, epoch);
	s->next++;
}

/* The one whose number that is: numbers that are still to come are of a stream that was renewed since. */
static struct stream *when_sent(const struct ledger *l, struct stream *s, uint32_t number)
{
	while (s && number >= s->next)
		s = s->earlier ? l->streams.at[s->earlier - 1] : NULL;
	return s;
}

void ledger_void(struct ledger *l, struct stream *s, uint32_t number)
{
	if (!(s = when_sent(l, s, number)))
		return;
	if (!s->refused) {
		if (l->refused.n == 0)
			PUSH(l->refused, (struct ranges){ 0 });	/* 0 is none */
		s->refused = (uint32_t)l->refused.n;
		PUSH(l->refused, (struct ranges){ 0 });
	}
	ranges_put(&l->refused.at[s->refused], number, number + 1);
}

static uint32_t number_in_epoch(const struct stream *s, uint32_t epoch)
{
	uint32_t low = 0, high = s->n_scenes;

	if (s->first_epoch >= epoch)
		return 0;
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (s->scenes[middle].epoch < epoch)
			low = middle + 1;
		else
			high = middle;
	}
	return low < s->n_scenes ? s->scenes[low].number : s->next;
}

struct range stream_range(const struct stream *s, uint32_t joined, uint32_t left)
{
	return (struct range){ number_in_epoch(s, joined), number_in_epoch(s, left) };
}

/* ---- evidence ---- */

static uint16_t keep_evidence(struct ledger *l, enum loss_cause cause, const char *text)
{
	size_t n = 0, last = 0;

	if (!text)
		text = "";
	for (size_t i = 0; i < l->evidence.n; i++) {
		if (l->evidence.at[i].cause != cause)
			continue;
		if (strcmp(l->evidence.at[i].text, text) == 0)
			return (uint16_t)i;
		last = i;
		n++;
	}
	if (n == TEXTS_OF_CAUSE)
		return (uint16_t)last;
	PUSH(l->evidence, (struct evidence){ (uint16_t)cause, zeroed(strlen(text) + 1, 1) });
	strcpy(l->evidence.at[l->evidence.n - 1].text, text);
	return (uint16_t)(l->evidence.n - 1);
}

void ledger_trouble(struct ledger *l, struct listener who, enum loss_cause cause, const char *text, uint64_t now_ns)
{
	PUSH(l->troubles, (struct trouble){ who.client, (uint32_t)(now_ns / MS), (uint16_t)cause, keep_evidence(l, cause, text) });
}

void ledger_stranded(struct ledger *l, struct stream *s, uint32_t number, enum loss_cause cause, const char *text)
{
	struct stream *first = when_sent(l, s, number);
	uint16_t evidence;

	if (!first)
		return;
	evidence = keep_evidence(l, cause, text);
	for (; s != first; s = l->streams.at[s->earlier - 1])
		PUSH(l->stranded, (struct stranded){ s->id, 0, s->next, (uint16_t)cause, evidence });
	PUSH(l->stranded, (struct stranded){ s->id, number, s->next, (uint16_t)cause, evidence });
}

void ledger_stuck(struct ledger *l, struct stream *s, uint32_t number, uint32_t n_ours)
{
	struct stream *first = when_sent(l, s, number);
	uint16_t ours, theirs;

	if (!first)
		return;
	ours = keep_evidence(l, LOST_OUR_QUEUE, "it waited in our queue when the run was over");
	theirs = keep_evidence(l, LOST_PUBLISHER_GONE, "the broker did not read it any more from its publisher's connection");
	for (;; s = l->streams.at[s->earlier - 1]) {
		uint32_t from = s == first ? number : 0, n = s->next - from, line = s->next - (n < n_ours ? n : n_ours);

		n_ours -= s->next - line;
		PUSH(l->stranded, (struct stranded){ s->id, from, line, LOST_PUBLISHER_GONE, theirs });
		PUSH(l->stranded, (struct stranded){ s->id, line, s->next, LOST_OUR_QUEUE, ours });
		if (s == first)
			break;
	}
}
