#include "harness/load/reckon.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "harness/load/reckon_internal.h"

enum { MAX_PUBLISHERS = 1000 };

static void *zeroed(size_t n, size_t size)
{
	void *at = calloc(n ? n : 1, size);

	if (!at) {
		fputs("mqassay: out of memory\n", stderr);
		abort();
	}
	return at;
}

/* ---- who is who ---- */

struct subscriber *client_subscriber(const struct reckoner *r, uint32_t client)
{
	uint32_t thread = client >> 24, index = client & 0xffffff;

	return index < r->n_subscribers[thread] ? r->subscribers[thread][index] : NULL;
}

const struct had *client_had(const struct reckoner *r, uint32_t client, const struct stream *stream)
{
	static const struct had nothing;
	const struct subscriber *subscriber = client_subscriber(r, client);
	const struct pair *pair = NULL;

	if (subscriber)
		pair = subscriber_pair(subscriber, stream->id, topic_hash(span_of(stream->topic, stream->topic_len)));
	return pair ? &pair->had : &nothing;
}

static void index_subscribers(struct reckoner *r, struct ledger *const *ledgers, size_t n)
{
	for (size_t i = 0; i < n; i++)
		for (const struct subscriber *s = ledgers[i]->subscribers; s; s = s->next) {
			uint32_t *end = &r->n_subscribers[s->who.client >> 24], index = s->who.client & 0xffffff;

			*end = index >= *end ? index + 1 : *end;
		}
	for (unsigned t = 0; t < 256; t++)
		if (r->n_subscribers[t])
			r->subscribers[t] = zeroed(r->n_subscribers[t], sizeof(struct subscriber *));
	for (size_t i = 0; i < n; i++)
		for (struct subscriber *s = ledgers[i]->subscribers; s; s = s->next)
			r->subscribers[s->who.client >> 24][s->who.client & 0xffffff] = s;
}

struct publisher_account *account_of(struct reckoner *r, const struct stream *stream)
{
	uint32_t thread = stream->client >> 24, index = stream->client & 0xffffff;

	while (r->accounts[thread].n <= index)
		PUSH(r->accounts[thread], (struct publisher_account){ .client = thread << 24 | (uint32_t)r->accounts[thread].n });
	r->accounts[thread].at[index].role = stream->role;
	return &r->accounts[thread].at[index];
}

/* ---- what is due ---- */

static void claim(struct reckoner *r, const struct stream *stream, const struct grant *grant)
{
	struct range range = stream_range(stream, grant->joined, grant->left);
	struct claim claim = { grant->client, grant->group, range.from, range.to, grant->role, range.to < stream->next };

	if (range.from >= range.to || (grant->no_local && grant->client == stream->client))
		return;
	if (grant->group) {
		claim.role = r->audience->groups.at[grant->group].role;
		PUSH(r->shares, claim);
	} else {
		PUSH(r->own, claim);
	}
}

static int by_claimant(const void *a, const void *b)
{
	const struct claim *x = a, *y = b;

	if (x->group != y->group)
		return x->group < y->group ? -1 : 1;
	if (x->client != y->client)
		return x->client < y->client ? -1 : 1;
	return x->from < y->from ? -1 : x->from > y->from;
}

static void sort_claims(struct claim *claims, size_t n)
{
	for (size_t i = 1; i < n; i++)
		if (by_claimant(&claims[i - 1], &claims[i]) > 0) {
			qsort(claims, n, sizeof(*claims), by_claimant);
			return;
		}
}

void make_claims(struct reckoner *r, const struct stream *stream)
{
	struct audience *a = r->audience;

	r->own.n = r->shares.n = 0;
	audience_match(a, span_of(stream->topic, stream->topic_len));
	for (size_t i = 0; i < a->matched.n; i++) {
		const struct node *node = &a->nodes.at[a->matched.at[i]];

		for (uint32_t at = node->grants; at; at = a->grants.at[at].next)
			claim(r, stream, &a->grants.at[at]);
		for (uint32_t group = node->groups; group; group = a->groups.at[group].next)
			for (uint32_t at = a->groups.at[group].grants; at; at = a->grants.at[at].next)
				claim(r, stream, &a->grants.at[at]);
	}
	sort_claims(r->own.at, r->own.n);
	sort_claims(r->shares.at, r->shares.n);
}

