#include "harness/play.h"

/* As long as one may take to close, and to answer. */
enum { GRACE_NS = 500000000, LAST_ANSWER_NS = 1000000000 };

void finding_offences_new(struct timeline *t)
{
	for (uint32_t i = 0; i < t->script->n_watches; i++)
		t->finding->judges_offences |= offences_judge(t->script->watch_versions[i], t->script->watches[i]);
	for (uint32_t i = 0; i < t->script->n_actors; i++)
		offences_open(&t->finding->clients[i].offences);
}

static struct offences *offences_of(const struct actor_state *a)
{
	struct finding_play *f = a->timeline->finding;

	return f && f->judges_offences ? &f->clients[a->number].offences : NULL;
}

void finding_offences_sent(struct actor_state *a, const uint8_t *bytes, const struct frame *frame, const struct packet *p, const struct finding *unreadable)
{
	if (offences_of(a))
		offences_sent(offences_of(a), bytes, frame, p, unreadable);
}

void finding_offences_unframed(struct actor_state *a)
{
	if (offences_of(a))
		offences_unframed(offences_of(a));
}

static void breaks(struct actor_state *a, const struct offence_breach *breach)
{
	const struct violation v = { .version = breach->version, .clause = breach->clause, .text = breach->text };

	finding_violated(a, &v);
}

void finding_offences_arrived(struct actor_state *a, const struct packet *p)
{
	struct offence_breach breach;

	if (offences_of(a) && !offences_received(offences_of(a), p, &breach))
		breaks(a, &breach);
}

static bool serves(const struct actor_state *a)
{
	return a->ever_opened && !a->ended && !a->conn.end && !a->conn.finished && conn_reads(&a->conn);
}

/* False: until *deadline_ns. */
static bool is_settled(struct timeline *t, struct actor_state *a, uint64_t *deadline_ns)
{
	struct offence_breach breach;

	while (serves(a) && !t->over && !t->finding->shown.oracle) {
		switch (offences_turn(&t->finding->clients[a->number].offences, now(t), slackened(t, GRACE_NS), slackened(t, LAST_ANSWER_NS), deadline_ns, &breach)) {
		case OFFENCES_ASK:
			send_packet(t, a, PINGREQ, 0);
			break;
		case OFFENCES_WAIT:
			return false;
		case OFFENCES_BREACH:
			breaks(a, &breach);
			return true;
		case OFFENCES_SETTLED:
			return true;
		}
	}
	return true;
}

bool finding_offences_settled(struct timeline *t)
{
	uint64_t latest_ns = 0;

	for (uint32_t i = 0; t->finding->judges_offences && i < t->script->n_actors; i++) {
		uint64_t deadline_ns;

		if (!is_settled(t, &t->actors[i], &deadline_ns) && deadline_ns > latest_ns)
			latest_ns = deadline_ns;
	}
	if (latest_ns)
		loop_timer(t->stage->loop, &t->finding->linger, latest_ns);
	return !latest_ns;
}
