#include "harness/parse.h"

#include <assert.h>
#include <stdlib.h>
#include <sys/random.h>

/*
 * Captures: a file is parsed a step at a time, and nothing of a step is kept but its place. What is kept grows with the file: the
 * steps' places, the actors, and where names are bound; all three in linear time.
 */

const char take_a_part[] = "take a part of it: `mqassay decode --where 'client==\"x\"'`";

/* ---- tables by name ---- */

/* Open addressing by a keyed hash: who writes the file cannot choose names that collide. */
struct index {
	uint32_t *slots;		/* number + 1; 0 is free */
	uint32_t n, cap;
};

struct captured {
	struct span text;
	struct lexer lexer;
	struct region step_region;	/* what a step keeps while it is looked at */
	struct token *tokens;		/* of the step at hand */
	uint32_t cap_tokens;
	struct capture_step *steps;
	uint32_t n_steps, cap_steps;
	uint32_t *first, *last;		/* step of each actor, and of nobody at [0] */
	uint32_t cap_actors;
	struct capture_name *names;
	uint32_t n_names, cap_names;
	struct index by_actor, by_name;
	uint64_t key[2];
	struct bound_name found;
	bool full;			/* a bound was passed: the rest would only say so again */
	bool well;			/* the tokens at hand can be parsed */
	bool again;			/* it has been checked, and is read to be played */
};

