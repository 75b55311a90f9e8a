#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz/network/campaign_internal.h"
#include "fuzz/network/janitor.h"
#include "harness/console.h"

/* A campaign looks at what has shown: who may have done it, whether it is so, and what has to be done for the target to be fit again. */

#define MS UINT64_C(1000000)
#define SECOND (1000 * MS)

enum { LEAKS_S = 20, MOST_BUCKETS = 1000, MOST_UNCONFIRMED = 3, UNCONFIRMED_SHARE = 8 };

/* ---- what has shown ---- */

static struct bucket_count *bucket_of(struct campaign *c, const struct symptom *symptom)
{
	for (size_t i = 0; i < c->result->n_buckets; i++)
		if (!strcmp(c->result->buckets[i].symptom.bucket, symptom->bucket))
			return &c->result->buckets[i];
	return NULL;
}

static bool waits_for_triage(const struct campaign *c, const struct symptom *symptom)
{
	for (unsigned i = 0; i < c->n_pending; i++)
		if (!strcmp(c->pending[i].symptom.bucket, symptom->bucket))
			return true;
	return false;
}

struct unconfirmed *campaign_unconfirmed_of(struct campaign *c, const struct symptom *symptom)
{
	struct unconfirmed *u = c->unconfirmed;

	while (u < c->unconfirmed + c->n_unconfirmed && strcmp(u->bucket, symptom->bucket))
		u++;
	if (u < c->unconfirmed + c->n_unconfirmed)
		return u;
	if (c->n_unconfirmed == MOST_PENDING)
		return NULL;
	c->n_unconfirmed++;
	snprintf(u->bucket, sizeof(u->bucket), "%s", symptom->bucket);
	u->n = 0;
	u->took_ns = 0;
	return u;
}

/* What another case did to this one does not show in a trial, and some case may do it to itself: it is tried now and then, as long as that takes a small part of the time. */
static bool was_tried_enough(const struct campaign *c, const struct symptom *symptom)
{
	for (unsigned i = 0; i < c->n_unconfirmed; i++)
		if (!strcmp(c->unconfirmed[i].bucket, symptom->bucket))
			return c->unconfirmed[i].n >= MOST_UNCONFIRMED && c->unconfirmed[i].took_ns > campaign_now(c) / UNCONFIRMED_SHARE;
	return false;
}

/* ids: given. */
static void suspect(struct campaign *c, const struct symptom *symptom, struct case_id *ids, size_t n)
{
	struct bucket_count *bucket = bucket_of(c, symptom);

	if (bucket)
		bucket->hits++;
	if (!n)			/* there is nothing to play again */
		console_error("%s, though nobody had played since it was started: no case is to blame", console_safe(symptom->text));
	if (!n || bucket || was_tried_enough(c, symptom) || c->n_pending == MOST_PENDING ||
	    c->result->n_buckets + c->n_pending == MOST_BUCKETS || waits_for_triage(c, symptom)) {
		free(ids);
		return;
	}
	c->pending[c->n_pending++] = (struct suspicion){ .symptom = *symptom, .at_ns = campaign_now(c), .ids = ids, .n = n };
	c->drains = true;
}

void campaign_suspect(struct campaign *c, const struct symptom *symptom, struct case_id id)
{
	struct case_id *ids = malloc(sizeof(*ids));

	if (!ids)
		abort();
	*ids = id;
	suspect(c, symptom, ids, 1);
}

static int by_order(const void *a, const void *b)
{
	const struct slot *const *x = a, *const *y = b;

	return ((*x)->order > (*y)->order) - ((*x)->order < (*y)->order);
}

/* Those that are over lately, n_recent of them at most; then those under way. */
static struct case_id *suspects(const struct campaign *c, size_t n_recent, size_t *n)
{
	struct slot *busy[MOST_JOBS];
	size_t n_busy = 0;

