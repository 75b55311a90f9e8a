#include "harness/parse.h"

/* Bound values and actors. */

bool is_reserved(struct span word)
{
	static const char *const words[] = {
		"scenario", "workload", "capture", "finding", "fault", "mqtt", "cites", "watches", "needs", "case", "actor",
		"server", "tags", "alone", "bulk", "param", "unordered", "either", "or", "maybe", "repeat", "as", "together",
		"in", "pieces", "of", "every", "wait", "note", "warn", "skip", "target", "role", "forever", "meet", "whenever",
		"again", "pass", "once", "within", "after", "gets", "not", "topic",
	};

	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
		if (span_is(word, words[i]))
			return true;
	return false;
}

static struct binding *binding_at(struct parser *p, struct place at)
{
	for (uint32_t i = 0; i < p->n_bindings; i++)
		if (p->bindings[i].at.line == at.line && p->bindings[i].at.column == at.column)
			return &p->bindings[i];
	return NULL;
}

static struct bound_name *lookup(struct parser *p, struct span name)
{
	for (uint32_t i = p->n_names; i > 0; i--)
		if (span_equal(p->names[i - 1].name, name))
			return &p->names[i - 1];
	return NULL;
}

bool bind_name(struct parser *p, const struct token *token, enum name_kind kind, int32_t *slot)
{
	if (p->captured)
		return bind_captured(p, token, kind, slot);

	const struct bound_name *before = lookup(p, token->text);
	struct binding *binding = binding_at(p, place_of(token));

	if (token->kind != TOKEN_NAME || memchr(token->text.at, '.', token->text.len))
		return fail_at(p, place_of(token), "expected a name such as `$p` behind `as`, found `%s`", shown(token->text));
	if (is_reserved(token->text))
		return fail_at(p, place_of(token), "`$%s` is a word of the notation; choose another name", shown(token->text));
	if (find_actor(p, token->text) >= 0 && (p->kind == FILE_SCENARIO || p->kind == FILE_WORKLOAD))
		return fail_at(p, place_of(token), "`%s` is %s; choose another name", shown(token->text), p->role ? "a role" : "an actor");
	if (p->role && span_is(token->text, "n"))
		return fail_at(p, place_of(token), "`$n` is the client's number in its role; choose another name");
	for (uint32_t i = 0; p->role && i < p->role->n_columns; i++)
		if (span_is(token->text, p->role->columns[i].name))
			return fail_at(p, place_of(token), "`$%s` stands for a column of %s in line %u; choose another name", shown(token->text),
			               p->role->file, p->role->columns[i].at.line);
	if (before)
		return fail_at(p, place_of(token), "`$%s` is bound already, in line %u; choose another name", shown(token->text),
		               before->at.line);
	if (p->n_slots == MAX_SLOTS || p->n_names == MAX_SLOTS)
		return fail_at(p, place_of(token), "more than %d names in one test", MAX_SLOTS);
	if (!binding) {
		if (p->n_bindings == MAX_BINDINGS)
			return fail_at(p, place_of(token), "more than %d names in one file", MAX_BINDINGS);
		binding = &p->bindings[p->n_bindings++];
		*binding = (struct binding){ place_of(token), { (const uint8_t *)region_string(&p->scratch, token->text), token->text.len }, false };
	}
	*slot = (int32_t)p->n_slots;
	p->slots[p->n_slots] = region_string(p->region, token->text);
	p->names[p->n_names++] = (struct bound_name){ token->text, kind, p->n_slots++, place_of(token) };
	return true;
}

const struct bound_name *find_name(struct parser *p, struct span name)
{
	if (p->captured)
		return find_captured(p, name);

	struct bound_name *found = lookup(p, name);
	struct binding *binding = found ? binding_at(p, found->at) : NULL;

	if (binding)
		binding->used = true;
	return found;
}

void check_bindings(struct parser *p)
{
	for (uint32_t i = 0; i < p->n_bindings; i++)
		if (!p->bindings[i].used)
			fail_at(p, p->bindings[i].at, "`$%s` is bound and never used; take `as $%s` out", shown(p->bindings[i].name),
			        shown(p->bindings[i].name));
}

int find_actor(const struct parser *p, struct span name)
{
	if (p->captured)
		return captured_actor(p, name);
	for (uint32_t i = 0; i < p->n_actors; i++)
		if (span_is(name, p->actors[i].name))
			return (int)i;
	return -1;
}

bool new_actor(struct parser *p, const struct token *token, uint16_t *number)
{
	if (is_reserved(token->text))
		return fail_at(p, place_of(token), "`%s` is a word of the notation and names no %s", shown(token->text),
		               p->kind == FILE_WORKLOAD ? "role" : "actor");
	if (memchr(token->text.at, '.', token->text.len) || memchr(token->text.at, '-', token->text.len))
		return fail_at(p, place_of(token), "`%s`: a name has neither `.` nor `-`", shown(token->text));
	if (!p->captured && p->n_actors == MAX_ACTORS)
		return fail_at(p, place_of(token), "more than %d %s", MAX_ACTORS, p->kind == FILE_WORKLOAD ? "roles" : "actors");
	if (p->captured && !captured_room(p, token))
		return false;
	if (!p->captured) {
		p->states[p->n_actors] = ACTOR_NEW;
		p->shared[p->n_actors] = p->plain[p->n_actors] = false;
	}
	*number = (uint16_t)p->n_actors;
	p->actors[p->n_actors++] = (struct actor){
		.name = region_string(p->lasting, token->text),
		.version = p->version, .way = N_WAYS,
		.at = place_of(token),
	};
	if (p->captured)
		index_captured(p, *number);
	return true;
}
