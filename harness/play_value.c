#include "harness/play.h"

#include <stdio.h>
#include <stdlib.h>

#include "codec/text.h"
#include "codec/topic.h"

/* Values: what expressions come to while a script is played, and whether a packet's fields fit patterns. */

static bool eval_error(struct timeline *t, const struct expr *e, const char *what)
{
	char text[200];

	snprintf(text, sizeof(text), "%s:%u:%u: %s", t->script->scenario->file, e->at.line, e->at.column, what);
	give_up(t, VERDICT_ERROR, NULL, "%s", text);
	return false;
}

static uint8_t *scratch(struct timeline *t, const struct expr *e, size_t n)
{
	uint8_t *at = arena_take(t->stage->scratch, n ? n : 1);

	if (!at)
		eval_error(t, e, "the value is larger than the room for one step");
	return at;
}

static bool lookup(const struct timeline *t, const struct strand *s, uint32_t slot, struct value *value)
{
	for (; s; s = s->parent)
		for (unsigned i = s->depth; i--;)
			if (s->frames[i].owner->kind == STEP_REPEAT && s->frames[i].owner->slot == (int32_t)slot) {
				*value = (struct value){ .kind = VALUE_NUMBER, .number = s->frames[i].turn };
				return true;
			}
	*value = t->slots[slot].value;
	return t->slots[slot].bound;
}

static bool eval_arith(struct timeline *t, const struct strand *s, const struct expr *e, struct value *value)
{
	uint64_t a, b;

	if (!eval_number(t, s, e->left, &a) || !eval_number(t, s, e->right, &b))
		return false;
	if (!b && (e->number == '/' || e->number == '%'))
		return eval_error(t, e, "division by zero");
	value->kind = VALUE_NUMBER;
	switch (e->number) {
	case '+': value->number = a + b; break;
	case '-': value->number = a - b; break;
	case '*': value->number = a * b; break;
	case '/': value->number = a / b; break;
	default:  value->number = a % b; break;
	}
	return true;
}

static bool eval_template(struct timeline *t, const struct strand *s, const struct expr *e, struct value *value)
{
	struct value parts[64];
	size_t len = 0;
	char digits[64][24];

	if (e->n_items > 64)
		return eval_error(t, e, "too many parts in one string");
	for (uint32_t i = 0; i < e->n_items; i++) {
		if (!eval(t, s, e->items[i], &parts[i]))
			return false;
		if (parts[i].kind == VALUE_NUMBER) {
			snprintf(digits[i], sizeof(digits[i]), "%llu", (unsigned long long)parts[i].number);
			parts[i].bytes = span_text(digits[i]);
		}
		len += parts[i].bytes.len;
	}
	struct writer w = writer_to(scratch(t, e, len), len);
	if (t->over)
		return false;
	for (uint32_t i = 0; i < e->n_items; i++)
		wr_bytes(&w, parts[i].bytes);
	*value = (struct value){ .kind = VALUE_BYTES, .bytes = { w.at, len } };
	return true;
}

static bool eval_made(struct timeline *t, const struct strand *s, const struct expr *e, struct value *value)
{
	uint64_t n;

	if (!eval_number(t, s, e->left, &n))
		return false;
	if (n > t->stage->scratch->cap)
		return eval_error(t, e, "the value is larger than the room for one step");
	uint8_t *at = scratch(t, e, n);
	if (!at)
		return false;
	char stamp[80] = "";
	struct random random;

	random_seed(&random, ++t->seed);
	if (e->kind == EXPR_STAMP)
		snprintf(stamp, sizeof(stamp), "%s %016llx %016llx ", t->name, (unsigned long long)++t->stamps,
		         (unsigned long long)t->stage->loop->now_ns);
	size_t head = strlen(stamp);
	for (size_t i = 0; i < n; i++)
		at[i] = e->kind == EXPR_RANDOM ? (uint8_t)random_next(&random)
		      : i < head ? (uint8_t)stamp[i] : (uint8_t)('a' + i % 26);
	*value = (struct value){ .kind = VALUE_BYTES, .bytes = { at, n } };
	return true;
}

