#include "harness/parse.h"

/*
 * What workloads and faults have beside the steps of a scenario. It is read by the same grammar, so that a file
 * is checked as a whole, and refused where it stands: none of it is played yet.
 */

static bool not_yet(struct parser *p, const struct token *word)
{
	return fail_at(p, place_of(word), "`%s` is not yet played", shown(word->text));
}

static struct step *foreign_block(struct parser *p, struct place at)
{
	uint32_t n_names = p->n_names;
	struct step *step = step_new(p, STEP_BLOCK, at);

	if (!step || !need_sign(p, '{'))
		return NULL;
	step->text = "";
	step->children = parse_block(p, true, false);
	p->n_names = n_names;
	return need_sign(p, '}') ? step : NULL;
}

/* role NAME x N [over D] [with "file.csv"] { } */
static struct step *parse_role(struct parser *p, struct place at)
{
	const char *file;
	uint16_t number;

	if (now(p)->kind != TOKEN_WORD) {
		expected(p, "the role's name");
		return NULL;
	}
	if (find_actor(p, now(p)->text) < 0 && !new_actor(p, now(p), &number))
		return NULL;
	take(p);
	if (!take_word_if(p, "x")) {
		expected(p, "`x` and how many");
		return NULL;
	}
	if (!parse_count(p, "how many clients") || (take_word_if(p, "over") && !parse_duration(p)) ||
	    (take_word_if(p, "with") && !parse_string(p, "a file's name in quotes", &file)))
		return NULL;
	return foreign_block(p, at);
}

static bool parse_back_off(struct parser *p)
{
	if (!take_word_if(p, "after"))
		return expected(p, "`after 1s..60s`");
	if (!parse_duration(p))
		return false;
	if (now(p)->kind != TOKEN_RANGE)
		return expected(p, "`..` and the longest wait");
	take(p);
	return parse_duration(p);
}

/* `client closes`, `client -> PUBREL once`, `device receives topic="x" payload as $p`: its names live in the body. */
static struct step *parse_whenever(struct parser *p, struct place at)
{
	struct step *trigger, *step;
	uint32_t n_names = p->n_names;

	trigger = parse_step(p);
	if (!trigger)
		return NULL;
	take_word_if(p, "once");
	step = foreign_block(p, at);
	p->n_names = n_names;
	return step;
}

static struct step *parse_meet(struct parser *p, struct place at)
{
	const char *name;

	return parse_string(p, "the meeting's name in quotes", &name) ? step_new(p, STEP_NOTE, at) : NULL;
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

static struct step *parse_by(struct parser *p, const struct token *word)
{
	struct place at = place_of(word);

	if (token_word(word, "role"))
		return parse_role(p, at);
	if (token_word(word, "every"))
		return parse_duration(p) ? foreign_block(p, at) : NULL;
	if (token_word(word, "forever"))
		return foreign_block(p, at);
	if (token_word(word, "meet"))
		return parse_meet(p, at);
	if (token_word(word, "whenever"))
		return parse_whenever(p, at);
	if (token_word(word, "again"))
		return parse_back_off(p) ? foreign_block(p, at) : NULL;
	return parse_pass(p, at);
}

bool parse_foreign(struct parser *p, struct step **step)
{
	static const char *const words[] = { "role", "every", "forever", "meet", "whenever", "again", "pass" };
	const struct token *word = now(p);
	bool foreign = false;

	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
		foreign |= token_word(word, words[i]);
	if (!foreign)
		return false;
	take(p);
	*step = parse_by(p, word);
	if (*step && (p->kind == FILE_SCENARIO || p->kind == FILE_CAPTURE)) {
		not_yet(p, word);
		*step = NULL;
	}
	return true;
}
