#include <assert.h>

#include "pcap/tcp_internal.h"

/*
 * A gap is where the next bytes of a direction are missing although something shows that they were sent: a segment behind them,
 * or an acknowledgement. What is not in a gap and yet not handed over waits for the other direction to reach what it acknowledges.
 */

bool tcp_ready(const struct connection *c, unsigned end, uint64_t at, uint64_t ack)
{
	return at == c->half[end].next && ack <= c->half[!end].next;
}

static void finish(struct connection *c, unsigned end, enum tcp_how how, const struct when *when)
{
	struct tcp *tcp = c->tcp;

	c->half[end].finished = true;
	tcp_held_drop(c, end);		/* behind a FIN there is nothing */
	tcp->events.finished(tcp->context, &c->flow, end, how, when);
}

static bool release(struct connection *c, unsigned end)
{
	struct half *h = &c->half[end];
	bool any = false;

	while (h->held && tcp_ready(c, end, h->held->at, h->held->ack)) {
		struct held *held = h->held;

		h->held = held->next;
		if (!h->held)
			h->last = NULL;
		tcp_give_piece(c, end, &(struct piece){ .at = held->at, .ack = held->ack, .bytes = { held->bytes, held->len },
		                                    .cut = held->cut, .when = held->when });
		tcp_held_free(c, held);
		any = true;
	}
	if (h->fin && !h->finished && tcp_ready(c, end, h->fin, h->fin_ack)) {
		h->next++;
		finish(c, end, TCP_FINISHED, &h->fin_when);
		any = true;
	}
	return any;
}

/* Where the gap at next ends, as far as is known; next itself when there is none. */
static uint64_t gap_end(const struct connection *c, unsigned end)
{
	const struct half *h = &c->half[end];
	uint64_t to = UINT64_MAX;

	if (h->finished)
		return h->next;
	if (h->held)
		to = h->held->at;
	if (h->fin && h->fin < to)
		to = h->fin;
	if (c->tcp->pending == c && c->tcp->pending_end == end && c->tcp->pending_at < to)
		to = c->tcp->pending_at;
	if (c->reset && c->reset_by == end && c->reset_at > h->next && c->reset_at < to)
		to = c->reset_at;
	if (h->acked > h->next && h->acked < to)
		to = h->acked;
	return to == UINT64_MAX ? h->next : to;
}

/* Something of it has come and not been handed over. */
static bool has_waiting(const struct connection *c, unsigned end)
{
	const struct half *h = &c->half[end];

	return h->held || (h->fin && !h->finished);
}

static enum patience patience(const struct connection *c, unsigned end)
{
	const struct half *h = &c->half[end];

	if (gap_end(c, end) == h->next)
		return WAITS_NOT;
	if (h->acked > h->next || c->reset)
		return WAITS_ACKED;
	return c->half[!end].seen ? WAITS_UNACKED : WAITS_ONE_WAY;
}

/* The frame of what comes next of it, and what that waits for. */
static void head(const struct connection *c, unsigned end, uint64_t *frame, uint64_t *ack)
{
	const struct half *h = &c->half[end];

	*frame = h->held ? h->held->when.frame : has_waiting(c, end) ? h->fin_when.frame : 0;
	*ack = h->held ? h->held->ack : h->fin_ack;
}

/*
 * The gap to give up first: one that is acknowledged before one that is not; of two, that of the direction whose continuation does not
 * depend on the other's.
 */
static enum patience choose(const struct connection *c, unsigned *end)
{
	enum patience p[2] = { patience(c, 0), patience(c, 1) };

	if (p[0] != p[1]) {
		*end = p[0] == WAITS_NOT || (p[1] != WAITS_NOT && p[1] < p[0]);
	} else {
		uint64_t frame[2], ack[2];

		head(c, 0, &frame[0], &ack[0]);
		head(c, 1, &frame[1], &ack[1]);
		bool free[2] = { ack[0] <= c->half[1].next, ack[1] <= c->half[0].next };

		*end = free[0] != free[1] ? free[1] : frame[1] < frame[0];
	}
	return p[*end];
}

bool tcp_stuck(const struct connection *c)
{
	return patience(c, 0) || patience(c, 1);
}

/*
 * Nothing is missing, and each waits for the other: the one captured later is a copy, sent again with a later acknowledgement
 * than the first, which is not in the capture. It need not wait.
 */
static void break_circle(struct connection *c)
{
	uint64_t frame[2], ack;

	head(c, 0, &frame[0], &ack);
	head(c, 1, &frame[1], &ack);
	struct half *h = &c->half[frame[1] > frame[0]];

	*(h->held ? &h->held->ack : &h->fin_ack) = 0;
}

/* The segment at hand is what comes next of its end: whoever waits for it waits until it is taken. */
static bool is_at_hand(const struct connection *c)
{
	const struct tcp *tcp = c->tcp;

	return tcp->pending == c && tcp->pending_at == c->half[tcp->pending_end].next;
}

void tcp_advance(struct connection *c)
{
	for (;;) {
		bool any = release(c, 0);

		any |= release(c, 1);
		if (any)
			continue;
		if (tcp_stuck(c) || is_at_hand(c) || !(has_waiting(c, 0) || has_waiting(c, 1)))
			return;
		break_circle(c);
	}
}

void tcp_give_up(struct connection *c, enum tcp_why why)
{
	unsigned end;

	choose(c, &end);
	struct half *h = &c->half[end];
	uint64_t to = gap_end(c, end);

	/* What was acknowledged only since may still come. */
	if (why == TCP_LOST && c->waits_end == end && c->waits_at == h->next && c->waits_to < to)
		to = c->waits_to;
	tcp_give_hole(c, end, to - h->next, why != TCP_NO_ROOM && h->acked > h->next ? TCP_LOST : why,
	              c->waits ? &c->noticed : &c->tcp->when);
	if (why == TCP_LOST) {
		/* Behind a hole that a segment showed, the direction was there: several such in a row may be given up at once. */
		h->n_unheard += !has_waiting(c, end);
		h->absent = !h->seen || h->n_unheard >= ABSENT_AFTER;
	}
	tcp_advance(c);
}

