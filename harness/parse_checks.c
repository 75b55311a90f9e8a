#include "harness/parse.h"

#include <stdio.h>

/*
 * What can be known of a script without a broker. An error here is certain; where something depends on what
 * only a run can tell, nothing is said.
 */

/* ---- either ---- */

enum { MAX_FIRSTS = 16 };

struct firsts {
	const struct step *list[MAX_FIRSTS];
	uint32_t n;
	const struct step *bad;		/* what no arrival can choose */
};

/* The receiving steps that can come first in a sequence. */
static void firsts_of(const struct step *s, struct firsts *f)
{
	for (; s; s = s->next) {
		switch (s->kind) {
		case STEP_EXPECT: case STEP_RECEIVES: case STEP_CLOSED: case STEP_NOTHING:
			if (f->n < MAX_FIRSTS)
				f->list[f->n++] = s;
			return;
		case STEP_UNORDERED:
			for (const struct step *c = s->children; c; c = c->next) {
				struct step alone = *c;

				alone.next = NULL;
				if (c->kind == STEP_BLOCK)
					firsts_of(c->children, f);
				else if (c->kind == STEP_EXPECT || c->kind == STEP_RECEIVES || c->kind == STEP_CLOSED) {
					if (f->n < MAX_FIRSTS)
						f->list[f->n++] = c;
				} else {
					firsts_of(&alone, f);
				}
			}
			return;
		case STEP_EITHER:
			for (const struct step *c = s->children; c; c = c->next)
				firsts_of(c->children, f);
			return;
		case STEP_REPEAT: case STEP_BLOCK:
			firsts_of(s->children, f);
			return;
		case STEP_MAYBE:
			if (f->n < MAX_FIRSTS)
				f->list[f->n++] = s->children;
			break;
		case STEP_NOTE: case STEP_WARN:
			break;
		default:
			if (!f->bad)
				f->bad = s;
			return;
		}
	}
}

static bool interval(const struct pattern *p, uint64_t *low, uint64_t *high)
{
	if (!p->value || p->value->kind != EXPR_NUMBER)
		return false;
	*low = 0;
	*high = UINT64_MAX;
	switch (p->kind) {
	case PATTERN_EQUAL:
		*low = *high = p->value->number;
		return true;
	case PATTERN_RANGE:
		*low = p->value->number;
		*high = p->high->number;
		return p->high->kind == EXPR_NUMBER;
	case PATTERN_LESS:
		*high = p->value->number - 1;
		return p->value->number > 0;
	case PATTERN_AT_MOST:
		*high = p->value->number;
		return true;
	case PATTERN_MORE:
		*low = p->value->number + 1;
		return p->value->number < UINT64_MAX;
	case PATTERN_AT_LEAST:
		*low = p->value->number;
		return true;
	default:
		return false;
	}
}

static bool same_expr(const struct expr *a, const struct expr *b)
{
	if (!a || !b)
		return a == b;
	if (a->kind != b->kind || a->number != b->number || a->slot != b->slot || a->field != b->field || a->n_items != b->n_items ||
	    !span_equal(a->bytes, b->bytes) || !same_expr(a->left, b->left) || !same_expr(a->right, b->right))
		return false;
	for (uint32_t i = 0; i < a->n_items; i++)
		if (!same_expr(a->items[i], b->items[i]))
			return false;
	return true;
}

/* Whether certainly each value that fits the second, or its absence, fits the first. */
static bool covers(const struct pattern *p, const struct pattern *other, unsigned *patience)
{
	uint64_t low_p, high_p, low, high;

	if (!*patience)
		return false;
	--*patience;
	if (other->kind == PATTERN_ONE_OF) {
		for (uint32_t i = 0; i < other->n_items; i++)
			if (!covers(p, other->items[i], patience))
				return false;
		return true;
	}
	if (p->kind == PATTERN_ONE_OF) {
		for (uint32_t i = 0; i < p->n_items; i++)
			if (covers(p->items[i], other, patience))
				return true;
		return false;
	}
	if (p->kind == PATTERN_ABSENT || other->kind == PATTERN_ABSENT)
		return p->kind == other->kind;
	if (p->kind == PATTERN_PRESENT)
		return other->kind != PATTERN_NOT && other->kind != PATTERN_ANY;
	if (interval(p, &low_p, &high_p) && interval(other, &low, &high))
		return low_p <= low && high <= high_p;
	return p->kind == PATTERN_EQUAL && other->kind == PATTERN_EQUAL && same_expr(p->value, other->value);
}

