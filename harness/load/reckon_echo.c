#include <stdlib.h>

#include "harness/load/reckon_internal.h"

/*
 * Echoes have no numbers of their own: what is owed on one topic, and how many stamps came back on it, is put side by
 * side for each subscriber.
 */

struct echo_stream {
	uint32_t topic;
	const struct stream *stream;
	uint64_t owed, lost;
};

struct echo_debt {
	uint32_t group, client;		/* of a group: its first member */
	uint16_t role;
	uint64_t owed;
};

struct returns {			/* what came back to one client on the topic, and was not its own debt */
	uint32_t client;
	uint64_t n;
};

struct echoes {
	struct reckoner *r;
	ARRAY(struct echo_stream) streams;
	ARRAY(struct echo_debt) debts;		/* of one topic */
	ARRAY(struct claim) members;
	ARRAY(struct returns) returns;
};

static int by_topic(const void *a, const void *b)
{
	const struct echo_stream *x = a, *y = b;

	if (x->topic != y->topic)
		return x->topic < y->topic ? -1 : 1;
	return x->stream->id < y->stream->id ? -1 : x->stream->id > y->stream->id;
}

static int by_debtor(const void *a, const void *b)
{
	const struct echo_debt *x = a, *y = b;

	if (x->group != y->group)
		return x->group < y->group ? -1 : 1;
	return x->client < y->client ? -1 : x->client > y->client;
}

static int by_member(const void *a, const void *b)
{
	const struct claim *x = a, *y = b;

	if (x->group != y->group)
		return x->group < y->group ? -1 : 1;
	return x->client < y->client ? -1 : x->client > y->client;
}

static uint64_t returned(const struct reckoner *r, uint32_t client, uint32_t topic)
{
	const struct subscriber *subscriber = client_subscriber(r, client);
	const struct pair *pair = subscriber ? subscriber_pair(subscriber, STREAM_RETURNED, topic) : NULL;

	return pair ? pair->returned : 0;
}

static void owe(struct echoes *e, struct echo_stream *echo, const struct claim *claims, size_t n)
{
	struct reckoner *r = e->r;
	uint64_t owed;

	claims_owed(r, echo->stream, claims, n, &r->owed);
	owed = ranges_count(&r->owed);
	count_owed(r, echo->stream, claims->role, owed);
	echo->owed += owed;
	PUSH(e->debts, (struct echo_debt){ claims->group, claims->client, claims->role, owed });
}

static void find_debts(struct echoes *e, struct echo_stream *echo)
{
	struct reckoner *r = e->r;
	size_t n;

	make_claims(r, echo->stream);
	for (size_t i = 0; i < r->own.n; i += n) {
		n = claims_of_client(&r->own.at[i], r->own.n - i);
		owe(e, echo, &r->own.at[i], n);
	}
	for (size_t i = 0; i < r->shares.n; i += n) {
		for (n = 0; i + n < r->shares.n && r->shares.at[i + n].group == r->shares.at[i].group; n++)
			PUSH(e->members, r->shares.at[i + n]);
		owe(e, echo, &r->shares.at[i], n);
	}
}

/* Adds up what one subscriber is owed of several streams; groups behind all clients. */
static void join_debts(struct echoes *e)
{
	size_t n = 0;

	if (!e->debts.n)
		return;
	qsort(e->debts.at, e->debts.n, sizeof(struct echo_debt), by_debtor);
	for (size_t i = 1; i < e->debts.n; i++) {
		const struct echo_debt *debt = &e->debts.at[i];

		if (debt->group == e->debts.at[n].group && (debt->group || debt->client == e->debts.at[n].client))
			e->debts.at[n].owed += debt->owed;
		else
			e->debts.at[++n] = *debt;
	}
	e->debts.n = n + 1;
	if (e->members.n)
		qsort(e->members.at, e->members.n, sizeof(struct claim), by_member);
}

static int by_client(const void *a, const void *b)
{
	const struct returns *x = a, *y = b;

	return x->client < y->client ? -1 : x->client > y->client;
}

