#include "harness/parse.h"

#include <stdio.h>

/*
 * Workloads: roles, and the steps that only roles have. A role's clients are one actor each; all its steps are that
 * actor's. What is certain of its connection is followed as in a scenario, a loop's second turn included.
 */

/* ---- what is known ahead: all roles, so that pick() can name a later one ---- */

void collect_roles(struct parser *p)
{
	unsigned depth = 0;
	uint16_t number;

	for (uint32_t i = p->at; i < p->n_tokens; i++) {
		const struct token *t = &p->tokens[i], *name = &p->tokens[i + 1 < p->n_tokens ? i + 1 : i];

		if (!depth && token_word(t, "role") && name->kind == TOKEN_WORD && find_actor(p, name->text) < 0 && !new_actor(p, name, &number) &&
		    p->n_actors == MAX_ACTORS)
			break;
		depth += token_is(t, '{');
		depth -= depth && token_is(t, '}');
	}
	memset(p->roles, 0, sizeof p->roles);
	memset(p->picked, 0, sizeof p->picked);
	p->n_roles = p->n_actors;
}

/* ---- what is certain of the connection ---- */

/* The same steps once more, from what the first turn left. */
static bool track_again(struct parser *p, const struct step *s)
{
	for (; s; s = s->next) {
		enum actor_state *state = &p->states[s->actor], before = *state;

		switch (s->kind) {
		case STEP_WHENEVER:
			break;
		case STEP_EVERY: case STEP_FOREVER:
			if (!track_again(p, s->children))
				return false;
			*state = *state == before ? before : ACTOR_UNKNOWN;
			break;
		default:
			if (!track(p, s) || !track_again(p, s->children))
				return false;
		}
	}
	return true;
}

void track_turns(struct parser *p, const struct step *loop)
{
	if (p->failed || !p->role)
		return;
	p->second_turn = true;
	track_again(p, loop->children);
	p->second_turn = false;
}

/* ---- blocks ---- */

static bool parse_body(struct parser *p, struct step *step)
{
	uint32_t n_names = p->n_names;

	if (!need_sign(p, '{'))
		return false;
	step->children = parse_block(p, true, false);
	p->n_names = n_names;
	return need_sign(p, '}');
}

static bool sends_or_waits(const struct step *s)
{
	for (; s; s = s->next)
		if ((s->kind != STEP_NOTE && s->kind != STEP_WARN && s->kind != STEP_WHENEVER && s->kind != STEP_REPEAT && s->kind != STEP_READS) ||
		    (s->kind == STEP_REPEAT && sends_or_waits(s->children)))
			return true;
	return false;
}

static bool parse_loop(struct parser *p, struct step *step, uint32_t from)
{
	enum actor_state *state = &p->states[step->actor], before = *state;

	if (step->kind == STEP_EVERY) {
		if (now(p)->kind == TOKEN_NUMBER && now(p)->unit == UNIT_RATE)
			return expected(p, "the time between two turns, such as 10ms for 100 in a second");
		if (!(step->duration = parse_duration(p)))
			return false;
		if (step->duration->kind == EXPR_NUMBER && !step->duration->number)
			return fail_at(p, step->duration->at, "turns that are no time apart are `forever`");
	}
	step->text = text_between(p, from, p->at);
	p->loops++;
	if (!parse_body(p, step))
		return false;
	p->loops--;
	if (!p->failed && !sends_or_waits(step->children))
		return fail_at(p, step->at, "nothing is sent or awaited in this loop");
	if (p->loops)
		warn_at(p, step->at, "`%s` ends only with the run, so that the loop around it has one turn", step->kind == STEP_EVERY ? "every" : "forever");
	track_turns(p, step);
	if (*state != before)
		*state = ACTOR_UNKNOWN;		/* it may have had no turn */
	return true;
}

