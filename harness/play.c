#include "harness/play.h"

/* Who waits for which arrival, and time. */

/* ---- arrivals are offered ---- */

bool waits_for(const struct strand *s, const struct actor_state *a, const struct arrival *in)
{
	if (s->state != STRAND_WAITS || !(s->want.actors & 1u << a->number))
		return false;
	if (!step_traits[s->step->kind].takes || s->want.kind != in->kind)
		return false;
	if (!s->want.has_id || s->want.packet_id == in->packet_id)
		return true;
	return in->kind != RELEASE && (in->kind != ANSWER || !owed(a, in->packet_id));
}

static void refused(struct timeline *t, struct strand *only, unsigned n, const struct mismatch *m)
{
	struct mismatch several = *m;

	if (n > 1) {
		several.expected = result_text(t->result, "any of the %u arrivals that are waited for here", n);
		several.because = "it fits none of them";
	}
	judge_failed(t, only, only->step, &several);
}

static bool awaits_close(const struct timeline *t, const struct actor_state *a)
{
	for (const struct strand *s = t->strands; s; s = s->next)
		if (s->state == STRAND_WAITS && s->step->kind == STEP_CLOSED && s->want.actors & 1u << a->number)
			return true;
	return false;
}

/* Offers one arrival to who waits for its kind. True: somebody took it, or the timeline is over. */
static bool offer(struct timeline *t, struct actor_state *a, struct arrival *in)
{
	struct mismatch first = { 0 };
	struct strand *blamed = NULL;
	struct packet packet = { 0 };
	unsigned n = 0;
	bool is_stray = false;

	if (in->type && !arrival_decode(a, in, &packet))
		return false;
	for (struct strand *s = t->strands; s; s = s->next) {
		bool stray = in->kind == ANSWER && s->want.has_id && s->want.packet_id != in->packet_id;

		if (!waits_for(s, a, in))
			continue;
		if (!stray && strand_offer(t, s, a, in, &packet, NULL)) {
			strand_choose_arm(t, s);
			strand_accept(t, s, a, in, &packet);
			return true;
		}
		if (t->over)
			return true;
		if (s->is_maybe)
			continue;
		n++;
		if (!blamed) {
			blamed = s;
			is_stray = stray;
		}
	}
	if (!blamed)
		return false;
	/* [3.1.1 4.4] a live connection may carry the same PUBLISH again: latitude that holds everywhere. */
	if (in->kind == DELIVERY && seen_before(a, &packet)) {
		result_note(t->result, "a PUBLISH was sent again on a live connection, as 3.1.1 permits");
		inbox_take(a, in);
		return true;
	}
	if (in->kind == CONNECTION && awaits_close(t, a))
		return false;		/* another arm's `closed` judges it */
	if (is_stray)		/* an answer for an id that is not open: nobody can want it */
		first = (struct mismatch){ .received = packet_text(t, &packet, FROM_SERVER), .judged = true,
		                           .because = result_text(t->result, "packet_id: %u is not one that waits for an answer", in->packet_id) };
	else
		strand_offer(t, blamed, a, in, &packet, &first);
	refused(t, blamed, n, &first);
	return true;
}

/* Only the oldest of its kind is up; answers and releases go by their id, and so all of them are. */
static bool offer_inbox(struct timeline *t, struct actor_state *a)
{
	unsigned n_left[N_ARRIVAL_KINDS], left = 0;

	for (int kind = 0; kind < N_ARRIVAL_KINDS; kind++) {
		n_left[kind] = kind == ANSWER || kind == RELEASE ? a->n_of[kind] : a->n_of[kind] != 0;
		left += n_left[kind];
	}
	for (struct arrival *in = a->in; left; in = in->next) {
		if (!n_left[in->kind])
			continue;
		n_left[in->kind]--;
		left--;
		if (offer(t, a, in))
			return true;
	}
	return false;
}

static bool offer_all(struct timeline *t)
{
	for (uint32_t i = 0; i < t->script->n_actors; i++)
		if (t->actors[i].n_in && offer_inbox(t, &t->actors[i]))
			return true;
	return false;
}

static bool in_vain(const struct timeline *t, const struct strand *s)
{
	if (s->state != STRAND_WAITS || s->is_maybe || !step_traits[s->step->kind].takes || s->want.kind == CONNECTION)
		return false;
	for (uint32_t i = 0; i < t->script->n_actors; i++)
		if (s->want.actors & 1u << i && !t->actors[i].ended)
			return false;
	return true;
}

static void fail_by_end(struct timeline *t, struct strand *s)
{
	const struct actor_state *a = &t->actors[s->step->actor];
	char text[160];
	struct packet packet;
	const struct arrival *last = NULL;

	for (const struct arrival *in = a->in; in; in = in->next)
		if (in->kind == CONNECTION && in->type == DISCONNECT)
			last = in;
	conn_end_text(&a->conn, text, sizeof(text));
	struct mismatch m = {
		.judged = step_traits[s->step->kind].judges,
		.received = last && arrival_decode(a, last, &packet)
		          ? result_text(t->result, "%s, then %s", packet_text(t, &packet, FROM_SERVER), text) : result_text(t->result, "%s", text),
		.because = "the connection ended first",
	};
	judge_failed(t, s, s->step, &m);
}

