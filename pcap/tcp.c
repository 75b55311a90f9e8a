#include "pcap/tcp.h"

#include <assert.h>
#include <stdlib.h>

#include "pcap/tcp_internal.h"

struct tcp *tcp_new(const struct tcp_limits *limits, const struct tcp_events *events, void *context)
{
	struct tcp *tcp = calloc(1, sizeof(*tcp));

	if (!tcp)
		return NULL;
	if (limits)
		tcp->limits = *limits;
	if (!tcp->limits.flow_bytes)
		tcp->limits.flow_bytes = 1 << 20;
	if (!tcp->limits.all_bytes)
		tcp->limits.all_bytes = 16 << 20;
	if (!tcp->limits.flows)
		tcp->limits.flows = 24576;
	if (!tcp->limits.idle_ns)
		tcp->limits.idle_ns = UINT64_C(3600000000000);
	tcp->stir_ns = tcp->limits.idle_ns / 16 < UINT64_C(1000000000) ? tcp->limits.idle_ns / 16 : UINT64_C(1000000000);
	tcp->events = *events;
	tcp->context = context;
	tcp->recent = malloc(RECENT_ROOM);
	tcp->recent_head = RECENT_ROOM;
	if (!tcp->recent || !flow_table_init(tcp)) {
		tcp_free(tcp);
		return NULL;
	}
	return tcp;
}

/* ---- the beginning of a connection ---- */

static void stand(struct half *h, uint32_t seq)
{
	h->known = true;
	h->start = seq;
	h->next = (UINT64_C(1) << 32) + seq;
	h->top = h->acked = h->next;
}

/*
 * A SYN says where both directions begin, so does a SYN with ACK; any other first segment says where they stand: what lies
 * before was not captured.
 */
static struct connection *begin(struct tcp *tcp, const struct segment *s, uint64_t hash)
{
	bool syn = s->flags & TCP_SYN, ack = s->flags & TCP_ACK, answer = syn && ack;
	struct endpoint ends[2] = { answer ? s->to : s->from, answer ? s->from : s->to };
	struct connection *c = flow_open(tcp, ends, hash);

	if (!c)
		return NULL;
	c->flow.seen_start = syn;
	stand(&c->half[answer], s->seq + syn);
	c->half[answer].perhaps_probed = !syn && !s->len;
	if (ack)
		stand(&c->half[!answer], s->ack);
	tcp->events.opened(tcp->context, &c->flow);
	return c;
}

/* The segment is of another connection between the same ports. */
static struct connection *replace(struct tcp *tcp, struct connection *c, const struct segment *s)
{
	uint64_t hash = c->hash;

	tcp_conclude(c, TCP_REPLACED);
	return begin(tcp, s, hash);
}

enum belongs { OURS, ANOTHERS, NOBODYS };

static enum belongs judge_syn(struct connection *c, unsigned end, const struct segment *s)
{
	struct half *h = &c->half[end], *o = &c->half[!end];
	bool answers = (s->flags & TCP_ACK) && o->known && s->ack == o->start;

	if (!h->known) {
		if ((s->flags & TCP_ACK) && o->known && s->ack != o->start)
			return NOBODYS;	/* it answers an older SYN */
		stand(h, s->seq + 1);
		return OURS;
	}
	if (h->start == s->seq + 1) {
		c->flow.seen_start = true;
		return OURS;
	}
	if (answers && h->begun)
		return NOBODYS;
	if (answers && !h->held) {
		stand(h, s->seq + 1);
		return OURS;
	}
	return ANOTHERS;
}

/* Of a connection that has ended: late copies of what belonged to it are passed over, anything else begins another one. */
static enum belongs judge_late(const struct connection *c, unsigned end, const struct segment *s)
{
	const struct half *h = &c->half[end], *o = &c->half[!end];
	int64_t ahead = c->reset ? RESET_WINDOW : 0;

	if (s->flags & TCP_RST)
		return OURS;
	if (s->flags & TCP_SYN)
		return h->known && h->start == s->seq + 1 ? OURS : ANOTHERS;
	if (!h->known)
		return s->len ? ANOTHERS : OURS;
	int64_t at = (int32_t)(s->seq - (uint32_t)h->next), to = at + s->len + ((s->flags & TCP_FIN) != 0);