size_t claims_of_client(const struct claim *claims, size_t n)
{
	size_t end = 1;

	while (end < n && claims[end].client == claims->client && claims[end].group == claims->group)
		end++;
	return end;
}

size_t own_claims(const struct reckoner *r, uint32_t client, const struct claim **claims)
{
	size_t low = 0, high = r->own.n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (r->own.at[middle].client < client)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == r->own.n || r->own.at[low].client != client)
		return 0;
	*claims = &r->own.at[low];
	return claims_of_client(*claims, r->own.n - low);
}

void claims_owed(const struct reckoner *r, const struct stream *stream, const struct claim *claims, size_t n, struct ranges *owed)
{
	struct ranges all = { 0 };

	ranges_clear(owed);
	for (size_t i = 0; i < n; i++)
		ranges_put(owed, claims[i].from, claims[i].to);
	if (!stream->refused || !owed->n)
		return;
	all = *owed;
	*owed = (struct ranges){ 0 };
	ranges_subtract(owed, &all, &r->by_thread[stream->id >> 24]->refused.at[stream->refused]);
	ranges_release(&all);
}

void count_owed(struct reckoner *r, const struct stream *stream, uint16_t role, uint64_t n)
{
	r->tallies[role].counts[COUNT_owed] += n;
	account_of(r, stream)->owed += n;
}

static void reckon_own(struct reckoner *r, const struct stream *stream)
{
	size_t n;

	for (size_t i = 0; i < r->own.n; i += n) {
		const struct claim *at = &r->own.at[i];
		struct debt debt = { .stream = stream, .role = at->role, .claims = at };
		const struct had *had = client_had(r, at->client, stream);

		debt.n_claims = n = claims_of_client(at, r->own.n - i);
		claims_owed(r, stream, at, n, &r->owed);
		if (!r->owed.n)
			continue;
		r->due += ranges_count(&r->owed);
		count_owed(r, stream, at->role, ranges_count(&r->owed));
		if (!had->odd && had->first <= r->owed.at[0].from && had->next >= r->owed.at[r->owed.n - 1].to)
			continue;
		ranges_clear(&r->had);
		if (had->next)
			had_ranges(had, &r->had);
		ranges_subtract(&r->lost, &r->owed, &r->had);
		blame(r, &debt, &r->lost);
	}
}

static void reckon_streams(struct reckoner *r, const struct ledger *l)
{
	for (size_t i = 0; i < l->streams.n; i++) {
		const struct stream *stream = l->streams.at[i];

		if (stream->next == 0)
			continue;
		account_of(r, stream)->sent += stream->next;
		if (stream->echo)
			continue;
		make_claims(r, stream);
		reckon_own(r, stream);
		if (r->shares.n)
			reckon_groups(r, stream);
	}
}

/* ---- what came ---- */

static void reckon_pairs(struct reckoner *r, const struct subscriber *s)
{
	for (uint32_t i = 0; i < s->n; i++) {
		const struct pair *pair = &s->pairs[i];
		struct publisher_account *account;
		const struct ledger *sender;
		uint64_t n;

		if (pair->stream >= STREAM_RETURNED || !(sender = r->by_thread[pair->stream >> 24]))
			continue;
		account = account_of(r, sender->streams.at[pair->stream & 0xffffff]);
		n = had_count(&pair->had) + (pair->had.odd ? pair->had.odd->further_delivered + pair->had.odd->settled : 0);
		account->delivered += n;
		r->delivered += n;
		if (pair->had.odd) {
			account->duplicated += pair->had.odd->duplicated;
			account->reordered += pair->had.odd->reordered;
		}
	}
}

/* ---- what is made of it ---- */

static int by_loss(const void *a, const void *b)
{
	const struct loss *x = a, *y = b;

	if (x->n != y->n)
		return x->n < y->n ? 1 : -1;
	if (x->subscriber_role != y->subscriber_role)
		return x->subscriber_role < y->subscriber_role ? -1 : 1;
	if (x->publisher_role != y->publisher_role)
		return x->publisher_role < y->publisher_role ? -1 : 1;
	if (x->cause != y->cause)
		return x->cause < y->cause ? -1 : 1;
	return strcmp(x->evidence, y->evidence);
}