static bool eval_actor_field(struct timeline *t, const struct expr *e, struct value *value)
{
	struct actor_state *a = &t->actors[e->slot];

	if (!strcmp(e->field->name, "client_id") || e->field->property == PROP_assigned_client_identifier) {
		*value = (struct value){ .kind = VALUE_BYTES, .bytes = a->client_id };
		return true;
	}
	unsigned id = e->field->property;
	if (!strcmp(e->field->name, "keep_alive"))
		id = PROP_server_keep_alive;
	*value = (struct value){ .kind = VALUE_NUMBER, .number = monitor_in_force(&a->conn.monitor, id) };
	return true;
}

bool eval(struct timeline *t, const struct strand *s, const struct expr *e, struct value *value)
{
	struct value left, right;

	*value = (struct value){ .kind = VALUE_ABSENT };
	switch (e->kind) {
	case EXPR_NUMBER:
		*value = (struct value){ .kind = VALUE_NUMBER, .number = e->number };
		return true;
	case EXPR_BYTES:
		*value = (struct value){ .kind = VALUE_BYTES, .bytes = e->bytes };
		return true;
	case EXPR_TOPIC:
		*value = (struct value){ .kind = VALUE_BYTES, .bytes = span_text(t->name) };
		return true;
	case EXPR_VAR:
		return lookup(t, s, e->slot, value) || eval_error(t, e, "the name is not bound here");
	case EXPR_ACTOR_FIELD:
		return eval_actor_field(t, e, value);
	case EXPR_ARITH:
		return eval_arith(t, s, e, value);
	case EXPR_TEMPLATE:
		return eval_template(t, s, e, value);
	case EXPR_FILL: case EXPR_RANDOM: case EXPR_STAMP:
		return eval_made(t, s, e, value);
	case EXPR_PAIR:
		if (!eval(t, s, e->left, &left) || !eval(t, s, e->right, &right))
			return false;
		*value = (struct value){ .kind = VALUE_PAIR, .bytes = left.bytes, .second = right.bytes };
		return true;
	case EXPR_ABSENT:
		return true;
	case EXPR_LIST:
		return eval_error(t, e, "a list stands where one value is needed");
	case EXPR_CLIENT: case EXPR_PICK: case EXPR_COLUMN:
		return eval_error(t, e, "only a workload's clients have that");
	case EXPR_SCRAM:
		return eval_error(t, e, "scram() is what authentication_data is, and nothing else");
	}
	return eval_error(t, e, "unknown expression");
}

bool eval_number(struct timeline *t, const struct strand *s, const struct expr *e, uint64_t *number)
{
	struct value value;

	if (!eval(t, s, e, &value))
		return false;
	if (value.kind != VALUE_NUMBER)
		return eval_error(t, e, "a number is needed here");
	*number = value.number;
	return true;
}

void bind_slot(struct timeline *t, int32_t slot, const struct value *value)
{
	if (slot < 0)
		return;
	struct slot *place = &t->slots[slot];
	place->bound = true;
	place->value = *value;
	place->value.bytes = region_copy(&t->region, value->bytes);
	place->value.second = region_copy(&t->region, value->second);
}

static void render_value(const struct value *value, struct writer *w)
{
	char digits[24];

	switch (value->kind) {
	case VALUE_ABSENT:
		wr_text(w, "absent");
		break;
	case VALUE_NUMBER:
		snprintf(digits, sizeof(digits), "%llu", (unsigned long long)value->number);
		wr_text(w, digits);
		break;
	case VALUE_PAIR:
		text_print_string(value->bytes, w);
		wr_u8(w, ':');
		text_print_string(value->second, w);
		break;
	default:
		text_print_string(value->bytes, w);
	}
}

/* ---- patterns ---- */

static bool equal(const struct value *a, const struct value *b)
{
	if (a->kind != b->kind)
		return false;
	if (a->kind == VALUE_NUMBER)
		return a->number == b->number;
	if (a->kind == VALUE_PAIR && !span_equal(a->second, b->second))
		return false;
	return a->kind == VALUE_ABSENT || span_equal(a->bytes, b->bytes);
}

