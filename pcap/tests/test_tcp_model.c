/*
 * Conversations made up at random, disturbed as a capture disturbs them, and put together again: what is handed over must be the
 * two streams, less what was lost, with holes exactly there, and no answer before its question. A seed that fails is
 * printed; `test_tcp_model SEED` repeats it alone, `test_tcp_model FIRST LAST` runs all from one seed to another.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "pcap/tcp.h"

enum { STREAM = 6000, SENT_MOST = 4000, N_SEEDS = 1000, MS = 1000000, LATE_MOST = 15 * MS };
enum state { NEVER, PERHAPS, CERTAIN };		/* whether a byte must be missing, may be, must not be */

struct sent {			/* a segment as it was sent, and when the capture has it */
	unsigned end;
	uint8_t flags;
	uint32_t at, len, ack;		/* in bytes of the streams; SYN and FIN count none */
	uint64_t time_ns;
	unsigned order;
	bool lost, spoilt;
};

struct how {			/* the disturbances of a seed */
	bool late, lossy, again, cut, wraps, mid_stream, one_way, closes, spoils, bytewise;
	uint32_t snap;
};

static struct model {
	uint64_t random;
	struct how how;
	struct tcp *tcp;
	uint64_t now_ns, frame;
	uint8_t bytes[2][STREAM];
	uint32_t needs[2][STREAM];		/* what had been received of the other end when it was sent first */
	uint8_t state[2][STREAM];
	uint32_t total[2], isn[2];
	struct sent sent[SENT_MOST];
	unsigned n_sent;
	/* what came */
	bool open;
	uint32_t cursor[2];
	bool heard[2], missed[2];	/* a segment of it came; a hole was told */
	unsigned n_ended, n_finished[2], n_contradicted, n_spoilt;
	enum tcp_how ends;		/* how it must end next */
	const char *wrong;
} m;

