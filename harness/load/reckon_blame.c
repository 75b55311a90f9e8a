#include <stdio.h>
#include <stdlib.h>

#include "harness/load/reckon_internal.h"
#include "harness/load/wording.h"

enum { UNDER_WAY_MS = 1000 };		/* how long a message may be on its way to a subscriber that takes what it is sent */

static const char at_end[] = "it had not come when all was over", passed_over[] = "what was sent later came";
static const char unsubscribed[] = "its subscription ended with messages under way";

static int by_key(const void *a, const void *b)
{
	const struct proof *x = a, *y = b;

	if (x->key != y->key)
		return x->key < y->key ? -1 : 1;
	if (x->from != y->from)
		return x->from < y->from ? -1 : 1;
	return x->cause < y->cause ? -1 : x->cause > y->cause;
}

void blame_prepare(struct reckoner *r, struct ledger *const *ledgers, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct ledger *l = ledgers[i];

		for (size_t k = 0; k < l->troubles.n; k++) {
			const struct trouble *t = &l->troubles.at[k];

			PUSH(r->troubles, (struct proof){ t->client, t->ms, t->ms, t->cause, l->evidence.at[t->text].text });
		}
		for (size_t k = 0; k < l->stranded.n; k++) {
			const struct stranded *s = &l->stranded.at[k];

			if (s->from < s->to)
				PUSH(r->stranded, (struct proof){ s->stream, s->from, s->to, s->cause, l->evidence.at[s->text].text });
		}
	}
	if (r->troubles.n)
		qsort(r->troubles.at, r->troubles.n, sizeof(struct proof), by_key);
	if (r->stranded.n)
		qsort(r->stranded.at, r->stranded.n, sizeof(struct proof), by_key);
}

/* The first with that key that begins there or later, of how many. */
static const struct proof *find_proof(const struct proof *proofs, size_t n, uint32_t key, uint32_t from, size_t *n_left)
{
	size_t low = 0, high = n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (proofs[middle].key < key || (proofs[middle].key == key && proofs[middle].from < from))
			low = middle + 1;
		else
			high = middle;
	}
	*n_left = n - low;
	return low < n && proofs[low].key == key ? &proofs[low] : NULL;
}

/* Of the publisher's messages that may not have left, those that number is among; *end: how far the answer goes at most. */
static const struct proof *find_stranded(const struct reckoner *r, const struct stream *stream, uint32_t number, uint32_t *end)
{
	size_t n;
	const struct proof *at = find_proof(r->stranded.at, r->stranded.n, stream->id, 0, &n);

	for (; at && n && at->key == stream->id; at++, n--) {
		if (at->from <= number && number < at->to) {
			*end = at->to < *end ? at->to : *end;
			return at;
		}
		if (at->from > number && at->from < *end)
			*end = at->from;
	}
	return NULL;
}

static uint64_t later(uint32_t a, uint32_t b)
{
	return a > b ? a : b;
}

static const struct proof *find_trouble(const struct reckoner *r, const struct stream *stream, const struct had *had, uint32_t client, const struct hole *hole)
{
	size_t n;
	const struct proof *trouble = find_proof(r->troubles.at, r->troubles.n, client, hole->since_ms, &n);
	uint64_t until = hole->until_ms;

	if (until == UINT32_MAX)
		until = later(stream->sent_ms, had->next ? had->last_ms : 0) + UNDER_WAY_MS;
	for (; trouble && n && trouble->key == client; trouble++, n--)
		if (trouble->from <= until || (trouble->cause == LOST_SUBSCRIBER_SLOW && hole->until_ms == UINT32_MAX))
			return trouble;
	return NULL;
}

static void count_loss(struct reckoner *r, uint16_t subscriber_role, uint16_t publisher_role, enum loss_cause cause, const char *text, uint64_t n)
{
	for (size_t i = 0, at = r->last_loss; i < r->losses.n; i++, at = (at + 1) % r->losses.n) {
		struct loss *loss = &r->losses.at[at];

		if (loss->cause != cause || loss->subscriber_role != subscriber_role || loss->publisher_role != publisher_role || strcmp(loss->evidence, text) != 0)
			continue;
		loss->n += n;
		r->last_loss = at;
		return;
	}
	r->last_loss = r->losses.n;
	PUSH(r->losses, (struct loss){ subscriber_role, publisher_role, cause, n, text });
}