/* Whether no value can fit both, as far as can be told: where it depends on the run, or would take too long, yes. */
static bool may_exclude(const struct pattern *a, const struct pattern *b, unsigned *patience)
{
	uint64_t low_a, high_a, low_b, high_b;

	if (!*patience)
		return true;
	--*patience;
	if (a->kind == PATTERN_ONE_OF || b->kind == PATTERN_ONE_OF) {
		const struct pattern *many = a->kind == PATTERN_ONE_OF ? a : b, *other = many == a ? b : a;

		for (uint32_t i = 0; i < many->n_items; i++)
			if (!may_exclude(many->items[i], other, patience))
				return false;
		return true;
	}
	if (a->kind == PATTERN_LIST && b->kind == PATTERN_LIST) {
		if (a->n_items != b->n_items)
			return true;
		for (uint32_t i = 0; i < a->n_items; i++)
			if (may_exclude(a->items[i], b->items[i], patience))
				return true;
		return false;
	}
	if (a->kind == PATTERN_PAIR && b->kind == PATTERN_PAIR)
		return may_exclude(a->items[0], b->items[0], patience) || may_exclude(a->items[1], b->items[1], patience);
	if (a->kind == PATTERN_NOT || b->kind == PATTERN_NOT) {
		const struct pattern *inverse = a->kind == PATTERN_NOT ? a : b, *other = inverse == a ? b : a;

		return covers(inverse->items[0], other, patience);
	}
	if (a->kind == PATTERN_ABSENT || b->kind == PATTERN_ABSENT)
		return a->kind != b->kind && a->kind != PATTERN_ANY && b->kind != PATTERN_ANY;
	if (a->kind == PATTERN_ANY || b->kind == PATTERN_ANY || a->kind == PATTERN_PRESENT || b->kind == PATTERN_PRESENT)
		return false;
	if (interval(a, &low_a, &high_a) && interval(b, &low_b, &high_b))
		return high_a < low_b || high_b < low_a;
	return !(a->kind == b->kind && same_expr(a->value, b->value) && same_expr(a->high, b->high));
}

static bool told_apart(const struct step *a, const struct step *b)
{
	unsigned patience = 10000;

	if (!(a->actors & b->actors) || (a->kind == STEP_NOTHING) != (b->kind == STEP_NOTHING) ||
	    (a->kind == STEP_CLOSED) != (b->kind == STEP_CLOSED) ||
	    (a->kind != STEP_CLOSED && a->type != b->type))
		return true;
	for (uint32_t i = 0; i < a->n_matches; i++)
		for (uint32_t j = 0; j < b->n_matches; j++)
			if (a->matches[i].field == b->matches[j].field && may_exclude(a->matches[i].pattern, b->matches[j].pattern, &patience))
				return true;
	return false;
}

void check_either(struct parser *p, const struct step *step)
{
	struct firsts all[2];

	if (p->failed)
		return;
	for (const struct step *arm = step->children; arm; arm = arm->next) {
		all[0] = (struct firsts){ .n = 0 };
		firsts_of(arm->children, &all[0]);
		if (all[0].bad || !all[0].n) {
			fail_at(p, all[0].bad ? all[0].bad->at : arm->at, "an arm of `either` begins with the arrival that chooses it");
			return;
		}
		for (const struct step *other = step->children; other != arm; other = other->next) {
			all[1] = (struct firsts){ .n = 0 };
			firsts_of(other->children, &all[1]);
			for (uint32_t i = 0; i < all[0].n; i++)
				for (uint32_t j = 0; j < all[1].n; j++)
					if (!told_apart(all[0].list[i], all[1].list[j])) {
						fail_at(p, all[0].list[i]->at, "the same arrival could choose this arm and the one of line %u; "
						        "name a field in which they differ", all[1].list[j]->at.line);
						return;
					}
		}
	}
}

/* ---- order that nobody promised ---- */

static const struct pattern *matched(const struct step *step, const char *field)
{
	for (uint32_t i = 0; i < step->n_matches; i++)
		if (!strcmp(step->matches[i].field->name, field))
			return step->matches[i].pattern;
	return NULL;
}

/* A text that is certain but for the run's own topic. */
static bool certain_text(const struct expr *value, char *text, size_t size)
{
	size_t n = 0;

	if (value->kind == EXPR_TOPIC)
		return snprintf(text, size, "$") > 0;
	if (value->kind == EXPR_BYTES)
		return snprintf(text, size, "%.*s", (int)value->bytes.len, (const char *)value->bytes.at) < (int)size;
	if (value->kind != EXPR_TEMPLATE)
		return false;
	for (uint32_t i = 0; i < value->n_items; i++) {
		if (n >= size || !certain_text(value->items[i], text + n, size - n))
			return false;
		n += strlen(text + n);
	}
	return true;
}

