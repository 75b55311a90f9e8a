#include <stddef.h>
#include <stdio.h>

#include "fuzz/network/campaign_internal.h"
#include "fuzz/network/janitor.h"

/* A campaign plays: cases begun and done, what is new about them, and who watches meanwhile. */

#define MS UINT64_C(1000000)
#define SECOND (1000 * MS)

enum { WATCH_MS = 100, TICK_MS = 250, MOST_SILENT = 8 };

/* ---- cases ---- */

/* New answers are kept, and with them the case that led there. */
static bool is_new(struct campaign *c, uint32_t answer)
{
	uint32_t at = answer % MOST_STATES;

	if (!answer || c->result->states > MOST_STATES / 2)
		return false;
	while (c->states[at] && c->states[at] != answer)
		at = (at + 1) % MOST_STATES;
	if (c->states[at])
		return false;
	c->states[at] = answer;
	c->result->states++;
	return true;
}

static void feed(struct campaign *c);

static void account(struct campaign *c, struct slot *slot, const struct played *played)
{
	bool led = false;

	c->result->cases++;
	c->result->packets += played->n_sent + played->n_received;
	for (unsigned i = 0; i < played->n_answers; i++)
		led |= is_new(c, played->answers[i]);
	if (led && !c->once)
		cases_keep(c->cases, slot->id);
	c->result->kept = (unsigned)cases_kept(c->cases);
	c->silent = played->n_received ? 0 : c->silent + 1;
	bool was_in = played->n_sent || !played->n_refused;	/* who was not let in has done nothing */
	if (was_in)
		c->recent[c->n_recent++ % RECENT] = slot->id;
	if (was_in && c->epoch && c->n_epoch < MOST_EPOCH)
		c->epoch[c->n_epoch++] = slot->id;
	if (played->symptom.oracle != ORACLE_NONE)
		campaign_suspect(c, &played->symptom, slot->id);
}

static void case_done(void *context, const struct played *played)
{
	struct slot *slot = context;
	struct campaign *c = slot->campaign;

	if (!slot->clears_up) {
		account(c, slot, played);
		if (janitor_follow(&slot->moves, &slot->after)) {
			slot->clears_up = true;
			player_play(c->range.player, &slot->after, slot->id.number, NULL, NULL, case_done, slot);
			return;
		}
	}
	slot->busy = false;
	c->busy--;
	if (played->n_refused && !played->n_received)
		c->drains |= c->alarm.oracle != ORACLE_NONE;
	feed(c);
}

bool campaign_is_over(const struct campaign *c)
{
	return c->over || campaign_interrupts() || (c->o->cases && c->order >= c->o->cases) || (c->o->for_ns && campaign_now(c) >= c->o->for_ns);
}

/* What --rate lets begin, with room for a tenth of a second. */
static bool allowed(struct campaign *c)
{
	uint64_t now = clock_now(&c->loop.clock);
	double most = (double)c->o->rate / 10 + 1;

	if (!c->o->rate)
		return true;
	c->allowance += (double)(now - c->allowed_ns) * 1e-9 * (double)c->o->rate;
	c->allowed_ns = now;
	if (c->allowance > most)
		c->allowance = most;
	if (c->allowance < 1) {
		loop_timer(&c->loop, &c->pace, now + (uint64_t)((1 - c->allowance) / (double)c->o->rate * 1e9) + 1);
		return false;
	}
	c->allowance -= 1;
	return true;
}

static void begin(struct campaign *c, struct slot *slot, struct case_id id)
{
	slot->campaign = c;
	slot->id = id;
	slot->order = c->order++;
	slot->busy = true;
	slot->clears_up = false;
	c->busy++;
	cases_make(c->cases, id, &slot->moves, NULL);
	player_play(c->range.player, &slot->moves, id.number, NULL, NULL, case_done, slot);
}

