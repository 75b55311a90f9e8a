#include "fuzz/judged_moves.h"
#include "fuzz/mutator/engine.h"

/*
 * Clients that do to the broker what moves say, over up to eight connections, on virtual time: see moves.h for the form. The monitor judges all that it sends,
 * and what it owes to subscribers is to come.
 */
const enum engine_shape engine_shape = ENGINE_MOVES;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct moves moves;

	if (!dues_kept)
		MUST((dues_kept = dues_new()));
	moves_read(&moves, span_of(data, size));
	MUST(play_moves(&moves));
	return 0;
}
