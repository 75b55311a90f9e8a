#ifndef PCAP_BYTES_H
#define PCAP_BYTES_H

#include <endian.h>
#include <stdint.h>
#include <string.h>

/* Numbers in network order, wherever they stand. */

static inline uint16_t be16(const uint8_t *p)
{
	uint16_t v;

	memcpy(&v, p, sizeof(v));
	return be16toh(v);
}

static inline uint32_t be32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return be32toh(v);
}

#endif
