#ifndef FUZZ_NETWORK_CAMPAIGN_INTERNAL_H
#define FUZZ_NETWORK_CAMPAIGN_INTERNAL_H

#include "fuzz/network/bystander.h"
#include "fuzz/network/campaign.h"
#include "fuzz/network/cases.h"
#include "fuzz/network/player.h"
#include "fuzz/network/range.h"

/* The inside of a campaign, shared by campaign*.c and triage.c and by nobody else. */

enum { MOST_JOBS = 256, RECENT = 2048, MOST_PENDING = 32, MOST_STATES = 1 << 16, MOST_EPOCH = 1 << 20 };

struct slot {				/* a case under way */
	struct campaign *campaign;
	struct case_id id;
	uint64_t order;			/* in which it began */
	bool busy, clears_up, abandoned;
	struct moves moves, after;
};

/* What has shown, and which cases may have done it: in the order they began, the likeliest last. */
struct suspicion {
	struct symptom symptom;
	uint64_t at_ns;			/* since the campaign began, without triage */
	struct case_id *ids;		/* given */
	size_t n;
};

struct campaign {
	const struct campaign_options *o;
	struct campaign_result *result;
	struct loop loop;
	struct warden *warden;
	struct range range;
	struct bystander *bystander;
	struct seeds seeds;
	struct cases *cases;
	struct slot *slots;
	unsigned jobs, busy;
	unsigned silent;			/* cases in a row that were told nothing */
	uint64_t order;

	struct case_id recent[RECENT];		/* the last that were done, a ring */
	uint64_t n_recent;
	struct case_id *epoch;			/* all since the target was started, or since all was well at rest; where it can be made new */
	size_t n_epoch;

	uint32_t states[MOST_STATES];		/* hashes of answers; 0: free */
	struct suspicion pending[MOST_PENDING];
	unsigned n_pending;
	struct symptom alarm;			/* of who watches; ORACLE_NONE */
	struct unconfirmed {			/* what was told and showed in no trial: not tried again and again */
		char bucket[160];
		unsigned n;
		uint64_t took_ns;		/* of triage */
	} unconfirmed[MOST_PENDING];
	unsigned n_unconfirmed;
	bool drains;				/* nothing new is begun */
	bool once;				/* --case: one is played */
	bool over;

	uint64_t began_ns, paused_ns;		/* triage and checks are not counted */
	uint64_t paused_at_ns;			/* 0: it plays */
	struct timer end, tick, pace;
	double allowance;			/* cases that --rate still lets begin */
	uint64_t allowed_ns;
	uint64_t leaks_at_ns, leaks_every_ns;	/* when the target is looked at while nobody plays next, and ended in order if that tells its leaks; soon at first: few cases are suspects then */
	uint64_t held_at_ns, held_every_ns;	/* when it is looked at while clients are there, and silent */
	uint64_t held_rss;			/* what it took when the last such look was over; 0: none was, of this process */
	bool looks_held;			/* that is due */
	uint64_t shown_cases, shown_ns;
	double per_s;
};

/* campaign.c */
unsigned campaign_interrupts(void);	/* signals so far that ask it to end */
void campaign_pause(struct campaign *c);	/* its time stands still */
void campaign_go_on(struct campaign *c);
uint64_t campaign_now(const struct campaign *c);	/* since it began, without what it paused for */
bool campaign_interrupted(void);

/* campaign_play.c */
bool campaign_is_over(const struct campaign *c);
void campaign_play(struct campaign *c);		/* until it is over, or something has shown */
void campaign_play_once(struct campaign *c);	/* --case: one case with every oracle */
void campaign_rest(struct campaign *c);		/* nobody plays or watches any more; who did is abandoned */

/* campaign_look.c */
void campaign_suspect(struct campaign *c, const struct symptom *symptom, struct case_id id);
void campaign_suspect_busy(struct campaign *c, const struct symptom *symptom);	/* whoever is under way */
void campaign_alarmed(void *context, const struct symptom *symptom);	/* for whom watches; context is the campaign */
struct unconfirmed *campaign_unconfirmed_of(struct campaign *c, const struct symptom *symptom);	/* of its bucket; NULL: there is no more room */
void campaign_look(struct campaign *c);		/* after it has played: what has shown is looked into, tried and told; the target is made fit again */

/* campaign_held.c: all that is under way plays on to its last move and stays connected, and the target is looked at; then it goes on. True: something has shown. */
bool campaign_look_held(struct campaign *c);

/* triage.c: minimises, repeats and writes down what has shown; counts it. */
void triage(struct campaign *c, const struct suspicion *suspicion);

/* campaign_report.c */
void campaign_began(const struct campaign *c);
void campaign_progress(struct campaign *c);
void campaign_found(const struct campaign *c, const struct bucket_count *bucket, const char *title);
void campaign_unconfirmed(const struct campaign *c, const struct symptom *symptom);
void campaign_ended(const struct campaign *c);

#endif
