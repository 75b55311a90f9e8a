#include "fuzz/network/range.h"

#include <string.h>

#include "fuzz/network/janitor.h"

enum { MEMORY_PLAYS = 2000, AT_ONCE = RANGE_HELD, MANY = 8, REFUSALS = 3 };
#define MS UINT64_C(1000000)
#define STEP_NS (5 * MS)
#define STALLED_NS (100 * MS)		/* who is stalled says no more: others are asked soon */
#define LONGEST_NS (5000 * MS)		/* that cases are played again and again in one trial */

/* ---- playing ---- */

/* Cases of one trial, some at once where it is their sum that shows. */
struct round {
	struct range *range;
	const struct moves *const *cases;	/* or */
	const struct source *source;
	size_t n, begun, under_way, at_once, n_plays;
	uint64_t until_ns;			/* no more are begun */
	unsigned n_refused;
	struct moves after[AT_ONCE], made[AT_ONCE];
	struct tap *tap;
	struct moves *did;
	struct symptom *symptom;		/* of the first that shows what is sought */
	bool over;
};

struct turn {
	struct round *round;
	const struct moves *moves;
	uint64_t name;
	struct moves *after, *did;
	bool clears_up;
};

static struct turn turns[AT_ONCE];

static void begin(struct turn *turn);

static bool shows(const struct range *range, const struct symptom *symptom)
{
	return symptom->oracle != ORACLE_NONE && (range->sought.oracle == ORACLE_NONE || !strcmp(symptom->bucket, range->sought.bucket));
}

/*
 * What is judged is what will be told: the case, and nothing that clears up behind it. But where what one case leaves may harm the next, and where memory is looked at, since what clients may leave takes some.
 */
static bool clears_up_behind(const struct round *round)
{
	return round->range->sought.oracle == ORACLE_MEMORY || (round->range->sought.oracle == ORACLE_RULE && round->n > 1);
}

static void turn_done(void *context, const struct played *played)
{
	struct turn *turn = context;
	struct round *round = turn->round;

	if (!turn->clears_up && shows(round->range, &played->symptom) && round->symptom->oracle == ORACLE_NONE)
		*round->symptom = played->symptom;
	/* One that cannot be connected to any more has died, or will be found to; but for a moment anybody may be full. */
	if (played->n_refused && !played->n_received && !played->n_sent && !turn->clears_up && round->n_refused++ < REFUSALS) {
		player_play(round->range->player, turn->moves, turn->name, round->tap, turn->did, turn_done, turn);
		return;
	}
	if (played->n_refused && played->n_received == 0)
		round->over = true;
	if (clears_up_behind(round) && !turn->clears_up && !round->over && janitor_follow(turn->moves, turn->after)) {
		turn->clears_up = true;
		player_play(round->range->player, turn->after, turn->name, round->tap, NULL, turn_done, turn);
		return;
	}
	round->under_way--;
	begin(turn);
}

static void begin(struct turn *turn)
{
	struct round *round = turn->round;
	struct range *range = round->range;

	if (!round->over && round->n_plays != round->n)		/* thousands that take their time would take all of it */
		round->over = clock_now(&range->loop->clock) >= round->until_ns;
	if (round->over || round->begun == round->n_plays) {
		if (!round->under_way)
			loop_stop(range->loop);
		return;
	}
	if (round->source) {
		struct moves *made = &round->made[turn - turns];

		round->source->make(round->source->context, round->begun % round->n, made);
		turn->moves = made;
	} else {
		turn->moves = round->cases[round->begun % round->n];
	}
	turn->clears_up = false;
	/* Where growth is looked for the names are the same again and again: what clients may leave by right is left once. */
	turn->name = RANGE_FIRST_NAME + range->n_names + (round->n_plays == round->n ? 0 : (uint64_t)(turn - turns));
	range->n_names += round->n_plays == round->n;
	round->begun++;
	round->under_way++;
	turn->did = round->begun == round->n_plays ? round->did : NULL;
	player_play(range->player, turn->moves, turn->name, round->tap, turn->did, turn_done, turn);
}

/* What a trial plays: one of these. */
struct matter {
	const struct moves *const *cases;
	const struct source *source;
	size_t n;
};