static bool certainly_differ(const struct pattern *a, const struct pattern *b)
{
	char one[256], two[256];

	if (!a || !b || a->kind != PATTERN_EQUAL || b->kind != PATTERN_EQUAL)
		return false;
	if (a->value->kind == EXPR_NUMBER && b->value->kind == EXPR_NUMBER)
		return a->value->number != b->value->number;
	return certain_text(a->value, one, sizeof one) && certain_text(b->value, two, sizeof two) && strcmp(one, two);
}

static bool delivery(const struct step *step)
{
	return step->kind == STEP_RECEIVES || (step->kind == STEP_EXPECT && step->type == PUBLISH);
}

static void check_order_in(struct parser *p, const struct step *s, bool arm)
{
	const char *remedy = p->kind == FILE_WORKLOAD ? "take what comes by `whenever`" : "put the two into `unordered { }`";

	for (bool chooser = arm; s; s = s->next, chooser = false) {	/* what comes first in an arm was not asked for: it chose */
		const struct step *next = s->next;

		if (s->children && s->kind != STEP_UNORDERED)
			check_order_in(p, s->children, s->kind == STEP_BLOCK);
		for (const struct step *c = s->kind == STEP_UNORDERED ? s->children : NULL; c; c = c->next)
			check_order_in(p, c->children, false);
		if (chooser || !next || !delivery(s) || !delivery(next) || s->actors != next->actors || matched(next, "dup"))
			continue;
		if (certainly_differ(matched(s, "topic"), matched(next, "topic")))
			warn_at(p, next->at, "no order is promised between two topics; %s", remedy);
		else if (certainly_differ(matched(s, "qos"), matched(next, "qos")))
			warn_at(p, next->at, "no order is promised between two QoS; %s", remedy);
		else if (p->shared[s->actor] && !p->plain[s->actor])
			warn_at(p, next->at, "no order is promised for a shared subscription; %s", remedy);
	}
}

void check_order(struct parser *p, const struct step *steps)
{
	check_order_in(p, steps, false);
}

/* ---- time that the rule itself takes ---- */

enum { SLOW_S = 2 };

static uint64_t duration_of(const struct expr *e)	/* 0 where only a run can tell */
{
	return e && e->kind == EXPR_NUMBER ? e->number : 0;
}

/* How long a script waits however fast the broker is, as far as can be told. */
static uint64_t own_time(const struct step *s)
{
	uint64_t sum = 0;

	for (; s; s = s->next) {
		uint64_t inside = own_time(s->children), turns = 1;

		if (s->kind == STEP_REPEAT && s->from->kind == EXPR_NUMBER && s->to->kind == EXPR_NUMBER && s->to->number - s->from->number < MAX_STEPS)
			turns = s->to->number - s->from->number + 1;
		if (s->kind == STEP_NOTHING && !s->duration)
			sum += NOTHING_NS;
		else if (s->kind == STEP_WAIT || s->kind == STEP_NOTHING)
			sum += duration_of(s->duration);
		else if (s->kind != STEP_EITHER)	/* which arm it will be is not known */
			sum += duration_of(s->after) + turns * inside;
	}
	return sum;
}

static void check_slow(struct parser *p, const struct step *steps)
{
	for (uint32_t i = 0; i < p->n_tags; i++)
		if (!strcmp(p->tags[i], "slow"))
			return;
	if (own_time(steps) > SLOW_S * UINT64_C(1000000000))
		warn_at(p, p->case_name ? p->case_at : place_of(&p->all.at[0]), "waits for more than %d s by itself; write `tags slow`, by which it can be left out", SLOW_S);
}

/* ---- the whole script ---- */

void check_script(struct parser *p, const struct step *steps)
{
	bool watches = false;

	if (p->failed || p->kind != FILE_SCENARIO)
		return;
	for (uint32_t i = 0; i < p->n_watches; i++)
		watches |= p->watches[i].version == p->version || (p->version == MQTT_3_1 && p->watches[i].version == MQTT_3_1_1);
	if (!steps) {
		fail_at(p, p->case_name ? p->case_at : place_of(&p->all.at[0]), "there are no steps");
		return;
	}
	if (!p->n_marked && !watches && !p->header_failed)
		fail_at(p, p->case_name ? p->case_at : place_of(&p->all.at[0]), "no step judges anything in %s%s", version_name(p->version),
		        p->n_candidates > 1 ? "; put [CLAUSE] behind the steps that do" : "");
	check_order(p, steps);
	check_slow(p, steps);
}
