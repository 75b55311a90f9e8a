#include "fuzz/input.h"
#include "fuzz/judged_broker.h"
#include "fuzz/mutator/engine.h"

const enum engine_shape engine_shape = ENGINE_HEADED;

/*
 * One client's bytes, as they come from the network. The first byte says in which pieces (its low seven bits; 0: in one) and whether half a second passes
 * between them (bit 7); the second bends the broker's configuration; then the bytes.
 */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, data + size };
	unsigned how = take(&in), piece = how & 0x7f;
	struct end *e = judged.ends;

	if (!judged_start(take(&in)))
		return 0;
	open_end(e);
	while (left(&in)) {
		size_t len = piece && piece < left(&in) ? piece : left(&in);

		send_piece(e, in.at, len);
		in.at += len;
		settle();
		wait_for(how & 0x80 ? 500000000 : 1);	/* a turn at least, for what could not be done at once */
	}
	check_memory();
	wait_for(UINT64_C(2000000000));
	judged_end();
	return 0;
}