static int by_affliction(const void *a, const void *b)
{
	const struct publisher_account *x = a, *y = b;

	if (x->lost != y->lost)
		return x->lost < y->lost ? 1 : -1;
	if (x->duplicated != y->duplicated)
		return x->duplicated < y->duplicated ? 1 : -1;
	if (x->reordered != y->reordered)
		return x->reordered < y->reordered ? 1 : -1;
	return x->client < y->client ? -1 : x->client > y->client;
}

static void give_losses(struct reckoner *r, struct reckoning *reckoning)
{
	size_t n = 0;

	for (size_t i = 0; i < r->losses.n; i++)
		if (r->losses.at[i].n)
			r->losses.at[n++] = r->losses.at[i];
	if (n)
		qsort(r->losses.at, n, sizeof(struct loss), by_loss);
	for (size_t i = 0; i < n; i++) {
		char *text = zeroed(strlen(r->losses.at[i].evidence) + 1, 1);

		r->losses.at[i].evidence = strcpy(text, r->losses.at[i].evidence);
	}
	reckoning->losses = r->losses.at;
	reckoning->n_losses = (uint32_t)n;
}

static void give_publishers(struct reckoner *r, struct reckoning *reckoning)
{
	ARRAY(struct publisher_account) afflicted = { 0 };

	for (unsigned t = 0; t < 256; t++)
		for (size_t i = 0; i < r->accounts[t].n; i++) {
			const struct publisher_account *account = &r->accounts[t].at[i];

			if (account->lost || account->duplicated || account->reordered)
				PUSH(afflicted, *account);
		}
	if (afflicted.n)
		qsort(afflicted.at, afflicted.n, sizeof(*afflicted.at), by_affliction);
	reckoning->publishers = afflicted.at;
	reckoning->n_publishers_afflicted = afflicted.n;
	reckoning->n_publishers = (uint32_t)(afflicted.n < MAX_PUBLISHERS ? afflicted.n : MAX_PUBLISHERS);
}

static void release(struct reckoner *r)
{
	for (unsigned t = 0; t < 256; t++) {
		free(r->subscribers[t]);
		free(r->accounts[t].at);
	}
	free(r->troubles.at);
	free(r->stranded.at);
	free(r->own.at);
	free(r->shares.at);
	ranges_release(&r->owed);
	ranges_release(&r->had);
	ranges_release(&r->lost);
	free(r);
}

struct reckoning *reckon(struct ledger *const *ledgers, size_t n, struct audience *audience, const struct broker_drops *drops, struct tally *tallies,
                         uint32_t n_roles)
{
	struct reckoning *reckoning = zeroed(1, sizeof(*reckoning));
	struct reckoner *r = zeroed(1, sizeof(*r));

	assert(n_roles == audience->n_roles);
	r->audience = audience;
	r->tallies = tallies;
	for (size_t i = 0; i < n; i++) {
		r->by_thread[ledgers[i]->first_id >> 24] = ledgers[i];
		reckoning->untracked += ledgers[i]->untracked;
	}
	index_subscribers(r, ledgers, n);
	blame_prepare(r, ledgers, n);
	for (size_t i = 0; i < n; i++)
		reckon_streams(r, ledgers[i]);
	for (size_t i = 0; i < n; i++)
		for (const struct subscriber *s = ledgers[i]->subscribers; s; s = s->next)
			reckon_pairs(r, s);
	reckoning->shared_excess = r->excess;
	reckoning->unowed = r->delivered - (r->due - r->missing) - r->excess;
	reckon_echoes(r, ledgers, n);
	blame_broker(r, drops);
	give_losses(r, reckoning);
	give_publishers(r, reckoning);
	release(r);
	return reckoning;
}

void reckoning_free(struct reckoning *reckoning)
{
	if (!reckoning)
		return;
	for (uint32_t i = 0; i < reckoning->n_losses; i++)
		free((char *)reckoning->losses[i].evidence);
	free(reckoning->losses);
	free(reckoning->publishers);
	free(reckoning);
}
