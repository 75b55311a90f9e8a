#include <stdlib.h>

#include "fuzz/input.h"
#include "fuzz/must.h"
#include "pcap/tcp.h"

/*
 * Any bytes as segments: the first says which limits hold, then each segment is a few bytes of what and where, relative to where its
 * direction stood last; its payload is whatever follows, which is read again as the next segment. Whatever comes: what is opened ends once, nothing comes behind an end, no
 * byte is handed over twice, memory stays within its limits, and the same segments give the same events.
 */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { N_PORTS = 4, FLOWS_MOST = 3, OWNERS = 4096 };

struct owner {			/* what is known of a flow from its events */
	bool open, ignored;
	unsigned n_finished[2];
	uint64_t given[2];		/* bytes and holes */
};

struct run {
	struct tcp *tcp;
	struct tcp_limits limits;
	struct owner *owners;
	uint32_t n_opened, n_open;
	uint64_t sent;			/* bytes that went in */
	uint64_t came;			/* and came out: never more */
	uint64_t hash;
	bool ignores;
	struct when last;
};

static void add(struct run *run, uint64_t value)
{
	run->hash = (run->hash ^ value) * UINT64_C(0x100000001b3);
}

static struct owner *owner_of(struct run *run, struct flow *flow)
{
	struct owner *o = flow->owner;

	MUST(o && o->open && o == &run->owners[flow->number]);
	return o;
}

static void opened(void *context, struct flow *flow)
{
	struct run *run = context;

	MUST(!flow->owner && flow->number == run->n_opened && flow->number < OWNERS);
	run->owners[flow->number].open = true;
	flow->owner = &run->owners[flow->number];
	run->n_opened++;
	run->n_open++;
	MUST(run->n_open <= run->limits.flows);
}

static void bytes(void *context, struct flow *flow, unsigned end, struct span span, const struct when *when)
{
	struct run *run = context;
	struct owner *o = owner_of(run, flow);

	MUST(end < 2 && span.len && !o->ignored && !o->n_finished[end] && when->frame && when->frame <= run->last.frame);
	run->came += span.len;
	MUST(run->came <= run->sent);
	o->given[end] += span.len;
	for (size_t i = 0; i < span.len; i++)
		add(run, span.at[i]);
	if (run->ignores && span.len % 8 == 3) {
		o->ignored = true;
		tcp_ignore(flow);
	}
}

static void hole(void *context, struct flow *flow, unsigned end, uint64_t len, enum tcp_why why, const struct when *when)
{
	struct run *run = context;
	struct owner *o = owner_of(run, flow);

	MUST(end < 2 && len && !o->ignored && !o->n_finished[end] && why <= TCP_UNFINISHED && when->frame <= run->last.frame);
	o->given[end] += len;
	add(run, len);
}

static void noted(void *context, struct flow *flow, unsigned end, enum tcp_note note, uint32_t len, const struct when *when)
{
	struct run *run = context;

	MUST(!owner_of(run, flow)->ignored && end < 2 && note < N_TCP_NOTES && when->frame <= run->last.frame);
	MUST(len || note == TCP_KEPT_ALIVE);
	add(run, note);
}

static void finished(void *context, struct flow *flow, unsigned end, enum tcp_how how, const struct when *when)
{
	struct run *run = context;
	struct owner *o = owner_of(run, flow);

	(void)when;
	MUST(end < 2 && !o->n_finished[end]++ && (how == TCP_FINISHED || how == TCP_WAS_RESET));
	add(run, how);
}

static void ended(void *context, struct flow *flow, enum tcp_how how, const struct when *when)
{
	struct run *run = context;
	struct owner *o = owner_of(run, flow);

	(void)when;
	MUST(how <= TCP_CAPTURE_ENDED && (how != TCP_FINISHED || (o->n_finished[0] && o->n_finished[1])));
	o->open = false;
	run->n_open--;
	add(run, how);
}

static const struct tcp_events events = { opened, bytes, hole, noted, finished, ended };