/* False: not all of it was played. */
static bool play(struct range *range, const struct matter *matter, size_t n_plays, struct tap *tap, struct moves *did, struct symptom *symptom)
{
	static struct round round;

	round.range = range;
	round.cases = matter->cases;
	round.source = matter->source;
	round.n = matter->n;
	round.n_plays = n_plays;
	round.begun = round.under_way = round.n_refused = 0;
	round.at_once = n_plays > MANY ? AT_ONCE : 1;
	round.tap = tap;
	round.did = did;
	round.symptom = symptom;
	round.over = false;
	round.until_ns = range->until_ns;
	for (size_t i = 0; i < round.at_once; i++)
		turns[i] = (struct turn){ .round = &round, .after = &round.after[i] };
	for (size_t i = 0; i < round.at_once && round.begun < n_plays && !round.over; i++)
		begin(&turns[i]);
	while (round.under_way && !range->interrupted())
		if (!loop_run(range->loop))
			break;
	player_abandon(range->player);
	return !round.over && round.begun == n_plays;
}

/* ---- looking ---- */

static bool asks_resources(const struct range *range)
{
	return range->sought.oracle == ORACLE_CPU && !range->sought.held;
}

/* Told when it ends, and not before. */
static bool is_leak(const struct symptom *symptom)
{
	return !strncmp(symptom->bucket, "sanitizer leak", 14);
}

static void saw(struct symptom *shown, const struct range *range, const struct symptom *seen)
{
	if (shown->oracle == ORACLE_NONE && shows(range, seen))
		*shown = *seen;
}

/* What has grown, against the same number of plays before: the first fill what caches a target has. */
static void look_at_memory(struct range *range, const struct matter *matter, struct symptom *shown)
{
	struct symptom seen = { 0 };
	uint64_t before, after;

	range->until_ns = clock_now(&range->loop->clock) + LONGEST_NS;
	if (!play(range, matter, range->repeats / 4, NULL, NULL, &seen))
		return;
	warden_check(range->warden, false, &seen);
	before = warden_rss(range->warden);
	if (!play(range, matter, range->repeats, NULL, NULL, &seen))
		return;
	warden_check(range->warden, false, &seen);
	after = warden_rss(range->warden);
	if (before && after > before + range->grows)
		*shown = range->sought;
}

static void held_done(void *context, const struct played *played)
{
	(void)context, (void)played;		/* its connections are gone: what is left is looked at all the same */
}

/* All at once, on to their last moves: then they stay connected and say nothing, and the target is looked at. */
static void look_held(struct range *range, const struct matter *matter, struct tap *tap, struct moves *did, struct symptom *shown)
{
	static struct moves made[AT_ONCE];
	struct symptom seen;
	bool stall = range->sought.oracle == ORACLE_LATENCY;
	uint64_t before, until_ns;

	warden_look_held(range->warden, 0, &seen);	/* who has just started may be busy with himself */
	if (seen.oracle != ORACLE_NONE)
		return;
	until_ns = clock_now(&range->loop->clock) + (stall ? STALLED_NS : LONGEST_NS);
	before = warden_rss(range->warden);
	player_hold(range->player, true);
	for (size_t i = 0; i < matter->n && i < AT_ONCE; i++) {
		const struct moves *moves = matter->cases ? matter->cases[i] : &made[i];
		bool last = i + 1 == matter->n;

		if (matter->source)
			matter->source->make(matter->source->context, i, &made[i]);
		player_play(range->player, moves, RANGE_FIRST_NAME + range->n_names++, last ? tap : NULL, last ? did : NULL, held_done, NULL);
	}
	while (player_held(range->player) < player_busy(range->player) && clock_now(&range->loop->clock) < until_ns && !range->interrupted())
		warden_rest(range->warden, STEP_NS);
	if (stall)
		warden_look_stalled(range->warden, &seen);
	else
		warden_look_held(range->warden, before, &seen);
	player_abandon(range->player);
	player_hold(range->player, false);
	saw(shown, range, &seen);
}

static bool make_new(struct range *range, struct symptom *symptom)
{
	if (!range->spoilt)
		return true;
	if (!warden_can_restart(range->warden)) {
		warden_check(range->warden, false, symptom);
		return symptom->oracle == ORACLE_NONE || symptom->oracle == ORACLE_RULE || symptom->oracle == ORACLE_LATENCY || symptom->oracle == ORACLE_CPU;
	}
	if (!warden_restart(range->warden, false, symptom))
		return false;
	player_address(range->player, warden_address(range->warden));
	range->spoilt = false;
	return true;
}

static void unnoticed(void *context, const struct symptom *symptom)
{
	(void)context, (void)symptom;		/* bystander_settle() says what it noticed */
}

