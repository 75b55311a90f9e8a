#include "harness/dues.h"
#include "harness/play.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* A finding plays on: what would end another timeline is a note in it, and only what it judges decides, when all is played. */

enum {
	MAX_NOTES = 40,
	MAX_UNANSWERED = 20000,
	PATIENCE_NS = 2000000000,	/* of a step that sets up, at most: who waits long for one that hangs replays nothing */
	MOMENT_NS = 20000000,		/* something may come that need not: upon a QoS 0 message, or what others sent */
	END_NS = 200000000,		/* and the connection's end */
	LINGER_NS = 1000000000,		/* what is watched may be broken by the last answers */
	QUIET_NS = 200000000,		/* and by what follows upon them */
};

static const char *name_of(const struct actor_state *a)
{
	return a->timeline->script->actors[a->number].name;
}

static void note(struct timeline *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void note(struct timeline *t, const char *format, ...)
{
	char text[1024];
	va_list args;

	if (t->finding->n_notes++ >= MAX_NOTES)
		return;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	result_note(t->result, result_text(t->result, "%s", text));
}

/* ---- steps that are passed over ---- */

static bool is_open(const struct actor_state *a)
{
	return a->ever_opened && !a->ended && !a->conn.end;
}

/* A CONNECT that is wrong where it stands is a second one: it opens nothing again. */
static bool opens(const struct actor_state *a, const struct step *step)
{
	return step->kind == STEP_OPENS || step->kind == STEP_CONNECTS ||
	       (step->kind == STEP_SEND && step->type == CONNECT && (!step->illegal || !a->ever_opened)) ||
	       (step->kind == STEP_TOGETHER && step->children && opens(a, step->children));
}

static bool is_arrival(const struct step *step)
{
	return step->kind == STEP_EXPECT || step->kind == STEP_RECEIVES || step->kind == STEP_CLOSED || step->kind == STEP_NOTHING;
}

static void say_gone(struct timeline *t, const struct actor_state *a, const struct step *step)
{
	char how[160];

	if (t->finding->said_gone & 1u << a->number)
		return;
	t->finding->said_gone |= 1u << a->number;
	if (!a->ever_opened) {
		note(t, "%s has no connection: its steps from line %u on are passed over", name_of(a), step->at.line);
		return;
	}
	conn_end_text(&a->conn, how, sizeof(how));
	note(t, "the connection of %s is gone (%s): its steps from line %u on are passed over", name_of(a), a->conn.end ? how : "closed by us (FIN)",
	     step->at.line);
}

/* What came before the end may still be judged, and what did not. */
bool finding_passes_over(struct timeline *t, const struct step *step)
{
	const struct actor_state *a;
	bool gone;

	if (!step_traits[step->kind].acts)	/* there may be no actor at all */
		return false;
	a = &t->actors[step->actor];
	gone = !is_open(a);
	if (opens(a, step)) {
		t->finding->said_gone &= ~(1u << a->number);
		return false;
	}
	if (step->kind == STEP_SEND || step->kind == STEP_BYTES || step->kind == STEP_TOGETHER)
		gone |= a->conn.finished;
	if (is_arrival(step)) {
		if (t->finding->unfit & step->actors) {
			note(t, "line %u is not judged: what %s needs for it was not had from the start", step->at.line, name_of(a));
			t->finding->unjudged = true;
			return true;
		}
		gone = !a->ever_opened;
		t->finding->unjudged |= gone;
	}
	if (gone)
		say_gone(t, a, step);
	t->finding->n_passed_over += gone;
	return gone;
}

/* The timeline is over by the step at hand: is there more to play? Then it goes on behind it. */
bool finding_goes_on(struct timeline *t)
{
	struct finding_play *f = t->finding;
	struct result *r = t->result;
	const struct step *step = t->main.step;

	if (!f || f->aborted || t->end_reported)
		return false;
	if (r->verdict != VERDICT_FAIL && step) {
		const char *why = r->reason ? r->reason : "it cannot be played";

		note(t, "line %u: `%s` is passed over: %s", step->at.line, step->text, why);
		f->n_passed_over++;
		/* Before anything was sent that could harm: then the target is not as it was found, and who has no part in it cannot judge it. */
		if (step_traits[step->kind].acts && step->kind != STEP_SEND && step->kind != STEP_BYTES && step->kind != STEP_TOGETHER && !f->stimulated)
			f->unfit |= step->actors;
	}
	t->over = false;
	r->verdict = VERDICT_INCONCLUSIVE;
	r->reason = r->rule = r->expected = r->received = r->because = r->end_of_connection = NULL;
	r->at = (struct place){ 0 };
	r->target_gone = false;
	if (!step) {
		t->main.state = STRAND_DONE;
		return true;
	}
	step_done(t, &t->main);
	strand_run(t, &t->main);
	return true;
}

uint64_t finding_patience(const struct timeline *t)
{
	uint64_t usual = slackened(t, t->stage->timeout_ns);

	return usual < PATIENCE_NS ? usual : PATIENCE_NS;
}

/* What a step waited for did not come. */
void finding_expired(struct timeline *t, struct strand *s)
{
	const struct step *step = s->step;
	bool judged = step_traits[step->kind].judges;

	if (step->kind == STEP_SETTLES) {
		check_settled(t, s);
	} else if (step->kind == STEP_NOTHING) {
		judge_passed(t, step);
		step_done(t, s);
	} else {
		struct mismatch m = {
			.judged = judged, .received = step->kind == STEP_CLOSED ? "it is still open" : "nothing",
			.because = step->kind == STEP_CLOSED ? "the connection was not closed in time"
			                                     : result_text(t->result, "no %s came in time", what_was_awaited(s)),
		};

		judge_failed(t, s, step, &m);
	}
}

/* ---- what is owed to whom ---- */

static unsigned answer_to(const struct packet *p)
{
	static const uint8_t answers[16] = {
		[CONNECT] = CONNACK, [PUBREC] = PUBREL, [PUBREL] = PUBCOMP, [SUBSCRIBE] = SUBACK, [UNSUBSCRIBE] = UNSUBACK, [PINGREQ] = PINGRESP, [AUTH] = AUTH,
	};

	if (p->type == PUBLISH)
		return publish_qos(p) == 1 ? PUBACK : publish_qos(p) == 2 ? PUBREC : 0;
	return p->type == PUBREC && p->reason >= 0x80 ? 0 : answers[p->type];
}

static void forget_unanswered(struct finding_client *c, uint16_t packet_id, bool release)
{
	for (uint32_t i = 0; i < c->n_unanswered; i++)
		if (c->unanswered[i].packet_id == packet_id && (c->unanswered[i].qos == 0) == release) {
			memmove(&c->unanswered[i], &c->unanswered[i + 1], (--c->n_unanswered - i) * sizeof(*c->unanswered));
			return;
		}
}

/* packet NULL: what was sent cannot be read, and the connection's end is the answer. */
void finding_sent(struct actor_state *a, const struct packet *p)
{
	struct finding_play *f = a->timeline->finding;
	struct finding_client *c = &f->clients[a->number];
	unsigned answer = p ? answer_to(p) : 0;

	finding_dues_sent(a, p);
	f->stirred_at = ++f->n_told;
	c->sent_ns = f->stirred_ns = now(a->timeline);
	if (!p || p->type == DISCONNECT || p->type == CONNACK || (p->type >= SUBACK && p->type % 2 && p->type != AUTH))
		c->end_due = true;
	else if (answer)
		c->due[answer] += c->due[answer] < UINT16_MAX;
	if (p && (p->type == PUBACK || p->type == PUBREC || p->type == PUBCOMP))
		forget_unanswered(c, p->packet_id, p->type == PUBCOMP);
}

static void await_answer(struct finding_client *c, const struct packet *p)
{
	unsigned qos = p->type == PUBREL ? 0 : publish_qos(p);

	if ((p->type == PUBLISH && !qos) || c->n_unanswered == MAX_UNANSWERED)
		return;
	if (c->n_unanswered == c->cap_unanswered) {
		c->cap_unanswered = c->cap_unanswered ? 2 * c->cap_unanswered : 8;
		c->unanswered = realloc(c->unanswered, c->cap_unanswered * sizeof(*c->unanswered));
		if (!c->unanswered)
			abort();
	}
	c->unanswered[c->n_unanswered++] = (struct unanswered){ p->packet_id, (uint8_t)qos };
}

/* True: some step may want it. */
bool finding_arrived(struct actor_state *a, const struct packet *p)
{
	struct finding_play *f = a->timeline->finding;
	struct finding_client *c = &f->clients[a->number];

	c->heard_at = ++f->n_told;
	if (!p)
		return false;
	finding_dues_arrived(a, p);
	finding_offences_arrived(a, p);
	c->due[p->type] -= c->due[p->type] > 0;
	if (p->type == AUTH)			/* in place of CONNACK, until the client has answered */
		c->due[CONNACK] -= c->due[CONNACK] > 0;
	if (p->type == PUBLISH || p->type == PUBREL)
		await_answer(c, p);
	if (!(f->takers & 1u << a->number))
		return false;
	if (a->n_in < MAX_INBOX && a->in_bytes < MAX_INBOX_BYTES)
		return true;
	if (!c->flooded)
		note(a->timeline, "%s has more than %d packets that no step took: what came then was let go", name_of(a), MAX_INBOX - 1);
	c->flooded = true;
	return false;
}

void finding_opens(struct actor_state *a)
{
	struct finding_client *c = &a->timeline->finding->clients[a->number];

	finding_dues_ended(a, DUES_LOST);
	memset(c->due, 0, sizeof(c->due));
	c->end_due = c->flooded = false;
	c->n_unanswered = 0;
	offences_open(&c->offences);
}

static bool is_answered(const struct timeline *t, const struct actor_state *a)
{
	const struct finding_client *c = &t->finding->clients[a->number];

	if (!is_open(a) || !conn_reads(&a->conn))
		return true;
	for (unsigned type = 0; type < N_PACKET_TYPES; type++)
		if (c->due[type])
			return false;
	return conn_idle(&a->conn);
}

/* All that must come has come; until when may come what need not? */
static uint64_t may_come_until(const struct timeline *t, const struct actor_state *a)
{
	const struct finding_play *f = t->finding;
	const struct finding_client *c = &f->clients[a->number];
	uint64_t until_ns = c->end_due ? c->sent_ns + END_NS : 0;

	if (!is_open(a) || !conn_reads(&a->conn))
		return 0;
	if (c->heard_at < f->stirred_at && f->stirred_ns + MOMENT_NS > until_ns)
		until_ns = f->stirred_ns + MOMENT_NS;
	return until_ns;
}

/* Its time is up at base_ns. */
void check_settled(struct timeline *t, struct strand *s)
{
	const struct actor_state *a = &t->actors[s->step->actor];
	uint64_t until_ns = is_answered(t, a) ? may_come_until(t, a) : s->base_ns;

	if (until_ns > s->base_ns)
		until_ns = s->base_ns;
	if (until_ns <= now(t))
		step_done(t, s);
	else
		strand_rests(t, s, STRAND_WAITS, until_ns);
}

void begin_settles(struct timeline *t, struct strand *s)
{
	uint64_t ns = NOTHING_NS;

	if (s->step->within && !eval_number(t, s, s->step->within, &ns))
		return;
	s->want = (struct want){ 0 };
	s->base_ns = now(t) + (ns < FOREVER_NS ? ns : FOREVER_NS);
	check_settled(t, s);
}

/* It leaves the inbox, too, if it is there still. */
static void take_delivery(struct actor_state *a, struct unanswered u)
{
	for (struct arrival *in = a->in; in; in = in->next)
		if (in->packet_id == u.packet_id && in->type == (u.qos ? PUBLISH : PUBREL)) {
			inbox_take(a, in);
			return;
		}
}

static bool answer_oldest(struct timeline *t, struct actor_state *a)
{
	struct finding_client *c = &t->finding->clients[a->number];

	if (c->n_unanswered) {
		struct unanswered u = c->unanswered[0];

		take_delivery(a, u);
		send_packet(t, a, u.qos == 1 ? PUBACK : u.qos == 2 ? PUBREC : PUBCOMP, u.packet_id);	/* which removes it from the list */
		return true;
	}
	return false;
}

void answer_unanswered(struct timeline *t, struct actor_state *a)
{
	while (is_open(a) && !a->conn.finished && answer_oldest(t, a))
		;
}

void begin_answers(struct timeline *t, struct strand *s)
{
	answer_oldest(t, &t->actors[s->step->actor]);
	step_done(t, s);
}

/* ---- what shows ---- */

/* Death explains the rest. */
static unsigned weight_of(const char *oracle)
{
	return !strcmp(oracle, "sanitizer") ? 3 : !strcmp(oracle, "death") ? 2 : 1;
}

static void shows(struct timeline *t, const char *oracle, struct shown what)
{
	struct shown *s = &t->finding->shown;

	if (s->oracle && weight_of(s->oracle) >= weight_of(oracle))
		return;
	*s = what;
	s->oracle = oracle;
}

/* A judging step came out otherwise than it stands there: that is what was found. */
void finding_failed(struct timeline *t, const struct step *step, const struct mismatch *m)
{
	bool death = m->oracle && (!strcmp(m->oracle, "death") || !strcmp(m->oracle, "sanitizer"));

	shows(t, m->oracle ? m->oracle : "expectation", (struct shown){
		.rule = death ? "survives" : NULL, .version = t->script->version, .at = step->at,
		.expected = m->expected ? m->expected : step->text, .received = m->received, .because = m->because,
	});
}

static bool watched(const struct script *script, const struct violation *v)
{
	for (uint32_t i = 0; i < script->n_watches; i++)
		if ((script->watch_versions[i] == v->version || (script->watch_versions[i] == MQTT_3_1_1 && v->version == MQTT_3_1)) &&
		    monitor_implies(v->version, v->clause, script->watches[i]))
			return true;
	return false;
}

void finding_violated(struct actor_state *a, const struct violation *v)
{
	struct timeline *t = a->timeline;
	const struct step *step = t->main.step;
	const char *clause = result_text(t->result, "%s", v->clause);
	struct clause_seen *seen;

	if (watched(t->script, v)) {
		shows(t, "rule", (struct shown){ .rule = clause, .version = v->version, .at = step ? step->at : (struct place){ 0 },
		                                 .received = result_text(t->result, "%s", v->text) });
		return;
	}
	for (seen = t->finding->seen; seen; seen = seen->next)
		if (!strcmp(seen->clause, v->clause))
			return;
	seen = region_alloc(&t->region, sizeof(*seen));
	*seen = (struct clause_seen){ t->finding->seen, clause };
	t->finding->seen = seen;
	note(t, "%s also broke %s: %s", name_of(a), v->clause, v->text);
}

/* ---- from first to last ---- */

static uint32_t takers(const struct step *step, bool *judges_otherwise, bool *lives)
{
	uint32_t actors = 0;

	for (; step; step = step->next) {
		if (step_traits[step->kind].takes || is_arrival(step))
			actors |= step->actors;
		*judges_otherwise |= is_arrival(step) || (step->kind >= STEP_CONNECTS && step->kind <= STEP_DISCONNECTS && step->n_matches) ||
		                     (step->kind == STEP_TARGET_LIVES && !step->grows && !step->busy);
		*lives |= step->kind == STEP_TARGET_LIVES;
		actors |= takers(step->children, judges_otherwise, lives);
	}
	return actors;
}

/* What its steps wait by themselves, as far as can be told. */
static uint64_t waits_s(const struct step *step)
{
	uint64_t sum = 0;

	for (; step && sum < UINT16_MAX; step = step->next) {
		bool counted = step->kind == STEP_REPEAT && step->from->kind == EXPR_NUMBER && step->to->kind == EXPR_NUMBER;
		uint64_t turns = counted && step->to->number >= step->from->number ? step->to->number - step->from->number + 1 : 1, inside = waits_s(step->children);

		if (step->kind == STEP_WAIT && step->duration->kind == EXPR_NUMBER)
			sum += step->duration->number / 1000000000;
		sum += turns < UINT16_MAX ? turns * inside : inside ? UINT16_MAX : 0;
	}
	return sum < UINT16_MAX ? sum : UINT16_MAX;
}

static void on_linger(struct timer *timer, struct loop *loop)
{
	struct finding_play *f = (struct finding_play *)((char *)timer - offsetof(struct finding_play, linger));

	(void)loop;
	f->lingered = true;
	timeline_wake(f->timeline);
}

void finding_new(struct timeline *t)
{
	struct finding_play *f = calloc(1, sizeof(*f));

	if (!f)
		abort();
	t->finding = f;
	f->timeline = t;
	f->linger.fire = on_linger;
	f->clients = calloc(t->script->n_actors + 1, sizeof(*f->clients));
	if (!f->clients)
		abort();
	uint64_t keep_alive = 60 + waits_s(t->script->steps);
	f->keep_alive = keep_alive < UINT16_MAX ? (uint16_t)keep_alive : UINT16_MAX;
	f->judges = t->script->n_watches;
	finding_dues_new(t);
	finding_offences_new(t);
	f->takers = takers(t->script->steps, &f->judges, &f->lives);
}

void finding_free(struct timeline *t)
{
	if (!t->finding)
		return;
	loop_timer_stop(t->stage->loop, &t->finding->linger);
	for (uint32_t i = 0; i < t->script->n_actors; i++)
		free(t->finding->clients[i].unanswered);
	free(t->finding->clients);
	dues_free(t->finding->dues);
	free(t->finding);
	t->finding = NULL;
}

/* How far a target goes with a fresh connection before anybody has harmed it: it is asked for no more afterwards. */
void finding_start(struct timeline *t)
{
	if (!t->finding->lives)
		return;
	t->finding->asking = true;
	exchange_start(t, REACHED_DELIVERY, finding_patience(t));
}

/* False: the answer is still awaited. */
bool finding_may_begin(struct timeline *t)
{
	enum exchange_reached reached;
	const char *how;

	if (!t->finding->asking)
		return true;
	if (!exchange_over(t, &reached, &how))
		return false;
	t->finding->asking = false;
	exchange_end(t);
	if (reached == REACHED_NOTHING) {
		t->finding->aborted = true;
		give_up(t, VERDICT_INCONCLUSIVE, NULL, "the target was not well before anything was sent: %s", how);
		return true;
	}
	t->exchange_wanted = reached;
	return true;
}

/* All steps are done; false: what is watched may still come. */
bool finding_may_end(struct timeline *t)
{
	struct finding_play *f = t->finding;
	bool all = true;

	if (!t->script->n_watches || f->shown.oracle || f->aborted)
		return true;
	if (f->lingered)
		return finding_dues_settled(t) && finding_offences_settled(t);
	for (uint32_t i = 0; i < t->script->n_actors; i++)
		all &= is_answered(t, &t->actors[i]);
	if (!f->lingers)
		loop_timer(t->stage->loop, &f->linger, now(t) + LINGER_NS);
	f->lingers = true;
	if (all && !f->quiet) {
		f->quiet = true;
		loop_timer(t->stage->loop, &f->linger, now(t) + QUIET_NS);
	}
	return false;
}

static void judge_watches(struct timeline *t)
{
	const struct script *script = t->script;
	struct result *r = t->result;

	r->clauses = region_alloc(&r->region, (script->n_watches + 1) * sizeof(*r->clauses));
	for (uint32_t i = 0; i < script->n_watches; i++) {
		const struct shown *s = &t->finding->shown;
		bool broken = s->oracle && !strcmp(s->oracle, "rule") && monitor_implies(s->version, s->rule, script->watches[i]);

		r->clauses[r->n_clauses++] = (struct clause_verdict){ script->watches[i], broken ? VERDICT_FAIL :
		                             (t->finding->dues && dues_judges(script->watch_versions[i], script->watches[i])) ||
		                             offences_judge(script->watch_versions[i], script->watches[i]) ||
		                             monitor_held(t->log, script->watch_versions[i], span_text(script->watches[i])) > 0 ? VERDICT_PASS : VERDICT_SKIP };
	}
}

static void say_shown(struct timeline *t, const struct shown *s)
{
	struct result *r = t->result;

	r->verdict = VERDICT_FAIL;
	r->rule = s->rule;
	r->rule_version = s->version;
	r->at = s->at;
	r->expected = s->expected;
	r->received = s->received;
	r->because = s->because;
	r->reason = result_text(r, "%s: %s", s->oracle, !strcmp(s->oracle, "expectation") && s->because ? s->because : s->received);
}

void finding_finish(struct timeline *t)
{
	struct finding_play *f = t->finding;
	struct result *r = t->result;

	if (f->n_notes > MAX_NOTES)
		result_note(r, result_text(r, "and %u more notes", f->n_notes - MAX_NOTES));
	judge_watches(t);
	r->target_gone = false;
	if (f->shown.oracle) {
		say_shown(t, &f->shown);
	} else if (!f->aborted) {
		struct health *h = region_alloc(&t->region, sizeof(*h));

		h->lives = true;
		if (t->stage->target_health)
			t->stage->target_health(t->stage->context, false, h);
		r->verdict = VERDICT_PASS;
		if (!h->lives) {
			r->verdict = VERDICT_INCONCLUSIVE;
			r->reason = result_text(r, "the target %s, which this finding does not judge; `target lives` does", h->how[0] ? h->how : "died");
		} else if (f->unjudged) {
			r->verdict = VERDICT_INCONCLUSIVE;
			r->reason = "what it shows by could not be judged: see the notes";
		} else if (f->unseen && !f->judges) {
			r->verdict = VERDICT_INCONCLUSIVE;
			r->reason = "the process is not known: --exec or --pid";
		}
	}
}
