#ifndef FUZZ_TARGET_H
#define FUZZ_TARGET_H

#include <stddef.h>
#include <stdint.h>

/* One input. data is a heap block of exactly that size, whichever main calls: reading past it is seen. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Packets that were delivered, both ways, in all inputs so far; by targets to which that matters. */
extern uint64_t fuzz_packets __attribute__((weak));

#endif