static void feed(struct campaign *c)
{
	for (unsigned i = 0; i < c->jobs && !c->drains; i++) {
		if (c->slots[i].busy)
			continue;
		if (campaign_is_over(c))
			c->drains = true;
		else if (c->silent >= MOST_SILENT && c->busy)	/* it is dying, and writes why: who comes now only hides who did it */
			break;
		else if (allowed(c))
			begin(c, &c->slots[i], cases_next(c->cases));
		else
			break;
	}
	if (c->drains && !c->busy)
		loop_stop(&c->loop);
}

/* ---- time ---- */

static void on_tick(struct timer *timer, struct loop *loop)
{
	struct campaign *c = (struct campaign *)((char *)timer - offsetof(struct campaign, tick));

	campaign_progress(c);
	if (campaign_is_over(c) || (warden_baseline(c->warden)->rss && campaign_now(c) >= c->leaks_at_ns))
		c->drains = true;
	c->looks_held = !c->once && !c->drains && warden_baseline(c->warden)->rss && campaign_now(c) >= c->held_at_ns;
	if (campaign_interrupts() > 1 || (c->drains && !c->busy) || c->looks_held)
		loop_stop(loop);
	loop_timer(loop, timer, loop->now_ns + TICK_MS * MS);
}

static void on_pace(struct timer *timer, struct loop *loop)
{
	(void)loop;
	feed((struct campaign *)((char *)timer - offsetof(struct campaign, pace)));
}

/* ---- phases ---- */

static void watch(struct campaign *c)
{
	uint64_t worst = warden_baseline(c->warden)->worst_ns;

	warden_watch(c->warden, WATCH_MS * MS, campaign_alarmed, c);
	c->range.within_ns = c->o->target.timeout_ns;
	/* An answer that is later than anything in the baseline by far is not waited for: others go on meanwhile. */
	player_patience(c->range.player, worst * 4 < 20 * MS ? 20 * MS : worst * 4 < SECOND ? worst * 4 : SECOND);
	c->bystander = bystander_new(&c->loop, warden_address(c->warden), c->range.user_name, c->range.password, c->range.version, 20 * MS, c->range.within_ns, campaign_alarmed, c);
}

void campaign_rest(struct campaign *c)
{
	warden_watch(c->warden, 0, NULL, NULL);
	bystander_free(c->bystander);
	c->bystander = NULL;
	loop_timer_stop(&c->loop, &c->tick);
	loop_timer_stop(&c->loop, &c->pace);
	player_abandon(c->range.player);
	player_hold(c->range.player, false);
	for (unsigned i = 0; i < c->jobs; i++) {
		c->slots[i].abandoned = c->slots[i].busy;
		c->slots[i].busy = false;
	}
	c->busy = 0;
}

void campaign_play(struct campaign *c)
{
	c->drains = false;
	c->silent = 0;
	c->alarm = (struct symptom){ 0 };
	watch(c);
	c->tick.fire = on_tick;
	c->pace.fire = on_pace;
	loop_timer(&c->loop, &c->tick, clock_now(&c->loop.clock) + TICK_MS * MS);
	feed(c);
	while (!(c->drains && !c->busy) && c->alarm.oracle == ORACLE_NONE && campaign_interrupts() < 2) {
		if (!loop_run(&c->loop))
			break;
		if (c->looks_held && c->alarm.oracle == ORACLE_NONE && campaign_look_held(c))
			break;
		if (!c->drains)
			feed(c);
	}
}

/* --case: one case with every oracle, as often as it takes to be told. */
void campaign_play_once(struct campaign *c)
{
	struct fault fault;
	struct case_id id;

	cases_find(c->cases, c->o->only, &id, &fault);
	c->drains = false;
	watch(c);
	c->tick.fire = on_tick;
	loop_timer(&c->loop, &c->tick, clock_now(&c->loop.clock) + TICK_MS * MS);
	begin(c, &c->slots[0], id);
	c->over = c->drains = true;
	while (c->busy && c->alarm.oracle == ORACLE_NONE && campaign_interrupts() < 2)
		if (!loop_run(&c->loop))
			break;
	if (c->alarm.oracle == ORACLE_NONE) {		/* what the watch has had no time for */
		warden_check(c->warden, true, &c->alarm);
		c->slots[0].busy = c->alarm.oracle != ORACLE_NONE;
	}
	campaign_look(c);
}
