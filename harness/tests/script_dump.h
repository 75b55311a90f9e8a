#ifndef HARNESS_TESTS_SCRIPT_DUMP_H
#define HARNESS_TESTS_SCRIPT_DUMP_H

#include <stdio.h>

#include "harness/script.h"

/* A script in one line, for tests: what a step became, constants in decimal, names by name. */

struct dump {
	char text[8192];
	size_t n;
	const struct script *script;
	const struct role *role;	/* whose steps they are; NULL: no role's */
};

__attribute__((format(printf, 2, 3))) static void put(struct dump *d, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	d->n += (size_t)vsnprintf(d->text + d->n, sizeof d->text - d->n, format, args);
	va_end(args);
	assert_true(d->n < sizeof d->text);
}

static void dump_bytes(struct dump *d, struct span s)
{
	bool plain = true;

	for (size_t i = 0; i < s.len; i++)
		plain &= s.at[i] >= ' ' && s.at[i] < 0x7f;
	if (plain) {
		put(d, "\"%.*s\"", (int)s.len, (const char *)s.at);
		return;
	}
	for (size_t i = 0; i < s.len; i++)
		put(d, "%s%02x", i ? " " : "hex\"", s.at[i]);
	put(d, "\"");
}

static void dump_expr(struct dump *d, const struct expr *e)
{
	switch (e->kind) {
	case EXPR_NUMBER: put(d, "%llu", (unsigned long long)e->number); break;
	case EXPR_BYTES: dump_bytes(d, e->bytes); break;
	case EXPR_VAR: put(d, "$%s", d->script->slots[e->slot]); break;
	case EXPR_TOPIC: put(d, "$topic"); break;
	case EXPR_ACTOR_FIELD: put(d, "$%s.%s", d->script->actors[e->slot].name, e->field->name); break;
	case EXPR_ARITH:
		put(d, "(");
		dump_expr(d, e->left);
		put(d, "%c", (char)e->number);
		dump_expr(d, e->right);
		put(d, ")");
		break;
	case EXPR_TEMPLATE: case EXPR_LIST:
		put(d, e->kind == EXPR_LIST ? "[" : "<");
		for (uint32_t i = 0; i < e->n_items; i++) {
			put(d, i ? " " : "");
			dump_expr(d, e->items[i]);
		}
		put(d, e->kind == EXPR_LIST ? "]" : ">");
		break;
	case EXPR_FILL: put(d, "fill "); dump_expr(d, e->left); break;
	case EXPR_RANDOM: put(d, "random "); dump_expr(d, e->left); break;
	case EXPR_STAMP: put(d, "stamp "); dump_expr(d, e->left); break;
	case EXPR_SCRAM: put(d, "scram%s", e->number ? " wrong" : ""); break;
	case EXPR_PAIR:
		dump_expr(d, e->left);
		put(d, ":");
		dump_expr(d, e->right);
		break;
	case EXPR_ABSENT: put(d, "absent"); break;
	case EXPR_CLIENT: put(d, "$n"); break;
	case EXPR_PICK: put(d, "pick %s", d->script->roles[e->slot].name); break;
	case EXPR_COLUMN: put(d, "$%s of %s", d->role->columns[e->slot].name, d->role->file); break;
	}
}

static void dump_pattern(struct dump *d, const struct pattern *p)
{
	static const char *const signs[] = { [PATTERN_LESS] = "<", [PATTERN_AT_MOST] = "<=", [PATTERN_MORE] = ">", [PATTERN_AT_LEAST] = ">=",
	                                     [PATTERN_TOPIC] = "~" };
	const char *between = p->kind == PATTERN_PAIR ? ":" : p->kind == PATTERN_LIST ? " " : "|";

	switch (p->kind) {
	case PATTERN_ABSENT: put(d, "absent"); return;
	case PATTERN_PRESENT: put(d, "present"); return;
	case PATTERN_ANY: put(d, "any"); return;
	case PATTERN_ONE_OF: case PATTERN_LIST: case PATTERN_PAIR: case PATTERN_NOT:
		put(d, p->kind == PATTERN_ONE_OF ? "(" : p->kind == PATTERN_LIST ? "[" : p->kind == PATTERN_NOT ? "not " : "");
		for (uint32_t i = 0; i < p->n_items; i++) {
			put(d, "%s", i ? between : "");
			dump_pattern(d, p->items[i]);
		}
		put(d, p->kind == PATTERN_ONE_OF ? ")" : p->kind == PATTERN_LIST ? "]" : "");
		return;
	default:
		put(d, "%s", p->kind == PATTERN_EQUAL || p->kind == PATTERN_RANGE ? "" : signs[p->kind]);
		dump_expr(d, p->value);
		if (p->kind == PATTERN_RANGE) {
			put(d, "..");
			dump_expr(d, p->high);
		}
	}
}

static void dump_assign(struct dump *d, const struct assign *a)
{
	static const char *const lies[] = { [ASSIGN_AGAIN] = "again ", [ASSIGN_OMIT] = "omit ", [ASSIGN_ENDS_AFTER] = "ends_after ",
		[ASSIGN_REMAINING_LENGTH] = "remaining_length", [ASSIGN_PROPERTY_LENGTH] = "property_length",
		[ASSIGN_WILL_PROPERTY_LENGTH] = "will.property_length", [ASSIGN_TRAILING] = "trailing", [ASSIGN_RAW_PROPERTY] = "property",
		[ASSIGN_RAW_WILL_PROPERTY] = "will.property", [ASSIGN_SIZE] = "size" };

	put(d, " %s%s%s", a->illegal ? "!" : "", lies[a->kind] ? lies[a->kind] : "", a->field ? a->field->name : "");
	if (a->value) {
		put(d, "=");
		dump_expr(d, a->value);
	}
}

