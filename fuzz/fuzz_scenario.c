#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "harness/capture_script.h"

/*
 * A file of strangers: whatever it holds, parsing ends, with a scenario or with an error that has a place. What
 * comes out is walked as the engine would walk it.
 */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t walk(const struct script *script, const struct step *step, unsigned depth)
{
	size_t n = 0;

	assert(depth <= 40);
	for (; step; step = step->next, n++) {
		assert(step->text && step->at.line && step->at.column);
		assert(step->actor < (script->capture ? MAX_CAPTURE_ACTORS : MAX_ACTORS) && (step->n_matches == 0 || step->matches));
		assert(step->slot < (int32_t)script->n_slots && step->of < (int32_t)script->n_slots);
		assert(step->meeting < script->n_meetings || step->kind != STEP_MEET);
		assert(step->kind != STEP_WHENEVER || (step->children && step->children->next && !step->children->next->next));
		assert(script->n_cites == 32 || !(step->marks >> script->n_cites));
		for (uint32_t i = 0; i < step->n_matches; i++)
			assert(step->matches[i].field && step->matches[i].pattern && step->matches[i].bind < (int32_t)script->n_slots);
		for (uint32_t i = 0; i < step->n_assigns; i++)
			assert(step->assigns[i].value || step->assigns[i].field);
		n += walk(script, step->children, depth + 1);
	}
	return n;
}

static void walk_role(const struct script *script, const struct role *role)
{
	assert(role->name && role->count->kind == EXPR_NUMBER && role->count->number <= MAX_CLIENTS && role->steps);
	assert(!strcmp(role->name, script->actors[role - script->roles].name) && (role->file || !role->n_columns));
	for (uint32_t i = 0; i < role->n_columns; i++)
		assert(role->columns[i].name && role->columns[i].at.line);
	assert(walk(script, role->steps, 0) <= MAX_STEPS);
}

/* A step that was checked is read again as the same one: the reader asserts that it is one at all. */
static void read_again(const struct script *script)
{
	const struct capture_script *capture = script->capture;
	struct capture_reader *reader = capture_reader_new(script);
	struct region region = { 0 };
	uint32_t n = 0;

	assert(!script->steps && script->n_actors <= MAX_CAPTURE_ACTORS && capture->n_steps && capture->n_names == script->n_slots);
	for (uint32_t actor = 0; actor <= script->n_actors; actor++)
		for (uint32_t at = capture->first[actor]; at != NO_STEP; at = capture->steps[at].next, n++) {
			const struct capture_step *kept = &capture->steps[at];
			const struct step *step = capture_read(reader, at, &region);

			assert(kept->actor == (actor < script->n_actors ? actor : NOBODY) && (kept->next == NO_STEP || kept->next > at));
			assert(step->at.line == kept->line && (kept->part == PART_REMARK || step->actor == actor));
			walk(script, step, 0);
			region_release(&region);
		}
	assert(n == capture->n_steps);
	capture_reader_free(reader);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct param params[] = { { "n", "5" } };
	static struct diagnostics found;
	struct scenario *scenario;

	if (size > 1 << 16)
		return 0;
	scenario = scenario_parse("fuzz.scn", span_of(data, size), params, 1, &found);
	assert(!scenario == (found.n_errors > 0));
	for (uint32_t i = 0; i < found.n; i++)
		for (const char *c = found.list[i].text; *c; c++)
			assert((uint8_t)*c >= ' ' && (uint8_t)*c < 0x7f);
	for (uint32_t i = 0; scenario && i < scenario->n_scripts; i++) {
		const struct script *script = &scenario->scripts[i];

		if (script->capture) {
			scenario->text = span_of(data, size);
			read_again(script);
			continue;
		}
		assert(script->n_actors <= MAX_ACTORS && script->n_slots <= MAX_SLOTS && script->n_cites <= MAX_CITES);
		assert(!script->steps == !!script->roles && script->n_roles <= MAX_ACTORS && walk(script, script->steps, 0) <= MAX_STEPS);
		for (uint32_t k = 0; k < script->n_roles; k++)
			walk_role(script, &script->roles[k]);
	}
	scenario_free(scenario);
	return 0;
}