static uint64_t draw(void)
{
	uint64_t z = m.random += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

static uint32_t below(uint32_t n)
{
	return n ? (uint32_t)(draw() % n) : 0;
}

static bool one_in(uint32_t n)
{
	return below(n) == 0;
}

static void wrong(const char *why)
{
	if (!m.wrong)
		m.wrong = why;
}

/* ---- a conversation ---- */

static struct sent *put(unsigned end, uint8_t flags, uint32_t at, uint32_t len, uint32_t ack)
{
	struct sent *s = &m.sent[m.n_sent];

	if (m.n_sent == SENT_MOST)
		return s - 1;
	*s = (struct sent){ .end = end, .flags = flags, .at = at, .len = len, .ack = ack, .order = m.n_sent, .time_ns = m.now_ns };
	m.n_sent++;
	m.now_ns += 50000 + below(1500000);
	return s;
}

static uint32_t piece(uint32_t left)
{
	uint32_t n = m.how.bytewise ? 1 : one_in(4) ? 1 + below(3) : 1 + below(200);

	return n < left ? n : left;
}

/* Sent again: any range of what was sent, cut anew; captured behind what it acknowledges, as it is behind a time-out. */
static void send_again(unsigned end, uint32_t sent, uint32_t ack)
{
	uint32_t at = below(sent), len = 1 + below(300);

	if (len > sent - at)
		len = sent - at;
	if (len)
		put(end, TCP_ACK, at, len, ack)->time_ns += LATE_MOST;
}

/* Both ends send and receive in a random order; `arrived` is what each has received of the other. */
static void converse(void)
{
	uint32_t sent[2] = { 0 }, arrived[2] = { 0 }, target[2] = { m.total[0], m.total[1] };

	while ((sent[0] < target[0] || sent[1] < target[1]) && m.n_sent < SENT_MOST - 20) {
		unsigned end = below(2);

		if (sent[end] < target[end] && !one_in(4)) {
			uint32_t n = piece(target[end] - sent[end]);

			put(end, TCP_ACK | TCP_PSH, sent[end], n, arrived[end]);
			for (uint32_t i = 0; i < n; i++)
				m.needs[end][sent[end] + i] = arrived[end];
			sent[end] += n;
		}
		if (!one_in(3))
			arrived[!end] += below(sent[end] - arrived[!end] + 1);
		if (one_in(4))
			put(!end, TCP_ACK, sent[!end], 0, arrived[!end]);
		if (m.how.again && one_in(10))
			send_again(end, sent[end], arrived[end]);
	}
	for (unsigned end = 0; end < 2; end++) {
		m.total[end] = sent[end];
		arrived[end] = sent[!end];
	}
	put(0, TCP_ACK, sent[0], 0, arrived[0]);
	put(1, TCP_ACK, sent[1], 0, arrived[1]);
	if (m.how.closes) {
		unsigned first = below(2);

		put(first, TCP_ACK | TCP_FIN, sent[first], 0, arrived[first]);
		put(!first, TCP_ACK | TCP_FIN, sent[!first], 0, arrived[!first]);
		put(first, TCP_ACK, sent[first] + 1, 0, arrived[first] + 1);
	}
}

/* Copies of what was sent long ago, with other bytes: only of what is certain to have been handed over before. */
static void spoil(void)
{
	unsigned n = m.n_sent;

	for (unsigned i = 0; i < n && m.n_sent < SENT_MOST; i++) {
		struct sent *s = &m.sent[i];

		if (s->len > 1 && !s->lost && one_in(20)) {	/* one byte is a keep-alive probe */
			struct sent *copy = &m.sent[m.n_sent];

			*copy = *s;
			copy->order = m.n_sent++;
			copy->time_ns += 200 * MS;
			copy->spoilt = true;
			m.n_spoilt++;
		}
	}
}

static int by_time(const void *a, const void *b)
{
	const struct sent *s = a, *t = b;

	if (s->time_ns != t->time_ns)
		return s->time_ns < t->time_ns ? -1 : 1;
	return s->order < t->order ? -1 : 1;
}

static uint32_t captured(const struct sent *s)
{
	return m.how.cut && s->len > m.how.snap ? m.how.snap : s->len;
}

/* What must come of it, from what the capture has. */
static void expect(void)
{
	static bool original[2][STREAM], whole[2][STREAM], anywhere[2][STREAM];
	uint32_t sent[2] = { 0 };

	memset(original, 0, sizeof(original));
	memset(whole, 1, sizeof(whole));
	memset(anywhere, 0, sizeof(anywhere));
	for (unsigned i = 0; i < m.n_sent; i++) {	/* still in the order of sending */
		const struct sent *s = &m.sent[i];
		uint32_t n = captured(s);

		for (uint32_t k = s->at; k < s->at + s->len; k++) {
			bool first = k >= sent[s->end];

			if (!s->lost && k < s->at + n) {
				anywhere[s->end][k] = true;
				original[s->end][k] = original[s->end][k] || first;
			} else if (!s->lost) {
				whole[s->end][k] = false;
			}
		}
		if (s->at + s->len > sent[s->end])
			sent[s->end] = s->at + s->len;
	}
	for (unsigned end = 0; end < 2; end++)
		for (uint32_t k = 0; k < m.total[end]; k++)
			m.state[end][k] = original[end][k] && whole[end][k] ? CERTAIN : anywhere[end][k] ? PERHAPS : NEVER;
}

static void disturb(void)
{
	uint64_t from = m.sent[0].time_ns + 40 * MS;

	for (unsigned i = 0; i < m.n_sent; i++) {
		struct sent *s = &m.sent[i];

		if (m.how.one_way && s->end == 1)
			s->lost = true;
		else if (m.how.lossy && s->len && one_in(m.how.bytewise ? 100 : 20))
			s->lost = true;
	}
	expect();
	if (m.how.spoils)
		spoil();
	for (unsigned i = 0; i < m.n_sent; i++)
		if (m.how.late && m.sent[i].time_ns > from && one_in(4))
			m.sent[i].time_ns += below(LATE_MOST);
	qsort(m.sent, m.n_sent, sizeof(m.sent[0]), by_time);
}

/* ---- what comes of it ---- */

static void opened(void *context, struct flow *flow)
{
	(void)context;
	if (m.open || flow->owner)
		wrong("opened twice");
	m.open = true;
}

static void bytes(void *context, struct flow *flow, unsigned end, struct span span, const struct when *when)
{
	unsigned e = flow->ends[end].port == 1883;

	(void)context;
	if (!m.open || m.n_finished[e] || !span.len || when->frame > m.frame)
		wrong("bytes out of place");
	if (m.cursor[e] + span.len > m.total[e] || memcmp(m.bytes[e] + m.cursor[e], span.at, span.len) != 0) {
		wrong("other bytes than were sent");
		return;
	}
	/* Of an end that is not in the capture, or not yet, what is missing behind its first hole is told later, as one. */
	bool unsaid = !m.heard[!e] && m.missed[!e];

	for (size_t i = 0; i < span.len; i++) {
		/* When of both only later copies are in the capture, which was first cannot be told. */
		if (m.needs[e][m.cursor[e] + i] > m.cursor[!e] && !unsaid && m.state[e][m.cursor[e] + i] == CERTAIN)
			wrong("an answer before its question");
		if (m.state[e][m.cursor[e] + i] == NEVER)
			wrong("bytes that the capture does not hold");
	}
	m.cursor[e] += (uint32_t)span.len;
}

static void hole(void *context, struct flow *flow, unsigned end, uint64_t len, enum tcp_why why, const struct when *when)
{
	unsigned e = flow->ends[end].port == 1883;

	(void)context, (void)when;
	if (!len || len > m.total[e] - m.cursor[e]) {
		wrong("a hole that is too long");
		return;
	}
	if (why == TCP_NO_ROOM || (why == TCP_CUT && !m.how.cut))
		wrong("a hole's reason");
	for (uint64_t i = 0; i < len; i++)
		if (m.state[e][m.cursor[e] + i] == CERTAIN)
			wrong("a hole where nothing is missing");
	m.cursor[e] += (uint32_t)len;
	m.missed[e] = true;
}

static void noted(void *context, struct flow *flow, unsigned end, enum tcp_note note, uint32_t len, const struct when *when)
{
	(void)context, (void)flow, (void)end, (void)len, (void)when;
	m.n_contradicted += note == TCP_CONTRADICTED;
}

static void finished(void *context, struct flow *flow, unsigned end, enum tcp_how how, const struct when *when)
{
	unsigned e = flow->ends[end].port == 1883;

	(void)context, (void)when;
	if (m.n_finished[e]++ || how != TCP_FINISHED || m.cursor[e] != m.total[e])
		wrong("a FIN out of place");
}

static void ended(void *context, struct flow *flow, enum tcp_how how, const struct when *when)
{
	(void)context, (void)flow, (void)when;
	if (!m.open)
		wrong("ended, and not open");
	m.open = false;
	m.n_ended++;
	if (how != m.ends && !(m.how.closes && how == TCP_FINISHED))
		wrong("how it ended");
	/* Nobody says how long the one direction was behind its last captured segment. */
	while (m.how.one_way && m.cursor[0] < m.total[0] && m.state[0][m.cursor[0]] == NEVER)
		m.cursor[0]++;
	for (unsigned end = 0; end < (m.how.one_way ? 1u : 2u); end++)
		if (m.cursor[end] != m.total[end])
			wrong("not to the end");
	if (m.n_contradicted != m.n_spoilt)
		wrong("contradictions");
}

static const struct tcp_events events = { opened, bytes, hole, noted, finished, ended };

static void play(const struct sent *s)
{
	static const struct endpoint ends[2] = { { 4, { 10, 0, 0, 1 }, 50000 }, { 4, { 10, 0, 0, 2 }, 1883 } };
	struct segment g = { .flags = s->flags, .window = 5000, .from = ends[s->end], .to = ends[!s->end] };
	uint8_t *exact = malloc(s->len ? s->len : 1);

	assert_non_null(exact);
	g.seq = m.isn[s->end] + !(s->flags & TCP_SYN) + s->at;
	if (s->flags & TCP_ACK)
		g.ack = m.isn[!s->end] + 1 + s->ack;
	g.len = s->len;
	memcpy(exact, m.bytes[s->end] + s->at, s->len);
	if (s->spoilt)
		exact[below(captured(s))] ^= 0x55;
	g.bytes = span_of(exact, captured(s));
	g.when = (struct when){ .frame = ++m.frame, .time_ns = s->time_ns };
	m.heard[s->end] = true;
	tcp_segment(m.tcp, &g);
	free(exact);
}

/*
 * The capture begins with an empty segment, and one byte behind it is acknowledged before any came: that is what a keep-alive probe
 * and its answer look like, and its direction stands behind that byte. Here it was no probe: what followed was lost, and its first
 * byte acknowledged alone, as no TCP does. Nothing in the capture tells the two apart, so the hole may be that one byte shorter.
 */
static bool looks_like_a_probe(unsigned first)
{
	const struct sent *probe = &m.sent[first];

	if (probe->len || (probe->flags & TCP_FIN))
		return false;
	for (unsigned i = first + 1; i < m.n_sent; i++) {
		const struct sent *s = &m.sent[i];

		if (s->lost)
			continue;
		if (s->end == probe->end && (s->len || (s->flags & TCP_FIN)))
			return false;
		if (s->end != probe->end && s->ack > probe->at)
			return s->ack == probe->at + 1;
	}
	return false;
}

/* Where a capture that begins in the midst must begin to hand over: its first segment tells of both directions. */
static void start(void)
{
	unsigned i = 0;

	while (m.sent[i].lost)
		i++;
	m.cursor[m.sent[i].end] = m.sent[i].at + looks_like_a_probe(i);
	m.cursor[!m.sent[i].end] = m.sent[i].ack;
}

static void play_all(void)
{
	for (unsigned i = 0; i < m.n_sent; i++)
		if (!m.sent[i].lost)
			play(&m.sent[i]);
}

static void conversation(void)
{
	for (unsigned end = 0; end < 2; end++) {
		uint32_t old = m.isn[end];

		while (m.isn[end] == old)	/* the same again would be a SYN sent again */
			m.isn[end] = m.how.wraps ? UINT32_MAX - below(STREAM) : (uint32_t)draw();
	}
	m.n_sent = 0;
	put(0, TCP_SYN, 0, 0, 0);
	if (!m.how.mid_stream) {
		m.ends = TCP_REPLACED;
		play(m.sent);		/* ends the one before: judged before the model is filled anew */
	}
	m.ends = m.how.closes ? TCP_FINISHED : TCP_CAPTURE_ENDED;
	m.n_sent = m.n_contradicted = m.n_spoilt = 0;
	memset(m.n_finished, 0, sizeof(m.n_finished));
	memset(m.cursor, 0, sizeof(m.cursor));
	memset(m.missed, 0, sizeof(m.missed));
	m.heard[0] = !m.how.mid_stream;		/* its SYN */
	m.heard[1] = false;
	for (unsigned end = 0; end < 2; end++) {
		m.total[end] = 200 + below(m.how.bytewise ? 600 : STREAM - 200);
		for (uint32_t i = 0; i < m.total[end]; i++)
			m.bytes[end][i] = (uint8_t)draw();
	}
	put(1, TCP_SYN | TCP_ACK, 0, 0, 0);
	put(0, TCP_ACK, 0, 0, 0);
	converse();
	if (m.how.mid_stream) {
		unsigned first = 3 + below(m.n_sent / 2);

		memmove(m.sent, m.sent + first, (m.n_sent - first) * sizeof(m.sent[0]));
		m.n_sent -= first;
	}
	disturb();
	if (m.how.mid_stream)
		start();
	play_all();
}

static struct how draw_how(void)
{
	struct how how = { .late = one_in(2), .lossy = one_in(2), .again = one_in(2), .cut = one_in(5), .wraps = one_in(3),
	                   .mid_stream = one_in(5), .closes = one_in(2), .bytewise = one_in(8), .snap = 1 + below(150) };

	if (one_in(8))
		how = (struct how){ .one_way = true, .lossy = how.lossy, .wraps = how.wraps };
	/* What the capture begins with, or holds altered, is told apart from the rest only where nothing else is wrong. */
	if (how.mid_stream)
		how.late = how.again = false;
	if (!how.mid_stream && !how.one_way && one_in(6))
		how = (struct how){ .spoils = true, .late = how.late, .wraps = how.wraps };
	return how;
}

static uint64_t first_seed = 1, last_seed = N_SEEDS;	/* the seeds to run */

static const char *run(uint64_t seed)
{
	const struct tcp_counts *counts;
	unsigned n;

	m = (struct model){ .random = seed, .now_ns = UINT64_C(1700000000000000000) };
	m.how = draw_how();
	n = m.how.one_way || m.how.mid_stream ? 1 : 1 + below(3);	/* the same ports again and again */
	m.tcp = tcp_new(NULL, &events, NULL);
	assert_non_null(m.tcp);
	counts = tcp_counts(m.tcp);
	for (unsigned i = 0; i < n && !m.wrong; i++) {
		conversation();
		m.now_ns += 500 * MS;
	}
	tcp_end(m.tcp, NULL);
	if (m.n_ended != n || counts->flows != n || counts->flows_most != 1 || counts->flows_now || counts->bytes_now || counts->bad)
		wrong("counts");
	if (m.wrong && first_seed == last_seed)
		print_message("ended %u of %u, flows %u, most %u, now %u, held %zu, bad %u\n", m.n_ended, n, (unsigned)counts->flows, counts->flows_most, counts->flows_now, counts->bytes_now, (unsigned)counts->bad);
	tcp_free(m.tcp);
	return m.wrong;
}

static void conversations_come_out_as_they_were(void **state)
{
	unsigned n_wrong = 0;

	(void)state;
	for (uint64_t seed = first_seed; seed <= last_seed; seed++) {
		const char *why = run(seed);

		if (!why)
			continue;
		n_wrong++;
		print_error("seed %llu: %s (frame %llu; late %d lossy %d again %d cut %d wraps %d mid-stream %d one-way %d closes %d spoils %d bytewise %d)\n",
		            (unsigned long long)seed, why, (unsigned long long)m.frame, m.how.late, m.how.lossy, m.how.again, m.how.cut,
		            m.how.wraps, m.how.mid_stream, m.how.one_way, m.how.closes, m.how.spoils, m.how.bytewise);
	}
	print_message("seeds %llu to %llu\n", (unsigned long long)first_seed, (unsigned long long)last_seed);
	assert_int_equal(n_wrong, 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(conversations_come_out_as_they_were) };

	if (argc > 1)
		first_seed = last_seed = strtoull(argv[1], NULL, 10);
	if (argc > 2)
		last_seed = strtoull(argv[2], NULL, 10);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