static bool value_fits(struct timeline *t, const struct strand *s, const struct pattern *p, const struct value *v)
{
	struct value want, high;
	const char *why;

	switch (p->kind) {
	case PATTERN_ANY:
		return true;
	case PATTERN_ABSENT:
		return v->kind == VALUE_ABSENT;
	case PATTERN_PRESENT:
		return v->kind != VALUE_ABSENT;
	case PATTERN_NOT:
		return !value_fits(t, s, p->items[0], v);
	case PATTERN_ONE_OF:
		for (uint32_t i = 0; i < p->n_items; i++)
			if (value_fits(t, s, p->items[i], v))
				return true;
		return false;
	case PATTERN_PAIR: {
		struct value key = { .kind = VALUE_BYTES, .bytes = v->bytes }, second = { .kind = VALUE_BYTES, .bytes = v->second };

		return v->kind == VALUE_PAIR && value_fits(t, s, p->items[0], &key) && value_fits(t, s, p->items[1], &second);
	}
	case PATTERN_LIST:	/* the whole list is fields_fit()'s; one value is a list of one */
		return p->n_items == 1 && value_fits(t, s, p->items[0], v);
	default:
		break;
	}
	if (p->value->kind == EXPR_SCRAM)
		return scram_fits(t, v, &why);
	if (!eval(t, s, p->value, &want))
		return false;
	switch (p->kind) {
	case PATTERN_EQUAL:
		return equal(&want, v);
	case PATTERN_TOPIC:
		return v->kind == VALUE_BYTES && topic_matches(want.bytes, v->bytes);
	case PATTERN_RANGE:
		return eval(t, s, p->high, &high) && v->kind == VALUE_NUMBER && v->number >= want.number && v->number <= high.number;
	case PATTERN_LESS:     return v->kind == VALUE_NUMBER && v->number < want.number;
	case PATTERN_AT_MOST:  return v->kind == VALUE_NUMBER && v->number <= want.number;
	case PATTERN_MORE:     return v->kind == VALUE_NUMBER && v->number > want.number;
	case PATTERN_AT_LEAST: return v->kind == VALUE_NUMBER && v->number >= want.number;
	default:
		return false;
	}
}

/* [5 3.4.2] 0x10, "no matching subscribers", is success too: latitude that holds everywhere. */
static void forgive(const struct packet *packet, const struct field *field, const struct pattern *p, struct value *v)
{
	if ((packet->type == PUBACK || packet->type == PUBREC) && !strcmp(field->name, "reason") &&
	    v->kind == VALUE_NUMBER && v->number == 0x10 && p->kind == PATTERN_EQUAL &&
	    p->value->kind == EXPR_NUMBER && p->value->number == 0)
		v->number = 0;
}

static bool get(const struct packet *packet, const struct field *field, size_t nth, struct value *v)
{
	if (packet_get(packet, field, nth, v))
		return true;
	*v = (struct value){ .kind = VALUE_ABSENT };
	/* A packet cut short before its reason says 0. */
	if (nth == 0 && !field->property && !strcmp(field->name, "reason") && packet->type != SUBACK && packet->type != UNSUBACK) {
		*v = (struct value){ .kind = VALUE_NUMBER, .number = 0 };
		return true;
	}
	return false;
}

static bool field_fits(struct timeline *t, const struct strand *s, const struct match *m, const struct packet *packet)
{
	const struct pattern *p = m->pattern;
	struct value v, second;
	bool several = m->field->repeats || m->field->kind == CODES || packet->type == SUBACK || packet->type == UNSUBACK;

	if (p->kind == PATTERN_LIST) {
		for (uint32_t i = 0; i < p->n_items; i++)
			if (!get(packet, m->field, i, &v) || !value_fits(t, s, p->items[i], &v))
				return false;
		return !packet_get(packet, m->field, p->n_items, &v);
	}
	if (p->kind == PATTERN_ONE_OF || p->kind == PATTERN_NOT) {	/* of whole lists too */
		for (uint32_t i = 0; i < p->n_items; i++) {
			struct match one = { .field = m->field, .pattern = p->items[i] };

			if (field_fits(t, s, &one, packet))
				return p->kind == PATTERN_ONE_OF;
		}
		return p->kind == PATTERN_NOT;
	}
	get(packet, m->field, 0, &v);
	forgive(packet, m->field, p, &v);
	if (!value_fits(t, s, p, &v))
		return false;
	return !several || p->kind == PATTERN_PRESENT || p->kind == PATTERN_ABSENT || p->kind == PATTERN_ANY ||
	       !packet_get(packet, m->field, 1, &second);
}