/* again after 1s..60s { } */
static bool parse_again(struct parser *p, struct step *step, uint32_t from)
{
	enum actor_state *state = &p->states[step->actor];

	if (!take_word_if(p, "after"))
		return expected(p, "`after 1s..60s`");
	if (!(step->from = parse_duration(p)))
		return false;
	if (now(p)->kind != TOKEN_RANGE)
		return expected(p, "`..` and the longest wait");
	take(p);
	if (!(step->to = parse_duration(p)))
		return false;
	if (step->from->kind == EXPR_NUMBER && !step->from->number)
		return fail_at(p, step->from->at, "a wait of no time is never doubled, and a broker that refuses is asked without end; begin with 100ms or so");
	if (step->from->kind == EXPR_NUMBER && step->to->kind == EXPR_NUMBER && step->from->number > step->to->number)
		return fail_at(p, step->from->at, "the shortest wait is above the longest");
	if (*state == ACTOR_CONNECTED)
		return fail_at(p, step->at, "`again` begins anew without a connection; put `%s connects` into its block", p->role->name);
	step->text = text_between(p, from, p->at);
	return parse_body(p, step);
}

/* ---- meetings ---- */

static bool parse_meet(struct parser *p, struct step *step, uint32_t from)
{
	struct place at = place_of(now(p));
	const char *name;

	if (p->loops)
		return fail_at(p, step->at, "a meeting is held once; `meet` stands before the loop");
	if (!parse_string(p, "the meeting's name in quotes", &name))
		return false;
	if (!*name)
		return fail_at(p, at, "a meeting's name is not empty");
	while (step->meeting < p->n_meetings && strcmp(p->meetings[step->meeting].name, name))
		step->meeting++;
	if (step->meeting == p->n_meetings) {
		if (p->n_meetings == MAX_MEETINGS)
			return fail_at(p, at, "more than %d meetings", MAX_MEETINGS);
		p->meetings[p->n_meetings++] = (struct meeting){ .name = name, .at = at };
	}
	if (p->meetings[step->meeting].roles & 1u << step->actor)
		warn_at(p, at, "this role has met here before; a meeting is held once");
	p->meetings[step->meeting].roles |= 1u << step->actor;
	step->text = text_between(p, from, p->at);
	return true;
}

/* ---- whenever ---- */

static bool fits_body(struct parser *p, const struct step *s)
{
	if (s->kind == STEP_NOTE)
		return true;
	if (s->kind != STEP_SEND && s->kind != STEP_BYTES && s->kind != STEP_PUBLISHES)
		return fail_at(p, s->at, "a `whenever` only sends: `->`, `publishes` and `note` stand in it; what waits or ends the connection stands outside");
	if (s->pieces)
		return fail_at(p, s->at, "`in pieces of` does not stand in a `whenever`, which sends at once");
	if (s->in_flight)
		return fail_at(p, s->at, "nothing in a `whenever` waits: take `in flight` out");
	if (s->n_matches || s->within || s->after)
		return fail_at(p, s->at, "nothing in a `whenever` waits: `%s` has nothing to look at", s->n_matches ? "gets" : s->within ? "within" : "after");
	return true;
}

static bool fits_trigger(struct parser *p, const struct step *s)
{
	if (s->kind != STEP_RECEIVES && s->kind != STEP_EXPECT)
		return fail_at(p, s->at, "`whenever` stands before what comes, `%s receives` or `%s <- PACKET`", p->role->name, p->role->name);
	if (s->kind == STEP_EXPECT && (s->type == CONNACK || s->type == PINGRESP || s->type == SUBACK || s->type == UNSUBACK))
		return fail_at(p, s->at, "%s comes once to whom asked for it: await it where it is asked for", packet_name((enum packet_type)s->type));
	if (s->within || s->after)
		return fail_at(p, s->at, "`whenever` has no time limit");
	return true;
}

/* whenever r receives payload as $p { }: its names live in the body. */
static bool parse_whenever(struct parser *p, struct step *step, uint32_t from)
{
	enum actor_state *state = &p->states[step->actor], before = *state;
	uint32_t n_names = p->n_names;
	struct step *trigger, *body;

	p->in_whenever = true;
	*state = ACTOR_CONNECTED;	/* something came */
	trigger = parse_step(p);
	if (!trigger || !fits_trigger(p, trigger))
		return false;
	step->text = text_between(p, from, p->at);
	body = step_new(p, STEP_BLOCK, place_of(now(p)));
	if (!body)
		return false;
	if (token_word(now(p), "once"))
		return fail_at(p, place_of(now(p)), "`once` stands in faults; a role's `whenever` holds for the rest of its block");
	body->text = "";
	body->actor = step->actor;
	if (!parse_body(p, body))
		return false;
	for (const struct step *s = body->children; s; s = s->next)
		if (!fits_body(p, s))
			return false;
	step->children = trigger;
	trigger->next = body;
	p->n_names = n_names;
	*state = before;
	p->in_whenever = false;
	return true;
}

