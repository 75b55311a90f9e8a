#ifndef PCAP_COPIES_H
#define PCAP_COPIES_H

#include "pcap/bytes.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * Copies of one packet, seen again at another place of its way: on another interface, as another type of packet on "any", in
 * another VLAN, a hop further. TCP sends the same bytes again too, and that is no copy. What tells them apart:
 *
 *   - A sender gives what it sends again another IPv4 id, and does not wait less than a millisecond for that.
 *   - Where there is no id (IPv6, and IPv4 with the id 0) a copy's checksum is the same too, and it is at another place than the
 *     packet it is a copy of. What is sent again passes the first place again; it is not a copy, and those that follow are copies of it.
 *   - Cooked v1 does not say on which interface a packet was seen. There, and only there, a like id is enough.
 *
 * Of a short time only, and of the last packets only: a copy follows within microseconds. One that is not noticed is harmless, since TCP
 * takes it for sent again; a packet that is wrongly called a copy is lost.
 */
enum { N_RECENT = 1024 };

struct seen {
	uint64_t hash;			/* of what is the same in all copies */
	uint64_t time_ns;
	uint32_t place;
	uint16_t id, checksum;
	bool place_unsure;
};

struct copies {
	struct seen recent[N_RECENT];
};

static inline uint64_t copies_mix(uint64_t a, uint64_t b)
{
	unsigned __int128 product = (unsigned __int128)(a ^ UINT64_C(0x9e3779b97f4a7c15)) * (b ^ UINT64_C(0xe7037ed1a0b428db));

	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static inline uint64_t copies_addresses(uint8_t family, const uint8_t *from, const uint8_t *to)
{
	uint64_t v[4];

	if (family == 4)
		return (uint64_t)be32(from) << 32 | be32(to);
	memcpy(v, from, 16);
	memcpy(v + 2, to, 16);
	return copies_mix(v[0], v[1]) ^ copies_mix(v[2], ~v[3]);
}

static inline bool copies_seen(struct copies *copies, const struct seen *s)
{
	enum { SHORT_NS = 1000000, LONGER_NS = 10000000 };
	struct seen *old = &copies->recent[s->hash % N_RECENT];

	if (old->hash == s->hash) {
		uint64_t apart = s->time_ns > old->time_ns ? s->time_ns - old->time_ns : old->time_ns - s->time_ns;
		bool same = s->id ? apart < LONGER_NS : apart < SHORT_NS && old->checksum == s->checksum;

		if (same && (old->place != s->place || (s->place_unsure && s->id)))
			return true;
	}
	*old = *s;
	return false;
}

#endif