static bool is_constant(const struct pattern *p)
{
	return !p->value || p->value->kind == EXPR_NUMBER || p->value->kind == EXPR_BYTES || p->value->kind == EXPR_SCRAM;
}

static const char *why_not(struct timeline *t, const struct strand *s, const struct match *m, const struct packet *packet)
{
	char room[1024];
	struct writer w = writer_to(room, sizeof(room) - 1);
	const char *name = m->field->name, *expected = m->text ? m->text : name, *why;
	struct value v;

	if (!strncmp(expected, name, strlen(name)) && expected[strlen(name)] == '=')
		expected += strlen(name) + 1;
	else if (!strcmp(expected, name) && m->pattern->kind == PATTERN_EQUAL)
		expected = "1";		/* a bare flag */
	wr_text(&w, name);
	wr_text(&w, ": expected ");
	wr_text(&w, expected);
	if (m->pattern->kind == PATTERN_EQUAL && !is_constant(m->pattern) && eval(t, s, m->pattern->value, &v)) {
		wr_text(&w, " (");
		render_value(&v, &w);
		wr_text(&w, ")");
	}
	wr_text(&w, ", received ");
	for (size_t i = 0; i < 8; i++) {
		if (!get(packet, m->field, i, &v)) {
			if (i == 0)
				wr_text(&w, "none");
			break;
		}
		if (i)
			wr_u8(&w, ' ');
		const char *reason = !strcmp(name, "reason") ? reason_name(packet->type, packet->version, (unsigned)v.number) : NULL;
		if (reason)
			wr_text(&w, reason);
		else
			render_value(&v, &w);
	}
	if (m->pattern->kind == PATTERN_EQUAL && m->pattern->value->kind == EXPR_SCRAM) {
		get(packet, m->field, 0, &v);
		if (!scram_fits(t, &v, &why)) {
			wr_text(&w, ": ");
			wr_text(&w, why);
		}
	}
	room[w.len < w.cap ? w.len : w.cap] = 0;
	return result_text(t->result, "%s", room);
}

bool packet_fits(struct timeline *t, const struct strand *s, const struct match *matches, uint32_t n,
                 const struct packet *packet, struct mismatch *mismatch)
{
	for (uint32_t i = 0; i < n; i++)
		if (!field_fits(t, s, &matches[i], packet)) {
			if (mismatch && !t->over)
				mismatch->because = why_not(t, s, &matches[i], packet);
			return false;
		}
	return !t->over;
}

void packet_bind(struct timeline *t, const struct match *matches, uint32_t n, const struct packet *packet)
{
	for (uint32_t i = 0; i < n; i++) {
		struct value v;

		if (matches[i].bind >= 0) {
			get(packet, matches[i].field, 0, &v);
			bind_slot(t, matches[i].bind, &v);
		}
	}
}

bool reason_fits(struct timeline *t, const struct strand *s, const struct pattern *pattern, unsigned reason)
{
	struct value v = { .kind = VALUE_NUMBER, .number = reason };

	return value_fits(t, s, pattern, &v);
}

const char *packet_text(struct timeline *t, const struct packet *packet, enum sender from)
{
	char room[1200];
	struct writer w = writer_to(room, sizeof(room) - 8);

	packet_print(packet, from, &w);
	room[w.len < w.cap ? w.len : w.cap] = 0;
	if (w.len > w.cap)
		strcpy(room + w.cap, "...");
	return result_text(t->result, "%s", room);
}
