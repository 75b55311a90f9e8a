#ifndef PCAP_TCP_INTERNAL_H
#define PCAP_TCP_INTERNAL_H

#include "pcap/tcp.h"

/*
 * Sequence numbers are widened to positions of 64 bits, which do not wrap and are never 0: the position nearest to where the
 * direction stands. So 0 stands for "none" or "not known".
 */

enum {
	WINDOW = 16 << 20,		/* how far from where a direction stands a segment can belong to it */
	RESET_WINDOW = 1 << 20,		/* the same for a reset, ahead */
	LINGERING_MOST = 4096,		/* ended connections that are remembered for a moment, so that late segments open nothing */
	HELD_MOST = 1024,		/* segments held back per connection, */
	HELD_MOST_ONE_WAY = 256,	/* and where nothing at all was seen of the other direction */
	ABSENT_AFTER = 4,		/* holes behind the last segment, shown by acknowledgements alone */
	LATE_START = 65536,		/* how far ahead of a mid-stream start a late first segment may lie */
	RECENT_ROOM = 1 << 20,		/* bytes lately handed over, of all connections, for comparing what is sent again */
	RECENT_KEPT = 2048,		/* of each segment */
	GRACE_SEGMENTS = 8,		/* of the capture, of whatever connection */
	GRACE_SEGMENTS_ALONE = 10000,	/* where the capture's time stands still */
};

#define GRACE_NS	UINT64_C(20000000)
#define GRACE_ALONE_NS	UINT64_C(50000000)	/* where hardly anything else comes */
#define ONE_WAY_NS	UINT64_C(1000000000)	/* for what nobody acknowledges, because that direction is not in the capture */
#define UNACKED_NS	UINT64_C(10000000000)	/* for what the other side has not acknowledged: it will be sent again */
#define LINGER_NS	UINT64_C(60000000000)

struct held {			/* a segment, or a part of one, that cannot be handed over yet */
	struct held *next;		/* of its direction, by position; no two overlap */
	uint64_t at;
	uint64_t ack;			/* wait until the other direction stands here; 0: for nothing */
	struct when when;
	uint64_t arrived_ns, arrived_segment;	/* by our clock and count */
	uint32_t len;			/* bytes here, */
	uint32_t cut;			/* and behind them those that the snap length cut off */
	uint32_t room;			/* of the block: what it is counted as */
	uint8_t bytes[];
};

struct half {			/* what one end sends */
	uint64_t next;			/* the first position not handed over yet */
	uint64_t top;			/* behind the highest position seen */
	uint64_t acked;			/* how far the other end has acknowledged it */
	uint64_t recent;		/* the newest of its records in tcp->recent */
	uint32_t start;			/* the sequence number of its first byte */
	bool known;			/* next is */
	bool seen;			/* a segment of it was */
	bool begun;			/* bytes or a hole were handed over */
	bool finished;			/* the FIN was handed over */
	bool absent;			/* it is not in the capture, it seems: no waiting for it */
	uint8_t n_unheard;		/* holes given up since its last segment, and behind all that came */
	bool perhaps_probed;		/* its first segment may have been a keep-alive probe: one before where it stands */
	/* What follows matters only where something is missing. */
	uint64_t unsaid;		/* missing since the first hole in a direction never seen, to be told as one */
	struct held *held, *last;
	uint64_t fin, fin_ack;		/* where it ends, once its FIN has come, */
	struct when fin_when;
};

enum patience { WAITS_NOT, WAITS_ACKED, WAITS_ONE_WAY, WAITS_UNACKED, N_WAITS };

struct connection {
	struct flow flow;		/* stands first: what the reader gets */
	struct tcp *tcp;
	struct connection *chain;	/* of the table */
	uint64_t hash;
	struct connection *older, *newer;	/* by last segment; of those lingering, by end */
	uint64_t moved_ns, last_ns;	/* when it went to the list's end; when its last segment came */
	struct connection *waits_before, *waits_behind;
	uint64_t waits_ns, waits_segment;	/* since when, */
	uint64_t waits_at, waits_to;	/* and for what, as far as it was known to be missing then */
	struct when noticed;		/* the segment that showed that something is missing */
	uint64_t reset_at;
	struct when reset_when;
	size_t held_bytes;
	uint32_t n_held;
	uint32_t stray_next, stray_ack;	/* of the last segment that fitted nowhere, and what would go on from it */
	uint8_t waits, waits_end, reset_by, stray_end;
	bool reset, stray, stray_carried, ignored, ended, lingers;
	struct half half[2];
};

struct list {			/* from the one longest there */
	struct connection *first, *last;
};

struct recent {			/* in tcp->recent: a piece of a direction, as handed over */
	uint64_t before;		/* the one before it of the same direction */
	uint64_t at;
	uint32_t len;			/* positions that it covers, */
	uint32_t kept;			/* and how many of its bytes follow */
	bool hole;
};

