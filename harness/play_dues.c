#include "harness/dues.h"
#include "harness/play.h"

#include <stdlib.h>

enum { OWED_NS = 2000000000, LAST_ANSWER_NS = 1000000000 };

static struct dues *dues_of(const struct actor_state *a)
{
	return a->timeline->finding && a->number < DUES_CLIENTS ? a->timeline->finding->dues : NULL;
}

void finding_dues_new(struct timeline *t)
{
	bool watched = false;

	for (uint32_t i = 0; i < t->script->n_watches; i++)
		watched |= dues_judges(t->script->watch_versions[i], t->script->watches[i]);
	t->finding->dues = watched ? dues_new() : NULL;
	if (watched && !t->finding->dues)
		abort();
}

void finding_dues_sent(struct actor_state *a, const struct packet *p)
{
	if (!dues_of(a))
		return;
	dues_time(dues_of(a), now(a->timeline));
	dues_sent(dues_of(a), a->number, p, !monitor_is_lenient(&a->conn.monitor));
}

static void breaks(struct actor_state *a, const struct due_breach *breach)
{
	const struct violation v = { .version = breach->version, .clause = breach->clause, .text = breach->text };

	finding_violated(a, &v);
}

void finding_dues_arrived(struct actor_state *a, const struct packet *p)
{
	struct due_breach breach;
	struct span topic = { 0 };

	if (!dues_of(a))
		return;
	if (p->type == PUBLISH && !monitor_topic(&a->conn.monitor, p, &topic))
		topic = (struct span){ 0 };
	dues_time(dues_of(a), now(a->timeline));
	if (!dues_received(dues_of(a), a->number, p, topic, &breach))
		breaks(a, &breach);
}

void finding_dues_ended(struct actor_state *a, enum due_end how)
{
	if (dues_of(a))
		dues_ended(dues_of(a), a->number, how);
}

static bool waits(struct timeline *t, uint32_t waiting, const struct actor_state *a)
{
	return a->number < DUES_CLIENTS && waiting & 1u << a->number && a->ever_opened && !a->ended && !a->conn.end && !a->conn.finished && conn_reads(&a->conn) &&
	       !t->finding->shown.oracle;
}

static void judge(struct timeline *t, uint32_t waiting)
{
	struct due_breach breach;

	for (uint32_t i = 0; i < t->script->n_actors; i++)
		if (waits(t, waiting, &t->actors[i]) && !t->finding->clients[i].due[PINGRESP] && !dues_judge(t->finding->dues, i, &breach))
			breaks(&t->actors[i], &breach);
}

/* Whoever waits answers meanwhile: a full window holds up the rest. When the time is over he is asked once more whether all has come. */
bool finding_dues_settled(struct timeline *t)
{
	struct finding_play *f = t->finding;
	uint32_t waiting = f->dues ? dues_waiting(f->dues) : 0;
	bool some = false, unanswered = false;
	uint64_t until_ns;

	for (uint32_t i = 0; waiting && i < t->script->n_actors; i++)
		if (waits(t, waiting, &t->actors[i])) {
			answer_unanswered(t, &t->actors[i]);
			unanswered |= f->clients[i].due[PINGRESP] > 0;
			some = true;
		}
	if (!some)
		return true;
	f->owed_since_ns = f->owed_since_ns ? f->owed_since_ns : now(t);
	until_ns = f->owed_since_ns + slackened(t, OWED_NS);
	for (uint32_t i = 0; now(t) >= until_ns && !f->asked_last && i < t->script->n_actors; i++)
		if (waits(t, waiting, &t->actors[i])) {
			send_packet(t, &t->actors[i], PINGREQ, 0);
			unanswered = true;
		}
	f->asked_last |= now(t) >= until_ns;
	until_ns += f->asked_last ? slackened(t, LAST_ANSWER_NS) : 0;
	if (now(t) < until_ns && (!f->asked_last || unanswered)) {
		loop_timer(t->stage->loop, &f->linger, until_ns);
		return false;
	}
	judge(t, waiting);
	return true;
}