/* What came back to each who has a part in these debts. */
static void find_returns(struct echoes *e, uint32_t topic)
{
	size_t n = 0;

	for (size_t i = 0; i < e->debts.n; i++)
		if (!e->debts.at[i].group)
			PUSH(e->returns, (struct returns){ e->debts.at[i].client, 0 });
	for (size_t i = 0; i < e->members.n; i++)
		PUSH(e->returns, (struct returns){ e->members.at[i].client, 0 });
	if (!e->returns.n)
		return;
	qsort(e->returns.at, e->returns.n, sizeof(struct returns), by_client);
	for (size_t i = 0; i < e->returns.n; i++)
		if (n == 0 || e->returns.at[i].client != e->returns.at[n - 1].client)
			e->returns.at[n++] = (struct returns){ e->returns.at[i].client, returned(e->r, e->returns.at[i].client, topic) };
	e->returns.n = n;
}

/* What came back to a client and is not spoken for. */
static uint64_t *returns_of(struct echoes *e, uint32_t client)
{
	struct returns key = { client, 0 }, *found = bsearch(&key, e->returns.at, e->returns.n, sizeof(key), by_client);

	return &found->n;
}

static uint64_t take(uint64_t *from, uint64_t wanted)
{
	uint64_t n = *from < wanted ? *from : wanted;

	*from -= n;
	return n;
}

static size_t first_member(const struct echoes *e, uint32_t group)
{
	size_t low = 0, high = e->members.n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (e->members.at[middle].group < group)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static void settle(struct echoes *e, const struct echo_debt *debt, struct echo_stream *streams, size_t n_streams)
{
	uint64_t missing = debt->owed;

	if (!debt->group)
		missing -= take(returns_of(e, debt->client), missing);
	for (size_t i = first_member(e, debt->group); debt->group && i < e->members.n && e->members.at[i].group == debt->group && missing; i++)
		missing -= take(returns_of(e, e->members.at[i].client), missing);
	for (size_t i = 0; i < n_streams && missing; i++) {	/* whose they were, of several on one topic, nobody can tell */
		uint64_t left = streams[i].owed - streams[i].lost, n = take(&left, missing);

		if (!n)
			continue;
		streams[i].lost += n;
		missing -= n;
		blame_echoes(e->r, streams[i].stream, debt->client, debt->role, n);
	}
}

static void reckon_topic(struct echoes *e, struct echo_stream *streams, size_t n)
{
	e->debts.n = e->members.n = e->returns.n = 0;
	for (size_t i = 0; i < n; i++)
		find_debts(e, &streams[i]);
	join_debts(e);
	find_returns(e, streams->topic);
	for (size_t i = 0; i < e->debts.n; i++)
		settle(e, &e->debts.at[i], streams, n);
	for (size_t i = 0; i < n; i++) {
		account_of(e->r, streams[i].stream)->lost += streams[i].lost;
		account_of(e->r, streams[i].stream)->delivered += streams[i].owed - streams[i].lost;
	}
}

void reckon_echoes(struct reckoner *r, struct ledger *const *ledgers, size_t n)
{
	struct echoes e = { .r = r };
	size_t end;

	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < ledgers[i]->streams.n; k++) {
			const struct stream *stream = ledgers[i]->streams.at[k];

			if (stream->echo && stream->next)
				PUSH(e.streams, (struct echo_stream){ topic_hash(span_of(stream->topic, stream->topic_len)), stream, 0, 0 });
		}
	if (e.streams.n)
		qsort(e.streams.at, e.streams.n, sizeof(struct echo_stream), by_topic);
	for (size_t i = 0; i < e.streams.n; i = end) {
		for (end = i; end < e.streams.n && e.streams.at[end].topic == e.streams.at[i].topic;)
			end++;
		reckon_topic(&e, &e.streams.at[i], end - i);
	}
	free(e.streams.at);
	free(e.debts.at);
	free(e.members.at);
	free(e.returns.at);
}
