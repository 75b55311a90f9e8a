#include "harness/load/ledger.h"

static void put32(uint8_t *at, uint32_t v)
{
	for (unsigned i = 0; i < 4; i++)
		at[i] = (uint8_t)(v >> 8 * i);
}

static void put64(uint8_t *at, uint64_t v)
{
	put32(at, (uint32_t)v);
	put32(at + 4, (uint32_t)(v >> 32));
}

static uint32_t get32(const uint8_t *at)
{
	return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static uint64_t get64(const uint8_t *at)
{
	return get32(at) | (uint64_t)get32(at + 4) << 32;
}

void stamp_write(uint8_t *at, const struct stamp *stamp)
{
	put32(at, stamp->run);
	put32(at + 4, stamp->stream);
	put32(at + 8, stamp->number);
	put32(at + 12, stamp->epoch);
	put64(at + 16, stamp->due_ns);
	put64(at + 24, stamp->sent_ns);
}

bool stamp_read(struct span payload, uint32_t run, struct stamp *stamp)
{
	if (payload.len < STAMP_SIZE || get32(payload.at) != run)
		return false;
	*stamp = (struct stamp){
		.run = run,
		.stream = get32(payload.at + 4),
		.number = get32(payload.at + 8),
		.epoch = get32(payload.at + 12),
		.due_ns = get64(payload.at + 16),
		.sent_ns = get64(payload.at + 24),
	};
	return true;
}
