#ifndef PCAP_FRAGMENTS_H
#define PCAP_FRAGMENTS_H

#include "codec/span.h"

/*
 * IP packets made whole from their fragments, in whatever order these come. Where they overlap, the bytes that came first
 * count. Bounded: when there is no room the packet longest waiting is let go, and so is one whose fragments have not all come after 30 s.
 */
struct fragments;

struct fragment {		/* bytes and addresses borrowed for the call */
	uint64_t time_ns;
	uint8_t family;			/* 4 or 6 */
	uint8_t protocol;		/* of what is in the packet; of IPv6 the next header as this fragment names it */
	const uint8_t *from, *to;	/* addresses: 4 or 16 bytes */
	uint32_t id;
	uint32_t offset;		/* of its bytes in the packet's */
	bool more;			/* it is not the last */
	struct span bytes;		/* as far as captured */
	uint32_t len;			/* on the wire */
};

struct whole {			/* bytes are borrowed until the next fragment */
	uint8_t protocol;		/* the first fragment's */
	struct span bytes;		/* up to where the first captured fragment was cut */
	uint32_t len;
	uint64_t number;		/* as fragments_number() said of each of its fragments */
};

enum fragment_status { FRAGMENT_KEPT, FRAGMENT_WHOLE, FRAGMENT_BAD };

struct fragments *fragments_new(size_t max_bytes);	/* given */
enum fragment_status fragments_add(struct fragments *fragments, const struct fragment *fragment, struct whole *whole);
uint64_t fragments_number(const struct fragments *fragments);	/* of the packet that the last fragment belongs to: 1, 2... */
uint64_t fragments_lost(const struct fragments *fragments);	/* packets begun that did not become whole, or not yet */
void fragments_free(struct fragments *fragments);	/* harmless with NULL */

#endif
