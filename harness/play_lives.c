#include "harness/play.h"

/* `target lives`: a fresh exchange, then its process: is it there, did a sanitizer speak, did it grow, is it busy with nothing? */

enum {
	NEWS_NS = 50000000, MOST_NEWS = 10,	/* a process's connections end before we hear that it died, and before a sanitizer has spoken */
	SECOND_NS = 1000000000,
};

enum phase { PHASE_EXCHANGE, PHASE_NEWS, PHASE_GREW, PHASE_BUSY, PHASE_STILL_BUSY };

static void ask(struct timeline *t, bool usage)
{
	*t->health = (struct health){ .lives = true };
	if (t->stage->target_health)
		t->stage->target_health(t->stage->context, usage, t->health);
}

void lives_prepare(struct timeline *t)
{
	t->health = region_alloc(&t->region, sizeof(*t->health));
	ask(t, true);
	t->grown_from = t->health->usage.rss;
	t->reported_before = result_text(t->result, "%s", t->health->sanitizer);
}

static void fails(struct timeline *t, struct strand *s, const char *oracle, const char *received, const char *because)
{
	struct mismatch m = { .oracle = oracle, .received = received, .because = because, .judged = true };

	judge_failed(t, s, s->step, &m);
}

/* Whether the process is well; if not, that is said. */
static bool process_is_well(struct timeline *t, struct strand *s, bool usage)
{
	ask(t, usage);
	if (t->health->sanitizer[0] && strcmp(t->health->sanitizer, t->reported_before)) {
		fails(t, s, "sanitizer", result_text(t->result, "%s", t->health->sanitizer), "a sanitizer reported an error of the target");
		return false;
	}
	if (!t->health->lives) {
		fails(t, s, "death", t->health->how[0] ? result_text(t->result, "the target %s", t->health->how) : "the process has ended", "the target died");
		return false;
	}
	return true;
}

static void rest(struct timeline *t, struct strand *s, enum phase phase, uint64_t ns)
{
	s->phase = (uint8_t)phase;
	strand_rests(t, s, STRAND_WAITS, now(t) + ns);
}

static void well(struct timeline *t, struct strand *s)
{
	exchange_end(t);
	judge_passed(t, s->step);
	step_done(t, s);
}

static void not_seen(struct timeline *t, struct strand *s)
{
	result_note(t->result, result_text(t->result, "line %u: the process is not known: --exec or --pid; whether it %s is not judged", s->step->at.line,
	                                   s->step->grows && s->step->busy ? "grew or is busy" : s->step->grows ? "grew" : "is busy"));
	if (t->finding)
		t->finding->unseen = true;
	well(t, s);
}

static bool grew(const struct timeline *t, const struct step *step)
{
	return step->grows && t->health->usage.rss > t->grown_from && t->health->usage.rss - t->grown_from >= step->grows;
}

static void look_whether_busy(struct timeline *t, struct strand *s)
{
	if (!s->step->busy) {
		well(t, s);
		return;
	}
	t->busy_from = t->health->usage;
	rest(t, s, PHASE_BUSY, SECOND_NS);
}

/* The fresh exchange went well. */
static void look_at_process(struct timeline *t, struct strand *s)
{
	bool usage = s->step->grows || s->step->busy;

	exchange_end(t);
	if (!process_is_well(t, s, usage))
		return;
	if (usage && (!t->health->usage.rss || (s->step->grows && !t->grown_from)))
		not_seen(t, s);
	else if (grew(t, s->step))
		rest(t, s, PHASE_GREW, SECOND_NS);	/* it may be about to give it back */
	else
		look_whether_busy(t, s);
}

void check_lives(struct timeline *t, struct strand *s)
{
	enum exchange_reached reached;
	const char *how;

	if (t->over || s->phase != PHASE_EXCHANGE || !exchange_over(t, &reached, &how))
		return;
	if (reached >= t->exchange_wanted) {
		look_at_process(t, s);
		return;
	}
	t->not_served = how;
	t->n_news = 0;
	exchange_end(t);
	if (process_is_well(t, s, false))
		rest(t, s, PHASE_NEWS, NEWS_NS);
}

/* Its time is up: of the exchange, that is for its own timer. */
void lives_expired(struct timeline *t, struct strand *s)
{
	const struct step *step = s->step;

	if (s->phase == PHASE_EXCHANGE) {
		strand_rests(t, s, STRAND_WAITS, now(t) + SECOND_NS);
		return;
	}
	if (!process_is_well(t, s, s->phase != PHASE_NEWS))
		return;
	if (s->phase == PHASE_NEWS) {
		if (++t->n_news < MOST_NEWS && t->stage->target_health)
			rest(t, s, PHASE_NEWS, NEWS_NS);
		else
			fails(t, s, "liveness", t->not_served, "the target does not serve a fresh connection");
	} else if (s->phase == PHASE_GREW) {
		if (grew(t, step))
			fails(t, s, "memory", result_text(t->result, "it grew by %llu bytes", (unsigned long long)(t->health->usage.rss - t->grown_from)),
			      "the target grew too much");
		else
			look_whether_busy(t, s);
	} else if (usage_wanted(&t->busy_from, &t->health->usage) < step->busy) {
		well(t, s);
	} else if (s->phase == PHASE_BUSY) {		/* what was left to do may be done by now */
		t->busy_from = t->health->usage;
		rest(t, s, PHASE_STILL_BUSY, SECOND_NS);
	} else {
		fails(t, s, "cpu", result_text(t->result, "in a second in which nothing was sent it wanted %s of CPU time",
		                               duration_text(t, usage_wanted(&t->busy_from, &t->health->usage))), "the target is busy with nothing");
	}
}

void begin_target_lives(struct timeline *t, struct strand *s)
{
	uint64_t ns = t->stage->timeout_ns;

	s->want = (struct want){ 0 };
	if (s->step->within && !eval_number(t, s, s->step->within, &ns))
		return;
	ns = stretched(t, ns);
	exchange_start(t, t->exchange_wanted, ns);
	rest(t, s, PHASE_EXCHANGE, ns + SECOND_NS);
}
