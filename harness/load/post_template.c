#include "harness/load/post_template.h"

#include <stdio.h>
#include <stdlib.h>

#include "harness/build_step.h"
#include "harness/load/ledger.h"

/* ---- what is constant ---- */

/* What no client and no time changes; with `of_client`, what is the same each time for one client. */
static bool is_constant(const struct expr *e, bool of_client)
{
	switch (e->kind) {
	case EXPR_NUMBER: case EXPR_BYTES: case EXPR_TOPIC:
		return true;
	case EXPR_CLIENT: case EXPR_COLUMN:
		return of_client;
	case EXPR_FILL:
		return is_constant(e->left, of_client);
	case EXPR_ARITH: case EXPR_PAIR:
		return is_constant(e->left, of_client) && is_constant(e->right, of_client);
	case EXPR_TEMPLATE: case EXPR_LIST:
		for (uint32_t i = 0; i < e->n_items; i++)
			if (!is_constant(e->items[i], of_client))
				return false;
		return true;
	default:
		return false;
	}
}

static bool no_name(struct scope *scope, const struct expr *e, struct value *value)
{
	(void)scope;
	(void)e;
	(void)value;
	return false;
}

static void make(struct scope *scope, enum expr_kind kind, uint8_t *at, size_t n)
{
	(void)scope;
	(void)kind;
	fill_pattern(at, n, 0);
}

static void failed(struct scope *scope, const struct expr *e, const char *what)
{
	(void)scope;
	(void)e;
	(void)what;			/* the step itself will fail, when it is played */
}

static const struct scope_kind constants = { .look_up = no_name, .make = make, .failed = failed };

struct maker {
	struct scope scope;
	struct region *region;
	struct post *post;
	const struct plan_role *role;
	struct writer text;		/* of the topic since the last place */
};

/* ---- the topic ---- */

static bool add_place(struct maker *m, enum place_kind kind, uint32_t which)
{
	struct post *p = m->post;

	if (p->n_places == MAX_PLACES)
		return false;
	p->places[p->n_places++] = (struct post_place){ .before = region_copy(m->region, wr_span(&m->text)), .kind = kind, .which = which };
	p->constant_len += m->text.len;
	m->text.len = 0;
	return true;
}

static bool add_text(struct maker *m, const struct expr *e)
{
	struct value v;
	char digits[24];

	if (!expr_value(&m->scope, e, &v))
		return false;
	if (v.kind == VALUE_NUMBER) {
		snprintf(digits, sizeof(digits), "%llu", (unsigned long long)v.number);
		v.bytes = span_text(digits);
	} else if (v.kind != VALUE_BYTES) {
		return false;
	}
	wr_bytes(&m->text, v.bytes);
	return wr_fits(&m->text);
}

static bool add_value(struct maker *m, const struct expr *e)
{
	m->post->values[m->post->n_values] = e;
	return add_place(m, PLACE_VALUE, m->post->n_values++);
}

static bool add_item(struct maker *m, const struct expr *e)
{
	struct post *p = m->post;
	int which;

	p->is_clients = p->is_clients && is_constant(e, true);
	if (is_constant(e, false))
		return add_text(m, e);
	switch (e->kind) {
	case EXPR_CLIENT:
		return add_place(m, PLACE_CLIENT, 0);
	case EXPR_PICK:
		return add_place(m, PLACE_PICK, e->slot);
	case EXPR_COLUMN:
		p->is_foreign = true;
		which = m->role->fleet ? fleet_column(m->role->fleet, span_text(m->role->role->columns[e->slot].name)) : -1;
		return which >= 0 && add_place(m, PLACE_COLUMN, (uint32_t)which);
	case EXPR_VAR: case EXPR_ACTOR_FIELD: case EXPR_TEMPLATE:
		p->is_foreign = true;
		return add_value(m, e);
	case EXPR_ARITH:
		return add_value(m, e);
	default:
		return false;
	}
}

static bool take_topic(struct maker *m, const struct expr *topic)
{
	struct post *p = m->post;

	p->is_clients = true;
	if (!topic)
		wr_bytes(&m->text, m->scope.topic);
	else if (topic->kind != EXPR_TEMPLATE && topic->kind != EXPR_BYTES && topic->kind != EXPR_TOPIC && topic->kind != EXPR_VAR && topic->kind != EXPR_COLUMN)
		return false;		/* a number is no topic */
	else if (topic->kind != EXPR_TEMPLATE && !add_item(m, topic))
		return false;
	for (uint32_t i = 0; topic && topic->kind == EXPR_TEMPLATE && i < topic->n_items; i++)
		if (!add_item(m, topic->items[i]))
			return false;
	p->behind = region_copy(m->region, wr_span(&m->text));
	p->constant_len += m->text.len;
	return wr_fits(&m->text);
}

/* ---- the payload ---- */