static void cleared_up(void *context, const struct played *played)
{
	(void)played;
	loop_stop(((struct range *)context)->loop);
}

/* Behind one that was judged, on a target that goes on. */
static void clear_up(struct range *range, const struct moves *moves)
{
	static struct moves after;

	if (!janitor_follow(moves, &after))
		return;
	player_play(range->player, &after, RANGE_FIRST_NAME + range->n_names - 1, NULL, NULL, cleared_up, range);
	while (player_busy(range->player) && !range->interrupted())
		if (!loop_run(range->loop))
			break;
	player_abandon(range->player);
}

/* Who was found to keep or to compute nothing for those who are there is as well as before. */
static bool spoils(const struct range *range, const struct symptom *shown)
{
	if (range->sought.held)
		return shown->oracle != ORACLE_NONE;
	return range->sought.oracle == ORACLE_MEMORY || range->sought.oracle == ORACLE_CPU || range->sought.oracle == ORACLE_BYSTANDER;
}

static bool try(struct range *range, const struct matter *matter, struct tap *tap, struct moves *did, struct symptom *shown)
{
	struct bystander *bystander = NULL;
	struct symptom seen = { 0 };

	*shown = (struct symptom){ 0 };
	range->trial.n_run++;
	if (range->interrupted() || !make_new(range, shown))
		return false;
	if (range->sought.oracle == ORACLE_BYSTANDER)
		bystander = bystander_new(range->loop, warden_address(range->warden), range->user_name, range->password, range->version, 5 * MS, range->within_ns,
		                          unnoticed, NULL);
	if (bystander && !bystander_settle(bystander, &seen))	/* who is not there cannot be harmed */
		saw(shown, range, &seen);
	else if (range->sought.held)
		look_held(range, matter, tap, did, shown);
	else if (range->sought.oracle == ORACLE_MEMORY && !tap && !did)
		look_at_memory(range, matter, shown);
	else
		play(range, matter, matter->n, tap, did, shown);
	if (bystander && !bystander_settle(bystander, &seen))
		saw(shown, range, &seen);
	bystander_free(bystander);
	warden_check(range->warden, asks_resources(range), &seen);
	/* Whatever it is, also what is not looked for now: nothing is judged on a target that is not well. */
	range->spoilt = seen.oracle != ORACLE_NONE || spoils(range, shown);
	saw(shown, range, &seen);
	if (!range->spoilt && matter->cases && matter->n == 1)
		clear_up(range, matter->cases[0]);
	if (is_leak(&range->sought) && shown->oracle == ORACLE_NONE && warden_can_restart(range->warden)) {
		seen = (struct symptom){ 0 };
		range->spoilt = !warden_restart(range->warden, true, &seen);
		player_address(range->player, warden_address(range->warden));
		saw(shown, range, &seen);
	}
	return true;
}

/* ---- the range ---- */

static bool run(struct trial *trial, const struct moves *const *cases, size_t n, struct tap *tap, struct moves *did, struct symptom *symptom)
{
	return try((struct range *)trial, &(struct matter){ .cases = cases, .n = n }, tap, did, symptom);
}

bool range_try(struct range *range, const struct source *source, struct symptom *symptom)
{
	return try(range, &(struct matter){ .source = source, .n = source->n }, NULL, NULL, symptom);
}

static uint64_t now_ns(struct trial *trial)
{
	const struct clock *clock = &((struct range *)trial)->loop->clock;

	return clock_now(clock);
}

void range_init(struct range *range)
{
	range->trial = (struct trial){ .run = run, .now_ns = now_ns };
	range->repeats = MEMORY_PLAYS;
	range->grows = 4 << 20;
}

void range_seek(struct range *range, const struct symptom *sought)
{
	range->sought = *sought;
	range->spoilt |= sought->oracle != ORACLE_RULE;		/* which leaves a target as well as it was */
	warden_haste(range->warden, sought->oracle == ORACLE_LIVENESS || (sought->held && sought->oracle != ORACLE_LATENCY) || sought->oracle == ORACLE_CPU);
}

void range_done(struct range *range)
{
	struct symptom symptom;

	range->sought = (struct symptom){ 0 };
	warden_haste(range->warden, false);
	make_new(range, &symptom);
}

bool range_accepts(const struct range *range, uint8_t version, const char *clause)
{
	return range->sought.oracle != ORACLE_NONE &&
	       (range->sought.oracle != ORACLE_RULE || version != range->sought.version || strcmp(clause, range->sought.clause));
}
