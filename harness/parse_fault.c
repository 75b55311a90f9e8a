#include "harness/parse.h"

/* What faults have beside the steps of a scenario. It is read, so that a file is checked as a whole; none of it is played yet. */

/* `client closes`, `client -> PUBREL once`: its names live in the body. */
static struct step *parse_trigger(struct parser *p, struct place at)
{
	uint32_t n_names = p->n_names;
	struct step *trigger = parse_step(p), *step;

	if (!trigger)
		return NULL;
	take_word_if(p, "once");
	step = step_new(p, STEP_BLOCK, at);
	if (!step || !need_sign(p, '{'))
		return NULL;
	step->text = "";
	step->children = parse_block(p, true, false);
	p->n_names = n_names;
	return need_sign(p, '}') ? step : NULL;
}

/* pass [packet_id=$(p + 1)]: which packet is known from the `whenever` around it only. */
static struct step *parse_pass(struct parser *p, struct place at)
{
	while (!at_line_end(p)) {
		if (now(p)->kind != TOKEN_WORD) {
			expected(p, "a field or the end of the line");
			return NULL;
		}
		take(p);
		if (take_sign_if(p, '=') && !parse_value(p, &(struct target){ .version = p->version }))
			return NULL;
	}
	return step_new(p, STEP_NOTE, at);
}

bool parse_in_fault(struct parser *p, struct step **step)
{
	struct place at = place_of(now(p));

	if (take_word_if(p, "whenever"))
		*step = parse_trigger(p, at);
	else if (take_word_if(p, "pass"))
		*step = parse_pass(p, at);
	else
		return false;
	return true;
}