	if (at < -WINDOW || to > ahead)
		return ANOTHERS;
	if ((s->flags & TCP_ACK) && o->known && (int32_t)(s->ack - (uint32_t)o->next) > ahead)
		return ANOTHERS;
	return OURS;
}

static bool plausible(const struct half *h, uint64_t at)
{
	return at + WINDOW >= h->next && at <= (h->top > h->next ? h->top : h->next) + WINDOW;
}

/*
 * It fits nowhere. One such segment is a stray; where the next goes on from it, or answers it, a new connection has
 * taken the ports and its beginning was missed.
 */
static enum belongs judge_stray(struct connection *c, unsigned end, const struct segment *s)
{
	bool goes_on = c->stray && (end == c->stray_end ? c->stray_carried && s->seq == c->stray_next
	                                                : (s->flags & TCP_ACK) && s->seq == c->stray_ack);

	c->stray = true;
	c->stray_end = (uint8_t)end;
	c->stray_next = s->seq + s->len;
	c->stray_ack = s->ack;
	c->stray_carried = s->len != 0;
	return goes_on ? ANOTHERS : NOBODYS;
}

/* ---- what a segment says ---- */

static void heard(struct connection *c, unsigned end)
{
	struct half *h = &c->half[end];

	h->seen = true;
	h->absent = false;
	h->n_unheard = 0;
	tcp_give_unsaid(c, end);
}

/* The other end has received all up to here. Returns what to wait for. */
static uint64_t acknowledge(struct connection *c, unsigned end, uint64_t to)
{
	struct half *h = &c->half[end];

	if (h->fin && to > h->fin + 1)
		to = h->fin + 1;
	if (h->finished && to > h->next)
		to = h->next;
	if (to == h->next + 1 && h->perhaps_probed && !h->begun && !h->held && !h->fin)
		h->next = to;
	if (to > h->acked)
		h->acked = to;
	if (to > h->next && h->absent && !h->held && !h->fin) {
		if (h->seen) {
			tcp_give_hole(c, end, to - h->next, TCP_LOST, &c->tcp->when);
		} else {
			h->unsaid += to - h->next;
			h->next = to;
		}
	}
	return to;
}

static void take_reset(struct connection *c, unsigned end, uint64_t at, const struct segment *s)
{
	struct half *h = &c->half[end];
	uint64_t lowest = h->acked < h->next ? h->acked : h->next, highest = h->top > h->next ? h->top : h->next;

	if (at < lowest || at > highest + RESET_WINDOW) {
		c->tcp->counts.bad++;	/* a stray one: the receiver passes over it too */
		return;
	}
	if (c->reset)
		return;
	c->reset = true;
	c->reset_by = (uint8_t)end;
	c->reset_at = at;
	c->reset_when = s->when;
}

/* A limit is in the way of a piece: somebody's waiting ends, that of the connection itself or the longest there is. */
static void make_room(struct connection *c, unsigned end, struct piece *p)
{
	struct tcp *tcp = c->tcp;
	struct connection *victim = tcp_hold_full(c, end, p) ? c : NULL;

	for (unsigned i = WAITS_ACKED; i < N_WAITS && !victim; i++)
		victim = tcp->waits[i].first;
	if (victim && victim != c) {
		/* Once in any case: one that holds nothing stands in the way of those behind it. */
		do
			tcp_give_up(victim, TCP_NO_ROOM);
		while (victim->n_held && tcp_stuck(victim));
		tcp_settle(victim);
		return;
	}
	tcp->pending = c;
	tcp->pending_end = end;
	tcp->pending_at = p->at;
	if (tcp_stuck(c))
		tcp_give_up(c, TCP_NO_ROOM);
	else if (p->at == c->half[end].next)
		p->ack = 0;		/* nothing that could still come is what it waits for */
	else
		tcp_advance(c);		/* what stands before it needs to wait no longer, as the segment's own beginning has shown */
	tcp->pending = NULL;
}

