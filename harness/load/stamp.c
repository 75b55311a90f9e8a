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

void stamp_write(uint8_t *at, size_t size, const struct stamp *stamp)
{
	if (size == STAMP_SHORT) {
		put32(at, (stamp->run & 0xffff) | stamp->stream << 16);
		put32(at + 4, stamp->stream >> 16 | stamp->number << 16);
		put32(at + 8, stamp->number >> 16 | (uint32_t)(stamp->due_ns >> 6) << 16);
		put32(at + 12, (uint32_t)(stamp->due_ns >> 22));
		return;
	}
	put32(at, stamp->run);
	put32(at + 4, stamp->stream);
	put32(at + 8, stamp->number);
	put32(at + 12, stamp->epoch);
	put64(at + 16, stamp->due_ns);
	put64(at + 24, stamp->sent_ns);
}

bool stamp_read(struct span payload, uint32_t run, struct stamp *stamp)
{
	if (stamp_size(payload.len) == STAMP_SHORT) {
		uint64_t low = get64(payload.at), high = get64(payload.at + 8), due_ns = high >> 16 << 6;

		*stamp = (struct stamp){
			.run = run, .stream = (uint32_t)(low >> 16), .number = (uint32_t)(low >> 48 | high << 16),
			.epoch = UINT32_MAX, .due_ns = due_ns, .sent_ns = due_ns,
		};
		return (low & 0xffff) == (run & 0xffff);
	}
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
