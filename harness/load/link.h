#ifndef LOAD_LINK_H
#define LOAD_LINK_H

#include <netinet/in.h>

#include "codec/fault.h"
#include "harness/monitor.h"
#include "harness/load/pool.h"
#include "harness/load/wheel.h"
#include "harness/transport.h"

/*
 * A client's connection, made for tens of thousands of them: bytes come in through one buffer that all links of a
 * thread share and leave in batches, so that many packets cost one system call; a link borrows memory only while a
 * packet is half here or bytes wait to leave. What comes is judged by the monitor before its owner sees it.
 * harness/conn.h is its sibling for tests: that one cuts, paces and taps, this one is fast.
 *
 * What is read is acknowledged by the answer when the batch has one, else at once: a broker that leaves Nagle's
 * algorithm on would wait for it up to 40 ms with the next message, and that is not to be taken for its latency.
 *
 * epoll, not io_uring: for QoS 1 ping-pong both cost 3.0 to 3.3 us a message at 100 and 1,000 connections, and at
 * 10,000 plain io_uring 5.8 to 7.1 against 4.1 to 5.4; only with DEFER_TASKRUN (Linux 6.1) is it 4.3 to 4.6. With
 * many packets a call the share of the call itself is small, and containers often forbid io_uring.
 */
struct link;

enum link_end {
	LINK_OPEN_YET,		/* it has not ended */
	LINK_FIN,		/* the broker closed */
	LINK_RESET,		/* reset, or the network failed: see error */
	LINK_REFUSED,		/* it never opened: see error */
	LINK_OURS,		/* link_close() */
	LINK_GARBAGE,		/* what came cannot be framed; the monitor has said why. Or it speaks another protocol: see error */
	LINK_TOO_LARGE,		/* a packet of more than the hub's max_packet is announced */
};

/* The same for all links of a hub. Any of them may link_close(), but must not free the link's storage. */
struct link_events {
	void (*opened)(struct link *link);
	void (*packet)(struct link *link, const uint8_t *bytes, size_t len, const struct packet *packet);	/* NULL: unreadable, the monitor has said so */
	void (*ended)(struct link *link, enum link_end how);	/* the last event; not after link_close() */
	void (*room)(struct link *link);			/* after link_room() had none: there is now */
	void (*begun)(struct link *link);			/* its turn to connect has come: the SYN leaves now, perhaps inside link_open(). May be NULL */
};

struct link_counts {
	uint64_t bytes_sent, bytes_received, sends, receives;	/* the latter two: system calls, or what layers make of them */
	uint64_t opened, pending_most;				/* connections; most at once under way */
};

struct link_ring {			/* links in a circle, its head without one */
	struct link_ring *next, *prev;
};

struct link_hub {			/* of one thread; the first part is filled in before link_hub_init() */
	struct loop *loop;
	struct pool *pool;
	struct monitor_world *world;
	const struct link_events *events;
	size_t max_packet;		/* 0: 16 MB */
	size_t max_unsent;		/* of one link before link_room() says no; 0: 64 kB. A single packet may be larger than that */
	unsigned max_pending;		/* connects under way at once; 0: 64. More wait for their turn: a listen backlog that is full drops SYNs, each a second lost */
	const struct source *sources;	/* addresses to connect from, in turn; NULL: the kernel's choice */
	size_t n_sources;

	struct link_counts counts;
	/* the hub's own */
	struct link_ring touched;	/* something is to be done for them when the batch is over */
	struct link_ring waiting;	/* for their turn to connect */
	unsigned n_pending;
	size_t next_source;
	struct task flush;
	struct timer stalled;
	uint8_t *in;			/* where all of them read into */
};

struct link {				/* zeroed: never opened. Storage is the owner's */
	struct link_ring ring;		/* touched, or waiting; .next NULL: neither */
	struct link_hub *hub;
	struct transport *transport;	/* NULL: waits for its turn, or has ended */
	const struct address *address;
	struct monitor monitor;
	uint8_t *in, *out;		/* pooled: bytes of an unfinished packet; bytes that wait to be sent. NULL: none */
	uint32_t in_len, in_cap, out_len, out_cap, out_done;
	int error;			/* as transport.error */
	uint8_t end;			/* enum link_end */
	bool open : 1, heard : 1, paused : 1;
	bool pending : 1;		/* counts among the connects under way */
	bool wants_room : 1, blocked : 1;	/* link_room() had none; the transport takes no more */
	bool broken : 1;		/* sending failed: reading will tell the end */
	bool finishing : 1, finished : 1;
	bool unacknowledged : 1;	/* bytes were read in this batch */
};

void link_hub_init(struct link_hub *hub);
void link_hub_release(struct link_hub *hub);	/* when all its links have ended; what it was lives until loop_settle() */

/*
 * Connects when its turn comes; opened() or ended() tells, never from inside this call. A link that has ended may be
 * opened anew, also from inside ended() or after link_close(). log may be NULL. What is given to link_room() before
 * it is open is sent when it is. address is borrowed until it has ended.
 *
 * A connect is under way until the broker has said something (it may take a connection out of its backlog long after
 * the kernel has accepted it), or, where opened() commits nothing, until it is open. Where nothing comes of any of
 * them for 5 s, as many more are begun.
 */
void link_open(struct link *link, struct link_hub *hub, const struct address *address, struct monitor_log *log);

/*
 * Room for len bytes of one or more whole packets, good until the next call on this hub; link_commit() says how many
 * of them were used and are to be sent. NULL: too much waits already: room() comes when half of it has gone, not from
 * inside a call; or the link has ended, or is ending (link_finish(), a failed send): ended() comes. The monitor is to
 * be told by the caller, before: monitor_sent().
 */
uint8_t *link_room(struct link *link, size_t len);
void link_commit(struct link *link, size_t len);

/* What was committed leaves when the loop's batch is over; this sends it at once, as far as it goes. */
void link_flush(struct link *link);

void link_pause(struct link *link, bool pause);		/* reading: no packets until it is over */
void link_close(struct link *link, bool reset);		/* at once, what waits is tried once; no more events. Harmless when ended or never opened */
void link_finish(struct link *link);			/* FIN behind what waits; ended() follows when the other side has closed too */
static inline size_t link_unsent(const struct link *link)
{
	return link->out_len - link->out_done;
}

/* "closed by the broker (FIN)", "could not connect: Connection refused"; into text[cap], returns it. */
char *link_end_text(const struct link *link, char *text, size_t cap);

/* ---- source addresses ---- */

struct source {				/* a local address to connect from, port 0 */
	union {
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	} at;
};

/*
 * "127.0.0.2", "10.0.0.10-10.0.0.20", "10.0.1.0/28", "fd00::1", several with commas, into *list (malloc; *n of them,
 * at most 65536). False: fault->text is one line. Connecting from one uses IP_BIND_ADDRESS_NO_PORT, so that each has
 * all the ports for itself.
 */
bool sources_parse(const char *text, struct source **list, size_t *n, struct fault *fault);

#endif
