#ifndef PCAP_IP_H
#define PCAP_IP_H

#include "pcap/capture.h"

/*
 * From a captured frame to a TCP segment: link layers (Ethernet with VLAN tags, Linux cooked v1 and v2, raw IP, BSD loopback),
 * IPv4 with fragments, IPv6 with extension headers and fragments.
 */
struct ip;

struct segment {		/* one TCP segment; bytes borrowed until the next call with the same struct ip */
	struct when when;
	struct endpoint from, to;
	uint32_t seq, ack;
	uint16_t window;		/* as on the wire */
	uint8_t flags;			/* TCP_* */
	struct span bytes;		/* the payload, as far as it was captured */
	uint32_t len;			/* of the payload on the wire: more than bytes.len where the snap length cut it */
};

enum { TCP_FIN = 1, TCP_SYN = 2, TCP_RST = 4, TCP_PSH = 8, TCP_ACK = 16 };

enum ip_status {
	IP_SEGMENT,
	IP_OTHER,			/* not TCP */
	IP_FRAGMENT,			/* kept: the packet is not whole yet */
	IP_COPY,			/* this very packet was seen a moment ago on another interface (or twice on "any") */
	IP_BAD,				/* cut or wrong in a header */
	IP_UNKNOWN_LINK,		/* a link type that is not read */
};

struct ip_counts {
	uint64_t segments, other, fragments, copies, bad, unknown_link;
	uint64_t fragments_lost;	/* packets whose other fragments have not come, or were let go for want of room */
	uint32_t unknown_link_type;	/* the first of them */
};

struct ip *ip_new(size_t max_fragment_bytes);	/* given; 0: the default, 4 MiB */
enum ip_status ip_read(struct ip *ip, const struct record *record, struct segment *segment);
/*
 * Of the record read last, when it was a fragment (also the one that made the packet whole): which packet it belongs to, 1, 2...; else 0.
 */
uint64_t ip_fragmented(const struct ip *ip);
const struct ip_counts *ip_counts(const struct ip *ip);
void ip_free(struct ip *ip);

#endif