static uint64_t folded(uint64_t a, uint64_t b)
{
	unsigned __int128 product = (unsigned __int128)a * b;

	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static uint64_t hash(const struct captured *c, struct span name)
{
	uint64_t h = c->key[0] ^ name.len;

	for (size_t i = 0; i < name.len; i += 8) {
		uint64_t word = 0;

		memcpy(&word, name.at + i, name.len - i < 8 ? name.len - i : 8);
		h = folded(h ^ word, c->key[1]);
	}
	return folded(h, c->key[0] | 1);
}

static void *must(void *at)
{
	if (!at)
		abort();
	return at;
}

static void *grown(void *list, uint32_t *cap, uint32_t n, size_t size)
{
	if (n < *cap)
		return list;
	*cap = *cap ? *cap * 2 : 64;
	return must(realloc(list, *cap * size));
}

static struct span name_of(const struct captured *c, uint32_t number)
{
	return span_of(c->text.at + c->names[number].at, c->names[number].len);
}

static struct span key_of(const struct parser *p, const struct index *index, uint32_t number)
{
	return index == &p->captured->by_actor ? span_text(p->actors[number].name) : name_of(p->captured, number);
}

/* Where the name stands, or would stand. */
static uint32_t *place_in(const struct parser *p, const struct index *index, struct span name)
{
	uint32_t mask = index->cap - 1, i = (uint32_t)hash(p->captured, name) & mask;

	while (index->slots[i] && !span_equal(key_of(p, index, index->slots[i] - 1), name))
		i = (i + 1) & mask;
	return &index->slots[i];
}

static void index_add(const struct parser *p, struct index *index, uint32_t number)
{
	if ((index->n + 1) * 2 > index->cap) {
		struct index larger = { .cap = index->cap ? index->cap * 2 : 64 };

		larger.slots = must(calloc(larger.cap, sizeof *larger.slots));
		for (uint32_t i = 0; i < index->cap; i++)
			if (index->slots[i]) {
				uint32_t at = (uint32_t)hash(p->captured, key_of(p, index, index->slots[i] - 1)) & (larger.cap - 1);

				while (larger.slots[at])
					at = (at + 1) & (larger.cap - 1);
				larger.slots[at] = index->slots[i];
			}
		larger.n = index->n;
		free(index->slots);
		*index = larger;
	}
	*place_in(p, index, key_of(p, index, number)) = number + 1;
	index->n++;
}

static int64_t index_find(const struct parser *p, const struct index *index, struct span name)
{
	return index->cap ? (int64_t)*place_in(p, index, name) - 1 : -1;
}

int captured_actor(const struct parser *p, struct span name)
{
	return (int)index_find(p, &p->captured->by_actor, name);
}

static bool too_many(struct parser *p, struct place at, int max, const char *what)
{
	p->captured->full = true;
	return fail_at(p, at, "more than %d %s; %s", max, what, take_a_part);
}

bool captured_room(struct parser *p, const struct token *token)
{
	struct captured *c = p->captured;
	uint32_t cap = c->cap_actors ? 2 * c->cap_actors : 64;

	if (p->n_actors == MAX_CAPTURE_ACTORS)
		return too_many(p, place_of(token), MAX_CAPTURE_ACTORS, "actors");
	if (p->n_actors < c->cap_actors)
		return true;
	p->actors = must(realloc(c->cap_actors ? p->actors : NULL, cap * sizeof *p->actors));
	c->first = must(realloc(c->first, (cap + 1) * sizeof *c->first));
	c->last = must(realloc(c->last, (cap + 1) * sizeof *c->last));
	for (uint32_t i = c->cap_actors ? c->cap_actors + 1 : 1; i <= cap; i++)
		c->first[i] = c->last[i] = NO_STEP;
	c->cap_actors = cap;
	return true;
}

void index_captured(struct parser *p, uint32_t actor)
{
	index_add(p, &p->captured->by_actor, actor);
}

bool bind_captured(struct parser *p, const struct token *token, enum name_kind kind, int32_t *slot)
{
	struct captured *c = p->captured;
	int64_t before;

	if (token->kind != TOKEN_NAME || memchr(token->text.at, '.', token->text.len))
		return fail_at(p, place_of(token), "expected a name such as `$p1` behind `as`, found `%s`", shown(token->text));
	before = index_find(p, &c->by_name, token->text);
	if (c->again) {
		*slot = (int32_t)before;
		return before >= 0;
	}
	if (kind == NAME_MOMENT)
		return fail_at(p, place_of(token), "a capture names no moments");
	if (is_reserved(token->text))
		return fail_at(p, place_of(token), "`$%s` is a word of the notation; choose another name", shown(token->text));
	if (before >= 0)
		return fail_at(p, place_of(token), "`$%s` is bound already, in line %u; choose another name", shown(token->text), c->names[before].line);
	if (c->n_names == MAX_CAPTURE_NAMES)
		return too_many(p, place_of(token), MAX_CAPTURE_NAMES, "names");
	c->names = grown(c->names, &c->cap_names, c->n_names, sizeof *c->names);
	c->names[c->n_names] = (struct capture_name){ (uint32_t)(token->text.at - c->text.at), (uint32_t)token->text.len, token->line };
	*slot = (int32_t)c->n_names++;
	index_add(p, &c->by_name, (uint32_t)*slot);
	return true;
}

const struct bound_name *find_captured(struct parser *p, struct span name)
{
	struct captured *c = p->captured;
	int64_t slot = index_find(p, &c->by_name, name);

	if (slot < 0)
		return NULL;
	c->found = (struct bound_name){ .name = name, .kind = NAME_VALUE, .slot = (uint32_t)slot, .at = { c->names[slot].line, 1 } };
	return &c->found;
}

bool read_again(const struct parser *p)
{
	return p->captured && p->captured->again;
}

/* ---- a step at a time ---- */

static void put(struct captured *c, uint32_t n, const struct token *t)
{
	c->tokens = grown(c->tokens, &c->cap_tokens, n, sizeof *c->tokens);
	c->tokens[n] = *t;
}

/* The tokens up to the end of the step, or of the header's line. False: the end of the text, or nothing more can be read. */
static bool take_line(struct parser *p)
{
	struct captured *c = p->captured;
	struct brackets brackets = { .depth = 0 };
	struct token t;
	uint32_t n = 0;
	int closes;

	c->well = true;
	for (;;) {
		t = lex_next(&c->lexer);
		if (t.kind == TOKEN_END || (t.kind == TOKEN_LINE && !c->lexer.depth && n))
			break;
		if (t.kind == TOKEN_LINE && !n)
			continue;
		if (t.kind == TOKEN_BAD)
			c->well = fail_at(p, place_of(&t), "%s: `%s`", t.why, shown(t.text));
		closes = bracket(p, &brackets, &t);
		if (closes < 0)
			return false;
		c->well &= closes;
		if (n + 2 >= MAX_CASE_TOKENS)
			return fail_at(p, place_of(&t), "more than %d words and signs in one step", MAX_CASE_TOKENS);
		put(c, n++, &t);
	}
	c->well &= brackets_closed(p, &brackets);
	if (!n)
		return false;
	put(c, n++, &t);
	t.kind = TOKEN_END;
	put(c, n++, &t);
	p->tokens = c->tokens;
	p->n_tokens = n;
	p->at = 0;
	p->n_steps = p->depth = p->expr_depth = 0;
	return true;
}

static enum capture_part part_of(const struct step *step)
{
	switch (step->kind) {
	case STEP_CONNECTS: case STEP_SUBSCRIBES: case STEP_UNSUBSCRIBES: case STEP_PUBLISHES: case STEP_PINGS: case STEP_DISCONNECTS:
		return PART_EXCHANGE;
	case STEP_EXPECT:
		return step->type == PUBLISH || step->type == PUBREL || step->type == DISCONNECT ? PART_DELIVERY : PART_ANSWER;
	case STEP_RECEIVES: case STEP_CLOSED:
		return PART_DELIVERY;
	case STEP_CLOSES: case STEP_DROPS:
		return PART_END;
	case STEP_WAIT: case STEP_NOTE:
		return PART_REMARK;
	default:
		return PART_SEND;
	}
}

/* What has no meaning where nothing is judged. */
static bool fits_in(struct parser *p, const struct step *step)
{
	if (step->kind == STEP_NOTHING)
		return fail_at(p, step->at, "`nothing` does not stand in a capture: what did not come was not seen");
	if (step->after || step->of >= 0)
		return fail_at(p, step->at, "`after` and `of` do not stand in a capture: it is played as fast as it goes");
	return true;
}

static bool add_step(struct parser *p, const struct step *step)
{
	struct captured *c = p->captured;
	enum capture_part part = part_of(step);
	uint32_t chain = part == PART_REMARK ? 0 : step->actor + 1u;

	if (!fits_in(p, step))
		return false;
	if (c->n_steps == MAX_CAPTURE_STEPS)
		return too_many(p, step->at, MAX_CAPTURE_STEPS, "steps");
	c->steps = grown(c->steps, &c->cap_steps, c->n_steps, sizeof *c->steps);
	c->steps[c->n_steps] = (struct capture_step){
		.at = (uint32_t)(p->tokens[0].text.at - c->text.at), .line = step->at.line, .next = NO_STEP,
		.actor = part == PART_REMARK ? NOBODY : step->actor, .part = (uint8_t)part,
	};
	if (c->last[chain] == NO_STEP && (part == PART_ANSWER || part == PART_DELIVERY || step->kind == STEP_CLOSES || step->kind == STEP_DROPS))
		return fail_at(p, step->at, "`%s` has no connection yet; `%s connects` first", p->actors[step->actor].name, p->actors[step->actor].name);
	if (c->last[chain] == NO_STEP)
		c->first[chain] = c->n_steps;
	else
		c->steps[c->last[chain]].next = c->n_steps;
	c->last[chain] = c->n_steps++;
	return true;
}

/* One step from p->tokens; NULL: said what is wrong. */
static struct step *one_step(struct parser *p)
{
	struct step *step = parse_step(p);

	return step && (at_line_end(p) || expected(p, "the end of the line")) ? step : NULL;
}

/* False: what follows cannot be read. */
static bool parse_header(struct parser *p)
{
	bool title = false;

	while (take_line(p)) {
		if (title && (!is_header_word(now(p)) || ahead(p, 1)->kind == TOKEN_SEND || ahead(p, 1)->kind == TOKEN_TAKE))
			return true;
		if (!p->captured->well)
			return false;
		if (title ? !parse_capture_header(p) || (!at_line_end(p) && !expected(p, "the end of the line")) : !parse_title(p))
			return false;
		if (p->n_versions)
			p->version = p->versions[0];
		title = true;
	}
	p->n_tokens = 0;
	return !p->failed;
}

static void parse_steps(struct parser *p)
{
	struct captured *c = p->captured;
	struct step *step;

	if (!p->n_tokens)
		return;
	do {
		p->region = &c->step_region;
		step = c->well ? one_step(p) : NULL;
		if (step)
			add_step(p, step);
		p->region = p->lasting;
		region_release(&c->step_region);
	} while (!c->full && take_line(p));
}

static struct captured *captured_new(struct span text)
{
	struct captured *c = must(calloc(1, sizeof *c));

	if (getrandom(c->key, sizeof c->key, 0) != sizeof c->key)
		c->key[0] = (uintptr_t)c;
	c->key[1] |= 1;
	c->text = text;
	c->first = must(malloc(sizeof *c->first));
	c->last = must(malloc(sizeof *c->last));
	c->first[0] = c->last[0] = NO_STEP;
	return c;
}

static void captured_free(struct captured *c)
{
	region_release(&c->step_region);
	free(c->tokens);
	free(c->steps);
	free(c->first);
	free(c->last);
	free(c->names);
	free(c->by_actor.slots);
	free(c->by_name.slots);
	free(c);
}

void release_capture(struct parser *p)
{
	if (!p->captured)
		return;
	if (p->captured->cap_actors)
		free(p->actors);
	captured_free(p->captured);
	p->captured = NULL;
}

static void *kept(struct parser *p, const void *at, size_t size)
{
	void *copy = region_alloc(p->lasting, size + 1);

	if (size)
		memcpy(copy, at, size);
	return copy;
}

static void keep_capture(struct parser *p)
{
	struct captured *c = p->captured;
	struct capture_script *capture = region_alloc(p->lasting, sizeof *capture);
	uint32_t *first = region_alloc(p->lasting, (p->n_actors + 1) * sizeof *first);

	memcpy(first, c->first + 1, p->n_actors * sizeof *first);
	first[p->n_actors] = c->first[0];
	*capture = (struct capture_script){
		.steps = kept(p, c->steps, c->n_steps * sizeof *c->steps), .n_steps = c->n_steps, .first = first,
		.names = kept(p, c->names, c->n_names * sizeof *c->names), .n_names = c->n_names,
	};
	p->scripts = region_alloc(&p->scratch, sizeof *p->scripts);
	p->scripts[p->n_scripts++] = (struct script){
		.id = p->file, .version = p->version, .n_slots = c->n_names, .capture = capture,
		.actors = kept(p, p->actors, p->n_actors * sizeof *p->actors), .n_actors = p->n_actors,
	};
}

void parse_capture(struct parser *p, struct span text)
{
	struct captured *c = p->captured = captured_new(text);

	p->kind = FILE_CAPTURE;
	p->alone = true;		/* its client ids and topics are what they were, and nobody else's */
	p->actors = NULL;
	p->version = MQTT_3_1_1;
	lex_init(&c->lexer, text);
	if (!parse_header(p))
		return;
	if (!p->n_versions)
		fail_at(p, (struct place){ 1, 1 }, "no `mqtt` line before the first step; say in which version, such as `mqtt 3.1.1`");
	parse_steps(p);
	if (!c->n_steps && !p->failed)
		fail_at(p, (struct place){ 1, 1 }, "there are no steps");
	if (!p->failed)
		keep_capture(p);
}

/* ---- reading them again ---- */

struct capture_reader {
	struct parser parser;
	const struct capture_script *capture;
	struct diagnostics diagnostics;
};

struct capture_reader *capture_reader_new(const struct script *script)
{
	struct capture_reader *r = must(calloc(1, sizeof *r));
	struct parser *p = &r->parser;

	r->capture = script->capture;
	*p = (struct parser){
		.file = script->scenario->file, .diagnostics = &r->diagnostics, .kind = FILE_CAPTURE, .version = script->version,
		.actors = (struct actor *)script->actors, .n_actors = script->n_actors, .captured = captured_new(script->scenario->text),
	};
	p->captured->again = true;
	p->captured->names = (struct capture_name *)r->capture->names;
	for (uint32_t i = 0; i < script->n_actors; i++)
		index_add(p, &p->captured->by_actor, i);
	for (uint32_t i = 0; i < r->capture->n_names; i++)
		index_add(p, &p->captured->by_name, i);
	return r;
}

const struct step *capture_read(struct capture_reader *r, uint32_t number, struct region *region)
{
	const struct capture_step *step = &r->capture->steps[number];
	struct captured *c = r->parser.captured;
	const struct step *read;
	uint32_t line_start = step->at;

	while (line_start && c->text.at[line_start - 1] != '\n')
		line_start--;
	c->lexer = (struct lexer){ .text = c->text, .at = step->at, .line = step->line, .line_start = line_start };
	r->parser.region = r->parser.lasting = region;
	take_line(&r->parser);
	read = one_step(&r->parser);
	region_release(&r->parser.scratch);
	assert(read && !r->parser.failed);	/* it was checked */
	return read;
}

void capture_reader_free(struct capture_reader *r)
{
	if (!r)
		return;
	r->parser.captured->names = NULL;
	captured_free(r->parser.captured);
	region_release(&r->parser.scratch);
	free(r);
}
