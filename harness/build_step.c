#include "harness/build_step.h"

enum packet_type step_sends(const struct step *step)
{
	switch (step->kind) {
	case STEP_CONNECTS:     return CONNECT;
	case STEP_SUBSCRIBES:   return SUBSCRIBE;
	case STEP_UNSUBSCRIBES: return UNSUBSCRIBE;
	case STEP_PUBLISHES:    return PUBLISH;
	case STEP_PINGS:        return PINGREQ;
	case STEP_DISCONNECTS:  return DISCONNECT;
	default:                return step->type;
	}
}

static bool is_scram(const struct assign *as)
{
	return as->kind == ASSIGN_FIELD && as->value && as->value->kind == EXPR_SCRAM;
}

bool step_says(const struct step *step, const char *field)
{
	for (uint32_t i = 0; i < step->n_assigns; i++)
		if (step->assigns[i].field && step->assigns[i].kind == ASSIGN_FIELD && !strcmp(step->assigns[i].field->name, field))
			return true;
	return false;
}

bool step_says_scram(const struct step *step)
{
	for (uint32_t i = 0; i < step->n_assigns; i++)
		if (is_scram(&step->assigns[i]))
			return true;
	return false;
}

bool packet_needs_id(const struct packet *p)
{
	return p->type == SUBSCRIBE || p->type == UNSUBSCRIBE || (p->type == PUBLISH && publish_qos(p));
}

static bool too_large(struct scope *scope)
{
	return scope_fails(scope, NULL, "the packet is larger than the room for one step (%zu bytes)", scope->scratch->cap);
}

static bool set(struct scope *scope, struct builder *b, const struct assign *as, const struct value *v)
{
	enum status status = as->kind == ASSIGN_AGAIN ? builder_again(b, as->field, v) : builder_set(b, as->field, v);

	if (status == CODEC_OK)
		return true;
	if (status == CODEC_LIMIT)
		return too_large(scope);
	return scope_fails(scope, NULL, "the value for %s is not of its kind or out of its range", as->field->name);
}

/* A length told falsely: as raw bytes, or as a number to be written in its shortest form. */
static bool false_length(struct scope *scope, const struct value *v, struct span *place)
{
	if (v->kind == VALUE_BYTES) {
		*place = v->bytes;
		return true;
	}
	uint8_t *room = arena_take(scope->scratch, 4);
	if (!room)
		return too_large(scope);
	struct writer w = writer_to(room, 4);
	wr_varint(&w, v->number > VARINT_MAX ? VARINT_MAX : (uint32_t)v->number);
	*place = wr_span(&w);
	return true;
}

static void omit(struct builder *b, const struct field *field)
{
	for (size_t i = 0; i < sizeof(b->lies.omit) / sizeof(*b->lies.omit); i++)
		if (!b->lies.omit[i]) {
			b->lies.omit[i] = field;
			return;
		}
}

static bool apply(struct scope *scope, struct builder *b, const struct assign *as)
{
	struct value v = { .kind = VALUE_ABSENT };

	if (as->kind == ASSIGN_OMIT) {
		omit(b, as->field);
		return true;
	}
	if (as->kind == ASSIGN_ENDS_AFTER) {
		b->lies.ends_after = as->field;
		return true;
	}
	if (as->value && as->value->kind == EXPR_LIST) {
		for (uint32_t i = 0; i < as->value->n_items; i++)
			if (!expr_value(scope, as->value->items[i], &v) || !set(scope, b, as, &v))
				return false;
		return true;
	}
	if (as->value && !expr_value(scope, as->value, &v))
		return false;
	switch (as->kind) {
	case ASSIGN_REMAINING_LENGTH:     return false_length(scope, &v, &b->lies.remaining_length);
	case ASSIGN_PROPERTY_LENGTH:      return false_length(scope, &v, &b->lies.property_length);
	case ASSIGN_WILL_PROPERTY_LENGTH: return false_length(scope, &v, &b->lies.will_property_length);
	case ASSIGN_TRAILING:             b->lies.trailing = v.bytes; return true;
	case ASSIGN_SIZE:                 b->size = v.number; return true;
	case ASSIGN_RAW_PROPERTY:         return builder_raw_property(b, false, v.bytes) == CODEC_OK || too_large(scope);
	case ASSIGN_RAW_WILL_PROPERTY:    return builder_raw_property(b, true, v.bytes) == CODEC_OK || too_large(scope);
	default:                          return set(scope, b, as, &v);
	}
}

static bool apply_scram(struct scope *scope, struct builder *b, const struct assign *as)
{
	struct value v = { .kind = VALUE_ABSENT };

	if (!as->field || as->field->property != PROP_authentication_data)
		return scope_fails(scope, NULL, "scram() is what authentication_data is, and nothing else");
	if (!scope->kind->scram)
		return scope_fails(scope, NULL, "scram() is for scenarios: the clients of a workload have no place to keep its exchange");
	return scope->kind->scram(scope, as->value, &b->packet, &v) && set(scope, b, as, &v);
}

static bool add_filters(struct scope *scope, struct builder *b)
{
	const struct step *step = scope->step;
	const struct field *list = step->n_filters ? field_find(b->packet.type, span_text("filters")) : NULL;

	for (uint32_t i = 0; i < step->n_filters; i++) {
		const struct filter_expr *f = &step->filters[i];
		struct value v, option;
		uint64_t options = 0;

		if (!expr_value(scope, f->filter, &v))
			return false;
		for (uint32_t k = 0; k < f->n_options; k++) {
			if (!expr_value(scope, f->options[k].value, &option))
				return false;
			const struct field *field = f->options[k].field;
			if (field->kind == BITS)
				options |= (option.number & ((1u << field->width) - 1)) << field->shift;
			else
				options = option.number;	/* the whole byte */
		}
		v = (struct value){ .kind = VALUE_FILTER, .bytes = v.bytes, .number = options };
		if (builder_set(b, list, &v) != CODEC_OK)
			return too_large(scope);
	}
	return true;
}

static bool connect_fields(struct scope *scope, const struct actor *actor, struct builder *b)
{
	for (uint32_t i = 0; i < actor->n_connect; i++) {
		bool is_method = actor->connect[i].field && actor->connect[i].field->property == PROP_authentication_method;

		if ((b->packet.type == CONNECT || is_method) && !apply(scope, b, &actor->connect[i]))
			return false;
	}
	return true;
}

bool step_fields(struct scope *scope, const struct actor *actor, struct builder *b)
{
	const struct step *step = scope->step;

	if ((b->packet.type == CONNECT || b->packet.type == AUTH) && !connect_fields(scope, actor, b))
		return false;
	for (uint32_t i = 0; i < step->n_assigns; i++)
		if (!is_scram(&step->assigns[i]) && !apply(scope, b, &step->assigns[i]))
			return false;
	for (uint32_t i = 0; i < step->n_assigns; i++)	/* it looks at what the others have said */
		if (is_scram(&step->assigns[i]) && !apply_scram(scope, b, &step->assigns[i]))
			return false;
	return add_filters(scope, b);
}
