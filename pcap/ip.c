#include "pcap/ip.h"

#include <stdlib.h>

#include "pcap/bytes.h"
#include "pcap/copies.h"
#include "pcap/fragments.h"
#include "pcap/link.h"

enum { FRAGMENT_BYTES = 4 << 20, MAX_HEADERS = 16 };

enum protocol { HOP_BY_HOP = 0, TCP = 6, ROUTING = 43, FRAGMENT = 44, AUTHENTICATION = 51, DESTINATION = 60, MOBILITY = 135 };

struct ip {
	struct ip_counts counts;
	struct fragments *fragments;
	struct copies copies;
	uint64_t fragmented;
};

/* An IP packet's header, read: what stands behind it, which of the wire's bytes were captured, and which packet it is. */
struct carried {
	uint8_t family, protocol, hops;
	const uint8_t *from, *to;	/* addresses */
	uint32_t id;			/* of IPv6 a fragment's only */
	struct span bytes;		/* up to the packet's end, or to where it was cut */
	uint32_t len;			/* on the wire; bytes.len or more */
	bool fragment, more;
	uint32_t offset;
};

struct ip *ip_new(size_t max_fragment_bytes)
{
	struct ip *ip = calloc(1, sizeof(*ip));

	if (!ip)
		abort();
	ip->fragments = fragments_new(max_fragment_bytes ? max_fragment_bytes : FRAGMENT_BYTES);
	return ip;
}

/* ---- headers ---- */

static bool pass(struct carried *c, size_t n)
{
	if (c->bytes.len < n || c->len < n)
		return false;
	c->bytes.at += n;
	c->bytes.len -= n;
	c->len -= (uint32_t)n;
	return true;
}

/* What the header says of the length holds; an Ethernet pads, and a snap length cuts. With 0 the sender's card was to fill it in. */
static void set_length(struct carried *c, uint32_t len, uint32_t on_wire)
{
	c->len = len ? len : on_wire;
	if (c->bytes.len > c->len)
		c->bytes.len = c->len;
}

static bool read_ipv4(struct carried *c, uint32_t on_wire)
{
	const uint8_t *p = c->bytes.at;

	if (c->bytes.len < 20)
		return false;
	size_t head = (p[0] & 15u) * 4;
	unsigned fragment = be16(p + 6);
	set_length(c, be16(p + 2), on_wire);
	c->family = 4;
	c->hops = p[8];
	c->protocol = p[9];
	c->from = p + 12;
	c->to = p + 16;
	c->id = be16(p + 4);
	c->more = fragment & 0x2000;
	c->offset = (fragment & 0x1fff) * 8;
	c->fragment = c->more || c->offset;
	return head >= 20 && pass(c, head);
}

static bool read_ipv6(struct carried *c, uint32_t on_wire)
{
	const uint8_t *p = c->bytes.at;

	if (c->bytes.len < 40)
		return false;
	uint32_t payload = be16(p + 4);
	set_length(c, payload ? payload + 40 : 0, on_wire);
	c->family = 6;
	c->protocol = p[6];
	c->hops = p[7];
	c->from = p + 8;
	c->to = p + 24;
	return pass(c, 40);
}

static bool is_extension(const struct carried *c)
{
	switch (c->protocol) {
	case HOP_BY_HOP:
	case ROUTING:
	case DESTINATION:
	case MOBILITY:
	case FRAGMENT:
		return c->family == 6;
	case AUTHENTICATION:
		return true;
	}
	return false;
}

/* Up to TCP, a fragment, or what is not read. False: cut or wrong within a header. */
static bool pass_extensions(struct carried *c)
{
	for (int i = 0; i < MAX_HEADERS && !c->fragment && is_extension(c); i++) {
		const uint8_t *p = c->bytes.at;
		size_t n = 8;

		if (c->bytes.len < 8)
			return false;
		if (c->protocol == AUTHENTICATION) {
			n = (p[1] + 2u) * 4;
		} else if (c->protocol == FRAGMENT) {
			c->offset = be16(p + 2) & 0xfff8u;
			c->more = p[3] & 1;
			c->fragment = c->more || c->offset;	/* with neither it is whole: RFC 6946 */
			c->id = be32(p + 4);
		} else {
			n = (p[1] + 1u) * 8;
		}
		c->protocol = p[0];
		if (!pass(c, n))
			return false;
	}
	return true;
}

static bool read_header(const struct link_ip *link, uint32_t original_len, struct carried *c)
{
	uint32_t on_wire = original_len > link->before ? original_len - link->before : 0;

	if (on_wire < link->bytes.len)
		on_wire = (uint32_t)link->bytes.len;
	*c = (struct carried){ .bytes = link->bytes };
	if (!c->bytes.len)
		return false;
	switch (c->bytes.at[0] >> 4) {
	case 4: return read_ipv4(c, on_wire) && (c->protocol == TCP || pass_extensions(c));
	case 6: return read_ipv6(c, on_wire) && (c->protocol == TCP || pass_extensions(c));
	}
	return false;
}

/* ---- TCP ---- */

