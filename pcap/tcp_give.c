#include "pcap/tcp_internal.h"

void tcp_give_piece(struct connection *c, unsigned end, const struct piece *p)
{
	struct tcp *tcp = c->tcp;
	struct half *h = &c->half[end];
	struct when when = p->when;

	h->next += p->bytes.len;
	h->begun = true;
	if (p->bytes.len && !c->ignored) {
		when.crossed = when.crossed || p->ack < c->half[!end].next;
		tcp_recent_add(tcp, h, p->at, p->bytes);
		tcp->events.bytes(tcp->context, &c->flow, end, p->bytes, &when);
	}
	if (p->cut)
		tcp_give_hole(c, end, p->cut, TCP_CUT, &p->when);
}

static void tell_hole(struct connection *c, unsigned end, uint64_t len, enum tcp_why why, const struct when *when)
{
	struct tcp *tcp = c->tcp;

	if (c->ignored)
		return;
	tcp->counts.holes++;
	tcp->counts.hole_bytes += len;
	tcp->events.hole(tcp->context, &c->flow, end, len, why, when);
}

void tcp_give_hole(struct connection *c, unsigned end, uint64_t len, enum tcp_why why, const struct when *when)
{
	struct half *h = &c->half[end];

	tcp_recent_hole(c->tcp, h, h->next, len);
	h->next += len;
	h->begun = true;
	tell_hole(c, end, len, why, when);
}

void tcp_give_unsaid(struct connection *c, unsigned end)
{
	struct half *h = &c->half[end];
	uint64_t len = h->unsaid;

	h->unsaid = 0;
	if (len)
		tell_hole(c, end, len, TCP_LOST, &c->tcp->when);
}

void tcp_give_note(struct connection *c, unsigned end, enum tcp_note note, uint32_t len)
{
	struct tcp *tcp = c->tcp;

	if (c->ignored)
		return;
	tcp->counts.noted[note]++;
	tcp->events.noted(tcp->context, &c->flow, end, note, len, &tcp->when);
}

void tcp_give_overlap(struct connection *c, unsigned end, const struct overlap *overlap)
{
	if (overlap->same)
		tcp_give_note(c, end, TCP_RETRANSMITTED, overlap->same);
	if (overlap->other)
		tcp_give_note(c, end, TCP_CONTRADICTED, overlap->other);
	if (overlap->belated)
		tcp_give_note(c, end, TCP_BELATED, overlap->belated);
}
