#ifndef PCAP_WHEN_H
#define PCAP_WHEN_H

#include <stdbool.h>
#include <stdint.h>

/* Where in a capture: which frame, counted from 1 as Wireshark does, and its time in nanoseconds since 1970. */
struct when {
	uint64_t frame;
	uint64_t time_ns;
	bool crossed;			/* what its sender wrote here may have crossed something that stands before it: when TCP
					 * handed the bytes over, they did not acknowledge all of the other end's handed over till then */
};

/* One end of a connection, or of a packet on its way. */
struct endpoint {
	uint8_t family;			/* 4 or 6 */
	uint8_t address[16];		/* in network order; of family 4 the first four, the rest 0 */
	uint16_t port;
};

enum { ENDPOINT_TEXT = 56 };
const char *endpoint_print(const struct endpoint *e, char room[ENDPOINT_TEXT]);	/* 10.0.0.1:1883, [::1]:1883; returns room */
bool endpoint_equal(const struct endpoint *a, const struct endpoint *b);

#endif
