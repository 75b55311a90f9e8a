#include "harness/load/plan.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/console.h"
#include "harness/nearest.h"

__attribute__((format(printf, 3, 4))) static bool wrong(struct fault *fault, struct place at, const char *format, ...)
{
	va_list args;

	fault->line = at.line;
	fault->column = at.column;
	va_start(args, format);
	vsnprintf(fault->text, sizeof fault->text, format, args);
	va_end(args);
	return false;
}

/* ---- what must be kept until a step asks for it ---- */

static void awaits(const struct step *s, bool *keeps)
{
	for (; s; s = s->next) {
		switch (s->kind) {
		case STEP_WHENEVER:
			continue;
		case STEP_RECEIVES:
			keeps[DELIVERY] = true;
			break;
		case STEP_EXPECT:
			keeps[arrival_kind_of((enum packet_type)s->type)] = true;
			break;
		case STEP_CLOSED:
			keeps[CONNECTION] = true;
			break;
		case STEP_NOTHING:		/* nothing unread either, of whatever kind */
			for (unsigned i = 0; i < N_ARRIVAL_KINDS; i++)
				keeps[i] = true;
			break;
		default:
			break;
		}
		awaits(s->children, keeps);
	}
}

/* ---- fleets ---- */

static bool no_column(const struct column_use *use, const struct role *role, const struct fleet *fleet, struct fault *fault)
{
	struct nearest nearest = { .word = span_text(use->name) };
	const char *name;

	for (unsigned i = 0; (name = fleet_name(fleet, i)); i++)
		nearest_try(&nearest, name);
	if (nearest.best)
		return wrong(fault, use->at, "%s has no column `%s`; did you mean `%s`?", console_safe(role->file), use->name, console_safe(nearest.best));
	if (!fleet_name(fleet, 1) && strpbrk(fleet_name(fleet, 0), ";\t|"))
		return wrong(fault, use->at, "%s has no column `%s`: its values are to be separated by `,`", console_safe(role->file), use->name);
	return wrong(fault, use->at, "`$%s` is neither bound here nor a column of %s", use->name, console_safe(role->file));
}

bool plan_suits(const struct role *role, const struct fleet *fleet, struct fault *fault)
{
	for (uint32_t i = 0; i < role->n_columns; i++)
		if (fleet_column(fleet, span_text(role->columns[i].name)) < 0)
			return no_column(&role->columns[i], role, fleet, fault);
	return role->count->number <= fleet_rows(fleet) ||
	       wrong(fault, role->count->at, "role `%s` has %llu clients, and %s rows for %u", role->name, (unsigned long long)role->count->number,
	             console_safe(role->file), fleet_rows(fleet));
}

static bool open_fleet(struct plan *plan, struct plan_role *r, const char *folder, struct fault *fault)
{
	const char *file = r->role->file;
	struct fault inner;

	for (const struct plan_role *before = plan->roles; before < r && !r->fleet; before++)
		if (before->role->file && !strcmp(before->role->file, file))
			r->fleet = before->fleet;
	if (!r->fleet && !folder)
		return wrong(fault, r->role->at, "%s: a workload that is no file of its own reads no other", console_safe(file));
	if (!r->fleet && !(r->fleet = fleet_read(folder, file, &inner)))
		return inner.line ? wrong(fault, r->role->at, "%s:%u:%u: %s", console_safe(file), inner.line, inner.column, inner.text)
		                  : wrong(fault, r->role->at, "read %s: %s", console_safe(file), inner.text);
	return plan_suits(r->role, r->fleet, fault);
}

/* ---- the plan ---- */

/* The first client of that shard: the least n with n * n_shards / N >= shard. */
static uint64_t share(uint64_t n, unsigned shard, unsigned n_shards)
{
	return (n * shard + n_shards - 1) / n_shards;
}

static bool make_role(struct plan *plan, struct plan_role *r, const char *folder, struct fault *fault)
{
	const struct role *role = r->role;

	r->n = role->count->number;
	r->over_ns = role->over ? role->over->number : 0;
	if (r->n && r->n < plan->n_shards)
		return wrong(fault, role->count->at, "role `%s` has %llu client%s for %u shards: each shard needs one at least", role->name,
		             (unsigned long long)r->n, r->n == 1 ? "" : "s", plan->n_shards);
	r->first = share(r->n, plan->shard, plan->n_shards);
	r->end = share(r->n, plan->shard + 1, plan->n_shards);
	awaits(role->steps, r->keeps);
	return !role->file || open_fleet(plan, r, folder, fault);
}

/* Clients have numbers of 24 bits in their thread, and there may be one thread only. */
static bool fits_in_process(const struct plan *plan, struct fault *fault)
{
	const uint64_t most = (1 << 24) - 1;
	uint64_t n = 0;

	for (uint32_t i = 0; i < plan->n_roles; i++) {
		n += plan->roles[i].end - plan->roles[i].first;
		if (n > most)
			return wrong(fault, plan->roles[i].role->at, "with role `%s` there are %llu clients for this process, which plays %llu at most: --shard I/N shares them out",
			             plan->roles[i].role->name, (unsigned long long)n, (unsigned long long)most);
	}
	return true;
}

bool plan_make(struct plan *plan, const struct script *script, const char *folder, struct fault *fault)
{
	assert(plan->shard < plan->n_shards);
	plan->script = script;
	plan->n_roles = script->n_roles;
	plan->roles = calloc(script->n_roles + 1, sizeof *plan->roles);
	if (!plan->roles)
		abort();
	for (uint32_t i = 0; i < plan->n_roles; i++) {
		plan->roles[i].role = &script->roles[i];
		if (!make_role(plan, &plan->roles[i], folder, fault)) {
			plan_release(plan);
			return false;
		}
	}
	if (fits_in_process(plan, fault))
		return true;
	plan_release(plan);
	return false;
}

void plan_release(struct plan *plan)
{
	for (uint32_t i = 0; i < plan->n_roles; i++) {
		bool shared = false;

		for (uint32_t k = 0; k < i; k++)
			shared |= plan->roles[k].fleet == plan->roles[i].fleet;
		if (!shared)
			fleet_free(plan->roles[i].fleet);
	}
	free(plan->roles);
	plan->roles = NULL;
	plan->n_roles = 0;
}
