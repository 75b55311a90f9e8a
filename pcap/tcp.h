#ifndef PCAP_TCP_H
#define PCAP_TCP_H

#include "pcap/ip.h"

/*
 * TCP connections from segments: the bytes of each direction in order, once, with every hole named. What was
 * sent after something had been received is handed over after it, even if the capture has the two the wrong way
 * round: a segment waits until the other direction has reached what it acknowledges. So who reads the events sees causes before effects.
 *
 * A hole is declared
 * - when the other side has acknowledged what is missing and it has not come 20 ms (of the capture's time) and 8 segments
 *   (of any connection) later, or 50 ms, or 10000 segments; at once when nothing at all comes from that end any more, that is
 *   behind four holes that only acknowledgements showed. Of an end of which nothing was captured, what is missing behind the
 *   first hole is told as one, when something of it comes or the connection ends;
 * - when the other side has not acknowledged it and it was not sent again for 10 s, or for 1 s and 256 segments at most
 *   where the other direction is not in the capture;
 * - where a packet was cut by the snap length; when a limit is reached; when the connection or the capture ends.
 *
 * Where the capture begins in the midst of a connection, so does the stream: at the first segment of each direction, or at what the
 * other one acknowledged first; behind one byte more where the capture's first segment is empty and then that byte is
 * acknowledged, as a keep-alive probe is. When the first segments come in the wrong order the stream begins at the earlier one
 * as long as nothing was handed over; only there may an answer stand before its question.
 *
 * A reset, a SYN or a segment that does not fit a connection's sequence numbers ends nothing: resets are held against what was
 * acknowledged, other segments against 16 MiB around where their direction stands. A SYN with another number, or two segments in a row
 * that fit each other and not the connection, begin a new one.
 */
struct tcp;

struct tcp_limits {			/* 0: the default */
	size_t flow_bytes;		/* held back per connection: 1 MiB */
	size_t all_bytes;		/* in all: 16 MiB */
	uint32_t flows;			/* connections known at a time: 24576; then the one longest silent ends as TCP_FORGOTTEN */
	uint64_t idle_ns;		/* a connection silent for so long (of the capture's time) ends as TCP_FORGOTTEN: 1 h */
};

/*
 * The fields that a reader of events may look at. `end` is 0 or 1: end 0 sent the first segment seen, or the SYN where one was seen.
 */
struct flow {
	struct endpoint ends[2];
	uint32_t number;		/* from 0, in order of appearance, as Wireshark's tcp.stream */
	bool seen_start;		/* its SYN, or the answer to it, was captured: ends[0] opened it */
	struct when first;
	void *owner;			/* the reader's: NULL at first */
};

enum tcp_why {				/* a hole's */
	TCP_LOST,			/* acknowledged by the other side, or waited for long enough: not in the capture */
	TCP_CUT,			/* beyond the snap length */
	TCP_NO_ROOM,			/* waiting for what is missing would pass a limit */
	TCP_UNFINISHED,			/* the connection or the capture ended before it came */
};

enum tcp_how { TCP_FINISHED, TCP_WAS_RESET, TCP_REPLACED /* the same ports are used anew */, TCP_FORGOTTEN, TCP_CAPTURE_ENDED };

enum tcp_note {
	TCP_RETRANSMITTED,		/* seen again, the same bytes (as far as the last MiB of the capture tells) */
	TCP_CONTRADICTED,		/* seen again with other bytes: the first ones count */
	TCP_REORDERED,			/* came late, and filled what was missing */
	TCP_BELATED,			/* came after its hole was declared: its bytes are not handed over */
	TCP_KEPT_ALIVE,			/* a keep-alive probe */
	N_TCP_NOTES
};

struct tcp_events {			/* context is tcp_new()'s; none may be NULL. They may call tcp_ignore() and nothing else of this header */
	void (*opened)(void *context, struct flow *flow);
	/* in order; bytes borrowed for the call. when: of the segment that carried their last byte; its `crossed` is filled in here. */
	void (*bytes)(void *context, struct flow *flow, unsigned end, struct span bytes, const struct when *when);
	/* len bytes of end's are missing here. when: of the segment that showed it. */
	void (*hole)(void *context, struct flow *flow, unsigned end, uint64_t len, enum tcp_why why, const struct when *when);
	void (*noted)(void *context, struct flow *flow, unsigned end, enum tcp_note note, uint32_t len, const struct when *when);
	/* TCP_FINISHED or TCP_WAS_RESET: at most once per end, behind its bytes. A reset behind a FIN shows in ended() only. */
	void (*finished)(void *context, struct flow *flow, unsigned end, enum tcp_how how, const struct when *when);
	void (*ended)(void *context, struct flow *flow, enum tcp_how how, const struct when *when);	/* the last; flow is void behind it */
};

struct tcp_counts {
	uint64_t flows, segments, noted[N_TCP_NOTES], holes, hole_bytes;
	uint64_t bad;			/* segments that belong nowhere: outside any window */
	uint32_t flows_now, flows_most;
	size_t bytes_now, bytes_most;	/* held back */
};

struct tcp *tcp_new(const struct tcp_limits *limits, const struct tcp_events *events, void *context);	/* given, NULL: no memory; limits NULL: defaults */
void tcp_segment(struct tcp *tcp, const struct segment *segment);
/* The number of the flow that the segment given last belongs to; TCP_NO_STREAM: it belongs to none. */
enum { TCP_NO_STREAM = -1 };
int64_t tcp_stream(const struct tcp *tcp);
void tcp_idle(struct tcp *tcp, uint64_t now_ns);	/* live: nothing came until now; what waited long enough goes on */
void tcp_end(struct tcp *tcp, const struct when *when);	/* the capture is over: all connections end */
const struct tcp_counts *tcp_counts(const struct tcp *tcp);
void tcp_free(struct tcp *tcp);				/* after tcp_end(); harmless with NULL */

/* Data was dropped before the reader could use it; what is kept of a flow nobody reads is nothing. */
void tcp_ignore(struct flow *flow);			/* no bytes, holes or notes of it any more; finished and ended still come */

#endif
