#include "pcap/ip.h"

#include <stdlib.h>

struct ip {
	struct ip_counts counts;
};

struct ip *ip_new(size_t max_fragment_bytes)
{
	(void)max_fragment_bytes;
	return calloc(1, sizeof(struct ip));
}

static unsigned be16(const uint8_t *p)
{
	return (unsigned)p[0] << 8 | p[1];
}

static uint32_t be32(const uint8_t *p)
{
	return (uint32_t)be16(p) << 16 | be16(p + 2);
}

enum ip_status ip_read(struct ip *ip, const struct record *r, struct segment *s)
{
	const uint8_t *p = r->bytes.at, *end = p + r->bytes.len;
	size_t size;

	*s = (struct segment){ .when = r->when };
	if (r->link_type == 1) {
		if (end - p < 14)
			return ip->counts.bad++, IP_BAD;
		unsigned type = be16(p + 12);
		p += 14;
		while ((type == 0x8100 || type == 0x88a8) && end - p >= 4) {
			type = be16(p + 2);
			p += 4;
		}
		if (type != 0x800 && type != 0x86dd)
			return ip->counts.other++, IP_OTHER;
	} else if (r->link_type != 101 && r->link_type != 12) {
		return ip->counts.unknown_link++, IP_UNKNOWN_LINK;
	}
	if (end - p < 20)
		return ip->counts.bad++, IP_BAD;
	if (*p >> 4 == 4) {
		size_t head = (*p & 15u) * 4;
		size = be16(p + 2);
		if (p[9] != 6)
			return ip->counts.other++, IP_OTHER;
		s->from.family = s->to.family = 4;
		memcpy(s->from.address, p + 12, 4);
		memcpy(s->to.address, p + 16, 4);
		if (head < 20 || size < head || (size_t)(end - p) < head + 20)
			return ip->counts.bad++, IP_BAD;
		size -= head;
		p += head;
	} else {
		if (end - p < 60)
			return ip->counts.bad++, IP_BAD;
		size = be16(p + 4);
		if (p[6] != 6)
			return ip->counts.other++, IP_OTHER;
		s->from.family = s->to.family = 6;
		memcpy(s->from.address, p + 8, 16);
		memcpy(s->to.address, p + 24, 16);
		p += 40;
	}
	size_t head = (p[12] >> 4) * 4u;
	if (head < 20 || size < head || (size_t)(end - p) < head)
		return ip->counts.bad++, IP_BAD;
	s->from.port = (uint16_t)be16(p);
	s->to.port = (uint16_t)be16(p + 2);
	s->seq = be32(p + 4);
	s->ack = be32(p + 8);
	s->flags = p[13];
	s->window = (uint16_t)be16(p + 14);
	s->len = (uint32_t)(size - head);
	s->bytes = span_of(p + head, s->len < (size_t)(end - p) - head ? s->len : (size_t)(end - p) - head);
	ip->counts.segments++;
	return IP_SEGMENT;
}

const struct ip_counts *ip_counts(const struct ip *ip)
{
	return &ip->counts;
}

void ip_free(struct ip *ip)
{
	free(ip);
}