/* ---- roles ---- */

static bool parse_clients(struct parser *p, struct role *role)
{
	if (!take_word_if(p, "x"))
		return expected(p, "`x` and how many, `x 100`");
	if (!(role->count = parse_count(p, "how many clients")))
		return false;
	if (role->count->kind != EXPR_NUMBER)
		return fail_at(p, role->count->at, "how many clients is fixed when the run begins: a number, or `param`s and numbers in $( )");
	return role->count->number <= MAX_CLIENTS ||
	       fail_at(p, role->count->at, "a role has at most %d clients, found %llu", MAX_CLIENTS, (unsigned long long)role->count->number);
}

static bool stays_below(const char *path)
{
	bool below = *path && *path != '/';

	for (const char *part = path; part; part = strchr(part, '/') ? strchr(part, '/') + 1 : NULL)
		below &= !(part[0] == '.' && part[1] == '.' && (part[2] == '/' || !part[2]));
	return below;
}

static bool parse_role_head(struct parser *p, struct role *role)
{
	struct place at;

	if (!parse_clients(p, role))
		return false;
	for (;;) {
		at = place_of(now(p));
		if (take_word_if(p, "over")) {
			if (role->over)
				return fail_at(p, at, "`over` stands twice");
			if (!(role->over = parse_duration(p)))
				return false;
			if (role->over->kind != EXPR_NUMBER)
				return fail_at(p, role->over->at, "the ramp is fixed when the run begins");
		} else if (take_word_if(p, "with")) {
			if (role->file)
				return fail_at(p, at, "`with` stands twice; a role reads one file");
			at = place_of(now(p));
			if (!parse_string(p, "a file's name in quotes, with \"fleet.csv\"", &role->file))
				return false;
			if (!stays_below(role->file))
				return fail_at(p, at, "a workload reads files below its own folder only, \"fleet.csv\" or \"data/fleet.csv\"");
		} else {
			return token_is(now(p), '{') ||
			       expected(p, now(p)->kind == TOKEN_LINE ? "`{` on the line of the role" : "`over D`, `with \"file.csv\"` or `{`");
		}
	}
}

/* role NAME x N [over D] [with "file.csv"] { } */
static bool parse_role(struct parser *p, struct step *step)
{
	const struct token *name = now(p);
	struct role *role;
	int number;

	if (name->kind != TOKEN_WORD)
		return expected(p, "the role's name");
	number = find_actor(p, name->text);
	take(p);
	if (number < 0)
		return false;		/* collect_roles() said why */
	role = &p->roles[number];
	if (role->name)
		return fail_at(p, place_of(name), "role `%s` stands twice", shown(name->text));
	*role = (struct role){ .name = p->actors[number].name, .at = place_of(name) };
	if (!parse_role_head(p, role))
		return false;
	p->role = role;
	p->loops = 0;
	p->in_whenever = false;
	step->actor = (uint16_t)number;
	if (parse_body(p, step)) {
		role->steps = step->children;
		if (!role->steps && !p->failed)
			fail_at(p, role->at, "role `%s` does nothing", role->name);
		if (!p->failed)
			check_role(p, role);
	}
	p->role = NULL;
	return !p->failed;
}

/* A column of the role's file: found, or recorded. */
uint32_t role_column(struct parser *p, struct place at, struct span name)
{
	struct role *role = p->role;
	struct column_use *columns = (struct column_use *)role->columns;

	for (uint32_t i = 0; i < role->n_columns; i++)
		if (span_is(name, columns[i].name))
			return i;
	if (role->n_columns == MAX_COLUMNS) {
		fail_at(p, at, "more than %d columns of one file", MAX_COLUMNS);
		return 0;
	}
	columns = more(p, columns, role->n_columns, sizeof *columns);
	columns[role->n_columns] = (struct column_use){ region_string(p->region, name), at };
	role->columns = columns;
	return role->n_columns++;
}

/* ---- a step that scenarios do not have ---- */