static void dump_steps(struct dump *d, const struct step *s);

static void dump_duration(struct dump *d, const char *word, const struct expr *e)
{
	if (e) {
		put(d, " %s ", word);
		dump_expr(d, e);
	}
}

static void dump_filters(struct dump *d, const struct step *s)
{
	for (uint32_t i = 0; i < s->n_filters; i++) {
		put(d, i ? ", " : " (");
		dump_expr(d, s->filters[i].filter);
		for (uint32_t k = 0; k < s->filters[i].n_options; k++)
			dump_assign(d, &s->filters[i].options[k]);
	}
	put(d, s->n_filters ? ")" : "");
}

static void dump_step(struct dump *d, const struct step *s)
{
	static const char *const kinds[] = { "->", "bytes", "<-", "receives", "closed", "nothing", "connects", "subscribes", "unsubscribes",
		"publishes", "pings", "disconnects", "opens", "drops", "closes", "reads", "unordered", "either", "maybe", "repeat", "together",
		"block", "wait", "note", "warn", "skip", "lives", "settles", "answers", "every", "forever", "meet", "whenever", "again" };

	bool in_capture = d->script->capture && s->kind != STEP_WAIT && s->kind != STEP_NOTE;

	if (in_capture)
		put(d, "%s", d->script->actors[s->actor].name);
	for (uint32_t i = 0, n = 0; i < d->script->n_actors && !d->script->capture; i++)
		if (s->actors & 1u << i)
			put(d, "%s%s", n++ ? "|" : "", d->script->actors[i].name);
	put(d, "%s%s", s->actors || in_capture ? " " : "", kinds[s->kind]);
	if (s->kind == STEP_SEND || s->kind == STEP_EXPECT)
		put(d, " %s%s", s->illegal ? "!" : "", packet_name((enum packet_type)s->type));
	for (uint32_t i = 0; i < s->n_assigns; i++)
		dump_assign(d, &s->assigns[i]);
	dump_filters(d, s);
	if (s->n_matches && s->n_assigns + s->n_filters + (s->kind == STEP_CONNECTS))
		put(d, " gets");
	for (uint32_t i = 0; i < s->n_matches; i++) {
		put(d, " %s ", s->matches[i].field->name);
		dump_pattern(d, s->matches[i].pattern);
		if (s->matches[i].bind >= 0)
			put(d, " as %s", d->script->slots[s->matches[i].bind]);
	}
	if (s->closed_reason) {
		put(d, " reason ");
		dump_pattern(d, s->closed_reason);
	}
	put(d, "%s", s->or_nacked ? " or nacked" : "");
	dump_duration(d, "", s->value);
	dump_duration(d, "for", s->duration);
	dump_duration(d, "from", s->from);
	dump_duration(d, "to", s->to);
	if (s->slot >= 0)
		put(d, " as %s", d->script->slots[s->slot]);
	if (s->kind == STEP_MEET)
		put(d, " %s", d->script->meetings[s->meeting]);
	dump_duration(d, "flight", s->in_flight);
	dump_duration(d, "pieces", s->pieces);
	dump_duration(d, "every", s->every);
	dump_duration(d, "within", s->within);
	dump_duration(d, "after", s->after);
	if (s->of >= 0)
		put(d, " of %s", d->script->slots[s->of]);
	if (s->bind_moment >= 0)
		put(d, " moment %s", d->script->slots[s->bind_moment]);
	if (s->kind == STEP_READS)
		put(d, " %llu", (unsigned long long)s->rate);
	if (s->grows)
		put(d, " grows %llu", (unsigned long long)s->grows);
	if (s->busy)
		put(d, " busy %llu", (unsigned long long)s->busy);
	if (s->kind == STEP_NOTE || s->kind == STEP_WARN || s->kind == STEP_SKIP)
		put(d, " %s", s->text);
	if (s->children) {
		put(d, " { ");
		dump_steps(d, s->children);
		put(d, " }");
	}
	for (uint32_t i = 0; i < d->script->n_cites; i++)
		if (s->marks & 1u << i)
			put(d, " [%s]", d->script->cites[i]);
}

static void dump_steps(struct dump *d, const struct step *s)
{
	for (bool first = true; s; s = s->next, first = false) {
		put(d, first ? "" : "; ");
		dump_step(d, s);
	}
}

static void dump_roles(struct dump *d)
{
	for (const struct role *r = d->script->roles; r < d->script->roles + d->script->n_roles; r++) {
		put(d, "%srole %s", r > d->script->roles ? "; " : "", r->name);
		dump_duration(d, "x", r->count);
		dump_duration(d, "over", r->over);
		put(d, "%s%s { ", r->file ? " with " : "", r->file ? r->file : "");
		d->role = r;
		dump_steps(d, r->steps);
		put(d, " }");
	}
	d->role = NULL;
}

#endif
