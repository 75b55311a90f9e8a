#include "harness/parse.h"

/* Steps that hold others, and sequences of steps: a block's, the whole file's. */

static void leave_scope(struct parser *p, uint32_t n_names)
{
	p->n_names = n_names;
}

bool parse_either(struct parser *p, struct step *step)
{
	enum actor_state before[MAX_ACTORS], after[MAX_ACTORS];
	uint32_t n_names = p->n_names, n_arms = 0, n_before = p->n_actors;
	const struct step **tail = &step->children;
	struct step *arm;

	memcpy(before, p->states, sizeof before);
	do {
		for (uint32_t i = 0; i < p->n_actors; i++)
			p->states[i] = i < n_before ? before[i] : ACTOR_NEW;
		arm = step_new(p, STEP_BLOCK, place_of(now(p)));
		if (!arm || !need_sign(p, '{'))
			return false;
		arm->text = "";
		arm->children = parse_block(p, true, false);
		if (!need_sign(p, '}'))
			return false;
		*tail = arm;
		tail = &arm->next;
		leave_scope(p, n_names);
		if (!n_arms++)
			memcpy(after, p->states, sizeof after);
		else
			merge_states(p, after, n_before);
	} while (take_word_if(p, "or"));
	memcpy(p->states, after, sizeof after);
	if (n_arms > MAX_ARMS)
		return fail_at(p, step->at, "more than %d arms", MAX_ARMS);
	if (n_arms < 2)
		return expected(p, "`or {` on the line of the `}`");
	check_either(p, step);
	return true;
}

static bool receives_one(const struct step *step)
{
	return step->kind == STEP_EXPECT || step->kind == STEP_RECEIVES || step->kind == STEP_CLOSED;
}

bool parse_maybe(struct parser *p, struct step *step)
{
	enum actor_state before[MAX_ACTORS];
	uint32_t n_names = p->n_names, n = p->n_actors;
	struct step *child;

	memcpy(before, p->states, sizeof before);
	child = parse_step(p);
	if (!child)
		return false;
	if (!receives_one(child))
		return fail_at(p, child->at, "`maybe` stands before one receiving step");
	step->children = child;
	step->actor = child->actor;
	step->actors = child->actors;
	leave_scope(p, n_names);
	merge_states(p, before, n);
	memcpy(p->states, before, sizeof before);
	return true;
}

static const struct expr *less_one(struct parser *p, const struct expr *n)
{
	struct expr *one = expr_new(p, EXPR_NUMBER, n->at), *less = expr_new(p, EXPR_ARITH, n->at);

	if (n->kind == EXPR_NUMBER) {
		one->number = n->number - 1;
		return one;
	}
	one->number = 1;
	less->number = '-';
	less->left = n;
	less->right = one;
	return less;
}

static bool parse_repeat_bounds(struct parser *p, struct step *step)
{
	struct place at = place_of(now(p));
	const struct expr *first = parse_count(p, "how often, such as 3 or 1..5");

	if (!first)
		return false;
	if (now(p)->kind == TOKEN_RANGE) {
		take(p);
		step->from = first;
		step->to = parse_count(p, "the last number");
		if (!step->to)
			return false;
	} else {
		struct expr *zero = expr_new(p, EXPR_NUMBER, first->at);

		if (first->kind == EXPR_NUMBER && !first->number)
			return fail_at(p, at, "nothing is repeated 0 times");
		step->from = zero;
		step->to = less_one(p, first);
	}
	if (step->from->kind != EXPR_NUMBER || step->to->kind != EXPR_NUMBER)
		return true;
	if (step->from->number > step->to->number)
		return fail_at(p, at, "the range is empty: its low end is above its high end");
	return step->to->number - step->from->number < MAX_REPEAT || fail_at(p, at, "at most %d turns", MAX_REPEAT);
}

bool parse_repeat(struct parser *p, struct step *step, uint32_t from)
{
	uint32_t n_names = p->n_names;

	if (!parse_repeat_bounds(p, step))
		return false;
	if (take_word_if(p, "as")) {
		if (!bind_name(p, now(p), NAME_VALUE, &step->slot))
			return false;
		take(p);
	}
	step->text = text_between(p, from, p->at);
	if (!need_sign(p, '{'))
		return false;
	p->loops++;
	step->children = parse_block(p, true, false);
	p->loops--;
	leave_scope(p, n_names);
	if (!need_sign(p, '}'))
		return false;
	track_turns(p, step);
	return true;
}