struct tcp {
	struct tcp_limits limits;
	struct tcp_events events;
	void *context;
	struct tcp_counts counts;
	struct when when;		/* of the segment at hand */
	int64_t stream;			/* its flow's number */
	uint64_t now_ns, high_ns, times[2];	/* see tcp_clock() */
	uint64_t stir_ns;
	uint64_t key[3];
	struct connection **table;
	size_t n_chains, n_connections;	/* those lingering included */
	struct connection *found;	/* the last one that was looked for, or NULL */
	struct list open, lingering;
	uint32_t n_lingering;
	struct list waits[N_WAITS];
	const struct connection *pending;	/* its segment at hand, for which room is made, is at pending_at of pending_end */
	uint64_t pending_at;
	unsigned pending_end;
	struct held *pool[2];
	size_t pool_bytes;
	uint8_t *recent;
	uint64_t recent_head;
};

struct piece {			/* of the segment at hand */
	uint64_t at, ack;
	struct span bytes;
	uint32_t cut;
	struct when when;
};

struct overlap {		/* bytes of a segment that were there before: */
	uint32_t same, other, belated;	/* the same, with other content, in a hole that was declared */
};

static inline uint64_t position(const struct half *h, uint32_t seq)
{
	return h->next + (uint64_t)(int64_t)(int32_t)(seq - (uint32_t)h->next);
}

static inline uint64_t piece_end(const struct piece *p)
{
	return p->at + p->bytes.len + p->cut;
}

/* tcp_flows.c: connections by their endpoints. */
bool flow_table_init(struct tcp *tcp);
struct connection *flow_find(struct tcp *tcp, const struct segment *segment, uint64_t *hash, unsigned *from);	/* NULL, and the hash */
struct connection *flow_open(struct tcp *tcp, const struct endpoint ends[2], uint64_t hash);	/* NULL: no memory */
void flow_touch(struct connection *c);			/* a segment came */
void flow_linger(struct connection *c);			/* it has ended: may free another one that lingers */
void flow_free(struct connection *c);			/* one that waits for nothing and holds nothing */
void flow_tidy(struct tcp *tcp);			/* forgets what is silent or has ended long enough */
void tcp_clock(struct tcp *tcp, uint64_t time_ns);
uint64_t tcp_stamp(const struct tcp *tcp);		/* the time of the segment at hand; may be ahead of now_ns */
void tcp_list_push(struct list *list, struct connection *c);
void tcp_list_take(struct list *list, struct connection *c);

/* tcp_hold.c: segments that wait. */
/*
 * Keeps what of the piece is not kept yet: what came first counts. Returns how far it got: to the piece's end, or to where a
 * limit is in the way.
 */
uint64_t tcp_hold(struct connection *c, unsigned end, const struct piece *piece, struct overlap *overlap);
bool tcp_hold_full(const struct connection *c, unsigned end, const struct piece *piece);	/* by the connection's own limits */
void tcp_held_free(struct connection *c, struct held *held);
struct piece tcp_piece_part(const struct piece *piece, uint64_t from, uint64_t to);	/* [from, to) lies within it */
void tcp_held_drop(struct connection *c, unsigned end);	/* all of them */
void tcp_held_pool_free(struct tcp *tcp);

/* tcp_recent.c: what was handed over lately. */
void tcp_recent_add(struct tcp *tcp, struct half *h, uint64_t at, struct span bytes);
void tcp_recent_hole(struct tcp *tcp, struct half *h, uint64_t at, uint64_t len);
void tcp_recent_compare(const struct tcp *tcp, const struct half *h, uint64_t at, struct span bytes, struct overlap *overlap);

/* tcp_give.c: what the reader is told, unless it ignores the connection; next moves along. */
void tcp_give_piece(struct connection *c, unsigned end, const struct piece *piece);	/* it is at next */
void tcp_give_hole(struct connection *c, unsigned end, uint64_t len, enum tcp_why why, const struct when *when);
void tcp_give_unsaid(struct connection *c, unsigned end);	/* the hole of a direction that was absent */
void tcp_give_note(struct connection *c, unsigned end, enum tcp_note note, uint32_t len);
void tcp_give_overlap(struct connection *c, unsigned end, const struct overlap *overlap);

/* tcp_order.c: who may go on, who waits, and for how long. */
bool tcp_ready(const struct connection *c, unsigned end, uint64_t at, uint64_t ack);	/* what begins at `at` and waits for ack may be handed over */
bool tcp_stuck(const struct connection *c);			/* there is a gap for tcp_give_up() */
void tcp_advance(struct connection *c);			/* all that may go on does */
void tcp_give_up(struct connection *c, enum tcp_why why);	/* one gap; then what can go on does */
void tcp_settle(struct connection *c);			/* tcp_advance(), and waits are kept, begun or ended. May conclude it */
/*
 * What waits is given, and it has ended. Behind TCP_FINISHED and TCP_WAS_RESET it lingers, else it is freed; so is one that
 * had ended before.
 */
void tcp_conclude(struct connection *c, enum tcp_how how);
void tcp_expire(struct tcp *tcp);				/* those that waited long enough */

#endif