static bool parse_by(struct parser *p, const struct token *word, struct step *step, uint32_t from)
{
	unsigned loops = p->loops;

	if (p->in_whenever)
		return fail_at(p, step->at, "a `whenever` only sends: `%s` stands outside", shown(word->text));
	step->kind = token_word(word, "every") ? STEP_EVERY : token_word(word, "forever") ? STEP_FOREVER : token_word(word, "meet") ? STEP_MEET :
	             token_word(word, "whenever") ? STEP_WHENEVER : STEP_AGAIN;
	step->actor = (uint16_t)(p->role - p->roles);
	if (step->kind == STEP_MEET ? parse_meet(p, step, from) : step->kind == STEP_WHENEVER ? parse_whenever(p, step, from) :
	    step->kind == STEP_AGAIN ? parse_again(p, step, from) : parse_loop(p, step, from))
		return true;
	p->loops = loops;
	p->in_whenever = false;
	return false;
}

static struct step *parse_in_workload(struct parser *p, const struct token *word)
{
	uint32_t from = p->at;
	struct step *step;
	bool role = token_word(word, "role");

	if (token_word(word, "pass")) {
		fail_at(p, place_of(word), "`pass` stands in faults only");
		return NULL;
	}
	if (role != !p->role) {
		fail_at(p, place_of(word), role ? "a role stands by itself, not in another" : "`%s` stands in a role: `role NAME x N { }`", shown(word->text));
		return NULL;
	}
	take(p);
	step = step_new(p, STEP_BLOCK, place_of(word));
	if (!step)
		return NULL;
	step->text = "";
	return (role ? parse_role(p, step) : parse_by(p, word, step, from)) ? step : NULL;
}

bool parse_foreign(struct parser *p, struct step **step)
{
	static const char *const words[] = { "role", "every", "forever", "meet", "whenever", "again", "pass" };
	const struct token *word = now(p);
	bool foreign = false;

	*step = NULL;
	if (p->kind == FILE_FAULT && parse_in_fault(p, step))
		return true;
	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
		foreign |= token_word(word, words[i]);
	if (foreign && p->kind == FILE_WORKLOAD) {
		*step = parse_in_workload(p, word);
	} else if (foreign) {
		fail_at(p, place_of(word), token_word(word, "pass") ? "`pass` stands in faults only"
		        : "`%s` stands in workloads only, whose first line is `workload \"title\"`", shown(word->text));
	} else if (p->kind == FILE_WORKLOAD && !p->role) {
		if (!token_is(word, '{') || !p->failed)		/* else the body of a role whose first line was wrong */
			fail_at(p, place_of(word), "expected `role NAME x N { }`, in which a workload's steps stand");
		return true;
	}
	return foreign;
}

/* ---- what stands in no role ---- */

bool belongs_in_role(struct parser *p, const struct token *word)
{
	static const char *const words[] = { "unordered", "either", "maybe" };

	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
		if (token_word(word, words[i]) && ahead(p, 1)->kind != TOKEN_SEND && ahead(p, 1)->kind != TOKEN_TAKE)
			return fail_at(p, place_of(word), "`%s` does not stand in a role; what may come in any order, or not at all, is taken by "
			               "`whenever %s receives { }`", words[i], p->role->name);
	if (token_word(word, "target") && token_word(ahead(p, 1), "lives"))
		return fail_at(p, place_of(word), "`target lives` does not stand in a role: a run tells by itself when the target ends");
	return true;
}

bool not_this_role(struct parser *p, const struct token *name)
{
	static const char *const words[] = { "every", "forever", "meet", "whenever", "again", "repeat", "together", "wait", "note", "warn", "skip" };
	struct nearest nearest = { .word = name->text };

	if (find_actor(p, name->text) >= 0)
		return fail_at(p, place_of(name), "`%s` is another role; in role `%s` each step is done by `%s` itself", shown(name->text), p->role->name,
		               p->role->name);
	nearest_try(&nearest, p->role->name);
	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
		nearest_try(&nearest, words[i]);
	return fail_at(p, place_of(name), "expected a step of role `%s`, such as `%s connects`, found `%s`%s", p->role->name, p->role->name,
	               shown(name->text), did_you_mean(&nearest));
}
