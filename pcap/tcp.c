#include "pcap/tcp.h"

#include <stdlib.h>

struct entry {
	struct flow flow;
	struct entry *next;
	uint32_t expected[2];
	bool known[2], finished[2], ignored;
};

struct tcp {
	const struct tcp_events *events;
	void *context;
	struct entry *flows;
	struct tcp_counts counts;
};

struct tcp *tcp_new(const struct tcp_limits *limits, const struct tcp_events *events, void *context)
{
	struct tcp *tcp = calloc(1, sizeof(*tcp));

	(void)limits;
	if (!tcp)
		abort();
	tcp->events = events;
	tcp->context = context;
	return tcp;
}

static void end_flow(struct tcp *tcp, struct entry **at, enum tcp_how how, const struct when *when)
{
	struct entry *e = *at;

	*at = e->next;
	tcp->events->ended(tcp->context, &e->flow, how, when);
	free(e);
}

void tcp_segment(struct tcp *tcp, const struct segment *s)
{
	struct entry **at = &tcp->flows, *e;
	unsigned end = 0;

	for (; (e = *at); at = &e->next)
		for (end = 0; end < 2; end++)
			if (endpoint_equal(&e->flow.ends[end], &s->from) && endpoint_equal(&e->flow.ends[!end], &s->to))
				goto found;
	end = 0;
found:
	if (e && s->flags & TCP_SYN && !(s->flags & TCP_ACK)) {
		end_flow(tcp, at, TCP_REPLACED, &s->when);
		e = NULL;
		end = 0;
	}
	if (!e) {
		e = calloc(1, sizeof(*e));
		if (!e)
			abort();
		e->flow = (struct flow){ .ends = { s->from, s->to }, .number = (uint32_t)tcp->counts.flows++, .first = s->when,
		                         .seen_start = s->flags & TCP_SYN && !(s->flags & TCP_ACK) };
		e->next = tcp->flows;
		tcp->flows = e;
		at = &tcp->flows;
		tcp->events->opened(tcp->context, &e->flow);
	}
	if (s->flags & TCP_SYN) {
		e->expected[end] = s->seq + 1;
		e->known[end] = true;
		return;
	}
	if (!e->known[end]) {
		e->expected[end] = s->seq;
		e->known[end] = true;
	}
	if (s->bytes.len && s->seq == e->expected[end]) {
		e->expected[end] += (uint32_t)s->bytes.len;
		struct when when = s->when;

		when.crossed = e->known[!end] && (int32_t)(e->expected[!end] - s->ack) > 0;
		if (!e->ignored)
			tcp->events->bytes(tcp->context, &e->flow, end, s->bytes, &when);
	}
	if (s->flags & (TCP_FIN | TCP_RST) && !e->finished[end]) {
		e->finished[end] = true;
		tcp->events->finished(tcp->context, &e->flow, end, s->flags & TCP_RST ? TCP_WAS_RESET : TCP_FINISHED, &s->when);
	}
	if (s->flags & TCP_RST || (e->finished[0] && e->finished[1]))
		end_flow(tcp, at, s->flags & TCP_RST ? TCP_WAS_RESET : TCP_FINISHED, &s->when);
}

void tcp_idle(struct tcp *tcp, uint64_t now_ns)
{
	(void)tcp;
	(void)now_ns;
}

void tcp_end(struct tcp *tcp, const struct when *when)
{
	while (tcp->flows)
		end_flow(tcp, &tcp->flows, TCP_CAPTURE_ENDED, when);
}

const struct tcp_counts *tcp_counts(const struct tcp *tcp)
{
	return &tcp->counts;
}

void tcp_free(struct tcp *tcp)
{
	free(tcp);
}

void tcp_ignore(struct flow *flow)
{
	((struct entry *)flow)->ignored = true;
}