static void check_counts(const struct run *run)
{
	const struct tcp_counts *c = tcp_counts(run->tcp);

	MUST(c->flows == run->n_opened && c->flows_now == run->n_open);
	MUST(c->bytes_now <= run->limits.all_bytes && c->bytes_most <= run->limits.all_bytes && c->bytes_now <= c->bytes_most);
}

static uint64_t play(struct input in)
{
	struct run run = { .limits = { .flow_bytes = 2048, .all_bytes = 4096, .flows = FLOWS_MOST, .idle_ns = UINT64_C(100000000000) } };
	uint32_t stands[N_PORTS][2] = { { 0 } };
	unsigned how = take(&in);

	run.ignores = how & 1;
	run.owners = calloc(OWNERS, sizeof(*run.owners));
	run.tcp = tcp_new(how & 2 ? &run.limits : NULL, &events, &run);
	MUST(run.tcp && run.owners);
	if (!(how & 2))
		run.limits = (struct tcp_limits){ .all_bytes = 16 << 20, .flows = 65536 };
	run.last.time_ns = UINT64_C(1700000000000000000);
	for (unsigned n = 0; in.at < in.end && n < OWNERS; n++) {
		unsigned b = take(&in), port = b & 3, end = b >> 2 & 1, shown = b >> 3;
		static const uint8_t flags[32] = {
			TCP_ACK, TCP_ACK, TCP_ACK, TCP_ACK, TCP_ACK, TCP_ACK, TCP_ACK, TCP_ACK, TCP_SYN, TCP_SYN | TCP_ACK, TCP_ACK | TCP_FIN,
			TCP_ACK | TCP_FIN, TCP_RST, TCP_RST | TCP_ACK, 0, TCP_SYN | TCP_FIN, TCP_SYN | TCP_RST, TCP_FIN,
		};
		struct segment s = { .from = { 4, { 10, 0, 0, 1 }, (uint16_t)(port + 1) }, .to = { 6, { 1 }, 1883 }, .flags = flags[shown] };

		if (!how && port == 3)
			s.to = s.from;		/* to itself */
		if (end) {
			struct endpoint e = s.from;

			s.from = s.to;
			s.to = e;
		}
		s.seq = stands[port][end] + (uint32_t)distance(&in);
		s.ack = stands[port][!end] + (uint32_t)distance(&in);
		s.len = take(&in);
		if (s.len >= 0xf0)
			s.len = (s.len & 15) * 3000 * (how & 4 ? 500 : 1);
		s.bytes = span_of(in.at, s.len < (size_t)(in.end - in.at) ? s.len : (size_t)(in.end - in.at));
		unsigned ms = take(&in);

		run.last.time_ns += (ms & 0x80 ? (uint64_t)(ms & 0x7f) * 1000 : ms & 0x7f) * UINT64_C(500000);
		if (ms == 0xff)
			run.last.time_ns -= UINT64_C(50000000000);
		run.last.frame++;
		s.when = run.last;
		if (s.bytes.len) {	/* of the exact size, so that a sanitizer sees the first byte too far */
			uint8_t *exact = malloc(s.bytes.len);

			MUST(exact);
			memcpy(exact, s.bytes.at, s.bytes.len);
			s.bytes.at = exact;
			run.sent += s.bytes.len;
			tcp_segment(run.tcp, &s);
			free(exact);
		} else {
			tcp_segment(run.tcp, &s);
		}
		if (!(s.flags & TCP_RST))
			stands[port][end] = s.seq + s.len + ((s.flags & (TCP_SYN | TCP_FIN)) != 0);
		check_counts(&run);
		if ((how & 8) && (n & 7) == 7)
			tcp_idle(run.tcp, run.last.time_ns);
	}
	tcp_end(run.tcp, &run.last);
	check_counts(&run);
	MUST(!run.n_open && !tcp_counts(run.tcp)->bytes_now);
	tcp_free(run.tcp);
	free(run.owners);
	return run.hash;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, data + size };

	if (size > 1 << 16)
		return 0;
	uint64_t once = play(in);

	MUST(play(in) == once);
	return 0;
}
