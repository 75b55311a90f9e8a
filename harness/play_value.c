#include "harness/play.h"

#include <stdio.h>
#include <stdlib.h>

#include "codec/text.h"
#include "harness/match.h"

/* What names stand for in a timeline; eval.c and match.c do the rest. */

static struct play_scope *play_of(struct scope *scope)
{
	return (struct play_scope *)scope;
}

static bool bound_here(const struct timeline *t, const struct strand *s, uint32_t slot, struct value *value)
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

static void actor_field(struct timeline *t, const struct expr *e, struct value *value)
{
	struct actor_state *a = &t->actors[e->slot];
	unsigned id = e->field->property;

	if (!strcmp(e->field->name, "client_id") || id == PROP_assigned_client_identifier) {
		*value = (struct value){ .kind = VALUE_BYTES, .bytes = a->client_id };
		return;
	}
	if (!strcmp(e->field->name, "keep_alive"))
		id = PROP_server_keep_alive;
	*value = (struct value){ .kind = VALUE_NUMBER, .number = monitor_in_force(&a->conn.monitor, id) };
}

static bool look_up(struct scope *scope, const struct expr *e, struct value *value)
{
	struct play_scope *p = play_of(scope);

	if (e->kind == EXPR_VAR)
		return bound_here(p->timeline, p->strand, e->slot, value);
	if (e->kind != EXPR_ACTOR_FIELD)
		return false;
	actor_field(p->timeline, e, value);
	return true;
}

static void make(struct scope *scope, enum expr_kind kind, uint8_t *at, size_t n)
{
	struct timeline *t = play_of(scope)->timeline;
	char stamp[80] = "";
	struct random random;

	random_seed(&random, ++t->seed);
	if (kind == EXPR_STAMP)
		snprintf(stamp, sizeof(stamp), "%s %016llx %016llx ", t->name, (unsigned long long)++t->stamps,
		         (unsigned long long)t->stage->loop->now_ns);
	if (kind == EXPR_RANDOM) {
		for (size_t i = 0; i < n; i++)
			at[i] = (uint8_t)random_next(&random);
		return;
	}
	size_t head = strlen(stamp) < n ? strlen(stamp) : n;
	memcpy(at, stamp, head);
	fill_pattern(at + head, n - head, head);
}

static bool fits_scram(struct scope *scope, const struct value *value, const char **why)
{
	return scram_fits(play_of(scope)->timeline, value, why);
}

static bool make_scram(struct scope *scope, const struct expr *e, const struct packet *packet, struct value *value)
{
	struct timeline *t = play_of(scope)->timeline;

	return eval_scram(t, &t->actors[scope->step->actor], scope->step, e, packet, value);
}

static void failed(struct scope *scope, const struct expr *e, const char *what)
{
	struct timeline *t = play_of(scope)->timeline;

	if (e)
		give_up(t, VERDICT_ERROR, NULL, "%s:%u:%u: %s", t->script->scenario->file, e->at.line, e->at.column, what);
	else
		give_up(t, VERDICT_ERROR, scope->step, "%s", what);
}

struct play_scope play_scope(struct timeline *t, const struct strand *s, const struct step *step)
{
	static const struct scope_kind kind = {
		.look_up = look_up, .make = make, .scram = make_scram, .scram_fits = fits_scram, .failed = failed,
	};

	return (struct play_scope){
		.scope = { .kind = &kind, .scratch = t->stage->scratch, .topic = t->topic, .step = step },
		.timeline = t, .strand = s,
	};
}

bool eval(struct timeline *t, const struct strand *s, const struct expr *e, struct value *value)
{
	struct play_scope here = play_scope(t, s, NULL);

	return expr_value(&here.scope, e, value);
}

bool eval_number(struct timeline *t, const struct strand *s, const struct expr *e, uint64_t *number)
{
	struct play_scope here = play_scope(t, s, NULL);

	return expr_number(&here.scope, e, number);
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

bool packet_fits(struct timeline *t, const struct strand *s, const struct match *matches, uint32_t n,
                 const struct packet *packet, struct mismatch *mismatch)
{
	const struct match *missed;

	if (!n)
		return !t->over;
	struct play_scope here = play_scope(t, s, NULL);
	if (match_packet(&here.scope, matches, n, packet, &missed))
		return !t->over;
	if (missed && mismatch && !t->over) {
		char text[1024];

		mismatch->because = result_text(t->result, "%s", match_why(&here.scope, missed, packet, text, sizeof(text)));
	}
	return false;
}

void packet_bind(struct timeline *t, const struct match *matches, uint32_t n, const struct packet *packet)
{
	for (uint32_t i = 0; i < n; i++) {
		struct value v;

		if (matches[i].bind >= 0) {
			match_get(packet, matches[i].field, 0, &v);
			bind_slot(t, matches[i].bind, &v);
		}
	}
}

bool reason_fits(struct timeline *t, const struct strand *s, const struct pattern *pattern, unsigned reason)
{
	struct value v = { .kind = VALUE_NUMBER, .number = reason };
	struct play_scope here = play_scope(t, s, NULL);

	return match_value(&here.scope, pattern, &v);
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
