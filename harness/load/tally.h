#ifndef LOAD_TALLY_H
#define LOAD_TALLY_H

#include "harness/load/hdr.h"

/*
 * What is counted and timed of one role, in one thread or in all of them, in one second or in a whole run. Adding two tallies loses
 * nothing. Written by one thread only.
 */

enum counter {
#define X(name, whose, meaning) COUNT_##name,
#include "harness/load/counters.def"
#undef X
	N_COUNTERS
};

enum counter_of { OF_CLIENT, OF_PUBLISHER, OF_SUBSCRIBER, OF_WIRE };

struct counter_row {
	const char *name, *meaning;
	enum counter_of whose;
};

extern const struct counter_row counter_rows[N_COUNTERS];

/*
 * Each is timed twice: from when it was due (an open loop's latency: what a client in the field would have waited), and from when it was
 * really begun (what tools print that forget their own stalls).
 */
enum timing {
	TIME_CONNECT,		/* from the TCP SYN (due: from when the step was) to CONNACK */
	TIME_ACK,		/* of a PUBLISH of QoS 1 to PUBACK, of QoS 2 to PUBCOMP */
	TIME_DELIVERY,		/* of a stamped message to its first delivery to each subscriber; of one that came back: the round trip */
	TIME_LATENESS,		/* of the generator itself: from when a message was due until it was handed over. Uncorrected: nothing */
	TIME_PLAY,		/* of a whole scenario, from its first step to its last: `load --clients` */
	N_TIMINGS
};

extern const char *const timing_names[N_TIMINGS + 1];	/* "connect", "ack", "delivery", "lateness", "play", NULL */

struct tally {				/* zeroed: nothing yet */
	uint64_t counts[N_COUNTERS];
	struct hdr timings[N_TIMINGS];		/* from when it was due */
	struct hdr uncorrected[N_TIMINGS];	/* from when it was begun */
};

static inline void tally_count(struct tally *t, enum counter counter)
{
	t->counts[counter]++;
}

/* Aborts when there is no memory, as everything here does that cannot go on without. */
void tally_time(struct tally *t, enum timing timing, uint64_t due_ns, uint64_t begun_ns, uint64_t now_ns);
void tally_add(struct tally *to, const struct tally *from);
void tally_reset(struct tally *t);		/* nothing yet; keeps its memory */
void tally_release(struct tally *t);

#endif
