#include "harness/load/client.h"

#include <assert.h>
#include <stdio.h>

#include "harness/build_step.h"
#include "harness/match.h"

/* What a client's expressions stand for; eval.c, match.c and build_step.c do what is the same in scenarios. */

struct client_scope {
	struct scope scope;		/* first */
	struct client *client;
	uint8_t *stamp;			/* where the last stamp() is to be written; NULL: none */
	size_t stamp_size;
};

static struct client *client_of(struct scope *scope)
{
	return ((struct client_scope *)scope)->client;
}

/* splitmix64: a few instructions, and good enough to choose by. */
static uint64_t draw(struct engine *e)
{
	uint64_t z = e->random += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

uint64_t engine_pick(struct engine *e, uint32_t role)
{
	const struct plan_role *r = &e->options.plan->roles[role];
	uint64_t n = r->end - r->first;

	return n ? r->first + (n <= UINT32_MAX ? (draw(e) >> 32) * n >> 32 : draw(e) % n) : r->first;
}

void engine_random(struct engine *e, uint8_t *at, size_t n)
{
	uint64_t eight;

	for (; n >= 8; at += 8, n -= 8) {
		eight = draw(e);
		memcpy(at, &eight, 8);
	}
	eight = draw(e);
	memcpy(at, &eight, n);
}

/* ---- names ---- */

static const struct assign *says_client_id(const struct assign *assigns, uint32_t n)
{
	const struct assign *found = NULL;

	for (uint32_t i = 0; i < n; i++)
		if (assigns[i].field && assigns[i].kind == ASSIGN_FIELD && !strcmp(assigns[i].field->name, "client_id"))
			found = &assigns[i];
	return found;
}

static const struct step *first_connect(const struct step *step)
{
	for (; step; step = step->next) {
		const struct step *inside = step_sends(step) == CONNECT && step->kind != STEP_EXPECT ? step : first_connect(step->children);

		if (inside)
			return inside;
	}
	return NULL;
}

static bool varies(const struct expr *e)
{
	if (!e)
		return false;
	if (e->kind == EXPR_PICK || e->kind == EXPR_RANDOM || e->kind == EXPR_STAMP || e->kind == EXPR_VAR || e->kind == EXPR_ACTOR_FIELD)
		return true;
	for (uint32_t i = 0; i < e->n_items; i++)
		if (varies(e->items[i]))
			return true;
	return varies(e->left) || varies(e->right);
}

static bool default_client_id(struct scope *scope, struct span *id)
{
	const struct client *c = client_of(scope);
	char *at = arena_take(scope->scratch, 48);

	if (!at)
		return scope_fails(scope, NULL, "the packet is larger than the room for one step (%zu bytes)", scope->scratch->cap);
	snprintf(at, 48, "%s%c%u", c->engine->options.plan->name, c->role < 26 ? 'a' + c->role : 'A' + c->role - 26, c->number);
	*id = span_text(at);
	return true;
}

/* It is not kept: most clients never ask. What the CONNECT says is said anew. */
static bool client_id(struct scope *scope, const struct expr *e, struct value *value)
{
	const struct client *c = client_of(scope);
	const struct actor *actor = &c->engine->options.plan->script->actors[c->role];
	const struct step *connect = first_connect(role_of(c)->role->steps);
	const struct assign *as = connect ? says_client_id(connect->assigns, connect->n_assigns) : NULL;

	if (!as)
		as = says_client_id(actor->connect, actor->n_connect);
	value->kind = VALUE_BYTES;
	if (!as)
		return default_client_id(scope, &value->bytes);
	if (varies(as->value))
		return scope_fails(scope, e, "a client id that is another each time is not remembered: give it one of $n, or of a column");
	if (!expr_value(scope, as->value, value))
		return false;
	if (value->kind != VALUE_BYTES || !value->bytes.len)
		return scope_fails(scope, e, "a client id that the server assigns is not remembered: take it with `gets assigned_client_identifier as $id`");
	return true;
}

static bool in_force(struct scope *scope, const struct expr *e, struct value *value)
{
	const struct client *c = client_of(scope);
	unsigned id = e->field->property;

	if (e->slot != c->role)
		return scope_fails(scope, e, "what is in force for another role's clients cannot be known: there are many");
	if (!strcmp(e->field->name, "client_id") || id == PROP_assigned_client_identifier)
		return client_id(scope, e, value);
	if (!strcmp(e->field->name, "keep_alive"))
		id = PROP_server_keep_alive;
	*value = (struct value){ .kind = VALUE_NUMBER, .number = monitor_in_force(&c->link.monitor, id) };
	return true;
}

/* What is bound to a field that is not there has a number, so that it differs from nothing. */
static bool is_bound(const struct value *slot)
{
	return slot->kind != VALUE_ABSENT || slot->number;
}

static bool bound_here(const struct client *c, uint32_t slot, struct value *value)
{
	const struct registers *r = c->registers;

	if (!r)
		return false;
	for (unsigned i = r->depth; i--;)
		if (r->frames[i].owner->kind == STEP_REPEAT && r->frames[i].owner->slot == (int32_t)slot) {
			*value = (struct value){ .kind = VALUE_NUMBER, .number = r->frames[i].turn };
			return true;
		}
	if (!r->slots || slot >= role_of(c)->n_slots || !is_bound(&r->slots[slot]))
		return false;
	*value = r->slots[slot];
	return true;
}

static bool column(const struct client *c, uint32_t use, struct value *value)
{
	const struct plan_role *plan = role_of(c)->plan;
	int which = plan->fleet ? fleet_column(plan->fleet, span_text(plan->role->columns[use].name)) : -1;

	if (which < 0)
		return false;
	*value = (struct value){ .kind = VALUE_BYTES, .bytes = fleet_value(plan->fleet, c->number, (unsigned)which) };
	return true;
}

static bool look_up(struct scope *scope, const struct expr *e, struct value *value)
{
	struct client *c = client_of(scope);

	switch (e->kind) {
	case EXPR_VAR:
		return bound_here(c, e->slot, value);
	case EXPR_ACTOR_FIELD:
		return in_force(scope, e, value);
	case EXPR_COLUMN:
		return column(c, e->slot, value);
	default:
		*value = (struct value){ .kind = VALUE_NUMBER, .number = e->kind == EXPR_CLIENT ? c->number : engine_pick(c->engine, e->slot) };
		return true;
	}
}

/* A stamp says of which stream it is, which only who sends the packet can know: it is written then. Elsewhere it is as fill(N). */
static void make(struct scope *scope, enum expr_kind kind, uint8_t *at, size_t n)
{
	if (kind == EXPR_RANDOM) {
		engine_random(client_of(scope)->engine, at, n);
		return;
	}
	fill_pattern(at, n, 0);
	if (kind == EXPR_STAMP && stamp_size(n)) {
		((struct client_scope *)scope)->stamp = at;
		((struct client_scope *)scope)->stamp_size = stamp_size(n);
	}
}

static void failed(struct scope *scope, const struct expr *e, const char *what)
{
	struct client *c = client_of(scope);

	(void)e;
	client_stop(c, scope->step ? scope->step : c->step, false, "%s", what);
}

static struct client_scope scope_in(struct client *c, const struct step *step)
{
	static const struct scope_kind kind = { .look_up = look_up, .make = make, .failed = failed };

	arena_reset(&c->engine->scratch);
	return (struct client_scope){
		.scope = { .kind = &kind, .scratch = &c->engine->scratch, .topic = span_text(c->engine->options.plan->name), .step = step },
		.client = c,
	};
}

bool value_of(struct client *c, const struct expr *e, struct value *value)
{
	struct client_scope here = scope_in(c, NULL);

	return expr_value(&here.scope, e, value);
}

bool values_of(struct client *c, const struct step *step, const struct expr *const *exprs, uint32_t n, struct value *values)
{
	struct client_scope here = scope_in(c, step);

	for (uint32_t i = 0; i < n; i++)
		if (!expr_value(&here.scope, exprs[i], &values[i]))
			return false;
	return true;
}

bool number_of(struct client *c, const struct expr *e, uint64_t *number)
{
	struct client_scope here;

	if (e->kind == EXPR_NUMBER) {
		*number = e->number;
		return true;
	}
	here = scope_in(c, NULL);
	return expr_number(&here.scope, e, number);
}

bool duration_of(struct client *c, const struct expr *e, uint64_t *ns)
{
	const uint64_t most = UINT64_C(1) << 61;	/* what a workload computes may be anything */

	if (!number_of(c, e, ns))
		return false;
	if (*ns > most)
		*ns = most;
	return true;
}

/* ---- packets ---- */

static bool connect_defaults(struct client_scope *here, const struct step *step, struct packet *p)
{
	const struct plan *plan = here->client->engine->options.plan;

	if (!default_client_id(&here->scope, &p->client_id))
		return false;
	p->keep_alive = 60;
	p->connect_flags = CONNECT_CLEAN_START;
	if (plan->user_name.at && !step_says(step, "user_name")) {
		p->connect_flags |= CONNECT_USER_NAME;
		p->user_name = plan->user_name;
	}
	if (plan->password.at && !step_says(step, "password")) {
		p->connect_flags |= CONNECT_PASSWORD;
		p->password = plan->password;
	}
	return true;
}

bool packet_stamped(struct client *c, const struct step *step, struct builder *b, uint8_t **stamp, size_t *size)
{
	const struct actor *actor = &c->engine->options.plan->script->actors[c->role];
	struct client_scope here = scope_in(c, step);

	builder_start(b, step_sends(step), (enum version)actor->version, &c->engine->scratch);
	if (b->packet.type == CONNECT && !connect_defaults(&here, step, &b->packet))
		return false;
	if (b->packet.type == PUBLISH)
		b->packet.topic = here.scope.topic;
	if (!step_fields(&here.scope, actor, b))
		return false;
	*stamp = here.stamp;
	*size = here.stamp_size;
	return true;
}

bool packet_of(struct client *c, const struct step *step, struct builder *b)
{
	uint8_t *stamp;
	size_t size;

	return packet_stamped(c, step, b, &stamp, &size);
}

/* ---- what comes ---- */

bool packet_suits(struct client *c, const struct match *matches, uint32_t n, const struct packet *packet, const char **why)
{
	static _Thread_local char text[1024];
	struct client_scope here;
	const struct match *missed;

	if (why)
		*why = NULL;
	if (!n)
		return true;
	here = scope_in(c, NULL);
	if (match_packet(&here.scope, matches, n, packet, &missed))
		return true;
	if (missed && why)
		*why = match_why(&here.scope, missed, packet, text, sizeof(text));
	return false;
}

void packet_binds(struct client *c, const struct match *matches, uint32_t n, const struct packet *packet)
{
	for (uint32_t i = 0; i < n; i++) {
		struct value v;

		if (matches[i].bind >= 0) {
			match_get(packet, matches[i].field, 0, &v);
			slot_bind(c, matches[i].bind, &v);
		}
	}
}

/* ---- registers ---- */

struct registers *client_registers(struct client *c)
{
	const struct role_code *code = role_of(c);

	if (!c->registers) {
		c->registers = pool_zeroed(c->engine->pool, sizeof(*c->registers) + code->max_depth * sizeof(struct frame_of_role));
		c->registers->frames = (struct frame_of_role *)(c->registers + 1);
	}
	return c->registers;
}

static void empty(struct pool *pool, struct value *slot)
{
	if (slot->bytes.len)
		pool_give(pool, (void *)slot->bytes.at, slot->bytes.len);
	if (slot->second.len)
		pool_give(pool, (void *)slot->second.at, slot->second.len);
	*slot = (struct value){ .kind = VALUE_ABSENT };
}

static struct span kept(struct pool *pool, struct span s)
{
	uint8_t *at;

	if (!s.len)
		return span_of("", 0);
	at = pool_take(pool, s.len);
	memcpy(at, s.at, s.len);
	return span_of(at, s.len);
}

void slot_bind(struct client *c, int32_t slot, const struct value *value)
{
	struct registers *r;
	struct pool *pool = c->engine->pool;
	uint32_t n = role_of(c)->n_slots;

	if (slot < 0)
		return;
	assert((uint32_t)slot < n);
	r = client_registers(c);
	if (!r->slots)
		r->slots = pool_zeroed(pool, n * sizeof(*r->slots));
	struct value old = r->slots[slot];	/* what is bound may be made of what was */
	r->slots[slot] = (struct value){
		.kind = value->kind, .number = value->kind == VALUE_ABSENT ? 1 : value->number, .bytes = kept(pool, value->bytes), .second = kept(pool, value->second),
	};
	empty(pool, &old);
}

static void forget(struct client *c, int32_t slot)
{
	if (slot >= 0)
		empty(c->engine->pool, &c->registers->slots[slot]);
}

static void forget_all(struct client *c, const struct step *step)
{
	for (; step; step = step->next) {
		forget(c, step->bind_moment);
		for (uint32_t i = 0; i < step->n_matches; i++)
			forget(c, step->matches[i].bind);
		forget_all(c, step->children);
	}
}

/* Room for slots is given back with the last of them: names live for a turn, most clients wait between turns. */
static void drop_slots(struct client *c)
{
	struct registers *r = c->registers;
	uint32_t n = role_of(c)->n_slots;

	for (uint32_t i = 0; i < n; i++)
		if (is_bound(&r->slots[i]))
			return;
	pool_give(c->engine->pool, r->slots, n * sizeof(*r->slots));
	r->slots = NULL;
}

void slots_forget(struct client *c, const struct step *steps)
{
	if (!c->registers || !c->registers->slots)
		return;
	forget_all(c, steps);
	drop_slots(c);
}

void registers_free(struct client *c)
{
	struct registers *r = c->registers;
	const struct role_code *code = role_of(c);

	if (!r)
		return;
	for (uint32_t i = 0; r->slots && i < code->n_slots; i++)
		empty(c->engine->pool, &r->slots[i]);
	if (r->slots)
		pool_give(c->engine->pool, r->slots, code->n_slots * sizeof(*r->slots));
	pool_give(c->engine->pool, r, sizeof(*r) + code->max_depth * sizeof(struct frame_of_role));
	c->registers = NULL;
}