static void set_endpoint(struct endpoint *e, uint8_t family, const uint8_t *address, uint16_t port)
{
	*e = (struct endpoint){ .family = family, .port = port };
	memcpy(e->address, address, family == 4 ? 4 : 16);
}

static enum ip_status read_tcp(struct ip *ip, const struct carried *c, const struct record *record, struct segment *s)
{
	const uint8_t *p = c->bytes.at;
	size_t head;

	if (c->bytes.len < 20 || (head = (p[12] >> 4) * 4u) < 20 || c->len < head) {
		ip->counts.bad++;
		return IP_BAD;
	}
	size_t captured = c->bytes.len > head ? c->bytes.len - head : 0;	/* options may be cut: nothing is asked of them */
	*s = (struct segment){
		.when = record->when, .seq = be32(p + 4), .ack = be32(p + 8), .flags = p[13], .window = be16(p + 14),
		.bytes = span_of(p + c->bytes.len - captured, captured), .len = c->len - (uint32_t)head,
	};
	set_endpoint(&s->from, c->family, c->from, be16(p));
	set_endpoint(&s->to, c->family, c->to, be16(p + 2));
	ip->counts.segments++;
	return IP_SEGMENT;
}

static enum ip_status read_fragment(struct ip *ip, struct carried *c, const struct record *record, struct segment *s)
{
	struct fragment g = {
		.time_ns = record->when.time_ns, .family = c->family, .protocol = c->protocol, .from = c->from, .to = c->to,
		.id = c->id, .offset = c->offset, .more = c->more, .bytes = c->bytes, .len = c->len,
	};
	struct whole whole;
	enum fragment_status status = fragments_add(ip->fragments, &g, &whole);

	ip->fragmented = fragments_number(ip->fragments);
	ip->counts.fragments_lost = fragments_lost(ip->fragments);
	if (status == FRAGMENT_BAD) {
		ip->counts.bad++;
		return IP_BAD;
	}
	ip->counts.fragments++;
	if (status == FRAGMENT_KEPT)
		return IP_FRAGMENT;
	c->fragment = false;
	c->protocol = whole.protocol;
	c->bytes = whole.bytes;
	c->len = whole.len;
	if (!pass_extensions(c)) {
		ip->counts.bad++;
		return IP_BAD;
	}
	if (c->protocol != TCP || c->fragment) {
		ip->counts.other++;
		return IP_OTHER;
	}
	return read_tcp(ip, c, record, s);
}

/* ---- copies ---- */

static bool is_copy(struct ip *ip, const struct carried *c, const struct link_ip *link, const struct record *record)
{
	struct seen seen = {
		.time_ns = record->when.time_ns,
		.place = (record->interface * 0x9e3779b1u) ^ (link->place << 8) ^ c->hops,
		.id = c->family == 4 ? (uint16_t)c->id : 0,
		.place_unsure = record->link_type == LINK_SLL,
	};
	const uint8_t *p = c->bytes.at;
	uint64_t what = (uint64_t)c->id << 32 | c->offset << 16 | (c->len & 0xffff);

	if (!c->fragment) {
		if (c->bytes.len < 20)
			return false;
		seen.checksum = be16(p + 16);
		what ^= (uint64_t)be32(p + 12) << 32;		/* flags and window */
	}
	if (c->bytes.len < 12)
		return false;
	seen.hash = copies_mix(what, be32(p)) ^ copies_mix((uint64_t)be32(p + 4) << 32 | be32(p + 8), copies_addresses(c->family, c->from, c->to));
	return copies_seen(&ip->copies, &seen);
}

/* ---- all ---- */

enum ip_status ip_read(struct ip *ip, const struct record *record, struct segment *s)
{
	struct link_ip link;
	struct carried c;

	ip->fragmented = 0;
	switch (link_read(record->link_type, record->bytes, &link)) {
	case LINK_IP:
		break;
	case LINK_OTHER:
		ip->counts.other++;
		return IP_OTHER;
	case LINK_BAD:
		ip->counts.bad++;
		return IP_BAD;
	case LINK_UNKNOWN:
		if (!ip->counts.unknown_link++)
			ip->counts.unknown_link_type = record->link_type;
		return IP_UNKNOWN_LINK;
	}
	if (!read_header(&link, record->original_len, &c)) {
		ip->counts.bad++;
		return IP_BAD;
	}
	if (c.protocol != TCP && !(c.fragment && is_extension(&c))) {
		ip->counts.other++;
		return IP_OTHER;
	}
	if (is_copy(ip, &c, &link, record)) {
		ip->counts.copies++;
		return IP_COPY;
	}
	return c.fragment ? read_fragment(ip, &c, record, s) : read_tcp(ip, &c, record, s);
}

uint64_t ip_fragmented(const struct ip *ip)
{
	return ip->fragmented;
}

const struct ip_counts *ip_counts(const struct ip *ip)
{
	return &ip->counts;
}

void ip_free(struct ip *ip)
{
	if (!ip)
		return;
	fragments_free(ip->fragments);
	free(ip);
}
