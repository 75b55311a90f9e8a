#include "harness/parse.h"

/*
 * What is certain of each actor's connection at a step: whether there is one, whether CONNECT was sent, whether it
 * has ended. Where the course of a run decides, nothing is certain and nothing is said.
 */

static bool no_connection(struct parser *p, const struct step *step, unsigned actor)
{
	struct nearest nearest = { .word = span_text(p->actors[actor].name) };

	for (uint32_t i = 0; i < p->n_actors; i++)
		if (i != actor && p->states[i] != ACTOR_NEW)
			nearest_try(&nearest, p->actors[i].name);
	return fail_at(p, step->at, "`%s` has no connection yet; `%s connects` first%s", p->actors[actor].name, p->actors[actor].name,
	               did_you_mean(&nearest));
}

static const char *when(const struct parser *p)
{
	return p->second_turn ? " in the second turn" : "";
}

static bool has_ended(struct parser *p, const struct step *step)
{
	return fail_at(p, step->at, "the connection of `%s` has ended%s; `opens`, `connects` or a CONNECT opens it again",
	               p->actors[step->actor].name, when(p));
}

static bool track_send(struct parser *p, const struct step *step, enum actor_state *state)
{
	bool connect = step->kind == STEP_SEND && step->type == CONNECT;

	if (*state == ACTOR_ENDED && !connect)
		return has_ended(p, step);
	if (*state == ACTOR_CONNECTED && connect && !step->illegal)
		return fail_at(p, step->at, "a second CONNECT on one connection is wrong%s; write `-> !CONNECT` if that is meant", when(p));
	if (connect)
		*state = ACTOR_CONNECTED;
	else if (step->kind == STEP_BYTES || step->type == DISCONNECT)
		*state = ACTOR_UNKNOWN;
	else if (*state == ACTOR_NEW)
		*state = ACTOR_OPEN;
	return true;
}

bool track(struct parser *p, const struct step *step)
{
	enum actor_state *state;

	if (p->kind != FILE_SCENARIO && p->kind != FILE_WORKLOAD)
		return true;
	state = &p->states[step->actor];
	switch (step->kind) {
	case STEP_SEND: case STEP_BYTES:
		return track_send(p, step, state);
	case STEP_EXPECT: case STEP_RECEIVES: case STEP_NOTHING: case STEP_CLOSED:
		for (unsigned i = 0; i < p->n_actors; i++)
			if (step->actors & 1u << i && p->states[i] == ACTOR_NEW)
				return no_connection(p, step, i);
		if (step->kind == STEP_CLOSED)
			*state = ACTOR_ENDED;
		return true;
	case STEP_CONNECTS:
		if (*state == ACTOR_CONNECTED)
			return fail_at(p, step->at, "`%s` is connected already%s; end that connection first, or write `-> !CONNECT`",
			               p->actors[step->actor].name, when(p));
		*state = ACTOR_CONNECTED;
		return true;
	case STEP_SUBSCRIBES: case STEP_UNSUBSCRIBES: case STEP_PUBLISHES: case STEP_PINGS: case STEP_DISCONNECTS:
		if (*state == ACTOR_NEW || *state == ACTOR_OPEN)
			return no_connection(p, step, step->actor);
		if (*state == ACTOR_ENDED)
			return has_ended(p, step);
		if (step->kind == STEP_DISCONNECTS)
			*state = ACTOR_ENDED;
		return true;
	case STEP_OPENS:
		*state = ACTOR_OPEN;
		return true;
	case STEP_DROPS: case STEP_CLOSES:
		if (*state == ACTOR_NEW)
			return no_connection(p, step, step->actor);
		if (*state == ACTOR_ENDED)
			return has_ended(p, step);
		*state = ACTOR_ENDED;
		return true;
	default:
		return true;
	}
}

/* Behind arms that ended in different states. */
void merge_states(struct parser *p, enum actor_state *into, uint32_t n)
{
	for (uint32_t i = 0; i < p->n_actors; i++)
		if (i >= n)
			into[i] = ACTOR_UNKNOWN;
		else if (into[i] != p->states[i])
			into[i] = ACTOR_UNKNOWN;
}
