#ifndef PCAP_TESTS_TCP_SCRIPT_H
#define PCAP_TESTS_TCP_SCRIPT_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "pcap/tcp.h"

/*
 * Segments by hand, and what came of them as one line: o opened, A"..." bytes of end 0, B[5 lost] a hole, A(late 5) a note,
 * A.fin A.rst finished, end:... ended. Several connections: each line begins with the flow's number, as 0:o.
 */
struct script {
	struct tcp *tcp;
	struct when when;
	char log[1 << 16];
	size_t len;
	bool numbered;			/* show the flow's number */
	uint32_t ignore_after;		/* tcp_ignore() when so many bytes events came; 0: never */
	uint32_t n_bytes;
	uint32_t isn[2];		/* added to what seg() is given */
	uint16_t port;			/* of end A */
	bool shows_crossed;		/* "abc"x: what crossed something */
	uint32_t cut;			/* captured length of the next segment's bytes, + 1; 0: all */
};

static inline void script_log(struct script *s, const struct flow *flow, const char *format, ...) __attribute__((format(printf, 3, 4)));
static inline void script_log(struct script *s, const struct flow *flow, const char *format, ...)
{
	va_list args;

	if (s->len)
		s->log[s->len++] = ' ';
	if (s->numbered)
		s->len += (size_t)snprintf(s->log + s->len, sizeof(s->log) - s->len, "%u:", flow->number);
	va_start(args, format);
	s->len += (size_t)vsnprintf(s->log + s->len, sizeof(s->log) - s->len, format, args);
	va_end(args);
	assert_true(s->len < sizeof(s->log) - 2);
}

static inline void script_opened(void *context, struct flow *flow)
{
	assert_null(flow->owner);
	script_log(context, flow, flow->seen_start ? "o" : "o~");
}

static inline void script_bytes(void *context, struct flow *flow, unsigned end, struct span bytes, const struct when *when)
{
	struct script *s = context;

	assert_true(bytes.len > 0 && when->frame);
	script_log(s, flow, "%c\"%.*s\"%s", 'A' + end, (int)bytes.len, (const char *)bytes.at, s->shows_crossed && when->crossed ? "x" : "");
	if (++s->n_bytes == s->ignore_after)
		tcp_ignore(flow);
}

static inline void script_hole(void *context, struct flow *flow, unsigned end, uint64_t len, enum tcp_why why, const struct when *when)
{
	static const char *const whys[] = { "lost", "cut", "no room", "unfinished" };

	assert_true(when->frame);
	script_log(context, flow, "%c[%u %s]", 'A' + end, (unsigned)len, whys[why]);
}

static inline void script_noted(void *context, struct flow *flow, unsigned end, enum tcp_note note, uint32_t len, const struct when *when)
{
	static const char *const notes[] = { "again", "other", "late", "belated", "alive" };

	(void)when;
	script_log(context, flow, "%c(%s %u)", 'A' + end, notes[note], len);
}

static inline void script_finished(void *context, struct flow *flow, unsigned end, enum tcp_how how, const struct when *when)
{
	(void)when;
	script_log(context, flow, "%c.%s", 'A' + end, how == TCP_FINISHED ? "fin" : "rst");
}

static inline void script_ended(void *context, struct flow *flow, enum tcp_how how, const struct when *when)
{
	static const char *const hows[] = { "finished", "reset", "replaced", "forgotten", "capture" };

	(void)when;
	script_log(context, flow, "end:%s", hows[how]);
}

static const struct tcp_events script_events = {
	.opened = script_opened, .bytes = script_bytes, .hole = script_hole,
	.noted = script_noted, .finished = script_finished, .ended = script_ended,
};

static inline void script_begin(struct script *s, const struct tcp_limits *limits)
{
	*s = (struct script){ .when = { 0, UINT64_C(1700000000000000000) }, .port = 40000, .isn = { 1000, 5000 } };
	s->tcp = tcp_new(limits, &script_events, s);
	assert_non_null(s->tcp);
}

static inline void script_wait(struct script *s, unsigned ms)
{
	s->when.time_ns += ms * UINT64_C(1000000);
}

/* flags: letters of S A F R; seq and ack relative to the direction's initial sequence number + 1: 0 is the first byte. */
static inline void seg(struct script *s, char from, const char *flags, int seq, int ack, const char *bytes)
{
	unsigned end = from != 'A';
	struct segment g = { 0 };
	struct endpoint a = { 4, { 10, 0, 0, 1 }, s->port }, b = { 4, { 10, 0, 0, 2 }, 1883 };

	s->when.frame++;
	script_wait(s, 1);
	g.when = s->when;
	g.from = end ? b : a;
	g.to = end ? a : b;
	for (; *flags; flags++)
		g.flags |= *flags == 'S' ? TCP_SYN : *flags == 'A' ? TCP_ACK : *flags == 'F' ? TCP_FIN : TCP_RST;
	g.seq = s->isn[end] + 1 + (uint32_t)seq;
	g.ack = g.flags & TCP_ACK ? s->isn[!end] + 1 + (uint32_t)ack : 0;
	g.window = 1000;
	g.bytes = span_text(bytes);
	g.len = (uint32_t)g.bytes.len;
	if (s->cut && s->cut - 1 < g.bytes.len)
		g.bytes.len = s->cut - 1;
	s->cut = 0;
	tcp_segment(s->tcp, &g);
}

static inline void handshake(struct script *s)
{
	seg(s, 'A', "S", -1, 0, "");
	seg(s, 'B', "SA", -1, 0, "");
	seg(s, 'A', "A", 0, 0, "");
}

/* Segments of another connection, so that the capture goes on. */
static inline void others(struct script *s, unsigned n)
{
	static const struct endpoint a = { 4, { 192, 0, 2, 1 }, 1 }, b = { 4, { 192, 0, 2, 2 }, 2 };
	struct segment g = { .from = a, .to = b, .seq = 77, .ack = 88, .flags = TCP_ACK };
	char before[sizeof(s->log)];
	size_t len = s->len;

	memcpy(before, s->log, sizeof(before));
	while (n--) {
		s->when.frame++;
		script_wait(s, 1);
		g.when = s->when;
		tcp_segment(s->tcp, &g);
		if (s->len > len && strcmp(s->log + len, len ? " o~" : "o~") == 0) {
			memcpy(s->log, before, sizeof(before));
			s->len = len;
		}
	}
}

#define SAYS(s, text) do { assert_string_equal((s)->log, text); (s)->len = 0; (s)->log[0] = 0; } while (0)

static inline void script_end(struct script *s)
{
	const struct tcp_counts *counts = tcp_counts(s->tcp);

	tcp_end(s->tcp, &s->when);
	assert_int_equal(counts->flows_now, 0);
	assert_int_equal(counts->bytes_now, 0);
	tcp_free(s->tcp);
}

#endif
