#include "pcap/link.h"

#include "pcap/bytes.h"

enum { TYPE_IPV4 = 0x0800, TYPE_IPV6 = 0x86dd, TYPE_8021Q = 0x8100, TYPE_8021AD = 0x88a8, TYPE_QINQ_OLD = 0x9100, TYPE_QINQ_OLDER = 0x9200 };

enum { RAW_BSD = 12, RAW_OPENBSD = 14 };	/* as some systems write RAW */

static bool is_tag(unsigned type)
{
	return type == TYPE_8021Q || type == TYPE_8021AD || type == TYPE_QINQ_OLD || type == TYPE_QINQ_OLDER;
}

/* p: behind the type field */
static enum link_status behind_type(unsigned type, const uint8_t *p, const uint8_t *end, uint32_t place, struct span frame, struct link_ip *ip)
{
	for (int i = 0; is_tag(type) && i < MAX_TAGS; i++) {
		if (end - p < 4)
			return LINK_BAD;
		place = place * 4099 + 1 + (be16(p) & 0xfff);
		type = be16(p + 2);
		p += 4;
	}
	if (type != TYPE_IPV4 && type != TYPE_IPV6)
		return LINK_OTHER;
	*ip = (struct link_ip){ span_of(p, (size_t)(end - p)), (uint32_t)(p - frame.at), place };
	return LINK_IP;
}

static enum link_status sll(const uint8_t *p, const uint8_t *end, struct span frame, struct link_ip *ip)
{
	if (end - p < 16)
		return LINK_BAD;
	return behind_type(be16(p + 14), p + 16, end, be16(p), frame, ip);
}

static enum link_status sll2(const uint8_t *p, const uint8_t *end, struct span frame, struct link_ip *ip)
{
	if (end - p < 20)
		return LINK_BAD;
	return behind_type(be16(p), p + 20, end, be32(p + 4) << 8 | p[10], frame, ip);
}

/* The address family as the capturing system numbers it: IPv4 is 2 everywhere. */
static bool is_ip_family(uint32_t family)
{
	return family == 2 || family == 10 || family == 24 || family == 28 || family == 30;
}

static enum link_status loopback(const uint8_t *p, const uint8_t *end, struct link_ip *ip)
{
	if (end - p < 4)
		return LINK_BAD;
	if (!is_ip_family(be32(p)) && !is_ip_family(__builtin_bswap32(be32(p))))
		return LINK_OTHER;
	*ip = (struct link_ip){ span_of(p + 4, (size_t)(end - p) - 4), 4, 0 };
	return LINK_IP;
}

enum link_status link_read(uint32_t link_type, struct span frame, struct link_ip *ip)
{
	const uint8_t *p = frame.at, *end = p + frame.len;

	switch (link_type) {
	case LINK_ETHERNET:
		return frame.len < 14 ? LINK_BAD : behind_type(be16(p + 12), p + 14, end, 0, frame, ip);
	case LINK_SLL:
		return sll(p, end, frame, ip);
	case LINK_SLL2:
		return sll2(p, end, frame, ip);
	case LINK_NULL:
	case LINK_LOOP:
		return loopback(p, end, ip);
	case LINK_RAW:
	case RAW_BSD:
	case RAW_OPENBSD:
	case LINK_IPV4:
	case LINK_IPV6:
		*ip = (struct link_ip){ frame, 0, 0 };
		return LINK_IP;
	}
	return LINK_UNKNOWN;
}
