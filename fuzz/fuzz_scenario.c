#include <assert.h>
#include <stdlib.h>

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
		assert(script->n_cites == 32 || !(step->marks >> script->n_cites));
		for (uint32_t i = 0; i < step->n_matches; i++)
			assert(step->matches[i].field && step->matches[i].pattern && step->matches[i].bind < (int32_t)script->n_slots);
		for (uint32_t i = 0; i < step->n_assigns; i++)
			assert(step->assigns[i].value || step->assigns[i].field);
		n += walk(script, step->children, depth + 1);
	}
	return n;
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
		assert(walk(script, script->steps, 0) <= MAX_STEPS);
	}
	scenario_free(scenario);
	return 0;
}