static bool take_payload(struct maker *m, const struct expr *payload)
{
	struct post *p = m->post;
	struct value v;

	p->bytes = span_of("", 0);
	if (!payload)
		return true;
	if (is_constant(payload, false)) {
		if (!expr_value(&m->scope, payload, &v) || v.kind != VALUE_BYTES)
			return false;
		p->bytes = region_copy(m->region, v.bytes);
		return true;
	}
	if ((payload->kind == EXPR_STAMP || payload->kind == EXPR_RANDOM) && is_constant(payload->left, false)) {
		p->payload = payload->kind == EXPR_STAMP ? PAYLOAD_STAMP : PAYLOAD_RANDOM;
		if (!expr_value(&m->scope, payload, &v) || (p->payload == PAYLOAD_STAMP && !stamp_size(v.bytes.len)))
			return false;
		p->bytes = region_copy(m->region, v.bytes);
		return true;
	}
	if (payload->kind != EXPR_VAR && payload->kind != EXPR_TEMPLATE && payload->kind != EXPR_COLUMN && payload->kind != EXPR_ACTOR_FIELD)
		return false;
	p->payload = PAYLOAD_VALUE;
	p->values[p->n_values++] = payload;
	return true;
}

/* ---- all else ---- */

static bool is_field(const struct assign *as, const char *name)
{
	return as->field && !as->field->property && !strcmp(as->field->name, name);
}

/* All but topic and payload, which must be constant: flags and properties. */
static bool take_rest(struct maker *m, const struct actor *actor, struct step *rest, struct builder *b)
{
	for (uint32_t i = 0; i < rest->n_assigns; i++) {
		const struct assign *as = &rest->assigns[i];

		if (as->kind != ASSIGN_FIELD || as->illegal || is_field(as, "packet_id") || as->field->property == PROP_topic_alias ||
		    (as->value && !is_constant(as->value, false)))
			return false;
	}
	m->scope.step = rest;
	builder_start(b, PUBLISH, (enum version)actor->version, m->scope.scratch);
	return step_fields(&m->scope, actor, b);
}

/* A packet as the template makes them: whether it is legal. */
static bool is_proper(const struct maker *m, struct packet *packet)
{
	const struct post *p = m->post;
	struct value indicator;
	struct finding finding;
	uint8_t *room = arena_take(m->scope.scratch, p->constant_len + MAX_PLACES);
	struct writer w = writer_to(room, p->constant_len + MAX_PLACES);

	if (!room || (p->payload && property_find(packet->properties, PROP_payload_format_indicator, &indicator)))
		return false;
	for (uint32_t i = 0; i < p->n_places; i++) {
		wr_bytes(&w, p->places[i].before);
		wr_u8(&w, '1');
	}
	wr_bytes(&w, p->behind);
	packet->topic = wr_span(&w);
	packet->payload = p->payload == PAYLOAD_CONSTANT ? p->bytes : span_of("", 0);
	packet->packet_id = p->qos ? 1 : 0;
	return check(packet, FROM_CLIENT, &finding) == CODEC_OK;
}

static void split(const struct step *step, struct step *rest, struct assign *assigns, const struct expr **topic, const struct expr **payload)
{
	*rest = *step;
	rest->assigns = assigns;
	rest->n_assigns = 0;
	for (uint32_t i = 0; i < step->n_assigns; i++) {
		const struct assign *as = &step->assigns[i];

		if (is_field(as, "topic") && as->kind == ASSIGN_FIELD && as->value)
			*topic = as->value;
		else if (is_field(as, "payload") && as->kind == ASSIGN_FIELD && as->value)
			*payload = as->value;
		else
			assigns[rest->n_assigns++] = *as;
	}
}

static bool fill_in(struct maker *m, const struct plan *plan, uint32_t role, const struct step *step)
{
	const struct actor *actor = &plan->script->actors[role];
	struct assign *assigns = region_alloc(m->region, (step->n_assigns + 1) * sizeof(*assigns));
	const struct expr *topic = NULL, *payload = NULL;
	struct step rest;
	struct builder b;

	if (step->illegal || step->pieces || step->every || step->frame)
		return false;
	split(step, &rest, assigns, &topic, &payload);
	if (!take_topic(m, topic) || !take_payload(m, payload) || !take_rest(m, actor, &rest, &b))
		return false;
	b.packet.properties = wr_span(&b.properties);
	m->post->first = (uint8_t)(PUBLISH << 4 | b.packet.flags);
	m->post->qos = (uint8_t)publish_qos(&b.packet);
	if (!is_proper(m, &b.packet))
		return false;
	if (actor->version == MQTT_5) {
		uint8_t *at = region_alloc(m->region, b.packet.properties.len + 4);
		struct writer w = writer_to(at, b.packet.properties.len + 4);

		wr_varint(&w, (uint32_t)b.packet.properties.len);
		wr_bytes(&w, b.packet.properties);
		m->post->properties = wr_span(&w);
	}
	return true;
}

struct post *post_template(struct region *region, const struct plan *plan, uint32_t role, const struct step *step, uint8_t room[POST_ROOM])
{
	struct post *p = region_alloc(region, sizeof(*p));
	struct arena scratch;

	arena_init(&scratch, room, POST_ROOM / 2);
	p->step = step;
	p->properties = p->bytes = p->behind = span_of("", 0);
	struct maker m = {
		.scope = { .kind = &constants, .scratch = &scratch, .topic = span_text(plan->name), .step = step },
		.region = region, .post = p, .role = &plan->roles[role], .text = writer_to(room + POST_ROOM / 2, POST_ROOM / 2),
	};
	return fill_in(&m, plan, role, step) ? p : NULL;
}
