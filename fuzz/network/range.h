#ifndef FUZZ_NETWORK_RANGE_H
#define FUZZ_NETWORK_RANGE_H

#include "fuzz/network/bystander.h"
#include "fuzz/network/player.h"
#include "fuzz/network/trial.h"
#include "fuzz/network/warden.h"

/*
 * Where it is tried: the target with who watches it and who plays against it, and trials on them. One at a time: a campaign that wants a trial plays nothing meanwhile.
 */
struct range {
	struct trial trial;			/* first; see trial.h */
	struct loop *loop;
	struct warden *warden;
	struct player *player;
	struct span user_name, password;
	uint8_t version;			/* that a bystander speaks */
	uint64_t within_ns;			/* what a bystander's message may take */
	bool (*interrupted)(void);

	/* Of the trial at hand. */
	struct symptom sought;			/* only what has this bucket counts as shown; ORACLE_NONE: whatever shows */
	uint64_t n_names;			/* cases tried: each has names of its own */
	bool spoilt;				/* the target has shown something: it has to be made new before it is judged again */
	unsigned repeats;			/* ORACLE_MEMORY: how often the cases are played to be seen */
	uint64_t grows;				/* and how many bytes more than before show it */
	uint64_t until_ns;			/* they are played no longer than that */
};

/* The rest is the caller's to fill in. */
void range_init(struct range *range);

/* What the trials to come look for; repeats and patience are chosen by its oracle. */
void range_seek(struct range *range, const struct symptom *sought);
void range_done(struct range *range);		/* patience as it was; the target is made new if it was spoilt and can be */

/* Cases that are made when they are played: too many to be held. */
struct source {
	void (*make)(void *context, size_t i, struct moves *moves);
	void *context;
	size_t n;
};
/* A trial of them, some at once. As trial.run(). */
bool range_try(struct range *range, const struct source *source, struct symptom *symptom);

/* For struct player_options.accepted of the range's player while trials go on: everything but what is sought. */
bool range_accepts(const struct range *range, uint8_t version, const char *clause);

enum {
	RANGE_FIRST_NAME = 1 << 30,	/* names of trials do not meet those of cases */
	RANGE_HELD = 32,		/* cases of a trial of what is `held` at most */
};

#endif