/* Those who wait on a connection that has ended wait in vain: the end of their arm, if another may yet be chosen. */
static bool bury(struct timeline *t)
{
	bool ended = false;

	for (uint32_t i = 0; i < t->script->n_actors; i++)
		ended |= t->actors[i].ended;
	for (struct strand *s = t->strands; s && ended; s = s->next) {
		if (!in_vain(t, s))
			continue;
		struct strand *arm = strand_open_arm(t, s);
		if (arm)
			strand_cancel(t, arm);
		else
			fail_by_end(t, s);
		return true;
	}
	return false;
}

static bool looks(const struct strand *s)
{
	return s->state == STRAND_SENDS || (s->state == STRAND_WAITS && (s->probing || !step_traits[s->step->kind].takes));
}

/* One that waits for more than an arrival: has it come? True: the strand went on. */
static bool look(struct timeline *t, struct strand *s)
{
	if (s->state == STRAND_SENDS) {
		if (!conn_idle(&t->actors[s->step->actor].conn))
			return false;
		if (s->step->kind == STEP_DROPS || s->step->kind == STEP_CLOSES)
			s->state = STRAND_RUNS;		/* now it can leave */
		else
			step_done(t, s);
		strand_run(t, s);
		return true;
	}
	if (s->step->kind == STEP_TARGET_LIVES)
		check_lives(t, s);
	else if (s->step->kind == STEP_SETTLES)
		check_settled(t, s);
	else if (s->step->kind == STEP_CLOSED)
		check_closed(t, s);
	else if (s->step->kind == STEP_NOTHING)
		check_nothing(t, s);
	else
		check_probe(t, s);
	if (s->state != STRAND_RUNS)
		return false;
	strand_choose_arm(t, s);
	strand_run(t, s);
	return true;
}

static bool look_all(struct timeline *t)
{
	bool left = false;

	for (struct strand *s = t->strands; s && !t->over; s = s->next) {
		if (!looks(s))
			continue;
		if (look(t, s))
			return true;
		left = true;
	}
	t->look = left;
	return false;
}

/* Who waits for an arrival has it before `closed` and `nothing` look at what is left. */
void poll_strands(struct timeline *t)
{
	do
		while (!t->over && (offer_all(t) || (t->look && look_all(t)) || (!t->over && bury(t))))
			strands_sweep(t);
	while (t->over && finding_goes_on(t));
	strands_sweep(t);
	if (t->over || (t->main.state == STRAND_DONE && (!t->finding || finding_may_end(t))))
		finish(t);
}

/* ---- time ---- */

void timeline_due(struct timeline *t, uint64_t due_ns)
{
	if (!t->timer.slot || due_ns < t->timer.due_ns)
		loop_timer(t->stage->loop, &t->timer, due_ns);
}

static bool has_due(const struct strand *s)
{
	return s->state == STRAND_SLEEPS || s->state == STRAND_WAITS || s->state == STRAND_SENDS;
}

/* The first strand whose time is up goes on; false when there is none. */
static bool wake_due(struct timeline *t, uint64_t now_ns)
{
	for (struct strand *s = t->strands; s; s = s->next) {
		if (!has_due(s) || s->due_ns > now_ns)
			continue;
		if (s->state == STRAND_SLEEPS)
			step_done(t, s);
		else if (s->state == STRAND_SENDS)
			written_expired(t, s);
		else
			want_expired(t, s);
		if (s->state == STRAND_RUNS)
			strand_run(t, s);
		return true;
	}
	return false;
}

void timeline_on_timer(struct timer *timer, struct loop *loop)
{
	struct timeline *t = (struct timeline *)((char *)timer - offsetof(struct timeline, timer));
	uint64_t next = UINT64_MAX;

	poll_strands(t);	/* what has arrived in the same wake-up counts as in time */
	while (!t->end_reported && !t->over && wake_due(t, loop->now_ns))
		poll_strands(t);
	if (t->over)
		finish(t);
	if (t->end_reported)
		return;
	for (struct strand *s = t->strands; s; s = s->next)
		if (has_due(s) && s->due_ns < next)
			next = s->due_ns;
	if (next != UINT64_MAX)
		timeline_due(t, next);
}

void timeline_on_task(struct task *task, struct loop *loop)
{
	struct timeline *t = (struct timeline *)((char *)task - offsetof(struct timeline, task));

	(void)loop;
	if (t->end_reported)
		return;
	if (t->capture) {
		capture_go(t);
		return;
	}
	if (t->finding && !finding_may_begin(t))
		return;
	for (struct strand *s = t->strands; s && !t->over; s = s->next)
		if (s->state == STRAND_RUNS)	/* it has just begun, or has let others have their turn */
			strand_run(t, s);
	poll_strands(t);
}

void timeline_wake(struct timeline *t)
{
	loop_post(t->stage->loop, &t->task);
}
