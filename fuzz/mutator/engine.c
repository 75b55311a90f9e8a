#include "fuzz/mutator/engine.h"

/*
 * libFuzzer's way in. About every other time its own mutation is left to it: it has the dictionary, what the target compared with, and no idea of packets.
 */
size_t LLVMFuzzerMutate(uint8_t *bytes, size_t len, size_t cap) __attribute__((weak));	/* libFuzzer's; engines that only know its target function have none */
size_t LLVMFuzzerCustomMutator(uint8_t *bytes, size_t len, size_t cap, unsigned seed);
size_t LLVMFuzzerCustomCrossOver(const uint8_t *a, size_t a_len, const uint8_t *b, size_t b_len, uint8_t *out, size_t cap, unsigned seed);

/* A corpus may have inputs as large as can be; others do not grow to their size, for the smaller are played faster. */
enum { USUAL_MOST = 4096, GROWS_BY = 1024 };

size_t LLVMFuzzerCustomMutator(uint8_t *bytes, size_t len, size_t cap, unsigned seed)
{
	struct random random;
	size_t usual = len + GROWS_BY > USUAL_MOST ? len + GROWS_BY : USUAL_MOST;

	random_seed(&random, seed);
	if (cap > usual && random_below(&random, 64))
		cap = usual;
	if (LLVMFuzzerMutate && random_below(&random, 2))
		return LLVMFuzzerMutate(bytes, len, cap);
	do
		len = mutate_input(engine_shape, bytes, len, cap, &random);
	while (random_below(&random, 4) == 0);
	return len;
}

size_t LLVMFuzzerCustomCrossOver(const uint8_t *a, size_t a_len, const uint8_t *b, size_t b_len, uint8_t *out, size_t cap, unsigned seed)
{
	struct random random;

	random_seed(&random, seed);
	return cross_inputs(engine_shape, span_of(a, a_len), span_of(b, b_len), out, cap, &random);
}