/* Hands over or keeps what the segment carries; what was there before is compared. */
static void take(struct connection *c, unsigned end, struct piece p)
{
	struct half *h = &c->half[end];
	struct overlap overlap = { 0 };
	uint64_t to = piece_end(&p);

	if (p.at < h->next && !h->begun && !c->flow.seen_start && h->next - p.at <= LATE_START)
		h->next = p.at;		/* the capture's first segments came in the wrong order */
	if (p.at < h->next) {
		uint64_t old = h->next < to ? h->next : to;
		struct piece before = tcp_piece_part(&p, p.at, old);

		tcp_recent_compare(c->tcp, h, p.at, before.bytes, &overlap);
		p = tcp_piece_part(&p, old, to);
	} else if ((h->held && p.at < h->held->at) || h->acked > p.at) {
		tcp_give_note(c, end, TCP_REORDERED, (uint32_t)(to - p.at));
		p.when.crossed = true;	/* it may be a copy, sent later with a later acknowledgement */
	}
	while (p.at < to && !h->finished) {
		uint64_t upto = h->held && h->held->at < to ? h->held->at : to;

		if (tcp_ready(c, end, p.at, p.ack) && p.at < upto) {
			struct piece now = tcp_piece_part(&p, p.at, upto);

			tcp_give_piece(c, end, &now);
		} else {
			upto = tcp_hold(c, end, &p, &overlap);
			if (upto == p.at)
				make_room(c, end, &p);
		}
		p = tcp_piece_part(&p, upto, to);
	}
	tcp_give_overlap(c, end, &overlap);
}

static void take_data(struct connection *c, unsigned end, const struct segment *s, uint64_t at, uint64_t ack)
{
	struct half *h = &c->half[end];
	struct piece p = { .at = at, .ack = ack, .bytes = s->bytes, .cut = (uint32_t)(s->len - s->bytes.len), .when = s->when };
	uint64_t to = at + s->len;

	if (!(s->flags & (TCP_SYN | TCP_FIN)) && s->len <= 1 && at + 1 == h->next && (!s->len || h->acked >= h->next)) {
		tcp_give_note(c, end, TCP_KEPT_ALIVE, s->len);
		return;
	}
	if (h->fin && to > h->fin && s->len) {
		c->tcp->counts.bad++;	/* behind its FIN */
		to = h->fin;
		if (at >= to)
			return;
		p = tcp_piece_part(&p, at, to);
	}
	if ((s->flags & TCP_FIN) && !h->fin && to >= h->next) {
		h->fin = to;
		h->fin_ack = ack;
		h->fin_when = s->when;
	}
	if (to > h->top)
		h->top = to;
	if (to > at && !c->ignored)
		take(c, end, p);
}

static void process(struct connection *c, unsigned end, const struct segment *s)
{
	struct half *h = &c->half[end], *o = &c->half[!end];
	uint64_t at = position(h, s->seq) + ((s->flags & TCP_SYN) != 0), ack = 0;

	c->stray = false;
	heard(c, end);
	if (s->flags & TCP_ACK) {
		if (!o->known)
			stand(o, s->ack);
		ack = acknowledge(c, !end, position(o, s->ack));
	}
	if (s->flags & TCP_RST)
		take_reset(c, end, at, s);
	else
		take_data(c, end, s, at, ack);
	tcp_settle(c);
}

/* ---- which connection a segment belongs to ---- */

/* A reset must fit what the receiver has told; one that answers a SYN fits by what it acknowledges. */
static enum belongs judge_reset(struct connection *c, unsigned end, const struct segment *s)
{
	struct half *h = &c->half[end], *o = &c->half[!end];

	if (!h->known) {
		if (!(s->flags & TCP_ACK) || !o->known || s->ack != (uint32_t)o->next)
			return NOBODYS;
		stand(h, s->seq);
	} else if (!plausible(h, position(h, s->seq))) {
		return NOBODYS;
	} else if ((s->flags & TCP_ACK) && o->known && !plausible(o, position(o, s->ack))) {
		return NOBODYS;
	}
	return OURS;
}

static enum belongs judge(struct connection *c, unsigned end, const struct segment *s)
{
	struct half *h = &c->half[end], *o = &c->half[!end];

	if (c->ended)
		return judge_late(c, end, s);
	if (s->flags & TCP_RST)
		return judge_reset(c, end, s);
	if (s->flags & TCP_SYN)
		return judge_syn(c, end, s);
	if (h->known && !plausible(h, position(h, s->seq)))
		return judge_stray(c, end, s);
	if ((s->flags & TCP_ACK) && o->known && !plausible(o, position(o, s->ack)))
		return judge_stray(c, end, s);
	if (!h->known)
		stand(h, s->seq);
	return OURS;
}