	if (n_recent > c->n_recent)
		n_recent = c->n_recent;
	struct case_id *ids = malloc((n_recent + c->jobs + 1) * sizeof(*ids));
	if (!ids)
		abort();
	*n = 0;
	for (uint64_t i = c->n_recent - n_recent; i < c->n_recent; i++)
		ids[(*n)++] = c->recent[i % RECENT];
	for (unsigned i = 0; i < c->jobs; i++)
		if (c->slots[i].busy)
			busy[n_busy++] = &c->slots[i];
	qsort(busy, n_busy, sizeof(*busy), by_order);
	for (size_t i = 0; i < n_busy; i++)
		ids[(*n)++] = busy[i]->id;
	return ids;
}

void campaign_suspect_busy(struct campaign *c, const struct symptom *symptom)
{
	size_t n;
	struct case_id *ids = suspects(c, 0, &n);

	suspect(c, symptom, ids, n);
}

/* From who watches: playing stops, and what is under way is abandoned, so that the suspects stay few. */
void campaign_alarmed(void *context, const struct symptom *symptom)
{
	struct campaign *c = context;

	if (c->alarm.oracle == ORACLE_NONE)
		c->alarm = *symptom;
	c->drains = true;
	loop_stop(&c->loop);
}

/* The target did not come to life again, or a stranger's died: nothing is left to play against. */
static void give_up(struct campaign *c, const struct symptom *symptom)
{
	c->over = true;
	snprintf(c->result->ended, sizeof(c->result->ended), "the target is gone: %.150s", symptom->text);
}

static void restarted(struct campaign *c)
{
	player_address(c->range.player, warden_address(c->warden));
	c->n_epoch = 0;
	c->n_recent = 0;
	c->held_rss = 0;
	c->leaks_at_ns = campaign_now(c) + c->leaks_every_ns;
}

static void cleared_up(void *context, const struct played *played)
{
	struct campaign *c = ((struct slot *)context)->campaign;

	(void)played;
	c->busy--;
	loop_stop(&c->loop);
}

/* What those that were abandoned have left with the target takes memory, and rightly so. */
static void clear_up_abandoned(struct campaign *c)
{
	for (unsigned i = 0; i < c->jobs; i++) {
		struct slot *slot = &c->slots[i];

		if (!slot->abandoned || !janitor_follow(&slot->moves, &slot->after))
			continue;
		c->busy++;
		player_play(c->range.player, &slot->after, slot->id.number, NULL, NULL, cleared_up, slot);
	}
	while (c->busy && !campaign_interrupted())
		if (!loop_run(&c->loop))
			break;
	player_abandon(c->range.player);
	c->busy = 0;
}

static void look_later(struct campaign *c)
{
	c->leaks_every_ns = 2 * c->leaks_every_ns < LEAKS_S * SECOND ? 2 * c->leaks_every_ns : LEAKS_S * SECOND;
	c->leaks_at_ns = campaign_now(c) + c->leaks_every_ns;
}

/* An alarm is looked into before anybody is blamed: what is well again by then was none. ids: taken. */
static void look_into(struct campaign *c, struct case_id *ids, size_t n)
{
	struct symptom symptom = { 0 };

	if (c->alarm.oracle == ORACLE_MEMORY)
		clear_up_abandoned(c);
	warden_check(c->warden, c->alarm.oracle == ORACLE_MEMORY || c->alarm.oracle == ORACLE_CPU, &symptom);
	/* Whoever was ended by a stranger closed all its connections, and that is no symptom. */
	if (symptom.oracle == ORACLE_NONE && symptom.text[0] && c->alarm.oracle != ORACLE_SANITIZER) {
		free(ids);
		return;
	}
	/* A bystander is the first to notice that the target died. */
	if (c->alarm.oracle == ORACLE_BYSTANDER && symptom.oracle != ORACLE_DEATH && symptom.oracle != ORACLE_SANITIZER && symptom.oracle != ORACLE_LIVENESS)
		symptom = c->alarm;
	/* Whoever stalls others lets them go on in the end, or hangs: triage will tell. */
	if ((symptom.oracle == ORACLE_NONE || symptom.oracle == ORACLE_LIVENESS) && c->alarm.held)
		symptom = c->alarm;
	/* What was large for a moment is no symptom: who stays so is found at rest, or while its clients are there. */
	if (symptom.oracle == ORACLE_NONE && c->alarm.oracle != ORACLE_LIVENESS && c->alarm.oracle != ORACLE_LATENCY && c->alarm.oracle != ORACLE_CPU && c->alarm.oracle != ORACLE_MEMORY)
		symptom = c->alarm;
	if (symptom.oracle == ORACLE_NONE)
		free(ids);
	else
		suspect(c, &symptom, ids, n);
	if (symptom.oracle != ORACLE_NONE && symptom.oracle != ORACLE_BYSTANDER && symptom.oracle != ORACLE_MEMORY)
		c->range.spoilt = true;
}

