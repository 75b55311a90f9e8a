#include "harness/match.h"

#include <stdio.h>

#include "codec/text.h"
#include "codec/topic.h"

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

bool match_value(struct scope *scope, const struct pattern *p, const struct value *v)
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
		return !match_value(scope, p->items[0], v);
	case PATTERN_ONE_OF:
		for (uint32_t i = 0; i < p->n_items; i++)
			if (match_value(scope, p->items[i], v))
				return true;
		return false;
	case PATTERN_PAIR: {
		struct value key = { .kind = VALUE_BYTES, .bytes = v->bytes }, second = { .kind = VALUE_BYTES, .bytes = v->second };

		return v->kind == VALUE_PAIR && match_value(scope, p->items[0], &key) && match_value(scope, p->items[1], &second);
	}
	case PATTERN_LIST:	/* the whole list is field_fits()'s; one value is a list of one */
		return p->n_items == 1 && match_value(scope, p->items[0], v);
	default:
		break;
	}
	if (p->value->kind == EXPR_SCRAM)
		return scope->kind->scram_fits && scope->kind->scram_fits(scope, v, &why);
	if (!expr_value(scope, p->value, &want))
		return false;
	switch (p->kind) {
	case PATTERN_EQUAL:
		return equal(&want, v);
	case PATTERN_TOPIC:
		return v->kind == VALUE_BYTES && topic_matches(want.bytes, v->bytes);
	case PATTERN_RANGE:
		return expr_value(scope, p->high, &high) && v->kind == VALUE_NUMBER && v->number >= want.number && v->number <= high.number;
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

bool match_get(const struct packet *packet, const struct field *field, size_t nth, struct value *v)
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

static bool field_fits(struct scope *scope, const struct match *m, const struct packet *packet)
{
	const struct pattern *p = m->pattern;
	struct value v, second;
	bool several = m->field->repeats || m->field->kind == CODES || packet->type == SUBACK || packet->type == UNSUBACK;

	if (p->kind == PATTERN_LIST) {
		for (uint32_t i = 0; i < p->n_items; i++)
			if (!match_get(packet, m->field, i, &v) || !match_value(scope, p->items[i], &v))
				return false;
		return !packet_get(packet, m->field, p->n_items, &v);
	}
	if (p->kind == PATTERN_ONE_OF || p->kind == PATTERN_NOT) {	/* of whole lists too */
		for (uint32_t i = 0; i < p->n_items; i++) {
			struct match one = { .field = m->field, .pattern = p->items[i] };

			if (field_fits(scope, &one, packet))
				return p->kind == PATTERN_ONE_OF;
		}
		return p->kind == PATTERN_NOT;
	}
	match_get(packet, m->field, 0, &v);
	forgive(packet, m->field, p, &v);
	if (!match_value(scope, p, &v))
		return false;
	return !several || p->kind == PATTERN_PRESENT || p->kind == PATTERN_ABSENT || p->kind == PATTERN_ANY ||
	       !packet_get(packet, m->field, 1, &second);
}

static bool is_constant(const struct pattern *p)
{
	return !p->value || p->value->kind == EXPR_NUMBER || p->value->kind == EXPR_BYTES || p->value->kind == EXPR_SCRAM;
}

char *match_why(struct scope *scope, const struct match *m, const struct packet *packet, char *text, size_t cap)
{
	struct writer w = writer_to(text, cap - 1);
	const char *name = m->field->name, *expected = m->text ? m->text : name, *why;
	struct value v;

	if (!strncmp(expected, name, strlen(name)) && expected[strlen(name)] == '=')
		expected += strlen(name) + 1;
	else if (!strcmp(expected, name) && m->pattern->kind == PATTERN_EQUAL)
		expected = "1";		/* a bare flag */
	wr_text(&w, name);
	wr_text(&w, ": expected ");
	wr_text(&w, expected);
	if (m->pattern->kind == PATTERN_EQUAL && !is_constant(m->pattern) && expr_value(scope, m->pattern->value, &v)) {
		wr_text(&w, " (");
		render_value(&v, &w);
		wr_text(&w, ")");
	}
	wr_text(&w, ", received ");
	for (size_t i = 0; i < 8; i++) {
		if (!match_get(packet, m->field, i, &v)) {
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
		match_get(packet, m->field, 0, &v);
		if (scope->kind->scram_fits && !scope->kind->scram_fits(scope, &v, &why)) {
			wr_text(&w, ": ");
			wr_text(&w, why);
		}
	}
	text[w.len < w.cap ? w.len : w.cap] = 0;
	return text;
}

bool match_packet(struct scope *scope, const struct match *matches, uint32_t n, const struct packet *packet, const struct match **missed)
{
	*missed = NULL;
	for (uint32_t i = 0; i < n; i++)
		if (!field_fits(scope, &matches[i], packet)) {
			*missed = scope->failed ? NULL : &matches[i];
			return false;
		}
	return !scope->failed;
}