static void wait_end(struct connection *c)
{
	struct list *list = &c->tcp->waits[c->waits];

	*(c->waits_before ? &c->waits_before->waits_behind : &list->first) = c->waits_behind;
	*(c->waits_behind ? &c->waits_behind->waits_before : &list->last) = c->waits_before;
	c->waits = WAITS_NOT;
}

static void wait_begin(struct connection *c, enum patience waits, unsigned end)
{
	struct tcp *tcp = c->tcp;
	struct list *list = &tcp->waits[waits];

	c->waits = (uint8_t)waits;
	c->waits_end = (uint8_t)end;
	c->waits_at = c->half[end].next;
	c->waits_to = gap_end(c, end);
	c->waits_ns = tcp_stamp(tcp);
	c->waits_segment = tcp->counts.segments;
	c->noticed = tcp->when;
	c->waits_before = list->last;
	c->waits_behind = NULL;
	*(list->last ? &list->last->waits_behind : &list->first) = c;
	list->last = c;
}

static void keep_waiting(struct connection *c)
{
	unsigned end;
	enum patience waits = choose(c, &end);

	if (c->waits == waits && (!waits || (c->waits_end == end && c->waits_at == c->half[end].next)))
		return;
	if (c->waits)
		wait_end(c);
	if (waits)
		wait_begin(c, waits, end);
}

/* Nobody reads it: only its end matters. */
static void let_go(struct connection *c)
{
	for (unsigned end = 0; end < 2; end++) {
		struct half *h = &c->half[end];

		tcp_held_drop(c, end);
		if (h->fin && !h->finished) {
			h->next = h->fin + 1 > h->next ? h->fin + 1 : h->next;
			finish(c, end, TCP_FINISHED, &h->fin_when);
		}
		if (h->acked > h->next)
			h->next = h->acked;
		if (h->top > h->next)
			h->next = h->top;
	}
}

void tcp_settle(struct connection *c)
{
	if (!c->ignored)
		tcp_advance(c);
	if (c->ignored)
		let_go(c);
	if (c->half[0].finished && c->half[1].finished)
		tcp_conclude(c, TCP_FINISHED);
	else if (c->reset && (c->ignored || !tcp_stuck(c)))
		tcp_conclude(c, TCP_WAS_RESET);
	else
		keep_waiting(c);
}

void tcp_conclude(struct connection *c, enum tcp_how how)
{
	struct tcp *tcp = c->tcp;
	bool lingers = how == TCP_FINISHED || how == TCP_WAS_RESET;

	if (c->ended) {
		flow_free(c);
		return;
	}
	while (!c->ignored && tcp_stuck(c))
		tcp_give_up(c, TCP_UNFINISHED);
	if (c->half[0].finished && c->half[1].finished)
		how = TCP_FINISHED;
	if (c->waits)
		wait_end(c);
	tcp_give_unsaid(c, 0);
	tcp_give_unsaid(c, 1);
	if (how == TCP_WAS_RESET && !c->half[c->reset_by].finished)
		finish(c, c->reset_by, TCP_WAS_RESET, &c->reset_when);
	tcp_held_drop(c, 0);
	tcp_held_drop(c, 1);
	c->ended = true;
	tcp->counts.flows_now--;
	tcp->events.ended(tcp->context, &c->flow, how, how == TCP_WAS_RESET ? &c->reset_when : &tcp->when);
	c->flow.owner = NULL;
	if (lingers)
		flow_linger(c);
	else
		flow_free(c);
}

static bool expired(const struct tcp *tcp, enum patience waits, uint64_t since_ns, uint64_t since_segment)
{
	static const uint64_t longest_ns[N_WAITS] = { [WAITS_ACKED] = GRACE_ALONE_NS, [WAITS_ONE_WAY] = ONE_WAY_NS, [WAITS_UNACKED] = UNACKED_NS };
	uint64_t ns = tcp->now_ns > since_ns ? tcp->now_ns - since_ns : 0, segments = tcp->counts.segments - since_segment;

	if (waits == WAITS_ACKED && ((ns >= GRACE_NS && segments >= GRACE_SEGMENTS) || segments >= GRACE_SEGMENTS_ALONE))
		return true;
	return ns >= longest_ns[waits];
}

/* The gap that is now in the way may be as old as the one just given up: each waiting anew would add up. */
static bool next_expired(const struct connection *c)
{
	unsigned end;
	enum patience waits = choose(c, &end);
	const struct held *held = c->half[end].held;

	return waits && held && expired(c->tcp, waits, held->arrived_ns, held->arrived_segment);
}

static bool head_expired(const struct tcp *tcp, struct connection *c)
{
	/* A time stamp that no other one confirmed. */
	if (c->waits_ns > tcp->now_ns && tcp->counts.segments > c->waits_segment + 2)
		c->waits_ns = tcp->now_ns;
	return expired(tcp, c->waits, c->waits_ns, c->waits_segment);
}

void tcp_expire(struct tcp *tcp)
{
	for (unsigned i = WAITS_ACKED; i < N_WAITS; i++) {
		struct connection *c;

		while ((c = tcp->waits[i].first) && head_expired(tcp, c)) {
			if (c->reset) {
				tcp_conclude(c, TCP_WAS_RESET);
				continue;
			}
			do
				tcp_give_up(c, TCP_LOST);
			while (next_expired(c));
			tcp_settle(c);
		}
	}
}