static void suspect_epoch(struct campaign *c, const struct symptom *symptom)
{
	struct case_id *ids = malloc((c->n_epoch + 1) * sizeof(*ids));

	if (!ids)
		abort();
	memcpy(ids, c->epoch, c->n_epoch * sizeof(*ids));
	suspect(c, symptom, ids, c->n_epoch);
}

/* What it keeps and computes while nobody asks anything: nobody can see that while others play. */
static void look_at_rest(struct campaign *c)
{
	struct symptom symptom = { 0 };
	struct case_id *ids;
	size_t n;

	warden_check(c->warden, true, &symptom);
	if (symptom.oracle == ORACLE_NONE) {
		if (!warden_sees_leaks(c->warden)) {	/* else they may have leaked, and it is ended now */
			c->n_epoch = 0;
			look_later(c);
		}
		return;
	}
	c->range.spoilt = true;
	if (c->epoch) {
		suspect_epoch(c, &symptom);
	} else {
		ids = suspects(c, RECENT, &n);
		suspect(c, &symptom, ids, n);
	}
}

/* Ends the target in order, so that its leaks are told. */
static void look_for_leaks(struct campaign *c)
{
	struct symptom symptom = { 0 };

	if (!warden_restart(c->warden, true, &symptom)) {
		give_up(c, &symptom);
		return;
	}
	if (symptom.oracle != ORACLE_NONE && c->n_epoch)
		suspect_epoch(c, &symptom);
	look_later(c);
	restarted(c);
}

/* Makes the target fit to be played against again. */
static void recover(struct campaign *c)
{
	struct symptom symptom = { 0 };

	if (!c->range.spoilt)
		return;
	if (warden_can_restart(c->warden)) {
		if (!warden_restart(c->warden, false, &symptom))
			give_up(c, &symptom);
	} else {
		warden_check(c->warden, false, &symptom);
		if (symptom.oracle == ORACLE_DEATH || symptom.oracle == ORACLE_LIVENESS || symptom.oracle == ORACLE_SANITIZER)
			give_up(c, &symptom);
	}
	c->range.spoilt = false;
	if (!c->over)
		restarted(c);
}

void campaign_look(struct campaign *c)
{
	bool due = campaign_is_over(c) || campaign_now(c) >= c->leaks_at_ns;
	size_t n = 0;
	bool held = c->alarm.oracle == ORACLE_MEMORY && campaign_look_held(c);	/* who takes so much may be there still */
	struct case_id *ids = !held && c->alarm.oracle != ORACLE_NONE ? suspects(c, c->alarm.held ? MOST_JOBS - c->jobs : RECENT, &n) : NULL;	/* as long as it is known who was under way */

	campaign_rest(c);
	campaign_pause(c);
	if (ids)
		look_into(c, ids, n);
	else if (!c->n_pending && !c->once && due && !campaign_interrupts())
		look_at_rest(c);
	if (!ids && !c->range.spoilt && c->epoch && c->n_epoch && !c->n_pending && due && warden_sees_leaks(c->warden))
		look_for_leaks(c);
	for (unsigned i = 0; i < c->n_pending; i++) {
		if (!c->o->stop_at_first || !c->result->n_buckets)
			triage(c, &c->pending[i]);
		free(c->pending[i].ids);
	}
	c->over |= c->o->stop_at_first && c->result->n_buckets;
	c->n_pending = 0;
	recover(c);
	campaign_go_on(c);
}