static bool at_cut(const struct debt *debt, uint32_t end)
{
	for (size_t i = 0; i < debt->n_claims; i++)
		if (debt->claims[i].cut && debt->claims[i].to == end)
			return true;
	return false;
}

/* The cause of number, which is also that of all up to *end. *passed: some subscriber had a later one. */
static const struct proof *find_cause(const struct reckoner *r, const struct debt *debt, uint32_t number, uint32_t *end, bool *passed)
{
	const struct proof *found = find_stranded(r, debt->stream, number, end);

	if (found)
		return found;
	for (size_t i = 0; i < debt->n_claims; i++) {
		const struct had *had;
		struct hole hole;

		if (i > 0 && debt->claims[i].client == debt->claims[i - 1].client)
			continue;
		had = client_had(r, debt->claims[i].client, debt->stream);
		if (had_has(had, number))	/* a group's member, by a subscription of its own */
			continue;
		hole = had_hole(had, number);
		*end = hole.to < *end ? hole.to : *end;
		*passed |= hole.until_ms != UINT32_MAX;
		if (!found)
			found = find_trouble(r, debt->stream, had, debt->claims[i].client, &hole);
	}
	return found;
}

void blame(struct reckoner *r, const struct debt *debt, const struct ranges *lost)
{
	uint16_t publisher = debt->stream->role;
	uint64_t all = ranges_count(lost);

	r->missing += all;
	r->tallies[debt->role].counts[COUNT_lost] += all;
	account_of(r, debt->stream)->lost += all;
	for (size_t i = 0; i < lost->n; i++)
		for (uint32_t number = lost->at[i].from, end; number < lost->at[i].to; number = end) {
			const struct proof *proof;
			bool passed = false;

			end = lost->at[i].to;
			proof = find_cause(r, debt, number, &end, &passed);
			if (proof)
				count_loss(r, debt->role, publisher, proof->cause, proof->text, end - number);
			else if (end == lost->at[i].to && at_cut(debt, end))
				count_loss(r, debt->role, publisher, LOST_SUBSCRIBER_LEFT, unsubscribed, end - number);
			else
				count_loss(r, debt->role, publisher, LOST_UNKNOWN, passed ? passed_over : at_end, end - number);
		}
}

void blame_echoes(struct reckoner *r, const struct stream *stream, uint32_t client, uint16_t role, uint64_t n)
{
	size_t n_left;
	const struct proof *trouble = find_proof(r->troubles.at, r->troubles.n, client, 0, &n_left);

	r->tallies[role].counts[COUNT_lost] += n;
	if (trouble)
		count_loss(r, role, stream->role, trouble->cause, trouble->text, n);
	else
		count_loss(r, role, stream->role, LOST_UNKNOWN, "", n);
}

/* So many of what that cause explains were dropped instead. How many are left that were. */
static uint64_t dropped_instead(struct reckoner *r, enum loss_cause cause, uint64_t dropped)
{
	size_t n = r->losses.n;

	for (size_t i = 0; i < n && dropped; i++) {
		struct loss loss = r->losses.at[i];
		uint64_t part = loss.n < dropped ? loss.n : dropped;

		if (loss.cause != cause)
			continue;
		r->losses.at[i].n -= part;
		dropped -= part;
		count_loss(r, loss.subscriber_role, loss.publisher_role, LOST_BROKER_DROPPED, r->dropped, part);
	}
	return dropped;
}

/*
 * A subscriber that left, or reads slowly, explains what was under way to it then, however much that may have been:
 * less so than a broker that says what it dropped.
 */
void blame_broker(struct reckoner *r, const struct broker_drops *drops)
{
	if (!drops || !drops->known || !drops->n)
		return;
	snprintf(r->dropped, sizeof(r->dropped), "%s rose by %s", drops->topic, say_count(drops->n));
	dropped_instead(r, LOST_SUBSCRIBER_LEFT, dropped_instead(r, LOST_SUBSCRIBER_SLOW, dropped_instead(r, LOST_UNKNOWN, drops->n)));
}
