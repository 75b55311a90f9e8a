#include "fuzz/network/campaign_internal.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fuzz/network/janitor.h"
#include "harness/cli.h"
#include "harness/console.h"
#include "harness/known.h"

#define MS UINT64_C(1000000)
#define SECOND (1000 * MS)

enum { WATCH_MS = 100, TICK_MS = 250, FIRST_LEAKS_S = 2, LEAKS_S = 20, MOST_BUCKETS = 1000, MOST_UNCONFIRMED = 3, MOST_SILENT = 8 };

static volatile sig_atomic_t interrupts, enough = 1;	/* so many end it at once: one before the first case, then two */

static void interrupt(int sig)
{
	interrupts++;
	if (interrupts > 2)		/* whoever asks three times means it */
		_exit(128 + sig);
}

bool campaign_interrupted(void)
{
	return interrupts >= enough;	/* once: no new cases, what was found is written; twice: triage too */
}

uint64_t campaign_now(const struct campaign *c)
{
	uint64_t now = c->paused_at_ns ? c->paused_at_ns : clock_now(&c->loop.clock);

	return now - c->began_ns - c->paused_ns;
}

static void pause_clock(struct campaign *c)
{
	c->paused_at_ns = clock_now(&c->loop.clock);
}

static void go_on(struct campaign *c)
{
	uint64_t now = clock_now(&c->loop.clock);

	c->paused_ns += now - c->paused_at_ns;
	c->result->triage_ns += now - c->paused_at_ns;
	c->paused_at_ns = 0;
}

/* ---- what has shown ---- */

struct bucket_count *campaign_bucket(struct campaign *c, const struct symptom *symptom)
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

/* ids: given. */
static void suspect(struct campaign *c, const struct symptom *symptom, struct case_id *ids, size_t n)
{
	struct bucket_count *bucket = campaign_bucket(c, symptom);

	if (bucket)
		bucket->hits++;
	if (!n)			/* there is nothing to play again */
		console_error("%s, though nobody had played since it was started: no case is to blame", console_safe(symptom->text));
	if (!n || bucket || c->unconfirmed[symptom->oracle] == MOST_UNCONFIRMED || c->n_pending == MOST_PENDING ||
	    c->result->n_buckets + c->n_pending == MOST_BUCKETS || waits_for_triage(c, symptom)) {
		free(ids);
		return;
	}
	c->pending[c->n_pending++] = (struct suspicion){ .symptom = *symptom, .at_ns = campaign_now(c), .ids = ids, .n = n };
	c->drains = true;
}

static void suspect_one(struct campaign *c, const struct symptom *symptom, struct case_id id)
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

