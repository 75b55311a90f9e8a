#include "pcap/fragments.h"

#include <stdlib.h>

enum {
	MOST = 65535,			/* bytes of a packet */
	UNIT = 8,			/* fragments begin at multiples of it */
	N_UNITS = (MOST + UNIT) / UNIT,
	MAX_WAITING = 1024,
};

static const uint64_t patience_ns = 30 * UINT64_C(1000000000);	/* RFC 791 and 8200 allow 15 to 60 s */

struct datagram {				/* one that waits for the rest of its fragments */
	bool used;
	uint8_t family, protocol;
	bool has_first;
	uint8_t from[16], to[16];
	uint32_t id;
	uint64_t number, begun_ns;
	uint32_t len;			/* 0: its last fragment has not come */
	uint32_t n_units, furthest;	/* units there; behind the last byte there */
	uint32_t cut_at;		/* from here on bytes are missing that were sent: not captured */
	uint64_t there[(N_UNITS + 63) / 64];
	uint8_t bytes[N_UNITS * UNIT];
};

struct fragments {
	size_t n_slots;
	struct datagram **slots;		/* made when they are needed, and used again */
	uint64_t number, n_begun, n_whole;
};

struct fragments *fragments_new(size_t max_bytes)
{
	struct fragments *f = calloc(1, sizeof(*f));

	if (!f)
		abort();
	f->n_slots = max_bytes / sizeof(struct datagram);
	if (f->n_slots < 1)
		f->n_slots = 1;
	if (f->n_slots > MAX_WAITING)
		f->n_slots = MAX_WAITING;
	f->slots = calloc(f->n_slots, sizeof(struct datagram *));
	if (!f->slots)
		abort();
	return f;
}

static size_t address_len(uint8_t family)
{
	return family == 4 ? 4 : 16;
}

/* Packets of IPv4 are told apart by their protocol too; of IPv6 only the first fragment's next header has a meaning. */
static bool is_of(const struct datagram *p, const struct fragment *g)
{
	size_t n = address_len(g->family);

	return p->used && p->id == g->id && p->family == g->family && (g->family == 6 || p->protocol == g->protocol) &&
	       !memcmp(p->from, g->from, n) && !memcmp(p->to, g->to, n);
}

static void begin(struct fragments *f, struct datagram *p, const struct fragment *g)
{
	memset(p, 0, offsetof(struct datagram, bytes));
	p->used = true;
	p->family = g->family;
	p->protocol = g->protocol;
	memcpy(p->from, g->from, address_len(g->family));
	memcpy(p->to, g->to, address_len(g->family));
	p->id = g->id;
	p->begun_ns = g->time_ns;
	p->cut_at = UINT32_MAX;
	p->number = ++f->n_begun;
}

static bool is_stale(const struct datagram *p, uint64_t now_ns)
{
	return now_ns > p->begun_ns && now_ns - p->begun_ns > patience_ns;
}

/* The packet that g belongs to, perhaps a new one: in a free slot, else in place of the one that was begun first. */
static struct datagram *find(struct fragments *f, const struct fragment *g)
{
	size_t place = SIZE_MAX;

	for (size_t i = 0; i < f->n_slots; i++) {
		struct datagram *p = f->slots[i];

		if (p && is_of(p, g) && !is_stale(p, g->time_ns))
			return p;
		if (place != SIZE_MAX && (!f->slots[place] || !f->slots[place]->used))
			continue;
		if (place == SIZE_MAX || !p || !p->used || p->number < f->slots[place]->number)
			place = i;
	}
	if (!f->slots[place])
		f->slots[place] = malloc(sizeof(struct datagram));
	if (!f->slots[place])
		abort();
	begin(f, f->slots[place], g);
	return f->slots[place];
}

static bool is_there(const struct datagram *p, uint32_t unit)
{
	return p->there[unit / 64] >> unit % 64 & 1;
}

/* Unit by unit, what is not there yet. */
static void put(struct datagram *p, const struct fragment *g)
{
	uint32_t captured = (uint32_t)(g->bytes.len < g->len ? g->bytes.len : g->len);

	for (uint32_t at = 0; at < g->len; at += UNIT) {
		uint32_t unit = (g->offset + at) / UNIT, n = captured > at ? captured - at : 0, sent = g->len - at < UNIT ? g->len - at : UNIT;

		if (is_there(p, unit))
			continue;
		p->there[unit / 64] |= UINT64_C(1) << unit % 64;
		p->n_units++;
		if (n > sent)
			n = sent;
		if (n)
			memcpy(p->bytes + g->offset + at, g->bytes.at + at, n);
		if (n < sent && g->offset + at + n < p->cut_at)
			p->cut_at = g->offset + at + n;
	}
	if (g->offset + g->len > p->furthest)
		p->furthest = g->offset + g->len;
}

/* It lies within a packet, and within this one as far as that is known. */
static bool fits(const struct datagram *p, const struct fragment *g)
{
	uint32_t end = g->offset + g->len;

	if (!g->len || g->offset > MOST || g->len > MOST - g->offset || (g->more && g->len % UNIT))
		return false;
	if (!g->more)
		return p->len ? end == p->len : end >= p->furthest;
	return !p->len || end <= p->len;
}

enum fragment_status fragments_add(struct fragments *f, const struct fragment *g, struct whole *whole)
{
	struct datagram *p = find(f, g);

	f->number = p->number;
	if (!fits(p, g))
		return FRAGMENT_BAD;
	if (!g->more)
		p->len = g->offset + g->len;
	if (!g->offset && !p->has_first) {
		p->has_first = true;
		p->protocol = g->protocol;
	}
	put(p, g);
	if (!p->len || p->n_units < (p->len + UNIT - 1) / UNIT)
		return FRAGMENT_KEPT;
	p->used = false;
	f->n_whole++;
	*whole = (struct whole){ p->protocol, span_of(p->bytes, p->len < p->cut_at ? p->len : p->cut_at), p->len, p->number };
	return FRAGMENT_WHOLE;
}

uint64_t fragments_number(const struct fragments *f)
{
	return f->number;
}

uint64_t fragments_lost(const struct fragments *f)
{
	return f->n_begun - f->n_whole;
}

void fragments_free(struct fragments *f)
{
	if (!f)
		return;
	for (size_t i = 0; i < f->n_slots; i++)
		free(f->slots[i]);
	free(f->slots);
	free(f);
}
