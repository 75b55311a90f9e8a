#include "harness/parse.h"

/*
 * Which clauses a step judges. With one clause cited for the version every judging step judges it; with more, those
 * in the step's own [ID ...].
 */

static bool judges(const struct step *step)
{
	return step->kind == STEP_EXPECT || step->kind == STEP_RECEIVES || step->kind == STEP_CLOSED || step->kind == STEP_NOTHING ||
	       step->kind == STEP_TARGET_LIVES || (step->kind >= STEP_CONNECTS && step->kind <= STEP_DISCONNECTS && step->n_matches);
}

static bool for_this(const struct parser *p, const struct citation *c)
{
	return c->version == p->version || (p->version == MQTT_3_1 && c->version == MQTT_3_1_1);
}

static uint32_t bit_of(struct parser *p, struct citation *c)
{
	uint32_t i = 0;

	c->marked = true;
	while (i < p->n_marked && strcmp(p->marked[i], c->id))
		i++;
	if (i == p->n_marked)
		p->marked[p->n_marked++] = c->id;	/* MAX_CITES at most: check_versions() */
	return 1u << i;
}

static bool not_cited(struct parser *p, const struct token *id)
{
	struct nearest nearest = { .word = id->text };

	for (uint32_t i = 0; i < p->n_cites; i++)
		nearest_try(&nearest, p->cites[i].id);
	return fail_at(p, place_of(id), "%s is not in this file's `cites`%s", shown(id->text), did_you_mean(&nearest));
}

/* One ID or V:ID; adds its bit when it is a clause of this script's version. */
static bool parse_mark(struct parser *p, uint32_t *marks)
{
	uint8_t version = parse_version(now(p));
	struct citation *found = NULL;
	uint32_t n = 0;

	if (version) {
		take(p);
		if (!need_sign(p, ':'))
			return false;
	}
	if (now(p)->kind != TOKEN_WORD)
		return expected(p, "a cited clause");
	for (uint32_t i = 0; i < p->n_cites; i++)
		if (span_is(now(p)->text, p->cites[i].id) && (!version || p->cites[i].version == version)) {
			if (!found || for_this(p, &p->cites[i]))
				found = &p->cites[i];
			n++;
		}
	if (!found)
		return not_cited(p, now(p));
	if (n > 1 && !version)
		return fail_at(p, place_of(now(p)), "%s is cited for several versions; write `%s:%s`", found->id,
		               version_name(found->version), found->id);
	take(p);
	if (for_this(p, found))
		*marks |= bit_of(p, found);
	return true;
}

/* Steps of a block that has a mark of its own. */
static uint32_t mark_children(struct step *step, uint32_t marks)
{
	uint32_t n = 0;

	for (struct step *child = (struct step *)step->children; child; child = (struct step *)child->next) {
		if (judges(child)) {
			child->marks |= marks;
			n++;
		}
		n += mark_children(child, marks);
	}
	return n;
}

bool parse_marks(struct parser *p, struct step *step, const struct parts *parts)
{
	struct place at = place_of(now(p));
	bool left_empty = parts && parts->n_dropped && !parts->n_matches, given = false;
	uint32_t marks = 0;

	if ((p->kind == FILE_WORKLOAD || p->kind == FILE_FINDING) && token_is(now(p), '['))
		return fail_at(p, at, p->kind == FILE_WORKLOAD ? "a workload judges nothing by clause; take the mark out"
		               : "a finding cites nothing; take the mark out, or name the clause by `watches`");
	if (take_sign_if(p, '[')) {
		given = true;
		if (token_is(now(p), ']'))
			return expected(p, "a cited clause");
		while (!take_sign_if(p, ']'))
			if (!parse_mark(p, &marks))
				return false;
	}
	if (p->n_candidates == 1)
		for (uint32_t i = 0; i < p->n_cites; i++)
			if (for_this(p, &p->cites[i]) && (judges(step) || (left_empty && step->kind != STEP_BLOCK)))
				marks |= bit_of(p, &p->cites[i]);
	if (marks && left_empty)
		return fail_at(p, step->at, "in %s this step judges nothing: what it expects exists in 5 only", version_name(p->version));
	if (judges(step))
		step->marks = marks;
	else if (given && !mark_children(step, marks) && !left_empty)
		return fail_at(p, at, "this step judges nothing; a mark stands behind a step that does");
	return true;
}
