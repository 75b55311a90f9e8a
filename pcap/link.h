#ifndef PCAP_LINK_H
#define PCAP_LINK_H

#include "codec/span.h"

/*
 * Link layers: Ethernet (EN10MB) with VLAN tags of 802.1Q and 802.1ad, any number up to MAX_TAGS; Linux cooked v1 and v2, tags
 * behind it too; raw IP; BSD NULL and LOOP in either byte order. Frames of 802.3 with a length carry no IP.
 */
enum link_type { LINK_NULL = 0, LINK_ETHERNET = 1, LINK_LOOP = 108, LINK_SLL = 113, LINK_RAW = 101, LINK_IPV4 = 228, LINK_IPV6 = 229, LINK_SLL2 = 276 };

enum { MAX_TAGS = 8 };

enum link_status { LINK_IP, LINK_OTHER, LINK_BAD /* cut within its header */, LINK_UNKNOWN };

struct link_ip {		/* an IP packet in a frame; bytes borrowed */
	struct span bytes;	/* up to the end of what was captured, an Ethernet's padding included */
	uint32_t before;	/* bytes of the frame before it */
	uint32_t place;		/* differs where one packet is seen at several places: its interface, packet type and tags */
};

enum link_status link_read(uint32_t link_type, struct span frame, struct link_ip *ip);

#endif