static void distinguish(struct tcp *tcp, struct connection *c, unsigned end, uint64_t hash, const struct segment *s)
{
	switch (c ? judge(c, end, s) : ANOTHERS) {
	case NOBODYS:
		tcp->counts.bad++;
		tcp->stream = TCP_NO_STREAM;
		return;
	case ANOTHERS:
		c = c ? replace(tcp, c, s) : begin(tcp, s, hash);
		tcp->stream = c ? (int64_t)c->flow.number : TCP_NO_STREAM;
		if (!c)
			return;		/* no memory for one more */
		end = !endpoint_equal(&c->flow.ends[0], &s->from);
		break;
	case OURS:
		break;
	}
	if (c->ended)
		return;
	flow_touch(c);
	process(c, end, s);
}

/* What nearly all segments are: the next bytes, or an acknowledgement, of a connection in which nothing is missing. */
static bool ordinary(struct connection *c, unsigned end, const struct segment *s)
{
	struct half *h = &c->half[end], *o = &c->half[!end];
	uint32_t behind = (uint32_t)o->next - s->ack;

	if ((s->flags & (TCP_SYN | TCP_FIN | TCP_RST | TCP_ACK)) != TCP_ACK || s->seq != (uint32_t)h->next || behind > WINDOW ||
	    c->waits || c->ended || c->ignored || !h->known || !o->known || h->finished || h->absent || c->reset)
		return false;
	flow_touch(c);
	c->stray = false;
	h->seen = true;
	h->n_unheard = 0;
	if (o->next - behind > o->acked)
		o->acked = o->next - behind;
	if (s->len) {
		uint64_t at = h->next;

		if (at + s->len > h->top)
			h->top = at + s->len;
		tcp_give_piece(c, end, &(struct piece){ .at = at, .ack = o->next - behind, .bytes = s->bytes,
		                                    .cut = (uint32_t)(s->len - s->bytes.len), .when = s->when });
	}
	return true;
}

void tcp_segment(struct tcp *tcp, const struct segment *s)
{
	uint64_t hash = 0;
	struct connection *c;
	unsigned end = 0;

	assert(s->bytes.len <= s->len);
	if (!tcp->counts.segments++)
		tcp->times[0] = tcp->times[1] = tcp->high_ns = s->when.time_ns;
	tcp->stream = TCP_NO_STREAM;
	if (s->len > WINDOW) {
		tcp->counts.bad++;	/* no link carries so much at once */
		return;
	}
	c = flow_find(tcp, s, &hash, &end);
	tcp->when = s->when;
	tcp_clock(tcp, s->when.time_ns);
	if (c)
		tcp->stream = c->flow.number;
	if (!c || !ordinary(c, end, s))
		distinguish(tcp, c, end, hash, s);
	tcp_expire(tcp);
	flow_tidy(tcp);
}

int64_t tcp_stream(const struct tcp *tcp)
{
	return tcp->stream;
}

void tcp_idle(struct tcp *tcp, uint64_t now_ns)
{
	tcp->when.time_ns = now_ns;
	tcp->times[0] = tcp->times[1] = now_ns;
	tcp_clock(tcp, now_ns);
	tcp_expire(tcp);
	flow_tidy(tcp);
}

void tcp_end(struct tcp *tcp, const struct when *when)
{
	if (when)
		tcp->when = *when;
	while (tcp->open.first)
		tcp_conclude(tcp->open.first, TCP_CAPTURE_ENDED);
	while (tcp->lingering.first)
		flow_free(tcp->lingering.first);
}

const struct tcp_counts *tcp_counts(const struct tcp *tcp)
{
	return &tcp->counts;
}

void tcp_ignore(struct flow *flow)
{
	((struct connection *)flow)->ignored = true;
}

void tcp_free(struct tcp *tcp)
{
	if (!tcp)
		return;
	assert(!tcp->open.first);
	tcp_held_pool_free(tcp);
	free(tcp->table);
	free(tcp->recent);
	free(tcp);
}
