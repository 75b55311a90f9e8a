#include <assert.h>
#include <stdlib.h>

#include "pcap/tcp_internal.h"

/*
 * Blocks come in two sizes that are used again, and in any larger one. What lies unused in the pool is bounded apart: the
 * limits are about what is held.
 */
enum { N_ROOMS = 2, POOL_MOST = 512 * 1024 };
static const uint32_t rooms[N_ROOMS] = { 256, 2048 };

static unsigned room_index(size_t size)
{
	return size <= rooms[0] ? 0 : size <= rooms[1] ? 1 : N_ROOMS;
}

static size_t room_of(size_t len)
{
	unsigned i = room_index(sizeof(struct held) + len);

	return i < N_ROOMS ? rooms[i] : sizeof(struct held) + len;
}

static struct held *held_new(struct connection *c, size_t len)
{
	struct tcp *tcp = c->tcp;
	size_t room = room_of(len);
	unsigned i = room_index(room);
	struct held *held;

	if (i < N_ROOMS && tcp->pool[i]) {
		held = tcp->pool[i];
		tcp->pool[i] = held->next;
		tcp->pool_bytes -= room;
	} else {
		held = malloc(room);
		if (!held)
			return NULL;
	}
	held->room = (uint32_t)room;
	held->len = (uint32_t)len;
	c->held_bytes += room;
	c->n_held++;
	tcp->counts.bytes_now += room;
	if (tcp->counts.bytes_now > tcp->counts.bytes_most)
		tcp->counts.bytes_most = tcp->counts.bytes_now;
	return held;
}

void tcp_held_free(struct connection *c, struct held *held)
{
	struct tcp *tcp = c->tcp;
	unsigned i = room_index(held->room);

	c->held_bytes -= held->room;
	c->n_held--;
	tcp->counts.bytes_now -= held->room;
	if (i < N_ROOMS && tcp->pool_bytes + held->room <= POOL_MOST) {
		held->next = tcp->pool[i];
		tcp->pool[i] = held;
		tcp->pool_bytes += held->room;
	} else {
		free(held);
	}
}

void tcp_held_pool_free(struct tcp *tcp)
{
	for (unsigned i = 0; i < N_ROOMS; i++) {
		for (struct held *held = tcp->pool[i], *next; held; held = next) {
			next = held->next;
			free(held);
		}
		tcp->pool[i] = NULL;
	}
}

void tcp_held_drop(struct connection *c, unsigned end)
{
	struct half *h = &c->half[end];

	for (struct held *held = h->held, *next; held; held = next) {
		next = held->next;
		tcp_held_free(c, held);
	}
	h->held = h->last = NULL;
}

static uint64_t held_end(const struct held *held)
{
	return held->at + held->len + held->cut;
}

struct piece tcp_piece_part(const struct piece *p, uint64_t from, uint64_t to)
{
	uint64_t captured = p->at + p->bytes.len;
	struct piece q = *p;

	q.at = from;
	q.bytes = from < captured ? span_of(p->bytes.at + (from - p->at), (to < captured ? to : captured) - from) : span_of(NULL, 0);
	q.cut = (uint32_t)(to - from - q.bytes.len);
	return q;
}

static bool insert(struct connection *c, struct half *h, struct held *before, const struct piece *p)
{
	struct held *held = held_new(c, p->bytes.len);

	if (!held)
		return false;
	held->at = p->at;
	held->ack = p->ack;
	held->when = p->when;
	held->arrived_ns = tcp_stamp(c->tcp);
	held->arrived_segment = c->tcp->counts.segments;
	held->cut = p->cut;
	if (p->bytes.len)
		memcpy(held->bytes, p->bytes.at, p->bytes.len);
	held->next = before ? before->next : h->held;
	*(before ? &before->next : &h->held) = held;
	if (!held->next)
		h->last = held;
	return true;
}

/* The part of p that lies in held, which came first. */
static void meet(struct held *held, const struct piece *p, struct overlap *overlap)
{
	size_t n = p->bytes.len, from = (size_t)(p->at - held->at);

	if (n > (from < held->len ? held->len - from : 0))
		n = from < held->len ? held->len - from : 0;
	*(n && memcmp(held->bytes + from, p->bytes.at, n) != 0 ? &overlap->other : &overlap->same) += (uint32_t)(p->bytes.len + p->cut);
	/* Another copy with an earlier acknowledgement: it was sent before what this one waits for. */
	if (p->at == held->at && p->ack < held->ack && piece_end(p) == held_end(held))
		held->ack = p->ack;
}

bool tcp_hold_full(const struct connection *c, unsigned end, const struct piece *p)
{
	return c->held_bytes + room_of(p->bytes.len) > c->tcp->limits.flow_bytes ||
	       c->n_held >= (c->half[!end].seen ? HELD_MOST : HELD_MOST_ONE_WAY);
}

uint64_t tcp_hold(struct connection *c, unsigned end, const struct piece *piece, struct overlap *overlap)
{
	const struct tcp *tcp = c->tcp;
	struct half *h = &c->half[end];
	struct held *before = NULL, *held = h->held;
	uint64_t at = piece->at, to = piece_end(piece);

	assert(at >= h->next && at < to);
	if (h->last && held_end(h->last) <= at) {
		before = h->last;
		held = NULL;
	}
	for (; held && held_end(held) <= at; held = held->next)
		before = held;
	while (at < to) {
		uint64_t upto = held && held->at < to ? held->at : to;

		if (at < upto) {
			struct piece p = tcp_piece_part(piece, at, upto);

			if (tcp_hold_full(c, end, &p) || tcp->counts.bytes_now + room_of(p.bytes.len) > tcp->limits.all_bytes || !insert(c, h, before, &p))
				return at;
			before = before ? before->next : h->held;
			at = upto;
		}
		if (at < to) {
			uint64_t covered = held_end(held) < to ? held_end(held) : to;
			struct piece p = tcp_piece_part(piece, at, covered);

			meet(held, &p, overlap);
			at = covered;
			before = held;
			held = held->next;
		}
	}
	return to;
}