/* Those that are over lately, then those under way. */
static struct case_id *suspects(const struct campaign *c, size_t *n)
{
	struct slot *busy[MOST_JOBS];
	size_t n_busy = 0, n_recent = c->n_recent < RECENT ? c->n_recent : RECENT;
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

/* From who watches: playing stops, and what is under way is abandoned, so that the suspects stay few. */
static void alarmed(void *context, const struct symptom *symptom)
{
	struct campaign *c = context;

	if (c->alarm.oracle == ORACLE_NONE)
		c->alarm = *symptom;
	c->drains = true;
	loop_stop(&c->loop);
}

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
static void case_done(void *context, const struct played *played);

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
		suspect_one(c, &played->symptom, slot->id);
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

static bool is_over(const struct campaign *c)
{
	return c->over || interrupts || (c->o->cases && c->order >= c->o->cases) || (c->o->for_ns && campaign_now(c) >= c->o->for_ns);
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
		if (is_over(c))
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
	if (is_over(c) || (warden_baseline(c->warden)->rss && campaign_now(c) >= c->leaks_at_ns))
		c->drains = true;
	if (interrupts > 1 || (c->drains && !c->busy))
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

	warden_watch(c->warden, WATCH_MS * MS, alarmed, c);
	c->range.within_ns = c->o->target.timeout_ns;
	/* An answer that is later than anything in the baseline by far is not waited for: others go on meanwhile. */
	player_patience(c->range.player, worst * 4 < 20 * MS ? 20 * MS : worst * 4 < SECOND ? worst * 4 : SECOND);
	c->bystander = bystander_new(&c->loop, warden_address(c->warden), c->range.user_name, c->range.password, c->range.version, 20 * MS, c->range.within_ns, alarmed, c);
}

static void rest(struct campaign *c)
{
	warden_watch(c->warden, 0, NULL, NULL);
	bystander_free(c->bystander);
	c->bystander = NULL;
	loop_timer_stop(&c->loop, &c->tick);
	loop_timer_stop(&c->loop, &c->pace);
	player_abandon(c->range.player);
	for (unsigned i = 0; i < c->jobs; i++) {
		c->slots[i].abandoned = c->slots[i].busy;
		c->slots[i].busy = false;
	}
	c->busy = 0;
}

static void play(struct campaign *c)
{
	c->drains = false;
	c->silent = 0;
	c->alarm = (struct symptom){ 0 };
	watch(c);
	c->tick.fire = on_tick;
	c->pace.fire = on_pace;
	loop_timer(&c->loop, &c->tick, clock_now(&c->loop.clock) + TICK_MS * MS);
	feed(c);
	while (!(c->drains && !c->busy) && c->alarm.oracle == ORACLE_NONE && interrupts < 2)
		if (!loop_run(&c->loop))
			break;
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
	if (symptom.oracle == ORACLE_NONE && c->alarm.oracle != ORACLE_LIVENESS && c->alarm.oracle != ORACLE_LATENCY && c->alarm.oracle != ORACLE_CPU)
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
		ids = suspects(c, &n);
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

static void after_playing(struct campaign *c)
{
	bool due = is_over(c) || campaign_now(c) >= c->leaks_at_ns;
	size_t n = 0;
	struct case_id *ids = c->alarm.oracle != ORACLE_NONE ? suspects(c, &n) : NULL;	/* as long as it is known who was under way */

	rest(c);
	pause_clock(c);
	if (ids)
		look_into(c, ids, n);
	else if (!c->n_pending && !c->once && due && !interrupts)
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
	go_on(c);
}

/* ---- the whole ---- */

static bool accepted(void *context, uint8_t version, const char *clause)
{
	const struct campaign *c = context;
	char rule[64];

	if (range_accepts(&c->range, version, clause))
		return true;
	snprintf(rule, sizeof(rule), "%s:%s", version_text(version), clause);
	for (size_t i = 0; c->o->known && i < c->o->known->n_rows; i++) {
		const struct known_row *row = &c->o->known->rows[i];

		if (!strcmp(row->rule, rule) && (!strcmp(row->target, "*") || !strcmp(row->target, c->o->label)))
			return true;
	}
	return false;
}

/* Before anything is played in vain. */
static int open_folder(const char *folder)
{
	struct stat st;

	if (!mkdir(folder, 0777) || (errno == EEXIST && !stat(folder, &st) && S_ISDIR(st.st_mode) && !access(folder, W_OK)))
		return 0;
	console_error("make the folder %s for findings: %s", console_safe(folder), errno == EEXIST ? "there is a file of that name" : strerror(errno));
	return EXIT_UNABLE;
}

static int open_target(struct campaign *c)
{
	char why[400];
	int code = open_folder(c->o->folder);

	if (code)
		return code;
	struct warden_options options = c->o->target;
	options.loop = &c->loop;
	options.folder = c->o->folder;
	options.interrupted = campaign_interrupted;
	c->warden = warden_new(&options, why, sizeof(why));
	if (!c->warden) {
		console_error("%s: %s", console_safe(c->o->label), why);
		return EXIT_UNABLE;
	}
	return 0;
}

static int choose_versions(struct campaign *c, unsigned *versions)
{
	unsigned served = warden_baseline(c->warden)->versions;

	*versions = c->o->versions ? c->o->versions & served : served;
	if (!*versions) {
		console_error("%s: it does not serve %s", console_safe(c->o->label), c->o->versions ? "the version that --mqtt names" : "any version of MQTT");
		return EXIT_UNABLE;
	}
	c->range.version = served & 1u << MQTT_5 ? MQTT_5 : served & 1u << MQTT_3_1_1 ? MQTT_3_1_1 : MQTT_3_1;
	return 0;
}

static int prepare(struct campaign *c)
{
	struct fault fault;
	struct case_id id;
	unsigned versions;
	int code = choose_versions(c, &versions);

	if (code)
		return code;
	if (!seeds_make(&c->seeds, versions) || !c->seeds.n) {
		console_error("no seeds could be made of the scenarios");
		return EXIT_UNABLE;
	}
	c->cases = cases_new(&c->seeds, c->o->seed, c->o->valid_only);
	c->jobs = c->o->jobs > MOST_JOBS ? MOST_JOBS : c->o->jobs;
	if (c->o->only) {
		if (!cases_find(c->cases, c->o->only, &id, &fault)) {
			console_error("--case %s", fault.text);
			return EXIT_USAGE;
		}
		c->once = true;
		c->jobs = 1;
	}
	c->slots = calloc(c->jobs, sizeof(*c->slots));
	if (warden_can_restart(c->warden))
		c->epoch = malloc(MOST_EPOCH * sizeof(*c->epoch));
	c->range.loop = &c->loop;
	c->range.warden = c->warden;
	c->range.user_name = c->o->target.user_name;
	c->range.password = c->o->target.password;
	c->range.interrupted = campaign_interrupted;
	range_init(&c->range);
	c->range.player = player_new(&(struct player_options){ .loop = &c->loop, .address = warden_address(c->warden), .user_name = c->range.user_name,
	                                                       .password = c->range.password, .patience_ns = 100 * MS, .longest_wait_ns = 2 * SECOND,
	                                                       .owed_ns = warden_baseline(c->warden)->denied ? 0 : c->o->target.timeout_ns < 2 * SECOND ? c->o->target.timeout_ns : 2 * SECOND,
	                                                       .accepted = accepted, .context = c });
	c->leaks_at_ns = c->leaks_every_ns = FIRST_LEAKS_S * SECOND;
	return c->slots && c->range.player ? 0 : (console_error("out of memory"), EXIT_UNABLE);
}

/* --case: one case with every oracle, as often as it takes to be told. */
static void play_once(struct campaign *c)
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
	while (c->busy && c->alarm.oracle == ORACLE_NONE && interrupts < 2)
		if (!loop_run(&c->loop))
			break;
	if (c->alarm.oracle == ORACLE_NONE) {		/* what the watch has had no time for */
		warden_check(c->warden, true, &c->alarm);
		c->slots[0].busy = c->alarm.oracle != ORACLE_NONE;
	}
	after_playing(c);
}

static void campaign_release(struct campaign *c)
{
	bystander_free(c->bystander);
	if (c->range.player)
		player_free(c->range.player);
	if (c->warden)
		warden_free(c->warden);
	cases_free(c->cases);
	seeds_release(&c->seeds);
	free(c->slots);
	free(c->epoch);
	loop_settle(&c->loop);
	loop_release(&c->loop);
}

static int run(struct campaign *c)
{
	int code = open_target(c);

	if (code || (code = prepare(c)))
		return code;
	enough = 2;
	campaign_began(c);
	c->began_ns = clock_now(&c->loop.clock);
	c->allowed_ns = c->began_ns;
	if (c->once)
		play_once(c);
	while (!is_over(c)) {
		play(c);
		after_playing(c);
	}
	c->result->for_ns = campaign_now(c);
	c->result->restarts = warden_restarts(c->warden);
	if (interrupts)
		snprintf(c->result->ended, sizeof(c->result->ended), "interrupted");
	campaign_ended(c);
	return c->result->n_buckets ? EXIT_FOUND : EXIT_PASS;
}

int campaign_run(const struct campaign_options *options, struct campaign_result *result)
{
	struct campaign *c = calloc(1, sizeof(*c));
	struct sigaction act = { .sa_handler = interrupt }, old_int, old_term;
	int code;

	if (!c || loop_init(&c->loop, false)) {
		free(c);
		console_error("cannot make an event loop: %s", strerror(errno));
		return EXIT_UNABLE;
	}
	*result = (struct campaign_result){ 0 };
	c->o = options;
	c->result = result;
	interrupts = 0;
	enough = 1;
	sigaction(SIGINT, &act, &old_int);
	sigaction(SIGTERM, &act, &old_term);
	code = run(c);
	campaign_release(c);
	free(c);
	sigaction(SIGINT, &old_int, NULL);
	sigaction(SIGTERM, &old_term, NULL);
	return code;
}
