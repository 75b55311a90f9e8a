#ifndef PCAP_MASK_H
#define PCAP_MASK_H

#include "pcap/conversation.h"

/*
 * Passwords and authentication data are not shown unless the user asks for them. In packets that were read these are fields;
 * in one that was not, everything behind the point up to which it could be read may be one.
 */
static inline bool mask_property(unsigned id)
{
	return id == PROP_authentication_data;
}

/* Whether the part of a packet of that type holds a secret. A part of other fields, too, where it cannot be told. */
bool mask_part(enum packet_type type, const struct part *part);

struct masked {
	struct span bytes;		/* the packet's, '*' in place of what is secret; valid until mask_release() */
	size_t n_masked;
	uint8_t *copy;
};

void mask_bytes(struct masked *masked, const struct seen_packet *seen, bool secrets);	/* secrets: nothing is masked */
void mask_release(struct masked *masked);

#endif
