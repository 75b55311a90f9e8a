#include "fuzz/network/campaign_internal.h"

/*
 * What a target keeps and computes for clients that are connected and say nothing shows at no other time: while they talk there is reason for both, and when they have gone it is over.
 */

#define MS UINT64_C(1000000)
#define SECOND (1000 * MS)

enum { STEP_MS = 5, SETTLE_MS = 300, HELD_S = 5 };

/* Those that take their time are looked at as they are. */
static void wait_for_held(struct campaign *c)
{
	uint64_t until_ns = clock_now(&c->loop.clock) + SETTLE_MS * MS;

	while (player_held(c->range.player) < player_busy(c->range.player) && clock_now(&c->loop.clock) < until_ns)
		warden_rest(c->warden, STEP_MS * MS);
}

static void look_later(struct campaign *c)
{
	c->held_every_ns = 2 * c->held_every_ns < HELD_S * SECOND ? 2 * c->held_every_ns : HELD_S * SECOND;
	c->held_at_ns = campaign_now(c) + c->held_every_ns;
}

bool campaign_look_held(struct campaign *c)
{
	struct symptom symptom;
	bool drains = c->drains;

	c->looks_held = false;
	c->drains = true;		/* nobody comes meanwhile */
	campaign_pause(c);
	player_hold(c->range.player, true);
	wait_for_held(c);
	warden_look_held(c->warden, c->held_rss > warden_baseline(c->warden)->rss ? c->held_rss : warden_baseline(c->warden)->rss, &symptom);
	if (symptom.oracle != ORACLE_NONE && player_held(c->range.player)) {
		campaign_suspect_busy(c, &symptom);
		c->range.spoilt = true;
	}
	player_hold(c->range.player, false);
	c->held_rss = warden_rss(c->warden);
	campaign_go_on(c);
	look_later(c);
	c->drains = drains || symptom.oracle != ORACLE_NONE;
	return symptom.oracle != ORACLE_NONE;
}