bool parse_together(struct parser *p, struct step *step)
{
	if (!need_sign(p, '{'))
		return false;
	step->children = parse_block(p, true, false);
	if (!need_sign(p, '}'))
		return false;
	for (const struct step *child = step->children; child; child = child->next) {
		if (child->kind != STEP_SEND && child->kind != STEP_BYTES)
			return fail_at(p, child->at, "`together` holds sends only: `a -> PACKET`");
		if (child->actor != step->children->actor)
			return fail_at(p, child->at, "`together` is one write of one actor");
	}
	if (!step->children)
		return p->failed || fail_at(p, step->at, "`together` holds at least one send");
	step->actor = step->children->actor;
	step->actors = step->children->actors;
	return true;
}

bool parse_unordered(struct parser *p, struct step *step)
{
	if (!need_sign(p, '{'))
		return false;
	step->children = parse_block(p, true, true);
	return need_sign(p, '}');
}

/* ---- sequences ---- */

/* What a step that failed would have bound, so that its uses are not reported too. */
static void bind_quietly(struct parser *p, uint32_t from, uint32_t to)
{
	for (uint32_t i = from; i + 1 < to; i++) {
		const struct token *name = &p->tokens[i + 1];
		bool known = false;

		if (!token_word(&p->tokens[i], "as") || name->kind != TOKEN_NAME)
			continue;
		for (uint32_t k = 0; k < p->n_names; k++)
			known |= span_equal(p->names[k].name, name->text);
		if (known || p->n_slots == MAX_SLOTS || p->n_names == MAX_SLOTS)
			continue;
		p->slots[p->n_slots] = region_string(p->region, name->text);
		p->names[p->n_names++] = (struct bound_name){ name->text, NAME_VALUE, p->n_slots++, place_of(name) };
	}
}

static void recover(struct parser *p, uint32_t from)
{
	unsigned depth = 0;

	for (uint32_t i = from; i < p->at; i++) {
		depth += token_is(&p->tokens[i], '{');
		depth -= depth && token_is(&p->tokens[i], '}');
	}
	while (now(p)->kind != TOKEN_END && (depth || (now(p)->kind != TOKEN_LINE && !token_is(now(p), '}')))) {
		depth += token_is(now(p), '{');
		depth -= depth && token_is(now(p), '}');
		take(p);
	}
	bind_quietly(p, from, p->at);
}

/* An item of `unordered`: a step, or { steps }. */
static struct step *parse_item(struct parser *p)
{
	struct step *step;

	if (!token_is(now(p), '{'))
		return parse_step(p);
	step = step_new(p, STEP_BLOCK, place_of(now(p)));
	if (!step)
		return NULL;
	take(p);
	step->text = "";
	step->children = parse_block(p, true, false);
	return need_sign(p, '}') ? step : NULL;
}

struct step *parse_block(struct parser *p, bool braces, bool items)
{
	struct step *first = NULL, *step;
	const struct step **tail = NULL;

	if (++p->depth > MAX_BLOCKS) {
		fail_at(p, place_of(now(p)), "blocks nested deeper than %d", MAX_BLOCKS);
		recover(p, p->at);
		p->depth--;
		return NULL;
	}
	for (;;) {
		uint32_t from;

		while (now(p)->kind == TOKEN_LINE)
			take(p);
		if (now(p)->kind == TOKEN_END || (braces && token_is(now(p), '}')))
			break;
		from = p->at;
		step = items ? parse_item(p) : parse_step(p);
		if (step && !at_line_end(p))
			step = expected(p, "the end of the line") ? step : NULL;
		if (!step) {
			if (p->n_steps > MAX_STEPS)
				p->at = p->n_tokens - 1;
			recover(p, from);
			if (p->role)
				p->states[p->role - p->roles] = ACTOR_UNKNOWN;
			if (!braces && token_is(now(p), '}'))
				take(p);
			continue;
		}
		if (tail)
			*tail = step;
		else
			first = step;
		tail = &step->next;
	}
	p->depth--;
	return first;
}
