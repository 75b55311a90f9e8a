#include "fuzz/network/player_internal.h"

/* What subscribers are owed, when the moves are over: it is let in, waited for, and what has not come then is a symptom. */

static void owes(struct client *c, const struct due_breach *breach)
{
	play_breach(c, breach->version, breach->clause, (enum packet_type)breach->type, breach->text);
}

static bool waits(const struct play *p, uint32_t waiting, const struct client *c)
{
	return waiting & 1u << number_of(c) && client_serves(c) && p->played.symptom.oracle == ORACLE_NONE;
}

/* A full window holds up the rest. */
static void answer_owed(struct client *c)
{
	const struct move right = { .kind = MOVE_ANSWER, .client = (uint8_t)number_of(c), .value = ANSWER_RIGHT };

	while (c->steered.n_owed) {
		struct writer w = writer_to(room_for(&c->play->player->bytes, MOVES_BYTES), MOVES_BYTES);

		if (!steered_answer(&c->steered, ANSWER_RIGHT, &w))
			return;
		play_sends_made(c->play, c, &right, &w);
	}
}

static void judge(struct play *p, uint32_t waiting)
{
	struct due_breach breach;

	for (struct client *c = p->clients; c < p->clients + MOVES_CLIENTS; c++)
		if (waits(p, waiting, c) && !c->steered.pings && !dues_judge(p->dues, number_of(c), &breach))
			owes(c, &breach);
}

/* When the time for it is over those who wait are asked once more whether all has come: of a target that does not answer it is not known that it has lost anything. */
bool play_dues_settled(struct play *p, uint64_t *deadline_ns)
{
	const struct player_options *options = &p->player->options;
	uint64_t now_ns = options->loop->now_ns;
	uint32_t waiting = dues_waiting(p->dues);
	bool some = false, unanswered = false;

	for (struct client *c = p->clients; waiting && c < p->clients + MOVES_CLIENTS; c++) {
		if (!waits(p, waiting, c))
			continue;
		answer_owed(c);
		some = true;
		unanswered |= c->steered.pings > 0;
	}
	if (!some)
		return true;
	p->owed_since_ns = p->owed_since_ns ? p->owed_since_ns : now_ns;
	*deadline_ns = p->owed_since_ns + options->owed_ns;
	if (!p->asked_last && now_ns < *deadline_ns)
		return false;
	for (struct client *c = p->clients; !p->asked_last && c < p->clients + MOVES_CLIENTS; c++)
		if (waits(p, waiting, c)) {
			play_pings(c);
			unanswered = true;
		}
	p->asked_last = true;
	*deadline_ns += options->owed_ns;
	if (unanswered && now_ns < *deadline_ns)
		return false;
	judge(p, waiting);
	return true;
}
