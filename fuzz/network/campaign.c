#include "fuzz/network/campaign_internal.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "harness/cli.h"
#include "harness/console.h"
#include "harness/known.h"

#define MS UINT64_C(1000000)
#define SECOND (1000 * MS)

enum { FIRST_LEAKS_S = 2 };

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

unsigned campaign_interrupts(void)
{
	return (unsigned)interrupts;
}

uint64_t campaign_now(const struct campaign *c)
{
	uint64_t now = c->paused_at_ns ? c->paused_at_ns : clock_now(&c->loop.clock);

	return now - c->began_ns - c->paused_ns;
}

void campaign_pause(struct campaign *c)
{
	c->paused_at_ns = clock_now(&c->loop.clock);
}

void campaign_go_on(struct campaign *c)
{
	uint64_t now = clock_now(&c->loop.clock);

	c->paused_ns += now - c->paused_at_ns;
	c->result->triage_ns += now - c->paused_at_ns;
	c->paused_at_ns = 0;
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
	c->held_at_ns = c->held_every_ns = SECOND;
	return c->slots && c->range.player ? 0 : (console_error("out of memory"), EXIT_UNABLE);
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
		campaign_play_once(c);
	while (!campaign_is_over(c)) {
		campaign_play(c);
		campaign_look(c);
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

